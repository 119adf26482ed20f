"""A solution's tokens with their log-prob delta: wash and underline on the token, figures under it on demand.

The colour repeats what the underline says: thicker means that the hint makes the token less likely, dotted means
likelier. Arrow keys go from token to token, W to the one with the lowest delta.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QAccessible,
    QAccessibleEvent,
    QFontMetricsF,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from seirenes_app.services.formatting import decimal, percent
from seirenes_app.ui.theme import Theme, current_theme, mono_font

if TYPE_CHECKING:
    from seirenes_app.inference.protocol import Alternative
    from seirenes_app.services.attribution.logprob_delta import LogprobDelta, TokenDelta

LINE, LINE_WITH_FIGURES = 34, 50
STRONG = 3.0  # Δ log-prob at which wash and underline are at their strongest: a twentieth as likely
FAINT = 0.1
MAX_TOKENS = 4000


class LogprobDeltaView(QWidget):
    """As high as its text. `tokenChanged` carries the index of the current token, moved by mouse or key."""

    tokenChanged = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.scores: LogprobDelta | None = None
        self.current = -1
        self.figures = False
        self._rects: list[QRectF] = []
        self._laid_for = (-1, False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Solution, token by token")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def render_scores(self, scores: LogprobDelta | None) -> None:
        """Show a scored solution; the token with the lowest delta is current."""
        self.scores = scores
        self._laid_for = (-1, False)
        self.current = -1
        self._lay_out()
        if scores is not None and scores.tokens:
            self._set_current(scores.worst if 0 <= scores.worst < len(scores.tokens) else 0)

    def render_figures(self, on: bool) -> None:
        self.figures = on
        self._lay_out()

    def tip(self, index: int) -> str:
        """A token in words: its delta, both log-probs, and the likeliest tokens in its place."""
        assert self.scores is not None
        token = self.scores.tokens[index]
        return (
            f"{visible(token.text)}: {say_delta(token.delta)} "
            f"(clean {say_logprob(token.clean)}, with the hint {say_logprob(token.hinted)})\n"
            f"Clean, likeliest: {say_alternatives(token.top_clean)}\n"
            f"Hinted, likeliest: {say_alternatives(token.top_hinted)}"
        )

    def sizeHint(self) -> QSize:
        return QSize(320, self.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._lay_out()

    @property
    def _line(self) -> int:
        return LINE_WITH_FIGURES if self.figures else LINE

    def _lay_out(self) -> None:
        if self._laid_for == (self.width(), self.figures):
            return
        self._laid_for = (self.width(), self.figures)
        self._rects = self._place_tokens(self.scores) if self.scores is not None else []
        bottom = max((r.bottom() for r in self._rects), default=0.0)
        self.setFixedHeight(max(self._line, int(bottom) + 6))
        self.updateGeometry()
        self.update()

    def _place_tokens(self, scores: LogprobDelta) -> list[QRectF]:
        font, small = QFontMetricsF(mono_font(14)), QFontMetricsF(mono_font(11))
        rects: list[QRectF] = []
        x = y = 0.0
        for token in scores.tokens[:MAX_TOKENS]:
            width = max(7.0, font.horizontalAdvance(visible(token.text))) + 3
            if self.figures:
                width = max(width, small.horizontalAdvance(short_delta(token.delta)) + 6)
            if x and x + width > self.width() - 2:
                x, y = 0.0, y + self._line
            rects.append(QRectF(x, y, width, self._line - 6))
            x += width
            if "\n" in token.text:
                x, y = 0.0, y + self._line
        return rects

    def paintEvent(self, event: QPaintEvent) -> None:
        if self.scores is None:
            return
        theme, painter = current_theme(), QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for i, rect in enumerate(self._rects):
            if rect.intersects(QRectF(event.rect())):
                self._paint_token(painter, rect, self.scores.tokens[i], theme)
                if i == self.current:
                    focus = self.hasFocus()
                    painter.setBrush(Qt.BrushStyle.NoBrush)
                    painter.setPen(QPen(theme.colour("accent" if focus else "muted"), 2 if focus else 1))
                    painter.drawRoundedRect(QRectF(rect.x(), rect.y() + 1, rect.width(), 24), 4, 4)

    def _paint_token(self, painter: QPainter, rect: QRectF, token: TokenDelta, theme: Theme) -> None:
        strength = min(1.0, abs(token.delta) / STRONG)
        colour = "hinted" if token.delta < 0 else "clean"
        text = QRectF(rect.x(), rect.y() + 2, rect.width(), 20)
        if abs(token.delta) >= FAINT:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.wash(colour, 0.06 + 0.30 * strength))
            painter.drawRoundedRect(text.adjusted(0.5, 0, -0.5, 0), 3, 3)
            style = Qt.PenStyle.SolidLine if token.delta < 0 else Qt.PenStyle.DotLine
            painter.setPen(QPen(theme.colour(colour), 1 + 3 * strength, style, Qt.PenCapStyle.FlatCap))
            y = text.bottom() + 1.5
            painter.drawLine(QPointF(text.left() + 1.5, y), QPointF(text.right() - 1.5, y))
        painter.setFont(mono_font(14))
        painter.setPen(theme.colour("text"))
        painter.drawText(text, Qt.AlignmentFlag.AlignCenter, visible(token.text))
        if self.figures:
            painter.setFont(mono_font(11))
            painter.setPen(theme.colour("text" if strength > 0.2 else "muted"))
            below = QRectF(rect.x(), rect.y() + 25, rect.width(), 16)
            painter.drawText(below, Qt.AlignmentFlag.AlignCenter, short_delta(token.delta))

    def token_at(self, place: QPointF) -> int:
        """The token under a point, -1 for none."""
        return next((i for i, r in enumerate(self._rects) if r.contains(place)), -1)

    def token_rect(self, index: int) -> QRectF:
        return self._rects[index]

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._set_current(self.token_at(event.position()))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self._set_current(self.token_at(event.position()))

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = self.token_at(QPointF(event.pos()))
            if found >= 0:
                QToolTip.showText(event.globalPos(), self.tip(found), self, self._rects[found].toRect())
            else:
                QToolTip.hideText()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if self.scores is None or not self._rects:
            super().keyPressEvent(event)
            return
        last = len(self._rects) - 1
        target = {
            Qt.Key.Key_Right: min(last, self.current + 1), Qt.Key.Key_Left: max(0, self.current - 1),
            Qt.Key.Key_Home: 0, Qt.Key.Key_End: last, Qt.Key.Key_W: self.scores.worst,
            Qt.Key.Key_Down: self._vertical_neighbour(1), Qt.Key.Key_Up: self._vertical_neighbour(-1),
        }.get(Qt.Key(event.key()))  # fmt: skip
        if target is None:
            super().keyPressEvent(event)
        else:
            self._set_current(target)

    def _vertical_neighbour(self, step: int) -> int:
        if not 0 <= self.current < len(self._rects):
            return 0
        wanted = self._rects[self.current].center() + QPointF(0, step * self._line)
        line = [(abs(r.center().x() - wanted.x()), i) for i, r in enumerate(self._rects)
                if abs(r.center().y() - wanted.y()) < self._line / 2]  # fmt: skip
        return min(line)[1] if line else self.current

    def _set_current(self, index: int) -> None:
        if index == self.current or not 0 <= index < len(self._rects):
            return
        self.current = index
        self.setAccessibleDescription(self.tip(index))
        QAccessible.updateAccessibility(QAccessibleEvent(self, QAccessible.Event.DescriptionChanged))
        self.update()
        self.tokenChanged.emit(index)


def visible(text: str) -> str:
    """A token as it can be seen: spaces as dots, line ends as arrows."""
    return text.replace(" ", "·").replace("\n", "↵").replace("\t", "→").replace("\r", "␍") or "∅"


def short_delta(delta: float) -> str:
    """Δ log-prob with one digit and a real minus sign."""
    return decimal(delta, 1, signed=True) if abs(delta) >= 0.05 else "0"


def say_delta(delta: float) -> str:
    if abs(delta) < FAINT:
        return "as likely as before"
    return f"{short_delta(delta)} log-prob, {'less' if delta < 0 else 'more'} likely"


def say_logprob(logprob: float) -> str:
    return f"{say_probability(logprob)} ({decimal(logprob, 1)})"


def say_probability(logprob: float) -> str:
    """A log-probability as a percentage, "<1%" for small ones."""
    share = math.exp(min(0.0, logprob))
    return percent(share) if share >= 0.01 else "<1%"


def say_alternatives(top: Sequence[Alternative]) -> str:
    return ",  ".join(f"{visible(a.text)} {say_probability(a.logprob)}" for a in top) or "unknown"
