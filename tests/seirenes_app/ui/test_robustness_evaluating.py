"""Facts about evaluating from the Robustness page: what is asked, what it will take, and a real one from start to end."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.evals import small_plan
from helpers.robustness_bench import Robustness

from seirenes_app.services.evaluations import EvaluationSummary
from seirenes_app.services.hint_authoring.draft import DraftHint, DraftProblem, Origin, new_draft
from seirenes_app.services.hint_authoring.suites import save_to_suite, suites_folder
from seirenes_app.ui.pages.robustness.dialogs import CROSS, EvaluateDialog
from seirenes_app.ui.pages.robustness.evaluation_request import (
    EvalRequest,
    Throughput,
    count_rows,
    estimate_seconds,
    find_pace,
    find_suites,
    make_plan,
)
from seirenes_app.ui.pages.robustness.header import EvaluationBar, say_progress
from training.core.types import Condition
from training.errors import UserError
from training.evaluation.eval_dir import EvalDir, new_evaluation
from training.evaluation.status import EvalState
from training.evaluation.suites.builder import frozen_suite
from training.evaluation.suites.io import write_suite
from training.runs.paths import RunPaths
from training.runs.status import RunStatus

PACE = Throughput(100.0, "as measured")


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))


@pytest.fixture
def sheet(qtbot):
    made = EvaluateDialog(RunPaths(Path("/runs/r")), (0, 20, 40), (), PACE)
    qtbot.addWidget(made)
    made.show()
    return made


# ---------------------------------------------------------------------- what is asked


def test_all_checkpoints_are_asked_at_first_and_the_time_is_estimated(sheet):
    assert sheet.request.steps == (0, 20, 40)
    assert sheet.request.models == ()
    assert count_rows(sheet.request) == 3 * 200 * 9
    assert sheet.work.text().startswith("About 72 s")
    assert "as measured" in sheet.words.text()


def test_checkpoints_are_picked_by_one_button(sheet):
    sheet.ends.click()
    assert sheet.request.steps == (0, 40)
    sheet.half.click()
    assert sheet.request.steps == (0, 40)
    sheet.none.click()
    assert not sheet.go.isEnabled()
    assert sheet.work.text() == "Choose a checkpoint or a model."
    sheet.all.click()
    assert sheet.go.isEnabled()


def test_without_conditions_nothing_starts(sheet, qtbot):
    for box in sheet.conditions.values():
        box.setChecked(False)
    assert sheet.work.text() == "Choose a condition."
    with qtbot.assertNotEmitted(sheet.startAsked):
        sheet.go.click()


def test_cross_play_takes_checkpoints_alone(sheet, qtbot):
    sheet.add_model(Path("/models/some.gguf"))
    assert sheet.request.models == ("/models/some.gguf",)
    sheet.kind.buttons[CROSS].click()
    request = sheet.request
    assert request.cross
    assert request.models == ()
    assert request.conditions == (Condition.CLEAN, Condition.HINTED)
    assert not sheet.suite.isEnabled()
    sheet.ends.click()
    assert count_rows(sheet.request) == 2 * 60 * (1 + 2 * 4)
    with qtbot.waitSignal(sheet.startAsked) as heard:
        sheet.go.click()
    assert heard.args[0] == sheet.request


def test_a_saved_suite_is_offered_whole(qtbot):
    draft = replace(new_draft(DraftProblem("Rosa has 3 apples and buys 4. How many has she?", "7")), title="one")
    save_to_suite(draft, DraftHint("a", "It is raining in the town.", draft.type, Origin.HAND), "mine")
    (choice,) = find_suites()
    made = EvaluateDialog(None, (), (choice,), PACE)
    qtbot.addWidget(made)
    made.suite.setCurrentIndex(1)
    made._take_suite()
    assert made.problems.value() == 1
    assert made.request.suite == str(choice.folder)
    plan = make_plan(made.request)
    assert [s.name for s in plan.suites] == ["mine"]
    assert [t.name for t in plan.targets] == ["starter"]


def test_a_second_suite_may_stand_beside_the_first(qtbot):
    for name, seed in (("own", 3), ("other", 4)):
        write_suite(suites_folder() / name, frozen_suite(6 + seed, seed))
    made = EvaluateDialog(None, (), find_suites(), PACE)
    qtbot.addWidget(made)
    alone = count_rows(made.request)
    assert made.request.beside is None
    made.beside.setCurrentIndex(1)
    assert made.work.text() == "Choose two different suites."
    made.suite.setCurrentIndex(1)
    made.beside.setCurrentIndex(3)
    assert made.problems.value() == 9
    assert count_rows(made.request) == 2 * 9 * 9 < alone
    assert [s.problems for s in make_plan(made.request).suites] == [9, 9]


def test_a_request_that_cannot_be_is_refused_in_words():
    with pytest.raises(UserError, match="two checkpoints"):
        make_plan(EvalRequest(cross=True, steps=(1,)))
    with pytest.raises(UserError, match="nowhere"):
        make_plan(EvalRequest(models=("/nowhere",), problems=4))


def test_the_pace_is_measured_where_it_can_be():
    guessed = find_pace(None, (), 128)
    assert "CPU" in guessed.basis
    assert guessed.rows_per_s > 0
    past = EvaluationSummary(EvalDir(Path("/e")), None, EvalState(rows_per_s=40.0))
    assert find_pace(None, (past,), 128).rows_per_s == 40.0
    twice = EvalRequest(models=("starter",), problems=200, samples=2)
    assert estimate_seconds(twice, PACE) > estimate_seconds(replace(twice, samples=1), PACE)


# ---------------------------------------------------------------------- how it goes


def summary(**state):
    plan = replace(small_plan(), title="an evaluation")
    return EvaluationSummary(EvalDir(Path("/e/one")), plan, EvalState(**state))


def test_the_strip_offers_what_can_be_done(qtbot):
    strip = EvaluationBar()
    qtbot.addWidget(strip)
    going = summary(
        status=RunStatus.RUNNING, stage="solving", target="a", share=0.25, chunks=8, done_chunks=2, rows=9, eta_s=90.0
    )
    strip.render_summary(going)
    assert strip.words.text().startswith("25%  ·  about 2 min left  ·  solving a")
    assert not strip.stop.isHidden()
    assert strip.resume.isHidden()
    strip.render_summary(going, stopping=True, more=2)
    assert "stopping after the chunk" in strip.words.text()
    assert "2 more going" in strip.words.text()
    strip.render_summary(summary(status=RunStatus.CRASHED, share=0.5, rows=9, message="It died."))
    assert not strip.resume.isHidden()
    assert "9 rows kept" in strip.words.text()
    strip.close_button.click()
    assert strip.isHidden()


def test_one_that_is_over_is_told_with_its_rows():
    assert say_progress(summary(status=RunStatus.FINISHED, share=1.0, rows=1)) == "100%  ·  1 row"


@pytest.fixture
def bench(qtbot, qapp, tmp_path):
    made = Robustness(qtbot, qapp, tmp_path)
    yield made
    made.close()


def test_one_that_was_planned_and_never_launched_is_not_going(bench):
    new_evaluation(bench.evaluations, small_plan())
    bench.page.evaluating.refresh()
    bench.wait(lambda: bench.page.evaluating.summaries)
    assert bench.page.evaluating.live == ()
    assert bench.page.strip.isHidden()


def test_an_evaluation_is_started_cancelled_resumed_and_shown(bench):
    page = bench.page
    page.open_evaluate()
    bench.wait(lambda: page.sheets.open_sheet is not None)
    sheet = page.sheets.open_sheet
    sheet.problems.setValue(24)
    sheet.tokens.setValue(48)
    sheet.go.click()
    bench.wait(lambda: page.evaluating.live, 30_000)
    assert not page.strip.isHidden()
    bench.wait(lambda: page.evaluating.live[0].state.chunks > 0, 90_000)
    page.strip.stop.click()
    bench.wait(lambda: not page.evaluating.live and page.strip.summary.state.over, 60_000)
    kept = page.strip.summary.state.rows
    assert page.strip.summary.state.status in (RunStatus.STOPPED, RunStatus.FINISHED)
    if page.strip.summary.state.status is RunStatus.STOPPED:
        page.strip.resume.click()
        bench.wait(lambda: page.evaluating.live, 30_000)
        bench.wait(lambda: not page.evaluating.live, 120_000)
    (done,) = page.evaluating.summaries
    assert done.state.status is RunStatus.FINISHED
    assert done.state.rows == 24 * 9 >= kept
    bench.wait(bench.is_read)
    assert page.track.targets == ("starter",)
    assert any("finished" in text for text in bench.said)
