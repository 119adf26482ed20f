"""Status reducer of background processes: events become state. No Qt, no I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

from training.runs.events import Event
from training.runs.lock import LockHolder

STALLED_AFTER_S = 60.0
START_PATIENCE_S = 60.0


class RunStatus(StrEnum):
    """What a process is doing, or how it ended."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    CRASHED = "crashed"
    """No `done` event and nobody holds the lock."""
    STALLED = "stalled"
    """The lock is held, but the last event is older than a minute."""
    NOT_FOLLOWED = "not followed"
    """Of a run on a cluster: no process here reads its events, and what it does there is not known."""


DONE = frozenset({RunStatus.FINISHED, RunStatus.STOPPED, RunStatus.FAILED})
"""The process wrote how it ended."""
OVER = DONE | {RunStatus.CRASHED}
"""Nothing more happens by itself."""
LIVE = frozenset(RunStatus) - OVER
"""There is, or is about to be, a process."""


class FailureKind(StrEnum):
    """Why a process failed, which decides the remedy."""

    SETTINGS = "settings"
    """It was refused before its first step: only other settings help."""
    SERVER = "server"
    """A server that it needs was away: it can be resumed once that answers; before its first step other settings can
    help too, as the address may be wrong."""
    RESOURCES = "resources"
    """A disk, a file or memory: it can be resumed once that is fixed."""
    INTERNAL = "internal"
    """An error in the program."""


@dataclass(frozen=True, slots=True)
class ProcessWarning:
    step: int
    t: float
    code: str
    message: str
    remedy: str
    alarm: bool = False
    """Whether it stands until it is cleared."""


@dataclass(frozen=True, kw_only=True)
class ProcessState:
    """What is known of any background process. Times `_t` are seconds since 1970, `_s` are durations."""

    status: RunStatus = RunStatus.STARTING
    pid: int = 0
    stage: str = ""
    started_t: float = 0.0
    launched_t: float = 0.0
    """Newest launch; 0 if there was none."""
    last_t: float = 0.0
    active_s: float = 0.0
    """Time spent working, over all launches: neither pauses nor sleep nor the time between two launches."""
    launched_active_s: float = 0.0
    paused_s: float = 0.0
    silent_s: float = 0.0
    """Of a stalled process: how long it has written nothing, in whole steps of ten seconds."""
    followed_t: float = 0.0
    """Of a run that is not followed: when it was last."""
    message: str = ""
    error: str = ""
    failure: FailureKind | None = None
    proposed: Mapping[str, str] = field(default_factory=dict)
    """`key` and `value` of a setting that the process proposes for a resume; empty for none."""
    rss_mb: float = 0.0
    """Memory of the process when it was read last, in MiB; 0 where it was not."""
    free_mb: float | None = None
    """Memory that was free then; None in events of earlier versions."""
    warnings: tuple[ProcessWarning, ...] = ()
    raised: tuple[str, ...] = ()
    """The codes of the alarms that stand, oldest first."""
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.status in OVER

    @property
    def can_resume(self) -> bool:
        """Whether starting the process again can get further."""
        return self.status in OVER - {RunStatus.FINISHED}


State = TypeVar("State", bound="ProcessState")


def reduce_process(state: State, event: Event) -> State:
    """The part of an event's effect that all processes share: times, launch, warning, done."""
    state = _read_memory(_advance_time(state, event), event.data)
    d = event.data
    if event.kind == "launch":
        return replace(
            state, status=RunStatus.RUNNING, pid=int(d.get("pid", 0)), launched_t=event.t, stage="setup", message="",
            error="", failure=None, proposed={}, launched_active_s=state.active_s,
            raised=tuple(map(str, d.get("alarms") or ())),
            # Two processes of one evaluation know one engine each.
            machine={**state.machine, **(d.get("machine") or {})},
            versions={**state.versions, **(d.get("versions") or {})},
        )  # fmt: skip
    if event.kind == "stage":
        stage = str(d.get("stage", ""))
        return replace(state, stage=stage, status=RunStatus.PAUSED if stage == "paused" else RunStatus.RUNNING)
    if event.kind == "warning":
        code, message, remedy = (str(d.get(key, "")) for key in ("code", "message", "remedy"))
        alarm = bool(d.get("alarm"))
        warning = ProcessWarning(int(d.get("step") or 0), event.t, code, message, remedy, alarm)
        raised = (*state.raised, warning.code) if alarm and warning.code not in state.raised else state.raised
        return replace(state, warnings=(*state.warnings, warning), raised=raised)
    if event.kind == "cleared":
        return replace(state, raised=tuple(code for code in state.raised if code != d.get("code")))
    if event.kind == "done":
        outcome = d.get("outcome")
        status = RunStatus(outcome) if outcome in DONE else RunStatus.FAILED
        failure = _failure(state, d) if status is RunStatus.FAILED else None
        message, error = str(d.get("message") or ""), str(d.get("error") or "")
        found = d.get("proposed")
        proposed = {name: str(text) for name, text in found.items()} if isinstance(found, Mapping) else {}
        return replace(state, status=status, failure=failure, message=message, error=error, stage="", proposed=proposed)
    return state


def _read_memory(state: State, data: Mapping[str, Any]) -> State:
    figures = data if "rss_mb" in data else data.get("metrics")
    if not isinstance(figures, Mapping):
        return state
    rss_mb, free_mb = figures.get("rss_mb"), figures.get("free_mb")
    if not isinstance(rss_mb, int | float):
        return state
    return replace(state, rss_mb=float(rss_mb), free_mb=float(free_mb) if isinstance(free_mb, int | float) else None)


def _advance_time(state: State, event: Event) -> State:
    """Count the time since the event before. A clock that was set back counts as no time."""
    passed = max(0.0, event.t - state.last_t) if state.last_t else 0.0
    active, paused = state.active_s, state.paused_s
    measured = event.data.get("active_s")
    if event.kind == "launch":
        pass
    elif isinstance(measured, int | float):
        # Measured by the process with a monotonic clock, from its own start.
        active = max(active, state.launched_active_s + float(measured))
    elif state.status is not RunStatus.PAUSED and passed <= STALLED_AFTER_S:
        # Events without it: a process writes a heartbeat every few seconds, so a longer silence was sleep.
        active += passed
    if state.status is RunStatus.PAUSED and event.kind != "launch":
        paused += passed
    return replace(state, last_t=event.t, started_t=state.started_t or event.t, active_s=active, paused_s=paused)


def _failure(state: ProcessState, data: Mapping[str, Any]) -> FailureKind:
    try:
        return FailureKind(data["failure"])
    except (KeyError, ValueError):
        # Written before there was a `failure` field.
        if data.get("error") != "UserError":
            return FailureKind.INTERNAL
        return FailureKind.RESOURCES if state.launched_t else FailureKind.SETTINGS


def resolve_status(
    state: State, holder: LockHolder | None, now: float, *, launched: bool = False, process: str = "The trainer"
) -> State:
    """The state given who is at work: without a `done` event and without a process, it crashed.

    `launched`: it is known that a process was started, so that one that has written nothing is not waited for.
    """
    if state.status in DONE:
        return state if holder is None or now - state.last_t < 5 else replace(state, status=RunStatus.STARTING)
    if holder is None:
        waits = state.last_t == 0 or (state.status is RunStatus.STARTING and now - state.last_t < START_PATIENCE_S)
        if waits and not launched:
            return state
        message = state.message or f"{process} exited unexpectedly."
        return replace(state, status=RunStatus.CRASHED, message=message)
    if state.last_t and now - state.last_t > STALLED_AFTER_S:
        return replace(state, status=RunStatus.STALLED, silent_s=(now - state.last_t) // 10 * 10)
    return state


@dataclass(frozen=True, slots=True)
class EvalPoint:
    step: int
    t: float
    suite: str
    suite_hash: str
    metrics: Mapping[str, Any]


class History:
    """The metrics of every step. Appending gives a new history that shares the old one's storage, in O(1)."""

    __slots__ = ("_length", "_log")

    def __init__(self, log: list[tuple[int, Mapping[str, Any]]] | None = None, length: int = 0) -> None:
        self._log = [] if log is None else log
        self._length = length

    def __len__(self) -> int:
        return self._length

    @property
    def last_step(self) -> int | None:
        return self._log[self._length - 1][0] if self._length else None

    def append(self, step: int, metrics: Mapping[str, Any]) -> History:
        log = self._log if len(self._log) == self._length else self._log[: self._length]
        log.append((step, metrics))
        return History(log, self._length + 1)

    def until(self, step: int) -> History:
        kept = [entry for entry in self._log[: self._length] if entry[0] <= step]
        return History(kept, len(kept))

    def first(self, steps: int) -> list[Mapping[str, Any]]:
        """The metrics of the first steps."""
        return [metrics for _, metrics in self._log[: min(steps, self._length)]]

    def entries(self) -> list[tuple[int, Mapping[str, Any]]]:
        """Every step with its metrics."""
        return self._log[: self._length]

    def newest(self, steps: int) -> list[Mapping[str, Any]]:
        """The metrics of the newest steps, oldest first."""
        return [metrics for _, metrics in self._log[max(0, self._length - steps) : self._length]]

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one metric, where it was measured."""
        found = [(s, m[name]) for s, m in self._log[: self._length] if m.get(name) is not None]
        return [s for s, _ in found], [float(v) for _, v in found]

    def names(self) -> list[str]:
        """Every metric that was measured at least once, in order of appearance."""
        return list(dict.fromkeys(k for _, m in self._log[: self._length] for k, v in m.items() if v is not None))


@dataclass(frozen=True, kw_only=True)
class RunState(ProcessState):
    """Everything a page shows of a run. `step` is the step under way, the newest complete one while paused."""

    run_id: str = ""
    mode: str = ""
    model: str = ""
    step: int = 0
    steps: int = 0
    """All steps of the run; where its limit of rollouts ends it before, those that reach it at the pace so far."""
    stage_done: int = 0
    stage_total: int = 0
    launched_step: int = 0
    """The step that the newest launch went on from."""
    paced_from_s: float = 0.0
    """`active_s` when the newest launch began its first step."""
    stepped_s: float = 0.0
    """`active_s` at the newest complete step."""
    latest: Mapping[str, Any] = field(default_factory=dict)
    history: History = field(default_factory=History)
    evals: tuple[EvalPoint, ...] = ()
    checkpoints: tuple[tuple[int, str], ...] = ()
    threads: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The configuration of the newest launch, nested."""
    judge: Mapping[str, Any] = field(default_factory=dict)
    """`name` and `measured` (a `training.judges.JudgeMeasurement` as JSON values, or None); empty without a judge."""
    time_outside: Mapping[str, float] = field(default_factory=dict)
    """Seconds by part that were spent after the last step of a launch: its last evaluation and checkpoint."""

    @property
    def can_edit_settings(self) -> bool:
        """Whether other settings can be the remedy: the run was refused before its first step, or found no server."""
        if self.status is not RunStatus.FAILED:
            return False
        unlaunched = self.failure is FailureKind.SERVER and not self.launched_t
        return self.failure is FailureKind.SETTINGS or unlaunched

    @property
    def can_resume(self) -> bool:
        """Whether resuming can get further: the run is over, not finished, and its settings were not refused."""
        refused = self.status is RunStatus.FAILED and self.failure is FailureKind.SETTINGS
        return self.status in OVER - {RunStatus.FINISHED} and not refused

    @property
    def done_steps(self) -> int:
        last = self.history.last_step
        return self.launched_step if last is None else last

    def has_reached(self, steps: int, max_rollouts: int) -> bool:
        """Whether a run with these limits, of which 0 rollouts is none, has nothing left to train."""
        return self.done_steps >= steps or 0 < max_rollouts <= float(self.latest.get("rollouts_total") or 0)

    @property
    def eta_s(self) -> float | None:
        """Seconds of work left at the pace since the newest launch; None before its first step or when it is over."""
        played = self.done_steps - self.launched_step
        if played <= 0 or self.status not in (RunStatus.RUNNING, RunStatus.PAUSED):
            return None
        pace_s = (self.stepped_s - self.paced_from_s) / played
        # The step under way is counted down, but never below nothing.
        return max(0.0, pace_s * (self.steps - self.done_steps) - min(pace_s, self.active_s - self.stepped_s))


def reduce(state: RunState, event: Event) -> RunState:
    state = reduce_process(state, event)
    handler = _HANDLERS.get(event.kind)
    return handler(state, event) if handler else state


def _launch(s: RunState, e: Event) -> RunState:
    d = e.data
    s = replace(
        s, run_id=d.get("run_id", s.run_id), mode=d.get("mode", ""), model=d.get("model", ""), steps=d.get("steps", 0),
        threads=d.get("threads", 0), settings=d.get("config") or {}, paced_from_s=s.active_s, stepped_s=s.active_s,
        judge=d.get("judge") or {},
    )  # fmt: skip
    s = replace(s, steps=_all_steps(s, 1, d.get("rollouts_per_step")))
    since = d.get("resumed_from")
    if since is None:
        # A run that crashed before its first checkpoint starts over.
        return replace(
            s, history=History(), evals=(), checkpoints=(), step=0, latest={}, launched_step=0, time_outside={}
        )
    kept = s.history.until(since)
    return replace(
        s, history=kept, step=since, launched_step=since,
        evals=tuple(p for p in s.evals if p.step <= since),
        checkpoints=tuple(c for c in s.checkpoints if c[0] <= since),
    )  # fmt: skip


def _stage(s: RunState, e: Event) -> RunState:
    d = e.data
    step = s.done_steps if s.status is RunStatus.PAUSED else d.get("step", s.step)
    return replace(s, step=step, stage_done=d.get("done", 0), stage_total=d.get("total", 0))


def _all_steps(s: RunState, step: int, rollouts: float | None) -> int:
    """All steps of a run that makes so many rollouts in `step` steps, its limit of rollouts kept."""
    limit = float(s.settings.get("max_rollouts") or 0)
    if not limit or not rollouts:
        return s.steps
    return min(int(s.settings.get("steps") or s.steps), max(step, math.ceil(limit * step / rollouts)))


def _step(s: RunState, e: Event) -> RunState:
    step, metrics = int(e.data.get("step", s.step)), e.data.get("metrics") or {}
    steps = _all_steps(s, step, metrics.get("rollouts_total"))
    return replace(
        s, status=RunStatus.RUNNING, step=step, steps=steps, latest=metrics, history=s.history.append(step, metrics),
        stepped_s=s.active_s,
    )  # fmt: skip


def _eval(s: RunState, e: Event) -> RunState:
    d = e.data
    point = EvalPoint(int(d.get("step", 0)), e.t, d.get("suite", ""), d.get("suite_hash", ""), d.get("metrics") or {})
    # The evaluation before the first step is no part of the steps' pace.
    paced = s.active_s if s.done_steps == s.launched_step else s.paced_from_s
    return replace(s, paced_from_s=paced, evals=(*(p for p in s.evals if p.step != point.step), point))


def _checkpoint(s: RunState, e: Event) -> RunState:
    found = (int(e.data.get("step", 0)), str(e.data.get("path", "")))
    return replace(s, checkpoints=(*(c for c in s.checkpoints if c[0] != found[0]), found))


def _done(s: RunState, e: Event) -> RunState:
    spent = {**s.time_outside}
    for part, seconds in (e.data.get("time") or {}).items():
        spent[part] = spent.get(part, 0.0) + float(seconds)
    return replace(s, time_outside=spent)


_HANDLERS = {
    "launch": _launch, "stage": _stage, "step": _step, "eval": _eval, "checkpoint": _checkpoint, "done": _done,
}  # fmt: skip
