"""Rows of JSON: one object a line, an array of objects, or one document that holds such an array. Streaming, by line.

A damaged line is a damaged row and reading goes on; inside an array nothing after the damage can be separated, so the
rows end there and the last one says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from training.errors import UserError
from training.evaluation.problem_sets.types import Row, excerpt

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
                _skip_line(file, data)
                yield Row(number, line, damage=f"the line has more than {MAX_ROW >> 20} MiB", raw=_raw(data))
            else:
                yield _line(data, number, line)


def _skip_line(file: IO[bytes], data: bytes) -> None:
    while data and not data.endswith(b"\n"):
        data = file.readline(MAX_ROW)


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
