"""The legend of a chart, which is its reading too: each series' sample, name, and value with limits at the cursor."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetrics, QPainter, QPaintEvent, QPen, QPolygonF, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from seirenes_app.services.charts.data import ChartData, Scale, Series
from seirenes_app.services.charts.style import DASHES
from seirenes_app.ui.theme import SMALL_PX, current_theme, sized_font

SAMPLE, GAP, BETWEEN, ROW = 26, 6, 18, 20
HATCHES = {
    "": Qt.BrushStyle.SolidPattern, "////": Qt.BrushStyle.BDiagPattern, "..": Qt.BrushStyle.Dense5Pattern,
    "\\\\\\\\": Qt.BrushStyle.FDiagPattern, "xxxx": Qt.BrushStyle.DiagCrossPattern, "----": Qt.BrushStyle.HorPattern,
    "||||": Qt.BrushStyle.VerPattern, "++++": Qt.BrushStyle.CrossPattern,
}  # fmt: skip
WIDEST = {Scale.SHARE: ("100%", "[100, 100]"), Scale.POINTS: ("−00.0", "[−00.0, −00.0]")}
"""Entries stand still under a moving cursor: they have room for the widest value."""
HOLLOW = "hollow: only totals are left"


def nearest(x: Sequence[float], wanted: float) -> int:
    """Index of the value in ascending `x` nearest to `wanted`; `x` must not be empty."""
    i = bisect_left(x, wanted)
    if i == 0:
        return 0
    if i == len(x) or wanted - x[i - 1] <= x[i] - wanted:
        return i - 1
    return i


class ChartLegend(QWidget):
    """Flows over as many rows as it needs."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._chart = ChartData(())
        self._cursor: float | None = None
        self._current = -1
        self._entries: list[tuple[Series, QPointF]] = []
        self._hollow_at: QPointF | None = None
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._flow()

    def render_chart(self, chart: ChartData) -> None:
        """Other data."""
        self._chart, self._current = chart, -1
        self._flow()
        self.update()

    def render_cursor(self, x: float | None, current: int = -1) -> None:
        """Read at `x`, None at the newest point. The name of series `current` is underlined."""
        self._cursor, self._current = x, current
        self.update()

    def texts(self, series: Series) -> tuple[str, str]:
        """Value and limits as they are painted.

        A marked series without a point at the cursor shows the nearest one with its place; any other shows a dash.
        """
        wanted = self._chart.places[-1] if self._cursor is None else self._cursor
        i = nearest(series.x, wanted) if self._cursor is not None else len(series.x) - 1
        value, limits = self._chart.text(series, i)
        if series.x[i] == wanted or (self._cursor is None and not series.marked):
            return value, limits
        return (value, f"{limits} at {series.x[i]:.0f}") if series.marked and not self._chart.ticks else ("–", "")

    def text(self) -> str:
        """The whole reading in plain words."""
        return "  ·  ".join(" ".join((s.label, *self.texts(s))).strip() for s, _ in self._entries)

    # ------------------------------------------------------------------ layout

    def _font(self, *, bold: bool = False) -> QFont:
        return sized_font(self.font(), SMALL_PX, QFont.Weight.DemiBold if bold else QFont.Weight.Normal)

    def _width(self, series: Series) -> float:
        plain, bold = QFontMetrics(self._font()), QFontMetrics(self._font(bold=True))
        limits = ""
        if self._chart.scale is Scale.NUMBER:
            ends = (min(series.y), max(series.y), series.y[-1])
            value = max(map(bold.horizontalAdvance, map(self._chart.value_text, ends)))
        else:
            widest, limits = WIDEST[self._chart.scale]
            value = bold.horizontalAdvance(widest)
        room = plain.horizontalAdvance(limits) + GAP if series.limited else 0
        return SAMPLE + 2 * GAP + plain.horizontalAdvance(series.label) + value + room + BETWEEN

    def _flow(self) -> None:
        x = y = 0.0
        self._entries, self._hollow_at = [], None
        for series in self._chart.keyed:
            width = self._width(series)
            if x and x + width - BETWEEN > self.width():
                x, y = 0.0, y + ROW
            self._entries.append((series, QPointF(x, y)))
            x += width
        if any(s.hollow for s in self._chart.keyed):
            if x and x + QFontMetrics(self._font()).horizontalAdvance(HOLLOW) > self.width():
                x, y = 0.0, y + ROW
            self._hollow_at = QPointF(x, y)
        self.setFixedHeight(round(y) + ROW if self._entries else 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Flow again."""
        self._flow()

    def sizeHint(self) -> QSize:
        """Any width; as high as its rows."""
        return QSize(100, self.height())

    # ------------------------------------------------------------------ painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """Every entry."""
        painter, theme, middle = QPainter(self), current_theme(), Qt.AlignmentFlag.AlignVCenter
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        current = self._chart.series[self._current] if self._current >= 0 else None
        for series, place in self._entries:
            value, limits = self.texts(series)
            paint_sample(painter, series, QRectF(place.x(), place.y(), SAMPLE, ROW))
            x = place.x() + SAMPLE + GAP
            for text, bold, colour in ((series.label, False, "muted"), (value, True, "text"), (limits, False, "muted")):
                font = self._font(bold=bold)
                font.setUnderline(series is current and text is series.label)
                painter.setFont(font)
                painter.setPen(theme.colour(colour))
                width = painter.fontMetrics().horizontalAdvance(text)
                painter.drawText(QRectF(x, place.y(), width + 2, ROW), middle, text)
                x += width + GAP
        if self._hollow_at is not None:
            font = self._font()
            font.setItalic(True)
            painter.setFont(font)
            painter.setPen(theme.colour("muted"))
            painter.drawText(QRectF(self._hollow_at.x(), self._hollow_at.y(), self.width(), ROW), middle, HOLLOW)


def paint_sample(painter: QPainter, series: Series, rect: QRectF) -> None:
    """A short piece of the series as the chart draws it: dash, marker or hatch."""
    theme, style, middle = current_theme(), series.style, rect.center()
    colour = QColor(theme.hex(style.colour))
    painter.save()
    if series.area:
        ground = QColor(colour)
        ground.setAlphaF(0.25)
        box = QRectF(rect.left() + 3, middle.y() - 5, rect.width() - 6, 10)
        painter.fillRect(box, ground)
        painter.fillRect(box, QBrush(colour, HATCHES.get(style.hatch, Qt.BrushStyle.SolidPattern)))
        painter.setPen(QPen(colour, 1))
        painter.drawRect(box)
    else:
        pen = QPen(colour, max(1.6, series.width), Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap)
        if DASHES.get(style.dash):
            pen.setDashPattern(list(DASHES[style.dash]))
        painter.setPen(pen)
        if series.joined:
            painter.drawLine(QPointF(rect.left(), middle.y()), QPointF(rect.right(), middle.y()))
        if style.marker:
            painter.setPen(QPen(theme.colour("surface"), 1))
            painter.setBrush(colour)
            _paint_marker(painter, style.marker, middle, 4.5)
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
