"""The labelled hints that ship (`resources/hint_labels`), and how well a judge agrees with them.

`dev` is what the rules of the gates were written with; `test` was written without a look at what they do with it. Both
are new to a judge. No hint of either is ever shown to a model as an example, or trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from training.core.question_parser import find_entities, find_nouns, find_quantities
from training.core.statistics import Interval, wilson_clustered
from training.core.types import AnswerKind, HintType, Problem
from training.core.validity import Ruling
from training.errors import UserError
from training.resources import resources_folder

PARTS = ("dev", "test")
USEFUL = 0.9
"""What the lower limits of a judge's precision and recall must reach."""
_NOT_ASKED = ("leak_", "marker")
"""Classes that the first rules decide: giving the answer away does not change it."""


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


def labelled_hints(part: str) -> Iterator[LabelledHint]:
    """The hints of one part, in the order of the file. A UserError where it is not there."""
    for line, text in enumerate(_read(part).splitlines(), 1):
        fields = json.loads(text)
        question = fields["question"]
        problem = Problem(
            f"{part}-{line}", "typed", question, fields["gold"], AnswerKind(fields["kind"]), "",
            find_entities(question), find_nouns(question), find_quantities(question),
        )  # fmt: skip
        yield LabelledHint(
            part, line, problem, fields["hint"], HintType(fields["type"]), fields["label"] == "valid", fields["class"]
        )


def judged_hints(limit: int = 0) -> list[LabelledHint]:
    """The hints that a judge is measured on: all but those that give the answer away or carry markers.

    `limit` takes so many of them, spread evenly over valid and invalid ones and over the problems; 0 takes all.
    """
    found = [h for part in PARTS for h in labelled_hints(part) if not h.cls.startswith(_NOT_ASKED)]
    if not 0 < limit < len(found):
        return found
    halves = [[h for h in found if h.valid is valid] for valid in (True, False)]
    sizes = (limit - limit // 2, limit // 2)
    chosen = [half[i * len(half) // size] for half, size in zip(halves, sizes, strict=True) for i in range(size)]
    return sorted(chosen, key=lambda h: (PARTS.index(h.part), h.line))


@lru_cache
def labels_version() -> str:
    """A hash of the labelled hints: measurements are kept with it."""
    return hashlib.sha256("".join(map(_read, PARTS)).encode()).hexdigest()[:8]


def _read(part: str) -> str:
    path: Path = resources_folder() / "hint_labels" / f"{part}.jsonl"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"The labelled hints {path} cannot be read ({error.strerror}). Reinstall seirenes.") from error


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a judge agrees with labels. Positive is "changes the answer", and abstention refuses, as at the gate.

    `precision` is the share of refused hints that do change the answer, `recall` the share of those that do that are
    refused; both cluster by problem. `abstained` is the share that was not decided, `kappa` Cohen's (1960) between the
    labels and passing. `seconds` is what a hint takes.
    """

    n: int
    precision: Interval
    recall: Interval
    abstained: float
    agreement: float
    kappa: float
    seconds: float

    @property
    def useful(self) -> bool:
        """Whether the lower limits of precision and recall reach `USEFUL`."""
        return min(self.precision.low, self.recall.low) >= USEFUL


def measure_agreement(
    labels: Sequence[bool], rulings: Sequence[Ruling], problems: Sequence[str], seconds: float
) -> Agreement:
    """The figures of rulings on hints with these labels (True: valid); `problems` says which hints share one.

    `seconds` is what all took. ValueError where there is none, or the lengths differ.
    """
    if not labels or not len(labels) == len(rulings) == len(problems):
        raise ValueError("labels, rulings and problems must be as many, and at least one")
    n = len(labels)
    refused = [ruling is not Ruling.KEPT for ruling in rulings]
    rows = list(zip(labels, refused, problems, strict=True))
    agreement = sum(valid is not no for valid, no, _ in rows) / n
    invalid_share, refused_share = sum(not valid for valid in labels) / n, sum(refused) / n
    chance = invalid_share * refused_share + (1 - invalid_share) * (1 - refused_share)
    return Agreement(
        n,
        precision=_share([(not valid, problem) for valid, no, problem in rows if no]),
        recall=_share([(no, problem) for valid, no, problem in rows if not valid]),
        abstained=sum(ruling is Ruling.UNDECIDED for ruling in rulings) / n,
        agreement=agreement,
        kappa=(agreement - chance) / (1 - chance) if chance < 1 else 0.0,
        seconds=seconds / n,
    )


def false_pass_rate(rulings: Iterable[tuple[Ruling, str]]) -> tuple[Interval, int]:
    """The share of CHANGED among the decided, clustered by problem, and how many were decided."""
    decided = [(ruling is Ruling.CHANGED, problem) for ruling, problem in rulings if ruling is not Ruling.UNDECIDED]
    return _share(decided), len(decided)


def _share(rows: Sequence[tuple[bool, str]]) -> Interval:
    if not rows:
        return Interval(0.0, 0.0, 1.0)
    return wilson_clustered([float(holds) for holds, _ in rows], [problem for _, problem in rows])
