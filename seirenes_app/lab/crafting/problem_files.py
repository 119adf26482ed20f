"""Read files of problems: JSON lines, GSM8K, SVAMP and CSV. Rows that cannot be checked are rejected with their reason.

It refuses a file as a whole only when nothing in it can be read. It never runs anything that a file holds.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seirenes_app.lab.crafting.documents import DraftProblem
from training.core.answers import MAX_ANSWER, parse_clock, parse_number
from training.core.types import AnswerKind
from training.errors import UserError

MAX_BYTES = 100 * 2**20
QUESTION_FIELDS = ("question", "problem", "prompt", "query", "input", "question_concat")
ANSWER_FIELDS = ("answer", "final_ans", "final_answer", "target", "label", "output", "solution")
# GSM8K's calculator notes: <<48/2=24>>.
_CALCULATOR = re.compile(r"<<[^<>\n]{0,200}>>")

_Row = tuple[int, dict[str, Any] | str]
"""A line's number, and its fields or why there are none."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was left out. `line` counts from 1; in a JSON array it is the entry's number."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class LoadedProblems:
    """What a file gave."""

    problems: tuple[DraftProblem, ...]
    rejected: tuple[Rejected, ...]


@dataclass
class _Sorting:
    problems: list[DraftProblem] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def load_problem_file(path: Path) -> LoadedProblems:
    """All problems of a file, by its content and not its name alone.

    Raises a `UserError` when it cannot be read, or holds no problem at all.
    """
    text = _read(path)
    sorting = _Sorting()
    for line, row in _rows(path, text):
        made = row if isinstance(row, str) else _problem(row, path.name)
        if isinstance(made, str):
            sorting.rejected.append(Rejected(line, made))
        else:
            sorting.problems.append(made)
    if not sorting.problems:
        first = sorting.rejected[0] if sorting.rejected else None
        why = f"line {first.line}: {first.reason}" if first else "it is empty"
        raise UserError(
            f"{path} holds no problem ({why}). Each row needs a question and an answer: JSON lines "
            '{"question": …, "answer": …}, GSM8K, SVAMP, or CSV with a header.'
        )
    return LoadedProblems(tuple(sorting.problems), tuple(sorting.rejected))


def _read(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(f"{path} has {size / 2**20:.0f} MiB; at most {MAX_BYTES >> 20} are read. Split the file.")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def _rows(path: Path, text: str) -> Iterator[_Row]:
    start = text.lstrip()[:1]
    if start == "[":
        return _array_rows(path, text)
    return _line_rows(text) if start == "{" or path.suffix.lower() in (".jsonl", ".json") else _table_rows(text)


def _array_rows(path: Path, text: str) -> Iterator[_Row]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: it is not JSON ({error}).") from error
    for number, entry in enumerate(entries, 1):
        yield number, entry if isinstance(entry, dict) else "it is no object"


def _line_rows(text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, f"it is not JSON ({error})"
            continue
        yield number, entry if isinstance(entry, dict) else "it is no object"


def _table_rows(text: str) -> Iterator[_Row]:
    lines = csv.reader(io.StringIO(text), delimiter=_delimiter(text))
    header: list[str] | None = None
    try:
        for cells in lines:
            if header is None:
                header = [cell.strip() for cell in cells]
            elif any(cell.strip() for cell in cells):
                yield lines.line_num, dict(zip(header, cells, strict=False))
    except csv.Error as error:
        yield lines.line_num, f"the table ends here: {error}"


def _delimiter(text: str) -> str:
    first = text.split("\n", 1)[0]
    return max(",;\t", key=first.count)


def _problem(row: dict[str, Any], source: str) -> DraftProblem | str:
    """The problem of a row, or why there is none."""
    fields = {str(name).strip().casefold(): value for name, value in row.items()}
    question, answer = _question(fields), _text(fields, ANSWER_FIELDS)
    if not question:
        return f"there is no question (fields: {', '.join(fields)[:80]})"
    if not answer:
        return "there is no answer"
    gold = answer.rsplit("####", 1)[-1].strip()
    kind = _kind(fields, gold, question)
    if kind is None:
        return f"the answer {gold[:40]!r} cannot be checked: it is no number, no time and no word of the question"
    solution = _CALCULATOR.sub("", answer) if "####" in answer else ""
    name = _text(fields, ("id",))
    return DraftProblem(question, gold, kind, source, name, _text(fields, ("family", "type")), solution)


def _question(fields: dict[str, Any]) -> str:
    """SVAMP keeps the story in Body and what is asked in Question."""
    question, body = _text(fields, QUESTION_FIELDS), _text(fields, ("body",))
    if not body or question.startswith(body):
        return question
    return f"{body}{'' if body.endswith(('.', '!', '?')) else '.'} {question}"


def _text(fields: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = fields.get(name)
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return ""


def _kind(fields: dict[str, Any], gold: str, question: str) -> AnswerKind | None:
    told = str(fields.get("kind", ""))
    if told in list(AnswerKind):
        kind = AnswerKind(told)
        return kind if _readable(gold, kind) else None
    for kind in (AnswerKind.NUMBER, AnswerKind.CLOCK):
        if _readable(gold, kind):
            return kind
    word = gold.rstrip(".").casefold()
    return AnswerKind.CHOICE if word and len(word) <= MAX_ANSWER and word in question.casefold() else None


def _readable(gold: str, kind: AnswerKind) -> bool:
    if kind is AnswerKind.NUMBER:
        return parse_number(gold) is not None
    if kind is AnswerKind.CLOCK:
        return parse_clock(gold) is not None
    return bool(gold) and len(gold) <= MAX_ANSWER
