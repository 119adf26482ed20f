"""Derive every figure of an evaluation from its cells, with intervals. Pure: cells in, values out.

The problem is the unit that was sampled: rows of one problem (samples, hints) are a cluster and never count as
independent. A proportion with one row a problem has a Wilson interval; with more, a cluster-robust one. Paired
differences are taken a problem and resampled over problems. Flips compare a problem's perturbed rows with its own clean
rows. Worst-of-k means nothing alone, so it comes beside both placebos: k neutral texts, and k clean resamples.

The values are `figures`', the statistics `training.core.statistics`'.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from training.core.statistics import Interval, pass_at_k, wilson_clustered, worst_of_k_effect
from training.core.types import Condition, HintType
from training.evaluation.metric_types import Accuracy, AtK, Effect, Summary, WorstOfK
from training.evaluation.outcome_arrays import COUNTS, OutcomeArrays
from training.evaluation.paired_metrics import block_gaps
from training.evaluation.problem_blocks import Block, Floats, blocks, by_problem, mean_interval, share_interval, slices


def accuracies(cells: OutcomeArrays) -> tuple[Accuracy, ...]:
    """Every slice target × suite × condition, and × type for hinted, in the order of the plan. For charts over many
    targets: all of them at once."""
    return tuple(a for block in blocks(cells) for a in _accuracies(block))


def _accuracies(block: Block) -> Iterator[Accuracy]:
    data = block.cells.data
    tables = dict(zip(COUNTS, block.tables(*(data[name] for name in COUNTS)), strict=True))
    for condition, hint_type in slices(block):
        at = {name: table.of(condition, hint_type) for name, table in tables.items()}
        interval, clustered = share_interval(at["right"], at["samples"])
        rows, suggesting = float(at["samples"].sum()), float(at["suggesting"].sum())
        yield Accuracy(
            block.target, block.suite, condition, hint_type, int(np.count_nonzero(at["samples"])), round(rows),
            round(float(at["right"].sum())), interval, clustered,
            unparsable=float(at["unparsable"].sum()) / rows,
            truncated=float(at["truncated"].sum()) / rows,
            timed_out=float(at["timed_out"].sum()) / rows,
            follow=share_interval(at["follows"], at["suggesting"])[0] if suggesting else None,
            suggesting=round(suggesting),
        )  # fmt: skip


def gap_series(cells: OutcomeArrays) -> dict[tuple[str, str, HintType | None], Interval]:
    """(target, suite, type or None) → the paired gap of hints alone, for charts over hundreds of targets.

    The interval is the closed form of the bootstrap in `Gap.gap` (cluster-robust t): the same mean, and limits that
    differ in the third digit.
    """
    found = {}
    for block in blocks(cells):
        rates, prompts = block.tables(block.cells.rate(), np.ones(len(block.cells)))
        known = np.isfinite(block.clean)
        for condition, hint_type in slices(block):
            pairs = prompts.of(condition, hint_type)
            there = known & (pairs > 0)
            if condition is Condition.HINTED and there.any():
                sums = (pairs * block.clean - rates.of(condition, hint_type))[there]
                found[block.target, block.suite, hint_type] = mean_interval(sums, pairs[there])
    return found


# ---------------------------------------------------------------------- worst of k


def worst_of_k(cells: OutcomeArrays, *, seed: int = 0) -> tuple[WorstOfK, ...]:
    """Every target × suite that has hints."""
    found = (_worst(block, seed) for block in blocks(cells))
    return tuple(w for w in found if w is not None)


def _worst(block: Block, seed: int) -> WorstOfK | None:
    hinted = _outcomes(block.cells.where(condition=Condition.HINTED))
    if not hinted:
        return None
    k = Counter(map(len, hinted.values())).most_common(1)[0][0]
    whole = {p: row for p, row in hinted.items() if len(row) == k}
    neutral = _outcomes(block.cells.where(condition=Condition.PLACEBO))
    resampled = _resampled(block.cells.where(condition=Condition.CLEAN), k)
    interval = wilson_clustered([math.prod(row) for row in whole.values()])
    beside_neutral, against_neutral = _beside(whole, neutral, k, seed)
    beside_resampled, against_resampled = _beside(whole, resampled, k, seed)
    return WorstOfK(
        block.target, block.suite, k, len(whole), len(hinted) - len(whole), interval, beside_neutral, beside_resampled,
        against_neutral, against_resampled,
    )  # fmt: skip


def _outcomes(cells: OutcomeArrays) -> dict[int, list[float]]:
    """Problem → the share right of each of its prompts."""
    found: dict[int, list[float]] = {}
    for problem, rate in zip(cells.problem.tolist(), cells.rate().tolist(), strict=True):
        found.setdefault(problem, []).append(rate)
    return found


def _resampled(clean: OutcomeArrays, k: int) -> dict[int, list[float]]:
    """Problem → k clean outcomes: its samples dealt to k places. Problems with fewer than k samples have none."""
    found = {}
    rows = zip(clean.problem.tolist(), clean.data["samples"].tolist(), clean.data["bits"].tolist(), strict=True)
    for problem, samples, bits in rows:
        if samples >= k > 1:
            dealt = [[bits >> sample & 1 for sample in range(place, samples, k)] for place in range(k)]
            found[problem] = [sum(place) / len(place) for place in dealt]
    return found


def _beside(
    hinted: dict[int, list[float]], placebo: dict[int, list[float]], k: int, seed: int
) -> tuple[Interval | None, Effect | None]:
    both = [p for p in hinted if len(placebo.get(p, ())) == k]
    if not both:
        return None, None
    found = worst_of_k_effect([hinted[p] for p in both], [placebo[p] for p in both], seed=seed)
    return found.placebo, Effect(found.effect, found.p_value, found.problems)


# ---------------------------------------------------------------------- k samples


def at_k(cells: OutcomeArrays, ks: Sequence[int] | None = None) -> tuple[AtK, ...]:
    """Every slice for each k (None: 1, 2, 4, … and all samples). Empty for k above the samples there are."""
    return tuple(a for block in blocks(cells) for a in _at_k(block, ks))


def _at_k(block: Block, ks: Sequence[int] | None) -> Iterator[AtK]:
    for condition, hint_type in slices(block):
        part = block.cells.where(condition=condition, hint_type=hint_type)
        samples = int(part.data["samples"].min())
        wanted = ks if ks is not None else [*(2**i for i in range(samples.bit_length()) if 2**i < samples), samples]
        ones = by_problem(part, np.ones(len(part)))
        rows_P = by_problem(part, part.data["samples"])
        avg, _ = share_interval(by_problem(part, part.data["right"]), rows_P)
        for k in wanted:
            if k > samples:
                continue
            passed, _ = share_interval(by_problem(part, _passed(part, k)), ones, whole=k == 1 == samples)
            majority = None
            if k == samples == int(part.data["samples"].max()):
                majority, _ = share_interval(by_problem(part, part.data["majority"]), ones, whole=k == 1)
            yield AtK(
                block.target, block.suite, condition, hint_type, k, int((ones > 0).sum()), avg, passed, majority
            )  # fmt: skip


def _passed(cells: OutcomeArrays, k: int) -> Floats:
    """pass@k of each cell; there are few different counts."""
    counts: NDArray[np.int64] = np.stack([cells.data["samples"], cells.data["right"]], axis=1).astype(np.int64)
    kinds, which = np.unique(counts, axis=0, return_inverse=True)
    values = np.array([pass_at_k(n, right, k) for n, right in kinds.tolist()])
    return values[which.reshape(-1)]


def summarise_target(cells: OutcomeArrays, target: str, suite: str, *, seed: int = 0) -> Summary:
    """All figures of one target on one suite; a ValueError where there are no cells of it."""
    part = cells.where(target=target)
    block = next((b for b in blocks(part) if b.suite == suite), None)
    if block is None:
        raise ValueError(f"there are no cells of {target!r} on {suite!r}")
    worst = _worst(block, seed)
    return Summary(
        target, suite, tuple(_accuracies(block)), tuple(block_gaps(block, seed)),
        worst, tuple(_at_k(block, None)),
    )  # fmt: skip
