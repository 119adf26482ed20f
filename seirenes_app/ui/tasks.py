"""Work in pool threads whose result lands in the window's thread. No widgets.

self._tasks.run(library.list_runs, self.render, self.problem.emit)
# One key, latest wins: the older task's result is dropped, and it is not started if it still waits for a thread.
self._tasks.run(lambda: source.rows(query), self._render_rows, key="rows")
# For a timer: leave a running one alone.
if not self._tasks.is_running("poll"):
    self._tasks.run(source.poll, self._render, key="poll")
# With progress and cancellation: the work takes its task.
task = self._tasks.run_task(
    lambda task: export(ids, file, progress=task.report, cancelled=lambda: task.cancelled),
    self._on_exported, self._on_export_failed, progress=self._bar.render,
)
task.cancel()
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Hashable
from typing import Any

from PySide6.QtCore import QObject, QThreadPool, Signal, Slot
from shiboken6 import isValid

from training.errors import UserError

SWITCH_S = 0.001
"""How long a computing thread may keep the interpreter from the window's thread. Python's default of 5 ms is felt."""
CLOSE_TIMEOUT_MS = 5000

Handler = Callable[[Any], object]


class Task:
    """One piece of work. `cancelled` and `report` may be used in any thread, `cancel` in the window's."""

    def __init__(self, runner: TaskRunner, key: Hashable | None) -> None:
        self.key = key
        self.cancelled = False
        self._runner = runner
        self._lock = threading.Lock()
        self._reported: tuple[Any, ...] | None = None

    def cancel(self) -> None:
        """No handler of this task is called any more. Work that reads `cancelled` ends early."""
        self.cancelled = True
        self._runner.forget(self)

    def report(self, *values: Any) -> None:
        """Hand values to the progress handler. Where reports come faster than they are shown, the newest counts."""
        with self._lock:
            waiting, self._reported = self._reported is not None, values
        if not waiting and not self.cancelled:
            _emit(self._runner, "progressed", self)

    def take_report(self) -> tuple[Any, ...]:
        with self._lock:
            values, self._reported = self._reported, None
        return values or ()


class TaskRunner(QObject):
    """A small thread pool. `run` returns at once; handlers are called in the thread this object lives in.

    A `UserError` goes to the failure handler as text. Without a failure handler, and for any other exception, the error
    is raised in the window's thread, where the exception hook reports it. Nothing of a cancelled task is delivered.
    """

    progressed = Signal(object)
    _ended = Signal(object, object, object)

    def __init__(self, parent: QObject | None = None, *, threads: int = 2) -> None:
        super().__init__(parent)
        sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(threads)
        self._keyed: dict[Hashable, Task] = {}
        self._handlers: dict[Task, tuple[Handler | None, Callable[[str], object] | None, Callable[..., object] | None]]
        self._handlers = {}
        self._waiting: dict[Hashable, Callable[[], object]] = {}
        self._closed = False
        self.progressed.connect(self._on_progressed)
        self._ended.connect(self._on_ended)

    def run(
        self,
        work: Callable[[], Any],
        done: Handler | None = None,
        failed: Callable[[str], object] | None = None,
        *,
        key: Hashable | None = None,
        queue: bool = False,
    ) -> Task:
        """Run `work()` in the pool, then `done(result)` or `failed(text)` here.

        Of one `key` the latest call wins. With `queue` the running task of that key is left to finish, and the latest
        call runs after it: for a refresh that is asked for again while it is under way.
        """
        return self.run_task(lambda _task: work(), done, failed, key=key, queue=queue)

    def run_task(
        self,
        work: Callable[[Task], Any],
        done: Handler | None = None,
        failed: Callable[[str], object] | None = None,
        *,
        progress: Callable[..., object] | None = None,
        key: Hashable | None = None,
        queue: bool = False,
    ) -> Task:
        """`run` for work that takes its `Task`: `task.report(…)` calls `progress(…)` here."""
        task = Task(self, key)
        if self._closed:
            task.cancelled = True
            return task
        if key is not None and (older := self._keyed.get(key)) is not None:
            if queue:
                self._waiting[key] = lambda: self._start(task, work, done, failed, progress)
                return task
            self._waiting.pop(key, None)
            older.cancel()
        self._start(task, work, done, failed, progress)
        return task

    def _start(
        self, task: Task, work: Callable[[Task], Any], done: Handler | None, failed: Callable[[str], object] | None,
        progress: Callable[..., object] | None,
    ) -> None:  # fmt: skip
        if task.cancelled:
            return
        if task.key is not None:
            self._keyed[task.key] = task
        self._handlers[task] = done, failed, progress

        def job() -> None:
            if task.cancelled:
                return
            try:
                result, error = work(task), None
            except Exception as caught:  # noqa: BLE001 - a thread's edge: carried over and reported in the window's thread
                result, error = None, caught
            if not task.cancelled:
                _emit(self, "_ended", task, result, error)

        self._pool.start(job)

    def is_running(self, key: Hashable) -> bool:
        """Whether a task of this key has started and not ended."""
        return key in self._keyed

    def cancel(self, *keys: Hashable) -> None:
        """Cancel the tasks of these keys, or all tasks."""
        for key in keys or tuple(self._waiting):
            self._waiting.pop(key, None)
        for task in tuple(self._handlers):
            if not keys or task.key in keys:
                task.cancel()

    def forget(self, task: Task) -> None:
        """Drop a task's handlers; the next one of its key may start."""
        self._handlers.pop(task, None)
        if task.key is not None and self._keyed.get(task.key) is task:
            del self._keyed[task.key]
            if (start := self._waiting.pop(task.key, None)) is not None:
                start()

    def close(self) -> None:
        """Cancel everything, take no more work, and wait for what is under way."""
        self._closed = True
        self.cancel()
        self._pool.clear()
        self._pool.waitForDone(CLOSE_TIMEOUT_MS)

    @Slot(object)
    def _on_progressed(self, task: Task) -> None:
        values = task.take_report()
        handlers = self._handlers.get(task)
        if handlers is not None and handlers[2] is not None and _has_receiver(handlers[2]):
            handlers[2](*values)

    @Slot(object, object, object)
    def _on_ended(self, task: Task, result: Any, error: Exception | None) -> None:
        if task.cancelled:
            return
        done, failed, _progress = self._handlers[task]
        self.forget(task)
        if error is None:
            if done is not None and _has_receiver(done):
                done(result)
        elif isinstance(error, UserError) and failed is not None:
            if _has_receiver(failed):
                failed(str(error))
        else:
            raise error


def _emit(runner: TaskRunner, signal: str, *values: Any) -> None:
    """Emit from a pool thread. A runner can be deleted with its dialog while work is under way: nobody waits for it."""
    try:
        getattr(runner, signal).emit(*values)
    except RuntimeError:
        if isValid(runner):
            raise


def _has_receiver(handler: Callable[..., object]) -> bool:
    """False for a method of a Qt object that was deleted while the task ran, such as a closed dialog."""
    receiver = getattr(handler, "__self__", None)
    return not isinstance(receiver, QObject) or isValid(receiver)
