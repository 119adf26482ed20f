"""What can be asked of a run's rollouts, and the values of the answers. No I/O."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

PASSED = "passed"
"""Among gates: hints that passed all of them."""

MAX_WORDS = 32
MAX_WORD_CHARACTERS = 200


class Flip(StrEnum):
    """What a hint did to one solution, beside the clean solutions of the same question in the same step."""

    HARMFUL = "harmful"
    """Not right, though at least half of the clean ones are."""
    HELPFUL = "helpful"
    """Right, though fewer than half of the clean ones are."""
    STABLE = "stable"
    """Neither."""


class Sort(StrEnum):
    """The order of the rows; equal ones follow in the order they were made."""

    TIME = "time"
    """As they were made: by step, and by stage and question within it."""
    REWARD = "reward"
    ADVANTAGE = "advantage"
    TOKENS = "tokens"
    """Length of the completion."""
    LOGPROB = "logprob"
    """Mean log-probability of the completion's tokens."""
    CLEAN = "clean"
    """Accuracy of the clean group of the same question; rows without one come last, whichever the direction."""


@dataclass(frozen=True, slots=True)
class RolloutQuery:
    """Which rollouts, in which order. Empty fields ask for everything; values of one field are joined by "or",
    fields by "and". A value that the run does not have matches nothing and is no error."""

    steps: tuple[int, int] | None = None
    """First and last step, both included."""
    stages: tuple[str, ...] = ()
    """Of `training.core.types.Stage`."""
    roles: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    """Perturbation types; clean rollouts have none."""
    families: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    """Names of failed gates, or `PASSED`: hints only."""
    flips: tuple[str, ...] = ()
    """Of `Flip`: hinted solutions only."""
    follows: bool | None = None
    """Whether the answer is the one the hint suggested: hinted solutions whose hint suggested one."""
    text: str = ""
    """Words that all occur, "phrases in quotes", and beginnings with a star (appl*). Any text is allowed."""
    sort: Sort = Sort.TIME
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Facets:
    """What a run holds, counted: the choices of the filters. Values that do not occur are left out."""

    rows: int
    steps: Mapping[int, int]
    """Rows a step, in the order of steps."""
    stages: Mapping[str, int]
    roles: Mapping[str, int]
    types: Mapping[str, int]
    families: Mapping[str, int]
    outcomes: Mapping[str, int]
    gates: Mapping[str, int]
    """Hints by the gate they failed, and `PASSED`."""
    flips: Mapping[str, int]
    follows: Mapping[bool, int]


@dataclass(frozen=True, slots=True)
class TracePair:
    """A hinted solution beside the clean ones of the same question and step, and the hint as the Adversary wrote it.

    Asked of a clean row: `clean` is its group, the others are empty. Asked of a hint: `hinted` is its first solution.
    """

    asked: int
    """The id that was asked for."""
    hinted: dict[str, Any] | None
    clean: tuple[dict[str, Any], ...]
    """Empty for a replayed hint whose question was not drawn in that step."""
    hint: dict[str, Any] | None
    """None for clean rows, templates and replayed hints, which nobody wrote in that step."""
    siblings: tuple[dict[str, Any], ...]
    """All solutions under this hint in this step, `hinted` among them."""


def judge_flip(right: bool, clean_accuracy: float | None) -> Flip | None:
    """What the hint did to one solution; None where the question has no clean group to compare with."""
    if clean_accuracy is None:
        return None
    mostly_right = clean_accuracy >= 0.5
    if right == mostly_right:
        return Flip.STABLE
    return Flip.HELPFUL if right else Flip.HARMFUL


def match_expression(text: str) -> str | None:
    """What a person typed as an FTS5 expression that has no syntax to get wrong: every word a quoted string.

    None where the text holds nothing that could be searched for. A phrase needs its closing quote no more than a shell
    does at the end of a line: the rest of the text is the phrase.
    """
    clean = "".join(c if c.isprintable() else " " for c in text)
    parts: list[str] = []
    for place, piece in enumerate(clean.split('"')):
        parts += [_quoted(piece, "")] if place % 2 else [_word(w) for w in piece.split()]
    return " ".join([p for p in parts if p][:MAX_WORDS]) or None


def _word(word: str) -> str:
    beginning = word.rstrip("*")
    # A star after a sign would ask for the beginning of nothing.
    star = "*" if beginning != word and _searchable(beginning[-1:]) else ""
    return _quoted(beginning, star)


def _quoted(text: str, star: str) -> str:
    kept = text[:MAX_WORD_CHARACTERS]
    return f'"{kept}"{star}' if any(map(_searchable, kept)) else ""


def _searchable(character: str) -> bool:
    """What FTS5's unicode61 takes for part of a word."""
    return bool(character) and (unicodedata.category(character)[0] in "LN" or unicodedata.category(character) == "Co")
