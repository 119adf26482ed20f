"""Rates as bars with their intervals: large with text for a result, small for a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from seirenes_app.services.formatting import percent, percent_limits
from seirenes_app.ui.theme import BODY_PX, SMALL_PX, Theme, current_theme, sized_font

ROW, TRACK = 38, 12
LABEL_WIDTH, FIGURE_WIDTH = 92, 206


@dataclass(frozen=True)
class Rate:
    """A bar: its label, its colour's name in the theme, how many of `done` are right, and the interval, 0 to 1.

    `planned` is what `done` will be; it is 0 where nothing was asked for.
    """

    label: str
    colour: str
    right: int
    done: int
    planned: int
    low: float = 0.0
    high: float = 1.0
    unread: str = ""
    """The shares of answers that are neither right nor wrong, as text; `warn` where they are many."""
    warn: bool = False

    @property
    def rate(self) -> float:
        """The share that is right; 0 before the first."""
        return self.right / self.done if self.done else 0.0

    @property
    def description(self) -> str:
        if not self.done:
            return f"{self.label}: nothing yet"
        of = f"{self.done}" if self.done >= self.planned else f"{self.done}, {self.planned} planned"
        return (
            f"{self.label}: {self.right} right of {of}, {percent(self.rate)}, "
            f"interval {percent(self.low)} to {percent(self.high)}; {self.unread or 'every answer was read'}"
        )  # fmt: skip


class _Bars(QWidget):
    """Rates with their accessible text; a subclass paints them."""

    def __init__(self, name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self.rates: tuple[Rate, ...] = ()

    def render_rates(self, rates: Sequence[Rate]) -> None:
        self.rates = tuple(rates)
        texts = [rate.description for rate in self.rates]
        self.setAccessibleName(". ".join(filter(None, (self._name, *texts))))
        self.setToolTip("\n".join(texts))
        self.update()


class IntervalBars(_Bars):
    """One line a rate: label, bar on a 0 to 100% track with its 95% interval, figures at the right."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(name, parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.render_rates(())

    def render_rates(self, rates: Sequence[Rate]) -> None:
        super().render_rates(rates)
        self.setFixedHeight(max(1, len(self.rates)) * ROW)

    def sizeHint(self) -> QSize:
        return QSize(360, max(1, len(self.rates)) * ROW)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for i, rate in enumerate(self.rates):
            self._paint_row(painter, rate, i * ROW, current_theme())

    def _paint_row(self, painter: QPainter, rate: Rate, top: float, theme: Theme) -> None:
        painter.setFont(sized_font(self.font(), 13, QFont.Weight.DemiBold))
        painter.setPen(theme.colour(rate.colour))
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(0, top, LABEL_WIDTH, ROW), middle | Qt.AlignmentFlag.AlignLeft, rate.label)
        left, width = LABEL_WIDTH, max(20, self.width() - LABEL_WIDTH - FIGURE_WIDTH - 14)
        track = QRectF(left, top + (ROW - TRACK) / 2, width, TRACK)
        paint_track(painter, track, rate, theme)
        self._paint_figures(painter, rate, QRectF(self.width() - FIGURE_WIDTH, top, FIGURE_WIDTH, ROW), theme)

    def _paint_figures(self, painter: QPainter, rate: Rate, rect: QRectF, theme: Theme) -> None:
        painter.setFont(sized_font(self.font(), BODY_PX, QFont.Weight.DemiBold))
        painter.setPen(theme.colour("text" if rate.done else "muted"))
        figure = percent(rate.rate) if rate.done else "—"
        if two_lines := bool(rate.done and rate.unread):
            rect, below = rect.adjusted(0, 2, 0, -ROW / 2), rect.adjusted(0, ROW / 2, 0, 0)
        painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, figure)
        painter.setFont(sized_font(self.font(), SMALL_PX))
        painter.setPen(theme.colour("muted"))
        going = rate.planned > 0 and rate.done < rate.planned
        of = f"{rate.right} of {rate.done}" + (f" · {rate.planned - rate.done} to go" if going else "")
        text = of if going or not rate.done else f"{of}   {percent_limits(rate.low, rate.high)}"
        painter.drawText(rect.adjusted(62, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, text)
        if two_lines:
            painter.setPen(theme.colour("warn" if rate.warn else "muted"))
            shown = painter.fontMetrics().elidedText(rate.unread, Qt.TextElideMode.ElideRight, round(below.width()))
            painter.drawText(below, Qt.AlignmentFlag.AlignTop, shown)


def paint_track(painter: QPainter, track: QRectF, rate: Rate, theme: Theme) -> None:
    """A track with quarter marks, the bar, and the interval as a whisker across its end."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.colour("raised"))
    painter.drawRoundedRect(track, 3, 3)
    if rate.done:
        bar = QRectF(track.x(), track.y(), track.width() * rate.rate, track.height())
        painter.setBrush(theme.wash(rate.colour, 0.55))
        painter.drawRoundedRect(bar, 3, 3)
    painter.setPen(QPen(theme.colour("border"), 1))
    for share in (0.25, 0.5, 0.75):
        x = round(track.x() + share * track.width()) + 0.5
        painter.drawLine(QPointF(x, track.bottom() + 2), QPointF(x, track.bottom() + 5))
    if rate.done:
        y = track.center().y()
        low, high = (track.x() + track.width() * share for share in (rate.low, rate.high))
        painter.setPen(QPen(theme.colour(rate.colour), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
        painter.drawLine(QPointF(low, y), QPointF(high, y))
        for x in (low, high):
            painter.drawLine(QPointF(x, y - 4), QPointF(x, y + 4))
        painter.setBrush(theme.colour("surface"))
        painter.drawEllipse(QPointF(track.x() + track.width() * rate.rate, y), 3.6, 3.6)


class MiniBars(_Bars):
    """The same rates as thin bars, with the percentage of each beside it; for a line of a list.

    It keeps its place while it is empty: hiding and showing would lay the whole list out again.
    """

    LINE, BAR, WIDTH, MOST = 15, 5, 132, 3

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setFixedSize(self.WIDTH, self.MOST * self.LINE)

    def render_rates(self, rates: Sequence[Rate]) -> None:
        """Show these, or nothing; the same ones again cost nothing."""
        if tuple(rates) != self.rates:
            super().render_rates(rates)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, painter = current_theme(), QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = sized_font(self.font(), 11)
        painter.setFont(font)
        figure = QFontMetrics(font).horizontalAdvance(percent(1)) + 4
        for i, rate in enumerate(self.rates):
            top = i * self.LINE
            painter.setPen(theme.colour(rate.colour))
            painter.drawText(QRectF(0, top, 16, self.LINE), Qt.AlignmentFlag.AlignVCenter, rate.label[:1])
            track = QRectF(16, top + (self.LINE - self.BAR) / 2, self.width() - 16 - figure - 4, self.BAR)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.colour("raised"))
            painter.drawRoundedRect(track, 2.5, 2.5)
            painter.setBrush(theme.colour(rate.colour))
            painter.drawRoundedRect(QRectF(track.x(), track.y(), track.width() * rate.rate, self.BAR), 2.5, 2.5)
            painter.setPen(theme.colour("text"))
            right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
            painter.drawText(QRectF(0, top, self.width(), self.LINE), right, percent(rate.rate) if rate.done else "…")
