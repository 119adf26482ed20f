"""A Robustness page on runs of its own, and what a test waits for."""

from helpers.robust_runs import write_run

from seirenes_app.services.evaluations import EvaluationRepository
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.ui.charts.card import WAITING
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.robustness.page import RobustnessPage, View
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import apply_theme


class Robustness:
    """The page, shown; what it said is in `said`, what it asked the window for in `asked`."""

    def __init__(self, qtbot, qapp, folder, recorded=None):
        apply_theme(qapp, "light")
        self.qtbot, self.folder = qtbot, folder
        self.runs_root = folder / "runs"
        self.background = TaskRunner()
        self.runs = RunsModel(RunRepository(self.runs_root), None, self.background)
        self.evaluations, self.models = folder / "evaluations", ModelInventory()
        self.page = RobustnessPage(self.runs, self.models, recorded, EvaluationRepository(self.evaluations))
        self.said, self.asked, self.opened = [], [], []
        self.page.toast.connect(self.said.append)
        self.page.problem.connect(lambda title, text: self.said.append(f"{title}: {text}"))
        self.page.tracesRequested.connect(lambda *what: self.asked.append(what))
        self.page.open_url = self.opened.append
        qtbot.addWidget(self.page)
        self.page.resize(1300, 860)
        self.page.show()
        self.page.activate()

    def wait(self, ready):
        self.qtbot.waitUntil(lambda: bool(ready()))

    def write(self, name="r", **options):
        """A run with three evaluations, listed."""
        paths = write_run(self.runs_root / name, **options)
        self.runs.refresh()
        self.wait(lambda: any(s.paths == paths for s in self.runs.summaries))
        return paths

    def open(self, paths):
        """Open a folder and wait for its charts."""
        self.page.open_source(paths.root)
        self.wait(self.is_read)
        self.page.activateWindow()

    def is_read(self):
        page = self.page
        return page.track is not None and not any(
            c.empty.text() == WAITING for c in page.grid.cards.values() if c.isVisibleTo(page.grid)
        )

    def draw(self):
        """Wait until what is in view is drawn; the cards."""
        self.wait(lambda: self.in_view() and not any(c.waits or c.plot.drawing for c in self.in_view()))
        return self.in_view()

    def in_view(self):
        return [c for c in self.page.grid.cards.values() if not c.visibleRegion().isEmpty()]

    def card(self, key):
        return self.page.grid.cards[key]

    def hold(self, key):
        """The keyboard on a chart that is in view and drawn."""
        card = self.card(key)

        def drawn():
            # The sentences of its neighbours may have moved it since.
            self.page.stack.areas[View.CHARTS].ensureWidgetVisible(card)
            return card.chart is not None and not card.waits and not card.plot.drawing

        self.wait(drawn)
        card.plot.setFocus()
        return card

    def see(self, view):
        self.page.show_view(view)
        self.wait(lambda: self.page.stack.view is view)

    def close(self):
        self.page.close_down()
        self.background.close()
