"""Draw next tokens from rows of logits, in numpy. Shapes: R rows, V vocabulary, N blocks of B tokens. One uniform
number a row and step, of that sample's own stream: neighbours in the batch change nothing.

The settings act in this order: repetition penalty, temperature, top-k, top-p, min-p. Each of the last three looks at
what the ones before it left, and keeps tokens that are as likely as the last one that it keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
REPETITION_WINDOW = 64
"""Tokens, the newest of prompt and completion, that a repetition penalty looks back at."""
_LIKELIEST = 1024
_BLOCK = 64


class BadLogits(Exception):
    """The model gave numbers that are no logits (NaN, or nothing possible)."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Tokens of shape R and their log-probabilities under the model's own distribution."""

    tokens: NDArray[np.int64]
    logprobs: FloatArray


def stream_of(seed: int, index: int) -> np.random.Generator:
    """The random stream of sample `index` of a request."""
    return np.random.Generator(np.random.Philox(key=seed | index << 64))


def log_softmax(logits_RV: FloatArray) -> FloatArray:
    """Natural log-probabilities of each row. Raises `BadLogits` on NaN."""
    top = _row_maxima(logits_RV)
    shifted: FloatArray = logits_RV - top
    shifted -= np.log(np.exp(shifted).sum(1, keepdims=True))
    return shifted


def draw(
    logits_RV: FloatArray,
    uniforms_R: NDArray[np.float64],
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    recent: Sequence[Sequence[int]] = (),
    logprobs: bool = True,
) -> Drawn:
    """One token a row. Temperature 0 takes the likeliest, the lowest id among equals. Raises `BadLogits` on NaN.
    Without `logprobs`, which cost more than a greedy choice, those are 0.

    `top_k` 0 keeps all; `min_p` keeps tokens of at least that share of the likeliest one's probability. A
    `repetition_penalty` divides positive logits of the tokens in `recent` (a sequence a row) by itself and multiplies
    negative ones (Keskar et al. 2019, arXiv 1909.05858).
    """
    top = highest = _row_maxima(logits_RV)
    chosen_from = logits_RV
    if repetition_penalty != 1:
        chosen_from = _penalised(logits_RV, repetition_penalty, recent)
        highest = _row_maxima(chosen_from)
    if temperature == 0:
        tokens = chosen_from.argmax(1)
    else:
        weights = np.exp((chosen_from - highest) / np.float32(temperature))
        weights = _nucleus(_likeliest(weights, top_k), top_p)
        if min_p:
            weights = np.where(weights >= np.float32(min_p) * weights.max(1, keepdims=True), weights, np.float32(0))
        tokens = _inverse_cdf(weights, uniforms_R)
    if not logprobs:
        return Drawn(tokens, np.zeros(len(tokens), np.float32))
    log_totals = np.log(np.exp(logits_RV - top).sum(1))
    return Drawn(tokens, logits_RV[np.arange(len(tokens)), tokens] - top[:, 0] - log_totals)


def _penalised(logits_RV: FloatArray, penalty: float, recent: Sequence[Sequence[int]]) -> FloatArray:
    logits_RV = logits_RV.copy()
    for row, tokens in zip(logits_RV, recent, strict=True):
        seen = np.unique(np.asarray(tokens, dtype=np.int64))
        row[seen] = np.where(row[seen] > 0, row[seen] / np.float32(penalty), row[seen] * np.float32(penalty))
    return logits_RV


def _likeliest(weights_RV: FloatArray, top_k: int) -> FloatArray:
    """Weights with all but the `top_k` largest put to zero; equals at the edge stay."""
    if not 0 < top_k < weights_RV.shape[1]:
        return weights_RV
    edge = np.partition(weights_RV, -top_k, axis=1)[:, -top_k, None]
    return np.where(weights_RV >= edge, weights_RV, np.float32(0))


def _row_maxima(logits_RV: FloatArray) -> FloatArray:
    top: FloatArray = logits_RV.max(1, keepdims=True)
    if not np.isfinite(top).all():
        raise BadLogits
    return top


def _nucleus(weights_RV: FloatArray, top_p: float) -> FloatArray:
    """Weights with all but the smallest set that holds `top_p` of the mass put to zero; equals at its edge stay."""
    if top_p >= 1:
        return weights_RV
    goal = weights_RV.sum(1) * np.float32(top_p)
    k = min(_LIKELIEST, weights_RV.shape[1])
    best = -np.sort(-np.partition(weights_RV, -k, axis=1)[:, -k:], axis=1)
    mass = best.cumsum(1)
    if (mass[:, -1] < goal).any():
        best = -np.sort(-weights_RV, axis=1)
        mass = best.cumsum(1)
    last = np.minimum((mass < goal[:, None]).sum(1), best.shape[1] - 1)
    edge = best[np.arange(len(best)), last]
    return np.where(weights_RV >= edge[:, None], weights_RV, np.float32(0))


def _inverse_cdf(weights_RV: FloatArray, uniforms_R: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw by weight, in two steps: a block of tokens, then a token of it. One running sum over all is far slower."""
    rows, vocabulary = weights_RV.shape
    n_blocks = -(-vocabulary // _BLOCK)
    if vocabulary % _BLOCK:
        weights_RV = np.pad(weights_RV, ((0, 0), (0, n_blocks * _BLOCK - vocabulary)))
    blocks_RNB = weights_RV.reshape(rows, n_blocks, _BLOCK)
    cdf_RN = blocks_RNB.sum(2, dtype=np.float64).cumsum(1)
    goals_R = uniforms_R * cdf_RN[:, -1]
    which_R = _first_above(cdf_RN, goals_R)
    each = np.arange(rows)
    before_R = np.where(which_R > 0, cdf_RN[each, which_R - 1], 0.0)
    inner_RB = blocks_RNB[each, which_R].cumsum(1, dtype=np.float64)
    drawn: NDArray[np.int64] = which_R * _BLOCK + _first_above(inner_RB, goals_R - before_R)
    return drawn


def _first_above(cdf_RN: NDArray[np.float64], goals_R: NDArray[np.float64]) -> NDArray[np.int64]:
    """The first index of each row whose running sum is above the goal, which is one with a weight of its own."""
    # Below the row's total, whatever rounding did: at or above it there is nothing.
    goals_R = np.minimum(goals_R, np.nextafter(cdf_RN[:, -1], 0))
    found: NDArray[np.int64] = (cdf_RN > goals_R[:, None]).argmax(1)
    return found
