"""What the Traces page and `seirenes traces` do with a run's rollouts: open, ask, compare, go from flip to flip, take
one to Craft. No Qt, no SQL.

Write a selection of rollouts as JSONL or Parquet, under the column names of TRL's completions tables plus ours.

TRL's GRPOTrainer logs `step, prompt, completion, <one column a reward function>, advantage` and keeps the same as
`completions/completions_00001.parquet` (huggingface/trl, trl/trainer/grpo_trainer.py, `log`). Ours has one reward, so
its column is `reward`; every other column of the rollout database follows under its own name."""

from __future__ import annotations

import json
import math
import os
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, DraftProblem, Origin, new_draft, new_id
from seirenes_app.services.hint_authoring.problems import as_problem
from training.core.answers import parse_clock, parse_number
from training.core.implied_answer import read_suggestion
from training.core.problems import FAMILIES
from training.core.types import AnswerKind, HintType
from training.errors import UserError
from training.rollouts.reader import Cancelled, RolloutReader
from training.rollouts.search import Facets, Flip, RolloutQuery, TracePair
from training.runs.files import explained
from training.runs.paths import RunPaths

NOTEWORTHY = (Flip.HARMFUL, Flip.HELPFUL)
"""The flips that the keys for next and previous stop at."""


class TraceSource:
    """One run's rollouts, opened. May be used from several threads: see `training.rollouts.reader`.

    Opening raises a UserError that says which it is: no rollouts yet (wait, or start the run), or a damaged file.
    """

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._reader = RolloutReader(paths.rollouts)
        try:
            self._version = self._reader.version()
            self.facets()
        except UserError:
            self._reader.close()
            raise

    @property
    def paths(self) -> RunPaths:
        """The run that was opened."""
        return self._paths

    def facets(self) -> Facets:
        """What the run holds, for the filters."""
        return self._reader.facets()

    def first_page(self, query: RolloutQuery, limit: int = 100) -> list[dict[str, Any]]:
        """The first rows of the query's order."""
        return self._reader.first_page(query, limit)

    def ids(self, query: RolloutQuery, cancelled: Callable[[], bool] | None = None) -> array[int]:
        """The whole list, as ids; raises `training.rollouts.reader.Cancelled`."""
        return self._reader.ids(query, cancelled)

    def count(self, query: RolloutQuery) -> int:
        """How many rows the query has."""
        return self._reader.count(query)

    def rows(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """These rows, in this order; ids that are gone are left out."""
        return self._reader.rows(ids)

    def pair(self, id: int) -> TracePair:
        """A row with its counterparts."""
        return self._reader.pair(id)

    def next_flip(self, after: int, query: RolloutQuery, *, backwards: bool = False) -> int | None:
        """The id of the next harmful or helpful flip in time after that id, among the query's rows; None at the end.
        Where the query names flips, only those count; its sort is not heeded."""
        wanted = query if query.flips else replace(query, flips=tuple(map(str, NOTEWORTHY)))
        return self._reader.next_id(wanted, after, backwards=backwards)

    def grown(self) -> bool:
        """Whether rows came or went since the last call (or since opening): then ask again. Cheap; for a timer."""
        version, self._version = self._version, self._reader.version()
        return version != self._version

    def to_draft(self, row: dict[str, Any]) -> Draft:
        """A draft for Craft with the row's question, gold answer and, where it has one, its hint."""
        problem = DraftProblem(
            question=row["question"],
            answer=row["gold"],
            kind=_kind_of(row),
            source=self._paths.run_id,
            id=row["problem_id"],
            family=row["family"],
        )
        draft = replace(new_draft(problem), title=f"{self._paths.run_id}, step {row['step']}")
        if not row["hint"] or row["hint_type"] not in list(HintType):
            return draft
        type_ = HintType(row["hint_type"])
        hint = row["hint"].strip()
        author = self._paths.run_id
        candidate = DraftHint(new_id(), hint, type_, Origin.RUN, author, _suggested(hint, problem))
        return replace(draft, type=type_, hints=(candidate,), chosen=candidate.id)

    def interrupt(self) -> None:
        """End `ids`, `first_page` or `facets` under way in another thread."""
        self._reader.interrupt()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def _suggested(hint: str, problem: DraftProblem) -> str | None:
    """The wrong answer that the hint pushes; None where that cannot be told."""
    try:
        return read_suggestion(hint, as_problem(problem))
    except UserError:
        # A problem that Craft cannot check is still shown there, with what is wrong with it.
        return None


def _kind_of(row: dict[str, Any]) -> AnswerKind:
    """How the gold answer is compared. Rollouts do not keep it: the family knows, else the answer's own looks."""
    family, gold = FAMILIES.get(row["family"]), row["gold"]
    if family is not None:
        return family.kind
    if parse_number(gold) is not None:
        return AnswerKind.NUMBER
    if parse_clock(gold) is not None:
        return AnswerKind.CLOCK
    return AnswerKind.CHOICE if gold.strip().casefold() in row["question"].casefold() else AnswerKind.SYMBOLIC


BATCH_ROWS = 2_000
TRL_COLUMNS: dict[str, type] = {"step": int, "prompt": str, "completion": str, "reward": float, "advantage": float}
OUR_COLUMNS: dict[str, type] = {
    "id": int, "stage": str, "role": str, "group_key": str, "problem_id": str, "family": str, "question": str,
    "gold": str, "hint_id": str, "hint_type": str, "hint": str, "outcome": str, "tokens": int, "truncated": bool,
    "gate": str, "gate_reason": str, "follows_hint": bool, "logprob_mean": float, "seed": int, "trained": bool,
    "archived": bool, "clean_accuracy": float, "flip": str,
}  # fmt: skip
COLUMNS = TRL_COLUMNS | OUR_COLUMNS
FORMATS = (".jsonl", ".parquet")


def export_traces(
    book: TraceSource,
    ids: Sequence[int],
    file: Path,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> int:
    """Write the rows of `ids`, in their order, to FILE.jsonl or FILE.parquet (by its suffix); returns how many.

    The file appears whole or not at all: a cancelled export (`Cancelled` is raised) leaves nothing behind. A UserError
    for another suffix or a disk that refuses. `progress` hears rows done and in all.
    """
    kind = file.suffix.lower()
    if kind not in FORMATS:
        raise UserError(f"{file.name!r} names no format to export to. End it in .jsonl or .parquet.")
    written = 0
    with _replacing(file) as temporary, _sink(kind, temporary) as sink:
        for start in range(0, len(ids), BATCH_ROWS):
            if cancelled():
                raise Cancelled
            rows = [_exported(row) for row in book.rows(ids[start : start + BATCH_ROWS])]
            sink.write(rows)
            written += len(rows)
            progress(min(start + BATCH_ROWS, len(ids)), len(ids))
    return written


def _exported(row: dict[str, Any]) -> dict[str, Any]:
    """The row under the exported columns, each of its type; JSON knows no infinity, so neither format is given one."""
    found = {}
    for name, kind in COLUMNS.items():
        value = row.get(name)
        if isinstance(value, float) and not math.isfinite(value):
            value = None
        found[name] = None if value is None else kind(value)
    return found


@contextmanager
def _replacing(file: Path) -> Iterator[Path]:
    """A path beside `file` that takes its place when all went well and is gone when not."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with explained("Writing", file):
            yield temporary
            temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


class _Sink(ABC):
    """Takes rows in batches."""

    @abstractmethod
    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append them."""

    @abstractmethod
    def close(self) -> None:
        """Write what a reader needs at the end."""


class _Jsonl(_Sink):
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, rows: list[dict[str, Any]]) -> None:
        self._file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)

    def close(self) -> None:
        self._file.close()


class _Parquet(_Sink):
    def __init__(self, path: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        kinds = {int: pyarrow.int64(), str: pyarrow.string(), float: pyarrow.float64(), bool: pyarrow.bool_()}
        self._schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
        self._table = pyarrow.Table
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, rows: list[dict[str, Any]]) -> None:
        self._writer.write_table(self._table.from_pylist(rows, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


@contextmanager
def _sink(kind: str, path: Path) -> Iterator[_Sink]:
    sink: _Sink = _Jsonl(path) if kind == ".jsonl" else _Parquet(path)
    try:
        yield sink
    finally:
        sink.close()
