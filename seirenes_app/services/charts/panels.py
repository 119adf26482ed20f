"""A robustness panel as a chart: which of its curves, in which style, and a point as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from seirenes_app.services.answer_reading import describe_unread
from seirenes_app.services.charts.data import ChartData, Scale, Series
from seirenes_app.services.charts.style import NAMED, NUMBERED, NUMBERED_PARTS, OVERLAID, PARTS, SeriesStyle
from seirenes_app.services.robustness.checkpoint_figures import table_of
from seirenes_app.services.robustness.types import Basis, Curve, DataTable, Panel, Point, Unit

FEW = 12  # up to that many points a curve has markers and error bars, beyond it a band
SHIFT = 0.011  # of the axis: how far apart two markers of one place stand at most
TYPE = "type:"  # how the keys of curves of one hint type begin
RUN = "run:"  # how the keys of curves of another run begin


class Pick(StrEnum):
    ALL = "all"
    MAIN = "main"  # all but the single hint types
    TYPES = "types"  # the single hint types alone


@dataclass(frozen=True)
class PanelChart(ChartData):
    """A chart whose `series[i]` is `curves[i]`."""

    curves: tuple[Curve, ...] = ()

    def point(self, i: int, x: float | None) -> Point | None:
        if x is None or not 0 <= i < len(self.curves):
            return None
        return next((p for p in self.curves[i].points if p.x == x), None)

    def describe(self, i: int, x: float) -> str:
        point, series = self.point(i, x), self.series[i] if 0 <= i < len(self.series) else None
        if point is None or series is None:
            return ""
        value, limits = self.text(series, list(series.x).index(x))
        unit = " points" if self.scale is Scale.POINTS else ""
        unread = describe_unread(point.unread)
        return ", ".join(
            part
            for part in (
                f"{series.label}, {self.place_name(x)}: {value}{unit} {limits}", f"{point.problems} problems", unread
            )
            if part
        )  # fmt: skip


def has_types(panel: Panel) -> bool:
    """Whether there are both single hint types and something else to show."""
    return len({c.key.startswith(TYPE) for c in panel.curves if c.points}) == 2


def panel_chart(panel: Panel, *, by_step: bool, pick: Pick = Pick.ALL) -> PanelChart:
    """The panel's curves, or the picked ones. Not `by_step`: models without an order stand apart."""
    wanted = {Pick.ALL: (True, False), Pick.MAIN: (False,), Pick.TYPES: (True,)}[pick]
    curves = tuple(c for c in panel.curves if c.points and c.key.startswith(TYPE) in wanted)
    places = {p.x: p.label for c in curves for p in c.points}
    scale = Scale.POINTS if panel.unit is Unit.DIFFERENCE else Scale.SHARE
    series = _stacked(curves) if panel.stacked else _beside([_series(c, i, by_step) for i, c in enumerate(curves)])
    chart = PanelChart(
        series, scale, panel.x_label, () if by_step else tuple(sorted(places.items())),
        bars=panel.stacked and len(places) <= FEW, zoom=True, curves=curves,
    )  # fmt: skip
    return replace(chart, series=tuple(_titled(chart, s, c) for s, c in zip(series, curves, strict=True)))


def _style(curve: Curve, place: int) -> SeriesStyle:
    if curve.key.startswith(RUN):
        return OVERLAID[place % len(OVERLAID)]
    return NAMED.get(curve.key) or NAMED.get(curve.key.rpartition("/")[2]) or NUMBERED[place % len(NUMBERED)]


def _series(curve: Curve, place: int, by_step: bool) -> Series:
    points = curve.points
    return Series(
        curve.label, _style(curve, place), [float(p.x) for p in points], [p.value.mean for p in points],
        [p.value.low for p in points], [p.value.high for p in points], marked=len(points) <= FEW, joined=by_step,
        hollow=[i for i, p in enumerate(points) if p.basis is Basis.COUNTS],
        width=1.2 if curve.beside else 1.8, alpha=0.85 if curve.beside else 1.0,
    )  # fmt: skip


def _beside(series: Sequence[Series]) -> tuple[Series, ...]:
    places = sorted({x for s in series for x in s.x})
    if len(series) < 2 or not places:
        return tuple(series)
    step = min((b - a for a, b in zip(places, places[1:], strict=False)), default=1.0)
    apart = min(step * 0.12, (places[-1] - places[0]) * SHIFT or step * 0.12)
    return tuple(replace(s, shift=(i - (len(series) - 1) / 2) * apart) for i, s in enumerate(series))


def _stacked(curves: Sequence[Curve]) -> tuple[Series, ...]:
    found, base = [], dict.fromkeys((p.x for c in curves for p in c.points), 0.0)
    for i, curve in enumerate(curves):
        style = PARTS.get(curve.key.partition("/")[0]) or NUMBERED_PARTS[i % len(NUMBERED_PARTS)]
        points = curve.points
        found.append(
            Series(
                curve.label, style, [float(p.x) for p in points], [p.value.mean for p in points],
                [p.value.low for p in points], [p.value.high for p in points], base=[base[p.x] for p in points],
            )
        )  # fmt: skip
        for p in points:
            base[p.x] += p.value.mean
    return tuple(found)


def _titled(chart: ChartData, series: Series, curve: Curve) -> Series:
    titles = [
        ", ".join(filter(None, (f"{p.label}: {' '.join(chart.text(series, i))}", f"{p.problems} problems",
                                describe_unread(p.unread))))
        for i, p in enumerate(curve.points)
    ]  # fmt: skip
    return replace(series, titles=titles)


def describe_types(panel: Panel) -> str:
    """The newest values of the single hint types, the hardest first."""
    chart = panel_chart(panel, by_step=True, pick=Pick.TYPES)
    newest = [(c.points[-1], s, len(s.x) - 1) for c, s in zip(chart.curves, chart.series, strict=True)]
    if not newest:
        return ""
    point = newest[0][0]
    where = f"step {point.x}" if panel.x_label == "step" else point.label
    newest.sort(key=lambda found: found[0].value.mean)
    text = ", ".join(f"{s.label} {' '.join(chart.text(s, i))}" for _, s, i in newest)
    return f"At {where}, hardest first: {text}. Intervals that overlap do not tell types apart."


def overlay_panel(panel: Panel, others: Sequence[tuple[str, Panel]]) -> Panel:
    """The panel with the first main curve of other runs' same panels on it, named by their run."""
    main = next((c for c in panel.curves if c.points and not c.beside and c.key != "clean"), None)
    if main is None or panel.stacked:
        return panel
    added = [
        replace(curve, key=f"{RUN}{name}:{curve.key}", label=f"{curve.label} · {name}", beside=False)
        for name, other in others
        for curve in other.curves
        if curve.key == main.key and curve.points
    ]
    rows = table_of(added, panel.x_label).rows
    return replace(
        panel, curves=(*panel.curves, *added), table=DataTable(panel.table.columns, (*panel.table.rows, *rows))
    )
