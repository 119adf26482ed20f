"""Draw next tokens from rows of logits, in numpy. Shapes: R rows, V vocabulary, N blocks of B tokens. One uniform
number a row and step, of that sample's own stream: neighbours in the batch change nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
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


def draw(logits_RV: FloatArray, temperature: float, top_p: float, uniforms_R: NDArray[np.float64]) -> Drawn:
    """One token a row. Temperature 0 takes the likeliest, the lowest id among equals. Raises `BadLogits` on NaN."""
    top = _row_maxima(logits_RV)
    weights = np.exp(logits_RV - top)
    log_total = np.log(weights.sum(1))
    if temperature == 0:
        tokens = logits_RV.argmax(1)
    else:
        if temperature != 1:
            weights = np.exp((logits_RV - top) / np.float32(temperature))
        tokens = _inverse_cdf(_nucleus(weights, top_p), uniforms_R)
    rows = np.arange(len(logits_RV))
    return Drawn(tokens, logits_RV[rows, tokens] - top[:, 0] - log_total)


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
