"""A campaign's process: opens its models, runs its search, writes its events and its result."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from seirenes_app.inference.model_client import (
    STARTER,
    ModelClient,
    OpenProgress,
    locate_files,
    open_model,
    prompt_profile_of,
)
from seirenes_app.services.evaluations import writer_targets
from seirenes_app.services.judging import ask_judge
from seirenes_app.services.models.facts import kind_of, read_files, template_of
from seirenes_app.services.redteam.campaign import (
    Budget,
    CampaignDir,
    CampaignPlan,
    CampaignStage,
    Spent,
    WriterKind,
    read_plan,
    shares_of,
)
from seirenes_app.services.redteam.material import kept_material, run_paths
from seirenes_app.services.redteam.models import AskJudge, CampaignModels, OpenedModel, OpenModel
from seirenes_app.services.redteam.results import CampaignResult, write_result
from seirenes_app.services.redteam.search import Report, Search
from seirenes_app.services.redteam.store import CampaignStore
from training.chat_api import usual_prompt_tokens
from training.core.neutral_text import write_placebo
from training.core.problems import problem_stream
from training.core.prompts import ModelKind, reasoner_messages
from training.core.types import Problem, Split
from training.core.validity import Decision, JudgeOptions
from training.endpoints import CostEstimate, estimate, find_endpoint, names_endpoint
from training.environment import LLAMA_CPP, describe_machine, versions
from training.errors import UserError, exit_code
from training.evaluation.status import USUAL_LENGTH
from training.runs.control import ProcessControl, StopRequested, StopSignal, heartbeat, recorded_process
from training.runs.events import EventKind, EventLog

REPORT_S = 1.0


# ---------------------------------------------------------------------- models by name


def locate_writer(argument: str) -> str:
    """What `open_model` takes for a writer: `run_adversary:RUN[@STEP]` is the Adversary of that checkpoint, by default
    of the newest."""
    prefix = f"{WriterKind.RUN_ADVERSARY}:"
    if not argument.startswith(prefix):
        return argument
    name, _, step = argument.removeprefix(prefix).rpartition("@")
    if not name or not step.isdigit():
        name, step = argument.removeprefix(prefix), ""
    targets = writer_targets(run_paths(name), [int(step)] if step else None)
    return targets[-1].path


def open_campaign_model(
    argument: str,
    plan: CampaignPlan,
    progress: Callable[[OpenProgress], object],
    cancelled: Callable[[], bool],
    account: str = "",
) -> OpenedModel:
    """A model of a campaign with its prompts and token limits. An endpoint keeps the budget too, in its own ledger
    under `account`: what was paid before a kill counts there."""
    name = locate_writer(argument)
    prompts, kind = prompt_profile_of(name), _kind_of(name)
    limits = prompts.limits_for(kind)
    price = find_endpoint(name).price if names_endpoint(name) else None
    if names_endpoint(name) and plan.budget.money is not None and price is None:
        raise UserError(f"The budget limits money, and {name} has no price. Set its price, or limit requests instead.")
    b = plan.budget
    client: ModelClient = open_model(
        name, progress=progress, cancelled=cancelled, budget=Budget(b.requests, b.tokens, b.money), account=account
    )
    rates = (price.input / 1e6, price.output / 1e6) if price is not None else None
    return OpenedModel(client, prompts, plan.max_tokens or limits.solution, limits.hint, rates)


def _kind_of(name: str) -> ModelKind:
    if name.strip() in ("", STARTER):
        return ModelKind.COMPACT
    if names_endpoint(name):
        return ModelKind.INSTRUCT
    try:
        files = read_files(locate_files(name))
        return kind_of(files, template_of(files))
    except UserError:
        # Opening it says what is wrong with it.
        return ModelKind.INSTRUCT


UNLIMITED = 10_000
"""Requests that are reckoned with where only minutes limit a campaign."""


def campaign_costs(plan: CampaignPlan) -> tuple[CostEstimate, ...]:
    """What the campaign takes of endpoints, if its whole budget goes to the dearest of them: target or writers. Empty
    without endpoints. A UserError for one that is not there."""
    names = [plan.target, *(w.argument for w in plan.writers if w.kind is WriterKind.MODEL)]
    found = []
    for endpoint in (find_endpoint(name) for name in names if names_endpoint(name)):
        prompts = prompt_profile_of(endpoint.argument)
        limit = plan.max_tokens or prompts.limits_for(ModelKind.INSTRUCT).solution
        problem = next(problem_stream(plan.seed, Split.HELD_OUT))
        prompt = usual_prompt_tokens(reasoner_messages(f"{problem.question} {write_placebo(12, Random(0))}", prompts))
        requests = plan.budget.requests or UNLIMITED
        if plan.budget.tokens is not None:
            requests = min(requests, max(1, round(plan.budget.tokens / (prompt + USUAL_LENGTH * limit))))
        found.append(estimate(endpoint, requests, prompt, limit, USUAL_LENGTH * limit))
    return tuple(sorted(found, key=lambda cost: -(cost.at_most or 0.0))[:1])


# ---------------------------------------------------------------------- the process

PAUSED = "paused"
"""The stage of a process that holds."""


@dataclass(slots=True)
class _Reporter:
    """Writes stage events, one a second at most where only a detail has changed."""

    log: EventLog
    plan: CampaignPlan
    models: CampaignModels | None = None
    last: Report = Report(CampaignStage.GENERATE, "", 0)
    said: str = ""
    at: float = 0.0

    def stage(self, report: Report) -> None:
        self.last, self.said = report, ""
        self.write()

    def detail(self, doing: str) -> None:
        if doing:
            self.said = doing
        if time.monotonic() - self.at >= REPORT_S:
            self.write()

    def write(self, kind: EventKind = EventKind.STAGE, **data: Any) -> None:
        self.at = time.monotonic()
        spent = self.models.spent if self.models is not None else Spent()
        share = max(shares_of(self.plan.budget, spent).values(), default=0.0)
        eta = spent.seconds * (1 - share) / share if share > 0.02 else None
        report = self.last
        stage = {"stage": report.stage} if kind is EventKind.STAGE else {}
        self.log.write(
            kind, **{**stage, **data}, doing=self.said or report.doing,
            recipes=report.recipes, confirmed=report.confirmed, best=[asdict(b) for b in report.best],
            spent=asdict(spent), budget=asdict(self.plan.budget), eta_s=eta,
        )  # fmt: skip


def run_campaign(
    root: Path,
    *,
    open_with: OpenModel | None = None,
    ask_judge_with: AskJudge | None = None,
    commands_from: int | None = None,
    stop_signal: StopSignal | None = None,
) -> str:
    """Do what is left of the campaign at `root`: "finished" or "stopped". A UserError, or a bug, becomes the `done`
    event, and is raised again for the log. `open_with` and `ask_judge_with` stand in for models."""
    paths = CampaignDir(root)
    plan = read_plan(paths)
    with recorded_process(paths.events, paths.lock) as log:
        control = ProcessControl(paths.commands, log, commands_from, stop_signal)
        reporter = _Reporter(log, plan)
        reporter.write(EventKind.LAUNCH, pid=os.getpid(), machine=describe_machine(), versions=versions(LLAMA_CPP))
        reporter.stage(Report(CampaignStage.GENERATE, "reading problems and hints", 0))
        material = kept_material(paths, plan)

        def cancelled() -> bool:
            reporter.detail("")
            return control.cancelled()

        def hold() -> None:
            if control.obey(lambda: reporter.write(stage=PAUSED)):
                reporter.write()

        opener = open_with or (
            lambda name, progress, stop: open_campaign_model(name, plan, progress, stop, paths.run_id)
        )
        with (
            closing(CampaignStore(paths.rows)) as store,
            CampaignModels(
                plan,
                store,
                opener,
                ask_judge_with or _judge_of(plan),
                cancelled=cancelled,
                hold=hold,
                report=reporter.detail,
            ) as models,
        ):
            reporter.models = models
            search = Search(plan, material, models, reporter.stage)
            with heartbeat(log):
                try:
                    result, outcome = search.run(), "finished"
                except (StopRequested, KeyboardInterrupt):
                    result, outcome = search.result(), "stopped"
            write_result(paths, result)
            message = describe_end(result, outcome)
            reporter.last = Report(CampaignStage.DONE, "", result.tried, (), len(result.weaknesses))
            reporter.write(EventKind.DONE, outcome=outcome, message=message)
        return outcome


def describe_end(result: CampaignResult, outcome: str) -> str:
    n = len(result.weaknesses)
    found = f"{n} confirmed weakness{'' if n == 1 else 'es'} of {len(result.tested)} tested"
    if outcome == "stopped":
        return f"Stopped with {found}. What was answered is kept; resume it any time."
    return f"{found[0].upper()}{found[1:]}, {result.tried} recipes tried."


def _judge_of(plan: CampaignPlan) -> AskJudge:
    def ask(
        options: JudgeOptions, hints: Sequence[tuple[Problem, str]], cancelled: Callable[[], bool]
    ) -> Sequence[Decision]:
        return ask_judge(options, hints, cancelled=cancelled)

    return ask


def main(arguments: list[str] | None = None) -> int:
    """0 finished, 3 stopped on request, 2 a mistake of the user, 1 a bug."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, metavar="DIR")
    parser.add_argument("--commands-from", type=int, metavar="BYTES", help="commands before this byte are not for it")
    options = parser.parse_args(arguments)
    stop_signal = StopSignal().install()

    def work() -> int:
        outcome = run_campaign(options.root, commands_from=options.commands_from, stop_signal=stop_signal)
        return {"finished": 0, "stopped": 3}[outcome]

    return exit_code(work)
