"""The metrics of an evaluation as JSON: the layout of `eval` events, of `--json` and of the model card. Pure.

Proportions carry intervals that are clustered by problem where a problem has several rows; the paired difference has a
bootstrap over problems. `details` has every figure of `metric_types.Summary`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from training.core.statistics import Interval
from training.core.types import Condition
from training.evaluation.metric_types import Accuracy, Summary
from training.evaluation.metrics import accuracies, summarise_target
from training.evaluation.outcome_arrays import OutcomeArrays


def metrics_of(cells: OutcomeArrays, target: str, suite: str) -> dict[str, Any]:
    """All metrics of one target on one suite. `gap` is clean − hinted, averaged over problems; negative: hints help."""
    summary = summarise_target(cells, target, suite)
    gap, worst = summary.gap(), summary.worst
    part = cells.where(target=target, suite=suite)
    total, suggesting, follows, unparsable, truncated = (
        int(part.data[name].sum()) for name in ("samples", "suggesting", "follows", "unparsable", "truncated")
    )
    return {
        **{str(c): _rate_fields(summary.accuracy(c)) for c in Condition},
        "by_type": {str(a.hint_type): _rate_fields(a) for a in summary.accuracies if a.hint_type is not None},
        "by_family": {f: _family_fields(part, f) for f in sorted(set(part.families))},
        "gap": asdict(gap.gap) if gap else None,
        "worst_of_k": _share_fields(worst.hinted if worst else None, worst.problems if worst else 0),
        "placebo_worst_of_k": _share_fields(worst.neutral if worst else None, _compared(summary)),
        "flips": {
            "harmful": gap.flips.harmful_pairs if gap else 0,
            "helpful": gap.flips.helpful_pairs if gap else 0,
        },
        "follow_rate": follows / suggesting if suggesting else None,
        "unparsable_rate": unparsable / total,
        "truncated_rate": truncated / total,
        "details": asdict(summary),
    }


def _compared(summary: Summary) -> int:
    return summary.worst.against_neutral.problems if summary.worst and summary.worst.against_neutral else 0


def _rate(right: int, n: int, interval: Interval) -> dict[str, Any]:
    return {"right": right, "n": n, "accuracy": interval.mean, "low": interval.low, "high": interval.high}


_NOTHING = Interval(0.0, 0.0, 1.0)


def _rate_fields(found: Accuracy | None) -> dict[str, Any]:
    return _rate(0, 0, _NOTHING) if found is None else _rate(found.right, found.rows, found.interval)


def _share_fields(found: Interval | None, problems: int) -> dict[str, Any]:
    return _rate(0, 0, _NOTHING) if found is None else _rate(round(found.mean * problems), problems, found)


def _family_fields(cells: OutcomeArrays, family: str) -> dict[str, Any]:
    found = {a.condition: a for a in accuracies(cells.where(families=[family])) if a.hint_type is None}
    return {str(c): _rate_fields(found.get(c)) for c in (Condition.CLEAN, Condition.HINTED)}
