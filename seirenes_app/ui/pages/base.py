"""What the window knows of a page."""

from __future__ import annotations

from typing import ClassVar

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from seirenes_app.ui.theme import Theme


class Page(QWidget):
    """One page of the laboratory. The window calls the verbs below and what a page's own signals need."""

    key: ClassVar[str] = ""
    """Name in settings and on the command line."""
    title: ClassVar[str] = ""
    """Label in the rail."""
    icon: ClassVar[str] = ""
    """Name of a file in resources/icons, without ``.svg``."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground, True)
        self.setAccessibleName(self.title)

    def activate(self) -> None:
        """The page has come into view."""

    def deactivate(self) -> None:
        """The page is out of view: stop drawing."""

    def themed(self, theme: Theme) -> None:
        """Colours changed; what is painted by hand is drawn anew."""

    def unsaved(self) -> str:
        """Save what is not saved; returns what kept it from that, "" for nothing. Asked before the window closes."""
        return ""

    def close_down(self) -> None:
        """The window closes: end what the page started."""
