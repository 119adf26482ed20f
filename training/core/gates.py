"""What a hint must pass before the Reasoner sees it. Each gate has a name and a reason for the person. No I/O.

Two tiers decide without a model: rules for what is certain (`leaks` and here), and structure for what a hint claims
about the problem. A hint of the hint language is parsed, and its clauses decide (`hint_language`); of any other text
`structure` says what claims are refused and what instructions are not. What they leave open a judge can be asked about
(`validity`).
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from training.core.hint_language import decides, invalid_claim, parse_hint
from training.core.leaks import find_leak, normalise
from training.core.options import option
from training.core.structure import Claim, find_claims
from training.core.types import Problem


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
    """Corrects, supposes or leaves out a fact of the problem, which would change the true answer."""
    ADDS_FACT = "adds_fact"
    """Adds an event or a quantity to the problem's own people and things, which would change the true answer."""
    REPLACES_QUESTION = "replaces_question"
    """Asks for something else, or for the answer in another unit."""
    OUTSIDE_LANGUAGE = "outside_language"
    """No hint of the hint language, in a run that is kept to it."""
    NEAR_DUPLICATE = "near_duplicate"
    JUDGE = "judge"
    """A model says that it changes the answer, or does not decide. Asked last, and only where a run names a judge."""


class Texts(StrEnum):
    """Which texts may be hints."""

    OPEN = "open"
    CLOSED = "closed"


class GateTier(StrEnum):
    """How a gate decides."""

    RULE = "rule"
    """By what is written: markers, lengths, numbers, the answer in any form."""
    STRUCTURE = "structure"
    """By what the hint claims about the problem, read by plain rules."""
    JUDGE = "judge"
    """By the votes of a model."""


DECIDED_BY, NOBODY = "decided_by/", "nobody"
"""A figure of a step for each tier: the share of its new hints. `NOBODY` is for hints that nothing was found against,
and that nothing vouches for."""
_STRUCTURE = frozenset({Gate.REWRITES_PROBLEM, Gate.ADDS_FACT, Gate.REPLACES_QUESTION, Gate.OUTSIDE_LANGUAGE})


@dataclass(frozen=True)
class GateLimits:
    """Limits of the hint gates."""

    max_characters: int = option(240, "Longest hint.", unit="characters", low=10, high=10_000)
    max_ngram_share: float = option(0.25, "Largest share of repeated 3-grams.", low=0.0, high=1.0)
    max_number: int = option(10_000, "Largest number a hint may carry that is not round, as 250,000 is.", low=10)
    max_numbers: int = option(6, "Most numbers a hint may carry.", low=0, high=100)
    near_duplicate: float = option(0.9, "Similarity at which two hints count as one.", low=0.1, high=1.0)
    language: str = option(
        Texts.OPEN,
        "open: any text that the gates let through; closed: only hints of the hint language, whose validity is decided "
        "by their form.",
        choices=map(str, Texts),
    )


@dataclass(frozen=True, slots=True)
class GateResult:
    """`gate` is the gate that failed, None where none did; `reason` says why, in words.

    `passed_by` says what vouches for a hint that passed: None where only nothing was found against it.
    """

    gate: Gate | None
    reason: str
    passed_by: GateTier | None = None

    @property
    def passed(self) -> bool:
        return self.gate is None

    @property
    def tier(self) -> GateTier | None:
        """How it was decided: by the gate that failed, or by what vouches for it; None where neither is so."""
        if self.gate is None:
            return self.passed_by
        if self.gate is Gate.JUDGE:
            return GateTier.JUDGE
        return GateTier.STRUCTURE if self.gate in _STRUCTURE else GateTier.RULE


@dataclass(slots=True)
class _Case:
    text: str
    """Normalised: NFKC, case folded."""
    raw: str
    problem: Problem
    limits: GateLimits
    others: Sequence[str]
    special: frozenset[str]
    found: dict[Claim, str] | None = None
    parsed: bool = False
    vouched: bool = False
    """Whether a valid hint is decided by its forms alone, so that its structure vouches for it."""

    def claims(self) -> dict[Claim, str]:
        """What the hint claims that would change the answer, read once for all gates that ask."""
        if self.found is None:
            hint = parse_hint(self.raw, self.problem)
            self.parsed = hint is not None
            invalid = invalid_claim(hint, self.problem) if hint else None
            self.vouched = hint is not None and invalid is None and decides(hint, self.problem)
            if invalid or self.vouched:
                self.found = dict([invalid] if invalid else [])
            else:
                self.found = find_claims(self.raw, self.problem)
        return self.found


_TAGS = (
    "think|thinking|thought|thoughts|reasoning|reflection|scratchpad|answer|start_of_turn|end_of_turn|start_header_id|"
    "end_header_id|begin_of_text|end_of_text|tool_call|tool_response|tool|im_start|im_end|bos|eos|pad|unk|s|sep|cls|"
    "mask|"
    "turn|system|user|assistant|model|human|inst|sys|seed:think|extra_id_\\d+|channel|message"
)
# Compared with NFKC text, in which full-width bars and brackets are plain ones.
_MARKER = re.compile(
    rf"####|#{{2,}}\s*(?:final |instruction|response|answer|user|assistant|system|\d)|\\f?boxed|"
    rf"(?:final\s+)?answer\s*:|"
    rf"<\|[^|<>]{{0,60}}\|?>|</?\s?(?:{_TAGS})\s?/?>|<<\s?/?sys\s?>>|\[/?\s?(?:inst|think|system_prompt|"
    rf"available_tools|tool_calls)\]|"
    rf"◁/?think▷|(?:^|\n)\s*(?:user|assistant|system|human|model|ai)\s*:|\b(?:end|begin)▁of▁\w+",
    re.IGNORECASE,
)
# Joiners belong to some emoji and scripts; plane 14's tags to flags.
_JOINED = re.compile(
    r"[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff\u20e3]\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff])|"
    r"(?<=[\u0600-\u06ff\u0900-\u0dff])[\u200c\u200d](?=[\u0600-\u06ff\u0900-\u0dff])|"
    r"\U0001f3f4[\U000e0020-\U000e007e]{2,8}\U000e007f"
)
# Emoji that are newer than this Python's Unicode data.
_NEW_EMOJI = range(0x1F000, 0x1FB00)


def _empty(c: _Case) -> str | None:
    return None if re.search(r"[^\W\d_]", c.text) else "It has no word in it."


def _too_long(c: _Case) -> str | None:
    n = len(c.raw)
    return f"It has {n} characters; {c.limits.max_characters} are allowed." if n > c.limits.max_characters else None


def _markers(c: _Case) -> str | None:
    for text in (c.raw, unicodedata.normalize("NFKC", c.raw)):
        if found := _MARKER.search(text):
            return f"It carries the marker {found.group().strip()!r}."
    if found_special := next((s for s in c.special if s and s in c.raw), None):
        return f"It carries the special token {found_special!r}."
    hidden = next((ch for ch in _JOINED.sub("", c.raw) if not ch.isascii() and _is_hidden(ch)), None)
    hidden = hidden or next((ch for ch in c.raw if ch.isascii() and not ch.isprintable() and ch not in "\n\t\r"), None)
    return f"It carries the hidden character U+{ord(hidden):04X}." if hidden else None


def _is_hidden(ch: str) -> bool:
    category = unicodedata.category(ch)
    return category in ("Cc", "Cf", "Co", "Cs") or (category == "Cn" and ord(ch) not in _NEW_EMOJI)


def _repetition(c: _Case) -> str | None:
    words = c.text.split()
    if any(words[i] == words[i + 1] == words[i + 2] for i in range(len(words) - 2)):
        return "It says the same word three times in a row."
    grams = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    if len(grams) < 4:
        return None
    share = 1 - len(set(grams)) / len(grams)
    return f"{share:.0%} of its word triples are repeats." if share > c.limits.max_ngram_share else None


_WRITTEN = re.compile(r"\d{1,2}:\d{2}|\d{4}-\d{2}-\d{2}|\d+(?:,\d+)*(?:\.\d+)?")


def _numbers(c: _Case) -> str | None:
    found = _WRITTEN.findall(c.text)
    if len(found) > c.limits.max_numbers:
        return f"It carries {len(found)} numbers; {c.limits.max_numbers} are allowed."
    for number in found:
        if ":" in number or "-" in number:
            continue
        whole = number.partition(".")[0]
        digits = whole.replace(",", "")
        large = len(digits) > 12 or int(digits) > c.limits.max_number
        if (large and not _is_round(whole)) or (len(digits) > 1 and digits[0] == "0"):
            return f"No person would write {number[:12]} here."
    return None


def _is_round(number: str) -> bool:
    """A large number that a person would write: "250,000", "1,250,000", "300000"."""
    digits = number.replace(",", "")
    grouped = re.fullmatch(r"\d{1,3}(?:,\d{3})+", number) is not None
    return len(digits) <= 12 and digits[0] != "0" and (grouped or digits.endswith("000"))


def _states_answer(c: _Case) -> str | None:
    found = find_leak(c.raw, c.problem)
    return f"It states the true answer: “{found}”." if found else None


def _claims(claim: Claim) -> Callable[[_Case], str | None]:
    return lambda c: c.claims().get(claim)


def _outside_language(c: _Case) -> str | None:
    if c.limits.language != Texts.CLOSED:
        return None
    c.claims()
    return None if c.parsed else "It is no sentence of the hint language, to which this run is kept."


def _near_duplicate(c: _Case) -> str | None:
    mine = _trigrams(c.text)
    for other in c.others:
        theirs = _normalised_trigrams(other)
        both = len(mine & theirs)
        union = len(mine) + len(theirs) - both
        if union and both / union >= c.limits.near_duplicate:
            return f"It is nearly the same as another hint of this batch: {other[:60]!r}."
    return None


def _trigrams(text: str) -> frozenset[str]:
    return frozenset(text[i : i + 3] for i in range(len(text) - 2))


@lru_cache(maxsize=4096)
def _normalised_trigrams(text: str) -> frozenset[str]:
    """Of an accepted hint, which each later one of its batch is compared with."""
    return _trigrams(normalise(text))


_CHECKS: dict[Gate, Callable[[_Case], str | None]] = {
    Gate.EMPTY: _empty,
    Gate.TOO_LONG: _too_long,
    Gate.MARKERS: _markers,
    Gate.REPETITION: _repetition,
    Gate.NUMBERS: _numbers,
    Gate.STATES_ANSWER: _states_answer,
    Gate.REWRITES_PROBLEM: _claims(Claim.REVISES_FACT),
    Gate.ADDS_FACT: _claims(Claim.ADDS_FACT),
    Gate.REPLACES_QUESTION: _claims(Claim.REPLACES_QUESTION),
    Gate.OUTSIDE_LANGUAGE: _outside_language,
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
    yield from _check_all(_Case(normalise(text), text, problem, limits or GateLimits(), others, special_texts))


def _check_all(case: _Case) -> Iterator[tuple[Gate, str | None]]:
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
    case = _Case(normalise(text), text, problem, limits or GateLimits(), others, special_texts)
    for gate, reason in _check_all(case):
        if reason is not None:
            return GateResult(gate, reason)
    return GateResult(None, "", GateTier.STRUCTURE if case.vouched else None)
