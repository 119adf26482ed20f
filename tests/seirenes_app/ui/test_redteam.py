"""Facts about the Red team page: the form, the list, a campaign at work, and what it found."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import argparse
import json
import shlex
import threading
import time
from dataclasses import replace

import psutil
import pytest
from helpers.campaigns import PLAN, live_campaign, make_campaign
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QTextEdit,
)

from seirenes_app.cli.redteam import add_parsers, plan_of
from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.services.redteam.campaign import (
    Budget,
    CampaignDir,
    CampaignPlan,
    CampaignWatch,
    ProblemChoice,
    WriterKind,
    WriterSpec,
)
from seirenes_app.services.redteam.exports import ExportKind, ExportSteps
from seirenes_app.services.redteam.preflight import check_campaign
from seirenes_app.store.settings import Settings
from seirenes_app.ui.app import build_window
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.pages.redteam.new_campaign import command_of
from seirenes_app.ui.pages.redteam.page import RedTeamPage, View, draft_path
from seirenes_app.ui.pages.redteam.results_view import Face
from seirenes_app.ui.widgets.buttons import is_destructive
from seirenes_app.ui.widgets.dialogs import ConfirmDialog
from training.core.types import HintType
from training.core.validity import JudgeOptions
from training.endpoints import Endpoint, Price, save_endpoint
from training.evaluation.suites.repository import SuiteRepository
from training.runs.control import CommandKind, CommandTail
from training.runs.events import EventKind, EventLog


@pytest.fixture
def data(tmp_path, monkeypatch):
    for name in ("RUNS", "CONFIG", "DATA", "LOGS"):
        monkeypatch.setenv(f"SEIRENES_{name}", str(tmp_path / name.lower()))
    return tmp_path / "data"


@pytest.fixture
def make_page(qtbot, qapp, data):
    made = []

    def make():
        inventory = ModelInventory()
        page = RedTeamPage(inventory)
        qtbot.addWidget(page, before_close_func=lambda p: p.close_down())
        page.resize(1104, 760)
        page.show()
        page.activate()
        qtbot.waitUntil(lambda: page.campaigns.was_loaded)
        made.append((page, inventory))
        return page

    yield make
    for page, inventory in made:
        page.close_down()
        inventory.close()


@pytest.fixture
def campaigns(data):
    return data / "campaigns"


def texts_of(widget):
    return [label.text() for label in widget.findChildren(QLabel) if label.isVisible()]


def open_result(qtbot, page, paths):
    page.open_campaign(paths.root)
    qtbot.waitUntil(lambda: page.view.shows_result)
    return page.view.results


# ---------------------------------------------------------------------- the list


def test_without_a_campaign_the_page_says_what_one_is_and_offers_a_small_one(make_page, monkeypatch):
    page = make_page()
    assert page.list.empty.isVisible()
    assert "neutral text" in page.list.empty.accessibleName()
    started = []
    monkeypatch.setattr(page.campaigns, "start", started.append)
    page.actions_["small"].trigger()
    (plan,) = started
    assert (plan.target, plan.budget.requests) == ("starter", 600)
    assert not check_campaign(plan).problems


def test_campaigns_are_listed_with_status_and_what_they_found_and_spent(make_page, campaigns, qtbot):
    make_campaign(campaigns)
    page = make_page()
    qtbot.waitUntil(lambda: page.list.table.model().rowCount() == 1)
    model = page.list.table.model()
    row = [model.index(0, column).data() for column in range(4)]
    assert row == ["night of hints", "Finished", "2 confirmed of 148 hints", "3,120 requests  ·  610 k tokens"]


def test_a_broken_campaign_is_listed_with_its_problem(make_page, campaigns, qtbot):
    paths = make_campaign(campaigns)
    paths.plan.write_text("{")
    page = make_page()
    qtbot.waitUntil(lambda: page.list.table.model().rowCount() == 1)
    assert page.list.table.model().index(0, 1).data() == "Unreadable"
    page.open_campaign(paths.root)
    assert not page.actions_["resume"].isEnabled()


def test_deleting_asks_and_moves_the_folder_to_the_trash(make_page, campaigns, qtbot):
    paths = make_campaign(campaigns)
    page = make_page()
    qtbot.waitUntil(lambda: page.list.table.current is not None)
    page.actions_["delete"].trigger()
    dialog = page.dialogs.open_dialog
    assert dialog.cancel.hasFocus() or dialog.cancel.isDefault()
    assert paths.root.is_dir()
    dialog.confirm.click()
    qtbot.waitUntil(lambda: page.list.empty.isVisible())
    assert (campaigns / ".trash" / paths.run_id / "plan.json").is_file()


def test_a_campaign_gets_another_name_and_keeps_its_folder(make_page, campaigns, qtbot):
    paths = make_campaign(campaigns)
    page = make_page()
    page.campaigns.rename(paths, "a better name")
    qtbot.waitUntil(lambda: page.list.table.model().index(0, 0).data() == "a better name")
    assert paths.root.is_dir()


# ---------------------------------------------------------------------- the form


FULL = CampaignPlan(
    "starter", "mine", (WriterSpec(WriterKind.TRIGGERS), WriterSpec(WriterKind.MODEL, "starter")),
    ProblemChoice(count=90), (HintType.CORRELATION_TRAP,), Budget(1500, 900_000, 2.5, 12.0), 4, 0.7, 96, 7, 0.5, 0.1,
    0.01, 4, validity=JudgeOptions(model="starter"),
)  # fmt: skip


def test_a_plan_survives_the_form(make_page):
    page = make_page()
    page.open_form(FULL)
    assert page.form.plan == FULL


def test_what_is_wrong_stands_at_its_field_and_nothing_can_be_started(make_page, qtbot):
    page = make_page()
    page.open_form(replace(FULL, writers=(), types=(), budget=Budget(), problems=ProblemChoice(count=5)))
    cards = page.form.cards
    assert "writer" in cards["writers"].problem.text()
    assert "limit" in cards["budget"].problem.text()
    assert "20 problems" in cards["problems"].problem.text()
    assert "type" in page.form.type_problem.text()
    assert not page.actions_["start"].isEnabled()
    page.form.render_plan(FULL)
    assert not cards["budget"].problem.text()
    assert page.actions_["start"].isEnabled()


def test_a_target_that_is_not_there_is_said_at_the_target(make_page, qtbot):
    page = make_page()
    page.open_form(FULL)
    page.form.take_target("/nowhere/model.gguf")
    qtbot.waitUntil(lambda: bool(page.form.cards["target"].problem.text()))
    assert not page.actions_["start"].isEnabled()


def test_the_form_is_kept_for_the_next_window(make_page, qtbot):
    page = make_page()
    page.open_form(FULL)
    page.form.name.setText("half done")
    page.form.name.textEdited.emit("half done")
    assert page.unsaved() == ""
    assert draft_path().is_file()
    again = make_page()
    again.actions_["new"].trigger()
    assert again.form.plan == replace(FULL, name="half done")


def test_a_broken_draft_gives_the_usual_form(make_page):
    draft_path().parent.mkdir(parents=True, exist_ok=True)
    draft_path().write_text("{")
    page = make_page()
    page.actions_["new"].trigger()
    assert page.form.plan.target == "starter"
    assert page.face is View.FORM


def test_the_estimate_moves_no_button(make_page, qtbot):
    page = make_page()
    page.open_form(FULL)
    qtbot.waitUntil(lambda: page.form.preflight is not None)
    place = page.form.start.mapTo(page, page.form.start.rect().topLeft())
    page.form.limits["requests"].field.setValue(60)
    qtbot.waitUntil(lambda: page.form.preflight is not None)
    QApplication.processEvents()
    assert page.form.notes.text()
    assert page.form.start.mapTo(page, page.form.start.rect().topLeft()) == place


def test_tab_goes_through_the_form_in_its_order(make_page, qtbot):
    page = make_page()
    page.open_form(FULL)
    page.form.name.setFocus()
    qtbot.keyClick(page.form.name, Qt.Key.Key_Tab)
    assert page.form.writers[WriterKind.LANGUAGE].box.hasFocus()


def test_a_campaign_that_may_cost_much_is_asked_about_before_it_starts(make_page, qtbot, monkeypatch):
    save_endpoint(Endpoint("far", "http://127.0.0.1:9/v1", "some-model", price=Price(10, 30)))
    page = make_page()
    started = []
    monkeypatch.setattr(page.campaigns, "start", started.append)
    page.open_form(replace(FULL, target="endpoint:far", writers=(WriterSpec(WriterKind.TRIGGERS),)))
    qtbot.waitUntil(lambda: page.form.preflight is not None)
    assert page.form.preflight.cost.at_most == 2.5
    assert "At most 2.50 USD." in page.form.figures.text()
    page.actions_["start"].trigger()
    qtbot.waitUntil(lambda: page.findChild(ConfirmDialog) is not None)
    dialog = page.findChild(ConfirmDialog)
    assert dialog.windowTitle() == "Spend up to 2.50 USD?"
    assert not started
    dialog.confirm.click()
    assert [plan.target for plan in started] == ["endpoint:far"]


def test_the_command_of_a_plan_gives_the_plan():
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers())
    for plan in (FULL, CampaignPlan("starter", budget=Budget(requests=300))):
        options = parser.parse_args(shlex.split(command_of(plan))[1:])
        assert plan_of(options) == plan


def test_a_local_campaign_costs_nothing(data):
    found = check_campaign(PLAN)
    assert found.cost is None
    assert not found.problems
    assert found.tokens == 4000 * 380


# ---------------------------------------------------------------------- at work


def test_a_campaign_at_work_shows_stage_budget_and_that_nothing_is_confirmed(make_page, campaigns, qtbot):
    paths = live_campaign(campaigns)
    page = make_page()
    page.open_campaign(paths.root)
    qtbot.waitUntil(lambda: page.view.running.best.table.isVisible())
    running = page.view.running
    assert running.stages.accessibleName() == "Stage: Screen"
    assert running.budget.figures["requests"].text() == "1,210 of 4,000"
    assert "money" not in [name for name, figure in running.budget.figures.items() if figure.isVisible()]
    assert "round 2 of 4" in running.doing.text()
    assert any(text.startswith("Not confirmed") for text in texts_of(running))
    assert page.view.stop.isVisible()
    assert is_destructive(page.view.stop)
    assert not page.view.stop.hasFocus()
    assert not page.view.resume.isVisible()


def test_a_campaign_is_paused_and_resumed_in_one_place(make_page, campaigns, qtbot):
    paths = live_campaign(campaigns)
    page = make_page()
    page.open_campaign(paths.root)
    qtbot.waitUntil(page.view.pause.isVisible)
    page.view.pause.setFocus()
    qtbot.keyClick(page.view.pause, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: [c.kind for c in CommandTail(paths.commands).poll()] == [CommandKind.PAUSE])
    log = EventLog(paths.events)
    log.write(EventKind.STAGE, stage="paused")
    log.close()
    qtbot.waitUntil(page.view.resume.isVisible)
    assert not page.view.pause.isVisible()
    assert page.view.badge.accessibleName() == "Paused"
    assert page.view.running.doing.text().startswith("Paused at: ")
    assert page.view.resume.hasFocus()
    qtbot.keyClick(page.view.resume, Qt.Key.Key_Space)
    wanted = [CommandKind.PAUSE, CommandKind.RESUME]
    qtbot.waitUntil(lambda: [c.kind for c in CommandTail(paths.commands).poll()] == wanted)


def test_one_that_crashed_can_be_resumed(make_page, campaigns, qtbot, monkeypatch):
    paths = live_campaign(campaigns)
    paths.launch.write_text("{}")
    page = make_page()
    page.open_campaign(paths.root)
    qtbot.waitUntil(lambda: page.view.resume.isVisible())
    assert page.view.badge.accessibleName() == "Crashed"
    resumed = []
    monkeypatch.setattr(page.campaigns, "resume", resumed.append)
    page.view.resume.click()
    assert [found.root for found in resumed] == [paths.root]


def test_everything_that_takes_the_keyboard_has_a_name(make_page, campaigns, qtbot):
    page = make_page()
    open_result(qtbot, page, make_campaign(campaigns))
    page.open_form(FULL)
    kinds = (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit, QAbstractItemView, QTextEdit)
    nameless = [
        widget
        for kind in kinds
        for widget in page.findChildren(kind)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and not (widget.accessibleName() or (isinstance(widget, QAbstractButton) and widget.text()))
        and not isinstance(widget.parentWidget(), QAbstractSpinBox | QAbstractItemView | QComboBox)
        and not any(box.isAncestorOf(widget) or box.view() is widget for box in page.findChildren(QComboBox))
    ]
    assert nameless == []


# ---------------------------------------------------------------------- what was found


def test_weaknesses_come_ranked_and_refuted_hints_with_their_reason(make_page, campaigns, qtbot):
    page = make_page()
    results = open_result(qtbot, page, make_campaign(campaigns))
    table = results.tables[Face.CONFIRMED]
    effects = [table.model().index(i, 2).data() for i in range(table.model().rowCount())]
    assert len(effects) == 2
    assert effects[0].startswith("+49 points")
    assert results.details.weakness.rank == 1
    assert "further problem" in results.details.minimal.text()
    assert results.details.short.isVisible()
    page.actions_["refuted"].trigger()
    assert results.details.reason.isVisible()
    assert "not distinguishable" in results.details.reason.text.text()
    assert "does not show that the target is robust" in results.limits.text.text()


def test_lists_are_filtered_by_type_and_family(make_page, campaigns, qtbot):
    page = make_page()
    results = open_result(qtbot, page, make_campaign(campaigns))
    results.type.setCurrentIndex(results.type.findText("correlation trap"))
    results.type.activated.emit(results.type.currentIndex())
    assert results.tables[Face.CONFIRMED].model().rowCount() == 1
    assert results.details.weakness.type is HintType.CORRELATION_TRAP
    results.type.setCurrentIndex(results.type.findText("information overload"))
    results.type.activated.emit(results.type.currentIndex())
    assert results.none.isVisible()
    assert "filter" in results.none.text()
    assert results.details.weakness is None


def test_model_text_is_shown_as_it_is(make_page, campaigns, qtbot):
    page = make_page()
    results = open_result(qtbot, page, make_campaign(campaigns))
    results.tables[Face.CONFIRMED].selectRow(1)
    assert "<b>Check</b>" in results.details.hint.toPlainText()
    assert "<b>Check</b>" in results.details.recipe.text()
    assert results.details.recipe.textFormat() == Qt.TextFormat.PlainText
    assert "<b>Check</b>" in results.details.question.toPlainText()


def test_examples_are_stepped_through_and_one_opens_in_craft(make_page, campaigns, qtbot):
    page = make_page()
    details = open_result(qtbot, page, make_campaign(campaigns)).details
    assert details.example_heading.text() == "Example 1 of 5"
    assert not page.actions_["previous"].isEnabled()
    page.actions_["next"].trigger()
    assert details.example_heading.text() == "Example 2 of 5"
    drafts = []
    page.craftRequested.connect(drafts.append)
    page.actions_["craft"].trigger()
    (draft,) = drafts
    example = details.shown_example
    assert (draft.problem.question, draft.problem.answer) == (example.question, example.gold)
    assert draft.chosen_hint.text == example.hint
    assert draft.type is details.weakness.type


def test_charts_have_a_place_for_each_type_and_family(make_page, campaigns, qtbot):
    page = make_page()
    results = open_result(qtbot, page, make_campaign(campaigns))
    page.actions_["charts"].trigger()
    by_type, accuracy, by_family = (card.chart for card in results.cards)
    assert len(by_type.ticks) == 4
    assert {s.label for s in by_type.series} == {"confirmed", "refuted"}
    assert [s.label for s in accuracy.series] == ["clean", "placebo", "hinted"]
    assert len(by_family.series) == 2
    assert not results.type.isEnabled()


def test_the_report_of_a_campaign_has_its_weaknesses_charts_and_limits(make_page, campaigns, qtbot, data):
    page = make_page()
    paths = make_campaign(campaigns)
    open_result(qtbot, page, paths)
    page.actions_["report"].trigger()
    qtbot.waitUntil(page.banner.isVisible)
    text = (data / "reports" / f"{paths.run_id}-robustness.html").read_text()
    assert text.count("<svg") == 3
    assert "Tested and not confirmed" in text
    assert "does not show that the target is robust" in text
    assert "&lt;b&gt;Check&lt;/b&gt;" in text
    assert "<b>Check</b>" not in text


def test_a_campaign_that_is_deleted_elsewhere_leaves_the_view(make_page, campaigns, qtbot):
    page = make_page()
    paths = make_campaign(campaigns)
    open_result(qtbot, page, paths)
    paths.root.rename(campaigns / ".gone")
    page.campaigns.refresh()
    qtbot.waitUntil(lambda: page.face is View.LIST)


# ---------------------------------------------------------------------- exports, and what is made of the hints


def test_the_export_menu_says_what_is_missing_and_offers_the_rest(make_page, campaigns, qtbot, monkeypatch):
    monkeypatch.setattr("seirenes_app.ui.pages.redteam.page.find_spec", lambda _name: None)
    page = make_page()
    open_result(qtbot, page, make_campaign(campaigns))
    entries = {action.text(): action.isEnabled() for action in page.make_export_menu().actions() if action.text()}
    assert not entries["Inspect log: inspect_ai is not installed"]
    assert entries["SARIF 2.1.0…"]
    assert entries["Suite…"]
    assert entries["Export refuted hints, too"]


def test_a_result_is_exported_as_sarif(make_page, campaigns, qtbot, tmp_path, monkeypatch):
    page = make_page()
    open_result(qtbot, page, make_campaign(campaigns))
    target = tmp_path / "found.sarif"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(target), ""))
    page.ask_export(ExportKind.SARIF)
    qtbot.waitUntil(page.banner.isVisible)
    assert len(json.loads(target.read_text())["runs"][0]["results"]) == 2
    assert str(target) in page.banner.text.text()


def test_an_export_shows_how_far_it_is_and_can_be_cancelled(make_page, campaigns, qtbot, tmp_path, monkeypatch):
    page, at_work = make_page(), threading.Event()
    open_result(qtbot, page, make_campaign(campaigns))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_args: str(tmp_path))
    steps = ExportSteps.advance

    def slow(self, by=1):
        steps(self, by)
        at_work.set()
        time.sleep(0.1)

    monkeypatch.setattr(ExportSteps, "advance", slow)
    page.ask_export(ExportKind.LM_EVAL)
    qtbot.waitUntil(lambda: at_work.is_set() and " of " in page.export_progress.figures.text())
    assert page.export_progress.label.text() == "Exporting: lm-evaluation-harness task"
    assert not page.actions_["export"].isEnabled()
    with qtbot.waitSignal(page.toast) as said:
        page.export_progress.cancel.click()
    assert said.args == ["Export cancelled; nothing was written."]
    assert not page.export_progress.isVisible()
    assert page.actions_["export"].isEnabled()
    assert not list(tmp_path.glob("*lm-eval*"))


def test_the_confirmed_hints_become_a_suite_in_one_click(make_page, campaigns, qtbot, data):
    page = make_page()
    paths = make_campaign(campaigns)
    open_result(qtbot, page, paths)
    page.view.suite.click()
    qtbot.waitUntil(page.banner.isVisible)
    suites = SuiteRepository(suites_folder()).manifests()
    assert [manifest.name for manifest in suites.values()] == [paths.run_id]
    asked = []
    page.evaluateRequested.connect(lambda: asked.append(True))
    page.banner.buttons["Evaluate on it…"].click()
    assert asked


def test_a_run_against_the_confirmed_hints_is_prepared_in_one_click(make_page, campaigns, qtbot, data):
    page = make_page()
    paths = make_campaign(campaigns)
    open_result(qtbot, page, paths)
    with qtbot.waitSignal(page.trainRequested) as caught:
        page.view.train.click()
    archive, target = caught.args
    assert archive == data / "archives" / f"{paths.run_id}.jsonl"
    assert target == "starter"
    assert archive.read_text().count("\n") > 20


# ---------------------------------------------------------------------- a real one

TINY = CampaignPlan(
    "starter", "tiny", problems=ProblemChoice(count=60), budget=Budget(requests=900), max_confirmed=1, max_tokens=64
)


def test_a_campaign_on_the_bundled_model_is_killed_resumed_and_found_again(make_page, campaigns, qtbot):
    page = make_page()
    page.open_form(TINY)
    qtbot.waitUntil(lambda: page.form.preflight is not None)
    page.actions_["start"].trigger()
    qtbot.waitUntil(lambda: page.face is View.CAMPAIGN)
    root = page.root
    watch = CampaignWatch(CampaignDir(root))
    qtbot.waitUntil(lambda: watch.poll().spent.requests > 0)
    process = psutil.Process(watch.poll().pid)
    process.suspend()  # so that it is not over when the page has seen it
    qtbot.waitUntil(lambda: bool(page.shown and page.shown.state.spent.requests))
    process.kill()
    qtbot.waitUntil(lambda: page.view.badge.accessibleName() == "Crashed")
    page.close_down()
    again = make_page()
    qtbot.waitUntil(lambda: again.list.table.current is not None)
    again.list.table.activated.emit(again.list.table.currentIndex())
    qtbot.waitUntil(lambda: again.view.resume.isVisible())
    assert again.root == root
    again.view.resume.click()
    assert not again.actions_["resume"].isEnabled()
    qtbot.waitUntil(lambda: again.view.shows_result)
    assert again.view.badge.accessibleName() == "Finished"
    assert again.shown.state.spent.requests <= TINY.budget.requests
    assert again.view.results.summary.text()


def test_the_hints_of_a_campaign_fill_the_form_of_a_run(qtbot, qapp, data, tmp_path):
    window = build_window(qapp, Settings(theme="light", last_page="red-team"))
    qtbot.addWidget(window, before_close_func=lambda w: w.shut_down(remember=False))
    window.show()
    archive = tmp_path / "hints.jsonl"
    window.page("red-team").trainRequested.emit(archive, "starter")
    assert window.stack.currentWidget() is window.page("train")
    assert window.page("train").new.form.fields["curriculum.archive"].text() == str(archive)
