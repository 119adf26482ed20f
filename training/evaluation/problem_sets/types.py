"""What an import takes and gives: column mapping, problem set, and a report of every row left out. Values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from training.core.types import AnswerKind, Problem, Split

NOT_STATED = "not stated"
"""The licence of what does not say it."""
EXCERPT = 100
# Spelled wrong in published sets, and meant to be found by the right name.
_MISSPELLED = {"commondivison": "commondivision"}


class Layout(StrEnum):
    """How a set writes its problems."""

    GSM8K = "gsm8k"
    """`question`, and an `answer` whose worked solution ends in ``#### N`` with calculator marks ``<<a*b=c>>``."""
    SVAMP = "svamp"
    """The story in `Body`, what is asked in `Question`, the number in `Answer`."""
    MATH = "math"
    r"""`problem`, with an `answer` or a `solution` that holds ``\boxed{…}``."""
    PLAIN = "plain"
    """A question and an answer, by whatever name."""
    MAPPED = "mapped"
    """The columns were named by hand or by a preset."""


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Which column holds what; "" is none.

    A column is a name, several joined by "+" ("id+instance"), or "=" and a text that holds for every row ("=number").
    `context` goes before the question. `solution` is the worked one; an answer that is missing is taken from its box.
    `group` ties variants of one problem together: it becomes `Problem.template`, and statistics cluster by it.
    """

    question: str
    answer: str
    kind: str = ""
    type: str = ""
    id: str = ""
    context: str = ""
    solution: str = ""
    group: str = ""

    def columns(self) -> dict[str, str]:
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name))}


ROLES = tuple(f.name for f in fields(ColumnMapping))


class Reason(StrEnum):
    """Why a row was left out."""

    DAMAGED = "damaged"
    NO_COLUMN = "missing column"
    NO_QUESTION = "empty question"
    TOO_LONG = "question too long"
    NO_ANSWER = "empty answer"
    UNREADABLE = "unreadable answer"
    MANY_ANSWERS = "more than one answer"
    CONTRADICTION = "contradictory duplicates"
    """Another row asks the same and answers otherwise, so neither can be trusted."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was left out. `row` counts rows of data from 1; `place` names file and line."""

    row: int
    place: str
    reason: Reason
    excerpt: str
    detail: str = ""
    line: int = 0
    """Where the row begins in its file; 0 where there are no lines."""

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}: {self.detail}" if self.detail else f"{self.place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A row that asks and answers what an earlier row did. It stays in: published counts include it."""

    row: int
    place: str
    first_row: int
    excerpt: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of every row. rows == imported + filtered + len(rejected), unless `limited`."""

    source: str
    format: str
    layout: Layout
    mapping: ColumnMapping
    licence: str
    rows: int
    imported: int
    filtered: int
    limited: bool
    rejected: tuple[Rejected, ...]
    duplicates: tuple[Duplicate, ...]
    kinds: Mapping[str, int]
    types: Mapping[str, int]
    """Question types of all rows that could be read, as they are spelled, the filtered ones included."""
    seconds: float

    def reasons(self) -> dict[str, int]:
        """How many rows were left out, by reason, the commonest first."""
        return dict(Counter(str(rejected.reason) for rejected in self.rejected).most_common())


@dataclass(frozen=True, slots=True)
class ProblemSet:
    """Problems under a name, with where they came from. Ids are unique in it."""

    name: str
    problems: tuple[Problem, ...]
    source: str
    licence: str
    report: ImportReport


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One of the first rows: its cells as short text, and what would become of it."""

    place: str
    cells: Mapping[str, str]
    problem: Problem | None
    rejected: Rejected | None


@dataclass(frozen=True, slots=True)
class Preview:
    """The first rows of a source, and the mapping that was found or given; without one, `note` says what is missing."""

    name: str
    format: str
    columns: tuple[str, ...]
    layout: Layout | None
    mapping: ColumnMapping | None
    rows: tuple[PreviewRow, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a source. `kinds` are the answer kinds that may be inferred; `kind` claims one for every row."""

    mapping: ColumnMapping | None = None
    kind: AnswerKind | None = None
    kinds: frozenset[AnswerKind] = frozenset(AnswerKind)
    types: tuple[str, ...] = ()
    """Question types to keep, in any spelling; none keeps all."""
    limit: int | None = None
    name: str = ""
    """Of the set; the source's own where it is empty."""
    split: Split = Split.HELD_OUT
    """What the problems are for: a set from outside is there to test with, unless it is trained on."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of data. `line` is where it begins in its file, 0 where there are none; `damage` says why it is none."""

    number: int
    line: int = 0
    cells: Mapping[str, Any] = field(default_factory=dict)
    damage: str = ""
    raw: str = ""
    part: int = 0


def normal_type(text: str) -> str:
    """A question type without case, spaces and marks, so that "Common-Divison" is found as "common division"."""
    plain = re.sub(r"[\W_]+", "", text.casefold())
    return _MISSPELLED.get(plain, plain)


def excerpt(text: str) -> str:
    """The beginning of a text on one line, safe to print."""
    head = " ".join(text[: 4 * EXCERPT].split())
    plain = "".join(c if c.isprintable() else "·" for c in head)
    return plain if len(plain) <= EXCERPT else plain[: EXCERPT - 1] + "…"
