"""Facts about flips, performance drop rate, worst-of-k, McNemar over problems, majority votes and planning."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from training.core.statistics import (
    effective_df,
    fisher_exact,
    flips,
    holm,
    maj_at_k,
    mcnemar_clustered,
    mcnemar_exact,
    needed_problems,
    paired_bootstrap,
    pass_at_k,
    pdr,
    rank_correlation,
    robust_mean,
    seed_mean,
    t_quantile,
    wilson,
    worst_of_k_effect,
)  # fmt: skip

shares = st.sampled_from([0.0, 0.25, 0.5, 1.0])


def test_mcnemar_over_problems_of_one_pair_is_mcnemar():
    lost, won = [1] * 12 + [0] * 28, [0] * 12 + [1] * 4 + [0] * 24
    statistic = mcnemar([[9, 12], [4, 9]], exact=False, correction=False).statistic
    assert mcnemar_clustered(lost, won) == pytest.approx(stats.chi2.sf(statistic * 39 / 40, 1))


def test_mcnemar_over_problems_by_hand():
    # d = 2, −1, 3, 0: (3/4) · 4² / 14 = 6/7.
    assert mcnemar_clustered([2, 0, 3, 1], [0, 1, 0, 1]) == pytest.approx(math.erfc(math.sqrt(6 / 14)))
    assert mcnemar_clustered([1, 0], [1, 0]) == 1.0
    with pytest.raises(ValueError, match="lost and of won"):
        mcnemar_clustered([1], [])


def test_without_a_change_mcnemar_over_problems_is_rarely_significant_and_over_rollouts_often():
    rng = np.random.default_rng(5)
    rates = rng.beta(0.3, 0.3, (2000, 40, 2))
    first, second = (rng.random((2000, 40, 8)) < rates[..., i, None] for i in (0, 1))
    lost, won = (first & ~second).sum(2), (~first & second).sum(2)
    robust = np.mean([mcnemar_clustered(b, c) < 0.05 for b, c in zip(lost.tolist(), won.tolist(), strict=True)])
    naive = np.mean([mcnemar_exact(int(b), int(c)) < 0.05 for b, c in zip(lost.sum(1), won.sum(1), strict=True)])
    assert 0.03 <= robust <= 0.065
    assert naive > 0.3


def test_flips_of_single_outcomes_are_counts():
    clean, hinted = [1, 1, 1, 0, 0, 1, 1, 0], [1, 0, 0, 1, 0, 1, 0, 0]
    found = flips(clean, hinted)
    assert (found.harmful, found.helpful) == (wilson(3, 8), wilson(1, 8))
    assert found.net == paired_bootstrap([c - h for c, h in zip(clean, hinted, strict=True)])
    assert found.pairs == 8


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(shares, shares, st.integers(0, 4)), min_size=1, max_size=20))
def test_net_flips_are_harmful_less_helpful(rows):
    found = flips(*(list(column) for column in zip(*rows, strict=True)))
    assert found.net.mean == pytest.approx(found.harmful.mean - found.helpful.mean)


def test_flips_of_samples_are_the_share_of_all_pairs():
    clean, hinted = [[1, 1, 0, 1], [0, 1, 0, 0]], [[0, 1, 0, 0], [1, 1, 0, 1]]
    pairs = [(c, h) for cs, hs in zip(clean, hinted, strict=True) for c, h in itertools.product(cs, hs)]
    found = flips([sum(c) / 4 for c in clean], [sum(h) / 4 for h in hinted])
    assert found.harmful.mean == pytest.approx(sum(c and not h for c, h in pairs) / 32)
    assert found.helpful.mean == pytest.approx(sum(h and not c for c, h in pairs) / 32)


def test_the_drop_rate_by_hand():
    found = pdr([1] * 8 + [0] * 2, [1] * 6 + [0] * 4)
    assert found.mean == pytest.approx(0.25)
    assert pdr([0, 0], [1, 0]) is None
    assert pdr([1] * 10 + [0] * 10, [1] * 10 + [0] * 10).mean == 0
    assert pdr([1] * 10, [0] * 10).mean == pdr([1] * 10, [0] * 10).high == 1


def test_the_limits_of_the_drop_rate_are_where_the_test_of_the_ratio_turns():
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 5, 40)
    clusters = np.repeat(np.arange(40), sizes)
    clean = (rng.random(clusters.size) < 0.8).astype(float)
    hinted = clean * (rng.random(clusters.size) < 0.8)
    found = pdr(clean.tolist(), hinted.tolist(), clusters.tolist())
    c, h = (np.bincount(clusters, weights=x) for x in (clean, hinted))
    means = {ratio: robust_mean((h - h.sum() / sizes.sum() * sizes) - ratio * (c - c.sum() / sizes.sum() * sizes), sizes)
             for ratio in (1 - found.low, 1 - found.high)}  # fmt: skip
    df = effective_df(h - (1 - found.mean) * c)
    for ratio, spread in means.items():
        distance = abs(hinted.mean() - ratio * clean.mean()) / spread.error
        assert distance == pytest.approx(t_quantile(0.975, df))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(shares, shares, st.integers(0, 4)), min_size=1, max_size=30))
def test_the_drop_rate_is_finite_and_ordered(rows):
    clean, hinted, clusters = (list(column) for column in zip(*rows, strict=True))
    found = pdr(clean, hinted, clusters)
    assert (found is None) == (sum(clean) == 0)
    if found:
        assert -math.inf < found.low <= found.mean + 1e-9
        assert found.mean - 1e-9 <= found.high <= 1


def test_an_unsure_clean_accuracy_bounds_nothing():
    found = pdr([1] + [0] * 29, [1, 1] + [0] * 28)
    assert found.mean == -1
    assert found.low < -10
    assert found.high == 1


def test_worst_of_k_needs_equal_chances_to_fail():
    with pytest.raises(ValueError, match="problem 2 has 2 hinted and 1 placebo"):
        worst_of_k_effect([[1, 1], [1, 0]], [[1, 1], [1]])
    with pytest.raises(ValueError, match="its hinted and its placebo"):
        worst_of_k_effect([[1]], [])
    with pytest.raises(ValueError, match="between 0 and 1"):
        worst_of_k_effect([[2]], [[1]])


def test_worst_of_k_by_hand():
    hinted, placebo = [[1, 0], [1, 1], [0, 0], [1, 0], [1, 1]], [[1, 1], [1, 1], [1, 1], [1, 1], [0, 1]]
    found = worst_of_k_effect(hinted, placebo)
    assert (found.hinted, found.placebo) == (wilson(2, 5), wilson(4, 5))
    assert found.effect == paired_bootstrap([1, 0, 1, 1, -1])
    assert found.p_value == pytest.approx(mcnemar_exact(3, 1))
    assert found.hinted.mean == sum(map(all, hinted)) / 5
    assert worst_of_k_effect([[0.5, 0.5]], [[1, 0.5]]).effect.mean == 0.25


def test_a_no_op_attack_is_not_significant_beside_its_placebo_and_looks_like_one_without():
    rng = np.random.default_rng(11)
    p = rng.beta(2, 0.5, (1000, 100, 1))
    hinted, placebo = (rng.random((1000, 100, 4)) < p for _ in range(2))
    found = [worst_of_k_effect(h, q, seed=i) for i, (h, q) in
             enumerate(zip(hinted.tolist()[:300], placebo.tolist()[:300], strict=True))]  # fmt: skip
    assert np.mean([f.p_value < 0.05 for f in found]) <= 0.06
    assert np.mean([not f.effect.low <= 0 <= f.effect.high for f in found]) <= 0.08
    assert abs(np.mean([f.effect.mean for f in found])) < 0.01
    clean = placebo[:300, :, 0].mean()
    assert clean - np.mean([f.hinted.mean for f in found]) > 0.1


def test_a_real_attack_is_found():
    rng = random.Random(0)
    hinted = [[rng.random() < 0.7 for _ in range(4)] for _ in range(100)]
    placebo = [[rng.random() < 0.9 for _ in range(4)] for _ in range(100)]
    found = worst_of_k_effect(hinted, placebo)
    assert found.p_value < 0.001
    assert found.effect.low > 0.1


@pytest.mark.parametrize(("n", "right", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (6, 6, 6), (7, 3, 5)])
def test_pass_at_k_is_the_share_of_choices_with_a_right_one(n, right, k):
    choices = list(itertools.combinations([True] * right + [False] * (n - right), k))
    assert pass_at_k(n, right, k) == pytest.approx(sum(map(any, choices)) / len(choices))


def vote(sample: tuple[str | None, ...]) -> float:
    """The chance that a vote of these answers is won by "right", ties split evenly."""
    votes = [a for a in sample if a is not None]
    if not votes:
        return 0.0
    most = max(votes.count(a) for a in votes)
    leaders = {a for a in votes if votes.count(a) == most}
    return ("right" in leaders) / len(leaders)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["right", "a", "b", "c", None]), min_size=1, max_size=9), st.data())
def test_maj_at_k_is_the_mean_over_all_choices(answers, data):
    k = data.draw(st.integers(1, len(answers)))
    choices = list(itertools.combinations(answers, k))
    expected = sum(map(vote, choices)) / len(choices)
    assert maj_at_k(answers, [a == "right" for a in answers], k) == pytest.approx(expected)


def test_maj_at_k_by_hand():
    assert maj_at_k(["5", "5.0", "7", "7", "8"], [True, True, False, False, False]) == 0.5
    assert maj_at_k([None, None, "5"], [False, False, True]) == 1.0
    assert maj_at_k([None], [False]) == 0.0
    many = ["5"] * 40 + ["7"] * 24
    assert 0.9 < maj_at_k(many, [a == "5" for a in many], 32) < 1
    with pytest.raises(ValueError, match="k must be"):
        maj_at_k(["5"], [True], 2)
    with pytest.raises(ValueError, match="an answer or None"):
        maj_at_k([None], [True])


@pytest.mark.parametrize(("difference", "sd", "power"), [(0.05, 0.4, 0.8), (0.1, 0.3, 0.9), (-0.02, 0.25, 0.8)])
def test_the_problems_needed_equal_statsmodels(difference, sd, power):
    expected = TTestPower().solve_power(effect_size=abs(difference) / sd, power=power, alpha=0.05)
    assert needed_problems(difference, sd=sd, power=power).total == pytest.approx(math.ceil(expected), abs=1)


def test_the_problems_needed_by_discordance_give_the_power_in_a_simulation():
    needed = needed_problems(0.1, discordance=0.3)
    drawn = np.random.default_rng(0).multinomial(needed.total, [0.2, 0.1, 0.7], size=20_000)
    z = (drawn[:, 0] - drawn[:, 1]) / np.sqrt(drawn[:, 0] + drawn[:, 1])
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.02)


def test_the_problems_needed_in_words():
    needed = needed_problems(0.05, discordance=0.2, have=200)
    assert (needed.total, needed.more) == (626, 426)
    assert needed.sentence == "needs about 430 more problems"
    assert needed_problems(0.5, sd=0.1, have=100).sentence == "has enough problems"
    assert needed_problems(0.5, sd=0.1, have=needed_problems(0.5, sd=0.1).total - 1).sentence.endswith("1 more problem")
    assert needed_problems(0.0, sd=0.1).sentence == "no number of problems resolves a difference of zero"


def test_planning_refuses_what_cannot_be():
    for refused in ({}, {"sd": 1.0, "discordance": 0.5}, {"discordance": 0.05}, {"discordance": 1.5}, {"sd": -1.0}):
        with pytest.raises(ValueError):
            needed_problems(0.1, **refused)


@pytest.mark.parametrize("p_values", [[0.04], [0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.9], [0.0, 1.0, 0.02, 0.02]])
def test_holm_equals_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_holm_refuses_no_probabilities_and_takes_no_tests():
    assert holm([]) == []
    with pytest.raises(ValueError, match="p-value"):
        holm([1.2])


# ---------------------------------------------------------------------- seeds and problems


def test_a_mean_over_seeds_is_as_wide_as_seeds_differ():
    """Problems that all agree leave the seeds alone: then it is Student's interval of the seeds' means."""
    values = np.array([[0.1], [0.2], [0.3]]) + np.zeros((3, 50))
    found = seed_mean(values)
    half = t_quantile(0.975, 2) * 0.1 / math.sqrt(3)
    assert (found.seeds, found.problems) == (3, 50)
    assert found.interval.mean == pytest.approx(0.2)
    assert found.interval.high - 0.2 == pytest.approx(half, rel=1e-6)


def test_a_mean_over_seeds_that_agree_is_that_over_problems():
    rng = np.random.default_rng(0)
    one = rng.choice([-1.0, 0.0, 1.0], 200)
    found = seed_mean(np.stack([one, one, one])).interval
    half = t_quantile(0.975, 199) * one.std(ddof=1) / math.sqrt(200)
    assert found.high - found.mean == pytest.approx(half, rel=0.02)


def test_one_seed_has_the_interval_over_problems_and_a_gap_leaves_a_problem_out():
    rng = np.random.default_rng(0)
    one = rng.choice([-1.0, 0.0, 1.0], 60)
    assert seed_mean(one).interval == paired_bootstrap(one.tolist())
    assert seed_mean(one).seeds == 1
    two = np.stack([one, one])
    two[1, :10] = np.nan
    assert seed_mean(two).problems == 50
    with pytest.raises(ValueError, match="no problem"):
        seed_mean(np.full((2, 3), np.nan))


@pytest.mark.parametrize("spread", [0.0, 0.06])
def test_the_interval_over_seeds_and_problems_holds_the_truth(spread):
    rng, hits, studies = np.random.default_rng(1), 0, 200
    for _ in range(studies):
        skill = 0.6 + rng.normal(0, spread / math.sqrt(2), (2, 3, 1)) + 0.2 * rng.normal(size=120)
        right = rng.random((2, 3, 120)) < np.clip(skill, 0, 1)
        found = seed_mean(right[0].astype(float) - right[1]).interval
        hits += found.low <= 0 <= found.high
    assert hits / studies >= 0.92


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
def test_fisher_is_that_of_scipy(right1, wrong1, right2, wrong2):
    n1, n2 = right1 + wrong1, right2 + wrong2
    expected = stats.fisher_exact([[right1, wrong1], [right2, wrong2]]).pvalue if n1 and n2 else 1.0
    assert fisher_exact(right1, n1, right2, n2) == pytest.approx(expected)


def test_fisher_refuses_counts_that_cannot_be():
    with pytest.raises(ValueError, match="between 0 and the trials"):
        fisher_exact(3, 2, 0, 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(shares, shares), min_size=3, max_size=30))
def test_rank_correlation_is_that_of_scipy(pairs):
    first, second = zip(*pairs, strict=True)
    found = rank_correlation(first, second, samples=20)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
    else:
        assert found.mean == pytest.approx(stats.spearmanr(first, second).statistic)
        assert -1 - 1e-9 <= found.low <= found.mean <= found.high <= 1 + 1e-9


def test_rank_correlation_of_few_clusters_is_wider_than_of_many_pairs():
    rng = random.Random(3)
    first = [rng.random() for _ in range(60)]
    second = [x + 0.5 * rng.random() for x in first]
    alone = rank_correlation(first, second)
    together = rank_correlation(first, second, [i // 12 for i in range(60)])
    assert alone.low > 0.5
    assert together.mean == alone.mean
    with pytest.raises(ValueError, match="one cluster"):
        rank_correlation(first, second, [1])
