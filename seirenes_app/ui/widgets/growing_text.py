"""A text field as high as its text, and a line edit. Both leave undo to the page and take plain text only."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QMimeData, QSize, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QFocusEvent, QKeyEvent, QKeySequence, QResizeEvent, QTextOption
from PySide6.QtWidgets import QLineEdit, QPlainTextEdit, QSizePolicy, QWidget

_UNDO = (QKeySequence.StandardKey.Undo, QKeySequence.StandardKey.Redo)


def _is_undo(event: QEvent) -> bool:
    return (
        event.type() == QEvent.Type.ShortcutOverride
        and isinstance(event, QKeyEvent)
        and any(event.matches(key) for key in _UNDO)
    )


class PageLine(QLineEdit):
    """A line edit. `edited` carries what the user typed, never what was rendered."""

    edited = Signal(str)

    def __init__(self, name: str, placeholder: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent, placeholderText=placeholder)
        self.setAccessibleName(name)
        self.textEdited.connect(self.edited)

    def render_text(self, text: str) -> None:
        """Show a text; the same text leaves the caret where it is."""
        if text != self.text():
            self.setText(text)

    def event(self, event: QEvent) -> bool:
        if _is_undo(event):
            event.ignore()
            return True
        return super().event(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.ignore()
        else:
            super().dragEnterEvent(event)


class GrowingText(QPlainTextEdit):
    """Between `least` and `most` lines high; Tab leaves it. `edited` carries what the user typed."""

    edited = Signal(str)
    committed = Signal()  # Ctrl+Enter, Escape, or the focus moved elsewhere

    def __init__(self, name: str, placeholder: str = "", *, least: int = 1, most: int = 8,
                 parent: QWidget | None = None) -> None:  # fmt: skip
        super().__init__(parent, placeholderText=placeholder, tabChangesFocus=True, undoRedoEnabled=False)
        self._least, self._most = least, most
        self._rendering = False
        self.setAccessibleName(name)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.document().setDocumentMargin(3)
        self.textChanged.connect(self._on_text_changed)
        self._fit()

    def render_text(self, text: str) -> None:
        """Show a text; the caret stays as near as it can."""
        if text == self.toPlainText():
            return
        self._rendering = True
        at = self.textCursor().position()
        self.setPlainText(text)
        cursor = self.textCursor()
        cursor.setPosition(min(at, len(self.toPlainText())))
        self.setTextCursor(cursor)
        self._rendering = False

    def sizeHint(self) -> QSize:
        return QSize(200, self.height())

    def event(self, event: QEvent) -> bool:
        if _is_undo(event):
            event.ignore()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        control = event.modifiers() & Qt.KeyboardModifier.ControlModifier
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if (enter and control) or event.key() == Qt.Key.Key_Escape:
            self.committed.emit()
            event.ignore()
            return
        super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        if event.reason() not in (Qt.FocusReason.PopupFocusReason, Qt.FocusReason.ActiveWindowFocusReason):
            self.committed.emit()

    def insertFromMimeData(self, source: QMimeData) -> None:
        self.insertPlainText(source.text())

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        return source.hasText() and not source.hasUrls()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()

    def _on_text_changed(self) -> None:
        self._fit()
        if not self._rendering:
            self.edited.emit(self.toPlainText())

    def _fit(self) -> None:
        # The layout of a QPlainTextEdit counts lines, not pixels.
        lines = int(self.document().documentLayout().documentSize().height())
        shown = max(self._least, min(self._most, lines))
        self.setVerticalScrollBarPolicy(
            Qt.ScrollBarPolicy.ScrollBarAsNeeded if lines > self._most else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        )
        self.setFixedHeight(shown * self.fontMetrics().lineSpacing() + 20)
