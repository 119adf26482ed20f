"""Every action of the window, once: the menus, the shortcuts and the palette all come from this list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QMainWindow, QMenuBar

from seirenes_app.store.settings import ThemeMode
from seirenes_app.ui.command_palette import Command
from seirenes_app.ui.current_run import CurrentRun
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.pages.base import Page

THEME_WORDS = {ThemeMode.SYSTEM: "As the system", ThemeMode.LIGHT: "Light", ThemeMode.DARK: "Dark"}


class Handlers(Protocol):
    """What the window does for its actions."""

    def start_demo(self) -> None: ...
    def open_recorded(self) -> None: ...
    def evaluate(self) -> None: ...
    def new_run(self) -> None: ...
    def choose_config(self) -> None: ...
    def open_runs_folder(self) -> None: ...
    def close(self) -> bool: ...
    def show_page(self, index: int) -> None: ...
    def set_theme(self, mode: str) -> None: ...
    def refresh(self) -> None: ...
    def toggle_full_screen(self) -> None: ...
    def open_palette(self) -> None: ...
    def show_shortcuts(self) -> None: ...
    def copy_diagnostics(self) -> None: ...
    def open_log(self) -> None: ...
    def show_about(self) -> None: ...


class Actions:
    """Builds the menus on `window`; `commands` is what the palette searches."""

    def __init__(self, window: QMainWindow, does: Handlers, run: CurrentRun, pages: Sequence[Page]) -> None:
        self._window = window
        self.commands: list[Command] = []
        self.themes: dict[str, QAction] = {}
        self.run_actions: dict[str, QAction] = {}
        bar = window.menuBar()
        self._fill_file(bar, does)
        self._fill_run(bar, run)
        self._fill_view(bar, does, pages)
        self._fill_help(bar, does)

    def add_deeds(self, page: Page, deeds: Iterable[QAction], show: Callable[[Page], None]) -> None:
        """A page's own actions, for the palette and the list of keys; each brings its page into view."""
        for action in deeds:
            action.triggered.connect(lambda *_: show(page))
            self.commands.append(Command(page.title, action))

    def _fill_file(self, bar: QMenuBar, does: Handlers) -> None:
        menu = bar.addMenu("&File")
        add = self._adder("File", menu.addAction)
        add("&New run…", does.new_run, "plus", "Ctrl+N")
        add("Start the &demo run", does.start_demo, "play", "Ctrl+D")
        add("Open the &recorded run", does.open_recorded, "traces")
        add("&Evaluate…", does.evaluate, "chart")
        add("&Open a config file…", does.choose_config, "file", "Ctrl+O")
        menu.addSeparator()
        add("Open the runs &folder", does.open_runs_folder, "folder")
        menu.addSeparator()
        add("&Quit", does.close, "quit", "Ctrl+Q")

    def _fill_run(self, bar: QMenuBar, run: CurrentRun) -> None:
        menu = bar.addMenu("&Run")
        add = self._adder("Run", menu.addAction)
        self.run_actions = {
            "open": add("&Open the running run", run.open, "arrow-right", "Ctrl+R"),
            "pause": add("&Pause", run.pause, "pause"),
            "unpause": add("&Continue", run.unpause, "play"),
            "checkpoint": add("Save a &checkpoint", run.checkpoint, "save"),
            "stop": add("&Stop and save", run.stop, "stop"),
            "discard": add("&Discard…", run.discard, "discard"),
        }

    def _fill_view(self, bar: QMenuBar, does: Handlers, pages: Sequence[Page]) -> None:
        menu = bar.addMenu("&View")
        add = self._adder("View", menu.addAction)
        for number, page in enumerate(pages):
            add(page.title, lambda n=number: does.show_page(n), page.icon, f"Ctrl+{number + 1}")
        menu.addSeparator()
        themes = menu.addMenu("&Theme")
        group = QActionGroup(self._window)
        for mode, word in THEME_WORDS.items():
            action = self._make(word, lambda m=mode: does.set_theme(m), {"light": "sun", "dark": "moon"}.get(mode, ""))
            action.setCheckable(True)
            group.addAction(action)
            themes.addAction(action)
            self.themes[mode] = action
            self.commands.append(Command("Theme", action))
        menu.addSeparator()
        add("&Refresh", does.refresh, "refresh", "F5")
        add("&Full screen", does.toggle_full_screen, "", "F11")
        palette = self._make("Command &palette…", does.open_palette, "command", "Ctrl+Shift+P")
        menu.addAction(palette)

    def _fill_help(self, bar: QMenuBar, does: Handlers) -> None:
        menu = bar.addMenu("&Help")
        add = self._adder("Help", menu.addAction)
        add("&Keyboard shortcuts", does.show_shortcuts, "keyboard", "F1")
        add("&Copy diagnostics", does.copy_diagnostics, "copy")
        add("Open the window's &log", does.open_log, "log")
        menu.addSeparator()
        add("&About Seirênes", does.show_about, "info")

    def _adder(self, group: str, put: Callable[[QAction], Any]) -> Callable[..., QAction]:
        def add(text: str, does: Callable[[], Any], icon: str = "", key: str = "") -> QAction:
            action = self._make(text, does, icon, key)
            put(action)
            self.commands.append(Command(group, action))
            return action

        return add

    def _make(self, text: str, does: Callable[[], Any], icon: str = "", key: str = "") -> QAction:
        action = QAction(text, self._window)
        if icon:
            set_icon(action, icon, "muted")
        if key:
            action.setShortcut(QKeySequence(key))
        action.triggered.connect(lambda *_: does())
        return action

    def render_run(self, *, live: bool, paused: bool, stopping: bool) -> None:
        """Switch the Run menu on for what can be done now."""
        for key, on in {
            "open": live,
            "pause": live and not paused and not stopping,
            "unpause": live and paused and not stopping,
            "checkpoint": live and not paused and not stopping,
            "stop": live and not stopping,
            "discard": live,
        }.items():
            self.run_actions[key].setEnabled(on)
