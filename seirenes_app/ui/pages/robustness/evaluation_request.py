"""What a person asks to have evaluated, the plan made from it, and its estimated time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from seirenes_app.services.estimate import EVAL_CONDITIONS, eval_seconds, model_parameters
from seirenes_app.services.evaluations import (
    EvaluationSummary,
    checkpoint_targets,
    folder_target,
    frozen_suite_ref,
    gguf_target,
    plan_crossplay,
    plan_evaluation,
    starter_target,
)
from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.services.machine import usable_cores
from training.core.types import Condition
from training.errors import UserError
from training.evaluation.eval_dir import describe_suite
from training.evaluation.plan import USUAL_HINTS, EvalPlan, Target
from training.evaluation.suites.io import MANIFEST, read_manifest
from training.evaluation.suites.manifest import SuiteManifest
from training.runs.config import RunConfig
from training.runs.paths import RunPaths


def evaluation_name(summary: EvaluationSummary) -> str:
    """Its title; its folder's name where the plan cannot be read."""
    return (summary.plan.title if summary.plan is not None else "") or summary.paths.run_id


FROZEN = ""


"""Stands for the built-in suite."""


STARTER = "starter"


LOADING_S = 6.0


"""What a model takes before its first row."""


WRITING_SHARE = 0.6


"""Of the solving that a cross-play spends on writing its hints."""


@dataclass(frozen=True)
class EvalRequest:
    """`steps` are checkpoints of `run`; `models` are 'starter', folders and GGUF files. `suite` is a folder, or empty
    for the built-in one; `beside` a second one, None for none. `cross`: Reasoners of the steps against hints that
    checkpoints of these steps write."""

    run: RunPaths | None = None
    steps: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    suite: str = FROZEN
    problems: int = 200
    conditions: tuple[Condition, ...] = tuple(Condition)
    samples: int = 1
    max_tokens: int = 128
    cross: bool = False
    beside: str | None = None

    @property
    def trouble(self) -> str:
        """Why it cannot be started; "" where it can."""
        if self.cross and len(self.steps) < 2:
            return "Cross-play needs at least two checkpoints."
        if not self.steps and not self.models:
            return "Choose a checkpoint or a model."
        if not self.conditions:
            return "Choose a condition."
        if self.beside == self.suite and not self.cross:
            return "Choose two different suites."
        return ""


@dataclass(frozen=True)
class SuiteChoice:
    """A saved suite."""

    folder: Path
    manifest: SuiteManifest


def find_suites(root: Path | None = None) -> tuple[SuiteChoice, ...]:
    """The saved suites that can be read, by name."""
    folder, found = root or suites_folder(), []
    for place in sorted(folder.iterdir()) if folder.is_dir() else []:
        if (place / MANIFEST).is_file():
            try:
                found.append(SuiteChoice(place, read_manifest(place)))
            except UserError:
                # Opening it says what is wrong with it.
                continue
    return tuple(found)


def make_plan(request: EvalRequest) -> EvalPlan:
    """The plan of a request; a UserError for a model or a suite that is not there."""
    if request.trouble:
        raise UserError(request.trouble)
    if request.cross:
        assert request.run is not None
        return plan_crossplay(
            request.run, request.steps, problems=request.problems, samples=request.samples,
            max_tokens=request.max_tokens, placebo=Condition.PLACEBO in request.conditions,
        )  # fmt: skip
    targets = [_model(name) for name in request.models]
    if request.run is not None and request.steps:
        targets = [*checkpoint_targets(request.run, request.steps), *targets]
    suites = [
        frozen_suite_ref(request.problems) if suite == FROZEN else describe_suite(Path(suite), request.problems)
        for suite in (request.suite, request.beside)
        if suite is not None
    ]
    return plan_evaluation(
        targets, suites, conditions=request.conditions, samples=request.samples, max_tokens=request.max_tokens
    )


def _model(name: str) -> Target:
    if name == STARTER:
        return starter_target()
    path = Path(name)
    return gguf_target(path) if path.suffix == ".gguf" else folder_target(path)


# ---------------------------------------------------------------------- how much work it is


def count_rows(request: EvalRequest, hints: int = USUAL_HINTS) -> int:
    """Completions it takes, with the usual number of hints a problem."""
    prompts = {Condition.CLEAN: 1, Condition.HINTED: hints, Condition.PLACEBO: hints}
    if request.cross:
        columns = 1 + len(request.steps) * hints + (hints if Condition.PLACEBO in request.conditions else 0)
        return len(request.steps) * request.problems * columns * request.samples
    models = (len(request.steps) + len(request.models)) * (1 if request.beside is None else 2)
    return models * request.problems * sum(prompts[c] for c in request.conditions) * request.samples


@dataclass(frozen=True)
class Throughput:
    """Rows a second, and where that is known from."""

    rows_per_s: float
    basis: str


def find_pace(config: RunConfig | None, past: Sequence[EvaluationSummary], max_tokens: int) -> Throughput:
    """The newest evaluation's pace on this machine, else a guess from the model's size."""
    measured = next((s.state.rows_per_s for s in past if s.state is not None and s.state.rows_per_s > 0), 0.0)
    if measured:
        return Throughput(measured, "as fast as the last evaluation here")
    config = config or RunConfig()
    one = replace(config, evaluation=replace(config.evaluation, problems=1, max_new_tokens=max_tokens))
    cores = usable_cores()
    seconds = eval_seconds(one, model_parameters(config), cores) / EVAL_CONDITIONS
    words = "core" if cores == 1 else "cores"
    return Throughput(1 / max(seconds, 1e-6), f"from the model's size and {cores} CPU {words}")


def estimate_seconds(request: EvalRequest, pace: Throughput) -> float:
    """How long it will take."""
    models = len(request.steps) + len(request.models)
    solving = count_rows(request) / pace.rows_per_s
    return models * LOADING_S + solving * (1 + (WRITING_SHARE if request.cross else 0.0))
