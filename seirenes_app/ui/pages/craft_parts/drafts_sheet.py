"""Recent drafts: open one, rename it, delete it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QInputDialog, QListWidget, QListWidgetItem, QWidget

from seirenes_app.lab.verdicts import format_when
from seirenes_app.store.crafts import SavedDraft
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import ConfirmDialog, Sheet
from seirenes_app.ui.widgets.labels import make_label

HEIGHT, WIDTH = 300, 600
LONGEST_TITLE = 120
EMPTY = "No draft is kept yet. What you write on this page is kept by itself."


class DraftsSheet(Sheet):
    """Enter opens, F2 renames, Delete deletes after a question. It asks by signals and changes nothing itself."""

    openAsked = Signal(str)
    renameAsked = Signal(str, str)
    deleteAsked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Drafts", parent)
        self._build()
        self._connect()

    def _build(self) -> None:
        self.body.addWidget(make_label("Drafts", "title"))
        self.text = make_label("", "muted", wrap=True)
        self.body.addWidget(self.text)
        self.list = QListWidget()
        self.list.setAccessibleName("Drafts, newest first")
        self.list.setFixedHeight(HEIGHT)
        self.list.setMinimumWidth(WIDTH)
        self.list.setProperty("roomy", "true")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.body.addWidget(self.list)
        self.rename = make_button("Rename…", "pencil", kind="quiet", tip="Give it another title (F2)",
                                  clicked=self._rename)  # fmt: skip
        self.delete = make_button("Delete…", "discard", kind="quiet", tip="Delete it with its results (Delete)",
                                  clicked=self._delete)  # fmt: skip
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.open_ = make_button("Open", "arrow-right", kind="primary", tip="Go on with it (Enter)",
                                 clicked=self._open)  # fmt: skip
        for button in (self.rename, self.delete):
            self.buttons.addWidget(button)
        self.buttons.addStretch(1)
        for button in (self.cancel, self.open_):
            self.buttons.addWidget(button)
        self.open_.setDefault(True)

    def _connect(self) -> None:
        self.list.itemDoubleClicked.connect(lambda _item: self._open())
        self.list.currentRowChanged.connect(lambda _row: self._render_buttons())
        for key, does in (("F2", self._rename), ("Del", self._delete)):
            shortcut = QShortcut(QKeySequence(key), self.list)
            shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(does)

    def render_drafts(self, drafts: Sequence[SavedDraft], current: str) -> None:
        """Show them, newest first; `current` is the one that is open."""
        row = max(0, self.list.currentRow())
        self.list.clear()
        now = time.time()
        for draft in drafts:
            mark = "open now" if draft.id == current else format_when(draft.saved_at, now)
            item = QListWidgetItem(f"{draft.title}  ·  {mark}")
            item.setData(Qt.ItemDataRole.UserRole, draft)
            item.setToolTip(draft.title)
            self.list.addItem(item)
        self.list.setCurrentRow(min(row, self.list.count() - 1))
        self.text.setText("" if drafts else EMPTY)
        self.text.setVisible(not drafts)
        self._render_buttons()
        self.list.setFocus()

    def _render_buttons(self) -> None:
        for button in (self.rename, self.delete, self.open_):
            button.setEnabled(self.current() is not None)

    def current(self) -> SavedDraft | None:
        """The draft under the cursor."""
        item = self.list.currentItem()
        found = item.data(Qt.ItemDataRole.UserRole) if item is not None else None
        return found if isinstance(found, SavedDraft) else None

    def _open(self) -> None:
        if (draft := self.current()) is not None:
            self.accept()
            self.openAsked.emit(draft.id)

    def _rename(self) -> None:
        if (draft := self.current()) is None:
            return
        dialog = QInputDialog(self)
        dialog.setWindowTitle("Rename the draft")
        dialog.setLabelText("Title")
        dialog.setTextValue(draft.title)
        dialog.textValueSelected.connect(lambda text: self._take_title(draft.id, text))
        dialog.open()

    def _take_title(self, draft_id: str, text: str) -> None:
        title = " ".join(text.split())[:LONGEST_TITLE]
        if title:
            self.renameAsked.emit(draft_id, title)

    def _delete(self) -> None:
        if (draft := self.current()) is None:
            return
        dialog = ConfirmDialog(
            "Delete the draft?", f"“{draft.title}” and its results are deleted. This cannot be undone.", "Delete", self
        )
        dialog.accepted.connect(lambda: self.deleteAsked.emit(draft.id))
        dialog.open()
