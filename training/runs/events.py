"""The event log: appended by the trainer, one flushed JSON line an event; tailed by byte offset by everybody else."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.runs.files import explained, read_appended

SCHEMA_VERSION = 1


class EventKind(StrEnum):
    """The kinds of event; a reader skips those it does not know."""

    LAUNCH = "launch"
    STAGE = "stage"
    STEP = "step"
    EVAL = "eval"
    CHECKPOINT = "checkpoint"
    WARNING = "warning"
    CLEARED = "cleared"
    """What a warning of the same code was about is fine again."""
    HEARTBEAT = "heartbeat"
    PART = "part"
    """What became of one part of a study."""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `t` in seconds since 1970."""

    seq: int
    t: float
    kind: str
    data: dict[str, Any]


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


SUSPENDED_S = 30.0
"""A process that reads its clock every few seconds and has not done so for this long was suspended."""


class ActiveClock:
    """Seconds that this process has worked, from a monotonic clock; pauses do not count. For any thread.

    Nor does the time in which the process was suspended (a stop signal, or a sleep of the machine where the system's
    clock counts it), as long as it is `watched`: read every few seconds.
    """

    def __init__(self) -> None:
        self.watched = False
        self._lock = threading.Lock()
        self._from = self._read = time.monotonic()
        self._paused_at: float | None = None

    def now(self) -> float:
        with self._lock:
            now = time.monotonic()
            gap, self._read = now - self._read, now
            if self._paused_at is not None:
                return self._paused_at - self._from
            if self.watched and gap > SUSPENDED_S:
                self._from += gap
            return now - self._from

    def pause(self) -> None:
        with self._lock:
            self._paused_at = time.monotonic()

    def resume(self) -> None:
        with self._lock:
            if self._paused_at is not None:
                self._read = time.monotonic()
                self._from += self._read - self._paused_at
                self._paused_at = None


class EventLog:
    """Appends events, from any thread; after a crash it closes a partial last line and goes on counting."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seq = 0
        self._lock = threading.Lock()
        self.clock = ActiveClock()
        with explained("Opening", path):
            if path.exists():
                known = EventTail(path)
                self._seq = max((e.seq for e in known.poll()), default=0)
            self._file = path.open("ab")
            if self._file.tell() and not path.read_bytes().endswith(b"\n"):
                self._file.write(b"\n")

    def write(self, kind: EventKind, **data: Any) -> None:
        """Append one event, with the process's `active_s`. NaN and infinities are written as null."""
        with self._lock, explained("Writing to", self._path):
            self._seq += 1
            event = {
                "v": SCHEMA_VERSION, "seq": self._seq, "t": time.time(), "event": kind,
                "active_s": round(self.clock.now(), 3), **_finite(data),
            }  # fmt: skip
            self._file.write(json.dumps(event, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            self._file.flush()

    def sync(self) -> None:
        """Force what was written to the disk."""
        with self._lock, explained("Writing to", self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with self._lock, explained("Closing", self._path):
            self._file.close()


class EventTail:
    """Reads what was appended since the last poll. `problems` tells of lines that could not be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._line = 0
        self.problems: list[str] = []

    def poll(self) -> list[Event]:
        """The new events. A partial last line is left for the next time; a newer major version is a UserError."""
        with suppress(FileNotFoundError):
            if self._path.stat().st_size < self._offset:
                self.problems.append("the file became shorter; it is read again from the start")
                self._offset = self._line = 0
        whole = read_appended(self._path, self._offset)
        self._offset += len(whole)
        events = []
        for raw in whole.splitlines():
            self._line += 1
            if raw.strip() and (event := self._parse(raw)) is not None:
                events.append(event)
        return events

    def _parse(self, raw: bytes) -> Event | None:
        try:
            line = json.loads(raw)
            version, seq, t, kind = line.pop("v"), line.pop("seq"), line.pop("t"), line.pop("event")
            if isinstance(version, int) and version > SCHEMA_VERSION:
                raise UserError(
                    f"{self._path} was written by a newer Seirênes (events version {version}). Update to read it."
                )
            return Event(int(seq), float(t), str(kind), line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self.problems.append(f"line {self._line} cannot be read and was skipped ({type(error).__name__})")
            return None
