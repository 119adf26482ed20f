"""The containers that pages are laid out with: cards, sections, columns, rules, empty states."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QPushButton, QScrollArea, QWidget

from seirenes_app.ui.theme import SPACE_4, SPACE_6, SPACE_8
from seirenes_app.ui.widgets.boxes import column, put_in_area, row
from seirenes_app.ui.widgets.labels import IconLabel, make_label


class Card(QFrame):
    """A raised surface with padding. `style` is "true", "flat", "warn" or "bad"."""

    def __init__(self, style: str = "true", parent: QWidget | None = None, *, padding: int = SPACE_4) -> None:
        super().__init__(parent)
        self.setProperty("card", style)
        self.body = column(margins=(padding + 4, padding, padding + 4, padding), parent=self)


class Section(QWidget):
    """A heading with its tools at the right, and what it is the heading of below."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.heading = make_label(title, "heading")
        self.tools = row()
        self.body = column(row(self.heading, None, self.tools), parent=self)


def make_rule() -> QFrame:
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
        self.body = column(spacing=SPACE_6, margins=(40, 32, 40, 40), parent=inside)
        holder = QWidget()
        row(None, (inside, 1000), None, spacing=0, parent=holder)
        put_in_area(self, holder)


TEXT_WIDTH = 480


class EmptyState(QWidget):
    """Centred picture, heading, a line or two, and buttons."""

    def __init__(
        self, icon: str, title: str, text: str, buttons: tuple[QPushButton, ...] = (), parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAccessibleName(f"{title} {text}")
        body = column(margins=(SPACE_8, SPACE_8, SPACE_8, SPACE_8), parent=self)
        body.addWidget(IconLabel(icon, 44), 0, Qt.AlignmentFlag.AlignHCenter)
        heading = make_label(title, "heading")
        about = make_label(text, "muted", wrap=True)
        about.setFixedWidth(TEXT_WIDTH)
        for label in (heading, about):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            body.addWidget(label, 0, Qt.AlignmentFlag.AlignHCenter)
        # An aligned label is laid out at its size hint, which knows nothing of the width it was given.
        about.setMinimumHeight(about.heightForWidth(TEXT_WIDTH))
        if buttons:
            body.addLayout(row(None, *buttons, None, margins=(0, SPACE_4, 0, 0)))


class EmptyStateHolder(QWidget):
    """Where an empty state stands, a little above the middle; `state` is the one that was shown last."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state: EmptyState | None = None
        self._column = column(parent=self)
        self._column.addStretch(2)
        self._column.addStretch(3)

    def render_state(self, icon: str, title: str, text: str, buttons: tuple[QPushButton, ...] = ()) -> None:
        if self.state is not None:
            self._column.removeWidget(self.state)
            self.state.hide()
            self.state.deleteLater()
        self.state = EmptyState(icon, title, text, buttons)
        self._column.insertWidget(1, self.state)


def centred(widget: QWidget) -> QWidget:
    """A widget at its own height, a little above the middle."""
    holder = QWidget()
    column(None, None, widget, None, None, None, parent=holder)
    return holder
