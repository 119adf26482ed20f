"""Read an evaluation's rows and cells while they are written. Cannot write. Any thread may call it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from training.core.types import Outcome, PerturbationType
from training.evaluation.cells import Cells
from training.evaluation.plan import EvalKey
from training.evaluation.rows import Condition
from training.evaluation.store import PromptText, TraceRow


class StoreReader:
    """One `rows.db`. Every method raises a UserError that names the file for one that is missing or damaged."""

    def __init__(self, path: Path) -> None:
        raise NotImplementedError

    def cells(
        self,
        targets: Sequence[str] | None = None,
        suites: Sequence[str] | None = None,
        conditions: Sequence[Condition] | None = None,
    ) -> Cells:
        """The cells of all committed chunks, or of those; 500,000 take some 50 ms."""
        raise NotImplementedError

    def traces(
        self,
        *,
        target: str | None = None,
        suite: str | None = None,
        condition: Condition | None = None,
        hint_type: PerturbationType | None = None,
        item: int | None = None,
        outcomes: Sequence[Outcome] = (),
        limit: int = 200,
        offset: int = 0,
    ) -> list[TraceRow]:
        """Rows of a slice in the order of their keys, with problem and hint."""
        raise NotImplementedError

    def trace(self, key: EvalKey) -> TraceRow | None:
        """One row."""
        raise NotImplementedError

    def prompts(self, suite: str, item: int, condition: Condition) -> tuple[PromptText, ...]:
        """What is shown of an item under a condition, by index."""
        raise NotImplementedError

    def all_traces(self) -> Iterator[TraceRow]:
        """Every row in the order of the plan, for export."""
        raise NotImplementedError

    def done_chunks(self) -> frozenset[str]:
        """The keys of the chunks that are committed."""
        raise NotImplementedError

    def counts(self) -> tuple[int, int]:
        """(chunks, rows) committed."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """From another thread: end what is being read."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""
        raise NotImplementedError


def verify(path: Path) -> tuple[str, ...]:
    """What is wrong with the file, in words: cells that are not those of the rows, chunks whose rows are missing or too
    many, damage that SQLite finds. Empty where all is well."""
    raise NotImplementedError
