"""The problem: a question, its true answer and how that is compared. It says at once what is missing.

The hint's type and its place in the problem.

The candidate in hand: the text that the solver reads with the hint marked in it, and every gate's verdict.

How a candidate is tried: samples of each arm, temperature, length, seed, and whether a placebo is tried too.

Which model plays a part, as a button that leads to the choice of another.

Solving: the plan, the button, live bars with their intervals, and what they mean in words."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from seirenes_app.inference.client import StateKind, WorkerState
from seirenes_app.inference.protocol import MAX_SAMPLES, ModelFacts
from seirenes_app.services.formatting import byte_size, percent, short_count
from seirenes_app.services.hint_authoring.draft import Draft, DraftProblem, SolvePlan, SolverChoice
from seirenes_app.services.hint_authoring.gate_report import Badges
from seirenes_app.services.hint_authoring.results import SolveResult
from seirenes_app.ui.charts.live_chart import make_card_heading
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.pages.craft.captions import (
    KIND_WORDS,
    PLACEMENT_WORDS,
    TYPE_WORDS,
    follow_look,
    model_name,
    rates_of,
    say_drop,
    say_placebo,
    verdict_look,
)
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, current_theme
from seirenes_app.ui.widgets.badges import Badge, BadgeStyle, GateBadges
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card, make_rule
from seirenes_app.ui.widgets.flow import FlowLayout
from seirenes_app.ui.widgets.growing_text import GrowingText, PageLine
from seirenes_app.ui.widgets.interval_bars import IntervalBars
from seirenes_app.ui.widgets.labels import IconLabel, make_label
from seirenes_app.ui.widgets.no_wheel import hush
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.core.prompts import Placement, hint_span, join_hint
from training.core.types import AnswerKind


class ProblemCard(Card):
    """Asks by signals; `render_problem` shows a draft's problem, `render_wrong` what is wrong with it."""

    questionEdited = Signal(str)
    answerEdited = Signal(str)
    kindChosen = Signal(str)
    libraryAsked = Signal()
    importAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._build()
        self._connect()

    def _build(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(0)
        head.addWidget(make_card_heading("Problem"))
        head.addStretch(1)
        self.library = make_button("Library", "books", kind="quiet", clicked=self.libraryAsked.emit,
                                   tip="Take a problem from the library (Ctrl+L)")  # fmt: skip
        self.import_ = make_button("Import…", "drop", kind="quiet", clicked=self.importAsked.emit,
                                   tip="Read problems from a file: JSON lines, GSM8K, SVAMP, CSV")  # fmt: skip
        head.addWidget(self.library)
        head.addWidget(self.import_)
        self.question = GrowingText("Question", "Type a problem, or take one from the library.", least=3, most=9)
        self.answer = PageLine("True answer", "True answer")
        self.kind = QComboBox()
        self.kind.setAccessibleName("The answer is a")
        self.kind.setToolTip("How an answer is compared with the true one")
        for kind, word in KIND_WORDS.items():
            self.kind.addItem(word, kind)
        hush(self.kind)
        row = QHBoxLayout()
        row.setSpacing(SPACE_2)
        row.addWidget(make_label("Answer", "muted"))
        row.addWidget(self.answer, 1)
        row.addWidget(make_label("is a", "muted"))
        row.addWidget(self.kind)
        self.wrong = make_label("", "small", wrap=True)
        self._wrong_row = QWidget()
        line = QHBoxLayout(self._wrong_row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(SPACE_2)
        line.addWidget(IconLabel("info", 16, "warn"), 0, Qt.AlignmentFlag.AlignTop)
        line.addWidget(self.wrong, 1)
        self.body.addLayout(head)
        self.body.addWidget(self.question)
        self.body.addLayout(row)
        self.body.addWidget(self._wrong_row)
        self._wrong_row.hide()

    def _connect(self) -> None:
        self.question.edited.connect(self.questionEdited)
        self.answer.edited.connect(self.answerEdited)
        self.kind.activated.connect(lambda _i: self.kindChosen.emit(str(self.kind.currentData())))

    def render_problem(self, problem: DraftProblem) -> None:
        """Show it; fields that show it already keep their carets."""
        self.question.render_text(problem.question)
        self.answer.render_text(problem.answer)
        index = list(AnswerKind).index(problem.kind)
        if self.kind.currentIndex() != index:
            self.kind.setCurrentIndex(index)

    def render_wrong(self, reason: str) -> None:
        """What keeps the problem from being used, "" for nothing."""
        self.wrong.setText(reason)
        self._wrong_row.setVisible(bool(reason))
        self.question.setAccessibleDescription(reason)


class HintTypeCard(Card):
    """Asks by signals."""

    typeChosen = Signal(str)
    placementChosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._build()
        self._connect()

    def _build(self) -> None:
        self.body.addWidget(make_card_heading("Hint"))
        types = [Segment(str(type_), *words) for type_, words in TYPE_WORDS.items()]
        self.type = Segmented("Type of hint", types, columns=2)
        places = [Segment(str(place), word, tip=tip) for place, (word, tip) in PLACEMENT_WORDS.items()]
        self.placement = Segmented("Placement", places)
        self.where = make_label("", "small")
        row = QHBoxLayout()
        row.addWidget(self.where)
        row.addStretch(1)
        self.body.addWidget(self.type)
        self.body.addWidget(self.placement)
        self.body.addLayout(row)

    def _connect(self) -> None:
        self.type.chosen.connect(self.typeChosen)
        self.placement.chosen.connect(self.placementChosen)

    def render_draft(self, draft: Draft) -> None:
        """Show its type and placement."""
        self.type.render_value(str(draft.type))
        self.placement.render_value(str(draft.placement))
        self.where.setText(PLACEMENT_WORDS[Placement(draft.placement)][1])


NONE = "Choose a candidate on the left, and the text that the solver reads stands here."


NO_QUESTION = "Without a problem there is nothing to read."


class PromptCard(Card):
    """`render_draft` is all it takes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._shown: tuple[object, ...] = ()
        self._build()

    def _build(self) -> None:
        self.body.addWidget(make_card_heading("What the solver reads"))
        self.text = make_label(NONE, "muted", wrap=True, select=True)
        self.gates = GateBadges()
        self.reason = make_label("", "small", wrap=True)
        self.body.addWidget(self.text)
        self.body.addSpacing(4)
        self.body.addWidget(self.gates)
        self.body.addWidget(self.reason)

    def render_draft(self, draft: Draft, badges: Badges | None) -> None:
        """Show the chosen candidate inside its problem."""
        candidate, question = draft.chosen_hint, draft.problem.question.strip()
        shown = (question, candidate, draft.placement, badges, current_theme().name)
        if shown == self._shown:
            return
        self._shown = shown
        self.gates.setVisible(candidate is not None)
        self.reason.setVisible(False)
        if candidate is None or not question or not candidate.text.strip():
            self._say_none(NO_QUESTION if not question else question if candidate is not None else NONE)
            return
        joined = join_hint(question, candidate.text, draft.placement)
        start, end = hint_span(question, candidate.text, draft.placement)
        self._mark(joined, start, end)
        self.gates.render_verdicts(badges)
        reasons = [b.reason for b in badges or () if not b.passed]
        self.reason.setText(" ".join(reasons))
        self.reason.setVisible(bool(reasons))

    def _say_none(self, words: str) -> None:
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setProperty("role", "muted")
        self.text.style().polish(self.text)
        self.text.setText(words)
        self.gates.setVisible(False)

    def _mark(self, joined: str, start: int, end: int) -> None:
        """Underlined and in the colour of what is hinted; the text of the label stays escaped."""
        before, hint, after = (html.escape(t).replace("\n", "<br>") for t in
                               (joined[:start], joined[start:end], joined[end:]))  # fmt: skip
        colour = current_theme().hinted
        self.text.setProperty("role", "")
        self.text.style().polish(self.text)
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.text.setText(f'<span>{before}<u style="color:{colour}">{hint}</u>{after}</span>')
        self.text.setAccessibleName(joined)
        self.text.setAccessibleDescription(f"The hint is: {joined[start:end]}")


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


LONGEST = 24


def say_facts(facts: ModelFacts) -> str:
    """A loaded model in a line."""
    threads = f"{facts.threads} {'thread' if facts.threads == 1 else 'threads'}"
    parts = [facts.architecture, f"{short_count(facts.n_params)} parameters", byte_size(facts.size_bytes),
             f"context {facts.n_ctx:,}", threads]  # fmt: skip
    return "  ·  ".join(parts)


class ModelChip(QPushButton):
    """`role` is what the model plays: Solver or Adversary."""

    def __init__(self, role: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._role = role
        self.setProperty("kind", "quiet")
        self.setIconSize(QSize(26, 18))
        set_icon(self, "chip", "muted")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def render_choice(self, choice: SolverChoice, path: Path | None, state: WorkerState) -> None:
        """Show a choice; `path` is its file, to tell whether the worker has it."""
        name = model_name(choice)
        shown = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        facts = state.facts
        mine = facts is not None and path is not None and Path(facts.path) == path
        if state.kind is StateKind.LOADING and state.progress < 1:
            shown, tail = f"{shown}  {percent(state.progress)}", "is being loaded"
        else:
            tail = say_facts(facts) if mine and facts is not None else "is loaded when it is needed"
        self.setText(shown)
        tip = f"{self._role}: {name}\n{tail}\nClick to choose another; any GGUF file can be dropped on the page."
        self.setToolTip(tip)
        self.setAccessibleName(f"{self._role}: {name}")
        self.setAccessibleDescription(tail)


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
        self.verdict, self.follows = Badge(BadgeStyle("silent", "", "muted")), Badge(BadgeStyle("bait", "", "muted"))
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
