"""Solving: the plan, the button, live bars with their intervals, and what they mean in words."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from seirenes_app.lab.crafting.documents import Draft
from seirenes_app.lab.crafting.results import SolveResult
from seirenes_app.ui.pages.craft_parts.model_chip import ModelChip
from seirenes_app.ui.pages.craft_parts.plan_row import PlanRow
from seirenes_app.ui.pages.craft_parts.words import follow_look, rates_of, say_drop, say_placebo, verdict_look
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3
from seirenes_app.ui.widgets.badges import Badge, Look
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card, make_rule
from seirenes_app.ui.widgets.charts import make_card_heading
from seirenes_app.ui.widgets.flow import FlowLayout
from seirenes_app.ui.widgets.interval_bars import IntervalBars
from seirenes_app.ui.widgets.labels import make_label

NOTHING = "Solve it, and the share of right answers stands here: clean, hinted, and with a placebo."
CUT_SHORT = "Cancelled: these are the samples that were there."


class SolveCard(Card):
    """Asks by signals."""

    solveAsked = Signal()
    planChanged = Signal(object)
    solverAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._build()
        self._connect()

    def _build(self) -> None:
        self.body.setSpacing(SPACE_3)
        head = QHBoxLayout()
        head.setSpacing(SPACE_1)
        head.addWidget(make_card_heading("Solve"))
        head.addStretch(1)
        self.solver = ModelChip("Solver")
        self.solve = make_button("Solve", "play", kind="primary", clicked=self.solveAsked.emit,
                                 tip="Solve the candidate in hand (Ctrl+Enter)")  # fmt: skip
        head.addWidget(self.solver)
        head.addWidget(self.solve)
        self.plan = PlanRow()
        self.nothing = make_label(NOTHING, "muted", wrap=True)
        self.bars = IntervalBars("Share of right answers")
        self.verdict, self.follows = Badge(Look("silent", "", "muted")), Badge(Look("bait", "", "muted"))
        badges = QWidget()
        flow = FlowLayout(badges, gap=SPACE_2)
        flow.addWidget(self.verdict)
        flow.addWidget(self.follows)
        self._badges = badges
        self.words = make_label("", wrap=True, select=True)
        self.body.addLayout(head)
        self.body.addWidget(self.plan)
        self.body.addWidget(make_rule())
        self.body.addWidget(self.nothing)
        self.body.addWidget(self.bars)
        self.body.addWidget(badges)
        self.body.addWidget(self.words)
        self.render_result(None, None)

    def _connect(self) -> None:
        self.plan.changed.connect(self.planChanged)
        self.solver.clicked.connect(lambda *_: self.solverAsked.emit())

    def render_draft(self, draft: Draft) -> None:
        """The plan."""
        self.plan.render_plan(draft.plan)

    def render_busy(self, *, usable: bool, busy: bool) -> None:
        """Whether there is something to solve, and nothing else is going."""
        self.solve.setEnabled(usable and not busy)

    def render_result(self, result: SolveResult | None, suggested: str | None) -> None:
        """Bars and words, finished or not; None for nothing yet."""
        self.nothing.setVisible(result is None)
        self.bars.setVisible(result is not None)
        self.bars.render_rates(rates_of(result))
        verdict, follows = verdict_look(result), follow_look(result, suggested)
        self._badges.setVisible(verdict is not None or follows is not None)
        self.verdict.setVisible(verdict is not None)
        self.follows.setVisible(follows is not None)
        if verdict is not None:
            self.verdict.render_look(verdict)
        if follows is not None:
            self.follows.render_look(follows[0])
            self.follows.setToolTip(follows[1])
            self.follows.setAccessibleDescription(follows[1])
        self.words.setText(_say(result))
        self.words.setVisible(bool(self.words.text()))


def _say(result: SolveResult | None) -> str:
    if result is None:
        return ""
    parts = [say_drop(result.drop), say_placebo(result.placebo_drop), CUT_SHORT if result.cancelled else ""]
    return " ".join(part for part in parts if part)
