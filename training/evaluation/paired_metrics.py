"""Paired figures from cells: clean against perturbed on one target, and one target against another. Pure.

A pair is a prompt and what it is compared with: its problem's clean accuracy, or the same prompt on another target.
Pairs of one problem are a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.core.statistics import Interval, Needed, flips, mcnemar, needed_problems, paired_bootstrap, pdr
from training.core.types import Condition, HintType
from training.evaluation.metric_types import Change, FlipRates, Gap
from training.evaluation.outcome_arrays import OutcomeArrays
from training.evaluation.problem_blocks import Block, Floats, blocks, slices


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Arrays `[N]`, one entry a pair: its problem, the outcome before (clean) and after (`shown`), as shares right."""

    problem: NDArray[np.int32]
    clean: Floats
    shown: Floats

    def sums(self, values: Floats) -> tuple[Floats, Floats]:
        """(sum of `values`, pairs) of each problem that has any."""
        sizes = np.bincount(self.problem)
        there = sizes > 0
        sums: Floats = np.bincount(self.problem, weights=values)[there].astype(float)
        return sums, sizes[there].astype(float)

    @property
    def single(self) -> bool:
        """Whether every problem has one pair of one sample each."""
        whole = bool(np.isin(self.clean, (0, 1)).all() and np.isin(self.shown, (0, 1)).all())
        return whole and len(np.unique(self.problem)) == len(self.problem)

    def p_value(self) -> float:
        """McNemar's: exact for single pairs, else clustered."""
        lost, _ = self.sums(self.clean * (1 - self.shown))
        won, _ = self.sums((1 - self.clean) * self.shown)
        return mcnemar(lost.tolist(), won.tolist(), single=self.single)

    def needed(self) -> Needed:
        """Problems that resolve the mean difference."""
        sums, sizes = self.sums(self.clean - self.shown)
        difference = float(sums.sum() / sizes.sum())
        if abs(difference) < 1e-12:
            return needed_problems(0.0, sd=0.0, have=len(sums))
        if self.single:
            return needed_problems(difference, discordance=float(np.abs(sums).mean()), have=len(sums))
        spread = float((sums / sizes).std(ddof=1)) if len(sums) > 1 else 1.0
        return needed_problems(difference, sd=spread, have=len(sums))

    def difference(self, seed: int) -> Interval:
        """Mean of clean − shown with its bootstrap over problems."""
        return paired_bootstrap((self.clean - self.shown).tolist(), self.problem.tolist(), seed=seed)


def pairs_of(block: Block, condition: Condition, hint_type: HintType | None = None) -> Pairs | None:
    """The block's prompts of a slice with their clean accuracy; None where none has one."""
    part = block.cells.where(condition=condition, hint_type=hint_type)
    clean = block.clean[part.problem]
    there = np.isfinite(clean)
    if not there.any():
        return None
    return Pairs(part.problem[there], clean[there], part.rate()[there])


# ---------------------------------------------------------------------- clean against perturbed


def gaps(cells: OutcomeArrays, *, seed: int = 0) -> tuple[Gap, ...]:
    """Every target × suite: the gap of all hints, of each type, and of the placebo."""
    return tuple(g for block in blocks(cells) for g in block_gaps(block, seed))


def block_gaps(block: Block, seed: int) -> Iterator[Gap]:
    """The gaps of one target on one suite."""
    for condition, hint_type in slices(block):
        if condition is Condition.CLEAN:
            continue
        pairs = pairs_of(block, condition, hint_type)
        if pairs is not None:
            yield _gap(block, condition, hint_type, pairs, seed)


def _gap(block: Block, condition: Condition, hint_type: HintType | None, pairs: Pairs, seed: int) -> Gap:
    clean, shown, clusters = pairs.clean.tolist(), pairs.shown.tolist(), pairs.problem.tolist()
    found = flips(clean, shown, clusters, seed=seed)
    counted = FlipRates(
        found.harmful, found.helpful, found.net, found.pairs,
        harmful_pairs=float((pairs.clean * (1 - pairs.shown)).sum()),
        helpful_pairs=float(((1 - pairs.clean) * pairs.shown).sum()),
        both_right_pairs=float((pairs.clean * pairs.shown).sum()),
        both_wrong_pairs=float(((1 - pairs.clean) * (1 - pairs.shown)).sum()),
    )  # fmt: skip
    return Gap(
        block.target, block.suite, condition, hint_type, len(np.unique(pairs.problem)), float(pairs.clean.mean()),
        float(pairs.shown.mean()), found.net, pairs.p_value(), pdr(clean, shown, clusters), counted, pairs.needed(),
    )  # fmt: skip


# ---------------------------------------------------------------------- one target against another


def changes(cells: OutcomeArrays, before: str, after: str, *, seed: int = 0) -> tuple[Change, ...]:
    """Two targets of one evaluation on every slice that both have. Slices without a common prompt are left out."""
    found = []
    for block in blocks(cells.where(target=before)):
        other = cells.where(target=after, suite=block.suite)
        for condition, hint_type in slices(block):
            change = change_between(block.cells, other, condition, hint_type, seed=seed) if len(other) else None
            if change is not None:
                found.append(change)
    return tuple(found)


def change_between(
    before: OutcomeArrays,
    after: OutcomeArrays,
    condition: Condition,
    hint_type: HintType | None = None,
    *,
    seed: int = 0,
) -> Change | None:
    """One target's cells against another's, also out of two evaluations of the same suite: matched by problem and
    index; None without a common prompt. A ValueError unless each side is one target on one suite."""
    first, suite = _only(before)
    second, _ = _only(after)
    one, other = (side.where(condition=condition, hint_type=hint_type) for side in (before, after))
    there = dict(zip(_prompts(other), other.rate().tolist(), strict=True))
    places = [i for i, prompt in enumerate(_prompts(one)) if prompt in there]
    if not places:
        return None
    keys = _prompts(one)
    # "clean − shown" of a pair is before − after: the sign is turned at the end.
    pairs = Pairs(one.problem[places], one.rate()[places], np.array([there[keys[i]] for i in places]))
    lost = pairs.difference(seed)
    return Change(
        first, second, suite, condition, hint_type, len(np.unique(pairs.problem)), float(pairs.clean.mean()),
        float(pairs.shown.mean()), _turned(lost), pairs.p_value(), pairs.needed(),
    )  # fmt: skip


def _turned(found: Interval) -> Interval:
    # Not −x: that makes −0.0 of 0.0, and it would be shown as -0.
    return Interval(0.0 - found.mean, 0.0 - found.high, 0.0 - found.low)


def _prompts(cells: OutcomeArrays) -> list[tuple[str, int]]:
    return [(cells.problems[p], i) for p, i in zip(cells.problem.tolist(), cells.data["index"].tolist(), strict=True)]


def _only(cells: OutcomeArrays) -> tuple[str, str]:
    targets, suites = set(cells.target.tolist()), set(cells.suite.tolist())
    if len(targets) != 1 or len(suites) != 1:
        raise ValueError("a change is between one target on one suite and another")
    return cells.targets[targets.pop()], cells.suites[suites.pop()]
