"""The cards of the Craft page: problem, hint type, prompt, solve. They show values and emit what the user changed."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QPushButton, QSizePolicy, QSpinBox, QWidget

from seirenes_app.inference.client import StateKind, WorkerState
from seirenes_app.inference.protocol import MAX_SAMPLES
from seirenes_app.services.formatting import byte_size, count_of, percent, short_count
from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, DraftProblem, SolvePlan, SolverChoice
from seirenes_app.services.hint_authoring.gate_report import Badges
from seirenes_app.services.hint_authoring.models import asked_conditions, can_move, model_path
from seirenes_app.services.hint_authoring.results import CANNOT_MOVE, SolveResult
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.pages.craft import captions
from seirenes_app.ui.pages.craft.judge_row import JudgeRow
from seirenes_app.ui.theme import SPACE_1, SPACE_3, current_theme
from seirenes_app.ui.widgets.badges import Badge, BadgeStyle, GateBadges
from seirenes_app.ui.widgets.boxes import FlowLayout, Top, column, fill, ignore_wheel, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card, make_rule
from seirenes_app.ui.widgets.growing_text import GrowingText, PageLine
from seirenes_app.ui.widgets.interval_bars import IntervalBars, Rate
from seirenes_app.ui.widgets.labels import IconLabel, make_card_heading, make_label, set_tone
from seirenes_app.ui.widgets.prompt_editor import PromptRow
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.core.prompts import hint_span, join_hint
from training.endpoints import names_endpoint
from training.errors import UserError


class ProblemCard(Card):
    """The question, its gold answer and the answer's kind, with what is wrong with them."""

    questionEdited = Signal(str)
    answerEdited = Signal(str)
    kindChosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.library = make_button("Library", "books", kind="quiet")
        self.import_ = make_button("Import…", "drop", kind="quiet")
        self.question = GrowingText("Question", "Type a problem, or take one from the library.", least=3, most=9)
        self.answer = PageLine("True answer", "True answer")
        self.kind = QComboBox()
        self.kind.setAccessibleName("The answer is a")
        self.kind.setToolTip("How an answer is compared with the true one")
        for kind, (name, _plural) in captions.ANSWER_KINDS.items():
            self.kind.addItem(name, kind)
        ignore_wheel(self.kind)
        self.note = make_label("", "small", wrap=True)
        self._warning = IconLabel("info", 16, "warn")
        head = row(make_card_heading("Problem"), None, self.library, self.import_, spacing=SPACE_1)
        answer = row(make_label("Answer", "muted"), (self.answer, 1), make_label("is a", "muted"), self.kind)
        fill(self.body, head, self.question, answer, row(self._warning, (self.note, 1), align=Top))
        self.question.edited.connect(self.questionEdited)
        self.answer.edited.connect(self.answerEdited)
        self.kind.activated.connect(lambda _i: self.kindChosen.emit(str(self.kind.currentData())))

    def render_problem(self, problem: DraftProblem, error: str) -> None:
        """Show a problem, and why it cannot be used, "" if it can. The note has a line of its own in either case."""
        self.question.render_text(problem.question)
        self.answer.render_text(problem.answer)
        self.kind.setCurrentIndex(self.kind.findData(problem.kind))
        self.note.setText(error or f"Answers are compared as {captions.ANSWER_KINDS[problem.kind][1]}.")
        self._warning.setVisible(bool(error))
        self.question.setAccessibleDescription(error)


class HintTypeCard(Card):
    """The type of new hints, and where a hint is placed."""

    def __init__(self) -> None:
        super().__init__()
        types = [Segment(str(type_), *texts) for type_, texts in captions.HINT_TYPES.items()]
        self.type = Segmented("Hint type", types, columns=2)
        places = [Segment(str(place), name, tip=tip) for place, (name, tip) in captions.PLACEMENTS.items()]
        self.placement = Segmented("Placement", places, columns=2)
        self.about = make_label("", "small")
        fill(self.body, make_card_heading("Hint type"), self.type, self.placement, self.about)

    def render_draft(self, draft: Draft) -> None:
        self.type.render_value(str(draft.type))
        self.placement.render_value(str(draft.placement))
        self.about.setText(captions.PLACEMENTS[draft.placement][1])


class PromptCard(Card):
    """The text that the model reads with the selected hint marked in it, and the result of every gate."""

    def __init__(self, prompts: PromptRow, judge: JudgeRow) -> None:
        super().__init__()
        self._shown: tuple[object, ...] = ()
        self.prompts, self.judge = prompts, judge
        self.text = make_label("", "muted", wrap=True, select=True)
        self.gates = GateBadges()
        self.reason = make_label("", "small", wrap=True)
        # The row stands above what changes its height from hint to hint.
        fill(self.body, make_card_heading("What the model reads"), self.prompts, self.text, 4, self.gates, self.reason,
             self.judge)  # fmt: skip

    def render_draft(self, draft: Draft, badges: Badges | None) -> None:
        hint, question = draft.chosen_hint, draft.problem.question.strip()
        self.judge.render_draft(draft)
        shown = (question, hint, draft.placement, badges, current_theme().name)
        if shown == self._shown:
            return
        self._shown = shown
        marked = hint is not None and bool(question and hint.text.strip())
        reason = " ".join(b.reason for b in badges or () if not b.passed) if marked else ""
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason))
        self.gates.setVisible(marked)
        self.text.setProperty("role", "" if marked else "muted")
        self.text.style().polish(self.text)
        self.text.setTextFormat(Qt.TextFormat.RichText if marked else Qt.TextFormat.PlainText)
        if hint is None or not marked:
            self.text.setText(question or "Enter a problem first.")
            self.text.setAccessibleName(self.text.text())
            return
        joined = join_hint(question, hint.text, draft.placement)
        start, end = hint_span(question, hint.text, draft.placement)
        before, inside, after = (
            html.escape(t).replace("\n", "<br>") for t in (joined[:start], joined[start:end], joined[end:])
        )
        self.text.setText(f'<span>{before}<u style="color:{current_theme().hinted}">{inside}</u>{after}</span>')
        self.text.setAccessibleName(joined)
        self.text.setAccessibleDescription(f"The hint is: {joined[start:end]}")
        self.gates.render_results(badges)


MAX_TOKENS = 8192
MAX_SEED = 2**31 - 1


class PlanRow(QWidget):
    """How a hint is tried. `changed` carries the `SolvePlan` that the user set."""

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._plan = SolvePlan()
        self._rendering = False
        self.samples = QSpinBox(minimum=1, maximum=MAX_SAMPLES)
        self.tokens, self.seed = QSpinBox(minimum=8, maximum=MAX_TOKENS), QSpinBox(maximum=MAX_SEED)
        self.temperature = QDoubleSpinBox(maximum=5.0, singleStep=0.1, decimals=2)
        self.placebo = QCheckBox("Placebo")
        self.placebo.setToolTip("Also try a placebo: neutral text of the hint's length, in its place")
        self.needed = QCheckBox("Needed text")
        self.needed.setToolTip(captions.NEEDED_TIP)
        for check in (self.placebo, self.needed):
            check.setAccessibleDescription(check.toolTip())
        box = row(parent=self)
        for name, tip, editor in (
            ("Samples", "Solutions of each condition: clean, hinted, placebo, needed text", self.samples),
            ("Temperature", "0 takes the likeliest token every time, so all samples are the same", self.temperature),
            ("Max tokens", "Where a solution is cut off", self.tokens),
            ("Seed", "The same seed draws the same samples again", self.seed),
        ):
            editor.setAccessibleName(name)
            editor.setToolTip(tip)
            editor.setAccessibleDescription(tip)
            editor.setKeyboardTracking(False)
            editor.setMinimumWidth(56)
            ignore_wheel(editor)
            editor.valueChanged.connect(self._on_changed)
            box.addLayout(column(make_label(name, "small"), editor, spacing=2), 1)
        box.addLayout(column(None, self.placebo, self.needed, spacing=2))
        for check in (self.placebo, self.needed):
            check.toggled.connect(self._on_changed)

    def _on_changed(self) -> None:
        plan = replace(
            self._plan, samples=self.samples.value(), max_tokens=self.tokens.value(), seed=self.seed.value(),
            temperature=round(self.temperature.value(), 2), placebo=self.placebo.isChecked(),
            needed=self.needed.isChecked(),
        )  # fmt: skip
        if plan != self._plan and not self._rendering:
            self._plan = plan
            self.changed.emit(plan)

    def render_plan(self, plan: SolvePlan) -> None:
        self._plan, self._rendering = plan, True
        self.samples.setValue(plan.samples)
        self.tokens.setValue(plan.max_tokens)
        self.seed.setValue(min(plan.seed, MAX_SEED))
        self.temperature.setValue(plan.temperature)
        self.placebo.setChecked(plan.placebo)
        self.needed.setChecked(plan.needed)
        self._rendering = False


MODEL_NAME_LENGTH = 24


class ModelButton(QPushButton):
    """The model of one role, Solver or Adversary. A click opens the choice of another."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role
        self.setProperty("kind", "quiet")
        self.setIconSize(QSize(26, 18))
        set_icon(self, "chip", "muted")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def render_choice(self, choice: SolverChoice, state: WorkerState) -> None:
        name, facts = captions.model_name(choice), state.facts
        shown = name if len(name) <= MODEL_NAME_LENGTH else f"{name[: MODEL_NAME_LENGTH - 1]}…"
        served = names_endpoint(choice.model)
        try:
            loaded = not served and facts is not None and Path(facts.path) == model_path(choice)
        except UserError:
            loaded = False
        status = "Loaded when it is needed"
        set_icon(self, "server" if served else "chip", "muted")
        if served:
            status = "An endpoint: its server runs the model"
        elif state.kind is StateKind.LOADING and state.progress < 1:
            shown, status = f"{shown}  {percent(state.progress)}", "Loading"
        elif loaded and facts is not None:
            status = "  ·  ".join(
                (facts.architecture, f"{short_count(facts.n_params)} parameters", byte_size(facts.size_bytes),
                 f"context {facts.n_ctx:,}", count_of(facts.threads, "thread"))
            )  # fmt: skip
        self.setText(shown)
        self.setToolTip(f"{self._role}: {name}\n{status}\nClick to choose another, or drop a GGUF file on the page.")
        self.setAccessibleName(f"{self._role}: {name}")
        self.setAccessibleDescription(status)


class SolveCard(Card):
    """The plan, and the accuracy of each condition with what it means."""

    def __init__(self) -> None:
        super().__init__()
        self.body.setSpacing(SPACE_3)
        self.solver = ModelButton("Solver")
        self.solve = make_button("Solve", "play", kind="primary")
        self.plan = PlanRow()
        self.nothing = make_label(
            "Solve it to see the share of right answers: clean, hinted, with a placebo, and where text after the "
            "question is needed.",
            "muted",
            wrap=True,
        )
        self.bars = IntervalBars("Share of right answers")
        self.effect, self.follows = Badge(BadgeStyle("silent", "", "muted")), Badge(BadgeStyle("bait", "", "muted"))
        self._badges = QWidget()
        self._badges.setMinimumHeight(self.effect.height())
        flow = FlowLayout(self._badges)
        flow.addWidget(self.effect)
        flow.addWidget(self.follows)
        self.unmoved = make_label(CANNOT_MOVE, "small", wrap=True)
        self.summary = make_label("", wrap=True, select=True)
        self.summary.setAlignment(Top)
        self.unread = make_label("", "small", wrap=True, select=True)
        self.unread.setAlignment(Top)
        self.unread.setAccessibleName("Answers that could not be graded")
        set_tone(self.unread, "warn")
        self.unread.setFixedHeight(3 * self.unread.fontMetrics().lineSpacing() + 2)
        head = row(make_card_heading("Solve"), None, self.solver, self.solve, spacing=SPACE_1)
        fill(self.body, head, self.plan, make_rule(), self.nothing, self.bars, self.unmoved, self._badges,
             self.summary, self.unread)  # fmt: skip
        self.render_result(None, None, SolvePlan(), "")

    def render_result(
        self, result: SolveResult | None, hint: DraftHint | None, plan: SolvePlan, question: str
    ) -> None:  # fmt: skip
        """Show a result, complete or not; None for none yet. What is still to come has its place already."""
        self.unmoved.setVisible(plan.needed and bool(question.strip()) and not can_move(question))
        self.nothing.setVisible(result is None)
        for widget in (self.bars, self.summary):
            widget.setVisible(result is not None)
        self._badges.setVisible(result is not None and hint is not None)
        rates = list(captions.rates_of(result))
        if result is not None and not result.complete and not result.cancelled:
            rates += [
                Rate(*captions.CONDITIONS[c], 0, 0, rates[0].planned)
                for c in asked_conditions(plan, question, hinted=hint is not None) if c not in result.conditions
            ]  # fmt: skip
        self.bars.render_rates(rates)
        effect, follows = (
            captions.effect_badge(result),
            captions.follow_badge(result, hint.suggested if hint is not None else None),
        )
        self.effect.setVisible(effect is not None)
        self.follows.setVisible(follows is not None)
        if effect is not None:
            self.effect.render_style(effect)
        if follows is not None:
            self.follows.render_style(follows[0])
            self.follows.setToolTip(follows[1])
            self.follows.setAccessibleDescription(follows[1])
        self.summary.setText(captions.say_result(result))
        # Its place is kept: it comes and goes while solutions arrive.
        self.unread.setVisible(result is not None)
        self.unread.setText(captions.say_unread(result, plan.max_tokens))
        self.unread.setToolTip(self.unread.text())
        self.summary.setMinimumHeight(3 * self.summary.fontMetrics().lineSpacing() + 4 if hint is not None else 0)
