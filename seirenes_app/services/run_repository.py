"""The runs and presets there are. Reads run directories; the only thing it changes is moving one to the trash."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from seirenes_app.store.resources import presets_folder
from training.errors import UserError
from training.runs.config import Preset, load_presets
from training.runs.listing import RunSummary, read_run
from training.runs.lock import holder
from training.runs.paths import RunPaths, default_runs_root
from training.runs.status import DONE, resolve_status

TRASH = ".trash"
LOG_BYTES = 64 * 1024

Stamp = tuple[tuple[float, int], tuple[float, int]]


class RunRepository:
    """All runs under one root. `list_runs` may take a while on many runs: call it off the window's thread.

    A run that is over is read again only when its files changed.
    """

    def __init__(self, runs_root: Path | None = None, presets: Path | None = None) -> None:
        self.runs_root = runs_root or default_runs_root()
        self._presets = presets
        self._over: dict[Path, tuple[Stamp, RunSummary]] = {}

    def list_runs(self) -> list[RunSummary]:
        """Newest first; broken run folders are listed with their `problem`. A missing root is an empty library."""
        if not self.runs_root.is_dir():
            return []
        folders = [f for f in self.runs_root.iterdir() if f.is_dir() and not f.name.startswith(".")]
        found = [
            self._read(RunPaths(f)) for f in folders if (f / "config.json").exists() or (f / "events.jsonl").exists()
        ]
        return sorted(found, key=started_at, reverse=True)

    def _read(self, paths: RunPaths) -> RunSummary:
        stamp = (_stamp(paths.events), _stamp(paths.config))
        held, known = holder(paths.lock), self._over.get(paths.root)
        if held is None and known is not None and known[0] == stamp:
            return known[1]
        summary = read_run(paths)
        state = summary.state
        if state is not None and state.last_t == 0 and held is None:
            # Nothing was ever heard of it: its launch counts as the last sign of life.
            state = resolve_status(replace(state, last_t=stamp[1][0]), held, time.time())
            summary = replace(summary, state=state)
        if held is None and state is not None and state.status in DONE:
            self._over[paths.root] = (stamp, summary)
        return summary

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


def started_at(summary: RunSummary) -> float:
    """When a run began, in seconds since 1970; the folder's time where no event tells."""
    if summary.state is not None and summary.state.started_t:
        return summary.state.started_t
    return _stamp(summary.paths.root)[0]


def _stamp(path: Path) -> tuple[float, int]:
    try:
        found = path.stat()
    except OSError:
        return (0.0, 0)
    return (found.st_mtime, found.st_size)


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
