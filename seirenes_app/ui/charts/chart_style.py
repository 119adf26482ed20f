"""How a panel's curves look: colour, dash, marker, hatch by what a curve is. Pure: panels in, lines out.

Colour is never the only sign: of two curves in one chart, dash and marker, or hatch, differ too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from seirenes_app.services.robustness.types import Basis, Curve, Panel, Point, Unit
from seirenes_app.ui.charts.drawing import Line
from seirenes_app.ui.pages.train.charts import TYPE_INKS

FEW = 12
"""Up to that many points a curve has marks and error bars, beyond it a band."""

SHIFT = 0.011
"""Of the axis: how far apart two marks of one place stand at most."""

Ink = tuple[str, str, str]
"""Colour, dash, marker."""

KNOWN: dict[str, Ink] = {
    "clean": ("clean", "-", "o"), "hinted": ("hinted", "-", "s"), "placebo": ("placebo", "--", "^"),
    "templates:seen": ("accent", "--", "o"), "templates:unseen": ("accent", "-", "s"),
    "types:seen": ("adversary", "--", "^"), "types:unseen": ("adversary", "-", "D"),
    **{f"type:{type_}": ink for type_, ink in TYPE_INKS.items()},
}  # fmt: skip
OTHERS: tuple[Ink, ...] = (
    ("#1a63a8/#74b9ff", "-", "o"), ("#a84a06/#ffb26b", "--", "s"), ("#14703f/#63cf95", "-.", "^"),
    ("#83369c/#d9a3f2", ":", "D"), ("#57636f/#a3b0bd", "-", "D"), ("#a3195b/#ff9cc7", "--", "o"),
    ("#5c6b00/#c9d65a", "-.", "s"), ("#0f6f6b/#5cd0c4", ":", "^"),
)  # fmt: skip
"""For curves that are runs or models, in their order."""

PARTS: dict[str, tuple[str, str]] = {
    "harmful": ("bad", "////"), "helpful": ("good", "...."), "right": ("clean", ""), "wrong": ("placebo", "----"),
}  # fmt: skip
"""Colour and hatch of the parts of a whole."""
OTHER_PARTS = (("clean", ""), ("bad", "////"), ("good", "...."), ("placebo", "----"), ("adversary", "xxxx"))


@dataclass(frozen=True)
class Drawn:
    """A panel ready to draw: `lines[i]` is `curves[i]`. Values of a difference are in points."""

    curves: tuple[Curve, ...]
    lines: tuple[Line, ...]
    unit: Unit
    stacked: bool
    bars: bool
    x_label: str
    ticks: tuple[tuple[int, str], ...]
    """Names on the axis where it is no scale; empty where it is."""

    def point(self, curve: int, x: float) -> Point | None:
        """The point of a curve at x; None where it has none."""
        if not 0 <= curve < len(self.curves):
            return None
        return next((p for p in self.curves[curve].points if p.x == x), None)

    def shift(self, curve: int) -> float:
        """How far a curve's marks stand beside their place, so that error bars do not hide each other."""
        if self.stacked or len(self.lines) < 2 or not self.lines[curve].points:
            return 0.0
        places = sorted({x for line in self.lines for x in line.x})
        step = min((b - a for a, b in zip(places, places[1:], strict=False)), default=1.0)
        apart = min(step * 0.12, (places[-1] - places[0]) * SHIFT or step * 0.12)
        return (curve - (len(self.lines) - 1) / 2) * apart

    def hollow(self, curve: int) -> list[int]:
        """Places of the points of a curve of which only totals are left."""
        return [i for i, p in enumerate(self.curves[curve].points) if p.basis is Basis.COUNTS]

    def label(self, x: float) -> str:
        """What a place on the axis is called."""
        return next((text for place, text in self.ticks if place == x), f"{self.x_label} {x:.0f}")


TYPE = "type:"
"""How the keys of curves of one type of hint begin."""


class Pick(StrEnum):
    """Which curves of a panel a card shows."""

    ALL = "all"
    MAIN = "main"
    """All but the single types of hint."""
    TYPES = "types"
    """The single types of hint, and no other."""


def has_types(panel: Panel) -> bool:
    """Whether there are both single types and something else to show."""
    found = {c.key.startswith(TYPE) for c in panel.curves if c.points}
    return len(found) == 2


def make_drawn(panel: Panel, *, by_step: bool, pick: Pick = Pick.ALL) -> Drawn:
    """The panel's curves, or the picked ones, as lines."""
    wanted = {Pick.ALL: (True, False), Pick.MAIN: (False,), Pick.TYPES: (True,)}[pick]
    curves = tuple(c for c in panel.curves if c.points and c.key.startswith(TYPE) in wanted)
    places = {p.x: p.label for c in curves for p in c.points}
    lines = _stack(curves) if panel.stacked else tuple(_line(c, i, panel.unit, by_step) for i, c in enumerate(curves))
    ticks = () if by_step else tuple(sorted(places.items()))
    return Drawn(
        curves, lines, panel.unit, panel.stacked, panel.stacked and len(places) <= FEW, panel.x_label, ticks
    )  # fmt: skip


def scale(unit: Unit) -> float:
    """What a share is multiplied with on the axis."""
    return 100.0 if unit is Unit.DIFFERENCE else 1.0


def _line(curve: Curve, place: int, unit: Unit, by_step: bool) -> Line:
    colour, dash, marker = (
        KNOWN.get(curve.key) or KNOWN.get(curve.key.rpartition("/")[2]) or OTHERS[place % len(OTHERS)]
    )
    times, points = scale(unit), curve.points
    few = len(points) <= FEW
    return Line(
        curve.label, colour, [float(p.x) for p in points], [times * p.value.mean for p in points],
        [times * p.value.low for p in points], [times * p.value.high for p in points],
        style=dash if by_step else "none", marker=marker if few else "", points=few,
        width=1.2 if curve.beside else 1.8, alpha=0.85 if curve.beside else 1.0,
    )  # fmt: skip


def _stack(curves: tuple[Curve, ...]) -> tuple[Line, ...]:
    lines: list[Line] = []
    bases: dict[int, float] = {}
    for i, curve in enumerate(curves):
        colour, hatch = PARTS.get(curve.key.partition("/")[0]) or OTHER_PARTS[i % len(OTHER_PARTS)]
        x = [float(p.x) for p in curve.points]
        y = [p.value.mean for p in curve.points]
        base = tuple(bases.get(p.x, 0.0) for p in curve.points)
        for p in curve.points:
            bases[p.x] = bases.get(p.x, 0.0) + p.value.mean
        lines.append(Line(curve.label, colour, x, y, base=base, hatch=hatch))
    return tuple(lines)


def say_value(value: float, unit: Unit) -> str:
    """A share as percent, a difference in points with its sign. `value` is from 0 to 1."""
    return f"{100 * value:+.1f}".replace("-", "−") if unit is Unit.DIFFERENCE else f"{100 * value:.0f}%"


def say_interval(point: Point, unit: Unit) -> str:
    """ "[62, 71]"."""
    digits = 1 if unit is Unit.DIFFERENCE else 0
    return f"[{100 * point.value.low:.{digits}f}, {100 * point.value.high:.{digits}f}]".replace("-", "−")


def say_point(drawn: Drawn, curve: int, x: float) -> str:
    """A point in words, for whoever cannot see it."""
    point = drawn.point(curve, x)
    if point is None:
        return ""
    points = " points" if drawn.unit is Unit.DIFFERENCE else ""
    return (
        f"{drawn.curves[curve].label}, {drawn.label(x)}: {say_value(point.value.mean, drawn.unit)}{points} "
        f"{say_interval(point, drawn.unit)}, {point.problems} problems"
    )  # fmt: skip


def say_types(panel: Panel) -> str:
    """The newest values of the single types, from the hardest on: nothing is reckoned anew."""
    newest = [(c.label, c.points[-1]) for c in panel.curves if c.key.startswith(TYPE) and c.points]
    if not newest:
        return ""
    point = newest[0][1]
    where = f"step {point.x}" if panel.x_label == "step" else point.label
    newest.sort(key=lambda pair: pair[1].value.mean)
    told = ", ".join(
        f"{name} {say_value(p.value.mean, panel.unit)} {say_interval(p, panel.unit)}" for name, p in newest
    )
    return f"At {where}, hardest first: {told}. Intervals that overlap do not tell types apart."
