"""Start, pause, stop and discard trainers. They are other processes; all this speaks to them through the run directory.

A stop is a ladder that the person sees: ask → wait → terminate → kill. A rung is only taken when the one before was
given its time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from PySide6.QtCore import QObject, QTimer, Signal

from seirenes_app.services.run_repository import log_tail, move_to_trash
from training.errors import UserError
from training.runs.commands import CommandKind, send_command
from training.runs.config import RunConfig
from training.runs.launch import kill_tree, request_stop, start_trainer, terminate
from training.runs.lock import holder
from training.runs.paths import RunPaths, default_runs_root, new_run

POLL_MS = 200


@dataclass(frozen=True)
class StopTimes:
    """Seconds from the first asking at which each rung is taken."""

    ask_again_s: float = 5.0
    waiting_s: float = 10.0
    terminate_s: float = 120.0
    kill_s: float = 135.0


@dataclass
class _Climb:
    """One stop under way."""

    paths: RunPaths
    pid: int
    began: float
    then: Callable[[], None] | None = None
    rungs: set[str] = field(default_factory=set)


@dataclass
class _Start:
    """One trainer that has not shown a sign of life yet; `heard` is the size of its events before the launch."""

    paths: RunPaths
    pid: int
    heard: int


class TrainerControl(QObject):
    """The one object of the window that starts and ends trainer processes."""

    started = Signal(object)
    """RunPaths of a run that was launched or resumed."""
    stillborn = Signal(object)
    """RunPaths of a run whose trainer ended before its first event; `failed` says it in words."""
    failed = Signal(str)
    """A start, a command or a discard that did not work, in words."""
    ladder = Signal(object, str)
    """(RunPaths, what is being done to stop it)."""
    stopped = Signal(object)
    """RunPaths of a run whose trainer is gone after a stop."""
    discarded = Signal(object)
    """RunPaths of a run that was moved to the trash."""

    def __init__(
        self,
        runs_root: Path | None = None,
        *,
        detach: bool = True,
        times: StopTimes | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.runs_root = runs_root or default_runs_root()
        self.detach = detach
        self._times = times or StopTimes()
        self._climbs: list[_Climb] = []
        self._starts: list[_Start] = []
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)

    # ------------------------------------------------------------------ start

    def start(self, config: RunConfig) -> RunPaths:
        """Make a run directory and launch a trainer for it. A `UserError` is raised when neither could be done."""
        paths = new_run(self.runs_root, config)
        self._launch(paths)
        return paths

    def starting(self) -> bool:
        """Whether a trainer was launched that has not said its first word yet."""
        return bool(self._starts)

    def resume(self, paths: RunPaths) -> RunPaths:
        """Launch a trainer for an existing run; it goes on from the newest sound checkpoint."""
        found = holder(paths.lock)
        if found is not None:
            raise UserError(f"{paths.run_id} is running already (process {found.pid}). Open it instead.")
        self._launch(paths)
        return paths

    def _launch(self, paths: RunPaths) -> None:
        heard = _size(paths.events)
        try:
            pid = start_trainer(paths, detached=self.detach)
        except OSError as error:
            raise UserError(
                f"The trainer of {paths.run_id} could not be started ({error}). Free some memory or disk and try again."
            ) from error
        self._starts.append(_Start(paths, pid, heard))
        self._timer.start()
        self.started.emit(paths)

    # ------------------------------------------------------------------ commands

    def pause(self, paths: RunPaths) -> None:
        """Ask the trainer to hold before its next generation."""
        self._send(paths, CommandKind.PAUSE)

    def unpause(self, paths: RunPaths) -> None:
        """Ask a paused trainer to go on."""
        self._send(paths, CommandKind.RESUME)

    def checkpoint(self, paths: RunPaths) -> None:
        """Ask for a checkpoint after the step under way."""
        self._send(paths, CommandKind.CHECKPOINT)

    def _send(self, paths: RunPaths, kind: CommandKind) -> None:
        try:
            send_command(paths, kind)
        except (OSError, UserError) as error:
            self.failed.emit(f"“{kind}” could not be written to {paths.run_id}: {error}")

    # ------------------------------------------------------------------ stop

    def stop_and_save(self, paths: RunPaths) -> None:
        """Ask the trainer to save and end, and climb the ladder as long as it does not."""
        self._climb(paths, None)

    def discard(self, paths: RunPaths) -> None:
        """End the trainer if there is one, then move the run's folder to the trash under the runs root."""
        self._climb(paths, lambda: self._trash(paths))

    def stopping(self, paths: RunPaths) -> bool:
        """Whether a ladder is under way for the run."""
        return any(c.paths == paths for c in self._climbs)

    def _climb(self, paths: RunPaths, then: Callable[[], None] | None) -> None:
        under_way = next((c for c in self._climbs if c.paths == paths), None)
        if under_way is not None:
            under_way.then = then or under_way.then
            return
        pid = self._pid_of(paths)
        climb = _Climb(paths, pid or 0, time.monotonic(), then)
        if pid is None:
            self._reach_end(climb)
            return
        self._climbs.append(climb)
        self._ask(climb, "Asked the trainer to save and stop.")
        self._timer.start()

    def _pid_of(self, paths: RunPaths) -> int | None:
        found = holder(paths.lock)
        if found is not None:
            return found.pid
        starting = next((s for s in self._starts if s.paths == paths), None)
        return starting.pid if starting is not None and process_lives(starting.pid) else None

    def _ask(self, climb: _Climb, text: str) -> None:
        try:
            request_stop(climb.paths)
        except (OSError, UserError) as error:
            text = f"The stop could not be written ({error}); the trainer will be terminated."
        self.ladder.emit(climb.paths, text)

    def _poll(self) -> None:
        for climb in list(self._climbs):
            self._advance(climb)
        for start in list(self._starts):
            self._watch_start(start)
        if not self._climbs and not self._starts:
            self._timer.stop()

    def _advance(self, climb: _Climb) -> None:
        if not process_lives(climb.pid) and holder(climb.paths.lock) is None:
            self._climbs.remove(climb)
            self._reach_end(climb)
            return
        waited = time.monotonic() - climb.began
        for rung, due_s, take in (
            ("again", self._times.ask_again_s, self._take_ask_again),
            ("wait", self._times.waiting_s, self._take_wait),
            ("terminate", self._times.terminate_s, self._take_terminate),
            ("kill", self._times.kill_s, self._take_kill),
        ):
            if waited >= due_s and rung not in climb.rungs:
                climb.rungs.add(rung)
                take(climb)

    def _take_ask_again(self, climb: _Climb) -> None:
        # A trainer reads only commands that came after it opened the file: one asked while loading is asked again.
        self._ask(climb, "Waiting for the trainer to reach a safe place and save.")

    def _take_wait(self, climb: _Climb) -> None:
        left = self._times.terminate_s - self._times.waiting_s
        self._ask(climb, f"Still waiting; it is terminated in {left:.0f} s if it does not answer.")

    def _take_terminate(self, climb: _Climb) -> None:
        self.ladder.emit(climb.paths, "No answer: terminating the process. Work since the last checkpoint is lost.")
        terminate(climb.pid)

    def _take_kill(self, climb: _Climb) -> None:
        self.ladder.emit(climb.paths, "Still alive: killing the process and its children.")
        kill_tree(climb.pid)

    def _reach_end(self, climb: _Climb) -> None:
        self._starts = [s for s in self._starts if s.paths != climb.paths]
        self.ladder.emit(climb.paths, "The trainer has ended.")
        if climb.then is not None:
            climb.then()
        self.stopped.emit(climb.paths)

    def _trash(self, paths: RunPaths) -> None:
        try:
            move_to_trash(paths)
        except UserError as error:
            self.failed.emit(str(error))
        else:
            self.discarded.emit(paths)

    # ------------------------------------------------------------------ a start that came to nothing

    def _watch_start(self, start: _Start) -> None:
        if _size(start.paths.events) > start.heard:
            self._starts.remove(start)
        elif not process_lives(start.pid):
            self._starts.remove(start)
            said = "\n".join(log_tail(start.paths, lines=6)) or "It wrote nothing to trainer.log."
            self.stillborn.emit(start.paths)
            self.failed.emit(f"The trainer of {start.paths.run_id} ended before it began.\n{said}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def process_lives(pid: int) -> bool:
    """Whether the process runs. One of our own children that ended is reaped on the way."""
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return True
        if hasattr(os, "waitpid"):
            os.waitpid(pid, os.WNOHANG)
    except (psutil.NoSuchProcess, ChildProcessError):
        return False
    return False
