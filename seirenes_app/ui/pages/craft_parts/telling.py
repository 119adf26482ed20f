"""What is going on, in words and numbers, for the strip at the foot of the page. Pure functions, no Qt."""

from __future__ import annotations

from collections.abc import Mapping

from seirenes_app.inference.client import StateKind, WorkerState
from seirenes_app.lab.crafting.arms import planned_samples
from seirenes_app.lab.crafting.documents import SolvePlan
from seirenes_app.lab.crafting.results import Arm, SolveResult
from seirenes_app.lab.why.ablation import AblationResult
from seirenes_app.ui.pages.craft_parts.runner import Work

FAILED: Mapping[Work, str] = {
    Work.GENERATE: "Nothing was written",
    Work.SOLVE: "It was not solved",
    Work.ABLATE: "The sentences were not tried",
    Work.HEAT: "Nothing was scored",
    Work.LOAD: "That model cannot be used",
}


def count_solved(results: Mapping[str, SolveResult], plan: SolvePlan, n_candidates: int) -> tuple[int, int]:
    """Solutions that are there and planned, the clean arm once over all candidates."""
    each = planned_samples(plan)
    arms = n_candidates * (2 if plan.placebo else 1) + 1
    done = sum(len(a.samples) for r in results.values() for arm, a in r.arms.items() if arm is not Arm.CLEAN)
    clean = max((len(r.arms[Arm.CLEAN].samples) for r in results.values() if Arm.CLEAN in r.arms), default=0)
    return done + clean, arms * each


def count_tried(result: AblationResult | None) -> tuple[int, int]:
    """Solutions of an ablation that are there and planned; sentences that make the same text share theirs."""
    if result is None:
        return 0, 0
    variants = {v.hint: v for row in result.rows for v in (row.without, row.only)}
    variants |= {result.clean.hint: result.clean, result.full.hint: result.full}
    return sum(v.n for v in variants.values()), sum(v.planned for v in variants.values())


def say_work(work: Work | None, state: WorkerState, n: int, who: str, done: int, planned: int) -> str:
    """One line; `n` candidates, `who` is the model at work."""
    if work is None:
        return ""
    if state.kind is StateKind.LOADING or work is Work.LOAD:
        return f"Loading {who}…"
    so_far = f": {done} of {planned} solutions" if planned else "…"
    match work:
        case Work.GENERATE:
            return f"{who} is writing {n} {'hint' if n == 1 else 'hints'}…"
        case Work.SOLVE:
            what = f"{n} candidates" if n > 1 else "the candidate" if n else "the problem alone"
            return f"{who} is solving {what}{so_far}"
        case Work.ABLATE:
            return f"{who} is solving with and without each sentence{so_far}"
    return f"{who} is scoring the solution…"
