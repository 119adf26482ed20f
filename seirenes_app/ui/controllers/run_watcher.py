"""Follow one run directory on a timer: a live run, one that was found again, and a recorded one are one code path."""

from __future__ import annotations

from PySide6.QtCore import QObject, QThreadPool, QTimer, Signal, Slot

from training.errors import UserError
from training.runs.paths import RunPaths
from training.runs.status import RunState
from training.runs.watch import watch_run

LONG_BYTES = 256 * 1024
"""A log beyond this is caught up with in another thread, so that opening a long run does not hold the window."""


class RunWatcher(QObject):
    """Emits a new `RunState` whenever events arrive or its status changes."""

    stateChanged = Signal(object)
    problem = Signal(str)
    _caughtUp = Signal(object)

    def __init__(self, paths: RunPaths, interval_ms: int = 300, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.paths = paths
        self.state = RunState(run_id=paths.run_id)
        """The run as of the last poll."""
        self._watch = watch_run(paths)
        self._problems_reported = 0
        self._announced = self._stopped = False
        self._caughtUp.connect(self._on_caught_up)
        self._timer = QTimer(self)
        self._timer.setInterval(interval_ms)
        self._timer.timeout.connect(self.poll)

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
        self._take(self._read())

    def _read(self) -> RunState | UserError:
        try:
            return self._watch.poll()
        except UserError as error:
            return error

    def _catch_up(self) -> None:
        """In another thread; the timer does not run meanwhile, so nothing else touches the watch."""
        found = self._read()
        try:
            self._caughtUp.emit(found)
        except RuntimeError:
            return  # The Qt object was deleted while this read: nobody waits for the answer.

    @Slot(object)
    def _on_caught_up(self, found: RunState | UserError) -> None:
        if not self._stopped:
            self._timer.start()
        if not self._stopped or isinstance(found, UserError):
            self._take(found)

    def _take(self, found: RunState | UserError) -> None:
        if isinstance(found, UserError):
            self.stop()
            self.problem.emit(str(found))
            return
        before, self.state = self.state, found
        for problem in self._watch.problems[self._problems_reported :]:
            self._problems_reported += 1
            self.problem.emit(f"{self.paths.events.name} of {self.paths.run_id}: {problem}")
        if self._watch.events or not self._announced or found.status != before.status:
            self._announced = True
            self.stateChanged.emit(found)


def _size(paths: RunPaths) -> int:
    try:
        return paths.events.stat().st_size
    except OSError:
        return 0
