"""All figures of one checkpoint on one suite, by key: from its outcomes, or from totals where its rows are gone. Totals
count each problem once, which makes intervals too wide rather than too narrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from training.core.statistics import Interval, difference_limits, score_limits, t_quantile, wilson
from training.core.types import Condition, HintType
from training.evaluation.metric_types import UnreadShares
from training.evaluation.metrics import summarise_block
from training.evaluation.outcome_arrays import Block

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
    unread: UnreadShares | None = None
    """Of an accuracy: the shares of its answers that are neither right nor wrong."""


Figures = dict[str, Figure]


def slice_key(condition: Condition, hint_type: HintType | None = None) -> str:
    """'clean', 'hinted', 'placebo', 'needed' or 'type:NAME': the key of an accuracy, and the end of keys of pairs."""
    return f"type:{hint_type}" if hint_type is not None else str(condition)


def slice_of(key: str) -> tuple[Condition, HintType | None]:
    name = key.rpartition("/")[2]
    if name.startswith("type:"):
        return Condition.HINTED, HintType(name.removeprefix("type:"))
    return Condition(name), None


# ---------------------------------------------------------------------- from rows


def block_figures(block: Block, *, exact: bool = True) -> Figures:
    """Accuracies (`slice_key`), follow rates 'follow/…', gaps 'gap/…'; flips 'harmful/…', 'helpful/…', 'right/…',
    'wrong/…' and drop rates 'drop/…', of all hints and of the placebo; worst-of-k 'worst/hinted', 'worst/placebo',
    'worst/clean' and its effects 'effect/placebo', 'effect/clean'. `exact`: see `metrics`."""
    summary = summarise_block(block, exact=exact)
    found: Figures = {}
    for a in summary.accuracies:
        key = slice_key(a.condition, a.hint_type)
        found[key] = Figure(a.interval, a.problems, a.rows, unread=a.unread)
        if a.follow is not None:
            found[f"follow/{key}"] = Figure(a.follow, a.suggesting_problems, a.suggesting)
    for gap in summary.gaps:
        key, flips = slice_key(gap.condition, gap.hint_type), gap.flips
        found[f"gap/{key}"] = Figure(gap.gap, gap.problems, flips.pairs, gap.p_value)
        if gap.hint_type is None:
            shares = {
                "harmful": flips.harmful, "helpful": flips.helpful, "right": flips.both_right,
                "wrong": flips.both_wrong, "drop": gap.drop_rate,
            }  # fmt: skip
            found |= {f"{n}/{key}": Figure(v, gap.problems, flips.pairs) for n, v in shares.items() if v is not None}
    if (worst := summary.worst) is not None:
        found["worst/hinted"] = Figure(worst.hinted, worst.problems, worst.problems)
        sides = (("placebo", worst.neutral, worst.against_neutral), ("clean", worst.resampled, worst.against_resampled))
        for name, share, effect in sides:
            if share is not None and effect is not None:
                found[f"worst/{name}"] = Figure(share, effect.problems, effect.problems)
                found[f"effect/{name}"] = Figure(effect.difference, effect.problems, effect.problems, effect.p_value)
    return found


# ---------------------------------------------------------------------- from totals


def count_figures(metrics: Mapping[str, Any]) -> Figures:
    """The same keys out of an `eval` event's metrics, as far as totals go; a total that is missing gives no key."""
    found: Figures = {}
    problems = max(0, int(number_at(metrics, "clean", "n") or 0))
    names: dict[str, tuple[str, ...]] = {str(c): (str(c),) for c in Condition}
    names |= {f"type:{t}": ("by_type", str(t)) for t in HintType}
    for key, path in names.items():
        if (counted := _counted(metrics, *path)) is not None:
            limits = number_at(metrics, *path, "low"), number_at(metrics, *path, "high")
            unread = UnreadShares.of_rate(_at(metrics, *path))
            found[key] = replace(_rate(*counted, problems, limits), unread=unread)
    for key, name in (("worst/hinted", "worst_of_k"), ("worst/placebo", "placebo_worst_of_k")):
        if (counted := _counted(metrics, name)) is not None:
            right, n = map(round, counted)
            found[key] = Figure(wilson(right, n), n, n)
    if {"worst/hinted", "worst/placebo"} <= found.keys():
        first, second = found["worst/placebo"], found["worst/hinted"]
        found["effect/placebo"] = Figure(difference_limits(first.value, second.value), second.problems, second.rows)
    return found | dict(_paired_totals(metrics, found, problems))


def _paired_totals(metrics: Mapping[str, Any], found: Figures, problems: int) -> Iterator[tuple[str, Figure]]:
    limits = [number_at(metrics, "gap", name) for name in ("mean", "low", "high")]
    hinted = found.get("hinted")
    if hinted is None:
        return
    if None not in limits:
        yield "gap/hinted", Figure(Interval(*(float(x or 0.0) for x in limits)), problems, hinted.rows)
    if any(f.unread is not None and f.unread.mostly for f in found.values()):
        return
    if "clean" in found and (rate := drop_rate(found["clean"].value, hinted.value)) is not None:
        yield "drop/hinted", Figure(rate, problems, hinted.rows)
    flipped = [number_at(metrics, "flips", name) for name in ("harmful", "helpful")]
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
    right, n = number_at(metrics, *path, "right"), number_at(metrics, *path, "n")
    return (right, n) if right is not None and n is not None and 0 <= right <= n and n >= 1 else None


def _at(metrics: Mapping[str, Any], *path: str) -> Any:
    found: Any = metrics
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def number_at(metrics: Mapping[str, Any], *path: str) -> float | None:
    found = _at(metrics, *path)
    if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) <= _LARGEST:
        return None
    return float(found)


# ---------------------------------------------------------------------- from two others


def drop_rate(clean: Interval, shown: Interval) -> Interval | None:
    """PDR = 1 − shown / clean, with wide limits that hold in any case. None where clean is not distinguished from 0."""
    if clean.mean <= 0 or clean.low <= 0:
        return None
    return Interval(1 - shown.mean / clean.mean, 1 - shown.high / clean.low, 1 - shown.low / clean.high)
