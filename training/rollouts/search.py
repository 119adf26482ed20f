"""What can be asked of a run's rollouts, and the values of the answers. No I/O.

The SQL that a `RolloutQuery` becomes. Values go in as parameters, never as text."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from training.rollouts.database import CLEAN_GROUPS, FACETS, FLIP_OF, NARROW, PASSED

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
    """Hint types; clean rollouts have none."""
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


def flip_of(right: bool, clean_accuracy: float | None) -> Flip | None:
    """What the hint did to one solution; None where the question has no clean group to compare with."""
    if clean_accuracy is None:
        return None
    mostly_right = clean_accuracy >= 0.5
    if right == mostly_right:
        return Flip.STABLE
    return Flip.HELPFUL if right else Flip.HARMFUL


def match_expression(text: str) -> str | None:
    """Typed text as an FTS5 expression that has no syntax to get wrong: every word a quoted string.

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


Statement = tuple[str, list[Any]]

_ORDER = {
    Sort.TIME: "r.id {direction}",
    Sort.REWARD: "r.reward {direction}, r.id",
    Sort.ADVANTAGE: "r.advantage {direction}, r.id",
    Sort.TOKENS: "r.tokens {direction}, r.id",
    Sort.LOGPROB: "r.logprob_mean {direction}, r.id",
    Sort.CLEAN: "r.clean_accuracy IS NULL, r.clean_accuracy {direction}, r.id",
}

_FIELDS = (
    ("stages", "r.stage"), ("roles", "r.role"), ("types", "r.hint_type"), ("families", "r.family"),
    ("outcomes", "r.outcome"), ("flips", "r.flip"),
)  # fmt: skip

_WORKED_OUT = (
    f"(SELECT o.*, c.accuracy AS clean_accuracy, {FLIP_OF.format(clean='c.accuracy')} AS flip "
    f"FROM rollouts AS o LEFT JOIN ({CLEAN_GROUPS}) AS c ON c.step = o.step AND c.problem_id = o.problem_id) AS r"
)
_CLEAN_HERE = (
    "(SELECT avg(c.outcome = 'right') FROM rollouts AS c "
    "WHERE c.step = r.step AND c.problem_id = r.problem_id AND c.stage = 'r1_clean')"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """What the tables of one database are like."""

    keeps_flips: bool
    """False for databases of the first schema, which have neither flips nor the narrow index."""

    @property
    def _source(self) -> str:
        return f"rollouts AS r INDEXED BY {NARROW}" if self.keeps_flips else _WORKED_OUT

    def ids(self, query: RolloutQuery, range_: tuple[int, int] | None, limit: int | None) -> Statement | None:
        """The ids in the query's order; None where nothing can be found."""
        body = self._body(query, range_)
        if body is None:
            return None
        direction = "DESC" if query.descending else "ASC"
        order = _ORDER[query.sort].format(direction=direction)
        column = "r.id"
        if body[0].startswith("rollouts_fts") and query.sort is Sort.TIME:
            # In the order that the search index keeps, so that the first hits come without the others.
            column = "rollouts_fts.rowid"
            order = f"{column} {direction}"
        text = f"SELECT {column} FROM {body[0]} ORDER BY {order}"
        return (f"{text} LIMIT ?", [*body[1], limit]) if limit is not None else (text, body[1])

    def count(self, query: RolloutQuery, range_: tuple[int, int] | None) -> Statement | None:
        """How many; None where nothing can be found."""
        body = self._body(query, range_)
        return (f"SELECT count(*) FROM {body[0]}", body[1]) if body else None

    def _body(self, query: RolloutQuery, range_: tuple[int, int] | None) -> Statement | None:
        """Tables and conditions, and their values."""
        if query.steps is not None and range_ is None:
            return None
        conditions, values = _conditions(query)
        if not query.text.strip():
            if range_ is not None:
                conditions, values = ["r.id BETWEEN ? AND ?", *conditions], [*range_, *values]
            where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
            return f"{self._source}{where}", values
        match = match_expression(query.text)
        if match is None:
            return None
        tables, found = "rollouts_fts", ["rollouts_fts MATCH ?"]
        sought: list[Any] = [match]
        if range_ is not None:
            found.append("rollouts_fts.rowid BETWEEN ? AND ?")
            sought += range_
        if conditions or query.sort is not Sort.TIME:
            # The hits come first, in their order; each is then looked up in the narrow index.
            tables += f" CROSS JOIN {self._source}"
            found.append("r.id = rollouts_fts.rowid")
        return f"{tables} WHERE {' AND '.join([*found, *conditions])}", [*sought, *values]

    def rows(self, where: str) -> str:
        """Whole rows on a condition on the table's own columns."""
        if self.keeps_flips:
            return f"SELECT * FROM rollouts WHERE {where}"
        flip = FLIP_OF.format(clean=_CLEAN_HERE)
        return f"SELECT r.*, {_CLEAN_HERE} AS clean_accuracy, {flip} AS flip FROM rollouts AS r WHERE {where}"


def _conditions(query: RolloutQuery) -> tuple[list[str], list[Any]]:
    found: list[str] = []
    values: list[Any] = []

    def add(condition: str, *more: Any) -> None:
        found.append(condition)
        values.extend(more)

    if query.steps is not None:
        add("r.step BETWEEN ? AND ?", *query.steps)
    for name, column in _FIELDS:
        if wanted := getattr(query, name):
            add(f"{column} IN ({_marks(wanted)})", *wanted)
    if query.gates:
        failed = [g for g in query.gates if g != PASSED]
        passed = " OR r.gate IS NULL" if PASSED in query.gates else ""
        add(f"r.stage = 'r2_hint' AND (r.gate IN ({_marks(failed)}){passed})", *failed)
    if query.follows is not None:
        add("r.follows_hint = ?", int(query.follows))
    return found, values


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))


def steps_range(db: sqlite3.Connection, steps: tuple[int, int] | None) -> tuple[int, int] | None:
    """The first and last id of these steps, None where there are none: steps are written in order, so ids follow."""
    if steps is None:
        return None
    low = db.execute("SELECT id FROM rollouts WHERE step >= ? ORDER BY step, id LIMIT 1", [steps[0]]).fetchone()
    high = db.execute(
        "SELECT id FROM rollouts WHERE step <= ? ORDER BY step DESC, id DESC LIMIT 1", [steps[1]]
    ).fetchone()
    return (low[0], high[0]) if low and high else None


def contiguous(db: sqlite3.Connection, query: RolloutQuery) -> range | None:
    """The ids of everything in time, where they have no gap: no need to read a million of them."""
    if query != RolloutQuery(descending=query.descending):
        return None
    low, high, rows = db.execute(
        "SELECT (SELECT min(id) FROM rollouts), (SELECT max(id) FROM rollouts), (SELECT sum(rows) FROM steps)"
    ).fetchone()
    if low is None or rows != high - low + 1:
        return None
    return range(high, low - 1, -1) if query.descending else range(low, high + 1)


def facet_statement(keeps_flips: bool) -> str:
    """Rows (facet, value, count)."""
    if keeps_flips:
        return "SELECT facet, value, sum(rows) FROM facet_counts GROUP BY facet, value ORDER BY facet, value"
    parts = [
        f"SELECT '{facet}', {expression} AS value, count(*) FROM {_WORKED_OUT} WHERE value IS NOT NULL GROUP BY value"
        for facet, expression in FACETS.items()
    ]
    return " UNION ALL ".join(parts)
