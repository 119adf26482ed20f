"""Facts about evaluating from the Robustness page: the request, the estimate, and a real evaluation."""

import os
import threading

from training.evaluation.suites.repository import SuiteRepository

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.evals import small_plan
from helpers.model_folders import model_folder
from helpers.openai_server import FakeServer
from helpers.robustness_bench import Robustness

from seirenes_app.inference.models import bundled_model
from seirenes_app.services.evaluation_estimate import TimeRange
from seirenes_app.services.evaluation_request import EvalRequest, count_rows, make_plan
from seirenes_app.services.evaluations import EvaluationSummary
from seirenes_app.services.hint_authoring.draft import DraftHint, DraftProblem, Origin, new_draft
from seirenes_app.services.hint_authoring.suites import save_to_suite, suites_folder
from seirenes_app.services.models.inventory import read_entry
from seirenes_app.ui.pages.robustness.dialogs import CROSS_PLAY, EvaluateDialog, LimitsDialog
from seirenes_app.ui.pages.robustness.evaluations import EvaluationBar, describe_progress
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.widgets.dialogs import ConfirmDialog
from training.core.types import Condition
from training.endpoints import Endpoint, Price, save_endpoint
from training.errors import UserError
from training.evaluation.eval_dir import EvalDir, new_evaluation
from training.evaluation.plan import SpendLimits
from training.evaluation.status import EvalState
from training.evaluation.suites.builder import frozen_suite
from training.evaluation.suites.io import write_suite
from training.prompt_files import CAUTIOUS, built_in
from training.runs.paths import RunPaths
from training.runs.status import RunStatus

TIME = TimeRange(72.0, 72.0, "as measured")
RUN, OTHER = RunPaths(Path("/runs/r")), RunPaths(Path("/runs/other"))


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))


@pytest.fixture
def tasks(qapp):
    runner = TaskRunner()
    yield runner
    runner.close()


@pytest.fixture
def dialog(qtbot, tasks):
    made = EvaluateDialog({RUN: (0, 20, 40)}, {}, lambda _request: TIME, tasks)
    qtbot.addWidget(made)
    made.show()
    return made


# ---------------------------------------------------------------------- what is asked


def test_all_checkpoints_are_ticked_at_first_and_the_time_is_estimated(dialog):
    assert dialog.request.checkpoints == ((RUN, 0), (RUN, 20), (RUN, 40))
    assert dialog.request.models == ()
    assert count_rows(dialog.request) == 3 * 200 * 10
    assert dialog.estimate.text().startswith("About 1 min")
    assert "as measured" in dialog.basis.text()
    assert "near 50% will be known to ±7 points" in dialog.basis.text()
    dialog.problems.setValue(20)
    assert "±21 points" in dialog.basis.text()


def test_one_button_ticks_several_checkpoints(dialog):
    dialog.picks["First and last"].click()
    assert dialog.request.checkpoints == ((RUN, 0), (RUN, 40))
    dialog.picks["Every second"].click()
    assert dialog.request.checkpoints == ((RUN, 0), (RUN, 40))
    dialog.picks["None"].click()
    assert not dialog.go.isEnabled()
    assert dialog.estimate.text() == "Choose a checkpoint or a model."
    dialog.picks["All checkpoints"].click()
    assert dialog.go.isEnabled()


def test_without_conditions_nothing_starts(dialog, qtbot):
    for box in dialog.conditions.values():
        box.setChecked(False)
    assert dialog.estimate.text() == "Choose a condition."
    with qtbot.assertNotEmitted(dialog.startRequested):
        dialog.go.click()


def test_cross_play_takes_only_checkpoints(dialog, qtbot):
    entry = read_entry(str(bundled_model()))
    dialog.add_model(entry)
    dialog.add_model(entry)
    assert dialog.request.models == (str(entry.path),)
    dialog.kind.buttons[CROSS_PLAY].click()
    request = dialog.request
    assert request.cross_play
    assert request.models == ()
    assert request.conditions == (Condition.CLEAN, Condition.HINTED, Condition.NEEDED)
    assert not dialog.suite.isEnabled()
    dialog.picks["First and last"].click()
    assert count_rows(dialog.request) == 2 * 60 * (1 + 2 * 4 + 1)
    with qtbot.waitSignal(dialog.startRequested) as heard:
        dialog.go.click()
    assert heard.args[0] == dialog.request


def test_a_gguf_file_may_answer_one_prompt_at_a_time(dialog):
    assert not dialog.exact.isVisible()
    dialog.tick_only(read_entry(str(bundled_model())))
    assert dialog.exact.isVisible()
    assert not make_plan(dialog.request).exact
    dialog.exact.click()
    assert make_plan(dialog.request).exact
    dialog.kind.buttons[CROSS_PLAY].click()
    assert not dialog.exact.isVisible()
    assert not dialog.request.exact


def test_an_endpoint_shows_its_cost_takes_limits_and_is_asked_about(dialog, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_CONFIG", str(tmp_path / "config"))
    save_endpoint(Endpoint("mine", "http://127.0.0.1:9/v1", "m", Price(1.0, 10.0, "EUR")))
    assert not dialog.spend.isVisible()
    dialog.tick_only(read_entry("endpoint:mine"))
    assert dialog.request.models == ("endpoint:mine",)
    qtbot.waitUntil(lambda: "2,000 requests" in dialog.cost.text())
    assert "at most" in dialog.cost.text()
    assert dialog.spend.currency.text() == "EUR"
    dialog.spend.requests.setValue(500)
    dialog.spend.money.setValue(0.5)
    assert dialog.request.budget == SpendLimits(500, None, 0.5)
    qtbot.waitUntil(lambda: dialog._cost is not None)
    with qtbot.assertNotEmitted(dialog.startRequested):
        dialog.go.click()
    asked = dialog.findChild(ConfirmDialog)
    assert asked.windowTitle().startswith("Spend up to ")
    with qtbot.waitSignal(dialog.startRequested) as heard:
        asked.confirm.click()
    assert heard.args[0].budget.requests == 500
    assert not dialog.isVisible()


def test_a_saved_suite_is_offered_whole(qtbot, tasks):
    draft = replace(new_draft(DraftProblem("Rosa has 3 apples and buys 4. How many has she?", "7")), title="one")
    save_to_suite(draft, DraftHint("a", "It is raining in the town.", draft.type, Origin.HAND), "mine")
    suites = SuiteRepository(suites_folder()).manifests()
    (folder,) = suites
    made = EvaluateDialog({}, suites, lambda _request: TIME, tasks)
    qtbot.addWidget(made)
    made.suite.setCurrentIndex(1)
    made._on_suite()
    assert made.problems.value() == 1
    assert made.request.suite == str(folder)
    plan = make_plan(made.request)
    assert [s.name for s in plan.suites] == ["mine"]
    assert [t.name for t in plan.targets] == ["starter"]


def test_a_second_suite_may_stand_beside_the_first(qtbot, tasks):
    for name, seed in (("own", 3), ("other", 4)):
        write_suite(suites_folder() / name, frozen_suite(6 + seed, seed))
    made = EvaluateDialog({}, SuiteRepository(suites_folder()).manifests(), lambda _request: TIME, tasks)
    qtbot.addWidget(made)
    alone = count_rows(made.request)
    assert made.request.second_suite is None
    made.second_suite.setCurrentIndex(1)
    assert made.estimate.text() == "Choose two different suites."
    made.suite.setCurrentIndex(1)
    made.second_suite.setCurrentIndex(3)
    assert made.problems.value() == 9
    assert count_rows(made.request) == 2 * 9 * 10 < alone
    assert [s.problems for s in make_plan(made.request).suites] == [9, 9]


def test_an_impossible_request_is_refused():
    with pytest.raises(UserError, match="two checkpoints"):
        make_plan(EvalRequest(cross_play=True, checkpoints=((RUN, 1),)))
    with pytest.raises(UserError, match="nowhere"):
        make_plan(EvalRequest(models=("/nowhere",), problems=4))


def test_two_runs_are_evaluated_together(qtbot, tasks):
    dialog = EvaluateDialog({RUN: (0, 20, 40), OTHER: (0, 10)}, {}, lambda _request: TIME, tasks)
    qtbot.addWidget(dialog)
    assert dialog.request.checkpoints == ((RUN, 0), (RUN, 40), (OTHER, 0), (OTHER, 10))
    assert dialog.targets.item(0).text() == "r, step 0"
    assert not dialog.kind.buttons[CROSS_PLAY].isEnabled()
    assert dialog.go.isEnabled()


def test_a_run_without_checkpoints_cannot_be_evaluated_beside_another(qtbot, tasks):
    dialog = EvaluateDialog({RUN: (0, 20), OTHER: ()}, {}, lambda _request: TIME, tasks)
    qtbot.addWidget(dialog)
    assert dialog.estimate.text() == "other has no checkpoint on this machine."
    assert not dialog.go.isEnabled()


# ---------------------------------------------------------------------- how it goes


def summary(**state):
    plan = replace(small_plan(), title="an evaluation")
    return EvaluationSummary(EvalDir(Path("/e/one")), plan, EvalState(**state))


def test_the_evaluation_bar_offers_what_can_be_done(qtbot):
    bar = EvaluationBar()
    qtbot.addWidget(bar)
    going = summary(
        status=RunStatus.RUNNING, stage="solving", target="a", share=0.25, chunks=8, done_chunks=2, rows=9, eta_s=90.0
    )
    bar.render_summary(going)
    assert bar.progress.label.text() == "solving a"
    assert bar.progress.figures.text() == "25%  ·  about 1 min 30 s left  ·  2 of 8 chunks"
    assert not bar.stop.isHidden()
    assert bar.resume.isHidden()
    bar.render_summary(going, stopping=True, more=2)
    assert bar.progress.label.text() == "stopping after the current chunk"
    assert "2 more running" in bar.progress.figures.text()
    bar.render_summary(summary(status=RunStatus.CRASHED, share=0.5, rows=9, message="It crashed."))
    assert not bar.resume.isHidden()
    assert "9 rows kept" in bar.progress.figures.text()
    bar.close_button.click()
    assert bar.isHidden()


def test_a_finished_evaluation_shows_its_rows():
    assert describe_progress(summary(status=RunStatus.FINISHED, share=1.0, rows=1)) == ("", "100%  ·  1 row")


@pytest.fixture
def bench(qtbot, qapp, tmp_path):
    made = Robustness(qtbot, qapp, tmp_path)
    yield made
    made.close()


def test_a_planned_evaluation_that_was_never_launched_is_not_running(bench):
    new_evaluation(bench.evaluations, small_plan())
    bench.page.evaluations.refresh()
    bench.wait(lambda: bench.page.evaluations.summaries)
    assert bench.page.evaluations.live == ()
    assert bench.page.evaluation_bar.isHidden()


def test_an_evaluation_is_started_cancelled_resumed_and_shown(bench):
    page = bench.page
    page.open_evaluate()
    bench.wait(lambda: page.dialogs.open_dialog is not None)
    dialog = page.dialogs.open_dialog
    dialog.problems.setValue(24)
    dialog.tokens.setValue(48)
    dialog.go.click()
    bench.wait(lambda: page.evaluations.live)
    assert not page.evaluation_bar.isHidden()
    bench.wait(lambda: page.evaluations.live[0].state.chunks > 0)
    page.evaluation_bar.stop.click()
    bench.wait(lambda: not page.evaluations.live and page.evaluation_bar.summary.state.over)
    kept = page.evaluation_bar.summary.state.rows
    assert page.evaluation_bar.summary.state.status in (RunStatus.STOPPED, RunStatus.FINISHED)
    if page.evaluation_bar.summary.state.status is RunStatus.STOPPED:
        page.evaluation_bar.resume.click()
        bench.wait(lambda: page.evaluations.live)
        bench.wait(lambda: not page.evaluations.live)
    (done,) = page.evaluations.summaries
    assert done.state.status is RunStatus.FINISHED
    assert done.state.rows == 24 * 10 >= kept
    bench.wait(bench.is_read)
    assert page.track.targets == ("starter",)
    assert any("finished" in text for text in bench.said)


def test_an_endpoint_that_reaches_its_limit_says_so_and_goes_on_with_another_one(bench, monkeypatch):
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    page, bar = bench.page, bench.page.evaluation_bar
    # Answers wait until the evaluation was seen at work: it would be over before.
    seen = threading.Event()
    seen.set()
    with FakeServer(say=lambda _body: "The answer is 12." if seen.wait(120) else "") as server:
        save_endpoint(Endpoint("mine", server.address, "m", concurrency=2))
        asked = EvalRequest(models=("endpoint:mine",), problems=8, conditions=(Condition.CLEAN,))
        page.evaluations.start(replace(asked, budget=SpendLimits(requests=3)))
        bench.wait(lambda: bar.isVisible() and bar.resume.isVisible())
        assert bar.summary.state.status is RunStatus.FAILED
        assert bar.summary.state.rows == 0
        assert "budget is used up" in bar.spent.text()
        # What was sent up to the end, not up to the last report.
        assert bar.summary.state.meters["mine"].requests == 3
        bar.resume.click()
        dialog = page.dialogs.open_dialog
        assert isinstance(dialog, LimitsDialog)
        assert dialog.spend.requests.value() == 3
        dialog.spend.requests.setValue(50)
        seen.clear()
        dialog.go.click()
        bench.wait(lambda: page.evaluations.live)
        seen.set()
        bench.wait(lambda: not page.evaluations.live)
        (done,) = page.evaluations.summaries
        assert done.state.status is RunStatus.FINISHED
        assert done.state.rows == 8
        assert server.bills == 8
        assert "8 requests" in bar.spent.text()


# ---------------------------------------------------------------------- prompts and token limit


@pytest.fixture
def instruct(tmp_path):
    """A folder of an instruct model, with weights of zeros."""
    folder = model_folder(tmp_path / "instruct", rows=49152)
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
    (folder / "chat_template.jinja").write_text(template)
    return folder


def test_the_token_limit_goes_with_the_targets_until_it_is_changed(qtbot, tasks, instruct):
    dialog = EvaluateDialog({}, {}, lambda _request: TIME, tasks)
    qtbot.addWidget(dialog)
    qtbot.waitUntil(lambda: dialog.prompts.used is not None)
    assert (dialog.tokens.value(), dialog.prompts.used.name, dialog.prompts.profile) == (128, "compact", None)
    dialog.targets.add("instruct", str(instruct), on=True)
    dialog.targets.tick(lambda value: value == str(instruct))
    dialog._render()
    qtbot.waitUntil(lambda: dialog.tokens.value() == 512)
    assert dialog.prompts.used.name == "neutral"
    dialog.tokens.setValue(300)
    dialog.targets.tick(lambda value: value != str(instruct))
    dialog._render()
    qtbot.waitUntil(lambda: dialog.prompts.used.name == "compact")
    assert dialog.tokens.value() == 300


def test_the_chosen_prompts_are_asked_of_every_target(qtbot, tasks, instruct):
    dialog = EvaluateDialog({}, {}, lambda _request: TIME, tasks)
    qtbot.addWidget(dialog)
    row = dialog.prompts
    row.picker.setCurrentIndex(next(i for i in range(row.picker.count()) if row.picker.itemText(i) == "cautious"))
    row.picker.activated.emit(row.picker.currentIndex())
    assert dialog.request.prompts == built_in(CAUTIOUS)
    request = replace(dialog.request, models=(str(instruct), "starter"))
    assert {t.prompts.name for t in make_plan(request).targets} == {"cautious"}
    assert [t.prompts.name for t in make_plan(replace(request, prompts=None)).targets] == ["neutral", "compact"]
