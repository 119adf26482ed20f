"""Asks a run's or an evaluation's figures for what the page shows, in another thread; answers come as signals here.

A new question about another folder or track makes the older ones void: their answers are dropped.

Small deeds of the page that need no widget: who can be compared, what a slice is called, the report's file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from seirenes_app.services.evaluations import EvaluationSummary
from seirenes_app.services.report.document import report_of
from seirenes_app.services.report.html import report_html
from seirenes_app.services.robustness.comparison import compare_runs
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Chart, Comparison, Point, Trace, TraceRef, Track
from seirenes_app.services.run_summary import MODE_WORDS
from seirenes_app.store.workspace import data_folder
from seirenes_app.ui.controllers.background import Background
from seirenes_app.ui.pages.robustness.compare_view import Contender
from seirenes_app.ui.pages.robustness.evaluation_request import evaluation_name
from seirenes_app.ui.widgets.source_menu import RECORDED_NAME
from training.core.types import Condition, Stage
from training.errors import UserError
from training.rollouts.search import RolloutQuery
from training.runs.files import write_whole
from training.runs.listing import RunSummary
from training.runs.paths import RunPaths

PAGE_ROWS = 200
BOOKS_KEPT = 8


@dataclass(frozen=True)
class Opened:
    """A folder that was read: its name, its tracks, whether it has a cross-play, what is missing in words."""

    root: Path
    name: str
    tracks: tuple[Track, ...]
    has_matrix: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """Rows behind a point, from `offset` on; `more` says that there are further ones."""

    ref: TraceRef
    offset: int
    traces: Sequence[Trace]
    more: bool


class RobustnessController(QObject):
    """One folder and one of its tracks at a time. A book is read by one thread: there is only one here."""

    opened = Signal(object)
    """Opened"""
    refused = Signal(object, str)
    """(folder, why there is nothing to show)"""
    panelFound = Signal(object, object)
    """(Chart, Panel)"""
    panelFailed = Signal(object, str)
    matrixFound = Signal(object)
    """MatrixPanel or None"""
    rowsFound = Signal(object)
    """Rows"""
    rowsFailed = Signal(str)
    compared = Signal(object)
    """Comparison"""
    compareFailed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work = Background(self, threads=1)
        self._books: dict[Path, ResultSource] = {}
        self.root: Path | None = None
        self.book: ResultSource | None = None
        self.track: Track | None = None
        self._folder = self._shown = 0
        self._looking = False

    # ------------------------------------------------------------------ a folder

    def open(self, root: Path) -> None:
        """Another folder; `opened` or `refused` follows."""
        self.leave()
        self.root = root
        number = self._folder
        self._work.submit(
            lambda: self._read(root) if number == self._folder else None,
            lambda found: self._take(number, found),
            lambda text: self._refuse(number, root, text),
        )

    def _read(self, root: Path) -> tuple[ResultSource, Opened]:
        """Books are kept: going back to a run that was read costs nothing."""
        book = self._book_of(root)
        return book, _describe(root, book)

    def _book_of(self, root: Path) -> ResultSource:
        key = root.resolve()
        book = self._books.pop(key, None)
        if book is None:
            book = ResultSource(root)
        elif book.grown():
            book.refresh()
        self._books[key] = book
        for old in list(self._books)[:-BOOKS_KEPT]:
            del self._books[old]
        return book

    def _take(self, number: int, found: tuple[ResultSource, Opened] | None) -> None:
        if number != self._folder or found is None:
            return
        self.book = found[0]
        self.opened.emit(found[1])

    def _refuse(self, number: int, root: Path, text: str) -> None:
        if number == self._folder:
            self.refused.emit(root, text)

    def leave(self) -> None:
        """No folder any more."""
        self._folder += 1
        self._shown += 1
        self.root, self.book, self.track, self._looking = None, None, None, False

    def close(self) -> None:
        """End all work."""
        self.leave()
        self._work.close()

    def look(self) -> None:
        """`opened` once more if the folder's figures have changed. Cheap; for a timer."""
        book, root, number = self.book, self.root, self._folder
        if book is None or root is None or self._looking:
            return
        self._looking = True

        def work() -> Opened | None:
            if number != self._folder or not book.grown():
                return None
            book.refresh()
            return _describe(root, book)

        def land(found: Opened | None) -> None:
            self._looking = False
            if found is not None and number == self._folder:
                self.opened.emit(found)

        self._work.submit(work, land, lambda _text: land(None))

    # ------------------------------------------------------------------ a track

    def show(self, track: Track) -> None:
        """`panelFound` for each of its charts, one after the other."""
        book = self.book
        if book is None:
            return
        self._shown += 1
        self.track, number = track, self._shown
        for chart in book.charts(track):
            self._ask_panel(book, track, chart, number)

    def _ask_panel(self, book: ResultSource, track: Track, chart: Chart, number: int) -> None:
        def current() -> bool:
            return number == self._shown

        def land(panel: object) -> None:
            if panel is not None and current():
                self.panelFound.emit(chart, panel)

        def fail(text: str) -> None:
            if current():
                self.panelFailed.emit(chart, text)

        self._work.submit(lambda: book.panel(track, chart) if current() else None, land, fail)

    def ask_matrix(self) -> None:
        """`matrixFound`."""
        self.ask(lambda book: book.crossplay(), self.matrixFound.emit, lambda _text: self.matrixFound.emit(None))

    def ask_rows(self, ref: TraceRef, offset: int = 0) -> None:
        """`rowsFound` with the rows behind a point, a page of them."""

        def work(_book: ResultSource) -> Rows:
            # The curves of a comparison are of several folders.
            found = self._book_of(ref.root).traces(ref, PAGE_ROWS + 1, offset)
            return Rows(ref, offset, found[:PAGE_ROWS], len(found) > PAGE_ROWS)

        self.ask(work, self.rowsFound.emit, self.rowsFailed.emit)

    def ask(
        self, work: Callable[[ResultSource], Any], then: Callable[[Any], None], failed: Callable[[str], None]
    ) -> None:
        """Ask the open book for anything; void once another folder is open."""
        book, number = self.book, self._folder
        if book is None:
            return

        def land(found: Any, deliver: Callable[[Any], None]) -> None:
            if number == self._folder:
                deliver(found)

        self._work.submit(lambda: work(book), lambda found: land(found, then), lambda text: land(text, failed))

    def compare(self, roots: Sequence[Path]) -> None:
        """`compared` or `compareFailed`: the track that is shown, if it is of these, sets the suite."""
        shown = self.track

        def work() -> Comparison:
            books = [self._book_of(root) for root in roots]
            mine = next((b for b in books if shown is not None and shown in b.tracks), books[0])
            books = [mine, *(b for b in books if b is not mine)]
            if not mine.tracks:
                raise UserError(f"{mine.source.name} has no figures on a suite.")
            first = shown if shown in mine.tracks and shown is not None else mine.tracks[0]
            return compare_runs([(mine, first), *((b, _like(first, b)) for b in books[1:] if b.tracks)])

        self._work.submit(work, self.compared.emit, self.compareFailed.emit)


def _like(first: Track, book: ResultSource) -> Track:
    """The track of a book that is most like another: on its suite, asked as it was; its first where none is."""
    return max(book.tracks, key=lambda t: (t.suite_hash == first.suite_hash, t.asking == first.asking))


def _describe(root: Path, book: ResultSource) -> Opened:
    has_matrix = book.source.plan is not None and any(s.writer for s in book.source.plan.suites)
    if not book.tracks and not has_matrix:
        raise UserError(f"{book.source.name} has nothing to show yet.")
    return Opened(root, book.source.name, book.tracks, has_matrix, book.warnings)


CONDITION_WORDS = {Condition.CLEAN: "Clean", Condition.HINTED: "Hinted", Condition.PLACEBO: "Placebo"}


def contenders(
    runs: Sequence[RunSummary], evaluations: Sequence[EvaluationSummary], recorded: RunPaths | None
) -> tuple[Contender, ...]:
    """Runs that have evaluated themselves, evaluations with rows on a suite, and the recorded run."""
    found = [
        Contender(s.paths.root, s.paths.run_id, MODE_WORDS.get(s.config.mode, "") if s.config is not None else "")
        for s in runs
        if s.state is not None and s.state.evals
    ]
    found += [
        Contender(e.paths.root, evaluation_name(e), "evaluation")
        for e in evaluations
        if e.state is not None and e.state.rows and not is_cross(e)
    ]
    if recorded is not None and recorded.events.is_file():
        found.append(Contender(recorded.root, RECORDED_NAME, ""))
    return tuple(found)


def is_cross(summary: EvaluationSummary, run: RunPaths | None = None) -> bool:
    """Whether an evaluation is a cross-play, and of that run where one is named."""
    plan = summary.plan
    if plan is None or not any(s.writer for s in plan.suites):
        return False
    return run is None or any(t.run == run.run_id for t in plan.targets)


def say_slice(ref: TraceRef) -> str:
    """What rows behind a point are called."""
    kind = f", {ref.hint_type.replace('_', ' ')}" if ref.hint_type is not None else ""
    return f"{CONDITION_WORDS[ref.condition]}{kind}  ·  {ref.target}"


def rollouts_behind(key: str, point: Point) -> RolloutQuery:
    """The rollouts of a training step's point."""
    stage = Stage.CLEAN if key == "clean" else Stage.HINTED
    return RolloutQuery(steps=(point.x, point.x), stages=(str(stage),))


def reports_folder() -> Path:
    """Where the page's reports go."""
    return data_folder() / "reports"


def write_report(roots: Sequence[Path]) -> Path:
    """The report of these folders as one HTML file. A UserError where one of them has no figures."""
    text = report_html(report_of(roots))
    folder = reports_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{roots[0].resolve().name}-robustness.html"
    write_whole(path, text)
    return path
