"""Where the hint makes the right solution unlikely: its tokens, and what the model would rather have written."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from seirenes_app.lab.why.heat import HeatMap
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.heat_map import HeatMapView, say_alternatives, say_delta, say_logprob, short_delta, visible
from seirenes_app.ui.widgets.labels import make_label

NOTHING = (
    "A right solution's tokens are scored twice: after the clean question, and after the question with the hint."
    " What loses probability shows where the reasoning is pulled away."
)
NO_SOLUTION = "There is no right solution to score yet: solve first, or take a problem that has a worked solution."
LEGEND = (
    "Thick underline: the hint makes the token less likely.  Dotted: likelier.  "
    "Arrow keys go from token to token, W to the worst."
)


class HeatTab(QWidget):
    """Asks by a signal; `render_map` shows what came."""

    scoreAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._build()
        self._connect()

    def _build(self) -> None:
        self.text = make_label(NOTHING, "muted", wrap=True)
        self.score = make_button("Score the solution", "heat", clicked=self.scoreAsked.emit,
                                 tip="Log-probability of each token, clean and hinted")  # fmt: skip
        self.total = make_label("", wrap=True)
        self.figures = QCheckBox("Figures")
        self.figures.setToolTip("Write Δ log-prob under each token")
        self.view = HeatMapView()
        self.legend = make_label(LEGEND, "small", wrap=True)
        head = QHBoxLayout()
        head.setSpacing(SPACE_3)
        head.addWidget(self.total, 1)
        head.addWidget(self.figures, 0, Qt.AlignmentFlag.AlignTop)
        row = QHBoxLayout()
        row.addWidget(self.score)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_3)
        column.addWidget(self.text)
        column.addLayout(head)
        column.addWidget(self.view)
        column.addWidget(self._build_detail())
        column.addWidget(self.legend)
        column.addLayout(row)
        self.render_map(None)

    def _build_detail(self) -> Card:
        self.detail = Card("flat", padding=SPACE_2)
        grid = QGridLayout()
        grid.setHorizontalSpacing(SPACE_4)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(2, 1)
        self.token = make_label("", "mono")
        self.delta = make_label("", wrap=True)
        self.cells = [[make_label("", "mono"), make_label("", "mono", wrap=True)] for _ in range(2)]
        grid.addWidget(self.token, 0, 0)
        grid.addWidget(self.delta, 0, 1, 1, 2)
        for r, (name, cells) in enumerate(zip(("Clean", "Hinted"), self.cells, strict=True), 1):
            grid.addWidget(make_label(name, "small"), r, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(cells[0], r, 1, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(cells[1], r, 2)
        self.detail.body.addLayout(grid)
        return self.detail

    def _connect(self) -> None:
        self.view.pointed.connect(self._point)
        self.figures.toggled.connect(self.view.render_figures)

    def render_busy(self, *, usable: bool, busy: bool, has_solution: bool) -> None:
        """Whether there is something to score, and nothing else is going."""
        self.score.setEnabled(usable and not busy and has_solution)
        if self.view.map is None:
            self.text.setText(NOTHING if has_solution or not usable else NO_SOLUTION)

    def render_map(self, heat: HeatMap | None) -> None:
        """Show a map; None for nothing yet."""
        some = heat is not None
        self.text.setVisible(not some)
        for widget in (self.total, self.figures, self.view, self.detail, self.legend):
            widget.setVisible(some)
        self.score.setText("Score it again" if some else "Score the solution")
        if heat is self.view.map:
            return
        self.view.render_map(heat)
        if heat is not None:
            way = "less" if heat.total_delta < 0 else "more"
            self.total.setText(
                f"As a whole, the solution is {way} likely under the hint: "
                f"Δ log-prob {short_delta(heat.total_delta)} over {len(heat.tokens)} tokens."
            )

    def _point(self, index: int) -> None:
        heat = self.view.map
        if heat is None or not 0 <= index < len(heat.tokens):
            return
        token = heat.tokens[index]
        self.token.setText(visible(token.text))
        self.delta.setText(say_delta(token.delta))
        for cells, logprob, top in zip(
            self.cells, (token.clean, token.hinted), (token.top_clean, token.top_hinted), strict=True
        ):
            cells[0].setText(say_logprob(logprob))
            cells[1].setText(say_alternatives(top))
