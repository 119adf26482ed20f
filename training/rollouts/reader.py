"""Query a run's rollouts while they are written: pages, counts, search, pairs.

Values go into the SQL as parameters, never as text. Databases made before flips were kept are read as they are; their
flips are computed for every query.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.rollouts.database import CLEAN_GROUPS, FACETS, FLIP_OF, NARROW, PASSED
from training.runs.paths import RunPaths, not_fetched
from training.sqlite import open_read_only

MAX_WORDS = 32
MAX_WORD_CHARACTERS = 200


class Flip(StrEnum):
    """What a hint did to one solution, beside the clean solutions of the same question in the same step."""

    HARMFUL = "harmful"
    """Not right, though at least half of the clean ones are."""
    HELPFUL = "helpful"
    """Right, though fewer than half of the clean ones are."""
    STABLE = "stable"


class Sort(StrEnum):
    """The order of the rows; equal ones follow in the order they were made."""

    TIME = "time"
    """As they were made: by step, and by stage and question within it."""
    REWARD = "reward"
    ADVANTAGE = "advantage"
    TOKENS = "tokens"
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
    roles: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
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

    Asked of a clean row, or of one with the question moved: `clean` is its group, the others are empty. Asked of a
    hint: `hinted` is its first solution.
    """

    asked: int
    hinted: dict[str, Any] | None
    clean: tuple[dict[str, Any], ...]
    """Empty for a replayed hint whose question was not drawn in that step."""
    hint: dict[str, Any] | None
    """None for clean rows, templates and replayed hints, which nobody wrote in that step."""
    siblings: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class WrittenHint:
    """A hint of the Adversary as it was written; `gate` is the one that refused it, "" where it passed all."""

    step: int
    id: str
    problem_id: str
    type: str
    text: str
    gate: str


@dataclass(frozen=True, slots=True)
class HintOutcomes:
    """The solutions under one hint in one step, counted. `archived`: it was replayed. `clean` is the accuracy on the
    question alone, in that step or else over the run; None where it was never asked."""

    step: int
    id: str
    problem_id: str
    type: str
    text: str
    archived: bool
    total: int
    right: int
    unreadable: int
    truncated: int
    clean: float | None
    placement: str


@dataclass(frozen=True, slots=True)
class HintTables:
    """All hints of a run, in the order of its steps; `problems` has family, question and gold answer by id."""

    written: tuple[WrittenHint, ...]
    played: tuple[HintOutcomes, ...]
    problems: Mapping[str, tuple[str, str, str]]


def flip_of(right: bool, clean_accuracy: float | None) -> Flip | None:
    """What the hint did to one solution; None where the question has no clean group to compare with."""
    if clean_accuracy is None:
        return None
    mostly_right = clean_accuracy >= 0.5
    if right == mostly_right:
        return Flip.STABLE
    return Flip.HELPFUL if right else Flip.HARMFUL


def opponent_step(hint_id: str | None) -> int | None:
    """The step of the past Adversary that wrote a hint; None where the present one did, or nobody."""
    found = re.search(r"#past(\d+)-\d+$", hint_id or "")
    return int(found[1]) if found else None


def match_expression(text: str) -> str | None:
    """Typed text as an FTS5 expression, every word a quoted string; None where it holds nothing to search for."""
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


CHUNK_IDS = 500
"""Ids a look-up: SQLite's oldest limit of parameters is 999."""
_AT_ONCE = 20_000
_OPCODES_BETWEEN_LOOKS = 50_000


class Cancelled(Exception):
    """The caller asked for an end: `cancelled` said so, or `interrupt` was called."""


class NoRollouts(UserError):
    """The run has written none yet."""


class RolloutReader:
    """One run's `rollouts.db`, for any thread. A UserError from any method names the file and what to do.

    Two connections, each with its own lock: `ids`, `first_page`, `count` and `facets` share one and may take a while;
    the look-ups share the other and answer at once. Ids that are gone (a resumed run drops later steps) are left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = self._path = path
        self._closed = False
        self._slow_lock, self._quick_lock = threading.Lock(), threading.Lock()
        if not path.is_file():
            paths = RunPaths(path.parent)
            if paths.cluster.is_file():
                raise NoRollouts(not_fetched(paths, "rollouts"))
            raise NoRollouts(f"{path} is not there: no rollouts yet. They come with the run's first step.")
        with ExitStack() as opened, self._explained():
            self._slow = opened.enter_context(closing(open_read_only(path)))
            self._quick = opened.enter_context(closing(open_read_only(path)))
            columns = {row[1] for row in self._quick.execute("PRAGMA table_info(rollouts)")}
            if "completion" not in columns:
                raise NoRollouts(f"{path} holds no rollouts yet: they come with the run's first step.")
            self._layout = Layout(keeps_flips="flip" in columns)
            opened.pop_all()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_INTERRUPT or self._closed:
                raise Cancelled from error
            damaged = "The file is damaged: restore it from a copy, or move it away. Checkpoints do not need it."
            remedy = {
                sqlite3.SQLITE_BUSY: "Another program holds it; try again when that is done.",
                sqlite3.SQLITE_CORRUPT: damaged,
                sqlite3.SQLITE_NOTADB: damaged,
            }.get(code or 0, "If the run was moved or deleted, open it again.")
            raise UserError(f"Reading {self._path} failed ({error}). {remedy}") from error

    @contextmanager
    def _asking(self, cancelled: Callable[[], bool] | None = None) -> Iterator[sqlite3.Connection]:
        with self._slow_lock, self._explained():
            try:
                # SQLite stops where this says true; it is asked during sorts and scans too.
                self._slow.set_progress_handler(cancelled, _OPCODES_BETWEEN_LOOKS)
                yield self._slow
            finally:
                self._slow.set_progress_handler(None, 0)

    def first_page(self, query: RolloutQuery, limit: int = 100) -> list[dict[str, Any]]:
        """The first rows of the query's order; faster than the whole list of ids."""
        with self._asking() as db:
            statement = self._ids_statement(db, query, limit)
            ids = [row[0] for row in db.execute(*statement)] if statement else []
        return self.rows(ids)

    def ids(self, query: RolloutQuery, cancelled: Callable[[], bool] | None = None) -> array[int]:
        """The ids of all rows of the query, in its order, as array('q'). Raises `Cancelled`."""
        found = array("q")
        with self._asking(cancelled) as db:
            whole = contiguous(db, query)
            statement = self._ids_statement(db, query) if whole is None else None
            for chunk in _sliced(whole) if whole is not None else _fetched(db, statement):
                # In slices, so that other threads of the window get their turn between them.
                found.extend(chunk)
                if cancelled is not None and cancelled():
                    raise Cancelled
        return found

    def _ids_statement(self, db: sqlite3.Connection, query: RolloutQuery, limit: int | None = None) -> Statement | None:
        return self._layout.ids(query, steps_range(db, query.steps), limit)

    def count(self, query: RolloutQuery | None = None) -> int:
        with self._asking() as db:
            if query is None:
                return int(db.execute("SELECT coalesce(sum(rows), 0) FROM steps").fetchone()[0])
            statement = self._layout.count(query, steps_range(db, query.steps))
            return int(db.execute(*statement).fetchone()[0]) if statement else 0

    def step_counts(self) -> dict[int, int]:
        with self._asking() as db:
            return dict(db.execute("SELECT step, rows FROM steps ORDER BY step").fetchall())

    def facets(self) -> Facets:
        """What the run holds, from counts kept a step: fast at any size."""
        steps = self.step_counts()
        counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
        with self._asking() as db:
            for facet, value, rows in db.execute(facet_statement(self._layout.keeps_flips)):
                counts[facet][str(value)] = rows
        follows = {value == "1": rows for value, rows in counts["follows"].items()}
        return Facets(
            sum(steps.values()), steps, counts["stage"], counts["role"], counts["type"], counts["family"],
            counts["outcome"], counts["gate"], counts["flip"], follows,
        )  # fmt: skip

    def hints(self, cancelled: Callable[[], bool] | None = None) -> HintTables:
        """Every hint with what became of it. Reads the whole table: not for the window's thread. Raises
        `Cancelled`."""
        with self._asking(cancelled) as db:
            columns = {row[1] for row in db.execute("PRAGMA table_info(rollouts)")}
            clean = dict(db.execute(
                "SELECT problem_id, avg(outcome = 'right') FROM rollouts WHERE stage = 'r1_clean' GROUP BY problem_id"
            ))  # fmt: skip
            problems = {
                id_: (family or "", question, gold)
                for id_, family, question, gold in db.execute(
                    "SELECT problem_id, family, question, gold FROM rollouts WHERE id IN "
                    "(SELECT min(id) FROM rollouts GROUP BY problem_id)"
                )
            }
            written = tuple(
                WrittenHint(step, hint_id or "", problem, type_ or "", text or "", gate or "")
                for step, hint_id, problem, type_, text, gate in db.execute(
                    "SELECT step, hint_id, problem_id, hint_type, hint, gate FROM rollouts WHERE stage = 'r2_hint' "
                    "ORDER BY id"
                )
            )
            here, placed = (name if name in columns else "NULL" for name in ("clean_accuracy", "placement"))
            played = tuple(
                HintOutcomes(
                    step, hint_id or "", problem, type_ or "", text or "", bool(archived), total, right, unreadable,
                    truncated, clean.get(problem) if accuracy is None else accuracy, placement or "",
                )
                for step, hint_id, problem, type_, text, archived, total, right, unreadable, truncated, accuracy,
                placement in db.execute(
                    "SELECT step, hint_id, problem_id, min(hint_type), min(hint), max(archived), count(*), "
                    "sum(outcome = 'right'), sum(outcome IN ('unparsable', 'ambiguous')), sum(outcome = 'truncated'), "
                    f"avg({here}), min({placed}) FROM rollouts WHERE stage = 'r3_hinted' "
                    "GROUP BY step, hint_id, problem_id ORDER BY min(id)"
                )
            )  # fmt: skip
        return HintTables(written, played, problems)

    def rows(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """The rows of these ids, in this order: every column of the table by its name, and `id`."""
        found: dict[int, dict[str, Any]] = {}
        wanted = iter(ids)
        with self._quick_lock, self._explained():
            while chunk := list(islice(wanted, CHUNK_IDS)):
                marks = ",".join("?" * len(chunk))
                found |= {r["id"]: r for r in self._looked_up(f"id IN ({marks})", chunk)}
        return [found[id_] for id_ in ids if id_ in found]

    def _looked_up(self, where: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        cursor = self._quick.execute(self._layout.rows(where), list(values))
        names = [column[0] for column in cursor.description]
        # Databases of older versions lack them.
        unknown = {"tier": None, "reader": None, "placement": None}
        return [unknown | dict(zip(names, row, strict=True)) for row in cursor]

    def row(self, id: int) -> dict[str, Any] | None:
        return next(iter(self.rows([id])), None)

    def pair(self, id: int) -> TracePair:
        """A row with its counterparts; a UserError where the row is gone."""
        row = self.row(id)
        if row is None:
            newest = self.newest_id()
            why = "the run was resumed from an earlier step" if 1 <= id <= newest else f"ids go from 1 to {newest}"
            raise UserError(f"There is no rollout {id} in {self._path}: {why}.")
        with self._quick_lock, self._explained():
            around = self._looked_up("step = ? AND problem_id = ? ORDER BY id", [row["step"], row["problem_id"]])
        clean = tuple(r for r in around if r["stage"] == "r1_clean")
        if row["stage"] in ("r1_clean", "r1_needed"):
            group = tuple(r for r in around if r["stage"] == row["stage"])
            return TracePair(id, None, group, None, ())
        same = [r for r in around if r["hint_id"] == row["hint_id"]]
        siblings = tuple(r for r in same if r["stage"] == "r3_hinted")
        hint = next((r for r in same if r["stage"] == "r2_hint"), None)
        hinted = row if row["stage"] == "r3_hinted" else next(iter(siblings), None)
        return TracePair(id, hinted, clean, hint, siblings)

    def newest_id(self) -> int:
        with self._quick_lock, self._explained():
            return int(self._quick.execute("SELECT coalesce(max(id), 0) FROM rollouts").fetchone()[0])

    def version(self) -> int:
        """A number that is another one after every step that was written or dropped; of this reader alone."""
        with self._quick_lock, self._explained():
            return int(self._quick.execute("PRAGMA data_version").fetchone()[0])

    def interrupt(self) -> None:
        """End the long work under way in another thread: it raises `Cancelled` there."""
        self._slow.interrupt()

    def close(self) -> None:
        """End what is under way and close both connections; whatever is asked afterwards raises `Cancelled`."""
        if not self._closed:
            self._closed = True
            self._slow.interrupt()
            with self._slow_lock, self._quick_lock:
                self._slow.close()
                self._quick.close()


def _sliced(ids: range) -> Iterator[Iterable[int]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _fetched(db: sqlite3.Connection, statement: Statement | None) -> Iterator[Iterable[int]]:
    if statement is not None:
        cursor = db.execute(*statement)
        while rows := cursor.fetchmany(_AT_ONCE):
            yield map(itemgetter(0), rows)
