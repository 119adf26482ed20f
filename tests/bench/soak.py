"""Let the real trainer play for an hour, and judge what must not grow: memory, descriptors, threads, the time of a step.

    python tests/bench/soak.py --minutes 60 [--set a.b=c …] [--keep]     one hour of self-play on the bundled model
    python tests/bench/soak.py --steps 120                               step time against step number and archive size
    python tests/bench/soak.py --growth                                  what a step pays for a long past: archive, database

One row a minute says what the process holds, one row a window of steps (from evaluation to evaluation) what a step
costs. Costs are CPU seconds, so that other work on the machine changes them little. Completions get longer or shorter as
a model learns: the growth of a step's cost is estimated at equal numbers of sampled tokens and trained rows. The
environment's `MALLOC_*` settings and the CPU affinity are passed on.

Exit status: 0 if all is flat, 1 if something grows, 2 if the run did not last.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

import numpy as np
import psutil

from training.core.archive import ArchivedHint, HintArchive
from training.core.types import HintType
from training.rollouts.database import RolloutRow, RolloutWriter
from training.runs.config import load_config
from training.runs.paths import new_run
from training.runs.processes import StopEscalation, kill_tree, start_trainer, watch_run
from training.sqlite import open_read_only

POLL_S = 0.25
ROW_S = 60.0
MB = 2**20
FLAT_MEMORY = 0.02
FLAT_COST = 0.05
SETTINGS = ["model.threads=1", "steps=1000000", "checkpoint.keep=3"]


@dataclass(frozen=True)
class Sample:
    """What the process held at one time; `peak_mb` is the highest resident memory since the sample before."""

    minutes: float
    step: int
    archive: int
    rss_mb: float
    peak_mb: float
    pss_mb: float
    uss_mb: float
    descriptors: int
    threads: int
    children: int
    cpu_s: float
    database_mb: float
    checkpoints_mb: float


@dataclass(frozen=True)
class Window:
    """Steps `first` to `last`: means a step. Evaluation and checkpoint are in `cpu_s`."""

    first: int
    last: int
    archive: float
    cpu_s: float
    wall_s: float
    tokens: float
    trained: float
    stages_s: dict


class Trainer:
    """One trainer process, watched through its files and /proc."""

    def __init__(self, paths):
        self.paths, self.watch = paths, watch_run(paths)
        self.process = psutil.Process(start_trainer(paths))
        self.began = time.monotonic()
        self.marks = {}
        """CPU and wall seconds when a step was first seen."""

    def poll(self):
        state = self.watch.poll()
        with suppress(psutil.Error):
            step = state.done_steps
            if step and step not in self.marks:
                self.marks[step] = (self.cpu_s(), time.monotonic() - self.began)
        return state

    def cpu_s(self):
        times = self.process.cpu_times()
        total = times.user + times.system + times.children_user + times.children_system
        for child in self.process.children(recursive=True):
            with suppress(psutil.Error):
                total += sum(child.cpu_times()[:2])
        return total

    def sample(self, state):
        memory = self.process.memory_full_info()
        return Sample(
            (time.monotonic() - self.began) / 60, state.done_steps, int(state.latest.get("archive/size") or 0),
            memory.rss / MB, self._peak_mb(memory.rss), memory.pss / MB, memory.uss / MB, self.process.num_fds(),
            self.process.num_threads(), len(self.process.children(recursive=True)), self.cpu_s(),
            size_mb(self.paths.root, "rollouts.db*"), size_mb(self.paths.checkpoints, "**/*"),
        )  # fmt: skip

    def _peak_mb(self, rss):
        """The peak since the last call. The kernel forgets it when 5 is written to clear_refs."""
        folder = Path(f"/proc/{self.process.pid}")
        with suppress(OSError, StopIteration):
            line = next(x for x in (folder / "status").read_text().splitlines() if x.startswith("VmHWM"))
            (folder / "clear_refs").write_text("5")
            return int(line.split()[1]) / 1024
        return rss / MB

    def windows(self, every):
        """Costs from evaluation to evaluation; the first window, which has the start in it, is left out."""
        state = self.watch.poll()
        history = {name: dict(zip(*state.history.series(name), strict=True)) for name in state.history.names()}
        with closing(open_read_only(self.paths.rollouts)) as db:
            tokens = dict(db.execute("SELECT step, sum(tokens) FROM rollouts GROUP BY step"))
        found = []
        for last in range(2 * every, state.done_steps + 1, every):
            first = last - every
            if first not in self.marks or last not in self.marks:
                continue
            cpu, wall = (b - a for a, b in zip(self.marks[first], self.marks[last], strict=True))
            steps = range(first + 1, last + 1)
            mean = {name: np.mean([values.get(s, 0.0) for s in steps]) for name, values in history.items()}
            stages = {n.removeprefix("seconds/"): v for n, v in mean.items() if n.startswith("seconds/")}
            found.append(Window(first + 1, last, mean["archive/size"], cpu / every, wall / every,
                                np.mean([tokens.get(s, 0) for s in steps]), mean["rows_trained"], stages))  # fmt: skip
        return found


def size_mb(folder, pattern):
    total = 0
    for file in folder.glob(pattern):
        with suppress(OSError):
            total += file.stat().st_size
    return total / MB


SAMPLE_HEAD = ("minute   step archive     RSS    peak     PSS     USS  files threads children  CPU s/step  database "
               "checkpoints")  # fmt: skip


def print_sample(s, before):
    steps = s.step - before.step if before else s.step
    cost = f"{(s.cpu_s - (before.cpu_s if before else 0)) / steps:.3f}" if steps else "-"
    print(f"{s.minutes:6.1f} {s.step:6} {s.archive:7} {s.rss_mb:7.1f} {s.peak_mb:7.1f} {s.pss_mb:7.1f} {s.uss_mb:7.1f}"
          f" {s.descriptors:6} {s.threads:7} {s.children:8} {cost:>11} {s.database_mb:9.1f} {s.checkpoints_mb:11.1f}",
          flush=True)  # fmt: skip


def print_windows(windows):
    names = list(windows[0].stages_s)
    head = f"{'steps':>11} {'archive':>8} {'CPU s/step':>11} {'wall s':>7} {'tokens':>8} {'trained':>8} {'s/1k tokens':>12}"
    print(head + "".join(f" {n:>11}" for n in names))
    for w in windows:
        line = (f"{f'{w.first}-{w.last}':>11} {w.archive:8.0f} {w.cpu_s:11.3f} {w.wall_s:7.2f} {w.tokens:8.0f} "
                f"{w.trained:8.1f} {1000 * w.cpu_s / w.tokens:12.4f}")  # fmt: skip
        print(line + "".join(f" {w.stages_s[n]:11.3f}" for n in names))


def drift(x, y):
    """Change of the trend over the range of `x`, as a share of the median of `y`, with its 95% interval.

    Theil-Sen: the median slope of all pairs, which single outliers do not move; the interval by Kendall's tau.
    """
    n = len(x)
    slopes = sorted((y[j] - y[i]) / (x[j] - x[i]) for i in range(n) for j in range(i + 1, n))
    half = 1.96 * (n * (n - 1) * (2 * n + 5) / 18) ** 0.5
    low, high = (min(len(slopes) - 1, max(0, round((len(slopes) + sign * half) / 2))) for sign in (-1, 1))
    scale = (max(x) - min(x)) / median(y)
    return median(slopes) * scale, slopes[low] * scale, slopes[high] * scale


def cost_growth(windows):
    """Growth of a step's CPU seconds over all windows at equal tokens and trained rows, and its 95% half width, both as
    shares of the mean. Least squares on tokens, trained rows and step number."""
    centre = np.array([[w.tokens, w.trained, (w.first + w.last) / 2] for w in windows], dtype=float)
    spread = centre.std(axis=0)
    spread[spread == 0] = 1.0
    x = np.column_stack([np.ones(len(windows)), (centre - centre.mean(axis=0)) / spread])
    y = np.array([w.cpu_s for w in windows])
    found, *_ = np.linalg.lstsq(x, y, rcond=None)
    free = len(windows) - x.shape[1]
    variance = float(((y - x @ found) ** 2).sum() / free)
    error = float(np.sqrt(variance * np.linalg.pinv(x.T @ x)[3, 3]))
    whole = float(np.ptp(centre[:, 2]) / spread[2] / y.mean())
    return float(found[3]) * whole, 2.0 * error * whole


def judge(samples, windows, warm_up):
    """Print a line a question; False if something grows."""
    kept = [s for s in samples if s.minutes >= warm_up]
    good = True

    def say(fine, text):
        nonlocal good
        good &= fine
        print(f"{'ok  ' if fine else 'GROWS'} {text}")

    if len(kept) >= 3:
        minutes = [s.minutes for s in kept]
        for name in ("peak_mb", "rss_mb", "uss_mb"):
            values = [getattr(s, name) for s in kept]
            change, low, high = drift(minutes, values)
            say(
                change <= FLAT_MEMORY or low <= 0,
                f"{name}: {change:+.2%} (95%: {low:+.2%} to {high:+.2%}) from minute "
                f"{minutes[0]:.0f} to {minutes[-1]:.0f} (limit {FLAT_MEMORY:.0%}), {min(values):.1f} to {max(values):.1f}",
            )
        for name in ("descriptors", "threads", "children"):
            early, late = (max(getattr(s, name) for s in part) for part in (kept[: len(kept) // 2], kept[-2:]))
            say(late <= early, f"{name}: {early} at most in the first half, {late} at the end")
    else:
        print("too short for a word on memory")
    if len(windows) >= 6:
        growth, half = cost_growth(windows)
        say(
            growth <= FLAT_COST or growth <= half,
            f"CPU seconds a step at equal tokens and trained rows: {growth:+.1%} "
            f"(95%: {growth - half:+.1%} to {growth + half:+.1%}) from step {windows[0].first} to {windows[-1].last}",
        )
        costs = [1000 * w.cpu_s / w.tokens for w in windows]
        third = max(1, len(costs) // 3)
        print(f"     seconds per 1,000 tokens: {np.mean(costs[:third]):.4f} in the first third, "
              f"{np.mean(costs[-third:]):.4f} in the last")  # fmt: skip
    else:
        print("too short for a word on the cost of a step")
    return good


ADDED, REPLAYED = 128, 32
"""Hints that a step of the preset adds at most, and replays."""


def archive_ms(size):
    """Milliseconds of a step's work on an archive of `size` hints."""
    rng, archive = random.Random(0), HintArchive()
    types, steps = list(HintType), 5

    def add(count, step):
        for _ in range(count):
            hint = ArchivedHint("p", rng.choice(types), f"There are {rng.random()} more.", step, "change")
            archive.add(hint, success=rng.choice([0.0, 0.25, 0.5, 0.75, 1.0]), drop=0.1)

    add(size, 0)
    archive.trim()
    began = time.process_time()
    for step in range(1, steps + 1):
        for entry in archive.draw(rng, REPLAYED):
            archive.report(entry.id, 0.5, step)
        add(ADDED, step)
        archive.trim()
        archive.evenness()
    return 1000 * (time.process_time() - began) / steps


def database_ms(writer, first, rows, per_step):
    """Milliseconds of writing a step, after `rows` more rows were written before it."""
    text = "Mia has 12 apples and gets 7 more; Tom takes 3 of them. " * 3

    def step_rows(step):
        return [RolloutRow(step, "r1_clean", "reasoner", f"g{k // 4}", f"p{k // 4}", "change", text, "1", None, None, None,
                           text, text, "right", 1.0, 0.5, 30, False, None, None, None, -0.1, k, True, False)
                for k in range(per_step)]  # fmt: skip

    steps = rows // per_step
    for step in range(first, first + steps):
        writer.add_step(step_rows(step))
    measured = [step_rows(step) for step in range(first + steps, first + steps + 5)]
    spent = []
    for each in measured:
        began = time.process_time()
        writer.add_step(each)
        spent.append(1000 * (time.process_time() - began))
    return first + steps + 5, median(spent)


def print_growth():
    print(f"{'archive':>10} {'ms a step':>10}")
    for size in (0, 1000, 2000, 4000):
        print(f"{size:10} {archive_ms(size):10.1f}", flush=True)
    print(f"{'rows':>10} {'ms a step':>10}   (a step of 896 rollouts)")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        writer, step, total = RolloutWriter(Path(folder) / "rollouts.db"), 1, 0
        for rows in (0, 20_000, 80_000):
            total += rows
            step, spent = database_ms(writer, step, rows, 896)
            print(f"{total:10} {spent:10.1f}", flush=True)
        writer.close()


def soak(trainer, options):
    """Sample until the time or the steps are over; the samples, and whether the trainer lasted."""
    samples, due = [], ROW_S
    while True:
        state = trainer.poll()
        passed = time.monotonic() - trainer.began
        over = passed >= options.minutes * 60 if options.minutes else state.done_steps >= options.steps
        if state.over:
            print(f"the trainer ended: {state.status} {state.message}")
            return samples, False
        if passed >= due or over:
            with suppress(psutil.Error):
                samples.append(trainer.sample(state))
                print_sample(samples[-1], samples[-2] if len(samples) > 1 else None)
            due += ROW_S
        if over:
            return samples, True
        time.sleep(POLL_S)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument(
        "--warm-up", type=float, help="minutes that are not judged (default: 10, a fifth of a short run)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the run")
    parser.add_argument("--folder", type=Path, help="where the run is made (default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="keep the run")
    parser.add_argument("--growth", action="store_true", help="measure the archive and the database alone")
    options = parser.parse_args()
    if options.growth:
        print_growth()
        return 0
    if not options.minutes and not options.steps:
        options.minutes = 60.0
    folder = options.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    config = load_config(ROOT / "resources" / "presets" / "long.toml", [*SETTINGS, *options.set])
    paths = new_run(folder, config, "soak")
    print(f"{paths.root}  {config.rollout.questions} questions a step, evaluation every {config.evaluation.every}")
    print(SAMPLE_HEAD, flush=True)
    trainer = Trainer(paths)
    try:
        samples, lasted = soak(trainer, options)
        StopEscalation(paths).run()
        windows = trainer.windows(config.evaluation.every or 20)
    finally:
        kill_tree(trainer.process.pid)
        if not options.keep:
            shutil.rmtree(folder if options.folder is None else paths.root)
    print()
    if windows:
        print_windows(windows)
        print()
    length = samples[-1].minutes if samples else 0.0
    warm_up = options.warm_up if options.warm_up is not None else min(10.0, length / 5)
    return 2 if not lasted else 0 if judge(samples, windows, warm_up) else 1


if __name__ == "__main__":
    sys.exit(main())
