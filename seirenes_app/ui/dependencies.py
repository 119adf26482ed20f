"""What window and pages share, made once by `app`, and the pages made from it. Nothing is imported before its use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from seirenes_app.services.run_repository import RunRepository
    from seirenes_app.store.settings import Settings
    from seirenes_app.store.workspace import Workspace
    from seirenes_app.ui.controllers.active_runs import ActiveRuns
    from seirenes_app.ui.controllers.inference_service import InferenceService
    from seirenes_app.ui.controllers.trainer_control import TrainerControl
    from seirenes_app.ui.models.runs_model import RunsModel
    from seirenes_app.ui.pages.base import Page
    from seirenes_app.ui.tasks import TaskRunner
    from training.runs.paths import RunPaths


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
    settings: Settings
    recorded: RunPaths | None
    """The run that ships, where it is installed."""


def make_services(app: QApplication, settings: Settings) -> Services:
    """Everything that is not a widget."""
    from seirenes_app.services.run_repository import RunRepository
    from seirenes_app.store.resources import recorded_run
    from seirenes_app.store.workspace import Workspace
    from seirenes_app.ui.controllers.active_runs import ActiveRuns
    from seirenes_app.ui.controllers.inference_service import InferenceService
    from seirenes_app.ui.controllers.trainer_control import TrainerControl
    from seirenes_app.ui.models.runs_model import RunsModel
    from seirenes_app.ui.tasks import TaskRunner
    from training.runs.paths import RunPaths

    library, tasks, workspace = RunRepository(), TaskRunner(app), Workspace()
    runs = RunsModel(library, workspace, tasks, app)
    control = TrainerControl(library.runs_root, detach=settings.detach, parent=app)
    folder = RunPaths(recorded_run())
    recorded = folder if folder.rollouts.is_file() else None
    active = ActiveRuns(runs, control, app)
    return Services(control, active, runs, library, workspace, tasks, InferenceService(app), settings, recorded)


def make_page(key: str, services: Services) -> Page:
    """Build one page."""
    if key == "home":
        from seirenes_app.ui.pages.home.page import HomePage

        return HomePage(
            services.runs, services.tasks, services.library.presets(), services.workspace, services.recorded
        )
    if key == "craft":
        from seirenes_app.store.crafts import CraftStore
        from seirenes_app.ui.pages.craft.page import CraftPage

        return CraftPage(CraftStore(services.workspace), services.tasks, services.inference)
    if key == "train":
        from seirenes_app.ui.pages.train.page import TrainPage

        return TrainPage(services.control, services.library, tasks=services.tasks, name_of=services.runs.name_of)
    if key == "traces":
        from seirenes_app.ui.pages.traces.page import TracesPage

        return TracesPage(services.runs, services.recorded)
    from seirenes_app.ui.pages.robustness.page import RobustnessPage

    return RobustnessPage(services.runs, services.recorded)
