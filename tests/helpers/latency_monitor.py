"""How long the window's event loop was held up: by how much a timer that fires every few milliseconds came late.

It measures and mends nothing: for the benches, and for whoever hunts a stutter.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, QTimer

INTERVAL_MS = 4
GOAL_MS = 50.0
"""What no work on the window's thread may exceed."""
SHARE_KEPT = 200


class LatencyMonitor(QObject):
    """Between `start` and `stop`, `longest_ms` is the longest time in which no event could be taken.

    `own_ms` is the longest that this thread computed between two beats. On a machine that is busy with other processes
    the first is larger than the second, and what is between is nobody's to mend here.
    """

    def __init__(self, parent: QObject | None = None, *, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(parent)
        self._clock = clock
        self._last: float | None = None
        self._last_own = 0.0
        self.longest_ms = self.own_ms = 0.0
        self.late: list[float] = []
        """Stalls beyond the goal, in milliseconds, oldest first; the last `SHARE_KEPT`."""
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self.beat)

    def start(self) -> None:
        """Measure from now on; what was measured before is forgotten."""
        self.longest_ms, self.own_ms, self.late = 0.0, 0.0, []
        self._last, self._last_own = self._clock(), time.thread_time()
        self._timer.start()

    def stop(self) -> float:
        """Stop, and say the longest stall in milliseconds."""
        if self._timer.isActive():
            self.beat()
        self._timer.stop()
        self._last = None
        return self.longest_ms

    def beat(self) -> None:
        """The timer fired: what is beyond its interval is a stall."""
        now, own = self._clock(), time.thread_time()
        if self._last is not None:
            stall = 1000 * (now - self._last) - INTERVAL_MS
            self.longest_ms = max(self.longest_ms, stall)
            self.own_ms = max(self.own_ms, 1000 * (own - self._last_own))
            if stall > GOAL_MS:
                self.late = [*self.late[1 - SHARE_KEPT :], stall]
        self._last, self._last_own = now, own
