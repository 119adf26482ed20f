"""`seirenes transfer`: what hints that were made against one model do to others."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from seirenes_app.cli.common import (
    ERR,
    OUT,
    add_exact_option,
    add_prompts_option,
    add_spending_options,
    print_table,
    print_template_notes,
    read_limits,
    read_prompts,
)
from seirenes_app.cli.evaluate import begin_evaluation, follow_evaluation
from seirenes_app.cli.report import report_facts
from seirenes_app.services import evaluations
from seirenes_app.services.formatting import brief, visible
from seirenes_app.services.robustness.sources import open_source
from seirenes_app.services.robustness.transfer import Transfer, hint_table, long_table, model_table, transfers
from seirenes_app.services.robustness.types import DataTable
from seirenes_app.services.transfer_request import PROBLEMS, TransferRequest, find_transfer, plan_transfer, split_names
from training.errors import UserError
from training.evaluation.eval_dir import EvalDir
from training.evaluation.plan import EvalPlan
from training.runs.files import write_whole
from training.runs.status import RunStatus

SHOWN = 10
WIDEST = 48  # characters of a hint in a table


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    transfer = verbs.add_parser("transfer")
    transfer.add_argument(
        "hints", metavar="RUN|SUITE|CAMPAIGN", help="whose hints: a run, 'recorded', a suite by name or folder, a "
        "campaign; without --models an evaluation of several models, whose transfer is shown",
    )  # fmt: skip
    transfer.add_argument(
        "--models", action="append", default=[], metavar="MODEL,…",
        help="two or more: 'starter', a GGUF file, a model folder, a hub id, RUN@STEP, endpoint:NAME",
    )  # fmt: skip
    transfer.add_argument(
        "--problems", type=int, metavar="N", help=f"default: all of a suite, {PROBLEMS} of a run's strongest hints"
    )
    transfer.add_argument("--samples", type=int, default=1, metavar="N", help="answers of each prompt (default: 1)")
    transfer.add_argument("--temperature", type=float, metavar="T", help="default: 0 with one sample, 1 with several")
    transfer.add_argument("--seed", type=int, default=evaluations.SEED)
    transfer.add_argument("--max-tokens", type=int, metavar="N", help="of a solution; default: by prompts and models")
    add_exact_option(transfer)
    add_spending_options(transfer)
    add_prompts_option(transfer)
    transfer.add_argument("--again", action="store_true", help="ask again, though the same was measured before")
    transfer.add_argument("--csv", type=Path, metavar="FILE", help="write every figure with its n and interval")
    transfer.add_argument("--detach", action="store_true", help="start it in the background and return")
    transfer.add_argument("--json", action="store_true")


def transfer(options: argparse.Namespace) -> int:
    library = evaluations.EvaluationRepository()
    show = partial(_show, options.csv)
    if not options.models:
        paths = library.find(options.hints)
        state = evaluations.read_evaluation(paths).state
        show(paths, None, state.status if state else RunStatus.FINISHED, options.json)
        return 0
    plan = plan_transfer(_request(options))
    print_template_notes(t.path for t in plan.targets)
    known = None if options.again else find_transfer(plan, library)
    if known is not None and known.state is not None and known.state.status is RunStatus.FINISHED:
        ERR.print(f"Measured before, in {known.paths.run_id}; --again asks once more.", highlight=False, markup=False)
        show(known.paths, known.plan, known.state.status, options.json)
        return 0
    if known is not None:
        ERR.print(f"Resuming {known.paths.run_id}.", highlight=False, markup=False)
    return follow_evaluation(known.paths if known else begin_evaluation(plan, options), options, show)


def _request(options: argparse.Namespace) -> TransferRequest:
    for name in ("problems", "samples", "max_tokens"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be 1 or more.")
    return TransferRequest(
        options.hints, split_names(options.models), options.problems, options.samples, options.temperature,
        options.seed, options.max_tokens, read_prompts(options), read_limits(options), options.exact,
    )  # fmt: skip


def show_transfer(paths: EvalDir) -> None:
    """Print the transfer of an evaluation."""
    _show(None, paths, None, RunStatus.FINISHED, as_json=False)


def _show(csv: Path | None, paths: EvalDir, _plan: EvalPlan | None, status: RunStatus, as_json: bool) -> None:
    found = transfers(open_source(paths.root))
    if not found:
        raise UserError(
            f"{paths.run_id} has no two models with answers under the same hints. Measure them: seirenes transfer "
            "RUN --models A,B"
        )
    if csv is not None:
        rows = [row for each in found for row in long_table(each).rows]
        write_whole(csv.expanduser(), replace(long_table(found[0]), rows=tuple(rows)).csv())
    if as_json:
        facts = [report_facts(each) for each in found]
        print(json.dumps(
            {"evaluation": paths.run_id, "root": str(paths.root), "status": status, "transfer": facts},
            ensure_ascii=False,
        ))  # fmt: skip
        return
    for each in found:
        _print(each)
    if csv is not None:
        OUT.print(Text(f"\nEvery figure is in {csv}."), highlight=False)
    OUT.print(f"Evaluation {paths.run_id} in {paths.root}", highlight=False, markup=False, soft_wrap=True)


def _print(found: Transfer) -> None:
    OUT.print(Text(visible(f"Transfer of {found.suite}, {found.asked}"), style="bold"), highlight=False)
    print_table(_table(model_table(found)))
    for text in (*found.sentences, *found.warnings):
        OUT.print(Padding(Text(visible(text)), (0, 0, 0, 2)), highlight=False)
    if found.hints:
        shown = hint_table(found)
        OUT.print(
            Text(f"\nHints by mean loss, the first {min(SHOWN, len(shown.rows))} of {len(shown.rows)}"), highlight=False
        )
        print_table(_table(DataTable(shown.columns, shown.rows[:SHOWN])))
    OUT.print(Text(found.note), highlight=False)


def _table(shown: DataTable) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for i, name in enumerate(shown.columns):
        table.add_column(Text(visible(name)), justify="right" if i else "left", overflow="fold")
    for row in shown.rows:
        table.add_row(*(Text(visible(brief(_cell(cell), WIDEST))) for cell in row))
    return table


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
