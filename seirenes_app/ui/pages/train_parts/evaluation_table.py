"""The frozen suite before and now, by condition and type, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from training.rundir.state import EvalPoint

HEADINGS = ("", "Before", "Now", "Change")


class EvaluationTable(QTableWidget):
    """Read-only; one row a condition."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADINGS), parent)
        self.setHorizontalHeaderLabels(HEADINGS)
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.setShowGrid(False)
        self.setAccessibleName("Accuracy on the frozen suite, before and now")

    def render_evals(self, evals: Sequence[EvalPoint]) -> None:
        """First and newest evaluation."""
        rows = self._rows(evals)
        self.setRowCount(len(rows))
        for r, cells in enumerate(rows):
            for c, text in enumerate(cells):
                item = QTableWidgetItem(text)
                if c:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(r, c, item)

    def _rows(self, evals: Sequence[EvalPoint]) -> list[tuple[str, str, str, str]]:
        if not evals:
            return [("The frozen suite has not been measured yet.", "", "", "")]
        first, last = evals[0].metrics, evals[-1].metrics
        rows = [(name, first.get(name), last.get(name)) for name in ("clean", "hinted")]
        for type_, rate in (first.get("by_type") or {}).items():
            rows.append((f"    {type_.replace('_', ' ')}", rate, (last.get("by_type") or {}).get(type_)))
        rows += [("neutral remark", first.get("placebo"), last.get("placebo")),
                 ("worst of k hints", first.get("worst_of_k"), last.get("worst_of_k")),
                 ("worst of k neutral", first.get("placebo_worst_of_k"), last.get("placebo_worst_of_k"))]  # fmt: skip
        alone = len(evals) == 1
        return [(n, _rate(a), "" if alone else _rate(b), "" if alone else _change(a, b)) for n, a, b in rows]


def _rate(rate: Mapping[str, Any] | None) -> str:
    return f"{rate['accuracy']:.3f}  [{rate['low']:.3f}, {rate['high']:.3f}]" if rate else "—"


def _change(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> str:
    return f"{100 * (b['accuracy'] - a['accuracy']):+.1f} points" if a and b else "—"
