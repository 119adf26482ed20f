"""Facts about the alarms: raised at the right step, not repeated, cleared, and none where nothing is wrong."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.store.resources import resources_folder
from training.runs.events import EventTail
from training.runs.health import (
    ALARMS,
    CLEAR_AFTER,
    FIRST_STEPS,
    REPEAT_AFTER,
    Change,
    HealthMonitor,
    Trend,
    read_deafness,
)

HEALTHY = {
    "groups/reasoner": 160.0, "zero_variance/reasoner": 140.0, "groups/adversary": 32.0, "zero_variance/adversary": 8.0,
    "clean_accuracy": 0.9, "unparsable_rate": 0.01, "truncated_rate": 0.0, "gate_pass_rate": 0.8,
    "hint_unique_share": 0.8, "entropy/reasoner": 0.03, "entropy/adversary": 0.6, "length/solution_tokens": 30.0,
    "length/hint_tokens": 11.0, "kl": 0.01, "grad_norm": 0.5, "logprob_gap/max": 1e-5, "tokens_per_s": 7000.0,
    "seconds": 6.0, "seconds/r1": 0.5, "seconds/r2": 0.3, "seconds/r3": 2.2, "seconds/update": 3.0, "rss_mb": 1000.0,
    "time/decode": 2.0, "time/gradient": 3.0, "time/recording": 0.1,
}  # fmt: skip
BEGUN = FIRST_STEPS + 5


def play(changes, steps, settings=None, monitor=None, start=1):
    """Observe `steps` steps; from step `BEGUN + 1` on with `changes`. All that is said, as (step, change, code)."""
    monitor = monitor or HealthMonitor(settings or {})
    said = []
    for step in range(start, start + steps):
        figures = HEALTHY | (changes if step > BEGUN else {})
        said += [(step, c.change, c.code) for c in monitor.observe(step, figures)]
    return said


def flat(role):
    return {f"zero_variance/{role}": HEALTHY[f"groups/{role}"]}


# Figures, the alarm that they raise, and the step after BEGUN at which they do.
CASES = [
    ({**flat("reasoner"), **flat("adversary")}, "equal_rewards", 3),
    ({"zero_variance/reasoner": 160.0}, "flat_reasoner", 5),
    ({"zero_variance/adversary": 32.0}, "flat_adversary", 5),
    ({"unparsable_rate": 0.2}, "unreadable", 1),
    ({"truncated_rate": 0.16}, "truncated", 1),
    ({"gate_pass_rate": 0.1}, "gates", 2),
    ({"hint_unique_share": 0.3}, "narrow", 2),
    ({"entropy/adversary": 0.1}, "entropy", 2),
    ({"entropy/adversary": 2.0}, "entropy", 2),
    ({"entropy/reasoner": 0.002}, "entropy_reasoner", 2),
    ({"entropy/reasoner": 0.8}, "entropy_reasoner", 2),
    ({"length/solution_tokens": 6.0}, "length_solutions", 2),
    ({"length/solution_tokens": 90.0}, "length_solutions", 2),
    ({"length/hint_tokens": 3.0}, "length_hints", 2),
    ({"length/hint_tokens": 40.0}, "length_hints", 2),
    ({"logprob_gap/max": 0.8}, "logprob_gap", 2),
    ({"rss_mb": 2000.0}, "memory", 2),
    ({"kl": 0.5}, "kl", 1),
    ({"grad_norm": 60.0}, "gradient", 1),
    ({"grad_norm": math.inf}, "gradient", 1),
    ({"grad_norm": None}, "gradient", 1),
    ({"seconds": 40.0}, "slow_step", 1),
]


@pytest.mark.parametrize(("figures", "code", "after"), CASES, ids=[f"{c}-{i}" for i, (_, c, _) in enumerate(CASES)])
def test_an_alarm_is_raised_once_at_its_step_and_cleared_when_its_figure_is_healthy(figures, code, after):
    monitor = HealthMonitor({})
    said = play(figures, BEGUN + 8, monitor=monitor)
    assert said == [(BEGUN + after, Change.RAISED, code)]
    assert monitor.raised == (code,)
    cleared = []
    for step in range(BEGUN + 9, BEGUN + 30):
        cleared += [(step, c.change, c.code) for c in monitor.observe(step, HEALTHY)]
    assert [(change, found) for _, change, found in cleared] == [(Change.CLEARED, code)]
    assert cleared[0][0] >= BEGUN + 8 + CLEAR_AFTER
    assert monitor.raised == ()


def test_every_alarm_of_figures_has_a_case_here():
    measured = {alarm.code for alarm in ALARMS} - {"clean_guard", "deafness", "stalled_stage"}
    assert {code for _, code, _ in CASES} == measured


@pytest.mark.parametrize(("figures", "code", "after"), CASES, ids=[f"{c}-{i}" for i, (_, c, _) in enumerate(CASES)])
def test_a_message_names_the_figure_the_limit_and_a_remedy(figures, code, after):
    monitor = HealthMonitor({})
    for step in range(1, BEGUN + 1):
        monitor.observe(step, HEALTHY)
    for step in range(BEGUN + 1, BEGUN + after + 1):
        changes = monitor.observe(step, HEALTHY | figures)
    (change,) = changes
    assert any(c.isdigit() for c in change.message) or "not finite" in change.message
    assert change.message.endswith(".")
    assert change.remedy.endswith(".")


def test_an_alarm_that_stands_is_said_again_after_fifty_steps():
    said = play({"truncated_rate": 0.4}, BEGUN + 2 * REPEAT_AFTER + 10)
    first = BEGUN + 1
    assert said == [
        (first, Change.RAISED, "truncated"), (first + REPEAT_AFTER, Change.REPEATED, "truncated"),
        (first + 2 * REPEAT_AFTER, Change.REPEATED, "truncated"),
    ]  # fmt: skip


def test_a_figure_that_wavers_is_one_alarm():
    monitor, said = HealthMonitor({}), []
    for step in range(1, 60):
        figures = HEALTHY | ({"grad_norm": 60.0} if step > BEGUN and step % 3 == 0 else {})
        said += [(c.change, c.code) for c in monitor.observe(step, figures)]
    assert said == [(Change.RAISED, "gradient")]


def test_alarms_go_on_after_a_resume_as_without():
    figures = {"truncated_rate": 0.4, "entropy/adversary": 0.05}
    whole = play(figures, 40)
    monitor = HealthMonitor({})
    parts = play(figures, 22, monitor=monitor)
    resumed = HealthMonitor({})
    resumed.catch_up([(step, HEALTHY | (figures if step > BEGUN else {})) for step in range(1, 23)])
    assert resumed.raised == monitor.raised
    assert parts + play(figures, 18, monitor=resumed, start=23) == whole


def test_a_run_without_an_adversary_learns_nothing_when_its_own_groups_are_equal():
    clean = {k: v for k, v in HEALTHY.items() if "adversary" not in k and "hint" not in k} | {"groups/adversary": 0.0}
    monitor, said = HealthMonitor({}), []
    for step in range(1, 4):
        said += [(step, c.code) for c in monitor.observe(step, clean | flat("reasoner"))]
    assert said == [(3, "equal_rewards")]


def test_equal_rewards_are_no_alarm_where_rewards_are_compared_across_groups():
    equal = {**flat("reasoner"), **flat("adversary")}
    assert play(equal, BEGUN + 10, {"advantage": {"baseline": "role_ema"}}) == []


def test_one_flat_role_is_named_and_the_other_is_not_said_to_learn_nothing():
    monitor = HealthMonitor({})
    messages = [c.message for step in range(1, 9) for c in monitor.observe(step, HEALTHY | flat("adversary"))]
    assert messages == ["64 of the Adversary's 64 groups in 2 steps had equal rewards: the Adversary learns nothing."]


def test_a_few_equal_groups_of_a_tiny_run_are_no_alarm_for_one_role():
    tiny = HEALTHY | {"groups/adversary": 2.0, "zero_variance/adversary": 2.0}
    monitor = HealthMonitor({})
    assert [c for step in range(1, 12) for c in monitor.observe(step, tiny)] == []


@pytest.mark.parametrize(
    ("figures", "says"),
    [({"unparsable_rate": 1.0}, "few answers are read"), ({"clean_accuracy": 1.0}, "too easy"),
     ({"clean_accuracy": 0.0}, "too hard")],
)  # fmt: skip
def test_the_remedy_for_equal_rewards_fits_the_figures(figures, says):
    monitor = HealthMonitor({})
    equal = HEALTHY | flat("reasoner") | flat("adversary") | figures
    said = {c.code: c.remedy for step in range(1, 4) for c in monitor.observe(step, equal)}
    assert says in said["equal_rewards"]


def test_longer_solutions_are_no_slow_step():
    longer = {"seconds": 24.0, "seconds/r1": 3.0, "seconds/r3": 9.0, "length/solution_tokens": 60.0}
    assert play(longer, BEGUN + 10) == []


def test_a_slow_step_says_what_it_was_spent_on_and_the_first_of_a_launch_is_none():
    monitor = HealthMonitor({})
    for step in range(1, 10):
        assert monitor.observe(step, HEALTHY) == []
    assert monitor.observe(10, HEALTHY | {"seconds": 60.0, "warming_up": 1.0}) == []
    (change,) = monitor.observe(11, HEALTHY | {"seconds": 60.0, "time/recording": 54.0})
    assert "60 s" in change.message
    assert "went into recording" in change.remedy


@pytest.mark.parametrize("settings", [{"update": {"epochs": 2}}, {"update": {"max_rows": 64}}])
def test_rows_of_older_weights_are_no_gap_between_sampler_and_trainer(settings):
    assert play({"logprob_gap/max": 2.0}, BEGUN + 5, settings) == []


def test_the_recorded_run_raises_no_alarm():
    monitor, steps = HealthMonitor({}), 0
    for event in EventTail(resources_folder() / "recorded/events.jsonl").poll():
        if event.kind == "step":
            steps += 1
            assert monitor.observe(event.data["step"], event.data["metrics"]) == []
    assert steps >= 80


def test_a_monitor_that_catches_up_with_a_long_run_knows_what_stands():
    monitor = HealthMonitor({})
    monitor.catch_up([(step, HEALTHY | ({"truncated_rate": 0.4} if step > BEGUN else {})) for step in range(1, 3000)])
    assert monitor.raised == ("truncated",)


VALUES = st.one_of(st.none(), st.floats(), st.integers(-5, 5), st.text(max_size=2), st.booleans())


@given(st.lists(st.dictionaries(st.sampled_from(sorted(HEALTHY)), VALUES), max_size=25))
def test_any_figures_are_measured_without_an_error(steps):
    for alarm in ALARMS:
        alarm.measure(Trend(steps[:FIRST_STEPS], steps))
    monitor = HealthMonitor({})
    for step, figures in enumerate(steps):
        monitor.observe(step, figures)


def change(mean, half):
    return {"mean": mean, "low": mean - half, "high": mean + half, "problems": 200}


def test_deafness_needs_needed_to_fall_and_hinted_to_rise_each_beyond_its_interval():
    def raised(needed, hinted):
        return read_deafness({"step": 0, "needed": needed, "hinted": hinted}, {}).exceeded

    assert raised(change(-0.05, 0.03), change(0.3, 0.05))
    assert not raised(change(-0.05, 0.06), change(0.3, 0.05))
    assert not raised(change(-0.05, 0.03), change(0.02, 0.05))
    assert not raised(change(0.05, 0.03), change(0.3, 0.05))
    assert read_deafness({"step": 0, "hinted": change(0.3, 0.05)}, {}) is None
    assert read_deafness({}, {}) is None


def test_the_message_of_deafness_has_both_changes_with_their_intervals():
    reading = read_deafness({"step": 0, "needed": change(-0.05, 0.03), "hinted": change(0.325, 0.065)}, {})
    assert "fell by 5.0 points (95% interval -8.0 to -2.0)" in reading.message
    assert "rose by 32.5 (95% interval +26.0 to +39.0)" in reading.message


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        (
            {},
            "reasoner.needed_share = 0.5 (it has 0) and reasoner.placement = 'varied', or a lower update.learning_rate",
        ),
        ({"needed_share": 0.5, "placement": "varied"}, "reasoner.needed_share = 0.75 (it has 0.5), or a lower"),
        ({"needed_share": 0.9}, "reasoner.needed_share = 1 (it has 0.9) and reasoner.placement = 'varied', or a lower"),
        ({"needed_share": 1.0, "placement": "varied"}, "Start a run with a lower update.learning_rate."),
    ],
)
def test_the_advice_against_deafness_goes_beyond_the_settings_of_the_run(settings, advice):
    since = {"step": 0, "needed": change(-0.05, 0.03), "hinted": change(0.325, 0.065)}
    assert advice in read_deafness(since, {"reasoner": settings}).remedy
