"""The picture of a chart with a cursor on it, and the legend that reads the values at the cursor.

matplotlib draws in a thread, as a draw takes longer than the window may stand still. The widget paints the newest
picture: a resize shows it scaled until the next one is there, and the cursor is painted over it without a new draw.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontMetrics,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
    QResizeEvent,
)
from PySide6.QtWidgets import QApplication, QSizePolicy, QWidget

from seirenes_app.services.charts.data import ChartData, Scale, Series
from seirenes_app.services.charts.style import DASHES, Palette
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SMALL_PX, current_theme, sized_font

SAMPLE, GAP, BETWEEN, ROW = 26, 6, 18, 20
HATCHES = {
    "": Qt.BrushStyle.SolidPattern, "////": Qt.BrushStyle.BDiagPattern, "..": Qt.BrushStyle.Dense5Pattern,
    "\\\\\\\\": Qt.BrushStyle.FDiagPattern, "xxxx": Qt.BrushStyle.DiagCrossPattern, "----": Qt.BrushStyle.HorPattern,
    "||||": Qt.BrushStyle.VerPattern, "++++": Qt.BrushStyle.CrossPattern,
}  # fmt: skip
WIDEST = {Scale.SHARE: ("00.0%", "[00.0, 00.0]"), Scale.POINTS: ("−00.0", "[−00.0, −00.0]")}
"""Entries stand still under a moving cursor: the widest value fits."""
HOLLOW = "hollow: only totals are here"


def nearest(x: Sequence[float], wanted: float) -> int:
    """Index of the value in ascending `x` nearest to `wanted`; `x` must not be empty."""
    i = bisect_left(x, wanted)
    return min(range(max(0, i - 1), min(i + 1, len(x))), key=lambda k: abs(x[k] - wanted))


class ChartLegend(QWidget):
    """Each series' sample, name, and value with limits at the cursor. Flows over as many rows as it needs."""

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
        self._chart, self._current = chart, -1
        self._flow()
        self.update()

    def render_cursor(self, x: float | None, current: int = -1) -> None:
        """Read at `x`, None at the newest point. The name of series `current` is underlined."""
        self._cursor, self._current = x, current
        self.update()

    def texts(self, series: Series) -> tuple[str, str]:
        """Value and limits as they are painted.

        A marked series without a point at the cursor shows the nearest one with its place; any other shows a dash. Of
        named places none is the newest: without a cursor nothing is shown.
        """
        if self._chart.ticks and self._cursor is None:
            return "", ""
        wanted = self._chart.places[-1] if self._cursor is None else self._cursor
        i = nearest(series.x, wanted) if self._cursor is not None else len(series.x) - 1
        value, limits = self._chart.text(series, i)
        if series.x[i] == wanted or (self._cursor is None and not series.marked):
            return value, limits
        return (value, f"{limits} at {series.x[i]:.0f}") if series.marked and not self._chart.ticks else ("–", "")

    def text(self) -> str:
        """The whole reading as text."""
        return "  ·  ".join(" ".join((s.label, *self.texts(s))).strip() for s, _ in self._entries)

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
        limits = limits if series.limited else ""
        if series.marked and not self._chart.ticks and len(series.x) < len(self._chart.places):
            # Beside the places that it has no point at, it shows the nearest one with its place.
            limits += f" at {max(series.x):.0f}"
        beside = plain.horizontalAdvance(limits) + GAP if limits else 0
        return SAMPLE + 2 * GAP + plain.horizontalAdvance(series.label) + value + beside + BETWEEN

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
        self._flow()

    def sizeHint(self) -> QSize:
        return QSize(100, self.height())

    def paintEvent(self, event: QPaintEvent) -> None:
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


REACH = 40.0
"""Within how many pixels a point is under the mouse."""
ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)
MOVES = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}


@dataclass(frozen=True)
class Picture:
    """A drawn chart. `data` turns data coordinates into pixels of the image, counted from its lower left corner."""

    chart: ChartData
    image: QImage
    data: Any
    bottom: float
    top: float


def draw_picture(chart: ChartData, size: tuple[int, int], ratio: float, palette: Palette) -> Picture:
    """Draw `chart`, `size` in logical pixels, with `ratio` device pixels to one of them."""
    from seirenes_app.services.charts.drawing import DPI, draw_chart, make_figure

    figure = make_figure((size[0] / DPI, size[1] / DPI))
    figure.set_dpi(DPI * ratio)
    axes = draw_chart(figure, chart, size, palette)
    figure.canvas.draw()
    pixels = figure.canvas.buffer_rgba()  # type: ignore[attr-defined]
    rows, columns = pixels.shape[:2]
    image = QImage(pixels.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_RGBA8888).copy()
    image.setDevicePixelRatio(ratio)
    return Picture(chart, image, axes.transData.frozen(), axes.bbox.y0, axes.bbox.y1)


_drawing: TaskRunner | None = None


def drawing_tasks() -> TaskRunner:
    """The one thread that draws: two would only take turns at the interpreter."""
    global _drawing
    if _drawing is None:
        app = QApplication.instance()
        _drawing = TaskRunner(app, threads=1)
        if app is not None:
            app.aboutToQuit.connect(_drawing.close)
    return _drawing


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
        self._picture: Picture | None = None
        self.cursor_x: float | None = None
        self.current = -1
        """The series at the cursor, -1 for none."""
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def draw(self, chart: ChartData) -> None:
        """Draw `chart` at the present size, in a thread. What was asked for before and is not drawn yet is dropped."""
        size, ratio = (max(80, self.width()), max(60, self.height())), self.devicePixelRatioF()
        theme = current_theme()
        drawing_tasks().run(lambda: draw_picture(chart, size, ratio, theme), self._render_picture, key=self)

    @property
    def drawing(self) -> bool:
        """Whether a picture is asked for and not there yet."""
        return drawing_tasks().is_running(self)

    @property
    def chart(self) -> ChartData:
        """The chart of the picture that is shown."""
        return ChartData(()) if self._picture is None else self._picture.chart

    def _render_picture(self, picture: Picture) -> None:
        self._picture = picture
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(320, 180)

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
        return self._pixel(x + series.shift, value)

    def _pixel(self, x: float, y: float) -> QPointF:
        """Where data coordinates are, in the widget's pixels."""
        assert self._picture is not None
        left, above = self._picture.data.transform((x, y))
        image = self._picture.image
        return QPointF(left * self.width() / image.width(), self.height() * (1 - above / image.height()))

    def at_cursor(self) -> list[int]:
        """Series that have a point at the cursor, from the highest down."""
        if self.cursor_x is None or self._picture is None:
            return []
        found = (i for i, s in enumerate(self.chart.series) if s.keyed and self.cursor_x in s.x)
        return sorted(found, key=lambda i: self.position(i).y())

    def _keep_current(self) -> None:
        """After the cursor moved: the same series where it has a point, else the highest."""
        here = self.at_cursor()
        if self._pick and self.current not in here:
            self.move_cursor(self.cursor_x, here[0] if here else -1)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The nearest place, and the nearest point there."""
        places = self.chart.places
        if self._picture is None or not places:
            return
        left = event.position().x() * self._picture.image.width() / max(1, self.width())
        wanted = self._picture.data.inverted().transform((left, 0))[0]
        self.move_cursor(places[nearest(places, wanted)], self.current)
        if self._pick:
            y = event.position().y()
            near = min(self.at_cursor(), key=lambda i: abs(self.position(i).y() - y), default=-1)
            within = near >= 0 and abs(self.position(near).y() - y) <= REACH
            self.move_cursor(self.cursor_x, near if within else -1)
            self.setCursor(Qt.CursorShape.PointingHandCursor if within else Qt.CursorShape.ArrowCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
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
        elif self._pick and key in ENTER and self.cursor_x is not None:
            self._request_point()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._picture is not None:
            painter.drawImage(QRectF(self.rect()), self._picture.image)
            if self.cursor_x is not None:
                self._paint_cursor(painter, self.cursor_x, self._picture)
        if self.hasFocus():
            painter.setPen(QPen(current_theme().colour("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 6, 6)

    def _paint_cursor(self, painter: QPainter, x: float, picture: Picture) -> None:
        theme, height = current_theme(), picture.image.height()
        left = self._pixel(x, 0).x()
        top, bottom = (self.height() * (1 - edge / height) for edge in (picture.top, picture.bottom))
        painter.setPen(QPen(theme.colour("muted"), 1))
        painter.drawLine(QPointF(left, top), QPointF(left, bottom))
        for i in self.at_cursor():
            chosen, at = i == self.current, self.position(i)
            colour = QColor(theme.hex(self.chart.series[i].style.colour))
            painter.setPen(QPen(theme.colour("text" if chosen else "surface"), 2 if chosen else 1.5))
            painter.setBrush(theme.colour("surface") if chosen else colour)
            painter.drawEllipse(at, 6.5 if chosen else 4.5, 6.5 if chosen else 4.5)
            if chosen:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(colour)
                painter.drawEllipse(at, 3.5, 3.5)
