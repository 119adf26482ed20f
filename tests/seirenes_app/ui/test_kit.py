"""Facts about the shared widgets: banner, picker, progress, table models, buttons."""

from array import array
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLineEdit, QPushButton, QWidget

from seirenes_app.ui.actions import ActionSpec
from seirenes_app.ui.widgets.banner import Banner, BannerAction, BannerKind
from seirenes_app.ui.widgets.boxes import FlowLayout, column, scroll_area
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.labels import IconLine
from seirenes_app.ui.widgets.picker_dialog import PickerDialog
from seirenes_app.ui.widgets.progress import Progress, StatusLine
from seirenes_app.ui.widgets.table_model import PAGE, ROW_ROLE, Column, PagedTableModel, TableModel
from training.runs.paths import RunPaths
from training.runs.status import ProcessWarning, RunState, RunStatus


def press_space(qtbot):
    qtbot.keyClick(QApplication.focusWidget() or QApplication.activeWindow(), Qt.Key.Key_Space)


@pytest.fixture
def bar(qtbot):
    """Pause, Continue, Stop and Discard in a row, as on the Train page."""
    box = QWidget()
    row = QHBoxLayout(box)
    box.pressed = []
    box.pause = make_button("Pause", clicked=lambda: (box.pressed.append("pause"), box.pause.hide(), box.go_on.show()))
    box.go_on = make_button("Continue", clicked=lambda: box.pressed.append("continue"))
    box.stop = make_button("Stop and save", destructive=True, clicked=lambda: box.pressed.append("stop"))
    box.discard = make_button("Discard", kind="danger", clicked=lambda: box.pressed.append("discard"))
    for button in (box.pause, box.go_on, box.stop, box.discard):
        row.addWidget(button)
    box.go_on.hide()
    qtbot.addWidget(box)
    box.show()
    box.activateWindow()
    qtbot.waitUntil(box.isActiveWindow)
    return box


def test_space_on_pause_and_space_again_does_not_stop_the_run(qtbot, bar):
    bar.pause.setFocus()
    press_space(qtbot)
    qtbot.wait(10)
    assert QApplication.focusWidget() is bar.go_on
    press_space(qtbot)
    assert bar.pressed == ["pause", "continue"]


def test_the_keyboard_never_comes_to_a_destructive_button_by_itself(qtbot, bar):
    bar.pause.setFocus()
    bar.pause.setEnabled(False)
    qtbot.wait(10)
    assert QApplication.focusWidget() is bar
    press_space(qtbot)
    assert bar.pressed == []
    qtbot.keyClick(bar, Qt.Key.Key_Tab)
    assert QApplication.focusWidget() is bar.stop, "Tab still reaches it"


def test_a_button_that_comes_back_at_once_keeps_the_keyboard(qtbot, bar):
    bar.pause.setFocus()
    bar.pause.setEnabled(False)
    bar.pause.setEnabled(True)
    qtbot.wait(10)
    assert QApplication.focusWidget() is bar.pause


def test_a_hidden_button_leaves_the_keyboard_where_it_was_moved_meanwhile(qtbot, bar):
    edit = QLineEdit(bar)
    edit.show()
    bar.pause.setFocus()
    bar.pause.hide()
    edit.setFocus()
    qtbot.wait(10)
    assert QApplication.focusWidget() is edit


def test_the_same_banner_again_keeps_its_buttons_and_calls_the_new_handler(qtbot):
    banner, done = Banner(), []
    qtbot.addWidget(banner)
    seen = []
    for n in (1, 2):
        action = BannerAction("Resume", lambda n=n: done.append(n), primary=True)
        banner.show_message(BannerKind.ERROR, "The trainer exited unexpectedly", "x" * 3000, actions=(action,))
        seen.append(banner.buttons["Resume"])
    assert seen[0] is seen[1]
    seen[1].click()
    assert done == [2]
    banner.show_message(BannerKind.SUCCESS, "The worker was restarted.", log=["y" * 900])
    assert not banner.buttons
    assert banner.minimumSizeHint().width() < 600


def test_a_banner_is_put_away_and_says_so(qtbot):
    banner = Banner()
    qtbot.addWidget(banner)
    banner.show_message(BannerKind.INFO, "Done", dismissable=True)
    with qtbot.waitSignal(banner.dismissed):
        banner.close_button.click()
    assert banner.isHidden()


def test_progress_shows_figures_and_cancels(qtbot):
    progress = Progress()
    qtbot.addWidget(progress)
    assert progress.isHidden()
    progress.render_progress("Solving", 5, 10, "63 tokens/s")
    assert (progress.bar.value(), progress.bar.maximum()) == (5000, 10_000)
    with qtbot.waitSignal(progress.cancelRequested):
        progress.cancel.click()
    progress.render_progress("Solving", 5, 10, cancelling=True)
    assert not progress.cancel.isEnabled()
    progress.render_progress("Loading")
    assert progress.bar.maximum() == 0


WORDS = ("apple", "pear", "plum")


@pytest.fixture
def picker(qtbot):
    made = PickerDialog("Fruit", "Take", str.title, preview=str.upper, search=str)
    qtbot.addWidget(made)
    made.render_items(WORDS)
    made.show()
    return made


def test_a_picker_is_searched_and_walked_from_the_search_field(qtbot, picker):
    qtbot.keyClicks(picker.search, "p l")
    assert list(picker.model.rows) == ["apple", "plum"]
    qtbot.keyClick(picker.search, Qt.Key.Key_Down)
    assert picker.preview.text() == "PLUM"
    with qtbot.waitSignal(picker.chosen) as blocker:
        qtbot.keyClick(picker.search, Qt.Key.Key_Return)
    assert blocker.args == ["plum"]
    assert not picker.isVisible()


def test_a_picker_that_finds_nothing_says_so_and_chooses_nothing(qtbot, picker):
    deleted = []
    picker.add_tool(ActionSpec("fruit.delete", "Delete…", "Del"), deleted.append)
    picker.render_items(WORDS, current="pear")
    assert picker.current == "pear"
    picker.list.setFocus()
    qtbot.waitUntil(picker.list.hasFocus)
    qtbot.keyClick(picker.list, Qt.Key.Key_Delete)
    assert deleted == ["pear"]
    qtbot.keyClicks(picker.search, "zz")
    assert "Nothing matches" in picker.preview.text()
    assert not picker.choose.isEnabled()
    picker.render_items(())
    assert picker.preview.text() == "Nothing is here yet."


COLUMNS = (
    Column("Id", lambda row: str(row["id"]), right=True, sort="id"),
    Column("Name", lambda row: row["name"], row_tip=lambda row: row["name"] * 2),
)


def test_a_table_model_is_read_by_columns_that_are_data(qtbot):
    model = TableModel(COLUMNS)
    model.render_rows([{"id": 1, "name": "a"}])
    model.render_sort("id", descending=True)
    index = model.index(0, 1)
    assert (index.data(), index.data(Qt.ItemDataRole.ToolTipRole)) == ("a", "aa")
    assert index.data(ROW_ROLE) == {"id": 1, "name": "a"}
    assert model.headerData(0, Qt.Orientation.Horizontal) == "Id ↓"
    with qtbot.assertNotEmitted(model.modelReset):
        model.render_rows([{"id": 1, "name": "b"}], key=lambda row: row["id"])
    assert index.data() == "b"


def test_a_paged_model_asks_for_a_page_once_and_shows_it_when_it_comes(qtbot):
    model, wanted = PagedTableModel(COLUMNS, lambda row: row["id"]), []
    model.rowsWanted.connect(wanted.append)
    model.render_ids(array("q", range(3 * PAGE)))
    assert model.index(PAGE, 1).data() == "…"
    assert model.index(PAGE + 1, 1).data() == "…"
    qtbot.waitUntil(lambda: len(wanted) == 1)
    model.take_rows([{"id": i, "name": f"n{i}"} for i in wanted[0]], wanted[0])
    assert model.index(PAGE, 1).data() == f"n{PAGE}"
    assert model.rowCount() == 3 * PAGE


def test_the_status_line_of_a_run_that_is_stuck_says_what_it_waits_for(qtbot, tmp_path):
    line = StatusLine()
    qtbot.addWidget(line)
    warning = ProcessWarning(
        2, 0.0, "stalled_stage", "No progress for 61 s while the file is locked.", "Close it.", True
    )
    state = RunState(status=RunStatus.RUNNING, steps=9, stage="r1_clean")
    line.render_run(RunPaths(tmp_path / "r"), replace(state, warnings=(warning,), raised=("stalled_stage",)))
    assert "no progress while solving clean questions" in line.button.text()
    assert line.button.toolTip() == "No progress for 61 s while the file is locked. Close it."
    line.render_run(RunPaths(tmp_path / "r"), state)
    assert "no progress" not in line.button.text()
    assert line.button.toolTip() == "Open this run"


def test_a_scroll_area_ends_where_its_wrapped_texts_end(qtbot):
    holder = QWidget()
    lines = [IconLine() for _ in range(8)]
    column(*lines, None, parent=holder)
    for line in lines:
        line.render_line("info", "muted", "A sentence that would take several lines in a narrow column, and here one.")
    area = scroll_area(holder)
    qtbot.addWidget(area)
    area.resize(900, 400)
    area.show()
    assert area.verticalScrollBar().maximum() == 0
    area.resize(160, 400)
    qtbot.waitUntil(lambda: area.verticalScrollBar().maximum() > 0)


def test_even_items_of_a_flow_stand_below_each_other(qtbot):
    holder = QWidget()
    flow = FlowLayout(holder, even=True)
    buttons = [QPushButton(text) for text in ("a", "hidden", "a long one", "b", "c")]
    for button in buttons:
        flow.addWidget(button)
    buttons[1].hide()
    qtbot.addWidget(holder)
    holder.resize(2 * buttons[2].sizeHint().width() + 10, 200)
    holder.show()
    shown = [button for button in buttons if button.isVisible()]
    assert len({button.width() for button in shown}) == 1
    assert [button.x() for button in shown] == [shown[0].x(), shown[1].x()] * 2
