"""What `seirenes eval` and `seirenes crossplay` print: tables for a person, JSON for a program, rows as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from training.core.statistics import Interval
from training.evaluation.crossplay import CrossPlay
from training.evaluation.derive import Accuracy, Change, Gap, Summary
from training.evaluation.folder import EvalPaths
from training.evaluation.plan import EvalPlan, SuiteRef, Target
from training.evaluation.rows import Condition
from training.evaluation.store import TraceRow
from training.evaluation.store_reader import StoreReader
from training.evaluation.tables import metrics_of
from training.rundir.disk import write_whole

# ---------------------------------------------------------------------- JSON


def result_fields(paths: EvalPaths, plan: EvalPlan, reader: StoreReader) -> dict[str, Any]:
    """One target on one suite in the fields of old, and all of them in `results`."""
    cells = reader.cells()
    results = [
        _one_result(plan, target, suite, reader) | {"metrics": metrics_of(cells, target.name, suite.name)}
        for target in plan.targets
        for suite in plan.suites
        if len(cells.where(target=target.name, suite=suite.name))
    ]
    first = results[0] if len(results) == 1 else {}
    return {**first, "evaluation": paths.run_id, "root": str(paths.root), "results": results}


def _one_result(plan: EvalPlan, target: Target, suite: SuiteRef, reader: StoreReader) -> dict[str, Any]:
    writing = reader.meta(f"writing/{suite.name}")
    return {
        "model": target.path, "target": target.name, "run": target.run or None, "step": target.step,
        "suite": suite.name, "suite_hash": suite.digest or None, "problems": suite.problems,
        "hints_from": plan.model(suite.writer).path if suite.writer else None,
        "writing": json.loads(writing) if writing else None,
    }  # fmt: skip


def save_traces(rows: Iterable[TraceRow], path: Path) -> None:
    """Write rows as JSON lines, whole or not at all: the fields of a run's own evaluation, and a few more."""
    lines = [json.dumps(_row_fields(row), ensure_ascii=False) for row in rows]
    write_whole(path, "".join(line + "\n" for line in lines))


def _row_fields(found: TraceRow) -> dict[str, Any]:
    key, row, prompt = found.row.key, found.row, found.prompt
    return {
        "problem_id": found.problem.id, "family": found.problem.family, "condition": key.condition, "index": key.index,
        "hint_type": prompt.hint_type or "", "hint": prompt.text if key.condition is Condition.HINTED else "",
        "completion": row.completion, "outcome": row.outcome, "truncated": row.truncated, "follows": row.follows,
        "target": key.target, "suite": key.suite, "item": key.item, "sample": key.sample, "answer": row.answer,
        "gold": found.problem.answer, "shown": found.shown, "tokens": row.tokens,
    }  # fmt: skip


def crossplay_fields(paths: EvalPaths, matrix: CrossPlay) -> dict[str, Any]:
    """The matrix and what it says, whole."""
    return {"evaluation": paths.run_id, "root": str(paths.root), **asdict(matrix)}


# ---------------------------------------------------------------------- tables


def percents(found: Interval, sign: str = "") -> Text:
    """A share as per cent with its limits; these have a decimal where a whole number would hide that they are not 0."""
    decimals = 1 if any(0 < abs(100 * limit) < 1 for limit in (found.low, found.high)) else 0
    # Adding zero makes −0 a 0.
    low, high = (f"{round(100 * limit, decimals) + 0.0:{sign}.{decimals}f}" for limit in (found.low, found.high))
    return Text(f"{100 * found.mean:{sign}.1f} [{low}, {high}]")


def p_words(p: float) -> str:
    """A p-value to one figure that matters; below a thousandth only that."""
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def summary_table(summary: Summary, title: str) -> Table:
    """All slices of one target on one suite with their gap to clean, and worst-of-k: the placebos' gap is to hints."""
    table = _table(title)
    for heading in ("", "right", "% right [95%]", "gap, points [95%]", "p"):
        table.add_column(heading, no_wrap=True)
    for accuracy in summary.accuracies:
        gap = summary.gap(accuracy.condition, accuracy.hint_type)
        table.add_row(*_accuracy_cells(accuracy, gap))
    worst = summary.worst
    if worst is not None:
        table.add_section()
        table.add_row(f"all {worst.k} hints", _count(worst.hinted, worst.problems), percents(worst.hinted))
        for name, share, effect in (
            (f"all {worst.k} placebos", worst.neutral, worst.against_neutral),
            (f"all {worst.k} clean resamples", worst.resampled, worst.against_resampled),
        ):
            if share is not None and effect is not None:
                table.add_row(
                    name, _count(share, effect.problems), percents(share), percents(effect.difference, "+"),
                    p_words(effect.p_value),
                )  # fmt: skip
    return table


def _table(title: str) -> Table:
    """Tight, so that eighty columns hold the figures whole."""
    return Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def _count(share: Interval, n: int) -> str:
    return f"{round(share.mean * n)}/{n}"


def _accuracy_cells(found: Accuracy, gap: Gap | None) -> tuple[str | Text, ...]:
    name = found.condition if found.hint_type is None else f"  {found.hint_type.replace('_', ' ')}"
    right = f"{found.right}/{found.rows}"
    if gap is None:
        return name, right, percents(found.interval), "", ""
    return name, right, percents(found.interval), percents(gap.gap, "+"), p_words(gap.p_value)


def samples_table(summary: Summary) -> Table:
    """avg@k, pass@k and maj@k of the conditions as a whole."""
    table = _table("k samples of each prompt, %")
    for heading in ("", "k", "avg@k [95%]", "pass@k [95%]", "maj@k [95%]"):
        table.add_column(heading, no_wrap=True)
    for found in (a for a in summary.at_k if a.hint_type is None):
        majority = percents(found.majority) if found.majority else ""
        table.add_row(found.condition, str(found.k), percents(found.avg), percents(found.passed), majority)
    return table


def notes(summary: Summary) -> list[str]:
    """Sentences below the table: rates that spoil an evaluation, and how many problems are missing."""
    clean, hinted = summary.accuracy(Condition.CLEAN), summary.accuracy(Condition.HINTED)
    found = []
    for accuracy in (a for a in (clean, hinted) if a is not None):
        spoiled = [
            f"{100 * share:.1f}% {name}"
            for name, share in (("without a readable answer", accuracy.unparsable), ("cut off", accuracy.truncated))
            if share
        ]
        if spoiled:
            found.append(f"{str(accuracy.condition).capitalize()} completions: {', '.join(spoiled)}.")
    if hinted is not None and hinted.follow is not None:
        found.append(f"Hints that suggest an answer were followed in {100 * hinted.follow.mean:.1f}% of cases.")
    gap = summary.gap()
    if gap is not None and gap.drop_rate is not None:
        found.append(f"Performance drop rate: {100 * gap.drop_rate.mean:.1f}%.")
    if gap is not None and not gap.gap.low <= 0 <= gap.gap.high:
        return found
    if gap is not None and gap.needed.more:
        found.append(f"The gap is not resolved: this {gap.needed.sentence}.")
    return found


def targets_table(summaries: list[Summary], title: str) -> Table:
    """One row a target."""
    table = _table(title)
    for heading in ("target", "clean, %", "hinted, %", "placebo, %", "gap, points [95%]"):
        table.add_column(heading, no_wrap=heading != "target", overflow="fold")
    for summary in summaries:
        found = (summary.accuracy(c) for c in Condition)
        gap = summary.gap()
        cells = [Text(f"{100 * a.interval.mean:.1f}") if a else Text("") for a in found]
        table.add_row(Text(summary.target), *cells, percents(gap.gap, "+") if gap else "")
    return table


def changes_table(changes: Sequence[Change]) -> Table:
    """First target against last."""
    first = changes[0]
    table = _table(f"{first.after} against {first.before}")
    for heading in ("", "before, %", "after, %", "change, points [95%]", "p"):
        table.add_column(heading, no_wrap=True)
    for c in changes:
        name = c.condition if c.hint_type is None else f"  {c.hint_type.replace('_', ' ')}"
        table.add_row(
            name, f"{100 * c.accuracy_before:.1f}", f"{100 * c.accuracy_after:.1f}", percents(c.difference, "+"),
            p_words(c.p_value),
        )  # fmt: skip
    return table


def crossplay_table(matrix: CrossPlay, short: dict[str, str]) -> Table:
    """Reasoners down, writers across, accuracies in per cent, and the means."""
    table = _table("% right under hints: Reasoner of the row, hints of the column")
    table.add_column("")
    for name in matrix.writers:
        table.add_column(short[name], justify="right")
    table.add_column("mean [95%]", no_wrap=True)
    table.add_column("clean", justify="right")
    for i, name in enumerate(matrix.reasoners):
        shares = [f"{100 * c.accuracy.mean:.0f}" if c.problems else "–" for c in matrix.cells[i]]
        mean, clean = matrix.row_means[i], matrix.clean[i]
        table.add_row(
            short[name], *shares, percents(mean.accuracy) if mean else "", f"{100 * clean.mean:.0f}" if clean else ""
        )  # fmt: skip
    table.add_section()
    columns = [f"{100 * m.accuracy.mean:.0f}" if m else "" for m in matrix.column_means]
    table.add_row("mean", *columns, Text("own hints ") + percents(matrix.diagonal.accuracy) if matrix.diagonal else "")
    return table
