"""The worker's client: starts the process, sends requests, hands events out, restarts it after a crash. Any thread may
call a `WorkerClient`. All callbacks come on its reader thread: keep them short, and never wait for a `Pending` there.
Exceptions in callbacks are logged and dropped."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import structs

from seirenes_app.inference.protocol import (
    BatchRequest,
    CancelRequest,
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
    Rendered,
    RenderRequest,
    Request,
    SampleDone,
    SampleRequest,
    ScoreResult,
    Started,
    WorkRequest,
)
from seirenes_app.inference.worker_process import WorkerProcess
from training.errors import UserError
from training.runs.files import FileIdentity, file_identity

_log = logging.getLogger(__name__)

CRASHES = 3
CRASH_WINDOW_S = 60.0
FINAL = (Ready, Done, ScoreResult, Rendered, LoraSet, Error)  # the events that end a request

OnEvent = Callable[[Event], None]


class StateKind(StrEnum):
    STARTING = "starting"  # the process is being started
    EMPTY = "empty"  # it runs without a model; `message` says why when a load failed
    LOADING = "loading"  # it reads a model; see `progress`
    READY = "ready"  # it waits for requests; see `facts`
    BUSY = "busy"  # it works on a request
    CRASHED = "crashed"
    """`message` says how. It comes back by itself unless `down`, with its model unless loading that crashed it."""
    CLOSED = "closed"  # the client was closed


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One state. `progress` is 0 to 1 while loading; `down` means that only `restart` brings it back."""

    kind: StateKind
    progress: float = 0.0
    facts: ModelFacts | None = None
    message: str = ""
    down: bool = False


class RequestFailed(UserError):
    """The request failed; `error` says of what kind it was, the text is for the person."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.sentence)
        self.error = error


@dataclass(frozen=True, slots=True)
class Samples:
    """The whole answer to a `SampleRequest` or a `BatchRequest`; `samples` in the order of their indices, cancelled
    ones included."""

    samples: tuple[SampleDone, ...]
    done: Done


Answer = Ready | Samples | ScoreResult | Rendered | LoraSet


class Pending:
    """One request. Its events go to `on_event` on the client's reader thread; the last is one of `FINAL`."""

    def __init__(self, request: WorkRequest, on_event: OnEvent | None, cancel: Callable[[Pending], None]) -> None:
        self.request = request
        self.model: LoadRequest | None = None  # the model that the request is meant for, where it was sent with one
        self.load: Pending | None = None  # the load that was sent for it
        self.cancelled = False
        self._on_event, self._cancel = on_event, cancel
        self._finished = threading.Event()
        self._samples: dict[int, SampleDone] = {}
        self._answer: Answer | Error | None = None

    @property
    def id(self) -> int:
        return self.request.id

    @property
    def finished(self) -> bool:
        return self._finished.is_set()

    def cancel(self) -> None:
        """Ask for an end; returns at once. Samples keep their text so far, everything else fails as cancelled."""
        if not self.finished:
            self._cancel(self)

    def result(self, timeout: float | None = None) -> Answer:
        """Wait for the answer, never on the client's reader thread. Raises `RequestFailed` and TimeoutError."""
        if not self._finished.wait(timeout):
            raise TimeoutError(f"no answer to request {self.id} within {timeout} s")
        if isinstance(self._answer, Error):
            raise RequestFailed(self._answer)
        assert self._answer is not None
        return self._answer

    def deliver(self, event: Event) -> None:
        """From the client: take an event of this request, and hand it on. Nothing comes after a final one."""
        if self.finished:
            return
        if isinstance(event, SampleDone):
            self._samples[event.index] = event
        elif isinstance(event, Done):
            self._answer = Samples(tuple(self._samples[i] for i in sorted(self._samples)), event)
        elif isinstance(event, Ready | ScoreResult | Rendered | LoraSet | Error):
            self._answer = event
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:  # noqa: BLE001 - a thread's edge: a caller's bug must not end the reader
                _log.exception("a callback of request %s failed", self.id)
        # After the callback, so that who waits for the result finds that all events have come.
        if isinstance(event, FINAL):
            self._finished.set()


class WorkerClient:
    """One worker process and its requests, which are answered in their order."""

    def __init__(self, on_state: Callable[[WorkerState], None] | None = None) -> None:
        self._on_state = on_state
        # Guards everything below. Callbacks and waiting happen outside of it.
        self._lock = threading.Condition()
        self._state = WorkerState(StateKind.STARTING)
        self._outbox: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._process: WorkerProcess | None = None
        self._pending: dict[int, Pending] = {}
        self._last_id = 0
        self._current: WorkRequest | None = None
        self._wanted: LoadRequest | None = None
        self._facts: ModelFacts | None = None
        self._load_error: Error | None = None
        self._loaded: FileIdentity | None = None  # the model's file when it was loaded
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._closing = self._down = False
        # One thread for the client's whole life, which starts every process: Linux ties a child to the thread.
        self._reader = threading.Thread(target=self._run, name="worker-reader", daemon=True)
        self._reader.start()

    # Requests

    @property
    def state(self) -> WorkerState:
        with self._lock:
            return self._state

    @property
    def pid(self) -> int | None:
        with self._lock:
            return self._process.pid if self._process else None

    def expects(self, model: LoadRequest) -> bool:
        """Whether this model is loaded once all that was sent is done. The thread count does not matter."""
        with self._lock:
            loads = [p for p in self._pending.values() if isinstance(p.request, LoadRequest)]
            if self._down or (loads and loads[-1].cancelled):
                return False
            last = loads[-1].request if loads else self._wanted
        if not isinstance(last, LoadRequest):
            return False
        return (last.model, last.lora, last.n_ctx) == (model.model, model.lora, model.n_ctx)

    def send(self, request: WorkRequest, on_event: OnEvent | None = None, model: LoadRequest | None = None) -> Pending:
        """Queue a request. With `model` it is answered by that model, which is loaded first unless it is there."""
        load = self.send(model) if model is not None and not self.expects(model) else None
        with self._lock:
            self._last_id += 1
            pending = Pending(structs.replace(request, id=self._last_id), on_event, self._cancel)
            pending.model, pending.load = model, load
            closed = self._state.kind is StateKind.CLOSED
            if self._down and isinstance(request, LoadRequest):
                # Perhaps the last model brought the worker down: this one is wanted now.
                self._wanted = None
                self._end_down()
            if not closed:
                self._pending[pending.id] = pending
                self._outbox.put(pending.request)
                # The reader answers it at once where no process will.
                self._lock.notify_all()
        if closed:
            # The one callback on the caller's own thread: there is no other any more.
            pending.deliver(_closed(pending))
        return pending

    def load(self, model: Path | str, on_event: OnEvent | None = None, **settings: Any) -> Pending:
        return self.send(LoadRequest(model=str(model), **settings), on_event)

    def restart(self) -> None:
        """Try again after the client has given up: a new process, and the same model. Otherwise it does nothing."""
        with self._lock:
            if self._down:
                self._end_down()

    def close(self, timeout_s: float = 2.0) -> None:
        """End the worker, whatever it does; requests that wait fail as closed. Again: nothing."""
        with self._lock:
            self._closing = True
            process = self._process
            self._outbox.put(QuitRequest())
            self._outbox.put(None)
            self._lock.notify_all()
        if process is not None and not process.wait(timeout_s / 2):
            process.kill()
        if threading.current_thread() is not self._reader:
            self._reader.join(timeout_s)

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _cancel(self, pending: Pending) -> None:
        with self._lock:
            for each in (pending, pending.load):
                if each is not None and not each.finished:
                    each.cancelled = True
                    self._outbox.put(CancelRequest(target=each.id))

    # The reader thread

    def _run(self) -> None:
        while self._may_start():
            self._set_state(WorkerState(StateKind.STARTING))
            try:
                process = WorkerProcess(self._outbox)
            except OSError as error:
                self._on_crash(f"It could not be started: {error.strerror}.")
                continue
            with self._lock:
                self._process = process
                bare = bool(self._crashes) and self._wanted is None and not self._pending
            if bare:
                self._set_state(WorkerState(StateKind.EMPTY))
            for event in process.events():
                self._take(event)
            message = process.collect()
            with self._lock:
                self._process = None
            if not self._closing:
                self._on_crash(message)
        self._fail_all(_closed)
        self._set_state(WorkerState(StateKind.CLOSED))
        # Requests that slipped in between the two lines above.
        self._fail_all(_closed)

    def _may_start(self) -> bool:
        """Wait while the client stays down, answering requests with the reason; False once it is closing."""
        while True:
            with self._lock:
                if self._closing or not self._down:
                    return not self._closing
                if not self._pending:
                    self._lock.wait()
                    continue
                reason = self._state.message
            self._fail_all(partial(_closed, message=reason))

    def _on_crash(self, message: str) -> None:
        """Fail what was pending; the next process loads the same model, unless loading it crashed. Or stay down."""
        with self._lock:
            doing = _describe(self._current) if self._current else "waiting for requests"
            if self._wanted is not None and self._loaded is not None:
                now_there = file_identity(Path(self._wanted.model))
                if now_there is not None and now_there != self._loaded:
                    message += f" {self._wanted.model} was changed or replaced while it was loaded, which can do this."
            now = time.monotonic()
            self._crashes.append(now)
            self._down = len(self._crashes) == CRASHES and now - self._crashes[0] < CRASH_WINDOW_S
            sentence = f"The worker process crashed while it was {doing}. {message}"
            if self._down:
                sentence += f" It crashed {CRASHES} times within a minute and is not restarted by itself."
            failed, self._pending = self._pending, {}
            remedy = "The worker was restarted. Retry your request."
            if isinstance(self._current, LoadRequest):
                # Very likely the file did it, and would do it again.
                self._wanted = None
                remedy = "The worker was restarted without a model. Load another model, or retry this one."
            if self._down:
                remedy = "Try another model, or restart the worker."
            self._current, self._facts = None, None
            self._renew_outbox()
        # The state first: who hears of a failed request finds the reason there.
        self._set_state(WorkerState(StateKind.CRASHED, message=sentence, down=self._down))
        for pending in failed.values():
            pending.deliver(Error(kind=ErrorKind.CRASHED, message=sentence, remedy=remedy, id=pending.id))

    def _renew_outbox(self) -> None:
        """Under the lock: what the next process gets first, which is to load the same model."""
        self._outbox = queue.SimpleQueue()
        waiting = list(self._pending.values())
        if self._wanted is not None and not self._down:
            self._last_id += 1
            self._wanted = structs.replace(self._wanted, id=self._last_id)
            self._pending[self._last_id] = Pending(self._wanted, None, self._cancel)
            self._outbox.put(self._wanted)
        for pending in waiting:
            self._outbox.put(pending.request)

    def _end_down(self) -> None:
        """Under the lock: end being down."""
        self._down = False
        self._crashes.clear()
        self._renew_outbox()
        self._lock.notify_all()

    def _take(self, event: Event) -> None:
        with self._lock:
            pending = self._pending.get(event.id)
        if pending is None:
            if isinstance(event, Error):
                _log.error("the worker reports: %s", event.sentence)
            return
        state = self._advance(pending.request, event)
        if state is not None:
            self._set_state(state)
        if isinstance(event, Error) and event.kind is ErrorKind.NO_MODEL and (pending.model or pending.load):
            # The load that it relied on was another's. A cancelled one is made again, a failed one says why.
            failed = self._load_error is not None and self._load_error.kind is not ErrorKind.CANCELLED
            if pending.model is not None and not failed:
                self._resend(pending)
                return
            if self._load_error is not None:
                event = structs.replace(self._load_error, id=event.id)
        if isinstance(event, Error) and event.kind is ErrorKind.CHANGED and pending.model is not None:
            # What was sent with its model means the file as it is now.
            self._resend(pending)
            return
        pending.deliver(event)
        if pending.finished:
            with self._lock:
                self._pending.pop(event.id, None)

    def _resend(self, pending: Pending) -> None:
        model, pending.model = pending.model, None
        assert model is not None
        pending.load = self.send(model)
        with self._lock:
            self._outbox.put(pending.request)

    def _advance(self, request: WorkRequest, event: Event) -> WorkerState | None:
        """What an event means for the worker as a whole: its new state, or None."""
        with self._lock:
            match event:
                case Started():
                    self._current = request
                    if isinstance(request, LoadRequest):
                        self._wanted, self._facts, self._load_error = request, None, None
                        self._loaded = file_identity(Path(request.model))
                        return WorkerState(StateKind.LOADING)
                    return WorkerState(StateKind.BUSY, facts=self._facts) if self._facts else None
                case Loading():
                    return WorkerState(StateKind.LOADING, event.progress)
                case Ready():
                    self._facts = event.facts
                case LoraSet():
                    self._set_adapter(event.lora, event.scale)
                case Error() if isinstance(request, LoadRequest):
                    self._wanted, self._load_error = None, event
                case Error() if isinstance(request, LoraRequest):
                    self._set_adapter(None, 1.0)
                case _ if not isinstance(event, FINAL):
                    return None
            self._current = None
            message = event.sentence if isinstance(event, Error) and self._facts is None else ""
            kind = StateKind.READY if self._facts else StateKind.EMPTY
            return WorkerState(kind, facts=self._facts, message=message)

    def _set_adapter(self, lora: str | None, scale: float) -> None:
        if self._wanted is not None and self._facts is not None:
            self._wanted = structs.replace(self._wanted, lora=lora, lora_scale=scale)
            self._facts = replace(self._facts, lora=lora)

    def _fail_all(self, error: Callable[[Pending], Error]) -> None:
        with self._lock:
            failed, self._pending = self._pending, {}
        for pending in failed.values():
            pending.deliver(error(pending))

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


def _closed(pending: Pending, message: str = "The worker was closed.") -> Error:
    return Error(kind=ErrorKind.CLOSED, message=message, id=pending.id)


def _describe(request: WorkRequest) -> str:
    match request:
        case LoadRequest():
            return f"loading {request.model}"
        case SampleRequest():
            return f"generating {request.n} sample{'s' if request.n > 1 else ''}"
        case RenderRequest():
            return "writing a prompt"
        case BatchRequest():
            return f"generating a batch of {sum(r.n for r in request.requests)} samples"
        case LoraRequest():
            return f"putting on the adapter {request.lora}" if request.lora else "taking the adapter off"
    return "scoring a completion"
