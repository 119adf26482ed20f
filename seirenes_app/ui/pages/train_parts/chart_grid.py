"""The charts of a run in a grid: two columns, three in a wide window; the first is large. Draws one at a time."""

from __future__ import annotations

from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QWidget

from seirenes_app.ui.pages.train_parts.series import CHARTS
from seirenes_app.ui.theme import SPACE_4
from seirenes_app.ui.widgets.charts import Chart
from training.rundir.state import RunState, RunStatus

WIDE = 1380
PLACES = {
    2: {"accuracy": (0, 0, 1, 2), "types": (1, 0, 1, 1), "reward": (1, 1, 1, 1), "gates": (2, 0, 1, 1),
        "entropy": (2, 1, 1, 1), "lengths": (3, 0, 1, 1), "speed": (3, 1, 1, 1)},
    3: {"accuracy": (0, 0, 2, 2), "types": (0, 2, 1, 1), "gates": (1, 2, 1, 1), "reward": (2, 0, 1, 1),
        "entropy": (2, 1, 1, 1), "lengths": (2, 2, 1, 1), "speed": (3, 0, 1, 3)},
}  # fmt: skip
"""Row, column, rows, columns of each chart by the number of columns."""


class ChartGrid(QWidget):
    """`render_state` marks charts stale when there is something new; `draw_next` draws one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.charts = {s.key: Chart(s.title, s.note, unit=s.unit, height=300 if s.large else 170) for s in CHARTS}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(SPACE_4)
        self._columns = 0
        self._turn = 0
        self._seen: tuple[object, ...] = ()
        self.lay_out()

    def forget(self) -> None:
        """Another run: whatever comes is new."""
        self._seen = ()

    def render_state(self, state: RunState) -> None:
        """Take a state. The lines are made when a chart's turn comes."""
        ended = state.status not in (RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSED)
        seen = (state.run_id, len(state.history), state.evals, ended)
        if seen == self._seen:
            return
        self._seen = seen
        empty = "Nothing was recorded." if ended else "Fills with the first step."
        for spec in CHARTS:
            self.charts[spec.key].render_source(lambda make=spec.make: make(state), empty)

    def mark_stale(self) -> None:
        """All anew: the theme changed."""
        for chart in self.charts.values():
            chart.mark_stale()

    def draw_next(self) -> bool:
        """Draw the next stale chart, in turn; False when there is none."""
        charts = list(self.charts.values())
        for i in range(len(charts)):
            if charts[(self._turn + i) % len(charts)].draw_if_stale():
                self._turn = (self._turn + i + 1) % len(charts)
                return True
        return False

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Reflow."""
        self.lay_out()

    def lay_out(self) -> None:
        """Put every chart in its place for the width there is."""
        columns = 3 if self.width() >= WIDE else 2
        if columns == self._columns:
            return
        self._columns = columns
        for key, chart in self.charts.items():
            self._grid.removeWidget(chart)
            self._grid.addWidget(chart, *PLACES[columns][key])
        for column in range(3):
            self._grid.setColumnStretch(column, int(column < columns))
