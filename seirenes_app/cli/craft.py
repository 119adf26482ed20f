"""`seirenes craft` and `seirenes solve`: write hints, and see what they do to a model. Model text is no markup."""

from __future__ import annotations

import argparse
import json
import queue
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
from rich import box
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from seirenes_app.cli.common import (
    ERR,
    OUT,
    account_of,
    add_prompts_option,
    add_spending_options,
    confirm_cost,
    print_meter,
    print_template_notes,
    read_conditions,
    read_limits,
    read_prompts,
)
from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.endpoint_client import EndpointClient
from seirenes_app.inference.model_client import budget_for
from seirenes_app.inference.protocol import MAX_SAMPLES, Finish
from seirenes_app.services.answer_reading import describe_unread, no_effect, outcome_word, unread_warnings
from seirenes_app.services.formatting import percent, percent_limits, points_interval, visible
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
from seirenes_app.services.hint_authoring.jobs import Job, drawn_hints, generate_hints, solve_hints
from seirenes_app.services.hint_authoring.models import (
    ONCE,
    can_move,
    craft_cost,
    limits_for,
    model_path,
    planned_solutions,
    profile_for,
)
from seirenes_app.services.hint_authoring.problems import (
    GYM_EACH,
    LIBRARY,
    as_problem,
    family_titles,
    guess_kind,
    gym_problems,
    gym_titles,
    library,
)
from seirenes_app.services.hint_authoring.results import (
    CANNOT_MOVE,
    SolveResult,
    as_command,
    draft_facts,
    hint_facts,
    rank,
    result_facts,
)
from seirenes_app.services.hint_authoring.suites import save_to_suite
from training.core.implied_answer import read_suggestion
from training.core.prompts import TYPE_LABELS, Placement
from training.core.types import AnswerKind, Condition, HintType, Outcome
from training.endpoints import find_endpoint, names_endpoint
from training.errors import UserError
from training.evaluation.metric_types import UnreadShares
from training.evaluation.suites.io import AlreadyThere

STOPPED = 3
LANGUAGE = "language"


class Waiting(Progress):
    """Waits for a job on the main thread, with a bar on stderr where that is a terminal. Ctrl+C cancels the job."""

    def __init__(self, doing: str, *, quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                   TimeElapsedColumn())  # fmt: skip
        hidden = quiet or not ERR.is_terminal
        super().__init__(*columns, console=ERR, transient=True, disable=hidden)
        self._job_task = self.add_task(doing, total=1)
        self._inbox: queue.SimpleQueue[tuple[Any, str]] = queue.SimpleQueue()

    def show(self, done: int, planned: int) -> None:
        """How far it is. From any thread, as the two below."""
        self.update(self._job_task, completed=done, total=max(1, planned))

    def done(self, value: Any) -> None:
        self._inbox.put((value, ""))

    def failed(self, text: str) -> None:
        self._inbox.put((None, text))

    def result(self, job: Job) -> Any:
        """The job's result, partial when cancelled (first Ctrl+C; a second one leaves at once). Raises a
        `UserError`."""
        while True:
            try:
                value, text = self._inbox.get()
            except KeyboardInterrupt:
                if job.cancelled:
                    raise
                job.cancel()
                continue
            if text:
                raise UserError(text)
            return value


def say(text: str = "") -> None:
    """Lines on stdout; control and hidden characters are made visible."""
    OUT.print(visible(text, "\n"), highlight=False, markup=False, soft_wrap=True)


def print_json(facts: Any) -> None:
    """Data as one line of JSON; dataclasses become objects."""
    print(json.dumps(msgspec.to_builtins(facts)))


# ---------------------------------------------------------------------- options


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    craft_ = verbs.add_parser("craft")
    add_problem_options(craft_)
    craft_.add_argument(
        "--by",
        type=lambda who: LANGUAGE if who == "template" else who,
        choices=[LANGUAGE, "model"],
        default=LANGUAGE,
        help="drawn from the hint language, or written by --model (default: language)",
    )
    craft_.add_argument("-n", type=int, default=8, metavar="N", help="how many (default: 8)")
    craft_.add_argument(
        "--model", default="starter", metavar="MODEL",
        help="who writes, with --by model: a GGUF file, a hub id or endpoint:NAME",
    )  # fmt: skip
    craft_.add_argument("--solve", type=int, default=0, metavar="N", help="try each on N solutions, the worst first")
    craft_.add_argument("--solver", default="starter", metavar="MODEL", help="who solves (default: starter)")
    add_prompts_option(craft_)
    add_conditions_option(craft_)
    craft_.add_argument("--temperature", type=float, help="of writing and solving (default: the prompts', else 1)")
    add_spending_options(craft_)
    craft_.add_argument("--save", default="", metavar="SUITE", help="add those that pass all gates to this suite")

    solve_ = verbs.add_parser("solve")
    add_problem_options(solve_)
    solve_.add_argument("--hint", default="", metavar="TEXT", help="without it only the clean question is solved")
    add_solver_options(solve_)
    add_conditions_option(solve_)
    solve_.add_argument("--no-placebo", action="store_true", help="the same as --conditions without placebo")
    solve_.add_argument("--show", type=int, default=0, metavar="N", help="print N solutions of each condition")


def add_problem_options(parser: argparse.ArgumentParser) -> None:
    """The problem, and where a hint goes; for `solve_draft`."""
    parser.add_argument(
        "question",
        metavar="QUESTION",
        help="the text, '-' for stdin, or library:ID, as library:change-3 or library:gym:syllogism-3",
    )
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
    parser.add_argument(
        "--model", default="starter", metavar="MODEL",
        help="who solves: a GGUF file, a hub id or endpoint:NAME (default: starter)",
    )  # fmt: skip
    parser.add_argument("--lora", default="", metavar="GGUF", help="an adapter on the model")
    add_prompts_option(parser)
    parser.add_argument("--context", type=int, default=0, metavar="TOKENS", help="default: the model's own")
    parser.add_argument("--temperature", type=float, help="0 is greedy (default: the prompts', else 1)")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="of one solution (default: by prompts and model)")
    add_spending_options(parser)


def add_conditions_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--conditions", type=read_conditions, default=tuple(Condition), metavar="clean,hinted,placebo,needed",
        help="what is asked; clean and hinted always are. placebo: neutral text of the hint's length; needed: the "
        "question before the story's last sentence, so that text after it must be used (default: all that can be)",
    )  # fmt: skip


def _underscored(text: str) -> str:
    return text.replace("-", "_")


def solve_draft(options: argparse.Namespace) -> tuple[Draft, DraftHint | None]:
    """What the options of `solve` mean, and the hint, if one is given. Raises a `UserError` for a mistake."""
    _check_range("-n", options.n, 1, MAX_SAMPLES)
    draft = _draft(options)
    sound = as_problem(draft.problem)
    n_ctx = _check_range("--context", options.context, 0, 2**20)
    if names_endpoint(options.model) and (options.lora or n_ctx):
        raise UserError("--lora and --context are for a model of this machine: an endpoint's server has its own.")
    solver = SolverChoice(_model(options.model), options.lora, read_prompts(options), n_ctx)
    longest = _max_tokens(solver, options.max_tokens)
    plan = replace(
        draft.plan, samples=options.n, max_tokens=longest, placebo=draft.plan.placebo and not options.no_placebo
    )
    draft = replace(draft, solver=solver, plan=plan)
    if not options.hint.strip():
        return draft, None
    given = options.suggests
    suggested = read_suggestion(options.hint, sound) if given is None else given or None
    hint = DraftHint(new_id(), options.hint, draft.type, Origin.HAND, suggested=suggested)
    return replace(draft, hints=(hint,), chosen=hint.id), hint


def _draft(options: argparse.Namespace) -> Draft:
    problem = _problem(options)
    as_problem(problem)
    seed = _check_range("--seed", options.seed, 0, 2**63 - 1)
    asked = getattr(options, "conditions", ())
    plan = SolvePlan(
        temperature=_temperature(options), seed=seed, placebo=Condition.PLACEBO in asked,
        needed=Condition.NEEDED in asked,
    )  # fmt: skip
    return replace(new_draft(problem), type=HintType(options.type), placement=Placement(options.placement), plan=plan)


def _temperature(options: argparse.Namespace) -> float:
    """The one that is asked for; else that of the prompts; else 1."""
    prompts = read_prompts(options)
    set_ = None if prompts is None else prompts.sampling.temperature
    usual = 1.0 if set_ is None else set_
    return float(_check_range("--temperature", usual if options.temperature is None else options.temperature, 0, 100))


def _max_tokens(solver: SolverChoice, asked: int | None = None) -> int:
    """Of a solution: what is asked for, else what suits the model and its prompts."""
    return limits_for(solver).solution if asked is None else int(_check_range("--max-tokens", asked, 1, 2**20))


def _problem(options: argparse.Namespace) -> DraftProblem:
    text = sys.stdin.read() if options.question == "-" else options.question
    kind = AnswerKind(options.kind) if options.kind else None
    if text.startswith(f"{LIBRARY}:"):
        found = _of_library(text.removeprefix(f"{LIBRARY}:").strip())
        answer = found.answer if options.answer is None else options.answer
        return replace(found, answer=answer, kind=kind or found.kind)
    if options.answer is None:
        raise UserError("The true answer is missing: give it with --answer.")
    return DraftProblem(text.strip(), options.answer, kind or guess_kind(options.answer))


def _of_library(name: str) -> DraftProblem:
    """The problem `change-3`, or the third of `gym:syllogism`, which is made."""
    family, _, number = name.rpartition("-")
    if family in gym_titles() and number.isdecimal():
        made = gym_problems(family)
        if 0 < int(number) <= len(made):
            return made[int(number) - 1]
    known = {p.id: p for p in library()}
    if name not in known:
        each = len(known) // len(family_titles())
        names = ", ".join(f"{family}-1 … {each}" for family in family_titles())
        more = f", and {GYM_EACH} of each gym family, as gym:syllogism-1" if gym_titles() else ""
        raise UserError(f"The library holds no problem {name[:40]!r}. It holds {names}{more}.")
    return known[name]


def _model(text: str) -> str:
    return "" if text == "starter" else text


def _check_range(name: str, value: Any, low: int, high: int) -> Any:
    if not low <= value <= high:
        raise UserError(f"{name} is {value}; it must be {low} to {high}.")
    return value


# ---------------------------------------------------------------------- models, and endpoints


@contextmanager
def open_client(choice: SolverChoice, options: argparse.Namespace) -> Iterator[WorkerClient | EndpointClient]:
    """What a job asks for a choice's model; of an endpoint it says what was spent."""
    if not names_endpoint(choice.model):
        with WorkerClient() as worker:
            yield worker
        return
    endpoint = find_endpoint(choice.model)
    with EndpointClient(endpoint, budget_for(endpoint, read_limits(options)), account_of(options)) as client:
        try:
            yield client
        finally:
            print_meter(client.meter)


def print_notes(choices: Iterable[SolverChoice]) -> None:
    """What is said of the chat templates of models of this machine."""
    print_template_notes(model_path(choice) for choice in choices if not names_endpoint(choice.model))


def confirm_asking(draft: Draft, asked: Iterable[tuple[SolverChoice, int, int]], options: argparse.Namespace) -> None:
    """Ask before endpoints get many replies to write: choices with replies and the longest one's tokens."""
    costs = [
        craft_cost(draft, choice, replies, longest)
        for choice, replies, longest in asked
        if names_endpoint(choice.model)
    ]
    confirm_cost(costs, options)


# ---------------------------------------------------------------------- solve


def solve(options: argparse.Namespace) -> int:
    """One problem, clean and hinted; 3 when it was interrupted, with what there is."""
    draft, hint = solve_draft(options)
    hints = [hint] if hint else []
    print_notes([draft.solver])
    planned = planned_solutions(draft.plan, draft.problem.question, len(hints))
    confirm_asking(draft, [(draft.solver, planned, draft.plan.max_tokens)], options)
    with open_client(draft.solver, options) as client, Waiting("solving", quiet=options.json) as waiting:
        show = _progress(waiting, draft, hints)
        job = Job(client, waiting.done, waiting.failed, solve_hints, draft, hints, show)
        (result,) = waiting.result(job).values()
    badges = check_draft(draft)[hint.id] if hint else ()
    if options.json:
        facts = draft_facts(draft) | {"hint": hint and hint_facts(draft, hint, badges)}
        print_json(facts | {"result": result_facts(result)})
    else:
        _say_solved(draft, hint, badges, result, options.show)
    return STOPPED if result.cancelled else 0


def _progress(waiting: Waiting, draft: Draft, hints: list[DraftHint]) -> Callable[[str, SolveResult], None]:
    planned = planned_solutions(draft.plan, draft.problem.question, len(hints))
    before: dict[str, int] = {}

    def show(id_: str, result: SolveResult) -> None:
        # What is the same for all hints was solved with the first one.
        counted = [
            found.n for c, found in result.conditions.items() if c not in ONCE or not hints or id_ == hints[0].id
        ]
        before[id_] = sum(counted)
        waiting.show(sum(before.values()), planned)

    return show


def _say_solved(draft: Draft, hint: DraftHint | None, badges: Badges, result: SolveResult, show: int) -> None:
    if hint is not None:
        say(f"Hint ({TYPE_LABELS[hint.type]}, {draft.placement}): {hint.text}")
        say(f"Gates: {_gates(badges)}")
    say(f"Prompts: {profile_for(draft.solver).label}")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in ("", "right", "accuracy", "95% interval", "unreadable", "truncated"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for condition, found in result.conditions.items():
        rate, right, unread = found.accuracy, f"{found.right}/{found.n}", found.unread
        limits = percent_limits(rate.low, rate.high)
        table.add_row(
            condition, right, percent(rate.mean), limits, percent(unread.unreadable), percent(unread.truncated)
        )  # fmt: skip
    OUT.print(table)
    if result.drop is not None:
        say(f"Drop under the hint, clean − hinted: {points_interval(result.drop)}")
    if result.placebo_drop is not None:
        say(f"Drop under the placebo, clean − placebo: {points_interval(result.placebo_drop)}")
    if result.needed_drop is not None:
        say(f"Drop with needed text after the question, clean − needed: {points_interval(result.needed_drop)}")
    elif draft.plan.needed and not can_move(draft.problem.question):
        say(CANNOT_MOVE)
    if result.follow_rate is not None and hint is not None:
        follows = result.conditions[Condition.HINTED].follows
        say(f"Follow rate: {percent(result.follow_rate)} ({sum(follows)} of {len(follows)} readable answers are "
            f"{hint.suggested}, as the hint suggests)")  # fmt: skip
    say_unread(result.unread, draft.plan.max_tokens)
    _say_never_right(result)
    if result.cancelled:
        say("Interrupted: these are the figures until then.")
    _say_samples(draft, result, show)


def _say_samples(draft: Draft, result: SolveResult, show: int) -> None:
    for condition, found in result.conditions.items():
        for sample in found.samples[: max(0, show)]:
            follows_it = ", follows the hint" if sample.follows else ""
            outcome, answer = outcome_word(sample.outcome), sample.answer or "none"
            say(f"\n{condition} {sample.index}: {outcome}, answer {answer}{follows_it}")
            say(sample.text)
            if sample.finish is Finish.LENGTH:
                say(f"… cut off at the token limit, {draft.plan.max_tokens}")


def say_unread(sides: Mapping[str, UnreadShares], max_tokens: int) -> None:
    """Why no effect is shown, and what to do about answers that could not be graded; nothing where all is well."""
    for text in (no_effect(sides) if len(sides) > 1 else "", *unread_warnings(sides, max_tokens)):
        if text:
            say(text)


def _gates(badges: Badges) -> str:
    return "; ".join(f"{badge.gate}: {badge.reason}" for badge in failures(badges)) or "valid"


def _say_never_right(result: SolveResult) -> None:
    clean = result.conditions.get(Condition.CLEAN)
    if clean is not None and clean.samples and not clean.right and not clean.unread.mostly:
        say("This model never solves the clean question, so no hint can be seen to harm it. Try another problem.")


# ---------------------------------------------------------------------- craft


def craft(options: argparse.Namespace) -> int:
    """Hints with their gates; with `--solve` the most harmful first."""
    _check_range("-n", options.n, 1, MAX_SAMPLES)
    if options.solve:
        _check_range("--solve", options.solve, 1, MAX_SAMPLES)
    draft, prompts = _draft(options), read_prompts(options)
    draft = replace(
        draft, adversary=SolverChoice(_model(options.model), prompts=prompts),
        solver=SolverChoice(_model(options.solver), prompts=prompts),
        plan=replace(draft.plan, samples=options.solve or SolvePlan().samples),
    )  # fmt: skip
    used = [draft.adversary] * (options.by == "model") + [draft.solver] * bool(options.solve)
    print_notes(used)
    if options.solve:
        draft = replace(draft, plan=replace(draft.plan, max_tokens=_max_tokens(draft.solver)))
    planned = planned_solutions(draft.plan, draft.problem.question, options.n)
    writing = [(draft.adversary, options.n, limits_for(draft.adversary).hint)] if options.by == "model" else []
    solving = [(draft.solver, planned, draft.plan.max_tokens)] if options.solve else []
    confirm_asking(draft, [*writing, *solving], options)
    results: Mapping[str, SolveResult] = {}
    stopped = False
    with ExitStack() as stack:
        # Started when it is first used: the hint language needs none.
        client = cache(lambda choice: stack.enter_context(open_client(choice, options)))
        if options.by == LANGUAGE:
            made = drawn_hints(as_problem(draft.problem), draft.type, options.n, options.seed)
        else:
            made, stopped = _generate(client(_by_kind(draft.adversary)), draft, options)
        draft = replace(draft, hints=tuple(made))
        if options.solve and made and not stopped:
            with Waiting("solving", quiet=options.json) as waiting:
                show = _progress(waiting, draft, made)
                solver = client(_by_kind(draft.solver))
                job = Job(solver, waiting.done, waiting.failed, solve_hints, draft, made, show)
                results, stopped = waiting.result(job), job.cancelled
    badges = check_draft(draft)
    order = rank(results) + [hint.id for hint in made if hint.id not in results]
    by_id = {hint.id: hint for hint in made}
    hints = [by_id[id_] for id_ in order]
    saved, notes = _save(draft, hints, badges, options.save) if options.save and not stopped else ([], [])
    if options.json:
        rows = [
            hint_facts(draft, hint, badges[hint.id])
            | {"result": result_facts(results[hint.id]) if hint.id in results else None, "saved": hint.id in saved}
            for hint in hints
        ]
        print_json(draft_facts(draft) | {"adversary": draft.adversary.model or "starter", "hints": rows})
    else:
        _say_hints(draft, hints, badges, results)
        for note in notes:
            say(note)
    return STOPPED if stopped else 0


def _by_kind(choice: SolverChoice) -> SolverChoice:
    """One worker serves all models of this machine."""
    return SolverChoice(choice.model if names_endpoint(choice.model) else "")


def _generate(
    client: WorkerClient | EndpointClient, draft: Draft, options: argparse.Namespace
) -> tuple[list[DraftHint], bool]:
    with Waiting("writing", quiet=options.json) as waiting:
        ready: list[DraftHint] = []

        def show(hint: DraftHint) -> None:
            ready.append(hint)
            waiting.show(len(ready), options.n)

        job = Job(client, waiting.done, waiting.failed, generate_hints, draft, options.n, options.seed, on_hint=show,
                  temperature=draft.plan.temperature)  # fmt: skip
        return waiting.result(job), job.cancelled


def _save(draft: Draft, hints: list[DraftHint], badges: Mapping[str, Badges], name: str) -> tuple[list[str], list[str]]:
    """Ids that are in the suite now, and what to say about it."""
    saved: list[str] = []
    folder, known = "", 0
    for hint in hints:
        if passed(badges[hint.id]):
            try:
                folder = str(save_to_suite(draft, hint, name).folder)
            except AlreadyThere:
                known += 1
            saved.append(hint.id)
    notes = [f"{len(saved) - known} added to the suite {folder or name}."]
    notes += [f"{known} are in it already."] if known else []
    left = len(hints) - len(saved)
    notes += [f"{left} left out, by a gate."] if left else []
    return saved, notes


def _say_hints(
    draft: Draft, hints: list[DraftHint], badges: Mapping[str, Badges], results: Mapping[str, SolveResult]
) -> None:
    if not hints:
        say("No hint: none of this type fits the problem and passes the gates.")
        return
    for number, hint in enumerate(hints, 1):
        parts = [_gates(badges[hint.id])]
        if (result := results.get(hint.id)) is not None:
            parts += [f"{condition} {found.right}/{found.n}" for condition, found in result.conditions.items()]
            parts += [f"drop {points_interval(result.drop)}"] if result.drop is not None else []
            parts += [f"follows {percent(result.follow_rate)}"] if result.follow_rate is not None else []
            unread = ((condition, describe_unread(found.unread)) for condition, found in result.conditions.items())
            parts += [f"{condition}: {text}" for condition, text in unread if text]
        say(f"{number:>3}  {visible(hint.text)}")
        say("     " + " · ".join(parts))
    if hints[0].id in results:
        sides: dict[str, list[Outcome]] = {}
        for result in results.values():
            for condition, found in result.conditions.items():
                sides.setdefault(condition, []).extend(s.outcome for s in found.samples)
        say_unread({name: UnreadShares.of(outcomes) for name, outcomes in sides.items()}, draft.plan.max_tokens)
        _say_never_right(results[hints[0].id])
    say(f"Try the first again: {as_command(draft, hints[0])}")
