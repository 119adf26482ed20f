"""Before a campaign starts: what is missing, and its requests, tokens, cost and time. Asks no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seirenes_app.services.evaluations import STARTER
from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.services.redteam.campaign import (
    BUNDLED,
    RUN,
    SUITE,
    CampaignEstimate,
    CampaignPlan,
    CampaignSummary,
    WriterKind,
    WriterSpec,
    check_plan,
    estimate_campaign,
)
from seirenes_app.services.run_repository import RunRepository, find_checkpoint
from training.core.types import Role
from training.endpoints import CostEstimate, Endpoint, estimate, find_endpoint, names_endpoint
from training.errors import UserError
from training.evaluation.suites.repository import SuiteRepository
from training.model_names import locate_model
from training.runs.files import expanded

PROMPT_TOKENS, SOLUTION_TOKENS = 220, 160
"""Of a usual request, where nothing was measured: an instruction with a word problem, and a solution of it."""
LONGEST = 1024
"""The longest completion where the plan leaves the limit to the model."""


@dataclass(frozen=True, slots=True)
class _Pace:
    """A usual request to a target: tokens of its prompt and its solution, and seconds."""

    prompt: float
    solution: float
    seconds: float

    @property
    def tokens(self) -> float:
        return self.prompt + self.solution


@dataclass(frozen=True, slots=True)
class CampaignPreflight:
    """`problems`: field → why the campaign cannot start, empty where it can. `tokens` are usual ones, None without a
    limit of requests or tokens. `cost` is None where no request leaves this machine. `seconds` is None where the
    target was never asked in a campaign."""

    problems: dict[str, str]
    estimate: CampaignEstimate
    tokens: int | None = None
    cost: CostEstimate | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()


def check_campaign(plan: CampaignPlan, past: Sequence[CampaignSummary] = ()) -> CampaignPreflight:
    """Check that everything the plan names is there, and estimate. Never raises for a plan."""
    problems = check_plan(plan)
    checks: dict[str, Callable[[], None]] = {
        "target": lambda: find_model(plan.target), "writers": lambda: _find_writers(plan.writers),
        "problems": lambda: _find_problems(plan.problems.source),
    }  # fmt: skip
    for name, check in checks.items():
        if name not in problems:
            try:
                check()
            except UserError as error:
                problems[name] = str(error)
    estimated, pace = estimate_campaign(plan), _pace(plan.target, past)
    usual, budget = pace or _Pace(PROMPT_TOKENS, SOLUTION_TOKENS, 0.0), plan.budget
    tokens = None if estimated.requests is None else round(estimated.requests * usual.tokens)
    if budget.tokens is not None:
        tokens = min(tokens or budget.tokens, budget.tokens)
    seconds = None if pace is None or estimated.requests is None else estimated.requests * pace.seconds
    if budget.minutes is not None:
        seconds = min(seconds or 60 * budget.minutes, 60 * budget.minutes)
    notes = list(estimated.notes)
    endpoints = [_endpoint(name) for name in (plan.target, *(w.argument for w in plan.writers if w.asks_model))]
    endpoint = next((e for e in endpoints if e is not None), None)
    cost = _cost(plan, endpoint, usual, tokens) if endpoint is not None else None
    if endpoint is not None and endpoint.price is None:
        notes.append(f"{endpoint.argument} has no price, so no cost can be said. Set one on the Models page.")
    return CampaignPreflight(problems, estimated, tokens, cost, seconds, tuple(notes))


def _cost(plan: CampaignPlan, endpoint: Endpoint, usual: _Pace, tokens: int | None) -> CostEstimate:
    """What all requests of the budget cost at the first endpoint that is asked, as if it answered all of them."""
    budget = plan.budget
    requests = budget.requests
    if requests is None and tokens is not None:
        requests = round(tokens / usual.tokens)
    if requests is None:
        # One a second for each that it answers at a time: nothing else limits them.
        requests = round(60 * (budget.minutes or 60) * endpoint.concurrency)
    longest = plan.max_tokens or LONGEST
    found = estimate(endpoint, requests, usual.prompt, max(longest, round(usual.solution)), usual.solution)
    if budget.tokens is not None:
        found = replace(found, tokens_at_most=min(found.tokens_at_most, budget.tokens))
    if budget.money is None or found.cost is None or found.at_most is None:
        return found
    return replace(found, cost=min(found.cost, budget.money), at_most=min(found.at_most, budget.money))


def find_model(name: str) -> None:
    """A UserError where a model that a plan names is not there."""
    if name == STARTER or find_checkpoint(name, Role.REASONER) is not None:
        return
    if names_endpoint(name):
        find_endpoint(name)
    else:
        locate_model(name)


def _endpoint(name: str) -> Endpoint | None:
    if not names_endpoint(name):
        return None
    try:
        return find_endpoint(name)
    except UserError:
        return None


def _find_writers(writers: Sequence[WriterSpec]) -> None:
    for writer in writers:
        match writer.kind:
            case WriterKind.MODEL:
                find_model(writer.argument)
            case WriterKind.RUN_ADVERSARY:
                run = writer.argument.partition("@")[0]
                RunRepository().find_named(run)
                if find_checkpoint(writer.argument, Role.ADVERSARY) is None:
                    raise UserError(f"{writer.argument} has no checkpoint of an Adversary.")
            case WriterKind.ARCHIVE:
                RunRepository().find_named(writer.argument)
            case WriterKind.SUITE:
                SuiteRepository(suites_folder()).find(writer.argument)


def _find_problems(source: str) -> None:
    if source == BUNDLED:
        return
    if source.startswith(SUITE):
        SuiteRepository(suites_folder()).find(source.removeprefix(SUITE))
    elif source.startswith(RUN):
        RunRepository().find_named(source.removeprefix(RUN))
    elif Path(source).is_absolute() and not expanded(source).exists():
        raise UserError(f"There is no file {source}.")


def _pace(target: str, past: Sequence[CampaignSummary]) -> _Pace | None:
    """What the newest campaign on the same target measured."""
    for summary in past:
        state = summary.state
        if summary.plan is None or state is None or summary.plan.target != target:
            continue
        asked = state.spent.requests - state.spent.cached
        if asked >= 20:
            spent = state.spent
            return _Pace(
                spent.prompt_tokens / spent.requests, spent.completion_tokens / spent.requests, spent.seconds / asked
            )
    return None
