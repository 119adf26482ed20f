"""Derive every figure of an evaluation from its cells, with intervals. Pure: cells in, values out.

The problem is the unit that was sampled: rows of one problem (samples, hints) are a cluster and never count as
independent. A proportion with one row a problem has a Wilson interval; with more, a cluster-robust one. Paired
differences are taken a problem and resampled over problems. Flips compare a problem's hinted rows with its own clean
rows. Worst-of-k means nothing alone, so it comes beside both placebos: k neutral texts, and k clean resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.core.statistics import Interval
from training.core.types import PerturbationType
from training.evaluation.cells import Cells
from training.evaluation.rows import Condition


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One slice: target × suite × condition × type (None: all types of the condition together).

    `interval` is the one to show: Wilson where every problem has one row (`clustered` False), cluster-robust else.
    Rates are shares of rows. `follow` is over the `suggesting` rows, whose hint suggests an answer; None without any.
    """

    target: str
    suite: str
    condition: Condition
    hint_type: PerturbationType | None
    problems: int
    rows: int
    right: int
    interval: Interval
    clustered: bool
    unparsable: float
    truncated: float
    timed_out: float
    follow: Interval | None
    suggesting: int


@dataclass(frozen=True, slots=True)
class FlipRates:
    """Shares of pairs (a problem's clean sample, its hinted row of the same sample number). `harmful`: right clean and
    not hinted; `helpful`: the reverse; `net` = harmful − helpful = the gap. Counts are of pairs."""

    harmful: Interval
    helpful: Interval
    net: Interval
    harmful_pairs: int
    helpful_pairs: int
    both_right_pairs: int
    both_wrong_pairs: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Clean − perturbed on the same problems: of HINTED (type None: all types) or of PLACEBO.

    `gap` is the mean difference a problem with its bootstrap over problems; `p_value` is McNemar's, clustered where a
    problem has several pairs. `drop_rate` is PDR = 1 − perturbed / clean, None where nothing is right clean.
    `needed_problems`: how many more problems would resolve a difference of this size at power 0.8; 0 where it is
    resolved already, None where there is no difference at all.
    """

    target: str
    suite: str
    condition: Condition
    hint_type: PerturbationType | None
    problems: int
    clean: float
    perturbed: float
    gap: Interval
    p_value: float
    drop_rate: Interval | None
    flips: FlipRates
    needed_problems: int | None


@dataclass(frozen=True, slots=True)
class Effect:
    """All-right rate under k hints minus that under k placebos, a problem; `p_value` by sign flips over problems."""

    difference: Interval
    p_value: float


@dataclass(frozen=True, slots=True)
class WorstOfK:
    """Share of problems that stay right under all of their k hints, beside k placebos and k clean resamples.

    `k` is the number of hints of a problem; problems with another number are left out (`left_out`). The placebos are
    None where the evaluation lacks them: neutral texts need PLACEBO, resamples need k clean samples of temperature
    above 0. Only an effect below 0 with a small p is an attack; `hinted` alone is not.
    """

    target: str
    suite: str
    k: int
    problems: int
    left_out: int
    hinted: Interval
    neutral: Interval | None
    resampled: Interval | None
    against_neutral: Effect | None
    against_resampled: Effect | None


@dataclass(frozen=True, slots=True)
class AtK:
    """k samples a prompt: `avg` mean correctness, `passed` pass@k (unbiased), `majority` maj@k over all the samples
    (ties split evenly; None unless k is all samples)."""

    target: str
    suite: str
    condition: Condition
    hint_type: PerturbationType | None
    k: int
    problems: int
    avg: Interval
    passed: Interval
    majority: Interval | None


@dataclass(frozen=True, slots=True)
class Change:
    """`after` − `before` of one slice on the prompts that both answered: two targets, paired by problem."""

    before: str
    after: str
    suite: str
    condition: Condition
    hint_type: PerturbationType | None
    problems: int
    accuracy_before: float
    accuracy_after: float
    difference: Interval
    p_value: float
    needed_problems: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures of one target on one suite."""

    target: str
    suite: str
    accuracies: tuple[Accuracy, ...]
    gaps: tuple[Gap, ...]
    worst: WorstOfK | None
    at_k: tuple[AtK, ...]

    def accuracy(self, condition: Condition, hint_type: PerturbationType | None = None) -> Accuracy | None:
        """That slice, None where nothing was asked."""
        wanted = (condition, hint_type)
        return next((a for a in self.accuracies if (a.condition, a.hint_type) == wanted), None)

    def gap(self, condition: Condition = Condition.HINTED, hint_type: PerturbationType | None = None) -> Gap | None:
        """That gap, None where there is no pair."""
        wanted = (condition, hint_type)
        return next((g for g in self.gaps if (g.condition, g.hint_type) == wanted), None)


def accuracies(cells: Cells) -> tuple[Accuracy, ...]:
    """Every slice target × suite × condition, and × type for hinted, in the order of the plan. For charts over many
    targets: all of them at once, in well under 300 ms for 200 × 5 × 500 cells."""
    raise NotImplementedError


def gaps(cells: Cells, *, seed: int = 0) -> tuple[Gap, ...]:
    """Every target × suite: the gap of all hints, of each type, and of the placebo."""
    raise NotImplementedError


def gap_series(cells: Cells, *, seed: int = 0) -> dict[tuple[str, str, PerturbationType | None], Interval]:
    """(target, suite, type or None) → the paired gap alone, for charts over many targets: one set of resamples of the
    problems serves all of them, so 200 targets take a fraction of a second."""
    raise NotImplementedError


def worst_of_k(cells: Cells, *, seed: int = 0) -> tuple[WorstOfK, ...]:
    """Every target × suite that has hints."""
    raise NotImplementedError


def at_k(cells: Cells, ks: Sequence[int] | None = None) -> tuple[AtK, ...]:
    """Every slice for each k (None: 1, 2, 4, … and all samples). Empty for k above the samples there are."""
    raise NotImplementedError


def changes(cells: Cells, before: str, after: str, *, seed: int = 0) -> tuple[Change, ...]:
    """Two targets of one evaluation on every slice that both have. Slices without a common prompt are left out."""
    raise NotImplementedError


def change_between(
    before: Cells, after: Cells, condition: Condition, hint_type: PerturbationType | None = None, *, seed: int = 0
) -> Change | None:
    """One target's cells against another's, also out of two evaluations of the same suite: matched by problem and
    index; None without a common prompt. A ValueError unless each side is one target on one suite."""
    raise NotImplementedError


def summarise_target(cells: Cells, target: str, suite: str, *, seed: int = 0) -> Summary:
    """All figures of one target on one suite; a ValueError where there are no cells of it."""
    raise NotImplementedError
