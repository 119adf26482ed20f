"""The worker's client: starts the process, sends requests, hands events out, and starts it again after a crash.

Any thread may call a `WorkerClient`; no call waits for the worker but `close`, for a moment. **All callbacks
(`on_state` and each request's `on_event`) come on the client's own reader thread**, one after another: keep them short,
marshal them into the window's thread by a signal, and never wait for a `Request` in one. An exception in a callback is
logged and dropped. It knows nothing of Qt, and llama.cpp is never in this process.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from seirenes_app.inference.protocol import (
    CancelRequest,
    Counted,
    CountRequest,
    Done,
    Error,
    ErrorKind,
    Event,
    Loading,
    LoadRequest,
    LoraRequest,
    LoraSet,
    ModelFacts,
    QuitRequest,
    Ready,
    SampleRequest,
    ScoreRequest,
    ScoreResult,
    Started,
)
from seirenes_app.inference.requests import Asked, OnEvent, Request, describe
from seirenes_app.inference.worker_process import Outbox, WorkerProcess

_log = logging.getLogger(__name__)

CRASHES = 3
CRASH_WINDOW_S = 60.0
_FINAL = (Ready, Done, ScoreResult, Counted, LoraSet, Error)


class StateKind(StrEnum):
    """What the worker is doing."""

    STARTING = "starting"
    """The process is being started."""
    EMPTY = "empty"
    """It runs without a model; `words` say why when a load failed."""
    LOADING = "loading"
    """It reads a model; see `progress`."""
    READY = "ready"
    """It waits for requests; see `facts`."""
    BUSY = "busy"
    """It works on a request."""
    CRASHED = "crashed"
    """It died; `words` say how. It comes back by itself unless `down`, with its model unless loading that killed it."""
    CLOSED = "closed"
    """The client was closed."""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One state. `progress` is 0 to 1 while loading; `down` means that only `restart` brings it back."""

    kind: StateKind
    progress: float = 0.0
    facts: ModelFacts | None = None
    words: str = ""
    down: bool = False


class WorkerClient:
    """One worker process and its requests, which are answered in their order."""

    def __init__(self, on_state: Callable[[WorkerState], None] | None = None) -> None:
        self._on_state = on_state
        # Guards everything below. Callbacks and waiting happen outside of it.
        self._lock = threading.Condition()
        self._state = WorkerState(StateKind.STARTING)
        self._outbox = Outbox()
        self._process: WorkerProcess | None = None
        self._pending: dict[int, Request] = {}
        self._last_id = 0
        self._current: Asked | None = None
        self._wanted: LoadRequest | None = None
        self._facts: ModelFacts | None = None
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._closing = self._down = False
        # One thread for the client's whole life: it forks every process, reads it, and buries it.
        self._reader = threading.Thread(target=self._live, name="worker-reader", daemon=True)
        self._reader.start()

    # Requests

    @property
    def state(self) -> WorkerState:
        """The state now."""
        with self._lock:
            return self._state

    @property
    def pid(self) -> int | None:
        """The process id of the worker, when one runs."""
        with self._lock:
            return self._process.pid if self._process else None

    @property
    def model_asked(self) -> LoadRequest | None:
        """The load that holds once all that was asked is done; None when there is none, it failed, or all is down."""
        with self._lock:
            if self._down:
                return None
            loads = [t.request for t in self._pending.values() if isinstance(t.request, LoadRequest)]
            return loads[-1] if loads else self._wanted

    def load(
        self,
        model: Path | str,
        *,
        n_ctx: int = 0,
        threads: int = 0,
        lora: Path | str | None = None,
        lora_scale: float = 1.0,
        on_event: OnEvent | None = None,
    ) -> Request:
        """Load a model in place of what is loaded; its result is `Ready`. Requests made meanwhile wait for it."""
        adapter = None if lora is None else str(lora)
        return self._ask(LoadRequest(str(model), n_ctx, threads, adapter, lora_scale), on_event)

    def sample(self, request: SampleRequest, on_event: OnEvent | None = None) -> Request:
        """Draw completions; events are `Chunk` and `SampleDone`, the result `Samples`."""
        return self._ask(request, on_event)

    def score(self, request: ScoreRequest, on_event: OnEvent | None = None) -> Request:
        """Score a completion; the result is a `ScoreResult`."""
        return self._ask(request, on_event)

    def count(self, request: CountRequest, on_event: OnEvent | None = None) -> Request:
        """Count a prompt's tokens; the result is `Counted`."""
        return self._ask(request, on_event)

    def set_lora(self, lora: Path | str | None, scale: float = 1.0, on_event: OnEvent | None = None) -> Request:
        """Put an adapter on the loaded model, or take it off; the result is `LoraSet`."""
        return self._ask(LoraRequest(None if lora is None else str(lora), scale), on_event)

    def restart(self) -> None:
        """Try again after the client has given up: a new process, and the same model. Otherwise it does nothing."""
        with self._lock:
            if self._down:
                self._rise()

    def close(self, timeout_s: float = 2.0) -> None:
        """End the worker, whatever it does; requests that wait fail as closed. Again: nothing."""
        with self._lock:
            self._closing = True
            process = self._process
            self._outbox.put(QuitRequest())
            self._outbox.close()
            self._lock.notify_all()
        if process is not None and not process.wait(timeout_s / 2):
            process.kill()
        if threading.current_thread() is not self._reader:
            self._reader.join(timeout_s)

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _ask(self, request: Asked, on_event: OnEvent | None) -> Request:
        with self._lock:
            self._last_id += 1
            numbered = dataclasses.replace(request, id=self._last_id)
            ticket = Request(numbered, on_event, self._cancel)
            dead = self._state.kind is StateKind.CLOSED
            if self._down and isinstance(request, LoadRequest):
                # Perhaps the last model brought the worker down: this one is wanted now.
                self._wanted = None
                self._rise()
            if not dead:
                self._pending[numbered.id] = ticket
                self._outbox.put(numbered)
                # The reader answers it at once where no process will.
                self._lock.notify_all()
        if dead:
            # The one callback on the caller's own thread: there is no other any more.
            ticket.deliver(_closed(numbered.id))
        return ticket

    def _cancel(self, target: int) -> None:
        with self._lock:
            self._outbox.put(CancelRequest(target))

    # The reader thread

    def _live(self) -> None:
        """One process after another, until closed."""
        while self._may_start():
            self._set_state(WorkerState(StateKind.STARTING))
            words = self._run_one()
            if words is not None:
                self._mourn(words)
        self._fail_all()
        self._set_state(WorkerState(StateKind.CLOSED))
        # Requests that slipped in between the two lines above.
        self._fail_all()

    def _may_start(self) -> bool:
        """Wait while the client stays down, answering requests with the reason; False once it is closing."""
        while True:
            with self._lock:
                if self._closing or not self._down:
                    return not self._closing
                if not self._pending:
                    self._lock.wait()
                    continue
                failed, self._pending = self._pending, {}
                reason = self._state.words
            for ticket in failed.values():
                ticket.deliver(Error(ErrorKind.CLOSED, reason, "", ticket.id))

    def _run_one(self) -> str | None:
        """Start a process and read it to its end; how it died, or None when it was meant to end."""
        try:
            process = WorkerProcess(self._outbox)
        except OSError as error:
            return f"It could not be started: {error.strerror}."
        with self._lock:
            self._process = process
            bare = bool(self._crashes) and self._wanted is None and not self._pending
        if bare:
            self._set_state(WorkerState(StateKind.EMPTY))
        for event in process.events():
            self._take(event)
        words = process.bury()
        with self._lock:
            self._process = None
            return None if self._closing else words

    def _mourn(self, words: str) -> None:
        """Fail what was pending, prepare the next process, or stay down after too many.

        The next one loads the same model, unless this one died of loading it.
        """
        with self._lock:
            doing = describe(self._current) if self._current else "waiting for requests"
            now = time.monotonic()
            self._crashes.append(now)
            self._down = len(self._crashes) == CRASHES and now - self._crashes[0] < CRASH_WINDOW_S
            sentence = f"The worker process died while it was {doing}. {words}"
            if self._down:
                sentence += f" It died {CRASHES} times within a minute and stays down until it is restarted."
            failed, self._pending = self._pending, {}
            remedy = "It is being started again: try again."
            if isinstance(self._current, LoadRequest):
                # Very likely the file did it, and would do it again.
                self._wanted = None
                remedy = "It is being started again without a model: try another model, or this one once more."
            if self._down:
                remedy = "Try another model, or restart the worker."
            self._current, self._facts = None, None
            self._renew()
        # The state first: who hears of a failed request finds the reason there.
        self._set_state(WorkerState(StateKind.CRASHED, words=sentence, down=self._down))
        for ticket in failed.values():
            ticket.deliver(Error(ErrorKind.CRASHED, sentence, remedy, ticket.id))

    def _renew(self) -> None:
        """Under the lock: what the next process is told first, which is to load the same model."""
        self._outbox = Outbox()
        waiting = list(self._pending.values())
        if self._wanted is not None and not self._down:
            self._last_id += 1
            self._wanted = dataclasses.replace(self._wanted, id=self._last_id)
            self._pending[self._last_id] = Request(self._wanted, None, self._cancel)
            self._outbox.put(self._wanted)
        for ticket in waiting:
            self._outbox.put(ticket.request)

    def _rise(self) -> None:
        """Under the lock: end being down."""
        self._down = False
        self._crashes.clear()
        self._renew()
        self._lock.notify_all()

    def _take(self, event: Event) -> None:
        with self._lock:
            ticket = self._pending.get(event.id)
        if ticket is None:
            if isinstance(event, Error):
                _log.error("the worker complains: %s", event.sentence)
            return
        state = self._advance(ticket.request, event)
        if state is not None:
            self._set_state(state)
        ticket.deliver(event)
        if ticket.finished:
            with self._lock:
                self._pending.pop(event.id, None)

    def _advance(self, request: Asked, event: Event) -> WorkerState | None:
        """What an event means for the worker as a whole: its new state, or None."""
        with self._lock:
            match event:
                case Started():
                    self._current = request
                    if isinstance(request, LoadRequest):
                        self._wanted, self._facts = request, None
                        return WorkerState(StateKind.LOADING)
                    return WorkerState(StateKind.BUSY, facts=self._facts) if self._facts else None
                case Loading():
                    return WorkerState(StateKind.LOADING, event.progress)
                case Ready():
                    self._facts = event.facts
                case LoraSet() if self._wanted and self._facts:
                    self._wear(event.lora, event.scale)
                case Error() if isinstance(request, LoadRequest):
                    self._wanted = None
                case Error() if isinstance(request, LoraRequest) and self._wanted and self._facts:
                    self._wear(None, 1.0)
                case _ if not isinstance(event, _FINAL):
                    return None
            self._current = None
            words = event.sentence if isinstance(event, Error) and self._facts is None else ""
            kind = StateKind.READY if self._facts else StateKind.EMPTY
            return WorkerState(kind, facts=self._facts, words=words)

    def _wear(self, lora: str | None, scale: float) -> None:
        assert self._wanted is not None
        assert self._facts is not None
        self._wanted = dataclasses.replace(self._wanted, lora=lora, lora_scale=scale)
        self._facts = dataclasses.replace(self._facts, lora=lora)

    def _fail_all(self) -> None:
        with self._lock:
            failed, self._pending = self._pending, {}
        for number, ticket in failed.items():
            ticket.deliver(_closed(number))

    def _set_state(self, state: WorkerState) -> None:
        with self._lock:
            if state == self._state and state.kind is not StateKind.STARTING:
                return
            self._state = state
        if self._on_state is not None:
            try:
                self._on_state(state)
            except Exception:  # noqa: BLE001 - a thread's edge: a caller's bug must not end the reader
                _log.exception("the state's callback failed")


def _closed(number: int) -> Error:
    return Error(ErrorKind.CLOSED, "The worker was closed.", "", number)
