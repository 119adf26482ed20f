"""Charts as files (PNG, SVG, CSV) that stand alone, and as SVG inside a report."""

from __future__ import annotations

import html
import io
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from seirenes_app.services.charts import drawing
from seirenes_app.services.charts.data import ChartData
from seirenes_app.services.charts.style import LIGHT, Palette, colour_pairs
from seirenes_app.services.robustness.types import CheckpointReplayResult, MatrixPanel
from training.core.types import Outcome
from training.runs.files import explained

INCHES = (8.6, 5.2)
FILE_DPI = 200
REPORT_INCHES = (8.6, 3.6)
OUTCOME_MARKS = {None: ("_", LIGHT.muted), Outcome.RIGHT: ("o", LIGHT.good), Outcome.WRONG: ("X", LIGHT.bad)}


def save_chart(path: Path, chart: ChartData, title: str, *, context: str = "", text: str = "") -> None:
    """A picture with title, legend and text, always light, by the file's ending; a UserError where it cannot be."""
    figure = drawing.make_figure(INCHES)
    width, height = (round(100 * inches) for inches in INCHES)
    axes = drawing.draw_chart(figure, chart, (width, height), LIGHT)
    lines = textwrap.wrap(drawing.plain(text), 122)[:6]
    figure.subplots_adjust(
        left=drawing.LEFT / width + 0.02, right=1 - drawing.RIGHT / width - 0.01, top=1 - 0.16 - drawing.TOP / height,
        bottom=0.16 + 0.036 * len(lines),
    )  # fmt: skip
    drawing.draw_legend(axes, chart, LIGHT)
    _write_around(figure, title, context, lines)
    _save(figure, path)


def save_matrix(path: Path, panel: MatrixPanel) -> None:
    rows, columns = len(panel.reasoners), len(panel.writers)
    width = max(7.0, 2.2 + 0.78 * (columns + 1 + len(panel.beside)))
    lines = textwrap.wrap(drawing.plain(" ".join(panel.sentences)), round(14.5 * width))[:8]
    height = 1.9 + 0.5 * (rows + 1) + 0.18 * len(lines)
    figure = drawing.make_figure((width, height))
    below = (0.35 + 0.18 * len(lines)) / height
    axes = figure.add_axes((1.35 / width, below, 1 - 1.6 / width, 1 - below - 1.15 / height))
    drawing.draw_matrix(axes, panel, LIGHT)
    _write_around(figure, panel.title, "", lines)
    _save(figure, path)


def save_replay(path: Path, result: CheckpointReplayResult) -> None:
    """One problem on every checkpoint: marks over steps, right above not right, with the sentence."""
    figure = drawing.make_figure((8.6, 2.6))
    axes = figure.add_axes((0.09, 0.36, 0.89, 0.42))
    for step in result.steps:
        marker, colour = OUTCOME_MARKS.get(step.outcome, ("s", LIGHT.warn))
        axes.plot([step.step], [float(step.outcome is Outcome.RIGHT)], ls="", marker=marker, color=colour, ms=8)
    if result.robust_since is not None:
        axes.axvspan(result.robust_since, result.steps[-1].step, color=LIGHT.good, alpha=0.08, lw=0)
    axes.set_yticks([0, 1], ["not right", "right"])
    axes.set_ylim(-0.5, 1.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LIGHT.border)
    axes.tick_params(length=0, labelsize=8, colors=LIGHT.muted, labelfontfamily=drawing.font_family())
    axes.set_xlabel("step", fontsize=8, color=LIGHT.muted)
    _write_around(figure, "Checkpoint replay", "", textwrap.wrap(drawing.plain(result.sentence), 120)[:3])
    _save(figure, path)


def _write_around(figure: Figure, title: str, context: str, lines: list[str]) -> None:
    width, height = figure.get_size_inches()
    left, family = 0.21 / width, drawing.font_family()
    figure.text(left, 1 - 0.22 / height, drawing.plain(title), fontsize=12, fontweight="bold", color=LIGHT.text,
                va="top", fontfamily=family)  # fmt: skip
    figure.text(1 - left, 1 - 0.26 / height, drawing.plain(context), fontsize=8, color=LIGHT.muted, va="top",
                ha="right", fontfamily=family)  # fmt: skip
    figure.text(left, 0.13 / height, "\n".join(lines), fontsize=8, color=LIGHT.muted, va="bottom", linespacing=1.45,
                fontfamily=family)  # fmt: skip


def _save(figure: Figure, path: Path) -> None:
    with explained("Writing", path):
        figure.savefig(path, dpi=FILE_DPI, facecolor=LIGHT.surface)


# ---------------------------------------------------------------------- in a report

_DIGITS = re.compile(r"(\d\.\d\d)\d+")
_UNNEEDED = r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->|<g/>|font-family: '[^']*'; "
_POINTS = re.compile(r'<g id="points-(\d+)">.*?</g>\s*</g>', re.DOTALL)


def chart_svg(chart: ChartData, label: str) -> str:
    """The chart as an <svg> element with text as text; its colours are variables of `palette_css`. `label`: for screen
    readers."""
    figure = drawing.make_figure(REPORT_INCHES)
    width, height = (round(100 * inches) for inches in REPORT_INCHES)
    axes = drawing.draw_chart(figure, chart, (width, height), LIGHT)
    rows = -(-len(chart.keyed) // 4)
    figure.subplots_adjust(top=1 - (drawing.TOP + 4 + 17 * rows) / height)
    drawing.draw_legend(axes, chart, LIGHT)
    file = io.StringIO()
    figure.savefig(file, format="svg", facecolor="none", metadata={"Date": None, "Creator": None, "Format": None})
    text = re.sub(r"<[^>]+>", lambda tag: _DIGITS.sub(r"\1", tag.group()), file.getvalue())
    text = _POINTS.sub(lambda found: _with_titles(found.group(), chart.series[int(found.group(1))].titles), text)
    text = text[text.index("<svg") :].strip()
    head = f'<svg class="chart" role="img" aria-label="{html.escape(label)}" viewBox'
    text = re.sub(r"<svg[^>]*?viewBox", lambda _: head, text, count=1)
    text = re.sub(_UNNEEDED, "", text, flags=re.DOTALL)
    text = re.sub(r"\s*\n\s*", " ", text)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    used = set(re.findall(r"#([mph]\w+)", text))
    text = re.sub(r'\sid="([^"]*)"', lambda found: found.group() if found.group(1) in used else "", text)
    return re.sub(r"#([0-9a-f]{6})\b", lambda found: _variable(found.group(1)), text)


def _with_titles(group: str, titles: Sequence[str]) -> str:
    texts = iter(titles)
    return re.sub(
        r"(<use [^>]*?)/>", lambda use: f"{use.group(1)}><title>{html.escape(next(texts, ''))}</title></use>", group
    )


_PAIRS = colour_pairs()


def _variable(digits: str) -> str:
    return f"var(--c-{digits})" if f"#{digits}" in _PAIRS else f"#{digits}"


def palette_css(palette: Palette) -> str:
    """The declarations of the variables that `chart_svg` uses, light or dark."""
    return ";".join(f"--c-{light[1:]}:{dark if palette.dark else light}" for light, dark in _PAIRS.items())
