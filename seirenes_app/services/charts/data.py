"""What a chart shows: series on one scale, as values, as text and as a table. Pure. Shares and differences of shares
are numbers from −1 to 1 everywhere; only their text is in percent or in points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from seirenes_app.services.charts.style import SeriesStyle
from seirenes_app.services.formatting import number, percent, percent_interval, points_interval, signed_points
from seirenes_app.services.robustness.types import DataTable, Value
from training.core.statistics import Interval

MAX_POINTS = 2000


class Scale(StrEnum):
    SHARE = "share"  # as percent
    POINTS = "points"  # differences of shares, in percentage points with their sign
    NUMBER = "number"


@dataclass(frozen=True)
class Series:
    """One series over steps. `x` rises. `low` and `high` are 95% limits: a band, or error bars where `marked`. `base`
    makes the series an area on top of it; its limits are not drawn."""

    label: str
    style: SeriesStyle
    x: Sequence[float] = ()
    y: Sequence[float] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    base: Sequence[float] = ()
    marked: bool = False  # every point has a marker
    joined: bool = True  # points are joined by a line
    keyed: bool = True  # it has an entry in the legend, the cursor and the table
    hollow: Sequence[int] = ()  # indices of points of which only totals are left
    titles: Sequence[str] = ()  # what each point says in a report when the mouse rests on it
    shift: float = 0.0  # how far markers stand beside their place, so that error bars do not hide each other
    width: float = 1.6
    alpha: float = 1.0

    @property
    def area(self) -> bool:
        return len(self.base) > 0

    @property
    def limited(self) -> bool:
        return len(self.low) == len(self.x) > 0

    def height(self, i: int) -> float:
        return self.y[i] + (self.base[i] if self.area else 0.0)


@dataclass(frozen=True)
class ChartData:
    """One chart. `ticks` name places on an axis that is no scale. `bars`: areas are bars at each place."""

    series: Sequence[Series]
    scale: Scale = Scale.NUMBER
    x_label: str = ""
    ticks: Sequence[tuple[int, str]] = ()
    bars: bool = False
    zoom: bool = False  # small shares get an axis that ends above them instead of at 100%
    places: tuple[float, ...] = field(init=False)  # every x of the keyed series

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", tuple(sorted({x for s in self.keyed for x in s.x})))

    @property
    def keyed(self) -> tuple[Series, ...]:
        return tuple(s for s in self.series if s.keyed and len(s.x))

    def place_name(self, x: float) -> str:
        return next((text for place, text in self.ticks if place == x), f"{self.x_label or 'step'} {x:.0f}")

    def text(self, series: Series, i: int) -> tuple[str, str]:
        """Point `i` of a series: ('44%', '[40, 49]'); no limits where it has none."""
        value = series.y[i]
        if not series.limited:
            return self.value_text(value), ""
        found = Interval(value, series.low[i], series.high[i])
        if self.scale is Scale.NUMBER:
            return number(value), f"[{number(found.low)}, {number(found.high)}]"
        text = percent_interval(found) if self.scale is Scale.SHARE else points_interval(found, "")
        value_text, _, limits = text.partition(" [")
        return value_text, f"[{limits}"

    def value_text(self, value: float) -> str:
        if self.scale is Scale.NUMBER:
            return number(value)
        return percent(value) if self.scale is Scale.SHARE else signed_points(value)

    def wide_table(self) -> DataTable:
        """As text, to read: a row a place with the newest on top, a column a series."""
        keyed = self.keyed
        at = [{x: i for i, x in enumerate(s.x)} for s in keyed]
        rows: list[tuple[Value, ...]] = []
        for x in reversed(self.places):
            texts = (" ".join(self.text(s, i[x])).strip() if x in i else "" for s, i in zip(keyed, at, strict=True))
            rows.append((self.place_name(x) if self.ticks else int(x), *texts))
        return DataTable((self.x_label or "step", *(s.label for s in keyed)), tuple(rows))

    def long_table(self) -> DataTable:
        """As numbers, for CSV: a row a point."""
        rows: list[tuple[Value, ...]] = []
        for s in self.keyed:
            limits = zip(s.low, s.high, strict=True) if s.limited else [(None, None)] * len(s.x)
            rows += [(s.label, x, y, low, high) for x, y, (low, high) in zip(s.x, s.y, limits, strict=True)]
        return DataTable(("series", self.x_label or "step", "value", "low", "high"), tuple(rows))


def kept_points(y: Sequence[float], limit: int = MAX_POINTS) -> Sequence[int]:
    """Ascending indices of each bin's minimum and maximum, so that no spike is lost: at most about `limit`."""
    if len(y) <= limit:
        return range(len(y))
    size = -(-2 * len(y) // limit)
    kept: list[int] = []
    for start in range(0, len(y), size):
        part = range(start, min(start + size, len(y)))
        kept += sorted({min(part, key=y.__getitem__), max(part, key=y.__getitem__)})
    return kept
