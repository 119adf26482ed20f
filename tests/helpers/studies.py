"""Studies that are measured without any model: a folder with its events, and evaluations filled by a rule."""

import random
from dataclasses import replace

from helpers.evals import fill

from seirenes_app.services.study.definition import START, PartKind, new_study, parts_of, read_definition
from seirenes_app.services.study.execution import EARLY, PartStatus, reasoner_name
from training.core.types import Condition
from training.evaluation.eval_dir import describe_suite
from training.evaluation.plan import EvalPlan, Target, Writing
from training.evaluation.suites.builder import frozen_suite
from training.evaluation.suites.io import write_suite
from training.runs.events import EventKind, EventLog

DEFINITION = """
description = "A study of a test."
config = "quick"
modes = ["seirenes", "static", "random"]
seeds = [0, 1, 2]
rollouts = 400
problems = 12
set = ["rollout.questions=4", "data.pool=16"]
"""
SERVED = DEFINITION.replace("set = [", 'set = ["engine.backend=tinker", "engine.url=http://127.0.0.1:1", ')
SKILL = {"seirenes": 0.95, "static": 0.45, "random": 0.4, START: 0.3}


def define(tmp_path, text=DEFINITION, name="made.toml", **changes):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_definition(path, changes=changes)


def rule_of(skill, clean=0.95):
    """One greedy answer a prompt: right with the variant's chance under hints, with `clean` elsewhere."""

    def rule(key, problem):
        variant = key.target.split(",")[0].removesuffix(EARLY)
        chance = skill[variant] if key.condition is Condition.HINTED else clean
        return (
            problem.answer
            if random.Random(f"{problem.id}{key.target}{key.suite}{key.index}").random() < chance
            else "987"
        )

    return rule


def measured_study(tmp_path, study, skill=SKILL, *, seeds=None, exploits=True):
    """A study whose evaluations are there for these `seeds` (default: all)."""
    seeds = study.seeds if seeds is None else seeds
    paths = new_study(study, tmp_path / "studies")
    log = EventLog(paths.events)
    log.write(EventKind.LAUNCH, pid=1)
    suite = describe_suite(write_suite(tmp_path / "hints", frozen_suite(study.problems, study.problem_seed)).folder)
    frozen = describe_suite(f"frozen:{study.problem_seed}", study.problems)

    def record(part, folder):
        log.write(EventKind.PART, part=part, status=PartStatus.FINISHED, folder=str(folder), seconds=60.0)

    names = [reasoner_name(v.name, seed) for v in study.variants for seed in seeds]
    early = [name + EARLY for name in names if study.equal_time and not name.startswith("random")]
    writers = names if study.pool else []
    pool = tuple(replace(suite, name=f"hints by {n}", conditions=(Condition.HINTED,), writer=n) for n in writers)
    plan = EvalPlan(
        tuple(Target(name, f"/models/{name}") for name in (START, *names, *early)), (frozen, *pool), writing=Writing()
    )  # fmt: skip
    for part in parts_of(study):
        if part.kind is PartKind.RUN and part.seed in seeds:
            record(part.id, tmp_path / "runs" / part.id.replace("/", "-"))
        if part.kind is PartKind.EXPLOIT and part.seed in seeds and exploits:
            name = reasoner_name(part.variant, part.seed)
            writer = Target("best response", "/models/response")
            one = EvalPlan(
                (Target(name, f"/models/{name}"),), (replace(suite, name=suite.name + " again" * (part.number - 1), writer=writer.name),),
                (Condition.HINTED,), writing=Writing(), writers=(writer,),
            )  # fmt: skip
            record(part.id, fill(tmp_path / "evaluations", one, rule_of(skill)).root)
        if part.kind is PartKind.MEASURES:
            record(part.id, fill(tmp_path / "evaluations", plan, rule_of(skill)).root)
    log.write(EventKind.DONE, outcome="finished", message="")
    log.close()
    return paths
