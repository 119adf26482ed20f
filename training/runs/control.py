"""What a background process is asked while it works, and its heartbeat: one mechanism for trainer and evaluators."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from training.errors import UserError
from training.runs.commands import CommandKind, CommandTail, commands_size
from training.runs.events import EventKind, EventLog

HEARTBEAT_S = 5.0
POLL_S = 0.2


class StopRequested(Exception):
    """The process was asked to stop; raised where it is safe to."""


class StopSignal:
    """SIGTERM and SIGINT as a request to stop. A second one raises KeyboardInterrupt at once."""

    def __init__(self) -> None:
        self.received = False

    def install(self) -> StopSignal:
        """Take both signals from now on; only in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        return self

    def _on_signal(self, *_: object) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = True


class ProcessControl:
    """Commands and signals. Commands before the byte `start` (None: those so far) were meant for an earlier process."""

    def __init__(self, commands: Path, log: EventLog, start: int | None, stop_signal: StopSignal | None) -> None:
        self._tail = CommandTail(commands, commands_size(commands) if start is None else start)
        self._clock = log.clock
        self._signal = stop_signal or StopSignal()
        self._polled = 0.0
        self._stop = False
        self.paused = False
        self._checkpoint = False

    @property
    def stop(self) -> bool:
        """Whether a stop was asked for."""
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
        """Whether a checkpoint was asked for since the last call."""
        asked, self._checkpoint = self._checkpoint, False
        return asked

    def _poll(self) -> None:
        self._polled = time.monotonic()
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
    process = psutil.Process()

    def beat() -> None:
        while not over.wait(HEARTBEAT_S):
            with suppress(UserError, ValueError):
                # A full disk or a closed file: the loop reports it.
                log.write(EventKind.HEARTBEAT, **describe(), rss_mb=process.memory_info().rss / 2**20)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=HEARTBEAT_S)
