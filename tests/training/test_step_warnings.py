"""Facts about the warnings of a training step."""

import pytest

from training.metrics import FLAT_STEPS, flat_warning, health_warnings, is_flat
from training.runner import run_directory
from training.runs.config import from_dict, parse_overrides
from training.runs.events import EventKind, EventTail
from training.runs.paths import new_run


def codes(figures):
    return [code for code, *_ in health_warnings(figures)]


def test_unreadable_and_cut_off_solutions_above_five_percent_are_warned_of():
    assert codes({"unparsable_rate": 0.05, "truncated_rate": 0.05}) == []
    assert codes({"unparsable_rate": 1.0, "truncated_rate": 0.0}) == ["unreadable"]
    (_code, message, remedy) = health_warnings({"truncated_rate": 0.2})[0]
    assert "20%" in message
    assert "max_solution_tokens" in remedy


def test_a_step_is_flat_where_no_group_has_a_difference():
    assert is_flat({"groups/reasoner": 4, "zero_variance/reasoner": 4})
    assert not is_flat({"groups/reasoner": 4, "zero_variance/reasoner": 4, "groups/adversary": 1})
    assert not is_flat({})


@pytest.mark.parametrize(
    ("figures", "says"),
    [({"unparsable_rate": 1.0}, "few answers are read"), ({"clean_accuracy": 1.0}, "too easy"),
     ({"clean_accuracy": 0.0}, "too hard")],
)  # fmt: skip
def test_the_remedy_for_equal_rewards_fits_the_figures(figures, says):
    assert says in flat_warning(figures, 3)[2]


def test_a_run_of_which_nothing_is_read_says_so(tmp_path):
    settings = parse_overrides(
        [f"steps={FLAT_STEPS}", "rollout.questions=2", "rollout.clean=2", "rollout.hints=2", "rollout.hinted=2",
         "rollout.max_solution_tokens=8", "evaluation.problems=4", "evaluation.every=0", "checkpoint.every=0",
         "model.threads=1", "data.pool=20"],
    )  # fmt: skip
    paths = new_run(tmp_path, from_dict(settings, "test"), "r")
    assert run_directory(paths.root) == "finished"
    found = [e.data["code"] for e in EventTail(paths.events).poll() if e.kind == EventKind.WARNING]
    assert found.count("truncated") == FLAT_STEPS
    assert found.count("equal_rewards") == 1
