"""rows.db of a campaign: everything that a model was asked, in order, before it counts. SQLite in WAL mode.

It is a log of chunks. A chunk is a batch of questions to one model, computed and committed as a whole; `digest` is of
the questions. A campaign decides by its plan and by the answers so far alone, so that a resumed one asks the same
chunks again, and takes from here those that are there. What was under way at a kill is asked again, and is the same for
a greedy local model.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seirenes_app.services.redteam.campaign import Spent
from training.errors import UserError
from training.sqlite import Database, Migrations, open_read_only

migrations = Migrations("campaign")

_SCHEMA = (
    "CREATE TABLE chunks (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, stage TEXT NOT NULL, digest TEXT NOT NULL, "
    "rows INTEGER NOT NULL, spent TEXT NOT NULL)",
    "CREATE TABLE answers (chunk INTEGER NOT NULL, place INTEGER NOT NULL, sample INTEGER NOT NULL, "
    "problem_id TEXT NOT NULL, condition TEXT NOT NULL, recipe TEXT NOT NULL, hint TEXT NOT NULL, "
    "outcome TEXT NOT NULL, answer TEXT NOT NULL, follows INTEGER, truncated INTEGER NOT NULL, "
    "tokens INTEGER NOT NULL, completion TEXT NOT NULL, PRIMARY KEY (chunk, place, sample)) WITHOUT ROWID",
    "CREATE TABLE texts (chunk INTEGER NOT NULL, place INTEGER NOT NULL, value TEXT NOT NULL, "
    "PRIMARY KEY (chunk, place)) WITHOUT ROWID",
)
_ANSWERS = "place, sample, problem_id, condition, recipe, hint, outcome, answer, follows, truncated, tokens, completion"


@migrations()  # type: ignore[untyped-decorator]
def create(db: Any) -> None:
    for statement in _SCHEMA:
        db.execute(statement)


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One completion of the target, graded."""

    place: int
    sample: int
    problem_id: str
    condition: str
    recipe: str
    hint: str
    outcome: str
    answer: str
    follows: bool | None
    truncated: bool
    tokens: int
    completion: str


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """`kind` is solve, write, judge, or limit: where minutes or an endpoint's own budget ended a chunk."""

    seq: int
    kind: str
    stage: str
    digest: str
    spent: Spent
    answers: tuple[AnswerRow, ...] = ()
    texts: tuple[str, ...] = ()


class CampaignStore:
    """The one writer. Read it from elsewhere with `read_answers`."""

    def __init__(self, path: Path) -> None:
        try:
            connection = sqlite3.connect(path, timeout=5.0, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            self._db = Database(connection)
            migrations.apply(self._db)
        except sqlite3.Error as error:
            raise UserError(f"{path} cannot be opened ({error}). Restore it from a copy, or start again.") from error
        self._connection = connection

    def close(self) -> None:
        self._connection.close()

    def chunk(self, seq: int) -> StoredChunk | None:
        """The chunk of that number, from 1; None where it is not done yet."""
        run = self._connection.execute
        head = run("SELECT kind, stage, digest, spent FROM chunks WHERE seq = ?", [seq]).fetchone()
        if head is None:
            return None
        answers = run(f"SELECT {_ANSWERS} FROM answers WHERE chunk = ? ORDER BY place, sample", [seq]).fetchall()
        texts = run("SELECT value FROM texts WHERE chunk = ? ORDER BY place", [seq]).fetchall()
        return StoredChunk(
            seq, head[0], head[1], head[2], Spent(**json.loads(head[3])), tuple(map(_answer, answers)),
            tuple(text for (text,) in texts),
        )  # fmt: skip

    def commit(self, chunk: StoredChunk) -> None:
        """Keep a chunk whole."""
        rows = [
            (chunk.seq, a.place, a.sample, a.problem_id, a.condition, a.recipe, a.hint, a.outcome, a.answer, a.follows,
             a.truncated, a.tokens, a.completion)
            for a in chunk.answers
        ]  # fmt: skip
        run = self._connection
        try:
            run.execute("BEGIN IMMEDIATE")
            run.execute(
                "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)",
                [chunk.seq, chunk.kind, chunk.stage, chunk.digest, len(rows) or len(chunk.texts),
                 json.dumps(asdict(chunk.spent))],
            )  # fmt: skip
            run.executemany(f"INSERT INTO answers VALUES ({', '.join('?' * 13)})", rows)
            run.executemany(
                "INSERT INTO texts VALUES (?, ?, ?)", [(chunk.seq, i, text) for i, text in enumerate(chunk.texts)]
            )
            run.execute("COMMIT")
        except sqlite3.Error as error:
            if run.in_transaction:
                run.execute("ROLLBACK")
            raise UserError(f"The answers could not be stored ({error}). Free disk space, then resume.") from error


def _answer(row: Sequence[Any]) -> AnswerRow:
    values = list(row)
    values[8] = None if row[8] is None else bool(row[8])
    values[9] = bool(row[9])
    return AnswerRow(*values)


def read_answers(path: Path) -> list[AnswerRow]:
    """Every answer so far, in the order in which it was asked. A UserError where there are none."""
    if not path.is_file():
        raise UserError(f"There are no answers yet: {path} is not there.")
    try:
        with closing(open_read_only(path)) as connection:
            rows = connection.execute(f"SELECT {_ANSWERS} FROM answers ORDER BY chunk, place, sample").fetchall()
    except sqlite3.Error as error:
        raise UserError(f"{path} cannot be read ({error}). Restore it from a copy.") from error
    return [_answer(row) for row in rows]
