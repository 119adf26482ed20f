"""A chart's data as a table: a row a step, a column a line. Reads the lines; copies none of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from seirenes_app.ui.widgets.chart_drawing import Line

Index = QModelIndex | QPersistentModelIndex


class ChartTable(QAbstractTableModel):
    """The newest step on top."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._lines: list[Line] = []
        self._rows: list[float] = []
        self._at: list[dict[float, int]] = []

    def render_lines(self, lines: Sequence[Line]) -> None:
        """Other data."""
        self.beginResetModel()
        self._lines = [line for line in lines if line.keyed]
        self._at = [{x: i for i, x in enumerate(line.x)} for line in self._lines]
        self._rows = sorted({x for line in self._lines for x in line.x}, reverse=True)
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Steps that any line has."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """The step, then the lines."""
        return 0 if parent.isValid() else len(self._lines) + 1

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names of the lines."""
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return "step" if section == 0 else self._lines[section - 1].label

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A value with its interval where it has one; "" where the step has none."""
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        step = self._rows[index.row()]
        if index.column() == 0:
            return f"{step:.0f}"
        line, i = self._lines[index.column() - 1], self._at[index.column() - 1].get(step)
        if i is None:
            return ""
        interval = f"  [{line.low[i]:.3f}, {line.high[i]:.3f}]" if len(line.low) == len(line.x) else ""
        return f"{line.y[i]:.4g}{interval}"


def write_csv(path: Path, lines: Sequence[Line]) -> None:
    """One row a point: series, step, value, low, high."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["series", "step", "value", "low", "high"])
        for line in lines:
            banded = len(line.low) == len(line.x)
            for i, (x, y) in enumerate(zip(line.x, line.y, strict=True)):
                rows.writerow([line.label, x, y, *((line.low[i], line.high[i]) if banded else ("", ""))])
