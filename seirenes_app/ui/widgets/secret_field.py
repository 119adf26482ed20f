"""A field for a secret on its way to the system keyring."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit

KEYRING_ONLY = "Goes into the system keyring, nowhere else"


def make_secret_field(name: str) -> QLineEdit:
    """Hidden while it is typed, unknown to input methods, never filled by the program. `name` is for screen readers."""
    field = QLineEdit(echoMode=QLineEdit.EchoMode.Password, placeholderText=KEYRING_ONLY)
    field.setAccessibleName(name)
    field.setInputMethodHints(Qt.InputMethodHint.ImhHiddenText | Qt.InputMethodHint.ImhSensitiveData)
    return field
