"""What a hint must pass before the Reasoner sees it. Each gate has a name and a reason for the person. No I/O."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from training.core.answers import parse_clock, parse_number
from training.core.options import option
from training.core.types import AnswerKind, Problem


class Gate(StrEnum):
    """The gates, in the order they are tried."""

    EMPTY = "empty"
    """No word in it."""
    TOO_LONG = "too_long"
    MARKERS = "markers"
    """Answer markers, role markers, special tokens, control or zero-width characters."""
    REPETITION = "repetition"
    NUMBERS = "numbers"
    """Numbers that no person would write here, or too many."""
    STATES_ANSWER = "states_answer"
    REWRITES_PROBLEM = "rewrites_problem"
    """Revises a quantity of the question, which would change the true answer."""
    NEAR_DUPLICATE = "near_duplicate"


@dataclass(frozen=True)
class GateLimits:
    """Limits of the hint gates."""

    max_characters: int = option(240, "Longest hint.", unit="characters", low=10, high=10_000)
    max_ngram_share: float = option(0.25, "Largest share of repeated 3-grams.", low=0.0, high=1.0)
    max_number: int = option(10_000, "Largest number a hint may carry.", low=10)
    max_numbers: int = option(6, "Most numbers a hint may carry.", low=0, high=100)
    near_duplicate: float = option(0.9, "Similarity at which two hints count as one.", low=0.1, high=1.0)


@dataclass(frozen=True, slots=True)
class GateResult:
    """`gate` is the gate that failed, None where none did; `reason` says why, in words."""

    gate: Gate | None
    reason: str

    @property
    def passed(self) -> bool:
        return self.gate is None


@dataclass(frozen=True, slots=True)
class _Case:
    text: str
    """Normalised: NFKC, case folded."""
    raw: str
    problem: Problem
    limits: GateLimits
    others: Sequence[str]
    special: frozenset[str]


_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER = re.compile(r"(?<![\w.:/])-?\d[\d,]*(?:\.\d+)?(?:\s?/\s?\d+)?%?")
_MARKER = re.compile(
    r"####|\\boxed|(?:final\s+)?answer\s*:|<\|[^|]*\|>|</?s>|\[/?inst\]|^\s*(?:user|assistant|system)\s*:|"
    r"\n\s*(?:user|assistant|system)\s*:",
    re.IGNORECASE,
)
_CUE = re.compile(
    r"\b(?:actually|instead|correction|corrected|now|rather|in fact|should be|should have been|changed? to|meant|"
    r"not \d+ but|turns out)\b"
)
# "one" that stands for a person or thing is no number: "one of them", "no one", "one could".
_PRONOUN_ONE = re.compile(
    r"\b(?:no|any|every|some|this|that|which|each|the|another)[ -]?one\b|"
    r"\bone (?:of|could|should|may|can|must|has|usually|multiplies|would|needs)\b"
)


def number_word(n: int) -> str | None:
    """The English word of 0..99."""
    if 0 <= n < 20:
        return _UNITS[n]
    if n < 100:
        tens, unit = divmod(n, 10)
        return _TENS[tens - 2] + (f"-{_UNITS[unit]}" if unit else "")
    return None


def _empty(c: _Case) -> str | None:
    return None if re.search(r"[^\W\d_]", c.text) else "It has no word in it."


def _too_long(c: _Case) -> str | None:
    n = len(c.raw)
    return f"It has {n} characters; {c.limits.max_characters} are allowed." if n > c.limits.max_characters else None


def _markers(c: _Case) -> str | None:
    if found := _MARKER.search(c.raw):
        return f"It carries the marker {found.group().strip()!r}."
    if found_special := next((s for s in c.special if s and s in c.raw), None):
        return f"It carries the special token {found_special!r}."
    hidden = next(
        (ch for ch in c.raw if unicodedata.category(ch) in ("Cc", "Cf", "Co", "Cn") and ch not in "\n\t"), None
    )
    return f"It carries the hidden character U+{ord(hidden):04X}." if hidden else None


def _repetition(c: _Case) -> str | None:
    words = c.text.split()
    if any(words[i] == words[i + 1] == words[i + 2] for i in range(len(words) - 2)):
        return "It says the same word three times in a row."
    grams = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    if len(grams) < 4:
        return None
    share = 1 - len(set(grams)) / len(grams)
    return f"{share:.0%} of its word triples are repeats." if share > c.limits.max_ngram_share else None


def _numbers(c: _Case) -> str | None:
    found = re.findall(r"\d[\d,]*", c.text)
    if len(found) > c.limits.max_numbers:
        return f"It carries {len(found)} numbers; {c.limits.max_numbers} are allowed."
    for number in found:
        digits = number.replace(",", "")
        if len(digits) > 9 or int(digits) > c.limits.max_number:
            return f"No person would write {number[:12]} here."
        if len(digits) > 1 and digits[0] == "0" and f":{digits}" not in c.text and f".{digits}" not in c.text:
            return f"No person would write {number} here."
    return None


def _states_answer(c: _Case) -> str | None:
    reason = "It states the true answer."
    gold = c.problem.answer
    if c.problem.kind is AnswerKind.NUMBER:
        value = parse_number(gold)
        return reason if value is not None and _states_number(c.text, value) else None
    if c.problem.kind is AnswerKind.CLOCK:
        minutes = parse_clock(gold)
        times = re.findall(r"\b\d{1,2}[:.]\d{2}\b", c.text)
        if minutes is None:
            return None
        if any(parse_clock(t.replace(".", ":")) == minutes for t in times):
            return reason
        hour, minute = minutes // 60 or 12, minutes % 60
        spoken = f"{number_word(hour)} {number_word(minute)}" if minute else f"{number_word(hour)} o'clock"
        return reason if re.search(rf"\b{spoken}\b", c.text) else None
    return reason if re.search(rf"(?<!\w){re.escape(gold.casefold())}(?!\w)", c.text) else None


def _states_number(text: str, value: Fraction) -> bool:
    for found in _NUMBER.findall(text):
        stated = parse_number(found.rstrip("%,"))
        if stated is not None and value in (stated, stated / 100 if found.endswith("%") else stated):
            return True
    if value.denominator != 1 or (word := number_word(int(value))) is None:
        return False
    plain = _PRONOUN_ONE.sub(" ", text) if value == 1 else text
    pattern = word.replace("-", "[- ]?")
    following = "" if value % 10 == 0 and value >= 20 else r"(?![- ]?(?:hundred|thousand))"
    preceding = "" if value >= 10 else rf"(?<!{'-)(?<!'.join(_TENS)}-)"
    after = rf"(?![- ](?:{'|'.join(_UNITS[1:10])})\b)" if value % 10 == 0 and value >= 20 else ""
    return re.search(rf"\b{preceding}{pattern}\b{following}{after}", plain) is not None


def _rewrites(c: _Case) -> str | None:
    if not _CUE.search(c.text) or not re.search(r"\d", c.text):
        return None
    subjects = [s.casefold() for s in (*c.problem.entities, *c.problem.nouns)]
    if found := next((s for s in subjects if re.search(rf"\b{re.escape(s)}\b", c.text)), None):
        return f"It revises a quantity of the question ({found})."
    return None


def _near_duplicate(c: _Case) -> str | None:
    mine = _trigrams(c.text)
    for other in c.others:
        theirs = _trigrams(_normalise(other))
        union = len(mine | theirs)
        if union and len(mine & theirs) / union >= c.limits.near_duplicate:
            return f"It is nearly the same as another hint of this batch: {other[:60]!r}."
    return None


def _trigrams(text: str) -> set[str]:
    return {text[i : i + 3] for i in range(len(text) - 2)}


def _normalise(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


_CHECKS: dict[Gate, Callable[[_Case], str | None]] = {
    Gate.EMPTY: _empty,
    Gate.TOO_LONG: _too_long,
    Gate.MARKERS: _markers,
    Gate.REPETITION: _repetition,
    Gate.NUMBERS: _numbers,
    Gate.STATES_ANSWER: _states_answer,
    Gate.REWRITES_PROBLEM: _rewrites,
    Gate.NEAR_DUPLICATE: _near_duplicate,
}


def check_gates(
    text: str,
    problem: Problem,
    limits: GateLimits | None = None,
    *,
    others: Sequence[str] = (),
    special_texts: frozenset[str] = frozenset(),
) -> Iterator[tuple[Gate, str | None]]:
    """Every gate with its reason for refusing, None where it lets the hint through."""
    case = _Case(_normalise(text), text, problem, limits or GateLimits(), others, special_texts)
    for gate, check in _CHECKS.items():
        yield gate, check(case)


def check_hint(
    text: str,
    problem: Problem,
    limits: GateLimits | None = None,
    *,
    others: Sequence[str] = (),
    special_texts: frozenset[str] = frozenset(),
) -> GateResult:
    """The result of the first gate that refuses the hint, or a passed one."""
    results = check_gates(text, problem, limits, others=others, special_texts=special_texts)
    return next((GateResult(gate, reason) for gate, reason in results if reason is not None), GateResult(None, ""))
