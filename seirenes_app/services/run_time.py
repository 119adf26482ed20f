"""Where a run's time went, by part and by step, and in a sentence. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seirenes_app.services.formatting import percent
from training.runs.status import RunState
from training.runs.timing import TimePart

PART_LABELS: dict[str, str] = {
    TimePart.PREFILL: "prefill", TimePart.DECODE: "decode", TimePart.DRAWING: "drawing tokens",
    TimePart.SAMPLING: "rest of sampling", TimePart.GRADING: "grading", TimePart.GATES: "gates",
    TimePart.GRADIENT: "forward and backward", TimePart.OPTIMISER: "optimiser", TimePart.EVALUATION: "evaluation",
    TimePart.RECORDING: "writing", TimePart.CHECKPOINT: "checkpoint",
    # Of runs that were recorded before the parts were.
    "r1": "R1 clean", "r2": "R2 hints", "r3": "R3 hinted", "update": "update",
    TimePart.OTHER: "other",
}  # fmt: skip
"""Every part in the order in which it is shown."""
SMALL_SHARE = 0.02
"""Parts below this share of a run's time are put together."""


def step_parts(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Seconds by part since the step before; of an older run its stages, and what its step took beside them."""
    found = _numbers(metrics, "time/")
    if found:
        return found
    stages = _numbers(metrics, "seconds/")
    whole = metrics.get("seconds")
    if stages and isinstance(whole, int | float):
        stages[TimePart.OTHER] = max(0.0, float(whole) - sum(stages.values()))
    return stages


def _numbers(metrics: Mapping[str, Any], prefix: str) -> dict[str, float]:
    found = ((name.removeprefix(prefix), value) for name, value in metrics.items() if name.startswith(prefix))
    return {part: float(value) for part, value in found if part in PART_LABELS and isinstance(value, int | float)}


def run_parts(state: RunState) -> dict[str, float]:
    """Seconds by part of all steps, and of what came after the last one; in the order of `PART_LABELS`."""
    total: dict[str, float] = {}
    for parts in (*(step_parts(metrics) for _, metrics in state.history.entries()), state.time_outside):
        for part, seconds in parts.items():
            total[part] = total.get(part, 0.0) + seconds
    return {part: total[part] for part in PART_LABELS if total.get(part, 0.0) > 0.0}


def main_parts(state: RunState) -> list[str]:
    """The parts that take a share of the time that is worth showing, in the order of `PART_LABELS`."""
    total = run_parts(state)
    least = SMALL_SHARE * sum(total.values())
    return [part for part, seconds in total.items() if seconds >= least and part != TimePart.OTHER]


def describe_time(state: RunState) -> str:
    """'61% decode, 12% forward and backward, 3% other', the largest first; empty where nothing was measured."""
    total = run_parts(state)
    whole = sum(total.values())
    if not whole:
        return ""
    shown = sorted(main_parts(state), key=lambda part: -total[part])
    texts = [f"{percent(total[part] / whole)} {PART_LABELS[part]}" for part in shown]
    rest = whole - sum(total[part] for part in shown)
    return ", ".join([*texts, *([f"{percent(rest / whole)} other"] if rest > 0.0005 * whole else [])])
