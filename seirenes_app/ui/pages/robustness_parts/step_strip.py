"""The steps of a replay in a row that breaks where it must: outcome as icon and word, the first robust one marked."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from seirenes_app.lab.robustness.values import ReplayStep
from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.models.rollout_words import OUTCOME_LOOKS
from seirenes_app.ui.theme import current_theme
from seirenes_app.ui.widgets.badges import Look
from seirenes_app.ui.widgets.flow import FlowLayout

MISSING = Look("silent", "Not there", "muted")
WIDTH, HEIGHT = 66, 62
ARROWS = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down)


def step_look(step: ReplayStep) -> Look:
    """Icon, word and colour of one answer."""
    return OUTCOME_LOOKS[step.outcome] if step.outcome is not None else MISSING


class StepButton(QAbstractButton):
    """One checkpoint. Chosen it has a strong border; robust ones are underlined."""

    def __init__(self, step: ReplayStep, *, robust: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.step, self.robust = step, robust
        self.setCheckable(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFixedSize(self.sizeHint())
        self.render_step(step, robust=robust)

    def render_step(self, step: ReplayStep, *, robust: bool) -> None:
        """Another answer."""
        self.step, self.robust = step, robust
        look = step_look(step)
        answer = f", answer {step.answer}" if step.answer and not step.missing else ""
        words = f"step {step.step}: {step.missing or look.text}{answer}"
        self.setAccessibleName(f"{words}{', robust from here on' if robust else ''}")
        self.setToolTip(words)
        self.update()

    def sizeHint(self) -> QSize:
        """All are alike."""
        return QSize(WIDTH, HEIGHT)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows are the strip's: Qt's own move the focus and leave the choice."""
        if event.key() in ARROWS:
            event.ignore()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Ground, icon, step, answer."""
        theme, look = current_theme(), step_look(self.step)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(self.rect()).adjusted(1.5, 1.5, -1.5, -1.5)
        painter.setPen(QPen(theme.colour("text" if self.isChecked() else "border"), 2 if self.isChecked() else 1))
        painter.setBrush(theme.wash(look.tone, 0.10))
        painter.drawRoundedRect(rect, 7, 7)
        if self.hasFocus():
            painter.setPen(QPen(theme.colour("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(2, 2, -2, -2), 5, 5)
        draw_svg(painter, look.icon, QRectF(rect.center().x() - 9, rect.y() + 7, 18, 18), getattr(theme, look.tone))
        font = QFont(self.font())
        for y, text, pixels, colour in ((27, str(self.step.step), 13, "text"), (42, self.step.answer, 11, "muted")):
            font.setPixelSize(pixels)
            font.setWeight(QFont.Weight.DemiBold if pixels > 12 else QFont.Weight.Normal)
            painter.setFont(font)
            painter.setPen(theme.colour(colour))
            fitted = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, WIDTH - 12)
            painter.drawText(QRectF(rect.x(), y, rect.width(), 16), Qt.AlignmentFlag.AlignCenter, fitted)
        if self.robust:
            painter.fillRect(QRectF(rect.x() + 10, rect.bottom() - 4, rect.width() - 20, 2.5), theme.colour("good"))


class StepStrip(QWidget):
    """Left and Right go from step to step; the one in hand is chosen."""

    chosen = Signal(int)
    """Place of the step."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: list[StepButton] = []
        self.current = -1
        self._flow = FlowLayout(self, gap=6, line_gap=6)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName("The answer at each checkpoint")

    def render_steps(self, steps: Sequence[ReplayStep], robust_since: int | None) -> None:
        """These steps. Buttons are kept, so that the one with the keyboard keeps it while steps come in."""
        for button in self.buttons[len(steps) :]:
            self._flow.removeWidget(button)
            button.hide()
            button.deleteLater()
        del self.buttons[len(steps) :]
        for i, step in enumerate(steps):
            robust = robust_since is not None and step.step >= robust_since and step.outcome is not None
            if i < len(self.buttons):
                self.buttons[i].render_step(step, robust=robust)
                continue
            button = StepButton(step, robust=robust)
            button.clicked.connect(lambda _on=False, place=i: self.choose(place))
            self.buttons.append(button)
            self._flow.addWidget(button)
        if self.current >= len(steps):
            self.current = -1
        self.updateGeometry()

    def choose(self, place: int) -> None:
        """Take a step in hand."""
        if not 0 <= place < len(self.buttons):
            return
        self.current = place
        for i, button in enumerate(self.buttons):
            button.setChecked(i == place)
        self.chosen.emit(place)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left, Right, Home, End."""
        moves = {
            Qt.Key.Key_Left: self.current - 1, Qt.Key.Key_Right: self.current + 1, Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: len(self.buttons) - 1,
        }  # fmt: skip
        there = moves.get(Qt.Key(event.key()))
        if there is None or not self.buttons:
            super().keyPressEvent(event)
            return
        self.choose(max(0, min(there, len(self.buttons) - 1)))
        self.buttons[self.current].setFocus()
