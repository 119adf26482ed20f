"""A read-only text, as high as it is, with one part marked by a ground and a line. Plain text, never markup."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QResizeEvent, QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import QFrame, QSizePolicy, QTextEdit, QWidget

from seirenes_app.ui.theme import current_theme


class MarkedText(QTextEdit):
    """Can be selected with mouse and keys; Tab leaves it."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._span: tuple[int, int] | None = None
        self._name = name
        self.setAccessibleName(name)
        self.setReadOnly(True)
        self.setTabChangesFocus(True)
        self.setAcceptRichText(False)
        self.setProperty("bare", "true")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.document().setDocumentMargin(2)

    def render_text(self, text: str, span: tuple[int, int] | None) -> None:
        """Show a text; `span` are the characters to mark."""
        self._span = span
        self.setPlainText(text)
        self.setAccessibleDescription(f"The hint in it: {text[span[0] : span[1]]}" if span else "")
        self._mark()
        self._fit()

    def themed(self) -> None:
        """The mark in the colours of the theme."""
        self._mark()

    def _mark(self) -> None:
        if self._span is None:
            return
        theme, text = current_theme(), self.toPlainText()
        cursor = QTextCursor(self.document())
        # Qt counts UTF-16 units.
        start, end = (len(text[:at].encode("utf-16-le", "surrogatepass")) // 2 for at in self._span)
        cursor.setPosition(start)
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        look = QTextCharFormat()
        look.setBackground(theme.wash("adversary", 0.16))
        look.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
        look.setUnderlineColor(theme.colour("adversary"))
        cursor.mergeCharFormat(look)

    def _fit(self) -> None:
        self.document().setTextWidth(self.viewport().width())
        self.setFixedHeight(int(self.document().size().height()) + 4)

    def sizeHint(self) -> QSize:
        """As high as its text."""
        return QSize(240, self.height())

    def minimumSizeHint(self) -> QSize:
        """It wraps."""
        return QSize(120, self.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width breaks the lines elsewhere."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()
