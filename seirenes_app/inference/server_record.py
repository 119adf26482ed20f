"""What `seirenes serve` and its server process say to each other: how to serve, what became of it, and the record of a
server that runs. No llama.cpp."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec
import psutil

from training.resources import data_folder
from training.runs.files import write_whole
from training.runs.lock import SAME_START_S

CHAT = "/chat/completions"


@dataclass(frozen=True, slots=True)
class ServeSpec:
    """One server, as its process reads it from standard input: a key is never an argument, nor in a file.

    `model` is a GGUF file, `alias` what clients call it. `port` 0 takes a free one, `threads` and `n_ctx` 0 what is
    usual here. `logprobs` None: where the table that they need is small. `keep`: it outlives the process that started
    it.
    """

    model: str
    alias: str
    host: str = "127.0.0.1"
    port: int = 8000
    threads: int = 0
    n_ctx: int = 0
    logprobs: bool | None = None
    api_key: str = field(default="", repr=False)
    keep: bool = False


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """A server that runs. `born` is the start of its process in seconds since 1970, which tells it from a later one of
    the same number. `template_note` says what is used in place of the model's chat template, empty for nothing."""

    pid: int
    born: float
    model: str
    alias: str
    host: str
    port: int
    n_ctx: int
    threads: int
    logprobs: bool
    locked: bool
    """Whether it asks for a key."""
    keep: bool
    started: float
    template_note: str = ""

    @property
    def base_url(self) -> str:
        """What a client on this machine is given."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/v1"

    @property
    def curl_line(self) -> str:
        """A command that asks it something."""
        key = " -H 'Authorization: Bearer KEY'" if self.locked else ""
        body = msgspec.json.encode({"model": self.alias, "messages": [{"role": "user", "content": "What is 2 + 3?"}]})
        text = body.decode().replace("'", "'\\''")
        return f"curl {self.base_url}{CHAT} -H 'Content-Type: application/json'{key} -d '{text}'"


class ProcessRecord(Protocol):
    """A record that tells a process from a later one of the same number."""

    @property
    def pid(self) -> int: ...

    @property
    def born(self) -> float: ...


class Problem(StrEnum):
    """Why a server did not start."""

    PORT_TAKEN = "port_taken"
    HOST = "host"
    MODEL = "model"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """The last line of a server that did not start. `message` is for a person, with the remedy."""

    problem: Problem
    message: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What a server is doing before it is ready."""

    doing: str


@dataclass(frozen=True, slots=True)
class ServerLine:
    """One line of a server's standard output; one of the three is there."""

    stage: Stage | None = None
    failure: Failure | None = None
    ready: ServerRecord | None = None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# ---------------------------------------------------------------------- records


def servers_folder() -> Path:
    return data_folder() / "servers"


def _record_path(pid: int) -> Path:
    return servers_folder() / f"{pid}.json"


def server_log() -> Path:
    """What servers that outlive their starter write."""
    return servers_folder() / "servers.log"


def write_record(record: ServerRecord) -> None:
    """Let this process be found. Raises a `UserError`."""
    path = _record_path(record.pid)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, msgspec.json.encode(record).decode())


def remove_record(pid: int) -> None:
    _record_path(pid).unlink(missing_ok=True)


def own_birth() -> float:
    """The start of this process, as `ServerRecord.born`."""
    return float(psutil.Process(os.getpid()).create_time())


def process_of(record: ProcessRecord) -> psutil.Process | None:
    """The server's process, None when it is gone."""
    try:
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.born) < SAME_START_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def running_servers() -> Iterator[ServerRecord]:
    """The records of servers that run, oldest first; those of others are removed."""
    found = []
    for path in servers_folder().glob("*.json"):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=ServerRecord)
        except (OSError, msgspec.DecodeError):
            continue
        if process_of(record) is not None:
            found.append(record)
        else:
            path.unlink(missing_ok=True)
    yield from sorted(found, key=lambda r: r.started)
