"""Fields that the wheel does not change: it scrolls what they stand on."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QAbstractSpinBox, QComboBox

LEFT = 6


class _Wheel(QObject):
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return False


def ignore_wheel(field: QAbstractSpinBox | QComboBox) -> None:
    """Let the wheel pass; a number also gets the margin at its left that the style sheet cannot give it."""
    field.installEventFilter(_Wheel(field))
    field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    if isinstance(field, QAbstractSpinBox):
        field.lineEdit().setTextMargins(LEFT, 0, 0, 0)
