"""Open a file of problems by its content and not its name alone. Rows stream: no size is too large.

A source can be read more than once. It refuses, with the remedy, what is no table of rows at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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


class RowSource(Protocol):
    """Rows that can be read again and again."""

    @property
    def name(self) -> str:
        """A short name for the set."""
        ...

    @property
    def origin(self) -> str:
        """File or hub address."""
        ...

    @property
    def format(self) -> str:
        """ "CSV", "JSON lines" and so on."""
        ...

    @property
    def licence(self) -> str:
        """As stated, or `NOT_STATED`."""
        ...

    @property
    def mapping(self) -> ColumnMapping | None:
        """Where the columns are known beforehand."""
        ...

    @property
    def kind(self) -> AnswerKind | None:
        """The kind of all its answers, where it is known beforehand."""
        ...

    def rows(self) -> Iterator[Row]:
        """All rows from the first."""
        ...

    def place(self, row: Row) -> str:
        """Where a row stands, in words."""
        ...


@dataclass(frozen=True)
class FileSource:
    """Rows of a file."""

    path: Path
    format: str
    reader: Callable[[Path], Iterator[Row]]
    mapping: ColumnMapping | None = None
    licence: str = NOT_STATED
    kind: AnswerKind | None = None

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def origin(self) -> str:
        """The file."""
        return str(self.path)

    def rows(self) -> Iterator[Row]:
        """All rows; raises a `UserError` where the file cannot be read."""
        try:
            yield from self.reader(self.path)
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error.strerror or error}.") from error

    def place(self, row: Row) -> str:
        """File and line, or file and row where there are no lines."""
        return f"{self.path.name}, {f'line {row.line}' if row.line else f'row {row.number}'}"


def open_file(path: Path) -> FileSource:
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
    return FileSource(path, format_, reader)


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
