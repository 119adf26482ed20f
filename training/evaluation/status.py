"""Turn an evaluation's events into its state: how far, how fast, how it ended. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from training.runs.events import Event
from training.runs.lock import LockHolder
from training.runs.status import OVER, STALLED_AFTER_S, START_PATIENCE_S, RunStatus

HANDOVER_S = 30.0
"""Between two processes of one evaluation nobody holds the lock; loading the next takes a moment."""


@dataclass(frozen=True, slots=True)
class EvalWarning:
    """What happened, and what to do."""

    t: float
    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class EvalState:
    """Everything a page shows of an evaluation's progress. `doing` is a sentence's part: what is worked on now.

    `done_chunks` of `chunks` are committed, `rows` rows in them. `share` is from 0 to 1, the part of the chunk under
    way included. `eta_s` is None until a chunk was measured.
    """

    status: RunStatus = RunStatus.STARTING
    pid: int = 0
    engine: str = ""
    stage: str = ""
    target: str = ""
    suite: str = ""
    condition: str = ""
    chunks: int = 0
    done_chunks: int = 0
    rows: int = 0
    rows_per_s: float = 0.0
    share: float = 0.0
    eta_s: float | None = None
    started_t: float = 0.0
    launched_t: float = 0.0
    last_t: float = 0.0
    message: str = ""
    error: str = ""
    warnings: tuple[EvalWarning, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.status in (*OVER, RunStatus.DIED)


def reduce(state: EvalState, event: Event) -> EvalState:
    """The state after one more event; kinds that are not known change nothing but the time."""
    state = replace(state, last_t=max(state.last_t, event.t))
    handler = _HANDLERS.get(event.kind)
    return state if handler is None else handler(state, event)


def _launch(s: EvalState, e: Event) -> EvalState:
    d = e.data
    return replace(
        s, status=RunStatus.RUNNING, pid=int(d.get("pid", 0)), engine=str(d.get("engine", "")),
        chunks=int(d.get("chunks", 0)), done_chunks=int(d.get("done_chunks", 0)), rows=int(d.get("rows", 0)),
        share=_share(int(d.get("done_chunks", 0)), int(d.get("chunks", 0)), 0.0), launched_t=e.t,
        started_t=s.started_t or e.t, message="", error="", stage="setup", eta_s=None, rows_per_s=0.0,
        # Either process knows its own engine only.
        machine={**s.machine, **(d.get("machine") or {})}, versions={**s.versions, **(d.get("versions") or {})},
    )  # fmt: skip


def _stage(s: EvalState, e: Event) -> EvalState:
    d = e.data
    stage = str(d.get("stage", ""))
    done_chunks, part = int(d.get("done_chunks", s.done_chunks)), 0.0
    if d.get("total"):
        part = min(1.0, float(d.get("done", 0)) / float(d["total"])) if stage == "solving" else 0.0
    eta = d.get("eta_s")
    return replace(
        s, status=RunStatus.PAUSED if stage == "paused" else RunStatus.RUNNING, stage=stage,
        target=str(d.get("target", s.target)), suite=str(d.get("suite", s.suite)),
        condition=str(d.get("condition", s.condition)), done_chunks=done_chunks, rows=int(d.get("rows", s.rows)),
        rows_per_s=float(d.get("rows_per_s") or s.rows_per_s), share=_share(done_chunks, s.chunks, part),
        eta_s=s.eta_s if eta is None else float(eta),
    )  # fmt: skip


def _share(done: int, total: int, part: float) -> float:
    return min(1.0, (done + part) / total) if total else 0.0


def _warning(s: EvalState, e: Event) -> EvalState:
    text = [str(e.data.get(k, "")) for k in ("code", "message", "remedy")]
    return replace(s, warnings=(*s.warnings, EvalWarning(e.t, *text)))


def _done(s: EvalState, e: Event) -> EvalState:
    outcome = e.data.get("outcome")
    status = RunStatus(outcome) if outcome in ("finished", "stopped", "failed") else RunStatus.FAILED
    return replace(
        s, status=status, message=str(e.data.get("message") or ""), error=str(e.data.get("error") or ""), stage="",
        eta_s=None, share=1.0 if status is RunStatus.FINISHED else s.share,
    )  # fmt: skip


_HANDLERS = {"launch": _launch, "stage": _stage, "warning": _warning, "done": _done}


def judge(state: EvalState, holder: LockHolder | None, now: float) -> EvalState:
    """The state in the light of who holds the lock: an evaluation without `done` and with a free lock died."""
    if state.status in OVER:
        return state if holder is None or now - state.last_t < 5 else replace(state, status=RunStatus.STARTING)
    if holder is None:
        patience = HANDOVER_S if state.stage == "handover" else START_PATIENCE_S
        waits = state.status is RunStatus.STARTING or state.stage == "handover"
        if state.last_t == 0 or (waits and now - state.last_t < patience):
            return state
        words = "The evaluation is gone without a last word. What it committed is there: resume it."
        return replace(state, status=RunStatus.DIED, message=state.message or words)
    if state.last_t and now - state.last_t > STALLED_AFTER_S:
        return replace(state, status=RunStatus.STALLED)
    return state
