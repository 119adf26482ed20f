"""Facts about an evaluation's time left."""

import random

import pytest

from training.evaluation.status import Pace, time_left


def test_nothing_measured_is_nothing_known():
    assert time_left(100, 128, Pace()) is None
    assert time_left(100, 128, Pace(), Pace(0, 0, 30.0)) is None


def test_whole_chunks_give_the_time_a_completion_took():
    assert time_left(100, 128, Pace(1000, 30_000, 50.0)) == pytest.approx(5.0, rel=0.01)
    assert time_left(0, 128, Pace(1000, 30_000, 50.0)) == 0


def test_an_engine_that_counts_no_tokens_has_its_time_by_completions():
    assert time_left(90, 128, Pace(), Pace(10, 0, 5.0)) == 45.0
    assert time_left(90, 128, Pace(90, 3000, 45.0), Pace(10, 0, 5.0)) == 45.0


def simulate(lengths, rows, step_s, max_tokens):
    """(seconds since the start, estimate) of a batch of `rows` that is refilled, a token a row and step."""
    waiting, running, finished, tokens, found = list(lengths), [], 0, 0, []
    second = 0.0
    while waiting or running:
        while waiting and len(running) < rows:
            running.append(waiting.pop())
        running = [left - 1 for left in running]
        tokens += len(running)
        second += step_s
        finished += running.count(0)
        running = [left for left in running if left]
        found.append((second, time_left(len(lengths) - finished, max_tokens, Pace(), Pace(finished, tokens, second))))
    return found


def test_the_estimate_within_a_chunk_is_near_the_truth_and_never_stands_still():
    luck = random.Random(4)
    lengths = [min(256, 1 + int(luck.expovariate(1 / 60))) for _ in range(400)]
    found = simulate(lengths, 32, 0.1, 256)
    total = found[-1][0]
    for second, left in found[5:]:
        # A batch with fewer and fewer rows has no faster steps, which the estimate cannot know.
        assert left <= 3 * (total - second) + 0.1 * total
        if second < 0.7 * total:
            assert left >= 0.4 * (total - second)
    values = [left for _, left in found]
    assert all(a != b for a, b in zip(values, values[1:], strict=False))


def test_before_the_first_completion_has_ended_there_is_an_estimate():
    assert time_left(128, 128, Pace(), Pace(0, 64, 1.0)) == pytest.approx(128 * (64 + 38.4) / 64, rel=0.01, abs=2)
