"""What the Craft page says of figures, in words. Pure functions, no Qt.

What is going on, in words and numbers, for the strip at the foot of the page. Pure functions, no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from seirenes_app.inference.client import StateKind, WorkerState
from seirenes_app.inference.models import STARTER_FILE
from seirenes_app.services.attribution.sentence_ablation import AblationResult
from seirenes_app.services.hint_authoring.conditions import planned_samples
from seirenes_app.services.hint_authoring.draft import DraftHint, Origin, SolvePlan, SolverChoice
from seirenes_app.services.hint_authoring.results import ConditionResult, SolvedSample, SolveResult, difference
from seirenes_app.ui.widgets.badges import BadgeStyle
from seirenes_app.ui.widgets.interval_bars import Rate
from training.core.prompts import Placement
from training.core.statistics import Interval
from training.core.types import AnswerKind, Condition, HintType, Outcome

BUNDLED = "Bundled reasoner"


class Work(StrEnum):
    """What can be going on."""

    GENERATE = "generate"
    """A model writes candidates."""
    SOLVE = "solve"
    """One candidate is solved, or several in turn."""
    ABLATE = "ablate"
    """The sentences of a candidate are tried one by one."""
    HEAT = "heat"
    """A solution is scored token by token."""
    LOAD = "load"
    """A model is tried before it is chosen."""


def model_name(choice: SolverChoice) -> str:
    """A choice in a word or two."""
    name = Path(choice.model).stem if choice.model else BUNDLED
    return f"{name} + {Path(choice.lora).stem}" if choice.lora else name


TYPE_WORDS: Mapping[HintType, tuple[str, str, str]] = {
    HintType.INFORMATION_OVERLOAD: (
        "Information overload", "Extra facts, none needed",
        "Extra facts, true or harmless, that a hurried reader works into the sum.",
    ),
    HintType.CORRELATION_TRAP: (
        "Correlation trap", "A cue for a wrong recipe",
        "A surface cue tied to a familiar way of solving that is wrong here.",
    ),
    HintType.SEMANTIC_MISLEADING: (
        "Semantic misleading", "A plausible wrong reading",
        "A wrong reading, method or rough value, in the tone of somebody who wants to help.",
    ),
    HintType.INSTRUCTION_CONTAMINATION: (
        "Instruction contamination", "A competing order",
        "A competing instruction on how to work or what to reply.",
    ),
}  # fmt: skip


PLACEMENT_WORDS: Mapping[Placement, tuple[str, str]] = {
    Placement.APPEND: ("Append", "After the problem: the paper's own placement."),
    Placement.BEFORE_QUESTION: ("Before the question", "Between the story and the sentence that asks."),
    Placement.PREPEND: ("Prepend", "Ahead of the problem."),
}


KIND_WORDS: Mapping[AnswerKind, str] = {
    AnswerKind.NUMBER: "number",
    AnswerKind.CLOCK: "time of day",
    AnswerKind.CHOICE: "word",
    AnswerKind.SYMBOLIC: "expression",
}


ORIGIN_WORDS: Mapping[Origin, str] = {
    Origin.HAND: "by hand", Origin.TEMPLATE: "template", Origin.MODEL: "by a model", Origin.RUN: "from a run",
}  # fmt: skip


CONDITION_NAMES: Mapping[Condition, str] = {
    Condition.CLEAN: "Clean",
    Condition.HINTED: "Hinted",
    Condition.PLACEBO: "Placebo",
}


OUTCOME_LOOKS: Mapping[Outcome, BadgeStyle] = {
    Outcome.RIGHT: BadgeStyle("check", "Right", "good"),
    Outcome.WRONG: BadgeStyle("error", "Wrong", "bad"),
    Outcome.UNPARSABLE: BadgeStyle("silent", "No answer", "warn"),
    Outcome.TIMED_OUT: BadgeStyle("clock", "Not checked in time", "warn"),
}


FEW = 8


def say_origin(candidate: DraftHint) -> str:
    """Its type, and where it comes from."""
    word = TYPE_WORDS[candidate.type][0].partition(" ")[0]
    by = ORIGIN_WORDS[candidate.origin]
    if candidate.author and candidate.origin in (Origin.MODEL, Origin.RUN):
        by = _model_words(candidate.author) if candidate.origin is Origin.MODEL else f"from {candidate.author}"
    return f"{word}  ·  {by}"


def _model_words(author: str) -> str:
    return "bundled reasoner" if author == Path(STARTER_FILE).stem else author


def rates_of(result: SolveResult | None) -> tuple[Rate, ...]:
    """The arms that were asked for, as bars."""
    if result is None:
        return ()
    return tuple(_rate(result.conditions[arm]) for arm in Condition if arm in result.conditions)


def _rate(arm: ConditionResult) -> Rate:
    return Rate(
        CONDITION_NAMES[arm.condition],
        _COLOURS[arm.condition],
        arm.right,
        len(arm.samples),
        arm.planned,
        arm.low,
        arm.high,
    )


_COLOURS = {Condition.CLEAN: "clean", Condition.HINTED: "hinted", Condition.PLACEBO: "placebo"}


def points(share: float) -> str:
    """A difference of shares in whole percentage points, with a real minus sign."""
    return f"{round(100 * share):d}".replace("-", "−")


def signed(share: float) -> str:
    """The same, always with its sign."""
    rounded = round(100 * share)
    return f"{rounded:+d}".replace("-", "−") if rounded else "0"


def say_drop(drop: Interval | None) -> str:
    """What the hint does to accuracy."""
    if drop is None:
        return ""
    span = f"(95% interval {points(drop.low)} to {points(drop.high)})"
    if round(100 * drop.mean) == 0:
        return f"The hint changes nothing that these samples show {span}."
    verb = "costs" if drop.mean > 0 else "adds"
    text = f"The hint {verb} {points(abs(drop.mean))} points of accuracy {span}."
    if drop.low <= 0 <= drop.high:
        text += " The interval includes zero: it may be chance, and more samples would tell."
    return text


def say_placebo(drop: Interval | None) -> str:
    """What the placebo, neutral words of the same length, does."""
    if drop is None:
        return ""
    if round(100 * drop.mean) == 0:
        return "A placebo of its length costs nothing."
    verb = "costs" if drop.mean > 0 else "adds"
    span = f"({points(drop.low)} to {points(drop.high)})"
    return f"A placebo of its length {verb} {points(abs(drop.mean))} points {span}."


def verdict_look(result: SolveResult | None) -> BadgeStyle | None:
    """What came of it in one badge; None until both arms are there."""
    if result is None or result.drop is None or not result.complete:
        return None
    if result.drop.low > 0:
        beyond = difference(result.conditions.get(Condition.PLACEBO), result.conditions[Condition.HINTED])
        if beyond is not None and beyond.low <= 0:
            return BadgeStyle("warning", "No more than a placebo does", "warn")
        return BadgeStyle("worst", "Breaks the solver", "bad")
    if result.drop.high < 0:
        return BadgeStyle("check-circle", "Helps the solver", "good")
    few = len(result.conditions[Condition.HINTED].samples) < FEW
    return BadgeStyle("silent", "Too few samples to tell" if few else "No clear effect", "muted")


def follow_look(result: SolveResult | None, suggested: str | None) -> tuple[BadgeStyle, str] | None:
    """The follow-the-hint badge with its explanation; None where the hint suggests no answer."""
    hinted = result.conditions.get(Condition.HINTED) if result is not None else None
    told = [s for s in hinted.samples if s.follows is not None] if hinted is not None else []
    if not told:
        return None
    n = sum(bool(s.follows) for s in told)
    what = f" {suggested}" if suggested else ""
    why = f"The hint suggests the answer{what}; {n} of {len(told)} hinted solutions give it."
    return BadgeStyle("bait", f"Follows the hint {n} of {len(told)}", "adversary" if n else "muted"), why


def say_sample(sample: SolvedSample) -> str:
    """A sample in a list: its number, its outcome, its answer."""
    answer = f" · {sample.answer}" if sample.answer else ""
    bait = " · follows the hint" if sample.follows else ""
    return f"{sample.index + 1} · {OUTCOME_LOOKS[sample.outcome].text.lower()}{answer}{bait}"


def say_progress(result: SolveResult | None) -> tuple[int, int]:
    """Samples that are there, and planned, over all arms."""
    if result is None:
        return 0, 0
    return sum(len(a.samples) for a in result.conditions.values()), sum(a.planned for a in result.conditions.values())


FAILED: Mapping[Work, str] = {
    Work.GENERATE: "Nothing was written",
    Work.SOLVE: "It was not solved",
    Work.ABLATE: "The sentences were not tried",
    Work.HEAT: "Nothing was scored",
    Work.LOAD: "That model cannot be used",
}


def count_solved(results: Mapping[str, SolveResult], plan: SolvePlan, n_candidates: int) -> tuple[int, int]:
    """Solutions that are there and planned, the clean arm once over all candidates."""
    each = planned_samples(plan)
    arms = n_candidates * (2 if plan.placebo else 1) + 1
    done = sum(
        len(a.samples) for r in results.values() for arm, a in r.conditions.items() if arm is not Condition.CLEAN
    )
    clean = max(
        (len(r.conditions[Condition.CLEAN].samples) for r in results.values() if Condition.CLEAN in r.conditions),
        default=0,
    )
    return done + clean, arms * each


def count_tried(result: AblationResult | None) -> tuple[int, int]:
    """Solutions of an ablation that are there and planned; sentences that make the same text share theirs."""
    if result is None:
        return 0, 0
    variants = {v.hint: v for row in result.rows for v in (row.without, row.only)}
    variants |= {result.clean.hint: result.clean, result.full.hint: result.full}
    return sum(v.n for v in variants.values()), sum(v.planned for v in variants.values())


def say_work(work: Work | None, state: WorkerState, n: int, who: str, done: int, planned: int) -> str:
    """One line; `n` candidates, `who` is the model at work."""
    if work is None:
        return ""
    if state.kind is StateKind.LOADING or work is Work.LOAD:
        return f"Loading {who}…"
    so_far = f": {done} of {planned} solutions" if planned else "…"
    match work:
        case Work.GENERATE:
            return f"{who} is writing {n} {'hint' if n == 1 else 'hints'}…"
        case Work.SOLVE:
            what = f"{n} candidates" if n > 1 else "the candidate" if n else "the problem alone"
            return f"{who} is solving {what}{so_far}"
        case Work.ABLATE:
            return f"{who} is solving with and without each sentence{so_far}"
    return f"{who} is scoring the solution…"
