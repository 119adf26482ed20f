"""Follow one run directory: a live run, one that was found again, and a replayed one are the same code path.

Reads `events.jsonl` by byte offset on a timer. It decides nothing: `reduce` and `resolve_status` do.
"""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, QThreadPool, QTimer, Signal, Slot

from training.errors import UserError
from training.runs.events import Event, EventTail
from training.runs.launch import running_process
from training.runs.lock import LockHolder
from training.runs.paths import RunPaths
from training.runs.status import RunState, reduce, resolve_status

LONG_BYTES = 256 * 1024
"""A log beyond this is caught up with in another thread, so that opening a long run does not hold the window."""


class RunWatcher(QObject):
    """Emits a new `RunState` whenever events arrive or its status changes."""

    stateChanged = Signal(object)
    eventsArrived = Signal(list)
    problem = Signal(str)
    _caught_up = Signal(object, object)

    def __init__(self, paths: RunPaths, interval_ms: int = 300, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.paths = paths
        self._tail = EventTail(paths.events)
        self._state = RunState(run_id=paths.run_id)
        self._resolved = self._state
        self._problems_reported = 0
        self._announced = self._stopped = False
        self._caught_up.connect(self._take_history)
        self._timer = QTimer(self)
        self._timer.setInterval(interval_ms)
        self._timer.timeout.connect(self.poll)

    @property
    def state(self) -> RunState:
        """The run as of the last poll."""
        return self._resolved

    def start(self) -> None:
        """Read everything that is there now, then follow."""
        self._stopped = False
        if not self._announced and _size(self.paths) > LONG_BYTES:
            QThreadPool.globalInstance().start(self._catch_up)
            return
        self._timer.start()
        self.poll()

    def stop(self) -> None:
        """Stop following; `start` goes on from the same place."""
        self._stopped = True
        self._timer.stop()

    def poll(self) -> None:
        """Read what is new. An ended run is still followed, to see a resume."""
        # Asked before the events are read: a process that is gone by then has written all that it will.
        running = running_process(self.paths)
        try:
            events, state = self._read()
        except UserError as error:
            self._refuse(error)
            return
        self._take(events, state, running)

    def _read(self) -> tuple[list[Event], RunState]:
        events, state = self._tail.poll(), self._state
        for event in events:
            state = reduce(state, event)
        return events, state

    def _catch_up(self) -> None:
        """In another thread; the timer does not run meanwhile, so nothing else touches tail and state."""
        found: RunState | UserError
        events: list[Event] = []
        try:
            events, found = self._read()
        except UserError as error:
            found = error
        try:
            self._caught_up.emit(events, found)
        except RuntimeError:
            return  # The watcher's Qt half was deleted while this read: nobody waits for the answer.

    @Slot(object, object)
    def _take_history(self, events: list[Event], state: RunState | UserError) -> None:
        if isinstance(state, UserError):
            self._refuse(state)
            return
        self._state = state
        if not self._stopped:
            self._timer.start()
            self._take(events, state, running_process(self.paths))

    def _refuse(self, error: UserError) -> None:
        self.stop()
        self.problem.emit(str(error))

    def _take(self, events: list[Event], state: RunState, running: LockHolder | None) -> None:
        self._state = state
        self._report_problems()
        before = self._resolved
        self._resolved = resolve_status(self._state, running, time.time(), launched=self.paths.launch.is_file())
        if events:
            self.eventsArrived.emit(events)
        if events or not self._announced or self._resolved.status != before.status:
            self._announced = True
            self.stateChanged.emit(self._resolved)

    def _report_problems(self) -> None:
        fresh = self._tail.problems[self._problems_reported :]
        self._problems_reported += len(fresh)
        for found in fresh:
            self.problem.emit(f"{self.paths.events.name} of {self.paths.run_id}: {found}")


def _size(paths: RunPaths) -> int:
    try:
        return paths.events.stat().st_size
    except OSError:
        return 0
