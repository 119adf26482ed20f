"""The dialogs of the Robustness page: what to evaluate, and which problem to replay. They start nothing themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

from seirenes_app.services.evaluation_request import (
    FROZEN,
    EvalRequest,
    SuiteChoice,
    Throughput,
    count_rows,
    estimate_seconds,
)
from seirenes_app.services.evaluations import STARTER
from seirenes_app.services.formatting import count_of, duration
from seirenes_app.services.robustness.types import Trace
from seirenes_app.ui.pages.robustness.rows_panel import TRACE_ROLES, describe_trace
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import make_label, set_tone
from seirenes_app.ui.widgets.no_wheel import ignore_wheel
from seirenes_app.ui.widgets.picker_dialog import PickerDialog
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.core.types import Condition
from training.evaluation.plan import MAX_SAMPLES
from training.runs.paths import RunPaths

ON_SUITE, CROSS_PLAY = "suite", "cross-play"
KINDS = (
    Segment(ON_SUITE, "On a suite", "the same texts for every model"),
    Segment(CROSS_PLAY, "Cross-play", "hints that checkpoints write for each other"),
)
CONDITIONS = {
    Condition.CLEAN: ("Clean", "The question as it is"),
    Condition.HINTED: ("Hinted", "The question with each of its hints"),
    Condition.PLACEBO: ("Placebo", "The question with neutral text of each hint's length"),
}
DEFAULT_PROBLEMS, DEFAULT_CROSS_PLAY_PROBLEMS, DEFAULT_TOKENS = 200, 60, 128
ROW_HEIGHT = 30
FILE_FILTER = "Models (*.gguf *.safetensors);;All files (*)"
VALUE_ROLE = Qt.ItemDataRole.UserRole + 1


class EvaluateDialog(PageDialog):
    """Which checkpoints or models, on which suite, how many problems; shows the estimated time. Emits a request."""

    startRequested = Signal(object)
    """EvalRequest"""

    def __init__(
        self, checkpoints: Mapping[RunPaths, Sequence[int]], suites: Sequence[SuiteChoice],
        throughput: Callable[[EvalRequest], Throughput], parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        """`checkpoints`: the steps of each run that may be evaluated; of several runs, all must have some."""
        super().__init__("Evaluate", parent)
        self._checkpoints, self._suites, self._throughput = checkpoints, suites, throughput
        self._build()
        self._connect()
        self._on_kind()

    # ------------------------------------------------------------------ build

    def _build(self) -> None:
        self.body.addWidget(make_label("Evaluate", "title"))
        self.body.addWidget(make_label(
            "It runs in the background, continues without this window, and keeps every row.", "muted", wrap=True,
        ))  # fmt: skip
        self.body.addSpacing(SPACE_2)
        self.kind = Segmented("What to evaluate", KINDS)
        self.kind.render_value(ON_SUITE)
        self.kind.buttons[CROSS_PLAY].setEnabled(any(len(s) > 1 for s in self._checkpoints.values()) and self._one_run)
        self.body.addWidget(self.kind)
        self.body.addSpacing(SPACE_2)
        self.body.addLayout(self._build_targets())
        self.body.addSpacing(SPACE_2)
        self.body.addLayout(self._build_options())
        self.body.addSpacing(SPACE_3)
        self.estimate = make_label("", "figure")
        self.basis = make_label("", "small", wrap=True)
        self.body.addWidget(self.estimate)
        self.body.addWidget(self.basis)
        self.go = make_button("Evaluate", "play", kind="primary", clicked=self._start)
        self.go.setDefault(True)
        self.buttons.addStretch(1)
        self.buttons.addWidget(make_button("Cancel", clicked=self.reject))
        self.buttons.addWidget(self.go)

    @property
    def _one_run(self) -> bool:
        return len(self._checkpoints) < 2

    def _build_targets(self) -> QHBoxLayout:
        self.targets = QListWidget()
        self.targets.setAccessibleName("Checkpoints and models; Space ticks one")
        self.targets.setMinimumSize(300, 186)
        self.targets.setMaximumHeight(210)
        for run, steps in self._checkpoints.items():
            for step in steps:
                name = f"step {step}" if self._one_run else f"{run.run_id}, step {step}"
                self._add_target(name, (run, step), on=self._one_run or step in (steps[0], steps[-1]))
        self._add_target("The bundled model", STARTER, on=not self._checkpoint_items())
        side = QGridLayout()
        side.setSpacing(2)
        # With one checkpoint there is nothing to choose from.
        picks: dict[str, Callable[[int, int], bool]] = {
            "All checkpoints": lambda i, n: True, "First and last": lambda i, n: i in (0, n - 1),
            "Every second": lambda i, n: i % 2 == 0, "None": lambda i, n: False,
        }  # fmt: skip
        self.picks = {}
        for row, (text, wanted) in enumerate(picks.items() if len(self._checkpoint_items()) > 1 else ()):
            button = make_button(text, kind="quiet", clicked=lambda wanted=wanted: self._tick(wanted))
            self.picks[text] = button
            side.addWidget(button, row, 0)
        self.add = make_button("Add a model…", "plus", tip="A GGUF file, or a model folder's safetensors file",
                               clicked=self._choose_model)  # fmt: skip
        side.setRowStretch(4, 1)
        side.addWidget(self.add, 5, 0)
        row_layout = QHBoxLayout()
        row_layout.setSpacing(SPACE_3)
        row_layout.addWidget(self.targets, 1)
        row_layout.addLayout(side)
        return row_layout

    def _build_options(self) -> QGridLayout:
        self.suite, self.second_suite = self._make_suites("Suite"), self._make_suites("Second suite")
        self.second_suite.insertItem(0, "None", None)
        self.second_suite.setCurrentIndex(0)
        self.second_suite.setToolTip(
            "The same problems with training's templates and with held-out ones show a generalisation gap"
        )
        self.conditions = {}
        conditions = QHBoxLayout()
        conditions.setSpacing(SPACE_3)
        for condition, (text, tip) in CONDITIONS.items():
            box = self.conditions[condition] = QCheckBox(text)
            box.setChecked(True)
            box.setToolTip(tip)
            conditions.addWidget(box)
        conditions.addStretch(1)
        self.problems = _spin_box("Problems", 1, 100_000, DEFAULT_PROBLEMS)
        self.samples = _spin_box("Samples of each prompt", 1, MAX_SAMPLES, 1)
        self.tokens = _spin_box("Token limit", 8, 32_768, DEFAULT_TOKENS)
        numbers = QHBoxLayout()
        numbers.setSpacing(SPACE_2)
        for field, text in ((self.problems, "problems"), (self.samples, "samples"), (self.tokens, "tokens at most")):
            numbers.addWidget(field)
            numbers.addWidget(make_label(text, "muted"))
            numbers.addSpacing(SPACE_2)
        numbers.addStretch(1)
        grid = QGridLayout()
        grid.setHorizontalSpacing(SPACE_4)
        grid.setVerticalSpacing(SPACE_2)
        grid.setColumnStretch(1, 1)
        for row, name in enumerate(("Suite", "Second suite", "Conditions", "Size")):
            grid.addWidget(make_label(name, "small"), row, 0)
        grid.addWidget(self.suite, 0, 1)
        grid.addWidget(self.second_suite, 1, 1)
        grid.addLayout(conditions, 2, 1)
        grid.addLayout(numbers, 3, 1)
        return grid

    def _make_suites(self, name: str) -> QComboBox:
        box = QComboBox()
        box.setAccessibleName(name)
        box.addItem("The built-in frozen suite: held-out problems, phrasings and templates", FROZEN)
        for choice in self._suites:
            box.addItem(f"{choice.manifest.name}: {count_of(choice.manifest.problems, 'problem')}", str(choice.folder))
        ignore_wheel(box)
        return box

    def _connect(self) -> None:
        self.kind.chosen.connect(lambda _v: self._on_kind())
        self.targets.itemChanged.connect(lambda _item: self._render())
        for suite in (self.suite, self.second_suite):
            suite.currentIndexChanged.connect(lambda _i: self._on_suite())
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
        item.setSizeHint(QSize(0, ROW_HEIGHT))
        self.targets.addItem(item)

    def _items(self) -> list[QListWidgetItem]:
        return [self.targets.item(i) for i in range(self.targets.count())]

    def _checkpoint_items(self) -> list[QListWidgetItem]:
        return [item for item in self._items() if isinstance(item.data(VALUE_ROLE), tuple)]

    def _tick(self, wanted: Callable[[int, int], bool]) -> None:
        for item in self._checkpoint_items():
            run, step = item.data(VALUE_ROLE)
            steps = self._checkpoints[run]
            on = wanted(steps.index(step), len(steps))
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def _choose_model(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Add a model", "", FILE_FILTER)
        if name:
            self.add_model(Path(name))

    def add_model(self, path: Path) -> None:
        """Add a GGUF file, or the folder of a safetensors file, ticked."""
        model = path.parent if path.suffix == ".safetensors" else path
        self._add_target(model.name, str(model), on=True)
        self.targets.item(self.targets.count() - 1).setToolTip(str(model))
        self.targets.scrollToBottom()
        self._render()

    # ------------------------------------------------------------------ request

    @property
    def request(self) -> EvalRequest:
        """What is asked for now."""
        values = [i.data(VALUE_ROLE) for i in self._items() if i.checkState() == Qt.CheckState.Checked]
        cross_play = self.kind.value == CROSS_PLAY
        return EvalRequest(
            tuple(v for v in values if isinstance(v, tuple)),
            () if cross_play else tuple(v for v in values if isinstance(v, str)),
            self.suite.currentData(), self.problems.value(),
            tuple(c for c, box in self.conditions.items() if box.isChecked()), self.samples.value(),
            self.tokens.value(), cross_play, None if cross_play else self.second_suite.currentData(),
        )  # fmt: skip

    @property
    def _error(self) -> str:
        without = [run.run_id for run, steps in self._checkpoints.items() if not steps]
        if without and not self._one_run:
            return f"{' and '.join(without)} has no checkpoint on this machine."
        return self.request.error

    def _on_kind(self) -> None:
        cross_play = self.kind.value == CROSS_PLAY
        for part in (self.suite, self.second_suite, self.add):
            part.setEnabled(not cross_play)
        for item in self._items():
            item.setHidden(cross_play and isinstance(item.data(VALUE_ROLE), str))
        for condition in (Condition.CLEAN, Condition.HINTED):
            box = self.conditions[condition]
            box.setEnabled(not cross_play)
            box.setChecked(box.isChecked() or cross_play)
        self.problems.setValue(DEFAULT_CROSS_PLAY_PROBLEMS if cross_play else DEFAULT_PROBLEMS)
        if cross_play:
            self.conditions[Condition.PLACEBO].setChecked(False)
        self._on_suite()

    def _on_suite(self) -> None:
        chosen = {self.suite.currentData(), self.second_suite.currentData()}
        sizes = [s.manifest.problems for s in self._suites if str(s.folder) in chosen]
        self.problems.setMaximum(min(sizes, default=100_000))
        if sizes:
            self.problems.setValue(min(sizes))
        self._render()

    def _render(self) -> None:
        request, error = self.request, self._error
        self.go.setEnabled(not error)
        set_tone(self.estimate, "warn" if error else "")
        if error:
            self.estimate.setText(error)
            self.basis.setText("")
            return
        throughput = self._throughput(request)
        time = duration(estimate_seconds(request, throughput))
        self.estimate.setText(f"About {time}  ·  {count_of(count_rows(request), 'completion')}")
        decoding = "Greedy decoding" if request.samples == 1 else "Sampling at temperature 1"
        self.basis.setText(f"{decoding}. Time {throughput.basis}, corrected after the first chunk.")

    def _start(self) -> None:
        if not self._error:
            self.startRequested.emit(self.request)
            self.accept()


def _spin_box(name: str, low: int, high: int, value: int) -> QSpinBox:
    field = QSpinBox()
    field.setRange(low, high)
    field.setValue(value)
    field.setAccessibleName(name)
    field.setFixedWidth(86)
    ignore_wheel(field)
    return field


PROBLEM_CONDITIONS = (
    Segment(Condition.HINTED, "With a hint", "question and hint"),
    Segment(Condition.CLEAN, "Without", "the question alone"),
)


class ProblemDialog(PickerDialog):
    """Choose a problem out of the rows of the newest checkpoint. `render_traces` fills it."""

    conditionChosen = Signal(object)
    """Condition whose rows are to be read."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(
            "Choose a problem", "Take this problem", describe_trace, roles=TRACE_ROLES, empty="", parent=parent,
            preview=lambda t: f"{t.question}\n\n{t.hint}".strip(),
            search=lambda t: f"{t.question} {t.hint} {t.family}",
            placeholder="Search in questions, hints and families",
        )  # fmt: skip
        self.say("Reading…")
        self.condition = Segmented("Problem", PROBLEM_CONDITIONS)
        self.condition.render_value(Condition.HINTED)
        self.condition.chosen.connect(lambda value: self.conditionChosen.emit(Condition(value)))
        self.body.insertWidget(self.body.indexOf(self.about) + 1, self.condition)

    def render_traces(self, traces: Sequence[Trace], target: str) -> None:
        """The rows there are."""
        found = sorted((t for t in traces if t.question), key=lambda t: t.outcome == "right")
        if found:
            self.say(f"The icon is the outcome of {target}; the problems it fails come first.")
        else:
            self.say("The questions of this suite are not stored here, so none can be replayed.")
        self.render_items(found)
