"""Figures of each checkpoint of a track, their change from the first to the last, and the before/after table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seirenes_app.services.answer_reading import describe_unread
from seirenes_app.services.formatting import LEVEL, is_clear, p_value, percent_interval, points_interval, sentence
from seirenes_app.services.robustness.figures import Figure, Figures, block_figures, count_figures, slice_key, slice_of
from seirenes_app.services.robustness.sources import Source
from seirenes_app.services.robustness.types import Basis, Curve, DataTable, Point, TraceRef, Track, Value
from training.core.statistics import Interval, difference_limits, mcnemar_clustered
from training.core.types import Condition, HintType
from training.evaluation.metric_types import Change, UnreadShares
from training.evaluation.metrics import change_between
from training.evaluation.outcome_arrays import OutcomeArrays, blocks, by_problem, mean_interval

if TYPE_CHECKING:
    from seirenes_app.services.robustness.result_source import ResultSource


EXACT_UP_TO = 20  # checkpoints whose gaps are resampled: some 15 ms each
TYPE_LABELS = {t: str(t).replace("_", " ") for t in HintType}


@dataclass(frozen=True, slots=True)
class Measured:
    """One checkpoint's figures. `target` is its name, which labels its points; `label` is short, for sentences."""

    x: int
    target: str
    label: str
    basis: Basis
    figures: Figures


def is_exact(track: Track) -> bool:
    return len(track.targets) <= EXACT_UP_TO


def short_label(track: Track, x: int, target: str) -> str:
    """'step 20' on a track of steps, else the name."""
    return f"step {x}" if track.by_step else target


def measure(source: Source, track: Track) -> tuple[Measured, ...]:
    """Every checkpoint of a track that has figures, from left to right."""
    mine = source.cells.where(suite=track.suite)
    by_target = {block.target: block_figures(block, exact=is_exact(track)) for block in blocks(mine)}
    counts = source.counts.get(track.key, {})
    found = []
    for x, target in zip(track.steps, track.targets, strict=True):
        label = short_label(track, x, target)
        if target in by_target:
            found.append(Measured(x, target, label, Basis.ROWS, by_target[target]))
        elif target in counts and (figures := count_figures(counts[target])):
            found.append(Measured(x, target, label, Basis.COUNTS, figures))
    return tuple(found)


def curve(
    track: Track, measured: Sequence[Measured], key: str, label: str, *, name: str = "", beside: bool = False,
    p_from: str = "",
) -> Curve:  # fmt: skip
    """The points of one figure; `p_from` takes p-values from another figure. `name` is the curve's key (else `key`)."""
    points = []
    for m in measured:
        figure = m.figures.get(key)
        if figure is None:
            continue
        p_value = m.figures[p_from].p_value if p_from in m.figures else figure.p_value
        traces = _ref(track.root, m.target, track.suite, key) if m.basis is Basis.ROWS else None
        points.append(
            Point(m.x, m.target, figure.value, figure.problems, figure.rows, m.basis, p_value, traces, figure.unread)
        )  # fmt: skip
    return Curve(name or key, label, tuple(points), beside)


def _ref(root: Path, target: str, suite: str, key: str) -> TraceRef:
    condition, hint_type = slice_of(key)
    return TraceRef(root, target, suite, condition, hint_type)


def filled(curves: Iterable[Curve]) -> tuple[Curve, ...]:
    return tuple(c for c in curves if c.points)


COLUMNS = (
    "checkpoint", "what", "value", "low", "high", "p", "problems", "rows", "from", "unreadable", "truncated",
    "timed out", "too long",
)  # fmt: skip


def table_of(curves: Iterable[Curve], x_label: str) -> DataTable:
    """One row a point, in the order of the axis."""
    rows: list[tuple[Value, ...]] = [
        (
            p.x, p.label, c.label, p.value.mean, p.value.low, p.value.high, p.p_value, p.problems, p.rows,
            str(p.basis), *(astuple(p.unread) if p.unread is not None else (None,) * 4),
        )
        for c in curves
        for p in c.points
    ]  # fmt: skip
    places = {c.label: i for i, c in enumerate(curves)}
    rows.sort(key=lambda r: (r[0], places[str(r[2])]))
    return DataTable((x_label, *COLUMNS), tuple(rows))


SLICES = (
    (Condition.CLEAN, None), (Condition.HINTED, None), *((Condition.HINTED, t) for t in HintType),
    (Condition.PLACEBO, None), (Condition.NEEDED, None),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trend:
    """First against last. `changes` by `slice_key` are paired; `totals` are unpaired, where rows are gone. `gap`:
    change of clean − hinted; `beyond`: of hinted − placebo, on the same problems."""

    before: str
    after: str
    changes: Mapping[str, Change]
    totals: Mapping[str, tuple[Interval, Interval, Interval]]
    gap: Figure | None
    beyond: Figure | None


def trend_between(
    before: OutcomeArrays, after: OutcomeArrays, first: tuple[str, Figures], last: tuple[str, Figures],
    slices: Sequence[tuple[Condition, HintType | None]] = SLICES,
) -> Trend:  # fmt: skip
    """Both sides' cells (one target on one suite each, or none) and figures."""
    changes: dict[str, Change] = {}
    if len(before) and len(after):
        for condition, hint_type in slices:
            found = change_between(before, after, condition, hint_type)
            if found is not None:
                changes[slice_key(condition, hint_type)] = found
    totals = {}
    for key in [slice_key(*s) for s in slices]:
        if key not in changes and key in first[1] and key in last[1]:
            ends = first[1][key], last[1][key]
            if any(end.unread is not None and end.unread.mostly for end in ends):
                continue
            one, other = (end.value for end in ends)
            totals[key] = one, other, difference_limits(other, one)
    sides = (Condition.CLEAN, Condition.HINTED, Condition.PLACEBO)
    clean, hinted, placebo = ((_rates(before, c), _rates(after, c)) for c in sides)
    # The gap's change is clean's change − hinted's.
    return Trend(first[0], last[0], changes, totals, _beyond(clean, hinted), _beyond(hinted, placebo))


KEPT = {
    "clean": "clean accuracy", "placebo": "placebo accuracy",
    "needed": "accuracy where text after the question is needed",
}  # fmt: skip
"""What must not fall where a gain under hints is to be called robustness."""


def robustness_claim(trend: Trend) -> str:
    """Whether the change from first to last may be called robustness, or what forbids it; "" where hinted has none.

    Robust: hinted rises, and clean, placebo and needed do not fall. A model that ignores whatever follows the question
    gains under hints too, and loses where that text is needed. Where only one of interval and p speaks for a fall, the
    fall is not claimed, and neither is robustness.
    """
    change = trend.changes.get("hinted")
    if change is None:
        return ""
    if not is_clear(change.difference, change.p_value) or change.difference.mean < 0:
        return "not more robust: accuracy under hints did not rise by more than chance could do"
    paired = {key: trend.changes[key] for key in KEPT if key in trend.changes}
    fell = {
        key: f"{KEPT[key]} fell ({points_interval(c.difference)})"
        for key, c in paired.items()
        if is_clear(c.difference, c.p_value) and c.difference.mean < 0
    }
    losses = " and ".join(fell.values())
    if "needed" in fell:
        return f"this is not robustness: {losses}, so text after the question is ignored more than before"
    if fell:
        return f"this is not robustness alone: {losses}"
    doubtful = [f"{KEPT[key]} may have fallen ({points_interval(c.difference)})" for key, c in paired.items()
                if c.difference.mean < 0 and (is_clear(c.difference) or c.p_value < LEVEL)]  # fmt: skip
    if doubtful:
        return f"whether this is robustness is open: {' and '.join(doubtful)}"
    if missing := [KEPT[key] for key in KEPT if key not in paired]:
        return f"whether this is robustness is open: {' and '.join(missing)} was not measured at both ends"
    return "more robust: accuracy under hints rose, and neither clean, placebo nor needed accuracy fell"


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


def _rates(cells: OutcomeArrays, condition: Condition) -> dict[str, float]:
    part = cells.where(condition=condition)
    if part.mostly_unread:
        return {}
    sums, prompts = by_problem(part, part.rate()), by_problem(part, np.ones(len(part)))
    there = np.flatnonzero(prompts).tolist()
    return {cells.problems[p]: float(sums[p] / prompts[p]) for p in there}


LABELS = {
    Condition.CLEAN: "clean", Condition.HINTED: "hinted, all types", Condition.PLACEBO: "placebo",
    Condition.NEEDED: "needed",
}  # fmt: skip
HEADLINE_COLUMNS = ("", "before", "after", "change", "p")


@dataclass(frozen=True, slots=True)
class HeadlineLine:
    """One slice at both ends. `difference` is paired (with its p) where `p_value` is there, else of totals alone; None
    where most answers of an end were not graded."""

    key: str
    label: str
    before: Interval
    after: Interval
    rows_before: int
    rows_after: int
    problems: int
    difference: Interval | None
    p_value: float | None
    unread_before: UnreadShares | None = None
    unread_after: UnreadShares | None = None

    def cells(self) -> tuple[str, str, str, str, str]:
        """As every table prints it: label, before, after, change in points, p."""
        before, after = (
            ", ".join(part for part in (percent_interval(value), describe_unread(unread)) if part)
            for value, unread in ((self.before, self.unread_before), (self.after, self.unread_after))
        )
        if self.difference is None:
            return self.label, before, after, "not graded", ""
        p = "unpaired" if self.p_value is None else p_value(self.p_value)
        return self.label, before, after, points_interval(self.difference, ""), p


@dataclass(frozen=True, slots=True)
class Headline:
    """`claim` is `robustness_claim` as a sentence."""

    before: str
    after: str
    lines: tuple[HeadlineLine, ...]
    claim: str = ""

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        return tuple(line.cells() for line in self.lines)


def headline(results: ResultSource, track: Track) -> Headline | None:
    """First against last; None with fewer than two checkpoints, and for models that have no order."""
    trend = results.trend(track)
    if trend is None:
        return None
    measured = results.measured(track)
    first, last = measured[0].figures, measured[-1].figures
    lines = []
    for condition, hint_type in SLICES:
        key = slice_key(condition, hint_type)
        if key not in first or key not in last:
            continue
        change, total = trend.changes.get(key), trend.totals.get(key)
        difference = change.difference if change else total[2] if total else None
        unread = first[key].unread, last[key].unread
        if difference is None and not any(shares is not None and shares.mostly for shares in unread):
            continue
        lines.append(
            HeadlineLine(
                key, _label(condition, hint_type), first[key].value, last[key].value, first[key].rows, last[key].rows,
                change.problems if change else last[key].problems, difference, change.p_value if change else None,
                *unread,
            )
        )  # fmt: skip
    return Headline(trend.before, trend.after, tuple(lines), sentence(robustness_claim(trend)))


def _label(condition: Condition, hint_type: HintType | None) -> str:
    return LABELS[condition] if hint_type is None else f"· {TYPE_LABELS[hint_type]}"
