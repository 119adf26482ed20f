"""The runs and presets there are. Reads run directories; the only thing it changes is moving one to the trash."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from seirenes_app.lab.resources import presets_folder
from training.errors import UserError
from training.rundir.config_io import Preset, load_presets
from training.rundir.index import RunSummary, list_runs
from training.rundir.lock import holder
from training.rundir.paths import RunPaths, default_runs_root

TRASH = ".trash"
LOG_BYTES = 64 * 1024


class RunLibrary:
    """All runs under one root. `list_runs` may take a while on many runs: call it off the window's thread."""

    def __init__(self, runs_root: Path | None = None, presets: Path | None = None) -> None:
        self.runs_root = runs_root or default_runs_root()
        self._presets = presets

    def list_runs(self) -> list[RunSummary]:
        """Newest first; broken run folders are listed with their `problem`. A missing root is an empty library."""
        return list_runs(self.runs_root) if self.runs_root.is_dir() else []

    def presets(self) -> Mapping[str, Preset]:
        """The presets that ship; a `UserError` when a preset file is damaged."""
        return load_presets(self._presets or presets_folder())

    def find(self, run_id: str) -> RunPaths | None:
        """The run folder of that name, if it is there."""
        root = self.runs_root / run_id
        return RunPaths(root) if run_id and root.is_dir() else None

    def trash(self, paths: RunPaths) -> Path:
        """Move a run to the trash; see `move_to_trash`."""
        return move_to_trash(paths)


def move_to_trash(paths: RunPaths) -> Path:
    """Move a run's folder to ``.trash`` beside it; returns its new place. A run that is going is refused."""
    found = holder(paths.lock)
    if found is not None:
        raise UserError(f"{paths.run_id} is running (process {found.pid}). Stop it first; nothing was moved.")
    trash = paths.root.parent / TRASH
    target = trash / paths.run_id
    if target.exists():
        target = trash / f"{paths.run_id}-{datetime.now():%Y%m%d%H%M%S%f}"
    try:
        trash.mkdir(exist_ok=True)
        shutil.move(paths.root, target)
    except OSError as error:
        raise UserError(f"{paths.run_id} could not be moved to {trash} ({error}). Close what uses it.") from error
    return target


def log_tail(paths: RunPaths, lines: int = 8) -> tuple[str, ...]:
    """The last lines of trainer.log, read from its end; empty when there is none."""
    try:
        with paths.log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ()
    kept = [line.rstrip() for line in text.splitlines() if line.strip()]
    return tuple(kept[-lines:])
