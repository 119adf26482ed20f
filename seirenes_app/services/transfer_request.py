"""A transfer as the user asks for it: hints of a run, a suite or a campaign, on several models. It is an evaluation of
these models on a suite of these hints; `robustness.transfer` reads it.

The same request finds its suite and its evaluation again, so that nothing is asked twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from seirenes_app.services.evaluations import (
    SEED,
    EvaluationRepository,
    EvaluationSummary,
    checkpoint_targets,
    model_target,
    plan_evaluation,
)
from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.services.robustness.transfer import FEWEST_MODELS
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.services.suites import Source, SuiteOrder, Writer, fill_order
from seirenes_app.store.resources import recorded_run
from training.core.prompts import PromptProfile
from training.core.types import Condition
from training.errors import UserError
from training.evaluation.eval_dir import describe_suite
from training.evaluation.plan import EvalPlan, SpendLimits, SuiteRef, Target
from training.evaluation.suites.manifest import SuiteManifest
from training.evaluation.suites.repository import SuiteRepository
from training.runs.files import expanded
from training.runs.paths import RunPaths

RECORDED = "recorded"
PROBLEMS = 100
CONDITIONS = (Condition.CLEAN, Condition.HINTED, Condition.PLACEBO, Condition.NEEDED)


@dataclass(frozen=True)
class TransferRequest:
    """`hints` names a run, 'recorded', a suite by name or folder, or a campaign. `models` are named as everywhere,
    checkpoints as RUN@STEP. `problems` None: all of a suite, `PROBLEMS` of a run. `prompts` None: of each model by
    itself."""

    hints: str
    models: tuple[str, ...]
    problems: int | None = None
    samples: int = 1
    temperature: float | None = None
    seed: int = SEED
    max_tokens: int | None = None
    prompts: PromptProfile | None = None
    budget: SpendLimits = SpendLimits()
    exact: bool = False
    """Whether GGUF files answer one prompt at a time."""


def plan_transfer(request: TransferRequest, suites: SuiteRepository | None = None) -> EvalPlan:
    """The evaluation that a transfer is. Writes the suite of a run's hints where it is not there yet. Raises a
    UserError for hints and models that are not there."""
    if len(request.models) < FEWEST_MODELS:
        raise UserError("A transfer needs at least two models, as in --models starter,FILE.gguf,endpoint:NAME.")
    targets = [target_of(name, request.prompts) for name in request.models]
    suite = hints_suite(request, suites or SuiteRepository(suites_folder()))
    plan = plan_evaluation(
        targets, [suite], conditions=CONDITIONS, samples=request.samples, temperature=request.temperature,
        seed=request.seed, max_tokens=request.max_tokens, title=f"transfer of {suite.name}",
        exact=request.exact,
    )  # fmt: skip
    return replace(plan, budget=request.budget)


def target_of(name: str, prompts: PromptProfile | None = None) -> Target:
    """The model of that name; a run's checkpoint as RUN@STEP."""
    run, at, step = name.rpartition("@")
    if at and step.isdigit() and not expanded(name).exists() and (paths := find_hints_run(run)) is not None:
        return checkpoint_targets(paths, [int(step)], prompts)[0]
    return model_target(name, prompts)


def find_hints_run(name: str) -> RunPaths | None:
    """The run of that name or folder, or the one that ships; None for anything else."""
    if name == RECORDED and not Path(name).is_dir():
        return RunPaths(recorded_run())
    folder = expanded(name)
    if folder.is_dir():
        return RunPaths(folder.resolve()) if (folder / "config.json").is_file() else None
    try:
        return RunRepository().find_named(name)
    except UserError:
        return None


def hints_suite(request: TransferRequest, suites: SuiteRepository) -> SuiteRef:
    """The suite with the hints of a request. That of a run's hints is made once for each number of problems."""
    folder = _suite_folder(request.hints, suites)
    if folder is None:
        run = find_hints_run(request.hints)
        if run is None:
            return describe_suite(_suite_of_campaign(request.hints, suites), request.problems or 0)
        return describe_suite(suite_of_run(run, request.problems or PROBLEMS, request.seed, suites))
    return describe_suite(folder, request.problems or 0)


def _suite_folder(name: str, suites: SuiteRepository) -> Path | None:
    for folder in (suites.root / name, expanded(name)):
        if (folder / "manifest.json").is_file():
            return folder
    return None


def _suite_of_campaign(name: str, suites: SuiteRepository) -> Path:
    """The suite of the confirmed weaknesses of a campaign, made once. A UserError where there is no such campaign."""
    # Here, as most requests are of a run or a suite.
    from seirenes_app.services.redteam.campaign import find_campaign
    from seirenes_app.services.redteam.exports import ExportKind, export_campaign

    try:
        campaign = find_campaign(name)
    except UserError as error:
        raise UserError(
            f"{name!r} is neither a run nor a suite nor a campaign. List them with: seirenes runs, seirenes suite "
            "list, seirenes redteam list"
        ) from error
    made = f"{_short(campaign.run_id)} weaknesses"
    known = next((m for folder, m in suites.manifests().items() if folder.name == made), None)
    if known is not None and known.recipe.get("campaign") == campaign.run_id:
        return suites.root / made
    return export_campaign(campaign, ExportKind.SUITE, made).path


def suite_of_run(run: RunPaths, wanted: int, seed: int, suites: SuiteRepository) -> Path:
    """The suite of the strongest hints of a run on so many problems, chosen by what they did to its own Reasoner."""
    order = SuiteOrder("", Source.RUN, (str(run.root),), Writer.ARCHIVE, problems=wanted, seed=seed)
    names = (f"{_short(run.run_id)} hints {wanted}{f' ({n})' if n > 1 else ''}" for n in range(1, 1000))
    known = suites.manifests()
    by_name = {folder.name: manifest for folder, manifest in known.items()}
    for name in names:
        if name in by_name and not _is_of(by_name[name], run, wanted, seed):
            continue
        if name in by_name:
            return suites.root / name
        made = fill_order(
            replace(order, name=name), suites, sets_folder=suites.root, drafts=_no_drafts, write_hints=_no_model
        )
        assert made is not None
        return made.saved.folder
    raise UserError(f"Too many suites of the hints of {run.run_id}. Remove some with: seirenes suite list")


def _short(run_id: str) -> str:
    """Part of a suite's name, which has a limit."""
    return run_id[:36].rstrip(".-_ ") or "run"


def _is_of(manifest: SuiteManifest, run: RunPaths, problems: int, seed: int) -> bool:
    """Whether a suite holds the hints that the run has now."""
    recipe = manifest.recipe
    newest = max((int(f.name[5:]) for f in run.checkpoints.glob("step_*") if f.name[5:].isdigit()), default=None)
    source = f"the archive of step_{newest:06d}" if newest is not None else ""
    same = (recipe.get("run"), recipe.get("problems"), recipe.get("seed")) == (run.run_id, problems, seed)
    return same and (recipe.get("source") == source or not str(recipe.get("source")).startswith("the archive"))


def _no_drafts() -> NoReturn:
    raise AssertionError("hints of a run need no draft")


def _no_model(*_: object) -> NoReturn:
    raise AssertionError("hints of a run need no model")


def find_transfer(plan: EvalPlan, evaluations: EvaluationRepository) -> EvaluationSummary | None:
    """The newest evaluation of the same plan, finished or not; None where there is none."""
    wanted = _essence(plan)
    found = (s for s in evaluations.list_evaluations() if s.plan is not None and _essence(s.plan) == wanted)
    return next(found, None)


def _essence(plan: EvalPlan) -> EvalPlan:
    """What decides the rows."""
    return replace(plan, created="", title="", device="auto", threads=0, budget=SpendLimits())


def split_names(texts: Sequence[str]) -> tuple[str, ...]:
    """The models of `--models`, given several times or with commas between."""
    names = (name.strip() for text in texts for name in text.split(","))
    return tuple(dict.fromkeys(name for name in names if name))
