"""Train: make a run, watch a run. Two faces; which one is shown is the only thing this page decides."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QMessageBox, QStackedLayout, QWidget

from seirenes_app.lab.library import RunLibrary
from seirenes_app.store.settings import Settings
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.train_parts.new_run import NewRun
from seirenes_app.ui.pages.train_parts.run_view import RunView
from seirenes_app.ui.processes.background import Background
from seirenes_app.ui.processes.run_watcher import RunWatcher
from seirenes_app.ui.processes.trainer_control import TrainerControl
from seirenes_app.ui.theme import Theme
from seirenes_app.ui.widgets.dialogs import MessageDialog
from training.errors import UserError
from training.rundir.config import RunConfig
from training.rundir.paths import RunPaths
from training.rundir.state import RunState

TICK_MS = 200
METERS_MS = 2000


class TrainPage(Page):
    """See the module."""

    key = "train"
    title = "Train"
    icon = "train"

    runOpened = Signal(object)

    def __init__(
        self,
        control: TrainerControl,
        library: RunLibrary,
        settings: Settings,
        *,
        background: Background,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._control, self._library, self._settings, self._background = control, library, settings, background
        self._watcher: RunWatcher | None = None
        self._state = RunState()
        self._queue: list[RunConfig] = []
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._meter_timer = QTimer(self)
        self._meter_timer.setInterval(METERS_MS)
        self._build()
        self._connect()

    def _build(self) -> None:
        self._stack = QStackedLayout(self)
        self.new = NewRun(self._library, self._background)
        self.view = RunView()
        self._stack.addWidget(self.new)
        self._stack.addWidget(self.view)

    def _connect(self) -> None:
        self._timer.timeout.connect(self.view.tick)
        self._meter_timer.timeout.connect(self._measure)
        self.new.startAsked.connect(self._start)
        self.new.queueAsked.connect(self._enqueue)
        self.new.unqueueAsked.connect(self._unqueue)
        self.new.problem.connect(self._tell)
        self.view.newAsked.connect(lambda: self.show_new(None))
        for signal, does in (
            (self.view.pauseAsked, self._control.pause),
            (self.view.unpauseAsked, self._control.unpause),
            (self.view.checkpointAsked, self._control.checkpoint),
            (self.view.stopAsked, self._control.stop_and_save),
            (self.view.resumeAsked, self._control.resume),
            (self.view.discardAsked, self._discard),
        ):
            signal.connect(lambda d=does: self._do(d))
        self._control.ladder.connect(self._take_ladder)

    # ------------------------------------------------------------------ faces

    @property
    def run_id(self) -> str:
        """The run in view, "" for the form."""
        return self._watcher.paths.run_id if self._watcher is not None else ""

    def open_run(self, paths: RunPaths) -> None:
        """Show a run: live, found again and replayed are the same."""
        self._drop_watcher()
        self.view.follow(paths)
        self._watcher = RunWatcher(paths, parent=self)
        self._watcher.stateChanged.connect(self._take_state)
        self._watcher.start()
        self._stack.setCurrentWidget(self.view)
        self.runOpened.emit(paths)

    def show_new(self, config: RunConfig | None) -> None:
        """Show the form, filled with `config` if one is given."""
        self._drop_watcher()
        if config is not None:
            self.new.render_config(config)
        self._stack.setCurrentWidget(self.new)

    def forget(self, paths: RunPaths) -> None:
        """The run is gone: back to the form if it was in view."""
        if self._watcher is not None and self._watcher.paths == paths:
            self.show_new(None)

    def _drop_watcher(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.deleteLater()
            self._watcher = None

    def _take_state(self, state: RunState) -> None:
        self._state = state
        paths = self._watcher.paths if self._watcher is not None else None
        self.view.render(state, stopping=paths is not None and self._control.stopping(paths))

    def _take_ladder(self, paths: RunPaths, text: str) -> None:
        if self._watcher is not None and self._watcher.paths == paths:
            self.view.say(text)

    # ------------------------------------------------------------------ verbs of a page

    def activate(self) -> None:
        """Draw and measure while in view."""
        self.view.lay_out()
        self._timer.start()
        self._meter_timer.start()

    def deactivate(self) -> None:
        """Stop drawing; the run is still followed."""
        self._timer.stop()
        self._meter_timer.stop()

    def themed(self, theme: Theme) -> None:
        """Charts anew."""
        for chart in self.view.charts.values():
            chart.mark_stale()

    def _measure(self) -> None:
        if self._watcher is not None:
            self.view.meters.measure(self._state.pid, self._watcher.paths.root, self._background)

    # ------------------------------------------------------------------ deeds

    def _do(self, does: object) -> None:
        if self._watcher is None:
            return
        try:
            does(self._watcher.paths)  # type: ignore[operator]
        except UserError as error:
            self._tell("That did not work", str(error))

    def _discard(self, paths: RunPaths) -> None:
        question = f"Stop {paths.run_id} if it is running and move its folder to the trash?"
        if QMessageBox.question(self, "Discard the run", question) == QMessageBox.StandardButton.Yes:
            self._control.discard(paths)

    def _start(self, config: RunConfig) -> None:
        try:
            self.open_run(self._control.start(config))
        except UserError as error:
            self._tell("The run did not start", str(error))

    def _enqueue(self, config: RunConfig) -> None:
        self._queue.append(config)
        self.new.render_queue(self._queue)

    def _unqueue(self, row: int) -> None:
        if 0 <= row < len(self._queue):
            del self._queue[row]
            self.new.render_queue(self._queue)

    def next_in_queue(self) -> None:
        """A run has ended: start the next one that waits."""
        if self._queue:
            config = self._queue.pop(0)
            self.new.render_queue(self._queue)
            self._start(config)

    def _tell(self, title: str, text: str) -> None:
        MessageDialog(title, text, self).open()
