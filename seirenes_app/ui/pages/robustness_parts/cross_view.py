"""Cross-play: the matrix of what is open, or how to get one, with those that are there already for the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from seirenes_app.lab.evaluations import EvaluationSummary
from seirenes_app.lab.robustness.values import MatrixPanel
from seirenes_app.ui.pages.robustness_parts.matrix_card import MatrixCard
from seirenes_app.ui.pages.robustness_parts.source_chooser import evaluation_name
from seirenes_app.ui.theme import SPACE_2
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.empty import EmptyState
from seirenes_app.ui.widgets.labels import make_label

ABOUT = (
    "Each checkpoint's Adversary writes hints for the same held-out problems, and each checkpoint's Reasoner solves "
    "under them. A row tells how robust one Reasoner is, a column how strong one Adversary; together they tell an arms "
    "race from going round in circles."
)
SHOWN = 4


class CrossView(QWidget):
    """`render_matrix` shows one, `render_none` what to do without."""

    evaluateAsked = Signal()
    openAsked = Signal(object)
    """Path of an evaluation's folder."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.card = MatrixCard()
        self._known: tuple[Path, ...] | None = None
        self.empty: QWidget | None = None
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.addWidget(self.card)
        self.column.addStretch(1)
        self.card.hide()

    def render_matrix(self, panel: MatrixPanel) -> None:
        """What is open has one."""
        self._clear()
        self.card.show()
        self.card.render_panel(panel)

    def render_none(self, others: Sequence[EvaluationSummary]) -> None:
        """What is open has none; `others` of the same run do."""
        known = tuple(o.paths.root for o in others)
        if self.empty is not None and known == self._known:
            return
        self._clear()
        self._known = known
        self.card.hide()
        self.card.matrix.render_panel(None)
        start = make_button("Evaluate a cross-play…", "compare", kind="primary", clicked=self.evaluateAsked.emit)
        self.empty = QWidget()
        column = QVBoxLayout(self.empty)
        column.addWidget(EmptyState("compare", "No cross-play here", ABOUT, (start,)))
        if others:
            row = QHBoxLayout()
            row.setSpacing(SPACE_2)
            row.addStretch(1)
            row.addWidget(make_label("Already there:", "muted"))
            for other in others[:SHOWN]:
                row.addWidget(make_button(
                    evaluation_name(other), "arrow-right", kind="quiet",
                    clicked=lambda root=other.paths.root: self.openAsked.emit(root),
                ))  # fmt: skip
            row.addStretch(1)
            column.addLayout(row)
        self.column.insertWidget(0, self.empty)

    def _clear(self) -> None:
        if self.empty is not None:
            self.column.removeWidget(self.empty)
            self.empty.hide()
            self.empty.deleteLater()
            self.empty = None
