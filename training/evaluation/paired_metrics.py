"""Paired figures from cells: clean against hinted or placebo on one target, and one target against another. Pure.

A pair is a prompt and what it is compared with: its problem's clean accuracy, or the same prompt on another target.
Pairs of one problem are a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.core.statistics import Interval, Needed, mcnemar, needed_problems, paired_bootstrap, pdr
from training.core.types import Condition, HintType
from training.evaluation.metric_types import Change, FlipRates, Gap
from training.evaluation.outcome_arrays import OutcomeArrays
from training.evaluation.problem_blocks import Block, Floats, blocks, mean_interval, share_interval, slices


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
        return _needed(*self.sums(self.clean - self.shown), self.single)

    def difference(self, seed: int) -> Interval:
        """Mean of clean − shown with its bootstrap over problems."""
        return paired_bootstrap((self.clean - self.shown).tolist(), self.problem.tolist(), seed=seed)


def pairs_of(block: Block, condition: Condition, hint_type: HintType | None) -> Pairs:
    """The block's prompts of a slice with their clean accuracy."""
    part = block.cells.where(condition=condition, hint_type=hint_type)
    clean = block.clean[part.problem]
    there = np.isfinite(clean)
    return Pairs(part.problem[there], clean[there], part.rate()[there])


# ---------------------------------------------------------------------- clean against hinted or placebo


def block_gaps(block: Block, *, exact: bool = True) -> Iterator[Gap]:
    """The gaps of one target on one suite: of all hints, of each type, and of the placebo."""
    rates, prompts = block.tables(block.cells.rate(), np.ones(len(block.cells)))
    greedy = bool((block.cells.data["samples"] == 1).all())
    for condition, hint_type in slices(block):
        prompts_P = prompts.of(condition, hint_type)
        there = np.isfinite(block.clean) & (prompts_P > 0)
        if condition is not Condition.CLEAN and there.any():
            sums = ProblemSums(block.clean[there], rates.of(condition, hint_type)[there], prompts_P[there], greedy)
            gap = pairs_of(block, condition, hint_type).difference(0) if exact else sums.gap()
            yield Gap(
                block.target, block.suite, condition, hint_type, len(sums.clean), sums.mean(sums.clean * sums.prompts),
                sums.mean(sums.shown), gap, sums.p_value(), sums.drop_rate(), sums.flips(gap), sums.needed(),
            )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class ProblemSums:
    """Arrays `[P]`, one entry a problem: its clean accuracy, the sum of its prompts' shares right, its prompts.

    `greedy`: every prompt has one sample.
    """

    clean: Floats
    shown: Floats
    prompts: Floats
    greedy: bool

    @property
    def lost(self) -> Floats:
        """Pairs that are right clean and wrong beside the text."""
        return self.clean * (self.prompts - self.shown)

    @property
    def won(self) -> Floats:
        """Pairs that are wrong clean and right beside the text."""
        return (1 - self.clean) * self.shown

    @property
    def single(self) -> bool:
        """Whether every problem has one pair of one sample each."""
        return self.greedy and bool((self.prompts == 1).all())

    def mean(self, sums: Floats) -> float:
        """The mean over pairs."""
        return float(sums.sum() / self.prompts.sum())

    def gap(self) -> Interval:
        """Mean of clean − shown over pairs, in closed form."""
        return mean_interval(self.clean * self.prompts - self.shown, self.prompts)

    def p_value(self) -> float:
        """McNemar's: exact for single pairs, else clustered."""
        return mcnemar(self.lost.tolist(), self.won.tolist(), single=self.single)

    def needed(self) -> Needed:
        """Problems that resolve the mean difference."""
        return _needed(self.clean * self.prompts - self.shown, self.prompts, self.single)

    def flips(self, net: Interval) -> FlipRates:
        """How often the text changes the outcome, both ways."""
        parts = [self.lost, self.won, self.clean * self.shown, (1 - self.clean) * (self.prompts - self.shown)]
        harmful, helpful, right, wrong = (share_interval(x, self.prompts, whole=self.greedy)[0] for x in parts)
        counts = [float(part.sum()) for part in parts]
        return FlipRates(harmful, helpful, net, right, wrong, round(float(self.prompts.sum())), *counts)

    def drop_rate(self) -> Interval | None:
        """PDR. Sums a problem are all that counts, so a problem's prompts may share its mean."""
        prompts = self.prompts.astype(int)
        alike = int(np.ptp(prompts)) == 0
        repeats = np.ones(len(prompts), dtype=int) if alike else prompts
        clean, shown = (np.repeat(np.minimum(v, 1.0), repeats).tolist() for v in (self.clean, self.shown / prompts))
        return pdr(clean, shown, None if alike else np.repeat(np.arange(len(prompts)), repeats).tolist())


def _needed(sums: Floats, sizes: Floats, single: bool) -> Needed:
    difference = float(sums.sum() / sizes.sum())
    if abs(difference) < 1e-12:
        return needed_problems(0.0, sd=0.0, have=len(sums))
    if single:
        return needed_problems(difference, discordance=float(np.abs(sums).mean()), have=len(sums))
    spread = float((sums / sizes).std(ddof=1)) if len(sums) > 1 else 1.0
    return needed_problems(difference, sd=spread, have=len(sums))


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
