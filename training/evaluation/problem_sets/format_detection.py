"""Recognise how a set writes its problems, by its columns and the answers of its first rows. It opens no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from training.core.types import AnswerKind
from training.errors import UserError
from training.evaluation.problem_sets.types import ROLES, ColumnMapping, Layout, Row

SAMPLE = 20
"""Rows that are looked at."""
_QUESTIONS = ("question", "problem", "new_question", "prompt", "query", "input", "question_concat", "problem_statement")
_ANSWERS = ("answer", "final_answer", "final_ans", "gold", "target", "expected_answer", "label", "output")
_TYPES = ("type", "family", "perturbation_type", "problem_type", "subject", "category", "topic")
_IDS = ("id", "unique_id", "problem_id", "problem_idx")
_GROUPS = ("group", "original_id", "original_question", "seed_question")


def columns_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """All columns of some rows, in order of appearance."""
    return tuple(dict.fromkeys(str(name) for row in rows for name in row.cells))


def detect(rows: Sequence[Row]) -> tuple[Layout, ColumnMapping] | None:
    """The layout and the mapping of a set that begins with these rows; None where question or answer has no column."""
    named = {name.strip().casefold(): name for name in reversed(columns_of(rows))}
    rest = _rest(named, rows)
    if "body" in named and "question" in named and "answer" in named:
        story = ColumnMapping(named["question"], named["answer"], context=named["body"], **rest)
        return Layout.SVAMP, story
    question = _first(named, _QUESTIONS)
    answer = _first(named, _ANSWERS)
    solution = named.get("solution", "")
    if not question or not (answer or solution):
        return None
    mapping = ColumnMapping(question, answer, solution=solution, **rest)
    if question.strip().casefold() == "problem":
        return Layout.MATH, mapping
    marked = sum("####" in str(row.cells.get(answer, "")) for row in rows)
    return (Layout.GSM8K if marked * 2 > len(rows) else Layout.PLAIN), mapping


def _rest(named: Mapping[str, str], rows: Sequence[Row]) -> dict[str, str]:
    kind = named.get("kind", "")
    kinds: set[Any] = {row.cells.get(kind) for row in rows if isinstance(row.cells.get(kind), str)}
    return {
        "kind": kind if kinds and kinds <= {k.value for k in AnswerKind} else "",
        "type": _first(named, _TYPES),
        "id": _first(named, _IDS),
        "group": _first(named, _GROUPS),
    }


def _first(named: Mapping[str, str], names: Sequence[str]) -> str:
    return next((named[name] for name in names if name in named), "")


def read_mapping(pairs: Iterable[str], found: ColumnMapping | None = None) -> ColumnMapping:
    """The mapping of "role=column" texts over what was found. Raises a `UserError` that names the roles."""
    roles = found.columns() if found else {}
    for pair in pairs:
        role, sign, column = pair.partition("=")
        if not sign or role.strip() not in ROLES or not column.strip():
            raise UserError(f"--map {pair!r}: write role=column, where the role is one of {', '.join(ROLES)}.")
        roles[role.strip()] = column.strip()
    if "question" not in roles or not ("answer" in roles or "solution" in roles):
        raise UserError("The mapping lacks the question or the answer: --map question=COLUMN --map answer=COLUMN.")
    return ColumnMapping(**{"answer": "", **roles})


def unrecognised(origin: str, columns: Sequence[str]) -> str:
    """What to say where no layout fits."""
    listed = ", ".join(columns[:20]) or "none"
    return (
        f"{origin}: there is no question, or no answer, that its columns name ({listed}). "
        "Name them: --map question=COLUMN --map answer=COLUMN."
    )
