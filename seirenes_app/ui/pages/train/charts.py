"""Which charts a run has, and which lines each shows. Pure: state in, lines out.

The charts of a run in a grid: two columns, three in a wide window; the first is large. Draws one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QWidget

from seirenes_app.ui.charts.drawing import Line
from seirenes_app.ui.charts.live_chart import Chart
from seirenes_app.ui.theme import SPACE_4
from training.core.gates import Gate
from training.core.types import HintType
from training.runs.status import RunState, RunStatus

MEAN_OF = 5
"""Steps in the trailing mean that is drawn over a noisy series."""

TYPE_INKS = {
    HintType.INFORMATION_OVERLOAD: ("#0f6f6b/#5cd0c4", "-", "o"),
    HintType.CORRELATION_TRAP: ("#a3195b/#ff9cc7", "--", "s"),
    HintType.SEMANTIC_MISLEADING: ("#4338ca/#a9b2ff", "-.", "^"),
    HintType.INSTRUCTION_CONTAMINATION: ("#5c6b00/#c9d65a", ":", "D"),
}
"""Colour, dash and marker of a type, the same in every chart."""

GATE_INKS = (
    ("#ac211b/#ff9188", "////"), ("#835200/#e8c063", "...."), ("#4338ca/#a9b2ff", "\\\\\\\\"),
    ("#a3195b/#ff9cc7", "xxxx"), ("#57636f/#a3b0bd", "----"), ("#5c6b00/#c9d65a", "||||"),
    ("#83369c/#d9a3f2", "++++"), ("#0a6870/#55c7cb", "////"),
)  # fmt: skip
GATE_WORDS = {
    Gate.EMPTY: "empty", Gate.TOO_LONG: "too long", Gate.STATES_ANSWER: "states the answer",
    Gate.MARKERS: "carries markers", Gate.REPETITION: "repeats itself", Gate.NUMBERS: "numbers no one writes",
    Gate.REWRITES_PROBLEM: "rewrites the problem", Gate.NEAR_DUPLICATE: "near duplicate",
}  # fmt: skip


@dataclass(frozen=True)
class ChartSpec:
    """One chart: its title, one quiet line beside it, and what it shows. `unit`: the values are shares."""

    key: str
    title: str
    note: str
    make: Callable[[RunState], list[Line]]
    unit: bool = False
    large: bool = False


def trailing_mean(values: Sequence[float], window: int = MEAN_OF) -> list[float]:
    """Mean of each value and those before it, `window` at most."""
    means, total = [], 0.0
    for i, value in enumerate(values):
        total += value - (values[i - window] if i >= window else 0.0)
        means.append(total / min(i + 1, window))
    return means


def _plain(state: RunState, name: str, label: str, colour: str, style: str = "-") -> Line:
    steps, values = state.history.series(name)
    return Line(label, colour, steps, values, style=style)


def _smoothed(state: RunState, name: str, line: Line) -> list[Line]:
    """The series as a hairline and its trailing mean on top; the key has the mean."""
    steps, values = state.history.series(name)
    faint = replace(line, x=steps, y=values, style="-", marker="", width=0.8, alpha=0.32, keyed=False)
    return [faint, replace(line, x=steps, y=trailing_mean(values))]


def _accuracy(state: RunState) -> list[Line]:
    lines = []
    for name in ("hinted", "clean"):
        steps, values = state.history.series(f"{name}_accuracy")
        low, high = (state.history.series(f"{name}_{end}")[1] for end in ("low", "high"))
        lines.append(
            Line(f"{name}, this step (moving)", name, steps, values, low, high, style=":", width=1.2, alpha=0.8)
        )
    for name, marker in (("placebo", "^"), ("hinted", "s"), ("clean", "o")):
        found = [(e.step, rate) for e in state.evals if (rate := _rate(e.metrics.get(name))) is not None]
        at = [float(step) for step, _ in found]
        mean, low, high = ([rate[i] for _, rate in found] for i in range(3))
        style, width = ("--", 1.2) if name == "placebo" else ("-", 2.0)
        lines.append(
            Line(
                f"{name}, frozen suite",
                name,
                at,
                mean,
                low,
                high,
                style=style,
                marker=marker,
                points=True,
                width=width,
            )
        )
    return lines[::-1]


def _rate(found: object) -> tuple[float, float, float] | None:
    """Accuracy, low, high of an evaluation's entry; None where it is not one."""
    if not isinstance(found, dict):
        return None
    values = [found.get(key) for key in ("accuracy", "low", "high")]
    if not all(isinstance(v, int | float) for v in values):
        return None
    return float(values[0]), float(values[1]), float(values[2])  # type: ignore[arg-type]


def _types(state: RunState) -> list[Line]:
    lines: list[Line] = []
    for type_, (colour, dash, marker) in TYPE_INKS.items():
        label = type_.replace("_", " ")
        lines += _smoothed(state, f"hinted/{type_}", Line(label, colour, (), (), style=dash, marker=marker))
    return lines


def _reward(state: RunState) -> list[Line]:
    return _smoothed(state, "adversary_reward", Line(f"mean of {MEAN_OF} steps", "adversary", (), (), width=2.0))


def _gates(state: RunState) -> list[Line]:
    steps, passed = state.history.series("gate_pass_rate")
    lines = [Line("passed", "good", steps, passed, width=1.8)] if steps else []
    base = [0.0] * len(steps)
    for gate, (colour, hatch) in zip(Gate, GATE_INKS, strict=True):
        known = dict(zip(*state.history.series(f"gate_fail/{gate}"), strict=True))
        if known:
            values = [known.get(step, 0.0) for step in steps]
            lines.append(Line(GATE_WORDS[gate], colour, steps, values, base=tuple(base), hatch=hatch))
            base = [low + value for low, value in zip(base, values, strict=True)]
    return lines


def _entropy(state: RunState) -> list[Line]:
    return [
        _plain(state, "entropy/reasoner", "Reasoner", "clean"),
        _plain(state, "entropy/adversary", "Adversary", "adversary", "--"),
    ]


def _lengths(state: RunState) -> list[Line]:
    return [
        _plain(state, "length/solution_tokens", "solutions", "clean"),
        _plain(state, "length/hint_tokens", "hints", "adversary", "--"),
    ]


def _speed(state: RunState) -> list[Line]:
    return [_plain(state, "tokens_per_s", "tokens a second", "accent")]


CHARTS = (
    ChartSpec("accuracy", "Accuracy", "frozen suite: comparable over time; moving: not  ·  95%", _accuracy,
              unit=True, large=True),
    ChartSpec("types", "Accuracy by hint type", f"under the moving Adversary  ·  bold: mean of {MEAN_OF} steps", _types,
              unit=True),
    ChartSpec("reward", "Adversary reward", "mean drop from clean to hinted", _reward),
    ChartSpec("gates", "Gates", "share of new hints", _gates, unit=True),
    ChartSpec("entropy", "Entropy", "nats a token", _entropy),
    ChartSpec("lengths", "Length", "mean tokens", _lengths),
    ChartSpec("speed", "Throughput", "while sampling", _speed),
)  # fmt: skip


WIDE = 1380
PLACES = {
    2: {"accuracy": (0, 0, 1, 2), "types": (1, 0, 1, 1), "reward": (1, 1, 1, 1), "gates": (2, 0, 1, 1),
        "entropy": (2, 1, 1, 1), "lengths": (3, 0, 1, 1), "speed": (3, 1, 1, 1)},
    3: {"accuracy": (0, 0, 2, 2), "types": (0, 2, 1, 1), "gates": (1, 2, 1, 1), "reward": (2, 0, 1, 1),
        "entropy": (2, 1, 1, 1), "lengths": (2, 2, 1, 1), "speed": (3, 0, 1, 3)},
}  # fmt: skip
"""Row, column, rows, columns of each chart by the number of columns."""


class ChartGrid(QWidget):
    """`render_state` marks charts stale when there is something new; `draw_next` draws one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.charts = {s.key: Chart(s.title, s.note, unit=s.unit, height=300 if s.large else 170) for s in CHARTS}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(SPACE_4)
        self._columns = 0
        self._turn = 0
        self._seen: tuple[object, ...] = ()
        self.lay_out()

    def forget(self) -> None:
        """Another run: whatever comes is new."""
        self._seen = ()

    def render_state(self, state: RunState) -> None:
        """Take a state. The lines are made when a chart's turn comes."""
        ended = state.status not in (RunStatus.STARTING, RunStatus.RUNNING, RunStatus.PAUSED)
        seen = (state.run_id, len(state.history), state.evals, ended)
        if seen == self._seen:
            return
        self._seen = seen
        empty = "Nothing was recorded." if ended else "Fills with the first step."
        for spec in CHARTS:
            self.charts[spec.key].render_source(lambda make=spec.make: make(state), empty)

    def mark_stale(self) -> None:
        """All anew: the theme changed."""
        for chart in self.charts.values():
            chart.mark_stale()

    def draw_next(self) -> bool:
        """Draw the next stale chart, in turn; False when there is none."""
        charts = list(self.charts.values())
        for i in range(len(charts)):
            if charts[(self._turn + i) % len(charts)].draw_if_stale():
                self._turn = (self._turn + i + 1) % len(charts)
                return True
        return False

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Reflow."""
        self.lay_out()

    def lay_out(self) -> None:
        """Put every chart in its place for the width there is."""
        columns = 3 if self.width() >= WIDE else 2
        if columns == self._columns:
            return
        self._columns = columns
        for key, chart in self.charts.items():
            self._grid.removeWidget(chart)
            self._grid.addWidget(chart, *PLACES[columns][key])
        for column in range(3):
            self._grid.setColumnStretch(column, int(column < columns))
