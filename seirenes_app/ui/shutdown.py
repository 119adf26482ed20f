"""Closing the window while runs are in progress: ask once, then stop them in view or leave them running."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from seirenes_app.ui.controllers.active_runs import ActiveRuns
from seirenes_app.ui.controllers.trainer_control import TrainerControl
from seirenes_app.ui.widgets.dialogs import CloseAnswer, CloseDialog, StoppingDialog
from training.runs.paths import RunPaths


class ShutdownSequence(QObject):
    """Stands between the close button and the end of the window."""

    def __init__(
        self, active: ActiveRuns, control: TrainerControl, close: Callable[[], object], parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._active, self._control, self._close, self._window = active, control, close, parent
        self._decided = False
        self.dialog: StoppingDialog | None = None
        active.changed.connect(self._close_if_idle)
        control.stopChanged.connect(self._on_stop_changed)

    @property
    def under_way(self) -> bool:
        """Whether runs are being stopped so that the window can close."""
        return self.dialog is not None

    def may_close(self) -> bool:
        """True when the window may close now; otherwise it closes by itself later, or stays."""
        live = self._active.live
        if self._decided or not live:
            return True
        question = CloseDialog([paths.run_id for paths, _ in live], self._window)
        question.exec()
        if question.answer is CloseAnswer.STOP:
            self.stop_all()
        return question.answer is CloseAnswer.KEEP

    def stop_all(self) -> None:
        """Ask every run to save and stop, show how it goes, and close when the last is gone."""
        self.dialog = StoppingDialog(self._close_now, self._window)
        self.dialog.rejected.connect(self._stay)
        self.dialog.open()
        for paths, _ in self._active.live:
            self._control.stop_and_save(paths)

    def _on_stop_changed(self, _paths: RunPaths, text: str) -> None:
        if self.dialog is not None:
            self.dialog.status.setText(text)

    def _close_if_idle(self) -> None:
        if self.dialog is not None and not self._active.live:
            self._close_now()

    def _close_now(self) -> None:
        self._decided = True
        if self.dialog is not None:
            self.dialog.hide()
        self.dialog = None
        self._close()

    def _stay(self) -> None:
        """Escape: the runs stop all the same, the window stays."""
        self.dialog = None
