"""What the verbs share: where to print, and how runs and models are named on the command line."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console
from rich.table import Table

from seirenes_app.services.run_repository import RunRepository
from seirenes_app.store.resources import recorded_run
from training.errors import UserError
from training.runs.paths import RunPaths, default_runs_root

OUT = Console()
ERR = Console(stderr=True)
RECORDED = "recorded"
WIDE = 1000
"""Columns, where there is no terminal."""


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


def print_table(table: Table) -> None:
    """Print whole: names fold in a narrow terminal, and nothing is cut where there is none."""
    console = OUT if OUT.is_terminal else Console(width=WIDE)
    console.print(table)


def call_name(paths: RunPaths, folder: Path | None = None) -> str:
    """What a verb finds a run by, quoted: its id, or its folder where that is not in `folder` (the runs folder)."""
    inside = paths.root.parent.resolve() == (folder or default_runs_root()).resolve()
    return shlex.quote(paths.run_id if inside else str(paths.root))


def names_model(target: str) -> bool:
    """Whether `target` is the starter or a model folder, not a run; a run's folder has a config.json too."""
    marks = ("model.safetensors", "tokenizer.json", "adapter_config.json")
    return target == "starter" or any((Path(target).expanduser() / mark).is_file() for mark in marks)
