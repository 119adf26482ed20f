"""What the worker's own modules raise, to be sent as an `Error` event."""

from __future__ import annotations

from seirenes_app.inference.protocol import ErrorKind


class EngineError(Exception):
    """A request cannot be done: its kind, the words, and what to do."""

    def __init__(self, kind: ErrorKind, words: str, remedy: str = "") -> None:
        super().__init__(words)
        self.kind, self.words, self.remedy = kind, words, remedy


class Aborted(Exception):
    """A decode was ended early by the cancel flag; what the context holds is unknown now."""
