"""The charts of a training run: which there are, and which series each shows. Pure: run state in, chart out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from seirenes_app.services.charts.data import ChartData, Scale, Series
from seirenes_app.services.charts.style import GATES, HINT_TYPES, NAMED, OVERLAID, TIME_PARTS, SeriesStyle
from seirenes_app.services.run_time import PART_LABELS, main_parts, step_parts
from training.core.gates import Gate, GateTier
from training.runs.status import RunState

MEAN_OF = 5  # steps in the trailing mean that is drawn over a noisy series
GATE_LABELS = {
    Gate.EMPTY: "empty", Gate.TOO_LONG: "too long", Gate.STATES_ANSWER: "states the answer",
    Gate.MARKERS: "contains markers", Gate.REPETITION: "repeats itself", Gate.NUMBERS: "invents numbers",
    Gate.REWRITES_PROBLEM: "rewrites the problem", Gate.ADDS_FACT: "adds a fact",
    Gate.REPLACES_QUESTION: "replaces the question", Gate.OUTSIDE_LANGUAGE: "outside the language",
    Gate.NEAR_DUPLICATE: "near duplicate", Gate.JUDGE: "refused by the judge",
}  # fmt: skip


@dataclass(frozen=True)
class RunChart:
    """One chart: its title, a note beside it, and its series. The first `overlaid` series can be laid over others'."""

    key: str
    title: str
    note: str
    series: Callable[[RunState], list[Series]]
    scale: Scale = Scale.NUMBER
    large: bool = False
    overlaid: int = 1

    def make(self, state: RunState, others: Sequence[RunState] = ()) -> ChartData:
        """The chart of a run, with the main series of other runs on it, named by their run."""
        found = self.series(state)
        for i, other in enumerate(others):
            main = [s for s in self.series(other) if s.keyed and not s.area and len(s.x)][: self.overlaid]
            for j, s in enumerate(main):
                style = OVERLAID[(i * self.overlaid + j) % len(OVERLAID)]
                found.append(replace(s, label=f"{s.label} · {other.run_id}", style=style, low=(), high=(), width=1.3))
        return ChartData([s for s in found if len(s.x)], self.scale)


def trailing_mean(values: Sequence[float], window: int = MEAN_OF) -> list[float]:
    """Mean of each value and those before it, `window` at most."""
    means, total = [], 0.0
    for i, value in enumerate(values):
        total += value - (values[i - window] if i >= window else 0.0)
        means.append(total / min(i + 1, window))
    return means


def _lines(*lines: tuple[str, str, str, str]) -> Callable[[RunState], list[Series]]:
    """Series of the run's history: (name, label, colour, dash) of each."""
    return lambda state: [
        Series(label, SeriesStyle(colour, dash), *state.history.series(name)) for name, label, colour, dash in lines
    ]


def _smoothed(state: RunState, name: str, series: Series) -> list[Series]:
    """The trailing mean, and the raw values as a thin line without a legend entry."""
    steps, values = state.history.series(name)
    raw = replace(series, x=steps, y=values, style=SeriesStyle(series.style.colour), width=0.8, alpha=0.32, keyed=False)
    return [raw, replace(series, x=steps, y=trailing_mean(values))]


def _accuracy(state: RunState) -> list[Series]:
    found = []
    for name in ("clean", "hinted", "placebo", "needed"):
        rates = [(float(e.step), rate) for e in state.evals if (rate := _rate(e.metrics.get(name))) is not None]
        mean, low, high = ([rate[i] for _, rate in rates] for i in range(3))
        if name == "needed" and not rates:
            # Runs of earlier versions did not ask it.
            continue
        width = 1.2 if name in ("placebo", "needed") else 2.0
        label, at = f"{name}, frozen suite", [step for step, _ in rates]
        found.append(Series(label, NAMED[name], at, mean, low, high, marked=True, width=width))
    for name in ("clean", "hinted", "needed"):
        steps, values = state.history.series(f"{name}_accuracy")
        if name == "needed" and not steps:
            # Only runs with reasoner.needed_share ask it in training.
            continue
        low, high = (state.history.series(f"{name}_{end}")[1] for end in ("low", "high"))
        style = replace(NAMED[name], dash=":", marker="")
        found.append(Series(f"{name}, this step", style, steps, values, low, high, width=1.2, alpha=0.8))
    return found


def _rate(found: object) -> tuple[float, float, float] | None:
    values = [found.get(key) for key in ("accuracy", "low", "high")] if isinstance(found, dict) else []
    numbers = [float(v) for v in values if isinstance(v, int | float)]
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None


def _types(state: RunState) -> list[Series]:
    return [
        series
        for type_, style in HINT_TYPES.items()
        for series in _smoothed(state, f"hinted/{type_}", Series(type_.replace("_", " "), style))
    ]


def _reward(state: RunState) -> list[Series]:
    mean = Series(f"mean of {MEAN_OF} steps", SeriesStyle("adversary"), width=2.0)
    return _smoothed(state, "adversary_reward", mean)


def _gates(state: RunState) -> list[Series]:
    steps, passed = state.history.series("gate_pass_rate")
    found = [Series("passed", SeriesStyle("good"), steps, passed, width=1.8)]
    base = [0.0] * len(steps)
    for gate, style in zip(Gate, GATES, strict=True):
        known = dict(zip(*state.history.series(f"gate_fail/{gate}"), strict=True))
        if known:
            values = [known.get(step, 0.0) for step in steps]
            found.append(Series(GATE_LABELS[gate], style, steps, values, base=tuple(base)))
            base = [low + value for low, value in zip(base, values, strict=True)]
    for tier, label, style in (
        (GateTier.STRUCTURE, "structure", SeriesStyle("clean", ":")),
        (GateTier.JUDGE, "the judge", SeriesStyle("adversary", "-.")),
    ):
        x, shares = state.history.series(f"decided_by/{tier}")
        if x and any(shares):
            found.append(Series(f"decided by {label}", style, x, shares, width=1.4))
    return found


def _time(state: RunState) -> list[Series]:
    """Shares of each step's time, stacked; parts that are small in the whole run are put together."""
    shown = main_parts(state)
    steps: list[float] = []
    shares: dict[str, list[float]] = {part: [] for part in (*shown, "other")}
    for step, metrics in state.history.entries():
        parts = step_parts(metrics)
        if (whole := sum(parts.values())) <= 0.0:
            continue
        steps.append(float(step))
        for part in shown:
            shares[part].append(parts.get(part, 0.0) / whole)
        shares["other"].append(max(0.0, 1.0 - sum(shares[part][-1] for part in shown)))
    found, base = [], [0.0] * len(steps)
    for part, values in shares.items():
        found.append(Series(PART_LABELS[part], TIME_PARTS[part], steps, values, base=tuple(base)))
        base = [low + value for low, value in zip(base, values, strict=True)]
    return found


_entropy = _lines(("entropy/reasoner", "Reasoner", "clean", "-"), ("entropy/adversary", "Adversary", "adversary", "--"))
_lengths = _lines(
    ("length/solution_tokens", "solutions", "clean", "-"), ("length/hint_tokens", "hints", "adversary", "--")
)
_unread = _lines(("unparsable_rate", "unreadable", "hinted", "-"), ("truncated_rate", "cut off", "adversary", "--"))
_speed = _lines(("tokens_per_s", "tokens a second", "accent", "-"))

RUN_CHARTS = (
    RunChart("accuracy", "Accuracy", "only the frozen suite is comparable over time  ·  95%", _accuracy, Scale.SHARE,
             large=True, overlaid=2),
    RunChart("types", "Accuracy by hint type", f"current Adversary; bold: mean of {MEAN_OF}", _types,
             Scale.SHARE, overlaid=0),
    RunChart("reward", "Adversary reward", "mean drop from clean to hinted", _reward),
    RunChart("gates", "Gates", "share of new hints", _gates, Scale.SHARE),
    RunChart("entropy", "Entropy", "nats a token", _entropy, overlaid=2),
    RunChart("lengths", "Length", "mean tokens", _lengths, overlaid=2),
    RunChart("unread", "Unreadable and cut off", "share of a step's solutions", _unread, Scale.SHARE, overlaid=2),
    RunChart("speed", "Throughput", "while sampling", _speed),
    RunChart("time", "Where the time goes", "share of a step; pauses left out", _time, Scale.SHARE, overlaid=0),
)  # fmt: skip
