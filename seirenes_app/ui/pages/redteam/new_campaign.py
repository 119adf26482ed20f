"""The form of a new campaign: target, hint writers, problems, budget, estimate. It starts nothing itself."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QFileDialog, QLabel, QLineEdit, QSpinBox, QWidget

from seirenes_app.services.evaluations import STARTER
from seirenes_app.services.formatting import count_of, duration, money, points, short_count
from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.services.redteam.campaign import (
    BUNDLED,
    MAX_SAMPLES,
    RUN,
    SUITE,
    Budget,
    CampaignPlan,
    CampaignSummary,
    ProblemChoice,
    WriterKind,
    WriterSpec,
    check_plan,
    split_counts,
)
from seirenes_app.services.redteam.preflight import CampaignPreflight, check_campaign
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.pages.redteam.captions import LIMITS, WRITERS, describe_model
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.boxes import (
    FlowLayout,
    column,
    fill,
    ignore_wheel,
    make_grid,
    number_field,
    row,
    scroll_area,
)
from seirenes_app.ui.widgets.buttons import action_button, make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.judge_dialog import JudgeDialog
from seirenes_app.ui.widgets.labels import ElidedLabel, make_card_heading, make_label
from seirenes_app.ui.widgets.model_picker import ModelPicker, argument_of
from training.core.prompts import TYPE_LABELS
from training.core.types import HintType
from training.core.validity import JudgeOptions
from training.evaluation.suites.repository import SuiteRepository
from training.model_names import describe_path

CHECK = "red team: check"
CHECK_MS = 350  # How long the form must rest before it is checked
SIDE_WIDTH, WIDTH, FIELD_WIDTH = 348, 920, 96
FROM_FILE = "a file"
BUNDLED_TITLE = "Held-out problems of the bundled families"
PROBLEM_FILES = "Problems (*.jsonl *.json *.csv *.parquet);;All files (*)"
FIRST_PLAN = CampaignPlan(STARTER)
"""What the form begins with."""
SMALL_PLAN = CampaignPlan(
    STARTER, "first campaign", problems=ProblemChoice(count=60), budget=Budget(requests=600), max_confirmed=3,
)  # fmt: skip
"""A campaign of a few minutes on the bundled model."""
CARD_OF = {"types": "writers", "confirm_share": "sampling", "temperature": "sampling", "samples": "sampling",
           "alpha": "sampling", "max_confirmed": "sampling"}  # fmt: skip
"""The card of a field of the plan that has none of its own."""


@dataclass(frozen=True)
class FormChoices:
    """(name, argument) of what writers and problems can be of: trained Adversaries, archives, suites."""

    adversaries: tuple[tuple[str, str], ...] = ()
    archives: tuple[tuple[str, str], ...] = ()
    suites: tuple[tuple[str, str], ...] = ()


def read_choices() -> FormChoices:
    """Looks through runs and suites; for another thread."""
    adversaries, archives = [], []
    for run in RunRepository().list_runs():
        if run.state is None or run.config is None:
            continue
        name = run.paths.run_id
        if run.config.mode == "seirenes" and any(run.paths.checkpoints.glob("step_*")):
            adversaries.append((name, name))
        if run.paths.rollouts.is_file() and run.config.mode != "clean_rl":
            archives.append((name, name))
    manifests = SuiteRepository(suites_folder()).manifests()
    suites = [(m.name, str(folder)) for folder, m in manifests.items() if m.hints]
    return FormChoices(tuple(adversaries), tuple(archives), tuple(suites))


def command_of(plan: CampaignPlan) -> str:
    """The line that starts a campaign in a terminal: what differs from the defaults."""
    usual, budget = FIRST_PLAN, plan.budget
    options: tuple[tuple[str, object, object], ...] = (
        ("name", plan.name, ""), ("writers", ",".join(w.key for w in plan.writers), "language,triggers"),
        ("types", ",".join(plan.types), ",".join(usual.types)),
        ("problems", plan.problems.source, BUNDLED), ("count", plan.problems.count, usual.problems.count),
        ("families", ",".join(plan.problems.families), ""), ("placement", plan.placement, usual.placement),
        ("judge", plan.validity.model, ""), ("max-requests", budget.requests, None),
        ("max-tokens", budget.tokens, None), ("max-cost", budget.money, None), ("minutes", budget.minutes, None),
        ("samples", plan.samples, 1), ("temperature", plan.temperature, 0.0),
        ("solution-tokens", plan.max_tokens, 0), ("seed", plan.seed, usual.seed), ("alpha", plan.alpha, usual.alpha),
        ("confirm-share", plan.confirm_share, usual.confirm_share),
        ("minimise-share", plan.minimise_share, usual.minimise_share),
        ("max-confirmed", plan.max_confirmed, usual.max_confirmed),
    )  # fmt: skip
    parts = ["seirenes", "redteam", plan.target]
    for name, value, default in options:
        if value != default:
            parts += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(parts)


class FormCard(Card):
    """A titled part of the form; what is wrong in it stands beside the title, so that nothing moves."""

    def __init__(self, title: str, about: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setAccessibleName(title)
        self.problem = ElidedLabel()
        self.problem.setProperty("tone", "bad")
        head = row(make_card_heading(title), SPACE_2, (self.problem, 1), spacing=SPACE_2)
        head.addStretch(0)
        self.body.addLayout(head)
        if about:
            self.body.addWidget(make_label(about, "small", wrap=True))

    def render_problem(self, text: str) -> None:
        self.problem.setText(text)
        self.setAccessibleDescription(text)


class WriterRow(QWidget):
    """One kind of hint writer: a tick, what it is, and what it needs, as a model or a run."""

    changed = Signal()
    argumentRequested = Signal()

    def __init__(self, kind: WriterKind, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = kind
        text = WRITERS[kind]
        self.box = QCheckBox(text.title)
        self.box.setToolTip(text.about)
        self.box.setAccessibleDescription(text.about)
        self.about = ElidedLabel("small", fill=True)
        self.about.setText(text.about)
        self.argument = ""
        self.choose: QWidget | None = None
        self.runs: QComboBox | None = None
        self.box.setMinimumWidth(210)
        parts: list[Any] = [self.box, (self.about, 1)]
        if text.wants == "model":
            self.choose = make_button("Choose…", clicked=self.argumentRequested.emit)
            self.choose.setAccessibleName(f"{text.title}: choose the model")
            parts.append(self.choose)
        elif text.wants:
            self.runs = QComboBox()
            self.runs.setAccessibleName(f"{text.title}: which {text.wants}")
            self.runs.setMinimumWidth(230)
            self.runs.setMaximumWidth(230)
            self.runs.currentIndexChanged.connect(self._on_run)
            ignore_wheel(self.runs)
            parts.append(self.runs)
        row(*parts, spacing=SPACE_2, parent=self)
        self.box.toggled.connect(lambda _on: self._on_toggled())
        self._render()

    @property
    def spec(self) -> WriterSpec | None:
        return WriterSpec(self.kind, self.argument) if self.box.isChecked() else None

    def render_spec(self, spec: WriterSpec | None) -> None:
        self.box.setChecked(spec is not None)
        if spec is not None:
            self.render_argument(spec.argument)

    def render_argument(self, argument: str) -> None:
        self.argument = argument
        if self.runs is not None:
            at = self.runs.findData(argument)
            if at < 0 and argument:
                self.runs.addItem(Path(argument).name, argument)
                at = self.runs.count() - 1
            self.runs.setCurrentIndex(at)
        self._render()

    def render_choices(self, choices: Sequence[tuple[str, str]]) -> None:
        """(name, argument) of the runs or suites there are."""
        assert self.runs is not None
        before = self.argument
        self.runs.blockSignals(True)
        self.runs.clear()
        for name, argument in choices:
            self.runs.addItem(name, argument)
        self.runs.blockSignals(False)
        self.render_argument(before or (choices[0][1] if choices else ""))
        self._render()

    def _on_run(self, _index: int) -> None:
        assert self.runs is not None
        self.argument = self.runs.currentData() or ""
        self.changed.emit()

    def _on_toggled(self) -> None:
        self._render()
        if self.choose is not None and self.box.isChecked() and not self.argument and self.isVisible():
            self.argumentRequested.emit()
        self.changed.emit()

    def _render(self) -> None:
        on = self.box.isChecked()
        if self.choose is not None:
            self.choose.setEnabled(on)
            self.about.setText(describe_model(self.argument) if self.argument else WRITERS[self.kind].about)
        if self.runs is not None:
            self.runs.setEnabled(on and self.runs.count() > 0)
            self.box.setEnabled(self.runs.count() > 0 or on)
            none = f"There is no {WRITERS[self.kind].wants} yet."
            self.about.setText(WRITERS[self.kind].about if self.runs.count() else none)


class LimitRow(QWidget):
    """One limit of the budget: ticked and a number, or none."""

    changed = Signal()

    def __init__(self, limit: str, value: float, high: float, unit: str = "", *, decimals: int = 0,
                 parent: QWidget | None = None) -> None:  # fmt: skip
        super().__init__(parent)
        title, about = LIMITS[limit]
        self.box = QCheckBox(title)
        self.box.setToolTip(about)
        self.box.setAccessibleName(f"Limit of {title.lower()}")
        self.field = QDoubleSpinBox()
        self.field.setDecimals(decimals)
        self.field.setRange(10.0**-decimals, high)
        self.field.setValue(value)
        self.field.setGroupSeparatorShown(True)
        self.field.setAccessibleName(f"{title}, at most")
        self.field.setFixedWidth(116)
        ignore_wheel(self.field)
        self.unit = make_label(unit, "small")
        self.unit.setFixedWidth(52)
        row(self.box, None, self.field, self.unit, spacing=SPACE_2, parent=self)
        self.box.toggled.connect(lambda _on: self._on_changed())
        self.field.valueChanged.connect(lambda _v: self._on_changed())
        self._on_changed()

    def _on_changed(self) -> None:
        self.field.setEnabled(self.box.isChecked())
        self.changed.emit()

    @property
    def value(self) -> float | None:
        return self.field.value() if self.box.isChecked() else None

    def render_value(self, value: float | None) -> None:
        self.box.setChecked(value is not None)
        if value is not None:
            self.field.setValue(value)


class CampaignForm(QWidget):
    """A `CampaignPlan` as fields, checked and estimated in another thread whenever it rests."""

    draftChanged = Signal(object)
    """CampaignPlan as it stands"""
    readyChanged = Signal(bool)
    """Whether the plan can be started."""
    leaveRequested = Signal()
    downloadRequested = Signal(str)

    def __init__(
        self, models: ModelInventory, tasks: TaskRunner, actions: Mapping[str, QAction], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._models, self._tasks = models, tasks
        self._loading = False
        self._target = STARTER
        self._judge = JudgeOptions()
        self._plan = FIRST_PLAN
        self._sources: tuple[tuple[str, str], ...] = ((BUNDLED_TITLE, BUNDLED),)
        self.past: Sequence[CampaignSummary] = ()
        """Campaigns whose pace the estimate may use."""
        self.ready = False
        self.preflight: CampaignPreflight | None = None
        """Of the plan as it stands; None until it is checked."""
        self._timer = QTimer(self, singleShot=True, interval=CHECK_MS)
        self._timer.timeout.connect(self._check)
        self._build(actions)
        self._connect()
        self.render_plan(FIRST_PLAN)

    # ------------------------------------------------------------------ layout

    def _build(self, actions: Mapping[str, QAction]) -> None:
        self.cards = {
            "target": self._build_target(), "writers": self._build_writers(), "problems": self._build_problems(),
            "sampling": self._build_sampling(),
        }  # fmt: skip
        left = QWidget()
        column(*self.cards.values(), None, spacing=SPACE_3, margins=(0, 0, SPACE_2, SPACE_4), parent=left)
        self.area = scroll_area(left)
        side = QWidget()
        side.setFixedWidth(SIDE_WIDTH)
        self.cards["budget"] = self._build_budget()
        column(self.cards["budget"], self._build_estimate(actions), None, spacing=SPACE_3, parent=side)
        self.area.setMaximumWidth(WIDTH)
        row((self.area, 1000), side, None, spacing=SPACE_3, margins=(28, SPACE_2, 28, 0), parent=self)

    def _build_target(self) -> FormCard:
        card = FormCard("Target")
        self.name = QLineEdit()
        self.name.setAccessibleName("Name of the campaign")
        self.target = ElidedLabel("strong", fill=True)
        self.choose_target = make_button("Choose…", "models", clicked=self._choose_target)
        self.choose_target.setAccessibleName("Choose the target")
        grid = make_grid(gaps=(SPACE_4, SPACE_2), stretched=1)
        grid.addWidget(_name("Model"), 0, 0)
        grid.addLayout(row((self.target, 1), self.choose_target), 0, 1)
        grid.addWidget(_name("Name", self.name), 1, 0)
        grid.addWidget(self.name, 1, 1)
        card.body.addLayout(grid)
        return card

    def _build_writers(self) -> FormCard:
        card = FormCard("Hint writers")
        self.writers = {kind: WriterRow(kind) for kind in WriterKind}
        self.types = {type_: QCheckBox(TYPE_LABELS[type_].capitalize()) for type_ in HintType}
        self.type_problem = ElidedLabel()
        self.type_problem.setProperty("tone", "bad")
        holder = QWidget()
        flow = FlowLayout(holder, gap=SPACE_3, line_gap=0)
        for box in self.types.values():
            flow.addWidget(box)
        holder.setAccessibleName("Hint types")
        fill(
            card.body, *self.writers.values(), SPACE_1, row(_name("Hint types"), SPACE_2, (self.type_problem, 1)),
            holder,
        )  # fmt: skip
        return card

    def _build_problems(self) -> FormCard:
        card = FormCard("Problems")
        self.source = QComboBox()
        self.source.setAccessibleName("Source of the problems")
        self.source.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.source.setMinimumContentsLength(24)
        ignore_wheel(self.source)
        self.count = _spin_box("Number of problems", 1, 100_000)
        self.split = make_label("", "small", wrap=True)
        fill(card.body, row((self.source, 1), self.count, make_label("problems", "muted")), self.split)
        return card

    def _build_sampling(self) -> FormCard:
        card = FormCard("Sampling and confirmation")
        self.samples = _spin_box("Samples of each prompt", 1, MAX_SAMPLES)
        self.temperature = QDoubleSpinBox()
        self.temperature.setRange(0, 2)
        self.temperature.setSingleStep(0.1)
        self.seed = _spin_box("Seed", 0, 2**31 - 1)
        self.tokens = _spin_box("Longest solution in tokens", 0, 65_536)
        self.tokens.setSpecialValueText("by model")
        self.confirm = _spin_box("Share for confirmation", 5, 90)
        self.minimise = _spin_box("Share for minimal forms", 0, 60)
        self.most = _spin_box("Hints that are tested", 1, 100)
        self.alpha = QDoubleSpinBox()
        self.alpha.setDecimals(3)
        self.alpha.setRange(0.001, 0.5)
        self.alpha.setSingleStep(0.01)
        for share in (self.confirm, self.minimise):
            share.setSuffix(" %")
        for spin in (self.temperature, self.alpha):
            spin.setFixedWidth(FIELD_WIDTH)
            ignore_wheel(spin)
        self.judge = ElidedLabel(fill=True)
        self.choose_judge = make_button("Judge…", tip="A model that decides on hints that no rule decides",
                                        clicked=self._choose_judge)  # fmt: skip
        grid = make_grid(gaps=(SPACE_3, SPACE_2))
        for place, (title, field, tip) in enumerate((
            ("Samples", self.samples, "Answers to each prompt; at temperature 0 all are the same"),
            ("Temperature", self.temperature, "0 is greedy"),
            ("Longest solution", self.tokens, "In tokens; what is cut off is neither right nor wrong"),
            ("Seed", self.seed, "The same seed and greedy decoding give the same campaign"),
            ("For confirmation", self.confirm, "Share of the problems and of the budget that only confirmation uses"),
            ("For minimal forms", self.minimise, "Share of both for finding which part of a weakness does the harm"),
            ("Tested at most", self.most, "How many hints are tested for confirmation; more need a smaller p each"),
            ("Level", self.alpha, "Chance of any false weakness on a target that has none"),
        )):  # fmt: skip
            field.setToolTip(tip)
            field.setAccessibleName(title)
            field.setAccessibleDescription(tip)
            across, down = 2 * (place % 2), place // 2
            grid.addWidget(_name(title, field), down, across)
            grid.addWidget(field, down, across + 1)
        grid.setColumnStretch(4, 1)
        fill(card.body, grid, row(_name("Judge of hints"), SPACE_2, (self.judge, 1), self.choose_judge))
        return card

    def _build_budget(self) -> FormCard:
        card = FormCard("Budget")
        self.limits = {
            "requests": LimitRow("requests", 2000, 100_000_000), "tokens": LimitRow("tokens", 1_000_000, 1e12),
            "money": LimitRow("money", 1.0, 1_000_000, decimals=2), "minutes": LimitRow("minutes", 10, 100_000, "min"),
        }  # fmt: skip
        about = make_label("It stops before the first request that could pass a limit.", "small", wrap=True)
        fill(card.body, *self.limits.values(), about)
        return card

    def _build_estimate(self, actions: Mapping[str, QAction]) -> Card:
        card = Card()
        self.estimate = make_label("", "figure", wrap=True)
        self.figures = make_label("", wrap=True)
        self.notes = make_label("", "small", wrap=True)
        # Room for what is said at most, so that the buttons below stay where they are.
        for label, lines in ((self.estimate, 2), (self.figures, 7), (self.notes, 5)):
            label.ensurePolished()
            label.setMinimumHeight(lines * label.fontMetrics().lineSpacing() + 2)
            label.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.start = action_button(actions["start"], kind="primary")
        self.copy = action_button(actions["copy-command"], kind="quiet")
        self.leave = make_button("Back", clicked=self.leaveRequested.emit)
        fill(
            card.body, make_card_heading("Before it starts"), self.estimate, self.figures, self.notes, SPACE_1,
            row(self.leave, None, self.start), row(self.copy, None),
        )  # fmt: skip
        return card

    def _connect(self) -> None:
        self.name.textEdited.connect(lambda _text: self._on_changed())
        self.source.activated.connect(lambda _i: self._on_source())
        for field in (self.count, self.samples, self.seed, self.tokens, self.confirm, self.minimise, self.most):
            field.valueChanged.connect(lambda _v: self._on_changed())
        for spin in (self.temperature, self.alpha):
            spin.valueChanged.connect(lambda _v: self._on_changed())
        for box in self.types.values():
            box.toggled.connect(lambda _on: self._on_changed())
        for limit in self.limits.values():
            limit.changed.connect(self._on_changed)
        for kind, writer in self.writers.items():
            writer.changed.connect(self._on_changed)
            writer.argumentRequested.connect(lambda k=kind: self._choose_writer(k))

    # ------------------------------------------------------------------ the plan

    @property
    def plan(self) -> CampaignPlan:
        limits = {name: limit.value for name, limit in self.limits.items()}
        return replace(
            self._plan, target=self._target, name=self.name.text().strip(),
            writers=tuple(w.spec for w in self.writers.values() if w.spec is not None),
            problems=replace(self._plan.problems, source=self.source.currentData() or BUNDLED,
                             count=self.count.value()),
            types=tuple(t for t, box in self.types.items() if box.isChecked()),
            budget=Budget(_whole(limits["requests"]), _whole(limits["tokens"]), limits["money"], limits["minutes"]),
            samples=self.samples.value(), temperature=round(self.temperature.value(), 3),
            max_tokens=self.tokens.value(), seed=self.seed.value(), confirm_share=self.confirm.value() / 100,
            minimise_share=self.minimise.value() / 100, alpha=round(self.alpha.value(), 4),
            max_confirmed=self.most.value(), validity=self._judge, created="",
        )  # fmt: skip

    def render_plan(self, plan: CampaignPlan) -> None:
        """Fill the fields. Of several writers of one kind the first is kept: the form has one of each."""
        self._loading = True
        self._plan, self._target, self._judge = plan, plan.target, plan.validity
        self.name.setText(plan.name)
        for kind, writer in self.writers.items():
            writer.render_spec(next((w for w in plan.writers if w.kind is kind), None))
        for type_, box in self.types.items():
            box.setChecked(type_ in plan.types)
        self._render_source(plan.problems.source)
        self.count.setValue(plan.problems.count)
        for name, limit in self.limits.items():
            limit.render_value(getattr(plan.budget, name))
        for field, value in (
            (self.samples, plan.samples), (self.seed, plan.seed), (self.tokens, plan.max_tokens),
            (self.confirm, round(100 * plan.confirm_share)), (self.minimise, round(100 * plan.minimise_share)),
            (self.most, plan.max_confirmed),
        ):  # fmt: skip
            field.setValue(value)
        self.temperature.setValue(plan.temperature)
        self.alpha.setValue(plan.alpha)
        self._loading = False
        self._on_changed()

    def render_choices(self, found: FormChoices) -> None:
        """The runs and suites that writers and problems can be of."""
        for kind, choices in (
            (WriterKind.RUN_ADVERSARY, found.adversaries), (WriterKind.ARCHIVE, found.archives),
            (WriterKind.SUITE, found.suites),
        ):  # fmt: skip
            self.writers[kind].render_choices(choices)
        self._sources = (
            (BUNDLED_TITLE, BUNDLED),
            *((f"The suite {name}", f"{SUITE}{argument}") for name, argument in found.suites),
            *((f"Problems of the archived hints of {name}", f"{RUN}{argument}") for name, argument in found.archives),
        )
        self._render_source(self.plan.problems.source)

    def _render_source(self, source: str) -> None:
        self.source.clear()
        for title, value in self._sources:
            self.source.addItem(title, value)
        if self.source.findData(source) < 0:
            self.source.addItem(describe_path(Path(source)) if Path(source).exists() else source, source)
        self.source.addItem("A file…", FROM_FILE)
        self.source.setCurrentIndex(self.source.findData(source))

    def _on_source(self) -> None:
        if self.source.currentData() == FROM_FILE:
            name, _ = QFileDialog.getOpenFileName(self, "A file of problems", "", PROBLEM_FILES)
            self._render_source(name or self._plan.problems.source)
        self._plan = replace(self._plan, problems=replace(self._plan.problems, source=self.source.currentData()))
        self._on_changed()

    # ------------------------------------------------------------------ models

    def _choose_target(self) -> None:
        self._choose("The target", "Take this model", self._target, self.take_target)

    def take_target(self, argument: str) -> None:
        """A model as in a configuration: the bundled one, a file or folder, an endpoint."""
        self._target = argument
        self._on_changed()

    def _choose_writer(self, kind: WriterKind) -> None:
        row_ = self.writers[kind]

        def take(argument: str) -> None:
            row_.render_argument(argument)
            self._on_changed()

        self._choose("The model that writes hints", "Take this model", row_.argument, take)

    def _choose(self, title: str, verb: str, current: str, take: Callable[[str], None]) -> None:
        picker = ModelPicker(title, verb, self._models, current=Path(current) if current else None, parent=self)
        picker.chosen.connect(lambda entry: take(argument_of(entry)))
        picker.downloadRequested.connect(self.downloadRequested)
        picker.finished.connect(lambda _code: picker.deleteLater())
        picker.open()

    def _choose_judge(self) -> None:
        dialog = JudgeDialog(self._tasks, self._models, self._judge, parent=self)

        def take(name: str) -> None:
            self._judge = replace(self._judge, model=name)
            self._on_changed()

        dialog.chosen.connect(take)
        dialog.finished.connect(lambda _code: dialog.deleteLater())
        dialog.open()

    # ------------------------------------------------------------------ before the start

    def _on_changed(self) -> None:
        if self._loading:
            return
        plan, self.preflight = self.plan, None
        self._tasks.cancel(CHECK)
        self.target.setText(describe_model(plan.target))
        self.name.setPlaceholderText(replace(plan, name="").title)
        self.judge.setText(describe_model(self._judge.model) if self._judge.model else
                           "none: what no rule decides is tried, and the result says so")  # fmt: skip
        screen, confirm, minimise = split_counts(plan)
        self.split.setText(
            f"{screen} for screening, {confirm} for confirmation and {minimise} for minimal forms; none is used twice."
        )
        self._render_problems(check_plan(plan))
        self.draftChanged.emit(plan)
        self._timer.start()

    def _render_problems(self, found: Mapping[str, str]) -> None:
        """Each at its field."""
        places = dict.fromkeys(self.cards, "")
        for field, text in found.items():
            if field == "types":
                continue
            place = field if field in places else CARD_OF.get(field, "sampling")
            places[place] = places[place] or text
        for name, text in places.items():
            self.cards[name].render_problem(text)
        self.type_problem.setText(found.get("types", ""))
        self._set_ready(not found)

    def _set_ready(self, ready: bool) -> None:
        self.ready = ready
        self.readyChanged.emit(ready)

    def _check(self) -> None:
        """Look whether all that the plan names is there, and estimate."""
        plan, past = self.plan, tuple(self.past)
        self._tasks.run(lambda: check_campaign(plan, past), self.render_preflight, key=CHECK)

    def render_preflight(self, found: CampaignPreflight) -> None:
        """Show what is missing at its field, and the estimate."""
        self.preflight = found
        self._render_problems(found.problems)
        if found.problems:
            for label, text in ((self.estimate, "Correct what is marked first"), (self.figures, ""), (self.notes, "")):
                label.setText(text)
            return
        estimate, cost = found.estimate, found.cost
        parts = [
            f"Up to {count_of(estimate.requests, 'request')}" if estimate.requests is not None else "",
            f"about {short_count(found.tokens)} tokens" if found.tokens is not None else "",
            f"about {duration(found.seconds)}" if found.seconds is not None else "",
            f"usually {money(cost.cost, cost.currency)}" if cost is not None and cost.cost is not None else "",
        ]
        text = ", ".join(part for part in parts if part)
        self.estimate.setText(f"{text[0].upper()}{text[1:]}" if text else "Limited by what is ticked above")
        lines = []
        if estimate.screening is not None:
            lines.append(
                f"{estimate.screening:,} to search, {estimate.confirmation or 0:,} to confirm, "
                f"{estimate.minimising or 0:,} to shorten."
            )
        if estimate.confirmable:
            tested = count_of(estimate.confirmable, "hint")
            lines.append(f"Up to {tested} tested on {count_of(estimate.confirm_problems, 'problem')} each.")
        lines.append(f"A loss of {points(estimate.detectable)} points is then found in about four of five cases.")
        if cost is not None and cost.at_most is not None:
            lines.append(f"At most {money(cost.at_most, cost.currency)}.")
        if found.seconds is None:
            lines.append("Its time is known after the first campaign on this target.")
        self.figures.setText("\n".join(lines))
        self.notes.setText("\n".join(found.notes))


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _name(text: str, buddy: QWidget | None = None) -> QLabel:
    label = make_label(text, "muted")
    if buddy is not None:
        label.setBuddy(buddy)
    return label


def _spin_box(name: str, low: int, high: int) -> QSpinBox:
    field = number_field(low, high)
    field.setAccessibleName(name)
    field.setFixedWidth(FIELD_WIDTH)
    return field
