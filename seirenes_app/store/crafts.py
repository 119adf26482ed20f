"""Drafts and results of crafting, in the workspace database. It keeps their text and does not read it.

Each call is one transaction: after a crash a draft is as it was before or after a save, never between. Used from the
thread that opened the workspace.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from seirenes_app.store.workspace import Workspace, explain_error
from training.errors import UserError

KEPT_RESULTS = 400
"""A draft's results beyond this are forgotten, the oldest first."""


@dataclass(frozen=True, slots=True)
class SavedDraft:
    """A draft in the list. `saved_at` is in seconds since 1970."""

    id: str
    title: str
    saved_at: float


class CraftStore:
    """Drafts by id, and their results by draft and key. Trouble with the file is a `UserError`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._db = workspace.database

    def save(self, id_: str, title: str, body: str, now: float | None = None) -> None:
        """Keep a draft in the place of the one with its id."""
        row = {"id": id_, "title": title, "saved_at": time.time() if now is None else now, "body": body}
        with self._writing(f"The draft {title!r}"):
            self._db["crafts"].upsert(row, pk="id")

    def save_over(self, id_: str, title: str, body: str, known: str | None, now: float | None = None) -> bool:
        """`save`, but only over the text `known` (None: over none); False, and nothing saved, where another stands."""
        with self._writing(f"The draft {title!r}"):
            cursor = self._db.execute(
                "insert into crafts (id, title, saved_at, body) values (?, ?, ?, ?) on conflict (id) do update set "
                "title = excluded.title, saved_at = excluded.saved_at, body = excluded.body where crafts.body is ?",
                [id_, title, time.time() if now is None else now, body, known],
            )
        return bool(cursor.rowcount)

    def branch(self, id_: str, new: str, title: str, body: str, now: float | None = None) -> None:
        """Keep a draft under a new id beside the one of `id_`, with copies of its results."""
        row = {"id": new, "title": title, "saved_at": time.time() if now is None else now, "body": body}
        with self._writing(f"The draft {title!r}"):
            self._db["crafts"].insert(row)
            self._db.execute(
                "insert into craft_results (draft_id, key, saved_at, body) "
                "select ?, key, saved_at, body from craft_results where draft_id = ?",
                [new, id_],
            )

    def drafts(self) -> tuple[SavedDraft, ...]:
        """Newest first, damaged ones included: only `load` and its reader tell."""
        rows = self._rows("select id, title, saved_at from crafts order by saved_at desc, id")
        return tuple(SavedDraft(str(r["id"]), str(r["title"]), float(r["saved_at"])) for r in rows)

    def load(self, id_: str) -> str:
        """A draft's text. Raises a `UserError` when there is none of that id."""
        for row in self._rows("select body from crafts where id = ?", id_):
            return str(row["body"])
        raise UserError(f"There is no draft {id_!r} in {self._workspace.path}. It may have been deleted.")

    def delete(self, id_: str) -> None:
        """Forget a draft and its results."""
        with self._writing("The deletion"):
            self._db.execute("delete from crafts where id = ?", [id_])
            self._db.execute("delete from craft_results where draft_id = ?", [id_])

    def put_result(self, draft_id: str, key: str, body: str, now: float | None = None) -> None:
        """Keep a result in the place of the one with its key."""
        row = {"draft_id": draft_id, "key": key, "saved_at": time.time() if now is None else now, "body": body}
        with self._writing("The result"):
            self._db["craft_results"].upsert(row, pk=("draft_id", "key"))
            self._db.execute(
                "delete from craft_results where draft_id = ? and key not in (select key from craft_results "
                "where draft_id = ? order by saved_at desc limit ?)",
                [draft_id, draft_id, KEPT_RESULTS],
            )

    def result(self, draft_id: str, key: str) -> str | None:
        """A result's text, None where there is none."""
        for row in self._rows("select body from craft_results where draft_id = ? and key = ?", draft_id, key):
            return str(row["body"])
        return None

    def _rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        try:
            return list(self._db.query(query, values))
        except sqlite3.Error as error:
            raise self._trouble("What was saved cannot be read", error) from error

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            with self._db.atomic():
                yield
        except sqlite3.Error as error:
            raise self._trouble(f"{what} was not saved", error) from error

    def _trouble(self, words: str, error: sqlite3.Error) -> UserError:
        return explain_error(words, self._workspace.path, error)
