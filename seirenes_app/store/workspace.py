"""The workspace database: marks of runs, recent files, drafts with their results, the queue of runs, what dry runs
measured. It holds no runs, those are folders.

`SEIRENES_DATA` names the folder to use in place of the platform's own.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.resources import data_folder
from training.sqlite import Database, Migrations, open_read_only

MAX_RECENT = 12
KEPT_MEASUREMENTS = 200
BUSY_S = 0.25
"""How long a call waits for another program that holds the file: the window waits with it."""
_REMEDIES = (
    ("SQLITE_FULL", "Free disk space."),
    (("SQLITE_BUSY", "SQLITE_LOCKED"), "Close what else uses it."),
    (("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM"), "Allow writing in its folder."),
)

migrations = Migrations("workspace")


@migrations()  # type: ignore[untyped-decorator]
def m001_recent_configs(db: Database) -> None:
    """Config files that were opened."""
    db["recent_configs"].create({"path": str, "opened_at": float}, pk="path", not_null={"opened_at"})


@migrations()  # type: ignore[untyped-decorator]
def m002_run_marks(db: Database) -> None:
    """Pins and notes, by run id."""
    db["run_marks"].create(
        {"run_id": str, "pinned": int, "note": str}, pk="run_id", not_null={"pinned", "note"},
        defaults={"pinned": 0, "note": ""},
    )  # fmt: skip


@migrations()  # type: ignore[untyped-decorator]
def m003_crafts(db: Database) -> None:
    """Drafts of the Craft page and what solving them gave; see `CraftStore`."""
    db["crafts"].create(
        {"id": str, "title": str, "saved_at": float, "body": str}, pk="id", not_null={"title", "saved_at", "body"}
    )
    db["craft_results"].create(
        {"draft_id": str, "key": str, "saved_at": float, "body": str}, pk=("draft_id", "key"),
        not_null={"saved_at", "body"},
    )  # fmt: skip


@migrations()  # type: ignore[untyped-decorator]
def m004_run_names(db: Database) -> None:
    """Names, tags and groups of runs; runs that are outside the runs folder."""
    for column in ("name", "tags", "group_name"):
        db["run_marks"].add_column(column, str, not_null_default="")
    db["known_runs"].create({"path": str, "seen_at": float}, pk="path", not_null={"seen_at"})


@migrations()  # type: ignore[untyped-decorator]
def m005_model_folders(db: Database) -> None:
    """Folders and files in which the user has models."""
    db["model_folders"].create({"path": str, "added_at": float}, pk="path", not_null={"added_at"})


@migrations()  # type: ignore[untyped-decorator]
def m006_run_queue(db: Database) -> None:
    """Runs that wait to be started, see `QueueStore`; what dry runs measured, by settings and machine."""
    db["run_queue"].create(
        {"id": str, "place": int, "added_at": float, "body": str, "folder": str, "problem": str, "approved": int},
        pk="id", not_null={"place", "added_at", "body", "folder", "problem", "approved"},
        defaults={"folder": "", "problem": "", "approved": 0},
    )  # fmt: skip
    db["run_queue_state"].create({"key": str, "value": str}, pk="key", not_null={"value"})
    db["run_measurements"].create(
        {"key": str, "measured_at": float, "body": str}, pk="key", not_null={"measured_at", "body"}
    )


@dataclass(frozen=True)
class RunMark:
    """What the user noted about a run. `name` is shown in place of the run's id; "" where there is none."""

    pinned: bool = False
    note: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()
    group: str = ""


class WorkspaceDamaged(UserError):
    """The file is no database, or a broken one. `set_aside` keeps it and makes room for a new one."""


class Workspace:
    """Open, or make, the database at `path`. A file that is no database is a `UserError` and is left as it is."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or workspace_path()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = Database(sqlite3.connect(self.path, timeout=BUSY_S))
            migrations.apply(self._db)
            # Damage shows here, before anything is made of what the file holds.
            self.marks()
            self.recent_configs()
            list(self._db.query("select id, title, saved_at from crafts"))
        except sqlite3.DatabaseError as error:
            raise explain_error("The workspace cannot be opened", self.path, error) from error
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"The workspace {self.path} cannot be opened ({error}). Check its folder.") from error

    @property
    def database(self) -> Database:
        return self._db

    def close(self) -> None:
        self._db.close()

    def remember_config(self, path: Path, now: float | None = None) -> None:
        """Put a config file at the head of the recent ones; the oldest beyond `MAX_RECENT` are forgotten."""
        with self.writing("The config was not remembered"):
            self._db["recent_configs"].upsert(
                {"path": str(path.resolve()), "opened_at": time.time() if now is None else now}, pk="path"
            )
            self._db.execute(
                "delete from recent_configs where path not in "
                "(select path from recent_configs order by opened_at desc limit ?)",
                [MAX_RECENT],
            )

    def recent_configs(self) -> tuple[Path, ...]:
        """Newest first; files that are gone are left out, not forgotten: a drive may be away."""
        with self.explained("The recent configs cannot be read"):
            rows = list(self._db.query("select path from recent_configs order by opened_at desc"))
        return tuple(p for row in rows if (p := Path(row["path"])).is_file())

    def marks(self) -> dict[str, RunMark]:
        with self.explained("Pins and notes cannot be read"):
            rows = list(self._db.query("select run_id, pinned, note, name, tags, group_name from run_marks"))
        return {
            row["run_id"]: RunMark(
                bool(row["pinned"]), row["note"], row["name"], tuple(row["tags"].split("\n")) if row["tags"] else (),
                row["group_name"],
            )
            for row in rows
        }  # fmt: skip

    def mark(
        self, run_id: str, *, pinned: bool | None = None, note: str | None = None, name: str | None = None,
        tags: Iterable[str] | None = None, group: str | None = None,
    ) -> None:  # fmt: skip
        """Change what is noted about a run; what is not named stays, an empty text is removed.

        `name` is shown in place of the id, and the folder keeps its own. `tags` are all of the run's.
        """
        change = {
            "pinned": None if pinned is None else int(pinned), "note": note and note.strip(), "name": _squeeze(name),
            "tags": None if tags is None else "\n".join(dict.fromkeys(filter(None, map(_squeeze, tags)))),
            "group_name": _squeeze(group),
        }  # fmt: skip
        with self.writing("The mark was not kept"):
            self._db.execute("insert or ignore into run_marks (run_id) values (?)", [run_id])
            self._db["run_marks"].update(run_id, {key: value for key, value in change.items() if value is not None})

    def forget(self, run_id: str) -> None:
        with self.writing("Its pin and note were not dropped"):
            self._db.execute("delete from run_marks where run_id = ?", [run_id])

    def remember_run(self, folder: Path, now: float | None = None) -> None:
        """List a run that is not under the runs folder from now on."""
        row = {"path": str(folder.resolve()), "seen_at": time.time() if now is None else now}
        with self.writing("The run's folder was not remembered"):
            self._db["known_runs"].upsert(row, pk="path")

    def add_model_folder(self, path: Path, now: float | None = None) -> None:
        """Look for models in this folder, or at this file, from now on."""
        row = {"path": str(path), "added_at": time.time() if now is None else now}
        with self.writing("The model folder was not remembered"):
            self._db["model_folders"].upsert(row, pk="path")

    def remove_model_folder(self, path: Path) -> None:
        """Look there no more; the folder itself stays as it is."""
        with self.writing("The model folder was not dropped"):
            self._db.execute("delete from model_folders where path = ?", [str(path)])

    def keep_measurement(self, key: str, body: str, now: float | None = None) -> None:
        """Keep what a dry run measured; the oldest beyond `KEPT_MEASUREMENTS` are forgotten."""
        row = {"key": key, "body": body, "measured_at": time.time() if now is None else now}
        with self.writing("The measurement was not kept"):
            self._db["run_measurements"].upsert(row, pk="key")
            self._db.execute(
                "delete from run_measurements where key not in "
                "(select key from run_measurements order by measured_at desc limit ?)",
                [KEPT_MEASUREMENTS],
            )

    @contextmanager
    def writing(self, problem: str) -> Iterator[None]:
        """One transaction; trouble with the file is a `UserError` that begins with `problem`."""
        with self.explained(problem), self._db.atomic():
            yield

    @contextmanager
    def explained(self, problem: str) -> Iterator[None]:
        """`writing` without a transaction."""
        try:
            yield
        except sqlite3.Error as error:
            raise explain_error(problem, self.path, error) from error


def _squeeze(text: str | None) -> str | None:
    return text and " ".join(text.split())


def explain_error(problem: str, path: Path, error: sqlite3.Error) -> UserError:
    """What went wrong with the file, and the remedy that fits."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return WorkspaceDamaged(
            f"{problem}: {path} is damaged ({error}). Close the window, move the file away and start again; runs are "
            "not in it and stay untouched."
        )
    remedy = next((text for names, text in _REMEDIES if name.startswith(names)), "Look at its disk and its folder.")
    return UserError(f"{problem}: {path} ({error}). {remedy}")


def set_aside(path: Path, now: float | None = None) -> Path:
    """Rename a damaged workspace, its journals with it; returns the new name. Raises a `UserError` when it cannot."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    aside = path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}")
    try:
        for tail in ("-journal", "-wal", "-shm", ""):
            old = path.with_name(path.name + tail)
            if old.exists():
                old.rename(aside.with_name(aside.name + tail))
    except OSError as error:
        raise UserError(f"{path} cannot be moved away ({error.strerror}). Move it by hand and start again.") from error
    return aside


def read_known_runs(path: Path) -> tuple[Path, ...]:
    """Folders of remembered runs that are there, newest first, from any thread; none where the file cannot be read."""
    try:
        with closing(open_read_only(path)) as connection:
            rows = connection.execute("select path from known_runs order by seen_at desc").fetchall()
    except sqlite3.Error:
        return ()
    return tuple(folder for (text,) in rows if (folder := Path(text)).is_dir())


def read_model_folders(path: Path) -> tuple[Path, ...]:
    """Where the user has models, oldest first, from any thread; none where the file cannot be read or is older."""
    try:
        with closing(open_read_only(path)) as connection:
            rows = connection.execute("select path from model_folders order by added_at").fetchall()
    except sqlite3.Error:
        return ()
    return tuple(Path(text) for (text,) in rows)


def read_measurement(path: Path, key: str) -> str | None:
    """What a dry run measured, from any thread; None where there is none or the file cannot be read or is older."""
    try:
        with closing(open_read_only(path)) as connection:
            row = connection.execute("select body from run_measurements where key = ?", [key]).fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])


def workspace_path() -> Path:
    return data_folder() / "workspace.db"


KEPT_RESULTS = 400
"""A draft's results beyond this are forgotten, the oldest first."""


@dataclass(frozen=True, slots=True)
class SavedDraft:
    """A draft in the list. `saved_at` is in seconds since 1970."""

    id: str
    title: str
    saved_at: float


class CraftStore:
    """Drafts of crafting by id, and their results by draft and key. It keeps their text and does not read it.

    Each call is one transaction: after a crash a draft is as it was before or after a save, never between. Trouble
    with the file is a `UserError`. Used from the thread that opened the workspace.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._db = workspace.database

    def save(self, id_: str, title: str, body: str, now: float | None = None) -> None:
        """Keep a draft in the place of the one with its id."""
        row = {"id": id_, "title": title, "saved_at": time.time() if now is None else now, "body": body}
        with self._workspace.writing(f"The draft {title!r} was not saved"):
            self._db["crafts"].upsert(row, pk="id")

    def save_over(self, id_: str, title: str, body: str, known: str | None, now: float | None = None) -> bool:
        """`save`, but only over the text `known` (None: over none); False, and nothing saved, where another stands."""
        with self._workspace.writing(f"The draft {title!r} was not saved"):
            cursor = self._db.execute(
                "insert into crafts (id, title, saved_at, body) values (?, ?, ?, ?) on conflict (id) do update set "
                "title = excluded.title, saved_at = excluded.saved_at, body = excluded.body where crafts.body is ?",
                [id_, title, time.time() if now is None else now, body, known],
            )
        return bool(cursor.rowcount)

    def branch(self, id_: str, new: str, title: str, body: str, now: float | None = None) -> None:
        """Keep a draft under a new id beside the one of `id_`, with copies of its results."""
        row = {"id": new, "title": title, "saved_at": time.time() if now is None else now, "body": body}
        with self._workspace.writing(f"The draft {title!r} was not saved"):
            self._db["crafts"].insert(row)
            self._db.execute(
                "insert into craft_results (draft_id, key, saved_at, body) "
                "select ?, key, saved_at, body from craft_results where draft_id = ?",
                [new, id_],
            )

    def drafts(self) -> tuple[SavedDraft, ...]:
        """Newest first; damaged ones are found out only when they are loaded."""
        rows = self._rows("select id, title, saved_at from crafts order by saved_at desc, id")
        return tuple(SavedDraft(str(r["id"]), str(r["title"]), float(r["saved_at"])) for r in rows)

    def load(self, id_: str) -> str:
        """A draft's text. Raises a `UserError` when there is none of that id."""
        for row in self._rows("select body from crafts where id = ?", id_):
            return str(row["body"])
        raise UserError(f"There is no draft {id_!r} in {self._workspace.path}. It may have been deleted.")

    def delete(self, id_: str) -> None:
        with self._workspace.writing("The deletion was not saved"):
            self._db.execute("delete from crafts where id = ?", [id_])
            self._db.execute("delete from craft_results where draft_id = ?", [id_])

    def put_result(self, draft_id: str, key: str, body: str, now: float | None = None) -> None:
        """Keep a result in the place of the one with its key."""
        row = {"draft_id": draft_id, "key": key, "saved_at": time.time() if now is None else now, "body": body}
        with self._workspace.writing("The result was not saved"):
            self._db["craft_results"].upsert(row, pk=("draft_id", "key"))
            self._db.execute(
                "delete from craft_results where draft_id = ? and key not in (select key from craft_results "
                "where draft_id = ? order by saved_at desc limit ?)",
                [draft_id, draft_id, KEPT_RESULTS],
            )

    def result(self, draft_id: str, key: str) -> str | None:
        for row in self._rows("select body from craft_results where draft_id = ? and key = ?", draft_id, key):
            return str(row["body"])
        return None

    def _rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        with self._workspace.explained("What was saved cannot be read"):
            return list(self._db.query(query, values))


@dataclass(frozen=True)
class QueuedRow:
    """One entry of the queue as it is stored; `body` may be of any version, or damaged."""

    id: str
    added_at: float
    body: str
    folder: str
    """Of the run that was made for it and whose trainer may not have been launched; "" before."""
    problem: str
    """Why it could not be started; "" where that was not tried or it may be tried again."""
    approved: bool
    """Whether it is to be started although it does not fit."""


class QueueStore:
    """The runs that wait, in their order. Several windows and commands may change it: each call is one transaction."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._db = workspace, workspace.database

    @property
    def lock(self) -> Path:
        """Locked by the one process that starts the runs."""
        return self._workspace.path.with_name("queue.lock")

    def rows(self) -> tuple[QueuedRow, ...]:
        with self._workspace.explained("The queue cannot be read"):
            found = list(self._db.query("select * from run_queue order by place, added_at, id"))
        return tuple(
            QueuedRow(
                str(r["id"]), float(r["added_at"]), str(r["body"]), r["folder"], r["problem"], bool(r["approved"])
            )
            for r in found
        )

    def add(self, id_: str, body: str, *, at: int | None = None, now: float | None = None) -> None:
        """Add an entry at the end, or as number `at`."""
        with self._workspace.writing("The run was not added to the queue"):
            ids = self._ids()
            row = {"id": id_, "place": len(ids), "added_at": time.time() if now is None else now, "body": body}
            self._db["run_queue"].insert(row)
            if at is not None:
                ids.insert(at, id_)
                self._number(ids)

    def move(self, id_: str, to: int) -> None:
        """Make an entry number `to`, counted from 0."""
        with self._workspace.writing("The queue's order was not kept"):
            ids = self._ids()
            if id_ in ids:
                ids.remove(id_)
                ids.insert(max(0, to), id_)
                self._number(ids)

    def remove(self, id_: str) -> None:
        with self._workspace.writing("The run was not taken out of the queue"):
            self._db.execute("delete from run_queue where id = ?", [id_])

    def change(self, id_: str, **values: str | int) -> None:
        """Set `body`, `folder`, `problem` or `approved`; an entry that is gone stays gone."""
        names = ", ".join(f"{name} = :{name}" for name in values)
        with self._workspace.writing("The queue was not changed"):
            self._db.execute(f"update run_queue set {names} where id = :id", {**values, "id": id_})

    @property
    def running(self) -> bool:
        """Whether its runs are to be started."""
        with self._workspace.explained("The queue cannot be read"):
            return any(row["value"] == "1" for row in self._db.query(
                "select value from run_queue_state where key = 'running'"))  # fmt: skip

    def set_running(self, on: bool) -> None:
        with self._workspace.writing("The queue was not changed"):
            self._db["run_queue_state"].upsert({"key": "running", "value": str(int(on))}, pk="key")

    def _ids(self) -> list[str]:
        return [str(row["id"]) for row in self._db.query("select id from run_queue order by place, added_at, id")]

    def _number(self, ids: Iterable[str]) -> None:
        for place, id_ in enumerate(ids):
            self._db.execute("update run_queue set place = ? where id = ?", [place, id_])
