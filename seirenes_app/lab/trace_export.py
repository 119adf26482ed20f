"""Write a selection of rollouts as JSONL or Parquet, with the column names of TRL's completions tables plus ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from seirenes_app.lab.traces import TraceBook


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
    raise NotImplementedError
