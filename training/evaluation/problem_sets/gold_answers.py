"""Find the gold answer in what a set wrote, and say how it will be compared. Refuses what the checker would misread.

The spelling of a number is made plain ("$1,200" is 1200). An expression counts only if the killable child can read it,
a word only where it stands in the question. Anything else is reported, never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from training.core.answer_reader import MAX_ANSWER
from training.core.answers import ANSWER_MARKER, SymbolicChecker, is_readable, parse_clock, parse_number
from training.core.types import AnswerKind, Outcome
from training.errors import UserError
from training.evaluation.problem_sets.types import Reason, excerpt

_CALCULATOR = re.compile(r"<<[^<>\n]{0,200}>>")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s*\{([^{}\\]*)\}")
# "5", "-1,200.50", "3/4", "1 1/2", then perhaps % or words of a unit; not "10x", "1e5" or "3 or 4".
_NUMBER = re.compile(
    r"([-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?|-?\d+\s+\d+\s*/\s*\d+|-?\d+\s*/\s*\d+)\s*(%|[^\d%]*)"
)
_UNIT = re.compile(r"(?:\s+[^\W\d_][\w.'’-]+){1,4}\s*")
_SEVERAL = re.compile(r"\b(?:or|and)\b|;", re.IGNORECASE)
# Words that a formula may hold; any other word of three letters is prose.
_FORMULA_WORDS = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log exp min max gcd lcm mod sqrt inf infty and".split()
)
_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORD = re.compile(r"[^\W\d_]{3,}")
_TWO_WORDS = re.compile(r"(?<![^\W\d_])[^\W\d_]{2}\s+[^\W\d_]{2,}")
_LETTER = re.compile(r"[A-Ha-h]")


@dataclass(frozen=True, slots=True)
class Gold:
    """The answer in its plain spelling, and how it is compared."""

    text: str
    kind: AnswerKind


@dataclass(frozen=True, slots=True)
class NoGold:
    """Why there is no answer to compare with."""

    reason: Reason
    detail: str


def cell_text(value: Any) -> str:
    """A cell as text; "" for nothing, for a truth value and for what is no text and no number.

    Numbers are written out, because the checker would read "1e-07" as 1.
    """
    if isinstance(value, list | tuple) and len(value) == 1:
        return cell_text(value[0])
    if isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int):
        return str(value) if abs(value) < 10**MAX_ANSWER else ""
    if isinstance(value, float | Decimal):
        number = Decimal(str(value))
        if not number.is_finite() or abs(number.adjusted()) > MAX_ANSWER:
            return ""
        return str(int(number)) if number == number.to_integral_value() else f"{number:f}"
    return ""


def without_calculator(solution: str) -> str:
    return _CALCULATOR.sub("", solution)


def find_answer(text: str) -> str | NoGold:
    r"""What follows ``####``, or stands in ``\boxed{…}``, or the whole text. Several that differ are none."""
    if ANSWER_MARKER in text:
        found = [part.strip().split("\n", 1)[0].strip() for part in text.split(ANSWER_MARKER)[1:]]
    elif _BOX.search(text):
        found = _boxes(text)
        if not found:
            return NoGold(Reason.UNREADABLE, "a \\boxed{ in it is never closed")
    else:
        found = [text.strip()]
    distinct = [answer for n, answer in enumerate(found) if not any(same_answer(answer, other) for other in found[:n])]
    if len(distinct) > 1:
        listed = ", ".join(repr(excerpt(answer)[:30]) for answer in distinct[:3])
        return NoGold(Reason.MANY_ANSWERS, f"it marks {len(distinct)} different answers: {listed}")
    return distinct[0] if distinct[0] else NoGold(Reason.NO_ANSWER, "nothing stands where the answer should")


def same_answer(a: str, b: str, symbolic: SymbolicChecker | None = None) -> bool:
    """Whether two golds mean the same: equal numbers, equal words, or equal mathematics where there is a checker."""
    if a.casefold() == b.casefold():
        return True
    first, second = _plain_number(a), _plain_number(b)
    if first is not None and second is not None:
        return parse_number(first) == parse_number(second)
    if symbolic is None or (first is not None and second is not None):
        return False
    try:
        return symbolic.check(a, b) is Outcome.RIGHT
    except UserError:
        return False


def _boxes(text: str) -> list[str]:
    found = []
    for match in _BOX.finditer(text):
        depth, start = 1, match.end()
        for at in range(start, min(len(text), start + 2000)):
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            if depth == 0:
                found.append(text[start:at].strip())
                break
    return found


def read_gold(
    answer: str,
    question: str,
    claimed: AnswerKind | None,
    kinds: frozenset[AnswerKind],
    symbolic: SymbolicChecker | None,
) -> Gold | NoGold:
    """The gold as it will be compared: by the kind it is claimed to be, or by its form."""
    answer = _unwrapped(answer)
    if len(answer) > MAX_ANSWER:
        return NoGold(Reason.UNREADABLE, f"it has {len(answer)} characters; at most {MAX_ANSWER} are compared")
    if claimed is not None:
        return _as_claimed(answer, claimed, symbolic)
    if AnswerKind.NUMBER in kinds and (number := _plain_number(answer)) is not None:
        return Gold(number, AnswerKind.NUMBER)
    if AnswerKind.CLOCK in kinds and parse_clock(answer) is not None:
        return Gold(answer, AnswerKind.CLOCK)
    if AnswerKind.CHOICE in kinds and (word := _choice(answer, question)):
        return Gold(word, AnswerKind.CHOICE)
    if _SEVERAL.search(answer) and re.search(r"\d", answer) and "\\" not in answer:
        return NoGold(Reason.MANY_ANSWERS, f"{excerpt(answer)!r} names more than one")
    if AnswerKind.SYMBOLIC in kinds:
        return _symbolic(answer, symbolic)
    names = {AnswerKind.NUMBER: "number", AnswerKind.CLOCK: "time", AnswerKind.CHOICE: "word of the question"}
    wanted = " and no ".join(name for kind, name in names.items() if kind in kinds)
    return NoGold(Reason.UNREADABLE, f"{excerpt(answer)!r} is no {wanted}")


def _unwrapped(answer: str) -> str:
    answer = answer.strip()
    if len(answer) > 2 and answer.startswith("$") and answer.endswith("$") and answer.count("$") == 2:
        answer = answer[1:-1].strip()
    whole = _WRAPPED.fullmatch(answer)
    return whole.group(1).strip() if whole else answer


def _as_claimed(answer: str, kind: AnswerKind, symbolic: SymbolicChecker | None) -> Gold | NoGold:
    if kind is AnswerKind.SYMBOLIC:
        return _symbolic(answer, symbolic)
    if kind is AnswerKind.NUMBER:
        number = _plain_number(answer)
        return NoGold(Reason.UNREADABLE, f"{excerpt(answer)!r} is no number") if number is None else Gold(number, kind)
    if kind is AnswerKind.CLOCK and parse_clock(answer) is None:
        return NoGold(Reason.UNREADABLE, f"{excerpt(answer)!r} is no time such as 7:45")
    if kind in (AnswerKind.TEXT, AnswerKind.SCORED) and is_readable(answer, kind):
        # As it is written: a scorer is given this very text.
        return Gold(answer, kind)
    return Gold(answer.rstrip("."), kind) if answer.rstrip(".") else NoGold(Reason.NO_ANSWER, "it is empty")


def _plain_number(text: str) -> str | None:
    """The number without commas, currency and unit; None where the checker would read something else into it."""
    text = text.strip().replace("−", "-").replace("\\$", "$").replace("\\%", "%").replace("{,}", ",")
    text = text.lstrip("$€£ ").rstrip(". ") if not text.startswith("-$") else "-" + text[2:]
    match = _NUMBER.fullmatch(text)
    if match is None or not re.search(r"\d", match.group(1)):
        return None
    number, unit = " ".join(match.group(1).split()), match.group(2)
    if unit not in ("", "%") and (_UNIT.fullmatch(text[match.end(1) :]) is None or _SEVERAL.search(unit)):
        return None
    plain = number.replace(",", "").removeprefix("+")
    return plain if parse_number(plain) is not None else None


def _choice(answer: str, question: str) -> str:
    """The answer where it is a word or a few of the question; a single letter only where it names an option there."""
    word = answer.rstrip(".").strip("()")
    if not word or not re.fullmatch(r"[^\W_][\w .'’-]*", word):
        return ""
    if _LETTER.fullmatch(word):
        return word if re.search(rf"(?:^|[\s(]){word.upper()}\s?[).:]", question) else ""
    if len(word) < 2:
        return ""
    return word if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", question, re.IGNORECASE) else ""


def _symbolic(answer: str, symbolic: SymbolicChecker | None) -> Gold | NoGold:
    bare = _COMMAND.sub(" ", _WRAPPED.sub(" ", answer))
    if _TWO_WORDS.search(bare) or any(word.casefold() not in _FORMULA_WORDS for word in _WORD.findall(bare)):
        return NoGold(Reason.UNREADABLE, f"{excerpt(answer)!r} is no number, no word of the question and no formula")
    if symbolic is None:
        return NoGold(Reason.UNREADABLE, f"{excerpt(answer)!r} needs the symbolic checker, which is not running")
    try:
        outcome = symbolic.check(answer, answer)
        # What equals itself at once, by its spelling, may still take for ever beside anything else.
        beside = symbolic.check("0", answer) if outcome is Outcome.RIGHT else outcome
    except UserError:
        return NoGold(Reason.UNREADABLE, f"{excerpt(answer)!r} cannot be read as mathematics")
    if beside is Outcome.TIMED_OUT:
        return NoGold(Reason.UNREADABLE, f"{excerpt(answer)!r} took the checker too long")
    if outcome is not Outcome.RIGHT:
        return NoGold(Reason.UNREADABLE, f"{excerpt(answer)!r} does not equal itself for the checker")
    return Gold(answer, AnswerKind.SYMBOLIC)
