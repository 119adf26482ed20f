"""Layouts: rows and columns in one expression, lines that break, areas that scroll and fields that let them."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QEvent, QMargins, QObject, QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QBoxLayout,
    QComboBox,
    QFrame,
    QGridLayout,
    QLayout,
    QLayoutItem,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from seirenes_app.ui.theme import SPACE_2

Item = QWidget | QLayout | int | None
"""A widget, a layout, a space in pixels, or None for a stretch."""
Top, Middle = Qt.AlignmentFlag.AlignTop, Qt.AlignmentFlag.AlignVCenter


def row(
    *items: Item | tuple[QWidget | QLayout, int],
    spacing: int = SPACE_2,
    margins: tuple[int, int, int, int] = (0, 0, 0, 0),
    parent: QWidget | None = None,
    align: Qt.AlignmentFlag | None = None,
    direction: QBoxLayout.Direction = QBoxLayout.Direction.LeftToRight,
) -> QBoxLayout:
    """A horizontal layout of `items`, on `parent` if given. A pair is an item with its stretch factor."""
    box = QBoxLayout(direction)
    box.setContentsMargins(*margins)
    box.setSpacing(spacing)
    if parent is not None:
        parent.setLayout(box)
    fill(box, *items, align=align)
    return box


column = partial(row, direction=QBoxLayout.Direction.TopToBottom)
"""A vertical layout; see `row`."""


def fill(box: QBoxLayout, *items: Item | tuple[QWidget | QLayout, int], align: Qt.AlignmentFlag | None = None) -> None:
    for entry in items:
        item, stretch = entry if isinstance(entry, tuple) else (entry, 0)
        if item is None:
            box.addStretch(1)
        elif isinstance(item, int):
            box.addSpacing(item)
        elif isinstance(item, QLayout):
            box.addLayout(item, stretch)
        elif align is not None:
            box.addWidget(item, stretch, align)
        else:
            box.addWidget(item, stretch)


def make_grid(parent: QWidget | None = None, *, gaps: tuple[int, int], stretched: int | None = None) -> QGridLayout:
    """A grid without margins; `gaps` are between columns and between rows, one column may be `stretched`."""
    grid = QGridLayout()
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(gaps[0])
    grid.setVerticalSpacing(gaps[1])
    if stretched is not None:
        grid.setColumnStretch(stretched, 1)
    if parent is not None:
        parent.setLayout(grid)
    return grid


def scroll_area(inside: QWidget) -> QScrollArea:
    """A widget that scrolls from top to bottom, without a frame."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    put_in_area(area, inside)
    return area


def put_in_area(area: QScrollArea, inside: QWidget) -> None:
    """Let a widget scroll in an area that resizes it, no higher than it needs at its width."""
    holder = _TallAsNeeded()
    column(inside, parent=holder)
    area.setWidget(holder)


class _TallAsNeeded(QWidget):
    """Qt alone adds up what the wrapped texts would need at a narrow width, and the user scrolls into emptiness."""

    def minimumSizeHint(self) -> QSize:
        size, layout = super().minimumSizeHint(), self.layout()
        if layout is not None and layout.hasHeightForWidth():
            size.setHeight(layout.totalHeightForWidth(max(size.width(), self.width())))
        return size


class FlowLayout(QLayout):
    """Items at their size hints, left to right. Its height follows from its width; so does that of its widget."""

    def __init__(
        self, parent: QWidget | None = None, *, gap: int = 6, line_gap: int = 6, even: bool = False
    ) -> None:  # fmt: skip
        """`even`: all as wide as the widest, so that they stand below each other."""
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self._gap, self._line_gap, self._even = gap, line_gap, even
        self._known: dict[int, int] = {}
        self.setContentsMargins(QMargins())
        if parent is not None:
            policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
            policy.setHeightForWidth(True)
            parent.setSizePolicy(policy)

    def addItem(self, item: QLayoutItem) -> None:
        self._items.append(item)

    def count(self) -> int:
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        if width not in self._known:
            self._known[width] = self._arrange(QRect(0, 0, width, 0), move=False)
        return self._known[width]

    def invalidate(self) -> None:
        self._known.clear()
        super().invalidate()

    def setGeometry(self, rect: QRect) -> None:
        super().setGeometry(rect)
        self._arrange(rect, move=True)

    def sizeHint(self) -> QSize:
        shown = [hint for _, hint in self._shown()]
        width = sum(s.width() for s in shown) + self._gap * max(0, len(shown) - 1)
        return QSize(width, max((s.height() for s in shown), default=0))

    def minimumSize(self) -> QSize:
        size = QSize()
        for item in self._items:
            size = size.expandedTo(item.minimumSize())
        return size

    def _shown(self) -> list[tuple[QLayoutItem, QSize]]:
        found = [(item, item.sizeHint()) for item in self._items if not item.isEmpty()]
        widest = max((hint.width() for _, hint in found), default=0)
        return [(item, QSize(widest, hint.height()) if self._even else hint) for item, hint in found]

    def _arrange(self, rect: QRect, *, move: bool) -> int:
        x, y, line = rect.x(), rect.y(), 0
        for item, hint in self._shown():
            if x > rect.x() and x + hint.width() > rect.x() + rect.width():
                x, y, line = rect.x(), y + line + self._line_gap, 0
            if move:
                item.setGeometry(QRect(QPoint(x, y), hint))
            x += hint.width() + self._gap
            line = max(line, hint.height())
        return y + line - rect.y()


LEFT = 6


class _Wheel(QObject):
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return False


def number_field(low: int, high: int, *, step: int = 1) -> QSpinBox:
    """A field for a whole number."""
    field = QSpinBox()
    field.setRange(low, high)
    field.setSingleStep(step)
    field.setGroupSeparatorShown(True)
    ignore_wheel(field)
    return field


def ignore_wheel(field: QAbstractSpinBox | QComboBox) -> None:
    """Let the wheel pass; a number also gets the margin at its left that the style sheet cannot give it."""
    field.installEventFilter(_Wheel(field))
    field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    if isinstance(field, QAbstractSpinBox):
        field.lineEdit().setTextMargins(LEFT, 0, 0, 0)
