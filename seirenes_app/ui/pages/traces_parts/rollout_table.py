"""The table of rollouts: one line a rollout, a true scroll bar whatever their number, nothing read while it paints."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView, QWidget

from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.models.rollouts_model import HEADERS, SORTS, RolloutColumn, RolloutsModel
from seirenes_app.ui.pages.traces_parts.rollout_delegate import ROW, RolloutDelegate
from training.rundir.rollout_query import Sort

WIDTHS = {
    RolloutColumn.STEP: 66,
    RolloutColumn.KIND: 194,
    RolloutColumn.FAMILY: 88,
    RolloutColumn.OUTCOME: 156,
    RolloutColumn.REWARD: 80,
    RolloutColumn.ADVANTAGE: 98,
    RolloutColumn.TOKENS: 78,
    RolloutColumn.GATE: 144,
}
GIVES_WAY = (
    (840, RolloutColumn.FAMILY),
    (900, RolloutColumn.GATE),
    (980, RolloutColumn.ADVANTAGE),
    (1060, RolloutColumn.TOKENS),
)
"""Below this width the column is hidden, unless the person wants it: the inspector has its value."""
ALWAYS = (RolloutColumn.KIND, RolloutColumn.PROBLEM)


class RolloutTable(QTableView):
    """Keys: j and k or the arrows go down and up, Enter reads the row. `sortAsked` when a heading was clicked."""

    entered = Signal()
    sortAsked = Signal(object, bool)
    """(Sort, descending)"""
    rowChosen = Signal(int)
    """Number of the row under the cursor, -1 for none."""

    def __init__(self, model: RolloutsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rollouts = model
        self._sort: tuple[Sort, bool] = (Sort.TIME, False)
        self._wanted: dict[RolloutColumn, bool] = {}
        self.setModel(model)
        self._build()
        self._connect()

    def _build(self) -> None:
        self.setAccessibleName("Rollouts")
        self.setItemDelegate(RolloutDelegate(self._rollouts, self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setCornerButtonEnabled(False)
        rows = self.verticalHeader()
        rows.hide()
        # All rows alike and never measured: the height of a million is a multiplication.
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(ROW)
        rows.setDefaultSectionSize(ROW)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsClickable(True)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(RolloutColumn.PROBLEM, QHeaderView.ResizeMode.Stretch)
        for column, width in WIDTHS.items():
            self.setColumnWidth(column, width)
        self.read = QAction("Read", self)
        self.read.setShortcuts([QKeySequence(Qt.Key.Key_Return), QKeySequence(Qt.Key.Key_Enter)])
        self.read.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        set_icon(self.read, "arrow-right")
        self.addAction(self.read)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self._build_columns_menu()

    def _build_columns_menu(self) -> None:
        """The columns that are shown, in the menu of the table and of its headings."""
        self.columns = QMenu("Columns", self)
        for column in RolloutColumn:
            if column not in ALWAYS:
                action = self.columns.addAction(HEADERS[column])
                action.setCheckable(True)
                action.triggered.connect(lambda on, c=column: self._show_column(c, on))
        opener = QAction("Columns", self)
        opener.setMenu(self.columns)
        self.addAction(opener)
        self.columns.aboutToShow.connect(self._render_columns)
        header = self.horizontalHeader()
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(lambda at: self.columns.popup(header.mapToGlobal(at)))

    def _show_column(self, column: RolloutColumn, on: bool) -> None:
        self._wanted[column] = on
        self.setColumnHidden(column, not on)

    def _render_columns(self) -> None:
        offered = [c for c in RolloutColumn if c not in ALWAYS]
        for action, column in zip(self.columns.actions(), offered, strict=True):
            action.setChecked(not self.isColumnHidden(column))

    def _connect(self) -> None:
        self.horizontalHeader().sectionClicked.connect(self._take_heading)
        self.selectionModel().currentRowChanged.connect(lambda now, _before: self.rowChosen.emit(now.row()))
        self.read.triggered.connect(lambda *_: self.entered.emit())
        self.doubleClicked.connect(lambda _index: self.entered.emit())

    # ------------------------------------------------------------------ render

    def render_sort(self, sort: Sort, *, descending: bool) -> None:
        """Mark the column that is sorted by, where it is one."""
        self._sort = (sort, descending)
        column = next((c for c, s in SORTS.items() if s is sort), None)
        self._rollouts.render_sort(column, descending=descending)

    def _take_heading(self, section: int) -> None:
        sort = SORTS.get(RolloutColumn(section))
        if sort is None:
            return
        now, descending = self._sort
        self.sortAsked.emit(sort, not descending if sort is now else True)

    # ------------------------------------------------------------------ cursor

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
            hint = QAbstractItemView.ScrollHint.PositionAtCenter if far else QAbstractItemView.ScrollHint.EnsureVisible
            self.scrollTo(self._rollouts.index(row, 0), hint)

    def step(self, by: int) -> None:
        """Down or up by so many rows, as far as there are any."""
        last = self._rollouts.rowCount() - 1
        if last >= 0:
            self.go_to(max(0, min(last, (self.current_row if self.current_row >= 0 else -1) + by)))

    def selected_ids(self) -> list[int]:
        """Ids of the selected rows, in the order shown."""
        ids = self._rollouts.ids
        ranges = sorted((r.top(), r.bottom()) for r in self.selectionModel().selection().toList())
        return [i for top, bottom in ranges for i in ids[top : bottom + 1]]

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Letters are the page's, not a search among a million rows."""
        plain = event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier)
        if plain and event.text().isprintable() and event.text() and event.key() != Qt.Key.Key_Space:
            event.ignore()
            return
        super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A narrow table gives up what the inspector says too."""
        for width, column in GIVES_WAY:
            self.setColumnHidden(column, not self._wanted.get(column, event.size().width() >= width))
        super().resizeEvent(event)
