"""All figures of one checkpoint on one suite, by key: from its cells, or from totals where its rows are gone. Pure.

Gaps and effects have the bootstrap's interval, as everywhere; over hundreds of checkpoints the closed form's in its
place (cluster-robust t), which is close to it on some hundred problems and takes no time. From totals alone nothing is
known of how a problem's hints go together: then each problem counts once, which makes an interval too wide rather than
too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training.core.statistics import Interval, mcnemar, pdr, wilson
from training.core.statistics.distributions import t_quantile
from training.core.statistics.intervals import difference_limits, score_limits
from training.core.types import Condition, HintType
from training.evaluation.metrics import worst_of_k
from training.evaluation.outcome_arrays import OutcomeArrays
from training.evaluation.paired_metrics import block_gaps
from training.evaluation.problem_blocks import Block, Floats, mean_interval, share_interval, slices

_QUANTILE = 1.959963984540054
_WHOLE = 1e-9
_LARGEST = 1e15
"""Whole numbers beyond are not exact as floats, and no count of rows; infinities and what is no number fail it too."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its interval, the problems and rows (or pairs) it is over, and p of "no difference" for one."""

    value: Interval
    problems: int
    rows: int
    p_value: float | None = None


Figures = dict[str, Figure]


def slice_key(condition: Condition, hint_type: HintType | None = None) -> str:
    """'clean', 'hinted', 'placebo' or 'type:NAME': the key of an accuracy, and the end of keys of pairs."""
    return f"type:{hint_type}" if hint_type is not None else str(condition)


def slice_of(key: str) -> tuple[Condition, HintType | None]:
    """The slice of such a key."""
    name = key.rpartition("/")[2]
    if name.startswith("type:"):
        return Condition.HINTED, HintType(name.removeprefix("type:"))
    return Condition(name), None


# ---------------------------------------------------------------------- from rows


def block_figures(block: Block, *, exact: bool = True) -> Figures:
    """Accuracies (`slice_key`), follow rates 'follow/…', gaps 'gap/…'; flips 'harmful/…', 'helpful/…', 'right/…',
    'wrong/…' and drop rates 'drop/…', of all hints and of the placebo; worst-of-k 'worst/hinted', 'worst/placebo',
    'worst/clean' and its effects 'effect/placebo', 'effect/clean'. Not `exact`: in closed form alone."""
    found: Figures = {}
    data = block.cells.data
    single = bool((data["samples"] == 1).all())
    columns = (data["samples"], data["right"], data["suggesting"], data["follows"], block.cells.rate())
    tables = block.tables(*columns, np.ones(len(block.cells)))
    for condition, hint_type in slices(block):
        key = slice_key(condition, hint_type)
        samples, right, suggesting, follows, rates, prompts = (t.of(condition, hint_type) for t in tables)
        found[key] = _share(right, samples)
        if suggesting.any():
            found[f"follow/{key}"] = _share(follows, suggesting)
        if condition is not Condition.CLEAN:
            pairs = _pair_figures(block.clean, rates, prompts, single, flips=hint_type is None)
            found |= {f"{name}/{key}": f for name, f in pairs}
            if hint_type is None and (rate := _drop_rate(block.clean, rates, prompts)) is not None:
                found[f"drop/{key}"] = rate
    found |= dict(_worst(block))
    return found | dict(_resampled_figures(block, found)) if exact else found


def _resampled_figures(block: Block, found: Figures) -> Iterator[tuple[str, Figure]]:
    """Gaps and effects again, with the intervals of `training.evaluation.metrics`."""
    for gap in block_gaps(block, 0):
        key = f"gap/{slice_key(gap.condition, gap.hint_type)}"
        yield key, replace(found[key], value=gap.gap)
    for worst in worst_of_k(block.cells):
        for key, against in (("effect/placebo", worst.against_neutral), ("effect/clean", worst.against_resampled)):
            if against is not None:
                yield key, replace(found[key], value=against.difference, p_value=against.p_value)


def _share(right_P: Floats, rows_P: Floats) -> Figure:
    interval, _ = share_interval(right_P, rows_P)
    return Figure(interval, int(np.count_nonzero(rows_P)), round(float(rows_P.sum())))


def _pair_figures(
    clean_P: Floats, rates_P: Floats, prompts_P: Floats, single: bool, *, flips: bool
) -> Iterator[tuple[str, Figure]]:
    """Clean against shown, a problem being its clean accuracy and the sum of its prompts' rates."""
    there = np.isfinite(clean_P) & (prompts_P > 0)
    if not there.any():
        return
    clean, rates, prompts = clean_P[there], rates_P[there], prompts_P[there]
    problems, pairs = len(clean), round(float(prompts.sum()))
    lost, won = clean * (prompts - rates), (1 - clean) * rates
    p_value = mcnemar(lost.tolist(), won.tolist(), single=single and bool((prompts == 1).all()))
    yield "gap", Figure(mean_interval(clean * prompts - rates, prompts), problems, pairs, p_value)
    if not flips:
        return
    both, neither = clean * rates, (1 - clean) * (prompts - rates)
    for name, sums in (("harmful", lost), ("helpful", won), ("right", both), ("wrong", neither)):
        yield name, Figure(share_interval(sums, prompts, whole=single)[0], problems, pairs)


def _drop_rate(clean_P: Floats, rates_P: Floats, prompts_P: Floats) -> Figure | None:
    there = np.isfinite(clean_P) & (prompts_P > 0)
    if not there.any():
        return None
    clean, rates, prompts = clean_P[there], rates_P[there], prompts_P[there].astype(int)
    # Sums a problem are all that counts, so a problem's prompts may share its mean; alike numbers need no clusters.
    alike = int(np.ptp(prompts)) == 0
    repeats = np.ones(len(clean), dtype=int) if alike else prompts
    rows = [np.repeat(np.minimum(v, 1.0), repeats).tolist() for v in (clean, rates / prompts)]
    clusters = None if alike else np.repeat(np.arange(len(clean)), repeats).tolist()
    found = pdr(rows[0], rows[1], clusters)
    return None if found is None else Figure(found, len(clean), int(prompts.sum()))


def _worst(block: Block) -> Iterator[tuple[str, Figure]]:
    hinted, k_P = _all_right(block.cells.where(condition=Condition.HINTED))
    asked = k_P[k_P > 0]
    if not len(asked):
        return
    k = int(np.bincount(asked).argmax())
    whole = k_P == k
    yield "worst/hinted", _share_of(hinted[whole])
    neutral, n_P = _all_right(block.cells.where(condition=Condition.PLACEBO))
    resampled, r_P = _resampled(block.cells.where(condition=Condition.CLEAN), k)
    for name, beside, count_P in (("placebo", neutral, n_P), ("clean", resampled, r_P)):
        both = whole & (count_P == k)
        if both.any():
            yield f"worst/{name}", _share_of(beside[both])
            yield f"effect/{name}", effect(beside[both] - hinted[both])


def _share_of(values: Floats) -> Figure:
    whole = bool(np.isin(values, (0, 1)).all())
    ones = np.ones(len(values))
    return Figure(share_interval(values, ones, whole=whole)[0], len(values), len(values))


def effect(differences: Floats) -> Figure:
    """A mean difference over problems. p is that of sign flips: McNemar's where all sizes are 1, else its limit."""
    lost, won = np.maximum(differences, 0), np.maximum(-differences, 0)
    exact = bool(np.isin(differences, (-1, 0, 1)).all())
    p_value = mcnemar(lost.tolist(), won.tolist(), single=exact)
    return Figure(mean_interval(differences, np.ones(len(differences))), len(differences), len(differences), p_value)


def _all_right(cells: OutcomeArrays) -> tuple[Floats, np.ndarray[Any, np.dtype[np.int64]]]:
    """`[P]` the product of each problem's rates, and how many prompts it has."""
    product, count = np.ones(len(cells.problems)), np.zeros(len(cells.problems), dtype=np.int64)
    np.multiply.at(product, cells.problem, cells.rate())
    np.add.at(count, cells.problem, 1)
    return product, count


def _resampled(clean: OutcomeArrays, k: int) -> tuple[Floats, np.ndarray[Any, np.dtype[np.int64]]]:
    """`[P]` the product of k clean outcomes, the samples dealt to k places; 0 outcomes with fewer samples than k."""
    n = len(clean.problems)
    product, count = np.ones(n), np.zeros(n, dtype=np.int64)
    samples = clean.data["samples"].astype(np.int64)
    enough = (samples >= k) & (k > 1)
    if not enough.any():
        return product, count
    problem, bits, samples = clean.problem[enough], clean.data["bits"][enough], samples[enough]
    places = np.arange(int(samples.max()))
    right = (bits[:, None] >> places.astype(np.uint64) & np.uint64(1)).astype(float)
    there = places[None, :] < samples[:, None]
    for place in range(k):
        mine = there & (places % k == place)[None, :]
        product[problem] *= (right * mine).sum(1) / mine.sum(1)
    count[problem] = k
    return product, count


# ---------------------------------------------------------------------- from totals


def count_figures(metrics: Mapping[str, Any]) -> Figures:
    """The same keys out of an `eval` event's metrics, as far as totals tell; a total that is missing gives no key."""
    found: Figures = {}
    problems = max(0, int(_number(metrics, "clean", "n") or 0))
    names: dict[str, tuple[str, ...]] = {str(c): (str(c),) for c in Condition}
    names |= {f"type:{t}": ("by_type", str(t)) for t in HintType}
    for key, path in names.items():
        if (counted := _counted(metrics, *path)) is not None:
            limits = _number(metrics, *path, "low"), _number(metrics, *path, "high")
            found[key] = _rate(*counted, problems, limits)
    for key, name in (("worst/hinted", "worst_of_k"), ("worst/placebo", "placebo_worst_of_k")):
        if (counted := _counted(metrics, name)) is not None:
            right, n = map(round, counted)
            found[key] = Figure(wilson(right, n), n, n)
    if {"worst/hinted", "worst/placebo"} <= found.keys():
        first, second = found["worst/placebo"], found["worst/hinted"]
        found["effect/placebo"] = Figure(difference_limits(first.value, second.value), second.problems, second.rows)
    return found | dict(_paired_totals(metrics, found, problems))


def _paired_totals(metrics: Mapping[str, Any], found: Figures, problems: int) -> Iterator[tuple[str, Figure]]:
    limits = [_number(metrics, "gap", name) for name in ("mean", "low", "high")]
    hinted = found.get("hinted")
    if hinted is None:
        return
    if None not in limits:
        yield "gap/hinted", Figure(Interval(*(float(x or 0.0) for x in limits)), problems, hinted.rows)
    if "clean" in found and (rate := drop_rate(found["clean"].value, hinted.value)) is not None:
        yield "drop/hinted", Figure(rate, problems, hinted.rows)
    flipped = [_number(metrics, "flips", name) for name in ("harmful", "helpful")]
    if None in flipped:
        return
    n = hinted.rows
    harmful, helpful = (float(x or 0.0) / n for x in flipped)
    right = max(0.0, hinted.value.mean - helpful)
    shares = {"harmful": harmful, "helpful": helpful, "right": right, "wrong": 1 - right - harmful - helpful}
    for name, share in shares.items():
        if -_WHOLE <= share <= 1 + _WHOLE:
            yield f"{name}/hinted", _total(min(1.0, max(0.0, share)), n, problems)


def _rate(right: float, n: float, problems: int, limits: tuple[float | None, float | None]) -> Figure:
    """A share with the interval that was kept, unless that one took hints of one problem as independent."""
    pooled, (low, high) = wilson(round(right), round(n)), limits
    clustered = low is not None and high is not None and abs(low - pooled.low) + abs(high - pooled.high) > 1e-6
    if n > problems > 0 and clustered:
        return Figure(Interval(right / n, float(low or 0.0), float(high or 0.0)), problems, round(n))
    return _total(right / n, n, problems)


def _total(share: float, n: float, problems: int) -> Figure:
    """A share of n rows of some problems, as sure as if each problem had one row."""
    counted = min(n, problems) if problems else n
    quantile = _QUANTILE if counted == n else t_quantile(0.975, max(1.0, counted - 1))
    return Figure(score_limits(share, counted, quantile), round(counted), round(n))


def _counted(metrics: Mapping[str, Any], *path: str) -> tuple[float, float] | None:
    """So many right of so many; None for what can be no counts."""
    right, n = _number(metrics, *path, "right"), _number(metrics, *path, "n")
    return (right, n) if right is not None and n is not None and 0 <= right <= n and n >= 1 else None


def _number(metrics: Mapping[str, Any], *path: str) -> float | None:
    found: Any = metrics
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) <= _LARGEST:
        return None
    return float(found)


# ---------------------------------------------------------------------- from two others


def drop_rate(clean: Interval, shown: Interval) -> Interval | None:
    """PDR = 1 − shown / clean from two intervals; its limits hold whatever the two have to do with each other, so they
    are wide. None where clean accuracy is not told from 0."""
    if clean.mean <= 0 or clean.low <= 0:
        return None
    return Interval(1 - shown.mean / clean.mean, 1 - shown.high / clean.low, 1 - shown.low / clean.high)
