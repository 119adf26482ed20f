"""A track as figures a checkpoint, and those as curves and tables. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seirenes_app.lab.robustness.figure_cache import figures_of
from seirenes_app.lab.robustness.figures import Figures, count_figures, slice_of
from seirenes_app.lab.robustness.sources import Source
from seirenes_app.lab.robustness.values import Basis, Curve, DataTable, Point, TraceRef, Track, Value
from training.core.types import PerturbationType
from training.evaluation.blocks import blocks

EXACT_UP_TO = 20
"""Checkpoints whose gaps are resampled: some 15 ms each."""
TYPE_WORDS = {t: str(t).replace("_", " ") for t in PerturbationType}


@dataclass(frozen=True, slots=True)
class Measured:
    """One checkpoint's figures. `target` is its name, which labels its points; `label` is short, for sentences."""

    x: int
    target: str
    label: str
    basis: Basis
    figures: Figures


def is_exact(track: Track) -> bool:
    """Whether gaps and effects are resampled, rather than in closed form."""
    return len(track.targets) <= EXACT_UP_TO


def short_label(track: Track, x: int, target: str) -> str:
    """'step 20' on a track of steps, else the name."""
    return f"step {x}" if track.by_step else target


def measure(source: Source, track: Track) -> tuple[Measured, ...]:
    """Every checkpoint of a track that has figures, from left to right."""
    mine = source.cells.where(suite=track.suite)
    by_target = figures_of(source.root, blocks(mine), exact=is_exact(track))
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
            Point(m.x, m.target, figure.value, figure.problems, figure.rows, m.basis, p_value, traces)
        )  # fmt: skip
    return Curve(name or key, label, tuple(points), beside)


def _ref(root: Path, target: str, suite: str, key: str) -> TraceRef:
    condition, hint_type = slice_of(key)
    return TraceRef(root, target, suite, condition, hint_type)


def filled(curves: Iterable[Curve]) -> tuple[Curve, ...]:
    """Those that have points."""
    return tuple(c for c in curves if c.points)


COLUMNS = ("checkpoint", "what", "value", "low", "high", "p", "problems", "rows", "from")


def table_of(curves: Iterable[Curve], x_label: str) -> DataTable:
    """One row a point, in the order of the axis."""
    rows: list[tuple[Value, ...]] = [
        (p.x, p.label, c.label, p.value.mean, p.value.low, p.value.high, p.p_value, p.problems, p.rows, str(p.basis))
        for c in curves
        for p in c.points
    ]
    places = {c.label: i for i, c in enumerate(curves)}
    rows.sort(key=lambda r: (r[0], places[str(r[2])]))
    return DataTable((x_label, *COLUMNS), tuple(rows))
