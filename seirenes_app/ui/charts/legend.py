"""The key of a chart, which is its reading too: for each line a sample, its name, and its value at the cursor."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetrics, QPainter, QPaintEvent, QPen, QPolygonF, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from seirenes_app.ui.charts.drawing import DASHES, Line, format_value, ink
from seirenes_app.ui.theme import SMALL_PX, current_theme

SAMPLE = 26
GAP = 6
BETWEEN = 18
ROW = 20
HATCHES = {
    "": Qt.BrushStyle.SolidPattern, "////": Qt.BrushStyle.BDiagPattern, "....": Qt.BrushStyle.Dense5Pattern,
    "\\\\\\\\": Qt.BrushStyle.FDiagPattern, "xxxx": Qt.BrushStyle.DiagCrossPattern, "----": Qt.BrushStyle.HorPattern,
    "||||": Qt.BrushStyle.VerPattern, "++++": Qt.BrushStyle.CrossPattern,
}  # fmt: skip


def nearest(x: Sequence[float], wanted: float) -> int:
    """Index of the value in ascending `x` nearest to `wanted`; `x` must not be empty."""
    i = bisect_left(x, wanted)
    if i == 0:
        return 0
    if i == len(x) or wanted - x[i - 1] <= x[i] - wanted:
        return i - 1
    return i


class ChartKey(QWidget):
    """Flows over as many rows as it needs. `render_lines` and `render_cursor` are all that touches it."""

    def __init__(self, *, unit: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._unit = unit
        self._lines: list[Line] = []
        self._cursor: float | None = None
        self._places: list[tuple[Line, QPointF]] = []
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._flow()

    def render_lines(self, lines: Sequence[Line]) -> None:
        """Other data."""
        self._lines = [line for line in lines if line.keyed and len(line.x)]
        self._flow()
        self.update()

    def render_cursor(self, step: float | None) -> None:
        """Read at `step`; None reads the newest."""
        self._cursor = step
        self.update()

    def text(self) -> str:
        """The reading in plain words, values with three significant digits."""
        return "  ·  ".join(f"{line.label} {line.y[self._index(line)]:.3g}" for line in self._lines)

    def _index(self, line: Line) -> int:
        return len(line.x) - 1 if self._cursor is None else nearest(line.x, self._cursor)

    def value(self, line: Line) -> str:
        """A line's value as it is painted. Points say of which step they are; a line elsewhere says nothing."""
        i = self._index(line)
        text = format_value(line.y[i], unit=self._unit)
        if line.points:
            return f"{text} at {line.x[i]:.0f}"
        if self._cursor is not None and line.x[i] != self._cursor:
            return "–"
        return text

    # ------------------------------------------------------------------ layout

    def _font(self, *, bold: bool = False) -> QFont:
        font = QFont(self.font())
        font.setPixelSize(SMALL_PX)
        font.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
        return font

    def _width(self, line: Line) -> float:
        # By the widest value the line can show, so that entries stand still under a moving cursor.
        metrics = QFontMetrics(self._font(bold=True))
        ends = {format_value(v, unit=self._unit) for v in (min(line.y), max(line.y), line.y[-1])}
        widest = max(metrics.horizontalAdvance(end) for end in ends)
        if line.points:
            widest += metrics.horizontalAdvance(f" at {line.x[-1]:.0f}")
        return SAMPLE + GAP + QFontMetrics(self._font()).horizontalAdvance(line.label) + GAP + widest + BETWEEN

    def _flow(self) -> None:
        x = y = 0.0
        self._places = []
        for line in self._lines:
            width = self._width(line)
            if x and x + width - BETWEEN > self.width():
                x, y = 0.0, y + ROW
            self._places.append((line, QPointF(x, y)))
            x += width
        self.setFixedHeight(round(y) + ROW if self._lines else 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Flow anew."""
        self._flow()

    def sizeHint(self) -> QSize:
        """Any width; as high as its rows."""
        return QSize(100, self.height())

    # ------------------------------------------------------------------ painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """Every entry."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme = current_theme()
        for line, place in self._places:
            paint_sample(painter, line, QRectF(place.x(), place.y(), SAMPLE, ROW))
            x = place.x() + SAMPLE + GAP
            painter.setFont(self._font())
            painter.setPen(theme.colour("muted"))
            width = painter.fontMetrics().horizontalAdvance(line.label)
            painter.drawText(QRectF(x, place.y(), width + 2, ROW), Qt.AlignmentFlag.AlignVCenter, line.label)
            painter.setFont(self._font(bold=True))
            painter.setPen(theme.colour("text"))
            painter.drawText(QRectF(x + width + GAP, place.y(), 200, ROW), Qt.AlignmentFlag.AlignVCenter,
                             self.value(line))  # fmt: skip


def paint_sample(painter: QPainter, line: Line, rect: QRectF) -> None:
    """A short piece of the line as the chart draws it: dash, marker or hatch."""
    colour = QColor(ink(line.colour))
    middle = rect.center()
    painter.save()
    if line.area:
        ground = QColor(colour)
        ground.setAlphaF(0.25)
        box = QRectF(rect.left() + 3, middle.y() - 5, rect.width() - 6, 10)
        painter.fillRect(box, ground)
        painter.fillRect(box, QBrush(colour, HATCHES.get(line.hatch, Qt.BrushStyle.SolidPattern)))
        painter.setPen(QPen(colour, 1))
        painter.drawRect(box)
    else:
        pen = QPen(colour, max(1.6, line.width), Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap)
        if DASHES.get(line.style):
            pen.setDashPattern(list(DASHES[line.style]))
        painter.setPen(pen)
        painter.drawLine(QPointF(rect.left(), middle.y()), QPointF(rect.right(), middle.y()))
        if line.marker:
            painter.setPen(QPen(current_theme().colour("surface"), 1))
            painter.setBrush(colour)
            _paint_marker(painter, line.marker, middle, 4.5)
    painter.restore()


def _paint_marker(painter: QPainter, marker: str, at: QPointF, r: float) -> None:
    x, y = at.x(), at.y()
    if marker == "s":
        painter.drawRect(QRectF(x - r + 0.5, y - r + 0.5, 2 * r - 1, 2 * r - 1))
    elif marker == "^":
        painter.drawPolygon(QPolygonF([QPointF(x, y - r), QPointF(x + r, y + r), QPointF(x - r, y + r)]))
    elif marker == "D":
        painter.drawPolygon(QPolygonF([QPointF(x, y - r), QPointF(x + r, y), QPointF(x, y + r), QPointF(x - r, y)]))
    else:
        painter.drawEllipse(at, r, r)
