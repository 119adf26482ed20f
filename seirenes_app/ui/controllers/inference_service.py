"""The llama.cpp worker as the window sees it: started at first need, its states in the window's thread, ended with it.

It never loads a model by itself and never shows anything. The process is started by `client`, and not before: a person
who only trains pays nothing for it.
"""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, Signal, Slot

from seirenes_app.inference.client import StateKind, WorkerClient, WorkerState

IDLE = WorkerState(StateKind.EMPTY)
"""Before the first need: no process, no model, nothing wrong."""


class InferenceService(QObject):
    """Owns one `WorkerClient`. `changed` comes in the thread this object lives in."""

    changed = Signal(object)
    """The worker's newest state, a `WorkerState`."""
    crashed = Signal(str)
    """It died: how, in words. It comes back by itself, unless `state.down`."""
    recovered = Signal()
    """It is back after a crash, with its model unless loading that killed it."""

    _arrived = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client: WorkerClient | None = None
        self._state = IDLE
        self._crash_reported = self._closed = False
        self._last_words = ""
        # From the client's reader thread into this one.
        self._arrived.connect(self._take, Qt.ConnectionType.QueuedConnection)

    @property
    def state(self) -> WorkerState:
        """The newest state that has arrived here."""
        return self._state

    @property
    def started(self) -> bool:
        """Whether there is a process, or was one."""
        return self._client is not None

    @property
    def pid(self) -> int | None:
        """The worker's process id, when one runs."""
        return self._client.pid if self._client is not None else None

    def client(self) -> WorkerClient:
        """The client, and with it the process. After `close` its requests fail with words."""
        if self._client is None:
            self._client = WorkerClient(self._tell)
            if self._closed:
                self._client.close()
        return self._client

    def is_last_crash(self, text: str) -> bool:
        """Whether a request's failure is that of the last crash, which `crashed` has reported."""
        return bool(self._last_words) and self._last_words in text

    def restart(self) -> None:
        """Bring a worker back that has died too often."""
        if self._client is not None:
            self._client.restart()

    def close(self) -> None:
        """End the process, whatever it does; again: nothing."""
        if self._closed:
            return
        self._closed = True
        if self._client is not None:
            self._client.close()

    def _tell(self, state: WorkerState) -> None:
        if not self._closed:
            self._arrived.emit(state)

    @Slot(object)
    def _take(self, state: WorkerState) -> None:
        if self._closed:
            return
        self._state = state
        self.changed.emit(state)
        if state.kind is StateKind.CRASHED:
            self._crash_reported, self._last_words = True, state.words
            self.crashed.emit(state.words)
        elif self._crash_reported and state.kind in (StateKind.READY, StateKind.EMPTY):
            self._crash_reported = False
            self.recovered.emit()
