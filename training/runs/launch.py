"""Start a trainer process, and the rungs of the ladder that ends one: ask, terminate, kill the tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from training.runs.commands import CommandKind, send_command
from training.runs.files import explained
from training.runs.paths import RunPaths

# The folder that holds the package, so that a child finds it from any working directory.
_HOME = Path(__file__).resolve().parents[2]


def child_environment() -> dict[str, str]:
    """This process's environment, such that a child finds the package and its output comes line by line."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_HOME), os.environ.get("PYTHONPATH"))))
    return environment


def start_trainer(paths: RunPaths, *, detached: bool = True) -> int:
    """Start `python -m training run` on the directory, its output appended to trainer.log; returns the PID.

    A detached trainer outlives its parent and is not reached by the terminal's Ctrl+C.
    """
    with explained("Opening", paths.log), paths.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "training", "run", str(paths.root)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=child_environment(), start_new_session=detached,
        )  # fmt: skip
    return process.pid


def request_stop(paths: RunPaths) -> None:
    """Ask the trainer to save and stop."""
    send_command(paths, CommandKind.STOP)


def terminate(pid: int) -> None:
    """The polite signal: the trainer saves what is complete."""
    _each([pid], "terminate")


def kill_tree(pid: int) -> None:
    """The last rung: the process and all its children, at once."""
    try:
        children = [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        children = []
    _each([pid, *children], "kill")


def _each(pids: list[int], how: str) -> None:
    for pid in pids:
        try:
            getattr(psutil.Process(pid), how)()
        except psutil.NoSuchProcess:
            continue
