"""Facts about the recorded run on Home."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from helpers.rollout_runs import make_run
from PySide6.QtCore import Qt

from seirenes_app.services.run_repository import RunRepository
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.home.page import HomePage
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import apply_theme
from training.runs.events import EventKind, EventLog


@pytest.fixture
def make_home(qtbot, qapp, tmp_path):
    apply_theme(qapp, "light")
    background = TaskRunner()
    pages = []

    def make(recorded):
        runs = RunsModel(RunRepository(tmp_path / "none"), None, background)
        page = HomePage(runs, background, {}, recorded=recorded)
        qtbot.addWidget(page)
        page.resize(1104, 770)
        page.show()
        pages.append(page)
        with qtbot.waitSignal(runs.loaded):
            page.activate()
        return page

    yield make
    for page in pages:
        page.deactivate()
    background.close()


def record(tmp_path):
    paths = make_run(tmp_path, run_id="recorded", finished=False)
    writer = EventLog(paths.events)
    for step, (clean, hinted) in enumerate(((0.93, 0.44), (0.92, 0.72))):
        metrics = {"clean": {"accuracy": clean}, "hinted": {"accuracy": hinted}}
        writer.write(EventKind.EVAL, step=4 * step, metrics=metrics)
    writer.write(EventKind.DONE, outcome="finished", message="", error=None)
    writer.close()
    return paths


def test_the_recorded_run_is_a_way_to_begin(make_home, qtbot, tmp_path):
    paths = record(tmp_path)
    home = make_home(paths)
    assert home.open_recorded.isVisible()
    qtbot.waitUntil(lambda: "44% → 72%" in home.recorded_text.text())
    assert "93% → 92%" in home.recorded_text.text()
    with qtbot.waitSignal(home.recordedRequested) as blocker:
        qtbot.mouseClick(home.open_recorded, Qt.MouseButton.LeftButton)
    assert blocker.args == [paths]
    home.grab()


def test_what_does_not_ship_is_not_offered(make_home, tmp_path):
    assert not make_home(None).open_recorded.isVisible()


def test_a_recorded_run_whose_events_do_not_read_is_offered_without_figures(make_home, qtbot, tmp_path):
    paths = record(tmp_path)
    paths.events.write_text("{oops\n")
    home = make_home(paths)
    assert home.open_recorded.isVisible()
    assert "ships with the program" in home.recorded_text.text()


def test_the_first_screen_holds_everything(make_home, tmp_path):
    home = make_home(record(tmp_path))
    assert home.table.isVisible() or home.empty.isVisible()
    for part in (home.start, home.open_recorded, home.empty):
        assert part.mapTo(home, part.rect().bottomLeft()).y() <= 770
