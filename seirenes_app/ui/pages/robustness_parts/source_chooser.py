"""Whose robustness is shown: runs that are going, recent ones, evaluations, and the recorded run that ships."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtWidgets import QWidget

from seirenes_app.lab.evaluations import EvaluationSummary
from seirenes_app.ui.widgets.badges import Look
from seirenes_app.ui.widgets.source_menu import RECORDED, RECORDED_NAME, SourceMenu, brief, is_live, look_of
from training.rundir.index import RunSummary
from training.rundir.paths import RunPaths

MOST = 14
NAME_CHARACTERS, SHORT = 60, 28
TIP = "Another run or evaluation (Ctrl+L)"


class SourceChooser(SourceMenu):
    """`chosen` carries the path of a run's or an evaluation's folder."""

    def __init__(self, recorded: RunPaths | None, parent: QWidget | None = None) -> None:
        super().__init__(TIP, parent)
        self._recorded = recorded.root if recorded is not None else None
        self._runs: Sequence[RunSummary] = ()
        self._evaluations: Sequence[EvaluationSummary] = ()
        self._root: Path | None = None

    def render_sources(
        self, root: Path | None, runs: Sequence[RunSummary], evaluations: Sequence[EvaluationSummary]
    ) -> None:
        """Name what is open."""
        self._root, self._runs, self._evaluations = root, runs, evaluations
        name = self.name_of(root) if root is not None else "Choose a run"
        self.show_open(brief(name, SHORT), f"Shown: {name}" if root is not None else name, self._look(root))
        self.button.setToolTip(f"{name}\n{TIP}")

    def first(self) -> Path | None:
        """What to open where nobody chose: a run that is going, the newest with figures, or the recorded one."""
        measured = [s for s in self._runs if s.state is not None and s.state.evals]
        live = [s.paths.root for s in measured if is_live(s)]
        return next(iter([*live, *(s.paths.root for s in measured)]), self._recorded)

    def name_of(self, root: Path) -> str:
        """What a folder is called."""
        if root == self._recorded:
            return RECORDED_NAME
        found = next((e for e in self._evaluations if e.paths.root == root), None)
        return evaluation_name(found) if found is not None else root.name

    def _look(self, root: Path | None) -> Look | None:
        if root is None:
            return None
        if root == self._recorded:
            return RECORDED
        entries: tuple[RunSummary | EvaluationSummary, ...] = (*self._runs, *self._evaluations)
        return next((look_of(found.state) for found in entries if found.paths.root == root), None)

    def fill(self) -> None:
        """Runs, evaluations, and the run that ships."""
        self.add_runs(self._runs, lambda s: s.paths.root, self._root, most=MOST, characters=NAME_CHARACTERS)
        if self._evaluations:
            self.add_title("Evaluations")
        for found in self._evaluations[:MOST]:
            text, root = brief(evaluation_name(found), NAME_CHARACTERS), found.paths.root
            self.add(text, look_of(found.state).icon, root, is_open=root == self._root)
        if self._recorded is not None:
            self.add_recorded(self._recorded, is_open=self._recorded == self._root)


def evaluation_name(summary: EvaluationSummary) -> str:
    """Its title; its folder's name where the plan cannot be read."""
    return (summary.plan.title if summary.plan is not None else "") or summary.paths.run_id
