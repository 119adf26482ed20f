"""Where the time goes: laps that nest and sum to all of it."""

from training.runs.timing import StageTimer, TimePart


class Clock:
    t = 0.0

    def __call__(self) -> float:
        return self.t


def test_parts_sum_to_the_time_that_passed_and_an_inner_lap_is_not_the_outer_ones():
    clock = Clock()
    timer = StageTimer(clock)
    clock.t = 1.0
    with timer.lap(TimePart.SAMPLING):
        clock.t = 3.0
        with timer.lap(TimePart.DECODE):
            clock.t = 7.0
        clock.t = 7.5
    clock.t = 8.0
    taken = timer.take()
    assert taken == {"other": 1.5, "sampling": 2.5, "decode": 4.0}
    assert sum(taken.values()) == 8.0


def test_what_was_taken_is_not_counted_again_and_an_open_lap_goes_on():
    clock = Clock()
    timer = StageTimer(clock)
    with timer.lap(TimePart.GRADING):
        clock.t = 2.0
        assert timer.take() == {"other": 0.0, "grading": 2.0}
        assert timer.part == TimePart.GRADING
        clock.t = 5.0
    assert timer.take() == {"grading": 3.0, "other": 0.0}


def test_an_evaluation_is_counted_whole_with_the_laps_inside_it():
    clock = Clock()
    timer = StageTimer(clock)
    with timer.whole(TimePart.EVALUATION):
        with timer.lap(TimePart.DECODE):
            clock.t = 2.0
        clock.t = 3.0
    with timer.lap(TimePart.DECODE):
        clock.t = 4.0
    assert timer.take() == {"other": 0.0, "evaluation": 3.0, "decode": 1.0}


def test_a_lap_that_ends_with_an_error_is_closed():
    clock = Clock()
    timer = StageTimer(clock)
    try:
        with timer.whole(TimePart.EVALUATION), timer.lap(TimePart.DECODE):
            raise ValueError
    except ValueError:
        pass
    assert timer.part == TimePart.OTHER
    with timer.lap(TimePart.DECODE):
        clock.t = 1.0
    assert timer.take()["decode"] == 1.0
