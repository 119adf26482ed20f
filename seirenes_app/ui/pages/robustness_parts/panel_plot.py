"""The picture of a panel with a cursor on one curve, by mouse or arrow keys; a click or Enter asks for its rows."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QWidget

from seirenes_app.ui.pages.robustness_parts.looks import Drawn
from seirenes_app.ui.pages.robustness_parts.panel_figure import draw_panel
from seirenes_app.ui.theme import current_theme
from seirenes_app.ui.widgets.chart_drawing import DPI, ink
from seirenes_app.ui.widgets.charts import Plot

REACH = 40.0
"""Within how many pixels a curve is under the mouse."""


class PanelPlot(Plot):
    """Left and Right go from point to point, Up and Down from curve to curve, Enter opens, Escape leaves the plot's
    cursor."""

    chosen = Signal(int, float)
    """(curve, x) whose rows are asked for."""
    curved = Signal(int)
    """The curve in hand, -1 for none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(unit=True, parent=parent)
        self.drawn: Drawn | None = None
        self.curve = -1

    def draw_drawn(self, drawn: Drawn) -> None:
        """Draw the picture anew at the widget's size."""
        if self.drawn is not drawn:
            self.curve, self._cursor = -1, None
        self.drawn = drawn
        self._lines = drawn.lines
        self._steps = sorted({x for line in drawn.lines for x in line.x})
        width, height, ratio = max(80, self.width()), max(60, self.height()), self.devicePixelRatioF()
        self.figure.set_dpi(DPI * ratio)
        self.figure.set_size_inches(width / DPI, height / DPI)
        self._axes = draw_panel(self.figure, drawn, (width, height))
        self._canvas.draw()
        pixels = self._canvas.buffer_rgba()
        rows, columns = pixels.shape[:2]
        image = QImage(pixels.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_RGBA8888).copy()
        image.setDevicePixelRatio(ratio)
        self._image, self._drawn_ratio = image, ratio
        self.update()

    @property
    def cursor_x(self) -> float | None:
        """Where the cursor is."""
        return self._cursor

    # ------------------------------------------------------------------ the curve in hand

    def hold_curve(self, curve: int) -> None:
        """Take a curve in hand."""
        if curve != self.curve:
            self.curve = curve
            self.curved.emit(curve)
            self.update()

    def _curves_here(self) -> list[int]:
        """Curves that have a point under the cursor, from the highest down."""
        if self.drawn is None or self._cursor is None:
            return []
        there = [i for i in range(len(self.drawn.lines)) if self.drawn.point(i, self._cursor) is not None]
        return sorted(there, key=lambda i: self._place(i).y())

    def _place(self, curve: int) -> QPointF:
        assert self.drawn is not None
        assert self._cursor is not None
        line = self.drawn.lines[curve]
        at = list(line.x).index(self._cursor)
        # Of a part of a whole the middle, not the edge.
        value = line.base[at] + line.y[at] / 2 if line.area else line.y[at]
        return self.place_of(self._cursor + self.drawn.shift(curve), value)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The nearest point."""
        super().mouseMoveEvent(event)
        near = min(self._curves_here(), key=lambda i: abs(self._place(i).y() - event.position().y()), default=-1)
        within = near >= 0 and abs(self._place(near).y() - event.position().y()) <= REACH
        self.hold_curve(near if within else -1)
        self.setCursor(Qt.CursorShape.PointingHandCursor if within else Qt.CursorShape.ArrowCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Ask for the rows of the point under the mouse."""
        if event.button() == Qt.MouseButton.LeftButton and self.curve >= 0 and self._cursor is not None:
            self.chosen.emit(self.curve, self._cursor)
        super().mouseReleaseEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing in hand; what the keyboard holds stays."""
        if not self.hasFocus():
            self.hold_curve(-1)
            super().leaveEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move, open, leave."""
        key = Qt.Key(event.key())
        if key in (Qt.Key.Key_Up, Qt.Key.Key_Down) and self._cursor is not None:
            here = self._curves_here()
            step = 1 if key == Qt.Key.Key_Down else -1
            at = here.index(self.curve) + step if self.curve in here else 0
            if here:
                self.hold_curve(here[max(0, min(at, len(here) - 1))])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self._cursor is not None:
            if self.curve >= 0:
                self.chosen.emit(self.curve, self._cursor)
        else:
            super().keyPressEvent(event)
            here = self._curves_here()
            if self.curve not in here:
                self.hold_curve(here[0] if here else -1)

    def _paint_cursor(self, painter: QPainter, step: float) -> None:
        assert self.drawn is not None
        theme, box = current_theme(), self._axes.bbox  # type: ignore[attr-defined]
        top, bottom = self.height() - box.y1 / self._drawn_ratio, self.height() - box.y0 / self._drawn_ratio
        x = self.place_of(step, 0).x()
        painter.setPen(QPen(theme.colour("muted"), 1))
        painter.drawLine(QPointF(x, top), QPointF(x, bottom))
        for i in self._curves_here():
            held = i == self.curve
            painter.setPen(QPen(theme.colour("text" if held else "surface"), 2 if held else 1.5))
            painter.setBrush(theme.colour("surface") if held else QColor(ink(self.drawn.lines[i].colour)))
            painter.drawEllipse(self._place(i), 6.5 if held else 4.5, 6.5 if held else 4.5)
            if held:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(ink(self.drawn.lines[i].colour)))
                painter.drawEllipse(self._place(i), 3.5, 3.5)
