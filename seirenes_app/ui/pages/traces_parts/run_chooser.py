"""Which run is read: those that are going, the recent ones, and the recorded one that ships."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QWidget

from seirenes_app.ui.widgets.badges import Look
from seirenes_app.ui.widgets.source_menu import RECORDED, RECORDED_NAME, SourceMenu, brief, is_live, look_of
from training.rundir.index import RunSummary
from training.rundir.paths import RunPaths

MOST = 20
"""Recent runs in the menu; the others are opened from Home."""
NAME_CHARACTERS = 44


class RunChooser(SourceMenu):
    """`chosen` carries RunPaths."""

    def __init__(self, recorded: RunPaths | None, parent: QWidget | None = None) -> None:
        super().__init__("Read another run (Ctrl+L)", parent)
        self._recorded = recorded
        self._runs: Sequence[RunSummary] = ()
        self._paths: RunPaths | None = None

    def render(self, paths: RunPaths | None, runs: Sequence[RunSummary]) -> None:  # type: ignore[override]  # see Inspector
        """Name the run that is open."""
        self._paths, self._runs = paths, runs
        name = self._name(paths) if paths is not None else "Choose a run"
        said = f"Run: {name}" if paths is not None else name
        self.show_open(brief(name, NAME_CHARACTERS), said, self._look(paths))

    def first(self) -> RunPaths | None:
        """What to open where nobody chose: a run that is going, the newest with rollouts, or the recorded one."""
        live = [s.paths for s in self._runs if is_live(s)]
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
        return look_of(summary.state) if summary is not None else None

    def fill(self) -> None:
        """Runs, and the one that ships."""
        self.add_runs(self._runs, lambda s: s.paths, self._paths, most=MOST, characters=NAME_CHARACTERS)
        if self._recorded is not None:
            self.add_recorded(self._recorded, is_open=self._recorded == self._paths)
