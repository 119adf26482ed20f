"""The rows behind a point, with their questions, out of an evaluation's store."""

from __future__ import annotations

from seirenes_app.services.robustness.types import Trace, TraceRef, Track
from training.core.prompts import Placement
from training.core.types import Hint, Problem
from training.evaluation.eval_dir import EvalDir
from training.evaluation.store import PromptText, TraceRow
from training.evaluation.store_reader import StoreReader

_PAGE = 500


def read_traces(store: EvalDir, ref: TraceRef, limit: int, offset: int = 0) -> list[Trace]:
    """Rows of a slice in the order of the suite."""
    with StoreReader(store.rows) as reader:
        rows = reader.traces(
            target=ref.target, suite=ref.suite, condition=ref.condition, hint_type=ref.hint_type, limit=limit,
            offset=offset,
        )  # fmt: skip
    return [as_trace(row) for row in rows]


def as_trace(found: TraceRow) -> Trace:
    """A stored row as a trace."""
    row, problem, prompt = found.row, found.problem, found.prompt
    return Trace(
        row.key.target, problem.id, problem.family, row.key.condition, row.key.index, str(prompt.hint_type or ""),
        problem.question, prompt.text, problem.answer, row.completion, row.outcome, row.follows, row.truncated,
    )  # fmt: skip


def problem_and_hint(store: EvalDir, track: Track, trace: Trace) -> tuple[Problem, Hint | None, Placement] | None:
    """What a trace asked, whole, for asking it again; None where its problem is not known any more."""
    with StoreReader(store.rows) as reader:
        offset = 0
        while found := reader.traces(
            target=trace.target, suite=track.suite, condition=trace.condition, limit=_PAGE, offset=offset
        ):
            for row in found:
                if row.problem.id == trace.problem_id and row.row.key.index == trace.index:
                    return (row.problem, _hint(row.prompt), row.placement) if row.problem.question else None
            offset += len(found)
    return None


def _hint(prompt: PromptText) -> Hint | None:
    if prompt.hint_type is None:
        return None
    return Hint(prompt.hint_type, prompt.text, template=prompt.author, suggested=prompt.suggested)
