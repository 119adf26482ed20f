"""Choosing one of a list: search field, list, preview, buttons.

Enter chooses, Up and Down in the search field go through the list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QAbstractItemView, QLineEdit, QListView, QWidget

from seirenes_app.ui.actions import WIDGET, ActionSpec, bind_actions
from seirenes_app.ui.widgets.boxes import column, fill, row
from seirenes_app.ui.widgets.buttons import action_button, make_button
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.table_model import ROW_ROLE, Column, TableModel

LIST_WIDTH, LIST_HEIGHT, PREVIEW_HEIGHT = 680, 300, 72


class PickerDialog(PageDialog):
    """See the module. `roles` answers further item roles, as an icon."""

    chosen = Signal(object)

    def __init__(
        self,
        title: str,
        choose: str,
        text: Callable[[Any], str],
        *,
        preview: Callable[[Any], str] | None = None,
        search: Callable[[Any], str] | None = None,
        roles: Mapping[int, Callable[[Any], Any]] | None = None,
        placeholder: str = "Search…",
        empty: str = "Nothing is here yet.",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(title, parent)
        self._items: Sequence[Any] = ()
        self._preview_of, self._search_of, self._empty = preview, search, empty
        self.about = make_label("", "muted", wrap=True)  # A line below the title
        self.search = QLineEdit(placeholderText=placeholder, clearButtonEnabled=True)
        self.search.setAccessibleName(f"Search: {title}")
        if search is None:
            self.search.hide()
        self.filters = row((self.search, 1))
        self.model = TableModel((Column(title, text, roles=roles or {}),), self)
        self.list = QListView(uniformItemSizes=True)
        self.list.setModel(self.model)
        self.list.setAccessibleName(title)
        self.list.setProperty("roomy", "true")
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.setMinimumSize(LIST_WIDTH, LIST_HEIGHT)
        self.preview = make_label("", wrap=True, select=True)
        self.preview.setMinimumHeight(PREVIEW_HEIGHT)
        self.preview.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.below = column()  # Between preview and buttons
        self.about.hide()
        fill(self.body, self.about, self.filters, (self.list, 1), self.preview, self.below)
        self._tools: list[QAction] = []
        self._tool_row = row()
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.choose = make_button(choose, "check", kind="primary", clicked=self._on_choose)
        self.choose.setDefault(True)
        fill(self.buttons, self._tool_row, None, self.cancel, self.choose)
        self.search.textChanged.connect(lambda _text: self._filter())
        self.search.installEventFilter(self)
        self.list.selectionModel().currentChanged.connect(lambda *_: self._render_current())
        self.model.modelReset.connect(self._render_current)
        self.list.doubleClicked.connect(lambda _index: self._on_choose())
        (self.search if search is not None else self.list).setFocus()

    def say(self, text: str) -> None:
        """The line below the title: a notice, an error, or ""."""
        self.about.setText(text)
        # A dialog is laid out at its size hint, which knows nothing of lines that break.
        self.about.ensurePolished()
        self.about.setMinimumHeight(max(0, self.about.heightForWidth(LIST_WIDTH)))
        self.about.setVisible(bool(text))

    def add_tool(self, spec: ActionSpec, handler: Callable[[Any], object]) -> None:
        """A button at the left, and its key in the list, that does something with the current item."""

        def run() -> None:
            if (item := self.current) is not None:
                handler(item)

        action = bind_actions(self.list, (spec,), {spec.name: run}, keys=WIDGET)[spec.name]
        self._tools.append(action)
        self._tool_row.addWidget(action_button(action, kind="quiet"))
        self._render_current()

    def render_items(self, items: Sequence[Any], current: Any = None) -> None:
        """Show these, with the cursor on `current`, or where it was."""
        self._items = items
        place = self.list.currentIndex().row()
        self._filter()
        if current in self.model.rows:
            place = list(self.model.rows).index(current)
        if self.model.rowCount():
            self.list.setCurrentIndex(self.model.index(max(0, min(place, self.model.rowCount() - 1)), 0))

    @property
    def current(self) -> Any:
        """The item under the cursor, None where there is none."""
        return self.list.currentIndex().data(ROW_ROLE)

    def _filter(self) -> None:
        words, search = self.search.text().casefold().split(), self._search_of
        found = [i for i in self._items if search is None or all(word in search(i).casefold() for word in words)]
        self.model.render_rows(found)
        if found:
            self.list.setCurrentIndex(self.model.index(0, 0))

    def _render_current(self) -> None:
        item = self.current
        self.choose.setEnabled(item is not None)
        for tool in self._tools:
            tool.setEnabled(item is not None)
        if item is not None:
            self.preview.setText(self._preview_of(item) if self._preview_of is not None else "")
        else:
            self.preview.setText("Nothing matches. Try fewer words." if self._items else self._empty)
        self.preview.setVisible(self._preview_of is not None or item is None)

    def _on_choose(self) -> None:
        if (item := self.current) is not None and self.choose.isEnabled():
            self.accept()
            self.chosen.emit(item)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.search and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()))
            if step is not None and self.model.rowCount():
                row = max(0, min(self.model.rowCount() - 1, self.list.currentIndex().row() + step))
                self.list.setCurrentIndex(self.model.index(row, 0))
                return True
        return super().eventFilter(watched, event)
