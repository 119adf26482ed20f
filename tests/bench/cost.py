"""Accuracy against processor time: the loop with its savings and without, from the same start at equal settings.

    python tests/bench/cost.py [--seeds 0 1] [--steps 20] [--out FOLDER] [--only NAME …] [--set a.b=c …]
    python tests/bench/cost.py --only earlier now --tree earlier=FOLDER      FOLDER: another checkout of the program
    python tests/bench/cost.py --where RUN

Each run is a real trainer process on the demo preset with fewer steps; a run that is there already is not run again.
Seconds are the processor's, of the steps alone. All checkpoints are measured on the frozen suite by this program, also
those of another checkout, such as one from before a change of the sampler; options that it does not know are at their
defaults there. `--where` prints for a finished run, from its rollouts, how many of each source had a gradient: a group
whose solutions are all right or all wrong has none.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from seirenes_app.services.evaluations import (
    EvaluationRepository,
    EvaluationWatch,
    checkpoint_steps,
    folder_target,
    frozen_suite_ref,
    launch,
    plan_evaluation,
    starter_target,
)
from training.core.types import Condition
from training.engine.models import bundled_starter
from training.evaluation.metrics import change_between
from training.evaluation.outcome_arrays import OutcomeArrays, right_rates
from training.evaluation.store_reader import StoreReader
from training.runs.events import EventTail
from training.runs.paths import RunPaths

BEFORE = ("reasoner.anchor_share=1", "curriculum.replay_by=hard")
NOW = ("reasoner.anchor_share=0.25", "curriculum.replay_by=uncertain")
VARIANTS = {
    "earlier": (),
    "before": BEFORE,
    "now": NOW,
    "anchor": ("reasoner.anchor_share=0.25", "curriculum.replay_by=hard"),
    "replays": ("reasoner.anchor_share=1", "curriculum.replay_by=uncertain"),
    "now, each step twice": (*NOW, "update.epochs=2"),
}
CONDITIONS = (Condition.CLEAN, Condition.NEEDED, Condition.PLACEBO, Condition.HINTED)
TRAIN = """
import runpy, sys, time
sys.path.insert(0, ".")
from training.runs.events import EventLog
write = EventLog.write
EventLog.write = lambda self, kind, **data: write(self, kind, **data, processor_s=time.process_time())
sys.argv = ["training", "run", sys.argv[1]]
runpy.run_module("training", run_name="__main__")
"""
"""The trainer of any checkout, whose events say what the process has used."""


@dataclass(frozen=True)
class Course:
    """A run: processor seconds of its steps and figures at each checkpoint, and the answers of the last one."""

    seconds: list[float]
    accuracy: list[dict[Condition, float]]
    step_s: float
    trained_rows: float
    last: OutcomeArrays


def train(out: Path, tree: Path, name: str, seed: int, settings: list[str]) -> RunPaths:
    """One run to its end, with the program in `tree`."""
    folder = f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    root = out / folder
    if not (root / "finished").exists():
        # Options that an older checkout does not know are at their defaults there.
        command = (
            "import sys; sys.path.insert(0, '.'); from pathlib import Path; from training.runs.config import *;"
            "from training.runs.paths import new_run; known = {o.key for o in describe_options()};"
            "new_run(Path(sys.argv[1]), load_config(Path('resources/presets/demo.toml'), "
            "[s for s in sys.argv[3:] if s.partition('=')[0] in known]), sys.argv[2])"
        )
        environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
        if not (root / "config.json").exists():
            subprocess.run(
                [sys.executable, "-c", command, str(out), folder, *settings], cwd=tree, env=environment, check=True
            )
        with (root / "trainer.log").open("a") as log:
            done = subprocess.run([sys.executable, "-c", TRAIN, str(root)], cwd=tree, env=environment, stderr=log)
        if done.returncode:
            sys.exit(f"{folder} failed; see {root / 'trainer.log'}")
        (root / "finished").touch()
    return RunPaths(root)


def measure(out: Path, run: RunPaths, problems: int) -> dict[int, OutcomeArrays]:
    """The answers of each checkpoint to the frozen suite, and of the start as step 0."""
    folder = out / "evaluations" / run.run_id
    if not (folder / "finished").exists():
        trained = {step: folder_target(run.checkpoints / f"step_{step:06d}") for step in checkpoint_steps(run) if step}
        targets = {0: starter_target(), **trained}
        plan = plan_evaluation(
            [replace(target, name=str(step)) for step, target in targets.items()], [frozen_suite_ref(problems)],
            temperature=0.0,
        )  # fmt: skip
        paths = EvaluationRepository(folder).create(plan)
        launch(paths)
        watch = EvaluationWatch(paths)
        while not (state := watch.poll()).over:
            time.sleep(0.5)
        if state.status != "finished":
            sys.exit(f"The evaluation {paths.root} is {state.status}.")
        (folder / "finished").write_text(str(paths.rows))
    with StoreReader(Path((folder / "finished").read_text())) as reader:
        cells = reader.cells()
    return {int(name): cells.where(target=name) for name in cells.targets}


def read(run: RunPaths, answers: dict[int, OutcomeArrays]) -> Course:
    """A finished run's course."""
    spent, at, last, rows = {0: 0.0}, 0.0, 0.0, []
    for event in EventTail(run.events).poll():
        now = event.data.get("processor_s", last)
        if event.kind == "step":
            at += now - last
            spent[event.data["step"]] = at
            rows.append(event.data["metrics"]["rows_trained"])
        if event.kind in ("step", "eval", "checkpoint", "launch"):
            last = now
    return Course(
        [spent[step] for step in answers],
        [{c: float(np.nanmean(right_rates(cells.where(condition=c)))) for c in CONDITIONS} for cells in answers.values()],
        at / len(rows), sum(rows) / len(rows), answers[max(answers)],
    )  # fmt: skip


def seconds_to(course: Course, accuracy: float) -> float | None:
    """Processor seconds until hinted accuracy reaches a level, on straight lines between evaluations."""
    points = list(zip(course.seconds, (a[Condition.HINTED] for a in course.accuracy), strict=True))
    for (t0, a0), (t1, a1) in pairwise(points):
        if a1 >= accuracy:
            return t0 if a0 >= accuracy else t0 + (t1 - t0) * (accuracy - a0) / (a1 - a0)
    return None


def show(name: str, seed: int, course: Course, before: Course | None) -> None:
    """The course, the time to where `before` ended, and the difference of the ends, paired by problem."""
    print(f"{name}, seed {seed}: {course.step_s:.2f} s a step, {course.trained_rows:.0f} rows trained")
    for seconds, accuracy in zip(course.seconds, course.accuracy, strict=True):
        figures = "  ".join(f"{c} {accuracy[c]:.3f}" for c in CONDITIONS)
        print(f"    {seconds:6.0f} s   {figures}")
    if before is None:
        return
    for condition in CONDITIONS:
        change = change_between(before.last, course.last, condition)
        if change is not None:
            d = change.difference
            print(f"    end against before's, {condition}: {d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}]")
    print(f"    the whole course in {course.seconds[-1] / before.seconds[-1]:.2f} of before's time", end="")
    level = before.accuracy[-1][Condition.HINTED]
    reached, took = seconds_to(course, level), seconds_to(before, level)
    if reached is None or not took:
        print(f"; hinted {level:.3f}, where before ended, is not reached")
    else:
        print(f"; hinted {level:.3f}, where before ended, after {reached:.0f} s, before after {took:.0f} s")


def show_where(run: Path) -> None:
    """Of each source of the Reasoner's rollouts: groups, and how many are all right, all wrong or mixed."""
    db = sqlite3.connect(f"file:{RunPaths(run).rollouts}?mode=ro", uri=True)
    # A replayed hint has the same group key in each step of its problem.
    groups = db.execute(
        "SELECT stage, archived IS NOT NULL AND archived != 0, COUNT(*), SUM(outcome = 'right'), SUM(tokens) "
        "FROM rollouts WHERE role = 'reasoner' GROUP BY step, stage, group_key, hint_id"
    ).fetchall()
    db.close()
    print(
        f"{'source':22}{'groups':>8}{'rollouts':>10}{'tokens each':>13}{'all right':>11}{'all wrong':>11}{'mixed':>8}"
    )
    for stage, archived in sorted({(g[0], g[1]) for g in groups}):
        found = [g for g in groups if (g[0], g[1]) == (stage, archived)]
        n, rows = len(found), sum(g[2] for g in found)
        right, wrong = sum(g[3] == g[2] for g in found), sum(g[3] == 0 for g in found)
        name = f"{stage}, {'replayed' if archived else 'new'}" if stage == "r3_hinted" else stage
        print(f"{name:22}{n:>8}{rows:>10}{sum(g[4] for g in found) / rows:>13.1f}{right / n:>11.0%}{wrong / n:>11.0%}"
              f"{(n - right - wrong) / n:>8.0%}")  # fmt: skip


def main() -> None:
    """Run what is missing, then print every course."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--every", type=int, default=5, help="steps between checkpoints that are measured")
    parser.add_argument("--problems", type=int, default=200, help="of the frozen suite")
    parser.add_argument("--only", nargs="+", default=["before", "now"], choices=VARIANTS)
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="a.b=c", help="of all runs")
    parser.add_argument("--out", type=Path, default=ROOT / "work" / "cost")
    parser.add_argument("--tree", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--where", type=Path, metavar="RUN")
    options = parser.parse_args()
    if options.where:
        return show_where(options.where)
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    trees = dict(text.split("=", 1) for text in options.tree)
    for seed in options.seeds:
        first = None
        for name in options.only:
            part = 2 if "update.epochs=2" in VARIANTS[name] else 1
            settings = [
                f"data.seed={seed}", f"name={name}", f"steps={options.steps // part}", "model.threads=1",
                f"model.path={bundled_starter()}", "evaluation.every=0", "evaluation.problems=4",
                f"checkpoint.every={max(1, options.every // part)}", *VARIANTS[name], *options.set,
            ]  # fmt: skip
            run = train(out, Path(trees.get(name, ROOT)).resolve(), name, seed, settings)
            course = read(run, measure(out, run, options.problems))
            show(name, seed, course, first)
            first = first or course
            sys.stdout.flush()
    return None


if __name__ == "__main__":
    main()
