"""Facts about the dialogs of the Craft page: library, import, drafts, suites, models."""

import json
import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from helpers.craft_bench import QUESTION, Craft
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QInputDialog

from seirenes_app.inference.models import bundled_model
from seirenes_app.services.hint_authoring.draft import DraftProblem, new_draft
from seirenes_app.ui.pages.craft.dialogs import LibraryDialog
from seirenes_app.ui.widgets.dialogs import ConfirmDialog


@pytest.fixture
def craft(qtbot, qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    bench = Craft(qtbot, qapp, tmp_path)
    yield bench
    bench.close()


def open_dialog(craft, action):
    craft.page.bound[action].trigger()
    craft.wait(lambda: craft.page.dialogs.open_dialog)
    return craft.page.dialogs.open_dialog


def test_the_library_is_searched_and_a_problem_is_taken_by_keys(craft):
    dialog = open_dialog(craft, "library")
    craft.wait(lambda: dialog.model.rowCount() > 100)
    whole = dialog.model.rowCount()
    craft.qtbot.keyClicks(dialog.search, "onions")
    assert 0 < dialog.model.rowCount() < whole
    craft.qtbot.keyClick(dialog.search, Qt.Key.Key_Down)
    wanted = dialog.current
    assert "onions" in dialog.preview.text()
    craft.qtbot.keyClick(dialog, Qt.Key.Key_Return)
    assert craft.controller.draft.problem == wanted
    craft.wait(lambda: craft.controller.usable)


def test_a_search_without_a_match_says_so_and_takes_nothing(craft):
    dialog = open_dialog(craft, "library")
    craft.wait(lambda: dialog.model.rowCount() > 100)
    craft.qtbot.keyClicks(dialog.search, "xylophone quartz")
    assert dialog.preview.text().startswith("Nothing matches")
    assert not dialog.choose.isEnabled()


def test_an_imported_file_reports_the_rows_that_were_left_out(craft, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"question": "What are 3 and 4?", "answer": "7"}\n{"question": "No answer"}\nnot json\n')
    craft.page.open_file(path)
    craft.wait(lambda: craft.page.dialogs.open_dialog)
    dialog = craft.page.dialogs.open_dialog
    assert isinstance(dialog, LibraryDialog)
    assert "2 rows were left out" in dialog.about.text()
    assert "line 2: there is no answer" in dialog.rejected_rows.toPlainText()
    craft.qtbot.mouseClick(dialog.choose, Qt.MouseButton.LeftButton)
    assert craft.controller.draft.problem.question == "What are 3 and 4?"
    assert craft.controller.draft.problem.source == "mine.jsonl"


def test_a_file_without_problems_is_refused_in_words(craft, tmp_path):
    path = tmp_path / "empty.csv"
    path.write_text("a,b\n")
    craft.page.open_file(path)
    craft.wait(lambda: craft.problems)
    assert craft.problems[0][0] == "The file cannot be imported"
    assert str(path) in craft.problems[0][1]


def test_drafts_are_opened_renamed_and_deleted(craft):
    craft.type_problem()
    first = craft.controller.session.draft.id
    craft.page.open_draft(new_draft(DraftProblem("From a run?", "1", source="run")))
    assert craft.page.problem_card.question.toPlainText() == "From a run?"
    dialog = open_dialog(craft, "drafts")
    assert len(dialog.model.rows) == 2
    dialog.list.setCurrentIndex(dialog.model.index([d.id for d in dialog.model.rows].index(first), 0))
    craft.wait(dialog.list.hasFocus)
    craft.qtbot.keyClick(dialog.list, Qt.Key.Key_F2)
    rename = dialog.findChild(QInputDialog)
    rename.setTextValue("Apples")
    rename.accept()
    assert "Apples" in [d.title for d in dialog.model.rows]
    dialog.list.setCurrentIndex(dialog.model.index([d.id for d in dialog.model.rows].index(first), 0))
    dialog.choose.click()
    assert craft.controller.session.draft.id == first
    assert craft.page.header.title.text() == "Apples"
    assert craft.controller.draft.problem.question == QUESTION
    dialog = open_dialog(craft, "drafts")
    craft.wait(dialog.list.hasFocus)
    craft.qtbot.keyClick(dialog.list, Qt.Key.Key_Delete)
    dialog.findChild(ConfirmDialog).accept()
    assert len(dialog.model.rows) == 1
    dialog.reject()


def test_deleting_the_open_draft_leaves_an_empty_one(craft):
    craft.type_problem()
    craft.controller.session.flush()
    craft.controller.delete(craft.controller.session.draft.id)
    assert craft.controller.draft.problem.question == ""
    assert craft.controller.drafts() == ()


def test_hints_are_saved_to_a_suite_with_what_the_gates_say(craft, tmp_path):
    craft.type_problem()
    craft.write("The answer is 20.")
    craft.write("The sky was blue. Some say that 3 is a lot.")
    dialog = open_dialog(craft, "suite")
    assert dialog.gates.text() == "It passes all gates."
    dialog.which.buttons["all"].click()
    assert dialog.gates.text() == "1 of 2 pass the gates; 1 do not."
    assert dialog.save.text() == "Save 1"
    dialog.name.setEditText("bad/name")
    assert not dialog.save.isEnabled()
    dialog.name.setEditText("Mine")
    dialog.save.click()
    craft.wait(lambda: craft.toasts)
    assert craft.toasts[0].startswith("1 hint is in the suite “Mine”")
    manifest = json.loads((tmp_path / "suites" / "Mine" / "manifest.json").read_text())
    assert manifest["hints"] == 1
    dialog = open_dialog(craft, "suite")
    assert dialog.about.text() == "Added to the existing suite."
    dialog.save.click()
    craft.wait(lambda: craft.problems)
    assert "already" in craft.problems[0][1]


def test_a_model_shows_its_facts_or_why_it_cannot_be_used(craft, tmp_path):
    dialog = open_dialog(craft, "solver")
    craft.wait(lambda: "qwen3" in dialog.preview.text())
    assert dialog.choose.isEnabled()
    assert "F16" in dialog.preview.text()
    bad = tmp_path / "short.gguf"
    bad.write_bytes(b"GGUF\x03\x00\x00\x00")
    dialog.choose_path(bad)
    craft.wait(lambda: str(bad) in dialog.preview.text() and not dialog.choose.isEnabled())
    dialog.list.setCurrentIndex(dialog.model.index(1, 0))
    craft.wait(lambda: dialog.choose.isEnabled())
    assert dialog.current.path == bundled_model()
    dialog.context.setValue(256)
    dialog.both.setChecked(True)
    dialog.choose.click()
    craft.wait(lambda: craft.controller.draft.solver.n_ctx == 256)
    assert craft.controller.draft.adversary.n_ctx == 256
    assert craft.solver.state.facts.n_ctx == 256
