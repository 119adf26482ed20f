"""Draw lines, bands, error bars and stacked areas with matplotlib. Figures only: no widget is touched here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from seirenes_app.ui.theme import SANS_FAMILIES, Theme, current_theme

MAX_POINTS = 2000
DPI = 100
TICK_PT = 8
DASHES = {"-": (), "--": (5.0, 2.6), "-.": (6.0, 2.2, 1.4, 2.2), ":": (1.4, 1.8)}
"""Dash patterns in line widths, for matplotlib and for the key beside it."""
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 8, 22
"""Room around the axes, in logical pixels. Fixed: a layout engine would double the time of a draw."""


@dataclass(frozen=True)
class Line:
    """One series over steps.

    `low` and `high` make a band, or error bars where `points` is set. `base` makes it an area that stands on `base`.
    `colour` names a colour of the theme, or is ``"#light/#dark"``. A line that is not `keyed` goes without an entry in
    the key: it is drawn beside one that has it.
    """

    label: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    style: str = "-"
    marker: str = ""
    points: bool = False
    base: Sequence[float] = ()
    hatch: str = ""
    width: float = 1.6
    alpha: float = 1.0
    keyed: bool = True

    @property
    def area(self) -> bool:
        """Whether it is filled down to `base`."""
        return len(self.base) > 0

    def height(self, i: int) -> float:
        """Where point `i` is on the value axis."""
        return self.y[i] + (self.base[i] if self.area else 0.0)


def ink(colour: str, theme: Theme | None = None) -> str:
    """``#rrggbb`` of a named colour, or of a ``"#light/#dark"`` pair, in a theme."""
    theme = theme or current_theme()
    if colour.startswith("#"):
        light, _, dark = colour.partition("/")
        return dark if theme.dark and dark else light
    return str(getattr(theme, colour))


def decimate(x: Sequence[float], y: Sequence[float], limit: int = MAX_POINTS) -> tuple[list[float], list[float]]:
    """Keep each bin's minimum and maximum, so that no spike is lost: at most about `limit` points."""
    kept = kept_points(y, limit)
    return [x[i] for i in kept], [y[i] for i in kept]


def kept_points(y: Sequence[float], limit: int = MAX_POINTS) -> Sequence[int]:
    """Indices that `decimate` keeps, ascending."""
    if len(y) <= limit:
        return range(len(y))
    size = -(-2 * len(y) // limit)
    kept: list[int] = []
    for start in range(0, len(y), size):
        part = range(start, min(start + size, len(y)))
        kept += sorted({min(part, key=y.__getitem__), max(part, key=y.__getitem__)})
    return kept


def format_value(value: float, *, unit: bool) -> str:
    """A value as it is read out: a share as percent, anything else with three significant digits."""
    if unit:
        return f"{100 * value:.0f}%"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}".replace("-", "−")


@lru_cache(maxsize=1)
def chart_family() -> str:
    """The interface's typeface where matplotlib knows it too."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in SANS_FAMILIES if name in known), "sans-serif")


def draw_figure(figure: Figure, lines: Sequence[Line], size: tuple[int, int], *, unit: bool,
                theme: Theme | None = None) -> Any:  # fmt: skip
    """Draw `lines` anew on `figure`, `size` in logical pixels; returns the axes. A share goes from 0 to 100%."""
    theme = theme or current_theme()
    figure.clear()
    figure.set_facecolor(theme.surface)
    axes = figure.add_subplot()
    width, height = max(size[0], LEFT + RIGHT + 40), max(size[1], TOP + BOTTOM + 30)
    figure.subplots_adjust(left=LEFT / width, right=1 - RIGHT / width, bottom=BOTTOM / height, top=1 - TOP / height)
    _dress(axes, theme, unit=unit, size=(width, height))
    for line in lines:
        _draw_line(axes, line, theme)
    if unit:
        axes.set_ylim(-0.02, 1.03)
    else:
        low, high = axes.get_ylim()
        if 0 < low < 0.5 * high:
            axes.set_ylim(bottom=0)
    return axes


def _dress(axes: Any, theme: Theme, *, unit: bool, size: tuple[int, int]) -> None:
    axes.set_facecolor(theme.surface)
    axes.grid(axis="y", color=theme.grid, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(theme.border)
    axes.tick_params(colors=theme.muted, labelsize=TICK_PT, length=0, pad=5, labelfontfamily=chart_family())
    axes.margins(x=0.015, y=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=max(3, size[0] // 90), integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=max(2, size[1] // 42)))
    if unit:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5 if size[1] >= 200 else 4, steps=[2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f}%"))
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}" if abs(v) >= 1000 else f"{v:g}"))


def _draw_line(axes: Any, line: Line, theme: Theme) -> None:
    if not len(line.x):
        return
    colour = ink(line.colour, theme)
    if line.area:
        _draw_area(axes, line, colour)
    elif line.points:
        _draw_points(axes, line, colour, theme)
    else:
        kept = kept_points(line.y)
        x, y = [line.x[i] for i in kept], [line.y[i] for i in kept]
        if len(line.low) == len(line.x):
            low, high = [line.low[i] for i in kept], [line.high[i] for i in kept]
            axes.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
        marker = line.marker or ("o" if len(x) == 1 else "")
        axes.plot(x, y, color=colour, ls=_pattern(line.style), lw=line.width, alpha=line.alpha, marker=marker,
                  ms=3.5, markevery=max(1, len(x) // 12), solid_capstyle="round")  # fmt: skip


def _draw_area(axes: Any, line: Line, colour: str) -> None:
    kept = kept_points(line.y)
    x, base = [line.x[i] for i in kept], [line.base[i] for i in kept]
    top = [line.height(i) for i in kept]
    axes.fill_between(x, base, top, facecolor=colour, alpha=0.32, hatch=line.hatch or None, edgecolor=colour, lw=0.0)
    axes.plot(x, top, color=colour, lw=0.9)


def _draw_points(axes: Any, line: Line, colour: str, theme: Theme) -> None:
    errors = None
    if len(line.low) == len(line.x):
        errors = [[max(0.0, y - lo) for y, lo in zip(line.y, line.low, strict=True)],
                  [max(0.0, hi - y) for y, hi in zip(line.y, line.high, strict=True)]]  # fmt: skip
    axes.errorbar(
        line.x, line.y, yerr=errors, color=colour, marker=line.marker or "o", ms=6.5, mfc=colour,
        mec=theme.surface, mew=1.2, lw=line.width, elinewidth=1.3, capsize=3.5, capthick=1.3, ls=_pattern(line.style),
        zorder=5,
    )  # fmt: skip


def _pattern(style: str) -> Any:
    return (0, DASHES[style]) if DASHES.get(style) else "-"
