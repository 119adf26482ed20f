"""The alarms of a run as lines: the present figure, the limit, whether the alarm stands. Pure: state in, text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from training.core.curriculum import CleanGuard
from training.runs.health import (
    ALARMS,
    BEFORE_STEPS,
    CLEAN_GUARD,
    DEAFNESS,
    FIRST_STEPS,
    RECENT_STEPS,
    STALLED_STAGE,
    Alarm,
    Reading,
    Trend,
    read_deafness,
)
from training.runs.status import LIVE, ProcessWarning, RunState

NOT_MEASURED = "—"


@dataclass(frozen=True)
class HealthLine:
    """One alarm of a run. `status`: "Raised at step 12", "Fine (raised at step 12)", "Fine" or "Not measured"."""

    code: str
    title: str
    figure: str
    limit: str
    rule: str
    raised: bool
    measured: bool
    status: str
    message: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class HealthWarning:
    """The newest warning of one code, and how often that code was raised."""

    newest: ProcessWarning
    times: int

    @property
    def text(self) -> str:
        return self.newest.message or self.newest.code

    @property
    def detail(self) -> str:
        step = f"step {self.newest.step}"
        when = step if self.times == 1 else f"{step}, {self.times} times in all"
        return "  ·  ".join(filter(None, (self.newest.remedy, when)))


def group_warnings(warnings: Sequence[ProcessWarning]) -> list[HealthWarning]:
    """One entry per code, the one that was raised last on top."""
    times = Counter(warning.code for warning in warnings)
    newest: dict[str, ProcessWarning] = {}
    for warning in reversed(warnings):
        newest.setdefault(warning.code, warning)
    return [HealthWarning(warning, times[code]) for code, warning in newest.items()]


def standing_warnings(state: RunState) -> list[HealthWarning]:
    """The alarms that stand, newest first, then the notices that nothing clears."""
    found = group_warnings(state.warnings)
    return sorted(
        (w for w in found if not w.newest.alarm or w.newest.code in state.raised), key=lambda w: not w.newest.alarm
    )


def count_alarms(state: RunState) -> str:
    """'2 alarms', '1 alarm', or empty."""
    count = len(state.raised)
    return "" if not count else f"{count} {'alarm' if count == 1 else 'alarms'}"


def alarm_title(code: str) -> str:
    return next((alarm.title for alarm in ALARMS if alarm.code == code), code)


def health_lines(state: RunState) -> list[HealthLine]:
    """Every alarm with its figure now, in a fixed order."""
    history = state.history
    trend = Trend(history.first(FIRST_STEPS), history.newest(max(BEFORE_STEPS + 1, RECENT_STEPS)), state.settings)
    newest = {w.code: w for w in state.warnings if w.alarm}
    return [_line(state, alarm, _reading(state, alarm, trend), newest.get(alarm.code)) for alarm in ALARMS]


def _reading(state: RunState, alarm: Alarm, trend: Trend) -> Reading | None:
    if alarm.code == CLEAN_GUARD:
        return _guard_reading(state, trend)
    if alarm.code == DEAFNESS:
        since = state.evals[-1].metrics.get("since_start") if state.evals else None
        return read_deafness(since, state.settings) if isinstance(since, dict) else None
    if alarm.code == STALLED_STAGE:
        return Reading("none" if STALLED_STAGE in state.raised else "yes", "yes") if state.status in LIVE else None
    return alarm.measure(trend)


def _guard_reading(state: RunState, trend: Trend) -> Reading | None:
    guard = CleanGuard(float(trend.setting("curriculum.guard_margin", 0.05)))
    accuracy = None
    for point in state.evals:
        clean = point.metrics.get("clean")
        if isinstance(clean, dict) and isinstance(clean.get("accuracy"), int | float):
            accuracy = float(clean["accuracy"])
            guard.observe(point.step, accuracy)
    if accuracy is None:
        return None
    return Reading(f"{100 * accuracy:.1f}%", f"at least {100 * (guard.best - guard.margin):.1f}%")


def _line(state: RunState, alarm: Alarm, reading: Reading | None, newest: ProcessWarning | None) -> HealthLine:
    raised = alarm.code in state.raised
    figure, limit = (reading.figure, reading.limit) if reading else (NOT_MEASURED, NOT_MEASURED)
    if raised:
        status = f"Raised at step {newest.step}" if newest else "Raised"
    elif newest is not None:
        status = f"Fine (raised at step {newest.step})"
    else:
        status = "Fine" if reading else "Not measured"
    message, remedy = (newest.message, newest.remedy) if newest else ("", "")
    return HealthLine(
        alarm.code, alarm.title, figure, limit, alarm.rule, raised, reading is not None, status, message, remedy
    )
