"""A panel's table as a Qt model. Shares have three decimals; what is text stays text."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtWidgets import QHeaderView, QTableView, QWidget

from seirenes_app.lab.robustness.values import DataTable, Value

Index = QModelIndex | QPersistentModelIndex
FONT_PX = 13
EMPTY = DataTable((), ())


class DataModel(QAbstractTableModel):
    """Rows as they come."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = EMPTY

    def render_table(self, table: DataTable) -> None:
        """Other data."""
        self.beginResetModel()
        self.table = table
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Rows of the table."""
        return 0 if parent.isValid() else len(self.table.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Columns of the table."""
        return 0 if parent.isValid() else len(self.table.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names of the columns."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._side(section)
        return self.table.columns[section] if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A value as it is read; the tooltip has a long text whole."""
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._side(index.column())
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        text = say_cell(self.table.rows[index.row()][index.column()])
        return text if role == Qt.ItemDataRole.DisplayRole or len(text) > 24 else None

    def _side(self, column: int) -> Qt.AlignmentFlag:
        number = any(isinstance(row[column], int | float) for row in self.table.rows[:8])
        side = Qt.AlignmentFlag.AlignRight if number else Qt.AlignmentFlag.AlignLeft
        return side | Qt.AlignmentFlag.AlignVCenter


def say_cell(value: Value) -> str:
    """A value as the table shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return (f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1e}").replace("-", "−")


def make_table(name: str, model: DataModel) -> QTableView:
    """A quiet table that shows `model`."""
    table = QTableView()
    table.setModel(model)
    table.setProperty("plain", "true")
    table.setShowGrid(False)
    table.setWordWrap(False)
    font = table.font()
    font.setPixelSize(FONT_PX)
    table.setFont(font)
    table.setAccessibleName(name)
    table.setTabKeyNavigation(False)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(24)
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    return table


def fit_columns(table: QTableView, *, at_least: int = 64, at_most: int = 260) -> None:
    """Columns as wide as their names and first values."""
    model, metrics = table.model(), table.fontMetrics()
    for column in range(model.columnCount()):
        texts = [str(model.headerData(column, Qt.Orientation.Horizontal) or "")]
        texts += [str(model.index(row, column).data() or "") for row in range(min(24, model.rowCount()))]
        widest = max(metrics.horizontalAdvance(text) for text in texts) + 26
        table.setColumnWidth(column, max(at_least, min(at_most, widest)))
