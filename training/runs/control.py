"""Requests to a background process, how it obeys them, and its heartbeat: the same for trainer and evaluators."""

from __future__ import annotations

import json
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.memory import memory_figures
from training.runs.events import EventKind, EventLog
from training.runs.files import explained, read_appended
from training.runs.lock import RunLock
from training.runs.paths import RunPaths


class CommandKind(StrEnum):
    """What can be asked."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class Command:
    id: str
    t: float
    kind: CommandKind


def send_command(paths: RunPaths, kind: CommandKind) -> None:
    line = json.dumps({"id": uuid.uuid4().hex, "t": time.time(), "command": kind}) + "\n"
    with explained("Writing to", paths.commands), paths.commands.open("ab") as file:
        # One write: appends of a short line do not interleave.
        file.write(line.encode())


def commands_size(path: Path) -> int:
    """Bytes of the requests so far: where those for a process that is started now begin."""
    return path.stat().st_size if path.exists() else 0


class CommandTail:
    """Reads requests from `start` on, in bytes: those before it were meant for an earlier process."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self._path, self._offset = path, start
        self._seen: set[str] = set()

    def poll(self) -> list[Command]:
        """New requests, each once; lines that cannot be read are passed over."""
        whole = read_appended(self._path, self._offset)
        self._offset += len(whole)
        found = []
        for raw in whole.splitlines():
            try:
                line = json.loads(raw)
                command = Command(str(line["id"]), float(line["t"]), CommandKind(line["command"]))
            except (ValueError, KeyError, TypeError):
                continue
            if command.id not in self._seen:
                self._seen.add(command.id)
                found.append(command)
        return found


HEARTBEAT_S = 5.0
POLL_S = 0.2


class StopRequested(Exception):
    """The process was asked to stop; raised where it is safe to."""


class StopSignal:
    """SIGTERM, SIGINT, and SIGHUP (a terminal that was closed) as a request to stop. A second SIGTERM or SIGINT raises
    KeyboardInterrupt at once, until `closing`."""

    def __init__(self) -> None:
        self.received = False
        self.closing = False
        """Whether the process only writes how it ended, which no further signal interrupts."""

    def install(self) -> StopSignal:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        hangup = getattr(signal, "SIGHUP", None)
        # Started with nohup, it is to outlive the terminal.
        if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
            signal.signal(hangup, self._on_hangup)
        return self

    def _on_hangup(self, *_: object) -> None:
        # Closing a terminal often sends several: they are one request.
        self.received = True

    def _on_signal(self, *_: object) -> None:
        if self.received and not self.closing:
            raise KeyboardInterrupt
        self.received = True


@contextmanager
def recorded_process(events: Path, lock: Path) -> Iterator[EventLog]:
    """The event log of a process that holds its folder's lock. An error that ends the process becomes the `done` event,
    and is raised again for the log."""
    held = RunLock(lock)
    held.acquire()
    log = EventLog(events)
    try:
        yield log
    except BaseException as error:
        text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        log.write(EventKind.DONE, outcome="failed", message=text, error=type(error).__name__)
        raise
    finally:
        log.close()
        held.release()


class ProcessControl:
    """Commands and signals. Commands before the byte `start` (None: those so far) were meant for an earlier process.

    With the `lock` of the folder a folder that was moved or removed is a UserError wherever commands are read: what was
    commanded at its new place would never be seen, and what is written would make the old place again.
    """

    def __init__(
        self, commands: Path, log: EventLog, start: int | None, stop_signal: StopSignal | None,
        lock: RunLock | None = None,
    ) -> None:  # fmt: skip
        self._lock = lock
        self._tail = CommandTail(commands, commands_size(commands) if start is None else start)
        self._clock = log.clock
        self._signal = stop_signal or StopSignal()
        self._polled = 0.0
        self._stop = False
        self.paused = False
        self._checkpoint = False

    @property
    def stop(self) -> bool:
        return self._stop or self._signal.received

    def cancelled(self) -> bool:
        """True once a stop was asked for; reads the commands a few times a second at most."""
        if time.monotonic() - self._polled >= POLL_S:
            self._poll()
        return self.stop

    def obey(self, on_pause: Callable[[], None]) -> bool:
        """Where waiting is safe: wait while paused, raise StopRequested on stop; True if it has waited."""
        self._poll()
        waited = self.paused and not self.stop
        if waited:
            on_pause()
            self._clock.pause()
            while self.paused and not self.stop:
                time.sleep(POLL_S)
                self._poll()
            self._clock.resume()
        if self.stop:
            raise StopRequested
        return waited

    def take_checkpoint_request(self) -> bool:
        asked, self._checkpoint = self._checkpoint, False
        return asked

    def check_place(self) -> None:
        """Raise a UserError if the folder is no longer at its path."""
        if self._lock is not None:
            self._lock.check_place()

    def closing(self) -> None:
        """From here on the process only says how it ended."""
        self._signal.closing = True

    def _poll(self) -> None:
        self._polled = time.monotonic()
        self.check_place()
        for command in self._tail.poll():
            if command.kind is CommandKind.STOP:
                self._stop = True
            elif command.kind is CommandKind.CHECKPOINT:
                self._checkpoint = True
            else:
                self.paused = command.kind is CommandKind.PAUSE


@contextmanager
def heartbeat(log: EventLog, describe: Callable[[], Mapping[str, Any]] = dict) -> Iterator[None]:
    """Write an event every few seconds while the block runs; none is written after it."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_S):
            with suppress(UserError, ValueError):
                # A full disk or a closed file: the loop reports it.
                log.write(EventKind.HEARTBEAT, **describe(), **memory_figures())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    log.clock.watched = True
    try:
        yield
    finally:
        log.clock.watched = False
        over.set()
        thread.join(timeout=HEARTBEAT_S)
