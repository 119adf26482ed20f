"""The key of a panel: a sample of each curve, its name, and at the cursor its value with its interval."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from seirenes_app.ui.pages.robustness_parts.looks import Drawn, say_interval, say_value
from seirenes_app.ui.theme import SMALL_PX, current_theme
from seirenes_app.ui.widgets.chart_key import BETWEEN, GAP, ROW, SAMPLE, nearest, paint_sample


class PanelKey(QWidget):
    """Flows over as many rows as it needs. `render_drawn` and `render_cursor` are all that touches it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._drawn: Drawn | None = None
        self._cursor: float | None = None
        self._curve = -1
        self._places: list[QPointF] = []
        self._remark_place = QPointF()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._flow()

    def render_drawn(self, drawn: Drawn | None) -> None:
        """Other data."""
        self._drawn, self._cursor, self._curve = drawn, None, -1
        self._flow()
        self.update()

    def render_cursor(self, x: float | None, curve: int = -1) -> None:
        """Read at x; None reads the newest. `curve` is the one in hand."""
        self._cursor, self._curve = x, curve
        self.update()

    def texts(self, i: int) -> tuple[str, str]:
        """A curve's value and its interval as they are painted; dashes where it has none at the cursor."""
        assert self._drawn is not None
        line, points = self._drawn.lines[i], self._drawn.curves[i].points
        at = len(points) - 1 if self._cursor is None else nearest(line.x, self._cursor)
        if self._cursor is not None and line.x[at] != self._cursor:
            return "–", ""
        unit = self._drawn.unit
        return say_value(points[at].value.mean, unit), say_interval(points[at], unit)

    def text(self) -> str:
        """The whole reading in plain words."""
        if self._drawn is None:
            return ""
        lines = enumerate(self._drawn.lines)
        return "  ·  ".join(" ".join((line.label, *self.texts(i))).strip() for i, line in lines)

    # ------------------------------------------------------------------ layout

    def _font(self, *, bold: bool = False) -> QFont:
        font = QFont(self.font())
        font.setPixelSize(SMALL_PX)
        font.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
        return font

    def _width(self, i: int) -> float:
        # By the widest that can stand there, so that entries stand still under a moving cursor.
        assert self._drawn is not None
        plain, bold = QFontMetrics(self._font()), QFontMetrics(self._font(bold=True))
        wide = "−00.0" if self._drawn.unit == "difference" else "100%"
        band = "[−00.0, −00.0]" if self._drawn.unit == "difference" else "[100, 100]"
        label = plain.horizontalAdvance(self._drawn.lines[i].label)
        return SAMPLE + 3 * GAP + label + bold.horizontalAdvance(wide) + plain.horizontalAdvance(band) + BETWEEN

    @property
    def remark(self) -> str:
        """What hollow points are, where there are any."""
        drawn = self._drawn
        if drawn is None or drawn.stacked or not any(drawn.hollow(i) for i in range(len(drawn.curves))):
            return ""
        return "hollow: only totals are left"

    def _flow(self) -> None:
        x = y = 0.0
        self._places = []
        for i in range(len(self._drawn.lines) if self._drawn is not None else 0):
            width = self._width(i)
            if x and x + width - BETWEEN > self.width():
                x, y = 0.0, y + ROW
            self._places.append(QPointF(x, y))
            x += width
        if self.remark:
            width = QFontMetrics(self._font()).horizontalAdvance(self.remark)
            if x and x + width > self.width():
                x, y = 0.0, y + ROW
            self._remark_place = QPointF(x, y)
        self.setFixedHeight(round(y) + ROW if self._places else 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Flow anew."""
        self._flow()

    def sizeHint(self) -> QSize:
        """Any width; as high as its rows."""
        return QSize(100, self.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Every entry; the curve in hand is underlined."""
        if self._drawn is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme, middle = current_theme(), Qt.AlignmentFlag.AlignVCenter
        for i, place in enumerate(self._places):
            line, (value, band) = self._drawn.lines[i], self.texts(i)
            paint_sample(painter, line, QRectF(place.x(), place.y(), SAMPLE, ROW))
            x = place.x() + SAMPLE + GAP
            for text, bold, colour in ((line.label, False, "muted"), (value, True, "text"), (band, False, "muted")):
                font = self._font(bold=bold)
                font.setUnderline(i == self._curve and text is line.label)
                painter.setFont(font)
                painter.setPen(theme.colour(colour))
                width = painter.fontMetrics().horizontalAdvance(text)
                painter.drawText(QRectF(x, place.y(), width + 2, ROW), middle, text)
                x += width + GAP
        if self.remark:
            font = self._font()
            font.setItalic(True)
            painter.setFont(font)
            painter.setPen(theme.colour("muted"))
            at = self._remark_place
            painter.drawText(QRectF(at.x(), at.y(), self.width() - at.x(), ROW), middle, self.remark)
