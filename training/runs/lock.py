"""One trainer a run directory: an operating-system lock, and who holds it. The lock goes with its process."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from training.errors import UserError
from training.runs.files import explained

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[Any]) -> bool:
        file.seek(4096)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(file: IO[Any]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The process that holds a lock; `started` is its start time in seconds since 1970."""

    pid: int
    started: float
    host: str


class RunLock:
    """Held from `acquire` to `release` or the end of the process, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock, or raise a UserError that names the process that has it."""
        with explained("Opening the lock", self._path):
            file = self._path.open("a+", encoding="utf-8")
        if not _try_lock(file):
            held = _read(self._path)
            file.close()
            who = f"process {held.pid} on {held.host}" if held else "another process"
            raise UserError(
                f"{self._path.parent} is being trained by {who} already. Watch that run, or stop it first with: "
                f"seirenes stop {self._path.parent.name}"
            )
        me = {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": socket.gethostname()}
        with explained("Writing", self._path):
            file.seek(0)
            file.truncate()
            file.write(json.dumps(me))
            file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lock back."""
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
    """Who holds the lock, None where nobody does. A PID that was given to another process since does not fool it."""
    held = _read(path)
    if held is None:
        return None
    if held.host != socket.gethostname():
        return held
    try:
        process = psutil.Process(held.pid)
        alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return held if alive and abs(process.create_time() - held.started) < 2 and _locked(path) else None
    except psutil.Error:
        return None


def _locked(path: Path) -> bool:
    if sys.platform == "win32":
        return True
    try:
        with path.open("r", encoding="utf-8") as file:
            # Shared, so that two readers asking at once do not see each other.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
