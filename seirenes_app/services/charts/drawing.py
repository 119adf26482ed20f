"""Draw charts with matplotlib: lines, bands, error bars, stacked areas, bars, the cross-play matrix. Figures only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from seirenes_app.services.charts.data import ChartData, Scale, Series, kept_points
from seirenes_app.services.charts.style import DASHES, SANS_FAMILIES, Palette
from seirenes_app.services.formatting import number, percent, percent_limits, signed_points
from seirenes_app.services.robustness.types import MatrixPanel
from training.core.statistics import Interval

matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["svg.hashsalt"] = "seirenes"

DPI = 100
TICK_PT = 8
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 8, 22
"""Margins around the axes, in logical pixels; a layout engine would double the time of a draw."""
LABEL_ROOM = 16  # more at the bottom for a label of the axis
BAR_SHARE = 0.62
TICK_CHARACTERS = 18
TICK_ROOM, STEP_ROOM = 110, 40
SMALL_SHARE = 0.45
FAINT, STRONG = 0.10, 0.55  # grounds of the lowest and the highest cell of a matrix


def make_figure(size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size, dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


@lru_cache(maxsize=1)
def font_family() -> str:
    """The interface's typeface where matplotlib knows it too."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in SANS_FAMILIES if name in known), "sans-serif")


def plain(text: str) -> str:
    """Text that matplotlib does not read as a formula."""
    return text.replace("$", r"\$")


def draw_chart(figure: Figure, chart: ChartData, size: tuple[int, int], palette: Palette) -> Any:
    """Draw on `figure`, `size` in logical pixels; returns the axes."""
    figure.clear()
    figure.set_facecolor(palette.surface)
    axes = figure.add_subplot()
    width, height = max(size[0], LEFT + RIGHT + 40), max(size[1], TOP + BOTTOM + LABEL_ROOM + 30)
    below = BOTTOM + (LABEL_ROOM if chart.x_label or chart.ticks else 0)
    figure.subplots_adjust(left=LEFT / width, right=1 - RIGHT / width, bottom=below / height, top=1 - TOP / height)
    _style_axes(axes, palette, height)
    for i, series in enumerate(chart.series):
        if len(series.x) and not chart.bars:
            _draw_series(axes, series, palette, f"points-{i}")
    if chart.bars:
        _draw_bars(axes, chart, palette)
    _scale_axis(axes, chart, palette, height)
    _place_ticks(axes, chart, width)
    label = "" if chart.ticks else chart.x_label
    axes.set_xlabel(label, color=palette.muted, fontsize=TICK_PT, labelpad=1, fontfamily=font_family())
    return axes


def _style_axes(axes: Any, palette: Palette, height: int) -> None:
    axes.set_facecolor(palette.surface)
    axes.grid(axis="y", color=palette.grid, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(palette.border)
    axes.tick_params(colors=palette.muted, labelsize=TICK_PT, length=0, pad=5, labelfontfamily=font_family())
    axes.margins(x=0.015, y=0.08)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=max(2, height // 42), steps=[1, 2, 2.5, 5, 10]))


# ---------------------------------------------------------------------- series


def _draw_series(axes: Any, series: Series, palette: Palette, gid: str) -> None:
    colour = palette.hex(series.style.colour)
    kept = kept_points(series.y)
    x, y = [series.x[i] + series.shift for i in kept], [series.height(i) for i in kept]
    if series.area:
        base = [series.base[i] for i in kept]
        axes.fill_between(x, base, y, facecolor=colour, alpha=0.32, hatch=series.style.hatch or None, edgecolor=colour,
                          lw=0.0)  # fmt: skip
        axes.plot(x, y, color=colour, lw=0.9)
        return
    if series.limited and series.marked:
        low, high = (
            [max(0.0, v - w) for v, w in zip(y, series.low, strict=True)],
            [max(0.0, w - v) for v, w in zip(y, series.high, strict=True)],
        )
        axes.errorbar(x, y, yerr=[low, high], color=colour, ls="", elinewidth=1.3, capsize=3.5, capthick=1.3, zorder=5)
    elif series.limited:
        axes.fill_between(
            x, [series.low[i] for i in kept], [series.high[i] for i in kept], color=colour, alpha=0.12, lw=0
        )
    if series.joined:
        # A single unmarked point would not be seen without a marker.
        marker = "" if series.marked else series.style.marker or ("o" if len(x) == 1 else "")
        axes.plot(x, y, color=colour, ls=_pattern(series.style.dash), lw=series.width, alpha=series.alpha, ms=3.5,
                  marker=marker, markevery=max(1, len(x) // 12), solid_capstyle="round", zorder=4)  # fmt: skip
    if series.marked:
        axes.plot(x, y, ls="", marker=series.style.marker or "o", ms=6.5, mfc=colour, mec=palette.surface, mew=1.2,
                  zorder=5.5, gid=gid)  # fmt: skip
    if series.hollow:
        places = [i for i in series.hollow if i < len(x)]
        axes.plot([x[i] for i in places], [y[i] for i in places], ls="", marker=series.style.marker or "o",
                  ms=5.6 if series.marked else 3.5, mfc=palette.surface, mec=colour, mew=1.4, zorder=6)  # fmt: skip


def _draw_bars(axes: Any, chart: ChartData, palette: Palette) -> None:
    step = min((b - a for a, b in zip(chart.places, chart.places[1:], strict=False)), default=0.5)
    for series in chart.series:
        colour = palette.hex(series.style.colour)
        shared = {"x": series.x, "height": series.y, "width": BAR_SHARE * step, "bottom": series.base}
        axes.bar(**shared, color=colour, alpha=0.30, lw=0)
        axes.bar(**shared, facecolor="none", edgecolor=colour, hatch=series.style.hatch or None, lw=0.9)


def _pattern(dash: str) -> Any:
    return (0, DASHES[dash]) if DASHES.get(dash) else "-"


# ---------------------------------------------------------------------- axes


def _scale_axis(axes: Any, chart: ChartData, palette: Palette, height: int) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: _tick_text(value, chart.scale)))
    areas = any(s.area for s in chart.series)
    values = [v for s in chart.series for v in (*s.y, *s.low, *s.high)]
    if chart.scale is Scale.NUMBER:
        low, high = axes.get_ylim()
        if 0 < low < 0.5 * high:
            axes.set_ylim(bottom=0)
    elif chart.scale is Scale.SHARE and all(-0.02 <= v <= 1.02 for v in values):
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5 if height >= 200 else 4, steps=[2, 2.5, 5, 10]))
        top = max(values, default=1.0)
        if chart.zoom and not areas and top <= SMALL_SHARE:
            top = max(0.05, math.ceil(top * 1.15 / 0.05) * 0.05)
            axes.set_ylim(-0.02 * top, top)
        else:
            axes.set_ylim(-0.02, 1.03)
    else:
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, 0.0 if chart.scale is Scale.SHARE else -0.02), max(high, 0.0))
        axes.axhline(0.0, color=palette.muted, lw=1.0, zorder=1.5)


def _tick_text(value: float, scale: Scale) -> str:
    if scale is Scale.NUMBER:
        return number(value)
    tenths = int(round(1000 * value, 3) % 10 != 0)
    return signed_points(value, tenths) if scale is Scale.POINTS else f"{100 * value:.{tenths}f}%".replace("-", "−")


def _place_ticks(axes: Any, chart: ChartData, width: int) -> None:
    if chart.ticks:
        every = max(1, -(-len(chart.ticks) * TICK_ROOM // max(width, TICK_ROOM)))
        shown = chart.ticks[::every]
        axes.xaxis.set_major_locator(FixedLocator([x for x, _ in shown]))
        axes.set_xticklabels([plain(_cut(text)) for _, text in shown])
        axes.set_xlim(chart.ticks[0][0] - 0.5, chart.ticks[-1][0] + 0.5)
    elif 0 < len(chart.places) <= max(3, width // 60):
        axes.xaxis.set_major_locator(FixedLocator(_spread(chart.places, STEP_ROOM / max(width, STEP_ROOM))))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=max(3, width // 90), integer=True, steps=[1, 2, 5, 10]))


def _spread(steps: Sequence[float], share: float) -> list[float]:
    """The last of rising steps, and those before it that are this share of the axis apart, for numbers not to meet."""
    kept = [steps[-1]]
    for step in reversed(steps[:-1]):
        if kept[-1] - step >= share * (steps[-1] - steps[0]):
            kept.append(step)
    return kept[::-1]


def _cut(text: str) -> str:
    return text if len(text) <= TICK_CHARACTERS else f"{text[: TICK_CHARACTERS - 1]}…"


# ---------------------------------------------------------------------- legend


def draw_legend(axes: Any, chart: ChartData, palette: Palette) -> None:
    axes.legend(
        handles=[_handle(s, palette) for s in chart.keyed], loc="lower left", bbox_to_anchor=(0, 1.01), ncols=4,
        frameon=False, labelcolor=palette.text, borderaxespad=0, prop={"family": font_family(), "size": TICK_PT},
        handlelength=2.8,
    )  # fmt: skip


def _handle(series: Series, palette: Palette) -> Any:
    colour, label = palette.hex(series.style.colour), plain(series.label)
    if series.area:
        return Patch(facecolor=f"{colour}4d", edgecolor=colour, hatch=series.style.hatch or None, label=label)
    dash = _pattern(series.style.dash) if series.joined else ""
    return Line2D([], [], color=colour, ls=dash, lw=series.width, marker=series.style.marker or None, ms=5, label=label)


# ---------------------------------------------------------------------- cross-play


def draw_matrix(axes: Any, panel: MatrixPanel, palette: Palette) -> None:
    """Cross-play: the stronger the ground, the more is right; dashed: a Reasoner's own hints."""
    rows, columns = len(panel.reasoners), len(panel.writers)
    values = [c.value.mean for row in panel.cells for c in row if c.value is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    for i, row in enumerate(panel.cells):
        for j, cell in enumerate(row):
            strength = 0.5 if high <= low or cell.value is None else (cell.value.mean - low) / (high - low)
            place, alpha = (j + 0.03, i + 0.04), FAINT + (STRONG - FAINT) * strength
            axes.add_patch(Rectangle(place, 0.94, 0.92, facecolor=palette.clean, alpha=alpha, lw=0))
            if cell.own:
                edge = {"facecolor": "none", "edgecolor": palette.adversary, "lw": 1.2, "ls": (0, (4, 2))}
                axes.add_patch(Rectangle(place, 0.94, 0.92, **edge))  # type: ignore[arg-type]
            _write_cell(axes, i, j, cell.value, palette)
        _write_cell(axes, i, columns, panel.row_means[i], palette)
        for k, (_name, of_reasoners) in enumerate(panel.beside):
            _write_cell(axes, i, columns + 1 + k, of_reasoners[i], palette)
    for j in range(columns):
        _write_cell(axes, rows, j, panel.column_means[j], palette)
    names = [*map(plain, panel.writers), "mean", *(name for name, _ in panel.beside)]
    axes.set_xlim(0, len(names))
    axes.set_ylim(rows + 1, 0)
    axes.spines[:].set_visible(False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks([j + 0.5 for j in range(len(names))], names)
    axes.set_yticks([i + 0.5 for i in range(rows + 1)], [*map(plain, panel.reasoners), "mean"])
    axes.tick_params(length=0, labelsize=TICK_PT, colors=palette.muted, labelfontfamily=font_family())
    axes.set_xlabel("hints by", color=palette.muted, fontsize=TICK_PT, loc="left")
    axes.set_ylabel("Reasoner", color=palette.muted, fontsize=TICK_PT)


def _write_cell(axes: Any, row: int, column: int, value: Interval | None, palette: Palette) -> None:
    if value is not None:
        text = f"{percent(value.mean)}\n{percent_limits(value.low, value.high)}"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=TICK_PT, color=palette.text,
                  fontfamily=font_family())  # fmt: skip
