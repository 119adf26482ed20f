"""Facts about the watchdog: what is a stall, what is none, and what is said of a real one."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import psutil
import pytest
from helpers.interrupted_runs import events_of, make_run

from training.runner import run_directory
from training.runs import watchdog
from training.runs.events import ActiveClock
from training.runs.processes import watch_run
from training.runs.watchdog import STALLED_S, USUAL_TIMES, Watchdog, describe_children


class Process:
    """Something to watch, at a time of its own."""

    def __init__(self, tmp_path):
        self.t, self.ticks, self.part, self.said = 0.0, 0, "decode", []
        self.dog = Watchdog(
            lambda: self.t, lambda: self.ticks, lambda: self.part, lambda part, s: self.said.append(("stalled", part, s)),
            lambda part, s: self.said.append(("went on", part, s)), tmp_path / "log",
        )  # fmt: skip

    def wait(self, seconds):
        for _ in range(round(seconds)):
            self.t += 1
            self.dog.look()

    def tick(self):
        self.ticks += 1
        self.dog.look()


@pytest.fixture
def idle(monkeypatch):
    monkeypatch.setattr(time, "process_time", lambda: 0.0)


def test_a_minute_without_progress_is_a_stall_that_is_said_once_and_its_end_too(tmp_path, idle):
    process = Process(tmp_path)
    process.wait(STALLED_S)
    assert process.said == []
    process.wait(40)
    assert process.said == [("stalled", "decode", STALLED_S + 1)]
    process.tick()
    assert process.said[1:] == [("went on", "decode", 100)]
    process.wait(30)
    assert len(process.said) == 2


def test_a_stall_that_is_over_just_before_the_end_is_said_to_be(tmp_path, idle, monkeypatch):
    monkeypatch.setattr(watchdog, "POLL_S", 3600.0)
    process = Process(tmp_path)
    with process.dog.watch():
        process.wait(STALLED_S + 1)
        process.ticks += 1
    assert [what for what, *_ in process.said] == ["stalled", "went on"]


def test_ten_times_what_is_usual_for_a_part_is_no_stall(tmp_path, idle):
    process = Process(tmp_path)
    process.wait(20)
    process.tick()
    process.wait(USUAL_TIMES * 20)
    assert process.said == []
    process.wait(2)
    assert [what for what, *_ in process.said] == ["stalled"]
    # A stall is not usual afterwards.
    process.tick()
    process.wait(USUAL_TIMES * 20 + 2)
    assert [what for what, *_ in process.said] == ["stalled", "went on", "stalled"]


def test_a_process_that_computes_is_given_ten_minutes(tmp_path, monkeypatch):
    process = Process(tmp_path)
    monkeypatch.setattr(time, "process_time", lambda: process.t)
    process.dog = Watchdog(process.dog.clock, process.dog.progress, process.dog.part, process.dog.stalled,
                           process.dog.went_on, tmp_path / "log")  # fmt: skip
    process.wait(500)
    assert process.said == []
    process.wait(200)
    assert [what for what, *_ in process.said] == ["stalled"]


def test_a_pause_is_no_stall(tmp_path, idle, monkeypatch):
    clock, process = ActiveClock(), Process(tmp_path)
    begin = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: begin + process.t)
    process.dog.clock = clock.now
    process.tick()
    clock.pause()
    process.wait(500)
    clock.resume()
    process.wait(5)
    assert process.said == []


def test_a_child_that_is_stopped_is_named():
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()  # training.core.symbolic_worker"],
                             stdin=subprocess.PIPE)  # fmt: skip
    try:
        os.kill(child.pid, signal.SIGSTOP)
        while psutil.Process(child.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        assert f"process {child.pid} " in describe_children()
        assert "which is stopped" in describe_children()
    finally:
        child.kill()
        child.wait()


def test_a_run_that_waits_for_a_locked_database_says_so_with_its_stack_and_that_it_went_on(tmp_path, monkeypatch, when):
    monkeypatch.setattr(watchdog, "STALLED_S", 1.5)
    monkeypatch.setattr(watchdog, "USUAL_TIMES", 0.0)
    monkeypatch.setattr(watchdog, "POLL_S", 0.1)
    paths = make_run(tmp_path, "r", "steps=12", "rollout.questions=2", "rollout.clean=2", "rollout.hinted=1",
                     "checkpoint.every=1", "evaluation.every=0")  # fmt: skip

    def said(kind):
        return [e.data for e in events_of(paths) if e.kind == kind and e.data["code"] == "stalled_stage"]

    def lock():
        other = sqlite3.connect(paths.rollouts, isolation_level=None, timeout=30, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=unlock, args=(other,), daemon=True)
        threads.append(thread)
        thread.start()

    def unlock(other):
        deadline = time.monotonic() + 120
        while not any("locked" in w["message"] for w in said("warning")) and time.monotonic() < deadline:
            # Seldom: what this thread computes counts as the run's own work.
            time.sleep(0.3)
        other.execute("ROLLBACK")
        other.close()

    threads = []
    when(lambda: any(e.kind == "checkpoint" for e in events_of(paths)), lock)
    assert run_directory(paths.root) == "finished"
    threads[0].join()
    (warning,) = [w for w in said("warning") if "locked" in w["message"]]
    assert str(paths.rollouts) in warning["message"]
    assert "No progress for" in warning["message"]
    assert "Close the program" in warning["remedy"]
    assert "rollouts/database.py" in paths.log.read_text(encoding="utf-8", errors="replace")
    assert len(said("cleared")) == len(said("warning"))
    assert "stalled_stage" not in watch_run(paths).poll().raised
