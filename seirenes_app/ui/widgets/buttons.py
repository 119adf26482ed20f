"""Buttons with an icon, a weight, a tooltip and an accessible name, made in one line.

Focus: Qt hands the keyboard of a button that is hidden or disabled to the next widget, as if Tab had been pressed; a
second press of Space would then do something else. A button made here hands it to the button that takes its place,
and never to a destructive one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QAbstractButton, QApplication, QMenu, QPushButton, QToolButton, QWidget
from shiboken6 import isValid

from seirenes_app.ui.icons import set_icon


class _KeepsFocus:
    """Where the keyboard goes when the button with it goes away."""

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Tab as usual; hidden or disabled, the choice waits until the other buttons are up to date."""
        if self.isVisible() and self.isEnabled():  # type: ignore[attr-defined]
            return bool(super().focusNextPrevChild(forward))
        window = self.window()  # type: ignore[attr-defined]
        self.clearFocus()  # type: ignore[attr-defined]
        QTimer.singleShot(0, window, lambda: _move_focus(self))
        return True


class Button(_KeepsFocus, QPushButton):
    """A push button; see the module on focus."""


class IconButton(_KeepsFocus, QToolButton):
    """A tool button; see the module on focus."""


def _move_focus(button: Any) -> None:
    if not isValid(button) or QApplication.focusWidget() is not None:
        return
    beside = button.parentWidget()
    if beside is None:
        return
    if button.isVisible() and button.isEnabled():
        button.setFocus(Qt.FocusReason.OtherFocusReason)
        return
    others = [b for b in beside.findChildren(QAbstractButton) if b.parentWidget() is beside]
    at = others.index(button)
    safe = [
        (abs(place - at), place < at, other)
        for place, other in enumerate(others)
        if other.isVisible() and other.isEnabled() and other.focusPolicy() and not is_destructive(other)
    ]
    nearest = min(safe, key=lambda found: found[:2], default=None)
    target = nearest[2] if nearest is not None else beside
    if nearest is None:
        # A container takes the keyboard by code only; Tab goes on from here.
        beside.setFocusPolicy(beside.focusPolicy() or Qt.FocusPolicy.ClickFocus)
    target.setFocus(Qt.FocusReason.OtherFocusReason)


def is_destructive(button: QAbstractButton) -> bool:
    """Whether it ends or deletes something: by `kind="danger"`, `destructive=True`, or its action's spec."""
    return bool(button.property("destructive"))


def make_button(
    text: str,
    icon: str = "",
    *,
    kind: str = "",
    tip: str = "",
    clicked: Callable[[], Any] | None = None,
    large: bool = False,
    destructive: bool = False,
) -> QPushButton:
    """A push button. `kind` is primary, quiet, danger or "" for the ordinary one; danger is destructive.

    A `destructive` button ends or deletes something: the keyboard never comes to it by itself.
    """
    button = Button(text)
    button.setProperty("destructive", destructive or kind == "danger")
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
    button = make_button(text, str(action.property("icon_name") or ""), kind=kind, large=large)
    follow_action(button, action, text=not text)
    return button


def follow_action(button: QAbstractButton, action: QAction, *, text: bool = False) -> None:
    """Let a click trigger `action`; the button follows its enabled state and tooltip, and with `text` its text."""

    def follow() -> None:
        button.setEnabled(action.isEnabled())
        if text:
            button.setText(action.text().replace("&", ""))
        button.setAccessibleName(button.text() or action.text())
        button.setToolTip(action.toolTip())
        button.setAccessibleDescription(action.toolTip())

    button.setProperty("destructive", bool(action.property("destructive")))
    button.clicked.connect(lambda *_: action.trigger())
    action.changed.connect(follow)
    follow()


def make_icon_button(
    icon: str, name: str, *, clicked: Callable[[], Any] | None = None, destructive: bool = False
) -> QToolButton:
    """A quiet button that shows its icon alone; `name` is its tooltip and accessible name."""
    button = IconButton()
    button.setProperty("destructive", destructive)
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


def open_menu(menu: QMenu, button: QWidget) -> None:
    menu.popup(button.mapToGlobal(button.rect().bottomLeft()))
