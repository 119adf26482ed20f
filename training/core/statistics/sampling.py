"""What k samples of a problem say: avg@k, pass@k, maj@k.

How evenly things are spread over categories."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from training.core.statistics.clustered import share_limits
from training.core.statistics.intervals import Interval, wilson


def avg_at_k(outcomes: Sequence[Sequence[bool]], confidence: float = 0.95) -> Interval:
    """avg@k: the mean over problems of the share right of each one's samples; the interval is `wilson_clustered`'s.

    One list of outcomes a problem. Problems weigh alike, also when some have fewer samples. ValueError: no problems,
    or one without samples.
    """
    if not outcomes or not all(len(row) for row in outcomes):
        raise ValueError("every problem needs at least one sample")
    if all(len(row) == 1 for row in outcomes):
        return wilson(sum(bool(row[0]) for row in outcomes), len(outcomes), confidence)
    shares = np.array([sum(map(bool, row)) / len(row) for row in outcomes])
    return share_limits(shares, np.ones(shares.size), sum(len(row) for row in outcomes), confidence)


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
