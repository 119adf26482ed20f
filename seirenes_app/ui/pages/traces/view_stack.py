"""What the Traces page shows: table and inspector, or an empty state."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton, QSplitter, QStackedLayout, QWidget

from seirenes_app.ui.widgets.boxes import column
from seirenes_app.ui.widgets.cards import EmptyState, EmptyStateHolder

BESIDE = 1400  # From this width on the inspector stands beside the table, not below it
HANDLE = 14


class ViewStack(QWidget):
    """Table and inspector, or an empty state in their place."""

    def __init__(self, table: QWidget, inspector: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.content = QSplitter(Qt.Orientation.Vertical)
        self.content.setChildrenCollapsible(False)
        self.content.setHandleWidth(HANDLE)
        self.content.addWidget(table)
        self.content.addWidget(inspector)
        table.setMinimumSize(320, 130)
        inspector.setMinimumSize(340, 160)
        self._share_room()
        self._holder = EmptyStateHolder()
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.content)
        self._stack.addWidget(self._holder)

    @property
    def empty(self) -> EmptyState | None:
        return self._holder.state

    @property
    def has_content(self) -> bool:
        return self._stack.currentIndex() == 0

    def show_content(self) -> None:
        self._stack.setCurrentIndex(0)

    def show_empty(self, icon: str, title: str, text: str, *buttons: QPushButton) -> None:
        self._holder.render_state(icon, title, text, buttons)
        self._stack.setCurrentIndex(1)

    def arrange(self, width: int) -> None:
        side = Qt.Orientation.Horizontal if width >= BESIDE else Qt.Orientation.Vertical
        if self.content.orientation() != side:
            self.content.setOrientation(side)
            self._share_room()

    def _share_room(self) -> None:
        shares = (57, 43) if self.content.orientation() == Qt.Orientation.Horizontal else (42, 58)
        for place, share in enumerate(shares):
            self.content.setStretchFactor(place, share)
        self.content.setSizes([share * 100 for share in shares])


def centred(widget: QWidget) -> QWidget:
    """A widget at its own height, a little above the middle."""
    holder = QWidget()
    column(None, None, widget, None, None, None, parent=holder)
    return holder
