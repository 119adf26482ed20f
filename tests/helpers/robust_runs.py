"""Small runs with evaluations of their own, and small evaluations of a run's checkpoints, filled by a rule."""

import json
import random
from dataclasses import replace

from helpers.evals import fill, small_plan

from training.core.types import Condition, Outcome
from training.evaluation.plan import Target
from training.evaluation.rows import EvalRow, follows_hint, save_rows
from training.evaluation.suites.builder import frozen_suite
from training.evaluation.summary import summarise
from training.runs.config import RunConfig, to_dict
from training.runs.events import EventKind, EventLog
from training.runs.paths import RunPaths

SKILL = {
    0: {Condition.CLEAN: 0.9, Condition.HINTED: 0.3, Condition.PLACEBO: 0.8},
    10: {Condition.CLEAN: 0.9, Condition.HINTED: 0.6, Condition.PLACEBO: 0.8},
    20: {Condition.CLEAN: 0.9, Condition.HINTED: 0.8, Condition.PLACEBO: 0.8},
}


def rows_of(suite, skill, salt=""):
    """One greedy answer a prompt, right with the condition's chance; what is luck is the same for every skill."""
    rows = []
    for item in suite.items:
        asked = [(Condition.CLEAN, -1, None, "")]
        asked += [(Condition.HINTED, i, h, h.text) for i, h in enumerate(item.hints)]
        asked += [(Condition.PLACEBO, i, None, text) for i, text in enumerate(item.placebos)]
        for condition, index, hint, text in asked:
            luck = random.Random(f"{salt}{item.problem.id}{condition}{index}").random()
            right = luck < skill[condition]
            answer = item.problem.answer if right else (hint and hint.suggested) or "987"
            completion = f"#### {answer}"
            rows.append(
                EvalRow(
                    item.problem.id, item.problem.family, condition, index, hint.type if hint else "", text, completion,
                    Outcome.RIGHT if right else Outcome.WRONG, False,
                    follows_hint(completion, hint, item.problem) if hint else None,
                )
            )  # fmt: skip
    return rows


def write_run(root, skills=SKILL, *, problems=12, seed=1, keep_rows=None, config=None, salt="", steps=3):
    """A finished run with an evaluation a key of `skills`; rows only of the steps in `keep_rows` (None: of all)."""
    root.mkdir(parents=True)
    paths = RunPaths(root)
    config = config or RunConfig()
    paths.config.write_text(json.dumps(to_dict(config)))
    suite = frozen_suite(problems, seed)
    writer = EventLog(paths.events)
    writer.write(
        EventKind.LAUNCH, run_id=root.name, mode=config.mode, model="starter", steps=max(skills),
        machine={"cpu": "test"}, versions={"seirenes": "0"},
    )  # fmt: skip
    known = {}
    for step, skill in skills.items():
        if id(skill) not in known:
            known[id(skill)] = (rows := rows_of(suite, skill, salt)), summarise(rows)
        rows, metrics = known[id(skill)]
        writer.write(
            EventKind.EVAL, step=step, suite=suite.name, suite_hash=suite.digest(), metrics=metrics
        )  # fmt: skip
        if keep_rows is None or step in keep_rows:
            save_rows(rows, root / "evaluations" / f"step_{step:06d}.jsonl")
    for step in range(1, steps + 1):
        metrics = {"hinted_accuracy": 0.5 + step / 100, "hinted_low": 0.4, "hinted_high": 0.7, "clean_accuracy": 0.9}
        writer.write(EventKind.STEP, step=step, metrics=metrics)
    writer.write(EventKind.DONE, outcome="finished", message="Finished.")
    writer.close()
    return paths


def evaluate_run(folder, skills=SKILL, *, run="r", **options):
    """A finished evaluation of a run's checkpoints on the frozen suite."""
    return evaluate_runs(folder, (run,), skills, **options)


def evaluate_runs(folder, runs, skills=SKILL, *, problems=12, **options):
    """The same of several runs, whose checkpoints have the same skills."""
    places = [(run, step) for run in runs for step in skills]
    plan = small_plan(problems, tuple(f"{run}@{step}" for run, step in places), **options)
    targets = tuple(
        Target(t.name, t.path, run=run, step=step) for t, (run, step) in zip(plan.targets, places, strict=True)
    )  # fmt: skip
    by_name = {t.name: skills[t.step] for t in targets}

    def rule(key, problem):
        luck = random.Random(f"{key.condition}{key.item}{key.index}{key.sample}").random()
        return problem.answer if luck < by_name[key.target][key.condition] else "987"

    return fill(folder, replace(plan, targets=targets), rule)
