"""Rows and columns of widgets in one expression, and areas that scroll."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QBoxLayout, QFrame, QLayout, QScrollArea, QWidget

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
) -> QBoxLayout:
    """A horizontal layout of `items`, on `parent` if given. A pair is an item with its stretch factor."""
    return _make(QBoxLayout.Direction.LeftToRight, items, spacing, margins, parent, align)


def column(
    *items: Item | tuple[QWidget | QLayout, int],
    spacing: int = SPACE_2,
    margins: tuple[int, int, int, int] = (0, 0, 0, 0),
    parent: QWidget | None = None,
) -> QBoxLayout:
    """A vertical layout of `items`; see `row`."""
    return _make(QBoxLayout.Direction.TopToBottom, items, spacing, margins, parent, None)


def _make(
    direction: QBoxLayout.Direction,
    items: tuple[Item | tuple[QWidget | QLayout, int], ...],
    spacing: int,
    margins: tuple[int, int, int, int],
    parent: QWidget | None,
    align: Qt.AlignmentFlag | None,
) -> QBoxLayout:
    box = QBoxLayout(direction)
    box.setContentsMargins(*margins)
    box.setSpacing(spacing)
    if parent is not None:
        parent.setLayout(box)
    fill(box, *items, align=align)
    return box


def fill(box: QBoxLayout, *items: Item | tuple[QWidget | QLayout, int], align: Qt.AlignmentFlag | None = None) -> None:
    """Add items to a layout that is there."""
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


def scroll_area(inside: QWidget) -> QScrollArea:
    """A widget that scrolls from top to bottom, without a frame."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setWidget(inside)
    return area
