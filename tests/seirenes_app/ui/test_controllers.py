"""Facts about watching and controlling trainers, with real child processes that hold real locks."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from seirenes_app.services.run_repository import RunRepository
from seirenes_app.ui.controllers import run_watchers
from seirenes_app.ui.controllers.run_watchers import ActiveRuns, RunWatcher
from seirenes_app.ui.controllers.trainer_control import TrainerControl
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.tasks import TaskRunner
from training.errors import UserError
from training.runs.config import RunConfig
from training.runs.control import CommandKind, CommandTail
from training.runs.events import EventKind, EventLog
from training.runs.lock import holder
from training.runs.paths import new_run
from training.runs.processes import StopTimes
from training.runs.status import RunStatus

ROOT = Path(__file__).resolve().parents[3]
# Holds the lock; ends when asked to stop ("polite"), on SIGTERM only ("deaf"), or on SIGKILL only ("stubborn").
TRAINER = """
import signal, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from training.runs.control import CommandKind, CommandTail, commands_size
from training.runs.lock import RunLock
from training.runs.paths import RunPaths
paths, manner = RunPaths(Path(sys.argv[2])), sys.argv[3]
if manner == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = RunLock(paths.lock)
lock.acquire()
tail = CommandTail(paths.commands, commands_size(paths.commands))
print("held", flush=True)
end = time.monotonic() + 600
while time.monotonic() < end:
    if manner == "polite" and any(c.kind == CommandKind.STOP for c in tail.poll()):
        break
    time.sleep(0.02)
"""
QUICK = StopTimes(waiting_s=0.4, terminate_s=0.8, kill_s=1.6)


@pytest.fixture
def trainer():
    """A function that starts a stand-in trainer process for a run."""
    children = []

    def start(paths, manner="polite"):
        command = [sys.executable, "-c", TRAINER, str(ROOT), str(paths.root), manner]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"held\n"
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()
        child.stdout.close()


def open_run(root, name="a-run"):
    paths = new_run(root, RunConfig(), name)
    writer = EventLog(paths.events)
    writer.write(EventKind.LAUNCH, run_id=name, steps=9, mode="seirenes", model="starter", resumed_from=None)
    return paths, writer


# ---------------------------------------------------------------------- following


def test_a_watcher_reads_what_is_there_and_follows(qtbot, tmp_path, trainer):
    paths, writer = open_run(tmp_path)
    trainer(paths)
    writer.write(EventKind.STEP, step=1, metrics={"seconds": 1.0})
    watcher = RunWatcher(paths, interval_ms=10)
    watcher.start()
    assert watcher.state.step == 1
    with qtbot.waitSignal(watcher.stateChanged):
        writer.write(EventKind.STEP, step=2, metrics={"seconds": 1.0})
    assert watcher.state.step == 2
    assert watcher.state.status is RunStatus.RUNNING
    watcher.stop()


def test_a_trainer_that_is_killed_is_seen_to_have_died(qtbot, tmp_path, trainer):
    paths, _writer = open_run(tmp_path)
    child = trainer(paths)
    watcher = RunWatcher(paths, interval_ms=10)
    watcher.start()
    child.send_signal(signal.SIGKILL)
    child.wait()
    qtbot.waitUntil(lambda: watcher.state.status is RunStatus.CRASHED)
    watcher.stop()


def test_a_watcher_says_how_long_a_run_has_been_silent(qtbot, tmp_path, trainer, monkeypatch):
    paths, writer = open_run(tmp_path)
    trainer(paths)
    watcher = RunWatcher(paths, interval_ms=10)
    watcher.start()
    monotonic, said = time.monotonic, []
    watcher.stateChanged.connect(lambda state: said.append(state.silent_s))
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 65.0)
    qtbot.waitUntil(lambda: watcher.state.silent_s > 0)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 125.0)
    qtbot.waitUntil(lambda: watcher.state.silent_s > 100)
    assert [s // 60 for s in said] == [1, 2]
    watcher.stop()
    writer.close()


def test_a_half_written_line_waits_and_a_corrupt_one_is_told(qtbot, tmp_path):
    paths, writer = open_run(tmp_path)
    watcher = RunWatcher(paths, interval_ms=10)
    told = []
    watcher.problem.connect(told.append)
    watcher.start()
    with paths.events.open("ab") as file:
        file.write(b"{broken\n")
        file.write(b'{"v":1,"seq":9,')
    qtbot.waitUntil(lambda: len(told) == 1)
    assert "line 2" in told[0]
    with paths.events.open("ab") as file:
        file.write(b'"t":5.0,"event":"step","step":7,"metrics":{}}\n')
    qtbot.waitUntil(lambda: watcher.state.step == 7)
    watcher.stop()
    writer.close()


def test_a_long_log_is_caught_up_with_in_another_thread(qtbot, tmp_path, monkeypatch):
    paths, writer = open_run(tmp_path)
    for step in range(1, 50):
        writer.write(EventKind.STEP, step=step, metrics={"seconds": 1.0})
    monkeypatch.setattr(run_watchers, "LONG_BYTES", 100)
    watcher = RunWatcher(paths, interval_ms=10)
    with qtbot.waitSignal(watcher.stateChanged):
        watcher.start()
        assert watcher.state.step == 0
    assert watcher.state.step == 49
    with qtbot.waitSignal(watcher.stateChanged):
        writer.write(EventKind.STEP, step=50, metrics={"seconds": 1.0})
    assert len(watcher.state.history) == 50
    watcher.stop()


def test_events_of_a_newer_format_are_refused_in_words(qtbot, tmp_path):
    paths, _writer = open_run(tmp_path)
    with paths.events.open("ab") as file:
        file.write(b'{"v":2,"seq":9,"t":5.0,"event":"step","step":7}\n')
    watcher = RunWatcher(paths)
    with qtbot.waitSignal(watcher.problem) as blocker:
        watcher.start()
    assert "newer" in blocker.args[0]


# ---------------------------------------------------------------------- control


def test_a_polite_trainer_stops_when_asked(qtbot, tmp_path, trainer):
    paths, _writer = open_run(tmp_path)
    child = trainer(paths)
    control = TrainerControl(tmp_path)
    said = []
    control.stopChanged.connect(lambda _paths, text: said.append(text))
    with qtbot.waitSignal(control.stopped):
        control.stop_and_save(paths)
        assert control.stopping(paths)
        threading.Thread(target=child.wait).start()
    assert said[0].startswith("Asked")
    assert said[-1] == "The process has ended."
    assert not any("killing" in text or "terminating" in text for text in said)


@pytest.mark.parametrize(
    ("manner", "last_phase", "kill_s"), [("deaf", "terminating", None), ("stubborn", "killing", QUICK.kill_s)]
)
def test_a_stop_escalates_until_the_trainer_is_gone(qtbot, tmp_path, trainer, manner, last_phase, kill_s):
    paths, _writer = open_run(tmp_path)
    child = trainer(paths, manner)
    control = TrainerControl(tmp_path, times=replace(QUICK, kill_s=kill_s))
    said = []
    control.stopChanged.connect(lambda _paths, text: said.append(text))
    with qtbot.waitSignal(control.stopped):
        control.stop_and_save(paths)
    assert any(last_phase in text for text in said)
    assert child.poll() is not None
    assert holder(paths.lock) is None


def test_pause_checkpoint_and_continue_are_written_for_the_trainer(qtbot, tmp_path):
    paths, _writer = open_run(tmp_path)
    control = TrainerControl(tmp_path)
    tail = CommandTail(paths.commands)
    for do in (control.pause, control.checkpoint, control.unpause):
        do(paths)
    assert [c.kind for c in tail.poll()] == [CommandKind.PAUSE, CommandKind.CHECKPOINT, CommandKind.RESUME]


def test_discarding_a_live_run_stops_it_and_moves_it_to_the_trash(qtbot, tmp_path, trainer):
    paths, _writer = open_run(tmp_path)
    trainer(paths)
    control = TrainerControl(tmp_path, times=QUICK)
    with qtbot.waitSignal(control.discarded):
        control.discard(paths)
    assert not paths.root.exists()
    assert (tmp_path / ".trash" / "a-run" / "events.jsonl").exists()


def test_a_trainer_that_ends_before_it_began_is_told(qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    control = TrainerControl(tmp_path)
    with qtbot.waitSignal(control.failed) as blocker:
        paths = control.start(RunConfig())
    assert "exited before its first step" in blocker.args[0]
    assert paths.config.exists()


def test_a_trainer_that_cannot_be_started_is_a_user_error(qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(UserError):
        TrainerControl(tmp_path).start(RunConfig())


def test_a_running_run_is_not_started_twice(qtbot, tmp_path, trainer):
    paths, _writer = open_run(tmp_path)
    child = trainer(paths)
    with pytest.raises(UserError, match=str(child.pid)):
        TrainerControl(tmp_path).resume(paths)


# ---------------------------------------------------------------------- active runs, background


@pytest.fixture
def crew(qtbot, tmp_path):
    background = TaskRunner()
    runs = RunsModel(RunRepository(tmp_path), None, background)
    control = TrainerControl(tmp_path, times=QUICK)
    active = ActiveRuns(runs, control)
    yield runs, control, active
    active.close()
    background.close()


def test_a_run_that_outlived_the_window_is_found_again(qtbot, tmp_path, crew, trainer):
    runs, control, active = crew
    paths, _writer = open_run(tmp_path)
    trainer(paths)
    with qtbot.waitSignal(active.found):
        runs.refresh()
    assert [p.run_id for p, _ in active.live] == ["a-run"]
    with qtbot.waitSignal(active.ended):
        control.stop_and_save(paths)
    assert active.live == ()


def test_a_run_that_did_not_start_is_not_live(qtbot, tmp_path, crew, monkeypatch):
    _runs, control, active = crew
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with qtbot.waitSignal(control.failed):
        control.start(RunConfig())
        assert len(active.live) == 1
    assert active.live == ()


@pytest.mark.parametrize("set_back_s", [0.0, 365 * 86400.0], ids=["", "after which the clock is set back by a year"])
def test_a_resumed_run_counts_as_live_although_it_was_over(qtbot, tmp_path, crew, monkeypatch, set_back_s):
    _runs, control, active = crew
    paths, writer = open_run(tmp_path)
    writer.write(EventKind.DONE, outcome="stopped", message="", error=None)
    sleeper = tmp_path / "python"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sleeper))
    control.resume(paths)
    qtbot.wait(700)
    assert [p for p, _ in active.live] == [paths]
    ended = []
    active.ended.connect(lambda *args: ended.append(args))
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() - set_back_s)
    writer.write(EventKind.LAUNCH, run_id="a-run", steps=9, resumed_from=0)
    writer.write(EventKind.DONE, outcome="finished", message="", error=None)
    qtbot.waitUntil(lambda: bool(ended))
    control.discard(paths)
    qtbot.waitUntil(lambda: not paths.root.exists())


def test_listing_many_runs_does_not_hold_the_window(qtbot, tmp_path):
    for i in range(40):
        _paths, writer = open_run(tmp_path, f"run-{i:02}")
        for step in range(1, 60):
            writer.write(EventKind.STEP, step=step, metrics={"seconds": 1.0, "clean_accuracy": 0.5})
        writer.close()
    background = TaskRunner()
    runs = RunsModel(RunRepository(tmp_path), None, background)
    began = time.thread_time()
    RunRepository(tmp_path).list_runs()
    whole = time.thread_time() - began
    began = time.thread_time()
    runs.refresh()
    assert time.thread_time() - began < whole / 4
    qtbot.waitUntil(lambda: runs.rowCount() == 40)
    began = time.thread_time()
    runs.render(runs.summaries)
    assert time.thread_time() - began < whole / 2
    background.close()
