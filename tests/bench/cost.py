"""Accuracy against processor time: the loop with its savings and without, from the same start at equal settings.

    python tests/bench/cost.py [--seeds 0 1] [--steps 20] [--out FOLDER] [--only NAME …] [--tree NAME=FOLDER]
    python tests/bench/cost.py --where RUN

Each run is a real trainer process on the demo preset with fewer steps; a run that is there already is not run again.
Seconds are the processor's, of the steps alone: evaluations are left out. `--tree` runs a variant with another checkout
of the program, such as one from before a change of the sampler. `--where` prints for a finished run, from its rollouts,
how many of each source had a gradient: a group whose solutions are all right or all wrong has none.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from training.core.types import Condition
from training.evaluation.metrics import change_between
from training.evaluation.outcome_arrays import OutcomeArrays
from training.evaluation.run_store import run_eval_dir
from training.evaluation.store_reader import StoreReader
from training.runs.events import EventTail
from training.runs.paths import RunPaths

BEFORE = ("reasoner.anchor_share=1", "curriculum.replay_by=hard")
NOW = ("reasoner.anchor_share=0.25", "curriculum.replay_by=uncertain")
VARIANTS = {
    "before": BEFORE,
    "now": NOW,
    "anchor": ("reasoner.anchor_share=0.25", "curriculum.replay_by=hard"),
    "replays": ("reasoner.anchor_share=1", "curriculum.replay_by=uncertain"),
    "now, each step twice": (*NOW, "update.epochs=2"),
}
CONDITIONS = (Condition.CLEAN, Condition.NEEDED, Condition.PLACEBO, Condition.HINTED)


@dataclass(frozen=True)
class Course:
    """A run: seconds and figures at each evaluation, and the answers of the last one."""

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
        if not (root / "config.json").exists():
            subprocess.run([sys.executable, "-c", command, str(out), folder, *settings], cwd=tree, check=True)
        with (root / "trainer.log").open("a") as log:
            done = subprocess.run([sys.executable, "-m", "training", "run", str(root)], cwd=tree, stderr=log)
        if done.returncode:
            sys.exit(f"{folder} failed; see {root / 'trainer.log'}")
        (root / "finished").touch()
    return RunPaths(root)


def read(paths: RunPaths) -> Course:
    """A finished run's course."""
    events = EventTail(paths.events).poll()
    steps = {e.data["step"]: e.data["metrics"] for e in events if e.kind == "step"}
    spent = dict(zip([0, *steps], [0.0, *itertools.accumulate(m["cpu_seconds"] for m in steps.values())], strict=True))
    evaluations = [e.data for e in events if e.kind == "eval"]
    with StoreReader(run_eval_dir(paths).rows) as reader:
        cells = reader.cells()
    return Course(
        [spent[e["step"]] for e in evaluations],
        [{c: e["metrics"][c]["accuracy"] for c in CONDITIONS} for e in evaluations],
        spent[max(spent)] / len(steps),
        sum(m["rows_trained"] for m in steps.values()) / len(steps),
        cells.where(target=cells.targets[-1]),
    )


def seconds_to(course: Course, accuracy: float) -> float | None:
    """Processor seconds until hinted accuracy reaches a level, on straight lines between evaluations."""
    points = list(zip(course.seconds, (a[Condition.HINTED] for a in course.accuracy), strict=True))
    for (t0, a0), (t1, a1) in itertools.pairwise(points):
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
    parser.add_argument("--every", type=int, default=5, help="steps between evaluations")
    parser.add_argument("--problems", type=int, default=200, help="of the frozen suite")
    parser.add_argument("--only", nargs="+", default=["before", "now"], choices=VARIANTS)
    parser.add_argument("--out", type=Path, default=ROOT / "work" / "cost")
    parser.add_argument("--tree", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--where", type=Path, metavar="RUN")
    options = parser.parse_args()
    if options.where:
        return show_where(options.where)
    options.out.mkdir(parents=True, exist_ok=True)
    trees = dict(text.split("=", 1) for text in options.tree)
    for seed in options.seeds:
        before = None
        for name in options.only:
            twice = "update.epochs=2" in VARIANTS[name]
            settings = [
                f"data.seed={seed}", f"name={name}", f"steps={options.steps // (2 if twice else 1)}",
                f"evaluation.every={max(1, options.every // (2 if twice else 1))}",
                f"evaluation.problems={options.problems}", "checkpoint.every=0", "model.threads=1", *VARIANTS[name],
            ]  # fmt: skip
            course = read(train(options.out.resolve(), Path(trees.get(name, ROOT)), name, seed, settings))
            show(name, seed, course, before)
            before = course if name == "before" else before
            sys.stdout.flush()
    return None


if __name__ == "__main__":
    main()
