"""rows.db, the raw rows of an evaluation, and its one writer: SQLite in WAL mode, one transaction a chunk.

With a chunk's rows goes, in the same transaction, one blob of cells (`cells.PACKED`): what became of each prompt.
Cells can be derived from the rows, and `verify` says whether they agree. Nothing else that is derived is stored.
Problems and texts are kept once, so the file can be read without its suites.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.core.types import Outcome, PerturbationType, Problem
from training.evaluation.plan import Chunk, EvalKey, EvalPlan


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One completion. `answer` is what was read from it, empty where nothing could be; `tokens` counts the completion.

    `follows` says whether the answer equals what the hint suggested; None where it suggested nothing.
    """

    key: EvalKey
    outcome: Outcome
    answer: str
    follows: bool | None
    truncated: bool
    tokens: int
    completion: str


@dataclass(frozen=True, slots=True)
class PromptText:
    """What is shown beside an item's question: nothing (clean, index −1), a hint, or a placebo. `author` is the hint's
    template, `hand`, `model:NAME` or `run:ID`."""

    index: int
    text: str
    hint_type: PerturbationType | None = None
    suggested: str | None = None
    author: str = ""


@dataclass(frozen=True, slots=True)
class TraceRow:
    """A row with what it answered: for traces, flips side by side, and export."""

    row: StoredRow
    problem: Problem
    prompt: PromptText


class StoreWriter:
    """The writing side. One process at a time (the evaluation's lock sees to it)."""

    def __init__(self, path: Path, plan: EvalPlan) -> None:
        raise NotImplementedError

    def done_chunks(self) -> frozenset[str]:
        """The keys of the chunks that are committed."""
        raise NotImplementedError

    def commit(self, chunk: Chunk, rows: Sequence[StoredRow], seconds: float) -> None:
        """All rows of a chunk, its cells and its mark, in one transaction; a chunk that is there already is left."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""
        raise NotImplementedError
