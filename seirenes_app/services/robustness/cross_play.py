"""Cross-play as a matrix with its sentences: who beats whose hints, and whether old defences are forgotten. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path

from seirenes_app.services.answer_reading import describe_unread, unread_warnings
from seirenes_app.services.formatting import is_clear, p_clause, percent, percent_interval, points_interval, sentence
from seirenes_app.services.robustness.sources import asking
from seirenes_app.services.robustness.types import Chart, DataTable, MatrixCell, MatrixPanel, TraceRef, Value
from training.core.statistics import Interval
from training.core.types import Condition
from training.evaluation.crossplay import Contrast, CrossCell, CrossPlay, Mean, crossplay
from training.evaluation.outcome_arrays import OutcomeArrays
from training.evaluation.plan import EvalPlan


def cross_panel(root: Path, plan: EvalPlan, cells: OutcomeArrays) -> MatrixPanel | None:
    """The matrix of an evaluation whose suites have writers; None where none has."""
    if not any(s.writer for s in plan.suites):
        return None
    names = _short_names(plan)
    found = crossplay(plan, cells)
    matrix = tuple(tuple(_cell(root, c) for c in row) for row in found.cells)
    note = (
        "Rows are Reasoners, columns the Adversaries that wrote the hints, each cell the accuracy under those hints. "
        f"Every Reasoner solves the same problems and hints of a column ({asking(plan)}); problems for which a writer "
        "had no hint that passed the gates are left out of its column, so columns may differ in their problems. "
        "Needed: the question stands before the story's last sentence, so that text after it must be used."
    )
    return MatrixPanel(
        Chart.CROSS_PLAY, "Cross-play", tuple(names[n] for n in found.reasoners),
        tuple(names[n] for n in found.writers), matrix, found.clean,
        tuple(_value(m) for m in found.row_means), tuple(_value(m) for m in found.column_means),
        _value(found.diagonal), cross_sentences(found, names), note, _table(found), found.needed,
    )  # fmt: skip


def _short_names(plan: EvalPlan) -> dict[str, str]:
    models = (*plan.targets, *plan.writers)
    steps = {t.name: t.step for t in models}
    one = len({t.run for t in models}) == 1 and None not in steps.values()
    return {name: f"step {step}" if one else name for name, step in steps.items()}


def _cell(root: Path, cell: CrossCell) -> MatrixCell:
    if not cell.problems:
        return MatrixCell(None, 0, cell.reasoner == cell.writer)
    traces = TraceRef(root, cell.reasoner, cell.suite, Condition.HINTED)
    return MatrixCell(cell.accuracy, cell.problems, cell.reasoner == cell.writer, traces, cell.unread)


def _value(found: Mean | None) -> Interval | None:
    return None if found is None else found.accuracy


# ---------------------------------------------------------------------- sentences


_CONTRASTS = {
    "progress": (
        "later Reasoners against earlier ones, over all writers",
        "later Reasoners are better",
        "later Reasoners are worse",
    ),
    "attack": (
        "under hints of earlier writers against those of later ones",
        "later hints are harder",
        "later hints are easier",
    ),
    "cycling": (
        "each Reasoner under hints of writers before it against those after it",
        "on average they do better against the past than against the future, as in an arms race",
        "on average they do worse against the past than against the future, as where play goes in circles",
    ),
    "forgetting": (
        "the last Reasoner against each earlier writer's own contemporary",
        "no forgetting on average: the last one is better under old hints",
        "old defences are forgotten on average: the last one is worse under old hints",
    ),
}
"""What each contrast of `CrossPlay` is between, and what it says above zero and below."""


def cross_sentences(found: CrossPlay, names: Mapping[str, str]) -> tuple[str, ...]:
    """What the matrix shows, under these names, then what its contrasts say, as far as they can be formed."""
    sentences = [
        _extremes(found, names),
        *(_contrast(getattr(found, name), *texts) for name, texts in _CONTRASTS.items()),
        *_unread(found, names),
    ]
    return tuple(t for t in sentences if t)


def _unread(found: CrossPlay, names: Mapping[str, str]) -> tuple[str, ...]:
    """The shares of answers that could not be graded, where there are many, and which cells no contrast counts."""
    cells = [c for row in found.cells for c in row if c.problems]
    sides = {f"{names[c.reasoner]} under hints of {names[c.writer]}": c.unread for c in cells}
    mostly = sum(shares.mostly for shares in sides.values())
    left_out = f"{mostly} of {len(cells)} cells have mostly ungraded answers and are in no contrast." if mostly else ""
    worst = max(sides, key=lambda name: sides[name].total, default="")
    most = describe_unread(sides[worst]) if worst else ""
    about = f"Most ungraded answers: {worst}, {most}." if most else ""
    return left_out, about, *unread_warnings({"": sides[worst]} if worst else {})


def _extremes(found: CrossPlay, names: Mapping[str, str]) -> str:
    rows = [(names[n], m.accuracy) for n, m in zip(found.reasoners, found.row_means, strict=True) if m]
    columns = [(names[n], m.accuracy) for n, m in zip(found.writers, found.column_means, strict=True) if m]
    if not rows or not columns:
        return "Nothing was solved yet."
    best, hardest = max(rows, key=lambda r: r[1].mean), min(columns, key=lambda c: c[1].mean)
    return sentence(
        f"highest row mean: {best[0]} with {percent_interval(best[1])}",
        f"lowest column mean: hints of {hardest[0]}, under which {percent_interval(hardest[1])} are right",
        "these two were picked for being extreme, so their intervals flatter them",
    )


def _contrast(found: Contrast | None, what: str, above: str, below: str) -> str:
    if found is None:
        return ""
    detail = f"{points_interval(found.difference)}, {p_clause(found.p_value)}"
    if is_clear(found.difference, found.p_value):
        return sentence(f"{above if found.difference.mean > 0 else below} ({what}: {detail})")
    return sentence(
        f"no difference that these problems could show between {what.replace(' against ', ' and ')}: {detail}"
    )


# ---------------------------------------------------------------------- table


def _table(found: CrossPlay) -> DataTable:
    rows: list[tuple[Value, ...]] = [
        (c.reasoner, c.writer, *_numbers(c.accuracy if c.problems else None), c.problems, c.rows, *_shares(c))
        for row in found.cells
        for c in row
    ]
    pairs = (
        *((n, "mean of row", m) for n, m in zip(found.reasoners, found.row_means, strict=True)),
        *(("mean of column", n, m) for n, m in zip(found.writers, found.column_means, strict=True)),
        ("mean of diagonal", "own hints", found.diagonal),
    )
    none = (None,) * (2 + len(_UNREAD))
    rows += [(a, b, *_numbers(m.accuracy), *none) for a, b, m in pairs if m is not None]
    for what, values in (("clean", found.clean), ("needed", found.needed)):
        rows += [(n, what, *_numbers(v), *none) for n, v in zip(found.reasoners, values, strict=False) if v]
    columns = ("reasoner", "hints of", "accuracy", "low", "high", "problems", "rows", *_UNREAD)
    return DataTable(columns, tuple(rows))


_UNREAD = ("unreadable", "truncated", "timed out", "too long")


def _shares(cell: CrossCell) -> tuple[Value, ...]:
    return astuple(cell.unread) if cell.problems else (None,) * len(_UNREAD)


def _numbers(found: Interval | None) -> tuple[Value, Value, Value]:
    return (None, None, None) if found is None else (found.mean, found.low, found.high)


def text_table(panel: MatrixPanel) -> DataTable:
    """The matrix's table as people read it: each accuracy with its interval."""
    rows: list[tuple[Value, ...]] = []
    for reasoner, writer, mean, low, high, *counts in panel.table.rows:
        if mean is not None:
            found = Interval(*(float(v or 0.0) for v in (mean, low, high)))
            sizes = ("" if c is None else c for c in counts[:2])
            shares = ("" if c is None else percent(float(c)) for c in counts[2:])
            rows.append((reasoner, writer, percent_interval(found), *sizes, *shares))
    return DataTable(("reasoner", "hints of", "accuracy", "problems", "rows", *_UNREAD), tuple(rows))
