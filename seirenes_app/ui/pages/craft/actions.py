"""Every deed of the Craft page once, as an action with its key: buttons, keys and the palette all come from here."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget

from seirenes_app.ui.icons import set_icon

DEEDS: tuple[tuple[str, str, str, str], ...] = (
    ("undo", "Undo", "undo", "Ctrl+Z"),
    ("redo", "Redo", "redo", "Ctrl+Shift+Z"),
    ("library", "Take a problem from the library…", "books", "Ctrl+L"),
    ("import", "Import problems…", "drop", ""),
    ("write", "Write a hint", "pencil", "Ctrl+Shift+N"),
    ("templates", "Fill in templates", "template", "Ctrl+T"),
    ("generate", "Let a model write hints", "chip", "Ctrl+G"),
    ("solve", "Solve the candidate in hand", "play", "Ctrl+Return"),
    ("solve_all", "Solve all candidates", "play", "Ctrl+Shift+Return"),
    ("worst", "Open the worst candidate", "worst", "Ctrl+Shift+O"),
    ("next", "Next candidate", "", "Alt+Down"),
    ("previous", "Previous candidate", "", "Alt+Up"),
    ("ablate", "Try each sentence of the hint", "sentences", "Ctrl+Shift+T"),
    ("heat", "Score the right solution's tokens", "heat", "Ctrl+Shift+H"),
    ("suite", "Save to a suite…", "save", "Ctrl+S"),
    ("copy", "Copy as command", "copy", "Ctrl+Shift+C"),
    ("new", "New draft", "plus", "Ctrl+Alt+N"),
    ("drafts", "Recent drafts…", "clock", "Ctrl+Shift+D"),
    ("solver", "Choose the Solver's model…", "chip", "Ctrl+M"),
    ("adversary", "Choose the Adversary's model…", "chip", ""),
    ("cancel", "Cancel what is going on", "stop", "Esc"),
)


def make_deeds(page: QWidget, does: dict[str, Callable[[], object]]) -> dict[str, QAction]:
    """Actions on `page`, by name; their keys work while the keyboard is somewhere in it."""
    actions: dict[str, QAction] = {}
    for name, text, icon, key in DEEDS:
        action = QAction(text, page)
        action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        if icon:
            set_icon(action, icon, "muted")
        if key:
            action.setShortcut(QKeySequence(key))
        action.triggered.connect(lambda *_, n=name: does[n]())
        page.addAction(action)
        actions[name] = action
    return actions
