"""Facts about a run slimmed to ship: what it keeps, and that nothing tells of the machine it ran on."""

import json
import sqlite3

import pytest
import torch
from helpers.evals import verify
from helpers.robust_runs import SKILL, evaluate_step
from helpers.rollout_runs import ROWS_A_STEP, make_run
from safetensors.torch import load_file, save_file

from seirenes_app.store.resources import recorded_run
from training.engine.checkpoint import atomic_folder, damage
from training.evaluation.store_reader import StoreReader
from training.evaluation.suites.builder import frozen_suite
from training.rollouts.reader import RolloutQuery, RolloutReader
from training.runs.paths import RunPaths
from training.runs.processes import read_run
from training.runs.status import RunStatus
from training.starter.recorded import main, scrub


@pytest.fixture
def run(tmp_path):
    paths = make_run(tmp_path, range(1, 8))
    suite = frozen_suite(4, 1)
    for step in (0, 3, 7):
        evaluate_step(paths, suite, step, SKILL[step // 7 * 10])
        with atomic_folder(paths.checkpoints / f"step_{step:06d}") as folder:
            save_file({"w": torch.full((4, 4), step + 0.5)}, folder / "model.safetensors")
            for name in ("config.json", "tokenizer.json", "loop.json", "backend.json"):
                (folder / name).write_text(
                    json.dumps(
                        {"dtype": "float32", "_name_or_path": "/home/someone/starter"}
                        if name != "tokenizer.json"
                        else {}
                    )
                )
            (folder / "optimizer.pt").write_bytes(b"x" * 100)
    paths.log.write_text("Traceback /home/someone")
    paths.lock.write_text('{"pid": 1, "started": 1.0, "host": "someones-laptop"}')
    return paths


def record(run, dest, *options):
    return main([str(run.root), str(dest), *options])


def test_a_recorded_run_is_a_finished_run_with_a_few_whole_steps(run, tmp_path, capsys):
    dest = tmp_path / "recorded"
    assert record(run, dest) == 0
    assert "bytes in all" in capsys.readouterr().out
    found = read_run(RunPaths(dest))
    assert (found.problem, found.state.status, found.state.step) == (None, RunStatus.FINISHED, 7)
    assert found.state.history.series("clean_accuracy")[0] == list(range(1, 8))
    assert [w.code for w in found.state.warnings] == ["disk"]
    assert sorted(f.name for f in dest.iterdir()) == ["config.json", "evaluations", "events.jsonl", "rollouts.db"]
    assert [f.name for f in sorted((dest / "evaluations").iterdir())] == ["plan.json", "rows.db"]
    with StoreReader(dest / "evaluations" / "rows.db") as kept, StoreReader(run.evaluations / "rows.db") as whole:
        assert kept.targets() == ("step 0", "step 7")
        rows = [t for t in whole.all_traces() if t.row.key.target != "step 3"]
        assert list(kept.all_traces()) == rows
    assert verify(dest / "evaluations" / "rows.db") == ()
    reader = RolloutReader(dest / "rollouts.db")
    assert reader.step_counts() == {1: ROWS_A_STEP, 4: ROWS_A_STEP, 7: ROWS_A_STEP}
    assert reader.first_page(RolloutQuery(text="rosa", flips=("harmful",)))
    reader.close()


def test_the_database_needs_no_file_beside_it(run, tmp_path):
    record(run, tmp_path / "recorded", "--steps", "2")
    db = sqlite3.connect(f"file:{tmp_path / 'recorded' / 'rollouts.db'}?mode=ro", uri=True)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert db.execute("PRAGMA freelist_count").fetchone() == (0,)
    assert db.execute("SELECT DISTINCT step FROM rollouts").fetchall() == [(2,)]
    db.close()


def test_nothing_of_the_machine_is_left(run, tmp_path):
    record(run, tmp_path / "recorded", "--checkpoints", "3", "--evaluations", "9")
    for file in (tmp_path / "recorded").rglob("*"):
        if file.is_file():
            whole = file.read_bytes()
            for mark in (b"someone", b"/home", b"/var/", b"host-7", str(tmp_path).encode(), b'"pid": 77'):
                assert mark not in whole, (file, mark)
    events = [json.loads(line) for line in (tmp_path / "recorded" / "events.jsonl").read_text().splitlines()]
    assert events[0]["model"] == "starter"
    assert events[0]["machine"]["system"] == "Linux"
    assert {e["event"] for e in events} == {"launch", "step", "warning", "done"}


def test_checkpoints_are_kept_as_sound_float16_weights(run, tmp_path):
    record(run, tmp_path / "recorded", "--checkpoints", "2")
    folders = sorted((tmp_path / "recorded" / "checkpoints").iterdir())
    assert [f.name for f in folders] == ["step_000000", "step_000007"]
    for folder, value in zip(folders, (0.5, 7.5), strict=True):
        assert damage(folder) is None
        assert sorted(f.name for f in folder.iterdir()) == [
            "config.json",
            "manifest.json",
            "model.safetensors",
            "tokenizer.json",
        ]
        weights = load_file(folder / "model.safetensors")["w"]
        assert weights.dtype is torch.float16
        assert float(weights[0, 0]) == value
        assert json.loads((folder / "config.json").read_text()) == {"dtype": "float16", "_name_or_path": "starter"}


def test_the_recorded_run_names_only_checkpoints_that_ship():
    paths = RunPaths(recorded_run())
    named = {path for _step, path in read_run(paths).state.checkpoints}
    assert named == {f"checkpoints/{folder.name}" for folder in paths.checkpoints.iterdir()}


def test_what_stands_at_the_target_is_replaced_only_when_asked(run, tmp_path, capsys):
    dest = tmp_path / "recorded"
    dest.mkdir()
    (dest / "mine.txt").touch()
    assert record(run, dest) == 2
    assert "--force" in capsys.readouterr().err
    assert (dest / "mine.txt").exists()
    assert record(run, dest, "--force") == 0
    assert not (dest / "mine.txt").exists()


def test_refusals_leave_nothing_behind(run, tmp_path, capsys):
    unfinished = make_run(tmp_path / "other", finished=False)
    for source, options, said in (
        (unfinished, [], "no finished run"),
        (run, ["--steps", "99"], "no step 99"),
        (run, ["--steps", "a"], "list of steps"),
    ):
        assert record(source, tmp_path / "to" / "recorded", *options) == 2
        assert said in capsys.readouterr().err
    assert record(run, run.root / "inside") == 2
    assert not (run.root / "inside").exists()
    assert not [f for f in (tmp_path / "to").rglob("*") if f.is_file()]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/anna/models/starter", "starter"), ("C:\\Users\\anna\\starter", "starter"), ("starter", "starter"),
        ("Writing to /var/run/x/rollouts.db failed (5/6).", "Writing to rollouts.db failed (5/6)."), ("checkpoints/step_000020", "checkpoints/step_000020"),
        ("3/4 of 1/2", "3/4 of 1/2"), ("see https://example.org/a/b", "see https://example.org/a/b"), ("/home/anna/runs/", "runs"),
    ],
)  # fmt: skip
def test_paths_are_cut_to_their_last_name(text, left):
    assert scrub({"a": [text, 1, None]}) == {"a": [left, 1, None]}


@pytest.mark.parametrize("path", ["/home/a b/starter", "C:\\Users\\a b\\starter", "D:/a b/starter/", "starter"])
def test_a_whole_path_is_cut_whatever_its_folders_are_called(path):
    assert scrub({"model": {"path": path}, "config": {"model": path}}) == {
        "model": {"path": "starter"},
        "config": {"model": "starter"},
    }
