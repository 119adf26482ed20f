"""Facts about work in pool threads: order, cancellation, progress, errors."""

import threading
import time

import pytest
import shiboken6
from PySide6.QtWidgets import QLabel

from seirenes_app.ui.tasks import TaskRunner
from training.errors import UserError


@pytest.fixture
def runner(qtbot):
    made = TaskRunner(threads=1)
    yield made
    made.close()


def test_the_result_lands_in_the_windows_thread(qtbot, runner):
    seen = []
    runner.run(threading.get_ident, lambda ident: seen.append((ident, threading.get_ident())))
    qtbot.waitUntil(lambda: bool(seen))
    worker, landed = seen[0]
    assert worker != threading.get_ident()
    assert landed == threading.get_ident()


def test_a_user_error_goes_to_the_failure_handler_and_a_bug_to_the_exception_hook(qtbot, runner):
    failed = []

    def refuse():
        raise UserError("what to do")

    runner.run(refuse, failed=failed.append)
    qtbot.waitUntil(lambda: failed == ["what to do"])
    with qtbot.captureExceptions() as caught:
        runner.run(lambda: 1 / 0, failed=failed.append)
        runner.run(refuse)
        qtbot.waitUntil(lambda: len(caught) == 2)
    assert [kind for kind, *_ in caught] == [ZeroDivisionError, UserError]
    assert failed == ["what to do"]


def test_of_one_key_the_latest_wins_and_what_waits_never_starts(qtbot, runner):
    gate, started, seen = threading.Event(), [], []
    for name in ("first", "second", "third"):
        runner.run(lambda n=name: (started.append(n), gate.wait(60), n)[-1], seen.append, key="rows")
    gate.set()
    qtbot.waitUntil(lambda: bool(seen))
    qtbot.wait(30)
    assert seen == ["third"]
    assert "second" not in started


def test_a_queued_refresh_lets_the_running_one_finish_and_runs_once_more(qtbot, runner):
    gate, seen = threading.Event(), []
    for n in range(4):
        runner.run(lambda n=n: (gate.wait(60), n)[-1], seen.append, key="list", queue=True)
    assert runner.is_running("list")
    gate.set()
    qtbot.waitUntil(lambda: seen == [0, 3])
    assert not runner.is_running("list")


def test_a_handler_may_start_the_next_task_of_its_key(qtbot, runner):
    seen = []

    def again(n):
        seen.append(n)
        if n < 3:
            runner.run(lambda: n + 1, again, key="count")

    runner.run(lambda: 1, again, key="count")
    qtbot.waitUntil(lambda: seen == [1, 2, 3])


def test_cancelled_work_ends_early_and_nothing_of_it_is_delivered(qtbot, runner):
    began, ended, seen = threading.Event(), threading.Event(), []

    def work(task):
        began.set()
        while not task.cancelled:
            time.sleep(0.002)
        ended.set()
        raise UserError("too late")

    task = runner.run_task(work, seen.append, seen.append, progress=seen.append, key="export")
    assert began.wait(60)
    task.cancel()
    assert not runner.is_running("export")
    assert ended.wait(60)
    qtbot.wait(30)
    assert seen == []


def test_progress_keeps_the_newest_report_and_comes_before_the_end(qtbot, runner):
    seen = []

    def work(task):
        for n in range(1000):
            task.report(n, 1000)
        return "end"

    runner.run_task(work, seen.append, progress=lambda n, total: seen.append((n, total)))
    qtbot.waitUntil(lambda: bool(seen) and seen[-1] == "end")
    assert seen[-2] == (999, 1000)
    assert len(seen) < 1000


def test_a_closed_runner_takes_no_work_and_delivers_nothing(qtbot, runner):
    seen = []
    runner.run(lambda: time.sleep(0.05), seen.append)
    runner.close()
    runner.run(lambda: 1, seen.append)
    qtbot.wait(30)
    assert seen == []


def test_a_result_for_a_deleted_widget_is_dropped(qtbot, runner):
    label, seen, gate = QLabel(), [], threading.Event()
    with qtbot.captureExceptions() as caught:
        runner.run(lambda: gate.wait(60) and "late", label.setText)
        shiboken6.delete(label)
        gate.set()
        runner.run(lambda: None, seen.append)
        qtbot.waitUntil(lambda: bool(seen))
    assert not caught


def test_work_that_outlives_its_runner_ends_in_silence(qtbot, capfd):
    parent, going, go_on = QLabel(), threading.Event(), threading.Event()

    def work(task):
        going.set()
        go_on.wait(60)
        task.report(1)
        return 2

    runner = TaskRunner(parent, threads=1)
    runner.run_task(work, lambda _: None)
    assert going.wait(60)
    deleted = threading.Timer(0.2, go_on.set)
    deleted.start()
    shiboken6.delete(parent)
    deleted.join()
    time.sleep(0.2)
    assert "deleted" not in capfd.readouterr().err
