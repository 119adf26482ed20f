"""Evaluate: which checkpoints or models, on which suite, how often; what it will take. It starts nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QSpinBox,
    QWidget,
)

from seirenes_app.ui.models.rollout_words import count_of
from seirenes_app.ui.pages.robustness_parts.eval_request import (
    FROZEN,
    STARTER,
    EvalRequest,
    Pace,
    SuiteChoice,
    count_rows,
    estimate_seconds,
    say_duration,
)
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import Sheet
from seirenes_app.ui.widgets.labels import make_label, set_tone
from seirenes_app.ui.widgets.quiet import hush
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.evaluation.plan import MAX_SAMPLES
from training.evaluation.rows import Condition
from training.rundir.paths import RunPaths

ON_SUITE, CROSS = "suite", "cross"
KINDS = (
    Segment(ON_SUITE, "On a suite", "the same texts for every model"),
    Segment(CROSS, "Cross-play", "hints that checkpoints write for each other"),
)
CONDITIONS = {
    Condition.CLEAN: ("Clean", "The question as it is"),
    Condition.HINTED: ("Hinted", "The question with each of its hints"),
    Condition.PLACEBO: ("Placebo", "The question with neutral words of each hint's length"),
}
USUAL, USUAL_CROSS = 200, 60
ROW = 30
MODELS = "Models (*.gguf *.safetensors);;All files (*)"
VALUE_ROLE = Qt.ItemDataRole.UserRole + 1


class EvaluateSheet(Sheet):
    """Emits an `EvalRequest`."""

    startAsked = Signal(object)

    def __init__(
        self, run: RunPaths | None, steps: Sequence[int], suites: Sequence[SuiteChoice], pace: Pace,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__("Evaluate", parent)
        self._run, self._steps, self._suites, self._pace = run, tuple(steps), suites, pace
        self._build()
        self._connect()
        self._take_kind()

    # ------------------------------------------------------------------ build

    def _build(self) -> None:
        self.body.addWidget(make_label("Evaluate", "title"))
        self.body.addWidget(make_label(
            "It runs in the background, goes on without this window, and keeps every row.", "muted", wrap=True,
        ))  # fmt: skip
        self.body.addSpacing(SPACE_2)
        self.kind = Segmented("What to evaluate", KINDS)
        self.kind.render_value(ON_SUITE)
        self.kind.buttons[CROSS].setEnabled(len(self._steps) > 1)
        self.body.addWidget(self.kind)
        self.body.addSpacing(SPACE_2)
        self.body.addLayout(self._build_targets())
        self.body.addSpacing(SPACE_2)
        self.body.addLayout(self._build_options())
        self.body.addSpacing(SPACE_3)
        self.work = make_label("", "figure")
        self.words = make_label("", "small", wrap=True)
        self.body.addWidget(self.work)
        self.body.addWidget(self.words)
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.go = make_button("Evaluate", "play", kind="primary", clicked=self._start)
        self.go.setDefault(True)
        self.buttons.addStretch(1)
        self.buttons.addWidget(self.cancel)
        self.buttons.addWidget(self.go)

    def _build_targets(self) -> QHBoxLayout:
        self.targets = QListWidget()
        self.targets.setAccessibleName("Checkpoints and models; Space ticks one")
        self.targets.setMinimumSize(300, 186)
        self.targets.setMaximumHeight(210)
        for step in self._steps:
            self._add_target(f"step {step}", step, on=True)
        self._add_target("The bundled model", STARTER, on=not self._steps)
        self.all = make_button("All checkpoints", kind="quiet", clicked=lambda: self._tick(lambda i, n: True))
        self.ends = make_button(
            "First and last", kind="quiet", clicked=lambda: self._tick(lambda i, n: i in (0, n - 1))
        )
        self.half = make_button("Every second", kind="quiet", clicked=lambda: self._tick(lambda i, n: i % 2 == 0))
        self.none = make_button("None", kind="quiet", clicked=lambda: self._tick(lambda i, n: False))
        self.add = make_button("Add a model…", "plus", tip="A GGUF file, or a model folder's safetensors file",
                               clicked=self._choose_model)  # fmt: skip
        side = QGridLayout()
        side.setSpacing(2)
        # Of one checkpoint there is nothing to choose from.
        picks = (self.all, self.ends, self.half, self.none) if len(self._steps) > 1 else ()
        for place, button in enumerate(picks):
            side.addWidget(button, place, 0)
        side.setRowStretch(4, 1)
        side.addWidget(self.add, 5, 0)
        row = QHBoxLayout()
        row.setSpacing(SPACE_3)
        row.addWidget(self.targets, 1)
        row.addLayout(side)
        return row

    def _build_options(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(SPACE_4)
        grid.setVerticalSpacing(SPACE_2)
        grid.setColumnStretch(1, 1)
        self.suite, self.beside = self._make_suites("Suite"), self._make_suites("Beside it")
        self.beside.insertItem(0, "No second suite", None)
        self.beside.setCurrentIndex(0)
        self.beside.setToolTip(
            "The same problems with training's templates and with held-out ones show a generalisation gap"
        )
        self.problems = _spin("Problems", 1, 100_000, USUAL)
        self.samples = _spin("Samples of each prompt", 1, MAX_SAMPLES, 1)
        self.tokens = _spin("At most so many tokens", 8, 32_768, 128)
        self.conditions = {}
        boxes = QHBoxLayout()
        boxes.setSpacing(SPACE_3)
        for condition, (word, tip) in CONDITIONS.items():
            box = self.conditions[condition] = QCheckBox(word)
            box.setChecked(True)
            box.setToolTip(tip)
            boxes.addWidget(box)
        boxes.addStretch(1)
        numbers = QHBoxLayout()
        numbers.setSpacing(SPACE_2)
        for field, word in ((self.problems, "problems"), (self.samples, "samples"), (self.tokens, "tokens at most")):
            numbers.addWidget(field)
            numbers.addWidget(make_label(word, "muted"))
            numbers.addSpacing(SPACE_2)
        numbers.addStretch(1)
        self.suite_label = make_label("Suite", "small")
        grid.addWidget(self.suite_label, 0, 0)
        grid.addWidget(self.suite, 0, 1)
        grid.addWidget(make_label("Beside it", "small"), 1, 0)
        grid.addWidget(self.beside, 1, 1)
        grid.addWidget(make_label("Conditions", "small"), 2, 0)
        grid.addLayout(boxes, 2, 1)
        grid.addWidget(make_label("How much", "small"), 3, 0)
        grid.addLayout(numbers, 3, 1)
        return grid

    def _make_suites(self, name: str) -> QComboBox:
        box = QComboBox()
        box.setAccessibleName(name)
        box.addItem("The built-in frozen suite: held-out problems, phrasings and templates", FROZEN)
        for choice in self._suites:
            box.addItem(f"{choice.manifest.name}: {choice.manifest.problems:,} problems", str(choice.folder))
        hush(box)
        return box

    def _connect(self) -> None:
        self.kind.chosen.connect(lambda _v: self._take_kind())
        self.targets.itemChanged.connect(lambda _item: self._render())
        for chosen in (self.suite, self.beside):
            chosen.currentIndexChanged.connect(lambda _i: self._take_suite())
        for field in (self.problems, self.samples, self.tokens):
            field.valueChanged.connect(lambda _v: self._render())
        for box in self.conditions.values():
            box.toggled.connect(lambda _on: self._render())

    # ------------------------------------------------------------------ targets

    def _add_target(self, text: str, value: object, *, on: bool) -> None:
        item = QListWidgetItem(text)
        item.setData(VALUE_ROLE, value)
        item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
        item.setSizeHint(QSize(0, ROW))
        self.targets.addItem(item)

    def _tick(self, wanted: Callable[[int, int], bool]) -> None:
        for i in range(len(self._steps)):
            on = wanted(i, len(self._steps))
            self.targets.item(i).setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def _choose_model(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Add a model", "", MODELS)
        if name:
            self.add_model(Path(name))

    def add_model(self, path: Path) -> None:
        """Offer a GGUF file, or the folder of a safetensors file, ticked."""
        chosen = path.parent if path.suffix == ".safetensors" else path
        self._add_target(chosen.name, str(chosen), on=True)
        self.targets.item(self.targets.count() - 1).setToolTip(str(chosen))
        self.targets.scrollToBottom()
        self._render()

    # ------------------------------------------------------------------ render

    @property
    def request(self) -> EvalRequest:
        """What is asked for now."""
        items = [self.targets.item(i) for i in range(self.targets.count())]
        values = [i.data(VALUE_ROLE) for i in items if i.checkState() == Qt.CheckState.Checked]
        cross = self.kind.value == CROSS
        models = () if cross else tuple(v for v in values if isinstance(v, str))
        return EvalRequest(
            self._run, tuple(v for v in values if isinstance(v, int)), models, self.suite.currentData(),
            self.problems.value(), tuple(c for c, box in self.conditions.items() if box.isChecked()),
            self.samples.value(), self.tokens.value(), cross, None if cross else self.beside.currentData(),
        )  # fmt: skip

    def _take_kind(self) -> None:
        cross = self.kind.value == CROSS
        self.suite.setEnabled(not cross)
        self.beside.setEnabled(not cross)
        self.add.setEnabled(not cross)
        for i in range(len(self._steps), self.targets.count()):
            self.targets.item(i).setHidden(cross)
        for condition in (Condition.CLEAN, Condition.HINTED):
            box = self.conditions[condition]
            box.setEnabled(not cross)
            box.setChecked(box.isChecked() or cross)
        self.problems.setValue(USUAL_CROSS if cross else USUAL)
        if cross:
            self.conditions[Condition.PLACEBO].setChecked(False)
        self._take_suite()

    def _take_suite(self) -> None:
        chosen = {self.suite.currentData(), self.beside.currentData()}
        sizes = [s.manifest.problems for s in self._suites if str(s.folder) in chosen]
        self.problems.setMaximum(min(sizes, default=100_000))
        if sizes:
            self.problems.setValue(min(sizes))
        self._render()

    def _render(self) -> None:
        request = self.request
        trouble = request.trouble
        self.go.setEnabled(not trouble)
        set_tone(self.work, "warn" if trouble else "")
        if trouble:
            self.work.setText(trouble)
            self.words.setText("")
            return
        rows, seconds = count_rows(request), estimate_seconds(request, self._pace)
        self.work.setText(f"About {say_duration(seconds)}  ·  {count_of(rows, 'completion')}")
        how = "greedy" if request.samples == 1 else "temperature 1"
        self.words.setText(f"Estimated {self._pace.basis}, {how}. The first chunk shows how long it really takes.")

    def _start(self) -> None:
        if not self.request.trouble:
            self.startAsked.emit(self.request)
            self.accept()


def _spin(name: str, low: int, high: int, value: int) -> QSpinBox:
    field = QSpinBox()
    field.setRange(low, high)
    field.setValue(value)
    field.setAccessibleName(name)
    field.setFixedWidth(86)
    hush(field)
    return field
