"""Train: make a run, watch a run. Two faces and a queue; which face is shown is all this page decides about a run."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QStackedLayout, QWidget

from seirenes_app.services.diagnostics import describe, shorten_home
from seirenes_app.services.machine import read_machine
from seirenes_app.services.run_report import ReportLine, before_after
from seirenes_app.services.run_repository import RunRepository, log_tail
from seirenes_app.services.run_summary import sentence
from seirenes_app.store.settings import Settings
from seirenes_app.ui.controllers.background import Background
from seirenes_app.ui.controllers.run_watcher import RunWatcher
from seirenes_app.ui.controllers.trainer_control import TrainerControl
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.train.new_run import NewRun, live_runs
from seirenes_app.ui.pages.train.run_view import RunView
from seirenes_app.ui.theme import Theme
from seirenes_app.ui.widgets.dialogs import MessageDialog, ask_discard
from training.errors import UserError
from training.runs.config import RunConfig
from training.runs.paths import RunPaths
from training.runs.status import LIVE, RunState

TICK_MS = 400
HURRY_MS = 30
"""Between two draws while a run that was just opened fills its charts."""
METERS_MS = 2000
LOG_LINES = 40


class TrainPage(Page):
    """See the module."""

    key = "train"

    runOpened = Signal(object)
    tracesAsked = Signal(object)
    """The rollouts of a run."""
    robustnessAsked = Signal(object)
    """A run over its checkpoints."""

    def __init__(
        self,
        control: TrainerControl,
        library: RunRepository,
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
        self._checking = False
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
        self._timer.timeout.connect(self._tick)
        self._meter_timer.timeout.connect(self._measure)
        self.new.startAsked.connect(self._start)
        self.new.queueAsked.connect(self._enqueue)
        self.new.unqueueAsked.connect(self._unqueue)
        self.new.problem.connect(self._tell)
        self.view.newAsked.connect(lambda: self.show_new(None))
        self.view.diagnosticsAsked.connect(self._copy_diagnostics)
        self.view.evaluated.connect(self._compare)
        for signal, does in (
            (self.view.pauseAsked, self._control.pause),
            (self.view.unpauseAsked, self._control.unpause),
            (self.view.checkpointAsked, self._control.checkpoint),
            (self.view.stopAsked, self._control.stop_and_save),
            (self.view.resumeAsked, self._control.resume),
            (self.view.discardAsked, self._discard),
            (self.view.tracesAsked, self.tracesAsked.emit),
            (self.view.robustnessAsked, self.robustnessAsked.emit),
        ):
            signal.connect(lambda d=does: self._do(d))
        self._control.stopChanged.connect(self._take_ladder)
        # A run that is discarded while it goes does not end by itself in anybody's eyes.
        self._control.discarded.connect(lambda _paths: self.next_in_queue())

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
        self._watcher.problem.connect(lambda text: self._tell("The run's events", text))
        self._watcher.start()
        self._stack.setCurrentWidget(self.view)
        self._hurry()
        self.runOpened.emit(paths)

    def show_new(self, config: RunConfig | None) -> None:
        """Show the form, filled with `config` if one is given."""
        self._drop_watcher()
        if config is not None:
            self.new.render_config(config)
        self._stack.setCurrentWidget(self.new)
        self.new.refresh()

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
        if self._watcher is None or self.sender() not in (None, self._watcher):
            return
        paths = self._watcher.paths
        stopping = self._control.stopping(paths)
        if not stopping and state.status in LIVE and state.launched_t != self._state.launched_t:
            self.view.say("")
        self._state = state
        self.view.render(state, stopping=stopping)

    def _take_ladder(self, paths: RunPaths, text: str) -> None:
        if self._watcher is not None and self._watcher.paths == paths:
            self.view.say(text)
            self.view.render(self._watcher.state, stopping=self._control.stopping(paths))

    # ------------------------------------------------------------------ verbs of a page

    def activate(self) -> None:
        """Draw and measure while in view."""
        self._timer.start()
        self._meter_timer.start()
        self._hurry()
        if self._watcher is None:
            self.new.refresh()

    def deactivate(self) -> None:
        """Stop drawing; the run is still followed."""
        self._timer.stop()
        self._meter_timer.stop()

    def themed(self, theme: Theme) -> None:
        """Charts anew."""
        self.view.grid.mark_stale()
        self._hurry()

    def _hurry(self) -> None:
        self._timer.setInterval(HURRY_MS)

    def _tick(self) -> None:
        if self._watcher is None or not self.view.tick():
            self._timer.setInterval(TICK_MS)

    def _measure(self) -> None:
        if self._watcher is not None:
            pid = self._state.pid if self._state.status in LIVE else 0
            self.view.meters.measure(pid, self._watcher.paths.root, self._background)

    # ------------------------------------------------------------------ what is read off the window's thread

    def _compare(self) -> None:
        if self._watcher is None or len(self._watcher.state.evals) < 2:
            return
        paths = self._watcher.paths
        self._background.submit(lambda: read_changes(paths), lambda lines: self._take_changes(paths, lines))

    def _take_changes(self, paths: RunPaths, lines: list[ReportLine]) -> None:
        if self._watcher is not None and self._watcher.paths == paths:
            self.view.render_paired(lines)

    def _copy_diagnostics(self) -> None:
        if self._watcher is not None:
            paths, state = self._watcher.paths, self._watcher.state
            self._background.submit(lambda: self._diagnose(paths, state), self._take_diagnostics)

    def _diagnose(self, paths: RunPaths, state: RunState) -> str:
        about = {"Run": paths.run_id, "Verdict": sentence(state), "Message": state.message or "none"}
        text = describe(read_machine(self._library.runs_root), {"Folder": paths.root}, about)
        log = "\n".join(log_tail(paths, LOG_LINES)) or "empty"
        return f"{text}\nEnd of trainer.log:\n{shorten_home(log)}\n"

    def _take_diagnostics(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self.view.banner.say_copied()

    # ------------------------------------------------------------------ deeds

    def _do(self, does: object) -> None:
        if self._watcher is None:
            return
        try:
            does(self._watcher.paths)  # type: ignore[operator]
        except UserError as error:
            self._tell("That did not work", str(error))

    def _discard(self, paths: RunPaths) -> None:
        ask_discard(paths.run_id, self, lambda: self._control.discard(paths))

    def _start(self, config: RunConfig) -> None:
        try:
            self.open_run(self._control.start(config))
        except UserError as error:
            self._tell("The run did not start", str(error))

    def _tell(self, title: str, text: str) -> None:
        MessageDialog(title, text, self).open()

    # ------------------------------------------------------------------ queue

    @property
    def queue(self) -> tuple[RunConfig, ...]:
        """Runs that wait, the next one first."""
        return tuple(self._queue)

    def _enqueue(self, config: RunConfig) -> None:
        self._queue.append(config)
        self._render_queue()
        self.next_in_queue()

    def _unqueue(self, row: int) -> None:
        if 0 <= row < len(self._queue):
            del self._queue[row]
            self._render_queue()

    def _render_queue(self) -> None:
        self.new.render_queue(self._queue)
        self.view.render_queue(self._queue)

    def next_in_queue(self) -> None:
        """Start the next run that waits, unless one is going."""
        if self._queue and not self._checking:
            self._checking = True
            root = self._library.runs_root
            self._background.submit(lambda: live_runs(root), self._take_live)

    def _take_live(self, live: tuple[str, ...]) -> None:
        self._checking = False
        if live or self._control.starting() or not self._queue:
            return
        config = self._queue.pop(0)
        self._render_queue()
        try:
            paths = self._control.start(config)
        except UserError as error:
            self._tell("The next run of the queue did not start", str(error))
            return
        if self._watcher is not None and self._state.status not in LIVE:
            self.open_run(paths)
        self.new.refresh()


def read_changes(paths: RunPaths) -> list[ReportLine]:
    """Paired changes from the raw rows; none where the rows are missing, half written, or of two suites."""
    try:
        return before_after(paths)
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return []
