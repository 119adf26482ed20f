"""Background work of one kind in the window, such as evaluations or campaigns: listed, watched and stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from PySide6.QtCore import QObject, QTimer, Signal

from seirenes_app.ui.tasks import TaskRunner
from training.runs.processes import FORCE, StopEscalation

CHECK_MS = 700
START_TIMEOUT_S = 30.0


class Summary(Protocol):
    """What is known of one folder."""

    @property
    def paths(self) -> Any:
        """Its paths, with `root`."""


S = TypeVar("S", bound=Summary)


class ProcessMonitor(QObject, Generic[S]):
    """All work of one kind. Results come as signals in this object's thread.

    A subclass says how they are listed (`refresh`), which are live, and what one is called (`noun`).
    """

    noun = ""
    changed = Signal()
    """`summaries` is new."""
    started = Signal(object)
    """The paths of what was started."""
    ended = Signal(object)
    """The summary of one that has just ended."""
    failed = Signal(str, str)
    """(title, text)"""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        # One thread waits for a process to end while the other reads.
        self._tasks = TaskRunner(self, threads=2)
        self.summaries: tuple[S, ...] = ()
        self.was_loaded = False
        self.stopping: set[Path] = set()
        self._running: set[Path] = set()
        self._starting: dict[Path, float] = {}
        """Launched folders that were not seen running yet, and until when to read them."""
        self._timer = QTimer(self, interval=CHECK_MS)
        self._timer.timeout.connect(self._check)

    def is_live(self, summary: S) -> bool:
        """Whether its process is at work, or is about to be."""
        raise NotImplementedError

    def refresh(self) -> None:
        """List again; `changed` follows."""
        raise NotImplementedError

    def _check(self) -> None:
        """Read what may have changed, while something is live or starts."""
        self.refresh()

    def _list(self, read: Callable[[], list[S]]) -> None:
        self._tasks.run(
            read, self._on_read, lambda text: self.failed.emit(f"The {self.noun}s could not be listed", text),
            key="list", queue=True,
        )  # fmt: skip

    def _on_read(self, found: list[S]) -> None:
        self.summaries, self.was_loaded = tuple(found), True
        now, ended = time.monotonic(), []
        self._starting = {root: until for root, until in self._starting.items() if now < until}
        for summary in self.summaries:
            root = summary.paths.root
            if self.is_live(summary):
                self._running.add(root)
                self._starting.pop(root, None)
            elif root in self._running:
                self._running.discard(root)
                self.stopping.discard(root)
                ended.append(summary)
        if not self.live and not self._starting:
            self._timer.stop()
        elif not self._timer.isActive():
            self._timer.start()
        self.changed.emit()
        for summary in ended:
            self.ended.emit(summary)

    @property
    def live(self) -> tuple[S, ...]:
        """Those that are running. One that was planned and never launched is not one of them."""
        return tuple(s for s in self.summaries if self.is_live(s))

    def is_starting(self, root: Path) -> bool:
        """Whether it was launched and has not been seen at work yet."""
        return root in self._starting

    def find(self, root: Path | None) -> S | None:
        """The one in that folder."""
        return next((s for s in self.summaries if s.paths.root == root), None)

    def _on_started(self, paths: Any) -> None:
        self._starting[paths.root] = time.monotonic() + START_TIMEOUT_S
        self.started.emit(paths)
        self.refresh()

    def stop(self, paths: Any) -> None:
        """Ask it to end, then end it; what was committed is kept."""
        self.stopping.add(paths.root)
        self._do(StopEscalation(paths, FORCE).run, lambda _outcome: self.refresh(), f"Could not stop the {self.noun}")
        self.changed.emit()

    def _do(self, work: Callable[[], object], done: Callable[..., object] | None, title: str) -> None:
        self._tasks.run(work, done, lambda text: self.failed.emit(title, text))

    def close(self) -> None:
        """What runs goes on."""
        self._timer.stop()
        self._tasks.close()
