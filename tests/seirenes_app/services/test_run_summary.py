"""Facts about words and figures for runs."""

import pytest

from seirenes_app.services.formatting import change_tone
from seirenes_app.services.run_summary import Change, measure_change, status_sentence
from training.runs.status import EvalPoint, RunState, RunStatus


def with_evals(*accuracies):
    points = tuple(EvalPoint(i, 0.0, "s", "h", {"clean": {"accuracy": a}}) for i, a in enumerate(accuracies))
    return RunState(status=RunStatus.FINISHED, step=3, steps=3, evals=points)


def test_the_change_is_from_the_first_to_the_newest_evaluation():
    assert measure_change(with_evals(0.4, 0.9, 0.7), "clean") == Change(0.4, 0.7)
    assert measure_change(with_evals(0.4, 0.7), "clean").points == pytest.approx(30)


def test_one_evaluation_is_a_before_and_none_is_not_measured():
    assert str(measure_change(with_evals(0.4), "clean")) == "40% so far"
    assert str(measure_change(with_evals(), "clean")) == "not measured"
    assert str(measure_change(with_evals(None, "x"), "clean")) == "not measured"
    assert measure_change(with_evals(0.4), "hinted") == Change()


def test_the_status_is_one_sentence_for_a_screen_reader():
    assert status_sentence(with_evals(0.4, 0.7)).startswith("Finished at step 3 of 3. Clean 40% → 70%")


@pytest.mark.parametrize(
    ("after", "tone"), [((0.44, 0.38, 0.5), "muted"), ((0.7, 0.64, 0.76), "good"), ((0.2, 0.1, 0.3), "bad")]
)
def test_a_change_is_coloured_only_where_its_interval_excludes_zero(after, tone):
    rates = [{"clean": dict(zip(("accuracy", "low", "high"), r, strict=True))} for r in ((0.4, 0.34, 0.46), after)]
    state = RunState(evals=tuple(EvalPoint(i, 0.0, "s", "h", r) for i, r in enumerate(rates)))
    assert change_tone(measure_change(state, "clean").difference) == tone
    assert change_tone(measure_change(with_evals(0.2, 0.9), "clean").difference) == "muted"


def test_no_change_is_claimed_where_most_answers_were_not_graded():
    def point(step, accuracy, unreadable):
        rate = {"accuracy": accuracy, "unparsable": unreadable, "truncated": 0.0, "timed_out": 0.0, "too_long": 0.0}
        return EvalPoint(step, 0.0, "s", "h", {"clean": rate})

    state = RunState(status=RunStatus.FINISHED, evals=(point(0, 0.1, 0.9), point(9, 0.6, 0.04)))
    change = measure_change(state, "clean")
    assert change.points is None
    assert str(change) == "10% → 60% (4% unreadable)"
    assert change.many_unread
