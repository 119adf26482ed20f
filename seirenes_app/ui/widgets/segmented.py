"""A choice of one of a few, all visible: segments with a title and an optional second line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QGridLayout, QSizePolicy, QWidget

from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.theme import SMALL_PX, current_theme, sized_font

PAD = 10
CHECK = 14
TALL, SHORT = 50, 32
MARGIN = 3


@dataclass(frozen=True)
class Segment:
    """One choice: its value, its title, the second line ("" for none), and the tooltip."""

    value: str
    title: str
    about: str = ""
    tip: str = ""


class _Button(QAbstractButton):
    """The chosen one has a check mark and a strong border, not only another colour."""

    def __init__(self, segment: Segment, group_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent, text=segment.title, checkable=True)
        self.segment = segment
        self.setAccessibleName(f"{group_name}: {segment.title}")
        self.setAccessibleDescription(segment.tip or segment.about)
        self.setToolTip(segment.tip)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFixedHeight(TALL if segment.about else SHORT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def _font(self) -> QFont:
        return sized_font(self.font(), 13, QFont.Weight.DemiBold)

    def sizeHint(self) -> QSize:
        width = QFontMetrics(self._font()).horizontalAdvance(self.text()) + 2 * PAD + 24
        return QSize(width, self.minimumHeight())

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
        check = self.check_rect() if chosen else QRectF()
        self._paint_text(painter, check, chosen and on)
        if not check.isEmpty():
            draw_svg(painter, "check-circle", check, theme.accent if on else theme.muted)

    def check_rect(self) -> QRectF:
        """Where the mark of the chosen one is: beside the title, or, where that has no room, beside the second line,
        which is then cut short. Empty where neither has."""
        title, right = self._title_rect(), self.width() - CHECK - 3.0
        x = right if self.segment.about else title.right() + 4
        if title.right() + 2 <= x <= right:
            return QRectF(x, title.center().y() - CHECK / 2, CHECK, CHECK)
        place = self._about_rect().center().y() - CHECK / 2
        return QRectF(right, place, CHECK, CHECK) if self.segment.about else QRectF()

    def _title_rect(self) -> QRectF:
        """Where the title is: above a second line at the left, else in the middle."""
        width = float(QFontMetrics(self._font()).horizontalAdvance(self.text()))
        if self.segment.about:
            return QRectF(PAD, 6, width, 20)
        return QRectF((self.width() - width) / 2, 0, width, self.height())

    def _about_rect(self) -> QRectF:
        return QRectF(PAD, 26, self.width() - 2 * PAD + 6, 18)

    def _paint_text(self, painter: QPainter, check: QRectF, strong: bool) -> None:
        theme = current_theme()
        painter.setFont(self._font())
        painter.setPen(theme.colour("text" if strong else "muted"))
        painter.drawText(
            self._title_rect().adjusted(0, 0, 2, 0),
            Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft,
            self.text(),
        )
        if self.segment.about:
            font = sized_font(self.font(), SMALL_PX)
            painter.setFont(font)
            painter.setPen(theme.colour("muted"))
            place = self._about_rect()
            if check.intersects(place):
                place.setRight(check.left() - 3)
            fitted = QFontMetrics(font).elidedText(self.segment.about, Qt.TextElideMode.ElideRight, int(place.width()))
            painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, fitted)


class Segmented(QWidget):
    """Arrow keys move the choice; `chosen` is emitted for what the user chooses, not for what is rendered."""

    chosen = Signal(str)

    def __init__(
        self, name: str, segments: Sequence[Segment], *, columns: int = 0, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self._group = QButtonGroup(self)
        grid = QGridLayout(self)
        grid.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        grid.setSpacing(2)
        columns = columns or len(segments)
        self.buttons: dict[str, _Button] = {}
        for i, segment in enumerate(segments):
            button = _Button(segment, name)
            self.buttons[segment.value] = button
            self._group.addButton(button)
            grid.addWidget(button, i // columns, i % columns)
            # Those with a second line are equally wide; titles alone need the room of their words.
            grid.setColumnStretch(i % columns, int(any(s.about for s in segments)))
            # `clicked` is the user's; arrow keys click too.
            button.clicked.connect(lambda _on=False, v=segment.value: self.chosen.emit(v))

    def render_value(self, value: str) -> None:
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
