"""Line icons from resources/icons, tinted with the theme and kept right when it changes."""

from __future__ import annotations

import weakref
from functools import lru_cache
from typing import Any

import shiboken6
from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from seirenes_app.lab.resources import icon_path
from seirenes_app.ui.theme import Theme, current_theme, theme_notifier
from training.errors import UserError

SIZES = (16, 18, 20, 24, 32, 48)

_tinted: weakref.WeakKeyDictionary[Any, tuple[str, str]] = weakref.WeakKeyDictionary()
_following = False


def icon(name: str, colour: str = "text") -> QIcon:
    """The icon in a named colour of the current theme; an empty icon when the file is missing."""
    theme = current_theme()
    return _load(name, getattr(theme, colour), theme.muted)


def set_icon(target: Any, name: str, colour: str = "text") -> None:
    """Give a button or an action an icon, now and after every change of theme."""
    global _following
    if not _following:
        _following = True
        theme_notifier().changed.connect(_retint)
    _tinted[target] = (name, colour)
    target.setIcon(icon(name, colour))


def app_icon() -> QIcon:
    """The application's icon, in its own colours."""
    source = _read("seirenes")
    result = QIcon()
    for size in (16, 24, 32, 48, 64, 128, 256):
        result.addPixmap(_render(source, size, 1.0))
    return result


def pixmap(name: str, size: int, colour: str = "text", ratio: float = 1.0) -> QPixmap:
    """One drawing of an icon, `size` logical pixels, for painters."""
    return _load(name, getattr(current_theme(), colour), current_theme().muted).pixmap(QSize(size, size), ratio)


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
            target.setIcon(icon(name, colour))


@lru_cache(maxsize=256)
def _load(name: str, colour: str, disabled: str) -> QIcon:
    source = _read(name)
    result = QIcon()
    for mode, ink in ((QIcon.Mode.Normal, colour), (QIcon.Mode.Disabled, disabled)):
        tinted = source.replace(b"currentColor", ink.encode())
        for size in SIZES:
            for ratio in (1.0, 2.0):
                result.addPixmap(_render(tinted, size, ratio), mode)
    return result


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
