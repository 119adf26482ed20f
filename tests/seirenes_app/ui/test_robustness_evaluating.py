"""Facts about evaluating from the Robustness page: what is asked, what it will take, and a real one from start to end."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.evals import small_plan
from helpers.robustness_bench import Robustness

from seirenes_app.services.evaluation_request import (
    EvalRequest,
    Throughput,
    count_rows,
    estimate_seconds,
    estimate_throughput,
    find_suites,
    make_plan,
)
from seirenes_app.services.evaluations import EvaluationSummary
from seirenes_app.services.hint_authoring.draft import DraftHint, DraftProblem, Origin, new_draft
from seirenes_app.services.hint_authoring.suites import save_to_suite, suites_folder
from seirenes_app.ui.pages.robustness.dialogs import CROSS_PLAY, EvaluateDialog
from seirenes_app.ui.pages.robustness.evaluations import EvaluationBar, describe_progress
from training.core.types import Condition
from training.errors import UserError
from training.evaluation.eval_dir import EvalDir, new_evaluation
from training.evaluation.status import EvalState
from training.evaluation.suites.builder import frozen_suite
from training.evaluation.suites.io import write_suite
from training.runs.paths import RunPaths
from training.runs.status import RunStatus

THROUGHPUT = Throughput(100.0, "as measured")
RUN, OTHER = RunPaths(Path("/runs/r")), RunPaths(Path("/runs/other"))


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))


@pytest.fixture
def sheet(qtbot):
    made = EvaluateDialog({RUN: (0, 20, 40)}, (), lambda _request: THROUGHPUT)
    qtbot.addWidget(made)
    made.show()
    return made


# ---------------------------------------------------------------------- what is asked


def test_all_checkpoints_are_asked_at_first_and_the_time_is_estimated(sheet):
    assert sheet.request.checkpoints == ((RUN, 0), (RUN, 20), (RUN, 40))
    assert sheet.request.models == ()
    assert count_rows(sheet.request) == 3 * 200 * 9
    assert sheet.estimate.text().startswith("About 1 min")
    assert "as measured" in sheet.basis.text()


def test_checkpoints_are_picked_by_one_button(sheet):
    sheet.picks["First and last"].click()
    assert sheet.request.checkpoints == ((RUN, 0), (RUN, 40))
    sheet.picks["Every second"].click()
    assert sheet.request.checkpoints == ((RUN, 0), (RUN, 40))
    sheet.picks["None"].click()
    assert not sheet.go.isEnabled()
    assert sheet.estimate.text() == "Choose a checkpoint or a model."
    sheet.picks["All checkpoints"].click()
    assert sheet.go.isEnabled()


def test_without_conditions_nothing_starts(sheet, qtbot):
    for box in sheet.conditions.values():
        box.setChecked(False)
    assert sheet.estimate.text() == "Choose a condition."
    with qtbot.assertNotEmitted(sheet.startRequested):
        sheet.go.click()


def test_cross_play_takes_checkpoints_alone(sheet, qtbot):
    sheet.add_model(Path("/models/some.gguf"))
    assert sheet.request.models == ("/models/some.gguf",)
    sheet.kind.buttons[CROSS_PLAY].click()
    request = sheet.request
    assert request.cross_play
    assert request.models == ()
    assert request.conditions == (Condition.CLEAN, Condition.HINTED)
    assert not sheet.suite.isEnabled()
    sheet.picks["First and last"].click()
    assert count_rows(sheet.request) == 2 * 60 * (1 + 2 * 4)
    with qtbot.waitSignal(sheet.startRequested) as heard:
        sheet.go.click()
    assert heard.args[0] == sheet.request


def test_a_saved_suite_is_offered_whole(qtbot):
    draft = replace(new_draft(DraftProblem("Rosa has 3 apples and buys 4. How many has she?", "7")), title="one")
    save_to_suite(draft, DraftHint("a", "It is raining in the town.", draft.type, Origin.HAND), "mine")
    (choice,) = find_suites()
    made = EvaluateDialog({}, (choice,), lambda _request: THROUGHPUT)
    qtbot.addWidget(made)
    made.suite.setCurrentIndex(1)
    made._on_suite()
    assert made.problems.value() == 1
    assert made.request.suite == str(choice.folder)
    plan = make_plan(made.request)
    assert [s.name for s in plan.suites] == ["mine"]
    assert [t.name for t in plan.targets] == ["starter"]


def test_a_second_suite_may_stand_beside_the_first(qtbot):
    for name, seed in (("own", 3), ("other", 4)):
        write_suite(suites_folder() / name, frozen_suite(6 + seed, seed))
    made = EvaluateDialog({}, find_suites(), lambda _request: THROUGHPUT)
    qtbot.addWidget(made)
    alone = count_rows(made.request)
    assert made.request.second_suite is None
    made.second_suite.setCurrentIndex(1)
    assert made.estimate.text() == "Choose two different suites."
    made.suite.setCurrentIndex(1)
    made.second_suite.setCurrentIndex(3)
    assert made.problems.value() == 9
    assert count_rows(made.request) == 2 * 9 * 9 < alone
    assert [s.problems for s in make_plan(made.request).suites] == [9, 9]


def test_a_request_that_cannot_be_is_refused_in_words():
    with pytest.raises(UserError, match="two checkpoints"):
        make_plan(EvalRequest(cross_play=True, checkpoints=((RUN, 1),)))
    with pytest.raises(UserError, match="nowhere"):
        make_plan(EvalRequest(models=("/nowhere",), problems=4))


def test_the_time_is_measured_on_the_same_models_or_estimated_from_their_size():
    bundled = EvalRequest(models=("starter",), problems=200, samples=2)
    guessed = estimate_throughput(bundled, ())
    assert "CPU core" in guessed.basis
    assert guessed.rows_per_s > 0
    state = EvalState(rows_per_s=0.5)
    other = EvaluationSummary(EvalDir(Path("/e")), small_plan(targets=("/models/large",)), state)
    assert estimate_throughput(bundled, (other,)) == guessed
    same = replace(other, plan=replace(other.plan, targets=(replace(other.plan.targets[0], path="starter"),)))
    assert estimate_throughput(bundled, (other, same)).rows_per_s == 0.5
    assert estimate_seconds(bundled, THROUGHPUT) > estimate_seconds(replace(bundled, samples=1), THROUGHPUT)


def test_two_runs_are_evaluated_together(qtbot):
    dialog = EvaluateDialog({RUN: (0, 20, 40), OTHER: (0, 10)}, (), lambda _request: THROUGHPUT)
    qtbot.addWidget(dialog)
    assert dialog.request.checkpoints == ((RUN, 0), (RUN, 40), (OTHER, 0), (OTHER, 10))
    assert dialog.targets.item(0).text() == "r, step 0"
    assert not dialog.kind.buttons[CROSS_PLAY].isEnabled()
    assert dialog.go.isEnabled()


def test_a_run_without_checkpoints_cannot_be_evaluated_beside_another(qtbot):
    dialog = EvaluateDialog({RUN: (0, 20), OTHER: ()}, (), lambda _request: THROUGHPUT)
    qtbot.addWidget(dialog)
    assert dialog.estimate.text() == "other has no checkpoint on this machine."
    assert not dialog.go.isEnabled()


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
    assert strip.progress.label.text() == "solving a"
    assert strip.progress.figures.text() == "25%  ·  about 2 min left  ·  2 of 8 chunks"
    assert not strip.stop.isHidden()
    assert strip.resume.isHidden()
    strip.render_summary(going, stopping=True, more=2)
    assert strip.progress.label.text() == "stopping after the current chunk"
    assert "2 more running" in strip.progress.figures.text()
    strip.render_summary(summary(status=RunStatus.CRASHED, share=0.5, rows=9, message="It crashed."))
    assert not strip.resume.isHidden()
    assert "9 rows kept" in strip.progress.figures.text()
    strip.close_button.click()
    assert strip.isHidden()


def test_one_that_is_over_is_told_with_its_rows():
    assert describe_progress(summary(status=RunStatus.FINISHED, share=1.0, rows=1)) == ("", "100%  ·  1 row")


@pytest.fixture
def bench(qtbot, qapp, tmp_path):
    made = Robustness(qtbot, qapp, tmp_path)
    yield made
    made.close()


def test_one_that_was_planned_and_never_launched_is_not_going(bench):
    new_evaluation(bench.evaluations, small_plan())
    bench.page.evaluations.refresh()
    bench.wait(lambda: bench.page.evaluations.summaries)
    assert bench.page.evaluations.live == ()
    assert bench.page.evaluation_bar.isHidden()


def test_an_evaluation_is_started_cancelled_resumed_and_shown(bench):
    page = bench.page
    page.open_evaluate()
    bench.wait(lambda: page.dialogs.open_dialog is not None)
    sheet = page.dialogs.open_dialog
    sheet.problems.setValue(24)
    sheet.tokens.setValue(48)
    sheet.go.click()
    bench.wait(lambda: page.evaluations.live, 30_000)
    assert not page.evaluation_bar.isHidden()
    bench.wait(lambda: page.evaluations.live[0].state.chunks > 0, 90_000)
    page.evaluation_bar.stop.click()
    bench.wait(lambda: not page.evaluations.live and page.evaluation_bar.summary.state.over, 60_000)
    kept = page.evaluation_bar.summary.state.rows
    assert page.evaluation_bar.summary.state.status in (RunStatus.STOPPED, RunStatus.FINISHED)
    if page.evaluation_bar.summary.state.status is RunStatus.STOPPED:
        page.evaluation_bar.resume.click()
        bench.wait(lambda: page.evaluations.live, 30_000)
        bench.wait(lambda: not page.evaluations.live, 120_000)
    (done,) = page.evaluations.summaries
    assert done.state.status is RunStatus.FINISHED
    assert done.state.rows == 24 * 9 >= kept
    bench.wait(bench.is_read)
    assert page.track.targets == ("starter",)
    assert any("finished" in text for text in bench.said)
