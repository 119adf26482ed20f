"""`seirenes analyse`: what the Adversary of a run learned, and what its Reasoner stopped falling for."""

from __future__ import annotations

import argparse
import json

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from seirenes_app.cli.common import ERR, OUT, RECORDED, find_run_or_recorded, print_table
from seirenes_app.services import hint_figures
from seirenes_app.services.formatting import brief, visible
from seirenes_app.services.robustness.types import DataTable

FORMS, SHAPE = 8, 46


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    analyse = verbs.add_parser("analyse")
    analyse.add_argument("run", metavar="RUN", help=f"a run id or folder, or '{RECORDED}' for the run that ships")
    output = analyse.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="everything, as one JSON object")
    output.add_argument("--csv", choices=list(hint_figures.TABLES), metavar="TABLE",
                        help=f"one table as CSV: {', '.join(hint_figures.TABLES)}")  # fmt: skip


def analyse(options: argparse.Namespace) -> int:
    """Analyse the run's hints; Ctrl+C ends it with nothing printed."""
    paths = find_run_or_recorded(options.run)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"), TimeElapsedColumn())
    hidden = options.json or bool(options.csv) or not ERR.is_terminal
    with Progress(*columns, console=ERR, transient=True, disable=hidden) as progress:
        task = progress.add_task("reading the rollouts", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, description="describing hints", completed=done, total=total or 1)

        found = hint_figures.analyse_hints(paths.rollouts, progress=show)
    if options.json:
        print(json.dumps({"run": paths.run_id, **hint_figures.as_facts(found)}, ensure_ascii=False, allow_nan=False))
    elif options.csv:
        print(hint_figures.TABLES[options.csv](found).csv(), end="")
    else:
        _say(found)
    return 0


def _say(found: hint_figures.HintAnalysis) -> None:
    for text in hint_figures.summarise(found):
        OUT.print(visible(text), highlight=False, markup=False)
        OUT.print()
    if not found.hints:
        return
    OUT.print(f"Forms. {hint_figures.third_text(found)}", highlight=False, markup=False)
    _print(hint_figures.cluster_text(found), FORMS)
    for cluster in found.clusters[:3]:
        OUT.print(f"“{visible(brief(cluster.shape, 90))}”", highlight=False, markup=False)
        for line in hint_figures.example_lines(cluster):
            OUT.print(f"  {visible(line)}", highlight=False, markup=False)
    if found.model is not None and found.model.effects:
        OUT.print()
        _print(hint_figures.effect_rows(found), len(found.model.effects))


def _print(shown: DataTable, most: int) -> None:
    table = Table(box=None, pad_edge=False)
    for i, heading in enumerate(shown.columns):
        table.add_column(heading, no_wrap=i > 0)
    for row in shown.rows[:most]:
        table.add_row(*(Text(visible(brief(str(cell), SHAPE))) for cell in row))
    print_table(table)
