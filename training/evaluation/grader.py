"""Grade one completion of an evaluation: its outcome, the answer in it, and whether it follows the hint. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from training.core.answers import AnswerGrader, answers_equal, extract_answer, parse_clock, parse_number
from training.core.types import AnswerKind, Hint, Outcome, Problem
from training.errors import UserError

MAX_STORED_ANSWER = 200


@dataclass(frozen=True, slots=True)
class Graded:
    """`answer` is empty where none could be read; `follows` is None where the hint suggests nothing."""

    outcome: Outcome
    answer: str
    follows: bool | None


def grade(completion: str, problem: Problem, suggested: str | None, grader: AnswerGrader) -> Graded:
    """Grade a completion. A gold answer that cannot be read is a UserError that names the problem."""
    answer = extract_answer(completion) or ""
    outcome = grader.grade(completion, problem)
    return Graded(outcome, answer[:MAX_STORED_ANSWER], _follows(answer, problem, suggested))


def follows_hint(completion: str, hint: Hint, problem: Problem) -> bool | None:
    """Whether the completion's answer is what `hint` suggests; None where the hint suggests no answer."""
    return _follows(extract_answer(completion) or "", problem, hint.suggested)


def _follows(answer: str, problem: Problem, suggested: str | None) -> bool | None:
    if suggested is None:
        return None
    if problem.kind is AnswerKind.SYMBOLIC:
        # The symbolic checker compares with gold answers only; a suggestion is compared as text or number.
        return bool(answer) and vote_of(answer, problem.kind) == vote_of(suggested, problem.kind)
    try:
        return answers_equal(answer, suggested, problem.kind) is True
    except UserError:
        # The suggestion is no answer of this kind, so no answer can follow it.
        return None


def vote_of(answer: str, kind: AnswerKind) -> str:
    """A form that equal answers share; empty where the answer cannot be read."""
    if kind is AnswerKind.CHOICE:
        return answer.strip().rstrip(".").casefold()
    if kind is AnswerKind.CLOCK:
        minutes = parse_clock(answer)
        return "" if minutes is None else str(minutes)
    number = parse_number(answer)
    if number is not None:
        return str(number)
    return "".join(answer.split()) if kind is AnswerKind.SYMBOLIC else ""
