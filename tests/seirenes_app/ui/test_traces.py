"""Facts about the Traces page: real rollouts that the trainer's own writer wrote, read through the page alone."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import json
import shutil
from dataclasses import replace

import pytest
from helpers.rollout_runs import ROWS_A_STEP, make_row, make_run, make_step
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QAbstractButton, QLabel, QLineEdit, QWidget

from seirenes_app.services.run_repository import RunRepository
from seirenes_app.ui.models.rollouts_model import RolloutColumn
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.traces import filters
from seirenes_app.ui.pages.traces.dialogs import ExportDialog
from seirenes_app.ui.pages.traces.page import TracesPage
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import apply_theme
from training.errors import UserError
from training.rollouts.database import RolloutWriter
from training.rollouts.reader import RolloutQuery, Sort
from training.runs.lock import RunLock
from training.runs.paths import RunPaths

STEPS = 4
ROWS = STEPS * ROWS_A_STEP


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def page(qtbot, qapp, root, tmp_path):
    apply_theme(qapp, "light")
    background = TaskRunner()
    runs = RunsModel(RunRepository(root), None, background)
    made = TracesPage(runs, RunPaths(tmp_path / "recorded"))
    made.runs = runs
    qtbot.addWidget(made)
    made.resize(1300, 860)
    made.show()
    made.said = []
    made.toast.connect(made.said.append)
    made.problem.connect(lambda title, text: made.said.append(text))
    yield made
    made.close_down()
    background.close()


def is_settled(page):
    """The list is whole and the row under the cursor is read."""
    reading, row = page.inspector.reading, page.table.current_row
    counted = page.filters.count.text() not in ("", "Searching…")
    return counted and reading is not None and row >= 0 and reading.pair.asked == page.model.ids[row]


def read(page, qtbot, root, **more):
    paths = make_run(root, range(1, STEPS + 1), **more)
    page.open_run(paths)
    qtbot.waitUntil(lambda: is_settled(page))
    page.activateWindow()
    page.table.setFocus()
    qtbot.waitUntil(page.table.hasFocus)
    return paths


def ask(page, qtbot, query):
    page.show_query(query)
    qtbot.waitUntil(lambda: is_settled(page))


def go_to(page, qtbot, fits):
    """Put the cursor on the first row that fits."""
    place = next(i for i in range(page.model.rowCount()) if fits(page.model.row_at(i)))
    page.table.go_to(place)
    qtbot.waitUntil(lambda: is_settled(page))
    return page.model.row_at(place)


# ---------------------------------------------------------------------- open


def test_a_run_opens_with_its_newest_rollout_read(page, qtbot, root):
    read(page, qtbot, root)
    assert page.filters.count.text() == f"{ROWS} rollouts"
    assert list(page.model.ids) == list(range(ROWS, 0, -1))
    assert page.inspector.reading.asked["id"] == ROWS
    assert page.inspector.isVisible()
    page.grab()


def test_the_recorded_run_opens_on_its_first_flip_beside_a_clean_solution(page, qtbot, tmp_path):
    page.open_run(make_run(tmp_path, range(1, STEPS + 1), run_id="recorded"))
    qtbot.waitUntil(lambda: is_settled(page))
    rows = [page.model.row_at(i) for i in range(ROWS)]
    assert page.table.current_row == next(i for i, row in enumerate(rows) if row["flip"] in ("harmful", "helpful"))
    assert page.inspector.reading.clean is not None
    assert page.inspector.solutions.pair.isVisible()


def test_without_a_run_the_page_says_how_to_get_one(page, qtbot):
    assert page.views.empty.isVisible()
    assert not page.search.isEnabled()
    with qtbot.waitSignal(page.demoRequested):
        qtbot.mouseClick(page.views.empty.findChild(QAbstractButton), Qt.MouseButton.LeftButton)


def test_a_run_without_rollouts_is_waited_for(page, qtbot, root):
    paths = make_run(root, finished=False)
    kept = paths.rollouts.read_bytes()
    paths.rollouts.unlink()
    page.open_run(paths)
    qtbot.waitUntil(lambda: page.views.empty.isVisible() and "No rollouts yet" in page.views.empty.accessibleName())
    paths.rollouts.write_bytes(kept)
    page.activate()
    qtbot.waitUntil(lambda: is_settled(page))
    assert page.filters.count.text() == f"{ROWS} rollouts"


def test_a_database_of_a_run_that_has_only_begun_fills_by_itself(page, qtbot, root):
    paths = make_run(root, finished=False)
    paths.rollouts.unlink()
    writer = RolloutWriter(paths.rollouts)
    page.open_run(paths)
    qtbot.waitUntil(lambda: page.views.empty.isVisible() and "No rollouts yet" in page.views.empty.accessibleName())
    writer.add_step(make_step(1))
    page.activate()
    qtbot.waitUntil(lambda: is_settled(page))
    writer.close()


def test_a_damaged_database_is_told_in_words(page, qtbot, root):
    paths = make_run(root)
    paths.rollouts.write_bytes(b"\x00garbage" * 4096)
    page.open_run(paths)
    qtbot.waitUntil(lambda: "cannot be read" in page.views.empty.accessibleName())
    assert "rollouts.db" in page.views.empty.accessibleName()
    assert "damaged" in page.views.empty.accessibleName()
    assert page.chooser.button.isEnabled()


def test_another_run_can_be_opened_while_one_is_being_read(page, qtbot, root):
    first, second = make_run(root, run_id="a"), make_run(root, range(1, 3), run_id="b")
    for paths in (first, second, first, second):
        page.open_run(paths)
    qtbot.waitUntil(lambda: is_settled(page))
    assert page.paths == second
    assert page.filters.count.text() == f"{2 * ROWS_A_STEP} rollouts"


def test_the_chooser_offers_live_recent_and_recorded_runs(page, qtbot, root, tmp_path):
    make_run(root, run_id="over")
    live = make_run(root, run_id="going", finished=False)
    lock = RunLock(live.lock)
    lock.acquire()
    with qtbot.waitSignal(page.runs.loaded):
        page.runs.refresh()
    lock.release()
    assert page.chooser.first() == live.root
    page.chooser.menu.aboutToShow.emit()
    texts = [a.text() for a in page.chooser.menu.actions() if a.text()]
    assert [t.split("  ")[0] for t in texts] == [
        "Running", "going", "Recent runs", "over", "Included", "The recorded run",
    ]  # fmt: skip
    with qtbot.waitSignal(page.chooser.chosen) as blocker:
        page.chooser.menu.actions()[-1].trigger()
    assert blocker.args == [tmp_path / "recorded"]


def test_a_page_that_comes_into_view_opens_what_there_is(page, qtbot, root):
    paths = make_run(root)
    with qtbot.waitSignal(page.runs.loaded):
        page.runs.refresh()
    page.activate()
    qtbot.waitUntil(lambda: is_settled(page))
    assert page.paths == paths
    page.forget(paths)
    assert page.paths is None
    assert page.views.empty.isVisible()


# ---------------------------------------------------------------------- find


def test_a_box_that_is_ticked_filters_and_its_chip_takes_it_away(page, qtbot, root):
    read(page, qtbot, root)
    page.filters.open(filters.ROLE)
    popup = page.filters.popup
    box = next(b for c, b in popup.boxes.items() if c.value == "r2_hint")
    assert "20" not in box.text()
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(12, box.height() // 2))
    qtbot.waitUntil(lambda: is_settled(page) and "of" in page.filters.count.text())
    assert page.filters.count.text() == f"{4 * STEPS} of {ROWS} rollouts"
    assert {page.model.row_at(i)["stage"] for i in range(page.model.rowCount())} == {"r2_hint"}
    popup.close()
    (chip,) = page.filters.chips
    assert "Adversary, hint" in chip.text()
    qtbot.mouseClick(chip, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page.filters.count.text() == f"{ROWS} rollouts")
    assert page.filters.chips == []


def test_a_range_of_steps_is_set_by_number_and_kept_inside_the_run(page, qtbot, root):
    read(page, qtbot, root)
    page.filters.open(filters.STEP)
    popup = page.filters.popup
    popup.first.setText("3")
    popup.last.setText("99")
    popup.last.editingFinished.emit()
    qtbot.waitUntil(lambda: is_settled(page) and page.query.steps == (3, STEPS))
    assert page.filters.count.text() == f"{2 * ROWS_A_STEP} of {ROWS} rollouts"
    qtbot.mouseClick(popup.clear_button, Qt.MouseButton.LeftButton)
    assert page.query.steps is None


def test_search_keeps_its_letters_and_leads_back_to_the_table(page, qtbot, root):
    read(page, qtbot, root)
    before = page.table.current_row
    qtbot.keyClick(page.table, "/")
    assert page.search.hasFocus()
    qtbot.keyClicks(page.search, "pears j n c")
    assert page.search.text() == "pears j n c"
    assert page.table.current_row == before
    page.search.setText("café")
    qtbot.keyClick(page.search, Qt.Key.Key_Return)
    assert page.table.hasFocus()
    qtbot.waitUntil(lambda: is_settled(page) and page.query.text == "café")
    assert 0 < page.model.rowCount() < ROWS
    assert all("café" in (page.model.row_at(i)["hint"] or "") for i in range(page.model.rowCount()))
    qtbot.keyClick(page.table, "/")
    qtbot.keyClick(page.search, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: page.filters.count.text() == f"{ROWS} rollouts")


def test_nothing_found_is_said_and_leads_back(page, qtbot, root):
    read(page, qtbot, root)
    page.show_query(replace(page.query, text='zirconium " AND (', families=("clock",)))
    qtbot.waitUntil(page.no_hits.isVisible)
    assert not page.inspector.isVisible()
    assert not page.export.isEnabled()
    assert len(page.filters.chips) == 2
    qtbot.mouseClick(page.no_hits.findChild(QAbstractButton), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: is_settled(page))
    assert page.filters.count.text() == f"{ROWS} rollouts"
    assert page.search.text() == ""


def test_headings_and_the_menu_of_orders_sort(page, qtbot, root):
    read(page, qtbot, root)
    page.table.horizontalHeader().sectionClicked.emit(RolloutColumn.ADVANTAGE)
    qtbot.waitUntil(lambda: is_settled(page) and page.query.sort is Sort.ADVANTAGE)
    values = [page.model.row_at(i)["advantage"] for i in range(page.model.rowCount())]
    assert values == sorted(values, reverse=True)
    heading = page.model.headerData(RolloutColumn.ADVANTAGE, Qt.Orientation.Horizontal)
    assert heading == "Advantage ↓"
    page.table.horizontalHeader().sectionClicked.emit(RolloutColumn.FAMILY)
    assert page.query.sort is Sort.ADVANTAGE
    next(a for a in page.filters.order.menu().actions() if a.text() == "Shortest").trigger()
    qtbot.waitUntil(lambda: is_settled(page) and page.query.sort is Sort.TOKENS)
    values = [page.model.row_at(i)["tokens"] for i in range(page.model.rowCount())]
    assert values == sorted(values)


def test_another_order_starts_at_its_top(page, qtbot, root):
    read(page, qtbot, root)
    page.table.go_to(ROWS - 1)
    qtbot.waitUntil(lambda: is_settled(page))
    page.table.horizontalHeader().sectionClicked.emit(RolloutColumn.REWARD)
    qtbot.waitUntil(lambda: page.query.sort is Sort.REWARD and is_settled(page))
    assert page.table.current_row == 0
    assert page.table.rowAt(0) == 0


def test_no_header_is_cut_when_it_is_sorted_by(page, qtbot, root):
    read(page, qtbot, root)
    header = page.table.horizontalHeader()
    for column, sort in ((RolloutColumn.REWARD, Sort.REWARD), (RolloutColumn.ADVANTAGE, Sort.ADVANTAGE)):
        ask(page, qtbot, replace(page.query, sort=sort))
        assert header.sectionSize(column) >= header.sectionSizeFromContents(column).width()


def test_the_row_that_is_read_stays_chosen_under_another_filter(page, qtbot, root):
    read(page, qtbot, root)
    row = go_to(page, qtbot, lambda r: r["stage"] == "r1_clean" and r["step"] == 2)
    ask(page, qtbot, replace(page.query, stages=("r1_clean",)))
    assert page.inspector.reading.asked["id"] == row["id"]
    assert page.model.ids[page.table.current_row] == row["id"]


# ---------------------------------------------------------------------- read


def test_j_and_k_and_the_arrows_go_through_the_rows(page, qtbot, root):
    read(page, qtbot, root)
    for key, row in ((Qt.Key.Key_J, 1), (Qt.Key.Key_Down, 2), (Qt.Key.Key_J, 3), (Qt.Key.Key_K, 2), (Qt.Key.Key_Up, 1)):
        qtbot.keyClick(page.table, key)
        assert page.table.current_row == row
    qtbot.waitUntil(lambda: is_settled(page))


def test_n_and_p_stop_at_flips_alone_and_say_where_they_end(page, qtbot, root):
    read(page, qtbot, root)
    rows = [page.model.row_at(i) for i in range(ROWS)]
    flips = [i for i, r in enumerate(rows) if r["flip"] in ("harmful", "helpful")]
    assert flips
    for place in flips:
        qtbot.keyClick(page.table, Qt.Key.Key_N)
        qtbot.waitUntil(lambda p=place: page.table.current_row == p)
    qtbot.keyClick(page.table, Qt.Key.Key_N)
    qtbot.waitUntil(lambda: "no further flip" in "".join(page.said))
    qtbot.keyClick(page.table, Qt.Key.Key_P)
    qtbot.waitUntil(lambda: page.table.current_row == flips[-2])
    qtbot.waitUntil(lambda: is_settled(page))
    assert page.inspector.flip.isVisible()


def test_a_hinted_rollout_stands_beside_a_clean_one_with_the_hint_marked(page, qtbot, root):
    read(page, qtbot, root)
    row = go_to(page, qtbot, lambda r: r["stage"] == "r3_hinted" and not r["archived"])
    cursor = page.inspector.question.text.textCursor()
    text = page.inspector.question.text.toPlainText()
    assert text == row["prompt"]
    cursor.setPosition(text.index(row["hint"]) + 1)
    assert cursor.charFormat().fontUnderline() or cursor.charFormat().underlineStyle()
    solutions = page.inspector.solutions
    assert solutions.pair.isVisible()
    assert len([b for b in solutions.clean.buttons if b.isVisible()]) == 2
    other = next(b for b in solutions.clean.buttons if not b.isChecked())
    before = page.inspector.reading
    qtbot.mouseClick(other, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page.inspector.reading is not before)
    assert page.inspector.reading.clean_at != before.clean_at
    page.grab()


def test_a_refused_hint_says_which_gate_and_why(page, qtbot, root):
    read(page, qtbot, root)
    go_to(page, qtbot, lambda r: r["gate"] == "states_answer")
    assert page.inspector.question.gate.accessibleName() == "States answer"
    assert page.inspector.question.reason.text() == "says it"
    assert page.inspector.solutions.pair.isVisible() or "gate refused" in page.inspector.solutions.why.text()


def test_a_clean_and_a_replayed_rollout_stand_alone_with_the_reason(page, qtbot, root):
    read(page, qtbot, root)
    go_to(page, qtbot, lambda r: r["archived"])
    assert "replayed" in page.inspector.solutions.why.text()
    row = go_to(page, qtbot, lambda r: r["stage"] == "r1_clean")
    assert page.inspector.solutions.single.isVisible()
    assert page.inspector.solutions.text.text() == row["completion"]


def test_enter_goes_into_the_inspector_and_escape_comes_back(page, qtbot, root):
    read(page, qtbot, root)
    qtbot.keyClick(page.table, Qt.Key.Key_Return)
    assert page.inspector.area.hasFocus()
    qtbot.keyClick(page.inspector.area, Qt.Key.Key_Escape)
    assert page.table.hasFocus()


def test_the_steps_of_a_long_solution_come_a_few_at_a_time_and_enter_finds_where_they_part(page, qtbot, root):
    paths = make_run(root)
    steps = [f"{n} + {n} = {2 * n}." for n in range(70)]
    other = [*steps[:60], *(f"{n} + {n} = {2 * n + 1}." for n in range(60, 70))]
    writer = RolloutWriter(paths.rollouts)
    writer.add_step([
        make_row(9, "r1_clean", 1, None, True, 1.0, 1, completion="\n".join(steps)),
        make_row(9, "r3_hinted", 1, "p1#0", False, 1.0, 2, completion="\n".join(other)),
    ])  # fmt: skip
    writer.close()
    pair = page.inspector.solutions.pair
    pair._more.setInterval(10**9)
    page.open_run(paths)
    qtbot.waitUntil(lambda: bool(pair.rows))
    assert len(pair.rows) < 70
    assert pair.divergence_row is None
    with qtbot.waitSignal(pair.filled):
        page.inspector.enter()
        pair._more.setInterval(0)
    assert len([row for row in pair.rows if row.isVisible()]) == 70
    assert pair.divergence_row is pair.rows[60]
    qtbot.waitUntil(lambda: not pair.divergence_row.visibleRegion().isEmpty())
    page.table.step(1)
    qtbot.waitUntil(lambda: is_settled(page))
    assert len([row for row in pair.rows if row.isVisible()]) < 70


def test_what_a_model_wrote_is_never_read_as_markup(page, qtbot, root):
    paths = make_run(root)
    evil = "<b>x</b><img src='http://example.com/x.png'>"
    writer = RolloutWriter(paths.rollouts)
    writer.add_step([
        make_row(9, "r1_clean", 1, None, True, 1.0, 1, completion=evil, question=evil),
        make_row(9, "r3_hinted", 1, "p1#0", False, 1.0, 2, completion=f"{evil} & more", hint=evil, question=evil, prompt=f"{evil} {evil}"),
    ])  # fmt: skip
    writer.close()
    page.open_run(paths)
    qtbot.waitUntil(lambda: is_settled(page))
    assert evil in page.inspector.question.text.toPlainText()
    for label in page.inspector.findChildren(QLabel):
        if "example.com" in label.text():
            assert label.textFormat() == Qt.TextFormat.PlainText or "&lt;" in label.text()
    page.grab()


def test_c_takes_question_and_hint_to_craft(page, qtbot, root):
    read(page, qtbot, root)
    row = go_to(page, qtbot, lambda r: r["stage"] == "r3_hinted")
    with qtbot.waitSignal(page.craftRequested) as blocker:
        qtbot.keyClick(page.table, Qt.Key.Key_C)
    (draft,) = blocker.args
    assert draft.problem.question == row["question"]
    assert draft.chosen_hint.text == row["hint"]


# ---------------------------------------------------------------------- live


def test_new_rollouts_wait_quietly_until_they_are_asked_for(page, qtbot, root):
    paths = read(page, qtbot, root, finished=False)
    page.table.go_to(5)
    qtbot.waitUntil(lambda: is_settled(page))
    read_id = page.inspector.reading.asked["id"]
    writer = RolloutWriter(paths.rollouts)
    writer.add_step(make_step(STEPS + 1))
    page.activate()
    qtbot.waitUntil(page.filters.new.isVisible)
    assert page.filters.new.text() == f"{ROWS_A_STEP} new · show"
    assert page.model.rowCount() == ROWS
    assert page.table.current_row == 5
    qtbot.mouseClick(page.filters.new, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: is_settled(page) and page.model.rowCount() == ROWS + ROWS_A_STEP)
    assert page.inspector.reading.asked["id"] == read_id
    assert page.table.current_row == 5 + ROWS_A_STEP
    assert page.table.rowAt(0) == 0
    assert not page.filters.new.isVisible()
    assert page.filters.count.text() == f"{ROWS + ROWS_A_STEP} rollouts"
    writer.close()


def test_only_new_ones_that_fit_are_announced(page, qtbot, root):
    paths = read(page, qtbot, root, finished=False)
    ask(page, qtbot, replace(page.query, steps=(1, 2)))
    writer = RolloutWriter(paths.rollouts)
    writer.add_step(make_step(STEPS + 1))
    page.activate()
    qtbot.waitUntil(lambda: page.filters.count.text() == f"{2 * ROWS_A_STEP} of {ROWS + ROWS_A_STEP} rollouts")
    assert not page.filters.new.isVisible()
    writer.close()


def test_a_run_that_went_back_says_so(page, qtbot, root):
    paths = read(page, qtbot, root, finished=False)
    RolloutWriter(paths.rollouts, resume_from=2).close()
    page.activate()
    qtbot.waitUntil(page.filters.new.isVisible)
    assert "went back" in page.filters.new.text()
    qtbot.mouseClick(page.filters.new, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: is_settled(page) and page.model.rowCount() == 2 * ROWS_A_STEP)


def test_a_run_that_fails_while_it_is_read_is_told_once(page, qtbot, root, monkeypatch):
    read(page, qtbot, root)

    def fail(*_more):
        raise UserError("rollouts.db is gone")

    monkeypatch.setattr(page.controller.source, "has_grown", fail)
    monkeypatch.setattr(page.controller.source, "first_page", fail)
    page.show_query(replace(page.query, text="apples"))
    for _ in range(3):
        page.activate()
        qtbot.waitUntil(lambda: not page.controller.tasks.is_running("poll"))
    assert page.said == ["rollouts.db is gone"]
    assert page.filters.count.text() == "Not read"


def test_a_run_that_is_deleted_while_it_is_read_harms_nothing(page, qtbot, root):
    paths = read(page, qtbot, root)
    shutil.rmtree(paths.root)
    page.table.step(3)
    ask(page, qtbot, replace(page.query, text="apples"))
    page.forget(paths)
    assert page.views.empty.isVisible()


# ---------------------------------------------------------------------- export


def export(page, qtbot, count):
    page.table.selectRow(0)
    if count > 1:
        qtbot.keyClick(page.table, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    page.open_export()
    return page.findChildren(ExportDialog)[-1]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_all_hits_or_the_selection_are_written_with_progress(page, qtbot, root, tmp_path, suffix):
    read(page, qtbot, root)
    dialog = export(page, qtbot, 2)
    assert dialog.some.isChecked()
    dialog.all.setChecked(True)
    dialog.format.buttons[suffix].click()
    dialog.start(tmp_path / "mine")
    qtbot.waitUntil(dialog.folder.isVisible)
    assert (tmp_path / f"mine.{suffix}").is_file()
    assert f"{ROWS} rollouts written" in dialog.words.text()
    assert dialog.bar.value() == dialog.bar.maximum()
    dialog.close()


def test_a_selection_is_written_in_the_order_shown(page, qtbot, root, tmp_path):
    read(page, qtbot, root)
    dialog = export(page, qtbot, 2)
    dialog.start(tmp_path / "two.jsonl")
    qtbot.waitUntil(dialog.folder.isVisible)
    written = [json.loads(line) for line in (tmp_path / "two.jsonl").read_text().splitlines()]
    assert [row["id"] for row in written] == [ROWS, ROWS - 1]
    dialog.close()


def test_a_cancelled_export_leaves_no_file(page, qtbot, root, tmp_path):
    read(page, qtbot, root)
    dialog = export(page, qtbot, 1)
    assert not dialog.some.isVisible()
    dialog.start(tmp_path / "gone.jsonl")
    dialog.reject()
    qtbot.waitUntil(lambda: not dialog.isVisible() or dialog.folder.isVisible())
    if not dialog.isVisible():
        assert not list(tmp_path.glob("gone*"))
        assert "no file was left" in page.said[-1]


def test_a_disk_that_refuses_is_told_in_the_dialog(page, qtbot, root, tmp_path):
    read(page, qtbot, root)
    dialog = export(page, qtbot, 1)
    dialog.start(tmp_path / "no" / "such" / "folder" / "x.jsonl")
    qtbot.waitUntil(lambda: dialog.words.property("tone") == "bad" and dialog.go.isEnabled())
    assert "folder" in dialog.words.text()
    dialog.close()


# ---------------------------------------------------------------------- everyone, everywhere


@pytest.mark.parametrize("size", [(1100, 720), (1740, 1000)])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_stands_in_both_themes_beside_and_below(page, qapp, qtbot, root, theme, size):
    read(page, qtbot, root)
    page.themed(apply_theme(qapp, theme))
    page.resize(*size)
    beside = page.views.content.orientation() == Qt.Orientation.Horizontal
    assert beside == (size[0] > 1400)
    assert not page.grab().isNull()
    assert page.minimumSizeHint().width() <= 824
    apply_theme(qapp, "light")


def test_everything_that_can_be_pressed_has_a_name_and_is_reached_by_tab(page, qtbot, root):
    read(page, qtbot, root)
    ask(page, qtbot, RolloutQuery(families=("clock",)))
    for widget in (*page.findChildren(QAbstractButton), *page.findChildren(QLineEdit)):
        if widget.isVisible() and widget.objectName() != "_q_qlineeditclearbutton":
            inside = isinstance(widget.parent(), QLineEdit)
            assert inside or widget.accessibleName(), widget
            assert inside or widget.focusPolicy() & Qt.FocusPolicy.TabFocus, widget.accessibleName()
    assert page.table.accessibleName()
    assert page.inspector.area.accessibleName()


def test_a_run_that_was_started_elsewhere_comes_into_the_menu(page, qtbot, root):
    page.open_run(make_run(root, run_id="first"))
    page.activate()
    make_run(root, run_id="second")
    page._runs_timer.timeout.emit()
    qtbot.waitUntil(lambda: len(page.runs.summaries) == 2)
    page.chooser.menu.aboutToShow.emit()
    assert any(action.text().startswith("second") for action in page.chooser.menu.actions())
    assert page.paths.run_id == "first"


def test_a_solution_says_from_where_its_answer_was_read(page, qtbot, root):
    read(page, qtbot, root)
    go_to(page, qtbot, lambda row: row["stage"] == "r1_clean")
    names = [w.accessibleName() for w in page.inspector.facts.findChildren(QWidget)]
    assert "Read from: not recorded" in names
