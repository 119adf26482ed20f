"""The hint's type and its place in the problem."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from seirenes_app.lab.crafting.documents import Draft
from seirenes_app.ui.pages.craft_parts.words import PLACEMENT_WORDS, TYPE_WORDS
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.charts import make_card_heading
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.core.prompts import Placement


class DistractionCard(Card):
    """Asks by signals."""

    typeChosen = Signal(str)
    placementChosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._build()
        self._connect()

    def _build(self) -> None:
        self.body.addWidget(make_card_heading("Hint"))
        types = [Segment(str(type_), *words) for type_, words in TYPE_WORDS.items()]
        self.type = Segmented("Type of hint", types, columns=2)
        places = [Segment(str(place), word, tip=tip) for place, (word, tip) in PLACEMENT_WORDS.items()]
        self.placement = Segmented("Placement", places)
        self.where = make_label("", "small")
        row = QHBoxLayout()
        row.addWidget(self.where)
        row.addStretch(1)
        self.body.addWidget(self.type)
        self.body.addWidget(self.placement)
        self.body.addLayout(row)

    def _connect(self) -> None:
        self.type.chosen.connect(self.typeChosen)
        self.placement.chosen.connect(self.placementChosen)

    def render_draft(self, draft: Draft) -> None:
        """Show its type and placement."""
        self.type.render_value(str(draft.type))
        self.placement.render_value(str(draft.placement))
        self.where.setText(PLACEMENT_WORDS[Placement(draft.placement)][1])
