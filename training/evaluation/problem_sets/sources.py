"""Open a file of problems by its content and not its name alone: JSON lines, JSON, CSV, Parquet. Rows stream.

A damaged line is a damaged row and reading goes on; inside an array nothing after the damage can be separated, so the
rows end there and the last one says so. What is no table of rows at all is refused with the remedy.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from training.core.types import AnswerKind
from training.errors import UserError
from training.evaluation.problem_sets.types import NOT_STATED, ColumnMapping, Row, excerpt

MAX_ROW = 4 * 2**20
"""Bytes of a line, characters of an entry of an array."""
MAX_DOCUMENT = 256 * 2**20
_CHUNK = 2**20
_SPACE = " \t\r\n"


def line_rows(path: Path) -> Iterator[Row]:
    """One JSON object a line; empty lines are none."""
    with path.open("rb") as file:
        number = line = 0
        while data := file.readline(MAX_ROW + 1):
            line += 1
            if line == 1:
                data = data.removeprefix(b"\xef\xbb\xbf")
            if not data.strip():
                continue
            number += 1
            if len(data) > MAX_ROW:
                yield Row(number, line, damage=f"the line has more than {MAX_ROW >> 20} MiB", raw=_raw(data))
                while data and not data.endswith(b"\n"):
                    data = file.readline(MAX_ROW)
            else:
                yield _line(data, number, line)


def _line(data: bytes, number: int, line: int) -> Row:
    try:
        entry = json.loads(data.decode())
    except UnicodeDecodeError as error:
        return Row(number, line, damage=f"it is no text in UTF-8 (byte {error.start})", raw=_raw(data))
    except (ValueError, RecursionError) as error:
        return Row(number, line, damage=f"it is not JSON ({error})", raw=_raw(data))
    return _entry(entry, number, line)


def _raw(data: bytes) -> str:
    return excerpt(data[:400].decode(errors="replace"))


def _entry(entry: Any, number: int, line: int) -> Row:
    if not isinstance(entry, dict):
        return Row(number, line, damage="it is no object with named fields", raw=excerpt(str(entry)[:400]))
    return Row(number, line, entry)


class _Buffer:
    """What has been read of an array and not been taken yet, with the line on which it begins."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.text, self.at, self.line, self.ended = "", 0, 1, False

    def more(self) -> None:
        chunk = self._file.read(_CHUNK)
        self.text, self.at, self.ended = self.text[self.at :] + chunk, 0, not chunk

    def drop(self, end: int) -> None:
        self.line += self.text.count("\n", self.at, end)
        self.at = end

    def next_mark(self) -> str:
        """The next character that is no space, which stays; "" at the end."""
        while True:
            end = self.at
            while end < len(self.text) and self.text[end] in _SPACE:
                end += 1
            self.drop(end)
            if end < len(self.text) or self.ended:
                return self.text[end : end + 1]
            self.more()


def array_rows(path: Path) -> Iterator[Row]:
    """The objects of one array, each with the line on which it begins."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        buffer, number = _Buffer(file), 0
        buffer.next_mark()
        buffer.drop(buffer.at + 1)
        while (mark := buffer.next_mark()) != "]":
            number += 1
            line = buffer.line
            value, trouble = _value(buffer) if mark else (None, "the file ends in the middle")
            if trouble:
                yield Row(number, line, damage=f"from here on it is not JSON ({trouble})", raw=_rest(buffer))
                return
            yield _entry(value, number, line)
            if buffer.next_mark() == ",":
                buffer.drop(buffer.at + 1)
            elif buffer.next_mark() != "]":
                damage = "from here on it is not JSON (a comma is missing)"
                yield Row(number + 1, buffer.line, damage=damage, raw=_rest(buffer))
                return


def _rest(buffer: _Buffer) -> str:
    return excerpt(buffer.text[buffer.at : buffer.at + 400])


def _value(buffer: _Buffer) -> tuple[Any, str]:
    """The next entry and "", or why there is none."""
    decoder = json.JSONDecoder()
    while True:
        try:
            value, end = decoder.raw_decode(buffer.text, buffer.at)
        except (ValueError, RecursionError) as error:
            trouble = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            if buffer.ended or len(buffer.text) - buffer.at > MAX_ROW:
                return None, trouble
        else:
            # A number may go on in what has not been read.
            if end < len(buffer.text) or buffer.ended:
                buffer.drop(end)
                return value, ""
        buffer.more()


def document_rows(path: Path) -> Iterator[Row]:
    """The objects of the one array that a JSON document holds, such as {"rows": [...]}, or the document as one row."""
    if path.stat().st_size > MAX_DOCUMENT:
        raise UserError(f"{path} is one JSON document of more than {MAX_DOCUMENT >> 20} MiB. Save it as JSON lines.")
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: it is not JSON ({error}).") from error
    entries = held_rows(document)
    for number, entry in enumerate([document] if entries is None else entries, 1):
        # The viewer's download of a hub data set wraps each row.
        inner = entry.get("row") if isinstance(entry, dict) else None
        yield _entry(inner if isinstance(inner, dict) else entry, number, 0)


def held_rows(document: Any) -> list[Any] | None:
    """The only list of objects in a JSON object; None where there is none or several."""
    if not isinstance(document, dict):
        return None
    lists = [v for v in document.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    return lists[0] if len(lists) == 1 else None


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
    origin: str
    format: str
    rows: Callable[[], Iterator[Row]]
    """All rows from the first; raises a `UserError` where they cannot be read."""
    place: Callable[[Row], str]
    licence: str = NOT_STATED
    mapping: ColumnMapping | None = None
    kind: AnswerKind | None = None


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
    for magic, refusal in _REFUSED.items():
        if head.startswith(magic):
            raise UserError(f"{path} {refusal}.")
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
