"""The rows behind a point or a cell, at the right of the page: a list, and the current row in full.

Everything in a row is model or suite text: it is shown as plain text.
"""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QIcon, QKeyEvent
from PySide6.QtWidgets import QFrame, QLabel, QListView, QSplitter, QWidget

from seirenes_app.services.answer_reading import describe_reading, describe_unread
from seirenes_app.services.formatting import count_of
from seirenes_app.services.robustness.types import Trace, TraceRef
from seirenes_app.ui.icons import icon
from seirenes_app.ui.models.rollouts_model import OUTCOME_STYLES, say
from seirenes_app.ui.pages.robustness.controller import RobustnessController, Rows, name_rows
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3
from seirenes_app.ui.widgets.badges import Badge
from seirenes_app.ui.widgets.boxes import column, row, scroll_area
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from seirenes_app.ui.widgets.table_model import ROW_ROLE, Column, TableModel
from training.core.types import Outcome
from training.evaluation.metric_types import UnreadShares

WIDTH = 560
ALL, RIGHT, WRONG = "all", "right", "wrong"
TEXTS = ("Question", "Added text", "Right answer", "Answer read", "Solution")


def describe_trace(trace: Trace) -> str:
    """One line: family, hint type, then the hint or question."""
    text = " ".join((trace.hint or trace.question or trace.problem_id).split())
    return f"{trace.family}{f' · {say(trace.hint_type)}' if trace.hint_type else ''}  —  {text}"


def _icon_of(trace: Trace) -> QIcon:
    style = OUTCOME_STYLES[trace.outcome]
    return icon(style.icon, style.tone)


TRACE_ROLES = {
    int(Qt.ItemDataRole.DecorationRole): _icon_of,
    int(Qt.ItemDataRole.AccessibleTextRole): lambda t: f"{OUTCOME_STYLES[t.outcome].text}: {describe_trace(t)}",
}


class RowsPanel(QFrame):
    """Up and Down go through the list. Escape closes the panel and gives the keyboard back to where it was."""

    replayRequested = Signal(object)
    """Trace whose problem is to be replayed on every checkpoint."""

    def __init__(self, page: QWidget, controller: RobustnessController) -> None:
        super().__init__(page)
        self._page, self._controller = page, controller
        self._previous_focus: QWidget | None = None
        self._suite = ""
        self.rows: Rows | None = None
        self._all: list[Trace] = []
        self._build()
        self.filter.chosen.connect(lambda _v: self._filter())
        self.list.selectionModel().currentChanged.connect(lambda index, _old: self._render_trace(index.data(ROW_ROLE)))
        self.hide()

    def _build(self) -> None:
        self.setProperty("card", "true")
        self.setAccessibleName("The rows behind a point")
        self.title, self.about = ElidedLabel("heading"), make_label("", "small", wrap=True)
        close = make_icon_button("close", "Close (Esc)", clicked=self.leave)
        segments = [Segment(ALL, "All"), Segment(RIGHT, "Right"), Segment(WRONG, "Not right")]
        self.filter = Segmented("Which rows", segments)
        self.filter.render_value(ALL)
        self.model = TableModel((Column("Rows", describe_trace, roles=TRACE_ROLES),), self)
        self.list = QListView()
        self.list.setModel(self.model)
        self.list.setUniformItemSizes(True)
        self.list.setProperty("roomy", True)
        self.list.setIconSize(QSize(16, 16))
        self.list.setAccessibleName("Rows")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.more = make_button("Show more rows", "chevron-down", kind="quiet", clicked=self._load_more)
        upper = QWidget()
        column((self.list, 1), self.more, parent=upper)
        split = QSplitter(Qt.Orientation.Vertical)
        split.setChildrenCollapsible(False)
        split.setHandleWidth(SPACE_3)
        split.addWidget(upper)
        split.addWidget(self._build_detail())
        split.setSizes([300, 420])
        head = row(self.title, None, close)
        column(head, self.about, self.filter, (split, 1), margins=(20, 14, 20, 16), parent=self)

    def _build_detail(self) -> QWidget:
        self.outcome = Badge(OUTCOME_STYLES[Outcome.RIGHT])
        self.replay = make_button("Replay on every checkpoint", "clock", tip="Open this problem in checkpoint replay",
                                  clicked=self._on_replay)  # fmt: skip
        self.texts: dict[str, tuple[QLabel, QLabel]] = {}
        for name in TEXTS:
            heading, text = make_label(name, "eyebrow"), make_label("", wrap=True, select=True)
            heading.setContentsMargins(0, SPACE_2, 0, 0)
            text.setAccessibleName(name)
            self.texts[name] = (heading, text)
        labels = (label for pair in self.texts.values() for label in pair)
        inside = QWidget()
        head = row(self.outcome, None, self.replay)
        column(head, *labels, None, spacing=SPACE_1, margins=(0, 0, 6, 0), parent=inside)
        area = scroll_area(inside)
        area.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        area.setAccessibleName("The current row")
        return area

    def open(self, ref: TraceRef) -> None:
        """Read the rows of a point and show them."""
        self._previous_focus = self._page.focusWidget()
        self._suite = f"{ref.suite}."
        self.place(self._page.size())
        self.title.setText(name_rows(ref))
        self.about.setText(f"{self._suite}  Reading…")
        self.rows, self._all = None, []
        self._filter()
        self.show()
        self.raise_()
        self.list.setFocus()
        self._controller.ask_rows(ref, 0, self.render_rows, self.about.setText)

    def _load_more(self) -> None:
        if self.rows is not None:
            self._controller.ask_rows(self.rows.ref, len(self._all), self.render_rows, self.about.setText)

    def render_rows(self, rows: Rows) -> None:
        """Show a page of rows; a further page is added below those that are shown."""
        if not self.isVisible():
            return
        append = rows.offset > 0 and self.rows is not None and self.rows.ref == rows.ref
        current = self.list.currentIndex().row() if append else 0
        self._all = [*self._all, *rows.traces] if append else list(rows.traces)
        self.rows = rows
        right = sum(t.outcome is Outcome.RIGHT for t in self._all)
        unread = describe_unread(UnreadShares.of(t.outcome for t in self._all))
        counted = f"{count_of(len(self._all), 'row')}{' so far' if rows.more else ''}, {right} of them right"
        shown = ", ".join(part for part in (counted, unread) if part) + "."
        self.about.setText(f"{self._suite}  {shown}".strip())
        self._filter(current)

    def _filter(self, row: int = 0) -> None:
        wanted = self.filter.value
        shown = [t for t in self._all if wanted == ALL or (t.outcome is Outcome.RIGHT) == (wanted == RIGHT)]
        self.model.render_rows(shown)
        self.more.setVisible(self.rows is not None and self.rows.more)
        self.list.setCurrentIndex(self.model.index(max(0, min(row, self.model.rowCount() - 1)), 0))
        if not self.model.rowCount():
            self._render_trace(None)

    def _render_trace(self, trace: Trace | None) -> None:
        self.outcome.setVisible(trace is not None)
        self.replay.setVisible(trace is not None and bool(trace.question))
        values: tuple[str, ...] = ("",) * len(TEXTS)
        if trace is not None:
            self.outcome.render_style(OUTCOME_STYLES[trace.outcome])
            cut = "\n… truncated at the token limit" if trace.truncated else ""
            read = f"{trace.answer or 'none'}   (read from: {describe_reading(trace.tier, trace.reader)})"
            values = (trace.question, trace.hint, trace.gold, read, trace.completion + cut)
        for (heading, text), value in zip(self.texts.values(), values, strict=True):
            text.setText(value)
            heading.setVisible(bool(value))
            text.setVisible(bool(value))

    @property
    def current(self) -> Trace | None:
        found: Trace | None = self.list.currentIndex().data(ROW_ROLE)
        return found

    def _on_replay(self) -> None:
        if self.current is not None:
            self.replayRequested.emit(self.current)

    def leave(self) -> None:
        self.hide()
        if self._previous_focus is not None and self._previous_focus.isVisible():
            self._previous_focus.setFocus(Qt.FocusReason.OtherFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.leave()
        else:
            super().keyPressEvent(event)

    def place(self, page: QSize) -> None:
        width = min(WIDTH, page.width() - 80)
        self.setGeometry(page.width() - width - 12, 12, width, page.height() - 24)
