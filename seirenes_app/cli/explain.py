"""The verb `seirenes explain`: which sentence of a hint does it, at which tokens, in which step of the reasoning."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from seirenes_app.cli.common import OUT
from seirenes_app.cli.craft import STOPPED, Waiting, add_problem_options, add_solver_options, say, solve_draft
from seirenes_app.inference.client import WorkerClient
from seirenes_app.services.attribution.alignment import Alignment, align
from seirenes_app.services.attribution.logprob_delta import (
    LEGEND,
    LogprobDelta,
    LogprobDeltaJob,
    delta_lines,
    visible,
    worst_lines,
)
from seirenes_app.services.attribution.pair_selection import PairSelection, right_solution, select_pair
from seirenes_app.services.attribution.sentence_ablation import AblationJob, AblationResult, AblationRow, VariantResult
from seirenes_app.services.formatting import decimal, percent, percent_limits, points_interval
from seirenes_app.services.hint_authoring.draft import Draft, DraftHint
from seirenes_app.services.hint_authoring.results import SolvedSample, draft_facts, limits
from training.core.statistics import Interval
from training.errors import UserError


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`seirenes explain` and its options."""
    explain_ = verbs.add_parser("explain")
    add_problem_options(explain_)
    explain_.add_argument("--hint", required=True, metavar="TEXT")
    explain_.add_argument("--solution", default="", metavar="TEXT", help="scored when no clean solution is right")
    add_solver_options(explain_)
    explain_.set_defaults(no_placebo=True)


def explain(options: argparse.Namespace) -> int:
    """Ablate the hint, score a right solution under both prompts, and put the most telling samples side by side.

    3 when it was interrupted, with what there is.
    """
    draft, hint = _draft(options)
    with WorkerClient() as client:
        ablation = _ablate(client, draft, hint, quiet=options.json)
        solution = right_solution(ablation.clean.samples, draft.problem.solution)
        delta = _score(client, draft, hint, solution) if solution and not ablation.cancelled else None
    pair = select_pair(ablation.clean.samples, ablation.full.samples)
    alignment = align(pair.clean.text, pair.hinted.text) if pair else None
    if options.json:
        print(json.dumps(_facts(draft, hint, ablation, delta, pair, alignment)))
    else:
        _say_ablation(ablation, hint)
        if not ablation.cancelled:
            _say_deltas(delta)
        if pair and alignment:
            _say_pair(pair, alignment)
    return STOPPED if ablation.cancelled else 0


def _draft(options: argparse.Namespace) -> tuple[Draft, DraftHint]:
    draft, hint = solve_draft(options)
    if hint is None:
        raise UserError("The hint is empty: give its text with --hint.")
    if options.solution:
        draft = dataclasses.replace(draft, problem=dataclasses.replace(draft.problem, solution=options.solution))
    return draft, hint


def _ablate(client: WorkerClient, draft: Draft, hint: DraftHint, *, quiet: bool) -> AblationResult:
    with Waiting("solving", quiet=quiet) as waiting:

        def show(result: AblationResult) -> None:
            # What makes the same text is solved once.
            variants = {v.hint: v for v in _variants(result)}.values()
            waiting.show(sum(v.n for v in variants), sum(v.planned for v in variants))

        found: AblationResult = waiting.result(AblationJob(client, draft, hint, show, waiting.done, waiting.failed))
    return found


def _variants(result: AblationResult) -> list[VariantResult]:
    return [result.clean, result.full, *(v for row in result.rows for v in (row.without, row.only))]


def _score(client: WorkerClient, draft: Draft, hint: DraftHint, solution: str) -> LogprobDelta:
    with Waiting("scoring", quiet=True) as waiting:
        found: LogprobDelta = waiting.result(
            LogprobDeltaJob(client, draft, hint, solution, waiting.done, waiting.failed)
        )
    return found


# ---------------------------------------------------------------------- for people


def _say_ablation(result: AblationResult, hint: DraftHint) -> None:
    say(f"clean       {_rate(result.clean)}")
    say(f"whole hint  {_rate(result.full)}   Δ {_delta(result.delta_full)}")
    follows = [s.follows for s in result.full.samples if s.follows is not None]
    if follows:
        say(f"{sum(follows)} of {len(follows)} solutions under it answer {hint.suggested}, as it suggests.")
    say()
    say("Sentence by sentence; Δ above zero: it does harm (95% intervals).")
    table = _table("", "sentence", "left out\nΔ left out − whole", "alone\nΔ clean − alone")
    for i, row in enumerate(result.rows):
        without = f"{_count(row.without)}\n{_delta(row.delta_without)}"
        only = f"{_count(row.only)}\n{_delta(row.delta_only)}"
        cells = (">" if i == result.worst else "", visible(row.sentence), without, only)
        table.add_row(*map(Text, cells))
    OUT.print(table, highlight=False)
    if result.worst is not None:
        say("> does the most harm, both figures together.")
    if result.note:
        say(result.note)
    if result.cancelled:
        say("Interrupted: these are the figures until then.")


def _count(variant: VariantResult) -> str:
    return f"{variant.right}/{variant.n}"


def _rate(variant: VariantResult) -> str:
    return f"{_count(variant)} right: {percent(variant.accuracy)} {percent_limits(variant.low, variant.high)}"


def _delta(delta: Interval | None) -> str:
    return points_interval(delta) if delta else "unknown"


def _say_deltas(delta: LogprobDelta | None) -> None:
    say()
    if delta is None:
        say("No clean solution is right, so none was scored. Give a worked one with --solution.")
        return
    say(
        "A right solution under the clean and the hinted prompt: Δ log-prob "
        f"{decimal(delta.total_delta, signed=True)} in all."
    )
    for line in delta_lines(delta, max(20, OUT.width - 4)):
        say(f"    {line}")
    say(LEGEND)
    for line in worst_lines(delta):
        say(line)


def _say_pair(pair: PairSelection[SolvedSample], alignment: Alignment) -> None:
    say()
    say(f"Sample {pair.hinted.index}: {pair.reason}")
    table = _table("", "step", f"clean: {pair.clean.outcome}", f"hinted: {pair.hinted.outcome}")
    for i, step in enumerate(alignment.pairs):
        mark = "=" if step.same else "≠ first" if i == alignment.divergence else "≠"
        sides = (visible(side or "", "\n") for side in (step.left, step.right))
        table.add_row(*map(Text, (mark, str(i + 1), *sides)))
    OUT.print(table, highlight=False)
    say(alignment.note)


def _table(*headings: str) -> Table:
    return Table(*headings, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)


# ---------------------------------------------------------------------- for programs


def _facts(
    draft: Draft,
    hint: DraftHint,
    ablation: AblationResult,
    delta: LogprobDelta | None,
    pair: PairSelection[SolvedSample] | None,
    alignment: Alignment | None,
) -> dict[str, Any]:
    trace = None
    if pair is not None and alignment is not None:
        trace = dataclasses.asdict(pair) | {"alignment": dataclasses.asdict(alignment)}
    return draft_facts(draft) | {
        "hint": dataclasses.asdict(hint), "ablation": _ablation_facts(ablation),
        "logprob_delta": delta and dataclasses.asdict(delta), "trace": trace,
    }  # fmt: skip


def _ablation_facts(result: AblationResult) -> dict[str, Any]:
    """The ablation without the samples' texts: those that tell most are in the trace."""
    return {
        "clean": _figures(result.clean), "full": _figures(result.full), "delta_full": limits(result.delta_full),
        "rows": [_row(r) for r in result.rows], "worst": result.worst, "note": result.note,
        "seconds": round(result.seconds, 3), "complete": result.complete, "cancelled": result.cancelled,
    }  # fmt: skip


def _row(row: AblationRow) -> dict[str, Any]:
    return {
        "sentence": row.sentence, "start": row.span.start, "end": row.span.end, "without": _figures(row.without),
        "only": _figures(row.only), "delta_without": limits(row.delta_without), "delta_only": limits(row.delta_only),
    }  # fmt: skip


def _figures(variant: VariantResult) -> dict[str, Any]:
    follows = [s.follows for s in variant.samples if s.follows is not None]
    return {"right": variant.right, "n": variant.n, "accuracy": variant.accuracy, "low": variant.low,
            "high": variant.high, "follows": sum(follows) if follows else None}  # fmt: skip
