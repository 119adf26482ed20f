"""The judge in the window: chosen and measured in its dialog, asked in Craft, by a real server on this machine."""

from dataclasses import replace

import pytest
from helpers.openai_server import FakeServer

from seirenes_app.services.hint_authoring.draft import DraftHint, DraftProblem, Origin, new_draft
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.pages.craft.judge_row import JudgeRow
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import apply_theme
from seirenes_app.ui.widgets.dialogs import ConfirmDialog
from seirenes_app.ui.widgets.judge_dialog import JudgeDialog
from training.core.types import AnswerKind, HintType
from training.core.validity import JudgeOptions
from training.endpoints import Endpoint, Price, save_endpoint
from training.judges import known_measurements

QUESTION = "Tom buys 7 apples and gets 5 more from his aunt. How many apples does Tom have?"


@pytest.fixture
def tasks(qtbot, qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    apply_theme(qapp, "light")
    runner = TaskRunner()
    yield runner
    runner.close()


def draft_with(text):
    draft = new_draft(DraftProblem(QUESTION, "12", AnswerKind.NUMBER))
    hint = DraftHint("h1", text, HintType.INFORMATION_OVERLOAD, Origin.HAND)
    return replace(draft, hints=(hint,), chosen="h1")


@pytest.fixture
def judge_row(tasks, qtbot):
    made = JudgeRow(tasks, ModelInventory())
    qtbot.addWidget(made)
    made.show()
    return made


def test_the_judge_of_craft_is_asked_by_its_button_alone_and_shows_its_votes(judge_row, qtbot):
    assert judge_row.name.text() == "No judge is chosen"
    with FakeServer(lambda _: "yes") as chat:
        judge_row.take(f"{chat.address}#m")
        assert not judge_row.ask.isEnabled()
        judge_row.render_draft(draft_with("Tom eats 2 of them."))
        qtbot.waitUntil(lambda: "has not been measured" in judge_row.standing.text())
        assert not chat.requests
        judge_row.ask.click()
        assert judge_row.progress.isVisible()
        qtbot.waitUntil(lambda: judge_row._task is None)
    # Of three votes two mean "changes" where the reply is yes.
    assert judge_row.votes.text().startswith("2 of 3 votes: the answer changes")
    assert judge_row.badge.accessibleName() == "Refused by the judge"
    judge_row.render_draft(draft_with("Another hint."))
    assert not judge_row.votes.isVisible()
    judge_row.render_draft(draft_with("Tom eats 2 of them."))
    assert judge_row.votes.isVisible()


def test_asking_can_be_cancelled_and_a_judge_that_is_away_is_said(judge_row, qtbot):
    with FakeServer() as chat:
        chat.always = "slow"
        judge_row.take(chat.address)
        judge_row.render_draft(draft_with("Tom eats 2 of them."))
        judge_row.start()
        qtbot.waitUntil(lambda: bool(chat.requests))
        judge_row.progress.cancel.click()
        assert not judge_row.progress.isVisible()
        assert judge_row.ask.isEnabled()
        chat.always = 401
        judge_row.start()
        qtbot.waitUntil(lambda: judge_row._task is None)
    assert "could not be asked" in judge_row.votes.text()


def test_the_dialog_measures_a_judge_and_says_what_it_is_worth(tasks, qtbot):
    with FakeServer(lambda _: "no") as chat:
        dialog = JudgeDialog(tasks, ModelInventory(), JudgeOptions(f"{chat.address}#m", votes=1), "starter")
        qtbot.addWidget(dialog)
        chosen = []
        dialog.chosen.connect(chosen.append)
        dialog.open()
        qtbot.waitUntil(dialog.use.isEnabled)
        assert "not measured" in dialog.standing.text()
        assert "Measure it first" in dialog.warning.text()
        dialog.sizes.setCurrentIndex(dialog.sizes.findData(100))
        with qtbot.waitSignal(dialog.measured):
            dialog.measure.click()
            qtbot.waitUntil(dialog.progress.isVisible)
        qtbot.waitUntil(lambda: "recall 0%" in dialog.standing.text())
        assert "not reliable" in dialog.warning.text()
        (made,) = known_measurements()
        assert made.agreement.n == 100
        dialog.use.click()
        assert chosen == [f"{chat.address}#m"]


def test_a_judge_that_is_not_there_cannot_be_used_and_no_judge_always_can(tasks, qtbot):
    dialog = JudgeDialog(tasks, ModelInventory(), JudgeOptions("/no/where"))
    qtbot.addWidget(dialog)
    chosen = []
    dialog.chosen.connect(chosen.append)
    dialog.open()
    qtbot.waitUntil(lambda: "was not found" in dialog.standing.text())
    assert not dialog.use.isEnabled()
    assert not dialog.measure.isEnabled()
    dialog.none.click()
    assert chosen == [""]


def test_measuring_a_judge_that_costs_much_is_asked_about_first(tasks, qtbot):
    with FakeServer(lambda _: "no") as chat:
        save_endpoint(Endpoint("dear", chat.address, "m", price=Price(100.0, 100.0)))
        dialog = JudgeDialog(tasks, ModelInventory(), JudgeOptions("endpoint:dear"), "starter")
        qtbot.addWidget(dialog)
        dialog.open()
        qtbot.waitUntil(dialog.measure.isEnabled)
        dialog.sizes.setCurrentIndex(dialog.sizes.findData(100))
        dialog.measure.click()
        qtbot.waitUntil(lambda: dialog.findChild(ConfirmDialog) is not None)
        asked = dialog.findChild(ConfirmDialog)
        assert asked.windowTitle().startswith("Spend up to")
        asked.reject()
        assert not dialog.progress.isVisible()
        assert not chat.requests
