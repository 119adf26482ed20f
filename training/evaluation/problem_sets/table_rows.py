"""Rows of tables: CSV with a header, and Parquet. Both stream; what cannot be read is a damaged row with its line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.evaluation.problem_sets.types import Row, excerpt

_BATCH = 1024


def csv_rows(path: Path) -> Iterator[Row]:
    """Rows below a header. Commas, semicolons or tabs, whichever the header has most of."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first = file.readline(2**20)
        file.seek(0)
        reader = csv.reader(file, delimiter=max(",;\t", key=first.count))
        header = _header(path, reader)
        number = 0
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(number + 1, line, damage=f"the table ends here: {error}")
                return
            if any(cell.strip() for cell in cells):
                number += 1
                yield _row(header, cells, number, line)


def _header(path: Path, reader: Any) -> list[str]:
    try:
        header = [cell.strip() for cell in next(reader, [])]
    except csv.Error as error:
        raise UserError(f"{path}, line 1: the header of the table cannot be read ({error}).") from error
    double = next((name for n, name in enumerate(header) if name and name in header[:n]), "")
    if double:
        raise UserError(f"{path}, line 1: two columns are called {excerpt(double)!r}. Rename one.")
    return header


def _row(header: list[str], cells: list[str], number: int, line: int) -> Row:
    if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
        damage = f"it has {len(cells)} cells and the header {len(header)}: a cell with a separator needs quotes"
        return Row(number, line, damage=damage, raw=excerpt(" | ".join(cells)))
    return Row(number, line, {name: cell for name, cell in zip(header, cells, strict=False) if name})


def parquet_rows(path: Path) -> Iterator[Row]:
    """Rows of a Parquet file, batch by batch."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                for cells in batch.to_pylist():
                    number += 1
                    yield Row(number, 0, cells)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        where = f" after row {number}" if number else ""
        raise UserError(f"{path} is damaged{where}: it cannot be read as Parquet ({reason}).") from error
