"""One trainer a run directory: an operating-system lock, and who holds it. The lock goes with its process."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from training.errors import UserError
from training.runs.files import explained

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[Any], *, shared: bool = False) -> bool:
        file.seek(4096)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            if shared:
                file.seek(4096)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(file: IO[Any], *, shared: bool = False) -> bool:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


SAME_START_S = 2.0
"""Two start times of one process differ by less than this."""


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The process that holds a lock; `started` is its start time in seconds since 1970."""

    pid: int
    started: float
    host: str


class FolderMovedError(UserError):
    """A folder was moved or removed while a process was at work in it. `place`: where it is now, if that is known."""

    def __init__(self, folder: Path, place: Path | None) -> None:
        if place is None:
            text = f"{folder} was moved or removed while it was in use. Start it again at its new place."
        else:
            text = f"{folder} was moved to {place} while it was in use. Start it again there."
        super().__init__(f"{text} Nothing was written to the old place, and what was saved before is intact.")


class RunLock:
    """Held from `acquire` to `release` or the end of the process, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock, or raise a UserError that names the process that has it."""
        with explained("Opening the lock", self._path):
            file = self._path.open("a+", encoding="utf-8")
        with explained("Locking", self._path):
            free = _acquire(file)
        if not free:
            held = _read(self._path)
            file.close()
            who = f"process {held.pid} on {held.host}" if held else "another process"
            raise UserError(f"{self._path.parent} is in use by {who} already. Watch that one, or stop it first.")
        me = {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": socket.gethostname()}
        with explained("Writing", self._path):
            file.seek(0)
            file.truncate()
            file.write(json.dumps(me))
            file.flush()
        self._file = file

    def check_place(self) -> None:
        """Raise FolderMovedError if the lock that is held is no longer at its path."""
        if self._file is None:
            return
        try:
            if os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno())):
                return
        except OSError as error:
            if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                # A disk that does not answer for a while is no folder that was moved.
                return
        raise FolderMovedError(self._path.parent, self._place())

    def _place(self) -> Path | None:
        """Where the held file is now, as far as the system says so."""
        assert self._file is not None
        with suppress(OSError):
            path = Path(os.readlink(f"/proc/self/fd/{self._file.fileno()}"))
            return path.parent if path.exists() else None
        return None

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _read(path: Path) -> LockHolder | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return LockHolder(int(data["pid"]), float(data["started"]), str(data["host"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def holder(path: Path) -> LockHolder | None:
    """Who holds the lock, None where nobody does.

    The operating system's lock decides, so that neither a process that has the number now nor another host name
    is mistaken for a holder. A process of this host must also be alive: a child could have kept the lock.
    """
    held = _read(path)
    with suppress(OSError, psutil.Error), path.open("r", encoding="utf-8") as file:
        # Shared, so that two readers asking at once do not see each other.
        if held is not None and not _try_lock(file, shared=True):
            remote = held.host != socket.gethostname()
            return held if remote or psutil.Process(held.pid).status() != psutil.STATUS_ZOMBIE else None
    return None


def _acquire(file: IO[Any]) -> bool:
    """A reader that looks who holds the lock has it for a moment: try for a little while."""
    for _ in range(5):
        if _try_lock(file):
            return True
        time.sleep(0.05)
    return False
