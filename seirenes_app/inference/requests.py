"""A request on its way: what the caller holds, and what came back. Thread-safe, no Qt."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from seirenes_app.inference.protocol import (
    Counted,
    CountRequest,
    Done,
    Error,
    Event,
    LoadRequest,
    LoraRequest,
    LoraSet,
    Ready,
    SampleDone,
    SampleRequest,
    ScoreRequest,
    ScoreResult,
)
from training.errors import UserError

_log = logging.getLogger(__name__)

Asked = LoadRequest | SampleRequest | ScoreRequest | CountRequest | LoraRequest
OnEvent = Callable[[Event], None]


class RequestFailed(UserError):
    """The request did not work; `error` says of what kind it was, the text is for the person."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.sentence)
        self.error = error


@dataclass(frozen=True, slots=True)
class Samples:
    """The whole answer to a `SampleRequest`; `samples` in the order of their indices, cancelled ones included."""

    samples: tuple[SampleDone, ...]
    done: Done


Answer = Ready | Samples | ScoreResult | Counted | LoraSet


class Request:
    """One request. Its events go to `on_event` on the client's reader thread; the last is a final event or `Error`."""

    def __init__(self, request: Asked, on_event: OnEvent | None, cancel: Callable[[int], None]) -> None:
        self.request = request
        self._on_event, self._cancel = on_event, cancel
        self._finished = threading.Event()
        self._samples: dict[int, SampleDone] = {}
        self._answer: Answer | None = None
        self._error: Error | None = None

    @property
    def id(self) -> int:
        """The request's number."""
        return self.request.id

    @property
    def finished(self) -> bool:
        """Whether `result` returns at once."""
        return self._finished.is_set()

    def cancel(self) -> None:
        """Ask for an end; returns at once. Samples keep their text so far, everything else fails as cancelled."""
        if not self.finished:
            self._cancel(self.id)

    def result(self, timeout: float | None = None) -> Answer:
        """Wait for the answer, at most `timeout` seconds. Never call it on the client's reader thread.

        Raises `RequestFailed` (a `UserError`) with the words of the error, and TimeoutError.
        """
        if not self._finished.wait(timeout):
            raise TimeoutError(f"no answer to request {self.id} within {timeout} s")
        if self._error is not None:
            raise RequestFailed(self._error)
        assert self._answer is not None
        return self._answer

    def deliver(self, event: Event) -> None:
        """From the client: take an event of this request, and hand it on. Nothing comes after a final one."""
        if self.finished:
            return
        final = self._note(event)
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:  # noqa: BLE001 - a thread's edge: a caller's bug must not end the reader
                _log.exception("a callback of request %s failed", self.id)
        # After the callback, so that who waits for the result finds that all events have come.
        if final:
            self._finished.set()

    def _note(self, event: Event) -> bool:
        match event:
            case SampleDone():
                self._samples[event.index] = event
                return False
            case Done():
                self._answer = Samples(tuple(self._samples[i] for i in sorted(self._samples)), event)
            case Ready() | ScoreResult() | Counted() | LoraSet():
                self._answer = event
            case Error():
                self._error = event
            case _:
                return False
        return True


def describe(request: Asked) -> str:
    """What the worker was doing, as a part of a sentence."""
    match request:
        case LoadRequest():
            return f"loading {request.model}"
        case SampleRequest():
            return f"drawing {request.n} sample{'s' if request.n > 1 else ''}"
        case ScoreRequest():
            return "scoring a completion"
        case CountRequest():
            return "counting tokens"
        case LoraRequest():
            return f"putting on the adapter {request.lora}" if request.lora else "taking the adapter off"
