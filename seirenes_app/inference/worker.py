"""The worker process: `python -m seirenes_app.inference.worker`. Requests on stdin, events on stdout, a log on stderr.
The main thread alone touches llama.cpp; a reader thread takes requests, raises the cancel flag, and ends the process
when stdin closes. Linux ends it when its parent ends."""

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

from seirenes_app.inference import protocol
from seirenes_app.inference.batching import Sampler
from seirenes_app.inference.llama_bindings import CancelFlag, EngineError, start_llama
from seirenes_app.inference.scoring import score
from seirenes_app.inference.session import Session

_PROGRESS_S = 0.05
_PR_SET_PDEATHSIG = 1


class Inbox:
    """Requests in their order, and the one cancel flag. Shared by the two threads."""

    def __init__(self, cancel: CancelFlag) -> None:
        self._cancel = cancel
        self._queue: queue.SimpleQueue[protocol.WorkRequest] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._current = 0
        self._waiting: set[int] = set()
        self._cancelled: set[int] = set()

    def read(self, pipe: BinaryIO, worker: Worker) -> NoReturn:
        """The reader thread: until stdin closes or the client says so, and the process ends with it."""
        for line in pipe:
            try:
                request = protocol.decode_request(line)
            except protocol.ProtocolError as error:
                worker.emit(protocol.Error(kind=protocol.ErrorKind.BAD_REQUEST, message=str(error)))
                continue
            if isinstance(request, protocol.QuitRequest):
                break
            with self._lock:
                if not isinstance(request, protocol.CancelRequest):
                    self._waiting.add(request.id)
                    self._queue.put(request)
                elif request.target == self._current:
                    self._cancel.set()
                elif request.target in self._waiting:
                    # Its turn will find it cancelled.
                    self._cancelled.add(request.target)
        end_now()

    def take(self) -> protocol.WorkRequest:
        """From the main thread: wait for the next request, with the flag as its client left it."""
        with self._lock:
            self._current = 0
        request = self._queue.get()
        with self._lock:
            self._current = request.id
            self._waiting.discard(request.id)
            self._cancel.clear()
            if request.id in self._cancelled:
                self._cancelled.discard(request.id)
                self._cancel.set()
        return request


class Worker:
    """The requests' handlers and the events' way out. `run` and all that it calls is one thread."""

    def __init__(self, inbox: Inbox, pipe: BinaryIO, cancel: CancelFlag) -> None:
        self._inbox, self._pipe, self._cancel = inbox, pipe, cancel
        self._lock = threading.Lock()
        self._session: Session | None = None

    def emit(self, *events: protocol.Event) -> None:
        """Write and flush, from either thread. Ends the process when nobody reads."""
        data = b"".join(map(protocol.encode, events))
        try:
            with self._lock:
                self._pipe.write(data)
                self._pipe.flush()
        except OSError:
            end_now()

    def run(self) -> NoReturn:
        """Answer requests for ever; the reader thread ends the process."""
        while True:
            request = self._inbox.take()
            self.emit(protocol.Started(id=request.id))
            try:
                if isinstance(request, protocol.LoadRequest):
                    self._load(request)
                elif self._session is None:
                    raise EngineError(protocol.ErrorKind.NO_MODEL, "No model is loaded.", "Load a model first.")
                elif isinstance(request, protocol.SampleRequest | protocol.BatchRequest):
                    self._session.check_unchanged()
                    Sampler(self._session, request, self.emit).run()
                elif isinstance(request, protocol.ScoreRequest):
                    self._session.check_unchanged()
                    self.emit(score(self._session, request))
                elif isinstance(request, protocol.RenderRequest):
                    self.emit(self._session.render(request))
                elif isinstance(request, protocol.LoraRequest):
                    self._session.set_lora(request.lora, request.scale)
                    self.emit(protocol.LoraSet(lora=request.lora, scale=request.scale, id=request.id))
            except EngineError as error:
                self.emit(protocol.Error(kind=error.kind, message=error.message, remedy=error.remedy, id=request.id))
            except Exception as error:  # noqa: BLE001 - the process's edge: reported to the log and to the client
                self._report_bug(request, error)

    def _report_bug(self, request: protocol.WorkRequest, error: Exception) -> None:
        traceback.print_exc()
        message = f"The worker has a bug: {type(error).__name__}: {error}."
        remedy = "Copy the diagnostics and report it."
        self.emit(protocol.Error(kind=protocol.ErrorKind.FAILED, message=message, remedy=remedy, id=request.id))
        if self._session is not None:
            self._session.forget()

    def _load(self, request: protocol.LoadRequest) -> None:
        # The old model goes first: two at once may not fit in memory.
        if self._session is not None:
            self._session.close()
            self._session = None
        last = 0.0

        def report(progress: float) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _PROGRESS_S or progress >= 1:
                last = now
                self.emit(protocol.Loading(progress=min(1.0, max(0.0, progress)), id=request.id))

        report(0.0)
        self._session = Session(request, self._cancel, report)
        self.emit(protocol.Ready(facts=self._session.facts(), id=request.id))


def end_now() -> NoReturn:
    """End without clean-up: the other thread may be deep in llama.cpp, and the system frees everything."""
    os._exit(0)


def die_with(parent: int) -> None:
    """Linux ends this process when the parent does, even if a third process keeps stdin open."""
    if sys.platform == "linux" and parent:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # It may have ended before the line above.
        if os.getppid() != parent:
            end_now()


def main() -> NoReturn:
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
    inbox = Inbox(cancel)
    worker = Worker(inbox, pipe, cancel)
    threading.Thread(target=inbox.read, args=(sys.stdin.buffer, worker), daemon=True).start()
    worker.run()


if __name__ == "__main__":
    main()
