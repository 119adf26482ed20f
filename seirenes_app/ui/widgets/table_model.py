"""Models for tables and lists whose columns are data. `ROW_ROLE` answers the row itself, for delegates.

`PagedTableModel` shows rows of which only the ids are known: it asks for pages as they come into view.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, QTimer, Signal
from PySide6.QtWidgets import QTableView

Index = QModelIndex | QPersistentModelIndex
Role = Qt.ItemDataRole
ROW_ROLE = int(Role.UserRole) + 100
PLACEHOLDER = "…"


@dataclass(frozen=True)
class Column:
    """One column: its title, the text of a row in it, and how it is laid out."""

    title: str
    text: Callable[[Any], str]
    width: int = 0
    tip: str = ""
    row_tip: Callable[[Any], str | None] | None = None  # Tooltip of a cell
    right: bool = False  # Numbers are aligned at the right
    sort: Any = None  # What a click on the title sorts by; None where it does not sort. `render_sort` marks it.
    hidden_below: int = 0  # Table width below which the column is hidden
    roles: Mapping[int, Callable[[Any], Any]] = field(default_factory=dict)
    """What the column answers for further roles, as `DecorationRole`."""


def lay_out_rows(view: QTableView, height: int) -> None:
    """Make a table one of rows of `height` that are chosen whole and not edited, with columns of fixed width."""
    view.setSelectionBehavior(view.SelectionBehavior.SelectRows)
    view.setSelectionMode(view.SelectionMode.SingleSelection)
    view.setEditTriggers(view.EditTrigger.NoEditTriggers)
    view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    view.setTabKeyNavigation(False)
    view.verticalHeader().hide()
    view.verticalHeader().setDefaultSectionSize(height)
    header = view.horizontalHeader()
    header.setHighlightSections(False)
    header.setSectionResizeMode(header.ResizeMode.Fixed)


def size_columns(view: QTableView, columns: Sequence[Column], *, stretched: int) -> None:
    """Give the columns their widths; the one at `stretched` takes the rest."""
    header = view.horizontalHeader()
    header.setSectionResizeMode(stretched, header.ResizeMode.Stretch)
    for at, column in enumerate(columns):
        if column.width:
            view.setColumnWidth(at, column.width)


class TableModel(QAbstractTableModel):
    """Rows of any type under columns that are data."""

    def __init__(self, columns: Sequence[Column], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.columns = tuple(columns)
        self.rows: Sequence[Any] = ()
        self._sort: Any = None
        self._descending = False

    def render_rows(self, rows: Sequence[Any], *, key: Callable[[Any], Hashable] | None = None) -> None:
        """Show these. Where all rows have the `key` of the row before them, selection and place are kept."""
        if key is not None and rows and [key(r) for r in rows] == [key(r) for r in self.rows]:
            self.rows = rows
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(self.columns) - 1))
            return
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def render_columns(self, columns: Sequence[Column]) -> None:
        self.beginResetModel()
        self.columns, self.rows = tuple(columns), ()
        self.endResetModel()

    def render_sort(self, sort: Any, *, descending: bool) -> None:
        """Mark the title of the column that is sorted by, where it is a column."""
        self._sort, self._descending = sort, descending
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(self.columns) - 1)

    def row_at(self, number: int) -> Any:
        """A row; None where it is not known yet."""
        return self.rows[number]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self.columns[section]
        if role == Role.DisplayRole:
            # In the text: Qt's own arrow is drawn over a title at the right side.
            marked = column.sort is not None and column.sort == self._sort
            return f"{column.title} {'↓' if self._descending else '↑'}" if marked else column.title
        if role == Role.ToolTipRole:
            return ". ".join(filter(None, (column.tip, "Click to sort." if column.sort is not None else ""))) or None
        return _alignment(column) if role == Role.TextAlignmentRole else None

    def data(self, index: Index, role: int = Role.DisplayRole) -> Any:
        if not index.isValid():
            return None
        column = self.columns[index.column()]
        if role == Role.TextAlignmentRole:
            return _alignment(column)
        if role in column.roles or role in (Role.DisplayRole, Role.AccessibleTextRole, Role.ToolTipRole, ROW_ROLE):
            row = self.row_at(index.row())
            if role == ROW_ROLE:
                return row
            if row is None:
                return PLACEHOLDER if role == Role.DisplayRole else None
            if role in column.roles:
                return column.roles[role](row)
            if role != Role.ToolTipRole:
                return column.text(row)
            return column.row_tip(row) if column.row_tip is not None else None
        return None


def _alignment(column: Column) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column.right else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter


PAGE = 100  # Rows per fetch
KEPT_PAGES = 200  # Pages held in memory; the least recently used are dropped


class PagedTableModel(TableModel):
    """`rowsWanted(ids)` asks for a page of rows; `take_rows` brings them."""

    rowsWanted = Signal(object)  # array('q') of ids

    def __init__(self, columns: Sequence[Column], id_of: Callable[[Any], int], parent: QObject | None = None) -> None:
        super().__init__(columns, parent)
        self.ids = array("q")  # All rows, as ids in the order shown
        self._id_of = id_of
        self._pages: OrderedDict[int, list[Any]] = OrderedDict()
        self._requested: set[int] = set()
        self._wanted: set[int] = set()
        # A paint asks for many cells of one page: collected, they are fetched once.
        self._gather = QTimer(self, singleShot=True, interval=0)
        self._gather.timeout.connect(self._fetch)

    def render_ids(self, ids: array[int], rows: Sequence[Any] = ()) -> None:
        """Show these; `rows` are the first of them, where they were read already."""
        self.beginResetModel()
        self.ids = ids
        self._pages.clear()
        self._requested.clear()
        self._wanted.clear()
        for start in range(0, min(len(rows), len(ids)), PAGE):
            self._put(start // PAGE, list(rows[start : start + PAGE]))
        self.endResetModel()

    def extend_ids(self, ids: array[int]) -> None:
        """The whole list, which begins with the present one: rows that were read stay."""
        known = len(self.ids)
        if len(ids) <= known:
            return
        self.beginInsertRows(QModelIndex(), known, len(ids) - 1)
        self.ids = ids
        self.endInsertRows()

    def take_rows(self, rows: Sequence[Any], ids: Sequence[int]) -> None:
        """What `rowsWanted(ids)` asked for. Rows of an older list are left out."""
        found = {self._id_of(row): row for row in rows}
        page = next((p for p in self._requested if self.ids[p * PAGE : p * PAGE + len(ids)] == ids), None)
        if page is None:
            return
        self._requested.discard(page)
        self._put(page, [found.get(i) for i in ids])
        first, last = page * PAGE, min((page + 1) * PAGE, len(self.ids)) - 1
        self.dataChanged.emit(self.index(first, 0), self.index(last, len(self.columns) - 1))

    def drop_requests(self) -> None:
        """Rows that were asked for will not come: a view that still shows them asks again."""
        self._requested.clear()

    def _put(self, page: int, rows: list[Any]) -> None:
        self._pages[page] = rows
        self._pages.move_to_end(page)
        while len(self._pages) > KEPT_PAGES:
            self._pages.popitem(last=False)

    def row_at(self, number: int) -> Any:
        """The row at that place; None while it is fetched, or where it is gone."""
        page, place = divmod(number, PAGE)
        rows = self._pages.get(page)
        if rows is None or (place >= len(rows) and number < len(self.ids)):
            if page not in self._requested:
                self._wanted.add(page)
                if not self._gather.isActive():
                    self._gather.start()
            return None
        self._pages.move_to_end(page)
        return rows[place] if place < len(rows) else None

    def _fetch(self) -> None:
        wanted, self._wanted = self._wanted - self._requested, set()
        for page in sorted(wanted):
            if ids := self.ids[page * PAGE : (page + 1) * PAGE]:
                self._requested.add(page)
                self.rowsWanted.emit(ids)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self.ids)
