"""Follow one run directory: a live run, one that was found again, and a replayed one are the same code path.

Reads `events.jsonl` by byte offset on a timer. It decides nothing: `reduce` and `judge` do.
"""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, QTimer, Signal

from training.errors import UserError
from training.rundir.events import EventTail
from training.rundir.lock import holder
from training.rundir.paths import RunPaths
from training.rundir.state import RunState, RunStatus, judge, reduce

ENDED = frozenset({RunStatus.FINISHED, RunStatus.STOPPED, RunStatus.FAILED, RunStatus.DIED})
LIVE = frozenset(RunStatus) - ENDED


class RunWatcher(QObject):
    """Emits a new `RunState` whenever events arrive or the verdict about the run changes."""

    stateChanged = Signal(object)
    eventsArrived = Signal(list)
    problem = Signal(str)

    def __init__(self, paths: RunPaths, interval_ms: int = 300, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.paths = paths
        self._tail = EventTail(paths.events)
        self._state = RunState(run_id=paths.run_id)
        self._judged = self._state
        self._problems_told = 0
        self._announced = False
        self._timer = QTimer(self)
        self._timer.setInterval(interval_ms)
        self._timer.timeout.connect(self.poll)

    @property
    def state(self) -> RunState:
        """The run as of the last poll."""
        return self._judged

    def start(self) -> None:
        """Read everything that is there now, then follow."""
        self._timer.start()
        self.poll()

    def stop(self) -> None:
        """Stop following; `start` goes on from the same place."""
        self._timer.stop()

    def poll(self) -> None:
        """Read what is new. An ended run is still followed, slowly enough to see a resume."""
        try:
            events = self._tail.poll()
        except UserError as error:
            self.stop()
            self.problem.emit(str(error))
            return
        for event in events:
            self._state = reduce(self._state, event)
        self._tell_problems()
        before = self._judged
        self._judged = judge(self._state, holder(self.paths.lock), time.time())
        if events:
            self.eventsArrived.emit(events)
        if events or not self._announced or self._judged.status != before.status:
            self._announced = True
            self.stateChanged.emit(self._judged)

    def _tell_problems(self) -> None:
        fresh = self._tail.problems[self._problems_told :]
        self._problems_told += len(fresh)
        for found in fresh:
            self.problem.emit(f"{self.paths.events.name} of {self.paths.run_id}: {found}")
