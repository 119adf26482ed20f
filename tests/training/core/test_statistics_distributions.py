"""Facts about Student's t, the incomplete beta function and chi-square, against scipy."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from training.core.statistics import beta_share, chi_square_tail, normal_quantile, t_quantile, t_tail


@settings(max_examples=300, deadline=None)
@given(st.floats(1e-4, 1 - 1e-4), st.floats(1, 5000))
def test_the_t_quantile_equals_scipy(probability, df):
    assert t_quantile(probability, df) == pytest.approx(stats.t.ppf(probability, df), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("df", [1, 2, 3, 2.5, 29, 99, 1e5, 1e8])
@pytest.mark.parametrize("probability", [0.005, 0.025, 0.5, 0.9, 0.975, 0.9995])
def test_the_t_quantile_at_the_usual_levels(probability, df):
    assert t_quantile(probability, df) == pytest.approx(stats.t.ppf(probability, df), rel=2e-7, abs=1e-12)


@settings(max_examples=300, deadline=None)
@given(st.floats(-50, 50), st.floats(0.5, 5000))
def test_the_t_tail_equals_scipy(value, df):
    assert t_tail(value, df) == pytest.approx(stats.t.sf(value, df), rel=1e-9, abs=1e-14)


@settings(max_examples=300, deadline=None)
@given(st.floats(0, 1), st.floats(0.3, 300), st.floats(0.3, 300))
def test_the_incomplete_beta_function_equals_scipy(x, a, b):
    assert beta_share(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("value", [0, 0.1, 3.841, 30, 200])
def test_the_chi_square_tail_equals_scipy(value):
    assert chi_square_tail(value) == pytest.approx(stats.chi2.sf(value, 1), rel=1e-12)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, math.nan])
def test_a_probability_outside_0_to_1_is_refused(probability):
    with pytest.raises(ValueError, match="between 0 and 1"):
        normal_quantile(probability)
    with pytest.raises(ValueError, match="between 0 and 1"):
        t_quantile(probability, 5)


def test_degrees_of_freedom_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        t_quantile(0.975, 0)
