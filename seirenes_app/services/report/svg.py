"""Draw a panel as inline SVG: sharp at any size, in the page's own colours, nothing to load. Pure.

Every curve has its own mark and dash beside its colour. A hollow mark is a point of totals alone.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from seirenes_app.services.robustness.types import Basis, Chart, Curve, Panel, Point, Unit
from training.core.types import HintType

WIDTH, HEIGHT = 760, 330
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 12, 44
COLOURS = 8
DASHES = ("", "7 3", "2 3", "9 3 2 3", "5 5", "1 4", "12 4", "4 2 1 2")
PLACES = {
    "clean": 0, "hinted": 1, "placebo": 6, "right": 0, "harmful": 1, "helpful": 4, "wrong": 6, "templates:unseen": 1,
    "templates:seen": 6, **{f"type:{t}": 2 + i for i, t in enumerate(HintType)},
}  # fmt: skip
"""What has one look in all charts: its colour, mark and dash."""
_MARKS_UP_TO = 60


@dataclass(frozen=True, slots=True)
class Frame:
    """Where values lie on the paper."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def x(self, value: float) -> float:
        """Across."""
        span = self.high_x - self.low_x
        share = 0.5 if span == 0 else (value - self.low_x) / span
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Up. What lies outside is drawn at the edge."""
        inside = min(self.high_y, max(self.low_y, value))
        return TOP + (self.high_y - inside) / (self.high_y - self.low_y) * (HEIGHT - TOP - BOTTOM)


def draw_panel(panel: Panel, *, lines: bool = True) -> str:
    """The SVG of a panel; empty where it has no curves. `lines` False: models without an order stand apart."""
    if not panel.curves:
        return ""
    frame = frame_of(panel)
    parts = [_grid(frame, panel), _labels(frame, panel, lines)]
    if panel.stacked:
        parts.append(_stack(frame, panel.curves))
    else:
        looks = [_place(c, i) for i, c in enumerate(panel.curves)]
        parts += [_band(frame, c, i, lines) for i, c in zip(looks, panel.curves, strict=True)]
        parts += [_line(frame, c, i, lines) for i, c in zip(looks, panel.curves, strict=True)]
    label = html.escape(f"{panel.title}. {panel.sentence}", quote=True)
    return (
        f'<svg class=chart viewBox="0 0 {WIDTH} {HEIGHT}" role=img aria-label="{label}">{"".join(parts)}</svg>'
        f"<ul class=legend>{''.join(_key(c, _place(c, i), panel.stacked) for i, c in enumerate(panel.curves))}</ul>"
    )


def _place(curve: Curve, number: int) -> int:
    return PLACES.get(curve.key, number % COLOURS)


def frame_of(panel: Panel) -> Frame:
    """Shares from 0 to 1 (or below, where one is); differences as far as they and zero reach."""
    points = [p for c in panel.curves for p in c.points]
    xs = [p.x for p in points]
    lows, highs = [p.value.low for p in points], [p.value.high for p in points]
    if panel.unit is Unit.SHARE:
        low, high = max(-1.0, min(0.0, *lows)), 1.0
        if panel.chart is Chart.FOLLOW_RATE:
            # Rare by nature: on the whole axis it would lie on the floor.
            high = max(0.1, min(1.0, 1.1 * max(highs)))
    else:
        low, high = min(0.0, *lows), max(0.0, *highs)
        pad = 0.05 * max(high - low, 0.02)
        low, high = low - (pad if low < 0 else 0), high + pad
    return Frame(min(xs), max(xs), low, high)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most `most` + 1 round values from low to high: steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    size = next(f * power for f in (1, 2, 5, 10) if f * power >= span / most * (1 - 1e-9))
    return [n * size for n in range(math.ceil(low / size - 1e-9), math.floor(high / size + 1e-9) + 1)]


def _grid(frame: Frame, panel: Panel) -> str:
    parts = []
    for value in ticks(frame.low_y, frame.high_y):
        y = frame.y(value)
        kind = "zero" if abs(value) < 1e-9 else "grid"
        text = f"{100 * value:.0f}".replace("-", "−") + ("%" if panel.unit is Unit.SHARE else "")
        parts.append(f"<line class={kind} x1={LEFT} x2={WIDTH - RIGHT} y1={y:.1f} y2={y:.1f} />")
        parts.append(f"<text x={LEFT - 7} y={y + 4:.1f} text-anchor=end>{text}</text>")
    return "".join(parts)


def _labels(frame: Frame, panel: Panel, lines: bool) -> str:
    bottom = HEIGHT - BOTTOM + 17
    if lines:
        at = [(v, f"{v:g}") for v in ticks(frame.low_x, frame.high_x, 9) if abs(v - round(v)) < 1e-9]
    else:
        names = {p.x: p.label for c in panel.curves for p in c.points}
        at = [(float(x), name if len(name) <= 18 else name[:17] + "…") for x, name in sorted(names.items())]
    parts = [f"<text x={frame.x(v):.1f} y={bottom} text-anchor=middle>{html.escape(t)}</text>" for v, t in at]
    middle = (LEFT + WIDTH - RIGHT) / 2
    unit = "points" if panel.unit is Unit.DIFFERENCE else ""
    parts.append(f"<text x={middle:.0f} y={HEIGHT - 8} text-anchor=middle>{html.escape(panel.x_label)}</text>")
    if unit:
        parts.append(f"<text x={LEFT + 4} y={TOP + 10}>{unit}</text>")
    return "".join(parts)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _band(frame: Frame, curve: Curve, place: int, lines: bool) -> str:
    """The band of a curve; a single point, or one that stands apart, has a bar."""
    colour = f"c{place % COLOURS}"
    if not lines or len(curve.points) == 1:
        return "".join(
            f'<line class="{colour} bar" x1={frame.x(p.x) + _aside(place, lines):.1f} '
            f"x2={frame.x(p.x) + _aside(place, lines):.1f} y1={frame.y(p.value.low):.1f} "
            f"y2={frame.y(p.value.high):.1f} />"
            for p in curve.points
        )
    upper = [(frame.x(p.x), frame.y(p.value.high)) for p in curve.points]
    lower = [(frame.x(p.x), frame.y(p.value.low)) for p in reversed(curve.points)]
    return f'<path class="{colour} band" d="{_path([*upper, *lower])}Z" />'


def _aside(place: int, lines: bool) -> float:
    """Bars of several curves at one place stand side by side."""
    return 0.0 if lines else 7.0 * (place - 3)


def _line(frame: Frame, curve: Curve, place: int, lines: bool) -> str:
    colour, dash = f"c{place % COLOURS}", DASHES[place % len(DASHES)]
    points = [(frame.x(p.x) + _aside(place, lines), frame.y(p.value.mean)) for p in curve.points]
    parts = []
    if lines and len(points) > 1:
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(f'<path class="{colour} line" d="{_path(points)}"{dashed} />')
    if len(points) <= _MARKS_UP_TO:
        parts += [_mark(x, y, place, p) for (x, y), p in zip(points, curve.points, strict=True)]
    return "".join(parts)


def _mark(x: float, y: float, place: int, point: Point | None = None) -> str:
    hollow = " hollow" if point is not None and point.basis is Basis.COUNTS else ""
    name = f'class="c{place % COLOURS} mark{hollow}"'
    told = "" if point is None else f"<title>{html.escape(_told(point))}</title>"
    match place % 4:
        case 0:
            return f"<circle {name} cx={x:.1f} cy={y:.1f} r=3.6>{told}</circle>"
        case 1:
            return f"<rect {name} x={x - 3.3:.1f} y={y - 3.3:.1f} width=6.6 height=6.6>{told}</rect>"
        case 2:
            corners = [(x, y - 4.4), (x + 4.2, y + 3.4), (x - 4.2, y + 3.4)]
        case _:
            corners = [(x, y - 4.6), (x + 4.6, y), (x, y + 4.6), (x - 4.6, y)]
    return f'<path {name} d="{_path(corners)}Z">{told}</path>'


def _told(point: Point) -> str:
    v = point.value
    return f"{point.label}: {100 * v.mean:.1f} [{100 * v.low:.1f}, {100 * v.high:.1f}], {point.problems} problems"


def _stack(frame: Frame, curves: Sequence[Curve]) -> str:
    """Parts of a whole, one on the other, where all of them have a value."""
    by_x = [{p.x: p.value.mean for p in c.points} for c in curves]
    xs = sorted(set.intersection(*(set(found) for found in by_x)))
    floor = dict.fromkeys(xs, 0.0)
    parts = []
    for place, found in enumerate(by_x):
        top, colour = {x: floor[x] + found[x] for x in xs}, f"c{_place(curves[place], place)}"
        if len(xs) == 1:
            x, width = frame.x(xs[0]), 60
            y, base = frame.y(top[xs[0]]), frame.y(floor[xs[0]])
            parts.append(
                f'<rect class="{colour} part" x={x - width / 2:.1f} y={y:.1f} width={width} '
                f"height={max(0.0, base - y):.1f} />"
            )
        else:
            upper = [(frame.x(x), frame.y(top[x])) for x in xs]
            lower = [(frame.x(x), frame.y(floor[x])) for x in reversed(xs)]
            parts.append(f'<path class="{colour} part" d="{_path([*upper, *lower])}Z" />')
        floor = top
    return "".join(parts)


def _key(curve: Curve, place: int, stacked: bool) -> str:
    colour, dash = f"c{place % COLOURS}", DASHES[place % len(DASHES)]
    if stacked:
        sign = f'<rect class="{colour} part" x=4 y=2 width=18 height=12 />'
    else:
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        sign = f'<path class="{colour} line" d="M0 8L26 8"{dashed} />{_mark(13, 8, place)}'
    return f"<li><svg width=26 height=16 aria-hidden=true>{sign}</svg> {html.escape(curve.label)}</li>"
