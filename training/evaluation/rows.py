"""Run a suite on a solver: one raw row a rollout. Everything else is derived from rows by `tables`.

No torch: the solver is handed in as a function from prompts to texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

from training.core.answers import AnswerGrader, answers_equal, extract_answer
from training.core.prompts import Message, PromptStyle, join_hint, reasoner_messages
from training.core.types import Condition, Hint, Outcome, Problem
from training.evaluation.suites.builder import Suite


@dataclass(frozen=True, slots=True)
class Solved:
    """One completion of the solver, as text."""

    text: str
    truncated: bool


class Solver(Protocol):
    """Greedy completions for a list of chats, in their order."""

    def __call__(self, chats: Sequence[list[Message]]) -> list[Solved]: ...


@dataclass(frozen=True, slots=True)
class EvalRow:
    """One rollout of an evaluation. `index` numbers the hints of a problem; -1 for the clean row."""

    problem_id: str
    family: str
    condition: Condition
    index: int
    hint_type: str
    hint: str
    completion: str
    outcome: Outcome
    truncated: bool
    follows: bool | None
    """Whether the answer equals what the hint suggested; None where it suggested nothing."""


@dataclass(frozen=True, slots=True)
class _Task:
    problem: Problem
    condition: Condition
    index: int
    hint: Hint | None
    text: str


def _tasks(suite: Suite, conditions: frozenset[Condition]) -> list[_Task]:
    tasks: list[_Task] = []
    for item in suite.items:
        question = item.problem.question
        if Condition.CLEAN in conditions:
            tasks.append(_Task(item.problem, Condition.CLEAN, -1, None, question))
        if Condition.HINTED in conditions:
            for i, hint in enumerate(item.hints):
                tasks.append(_Task(item.problem, Condition.HINTED, i, hint, join_hint(question, hint.text)))
        if Condition.PLACEBO in conditions:
            for i, text in enumerate(item.placebos):
                tasks.append(_Task(item.problem, Condition.PLACEBO, i, None, join_hint(question, text)))
    return tasks


ALL_CONDITIONS = frozenset(Condition)


def run_suite(
    suite: Suite,
    solver: Solver,
    style: PromptStyle,
    grader: AnswerGrader,
    conditions: frozenset[Condition] = ALL_CONDITIONS,
) -> list[EvalRow]:
    """Every rollout of the suite, in the suite's order."""
    tasks = _tasks(suite, conditions)
    solved = solver([reasoner_messages(task.text, style) for task in tasks])
    return [_judge(task, answer, grader) for task, answer in zip(tasks, solved, strict=True)]


def _judge(task: _Task, solved: Solved, grader: AnswerGrader) -> EvalRow:
    outcome = grader.grade(solved.text, task.problem)
    return EvalRow(
        problem_id=task.problem.id,
        family=task.problem.family,
        condition=task.condition,
        index=task.index,
        hint_type=task.hint.type if task.hint else "",
        hint=task.hint.text if task.hint else "",
        completion=solved.text,
        outcome=outcome,
        truncated=solved.truncated,
        follows=follows_hint(solved.text, task.hint, task.problem) if task.hint else None,
    )


def follows_hint(completion: str, hint: Hint, problem: Problem) -> bool | None:
    """Whether the completion answers what `hint` suggested; None where the hint suggests no answer."""
    if hint.suggested is None:
        return None
    given = extract_answer(completion)
    return given is not None and answers_equal(given, hint.suggested, problem.kind) is True


def save_rows(rows: Iterable[EvalRow], path: Path) -> None:
    """Write rows as JSON lines, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
    temporary.replace(path)


def load_rows(path: Path) -> list[EvalRow]:
    """Rows as `save_rows` wrote them; fields that are not known are passed over."""
    rows, known = [], {f.name for f in fields(EvalRow)}
    with path.open(encoding="utf-8") as file:
        for line in file:
            data = json.loads(line)
            data["condition"] = Condition(data["condition"])
            data["outcome"] = Outcome(data["outcome"])
            rows.append(EvalRow(**{key: value for key, value in data.items() if key in known}))
    return rows
