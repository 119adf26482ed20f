"""Where the material of a suite comes from: a problem set, or the valid hints of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.core.archive import HintArchive
from training.core.implied_answer import read_suggestion
from training.core.symbolic import SymbolicCheck
from training.core.types import Hint, HintType, Outcome, Problem, Stage
from training.errors import UserError
from training.evaluation.problem_sets.hub import open_source
from training.evaluation.problem_sets.importing import read_problem_set
from training.evaluation.problem_sets.types import ProblemSet
from training.evaluation.suites.builder import RankedHint
from training.problem_files import kept_problems, load_problems, make_problems
from training.rollouts.reader import RolloutQuery, RolloutReader
from training.runs.config import load_config
from training.runs.paths import RunPaths

_PAGE = 500

Row = Mapping[str, Any]


def read_problems(source: str, sets_folder: Path) -> ProblemSet:
    """The problems of a file, a preset or a hub data set, those that can be verified."""
    opened = open_source(source, sets_folder)
    with SymbolicCheck() as symbolic:
        found = read_problem_set(opened, symbolic=symbolic)
    if not found.problems:
        first = found.report.rejected[0] if found.report.rejected else "it is empty"
        raise UserError(f"{source} holds no problem that can be verified ({first}). See: seirenes problems preview.")
    return found


@dataclass(frozen=True, slots=True)
class RunHints:
    """The valid hints of a run. `source` says in words where they were read, `step` is the newest one's."""

    hints: tuple[RankedHint, ...]
    source: str
    step: int
    mode: str


ToProblem = Callable[[Row, str], Problem | None]
"""The problem of a rollout row of the run of that id; None where it cannot be graded."""


def read_run_hints(paths: RunPaths, to_problem: ToProblem) -> RunHints:
    """The archive of a run's newest checkpoint that has one, else its rollouts. A UserError where neither."""
    config = load_config(paths.config)
    try:
        data = config.data
        if paths.problems.is_file():
            drawn = kept_problems(paths.problems)
        else:
            drawn = load_problems(Path(data.problems)) if data.problems else make_problems(data)
        pool = {problem.id: problem for problem in drawn}
    except UserError:
        # The rollouts know question and answer of every problem that was drawn.
        pool = {}
    for folder in sorted(paths.checkpoints.glob("step_*"), reverse=True):
        entries = _archive_entries(folder)
        if entries:
            hints = tuple(_ranked(entries, paths, pool, to_problem))
            return RunHints(hints, f"the archive of {folder.name}", _newest(hints), str(config.mode))
    found = tuple(_from_rollouts(paths, pool, to_problem))
    return RunHints(found, "the rollouts", _newest(found), str(config.mode))


def _newest(hints: Sequence[RankedHint]) -> int:
    return max((h.step for h in hints), default=0)


def _archive_entries(folder: Path) -> Sequence[Mapping[str, Any]]:
    try:
        state = json.loads((folder / "loop.json").read_text(encoding="utf-8"))["archive"]
        HintArchive.from_state(state)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ()
    entries: Sequence[Mapping[str, Any]] = state["entries"]
    return entries


def _ranked(
    entries: Sequence[Mapping[str, Any]], paths: RunPaths, pool: Mapping[str, Problem], to_problem: ToProblem
) -> Iterator[RankedHint]:
    """Archived hints; the less the Reasoner succeeds under one, the stronger it is."""
    known = dict(pool)
    if missing := {e["problem_id"] for e in entries} - pool.keys():
        try:
            for row in _rows(paths, Stage.CLEAN):
                if row["problem_id"] in missing:
                    _add_problem(known, row, paths, to_problem)
        except UserError:
            # No rollouts either: hints of these problems are left out.
            known = dict(pool)
    for entry in entries:
        if (problem := known.get(entry["problem_id"])) is not None:
            hint = _run_hint(paths, problem, entry["type"], entry["text"], entry["step"])
            yield RankedHint(problem, hint, 1.0 - float(entry["success"]), int(entry["step"]))


def _from_rollouts(paths: RunPaths, pool: Mapping[str, Problem], to_problem: ToProblem) -> Iterator[RankedHint]:
    """Hints with the drop from the clean solutions of the same question and step to the hinted ones."""
    found: dict[tuple[int, str, str, str], list[float]] = {}
    problems = dict(pool)
    for row in _rows(paths, Stage.HINTED):
        if row["clean_accuracy"] is not None and row["hint"]:
            key = (row["step"], row["problem_id"], row["hint_type"], row["hint"])
            found.setdefault(key, []).append(row["clean_accuracy"] - (row["outcome"] == Outcome.RIGHT))
            _add_problem(problems, row, paths, to_problem)
    for (step, id_, type_, text), drops in found.items():
        if id_ in problems:
            hint = _run_hint(paths, problems[id_], type_, text, step)
            yield RankedHint(problems[id_], hint, sum(drops) / len(drops), step)


def _add_problem(problems: dict[str, Problem], row: Row, paths: RunPaths, to_problem: ToProblem) -> None:
    if row["problem_id"] not in problems and (made := to_problem(row, paths.run_id)) is not None:
        problems[row["problem_id"]] = replace(made, id=row["problem_id"], family=row["family"])


def _run_hint(paths: RunPaths, problem: Problem, type_: str, text: str, step: int) -> Hint:
    text = text.strip()
    author = f"run:{paths.run_id}@{step}"
    return Hint(HintType(type_), text, author, suggested=read_suggestion(text, problem))


def _rows(paths: RunPaths, stage: Stage) -> Iterator[Row]:
    with closing(RolloutReader(paths.rollouts)) as reader:
        ids = reader.ids(RolloutQuery(stages=(str(stage),)))
        for start in range(0, len(ids), _PAGE):
            yield from reader.rows(ids[start : start + _PAGE])
