"""The queue of runs in a window: changed at once, looked over in another thread, its runs started one at a time."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, Signal

from seirenes_app.services.preflight import read_machine_state
from seirenes_app.services.run_queue import Outlook, QueueEntry, QueueState, RunQueue, choose_next, look_ahead
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.ui.controllers.trainer_control import TrainerControl
from seirenes_app.ui.tasks import TaskRunner
from training.errors import UserError
from training.runs.config import RunConfig

WATCH_MS = 3000
"""How often the queue is read while it is shown or on: another window or a command may have changed it."""


class QueueControl(QObject):
    """`state` and `outlooks` are what was read last. While it is on and this process has the lock, the next run that
    fits is started when none is live."""

    changed = Signal()
    runStarted = Signal(object)
    """RunPaths of a run that the queue started."""
    problem = Signal(str, str)

    def __init__(
        self, control: TrainerControl, library: RunRepository, tasks: TaskRunner, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._control, self._library, self._tasks = control, library, tasks
        self._queue = RunQueue.of(library)
        self.state, self.outlooks = QueueState(), dict[str, Outlook]()
        self.held: Callable[[], bool] = lambda: False
        """Whether nothing may be started now: something is being measured."""
        self._removed: list[tuple[RunConfig, int]] = []
        self._timer = QTimer(self, interval=WATCH_MS)
        self._timer.timeout.connect(self.refresh)
        self._try(self._read_first)

    def _read_first(self) -> None:
        self.state = self._queue.state()
        self._timer.start()

    # ------------------------------------------------------------------ reading

    def refresh(self) -> None:
        """Read the queue and what its runs take, in another thread; then start what can be started."""
        if not self._tasks.is_running("queue"):
            self._tasks.run(self._survey, self._on_read, self._on_failed, key="queue")

    def _survey(self) -> tuple[QueueState, dict[str, Outlook], bool]:
        state = self._queue.state()
        if not state.entries:
            return state, {}, False
        machine = read_machine_state(self._library.runs_root)
        past = self._library.list_runs()
        return state, look_ahead(state, machine, past, self._library.shared_file), bool(machine.live)

    def _on_read(self, found: tuple[QueueState, dict[str, Outlook], bool]) -> None:
        state, outlooks, live = found
        if (state, outlooks) != (self.state, self.outlooks):
            self.state, self.outlooks = state, outlooks
            self.changed.emit()
        if not live:
            self._try(self._start_next)

    def _on_failed(self, text: str) -> None:
        self._timer.stop()
        self.problem.emit("The queue cannot be used", text)

    # ------------------------------------------------------------------ changing

    def add(self, config: RunConfig, at: int | None = None) -> None:
        """Add a run; the first one turns the queue on."""
        first = not self.state.entries
        self._change(lambda: self._queue.add(config, at=at))
        if first:
            self.set_on(True)

    def move(self, id_: str, by: int) -> None:
        ids = [entry.id for entry in self.state.entries]
        if id_ in ids and 0 <= (to := ids.index(id_) + by) < len(ids):
            self._change(lambda: self._queue.move(id_, to))

    def move_to(self, id_: str, to: int) -> None:
        self._change(lambda: self._queue.move(id_, to))

    def duplicate(self, entry: QueueEntry) -> None:
        if (config := entry.config) is not None:
            self._change(lambda: self._queue.add(config, at=self.state.entries.index(entry) + 1))

    def remove(self, entry: QueueEntry) -> None:
        """Take a run out; `undo_remove` puts it back, unless it could not be read."""
        if entry.config is not None:
            self._removed.append((entry.config, self.state.entries.index(entry)))
        self._change(lambda: self._queue.remove(entry.id))

    @property
    def can_undo(self) -> bool:
        return bool(self._removed)

    def undo_remove(self) -> None:
        if self._removed:
            config, at = self._removed.pop()
            self._change(lambda: self._queue.add(config, at=min(at, len(self.state.entries))))

    def replace(self, id_: str, config: RunConfig) -> None:
        self._change(lambda: self._queue.replace(id_, config))

    def approve(self, id_: str) -> None:
        """Start it anyway, when its turn comes; that is now where nothing is live."""
        self._change(lambda: self._queue.approve(id_))

    def set_on(self, on: bool) -> None:
        self._change(lambda: self._queue.set_running(on))

    def _change(self, do: Callable[[], object]) -> None:
        def change() -> None:
            do()
            self.state = self._queue.state()

        self._try(change)
        self.changed.emit()
        self._tasks.cancel("queue")
        self.refresh()

    # ------------------------------------------------------------------ starting

    def _start_next(self) -> None:
        if not self.state.on or not self.state.entries or self._control.starting() or self.held():
            return
        if not self._queue.take_over():
            return
        for name in self._queue.drop_started():
            self.problem.emit("The queue", f"{name} was started already, and is out of the queue.")
        state = self._queue.state()
        entry = choose_next(state, self.outlooks)
        if entry is None or not state.on:
            return
        paths = None
        try:
            paths = self._queue.prepare(entry, self._library.runs_root)
            self._control.resume(paths)
        except UserError as error:
            self._queue.give_up(entry, paths, str(error))
            self.problem.emit(f"{entry.name} was not started", str(error))
        else:
            self._queue.remove(entry.id)
            self.runStarted.emit(paths)
        self.state = self._queue.state()
        self.changed.emit()

    def _try(self, do: Callable[[], object]) -> None:
        try:
            do()
        except UserError as error:
            self._on_failed(str(error))

    def close(self) -> None:
        """Start nothing more in this window; whether the queue is on stays as it is."""
        self._timer.stop()
        self._queue.release()
