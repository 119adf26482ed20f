"""Paired traces of the candidate in hand: a clean and a hinted solution, aligned, chosen so that they tell most."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from seirenes_app.lab.crafting.results import Arm, SolvedSample, SolveResult
from seirenes_app.lab.why.alignment import Alignment, align
from seirenes_app.lab.why.telling import telling_pair
from seirenes_app.ui.pages.craft_parts.words import ARM_WORDS, OUTCOME_LOOKS, say_sample
from seirenes_app.ui.processes.background import Background
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.buttons import make_icon_button
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.quiet import hush
from seirenes_app.ui.widgets.trace_pair import TracePairView

NOTHING = "Solve the candidate, and a clean solution stands beside a hinted one, with the place where they part."


class TracesTab(QWidget):
    """Alignment happens in another thread; what comes back for another pair is dropped."""

    aligned = Signal()

    def __init__(self, background: Background, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._background = background
        self._sides: dict[Arm, tuple[SolvedSample, ...]] = {Arm.CLEAN: (), Arm.HINTED: ()}
        self._key = ""
        self._by_hand = False
        self._why = ""
        self._shown: tuple[SolvedSample, SolvedSample] | None = None
        self._build()
        self._connect()

    def _build(self) -> None:
        self.nothing = make_label(NOTHING, "muted", wrap=True)
        self.clean, self.hinted = QComboBox(), QComboBox()
        for box in (self.clean, self.hinted):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(10)
            hush(box)
        self.clean.setAccessibleName("Clean solution")
        self.hinted.setAccessibleName("Hinted solution")
        self.best = make_icon_button("compare", "Back to the pair that tells most", clicked=self._choose_best)
        self._choosers = QWidget()
        row = QHBoxLayout(self._choosers)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_2)
        row.addWidget(self.clean, 1)
        row.addWidget(self.best)
        row.addWidget(self.hinted, 1)
        self.why = make_label("", wrap=True)
        self.view = TracePairView()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_3)
        for widget in (self.nothing, self._choosers, self.why, self.view):
            column.addWidget(widget)
        self.render_result(None)

    def _connect(self) -> None:
        self.clean.activated.connect(lambda _i: self._take_choice())
        self.hinted.activated.connect(lambda _i: self._take_choice())

    # ------------------------------------------------------------------ render

    def render_result(self, result: SolveResult | None) -> None:
        """Offer a result's samples; the pair that tells most is shown unless the person chose one of this result."""
        if result is None or result.key != self._key:
            self._by_hand, self._shown = False, None
            self._key = result.key if result is not None else ""
        sides = {arm: result.arms[arm].samples if result and arm in result.arms else () for arm in self._sides}
        changed = sides != self._sides
        self._sides = sides
        ready = all(sides.values())
        for widget in (self._choosers, self.why, self.view):
            widget.setVisible(ready)
        self.nothing.setVisible(not ready)
        if changed:
            _fill(self.clean, sides[Arm.CLEAN])
            _fill(self.hinted, sides[Arm.HINTED])
        if ready and not self._by_hand:
            self._choose_best()
        elif ready and changed:
            self._select(self._shown)

    def _choose_best(self) -> None:
        self._by_hand = False
        pair = telling_pair(self._sides[Arm.CLEAN], self._sides[Arm.HINTED])
        if pair is None:
            return
        self._why = pair.why
        self._select((pair.clean, pair.hinted))
        self._show(pair.clean, pair.hinted)

    def _select(self, pair: tuple[SolvedSample, SolvedSample] | None) -> None:
        if pair is not None:
            self.clean.setCurrentIndex(_place(self._sides[Arm.CLEAN], pair[0]))
            self.hinted.setCurrentIndex(_place(self._sides[Arm.HINTED], pair[1]))

    def _take_choice(self) -> None:
        clean, hinted = self._sides[Arm.CLEAN], self._sides[Arm.HINTED]
        left, right = self.clean.currentIndex(), self.hinted.currentIndex()
        if 0 <= left < len(clean) and 0 <= right < len(hinted):
            self._by_hand, self._why = True, ""
            self._show(clean[left], hinted[right])

    def _show(self, left: SolvedSample, right: SolvedSample) -> None:
        if self._shown == (left, right):
            self._say_why()
            return
        self._shown = (left, right)
        self._background.submit(lambda: align(left.text, right.text), lambda found: self._take(found, left, right))

    def _take(self, alignment: Alignment, left: SolvedSample, right: SolvedSample) -> None:
        if self._shown != (left, right):
            return
        self._say_why()
        self.view.render(
            alignment, f"{ARM_WORDS[Arm.CLEAN]} {left.index + 1}", f"{ARM_WORDS[Arm.HINTED]} {right.index + 1}",
            left.text, right.text,
            left_look=OUTCOME_LOOKS[left.outcome], right_look=OUTCOME_LOOKS[right.outcome],
        )  # fmt: skip
        self.aligned.emit()

    def _say_why(self) -> None:
        self.why.setText(self._why)
        self.why.setVisible(bool(self._why))


def _fill(box: QComboBox, samples: Sequence[SolvedSample]) -> None:
    box.clear()
    box.addItems([say_sample(sample) for sample in samples])


def _place(samples: Sequence[SolvedSample], sample: SolvedSample) -> int:
    return next((i for i, s in enumerate(samples) if s.index == sample.index), 0)
