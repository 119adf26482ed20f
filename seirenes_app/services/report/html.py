"""A report as one HTML file: the template `report.html.j2` with the charts of `services.charts` as SVG. All text of
models, runs and folders is escaped; the page's policy forbids it to load or run anything."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from seirenes_app.services import hint_figures
from seirenes_app.services.charts.panels import panel_chart
from seirenes_app.services.charts.redteam import campaign_charts
from seirenes_app.services.charts.study import study_chart
from seirenes_app.services.charts.style import DARK, LIGHT
from seirenes_app.services.formatting import percent_interval
from seirenes_app.services.hint_figures import HintAnalysis
from seirenes_app.services.report.document import CampaignSection, Report, StudySection, panel_table, report_of
from seirenes_app.services.robustness import transfer
from seirenes_app.services.robustness.checkpoint_figures import HEADLINE_COLUMNS
from seirenes_app.services.robustness.cross_play import text_table as matrix_table
from seirenes_app.services.robustness.domain_transfer import CONDITIONS
from seirenes_app.services.robustness.transfer import Transfer
from seirenes_app.services.robustness.types import COMPARISON_COLUMNS, Panel
from seirenes_app.services.study.results import TEXTS
from training.resources import data_folder
from training.runs.files import write_whole

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TRANSFER_HINTS = 40  # that are listed; the verb writes all of them to a CSV file
HEADLINE_NOTE = (
    "The same problems and texts at both ends. Intervals are 95%, over problems; the change is in points, paired with "
    "a bootstrap over problems unless it is marked as unpaired; p is McNemar's, with problems as clusters."
)


def report_html(report: Report) -> str:
    # Imported here: matplotlib and Jinja2 are needed by a report alone.
    from markupsafe import Markup

    from seirenes_app.services.charts.export import chart_svg, palette_css

    def chart(panel: Panel, by_step: bool) -> Markup:
        found = panel_chart(panel, by_step=by_step)
        label = f"{panel.title}. {panel.sentence}"
        return Markup(visible_controls(chart_svg(found, label)) if found.curves else "")

    def study_charts(section: StudySection) -> list[tuple[str, str, Markup]]:
        found = []
        for measure in section.results.measures():
            text = TEXTS[measure]
            svg = chart_svg(study_chart(section.results, measure), f"{text.title}. {text.help}")
            found.append((text.title, text.help, Markup(visible_controls(svg))))
        return found

    def red_team_charts(section: CampaignSection) -> list[tuple[str, str, Markup]]:
        return [
            (title, note, Markup(visible_controls(chart_svg(chart, f"{title}. {note}"))))
            for title, chart, note in campaign_charts(section.result)
            if chart.keyed
        ]

    def hint_charts(found: HintAnalysis) -> list[tuple[str, str, str, Markup]]:
        return [
            (f.title, f.sentence, f.note, Markup(visible_controls(chart_svg(f.chart, f"{f.title}. {f.sentence}"))))
            for f in hint_figures.figures_of(found)
        ]

    def transfer_chart(found: Transfer) -> Markup:
        data = transfer.loss_chart(found)
        label = f"Loss beyond neutral text, by model. {' '.join(found.sentences)}"
        return Markup(visible_controls(chart_svg(data, label)) if data is not None else "")

    return _environment().get_template("report.html.j2").render(
        report=report, chart=chart, study_charts=study_charts, red_team_charts=red_team_charts,
        hints=hint_figures, hint_charts=hint_charts,
        panel_table=panel_table, matrix_table=matrix_table, headline_note=HEADLINE_NOTE,
        headline_columns=HEADLINE_COLUMNS, comparison_columns=COMPARISON_COLUMNS,
        transfer_conditions=CONDITIONS, transfer=transfer, transfer_chart=transfer_chart,
        transfer_hints=TRANSFER_HINTS,
        light=Markup(palette_css(LIGHT)), dark=Markup(palette_css(DARK)),
    )  # fmt: skip


def write_report(roots: Sequence[Path]) -> Path:
    """The report of these folders as one file in the data folder. A UserError where one of them has no figures."""
    text = report_html(report_of(roots))
    folder = data_folder() / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{roots[0].resolve().name}-robustness.html"
    write_whole(path, text)
    return path


def visible_controls(value: object) -> str:
    """Text whose control characters, which no page may hold, are replaced by their pictures."""
    return "".join(c if c >= " " or c in "\n\t" else chr(0x2400 + ord(c)) for c in str(value))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=lambda v: v if isinstance(v, Markup) else visible_controls(v),
    )  # fmt: skip
    found.filters["percent_interval"] = percent_interval
    return found
