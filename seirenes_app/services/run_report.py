"""What a run changed: the table before / after, the chart, and the report in the run's folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from seirenes_app.services.charts.data import ChartData
from seirenes_app.services.charts.panels import Pick, panel_chart
from seirenes_app.services.charts.style import SeriesStyle
from seirenes_app.services.report.document import make_report
from seirenes_app.services.report.html import report_html
from seirenes_app.services.robustness.checkpoint_figures import Headline, headline
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Chart
from training.errors import UserError
from training.runs.files import write_whole
from training.runs.paths import RunPaths


def before_after(paths: RunPaths) -> Headline | None:
    """Paired changes of clean, hinted, each type, placebo and needed, first evaluation to last; None without any."""
    try:
        results = ResultSource(paths.root)
        found = headline(results, results.tracks[-1])
    except UserError:
        return None
    lines = [line for line in (found.lines if found else ()) if line.p_value is not None or line.difference is None]
    return replace(found, lines=tuple(lines)) if found is not None and lines else None


def write_report(paths: RunPaths) -> dict[str, Path]:
    """chart.png and report.html in the run directory; returns them by name."""
    # Imported here: it brings matplotlib.
    from seirenes_app.services.charts.export import save_chart

    results = ResultSource(paths.root)
    chart = paths.root / "chart.png"
    save_chart(chart, _run_chart(results), "Robustness over self-play", context=paths.run_id)
    write_whole(paths.report, report_html(make_report([results])))
    return {"chart": chart, "report": paths.report}


def _run_chart(results: ResultSource) -> ChartData:
    """Accuracy on the frozen suite over steps; the moving adversary's curve kept apart, dotted."""
    track = results.tracks[-1]
    frozen = panel_chart(results.panel(track, Chart.ACCURACY), by_step=track.by_step, pick=Pick.MAIN)
    moving = panel_chart(results.panel(track, Chart.ADVERSARY), by_step=True)
    apart = [
        replace(s, label="hinted, current adversary (moves: not comparable)", style=SeriesStyle("hinted", ":"),
                low=(), high=(), marked=False, width=1.0)
        for s, curve in zip(moving.series, moving.curves, strict=True) if curve.key == "hinted"
    ]  # fmt: skip
    return ChartData((*frozen.series, *apart), frozen.scale, frozen.x_label)
