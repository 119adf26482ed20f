"""Write a selection of rollouts as JSONL or Parquet, under the column names of TRL's completions tables plus ours.

TRL's GRPOTrainer logs `step, prompt, completion, <one column a reward function>, advantage` and keeps the same as
`completions/completions_00001.parquet` (huggingface/trl, trl/trainer/grpo_trainer.py, `log`). Ours has one reward, so
its column is `reward`; every other column of the rollout database follows under its own name.
"""

from __future__ import annotations

import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seirenes_app.lab.traces import TraceBook
from training.errors import UserError
from training.rundir.disk import explained
from training.rundir.rollout_reader import Cancelled

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
    book: TraceBook,
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
