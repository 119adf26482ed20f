"""The face of the Train page that shows a run, live, found again or replayed: all from its `RunState`."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QVBoxLayout, QWidget

from seirenes_app.lab.run_report import ReportLine
from seirenes_app.lab.verdicts import tell
from seirenes_app.ui.pages.train_parts.alarms import AlarmList
from seirenes_app.ui.pages.train_parts.chart_grid import ChartGrid
from seirenes_app.ui.pages.train_parts.end_banner import EndBanner
from seirenes_app.ui.pages.train_parts.evaluation_table import EvaluationTable
from seirenes_app.ui.pages.train_parts.progress_card import ProgressCard
from seirenes_app.ui.pages.train_parts.run_head import RunHead
from seirenes_app.ui.theme import SPACE_4
from seirenes_app.ui.widgets.cards import Card, Column
from seirenes_app.ui.widgets.charts import make_card_heading
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.log_tail import LogTail
from training.rundir.config import RunConfig
from training.rundir.index import RunSummary
from training.rundir.paths import RunPaths
from training.rundir.state import RunState

LOG_HEIGHT = 320
NO_EVAL = (
    "The frozen suite is measured before the first step and again as the run goes on; its figures stand here then."
)
PAIRED_NOTE = (
    "Each rate with its 95% Wilson interval. The change is paired, the same problems before and now, with a bootstrap "
    "interval over problems. Ring: before. Dot: now."
)


class RunView(QWidget):
    """`render` is the only place that touches the widgets; buttons ask by signals."""

    pauseAsked = Signal()
    unpauseAsked = Signal()
    checkpointAsked = Signal()
    stopAsked = Signal()
    discardAsked = Signal()
    resumeAsked = Signal()
    newAsked = Signal()
    tracesAsked = Signal()
    robustnessAsked = Signal()
    diagnosticsAsked = Signal()
    evaluated = Signal()
    """There are other evaluations than before: the paired changes can be read anew."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._paths: RunPaths | None = None
        self._told: tuple[object, ...] = ()
        self._evals: object = None
        self._build()
        self._connect()

    def _build(self) -> None:
        self.column = Column(1800)
        self.column.body.setSpacing(SPACE_4)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.column)
        self.head = RunHead()
        self.name = self.head.name
        self.waiting = make_label("", "small")
        self.waiting.hide()
        self.banner = EndBanner()
        self.progress = ProgressCard()
        self.meters = self.progress.meters
        self.alarms = AlarmList()
        self.grid = ChartGrid()
        self.charts = self.grid.charts
        for part in (self.head, self.waiting, self.banner, self.progress, self.alarms, self.grid):
            self.column.body.addWidget(part)
        self.column.body.addWidget(self._build_evaluation())
        self.column.body.addWidget(self._build_log())
        self.column.body.addStretch(1)

    def _build_evaluation(self) -> Card:
        card = Card()
        card.body.addWidget(make_card_heading("Before and now, on the frozen suite"))
        self.evaluation_note = make_label(NO_EVAL, "small", wrap=True)
        self.evaluation = EvaluationTable()
        card.body.addWidget(self.evaluation_note)
        card.body.addWidget(self.evaluation)
        return card

    def _build_log(self) -> Card:
        card = Card()
        card.body.addWidget(make_card_heading("Log"))
        self.log = LogTail()
        self.log.setFixedHeight(LOG_HEIGHT)
        card.body.addWidget(self.log)
        return card

    def _connect(self) -> None:
        head, banner = self.head, self.banner
        for asked, passed_on in (
            (head.pauseAsked, self.pauseAsked), (head.unpauseAsked, self.unpauseAsked),
            (head.stopAsked, self.stopAsked), (head.checkpointAsked, self.checkpointAsked),
            (head.discardAsked, self.discardAsked),
            (head.resumeAsked, self.resumeAsked),
            (head.newAsked, self.newAsked),
            (head.tracesAsked, self.tracesAsked), (head.robustnessAsked, self.robustnessAsked),
            (banner.resumeAsked, self.resumeAsked),
            (banner.diagnosticsAsked, self.diagnosticsAsked),
        ):  # fmt: skip
            asked.connect(passed_on)
        banner.logAsked.connect(self.show_log)
        QShortcut(QKeySequence("Ctrl+F"), self).activated.connect(self._find)

    # ------------------------------------------------------------------ render

    def follow(self, paths: RunPaths) -> None:
        """Another run."""
        self._paths, self._told, self._evals = paths, (), None
        self.name.setText(paths.run_id)
        self.log.follow(paths.log)
        self.progress.say("")
        self.meters.render_use(None)
        self.grid.forget()
        self.evaluation.render_paired(())
        self.column.verticalScrollBar().setValue(0)

    def render(self, state: RunState, *, stopping: bool = False) -> None:  # type: ignore[override]  # not QWidget's painting
        """Show a state."""
        self.head.render_state(state, stopping=stopping)
        self.progress.render_state(state)
        self.alarms.render_warnings(state.warnings)
        self.grid.render_state(state)
        self.evaluation.render_evals(state.evals)
        self.evaluation.setVisible(bool(state.evals))
        self.evaluation_note.setText(PAIRED_NOTE if state.evals else NO_EVAL)
        self._render_story(state)
        if state.evals is not self._evals:
            self._evals = state.evals
            self.evaluated.emit()

    def _render_story(self, state: RunState) -> None:
        # The story reads the log's end: once a verdict, not once an event.
        told = (state.status, state.message, state.step)
        if told != self._told and self._paths is not None:
            self._told = told
            self.banner.render_story(tell(RunSummary(self._paths, None, state)))

    def render_paired(self, lines: Sequence[ReportLine]) -> None:
        """Paired changes from the raw rows."""
        self.evaluation.render_paired(lines)

    def render_queue(self, waiting: Sequence[RunConfig]) -> None:
        """Which runs start after the one that is going."""
        self.waiting.setVisible(bool(waiting))
        self.waiting.setText("Next: " + ", ".join(config.name for config in waiting))

    def say(self, text: str) -> None:
        """The rung of the stop ladder."""
        self.progress.say(text)

    def show_log(self) -> None:
        """Scroll to the log and put the keyboard there."""
        self.column.ensureWidgetVisible(self.log)
        self.log.view.setFocus()

    def _find(self) -> None:
        self.column.ensureWidgetVisible(self.log)
        self.log.find_box.setFocus()

    # ------------------------------------------------------------------ drawing

    def tick(self) -> bool:
        """Draw one stale chart and read the log; called on a timer while the page is in view. False: none was stale."""
        self.log.poll()
        return self.grid.draw_next()
