"""Facts about runs on a cluster in the window: submitted, followed, stopped and fetched by clicks and keys."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from PySide6.QtCore import Qt

from seirenes_app.services import cluster_runs
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.controllers.trainer_control import TrainerControl
from seirenes_app.ui.models.runs_model import RunColumn, RunsModel
from seirenes_app.ui.pages.home.page import HomePage
from seirenes_app.ui.pages.traces.page import TracesPage
from seirenes_app.ui.pages.train.cluster_dialogs import SubmitDialog
from seirenes_app.ui.pages.train.page import TrainPage
from seirenes_app.ui.pages.train.run_view import NOT_FETCHED, STOP_FIRST
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.widgets.fetch_dialog import FetchDialog
from training.runs.config import RunConfig
from training.runs.paths import RunPaths
from training.runs.processes import kill_tree, read_run, running_process


@pytest.fixture
def root(tmp_path):
    return tmp_path / "RUNS"


@pytest.fixture
def page(qtbot, root, jobs):
    tasks = TaskRunner()
    made = TrainPage(TrainerControl(root), RunRepository(root), ModelInventory(), tasks=tasks)
    qtbot.addWidget(made)
    made.resize(1200, 800)
    made.show()
    made.activateWindow()
    made.activate()
    yield made
    made.deactivate()
    made.close_down()
    tasks.close()
    for folder in root.iterdir() if root.is_dir() else ():
        if (held := running_process(RunPaths(folder))) is not None:
            kill_tree(held.pid)


def click(qtbot, button):
    qtbot.waitUntil(lambda: button.isEnabled() and button.isVisible())
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def dialog_of(qtbot, page, kind):
    qtbot.waitUntil(lambda: any(d.isVisible() for d in page.findChildren(kind)))
    return next(d for d in page.findChildren(kind) if d.isVisible())


def test_a_run_is_submitted_followed_and_fetched(qtbot, page, lab, tmp_path, root):
    qtbot.keyClick(page.new, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    dialog = dialog_of(qtbot, page, SubmitDialog)
    click(qtbot, dialog.go)
    qtbot.waitUntil(lambda: page.run_id != "")
    head = page.view.head
    qtbot.waitUntil(lambda: "on lab" in head.detail.text())
    qtbot.waitUntil(lambda: head.badge.accessibleName() == "Finished")
    (paths,) = (RunPaths(folder) for folder in root.iterdir())
    (remote,) = (RunPaths(folder) for folder in (tmp_path / "remote").iterdir())
    assert paths.events.read_bytes() == remote.events.read_bytes()
    weights = remote.checkpoints / "step_000001" / "w.bin"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    click(qtbot, head.fetch)
    dialog = dialog_of(qtbot, page, FetchDialog)
    qtbot.waitUntil(lambda: dialog.kinds == ("checkpoints",))
    assert "none yet" in dialog.boxes["rollouts"].text()
    click(qtbot, dialog.go)
    qtbot.waitUntil(lambda: "hashes agree" in dialog.status.text.text())
    assert (paths.checkpoints / "step_000001" / "w.bin").read_bytes() == b"weights"
    assert read_run(paths).cluster == "lab"


def test_a_run_that_goes_on_there_is_stopped_and_not_discarded(qtbot, page, lab, jobs, root):
    jobs.environment.update(EVENTS="5000", WAIT="0.1")
    paths = cluster_runs.submit(lab, RunConfig(), runs_root=root)
    page.open_run(paths)
    head = page.view.head
    qtbot.waitUntil(lambda: head.badge.accessibleName() == "Not followed")
    assert not head.pause.isVisible()
    assert "is not followed" in page.view.banner.title.text()
    assert "have not been read here since" in page.view.banner.text.text()
    click(qtbot, page.view.banner.buttons["Follow again"])
    qtbot.waitUntil(lambda: head.badge.accessibleName() == "Running")
    discard = page.actions_["discard"]
    qtbot.waitUntil(lambda: not discard.isEnabled())
    assert discard.toolTip() == STOP_FIRST
    assert not page.actions_["export-model"].isEnabled()
    click(qtbot, head.stop)
    qtbot.waitUntil(lambda: head.badge.accessibleName() == "Stopped")
    qtbot.waitUntil(discard.isEnabled)


def test_home_offers_to_follow_a_run_again(qtbot, lab, jobs, root):
    jobs.environment["WAIT"] = "5"
    paths = cluster_runs.submit(lab, RunConfig(), runs_root=root)
    tasks = TaskRunner()
    runs = RunsModel(RunRepository(root), None, tasks)
    home = HomePage(runs, tasks, {})
    qtbot.addWidget(home)
    home.resize(1200, 800)
    home.show()
    home.activate()
    qtbot.waitUntil(lambda: paths in home.banners)
    assert "is not followed" in home.banners[paths].title.text()
    assert runs.index(0, RunColumn.STATUS).data() == "Not followed"
    home.table.selectRow(0)
    resume = home.table_actions["resume"]
    assert (resume.text(), resume.isEnabled()) == ("Follow again", True)
    with qtbot.waitSignal(home.resumeRequested) as blocker:
        qtbot.mouseClick(home.banners[paths].buttons["Follow again"], Qt.MouseButton.LeftButton)
    assert blocker.args == [paths]
    home.deactivate()
    tasks.close()


def test_export_waits_for_a_fetched_checkpoint(qtbot, page, lab, root):
    paths = cluster_runs.submit(lab, RunConfig(), runs_root=root)
    paths.events.write_text(
        '{"v": 1, "seq": 1, "t": 1.0, "event": "launch"}\n'
        '{"v": 1, "seq": 2, "t": 2.0, "event": "checkpoint", "step": 1, "path": "checkpoints/step_000001"}\n'
        '{"v": 1, "seq": 3, "t": 3.0, "event": "done", "outcome": "finished"}\n'
    )
    page.open_run(paths)
    export = page.actions_["export-model"]
    assert not export.isEnabled()
    assert export.toolTip() == NOT_FETCHED
    (paths.checkpoints / "step_000001").mkdir()
    qtbot.waitUntil(export.isEnabled)


def test_without_a_cluster_the_dialog_leads_to_one(qtbot, page):
    dialog = page.open_submit(RunConfig())
    qtbot.waitUntil(lambda: "No cluster yet" in dialog.status.text.text())
    assert not dialog.go.isEnabled()
    with qtbot.waitSignal(dialog.clustersRequested):
        click(qtbot, dialog.manage)


def test_a_refused_submission_is_said_in_the_dialog_and_leaves_nothing(qtbot, page, lab, jobs, root):
    jobs.down = True
    dialog = page.open_submit(RunConfig())
    click(qtbot, dialog.go)
    qtbot.waitUntil(lambda: "503" in dialog.status.text.text())
    assert not root.exists() or not list(root.iterdir())
    assert page.run_id == ""


def test_rollouts_that_were_not_fetched_are_offered_on_traces(qtbot, lab, jobs, root):
    paths = cluster_runs.submit(lab, RunConfig(), runs_root=root)
    assert cluster_runs.follow(paths, poll_s=0.1)
    tasks = TaskRunner()
    runs = RunsModel(RunRepository(root), None, tasks)
    made = TracesPage(runs)
    qtbot.addWidget(made)
    made.resize(1200, 800)
    made.show()
    made.open_run(paths)
    qtbot.waitUntil(lambda: made.views.empty is not None and not made.views.has_content)
    assert made.views.empty.accessibleName().startswith("Not fetched yet")
    made.open_fetch()
    dialog = dialog_of(qtbot, made, FetchDialog)
    qtbot.waitUntil(lambda: "none yet" in dialog.boxes["rollouts"].text())
    click(qtbot, dialog.close_button)
    made.close_down()
    tasks.close()
