"""What the Run menu acts on: the run in view if it is going, else the one that was started last."""

from __future__ import annotations

from collections.abc import Callable

from seirenes_app.ui.controllers.active_runs import ActiveRuns
from seirenes_app.ui.controllers.trainer_control import TrainerControl
from training.runs.paths import RunPaths
from training.runs.status import RunState


class CurrentRun:
    """Each verb does nothing where no run is going. `in_view` names the run that a page shows."""

    def __init__(
        self,
        active: ActiveRuns,
        control: TrainerControl,
        in_view: Callable[[], str],
        show: Callable[[RunPaths], None],
        ask_discard: Callable[[RunPaths], None],
    ) -> None:
        self._active, self._control, self._in_view = active, control, in_view
        self._show, self._ask_discard = show, ask_discard

    def find(self) -> tuple[RunPaths, RunState] | None:
        """The run and its state; None where none is going."""
        live = self._active.live
        in_view = next((run for run in live if run[0].run_id == self._in_view()), None)
        return in_view or (live[-1] if live else None)

    def _do(self, verb: Callable[[RunPaths], object]) -> None:
        if (found := self.find()) is not None:
            verb(found[0])

    def open(self) -> None:
        """Show it."""
        self._do(self._show)

    def pause(self) -> None:
        """Pause it."""
        self._do(self._control.pause)

    def unpause(self) -> None:
        """Let it go on."""
        self._do(self._control.unpause)

    def checkpoint(self) -> None:
        """Save a checkpoint after this step."""
        self._do(self._control.checkpoint)

    def stop(self) -> None:
        """Save and stop."""
        self._do(self._control.stop_and_save)

    def discard(self) -> None:
        """Stop and move to the trash, after a question."""
        self._do(self._ask_discard)
