"""The main window: sidebar, pages, status, menus, palette. It connects what pages request with what does it.

The frame is built first and alone; `load` brings the services, and each page is built when it is first shown.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QByteArray, QObject, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QCloseEvent, QDesktopServices, QPaintEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QInputDialog, QMainWindow, QStackedWidget, QWidget

from seirenes_app.store.settings import Settings, ThemeMode, settings_path
from seirenes_app.ui.actions import ActionRegistry
from seirenes_app.ui.command_palette import CommandPalette
from seirenes_app.ui.pages.base import PAGE_BY_KEY, PAGES, Page
from seirenes_app.ui.pages.train.actions import PRESET_TITLES
from seirenes_app.ui.theme import Theme, switch_theme, theme_notifier
from seirenes_app.ui.widgets.banner import Toast
from seirenes_app.ui.widgets.boxes import row
from seirenes_app.ui.widgets.dialogs import (
    AboutDialog,
    BugDialog,
    CloseAnswer,
    CloseDialog,
    ConfirmDialog,
    GlossaryDialog,
    MessageDialog,
    ShortcutsDialog,
    StoppingDialog,
    ask_discard,
)
from seirenes_app.ui.widgets.sidebar import Sidebar
from seirenes_app.ui.window_actions import ALL_ACTIONS, build_menus
from training.errors import UserError

if TYPE_CHECKING:
    from seirenes_app.services.hint_authoring.draft import Draft
    from seirenes_app.services.machine import Machine
    from seirenes_app.services.models.downloads import DownloadSummary
    from seirenes_app.services.models.inventory import ModelEntry
    from seirenes_app.services.run_repository import RunRepository
    from seirenes_app.store.workspace import Workspace
    from seirenes_app.ui.controllers.downloads import DownloadMonitor
    from seirenes_app.ui.controllers.inference_service import InferenceService
    from seirenes_app.ui.controllers.model_inventory import ModelInventory
    from seirenes_app.ui.controllers.run_watchers import ActiveRuns
    from seirenes_app.ui.controllers.trainer_control import TrainerControl
    from seirenes_app.ui.models.runs_model import RunsModel
    from seirenes_app.ui.tasks import TaskRunner
    from training.rollouts.reader import RolloutQuery
    from training.runs.config import RunConfig
    from training.runs.paths import RunPaths
    from training.runs.processes import RunSummary
    from training.runs.status import RunState


@dataclass(frozen=True)
class Services:
    """What window and pages share."""

    control: TrainerControl
    active: ActiveRuns
    runs: RunsModel
    library: RunRepository
    workspace: Workspace
    tasks: TaskRunner
    inference: InferenceService
    models: ModelInventory
    downloads: DownloadMonitor
    settings: Settings
    recorded: RunPaths | None
    """The run that ships, where it is installed."""


class MainWindow(QMainWindow):
    """`app` shows it empty and then calls `load`."""

    palette_: CommandPalette
    painted = Signal()
    """The empty frame is in view."""
    faulted = Signal(str, bool)
    """An exception nobody caught: its text, and whether it is a `UserError`. Emitted from any thread."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._services: Services | None = None
        self._make_page: Callable[[str], Page]
        self.pages: dict[str, Page] = {}
        """Those that are built."""
        self._machine: Machine | None = None
        self._bug: BugDialog | None = None
        self._over = self._was_painted = False
        self.setWindowTitle("Seirênes")
        self.setMinimumSize(1000, 640)
        self.resize(1280, 800)
        if self._settings.geometry:
            self.restoreGeometry(QByteArray(base64.b64decode(self._settings.geometry)))
        self.sidebar = Sidebar(PAGES)
        self.sidebar.select(self._first_page)
        self.sidebar.chosen.connect(self.show_page)
        self.sidebar.commandsRequested.connect(lambda: self.palette_.open())
        self.stack = QStackedWidget()
        body = QWidget()
        row(self.sidebar, (self.stack, 1), spacing=0, parent=body)
        self.setCentralWidget(body)
        self.statusBar().setSizeGripEnabled(False)
        self.statusBar().hide()
        self.registry = ActionRegistry(self, ALL_ACTIONS, PAGE_BY_KEY, self.show_page)
        self.actions_ = build_menus(self, {name: self._when_loaded(do) for name, do in self._make_handlers().items()})
        if (theme := self.actions_.get(self._settings.theme)) is not None:
            theme.setChecked(True)
        self.palette_ = CommandPalette(self.registry, self)
        self.toast = Toast(self)
        self.faulted.connect(self._on_faulted, Qt.ConnectionType.QueuedConnection)
        # Bound methods, not lambdas: Qt drops them with the window.
        theme_notifier().changed.connect(self._on_theme_changed)
        QApplication.styleHints().colorSchemeChanged.connect(self._on_scheme_changed)

    @property
    def _first_page(self) -> str:
        return self._settings.last_page if self._settings.last_page in PAGE_BY_KEY else PAGES[0].key

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._was_painted:
            self._was_painted = True
            QTimer.singleShot(0, self, self.painted.emit)

    def load(self, services: Services, make_page: Callable[[str], Page]) -> None:
        """Take the services, then build and show the first page."""
        from seirenes_app.ui.widgets.progress import StatusLine

        self._services, self._make_page = services, make_page
        self._control, self._active, self._runs = services.control, services.active, services.runs
        self._library, self._workspace, self._tasks = services.library, services.workspace, services.tasks
        self._models, self._downloads = services.models, services.downloads
        self.status_line = StatusLine()
        self.status_line.clicked.connect(self.open_run)
        self.statusBar().addPermanentWidget(self.status_line)
        self.closing = ShutdownSequence(self._active, self._control, self.close, self)
        self._control.started.connect(lambda _paths: self._runs.refresh())
        self._control.failed.connect(lambda text: self.show_error("That did not work", text))
        self._control.stopChanged.connect(self._on_stop_changed)
        self._control.discarded.connect(self._on_discarded)
        self._active.changed.connect(self._render_run)
        self._active.ended.connect(self._on_ended)
        self._active.found.connect(lambda paths: self.toast.say(f"{paths.run_id} is still running in the background."))
        self._active.problem.connect(self.toast.say)
        self._runs.problem.connect(self.toast.say)
        self._downloads.finished.connect(self._on_downloaded)
        self._downloads.failed.connect(self.show_error)
        self.show_page(self._first_page)
        self._render_run()
        self._runs.refresh()
        self._downloads.refresh()
        self._tasks.run(self._read_machine, self._on_machine_read)

    def _when_loaded(self, do: Callable[[], object]) -> Callable[[], object]:
        return lambda: do() if self._services is not None else None

    def _make_handlers(self) -> dict[str, Callable[[], object]]:
        return {
            "new": self.new_run, "demo": self.ask_demo, "recorded": self.open_recorded, "evaluate": self.evaluate,
            "open-config": lambda: self.open_config(None), "runs-folder": self.open_runs_folder, "quit": self.close,
            "settings": self.show_settings,
            "show": lambda: self._with_run(self.open_run),
            "pause": lambda: self._with_run(self._control.pause),
            "continue": lambda: self._with_run(self._control.unpause),
            "checkpoint": lambda: self._with_run(self._control.checkpoint),
            "stop": lambda: self._with_run(self._control.stop_and_save),
            "discard": lambda: self._with_run(self._ask_discard),
            "refresh": self.refresh, "palette": lambda: self.palette_.open(),
            "full-screen": lambda: self.showNormal() if self.isFullScreen() else self.showFullScreen(),
            "shortcuts": self.show_shortcuts, "glossary": lambda: GlossaryDialog(self).open(),
            "paper": open_paper, "diagnostics": self.copy_diagnostics, "log": self.open_log,
            "about": lambda: AboutDialog(self).open(),
            **{f"new-{name}": lambda name=name: self.new_run(name) for name in PRESET_TITLES},
            **{page.key: lambda key=page.key: self.show_page(key) for page in PAGES},
            **{mode: lambda mode=mode: self.set_theme(mode) for mode in ThemeMode},
        }  # fmt: skip

    @property
    def _runs_root(self) -> Path:
        return self._library.runs_root if self._services is not None else Path.home()

    def _read_machine(self) -> Machine:
        from seirenes_app.services.machine import read_machine

        return read_machine(self._runs_root)

    def _on_machine_read(self, machine: Machine) -> None:
        self._machine = machine
        if "home" in self.pages:
            self.page("home").machine.render_machine(machine)

    def _on_theme_changed(self, theme: Theme) -> None:
        for page in self.pages.values():
            page.themed(theme)

    def _on_scheme_changed(self, _scheme: Qt.ColorScheme) -> None:
        if self._settings.theme == ThemeMode.SYSTEM:
            switch_theme(self._settings.theme)

    def page(self, key: str) -> Any:
        """A page, built and connected when it is first wanted. Each kind has methods of its own."""
        if key not in self.pages:
            page = self.pages[key] = self._make_page(key)
            self.stack.addWidget(page)
            for signal, slot in self._slots(key).items():
                getattr(page, signal).connect(slot)
            # What a page shows before it is asked for anything.
            if key == "home" and self._machine is not None:
                self.page("home").machine.render_machine(self._machine)
            if key == "train" and (last := self._library.find(self._settings.last_run)) is not None:
                self.page("train").open_run(last)
        return self.pages[key]

    def _slots(self, key: str) -> dict[str, Callable[..., object]]:
        messages: dict[str, Callable[..., object]] = {"toast": self.toast.say, "problem": self.show_error}
        slots: dict[str, dict[str, Callable[..., object]]] = {
            "home": {
                "demoRequested": self.start_demo, "configRequested": self.open_config, "runRequested": self.open_run,
                "resumeRequested": lambda paths: self._start(lambda: self._control.resume(paths)),
                "editRequested": lambda summary: self._show_form(summary.config), "noteRequested": self._ask_note,
                "discardRequested": lambda summary: self._ask_discard(summary.paths),
                "folderRequested": self.open_runs_folder, "recordedRequested": self.open_traces,
                "craftRequested": lambda: self.show_page("craft"), "paperRequested": open_paper,
                "glossaryRequested": lambda: GlossaryDialog(self).open(),
            },
            "craft": {"downloadRequested": self.open_download, **messages},
            "train": {
                "tracesRequested": self.open_traces, "robustnessRequested": self.open_robustness,
                "downloadRequested": self.open_download, "toast": self.toast.say, "fetched": self._on_fetched,
            },
            "traces": {
                "craftRequested": self._open_draft, "demoRequested": self.start_demo, "fetched": self._on_fetched,
                **messages,
            },
            "robustness": {
                "tracesRequested": self.open_traces, "demoRequested": self.start_demo,
                "downloadRequested": self.open_download, "fetched": self._on_fetched, **messages,
            },
            "red-team": {
                "craftRequested": self._open_draft, "downloadRequested": self.open_download,
                "trainRequested": self._train_against, "evaluateRequested": self.evaluate, **messages,
            },
            "models": {
                "craftRequested": self._craft_with, "evaluateRequested": self._evaluate_model,
                "trainRequested": self._train_from, **messages,
            },
        }  # fmt: skip
        return slots[key]

    def show_page(self, key: str) -> None:
        if self._services is None:
            return
        page, shown = self.page(key), self.stack.currentWidget()
        if isinstance(shown, Page) and shown.key in self.pages:
            shown.deactivate()
        self.stack.setCurrentWidget(page)
        self.sidebar.select(key)
        page.activate()

    def open_traces(self, paths: RunPaths, query: RolloutQuery | None = None) -> None:
        """Show a run's rollouts on the Traces page: those of the query, or all."""
        self.page("traces").open_run(paths, *([query] if query else []))
        self.show_page("traces")

    def open_robustness(self, paths: RunPaths) -> None:
        self.page("robustness").open_run(paths)
        self.show_page("robustness")

    def _open_draft(self, draft: Draft) -> None:
        self.page("craft").open_draft(draft)
        self.show_page("craft")

    def open_run(self, paths: RunPaths) -> None:
        self.page("train").open_run(paths)
        self.show_page("train")

    def open_download(self, name: str = "") -> None:
        """The Models page with its download dialog, for what was typed elsewhere."""
        self.show_page("models")
        self.page("models").dialogs.show_download(name)

    def _craft_with(self, model: ModelEntry) -> None:
        self.show_page("craft")
        self.page("craft").use_model(model)

    def _evaluate_model(self, model: ModelEntry) -> None:
        self.show_page("robustness")
        self.page("robustness").open_evaluate(model)

    def _train_from(self, model: ModelEntry) -> None:
        from seirenes_app.ui.widgets.model_picker import argument_of

        self.new_run()
        self.page("train").new.take_model(argument_of(model))

    def _train_against(self, archive: Path, target: str) -> None:
        """The form of a run that replays an archive of hints; from the campaign's target where it can be trained."""
        demo = self._library.presets()["demo"].config
        self._show_form(replace(demo, curriculum=replace(demo.curriculum, archive=str(archive))))
        if Path(target).is_dir():
            self.page("train").new.take_model(target)
        self.toast.say("The hints are set as the archive. Choose what to train, then start.")

    def _on_downloaded(self, download: DownloadSummary) -> None:
        self._models.refresh()
        self.toast.say(f"{download.hub_id} is downloaded.")

    def start_demo(self) -> None:
        self._start(lambda: self._control.start(self._library.presets()["demo"].config))

    def ask_demo(self) -> None:
        """Ask first: the key is easily hit, and the run takes the machine for minutes."""
        steps = self._library.presets()["demo"].config.steps
        text = f"Self-play with the bundled model: {steps} steps on this machine, offline. You can stop it at any time."
        question = ConfirmDialog("Start the demo run?", text, "Start", self, kind="primary")
        question.accepted.connect(self.start_demo)
        question.open()

    def open_recorded(self) -> None:
        assert self._services is not None
        if self._services.recorded is None:
            self.toast.say("The recorded run is not installed.")
        else:
            self.open_traces(self._services.recorded)

    def evaluate(self) -> None:
        self.show_page("robustness")
        self.page("robustness").open_evaluate()

    def new_run(self, preset: str = "") -> None:
        """The form, filled from a preset."""
        self._show_form(self._library.presets()[preset].config if preset else None)

    def _show_form(self, config: RunConfig | None) -> None:
        self.page("train").show_new(config)
        self.show_page("train")

    def open_config(self, path: Path | None) -> None:
        """Fill the form from a config file; None asks for one."""
        from training.runs.config import load_config

        if path is None:
            name, _ = QFileDialog.getOpenFileName(self, "Open a config file", "", "Configurations (*.toml *.json)")
            if not name:
                return
            path = Path(name)
        try:
            config = load_config(path)
        except UserError as error:
            self.show_error("The configuration cannot be used", str(error))
            return
        self._workspace.remember_config(path)
        self._show_form(config)

    def _start(self, start: Callable[[], RunPaths]) -> None:
        try:
            paths = start()
        except UserError as error:
            self.show_error("The run did not start", str(error))
        else:
            self.open_run(paths)

    def _ask_note(self, summary: RunSummary) -> None:
        run_id = summary.paths.run_id
        text, accepted = QInputDialog.getMultiLineText(self, "Note", run_id, self._runs.mark(run_id).note)
        if accepted:
            self._runs.set_mark(run_id, note=text)

    def _ask_discard(self, paths: RunPaths) -> None:
        ask_discard(paths, self, lambda: self._control.discard(paths))

    def _on_discarded(self, paths: RunPaths) -> None:
        for key in ("train", "traces", "robustness"):
            if key in self.pages:
                self.pages[key].forget(paths)
        self._workspace.forget(paths.run_id)
        self._runs.refresh()
        self.toast.say(f"{paths.run_id} was moved to the trash.")

    def _on_fetched(self, paths: RunPaths) -> None:
        self.toast.say(f"The files of {paths.run_id} are here.")
        for key in self.pages.keys() & {"train", "traces", "robustness"}:
            self.pages[key].reread(paths)

    def open_runs_folder(self) -> None:
        self._library.runs_root.mkdir(parents=True, exist_ok=True)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._library.runs_root)))

    def set_theme(self, mode: str) -> None:
        switch_theme(mode)
        self._settings = replace(self._settings, theme=str(mode))
        self._save_settings()

    def show_settings(self) -> None:
        from seirenes_app.ui.widgets.cost_dialogs import SettingsDialog

        dialog = SettingsDialog(self._settings, self)
        dialog.changed.connect(self._take_settings)
        dialog.finished.connect(lambda _code: dialog.deleteLater())
        dialog.open()

    def _take_settings(self, settings: Settings) -> None:
        self._settings = settings
        self._save_settings()

    def refresh(self) -> None:
        self._runs.refresh()
        if "robustness" in self.pages:
            self.page("robustness").evaluations.refresh()
        if "red-team" in self.pages:
            self.page("red-team").campaigns.refresh()
        if "models" in self.pages:
            self._models.refresh()
            self._downloads.refresh()

    def show_shortcuts(self) -> None:
        ShortcutsDialog(self.registry.shortcuts(), self).open()

    def diagnostics(self) -> str:
        """What to paste into a report. The machine is read once: it takes a second."""
        from seirenes_app.services.diagnostics import describe, log_path

        self._machine = self._machine or self._read_machine()
        places = {"runs": self._runs_root, "settings": settings_path(), "log": log_path()}
        return describe(self._machine, places)

    def copy_diagnostics(self) -> None:
        """To the clipboard; the machine is read off the window's thread."""
        self._tasks.run(self.diagnostics, self._on_diagnostics, lambda text: self.show_error("Diagnostics", text))

    def _on_diagnostics(self, text: str) -> None:
        QApplication.clipboard().setText(text)
        self.toast.say("Diagnostics copied.")

    def open_log(self) -> None:
        from seirenes_app.services.diagnostics import log_path

        QDesktopServices.openUrl(QUrl.fromLocalFile(str(log_path())))

    def show_error(self, title: str, text: str) -> None:
        dialog = MessageDialog(title, text, self)
        dialog.setModal(True)
        dialog.open()

    def _on_faulted(self, text: str, is_user_error: bool) -> None:
        """An exception that nobody caught. One that comes while its dialog is open is only logged."""
        if is_user_error:
            self.show_error("That did not work", text)
        elif self._bug is None or not self._bug.isVisible():
            self._bug = BugDialog(text, self.diagnostics, self)
            self._bug.open()

    def current_run(self) -> tuple[RunPaths, RunState] | None:
        """What the Run menu acts on: the run in view if it is running, else the one that was started last."""
        live = self._active.live
        in_view = self.page("train").run_id if "train" in self.pages else ""
        return next((run for run in live if run[0].run_id == in_view), live[-1] if live else None)

    def _with_run(self, do: Callable[[RunPaths], object]) -> None:
        if (found := self.current_run()) is not None:
            do(found[0])

    def _render_run(self) -> None:
        from training.runs.status import RunStatus

        live = self._active.live
        self.statusBar().setVisible(bool(live))
        paths, state = self.current_run() or (None, None)
        self.status_line.render_run(paths, state, len(live) - 1)
        paused = state is not None and state.status is RunStatus.PAUSED
        going = paths is not None and not self._control.stopping(paths)
        for name, on in {
            "show": bool(live), "pause": going and not paused, "continue": going and paused,
            "checkpoint": going and not paused, "stop": going, "discard": bool(live),
        }.items():  # fmt: skip
            self.actions_[name].setEnabled(on)

    def _on_ended(self, paths: RunPaths, state: RunState) -> None:
        from training.runs.status import RunStatus

        self._runs.refresh()
        endings = {
            RunStatus.FINISHED: "is finished.",
            RunStatus.STOPPED: "was saved and stopped.",
            RunStatus.FAILED: f"failed: {state.message}",
            RunStatus.CRASHED: "crashed. Details on Home.",
        }
        self.toast.say(f"{paths.run_id} {endings.get(state.status, 'ended.')}")
        if self.closing.dialog is None and "train" in self.pages:
            self.page("train").next_in_queue()

    def continue_queue(self) -> None:
        """After the start: the Train page, which starts the runs of the queue, is made where the queue was left on."""
        from seirenes_app.services.run_queue import RunQueue

        state = RunQueue.of(self._library).state()
        if state.entries and state.on:
            self.page("train")

    def _on_stop_changed(self, _paths: RunPaths, text: str) -> None:
        self.toast.say(text)
        self._render_run()

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._services is not None and not (self.closing.may_close() and self._may_lose()):
            event.ignore()
            return
        self.shut_down()
        super().closeEvent(event)

    def _may_lose(self) -> bool:
        """Whether everything is saved, or the person closes all the same."""
        trouble = " ".join(filter(None, (page.unsaved() for page in self.pages.values())))
        if not trouble:
            return True
        return bool(ConfirmDialog("Not everything is saved", trouble, "Close without saving", self).exec())

    def shut_down(self, *, remember: bool = True) -> None:
        """Save what is remembered and end services and pages; a second time does nothing."""
        if self._over:
            return
        self._over = True
        if self._services is None:
            return
        if remember:
            self._remember()
        for page in self.pages.values():
            page.deactivate()
            page.close_down()
        self._active.close()
        self._models.close()
        self._downloads.close()
        self._tasks.close()
        self._workspace.close()

    def _remember(self) -> None:
        geometry = base64.b64encode(self.saveGeometry().data()).decode()
        shown = self.stack.currentWidget()
        page = shown.key if isinstance(shown, Page) else self._settings.last_page
        last_run = self.page("train").run_id if "train" in self.pages else self._settings.last_run
        self._settings = replace(self._settings, geometry=geometry, last_page=page, last_run=last_run)
        self._save_settings()

    def _save_settings(self) -> None:
        try:
            self._settings.save()
        except UserError as error:
            self.toast.say(str(error))


def open_paper() -> None:
    QDesktopServices.openUrl(QUrl("https://arxiv.org/abs/2605.11636"))


class ShutdownSequence(QObject):
    """Closing the window during runs: ask once, then stop them in view or leave them running."""

    def __init__(
        self, active: ActiveRuns, control: TrainerControl, close: Callable[[], object], parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._active, self._control, self._close, self._window = active, control, close, parent
        self._decided = False
        self.dialog: StoppingDialog | None = None
        """Shown while runs are being stopped so that the window can close."""
        active.changed.connect(self._close_if_idle)
        control.stopChanged.connect(self._on_stop_changed)

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
