"""Simulated evaluations whose truth is known: correlated problem difficulties, k samples a problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from training.core.statistics import (
    Interval,
    cluster_sums,
    difference_limits,
    limited,
    robust_mean,
    t_quantile,
    wilson_clustered,
)


@dataclass(frozen=True)
class World:
    """`problems` with `samples` each; difficulties are Beta with this intraclass correlation, alike on both sides
    (a Gaussian copula with correlation 0.8), or the same for all problems at 0."""

    problems: int
    samples: int
    icc: float
    clean: float = 0.8
    hinted: float = 0.7

    def rates(self, u: np.ndarray, mean: float) -> np.ndarray:
        """Each problem's chance of being right, from its rank u in (0, 1)."""
        if self.icc == 0:
            return np.full(u.shape, mean)
        size = 1 / self.icc - 1
        grid = np.linspace(0, 1, 4001)
        return np.interp(u, grid, stats.beta.ppf(grid, mean * size, (1 - mean) * size))

    def all_right(self, mean: float) -> float:
        """The true share of problems right in all of their samples: a raw moment of the Beta distribution."""
        if self.icc == 0:
            return mean**self.samples
        size = 1 / self.icc - 1
        i = np.arange(self.samples)
        return float(np.prod((mean * size + i) / (size + i)))

    def draw(self, seed: int, experiments: int, hinted: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Outcomes [experiment, problem, sample] of both sides; `hinted` in the place of its accuracy."""
        rng = np.random.default_rng(seed)
        shape = (experiments, self.problems)
        z = rng.standard_normal(shape)
        other = 0.8 * z + 0.6 * rng.standard_normal(shape)
        means = (self.clean, self.hinted if hinted is None else hinted)
        first, second = (self.rates(stats.norm.cdf(x), m) for x, m in zip((z, other), means, strict=True))
        cells = (*shape, self.samples)
        return rng.random(cells) < first[..., None], rng.random(cells) < second[..., None]


def coverage(intervals: Callable[[int], tuple[float, float]], truth: float, experiments: int) -> float:
    """The percentage of experiments whose limits hold the truth."""
    hits = 0
    for e in range(experiments):
        low, high = intervals(e)
        hits += low - 1e-12 <= truth <= high + 1e-12
    return 100 * hits / experiments


def cluster_mean(values, clusters=None, *, limits=None, confidence=0.95) -> Interval:
    """The closed-form interval of a mean, as evaluations make it from sums."""
    (sums,), sizes = cluster_sums([values], clusters)
    found = robust_mean(sums, sizes)
    return limited(found, t_quantile(0.5 + confidence / 2, found.df), limits, confidence)


def newcombe_clustered(first, clusters1, second, clusters2) -> Interval:
    """Limits of the difference of two unrelated shares, as comparisons make it."""
    return difference_limits(wilson_clustered(first, clusters1), wilson_clustered(second, clusters2))
