"""A suite as plain rows, one a prompt: clean, hinted and placebo, for files that other programs read. Pure."""

from __future__ import annotations

from typing import Any

from training.core.prompts import Placement, join_hint
from training.core.types import AnswerKind, Condition, HintType, Problem
from training.evaluation.suites.builder import Suite

Row = dict[str, Any]


def suite_rows(suite: Suite, placement: Placement) -> dict[Condition, list[Row]]:
    """The rows of each condition. `question` is what a solver is shown; `original` is the question alone."""
    rows: dict[Condition, list[Row]] = {condition: [] for condition in Condition}
    for item in suite.items:
        problem = item.problem
        rows[Condition.CLEAN].append(_row(problem, Condition.CLEAN, -1, problem.question))
        for index, hint in enumerate(item.hints):
            text = join_hint(problem.question, hint.text, placement)
            row = _row(problem, Condition.HINTED, index, text, hint.text, hint.type)
            rows[Condition.HINTED].append(row | {"suggested": hint.suggested or "", "written_by": hint.template})
        for index, placebo in enumerate(item.placebos):
            text = join_hint(problem.question, placebo, placement)
            type_ = item.hints[index].type if index < len(item.hints) else None
            rows[Condition.PLACEBO].append(_row(problem, Condition.PLACEBO, index, text, placebo, type_))
    return rows


def _row(
    problem: Problem,
    condition: Condition,
    index: int,
    text: str,
    added: str = "",
    type_: HintType | None = None,
) -> Row:
    """`hint` is what was added; `hint_type` of a placebo is that of the hint that it stands beside."""
    return {
        "id": f"{problem.id}/{condition}" + (f"/{index}" if index >= 0 else ""),
        "question": text,
        "answer": problem.answer,
        "kind": str(problem.kind),
        "problem_id": problem.id,
        "family": problem.family,
        "condition": str(condition),
        "index": index,
        "hint_type": str(type_ or ""),
        "hint": added,
        "suggested": "",
        "written_by": "",
        "original": problem.question,
    }


def comparable(rows: list[Row]) -> list[Row]:
    """Those whose answer a string can be compared with: not the symbolic ones."""
    return [row for row in rows if row["kind"] != AnswerKind.SYMBOLIC]
