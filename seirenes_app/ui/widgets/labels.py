"""Text and icons on the window. Text is always plain: what a model or a file says is never read as markup."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.theme import SPACE_3, current_theme, sized_font
from seirenes_app.ui.widgets.boxes import FlowLayout, column, row


def draw_elided(painter: QPainter, rect: QRect, text: str, font: QFont, tone: str) -> None:
    """Paint one line at the left of `rect`, in the theme's colour `tone`; what does not fit ends with an ellipsis."""
    painter.setFont(font)
    painter.setPen(current_theme().colour(tone))
    fitted = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, rect.width())
    painter.drawText(rect, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, fitted)


def make_label(text: str = "", role: str = "", *, wrap: bool = False, tone: str = "", select: bool = False,
               parent: QWidget | None = None) -> QLabel:  # fmt: skip
    """A plain-text label. `role` is one of the style sheet's: hero, title, heading, figure, muted, small, mono."""
    label = QLabel(parent)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setText(text)
    label.setWordWrap(wrap)
    if role:
        label.setProperty("role", role)
    if tone:
        label.setProperty("tone", tone)
    if select:
        label.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
    return label


def make_card_heading(text: str) -> QLabel:
    """A card's own heading: smaller than a section's."""
    label = make_label(text)
    label.setFont(sized_font(label.font(), 15, QFont.Weight.DemiBold))
    return label


def wrap_anywhere(label: QLabel) -> QLabel:
    """Let a wrapping label be narrower than its longest word: a path or a name must not widen the page."""
    policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    policy.setHeightForWidth(True)
    label.setSizePolicy(policy)
    return label


def set_tone(label: QWidget, tone: str) -> None:
    """Change a label's tone (good, warn, bad or "") after it was shown."""
    label.setProperty("tone", tone)
    label.style().unpolish(label)
    label.style().polish(label)


class ElidedLabel(QLabel):
    """One line that gives way: what does not fit ends in "…", and the tooltip has it whole."""

    def __init__(self, role: str = "", parent: QWidget | None = None, *, fill: bool = False) -> None:
        """With `fill` it takes all the width it gets, however short its text is."""
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        policy = QSizePolicy.Policy
        self.setSizePolicy(policy.Ignored if fill else policy.Maximum, policy.Fixed)
        if role:
            self.setProperty("role", role)

    def minimumSizeHint(self) -> QSize:
        """A few letters, or all that there are."""
        few = self.fontMetrics().horizontalAdvance("mmm…")
        return QSize(min(few, super().sizeHint().width()), super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        fitted = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, self.width())
        self.setToolTip(self.text() if fitted != self.text() else "")
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, fitted)


class IconLabel(QWidget):
    """Square, `size` logical pixels, tinted with the named colour of the theme; "" leaves its own colours."""

    def __init__(self, icon: str, size: int = 18, colour: str = "muted", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon, self._colour = icon, colour
        self.setFixedSize(size, size)

    def render_icon(self, icon: str, colour: str) -> None:
        self._icon, self._colour = icon, colour
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        colour = getattr(current_theme(), self._colour) if self._colour else None
        draw_svg(QPainter(self), self._icon, QRectF(self.rect()), colour)


class IconLine(QWidget):
    """A sentence with an icon before it, for what must not be said by a colour alone. Hidden while there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon = IconLabel("info", 18)
        self.text = wrap_anywhere(make_label("", wrap=True))
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        box = row(self._icon, (self.text, 1), spacing=SPACE_3, parent=self)
        box.setAlignment(self._icon, Qt.AlignmentFlag.AlignTop)
        self.hide()

    def render_line(self, icon: str, colour: str, text: str) -> None:
        """Show an icon, in a named colour of the theme, and the sentence; "" hides both."""
        self._icon.render_icon(icon, colour)
        self.text.setText(text)
        self.setVisible(bool(text))


class Facts(QWidget):
    """Named figures in a row that wraps: a small name over its value. The labels are reused."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self._flow = FlowLayout(self, gap=18, line_gap=8)
        self._facts: list[tuple[QWidget, QWidget, QWidget]] = []

    def render_facts(self, facts: Sequence[tuple[str, str]]) -> None:
        while len(self._facts) < len(facts):
            item, name, value = QWidget(), make_label("", "small"), make_label("", select=True)
            column(name, value, spacing=0, parent=item)
            self._flow.addWidget(item)
            self._facts.append((item, name, value))
        for number, (item, *labels) in enumerate(self._facts):
            item.setVisible(number < len(facts))
            if number < len(facts):
                item.setAccessibleName(": ".join(facts[number]))
                for label, text in zip(labels, facts[number], strict=True):
                    label.setText(text)  # type: ignore[attr-defined]
        self.updateGeometry()
