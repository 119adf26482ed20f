"""Reads a run's or an evaluation's figures for the page in another thread; results come as signals or to handlers.

Also the page's data without widgets: which runs can be compared, and names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from seirenes_app.services.evaluation_request import evaluation_name
from seirenes_app.services.evaluations import EvaluationSummary
from seirenes_app.services.robustness.comparison import compare_runs
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Chart, Comparison, Origin, Panel, Point, Trace, TraceRef, Track
from seirenes_app.services.run_summary import MODE_LABELS
from seirenes_app.ui.tasks import Task, TaskRunner
from seirenes_app.ui.widgets.source_menu import RECORDED_NAME
from training.core.types import Stage
from training.errors import NotReadyError, UserError
from training.evaluation.eval_dir import EvalDir
from training.rollouts.reader import RolloutQuery
from training.runs.paths import RunPaths
from training.runs.processes import RunSummary

PAGE_ROWS = 200
KEPT_SOURCES = 8
Failed = Callable[[str], object]
OtherPanels = dict[Chart, list[tuple[str, Panel]]]


@dataclass(frozen=True)
class Opened:
    """A folder that was read: its name, its tracks, whether it has a cross-play, warnings, and where its rows are."""

    root: Path
    name: str
    tracks: tuple[Track, ...]
    has_matrix: bool
    warnings: tuple[str, ...]
    store: EvalDir
    run_lock: Path | None
    """The lock of the trainer, where the rows are a run's own."""
    readers: Mapping[int | None, int]
    """Rows by the version of the answer reader that graded them."""
    not_fetched: int
    """Evaluations of a run on a cluster of which only the totals are here."""


@dataclass(frozen=True)
class Rows:
    """Rows behind a point, from `offset` on; `more`: there are further ones."""

    ref: TraceRef
    offset: int
    traces: Sequence[Trace]
    more: bool


class RobustnessController(QObject):
    """One folder and one of its tracks at a time; opening another one cancels what was asked of it.

    A `ResultSource` is used by one thread: the pool has only one.
    """

    opened = Signal(object)
    """Opened"""
    refused = Signal(str, bool)
    """(why there is nothing to show, whether nothing is wrong and the figures are still to come)"""
    panelFound = Signal(object, object)
    """(Chart, Panel)"""
    panelFailed = Signal(object, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = TaskRunner(self, threads=1)
        self._sources: dict[Path, ResultSource] = {}
        self.root: Path | None = None
        self.source: ResultSource | None = None
        self.track: Track | None = None
        self._of_folder: list[Task] = []
        self._of_track: list[Task] = []

    def open(self, root: Path) -> None:
        """Another folder; `opened` or `refused` follows."""
        self.leave()
        self.root = root

        def read() -> tuple[ResultSource, Opened] | NotReadyError:
            try:
                source = self._source_of(root)
                return source, _describe(root, source)
            except NotReadyError as error:
                return error

        self._of_folder.append(self._tasks.run(read, self._on_read, lambda text: self.refused.emit(text, False)))

    def _on_read(self, found: tuple[ResultSource, Opened] | NotReadyError) -> None:
        if isinstance(found, NotReadyError):
            self.refused.emit(str(found), True)
        else:
            self.source, opened = found
            self.opened.emit(opened)

    def _source_of(self, root: Path) -> ResultSource:
        """Sources are kept: going back to a run that was read costs nothing."""
        key = root.resolve()
        source = self._sources.pop(key, None)
        if source is None:
            source = ResultSource(root)
        elif source.grown():
            source.refresh()
        self._sources[key] = source
        for old in list(self._sources)[:-KEPT_SOURCES]:
            del self._sources[old]
        return source

    def leave(self) -> None:
        for task in (*self._of_folder, *self._of_track):
            task.cancel()
        self._of_folder, self._of_track = [], []
        self.root = self.source = self.track = None

    def close(self) -> None:
        self.leave()
        self._tasks.close()

    def check_for_changes(self) -> None:
        """`opened` again if the folder's figures have changed. Cheap; for a timer."""
        source, root = self.source, self.root
        if source is None or root is None or self._tasks.is_running("changes"):
            return

        def read() -> Opened | None:
            if not source.grown():
                return None
            source.refresh()
            return _describe(root, source)

        def done(found: Opened | None) -> None:
            if found is not None and self.source is source:
                self.opened.emit(found)

        # A folder that cannot be read now keeps its figures in view until the next check.
        self._tasks.run(read, done, lambda _text: None, key="changes")

    def show(self, track: Track) -> None:
        """`panelFound` for each of its charts, one after the other."""
        source = self.source
        if source is None:
            return
        for task in self._of_track:
            task.cancel()
        self.track = track
        self._of_track = [
            self._tasks.run(
                partial(source.panel, track, chart), partial(self.panelFound.emit, chart),
                partial(self.panelFailed.emit, chart),
            )
            for chart in source.charts(track)
        ]  # fmt: skip

    def ask(self, work: Callable[[ResultSource], Any], done: Callable[[Any], object], failed: Failed) -> None:
        """Ask the open source for anything; cancelled when another folder is opened."""
        if (source := self.source) is not None:
            self._of_folder.append(self._tasks.run(lambda: work(source), done, failed))

    def ask_rows(self, ref: TraceRef, offset: int, done: Callable[[Rows], object], failed: Failed) -> None:
        """A page of the rows behind a point. The curves of a comparison are of several folders."""

        def read(_source: ResultSource) -> Rows:
            found = self._source_of(ref.root).traces(ref, PAGE_ROWS + 1, offset)
            return Rows(ref, offset, found[:PAGE_ROWS], len(found) > PAGE_ROWS)

        self.ask(read, done, failed)

    def compare(self, roots: Sequence[Path], done: Callable[[Comparison], object], failed: Failed) -> None:
        """Compare the runs of these folders; the track that is shown, if it is of these, sets the suite."""
        shown = self.track

        def work() -> Comparison:
            sources = [self._source_of(root) for root in roots]
            main = next((s for s in sources if shown is not None and shown in s.tracks), sources[0])
            if not main.tracks:
                raise UserError(f"{main.source.name} has no figures on a suite.")
            first = shown if shown is not None and shown in main.tracks else main.tracks[0]
            others = [s for s in sources if s is not main]
            pairs = [(s, track) for s in (main, *others) for track in _tracks_like(first, s)]
            return compare_runs(sorted(pairs, key=lambda pair: pair[1] is not first))

        self._tasks.run(work, done, failed, key="compare")

    def ask_others(self, roots: Sequence[Path], done: Callable[[OtherPanels], object], failed: Failed) -> None:
        """The panels of other runs on the suite of the track that is shown."""
        track = self.track

        def work(_source: ResultSource) -> OtherPanels:
            panels: dict[Chart, list[tuple[str, Panel]]] = {}
            for other in map(self._source_of, roots):
                found = next((t for t in other.tracks if track is not None and t.suite_hash == track.suite_hash), None)
                if found is None:
                    raise UserError(f"{other.source.name} has no evaluation on this suite. Evaluate it on it first.")
                for chart in other.charts(found):
                    panels.setdefault(chart, []).append((other.source.name, other.panel(found, chart)))
            return panels

        self.ask(work, done, failed)


def _tracks_like(first: Track, source: ResultSource) -> list[Track]:
    """The tracks of a source on the same suite, asked in the same way; the most similar one where none is."""
    same = [t for t in source.tracks if (t.suite_hash, t.asking) == (first.suite_hash, first.asking)]
    nearest = sorted(source.tracks, key=lambda t: (t.suite_hash != first.suite_hash, t.asking != first.asking))
    return same or nearest[:1]


def _describe(root: Path, source: ResultSource) -> Opened:
    plan = source.source.plan
    has_matrix = plan is not None and any(s.writer for s in plan.suites)
    if not source.tracks and not has_matrix:
        raise NotReadyError(f"{source.source.name} has nothing to show yet.")
    found = source.source
    lock = RunPaths(root).lock if found.origin is Origin.RUN else None
    return Opened(root, found.name, source.tracks, has_matrix, source.warnings, found.store, lock, found.readers,
                  found.not_fetched)  # fmt: skip


@dataclass(frozen=True)
class Comparable:
    """A run or an evaluation that can be compared: its folder, its name, a note, and how many runs it has."""

    root: Path
    name: str
    note: str
    runs: int = 1


def find_comparables(
    runs: Sequence[RunSummary], evaluations: Sequence[EvaluationSummary], recorded: RunPaths | None
) -> tuple[Comparable, ...]:
    """Runs with evaluations or checkpoints, evaluations with rows on a suite, and the recorded run."""
    found = []
    for s in runs:
        if s.state is not None and (s.state.evals or s.state.checkpoints):
            mode = MODE_LABELS.get(s.config.mode, "") if s.config is not None else ""
            found.append(Comparable(s.paths.root, s.paths.run_id, mode if s.state.evals else "not evaluated yet"))
    found += [
        Comparable(
            e.paths.root, evaluation_name(e), "evaluation", len({t.run for t in e.plan.targets} if e.plan else ())
        )
        for e in evaluations
        if e.state is not None and e.state.rows and not is_cross_play(e)
    ]
    if recorded is not None and recorded.events.is_file():
        found.append(Comparable(recorded.root, RECORDED_NAME, ""))
    return tuple(found)


def is_cross_play(summary: EvaluationSummary, run: RunPaths | None = None) -> bool:
    """Whether an evaluation is a cross-play, and of that run where one is named."""
    plan = summary.plan
    if plan is None or not any(s.writer for s in plan.suites):
        return False
    return run is None or any(t.run == run.run_id for t in plan.targets)


def name_rows(ref: TraceRef) -> str:
    """The title of the rows behind a point."""
    kind = f", {ref.hint_type.replace('_', ' ')}" if ref.hint_type is not None else ""
    return f"{ref.condition.capitalize()}{kind}  ·  {ref.target}"


def rollouts_behind(key: str, point: Point) -> RolloutQuery:
    """The rollouts of a training step's point."""
    stage = {"clean": Stage.CLEAN, "needed": Stage.NEEDED}.get(key, Stage.HINTED)
    return RolloutQuery(steps=(point.x, point.x), stages=(str(stage),))
