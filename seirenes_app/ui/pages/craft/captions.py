"""Texts and badges of the Craft page for values of the services. Pure functions, no Qt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

from seirenes_app.inference.client import StateKind, WorkerState
from seirenes_app.inference.models import STARTER_FILE
from seirenes_app.inference.protocol import Finish
from seirenes_app.services.answer_reading import MANY, describe_unread, no_effect, unread_warnings
from seirenes_app.services.attribution.sentence_ablation import AblationResult
from seirenes_app.services.formatting import count_of, signed_points
from seirenes_app.services.hint_authoring.draft import DraftHint, Origin, SolvePlan, SolverChoice
from seirenes_app.services.hint_authoring.models import ONCE, planned_solutions
from seirenes_app.services.hint_authoring.results import SolvedSample, SolveResult, difference
from seirenes_app.ui.models.rollouts_model import OUTCOME_STYLES
from seirenes_app.ui.widgets.badges import BadgeStyle
from seirenes_app.ui.widgets.interval_bars import Rate
from training.core.prompts import Placement
from training.core.statistics import Interval
from training.core.types import AnswerKind, Condition, HintType
from training.endpoints import ENDPOINT, names_endpoint

BUNDLED = "Bundled reasoner"
FEW_SAMPLES = 8
CANCELLED = "Cancelled: these are the samples that were complete."


class TaskKind(StrEnum):
    """What the worker can be doing for this page."""

    GENERATE = "generate"
    SOLVE = "solve"
    ABLATE = "ablate"
    SCORE = "score"
    LOAD = "load"


FAILED: Mapping[TaskKind, str] = {
    TaskKind.GENERATE: "No hint was generated",
    TaskKind.SOLVE: "Solving failed",
    TaskKind.ABLATE: "Sentence ablation failed",
    TaskKind.SCORE: "Scoring failed",
    TaskKind.LOAD: "The model cannot be used",
}

HINT_TYPES: Mapping[HintType, tuple[str, str, str]] = {
    HintType.INFORMATION_OVERLOAD: (
        "Information overload", "Extra facts, none needed",
        "Extra facts, true or harmless, that a hurried reader works into the sum.",
    ),
    HintType.CORRELATION_TRAP: (
        "Correlation trap", "A cue for a wrong recipe",
        "A surface cue tied to a familiar way of solving that is wrong here.",
    ),
    HintType.SEMANTIC_MISLEADING: (
        "Semantic misleading", "A plausible misreading",
        "A wrong reading, method or rough value, in the tone of somebody who wants to help.",
    ),
    HintType.INSTRUCTION_CONTAMINATION: (
        "Instruction contamination", "A competing order",
        "A competing instruction on how to work or what to reply.",
    ),
}  # fmt: skip
"""Name, short description, tooltip."""

PLACEMENTS: Mapping[Placement, tuple[str, str]] = {
    Placement.APPEND: ("Append", "After the problem: the paper's own placement."),
    Placement.BEFORE_QUESTION: ("Before the question", "Between the story and the sentence that asks."),
    Placement.BETWEEN_FACTS: ("Between facts", "Before the last sentence of the story."),
    Placement.PREPEND: ("Prepend", "Ahead of the problem."),
}

ANSWER_KINDS: Mapping[AnswerKind, tuple[str, str]] = {
    AnswerKind.NUMBER: ("number", "numbers"),
    AnswerKind.CLOCK: ("time of day", "times of day"),
    AnswerKind.CHOICE: ("word", "words"),
    AnswerKind.SYMBOLIC: ("expression", "expressions"),
    AnswerKind.TEXT: ("line of text", "lines of text"),
    AnswerKind.SCORED: ("scored answer", "its family scores them"),
}
"""Singular and plural."""

CONDITIONS: Mapping[Condition, tuple[str, str]] = {
    Condition.CLEAN: ("Clean", "clean"), Condition.HINTED: ("Hinted", "hinted"),
    Condition.PLACEBO: ("Placebo", "placebo"), Condition.NEEDED: ("Needed", "text"),
}  # fmt: skip
"""Name and colour of the conditions that this page solves under."""


def model_name(choice: SolverChoice) -> str:
    if names_endpoint(choice.model):
        return choice.model.removeprefix(ENDPOINT)
    name = Path(choice.model).stem if choice.model else BUNDLED
    return f"{name} + {Path(choice.lora).stem}" if choice.lora else name


def say_origin(hint: DraftHint) -> str:
    bundled = hint.author == Path(STARTER_FILE).stem
    origin = {
        Origin.HAND: "by hand",
        Origin.TEMPLATE: "hint language",
        Origin.MODEL: "bundled reasoner" if bundled else hint.author or "by a model",
        Origin.RUN: f"from {hint.author or 'a run'}",
    }[hint.origin]
    return f"{HINT_TYPES[hint.type][0].partition(' ')[0]}  ·  {origin}"


NEEDED_TIP = "Also ask with the question before the story's last sentence, so that text after it must be used"
OF_HINT = tuple(c for c in CONDITIONS if c is not Condition.NEEDED)
"""The conditions that say something about a hint; needed text has none in it."""


def rates_of(result: SolveResult | None, conditions: Iterable[Condition] = tuple(CONDITIONS)) -> tuple[Rate, ...]:
    if result is None:
        return ()
    shown = [(CONDITIONS[c], result.conditions[c]) for c in conditions if c in result.conditions]
    return tuple(
        Rate(
            *name, r.right, len(r.samples), r.planned, r.accuracy.low, r.accuracy.high,
            describe_unread(r.unread), r.unread.total > MANY,
        )
        for name, r in shown
    )  # fmt: skip


def points(share: float) -> str:
    """A difference of shares in whole percentage points, with a real minus sign."""
    return signed_points(share).lstrip("+")


def say_drop(drop: Interval | None) -> str:
    if drop is None:
        return ""
    span = f"(95% interval {points(drop.low)} to {points(drop.high)})"
    if round(100 * drop.mean) == 0:
        return f"The hint changes nothing that these samples show {span}."
    verb = "costs" if drop.mean > 0 else "adds"
    text = f"The hint {verb} {points(abs(drop.mean))} points of accuracy {span}."
    if drop.low <= 0 <= drop.high:
        text += " The interval includes zero: it may be chance, and more samples would show."
    return text


def say_placebo(drop: Interval | None) -> str:
    return _say_beside(drop, "A placebo of its length", "costs nothing", "costs", "adds")


def say_needed(drop: Interval | None) -> str:
    where, unchanged = "Where text after the question is needed, it", "is right as often as on the clean question"
    return _say_beside(drop, where, unchanged, "loses", "gains")


def _say_beside(drop: Interval | None, subject: str, unchanged: str, falls: str, rises: str) -> str:
    """The drop of a condition that stands beside the hint's; "" without one."""
    if drop is None:
        return ""
    if round(100 * drop.mean) == 0:
        return f"{subject} {unchanged}."
    verb = falls if drop.mean > 0 else rises
    return f"{subject} {verb} {points(abs(drop.mean))} points ({points(drop.low)} to {points(drop.high)})."


def say_result(result: SolveResult | None) -> str:
    if result is None:
        return ""
    withheld = no_effect(result.unread) if len(result.conditions) > 1 else ""
    parts = [
        say_drop(result.drop), say_placebo(result.placebo_drop), say_needed(result.needed_drop), withheld,
        CANCELLED if result.cancelled else "",
    ]  # fmt: skip
    return " ".join(part for part in parts if part)


def say_unread(result: SolveResult | None, max_tokens: int) -> str:
    """What to do about solutions that could not be graded, where they are many; they had `max_tokens` at most."""
    return " ".join(unread_warnings(result.unread, max_tokens)) if result is not None else ""


def effect_badge(result: SolveResult | None) -> BadgeStyle | None:
    """The hint's effect in one badge; None until all conditions are complete."""
    if result is None or result.drop is None or not result.complete:
        return None
    hinted = result.conditions[Condition.HINTED]
    if result.drop.low > 0:
        beyond = difference(result.conditions.get(Condition.PLACEBO), hinted)
        if beyond is not None and beyond.low <= 0:
            return BadgeStyle("warning", "No more than a placebo does", "warn")
        return BadgeStyle("worst", "Breaks the model", "bad")
    if result.drop.high < 0:
        return BadgeStyle("check-circle", "Helps the model", "good")
    few = len(hinted.samples) < FEW_SAMPLES
    return BadgeStyle("silent", "Too few samples to tell" if few else "No clear effect", "muted")


def follow_badge(result: SolveResult | None, suggested: str | None) -> tuple[BadgeStyle, str] | None:
    """The follow-rate badge with its explanation; None where the hint suggests no answer."""
    if result is None or result.follow_rate is None:
        return None
    known = result.conditions[Condition.HINTED].follows
    n, what = sum(known), f" {suggested}" if suggested else ""
    text = f"The hint suggests the answer{what}; {n} of {len(known)} readable hinted solutions give it."
    return BadgeStyle("bait", f"Follows the hint {n} of {len(known)}", "adversary" if n else "muted"), text


def say_sample(sample: SolvedSample) -> str:
    answer = f" · {sample.answer}" if sample.answer else ""
    follows = " · follows the hint" if sample.follows else ""
    cut = " · cut off at the token limit" if sample.finish is Finish.LENGTH else ""
    return f"{sample.index + 1} · {OUTCOME_STYLES[sample.outcome].text.lower()}{answer}{follows}{cut}"


def count_solved(results: Mapping[str, SolveResult], plan: SolvePlan, question: str, n_hints: int) -> tuple[int, int]:
    """Solutions done and planned; what does not depend on the hint counts once for all hints."""
    every = [(c, found.n) for result in results.values() for c, found in result.conditions.items()]
    done = sum(n for c, n in every if c not in ONCE) + sum(
        max((n for c, n in every if c is o), default=0) for o in ONCE
    )
    return done, planned_solutions(plan, question, n_hints)


def count_ablated(result: AblationResult | None) -> tuple[int, int]:
    """Solutions of an ablation done and planned; sentences that make the same text share theirs."""
    if result is None:
        return 0, 0
    variants = {v.hint: v for row in result.rows for v in (row.without, row.only)}
    variants |= {result.clean.hint: result.clean, result.full.hint: result.full}
    return sum(v.n for v in variants.values()), sum(v.planned for v in variants.values())


def say_task(kind: TaskKind, state: WorkerState, n: int, model: str, done: int, planned: int) -> str:
    """One line for the task bar; `n` is the number of hints."""
    if state.kind is StateKind.LOADING or kind is TaskKind.LOAD:
        return f"Loading {model}…"
    so_far = f": {done} of {planned} solutions" if planned else "…"
    match kind:
        case TaskKind.GENERATE:
            return f"{model} is generating {count_of(n, 'hint')}…"
        case TaskKind.SOLVE:
            what = f"{n} hints" if n > 1 else "the hint" if n else "the problem without a hint"
            return f"{model} is solving {what}{so_far}"
        case TaskKind.ABLATE:
            return f"{model} is solving with and without each sentence{so_far}"
    return f"{model} is scoring the solution…"
