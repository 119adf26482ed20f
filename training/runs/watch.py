"""Follow one background process by its folder: events read forward, and who is at work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic

from training.runs.events import Event, EventTail
from training.runs.launch import running_process
from training.runs.paths import RunPaths
from training.runs.status import RunState, State, reduce, resolve_status


class ProcessWatch(Generic[State]):
    """Its state, read forward by what was appended since the last poll. Live, ended and recorded are one code path."""

    def __init__(
        self,
        paths: RunPaths,
        state: State,
        reduce: Callable[[State, Event], State],
        resolve: Callable[..., State] = resolve_status,
    ) -> None:
        self.paths = paths
        self.events: list[Event] = []
        """Those of the newest poll."""
        self._tail = EventTail(paths.events)
        self._state, self._reduce, self._resolve = state, reduce, resolve

    @property
    def problems(self) -> list[str]:
        """Lines that could not be read."""
        return self._tail.problems

    def poll(self) -> State:
        """The state now. A UserError where the events are of a newer version."""
        # Asked before the events are read: a process that is gone by then has written all that it will.
        running = running_process(self.paths)
        self.events = self._tail.poll()
        for event in self.events:
            self._state = self._reduce(self._state, event)
        return self._resolve(self._state, running, time.time(), launched=self.paths.launch.is_file())


def watch_run(paths: RunPaths) -> ProcessWatch[RunState]:
    """Follow a training run."""
    return ProcessWatch(paths, RunState(run_id=paths.run_id), reduce)
