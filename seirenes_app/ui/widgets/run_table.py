"""The table of runs: two-line cells with tags, a dumbbell for each change of accuracy, a badge for the status."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPen, QResizeEvent
from PySide6.QtWidgets import QInputDialog, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QTableView, QWidget

from seirenes_app.services.formatting import change_tone, percent, signed_points
from seirenes_app.services.run_summary import Change
from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.models.runs_model import CHANGE_ROLE, DETAIL_ROLE, MARK_ROLE, STYLE_ROLE, RunColumn, RunsModel
from seirenes_app.ui.theme import current_theme, sized_font
from seirenes_app.ui.widgets.badges import HEIGHT as BADGE_HEIGHT
from seirenes_app.ui.widgets.badges import paint_badge
from seirenes_app.ui.widgets.labels import draw_elided
from seirenes_app.ui.widgets.table_model import ROW_ROLE, Index, lay_out_rows
from training.runs.processes import RunSummary

ROW = 60
PAD = 10
ROWS_SHOWN = 8
NARROW = 900
EDITOR_HEIGHT = 34

WIDTHS = {
    RunColumn.STATUS: (142, 124), RunColumn.CLEAN: (190, 150), RunColumn.HINTED: (190, 150), RunColumn.STEPS: (100, 0),
    RunColumn.WHEN: (140, 104),
}  # fmt: skip
"""Of a wide table, and of a narrow one."""


class RunDelegate(QStyledItemDelegate):
    """Paints all columns, so that they share one baseline and one hover."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(120, ROW)

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        editor.setGeometry(option.rect.adjusted(2, 6, -2, EDITOR_HEIGHT + 6 - option.rect.height()))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        theme = current_theme()
        painter.save()
        rect = option.rect
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.colour("raised"))
            if index.column() == 0:
                painter.fillRect(QRect(rect.left(), rect.top(), 3, rect.height()), theme.colour("accent"))
        painter.setPen(QPen(theme.colour("grid"), 1))
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        inner = rect.adjusted(PAD, 0, -PAD, 0)
        column = RunColumn(index.column())
        if column is RunColumn.RUN:
            _paint_name(painter, inner, index, option.font)
        elif column is RunColumn.STATUS:
            place = QPointF(inner.left(), inner.center().y() - BADGE_HEIGHT / 2)
            paint_badge(painter, place, index.data(STYLE_ROLE), sized_font(option.font, 12, QFont.Weight.DemiBold))
        elif column in (RunColumn.CLEAN, RunColumn.HINTED):
            _paint_change(painter, inner, index.data(CHANGE_ROLE), column, option.font)
        else:
            draw_elided(painter, inner, index.data(), option.font, "muted")
        painter.restore()


def _paint_name(painter: QPainter, rect: QRect, index: Index, font: QFont) -> None:
    theme, mark = current_theme(), index.data(MARK_ROLE)
    top = QRect(rect.left(), rect.top() + 11, rect.width(), 20)
    if mark.pinned:
        draw_svg(painter, "pinned", QRectF(top.left() - 2, top.top() + 2, 15, 15), theme.accent)
        top.adjust(17, 0, 0, 0)
    strong, small = sized_font(font, 14, QFont.Weight.DemiBold), sized_font(font, 11)
    draw_elided(painter, top, index.data(), strong, "text")
    left = top.left() + QFontMetrics(strong).horizontalAdvance(index.data()) + 10
    for tag in mark.tags:
        pill = QRect(left, top.top() + 1, QFontMetrics(small).horizontalAdvance(tag) + 14, 18)
        if pill.right() > rect.right():
            break
        painter.setPen(QPen(theme.colour("border"), 1))
        painter.drawRoundedRect(pill, 9, 9)
        _run_text(painter, pill.adjusted(7, 0, 0, 0), tag, small, "muted")
        left = pill.right() + 6
    below = QRect(rect.left(), top.bottom() + 1, rect.width(), 18)
    if mark.note:
        draw_svg(painter, "note", QRectF(below.left() - 1, below.top() + 2, 14, 14), theme.muted)
        below.adjust(18, 0, 0, 0)
    draw_elided(painter, below, index.data(DETAIL_ROLE) or "", sized_font(font, 12), "muted")


def _paint_change(painter: QPainter, rect: QRect, change: Change | None, column: RunColumn, font: QFont) -> None:
    if change is None or change.before is None:
        draw_elided(painter, rect, "—", font, "muted")
        return
    line = QRect(rect.left(), rect.top() + 11, rect.width(), 20)
    x = _run_text(painter, line, percent(change.before), sized_font(font, 14), "muted")
    if change.after is not None:
        line.setLeft(x)
        line.setLeft(_run_text(painter, line, "  →  ", sized_font(font, 13), "muted"))
        line.setLeft(
            _run_text(painter, line, percent(change.after), sized_font(font, 14, QFont.Weight.DemiBold), "text")
        )
        line.setLeft(line.left() + 10)
        if change.points is not None:
            points, tone = signed_points(change.points / 100), change_tone(change.difference)
            line.setLeft(_run_text(painter, line, points, sized_font(font, 12), tone) + 10)
    else:
        line.setLeft(x + 10)
    if change.many_unread:
        _run_text(painter, line, change.unread_text, sized_font(font, 12), "warn")
    _paint_dumbbell(painter, rect, change, "clean" if column is RunColumn.CLEAN else "hinted")


def _paint_dumbbell(painter: QPainter, rect: QRect, change: Change, name: str) -> None:
    """Before as a ring and after as a dot on a track from 0 to 100%."""
    theme = current_theme()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    left, width, y = rect.left() + 5.0, min(rect.width() - 10.0, 170.0), rect.top() + 42.5
    painter.setPen(QPen(theme.colour("border"), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    painter.drawLine(QPointF(left, y), QPointF(left + width, y))
    before = left + width * (change.before or 0.0)
    if change.after is not None:
        after = left + width * change.after
        painter.setPen(QPen(theme.colour(name), 2.5))
        painter.drawLine(QPointF(before, y), QPointF(after, y))
        painter.setBrush(theme.colour(name))
        painter.setPen(QPen(theme.colour(name), 1))
        painter.drawEllipse(QPointF(after, y), 4.0, 4.0)
    painter.setBrush(theme.colour("surface"))
    painter.setPen(QPen(theme.colour(name), 1.75))
    painter.drawEllipse(QPointF(before, y), 3.5, 3.5)


def _run_text(painter: QPainter, rect: QRect, text: str, font: QFont, tone: str) -> int:
    painter.setPen(current_theme().colour(tone))
    painter.setFont(font)
    painter.drawText(rect, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
    return rect.left() + QFontMetrics(font).horizontalAdvance(text)


class RunTable(QTableView):
    """A double click opens, the name is edited in place. The page binds its actions to the methods."""

    opened = Signal(object)

    def __init__(self, model: RunsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent, showGrid=False, wordWrap=False)
        self._runs = model
        self.setModel(model)
        self.setAccessibleName("Recent runs")
        self.setProperty("plain", "true")
        self.setItemDelegate(RunDelegate(self))
        lay_out_rows(self, ROW)
        header = self.horizontalHeader()
        header.setSectionResizeMode(RunColumn.RUN, header.ResizeMode.Stretch)
        for column, width in WIDTHS.items():
            self.setColumnWidth(column, width[0])
        self.doubleClicked.connect(self._on_double_clicked)
        model.modelReset.connect(self.fit_height)
        self.fit_height()

    def _on_double_clicked(self) -> None:
        if (summary := self.selected()) is not None:
            self.opened.emit(summary)

    def selected(self) -> RunSummary | None:
        index = self.currentIndex()
        found = index.data(ROW_ROLE) if index.isValid() else None
        return found if isinstance(found, RunSummary) else None

    def rename(self) -> None:
        if (index := self.currentIndex()).isValid():
            self.edit(index.siblingAtColumn(RunColumn.RUN))

    def ask_tags(self) -> None:
        if (summary := self.selected()) is not None:
            run_id, known = summary.paths.run_id, self._runs.known_marks()[0]
            label = f"Tags of {run_id}, separated by commas" + (f"\nIn use: {', '.join(known)}" if known else "")
            text = ", ".join(self._runs.mark(run_id).tags)
            text, accepted = QInputDialog.getText(self, "Tags", label, text=text)
            if accepted:
                self._runs.set_mark(run_id, tags=text.split(","))

    def ask_group(self) -> None:
        if (summary := self.selected()) is not None:
            run_id, groups = summary.paths.run_id, ["", *self._runs.known_marks()[1]]
            group = self._runs.mark(run_id).group
            label = f"Group of {run_id}, empty for none"
            text, accepted = QInputDialog.getItem(self, "Group", label, groups, groups.index(group))
            if accepted:
                self._runs.set_mark(run_id, group=text)

    def select_run(self, summary: RunSummary) -> None:
        if (row := self._runs.row_of(summary.paths)) >= 0:
            self.selectRow(row)

    def resizeEvent(self, event: QResizeEvent) -> None:
        narrow = event.size().width() < NARROW
        self.setColumnHidden(RunColumn.STEPS, narrow)
        for column, width in WIDTHS.items():
            self.setColumnWidth(column, width[narrow])
        super().resizeEvent(event)

    def fit_height(self) -> None:
        """As high as its rows, up to `ROWS_SHOWN`; beyond that it scrolls."""
        rows = min(self.model().rowCount(), ROWS_SHOWN)
        self.setFixedHeight(rows * ROW + self.horizontalHeader().sizeHint().height() + 8)
