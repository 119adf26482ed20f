"""Robustness: what a model withstands, checkpoint by checkpoint. It puts the parts together;
`RobustnessController` asks the figures, `Evaluating` the evaluations, `Sheets` the person and the time machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QResizeEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from seirenes_app.services.evaluations import EvaluationRepository, EvaluationSummary
from seirenes_app.services.robustness.types import MatrixPanel, Origin, Trace, Track
from seirenes_app.ui.actions import bind_actions
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.robustness.actions import ACTIONS
from seirenes_app.ui.pages.robustness.chart_cards import ChartGrid
from seirenes_app.ui.pages.robustness.compare_view import CompareView
from seirenes_app.ui.pages.robustness.controller import Opened, RobustnessController, contenders, is_cross, write_report
from seirenes_app.ui.pages.robustness.cross_play_view import CrossView
from seirenes_app.ui.pages.robustness.dialogs import Sheets
from seirenes_app.ui.pages.robustness.evaluation_request import evaluation_name
from seirenes_app.ui.pages.robustness.evaluation_tasks import Evaluating
from seirenes_app.ui.pages.robustness.header import RobustnessHeader
from seirenes_app.ui.pages.robustness.replay_view import CheckpointReplayView
from seirenes_app.ui.pages.robustness.rows_panel import RowsOpener, RowsPanel
from seirenes_app.ui.pages.robustness.view_stack import Face, Faces
from seirenes_app.ui.theme import SPACE_2, Theme
from seirenes_app.ui.widgets.buttons import make_button
from training.evaluation.eval_dir import EvalDir
from training.runs.config import RunConfig
from training.runs.paths import RunPaths

DRAW_MS, BUSY_MS = 30, 4
LOOK_MS = 2500


class RobustnessPage(Page):
    """Keys: Ctrl+L chooses a run, Alt+1 to Alt+4 a view, Ctrl+E evaluates; on a chart arrows and Enter."""

    key = "robustness"

    tracesAsked = Signal(object, object)
    """(RunPaths, RolloutQuery)"""
    demoAsked = Signal()
    toast = Signal(str)
    problem = Signal(str, str)
    """(title, text)"""

    def __init__(
        self, runs: RunsModel, recorded: RunPaths | None = None, library: EvaluationRepository | None = None,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._runs, self._recorded = runs, recorded
        self.desk = RobustnessController(self)
        self.evaluating = Evaluating(library, self)
        self.track: Track | None = None
        self._opened: Opened | None = None
        self.open_url: Callable[[QUrl], bool] = QDesktopServices.openUrl
        self._draw_timer, self._look_timer = QTimer(self), QTimer(self)
        self._draw_timer.setInterval(DRAW_MS)
        self._look_timer.setInterval(LOOK_MS)
        self._build()
        self._connect()
        self.show_nothing()

    # ------------------------------------------------------------------ build

    def _build(self) -> None:
        self.band = RobustnessHeader(self._recorded)
        self.chooser, self.strip = self.band.chooser, self.band.strip
        self.grid, self.cross, self.time, self.compare = ChartGrid(), CrossView(), CheckpointReplayView(), CompareView()
        self.faces = Faces(
            {Face.CHARTS: self.grid, Face.CROSS: self.cross, Face.TIME: self.time, Face.COMPARE: self.compare}
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_2)
        column.addWidget(self.band)
        column.addWidget(self.faces, 1)
        self.rows = RowsPanel(self)
        self.opener = RowsOpener(self, self.desk, self.rows)
        self.sheets = Sheets(self, self.desk, self.evaluating, self.time, self._run_of, self._config_of)
        bind_actions(self, ACTIONS, {
            "choose-run": self.chooser.button.showMenu,
            "evaluate": self.open_evaluate,
            "report": self.write_report,
            "charts": lambda: self.show_face(Face.CHARTS),
            "cross-play": lambda: self.show_face(Face.CROSS),
            "replay": lambda: self.show_face(Face.TIME),
            "compare": lambda: self.show_face(Face.COMPARE),
            "table": self.toggle_table,
        })  # fmt: skip

    def _connect(self) -> None:
        self._draw_timer.timeout.connect(self._draw)
        self._look_timer.timeout.connect(self.desk.look)
        self._runs.loaded.connect(self._take_sources)
        self.chooser.chosen.connect(self.open_source)
        self.band.trackChosen.connect(lambda track: self._show_track(track, anew=True))
        self.band.faceChosen.connect(self.show_face)
        self.band.reportAsked.connect(self.write_report)
        self.band.evaluateAsked.connect(self.open_evaluate)
        self.desk.opened.connect(self._take_opened)
        self.desk.refused.connect(self._take_refused)
        self.desk.panelFound.connect(self.grid.render_panel)
        self.desk.panelFailed.connect(self.grid.render_failed)
        self.desk.matrixFound.connect(self._take_matrix)
        self.desk.compared.connect(self.compare.render_comparison)
        self.desk.compareFailed.connect(self.compare.render_failed)
        self.compare.compareAsked.connect(self.desk.compare)
        for view in (self.grid, self.compare):
            view.pointAsked.connect(self.opener.open_point)
        for part in (self.grid, self.compare, self.time, self.cross.card, self.sheets, self.opener):
            part.said.connect(self.toast)
        self.opener.tracesAsked.connect(self.tracesAsked)
        self.cross.card.cellAsked.connect(self.opener.open_cell)
        self.cross.evaluateAsked.connect(self.open_evaluate)
        self.cross.openAsked.connect(self.open_source)
        self.rows.replayAsked.connect(self._open_time)
        self.sheets.problem.connect(self.problem)
        self._connect_evaluating()

    def _connect_evaluating(self) -> None:
        evaluating = self.evaluating
        evaluating.listed.connect(self._take_sources)
        evaluating.progressed.connect(lambda _s: self._render_strip())
        evaluating.ended.connect(self._take_ended)
        evaluating.failed.connect(self.problem)
        evaluating.started.connect(lambda paths: self.toast.emit(f"Evaluation {paths.run_id} has started."))
        self.strip.stopAsked.connect(self._stop)
        self.strip.resumeAsked.connect(evaluating.resume)
        self.strip.pauseAsked.connect(evaluating.pause)
        self.strip.unpauseAsked.connect(evaluating.unpause)
        self.strip.openAsked.connect(self.open_source)

    # ------------------------------------------------------------------ verbs of a page

    def activate(self) -> None:
        """Draw and look while in view; choose a run where nobody did."""
        self._draw_timer.start()
        self._look_timer.start()
        self.evaluating.refresh()
        self._take_sources()

    def deactivate(self) -> None:
        """Stop drawing and looking."""
        self._draw_timer.stop()
        self._look_timer.stop()

    def themed(self, theme: Theme) -> None:
        """Pictures anew, one at a time."""
        self.grid.mark_stale()
        for card in (*self.compare.cards, self.cross.card, self.time.card):
            card.mark_stale()
        self.cross.card.matrix.viewport().update()

    def close_down(self) -> None:
        """End the work in other threads; evaluations go on."""
        self.deactivate()
        self.sheets.close()
        self.evaluating.close()
        self.desk.close()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The rows stay at the right."""
        self.rows.place(event.size())
        super().resizeEvent(event)

    def _draw(self) -> None:
        drew = False
        if self.faces.face is Face.CHARTS:
            drew = self.grid.draw_next()
        elif self.faces.face is Face.COMPARE:
            drew = any(card.draw_if_stale() for card in self.compare.cards)
        # One draw a tick; where there may be more to draw, the next tick comes as soon as what has happened was taken.
        self._draw_timer.setInterval(BUSY_MS if drew else DRAW_MS)

    # ------------------------------------------------------------------ what is open

    @property
    def root(self) -> Path | None:
        """The folder that is open."""
        return self.desk.root

    def open_source(self, root: Path) -> None:
        """Show a run's folder, or an evaluation's."""
        self.rows.hide()
        self.desk.open(root)
        self.track, self._opened = None, None
        self._take_sources()

    def open_run(self, paths: RunPaths) -> None:
        """Show a run."""
        self.open_source(paths.root)

    def forget(self, paths: RunPaths) -> None:
        """The run is gone: read no more of it."""
        if self.root == paths.root:
            self.desk.leave()
            self.sheets.leave()
            self.show_nothing()

    def _take_sources(self) -> None:
        summaries, found = self._runs.summaries, self.evaluating.summaries
        self.chooser.render_sources(self.root, summaries, found)
        self.compare.render_contenders(contenders(summaries, found, self._recorded), self.root)
        self._render_strip()
        if self._opened is not None and not self._opened.has_matrix:
            self.cross.render_none(self._crosses())
        idle = self.root is None and self.isVisible() and self._runs.was_loaded
        if idle and (first := self.chooser.first()) is not None:
            self.open_source(first)

    def _take_opened(self, opened: Opened) -> None:
        grown = self._opened is not None and self._opened.root == opened.root
        self._opened = opened
        self.band.render_warnings(opened.warnings)
        self.band.render_tracks(opened.tracks)
        same = next((t for t in opened.tracks if self.track is not None and t.key == self.track.key), None)
        self._show_track(same or next(iter(opened.tracks), None), anew=not grown)
        if opened.has_matrix:
            self.desk.ask_matrix()
        else:
            self.cross.render_none(self._crosses())
        face = self.faces.face or Face(self.band.views.value or Face.CHARTS)
        if not opened.tracks and not grown:
            face = Face.CROSS
        elif not opened.has_matrix and not grown and face is Face.CROSS and opened.tracks:
            face = Face.CHARTS
        self.show_face(face)

    def _show_track(self, track: Track | None, *, anew: bool) -> None:
        self.track = track
        if anew:
            self.grid.render_track(track)
            self.sheets.leave()
            self.time.render_problem(None)
        if track is not None:
            self.band.render_track(track)
            self.desk.show(track)

    def _take_refused(self, _root: Path, text: str) -> None:
        self._opened = None
        waiting = " yet" in text
        evaluate = make_button("Evaluate…", "play", kind="primary", clicked=self.open_evaluate)
        title = "No evaluations yet" if waiting else "This cannot be read"
        self.faces.show_empty("chart" if waiting else "warning", title, text, (evaluate,) if waiting else ())
        self._render_tools()

    def show_nothing(self) -> None:
        """No run is open."""
        self._opened, self.track = None, None
        self.chooser.render_sources(self.root, self._runs.summaries, self.evaluating.summaries)
        start = make_button("Start the demo run", "play", clicked=self.demoAsked.emit)
        evaluate = make_button("Evaluate…", "play", kind="primary", clicked=self.open_evaluate)
        self.faces.show_empty(
            "chart", "No evaluations yet",
            "Evaluate the bundled model or any other on a suite, or start a run: it evaluates itself as it goes.",
            (start, evaluate),
        )  # fmt: skip
        self._render_tools()

    def _render_tools(self) -> None:
        if self._opened is None:
            self.band.render_warnings(())
        self.band.render_tools(self.faces.face, opened=self._opened is not None)

    # ------------------------------------------------------------------ views

    def show_face(self, face: Face) -> None:
        """Bring a view up."""
        if self._opened is not None:
            self.faces.show_face(face)
            self._render_tools()

    def toggle_table(self) -> None:
        """Chart or table, of the card with the keyboard."""
        cards = (*self.grid.all_cards.values(), *self.compare.panels, self.cross.card, self.time.card)
        card = next((c for c in cards if c.isVisible() and c.isAncestorOf(self.focusWidget() or self)), None)
        if card is not None and card.table_button.isEnabled():
            card.toggle_table()
            (card.table if card.tabled else card.picture).setFocus()

    def _take_matrix(self, panel: MatrixPanel | None) -> None:
        if panel is not None:
            self.cross.render_matrix(panel)
        else:
            self.cross.render_none(self._crosses())

    def _crosses(self) -> list[EvaluationSummary]:
        run = self._shown_run()
        return [s for s in self.evaluating.summaries if is_cross(s, run)]

    def _open_time(self, trace: Trace) -> None:
        self.rows.hide()
        self.show_face(Face.TIME)
        self.sheets.take_problem(trace)

    # ------------------------------------------------------------------ evaluating

    def open_evaluate(self) -> None:
        """Ask what to evaluate."""
        self.sheets.show_evaluate(self._shown_run(), cross=self.faces.face is Face.CROSS)

    def _stop(self, paths: EvalDir) -> None:
        self.evaluating.stop(paths)
        self._render_strip()

    def _render_strip(self) -> None:
        """The one that is open if it is going or was cut short, else the newest that is going."""
        live, shown = self.evaluating.live, self.evaluating.find(self.root)
        cut = shown is not None and shown.state is not None and shown.state.over and shown.state.share < 1
        told = shown if shown in live or cut else next(iter(live), None)
        if told is None and self.strip.summary is not None and not self.strip.isHidden():
            # One that has just ended stays until it is put away, or shown.
            told = self.evaluating.find(self.strip.summary.paths.root)
            told = None if told is not None and told.paths.root == self.root else told
        stopping = told is not None and told.paths.root in self.evaluating.stopping
        shows = told is not None and told.paths.root == self.root
        self.strip.render_summary(told, stopping=stopping, more=max(0, len(live) - 1), shown=shows)

    def _take_ended(self, summary: EvaluationSummary) -> None:
        status = summary.state.status if summary.state is not None else "unreadable"
        self.toast.emit(f"The evaluation “{evaluation_name(summary)}” is {status}.")
        self._take_sources()
        if self._opened is None and summary.state is not None and summary.state.rows:
            self.open_source(summary.paths.root)

    # ------------------------------------------------------------------ runs behind what is shown

    def _shown_run(self) -> RunPaths | None:
        """The run whose checkpoints what is shown is about."""
        if self.track is not None:
            return self._run_of(self.track)
        summary = self.evaluating.find(self.root)
        names = {t.run for t in summary.plan.targets} if summary is not None and summary.plan is not None else set()
        return next((p for p in self._known_runs() if p.root == self.root or p.run_id in names), None)

    def _run_of(self, track: Track) -> RunPaths | None:
        if track.origin is Origin.RUN:
            return RunPaths(track.root)
        return next((p for p in self._known_runs() if p.run_id == track.run), None)

    def _known_runs(self) -> list[RunPaths]:
        """Those of the person and the one that ships, which evaluations may be of too."""
        own = [s.paths for s in self._runs.summaries]
        return [*own, self._recorded] if self._recorded is not None else own

    def _config_of(self, run: RunPaths | None) -> RunConfig | None:
        return next((s.config for s in self._runs.summaries if run is not None and s.paths.root == run.root), None)

    # ------------------------------------------------------------------ report

    def write_report(self) -> None:
        """One file with everything, opened where it was written."""
        root = self.root
        if root is None or self._opened is None:
            return
        self.band.report.setEnabled(False)
        self.toast.emit("Writing the report…")
        self.sheets.background.submit(lambda: write_report([root]), self._take_report, self._miss_report)

    def _take_report(self, path: Path) -> None:
        self.band.report.setEnabled(True)
        self.toast.emit(f"The report is in {path}.")
        self.open_url(QUrl.fromLocalFile(str(path)))

    def _miss_report(self, text: str) -> None:
        self.band.report.setEnabled(True)
        self.problem.emit("The report was not written", text)
