"""Whose robustness is shown: runs that are going, recent ones, evaluations, and the recorded run that ships."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QMenu, QWidget

from seirenes_app.lab.evaluations import EvaluationSummary
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
MOST = 14
NAME_CHARACTERS, SHORT = 60, 28
RECORDED = Look("books", "Recorded", "accent")
RECORDED_NAME = "The recorded run"


class SourceChooser(QWidget):
    """A button that names what is open, its status, and a menu of the others."""

    chosen = Signal(object)
    """Path of a run's or an evaluation's folder."""

    def __init__(self, recorded: RunPaths | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._recorded = recorded
        self._runs: Sequence[RunSummary] = ()
        self._evaluations: Sequence[EvaluationSummary] = ()
        self._root: Path | None = None
        self._build()

    def _build(self) -> None:
        self.button = make_button("Choose a run", "chevron-down", tip="Another run or evaluation (Ctrl+L)")
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

    def render_sources(
        self, root: Path | None, runs: Sequence[RunSummary], evaluations: Sequence[EvaluationSummary]
    ) -> None:
        """Name what is open."""
        self._root, self._runs, self._evaluations = root, runs, evaluations
        name = self.name_of(root) if root is not None else "Choose a run"
        self.button.setText(_brief(name, SHORT).replace("&", "&&"))
        self.button.setToolTip(f"{name}\nAnother run or evaluation (Ctrl+L)")
        self.button.setAccessibleName(f"Shown: {name}" if root is not None else name)
        look = self._look(root)
        self.badge.setVisible(look is not None)
        if look is not None:
            self.badge.render_look(look)

    def first(self) -> Path | None:
        """What to open where nobody chose: a run that is going, the newest with figures, or the recorded one."""
        live = [s.paths.root for s in self._runs if s.state is not None and s.state.status in LIVE and s.state.evals]
        past = [s.paths.root for s in self._runs if s.state is not None and s.state.evals]
        recorded = self._recorded.root if self._recorded is not None else None
        return next(iter([*live, *past]), recorded)

    def name_of(self, root: Path) -> str:
        """What a folder is called."""
        if self._recorded is not None and root == self._recorded.root:
            return RECORDED_NAME
        found = next((e for e in self._evaluations if e.paths.root == root), None)
        return evaluation_name(found) if found is not None else root.name

    def _look(self, root: Path | None) -> Look | None:
        if root is None:
            return None
        if self._recorded is not None and root == self._recorded.root:
            return RECORDED
        entries: tuple[RunSummary | EvaluationSummary, ...] = (*self._runs, *self._evaluations)
        for found in entries:
            if found.paths.root == root:
                return STATUS_LOOKS[found.state.status] if found.state is not None else BROKEN
        return None

    # ------------------------------------------------------------------ menu

    def _fill(self) -> None:
        self.menu.clear()
        live = [s for s in self._runs if s.state is not None and s.state.status in LIVE]
        past = [s for s in self._runs if s not in live][:MOST]
        for title, runs in (("Going now", live), ("Recent runs", past)):
            self._add_title(title, runs)
            for summary in runs:
                look = STATUS_LOOKS[summary.state.status] if summary.state is not None else BROKEN
                when = format_when(started_at(summary), time.time())
                self._add(f"{_brief(summary.paths.run_id)}   {when}", look.icon, summary.paths.root)
        self._add_title("Evaluations", self._evaluations)
        for found in self._evaluations[:MOST]:
            look = STATUS_LOOKS[found.state.status] if found.state is not None else BROKEN
            self._add(_brief(evaluation_name(found)), look.icon, found.paths.root)
        if self._recorded is not None:
            self._add_title("Ships with the laboratory", [self._recorded])
            self._add(RECORDED_NAME, RECORDED.icon, self._recorded.root)
        if not self.menu.actions():
            self._add_title("No runs yet", [None])

    def _add_title(self, text: str, entries: Sequence[object]) -> None:
        if not entries:
            return
        if self.menu.actions():
            self.menu.addSeparator()
        self.menu.addAction(text).setEnabled(False)

    def _add(self, text: str, icon: str, root: Path) -> None:
        action = self.menu.addAction(text.replace("&", "&&"))
        set_icon(action, icon, "accent" if root == self._root else "muted")
        action.triggered.connect(lambda *_: self.chosen.emit(root))


def evaluation_name(summary: EvaluationSummary) -> str:
    """Its title; its folder's name where the plan cannot be read."""
    return (summary.plan.title if summary.plan is not None else "") or summary.paths.run_id


def _brief(name: str, most: int = NAME_CHARACTERS) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
