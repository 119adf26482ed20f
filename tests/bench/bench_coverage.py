"""How often the 95% intervals hold the truth, over simulated evaluations: `python tests/bench/bench_coverage.py`,
a minute; with `--experiments 2000` several, for figures that a report may quote.

Rows are worlds (problems, samples a problem, intraclass correlation of difficulty), columns are intervals, entries the
percentage of experiments that cover. 93 to 97 is the goal; what lies outside is marked, `-` below and `+` above. The
last column is the share of no-op attacks whose worst-of-k effect has p < 0.05: the goal there is 5 or less.
`wilson` and `newcombe` treat all samples as independent, as if nothing were clustered: their misses are the reason for
the columns beside them.

The second table is of studies: two variants without a difference, several seeds of each on the same problems, 4 hints a
problem; `spread` is how far seeds differ by themselves. `seed_mean` is what is used; beside it the percentiles of a
bootstrap that draws seeds and problems, and Student's interval of the seeds' means alone.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np
from helpers.experiments import World, cluster_mean, coverage, newcombe_clustered

from training.core.statistics import (
    Interval,
    newcombe,
    paired_bootstrap,
    pdr,
    seed_mean,
    sign_flip,
    t_quantile,
    wilson,
    wilson_clustered,
)  # fmt: skip

RESAMPLES = 1000
COLUMNS = (
    "wilson",
    "clustered",
    "newcombe",
    "clustered",
    "accuracy t",
    "gap boot",
    "gap t",
    "pdr",
    "worst-of-k",
    "no-op %",
)


def limits(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def measure(world: World, experiments: int, seed: int) -> list[float]:
    """The row of one world, in the order of COLUMNS."""
    n, k = world.problems, world.samples
    clean, hinted = world.draw(seed, experiments)
    _, unrelated = world.draw(seed + 1, experiments)
    placebo, no_op = world.draw(seed + 2, experiments, hinted=world.clean)
    clusters = np.repeat(np.arange(n), k).tolist()
    right = clean.sum((1, 2)).tolist()
    right_unrelated = unrelated.sum((1, 2)).tolist()
    clean_rows, unrelated_rows = (x.reshape(experiments, -1).astype(float).tolist() for x in (clean, unrelated))
    clean_shares, hinted_shares = clean.mean(2).tolist(), hinted.mean(2).tolist()
    gaps = (clean.mean(2) - hinted.mean(2)).tolist()
    worst = (clean.all(2).astype(float) - hinted.all(2)).tolist()
    null = (placebo.all(2).astype(float) - no_op.all(2)).tolist()
    gap, drop = world.clean - world.hinted, 1 - world.hinted / world.clean
    effect = world.all_right(world.clean) - world.all_right(world.hinted)

    def boot(rows: list[list[float]], e: int) -> tuple[float, float]:
        return limits(paired_bootstrap(rows[e], samples=RESAMPLES, seed=e))

    def ratio(e: int) -> tuple[float, float]:
        found = pdr(clean_shares[e], hinted_shares[e])
        return limits(found) if found else (-np.inf, np.inf)

    columns = [
        (lambda e: limits(wilson(right[e], n * k)), world.clean),
        (lambda e: limits(wilson_clustered(clean_rows[e], clusters)), world.clean),
        (lambda e: limits(newcombe(right[e], n * k, right_unrelated[e], n * k)), gap),
        (lambda e: limits(newcombe_clustered(clean_rows[e], clusters, unrelated_rows[e], clusters)), gap),
        (lambda e: limits(cluster_mean(clean_rows[e], clusters, limits=(0, 1))), world.clean),
        (lambda e: boot(gaps, e), gap),
        (lambda e: limits(cluster_mean(gaps[e], limits=(-1, 1))), gap),
        (ratio, drop),
        (lambda e: boot(worst, e), effect),
    ]
    covered = [coverage(interval, truth, experiments) for interval, truth in columns]
    return [*covered, 100 * float(np.mean([sign_flip(row) < 0.05 for row in null]))]


def shown(column: int, value: float) -> str:
    """One entry with its mark."""
    if column == len(COLUMNS) - 1:
        return f"{value:.1f}{'+' if value > 6.5 else ' '}"
    return f"{value:.1f}{'-' if value < 93 else '+' if value > 97 else ' '}"


STUDIES = ((2, 0.03), (3, 0.0), (3, 0.03), (3, 0.06), (5, 0.03))
STUDY_PROBLEMS, DRAWS = 200, 400


def measure_studies(seeds: int, spread: float, experiments: int, seed: int) -> list[float]:
    """Percentages of simulated studies whose interval holds the difference, which is zero."""
    rng, hits = np.random.default_rng(seed), np.zeros(3)
    for _ in range(experiments):
        skill = 0.6 + rng.normal(0, spread / np.sqrt(2), (2, seeds, 1)) + 0.25 * rng.normal(size=STUDY_PROBLEMS)
        right = rng.binomial(4, np.clip(skill + 0.08 * rng.normal(size=(2, seeds, STUDY_PROBLEMS)), 0, 1)) / 4
        difference = right[0] - right[1]
        drawn = [
            difference[np.ix_(rng.integers(0, seeds, seeds), rng.integers(0, STUDY_PROBLEMS, STUDY_PROBLEMS))].mean()
            for _ in range(DRAWS)
        ]
        means = difference.mean(axis=1)
        half = t_quantile(0.975, seeds - 1) * means.std(ddof=1) / np.sqrt(seeds)
        found = (
            limits(seed_mean(difference).interval), tuple(np.quantile(drawn, (0.025, 0.975))),
            (means.mean() - half, means.mean() + half),
        )  # fmt: skip
        hits += [low <= 0 <= high for low, high in found]
    return list(100 * hits / experiments)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=500)
    parser.add_argument("--worlds", nargs="*", default=["0.8:0.7", "0.95:0.93"], help="clean:hinted accuracies")
    options = parser.parse_args()
    for pair in options.worlds:
        clean, hinted = map(float, pair.split(":"))
        print(f"\nclean {clean}, hinted {hinted}; {options.experiments} experiments a row, {RESAMPLES} resamples each")
        print(f"{'n':>4} {'k':>2} {'icc':>4}" + "".join(f"{name:>12}" for name in COLUMNS))
        for number, (n, k, icc) in enumerate(itertools.product((30, 100, 500), (1, 8), (0.0, 0.3, 0.7))):
            started = time.perf_counter()
            row = measure(World(n, k, icc, clean, hinted), options.experiments, seed=1000 * number)
            entries = "".join(f"{shown(i, value):>12}" for i, value in enumerate(row))
            print(f"{n:>4} {k:>2} {icc:>4}{entries}   {time.perf_counter() - started:>5.1f} s", flush=True)
    few = max(1, options.experiments // 4)
    print(f"\nstudies of {STUDY_PROBLEMS} problems; {few} a row")
    print(f"{'seeds':>5} {'spread':>6}" + "".join(f"{name:>14}" for name in ("seed_mean", "percentiles", "t of seeds")))
    for number, (seeds, spread) in enumerate(STUDIES):
        row = measure_studies(seeds, spread, few, seed=number)
        print(f"{seeds:>5} {spread:>6}" + "".join(f"{shown(0, value):>14}" for value in row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
