"""Training questions: generated from the families, or read from a JSONL file of {"question", "answer"}."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from pathlib import Path

from training.core.answers import answers_equal
from training.core.problems import FAMILIES, problem_stream
from training.core.types import AnswerKind, Problem, Split
from training.errors import UserError
from training.rundir.config import DataConfig


def make_problems(data: DataConfig) -> list[Problem]:
    """The seeded training pool of the configured families, in training phrasings."""
    families = None if data.families == "all" else [f.strip() for f in data.families.split(",") if f.strip()]
    unknown = [f for f in families or [] if f not in FAMILIES]
    if unknown:
        raise UserError(f"data.families: unknown family {', '.join(unknown)}. Known: {', '.join(FAMILIES)}; or 'all'.")
    return list(itertools.islice(problem_stream(data.seed, Split.TRAIN, families), data.pool))


def load_problems(path: Path) -> list[Problem]:
    """Problems of a JSONL file; a row without a verifiable answer is a UserError naming file and line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"Cannot read the problems in {path}: {error.strerror}. Check data.problems.") from error
    problems = [_problem(path, n, line) for n, line in enumerate(lines, 1) if line.strip()]
    if not problems:
        raise UserError(f"{path} holds no problem. Each line is a JSON object with 'question' and 'answer'.")
    return problems


def _problem(path: Path, number: int, line: str) -> Problem:
    try:
        row = json.loads(line)
        question, answer = str(row["question"]), str(row["answer"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}, line {number}: expected a JSON object with 'question' and 'answer' ({error})."
        ) from error
    gold = answer.rsplit("####", 1)[-1].strip()
    if answers_equal(gold, gold, AnswerKind.NUMBER) is not True:
        raise UserError(f"{path}, line {number}: the answer {gold[:40]!r} is not a number, so it cannot be verified.")
    digest = hashlib.sha256(question.encode()).hexdigest()[:12]
    quantities = tuple(int(n) for n in re.findall(r"\d{1,9}", question))
    names = tuple(dict.fromkeys(re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", question)))
    return Problem(
        f"file-{digest}", str(row.get("family", "imported")), question, gold, AnswerKind.NUMBER, answer,
        entities=names, quantities=quantities,
    )  # fmt: skip
