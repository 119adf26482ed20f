"""Open a file of problems by its content and not its name alone. Rows stream: no size is too large.

A source can be read more than once. It refuses, with the remedy, what is no table of rows at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from training.core.types import AnswerKind
from training.errors import UserError
from training.evaluation.problem_sets.json_rows import MAX_ROW, array_rows, document_rows, held_rows, line_rows
from training.evaluation.problem_sets.table_rows import csv_rows, parquet_rows
from training.evaluation.problem_sets.types import NOT_STATED, ColumnMapping, Row

_HEAD = 64 * 1024
_REFUSED = {
    b"\x1f\x8b": "is compressed with gzip. Unpack it first",
    b"PK\x03\x04": "is a ZIP archive or an Excel workbook. Unpack it, or save the sheet as CSV",
    b"\xff\xfe": "is text in UTF-16. Save it as UTF-8",
    b"\xfe\xff": "is text in UTF-16. Save it as UTF-8",
    b"%PDF": "is a PDF document. Problems are read from JSON, CSV and Parquet",
    b"SQLite format 3": "is a database. Export the table as CSV",
}


@dataclass(frozen=True)
class RowSource:
    """Rows that can be read again and again."""

    name: str
    """A short name for the set."""
    origin: str
    """File or hub address."""
    format: str
    rows: Callable[[], Iterator[Row]]
    """All rows from the first; raises a `UserError` where they cannot be read."""
    place: Callable[[Row], str]
    """Where a row is, in words."""
    licence: str = NOT_STATED
    mapping: ColumnMapping | None = None
    """Where the columns are known beforehand."""
    kind: AnswerKind | None = None
    """The kind of all its answers, where it is known beforehand."""


def open_file(path: Path) -> RowSource:
    """The file as rows. Raises a `UserError` for what is none: missing, a folder, an archive, empty."""
    if path.is_dir():
        raise UserError(f"{path} is a folder. Name a file of problems: JSON lines, JSON, CSV or Parquet.")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not head.strip():
        raise UserError(f"{path} holds no problem: it is empty. Each row needs a question and an answer.")
    for magic, words in _REFUSED.items():
        if head.startswith(magic):
            raise UserError(f"{path} {words}.")
    format_, reader = _reader(path, head)

    def rows() -> Iterator[Row]:
        try:
            yield from reader(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error

    def place(row: Row) -> str:
        return f"{path.name}, {f'line {row.line}' if row.line else f'row {row.number}'}"

    return RowSource(path.stem, str(path), format_, rows, place)


def _reader(path: Path, head: bytes) -> tuple[str, Callable[[Path], Iterator[Row]]]:
    suffix = path.suffix.lower()
    if head.startswith(b"PAR1"):
        return "Parquet", parquet_rows
    if suffix == ".parquet":
        raise UserError(f"{path} is no Parquet file, whatever its name says: it does not begin like one.")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"[" and suffix != ".jsonl":
        return "JSON", array_rows
    if start == b"{" and _is_document(path, suffix):
        return "JSON", document_rows
    if start == b"{" or suffix in (".jsonl", ".json", ".ndjson"):
        return "JSON lines", line_rows
    return "CSV", csv_rows


def _is_document(path: Path, suffix: str) -> bool:
    """Whether an object is the whole file and not the first of many lines."""
    with path.open("rb") as file:
        first = file.readline(MAX_ROW)
        while first and not first.strip():
            first = file.readline(MAX_ROW)
        more = file.read(1024).strip()
    try:
        entry = json.loads(first.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return suffix == ".json"
    return not more and held_rows(entry) is not None
