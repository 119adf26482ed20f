import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.services.formatting import change_words, is_clear, p_words, percent, percents, points, sentence
from training.core.statistics import Interval, Needed
from training.core.types import Condition
from training.evaluation.metric_types import Change

NEEDED = Needed(1000, 900)


def change(mean, low, high, p, needed=NEEDED, problems=200):
    return Change(
        "a", "b", "s", Condition.HINTED, None, problems, 0.44, 0.44 + mean, Interval(mean, low, high), p, needed
    )  # fmt: skip


def test_a_change_that_is_told_is_one():
    text = change_words("hinted accuracy", change(0.28, 0.23, 0.32, 1e-9))
    assert text == (
        "hinted accuracy rose from 44% to 72% (paired change +28 points [+23, +32] on 200 problems, p < 0.001)"
    )


def test_no_change_says_what_would_be_needed():
    text = change_words("clean accuracy", change(-0.01, -0.04, 0.02, 0.73, Needed(1121, 921)))
    assert text == (
        "clean accuracy: no change that 200 problems could show (−1 point [−4, +2], p = 0.73; about 930 more would be "
        "needed to see a change of 1 point)"
    )


shares = st.floats(-1, 1)


@given(shares, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_sentence_never_claims_more_than_its_interval(mean, below, above, p):
    found = change(mean, max(-1.0, mean - below), min(1.0, mean + above), p)
    text = change_words("accuracy", found)
    low, high = found.difference.low, found.difference.high
    if low <= 0 <= high or p >= 0.05:
        assert "no change" in text
        assert "rose" not in text
        assert "fell" not in text
    else:
        assert ("rose" in text) == (low > 0)
        assert ("fell" in text) == (high < 0)


@given(shares, st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_limit_beside_zero_is_not_written_as_zero(mean, below, above):
    found = Interval(mean, mean - below, mean + above)
    low = points(found).partition("[")[2].partition(",")[0]
    if found.low >= 0.0006:
        assert low.startswith("+")
    if found.low <= -0.0006:
        assert low.startswith("−")


@given(st.floats(0, 1))
def test_percents_near_the_ends_are_not_rounded_onto_them(share):
    text = percent(share)
    assert text.endswith("%")
    if 0.0005 <= share <= 0.9994:
        assert text not in ("0%", "100%")


def test_numbers_in_words():
    assert percents(Interval(0.44, 0.4, 0.49)) == "44% [40, 49]"
    assert points(Interval(0.01, -0.02, 0.04)) == "+1 point [−2, +4]"
    assert points(Interval(0.0, -0.02, 0.02)) == "0 points [−2, +2]"
    assert points(Interval(0.2, 0.003, 0.4)) == "+20.0 points [+0.3, +40.0]"
    assert (p_words(0.0001), p_words(0.0234)) == ("p < 0.001", "p = 0.023")
    assert sentence("a", "", "b") == "A; b."
    assert sentence("") == ""


@pytest.mark.parametrize(("low", "p", "clear"), [(0.01, 0.01, True), (0.01, 0.2, False), (-0.01, 0.01, False)])
def test_interval_and_p_must_agree(low, p, clear):
    assert is_clear(Interval(0.1, low, 0.2), p) is clear
