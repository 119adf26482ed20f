"""Requests to a background process: appended by window and command, read by the process, idempotent."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from training.runs.files import explained
from training.runs.paths import RunPaths


class CommandKind(StrEnum):
    """What can be asked."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class Command:
    """One request."""

    id: str
    t: float
    kind: CommandKind


def send_command(paths: RunPaths, kind: CommandKind) -> None:
    """Append one request."""
    line = json.dumps({"id": uuid.uuid4().hex, "t": time.time(), "command": kind}) + "\n"
    with explained("Writing to", paths.commands), paths.commands.open("ab") as file:
        # One write: appends of a short line do not interleave.
        file.write(line.encode())


def commands_size(path: Path) -> int:
    """Bytes of the requests so far: where those for a process that is started now begin."""
    return path.stat().st_size if path.exists() else 0


class CommandTail:
    """Reads requests from `start` on, in bytes: those before it were meant for an earlier process."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self._path, self._offset = path, start
        self._seen: set[str] = set()

    def poll(self) -> list[Command]:
        """New requests, each once; lines that cannot be read are passed over."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        found = []
        for raw in whole.splitlines():
            try:
                line = json.loads(raw)
                command = Command(str(line["id"]), float(line["t"]), CommandKind(line["command"]))
            except (ValueError, KeyError, TypeError):
                continue
            if command.id not in self._seen:
                self._seen.add(command.id)
                found.append(command)
        return found
