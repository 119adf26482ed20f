"""A labelled set of hints under `tests/data/hints`, and how well the gates agree with it.

`dev` is what the rules were written with; `test` was written without a look at what they do with it, and is only
reported on.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from training.core.gates import GateResult, check_hint
from training.core.question_parser import find_entities, find_nouns, find_quantities
from training.core.types import AnswerKind, HintType, Problem

FOLDER = Path(__file__).resolve().parents[1] / "data" / "hints"
PARTS = ("dev", "test")


@dataclass(frozen=True, slots=True)
class LabelledHint:
    """One hint with its problem. `valid` says whether the true answer stays, and is not given away."""

    part: str
    line: int
    problem: Problem
    text: str
    type: HintType
    valid: bool
    cls: str

    @property
    def place(self) -> str:
        """Where the label stands."""
        return f"{self.part}.jsonl:{self.line}"


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


def labelled_hints(part: str) -> Iterator[LabelledHint]:
    """The hints of one part, in the order of the file."""
    for line, text in enumerate((FOLDER / f"{part}.jsonl").read_text(encoding="utf-8").splitlines(), 1):
        fields = json.loads(text)
        question = fields["question"]
        problem = Problem(
            f"{part}-{line}", "typed", question, fields["gold"], AnswerKind(fields["kind"]), "",
            find_entities(question), find_nouns(question), find_quantities(question),
        )  # fmt: skip
        yield LabelledHint(
            part, line, problem, fields["hint"], HintType(fields["type"]), fields["label"] == "valid", fields["class"]
        )


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
