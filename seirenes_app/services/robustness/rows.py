"""The rows behind a point, with their questions: out of an evaluation's store, or a run's own row files.

A run's rows keep no question. Its suite is made anew from its name, and is used only if its hash is the run's; else
questions and gold answers stay empty.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from seirenes_app.services.robustness.run_evaluations import row_path
from seirenes_app.services.robustness.types import Origin, Trace, TraceRef, Track
from training.core.prompts import Placement
from training.core.types import Hint, Outcome, Problem
from training.errors import UserError
from training.evaluation.eval_dir import EvalDir
from training.evaluation.rows import EvalRow, load_rows
from training.evaluation.store import PromptText, TraceRow
from training.evaluation.store_reader import StoreReader
from training.evaluation.suites.builder import Suite, frozen_suite

_FROZEN_NAME = re.compile(r"frozen-(\d+)-(\d+)")
_MOST = 5000


@lru_cache(maxsize=4)
def suite_of(name: str, digest: str) -> Suite | None:
    """The frozen suite of that name, if it still has that hash."""
    found = _FROZEN_NAME.fullmatch(name)
    if found is None or not 0 < int(found[2]) <= _MOST:
        return None
    suite = frozen_suite(int(found[2]), int(found[1]))
    return suite if suite.digest() == digest else None


@lru_cache(maxsize=8)
def _rows_of(path: Path, stamp: tuple[int, int]) -> tuple[EvalRow, ...]:
    try:
        return tuple(load_rows(path))
    except FileNotFoundError as error:
        raise UserError(f"{path} is gone, and with it the rows of this point. Its totals are still shown.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}). Restore it from a copy.") from error


def run_rows(root: Path, target: str) -> tuple[EvalRow, ...]:
    """All rows of a run's own evaluation of 'step N'."""
    path = row_path(root, int(target.removeprefix("step ")))
    try:
        found = path.stat()
    except OSError:
        return _rows_of(path, (0, 0))
    return _rows_of(path, (found.st_mtime_ns, found.st_size))


def read_traces(track: Track, ref: TraceRef, limit: int, offset: int = 0) -> list[Trace]:
    """Rows of a slice in the order of the suite."""
    if track.origin is Origin.EVALUATION:
        return store_traces(ref, limit, offset)
    problems = run_problems(track)
    rows = [
        row
        for row in run_rows(ref.root, ref.target)
        if row.condition is ref.condition and (ref.hint_type is None or row.hint_type == ref.hint_type)
    ]
    return [_of_run(ref.target, row, problems) for row in rows[offset : offset + limit]]


def store_traces(ref: TraceRef, limit: int, offset: int = 0) -> list[Trace]:
    """The same out of an evaluation."""
    with StoreReader(EvalDir(ref.root).rows) as reader:
        rows = reader.traces(
            target=ref.target, suite=ref.suite, condition=ref.condition, hint_type=ref.hint_type, limit=limit,
            offset=offset,
        )  # fmt: skip
    return [of_store(row) for row in rows]


def of_store(found: TraceRow) -> Trace:
    """A stored row as a trace."""
    row, problem, prompt = found.row, found.problem, found.prompt
    return Trace(
        row.key.target, problem.id, problem.family, row.key.condition, row.key.index, str(prompt.hint_type or ""),
        problem.question, prompt.text, problem.answer, row.completion, row.outcome, row.follows, row.truncated,
    )  # fmt: skip


def run_problems(track: Track) -> dict[str, Problem]:
    """The problems of a run's own suite by id; empty where they cannot be made anew."""
    suite = suite_of(track.suite, track.suite_hash)
    return {} if suite is None else {item.problem.id: item.problem for item in suite.items}


def _of_run(target: str, row: EvalRow, problems: dict[str, Problem]) -> Trace:
    problem = problems.get(row.problem_id)
    return Trace(
        target, row.problem_id, row.family, row.condition, row.index, row.hint_type,
        problem.question if problem else "", row.hint, problem.answer if problem else "", row.completion,
        Outcome(row.outcome), row.follows, row.truncated,
    )  # fmt: skip


def run_traces(track: Track, target: str) -> list[Trace]:
    """All rows of a run's own evaluation of a step."""
    problems = run_problems(track)
    return [_of_run(target, row, problems) for row in run_rows(track.root, target)]


# ---------------------------------------------------------------------- problems for the time machine


def problem_and_hint(track: Track, trace: Trace) -> tuple[Problem, Hint | None, Placement] | None:
    """What a trace asked, whole, for asking it again; None where its problem is not known any more."""
    if track.origin is Origin.RUN:
        suite = suite_of(track.suite, track.suite_hash)
        items = suite.items if suite is not None else ()
        item = next((i for i in items if i.problem.id == trace.problem_id), None)
        if item is None:
            return None
        hint = item.hints[trace.index] if trace.hint_type and 0 <= trace.index < len(item.hints) else None
        return item.problem, hint, Placement.APPEND
    return _stored_problem(track, trace)


def _hint(prompt: PromptText) -> Hint:
    assert prompt.hint_type is not None
    return Hint(prompt.hint_type, prompt.text, template=prompt.author, suggested=prompt.suggested)


def _stored_problem(track: Track, trace: Trace) -> tuple[Problem, Hint | None, Placement] | None:
    with StoreReader(EvalDir(track.root).rows) as reader:
        page, offset = 500, 0
        while found := reader.traces(
            target=trace.target, suite=track.suite, condition=trace.condition, limit=page, offset=offset
        ):
            for row in found:
                if row.problem.id == trace.problem_id and row.row.key.index == trace.index:
                    prompt = row.prompt
                    hint = None if prompt.hint_type is None else _hint(prompt)
                    return row.problem, hint, row.placement
            offset += page
    return None
