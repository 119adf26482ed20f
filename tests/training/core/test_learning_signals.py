"""Facts about rewards, advantages, statistics, curriculum and archive."""

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from training.core.advantages import (
    GroupBuffer,
    RoleBaseline,
    adversary_reward,
    assign_advantages,
    group_advantages,
    reasoner_reward,
    sequential_share,
    should_run_hinted,
)
from training.core.archive import ArchivedHint, HintArchive, PastAdversaries, uncertain_weight
from training.core.curriculum import CleanGuard, MasteryPool, type_quota
from training.core.statistics import Interval, evenness, mcnemar_exact, newcombe, paired_bootstrap, pass_at_k, wilson
from training.core.types import HintType, Outcome


def test_rewards_by_hand():
    assert adversary_reward("drop", 0.75, 0.25) == 0.5
    assert adversary_reward("drop", 0.25, 0.5) == -0.25
    assert [adversary_reward("indicator", 0.5, p) for p in (0.25, 0.5)] == [1.0, 0.0]
    assert [adversary_reward("margin", 0.75, p, 0.25) for p in (0.25, 0.5)] == [1.0, 0.0]
    assert [adversary_reward("learnable", 1.0, p) for p in (0.0, 0.25, 1.0)] == [0.0, 0.75, 0.0]
    assert [o for o in Outcome if reasoner_reward(o, False)] == [Outcome.RIGHT]
    assert reasoner_reward(Outcome.RIGHT, True) == 0.0
    assert not should_run_hinted(0.0)


@pytest.mark.parametrize(("n", "share"), [(4, 0.36), (8, 0.40), (16, 0.43)])
def test_the_indicator_pays_a_hint_that_does_nothing(n, share):
    p = [math.comb(n, k) / 2**n for k in range(n + 1)]
    paid = sum(p[a] * p[b] * adversary_reward("indicator", a / n, b / n) for a in range(n + 1) for b in range(n + 1))
    assert paid == pytest.approx(share, abs=0.005)


def test_group_advantages_by_hand():
    assert group_advantages([1, 0, 0, 0], "none") == [0.75, -0.25, -0.25, -0.25]
    assert group_advantages([1, 1, 0, 0], "group") == pytest.approx([1, 1, -1, -1], abs=1e-4)
    assert group_advantages([1, 1, 1], "group") == [0, 0, 0]


def test_groups_are_never_pooled_and_the_baseline_is_read_before_it_moves():
    groups = [[1.0, 0.0], [1.0, 1.0]]
    plain, zero_variance, _ = assign_advantages(
        groups, baseline="group", scale="none", fallback=False, ema=RoleBaseline(0.5)
    )
    assert plain == [[0.5, -0.5], [0.0, 0.0]]
    assert zero_variance == 1
    averaged, _, ema = assign_advantages(
        groups, baseline="role_ema", scale="none", fallback=False, ema=RoleBaseline(0.5, 0.25)
    )
    assert averaged == [[0.75, -0.25], [0.75, 0.75]]
    assert ema.value == pytest.approx(RoleBaseline(0.5, 0.25).update([1, 0, 1, 1]).value)
    fallback, _, _ = assign_advantages(
        groups, baseline="group", scale="none", fallback=True, ema=RoleBaseline(0.5, 0.25)
    )
    assert fallback[1] == [0.75, 0.75]


def test_the_buffer_gives_whole_groups_oldest_first_and_forgets_the_oldest():
    buffer = GroupBuffer(5)
    for group in ([1, 1], [2, 2], [3, 3]):
        buffer.push(group)
    assert buffer.take(3) == [2, 2]
    assert buffer.take() == [3, 3]


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (480, 500)])
def test_wilson_equals_statsmodels(k, n):
    low, high = proportion_confint(k, n, method="wilson")
    assert (wilson(k, n).low, wilson(k, n).high) == pytest.approx((max(0, low), min(1, high)), abs=1e-9)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_newcombe_equals_statsmodels(n1, n2, data):
    k1, k2 = data.draw(st.integers(0, n1)), data.draw(st.integers(0, n2))
    low, high = confint_proportions_2indep(k1, n1, k2, n2, method="newcomb")
    found = newcombe(k1, n1, k2, n2)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert found.mean == pytest.approx(k1 / n1 - k2 / n2)
    back = newcombe(k2, n2, k1, n1)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_newcombe_of_a_published_case_and_of_nothing():
    # Newcombe 1998, table II, method 10: 56/70 against 48/80.
    found = newcombe(56, 70, 48, 80)
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert newcombe(0, 0, 0, 0) == Interval(0.0, -1.0, 1.0)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 9), (10, 10), (40, 12)])
def test_mcnemar_equals_statsmodels_and_the_binomial(b, c):
    expected = mcnemar([[5, b], [c, 5]], exact=True).pvalue if b + c else 1.0
    assert mcnemar_exact(b, c) == pytest.approx(expected)
    if b + c:
        assert mcnemar_exact(b, c) == pytest.approx(stats.binomtest(b, b + c).pvalue)


def test_the_bootstrap_covers_a_known_mean():
    rng = random.Random(1)
    hits = 0
    for i in range(200):
        sample = [rng.choice([-1, 0, 0, 1, 1]) for _ in range(100)]
        interval = paired_bootstrap(sample, samples=400, seed=i)
        hits += interval.low <= 0.2 <= interval.high
    assert hits / 200 > 0.89


def test_pass_at_k_and_evenness_by_hand():
    assert pass_at_k(4, 2, 1) == 0.5
    assert pass_at_k(4, 2, 3) == 1.0
    assert evenness(["a", "b"], 2) == pytest.approx(1.0)
    assert evenness(["a", "a"], 2) == 0.0


def test_a_mastered_question_is_drawn_less_and_comes_back_when_it_fails():
    pool = MasteryPool(["a", "b"], mastered_weight=0.1)
    pool.report("a", True, True)
    rng = random.Random(0)
    drawn = [pool.draw(rng, 1)[0] for _ in range(1000)]
    assert 40 < drawn.count("a") < 160
    pool = MasteryPool.from_state(pool.state_dict())
    assert pool.mastered_count == 1
    pool.report("a", True, False)
    assert pool.mastered_count == 0


def test_types_are_dealt_evenly():
    dealt = type_quota(random.Random(0), 18, list(HintType))
    counts = [dealt.count(t) for t in HintType]
    assert max(counts) - min(counts) <= 1


def test_the_guard_compares_with_the_best_so_far():
    guard = CleanGuard(0.05)
    assert not guard.observe(0, 0.90)
    assert not guard.observe(20, 0.86)
    result = CleanGuard(**guard.state_dict())
    assert result.observe(40, 0.84)
    assert result.best_step == 0


def test_the_archive_replays_what_still_hurts_and_keeps_the_best_of_a_cell():
    archive = HintArchive(capacity=3)
    hint = ArchivedHint("p", HintType.CORRELATION_TRAP, "some words here", 1, "change")
    hard, easy = archive.add(hint, success=0.0, drop=0.5), archive.add(hint, success=1.0, drop=0.1)
    drawn = [archive.draw(random.Random(i), 1)[0].id for i in range(300)]
    assert drawn.count(hard) > 0.9 * 300
    for _ in range(6):
        archive.report(hard, 1.0, 2)
    archive.trim()
    assert len(archive) == 2
    kept = [archive.add(hint, success=0.0, drop=0.2) for _ in range(2)]
    archive.trim()
    # Two are as easy as can be; the one that was not seen since step 1 leaves.
    assert [e["id"] for e in archive.state_dict()["entries"]] == [hard, *kept]
    again = HintArchive.from_state(archive.state_dict())
    assert again.state_dict() == archive.state_dict()
    assert again.coverage() == pytest.approx(1 / 84)
    assert easy != hard


def test_uncertain_replays_are_of_hints_that_are_solved_half_the_time():
    archive = HintArchive()
    hint = ArchivedHint("p", HintType.CORRELATION_TRAP, "some words here", 1, "change")
    never, half, always = (archive.add(hint, success=w, drop=0.1) for w in (0.0, 0.5, 1.0))
    drawn = Counter(archive.draw(random.Random(i), 1, uncertain_weight)[0].id for i in range(400))
    assert drawn[half] > 0.8 * 400
    assert drawn[never] > 0
    assert drawn[always] > 0


@pytest.mark.parametrize(("first", "whole"), [(2, 4), (2, 8), (3, 4), (3, 8), (4, 6)])
@pytest.mark.parametrize("p", [0.05, 0.25, 0.5, 0.9])
def test_p_hint_of_a_group_that_ended_early_is_unbiased(first, whole, p):
    estimate = share_of_all = drawn = 0.0
    for draws in itertools.product((0, 1), repeat=whole):
        chance = math.prod(p if right else 1 - p for right in draws)
        n = first if sum(draws[:first]) in (0, first) else whole
        estimate += chance * sequential_share(sum(draws[:n]), n, first)
        share_of_all += chance * sum(draws[:n]) / n
        drawn += chance * n
    assert estimate == pytest.approx(p)
    assert drawn < whole
    assert p == 0.5 or share_of_all != pytest.approx(p, abs=0.003)


def test_p_hint_of_a_group_that_was_decided_is_that_of_its_draws():
    assert [sequential_share(right, 2, 2) for right in (0, 2)] == [0.0, 1.0]
    assert {sequential_share(right, 4, 2) for right in (1, 2, 3)} == {0.5}
    assert sequential_share(0, 0, 2) == 0.0


def test_past_adversaries_that_are_withstood_are_met_less_often_and_leave_first():
    past, rng = PastAdversaries(capacity=3), random.Random(5)
    assert past.draw(rng) is None
    for step in (0, 20, 40):
        past.add(step)
    for _ in range(8):
        past.report(0, 1.0)
        past.report(20, 0.3)
    drawn = [past.draw(rng) for _ in range(400)]
    assert drawn.count(0) < 40 < drawn.count(40) < drawn.count(20)
    past.add(60)
    assert past.steps == (20, 40, 60)
    again = PastAdversaries(capacity=3)
    again.restore(past.state_dict(), [20, 60])
    assert again.steps == (20, 60)
