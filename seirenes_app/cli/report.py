"""The verb `seirenes report`: what runs and evaluations show, in the terminal, as JSON, or as one HTML file."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from seirenes_app.cli.common import OUT, RECORDED, find_run_or_recorded
from seirenes_app.services.attribution.logprob_delta import visible
from seirenes_app.services.evaluations import EvaluationRepository
from seirenes_app.services.formatting import percent_interval
from seirenes_app.services.report.document import Report, SourceSection, TrackSection, report_of
from seirenes_app.services.report.html import HEADLINE_NOTE, report_html
from seirenes_app.services.robustness.checkpoint_figures import HEADLINE_COLUMNS, Headline
from seirenes_app.services.robustness.types import Comparison, MatrixPanel
from training.errors import UserError
from training.evaluation.eval_dir import PLAN
from training.runs.files import write_whole


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`seirenes report` and its options."""
    report_ = verbs.add_parser("report")
    report_.add_argument(
        "runs", metavar="RUN", nargs="+",
        help=f"a run or an evaluation, by id or folder, or '{RECORDED}' for the run that ships; several are compared",
    )  # fmt: skip
    report_.add_argument("-o", "--out", type=Path, metavar="FILE", help="write it as one HTML file")
    report_.add_argument("--json", action="store_true", help="everything as JSON")


def report(options: argparse.Namespace) -> int:
    """Make the report, and write or print it."""
    found = report_of([find_source(name) for name in options.runs])
    if options.out is not None:
        target = options.out.expanduser()
        if not target.parent.is_dir():
            raise UserError(f"There is no folder {target.parent} to write the report to. Make it, or name another.")
        write_whole(target, report_html(found))
    if options.json:
        print(json.dumps(report_facts(found), ensure_ascii=False))
        return 0
    if options.out is None:
        _say_report(found)
    else:
        _say(f"Written to {options.out}.")
    return 0


def find_source(name: str) -> Path:
    """The folder of a run or an evaluation; a UserError that says where was looked."""
    folder = Path(name).expanduser()
    if (folder / PLAN).is_file() or (folder / "events.jsonl").is_file():
        return folder
    try:
        return find_run_or_recorded(name).root
    except UserError as no_run:
        try:
            return EvaluationRepository().find(name).root
        except UserError:
            raise no_run from None


# ---------------------------------------------------------------------- for people


def _say(text: str = "") -> None:
    OUT.print(Text(visible(text, "\n")), highlight=False, soft_wrap=False)


def _say_report(found: Report) -> None:
    OUT.print(Text(visible(found.title), style="bold"))
    if found.comparison is not None:
        _say_comparison(found.comparison)
    for source in found.sources:
        _say_source(source, many=len(found.sources) > 1)
    _say_heading("Limits of this evidence")
    for limit in found.limits:
        _say_point(limit)
    _say()
    _say("The whole report, with charts, tables and answers side by side: add -o report.html")


def _say_heading(text: str) -> None:
    OUT.print()
    OUT.print(Text(visible(text), style="bold"))


def _say_point(text: str) -> None:
    OUT.print(Padding(Text(visible(text)), (0, 0, 0, 2)), highlight=False)


def _say_source(source: SourceSection, *, many: bool) -> None:
    if many:
        _say_heading(source.name)
    for warning in source.warnings:
        _say(f"Warning: {warning}")
    for track in source.tracks:
        _say_track(track, several=len(source.tracks) > 1)
    if source.matrix is not None:
        _say_matrix(source.matrix)


def _say_track(section: TrackSection, *, several: bool) -> None:
    if several:
        _say_heading(section.track.title)
    if section.headline is not None:
        _say_headline(section.headline)
    for panel in section.panels:
        _say_heading(panel.title)
        _say_point(panel.sentence)


def _say_headline(found: Headline) -> None:
    _say_heading(f"Before and after: {found.before} against {found.after}")
    table = _table(HEADLINE_COLUMNS, numbers_from=1)
    for line in found.lines:
        table.add_row(*(Text(visible(c)) for c in line.cells()))
    OUT.print(table)
    _say_point(HEADLINE_NOTE)


def _say_matrix(found: MatrixPanel) -> None:
    _say_heading(found.title)
    table = _table(("Reasoner \\ hints of", *found.writers, "row mean"), numbers_from=1)
    for name, cells, mean in zip(found.reasoners, found.cells, found.row_means, strict=True):
        shown = ["not yet" if c.value is None else percent_interval(c.value) for c in cells]
        table.add_row(*map(Text, (visible(name), *shown, "" if mean is None else percent_interval(mean))))
    OUT.print(table)
    for sentence in found.sentences:
        _say_point(sentence)


def _say_comparison(found: Comparison) -> None:
    _say_heading("Runs compared")
    for text in (*found.refused, *found.sentences):
        _say_point(text)


def _table(columns: tuple[str, ...], *, numbers_from: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for i, name in enumerate(columns):
        table.add_column(Text(visible(name)), justify="right" if i >= numbers_from else "left")
    return table


# ---------------------------------------------------------------------- for programs


def report_facts(found: Report) -> dict[str, Any]:
    """The whole report as JSON values; paths as text, what is not finite as null."""
    facts: dict[str, Any] = _plain(dataclasses.asdict(found))
    return facts


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
