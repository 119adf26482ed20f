"""Badges: an icon, a word and a colour, always all three, so that colour is never the only sign."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from seirenes_app.lab.verdicts import STATUS_WORDS
from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.theme import current_theme
from training.rundir.state import RunStatus

HEIGHT = 26
ICON = 15
PAD = 9
GAP = 6


@dataclass(frozen=True)
class Look:
    """How a badge looks: icon file, word, and a colour's name in the theme."""

    icon: str
    text: str
    tone: str


STATUS_LOOKS = {
    RunStatus.STARTING: Look("clock", STATUS_WORDS[RunStatus.STARTING], "accent"),
    RunStatus.RUNNING: Look("running", STATUS_WORDS[RunStatus.RUNNING], "accent"),
    RunStatus.PAUSED: Look("paused", STATUS_WORDS[RunStatus.PAUSED], "muted"),
    RunStatus.STOPPING: Look("clock", STATUS_WORDS[RunStatus.STOPPING], "muted"),
    RunStatus.FINISHED: Look("check-circle", STATUS_WORDS[RunStatus.FINISHED], "good"),
    RunStatus.STOPPED: Look("stopped", STATUS_WORDS[RunStatus.STOPPED], "muted"),
    RunStatus.FAILED: Look("error", STATUS_WORDS[RunStatus.FAILED], "bad"),
    RunStatus.DIED: Look("died", STATUS_WORDS[RunStatus.DIED], "bad"),
    RunStatus.STALLED: Look("silent", STATUS_WORDS[RunStatus.STALLED], "warn"),
}
BROKEN = Look("warning", "Unreadable", "warn")


def badge_width(text: str, font: QFont) -> int:
    """Width of a badge with `text` in logical pixels."""
    return PAD + ICON + GAP + QFontMetrics(font).horizontalAdvance(text) + PAD + 2


def paint_badge(painter: QPainter, place: QPointF, look: Look, font: QFont) -> None:
    """Paint a badge with its top left corner at `place`."""
    theme = current_theme()
    width = badge_width(look.text, font)
    rect = QRectF(place.x(), place.y(), width, HEIGHT)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.wash(look.tone))
    painter.drawRoundedRect(rect, HEIGHT / 2, HEIGHT / 2)
    draw_svg(painter, look.icon, QRectF(rect.x() + PAD, rect.y() + (HEIGHT - ICON) / 2, ICON, ICON),
             getattr(theme, look.tone))  # fmt: skip
    painter.setPen(theme.colour(look.tone))
    painter.setFont(font)
    text = QRect(int(rect.x()) + PAD + ICON + GAP, int(rect.y()), int(width), HEIGHT)
    painter.drawText(text, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, look.text)
    painter.restore()


class Badge(QWidget):
    """A badge as a widget."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.render_look(look)

    def render_look(self, look: Look) -> None:
        """Show another icon, word and colour."""
        self._look = look
        self.setAccessibleName(look.text)
        self.setFixedSize(self.sizeHint())
        self.update()

    def sizeHint(self) -> QSize:
        """The badge's own size."""
        return QSize(badge_width(self._look.text, self._font()), HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the badge."""
        painter = QPainter(self)
        paint_badge(painter, QPointF(0, 0), self._look, self._font())

    def _font(self) -> QFont:
        font = QFont(self.font())
        font.setPixelSize(12)
        font.setWeight(QFont.Weight.DemiBold)
        return font
