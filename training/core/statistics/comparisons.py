"""Clean against hinted on the same problems: flips, performance drop rate, and worst-of-k beside its placebo.

Every comparison is paired by problem. Refuses sides of different lengths, and a worst-of-k whose placebo had more or
fewer chances to fail.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from training.core.statistics.clustered import (
    Floats,
    cluster_sums,
    effective_df,
    share_limits,
    unseen_share,
    wilson_clustered,
)
from training.core.statistics.distributions import t_quantile
from training.core.statistics.intervals import Interval
from training.core.statistics.resampling import paired_bootstrap, sign_flip


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


def worst_of_k(outcomes: Sequence[Sequence[bool]]) -> float:
    """Share of problems that are right in all of their k rollouts. Only beside its placebo does it mean an attack."""
    return sum(all(row) for row in outcomes) / len(outcomes) if outcomes else 0.0
