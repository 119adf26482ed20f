"""Line icons from resources/icons, tinted with the theme and kept right when it changes."""

from __future__ import annotations

import weakref
from functools import lru_cache
from typing import Any

import shiboken6
from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QAction, QColor, QGuiApplication, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from seirenes_app.store.resources import icon_path
from seirenes_app.ui.theme import Theme, current_theme, theme_notifier
from training.errors import UserError

USUAL = 16
"""Logical pixels of an icon in a menu, a tab or a list."""

_tinted: weakref.WeakKeyDictionary[Any, tuple[str, str]] = weakref.WeakKeyDictionary()
_following = False


def icon(name: str, colour: str = "text", size: int = USUAL) -> QIcon:
    """The icon in a named colour of the current theme, drawn for one size; an empty icon when the file is missing."""
    theme = current_theme()
    return _load(name, getattr(theme, colour), theme.muted, size, _ratio())


def set_icon(target: Any, name: str, colour: str = "text") -> None:
    """Give a button or an action an icon, now and after every change of theme. It is drawn in the target's own size."""
    global _following
    if not _following:
        _following = True
        theme_notifier().changed.connect(_retint)
    _tinted[target] = (name, colour)
    target.setIcon(icon(name, colour, _size_of(target)))


def size_icon(target: Any, width: int, height: int) -> None:
    """Give a button with an icon another size of it, and draw it for that."""
    target.setIconSize(QSize(width, height))
    if target in _tinted:
        target.setIcon(icon(*_tinted[target], height))


def app_icon() -> QIcon:
    """The application's icon, in its own colours."""
    source = _read("seirenes")
    result = QIcon()
    for size in (16, 24, 32, 48, 64, 128, 256):
        result.addPixmap(_render(source, size, 1.0))
    return result


def pixmap(name: str, size: int, colour: str = "text", ratio: float = 1.0) -> QPixmap:
    """One drawing of an icon, `size` logical pixels, for painters."""
    return _tint(name, getattr(current_theme(), colour), size, ratio)


def draw_svg(painter: QPainter, name: str, rect: QRectF, colour: str | None = None) -> None:
    """Draw an icon straight into a painter, sharp at any size."""
    source = _read(name)
    if colour is not None:
        source = source.replace(b"currentColor", QColor(colour).name().encode())
    renderer = QSvgRenderer(QByteArray(source))
    renderer.render(painter, rect)


def _retint(_theme: Theme) -> None:
    for target, (name, colour) in list(_tinted.items()):
        if shiboken6.isValid(target):
            target.setIcon(icon(name, colour, _size_of(target)))


def _size_of(target: Any) -> int:
    return USUAL if isinstance(target, QAction) else target.iconSize().height()


def _ratio() -> float:
    """Of the sharpest screen: on the others Qt draws it smaller."""
    app = QGuiApplication.instance()
    return app.devicePixelRatio() if isinstance(app, QGuiApplication) else 1.0


@lru_cache(maxsize=512)
def _load(name: str, colour: str, disabled: str, size: int, ratio: float) -> QIcon:
    result = QIcon(_tint(name, colour, size, ratio))
    result.addPixmap(_tint(name, disabled, size, ratio), QIcon.Mode.Disabled)
    return result


@lru_cache(maxsize=512)
def _tint(name: str, colour: str, size: int, ratio: float) -> QPixmap:
    return _render(_read(name).replace(b"currentColor", colour.encode()), size, ratio)


@lru_cache(maxsize=128)
def _read(name: str) -> bytes:
    try:
        return icon_path(name).read_bytes()
    except (OSError, UserError):
        return b""


def _render(source: bytes, size: int, ratio: float) -> QPixmap:
    pixels = round(size * ratio)
    drawn = QPixmap(pixels, pixels)
    drawn.fill(Qt.GlobalColor.transparent)
    renderer = QSvgRenderer(QByteArray(source))
    if renderer.isValid():
        painter = QPainter(drawn)
        renderer.render(painter, QRectF(0, 0, pixels, pixels))
        painter.end()
    drawn.setDevicePixelRatio(ratio)
    return drawn
