"""The main window: rail, pages, status, menus, palette. It hands what pages ask for to those who do it."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QByteArray, Qt, QUrl, Signal
from PySide6.QtGui import QCloseEvent, QDesktopServices
from PySide6.QtWidgets import QApplication, QFileDialog, QHBoxLayout, QInputDialog, QMainWindow, QStackedWidget, QWidget

from seirenes_app.services.diagnostics import describe, log_path
from seirenes_app.services.hint_authoring.draft import Draft
from seirenes_app.services.machine import Machine, read_machine
from seirenes_app.store.settings import ThemeMode, settings_path
from seirenes_app.ui.actions import ActionRegistry
from seirenes_app.ui.command_palette import CommandPalette
from seirenes_app.ui.dependencies import Pages, Services
from seirenes_app.ui.pages.base import PAGES, Page
from seirenes_app.ui.shutdown import ShutdownSequence
from seirenes_app.ui.theme import Theme, switch_theme, theme_notifier
from seirenes_app.ui.widgets.dialogs import (
    AboutDialog,
    BugDialog,
    ConfirmDialog,
    MessageDialog,
    ShortcutsDialog,
    ask_discard,
)
from seirenes_app.ui.widgets.sidebar import Sidebar
from seirenes_app.ui.widgets.status_line import StatusLine
from seirenes_app.ui.widgets.toast import Toast
from seirenes_app.ui.window_actions import ALL_ACTIONS, build_menus
from training.errors import UserError
from training.rollouts.search import RolloutQuery
from training.runs.config import load_config
from training.runs.listing import RunSummary
from training.runs.paths import RunPaths
from training.runs.status import RunState, RunStatus


class MainWindow(QMainWindow):
    """See the module. Collaborators come by constructor; `app.build_window` makes them."""

    faulted = Signal(str, bool)
    """An exception nobody caught: its text, and whether the person can mend it. Emitted from any thread."""

    def __init__(self, pages: Pages, services: Services) -> None:
        super().__init__()
        self._home, self._craft, self._train, self._traces = pages.home, pages.craft, pages.train, pages.traces
        self._robustness = pages.robustness
        self._control, self._active = services.control, services.active
        self._runs, self._library, self._workspace = services.runs, services.library, services.workspace
        self._settings, self._tasks = services.settings, services.tasks
        self.pages: list[Page] = list(pages.in_order)
        self._machine: Machine | None = None
        self._bug: BugDialog | None = None
        self._over = False
        self.closing = ShutdownSequence(self._active, self._control, self.close, self)
        self._build()
        self._connect()
        self._restore()

    def _build(self) -> None:
        self.setWindowTitle("Seirênes")
        self.setMinimumSize(1000, 640)
        self.rail = Sidebar(PAGES)
        self.stack = QStackedWidget()
        for page in self.pages:
            self.stack.addWidget(page)
        body = QWidget()
        row = QHBoxLayout(body)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.rail)
        row.addWidget(self.stack, 1)
        self.setCentralWidget(body)
        self.status_line = StatusLine()
        self.statusBar().setSizeGripEnabled(False)
        self.statusBar().addPermanentWidget(self.status_line)
        self.statusBar().hide()
        self.registry = ActionRegistry(self, ALL_ACTIONS, [page.key for page in PAGES], self.show_page_named)
        self.actions_ = build_menus(self, self._make_handlers())
        self.palette_ = CommandPalette(self.registry, self)
        self.toast = Toast(self)

    def _connect(self) -> None:
        self.rail.chosen.connect(self.show_page)
        self.rail.commandsAsked.connect(self.open_palette)
        self.status_line.clicked.connect(self.open_run)
        self._home.demoAsked.connect(self.start_demo)
        self._home.configAsked.connect(self._open_config)
        self._home.runAsked.connect(self.open_run)
        self._home.resumeAsked.connect(self._resume)
        self._home.noteAsked.connect(self._note)
        self._home.discardAsked.connect(self._discard)
        self._home.folderAsked.connect(self.open_runs_folder)
        self._home.recordedAsked.connect(self.open_traces)
        self._home.craftAsked.connect(lambda: self.show_on(self._craft))
        self._traces.craftRequested.connect(self._open_draft)
        self._train.tracesAsked.connect(self.open_traces)
        self._train.robustnessAsked.connect(self.open_robustness)
        self._robustness.tracesAsked.connect(self.open_traces)
        self._robustness.demoAsked.connect(self.start_demo)
        self._traces.demoRequested.connect(self.start_demo)
        for page in (self._craft, self._traces, self._robustness):
            page.toast.connect(self.toast.say)
            page.problem.connect(self.tell)
        self._control.started.connect(lambda _paths: self._runs.refresh())
        self._control.failed.connect(lambda text: self.tell("That did not work", text))
        self._control.stopChanged.connect(self._take_ladder)
        self._control.discarded.connect(self._take_discarded)
        self._active.changed.connect(self._render_run)
        self._active.ended.connect(self._take_ended)
        self._active.found.connect(lambda paths: self.toast.say(f"{paths.run_id} is still going; it was found again."))
        self._active.problem.connect(self.toast.say)
        self._runs.problem.connect(self.toast.say)
        self.faulted.connect(self.tell_fault, Qt.ConnectionType.QueuedConnection)
        # A bound method, not a lambda: Qt drops it with the window.
        theme_notifier().changed.connect(self._take_theme)
        QApplication.styleHints().colorSchemeChanged.connect(self._take_scheme)

    def _restore(self) -> None:
        self.resize(1280, 800)
        if self._settings.geometry:
            self.restoreGeometry(QByteArray(base64.b64decode(self._settings.geometry)))
        keys = [page.key for page in self.pages]
        self.show_page(keys.index(self._settings.last_page) if self._settings.last_page in keys else 0)
        self.actions_[self._settings.theme].setChecked(True)
        last = self._library.find(self._settings.last_run) if self._settings.last_run else None
        if last is not None:
            self._train.open_run(last)
        self._render_run()
        self._runs.refresh()
        self._tasks.run(lambda: read_machine(self._library.runs_root), self._take_machine)

    def _take_machine(self, machine: Machine) -> None:
        self._machine = machine
        self._home.machine.render_machine(machine)

    def _take_theme(self, theme: Theme) -> None:
        for page in self.pages:
            page.themed(theme)

    def _take_scheme(self, _scheme: Qt.ColorScheme) -> None:
        if self._settings.theme == ThemeMode.SYSTEM:
            switch_theme(self._settings.theme)

    def _make_handlers(self) -> dict[str, Callable[[], object]]:
        """What the window's actions do, by name."""
        return {
            "new": self.new_run, "demo": self.ask_demo, "recorded": self.open_recorded, "evaluate": self.evaluate,
            "open-config": self.choose_config, "runs-folder": self.open_runs_folder, "quit": self.close,
            "show": lambda: self._with_run(self.open_run), "pause": lambda: self._with_run(self._control.pause),
            "continue": lambda: self._with_run(self._control.unpause),
            "checkpoint": lambda: self._with_run(self._control.checkpoint),
            "stop": lambda: self._with_run(self._control.stop_and_save),
            "discard": lambda: self._with_run(self._ask_discard),
            "refresh": self.refresh, "full-screen": self.toggle_full_screen, "palette": self.open_palette,
            "shortcuts": self.show_shortcuts, "diagnostics": self.copy_diagnostics, "log": self.open_log,
            "about": self.show_about,
            **{page.key: lambda key=page.key: self.show_page_named(key) for page in PAGES},
            **{mode: lambda mode=mode: self.set_theme(mode) for mode in ThemeMode},
        }  # fmt: skip

    # ------------------------------------------------------------------ pages

    def show_page(self, index: int) -> None:
        """Bring a page into view."""
        if 0 <= self.stack.currentIndex() < len(self.pages):
            self.pages[self.stack.currentIndex()].deactivate()
        self.stack.setCurrentIndex(index)
        self.rail.select(index)
        self.pages[index].activate()

    def show_page_named(self, key: str) -> None:
        """`show_page` by the page's key."""
        self.show_page([page.key for page in self.pages].index(key))

    def show_on(self, page: Page) -> None:
        """`show_page` by the page itself."""
        self.show_page(self.pages.index(page))

    def open_traces(self, paths: RunPaths, query: RolloutQuery | None = None) -> None:
        """Show a run's rollouts on the Traces page: those of the query, or all."""
        self._traces.open_run(paths, *([query] if query else []))
        self.show_on(self._traces)

    def open_robustness(self, paths: RunPaths) -> None:
        """Show a run on the Robustness page."""
        self._robustness.open_run(paths)
        self.show_on(self._robustness)

    def _open_draft(self, draft: Draft) -> None:
        self._craft.open_draft(draft)
        self.show_on(self._craft)

    def open_run(self, paths: RunPaths) -> None:
        """Show a run on the Train page."""
        self._train.open_run(paths)
        self.show_on(self._train)

    def settle(self) -> None:
        """Let background answers land; for the smoke test, which has no event loop of its own."""
        time.sleep(0.05)

    # ------------------------------------------------------------------ what actions and pages ask

    def start_demo(self) -> None:
        """Start the demo preset and show it."""
        self._start(lambda: self._control.start(self._library.presets()["demo"].config))

    def ask_demo(self) -> None:
        """Ask first: the key is easily hit, and the run takes the machine for minutes."""
        steps = self._library.presets()["demo"].config.steps
        text = (
            f"Self-play with the bundled model, {steps} steps, on this machine and offline. It can be stopped any time."
        )
        question = ConfirmDialog("Start the demo run?", text, "Start", self, kind="primary")
        question.accepted.connect(self.start_demo)
        question.open()

    def open_recorded(self) -> None:
        """The run that ships, on Traces."""
        self._home.recorded.openAsked.emit()

    def evaluate(self) -> None:
        """The dialog that starts an evaluation."""
        self.show_on(self._robustness)
        self._robustness.open_evaluate()

    def new_run(self) -> None:
        """The form."""
        self._train.show_new(None)
        self.show_on(self._train)

    def choose_config(self) -> None:
        """Ask for a config file."""
        self._open_config(None)

    def _open_config(self, path: Path | None) -> None:
        if path is None:
            name, _ = QFileDialog.getOpenFileName(self, "Open a config file", "", "Configurations (*.toml *.json)")
            if not name:
                return
            path = Path(name)
        try:
            config = load_config(path)
        except UserError as error:
            self.tell("The configuration cannot be used", str(error))
            return
        self._workspace.remember_config(path)
        self._train.show_new(config)
        self.show_on(self._train)

    def _start(self, do: object) -> None:
        try:
            paths = do()  # type: ignore[operator]
        except UserError as error:
            self.tell("The run did not start", str(error))
            return
        self.open_run(paths)

    def _resume(self, paths: RunPaths) -> None:
        self._start(lambda: self._control.resume(paths))

    def _note(self, summary: RunSummary) -> None:
        run_id = summary.paths.run_id
        text, accepted = QInputDialog.getMultiLineText(self, "Note", run_id, self._runs.mark(run_id).note)
        if accepted:
            self._runs.note(run_id, text)

    def _discard(self, summary: RunSummary) -> None:
        self._ask_discard(summary.paths)

    def _ask_discard(self, paths: RunPaths) -> None:
        ask_discard(paths.run_id, self, lambda: self._control.discard(paths))

    def _take_discarded(self, paths: RunPaths) -> None:
        self._train.forget(paths)
        self._traces.forget(paths)
        self._robustness.forget(paths)
        self._workspace.forget(paths.run_id)
        self._runs.refresh()
        self.toast.say(f"{paths.run_id} is in the trash.")

    def open_runs_folder(self) -> None:
        """In the file manager."""
        self._library.runs_root.mkdir(parents=True, exist_ok=True)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._library.runs_root)))

    def set_theme(self, mode: str) -> None:
        """Light, dark or the system's."""
        switch_theme(mode)
        self._settings = replace(self._settings, theme=str(mode))
        self._save_settings()

    def refresh(self) -> None:
        """Look at the disk again."""
        self._runs.refresh()
        self._robustness.evaluating.refresh()

    def toggle_full_screen(self) -> None:
        """And back."""
        self.showNormal() if self.isFullScreen() else self.showFullScreen()

    def open_palette(self) -> None:
        """The command palette."""
        self.palette_.open()

    def show_shortcuts(self) -> None:
        """Every key."""
        ShortcutsDialog(self.registry.shortcuts(), self).open()

    def diagnostics(self) -> str:
        """What to paste into a report. The machine is read once: it takes a second."""
        self._machine = self._machine or read_machine(self._library.runs_root)
        places = {"runs": self._library.runs_root, "settings": settings_path(), "log": log_path()}
        return describe(self._machine, places)

    def copy_diagnostics(self) -> None:
        """To the clipboard; the machine is read off the window's thread."""
        self._tasks.run(self.diagnostics, self._take_diagnostics, lambda text: self.tell("Diagnostics", text))

    def _take_diagnostics(self, text: str) -> None:
        QApplication.clipboard().setText(text)
        self.toast.say("Diagnostics copied.")

    def open_log(self) -> None:
        """The window's own log."""
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(log_path())))

    def show_about(self) -> None:
        """Name and version."""
        AboutDialog(self).open()

    def tell(self, title: str, text: str) -> None:
        """An error in words."""
        dialog = MessageDialog(title, text, self)
        dialog.setModal(True)
        dialog.open()

    def tell_fault(self, text: str, mendable: bool) -> None:
        """An exception that nobody caught. One that comes again while its dialog is open is only logged."""
        if mendable:
            self.tell("That did not work", text)
        elif self._bug is None or not self._bug.isVisible():
            self._bug = BugDialog(text, self.diagnostics, self)
            self._bug.open()

    # ------------------------------------------------------------------ live runs

    def current_run(self) -> tuple[RunPaths, RunState] | None:
        """What the Run menu acts on: the run in view if it is running, else the one that was started last."""
        live = self._active.live
        in_view = next((run for run in live if run[0].run_id == self._train.run_id), None)
        return in_view or (live[-1] if live else None)

    def _with_run(self, do: Callable[[RunPaths], object]) -> None:
        if (found := self.current_run()) is not None:
            do(found[0])

    def _render_run(self) -> None:
        live = self._active.live
        self.statusBar().setVisible(bool(live))
        paths, state = self.current_run() or (None, None)
        self.status_line.render_run(paths, state, len(live) - 1)
        paused = state is not None and state.status is RunStatus.PAUSED
        stopping = paths is not None and self._control.stopping(paths)
        going = paths is not None and not stopping
        for name, on in {
            "show": bool(live), "pause": going and not paused, "continue": going and paused,
            "checkpoint": going and not paused, "stop": going, "discard": bool(live),
        }.items():  # fmt: skip
            self.actions_[name].setEnabled(on)

    def _take_ended(self, paths: RunPaths, state: RunState) -> None:
        self._runs.refresh()
        words = {
            RunStatus.FINISHED: "is finished.",
            RunStatus.STOPPED: "was saved and stopped.",
            RunStatus.FAILED: f"failed: {state.message}",
            RunStatus.CRASHED: "crashed. Details on Home.",
        }
        self.toast.say(f"{paths.run_id} {words.get(state.status, 'ended.')}")
        if not self.closing.under_way:
            self._train.next_in_queue()

    def _take_ladder(self, _paths: RunPaths, text: str) -> None:
        self.toast.say(text)
        self._render_run()

    # ------------------------------------------------------------------ the end

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask what becomes of runs that are going and of what cannot be saved; remember the window's place."""
        if not self.closing.may_close() or not self._may_lose():
            event.ignore()
            return
        self.shut_down()
        super().closeEvent(event)

    def _may_lose(self) -> bool:
        """Whether everything is saved, or the person closes all the same."""
        trouble = " ".join(filter(None, (page.unsaved() for page in self.pages)))
        if not trouble:
            return True
        question = ConfirmDialog("Not everything is saved", trouble, "Close without saving", self)
        return bool(question.exec())

    def shut_down(self, *, remember: bool = True) -> None:
        """Save what is remembered and end the helpers; a second time does nothing."""
        if self._over:
            return
        self._over = True
        if remember:
            self._remember()
        for page in self.pages:
            page.deactivate()
            page.close_down()
        self._active.close()
        self._tasks.close()
        self._workspace.close()

    def _remember(self) -> None:
        geometry = base64.b64encode(self.saveGeometry().data()).decode()
        page = self.pages[self.stack.currentIndex()].key
        self._settings = replace(self._settings, geometry=geometry, last_page=page, last_run=self._train.run_id)
        self._save_settings()

    def _save_settings(self) -> None:
        try:
            self._settings.save()
        except UserError as error:
            self.toast.say(str(error))
