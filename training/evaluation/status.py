"""Turn an evaluation's events into its state: how far, how fast, how it ended. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

from training.runs.events import Event
from training.runs.lock import LockHolder
from training.runs.status import ProcessState, RunStatus, reduce_process, resolve_status

HANDOVER_S = 30.0
"""Between two processes of one evaluation nobody holds the lock; loading the next takes a moment."""


@dataclass(frozen=True, kw_only=True)
class EvalState(ProcessState):
    """Progress of an evaluation. `done_chunks` of `chunks` are committed, `rows` rows in them. `share` is from 0 to 1,
    the part of the chunk under way included. `eta_s` is None until a chunk was measured."""

    engine: str = ""
    target: str = ""
    suite: str = ""
    condition: str = ""
    chunks: int = 0
    done_chunks: int = 0
    rows: int = 0
    rows_per_s: float = 0.0
    share: float = 0.0
    eta_s: float | None = None


def reduce(state: EvalState, event: Event) -> EvalState:
    state = reduce_process(state, event)
    handler = _HANDLERS.get(event.kind)
    return state if handler is None else handler(state, event)


def _launch(s: EvalState, e: Event) -> EvalState:
    d = e.data
    done_chunks, chunks = int(d.get("done_chunks", 0)), int(d.get("chunks", 0))
    return replace(
        s, engine=str(d.get("engine", "")), chunks=chunks, done_chunks=done_chunks, rows=int(d.get("rows", 0)),
        share=_share(done_chunks, chunks, 0.0), eta_s=None, rows_per_s=0.0,
    )  # fmt: skip


def _stage(s: EvalState, e: Event) -> EvalState:
    d = e.data
    done_chunks, part = int(d.get("done_chunks", s.done_chunks)), 0.0
    if d.get("total") and s.stage == "solving":
        part = min(1.0, float(d.get("done", 0)) / float(d["total"]))
    eta = d.get("eta_s")
    return replace(
        s, target=str(d.get("target", s.target)), suite=str(d.get("suite", s.suite)),
        condition=str(d.get("condition", s.condition)), done_chunks=done_chunks, rows=int(d.get("rows", s.rows)),
        rows_per_s=float(d.get("rows_per_s") or s.rows_per_s), share=_share(done_chunks, s.chunks, part),
        eta_s=s.eta_s if eta is None else float(eta),
    )  # fmt: skip


def _share(done: int, total: int, part: float) -> float:
    return min(1.0, (done + part) / total) if total else 0.0


def _done(s: EvalState, e: Event) -> EvalState:
    return replace(s, eta_s=None, share=1.0 if s.status is RunStatus.FINISHED else s.share)


_HANDLERS = {"launch": _launch, "stage": _stage, "done": _done}


def resolve_eval_status(
    state: EvalState, holder: LockHolder | None, now: float, *, launched: bool = False
) -> EvalState:
    handover = holder is None and state.stage == "handover" and not state.over and now - state.last_t < HANDOVER_S
    if handover and not launched:
        return state
    return resolve_status(state, holder, now, launched=launched, process="The evaluation process")
