"""The charts of a run in a grid: two columns, three in a wide window; the first is large."""

from __future__ import annotations

from PySide6.QtWidgets import QGridLayout, QWidget

from seirenes_app.services.charts.training import RUN_CHARTS
from seirenes_app.ui.charts.card import CardGrid, LiveCard
from seirenes_app.ui.theme import SPACE_4
from training.runs.status import RunState, RunStatus

WIDE = 1380
PLACES = {
    2: {"accuracy": (0, 0, 1, 2), "types": (1, 0, 1, 1), "reward": (1, 1, 1, 1), "gates": (2, 0, 1, 1),
        "entropy": (2, 1, 1, 1), "lengths": (3, 0, 1, 1), "speed": (3, 1, 1, 1)},
    3: {"accuracy": (0, 0, 2, 2), "types": (0, 2, 1, 1), "gates": (1, 2, 1, 1), "reward": (2, 0, 1, 1),
        "entropy": (2, 1, 1, 1), "lengths": (2, 2, 1, 1), "speed": (3, 0, 1, 3)},
}  # fmt: skip
"""Row, column, rows, columns of each chart by the number of columns."""


class ChartGrid(CardGrid):
    """`render_state` marks cards stale when there is something new; `draw_next` draws one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cards = {c.key: LiveCard(c.title, c.note, 300 if c.large else 170) for c in RUN_CHARTS}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(SPACE_4)
        self._columns = 0
        self._seen: tuple[object, ...] = ()
        self.lay_out()

    def forget(self) -> None:
        """Another run: whatever comes is new."""
        self._seen = ()

    def render_state(self, state: RunState) -> None:
        """Take a state. The series are made when a card's turn comes."""
        ended = state.status not in (RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSED)
        seen = (state.run_id, len(state.history), state.evals, ended)
        if seen == self._seen:
            return
        self._seen = seen
        empty = "Nothing was recorded." if ended else "Fills with the first step."
        for chart in RUN_CHARTS:
            self.cards[chart.key].render_source(lambda make=chart.make: make(state), empty)

    def lay_out(self) -> None:
        """Put every card in its place for the width there is."""
        columns = 3 if self.width() >= WIDE else 2
        if columns == self._columns:
            return
        self._columns = columns
        for key, card in self.cards.items():
            self._grid.removeWidget(card)
            self._grid.addWidget(card, *PLACES[columns][key])
        for column in range(3):
            self._grid.setColumnStretch(column, int(column < columns))
