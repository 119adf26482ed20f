"""Facts about the Transfer view: an evaluation of several models, and how one is asked for."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import random
import shutil

from helpers.evals import fill, small_plan
from PySide6.QtCore import Qt

from seirenes_app.services.evaluation_request import HINTS_OF, EvalRequest, make_plan
from seirenes_app.store.resources import recorded_run
from seirenes_app.ui.pages.robustness.dialogs import EvaluateDialog
from seirenes_app.ui.pages.robustness.page import View
from training.core.types import Condition
from training.resources import data_folder
from training.runs.paths import RunPaths

MODELS = ("run@0", "run@80", "small-model")


def rule(key, problem):
    """Two models that hints harm, one less than the other, and one that hardly answers."""
    chance = random.Random(f"{key.target} {key.item} {key.index} {key.condition} {key.sample}").random()
    hard = random.Random(f"{key.item} {key.index}").random()
    if key.target == "small-model":
        return None if chance < 0.82 else problem.answer
    strength = {"run@0": 0.9, "run@80": 0.5}[key.target]
    hinted = strength * hard if key.condition is Condition.HINTED else 0.0
    return problem.answer if chance < 0.95 - 0.1 * (key.condition is Condition.PLACEBO) - hinted else "-7"


def measured(problems=8, samples=8):
    return fill(data_folder() / "evaluations", small_plan(problems, MODELS, samples=samples, temperature=1.0), rule)


def show(bench, paths):
    bench.open(paths)
    bench.page.show_view(View.TRANSFER)
    bench.wait(lambda: bench.page.transfer.suite.count() > 0)
    return bench.page.transfer


def test_models_and_hints_are_shown_with_what_can_be_said(bench):
    view = show(bench, measured())
    assert "small-model: nothing can be said." in view.summary.text()
    assert view.models.table.model().rowCount() == 3
    table = view.hints.table.model()
    assert table.rowCount() == 32
    # A model without any figure has its dashes where the others have theirs.
    right = [bool(table.index(0, i).data(Qt.ItemDataRole.TextAlignmentRole) & Qt.AlignmentFlag.AlignRight)
             for i in range(table.columnCount())]  # fmt: skip
    assert right == [False, False, True, True, True, True, True]
    first = view.hints.whole.text()
    assert first.splitlines()[-1] == "small-model: nothing can be said."
    view.hints.table.selectRow(3)
    assert view.hints.whole.text() != first
    bench.wait(lambda: not view.losses.waits and not view.losses.plot.drawing)
    assert [text for _, text in view.losses.chart.ticks] == ["run@0", "run@80"]


def test_one_model_alone_is_said_to_be_none(bench):
    bench.open(fill(data_folder() / "evaluations", small_plan(4, ("a",)), lambda key, problem: problem.answer))
    bench.page.show_view(View.TRANSFER)
    bench.wait(lambda: "no two models" in bench.page.transfer.empty_text)


def test_a_transfer_is_asked_for_with_the_hints_of_the_run(bench, tmp_path):
    run = RunPaths(tmp_path / "runs" / "mine")
    shutil.copytree(recorded_run(), run.root)
    bench.open(run)
    bench.page.show_view(View.TRANSFER)
    bench.page.ask_transfer()
    bench.wait(lambda: bench.page.findChild(EvaluateDialog) is not None)
    dialog = bench.page.findChild(EvaluateDialog)
    request = dialog.request
    assert request.suite == HINTS_OF + str(run.root)
    assert [step for _, step in request.checkpoints] == [80]
    dialog.reject()
    plan = make_plan(EvalRequest(((run, 80),), ("starter",), HINTS_OF + str(run.root), 6))
    assert plan.suites[0].problems == 6
    assert plan.suites[0].name == "mine hints 6"
