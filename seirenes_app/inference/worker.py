"""The worker process: `python -m seirenes_app.inference.worker`. Requests on stdin, events on stdout, a log on stderr.

The main thread alone touches llama.cpp. A reader thread takes requests off stdin, raises the cancel flag, and ends the
process when stdin closes; the kernel ends it when its parent dies. It answers no request with a traceback: what a
person can mend has words, a bug goes to the log and is named as one.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import os
import queue
import signal
import sys
import threading
import time
import traceback
from typing import BinaryIO, NoReturn

from seirenes_app.inference.batching import sample
from seirenes_app.inference.errors import EngineError
from seirenes_app.inference.json_codec import ProtocolError
from seirenes_app.inference.llama_bindings import CancelFlag, start_llama
from seirenes_app.inference.protocol import (
    CancelRequest,
    Counted,
    CountRequest,
    Error,
    ErrorKind,
    Event,
    Loading,
    LoadRequest,
    LoraRequest,
    LoraSet,
    QuitRequest,
    Ready,
    Request,
    SampleRequest,
    ScoreRequest,
    Started,
    decode_request,
    encode,
)
from seirenes_app.inference.scoring import score
from seirenes_app.inference.session import Session

_PROGRESS_S = 0.05
_PR_SET_PDEATHSIG = 1


class Inbox:
    """Requests in their order, and the one cancel flag. Shared by the two threads."""

    def __init__(self, cancel: CancelFlag) -> None:
        self._cancel = cancel
        self._queue: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._current = 0
        self._waiting: set[int] = set()
        self._cancelled: set[int] = set()

    def put(self, request: Request) -> None:
        """From the reader thread: queue a request."""
        with self._lock:
            self._waiting.add(request.id)
        self._queue.put(request)

    def cancel(self, target: int) -> None:
        """From the reader thread: end the target now, or as soon as its turn comes."""
        with self._lock:
            if target == self._current:
                self._cancel.set()
            elif target in self._waiting:
                self._cancelled.add(target)

    def take(self) -> Request:
        """From the main thread: wait for the next request, with the flag as its client left it."""
        request = self._queue.get()
        with self._lock:
            self._current = request.id
            self._waiting.discard(request.id)
            self._cancel.clear()
            if request.id in self._cancelled:
                self._cancelled.discard(request.id)
                self._cancel.set()
        return request

    def finish(self) -> None:
        """From the main thread: the request is answered, so nothing cancels it any more."""
        with self._lock:
            self._current = 0


class Output:
    """Events as lines, from either thread; several go out in one write."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def emit(self, events: list[Event]) -> None:
        """Write and flush. Ends the process when nobody reads."""
        data = "".join(map(encode, events)).encode()
        try:
            with self._lock:
                self._pipe.write(data)
                self._pipe.flush()
        except OSError:
            end_now()


class Worker:
    """The requests' handlers. One thread."""

    def __init__(self, inbox: Inbox, output: Output, cancel: CancelFlag) -> None:
        self._inbox, self._output, self._cancel = inbox, output, cancel
        self._session: Session | None = None

    def run(self) -> NoReturn:
        """Answer requests for ever; the reader thread ends the process."""
        while True:
            request = self._inbox.take()
            self._send(Started(request.id))
            try:
                self._answer(request)
            except EngineError as error:
                self._send(error.event(request.id))
            except Exception as error:  # noqa: BLE001 - the process's edge: reported to the log and to the client
                traceback.print_exc()
                words = f"The worker has a bug: {type(error).__name__}: {error}."
                self._send(Error(ErrorKind.FAILED, words, "Copy the diagnostics and report it.", request.id))
                if self._session is not None:
                    self._session.forget()
            finally:
                self._inbox.finish()

    def _send(self, event: Event) -> None:
        self._output.emit([event])

    def _answer(self, request: Request) -> None:
        match request:
            case LoadRequest():
                self._load(request)
            case SampleRequest():
                sample(self._loaded(), request, self._output.emit)
            case ScoreRequest():
                self._send(score(self._loaded(), request))
            case CountRequest():
                self._count(request)
            case LoraRequest():
                self._loaded().set_lora(request.lora, request.scale)
                self._send(LoraSet(request.lora, request.scale, request.id))

    def _loaded(self) -> Session:
        if self._session is None:
            raise EngineError(ErrorKind.NO_MODEL, "No model is loaded.", "Load a model first.")
        return self._session

    def _load(self, request: LoadRequest) -> None:
        # The old model goes first: two at once may not fit in memory.
        if self._session is not None:
            self._session.close()
            self._session = None
        last = 0.0

        def tell(progress: float) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _PROGRESS_S or progress >= 1:
                last = now
                self._send(Loading(min(1.0, max(0.0, progress)), request.id))

        tell(0.0)
        self._session = Session(request, self._cancel, tell)
        self._send(Ready(self._session.facts(), request.id))

    def _count(self, request: CountRequest) -> None:
        session = self._loaded()
        tokens = session.prompt_tokens(request)
        pieces = [session.model.piece(t, special=True).decode("utf-8", "replace") for t in tokens]
        self._send(Counted(len(tokens), tuple(pieces) if request.pieces else (), request.id))


def read_requests(pipe: BinaryIO, inbox: Inbox, output: Output) -> None:
    """The reader thread: until stdin closes, and the process with it."""
    for line in pipe:
        try:
            request = decode_request(line)
        except ProtocolError as error:
            output.emit([Error(ErrorKind.BAD_REQUEST, str(error))])
            continue
        if isinstance(request, QuitRequest):
            break
        if isinstance(request, CancelRequest):
            inbox.cancel(request.target)
        else:
            inbox.put(request)
    end_now()


def end_now() -> NoReturn:
    """End without clean-up: the other thread may be deep in llama.cpp, and the system frees everything."""
    os._exit(0)


def die_with(parent: int) -> None:
    """Linux ends this process when the parent does, even if a third process keeps stdin open."""
    if sys.platform == "linux" and parent:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # It may have died before the line above.
        if os.getppid() != parent:
            end_now()


def main() -> NoReturn:
    """Run the worker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, default=0, help="id of the process whose end is this one's end")
    die_with(parser.parse_args().parent)
    faulthandler.enable()
    # Ctrl+C in a terminal reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever prints to stdout by itself ends up in the log and not between the events.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    start_llama()
    cancel = CancelFlag()
    inbox, output = Inbox(cancel), Output(pipe)
    threading.Thread(target=read_requests, args=(sys.stdin.buffer, inbox, output), daemon=True).start()
    Worker(inbox, output, cancel).run()


if __name__ == "__main__":
    main()
