"""Training questions: generated from the families, or read from a file, in which every row must be verifiable."""

import dataclasses
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path

from training.core.gym import DOMAINS
from training.core.other_words import draw_in_other_words
from training.core.problems import problem_stream, require_families
from training.core.types import AnswerKind, Problem, Split
from training.errors import UserError
from training.evaluation.problem_sets.importing import read_problem_set
from training.evaluation.problem_sets.sources import open_file
from training.evaluation.problem_sets.types import ReadOptions
from training.runs.config import OTHER_WORDS, DataConfig, RunConfig, further_questions
from training.runs.files import decode, expanded, read_text, write_whole


def run_problems(data: DataConfig, kept: Path, report: Callable[[int, int], None] | None = None) -> list[Problem]:
    """The training pool of a run.

    Problems of gym families are kept in the file `kept`, so that a run resumes with them, and is readable, whatever
    version of the package there is. `report` is called with (made, wanted).
    """
    if data.problems:
        return load_problems(Path(data.problems))
    if kept.is_file():
        return kept_problems(kept)
    problems = make_problems(data, report)
    if any(problem.family in DOMAINS for problem in problems):
        write_whole(kept, "".join(json.dumps(dataclasses.asdict(p), ensure_ascii=False) + "\n" for p in problems))
    return problems


def kept_problems(path: Path) -> list[Problem]:
    """The problems that `run_problems` kept."""
    lines = read_text(path).split("\n")
    return [decode(line, Problem, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line]


def make_problems(data: DataConfig, report: Callable[[int, int], None] | None = None) -> list[Problem]:
    """The seeded training pool of the configured families, in their training split."""
    families = None if data.families == "all" else [f.strip() for f in data.families.split(",") if f.strip()]
    try:
        require_families(families or [])
    except UserError as error:
        raise UserError(f"data.families: {error}") from error
    problems = []
    for problem in itertools.islice(problem_stream(data.seed, Split.TRAIN, families), data.pool):
        problems.append(problem)
        if report is not None:
            report(len(problems), data.pool)
    return problems


def anchor_problems(config: RunConfig) -> list[Problem]:
    """The questions of the clean anchor that are not of the training pool; none where it asks no others."""
    if not further_questions(config):
        return []
    source = config.reasoner.anchor_problems
    if source != OTHER_WORDS:
        return load_problems(Path(source), "reasoner.anchor_problems")
    rng = random.Random(f"{OTHER_WORDS}:{config.data.seed}")
    return [draw_in_other_words(rng) for _ in range(config.data.pool)]


def load_problems(path: Path, key: str = "data.problems") -> list[Problem]:
    """Problems of a file; a row without a verifiable answer is a UserError naming file and line. `key` is the option
    that names the file."""
    path = expanded(path)
    if not path.is_file():
        raise UserError(f"Cannot read the problems in {path}: there is no such file. Check {key}.")
    options = ReadOptions(kinds=frozenset({AnswerKind.NUMBER}), name="imported", split=Split.TRAIN)
    done = read_problem_set(open_file(path), options)
    if done.report.rejected:
        first, *others = done.report.rejected
        also = f" {len(others):,} more rows cannot be used either." if others else ""
        raise UserError(
            f"{path}, {first.place.rpartition(', ')[2]}: {first.reason}: {first.detail}.{also} Import it with "
            f"'seirenes problems import {path} -o OUT.jsonl', which leaves such rows out and says why."
        )
    return list(done.problems)
