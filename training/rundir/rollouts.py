"""Every completion of a run, in SQLite: one transaction a step, read with keyset paging while it is written."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import sqlite_utils
from sqlite_utils import Migrations

from training.errors import UserError

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


@migrations()  # type: ignore[untyped-decorator]
def create(db: Any) -> None:
    """The first schema."""
    columns = {f.name: _TYPES[str(f.type).split(" ")[0]] for f in fields(RolloutRow)}
    db["rollouts"].create({"id": int, **columns}, pk="id", if_not_exists=True)
    db["rollouts"].create_index(["step", "id"], if_not_exists=True)
    db["steps"].create({"step": int, "rows": int}, pk="step", if_not_exists=True)
    db.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS rollouts_fts "
        "USING fts5(prompt, completion, hint, content='rollouts', content_rowid='id')"
    )


class RolloutWriter:
    """Appends steps. A resumed run drops the rows of steps after its checkpoint."""

    def __init__(self, path: Path, resume_from: int | None = None) -> None:
        self._path = path
        try:
            self._db = sqlite_utils.Database(path)
            self._db.conn.execute("PRAGMA journal_mode=WAL")
            self._db.conn.execute("PRAGMA synchronous=NORMAL")
            migrations.apply(self._db)
            if resume_from is not None:
                self._drop_after(resume_from)
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _drop_after(self, step: int) -> None:
        with self._db.atomic():
            dropped = self._db.conn.execute("DELETE FROM rollouts WHERE step > ?", [step]).rowcount
            self._db.conn.execute("DELETE FROM steps WHERE step > ?", [step])
            if dropped:
                self._db.conn.execute("INSERT INTO rollouts_fts(rollouts_fts) VALUES ('rebuild')")

    def add_step(self, rows: list[RolloutRow]) -> None:
        """All rows of one step in one transaction; the search index takes them in one batch."""
        if not rows:
            return
        names = [f.name for f in fields(RolloutRow)]
        insert = f"INSERT INTO rollouts ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        try:
            with self._db.atomic():
                last = self._db.conn.execute("SELECT coalesce(max(id), 0) FROM rollouts").fetchone()[0]
                self._db.conn.executemany(insert, [tuple(asdict(r).values()) for r in rows])
                self._db.conn.execute(
                    "INSERT INTO rollouts_fts(rowid, prompt, completion, hint) "
                    "SELECT id, prompt, completion, hint FROM rollouts WHERE id > ?",
                    [last],
                )
                self._db.conn.execute("INSERT OR REPLACE INTO steps VALUES (?, ?)", [rows[0].step, len(rows)])
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _explain(self, error: sqlite3.Error) -> UserError:
        return UserError(
            f"Writing to {self._path} failed ({error}). If the disk is full, free some space; steps written before are "
            "intact. If the file is damaged, move it away: the run goes on without its older rollouts."
        )

    def close(self) -> None:
        """Close the database."""
        self._db.close()


class RolloutReader:
    """Reads while the trainer writes; cannot write."""

    def __init__(self, path: Path) -> None:
        try:
            self._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            self._db.execute("PRAGMA query_only=1")
            self._db.row_factory = sqlite3.Row
        except sqlite3.Error as error:
            raise UserError(
                f"Cannot open {path} ({error}). The run has written no rollouts yet, or it moved."
            ) from error

    def page(self, after: int = 0, limit: int = 100, **filters: Any) -> list[dict[str, Any]]:
        """The next rows by id; filters by step, stage, role, hint_type, family, outcome or gate."""
        unknown = set(filters) - {"step", "stage", "role", "hint_type", "family", "outcome", "gate", "follows_hint"}
        if unknown:
            raise ValueError(f"no such filter: {', '.join(sorted(unknown))}")
        where = " AND ".join(["id > ?", *(f"{name} = ?" for name in filters)])
        query = f"SELECT * FROM rollouts WHERE {where} ORDER BY id LIMIT ?"
        return [dict(r) for r in self._db.execute(query, [after, *filters.values(), limit])]

    def count(self) -> int:
        """All rows, from the per-step aggregates."""
        return int(self._db.execute("SELECT coalesce(sum(rows), 0) FROM steps").fetchone()[0])

    def step_counts(self) -> dict[int, int]:
        """Rows a step."""
        return {row[0]: row[1] for row in self._db.execute("SELECT step, rows FROM steps ORDER BY step")}

    def close(self) -> None:
        """Close the database."""
        self._db.close()
