"""The time machine's job as the window sees it: its results in the window's thread, one job at a time."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, Qt, Signal, Slot

from seirenes_app.lab.robustness.time_machine import ReplayPlan, TimeMachine
from seirenes_app.ui.processes.background import Background
from training.rundir.paths import RunPaths

PATIENCE_S = 3.0


class Replay(QObject):
    """`begin` starts, `cancel` asks for an end. A job that was replaced is cancelled and no longer heard."""

    changed = Signal(object)
    """TimeMachineResult so far."""
    done = Signal(object)
    """TimeMachineResult"""
    failed = Signal(str)

    _arrived = Signal(int, str, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work = Background(self, threads=1)
        self._job: TimeMachine | None = None
        self._number = 0
        self.busy = False
        # From the job's own thread into this one.
        self._arrived.connect(self._take, Qt.ConnectionType.QueuedConnection)

    def begin(self, paths: RunPaths, plan: ReplayPlan, told: Sequence[int] = ()) -> None:
        """Replay `plan` on every checkpoint of a run."""
        self.leave()
        self.busy = True
        number = self._number

        def tell(kind: str, value: object) -> None:
            self._arrived.emit(number, kind, value)

        self._work.submit(
            lambda: TimeMachine(
                paths, plan, lambda r: tell("step", r), lambda r: tell("done", r), lambda t: tell("failed", t),
                told=told,
            ),
            lambda job: self._hold(number, job),
            lambda text: self._take(number, "failed", text),
        )  # fmt: skip

    def _hold(self, number: int, job: TimeMachine) -> None:
        if number == self._number:
            self._job = job
        else:
            job.cancel()

    @Slot(int, str, object)
    def _take(self, number: int, kind: str, value: object) -> None:
        if number != self._number:
            return
        if kind == "step":
            self.changed.emit(value)
            return
        self.busy, self._job = False, None
        if kind == "done":
            self.done.emit(value)
        else:
            self.failed.emit(str(value))

    def cancel(self) -> None:
        """Ask for an end; `done` follows with what there is."""
        if self._job is not None:
            self._job.cancel()

    def leave(self) -> None:
        """Cancel, and hear no more of it."""
        self._number += 1
        self.busy = False
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def close(self) -> None:
        """End everything."""
        job = self._job
        self.leave()
        if job is not None:
            job.wait(PATIENCE_S)
        self._work.close()
