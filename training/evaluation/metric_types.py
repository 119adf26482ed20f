"""The figures of an evaluation as values; `metrics` makes them. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from training.core.statistics import Interval, Needed
from training.core.types import UNREADABLE, Condition, HintType, Outcome


@dataclass(frozen=True, slots=True)
class UnreadShares:
    """Shares of answers that are neither right nor wrong: none could be read, or two were stated (`unreadable`); cut
    off before one (`truncated`); the checker's limit (`timed_out`); no answer at all, as the prompt did not fit the
    context (`too_long`), or a server's filter withheld it (`filtered`). They do not overlap."""

    unreadable: float = 0.0
    truncated: float = 0.0
    timed_out: float = 0.0
    too_long: float = 0.0
    filtered: float = 0.0

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> UnreadShares:
        """Of these outcomes; all 0 where there are none."""
        found = tuple(outcomes)
        n = max(1, len(found))
        return cls(
            sum(o in UNREADABLE for o in found) / n,
            sum(o is Outcome.TRUNCATED for o in found) / n,
            sum(o is Outcome.TIMED_OUT for o in found) / n,
            sum(o is Outcome.TOO_LONG for o in found) / n,
            sum(o is Outcome.FILTERED for o in found) / n,
        )

    @classmethod
    def of_rate(cls, rate: object) -> UnreadShares | None:
        """Of a rate in an `eval` event's metrics; None where it was written without them. Older ones have no
        `filtered`."""
        if not isinstance(rate, Mapping):
            return None
        found = [rate.get(name) for name in ("unparsable", "truncated", "timed_out", "too_long")]
        known = [float(x) for x in found if isinstance(x, int | float)]
        if len(known) < len(found):
            return None
        filtered = rate.get("filtered", 0.0)
        return replace(cls(*known), filtered=float(filtered)) if isinstance(filtered, int | float) else cls(*known)

    @property
    def total(self) -> float:
        return self.unreadable + self.truncated + self.timed_out + self.too_long + self.filtered

    @property
    def mostly(self) -> bool:
        """Whether most answers are unread: then accuracy says nothing of the model, and no effect is to be claimed."""
        return self.total > MOSTLY


MOSTLY = 0.5


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One slice: target × suite × condition × type (None: all types of the condition together).

    `interval` is the one to show: Wilson where every problem has one row (`clustered` False), cluster-robust else.
    Rates are shares of rows. `follow` is over the `suggesting` rows, whose hint suggests an answer and whose own answer
    could be read; None without any, and where most rows are unread.
    """

    target: str
    suite: str
    condition: Condition
    hint_type: HintType | None
    problems: int
    rows: int
    right: int
    interval: Interval
    clustered: bool
    unparsable: float
    truncated: float
    timed_out: float
    too_long: float
    follow: Interval | None
    suggesting: int
    suggesting_problems: int
    filtered: float = 0.0

    @property
    def unread(self) -> UnreadShares:
        # Rows of older versions count as truncated also where their outcome is another one.
        others = self.right / self.rows + self.unparsable + self.timed_out + self.too_long + self.filtered
        truncated = min(self.truncated, max(0.0, 1 - others))
        return UnreadShares(self.unparsable, truncated, self.timed_out, self.too_long, self.filtered)


@dataclass(frozen=True, slots=True)
class FlipRates:
    """Shares of pairs: a prompt with its problem's clean outcome. `harmful`: right clean and not beside the text;
    `helpful`: the reverse; `net` = harmful − helpful = the gap. `pairs` counts prompts, the others parts of them."""

    harmful: Interval
    helpful: Interval
    net: Interval
    both_right: Interval
    both_wrong: Interval
    pairs: int
    harmful_pairs: float
    helpful_pairs: float
    both_right_pairs: float
    both_wrong_pairs: float


@dataclass(frozen=True, slots=True)
class Gap:
    """Clean − perturbed on the same problems: of HINTED (type None: all types) or of PLACEBO.

    `gap` is the mean difference over pairs, its interval a bootstrap over problems; `p_value` is McNemar's, clustered
    where a problem has several pairs. `drop_rate` is PDR = 1 − perturbed / clean, None where nothing is right clean.
    `needed` says how many problems, and how many more than these, resolve a difference of this size at power 0.8.
    """

    target: str
    suite: str
    condition: Condition
    hint_type: HintType | None
    problems: int
    clean: float
    perturbed: float
    gap: Interval
    p_value: float
    drop_rate: Interval | None
    flips: FlipRates
    needed: Needed


@dataclass(frozen=True, slots=True)
class Effect:
    """All-right rate beside the placebo minus that under the hints, over `problems` that have both: above 0 the hints
    do harm beyond sampling noise. `p_value` by sign flips over problems."""

    difference: Interval
    p_value: float
    problems: int


@dataclass(frozen=True, slots=True)
class WorstOfK:
    """Share of problems that stay right under all of their k hints, beside k placebos and k clean resamples.

    `k` is the number of hints of a problem; problems with another number are left out (`left_out`). The placebos are
    None where the evaluation lacks them: neutral texts need PLACEBO, resamples need k clean samples of temperature
    above 0. Only an effect above 0 with a small p is an attack; `hinted` alone is not.
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
    hint_type: HintType | None
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
    hint_type: HintType | None
    problems: int
    accuracy_before: float
    accuracy_after: float
    difference: Interval
    p_value: float
    needed: Needed


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures of one target on one suite."""

    target: str
    suite: str
    accuracies: tuple[Accuracy, ...]
    gaps: tuple[Gap, ...]
    worst: WorstOfK | None
    at_k: tuple[AtK, ...]

    @property
    def mostly_unread(self) -> tuple[Accuracy, ...]:
        """The slices of which no effect is claimed."""
        return tuple(a for a in self.accuracies if a.unread.mostly)

    def accuracy(self, condition: Condition, hint_type: HintType | None = None) -> Accuracy | None:
        """That slice, None where nothing was asked."""
        wanted = (condition, hint_type)
        return next((a for a in self.accuracies if (a.condition, a.hint_type) == wanted), None)

    def gap(self, condition: Condition = Condition.HINTED, hint_type: HintType | None = None) -> Gap | None:
        """That gap, None where there is no pair."""
        wanted = (condition, hint_type)
        return next((g for g in self.gaps if (g.condition, g.hint_type) == wanted), None)
