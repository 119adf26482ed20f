"""What the window knows of a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from seirenes_app.ui.theme import Theme

if TYPE_CHECKING:
    from training.runs.paths import RunPaths


@dataclass(frozen=True)
class PageSpec:
    """A page as the sidebar and the menus know it, before it is built."""

    key: str
    """Name in settings and on the command line."""
    title: str
    icon: str
    """Name of a file in resources/icons, without ``.svg``."""


PAGES = (
    PageSpec("home", "Home", "home"),
    PageSpec("craft", "Craft", "craft"),
    PageSpec("train", "Train", "train"),
    PageSpec("traces", "Traces", "traces"),
    PageSpec("robustness", "Robustness", "chart"),
    PageSpec("red-team", "Red team", "redteam"),
    PageSpec("models", "Models", "models"),
)
PAGE_BY_KEY = {page.key: page for page in PAGES}


class Page(QWidget):
    """One page. The window calls the methods below and connects the page's own signals."""

    key: ClassVar[str] = ""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground, True)
        self.setAccessibleName(PAGE_BY_KEY[self.key].title)

    def activate(self) -> None:
        """The page has come into view."""

    def deactivate(self) -> None:
        """The page is out of view: stop drawing."""

    def themed(self, theme: Theme) -> None:
        """The colours changed: repaint what is painted by hand."""

    def forget(self, paths: RunPaths) -> None:
        """A run was discarded: show it no longer."""

    def reread(self, paths: RunPaths) -> None:
        """Files of a run came from its cluster: read them if it is shown."""

    def unsaved(self) -> str:
        """Save what is not saved; returns what prevented it, "" for nothing. Called before the window closes."""
        return ""

    def close_down(self) -> None:
        """The window closes: end what the page started."""
