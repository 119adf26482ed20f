"""The recorded run as a way to begin: what it came to, and a button that opens it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from seirenes_app.services.run_summary import measure_change
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.empty_state import Picture
from seirenes_app.ui.widgets.labels import make_label
from training.runs.listing import RunSummary

ABOUT = "A finished demo run ships with the laboratory, with its solutions and hints."


class RecordedCard(Card):
    """Asks by its one signal."""

    openAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent, padding=SPACE_3)
        self.title = make_label("Read a run that was recorded", "heading")
        self.text = make_label(ABOUT, "muted", wrap=True)
        self.open = make_button("Open the recorded run", "books", tip="Every rollout of it, on the Traces page",
                                clicked=self.openAsked.emit)  # fmt: skip
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.title)
        words.addWidget(self.text)
        row = QHBoxLayout()
        row.setSpacing(SPACE_4)
        row.addWidget(Picture("traces", 30, "accent"))
        row.addLayout(words, 1)
        row.addSpacing(SPACE_2)
        row.addWidget(self.open)
        self.body.addLayout(row)

    def render_summary(self, summary: RunSummary) -> None:
        """Add what the run came to, where its events say it."""
        state = summary.state
        if state is None or not state.step:
            return
        clean, hinted = measure_change(state, "clean"), measure_change(state, "hinted")
        if hinted.after is not None and clean.after is not None:
            self.text.setText(f"{state.step} steps of the demo. Right under hints {hinted}, without any {clean}.")
