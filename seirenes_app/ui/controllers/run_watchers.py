"""Which runs are live, found in the repository or started here: one watcher each, until it ends."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, QThreadPool, QTimer, Signal, Slot

from seirenes_app.ui.controllers.trainer_control import TrainerControl, file_size
from seirenes_app.ui.models.runs_model import RunsModel
from training.errors import UserError
from training.runs.paths import RunPaths
from training.runs.processes import running_process, watch_run
from training.runs.status import RunState, RunStatus

LONG_BYTES = 256 * 1024
"""A log beyond this is caught up with in another thread, so that opening a long run does not hold the window."""


class RunWatcher(QObject):
    """Emits a new `RunState` whenever events arrive, its status changes, or it has been silent for longer."""

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
        if not self._announced and file_size(self.paths.events) > LONG_BYTES:
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
        changed = (found.status, found.silent_s) != (before.status, before.silent_s)
        if self._watch.events or not self._announced or changed:
            self._announced = True
            self.stateChanged.emit(found)


class ActiveRuns(QObject):
    """Follows every live run, whoever started it. `changed` after any news; `ended` once for each that ends."""

    changed = Signal()
    ended = Signal(object, object)
    """(RunPaths, RunState)"""
    found = Signal(object)
    """RunPaths of a run that was already live when it was seen first."""
    problem = Signal(str)

    def __init__(self, runs: RunsModel, control: TrainerControl, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._runs = runs
        self._watchers: dict[Path, RunWatcher] = {}
        self._before: dict[Path, float | None] = {}
        """For runs that were started here and have not been seen at work since: when they had ended before."""
        """When a run was launched here, in seconds since 1970; until it is over."""
        runs.loaded.connect(self._on_runs_loaded)
        control.started.connect(self._on_started)
        control.discarded.connect(self._drop)
        control.startFailed.connect(self._on_start_failed)

    @property
    def live(self) -> tuple[tuple[RunPaths, RunState], ...]:
        """Live runs, newest last."""
        return tuple((w.paths, w.state) for w in self._watchers.values())

    def close(self) -> None:
        for watcher in self._watchers.values():
            watcher.stop()
        self._watchers.clear()

    def _on_started(self, paths: RunPaths) -> None:
        self._before[paths.root] = None
        self._watch(paths)
        self._runs.refresh()

    def _on_runs_loaded(self) -> None:
        for summary in self._runs.summaries:
            paths, state = summary.paths, summary.state
            over = state is None or state.over or paths.root in self._watchers
            if not over and running_process(paths) is not None:
                self._watch(paths)
                self.found.emit(paths)

    def _watch(self, paths: RunPaths) -> None:
        if paths.root in self._watchers:
            return
        watcher = self._watchers[paths.root] = RunWatcher(paths, interval_ms=500, parent=self)
        watcher.stateChanged.connect(lambda state: self._on_state_changed(paths, state))
        watcher.problem.connect(self.problem)
        watcher.start()
        self.changed.emit()

    def _on_state_changed(self, paths: RunPaths, state: RunState) -> None:
        if not state.over:
            self._before.pop(paths.root, None)
        if state.over and not self._is_earlier_end(paths.root, state.last_t):
            self._drop(paths)
            self.ended.emit(paths, state)
            self._runs.refresh()
        elif state.status is RunStatus.NOT_FOLLOWED:
            # Nothing is at work here: it is offered to be followed again where it is listed.
            self._drop(paths)
            self._runs.refresh()
        else:
            self.changed.emit()

    def _is_earlier_end(self, root: Path, ended_t: float) -> bool:
        """Until a trainer that was resumed is seen at work, its run is shown as it was before."""
        if root not in self._before:
            return False
        if self._before[root] is None:
            self._before[root] = ended_t
        return self._before[root] == ended_t

    def _on_start_failed(self, paths: RunPaths) -> None:
        self._drop(paths)
        self._runs.refresh()

    def _drop(self, paths: RunPaths) -> None:
        watcher = self._watchers.pop(paths.root, None)
        self._before.pop(paths.root, None)
        if watcher is not None:
            watcher.stop()
            watcher.deleteLater()
            self.changed.emit()
