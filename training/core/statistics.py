"""Intervals and tests for paired, clustered, binary outcomes. Pure Python and numpy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence limits."""

    mean: float
    low: float
    high: float


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927). n = 0 gives mean 0 and the interval [0, 1]."""
    if n == 0:
        return Interval(0.0, 0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    denominator = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / denominator
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / denominator
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def newcombe(right1: int, n1: int, right2: int, n2: int, confidence: float = 0.95) -> Interval:
    """Interval of the difference p1 − p2 of two independent proportions (Newcombe 1998, method 10: from their Wilson
    limits). A side with n = 0 counts as a proportion of 0 within [0, 1]."""
    first, second = wilson(right1, n1, confidence), wilson(right2, n2, confidence)
    difference = first.mean - second.mean
    below = math.hypot(first.mean - first.low, second.high - second.mean)
    above = math.hypot(first.high - first.mean, second.mean - second.low)
    return Interval(difference, max(-1.0, difference - below), min(1.0, difference + above))


def paired_bootstrap(
    differences: Sequence[float], *, samples: int = 4000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile bootstrap of the mean over problems; one difference a problem, so rollouts of one stay together."""
    values = np.asarray(differences, dtype=float)
    if values.size == 0:
        raise ValueError("no differences to resample")
    rng = np.random.default_rng(seed)
    means = np.array([values[rng.integers(0, values.size, values.size)].mean() for _ in range(samples)])
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def mcnemar_exact(lost: int, won: int) -> float:
    """Two-sided exact McNemar test: the binomial probability of a split at least this uneven."""
    n = lost + won
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(min(lost, won) + 1))
    return min(1.0, float(2 * tail / 2**n))


def evenness(labels: Sequence[str], categories: int) -> float:
    """Pielou's evenness, H / ln(categories): 1 when all are equally frequent, 0 when one has all."""
    if not labels or categories < 2:
        return 0.0
    shares = [count / len(labels) for count in Counter(labels).values()]
    return abs(math.fsum(s * math.log(s) for s in shares)) / math.log(categories)


def pass_at_k(n: int, right: int, k: int) -> float:
    """Unbiased pass@k of n samples with `right` right ones: 1 − C(n − right, k) / C(n, k)."""
    if not 0 < k <= n:
        raise ValueError(f"k must be in 1..{n}, not {k}")
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def worst_of_k(outcomes: Sequence[Sequence[bool]]) -> float:
    """Share of problems that are right in all of their k rollouts. Only beside its placebo does it mean an attack."""
    return sum(all(row) for row in outcomes) / len(outcomes) if outcomes else 0.0
