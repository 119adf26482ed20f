"""A read-only text with one span marked, such as a question with the hint in it."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QResizeEvent, QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import QTextEdit, QWidget

from seirenes_app.ui.theme import current_theme


class MarkedText(QTextEdit):
    """A read-only plain text, as high as it is, with one span marked. Selectable by mouse and keys; Tab leaves it."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent, readOnly=True, tabChangesFocus=True, acceptRichText=False)
        self._span: tuple[int, int] | None = None
        self.setAccessibleName(name)
        self.setProperty("bare", "true")
        self.setFrameShape(self.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        policy = self.sizePolicy()
        policy.setVerticalPolicy(policy.Policy.Fixed)
        self.setSizePolicy(policy)
        self.document().setDocumentMargin(2)

    def render_text(self, text: str, span: tuple[int, int] | None) -> None:
        """Show a text with the characters of `span` marked."""
        self._span = span
        self.setPlainText(text)
        self.setAccessibleDescription(f"The hint in it: {text[span[0] : span[1]]}" if span else "")
        self.render_mark()
        self._fit()

    def render_mark(self) -> None:
        if self._span is None:
            return
        theme, text = current_theme(), self.toPlainText()
        cursor = QTextCursor(self.document())
        # Qt counts UTF-16 units.
        start, end = (len(text[:at].encode("utf-16-le", "surrogatepass")) // 2 for at in self._span)
        cursor.setPosition(start)
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        mark = QTextCharFormat()
        mark.setBackground(theme.wash("adversary", 0.16))
        mark.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
        mark.setUnderlineColor(theme.colour("adversary"))
        cursor.mergeCharFormat(mark)

    def _fit(self) -> None:
        self.document().setTextWidth(self.viewport().width())
        self.setFixedHeight(int(self.document().size().height()) + 4)

    def sizeHint(self) -> QSize:
        return QSize(240, self.height())

    def minimumSizeHint(self) -> QSize:
        return QSize(120, self.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()
