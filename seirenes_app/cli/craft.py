"""What `seirenes craft` and `seirenes solve` print, and how they wait for a job. Model text is never read as markup.

The verbs `seirenes craft` and `seirenes solve`: write hints, and see what they do to a solver."""

from __future__ import annotations

import argparse
import dataclasses
import json
import queue
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from seirenes_app.cli.common import ERR, OUT
from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.protocol import MAX_SAMPLES
from seirenes_app.services.attribution.logprob_delta import visible
from seirenes_app.services.formatting import percent, percent_limits, points_interval
from seirenes_app.services.hint_authoring.commands import as_command
from seirenes_app.services.hint_authoring.conditions import planned_samples
from seirenes_app.services.hint_authoring.draft import (
    Draft,
    DraftHint,
    DraftProblem,
    Origin,
    SolvePlan,
    SolverChoice,
    new_draft,
    new_id,
)
from seirenes_app.services.hint_authoring.gate_report import Badges, check_draft, failures, passed
from seirenes_app.services.hint_authoring.jobs import GenerateJob, Job, SolveEachJob, SolveJob, template_hints
from seirenes_app.services.hint_authoring.problems import LIBRARY, as_problem, family_titles, guess_kind, library
from seirenes_app.services.hint_authoring.results import SolveResult, draft_facts, hint_facts, rank, result_facts
from seirenes_app.services.hint_authoring.suites import save_to_suite
from training.core.implied_answer import read_suggestion
from training.core.prompts import TYPE_LABELS, Placement, PromptStyle
from training.core.types import AnswerKind, Condition, HintType
from training.errors import UserError
from training.evaluation.suites.io import AlreadyThere


class Waiting:
    """Waits for a job on the main thread, with a bar on stderr where that is a terminal. Ctrl+C cancels the job."""

    def __init__(self, doing: str, *, quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                   TimeElapsedColumn())  # fmt: skip
        hidden = quiet or not ERR.is_terminal
        self._progress = Progress(*columns, console=ERR, transient=True, disable=hidden)
        self._task = self._progress.add_task(doing, total=1)
        self._inbox: queue.SimpleQueue[tuple[Any, str]] = queue.SimpleQueue()

    def __enter__(self) -> Waiting:
        self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def show(self, done: int, planned: int) -> None:
        """How far it is. From any thread, as the two below."""
        self._progress.update(self._task, completed=done, total=max(1, planned))

    def done(self, value: Any) -> None:
        """The job's `on_done`."""
        self._inbox.put((value, ""))

    def failed(self, words: str) -> None:
        """The job's `on_failed`."""
        self._inbox.put((None, words))

    def result(self, job: Job) -> Any:
        """What the job gave; a cancelled one gives what there was. Raises its failure as a `UserError`.

        The first Ctrl+C cancels, a second one leaves at once.
        """
        while True:
            try:
                value, words = self._inbox.get()
            except KeyboardInterrupt:
                if job.cancelled:
                    raise
                job.cancel()
                continue
            if words:
                raise UserError(words)
            return value


def say(text: str = "") -> None:
    """Lines on stdout; control and hidden characters are made visible."""
    OUT.print(visible(text, "\n"), highlight=False, markup=False, soft_wrap=True)


def gate_words(badges: Badges) -> str:
    """ "valid", or which gates refuse and why."""
    refused = failures(badges)
    return "; ".join(f"{badge.gate}: {badge.reason}" for badge in refused) if refused else "valid"


def say_solved(draft: Draft, hint: DraftHint | None, badges: Badges, result: SolveResult, show: int) -> None:
    """One result: figures, comparison, and `show` solutions of each condition."""
    if hint is not None:
        say(f"Hint ({TYPE_LABELS[hint.type]}, {draft.placement}): {hint.text}")
        say(f"Gates: {gate_words(badges)}")
    table = _table("", "right", "accuracy", "95% interval")
    for condition, found in result.conditions.items():
        table.add_row(
            condition, f"{found.right}/{len(found.samples)}", percent(found.accuracy),
            percent_limits(found.low, found.high),
        )  # fmt: skip
    OUT.print(table)
    _say_comparison(result, hint)
    for condition, found in result.conditions.items():
        for sample in found.samples[: max(0, show)]:
            follows = ", follows the hint" if sample.follows else ""
            say(f"\n{condition} {sample.index}: {sample.outcome}, answer {sample.answer or 'none'}{follows}")
            say(sample.text)


def _say_comparison(result: SolveResult, hint: DraftHint | None) -> None:
    if result.drop is not None:
        say(f"Drop under the hint, clean − hinted: {points_interval(result.drop)}")
    if result.placebo_drop is not None:
        say(f"Drop under the placebo, clean − placebo: {points_interval(result.placebo_drop)}")
    if result.follow_rate is not None and hint is not None:
        follows = [s.follows for s in result.conditions[Condition.HINTED].samples]
        say(f"Follow rate: {percent(result.follow_rate)} ({sum(map(bool, follows))} of {len(follows)} answer "
            f"{hint.suggested}, as the hint suggests)")  # fmt: skip
    _say_never_right(result)
    if result.cancelled:
        say("Interrupted: these are the figures until then.")


def say_hints(
    draft: Draft, order: Sequence[str], judged: Mapping[str, Badges], results: Mapping[str, SolveResult]
) -> None:
    """The hints in order, and the command that tries the first of them."""
    found = [c for id_ in order if (c := draft.hint(id_)) is not None]
    if not found:
        say("No hint: none of this type fits the problem and passes the gates.")
        return
    for number, hint in enumerate(found, 1):
        say(f"{number:>3}  {visible(hint.text)}")
        figures = _figures(results[hint.id]) if hint.id in results else []
        say("     " + " · ".join([gate_words(judged[hint.id]), *figures]))
    if order[0] in results:
        _say_never_right(results[order[0]])
    say(f"Try the first again: {as_command(draft, found[0])}")


def _say_never_right(result: SolveResult) -> None:
    clean = result.conditions.get(Condition.CLEAN)
    if clean is not None and clean.samples and not clean.right:
        say("This solver never solves the clean question, so no hint can be seen to harm it. Try another problem.")


def _figures(result: SolveResult) -> list[str]:
    found = [f"{condition} {a.right}/{len(a.samples)}" for condition, a in result.conditions.items()]
    if result.drop is not None:
        found.append(f"drop {points_interval(result.drop)}")
    if result.follow_rate is not None:
        found.append(f"follows {percent(result.follow_rate)}")
    return found


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    return table


STOPPED = 3
_SEED_LIMIT = 2**63


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`seirenes craft`, `seirenes solve` and their options."""
    craft_ = verbs.add_parser("craft")
    add_problem_options(craft_)
    craft_.add_argument(
        "--by", choices=["template", "model"], default="template", help="who writes (default: template)"
    )
    craft_.add_argument("-n", type=int, default=8, metavar="N", help="how many (default: 8)")
    craft_.add_argument("--model", default="starter", metavar="GGUF", help="who writes, with --by model")
    craft_.add_argument("--solve", type=int, default=0, metavar="N", help="try each on N solutions, the worst first")
    craft_.add_argument("--solver", default="starter", metavar="GGUF", help="who solves (default: starter)")
    craft_.add_argument("--temperature", type=float, default=1.0, help="of writing and solving (default: 1)")
    craft_.add_argument("--save", default="", metavar="SUITE", help="add those that pass all gates to this suite")

    solve_ = verbs.add_parser("solve")
    add_problem_options(solve_)
    solve_.add_argument("--hint", default="", metavar="TEXT", help="without it only the clean question is solved")
    add_solver_options(solve_)
    solve_.add_argument("--no-placebo", action="store_true", help="no placebo: neutral words of the hint's length")
    solve_.add_argument("--show", type=int, default=0, metavar="N", help="print N solutions of each condition")


def add_problem_options(parser: argparse.ArgumentParser) -> None:
    """The problem, and where a hint goes; for `solve_draft`."""
    parser.add_argument("question", metavar="QUESTION", help="the text, '-' for stdin, or library:ID")
    parser.add_argument("--answer", metavar="A", help="the true answer; a problem of the library knows its own")
    parser.add_argument("--kind", choices=[k.value for k in AnswerKind], help="of the answer (default: by its look)")
    parser.add_argument(
        "--type", type=_underscored, choices=[t.value for t in HintType], metavar="TYPE",
        default=HintType.SEMANTIC_MISLEADING.value,
        help=f"of the hint: {', '.join(HintType)} (default: semantic_misleading)",
    )  # fmt: skip
    parser.add_argument(
        "--placement", type=_underscored, choices=[p.value for p in Placement], default=Placement.APPEND.value,
        help="where the hint goes (default: append)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")


def add_solver_options(parser: argparse.ArgumentParser) -> None:
    """Who solves, and how; for `solve_draft`."""
    parser.add_argument("--suggests", metavar="A", help="the wrong answer that the hint pushes (default: read from it)")
    parser.add_argument("-n", type=int, default=16, metavar="N", help="solutions of each condition (default: 16)")
    parser.add_argument("--model", default="starter", metavar="GGUF", help="who solves (default: starter)")
    parser.add_argument("--lora", default="", metavar="GGUF", help="an adapter on the model")
    parser.add_argument("--style", choices=[s.value for s in PromptStyle], help="of the prompt (default: by the model)")
    parser.add_argument("--context", type=int, default=0, metavar="TOKENS", help="default: the model's own")
    parser.add_argument("--temperature", type=float, default=1.0, help="0 is greedy (default: 1)")
    parser.add_argument("--max-tokens", type=int, default=192, metavar="N", help="of one solution (default: 192)")


def _underscored(text: str) -> str:
    return text.replace("-", "_")


# ---------------------------------------------------------------------- verbs


def solve(options: argparse.Namespace) -> int:
    """One problem, clean and perturbed; 3 when it was interrupted, with what there is."""
    draft, hint = solve_draft(options)
    with WorkerClient() as client, Waiting("solving", quiet=options.json) as waiting:
        job = SolveJob(client, draft, hint, lambda r: waiting.show(*_progress(r, draft, hint)),
                       waiting.done, waiting.failed)  # fmt: skip
        result: SolveResult = waiting.result(job)
    badges = check_draft(draft)[hint.id] if hint else ()
    if options.json:
        facts = draft_facts(draft) | {"hint": hint and hint_facts(draft, hint, badges)}
        print(json.dumps(facts | {"result": result_facts(result)}))
    else:
        say_solved(draft, hint, badges, result, options.show)
    return STOPPED if result.cancelled else 0


def craft(options: argparse.Namespace) -> int:
    """Hints with their gates; with `--solve` the worst for the solver first."""
    _demand_count("-n", options.n)
    if options.solve:
        _demand_count("--solve", options.solve)
    draft = _craft_draft(options)
    results: Mapping[str, SolveResult] = {}
    stopped = False
    with _Client() as client:
        draft, stopped = _write(client, draft, options)
        if options.solve and draft.hints and not stopped:
            results, stopped = _try_each(client, draft, quiet=options.json)
    judged = check_draft(draft)
    order = rank(results) + [c.id for c in draft.hints if c.id not in results]
    saved, notes = _save(draft, order, judged, options.save) if options.save and not stopped else ([], [])
    if options.json:
        print(json.dumps(_craft_facts(draft, order, judged, results, saved)))
    else:
        say_hints(draft, order, judged, results)
        for note in notes:
            say(note)
    return STOPPED if stopped else 0


class _Client:
    """A worker that is started when it is first used: templates need none."""

    def __init__(self) -> None:
        self._made: WorkerClient | None = None

    def get(self) -> WorkerClient:
        self._made = self._made or WorkerClient()
        return self._made

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._made is not None:
            self._made.close()


def _write(client: _Client, draft: Draft, options: argparse.Namespace) -> tuple[Draft, bool]:
    """The draft with its hints, and whether that was interrupted."""
    if options.by == "template":
        made = template_hints(as_problem(draft.problem), draft.type, options.n, options.seed)
        return dataclasses.replace(draft, hints=tuple(made)), False
    with Waiting("writing", quiet=options.json) as waiting:
        ready: list[DraftHint] = []

        def show(hint: DraftHint) -> None:
            ready.append(hint)
            waiting.show(len(ready), options.n)

        job = GenerateJob(client.get(), draft, options.n, options.seed, lambda *_: None, show, waiting.done,
                          waiting.failed, temperature=options.temperature)  # fmt: skip
        made = waiting.result(job)
    return dataclasses.replace(draft, hints=tuple(made)), job.cancelled


def _try_each(client: _Client, draft: Draft, *, quiet: bool) -> tuple[Mapping[str, SolveResult], bool]:
    with Waiting("solving", quiet=quiet) as waiting:
        numbers = {c.id: i for i, c in enumerate(draft.hints)}

        def show(id_: str, result: SolveResult) -> None:
            done, planned = _progress(result, draft, draft.hints[0])
            waiting.show(numbers[id_] * planned + done, len(numbers) * planned)

        job = SolveEachJob(client.get(), draft, draft.hints, show, waiting.done, waiting.failed)
        return waiting.result(job), job.cancelled


def _save(draft: Draft, order: list[str], judged: Mapping[str, Badges], name: str) -> tuple[list[str], list[str]]:
    """Ids that are in the suite now, and what to say about it."""
    saved: list[str] = []
    folder, known = "", 0
    for id_ in order:
        hint = draft.hint(id_)
        if hint is None or not passed(judged[id_]):
            continue
        try:
            folder = str(save_to_suite(draft, hint, name).folder)
        except AlreadyThere:
            known += 1
        saved.append(id_)
    notes = [f"{len(saved) - known} added to the suite {folder or name}."]
    notes += [f"{known} are in it already."] if known else []
    left = len(order) - len(saved)
    notes += [f"{left} left out, by a gate."] if left else []
    return saved, notes


def _progress(result: SolveResult, draft: Draft, hint: DraftHint | None) -> tuple[int, int]:
    """Solutions there are, and solutions there will be."""
    conditions = 1 if hint is None else 3 if draft.plan.placebo else 2
    return sum(len(condition.samples) for condition in result.conditions.values()), conditions * planned_samples(
        draft.plan
    )


def _craft_facts(
    draft: Draft, order: list[str], judged: Mapping[str, Badges], results: Mapping[str, SolveResult], saved: list[str]
) -> dict[str, Any]:
    found = [c for id_ in order if (c := draft.hint(id_)) is not None]
    rows = [
        hint_facts(draft, c, judged[c.id])
        | {"result": result_facts(results[c.id]) if c.id in results else None, "saved": c.id in saved}
        for c in found
    ]
    return draft_facts(draft) | {"adversary": draft.adversary.model or "starter", "hints": rows}


# ---------------------------------------------------------------------- options to drafts


def solve_draft(options: argparse.Namespace) -> tuple[Draft, DraftHint | None]:
    """What the options of `solve` mean; without a hint there is no hint. Raises a `UserError` for a mistake."""
    _demand_count("-n", options.n)
    problem = _problem(options)
    sound = as_problem(problem)
    choice = SolverChoice(_model(options.model), options.lora, options.style and PromptStyle(options.style),
                          _demand("--context", options.context, 0, 2**20))  # fmt: skip
    plan = SolvePlan(options.n, _temperature(options), _demand("--max-tokens", options.max_tokens, 1, 2**20),
                     _demand("--seed", options.seed, 0, _SEED_LIMIT - 1), not options.no_placebo)  # fmt: skip
    draft = dataclasses.replace(
        new_draft(problem), type=HintType(options.type), placement=Placement(options.placement), solver=choice,
        plan=plan,
    )  # fmt: skip
    if not options.hint.strip():
        return draft, None
    told = options.suggests
    suggested = read_suggestion(options.hint, sound) if told is None else told or None
    hint = DraftHint(new_id(), options.hint, draft.type, Origin.HAND, suggested=suggested)
    return dataclasses.replace(draft, hints=(hint,), chosen=hint.id), hint


def _craft_draft(options: argparse.Namespace) -> Draft:
    problem = _problem(options)
    as_problem(problem)
    seed = _demand("--seed", options.seed, 0, _SEED_LIMIT - 1)
    return dataclasses.replace(
        new_draft(problem),
        type=HintType(options.type),
        placement=Placement(options.placement),
        adversary=SolverChoice(_model(options.model)),
        solver=SolverChoice(_model(options.solver)),
        plan=SolvePlan(samples=options.solve or SolvePlan().samples, temperature=_temperature(options), seed=seed),
    )


def _problem(options: argparse.Namespace) -> DraftProblem:
    text = sys.stdin.read() if options.question == "-" else options.question
    if text.startswith(f"{LIBRARY}:"):
        found = _from_library(text.removeprefix(f"{LIBRARY}:").strip())
        changed = {"answer": options.answer} if options.answer is not None else {}
        return dataclasses.replace(found, **changed, kind=AnswerKind(options.kind) if options.kind else found.kind)
    if options.answer is None:
        raise UserError("The true answer is missing: give it with --answer.")
    kind = AnswerKind(options.kind) if options.kind else guess_kind(options.answer)
    return DraftProblem(text.strip(), options.answer, kind)


def _from_library(name: str) -> DraftProblem:
    shelf = {p.id: p for p in library()}
    if name not in shelf:
        each = len(shelf) // len(family_titles())
        names = ", ".join(f"{family}-1 … {each}" for family in family_titles())
        raise UserError(f"The library holds no problem {name[:40]!r}. It holds {names}.")
    return shelf[name]


def _model(text: str) -> str:
    return "" if text == "starter" else text


def _temperature(options: argparse.Namespace) -> float:
    if not 0 <= options.temperature <= 100:
        raise UserError(f"--temperature is {options.temperature}; it must be 0 to 100.")
    return float(options.temperature)


def _demand_count(name: str, value: int) -> None:
    _demand(name, value, 1, MAX_SAMPLES)


def _demand(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise UserError(f"{name} is {value}; it must be {low} to {high}.")
    return value
