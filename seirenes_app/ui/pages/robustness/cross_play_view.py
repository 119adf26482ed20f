"""Cross-play: the matrix of what is open, or how to get one.

A cell is the more strongly shaded the more answers are right; the diagonal, where the writer of the hints is the
Reasoner's own checkpoint, has a dashed frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QModelIndex, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QKeyEvent, QPainter, QPen, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QStyle, QStyledItemDelegate, QTableView, QWidget

from seirenes_app.services.answer_reading import describe_unread
from seirenes_app.services.evaluation_request import evaluation_name
from seirenes_app.services.evaluations import EvaluationSummary
from seirenes_app.services.formatting import percent, percent_interval, percent_limits
from seirenes_app.services.robustness.cross_play import text_table
from seirenes_app.services.robustness.types import MatrixCell, MatrixPanel
from seirenes_app.ui.charts.card import FigureCard
from seirenes_app.ui.theme import current_theme, sized_font
from seirenes_app.ui.widgets.boxes import column
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import EmptyState
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.table_model import Column, Index, Role, TableModel
from training.core.statistics import Interval
from training.evaluation.crossplay import OWN_ADVERSARY

MIN_WIDTH, MAX_WIDTH, HEIGHT = 84, 240, 46


BESIDE = {"clean": "clean, without hints", "needed": "text after the question needed, without hints"}


class MatrixModel(TableModel):
    """Rows are Reasoners and a row of means; columns are writers, a column of means, clean accuracy, and accuracy with
    needed text where it was asked."""

    panel: MatrixPanel | None = None
    _range = (0.0, 1.0)

    def render_panel(self, panel: MatrixPanel | None) -> None:
        self.panel = panel
        if panel is None:
            self.render_columns(())
            return
        values = [c.value.mean for row in panel.cells for c in row if c.value is not None]
        self._range = (min(values, default=0.0), max(values, default=1.0))
        names = (*panel.writers, "mean", *(name for name, _ in panel.beside))
        self.render_columns([self._column(i, name) for i, name in enumerate(names)])
        self.render_rows(range(len(panel.reasoners) + 1))

    def _column(self, i: int, name: str) -> Column:
        def text(row: int) -> str:
            value = self.value(row, i)
            return "" if value is None else percent(value.mean)

        def describe(row: int) -> str:
            return self.describe(row, i)

        def hint(row: int) -> str:
            return "Enter shows its rows" if self.cell(row, i) is not None else ""

        roles = {int(Role.AccessibleTextRole): describe, int(Role.AccessibleDescriptionRole): hint}
        return Column(name, text, row_tip=describe, roles=roles)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        if self.panel is None or role not in (Role.DisplayRole, Role.ToolTipRole):
            return None
        across = orientation == Qt.Orientation.Horizontal
        name = self.columns[section].title if across else (*self.panel.reasoners, "mean")[section]
        if role == Role.DisplayRole:
            return short_name(name)
        return f"{'Hints by' if across else 'Reasoner'} {name}"

    def value(self, row: int, column: int) -> Interval | None:
        """The value of a cell or a mean."""
        assert self.panel is not None
        reasoners, writers = len(self.panel.reasoners), len(self.panel.writers)
        if row < reasoners and column < writers:
            return self.panel.cells[row][column].value
        if row < reasoners:
            return self.panel.row_means[row] if column == writers else self.panel.beside[column - writers - 1][1][row]
        return self.panel.column_means[column] if column < writers else None

    def cell(self, row: int, column: int) -> MatrixCell | None:
        """The cell of a Reasoner and a writer; None for a mean."""
        if self.panel is None or row >= len(self.panel.reasoners) or column >= len(self.panel.writers):
            return None
        return self.panel.cells[row][column]

    def strength(self, row: int, column: int) -> float:
        """From 0 to 1 between the least and the greatest value of the matrix."""
        value, (low, high) = self.value(row, column), self._range
        if value is None:
            return 0.0
        return (value.mean - low) / (high - low) if high > low else 0.5

    def describe(self, row: int, column: int) -> str:
        """A cell as a sentence."""
        assert self.panel is not None
        value, cell = self.value(row, column), self.cell(row, column)
        who = short_name(self.panel.reasoners[row]) if row < len(self.panel.reasoners) else "mean of all Reasoners"
        writers = (*map(short_name, self.panel.writers), "all writers, mean")
        beside = column - len(writers)
        what = f"hints by {writers[column]}" if beside < 0 else BESIDE[self.panel.beside[beside][0]]
        result = "not solved yet" if value is None else f"{percent_interval(value)} right"
        problems = ""
        if cell is not None and cell.value is not None:
            unread = describe_unread(cell.unread)
            problems = f", {cell.problems} problems{f', {unread}' if unread else ''}"
        return f"{who}, {what}: {result}{problems}{', its own' if cell is not None and cell.own else ''}"


def short_name(name: str) -> str:
    """ "step 40" of "20261125-1755-demo@40": all of them are of one run."""
    run, at, step = name.removesuffix(OWN_ADVERSARY).rpartition("@")
    return f"step {step}" if at and run and step.isdigit() else name


class CellDelegate(QStyledItemDelegate):
    """Paints shading, value and interval; a frame for the diagonal, a ring for the current cell."""

    def sizeHint(self, option: Any, index: Index) -> QSize:
        return QSize(MIN_WIDTH, HEIGHT)

    def paint(self, painter: QPainter, option: Any, index: Index) -> None:
        model = index.model()
        assert isinstance(model, MatrixModel)
        theme, at = current_theme(), (index.row(), index.column())
        value, cell = model.value(*at), model.cell(*at)
        rect = QRectF(option.rect).adjusted(1.5, 1.5, -1.5, -1.5)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        if cell is not None:
            shade = theme.wash("clean", 0.04 + 0.42 * model.strength(*at))
            painter.setBrush(shade if value is not None else theme.wash("muted", 0.06))
            painter.drawRoundedRect(rect, 5, 5)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if cell is not None and cell.own:
            painter.setPen(QPen(theme.colour("adversary"), 1.6, Qt.PenStyle.DashLine))
            painter.drawRoundedRect(rect.adjusted(1.5, 1.5, -1.5, -1.5), 4, 4)
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QPen(theme.colour("accent"), 2.5))
            painter.drawRoundedRect(rect.adjusted(-0.5, -0.5, 0.5, 0.5), 6, 6)
        if value is not None:
            for y, height, pixels, text in (
                (3, 21, 14, percent(value.mean)), (22, 16, 11, percent_limits(value.low, value.high)),
            ):  # fmt: skip
                bold = pixels > 12 and cell is not None
                painter.setFont(sized_font(option.font, pixels, QFont.Weight.DemiBold if bold else QFont.Weight.Normal))
                painter.setPen(theme.colour("text" if pixels > 12 or cell is not None else "muted"))
                painter.drawText(
                    QRectF(rect.x(), rect.y() + y, rect.width(), height), Qt.AlignmentFlag.AlignCenter, text
                )
        elif cell is not None:
            painter.setPen(theme.colour("muted"))
            painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, "·")
        painter.restore()


class MatrixTable(QTableView):
    """Arrow keys go from cell to cell; a click or Enter asks for the rows behind one."""

    cellRequested = Signal(object)
    """MatrixCell"""
    pointed = Signal(str)
    """The current cell as a sentence."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cells = MatrixModel((), self)
        self.setModel(self.cells)
        self.setItemDelegate(CellDelegate(self))
        self.setProperty("plain", "true")
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAccessibleName("Cross-play: Reasoners in rows, writers of hints in columns")
        for header, size in ((self.horizontalHeader(), MIN_WIDTH), (self.verticalHeader(), HEIGHT)):
            header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            header.setDefaultSectionSize(size)
            header.setHighlightSections(True)
            header.setSectionsClickable(False)
            header.setStyleSheet("QHeaderView::section { border: none; }")
        self.clicked.connect(self._request)
        self.selectionModel().currentChanged.connect(lambda index, _old: self._point(index))

    def render_panel(self, panel: MatrixPanel | None) -> None:
        self.cells.render_panel(panel)
        if panel is not None and panel.reasoners:
            self.setCurrentIndex(self.cells.index(0, 0))
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        columns = self.cells.columnCount()
        if columns:
            # Wide enough for the longest name, which has a tooltip where it would be wider than a cell may be.
            names = max(self.horizontalHeader().sectionSizeHint(i) for i in range(columns))
            space = self.viewport().width() // columns
            self.horizontalHeader().setDefaultSectionSize(max(MIN_WIDTH, min(MAX_WIDTH, max(names, min(132, space)))))

    def _point(self, index: QModelIndex) -> None:
        self.pointed.emit(self.cells.describe(index.row(), index.column()) if index.isValid() else "")

    def _request(self, index: QModelIndex) -> None:
        cell = self.cells.cell(index.row(), index.column())
        if cell is not None and cell.value is not None:
            self.cellRequested.emit(cell)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self.currentIndex().isValid():
            self._request(self.currentIndex())
        else:
            super().keyPressEvent(event)


LEGEND = "Rows: Reasoners.  Columns: writers of hints.  Stronger shade: more answers right.  Dashed: its own hints."


class MatrixCard(FigureCard):
    """The matrix with its table and sentences. It paints itself, without waiting for a turn."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Cross-play", None, 220, parent)
        self.matrix = MatrixTable()
        self.above.addWidget(make_label(LEGEND, "small", wrap=True))
        self.put_picture(self.matrix)
        self.matrix.pointed.connect(self._point)
        self.render_waiting()

    def render_panel(self, panel: MatrixPanel) -> None:
        self.heading.setText(panel.title)
        self.matrix.render_panel(panel)
        self.matrix.setMinimumHeight(min(10, len(panel.reasoners) + 1) * HEIGHT + 52)
        self.render_texts(
            "\n".join(panel.sentences), panel.note, panel.table, empty=not panel.reasoners, shown=text_table(panel)
        )

    def _point(self, text: str) -> None:
        self.place.setText(text)
        self.matrix.setAccessibleDescription(text)

    def save_picture(self, path: Path) -> None:
        from seirenes_app.services.charts.export import save_matrix

        if self.matrix.cells.panel is not None:
            save_matrix(path, self.matrix.cells.panel)


ABOUT = (
    "Each checkpoint's Adversary writes hints for the same held-out problems, and each checkpoint's Reasoner solves "
    "under them. A row shows how robust one Reasoner is, a column how strong one Adversary is; together they show "
    "whether training makes progress or goes in circles."
)
MAX_LINKS = 4


class CrossPlayView(QWidget):
    """The matrix of what is open, or how to get one."""

    evaluateRequested = Signal()
    openRequested = Signal(object)
    """Path of an evaluation's folder."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.card = MatrixCard()
        self._others: tuple[Path, ...] | None = None
        self.empty: EmptyState | None = None
        self._layout = column(self.card, None, parent=self)
        self.card.hide()

    def render_matrix(self, panel: MatrixPanel) -> None:
        self._clear()
        self.card.show()
        self.card.render_panel(panel)

    def render_none(self, others: Sequence[EvaluationSummary]) -> None:
        """What is open has no matrix; `others` of the same run have one."""
        roots = tuple(o.paths.root for o in others)
        if self.empty is not None and roots == self._others:
            return
        self._clear()
        self._others = roots
        self.card.hide()
        self.card.matrix.render_panel(None)
        start = make_button("Evaluate a cross-play…", "compare", kind="primary", clicked=self.evaluateRequested.emit)
        links = [
            make_button(evaluation_name(other), "arrow-right", kind="quiet", tip="Open this cross-play",
                        clicked=lambda root=other.paths.root: self.openRequested.emit(root))
            for other in others[:MAX_LINKS]
        ]  # fmt: skip
        self.empty = EmptyState("compare", "No cross-play here", ABOUT, (start, *links))
        self._layout.insertWidget(0, self.empty)

    def _clear(self) -> None:
        if self.empty is not None:
            self._layout.removeWidget(self.empty)
            self.empty.hide()
            self.empty.deleteLater()
            self.empty = None
