"""The method in one strip: R1, R2, gate, R3 and placebo, each with its picture and a sentence."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from seirenes_app.ui.theme import SPACE_1, SPACE_2
from seirenes_app.ui.widgets.boxes import fill, row
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
        strip = row(parent=self)
        for place, (icon, tone, name, text) in enumerate(STEPS):
            if place:
                fill(strip, IconLabel("arrow-right", 16, "muted") if place < len(STEPS) - 1 else SPACE_2)
            strip.addWidget(_make_step(icon, tone, name, text), 1)


def _make_step(icon: str, tone: str, name: str, text: str) -> Card:
    sentence = make_label(text, "small", wrap=True)
    sentence.setAlignment(Qt.AlignmentFlag.AlignTop)
    card = Card("flat", padding=SPACE_2)
    card.setAccessibleName(f"{name}. {text}")
    card.body.setSpacing(SPACE_1)
    fill(card.body, row(IconLabel(icon, 20, tone), make_label(name, "strong"), None), (sentence, 1))
    return card
