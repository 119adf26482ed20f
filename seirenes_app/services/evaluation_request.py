"""An evaluation as the user asks for it: the request, the plan made from it, and how many completions it takes.
`make_plan` reads model files: call it off the window's thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seirenes_app.services import evaluations
from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.services.transfer_request import suite_of_run
from training.core.prompts import PromptProfile
from training.core.types import Condition
from training.errors import UserError
from training.evaluation.eval_dir import describe_suite
from training.evaluation.plan import USUAL_HINTS, EvalPlan, SpendLimits, SuiteRef, Target
from training.evaluation.suites.repository import SuiteRepository
from training.runs.paths import RunPaths

FROZEN = ""  # `EvalRequest.suite` of the built-in suite
HINTS_OF = "hints-of:"
"""Before a run's folder as `EvalRequest.suite`: the strongest hints of that run, which become a suite at the start."""


def evaluation_name(summary: evaluations.EvaluationSummary) -> str:
    """Its title; its folder's name where the plan cannot be read."""
    return (summary.plan.title if summary.plan is not None else "") or summary.paths.run_id


@dataclass(frozen=True)
class EvalRequest:
    """`checkpoints` are (run, step) pairs; `models` are 'starter', folders, GGUF files, hub ids and endpoints. `suite`
    is a folder, HINTS_OF with a run's, or empty for the built-in one; `second_suite` a further one, None for none.
    `cross_play`: Reasoners of the checkpoints against hints that these checkpoints write."""

    checkpoints: tuple[tuple[RunPaths, int], ...] = ()
    models: tuple[str, ...] = ()
    suite: str = FROZEN
    problems: int = 200
    conditions: tuple[Condition, ...] = tuple(Condition)
    samples: int = 1
    max_tokens: int = 128
    cross_play: bool = False
    second_suite: str | None = None
    prompts: PromptProfile | None = None
    """How all targets are asked; None: each by the profile that fits it."""
    budget: SpendLimits = SpendLimits()
    """What its endpoints may take in all."""
    exact: bool = False
    """Its GGUF files answer one prompt at a time."""

    @property
    def runs(self) -> tuple[RunPaths, ...]:
        return tuple(dict.fromkeys(run for run, _step in self.checkpoints))

    @property
    def error(self) -> str:
        """Why it cannot be started; "" where it can."""
        if self.cross_play and len(self.checkpoints) < 2:
            return "Cross-play needs at least two checkpoints."
        if self.cross_play and len(self.runs) > 1:
            return "Cross-play takes checkpoints of one run."
        if not self.checkpoints and not self.models:
            return "Choose a checkpoint or a model."
        if not self.conditions:
            return "Choose a condition."
        if self.second_suite == self.suite and not self.cross_play:
            return "Choose two different suites."
        return ""


def make_plan(request: EvalRequest) -> EvalPlan:
    """The plan of a request; a UserError for a model or a suite that is not there."""
    if request.error:
        raise UserError(request.error)
    steps = {run: [step for of, step in request.checkpoints if of == run] for run in request.runs}
    if request.cross_play:
        (run,) = steps
        return evaluations.plan_crossplay(
            run, steps[run], problems=request.problems, samples=request.samples, max_tokens=request.max_tokens,
            conditions=request.conditions, prompts=request.prompts, budget=request.budget,
        )  # fmt: skip
    targets = _targets_of(request)
    suites = [_suite_of(suite, request) for suite in (request.suite, request.second_suite) if suite is not None]
    names = " and ".join(run.run_id for run in steps)
    return evaluations.plan_evaluation(
        targets, suites, conditions=request.conditions, samples=request.samples, max_tokens=request.max_tokens,
        title=f"{names} on {', '.join(s.name for s in suites)}" if len(steps) > 1 and not request.models else "",
        budget=request.budget, exact=request.exact,
    )  # fmt: skip


def _suite_of(suite: str, request: EvalRequest) -> SuiteRef:
    if suite == FROZEN:
        return evaluations.frozen_suite_ref(request.problems)
    if suite.startswith(HINTS_OF):
        run = RunPaths(Path(suite.removeprefix(HINTS_OF)))
        found = suite_of_run(run, request.problems, evaluations.SEED, SuiteRepository(suites_folder()))
        return describe_suite(found, request.problems)
    return describe_suite(Path(suite), request.problems)


def _targets_of(request: EvalRequest) -> list[Target]:
    steps = {run: [step for of, step in request.checkpoints if of == run] for run in request.runs}
    chosen = request.prompts
    targets = [target for run in steps for target in evaluations.checkpoint_targets(run, steps[run], chosen)]
    return targets + [evaluations.model_target(model, chosen) for model in request.models]


@dataclass(frozen=True)
class Asking:
    """How the targets of a request are asked. `profile` None: they differ. `model`: one of them, to show a prompt."""

    profile: PromptProfile | None
    max_tokens: int
    temperature: float | None
    model: str


def find_asking(request: EvalRequest) -> Asking:
    """The prompts and the token limit that go with a request's targets. Reads model files; raises a `UserError`."""
    targets = _targets_of(request)
    profiles = {target.prompts for target in targets}
    return Asking(
        profiles.pop() if len(profiles) == 1 else None, evaluations.suggested_tokens(targets),
        evaluations.common_temperature(targets), targets[0].path if targets else evaluations.STARTER,
    )  # fmt: skip


def count_rows(request: EvalRequest, hints: int = USUAL_HINTS) -> int:
    """Completions it takes, with the usual number of hints a problem; of a run's strongest hints there is one."""
    hints = 1 if request.suite.startswith(HINTS_OF) else hints
    prompts = {Condition.CLEAN: 1, Condition.HINTED: hints, Condition.PLACEBO: hints, Condition.NEEDED: 1}
    checkpoints = len(request.checkpoints)
    if request.cross_play:
        beside = sum(prompts[c] for c in (Condition.PLACEBO, Condition.NEEDED) if c in request.conditions)
        columns = 1 + checkpoints * hints + beside
        return checkpoints * request.problems * columns * request.samples
    models = (checkpoints + len(request.models)) * (1 if request.second_suite is None else 2)
    return models * request.problems * sum(prompts[c] for c in request.conditions) * request.samples
