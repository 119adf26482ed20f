"""The dialogs of the Robustness page: what to evaluate, and which problem to replay. They start nothing themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QBoxLayout, QCheckBox, QComboBox, QDoubleSpinBox, QGridLayout, QSpinBox, QWidget

from seirenes_app.services.answer_reading import describe_regraded, older_rows, outcome_changes
from seirenes_app.services.evaluation_estimate import TimeRange, precision_text, request_costs
from seirenes_app.services.evaluation_request import FROZEN, HINTS_OF, Asking, EvalRequest, count_rows, find_asking
from seirenes_app.services.evaluations import STARTER
from seirenes_app.services.exact_prompt import ExactPrompt, prompts_to_show, render_prompts
from seirenes_app.services.formatting import count_of
from seirenes_app.services.models.endpoints import estimate_text, total_estimate
from seirenes_app.services.models.inventory import ModelEntry
from seirenes_app.services.robustness.types import Trace
from seirenes_app.ui.pages.robustness.rows_panel import TRACE_ROLES, describe_trace
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4, SPACE_6
from seirenes_app.ui.widgets.boxes import column, fill, ignore_wheel, make_grid, number_field, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.check_list import CheckList
from seirenes_app.ui.widgets.cost_dialogs import ask_cost
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import IconLine, make_label, set_tone, wrap_anywhere
from seirenes_app.ui.widgets.model_picker import argument_of
from seirenes_app.ui.widgets.picker_dialog import PickerDialog
from seirenes_app.ui.widgets.progress import Progress
from seirenes_app.ui.widgets.prompt_editor import PromptRow
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.core.answer_reader import READER_VERSION
from training.core.prompts import PromptProfile
from training.core.types import Condition
from training.endpoints import CostEstimate, names_endpoint
from training.evaluation.plan import MAX_SAMPLES, USUAL_HINTS, SpendLimits
from training.evaluation.regrade import Regraded
from training.evaluation.suites.manifest import SuiteManifest
from training.runs.paths import RunPaths

ON_SUITE, CROSS_PLAY = "suite", "cross-play"
KINDS = (
    Segment(ON_SUITE, "On a suite", "the same texts for every model"),
    Segment(CROSS_PLAY, "Cross-play", "hints that checkpoints write for each other"),
)
CONDITIONS = {
    Condition.CLEAN: "The question as it is",
    Condition.HINTED: "The question with each of its hints",
    Condition.PLACEBO: "The question with neutral text of each hint's length",
    Condition.NEEDED: "The question before the story's last sentence: text after it must be used",
}
DEFAULT_PROBLEMS, DEFAULT_CROSS_PLAY_PROBLEMS, DEFAULT_TOKENS = 200, 60, 128
TRANSFER_PROBLEMS = 100
PICKS: dict[str, Callable[[int, int], bool]] = {
    "All checkpoints": lambda i, n: True,
    "First and last": lambda i, n: i in (0, n - 1),
    "Every second": lambda i, n: i % 2 == 0,
    "None": lambda i, n: False,
}
"""Which of `n` checkpoints of a run a button ticks."""


class SpendRow(QWidget):
    """What the endpoints of an evaluation may take in all; each limit may be left open."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.requests = QSpinBox(maximum=100_000_000, singleStep=100)
        self.tokens = QSpinBox(maximum=2_000_000_000, singleStep=10_000)
        self.money = QDoubleSpinBox(decimals=2, maximum=1_000_000, singleStep=0.5)
        self.currency = make_label("", "muted")
        for name, field in (("requests", self.requests), ("tokens", self.tokens), ("money", self.money)):
            field.setSpecialValueText("no limit")
            field.setAccessibleName(f"Most {name}")
            field.setFixedWidth(108)
            field.valueChanged.connect(lambda _v: self.changed.emit())
            ignore_wheel(field)
        row(
            self.requests, make_label("requests", "muted"), SPACE_2, self.tokens, make_label("tokens", "muted"),
            SPACE_2, self.money, self.currency, None, parent=self,
        )  # fmt: skip

    def render_currency(self, currency: str) -> None:
        """The currency of the price; "" where there is none, and then money is no limit."""
        self.currency.setText(currency)
        self.money.setVisible(bool(currency))
        if not currency:
            self.money.setValue(0)

    def render_limits(self, limits: SpendLimits) -> None:
        self.requests.setValue(limits.requests or 0)
        self.tokens.setValue(limits.tokens or 0)
        self.money.setValue(limits.money or 0)

    @property
    def limits(self) -> SpendLimits:
        return SpendLimits(
            self.requests.value() or None, self.tokens.value() or None, round(self.money.value(), 2) or None
        )


class EvaluateDialog(PageDialog):
    """Which checkpoints or models, on which suite, how many problems; shows the estimated time, and of endpoints the
    cost. Emits a request."""

    startRequested = Signal(object)
    """EvalRequest"""
    modelRequested = Signal()
    """A model is to be chosen, for `add_model`."""
    fetchRequested = Signal(object)
    """RunPaths whose checkpoints are to be fetched."""

    def __init__(
        self, checkpoints: Mapping[RunPaths, Sequence[int]], suites: Mapping[Path, SuiteManifest],
        estimate: Callable[[EvalRequest], TimeRange], tasks: TaskRunner, parent: QWidget | None = None, *,
        costs: Callable[[EvalRequest], tuple[CostEstimate, ...]] = request_costs,
        clusters: Mapping[RunPaths, str] | None = None,
    ) -> None:  # fmt: skip
        """`checkpoints`: the steps of each run that may be evaluated; of several runs, all must have some. `clusters`:
        where the checkpoints of a run are that has none here."""
        super().__init__("Evaluate", parent)
        self._clusters = clusters or {}
        self._checkpoints, self._suites, self._estimate = checkpoints, suites, estimate
        self._tasks, self._costs = tasks, costs
        self._asking: Asking | None = None
        self._asked_of: tuple[object, ...] = ()
        self._suggested = DEFAULT_TOKENS
        self._cost: CostEstimate | None = None
        self._cost_of: EvalRequest | None = None
        self._build()
        self._connect()
        self._on_kind()

    def _build(self) -> None:
        note = "It runs in the background, continues without this window, and keeps every row."
        self.kind = Segmented("What to evaluate", KINDS)
        self.kind.render_value(ON_SUITE)
        self.kind.buttons[CROSS_PLAY].setEnabled(self._one_run and any(len(s) > 1 for s in self._checkpoints.values()))
        self.estimate, self.basis = make_label("", "figure"), make_label("", "small", wrap=True)
        # Room for two lines always, so that the buttons below stay where they are.
        self.basis.setMinimumHeight(2 * self.basis.fontMetrics().lineSpacing())
        self.cost = make_label("", wrap=True)
        self.cost.hide()
        parts = column(
            SPACE_2, self.kind, SPACE_2, self._build_targets(), SPACE_2, self._build_options(), SPACE_3, self.estimate,
            self.cost, self.basis,
        )  # fmt: skip
        fill(self.body, make_label(note, "muted", wrap=True), parts)
        self.go = make_button("Evaluate", "play", kind="primary", clicked=self._start)
        self.go.setDefault(True)
        fill(self.buttons, None, make_button("Cancel", clicked=self.reject), self.go)
        if self._clusters:
            # Only now they have a parent: before, they would be shown as windows of their own.
            self.lacking.render_line("server", "muted", self._lack)
            self.fetch.show()

    @property
    def _one_run(self) -> bool:
        return len(self._checkpoints) < 2

    def _build_targets(self) -> QBoxLayout:
        self.targets = CheckList("Checkpoints and models")
        self.targets.setMinimumSize(300, 186)
        self.targets.setMaximumHeight(210)
        for run, steps in self._checkpoints.items():
            for step in steps:
                name = f"step {step}" if self._one_run else f"{run.run_id}, step {step}"
                self.targets.add(name, (run, step), on=self._one_run or step in (steps[0], steps[-1]))
        several, some = self.targets.count() > 1, self.targets.count() > 0
        self.targets.add("The bundled model", STARTER, on=not some)
        self.add = make_button("Add a model…", "plus", tip="Of the models on this machine",
                               clicked=self.modelRequested.emit)  # fmt: skip
        self.picks = {
            text: make_button(text, kind="quiet", clicked=lambda wanted=wanted: self._tick(wanted))
            for text, wanted in PICKS.items()
            if several
        }
        self.lacking = IconLine()
        self.fetch = make_button("Fetch…", "drop", tip="Bring the checkpoints here", clicked=self._ask_fetch)
        self.fetch.hide()
        chosen = row((self.targets, 1), column(*self.picks.values(), None, self.add, spacing=2), spacing=SPACE_3)
        return column(chosen, row((self.lacking, 1), self.fetch, spacing=SPACE_3), spacing=SPACE_2)

    @property
    def _lack(self) -> str:
        """Whose checkpoints were not fetched."""
        if self._clusters and self._one_run:
            return f"The checkpoints of this run are on {next(iter(self._clusters.values()))} and were not fetched yet."
        return f"Not fetched yet: the checkpoints of {' and '.join(run.run_id for run in self._clusters)}."

    def _ask_fetch(self) -> None:
        self.reject()
        self.fetchRequested.emit(next(iter(self._clusters)))

    def _build_options(self) -> QGridLayout:
        self.suite, self.second_suite = self._make_suites("Suite"), self._make_suites("Second suite")
        self.second_suite.insertItem(0, "None", None)
        self.second_suite.setCurrentIndex(0)
        self.second_suite.setToolTip(
            "The same problems with training's forms of hints and with held-out ones show a generalisation gap"
        )
        self.conditions = {condition: QCheckBox(condition.capitalize()) for condition in CONDITIONS}
        for condition, box in self.conditions.items():
            box.setChecked(True)
            box.setToolTip(CONDITIONS[condition])
        self.problems = _spin_box("Problems", 1, 100_000, DEFAULT_PROBLEMS)
        self.samples = _spin_box("Samples of each prompt", 1, MAX_SAMPLES, 1)
        self.tokens = _spin_box("Token limit", 8, 32_768, DEFAULT_TOKENS)
        numbers = row(
            self.problems, make_label("problems", "muted"), SPACE_2, self.samples, make_label("samples", "muted"),
            SPACE_2, self.tokens, make_label("tokens at most", "muted"), None,
        )  # fmt: skip
        grid = QGridLayout()
        grid.setHorizontalSpacing(SPACE_4)
        grid.setVerticalSpacing(SPACE_2)
        grid.setColumnStretch(1, 1)
        grid.addWidget(self.suite, 0, 1)
        grid.addWidget(self.second_suite, 1, 1)
        grid.addLayout(row(*self.conditions.values(), None, spacing=SPACE_3), 2, 1)
        grid.addLayout(numbers, 3, 1)
        self.prompts = PromptRow(self._tasks, self._exact_prompts)
        grid.addWidget(self.prompts, 4, 1)
        self.exact, self.exact_name = QCheckBox("One prompt at a time"), make_label("GGUF files", "small")
        self.exact.setToolTip(
            "A greedy answer is then the same whatever is computed beside it, and the same from seirenes serve. Slower"
        )
        grid.addWidget(self.exact, 5, 1)
        self.spend, self.spend_name = SpendRow(), make_label("At most", "small")
        grid.addWidget(self.spend, 6, 1)
        for i, name in enumerate(("Suite", "Second suite", "Conditions", "Size", "Prompts")):
            grid.addWidget(make_label(name, "small"), i, 0)
        grid.addWidget(self.exact_name, 5, 0)
        grid.addWidget(self.spend_name, 6, 0)
        for widget in (self.exact, self.exact_name, self.spend, self.spend_name):
            widget.hide()
        return grid

    def _make_suites(self, name: str) -> QComboBox:
        box = QComboBox()
        box.setAccessibleName(name)
        box.addItem("The built-in frozen suite: held-out problems, phrasings and hints", FROZEN)
        for run in self._checkpoints:
            box.addItem(f"The strongest hints of {run.run_id}, one a problem", HINTS_OF + str(run.root))
        for folder, manifest in self._suites.items():
            box.addItem(f"{manifest.name}: {count_of(manifest.problems, 'problem')}", str(folder))
        ignore_wheel(box)
        return box

    def _exact_prompts(self, profile: PromptProfile) -> list[ExactPrompt]:
        model = self._asking.model if self._asking is not None else STARTER
        return render_prompts(model, prompts_to_show(profile), profile)

    def _find_asking(self) -> None:
        """Read in the background how the targets are asked, where they or the prompts changed."""
        request = self.request
        key = (request.checkpoints, request.models, request.prompts)
        if key == self._asked_of or self._error:
            return
        self._asked_of = key
        self._tasks.run(lambda: find_asking(request), self._take_asking, lambda _text: None, key="asking")

    def _take_asking(self, found: Asking) -> None:
        """A token limit that was not changed goes with the targets."""
        self._asking = found
        if self.tokens.value() == self._suggested:
            self.tokens.setValue(found.max_tokens)
        self._suggested = found.max_tokens
        if self.prompts.profile is None:
            self.prompts.render_profile(None, found.profile)
        self._render()

    def _connect(self) -> None:
        self.prompts.changed.connect(lambda _profile: self._render())
        self.kind.chosen.connect(lambda _v: self._on_kind())
        self.targets.ticksChanged.connect(self._render)
        for suite in (self.suite, self.second_suite):
            suite.currentIndexChanged.connect(lambda _i: self._on_suite())
        for field in (self.problems, self.samples, self.tokens):
            field.valueChanged.connect(lambda _v: self._render())
        for box in self.conditions.values():
            box.toggled.connect(lambda _on: self._render())
        self.spend.changed.connect(self._render)

    def _tick(self, wanted: Callable[[int, int], bool]) -> None:
        """Tick checkpoints by their place among those of their run; models stay as they are."""
        ticked = self.targets.ticked

        def is_wanted(value: str | tuple[RunPaths, int]) -> bool:
            if isinstance(value, str):
                return value in ticked
            steps = self._checkpoints[value[0]]
            return wanted(steps.index(value[1]), len(steps))

        self.targets.tick(is_wanted)

    def add_model(self, entry: ModelEntry) -> None:
        """Add a model, ticked; one that is listed is only ticked."""
        name = argument_of(entry)
        known = next((item for item, value in self.targets.entries if value == name), None)
        if known is None:
            tip = entry.endpoint.base_url if entry.endpoint is not None else str(entry.path)
            self.targets.add(entry.name, name, on=True, tip=tip)
            self.targets.scrollToBottom()
        else:
            known.setCheckState(Qt.CheckState.Checked)
        self._render()

    def tick_only(self, entry: ModelEntry) -> None:
        """Evaluate this model and nothing else."""
        self.targets.tick(lambda _value: False)
        self.add_model(entry)

    def choose_hints(self, run: RunPaths) -> None:
        """The strongest hints of a run, on the last of its checkpoints and on what else is ticked: a transfer."""
        self.suite.setCurrentIndex(max(0, self.suite.findData(HINTS_OF + str(run.root))))
        self._tick(lambda place, n: place == n - 1)
        self.problems.setValue(TRANSFER_PROBLEMS)

    @property
    def request(self) -> EvalRequest:
        values = self.targets.ticked
        cross_play = self.kind.value == CROSS_PLAY
        return EvalRequest(
            tuple(v for v in values if isinstance(v, tuple)),
            () if cross_play else tuple(v for v in values if isinstance(v, str)),
            self.suite.currentData(), self.problems.value(),
            tuple(c for c, box in self.conditions.items() if box.isChecked()), self.samples.value(),
            self.tokens.value(), cross_play, None if cross_play else self.second_suite.currentData(),
            self.prompts.profile, self.spend.limits, self._offers_exact and self.exact.isChecked(),
        )  # fmt: skip

    @property
    def _offers_exact(self) -> bool:
        """Whether it matters if a prompt is answered beside others: to the GGUF files that are ticked."""
        values = self.targets.ticked if self.kind.value != CROSS_PLAY else ()
        return any(isinstance(value, str) and value.lower().endswith(".gguf") for value in values)

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
        for item, value in self.targets.entries:
            item.setHidden(cross_play and isinstance(value, str))
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
        sizes = [m.problems for folder, m in self._suites.items() if str(folder) in chosen]
        self.problems.setMaximum(min(sizes, default=100_000))
        if sizes:
            self.problems.setValue(min(sizes))
        self._render()

    def _find_cost(self) -> None:
        """Reckon in the background what the endpoints that are ticked will take."""
        request = self.request
        served = any(names_endpoint(model) for model in request.models)
        for widget in (self.spend, self.spend_name, self.cost):
            widget.setVisible(served)
        if not served or self._error:
            self._cost = None
            self.cost.setText("")
            self._tasks.cancel("evaluation cost")
            return
        if request != self._cost_of:
            self._cost_of, self._cost = request, None
            self._tasks.run(lambda: self._costs(request), self._take_cost, self._on_no_cost, key="evaluation cost")

    def _take_cost(self, found: tuple[CostEstimate, ...]) -> None:
        self._cost = total_estimate(found)
        currencies = {estimate.currency for estimate in found}
        self.spend.render_currency(currencies.pop() if len(currencies) == 1 else "")
        self.cost.setText(f"Endpoints: {estimate_text(self._cost)}." if self._cost is not None else "")
        set_tone(self.cost, "")

    def _on_no_cost(self, text: str) -> None:
        self.cost.setText(text)
        set_tone(self.cost, "warn")

    def _render(self) -> None:
        self._find_asking()
        self._find_cost()
        for widget in (self.exact, self.exact_name):
            widget.setVisible(self._offers_exact)
        request, error = self.request, self._error
        self.go.setEnabled(not error)
        set_tone(self.estimate, "warn" if error else "")
        if error:
            self.estimate.setText(error)
            self.basis.setText("")
            return
        time = self._estimate(request)
        text = f"{time.text[0].upper()}{time.text[1:]}"
        self.estimate.setText(f"{text}  ·  {count_of(count_rows(request), 'completion')}")
        temperature = self._asking.temperature if self._asking is not None else None
        if temperature is None or (temperature == 0 and request.samples > 1):
            temperature = 0 if request.samples == 1 else 1
        decoding = f"Sampling at temperature {temperature:g}" if temperature else "Greedy decoding"
        hinted = request.conditions != (Condition.CLEAN,)
        precision = precision_text(request.problems, request.samples * (USUAL_HINTS if hinted else 1))
        self.basis.setText(f"{decoding}. {precision} Time {time.basis}.")

    def _start(self) -> None:
        """At once, or after a person agreed to what the endpoints may cost."""
        if not self._error:
            ask_cost(self._cost, "Evaluate", self, self._do_start)

    def _do_start(self) -> None:
        self.startRequested.emit(self.request)
        self.accept()


class LimitsDialog(PageDialog):
    """What the endpoints of an evaluation may take, changed before it is resumed. Emits the limits."""

    resumeRequested = Signal(object)  # SpendLimits

    def __init__(
        self, name: str, limits: SpendLimits, spent: str, currency: str, parent: QWidget | None = None
    ) -> None:
        super().__init__("Resume the evaluation", parent)
        text = (
            f"{name} has limits on what its endpoints may take in all, before and after now. What was paid for is kept "
            "and not asked again."
        )
        self.spend = SpendRow()
        self.spend.render_currency(currency)
        self.spend.render_limits(limits)
        spent_label = wrap_anywhere(make_label(spent, "small", wrap=True))
        fill(self.body, make_label(text, "muted", wrap=True), spent_label, make_label("At most", "small"), self.spend)
        self.go = make_button("Resume", "resume", kind="primary", clicked=self._resume)
        self.go.setDefault(True)
        fill(self.buttons, None, make_button("Cancel", clicked=self.reject), self.go)
        self.spend.requests.setFocus()

    def _resume(self) -> None:
        self.resumeRequested.emit(self.spend.limits)
        self.accept()


ROW_HEIGHT = 24


class RegradeDialog(PageDialog):
    """Asks before stored rows are graded again, shows how far that is, then what it changed. Starts nothing itself."""

    startRequested = Signal()

    def __init__(self, name: str, readers: Mapping[int | None, int], parent: QWidget | None = None) -> None:
        super().__init__("Grade again", parent)
        total, older = sum(readers.values()), older_rows(readers)
        which = "none of them" if not older else "all of them" if older == total else f"{older:,} of them"
        self.text = make_label(
            f"The {count_of(total, 'stored answer')} of {name} are read and graded again with answer reader "
            f"{READER_VERSION}; {which} were graded by an older one. Nothing is generated. Outcomes may change, and "
            "all figures with them; the grades that are stored now are replaced.",
            wrap=True,
        )  # fmt: skip
        self.text.setMinimumWidth(520)
        self.progress = Progress(cancellable=False)
        self.table = QWidget()
        self._grid = make_grid(self.table, gaps=(SPACE_6, 0), stretched=1)
        fill(self.body, self.text, self.progress, self.table)
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.go = make_button("Grade again", "check", kind="primary", clicked=self._start)
        fill(self.buttons, None, self.cancel, self.go)
        self.cancel.setDefault(True)
        self.cancel.setFocus()

    def _start(self) -> None:
        self.go.setEnabled(False)
        self.cancel.setToolTip("Nothing is changed then")
        self.progress.render_progress("Reading the stored answers…")
        self.startRequested.emit()

    def render_progress(self, done: int, total: int) -> None:
        self.progress.render_progress("Grading…", done, total, f"{done:,} of {total:,}")

    def render_failed(self, text: str) -> None:
        """Why it was not done; nothing has changed."""
        self.progress.clear()
        self.text.setText(text)
        self._offer_close()

    def render_result(self, found: Regraded) -> None:
        """What changed: a line for each outcome before and now."""
        self.progress.clear()
        self.text.setText("\n".join(describe_regraded(found)))
        lines = outcome_changes(found)
        for column_index, heading in enumerate(("Before", "Now", "Rows")):
            self._grid.addWidget(make_label(heading, "eyebrow"), 0, column_index)
            self._grid.setRowMinimumHeight(0, ROW_HEIGHT)
        for place, (before, now, rows) in enumerate(lines, 1):
            same = before == now
            self._grid.setRowMinimumHeight(place, ROW_HEIGHT)
            for column_index, text in enumerate((before.capitalize(), now.capitalize(), f"{rows:,}")):
                right = Qt.AlignmentFlag.AlignRight if column_index == 2 else Qt.AlignmentFlag.AlignLeft
                self._grid.addWidget(make_label(text, "muted" if same else ""), place, column_index, right)
        self.table.setAccessibleName(
            "Outcomes before and now: " + "; ".join(f"{before} to {now}, {rows:,}" for before, now, rows in lines)
        )
        self._offer_close()
        self.adjustSize()

    def _offer_close(self) -> None:
        self.go.hide()
        self.cancel.setText("Close")
        self.cancel.setToolTip("")
        self.cancel.setFocus()


def _spin_box(name: str, low: int, high: int, value: int) -> QSpinBox:
    field = number_field(low, high)
    field.setValue(value)
    field.setAccessibleName(name)
    field.setFixedWidth(86)
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
        found = sorted((t for t in traces if t.question), key=lambda t: t.outcome == "right")
        some = f"The icon is the outcome of {target}; the problems it fails come first."
        self.say(some if found else "The questions of this suite are not stored here, so none can be replayed.")
        self.render_items(found)
