"""A solution's tokens with what a hint does to each: wash and underline on the token, figures under it on demand.

The colour repeats what the underline says: the thicker, the less likely the hint makes the token; dotted where it makes
it likelier. Arrow keys go from token to token, W to the one that suffers most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QAccessible,
    QAccessibleEvent,
    QFocusEvent,
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
STRONG = 3.0
"""Δ log-prob at which wash and underline are at their strongest: a twentieth as likely."""
FAINT = 0.1
MAX_TOKENS = 4000


class LogprobDeltaView(QWidget):
    """As high as its text. `pointed` tells which token is in hand, by mouse or by key."""

    pointed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.map: LogprobDelta | None = None
        self.current = -1
        self.figures = False
        self._rects: list[QRectF] = []
        self._laid_for = (-1, False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Solution, token by token")
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizePolicy(policy)

    # ------------------------------------------------------------------ render

    def render_map(self, heat: LogprobDelta | None) -> None:
        """Show a map, with the token that suffers most in hand."""
        self.map = heat
        self._laid_for = (-1, False)
        self.current = -1
        self._lay_out()
        if heat is not None and heat.tokens:
            self._point(heat.worst if 0 <= heat.worst < len(heat.tokens) else 0)

    def render_figures(self, on: bool) -> None:
        """Δ in figures under each token, or not."""
        self.figures = on
        self._lay_out()

    def describe(self, index: int) -> str:
        """A token in words."""
        if self.map is None or not 0 <= index < len(self.map.tokens):
            return ""
        token = self.map.tokens[index]
        return (
            f"{visible(token.text)}: {say_delta(token.delta)} "
            f"(clean {say_logprob(token.clean)}, with the hint {say_logprob(token.hinted)})"
        )

    # ------------------------------------------------------------------ layout

    def sizeHint(self) -> QSize:
        """As high as its text."""
        return QSize(320, self.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width breaks the lines elsewhere."""
        super().resizeEvent(event)
        self._lay_out()

    def _lay_out(self) -> None:
        if self._laid_for == (self.width(), self.figures):
            return
        self._laid_for = (self.width(), self.figures)
        self._rects = self._place() if self.map is not None else []
        line = LINE_WITH_FIGURES if self.figures else LINE
        bottom = max((r.bottom() for r in self._rects), default=0.0)
        self.setFixedHeight(max(line, int(bottom) + 6))
        self.updateGeometry()
        self.update()

    def _place(self) -> list[QRectF]:
        assert self.map is not None
        font, small = QFontMetricsF(mono_font(14)), QFontMetricsF(mono_font(11))
        line = LINE_WITH_FIGURES if self.figures else LINE
        rects: list[QRectF] = []
        x = y = 0.0
        for token in self.map.tokens[:MAX_TOKENS]:
            width = max(7.0, font.horizontalAdvance(visible(token.text))) + 3
            if self.figures:
                width = max(width, small.horizontalAdvance(short_delta(token.delta)) + 6)
            if x and x + width > self.width() - 2:
                x, y = 0.0, y + line
            rects.append(QRectF(x, y, width, line - 6))
            x += width
            if "\n" in token.text:
                x, y = 0.0, y + line
        return rects

    # ------------------------------------------------------------------ paint

    def paintEvent(self, event: QPaintEvent) -> None:
        """The tokens that are in view."""
        if self.map is None:
            return
        theme, painter = current_theme(), QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for i, rect in enumerate(self._rects):
            if rect.intersects(QRectF(event.rect())):
                self._paint_token(painter, rect, self.map.tokens[i], theme)
                if i == self.current:
                    self._paint_ring(painter, rect, theme)

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
            painter.drawText(QRectF(rect.x(), rect.y() + 25, rect.width(), 16), Qt.AlignmentFlag.AlignCenter,
                             short_delta(token.delta))  # fmt: skip

    def _paint_ring(self, painter: QPainter, rect: QRectF, theme: Theme) -> None:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        focus = self.hasFocus()
        painter.setPen(QPen(theme.colour("accent" if focus else "muted"), 2 if focus else 1))
        painter.drawRoundedRect(QRectF(rect.x(), rect.y() + 1, rect.width(), 24), 4, 4)

    # ------------------------------------------------------------------ mouse and keys

    def token_at(self, place: QPointF) -> int:
        """The token under a point, -1 for none."""
        return next((i for i, r in enumerate(self._rects) if r.contains(place)), -1)

    def token_rect(self, index: int) -> QRectF:
        """Where a token is drawn."""
        return self._rects[index]

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """What is under the mouse is in hand."""
        found = self.token_at(event.position())
        if found >= 0:
            self._point(found)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A click is a look, and puts the keyboard here."""
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self.mouseMoveEvent(event)

    def event(self, event: QEvent) -> bool:
        """The tooltip of a token: figures, and what the model would rather have written."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = self.token_at(QPointF(event.pos()))
            if found >= 0 and self.map is not None:
                QToolTip.showText(event.globalPos(), self.tip(found), self, self._rects[found].toRect())
            else:
                QToolTip.hideText()
            return True
        return super().event(event)

    def tip(self, index: int) -> str:
        """What hovering over a token says."""
        assert self.map is not None
        token = self.map.tokens[index]
        return "\n".join(
            (
                self.describe(index),
                f"Clean, likeliest: {say_alternatives(token.top_clean)}",
                f"Hinted, likeliest: {say_alternatives(token.top_hinted)}",
            )
        )

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """From token to token."""
        if self.map is None or not self.map.tokens:
            super().keyPressEvent(event)
            return
        last = len(self._rects) - 1
        key = event.key()
        moves = {
            Qt.Key.Key_Right: min(last, self.current + 1), Qt.Key.Key_Left: max(0, self.current - 1),
            Qt.Key.Key_Home: 0, Qt.Key.Key_End: last, Qt.Key.Key_W: self.map.worst,
            Qt.Key.Key_Down: self._beside(1), Qt.Key.Key_Up: self._beside(-1),
        }  # fmt: skip
        target = moves.get(Qt.Key(key))
        if target is None:
            super().keyPressEvent(event)
            return
        self._point(target)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """The ring is stronger while the keyboard is here."""
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """And fainter afterwards."""
        super().focusOutEvent(event)
        self.update()

    def _beside(self, way: int) -> int:
        """The token above or below the one in hand."""
        if not 0 <= self.current < len(self._rects):
            return 0
        here = self._rects[self.current]
        line = LINE_WITH_FIGURES if self.figures else LINE
        wanted = here.center() + QPointF(0, way * line)
        row = [(abs(r.center().x() - wanted.x()), i) for i, r in enumerate(self._rects)
               if abs(r.center().y() - wanted.y()) < line / 2]  # fmt: skip
        return min(row)[1] if row else self.current

    def _point(self, index: int) -> None:
        if index == self.current or not 0 <= index < len(self._rects):
            return
        self.current = index
        self.setAccessibleDescription(self.tip(index))
        QAccessible.updateAccessibility(QAccessibleEvent(self, QAccessible.Event.DescriptionChanged))
        self.update()
        self.pointed.emit(index)


def visible(text: str) -> str:
    """A token as it can be seen: spaces as dots, line ends as arrows."""
    return text.replace(" ", "·").replace("\n", "↵").replace("\t", "→").replace("\r", "␍") or "∅"


def short_delta(delta: float) -> str:
    """Δ log-prob with one digit, and a real minus sign."""
    return decimal(delta, 1, signed=True) if abs(delta) >= 0.05 else "0"


def say_delta(delta: float) -> str:
    """Δ log-prob in words."""
    if abs(delta) < FAINT:
        return "as likely as before"
    return f"{short_delta(delta)} log-prob, {'less' if delta < 0 else 'more'} likely"


def say_logprob(logprob: float) -> str:
    """A log-probability with its probability."""
    return f"{say_probability(logprob)} ({decimal(logprob, 1)})"


def say_probability(logprob: float) -> str:
    """A probability in percent; what is above nothing and below one percent says so."""
    share = math.exp(min(0.0, logprob))
    return percent(share) if share >= 0.01 else "<1%"


def say_alternatives(top: Sequence[Alternative]) -> str:
    """Tokens and their probabilities."""
    said = (f"{visible(a.text)} {say_probability(a.logprob)}" for a in top)
    return ",  ".join(said) or "unknown"
