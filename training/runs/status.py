"""Turn trainer events into run state. Pure: no Qt, no I/O. The only place where a run's state is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from training.runs.events import Event
from training.runs.lock import LockHolder

STALLED_AFTER_S = 60.0
START_PATIENCE_S = 60.0


class RunStatus(StrEnum):
    """What a run is doing, or how it ended."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    DIED = "died"
    """No `done` event and nobody holds the lock."""
    STALLED = "stalled"
    """The lock is held, but nothing was heard for a minute."""


@dataclass(frozen=True, slots=True)
class EvalPoint:
    """One evaluation on the frozen suite."""

    step: int
    t: float
    suite: str
    suite_hash: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunWarning:
    """What happened, and what to do."""

    step: int
    t: float
    code: str
    message: str
    remedy: str


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
        """The newest step that was completed."""
        return self._log[self._length - 1][0] if self._length else None

    def append(self, step: int, metrics: Mapping[str, Any]) -> History:
        """This history and one step more."""
        log = self._log if len(self._log) == self._length else self._log[: self._length]
        log.append((step, metrics))
        return History(log, self._length + 1)

    def until(self, step: int) -> History:
        """The part up to `step`."""
        kept = [entry for entry in self._log[: self._length] if entry[0] <= step]
        return History(kept, len(kept))

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of one metric, where it was measured."""
        found = [(s, m[name]) for s, m in self._log[: self._length] if m.get(name) is not None]
        return [s for s, _ in found], [float(v) for _, v in found]

    def names(self) -> list[str]:
        """Every metric that was measured at least once, in order of appearance."""
        return list(dict.fromkeys(k for _, m in self._log[: self._length] for k, v in m.items() if v is not None))


@dataclass(frozen=True)
class RunState:
    """Everything a page shows of a run."""

    status: RunStatus = RunStatus.STARTING
    run_id: str = ""
    mode: str = ""
    model: str = ""
    pid: int = 0
    step: int = 0
    steps: int = 0
    stage: str = ""
    stage_done: int = 0
    stage_total: int = 0
    started_t: float = 0.0
    launched_t: float = 0.0
    launched_step: int = 0
    last_t: float = 0.0
    latest: Mapping[str, Any] = field(default_factory=dict)
    history: History = field(default_factory=History)
    evals: tuple[EvalPoint, ...] = ()
    checkpoints: tuple[tuple[int, str], ...] = ()
    warnings: tuple[RunWarning, ...] = ()
    message: str = ""
    error: str = ""
    threads: int = 0
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def elapsed_s(self) -> float:
        """Seconds from the first launch to the last sign of life."""
        return max(0.0, self.last_t - self.started_t) if self.started_t else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the pace since the last launch; None before its first step or when it is over."""
        last = self.history.last_step
        if last is None or last <= self.launched_step or self.status not in (RunStatus.RUNNING, RunStatus.PAUSED):
            return None
        pace_s = (self.last_t - self.launched_t) / (last - self.launched_step)
        return pace_s * max(0, self.steps - last)


def reduce(state: RunState, event: Event) -> RunState:
    """The state after one more event; unknown kinds change nothing but the time of the last sign of life."""
    state = replace(state, last_t=event.t, started_t=state.started_t or event.t)
    handler = _HANDLERS.get(event.kind)
    return handler(state, event) if handler else state


def _launch(s: RunState, e: Event) -> RunState:
    d = e.data
    s = replace(
        s, status=RunStatus.RUNNING, run_id=d.get("run_id", s.run_id), mode=d.get("mode", ""), model=d.get("model", ""),
        pid=d.get("pid", 0), steps=d.get("steps", 0), threads=d.get("threads", 0), machine=d.get("machine") or {},
        versions=d.get("versions") or {}, message="", error="", launched_t=e.t, stage="setup",
    )  # fmt: skip
    since = d.get("resumed_from")
    if since is None:
        # A run that died before its first checkpoint starts over.
        return replace(s, history=History(), evals=(), checkpoints=(), step=0, latest={}, launched_step=0)
    kept = s.history.until(since)
    return replace(
        s, history=kept, step=since, launched_step=since,
        evals=tuple(p for p in s.evals if p.step <= since),
        checkpoints=tuple(c for c in s.checkpoints if c[0] <= since),
    )  # fmt: skip


def _stage(s: RunState, e: Event) -> RunState:
    d = e.data
    name = str(d.get("stage", ""))
    status = RunStatus.PAUSED if name == "paused" else RunStatus.RUNNING
    return replace(s, status=status, step=d.get("step", s.step), stage=name, stage_done=d.get("done", 0),
                   stage_total=d.get("total", 0))  # fmt: skip


def _step(s: RunState, e: Event) -> RunState:
    step, metrics = int(e.data.get("step", s.step)), e.data.get("metrics") or {}
    return replace(s, status=RunStatus.RUNNING, step=step, latest=metrics, history=s.history.append(step, metrics))


def _eval(s: RunState, e: Event) -> RunState:
    d = e.data
    point = EvalPoint(int(d.get("step", 0)), e.t, d.get("suite", ""), d.get("suite_hash", ""), d.get("metrics") or {})
    return replace(s, evals=(*(p for p in s.evals if p.step != point.step), point))


def _checkpoint(s: RunState, e: Event) -> RunState:
    found = (int(e.data.get("step", 0)), str(e.data.get("path", "")))
    return replace(s, checkpoints=(*(c for c in s.checkpoints if c[0] != found[0]), found))


def _warning(s: RunState, e: Event) -> RunState:
    d = e.data
    text = [str(d.get(k, "")) for k in ("code", "message", "remedy")]
    return replace(s, warnings=(*s.warnings, RunWarning(int(d.get("step") or 0), e.t, *text)))


def _done(s: RunState, e: Event) -> RunState:
    outcome = e.data.get("outcome")
    status = RunStatus(outcome) if outcome in ("finished", "stopped", "failed") else RunStatus.FAILED
    return replace(s, status=status, message=e.data.get("message") or "", error=e.data.get("error") or "", stage="")


_HANDLERS = {
    "launch": _launch, "stage": _stage, "step": _step, "eval": _eval, "checkpoint": _checkpoint, "warning": _warning,
    "done": _done,
}  # fmt: skip

OVER = frozenset({RunStatus.FINISHED, RunStatus.STOPPED, RunStatus.FAILED})
LIVE = frozenset({RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.STOPPING, RunStatus.STALLED})
"""There is, or is about to be, a process."""


def judge(state: RunState, holder: LockHolder | None, now: float) -> RunState:
    """The state in the light of who holds the lock: a run without `done` and with a free lock died."""
    if state.status in OVER:
        return state if holder is None or now - state.last_t < 5 else replace(state, status=RunStatus.STARTING)
    if holder is None:
        if state.last_t == 0 or (state.status is RunStatus.STARTING and now - state.last_t < START_PATIENCE_S):
            return state
        return replace(
            state, status=RunStatus.DIED, message=state.message or "The trainer is gone without a last word."
        )
    if state.last_t and now - state.last_t > STALLED_AFTER_S:
        return replace(state, status=RunStatus.STALLED)
    return state
