"""A button that names the run or evaluation that is open, its status beside it, and a menu of the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QMenu, QWidget

from seirenes_app.services.evaluation_request import evaluation_name
from seirenes_app.services.evaluations import EvaluationSummary
from seirenes_app.services.formatting import brief, time_ago
from seirenes_app.services.run_repository import started_at
from seirenes_app.ui.icons import set_icon, size_icon
from seirenes_app.ui.widgets.badges import BROKEN, STATUS_STYLES, Badge, BadgeStyle
from seirenes_app.ui.widgets.boxes import row
from seirenes_app.ui.widgets.buttons import make_button, open_menu
from training.evaluation.status import EvalState
from training.runs.paths import RunPaths
from training.runs.processes import RunSummary
from training.runs.status import LIVE, RunState

RECORDED = BadgeStyle("books", "Recorded", "accent")
RECORDED_NAME = "The recorded run"
MAX_ENTRIES, ENTRY_CHARACTERS = 20, 60


class SourceMenu(QWidget):
    """Runs, evaluations and the recorded run. `has_results` says which runs there is something to see of."""

    chosen = Signal(object)  # Path of the folder

    def __init__(
        self, recorded: RunPaths | None, has_results: Callable[[RunSummary], bool], tip: str, characters: int,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        """`characters`: the longest name that the button shows whole."""
        super().__init__(parent)
        self._recorded = recorded.root if recorded is not None else None
        self.run_name: Callable[[RunPaths], str] = attrgetter("run_id")  # What a run is called
        self._has_results, self._tip, self._characters = has_results, tip, characters
        self._runs: Sequence[RunSummary] = ()
        self._evaluations: Sequence[EvaluationSummary] = ()
        self._root: Path | None = None
        self.button = make_button("Choose a run", "chevron-down", tip=tip)
        self.button.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
        size_icon(self.button, 14, 14)
        self.menu = QMenu(self)
        self.menu.aboutToShow.connect(self._fill)
        # Not setMenu: for a button that is laid out from right to left, Qt opens it away from the button.
        self.button.clicked.connect(self.open)
        self.badge = Badge(RECORDED)
        self.badge.hide()
        row(self.button, self.badge, parent=self)

    def open(self) -> None:
        open_menu(self.menu, self.button)

    def render_sources(
        self, root: Path | None, runs: Sequence[RunSummary], evaluations: Sequence[EvaluationSummary] = ()
    ) -> None:
        self._root, self._runs, self._evaluations = root, runs, evaluations
        name = self._name_of(root) if root is not None else "Choose a run"
        self.button.setText(_plain(brief(name, self._characters)))
        self.button.setAccessibleName(f"Shown: {name}" if root is not None else name)
        self.button.setToolTip(f"{name}\n{self._tip}")
        entries: tuple[RunSummary | EvaluationSummary, ...] = (*runs, *evaluations)
        states = {found.paths.root: found.state for found in entries}
        self.badge.setVisible(root is not None and (root == self._recorded or root in states))
        if root == self._recorded:
            self.badge.render_style(RECORDED)
        elif root in states:
            self.badge.render_style(_style_of(states[root]))

    def first(self) -> Path | None:
        """What to open by default: a live run, the newest with results, or the recorded one."""
        found = [s for s in self._runs if self._has_results(s)]
        return next((s.paths.root for s in sorted(found, key=lambda s: not is_live(s))), self._recorded)

    def _name_of(self, root: Path) -> str:
        if root == self._recorded:
            return RECORDED_NAME
        found = next((e for e in self._evaluations if e.paths.root == root), None)
        return evaluation_name(found) if found is not None else self.run_name(RunPaths(root))

    def _fill(self) -> None:
        self.menu.clear()
        live, past = [s for s in self._runs if is_live(s)], [s for s in self._runs if not is_live(s)]
        for title, runs in (("Running", live), ("Recent runs", past[:MAX_ENTRIES])):
            self._add_title(title, runs)
            for run in runs:
                self._add(self.run_name(run.paths), f"   {time_ago(started_at(run), time.time())}", run)
        self._add_title("Evaluations", self._evaluations)
        for evaluation in self._evaluations[:MAX_ENTRIES]:
            self._add(evaluation_name(evaluation), "", evaluation)
        if self._recorded is not None:
            self._add_title("Included", (self._recorded,))
            self._add_entry(RECORDED_NAME, RECORDED, self._recorded)
        if not self.menu.actions():
            self._add_title("No runs yet", (None,))

    def _add_title(self, text: str, entries: Sequence[object]) -> None:
        if entries and self.menu.actions():
            self.menu.addSeparator()
        if entries:
            self.menu.addAction(text).setEnabled(False)

    def _add(self, name: str, note: str, summary: RunSummary | EvaluationSummary) -> None:
        self._add_entry(f"{brief(name, ENTRY_CHARACTERS)}{note}", _style_of(summary.state), summary.paths.root)

    def _add_entry(self, text: str, style: BadgeStyle, root: Path) -> None:
        action = self.menu.addAction(_plain(text))
        set_icon(action, style.icon, "accent" if root == self._root else "muted")
        action.triggered.connect(lambda *_: self.chosen.emit(root))


def is_live(summary: RunSummary) -> bool:
    return summary.state is not None and summary.state.status in LIVE


def _style_of(state: RunState | EvalState | None) -> BadgeStyle:
    return STATUS_STYLES[state.status] if state is not None else BROKEN


def _plain(text: str) -> str:
    """Qt reads an ampersand as an access key."""
    return text.replace("&", "&&")
