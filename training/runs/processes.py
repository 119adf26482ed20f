"""Start background processes, find the one that is at work on a folder, and stop it: ask, terminate, kill the tree."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Generic, NoReturn

import psutil

from training.errors import UserError
from training.runs.config import RunConfig, load_config
from training.runs.control import CommandKind, commands_size, send_command
from training.runs.events import Event, EventKind, EventTail
from training.runs.files import explained, write_whole
from training.runs.lock import SAME_START_S, LockHolder, holder
from training.runs.paths import RunPaths
from training.runs.status import DONE, RunState, RunStatus, State, reduce, resolve_status

# The folder that holds the package, so that a child finds it from any working directory.
_HOME = Path(__file__).resolve().parents[2]
_LAST_BYTES = 64 * 1024
CLOSING_S, CLOSING_POLL_S = 5.0, 0.05
"""How long a process that has written its end is waited for, and how often it is looked at."""


def child_environment() -> dict[str, str]:
    """This process's environment, such that a child finds the package and its output comes line by line."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_HOME), os.environ.get("PYTHONPATH"))))
    return environment


def start_trainer(paths: RunPaths, *, detached: bool = True) -> int:
    """Start or resume a run on this machine; returns the PID. A UserError for a run on a cluster: it goes on there."""
    if paths.cluster.is_file():
        raise UserError(
            f"{paths.run_id} is a run on a cluster, and is not trained here. Go on with: seirenes cluster follow "
            f"{paths.run_id}"
        )
    return start_process(paths, ["training", "run"], detached=detached)


def start_process(paths: RunPaths, module: Sequence[str], *, detached: bool = True) -> int:
    """Start `python -m MODULE… FOLDER --commands-from BYTES`, its output appended to the log; returns the PID.

    A detached process outlives its parent and is not reached by the terminal's Ctrl+C. A fault of compiled code, such
    as a segmentation fault, leaves a trace in the log.
    """
    now, start = time.time(), str(commands_size(paths.commands))
    with explained("Opening", paths.log), paths.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *module, str(paths.root), "--commands-from", start],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=detached,
            env={**child_environment(), "PYTHONFAULTHANDLER": "1"},
        )  # fmt: skip
    try:
        with suppress(psutil.Error):
            born = psutil.Process(process.pid).create_time()
            launched = {"pid": process.pid, "born": born, "host": socket.gethostname(), "t": now}
            write_whole(paths.launch, json.dumps(launched))
    except UserError:
        # The caller reports a failure, so the trainer must not go on; on a full disk it would not get far.
        kill_tree(process.pid)
        process.wait()
        raise
    return process.pid


def become_process(module: Sequence[str], root: Path, commands_from: int | None) -> NoReturn:
    """Go on as `python -m MODULE… FOLDER`: what is left of a folder's work is for another kind of process."""
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", *module, str(root)]
    command += [] if commands_from is None else ["--commands-from", str(commands_from)]
    os.execv(sys.executable, command)


def running_process(paths: RunPaths) -> LockHolder | None:
    """Who holds the folder's lock, or was started last and does not hold it yet, or not any more."""
    held = holder(paths.lock)
    if held is not None:
        return held
    try:
        launched = json.loads(paths.launch.read_text(encoding="utf-8"))
        found = LockHolder(int(launched["pid"]), float(launched["born"]), str(launched["host"]))
        process = psutil.Process(found.pid)
        same = abs(process.create_time() - found.started) < SAME_START_S and found.host == socket.gethostname()
        alive = same and process.status() != psutil.STATUS_ZOMBIE
        return found if alive and not _wrote_done(paths, float(launched["t"])) else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None


def process_at_work(paths: RunPaths) -> LockHolder | None:
    """As `running_process`, but a process that has written how it ended is waited for, for some seconds: it only closes
    down, and whoever saw the end may start the next one."""
    deadline = time.monotonic() + CLOSING_S
    while (found := running_process(paths)) is not None:
        if not _wrote_done(paths, found.started) or time.monotonic() > deadline:
            return found
        time.sleep(CLOSING_POLL_S)
    return None


def require_idle(paths: RunPaths, name: str, remedy: str = "") -> None:
    """A UserError with the `remedy` where a process is at work on the folder that the user knows by `name`."""
    found = process_at_work(paths)
    if found is not None:
        raise UserError(" ".join(filter(None, (f"{name} is running already (process {found.pid}).", remedy))))


def require_unreached(run: str, config: RunConfig, state: RunState) -> None:
    """A UserError where a run that has finished has nothing left to train with this configuration."""
    if state.status is not RunStatus.FINISHED or not state.has_reached(config.steps, config.max_rollouts):
        return
    done, rollouts = state.done_steps, int(state.latest.get("rollouts_total") or 0)
    by_steps = done >= config.steps
    reached = f"{done:,} of {config.steps:,} steps" if by_steps else f"{rollouts:,} rollouts"
    more = f"steps={2 * done}" if by_steps else f"max_rollouts={2 * config.max_rollouts}"
    raise UserError(f"{run} is finished: {reached} are done. To train it longer, resume it with more: --set {more}")


def _wrote_done(paths: RunPaths, since: float) -> bool:
    """Whether the process that was started then has written how it ended: it is only closing down."""
    try:
        with paths.events.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _LAST_BYTES))
            last = json.loads(file.read().splitlines()[-1])
        return bool(last["event"] == EventKind.DONE and float(last["t"]) >= since)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False


def local_process(held: LockHolder, root: Path) -> psutil.Process | None:
    """The process that holds a lock, if it is one of this machine.

    A lock of another host may be of this machine before it was renamed, and a clock that was set moves start times.
    The number alone proves nothing, nor does the folder in the command of, say, a file manager.
    """
    with suppress(psutil.Error):
        process = psutil.Process(held.pid)
        same_start = abs(process.create_time() - held.started) < SAME_START_S
        command = process.cmdline()
        named = str(root) in command
        if (same_start and (named or held.host == socket.gethostname())) or (named and "-m" in command):
            return process
    return None


POLL_S = 0.1


class StopPhase(StrEnum):
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
CLUSTER_STOP_S = 240.0
"""How long a stop of a run on a cluster is waited for; the run there has two minutes to save."""


class StopEscalation:
    """One stop under way. `advance` does what is due and never blocks; `run` blocks until it is over.

    It never ends a process that it cannot identify as the one that was started.
    """

    def __init__(self, paths: RunPaths, times: StopTimes | None = None) -> None:
        self.paths, self.times = paths, times or StopTimes()
        if paths.cluster.is_file():
            # The process here only follows: ending it would end nothing. It forwards the stop, and has the cluster end
            # the job where the run does not stop.
            give_up_s = None if self.times.give_up_s is None else CLUSTER_STOP_S
            self.times = replace(self.times, terminate_s=None, kill_s=None, give_up_s=give_up_s)
        self.phase: StopPhase | None = None
        self._began = time.monotonic()
        self._taken: set[StopPhase] = set()

    @property
    def over(self) -> bool:
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
    with suppress(psutil.NoSuchProcess):
        end_tree(psutil.Process(pid), kill=True)


def end_tree(process: psutil.Process, *, kill: bool) -> None:
    """Terminate the process, or kill it and all its children."""
    processes = [process]
    if kill:
        with suppress(psutil.Error):
            processes += process.children(recursive=True)
    for each in processes:
        # psutil refuses where the number was given to another process since.
        with suppress(psutil.NoSuchProcess):
            each.kill() if kill else each.terminate()


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
        self._tail = EventTail(paths.events)
        self._state, self._reduce, self._resolve = state, reduce, resolve
        self._silence_s: float | None = None
        """Age of the newest event at the monotonic time `_looked`."""
        self._looked = 0.0

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
        now = self._state.last_t + self._age_s() if self._state.last_t else time.time()
        state = self._resolve(self._state, running, now, launched=self.paths.launch.is_file())
        if running is None and state.status not in DONE and self.paths.cluster.is_file():
            # Nothing ended here: what the run does on its cluster is not known while it is not followed.
            message = (
                f"It is not followed, and may still run on its cluster. Follow it: seirenes cluster follow "
                f"{self.paths.run_id}"
            )
            return replace(state, status=RunStatus.NOT_FOLLOWED, followed_t=last_followed(self.paths), message=message)
        return state

    def _age_s(self) -> float:
        """Seconds since the newest event. Only that of the first look is taken from the wall clock, which may be set,
        and which goes on while the machine sleeps."""
        before, self._looked = self._looked, time.monotonic()
        if self._silence_s is None:
            self._silence_s = max(0.0, time.time() - self._state.last_t)
        else:
            self._silence_s = 0.0 if self.events else self._silence_s + self._looked - before
        return self._silence_s


def last_followed(paths: RunPaths) -> float:
    """When a run on a cluster was last asked about, in seconds since 1970: its follower touches the file each time."""
    with suppress(OSError):
        return paths.cluster.stat().st_mtime
    return 0.0


def watch_run(paths: RunPaths) -> ProcessWatch[RunState]:
    return ProcessWatch(paths, RunState(run_id=paths.run_id), reduce)


@dataclass(frozen=True)
class RunSummary:
    """One run; `problem` says why config or state is missing."""

    paths: RunPaths
    config: RunConfig | None
    state: RunState | None
    problem: str | None = None
    cluster: str = ""
    """The name of the cluster that it is trained on; "" for this machine."""


def cluster_of(paths: RunPaths) -> str:
    """The name of the cluster that a run is trained on; "" for one of this machine."""
    try:
        return str(json.loads(paths.cluster.read_bytes())["cluster"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "a cluster"


def read_run(paths: RunPaths) -> RunSummary:
    config = None
    try:
        config = load_config(paths.config)
        state = watch_run(paths).poll()
        cluster = cluster_of(paths)
        if state.last_t == 0 and not paths.launch.is_file() and not cluster:
            # Nothing is known of it but when its folder was made.
            state = resolve_status(replace(state, last_t=paths.config.stat().st_mtime), None, time.time())
        return RunSummary(paths, config, state, cluster=cluster)
    except (UserError, OSError) as error:
        return RunSummary(paths, config, None, str(error))
