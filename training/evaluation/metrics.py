"""Derive every figure of an evaluation from its outcome arrays, with intervals. Pure: arrays in, values out.

The problem is the unit that was sampled: rows of one problem (samples, hints) are a cluster and never count as
independent. A proportion with one row a problem has a Wilson interval; with more, a cluster-robust one. Flips compare a
problem's hinted rows with its own clean rows. Worst-of-k means nothing alone, so it comes beside both placebos: k
neutral texts, and k clean resamples. With `exact` False, gaps and effects have cluster-robust intervals in closed form
in place of the bootstrap: close to it on some hundred problems, and fast enough for hundreds of checkpoints.

The values are in `metric_types`, the statistics in `training.core.statistics`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from training.core.statistics import Interval, mcnemar, pass_at_k, worst_of_k_effect
from training.core.types import Condition
from training.evaluation.metric_types import Accuracy, AtK, Effect, Summary, WorstOfK
from training.evaluation.outcome_arrays import COUNTS, OutcomeArrays
from training.evaluation.paired_metrics import block_gaps
from training.evaluation.problem_blocks import Block, Floats, blocks, by_problem, mean_interval, share_interval, slices

Ints = NDArray[np.int64]


def summarise_target(cells: OutcomeArrays, target: str, suite: str) -> Summary:
    """All figures of one target on one suite; a ValueError where there are no cells of it."""
    block = next((b for b in blocks(cells.where(target=target)) if b.suite == suite), None)
    if block is None:
        raise ValueError(f"there are no cells of {target!r} on {suite!r}")
    return summarise_block(block)


def summarise_block(block: Block, *, exact: bool = True) -> Summary:
    """All figures of a block; not `exact`: without those of k samples."""
    return Summary(
        block.target, block.suite, tuple(_accuracies(block)), tuple(block_gaps(block, exact=exact)),
        _worst(block, exact), tuple(_at_k(block)) if exact else (),
    )  # fmt: skip


def accuracies(cells: OutcomeArrays) -> tuple[Accuracy, ...]:
    """Every slice target × suite × condition, and × type for hinted, in the order of the plan."""
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
            suggesting_problems=int(np.count_nonzero(at["suggesting"])),
        )  # fmt: skip


# ---------------------------------------------------------------------- worst of k


def _worst(block: Block, exact: bool) -> WorstOfK | None:
    hinted_P, count_P = _all_right(block.cells.where(condition=Condition.HINTED))
    asked = count_P[count_P > 0]
    if not len(asked):
        return None
    k = int(np.bincount(asked).argmax())
    whole_P = count_P == k
    whole = int(whole_P.sum())
    (neutral, against_neutral), (resampled, against_resampled) = (
        _beside(hinted_P, beside_P, whole_P & (n_P == k), exact)
        for beside_P, n_P in (
            _all_right(block.cells.where(condition=Condition.PLACEBO)),
            _all_resampled(block.cells.where(condition=Condition.CLEAN), k),
        )
    )
    return WorstOfK(
        block.target, block.suite, k, whole, len(asked) - whole, _mean_share(hinted_P[whole_P]), neutral, resampled,
        against_neutral, against_resampled,
    )  # fmt: skip


def _beside(
    hinted_P: Floats, beside_P: Floats, both_P: NDArray[np.bool_], exact: bool
) -> tuple[Interval | None, Effect | None]:
    if not both_P.any():
        return None, None
    return _mean_share(beside_P[both_P]), _effect(hinted_P[both_P], beside_P[both_P], exact)


def _mean_share(values: Floats) -> Interval:
    return share_interval(values, np.ones(len(values)), whole=bool(np.isin(values, (0, 1)).all()))[0]


def _effect(hinted: Floats, beside: Floats, exact: bool) -> Effect:
    """p is that of sign flips over problems; in closed form McNemar's, which is the same where all sizes are 1."""
    if exact:
        found = worst_of_k_effect([[x] for x in hinted.tolist()], [[x] for x in beside.tolist()])
        return Effect(found.effect, found.p_value, found.problems)
    differences = beside - hinted
    lost, won = np.maximum(differences, 0), np.maximum(-differences, 0)
    p_value = mcnemar(lost.tolist(), won.tolist(), single=bool(np.isin(differences, (-1, 0, 1)).all()))
    return Effect(mean_interval(differences, np.ones(len(differences))), p_value, len(differences))


def _all_right(cells: OutcomeArrays) -> tuple[Floats, Ints]:
    """`[P]` the product of each problem's rates, and how many prompts it has."""
    product, count = np.ones(len(cells.problems)), np.zeros(len(cells.problems), dtype=np.int64)
    np.multiply.at(product, cells.problem, cells.rate())
    np.add.at(count, cells.problem, 1)
    return product, count


def _all_resampled(clean: OutcomeArrays, k: int) -> tuple[Floats, Ints]:
    """`[P]` the product of k clean outcomes, the samples dealt to k places; 0 outcomes with fewer samples than k."""
    n = len(clean.problems)
    product, count = np.ones(n), np.zeros(n, dtype=np.int64)
    samples = clean.data["samples"].astype(np.int64)
    enough = (samples >= k) & (k > 1)
    if not enough.any():
        return product, count
    problem, bits, samples = clean.problem[enough], clean.data["bits"][enough], samples[enough]
    places = np.arange(int(samples.max()))
    right = (bits[:, None] >> places.astype(np.uint64) & np.uint64(1)).astype(float)
    there = places[None, :] < samples[:, None]
    for place in range(k):
        mine = there & (places % k == place)[None, :]
        product[problem] *= (right * mine).sum(1) / mine.sum(1)
    count[problem] = k
    return product, count


# ---------------------------------------------------------------------- k samples


def _at_k(block: Block) -> Iterator[AtK]:
    """For each slice k = 1, 2, 4, … and all samples."""
    for condition, hint_type in slices(block):
        part = block.cells.where(condition=condition, hint_type=hint_type)
        samples = int(part.data["samples"].min())
        ones = by_problem(part, np.ones(len(part)))
        avg, _ = share_interval(by_problem(part, part.data["right"]), by_problem(part, part.data["samples"]))
        for k in [*(2**i for i in range(samples.bit_length()) if 2**i < samples), samples]:
            passed, _ = share_interval(by_problem(part, _passed(part, k)), ones, whole=k == 1 == samples)
            majority = None
            if k == samples == int(part.data["samples"].max()):
                majority, _ = share_interval(by_problem(part, part.data["majority"]), ones, whole=k == 1)
            yield AtK(
                block.target, block.suite, condition, hint_type, k, int((ones > 0).sum()), avg, passed, majority
            )  # fmt: skip


def _passed(cells: OutcomeArrays, k: int) -> Floats:
    """pass@k of each cell; there are few different counts."""
    counts: Ints = np.stack([cells.data["samples"], cells.data["right"]], axis=1).astype(np.int64)
    kinds, which = np.unique(counts, axis=0, return_inverse=True)
    values = np.array([pass_at_k(n, right, k) for n, right in kinds.tolist()])
    return values[which.reshape(-1)]
