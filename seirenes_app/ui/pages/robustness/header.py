"""The upper part of the Robustness page: which results are shown, what can be done, and the choice of views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QComboBox, QWidget

from seirenes_app.services.evaluation_request import evaluation_name
from seirenes_app.services.evaluations import EvaluationSummary
from seirenes_app.services.robustness.types import Origin, Track
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.badges import BadgeStyle
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.buttons import action_button
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.no_wheel import ignore_wheel
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from seirenes_app.ui.widgets.source_menu import RECORDED, RECORDED_NAME, SourceMenu, brief, is_live, look_of
from training.runs.listing import RunSummary
from training.runs.paths import RunPaths

MENU_ENTRIES = 14
NAME_CHARACTERS, SHORT_CHARACTERS = 60, 28
VIEWS_WIDTH, TRACKS_WIDTH = 720, 320
TIP = "Choose a run or an evaluation (Ctrl+L)"


class View(StrEnum):
    """The views of the page."""

    CHARTS = "charts"
    CROSS_PLAY = "cross-play"
    REPLAY = "replay"
    COMPARE = "compare"


SEGMENTS = (
    Segment(View.CHARTS, "Over checkpoints", tip="Accuracy, gap, flips and worst of k at each checkpoint (Alt+1)"),
    Segment(View.CROSS_PLAY, "Cross-play", tip="Reasoners of checkpoints against hints of others (Alt+2)"),
    Segment(View.REPLAY, "Checkpoint replay", tip="One problem on every checkpoint (Alt+3)"),
    Segment(View.COMPARE, "Compare runs", tip="Several runs on the same suite (Alt+4)"),
)


class ResultMenu(SourceMenu):
    """Runs, evaluations and the recorded run. `chosen` carries the path of the folder."""

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
        self.show_open(brief(name, SHORT_CHARACTERS), f"Shown: {name}" if root is not None else name, self._look(root))
        self.button.setToolTip(f"{name}\n{TIP}")

    def first(self) -> Path | None:
        """What to open without a choice: a live run, the newest with figures, or the recorded one."""
        measured = [s for s in self._runs if s.state is not None and s.state.evals]
        live = [s.paths.root for s in measured if is_live(s)]
        return next(iter([*live, *(s.paths.root for s in measured)]), self._recorded)

    def name_of(self, root: Path) -> str:
        """The name of a folder's run or evaluation."""
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
        self.add_runs(self._runs, lambda s: s.paths.root, self._root, most=MENU_ENTRIES, characters=NAME_CHARACTERS)
        if self._evaluations:
            self.add_title("Evaluations")
        for found in self._evaluations[:MENU_ENTRIES]:
            text, root = brief(evaluation_name(found), NAME_CHARACTERS), found.paths.root
            self.add(text, look_of(found.state).icon, root, is_open=root == self._root)
        if self._recorded is not None:
            self.add_recorded(self._recorded, is_open=self._recorded == self._root)


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
        self.source_menu = ResultMenu(recorded)
        self.tracks = QComboBox()
        self.tracks.setAccessibleName("Suite and run")
        self.tracks.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.tracks.setMinimumContentsLength(12)
        self.tracks.setMaximumWidth(TRACKS_WIDTH)
        self.tracks.hide()
        ignore_wheel(self.tracks)
        self.report = action_button(actions["report"], "Report")
        self.evaluate = action_button(actions["evaluate"], kind="primary")
        self.views = Segmented("View", SEGMENTS)
        self.views.setMaximumWidth(VIEWS_WIDTH)
        title = make_label("Robustness", "title")
        column(
            row(title, SPACE_2, self.source_menu, None, self.report, self.evaluate, spacing=SPACE_3), SPACE_2,
            row((self.views, 2), None, (self.tracks, 1)), margins=(28, 20, 28, 0), parent=self,
        )  # fmt: skip
        self.tracks.activated.connect(lambda index: self.trackChosen.emit(self.tracks.itemData(index)))
        self.views.chosen.connect(lambda value: self.viewChosen.emit(View(value)))

    def render_tracks(self, tracks: Sequence[Track]) -> None:
        """The suites and runs that there are figures of."""
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

    def render_view(self, view: View | None) -> None:
        """The current view; None: there is nothing to show."""
        self.views.setVisible(view is not None)
        self.views.render_value(view or View.CHARTS)
        self.tracks.setVisible(view in (View.CHARTS, View.REPLAY) and self.tracks.count() > 1)
