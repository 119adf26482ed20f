"""The Robustness page: figures over checkpoints, cross-play, checkpoint replay, and comparison of runs.

`RobustnessController` reads figures, `EvaluationMonitor` runs evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QAction, QDesktopServices, QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QComboBox, QPushButton, QStackedLayout, QWidget

from seirenes_app.services.answer_reading import older_rows
from seirenes_app.services.cluster_runs import cluster_place, missing_kinds
from seirenes_app.services.evaluation_estimate import estimate_request, request_costs
from seirenes_app.services.evaluation_request import evaluation_name
from seirenes_app.services.evaluations import EvaluationRepository, EvaluationSummary, checkpoint_steps
from seirenes_app.services.formatting import count_of
from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.services.hint_figures import HintAnalysis, analyse_hints
from seirenes_app.services.models.inventory import ModelEntry
from seirenes_app.services.report.html import write_report
from seirenes_app.services.robustness.checkpoint_replay import CheckpointReplay, ReplayPlan
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.transfer import transfers
from seirenes_app.services.robustness.types import (
    Basis,
    CheckpointReplayResult,
    MatrixCell,
    MatrixPanel,
    Origin,
    Point,
    Trace,
    TraceRef,
    Track,
)
from seirenes_app.services.study.execution import StudySummary
from seirenes_app.ui.actions import bind_actions
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.robustness.actions import ACTIONS
from seirenes_app.ui.pages.robustness.chart_views import ChartGrid, CompareView
from seirenes_app.ui.pages.robustness.controller import (
    Opened,
    RobustnessController,
    find_comparables,
    is_cross_play,
    rollouts_behind,
)
from seirenes_app.ui.pages.robustness.cross_play_view import CrossPlayView
from seirenes_app.ui.pages.robustness.dialogs import (
    CROSS_PLAY,
    EvaluateDialog,
    LimitsDialog,
    ProblemDialog,
    RegradeDialog,
)
from seirenes_app.ui.pages.robustness.evaluations import EvaluationBar, EvaluationMonitor, describe_spent
from seirenes_app.ui.pages.robustness.hints_view import NO_RUN as NO_HINT_RUN
from seirenes_app.ui.pages.robustness.hints_view import HintsView
from seirenes_app.ui.pages.robustness.replay_view import CheckpointReplayView
from seirenes_app.ui.pages.robustness.rows_panel import RowsPanel
from seirenes_app.ui.pages.robustness.study_view import ExtendStudyDialog, NewStudyDialog, StudyMonitor, StudyView
from seirenes_app.ui.pages.robustness.transfer_view import TransferView
from seirenes_app.ui.tasks import Task, TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_3, Theme
from seirenes_app.ui.widgets.banner import Banner, BannerAction, BannerKind
from seirenes_app.ui.widgets.boxes import column, ignore_wheel, row, scroll_area
from seirenes_app.ui.widgets.buttons import action_button, make_button
from seirenes_app.ui.widgets.cards import Card, EmptyState, EmptyStateHolder
from seirenes_app.ui.widgets.dialogs import DialogHolder
from seirenes_app.ui.widgets.fetch_dialog import NOT_FETCHED, open_fetch
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.model_picker import ModelPicker
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from seirenes_app.ui.widgets.source_menu import RECORDED_NAME, SourceMenu
from training.core.types import Condition
from training.evaluation.eval_dir import EvalDir
from training.evaluation.plan import NO_LIMITS
from training.evaluation.regrade import Regraded, regrade
from training.evaluation.suites.manifest import SuiteManifest
from training.evaluation.suites.repository import SuiteRepository
from training.runs.paths import RunPaths

DRAW_MS, BUSY_MS = 30, 4
CHECK_MS = 2500
MAX_PROBLEMS = 2000
MAX_TOKENS = 128
TOTALS_ONLY = "Only the totals of this point are here, and not its rows."
SEVERAL = "This point is combined from several sets of rows; open one of them in another chart."
NO_RUN = "The run of these models is not among your runs, so its checkpoints cannot be replayed."


class View(StrEnum):
    CHARTS = "charts"
    CROSS_PLAY = "cross-play"
    REPLAY = "replay"
    COMPARE = "compare"
    STUDIES = "studies"
    HINTS = "hints"
    TRANSFER = "transfer"


SEGMENTS = (
    Segment(View.CHARTS, "Over checkpoints", tip="Accuracy, gap, flips and worst of k at each checkpoint (Alt+1)"),
    Segment(View.CROSS_PLAY, "Cross-play", tip="Reasoners of checkpoints against hints of others (Alt+2)"),
    Segment(View.REPLAY, "Checkpoint replay", tip="One problem on every checkpoint (Alt+3)"),
    Segment(View.COMPARE, "Compare runs", tip="Several runs on the same suite (Alt+4)"),
    Segment(View.STUDIES, "Studies", tip="Variants × seeds with a best response to each (Alt+5)"),
    Segment(View.HINTS, "Hints", tip="What the Adversary of the run learned (Alt+6)"),
    Segment(View.TRANSFER, "Transfer", tip="What hints of one model do to others (Alt+7)"),
)


class RobustnessHeader(QWidget):
    """Emits what the user chooses; `render_…` shows the state."""

    trackChosen = Signal(object)
    """Track"""
    viewChosen = Signal(object)
    """View"""

    def __init__(
        self, recorded: RunPaths | None, actions: Mapping[str, QAction], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        tip = "Choose a run or an evaluation (Ctrl+L)"
        self.source_menu = SourceMenu(recorded, lambda s: s.state is not None and bool(s.state.evals), tip, 28)
        self.tracks = QComboBox()
        self.tracks.setAccessibleName("Suite and run")
        self.tracks.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.tracks.setMinimumContentsLength(12)
        self.tracks.setMaximumWidth(320)
        self.tracks.hide()
        ignore_wheel(self.tracks)
        self.report = action_button(actions["report"], "Report")
        self.evaluate = action_button(actions["evaluate"], kind="primary")
        self.views = Segmented("View", SEGMENTS)
        self.views.setMaximumWidth(860)
        title = make_label("Robustness", "title")
        column(
            row(title, SPACE_2, self.source_menu, None, self.report, self.evaluate, spacing=SPACE_3), SPACE_2,
            row((self.views, 2), None, (self.tracks, 1)), margins=(28, 20, 28, 0), parent=self,
        )  # fmt: skip
        self.tracks.activated.connect(lambda index: self.trackChosen.emit(self.tracks.itemData(index)))
        self.views.chosen.connect(lambda value: self.viewChosen.emit(View(value)))

    def render_tracks(self, tracks: Sequence[Track]) -> None:
        self.tracks.clear()
        for i, track in enumerate(tracks):
            text = track.title if track.origin is Origin.EVALUATION else track.suite
            self.tracks.addItem(text, track)
            self.tracks.setItemData(i, text, Qt.ItemDataRole.ToolTipRole)

    def render_track(self, track: Track) -> None:
        keys = [self.tracks.itemData(i).key for i in range(self.tracks.count())]
        if track.key in keys:
            self.tracks.setCurrentIndex(keys.index(track.key))

    def render_view(self, view: View | None) -> None:
        self.views.setVisible(view is not None)
        self.views.render_value(view or View.CHARTS)
        self.tracks.setVisible(view in (View.CHARTS, View.REPLAY) and self.tracks.count() > 1)


class ViewStack(QWidget):
    """The views, each in a scroll area. `show_empty` shows a message in place of all of them."""

    def __init__(self, views: Mapping[View, QWidget], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stack = QStackedLayout(self)
        self.areas = {}
        for view, widget in views.items():
            holder = QWidget()
            column(widget, margins=(28, 4, 22, 28), parent=holder)
            self.areas[view] = scroll_area(holder)
            self._stack.addWidget(self.areas[view])
        self._holder = EmptyStateHolder()
        self._stack.addWidget(self._holder)

    @property
    def empty(self) -> EmptyState | None:
        """The message that was shown last."""
        return self._holder.state

    @property
    def view(self) -> View | None:
        """The current view; None while a message is shown."""
        return next((v for v, area in self.areas.items() if self._stack.currentWidget() is area), None)

    def show_view(self, view: View) -> None:
        self._stack.setCurrentWidget(self.areas[view])

    def show_empty(self, icon: str, title: str, text: str, buttons: tuple[QPushButton, ...] = ()) -> None:
        self._holder.render_state(icon, title, text, buttons)
        self._stack.setCurrentWidget(self._holder)


class RobustnessPage(Page):
    """Keys: Ctrl+L chooses a run, Alt+1 to Alt+7 a view, Ctrl+E evaluates; on a chart arrows and Enter."""

    key = "robustness"

    tracesRequested = Signal(object, object)
    """(RunPaths, RolloutQuery)"""
    demoRequested = Signal()
    toast = Signal(str)
    problem = Signal(str, str)
    """(title, text)"""
    downloadRequested = Signal(str)
    """Hub id of a model, "" for none."""
    fetched = Signal(object)
    """RunPaths of a run on a cluster whose files have come."""

    def __init__(
        self, runs: RunsModel, models: ModelInventory, recorded: RunPaths | None = None,
        evaluations: EvaluationRepository | None = None, parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._runs, self._models, self._recorded = runs, models, recorded
        self.controller = RobustnessController(self)
        self.evaluations = EvaluationMonitor(evaluations, self)
        self._replay_tasks = TaskRunner(self, threads=1)
        self._hint_tasks = TaskRunner(self, threads=1)
        self._running_replay: CheckpointReplay | None = None
        self.dialogs = DialogHolder(self)
        self._tasks, self._prompt_tasks = TaskRunner(self, threads=1), TaskRunner(self)
        # Its own thread: a cluster may take seconds to answer, or to refuse.
        self._fetch_tasks = TaskRunner(self, threads=1)
        self.track: Track | None = None
        self._opened: Opened | None = None
        self._transfer_of: Opened | None = None
        """What the transfer that is shown was read from."""
        self._refused: tuple[str, bool] | None = None
        """Why the folder that was opened last has no figures, and whether it only has none yet."""
        self._compare_next = False
        """Whether the next evaluation to start was asked for by Compare."""
        self._to_compare: set[Path] = set()
        """Evaluations whose runs are compared when they have finished."""
        self.open_url: Callable[[QUrl], bool] = QDesktopServices.openUrl
        self._draw_timer = QTimer(self, interval=DRAW_MS)
        self._check_timer = QTimer(self, interval=CHECK_MS)
        self._build()
        self._connect()
        self.show_nothing()

    def _build(self) -> None:
        self.actions_ = bind_actions(self, ACTIONS, {
            "choose-run": lambda: self.source_menu.open(),
            "evaluate": self.open_evaluate,
            "regrade": self.ask_regrade,
            "report": self.write_report,
            "table": self.toggle_table,
            **{view: partial(self.show_view, view) for view in View},
        })  # fmt: skip
        self.header = RobustnessHeader(self._recorded, self.actions_)
        self.source_menu = self.header.source_menu
        self.source_menu.run_name = self._runs.name_of
        self.grid, self.cross_play, self.replay = ChartGrid(), CrossPlayView(), CheckpointReplayView()
        self.compare, self.hints, self.transfer = CompareView(), HintsView(), TransferView()
        self.studies = StudyMonitor(parent=self)
        self.study_view = StudyView(self.studies)
        views = (self.grid, self.cross_play, self.replay, self.compare, self.study_view, self.hints, self.transfer)
        self.stack = ViewStack(dict(zip(View, views, strict=True)))
        self.cards = (
            *self.grid.cards.values(), *self.compare.panels, self.compare.differences, self.compare.transfer,
            self.cross_play.card,
            self.replay.card, *self.study_view.cards, *self.hints.cards, *self.transfer.cards,
        )  # fmt: skip
        # Below the views: what comes late moves nothing under the pointer.
        self.evaluation_bar = EvaluationBar()
        self.warning = Card("warn", padding=8)
        self.warning_text = make_label("", wrap=True, select=True)
        self.regrade_button = action_button(self.actions_["regrade"])
        self.fetch_button = make_button(
            "Fetch…", "drop", tip="Bring the answers here", clicked=lambda: self.open_fetch(("evaluations",))
        )
        self.warning.body.addLayout(row((self.warning_text, 1), self.regrade_button, self.fetch_button))
        self.warning.hide()
        self.report_banner = Banner()
        footer = column(self.warning, self.report_banner, self.evaluation_bar, margins=(28, 0, 28, SPACE_2))
        column(self.header, (self.stack, 1), footer, parent=self)
        self.rows = RowsPanel(self, self.controller)

    def _connect(self) -> None:
        self._draw_timer.timeout.connect(self._draw)
        self._check_timer.timeout.connect(self.controller.check_for_changes)
        self._runs.loaded.connect(self._on_sources)
        self.source_menu.chosen.connect(self.open_source)
        self.header.trackChosen.connect(lambda track: self._show_track(track, reset=True))
        self.header.viewChosen.connect(self.show_view)
        self.controller.opened.connect(self._on_opened)
        self.controller.refused.connect(self._on_refused)
        self.controller.panelFound.connect(self.grid.render_panel)
        self.controller.panelFailed.connect(self.grid.render_failed)
        self.grid.overlay.runsRequested.connect(self._offer_overlay)
        self.grid.overlay.chosenChanged.connect(self._overlay)
        self.compare.compareRequested.connect(self._compare)
        self.compare.evaluateRequested.connect(self._evaluate_for_compare)
        self.cross_play.card.matrix.cellRequested.connect(self._open_cell)
        self.cross_play.evaluateRequested.connect(self.open_evaluate)
        self.cross_play.openRequested.connect(self.open_source)
        for card in self.cards:
            card.messageRequested.connect(self.toast)
        self.study_view.newRequested.connect(self._ask_study)
        self.study_view.extendRequested.connect(self._ask_extension)
        self.study_view.reportRequested.connect(self._write_report_of)
        self.studies.failed.connect(self.problem)
        self.studies.started.connect(lambda name: self.toast.emit(f"The study {name} has started."))
        for panel in (*self.grid.cards.values(), *self.compare.panels):
            panel.pointRequested.connect(self._open_point)
        self.rows.replayRequested.connect(self._open_replay)
        self.replay.problemRequested.connect(self._choose_problem)
        self.replay.replayRequested.connect(self._start_replay)
        self.replay.cancelRequested.connect(self._cancel_replay)
        self.hints.analyseRequested.connect(self._analyse_hints)
        self.hints.cancelRequested.connect(self._cancel_hints)
        self.transfer.measureRequested.connect(self.ask_transfer)
        monitor, bar = self.evaluations, self.evaluation_bar
        monitor.changed.connect(self._on_sources)
        monitor.started.connect(self._on_started)
        monitor.ended.connect(self._on_ended)
        monitor.failed.connect(self.problem)
        bar.stopRequested.connect(monitor.stop)
        bar.resumeRequested.connect(self._resume)
        bar.pauseRequested.connect(monitor.pause)
        bar.unpauseRequested.connect(monitor.unpause)
        bar.openRequested.connect(lambda paths: self.open_source(paths.root))

    def activate(self) -> None:
        self._draw_timer.start()
        self._check_timer.start()
        self.evaluations.refresh()
        self.studies.refresh()
        self._on_sources()

    def deactivate(self) -> None:
        self._draw_timer.stop()
        self._check_timer.stop()

    def themed(self, theme: Theme) -> None:
        self.grid.mark_stale()
        for card in self.cards:
            card.mark_stale()
        self.cross_play.card.matrix.viewport().update()

    def close_down(self) -> None:
        self.deactivate()
        self._leave_replay()
        tasks = (self._replay_tasks, self._hint_tasks, self._tasks, self._prompt_tasks, self._fetch_tasks)
        for part in (*tasks, self.evaluations, self.studies, self.controller):
            part.close()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.rows.place(event.size())
        super().resizeEvent(event)

    def _draw(self) -> None:
        drew = False
        if self.stack.view is View.CHARTS:
            drew = self.grid.draw_next()
        elif self.stack.view is View.COMPARE:
            drew = any(
                card.draw_if_stale() for card in (*self.compare.panels, self.compare.differences, self.compare.transfer)
            )
        elif self.stack.view is View.STUDIES:
            drew = self.study_view.draw_next()
        elif self.stack.view is View.HINTS:
            drew = self.hints.draw_next()
        elif self.stack.view is View.TRANSFER:
            drew = self.transfer.draw_next()
        # One draw a tick. Where there may be more to draw, the next tick comes as soon as events have been handled.
        self._draw_timer.setInterval(BUSY_MS if drew else DRAW_MS)

    @property
    def root(self) -> Path | None:
        """The folder that is open."""
        return self.controller.root

    def open_source(self, root: Path) -> None:
        """Show the folder of a run or of an evaluation."""
        self.rows.hide()
        self._hint_tasks.cancel()
        self.controller.open(root)
        self.track, self._opened, self._refused = None, None, None
        self._on_sources()

    def open_run(self, paths: RunPaths) -> None:
        self.open_source(paths.root)

    def forget(self, paths: RunPaths) -> None:
        if self.root == paths.root:
            self.controller.leave()
            self._leave_replay()
            self.show_nothing()

    def _on_sources(self) -> None:
        summaries, evaluations = self._runs.summaries, self.evaluations.summaries
        self.source_menu.render_sources(self.root, summaries, evaluations)
        self.compare.render_comparables(find_comparables(summaries, evaluations, self._recorded), self.root)
        self._render_evaluation_bar()
        if self._opened is not None and not self._opened.has_matrix:
            self.cross_play.render_none(self._cross_plays())
        idle = self.root is None and self.isVisible() and self._runs.was_loaded
        if idle and (first := self.source_menu.first()) is not None:
            self.open_source(first)

    def _on_opened(self, opened: Opened) -> None:
        refreshed = self._opened is not None and self._opened.root == opened.root
        self._opened = opened
        self.actions_["regrade"].setEnabled(self._can_regrade)
        self._render_warnings((*opened.warnings, *self._unfetched_rows(opened)))
        self.header.render_tracks(opened.tracks)
        same = next((t for t in opened.tracks if self.track is not None and t.key == self.track.key), None)
        self._show_track(same or next(iter(opened.tracks), None), reset=not refreshed)
        if opened.has_matrix:
            self.controller.ask(ResultSource.crossplay, self._on_matrix, lambda _text: self._on_matrix(None))
        else:
            self._on_matrix(None)
        view = self.stack.view or View(self.header.views.value or View.CHARTS)
        if view is View.STUDIES:
            # What is opened meanwhile does not take its place.
            pass
        elif not opened.tracks and not refreshed:
            view = View.CROSS_PLAY
        elif not opened.has_matrix and not refreshed and view is View.CROSS_PLAY and opened.tracks:
            view = View.CHARTS
        self.show_view(view)

    def _show_track(self, track: Track | None, *, reset: bool) -> None:
        self.track = track
        if reset:
            self.grid.render_track(track)
            self._leave_replay()
            self.replay.render_problem(None)
        self._render_replay()
        if track is not None:
            self.header.render_track(track)
            self.controller.show(track)

    def _on_refused(self, text: str, waiting: bool) -> None:
        self._opened, self._refused = None, (text, waiting)
        if self.stack.view is View.STUDIES:
            # What cannot be opened does not take its place: the other views say so.
            self._render_tools()
        else:
            self._show_refused(text, waiting)

    def _show_refused(self, text: str, waiting: bool) -> None:
        evaluate = make_button("Evaluate…", "play", kind="primary", clicked=self.open_evaluate)
        buttons: tuple[QPushButton, ...] = (evaluate,) if waiting else ()
        if self.root is not None and RunPaths(self.root).rollouts.is_file():
            # A run has hints long before its first evaluation.
            hints = make_button("What the Adversary learned", "note", clicked=lambda: self.show_view(View.HINTS))
            buttons = (*buttons, hints)
        title = "No evaluations yet" if waiting else "This cannot be read"
        self.stack.show_empty("chart" if waiting else "warning", title, text, buttons)
        self._render_tools()

    def show_nothing(self) -> None:
        self._opened, self.track = None, None
        self.source_menu.render_sources(self.root, self._runs.summaries, self.evaluations.summaries)
        start = make_button("Start the demo run", "play", clicked=self.demoRequested.emit)
        evaluate = make_button("Evaluate…", "play", kind="primary", clicked=self.open_evaluate)
        studies = make_button("Studies", "compare", clicked=lambda: self.show_view(View.STUDIES))
        self.stack.show_empty(
            "chart", "No evaluations yet",
            "Evaluate the bundled model or any other on a suite, or start a run: it evaluates itself while it trains.",
            (studies, start, evaluate),
        )  # fmt: skip
        self._render_tools()

    def _render_warnings(self, warnings: Sequence[str]) -> None:
        self.warning.setVisible(bool(warnings))
        older = self._opened is not None and older_rows(self._opened.readers) > 0
        self.regrade_button.setVisible(older and self.actions_["regrade"].isEnabled())
        self.fetch_button.setVisible(self._opened is not None and self._opened.not_fetched > 0)
        self.warning_text.setText("\n".join(warnings))

    def _render_tools(self) -> None:
        if self._opened is None:
            self._render_warnings(())
        self.actions_["report"].setEnabled(self._opened is not None)
        self.actions_["regrade"].setEnabled(self._can_regrade)
        self.header.render_view(self.stack.view)

    def show_view(self, view: View) -> None:
        """Make a view the current one. Studies are there without anything that is open, the hints of a run before its
        first evaluation."""
        alone = view is View.STUDIES or (view is View.HINTS and self._hint_run() is not None)
        if alone or self._opened is not None:
            self.stack.show_view(view)
            if view is View.HINTS:
                self._show_hints()
            elif view is View.TRANSFER:
                self._show_transfer()
            self._render_tools()
        elif self.root is None:
            self.show_nothing()
        elif self._refused is not None:
            self._show_refused(*self._refused)

    def _show_transfer(self) -> None:
        """Read the transfer of what is open, unless it is shown already."""
        if self._opened is None or self._transfer_of is self._opened:
            return
        # Figures that grew are read again in silence.
        if self._transfer_of is None or self._transfer_of.root != self._opened.root:
            self.transfer.render_waiting()
        self._transfer_of = self._opened
        self.controller.ask(
            lambda source: transfers(source.source), self.transfer.render_transfers, self.transfer.render_none
        )

    def _ask_study(self) -> None:
        dialog = NewStudyDialog(self._prompt_tasks, parent=self)
        dialog.createRequested.connect(self.studies.create)
        self.dialogs.show_dialog(dialog)

    def _ask_extension(self, summary: StudySummary) -> None:
        dialog = ExtendStudyDialog(summary, self._prompt_tasks, parent=self)
        dialog.extendRequested.connect(lambda *what: self.studies.extend(summary.paths, *what))
        self.dialogs.show_dialog(dialog)

    def toggle_table(self) -> None:
        """Chart or table, of the card with the focus."""
        card = next((c for c in self.cards if c.isVisible() and c.isAncestorOf(self.focusWidget() or self)), None)
        if card is not None and card.table_button.isEnabled():
            card.toggle_table()
            (card.table if card.tabled else card.picture).setFocus()

    def _on_matrix(self, panel: MatrixPanel | None) -> None:
        if panel is not None:
            self.cross_play.render_matrix(panel)
        else:
            self.cross_play.render_none(self._cross_plays())

    def _cross_plays(self) -> list[EvaluationSummary]:
        run = self._shown_run()
        return [s for s in self.evaluations.summaries if is_cross_play(s, run)]

    def _open_point(self, key: str, point: Point) -> None:
        """The rows behind a point of the curve `key`: here, or, for a training step, on Traces."""
        if point.traces is not None:
            self.rows.open(point.traces)
        elif point.basis is Basis.STEP and self.root is not None:
            self.tracesRequested.emit(RunPaths(self.root), rollouts_behind(key, point))
        elif point.basis is Basis.COUNTS and self._opened is not None and self._opened.not_fetched:
            self.open_fetch(("evaluations",))
        else:
            self.toast.emit(TOTALS_ONLY if point.basis is Basis.COUNTS else SEVERAL)

    def _open_cell(self, cell: MatrixCell) -> None:
        if cell.traces is not None:
            self.rows.open(cell.traces)

    def _offer_overlay(self) -> None:
        summaries = [s for s in self._runs.summaries if s.state is not None and s.state.evals]
        known = [(s.paths.root, s.paths.run_id) for s in summaries]
        if self._recorded is not None:
            known.append((self._recorded.root, RECORDED_NAME))
        self.grid.overlay.show_choices([(root, name) for root, name in known if root != self.root])

    def _overlay(self, roots: Sequence[Path]) -> None:
        def failed(text: str) -> None:
            self.grid.overlay.choose(roots[:-1])
            self.problem.emit("The run was not drawn", text)

        self.controller.ask_others(roots, self.grid.render_others, failed)

    def _compare(self, roots: Sequence[Path]) -> None:
        self.controller.compare(roots, self.compare.render_comparison, self.compare.render_failed)

    def _evaluate_for_compare(self, roots: Sequence[Path]) -> None:
        """Evaluate the runs of these folders on one suite; they are compared when that is done."""
        runs: dict[RunPaths, None] = {}
        for root in roots:
            summary = self.evaluations.find(root)
            names = {t.run for t in summary.plan.targets} if summary is not None and summary.plan is not None else ()
            runs.update(dict.fromkeys(p for p in self._known_runs() if p.root == root or p.run_id in names))
        self._ask_evaluate(list(runs), for_compare=True)

    # ------------------------------------------------------------------ evaluations

    def open_evaluate(self, model: ModelEntry | None = None) -> None:
        """Ask what to evaluate: the run that is shown, or a model."""
        run = self._shown_run()
        if model is not None:
            self._ask_evaluate([], model=model)
        else:
            self._ask_evaluate([run] if run is not None else [], cross_play=self.stack.view is View.CROSS_PLAY)

    def ask_transfer(self) -> None:
        """Ask which models are to be asked with the hints of the run that is shown, or of the recorded one."""
        run = self._shown_run() or self._recorded
        self._ask_evaluate([run] if run is not None else [], transfer=True)

    def _choose_model(self, dialog: EvaluateDialog) -> None:
        picker = ModelPicker("Add a model", "Add it", self._models, parent=dialog)
        picker.chosen.connect(dialog.add_model)
        picker.downloadRequested.connect(lambda _name: dialog.reject())
        picker.downloadRequested.connect(self.downloadRequested)
        picker.finished.connect(lambda _code: picker.deleteLater())
        picker.open()

    def _ask_evaluate(
        self, runs: Sequence[RunPaths], *, model: ModelEntry | None = None, cross_play: bool = False,
        for_compare: bool = False, transfer: bool = False,
    ) -> None:  # fmt: skip
        """Show the dialog; suites and checkpoints are looked up first."""

        again = partial(
            self._ask_evaluate, runs, model=model, cross_play=cross_play, for_compare=for_compare, transfer=transfer
        )
        clusters = {run: place.cluster for run in runs if "checkpoints" in missing_kinds(run)
                    and (place := cluster_place(run)) is not None}  # fmt: skip

        def read() -> tuple[dict[RunPaths, tuple[int, ...]], dict[Path, SuiteManifest]]:
            return {run: checkpoint_steps(run) for run in runs}, SuiteRepository(suites_folder()).manifests()

        def show(found: tuple[dict[RunPaths, tuple[int, ...]], dict[Path, SuiteManifest]]) -> None:
            dialog = EvaluateDialog(
                *found, lambda r: estimate_request(r, self.evaluations.summaries), self._prompt_tasks, self,
                costs=lambda r: request_costs(r, self.evaluations.summaries), clusters=clusters,
            )  # fmt: skip
            dialog.fetchRequested.connect(lambda run: self._fetch(run, ("checkpoints",), again))
            if cross_play and dialog.kind.buttons[CROSS_PLAY].isEnabled():
                dialog.kind.buttons[CROSS_PLAY].click()
            if model is not None:
                dialog.tick_only(model)
            if transfer and runs:
                dialog.choose_hints(runs[0])
            dialog.modelRequested.connect(lambda: self._choose_model(dialog))
            dialog.startRequested.connect(self.evaluations.start)
            dialog.accepted.connect(lambda: setattr(self, "_compare_next", for_compare))
            self.dialogs.show_dialog(dialog)

        self._tasks.run(read, show, key="evaluate")

    def _resume(self, paths: EvalDir) -> None:
        """At once, or after the limits on what its endpoints may take were looked at again."""
        summary = self.evaluations.find(paths.root)
        plan = summary.plan if summary is not None else None
        if summary is None or plan is None or plan.budget == NO_LIMITS:
            self.evaluations.resume(paths)
            return
        meters = summary.state.meters.values() if summary.state is not None else ()
        currency = next((meter.currency for meter in meters if meter.currency), "")
        dialog = LimitsDialog(evaluation_name(summary), plan.budget, describe_spent(summary), currency, self)
        dialog.resumeRequested.connect(lambda limits: self.evaluations.resume(paths, limits))
        self.dialogs.show_dialog(dialog)

    def _on_started(self, paths: EvalDir) -> None:
        if self._compare_next:
            self._to_compare.add(paths.root)
        self._compare_next = False
        self.toast.emit(f"Evaluation {paths.run_id} has started.")

    def _on_ended(self, summary: EvaluationSummary) -> None:
        status = summary.state.status if summary.state is not None else "unreadable"
        root, has_rows = summary.paths.root, summary.state is not None and summary.state.rows > 0
        self.toast.emit(f"The evaluation “{evaluation_name(summary)}” is {status}.")
        if root in self._to_compare and has_rows:
            self._to_compare.discard(root)
            self.compare.tick([root])
            self._compare([root])
        if self._opened is None and has_rows:
            self.open_source(root)

    def _render_evaluation_bar(self) -> None:
        """The open one if it is running or incomplete, else the newest running one. One that has just ended stays
        until it is closed or shown."""
        live, shown, bar = self.evaluations.live, self.evaluations.find(self.root), self.evaluation_bar
        incomplete = shown is not None and shown.state is not None and shown.state.over and shown.state.share < 1
        summary = shown if shown in live or incomplete else next(iter(live), None)
        if summary is None and bar.summary is not None and not bar.isHidden():
            last = self.evaluations.find(bar.summary.paths.root)
            summary = None if last is not None and last.paths.root == self.root else last
        root = summary.paths.root if summary is not None else None
        bar.render_summary(
            summary, stopping=root in self.evaluations.stopping, more=max(0, len(live) - 1),
            shown=root is not None and root == self.root,
        )  # fmt: skip

    @property
    def _can_regrade(self) -> bool:
        """The recorded run is part of the program, and is left as it is."""
        recorded = self._recorded.root if self._recorded is not None else None
        return self._opened is not None and bool(self._opened.readers) and self._opened.root != recorded

    def ask_regrade(self) -> None:
        """Offer to grade the stored rows again; the figures follow when it is done."""
        opened = self._opened
        if opened is None:
            return
        dialog = RegradeDialog(opened.name, opened.readers, self)

        def work(task: Task) -> Regraded:
            cancelled: Callable[[], bool] = lambda: task.cancelled  # noqa: E731 - read in the thread that grades
            return regrade(opened.store, run_lock=opened.run_lock, progress=task.report, cancelled=cancelled)

        def start() -> None:
            task = self._tasks.run_task(
                work, done, dialog.render_failed, progress=dialog.render_progress, key="regrade"
            )  # fmt: skip
            dialog.finished.connect(lambda _code: task.cancel())

        def done(found: Regraded) -> None:
            dialog.render_result(found)
            self.controller.check_for_changes()

        dialog.startRequested.connect(start)
        self.dialogs.show_dialog(dialog)

    # ------------------------------------------------------------------ files of a run on a cluster

    def open_fetch(self, wanted: Sequence[str]) -> None:
        """Bring files of the run that is shown here."""
        self._fetch(self._hint_run(), wanted)

    def _fetch(self, run: RunPaths | None, wanted: Sequence[str], then: Callable[[], object] = lambda: None) -> None:
        def fetched(paths: RunPaths) -> None:
            self.fetched.emit(paths)
            then()

        open_fetch(run, self._fetch_tasks, fetched, self, wanted)

    def reread(self, paths: RunPaths) -> None:
        """Show what was fetched of a run."""
        if self._hint_run() != paths:
            return
        self.controller.check_for_changes()
        self._render_replay()
        self.show_view(self.stack.view or View.CHARTS)

    def _unfetched_rows(self, opened: Opened) -> tuple[str, ...]:
        place = cluster_place(RunPaths(opened.root)) if opened.not_fetched else None
        if place is None:
            return ()
        what = count_of(opened.not_fetched, "evaluation")
        return (
            f"The answers of {what} are on {place.cluster} and were not fetched yet: of those only totals are shown, "
            "and no change is paired.",
        )

    def _unfetched(self, run: RunPaths | None, *kinds: str) -> tuple[str, tuple[QPushButton, ...]]:
        """What is said where some of these kinds were not fetched, with the button that does it; "" where all were."""
        missing = [kind for kind in kinds if run is not None and kind in missing_kinds(run)]
        if run is None or not missing or (place := cluster_place(run)) is None:
            return "", ()
        text = (
            f"The {' and the '.join(missing)} of this run are on {place.cluster}. They are brought here "
            "on request; a later fetch brings what is new."
        )
        tip = f"Bring the {' and the '.join(missing)} here"
        fetch = make_button("Fetch…", "drop", kind="primary", tip=tip, clicked=lambda: self.open_fetch(missing))
        return text, (fetch,)

    # ------------------------------------------------------------------ checkpoint replay

    def _render_replay(self) -> None:
        run = self._run_of(self.track) if self.track is not None else None
        self.replay.render_nothing(*self._unfetched(run, "evaluations", "checkpoints"))

    def _open_replay(self, trace: Trace) -> None:
        self.rows.hide()
        self.show_view(View.REPLAY)
        self._take_problem(trace)

    def _choose_problem(self) -> None:
        """Show the problems of the shown suite."""
        track = self.track
        if track is None:
            self.problem.emit("There is nothing to choose from", "Open a run, or an evaluation of a suite, first.")
            return
        dialog = ProblemDialog(self)
        target = track.targets[-1]

        def read(condition: Condition) -> None:
            ref = TraceRef(track.root, target, track.suite, condition)
            self.controller.ask(lambda source: source.traces(ref, MAX_PROBLEMS), show, fail)

        def show(traces: list[Trace]) -> None:
            if self.dialogs.open_dialog is dialog:
                dialog.render_traces(traces, target)

        def fail(text: str) -> None:
            if self.dialogs.open_dialog is dialog:
                dialog.say(text)

        dialog.chosen.connect(self._take_problem)
        dialog.conditionChosen.connect(read)
        self.dialogs.show_dialog(dialog)
        read(Condition.HINTED)

    def _take_problem(self, trace: Trace) -> None:
        self._leave_replay()
        self.replay.render_problem(trace)
        self.replay.start.setFocus()

    def _start_replay(self, trace: Trace, hinted: bool) -> None:
        track = self.track
        run = self._run_of(track) if track is not None else None
        if track is None or run is None:
            self.replay.render_failed(NO_RUN)
            return

        def plan(source: ResultSource) -> tuple[ReplayPlan, list[int]] | None:
            found, state = source.question(track, trace), source.source.state
            if found is None:
                return None
            # The recorded run ships some of its checkpoints: only those are replayed.
            recorded = state.checkpoints if state is not None and run != self._recorded else ()
            problem, hint, placement = found
            steps = [step for step, _folder in recorded]
            return ReplayPlan(problem, hint if hinted else None, placement, max_tokens=MAX_TOKENS), steps

        def replay(plan: ReplayPlan, recorded_steps: list[int]) -> None:
            def work(task: Task) -> CheckpointReplayResult:
                self._running_replay = running = CheckpointReplay(run, plan, recorded_steps=recorded_steps)
                if task.cancelled:
                    running.cancel()
                return running.run(task.report)

            view = self.replay
            self._replay_tasks.run_task(work, view.render_done, view.render_failed, progress=view.render_progress,
                                        key="replay")  # fmt: skip

        def begin(found: tuple[ReplayPlan, list[int]] | None) -> None:
            if found is None:
                self.replay.render_failed("This problem is not known any more: its suite has changed.")
            else:
                replay(*found)

        self.replay.render_busy(True)
        self.controller.ask(plan, begin, self.replay.render_failed)

    def _cancel_replay(self) -> None:
        """End the running replay; it is shown with the steps that there are."""
        if self._running_replay is not None:
            self._running_replay.cancel()

    def _leave_replay(self) -> None:
        self._replay_tasks.cancel("replay")
        self._cancel_replay()

    # ------------------------------------------------------------------ what the Adversary learned

    def _show_hints(self) -> None:
        """Read the hints of the shown run, unless they are shown already or being read."""
        run = self._hint_run()
        if run is None:
            self.hints.render_nothing("No run", NO_HINT_RUN)
        elif (unfetched := self._unfetched(run, "rollouts"))[0]:
            self.hints.render_nothing(NOT_FETCHED, unfetched[0], icon="server", buttons=unfetched[1])
        elif self.hints.root != run.root and not self._hint_tasks.is_running(run.root):
            self._analyse_hints()

    def _hint_run(self) -> RunPaths | None:
        run = self._shown_run()
        if run is None and self.root is not None and RunPaths(self.root).rollouts.is_file():
            return RunPaths(self.root)
        return run

    def _analyse_hints(self) -> None:
        run = self._hint_run()
        if run is None:
            return
        root = run.root

        def work(task: Task) -> HintAnalysis:
            return analyse_hints(run.rollouts, progress=task.report, cancelled=lambda: task.cancelled)

        def failed(text: str) -> None:
            self.hints.render_nothing("The hints cannot be analysed", text, analyse=True)

        if self.hints.root != root:
            self.hints.render_nothing("Reading the hints", "Every hint of the run and the solutions under it.")
        self.hints.render_progress()
        self._hint_tasks.cancel()
        self._hint_tasks.run_task(
            work, lambda found: self.hints.render_analysis(root, found), failed, progress=self.hints.render_progress,
            key=root,
        )  # fmt: skip

    def _cancel_hints(self) -> None:
        self._hint_tasks.cancel()
        self.hints.progress.clear()
        if self.hints.root is None:
            self.hints.render_nothing("Cancelled", "The hints of this run were not analysed.", analyse=True)

    # ------------------------------------------------------------------ runs behind what is shown

    def _shown_run(self) -> RunPaths | None:
        """The run of the checkpoints that are shown."""
        if self.track is not None:
            return self._run_of(self.track)
        summary = self.evaluations.find(self.root)
        names = {t.run for t in summary.plan.targets} if summary is not None and summary.plan is not None else set()
        return next((p for p in self._known_runs() if p.root == self.root or p.run_id in names), None)

    def _run_of(self, track: Track) -> RunPaths | None:
        if track.origin is Origin.RUN:
            return RunPaths(track.root)
        return next((p for p in self._known_runs() if p.run_id == track.run), None)

    def _known_runs(self) -> list[RunPaths]:
        """The user's runs and the recorded one: evaluations may be of either."""
        own = [s.paths for s in self._runs.summaries]
        return [*own, self._recorded] if self._recorded is not None else own

    def write_report(self) -> None:
        """Write one file with everything; a banner says where it is and opens it."""
        if self.root is not None and self._opened is not None:
            self._write_report_of(self.root)

    def _write_report_of(self, root: Path) -> None:
        self.actions_["report"].setEnabled(False)
        self.toast.emit("Writing the report…")
        self._tasks.run(lambda: write_report([root]), self._on_report, self._on_report_failed, key="report")

    def _on_report(self, path: Path) -> None:
        self.actions_["report"].setEnabled(self._opened is not None)
        self.report_banner.show_message(
            BannerKind.SUCCESS, "The report is written", str(path), dismissable=True,
            actions=(
                BannerAction("Open", lambda: self.open_url(QUrl.fromLocalFile(str(path))), "file", primary=True),
                BannerAction("Copy path", lambda: QGuiApplication.clipboard().setText(str(path)), "copy"),
            ),
        )  # fmt: skip

    def _on_report_failed(self, text: str) -> None:
        self.actions_["report"].setEnabled(self._opened is not None)
        self.problem.emit("The report was not written", text)
