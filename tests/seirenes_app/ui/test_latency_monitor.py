"""Facts about the watch on the window's thread."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import time

from helpers.latency_monitor import GOAL_MS, INTERVAL_MS, LatencyMonitor


def test_a_beat_that_comes_late_is_a_stall(qapp):
    now = [0.0]
    watch = LatencyMonitor(clock=lambda: now[0])
    watch.start()
    for step_ms in (INTERVAL_MS, INTERVAL_MS + 30, INTERVAL_MS + 2 * GOAL_MS, INTERVAL_MS):
        now[0] += step_ms / 1000
        watch.beat()
    assert round(watch.longest_ms) == 2 * GOAL_MS
    assert [round(ms) for ms in watch.late] == [2 * GOAL_MS]
    watch.start()
    assert watch.longest_ms == 0.0


def test_a_blocked_event_loop_is_seen(qtbot):
    watch = LatencyMonitor()
    watch.start()
    qtbot.wait(20)
    time.sleep(0.12)
    qtbot.wait(20)
    assert watch.stop() > 80
    # Sleeping is not computing.
    assert watch.own_ms < 80
