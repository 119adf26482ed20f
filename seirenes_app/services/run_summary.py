"""What a run came to, in figures and in words. Pure: state in, text out.

What a run changed: the table before / after, the chart, and its report, for those who watch one run. No Qt.

The figures are `lab.robustness`'s and the report is `lab.report`'s; here they are only put into the run's folder."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from seirenes_app.services.formatting import percent
from seirenes_app.services.report.document import make_report
from seirenes_app.services.report.html import report_html
from seirenes_app.services.robustness.checkpoint_figures import headline
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Chart, Curve, Panel
from seirenes_app.services.run_repository import log_tail
from training.core.statistics import Interval
from training.errors import UserError
from training.evaluation.summary import Rate
from training.runs.files import explained, write_whole
from training.runs.listing import RunSummary
from training.runs.paths import RunPaths
from training.runs.status import RunState, RunStatus

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATUS_WORDS = {
    RunStatus.STARTING: "Starting",
    RunStatus.RUNNING: "Running",
    RunStatus.PAUSED: "Paused",
    RunStatus.STOPPING: "Stopping",
    RunStatus.FINISHED: "Finished",
    RunStatus.STOPPED: "Stopped",
    RunStatus.FAILED: "Failed",
    RunStatus.CRASHED: "Crashed",
    RunStatus.STALLED: "Not responding",
}
MODE_WORDS = {"seirenes": "self-play", "clean_rl": "clean RL", "static": "static adversary", "random": "random hints"}
STAGE_WORDS = {
    "setup": "loading the model",
    "eval": "measuring the frozen suite",
    "r1_clean": "solving clean questions",
    "r2_hint": "writing hints",
    "r3_hinted": "solving hinted questions",
    "update": "updating the weights",
    "checkpoint": "saving a checkpoint",
    "paused": "paused",
}


@dataclass(frozen=True)
class Change:
    """Accuracy on the frozen suite before training and at its newest evaluation, in [0, 1]; None: not measured."""

    before: float | None = None
    after: float | None = None

    @property
    def points(self) -> float | None:
        """The change in percentage points."""
        if self.before is None or self.after is None:
            return None
        return 100 * (self.after - self.before)

    def __str__(self) -> str:
        if self.before is None:
            return "not measured"
        if self.after is None:
            return f"{percent(self.before)} so far"
        return f"{percent(self.before)} → {percent(self.after)}"


def measure_change(state: RunState, condition: str) -> Change:
    """First and last evaluation of `condition` ("clean", "hinted", "placebo"); one evaluation alone is a before."""
    found = [value for point in state.evals if (value := _accuracy(point.metrics, condition)) is not None]
    if not found:
        return Change()
    return Change(found[0], found[-1] if len(found) > 1 else None)


def _accuracy(metrics: Any, condition: str) -> float | None:
    figures = metrics.get(condition) if hasattr(metrics, "get") else None
    value = figures.get("accuracy") if isinstance(figures, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def sentence(state: RunState) -> str:
    """The verdict in one line, for screen readers and tooltips."""
    return (
        f"{STATUS_WORDS[state.status]} at step {state.step} of {state.steps}. "
        f"Clean {measure_change(state, 'clean')}; hinted {measure_change(state, 'hinted')}."
    )


@dataclass(frozen=True)
class RunSummaryText:
    """Why a run did not finish, and what can be done."""

    title: str
    text: str
    log: tuple[str, ...]
    can_resume: bool
    can_edit_settings: bool = False


def tell(summary: RunSummary) -> RunSummaryText | None:
    """The problem of a run that crashed, failed or does not respond; None for any other."""
    state = summary.state
    if state is None or state.status not in (RunStatus.CRASHED, RunStatus.FAILED, RunStatus.STALLED):
        return None
    name = summary.paths.run_id
    log = log_tail(summary.paths)
    if state.status is RunStatus.STALLED:
        return RunSummaryText(
            f"{name} is not responding", "Its process is there but has written nothing for over a minute.", log, False
        )
    if state.status is RunStatus.FAILED:
        remedy = "Correct the settings and start it again." if state.can_edit_settings else _saved(state)
        return RunSummaryText(
            f"{name} failed", f"{state.message or 'It gave no reason.'} {remedy}", log, state.can_resume,
            state.can_edit_settings,
        )  # fmt: skip
    return RunSummaryText(f"{name} crashed", f"{_cause(state, log)} {_saved(state)}", log, True)


def _saved(state: RunState) -> str:
    if not state.step:
        return "Resuming starts it over."
    if not state.checkpoints:
        return f"It had reached step {state.step}; nothing was saved yet, so resuming starts it over."
    return f"It had reached step {state.step}; resuming goes on from the newest checkpoint."


def _cause(state: RunState, log: tuple[str, ...]) -> str:
    text = "\n".join(log).lower()
    if not state.launched_t:
        said = "its log is below" if text else "it wrote nothing"
        return f"The trainer exited before its first step; {said}."
    when = f" at {datetime.fromtimestamp(state.last_t):%H:%M on %d %B}" if state.last_t else ""
    if "out of memory" in text or "memoryerror" in text or "cannot allocate memory" in text:
        return f"The trainer ran out of memory{when}. Fewer questions a step, or a shorter solution limit, need less."
    if "traceback" in text or "error:" in text:
        return f"The trainer stopped on an error{when}; its log is below."
    if state.last_t and state.last_t < psutil.boot_time():
        return f"The machine was switched off or restarted while it ran; its last event was{when}."
    return (
        f"The trainer process ended{when} without saying why: it was killed from outside, most often by the system "
        "when memory ran out."
    )


COLOURS = {"clean": "#1b6ca8", "hinted": "#c8553d", "placebo": "#6b7280"}
MARKS = {"clean": "o", "hinted": "s", "placebo": "^"}
NAMES = {"clean": "clean", "hinted": "hinted", "placebo": "placebo"}


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One line of the table: a condition before and after, and the paired change on the same items."""

    label: str
    before: Rate
    after: Rate
    difference: Interval
    p_value: float


def before_after(paths: RunPaths) -> list[ReportLine]:
    """Clean, hinted, each type and placebo: first evaluation against last. Empty with fewer than two."""
    try:
        book = ResultSource(paths.root)
        found = headline(book, book.tracks[-1])
    except UserError:
        return []
    return [
        ReportLine(
            x.label, _rate(x.before, x.rows_before), _rate(x.after, x.rows_after), x.difference, x.p_value
        )
        for x in (found.lines if found else ())
        if x.p_value is not None
    ]  # fmt: skip


def _rate(found: Interval, rows: int) -> Rate:
    return Rate(round(found.mean * rows), rows, found.mean, found.low, found.high)


def draw_chart(book: ResultSource) -> Figure:
    """Accuracy on the frozen suite over steps, with bands; the moving adversary's curve kept apart, dotted."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    track = book.tracks[-1]
    panel = book.panel(track, Chart.ACCURACY)
    for key, colour in COLOURS.items():
        curve = _curve(panel, key)
        if curve is not None:
            steps, values = [p.x for p in curve.points], [p.value.mean for p in curve.points]
            axes.plot(steps, values, color=colour, marker=MARKS[key], label=f"{NAMES[key]}, frozen suite")
            lows, highs = [p.value.low for p in curve.points], [p.value.high for p in curve.points]
            axes.fill_between(steps, lows, highs, color=colour, alpha=0.15, lw=0)
    moving = _curve(book.panel(track, Chart.ADVERSARY), "hinted")
    if moving is not None:
        xs, ys = [p.x for p in moving.points], [p.value.mean for p in moving.points]
        label = "hinted, current adversary (moves: not comparable)"
        axes.plot(xs, ys, color=COLOURS["hinted"], ls=":", lw=1, label=label)
    axes.set(xlabel="step", ylabel="accuracy", ylim=(0, 1.02), title="Robustness over self-play")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    return figure


def _curve(panel: Panel, key: str) -> Curve | None:
    return next((c for c in panel.curves if c.key == key), None)


def write_report(paths: RunPaths) -> dict[str, Path]:
    """chart.png and report.html in the run directory; returns them by name."""
    book = ResultSource(paths.root)
    buffer = io.BytesIO()
    draw_chart(book).savefig(buffer, format="png")
    chart = paths.root / "chart.png"
    with explained("Writing", chart):
        chart.write_bytes(buffer.getvalue())
    write_whole(paths.report, report_html(make_report([book])))
    return {"chart": chart, "report": paths.report}
