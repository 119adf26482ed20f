"""Cross-play from cells: Reasoners of some checkpoints against hints of others, and what the matrix says. Pure.

Cells, means and their differences are paired by problem. A problem that a writer has no gated hint for is left out of
that writer's cells, and of no other's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np

from training.core.statistics import Interval, paired_bootstrap, sign_flip, wilson_clustered
from training.core.types import Condition
from training.evaluation.metric_types import UnreadShares
from training.evaluation.outcome_arrays import (
    NO_SHARE,
    Floats,
    OutcomeArrays,
    by_problem,
    negated,
    ratio,
    right_rates,
    share_interval,
)
from training.evaluation.plan import EvalPlan, SuiteRef


@dataclass(frozen=True, slots=True)
class CrossCell:
    """One Reasoner under one writer's hints. `problems` 0 where nothing was solved yet."""

    reasoner: str
    writer: str
    suite: str
    problems: int
    rows: int
    accuracy: Interval
    unread: UnreadShares = UnreadShares()


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a row or column over the other side, each cell with equal weight; interval over problems."""

    name: str
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class Contrast:
    """A paired difference over problems with its p (sign flips over problems); `cells` it averages over."""

    difference: Interval
    p_value: float
    cells: int


@dataclass(frozen=True, slots=True)
class StepContrast:
    """One Reasoner: accuracy against hints of earlier writers − against those of later ones; None at either end."""

    reasoner: str
    earlier: Interval | None
    later: Interval | None
    earlier_minus_later: Contrast | None


@dataclass(frozen=True, slots=True)
class CrossPlay:
    """The matrix `cells[i][j]` of Reasoner i under writer j's hints, both in the order of the plan (by step).

    `progress`: accuracy of the later half of the Reasoners − of the earlier half, over all writers; the middle one of
    an odd number is in neither. `attack`: under hints of the earlier half of the writers − of the later half, over all
    Reasoners; above 0: later hints are harder. `cycling`: over Reasoners that have both, accuracy under earlier
    writers' hints − under later ones'; above 0 each beats the past better than the future.
    `forgetting`: the last Reasoner − each earlier writer's own contemporary, under that writer's hints; below 0 it has
    forgotten. `cycling` and `forgetting` need Reasoners and writers of the same names. None of them, nor `steps`, is
    formed of models of several runs, which have no order.
    """

    reasoners: tuple[str, ...]
    writers: tuple[str, ...]
    cells: tuple[tuple[CrossCell, ...], ...]
    clean: tuple[Interval | None, ...]
    """Clean accuracy of each Reasoner on the same problems."""
    row_means: tuple[Mean | None, ...]
    column_means: tuple[Mean | None, ...]
    diagonal: Mean | None
    steps: tuple[StepContrast, ...]
    progress: Contrast | None
    attack: Contrast | None
    forgetting: Contrast | None
    cycling: Contrast | None
    needed: tuple[Interval | None, ...] = ()
    """The same with the question moved, so that text after it must be used; None where that was not asked."""


OWN_ADVERSARY = " (adversary)"


def own_adversary_name(checkpoint: str) -> str:
    """What the model of a checkpoint's Adversary is called where that is not its Reasoner's."""
    return f"{checkpoint}{OWN_ADVERSARY}"


def same_checkpoint(reasoner: str, writer: str) -> bool:
    """Whether Reasoner and writer are of one checkpoint, by their names."""
    return writer in (reasoner, own_adversary_name(reasoner))


def crossplay(plan: EvalPlan, cells: OutcomeArrays, *, seed: int = 0) -> CrossPlay:
    """The matrix of a plan whose suites have writers; a ValueError where none has."""
    columns = [suite for suite in plan.suites if suite.writer]
    if not columns:
        raise ValueError("this evaluation has no hints that one of its targets wrote")
    reasoners, writers = [t.name for t in plan.targets], [s.writer for s in columns]
    rates_RWP = np.full((len(reasoners), len(columns), len(cells.problems)), np.nan)
    # The same without cells that are mostly unread: they take part in no contrast.
    read_RWP = rates_RWP.copy()
    matrix = []
    for i, reasoner in enumerate(reasoners):
        parts = [cells.where(target=reasoner, suite=s.name, condition=Condition.HINTED) for s in columns]
        for j, part in enumerate(parts):
            rates_RWP[i, j] = right_rates(part)
            if not part.mostly_unread:
                read_RWP[i, j] = rates_RWP[i, j]
        matrix.append(tuple(map(_cell, repeat(reasoner), columns, parts)))
    # Which writer is the Reasoner itself; −1 where it wrote nothing.
    own = [next((j for j, writer in enumerate(writers) if same_checkpoint(name, writer)), -1) for name in reasoners]
    both = range(len(reasoners)), range(len(writers))
    last = len(reasoners) - 1
    old = [(i, j) for i, j in enumerate(own) if 0 <= j < own[last]]
    # Earlier and later are steps of one run: models of several runs have no order.
    ordered = len({t.run for t in plan.targets}) == 1
    attacks = ordered and len({plan.model(name).run for name in writers}) == 1
    return CrossPlay(
        tuple(reasoners),
        tuple(writers),
        tuple(matrix),
        tuple(_accuracy(cells.where(target=name), Condition.CLEAN) for name in reasoners),
        tuple(_mean(name, rates_RWP, [(i, j) for j in both[1]]) for i, name in enumerate(reasoners)),
        tuple(_mean(name, rates_RWP, [(i, j) for i in both[0]]) for j, name in enumerate(writers)),
        _mean("own hints", rates_RWP, [(i, j) for i, j in enumerate(own) if j >= 0]),
        tuple(_step(name, i, own[i], read_RWP, seed) for i, name in enumerate(reasoners) if attacks and own[i] >= 0),
        _halves(read_RWP, seed) if ordered else None,
        _turn(_halves(read_RWP.swapaxes(0, 1), seed)) if attacks else None,
        _contrast(read_RWP, [(last, j) for _, j in old], old, seed) if attacks else None,
        _cycling(read_RWP, own, seed) if attacks else None,
        tuple(_accuracy(cells.where(target=name), Condition.NEEDED) for name in reasoners),
    )


def _cell(reasoner: str, suite: SuiteRef, part: OutcomeArrays) -> CrossCell:
    rows_P = by_problem(part, part.data["samples"])
    if not len(part):
        return CrossCell(reasoner, suite.writer, suite.name, 0, 0, NO_SHARE)
    interval, _ = share_interval(by_problem(part, part.data["right"]), rows_P)
    return CrossCell(
        reasoner, suite.writer, suite.name, int((rows_P > 0).sum()), int(rows_P.sum()), interval, part.unread_shares
    )  # fmt: skip


def _accuracy(cells: OutcomeArrays, condition: Condition) -> Interval | None:
    part = cells.where(condition=condition)
    if not len(part):
        return None
    return share_interval(by_problem(part, part.data["right"]), by_problem(part, part.data["samples"]))[0]


Places = Sequence[tuple[int, int]]


def _averaged(rates_RWP: Floats, places: Places) -> Floats:
    """The mean over cells of each problem, `[P]`: cells without a hint for a problem are left out of its mean."""
    found = np.stack([rates_RWP[i, j] for i, j in places])
    there = np.isfinite(found)
    return ratio(np.where(there, found, 0).sum(0), there.sum(0))


def _mean(name: str, rates_RWP: Floats, places: Places) -> Mean | None:
    values = _averaged(rates_RWP, places) if places else np.empty(0)
    values = values[np.isfinite(values)]
    return Mean(name, wilson_clustered(values.tolist())) if len(values) else None


def _contrast(rates_RWP: Floats, first: Places, second: Places, seed: int) -> Contrast | None:
    """First − second, a problem at a time, on problems that have both."""
    if not first or not second:
        return None
    differences = _averaged(rates_RWP, first) - _averaged(rates_RWP, second)
    return _contrast_of(differences, len(first) + len(second), seed)


def _contrast_of(differences_P: Floats, cells: int, seed: int) -> Contrast | None:
    values = differences_P[np.isfinite(differences_P)].tolist()
    if not values:
        return None
    return Contrast(paired_bootstrap(values, seed=seed), sign_flip(values, seed=seed), cells)


def _step(name: str, i: int, own: int, rates_RWP: Floats, seed: int) -> StepContrast:
    before, after = [(i, j) for j in range(own)], [(i, j) for j in range(own + 1, rates_RWP.shape[1])]
    means = [_mean(name, rates_RWP, side) for side in (before, after)]
    earlier, later = (None if m is None else m.accuracy for m in means)
    return StepContrast(name, earlier, later, _contrast(rates_RWP, before, after, seed))


def _halves(rates_RWP: Floats, seed: int) -> Contrast | None:
    rows, columns = rates_RWP.shape[:2]
    half = rows // 2
    late = [(i, j) for i in range(rows - half, rows) for j in range(columns)]
    return _contrast(rates_RWP, late, [(i, j) for i in range(half) for j in range(columns)], seed)


def _turn(found: Contrast | None) -> Contrast | None:
    return replace(found, difference=negated(found.difference)) if found else None


def _cycling(rates_RWP: Floats, own: Sequence[int], seed: int) -> Contrast | None:
    """Each Reasoner has one voice, however many writers lie before and after it."""
    columns = rates_RWP.shape[1]
    inner = [(i, j) for i, j in enumerate(own) if 0 < j < columns - 1]
    if not inner:
        return None
    each = [
        _averaged(rates_RWP, [(i, k) for k in range(j)]) - _averaged(rates_RWP, [(i, k) for k in range(j + 1, columns)])
        for i, j in inner
    ]
    return _contrast_of(_averaged(np.stack(each)[:, None], [(n, 0) for n in range(len(each))]), len(inner), seed)
