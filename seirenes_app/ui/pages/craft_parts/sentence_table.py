"""The sentences of a hint as a table: what accuracy gains without each, and what each alone costs."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QPainter, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from seirenes_app.lab.why.ablation import AblationResult, AblationRow
from seirenes_app.ui.pages.craft_parts.words import points, signed
from seirenes_app.ui.theme import current_theme
from training.core.statistics import Interval

HEADINGS = ("Sentence", "Without it", "Only it")
TIPS = (
    "",
    "Accuracy without this sentence less accuracy with the whole hint, in points: above zero, it does harm",
    "Clean accuracy less accuracy with this sentence alone, in points: above zero, it does harm by itself",
)
DELTA_ROLE = Qt.ItemDataRole.UserRole + 1
LEAST_ROW = 56
FIGURE_COLUMN = 150


@dataclass(frozen=True)
class Delta:
    """A difference of accuracies with its interval, None before the first samples; how many samples there are."""

    interval: Interval | None
    done: int
    planned: int

    @property
    def words(self) -> str:
        """As a person reads it."""
        if self.interval is None:
            return "…" if self.planned else "—"
        i = self.interval
        return f"{signed(i.mean)}  [{points(i.low)}, {points(i.high)}]"


class DeltaDelegate(QStyledItemDelegate):
    """Figures, and under them a bar from zero with its interval: to the right is harm."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        """Room for both."""
        return QSize(FIGURE_COLUMN, LEAST_ROW)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """See the class."""
        delta = index.data(DELTA_ROLE)
        if not isinstance(delta, Delta):
            return
        theme, rect = current_theme(), QRectF(option.rect).adjusted(10, 0, -10, 0)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        top = rect.center().y() - 20
        sure = delta.interval is not None and (delta.interval.low > 0 or delta.interval.high < 0)
        font = QFont(option.font)
        font.setPixelSize(13)
        font.setWeight(QFont.Weight.DemiBold if sure else QFont.Weight.Normal)
        painter.setFont(font)
        painter.setPen(theme.colour("text" if delta.interval is not None else "muted"))
        painter.drawText(QRectF(rect.x(), top, rect.width(), 20), Qt.AlignmentFlag.AlignVCenter, delta.words)
        self._paint_bar(painter, QRectF(rect.x(), top + 26, rect.width(), 10), delta.interval)
        painter.restore()

    def _paint_bar(self, painter: QPainter, track: QRectF, interval: Interval | None) -> None:
        theme = current_theme()
        middle = track.center().x()
        painter.setPen(QPen(theme.colour("border"), 1))
        painter.drawLine(QPointF(track.left(), track.center().y()), QPointF(track.right(), track.center().y()))
        painter.drawLine(QPointF(middle, track.top() - 2), QPointF(middle, track.bottom() + 2))
        if interval is None:
            return
        half = track.width() / 2
        low, mean, high = (middle + half * max(-1.0, min(1.0, v)) for v in (interval.low, interval.mean, interval.high))
        colour = "hinted" if interval.mean > 0 else "clean"
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.wash(colour, 0.55))
        painter.drawRect(QRectF(min(middle, mean), track.top() + 1, abs(mean - middle), track.height() - 2))
        painter.setPen(QPen(theme.colour(colour), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
        painter.drawLine(QPointF(low, track.center().y()), QPointF(high, track.center().y()))
        painter.setBrush(theme.colour("surface"))
        painter.drawEllipse(QPointF(mean, track.center().y()), 3.4, 3.4)


class SentenceTable(QTableWidget):
    """Read-only; as high as its rows."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADINGS), parent)
        self._build()

    def _build(self) -> None:
        self.setHorizontalHeaderLabels(HEADINGS)
        self.setProperty("plain", "true")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setStyleSheet("QTableView::item { padding-left: 7px; }")
        self.setWordWrap(True)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, tip in enumerate(TIPS):
            item = self.horizontalHeaderItem(column)
            item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
            item.setToolTip(tip)
            if column:
                self.setColumnWidth(column, FIGURE_COLUMN)
        delegate = DeltaDelegate(self)
        self.setItemDelegateForColumn(1, delegate)
        self.setItemDelegateForColumn(2, delegate)
        self.setAccessibleName("Sentences of the hint and what each does to accuracy")

    def render_ablation(self, result: AblationResult | None) -> None:
        """Show a result, finished or not."""
        rows = result.rows if result is not None else ()
        self.setRowCount(len(rows))
        for r, row in enumerate(rows):
            worst = result is not None and len(rows) > 1 and r == result.worst
            self._fill(r, row, worst)
        self._fit()

    def _fill(self, r: int, row: AblationRow, worst: bool) -> None:
        item = QTableWidgetItem(f"{row.sentence}\n▲ does the most harm" if worst else row.sentence)
        self.setItem(r, 0, item)
        for column, interval, variant, name in (
            (1, row.delta_without, row.without, "without it"),
            (2, row.delta_only, row.only, "only it"),
        ):
            delta = Delta(interval, variant.n, variant.planned)
            cell = QTableWidgetItem(delta.words)
            cell.setData(DELTA_ROLE, delta)
            cell.setToolTip(f"{variant.right} of {variant.n} right {name}, {variant.planned} planned.\n{TIPS[column]}.")
            cell.setData(Qt.ItemDataRole.AccessibleTextRole, f"{name}: {delta.words} points")
            self.setItem(r, column, cell)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width breaks sentences elsewhere."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()

    def _fit(self) -> None:
        self.resizeRowsToContents()
        total = 0
        for r in range(self.rowCount()):
            height = max(LEAST_ROW, self.rowHeight(r) + 10)
            self.setRowHeight(r, height)
            total += height
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + total + 6)
