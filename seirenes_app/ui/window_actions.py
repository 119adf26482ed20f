"""The window's own actions with their menu bar, and the list of all actions there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMainWindow, QMenu

from seirenes_app.store.settings import ThemeMode
from seirenes_app.ui.actions import WINDOW, ActionSpec, bind_actions
from seirenes_app.ui.pages.base import PAGES
from seirenes_app.ui.pages.craft.actions import ACTIONS as CRAFT_ACTIONS
from seirenes_app.ui.pages.home.actions import ACTIONS as HOME_ACTIONS
from seirenes_app.ui.pages.robustness.actions import ACTIONS as ROBUSTNESS_ACTIONS
from seirenes_app.ui.pages.traces.actions import ACTIONS as TRACES_ACTIONS
from seirenes_app.ui.pages.train.actions import ACTIONS as TRAIN_ACTIONS

if TYPE_CHECKING:
    from training.runs.config import Preset

WINDOW_ACTIONS = (
    ActionSpec("file.new", "&New run…", "Ctrl+N", "plus"),
    ActionSpec("file.demo", "Start the &demo run…", "Ctrl+D", "play"),
    ActionSpec("file.recorded", "Open the &recorded run", "", "traces"),
    ActionSpec("file.evaluate", "&Evaluate…", "", "chart"),
    ActionSpec("file.open-config", "&Open a config file…", "Ctrl+O", "file"),
    ActionSpec("file.runs-folder", "Open the runs &folder", "", "folder", separated=True),
    ActionSpec("file.quit", "&Quit", "Ctrl+Q", "quit", separated=True),
    ActionSpec("run.show", "&Open the running run", "Ctrl+R", "arrow-right"),
    ActionSpec("run.pause", "&Pause", "", "pause"),
    ActionSpec("run.continue", "&Continue", "", "play"),
    ActionSpec("run.checkpoint", "Save a &checkpoint", "", "save"),
    ActionSpec("run.stop", "&Stop and save", "", "stop"),
    ActionSpec("run.discard", "&Discard…", "", "discard"),
    *(ActionSpec(f"view.{page.key}", page.title, f"Ctrl+{n}", page.icon) for n, page in enumerate(PAGES, 1)),
    ActionSpec(f"theme.{ThemeMode.SYSTEM}", "As the system", checkable=True),
    ActionSpec(f"theme.{ThemeMode.LIGHT}", "Light", "", "sun", checkable=True),
    ActionSpec(f"theme.{ThemeMode.DARK}", "Dark", "", "moon", checkable=True),
    ActionSpec("view.refresh", "&Refresh", "F5", "refresh", separated=True),
    ActionSpec("view.full-screen", "&Full screen", "F11"),
    ActionSpec("view.palette", "Command &palette…", "Ctrl+Shift+P", "command"),
    ActionSpec("help.shortcuts", "&Keyboard shortcuts", "F1", "keyboard"),
    ActionSpec("help.glossary", "&Glossary", "", "books"),
    ActionSpec("help.paper", "The &paper on arXiv", "", "file"),
    ActionSpec("help.diagnostics", "&Copy diagnostics", "", "copy", separated=True),
    ActionSpec("help.log", "Open the window's &log", "", "log"),
    ActionSpec("help.about", "&About Seirênes", "", "info", separated=True),
)
ALL_ACTIONS = (*WINDOW_ACTIONS, *HOME_ACTIONS, *CRAFT_ACTIONS, *TRAIN_ACTIONS, *TRACES_ACTIONS, *ROBUSTNESS_ACTIONS)


def build_menus(window: QMainWindow, handlers: Mapping[str, Callable[[], object]]) -> dict[str, QAction]:
    """The menu bar; returns the window's actions by name."""
    bound = bind_actions(window, WINDOW_ACTIONS, handlers, keys=WINDOW)
    menus: dict[str, QMenu] = {}
    themes = QActionGroup(window)
    for spec in WINDOW_ACTIONS:
        if spec.group == "Theme":
            themes.addAction(bound[spec.name])
        if spec.group not in menus:
            above = menus["View"] if spec.group == "Theme" else window.menuBar()
            menus[spec.group] = above.addMenu(f"&{spec.group}")
            menus[spec.group].setObjectName(spec.group)
        if spec.separated:
            menus[spec.group].addSeparator()
        menus[spec.group].addAction(bound[spec.name])
    return bound


def add_presets(
    window: QMainWindow, presets: Mapping[str, Preset], new_run: Callable[[str], object]
) -> dict[str, ActionSpec]:
    """An action for each preset, in the File menu below "New run…"; returns the specs by id."""
    specs = [ActionSpec(f"preset.{p.name}", f"New run: {p.name}…", "", "plus", p.description) for p in presets.values()]
    bound = bind_actions(window, specs, {s.name: lambda name=s.name: new_run(name) for s in specs}, keys=WINDOW)
    menu = QMenu("New run from &preset", window)
    menu.addActions(list(bound.values()))
    file = window.menuBar().findChild(QMenu, "File")
    file.insertMenu(file.actions()[1], menu)
    return {spec.id: spec for spec in specs}
