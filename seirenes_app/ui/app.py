"""The composition root: makes the application and its window, and fills the window once its frame is in view."""

from __future__ import annotations

import ctypes.util
import gc
import importlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from seirenes_app.store.settings import Settings
from seirenes_app.ui.icons import app_icon
from seirenes_app.ui.pages.base import PAGES, Page
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import apply_theme
from seirenes_app.ui.widgets.dialogs import ConfirmDialog, MessageDialog
from seirenes_app.ui.window import MainWindow, Services
from training.errors import UserError


def check_display() -> None:
    """UserError with the line that mends it where no window can open: no display, or a library Qt needs on X11."""
    if not sys.platform.startswith("linux") or os.environ.get("QT_QPA_PLATFORM"):
        return
    if os.environ.get("WAYLAND_DISPLAY"):
        return
    if not os.environ.get("DISPLAY"):
        raise UserError("There is no display, so no window can open. In the terminal: seirenes demo")
    if ctypes.util.find_library("xcb-cursor") is None:
        raise UserError(
            "Qt needs libxcb-cursor0 to open a window on X11. Install it with: sudo apt-get install libxcb-cursor0"
        )


def build_window(app: QApplication, settings: Settings) -> MainWindow:
    """The window with its services and its first page."""
    window = MainWindow(settings)
    fill_window(app, window, settings)
    return window


def fill_window(app: QApplication, window: MainWindow, settings: Settings) -> None:
    """Give an empty window its services and its first page."""
    services = make_services(app, settings)
    window.load(services, lambda key: make_page(key, services))
    settle_heap()


def make_services(app: QApplication, settings: Settings) -> Services:
    """Everything that is not a widget."""
    from seirenes_app.services.run_repository import RunRepository
    from seirenes_app.store.resources import recorded_run
    from seirenes_app.store.workspace import Workspace
    from seirenes_app.ui.controllers.downloads import DownloadMonitor
    from seirenes_app.ui.controllers.inference_service import InferenceService
    from seirenes_app.ui.controllers.model_inventory import ModelInventory
    from seirenes_app.ui.controllers.run_watchers import ActiveRuns
    from seirenes_app.ui.controllers.trainer_control import TrainerControl
    from seirenes_app.ui.models.runs_model import RunsModel
    from training.runs.paths import RunPaths

    library, tasks, workspace = RunRepository(), TaskRunner(app), Workspace()
    runs = RunsModel(library, workspace, tasks, app)
    control = TrainerControl(library.runs_root, detach=settings.detach, parent=app)
    folder = RunPaths(recorded_run())
    recorded = folder if folder.rollouts.is_file() else None
    active = ActiveRuns(runs, control, app)
    return Services(
        control, active, runs, library, workspace, tasks, InferenceService(app), ModelInventory(app),
        DownloadMonitor(app), settings, recorded,
    )  # fmt: skip


def make_page(key: str, services: Services) -> Page:
    if key == "home":
        from seirenes_app.ui.pages.home.page import HomePage

        return HomePage(
            services.runs, services.tasks, services.library.presets(), services.workspace, services.recorded
        )
    if key == "craft":
        from seirenes_app.store.workspace import CraftStore
        from seirenes_app.ui.pages.craft.page import CraftPage

        return CraftPage(CraftStore(services.workspace), services.tasks, services.inference, services.models)
    if key == "train":
        from seirenes_app.ui.pages.train.page import TrainPage

        return TrainPage(
            services.control, services.library, services.models, tasks=services.tasks, name_of=services.runs.name_of
        )
    if key == "traces":
        from seirenes_app.ui.pages.traces.page import TracesPage

        return TracesPage(services.runs, services.recorded)
    if key == "models":
        from seirenes_app.ui.pages.models.page import ModelsPage

        return ModelsPage(services.models, services.downloads)
    if key == "red-team":
        from seirenes_app.ui.pages.redteam.page import RedTeamPage

        return RedTeamPage(services.models)
    from seirenes_app.ui.pages.robustness.page import RobustnessPage

    return RobustnessPage(services.runs, services.models, services.recorded)


def settle_heap() -> None:
    """Keep the garbage collector's full rounds short: collect once, and leave what remains out of later rounds.

    Libraries and widgets are half a million objects that never become garbage while the window is open. A full round
    over them holds the window up for a tenth of a second; over what was made since, for a few milliseconds.
    """
    gc.collect()
    gc.freeze()


def run_app(*, smoke_test: bool = False, screenshot_dir: Path | None = None) -> int:
    """Open the window; with `smoke_test` paint every page offscreen in both themes and return 0."""
    if smoke_test:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    check_display()
    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    app.setApplicationName("seirenes")
    app.setApplicationDisplayName("Seirênes")
    app.setDesktopFileName("io.github.seirenes.Seirenes")
    app.setWindowIcon(app_icon())
    settings, trouble = Settings(), ""
    try:
        settings = Settings.load()
    except UserError as error:
        trouble = str(error)
    apply_theme(app, settings.theme)
    if smoke_test:
        return _paint_all(app, settings, screenshot_dir)
    window = MainWindow(settings)
    _catch_faults(window)
    startup = _Startup(app, window, settings)
    window.painted.connect(startup.begin)
    window.show()
    if trouble:
        window.show_error("The settings were not read", trouble)
    code = app.exec()
    if startup.error is not None:
        raise startup.error
    return code


PRELOADED = (
    "seirenes_app.services.diagnostics",
    "seirenes_app.services.estimate",
    "seirenes_app.services.run_repository",
    "seirenes_app.store.workspace",
)
"""What the first page needs of modules without Qt, imported in another thread while the frame is in view."""
PRELOADED_LATER = (
    "seirenes_app.services.hint_authoring.results",
    "seirenes_app.services.models.check",
    "seirenes_app.services.models.convert",
    "seirenes_app.services.models.downloads",
    "seirenes_app.services.models.inventory",
    "seirenes_app.services.redteam.preflight",
    "seirenes_app.services.robustness.result_source",
    "seirenes_app.services.evaluations",
    "seirenes_app.services.run_queue",
    "seirenes_app.services.traces",
)
"""The same for the other pages."""
CHARTS, CHARTS_AFTER_MS = ("seirenes_app.services.charts.drawing",), 1500
"""matplotlib takes a second to import: in another thread too, once the first page stands."""


class _Startup:
    """Fills the window once its empty frame is in view."""

    def __init__(self, app: QApplication, window: MainWindow, settings: Settings) -> None:
        self._app, self._window, self._settings = app, window, settings
        self._tasks = TaskRunner(app, threads=1)
        self.error: UserError | None = None
        """What kept the window from opening; it was shown."""

    def begin(self) -> None:
        self._tasks.run(lambda: _import_all(PRELOADED), self._fill)

    def _fill(self, _none: None) -> None:
        from seirenes_app.services.diagnostics import start_log

        start_log()
        try:
            moved = check_workspace()
        except UserError as error:
            self.error = error
            self._app.exit(1)
            return
        fill_window(self._app, self._window, self._settings)
        if moved:
            self._window.show_error("The workspace is new", moved)
        self._tasks.run(lambda: _import_all(PRELOADED_LATER), lambda _none: self._window.continue_queue())
        QTimer.singleShot(CHARTS_AFTER_MS, lambda: self._tasks.run(lambda: _import_all(CHARTS)))


def _import_all(names: Sequence[str]) -> None:
    for name in names:
        importlib.import_module(name)


def check_workspace() -> str:
    """See that the workspace opens; a damaged one is set aside after a yes. Returns what was done, "" for nothing.

    What keeps the window from opening is shown first, for who started it from a menu, and then raised as a `UserError`.
    """
    from seirenes_app.store.workspace import Workspace, WorkspaceDamaged, set_aside, workspace_path

    try:
        Workspace().close()
    except WorkspaceDamaged as error:
        question = ConfirmDialog(
            "The workspace is damaged",
            f"{workspace_path()} cannot be read. It holds drafts, pins and notes; runs are not in it. It can be set "
            "aside under another name, and a new one made in its place.", "Set it aside",
        )  # fmt: skip
        if not question.exec():
            raise error
        return f"The damaged one is kept as {set_aside(workspace_path())}."
    except UserError as error:
        MessageDialog("The window cannot open", str(error)).exec()
        raise
    return ""


def _catch_faults(window: MainWindow) -> None:
    """Show and log what nobody caught, in the window's thread and in others."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        from seirenes_app.services.diagnostics import record_error

        text = str(error) if isinstance(error, UserError) else record_error(kind, error, trace)
        # Queued: out of the slot that failed first, and into the window's thread from any other.
        window.faulted.emit(text, isinstance(error, UserError))

    def thread_hook(caught: threading.ExceptHookArgs) -> None:
        if caught.exc_value is not None:
            hook(caught.exc_type, caught.exc_value, caught.exc_traceback)

    sys.excepthook = hook
    threading.excepthook = thread_hook


DRAWING_S = 10.0
"""How long a picture waits at most for the charts in it."""


def _paint_all(app: QApplication, settings: Settings, folder: Path | None) -> int:
    from seirenes_app.ui.charts.canvas import ChartCanvas

    window = build_window(app, settings)
    _catch_faults(window)
    window.show()
    sizes = ((1280, 800), (1920, 1080))
    painted = 0
    for theme in ("light", "dark"):
        apply_theme(app, theme)
        for page in PAGES:
            window.show_page(page.key)
            for width, height in sizes:
                window.resize(width, height)
                for _ in range(8):
                    app.processEvents()
                    # There is no event loop here: let background tasks end.
                    time.sleep(0.05)
                until = time.monotonic() + DRAWING_S
                while any(c.drawing for c in window.findChildren(ChartCanvas)) and time.monotonic() < until:
                    app.processEvents()
                    time.sleep(0.01)
                for _ in range(4):
                    app.processEvents()
                picture = window.grab()
                painted += not picture.isNull()
                if folder is not None:
                    folder.mkdir(parents=True, exist_ok=True)
                    picture.save(str(folder / f"{page.key}-{theme}-{width}x{height}.png"))
    window.shut_down(remember=False)
    expected = 2 * len(PAGES) * len(sizes)
    print(f"painted {painted} of {expected} pictures of {len(PAGES)} pages")
    return 0 if painted == expected else 1
