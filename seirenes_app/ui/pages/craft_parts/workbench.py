"""The page's panes: what is made at the left, what it does at the right, and room for the candidates between.

It only places what it is given.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFont, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QSplitter, QVBoxLayout, QWidget

from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.theme import HEADING_PX, SPACE_4, current_theme

WIDE = 1480
LEAST_LEFT, LEAST_MIDDLE, LEAST_RIGHT = 450, 440, 520


class Pane(QScrollArea):
    """A column that scrolls by itself."""

    def __init__(self, name: str, least: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMinimumWidth(least)
        self.setAccessibleName(name)
        inside = QWidget()
        self.body = QVBoxLayout(inside)
        self.body.setContentsMargins(2, 2, 12, 24)
        self.body.setSpacing(SPACE_4)
        self.setWidget(inside)


class Workbench(QSplitter):
    """`making` and `showing` are stacked in their panes; `candidates` moves to a pane of its own when there is room."""

    def __init__(
        self, making: Sequence[QWidget], candidates: QWidget, showing: Sequence[QWidget], parent: QWidget | None = None
    ) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._candidates = candidates
        self._wide: bool | None = None
        self.setChildrenCollapsible(False)
        self.setHandleWidth(12)
        self.left = Pane("Problem and distraction", LEAST_LEFT)
        self.middle = Pane("Candidates", LEAST_MIDDLE)
        self.right = Pane("What it does to the solver", LEAST_RIGHT)
        for pane, widgets in ((self.left, making), (self.middle, ()), (self.right, showing)):
            for widget in widgets:
                pane.body.addWidget(widget)
            pane.body.addStretch(1)
            self.addWidget(pane)
        self._flow(wide=False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Two panes, or three."""
        super().resizeEvent(event)
        self._flow(wide=event.size().width() >= WIDE)

    def _flow(self, *, wide: bool) -> None:
        if wide == self._wide:
            return
        self._wide = wide
        home = self.middle if wide else self.left
        # Before the stretch at the end.
        home.body.insertWidget(home.body.count() - 1, self._candidates)
        self.middle.setVisible(wide)
        self.setSizes([480, 500, 780] if wide else [470, 0, 580])
        for i, stretch in enumerate((2, 2, 4) if wide else (4, 0, 5)):
            self.setStretchFactor(i, stretch)

    def show_candidates(self) -> None:
        """Scroll to the head of the candidates."""
        pane = self.middle if self._wide else self.left
        pane.verticalScrollBar().setValue(max(0, self._candidates.y() - 8))

    def reveal(self, widget: QWidget) -> None:
        """Scroll its pane until it can be seen."""
        for pane in (self.left, self.middle, self.right):
            if pane.isAncestorOf(widget):
                pane.ensureWidgetVisible(widget, 0, 40)


class DropVeil(QWidget):
    """Lies over the page while a file is held over it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.words = ""
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def show_words(self, words: str) -> None:
        """Cover the page and say what dropping would do."""
        self.words = words
        self.setAccessibleName(words)
        self.setGeometry(self.parentWidget().rect())
        self.show()
        self.raise_()

    def paintEvent(self, event: QPaintEvent) -> None:
        """A ground that lets the page shine through, a dashed frame, a picture and words."""
        theme, painter = current_theme(), QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground = theme.colour("background")
        ground.setAlphaF(0.9)
        painter.fillRect(self.rect(), ground)
        painter.setPen(QPen(theme.colour("accent"), 2, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(16, 16, -16, -16), 12, 12)
        middle = QRectF(self.rect()).center()
        draw_svg(painter, "drop", QRectF(middle.x() - 24, middle.y() - 56, 48, 48), theme.accent)
        font = QFont(self.font())
        font.setPixelSize(HEADING_PX)
        painter.setFont(font)
        painter.setPen(theme.colour("text"))
        painter.drawText(QRectF(0, middle.y() + 8, self.width(), 30), Qt.AlignmentFlag.AlignCenter, self.words)
