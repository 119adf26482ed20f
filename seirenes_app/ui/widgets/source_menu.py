"""A button that names what is open, its status beside it, and a menu of what else there is. Subclasses fill the menu
and decide what `chosen` carries."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QMenu, QWidget

from seirenes_app.services.formatting import time_ago
from seirenes_app.services.run_repository import started_at
from seirenes_app.ui.icons import set_icon, size_icon
from seirenes_app.ui.widgets.badges import BROKEN, STATUS_LOOKS, Badge, BadgeStyle
from seirenes_app.ui.widgets.boxes import row
from seirenes_app.ui.widgets.buttons import make_button, open_menu
from training.evaluation.status import EvalState
from training.runs.listing import RunSummary
from training.runs.status import LIVE, RunState

RECORDED = BadgeStyle("books", "Recorded", "accent")
RECORDED_NAME = "The recorded run"


class SourceMenu(QWidget):
    """Subclasses fill the menu in `fill`, which is called whenever it opens."""

    chosen = Signal(object)

    def __init__(self, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button = make_button("Choose a run", "chevron-down", tip=tip)
        self.button.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
        size_icon(self.button, 14, 14)
        self.menu = QMenu(self)
        self.menu.aboutToShow.connect(self._refill)
        # Not setMenu: for a button that is laid out from right to left, Qt opens it away from the button.
        self.button.clicked.connect(self.open)
        self.badge = Badge(RECORDED)
        self.badge.hide()
        row(self.button, self.badge, parent=self)

    def fill(self) -> None:
        raise NotImplementedError

    def open(self) -> None:
        """Open the menu below the button, left sides aligned."""
        open_menu(self.menu, self.button)

    def _refill(self) -> None:
        self.menu.clear()
        self.fill()
        if not self.menu.actions():
            self.add_title("No runs yet")

    def show_open(self, text: str, accessible_name: str, look: BadgeStyle | None) -> None:
        """Name what is open, with its status where it has one."""
        self.button.setText(_plain(text))
        self.button.setAccessibleName(accessible_name)
        self.badge.setVisible(look is not None)
        if look is not None:
            self.badge.render_look(look)

    def add_title(self, text: str) -> None:
        """A heading, below a separator unless it is the first entry."""
        if self.menu.actions():
            self.menu.addSeparator()
        self.menu.addAction(text).setEnabled(False)

    def add(self, text: str, icon: str, value: object, *, is_open: bool) -> None:
        """An entry; `chosen` carries its `value`."""
        action = self.menu.addAction(_plain(text))
        set_icon(action, icon, "accent" if is_open else "muted")
        action.triggered.connect(lambda *_: self.chosen.emit(value))

    def add_runs(
        self, runs: Sequence[RunSummary], value_of: Callable[[RunSummary], object], current: object, *, most: int,
        characters: int,
    ) -> None:  # fmt: skip
        """The running ones, then the `most` recent others, under their titles."""
        past = [s for s in runs if not is_live(s)][:most]
        for title, entries in (("Running", [s for s in runs if is_live(s)]), ("Recent runs", past)):
            if entries:
                self.add_title(title)
            for summary in entries:
                text = f"{brief(summary.paths.run_id, characters)}   {time_ago(started_at(summary), time.time())}"
                value = value_of(summary)
                self.add(text, look_of(summary.state).icon, value, is_open=value == current)

    def add_recorded(self, value: object, *, is_open: bool) -> None:
        """The recorded run, under its title."""
        self.add_title("Included")
        self.add(RECORDED_NAME, RECORDED.icon, value, is_open=is_open)


def is_live(summary: RunSummary) -> bool:
    """Whether its trainer is running."""
    return summary.state is not None and summary.state.status in LIVE


def look_of(state: RunState | EvalState | None) -> BadgeStyle:
    """The badge of a state, or of one that cannot be read."""
    return STATUS_LOOKS[state.status] if state is not None else BROKEN


def brief(name: str, most: int) -> str:
    """At most so many characters."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _plain(text: str) -> str:
    """Qt reads an ampersand as an access key."""
    return text.replace("&", "&&")
