"""Train: make a run, watch a run. The form and the run in view, and the queue of runs that wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QStackedLayout, QWidget

from seirenes_app.services.cluster_runs import cluster_place
from seirenes_app.services.diagnostics import describe, shorten_home
from seirenes_app.services.formatting import count_of
from seirenes_app.services.machine import read_machine
from seirenes_app.services.robustness.checkpoint_figures import Headline
from seirenes_app.services.run_queue import QueueEntry
from seirenes_app.services.run_report import before_after
from seirenes_app.services.run_repository import RunRepository, log_tail
from seirenes_app.services.run_summary import status_sentence
from seirenes_app.ui.actions import bind_actions
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.controllers.run_queue import QueueControl
from seirenes_app.ui.controllers.run_watchers import RunWatcher
from seirenes_app.ui.controllers.trainer_control import TrainerControl
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.train.actions import ACTIONS, QUEUE_ACTIONS, RUN_ACTIONS
from seirenes_app.ui.pages.train.cluster_dialogs import ClustersDialog, SubmitDialog
from seirenes_app.ui.pages.train.dialogs import ExportModelDialog, TrainLongerDialog
from seirenes_app.ui.pages.train.new_run import NewRun
from seirenes_app.ui.pages.train.run_view import RunView
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import Theme
from seirenes_app.ui.widgets.banner import BannerAction, BannerKind
from seirenes_app.ui.widgets.dialogs import MessageDialog, ask_discard
from seirenes_app.ui.widgets.fetch_dialog import open_fetch
from training.errors import UserError
from training.runs.config import RunConfig, Tuning, load_config, to_toml
from training.runs.paths import RunPaths, change_settings
from training.runs.status import LIVE, RunState, RunStatus

TICK_MS = 400
FILLING_MS = 30  # Between two draws while a run that was just opened fills its charts
METERS_MS = 2000
LOG_LINES = 40


class TrainPage(Page):
    """The form, or a run: live, found again and replayed are the same."""

    key = "train"

    toast = Signal(str)  # What was done, in a line
    tracesRequested = Signal(object)  # RunPaths
    robustnessRequested = Signal(object)  # RunPaths
    fetched = Signal(object)  # RunPaths of a run on a cluster whose files have come
    downloadRequested = Signal(str)  # Hub id of a model, "" for none

    def __init__(
        self, control: TrainerControl, library: RunRepository, models: ModelInventory, *, tasks: TaskRunner,
        name_of: Callable[[RunPaths], str] = attrgetter("run_id"), parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._name_of = name_of
        self._control, self._library, self._tasks = control, library, tasks
        self._watcher: RunWatcher | None = None
        self._state = RunState()
        self.queue = QueueControl(control, library, tasks, self)
        # Its own threads: a cluster may take seconds to answer, or to refuse.
        self._cluster_tasks = TaskRunner(self, threads=3)
        self._timer = QTimer(self, interval=TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._meter_timer = QTimer(self, interval=METERS_MS)
        self._meter_timer.timeout.connect(self._measure)
        self.actions_ = bind_actions(self, ACTIONS, {
            "find": lambda: (self.new if self._watcher is None else self.view).start_search(),
            "clusters": self.show_clusters,
            "start": lambda: self._with_form(self._start),
            "queue": lambda: self._with_form(self._enqueue),
            "submit": lambda: self._with_form(self.open_submit),
            "measure": lambda: self._with_form(lambda _config: self.new.measure()),
            **{spec.name: partial(self._act_on_queue, spec.name.removeprefix("queue-")) for spec in QUEUE_ACTIONS},
            "copy-command": lambda: self._with_form(lambda _config: self._copy(self.new.as_command(), "Command")),
            "open-file": self._open_file,
            "save-file": lambda: self._with_form(self._save_file),
            "traces": lambda: self._with_run(self.tracesRequested.emit),
            "robustness": lambda: self._with_run(self.robustnessRequested.emit),
            "resume": lambda: self._with_run(self._control.resume),
            "longer": lambda: self._with_run(self.open_longer),
            "follow": lambda: self._with_run(self._control.resume),
            "fetch": lambda: self._with_run(self.open_fetch),
            "edit-settings": lambda: self._with_run(self.edit_settings),
            "stop": lambda: self._with_run(self._control.stop_and_save),
            "checkpoint": lambda: self._with_run(self._control.checkpoint),
            "export-model": lambda: self._with_run(self.open_export),
            "diagnostics": lambda: self._with_run(self._copy_diagnostics),
            "discard": lambda: self._with_run(self._discard),
        })  # fmt: skip
        self._stack = QStackedLayout(self)
        self.new = NewRun(self._library, models, self._tasks, self.actions_, self.queue, self._cluster_tasks)
        self.view = RunView(self.actions_)
        self._stack.addWidget(self.new)
        self._stack.addWidget(self.view)
        self._render_actions()
        self._connect()
        self._render_queue()
        self._greet_queue()

    def _connect(self) -> None:
        self.new.problem.connect(self._show_message)
        self.new.measured.connect(self.queue.refresh)
        self.new.panel.queue.editRequested.connect(self._edit_queued)
        self.queue.held = lambda: self.new.measuring
        self.queue.changed.connect(self._render_queue)
        self.queue.runStarted.connect(self._on_queue_started)
        self.queue.problem.connect(self._show_message)
        self.new.downloadRequested.connect(self.downloadRequested)
        self.view.head.newRequested.connect(lambda: self.show_new(None))
        self.view.head.pauseRequested.connect(lambda: self._with_run(self._toggle_pause))
        self.view.evaluated.connect(self._compare)
        self.view.resumeChangedRequested.connect(lambda change: self._with_run(lambda paths: self._resume_changed(
            paths, [change])))  # fmt: skip
        grid = self.view.grid
        grid.overlay.runsRequested.connect(
            lambda: self._tasks.run(self._library.list_runs, grid.show_runs, key="overlay")
        )
        self._control.stopChanged.connect(self._on_stop_changed)
        # A run that is discarded while it is live does not end by itself.
        self._control.discarded.connect(lambda _paths: self.next_in_queue())

    @property
    def run_id(self) -> str:
        """The run in view, "" for the form."""
        return self._watcher.paths.run_id if self._watcher is not None else ""

    def open_run(self, paths: RunPaths) -> None:
        self._drop_watcher()
        self.view.follow(paths, self._name_of(paths))
        self._watcher = RunWatcher(paths, parent=self)
        self._watcher.stateChanged.connect(self._on_state_changed)
        self._watcher.problem.connect(lambda text: self._show_message("The run's events", text))
        self._stack.setCurrentWidget(self.view)
        self._render_actions()
        self.view.render_place(cluster_place(paths))
        self._watcher.start()
        self._timer.setInterval(FILLING_MS)

    def show_new(self, config: RunConfig | None) -> None:
        """Show the form, filled with `config` if one is given."""
        self._drop_watcher()
        if config is not None:
            self.new.render_config(config)
        self._stack.setCurrentWidget(self.new)
        self._render_actions()
        self.new.refresh()

    def edit_settings(self, paths: RunPaths) -> None:
        self.show_new(load_config(paths.config))

    def forget(self, paths: RunPaths) -> None:
        """The run is gone: back to the form if it was in view."""
        if self._watcher is not None and self._watcher.paths == paths:
            self.show_new(None)

    def _drop_watcher(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.deleteLater()
            self._watcher = None

    def _render_actions(self) -> None:
        for spec in RUN_ACTIONS:
            self.actions_[spec.name].setEnabled(self._watcher is not None)

    def _on_state_changed(self, state: RunState) -> None:
        if self._watcher is None or self.sender() not in (None, self._watcher):
            return
        stopping = self._control.stopping(self._watcher.paths)
        if not stopping and state.status in LIVE and state.launched_t != self._state.launched_t:
            self.view.progress.health.render_stop("")
        self._state = state
        self.view.render(state, stopping=stopping)

    def _on_stop_changed(self, paths: RunPaths, text: str) -> None:
        if self._watcher is not None and self._watcher.paths == paths:
            self.view.progress.health.render_stop(text)
            self.view.render(self._watcher.state, stopping=self._control.stopping(paths))

    def activate(self) -> None:
        """Draw and measure while in view."""
        self._timer.start()
        self._meter_timer.start()
        self._timer.setInterval(FILLING_MS)
        if self._watcher is None:
            self.new.refresh()

    def deactivate(self) -> None:
        """Stop drawing; the run is still followed."""
        self._timer.stop()
        self._meter_timer.stop()

    def close_down(self) -> None:
        self.new.cancel_measurement()
        self.queue.close()
        self._cluster_tasks.close()

    def themed(self, theme: Theme) -> None:
        self.view.grid.mark_stale()
        self._timer.setInterval(FILLING_MS)

    def _tick(self) -> None:
        if self._watcher is None or not self.view.tick():
            self._timer.setInterval(TICK_MS)

    def _measure(self) -> None:
        if self._watcher is not None:
            place = cluster_place(self._watcher.paths)
            if self.view.render_place(place):
                self.view.render(self._watcher.state, stopping=self._control.stopping(self._watcher.paths))
            # The number is that of a process on the cluster.
            pid = self._state.pid if self._state.status in LIVE and place is None else 0
            self.view.progress.meters.measure(pid, self._watcher.paths.root, self._tasks)

    def _with_run(self, do: Callable[[RunPaths], object]) -> None:
        if self._watcher is not None:
            self._try("Not done", lambda paths=self._watcher.paths: do(paths))

    def _try(self, title: str, do: Callable[[], object]) -> None:
        try:
            do()
        except UserError as error:
            self._show_message(title, str(error))

    def _show_message(self, title: str, text: str) -> None:
        MessageDialog(title, text, self).open()

    def _toggle_pause(self, paths: RunPaths) -> None:
        paused = self._state.status is RunStatus.PAUSED
        (self._control.unpause if paused else self._control.pause)(paths)

    def _resume_changed(self, paths: RunPaths, changes: Sequence[str]) -> None:
        change_settings(paths, changes, "the setting")
        self._control.resume(paths)

    def open_longer(self, paths: RunPaths) -> TrainLongerDialog:
        """Ask how many steps a run that has finished is to have, and go on with it."""
        dialog = TrainLongerDialog(paths, self._state, load_config(paths.config), self)
        dialog.changed.connect(lambda changes: self._try("Not done", lambda: self._resume_changed(paths, changes)))
        dialog.finished.connect(lambda _code: dialog.deleteLater())
        dialog.open()
        return dialog

    def _discard(self, paths: RunPaths) -> None:
        ask_discard(paths, self, lambda: self._control.discard(paths))

    def open_export(self, paths: RunPaths) -> None:
        try:
            tuning: str = load_config(paths.config).model.tuning
        except UserError:
            tuning = Tuning.FULL
        dialog = ExportModelDialog(paths, tuning, self._tasks, self)
        dialog.messageRequested.connect(self.toast)
        dialog.open()

    def show_clusters(self) -> ClustersDialog:
        """The saved clusters, and the jobs on them."""
        dialog = ClustersDialog(self._cluster_tasks, self)
        dialog.messageRequested.connect(self.toast)
        dialog.finished.connect(lambda _code: dialog.deleteLater())
        dialog.open()
        return dialog

    def open_submit(self, config: RunConfig) -> SubmitDialog:
        """Choose a cluster for a run, and start it there."""
        dialog = SubmitDialog(config, self._control.runs_root, self._cluster_tasks, self)
        dialog.submitted.connect(self._on_submitted)
        dialog.clustersRequested.connect(self.show_clusters)
        dialog.finished.connect(lambda _code: dialog.deleteLater())
        dialog.open()
        return dialog

    def _on_submitted(self, paths: RunPaths) -> None:
        self._control.adopt(paths)
        self.toast.emit(f"{paths.run_id} was submitted. It goes on when this window is closed.")
        self.open_run(paths)

    def open_fetch(self, paths: RunPaths) -> None:
        """Bring files of a run on a cluster here."""
        open_fetch(paths, self._cluster_tasks, self.fetched.emit, self)

    def reread(self, paths: RunPaths) -> None:
        """Show what was fetched of a run."""
        if self._watcher is not None and self._watcher.paths == paths:
            self.view.render_place(cluster_place(paths))
            self.view.render(self._watcher.state, stopping=self._control.stopping(paths))
            self._compare()

    def _compare(self) -> None:
        if self._watcher is not None and len(self._watcher.state.evals) >= 2:
            paths = self._watcher.paths
            self._tasks.run(
                lambda: read_changes(paths), lambda found: self._on_compared(paths, found), key="paired changes"
            )

    def _on_compared(self, paths: RunPaths, found: Headline | None) -> None:
        if self._watcher is not None and self._watcher.paths == paths:
            self.view.render_changes(found)

    def _copy_diagnostics(self, paths: RunPaths) -> None:
        state, root = self._state, self._library.runs_root
        self._tasks.run(lambda: diagnose(paths, state, root), lambda text: self._copy(text, "Diagnostics"))

    def _copy(self, text: str, what: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self.toast.emit(f"{what} copied.")

    def _with_form(self, do: Callable[[RunConfig], object]) -> None:
        """From the palette the form may be out of view: then it is shown, and nothing is done with it yet."""
        if self._watcher is not None:
            self.show_new(None)
        else:
            self._try("The configuration cannot be used", lambda: do(self.new.form.config()))

    def _open_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a config file", "", "Configurations (*.toml *.json)")
        if name:
            self.show_new(None)
            self._try("The configuration cannot be used", lambda: self.new.take_file(Path(name)))

    def _save_file(self, config: RunConfig) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the configuration", "run.toml", "TOML (*.toml)")
        if name:
            try:
                Path(name).write_text(to_toml(config), encoding="utf-8")
            except OSError as error:
                self._show_message("The configuration was not saved", str(error))

    def _start(self, config: RunConfig) -> None:
        # It would be measured beside the run, and slow it down.
        self.new.cancel_measurement()
        self._try("The run did not start", lambda: self.open_run(self._control.start(config)))

    def _enqueue(self, config: RunConfig) -> None:
        entry, self.new.editing = self.new.editing, None
        if entry is None:
            self.queue.add(config)
        else:
            self.queue.replace(entry.id, config)
            self.toast.emit(f"{config.name} was changed in the queue.")
        self.new.refresh_words()

    def _act_on_queue(self, name: str) -> None:
        self.new.panel.queue.act(name)

    def _edit_queued(self, entry: QueueEntry) -> None:
        self.show_new(None)
        self.new.edit_queued(entry)

    def _render_queue(self) -> None:
        self.view.render_queue([entry.config for entry in self.queue.state.entries if entry.config is not None])
        if self.queue.state.on or not self.queue.state.entries:
            self.new.banner.clear()

    def _greet_queue(self) -> None:
        """At the start: say that runs wait from before, and what becomes of them."""
        state = self.queue.state
        if not state.entries:
            return
        waiting = f"{count_of(len(state.entries), 'run')} from before {'waits' if len(state.entries) == 1 else 'wait'}"
        if state.on:
            # The window listens once the page is made.
            QTimer.singleShot(0, self, lambda: self.toast.emit(f"The queue goes on: {waiting}."))
            return
        self.new.banner.show_message(
            BannerKind.INFO, "Continue the queue?", f"{waiting}. The queue is paused: nothing is started by itself.",
            actions=[BannerAction("Continue", lambda: self.queue.set_on(True), "play", primary=True)], dismissable=True,
        )  # fmt: skip

    def next_in_queue(self) -> None:
        """Start the next run that waits, unless one is live."""
        self.queue.refresh()

    def _on_queue_started(self, paths: RunPaths) -> None:
        if self._watcher is not None and self._state.status not in LIVE:
            self.open_run(paths)
        self.new.refresh()


def read_changes(paths: RunPaths) -> Headline | None:
    """Paired changes from the raw rows; None where the rows are missing, half written, or of two suites."""
    try:
        return before_after(paths)
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return None


def diagnose(paths: RunPaths, state: RunState, runs_root: Path) -> str:
    about = {"Run": paths.run_id, "Status": status_sentence(state), "Message": state.message or "none"}
    text = describe(read_machine(runs_root), {"Folder": paths.root}, about)
    log = "\n".join(log_tail(paths, LOG_LINES)) or "empty"
    return f"{text}\nEnd of trainer.log:\n{shorten_home(log)}\n"
