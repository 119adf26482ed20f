"""The queue of runs: what waits, whether it fits now, and which run is started next. No Qt.

The queue is in the workspace, so that it survives a restart, and windows and commands share it. One process starts its
runs: the one that holds the lock. Nothing that does not fit is started unless that was approved.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from seirenes_app.services.preflight import MachineState, Needs, find_needs, find_shortages
from seirenes_app.services.run_repository import RunRepository, startable
from seirenes_app.store.workspace import QueuedRow, QueueStore, Workspace
from training.errors import UserError
from training.runs.config import RunConfig, from_dict, to_dict, with_absolute_paths
from training.runs.lock import RunLock, holder
from training.runs.paths import RunPaths, new_run
from training.runs.processes import RunSummary, running_process

FORMAT = 1


@dataclass(frozen=True)
class QueueEntry:
    """A run that waits. `config` is None where what is stored cannot be read; `problem` says why, or why it could not
    be started when that was tried."""

    id: str
    config: RunConfig | None
    problem: str = ""
    approved: bool = False
    folder: str = ""

    @property
    def name(self) -> str:
        return self.config.name if self.config is not None else "unreadable entry"


@dataclass(frozen=True)
class QueueState:
    """The queue at one moment. `on`: its runs are to be started; `elsewhere`: the other process that starts them."""

    entries: tuple[QueueEntry, ...] = ()
    on: bool = False
    elsewhere: int | None = None


@dataclass(frozen=True)
class Outlook:
    """What an entry takes, and why it waits although nothing is live; "" where it can be started."""

    needs: Needs | None
    reason: str = ""
    asks: bool = False
    """Whether starting it anyway can be approved: it does not fit, or could not be started when that was tried."""


class RunQueue:
    """The queue in the workspace at `path`. Every call is short, and a `UserError` where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: RunLock | None = None

    @classmethod
    def of(cls, library: RunRepository) -> RunQueue:
        return cls(library.shared_file)

    @contextmanager
    def _store(self) -> Iterator[QueueStore]:
        with closing(Workspace(self.path)) as workspace:
            yield QueueStore(workspace)

    # ------------------------------------------------------------------ reading and changing

    def state(self) -> QueueState:
        if not self.path.is_file():
            return QueueState()
        with self._store() as store:
            entries = tuple(map(_read_entry, store.rows()))
            on, lock = store.running, store.lock
        held = holder(lock) if self._lock is None else None
        return QueueState(entries, on, held.pid if held is not None and held.pid != os.getpid() else None)

    def add(self, config: RunConfig, *, at: int | None = None) -> str:
        """Add a run at the end, or as number `at`; returns the entry's id."""
        id_ = uuid.uuid4().hex
        with self._store() as store:
            store.add(id_, _body(config), at=at)
        return id_

    def move(self, id_: str, to: int) -> None:
        with self._store() as store:
            store.move(id_, to)

    def remove(self, id_: str) -> None:
        with self._store() as store:
            store.remove(id_)

    def replace(self, id_: str, config: RunConfig) -> None:
        """Give an entry another configuration; what was approved for the old one is not for this one."""
        with self._store() as store:
            store.change(id_, body=_body(config), problem="", approved=0)

    def approve(self, id_: str) -> None:
        """Start it when its turn comes, although it does not fit or could not be started before."""
        with self._store() as store:
            store.change(id_, problem="", approved=1)

    def report(self, id_: str, problem: str) -> None:
        """It could not be started: it waits with the reason, and is not tried again by itself."""
        with self._store() as store:
            store.change(id_, problem=problem, approved=0)

    # ------------------------------------------------------------------ starting

    def take_over(self) -> bool:
        """Become the process that starts the runs; False where another one is."""
        if self._lock is not None:
            return True
        with self._store() as store:
            path = store.lock
        if holder(path) is not None:
            return False
        lock = RunLock(path)
        try:
            lock.acquire()
        except UserError:
            return False
        self._lock = lock
        return True

    def set_running(self, on: bool) -> None:
        """Whether its runs are started; it stays so after a restart. Off, another process may take over."""
        with self._store() as store:
            store.set_running(on)
        if not on:
            self.release()

    def release(self) -> None:
        """Start no more runs in this process."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def prepare(self, entry: QueueEntry, runs_root: Path) -> RunPaths:
        """The folder of an entry's run, made and noted before its trainer is launched, so that a crash in between
        starts nothing twice. Only for the process that has taken over."""
        assert entry.config is not None
        if entry.folder and (Path(entry.folder) / "config.json").is_file():
            return RunPaths(Path(entry.folder))
        paths = new_run(runs_root, startable(entry.config))
        with self._store() as store:
            store.change(entry.id, folder=str(paths.root))
        return paths

    def give_up(self, entry: QueueEntry, paths: RunPaths | None, problem: str) -> None:
        """Its trainer could not be launched: the folder goes, the entry stays and says why."""
        if paths is not None and not paths.events.exists():
            shutil.rmtree(paths.root, ignore_errors=True)
        with self._store() as store:
            store.change(entry.id, problem=problem, approved=0, folder="")

    def drop_started(self) -> tuple[str, ...]:
        """Take out entries whose run was launched before the process that did it ended; returns the runs' names."""
        found = []
        for entry in self.state().entries:
            if entry.folder and _was_launched(RunPaths(Path(entry.folder))):
                self.remove(entry.id)
                found.append(Path(entry.folder).name)
        return tuple(found)


def _was_launched(paths: RunPaths) -> bool:
    return paths.launch.is_file() or paths.events.is_file() or running_process(paths) is not None


def _body(config: RunConfig) -> str:
    return json.dumps({"format": FORMAT, "config": to_dict(with_absolute_paths(config))}, ensure_ascii=False)


def _read_entry(row: QueuedRow) -> QueueEntry:
    """An entry that cannot be read keeps its place, and says why."""
    try:
        data = json.loads(row.body)
        if data["format"] > FORMAT:
            raise UserError(f"It has format {data['format']}; this version reads {FORMAT}. Update seirenes.")
        config = from_dict(data["config"], "the queue")
    except UserError as error:
        return QueueEntry(row.id, None, str(error))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return QueueEntry(row.id, None, f"What is stored of it is damaged ({type(error).__name__}). Take it out.")
    return QueueEntry(row.id, config, row.problem, row.approved, row.folder)


def look_ahead(
    state: QueueState, machine: MachineState, past: Sequence[RunSummary] = (), workspace: Path | None = None
) -> dict[str, Outlook]:
    """What each entry takes, and why it waits. Reads the models' small files: call it off the window's thread."""
    found = {}
    # A run that is live has its memory already, and will have given it back by then.
    free = replace(machine, memory_free_mb=max(machine.memory_free_mb, 0.0))
    for entry in state.entries:
        if entry.config is None:
            found[entry.id] = Outlook(None, entry.problem)
            continue
        needs = find_needs(entry.config, past, workspace)
        if entry.problem:
            found[entry.id] = Outlook(needs, f"It could not be started: {entry.problem}", asks=True)
            continue
        shortages = () if machine.live else find_shortages(entry.config, needs, free)
        reason = "" if entry.approved else " ".join(shortages)
        found[entry.id] = Outlook(needs, reason, asks=bool(reason))
    return found


def choose_next(state: QueueState, outlooks: dict[str, Outlook]) -> QueueEntry | None:
    """The first run that can be started; those that do not fit wait, and others pass them."""
    ready = (e for e in state.entries if e.config is not None and e.id in outlooks and not outlooks[e.id].reason)
    return next(ready, None)
