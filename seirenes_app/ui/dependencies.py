"""What the window is given: its pages, and the services behind them. Values only; `app.build_window` fills them in."""

from __future__ import annotations

from dataclasses import dataclass

from seirenes_app.services.run_repository import RunRepository
from seirenes_app.store.settings import Settings
from seirenes_app.store.workspace import Workspace
from seirenes_app.ui.controllers.active_runs import ActiveRuns
from seirenes_app.ui.controllers.inference_service import InferenceService
from seirenes_app.ui.controllers.trainer_control import TrainerControl
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.craft.page import CraftPage
from seirenes_app.ui.pages.home.page import HomePage
from seirenes_app.ui.pages.robustness.page import RobustnessPage
from seirenes_app.ui.pages.traces.page import TracesPage
from seirenes_app.ui.pages.train.page import TrainPage
from seirenes_app.ui.tasks import TaskRunner


@dataclass(frozen=True)
class Pages:
    """The pages by name."""

    home: HomePage
    craft: CraftPage
    train: TrainPage
    traces: TracesPage
    robustness: RobustnessPage

    @property
    def in_order(self) -> tuple[Page, ...]:
        """As the rail has them."""
        return (self.home, self.craft, self.train, self.traces, self.robustness)


@dataclass(frozen=True)
class Services:
    """What pages and window share."""

    control: TrainerControl
    active: ActiveRuns
    runs: RunsModel
    library: RunRepository
    workspace: Workspace
    tasks: TaskRunner
    solver: InferenceService
    settings: Settings
