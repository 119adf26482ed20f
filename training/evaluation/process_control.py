"""What an evaluating process hears and says while it works: commands, events, a heartbeat."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from training.errors import UserError
from training.runs.commands import CommandKind, CommandTail
from training.runs.events import EventKind, EventWriter

HEARTBEAT_S = 5.0
LOOK_S = 0.2


class StopRequested(Exception):
    """A person asked the evaluation to stop."""


class Control:
    """What was asked of this process: since now, or `since` it was started, so that a stop which came while it was
    still loading counts, and one that was meant for the process before it does not."""

    def __init__(self, commands: Path, since: float | None) -> None:
        self._tail = CommandTail(commands)
        self._since = time.time() if since is None else since
        self._looked = 0.0
        self.stop = self.paused = False

    def cancelled(self) -> bool:
        """True once a stop was asked for; looks at most a few times a second."""
        if time.monotonic() - self._looked >= LOOK_S:
            self._look()
        return self.stop

    def obey(self, on_pause: Callable[[], None]) -> None:
        """Between chunks: wait while paused, raise StopRequested on stop."""
        self._look()
        if self.paused and not self.stop:
            on_pause()
        while self.paused and not self.stop:
            time.sleep(LOOK_S)
            self._look()
        if self.stop:
            raise StopRequested

    def _look(self) -> None:
        self._looked = time.monotonic()
        for command in self._tail.poll():
            if command.t < self._since:
                continue
            if command.kind is CommandKind.STOP:
                self.stop = True
            elif command.kind in (CommandKind.PAUSE, CommandKind.RESUME):
                self.paused = command.kind is CommandKind.PAUSE


class EventLog:
    """The events, written by the loop and by the heartbeat thread, one at a time."""

    def __init__(self, path: Path) -> None:
        self._writer, self._lock = EventWriter(path), threading.Lock()

    def write(self, kind: EventKind, **data: Any) -> None:
        """Append one event."""
        with self._lock:
            self._writer.write(kind, **data)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._writer.close()


def beat(journal: EventLog, over: threading.Event) -> None:
    """Say now and then that the process is alive, until it is `over`."""
    process = psutil.Process()
    while not over.wait(HEARTBEAT_S):
        with suppress(UserError, ValueError):
            # A full disk, or a file that was closed meanwhile: the loop has the words for it.
            journal.write(EventKind.HEARTBEAT, rss_mb=process.memory_info().rss / 2**20)
