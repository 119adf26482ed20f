"""The head of the page: the draft's title, whether it is kept, its history, and what can be done with it as a whole."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from seirenes_app.lab.crafting.documents import Draft, title_of
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.theme import SPACE_1, SPACE_2
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.growing_text import PageLine
from seirenes_app.ui.widgets.labels import ElidedLabel

KEPT, KEEPING, NOT_KEPT = "Saved", "Saving…", "Not saved"


class CraftHead(QWidget):
    """Asks by signals."""

    titleEdited = Signal(str)
    undoAsked = Signal()
    redoAsked = Signal()
    newAsked = Signal()
    draftsAsked = Signal()
    copyAsked = Signal()
    suiteAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._build()

    def _build(self) -> None:
        self.title = PageLine("Title of the draft", "Untitled")
        self.title.setProperty("title", "true")
        self.title.setToolTip("The draft's title; without one, the beginning of its question")
        self.title.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.title.edited.connect(self.titleEdited)
        self.kept = ElidedLabel("small")
        # So that the title keeps its width while the words change.
        self.kept.setMinimumWidth(64)
        self.undo = make_icon_button("undo", "Undo (Ctrl+Z)", clicked=self.undoAsked.emit)
        self.redo = make_icon_button("redo", "Redo (Ctrl+Shift+Z)", clicked=self.redoAsked.emit)
        for tool, name in ((self.undo, "undo"), (self.redo, "redo")):
            # Stronger than other icons, so that it shows when there is nothing to undo.
            set_icon(tool, name, "text")
        self.new = make_button("New", "plus", kind="quiet", tip="Start another draft (Ctrl+Alt+N)",
                               clicked=self.newAsked.emit)  # fmt: skip
        self.drafts = make_button("Drafts", "clock", kind="quiet", tip="Open, rename or delete recent drafts",
                                  clicked=self.draftsAsked.emit)  # fmt: skip
        self.copy = make_icon_button(
            "copy", "Copy as command: the line that solves the candidate in hand in a terminal",
            clicked=self.copyAsked.emit,
        )  # fmt: skip
        self.suite = make_button("Save to a suite…", "save", tip="Keep candidates for later evaluations (Ctrl+S)",
                                 clicked=self.suiteAsked.emit)  # fmt: skip
        row = QHBoxLayout(self)
        # Its last button ends where the cards below end.
        row.setContentsMargins(0, 0, 12, 0)
        row.setSpacing(SPACE_1)
        row.addWidget(self.title, 1)
        row.addWidget(self.kept)
        row.addSpacing(SPACE_2)
        for tool in (self.undo, self.redo):
            row.addWidget(tool)
        row.addSpacing(SPACE_2)
        for widget in (self.copy, self.new, self.drafts, self.suite):
            row.addWidget(widget)

    def render_draft(self, draft: Draft) -> None:
        """Its title, or what stands for it."""
        self.title.render_text(draft.title)
        self.title.setPlaceholderText(title_of(draft))
        self.suite.setEnabled(bool(draft.candidates))
        self.copy.setEnabled(bool(draft.problem.question.strip()))

    def render_history(self, undo: str, redo: str) -> None:
        """What undo and redo would do, "" for nothing."""
        for button, word, label, key in (
            (self.undo, "Undo", undo, "Ctrl+Z"),
            (self.redo, "Redo", redo, "Ctrl+Shift+Z"),
        ):
            button.setEnabled(bool(label))
            name = f"{word}: {label} ({key})" if label else f"Nothing to {word.lower()} ({key})"
            button.setToolTip(name)
            button.setAccessibleName(name)

    def render_kept(self, kept: bool, trouble: str = "") -> None:
        """Whether all is on the disk."""
        self.kept.setText(KEPT if kept else NOT_KEPT if trouble else KEEPING)
        self.kept.setAccessibleDescription(trouble)
        self.kept.setProperty("tone", "bad" if trouble and not kept else "")
        self.kept.style().polish(self.kept)
