"""The verb `seirenes report`: what runs and evaluations show, in the terminal, as JSON, or as one HTML file."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from seirenes_app.cli.common import OUT, RECORDED, find_run_or_recorded
from seirenes_app.services.evaluations import EvaluationRepository
from seirenes_app.services.formatting import percent_interval, visible
from seirenes_app.services.hint_figures import summarise
from seirenes_app.services.redteam.campaign import find_campaign
from seirenes_app.services.report.document import Report, SourceSection, report_of
from seirenes_app.services.report.html import HEADLINE_NOTE, report_html
from seirenes_app.services.robustness.checkpoint_figures import HEADLINE_COLUMNS
from seirenes_app.services.robustness.domain_transfer import DomainTransfer
from seirenes_app.services.robustness.transfer import Transfer
from seirenes_app.services.robustness.types import Comparison, MatrixPanel
from seirenes_app.services.study.definition import find_study
from seirenes_app.services.study.results import MAIN, Basis, main_table
from training.errors import UserError
from training.evaluation.eval_dir import PLAN
from training.runs.files import write_whole


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    report_ = verbs.add_parser("report")
    report_.add_argument(
        "runs", metavar="RUN", nargs="+",
        help=f"a run, an evaluation, a study or a campaign, by id or folder, or '{RECORDED}' for the run that "
        "ships; several runs are compared",
    )  # fmt: skip
    report_.add_argument("-o", "--out", type=Path, metavar="FILE", help="write it as one HTML file")
    report_.add_argument("--json", action="store_true", help="everything as JSON")


def report(options: argparse.Namespace) -> int:
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
        for part in _parts(found):
            OUT.print(part, highlight=False)
    else:
        OUT.print(_plain_text(f"Written to {options.out}."), highlight=False)
    return 0


def find_source(name: str) -> Path:
    """The folder of a run or an evaluation; a UserError that says where was looked."""
    folder = Path(name).expanduser()
    if (folder / PLAN).is_file() or (folder / "events.jsonl").is_file():
        return folder
    try:
        return find_run_or_recorded(name).root
    except UserError:
        for find in (EvaluationRepository().find, find_study, find_campaign):
            with suppress(UserError):
                return find(name).root
        raise


# ---------------------------------------------------------------------- for people


def _parts(found: Report) -> Iterator[RenderableType]:
    yield _bold(found.title)
    if found.comparison is not None:
        yield from _compared(found.comparison)
    yield from _study_parts(found)
    yield from _campaign_parts(found)
    for source in found.sources:
        if len(found.sources) > 1:
            yield from _section(source.name)
        yield from (_plain_text(f"Warning: {warning}") for warning in source.warnings)
        for track in source.tracks:
            if len(source.tracks) > 1:
                yield from _section(track.track.title)
            if (ends := track.headline) is not None:
                yield from _section(f"Before and after: {ends.before} against {ends.after}")
                yield _table(HEADLINE_COLUMNS, ends.rows)
                yield _point(HEADLINE_NOTE)
                if ends.claim:
                    yield _point(ends.claim)
            for panel in track.panels:
                yield from _section(panel.title, panel.sentence.splitlines())
        yield from _beside_tracks(source)
    yield from _section("Limits of this evidence", found.limits)
    yield ""
    yield _plain_text("The whole report, with charts, tables and answers side by side: add -o report.html")


def _beside_tracks(source: SourceSection) -> Iterator[RenderableType]:
    """Cross-play, what the hints do to several models, and what the Adversary learned."""
    if source.matrix is not None:
        yield from _section(source.matrix.title)
        yield _table(
            ("Reasoner \\ hints of", *source.matrix.writers, "row mean", *(n for n, _ in source.matrix.beside)),
            _matrix_rows(source.matrix),
        )
        yield from map(_point, source.matrix.sentences)
    for found in source.transfers:
        yield from _section(f"Transfer of hints: {found.suite}", (*found.sentences, *found.warnings))
    if source.hints is not None:
        yield from _section("What the Adversary learned", summarise(source.hints))


def _study_parts(found: Report) -> Iterator[RenderableType]:
    """Of every study what was shown, and its main measures; the file has all of them."""
    for study in found.studies:
        yield from _section(f"Study {study.results.name}", (*study.sentences, *study.goals))
        for basis in Basis:
            if study.results.figures[basis]:
                rows = main_table(study.results, basis, MAIN)
                yield from _section(f"Share right with its 95% interval, at equal {basis}")
                yield _table(rows.columns, ([str(value) for value in line] for line in rows.rows))


def _campaign_parts(found: Report) -> Iterator[RenderableType]:
    for campaign in found.campaigns:
        yield from _section(f"Red team: {campaign.result.title}", campaign.sentences)
        for title, rows in campaign.tables:
            yield from _section(title)
            yield _table(rows.columns, ([str(value) for value in line] for line in rows.rows))


def _compared(found: Comparison) -> Iterator[RenderableType]:
    yield from _section("Runs compared", (*found.refused, *found.sentences))
    if found.transfer is not None:
        yield from _section("Transfer between domains", (*found.transfer.sentences, found.transfer.note))


def _section(title: str, points: Iterable[str] = ()) -> Iterator[RenderableType]:
    yield ""
    yield _bold(title)
    yield from map(_point, points)


def _bold(text: str) -> Text:
    return Text(visible(text), style="bold")


def _plain_text(text: str) -> Text:
    return Text(visible(text, "\n"))


def _point(text: str) -> Padding:
    return Padding(Text(visible(text)), (0, 0, 0, 2))


def _matrix_rows(found: MatrixPanel) -> Iterator[tuple[str, ...]]:
    for i, (name, cells) in enumerate(zip(found.reasoners, found.cells, strict=True)):
        shown = ["not yet" if c.value is None else percent_interval(c.value) for c in cells]
        others = (found.row_means[i], *(values[i] for _, values in found.beside))
        yield name, *shown, *("" if value is None else percent_interval(value) for value in others)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for i, name in enumerate(columns):
        table.add_column(Text(visible(name)), justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table


# ---------------------------------------------------------------------- for programs


def report_facts(found: Report | DomainTransfer | Transfer) -> dict[str, Any]:
    """The whole report, or a part of it, as JSON values; paths as text, what is not finite as null."""
    facts: dict[str, Any] = _as_json(dataclasses.asdict(found))
    return facts


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _as_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
