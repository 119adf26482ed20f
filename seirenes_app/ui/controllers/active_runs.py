"""Which runs are going, found in the library or started here: one watcher each, until it ends."""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, Signal

from seirenes_app.ui.controllers.run_watcher import RunWatcher
from seirenes_app.ui.controllers.trainer_control import TrainerControl
from seirenes_app.ui.models.runs_model import RunsModel
from training.runs.lock import holder
from training.runs.paths import RunPaths
from training.runs.status import RunState


class ActiveRuns(QObject):
    """Follows every live run, whoever started it. `changed` after any news; `ended` once for each that ends."""

    changed = Signal()
    ended = Signal(object, object)
    """(RunPaths, RunState)"""
    found = Signal(object)
    """RunPaths of a run that was already going when it was seen first."""
    problem = Signal(str)

    def __init__(self, runs: RunsModel, control: TrainerControl, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._runs = runs
        self._watchers: dict[str, RunWatcher] = {}
        self._started: dict[str, float] = {}
        """When a run was launched here, in seconds since 1970; until it is over."""
        runs.loaded.connect(self._look)
        control.started.connect(self._take_started)
        control.discarded.connect(self._drop)
        control.startFailed.connect(self._give_up)

    @property
    def live(self) -> tuple[tuple[RunPaths, RunState], ...]:
        """Runs that are going, newest last."""
        return tuple((w.paths, w.state) for w in self._watchers.values())

    def state_of(self, paths: RunPaths) -> RunState | None:
        """State of a live run."""
        watcher = self._watchers.get(paths.run_id)
        return watcher.state if watcher is not None else None

    def close(self) -> None:
        """Follow nothing any more."""
        for watcher in self._watchers.values():
            watcher.stop()
        self._watchers.clear()

    def _take_started(self, paths: RunPaths) -> None:
        self._started[paths.run_id] = time.time()
        self._watch(paths)
        self._runs.refresh()

    def _look(self) -> None:
        for summary in self._runs.summaries:
            state = summary.state
            if state is None or state.over or summary.paths.run_id in self._watchers:
                continue
            if holder(summary.paths.lock) is not None:
                self._watch(summary.paths)
                self.found.emit(summary.paths)

    def _watch(self, paths: RunPaths) -> None:
        if paths.run_id in self._watchers:
            return
        watcher = RunWatcher(paths, interval_ms=500, parent=self)
        self._watchers[paths.run_id] = watcher
        watcher.stateChanged.connect(lambda state: self._take_state(paths, state))
        watcher.problem.connect(self.problem)
        watcher.start()
        self.changed.emit()

    def _take_state(self, paths: RunPaths, state: RunState) -> None:
        # From launch to first event a run looks as it did before: a trainer needs seconds to import its libraries.
        since = self._started.get(paths.run_id, 0.0)
        if state.over and state.last_t > since:
            self._drop(paths)
            self.ended.emit(paths, state)
            self._runs.refresh()
        else:
            self.changed.emit()

    def _give_up(self, paths: RunPaths) -> None:
        """A start came to nothing."""
        self._drop(paths)
        self._runs.refresh()

    def _drop(self, paths: RunPaths) -> None:
        watcher = self._watchers.pop(paths.run_id, None)
        self._started.pop(paths.run_id, None)
        if watcher is not None:
            watcher.stop()
            watcher.deleteLater()
            self.changed.emit()
