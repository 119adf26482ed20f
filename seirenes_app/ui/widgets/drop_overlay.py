"""What dropping a file on a page would do, shown while it is dragged over it."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.theme import HEADING_PX, current_theme, sized_font


class DropOverlay(QWidget):
    """Covers the page while a file is dragged over it, and says what dropping it would do."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.text = ""
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def show_text(self, text: str) -> None:
        self.text = text
        self.setAccessibleName(text)
        self.setGeometry(self.parentWidget().rect())
        self.show()
        self.raise_()

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, painter = current_theme(), QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground = theme.colour("background")
        ground.setAlphaF(0.9)
        painter.fillRect(self.rect(), ground)
        painter.setPen(QPen(theme.colour("accent"), 2, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(16, 16, -16, -16), 12, 12)
        middle = QRectF(self.rect()).center()
        draw_svg(painter, "drop", QRectF(middle.x() - 24, middle.y() - 56, 48, 48), theme.accent)
        painter.setFont(sized_font(self.font(), HEADING_PX))
        painter.setPen(theme.colour("text"))
        painter.drawText(QRectF(0, middle.y() + 8, self.width(), 30), Qt.AlignmentFlag.AlignCenter, self.text)
