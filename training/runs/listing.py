"""List the runs of a folder. A broken run directory is listed with what is wrong; it never raises."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from training.errors import UserError
from training.runs.config import RunConfig, load_config
from training.runs.events import EventTail
from training.runs.lock import holder
from training.runs.paths import RunPaths
from training.runs.status import RunState, reduce, resolve_status


@dataclass(frozen=True)
class RunSummary:
    """One run; `problem` says why config or state is missing."""

    paths: RunPaths
    config: RunConfig | None
    state: RunState | None
    problem: str | None = None


def read_run(paths: RunPaths) -> RunSummary:
    """One run directory as it is now."""
    config = None
    try:
        config = load_config(paths.config)
        tail, state = EventTail(paths.events), RunState(run_id=paths.run_id)
        for event in tail.poll():
            state = reduce(state, event)
        return RunSummary(paths, config, resolve_status(state, holder(paths.lock), time.time()))
    except (UserError, OSError) as error:
        return RunSummary(paths, config, None, str(error))


def list_runs(runs_root: Path) -> list[RunSummary]:
    """Newest first, by the folder's time."""
    if not runs_root.is_dir():
        return []
    folders = [f for f in runs_root.iterdir() if f.is_dir() and not f.name.startswith(".")]
    folders = [f for f in folders if (f / "config.json").exists() or (f / "events.jsonl").exists()]
    return [read_run(RunPaths(f)) for f in sorted(folders, key=lambda f: f.stat().st_mtime, reverse=True)]
