"""The keys of the Robustness page, once: what it binds, and what the shortcuts sheet lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget

KEYS = {
    "Choose a run": "Ctrl+L",
    "Evaluate…": "Ctrl+E",
    "Report": "Ctrl+Shift+E",
    "Charts": "Alt+1",
    "Cross-play": "Alt+2",
    "Time machine": "Alt+3",
    "Compare runs": "Alt+4",
    "Chart or table": "Ctrl+T",
}
ROBUSTNESS_KEYS = (
    ("Robustness: choose a run", "Ctrl+L"),
    ("Robustness: evaluate, report", "Ctrl+E, Ctrl+Shift+E"),
    ("Robustness: charts, cross-play, time machine, compare", "Alt+1 … Alt+4"),
    ("Robustness: a chart's points, its rows, its table", "Arrows, Enter, Ctrl+T"),
)
"""For the window's sheet of shortcuts."""


def add_keys(page: QWidget, deeds: Mapping[str, Callable[[], object]]) -> None:
    """Bind them on the page."""
    for text, key in KEYS.items():
        action = QAction(text, page)
        action.setShortcut(QKeySequence(key))
        action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        action.triggered.connect(lambda _on=False, does=deeds[text]: does())
        page.addAction(action)
