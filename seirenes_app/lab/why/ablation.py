"""Which sentence of a hint does it: each left out, and each alone, beside the whole hint and the clean question.

All variants are sampled with the same seed (common random numbers): sample i of every variant draws from the same
random stream, so two variants differ by their text and not by luck of the draw. The intervals do not count on that:
they are Newcombe's for independent samples, and so err on the wide side.
"""

from __future__ import annotations

from dataclasses import dataclass

from seirenes_app.inference.protocol import Finish
from seirenes_app.lab.why.sentences import Span
from training.core.statistics import Interval
from training.core.types import Outcome

ONE_SENTENCE = (
    "The hint is one sentence: leaving it out is the clean question, and having only it is the whole hint, so there is "
    "nothing to take apart."
)


@dataclass(frozen=True, slots=True)
class VariantSample:
    """One solution of a variant. `follows` tells whether it gives the answer that the hint suggests, None unknown."""

    index: int
    text: str
    outcome: Outcome
    answer: str
    follows: bool | None
    finish: Finish
    tokens: int
    logprob_mean: float


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One text shown to the solver, and how often its solutions were right so far, with Wilson limits.

    `text` is the joined text, `hint` the part of the hint that is in it. The accuracy of no samples is 0, within
    [0, 1].
    """

    hint: str
    text: str
    samples: tuple[VariantSample, ...]
    planned: int
    right: int
    accuracy: float
    low: float
    high: float

    @property
    def n(self) -> int:
        """How many samples there are so far."""
        return len(self.samples)


@dataclass(frozen=True, slots=True)
class AblationRow:
    """One sentence of the hint; `span` is its place in the hint.

    `delta_without` is the accuracy without it less the accuracy with the whole hint: above zero, it does harm.
    `delta_only` is the clean accuracy less the accuracy with it alone: above zero, it does harm by itself. Both are
    None while one of their two sides has no sample.
    """

    sentence: str
    span: Span
    without: VariantResult
    only: VariantResult
    delta_without: Interval | None
    delta_only: Interval | None


@dataclass(frozen=True, slots=True)
class AblationResult:
    """The table so far. `delta_full` is clean less the whole hint; `note` says what a person should know, or is empty.

    `worst` is the index of the sentence that does the most harm (by both deltas together), None where none does.
    """

    clean: VariantResult
    full: VariantResult
    rows: tuple[AblationRow, ...]
    delta_full: Interval | None
    worst: int | None
    note: str
    seconds: float
    complete: bool
    cancelled: bool
