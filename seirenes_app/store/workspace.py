"""The workspace database: marks of runs, recent files, drafts. Runs themselves live in their folders, never here.

`SEIRENES_DATA` names the folder to use in place of the platform's own.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from training.errors import UserError
from training.sqlite import Database, Migrations, open_read_only

MAX_RECENT = 12
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
    """Drafts of the Craft page and what solving them gave; see `crafts`."""
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
            self._read_all()
        except sqlite3.DatabaseError as error:
            raise explain_error("The workspace cannot be opened", self.path, error) from error
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"The workspace {self.path} cannot be opened ({error}). Check its folder.") from error

    def _read_all(self) -> None:
        """Damage shows here, before anything is made of what the file holds."""
        self.marks()
        self.recent_configs()
        list(self._db.query("select id, title, saved_at from crafts"))

    @property
    def database(self) -> Database:
        """The open database, for the other modules of the store."""
        return self._db

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ------------------------------------------------------------------ recent configs

    def remember_config(self, path: Path, now: float | None = None) -> None:
        """Put a config file at the head of the recent ones; the oldest beyond `MAX_RECENT` are forgotten."""
        with self._explained("The config was not remembered"), self._db.atomic():
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
        with self._explained("The recent configs cannot be read"):
            rows = list(self._db.query("select path from recent_configs order by opened_at desc"))
        return tuple(p for row in rows if (p := Path(row["path"])).is_file())

    # ------------------------------------------------------------------ marks

    def marks(self) -> dict[str, RunMark]:
        """All marks, by run id."""
        with self._explained("Pins and notes cannot be read"):
            rows = list(self._db.query("select run_id, pinned, note, name, tags, group_name from run_marks"))
        return {
            row["run_id"]: RunMark(
                bool(row["pinned"]), row["note"], row["name"], tuple(row["tags"].split("\n")) if row["tags"] else (),
                row["group_name"],
            )
            for row in rows
        }  # fmt: skip

    def pin(self, run_id: str, pinned: bool) -> None:
        """Pin or unpin a run."""
        self._mark(run_id, pinned=int(pinned))

    def note(self, run_id: str, text: str) -> None:
        """Keep a note on a run; an empty one removes it."""
        self._mark(run_id, note=text.strip())

    def rename(self, run_id: str, name: str) -> None:
        """Give a run the name that is shown; an empty one shows its id again. Its folder keeps its name."""
        self._mark(run_id, name=" ".join(name.split()))

    def tag(self, run_id: str, tags: Iterable[str]) -> None:
        """Set all tags of a run; each is one word or a few, without duplicates."""
        words = (" ".join(tag.split()) for tag in tags)
        self._mark(run_id, tags="\n".join(dict.fromkeys(word for word in words if word)))

    def group(self, run_id: str, group: str) -> None:
        """Put a run into a group; an empty name takes it out."""
        self._mark(run_id, group_name=" ".join(group.split()))

    def forget(self, run_id: str) -> None:
        """Drop the marks of a run that is gone."""
        with self._explained("Its pin and note were not dropped"), self._db.atomic():
            self._db.execute("delete from run_marks where run_id = ?", [run_id])

    def _mark(self, run_id: str, **change: object) -> None:
        with self._explained("The mark was not kept"), self._db.atomic():
            self._db.execute("insert or ignore into run_marks (run_id) values (?)", [run_id])
            self._db["run_marks"].update(run_id, change)

    # ------------------------------------------------------------------ runs outside the runs folder

    def remember_run(self, folder: Path, now: float | None = None) -> None:
        """List a run that is not under the runs folder from now on."""
        row = {"path": str(folder.resolve()), "seen_at": time.time() if now is None else now}
        with self._explained("The run's folder was not remembered"), self._db.atomic():
            self._db["known_runs"].upsert(row, pk="path")

    @contextmanager
    def _explained(self, problem: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise explain_error(problem, self.path, error) from error


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


def data_folder() -> Path:
    """Where the workspace lives."""
    override = os.environ.get("SEIRENES_DATA")
    return Path(override) if override else Path(platformdirs.user_data_dir("seirenes", appauthor=False))


def workspace_path() -> Path:
    """The database file."""
    return data_folder() / "workspace.db"
