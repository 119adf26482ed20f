"""What changed from the first checkpoint of a track to its last, on the same prompts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seirenes_app.lab.robustness.figures import Figure, Figures, slice_key
from training.core.statistics import Interval, mcnemar_clustered
from training.core.statistics.intervals import difference_limits
from training.core.types import PerturbationType
from training.evaluation.blocks import by_problem, mean_interval
from training.evaluation.cells import Cells
from training.evaluation.derive import change_between
from training.evaluation.figures import Change
from training.evaluation.rows import Condition

SLICES = (
    (Condition.CLEAN, None), (Condition.HINTED, None), *((Condition.HINTED, t) for t in PerturbationType),
    (Condition.PLACEBO, None),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trend:
    """First against last. `changes` (by `figures.slice_key`) are paired; where the rows of one side are gone they are
    empty, and `totals` has the unpaired differences. `gap` is last − first of clean − hinted, with its p; `beyond` what
    hinted accuracy rose beyond the accuracy beside neutral texts, on the same problems."""

    before: str
    after: str
    changes: Mapping[str, Change]
    totals: Mapping[str, tuple[Interval, Interval, Interval]]
    gap: Figure | None
    beyond: Figure | None


def trend_between(before: Cells, after: Cells, first: tuple[str, Figures], last: tuple[str, Figures]) -> Trend:
    """Both sides' cells (one target on one suite each, or none) and figures."""
    changes: dict[str, Change] = {}
    if len(before) and len(after):
        for condition, hint_type in SLICES:
            found = change_between(before, after, condition, hint_type)
            if found is not None:
                changes[slice_key(condition, hint_type)] = found
    totals = {}
    for key in [slice_key(*s) for s in SLICES]:
        if key not in changes and key in first[1] and key in last[1]:
            one, other = first[1][key].value, last[1][key].value
            totals[key] = one, other, difference_limits(other, one)
    clean, hinted, placebo = ((_rates(before, c), _rates(after, c)) for c in Condition)
    # The gap's change is clean's change − hinted's.
    return Trend(first[0], last[0], changes, totals, _beyond(clean, hinted), _beyond(hinted, placebo))


Sides = tuple[Mapping[str, float], Mapping[str, float]]


def _beyond(one: Sides, other: Sides) -> Figure | None:
    """(last − first) of one condition − the same of another, on problems that have all four; a problem counts once."""
    common = set(one[0]) & set(one[1]) & set(other[0]) & set(other[1])
    if not common:
        return None
    differences = np.array([one[1][p] - one[0][p] - (other[1][p] - other[0][p]) for p in sorted(common)])
    p_value = mcnemar_clustered(np.maximum(differences, 0).tolist(), np.maximum(-differences, 0).tolist())
    # A difference of two changes lies in [−2, 2]: half of it is a difference of shares.
    half = mean_interval(differences / 2, np.ones(len(differences)))
    return Figure(Interval(2 * half.mean, 2 * half.low, 2 * half.high), len(common), len(common), p_value)


def _rates(cells: Cells, condition: Condition) -> dict[str, float]:
    """Problem id → the share right over its prompts."""
    part = cells.where(condition=condition)
    sums, prompts = by_problem(part, part.rate()), by_problem(part, np.ones(len(part)))
    there = np.flatnonzero(prompts).tolist()
    return {cells.problems[p]: float(sums[p] / prompts[p]) for p in there}
