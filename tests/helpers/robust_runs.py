"""Small runs with evaluations of their own, and small evaluations of a run's checkpoints, filled by a rule."""

import json
import random
import sqlite3
from dataclasses import replace

from helpers.evals import fill, small_plan

from training.core.answers import AnswerGrader
from training.core.question_parser import move_question
from training.core.types import Condition
from training.evaluation.evaluator import Sampled
from training.evaluation.plan import Target
from training.evaluation.run_store import RunEvaluations, run_eval_dir
from training.evaluation.suites.builder import frozen_suite
from training.runs.config import RunConfig, profile_of, to_dict
from training.runs.events import EventKind, EventLog, EventTail
from training.runs.paths import RunPaths

SKILL = {
    0: {Condition.CLEAN: 0.9, Condition.HINTED: 0.3, Condition.PLACEBO: 0.8, Condition.NEEDED: 0.7},
    10: {Condition.CLEAN: 0.9, Condition.HINTED: 0.6, Condition.PLACEBO: 0.8, Condition.NEEDED: 0.7},
    20: {Condition.CLEAN: 0.9, Condition.HINTED: 0.8, Condition.PLACEBO: 0.8, Condition.NEEDED: 0.7},
}


def answers_of(suite, skill, salt=""):
    """One greedy answer a prompt, right with the condition's chance; what is luck is the same for every skill."""
    found = {}
    for item in suite.items:
        asked = [(Condition.CLEAN, -1, None)]
        asked += [(Condition.HINTED, i, h) for i, h in enumerate(item.hints)]
        asked += [(Condition.PLACEBO, i, None) for i in range(len(item.placebos))]
        asked += [(Condition.NEEDED, -1, None)]
        for condition, index, hint in asked:
            luck = random.Random(f"{salt}{item.problem.id}{condition}{index}").random()
            right = luck < skill.get(condition, skill[Condition.CLEAN])
            found[item.problem.id, condition, index] = (
                item.problem.answer if right else (hint and hint.suggested) or "987"
            )
    return found


def evaluate_step(paths, suite, step, skill, salt="", config=None):
    """Put a step's evaluation into the run's store, as the trainer does; returns the data of its event."""
    config = config or RunConfig()
    answers = answers_of(suite, skill, salt)
    items = suite.items
    order = [answers[i.problem.id, Condition.CLEAN, -1] for i in items]
    order += [answers[i.problem.id, Condition.HINTED, n] for i in items for n in range(len(i.hints))]
    order += [answers[i.problem.id, Condition.PLACEBO, n] for i in items for n in range(len(i.placebos))]
    order += [answers[i.problem.id, Condition.NEEDED, -1] for i in items if move_question(i.problem.question)]
    evaluations = RunEvaluations(
        paths, suite, config.evaluation.seed, max_tokens=config.evaluation.max_new_tokens,
        prompts=profile_of(config),
    )  # fmt: skip
    return evaluations.evaluate(
        step, lambda chats: [[Sampled(f"#### {answer}", False, 3)] for answer in order], AnswerGrader()
    )


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
        keep = keep_rows is None or step in keep_rows
        if keep or id(skill) not in known:
            known[id(skill)] = evaluate_step(paths, suite, step, skill, salt, config)
        writer.write(EventKind.EVAL, **known[id(skill)] | {"step": step})
        if not keep:
            forget_step(paths, step)
    for step in range(1, steps + 1):
        metrics = {"hinted_accuracy": 0.5 + step / 100, "hinted_low": 0.4, "hinted_high": 0.7, "clean_accuracy": 0.9}
        writer.write(EventKind.STEP, step=step, metrics=metrics)
    writer.write(EventKind.DONE, outcome="finished", message="Finished.")
    writer.close()
    return paths


def forget_step(paths, step):
    """Take a step's rows out of the run's store; its event stays."""
    with sqlite3.connect(run_eval_dir(paths).rows) as db:
        for table in ("rows", "cells", "chunks"):
            db.execute(f"DELETE FROM {table} WHERE target = (SELECT id FROM targets WHERE name = ?)", [f"step {step}"])
        db.execute("DELETE FROM meta WHERE key = ?", [f"source/step_{step:06d}.jsonl"])


def repeat_steps(paths, steps):
    """Give these steps the evaluations of those that are there, in turn."""
    evals = [e for e in EventTail(paths.events).poll() if e.kind == EventKind.EVAL]
    log = EventLog(paths.events)
    with sqlite3.connect(run_eval_dir(paths).rows) as db:
        for n, step in enumerate(steps, len(evals)):
            db.execute("INSERT INTO targets VALUES (?, ?)", [n, f"step {step}"])
            db.execute(
                "INSERT INTO cells SELECT ?, suite, condition, start, data, layout FROM cells WHERE target = ?",
                [n, n % len(evals)],
            )
            log.write(EventKind.EVAL, **evals[n % len(evals)].data | {"step": step})
    log.close()


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
        skill = by_name[key.target]
        return problem.answer if luck < skill.get(key.condition, skill[Condition.CLEAN]) else "987"

    return fill(folder, replace(plan, targets=targets), rule)
