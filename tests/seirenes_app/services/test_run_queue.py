"""Facts about the queue: it survives, keeps its order, loses nothing, and starts nothing that does not fit unasked."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.services.preflight import MachineState
from seirenes_app.services.run_queue import QueuedRow, RunQueue, _read_entry, choose_next, look_ahead
from seirenes_app.store.workspace import QueueStore, Workspace
from training.errors import UserError
from training.runs.config import DataConfig, ModelConfig, RunConfig
from training.runs.paths import RunPaths

ROOT = Path(__file__).resolve().parents[3]
ROOMY = MachineState(64_000.0, 500_000.0, ())
TIGHT = MachineState(100.0, 500_000.0, ())


@pytest.fixture
def queue(tmp_path):
    return RunQueue(tmp_path / "workspace.db")


def names(queue):
    return [entry.name for entry in queue.state().entries]


def add(queue, *wanted):
    return [queue.add(RunConfig(name)) for name in wanted]


def test_the_queue_is_there_after_a_restart_in_its_order_and_as_it_was_left(queue):
    a, b, c = add(queue, "a", "b", "c")
    queue.move(c, 0)
    queue.move(a, 2)
    queue.set_running(True)
    again = RunQueue(queue.path)
    assert names(again) == ["c", "b", "a"]
    assert again.state().on
    again.remove(b)
    again.add(RunConfig("d"), at=1)
    assert names(queue) == ["c", "d", "a"]


def test_a_run_waits_with_the_paths_of_the_folder_that_it_was_added_in(queue, tmp_path, monkeypatch):
    (tmp_path / "own.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    queue.add(RunConfig(data=DataConfig(problems="own.jsonl")))
    monkeypatch.chdir("/")
    assert queue.state().entries[0].config.data.problems == str(tmp_path / "own.jsonl")


def test_an_entry_that_cannot_be_read_keeps_its_place_and_says_why(queue):
    add(queue, "a", "b")
    workspace = Workspace(queue.path)
    store = QueueStore(workspace)
    for id_, body in (("x", "{"), ("y", '{"format": 9, "config": {}}'), ("z", '{"format": 1, "config": {"stepz": 1}}')):
        store.add(id_, body, at=1)
    workspace.close()
    state = queue.state()
    assert names(queue) == ["a", "unreadable entry", "unreadable entry", "unreadable entry", "b"]
    assert ["stepz" in state.entries[1].problem, "Update" in state.entries[2].problem] == [True, True]
    outlooks = look_ahead(state, ROOMY)
    assert choose_next(state, outlooks).name == "a"
    queue.remove(state.entries[0].id)
    assert choose_next(queue.state(), outlooks).name == "b"


@given(st.text(max_size=60))
def test_no_stored_text_breaks_the_queue(body):
    assert _read_entry(QueuedRow("i", 0.0, body, "", "", False)).config is None


def test_what_does_not_fit_waits_with_its_reason_until_it_is_approved(queue):
    big = queue.add(RunConfig("big"))
    state = queue.state()
    outlooks = look_ahead(state, TIGHT)
    assert choose_next(state, outlooks) is None
    assert "of memory" in outlooks[big].reason
    assert outlooks[big].asks
    queue.approve(big)
    state = queue.state()
    assert choose_next(state, look_ahead(state, TIGHT)).id == big
    # What was approved was that configuration, not another one.
    queue.replace(big, replace(RunConfig("bigger"), steps=9000))
    state = queue.state()
    assert choose_next(state, look_ahead(state, TIGHT)) is None


def test_a_disk_too_small_for_the_checkpoints_is_a_reason_to_wait(queue):
    queue.add(RunConfig("many"))
    state = queue.state()
    outlook = look_ahead(state, MachineState(64_000.0, 1.0, ()))[state.entries[0].id]
    assert "disk" in outlook.reason


def test_a_run_that_could_not_be_started_is_not_tried_again_by_itself(queue, tmp_path):
    id_ = queue.add(RunConfig("gone", model=ModelConfig(path=str(tmp_path / "none"))))
    entry = queue.state().entries[0]
    with pytest.raises(UserError) as error:
        queue.prepare(entry, tmp_path / "runs")
    queue.give_up(entry, None, str(error.value))
    state = queue.state()
    outlooks = look_ahead(state, ROOMY)
    assert choose_next(state, outlooks) is None
    assert "could not be started" in outlooks[id_].reason


def test_a_crash_between_folder_and_launch_starts_the_run_once(queue, tmp_path):
    queue.add(RunConfig("a"))
    paths = queue.prepare(queue.state().entries[0], tmp_path / "runs")
    again = RunQueue(queue.path)
    assert again.drop_started() == ()
    assert again.prepare(again.state().entries[0], tmp_path / "runs") == paths
    paths.launch.write_text("{}")
    assert again.drop_started() == (paths.run_id,)
    assert names(again) == []
    assert RunPaths(paths.root).config.is_file()


HOLD = """
import sys
from pathlib import Path
from seirenes_app.services.run_queue import RunQueue
queue = RunQueue(Path(sys.argv[1]))
print(queue.take_over(), flush=True)
sys.stdin.read()
"""


def test_one_process_starts_the_runs_and_another_only_when_it_is_gone(queue):
    add(queue, "a")
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(queue.path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline().strip() == "True"
        assert not queue.take_over()
        assert queue.state().elsewhere == child.pid
        assert names(queue) == ["a"]
    finally:
        child.kill()
        child.communicate()
    assert queue.take_over()
    assert queue.state().elsewhere is None
    queue.release()
