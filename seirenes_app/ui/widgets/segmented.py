"""One of a few choices, all in view: segments with a word and, where there is room, a line about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QGridLayout, QSizePolicy, QWidget

from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.theme import SMALL_PX, current_theme

PAD = 10
TALL, SHORT = 50, 32
TROUGH = 3


@dataclass(frozen=True)
class Segment:
    """One choice: its value, its word, the line under it ("" for none), and the whole explanation on hover."""

    value: str
    word: str
    about: str = ""
    tip: str = ""


class _Button(QAbstractButton):
    """The chosen one has a raised ground, a check mark and a strong border: never colour alone."""

    def __init__(self, segment: Segment, group_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.segment = segment
        self.setText(segment.word)
        self.setCheckable(True)
        self.setAccessibleName(f"{group_name}: {segment.word}")
        self.setAccessibleDescription(segment.tip or segment.about)
        self.setToolTip(segment.tip)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFixedHeight(TALL if segment.about else SHORT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def _font(self) -> QFont:
        font = QFont(self.font())
        font.setPixelSize(13)
        font.setWeight(QFont.Weight.DemiBold)
        return font

    def sizeHint(self) -> QSize:
        """Room for the word, the check mark and the line."""
        word = QFontMetrics(self._font()).horizontalAdvance(self.text()) + 2 * PAD + 24
        return QSize(word, self.minimumHeight())

    def minimumSizeHint(self) -> QSize:
        return QSize(self.sizeHint().width() - 24, self.minimumHeight())

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, chosen, on = current_theme(), self.isChecked(), self.isEnabled()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        if chosen:
            painter.setPen(QPen(theme.colour("accent" if on else "border"), 1.5))
            painter.setBrush(theme.colour("surface"))
            painter.drawRoundedRect(rect, 6, 6)
        elif self.underMouse() and on:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.wash("muted"))
            painter.drawRoundedRect(rect, 6, 6)
        if self.hasFocus():
            painter.setPen(QPen(theme.colour("accent"), 1, Qt.PenStyle.DotLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(2.5, 2.5, -2.5, -2.5), 4, 4)
        self._paint_text(painter, chosen and on)
        if chosen and self.width() >= self.sizeHint().width():
            draw_svg(painter, "check-circle", QRectF(self.width() - 22, self._word_rect().center().y() - 7, 14, 14),
                     theme.accent if on else theme.muted)  # fmt: skip

    def _word_rect(self) -> QRectF:
        height = 20.0 if self.segment.about else float(self.height())
        return QRectF(PAD, 6 if self.segment.about else 0, self.width() - 2 * PAD + 8, height)

    def _paint_text(self, painter: QPainter, strong: bool) -> None:
        theme = current_theme()
        painter.setFont(self._font())
        painter.setPen(theme.colour("text" if strong else "muted"))
        painter.drawText(self._word_rect(), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, self.text())
        if self.segment.about:
            font = QFont(self.font())
            font.setPixelSize(SMALL_PX)
            painter.setFont(font)
            painter.setPen(theme.colour("muted"))
            room = self.width() - 2 * PAD + 6
            fitted = QFontMetrics(font).elidedText(self.segment.about, Qt.TextElideMode.ElideRight, room)
            painter.drawText(QRectF(PAD, 26, room, 18), Qt.AlignmentFlag.AlignVCenter, fitted)


class Segmented(QWidget):
    """Arrow keys move the choice. `chosen` is emitted when the person chooses, not for `render_value`."""

    chosen = Signal(str)

    def __init__(
        self, name: str, segments: Sequence[Segment], *, columns: int = 0, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self._group = QButtonGroup(self)
        grid = QGridLayout(self)
        grid.setContentsMargins(TROUGH, TROUGH, TROUGH, TROUGH)
        grid.setSpacing(2)
        columns = columns or len(segments)
        self.buttons: dict[str, _Button] = {}
        for i, segment in enumerate(segments):
            button = _Button(segment, name)
            self.buttons[segment.value] = button
            self._group.addButton(button)
            grid.addWidget(button, i // columns, i % columns)
            grid.setColumnStretch(i % columns, 1)
            # `clicked` is the person's; arrow keys click too.
            button.clicked.connect(lambda _on=False, v=segment.value: self.chosen.emit(v))

    def render_value(self, value: str) -> None:
        """Show a value as chosen."""
        button = self.buttons.get(value)
        if button is not None and not button.isChecked():
            button.setChecked(True)

    @property
    def value(self) -> str:
        """What is chosen, "" for nothing."""
        return next((v for v, b in self.buttons.items() if b.isChecked()), "")

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(current_theme().colour("raised"))
        painter.drawRoundedRect(QRectF(self.rect()), 8, 8)
