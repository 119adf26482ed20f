"""Models behind an OpenAI-compatible server on this machine: start one, list those that run, stop one. No Qt.

A server is a process of its own. It ends with the process that started it unless it is to be kept.
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

import msgspec
import psutil

from seirenes_app.inference.model_client import Cancelled, OpenProgress, gguf_of, locate_files, name_of
from seirenes_app.inference.server_record import (
    ServerLine,
    ServerRecord,
    ServeSpec,
    is_loopback,
    process_of,
    remove_record,
    running_servers,
    server_log,
)
from training.errors import UserError
from training.runs.processes import child_environment

PORT = 8000
HOST = "127.0.0.1"
KEY_LENGTH = 8
"""Least characters of a key."""
STOP_S = 5.0
_POLL_S = 0.2
_LOG_BYTES, _LOG_LINES = 4000, 4
_ALIAS = re.compile(r"[\w@.:/+-]{1,100}")

EXPOSED = (
    "Every machine that reaches this one on the network can send requests to {host}:{port}. The key is sent without "
    "encryption: use it on a network that you trust, or behind a proxy with TLS."
)
"""What is to be said of a server that is not on loopback."""


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """What to serve, and where. `model` is named as everywhere; `alias` empty is the model's own name. 0 of `threads`
    and `n_ctx`: what is usual here. `logprobs` None: where they cost little memory."""

    model: str = "starter"
    host: str = HOST
    port: int = PORT
    threads: int = 0
    n_ctx: int = 0
    alias: str = ""
    logprobs: bool | None = None
    api_key: str = field(default="", repr=False)
    keep: bool = False


def check_request(request: ServeRequest) -> None:
    """A UserError for what cannot be served so. Reads no model."""
    if not 0 <= request.port <= 65535:
        raise UserError(f"The port is {request.port}; it must be 1 to 65535, or 0 for a free one.")
    if request.threads < 0 or request.n_ctx < 0:
        raise UserError("Threads and context must be 1 or more, or 0 for what is usual.")
    if request.alias and not _ALIAS.fullmatch(request.alias):
        raise UserError(f"{request.alias!r} is no name for a model: use letters, digits and . _ - @ : / +")
    if not is_loopback(request.host) and not request.api_key:
        raise UserError(
            f"A server on {request.host} can be reached from other machines, so it needs a key: give one with "
            "--api-key-stdin, or leave --host out."
        )
    if request.api_key and (len(request.api_key) < KEY_LENGTH or not request.api_key.isascii()):
        raise UserError(f"The key must have at least {KEY_LENGTH} characters, of ASCII.")
    if any(c.isspace() for c in request.api_key):
        raise UserError("The key must have no spaces.")


def usual_alias(model: str) -> str:
    """What clients call a model that was given no other name: its own, without what a URL or a shell would break."""
    return re.sub(r"[^\w@.:/+-]+", "-", name_of(model)).strip("-")[:100] or "model"


class Server:
    """A server that this process started. Unless it is kept, it ends with `stop`, or with this process."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes], record: ServerRecord) -> None:
        self._process, self._log, self.record = process, log, record

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        """Block until it ends; returns its exit code."""
        return self._process.wait()

    def ending(self) -> str:
        """How it ended, with the last lines of its log."""
        return _ending(self._process, self._log)

    def let_go(self) -> None:
        """Let it end by itself, as when this process ends; does not wait. Not for one that is kept."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def stop(self) -> None:
        """End it. Again: nothing."""
        _end(self._process)
        remove_record(self.record.pid)


def start_server(
    request: ServeRequest,
    progress: Callable[[OpenProgress], object] = lambda _progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Server:
    """Start a server and wait until it answers. Blocks. Raises a UserError, and `Cancelled`."""
    check_request(request)
    alias = request.alias or usual_alias(request.model)
    file = gguf_of(locate_files(request.model), progress, cancelled)
    spec = ServeSpec(
        str(file), alias, request.host, request.port, request.threads, request.n_ctx, request.logprobs,
        request.api_key, request.keep,
    )  # fmt: skip
    progress(OpenProgress(f"Starting the server for {alias}"))
    log = _open_log(keep=request.keep)
    process = subprocess.Popen(
        [sys.executable, "-m", "seirenes_app.inference.serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=log, env={**child_environment(), "GGML_NO_BACKTRACE": "1"}, start_new_session=request.keep,
    )  # fmt: skip
    try:
        record = _await(process, spec, log, progress, cancelled)
    except BaseException:
        _end(process)
        log.close()
        raise
    return Server(process, log, record)


def _open_log(*, keep: bool) -> IO[bytes]:
    """What a server writes to standard error: a file that goes with this process, or one that stays."""
    if not keep:
        return tempfile.TemporaryFile()
    server_log().parent.mkdir(parents=True, exist_ok=True)
    return server_log().open("a+b")


def _await(
    process: subprocess.Popen[bytes],
    spec: ServeSpec,
    log: IO[bytes],
    progress: Callable[[OpenProgress], object],
    cancelled: Callable[[], bool],
) -> ServerRecord:
    lines: queue.SimpleQueue[ServerLine | None] = queue.SimpleQueue()
    assert process.stdin is not None
    with suppress(OSError):  # it ended at once, which its end says
        process.stdin.write(msgspec.json.encode(spec) + b"\n")
        process.stdin.flush()
        if spec.keep:
            process.stdin.close()
    threading.Thread(target=_read, args=(process, lines), name="server-reader", daemon=True).start()
    while True:
        if cancelled():
            raise Cancelled
        try:
            line = lines.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        if line is None:
            raise UserError(f"The server of {spec.alias} ended before it was ready. {_ending(process, log)}")
        if line.failure is not None:
            raise UserError(line.failure.message)
        if line.stage is not None:
            progress(OpenProgress(line.stage.doing))
        if line.ready is not None:
            return line.ready


def _read(process: subprocess.Popen[bytes], lines: queue.SimpleQueue[ServerLine | None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for text in process.stdout:
            with suppress(msgspec.DecodeError):
                lines.put(msgspec.json.decode(text, type=ServerLine))
    lines.put(None)


def _ending(process: subprocess.Popen[bytes], log: IO[bytes]) -> str:
    code = process.wait(STOP_S)
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _LOG_BYTES))
    kept = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    last = " | ".join(kept[-_LOG_LINES:])
    return f"It exited with code {code}.{f' Last lines of its log: {last}' if last else ''}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and kill it when that takes too long."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# ---------------------------------------------------------------------- servers of all processes


def list_servers() -> list[ServerRecord]:
    """The servers of this user that run, oldest first, whoever started them."""
    return list(running_servers())


def find_server(name: str) -> ServerRecord:
    """The server of that port, address or model name; a UserError where there is none, or several."""
    found = list_servers()
    wanted = name.rstrip("/").removesuffix("/v1")
    matches = [
        r for r in found if name in (str(r.port), r.alias) or r.base_url.removesuffix("/v1") == wanted
    ]  # fmt: skip
    if len(matches) == 1:
        return matches[0]
    if not found:
        raise UserError("No server runs. Start one with: seirenes serve")
    listed = ", ".join(f"{r.alias} on port {r.port}" for r in found)
    raise UserError(f"{'No' if not matches else 'More than one'} server is called {name!r}. There are: {listed}.")


def stop_server(record: ServerRecord) -> None:
    """End a server of any process. Blocks for seconds at most."""
    process = process_of(record)
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
            try:
                process.wait(STOP_S)
            except psutil.TimeoutExpired:
                process.kill()
    remove_record(record.pid)
