"""Whose robustness is shown: runs that are going, recent ones, evaluations, and the recorded run that ships.

An evaluation that is going, or could be taken up again: what it does, how far it is, and what can be done.

The upper part of the Robustness page: what is open and what can be done, an evaluation's progress, what is missing,
and the choice of views."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from seirenes_app.services.evaluations import EvaluationSummary
from seirenes_app.services.formatting import count_of, duration, format_count, percent
from seirenes_app.services.robustness.types import Origin, Track
from seirenes_app.ui.pages.robustness.evaluation_request import evaluation_name
from seirenes_app.ui.pages.robustness.view_stack import SEGMENTS, Face
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.badges import STATUS_LOOKS, Badge, BadgeStyle
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from seirenes_app.ui.widgets.no_wheel import hush
from seirenes_app.ui.widgets.segmented import Segmented
from seirenes_app.ui.widgets.source_menu import RECORDED, RECORDED_NAME, SourceMenu, brief, is_live, look_of
from training.runs.listing import RunSummary
from training.runs.paths import RunPaths
from training.runs.status import RunStatus

MOST = 14


NAME_CHARACTERS, SHORT = 60, 28


TIP = "Another run or evaluation (Ctrl+L)"


class SourceChooser(SourceMenu):
    """`chosen` carries the path of a run's or an evaluation's folder."""

    def __init__(self, recorded: RunPaths | None, parent: QWidget | None = None) -> None:
        super().__init__(TIP, parent)
        self._recorded = recorded.root if recorded is not None else None
        self._runs: Sequence[RunSummary] = ()
        self._evaluations: Sequence[EvaluationSummary] = ()
        self._root: Path | None = None

    def render_sources(
        self, root: Path | None, runs: Sequence[RunSummary], evaluations: Sequence[EvaluationSummary]
    ) -> None:
        """Name what is open."""
        self._root, self._runs, self._evaluations = root, runs, evaluations
        name = self.name_of(root) if root is not None else "Choose a run"
        self.show_open(brief(name, SHORT), f"Shown: {name}" if root is not None else name, self._look(root))
        self.button.setToolTip(f"{name}\n{TIP}")

    def first(self) -> Path | None:
        """What to open where nobody chose: a run that is going, the newest with figures, or the recorded one."""
        measured = [s for s in self._runs if s.state is not None and s.state.evals]
        live = [s.paths.root for s in measured if is_live(s)]
        return next(iter([*live, *(s.paths.root for s in measured)]), self._recorded)

    def name_of(self, root: Path) -> str:
        """What a folder is called."""
        if root == self._recorded:
            return RECORDED_NAME
        found = next((e for e in self._evaluations if e.paths.root == root), None)
        return evaluation_name(found) if found is not None else root.name

    def _look(self, root: Path | None) -> BadgeStyle | None:
        if root is None:
            return None
        if root == self._recorded:
            return RECORDED
        entries: tuple[RunSummary | EvaluationSummary, ...] = (*self._runs, *self._evaluations)
        return next((look_of(found.state) for found in entries if found.paths.root == root), None)

    def fill(self) -> None:
        """Runs, evaluations, and the run that ships."""
        self.add_runs(self._runs, lambda s: s.paths.root, self._root, most=MOST, characters=NAME_CHARACTERS)
        if self._evaluations:
            self.add_title("Evaluations")
        for found in self._evaluations[:MOST]:
            text, root = brief(evaluation_name(found), NAME_CHARACTERS), found.paths.root
            self.add(text, look_of(found.state).icon, root, is_open=root == self._root)
        if self._recorded is not None:
            self.add_recorded(self._recorded, is_open=self._recorded == self._root)


STAGES = {
    "setup": "getting ready", "loading": "loading", "solving": "solving", "solved": "solving",
    "writing": "writing hints", "paused": "paused", "handover": "handing over", "verifying": "checking",
}  # fmt: skip


MANY = 1000


NAME_WIDTH = 300


class EvaluationBar(Card):
    """Hidden while there is nothing to tell."""

    stopAsked = Signal(object)
    """EvalDir"""
    resumeAsked = Signal(object)
    pauseAsked = Signal(object)
    unpauseAsked = Signal(object)
    openAsked = Signal(object)
    """Path of its folder"""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("true", parent, padding=10)
        self.summary: EvaluationSummary | None = None
        self._build()
        self.hide()

    def _build(self) -> None:
        self.setAccessibleName("Evaluation")
        self.badge = Badge(STATUS_LOOKS[RunStatus.STARTING])
        self.name, self.words = ElidedLabel(), ElidedLabel("muted")
        self.name.setMaximumWidth(NAME_WIDTH)
        self.words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.open = make_button("Show", "arrow-right", kind="quiet", tip="Show what it has so far",
                                clicked=lambda: self._ask(self.openAsked, root=True))  # fmt: skip
        self.pause = make_button("Pause", "pause", kind="quiet", tip="Wait after the chunk under way",
                                 clicked=lambda: self._ask(self.pauseAsked))  # fmt: skip
        self.unpause = make_button("Continue", "play", kind="quiet", clicked=lambda: self._ask(self.unpauseAsked))
        self.stop = make_button("Cancel", "stop", kind="quiet", tip="What is done is kept, and can be taken up again",
                                clicked=lambda: self._ask(self.stopAsked))  # fmt: skip
        self.resume = make_button("Resume", "resume", tip="Go on: no row is lost or repeated",
                                  clicked=lambda: self._ask(self.resumeAsked))  # fmt: skip
        self.close_button = make_icon_button("close", "Put this away", clicked=lambda: self.render_summary(None))
        head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        head.addWidget(self.badge)
        head.addWidget(self.name)
        head.addSpacing(SPACE_3)
        head.addWidget(self.words, 1)
        for part in (self.open, self.pause, self.unpause, self.stop, self.resume, self.close_button):
            head.addWidget(part)
        self.bar = QProgressBar()
        self.bar.setRange(0, MANY)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("How far the evaluation is")
        self.body.addLayout(head)
        self.body.addWidget(self.bar)

    def _ask(self, signal: object, *, root: bool = False) -> None:
        if self.summary is not None:
            signal.emit(self.summary.paths.root if root else self.summary.paths)  # type: ignore[attr-defined]

    def render_summary(
        self, summary: EvaluationSummary | None, *, stopping: bool = False, more: int = 0, shown: bool = False
    ) -> None:
        """Show one; `more` are going beside it. `shown`: it is what the page shows."""
        self.summary = summary
        self.setVisible(summary is not None and summary.state is not None)
        if summary is None or summary.state is None:
            return
        state = summary.state
        status = RunStatus.STOPPING if stopping and not state.over else state.status
        self.badge.render_look(STATUS_LOOKS[status])
        self.name.setText(evaluation_name(summary))
        words = say_progress(summary, stopping=stopping)
        self.words.setText(f"{words}  ·  {more} more going" if more else words)
        self.bar.setVisible(not state.over)
        self.bar.setValue(round(MANY * state.share))
        paused = state.status is RunStatus.PAUSED
        self.pause.setVisible(not state.over and not paused and not stopping)
        self.unpause.setVisible(paused and not stopping)
        self.stop.setVisible(not state.over)
        self.stop.setEnabled(not stopping)
        self.resume.setVisible(state.can_resume)
        self.open.setVisible(state.rows > 0 and not shown)
        self.close_button.setVisible(state.over)
        self.setAccessibleDescription(f"{STATUS_LOOKS[status].text}. {words}")


def say_progress(summary: EvaluationSummary, *, stopping: bool = False) -> str:
    """What it does and how far it is, or how it ended."""
    state = summary.state
    assert state is not None
    rows = count_of(state.rows, "row")
    if state.over:
        kept = f"{rows} kept" if state.status is not RunStatus.FINISHED else rows
        return f"{percent(state.share)}  ·  {kept}{f'  ·  {state.message}' if state.message else ''}"
    if stopping:
        return f"stopping after the chunk under way  ·  {rows} kept"
    doing = STAGES.get(state.stage, state.stage)
    what = " ".join(part for part in (doing, state.target, state.condition) if part)
    left = f"about {duration(state.eta_s)} left" if state.eta_s is not None else ""
    pace = f"{format_count(state.rows_per_s)} rows/s" if state.rows_per_s >= 1 else ""
    parts = (percent(state.share), left, what, f"{state.done_chunks} of {state.chunks} chunks", pace)
    return "  ·  ".join(part for part in parts if part)


VIEWS_WIDTH, TRACKS_WIDTH = 680, 320


class RobustnessHeader(QWidget):
    """Asks by signals; `render_…` shows what came."""

    trackChosen = Signal(object)
    """Track"""
    faceChosen = Signal(object)
    """Face"""
    reportAsked = Signal()
    evaluateAsked = Signal()

    def __init__(self, recorded: RunPaths | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._build(recorded)
        self._connect()

    def _build(self, recorded: RunPaths | None) -> None:
        self.chooser = SourceChooser(recorded)
        self.tracks = QComboBox()
        self.tracks.setAccessibleName("Suite and run")
        self.tracks.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.tracks.setMinimumContentsLength(12)
        self.tracks.setMaximumWidth(TRACKS_WIDTH)
        self.tracks.hide()
        hush(self.tracks)
        self.report = make_button("Report", "file", tip="One HTML file, with everything shown here (Ctrl+Shift+E)",
                                  clicked=self.reportAsked.emit)  # fmt: skip
        self.evaluate = make_button("Evaluate…", "play", kind="primary", clicked=self.evaluateAsked.emit,
                                    tip="Checkpoints or models on a suite, or cross-play (Ctrl+E)")  # fmt: skip
        head = QHBoxLayout()
        head.setSpacing(SPACE_3)
        head.addWidget(make_label("Robustness", "title"))
        head.addSpacing(SPACE_2)
        head.addWidget(self.chooser)
        head.addStretch(1)
        head.addWidget(self.report)
        head.addWidget(self.evaluate)
        self.strip = EvaluationBar()
        self.warning = Card("warn", padding=8)
        self.warning_words = make_label("", wrap=True, select=True)
        self.warning.body.addWidget(self.warning_words)
        self.warning.hide()
        self.views = Segmented("View", SEGMENTS)
        self.views.setMaximumWidth(VIEWS_WIDTH)
        column = QVBoxLayout(self)
        column.setContentsMargins(28, 20, 28, 0)
        column.setSpacing(SPACE_2)
        column.addLayout(head)
        column.addSpacing(SPACE_2)
        for part in (self.strip, self.warning):
            column.addWidget(part)
        below = QHBoxLayout()
        below.addWidget(self.views, 2)
        below.addStretch(1)
        below.addWidget(self.tracks, 1)
        column.addLayout(below)

    def _connect(self) -> None:
        self.tracks.activated.connect(lambda place: self.trackChosen.emit(self.tracks.itemData(place)))
        self.views.chosen.connect(lambda value: self.faceChosen.emit(Face(value)))

    # ------------------------------------------------------------------ render

    def render_tracks(self, tracks: Sequence[Track]) -> None:
        """The suites and runs that what is open has figures of."""
        self.tracks.clear()
        for track in tracks:
            text = track.title if track.origin is Origin.EVALUATION else track.suite
            self.tracks.addItem(text, track)
            self.tracks.setItemData(self.tracks.count() - 1, text, Qt.ItemDataRole.ToolTipRole)

    def render_track(self, track: Track) -> None:
        """The one that is shown."""
        keys = [self.tracks.itemData(i).key for i in range(self.tracks.count())]
        if track.key in keys:
            self.tracks.setCurrentIndex(keys.index(track.key))

    def render_warnings(self, warnings: Sequence[str]) -> None:
        """What is missing or damaged."""
        self.warning.setVisible(bool(warnings))
        self.warning_words.setText("\n".join(warnings))

    def render_tools(self, face: Face | None, *, opened: bool) -> None:
        """What can be chosen and done now; `face` None: there is nothing to view."""
        self.views.setVisible(face is not None)
        self.views.render_value(face or Face.CHARTS)
        self.report.setEnabled(opened)
        self.tracks.setVisible(face in (Face.CHARTS, Face.TIME) and self.tracks.count() > 1)
