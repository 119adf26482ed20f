"""Means and shares of rows that come in clusters: samples and hints of one problem are alike, problems are not.

The unit that was drawn is the problem, so only the spread between problems says how sure a mean is. Refuses rows and
clusters of different lengths.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from training.core.statistics.distributions import normal_quantile, t_quantile
from training.core.statistics.intervals import Interval, difference_limits, score_limits, wilson

Floats: TypeAlias = npt.NDArray[np.float64]
Limits: TypeAlias = tuple[float, float]

_FEWEST_DF = 3.0
# Sums of shares that are equal on paper differ by rounding.
_NO_SPREAD = 1e-12


def cluster_sums(
    columns: Sequence[Sequence[float]], clusters: Sequence[Hashable] | None
) -> tuple[list[Floats], Floats]:
    """Each column's sum a cluster, and the rows a cluster, in order of first appearance; None: a row is a cluster.

    ValueError for no rows, for columns or labels of another length, and for values that are not finite.
    """
    arrays = [np.asarray(column, dtype=float) for column in columns]
    n = arrays[0].size
    if n == 0:
        raise ValueError("no rows to take a mean of")
    if any(a.shape != (n,) for a in arrays) or (clusters is not None and len(clusters) != n):
        raise ValueError("every row needs one value of each kind and one cluster")
    if not all(np.isfinite(a).all() for a in arrays):
        raise ValueError("the values must be finite numbers")
    if clusters is None:
        return arrays, np.ones(n)
    index: dict[Hashable, int] = {}
    codes = np.array([index.setdefault(c, len(index)) for c in clusters])
    sums = [np.bincount(codes, weights=a).astype(float) for a in arrays]
    return sums, np.bincount(codes).astype(float)


def effective_df(scores: Floats) -> float:
    """Degrees of freedom of the spread of G cluster scores (G ≥ 2, summing to 0): G − 1, or fewer if tails are heavy.

    The variance of a sample variance is σ⁴/G · (κ − (G−3)/(G−1)) with the kurtosis κ (Mood, Graybill and Boes 1974,
    VI.2); Satterthwaite's (1946) match of two moments then gives 2G / (κ − (G−3)/(G−1)), as in Shoemaker (2003).
    Rare flips make heavy tails: the sample's spread then often misses what is rare, and G − 1 promises too much.
    Never below 3, never above G − 1.
    """
    n = scores.size
    second = float((scores**2).mean())
    kurtosis = float((scores**4).mean()) / second**2 if second > 0 else 0.0
    heaviness = kurtosis - (n - 3) / (n - 1)
    most = n - 1.0
    return most if heaviness <= 2 * n / most else max(min(_FEWEST_DF, most), 2 * n / heaviness)


@dataclass(frozen=True, slots=True)
class ClusteredMean:
    """A mean over rows with its cluster-robust standard error (CR1), and the degrees of freedom of that error."""

    mean: float
    error: float
    df: float
    clusters: int


def robust_mean(sums: Floats, sizes: Floats) -> ClusteredMean:
    """Mean Σ sums / Σ sizes and its CR1 standard error √(G/(G−1) Σ (sum − mean · size)²) / Σ sizes (Liang and Zeger
    1986; the factor as in Cameron and Miller 2015, eq. 12, with only a constant). G = 1: the error is inf."""
    g, rows = sums.size, float(sizes.sum())
    mean = float(sums.sum()) / rows
    if g == 1:
        return ClusteredMean(mean, math.inf, 1.0, 1)
    scores = sums - mean * sizes
    error = math.sqrt(g / (g - 1) * float((scores**2).sum())) / rows
    if error <= _NO_SPREAD * max(1.0, abs(mean)):
        return ClusteredMean(mean, 0.0, g - 1.0, g)
    return ClusteredMean(mean, error, effective_df(scores), g)


def unseen_share(clusters: int, confidence: float = 0.95) -> float:
    """The share of problems that may differ though none of these did: Wilson's upper limit of 0 in G."""
    return wilson(0, clusters, confidence).high


def limited(found: ClusteredMean, quantile: float, limits: Limits | None, confidence: float) -> Interval:
    """mean ± quantile · error within the limits of what is possible; without any spread, what unseen problems allow."""
    mean, half = found.mean, quantile * found.error
    if limits is None:
        return Interval(mean, mean - half, mean + half)
    bottom, top = limits
    if found.error == 0:
        share = unseen_share(found.clusters, confidence)
        return Interval(mean, mean - (mean - bottom) * share, mean + (top - mean) * share)
    return Interval(mean, max(bottom, mean - half), min(top, mean + half))


def cluster_mean(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    limits: Limits | None = None,
    confidence: float = 0.95,
) -> Interval:
    """Mean over all rows with a cluster-robust t interval, in the unit of the values: closed form, no resampling.

    `clusters` names each row's problem (None: every row is one). The standard error is CR1 (see `robust_mean`), equal
    to a regression on a constant with clustered errors. Its t has G − 1 degrees of freedom, or fewer where a few
    clusters carry the spread (`effective_df`): with G − 1 an accuracy of 0.9 over 30 correlated problems is covered in
    91 of 100 cases, with fewer in 94; one of 0.95 in 89 even so, because few errors are seen at all.
    `limits` are the least and greatest possible values, such as (−1, 1) of a difference of accuracies: they bound the
    interval, and where all clusters agree it reaches as far as unseen ones allow (`unseen_share`), which covers too
    often rather than too seldom. Without limits, agreement gives an interval without width; one cluster knows no
    error: the interval is the limits, or infinite. For a share right, `wilson_clustered` is the better one.
    ValueError: no rows, lengths that differ, values outside the limits.
    """
    (sums,), sizes = cluster_sums([values], clusters)
    _check_limits(values, limits)
    found = robust_mean(sums, sizes)
    return limited(found, t_quantile(0.5 + confidence / 2, found.df), limits, confidence)


def _check_limits(values: Sequence[float], limits: Limits | None) -> None:
    if limits is not None and not (limits[0] <= min(values) and max(values) <= limits[1]):
        raise ValueError(f"a value lies outside the limits {limits[0]} to {limits[1]}")


def wilson_clustered(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, confidence: float = 0.95
) -> Interval:
    """Wilson's interval of a share over rows in [0, 1] that come in clusters (None: every row is one).

    Wilson's formula with the effective number of rows p(1−p)/error², the error being CR1, and with t in the place of
    z, as Korn and Graubard (1998) adjust; compared by Franco, Little, Louis and Slud (2019). It covers in 94 to 97 of
    100 cases, but at 0.95 over 30 strongly correlated problems in 92.
    Rows that are 0 or 1 never count for more than themselves. Where every cluster has the same share the error says
    nothing: then a cluster counts as one row. Rows of 0 or 1, each its own cluster, give `wilson` exactly.
    ValueError: no rows, lengths that differ, values outside [0, 1].
    """
    (sums,), sizes = cluster_sums([values], clusters)
    _check_limits(values, (0.0, 1.0))
    whole = all(v in (0, 1) for v in values)
    if whole and sums.size == len(values):
        return wilson(round(float(sums.sum())), len(values), confidence)
    return share_limits(sums, sizes, len(values) if whole else math.inf, confidence)


def newcombe_clustered(
    values1: Sequence[float],
    clusters1: Sequence[Hashable] | None,
    values2: Sequence[float],
    clusters2: Sequence[Hashable] | None,
    confidence: float = 0.95,
) -> Interval:
    """Interval of the difference of two shares over rows of different problems, first − second, rows in clusters.

    Newcombe's (1998, method 10) with `wilson_clustered`'s limits in the place of Wilson's (Zou and Donner 2008). For
    sides that share no problem; on the same problems the paired difference is surer. ValueError as there.
    """
    first = wilson_clustered(values1, clusters1, confidence)
    return difference_limits(first, wilson_clustered(values2, clusters2, confidence))


def share_limits(sums: Floats, sizes: Floats, most_rows: float, confidence: float) -> Interval:
    """`wilson_clustered` from sums and sizes a cluster; `most_rows` caps the effective number of rows."""
    found = robust_mean(sums, sizes)
    mean = min(1.0, max(0.0, found.mean))
    upper = 0.5 + confidence / 2
    if found.error == 0 or found.clusters == 1:
        return score_limits(mean, found.clusters, normal_quantile(upper))
    rows = min(most_rows, mean * (1 - mean) / found.error**2)
    return score_limits(mean, rows, t_quantile(upper, found.df))
