"""One run of the worker process, seen from outside: start it, write to it without waiting, read its events."""

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

from seirenes_app.inference.protocol import Event, ProtocolError, QuitRequest, Request, decode_event, encode

_LOG_BYTES = 4000
_LOG_LINES = 6
# Python's dump of every thread after a fatal signal; the lines above it say more to a person.
_DUMP = ("Thread 0x", "Current thread 0x", "  File ", "Extension modules", "Fatal Python error: Aborted")
# A failed assertion of llama.cpp begins with the folder of the machine that built it.
_BUILD_FOLDER = re.compile(r"\S*/(?=llama\.cpp/)")


class WorkerProcess:
    """A started worker, sent what comes out of `outbox` (None: end). The thread that makes it must outlive it
    (Linux)."""

    def __init__(self, outbox: queue.SimpleQueue[Request | None]) -> None:
        self._outbox = outbox
        # A file and not a pipe: nobody has to read it, and it is still there when the process is not.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `collect`
        command = [sys.executable, "-m", "seirenes_app.inference.worker", "--parent", str(os.getpid())]
        # The folder of this package comes first, so that the worker is of the same version. When llama.cpp gives up it
        # would call a debugger, which takes seconds and hides the line that says why.
        root, known = str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")
        path = f"{root}{os.pathsep}{known}" if known else root
        environment = {**os.environ, "GGML_NO_BACKTRACE": "1", "PYTHONPATH": path}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment
        )
        threading.Thread(target=self._write, name="worker-writer", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _write(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            while (request := self._outbox.get()) is not None:
                pipe.write(encode(request))
                pipe.flush()
                if isinstance(request, QuitRequest):
                    break
            pipe.close()
        except OSError:
            # It crashed. The reader sees the end of its events and says so; what was queued is answered there.
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
        self._process.kill()

    def wait(self, timeout_s: float) -> bool:
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def collect(self) -> str:
        """After its last event: free it and say how it ended, with the last lines of its log."""
        self._outbox.put(None)
        if not self.wait(2):
            self.kill()
        code = self._process.wait()
        for pipe in (self._process.stdout, self._process.stdin):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    # Unwritten bytes to a process that has ended.
                    continue
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_BYTES))
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        self._log.close()
        kept = [line.strip() for line in lines if line.strip() and not line.startswith(_DUMP)]
        last = _BUILD_FOLDER.sub("", " | ".join(kept[-_LOG_LINES:])).removesuffix(".")
        return f"{_ending(code)} Last lines of its log: {last}." if last else _ending(code)


def _ending(code: int) -> str:
    if code >= 0:
        return f"It exited with code {code}."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (often: the machine ran out of memory)" if name == "SIGKILL" else ""
    return f"It was ended by {name}{hint}."
