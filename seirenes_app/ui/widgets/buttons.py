"""Buttons with an icon, a weight, a tooltip and an accessible name, made in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QPushButton, QToolButton

from seirenes_app.ui.icons import set_icon


def make_button(
    text: str,
    icon: str = "",
    *,
    kind: str = "",
    tip: str = "",
    clicked: Callable[[], Any] | None = None,
    large: bool = False,
) -> QPushButton:
    """A push button. `kind` is primary, quiet, danger or "" for the ordinary one."""
    button = QPushButton(text)
    button.setAccessibleName(text)
    button.setCursor(Qt.CursorShape.PointingHandCursor)
    if kind:
        button.setProperty("kind", kind)
    if large:
        button.setProperty("large", True)
    if tip:
        button.setToolTip(tip)
        button.setAccessibleDescription(tip)
    if icon:
        # Wider than the drawing, which is centred in it: Fusion sets icon and text too close.
        button.setIconSize(QSize(28, 20) if large else QSize(26, 18))
        set_icon(button, icon, {"primary": "accent_text", "danger": "bad"}.get(kind, "text"))
    if clicked is not None:
        button.clicked.connect(lambda *_: clicked())
    return button


def action_button(action: QAction, text: str = "", *, kind: str = "", large: bool = False) -> QPushButton:
    """A push button that triggers `action` and follows its text, tooltip and enabled state. `text` fixes the text."""
    icon = str(action.property("icon_name") or "")
    button = make_button(text or action.text().replace("&", ""), icon, kind=kind, large=large, clicked=action.trigger)

    def follow() -> None:
        button.setEnabled(action.isEnabled())
        button.setText(text or action.text().replace("&", ""))
        button.setAccessibleName(button.text())
        button.setToolTip(action.toolTip())
        button.setAccessibleDescription(action.toolTip())

    action.changed.connect(follow)
    follow()
    return button


def make_icon_button(icon: str, name: str, *, clicked: Callable[[], Any] | None = None) -> QToolButton:
    """A quiet button that shows its icon alone; `name` is its tooltip and accessible name."""
    button = QToolButton()
    button.setProperty("kind", "quiet")
    button.setToolTip(name)
    button.setAccessibleName(name)
    button.setCursor(Qt.CursorShape.PointingHandCursor)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    button.setIconSize(QSize(18, 18))
    set_icon(button, icon, "muted")
    if clicked is not None:
        button.clicked.connect(lambda *_: clicked())
    return button
