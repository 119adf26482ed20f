"""A line that says what was done and goes away by itself. Errors that need an answer do not belong here."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from seirenes_app.ui.widgets.labels import make_label

MARGIN = 24


class Toast(QFrame):
    """One toast of a window; a new text replaces the old."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("toast")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._label = make_label()
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 10, 16, 10)
        row.addWidget(self._label)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        parent.installEventFilter(self)
        self.hide()

    @property
    def text(self) -> str:
        """What is said now or was said last."""
        return self._label.text()

    def say(self, text: str, seconds: float = 4.0) -> None:
        """Show `text` at the foot of the window."""
        self._label.setWordWrap(False)
        self._label.setText(text)
        if self._label.sizeHint().width() > self._room():
            self._label.setWordWrap(True)
            self._label.setFixedWidth(self._room())
        else:
            self._label.setMinimumWidth(0)
            self._label.setMaximumWidth(16_777_215)
        self.setAccessibleName(text)
        self._place()
        self.show()
        self.raise_()
        self._timer.start(round(1000 * seconds))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay at the foot when the window is resized."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return False

    def _room(self) -> int:
        return min(680, self.parentWidget().width() - 4 * MARGIN)

    def _place(self) -> None:
        self.adjustSize()
        parent = self.parentWidget()
        self.move((parent.width() - self.width()) // 2, parent.height() - self.height() - 2 * MARGIN)
