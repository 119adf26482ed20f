"""`seirenes explain`: which sentence of a hint does harm, at which tokens, in which step of the reasoning."""

from __future__ import annotations

import argparse
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from seirenes_app.cli import craft
from seirenes_app.cli.common import OUT
from seirenes_app.inference.endpoint_client import NO_SCORES, SCORE_REMEDY
from seirenes_app.services.answer_reading import describe_unread, no_effect, outcome_word
from seirenes_app.services.attribution import logprob_delta
from seirenes_app.services.attribution.alignment import Alignment, align
from seirenes_app.services.attribution.pair_selection import PairSelection, right_solution, select_pair
from seirenes_app.services.attribution.sentence_ablation import (
    AblationResult,
    VariantResult,
    ablate_sentences,
    parts_of,
)
from seirenes_app.services.formatting import decimal, percent, percent_limits, points_interval, visible
from seirenes_app.services.hint_authoring.draft import DraftHint
from seirenes_app.services.hint_authoring.jobs import Job
from seirenes_app.services.hint_authoring.models import planned_samples
from seirenes_app.services.hint_authoring.results import draft_facts
from training.core.statistics import Interval
from training.endpoints import names_endpoint
from training.errors import UserError


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    explain_ = verbs.add_parser("explain")
    craft.add_problem_options(explain_)
    explain_.add_argument("--hint", required=True, metavar="TEXT")
    explain_.add_argument("--solution", default="", metavar="TEXT", help="scored when no clean solution is right")
    craft.add_solver_options(explain_)
    explain_.set_defaults(no_placebo=True)


def explain(options: argparse.Namespace) -> int:
    """Ablate, score a right solution under both prompts, show a pair; 3 when interrupted, with what there is."""
    draft, hint = craft.solve_draft(options)
    if hint is None:
        raise UserError("The hint is empty: give its text with --hint.")
    craft.print_notes([draft.solver])
    pieces = 2 * len(parts_of(hint.text)) + 2
    craft.confirm_asking(draft, [(draft.solver, pieces * planned_samples(draft.plan), draft.plan.max_tokens)], options)
    served = names_endpoint(draft.solver.model)
    delta: logprob_delta.LogprobDelta | None = None
    with craft.open_client(draft.solver, options) as client:
        with craft.Waiting("solving", quiet=options.json) as waiting:

            def show(result: AblationResult) -> None:
                # What makes the same text is solved once.
                both = [variant for row in result.rows for variant in (row.without, row.only)]
                variants = {v.hint: v for v in (result.clean, result.full, *both)}.values()
                waiting.show(sum(v.n for v in variants), sum(v.planned for v in variants))

            ablation: AblationResult = waiting.result(
                Job(client, waiting.done, waiting.failed, ablate_sentences, draft, hint, show)
            )
        solution = right_solution(ablation.clean.samples, options.solution or draft.problem.solution)
        if solution and not ablation.cancelled and not served:
            with craft.Waiting("scoring", quiet=True) as waiting:
                job = Job(client, waiting.done, waiting.failed, logprob_delta.score_solution, draft, hint, solution)
                delta = waiting.result(job)
    pair = select_pair(ablation.clean.samples, ablation.full.samples)
    alignment = align(pair.clean.text, pair.hinted.text) if pair else None
    if options.json:
        trace = pair and {"clean": pair.clean, "hinted": pair.hinted, "reason": pair.reason, "alignment": alignment}
        facts = {"hint": hint, "ablation": _ablation_facts(ablation), "logprob_delta": delta, "trace": trace}
        craft.print_json(draft_facts(draft) | facts)
    else:
        _say_ablation(ablation, hint, draft.plan.max_tokens)
        if not ablation.cancelled:
            _say_deltas(delta, served)
        if pair and alignment:
            _say_pair(pair, alignment)
    return craft.STOPPED if ablation.cancelled else 0


# ---------------------------------------------------------------------- for people


def _say_ablation(result: AblationResult, hint: DraftHint, max_tokens: int) -> None:
    craft.say(f"clean       {_rate(result.clean)}")
    craft.say(f"whole hint  {_rate(result.full)}   Δ {_delta(result.delta_full)}")
    if (follows := result.full.follows) and not result.full.unread.mostly:
        craft.say(f"{sum(follows)} of {len(follows)} readable answers under it are {hint.suggested}, as it suggests.")
    craft.say_unread({"clean": result.clean.unread, "hinted": result.full.unread}, max_tokens)
    craft.say()
    craft.say("Sentence by sentence; Δ above zero: it does harm (95% intervals).")
    table = _table("", "sentence", "left out\nΔ left out − whole", "alone\nΔ clean − alone")
    for i, row in enumerate(result.rows):
        without = f"{_count(row.without)}\n{_delta(row.delta_without)}"
        only = f"{_count(row.only)}\n{_delta(row.delta_only)}"
        cells = (">" if i == result.worst else "", visible(row.sentence), without, only)
        table.add_row(*map(Text, cells))
    OUT.print(table, highlight=False)
    if result.worst is not None:
        craft.say("> does the most harm, both figures together.")
    if result.note and result.note != no_effect({"clean": result.clean.unread, "hinted": result.full.unread}):
        craft.say(result.note)
    if result.cancelled:
        craft.say("Interrupted: these are the figures until then.")


def _rate(variant: VariantResult) -> str:
    rate, unread = variant.accuracy, describe_unread(variant.unread)
    limits = percent_limits(rate.low, rate.high)
    return f"{variant.right}/{variant.n} right: {percent(rate.mean)} {limits}{f', {unread}' if unread else ''}"


def _count(variant: VariantResult) -> str:
    unread = describe_unread(variant.unread)
    return f"{variant.right}/{variant.n}{f', {unread}' if unread else ''}"


def _delta(delta: Interval | None) -> str:
    return points_interval(delta) if delta else "unknown"


def _say_deltas(delta: logprob_delta.LogprobDelta | None, served: bool) -> None:
    craft.say()
    if served:
        craft.say(f"No log-prob delta. {NO_SCORES} {SCORE_REMEDY}")
        return
    if delta is None:
        craft.say("No clean solution is right, so none was scored. Give a worked one with --solution.")
        return
    craft.say(
        "A right solution under the clean and the hinted prompt: Δ log-prob "
        f"{decimal(delta.total_delta, signed=True)} in all."
    )
    for line in logprob_delta.delta_lines(delta, max(20, OUT.width - 4)):
        craft.say(f"    {line}")
    craft.say(logprob_delta.LEGEND)
    for line in logprob_delta.worst_lines(delta):
        craft.say(line)


def _say_pair(pair: PairSelection, alignment: Alignment) -> None:
    craft.say()
    craft.say(f"Sample {pair.hinted.index}: {pair.reason}")
    clean, hinted = (outcome_word(found.outcome) for found in (pair.clean, pair.hinted))
    table = _table("", "step", f"clean: {clean}", f"hinted: {hinted}")
    for i, step in enumerate(alignment.pairs):
        mark = "=" if step.same else "≠ first" if i == alignment.divergence else "≠"
        sides = (visible(side or "", "\n") for side in (step.left, step.right))
        table.add_row(*map(Text, (mark, str(i + 1), *sides)))
    OUT.print(table, highlight=False)
    craft.say(alignment.note)


def _table(*headings: str) -> Table:
    return Table(*headings, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)


# ---------------------------------------------------------------------- for programs


def _ablation_facts(result: AblationResult) -> dict[str, Any]:
    rows = [
        {
            "sentence": row.sentence, "start": row.span.start, "end": row.span.end, "without": _figures(row.without),
            "only": _figures(row.only), "delta_without": row.delta_without, "delta_only": row.delta_only,
        }
        for row in result.rows
    ]  # fmt: skip
    return {
        "clean": _figures(result.clean), "full": _figures(result.full), "delta_full": result.delta_full, "rows": rows,
        "worst": result.worst, "note": result.note, "seconds": round(result.seconds, 3), "complete": result.complete,
        "cancelled": result.cancelled,
    }  # fmt: skip


def _figures(variant: VariantResult) -> dict[str, Any]:
    return variant.figures() | {"follows": sum(variant.follows) if variant.follows else None}
