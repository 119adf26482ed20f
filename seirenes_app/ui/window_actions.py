"""The window's own actions with their menu bar, and the list of all actions there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMainWindow, QMenu

from seirenes_app.store.settings import ThemeMode
from seirenes_app.ui.actions import WINDOW, ActionSpec, bind_actions
from seirenes_app.ui.pages.base import PAGES
from seirenes_app.ui.pages.craft.actions import ACTIONS as CRAFT_ACTIONS
from seirenes_app.ui.pages.home.actions import ACTIONS as HOME_ACTIONS
from seirenes_app.ui.pages.models.actions import ACTIONS as MODELS_ACTIONS
from seirenes_app.ui.pages.redteam.actions import ACTIONS as RED_TEAM_ACTIONS
from seirenes_app.ui.pages.robustness.actions import ACTIONS as ROBUSTNESS_ACTIONS
from seirenes_app.ui.pages.traces.actions import ACTIONS as TRACES_ACTIONS
from seirenes_app.ui.pages.train.actions import ACTIONS as TRAIN_ACTIONS
from seirenes_app.ui.pages.train.actions import PRESET_TITLES

WINDOW_ACTIONS = (
    ActionSpec("file.new", "&New run…", "Ctrl+N", "plus"),
    *(ActionSpec(f"preset.new-{name}", f"{title}…", "", "plus") for name, title in PRESET_TITLES.items()),
    ActionSpec("file.demo", "Start the &demo run…", "Ctrl+D", "play"),
    ActionSpec("file.recorded", "Open the &recorded run", "", "traces"),
    ActionSpec("file.evaluate", "&Evaluate…", "", "chart"),
    ActionSpec("file.open-config", "&Open a config file…", "Ctrl+O", "file"),
    ActionSpec("file.settings", "&Settings…", "Ctrl+,", "settings", "When to ask before an endpoint costs money"),
    ActionSpec("file.runs-folder", "Open the runs &folder", "", "folder", separated=True),
    ActionSpec("file.quit", "&Quit", "Ctrl+Q", "quit", separated=True),
    ActionSpec("run.show", "&Open the running run", "Ctrl+R", "arrow-right"),
    ActionSpec("run.pause", "&Pause", "", "pause"),
    ActionSpec("run.continue", "&Continue", "", "play"),
    ActionSpec("run.checkpoint", "Save a &checkpoint", "", "save"),
    ActionSpec("run.stop", "&Stop and save", "", "stop", destructive=True),
    ActionSpec("run.discard", "&Discard…", "", "discard", destructive=True),
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
SUBMENUS = {"Preset": ("New run from &preset", "File"), "Theme": ("&Theme", "View")}
"""Title and the menu above."""
ALL_ACTIONS = (
    *WINDOW_ACTIONS, *HOME_ACTIONS, *CRAFT_ACTIONS, *TRAIN_ACTIONS, *TRACES_ACTIONS, *ROBUSTNESS_ACTIONS,
    *RED_TEAM_ACTIONS, *MODELS_ACTIONS,
)  # fmt: skip


def build_menus(window: QMainWindow, handlers: Mapping[str, Callable[[], object]]) -> dict[str, QAction]:
    """The menu bar; returns the window's actions by name."""
    bound = bind_actions(window, WINDOW_ACTIONS, handlers, keys=WINDOW)
    menus: dict[str, QMenu] = {}
    themes = QActionGroup(window)
    for spec in WINDOW_ACTIONS:
        if spec.group == "Theme":
            themes.addAction(bound[spec.name])
        if spec.group not in menus:
            title, above = SUBMENUS.get(spec.group, (f"&{spec.group}", ""))
            menus[spec.group] = (menus[above] if above else window.menuBar()).addMenu(title)
        if spec.separated:
            menus[spec.group].addSeparator()
        menus[spec.group].addAction(bound[spec.name])
    return bound
