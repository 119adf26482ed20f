"""What stands where nothing is yet: a picture, what this place is for, and the first thing to do."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.theme import SPACE_2, SPACE_4, SPACE_8, current_theme
from seirenes_app.ui.widgets.labels import make_label

TEXT_WIDTH = 480


class Picture(QWidget):
    """One icon, drawn sharp in a colour of the theme."""

    def __init__(self, icon: str, size: int = 44, tone: str = "muted", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon, self._size, self._tone = icon, size, tone
        self.setFixedSize(size, size)

    def sizeHint(self) -> QSize:
        """Square."""
        return QSize(self._size, self._size)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the icon."""
        painter = QPainter(self)
        draw_svg(painter, self._icon, QRectF(0, 0, self._size, self._size), getattr(current_theme(), self._tone))


class EmptyState(QWidget):
    """Centred picture, heading, a line or two, and buttons."""

    def __init__(
        self, icon: str, title: str, text: str, buttons: tuple[QPushButton, ...] = (), parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAccessibleName(f"{title} {text}")
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE_8, SPACE_8, SPACE_8, SPACE_8)
        column.setSpacing(SPACE_2)
        column.addWidget(Picture(icon), 0, Qt.AlignmentFlag.AlignHCenter)
        heading = make_label(title, "heading")
        words = make_label(text, "muted", wrap=True)
        words.setFixedWidth(TEXT_WIDTH)
        for label in (heading, words):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            column.addWidget(label, 0, Qt.AlignmentFlag.AlignHCenter)
        # An aligned label is laid out at its size hint, which knows nothing of the width it was given.
        words.setMinimumHeight(words.heightForWidth(TEXT_WIDTH))
        if buttons:
            row = QHBoxLayout()
            row.setContentsMargins(0, SPACE_4, 0, 0)
            row.setSpacing(SPACE_2)
            row.addStretch(1)
            for button in buttons:
                row.addWidget(button)
            row.addStretch(1)
            column.addLayout(row)


class EmptyStateHolder(QWidget):
    """Where an empty state stands, a little above the middle; `state` is the one that was shown last."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state: EmptyState | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addStretch(2)
        self._column.addStretch(3)

    def render_state(self, icon: str, title: str, text: str, buttons: tuple[QPushButton, ...] = ()) -> None:
        """Show another in its place."""
        if self.state is not None:
            self._column.removeWidget(self.state)
            self.state.hide()
            self.state.deleteLater()
        self.state = EmptyState(icon, title, text, buttons)
        self._column.insertWidget(1, self.state)
