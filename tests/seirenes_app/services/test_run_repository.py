"""Facts about the library: real run directories, and a real process that holds a lock and is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from seirenes_app.services.run_repository import (
    RunRepository,
    find_checkpoint,
    log_tail,
    move_to_trash,
    order_runs,
    startable,
    with_log,
)
from seirenes_app.services.run_summary import describe_problem
from seirenes_app.store.workspace import RunMark, Workspace
from training.core.types import Role
from training.errors import UserError
from training.runs.config import AdversaryConfig, RunConfig, load_config
from training.runs.events import EventKind, EventLog
from training.runs.paths import ADVERSARY_FOLDER, new_run
from training.runs.processes import start_process
from training.runs.status import RunStatus

ROOT = Path(__file__).resolve().parents[3]
HOLD = (
    "import sys, time; sys.path.insert(0, sys.argv[1])\n"
    "from pathlib import Path\nfrom training.runs.lock import RunLock\n"
    "lock = RunLock(Path(sys.argv[2])); lock.acquire(); print('held', flush=True); time.sleep(600)"
)


def write_run(root, name, done=None):
    paths = new_run(root, RunConfig(), name)
    writer = EventLog(paths.events)
    writer.write(EventKind.LAUNCH, steps=60, mode="seirenes", model="starter", resumed_from=None)
    writer.write(EventKind.STEP, step=1, metrics={"seconds": 2.0})
    if done:
        writer.write(EventKind.DONE, outcome=done, message="", error=None)
    writer.close()
    return paths


@pytest.fixture
def held():
    """A function that lets a real process hold a run's lock; it is killed at the end."""
    children = []

    def hold(paths):
        child = subprocess.Popen([sys.executable, "-c", HOLD, str(ROOT), str(paths.lock)], stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"held\n"
        children.append(child)
        return child

    yield hold
    for child in children:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_missing_folder_is_an_empty_library(tmp_path):
    assert RunRepository(tmp_path / "none").list_runs() == []


def test_a_killed_trainer_is_found_dead_and_told_in_words(tmp_path, held):
    paths = write_run(tmp_path, "killed")
    library = RunRepository(tmp_path)
    child = held(paths)
    (alive,) = library.list_runs()
    assert alive.state.status is RunStatus.RUNNING
    assert describe_problem(alive) is None
    child.send_signal(signal.SIGKILL)
    child.wait()
    (dead,) = library.list_runs()
    assert dead.state.status is RunStatus.CRASHED
    story = describe_problem(dead)
    assert "killed crashed" in story.title
    assert "killed from outside" in story.text
    assert story.can_resume


def test_a_run_out_of_memory_is_told_with_its_last_words(tmp_path):
    paths = write_run(tmp_path, "big")
    paths.log.write_text("step 1\n\nRuntimeError: can't allocate memory: Cannot allocate memory\n")
    (summary,) = RunRepository(tmp_path).list_runs()
    story = describe_problem(summary)
    assert "ran out of memory" in story.text
    assert story.log[-1].startswith("RuntimeError")


def test_a_run_whose_trainer_never_spoke_is_dead_after_a_minute(tmp_path):
    paths = new_run(tmp_path, RunConfig(), "mute")
    library = RunRepository(tmp_path)
    assert library.list_runs()[0].state.status is RunStatus.STARTING
    long_ago = time.time() - 3600
    os.utime(paths.config, (long_ago, long_ago))
    (summary,) = library.list_runs()
    assert summary.state.status is RunStatus.CRASHED
    assert "before its first step" in describe_problem(summary).text


def test_a_run_that_is_over_is_read_again_only_when_its_files_change(tmp_path):
    paths = write_run(tmp_path, "over", done="stopped")
    library = RunRepository(tmp_path)
    first = library.list_runs()[0]
    assert library.list_runs()[0] is first
    writer = EventLog(paths.events)
    writer.write(EventKind.DONE, outcome="finished", message="", error=None)
    writer.close()
    assert library.list_runs()[0].state.status is RunStatus.FINISHED


def test_a_broken_run_is_listed_with_its_problem_beside_the_sound_ones(tmp_path):
    write_run(tmp_path, "sound", done="finished")
    write_run(tmp_path, "broken").config.write_text("{oops")
    found = {s.paths.run_id: s for s in RunRepository(tmp_path).list_runs()}
    assert found["sound"].problem is None
    assert "config.json" in found["broken"].problem
    assert describe_problem(found["broken"]) is None


def test_a_discarded_run_moves_to_the_trash_and_is_listed_no_more(tmp_path):
    library = RunRepository(tmp_path)
    first = move_to_trash(write_run(tmp_path, "twice", done="finished"))
    second = move_to_trash(write_run(tmp_path, "twice", done="finished"))
    assert first != second
    assert (first / "events.jsonl").exists()
    assert (second / "events.jsonl").exists()
    assert library.list_runs() == []


def test_a_run_is_found_by_its_id_its_name_or_a_unique_beginning(tmp_path):
    library = RunRepository(tmp_path / "runs", workspace=tmp_path / "workspace.db")
    (tmp_path / "runs").mkdir()
    for name in ("20261127-0900-demo", "20261128-1200-demo", "20261128-1300-long"):
        write_run(tmp_path / "runs", name, done="finished")
    with closing(Workspace(tmp_path / "workspace.db")) as workspace:
        workspace.mark("20261127-0900-demo", name="First try")
    assert library.find_named("20261127").run_id == "20261127-0900-demo"
    assert library.find_named("First").run_id == "20261127-0900-demo"
    assert library.find_named(str(tmp_path / "runs" / "20261128-1300-long")).run_id == "20261128-1300-long"
    with pytest.raises(UserError, match="several runs: 20261128-1200-demo, 20261128-1300-long"):
        library.find_named("20261128")
    with pytest.raises(UserError, match=r"Did you mean 20261128-1300-long\?"):
        library.find_named("long")
    with pytest.raises(UserError, match="The newest are: 20261128-1300-long"):
        library.find_named("zzz")
    with pytest.raises(UserError, match="seirenes demo"):
        RunRepository(tmp_path / "none").find_named("a")


def test_a_run_elsewhere_is_listed_once_it_is_remembered_and_dropped_when_it_is_gone(tmp_path):
    library = RunRepository(tmp_path / "runs", workspace=tmp_path / "workspace.db")
    elsewhere = write_run(tmp_path / "else where", "mine", done="finished")
    inside = write_run(tmp_path / "runs", "inside", done="finished")
    library.remember(elsewhere)
    library.remember(inside)
    assert [s.paths.run_id for s in library.list_runs()] == ["inside", "mine"]
    assert library.find_named("mine") == elsewhere
    shutil.rmtree(elsewhere.root)
    assert [s.paths.run_id for s in library.list_runs()] == ["inside"]


def test_pinned_runs_come_first_then_the_newest(tmp_path):
    library = RunRepository(tmp_path)
    for name in ("a", "b", "c"):
        write_run(tmp_path, name, done="finished")
        time.sleep(0.05)
    runs = library.list_runs()
    assert [s.paths.run_id for s in runs] == ["c", "b", "a"]
    assert [s.paths.run_id for s in order_runs(runs, {"a": RunMark(pinned=True)})] == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [("model.path=/no/where", "model.path: /no/where"), ("data.problems=/no.jsonl", "data.problems: there is no file")],
)
def test_what_a_configuration_names_and_is_not_there_is_refused_before_the_launch(setting, said):
    with pytest.raises(UserError, match=said):
        startable(load_config(ROOT / "resources/presets/demo.toml", [setting]))
    startable(RunConfig())


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A run with checkpoints of the steps 0 and 40, where the Adversary of the latter has its own model."""
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "runs"))
    paths = new_run(tmp_path / "runs", RunConfig(), "played")
    for step in (0, 40):
        (paths.checkpoints / f"step_{step:06d}").mkdir()
    (paths.checkpoints / "step_000040" / ADVERSARY_FOLDER).mkdir()
    return paths


def test_a_run_and_a_step_mean_the_model_that_plays_the_role_there(trained):
    newest = (trained.checkpoints / "step_000040").resolve()
    assert find_checkpoint("played", Role.REASONER) == find_checkpoint("played@40", Role.REASONER) == newest
    assert find_checkpoint("played@40", Role.ADVERSARY) == newest / "adversary"
    assert find_checkpoint("played@0", Role.ADVERSARY) == newest.with_name("step_000000")
    assert find_checkpoint(str(trained.root), Role.REASONER) == newest
    assert find_checkpoint("org/name", Role.REASONER) is None
    assert find_checkpoint("starter", Role.REASONER) is None
    config = RunConfig(adversary=AdversaryConfig(model="played@0"))
    assert startable(config).adversary.model == str(newest.with_name("step_000000"))
    with pytest.raises(UserError, match=r"adversary\.model: played has no checkpoint of step 7\. .* 0, 40"):
        startable(RunConfig(adversary=AdversaryConfig(model="played@7")))


def test_a_run_that_trains_nothing_is_refused_before_the_launch():
    with pytest.raises(UserError, match="Nothing would be trained"):
        startable(load_config(ROOT / "resources/presets/static.toml", ["reasoner.train=false"]))


def test_a_running_run_is_not_moved(tmp_path, held):
    paths = write_run(tmp_path, "busy")
    held(paths)
    with pytest.raises(UserError, match="is running"):
        move_to_trash(paths)
    assert paths.events.exists()


def test_the_log_is_read_from_its_end(tmp_path):
    paths = write_run(tmp_path, "long")
    assert log_tail(paths) == ()
    paths.log.write_bytes(b"x" * 300_000 + b"\n\xff\xfe broken\n\nlast\n")
    assert log_tail(paths, 2)[-1] == "last"
    assert len(log_tail(paths, 2)) == 2


def test_a_fault_of_compiled_code_is_read_from_its_beginning(tmp_path, monkeypatch):
    paths = write_run(tmp_path, "faulty")
    assert with_log("It exited unexpectedly.", paths) == "It exited unexpectedly. Its log, trainer.log, is empty."
    crash = "import ctypes\ndef read():\n    ctypes.string_at(0)\nprint('begun', flush=True)\nread()"
    module = tmp_path / "faulty_child.py"
    module.write_text(crash)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    psutil.Process(start_process(paths, ["faulty_child"])).wait(60)
    first, *rest = log_tail(paths, 6)
    assert first == "Fatal Python error: Segmentation fault"
    assert any("in read" in line for line in rest)
    assert first in with_log("It exited unexpectedly.", paths)
    with paths.log.open("ab") as log:
        log.write(b"resumed\n")
    assert log_tail(paths, 1) == ("resumed",)
