"""One run of the worker process, seen from outside: start it, write to it without waiting, read its events, bury it."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from seirenes_app.inference.json_codec import ProtocolError
from seirenes_app.inference.protocol import Event, QuitRequest, Request, decode_event, encode

_LAST_BYTES = 4000
_LAST_LINES = 6
# Python's dump of every thread after a fatal signal; the lines above it say more to a person.
_DUMP = ("Thread 0x", "Current thread 0x", "  File ", "Extension modules", "Fatal Python error: Aborted")
# A failed assertion of llama.cpp begins with the folder of the machine that built it.
_BUILD_FOLDER = re.compile(r"\S*/(?=llama\.cpp/)")


class Outbox:
    """Requests to one process. `put` never waits and never fails, whatever state the process is in."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()

    def put(self, request: Request) -> None:
        """Queue a request."""
        self._queue.put(request)

    def close(self) -> None:
        """No more requests: who pumps this ends."""
        self._queue.put(None)

    def requests(self) -> Iterator[Request]:
        """Wait for each request in turn, until `close`."""
        while (request := self._queue.get()) is not None:
            yield request


class WorkerProcess:
    """A started worker. The thread that makes it must outlive it: Linux ties a child to the thread that forked it."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        # A file and not a pipe: nobody has to read it, and it is still there when the process is not.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `bury`
        command = [sys.executable, "-m", "seirenes_app.inference.worker", "--parent", str(os.getpid())]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=_environment()
        )
        threading.Thread(target=self._pump, name="worker-writer", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def _pump(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            for request in self._outbox.requests():
                pipe.write(encode(request).encode())
                pipe.flush()
                if isinstance(request, QuitRequest):
                    break
            pipe.close()
        except OSError:
            # It died. The reader sees the end of its events and says so; what was queued is answered there.
            return

    def events(self) -> Iterator[Event]:
        """Every event until the process ends. A line that cannot be read is skipped: the end says what happened."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                yield decode_event(line)
            except ProtocolError:
                continue

    def kill(self) -> None:
        """End it at once. From any thread."""
        self._process.kill()

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within that time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def bury(self) -> str:
        """After its last event: collect it and say how it ended, with its last words."""
        self._outbox.close()
        if not self.wait(2):
            self.kill()
        code = self._process.wait()
        for pipe in (self._process.stdout, self._process.stdin):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    # Unwritten bytes to a dead process.
                    continue
        words = _ending(code)
        last = self._last_words()
        self._log.close()
        return f"{words} Its last words: {last.removesuffix('.')}." if last else words

    def _last_words(self) -> str:
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LAST_BYTES))
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        telling = [line.strip() for line in lines if line.strip() and not line.startswith(_DUMP)]
        return _BUILD_FOLDER.sub("", " | ".join(telling[-_LAST_LINES:]))


def _ending(code: int) -> str:
    if code >= 0:
        return f"It ended with code {code}."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (often: the machine ran out of memory)" if name == "SIGKILL" else ""
    return f"It was ended by {name}{hint}."


def _environment() -> dict[str, str]:
    """The parent's, with the folder of this package first, so that the worker is of the same version.

    When llama.cpp gives up it would call a debugger, which takes seconds and buries the line that says why.
    """
    root = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "GGML_NO_BACKTRACE": "1", "PYTHONPATH": f"{root}{os.pathsep}{known}" if known else root}
