"""The hero's picture: a clean signal, a disturbance running into it, and the two settling together. Decoration only."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QSize
from PySide6.QtGui import QColor, QLinearGradient, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from seirenes_app.ui.theme import current_theme


class HeroArt(QWidget):
    """Two curves over a faint grid, in the colours that clean and hinted have in every chart."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(240, 170)

    def sizeHint(self) -> QSize:
        return QSize(420, 220)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme = current_theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for row in range(1, 6):
            y = self.height() * row / 6
            painter.setPen(QPen(theme.colour("grid"), 1))
            painter.drawLine(QPointF(0, y), QPointF(self.width(), y))
        for strand in range(7):
            self._draw(painter, "hinted", strand / 6, 0.16 + 0.1 * (strand / 6), 1.1)
        self._draw(painter, "hinted", 1.0, 0.95, 2.0)
        self._draw(painter, "clean", 0.0, 0.95, 2.2)

    def _draw(self, painter: QPainter, name: str, disturbance: float, strength: float, width: float) -> None:
        path = QPainterPath()
        steps = 220
        for i in range(steps + 1):
            x = i / steps
            point = QPointF(x * self.width(), self.height() * (0.5 - 0.34 * curve(x, disturbance)))
            if i == 0:
                path.moveTo(point)
            else:
                path.lineTo(point)
        painter.setPen(QPen(_fade(current_theme().colour(name), strength, self.width()), width))
        painter.drawPath(path)


def curve(x: float, disturbance: float) -> float:
    """Height in [-1, 1] at x in [0, 1]: a calm swell, plus a burst that dies away towards the right."""
    calm = 0.55 * math.sin(2 * math.pi * (1.6 * x + 0.1)) * (0.55 + 0.45 * x)
    burst = math.exp(-(((x - 0.3) / 0.2) ** 2)) * math.sin(2 * math.pi * 9.5 * x) * 0.7
    tail = 0.1 * math.exp(-3 * max(0.0, x - 0.4)) * math.sin(2 * math.pi * 14 * x)
    return max(-1.0, min(1.0, calm + disturbance * (burst + tail)))


def _fade(colour: QColor, strength: float, width: float) -> QLinearGradient:
    gradient = QLinearGradient(0, 0, width, 0)
    for stop, share in ((0.0, 0.0), (0.1, 1.0), (0.9, 1.0), (1.0, 0.15)):
        shade = QColor(colour)
        shade.setAlphaF(strength * share)
        gradient.setColorAt(stop, shade)
    return gradient
