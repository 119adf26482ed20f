"""Read and compare answers, tier 0: exact, in-process, length-capped. Nothing here evaluates model text."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Protocol

from training.core.types import AnswerKind, Outcome, Problem
from training.errors import UserError

ANSWER_MARKER = "####"
MAX_TAIL = 4000
"""Only this many last characters of a completion are read."""
MAX_ANSWER = 200

_MIXED = re.compile(r"(-?\d+)\s+(\d+)\s*/\s*(\d+)")
_FRACTION = re.compile(r"(-?\d+)\s*/\s*(\d+)")
_DECIMAL = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+")
_TRAILING_UNIT = re.compile(r"\s*(?:%|[^\W\d_][\w .'-]*)?\.?\s*")


class SymbolicChecker(Protocol):
    """Tier 1: compares expressions in a killable child."""

    def check(self, given: str, gold: str) -> Outcome:
        """The outcome of one comparison."""
        ...


def parse_number(text: str) -> Fraction | None:
    """An integer, decimal, fraction or mixed number, with thousands commas, a currency sign or a trailing unit."""
    text = text.strip().replace("−", "-").lstrip("$€£ ")
    if not text or len(text) > MAX_ANSWER:
        return None
    for pattern in (_MIXED, _FRACTION, _DECIMAL):
        match = pattern.match(text)
        if match and _TRAILING_UNIT.fullmatch(text, match.end()):
            return _value(pattern, match)
    return None


def _value(pattern: re.Pattern[str], match: re.Match[str]) -> Fraction | None:
    try:
        if pattern is _MIXED:
            whole, top, bottom = (int(g) for g in match.groups())
            part = Fraction(top, bottom)
            return whole - part if match.group(1).startswith("-") else whole + part
        if pattern is _FRACTION:
            return Fraction(int(match.group(1)), int(match.group(2)))
        return Fraction(match.group().replace(",", ""))
    except ZeroDivisionError:
        return None


def parse_clock(text: str) -> int | None:
    """Minutes since twelve of a twelve-hour clock; am and pm are ignored."""
    match = re.fullmatch(r"\s*(\d{1,2}):(\d{2})\s*(?:[ap]\.?m\.?)?\.?\s*", text[:MAX_ANSWER], re.IGNORECASE)
    if match is None:
        return None
    hour, minute = int(match.group(1)), int(match.group(2))
    return hour % 12 * 60 + minute if hour <= 24 and minute < 60 else None


def extract_answer(completion: str) -> str | None:
    r"""What follows the last ``####`` on its line, or stands in the last ``\boxed{…}``; None where there is neither."""
    tail = completion[-MAX_TAIL:]
    marker, box = tail.rfind(ANSWER_MARKER), tail.rfind("\\boxed{")
    if marker > box:
        line = tail[marker + len(ANSWER_MARKER) :].strip(" ").split("\n", 1)[0].strip()
        return line or None
    return _boxed(tail, box + len("\\boxed{")) if box >= 0 else None


def _boxed(text: str, start: int) -> str | None:
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i].strip() or None
    return None


def answers_equal(given: str, gold: str, kind: AnswerKind) -> bool | None:
    """Exact comparison; None where `given` cannot be read. A gold that cannot be read is a UserError."""
    if kind is AnswerKind.CHOICE:
        word = given.strip().rstrip(".").casefold()
        return word == gold.strip().casefold() if word else None
    parse = parse_clock if kind is AnswerKind.CLOCK else parse_number
    wanted = parse(gold)
    if wanted is None:
        raise UserError(f"The gold answer {gold[:60]!r} cannot be read as a {kind}; correct it in the problem set.")
    found = parse(given)
    return None if found is None else found == wanted


class AnswerGrader:
    """Grades completions: right, wrong, unparsable and timed out stay four different things."""

    def __init__(self, symbolic: SymbolicChecker | None = None) -> None:
        self._symbolic = symbolic

    def grade(self, completion: str, problem: Problem) -> Outcome:
        """The outcome of one completion; a gold that cannot be read is a UserError naming the problem."""
        given = extract_answer(completion)
        if given is None:
            return Outcome.UNPARSABLE
        if problem.kind is AnswerKind.SYMBOLIC:
            if self._symbolic is None:
                raise UserError(f"{problem.id}: a symbolic answer needs the symbolic checker, which is not running.")
            return self._symbolic.check(given, problem.answer)
        try:
            equal = answers_equal(given, problem.answer, problem.kind)
        except UserError as error:
            raise UserError(f"{problem.id}: {error}") from error
        if equal is None:
            return Outcome.UNPARSABLE
        return Outcome.RIGHT if equal else Outcome.WRONG
