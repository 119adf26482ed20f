"""Facts about a run's health and time as text."""

from pathlib import Path

import pytest

from seirenes_app.services.charts.training import RUN_CHARTS
from seirenes_app.services.run_health import count_alarms, health_lines, standing_warnings
from seirenes_app.services.run_time import describe_time, run_parts, step_parts
from training.runs.events import Event
from training.runs.health import ALARMS
from training.runs.paths import RunPaths
from training.runs.processes import read_run
from training.runs.status import RunState, reduce

(TIME,) = [chart for chart in RUN_CHARTS if chart.key == "time"]


def state_of(*events):
    state = RunState()
    for seq, (kind, data) in enumerate(events):
        state = reduce(state, Event(seq, float(seq + 1), kind, data))
    return state


def step(number, **figures):
    return "step", {"step": number, "metrics": figures}


def alarm(number, code="truncated"):
    return "warning", {"step": number, "code": code, "message": "m.", "remedy": "r.", "alarm": "raised"}


LAUNCH = ("launch", {"steps": 9, "config": {"curriculum": {"guard_margin": 0.02}}})


def line_of(state, code):
    return next(line for line in health_lines(state) if line.code == code)


def test_every_alarm_has_a_line_also_before_the_first_step():
    assert [line.code for line in health_lines(RunState())] == [a.code for a in ALARMS]
    assert {line.status for line in health_lines(RunState())} - {"Fine"} == {"Not measured"}


def test_an_alarm_stands_from_its_warning_to_its_clearance_and_a_launch_says_which_stand():
    raised = state_of(LAUNCH, alarm(3), alarm(4, "gates"))
    assert (raised.raised, count_alarms(raised)) == (("truncated", "gates"), "2 alarms")
    cleared = reduce(raised, Event(9, 9.0, "cleared", {"code": "truncated", "step": 7}))
    assert cleared.raised == ("gates",)
    assert line_of(cleared, "truncated").status == "Fine (raised at step 3)"
    assert [w.newest.code for w in standing_warnings(cleared)] == ["gates"]
    again = reduce(cleared, Event(10, 10.0, "launch", {"steps": 9, "resumed_from": 2, "alarms": []}))
    assert again.raised == ()


def test_a_warning_of_an_older_run_is_a_notice():
    old = state_of(LAUNCH, ("warning", {"step": 3, "code": "truncated", "message": "m", "remedy": "r"}))
    assert old.raised == ()
    assert [w.text for w in standing_warnings(old)] == ["m"]


def test_the_guard_is_measured_against_the_best_evaluation_and_the_runs_margin():
    evals = [("eval", {"step": s, "metrics": {"clean": {"accuracy": a}}}) for s, a in ((0, 0.9), (2, 0.95), (4, 0.91))]
    line = line_of(state_of(LAUNCH, *evals), "clean_guard")
    assert (line.figure, line.limit) == ("91.0%", "at least 93.0%")


def test_needed_text_is_read_from_the_newest_evaluation():
    change = {"mean": -0.05, "low": -0.08, "high": -0.02, "problems": 200}
    clean = {"clean": {"accuracy": 0.9}}
    since = {"since_start": {"step": 0, "needed": change, "hinted": change}}
    state = state_of(LAUNCH, ("eval", {"step": 0, "metrics": clean}), ("eval", {"step": 2, "metrics": clean | since}))
    assert line_of(state, "deafness").figure == "needed -5.0 points (95% interval -8.0 to -2.0)"
    assert line_of(state_of(LAUNCH, ("eval", {"step": 0, "metrics": clean})), "deafness").status == "Not measured"


def test_time_is_summed_over_steps_and_what_came_after_them():
    state = state_of(
        LAUNCH, step(1, **{"time/decode": 6.0, "time/gradient": 2.0, "time/gates": 0.05}),
        step(2, **{"time/decode": 6.0, "time/gradient": 2.0}), ("done", {"outcome": "finished", "time": {"evaluation": 4.0}}),
    )  # fmt: skip
    assert run_parts(state) == {"decode": 12.0, "gates": 0.05, "gradient": 4.0, "evaluation": 4.0}
    assert describe_time(state) == "60% decode, 20% forward and backward, 20% evaluation, 0.2% other"
    assert describe_time(RunState()) == ""


def test_the_time_chart_is_stacked_to_the_whole_of_each_step():
    state = state_of(LAUNCH, step(1, **{"time/decode": 6.0, "time/gradient": 2.0, "time/gates": 0.01}),
                     step(2, **{"time/decode": 3.0, "time/evaluation": 5.0}))  # fmt: skip
    chart = TIME.make(state)
    assert [s.label for s in chart.keyed] == ["decode", "forward and backward", "evaluation", "other"]
    for i in range(2):
        assert sum(s.y[i] for s in chart.keyed) == pytest.approx(1.0)
        assert chart.keyed[-1].height(i) == pytest.approx(1.0)
    assert chart.wide_table().rows[0][0] == 2


def test_an_older_run_shows_the_stages_it_has():
    state = read_run(RunPaths(Path(__file__).parents[2] / "data" / "v0.1" / "run")).state
    assert set(step_parts(state.latest)) == {"r1", "r2", "r3", "update", "other"}
    assert describe_time(state).startswith("38% update, 30% R1 clean, ")
    assert [s.label for s in TIME.make(state).keyed] == ["R1 clean", "R2 hints", "R3 hinted", "update", "other"]
    assert {line.status for line in health_lines(state)} == {"Fine", "Not measured"}
