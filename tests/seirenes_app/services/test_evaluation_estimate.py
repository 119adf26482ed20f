"""Facts about what is said of an evaluation before it starts: its time, and how wide its intervals will be."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.evals import small_plan

from seirenes_app.services.evaluation_estimate import (
    TimeRange,
    estimate_plan,
    estimate_request,
    plan_costs,
    plan_rows,
    precision_of_plan,
    request_costs,
)
from seirenes_app.services.evaluation_request import EvalRequest, count_rows
from seirenes_app.services.evaluations import EvaluationSummary, plan_evaluation, starter_target
from training.core.types import Condition
from training.endpoints import Endpoint, Price, save_endpoint
from training.errors import UserError
from training.evaluation.eval_dir import EvalDir, describe_suite
from training.evaluation.plan import TargetKind
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


@pytest.fixture
def priced(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    return save_endpoint(Endpoint("mine", "http://127.0.0.1:9/v1", "m", Price(1.0, 10.0, "EUR"), concurrency=4))


def test_only_endpoints_cost_and_more_rows_cost_more(priced):
    assert request_costs(STARTER) == ()
    asked = EvalRequest(models=("starter", "endpoint:mine"), problems=100)
    (found,) = request_costs(asked)
    assert found.requests == count_rows(asked) / 2
    assert found.currency == "EUR"
    assert 0 < found.cost < found.at_most
    (more,) = request_costs(replace(asked, problems=200))
    assert more.cost == pytest.approx(2 * found.cost)
    with pytest.raises(UserError, match="no endpoint named"):
        request_costs(EvalRequest(models=("endpoint:gone",)))


def test_the_usual_length_is_the_one_that_was_measured(priced):
    asked = EvalRequest(models=("endpoint:mine",), problems=100, max_tokens=500)
    short = past("endpoint:mine", paces={"m0": Pace(100, 1000, 50.0)})
    (guessed,), (measured,) = request_costs(asked), request_costs(asked, (short,))
    assert measured.tokens < guessed.tokens
    assert measured.at_most == guessed.at_most
    plan = past("endpoint:mine").plan
    served = replace(plan, targets=(replace(plan.targets[0], kind=TargetKind.ENDPOINT),))
    (of_plan,) = plan_costs(served)
    assert of_plan.requests == plan_rows(served)


def test_the_time_of_an_endpoint_goes_with_what_it_takes_at_a_time_and_a_minute(priced):
    asked = EvalRequest(models=("endpoint:mine",), problems=100)
    usual = estimate_request(asked, ())
    assert "what endpoints usually take" in usual.basis
    save_endpoint(replace(priced, requests_per_minute=6))
    assert estimate_request(asked, ()).low >= count_rows(asked) * 10
