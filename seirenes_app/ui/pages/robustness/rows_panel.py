"""The rows behind a point or a cell, at the right of the page: a list of them, and the one in hand in full.

All it shows of a row is what a model or a suite said: plain text.

From a point or a cell to the rows behind it: in the sheet at the right, or, for a training step, on Traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QListView, QScrollArea, QSplitter, QVBoxLayout, QWidget

from seirenes_app.services.formatting import count_of
from seirenes_app.services.robustness.types import Basis, MatrixCell, Point, Trace, TraceRef
from seirenes_app.ui.icons import icon
from seirenes_app.ui.models.rollouts_model import OUTCOME_LOOKS, say
from seirenes_app.ui.pages.robustness.controller import RobustnessController, Rows, rollouts_behind, say_slice
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3
from seirenes_app.ui.widgets.badges import Badge
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.core.types import Outcome
from training.runs.paths import RunPaths

Index = QModelIndex | QPersistentModelIndex
WIDTH = 560
ALL, RIGHT, WRONG = "all", "right", "wrong"
TRACE_ROLE = Qt.ItemDataRole.UserRole + 1


class TracesModel(QAbstractListModel):
    """The rows that are shown, one a line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.traces: Sequence[Trace] = ()

    def render_traces(self, traces: Sequence[Trace]) -> None:
        """Other rows."""
        self.beginResetModel()
        self.traces = traces
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Rows."""
        return 0 if parent.isValid() else len(self.traces)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Outcome as an icon and a word, then what was asked."""
        trace = self.traces[index.row()]
        look = OUTCOME_LOOKS[trace.outcome]
        if role == Qt.ItemDataRole.DisplayRole:
            asked = " ".join((trace.hint or trace.question or trace.problem_id).split())
            return f"{trace.family}{f' · {say(trace.hint_type)}' if trace.hint_type else ''}  —  {asked}"
        if role == Qt.ItemDataRole.DecorationRole:
            return icon(look.icon, look.tone)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{look.text}: {self.data(index)}"
        return trace if role == TRACE_ROLE else None


class RowsPanel(QFrame):
    """Escape closes it, Up and Down go through the list."""

    closed = Signal()
    moreAsked = Signal(object, int)
    """(TraceRef, offset)"""
    replayAsked = Signal(object)
    """Trace whose problem is to be asked on every checkpoint."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: Rows | None = None
        self._all: list[Trace] = []
        self._build()
        self._connect()
        self.hide()

    # ------------------------------------------------------------------ build

    def _build(self) -> None:
        self.setProperty("card", "true")
        self.setAccessibleName("The rows behind a point")
        self.title, self.about = ElidedLabel("heading"), make_label("", "small", wrap=True)
        close = make_icon_button("close", "Close (Esc)", clicked=self.leave)
        head = QHBoxLayout()
        head.addWidget(self.title)
        head.addStretch(1)
        head.addWidget(close)
        self.which = Segmented(
            "Which rows", [Segment(ALL, "All"), Segment(RIGHT, "Right"), Segment(WRONG, "Not right")]
        )
        self.which.render_value(ALL)
        self.model = TracesModel(self)
        self.list = QListView()
        self.list.setModel(self.model)
        self.list.setUniformItemSizes(True)
        self.list.setProperty("roomy", True)
        self.list.setIconSize(QSize(16, 16))
        self.list.setAccessibleName("Rows")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.more = make_button("Show more rows", "chevron-down", kind="quiet")
        split = QSplitter(Qt.Orientation.Vertical)
        split.setChildrenCollapsible(False)
        split.setHandleWidth(SPACE_3)
        upper = QWidget()
        column = QVBoxLayout(upper)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.list, 1)
        column.addWidget(self.more)
        split.addWidget(upper)
        split.addWidget(self._build_detail())
        split.setSizes([300, 420])
        body = QVBoxLayout(self)
        body.setContentsMargins(20, 14, 20, 16)
        body.setSpacing(SPACE_2)
        body.addLayout(head)
        body.addWidget(self.about)
        body.addWidget(self.which)
        body.addWidget(split, 1)

    def _build_detail(self) -> QWidget:
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 6, 0)
        column.setSpacing(SPACE_1)
        self.outcome = Badge(OUTCOME_LOOKS[Outcome.RIGHT])
        self.replay = make_button("Replay on every checkpoint", "clock", tip="Open this problem in the time machine",
                                  clicked=self._ask_replay)  # fmt: skip
        row = QHBoxLayout()
        row.addWidget(self.outcome)
        row.addStretch(1)
        row.addWidget(self.replay)
        column.addLayout(row)
        self.texts: dict[str, tuple[QLabel, QLabel]] = {}
        for name in ("Question", "Added text", "Right answer", "Solution"):
            heading, text = make_label(name, "eyebrow"), make_label("", wrap=True, select=True)
            heading.setContentsMargins(0, SPACE_2, 0, 0)
            text.setAccessibleName(name)
            self.texts[name] = (heading, text)
            column.addWidget(heading)
            column.addWidget(text)
        column.addStretch(1)
        area.setWidget(inside)
        area.setAccessibleName("The row in hand")
        return area

    def _connect(self) -> None:
        self.which.chosen.connect(lambda _v: self._filter())
        self.more.clicked.connect(self._ask_more)
        self.list.selectionModel().currentChanged.connect(
            lambda index, _old: self._render_trace(index.data(TRACE_ROLE))
        )

    # ------------------------------------------------------------------ render

    def render_waiting(self, title: str, about: str) -> None:
        """They are being read."""
        self.title.setText(title)
        self.about.setText(f"{about}  Reading…".strip())
        self.rows, self._all = None, []
        self._filter()
        self.show()
        self.raise_()
        self.list.setFocus()

    def render_rows(self, rows: Rows, about: str) -> None:
        """They came; a further page is put behind those that are there."""
        keep = rows.offset > 0 and self.rows is not None and self.rows.ref == rows.ref
        here = self.list.currentIndex().row() if keep else 0
        self._all = [*self._all, *rows.traces] if keep else list(rows.traces)
        self.rows = rows
        right = sum(t.outcome is Outcome.RIGHT for t in self._all)
        shown = f"{count_of(len(self._all), 'row')}{' so far' if rows.more else ''}, {right} of them right."
        self.about.setText(f"{about}  {shown}".strip())
        self._filter(here)

    def render_failed(self, text: str) -> None:
        """They cannot be read, and why."""
        self.about.setText(text)

    def _filter(self, row: int = 0) -> None:
        wanted = self.which.value
        self.model.render_traces([
            t for t in self._all if wanted == ALL or (t.outcome is Outcome.RIGHT) == (wanted == RIGHT)
        ])  # fmt: skip
        self.more.setVisible(self.rows is not None and self.rows.more)
        self.list.setCurrentIndex(self.model.index(max(0, min(row, self.model.rowCount() - 1)), 0))
        if not self.model.rowCount():
            self._render_trace(None)

    def _render_trace(self, trace: Trace | None) -> None:
        self.outcome.setVisible(trace is not None)
        self.replay.setVisible(trace is not None and bool(trace.question))
        values = ("", "", "", "") if trace is None else (trace.question, trace.hint, trace.gold, trace.completion)
        if trace is not None:
            self.outcome.render_look(OUTCOME_LOOKS[trace.outcome])
            values = (*values[:3], values[3] + ("\n… cut off: the tokens ran out" if trace.truncated else ""))
        for (heading, text), value in zip(self.texts.values(), values, strict=True):
            text.setText(value)
            heading.setVisible(bool(value))
            text.setVisible(bool(value))

    # ------------------------------------------------------------------ deeds

    @property
    def current(self) -> Trace | None:
        """The row in hand."""
        found = self.list.currentIndex().data(TRACE_ROLE)
        return found if isinstance(found, Trace) else None

    def _ask_more(self) -> None:
        if self.rows is not None:
            self.moreAsked.emit(self.rows.ref, len(self._all))

    def _ask_replay(self) -> None:
        if self.current is not None:
            self.replayAsked.emit(self.current)

    def leave(self) -> None:
        """Close."""
        self.hide()
        self.closed.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape closes."""
        if event.key() == Qt.Key.Key_Escape:
            self.leave()
        else:
            super().keyPressEvent(event)

    def place(self, parent: QSize) -> None:
        """At the right of a page of that size."""
        width = min(WIDTH, parent.width() - 80)
        self.setGeometry(parent.width() - width - 12, 12, width, parent.height() - 24)


TOTALS_ONLY = "Only the totals of this point are left; its rows are gone."
SEVERAL = "This point is put together from several slices; open one of them in another chart."


class RowsOpener(QObject):
    """Keeps where the keyboard was, and gives it back when the sheet closes."""

    tracesAsked = Signal(object, object)
    """(RunPaths, RolloutQuery)"""
    said = Signal(str)

    def __init__(self, page: QWidget, desk: RobustnessController, sheet: RowsPanel) -> None:
        super().__init__(page)
        self._page, self._desk, self._sheet = page, desk, sheet
        self._came_from: QWidget | None = None
        self._suite = ""
        desk.rowsFound.connect(self._take)
        desk.rowsFailed.connect(sheet.render_failed)
        sheet.moreAsked.connect(desk.ask_rows)
        sheet.closed.connect(self._return)

    def open_point(self, key: str, point: Point) -> None:
        """`key` is that of the point's curve."""
        if point.traces is not None:
            self._open(point.traces)
        elif point.basis is Basis.STEP and self._desk.root is not None:
            self.tracesAsked.emit(RunPaths(self._desk.root), rollouts_behind(key, point))
        else:
            self.said.emit(TOTALS_ONLY if point.basis is Basis.COUNTS else SEVERAL)

    def open_cell(self, cell: MatrixCell) -> None:
        """A Reasoner under the hints of a writer."""
        if cell.traces is not None:
            self._open(cell.traces)

    def _open(self, ref: TraceRef) -> None:
        self._came_from = self._page.focusWidget()
        self._suite = f"{ref.suite}."
        self._sheet.place(self._page.size())
        self._sheet.render_waiting(say_slice(ref), self._suite)
        self._desk.ask_rows(ref)

    def _take(self, rows: Rows) -> None:
        if self._sheet.isVisible():
            self._sheet.render_rows(rows, self._suite)

    def _return(self) -> None:
        if self._came_from is not None and self._came_from.isVisible():
            self._came_from.setFocus(Qt.FocusReason.OtherFocusReason)
