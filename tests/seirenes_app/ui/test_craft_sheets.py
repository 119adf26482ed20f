"""Facts about the dialogs of the Craft page: library, import, drafts, suites, models."""

import json
import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from helpers.craft_bench import QUESTION, Craft
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QInputDialog

from seirenes_app.services.hint_authoring.draft import DraftProblem, new_draft
from seirenes_app.ui.pages.craft.dialogs import LibraryDialog
from seirenes_app.ui.widgets.dialogs import ConfirmDialog


@pytest.fixture
def craft(qtbot, qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    bench = Craft(qtbot, qapp, tmp_path)
    yield bench
    bench.close()


def open_sheet(craft, deed):
    craft.page.deeds[deed].trigger()
    craft.wait(lambda: craft.page.sheets.open_sheet)
    return craft.page.sheets.open_sheet


def test_the_library_is_searched_and_a_problem_is_taken_by_keys(craft):
    sheet = open_sheet(craft, "library")
    craft.wait(lambda: sheet.model.rowCount() > 100)
    whole = sheet.model.rowCount()
    craft.qtbot.keyClicks(sheet.search, "onions")
    assert 0 < sheet.model.rowCount() < whole
    craft.qtbot.keyClick(sheet.search, Qt.Key.Key_Down)
    wanted = sheet.current()
    assert "onions" in sheet.about.text()
    craft.qtbot.keyClick(sheet, Qt.Key.Key_Return)
    assert craft.desk.draft.problem == wanted
    craft.wait(lambda: craft.desk.usable)


def test_a_search_without_a_match_says_so_and_takes_nothing(craft):
    sheet = open_sheet(craft, "library")
    craft.wait(lambda: sheet.model.rowCount() > 100)
    craft.qtbot.keyClicks(sheet.search, "xylophone quartz")
    assert sheet.about.text().startswith("Nothing matches")
    assert not sheet.take.isEnabled()


def test_an_imported_file_reports_the_rows_that_were_left_out(craft, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"question": "What are 3 and 4?", "answer": "7"}\n{"question": "No answer"}\nnot json\n')
    craft.page.take_file(path)
    craft.wait(lambda: craft.page.sheets.open_sheet)
    sheet = craft.page.sheets.open_sheet
    assert isinstance(sheet, LibraryDialog)
    assert "2 rows were left out" in sheet.report.text()
    assert "line 2: there is no answer" in sheet.left_out.toPlainText()
    craft.qtbot.mouseClick(sheet.take, Qt.MouseButton.LeftButton)
    assert craft.desk.draft.problem.question == "What are 3 and 4?"
    assert craft.desk.draft.problem.source == "mine.jsonl"


def test_a_file_without_problems_is_refused_in_words(craft, tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text("a,b\n")
    craft.page.take_file(path)
    craft.wait(lambda: craft.problems)
    assert craft.problems[0][0] == "The file cannot be imported"
    assert str(path) in craft.problems[0][1]


def test_drafts_are_opened_renamed_and_deleted(craft):
    craft.type_problem()
    first = craft.desk.session.draft.id
    craft.page.open_draft(new_draft(DraftProblem("From a run?", "1", source="run")))
    assert craft.page.problem_card.question.toPlainText() == "From a run?"
    sheet = open_sheet(craft, "drafts")
    assert sheet.list.count() == 2
    rows = [sheet.list.item(i).data(Qt.ItemDataRole.UserRole).id for i in range(2)]
    sheet.list.setCurrentRow(rows.index(first))
    sheet._rename()
    dialog = sheet.findChild(QInputDialog)
    dialog.setTextValue("Apples")
    dialog.accept()
    assert any(sheet.list.item(i).text().startswith("Apples") for i in range(2))
    sheet._open()
    assert craft.desk.session.draft.id == first
    assert craft.page.head.title.text() == "Apples"
    assert craft.desk.draft.problem.question == QUESTION
    sheet = open_sheet(craft, "drafts")
    sheet._delete()
    sheet.findChild(ConfirmDialog).accept()
    assert sheet.list.count() == 1
    sheet.reject()


def test_deleting_the_open_draft_leaves_an_empty_one(craft):
    craft.type_problem()
    craft.desk.session.flush()
    craft.desk.delete(craft.desk.session.draft.id)
    assert craft.desk.draft.problem.question == ""
    assert craft.desk.drafts() == ()


def test_candidates_are_saved_to_a_suite_with_what_the_gates_say(craft, tmp_path):
    craft.type_problem()
    craft.write("The answer is 20.")
    craft.write("The sky was blue. Some say that 3 is a lot.")
    sheet = open_sheet(craft, "suite")
    assert sheet.gates.text() == "It passes all gates."
    sheet.which.buttons["all"].click()
    assert sheet.gates.text() == "1 of 2 pass the gates; 1 do not."
    assert sheet.save.text() == "Save 1"
    sheet.name.setEditText("bad/name")
    assert not sheet.save.isEnabled()
    sheet.name.setEditText("Mine")
    sheet.save.click()
    craft.wait(lambda: craft.toasts)
    assert craft.toasts[0].startswith("1 candidate is in the suite “Mine”")
    manifest = json.loads((tmp_path / "suites" / "Mine" / "manifest.json").read_text())
    assert manifest["hints"] == 1
    sheet = open_sheet(craft, "suite")
    assert sheet.about.text() == "Added to the suite that is there."
    sheet.save.click()
    craft.wait(lambda: craft.problems)
    assert "already" in craft.problems[0][1]


def test_a_model_shows_its_facts_or_why_it_cannot_be_used(craft, tmp_path):
    sheet = open_sheet(craft, "solver")
    craft.wait(lambda: sheet.use.isEnabled())
    assert sheet.facts["Architecture"].text() == "qwen3"
    assert "F16" in sheet.facts["Size"].text()
    bad = tmp_path / "short.gguf"
    bad.write_bytes(b"GGUF\x03\x00\x00\x00")
    sheet.choose_file(str(bad))
    craft.wait(lambda: str(bad) in sheet.trouble.text())
    assert not sheet.use.isEnabled()
    sheet.model.setCurrentIndex(0)
    craft.wait(lambda: sheet.use.isEnabled())
    sheet.context.setValue(256)
    sheet.both.setChecked(True)
    sheet.use.click()
    craft.wait(lambda: craft.desk.draft.solver.n_ctx == 256)
    assert craft.desk.draft.adversary.n_ctx == 256
    assert craft.solver.state.facts.n_ctx == 256
