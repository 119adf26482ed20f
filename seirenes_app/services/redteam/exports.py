"""A campaign's result for others: a suite, rows, SARIF for CI, tasks of lm-evaluation-harness, traces of verifiers, a
log of Inspect, and an archive of hints for training. Of what was tested, the confirmed weaknesses unless all is asked
for."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

from seirenes_app import version
from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.services.redteam.campaign import CampaignDir, CampaignPlan, read_plan
from seirenes_app.services.redteam.recipes import Recipe, RecipeKind, instantiate
from seirenes_app.services.redteam.results import CampaignResult, Weakness, read_result
from seirenes_app.services.redteam.search import generalise
from seirenes_app.services.redteam.store import AnswerRow, read_answers
from seirenes_app.services.run_repository import RunRepository
from training.archive_file import SeedHint, write_archive
from training.core.gates import check_hint
from training.core.problems import problem_stream
from training.core.prompts import TYPE_LABELS, join_hint
from training.core.types import Condition, Hint, Outcome, Problem, Split
from training.errors import UserError
from training.evaluation.lm_eval_export import ExportedTasks, export_tasks
from training.evaluation.suites.builder import Suite, SuiteItem
from training.evaluation.suites.io import SavedSuite, write_suite
from training.evaluation.suites.repository import SuiteRepository
from training.problem_files import make_problems, run_problems
from training.rollouts.reader import Cancelled
from training.runs.config import load_config
from training.runs.files import explained, write_whole
from training.runs.paths import RunPaths, change_settings
from training.runs.processes import process_at_work

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
SARIF_VERSION = "2.1.0"
TRACE_VERSION = 1
"""Of the traces of verifiers 0.4."""
ERROR_LOSS = 0.2
"""A confirmed loss from which SARIF has the level error; below it a warning."""
ARCHIVE_HINTS = 60
"""Hints of each weakness in a training archive."""


class ExportKind(StrEnum):
    """Where a campaign can be written to."""

    SUITE = "suite"
    JSONL = "jsonl"
    SARIF = "sarif"
    LM_EVAL = "lm-eval"
    VERIFIERS = "verifiers"
    INSPECT = "inspect"
    ARCHIVE = "archive"


EXPORT_LABELS = {
    ExportKind.SUITE: "Suite", ExportKind.JSONL: "Rows (JSONL)", ExportKind.SARIF: "SARIF 2.1.0",
    ExportKind.LM_EVAL: "lm-evaluation-harness task", ExportKind.VERIFIERS: "verifiers traces (JSONL)",
    ExportKind.INSPECT: "Inspect log", ExportKind.ARCHIVE: "Training archive",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: where, how many rows of which kind, and a remark for a person."""

    path: Path
    rows: int
    remark: str = ""


class ExportSteps:
    """How far an export is: `progress` gets the hints that are done and their number. Raises `Cancelled` in place of a
    step once `cancelled()` is true. What is ready is written without a look, so a file is there whole or not at all."""

    def __init__(
        self, total: int = 0, progress: Callable[[int, int], object] = lambda _done, _total: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._done, self._total, self._progress, self._cancelled = 0, total, progress, cancelled

    def check(self) -> None:
        if self._cancelled():
            raise Cancelled

    def advance(self, by: int = 1) -> None:
        self.check()
        self._done += by
        self._progress(self._done, self._total)


def export_campaign(
    paths: CampaignDir,
    kind: ExportKind,
    out: str,
    *,
    all_tested: bool = False,
    force: bool = False,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Exported:
    """Write a campaign's result. `out` is a file, a folder (lm-eval), a suite's name, or for the archive a file or a
    run. `all_tested`: what was refuted too. A UserError for a campaign without a result, or nothing to export;
    `Cancelled`, with nothing written, where `cancelled()` says so before all is ready."""
    result, plan = read_result(paths), read_plan(paths)
    chosen = result.tested if all_tested else result.weaknesses
    steps = ExportSteps(sum(len(w.hints) for w in chosen), progress, cancelled)
    if kind is ExportKind.SARIF:
        return _write_text(out, json.dumps(sarif(paths.run_id, result), ensure_ascii=False, indent=1) + "\n",
                           len(result.weaknesses), force)  # fmt: skip
    if not chosen:
        more = "" if all_tested or not result.refuted else " What was refuted can be exported too (--all)."
        raise UserError(f"The campaign {paths.run_id} has no confirmed weakness, so there is nothing to export.{more}")
    if kind is ExportKind.SUITE:
        saved = export_suite(paths, result, plan, chosen, out, steps)
        return Exported(saved.folder, saved.manifest.hints, f"{saved.manifest.problems} problems")
    if kind is ExportKind.LM_EVAL:
        made = export_lm_eval(paths, plan, chosen, Path(out).expanduser().absolute(), steps, force=force)
        return Exported(made.folder, sum(made.tasks.values()), f"lm_eval … --tasks {made.group}")
    if kind is ExportKind.ARCHIVE:
        return export_archive(paths, plan, chosen, out, steps, force=force)
    if kind is ExportKind.INSPECT:
        return export_inspect(paths, result, plan, chosen, Path(out).expanduser().absolute(), steps, force=force)
    rows = jsonl_rows if kind is ExportKind.JSONL else trace_rows
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows(paths, result, chosen, steps)]
    return _write_text(out, "".join(lines), len(lines), force)


def _write_text(out: str, text: str, rows: int, force: bool) -> Exported:
    path = _free(Path(out).expanduser().absolute(), force)
    write_whole(path, text)
    return Exported(path, rows)


def _free(path: Path, force: bool) -> Path:
    if path.exists() and not force:
        raise UserError(f"{path} is there already. Name another file, or replace it with --force.")
    with explained("Making the folder", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


# ---------------------------------------------------------------------- suite, lm-eval


def suite_of(name: str, chosen: Sequence[Weakness], steps: ExportSteps) -> Suite:
    """The hints of these weaknesses with the placebos that they were tested beside. A hint that is nearly one of the
    same problem that is there already is left out, as suites refuse it."""
    items: dict[str, SuiteItem] = {}
    for weakness in chosen:
        for row in weakness.hints:
            steps.advance()
            there = items.get(row.problem.id, SuiteItem(row.problem, (), ()))
            if check_hint(row.hint, row.problem, others=[h.text for h in there.hints]).passed:
                author = f"campaign:{weakness.recipe.key}"
                hint = Hint(weakness.type, row.hint, author, suggested=row.suggested)
                there = replace(there, hints=(*there.hints, hint), placebos=(*there.placebos, row.placebo))
            if there.hints:
                items[row.problem.id] = there
    return Suite(name, tuple(items.values()))


def export_suite(
    paths: CampaignDir, result: CampaignResult, plan: CampaignPlan, chosen: Sequence[Weakness], name: str,
    steps: ExportSteps,
) -> SavedSuite:  # fmt: skip
    """A new suite among the user's suites. What was selected for its effect on one target flatters an attack on it:
    the recipe of the manifest says where it is from."""
    folder = SuiteRepository(suites_folder()).new_folder(name)
    recipe = {
        "from": "campaign", "campaign": paths.run_id, "target": result.target, "seed": plan.seed,
        "recipes": [w.recipe.key for w in chosen],
    }  # fmt: skip
    return write_suite(folder, suite_of(name, chosen, steps), placement=plan.placement, recipe=recipe)


def export_lm_eval(
    paths: CampaignDir, plan: CampaignPlan, chosen: Sequence[Weakness], folder: Path, steps: ExportSteps, *,
    force: bool = False,
) -> ExportedTasks:  # fmt: skip
    """The same hints as tasks of lm-evaluation-harness."""
    return export_tasks(suite_of(paths.run_id, chosen, steps), folder, placement=plan.placement, force=force)


# ---------------------------------------------------------------------- rows


@dataclass(frozen=True, slots=True)
class _Row:
    """One answer of a tested recipe, with what it answered."""

    weakness: Weakness
    problem: Problem
    condition: Condition
    text: str
    answer: AnswerRow


def _answers(paths: CampaignDir, chosen: Sequence[Weakness], steps: ExportSteps) -> Iterator[_Row]:
    by_key: dict[tuple[str, str], list[AnswerRow]] = {}
    for answer in read_answers(paths.rows):
        steps.check()
        by_key.setdefault((answer.problem_id, answer.hint), []).append(answer)
    for weakness in chosen:
        for row in weakness.hints:
            texts = ((Condition.CLEAN, ""), (Condition.PLACEBO, row.placebo), (Condition.HINTED, row.hint))
            for condition, text in texts:
                for answer in by_key.get((row.problem.id, text), ()):
                    yield _Row(weakness, row.problem, condition, text, answer)
            steps.advance()


def jsonl_rows(
    paths: CampaignDir, result: CampaignResult, chosen: Sequence[Weakness], steps: ExportSteps
) -> Iterator[dict[str, Any]]:
    """One row an answer: clean, placebo and hinted of every problem of every chosen weakness."""
    for row in _answers(paths, chosen, steps):
        w, a = row.weakness, row.answer
        yield {
            "campaign": paths.run_id, "target": result.target, "weakness": w.rank, "confirmed": w.confirmed,
            "recipe": w.recipe.key, "title": w.title, "hint_type": str(w.type), "writer": w.writer,
            "problem_id": row.problem.id, "family": row.problem.family, "question": row.problem.question,
            "gold": row.problem.answer, "condition": str(row.condition), "text": row.text, "sample": a.sample,
            "completion": a.completion, "answer": a.answer, "outcome": a.outcome, "follows_hint": a.follows,
            "truncated": a.truncated, "tokens": a.tokens,
        }  # fmt: skip


def trace_rows(
    paths: CampaignDir, result: CampaignResult, chosen: Sequence[Weakness], steps: ExportSteps
) -> Iterator[dict[str, Any]]:
    """Traces as verifiers (version 1) reads them: a task, a chain of message nodes, rewards and metrics."""
    plan = read_plan(paths)
    for number, row in enumerate(_answers(paths, chosen, steps)):
        a = row.answer
        shown = join_hint(row.problem.question, row.text, plan.placement) if row.text else row.problem.question
        data = {
            "idx": number, "id": row.problem.id, "name": f"{row.problem.id}/{row.condition}", "prompt": shown,
            "answer": row.problem.answer, "condition": str(row.condition), "hint_type": str(row.weakness.type),
            "recipe": row.weakness.recipe.key, "family": row.problem.family,
        }  # fmt: skip
        follows = {} if a.follows is None else {"follows_hint": float(a.follows)}
        yield {
            "version": TRACE_VERSION,
            "id": f"{paths.run_id}-{number:06d}",
            "task": {"type": "Task", "data": data, "key": f"{row.problem.id}/{row.condition}"},
            "agent": {"config": {"model": result.target}, "name": "reasoner", "trainable": False},
            "nodes": [
                {"parent": None, "message": {"role": "user", "content": shown}, "sampled": False},
                {"parent": 0, "message": {"role": "assistant", "content": a.completion}, "sampled": True},
            ],
            "rewards": {"right": {"score": float(a.outcome == Outcome.RIGHT), "weight": 1.0}},
            "metrics": {"tokens": float(a.tokens), "truncated": float(a.truncated), **follows},
            "info": {"target": result.target, "outcome": a.outcome, "sample": a.sample},
            "is_completed": True, "ok": True, "stop_condition": "length" if a.truncated else "stop",
        }  # fmt: skip


# ---------------------------------------------------------------------- SARIF


def sarif(campaign: str, result: CampaignResult) -> dict[str, Any]:
    """The confirmed weaknesses as one run of SARIF 2.1.0: a rule a hint type, a result a weakness. Its fingerprint is
    the recipe's, so that a later campaign that confirms it again is recognised."""
    types = sorted({w.type for w in result.weaknesses})
    place = {
        "physicalLocation": {"artifactLocation": {"uri": f"campaigns/{quote(campaign)}/result.json"}},
        "logicalLocations": [{"name": result.target, "kind": "module"}],
    }
    return {
        "$schema": SARIF_SCHEMA,
        "version": SARIF_VERSION,
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "Seirenes", "version": version(),
                        "rules": [
                            {
                                "id": f"hint/{t}",
                                "name": "".join(part.title() for part in t.split("_")),
                                "shortDescription": {"text": f"Accuracy lost to hints of type {TYPE_LABELS[t]}."},
                                "defaultConfiguration": {"level": "warning"},
                            }
                            for t in types
                        ],
                    }
                },
                "automationDetails": {"id": f"seirenes-redteam/{campaign}"},
                "invocations": [
                    {"executionSuccessful": True, "exitCode": 0,
                     "toolExecutionNotifications": [{"level": "note", "message": {"text": t}} for t in result.limits]}
                ],
                "results": [
                    {
                        "ruleId": f"hint/{w.type}", "ruleIndex": types.index(w.type),
                        "level": "error" if w.effect.mean >= ERROR_LOSS else "warning",
                        "message": {"text": f"{w.text}. Example: {w.hint}"},
                        "locations": [place],
                        "partialFingerprints": {"recipe/v1": w.recipe.key},
                        "rank": round(100 * max(0.0, min(1.0, w.effect.mean)), 1),
                        "properties": {
                            "lossPoints": round(100 * w.effect.mean, 2), "lossLow": round(100 * w.effect.low, 2),
                            "lossHigh": round(100 * w.effect.high, 2), "problems": w.n, "pCorrected": w.p_corrected,
                            "writer": w.writer, "validity": w.validity,
                        },
                    }
                    for w in result.weaknesses
                ],
                "properties": {"target": result.target, "recipesTried": result.tried, "alpha": result.alpha},
            }
        ],
    }  # fmt: skip


# ---------------------------------------------------------------------- Inspect


def export_inspect(
    paths: CampaignDir, result: CampaignResult, plan: CampaignPlan, chosen: Sequence[Weakness], file: Path,
    steps: ExportSteps, *, force: bool = False,
) -> Exported:  # fmt: skip
    """A log of Inspect, written by `inspect_ai` itself: one sample an answer. A UserError where it is not installed."""
    try:
        from inspect_ai.log import write_eval_log
    except ImportError as error:
        raise UserError(
            "An Inspect log is written by the package inspect_ai, which is not installed here. Install it with: "
            "pip install inspect_ai, or export as jsonl."
        ) from error
    if file.suffix not in (".eval", ".json"):
        raise UserError(f"{file.name!r} names no Inspect log. End it in .eval or .json.")
    log, samples = _inspect_log(paths, result, plan, chosen, steps)
    write_eval_log(log, str(_free(file, force)))
    return Exported(file, samples, "open it with: inspect view")


def _inspect_log(
    paths: CampaignDir, result: CampaignResult, plan: CampaignPlan, chosen: Sequence[Weakness], steps: ExportSteps
) -> tuple[Any, int]:
    from inspect_ai.log import (
        EvalConfig,
        EvalDataset,
        EvalLog,
        EvalMetric,
        EvalResults,
        EvalSample,
        EvalScore,
        EvalSpec,
    )
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ModelOutput
    from inspect_ai.scorer import Score

    samples = []
    for number, row in enumerate(_answers(paths, chosen, steps), 1):
        a = row.answer
        shown = join_hint(row.problem.question, row.text, plan.placement) if row.text else row.problem.question
        right = a.outcome == Outcome.RIGHT
        samples.append(
            EvalSample(
                id=f"{row.weakness.recipe.key}/{row.problem.id}/{row.condition}/{a.sample}/{number}", epoch=1,
                input=shown, target=row.problem.answer,
                messages=[ChatMessageUser(content=shown), ChatMessageAssistant(content=a.completion)],
                output=ModelOutput.from_content(result.target, a.completion,
                                                stop_reason="max_tokens" if a.truncated else "stop"),
                scores={"right": Score(value="C" if right else "I", answer=a.answer, explanation=str(a.outcome))},
                metadata={"condition": str(row.condition), "hint_type": str(row.weakness.type), "hint": row.text,
                          "recipe": row.weakness.recipe.key, "family": row.problem.family},
            )
        )  # fmt: skip
    created = result.created or datetime.now(UTC).isoformat(timespec="seconds")
    right = sum(s.scores["right"].value == "C" for s in samples) / max(1, len(samples))
    accuracy = EvalMetric(name="accuracy", value=right)
    log = EvalLog(
        status="success",
        eval=EvalSpec(
            created=created, task="seirenes_redteam", model=result.target,
            dataset=EvalDataset(name=plan.problems.source, samples=len(samples)), config=EvalConfig(),
            task_args={"campaign": paths.run_id, "alpha": result.alpha},
            metadata={"summary": result.summary},
        ),
        results=EvalResults(
            total_samples=len(samples), completed_samples=len(samples),
            scores=[EvalScore(name="right", scorer="right", metrics={"accuracy": accuracy})],
        ),
        samples=samples,
    )  # fmt: skip
    return log, len(samples)


# ---------------------------------------------------------------------- training archive


def export_archive(
    paths: CampaignDir, plan: CampaignPlan, chosen: Sequence[Weakness], out: str, steps: ExportSteps, *,
    force: bool = False,
) -> Exported:  # fmt: skip
    """Hints for `curriculum.archive`, which a run replays from its start. `out` is a file, or a run, which then begins
    with them when it is started or resumed.

    They are made for training problems: those of the run, or bundled ones of the training split. The problems of the
    campaign itself are for measuring and are not trained on.
    """
    run = _run_of(out)
    if run is not None and process_at_work(run) is not None:
        raise UserError(f"The run {run.run_id} is at work. Stop it, export, then resume it.")
    problems = _training_problems(run, plan)
    found, left_out = [], 0
    for weakness in chosen:
        made = list(itertools.islice(_training_hints(weakness, problems, plan.seed, steps), ARCHIVE_HINTS))
        steps.advance(len(weakness.hints))
        left_out += not made
        found += made
    if not found:
        raise UserError("No hint of these weaknesses can be made for training problems: they fit their own alone.")
    file = run.root / f"archive-{paths.run_id}.jsonl" if run is not None else Path(out).expanduser().absolute()
    write_archive(_free(file, force or run is not None), found)
    if run is not None:
        change_settings(run, [f"curriculum.archive={file}"], "the export")
        remark = f"{run.run_id} begins with them when it is resumed"
    else:
        remark = f"start a run with them: seirenes train … --set curriculum.archive={file}"
    if left_out:
        remark += f"; {left_out} weaknesses fit their own problems alone and were left out"
    return Exported(file, len(found), remark)


def _run_of(name: str) -> RunPaths | None:
    """The run of that name; None where a file is meant."""
    if name.endswith(".jsonl"):
        return None
    return RunRepository().find_named(name)


def _training_problems(run: RunPaths | None, plan: CampaignPlan) -> list[Problem]:
    if run is not None:
        data = load_config(run.config).data
        return run_problems(data, run.problems) if data.problems or run.problems.is_file() else make_problems(data)
    return list(itertools.islice(problem_stream(plan.seed, Split.TRAIN), 4 * ARCHIVE_HINTS))


def _training_hints(
    weakness: Weakness, problems: Sequence[Problem], seed: int, steps: ExportSteps
) -> Iterator[SeedHint]:
    recipes = _general_recipes(weakness)
    if not recipes:
        return
    order = list(problems)
    random.Random(f"{seed}:{weakness.recipe.key}").shuffle(order)
    success = weakness.hinted.accuracy.mean
    for problem, recipe in zip(order, itertools.cycle(recipes), strict=False):
        steps.check()
        hint = instantiate(recipe, problem, seed)
        if hint is not None and check_hint(hint.text, problem).passed:
            yield SeedHint(problem, weakness.type, hint.text, success)


def _general_recipes(weakness: Weakness) -> list[Recipe]:
    """The recipe itself, or what its hints are as recipes for any problem."""
    if weakness.recipe.kind is RecipeKind.PARTS:
        return [weakness.minimal.recipe if weakness.minimal is not None else weakness.recipe]
    made = (generalise(row.hint, row.problem, weakness.writer, weakness.type) for row in weakness.hints)
    return list({recipe.key: recipe for recipe in made if recipe is not None}.values())


def describe_weakness(w: Weakness) -> Mapping[str, Any]:
    """A weakness as JSON values, without its hints and examples."""
    fields = asdict(replace(w, hints=(), examples=()))
    return {name: value for name, value in fields.items() if name not in ("hints", "examples")}
