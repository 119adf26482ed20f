"""A run's own evaluations on its frozen suite, in the store of every evaluation: `evaluations/{plan.json, rows.db}`.

One target a step, named `step N`, with one greedy sample a prompt. A step's evaluation is whole or absent; a later one
of the same step replaces it. Runs of version 0.1 kept a JSON-lines file a step: see `v01_rows`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

from training.core.answers import AnswerGrader
from training.core.prompts import Message, Placement, PromptProfile, reasoner_messages
from training.core.types import Condition
from training.evaluation.eval_dir import EvalDir, read_plan, stored_item
from training.evaluation.evaluator import Sampled, grade_rows, prompts_of
from training.evaluation.metrics import change_between, metrics_of
from training.evaluation.outcome_arrays import OutcomeArrays
from training.evaluation.plan import FROZEN, Chunk, EvalPlan, SuiteRef, Target, plan_to_json
from training.evaluation.store import StoredItem, StoreWriter
from training.evaluation.store_reader import StoreReader
from training.evaluation.suites.builder import Suite, frozen_suite_of
from training.runs.files import explained, write_whole
from training.runs.paths import RunPaths

WHOLE_SUITE = 1_000_000
"""`EvalPlan.chunk_items`: a condition of a step is one chunk."""
REPLACED = "replaced"
"""The value of `source/FILE` once the trainer evaluated a step that was imported from FILE."""

Solve = Callable[[Sequence[list[Message]]], list[list[Sampled]]]
"""One completion for each chat, in their order."""


def run_eval_dir(run: RunPaths) -> EvalDir:
    return EvalDir(run.evaluations)


def target_name(step: int) -> str:
    return f"step {step}"


def row_file(step: int) -> str:
    return f"step_{step:06d}.jsonl"


def step_chunks(step: int, suite: SuiteRef, conditions: Sequence[Condition] = tuple(Condition)) -> list[Chunk]:
    """The chunks of a step's evaluation: one a condition."""
    return [Chunk(target_name(step), suite.name, condition, 0, suite.problems) for condition in conditions]


def extend_plan(
    paths: EvalDir, run_id: str, steps: Sequence[int], suite: SuiteRef, *, max_tokens: int, prompts: PromptProfile
) -> tuple[EvalPlan, SuiteRef]:
    """The plan of a run's evaluations with these steps on this suite, written if it is new; and the suite's entry.

    A suite of the same name with other content gets its digest as part of its name.
    """
    wanted = tuple(
        Target(target_name(s), f"../checkpoints/step_{s:06d}", prompts=prompts, run=run_id, step=s) for s in steps
    )
    if not paths.plan.is_file():
        created = datetime.now(UTC).isoformat(timespec="seconds")
        old = None
        plan = EvalPlan(wanted, (suite,), max_tokens=max_tokens, chunk_items=WHOLE_SUITE, title=run_id, created=created)
    else:
        old = read_plan(paths)
        known = {t.name for t in old.targets}
        same = next((s for s in old.suites if s.digest == suite.digest), None)
        if same is None and any(s.name == suite.name for s in old.suites):
            suite = replace(suite, name=f"{suite.name} {suite.digest}")
        suite = same or suite
        plan = replace(
            old,
            targets=(*old.targets, *(t for t in wanted if t.name not in known)),
            suites=old.suites if same else (*old.suites, suite),
            max_tokens=max_tokens,
        )
    if plan != old:
        with explained("Making the folder", paths.root):
            paths.root.mkdir(parents=True, exist_ok=True)
        write_whole(paths.plan, plan_to_json(plan))
    return plan, suite


def run_suite(run: RunPaths, problems: int, seed: int) -> Suite:
    """The frozen suite of a run: the version that its evaluations have so far, else the newest."""
    paths = run_eval_dir(run)
    digests = [ref.digest for ref in read_plan(paths).suites] if paths.plan.is_file() else []
    return frozen_suite_of(problems, seed, digests)


class RunEvaluations:
    """`now` gives seconds, pauses left out: chunks are timed with it."""

    def __init__(
        self, run: RunPaths, suite: Suite, seed: int, *, max_tokens: int, prompts: PromptProfile,
        now: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._run_id, self._paths = run.run_id, run_eval_dir(run)
        self._ref = SuiteRef(suite.name, f"{FROZEN}{seed}", suite.digest(), len(suite.items))
        self._items: tuple[StoredItem, ...] = tuple(map(stored_item, suite.items))
        self._max_tokens, self._prompts, self._now = max_tokens, prompts, now

    def evaluate(self, step: int, solve: Solve, grader: AnswerGrader) -> dict[str, Any]:
        """Solve the suite, keep the rows, and return the data of an `eval` event."""
        started = self._now()
        plan, ref = extend_plan(
            self._paths, self._run_id, [step], self._ref, max_tokens=self._max_tokens, prompts=self._prompts
        )
        chunks = step_chunks(step, ref, plan.conditions_of(ref))
        prompts = [prompts_of(self._items, chunk) for chunk in chunks]
        shown = [prompt.shown(Placement.APPEND) for part in prompts for prompt in part]
        solved = iter(solve([reasoner_messages(text, self._prompts) for text in shown]))
        rows = [
            grade_rows(chunk, part, [next(solved) for _ in part], grader)
            for chunk, part in zip(chunks, prompts, strict=True)
        ]
        seconds = (self._now() - started) / len(chunks)
        with StoreWriter(self._paths.rows, plan) as store:
            store.add_suite(ref.name, ref.digest, ref.placement, self._items)
            store.replace(list(zip(chunks, rows, repeat(seconds))), {source_key(step): REPLACED})
        with StoreReader(self._paths.rows) as reader:
            cells = reader.cells()
        metrics = metrics_of(cells, target_name(step), ref.name)
        if since := _changes_since(cells, min(map(step_of, plan.targets)), step, ref.name):
            metrics["since_start"] = since
        # The store has the details.
        del metrics["details"]
        return {
            "step": step, "suite": self._ref.name, "suite_hash": ref.digest, "prompts": self._prompts.label,
            "metrics": metrics,
        }  # fmt: skip


def step_of(target: Target) -> int:
    """The step of a run's target; a large number for a target that is none."""
    return target.step if target.step is not None else sys.maxsize


def _changes_since(cells: OutcomeArrays, first: int, step: int, suite: str) -> dict[str, Any]:
    """What each condition gained or lost since the first evaluation, with its interval over problems."""
    if first >= step:
        return {}
    before, after = (cells.where(target=target_name(s), suite=suite) for s in (first, step))
    if not len(before) or not len(after):
        return {}
    found: dict[str, Any] = {}
    for condition in Condition:
        change = change_between(before, after, condition)
        if change is not None:
            found[str(condition)] = asdict(change.difference) | {"problems": change.problems}
    return found | {"step": first} if found else {}


def source_key(step: int) -> str:
    """The fact in the store that says which version of a step's row file was imported."""
    return f"source/{row_file(step)}"
