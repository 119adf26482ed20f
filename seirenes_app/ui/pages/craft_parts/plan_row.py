"""How a candidate is tried: samples of each arm, temperature, length, seed, and whether a placebo is tried too."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QDoubleSpinBox, QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from seirenes_app.inference.protocol import MAX_SAMPLES
from seirenes_app.lab.crafting.documents import SolvePlan
from seirenes_app.ui.theme import SPACE_2
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.quiet import hush

MAX_TOKENS = 8192
MAX_SEED = 2**31 - 1


class PlanRow(QWidget):
    """`changed` carries the plan that the person set."""

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plan = SolvePlan()
        self._rendering = False
        self._build()
        self._connect()

    def _build(self) -> None:
        self.samples, self.tokens, self.seed = QSpinBox(), QSpinBox(), QSpinBox()
        self.temperature = QDoubleSpinBox()
        self.placebo = QCheckBox("Placebo")
        self.placebo.setToolTip("Also try a placebo: neutral words of the hint's length, in its place")
        self.placebo.setAccessibleDescription(self.placebo.toolTip())
        self.samples.setRange(1, MAX_SAMPLES)
        self.tokens.setRange(8, MAX_TOKENS)
        self.seed.setRange(0, MAX_SEED)
        self.temperature.setRange(0.0, 5.0)
        self.temperature.setSingleStep(0.1)
        self.temperature.setDecimals(2)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_2)
        for name, tip, editor in (
            ("Samples", "Solutions of each: clean, hinted, placebo", self.samples),
            ("Temperature", "0 takes the likeliest token every time, so all samples are the same", self.temperature),
            ("Tokens at most", "Where a solution is cut off", self.tokens),
            ("Seed", "The same seed draws the same samples again", self.seed),
        ):
            column = QVBoxLayout()
            column.setSpacing(2)
            column.addWidget(make_label(name, "small"))
            editor.setAccessibleName(name)
            editor.setToolTip(tip)
            editor.setAccessibleDescription(tip)
            editor.setKeyboardTracking(False)
            hush(editor)
            editor.setMinimumWidth(56)
            column.addWidget(editor)
            row.addLayout(column, 1)
        column = QVBoxLayout()
        column.setSpacing(2)
        column.addStretch(1)
        column.addWidget(self.placebo)
        row.addLayout(column)

    def _connect(self) -> None:
        for editor in (self.samples, self.tokens, self.seed, self.temperature):
            editor.valueChanged.connect(lambda _v: self._tell())
        self.placebo.toggled.connect(lambda _on: self._tell())

    def _tell(self) -> None:
        if self._rendering:
            return
        plan = replace(
            self._plan, samples=self.samples.value(), max_tokens=self.tokens.value(), seed=self.seed.value(),
            temperature=round(self.temperature.value(), 2), placebo=self.placebo.isChecked(),
        )  # fmt: skip
        if plan != self._plan:
            self._plan = plan
            self.changed.emit(plan)

    def render_plan(self, plan: SolvePlan) -> None:
        """Show a plan."""
        if plan == self._plan and self.samples.value() == plan.samples:
            return
        self._plan, self._rendering = plan, True
        self.samples.setValue(plan.samples)
        self.tokens.setValue(plan.max_tokens)
        self.seed.setValue(min(plan.seed, MAX_SEED))
        self.temperature.setValue(plan.temperature)
        self.placebo.setChecked(plan.placebo)
        self._rendering = False
