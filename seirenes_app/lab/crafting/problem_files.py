"""Files of problems for crafting, read as every import is read (`training.evaluation.problem_sets`).

It refuses a file as a whole only when nothing in it can be used. It never runs anything that a file holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seirenes_app.lab.crafting.documents import DraftProblem
from training.core.answers import ANSWER_MARKER
from training.core.symbolic import SymbolicCheck
from training.core.types import AnswerKind, Problem
from training.errors import UserError
from training.evaluation.problem_sets import values
from training.evaluation.problem_sets.importing import read_problem_set
from training.evaluation.problem_sets.sources import open_file
from training.evaluation.problem_sets.values import ColumnMapping, ReadOptions, Reason

MAX_BYTES = 100 * 2**20
"""All problems of a file are held at once."""
_INFERRED = frozenset(AnswerKind) - {AnswerKind.SYMBOLIC}
_UNCHECKED = (Reason.UNREADABLE, Reason.MANY_ANSWERS)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was left out. `line` counts from 1; where a file has no lines it is the row's number."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class LoadedProblems:
    """What a file gave."""

    problems: tuple[DraftProblem, ...]
    rejected: tuple[Rejected, ...]


def load_problem_file(path: Path) -> LoadedProblems:
    """All problems of a file, by its content and not its name alone.

    Raises a `UserError` when it cannot be read, or holds no problem at all.
    """
    if path.is_file() and (size := path.stat().st_size) > MAX_BYTES:
        raise UserError(f"{path} has {size / 2**20:.0f} MiB; at most {MAX_BYTES >> 20} are read. Split the file.")
    with SymbolicCheck() as symbolic:
        done = read_problem_set(open_file(path), ReadOptions(kinds=_INFERRED), symbolic)
    mapping = done.report.mapping
    rejected = tuple(Rejected(r.line or r.row, _reason(r, mapping)) for r in done.report.rejected)
    if not done.problems:
        first = rejected[0]
        raise UserError(
            f"{path} holds no problem (line {first.line}: {first.reason}). Each row needs a question and an answer: "
            'JSON lines {"question": …, "answer": …}, GSM8K, SVAMP, CSV with a header, or Parquet.'
        )
    return LoadedProblems(tuple(_draft(p, path.name, mapping) for p in done.problems), rejected)


def _reason(rejected: values.Rejected, mapping: ColumnMapping) -> str:
    if rejected.reason in _UNCHECKED:
        return f"the answer cannot be checked: {rejected.detail}"
    if rejected.reason is Reason.DAMAGED:
        return rejected.detail
    missing = "question" if repr(mapping.question) in rejected.detail else "answer"
    told = f"there is no {missing}" if rejected.reason is Reason.NO_COLUMN else str(rejected.reason)
    return f"{told}: {rejected.detail}"


def _draft(problem: Problem, source: str, mapping: ColumnMapping) -> DraftProblem:
    """Ids and families that the reader made up stay out of a draft, and so does a solution that is an answer alone."""
    worked = problem.solution.rpartition(ANSWER_MARKER)[0].strip()
    return DraftProblem(
        question=problem.question,
        answer=problem.answer,
        kind=problem.kind,
        source=source,
        id=problem.id if mapping.id else "",
        family=problem.family if mapping.type else "",
        solution=problem.solution if worked else "",
    )
