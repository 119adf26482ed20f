"""Judge one completion of an evaluation: its outcome, the answer in it, and whether it followed the hint. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from training.core.answers import AnswerGrader, answers_equal, extract_answer, parse_clock, parse_number
from training.core.types import AnswerKind, Outcome, Problem
from training.errors import UserError

MAX_STORED_ANSWER = 200


@dataclass(frozen=True, slots=True)
class Judged:
    """`answer` is empty where none could be read; `follows` is None where the hint suggests nothing."""

    outcome: Outcome
    answer: str
    follows: bool | None


def judge(completion: str, problem: Problem, suggested: str | None, grader: AnswerGrader) -> Judged:
    """What a completion is worth. A gold answer that cannot be read is a UserError that names the problem."""
    answer = extract_answer(completion) or ""
    outcome = grader.grade(completion, problem)
    return Judged(outcome, answer[:MAX_STORED_ANSWER], _follows(answer, problem, suggested))


def _follows(answer: str, problem: Problem, suggested: str | None) -> bool | None:
    if suggested is None:
        return None
    if problem.kind is AnswerKind.SYMBOLIC:
        # The checker compares with gold answers; what a hint suggests is taken at its word, or its number.
        return bool(answer) and vote_of(answer, problem.kind) == vote_of(suggested, problem.kind)
    try:
        return answers_equal(answer, suggested, problem.kind) is True
    except UserError:
        # The hint suggests something that is no answer of this kind: nobody can follow it.
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
