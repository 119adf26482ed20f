"""Start a background process, and find the one that is at work on a folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from training.runs.commands import commands_size
from training.runs.events import EventKind
from training.runs.files import explained, write_whole
from training.runs.lock import SAME_START_S, LockHolder, holder
from training.runs.paths import RunPaths

# The folder that holds the package, so that a child finds it from any working directory.
_HOME = Path(__file__).resolve().parents[2]
_LAST_BYTES = 64 * 1024


def child_environment() -> dict[str, str]:
    """This process's environment, such that a child finds the package and its output comes line by line."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_HOME), os.environ.get("PYTHONPATH"))))
    return environment


def start_trainer(paths: RunPaths, *, detached: bool = True) -> int:
    """Start `python -m training run` on the directory; returns the PID."""
    return start_process(paths, ["training", "run"], detached=detached)


def start_process(paths: RunPaths, module: Sequence[str], *, detached: bool = True) -> int:
    """Start `python -m MODULE… FOLDER --commands-from BYTES`, its output appended to the log; returns the PID.

    A detached process outlives its parent and is not reached by the terminal's Ctrl+C.
    """
    now, start = time.time(), str(commands_size(paths.commands))
    with explained("Opening", paths.log), paths.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *module, str(paths.root), "--commands-from", start],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=child_environment(), start_new_session=detached,
        )  # fmt: skip
    with suppress(psutil.Error):
        born = psutil.Process(process.pid).create_time()
        launched = {"pid": process.pid, "born": born, "host": socket.gethostname(), "t": now}
        write_whole(paths.launch, json.dumps(launched))
    return process.pid


def running_process(paths: RunPaths) -> LockHolder | None:
    """Who holds the folder's lock, or was started last and does not hold it yet, or not any more."""
    held = holder(paths.lock)
    if held is not None:
        return held
    try:
        launched = json.loads(paths.launch.read_text(encoding="utf-8"))
        found = LockHolder(int(launched["pid"]), float(launched["born"]), str(launched["host"]))
        process = psutil.Process(found.pid)
        same = abs(process.create_time() - found.started) < SAME_START_S and found.host == socket.gethostname()
        alive = same and process.status() != psutil.STATUS_ZOMBIE
        return found if alive and not _wrote_done(paths, float(launched["t"])) else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None


def _wrote_done(paths: RunPaths, since: float) -> bool:
    """Whether the process that was started then has written how it ended: it is only closing down."""
    try:
        with paths.events.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _LAST_BYTES))
            last = json.loads(file.read().splitlines()[-1])
        return bool(last["event"] == EventKind.DONE and float(last["t"]) >= since)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False


def local_process(held: LockHolder, root: Path) -> psutil.Process | None:
    """The process that holds a lock, if it is one of this machine: same start time, or the folder in its command.

    A lock of another host may be of this machine before it was renamed; its number alone proves nothing.
    """
    try:
        process = psutil.Process(held.pid)
        same_start = abs(process.create_time() - held.started) < SAME_START_S
        if (same_start and held.host == socket.gethostname()) or str(root) in process.cmdline():
            return process
    except psutil.Error:
        pass
    return None
