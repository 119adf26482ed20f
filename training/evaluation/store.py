"""rows.db, the raw rows of an evaluation, and its one writer: SQLite in WAL mode, one transaction a chunk.

With a chunk's rows goes one blob of cells (`outcome_arrays.PACKED`), each prompt's counts, which can be derived from
the rows. Problems and texts are kept once, so the file can be read without its suites.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from training.core.answer_reader import Tier
from training.core.prompts import Placement, join_hint
from training.core.statistics import maj_at_k
from training.core.types import UNREADABLE, AnswerKind, Condition, HintType, Outcome, Problem
from training.errors import UserError
from training.evaluation.grader import vote_of
from training.evaluation.outcome_arrays import LAYOUT, NO_TYPE, PACKED, TYPES
from training.evaluation.plan import Chunk, EvalKey, EvalPlan
from training.sqlite import Database, Migrations

_GRADED = (
    "SELECT id, item, idx, sample, outcome, answer, follows, truncated, tokens, completion, tier, reader FROM rows "
    "WHERE target = ? AND suite = ? AND condition = ? AND item >= ? AND item < ? ORDER BY item, idx, sample"
)

migrations = Migrations("evaluation")

_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE targets (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE suites (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest TEXT, placement TEXT)",
    "CREATE TABLE items (suite INTEGER, item INTEGER, problem_id TEXT NOT NULL, family TEXT NOT NULL, "
    "problem TEXT NOT NULL, PRIMARY KEY (suite, item)) WITHOUT ROWID",
    "CREATE TABLE texts (suite INTEGER, item INTEGER, condition TEXT, idx INTEGER, hint_type TEXT NOT NULL, "
    "text TEXT NOT NULL, suggested TEXT, author TEXT NOT NULL, "
    "PRIMARY KEY (suite, item, condition, idx)) WITHOUT ROWID",
    "CREATE TABLE chunks (key TEXT PRIMARY KEY, target INTEGER NOT NULL, suite INTEGER NOT NULL, "
    "condition TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, rows INTEGER NOT NULL, "
    "seconds REAL NOT NULL, t REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE cells (target INTEGER, suite INTEGER, condition TEXT, start INTEGER, data BLOB NOT NULL, "
    "PRIMARY KEY (target, suite, condition, start))",
    "CREATE TABLE rows (id INTEGER PRIMARY KEY, target INTEGER NOT NULL, suite INTEGER NOT NULL, "
    "condition TEXT NOT NULL, item INTEGER NOT NULL, idx INTEGER NOT NULL, sample INTEGER NOT NULL, "
    "outcome TEXT NOT NULL, answer TEXT NOT NULL, follows INTEGER, truncated INTEGER NOT NULL, "
    "tokens INTEGER NOT NULL, completion TEXT NOT NULL)",
    "CREATE UNIQUE INDEX rows_key ON rows (target, suite, condition, item, idx, sample)",
)


@migrations()  # type: ignore[untyped-decorator]
def create(db: Any) -> None:
    for statement in _SCHEMA:
        db.execute(statement)


@migrations()  # type: ignore[untyped-decorator]
def number_cell_layouts(db: Any) -> None:
    db.execute("ALTER TABLE cells ADD COLUMN layout INTEGER NOT NULL DEFAULT 1")


@migrations()  # type: ignore[untyped-decorator]
def keep_tier_and_reader(db: Any) -> None:
    """Where an answer was read, and by which version of the reader; NULL in rows that are there already."""
    db.execute("ALTER TABLE rows ADD COLUMN tier TEXT")
    db.execute("ALTER TABLE rows ADD COLUMN reader INTEGER")
    # Of a chunk too, which is graded as a whole: counting rows would read every completion.
    db.execute("ALTER TABLE chunks ADD COLUMN reader INTEGER")


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One completion, empty where the prompt was too long. `answer` is what was read from it, empty where nothing could
    be; `tokens` counts the completion.

    `follows` says whether the answer equals what the hint suggested; None where it suggested nothing. `tier` and
    `reader` say where the answer was found and by which `READER_VERSION`; None where that was not recorded.
    """

    key: EvalKey
    outcome: Outcome
    answer: str
    follows: bool | None
    truncated: bool
    tokens: int
    completion: str
    tier: Tier | None = None
    reader: int | None = None


@dataclass(frozen=True, slots=True)
class PromptText:
    """What is shown: beside an item's question nothing (clean, index −1), a hint, or a placebo; in its place the same
    with the question moved (needed, index −1). `author` is the hint's template, `hand`, `model:NAME` or `run:ID`."""

    index: int
    text: str
    hint_type: HintType | None = None
    suggested: str | None = None
    author: str = ""


@dataclass(frozen=True, slots=True)
class TraceRow:
    """A row with what it answered: for traces, flips side by side, and export."""

    row: StoredRow
    problem: Problem
    prompt: PromptText
    placement: Placement = Placement.APPEND

    @property
    def shown(self) -> str:
        return shown_text(self.problem, self.prompt, self.placement)


def shown_text(problem: Problem, prompt: PromptText, placement: Placement) -> str:
    if prompt.index < 0:
        return prompt.text or problem.question
    return join_hint(problem.question, prompt.text, placement) if prompt.text else problem.question


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One item of a suite with all that may be shown beside it."""

    problem: Problem
    texts: dict[Condition, tuple[PromptText, ...]]


class StoreWriter(AbstractContextManager["StoreWriter"]):
    """The writing side. One process at a time (the evaluation's lock sees to it)."""

    def __init__(self, path: Path, plan: EvalPlan) -> None:
        self._path, self._plan = path, plan
        self._kinds: dict[tuple[str, int], AnswerKind] = {}
        self._types: dict[tuple[str, Condition, int, int], int] = {}
        with self._explained():
            self._db = Database(path)
            self._conn: sqlite3.Connection = self._db.conn
            self._conn.execute("PRAGMA journal_mode=WAL")
            self._conn.execute("PRAGMA synchronous=NORMAL")
            migrations.apply(self._db)
            with self._db.atomic():
                self._targets = self._numbers("targets", [t.name for t in plan.targets])
                self._suites = self._numbers("suites", [s.name for s in plan.suites])

    def _numbers(self, table: str, names: Sequence[str]) -> dict[str, int]:
        """Ids by name, from 0 in the plan's order without gaps; names that are new get the next ones."""
        next_id = f"(SELECT coalesce(max(id) + 1, 0) FROM {table})"
        self._conn.executemany(f"INSERT OR IGNORE INTO {table} (id, name) VALUES ({next_id}, ?)", [[n] for n in names])
        return dict(self._conn.execute(f"SELECT name, id FROM {table}"))

    def meta(self, key: str) -> str | None:
        with self._explained():
            found = self._conn.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
        return found[0] if found else None

    def set_meta(self, key: str, value: str) -> None:
        with self._explained(), self._db.atomic():
            self._conn.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [key, value])

    def add_suite(self, name: str, digest: str, placement: Placement, items: Sequence[StoredItem]) -> None:
        """Keep a suite's problems and texts, once. Another digest than the kept one is a UserError."""
        number = self._suites[name]
        for place, item in enumerate(items):
            self._kinds[name, place] = item.problem.kind
            for condition, texts in item.texts.items():
                for text in texts:
                    code = NO_TYPE if text.hint_type is None else TYPES.index(text.hint_type)
                    self._types[name, condition, place, text.index] = code
        with self._explained(), self._db.atomic():
            kept = self._conn.execute("SELECT digest FROM suites WHERE id = ?", [number]).fetchone()[0]
            if kept is not None and kept != digest:
                raise UserError(
                    f"{self._path} holds rows of the suite {name!r} with the hash {kept}, and it is {digest} now. "
                    "Restore the suite from a copy, or start a new evaluation."
                )
            if kept is None:
                self._conn.execute(
                    "UPDATE suites SET digest = ?, placement = ? WHERE id = ?", [digest, placement, number]
                )
                self._conn.executemany(
                    "INSERT INTO items VALUES (?, ?, ?, ?, ?)",
                    [
                        (number, i, p.id, p.family, json.dumps(asdict(p), ensure_ascii=False))
                        for i, p in enumerate(item.problem for item in items)
                    ],
                )
                self._conn.executemany(
                    "INSERT INTO texts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (number, i, condition, t.index, t.hint_type or "", t.text, t.suggested, t.author)
                        for i, item in enumerate(items)
                        for condition, texts in item.texts.items()
                        for t in texts
                    ],
                )

    def done_chunks(self) -> frozenset[str]:
        with self._explained():
            return frozenset(row[0] for row in self._conn.execute("SELECT key FROM chunks"))

    def count_rows(self) -> int:
        with self._explained():
            return int(self._conn.execute("SELECT coalesce(sum(rows), 0) FROM chunks").fetchone()[0])

    def commit(self, chunk: Chunk, rows: Sequence[StoredRow], seconds: float) -> None:
        """All rows of a chunk, its cells and its mark, in one transaction; a chunk that is there already is left."""
        with self._explained(), self._db.atomic():
            self._insert(chunk, rows, seconds)

    def replace(self, parts: Sequence[tuple[Chunk, Sequence[StoredRow], float]], meta: Mapping[str, str]) -> None:
        """Put chunks, and facts, in the place of all that is kept of their targets and suites, in one transaction."""
        with self._explained(), self._db.atomic():
            for target, suite in {(self._targets[c.target], self._suites[c.suite]) for c, _, _ in parts}:
                for table in ("rows", "cells", "chunks"):
                    self._conn.execute(f"DELETE FROM {table} WHERE target = ? AND suite = ?", [target, suite])
            for part in parts:
                self._insert(*part)
            self._conn.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(meta.items()))

    def regrade(self, again: Callable[[StoredRow, Problem, str | None], StoredRow]) -> None:
        """Put `again(row, problem, what its hint suggests)` in the place of each row's grade, with the cells.

        One transaction: a process that is killed, or an exception of `again`, leaves every row as it was.
        """
        with self._explained(), self._db.atomic():
            problems = {
                (suite, item): problem_of(text)
                for suite, item, text in self._conn.execute("SELECT suite, item, problem FROM items")
            }
            names = {number: name for name, number in self._targets.items()}
            suites = {number: name for name, number in self._suites.items()}
            for place in self._conn.execute("SELECT key, target, suite, condition, start, stop FROM chunks").fetchall():
                key, target, suite, condition, start, stop = place
                texts = self._conn.execute(
                    "SELECT item, idx, hint_type, suggested FROM texts WHERE suite = ? AND condition = ? "
                    "AND item >= ? AND item < ?", [suite, condition, start, stop],
                ).fetchall()  # fmt: skip
                types = {(i, n): TYPES.index(HintType(t)) if t else NO_TYPE for i, n, t, _ in texts}
                suggested = {(i, n): answer for i, n, _, answer in texts}
                rows, ids = [], []
                for row in self._conn.execute(_GRADED, [target, suite, condition, start, stop]):
                    id_, item, index, sample, outcome, answer, follows, truncated, tokens, completion, *read = row
                    where = EvalKey(names[target], suites[suite], Condition(condition), item, index, sample)
                    before = StoredRow(
                        where, Outcome(outcome), answer, None if follows is None else bool(follows), bool(truncated),
                        tokens, completion, *read,
                    )  # fmt: skip
                    rows.append(again(before, problems[suite, item], suggested.get((item, index))))
                    ids.append(id_)
                self._conn.executemany(
                    "UPDATE rows SET outcome = ?, answer = ?, follows = ?, tier = ?, reader = ? WHERE id = ?",
                    [(r.outcome, r.answer, r.follows, r.tier, r.reader, i) for r, i in zip(rows, ids, strict=True)],
                )
                cells = pack_rows(rows, {item: problems[suite, item].kind for item in range(start, stop)
                                         if (suite, item) in problems}, types)  # fmt: skip
                self._conn.execute(
                    "UPDATE cells SET data = ?, layout = ? "
                    "WHERE target = ? AND suite = ? AND condition = ? AND start = ?",
                    [cells.tobytes(), LAYOUT, target, suite, condition, start],
                )
                self._conn.execute("UPDATE chunks SET reader = ? WHERE key = ?", [oldest_reader(rows), key])

    def _insert(self, chunk: Chunk, rows: Sequence[StoredRow], seconds: float) -> None:
        target, suite = self._targets[chunk.target], self._suites[chunk.suite]
        rows = sorted(rows, key=lambda row: row.key)
        keys = [row.key for row in rows]
        cells = pack_rows(
            rows,
            {key.item: self._kinds[chunk.suite, key.item] for key in keys},
            {(k.item, k.index): self._types[chunk.suite, chunk.condition, k.item, k.index] for k in keys},
        )
        marked = self._conn.execute(
            "INSERT OR IGNORE INTO chunks (key, target, suite, condition, start, stop, rows, seconds, t, reader) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                chunk.key,
                target,
                suite,
                chunk.condition,
                chunk.start,
                chunk.stop,
                len(rows),
                seconds,
                time.time(),
                oldest_reader(rows),
            ],
        )
        if not marked.rowcount:
            return
        self._conn.executemany(
            "INSERT INTO rows (target, suite, condition, item, idx, sample, outcome, answer, follows, truncated, "
            "tokens, completion, tier, reader) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (target, suite, r.key.condition, r.key.item, r.key.index, r.key.sample, r.outcome, r.answer, r.follows,
                 r.truncated, r.tokens, r.completion, r.tier, r.reader)
                for r in rows
            ],
        )  # fmt: skip
        self._conn.execute(
            "INSERT INTO cells (target, suite, condition, start, data, layout) VALUES (?, ?, ?, ?, ?, ?)",
            [target, suite, chunk.condition, chunk.start, cells.tobytes(), LAYOUT],
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise UserError(
                    f"{self._path} is damaged ({error}). Restore it from a copy, or move it away with "
                    f"{self._path.name}-wal and resume: the evaluation then starts from the beginning."
                ) from error
            raise UserError(
                f"Writing to {self._path} failed ({error}). If the disk is full, free some space and resume; chunks "
                "written before are intact."
            ) from error

    def close(self) -> None:
        self._db.close()

    def __exit__(self, *_: object) -> None:
        self.close()


_RIGHT = "####"
"""The vote of every right answer, however it is written; what follows such a mark never has one itself."""


def oldest_reader(rows: Sequence[StoredRow]) -> int | None:
    """The oldest reader that graded one of these rows; None where that of one was not recorded."""
    found = [row.reader for row in rows if row.reader is not None]
    return min(found) if found and len(found) == len(rows) else None


def problem_of(text: str) -> Problem:
    """A problem as `items.problem` keeps it; a ValueError for what is damaged."""
    return msgspec.json.decode(text, type=Problem)


def pack_rows(
    rows: Sequence[StoredRow], kinds: dict[int, AnswerKind], types: dict[tuple[int, int], int]
) -> NDArray[np.void]:
    """The cells of one chunk's rows, which are in the order of their keys; `kinds` by item, `types` by prompt."""
    prompts = [(key, list(same)) for key, same in groupby(rows, key=lambda r: (r.key.item, r.key.index))]
    cells = np.zeros(len(prompts), dtype=PACKED)
    for place, ((item, index), samples) in enumerate(prompts):
        right = [row.outcome is Outcome.RIGHT for row in samples]
        votes = [
            _RIGHT if good else vote_of(row.answer, kinds[item]) or None
            for row, good in zip(samples, right, strict=True)
        ]
        cells[place] = (
            item,
            index,
            types[item, index],
            len(samples),
            sum(right),
            sum(row.outcome in UNREADABLE for row in samples),
            sum(row.outcome is Outcome.TIMED_OUT for row in samples),
            sum(row.outcome is Outcome.TRUNCATED for row in samples),
            sum(row.follows is not None for row in samples),
            sum(row.follows is True for row in samples),
            sum(row.outcome is Outcome.TOO_LONG for row in samples),
            sum(row.outcome is Outcome.FILTERED for row in samples),
            sum(1 << row.key.sample for row in samples if row.outcome is Outcome.RIGHT),
            maj_at_k(votes, right),
        )
    return cells
