"""Write an imported set as JSON lines that every reader here understands, and its report as JSON. Whole or not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from training.core.types import Problem
from training.errors import UserError
from training.evaluation.problem_sets.types import ImportReport


def problem_fields(problem: Problem) -> dict[str, str]:
    """A row of a written set. Names are those that are recognised when it is read again."""
    fields = {
        "id": problem.id, "question": problem.question, "answer": problem.answer, "kind": problem.kind.value,
        "type": problem.family, "solution": problem.solution,
    }  # fmt: skip
    return fields | ({"group": problem.template} if problem.template else {})


def write_problems(problems: Iterable[Problem], path: Path) -> int:
    """How many were written. Nothing stands at `path` before all are, and nothing is touched where there are none."""
    count = 0
    with _whole(path) as file:
        for problem in problems:
            file.write(json.dumps(problem_fields(problem), ensure_ascii=False) + "\n")
            count += 1
        if not count:
            raise _NothingError
    return count


class _NothingError(Exception):
    """Nothing to write; never leaves this module."""


@contextmanager
def _whole(path: Path) -> Iterator[IO[str]]:
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        temporary.replace(path)
    except _NothingError:
        temporary.unlink(missing_ok=True)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def report_fields(report: ImportReport) -> dict[str, Any]:
    """The report as JSON: the counts, then every row that was left out and every duplicate."""
    return {
        "source": report.source, "format": report.format, "layout": report.layout.value,
        "mapping": report.mapping.columns(), "licence": report.licence, "rows": report.rows,
        "imported": report.imported, "filtered": report.filtered, "limited": report.limited,
        "left_out": report.reasons(), "kinds": dict(report.kinds), "types": dict(report.types),
        "seconds": round(report.seconds, 3), "rejected": [asdict(r) for r in report.rejected],
        "duplicates": [asdict(d) for d in report.duplicates],
    }  # fmt: skip


def write_report(report: ImportReport, path: Path) -> None:
    """The report as a JSON file."""
    with _whole(path) as file:
        json.dump(report_fields(report), file, ensure_ascii=False, indent=1)
        file.write("\n")
