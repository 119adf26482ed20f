"""What a run changed: the table before / after, the chart, and the report in the run's folder."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seirenes_app.services.report.document import make_report
from seirenes_app.services.report.html import report_html
from seirenes_app.services.robustness.checkpoint_figures import headline
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Chart, Curve, Panel
from training.core.statistics import Interval
from training.errors import UserError
from training.runs.files import explained, write_whole
from training.runs.paths import RunPaths

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"clean": "#1b6ca8", "hinted": "#c8553d", "placebo": "#6b7280"}
MARKS = {"clean": "o", "hinted": "s", "placebo": "^"}
NAMES = {"clean": "clean", "hinted": "hinted", "placebo": "placebo"}


@dataclass(frozen=True, slots=True)
class Rate:
    """A proportion with its 95% interval."""

    right: int
    n: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One line of the table: a condition before and after, and the paired change on the same items."""

    label: str
    before: Rate
    after: Rate
    difference: Interval
    p_value: float


def before_after(paths: RunPaths) -> list[ReportLine]:
    """Clean, hinted, each type and placebo: first evaluation against last. Empty with fewer than two."""
    try:
        book = ResultSource(paths.root)
        found = headline(book, book.tracks[-1])
    except UserError:
        return []
    return [
        ReportLine(
            x.label, _rate(x.before, x.rows_before), _rate(x.after, x.rows_after), x.difference, x.p_value
        )
        for x in (found.lines if found else ())
        if x.p_value is not None
    ]  # fmt: skip


def _rate(found: Interval, rows: int) -> Rate:
    return Rate(round(found.mean * rows), rows, found.mean, found.low, found.high)


def draw_chart(book: ResultSource) -> Figure:
    """Accuracy on the frozen suite over steps, with bands; the moving adversary's curve kept apart, dotted."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    track = book.tracks[-1]
    panel = book.panel(track, Chart.ACCURACY)
    for key, colour in COLOURS.items():
        curve = _curve(panel, key)
        if curve is not None:
            steps, values = [p.x for p in curve.points], [p.value.mean for p in curve.points]
            axes.plot(steps, values, color=colour, marker=MARKS[key], label=f"{NAMES[key]}, frozen suite")
            lows, highs = [p.value.low for p in curve.points], [p.value.high for p in curve.points]
            axes.fill_between(steps, lows, highs, color=colour, alpha=0.15, lw=0)
    moving = _curve(book.panel(track, Chart.ADVERSARY), "hinted")
    if moving is not None:
        xs, ys = [p.x for p in moving.points], [p.value.mean for p in moving.points]
        label = "hinted, current adversary (moves: not comparable)"
        axes.plot(xs, ys, color=COLOURS["hinted"], ls=":", lw=1, label=label)
    axes.set(xlabel="step", ylabel="accuracy", ylim=(0, 1.02), title="Robustness over self-play")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    return figure


def _curve(panel: Panel, key: str) -> Curve | None:
    return next((c for c in panel.curves if c.key == key), None)


def write_report(paths: RunPaths) -> dict[str, Path]:
    """chart.png and report.html in the run directory; returns them by name."""
    book = ResultSource(paths.root)
    buffer = io.BytesIO()
    draw_chart(book).savefig(buffer, format="png")
    chart = paths.root / "chart.png"
    with explained("Writing", chart):
        chart.write_bytes(buffer.getvalue())
    write_whole(paths.report, report_html(make_report([book])))
    return {"chart": chart, "report": paths.report}
