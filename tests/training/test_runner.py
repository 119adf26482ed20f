"""Facts about a run directory's life: what a checkpoint is, locked files, moved folders, going back."""

import json
import os
import sqlite3
from contextlib import closing

import pytest
from helpers.interrupted_runs import events_of, make_run, settings_of

from training.engine.checkpoint import atomic_folder, latest_valid, remove_partial
from training.errors import UserError
from training.rollouts.database import RolloutWriter
from training.runner import LOOP_FILE, run_directory
from training.runs.control import CommandKind, send_command
from training.runs.files import LONGEST_DATABASE_PATH
from training.runs.lock import FolderMovedError
from training.runs.paths import change_settings

ONE = ["steps=3", "rollout.questions=2", "rollout.clean=2", "rollout.hinted=1", "checkpoint.every=1",
       "evaluation.every=0"]  # fmt: skip


def has(paths, kind, **data):
    return any(e.kind == kind and all(e.data.get(k) == v for k, v in data.items()) for e in events_of(paths))


def checkpoints(paths):
    return sorted(p.name for p in paths.checkpoints.iterdir())


def test_a_run_says_and_keeps_its_number_type(tmp_path):
    paths = make_run(tmp_path, "r", *ONE, "steps=1", "mode=clean_rl", "model.dtype=bfloat16")
    assert run_directory(paths.root) == "finished"
    (launch,) = (e for e in events_of(paths) if e.kind == "launch")
    assert launch.data["dtype"] == "bfloat16"
    assert set(launch.data["dtype_gflops"]) == {"float32", "bfloat16"}
    newest, _ = latest_valid(paths.checkpoints)
    assert json.loads((newest / LOOP_FILE).read_text())["dtype"] == "bfloat16"


def test_a_stop_while_the_step_cannot_be_recorded_keeps_the_checkpoint_before_it(tmp_path, when):
    paths = make_run(tmp_path, "r", *ONE)
    others = []

    def lock():
        others.append(sqlite3.connect(paths.rollouts, isolation_level=None, check_same_thread=False, timeout=30))
        others[0].execute("BEGIN IMMEDIATE")

    when(lambda: has(paths, "checkpoint", step=1), lock)
    when(lambda: has(paths, "warning", code="rollouts_locked"), lambda: send_command(paths, CommandKind.STOP))
    assert run_directory(paths.root) == "stopped"
    others[0].close()
    assert "not recorded" in events_of(paths)[-1].data["message"]
    (recorded,) = sqlite3.connect(paths.rollouts).execute("SELECT max(step) FROM rollouts").fetchone()
    assert checkpoints(paths)[-1] == f"step_{recorded:06d}"
    assert run_directory(paths.root) == "finished"
    assert sqlite3.connect(paths.rollouts).execute("SELECT count(DISTINCT step) FROM rollouts").fetchone() == (3,)


def test_the_rollout_writer_waits_for_a_lock_and_says_whose_fault_it_is(tmp_path):
    path, calls = tmp_path / "rollouts.db", []
    RolloutWriter(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def release():
        calls.append(1)
        if other.in_transaction:
            other.execute("ROLLBACK")

    RolloutWriter(path, 0, waiting=release).close()
    assert calls == [1]
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Exception, match=r"locked by another program.*[Cc]lose"):
        RolloutWriter(path, 0, patience_s=0.0)


def test_a_run_whose_folder_is_moved_stops_and_does_not_make_the_old_one_again(tmp_path, when):
    paths, new = make_run(tmp_path, "r", *ONE, "steps=400"), tmp_path / "else where"
    when(lambda: has(paths, "checkpoint", step=1), lambda: paths.root.rename(new))
    with pytest.raises(FolderMovedError):
        run_directory(paths.root)
    assert not paths.root.exists()
    moved = type(paths)(new)
    last = events_of(moved)[-1]
    assert (last.kind, last.data["outcome"]) == ("done", "failed")
    assert f"was moved to {new} while it was in use" in last.data["message"]
    kept = int(checkpoints(moved)[-1].removeprefix("step_"))
    when(lambda: has(moved, "step", step=kept + 1), lambda: send_command(moved, CommandKind.STOP))
    assert run_directory(moved.root) == "stopped"
    assert has(moved, "launch", resumed_from=kept)


def test_a_checkpoint_is_on_the_disk_no_earlier_than_the_rollouts_of_its_steps(tmp_path, when):
    paths, copy = make_run(tmp_path, "r", *ONE), tmp_path / "copy.db"

    def stop():
        # What was written and not forced to the disk is in a file beside the database.
        copy.write_bytes(paths.rollouts.read_bytes())
        send_command(paths, CommandKind.STOP)

    when(lambda: has(paths, "checkpoint", step=1), stop)
    assert run_directory(paths.root) == "stopped"
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("SELECT min(step) FROM rollouts").fetchone() == (1,)


def test_a_run_whose_path_a_database_cannot_have_is_refused_before_it_is_made(tmp_path):
    folder = tmp_path
    while len(str(folder)) < 400:
        folder = folder / ("long" * 10)
    settings = [*settings_of("full", tmp_path, "llama"), "steps=1"]
    longest = LONGEST_DATABASE_PATH - len(str(folder)) - len("//evaluations/rows.db")
    paths = make_run(folder, "r" * longest, *settings)
    assert run_directory(paths.root) == "finished"
    with pytest.raises(UserError, match=r"501 bytes, 500 are possible\. Choose"):
        make_run(folder, "s" * (longest + 1), *settings)
    assert [p.name[0] for p in folder.iterdir()] == ["r"]
    moved = paths.root.rename(paths.root.with_name("m" * (longest + 1)))
    with pytest.raises(UserError, match="shorter path"):
        run_directory(moved)
    assert events_of(type(paths)(moved))[-1].data["failure"] == "resources"


def test_an_evaluation_that_a_stop_cut_off_is_made_on_resume(tmp_path, when):
    paths = make_run(tmp_path, "r", *ONE, "steps=1")
    when(lambda: has(paths, "stage", stage="eval", step=0), lambda: send_command(paths, CommandKind.STOP))
    assert run_directory(paths.root) == "stopped"
    assert checkpoints(paths) == ["step_000000"]
    if not has(paths, "eval", step=0):
        assert json.loads((paths.checkpoints / "step_000000/loop.json").read_text())["evaluated"] is None
    assert run_directory(paths.root) == "finished"
    assert [e.data["step"] for e in events_of(paths) if e.kind == "eval"] == [0, 1]


@pytest.mark.parametrize("limit", ["steps=2", "max_rollouts=1"])
def test_a_run_that_has_finished_is_trained_longer_as_if_it_had_not_ended(tmp_path, limit):
    once, twice = make_run(tmp_path, "once", *ONE, "steps=4"), make_run(tmp_path, "twice", *ONE, "steps=4", limit)
    for paths in (once, twice, twice):
        assert run_directory(paths.root) == "finished"
    before = checkpoints(twice)[-1]
    assert before < "step_000004"
    change_settings(twice, ["steps=4", "max_rollouts=0"])
    assert run_directory(twice.root) == "finished"
    weights = [(p.checkpoints / "step_000004/model.safetensors").read_bytes() for p in (once, twice)]
    assert weights[0] == weights[1] != (twice.checkpoints / before / "model.safetensors").read_bytes()


def test_a_roll_back_restores_what_was_evaluated_and_is_evaluated_itself(tmp_path):
    paths = make_run(
        tmp_path, "r", "steps=3", "curriculum.guard_action=roll_back", "curriculum.guard_margin=0", "evaluation.every=2",
        "update.learning_rate=0.1", "checkpoint.every=1", "reasoner.clean_anchor=0", "evaluation.max_new_tokens=60",
    )  # fmt: skip
    assert run_directory(paths.root) == "finished"
    assert has(paths, "warning", code="clean_guard")
    evaluations = {}
    for event in events_of(paths):
        if event.kind == "eval":
            evaluations.setdefault(event.data["step"], []).append(event.data["metrics"])
    # Step 1 was not evaluated: it is no good checkpoint, whatever it can do.
    assert len(evaluations[2]) == 2
    # Broken weights answer in no way that can be compared.
    evaluations[2][0].pop("since_start", None)
    since = evaluations[2][1].pop("since_start")
    assert {change["mean"] for change in since.values() if isinstance(change, dict)} == {0.0}
    assert evaluations[2][1] == evaluations[0][0] != evaluations[2][0]
    digests = [json.loads((paths.checkpoints / f"step_{s:06d}/manifest.json").read_text()) for s in range(4)]
    weights = [files["model.safetensors"]["sha256"] for files in digests]
    assert weights[2] == weights[0] != weights[1]


def test_a_checkpoint_that_a_stop_or_a_request_made_is_none_to_go_back_to(tmp_path):
    """A run that was not interrupted does not have it, and would go back to another."""
    paths = make_run(
        tmp_path, "r", *ONE, "steps=2", "evaluation.every=1", "checkpoint.every=0", "curriculum.guard_margin=1"
    )
    send_command(paths, CommandKind.CHECKPOINT)
    assert run_directory(paths.root, commands_from=0) == "finished"
    good = [json.loads((paths.checkpoints / name / "loop.json").read_text())["good"] for name in checkpoints(paths)]
    assert good == ["step_000000", "step_000000", "step_000002"]


def test_a_checkpoint_of_an_earlier_version_is_resumed(tmp_path, when):
    paths = make_run(tmp_path, "r", *ONE, "steps=2")
    when(lambda: has(paths, "step", step=1), lambda: send_command(paths, CommandKind.STOP))
    assert run_directory(paths.root) == "stopped"
    newest, _ = latest_valid(paths.checkpoints)
    files = {p.name: p.read_bytes() for p in newest.iterdir() if p.name != "manifest.json"}
    state = json.loads(files["loop.json"])
    for name in ("buffers", "evaluated", "good", "threads"):
        del state[name]
    files["loop.json"] = json.dumps(state).encode()
    with atomic_folder(newest) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
    assert run_directory(paths.root) == "finished"


def test_what_killed_processes_left_of_checkpoints_is_removed_and_a_replaced_one_comes_back(tmp_path):
    with atomic_folder(tmp_path / "step_000001") as folder:
        (folder / "a").write_text("whole")
    (tmp_path / "step_000001").rename(tmp_path / ".step_000001.old-123")
    for name in (".step_000001.tmp-123", ".step_000002.tmp-77", ".step_000003.old-9"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("half")
    with atomic_folder(tmp_path / "step_000003") as folder:
        (folder / "a").write_text("new")
    remove_partial(tmp_path)
    assert checkpoints_of(tmp_path) == {"step_000001": "whole", "step_000003": "new"}


def checkpoints_of(folder):
    return {name: (folder / name / "a").read_text() for name in os.listdir(folder)}
