"""What the Robustness page draws, the report prints and the terminal tells. Values only: no I/O, no Qt.

A `Panel` is one chart with its table and its sentence. All texts are plain: whoever shows them in HTML escapes them.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from training.core.statistics import Interval
from training.core.types import Condition, HintType, Outcome


class Chart(StrEnum):
    """Which chart a panel is."""

    ACCURACY = "accuracy"
    """The frozen suite: clean, hinted, each type, placebo."""
    ADVERSARY = "adversary"
    """The training steps' own accuracies, against hints that change: its points cannot be compared."""
    GAP = "gap"
    """Clean − hinted on the same problems."""
    FLIPS = "flips"
    """What a hint turns: shares that add up to one."""
    WORST_OF_K = "worst_of_k"
    """Right under all hints of a problem, beside the placebos."""
    DROP_RATE = "drop_rate"
    """1 − hinted / clean."""
    FOLLOW_RATE = "follow_rate"
    """How often the answer is what the hint suggests."""
    GENERALISATION = "generalisation"
    """Templates and types that training uses against those that it never does."""
    CROSS_PLAY = "cross_play"
    """Reasoners of some checkpoints against hints of others."""
    TIME_MACHINE = "time_machine"
    """One problem on every checkpoint."""
    COMPARISON = "comparison"
    """Several runs on the same suite."""


class Basis(StrEnum):
    """What a point was computed from."""

    ROWS = "rows"
    """Single rows are there: the interval takes those of one problem as a cluster, the traces can be read."""
    COUNTS = "counts"
    """Only totals were kept: the interval counts each problem once, so it is wide rather than narrow."""
    STEP = "step"
    """A training step against the Adversary of that step."""


class Unit(StrEnum):
    """The unit of a panel's axis. Values are always shares; 0.25 is 25% or 25 points."""

    SHARE = "share"
    """From 0 to 1."""
    DIFFERENCE = "difference"
    """Between two shares, from −1 to 1: told in points."""


class Origin(StrEnum):
    """Where a track's figures come from."""

    RUN = "run"
    """The run's own evaluations on its frozen suite."""
    EVALUATION = "evaluation"
    """An evaluation that was made of finished models."""


@dataclass(frozen=True, slots=True)
class TraceRef:
    """The rows behind a point: `ResultSource.traces` reads them. type None: all types of the condition."""

    root: Path
    target: str
    suite: str
    condition: Condition
    hint_type: HintType | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """One row: what was asked, and what came. All of it is untrusted text."""

    target: str
    problem_id: str
    family: str
    condition: Condition
    index: int
    hint_type: str
    question: str
    """The question alone; empty where the run kept none."""
    hint: str
    gold: str
    """The right answer; empty where the run kept none."""
    completion: str
    outcome: Outcome
    follows: bool | None
    truncated: bool


@dataclass(frozen=True, slots=True)
class Track:
    """A line of models on one suite: the checkpoints of one run, or models without steps. One set of charts.

    `steps[i]` is where `targets[i]` stands on the axis: its step, or its place in the list where `by_step` is False.
    """

    key: str
    """Unique in the book."""
    title: str
    origin: Origin
    root: Path
    run: str
    suite: str
    suite_hash: str
    problems: int
    targets: tuple[str, ...]
    steps: tuple[int, ...]
    by_step: bool
    asking: str = ""
    """How it was asked, in words: tracks that were asked differently are not compared."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value with its 95% interval. `x` is the step, or the place in the list. `p_value` is of "no difference"."""

    x: int
    label: str
    value: Interval
    problems: int
    rows: int
    basis: Basis
    p_value: float | None = None
    traces: TraceRef | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """Points from left to right. `key` is stable: 'clean', 'hinted', 'placebo', 'type:NAME', … `beside` says that it is
    there to compare with (a placebo), not the matter of the chart."""

    key: str
    label: str
    points: tuple[Point, ...]
    beside: bool = False


Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class DataTable:
    """The chart as rows, for a table and for CSV. Shares are numbers from 0 to 1."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    def csv(self) -> str:
        """The text of a CSV file. Text that a spreadsheet would run as a formula gets an apostrophe before it."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([[_harmless(v) for v in row] for row in self.rows])
        return out.getvalue()


def _harmless(value: Value) -> Value:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: curves, its sentence (what it shows and how sure it is), a note on reading it, and its table.

    `stacked`: the curves are parts of one whole at every x. `curves` may be empty: then `sentence` says why, and what
    to do to get the chart.
    """

    chart: Chart
    title: str
    unit: Unit
    curves: tuple[Curve, ...]
    sentence: str
    note: str
    table: DataTable
    x_label: str = "step"
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """A Reasoner (row) under the hints of a writer (column); None where nothing was solved yet."""

    value: Interval | None
    problems: int
    own: bool
    """Whether the writer is the Reasoner's own checkpoint."""
    traces: TraceRef | None = None


@dataclass(frozen=True, slots=True)
class MatrixPanel:
    """Cross-play: `cells[i][j]` of `reasoners[i]` under the hints of `writers[j]`, with means of rows and columns."""

    chart: Chart
    title: str
    reasoners: tuple[str, ...]
    writers: tuple[str, ...]
    cells: tuple[tuple[MatrixCell, ...], ...]
    clean: tuple[Interval | None, ...]
    row_means: tuple[Interval | None, ...]
    column_means: tuple[Interval | None, ...]
    diagonal: Interval | None
    sentences: tuple[str, ...]
    """What it shows, then progress, attack, cycling and forgetting, as far as they can be told."""
    note: str
    table: DataTable


@dataclass(frozen=True, slots=True)
class ReplayStep:
    """One checkpoint's answer in the time machine. `missing` says why there is none; then `outcome` is None."""

    step: int
    outcome: Outcome | None
    text: str = ""
    answer: str = ""
    logprob: float | None = None
    """Of the whole completion, in nats."""
    tokens: int = 0
    truncated: bool = False
    follows: bool | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointReplayResult:
    """One problem on every checkpoint, so far. `robust_since`: from that step on all answers are right, up to the last
    one; None where the last is not right. `complete` False while it runs, or where it was cancelled."""

    steps: tuple[ReplayStep, ...]
    planned: int
    robust_since: int | None
    sentence: str
    table: DataTable
    complete: bool
    cancelled: bool


@dataclass(frozen=True, slots=True)
class RunOnSuite:
    """One run in a comparison: what it is, and its last point."""

    name: str
    mode: str
    track: Track
    last_x: int
    label: str = ""


class Measure(StrEnum):
    """What is compared between two runs."""

    LAST = "last checkpoint"
    AREA = "mean over training"
    """The area under the curve, divided by its steps."""


@dataclass(frozen=True, slots=True)
class ComparisonLine:
    """`second` − `first` on the same prompts. `p_adjusted` is Holm's over all lines of the comparison."""

    first: str
    second: str
    measure: Measure
    condition: Condition
    hint_type: HintType | None
    problems: int
    value_first: float
    value_second: float
    difference: Interval
    p_value: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several runs on one suite. `refused` names runs that cannot be compared, each with why, in words."""

    runs: tuple[RunOnSuite, ...]
    lines: tuple[ComparisonLine, ...]
    panels: tuple[Panel, ...]
    """Clean and hinted accuracy of all runs, a curve a run."""
    sentences: tuple[str, ...]
    refused: tuple[str, ...]
    table: DataTable
