import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seirenes_app.services.formatting import (
    byte_size,
    change_tone,
    count_of,
    decimal,
    describe_change,
    describe_prompts,
    duration,
    is_clear,
    p_clause,
    percent,
    percent_interval,
    points_interval,
    sentence,
    short_count,
    time_ago,
)
from training.core.statistics import Interval, Needed
from training.core.types import Condition
from training.evaluation.metric_types import Change

NEEDED = Needed(1000, 900)


def change(mean, low, high, p, needed=NEEDED, problems=200):
    return Change(
        "a", "b", "s", Condition.HINTED, None, problems, 0.44, 0.44 + mean, Interval(mean, low, high), p, needed
    )  # fmt: skip


def test_a_change_that_is_told_is_one():
    text = describe_change("hinted accuracy", change(0.28, 0.23, 0.32, 1e-9))
    assert text == "hinted accuracy rose from 44% to 72%: +28 points [+23, +32], p < 0.001, 200 problems"


def test_no_change_says_what_would_be_needed():
    text = describe_change("clean accuracy", change(-0.01, -0.04, 0.02, 0.73, Needed(1121, 921)))
    assert text == (
        "clean accuracy shows no clear change: −1 point [−4, +2], p = 0.73, 200 problems (about 930 more would show "
        "one of this size)"
    )


shares = st.floats(-1, 1)


@given(shares, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_sentence_never_claims_more_than_its_interval(mean, below, above, p):
    found = change(mean, max(-1.0, mean - below), min(1.0, mean + above), p)
    text = describe_change("accuracy", found)
    low, high = found.difference.low, found.difference.high
    if low <= 0 <= high or p >= 0.05:
        assert "no clear change" in text
        assert "rose" not in text
        assert "fell" not in text
    else:
        assert ("rose" in text) == (low > 0)
        assert ("fell" in text) == (high < 0)


@given(shares, st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_limit_beside_zero_is_not_written_as_zero(mean, below, above):
    found = Interval(mean, mean - below, mean + above)
    low = points_interval(found).partition("[")[2].partition(",")[0]
    if found.low >= 0.0006:
        assert low.startswith("+")
    if found.low <= -0.0006:
        assert low.startswith("−")


@given(st.floats(0, 1))
@example(0.005)
@example(0.9995)
def test_a_share_that_is_neither_0_nor_1_is_not_printed_as_0_or_100(share):
    text = percent(share)
    assert text.endswith("%")
    if 1e-9 < share < 1 - 1e-9:
        assert text not in ("0%", "100%", "0.0%", "100.0%")


def test_numbers_in_words():
    assert percent_interval(Interval(0.44, 0.4, 0.49)) == "44% [40, 49]"
    assert percent_interval(Interval(0.007, 0.0034, 0.0144)) == "0.7% [0.3, 1.4]"
    assert (percent(0.005), percent(0.0001), percent(0.9999), percent(-0.0001)) == ("0.5%", "<0.1%", ">99.9%", "0%")
    assert points_interval(Interval(-0.177, -0.354, -0.0), "") == "−18 [−35, 0]"
    assert points_interval(Interval(0.01, -0.02, 0.04)) == "+1 point [−2, +4]"
    assert points_interval(Interval(0.0, -0.02, 0.02)) == "0 points [−2, +2]"
    assert points_interval(Interval(0.2, 0.003, 0.4)) == "+20.0 points [+0.3, +40.0]"
    assert (p_clause(0.0001), p_clause(0.0234)) == ("p < 0.001", "p = 0.023")
    assert sentence("a", "", "b") == "A; b."
    assert sentence("") == ""


@pytest.mark.parametrize(("low", "p", "clear"), [(0.01, 0.01, True), (0.01, 0.2, False), (-0.01, 0.01, False)])
def test_interval_and_p_must_agree(low, p, clear):
    assert is_clear(Interval(0.1, low, 0.2), p) is clear


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "—"), (-3, "0 s"), (41, "41 s"), (360, "6 min"), (7500, "2 h 5 min"), (7200, "2 h"), (273_600, "3 d 4 h")],
)
def test_a_duration_has_at_most_two_units(seconds, text):
    assert duration(seconds) == text


def test_a_time_is_relative_to_now():
    now = 1_800_000_000.0
    assert time_ago(None, now) == "—"
    assert time_ago(now - 5, now) == "just now"
    assert time_ago(now - 720, now) == "12 min ago"
    assert time_ago(now - 40 * 86_400, now).endswith(("2026", "2027"))


def test_counts_and_sizes():
    assert [short_count(n) for n in (12, 2_100_000, 7.6e9)] == ["12", "2.1 M", "7.6 B"]
    assert [count_of(n, "row") for n in (1, 12_000)] == ["1 row", "12,000 rows"]
    assert [byte_size(n * 2**20) for n in (0.02, 3.4, 740, 7782, 31_744)] == [
        "20 kB",
        "3.4 MB",
        "740 MB",
        "7.6 GB",
        "31 GB",
    ]
    assert (decimal(None), decimal(-0.001), decimal(-1.5), decimal(0.5, signed=True)) == ("—", "0.00", "−1.50", "+0.50")


def test_a_change_has_a_colour_only_where_it_is_clear():
    clear, unclear = Interval(0.04, 0.01, 0.07), Interval(0.04, -0.01, 0.09)
    assert (change_tone(clear), change_tone(clear, 0.2), change_tone(unclear), change_tone(None)) == (
        "good", "muted", "muted", "muted",
    )  # fmt: skip
    assert change_tone(Interval(-0.04, -0.07, -0.01)) == "bad"


def test_prompts_that_differ_are_a_caution_and_their_names_do_not_matter():
    assert describe_prompts({}) == ""
    assert describe_prompts({"a": "neutral@12", "b": "mine@12"}) == "Prompts neutral@12."
    text = describe_prompts({"a": "neutral@12", "b": "compact@34"})
    assert text == "Prompts differ (neutral@12 for a, compact@34 for b): a difference may come from them."
