"""A thread that notices when a process makes no progress, says what it waits for, and writes where it stands."""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

POLL_S = 1.0
STALLED_S = 60.0
"""Seconds without progress that are no stall, whatever is usual."""
COMPUTING_S = 600.0
"""The same while the process computes: one large matrix product is one piece of work."""
COMPUTING_SHARE = 0.5
"""Share of a processor from which on it computes."""
USUAL_TIMES = 10.0
FROZEN_S = 90.0
"""Where not even the watching thread has run for so long, the interpreter is held up: its stack goes to the log."""


@dataclass
class Watchdog:
    """Compares `progress()` with what it was. A change is progress; `clock()` gives seconds that count, so a clock that
    stands still in pauses, and leaves out sleep, makes no stall of them.

    `part()` names what is under way: each has its usual time without progress. `stalled(part, seconds)` is called from
    the thread when a stall is noticed, `went_on(part, seconds)` when it is over.
    """

    clock: Callable[[], float]
    progress: Callable[[], Hashable]
    part: Callable[[], str]
    stalled: Callable[[str, float], None]
    went_on: Callable[[str, float], None]
    log: Path

    def __post_init__(self) -> None:
        self._usual: dict[str, float] = {}
        self._in_stall = False
        self._begin()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Watch while the block runs."""
        over = threading.Event()
        self._begin()
        thread = threading.Thread(target=self._watch, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=5.0)
            if self._in_stall:  # and has perhaps gone on since the last look
                self.look()

    def _watch(self, over: threading.Event) -> None:
        # Without a log, or without the folder, the process itself will say so.
        with suppress(OSError), self.log.open("ab") as log:
            armed = 0.0
            try:
                while not over.wait(POLL_S):
                    if time.monotonic() - armed > FROZEN_S / 6:
                        faulthandler.dump_traceback_later(FROZEN_S, file=log)
                        armed = time.monotonic()
                    self.look(log.fileno())
            finally:
                faulthandler.cancel_dump_traceback_later()

    def look(self, log: int | None = None) -> None:
        """One look: is there progress, is there a stall, is it over. `log` is a file descriptor for the stacks."""
        still = self.clock() - self._since
        if self.progress() != self._seen:
            if self._in_stall:
                self.went_on(self._part, still)
            elif still > self._usual.get(self._part, 0.0):
                self._usual[self._part] = still
            self._begin()
        elif not self._in_stall and still > self._limit(still):
            self._in_stall = True
            self.stalled(self._part, still)
            if log is not None:
                with suppress(OSError, ValueError):
                    faulthandler.dump_traceback(file=log, all_threads=True)

    def _begin(self) -> None:
        self._seen, self._part, self._since = self.progress(), self.part(), self.clock()
        self._cpu = time.process_time()
        self._in_stall = False

    def _limit(self, still: float) -> float:
        computing = time.process_time() - self._cpu > COMPUTING_SHARE * still
        return max(COMPUTING_S if computing else STALLED_S, USUAL_TIMES * self._usual.get(self._part, 0.0))


def describe_children() -> str:
    """The child processes that a process may wait for, and that they are stopped; empty without."""
    found = []
    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                words = [word for word in child.cmdline() if "training." in word] or [child.name()]
                stopped = ", which is stopped" if child.status() == psutil.STATUS_STOPPED else ""
                found.append(f"process {child.pid} ({words[0]}){stopped}")
    return ", ".join(found)
