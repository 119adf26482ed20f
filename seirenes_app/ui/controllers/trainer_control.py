"""Start, pause, stop and discard trainers. They are other processes; the run directory is the only way to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from seirenes_app.services.cluster_runs import continue_run, ensure_followed
from seirenes_app.services.run_repository import log_tail, move_to_trash, startable
from seirenes_app.services.run_summary import STOP_TEXT
from training.errors import UserError
from training.runs.config import RunConfig
from training.runs.control import CommandKind, send_command
from training.runs.paths import RunPaths, default_runs_root, new_run
from training.runs.processes import StopEscalation, StopPhase, StopTimes, cluster_of, require_idle, running_process

POLL_MS = 200


class TrainerControl(QObject):
    """The one object of the window that starts and ends trainer processes."""

    started = Signal(object)
    """RunPaths of a run that was launched or resumed."""
    startFailed = Signal(object)
    """RunPaths of a run whose trainer ended before its first event; `failed` says why."""
    failed = Signal(str)
    """Why a start, a command or a discard did not work."""
    stopChanged = Signal(object, str)
    """(RunPaths, what is being done to stop it)."""
    stopped = Signal(object)
    """RunPaths of a run whose trainer is gone after a stop."""
    discarded = Signal(object)
    """RunPaths of a run that was moved to the trash."""

    def __init__(
        self,
        runs_root: Path | None = None,
        *,
        detach: bool = True,
        times: StopTimes | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.runs_root = runs_root or default_runs_root()
        self.detach = detach
        self._times = times or StopTimes()
        self._stops: dict[RunPaths, tuple[StopEscalation, Callable[[], None] | None]] = {}
        """Stops under way, and what follows when the process is gone."""
        self._starts: dict[RunPaths, int] = {}
        """Trainers that have written nothing yet, with the size of their events before the launch."""
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)

    def start(self, config: RunConfig) -> RunPaths:
        """Make a run directory and launch a trainer for it. A `UserError` is raised when either cannot be done."""
        config = startable(config)
        paths = new_run(self.runs_root, config)
        self._launch(paths)
        return paths

    def adopt(self, paths: RunPaths) -> None:
        """Say that a run was started, on a cluster, in another thread."""
        self.started.emit(paths)

    def starting(self) -> bool:
        """Whether a trainer was launched that has not written its first event yet."""
        return bool(self._starts)

    def resume(self, paths: RunPaths) -> RunPaths:
        """Launch a trainer for an existing run; it continues from the newest sound checkpoint. A run on a cluster is
        followed again, and submitted once more where it has ended there."""
        require_idle(paths, paths.run_id, "Open it instead.")
        self._launch(paths)
        return paths

    def _launch(self, paths: RunPaths) -> None:
        size = file_size(paths.events)
        try:
            continue_run(paths, detached=self.detach)
        except OSError as error:
            raise UserError(
                f"The trainer of {paths.run_id} could not be started ({error}). Free some memory or disk and try again."
            ) from error
        # On a cluster a run may wait for hours before its first event, and holds up nothing here.
        if not paths.cluster.is_file():
            self._starts[paths] = size
            self._timer.start()
        self.started.emit(paths)

    def pause(self, paths: RunPaths) -> None:
        """Ask the trainer to hold before its next generation."""
        self._send(paths, CommandKind.PAUSE)

    def unpause(self, paths: RunPaths) -> None:
        """Ask a paused trainer to go on."""
        self._send(paths, CommandKind.RESUME)

    def checkpoint(self, paths: RunPaths) -> None:
        """Ask for a checkpoint after the step under way."""
        self._send(paths, CommandKind.CHECKPOINT)

    def _send(self, paths: RunPaths, kind: CommandKind) -> None:
        try:
            send_command(paths, kind)
        except UserError as error:
            self.failed.emit(f"“{kind}” could not be written to {paths.run_id}: {error}")

    def stop_and_save(self, paths: RunPaths) -> None:
        """Ask the trainer to save and end; terminate, then kill it if it does not."""
        self._stop(paths, None)

    def discard(self, paths: RunPaths) -> None:
        """End the trainer if there is one, then move the run's folder to the trash beside it. A run that goes on on a
        cluster is refused."""
        if paths.cluster.is_file() and (follower := running_process(paths)) is not None:
            self.failed.emit(
                f"{paths.run_id} still runs on {cluster_of(paths)}. Stop it first; to leave it there, end its "
                f"follower, process {follower.pid}. Nothing was moved."
            )
            return
        self._stop(paths, lambda: self._trash(paths))

    def stopping(self, paths: RunPaths) -> bool:
        """Whether the run is being stopped."""
        return paths in self._stops

    def _stop(self, paths: RunPaths, then: Callable[[], None] | None) -> None:
        if paths in self._stops:
            escalation, before = self._stops[paths]
            self._stops[paths] = escalation, then or before
            return
        try:
            if then is None:
                ensure_followed(paths)
        except (UserError, OSError) as error:
            self.failed.emit(f"{paths.run_id} could not be stopped: {error}")
            return
        self._stops[paths] = StopEscalation(paths, self._times), then
        self._advance(paths)
        self._timer.start()

    def _poll(self) -> None:
        for paths in list(self._stops):
            self._advance(paths)
        for paths in list(self._starts):
            self._watch_start(paths)
        if not self._stops and not self._starts:
            self._timer.stop()

    def _advance(self, paths: RunPaths) -> None:
        escalation, then = self._stops[paths]
        phase = escalation.advance()
        if phase is None:
            return
        if phase is StopPhase.ENDED:
            del self._stops[paths]
            self._starts.pop(paths, None)
        self.stopChanged.emit(paths, STOP_TEXT[phase])
        if phase is StopPhase.ENDED:
            if then is not None:
                then()
            self.stopped.emit(paths)

    def _trash(self, paths: RunPaths) -> None:
        try:
            move_to_trash(paths)
        except UserError as error:
            self.failed.emit(str(error))
        else:
            self.discarded.emit(paths)

    def _watch_start(self, paths: RunPaths) -> None:
        if file_size(paths.events) > self._starts[paths]:
            del self._starts[paths]
        elif running_process(paths) is None:
            del self._starts[paths]
            said = "\n".join(log_tail(paths, lines=6)) or "It wrote nothing to trainer.log."
            self.startFailed.emit(paths)
            self.failed.emit(f"The trainer of {paths.run_id} exited before its first step.\n{said}")


def file_size(path: Path) -> int:
    """In bytes; 0 where it cannot be read."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
