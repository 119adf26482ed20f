"""Read and compare answers, tier 0: exact, in-process, length-capped. Nothing here evaluates model text."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from training.core.answer_reader import MAX_ANSWER, Reading, Tier, exact_clock, exact_quantity, read_answer, same_value
from training.core.gym import score_answer
from training.core.problems import DAYS
from training.core.types import AnswerKind, Outcome, Problem
from training.errors import UserError

ANSWER_MARKER = "####"


class SymbolicChecker(Protocol):
    """Tier 1: compares expressions in a killable child."""

    def check(self, given: str, gold: str) -> Outcome:
        """The outcome of one comparison."""
        ...


def parse_number(text: str) -> Fraction | None:
    """The number that a gold answer is: digits, with a currency sign, a unit, "3 dozen" or "1.2 million"; else None.

    Stricter than `read_quantity`: nothing but one number and its unit may be there.
    """
    if len(text) > MAX_ANSWER or not any(c.isdecimal() for c in text):
        return None
    found = exact_quantity(text)
    return None if found is None else found.value


def parse_clock(text: str) -> int | None:
    """Minutes since twelve of a gold answer that is a time of a twelve-hour clock; am and pm are ignored."""
    return exact_clock(text[:MAX_ANSWER])


def is_readable(gold: str, kind: AnswerKind) -> bool:
    """Whether answers can be compared with this gold answer."""
    if kind is AnswerKind.NUMBER:
        return parse_number(gold) is not None
    return parse_clock(gold) is not None if kind is AnswerKind.CLOCK else bool(gold.strip())


def _bad_gold(gold: str, kind: AnswerKind) -> str:
    return f"The gold answer {gold[:60]!r} cannot be read as a {kind}; correct it in the problem set."


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """The outcome of a completion, the answer that was read, and where it was found. `reason` is for a person."""

    outcome: Outcome
    answer: str
    tier: Tier
    reason: str


_NOT_READ = {
    Reading.NOTHING: Outcome.UNPARSABLE,
    Reading.AMBIGUOUS: Outcome.AMBIGUOUS,
    Reading.TRUNCATED: Outcome.TRUNCATED,
}


class AnswerGrader:
    """Grades completions. Only RIGHT is rewarded; the other outcomes stay different things."""

    def __init__(self, symbolic: SymbolicChecker | None = None) -> None:
        self.symbolic = symbolic

    def grade(self, completion: str, problem: Problem, *, truncated: bool = False) -> GradedAnswer:
        """Read and compare one completion; a gold answer that cannot be read is a UserError naming the problem.

        `truncated` says that the token limit cut the completion off.
        """
        read = read_answer(
            completion, problem.kind, question=problem.question, options=choices(problem), truncated=truncated
        )
        if read.reading is not Reading.FOUND:
            return GradedAnswer(_NOT_READ[read.reading], "", read.tier, read.reason)
        return GradedAnswer(self._compare(read.answer, problem), read.answer, read.tier, read.reason)

    def _compare(self, answer: str, problem: Problem) -> Outcome:
        if problem.kind is AnswerKind.SYMBOLIC:
            if self.symbolic is None:
                raise UserError(f"{problem.id}: a symbolic answer needs the symbolic checker, which is not running.")
            return self.symbolic.check(answer, problem.answer)
        if problem.kind is AnswerKind.SCORED:
            return score_answer(answer, problem)
        equal = same_value(answer, problem.answer, problem.kind, problem.question)
        if equal is None:
            raise UserError(f"{problem.id}: {_bad_gold(problem.answer, problem.kind)}")
        return Outcome.RIGHT if equal else Outcome.WRONG


def choices(problem: Problem) -> tuple[str, ...]:
    """The words that a CHOICE answer may be, where the problem tells."""
    if problem.options:
        return problem.options
    gold = problem.answer.casefold()
    for words in (DAYS, problem.entities):
        if gold in (word.casefold() for word in words):
            return tuple(words)
    return ()
