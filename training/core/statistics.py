"""Intervals and tests for paired, clustered, binary outcomes. Pure Python and numpy; no I/O.

Which for what: one outcome a problem `wilson`; several samples or hints a problem `wilson_clustered`; clean against
hinted on the same problems `paired_bootstrap`, `flips`, `pdr`; the same in closed form, for hundreds of points of a
chart, `robust_mean` with `limited`; two unrelated shares `newcombe`, or `difference_limits` of their intervals; k hints
against k placebos `worst_of_k_effect`; several seeds on the same problems `seed_mean`. Samples and hints of one
problem are alike, problems are not, so only the spread between problems says how sure a mean is. How often each
interval holds the truth: tests/bench/bench_coverage.py.
"""

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_NORMAL = NormalDist()
_TINY = 1e-300
_ALMOST_NORMAL = 1e7


def normal_quantile(probability: float) -> float:
    """The standard normal value below which this share lies; ValueError outside (0, 1)."""
    if not 0 < probability < 1:
        raise ValueError(f"a probability must lie between 0 and 1, not {probability}")
    return _NORMAL.inv_cdf(probability)


def chi_square_tail(value: float) -> float:
    """P(X > value) of chi-square with one degree of freedom: erfc(√(value / 2))."""
    return math.erfc(math.sqrt(max(0.0, value) / 2))


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function by Lentz's method (DLMF 8.17.22; 3.10(iii))."""
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), _TINY)
    result = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d, c = 1 / ((1 + term * d) or _TINY), (1 + term / c) or _TINY
            result *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return result


def beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b) (DLMF 8.17.2), for x in [0, 1] and a, b > 0."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(x, a, b) / a
    return 1 - front * _beta_fraction(1 - x, b, a) / b


def t_tail(value: float, df: float) -> float:
    """P(T > value) of Student's t; df > 0 need not be whole."""
    square = value * value
    # The beta function's argument must not round to 1 near the middle, nor its share far out in the tail.
    if square < 1:
        half = 0.5 - beta_share(square / (df + square), 0.5, df / 2) / 2
    else:
        half = beta_share(df / (df + square), df / 2, 0.5) / 2
    return half if value >= 0 else 1 - half


def _t_density(value: float, df: float) -> float:
    log = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    return math.exp(log - (df + 1) / 2 * math.log1p(value * value / df))


@lru_cache(maxsize=4096)
def t_quantile(probability: float, df: float) -> float:
    """The value of Student's t below which this share lies; df > 0 need not be whole, ValueError otherwise.

    Newton's method on the incomplete beta function. It starts at the normal quantile, which lies below the root where
    the distribution function is concave, so that every step comes closer from the same side.
    """
    z = normal_quantile(probability)
    if df <= 0:
        raise ValueError(f"degrees of freedom must be positive, not {df}")
    if probability < 0.5:
        return -t_quantile(1 - probability, df)
    if df >= _ALMOST_NORMAL or probability == 0.5:
        return z
    value, upper = z, 1 - probability
    for _ in range(200):
        step = (t_tail(value, df) - upper) / _t_density(value, df)
        value += step
        if abs(step) <= 1e-13 * value:
            break
    return value


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence limits, all in the unit of the estimate."""

    mean: float
    low: float
    high: float


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927). n = 0 gives mean 0 and the interval [0, 1].

    For independent trials. Several samples of one problem are not: with 8 a problem and an intraclass correlation of
    0.7 it holds the truth in fewer than 65 of 100 cases. `wilson_clustered` is for them.
    """
    if n == 0:
        return Interval(0.0, 0.0, 1.0)
    return score_limits(successes / n, n, normal_quantile(0.5 + confidence / 2))


def score_limits(share: float, n: float, quantile: float) -> Interval:
    """Wilson's limits of a share in [0, 1] of n > 0 trials, n not necessarily whole, with this quantile."""
    square = quantile * quantile
    denominator = 1 + square / n
    centre = (share + square / (2 * n)) / denominator
    half = quantile * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / denominator
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def newcombe(right1: int, n1: int, right2: int, n2: int, confidence: float = 0.95) -> Interval:
    """Interval of the difference p1 − p2 of two independent proportions (Newcombe 1998, method 10: from their Wilson
    limits). A side with n = 0 counts as a proportion of 0 within [0, 1].

    For independent trials, such as all samples of one problem; over several problems `difference_limits` of
    `wilson_clustered`'s."""
    return difference_limits(wilson(right1, n1, confidence), wilson(right2, n2, confidence))


def difference_limits(first: Interval, second: Interval) -> Interval:
    """Limits of the difference of two independent shares from their own: square and add (Newcombe 1998, method 10;
    for any limits Zou and Donner 2008)."""
    difference = first.mean - second.mean
    below = math.hypot(first.mean - first.low, second.high - second.mean)
    above = math.hypot(first.high - first.mean, second.mean - second.low)
    return Interval(difference, max(-1.0, difference - below), min(1.0, difference + above))


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


def share_limits(sums: Floats, sizes: Floats, most_rows: float, confidence: float) -> Interval:
    """`wilson_clustered` from sums and sizes a cluster; `most_rows` caps the effective number of rows."""
    found = robust_mean(sums, sizes)
    mean = min(1.0, max(0.0, found.mean))
    upper = 0.5 + confidence / 2
    if found.error == 0 or found.clusters == 1:
        return score_limits(mean, found.clusters, normal_quantile(upper))
    rows = min(most_rows, mean * (1 - mean) / found.error**2)
    return score_limits(mean, rows, t_quantile(upper, found.df))


def expected_half_width(
    problems: int, rows: int = 1, share: float = 0.5, correlation: float = 1.0, confidence: float = 0.95
) -> float:
    """Half the width to expect of an accuracy's interval over `problems` with `rows` rows of 0 or 1 each.

    That of `wilson_clustered`, with the rows divided by their design effect 1 + (rows − 1) · correlation (Kish 1965),
    the correlation being that of two rows of a problem. 1, the default, is the worst case: further rows of a problem
    then tell nothing. So is a share of 0.5.
    """
    upper = 0.5 + confidence / 2
    quantile = normal_quantile(upper) if rows == 1 or problems < 2 else t_quantile(upper, problems - 1)
    found = score_limits(share, problems * rows / (1 + (rows - 1) * correlation), quantile)
    return (found.high - found.low) / 2


def mcnemar_exact(lost: int, won: int) -> float:
    """Two-sided exact McNemar test (1947; as in Fay 2010) of the pairs that changed each way, one pair a problem."""
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
    """McNemar's p: exact where every problem has one pair of one sample each (`single`), else clustered."""
    if single:
        return mcnemar_exact(round(sum(lost)), round(sum(won)))
    return mcnemar_clustered(lost, won)


_EXACT_UP_TO = 14
_CELLS_AT_ONCE = 2_000_000


def paired_bootstrap(
    differences: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    samples: int = 4000,
    confidence: float = 0.95,
    seed: int = 0,
    limits: Limits | None = (-1.0, 1.0),
) -> Interval:
    """Bootstrap interval of a mean difference over problems: symmetric, studentised (Hall 1988).

    One difference a problem, or several with `clusters` naming each one's problem: whole problems are drawn, so that
    what belongs to one stays together. Differences of accuracies are shares in [−1, 1]; `limits` are the least and
    greatest possible values (None: unbounded).
    Not the textbook's percentile interval: over 30 problems that covers in 90 to 95 of 100 cases, and BCa and the
    equal-tailed studentised one are worse with rare flips (83 to 95). Here the limits are mean ± q · error, q being
    the quantile of |mean* − mean| / error* over the resamples. Resamples without spread count as infinitely far; if
    that makes q infinite, there are too few differing problems to resample and q is Student's with the degrees of
    freedom of `effective_df`. Where all problems agree, the interval is what unseen problems allow. It covers in 94 to
    97 of 100 cases; where only one or two of 30 problems differ, in up to 99.
    ValueError: no differences, lengths that differ, values outside the limits.
    """
    (sums,), sizes = cluster_sums([differences], clusters)
    _check_limits(differences, limits)
    found = robust_mean(sums, sizes)
    if found.clusters == 1 or found.error == 0:
        return limited(found, 1.0, limits, confidence)
    distances = np.sort(_distances(sums, sizes, found, samples, seed))
    quantile = float(distances[min(samples - 1, int(np.ceil(confidence * (samples + 1))) - 1)])
    if not np.isfinite(quantile):
        quantile = t_quantile(0.5 + confidence / 2, found.df)
    return limited(found, quantile, limits, confidence)


def _distances(sums: Floats, sizes: Floats, found: ClusteredMean, samples: int, seed: int) -> Floats:
    """|mean* − mean| / error* of every resample; inf where a resample has no spread.

    Clusters with equal sum and size are drawn together, as one multinomial count: with few samples a problem there
    are only a handful of different ones, whatever the number of problems.
    """
    centred = sums - found.mean * sizes
    kinds, counts = np.unique(np.stack([centred, sizes], axis=1), axis=0, return_counts=True)
    total, rows = kinds[:, 0], kinds[:, 1]
    products = np.stack([total, rows, total * total, total * rows, rows * rows], axis=1)
    rng, g = np.random.default_rng(seed), sums.size
    result = np.empty(samples)
    step = max(1, _CELLS_AT_ONCE // len(kinds))
    for start in range(0, samples, step):
        size = min(step, samples - start)
        drawn = rng.multinomial(g, counts / g, size=size) @ products
        mean = drawn[:, 0] / drawn[:, 1]
        spread = drawn[:, 2] - 2 * mean * drawn[:, 3] + mean * mean * drawn[:, 4]
        error = np.sqrt(g / (g - 1) * np.maximum(spread, 0)) / drawn[:, 1]
        flat = error <= 1e-6 * found.error
        with np.errstate(divide="ignore", invalid="ignore"):
            result[start : start + size] = np.where(flat, np.inf, np.abs(mean) / error)
    return result


@dataclass(frozen=True, slots=True)
class SeedMean:
    """A mean over seeds and problems with its interval over both. `problems` are those that every seed has; with one
    seed (`seeds` 1) the interval is over problems alone and says nothing of other seeds."""

    interval: Interval
    seeds: int
    problems: int


def seed_mean(values_SP: npt.ArrayLike, *, confidence: float = 0.95, limits: Limits | None = (-1.0, 1.0)) -> SeedMean:
    """The mean of `values_SP` `[seeds, problems]` and its interval over seeds and over problems, which are crossed.

    Seeds and problems are both samples: value = μ + seed + problem + rest. With the mean squares of that layout, A of
    the seeds, B of the problems and E of the rest, the mean's variance is estimated without bias by
    (A + B − E) / (S P) (Searle, Casella and McCulloch 1992, chapter 4), here never below that of either factor alone,
    and Student's t has the degrees of freedom of Satterthwaite (1946). For a paired difference between two variants
    give first − second of each seed and problem.
    Not the percentiles of a bootstrap that draws seeds and problems: three seeds drawn with replacement have two
    thirds of their variance, and where seeds differ by 6 points those cover in 86 to 90 of 100 cases, this in 94 to 96
    (tests/bench/bench_coverage.py prints both).
    A problem that any seed lacks (NaN) is left out. With one seed the interval is `paired_bootstrap`'s over problems.
    ValueError: no seed, or no problem that all seeds have.
    """
    values = np.atleast_2d(np.asarray(values_SP, dtype=float))
    values = values[:, np.isfinite(values).all(axis=0)]
    seeds, problems = values.shape
    if not seeds or not problems:
        raise ValueError("no problem has a value of every seed")
    if seeds == 1:
        return SeedMean(paired_bootstrap(values[0].tolist(), confidence=confidence, limits=limits), 1, problems)
    mean = float(values.mean())
    of_seed, of_problem = values.mean(axis=1) - mean, values.mean(axis=0) - mean
    rest = values - mean - of_seed[:, None] - of_problem[None]
    df = np.array([seeds - 1, max(1, problems - 1), (seeds - 1) * max(1, problems - 1)], dtype=float)
    squares = np.array([problems * (of_seed**2).sum(), seeds * (of_problem**2).sum(), (rest**2).sum()])
    parts = squares / df / values.size
    variance = max(float(parts[0] + parts[1] - parts[2]), float(parts[0]), float(parts[1]))
    if variance <= _NO_SPREAD**2:
        return SeedMean(limited(ClusteredMean(mean, 0.0, 1.0, problems), 1.0, limits, confidence), seeds, problems)
    freedom = max(1.0, variance**2 / float((parts**2 / df).sum()))
    quantile = t_quantile(0.5 + confidence / 2, freedom)
    found = ClusteredMean(mean, math.sqrt(variance), freedom, problems)
    return SeedMean(limited(found, quantile, limits, confidence), seeds, problems)


def sign_flip(differences: Sequence[float], *, samples: int = 9999, seed: int = 0) -> float:
    """Two-sided p of "each problem's difference is as likely to have the other sign", one difference a problem.

    Exact where all differences have one size (then it is McNemar's test) or at most 14 are not zero; else by `samples`
    random flips, with (hits + 1) / (samples + 1), which is never zero (Phipson and Smyth 2010). No differences, or all
    zero: 1. ValueError for values that are not finite.
    """
    values = np.asarray(differences, dtype=float)
    if not np.isfinite(values).all():
        raise ValueError("the values must be finite numbers")
    values = values[np.abs(values) > 1e-12]
    if values.size == 0:
        return 1.0
    sizes = np.abs(values)
    if np.ptp(sizes) <= 1e-12:
        return mcnemar_exact(int((values > 0).sum()), int((values < 0).sum()))
    seen = abs(float(values.sum())) - 1e-9 * float(sizes.sum())
    if values.size <= _EXACT_UP_TO:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=values.size)))
        return float((np.abs(signs @ sizes) >= seen).mean())
    rng, hits, step = np.random.default_rng(seed), 0, max(1, _CELLS_AT_ONCE // values.size)
    for start in range(0, samples, step):
        flips = rng.integers(0, 2, (min(step, samples - start), values.size), dtype=np.int8)
        hits += int((np.abs((2.0 * flips - 1.0) @ sizes) >= seen).sum())
    return (hits + 1) / (samples + 1)


@dataclass(frozen=True, slots=True)
class Flips:
    """Rates over all pairs of a clean and a hinted outcome: harmful (right, then wrong), helpful (wrong, then right),
    and net = harmful − helpful, which is the paired gap. `pairs` is the number of rows given."""

    harmful: Interval
    helpful: Interval
    net: Interval
    pairs: int


def flips(
    clean: Sequence[float],
    hinted: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Flips:
    """Flips both ways, a row being a problem or, with `clusters`, one of several hints of one.

    Outcomes are 0 or 1, or shares right of several samples: no clean sample belongs to one hinted sample, so a row's
    harmful rate is the share of all its pairs, clean · (1 − hinted), and its helpful rate (1 − clean) · hinted.
    Harmful and helpful have `wilson_clustered`'s interval, net `paired_bootstrap`'s. At a temperature above 0 a
    neutral text flips both ways too: only net, or the placebo's own flips beside these, tells of an attack.
    ValueError: no rows, lengths that differ, values outside [0, 1].
    """
    first, second = _shares(clean, hinted)
    harmful, helpful = (first * (1 - second)).tolist(), ((1 - first) * second).tolist()
    return Flips(
        wilson_clustered(harmful, clusters, confidence),
        wilson_clustered(helpful, clusters, confidence),
        paired_bootstrap((first - second).tolist(), clusters, confidence=confidence, seed=seed),
        first.size,
    )


def _shares(clean: Sequence[float], hinted: Sequence[float]) -> tuple[Floats, Floats]:
    first, second = np.asarray(clean, dtype=float), np.asarray(hinted, dtype=float)
    if first.size == 0 or first.shape != second.shape or first.ndim != 1:
        raise ValueError("every row needs a clean and a hinted outcome")
    if not all(((side >= 0) & (side <= 1)).all() for side in (first, second)):
        raise ValueError("an outcome must lie between 0 and 1")
    return first, second


def pdr(
    clean: Sequence[float],
    hinted: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    confidence: float = 0.95,
) -> Interval | None:
    """Performance drop rate 1 − hinted accuracy / clean accuracy (PromptBench, Zhu et al. 2023), and its interval.

    A row is a problem or, with `clusters`, one of several hints of one; outcomes are 0 or 1, or shares right. 1: all
    that was right is lost; below 0: hints help. None where nothing clean is right: there is nothing to lose.
    Not a bootstrap of the ratio: with 30 problems and rare errors its percentiles cover in 91 to 95 of 100 cases.
    The interval is Fieller's (1954) with cluster-robust variances and Student's t of `effective_df`. Where the clean
    accuracy itself may be 0, nothing bounds the ratio: the interval is then all that is possible, from
    1 − 1 / (least clean accuracy) to 1.
    ValueError: no rows, lengths that differ, values outside [0, 1].
    """
    first, second = _shares(clean, hinted)
    (c, h), sizes = cluster_sums([first.tolist(), second.tolist()], clusters)
    rows = float(sizes.sum())
    accuracy, under = float(c.sum()) / rows, float(h.sum()) / rows
    if accuracy == 0:
        return None
    ratio = under / accuracy
    loosest = 1 - 1 / share_limits(c, sizes, math.inf, confidence).low
    drop = 1 - ratio
    scores = h - ratio * c
    if c.size == 1:
        return Interval(drop, loosest, 1.0)
    if float(np.abs(scores).max()) <= 1e-12 * rows:
        share, gap = unseen_share(c.size, confidence), accuracy - under
        low, high = gap - (gap + 1) * share, gap + (1 - gap) * share
        return Interval(drop, max(loosest, low / accuracy), min(1.0, high / accuracy))
    quantile = t_quantile(0.5 + confidence / 2, effective_df(scores))
    found = _fieller(c - accuracy * sizes, h - under * sizes, accuracy, under, quantile / rows)
    if found is None:
        return Interval(drop, loosest, 1.0)
    return Interval(drop, 1 - found[1], min(1.0, 1 - found[0]))


def _fieller(c: Floats, h: Floats, accuracy: float, under: float, factor: float) -> tuple[float, float] | None:
    """The ratios r with (under − r · accuracy)² ≤ factor² · G/(G−1) · Σ (h − r c)²; None where they are unbounded."""
    scale = factor**2 * c.size / (c.size - 1)
    a = accuracy**2 - scale * float(c @ c)
    b = under * accuracy - scale * float(c @ h)
    d = under**2 - scale * float(h @ h)
    if a <= 1e-12:
        return None
    root = math.sqrt(max(0.0, b * b - a * d))
    return (b - root) / a, (b + root) / a


@dataclass(frozen=True, slots=True)
class WorstOfK:
    """All-right rates under k hints and under their k placebos, effect = placebo − hinted (above 0: the hints do harm
    beyond sampling noise), and the p-value of no such harm or help."""

    hinted: Interval
    placebo: Interval
    effect: Interval
    p_value: float
    problems: int


def worst_of_k_effect(
    hinted: Sequence[Sequence[float]], placebo: Sequence[Sequence[float]], *, confidence: float = 0.95, seed: int = 0
) -> WorstOfK:
    """Worst-of-k beside its placebo: for every problem its k outcomes under k hints, and k under neutral treatment.

    The placebo is k neutral texts, or k clean resamples: k chances to fail are harder than one even without any hint,
    so each problem must have equally many on both sides (ValueError). An outcome is 0 or 1, or the share right of
    several samples of one hint; a problem's all-right rate is the product of its k, the same as `all` of k outcomes,
    and unbiased for independent samples. The effect's interval is `paired_bootstrap`'s, p is `sign_flip`'s over
    problems: if hints and placebos do the same, either sign is as likely, whatever the sampling noise.
    ValueError: no problems, a problem without outcomes, outcomes outside [0, 1].
    """
    if not hinted or len(hinted) != len(placebo):
        raise ValueError("every problem needs its hinted and its placebo outcomes")
    for number, (one, other) in enumerate(zip(hinted, placebo, strict=True), start=1):
        if not one or len(one) != len(other):
            raise ValueError(f"problem {number} has {len(one)} hinted and {len(other)} placebo outcomes")
    under, beside = ([math.prod(float(x) for x in row) for row in side] for side in (hinted, placebo))
    if any(not 0 <= x <= 1 for side in (hinted, placebo) for row in side for x in row):
        raise ValueError("an outcome must lie between 0 and 1")
    differences = [p - h for h, p in zip(under, beside, strict=True)]
    return WorstOfK(
        wilson_clustered(under, confidence=confidence),
        wilson_clustered(beside, confidence=confidence),
        paired_bootstrap(differences, confidence=confidence, seed=seed),
        sign_flip(differences, seed=seed),
        len(differences),
    )


@dataclass(frozen=True, slots=True)
class Needed:
    """Problems that resolve a difference: `total` (None: no number does), and how many `more` than there are."""

    total: int | None
    more: int | None

    @property
    def sentence(self) -> str:
        """In words, the number rounded up to two figures: it rests on estimates."""
        if self.more is None:
            return "no number of problems resolves a difference of zero"
        if self.more == 0:
            return "has enough problems"
        unit = 10 ** max(0, len(str(self.more)) - 2)
        about = -(-self.more // unit) * unit
        return f"needs about {about:,} more problem{'' if about == 1 else 's'}"


def needed_problems(
    difference: float,
    *,
    sd: float | None = None,
    discordance: float | None = None,
    have: int = 0,
    power: float = 0.8,
    confidence: float = 0.95,
) -> Needed:
    """Problems that a paired difference of accuracies needs to be found with this power by a two-sided test.

    Give the standard deviation `sd` of the difference over problems, or, with one outcome a side, the `discordance`:
    the share of problems that change either way. With d the difference: from sd ((z_α + z_β) · sd / d)² + z_α²/2
    (Guenther 1981, for the t test); from discordance ψ (z_α √ψ + z_β √(ψ − d²))² / d² (Connor 1987, for McNemar's).
    The true difference is not the measured one: a measured difference that is small by luck asks for too many.
    ValueError: neither or both of sd and discordance, a discordance outside |d|..1, a negative sd.
    """
    if (sd is None) == (discordance is None):
        raise ValueError("give either sd or discordance")
    if difference == 0:
        return Needed(None, None)
    alpha, beta = normal_quantile(0.5 + confidence / 2), normal_quantile(power)
    if discordance is not None:
        if not abs(difference) <= discordance <= 1:
            raise ValueError(f"the discordance must lie between {abs(difference)} and 1, not {discordance}")
        root = alpha * math.sqrt(discordance) + beta * math.sqrt(discordance - difference**2)
        total = math.ceil((root / difference) ** 2)
    else:
        spread = sd or 0.0
        if spread < 0:
            raise ValueError(f"a standard deviation cannot be {spread}")
        total = math.ceil(((alpha + beta) * spread / difference) ** 2 + alpha**2 / 2)
    return Needed(total, max(0, total - have))


def fisher_exact(right1: int, n1: int, right2: int, n2: int) -> float:
    """Two-sided p of "both shares are one", of two independent proportions: the tables with these margins that are no
    likelier than the one seen (Fisher 1935). 1 where a side has no trials. ValueError for counts that cannot be."""
    if not (0 <= right1 <= n1 and 0 <= right2 <= n2):
        raise ValueError("the right ones must be between 0 and the trials")
    total, trials = right1 + right2, n1 + n2

    def ways(first: int) -> int:
        return math.comb(n1, first) * math.comb(n2, total - first)

    seen = ways(right1)
    tables = (ways(first) for first in range(max(0, total - n2), min(n1, total) + 1))
    # Whole numbers: equal tables are equal, whatever floats would make of them.
    return sum(each for each in tables if each <= seen) / math.comb(trials, total)


def rank_correlation(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """Spearman's rank correlation, ties at their mean rank, with a percentile bootstrap over clusters.

    None for fewer than three pairs, and where a side is constant. Resamples in which one is are left out; without any
    other the interval is [−1, 1]. ValueError for lengths that differ.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.shape != b.shape or (clusters is not None and len(clusters) != len(a)):
        raise ValueError("every pair needs two values and one cluster")
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    places: dict[Hashable, list[int]] = {}
    for place, cluster in enumerate(clusters if clusters is not None else range(len(a))):
        places.setdefault(cluster, []).append(place)
    members = [np.array(found) for found in places.values()]
    rng, found = np.random.default_rng(seed), list[float]()
    for _ in range(samples):
        drawn = np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))])
        if np.ptp(a[drawn]) > 0 and np.ptp(b[drawn]) > 0:
            found.append(_spearman(a[drawn], b[drawn]))
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, (tail, 1 - tail)).tolist() if found else (-1.0, 1.0)
    value = _spearman(a, b)
    return Interval(value, min(low, value), max(high, value))


def _spearman(a: Floats, b: Floats) -> float:
    return float(np.corrcoef(_mean_ranks(a), _mean_ranks(b))[0, 1])


def _mean_ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number by Holm's step-down method (1979), in the order given.

    Each may be read against the level as if it were the only test. ValueError for one outside [0, 1].
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError("a p-value must lie between 0 and 1")
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def pass_at_k(n: int, right: int, k: int) -> float:
    """Unbiased pass@k of n samples with `right` right ones: 1 − C(n − right, k) / C(n, k) (Chen et al. 2021)."""
    if not 0 < k <= n:
        raise ValueError(f"k must be in 1..{n}, not {k}")
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def maj_at_k(answers: Sequence[Hashable | None], right: Sequence[bool], k: int | None = None) -> float:
    """maj@k of one problem: the probability that the most frequent answer of k of its n samples is right.

    The mean over all C(n, k) choices of k samples (None: all n), exact, by counting; ties are split evenly among the
    answers that tie (self-consistency, Wang et al. 2023). Samples that are right are one answer, however written. None
    is no readable answer: it takes a place among the k and has no vote; with no vote at all nothing is right.
    ValueError: k outside 1..n, lengths that differ, a right sample without an answer.
    """
    n = len(answers)
    k = n if k is None else k
    if len(right) != n or any(r and a is None for a, r in zip(answers, right, strict=False)):
        raise ValueError("every sample needs an answer or None, and whether it is right")
    if not 0 < k <= n:
        raise ValueError(f"k must be in 1..{n}, not {k}")
    good = sum(map(bool, right))
    wrong = Counter(a for a, r in zip(answers, right, strict=True) if not r and a is not None)
    silent = n - good - sum(wrong.values())
    won = 0.0
    for votes in range(1, min(good, k) + 1):
        ways = _choices(list(wrong.values()), silent, votes, k - votes)
        ways_right = math.comb(good, votes)
        won += sum(ways_right * number / (1 + ties) / math.comb(n, k) for ties, number in ways.items())
    return min(1.0, won)


def _choices(wrong: Sequence[int], silent: int, votes: int, places: int) -> dict[int, int]:
    """Ways to fill `places` with wrong and silent samples so that no wrong answer has more than `votes`: by ties."""
    ways: dict[tuple[int, int], int] = {(0, 0): 1}
    for count in wrong:
        longer: dict[tuple[int, int], int] = {}
        for (used, ties), number in ways.items():
            for taken in range(min(count, votes, places - used) + 1):
                key = (used + taken, ties + (taken == votes))
                longer[key] = longer.get(key, 0) + number * math.comb(count, taken)
        ways = longer
    result: dict[int, int] = {}
    for (used, ties), number in ways.items():
        result[ties] = result.get(ties, 0) + number * math.comb(silent, places - used)
    return result


def evenness(labels: Sequence[str], categories: int) -> float:
    """Pielou's evenness (1966), H / ln(categories): 1 when all are equally frequent, 0 when one has all."""
    if not labels or categories < 2:
        return 0.0
    shares = [count / len(labels) for count in Counter(labels).values()]
    return abs(math.fsum(s * math.log(s) for s in shares)) / math.log(categories)
