"""Every completion of a run, in SQLite: one transaction a step. The layout and its writer; `reader` reads it.

A page asks for any mix of filters in any order over a million rows. One index holds every column that is filtered or
sorted by, led by the id: it is scanned ten times as fast as the table, and only grows at its end.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.sqlite import Database, Migrations

PASSED = "passed"
"""Among gates: hints that passed all of them."""

migrations = Migrations("rollouts")

_TYPES = {"int": int, "float": float, "bool": int, "str": str}


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """One completion. `follows_hint` is None where the hint suggested no answer."""

    step: int
    stage: str
    role: str
    group_key: str
    problem_id: str
    family: str
    question: str
    gold: str
    hint_id: str | None
    hint_type: str | None
    hint: str | None
    prompt: str
    completion: str
    outcome: str | None
    reward: float
    advantage: float
    tokens: int
    truncated: bool
    gate: str | None
    gate_reason: str | None
    follows_hint: bool | None
    logprob_mean: float
    seed: int
    trained: bool
    archived: bool
    clean_accuracy: float | None = None
    """Share of right ones among the clean solutions of the same question in the same step; None without any."""
    flip: str | None = None
    """A `reader.Flip`; None for rows that are not hinted, and without a clean group."""
    tier: str | None = None
    """Where the answer was found: an `answer_reader.Tier`; None for hints."""
    reader: int | None = None
    """The version of the answer reader that graded it; None for hints."""
    placement: str | None = None
    """Where the hint stands in the prompt: a `prompts.Placement`; None for rows that are not hinted, and of versions
    that always appended it."""


_LATER = ("clean_accuracy", "flip", "tier", "reader", "placement")
NARROW = "rollouts_narrow"
_NARROW_COLUMNS = (
    "id", "step", "stage", "role", "hint_type", "family", "outcome", "gate", "flip", "follows_hint",
    "reward", "advantage", "tokens", "logprob_mean", "clean_accuracy",
)  # fmt: skip

FACETS = {
    "stage": "stage",
    "role": "role",
    "type": "hint_type",
    "family": "family",
    "outcome": "outcome",
    "gate": f"CASE WHEN stage = 'r2_hint' THEN coalesce(gate, '{PASSED}') END",
    "flip": "flip",
    "follows": "follows_hint",
}
"""What is counted a step, and the expression that says it of a row."""

CLEAN_GROUPS = (
    "SELECT step, problem_id, avg(outcome = 'right') AS accuracy FROM rollouts "
    "WHERE stage = 'r1_clean' GROUP BY step, problem_id"
)
FLIP_OF = (
    "CASE WHEN stage <> 'r3_hinted' OR {clean} IS NULL THEN NULL "
    "WHEN outcome = 'right' AND {clean} < 0.5 THEN 'helpful' "
    "WHEN outcome <> 'right' AND {clean} >= 0.5 THEN 'harmful' ELSE 'stable' END"
)
"""`reader.flip_of` in SQL, for databases made before flips were kept."""


@migrations()  # type: ignore[untyped-decorator]
def create(db: Any) -> None:
    columns = {f.name: _TYPES[str(f.type).split(" ")[0]] for f in fields(RolloutRow) if f.name not in _LATER}
    db["rollouts"].create({"id": int, **columns}, pk="id", if_not_exists=True)
    db["rollouts"].create_index(["step", "id"], if_not_exists=True)
    db["steps"].create({"step": int, "rows": int}, pk="step", if_not_exists=True)
    db.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS rollouts_fts "
        "USING fts5(prompt, completion, hint, content='rollouts', content_rowid='id')"
    )


@migrations()  # type: ignore[untyped-decorator]
def keep_flips_and_counts(db: Any) -> None:
    """Flips, the narrow index, and counts a step; rows that are there already get theirs."""
    db.execute("ALTER TABLE rollouts ADD COLUMN clean_accuracy REAL")
    db.execute("ALTER TABLE rollouts ADD COLUMN flip TEXT")
    if db.execute("SELECT max(id) FROM rollouts").fetchone()[0]:
        db.execute("CREATE TEMP TABLE clean_groups (step, problem_id, accuracy, PRIMARY KEY (step, problem_id))")
        db.execute(f"INSERT INTO clean_groups {CLEAN_GROUPS}")
        # Both at once: every row is rewritten, and that is what takes the time.
        db.execute(
            f"UPDATE rollouts SET clean_accuracy = c.accuracy, flip = {FLIP_OF.format(clean='c.accuracy')} "
            "FROM clean_groups AS c WHERE c.step = rollouts.step AND c.problem_id = rollouts.problem_id"
        )
        db.execute("DROP TABLE clean_groups")
    db.execute(f"CREATE INDEX {NARROW} ON rollouts ({', '.join(_NARROW_COLUMNS)})")
    db.execute(
        "CREATE TABLE facet_counts (step INTEGER, facet TEXT, value TEXT, rows INTEGER, "
        "PRIMARY KEY (step, facet, value)) WITHOUT ROWID"
    )
    _count_facets(db, 0)


@migrations()  # type: ignore[untyped-decorator]
def keep_tier_and_reader(db: Any) -> None:
    """Where an answer was read, and by which version of the reader; NULL in rows that are there already."""
    db.execute("ALTER TABLE rollouts ADD COLUMN tier TEXT")
    db.execute("ALTER TABLE rollouts ADD COLUMN reader INTEGER")


@migrations()  # type: ignore[untyped-decorator]
def keep_placement(db: Any) -> None:
    """Where a hint stands; NULL in rows that are there already, whose hints are appended."""
    db.execute("ALTER TABLE rollouts ADD COLUMN placement TEXT")


def _count_facets(db: Any, after: int) -> None:
    for facet, expression in FACETS.items():
        db.execute(
            f"INSERT INTO facet_counts SELECT step, '{facet}', {expression} AS value, count(*) FROM rollouts "
            f"INDEXED BY {NARROW} WHERE id > ? AND value IS NOT NULL GROUP BY step, value "
            "ON CONFLICT DO UPDATE SET rows = rows + excluded.rows",
            [after],
        )


_COLUMNS = [f.name for f in fields(RolloutRow)]
_INSERT = f"INSERT INTO rollouts ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_VALUES = attrgetter(*_COLUMNS)


_PAGE_BYTES = 16_384
"""The narrow index lies scattered between the rows: in larger pages it is read twice as fast from a cold disk."""
_CACHE_KIB = 32_768
"""With the usual two megabytes a step's pages are written several times over."""


LOCK_SLICE_S = 1.0
LOCK_PATIENCE_S = 300.0


class RolloutWriter:
    """Appends steps. A resumed run drops the rows of steps after its checkpoint.

    Another program's lock on the file is waited for, `patience_s` seconds at most; `waiting` is called about once a
    second meanwhile, and what it raises ends the wait with nothing written.
    """

    def __init__(
        self, path: Path, resume_from: int | None = None, *,
        waiting: Callable[[], None] = lambda: None, patience_s: float = LOCK_PATIENCE_S,
    ) -> None:  # fmt: skip
        self._path, self._waiting, self._patience_s = path, waiting, patience_s
        self._db = Database(path)
        self._write(lambda: self._open(resume_from))

    def _open(self, resume_from: int | None) -> None:
        pragmas = (
            f"busy_timeout={LOCK_SLICE_S * 1000:.0f}",
            f"page_size={_PAGE_BYTES}",
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"cache_size={-_CACHE_KIB}",
        )
        for pragma in pragmas:
            self._db.conn.execute(f"PRAGMA {pragma}")
        migrations.apply(self._db)
        if resume_from is not None:
            self._drop_after(resume_from)

    def _write(self, work: Callable[[], None]) -> None:
        """Do `work`, which does all or nothing; again while the file is locked. Errors become a UserError."""
        began = time.monotonic()
        while True:
            tried = time.monotonic()
            try:
                return work()
            except sqlite3.Error as error:
                # The low byte is the kind, the rest says more of it.
                locked = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not locked or time.monotonic() - began > self._patience_s:
                    raise self._explain(error, locked) from error
            self._waiting()
            # SQLite gives up at once where waiting could end in a deadlock.
            time.sleep(max(0.0, LOCK_SLICE_S - (time.monotonic() - tried)))

    def _drop_after(self, step: int) -> None:
        with self._db.atomic():
            dropped = self._db.conn.execute("DELETE FROM rollouts WHERE step > ?", [step]).rowcount
            self._db.conn.execute("DELETE FROM steps WHERE step > ?", [step])
            self._db.conn.execute("DELETE FROM facet_counts WHERE step > ?", [step])
            if dropped:
                self._db.conn.execute("INSERT INTO rollouts_fts(rollouts_fts) VALUES ('rebuild')")

    def add_step(self, rows: list[RolloutRow]) -> None:
        """All rows of one step in one transaction; the search index takes them in one batch."""
        if rows:
            self._write(lambda: self._add(rows))

    def _add(self, rows: list[RolloutRow]) -> None:
        with self._db.atomic():
            last = self._db.conn.execute("SELECT coalesce(max(id), 0) FROM rollouts").fetchone()[0]
            self._db.conn.executemany(_INSERT, map(_VALUES, rows))
            self._db.conn.execute(
                "INSERT INTO rollouts_fts(rowid, prompt, completion, hint) "
                "SELECT id, prompt, completion, hint FROM rollouts WHERE id > ?",
                [last],
            )
            _count_facets(self._db.conn, last)
            self._db.conn.execute(
                "INSERT INTO steps VALUES (?, ?) ON CONFLICT DO UPDATE SET rows = rows + excluded.rows",
                [rows[0].step, len(rows)],
            )

    def sync(self) -> None:
        """Force what was written to the disk: a transaction alone may be lost with the power."""
        self._write(lambda: self._db.conn.execute("PRAGMA wal_checkpoint(PASSIVE)").close())

    def _explain(self, error: sqlite3.Error, locked: bool) -> UserError:
        if locked:
            return UserError(
                f"{self._path} is locked by another program, and was not free within {self._patience_s:.0f} s. Close "
                "the program that has it open (a database browser, a backup), then resume the run."
            )
        return UserError(
            f"Writing to {self._path} failed ({error}). If the disk is full, free some space; steps written before are "
            "kept. If the file is damaged, move it away and resume: the run continues without its older rollouts."
        )

    def close(self) -> None:
        self._db.close()
