"""Facts about what is said of an evaluation before it starts: its time, and how wide its intervals will be."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.evals import small_plan

from seirenes_app.services.evaluation_estimate import (
    TimeRange,
    estimate_plan,
    estimate_request,
    plan_rows,
    precision_of_plan,
)
from seirenes_app.services.evaluation_request import EvalRequest, count_rows
from seirenes_app.services.evaluations import EvaluationSummary, plan_evaluation, starter_target
from training.core.types import Condition
from training.evaluation.eval_dir import EvalDir, describe_suite
from training.evaluation.status import EvalState, Pace


def past(*paths, paces=None, **state):
    plan = small_plan(targets=tuple(f"m{i}" for i in range(len(paths))))
    targets = tuple(replace(t, path=path) for t, path in zip(plan.targets, paths, strict=True))
    return EvaluationSummary(EvalDir(Path("/e")), replace(plan, targets=targets), EvalState(paces=paces or {}, **state))


STARTER = EvalRequest(models=("starter",), problems=100)


def test_a_model_that_was_never_measured_has_a_range_and_says_so():
    found = estimate_request(STARTER, ())
    assert found.high > 2 * found.low > 0
    assert " to " in found.text
    assert "guessed from the model's size, measured once the first problems are solved" in found.basis


def test_the_speed_of_another_model_is_never_taken():
    slow = past("/models/large", paces={"m0": Pace(10, 300, 3600.0)})
    assert estimate_request(STARTER, (slow,)) == estimate_request(STARTER, ())
    both = past("/models/large", "starter", paces={"m0": Pace(10, 300, 3600.0), "m1": Pace(900, 27000, 9.0)})
    found = estimate_request(STARTER, (both,))
    assert found.low == found.high == pytest.approx(6 + count_rows(STARTER) * 0.01)
    assert "measured in an earlier evaluation" in found.basis
    # Older versions kept one speed for all models together.
    assert estimate_request(STARTER, (past("/models/large", "starter", rows_per_s=0.04),)).low < 600
    old = estimate_request(STARTER, (past("starter", rows_per_s=100.0),))
    assert old.high == pytest.approx(6 + count_rows(STARTER) / 100)


def test_a_model_that_moved_is_known_by_its_fingerprint():
    plan = small_plan(problems=50)
    moved = replace(plan, targets=(replace(plan.targets[0], path="/elsewhere", fingerprint="abc"),))
    before = past("/models/a", paces={"m0": Pace(100, 3000, 50.0)})
    known = replace(before, plan=replace(before.plan, targets=(replace(before.plan.targets[0], fingerprint="abc"),)))
    assert estimate_plan(moved, (before,)).high > estimate_plan(moved, (before,)).low
    assert estimate_plan(moved, (known,)).high == pytest.approx(6 + 0.5 * plan_rows(moved))


def test_another_token_limit_is_counted_and_what_was_cut_off_is_a_range():
    short = past("starter", paces={"m0": Pace(100, 3000, 100.0)})
    cut = past("starter", paces={"m0": Pace(100, 12500, 100.0)})
    rows = count_rows(STARTER)
    assert estimate_request(replace(STARTER, max_tokens=512), (short,)).high == pytest.approx(6 + rows)
    assert estimate_request(replace(STARTER, max_tokens=15), (short,)).high == pytest.approx(6 + rows / 2)
    found = estimate_request(replace(STARTER, max_tokens=500), (cut,))
    assert (found.low, found.high) == pytest.approx((6 + rows, 6 + 4 * rows))


def test_a_range_of_one_length_is_said_as_one():
    assert TimeRange(60.0, 61.0, "").text == "about 1 min"
    assert TimeRange(60.0, 600.0, "").text == "1 min to 10 min"


def test_the_promised_width_is_that_of_the_planned_problems():
    suite = describe_suite("frozen:1", 20)
    assert "±21 points" in precision_of_plan(plan_evaluation([starter_target()], [suite]))
    clean = plan_evaluation([starter_target()], [suite], conditions=[Condition.CLEAN])
    assert "±20 points" in precision_of_plan(clean)
    large = plan_evaluation([starter_target()], [describe_suite("frozen:1", 500)])
    assert "±4 points" in precision_of_plan(large)
