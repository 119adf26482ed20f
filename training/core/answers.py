"""Read and compare answers, tier 0: exact, in-process, length-capped. Nothing here evaluates model text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from training.core.answer_reader import (
    MAX_ANSWER,
    Quantity,
    Reading,
    Tier,
    read_answer,
    read_quantity,
    same_value,
    without_numbers,
)
from training.core.problems import DAYS
from training.core.types import AnswerKind, Outcome, Problem
from training.errors import UserError

ANSWER_MARKER = "####"


class SymbolicChecker(Protocol):
    """Tier 1: compares expressions in a killable child."""

    def check(self, given: str, gold: str) -> Outcome:
        """The outcome of one comparison."""
        ...


_NUMBER_WITH_UNIT = re.compile(r"\s*0\s*(?:[^\W\d_][\w .'/²³-]*|°\s?\w*|[€£$¥₹])?\.?\s*")


def parse_number(text: str) -> Fraction | None:
    """The number that a gold answer is: digits, with a currency sign, a unit, "3 dozen" or "1.2 million"; else None.

    Stricter than `read_quantity`: nothing but one number and its unit may be there.
    """
    if len(text) > MAX_ANSWER or not any(c.isdecimal() for c in text):
        return None
    found = read_quantity(text)
    if not isinstance(found, Quantity) or not _NUMBER_WITH_UNIT.fullmatch(without_numbers(text)):
        return None
    return found.value


def parse_clock(text: str) -> int | None:
    """Minutes since twelve of a twelve-hour clock; am and pm are ignored."""
    match = re.fullmatch(r"\s*(\d{1,2}):(\d{2})\s*(?:[ap]\.?m\.?)?\.?\s*", text[:MAX_ANSWER], re.IGNORECASE)
    if match is None:
        return None
    hour, minute = int(match.group(1)), int(match.group(2))
    return hour % 12 * 60 + minute if hour <= 24 and minute < 60 else None


def answers_equal(given: str, gold: str, kind: AnswerKind) -> bool | None:
    """Exact comparison; None where `given` cannot be read. A gold that cannot be read is a UserError."""
    if kind is AnswerKind.CHOICE:
        word = given.strip().rstrip(".").casefold()
        return word == gold.strip().casefold() if word else None
    parse = parse_clock if kind is AnswerKind.CLOCK else parse_number
    wanted = parse(gold)
    if wanted is None:
        raise UserError(_bad_gold(gold, kind))
    found = parse(given)
    return None if found is None else found == wanted


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
        self._symbolic = symbolic

    def grade(self, completion: str, problem: Problem, *, truncated: bool = False) -> GradedAnswer:
        """Read and compare one completion; a gold answer that cannot be read is a UserError naming the problem.

        `truncated` says that the token limit cut the completion off.
        """
        read = read_answer(completion, problem.kind, options=choices(problem), truncated=truncated)
        if read.reading is not Reading.FOUND:
            return GradedAnswer(_NOT_READ[read.reading], "", read.tier, read.reason)
        return GradedAnswer(self._compare(read.answer, problem), read.answer, read.tier, read.reason)

    def _compare(self, answer: str, problem: Problem) -> Outcome:
        if problem.kind is AnswerKind.SYMBOLIC:
            if self._symbolic is None:
                raise UserError(f"{problem.id}: a symbolic answer needs the symbolic checker, which is not running.")
            return self._symbolic.check(answer, problem.answer)
        equal = same_value(answer, problem.answer, problem.kind, problem.question)
        if equal is None:
            raise UserError(f"{problem.id}: {_bad_gold(problem.answer, problem.kind)}")
        return Outcome.RIGHT if equal else Outcome.WRONG


def choices(problem: Problem) -> tuple[str, ...]:
    """The words that a CHOICE answer may be, where the problem tells."""
    gold = problem.answer.casefold()
    for words in (DAYS, problem.entities):
        if gold in (word.casefold() for word in words):
            return tuple(words)
    return ()
