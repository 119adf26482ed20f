"""What the Robustness page draws, the report prints and the terminal shows. Values only: no I/O, no Qt. A `Panel` is
one chart with its table and its sentence. All texts are plain: whoever shows them in HTML escapes them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from seirenes_app.services.formatting import p_value, percent, points_interval
from training.core.answer_reader import Tier
from training.core.statistics import Interval
from training.core.types import Condition, HintType, Outcome
from training.evaluation.metric_types import UnreadShares

if TYPE_CHECKING:
    from seirenes_app.services.robustness.domain_transfer import DomainTransfer


class Chart(StrEnum):
    ACCURACY = "accuracy"
    ADVERSARY = "adversary"
    """The training steps' own accuracies, against hints that change: its points cannot be compared."""
    GAP = "gap"
    FLIPS = "flips"
    WORST_OF_K = "worst_of_k"
    DROP_RATE = "drop_rate"
    FOLLOW_RATE = "follow_rate"
    GENERALISATION = "generalisation"
    CROSS_PLAY = "cross_play"
    COMPARISON = "comparison"


class Basis(StrEnum):
    ROWS = "rows"  # single rows: the interval takes those of one problem as a cluster, the traces can be read
    COUNTS = "counts"  # totals alone: the interval counts each problem once, so it is wide rather than narrow
    STEP = "step"  # a training step against the Adversary of that step


class Unit(StrEnum):
    """The unit of a panel's axis. Values are shares: 0.25 is 25%, or as a difference 25 points."""

    SHARE = "share"
    DIFFERENCE = "difference"


class Origin(StrEnum):
    """Where a track's figures come from: a run's own evaluations, or an evaluation of finished models."""

    RUN = "run"
    EVALUATION = "evaluation"


@dataclass(frozen=True, slots=True)
class TraceRef:
    """The rows behind a point: `ResultSource.traces` reads them. hint_type None: all types of the condition."""

    root: Path
    target: str
    suite: str
    condition: Condition
    hint_type: HintType | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """One row: what was asked, and the answer. All of it is untrusted text; what a run did not keep is empty."""

    target: str
    problem_id: str
    family: str
    condition: Condition
    index: int
    hint_type: str
    question: str
    hint: str
    gold: str
    completion: str
    outcome: Outcome
    follows: bool | None
    truncated: bool
    answer: str = ""
    tier: Tier | None = None
    reader: int | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """The checkpoints of one run, or models without steps, on one suite. `steps[i]` is where `targets[i]` stands on the
    axis (its place where not `by_step`). Only tracks of the same `asking` are compared."""

    key: str
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
    prompts: tuple[str, ...] = ()
    """The prompt profile of each target, as ``name@digest``; empty where that is not known."""


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
    unread: UnreadShares | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """Points from left to right. `key`: 'clean', 'hinted', 'type:NAME', …; `beside`: there to compare with (a
    placebo)."""

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
    """One chart: curves, sentences a line each (or why there are none), a note on reading it, and its table. `stacked`:
    parts of one whole at every x."""

    chart: Chart
    title: str
    unit: Unit
    curves: tuple[Curve, ...]
    sentence: str
    note: str
    table: DataTable
    x_label: str = "step"
    stacked: bool = False
    cpu_s: tuple[tuple[int, float], ...] = ()
    """(step, processor seconds of training until then), for `panels.over_cpu_time`; empty where it was not measured."""


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """A Reasoner (row) under the hints of a writer (column); value None: not solved yet. `own`: both are one model."""

    value: Interval | None
    problems: int
    own: bool
    traces: TraceRef | None = None
    unread: UnreadShares = UnreadShares()


@dataclass(frozen=True, slots=True)
class MatrixPanel:
    """Cross-play: `cells[i][j]` of `reasoners[i]` under hints of `writers[j]`, with means and sentences."""

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
    note: str
    table: DataTable
    needed: tuple[Interval | None, ...] = ()

    @property
    def beside(self) -> tuple[tuple[str, tuple[Interval | None, ...]], ...]:
        """What each Reasoner does without hints: clean, and with needed text where that was asked."""
        asked = any(value is not None for value in self.needed)
        return (("clean", self.clean), *((("needed", self.needed),) if asked else ()))


@dataclass(frozen=True, slots=True)
class ReplayStep:
    """One checkpoint's answer, or why it is `missing`. `logprob` is of the whole completion, in nats."""

    step: int
    outcome: Outcome | None
    text: str = ""
    answer: str = ""
    logprob: float | None = None
    tokens: int = 0
    truncated: bool = False
    follows: bool | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointReplayResult:
    """One problem on every checkpoint, so far. `robust_since`: all answers are right from that step to the last."""

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
    LAST = "last checkpoint"
    AREA = "mean over training"  # the area under the curve, divided by its steps


@dataclass(frozen=True, slots=True)
class ComparisonLine:
    """`second` − `first` on the same prompts. `p_adjusted` is Holm's over all lines of the comparison."""

    first: str
    second: str
    measure: Measure
    condition: Condition
    problems: int
    value_first: float
    value_second: float
    difference: Interval
    p_value: float
    p_adjusted: float

    def cells(self) -> tuple[str, ...]:
        """As a table prints it, under `COMPARISON_COLUMNS`."""
        values = percent(self.value_first), percent(self.value_second), points_interval(self.difference, "")
        return f"{self.second} − {self.first}", f"{self.condition}, {self.measure}", *values, p_value(self.p_adjusted)


COMPARISON_COLUMNS = ("", "measure", "first", "second", "difference", "adjusted p")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several runs on one suite. `refused` names runs that cannot be compared, each with the reason."""

    runs: tuple[RunOnSuite, ...]
    lines: tuple[ComparisonLine, ...]
    panels: tuple[Panel, ...]  # clean and hinted accuracy of all runs, a curve a run
    sentences: tuple[str, ...]
    refused: tuple[str, ...]
    table: DataTable
    transfer: DomainTransfer | None = None
    """Between families of problems; None where every run was trained on all of them."""

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        return tuple(line.cells() for line in self.lines)
