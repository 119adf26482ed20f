"""What a run changed: the table before / after, the chart, and the report in the run's folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from seirenes_app.services.charts.data import ChartData
from seirenes_app.services.charts.panels import Pick, panel_chart
from seirenes_app.services.charts.style import SeriesStyle
from seirenes_app.services.report.document import make_report
from seirenes_app.services.report.html import report_html
from seirenes_app.services.robustness.checkpoint_figures import headline
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Chart
from training.core.statistics import Interval
from training.errors import UserError
from training.runs.files import write_whole
from training.runs.paths import RunPaths


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


def write_report(paths: RunPaths) -> dict[str, Path]:
    """chart.png and report.html in the run directory; returns them by name."""
    # Imported here: it brings matplotlib.
    from seirenes_app.services.charts.export import save_chart

    book = ResultSource(paths.root)
    chart = paths.root / "chart.png"
    save_chart(chart, _run_chart(book), "Robustness over self-play", context=paths.run_id)
    write_whole(paths.report, report_html(make_report([book])))
    return {"chart": chart, "report": paths.report}


def _run_chart(book: ResultSource) -> ChartData:
    """Accuracy on the frozen suite over steps; the moving adversary's curve kept apart, dotted."""
    track = book.tracks[-1]
    frozen = panel_chart(book.panel(track, Chart.ACCURACY), by_step=track.by_step, pick=Pick.MAIN)
    moving = panel_chart(book.panel(track, Chart.ADVERSARY), by_step=True)
    apart = [
        replace(s, label="hinted, current adversary (moves: not comparable)", style=SeriesStyle("hinted", ":"),
                low=(), high=(), marked=False, width=1.0)
        for s, curve in zip(moving.series, moving.curves, strict=True) if curve.key == "hinted"
    ]  # fmt: skip
    return ChartData((*frozen.series, *apart), frozen.scale, frozen.x_label)
