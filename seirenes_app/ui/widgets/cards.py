"""Surfaces and rules: the few containers the pages are laid out with."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from seirenes_app.ui.theme import SPACE_2, SPACE_4, SPACE_6
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.labels import make_label


class Card(QFrame):
    """A raised surface with room inside. `style` is "true", "flat", "warn" or "bad"."""

    def __init__(self, style: str = "true", parent: QWidget | None = None, *, padding: int = SPACE_4) -> None:
        super().__init__(parent)
        self.setProperty("card", style)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(padding + 4, padding, padding + 4, padding)
        self.body.setSpacing(SPACE_2)


class Section(QWidget):
    """A heading with its tools at the right, and what it is the heading of below."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.heading = make_label(title, "heading")
        self.tools = QHBoxLayout()
        self.tools.setSpacing(SPACE_2)
        self.body = column(row(self.heading, None, self.tools), parent=self)


def make_rule() -> QFrame:
    """A hairline across the page."""
    line = QFrame()
    line.setProperty("line", "true")
    line.setFixedHeight(1)
    return line


class Column(QScrollArea):
    """A page's scrolled column: as wide as the page up to `width`, centred beyond it."""

    def __init__(self, width: int = 1240, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inside = QWidget()
        inside.setMaximumWidth(width)
        self.body = QVBoxLayout(inside)
        self.body.setContentsMargins(40, 32, 40, 40)
        self.body.setSpacing(SPACE_6)
        holder = QWidget()
        row(None, (inside, 1000), None, spacing=0, parent=holder)
        self.setWidget(holder)
