"""Grade one completion of an evaluation: its outcome, the answer in it, and whether it follows the hint. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from training.core.answer_reader import Tier, plain_text, same_value
from training.core.answers import AnswerGrader, SymbolicChecker, parse_clock, parse_number
from training.core.types import AnswerKind, Outcome, Problem
from training.errors import UserError

MAX_STORED_ANSWER = 200


@dataclass(frozen=True, slots=True)
class Graded:
    """`answer` is empty where none could be read; `follows` is None there too, and where the hint suggests nothing."""

    outcome: Outcome
    answer: str
    follows: bool | None
    tier: Tier


def grade(
    completion: str, problem: Problem, suggested: str | None, grader: AnswerGrader, truncated: bool = False
) -> Graded:
    """Grade a completion. A gold answer that cannot be read is a UserError that names the problem."""
    found = grader.grade(completion, problem, truncated=truncated)
    answer = found.answer
    follows = follows_hint(answer, problem, suggested, grader.symbolic)
    return Graded(found.outcome, answer[:MAX_STORED_ANSWER], follows, found.tier)


def follows_hint(
    answer: str, problem: Problem, suggested: str | None, symbolic: SymbolicChecker | None = None
) -> bool | None:
    """Whether an answer is what the hint suggests; None where it suggests none of this kind, or none was read.

    Without `symbolic` mathematics is compared as text or number.
    """
    if suggested is None or not answer:
        return None
    if problem.kind is not AnswerKind.SYMBOLIC:
        return same_value(answer, suggested, problem.kind, problem.question)
    if vote_of(answer, problem.kind) == vote_of(suggested, problem.kind):
        return True
    try:
        return symbolic is not None and symbolic.check(answer, suggested) is Outcome.RIGHT
    except UserError:
        # The suggestion is no mathematics, so no answer can follow it.
        return None


def vote_of(answer: str, kind: AnswerKind) -> str:
    """A form that equal answers share; empty where the answer cannot be read."""
    if kind in (AnswerKind.TEXT, AnswerKind.SCORED):
        return plain_text(answer)
    if kind is AnswerKind.CHOICE:
        return answer.strip().rstrip(".").casefold()
    if kind is AnswerKind.CLOCK:
        minutes = parse_clock(answer)
        return "" if minutes is None else str(minutes)
    number = parse_number(answer)
    if number is not None:
        return str(number)
    return "".join(answer.split()) if kind is AnswerKind.SYMBOLIC else ""
