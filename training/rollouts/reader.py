"""Read a run's rollouts while they are written: pages, counts, search, pairs. Cannot write; no layout of its own.

Two connections, each with its own lock: `ids`, `first_page`, `count` and `facets` share one and may take a while;
`rows`, `row`, `pair` and `newest_id` share the other and answer at once, also while the first is busy. All methods may
be called from any thread. Look-ups of ids that are gone (a resumed run drops later steps) leave them out.

Databases made before flips were kept are read as they are; their flips are computed for every query.
"""

from __future__ import annotations

import sqlite3
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.rollouts.search import (
    Facets,
    Layout,
    RolloutQuery,
    Statement,
    TracePair,
    contiguous,
    facet_statement,
    steps_range,
)
from training.sqlite import open_read_only

CHUNK_IDS = 500
"""Ids a look-up: SQLite's oldest limit of parameters is 999."""
_AT_ONCE = 20_000
_OPCODES_BETWEEN_LOOKS = 50_000


class Cancelled(Exception):
    """The caller asked for an end: `cancelled` said so, or `interrupt` was called."""


class NoRollouts(UserError):
    """The run has written none yet."""


class RolloutReader:
    """One run's `rollouts.db`. A UserError from any method names the file and what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._closed = False
        self._slow_lock, self._quick_lock = threading.Lock(), threading.Lock()
        if not path.is_file():
            raise NoRollouts(f"{path} is not there: no rollouts yet. They come with the run's first step.")
        with self._explained():
            self._slow = open_read_only(path)
        try:
            with self._explained():
                self._quick = open_read_only(path)
        except UserError:
            self._slow.close()
            raise
        try:
            self._layout = self._find_layout()
        except UserError:
            self.close()
            raise

    def _find_layout(self) -> Layout:
        with self._explained():
            columns = {row[1] for row in self._quick.execute("PRAGMA table_info(rollouts)")}
        if "completion" not in columns:
            raise NoRollouts(f"{self._path} holds no rollouts yet: they come with the run's first step.")
        return Layout(keeps_flips="flip" in columns)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_INTERRUPT or self._closed:
                raise Cancelled from error
            if code == sqlite3.SQLITE_BUSY:
                remedy = "Another program holds it; try again when that is done."
            elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                remedy = "The file is damaged: restore it from a copy, or move it away. Checkpoints do not need it."
            else:
                remedy = "If the run was moved or deleted, open it again."
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

    # ------------------------------------------------------------------ lists, counts

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
        """How many rows the query has; all of them without one."""
        with self._asking() as db:
            if query is None:
                return int(db.execute("SELECT coalesce(sum(rows), 0) FROM steps").fetchone()[0])
            statement = self._layout.count(query, steps_range(db, query.steps))
            return int(db.execute(*statement).fetchone()[0]) if statement else 0

    def step_counts(self) -> dict[int, int]:
        """Rows a step."""
        with self._asking() as db:
            return dict(db.execute("SELECT step, rows FROM steps ORDER BY step").fetchall())

    def facets(self) -> Facets:
        """What the run holds, from counts kept a step: fast at any size."""
        steps = self.step_counts()
        counts: dict[str, dict[str, int]] = {}
        with self._asking() as db:
            for facet, value, rows in db.execute(facet_statement(self._layout.keeps_flips)):
                counts.setdefault(facet, {})[str(value)] = rows
        named = {name: counts.get(name, {}) for name in ("stage", "role", "type", "family", "outcome", "gate", "flip")}
        follows = {value == "1": rows for value, rows in counts.get("follows", {}).items()}
        return Facets(
            sum(steps.values()), steps, named["stage"], named["role"], named["type"], named["family"],
            named["outcome"], named["gate"], named["flip"], follows,
        )  # fmt: skip

    # ------------------------------------------------------------------ look-ups

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
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def row(self, id: int) -> dict[str, Any] | None:
        """One row; None where there is none."""
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
        if row["stage"] == "r1_clean":
            return TracePair(id, None, clean, None, ())
        same = [r for r in around if r["hint_id"] == row["hint_id"]]
        siblings = tuple(r for r in same if r["stage"] == "r3_hinted")
        hint = next((r for r in same if r["stage"] == "r2_hint"), None)
        hinted = row if row["stage"] == "r3_hinted" else next(iter(siblings), None)
        return TracePair(id, hinted, clean, hint, siblings)

    def newest_id(self) -> int:
        """The highest id, 0 where there are none."""
        with self._quick_lock, self._explained():
            return int(self._quick.execute("SELECT coalesce(max(id), 0) FROM rollouts").fetchone()[0])

    def version(self) -> int:
        """A number that is another one after every step that was written or dropped; of this reader alone."""
        with self._quick_lock, self._explained():
            return int(self._quick.execute("PRAGMA data_version").fetchone()[0])

    # ------------------------------------------------------------------ end

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
