"""The composition root: makes the application, its collaborators, its pages and its window. Nothing else makes them."""

from __future__ import annotations

import ctypes.util
import os
import sys
import threading
from pathlib import Path
from types import TracebackType

from PySide6.QtWidgets import QApplication

from seirenes_app.services.diagnostics import record_error, start_log
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.store.crafts import CraftStore
from seirenes_app.store.resources import recorded_run
from seirenes_app.store.settings import Settings
from seirenes_app.store.workspace import Workspace, WorkspaceDamaged, set_aside, workspace_path
from seirenes_app.ui.controllers.active_runs import ActiveRuns
from seirenes_app.ui.controllers.background import Background
from seirenes_app.ui.controllers.gc_tuning import settle_heap
from seirenes_app.ui.controllers.inference_service import InferenceService
from seirenes_app.ui.controllers.trainer_control import TrainerControl
from seirenes_app.ui.dependencies import Pages, Services
from seirenes_app.ui.icons import app_icon
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.craft.page import CraftPage
from seirenes_app.ui.pages.home.page import HomePage
from seirenes_app.ui.pages.robustness.page import RobustnessPage
from seirenes_app.ui.pages.traces.page import TracesPage
from seirenes_app.ui.pages.train.page import TrainPage
from seirenes_app.ui.theme import apply_theme
from seirenes_app.ui.widgets.dialogs import ConfirmDialog, MessageDialog
from seirenes_app.ui.window import MainWindow
from training.errors import UserError
from training.runs.paths import RunPaths


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
    """The window with everything it works with."""
    library = RunRepository()
    background = Background(app)
    workspace = Workspace()
    runs = RunsModel(library, workspace, background, app)
    control = TrainerControl(library.runs_root, detach=settings.detach, parent=app)
    active = ActiveRuns(runs, control, app)
    solver = InferenceService(app)
    folder = RunPaths(recorded_run())
    recorded = folder if folder.rollouts.is_file() else None
    pages = Pages(
        home=HomePage(runs, background, library.presets(), workspace, recorded),
        craft=CraftPage(CraftStore(workspace), background, solver),
        train=TrainPage(control, library, settings, background=background),
        traces=TracesPage(runs, recorded),
        robustness=RobustnessPage(runs, recorded),
    )
    services = Services(control, active, runs, library, workspace, background, solver, settings)
    return MainWindow(pages, services)


def run_app(*, smoke_test: bool = False, screenshot_dir: Path | None = None) -> int:
    """Open the window; with `smoke_test` paint every page offscreen in both themes and return 0."""
    if smoke_test:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    check_display()
    start_log()
    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    app.setApplicationName("seirenes")
    app.setApplicationDisplayName("Seirênes")
    app.setDesktopFileName("io.github.seirenes.Seirenes")
    app.setWindowIcon(app_icon())
    settings, trouble = _load_settings()
    apply_theme(app, settings.theme)
    moved = "" if smoke_test else open_way()
    window = build_window(app, settings)
    settle_heap()
    _catch_faults(window)
    window.show()
    if trouble:
        window.tell("The settings were not read", trouble)
    if moved:
        window.tell("The workspace is new", moved)
    if smoke_test:
        code = _paint_all(app, window, screenshot_dir)
        window.shut_down(remember=False)
        return code
    return app.exec()


def open_way() -> str:
    """See that the workspace opens; a damaged one is set aside after a yes. Returns what was done, "" for nothing.

    What keeps the window from opening is shown first, for who started it from a menu, and then raised as a `UserError`.
    """
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


def _load_settings() -> tuple[Settings, str]:
    try:
        return Settings.load(), ""
    except UserError as error:
        return Settings(), str(error)


def _catch_faults(window: MainWindow) -> None:
    """Show and log what nobody caught, in the window's thread and in others; nothing dies silently."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        text = str(error) if isinstance(error, UserError) else record_error(kind, error, trace)
        # Queued: out of the slot that failed first, and into the window's thread from any other.
        window.faulted.emit(text, isinstance(error, UserError))

    def thread_hook(caught: threading.ExceptHookArgs) -> None:
        if caught.exc_value is not None:
            hook(caught.exc_type, caught.exc_value, caught.exc_traceback)

    sys.excepthook = hook
    threading.excepthook = thread_hook


def _paint_all(app: QApplication, window: MainWindow, folder: Path | None) -> int:
    sizes = ((1280, 800), (1920, 1080))
    painted = 0
    for theme in ("light", "dark"):
        apply_theme(app, theme)
        for index, page in enumerate(window.pages):
            window.show_page(index)
            for width, height in sizes:
                window.resize(width, height)
                for _ in range(8):
                    app.processEvents()
                    window.settle()
                picture = window.grab()
                painted += not picture.isNull()
                if folder is not None:
                    folder.mkdir(parents=True, exist_ok=True)
                    picture.save(str(folder / f"{page.key}-{theme}-{width}x{height}.png"))
    expected = 2 * len(window.pages) * len(sizes)
    print(f"painted {painted} of {expected} pictures of {len(window.pages)} pages")
    return 0 if painted == expected else 1
