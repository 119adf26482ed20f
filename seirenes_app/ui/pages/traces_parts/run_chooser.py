"""Which run is read: those that are going, the recent ones, and the recorded one that ships."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QMenu, QWidget

from seirenes_app.lab.library import started_at
from seirenes_app.lab.verdicts import format_when
from seirenes_app.ui.icons import set_icon, size_icon
from seirenes_app.ui.theme import SPACE_2
from seirenes_app.ui.widgets.badges import BROKEN, STATUS_LOOKS, Badge, Look
from seirenes_app.ui.widgets.buttons import make_button
from training.rundir.index import RunSummary
from training.rundir.paths import RunPaths
from training.rundir.state import RunStatus

LIVE = frozenset({RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.STOPPING, RunStatus.STALLED})
MOST = 20
"""Recent runs in the menu; the others are opened from Home."""
NAME_CHARACTERS = 44
RECORDED = Look("books", "Recorded", "accent")
RECORDED_NAME = "The recorded run"


class RunChooser(QWidget):
    """A button that names the run, its status, and a menu of the others."""

    chosen = Signal(object)
    """RunPaths"""

    def __init__(self, recorded: RunPaths | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._recorded = recorded
        self._runs: Sequence[RunSummary] = ()
        self._paths: RunPaths | None = None
        self._build()

    def _build(self) -> None:
        self.button = make_button("Choose a run", "chevron-down", tip="Read another run (Ctrl+L)")
        self.button.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
        size_icon(self.button, 14, 14)
        self.menu = QMenu(self)
        self.menu.aboutToShow.connect(self._fill)
        self.button.setMenu(self.menu)
        self.badge = Badge(RECORDED)
        self.badge.hide()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_2)
        row.addWidget(self.button)
        row.addWidget(self.badge)

    # ------------------------------------------------------------------ render

    def render(self, paths: RunPaths | None, runs: Sequence[RunSummary]) -> None:  # type: ignore[override]  # see Inspector
        """Name the run that is open."""
        self._paths, self._runs = paths, runs
        name = self._name(paths) if paths is not None else "Choose a run"
        self.button.setText(_brief(name).replace("&", "&&"))
        self.button.setAccessibleName(f"Run: {name}" if paths is not None else name)
        look = self._look(paths)
        self.badge.setVisible(look is not None)
        if look is not None:
            self.badge.render_look(look)

    def first(self) -> RunPaths | None:
        """What to open where nobody chose: a run that is going, the newest with rollouts, or the recorded one."""
        live = [s.paths for s in self._runs if _is_live(s)]
        past = [s.paths for s in self._runs if s.paths.rollouts.is_file()]
        return next(iter([*live, *past]), self._recorded)

    def _name(self, paths: RunPaths) -> str:
        return RECORDED_NAME if paths == self._recorded else paths.run_id

    def _look(self, paths: RunPaths | None) -> Look | None:
        if paths is None:
            return None
        if paths == self._recorded:
            return RECORDED
        summary = next((s for s in self._runs if s.paths == paths), None)
        if summary is None:
            return None
        return STATUS_LOOKS[summary.state.status] if summary.state is not None else BROKEN

    # ------------------------------------------------------------------ menu

    def _fill(self) -> None:
        self.menu.clear()
        live = [s for s in self._runs if _is_live(s)]
        past = [s for s in self._runs if not _is_live(s)][:MOST]
        for title, runs in (("Going now", live), ("Recent runs", past)):
            if runs:
                self._add_title(title)
                for summary in runs:
                    self._add_run(summary)
        if self._recorded is not None:
            self._add_title("Ships with the laboratory")
            self._add(RECORDED_NAME, RECORDED.icon, self._recorded)
        if not self.menu.actions():
            self._add_title("No runs yet")

    def _add_title(self, text: str) -> None:
        if self.menu.actions():
            self.menu.addSeparator()
        self.menu.addAction(text).setEnabled(False)

    def _add_run(self, summary: RunSummary) -> None:
        look = STATUS_LOOKS[summary.state.status] if summary.state is not None else BROKEN
        when = format_when(started_at(summary), time.time())
        self._add(f"{_brief(summary.paths.run_id)}   {when}", look.icon, summary.paths)

    def _add(self, text: str, icon: str, paths: RunPaths) -> QAction:
        action = self.menu.addAction(text.replace("&", "&&"))
        set_icon(action, icon, "accent" if paths == self._paths else "muted")
        action.triggered.connect(lambda *_: self.chosen.emit(paths))
        return action


def _is_live(summary: RunSummary) -> bool:
    return summary.state is not None and summary.state.status in LIVE


def _brief(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 1]}…"
