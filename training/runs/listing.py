"""One run directory as it is now. A broken one is described by what is wrong; reading it never raises."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from training.errors import UserError
from training.runs.config import RunConfig, load_config
from training.runs.events import EventTail
from training.runs.launch import running_process
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
    """Read config and events."""
    config = None
    try:
        # Asked before the events are read: a process that is gone by then has written all that it will.
        running = running_process(paths)
        config = load_config(paths.config)
        state = RunState(run_id=paths.run_id)
        for event in EventTail(paths.events).poll():
            state = reduce(state, event)
        if state.last_t == 0 and running is None:
            # Without any event, the folder's making counts as its last sign of life.
            state = replace(state, last_t=paths.config.stat().st_mtime)
        return RunSummary(paths, config, resolve_status(state, running, time.time(), launched=paths.launch.is_file()))
    except (UserError, OSError) as error:
        return RunSummary(paths, config, None, str(error))
