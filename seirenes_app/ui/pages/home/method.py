"""The method in one strip: R1, R2, gate, R3 and placebo, each with its picture and a sentence."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QWidget

from seirenes_app.ui.theme import SPACE_1, SPACE_2
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import IconLabel, make_label

STEPS = (
    ("check-circle", "clean", "R1 · Clean", "The model solves problems as they are."),
    ("craft", "adversary", "R2 · Hint", "The same model writes a hint that is meant to mislead."),
    ("stop-hand", "warn", "Gate", "Rules refuse hints that state the answer or change the problem."),
    ("train", "hinted", "R3 · Hinted", "It solves them with the hint, and learns to keep its answer."),
    ("stable", "placebo", "Placebo", "Neutral text of the same length. Only an effect beyond it is the hint's."),
)
"""Icon, colour, name, sentence. The colours are those of the charts."""


class MethodStrip(QWidget):
    """Five cards with arrows between; the placebo is a comparison and has none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("How it works")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_2)
        for place, (icon, tone, name, text) in enumerate(STEPS):
            if 0 < place < len(STEPS) - 1:
                row.addWidget(IconLabel("arrow-right", 16, "muted"))
            elif place:
                row.addSpacing(SPACE_2)
            row.addWidget(_make_step(icon, tone, name, text), 1)


def _make_step(icon: str, tone: str, name: str, text: str) -> Card:
    card = Card("flat", padding=SPACE_2)
    card.setAccessibleName(f"{name}. {text}")
    head = QHBoxLayout()
    head.setSpacing(SPACE_2)
    head.addWidget(IconLabel(icon, 20, tone))
    head.addWidget(make_label(name, "strong"))
    head.addStretch(1)
    card.body.setSpacing(SPACE_1)
    card.body.addLayout(head)
    sentence = make_label(text, "small", wrap=True)
    sentence.setAlignment(Qt.AlignmentFlag.AlignTop)
    card.body.addWidget(sentence, 1)
    return card
