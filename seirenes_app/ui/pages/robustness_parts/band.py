"""The upper part of the Robustness page: what is open and what can be done, an evaluation's progress, what is missing,
and the choice of views."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from seirenes_app.lab.robustness.values import Origin, Track
from seirenes_app.ui.pages.robustness_parts.evaluation_strip import EvaluationStrip
from seirenes_app.ui.pages.robustness_parts.faces import SEGMENTS, Face
from seirenes_app.ui.pages.robustness_parts.source_chooser import SourceChooser
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.quiet import hush
from seirenes_app.ui.widgets.segmented import Segmented
from training.rundir.paths import RunPaths

VIEWS_WIDTH, TRACKS_WIDTH = 680, 320


class Band(QWidget):
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
        self.strip = EvaluationStrip()
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
