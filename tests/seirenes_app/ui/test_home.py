"""Facts about Home: real run directories, a real workspace, the page alone."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QLabel, QLineEdit

from seirenes_app.services.machine import Machine
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.services.run_summary import Change
from seirenes_app.store.workspace import Workspace
from seirenes_app.ui.models.runs_model import CHANGE_ROLE, STYLE_ROLE, RunColumn, RunsModel
from seirenes_app.ui.pages.home.page import HomePage
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import apply_theme
from training.runs.config import RunConfig
from training.runs.events import EventKind, EventLog
from training.runs.paths import RunPaths, new_run


def write_run(root, name, done="finished", clean=(0.9, 0.88), hinted=(0.4, 0.8)):
    paths = new_run(root, RunConfig(), name)
    writer = EventLog(paths.events)
    writer.write(EventKind.LAUNCH, steps=60, mode="seirenes", model="starter", resumed_from=None)
    for step, (c, h) in enumerate(zip(clean, hinted, strict=True)):
        writer.write(EventKind.EVAL, step=step, metrics={"clean": {"accuracy": c}, "hinted": {"accuracy": h}})
    if done:
        writer.write(EventKind.DONE, outcome=done, message="", error=None)
    writer.close()
    return paths


@pytest.fixture
def home(qtbot, qapp, tmp_path):
    apply_theme(qapp, "light")
    background = TaskRunner()
    workspace = Workspace(tmp_path / "workspace.db")
    runs = RunsModel(RunRepository(tmp_path / "runs"), workspace, background)
    page = HomePage(runs, background, {}, workspace)
    qtbot.addWidget(page)
    page.resize(1100, 800)
    page.show()
    page.runs, page.workspace, page.root = runs, workspace, tmp_path / "runs"
    yield page
    page.deactivate()
    background.close()
    workspace.close()


def look(home, qtbot):
    with qtbot.waitSignal(home.runs.loaded):
        home.activate()


def choose(home, qtbot, row):
    """Select a row with the keyboard in the table, where its keys work."""
    home.activateWindow()
    home.table.setFocus()
    qtbot.waitUntil(home.table.hasFocus)
    home.table.selectRow(row)


def cell(home, row, column, role=Qt.ItemDataRole.DisplayRole):
    return home.runs.index(row, column).data(role)


def test_an_empty_laboratory_invites(home, qtbot):
    look(home, qtbot)
    assert home.empty.isVisible()
    assert not home.table.isVisible()
    with qtbot.waitSignal(home.demoRequested):
        qtbot.mouseClick(home.start, Qt.MouseButton.LeftButton)


def test_the_demo_says_its_minutes(home, qtbot):
    look(home, qtbot)
    qtbot.waitUntil(lambda: "on this machine" in home.estimate.text())
    assert " min" in home.estimate.text()


def test_a_run_shows_its_verdict_in_words_and_figures(home, qtbot):
    write_run(home.root, "first")
    look(home, qtbot)
    assert home.table.isVisible()
    assert cell(home, 0, RunColumn.RUN) == "first"
    assert cell(home, 0, RunColumn.STATUS) == "Finished"
    assert cell(home, 0, RunColumn.STATUS, STYLE_ROLE).icon == "check-circle"
    assert cell(home, 0, RunColumn.CLEAN) == "90% → 88%"
    assert cell(home, 0, RunColumn.HINTED, CHANGE_ROLE) == Change(0.4, 0.8)
    assert "hinted" in cell(home, 0, RunColumn.RUN, Qt.ItemDataRole.ToolTipRole)
    home.grab()


def test_a_pinned_run_stays_on_top_and_keeps_its_note(home, qtbot):
    write_run(home.root, "old")
    write_run(home.root, "new")
    look(home, qtbot)
    choose(home, qtbot, 1)
    run_id = home.table.selected().paths.run_id
    qtbot.keyClick(home.table, Qt.Key.Key_P)
    assert cell(home, 0, RunColumn.RUN) == run_id
    assert home.table.selected().paths.run_id == run_id
    assert home.pin_button.text() == "Unpin"
    home.runs.set_mark(run_id, note="the good one")
    assert "the good one" in cell(home, 0, RunColumn.RUN, Qt.ItemDataRole.ToolTipRole)
    assert home.workspace.marks()[run_id].pinned


def test_a_run_is_renamed_in_its_cell_and_its_id_takes_the_name_away(home, qtbot):
    write_run(home.root, "first")
    look(home, qtbot)
    for typed, shown in (("my best", "my best"), ("first", "first")):
        choose(home, qtbot, 0)
        qtbot.keyClick(home.table, Qt.Key.Key_F2)
        editor = home.table.viewport().findChild(QLineEdit)
        editor.selectAll()
        qtbot.keyClicks(editor, typed)
        qtbot.keyClick(editor, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda t=shown: cell(home, 0, RunColumn.RUN) == t)
        qtbot.waitUntil(lambda: home.table.viewport().findChild(QLineEdit) is None)
    assert home.workspace.marks()["first"].name == ""
    assert (home.root / "first").is_dir()


def test_tags_and_groups_are_shown_and_filtered_by(home, qtbot):
    for name in ("one", "two", "three"):
        write_run(home.root, name)
    look(home, qtbot)
    home.runs.set_mark("one", tags=["paper", "lora"], group="sweep")
    home.runs.set_mark("two", group="sweep", name="baseline")
    for text, found in (("sweep", {"one", "two"}), ("LORA", {"one"}), ("base", {"two"}), ("none", set())):
        home.filter.setText(text)
        assert {run.paths.run_id for run in home.runs.rows} == found
        assert len(home.runs.summaries) == 3
    home.filter.clear()
    assert home.runs.rowCount() == 3
    assert "Tags: paper, lora" in cell(
        home, home.runs.row_of(RunPaths(home.root / "one")), 0, Qt.ItemDataRole.ToolTipRole
    )
    assert home.runs.known_marks() == (["lora", "paper"], ["sweep"])
    home.grab()


def test_keys_in_the_table_ask_for_what_they_say(home, qtbot):
    paths = write_run(home.root, "first", done=None)
    look(home, qtbot)
    choose(home, qtbot, 0)
    for key, signal in (
        (Qt.Key.Key_Return, home.runRequested), (Qt.Key.Key_R, home.resumeRequested), (Qt.Key.Key_N, home.noteRequested),
        (Qt.Key.Key_Delete, home.discardRequested),
    ):  # fmt: skip
        with qtbot.waitSignal(signal) as blocker:
            qtbot.keyClick(home.table, key)
        assert getattr(blocker.args[0], "paths", blocker.args[0]) == paths


def test_a_dead_run_is_told_with_its_log_and_can_be_resumed_or_hidden(home, qtbot):
    paths = write_run(home.root, "lost", done=None)
    paths.log.write_text("step 1\nTraceback (most recent call last):\nValueError: <b>x</b>\n")
    look(home, qtbot)
    (card,) = home.banners.values()
    assert "stopped on an error" in card.text.text()
    labels = [label for label in card.findChildren(QLabel) if "<b>x</b>" in label.text()]
    assert labels[0].textFormat() == Qt.TextFormat.PlainText
    with qtbot.waitSignal(home.resumeRequested) as blocker:
        qtbot.mouseClick(card.buttons["Resume"], Qt.MouseButton.LeftButton)
    assert blocker.args == [paths]
    card.close_button.click()
    assert not home.banners
    with qtbot.waitSignal(home.runs.loaded):
        home.runs.refresh()
    assert not home.banners


def test_a_long_log_line_does_not_widen_the_page(home, qtbot):
    paths = write_run(home.root, "lost", done=None)
    paths.log.write_text("x" * 5000)
    look(home, qtbot)
    qtbot.waitUntil(lambda: bool(home.banners))
    assert next(iter(home.banners.values())).minimumSizeHint().width() < 700


def test_a_broken_run_is_listed_and_harms_nothing(home, qtbot):
    write_run(home.root, "broken").config.write_text("{oops")
    write_run(home.root, "sound")
    look(home, qtbot)
    texts = {cell(home, row, RunColumn.RUN): cell(home, row, RunColumn.STATUS) for row in range(2)}
    assert texts == {"sound": "Finished", "broken": "Unreadable"}
    home.grab()


def test_recent_configs_are_offered(home, qtbot, tmp_path):
    config = tmp_path / "mine.toml"
    config.write_text("")
    look(home, qtbot)
    assert not home.recent.isVisible()
    home.workspace.remember_config(config)
    home.render()
    assert home.recent.isVisible()
    (action,) = home.make_recent_menu().actions()
    with qtbot.waitSignal(home.configRequested) as blocker:
        action.trigger()
    assert blocker.args == [config]


def test_the_machine_is_told_without_a_gpu_and_with_two(home):
    plain = Machine(
        "A processor", 2, 4, 24_000, 20_000, (), 80_000, "/runs", "Linux", "3.11.7", {"torch": "2.13.0+cpu"}
    )
    home.machine.render_machine(plain)
    texts = [label.text() for label in home.machine.findChildren(QLabel)]
    assert "2 cores" in texts
    assert "torch 2.13.0" in texts
    assert "runs use the processor" in texts
    home.machine.render_machine(Machine(**{**vars(plain), "gpus": ("NVIDIA A100, 40 GB",) * 2}))
    assert "2 × A100" in [label.text() for label in home.machine.findChildren(QLabel)]


def test_everything_that_can_be_pressed_has_a_name_and_a_place_in_the_tab_order(home, qtbot):
    write_run(home.root, "lost", done=None)
    look(home, qtbot)
    for button in home.findChildren(QAbstractButton):
        if button.isVisible():
            assert button.accessibleName(), button
            assert button.focusPolicy() & Qt.FocusPolicy.TabFocus, button.accessibleName()
    assert home.table.accessibleName()


def test_a_narrow_window_gives_up_the_picture_not_the_words(home, qtbot):
    write_run(home.root, "first")
    look(home, qtbot)
    home.resize(800, 640)
    assert home.table.isColumnHidden(RunColumn.STEPS)
    assert home.minimumSizeHint().width() <= 824
    home.resize(1300, 800)
    assert not home.table.isColumnHidden(RunColumn.STEPS)
