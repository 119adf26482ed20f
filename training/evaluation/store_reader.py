"""Read an evaluation's rows and cells while they are written. Cannot write. Any thread may call it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.core.answer_reader import Tier
from training.core.prompts import Placement
from training.core.types import Condition, HintType, Outcome
from training.errors import NotReadyError, UserError
from training.evaluation.outcome_arrays import CONDITIONS, PACKED, OutcomeArrays, unpack
from training.evaluation.plan import EvalKey
from training.evaluation.store import PromptText, StoredRow, TraceRow, problem_of
from training.sqlite import open_read_only

_FETCHED = 500
_TRACE = (
    "SELECT t.name, s.name, r.condition, r.item, r.idx, r.sample, r.outcome, r.answer, r.follows, r.truncated, "
    "r.tokens, r.completion, {tier}, {reader}, i.problem, x.hint_type, x.text, x.suggested, x.author, s.placement "
    "FROM rows AS r "
    "JOIN targets AS t ON t.id = r.target JOIN suites AS s ON s.id = r.suite "
    "JOIN items AS i ON i.suite = r.suite AND i.item = r.item "
    "LEFT JOIN texts AS x ON x.suite = r.suite AND x.item = r.item AND x.condition = r.condition AND x.idx = r.idx"
)
_ORDER = (
    " ORDER BY r.target, r.suite, CASE r.condition WHEN 'clean' THEN 0 WHEN 'hinted' THEN 1 ELSE 2 END, r.item, "
    "r.idx, r.sample"
)


class StoreReader(AbstractContextManager["StoreReader"]):
    """One `rows.db`. Every method raises a UserError that names the file for one that is missing or damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._problems: dict[tuple[int, int], tuple[str, str]] = {}
        if not path.is_file():
            raise NotReadyError(f"{path} is not there: the evaluation has no rows yet. They come with its first chunk.")
        with self._explained():
            self._db = open_read_only(path)
            tables = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            # Older files have one layout and do not name it.
            named = any(row[1] == "layout" for row in self._db.execute("PRAGMA table_info(cells)"))
            self._layout = "layout" if named else "1"
            # Files of older versions have neither, and only a writer adds columns.
            self._keeps_readers = any(row[1] == "reader" for row in self._db.execute("PRAGMA table_info(chunks)"))
        if not {"rows", "cells", "chunks"} <= tables:
            self._db.close()
            raise NotReadyError(f"{path} holds no evaluation yet. The rows come with its first chunk.")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self._path} is damaged: a row cannot be read ({error}). Restore it from a copy."
            ) from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            remedy = "If the evaluation was moved, open it again; if another program holds the file, retry."
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                remedy = "The file is damaged: restore it from a copy, or move it away and resume the evaluation."
            raise UserError(f"Reading {self._path} failed ({error}). {remedy}") from error

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._explained():
            return self._db.execute(sql, values).fetchall()

    def targets(self) -> tuple[str, ...]:
        return tuple(row[0] for row in self._all("SELECT name FROM targets ORDER BY id"))

    def suites(self) -> tuple[str, ...]:
        return tuple(row[0] for row in self._all("SELECT name FROM suites ORDER BY id"))

    def meta(self, key: str) -> str | None:
        found = self._all("SELECT value FROM meta WHERE key = ?", [key])
        return found[0][0] if found else None

    def notes(self, targets: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """What a reader of the figures should know of models at servers, by their names."""
        found = {name: tuple(json.loads(self.meta(f"notes/{name}") or "[]")) for name in targets}
        return {name: notes for name, notes in found.items() if notes}

    def cells(self) -> OutcomeArrays:
        """The cells of all committed chunks; 500,000 take some 50 ms."""
        names = self.targets(), self.suites()
        found = self._all(
            f"SELECT target, suite, condition, data, {self._layout} FROM cells ORDER BY target, suite, condition, start"
        )
        try:
            parts = [unpack(data, layout) for *_, data, layout in found]
        except ValueError as error:
            raise UserError(
                f"{self._path} is damaged: a chunk's cells are cut short. Restore it from a copy."
            ) from error
        except KeyError as error:
            raise UserError(f"{self._path} was written by a newer version of seirenes. Update this one.") from error
        data = np.concatenate([np.zeros(0, PACKED), *parts])
        counts = np.array([len(part) for part in parts], dtype=np.intp)
        codes = np.array([(row[0], row[1], CONDITIONS.index(row[2])) for row in found], dtype=np.int32).reshape(-1, 3)
        target, suite, condition = np.repeat(codes, counts, axis=0).T
        problem, ids, families = self._problem_codes(suite, data["item"])
        return OutcomeArrays(*names, ids, families, target, suite, condition.astype(np.int8), problem, data)

    def _problem_codes(
        self, suite_C: NDArray[np.int32], item_C: NDArray[np.uint32]
    ) -> tuple[NDArray[np.int32], tuple[str, ...], tuple[str, ...]]:
        known = self._all("SELECT suite, item, problem_id, family FROM items")
        numbers: dict[str, int] = {}
        families: list[str] = []
        places = np.zeros((len(self.suites()), 1 + max((row[1] for row in known), default=0)), dtype=np.int32)
        for suite, item, problem, family in known:
            if problem not in numbers:
                numbers[problem] = len(numbers)
                families.append(family)
            places[suite, item] = numbers[problem]
        try:
            return places[suite_C, item_C.astype(np.intp)], tuple(numbers), tuple(families)
        except IndexError as error:
            raise UserError(f"{self._path} is damaged: cells name items it lacks. Restore it from a copy.") from error

    def traces(
        self,
        *,
        target: str | None = None,
        suite: str | None = None,
        condition: Condition | None = None,
        hint_type: HintType | None = None,
        limit: int = 200,
        offset: int = 0,
    ) -> list[TraceRow]:
        """Rows of a slice in the order of their keys, with problem and hint."""
        wanted = {"t.name": target, "s.name": suite, "r.condition": condition, "x.hint_type": hint_type}
        asked = {column: value for column, value in wanted.items() if value is not None}
        where = " WHERE " + " AND ".join(f"{column} = ?" for column in asked) if asked else ""
        kept = "r.{}" if self._keeps_readers else "NULL"
        select = _TRACE.format(tier=kept.format("tier"), reader=kept.format("reader"))
        found = self._all(f"{select}{where}{_ORDER} LIMIT ? OFFSET ?", [*asked.values(), limit, offset])
        with self._explained():
            return [_trace(row) for row in found]

    def prompts(self, suite: str, item: int, condition: Condition) -> tuple[PromptText, ...]:
        """What is shown of an item under a condition, by index."""
        found = self._all(
            "SELECT x.idx, x.hint_type, x.text, x.suggested, x.author FROM texts AS x JOIN suites AS s "
            "ON s.id = x.suite WHERE s.name = ? AND x.item = ? AND x.condition = ? ORDER BY x.idx",
            [suite, item, condition],
        )
        with self._explained():
            return tuple(_prompt(*row) for row in found)

    def lengths(self, target: str, suite: str, condition: Condition) -> list[tuple[str, int]]:
        """(problem's id, tokens) of every completion of a slice."""
        return [
            (problem, tokens)
            for problem, tokens in self._all(
                "SELECT i.problem_id, r.tokens FROM rows AS r JOIN targets AS t ON t.id = r.target "
                "JOIN suites AS s ON s.id = r.suite JOIN items AS i ON i.suite = r.suite AND i.item = r.item "
                "WHERE t.name = ? AND s.name = ? AND r.condition = ?",
                [target, suite, condition],
            )
        ]

    def hint_texts(self, suite: str) -> dict[tuple[int, int], PromptText]:
        """The hints of a suite by (item, index), as far as they were asked."""
        found = self._all(
            "SELECT x.item, x.idx, x.text, x.hint_type, x.suggested, x.author FROM texts AS x "
            "JOIN suites AS s ON s.id = x.suite WHERE s.name = ? AND x.condition = 'hinted' ORDER BY x.item, x.idx",
            [suite],
        )
        with self._explained():
            return {
                (item, index): PromptText(index, text, HintType(type_), suggested, author)
                for item, index, text, type_, suggested, author in found
            }

    def all_traces(self) -> Iterator[TraceRow]:
        """Every row in the order of the plan, for export."""
        for target in self.targets():
            for suite in self.suites():
                offset = 0
                while page := self.traces(target=target, suite=suite, limit=_FETCHED, offset=offset):
                    yield from page
                    offset += len(page)

    def done_chunks(self) -> frozenset[str]:
        return frozenset(row[0] for row in self._all("SELECT key FROM chunks"))

    def readers(self) -> dict[int | None, int]:
        """Rows by the version of the answer reader that graded them; None where that was not recorded."""
        column = "reader" if self._keeps_readers else "NULL"
        return dict(self._all(f"SELECT {column} AS r, sum(rows) FROM chunks GROUP BY r"))

    def counts(self) -> tuple[int, int]:
        chunks, rows = self._all("SELECT count(*), coalesce(sum(rows), 0) FROM chunks")[0]
        return chunks, rows

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def _trace(row: tuple[Any, ...]) -> TraceRow:
    target, suite, condition, item, index, sample, outcome, answer, follows, truncated, tokens, completion = row[:12]
    tier, reader = row[12:14]
    key = EvalKey(target, suite, Condition(condition), item, index, sample)
    stored = StoredRow(
        key, Outcome(outcome), answer, None if follows is None else bool(follows), bool(truncated), tokens, completion,
        None if tier is None else Tier(tier), reader,
    )  # fmt: skip
    problem, hint_type, text, suggested, author, placement = row[14:]
    prompt = _prompt(index, hint_type or "", text or "", suggested, author or "")
    return TraceRow(stored, problem_of(problem), prompt, Placement(placement))


def _prompt(index: int, hint_type: str, text: str, suggested: str | None, author: str) -> PromptText:
    return PromptText(index, text, HintType(hint_type) if hint_type else None, suggested, author)
