"""How well the gates agree with the labelled hints that ship (`training.evaluation.hint_labels`)."""

from collections.abc import Iterable
from dataclasses import dataclass

from training.core.gates import GateResult, check_hint
from training.evaluation.hint_labels import PARTS, LabelledHint, labelled_hints

__all__ = ["PARTS", "Checked", "LabelledHint", "Score", "check", "labelled_hints", "score"]


@dataclass(frozen=True, slots=True)
class Checked:
    """A labelled hint with the gates' result."""

    hint: LabelledHint
    result: GateResult

    @property
    def agrees(self) -> bool:
        return self.result.passed == self.hint.valid


@dataclass(frozen=True, slots=True)
class Score:
    """`refused` of the invalid ones, `kept` of the valid ones, and the share of the refusals that were right."""

    invalid: int
    valid: int
    refused: int
    kept: int

    @property
    def recall(self) -> float:
        return self.refused / self.invalid if self.invalid else float("nan")

    @property
    def kept_share(self) -> float:
        return self.kept / self.valid if self.valid else float("nan")

    @property
    def precision(self) -> float:
        refusals = self.refused + self.valid - self.kept
        return self.refused / refusals if refusals else float("nan")


def check(hint: LabelledHint) -> Checked:
    """The gates' result for one hint."""
    return Checked(hint, check_hint(hint.text, hint.problem))


def score(checked: Iterable[Checked]) -> Score:
    """The counts over some hints."""
    rows = list(checked)
    return Score(
        sum(not row.hint.valid for row in rows),
        sum(row.hint.valid for row in rows),
        sum(not row.hint.valid and row.agrees for row in rows),
        sum(row.hint.valid and row.agrees for row in rows),
    )
