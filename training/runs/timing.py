"""Where a run's time goes: the parts that its events name, and the timer that adds them up. No I/O."""

import time
from collections.abc import Callable
from enum import StrEnum


class TimePart(StrEnum):
    """What a run spends time on. A step's event has the seconds of each since the event of the step before, pauses left
    out, as `time/<part>`; they sum to all that passed. What follows the last step is in the `done` event's `time`."""

    PREFILL = "prefill"
    """Prompts through the model."""
    DECODE = "decode"
    """Sampled tokens through the model."""
    DRAWING = "drawing"
    """Tokens drawn from logits."""
    SAMPLING = "sampling"
    """The rest of sampling: prompts into tokens, batches, text. With an engine on another machine, all of it."""
    GRADING = "grading"
    """Answers read and compared."""
    GATES = "gates"
    """Hints cleaned and checked."""
    GRADIENT = "gradient"
    """Forward and backward passes of the update."""
    OPTIMISER = "optimiser"
    EVALUATION = "evaluation"
    """All of an evaluation, its sampling included."""
    RECORDING = "recording"
    """Rollouts and figures written to the database and the event log."""
    CHECKPOINT = "checkpoint"
    OTHER = "other"
    """What no lap covers."""


class StageTimer:
    """Adds up seconds by part. Laps nest: an inner lap's time is not the outer one's, so that the parts sum to all.

    One thread uses it. `now` gives seconds; a clock that stands still in pauses leaves them out. The time is the
    host's: on a GPU work is queued, and waiting for it is counted where a result is read first, so of two laps without
    such a reading between them only the sum is right.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.now = now
        self._since = now()
        self._seconds: dict[str, float] = {}
        self._open: list[str] = [TimePart.OTHER]
        self._whole: str | None = None
        self._laps: dict[str, _Lap] = {}
        self.ticks = 0
        """How often a lap began or ended: it stands still where nothing goes on. Another thread may read it."""

    def lap(self, part: str) -> "_Lap":
        """`with timer.lap(part):` counts the block as `part`."""
        found = self._laps.get(part)
        if found is None:
            found = self._laps[part] = _Lap(self, part)
        return found

    def whole(self, part: str) -> "_Whole":
        """`with timer.whole(part):` counts the block as `part`, the laps inside it too."""
        return _Whole(self, part)

    @property
    def part(self) -> str:
        """The part under way."""
        return self._open[-1]

    def take(self) -> dict[str, float]:
        """Seconds by part since the last `take`; a lap that is open goes on."""
        self._charge()
        taken, self._seconds = self._seconds, {}
        return taken

    def _charge(self) -> None:
        now, part = self.now(), self._open[-1]
        self._seconds[part] = self._seconds.get(part, 0.0) + now - self._since
        self._since = now
        self.ticks += 1


class _Lap:
    """One object a part, entered again and again: a lap costs one or two microseconds."""

    __slots__ = ("_part", "_timer")

    def __init__(self, timer: StageTimer, part: str) -> None:
        self._timer, self._part = timer, part

    def __enter__(self) -> None:
        timer = self._timer
        timer._charge()
        timer._open.append(timer._whole or self._part)

    def __exit__(self, *_: object) -> None:
        timer = self._timer
        timer._charge()
        timer._open.pop()


class _Whole(_Lap):
    __slots__ = ("_outer",)

    def __enter__(self) -> None:
        super().__enter__()
        self._outer, self._timer._whole = self._timer._whole, self._timer.part

    def __exit__(self, *exception: object) -> None:
        self._timer._whole = self._outer
        super().__exit__(*exception)
