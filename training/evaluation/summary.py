"""The figures of an evaluation as JSON, in one layout: from the rows of a run's own evaluation, or from stored cells.

Proportions carry Wilson intervals (cluster-robust ones from cells, where a problem has several rows), paired
differences a bootstrap over problems (the unit that was sampled). `derive` has all figures of cells as values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.core.statistics import Interval, mcnemar, paired_bootstrap, wilson_clustered
from training.core.types import Condition, Outcome
from training.evaluation.metric_types import Accuracy, Summary
from training.evaluation.metrics import accuracies, summarise_target
from training.evaluation.outcome_arrays import OutcomeArrays
from training.evaluation.rows import EvalRow


@dataclass(frozen=True, slots=True)
class Rate:
    """A proportion with its 95% interval: Wilson's, clustered by problem where a problem has several rollouts."""

    right: int
    n: int
    accuracy: float
    low: float
    high: float


def rate(hits: Iterable[bool], problems: Iterable[str] | None = None) -> Rate:
    """The proportion of True, 0 of 0 being nan-free: accuracy 0, interval 0 to 1.

    `problems` names each hit's problem where one has several: hits of one problem stand or fall together.
    """
    values = list(hits)
    right = sum(values)
    if not values:
        return Rate(0, 0, 0.0, 0.0, 1.0)
    clusters = None if problems is None else list(problems)
    interval = wilson_clustered([float(v) for v in values], clusters)
    return Rate(right, len(values), right / len(values), interval.low, interval.high)


def _rate_of(rows: Iterable[EvalRow]) -> Rate:
    kept = list(rows)
    return rate(map(_right, kept), [r.problem_id for r in kept])


def _right(row: EvalRow) -> bool:
    return row.outcome is Outcome.RIGHT


def _by_problem(rows: Iterable[EvalRow]) -> dict[str, list[bool]]:
    result: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        result[row.problem_id].append(_right(row))
    return result


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values)


def summarise(rows: Sequence[EvalRow], *, seed: int = 0) -> dict[str, Any]:
    """All figures of one evaluation, JSON-able; the layout is the `metrics` of an `eval` event.

    `gap` is clean − hinted a problem, averaged; negative is better than clean.
    `worst_of_k` counts a problem as solved only if it is solved under all its hints, the placebo likewise.
    """
    clean = [r for r in rows if r.condition is Condition.CLEAN]
    hinted = [r for r in rows if r.condition is Condition.HINTED]
    placebo = [r for r in rows if r.condition is Condition.PLACEBO]
    types = sorted({r.hint_type for r in hinted})
    clean_by, hinted_by, placebo_by = _by_problem(clean), _by_problem(hinted), _by_problem(placebo)
    paired = [p for p in clean_by if hinted_by.get(p)]
    gaps = [_mean(clean_by[p]) - _mean(hinted_by[p]) for p in paired]
    was_right = {r.problem_id: _right(r) for r in clean}
    suggesting = [r for r in hinted if r.follows is not None]
    return {
        "clean": asdict(_rate_of(clean)),
        "hinted": asdict(_rate_of(hinted)),
        "placebo": asdict(_rate_of(placebo)),
        "by_type": {t: asdict(_rate_of(r for r in hinted if r.hint_type == t)) for t in types},
        "by_family": {
            f: {
                "clean": asdict(_rate_of(r for r in clean if r.family == f)),
                "hinted": asdict(_rate_of(r for r in hinted if r.family == f)),
            }
            for f in sorted({r.family for r in rows})
        },
        "gap": asdict(paired_bootstrap(gaps, seed=seed)) if gaps else None,
        "worst_of_k": asdict(rate(all(hinted_by[p]) for p in paired)),
        "placebo_worst_of_k": asdict(rate(all(v) for v in placebo_by.values())),
        "flips": {
            "harmful": sum(was_right.get(r.problem_id, False) and not _right(r) for r in hinted),
            "helpful": sum(not was_right.get(r.problem_id, True) and _right(r) for r in hinted),
        },
        "follow_rate": _mean([bool(r.follows) for r in suggesting]) if suggesting else None,
        "unparsable_rate": _mean([r.outcome is Outcome.UNPARSABLE for r in rows]) if rows else None,
        "truncated_rate": _mean([r.truncated for r in rows]) if rows else None,
    }


@dataclass(frozen=True, slots=True)
class Change:
    """After − before on the same items: the paired difference, and McNemar's p, rollouts of one problem together."""

    condition: Condition
    before: Rate
    after: Rate
    difference: Interval
    p_value: float


def compare(before: Sequence[EvalRow], after: Sequence[EvalRow], condition: Condition, *, seed: int = 0) -> Change:
    """The paired change of one condition. Both evaluations must be of the same suite, or it is a ValueError."""
    first = {(r.problem_id, r.index): _right(r) for r in before if r.condition is condition}
    second = {(r.problem_id, r.index): _right(r) for r in after if r.condition is condition}
    if first.keys() != second.keys():
        raise ValueError("the two evaluations are not of the same suite")
    by_problem: dict[str, list[int]] = defaultdict(list)
    for key, value in first.items():
        by_problem[key[0]].append(int(second[key]) - int(value))
    names = [problem for problem, _ in first]
    return Change(
        condition,
        rate(first.values(), names),
        rate(second.values(), names),
        paired_bootstrap([sum(d) / len(d) for d in by_problem.values()], seed=seed),
        _p_value(list(by_problem.values())),
    )


def _p_value(changes: Sequence[Sequence[int]]) -> float:
    """McNemar's test of each problem's changes (−1, 0, 1 a rollout): exact where a problem has one rollout."""
    lost = [sum(c < 0 for c in problem) for problem in changes]
    won = [sum(c > 0 for c in problem) for problem in changes]
    return mcnemar(lost, won, single=all(len(problem) == 1 for problem in changes))


def metrics_of(cells: OutcomeArrays, target: str, suite: str) -> dict[str, Any]:
    """The layout of `summarise` for one target on one suite, and `details`: every figure of `figures.Summary`."""
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


def _rate_fields(found: Accuracy | None) -> dict[str, Any]:
    if found is None:
        return asdict(rate([]))
    return asdict(Rate(found.right, found.rows, found.interval.mean, found.interval.low, found.interval.high))


def _share_fields(found: Interval | None, problems: int) -> dict[str, Any]:
    if found is None:
        return asdict(rate([]))
    return asdict(Rate(round(found.mean * problems), problems, found.mean, found.low, found.high))


def _family_fields(cells: OutcomeArrays, family: str) -> dict[str, Any]:
    found = {a.condition: a for a in accuracies(cells.where(families=[family])) if a.hint_type is None}
    return {str(c): _rate_fields(found.get(c)) for c in (Condition.CLEAN, Condition.HINTED)}
