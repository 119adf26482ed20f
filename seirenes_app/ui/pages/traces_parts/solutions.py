"""Two solutions side by side, each chosen from its group; or one alone, with the reason why there is no other."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from seirenes_app.ui.models.rollout_words import answer_look
from seirenes_app.ui.pages.traces_parts.group_strip import GroupStrip
from seirenes_app.ui.pages.traces_parts.reading import Reading, Row
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.badges import Badge
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.trace_pair import GUTTER, TracePairView
from training.core.types import Outcome, Stage


class Solutions(Card):
    """`chosen` with the numbers of the clean and of the hinted solution to show."""

    chosen = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._at = (-1, -1)
        self._build()
        self.clean.chosen.connect(lambda at: self.chosen.emit(at, self._at[1]))
        self.hinted.chosen.connect(lambda at: self.chosen.emit(self._at[0], at))

    def _build(self) -> None:
        self.clean, self.hinted = GroupStrip("Clean"), GroupStrip("Hinted")
        strips = QHBoxLayout()
        strips.setSpacing(0)
        strips.addWidget(self.clean, 1)
        self.between = QWidget()
        self.between.setFixedWidth(GUTTER)
        strips.addWidget(self.between)
        strips.addWidget(self.hinted, 1)
        self.pair = TracePairView()
        self.single = QWidget()
        self.look = Badge(answer_look({"outcome": None}))
        self.title = make_label("", "eyebrow")
        self.text = make_label("", wrap=True, select=True)
        self.why = make_label("", "muted", wrap=True)
        head = QHBoxLayout()
        head.addWidget(self.title)
        head.addStretch(1)
        head.addWidget(self.look)
        column = QVBoxLayout(self.single)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_2)
        column.addLayout(head)
        column.addWidget(self.text)
        column.addWidget(self.why)
        self.body.setSpacing(SPACE_3)
        self.body.addLayout(strips)
        self.body.addWidget(self.pair)
        self.body.addWidget(self.single)
        self.body.addStretch(1)

    def render_reading(self, reading: Reading) -> None:
        """Show the solutions of a reading."""
        pair = reading.pair
        self._at = (reading.clean_at, reading.hinted_at)
        self.clean.render_group(pair.clean, reading.clean_at)
        self.hinted.render_group(pair.siblings, reading.hinted_at)
        self.clean.setVisible(bool(pair.clean))
        self.hinted.setVisible(bool(pair.siblings))
        self.between.setVisible(bool(pair.clean and pair.siblings))
        clean, hinted = reading.clean, reading.hinted
        both = reading.alignment is not None and clean is not None and hinted is not None
        self.pair.setVisible(both)
        self.single.setVisible(not both)
        if reading.alignment is not None and clean is not None and hinted is not None:
            self.pair.render(
                reading.alignment,
                f"Clean {reading.clean_at + 1} of {len(pair.clean)}",
                f"Hinted {reading.hinted_at + 1} of {len(pair.siblings)}",
                clean["completion"], hinted["completion"],
                left_look=answer_look(clean), right_look=answer_look(hinted),
            )  # fmt: skip
        else:
            self._render_single(reading, clean or hinted)

    def _render_single(self, reading: Reading, row: Row | None) -> None:
        for part in (self.title, self.text, self.look):
            part.setVisible(row is not None)
        if row is not None:
            clean = row["stage"] == Stage.CLEAN
            at, group = (self._at[0], reading.pair.clean) if clean else (self._at[1], reading.pair.siblings)
            self.title.setText(f"{'Clean' if clean else 'Hinted'} {at + 1} of {len(group)}")
            self.text.setText(row["completion"])
            self.text.setAccessibleName(f"Solution: {row['completion']}")
            self.look.render_look(answer_look(row))
        self.why.setText(_say_why(reading))
        self.why.setVisible(bool(self.why.text()))


def _say_why(reading: Reading) -> str:
    """Why there is nothing to compare with."""
    pair = reading.pair
    if reading.asked["stage"] == Stage.CLEAN:
        return ""
    if pair.hint is not None and pair.hint["gate"]:
        return "A gate refused this hint, so nothing was solved with it."
    if pair.siblings:
        return "The question was not drawn in this step, so no clean solution stands beside: the hint was replayed."
    if pair.clean and not any(row["outcome"] == Outcome.RIGHT for row in pair.clean):
        return "No clean solution is right, so a hint could take nothing away: it was not tried."
    return "Nothing was solved with this hint."
