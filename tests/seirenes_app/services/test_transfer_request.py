"""A transfer as it is asked for: its suite is made once, and the same request finds what was measured."""

from dataclasses import replace

import pytest
from helpers.evals import fill, small_plan

from seirenes_app.cli.main import main
from seirenes_app.services.evaluations import EvaluationRepository, starter_target
from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.services.robustness.sources import asking
from seirenes_app.services.transfer_request import TransferRequest, find_transfer, plan_transfer, split_names, target_of
from training.core.types import Condition
from training.errors import UserError
from training.evaluation.plan import SpendLimits, plan_from_json, plan_to_json
from training.evaluation.suites.builder import frozen_suite
from training.evaluation.suites.io import write_suite

MODELS = ("starter", "recorded@80")


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    return tmp_path


def test_hints_of_a_run_become_a_suite_once(data):
    first = plan_transfer(TransferRequest("recorded", MODELS, problems=8))
    again = plan_transfer(TransferRequest("recorded", MODELS, problems=8))
    other = plan_transfer(TransferRequest("recorded", MODELS, problems=9))
    assert first.suites == again.suites != other.suites
    assert sorted(f.name for f in suites_folder().iterdir()) == ["recorded hints 8", "recorded hints 9"]
    assert first.conditions == (Condition.CLEAN, Condition.HINTED, Condition.PLACEBO, Condition.NEEDED)
    assert [t.name for t in first.targets] == ["starter", "recorded@80"]


def test_a_suite_is_taken_as_it_is(data):
    write_suite(suites_folder() / "mine", frozen_suite(5, 3))
    assert plan_transfer(TransferRequest("mine", MODELS)).suites[0].problems == 5
    assert plan_transfer(TransferRequest("mine", MODELS, problems=2)).suites[0].problems == 2


def test_the_same_request_finds_its_evaluation_whatever_it_may_cost(data):
    write_suite(suites_folder() / "mine", frozen_suite(5, 3))
    plan = plan_transfer(TransferRequest("mine", MODELS))
    library = EvaluationRepository()
    assert find_transfer(plan, library) is None
    paths = library.create(plan)
    again = plan_transfer(TransferRequest("mine", MODELS, budget=SpendLimits(money=2.0)))
    assert again.budget.money == 2.0
    assert find_transfer(again, library).paths == paths
    assert find_transfer(replace(again, samples=2, temperature=1.0), library) is None


def test_an_exact_transfer_is_another_one_and_says_so(data):
    write_suite(suites_folder() / "mine", frozen_suite(5, 3))
    plan, exact = (plan_transfer(TransferRequest("mine", MODELS, exact=how)) for how in (False, True))
    library = EvaluationRepository()
    paths = library.create(plan)
    assert find_transfer(exact, library) is None
    assert find_transfer(plan, library).paths == paths
    assert plan_from_json(plan_to_json(exact), "plan.json") == exact
    assert asking(exact) == f"{asking(plan)}, one prompt at a time"


def test_what_is_not_there_is_said():
    with pytest.raises(UserError, match="neither a run nor a suite nor a campaign"):
        plan_transfer(TransferRequest("nothing-of-this-name", MODELS))
    with pytest.raises(UserError, match="at least two models"):
        plan_transfer(TransferRequest("recorded", ("starter",)))
    with pytest.raises(UserError, match="no checkpoint of step 7"):
        target_of("recorded@7")


def test_names_of_models_are_listed_in_any_way():
    assert split_names(["a, b", "c", "a"]) == ("a", "b", "c")
    assert target_of("starter") == starter_target()


def test_the_verb_shows_what_an_evaluation_found(data, capsys):
    def rule(key, problem):
        return "-7" if key.condition is Condition.HINTED and key.target == "a" and key.item % 6 else problem.answer

    paths = fill(data / "evaluations", small_plan(24, ("a", "b")), rule)
    assert main(["transfer", paths.run_id, "--csv", str(data / "out.csv")]) == 0
    text = capsys.readouterr().out
    assert "a: the hints cost +83 points" in " ".join(text.split())
    assert "loss of a hint" in (data / "out.csv").read_text()
    assert main(["transfer", paths.run_id, "--json"]) == 0
    assert '"loss"' in capsys.readouterr().out


def test_the_verb_refuses_numbers_that_make_no_sense(capsys):
    assert main(["transfer", "recorded", "--models", "starter,recorded@80", "--problems", "0"]) == 2
    assert "--problems is 0" in capsys.readouterr().err
