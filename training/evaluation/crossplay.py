"""Cross-play from cells: Reasoners of some checkpoints against hints of others, and what the matrix says. Pure.

Rows are Reasoners, columns the Adversaries that wrote the hints; every cell is an accuracy under hints on the same
problems, so cells, means and their differences are paired by problem.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.core.statistics import Interval
from training.evaluation.cells import Cells
from training.evaluation.plan import EvalPlan


@dataclass(frozen=True, slots=True)
class CrossCell:
    """One Reasoner under one writer's hints. `problems` 0 where nothing was solved yet."""

    reasoner: str
    writer: str
    suite: str
    problems: int
    rows: int
    accuracy: Interval
    follow: float | None


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

    `progress`: later half of the Reasoners − earlier half, over all writers. `attack`: hints of the later half of the
    writers − of the earlier half, over all Reasoners (negative: later hints are harder).
    `forgetting`: the last Reasoner against each earlier writer's hints − the best earlier Reasoner would be biased, so
    it is the last Reasoner − that writer's own contemporary (the diagonal), averaged over earlier writers; negative is
    forgetting. `cycling`: mean over Reasoners that have both sides of (against earlier writers − against later ones):
    near 0 with a wide interval says nothing; above 0, each beats the past better than the future, as in an arms race.
    """

    reasoners: tuple[str, ...]
    writers: tuple[str, ...]
    cells: tuple[tuple[CrossCell, ...], ...]
    clean: tuple[Interval | None, ...]
    """Clean accuracy of each Reasoner on the same problems."""
    row_means: tuple[Mean, ...]
    column_means: tuple[Mean, ...]
    diagonal: Mean | None
    steps: tuple[StepContrast, ...]
    progress: Contrast | None
    attack: Contrast | None
    forgetting: Contrast | None
    cycling: Contrast | None
    writing: tuple[tuple[str, float, int], ...]
    """(writer, share of its hints that passed the gates, problems × types it has a hint for)."""


def crossplay(plan: EvalPlan, cells: Cells, *, seed: int = 0) -> CrossPlay:
    """The matrix of a plan whose suites have writers; a ValueError where none has."""
    raise NotImplementedError
