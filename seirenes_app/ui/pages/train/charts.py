"""The charts of a run in a grid; the first is large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtWidgets import QWidget

from seirenes_app.services.charts.training import RUN_CHARTS
from seirenes_app.ui.charts.card import CardGrid, LiveCard
from seirenes_app.ui.widgets.boxes import column, row
from training.runs.processes import RunSummary
from training.runs.status import LIVE, RunState

PLACES = {
    2: {"accuracy": (0, 0, 1, 2), "types": (1, 0, 1, 1), "reward": (1, 1, 1, 1), "gates": (2, 0, 1, 1),
        "entropy": (2, 1, 1, 1), "lengths": (3, 0, 1, 1), "unread": (3, 1, 1, 1),
        "speed": (4, 0, 1, 1), "time": (4, 1, 1, 1)},
    3: {"accuracy": (0, 0, 2, 2), "types": (0, 2, 1, 1), "gates": (1, 2, 1, 1), "reward": (2, 0, 1, 1),
        "entropy": (2, 1, 1, 1), "lengths": (2, 2, 1, 1), "unread": (3, 0, 1, 1),
        "speed": (3, 1, 1, 1), "time": (3, 2, 1, 1)},
}  # fmt: skip
"""Row, column, rows, columns of each chart by the number of columns."""


class ChartGrid(CardGrid):
    """`render_state` marks cards stale when there is something new; `draw_next` draws one."""

    cards: Mapping[str, LiveCard]
    wide = 1380

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cards = {c.key: LiveCard(c.title, c.note, 300 if c.large else 170) for c in RUN_CHARTS}
        self.overlay.chosenChanged.connect(lambda _ids: self._render())
        self._known: dict[str, RunState] = {}
        self._state: RunState | None = None
        self._seen: tuple[object, ...] = ()
        column(row(None, self.overlay), self.grid, parent=self)
        self.lay_out()

    def forget(self) -> None:
        """Another run will be shown."""
        self._seen, self._state = (), None
        self.overlay.choose(())

    def render_state(self, state: RunState) -> None:
        """Take a state. The series are made when a card's turn comes."""
        seen = (state.run_id, len(state.history), state.evals, state.status in LIVE)
        if seen == self._seen:
            return
        self._seen, self._state = seen, state
        self._render()

    def show_runs(self, summaries: Sequence[RunSummary]) -> None:
        """Offer these runs to draw in the same charts."""
        mine = self._state.run_id if self._state is not None else ""
        states = {s.paths.run_id: s.state for s in summaries if s.state is not None and s.state.step}
        self._known = {run_id: state for run_id, state in states.items() if run_id != mine}
        self.overlay.show_choices([(run_id, run_id) for run_id in self._known])

    def _render(self) -> None:
        state = self._state
        if state is None:
            return
        others = [self._known[run_id] for run_id in self.overlay.chosen if run_id in self._known]
        empty = "Fills with the first step." if state.status in LIVE else "Nothing was recorded."
        for chart in RUN_CHARTS:
            self.cards[chart.key].render_source(lambda make=chart.make: make(state, others), empty)

    def places(self, columns: int) -> Mapping[str, tuple[int, int, int, int]]:
        return PLACES[columns]
