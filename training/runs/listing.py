"""One run directory as it is now. A broken one is described by what is wrong; reading it never raises."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from training.errors import UserError
from training.runs.config import RunConfig, load_config
from training.runs.paths import RunPaths
from training.runs.status import RunState, resolve_status
from training.runs.watch import watch_run


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
        config = load_config(paths.config)
        state = watch_run(paths).poll()
        if state.last_t == 0 and not paths.launch.is_file():
            # Nothing is known of it but when its folder was made.
            state = resolve_status(replace(state, last_t=paths.config.stat().st_mtime), None, time.time())
        return RunSummary(paths, config, state)
    except (UserError, OSError) as error:
        return RunSummary(paths, config, None, str(error))
