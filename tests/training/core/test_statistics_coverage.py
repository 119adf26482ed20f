"""The 95% intervals hold the truth in 93 to 97% of 2,000 simulated evaluations, clustered ones included.

The longer table, with the cells that miss, is tests/bench/bench_coverage.py.
"""

import numpy as np
import pytest
from helpers.experiments import World, cluster_mean, coverage, newcombe_clustered

from training.core.statistics import paired_bootstrap, pdr, wilson, wilson_clustered

EXPERIMENTS = 2000
WORLDS = [World(30, 1, 0.3), World(30, 8, 0.7), World(100, 8, 0.3)]


@pytest.fixture(scope="module", params=WORLDS, ids=lambda w: f"{w.problems} problems, {w.samples} samples, icc {w.icc}")
def world(request):
    return request.param, *request.param.draw(seed=7, experiments=EXPERIMENTS)


def covers(interval, truth: float) -> float:
    """The coverage of a function from an experiment's number to an Interval."""

    def limits(experiment: int) -> tuple[float, float]:
        found = interval(experiment)
        return found.low, found.high

    return coverage(limits, truth, EXPERIMENTS)


def rows(outcomes: np.ndarray) -> tuple[list[list[float]], list[int]]:
    """All rollouts of each experiment, and the problem of each."""
    _, n, k = outcomes.shape
    return outcomes.reshape(EXPERIMENTS, -1).astype(float).tolist(), np.repeat(np.arange(n), k).tolist()


def test_the_paired_gap(world):
    setting, clean, hinted = world
    gaps = (clean.mean(2) - hinted.mean(2)).tolist()
    truth = setting.clean - setting.hinted
    assert 93 <= covers(lambda e: paired_bootstrap(gaps[e], samples=400, seed=e), truth) <= 97
    assert 93 <= covers(lambda e: cluster_mean(gaps[e], limits=(-1, 1)), truth) <= 97


def test_the_drop_rate(world):
    setting, clean, hinted = world
    first, second = clean.mean(2).tolist(), hinted.mean(2).tolist()
    assert 93 <= covers(lambda e: pdr(first[e], second[e]), 1 - setting.hinted / setting.clean) <= 97


def test_the_accuracy(world):
    setting, clean, _ = world
    values, clusters = rows(clean)
    assert 93 <= covers(lambda e: wilson_clustered(values[e], clusters), setting.clean) <= 97
    assert 93 <= covers(lambda e: cluster_mean(values[e], clusters, limits=(0, 1)), setting.clean) <= 97


def test_the_worst_of_k_difference(world):
    setting, clean, hinted = world
    effects = (clean.all(2).astype(float) - hinted.all(2)).tolist()
    truth = setting.all_right(setting.clean) - setting.all_right(setting.hinted)
    assert 93 <= covers(lambda e: paired_bootstrap(effects[e], samples=400, seed=e), truth) <= 97


def test_an_unpaired_difference():
    setting = World(100, 8, 0.3)
    (first, clusters), (second, _) = rows(setting.draw(1, EXPERIMENTS)[0]), rows(setting.draw(2, EXPERIMENTS)[1])
    interval = lambda e: newcombe_clustered(first[e], clusters, second[e], clusters)  # noqa: E731
    assert 93 <= covers(interval, setting.clean - setting.hinted) <= 97


def test_hints_of_one_problem_stay_together():
    """Three hints a problem, unequal numbers of them: the bootstrap of all rows, by problem."""
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 6, 40)
    clusters = np.repeat(np.arange(40), sizes)
    effects = rng.choice([-0.25, 0.0, 0.0, 0.5], (EXPERIMENTS, 40))[:, clusters]
    values = (effects + rng.choice([-0.5, 0.0, 0.5], effects.shape)).tolist()
    labels = clusters.tolist()
    assert 93 <= covers(lambda e: paired_bootstrap(values[e], labels, samples=400, seed=e), 0.0625) <= 97
    assert covers(lambda e: cluster_mean(values[e], limits=(-1, 1)), 0.0625) < 93


def test_independent_intervals_miss_what_is_clustered():
    setting = World(30, 8, 0.7)
    right = setting.draw(1, EXPERIMENTS)[0].sum((1, 2)).tolist()
    assert covers(lambda e: wilson(right[e], 240), setting.clean) < 65
