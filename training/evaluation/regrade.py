"""Read and grade the stored completions of an evaluation again, with today's answer reader. Nothing is generated.

All rows change in one transaction, and with them the cells that every figure is derived from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from training.core.answer_reader import READER_VERSION, Tier
from training.core.answers import AnswerGrader
from training.core.symbolic import SymbolicCheck
from training.core.types import Outcome, Problem
from training.errors import NotReadyError
from training.evaluation.eval_dir import EvalDir, read_plan
from training.evaluation.grader import grade
from training.evaluation.store import StoredRow, StoreWriter
from training.runs.control import StopRequested
from training.runs.lock import RunLock
from training.runs.paths import RunPaths, not_fetched


@dataclass(frozen=True, slots=True)
class Regraded:
    """What grading again changed. `outcomes` counts rows by their outcome before and now; `answers` counts those whose
    answer is read otherwise; `kept` those that were left alone, because their gold answer is not stored."""

    rows: int
    outcomes: Mapping[tuple[Outcome, Outcome], int]
    answers: int
    kept: int

    @property
    def changed(self) -> dict[tuple[Outcome, Outcome], int]:
        """The rows whose outcome is another now."""
        return {pair: n for pair, n in self.outcomes.items() if pair[0] is not pair[1]}


def regrade(
    paths: EvalDir,
    *,
    run_lock: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Regraded:
    """Grade all rows of an evaluation again. `progress` gets (rows done, rows in all).

    A UserError while the evaluation runs, or a process holds `run_lock` (the trainer's, for a run's own evaluations).
    `StopRequested` when `cancelled` says so: then nothing has changed.
    """
    if not paths.rows.is_file():
        run = RunPaths(paths.root.parent)
        if run.cluster.is_file():
            raise NotReadyError(not_fetched(run, "evaluations"))
        raise NotReadyError(f"{paths.root} has no rows yet, so there is nothing to grade.")
    outcomes: Counter[tuple[Outcome, Outcome]] = Counter()
    answers = kept = done = 0
    with ExitStack() as stack:
        for place in (paths.lock, run_lock) if run_lock is not None else (paths.lock,):
            lock = RunLock(place)
            lock.acquire()
            stack.callback(lock.release)
        grader = AnswerGrader(stack.enter_context(SymbolicCheck()))
        store = stack.enter_context(StoreWriter(paths.rows, read_plan(paths)))
        total = store.count_rows()

        def again(row: StoredRow, problem: Problem, suggested: str | None) -> StoredRow:
            nonlocal answers, kept, done
            if cancelled():
                raise StopRequested
            done += 1
            progress(done, total)
            if row.outcome in (Outcome.TOO_LONG, Outcome.FILTERED):
                # There is no completion: the prompt did not fit the context, or a filter withheld it.
                outcomes[row.outcome, row.outcome] += 1
                return replace(row, tier=Tier.NONE, reader=READER_VERSION)
            if not problem.answer:
                kept += 1
                return row
            new = grade(row.completion, problem, suggested, grader, row.truncated)
            outcomes[row.outcome, new.outcome] += 1
            answers += new.answer != row.answer
            return replace(
                row, outcome=new.outcome, answer=new.answer, follows=new.follows, tier=new.tier, reader=READER_VERSION
            )

        store.regrade(again)
    return Regraded(done, dict(outcomes), answers, kept)
