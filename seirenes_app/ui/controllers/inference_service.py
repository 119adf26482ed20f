"""The llama.cpp worker as the window sees it: its states come in the window's thread, and it ends with the window.

The process is started by the first call of `client`. It loads no model by itself.
"""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, Signal, Slot

from seirenes_app.inference.client import StateKind, WorkerClient, WorkerState


class InferenceService(QObject):
    """Owns one `WorkerClient`. `changed` comes in the thread this object lives in."""

    changed = Signal(object)
    """The worker's newest state, a `WorkerState`."""
    crashed = Signal(str)
    """It crashed; the text says how. It is started again, unless `state.down`."""
    recovered = Signal()
    """It runs again after a crash, with its model unless loading that crashed it."""

    _arrived = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client: WorkerClient | None = None
        self._state = WorkerState(StateKind.EMPTY)
        self._crash_reported = self._closed = False
        # From the client's reader thread into this one.
        self._arrived.connect(self._on_arrived, Qt.ConnectionType.QueuedConnection)

    @property
    def state(self) -> WorkerState:
        """The newest state that has arrived here."""
        return self._state

    def client(self) -> WorkerClient:
        """The client, and with it the process. After `close` its requests fail."""
        if self._client is None:
            self._client = WorkerClient(self._on_worker_state)
            if self._closed:
                self._client.close()
        return self._client

    def restart(self) -> None:
        """Start a worker again that crashed too often."""
        if self._client is not None:
            self._client.restart()

    def close(self) -> None:
        """End the process, whatever it does; again: nothing."""
        if self._closed:
            return
        self._closed = True
        if self._client is not None:
            self._client.close()

    def _on_worker_state(self, state: WorkerState) -> None:
        if not self._closed:
            self._arrived.emit(state)

    @Slot(object)
    def _on_arrived(self, state: WorkerState) -> None:
        if self._closed:
            return
        self._state = state
        self.changed.emit(state)
        if state.kind is StateKind.CRASHED:
            self._crash_reported = True
            self.crashed.emit(state.message)
        elif self._crash_reported and state.kind in (StateKind.READY, StateKind.EMPTY):
            self._crash_reported = False
            self.recovered.emit()
