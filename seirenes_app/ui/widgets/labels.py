"""Text on the window. Always plain: what a model or a file says is never read as markup."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QWidget


def make_label(text: str = "", role: str = "", *, wrap: bool = False, tone: str = "", select: bool = False,
               parent: QWidget | None = None) -> QLabel:  # fmt: skip
    """A plain-text label. `role` is one of the style sheet's: hero, title, heading, figure, muted, small, mono."""
    label = QLabel(parent)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setText(text)
    label.setWordWrap(wrap)
    if role:
        label.setProperty("role", role)
    if tone:
        label.setProperty("tone", tone)
    if select:
        label.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
    return label


def set_tone(label: QWidget, tone: str) -> None:
    """Change a label's tone (good, warn, bad or "") after it was shown."""
    label.setProperty("tone", tone)
    label.style().unpolish(label)
    label.style().polish(label)
