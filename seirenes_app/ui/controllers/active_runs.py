"""Which runs are live, found in the repository or started here: one watcher each, until it ends."""

from __future__ import annotations

import time
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from seirenes_app.ui.controllers.run_watcher import RunWatcher
from seirenes_app.ui.controllers.trainer_control import TrainerControl
from seirenes_app.ui.models.runs_model import RunsModel
from training.runs.launch import running_process
from training.runs.paths import RunPaths
from training.runs.status import RunState


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
        self._started: dict[Path, float] = {}
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
        """Stop following."""
        for watcher in self._watchers.values():
            watcher.stop()
        self._watchers.clear()

    def _on_started(self, paths: RunPaths) -> None:
        self._started[paths.root] = time.time()
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
        # From launch to first event a run looks as it did before: a trainer needs seconds to import its libraries.
        if state.over and state.last_t > self._started.get(paths.root, 0.0):
            self._drop(paths)
            self.ended.emit(paths, state)
            self._runs.refresh()
        else:
            self.changed.emit()

    def _on_start_failed(self, paths: RunPaths) -> None:
        self._drop(paths)
        self._runs.refresh()

    def _drop(self, paths: RunPaths) -> None:
        watcher = self._watchers.pop(paths.root, None)
        self._started.pop(paths.root, None)
        if watcher is not None:
            watcher.stop()
            watcher.deleteLater()
            self.changed.emit()
