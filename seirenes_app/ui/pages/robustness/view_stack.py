"""What stands on the Robustness page: four views of what is open, or why nothing can be shown and what to do."""

from __future__ import annotations

from enum import StrEnum

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QPushButton, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

from seirenes_app.ui.widgets.empty_state import EmptyState, EmptyStateHolder
from seirenes_app.ui.widgets.segmented import Segment


class Face(StrEnum):
    """One of the views."""

    CHARTS = "charts"
    """Over checkpoints."""
    CROSS = "cross"
    """Reasoners against writers of hints."""
    TIME = "time"
    """One problem through time."""
    COMPARE = "compare"
    """Several runs."""


SEGMENTS = (
    Segment(Face.CHARTS, "Over checkpoints", tip="Accuracy, gap, flips and worst of k at each checkpoint (Alt+1)"),
    Segment(Face.CROSS, "Cross-play", tip="Reasoners of checkpoints against hints of others (Alt+2)"),
    Segment(Face.TIME, "Time machine", tip="One problem on every checkpoint (Alt+3)"),
    Segment(Face.COMPARE, "Compare runs", tip="Several runs on the same suite (Alt+4)"),
)


class Faces(QWidget):
    """`show_face` brings a view up; `show_empty` puts words in the place of all of them."""

    def __init__(self, views: dict[Face, QWidget], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.areas = {face: scrolled(view) for face, view in views.items()}
        self._stack = QStackedLayout(self)
        for area in self.areas.values():
            self._stack.addWidget(area)
        self._place = EmptyStateHolder()
        self._stack.addWidget(self._place)

    @property
    def empty(self) -> EmptyState | None:
        """The empty state that was shown last."""
        return self._place.state

    @property
    def reading(self) -> bool:
        """Whether a view is up."""
        return self._stack.currentWidget() is not self._place

    @property
    def face(self) -> Face | None:
        """The view that is up."""
        return next((f for f, area in self.areas.items() if self._stack.currentWidget() is area), None)

    def show_face(self, face: Face) -> None:
        """Bring it up."""
        self._stack.setCurrentWidget(self.areas[face])

    def show_empty(self, icon: str, title: str, text: str, buttons: tuple[QPushButton, ...] = ()) -> None:
        """A reason in words, and what can be done about it."""
        self._place.render_state(icon, title, text, buttons)
        self._stack.setCurrentWidget(self._place)


def scrolled(view: QWidget) -> QScrollArea:
    """A view in a column that scrolls."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    holder = QWidget()
    column = QVBoxLayout(holder)
    column.setContentsMargins(28, 4, 22, 28)
    column.addWidget(view)
    area.setWidget(holder)
    return area
