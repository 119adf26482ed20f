"""A labelled set of completions under `tests/data/answers`, and how well the answer reader agrees with it."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from training.core.answer_reader import ReadAnswer, Reading, read_answer, same_value
from training.core.types import AnswerKind

FOLDER = Path(__file__).resolve().parents[1] / "data" / "answers"
OUTCOME_OF_READING = {
    Reading.NOTHING: "unparsable",
    Reading.AMBIGUOUS: "ambiguous",
    Reading.TRUNCATED: "truncated",
}


@dataclass(frozen=True, slots=True)
class Completion:
    """One labelled completion. `answer` is the stated answer, empty where there is none; `options` belong to a choice."""

    style: str
    line: int
    text: str
    gold: str
    kind: AnswerKind
    question: str
    truncated: bool
    outcome: str
    answer: str
    note: str
    options: tuple[str, ...]

    @property
    def place(self) -> str:
        """Where the label stands."""
        return f"{self.style}.jsonl:{self.line}"


@dataclass(frozen=True, slots=True)
class Compared:
    """A completion with what was read from it."""

    item: Completion
    read: ReadAnswer

    @property
    def found(self) -> bool:
        """Whether an answer was read."""
        return self.read.reading is Reading.FOUND

    @property
    def agrees(self) -> bool:
        """Whether the labelled answer was read."""
        return self.found and bool(self.item.answer) and self._equals(self.item.answer)

    @property
    def outcome(self) -> str:
        """The outcome that the reading leads to."""
        if not self.found:
            return OUTCOME_OF_READING[self.read.reading]
        return "right" if self._equals(self.item.gold, self.item.question) else "wrong"

    def _equals(self, value: str, question: str = "") -> bool:
        if self.item.kind is AnswerKind.SYMBOLIC:
            return "".join(self.read.answer.split()) == "".join(value.split())
        return bool(same_value(self.read.answer, value, self.item.kind, question))


@dataclass(frozen=True, slots=True)
class Score:
    """Precision counts the answers read; recall counts the completions that state an answer."""

    items: int
    found: int
    labelled: int
    agreed: int
    outcomes: int

    @property
    def precision(self) -> float:
        """Share of the answers read that equal the label."""
        return self.agreed / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of the labelled answers that were read."""
        return self.agreed / self.labelled if self.labelled else 1.0

    @property
    def outcome_agreement(self) -> float:
        """Share of the items with the labelled outcome."""
        return self.outcomes / self.items if self.items else 1.0


def labelled_completions() -> Iterator[Completion]:
    """All labelled completions, in the order of the files."""
    for path in sorted(FOLDER.glob("*.jsonl")):
        for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            fields = json.loads(text)
            fields["kind"] = AnswerKind(fields["kind"])
            fields["options"] = tuple(fields.get("options", ()))
            yield Completion(path.stem, line, **fields)


def compare(item: Completion) -> Compared:
    """Read one completion."""
    read = read_answer(
        item.text, item.kind, question=item.question, options=item.options, truncated=item.truncated
    )  # fmt: skip
    return Compared(item, read)


def score(compared: Iterable[Compared]) -> Score:
    """The counts over some completions."""
    rows = list(compared)
    return Score(
        len(rows),
        sum(row.found for row in rows),
        sum(bool(row.item.answer) for row in rows),
        sum(row.agrees for row in rows),
        sum(row.outcome == row.item.outcome for row in rows),
    )
