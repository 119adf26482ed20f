"""The stop escalation of background processes: ask, terminate, kill the tree.

It never ends a process that it cannot identify as the one that was started.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import psutil

from training.errors import UserError
from training.runs.commands import CommandKind, send_command
from training.runs.launch import local_process, running_process
from training.runs.paths import RunPaths

POLL_S = 0.1


class StopPhase(StrEnum):
    """How far a stop has got."""

    ASKED = "asked"
    NOT_WRITTEN = "not written"
    """The request could not be written; the process is terminated when that is due."""
    WAITING = "waiting"
    TERMINATED = "terminated"
    KILLED = "killed"
    OUT_OF_REACH = "out of reach"
    """It runs on another machine, or its number is another process's: nothing is ended from here."""
    ENDED = "ended"
    GAVE_UP = "gave up"


@dataclass(frozen=True)
class StopTimes:
    """Seconds from the first request after which each phase begins; None: never."""

    waiting_s: float | None = 10.0
    terminate_s: float | None = 120.0
    kill_s: float | None = 135.0
    give_up_s: float | None = None


ASK_ONLY = StopTimes(None, None, None, give_up_s=30.0)
FORCE = StopTimes(None, 30.0, 40.0, give_up_s=50.0)


class StopEscalation:
    """One stop under way. `advance` does what is due and never blocks; `run` blocks until it is over."""

    def __init__(self, paths: RunPaths, times: StopTimes | None = None) -> None:
        self.paths, self.times = paths, times or StopTimes()
        self.phase: StopPhase | None = None
        self._began = time.monotonic()
        self._taken: set[StopPhase] = set()

    @property
    def over(self) -> bool:
        """Whether `advance` has nothing more to do."""
        return self.phase in (StopPhase.ENDED, StopPhase.GAVE_UP)

    def advance(self) -> StopPhase | None:
        """The phase that has just begun, None if nothing is new."""
        if self.over:
            return None
        held = running_process(self.paths)
        if held is None:
            return self._enter(StopPhase.ENDED)
        if self.phase is None:
            return self._ask()
        waited = time.monotonic() - self._began
        if _due(self.times.give_up_s, waited):
            return self._enter(StopPhase.GAVE_UP)
        if StopPhase.OUT_OF_REACH in self._taken:
            return None
        for phase, due_s in (
            (StopPhase.KILLED, self.times.kill_s),
            (StopPhase.TERMINATED, self.times.terminate_s),
            (StopPhase.WAITING, self.times.waiting_s),
        ):
            if _due(due_s, waited):
                return None if phase in self._taken else self._end(phase, local_process(held, self.paths.root))
        return None

    def run(self, report: Callable[[StopPhase], None] = lambda _phase: None) -> bool:
        """Block until the process is gone or the times are over; True if it is gone."""
        while not self.over:
            phase = self.advance()
            if phase is not None:
                report(phase)
            else:
                time.sleep(POLL_S)
        return self.phase is StopPhase.ENDED

    def _ask(self) -> StopPhase:
        try:
            send_command(self.paths, CommandKind.STOP)
        except UserError:
            return self._enter(StopPhase.NOT_WRITTEN)
        return self._enter(StopPhase.ASKED)

    def _end(self, phase: StopPhase, process: psutil.Process | None) -> StopPhase:
        if phase is StopPhase.WAITING:
            return self._enter(phase)
        if process is None:
            return self._enter(StopPhase.OUT_OF_REACH)
        end_tree(process, kill=phase is StopPhase.KILLED)
        return self._enter(phase)

    def _enter(self, phase: StopPhase) -> StopPhase:
        self.phase = phase
        self._taken.add(phase)
        return phase


def _due(at_s: float | None, waited: float) -> bool:
    return at_s is not None and waited >= at_s


def kill_tree(pid: int) -> None:
    """Kill a process that this one started, and all its children."""
    try:
        end_tree(psutil.Process(pid), kill=True)
    except psutil.NoSuchProcess:
        return


def end_tree(process: psutil.Process, *, kill: bool) -> None:
    """Terminate the process, or kill it and all its children."""
    processes = [process]
    try:
        if kill:
            processes += process.children(recursive=True)
    except psutil.Error:
        pass
    for each in processes:
        try:
            # psutil refuses where the number was given to another process since.
            each.kill() if kill else each.terminate()
        except psutil.NoSuchProcess:
            continue
