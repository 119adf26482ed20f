"""The verb `seirenes domains`: what training on some families of problems changed on each family."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from seirenes_app.cli.common import OUT
from seirenes_app.cli.report import find_source, report_facts
from seirenes_app.services.formatting import visible
from seirenes_app.services.report.document import tracks_to_compare
from seirenes_app.services.robustness.comparison import transfer_of
from seirenes_app.services.robustness.domain_transfer import CONDITIONS, DomainTransfer
from seirenes_app.services.robustness.result_source import ResultSource
from training.core.types import Condition
from training.errors import UserError
from training.runs.files import write_whole


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    domains_ = verbs.add_parser("domains")
    domains_.add_argument(
        "runs", metavar="RUN", nargs="+",
        help="a run or an evaluation of runs, by id or folder; all on one suite, the first one's",
    )  # fmt: skip
    domains_.add_argument(
        "--condition", action="append", choices=[str(c) for c in CONDITIONS], default=[],
        help="show this one (default: all four)",
    )  # fmt: skip
    domains_.add_argument("--csv", type=Path, metavar="FILE", help="write every cell with its n, interval and shares")
    domains_.add_argument("--json", action="store_true", help="everything as JSON")


_NOTHING = (
    "No run has the rows of two of its checkpoints on one suite. Evaluate them: seirenes eval RUN@all --suite NAME"
)


def domains(options: argparse.Namespace) -> int:
    opened = [ResultSource(find_source(name)) for name in options.runs]
    found, refused = transfer_of(tracks_to_compare(opened))
    if found is None:
        raise UserError(" ".join((*refused, _NOTHING)))
    if options.csv is not None:
        write_whole(options.csv.expanduser(), found.table.csv())
    if options.json:
        print(json.dumps({"refused": refused, **report_facts(found)}, ensure_ascii=False))
        return 0
    for text in refused:
        OUT.print(Text(visible(text)), highlight=False)
    for condition in options.condition or CONDITIONS:
        _print_matrix(found, Condition(condition))
    for text in (*found.sentences, found.note):
        OUT.print(Padding(Text(visible(text)), (1, 0, 0, 0)), highlight=False)
    if options.csv is not None:
        OUT.print(Text(f"\nEvery cell is in {options.csv}."), highlight=False)
    return 0


def _print_matrix(found: DomainTransfer, condition: Condition) -> None:
    """One line a run and family: the matrix itself is as wide as there are families."""
    OUT.print(Text(f"\nChange of {condition} accuracy, in points", style="bold"), highlight=False)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("problems of")
    for row in found.rows:
        table.add_column(Text(visible(f"{row.run}\n{row.trained_on}")), justify="right")
    for place, family in enumerate(found.columns):
        table.add_row(Text(visible(family)), *_cells(found, place, condition))
    OUT.print(table)


def _cells(found: DomainTransfer, place: int, condition: Condition) -> Sequence[Text]:
    cells = [row.cells[place] for row in found.rows]
    texts = (visible(f"{cell.text(condition)}  n={cell.problems}") for cell in cells)
    return [Text(t, style="bold" if c.is_clear(condition) else "") for t, c in zip(texts, cells, strict=True)]
