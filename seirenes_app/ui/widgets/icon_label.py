"""One icon in a colour of the theme, beside a text that says the same."""

from __future__ import annotations

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.theme import current_theme


class IconLabel(QWidget):
    """Square, `size` logical pixels, tinted with the named colour whatever the theme."""

    def __init__(self, icon: str, size: int = 18, colour: str = "muted", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon, self._colour = icon, colour
        self.setFixedSize(size, size)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw it."""
        painter = QPainter(self)
        draw_svg(painter, self._icon, QRectF(self.rect()), getattr(current_theme(), self._colour))
