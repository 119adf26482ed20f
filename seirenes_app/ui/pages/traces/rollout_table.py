"""The table of rollouts: one line per rollout, a true scroll bar at any number, nothing read while it paints."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QKeyEvent, QPainter, QPixmap, QResizeEvent, QShowEvent, QStaticText
from PySide6.QtWidgets import QMenu, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QTableView, QWidget

from seirenes_app.ui.actions import WIDGET, bind_actions
from seirenes_app.ui.icons import pixmap
from seirenes_app.ui.models import rollouts_model as rollouts
from seirenes_app.ui.models.rollouts_model import RolloutColumn, RolloutsModel, Row
from seirenes_app.ui.pages.traces.actions import TABLE_ACTIONS
from seirenes_app.ui.theme import Theme, current_theme, sized_font
from seirenes_app.ui.widgets.badges import BadgeStyle
from seirenes_app.ui.widgets.table_model import Index
from training.core.types import Stage
from training.rollouts.reader import Sort

ROW = 34
PAD = 10
ICON = 16
TAG = QSize(26, 18)
QUESTION_WIDTH = 120  # Pixels that a hint leaves to its question, where there is room for both
TEXTS_KEPT = 4000


class RolloutDelegate(QStyledItemDelegate):
    """Paints a rollout's cells. A page of them is drawn at every notch of the wheel, so a cell costs one look-up of its
    row, texts are laid out once and kept, and colours are looked up once per theme."""

    def __init__(self, model: RolloutsModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._model = model
        self._body = sized_font(parent.font(), 13)
        self._strong = sized_font(parent.font(), 13, QFont.Weight.DemiBold)
        self._tag = sized_font(parent.font(), 11, QFont.Weight.Bold)
        self._metrics = {False: QFontMetrics(self._body), True: QFontMetrics(self._strong)}
        self._take_theme(current_theme())
        self._lay_out = lru_cache(TEXTS_KEPT)(self._prepare_text)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(80, ROW)

    def _take_theme(self, theme: Theme) -> None:
        self._theme = theme
        names = ("text", "muted", "raised", "accent", "grid", "good", "warn", "bad")
        self._colours = {name: theme.colour(name) for name in names}
        self._tags: dict[Stage, QPixmap] = {}

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        if current_theme() is not self._theme:
            self._take_theme(current_theme())
        rect, number, column = option.rect, index.row(), RolloutColumn(index.column())
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, self._colours["raised"])
            if column is RolloutColumn.STEP:
                painter.fillRect(QRect(rect.left(), rect.top(), 3, rect.height()), self._colours["accent"])
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), self._colours["grid"])
        left, width, middle = rect.left() + PAD, rect.width() - 2 * PAD, rect.top() + (rect.height() - 1) / 2
        row = self._model.row_at(number)
        if row is None:
            self._paint_waiting(painter, QRectF(left, middle - 4, width, 8), column, number)
        elif column is RolloutColumn.KIND:
            self._paint_kind(painter, left, width, middle, row)
        elif column is RolloutColumn.PROBLEM:
            self._paint_problem(painter, left, width, middle, row)
        elif column is RolloutColumn.OUTCOME:
            self._paint_style(painter, left, width, middle, rollouts.outcome_style(row), strong=rollouts.is_flip(row))
        elif column is RolloutColumn.GATE:
            self._paint_style(painter, left, width, middle, rollouts.gate_style(row), strong=False)
        else:
            tone = "text" if column is RolloutColumn.REWARD else "muted"
            spec = rollouts.COLUMNS[column]
            self._text(painter, left, width, middle, spec.text(row), tone, right=spec.right)

    def _paint_waiting(self, painter: QPainter, room: QRectF, column: RolloutColumn, number: int) -> None:
        """A bar in place of text that is being read."""
        wanted = {RolloutColumn.PROBLEM: 180 + 37 * (number % 5), RolloutColumn.KIND: 120}.get(column, 36)
        width = min(room.width(), wanted)
        bar = QRectF(
            room.right() - width if rollouts.COLUMNS[column].right else room.left(), room.top(), width, room.height()
        )
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._colours["grid"])
        painter.drawRoundedRect(bar, 4, 4)
        painter.restore()

    def _paint_kind(self, painter: QPainter, left: int, width: int, middle: float, row: Row) -> None:
        stage = rollouts.stage_of(row)
        if stage is None:
            self._text(painter, left, width, middle, rollouts.COLUMNS[RolloutColumn.KIND].text(row), "muted")
            return
        if stage not in self._tags:
            self._tags[stage] = self._draw_tag(stage, painter.device().devicePixelRatioF())
        painter.drawPixmap(QPointF(left, middle - TAG.height() / 2 + 0.5), self._tags[stage])
        used = TAG.width() + 8
        self._text(painter, left + used, width - used, middle, rollouts.say_kind(row), "text")

    def _draw_tag(self, stage: Stage, ratio: float) -> QPixmap:
        theme, tone = current_theme(), rollouts.STAGE_TONES[stage]
        drawn = QPixmap(TAG * ratio)
        drawn.setDevicePixelRatio(ratio)
        drawn.fill(Qt.GlobalColor.transparent)
        painter = QPainter(drawn)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.wash(tone))
        whole = QRectF(0, 0, TAG.width(), TAG.height())
        painter.drawRoundedRect(whole, 4, 4)
        painter.setPen(theme.colour(tone))
        painter.setFont(self._tag)
        painter.drawText(whole, Qt.AlignmentFlag.AlignCenter, rollouts.STAGE_TAGS[stage])
        painter.end()
        return drawn

    def _paint_problem(self, painter: QPainter, left: int, width: int, middle: float, row: Row) -> None:
        question = rollouts.flatten(row["question"])
        if not row["hint"]:
            self._text(painter, left, width, middle, question, "text")
            return
        room = width - QUESTION_WIDTH if width > 2 * QUESTION_WIDTH else width
        used = 14 + self._text(painter, left, room, middle, f"“{rollouts.flatten(row['hint'])}”", "text")
        if width - used > QUESTION_WIDTH // 2:
            self._text(painter, left + used, width - used, middle, question, "muted")

    def _paint_style(
        self, painter: QPainter, left: int, width: int, middle: float, style: BadgeStyle, *, strong: bool
    ) -> None:
        if style is rollouts.NO_STYLE:
            return
        picture = pixmap(style.icon, ICON, style.tone, painter.device().devicePixelRatioF())
        painter.drawPixmap(QPointF(left, middle - ICON / 2 + 0.5), picture)
        tone = style.tone if strong or style.tone != "good" else "text"
        self._text(painter, left + ICON + 7, width - ICON - 7, middle, style.text, tone, strong=strong)

    def _text(
        self, painter: QPainter, left: int, width: int, middle: float, text: str, tone: str, *, right: bool = False,
        strong: bool = False,
    ) -> int:  # fmt: skip
        """Draw as much as there is room for; returns the pixels that took."""
        # Of a cut of the text: what cannot be seen is not measured.
        static, used, height = self._lay_out(text[: width // 3 + 8], width, strong)
        painter.setFont(self._strong if strong else self._body)
        painter.setPen(self._colours[tone])
        painter.drawStaticText(QPointF(left + width - used if right else left, round(middle - height / 2)), static)
        return used

    def _prepare_text(self, text: str, width: int, strong: bool) -> tuple[QStaticText, int, int]:
        metrics = self._metrics[strong]
        fitted = metrics.elidedText(text, Qt.TextElideMode.ElideRight, width)
        static = QStaticText(fitted)
        static.setTextFormat(Qt.TextFormat.PlainText)
        static.setPerformanceHint(QStaticText.PerformanceHint.AggressiveCaching)
        static.prepare(font=self._strong if strong else self._body)
        return static, metrics.horizontalAdvance(fitted), metrics.height()


ALWAYS_SHOWN = (RolloutColumn.KIND, RolloutColumn.PROBLEM)


class RolloutTable(QTableView):
    """Arrows go down and up, Enter reads the row, a click on a header sorts."""

    entered = Signal()
    sortRequested = Signal(object, bool)  # (Sort, descending)
    rowChosen = Signal(int)  # Number of the row under the cursor, -1 for none

    def __init__(self, model: RolloutsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent, showGrid=False, wordWrap=False, cornerButtonEnabled=False)
        self._rollouts = model
        self._sort: tuple[Sort, bool] = (Sort.TIME, False)
        self._chosen_columns: dict[RolloutColumn, bool] = {}
        self.setModel(model)
        self.setAccessibleName("Rollouts")
        self.setItemDelegate(RolloutDelegate(self._rollouts, self))
        self.setSelectionBehavior(self.SelectionBehavior.SelectRows)
        self.setSelectionMode(self.SelectionMode.ExtendedSelection)
        self.setEditTriggers(self.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(self.ScrollMode.ScrollPerPixel)
        self.setTabKeyNavigation(False)
        rows = self.verticalHeader()
        rows.hide()
        # All rows alike and never measured: the height of a million is a multiplication.
        rows.setSectionResizeMode(rows.ResizeMode.Fixed)
        rows.setMinimumSectionSize(ROW)
        rows.setDefaultSectionSize(ROW)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsClickable(True)
        header.setSectionResizeMode(header.ResizeMode.Fixed)
        header.setSectionResizeMode(RolloutColumn.PROBLEM, header.ResizeMode.Stretch)
        bind_actions(self, TABLE_ACTIONS, {"read": self.entered.emit}, keys=WIDGET)
        self._build_columns_menu()
        header = self.horizontalHeader()
        header.sectionClicked.connect(self._on_header_clicked)
        self.selectionModel().currentRowChanged.connect(lambda now, _before: self.rowChosen.emit(now.row()))
        self.doubleClicked.connect(lambda _index: self.entered.emit())

    def _build_columns_menu(self) -> None:
        """The columns that are shown, in the menu of the table and of its headers."""
        self.columns = QMenu("Columns", self)
        for column, spec in rollouts.COLUMNS.items():
            if column not in ALWAYS_SHOWN:
                action = self.columns.addAction(spec.title)
                action.setCheckable(True)
                action.setData(column)
                action.triggered.connect(lambda on, c=column: self._choose_column(c, on))
        self.addAction(self.columns.menuAction())
        self.columns.aboutToShow.connect(self._render_columns)
        header = self.horizontalHeader()
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(lambda at: self.columns.popup(header.mapToGlobal(at)))

    def _choose_column(self, column: RolloutColumn, on: bool) -> None:
        self._chosen_columns[column] = on
        self.setColumnHidden(column, not on)

    def _render_columns(self) -> None:
        for action in self.columns.actions():
            action.setChecked(not self.isColumnHidden(action.data()))

    def render_sort(self, sort: Sort, *, descending: bool) -> None:
        self._sort = (sort, descending)
        self._rollouts.render_sort(sort, descending=descending)

    def _on_header_clicked(self, section: int) -> None:
        if (sort := rollouts.COLUMNS[RolloutColumn(section)].sort) is not None:
            now, descending = self._sort
            self.sortRequested.emit(sort, not descending if sort is now else True)

    def showEvent(self, event: QShowEvent) -> None:
        """As soon as the header has its font: no title is cut, with its arrow neither."""
        super().showEvent(event)
        header = self.horizontalHeader()
        arrow = header.fontMetrics().horizontalAdvance(" ↓") + 4
        for column, spec in rollouts.COLUMNS.items():
            if spec.width:
                title = header.sectionSizeFromContents(column).width() + (arrow if spec.sort is not None else 0)
                self.setColumnWidth(column, max(spec.width, title))

    @property
    def current_row(self) -> int:
        """Number of the row under the cursor, -1 for none."""
        return self.currentIndex().row() if self.currentIndex().isValid() else -1

    def go_to(self, row: int, *, scroll: bool = True) -> None:
        """Put the cursor there, and with `scroll` in view with a few rows around it."""
        if not 0 <= row < self._rollouts.rowCount():
            return
        height = self.viewport().height()
        top = self.rowAt(0)
        far = not top - 1 <= row <= top + height // ROW + 1
        # Qt would scroll to the cursor wherever it is put.
        self.setAutoScroll(False)
        self.selectRow(row)
        self.setAutoScroll(True)
        if scroll:
            hint = self.ScrollHint.PositionAtCenter if far else self.ScrollHint.EnsureVisible
            self.scrollTo(self._rollouts.index(row, 0), hint)

    def step(self, by: int) -> None:
        last = self._rollouts.rowCount() - 1
        if last >= 0:
            self.go_to(max(0, min(last, (self.current_row if self.current_row >= 0 else -1) + by)))

    def selected_ids(self) -> list[int]:
        """Ids of the selected rows, in the order shown."""
        ids = self._rollouts.ids
        ranges = sorted((r.top(), r.bottom()) for r in self.selectionModel().selection().toList())
        return [i for top, bottom in ranges for i in ids[top : bottom + 1]]

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Letters are the page's shortcuts, not a search among a million rows."""
        plain = event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier)
        if plain and event.text().isprintable() and event.text() and event.key() != Qt.Key.Key_Space:
            event.ignore()
            return
        super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        for column, spec in rollouts.COLUMNS.items():
            shown = event.size().width() >= spec.hidden_below
            self.setColumnHidden(column, not self._chosen_columns.get(column, shown))
        super().resizeEvent(event)
