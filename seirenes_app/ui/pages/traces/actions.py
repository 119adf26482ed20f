"""The keys of the Traces page, once: what it binds, what its table's menu offers, what the shortcuts sheet lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget

from seirenes_app.ui.icons import set_icon


@dataclass(frozen=True)
class Key:
    """One deed: its words, its key, its icon, and whether the table's menu has it."""

    text: str
    key: str
    icon: str
    in_menu: bool = False


KEYS = (
    Key("Next row", "J", "chevron-down"),
    Key("Previous row", "K", "up"),
    Key("Next flip", "N", "flip-down", True),
    Key("Previous flip", "P", "flip-up", True),
    Key("Search", "/", "search"),
    Key("Open in Craft", "C", "craft", True),
    Key("Export…", "Ctrl+E", "export", True),
    Key("Choose a run", "Ctrl+L", "log"),
)
TRACES_KEYS = (
    ("Traces: down, up", "J, K"),
    ("Traces: next and previous flip", "N, P"),
    ("Traces: search, read, back", "/, Enter, Esc"),
    ("Traces: open in Craft, export", "C, Ctrl+E"),
    ("Traces: choose a run", "Ctrl+L"),
)
"""For the window's sheet of shortcuts."""


def add_keys(page: QWidget, table: QWidget, deeds: Mapping[str, Callable[[], object]]) -> None:
    """Bind them on the page. A line that is being typed in keeps its letters: Qt asks it first."""
    for key in KEYS:
        action = QAction(key.text, page)
        action.setShortcut(QKeySequence(key.key))
        action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        set_icon(action, key.icon, "muted")
        action.triggered.connect(lambda _on=False, does=deeds[key.text]: does())
        page.addAction(action)
        if key.in_menu:
            table.addAction(action)
