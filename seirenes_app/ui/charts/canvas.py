"""The picture of a chart with a cursor on it, moved by mouse or keyboard.

matplotlib's Agg picture is painted by the widget itself: a resize shows it scaled until its turn to be drawn comes, and
the cursor is painted over it without a new draw.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from seirenes_app.services.charts.data import ChartData
from seirenes_app.ui.charts.legend import nearest
from seirenes_app.ui.theme import current_theme

REACH = 40.0
"""Within how many pixels a point is under the mouse."""
ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)
MOVES = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}


class ChartCanvas(QWidget):
    """Left, Right, Home, End move the cursor, Escape hides it.

    With `pick`, Up and Down go from series to series, and a click or Enter asks for what is behind a point.
    """

    cursorChanged = Signal()
    pointRequested = Signal(int, float)
    """(index of the series, x)"""

    def __init__(self, *, pick: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pick = pick
        self._image: QImage | None = None
        self._figure: Any = None
        self._axes: Any = None
        self._ratio = 1.0
        self.chart = ChartData(())
        self.cursor_x: float | None = None
        self.current = -1
        """The series at the cursor, -1 for none."""
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def draw(self, chart: ChartData) -> None:
        """Draw the picture at the widget's size."""
        from seirenes_app.services.charts.drawing import DPI, draw_chart, make_figure

        self.chart = chart
        width, height, ratio = max(80, self.width()), max(60, self.height()), self.devicePixelRatioF()
        self._figure = self._figure or make_figure((1, 1))
        self._figure.set_dpi(DPI * ratio)
        self._figure.set_size_inches(width / DPI, height / DPI)
        self._axes = draw_chart(self._figure, chart, (width, height), current_theme())
        self._figure.canvas.draw()
        pixels = self._figure.canvas.buffer_rgba()
        rows, columns = pixels.shape[:2]
        self._image = QImage(pixels.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_RGBA8888).copy()
        self._image.setDevicePixelRatio(ratio)
        self._ratio = ratio
        self.update()

    def sizeHint(self) -> QSize:
        """Wider than high."""
        return QSize(320, 180)

    # ------------------------------------------------------------------ the cursor

    def move_cursor(self, x: float | None, current: int = -1) -> None:
        """Put the cursor at `x`, None hides it, and on a series."""
        if (x, current) != (self.cursor_x, self.current):
            self.cursor_x, self.current = x, current
            self.cursorChanged.emit()
            self.update()

    def position(self, i: int) -> QPointF:
        """Where series `i` is at the cursor, in the widget's pixels; of a part of a whole the middle."""
        series, x = self.chart.series[i], self.cursor_x or 0.0
        at = nearest(series.x, x)
        value = series.base[at] + series.y[at] / 2 if series.area else series.y[at]
        left, top = self._axes.transData.transform((x + series.shift, value))
        return QPointF(left / self._ratio, self.height() - top / self._ratio)

    def at_cursor(self) -> list[int]:
        """Series that have a point at the cursor, from the highest down."""
        if self.cursor_x is None or self._axes is None:
            return []
        found = [
            i
            for i, s in enumerate(self.chart.series)
            if s.keyed and len(s.x) and s.x[nearest(s.x, self.cursor_x)] == self.cursor_x
        ]
        return sorted(found, key=lambda i: self.position(i).y())

    def _keep_current(self) -> None:
        """After the cursor moved: the same series where it has a point, else the highest."""
        here = self.at_cursor()
        if self._pick and self.current not in here:
            self.move_cursor(self.cursor_x, here[0] if here else -1)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The nearest place, and the nearest point there."""
        places = self.chart.places
        if self._axes is None or not places:
            return
        wanted = self._axes.transData.inverted().transform((event.position().x() * self._ratio, 0))[0]
        self.move_cursor(places[nearest(places, wanted)], self.current)
        if self._pick:
            y = event.position().y()
            near = min(self.at_cursor(), key=lambda i: abs(self.position(i).y() - y), default=-1)
            within = near >= 0 and abs(self.position(near).y() - y) <= REACH
            self.move_cursor(self.cursor_x, near if within else -1)
            self.setCursor(Qt.CursorShape.PointingHandCursor if within else Qt.CursorShape.ArrowCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Ask for what is behind the point under the mouse."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._request_point()
        super().mouseReleaseEvent(event)

    def _request_point(self) -> None:
        if self.current >= 0 and self.cursor_x is not None:
            self.pointRequested.emit(self.current, self.cursor_x)

    def leaveEvent(self, event: QEvent) -> None:
        """Back to the newest values; where the keyboard is, its cursor stays."""
        if not (self._pick and self.hasFocus()):
            self.move_cursor(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move, open, leave."""
        key, places = event.key(), self.chart.places
        if key in MOVES and places:
            here = len(places) if self.cursor_x is None else bisect_left(places, self.cursor_x)
            at = min(max(here + MOVES[Qt.Key(key)], 0), len(places) - 1)
            self.move_cursor(places[at], self.current)
            self._keep_current()
        elif key in (Qt.Key.Key_Home, Qt.Key.Key_End) and places:
            self.move_cursor(places[0 if key == Qt.Key.Key_Home else -1], self.current)
            self._keep_current()
        elif key == Qt.Key.Key_Escape and self.cursor_x is not None:
            self.move_cursor(None)
        elif self._pick and key in (Qt.Key.Key_Up, Qt.Key.Key_Down) and (found := self.at_cursor()):
            step = 1 if key == Qt.Key.Key_Down else -1
            at = found.index(self.current) + step if self.current in found else 0
            self.move_cursor(self.cursor_x, found[max(0, min(at, len(found) - 1))])
        elif (
            self._pick and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self.cursor_x is not None
        ):
            self._request_point()
        else:
            super().keyPressEvent(event)

    # ------------------------------------------------------------------ painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """The picture, the cursor, the ring of the keyboard's focus."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._image is not None:
            painter.drawImage(QRectF(self.rect()), self._image)
        if self.cursor_x is not None and self._axes is not None:
            self._paint_cursor(painter, self.cursor_x)
        if self.hasFocus():
            painter.setPen(QPen(current_theme().colour("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 6, 6)

    def _paint_cursor(self, painter: QPainter, x: float) -> None:
        theme, box = current_theme(), self._axes.bbox
        left = self._axes.transData.transform((x, 0))[0] / self._ratio
        painter.setPen(QPen(theme.colour("muted"), 1))
        painter.drawLine(
            QPointF(left, self.height() - box.y1 / self._ratio), QPointF(left, self.height() - box.y0 / self._ratio)
        )
        for i in self.at_cursor():
            colour, chosen, at = (
                QColor(theme.hex(self.chart.series[i].style.colour)),
                i == self.current,
                self.position(i),
            )
            painter.setPen(QPen(theme.colour("text" if chosen else "surface"), 2 if chosen else 1.5))
            painter.setBrush(theme.colour("surface") if chosen else colour)
            painter.drawEllipse(at, 6.5 if chosen else 4.5, 6.5 if chosen else 4.5)
            if chosen:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(colour)
                painter.drawEllipse(at, 3.5, 3.5)
