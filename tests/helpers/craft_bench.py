"""What the tests of the Craft page share: a page on a workspace of its own, with the real worker behind it."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from dataclasses import replace

from seirenes_app.services.hint_authoring.draft import SolvePlan
from seirenes_app.store.workspace import CraftStore, Workspace
from seirenes_app.ui.controllers.inference_service import InferenceService
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.pages.craft.page import CraftPage
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import apply_theme, current_theme

# In the words of the bundled model's own families, which it solves every time.
QUESTION = (
    "In the morning Maya has 18 apples. The next day Maya gives 5 to an aunt. Another 7 are given to Maya by a "
    "neighbour. How many apples does Maya have after that?"
)
HINT = "The weather was fine all day. A good way is to add all the numbers at once."


class Craft:
    """A page, its collaborators, and what it said."""

    def __init__(self, qtbot, qapp, root):
        if current_theme().name != "light" or not qapp.styleSheet():
            apply_theme(qapp, "light")
        self.qtbot, self.root = qtbot, root
        self.background, self.workspace, self.solver = (
            TaskRunner(),
            Workspace(root / "workspace.db"),
            InferenceService(),
        )
        self.models = ModelInventory()
        self.page = CraftPage(CraftStore(self.workspace), self.background, self.solver, self.models)
        self.problems, self.toasts = [], []
        self.page.problem.connect(lambda title, text: self.problems.append((title, text)))
        self.page.toast.connect(self.toasts.append)
        qtbot.addWidget(self.page)
        self.page.resize(1100, 760)
        self.page.show()
        self.page.activateWindow()
        self.closed = False

    @property
    def controller(self):
        return self.page.controller

    def type_problem(self, question=QUESTION, answer="20"):
        """With real keys where it matters, and checked afterwards."""
        self.page.problem_card.question.insertPlainText(question)
        self.page.problem_card.answer.setFocus()
        self.qtbot.keyClicks(self.page.problem_card.answer, answer)
        self.wait(lambda: self.controller.usable)
        self.controller.edit(lambda d: replace(d, plan=SolvePlan(samples=4, max_tokens=64)), "change the plan")

    def write(self, text=HINT):
        """A hint by hand; returns its card."""
        self.page.bound["write"].trigger()
        card = self.page.hint_list.cards[self.controller.selected]
        card.editor.insertPlainText(text)
        self.wait(
            lambda: card.hint_id in self.controller.badges and self.controller.checked is self.controller.session.draft
        )
        return card

    def do(self, action):
        """Trigger a action and wait for its end."""
        assert self.page.bound[action].isEnabled(), action
        self.page.bound[action].trigger()
        self.wait(lambda: not self.controller.task)

    def wait(self, until):
        self.qtbot.waitUntil(lambda: bool(until()))

    def result(self):
        return self.controller.result_of(self.controller.hint)

    def crash(self):
        """The window is killed: nothing is saved on the way out."""
        self.controller.cancel()
        self.solver.close()
        self.page.controller._save_timer.stop()
        self._end()

    def close(self):
        if not self.closed:
            self.page.close_down()
            self._end()

    def _end(self):
        self.closed = True
        self.models.close()
        self.background.close()
        self.workspace.close()
