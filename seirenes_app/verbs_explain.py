"""The verb `seirenes explain`: which sentence of a hint does it, at which tokens, in which step of the reasoning."""

from __future__ import annotations

import argparse
import dataclasses
import json
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.protocol import MAX_SAMPLES
from seirenes_app.lab.crafting.documents import Candidate, Draft, DraftProblem, Origin, SolvePlan, SolverChoice, new_id
from seirenes_app.lab.crafting.problems import as_problem
from seirenes_app.lab.crafting.results import SolvedSample
from seirenes_app.lab.crafting.suggestions import read_suggestion
from seirenes_app.lab.why.ablation import AblationJob, AblationResult, AblationRow, VariantResult
from seirenes_app.lab.why.alignment import Alignment, align
from seirenes_app.lab.why.heat import HeatJob, HeatMap
from seirenes_app.lab.why.heat_text import LEGEND, heat_lines, visible, worst_lines
from seirenes_app.lab.why.telling import TellingPair, right_solution, telling_pair
from seirenes_app.verbs import ERR, OUT
from training.core.answers import parse_clock, parse_number
from training.core.prompts import Placement
from training.core.statistics import Interval
from training.core.types import AnswerKind, PerturbationType
from training.errors import UserError

R = TypeVar("R")


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`seirenes explain` and its options."""
    explain = verbs.add_parser("explain", help="what a hint does to a solver: by sentence, by token, by step")
    explain.add_argument("question", metavar="QUESTION")
    explain.add_argument("--answer", required=True, metavar="A", help="the true answer")
    explain.add_argument("--kind", choices=[k.value for k in AnswerKind], help="of the answer (default: by its look)")
    explain.add_argument("--hint", required=True, metavar="TEXT")
    explain.add_argument(
        "--suggests", metavar="A", help="the wrong answer that the hint pushes (default: read from it)"
    )
    explain.add_argument(
        "--placement", choices=[p.value for p in Placement], default=Placement.APPEND.value,
        help="where the hint goes (default: append)",
    )  # fmt: skip
    explain.add_argument("--solution", default="", metavar="TEXT", help="scored when no clean sample is right")
    explain.add_argument("-n", "--samples", type=int, default=16, metavar="N", help="of each variant (default: 16)")
    explain.add_argument("--model", default="starter", metavar="GGUF", help="a GGUF file (default: starter)")
    explain.add_argument("--max-tokens", type=int, default=192, metavar="N")
    explain.add_argument("--temperature", type=float, default=1.0)
    explain.add_argument("--seed", type=int, default=0)
    explain.add_argument("--json", action="store_true")


def explain(options: argparse.Namespace) -> int:
    """Ablate the hint, score a right solution under both prompts, and put the most telling samples side by side."""
    draft, candidate = _draft(options)
    with WorkerClient() as client:
        ablation = _ablate(client, draft, candidate, quiet=options.json)
        solution = right_solution(ablation.clean.samples, draft.problem.solution)
        heat = _score(client, draft, candidate, solution) if solution else None
    pair = telling_pair(ablation.clean.samples, ablation.full.samples)
    alignment = align(pair.clean.text, pair.hinted.text) if pair else None
    if options.json:
        print(json.dumps(_facts(draft, candidate, ablation, heat, pair, alignment), ensure_ascii=False))
        return 0
    _print_ablation(ablation, candidate)
    _print_heat(heat)
    if pair and alignment:
        _print_pair(pair, alignment)
    return 0


def _draft(options: argparse.Namespace) -> tuple[Draft, Candidate]:
    if not 1 <= options.samples <= MAX_SAMPLES:
        raise UserError(f"-n is {options.samples}; it must be 1 to {MAX_SAMPLES}.")
    kind = AnswerKind(options.kind) if options.kind else kind_of(options.answer)
    problem = DraftProblem(options.question, options.answer, kind, solution=options.solution)
    suggested = options.suggests or read_suggestion(options.hint, as_problem(problem))
    # The type plays no part here: nothing is written, and the solver is not told.
    candidate = Candidate(
        new_id(), options.hint, PerturbationType.SEMANTIC_MISLEADING, Origin.HAND, suggested=suggested
    )
    draft = Draft(
        new_id(),
        problem=problem,
        placement=Placement(options.placement),
        candidates=(candidate,),
        chosen=candidate.id,
        solver=SolverChoice("" if options.model == "starter" else options.model),
        plan=SolvePlan(options.samples, options.temperature, options.max_tokens, options.seed, placebo=False),
    )
    return draft, candidate


def kind_of(answer: str) -> AnswerKind:
    """What kind of answer this looks like: a number, a time of day, one word, or mathematics."""
    if parse_number(answer) is not None:
        return AnswerKind.NUMBER
    if parse_clock(answer) is not None:
        return AnswerKind.CLOCK
    return AnswerKind.CHOICE if answer.strip().replace(" ", "").isalpha() else AnswerKind.SYMBOLIC


class _End(Generic[R]):
    """A job's end, which the main thread waits for. Ctrl-C gets through while it does."""

    def __init__(self) -> None:
        self._came = threading.Event()
        self._result: R | None = None
        self._error = ""

    def done(self, result: R) -> None:
        self._result = result
        self._came.set()

    def failed(self, text: str) -> None:
        self._error = text
        self._came.set()

    def wait(self) -> R:
        self._came.wait()
        if self._result is None:
            raise UserError(self._error)
        return self._result


def _ablate(client: WorkerClient, draft: Draft, candidate: Candidate, *, quiet: bool) -> AblationResult:
    end: _End[AblationResult] = _End()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=ERR, transient=True, disable=quiet) as progress:
        job = AblationJob(client, draft, candidate, _shown(progress), end.done, end.failed)
        try:
            return end.wait()
        except KeyboardInterrupt:
            job.cancel()
            raise


def _shown(progress: Progress) -> Callable[[AblationResult], None]:
    task: TaskID = progress.add_task("solving", total=1)

    def show(result: AblationResult) -> None:
        variants = {v.hint: v for v in _variants(result)}.values()
        progress.update(task, completed=sum(v.n for v in variants), total=sum(v.planned for v in variants))

    return show


def _variants(result: AblationResult) -> list[VariantResult]:
    return [result.clean, result.full, *(v for row in result.rows for v in (row.without, row.only))]


def _score(client: WorkerClient, draft: Draft, candidate: Candidate, solution: str) -> HeatMap:
    end: _End[HeatMap] = _End()
    job = HeatJob(client, draft, candidate, solution, end.done, end.failed)
    try:
        return end.wait()
    except KeyboardInterrupt:
        job.cancel()
        raise


# ---------------------------------------------------------------------- for people


def _say(text: str = "") -> None:
    OUT.print(text, highlight=False, markup=False, soft_wrap=True)


def _print_ablation(result: AblationResult, candidate: Candidate) -> None:
    _say(f"clean       {_rate(result.clean)}")
    _say(f"whole hint  {_rate(result.full)}   Δ {_interval(result.delta_full)}")
    if candidate.suggested is not None:
        follows = sum(s.follows is True for s in result.full.samples)
        _say(
            f"{follows} of {result.full.n} solutions under it give the answer that it suggests, {candidate.suggested}."
        )
    _say("Sentence by sentence; Δ above zero: it does harm (95% intervals).")
    table = Table(show_lines=True)
    for heading in ("", "sentence", "left out\nΔ to whole hint", "alone\nΔ to clean"):
        table.add_column(heading, justify="right" if "Δ" in heading else "left")
    for i, row in enumerate(result.rows):
        mark = ">" if i == result.worst else ""
        without = f"{_count(row.without)}\n{_interval(row.delta_without)}"
        only = f"{_count(row.only)}\n{_interval(row.delta_only)}"
        table.add_row(mark, Text(visible(row.sentence)), Text(without), Text(only))
    OUT.print(table)
    if result.worst is not None:
        _say("> does the most harm, both figures together.")
    if result.note:
        _say(result.note)


def _count(variant: VariantResult) -> str:
    return f"{variant.right}/{variant.n}"


def _rate(variant: VariantResult) -> str:
    return f"{_count(variant)} right: {variant.accuracy:.2f} [{variant.low:.2f}, {variant.high:.2f}]"


def _interval(delta: Interval | None) -> str:
    return f"{delta.mean:+.2f} [{delta.low:+.2f}, {delta.high:+.2f}]" if delta else "unknown"


def _print_heat(heat: HeatMap | None) -> None:
    _say()
    if heat is None:
        _say("No clean sample is right, so no solution was scored. Give a worked one with --solution.")
        return
    _say(f"A right solution under the clean and the hinted prompt: Δ log-prob {heat.total_delta:+.2f} in all")
    for line in heat_lines(heat, max(20, OUT.width - 4)):
        _say(f"    {line}")
    _say(LEGEND)
    for line in worst_lines(heat):
        _say(line)


def _print_pair(pair: TellingPair[SolvedSample], alignment: Alignment) -> None:
    _say()
    _say(f"Sample {pair.hinted.index}: {visible(pair.why)}")
    table = Table(show_lines=True)
    for heading in ("", "step", f"clean ({pair.clean.outcome})", f"hinted ({pair.hinted.outcome})"):
        table.add_column(heading)
    for i, step in enumerate(alignment.pairs):
        mark = "=" if step.same else "≠ first" if i == alignment.divergence else "≠"
        table.add_row(mark, str(i + 1), *(Text(visible(side or "", "\n")) for side in (step.left, step.right)))
    OUT.print(table)
    _say(alignment.note)


# ---------------------------------------------------------------------- for programs


def _facts(
    draft: Draft,
    candidate: Candidate,
    ablation: AblationResult,
    heat: HeatMap | None,
    pair: TellingPair[SolvedSample] | None,
    alignment: Alignment | None,
) -> dict[str, Any]:
    trace = None
    if pair is not None and alignment is not None:
        trace = dataclasses.asdict(pair) | {"alignment": dataclasses.asdict(alignment)}
    return {
        "question": draft.problem.question, "answer": draft.problem.answer, "kind": draft.problem.kind,
        "hint": candidate.text, "suggests": candidate.suggested, "placement": draft.placement,
        "model": draft.solver.model or "starter", "samples": draft.plan.samples, "seed": draft.plan.seed,
        "temperature": draft.plan.temperature, "ablation": _table(ablation), "heat": heat and dataclasses.asdict(heat),
        "trace": trace,
    }  # fmt: skip


def _table(result: AblationResult) -> dict[str, Any]:
    """The ablation without the samples' texts: those that tell most are in the trace."""
    return {
        "clean": _figures(result.clean), "full": _figures(result.full), "delta_full": _limits(result.delta_full),
        "rows": [_row(r) for r in result.rows], "worst": result.worst, "note": result.note, "seconds": result.seconds,
    }  # fmt: skip


def _row(row: AblationRow) -> dict[str, Any]:
    return {
        "sentence": row.sentence, "start": row.span.start, "end": row.span.end, "without": _figures(row.without),
        "only": _figures(row.only), "delta_without": _limits(row.delta_without), "delta_only": _limits(row.delta_only),
    }  # fmt: skip


def _figures(variant: VariantResult) -> dict[str, Any]:
    follows = [s.follows for s in variant.samples if s.follows is not None]
    return {"right": variant.right, "n": variant.n, "accuracy": variant.accuracy, "low": variant.low,
            "high": variant.high, "follows": sum(follows) if follows else None}  # fmt: skip


def _limits(delta: Interval | None) -> dict[str, float] | None:
    return None if delta is None else dataclasses.asdict(delta)
