"""Make a suite as it was ordered: gather problems and hints, gate, write, and keep the order as its recipe. Orders that
mean nothing are refused before any work is done."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from seirenes_app.inference.model_client import Cancelled, Completion, CompletionError, CompletionSpec, ModelClient
from seirenes_app.inference.protocol import Finish, SampleDone, SampleRequest
from seirenes_app.services.formatting import count_of
from seirenes_app.services.hint_authoring.draft import Draft, SolverChoice, from_json, title_of
from seirenes_app.services.hint_authoring.jobs import Job, call_back, read_hint
from seirenes_app.services.hint_authoring.models import (
    USUAL_SHARE,
    author_of,
    file_name,
    hint_messages,
    limits_for,
    load_request,
    profile_for,
    sampling_of,
)
from seirenes_app.services.hint_authoring.problems import as_problem
from seirenes_app.services.hint_authoring.suites import suite_item
from seirenes_app.services.traces import row_problem
from seirenes_app.store.workspace import CraftStore
from training.core import hint_language
from training.core.hint_reader import clean_hint
from training.core.implied_answer import read_suggestion
from training.core.problems import require_families
from training.core.prompts import Placement, PromptProfile, adversary_messages
from training.core.types import Hint, HintType, Problem, Split
from training.endpoints import CostEstimate, estimate, find_endpoint, usual_prompt_tokens
from training.errors import UserError
from training.evaluation.plan import seed_of
from training.evaluation.suites import builder
from training.evaluation.suites.io import LICENCE, SavedSuite, write_suite
from training.evaluation.suites.repository import SuiteRepository
from training.evaluation.suites.sources import read_problems, read_run_hints
from training.runs.paths import RunPaths

ATTEMPTS = 4  # hints asked of a model for a problem and type; the first that passes the gates is taken

Written = Mapping[tuple[str, HintType], tuple[Hint, ...]]


# ---------------------------------------------------------------------- drafts


def read_drafts(store: CraftStore, names: Sequence[str]) -> list[Draft]:
    """The drafts of these ids, or of the beginning of an id that only one has."""
    saved = store.drafts()
    found = []
    for name in names:
        near = [draft for draft in saved if draft.id.startswith(name)]
        exact = [draft for draft in near if draft.id == name] or near
        if len(exact) != 1:
            listed = ", ".join(f"{d.id} ({d.title})" for d in (exact or saved)[:5]) or "none; craft one in the window"
            raise UserError(f"{'No draft' if not exact else 'More than one draft'} {name!r}. Drafts: {listed}.")
        found.append(from_json(store.load(exact[0].id)))
    return found


def draft_pairs(drafts: Sequence[Draft]) -> list[tuple[Problem, Hint]]:
    """Problems and hints of drafts. Raises a `UserError` where two of them place hints differently."""
    places = {draft.placement for draft in drafts}
    if len(places) > 1:
        raise UserError(
            f"The drafts place their hints differently ({', '.join(sorted(places))}). Make a suite of each."
        )
    pairs = []
    for draft in drafts:
        if not draft.hints:
            raise UserError(f"The draft {title_of(draft)!r} has no hint. Write one first.")
        for hint in draft.hints:
            item = suite_item(draft, hint)
            pairs.append((item.problem, item.hints[0]))
    return pairs


# ---------------------------------------------------------------------- hints that a model writes


def write_hints(
    job: Job,
    choice: SolverChoice,
    problems: Sequence[Problem],
    types: Sequence[HintType],
    seed: int,
    on_progress: Callable[[int, int], None],
    *,
    attempts: int = ATTEMPTS,
    temperature: float = 1.0,
    model_client: ModelClient | None = None,
) -> Written:
    """Let a GGUF write hints for problems: `attempts` of each type. A cancelled job returns what there is.

    An endpoint writes through `model_client`, all at once: when cancelled there is nothing, but what came is not paid
    again.
    """
    if model_client is not None:
        return _write_remotely(job, model_client, choice, problems, types, seed, on_progress, attempts, temperature)
    author, model = f"model:{author_of(choice)}", load_request(choice)
    written: dict[tuple[str, HintType], tuple[Hint, ...]] = {}
    total, longest = len(problems) * len(types), limits_for(choice).hint
    for problem, type_ in itertools.product(problems, types):
        if job.cancelled:
            break
        request = SampleRequest(
            messages=hint_messages(choice, problem.question, type_), n=attempts, max_tokens=longest,
            temperature=temperature, seed=seed_of(seed, problem.id, type_),
            **sampling_of(profile_for(choice)),
        )  # fmt: skip
        found: dict[int, str] = {}
        for event in job.listen(job.send(request, model)):
            if isinstance(event, SampleDone) and event.finish is not Finish.CANCELLED:
                found[event.index] = read_hint(event, choice)
        written[problem.id, type_] = tuple(
            Hint(type_, found[i], author, suggested=read_suggestion(found[i], problem)) for i in sorted(found)
        )
        call_back(on_progress, len(written), total)
    return written


def _write_remotely(
    job: Job, client: ModelClient, choice: SolverChoice, problems: Sequence[Problem], types: Sequence[HintType],
    seed: int, on_progress: Callable[[int, int], None], attempts: int, temperature: float,
) -> Written:  # fmt: skip
    profile, keys = profile_for(choice), list(itertools.product(problems, types))
    spec = CompletionSpec(
        attempts, limits_for(choice).hint, temperature, seed, profile.sampling, dict(profile.template)
    )
    chats = [adversary_messages(problem.question, type_, profile) for problem, type_ in keys]
    try:
        replies = client.complete(
            chats, spec, lambda done, total, _tokens: call_back(on_progress, done // attempts, total // attempts),
            lambda: job.cancelled,
        )  # fmt: skip
    except Cancelled:
        return {}
    if failed := [found for of_key in replies for found in of_key if isinstance(found, CompletionError)]:
        many = count_of(len(failed), "request")
        raise UserError(f"{many} failed. {failed[0].message} What came is kept: made again, it is not paid for again.")
    author, limit = f"model:{author_of(choice)}", profile.max_hint_characters
    return {
        (problem.id, type_): tuple(
            Hint(type_, text, author, suggested=read_suggestion(text, problem))
            for found in of_key
            if isinstance(found, Completion)
            for text in [clean_hint(found.text, truncated=found.truncated, max_characters=limit)]
        )
        for (problem, type_), of_key in zip(keys, replies, strict=True)
    }


def writing_cost(choice: SolverChoice, problems: Sequence[Problem], types: Sequence[HintType]) -> CostEstimate:
    """What an endpoint's hints for these problems take. Raises a `UserError` where there is no such endpoint."""
    longest, sample = limits_for(choice).hint, problems[: len(types)]
    chats = [adversary_messages(p.question, t, profile_for(choice)) for p, t in itertools.product(sample, types)]
    prompt = sum(map(usual_prompt_tokens, chats)) / max(1, len(chats))
    requests = len(problems) * len(types) * ATTEMPTS
    return estimate(find_endpoint(choice.model), requests, prompt, longest, USUAL_SHARE * longest)


def offers_of(written: Written) -> builder.Offers:
    return lambda problem, type_: written.get((problem.id, type_), ())


FAMILIES_PROBLEMS, RUN_PROBLEMS = 500, 100

WriteHints = Callable[[SolverChoice, Sequence[Problem], Sequence[HintType], int], Written | None]
"""Lets a model write hints; None when it was interrupted."""


class Source(StrEnum):
    FAMILIES = "families"  # the bundled ones, generated
    PROBLEMS = "problems"  # a file, a preset or a hub data set
    RUN = "run"  # the strongest hints of a training run, with their problems
    DRAFT = "draft"  # drafts of the Craft page


class Writer(StrEnum):
    TEMPLATES = "templates"  # drawn: the hint language, or the templates of older suites
    MODEL = "model"  # a GGUF, or an endpoint
    ARCHIVE = "archive"  # they are there already: a run's, or a draft's


@dataclass(frozen=True, slots=True)
class SuiteOrder:
    """`named`: a file, a run's folder or drafts' ids. `model`: the GGUF or endpoint that writes, empty for the bundled
    model.
    `problems` None: the usual number. `templates` None: those of `split`. Empty `types` and `families` mean all."""

    name: str
    source: Source
    named: tuple[str, ...] = ()
    writer: Writer = Writer.TEMPLATES
    model: str = ""
    problems: int | None = None
    seed: int = 2605
    split: Split = Split.HELD_OUT
    templates: Split | None = None
    types: tuple[HintType, ...] = ()
    families: tuple[str, ...] = ()
    placement: Placement = Placement.APPEND
    licence: str = ""
    prompts: PromptProfile | None = None
    """How the model that writes is prompted; None: by the model."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """A suite that was made, and what became of the hints on the way."""

    saved: SavedSuite
    tally: builder.Tally


@dataclass(frozen=True, slots=True)
class _Gathered:
    made: builder.MadeSuite
    recipe: Mapping[str, Any]
    licence: str = LICENCE
    placement: Placement | None = None


def fill_order(
    order: SuiteOrder,
    library: SuiteRepository,
    *,
    sets_folder: Path,
    drafts: Callable[[], CraftStore],
    write_hints: WriteHints,
) -> Ordered | None:
    """Make and write the suite; None when interrupted, and nothing is written. Raises a `UserError`."""
    check_order(order)
    folder = library.new_folder(order.name)
    if order.source is Source.RUN:
        found: _Gathered | None = _from_run(order)
    elif order.source is Source.DRAFT:
        found = _from_drafts(order, drafts())
    else:
        found = _from_problems(order, sets_folder, write_hints)
    if found is None:
        return None
    tally = found.made.tally
    recipe = {**found.recipe, "seed": order.seed, "tried": tally.tried, "refused": dict(sorted(tally.refused.items()))}
    saved = write_suite(
        folder,
        found.made.suite,
        placement=found.placement or order.placement,
        licence=order.licence or found.licence,
        recipe=recipe,
    )
    return Ordered(saved, tally)


def check_order(order: SuiteOrder) -> None:
    own = order.source in (Source.RUN, Source.DRAFT)
    if own and order.writer is not Writer.ARCHIVE:
        raise UserError(f"A suite from a {order.source} has the hints that are in it. Leave out --hints.")
    if not own and order.writer is Writer.ARCHIVE:
        raise UserError("Only a run has an archive of hints: --from run RUN --hints archive.")
    if order.families and order.source in (Source.PROBLEMS, Source.DRAFT):
        raise UserError("--families chooses among families that generate: with --from families, or of a run's hints.")
    if order.source is Source.FAMILIES:
        require_families(order.families)
    wanted = {Source.FAMILIES: 0, Source.PROBLEMS: 1, Source.RUN: 1}.get(order.source, max(1, len(order.named)))
    if len(order.named) != wanted:
        what = {Source.FAMILIES: "no name", Source.PROBLEMS: "one file or preset", Source.RUN: "one run"}
        raise UserError(f"--from {order.source} takes {what.get(order.source, 'one draft or more')}.")


# ---------------------------------------------------------------------- the sources


def _from_problems(order: SuiteOrder, sets_folder: Path, write_hints: WriteHints) -> _Gathered | None:
    types = order.types or builder.ALL_TYPES
    problems, recipe, licence = _problems(order, sets_folder)
    recipe = {**recipe, "types": [str(t) for t in types], "hints": str(order.writer)}
    if order.writer is Writer.TEMPLATES:
        templates = order.templates or order.split
        offers = builder.template_offers(order.seed, templates)
        recipe |= {"templates": str(templates), "language": hint_language.VERSION}
    else:
        choice = SolverChoice(order.model, prompts=order.prompts)
        recipe |= {"model": file_name(choice), "prompts": profile_for(choice).label}
        written = write_hints(choice, problems, types, order.seed)
        if written is None:
            return None
        offers = offers_of(written)
    return _Gathered(builder.make_suite(order.name, problems, offers, order.seed, types), recipe, licence)


def _problems(order: SuiteOrder, sets_folder: Path) -> tuple[list[Problem], dict[str, Any], str]:
    if order.source is Source.FAMILIES:
        count = FAMILIES_PROBLEMS if order.problems is None else order.problems
        families = list(order.families) or "all"
        recipe = {"from": "families", "problems": count, "split": str(order.split), "families": families}
        return builder.families_problems(count, order.seed, order.split, order.families), recipe, LICENCE
    found = read_problems(order.named[0], sets_folder)
    source = Path(found.source).name if Path(found.source).exists() else found.source
    recipe = {
        "from": "problems", "source": source, "of": len(found.problems), "rejected": len(found.report.rejected),
        "problems": order.problems,
    }  # fmt: skip
    licence = f"Problems: {source}, licence {found.licence}. {LICENCE}"
    return builder.choose_problems(builder.distinct(found.problems), order.problems, order.seed), recipe, licence


def _from_run(order: SuiteOrder) -> _Gathered:
    paths = RunPaths(Path(order.named[0]))
    found = read_run_hints(paths, problem_of_row)
    types, families = order.types or builder.ALL_TYPES, order.families
    hints = [h for h in found.hints if h.hint.type in types and (not families or h.problem.family in families)]
    if not hints:
        raise UserError(f"{paths.run_id} has no valid hint of that kind in {found.source}, so there is no suite in it.")
    count = RUN_PROBLEMS if order.problems is None else order.problems
    recipe = {
        "from": "run", "run": paths.run_id, "mode": found.mode, "source": found.source, "newest_step": found.step,
        "of": len(hints), "problems": count,
    }  # fmt: skip
    return _Gathered(builder.archive_suite(order.name, hints, count, order.seed), recipe)


def problem_of_row(row: Mapping[str, Any], run_id: str) -> Problem | None:
    """The problem of a rollout; None where it cannot be graded."""
    try:
        return as_problem(row_problem(row, run_id))
    except UserError:
        return None


def _from_drafts(order: SuiteOrder, store: CraftStore) -> _Gathered:
    drafts = read_drafts(store, order.named)
    pairs = [(p, hint) for p, hint in draft_pairs(drafts) if not order.types or hint.type in order.types]
    recipe = {"from": "draft", "drafts": [draft.id for draft in drafts]}
    return _Gathered(builder.hinted_suite(order.name, pairs, order.seed), recipe, placement=drafts[0].placement)
