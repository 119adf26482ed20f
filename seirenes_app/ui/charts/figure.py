"""Draw a panel with matplotlib: for the screen, and, with title, key and sentence in it, for a file. No widgets."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from seirenes_app.services.robustness.types import Unit
from seirenes_app.ui.charts.chart_style import Drawn
from seirenes_app.ui.charts.drawing import DASHES, LEFT, RIGHT, TICK_PT, TOP, Line, chart_family, draw_figure, ink
from seirenes_app.ui.theme import LIGHT, Theme, current_theme

BOTTOM = 38
BAR_SHARE = 0.62
TICK_CHARACTERS = 18
TICK_ROOM, STEP_ROOM = 110, 40
FILE_INCHES = (8.6, 5.2)
FILE_DPI = 200
LITTLE = 0.45


def draw_panel(figure: Figure, drawn: Drawn, size: tuple[int, int], theme: Theme | None = None) -> Any:
    """Draw on `figure`, `size` in logical pixels; returns the axes."""
    theme = theme or current_theme()
    share = drawn.unit is Unit.SHARE
    bounded = share and all(-0.02 <= v <= 1.02 for line in drawn.lines for v in (*line.y, *line.low, *line.high))
    lines = () if drawn.bars else tuple(_as_drawn(line, drawn.shift(i)) for i, line in enumerate(drawn.lines))
    axes = draw_figure(figure, lines, size, unit=bounded, theme=theme)
    figure.subplots_adjust(bottom=BOTTOM / max(size[1], 100))
    if drawn.bars:
        _draw_bars(axes, drawn, theme)
    _hollow(axes, drawn, theme)
    if not bounded:
        _mark_zero(axes, drawn, theme)
    elif not drawn.stacked:
        _come_closer(axes, drawn)
    _name_places(axes, drawn, size[0])
    axes.set_xlabel(
        "" if drawn.ticks else drawn.x_label, color=theme.muted, fontsize=TICK_PT, labelpad=1, fontfamily=chart_family()
    )
    return axes


def _as_drawn(line: Line, shift: float) -> Line:
    """Beside the marks of others; without a line between them where places on the axis are no scale."""
    moved = replace(line, x=[x + shift for x in line.x]) if shift else line
    return replace(moved, style="-", width=0.0) if line.style == "none" else moved


def _draw_bars(axes: Any, drawn: Drawn, theme: Theme) -> None:
    places = sorted({x for line in drawn.lines for x in line.x})
    step = min((b - a for a, b in zip(places, places[1:], strict=False)), default=0.5)
    for line in drawn.lines:
        colour = ink(line.colour, theme)
        axes.bar(line.x, line.y, width=BAR_SHARE * step, bottom=line.base, color=colour, alpha=0.30, lw=0)
        axes.bar(
            line.x, line.y, width=BAR_SHARE * step, bottom=line.base, facecolor="none", edgecolor=colour,
            hatch=line.hatch or None, lw=0.9,
        )  # fmt: skip
    axes.set_ylim(-0.02, 1.03)
    axes.xaxis.set_major_locator(FixedLocator(places))


def _hollow(axes: Any, drawn: Drawn, theme: Theme) -> None:
    if drawn.stacked:
        return
    for i, line in enumerate(drawn.lines):
        if places := drawn.hollow(i):
            x, y = [line.x[p] + drawn.shift(i) for p in places], [line.y[p] for p in places]
            axes.plot(
                x, y, ls="", marker=line.marker or "o", ms=5.6 if line.points else 3.5, mfc=theme.surface,
                mec=ink(line.colour, theme), mew=1.4, zorder=6,
            )  # fmt: skip


def _come_closer(axes: Any, drawn: Drawn) -> None:
    """Shares that are all small get an axis that ends above them; it still begins at zero."""
    top = max((v for line in drawn.lines for v in (*line.y, *line.high)), default=1.0)
    if top <= LITTLE:
        axes.set_ylim(-0.02 * top, math.ceil(top * 1.15 / 0.05) * 0.05)


def _mark_zero(axes: Any, drawn: Drawn, theme: Theme) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.0 if drawn.unit is Unit.SHARE else -2.0), max(high, 0.0))
    axes.axhline(0.0, color=theme.muted, lw=1.0, zorder=1.5)
    share = drawn.unit is Unit.SHARE
    axes.yaxis.set_major_formatter(FuncFormatter(_percent if share else _points))


def _percent(value: float, _place: int) -> str:
    return f"{100 * value:.0f}%".replace("-", "−")


def _points(value: float, _place: int) -> str:
    return f"{value:+.0f}".replace("-", "−") if value else "0"


def _name_places(axes: Any, drawn: Drawn, width: int) -> None:
    if not drawn.ticks:
        steps = sorted({x for line in drawn.lines for x in line.x})
        if 0 < len(steps) <= max(3, width // 60):
            axes.xaxis.set_major_locator(FixedLocator(_apart(steps, STEP_ROOM / max(width, STEP_ROOM))))
        else:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=max(3, width // 90), integer=True, steps=[1, 2, 5, 10]))
        return
    every = max(1, -(-len(drawn.ticks) * TICK_ROOM // max(width, TICK_ROOM)))
    shown = drawn.ticks[::every]
    axes.xaxis.set_major_locator(FixedLocator([x for x, _ in shown]))
    axes.set_xticklabels([_cut(text) for _, text in shown])
    axes.set_xlim(drawn.ticks[0][0] - 0.5, drawn.ticks[-1][0] + 0.5)


def _apart(steps: Sequence[float], share: float) -> list[float]:
    """The last of rising steps, and those before it that are this share of the axis apart, for numbers not to meet."""
    kept = [steps[-1]]
    for step in reversed(steps[:-1]):
        if kept[-1] - step >= share * (steps[-1] - steps[0]):
            kept.append(step)
    return kept[::-1]


def _cut(text: str) -> str:
    kept = text if len(text) <= TICK_CHARACTERS else f"{text[: TICK_CHARACTERS - 1]}…"
    return kept.replace("$", r"\$")


def save_panel(path: Path, title: str, context: str, drawn: Drawn, sentence: str, note: str) -> None:
    """A picture that stands alone, by the file's ending: title, key and sentence are in it. Always light."""
    figure = Figure(figsize=FILE_INCHES, dpi=100)
    FigureCanvasAgg(figure)
    width, height = (round(100 * inches) for inches in FILE_INCHES)
    axes = draw_panel(figure, drawn, (width, height), LIGHT)
    words = textwrap.wrap(_plain(f"{sentence} {note}".strip()), 122)[:6]
    below = 0.16 + 0.036 * len(words)
    figure.subplots_adjust(
        left=LEFT / width + 0.02, right=1 - RIGHT / width - 0.01, top=1 - 0.16 - TOP / height, bottom=below
    )
    family = chart_family()
    figure.text(
        0.025, 0.955, _plain(title), fontsize=12, fontweight="bold", color=LIGHT.text, va="top", fontfamily=family
    )
    figure.text(0.975, 0.948, _plain(context), fontsize=8, color=LIGHT.muted, va="top", ha="right", fontfamily=family)
    handles = [_handle(line) for line in drawn.lines]
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=4, frameon=False,
        fontsize=8, labelcolor=LIGHT.text, borderaxespad=0, prop={"family": family, "size": 8},
    )  # fmt: skip
    figure.text(
        0.025, 0.025, "\n".join(words), fontsize=8, color=LIGHT.muted, va="bottom", linespacing=1.45, fontfamily=family
    )
    figure.savefig(path, dpi=FILE_DPI, facecolor=LIGHT.surface)


def _handle(line: Line) -> Any:
    colour = ink(line.colour, LIGHT)
    if line.area:
        return Patch(facecolor=f"{colour}4d", edgecolor=colour, hatch=line.hatch or None, label=_plain(line.label))
    pattern = (0, DASHES[line.style]) if DASHES.get(line.style) else "-"
    return Line2D(
        [], [], color=colour, ls=pattern, lw=line.width, marker=line.marker or None, ms=5, label=_plain(line.label)
    )


def _plain(text: str) -> str:
    """matplotlib would set what stands between dollars as a formula."""
    return text.replace("$", r"\$")
