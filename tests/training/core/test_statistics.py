"""Facts about intervals of shares, means and paired differences, against statsmodels, scipy and by hand."""

import itertools
import math
import random

import numpy as np
import pytest
import statsmodels.api as sm
from helpers.experiments import cluster_mean, newcombe_clustered
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from training.core.statistics import (
    Interval,
    cluster_sums,
    effective_df,
    expected_half_width,
    newcombe,
    paired_bootstrap,
    robust_mean,
    sign_flip,
    t_quantile,
    wilson,
    wilson_clustered,
)  # fmt: skip

labelled_rows = st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.0]), st.integers(0, 5)), min_size=1, max_size=60)


def limits(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


@pytest.mark.parametrize(("a", "n", "b", "m"), [(9, 10, 3, 10), (56, 70, 48, 80), (0, 10, 0, 20), (10, 10, 0, 20)])
def test_newcombe_equals_statsmodels(a, n, b, m):
    low, high = confint_proportions_2indep(a, n, b, m, compare="diff", method="newcomb")
    assert limits(newcombe(a, n, b, m)) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("problems", [20, 60, 200])
@pytest.mark.parametrize(("rows", "correlation"), [(1, 1.0), (4, 1.0), (4, 0.4), (8, 0.1)])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_the_width_that_is_promised_is_the_width_that_comes(problems, rows, correlation, share):
    rng = np.random.default_rng(problems + rows)
    names = np.repeat(np.arange(problems), rows).tolist()
    halves = []
    for _ in range(60):
        # Beta-binomial rows: the correlation of two rows of a problem is 1 / (a + b + 1).
        if correlation == 1:
            rates = (rng.random(problems) < share).astype(float)
        else:
            size = 1 / correlation - 1
            rates = rng.beta(share * size, (1 - share) * size, problems)
        values = (rng.random((problems, rows)) < rates[:, None]).astype(float)
        found = wilson_clustered(values.reshape(-1).tolist(), names if rows > 1 else None)
        halves.append((found.high - found.low) / 2)
    promised = expected_half_width(problems, rows, share, correlation)
    assert np.mean(halves) == pytest.approx(promised, rel=0.1)
    assert expected_half_width(problems, rows) >= promised - 1e-12


def test_twenty_problems_promise_twenty_one_points_and_not_eight():
    assert round(100 * expected_half_width(20, 4)) == 21
    assert round(100 * expected_half_width(20)) == 20
    assert expected_half_width(1, 4) <= 0.5


def clustered_rows(seed: int, clusters: int) -> tuple[np.ndarray, list[str]]:
    """Rows in clusters of 1 to 6, with near-normal cluster effects."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, clusters)
    effects = np.repeat(rng.uniform(-1, 1, clusters), sizes)
    return effects + rng.uniform(-1, 1, sizes.sum()), [f"p{c}" for c in np.repeat(np.arange(clusters), sizes)]


@pytest.mark.parametrize("seed", range(5))
def test_the_clustered_error_equals_a_regression_with_clustered_errors(seed):
    values, clusters = clustered_rows(seed, 40)
    codes = np.unique(clusters, return_inverse=True)[1]
    fit = sm.OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
    (sums,), sizes = cluster_sums([values.tolist()], clusters)
    found = robust_mean(sums, sizes)
    assert found.mean == pytest.approx(fit.params[0])
    assert found.error == pytest.approx(fit.bse[0])
    half = t_quantile(0.975, found.df) * fit.bse[0]
    interval = cluster_mean(values.tolist(), clusters)
    assert limits(interval) == pytest.approx((fit.params[0] - half, fit.params[0] + half))
    if found.df == 39:
        assert limits(interval) == pytest.approx(tuple(fit.conf_int()[0]))


def test_light_tails_keep_all_degrees_of_freedom_and_give_the_usual_t_interval():
    values = [0.0, 1.0] * 15
    low, high = stats.t.interval(0.95, 29, np.mean(values), stats.sem(values))
    assert limits(cluster_mean(values)) == pytest.approx((low, high))


def test_rare_flips_cost_degrees_of_freedom_but_not_below_three():
    scores = np.array([1.0] + [0.0] * 29) - 1 / 30
    assert effective_df(scores) == 3
    kurtosis = stats.kurtosis(np.array([1.0] * 4 + [0.0] * 26), fisher=False)
    assert effective_df(np.array([1.0] * 4 + [0.0] * 26) - 4 / 30) == pytest.approx(60 / (kurtosis - 27 / 29))


def test_agreeing_clusters_reach_as_far_as_unseen_problems_allow():
    unseen = proportion_confint(0, 30, method="wilson")[1]
    assert limits(cluster_mean([0.0] * 30, limits=(-1, 1))) == pytest.approx((-unseen, unseen))
    assert limits(paired_bootstrap([0.0] * 30)) == pytest.approx((-unseen, unseen))
    assert limits(cluster_mean([1.0] * 60, list(range(30)) * 2, limits=(-1, 1))) == pytest.approx((1 - 2 * unseen, 1))
    assert limits(cluster_mean([5.0] * 30)) == (5.0, 5.0)


def test_one_problem_says_nothing_of_others():
    assert limits(cluster_mean([1.0, 0.0], ["a", "a"], limits=(-1, 1))) == (-1, 1)
    assert limits(cluster_mean([3.0, 4.0], ["a", "a"])) == (-math.inf, math.inf)
    assert limits(paired_bootstrap([0.5])) == (-1, 1)


def test_rows_of_their_own_give_wilson_and_equal_rows_of_one_problem_count_once():
    rows = [1.0] * 21 + [0.0] * 9
    assert wilson_clustered(rows) == wilson(21, 30)
    repeated, clusters = [r for r in rows for _ in range(8)], [i for i in range(30) for _ in range(8)]
    copies = wilson_clustered(repeated, clusters)
    # Thirty copied problems are no more than thirty: Wilson's limits with p(1−p)/error² = 29 rows and t's quantile.
    q, p, n = t_quantile(0.975, 29), 0.7, 29
    centre, half = (p + q * q / 58) / (1 + q * q / 29), q * math.sqrt(p * (1 - p) / n + q * q / (4 * n * n))
    assert limits(copies) == pytest.approx((centre - half / (1 + q * q / n), centre + half / (1 + q * q / n)))
    assert limits(wilson_clustered([1.0] * 240, clusters)) == limits(wilson(30, 30))


def test_newcombe_over_problems_of_one_sample_is_newcombe():
    first, second = [1.0] * 56 + [0.0] * 14, [1.0] * 48 + [0.0] * 32
    assert newcombe_clustered(first, None, second, None) == newcombe(56, 70, 48, 80)
    doubled = newcombe_clustered(first * 2, list(range(70)) * 2, second * 2, list(range(80)) * 2)
    assert doubled.high - doubled.low > 1.3 * (newcombe(112, 140, 96, 160).high - newcombe(112, 140, 96, 160).low)


@settings(max_examples=150, deadline=None)
@given(labelled_rows)
def test_every_interval_holds_its_mean_and_stays_possible(rows):
    values, clusters = [v for v, _ in rows], [c for _, c in rows]
    mean = sum(values) / len(values)
    found = [
        wilson_clustered(values, clusters), cluster_mean(values, clusters, limits=(0, 1)),
        paired_bootstrap(values, clusters, samples=200), newcombe_clustered(values, clusters, values, clusters),
    ]  # fmt: skip
    for interval, expected in zip(found, (mean, mean, mean, 0), strict=True):
        assert interval.mean == pytest.approx(expected, abs=1e-12)
        assert -1 <= interval.low <= interval.mean + 1e-12
        assert interval.mean - 1e-12 <= interval.high <= 1
    assert found[0].low >= 0


@settings(max_examples=50, deadline=None)
@given(labelled_rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_names_of_problems_do_not_matter(rows, rng):
    shuffled = rows[:]
    rng.shuffle(shuffled)
    one, other = ([v for v, _ in r] for r in (rows, shuffled))
    a = cluster_mean(one, [c for _, c in rows], limits=(-1, 1))
    b = cluster_mean(other, [f"problem {c}" for _, c in shuffled], limits=(-1, 1))
    assert limits(a) == pytest.approx(limits(b), abs=1e-9)


def test_the_bootstrap_repeats_and_is_close_to_the_closed_form():
    rng = random.Random(0)
    differences = [rng.choice([-0.5, 0, 0, 0.25, 0.5, 1]) for _ in range(200)]
    first = paired_bootstrap(differences, seed=3)
    assert first == paired_bootstrap(differences, seed=3) != paired_bootstrap(differences, seed=4)
    assert limits(first) == pytest.approx(limits(cluster_mean(differences, limits=(-1, 1))), abs=0.006)


def test_the_bootstrap_draws_whole_problems():
    rng = random.Random(1)
    one_each = [rng.choice([-1.0, 0.0, 0.0, 1.0, 1.0]) for _ in range(60)]
    four_each, clusters = [d for d in one_each for _ in range(4)], [i for i in range(60) for _ in range(4)]
    wide = paired_bootstrap(four_each, clusters)
    assert limits(wide) == pytest.approx(limits(paired_bootstrap(one_each)), abs=0.01)
    narrow = paired_bootstrap(four_each)
    assert narrow.high - narrow.low < 0.6 * (wide.high - wide.low)


def test_a_greater_confidence_is_wider():
    differences = [0.0, 0.5, 1.0, -0.5, 0.25] * 12
    for interval in (paired_bootstrap, cluster_mean):
        narrow, wide = interval(differences, confidence=0.8), interval(differences, confidence=0.99)
        assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("seed", range(4))
def test_the_sign_flip_test_equals_scipy(seed):
    rng = np.random.default_rng(seed)
    few = rng.normal(0.3, 1, 11).round(2).tolist()
    exact = stats.permutation_test((few,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip(few) == pytest.approx(exact)
    many = rng.normal(0.15, 1, 80)
    drawn = stats.permutation_test((many,), np.sum, permutation_type="samples", n_resamples=9999, rng=seed).pvalue
    assert sign_flip(many.tolist()) == pytest.approx(drawn, abs=0.02)


def test_the_sign_flip_test_by_hand():
    assert sign_flip([]) == sign_flip([0.0, 0.0]) == 1.0
    assert sign_flip([1.0] * 5 + [0.0] * 20) == pytest.approx(2 / 2**5)
    sums = [abs(sum(signs)) for signs in itertools.product((1, -1), (2, -2), (3, -3))]
    assert sign_flip([1, 2, 3]) == pytest.approx(sum(s >= 6 for s in sums) / 8)
    assert sign_flip([0.5] * 40 + [1.0] * 40) == pytest.approx(1 / 10_000)


def test_what_cannot_be_resampled_is_refused():
    for interval in (cluster_mean, wilson_clustered, paired_bootstrap):
        with pytest.raises(ValueError, match="no rows"):
            interval([])
        with pytest.raises(ValueError, match="one cluster"):
            interval([0.0, 1.0], ["a"])
        with pytest.raises(ValueError, match="finite"):
            interval([0.0, math.nan])
    for refused in (lambda: paired_bootstrap([2.0]), lambda: wilson_clustered([-0.5])):
        with pytest.raises(ValueError, match="outside"):
            refused()
    with pytest.raises(ValueError, match="finite"):
        sign_flip([math.inf])
