"""A button that chooses other runs to draw in the same charts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu

from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.widgets.buttons import Button, open_menu

MOST = 3
"""Runs that a chart holds beside its own."""


class OverlayButton(Button):
    """Answer `runsRequested` with `show_choices`; `chosenChanged` tells which are ticked, in the order of ticking."""

    runsRequested = Signal()
    chosenChanged = Signal(object)
    """tuple of keys"""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("kind", "quiet")
        self.setAccessibleDescription("Draw other runs in the same charts")
        self.setToolTip(self.accessibleDescription())
        # Wider than the drawing, which is centred in it: Fusion sets icon and text too close.
        self.setIconSize(QSize(26, 18))
        set_icon(self, "compare", "text")
        self.chosen: tuple[Hashable, ...] = ()
        self.clicked.connect(lambda *_: self.runsRequested.emit())
        self._render()

    def choose(self, keys: Sequence[Hashable]) -> None:
        """Tick these and no others."""
        if tuple(keys) != self.chosen:
            self.chosen = tuple(keys)
            self._render()
            self.chosenChanged.emit(self.chosen)

    def make_menu(self, choices: Sequence[tuple[Hashable, str]]) -> QMenu:
        """A tickable entry for each (key, text); no more than `MOST` can be ticked."""
        menu = QMenu(self)
        for key, text in choices:
            # An ampersand in a name is no shortcut.
            action = QAction(text.replace("&", "&&"), menu)
            action.setCheckable(True)
            action.setChecked(key in self.chosen)
            action.setEnabled(key in self.chosen or len(self.chosen) < MOST)
            action.toggled.connect(lambda on, k=key: self._on_toggled(k, on=on))
            menu.addAction(action)
        if not choices:
            menu.addAction("No other run can be drawn here").setEnabled(False)
        if self.chosen:
            menu.addSeparator()
            menu.addAction("Remove all", lambda: self.choose(()))
        return menu

    def show_choices(self, choices: Sequence[tuple[Hashable, str]]) -> None:
        """Open the menu at the button."""
        menu = self.make_menu(choices)
        menu.aboutToHide.connect(menu.deleteLater)
        open_menu(menu, self)

    def _on_toggled(self, key: Hashable, *, on: bool) -> None:
        rest = [k for k in self.chosen if k != key]
        self.choose([*rest, key] if on else rest)

    def _render(self) -> None:
        text = f"Overlay runs ({len(self.chosen)})" if self.chosen else "Overlay runs"
        self.setText(text)
        self.setAccessibleName(text)
