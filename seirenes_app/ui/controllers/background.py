"""Work in other threads whose result lands in the window's thread. Nothing here touches a widget."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, QThreadPool, Signal, Slot

from training.errors import UserError

SWITCH_S = 0.001
"""How long a thread that computes may keep the interpreter from the window's. Python's own 5 ms, many times over while
a table is painted, are felt."""


class Background(QObject):
    """A small pool. `submit` returns at once; callbacks run in the thread this object lives in.

    A `UserError` goes to `failed`; any other exception is a bug and is raised again in the window's thread, where the
    exception hook reports it.
    """

    _landed = Signal(object, object, object)

    def __init__(self, parent: QObject | None = None, *, threads: int = 2) -> None:
        super().__init__(parent)
        sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(threads)
        self._closed = False
        self._landed.connect(self._deliver)

    def submit(
        self, work: Callable[[], Any], then: Callable[[Any], None], failed: Callable[[str], None] | None = None
    ) -> None:
        """Run `work()` in the pool, then `then(result)` here, or `failed(text)` on a `UserError`."""

        def job() -> None:
            try:
                result, error = work(), None
            except Exception as caught:  # noqa: BLE001 - a thread's edge: carried over and reported in the window's thread
                result, error = None, caught
            if not self._closed:
                self._landed.emit((then, failed), result, error)

        if not self._closed:
            self._pool.start(job)

    def close(self) -> None:
        """Take no more work and wait for what is under way; its results are dropped."""
        self._closed = True
        self._pool.clear()
        self._pool.waitForDone(5000)

    @Slot(object, object, object)
    def _deliver(self, callbacks: tuple[Callable[[Any], None], Callable[[str], None] | None], result: Any,
                 error: Exception | None) -> None:  # fmt: skip
        then, failed = callbacks
        if self._closed:
            return
        if error is None:
            then(result)
        elif isinstance(error, UserError) and failed is not None:
            failed(str(error))
        else:
            raise error
