"""Turn an evaluation's events into its state: how far, how fast, how it ended. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from training.endpoints import Meter
from training.runs.events import Event
from training.runs.lock import LockHolder
from training.runs.status import ProcessState, RunStatus, reduce_process, resolve_status

HANDOVER_S = 30.0
"""Between two processes of one evaluation nobody holds the lock; loading the next takes a moment."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What completions of one model cost: seconds of solving alone, and tokens, of unfinished completions too."""

    rows: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: Pace) -> Pace:
        return Pace(self.rows + other.rows, self.tokens + other.tokens, self.seconds + other.seconds)


def time_left(rows: int, max_tokens: int, done: Pace, under_way: Pace | None = None) -> float | None:
    """Seconds for `rows` completions that are not finished; None while nothing was measured.

    All tokens over finished completions is the mean length, of those that still run too (the estimate for censored
    geometric lengths); one completion of a usual length is added for the time before the first has finished.
    """
    total = done if under_way is None else done + under_way
    if not total.seconds or not (total.rows or total.tokens):
        return None
    if not total.tokens or (under_way is not None and not under_way.tokens):
        # The engine does not count the tokens of unfinished completions.
        return total.seconds * rows / total.rows if total.rows else None
    length = min(max_tokens, (total.tokens + USUAL_LENGTH * max_tokens) / (total.rows + 1))
    ahead = 0.0 if under_way is None else max(0.0, under_way.tokens - under_way.rows * length)
    return max(0.0, rows * length - ahead) * total.seconds / total.tokens


USUAL_LENGTH = 0.3
"""Mean length of a completion, as a share of the limit, before any was measured."""


@dataclass(frozen=True, kw_only=True)
class EvalState(ProcessState):
    """Progress of an evaluation. `done_chunks` of `chunks` are committed, `rows` rows in them. `share` is from 0 to 1,
    the part of the chunk under way included. `eta_s` is of the models that were measured, None before the first
    tokens; `unmeasured` counts the others. `paces` are by target."""

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
    unmeasured: int = 0
    paces: Mapping[str, Pace] = field(default_factory=dict)
    meters: Mapping[str, Meter] = field(default_factory=dict)
    """What was spent at endpoints, by target, over all processes."""

    @property
    def meter(self) -> Meter | None:
        """Of the model at work."""
        return self.meters.get(self.target)


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
    paces = s.paces
    if pace := d.get("pace"):
        found = Pace(int(pace["rows"]), int(pace["tokens"]), float(pace["seconds"]))
        paces = {**paces, str(d.get("target", "")): found}
    meters = s.meters
    if found_meter := d.get("meter"):
        meters = {**meters, str(d.get("target", s.target)): msgspec.convert(found_meter, Meter)}
    return replace(
        s, target=str(d.get("target", s.target)), suite=str(d.get("suite", s.suite)),
        condition=str(d.get("condition", s.condition)), done_chunks=done_chunks, rows=int(d.get("rows", s.rows)),
        rows_per_s=float(d.get("rows_per_s") or s.rows_per_s), share=_share(done_chunks, s.chunks, part),
        eta_s=s.eta_s if eta is None else float(eta), unmeasured=int(d.get("unmeasured", s.unmeasured)), paces=paces,
        meters=meters,
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
