"""McNemar's test of paired binary outcomes: exact for independent pairs, robust for pairs in clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from training.core.statistics.distributions import chi_square_tail


def mcnemar_exact(lost: int, won: int) -> float:
    """Two-sided exact McNemar test: the binomial probability of a split at least this uneven.

    `lost` and `won` count the pairs that changed each way (McNemar 1947; exact form as in Fay 2010). For independent
    pairs only, that is one a problem.
    """
    n = lost + won
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(min(lost, won) + 1))
    return min(1.0, float(2 * tail / 2**n))


def mcnemar_clustered(lost: Sequence[float], won: Sequence[float]) -> float:
    """Two-sided p of McNemar's test for pairs in clusters: `lost` and `won` hold each problem's changes either way.

    Obuchowski (1998) in the form of Yang, Sun and Hardin (2010): (K−1)/K · (Σ d)² / Σ d² with d = lost − won a
    problem, against chi-square with one degree of freedom. Problems without a change belong in it: K counts them.
    Rows weigh alike, as in a pooled accuracy; Durkalski et al. (2003) would weigh problems alike.
    All d zero: 1. ValueError: no problems, or lengths that differ.
    """
    first, second = np.asarray(lost, dtype=float), np.asarray(won, dtype=float)
    if first.size == 0 or first.shape != second.shape:
        raise ValueError("every problem needs its count of lost and of won pairs")
    change = first - second
    square = float((change**2).sum())
    if square == 0:
        return 1.0
    k = change.size
    return chi_square_tail((k - 1) / k * float(change.sum()) ** 2 / square)


def mcnemar(lost: Sequence[float], won: Sequence[float], *, single: bool) -> float:
    """Two-sided p of McNemar's test from each problem's lost and won pairs: the exact form where every problem has one
    pair of one sample each (`single`), else the clustered one."""
    if single:
        return mcnemar_exact(round(sum(lost)), round(sum(won)))
    return mcnemar_clustered(lost, won)
