"""A sparse logistic regression on counts, with intervals that know of clusters. numpy only, no I/O.

Each row has `wrong` of `total` binary outcomes and belongs to a cluster (the problem it was asked about). Which columns
matter is chosen on one part of the clusters (`choose_columns`), and how much they matter is estimated on the other
(`refit`): so the intervals owe nothing to the choice. Columns before `controls` are never penalised and never reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.core.statistics import Floats, Interval, normal_quantile, t_quantile

Codes = npt.NDArray[np.signedinteger[Any]]

PATH = 10
"""Strengths of the penalty that are tried, from the one that leaves no column to one fiftieth of it."""
_WEAKEST = 0.02
_ITERATIONS, _TOLERANCE = 150, 1e-5
_NEWTON_STEPS = 30
PRIOR_SD = 3.0
"""Standard deviation, in log-odds, of the weak normal prior on a coefficient: it keeps one finite where all outcomes
are alike."""
_COLLINEAR = 0.02


@dataclass(frozen=True, slots=True)
class Choice:
    """`columns` that the penalised fit kept, strongest first, and the log-odds it predicts for any matrix."""

    columns: tuple[int, ...]
    predict: Callable[[Floats], Floats]


def _probability(score: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(score, -30, 30))))


def deviance(score: Floats, wrong: Floats, total: Floats) -> float:
    """Minus twice the mean log-likelihood of one outcome."""
    losses = np.logaddexp(0, score) * total - score * wrong
    return 2 * float(losses.sum()) / float(total.sum())


def choose_columns(
    fit: tuple[Floats, Floats, Floats],
    check: tuple[Floats, Floats, Floats],
    controls: int,
    most: int,
    cancelled: Callable[[], bool] = lambda: False,
) -> Choice:
    """Fit a path of L1 penalties on `fit` (matrix, wrong, total) and keep the one with the least deviance on `check`.

    Accelerated proximal gradient (Beck and Teboulle 2009, FISTA) on columns scaled to unit spread, each fit started at
    the one before. The first `controls` columns bear no penalty. At most `most` other columns are kept.
    """
    x, wrong, total = fit
    spread = x.std(axis=0)
    spread[spread == 0] = 1.0
    scaled = x / spread
    n = float(total.sum())
    weighted = scaled * np.sqrt(total)[:, None]
    step = 4 * n / max(1e-12, float(np.linalg.norm(weighted.T @ weighted, 2)))
    free = np.arange(x.shape[1]) < controls

    def fitted(penalty: float, start: Floats) -> Floats:
        beta, ahead, momentum = start, start, 1.0
        for _ in range(_ITERATIONS):
            gradient = scaled.T @ (_probability(scaled @ ahead) * total - wrong) / n
            moved = ahead - step * gradient
            shrunk = np.sign(moved) * np.maximum(np.abs(moved) - step * penalty, 0)
            new = np.where(free, moved, shrunk)
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            ahead = new + (momentum - 1) / following * (new - beta)
            done = float(np.abs(new - beta).max()) < _TOLERANCE
            beta, momentum = new, following
            if done:
                break
        return np.asarray(beta)

    bare = fitted(np.inf, np.zeros(x.shape[1]))
    gradient = scaled.T @ (_probability(scaled @ bare) * total - wrong) / n
    strongest = float(np.abs(gradient[controls:]).max(initial=0.0))
    best, least, beta = bare, deviance(check[0] / spread @ bare, check[1], check[2]), bare
    for share in np.geomspace(1, _WEAKEST, PATH) if strongest > 0 else ():
        if cancelled():
            break
        beta = fitted(strongest * float(share), beta)
        found = deviance(check[0] / spread @ beta, check[1], check[2])
        kept = int((beta[controls:] != 0).sum())
        if kept > most:
            break
        if found < least:
            best, least = beta, found
    order = np.argsort(-np.abs(best[controls:]), kind="stable") + controls
    columns = tuple(int(j) for j in order if best[j] != 0)
    return Choice(columns, lambda matrix: np.asarray(matrix / spread @ best))


def independent(x: Floats, columns: tuple[int, ...], controls: int) -> tuple[int, ...]:
    """Those of `columns`, in their order, that are not nearly a sum of the controls and of those before them."""
    basis: list[Floats] = []

    def left_over(column: Floats) -> tuple[Floats, float]:
        size = float(np.linalg.norm(column))
        for direction in basis:
            column = column - direction * float(direction @ column)
        rest = float(np.linalg.norm(column))
        return column / max(rest, 1e-12), rest / max(size, 1e-12)

    for j in range(controls):
        direction, rest = left_over(x[:, j])
        if rest > _COLLINEAR:
            basis.append(direction)
    kept = []
    for j in columns:
        direction, rest = left_over(x[:, j])
        if rest**2 > _COLLINEAR:
            basis.append(direction)
            kept.append(j)
    return tuple(kept)


def refit(
    x: Floats, wrong: Floats, total: Floats, clusters: Floats, controls: int, *, samples: int = 2000, seed: int = 0,
    confidence: float = 0.95,
) -> list[Interval]:  # fmt: skip
    """Coefficients (log-odds) of the columns after `controls`, with intervals that hold for all of them together.

    Maximum likelihood with a weak normal prior (`PRIOR_SD`). Whole clusters are drawn; each resample's estimate is one
    Newton step from the fit, which needs only each cluster's gradient and curvature (the one-step bootstrap, Davidson
    and MacKinnon 1999). The limits are estimate ± q · error, q being the quantile of the largest |deviation| / error
    over all columns: the share of true coefficients that any of them misses is 1 − `confidence`. Both are widened for
    few clusters, by √(G/(G−1)) and by Student's t with G − 1 degrees of freedom against the normal.
    """
    p = x.shape[1]
    prior = np.diag(np.where(np.arange(p) < controls, 1e-6, PRIOR_SD**-2))
    beta = np.zeros(p)
    for _ in range(_NEWTON_STEPS):
        rate = _probability(x @ beta)
        curvature = (x * (rate * (1 - rate) * total)[:, None]).T @ x + prior
        change = np.linalg.solve(curvature, x.T @ (wrong - rate * total) - prior @ beta)
        beta = beta + np.clip(change, -2, 2)
        if float(np.abs(change).max()) < 1e-8:
            break
    rate = _probability(x @ beta)
    residual, weight = wrong - rate * total, rate * (1 - rate) * total
    codes = np.unique(clusters, return_inverse=True)[1]
    groups = int(codes.max()) + 1
    gradients, curvatures = np.empty((groups, p)), np.empty((groups, p * p))
    order = np.argsort(codes, kind="stable")
    for g, rows in enumerate(np.split(order, np.cumsum(np.bincount(codes))[:-1])):
        gradients[g] = x[rows].T @ residual[rows] - (prior @ beta) / groups
        curvatures[g] = ((x[rows] * weight[rows, None]).T @ x[rows]).ravel()
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=samples).astype(float)
    systems = (drawn @ curvatures).reshape(samples, p, p) + prior
    moves = np.linalg.solve(systems, (drawn @ gradients)[:, :, None])[:, controls:, 0]
    left_out = curvatures.sum(axis=0) - curvatures
    away = np.linalg.solve(left_out.reshape(groups, p, p) + prior, -gradients[:, :, None])[:, controls:, 0]
    error = np.sqrt((groups - 1) / groups * (away**2).sum(axis=0))
    error[error == 0] = np.inf
    spread = moves.std(axis=0)
    spread[spread == 0] = np.inf
    furthest = np.sort((np.abs(moves) / spread).max(axis=1))
    q = float(furthest[min(samples - 1, int(np.ceil(confidence * samples)))])
    tail = 0.5 + confidence / 2
    q = max(q, normal_quantile(tail)) * t_quantile(tail, max(1, groups - 1)) / normal_quantile(tail)
    return [Interval(float(b), float(b - q * e), float(b + q * e)) for b, e in zip(beta[controls:], error, strict=True)]


@dataclass(frozen=True, slots=True)
class Discrimination:
    """Areas under the ROC curve of a model and of its controls alone, and their paired difference."""

    auc: Interval
    base: Interval
    gain: Interval


def discrimination(
    score: Floats, base: Floats, wrong: Floats, total: Floats, clusters: Floats, *, samples: int = 1000, seed: int = 0
) -> Discrimination:
    """The area under the ROC curve: how often a wrong outcome has a higher score than a right one, ties half.

    Percentile limits over resamples of whole clusters. Of a resample without both outcomes there is no area.
    """
    codes = np.unique(clusters, return_inverse=True)[1]
    groups = int(codes.max()) + 1
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=samples).astype(float)
    weights = np.concatenate([np.ones((1, groups)), drawn])
    areas = np.stack([_areas(s, wrong, total - wrong, codes, weights) for s in (score, base)])
    return Discrimination(*(_limits(a) for a in (areas[0], areas[1], areas[0] - areas[1])))


def _areas(score: Floats, wrong: Floats, right: Floats, codes: Codes, weights: Floats) -> Floats:
    """The area for each row of cluster weights. Scores are cut to 200 levels, to add up a level in one product."""
    levels = np.unique(np.quantile(score, np.linspace(0, 1, 201)))
    place = np.clip(np.searchsorted(levels, score, side="right") - 1, 0, len(levels) - 1)
    groups, size = weights.shape[1], len(levels)
    sums = []
    for counts in (wrong, right):
        table = np.bincount(codes * size + place, weights=counts, minlength=groups * size)
        sums.append(weights @ table.reshape(groups, size))
    positives, negatives = sums
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((positives * below).sum(axis=1) / pairs)


def _limits(areas: Floats) -> Interval:
    known = areas[1:][np.isfinite(areas[1:])]
    low, high = np.quantile(known, [0.025, 0.975]) if known.size else (float("nan"), float("nan"))
    return Interval(float(areas[0]), float(low), float(high))
