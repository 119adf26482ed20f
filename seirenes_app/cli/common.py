"""What every room of verbs needs: where to print, and how runs and models are named on the command line."""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path

from rich.console import Console

from seirenes_app.store.resources import recorded_run
from training.errors import UserError
from training.runs.listing import list_runs
from training.runs.paths import RunPaths, default_runs_root

OUT = Console()
ERR = Console(stderr=True)
RECORDED = "recorded"


def find_run(name: str) -> RunPaths:
    """The run of that id under the runs folder, or in that folder; else a UserError with the nearest ids."""
    root = default_runs_root()
    for folder in (Path(name).expanduser(), root / name):
        if (folder / "config.json").is_file():
            return RunPaths(folder.resolve())
    known = [r.paths.run_id for r in list_runs(root)]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known[:3]
    hint = f" Did you mean {', '.join(near)}?" if near else " There is no run yet: start one with `seirenes demo`."
    raise UserError(f"No run {name!r} in {root}.{hint}")


def find_run_or_recorded(name: str) -> RunPaths:
    """The same, and the run that ships by the name 'recorded': for verbs that only read."""
    if name != RECORDED or Path(name).is_dir():
        return find_run(name)
    folder = recorded_run()
    if not folder.is_dir():
        raise UserError(f"The recorded run is not there ({folder}). Reinstall seirenes, or name a run of your own.")
    return RunPaths(folder)


def call_name(paths: RunPaths) -> str:
    """What `find_run` finds the run by: its id, or its folder where that is not under the runs folder."""
    return (
        paths.run_id if paths.root.parent.resolve() == default_runs_root().resolve() else shlex.quote(str(paths.root))
    )


def names_model(target: str) -> bool:
    """Whether `target` is the starter or a model folder, not a run; a run's folder has a config.json too."""
    marks = ("model.safetensors", "tokenizer.json", "adapter_config.json")
    return target == "starter" or any((Path(target).expanduser() / mark).is_file() for mark in marks)
