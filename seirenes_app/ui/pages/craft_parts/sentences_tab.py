"""Which sentence does it: the button that tries them one by one, and the table of what came of it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from seirenes_app.lab.why.ablation import AblationResult
from seirenes_app.ui.pages.craft_parts.sentence_table import SentenceTable
from seirenes_app.ui.pages.craft_parts.words import say_drop
from seirenes_app.ui.theme import SPACE_3
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.labels import make_label

NOTHING = (
    "Each sentence of the hint is left out once, and tried alone once, with the same seeds. What accuracy then "
    "gains or loses tells which of them does the harm."
)
KEY = "Points of accuracy with their 95% intervals; bars to the right mean harm."


class SentencesTab(QWidget):
    """Asks by a signal."""

    tryAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._build()

    def _build(self) -> None:
        self.text = make_label(NOTHING, "muted", wrap=True)
        self.try_ = make_button("Try each sentence", "sentences", clicked=self.tryAsked.emit,
                                tip="Solve without each sentence, and with each alone")  # fmt: skip
        self.table = SentenceTable()
        self.key = make_label(KEY, "small", wrap=True)
        self.note = make_label("", wrap=True)
        row = QHBoxLayout()
        row.addWidget(self.try_)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_3)
        column.addWidget(self.text)
        column.addWidget(self.note)
        column.addWidget(self.table)
        column.addWidget(self.key)
        column.addLayout(row)
        self.render_ablation(None)

    def render_busy(self, *, usable: bool, busy: bool) -> None:
        """Whether sentences can be tried now."""
        self.try_.setEnabled(usable and not busy)

    def render_ablation(self, result: AblationResult | None) -> None:
        """Show a result, finished or not."""
        some = result is not None and bool(result.rows)
        self.text.setVisible(result is None)
        self.table.setVisible(some)
        self.key.setVisible(some)
        self.table.render_ablation(result)
        words = ""
        if result is not None:
            whole = say_drop(result.delta_full) if result.complete else ""
            cut = "Cancelled: these are the samples that were there." if result.cancelled else ""
            words = " ".join(part for part in (result.note, whole, cut) if part)
        self.note.setText(words)
        self.note.setVisible(bool(words))
        self.try_.setText("Try each sentence again" if some else "Try each sentence")
