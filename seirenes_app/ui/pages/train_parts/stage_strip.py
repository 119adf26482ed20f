"""The stages of a step in their order, the one under way lit and filled as far as it has come."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.theme import current_theme
from training.rundir.state import RunState, RunStatus

STAGES = (
    ("r1_clean", "R1 clean"),
    ("r2_hint", "R2 hints"),
    ("r3_hinted", "R3 hinted"),
    ("update", "Update"),
    ("eval", "Evaluate"),
)
WITHOUT = {"clean_rl": ("r2_hint", "r3_hinted"), "random": ("r2_hint",)}
"""Stages that a mode leaves out."""
GOING = frozenset({RunStatus.RUNNING, RunStatus.STOPPING, RunStatus.STALLED})
HEIGHT = 32
ARROW = 22
WIDEST = 170


def stages_of(mode: str) -> tuple[tuple[str, str], ...]:
    """Keys and words of the stages a mode goes through."""
    return tuple(stage for stage in STAGES if stage[0] not in WITHOUT.get(mode, ()))


class StageStrip(QWidget):
    """Painted whole; its accessible name says the stage and how far it is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stages: Sequence[tuple[str, str]] = STAGES
        self._current = -1
        self._begun = False
        self._share = 0.0
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(460)

    def render_state(self, state: RunState) -> None:
        """Light the stage under way; none when nothing goes."""
        self._stages = stages_of(str(state.mode))
        keys = [key for key, _ in self._stages]
        lit = state.stage in keys and state.status in GOING
        self._current = keys.index(state.stage) if lit else -1
        # The evaluation before the first step stands last in the strip, and nothing has come before it.
        self._begun = state.step > 0
        self._share = min(1.0, state.stage_done / state.stage_total) if state.stage_total else 0.0
        word = self._stages[self._current][1] if lit else "none"
        self.setAccessibleName(f"Stage: {word}, {self._share:.0%}" if lit else "Stage: none")
        self.update()

    def sizeHint(self) -> QSize:
        """All stages at their widest."""
        return QSize(len(self._stages) * (WIDEST + ARROW), HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Pills with arrows between them."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        count = len(self._stages)
        width = min(WIDEST, (self.width() - ARROW * (count - 1)) / count)
        for i, (_key, word) in enumerate(self._stages):
            x = i * (width + ARROW)
            self._paint_pill(painter, QRectF(x, 0.5, width, HEIGHT - 1), i, word)
            if i + 1 < count:
                box = QRectF(x + width + (ARROW - 14) / 2, HEIGHT / 2 - 7, 14, 14)
                draw_svg(painter, "chevron-right", box, current_theme().muted)

    def _paint_pill(self, painter: QPainter, rect: QRectF, index: int, word: str) -> None:
        theme = current_theme()
        current, past = index == self._current, self._begun and index < self._current
        path = QPainterPath()
        path.addRoundedRect(rect, 7, 7)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.fillPath(path, theme.colour("raised"))
        if current:
            painter.save()
            painter.setClipPath(path)
            fill = QRectF(rect.left(), rect.top(), rect.width() * self._share, rect.height())
            painter.fillRect(fill, theme.wash("accent", 0.24))
            painter.restore()
            painter.setPen(QPen(theme.colour("accent"), 1.6))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPath(path)
        font = QFont(self.font())
        font.setPixelSize(13)
        font.setWeight(QFont.Weight.DemiBold if current else QFont.Weight.Normal)
        painter.setFont(font)
        painter.setPen(theme.colour("text" if current or past else "muted"))
        text = f"{word}  {self._share:.0%}" if current else word
        icon = 18 if past else 0
        left = rect.left() + (rect.width() - QFontMetrics(font).horizontalAdvance(text) - icon) / 2
        if past:
            draw_svg(painter, "check", QRectF(left, rect.center().y() - 7, 14, 14), theme.good)
        place = QRectF(left + icon, rect.top(), rect.right() - left, rect.height())
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
