"""What every room of verbs needs: where to print, and how runs and models are named on the command line."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from seirenes_app.services.run_repository import RunRepository
from seirenes_app.services.run_summary import STOP_WORDS
from seirenes_app.store.resources import recorded_run
from training.errors import UserError
from training.runs.paths import RunPaths, default_runs_root
from training.runs.stop import StopEscalation, StopTimes

OUT = Console()
ERR = Console(stderr=True)
RECORDED = "recorded"


def find_run(name: str) -> RunPaths:
    """The run of that folder, id, name, or unique beginning of one; else a UserError with the nearest."""
    return RunRepository().find_named(name)


def find_run_or_recorded(name: str) -> RunPaths:
    """The same, and the run that ships by the name 'recorded': for verbs that only read."""
    if name != RECORDED or Path(name).is_dir():
        return find_run(name)
    folder = recorded_run()
    if not folder.is_dir():
        raise UserError(f"The recorded run is not there ({folder}). Reinstall seirenes, or name a run of your own.")
    return RunPaths(folder)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt in this block, as Ctrl+C does, so that a command can stop its child."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stop_process(paths: RunPaths, times: StopTimes) -> bool:
    """Ask it to stop, then end it when that is due, and say so; True if it is gone."""
    return StopEscalation(paths, times).run(lambda phase: ERR.print(STOP_WORDS[phase], highlight=False))


def call_name(paths: RunPaths) -> str:
    """What `find_run` finds the run by: its id, or its folder where that is not under the runs folder."""
    return (
        paths.run_id if paths.root.parent.resolve() == default_runs_root().resolve() else shlex.quote(str(paths.root))
    )


def names_model(target: str) -> bool:
    """Whether `target` is the starter or a model folder, not a run; a run's folder has a config.json too."""
    marks = ("model.safetensors", "tokenizer.json", "adapter_config.json")
    return target == "starter" or any((Path(target).expanduser() / mark).is_file() for mark in marks)
