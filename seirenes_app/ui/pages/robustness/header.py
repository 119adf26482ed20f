"""The upper part of the Robustness page: which results are shown, what can be done, and the choice of views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QComboBox, QWidget

from seirenes_app.services.robustness.types import Origin, Track
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.boxes import column, ignore_wheel, row
from seirenes_app.ui.widgets.buttons import action_button
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from seirenes_app.ui.widgets.source_menu import SourceMenu
from training.runs.paths import RunPaths

NAME_CHARACTERS = 28
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
        self.source_menu = SourceMenu(
            recorded, lambda s: s.state is not None and bool(s.state.evals), TIP, NAME_CHARACTERS
        )
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
