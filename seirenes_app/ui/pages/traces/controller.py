"""Asks a run's rollouts for what the Traces page shows, in other threads; answers come as signals in this one.

A new question makes the older ones of its kind void: they are interrupted, and their answers dropped.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, Signal

from seirenes_app.services.traces import TraceSource, export_traces
from seirenes_app.ui.controllers.background import Background
from seirenes_app.ui.pages.traces.inspector import Reading, Row, make_reading
from training.errors import UserError
from training.rollouts.reader import Cancelled
from training.rollouts.search import Facets, Flip, RolloutQuery
from training.runs.paths import RunPaths

FLIPS = (Flip.HARMFUL, Flip.HELPFUL)
FIRST_ROWS = 100
THREADS = 3
"""One for lists and searches, two for what has to answer at once."""


@dataclass(frozen=True)
class Listing:
    """All ids of a query, in its order."""

    query: RolloutQuery
    ids: array[int]
    seconds: float


class TracesController(QObject):
    """One run at a time."""

    opened = Signal(object)
    """Facets."""
    refused = Signal(str)
    """Why the run's rollouts cannot be read."""
    previewed = Signal(object, object)
    """(RolloutQuery, its first rows)"""
    listed = Signal(object)
    """Listing"""
    rowsFound = Signal(object, object)
    """(rows, the ids that were asked for)"""
    readingFound = Signal(object)
    """Reading"""
    drafted = Signal(object)
    """Draft"""
    flipFound = Signal(object)
    """Row number, or None where there is no further flip."""
    grew = Signal(object, object)
    """(Listing as it is now, Facets)"""
    problem = Signal(str)
    """A question that failed; the run stays open."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work = Background(self, threads=THREADS)
        self._book: TraceSource | None = None
        self.paths: RunPaths | None = None
        self._run = self._query = self._pair = 0
        self._over = False
        self._flips: tuple[array[int], np.ndarray] | None = None
        self._looking = False

    # ------------------------------------------------------------------ a run

    def open(self, paths: RunPaths) -> None:
        """Another run; `opened` or `refused` follows."""
        self.leave()
        self.paths = paths
        run = self._run

        def work() -> tuple[TraceSource, Facets]:
            book = TraceSource(paths)
            try:
                return book, book.facets()
            except (UserError, Cancelled):
                book.close()
                raise

        self._work.submit(work, lambda found: self._take_book(run, *found), lambda text: self._refuse(run, text))

    def leave(self) -> None:
        """No run any more; what was asked about it is void."""
        self._run += 1
        self._query += 1
        self._pair += 1
        self._flips, self._looking = None, False
        book, self._book, self.paths = self._book, None, None
        if book is not None:
            book.interrupt()
            self._work.submit(book.close, lambda _none: None)

    def close(self) -> None:
        """End all work."""
        self._over = True
        self._run += 1
        self._query += 1
        if self._book is not None:
            self._book.interrupt()
        self._work.close()
        if self._book is not None:
            self._book.close()
            self._book = None

    @property
    def book(self) -> TraceSource | None:
        """The open book, None while there is none."""
        return self._book

    def _take_book(self, run: int, book: TraceSource, facets: Facets) -> None:
        if run != self._run:
            self._work.submit(book.close, lambda _none: None)
            return
        self._book = book
        self.opened.emit(facets)

    def _refuse(self, run: int, text: str) -> None:
        if run == self._run:
            self.refused.emit(text)

    # ------------------------------------------------------------------ lists

    def ask(self, query: RolloutQuery) -> None:
        """`previewed` with the first rows, then `listed` with all ids."""
        book = self._book
        if book is None:
            return
        self._query += 1
        number = self._query
        self._flips = None
        book.interrupt()
        self._submit(
            lambda: book.first_page(query, FIRST_ROWS),
            lambda rows: self._take_first(book, number, query, rows),
            current=lambda: number == self._query,
        )

    def _take_first(self, book: TraceSource, number: int, query: RolloutQuery, rows: list[dict[str, Any]]) -> None:
        self.previewed.emit(query, rows)
        self._submit(
            lambda: _list(book, query, lambda: number != self._query),
            self.listed.emit,
            current=lambda: number == self._query,
        )

    def look(self, query: RolloutQuery) -> None:
        """`grew` if rows came or went since the last look. One look at a time."""
        book = self._book
        if book is None or self._looking:
            return
        self._looking = True
        number = self._query

        def work() -> tuple[Listing, Facets] | None:
            if not book.grown():
                return None
            return _list(book, query, lambda: number != self._query), book.facets()

        def land(found: tuple[Listing, Facets] | None) -> None:
            if found is not None and number == self._query:
                self._flips = None
                self.grew.emit(*found)

        self._submit(work, land, current=lambda: True, ended=self._end_look)

    @property
    def is_looking(self) -> bool:
        """Whether a look is under way."""
        return self._looking

    def _end_look(self) -> None:
        self._looking = False

    # ------------------------------------------------------------------ rows and pairs

    def fetch(self, ids: array[int]) -> None:
        """`rowsFound` with these rows."""
        book = self._book
        if book is not None:
            self._submit(lambda: book.rows(ids), lambda rows: self.rowsFound.emit(rows, ids))

    def read(self, row_id: int) -> None:
        """`readingFound` with the row and its counterparts; a later question replaces one that waits."""
        book = self._book
        if book is not None:
            self._read(lambda: make_reading(book.pair(row_id)))

    def read_again(self, reading: Reading, clean_at: int, hinted_at: int) -> None:
        """`readingFound` with other solutions of the same pair."""
        self._read(lambda: make_reading(reading.pair, clean_at, hinted_at))

    def _read(self, work: Callable[[], Reading]) -> None:
        self._pair += 1
        number = self._pair

        def current() -> bool:
            return number == self._pair

        self._submit(lambda: work() if current() else None, self.readingFound.emit, current=current)

    def draft(self, row: Row) -> None:
        """`drafted` with what Craft opens."""
        book = self._book
        if book is not None:
            self._submit(lambda: book.to_draft(dict(row)), self.drafted.emit)

    def find_flip(self, query: RolloutQuery, ids: array[int], after: int, *, backwards: bool) -> None:
        """`flipFound` with the next row number from `after` on that is a flip, in the order that is shown."""
        book, number = self._book, self._query
        if book is None or not ids:
            return

        def work() -> int | None:
            known = self._flips
            if known is None or known[0] is not ids:
                wanted = tuple(f for f in FLIPS if f in query.flips) if query.flips else FLIPS
                flips = book.ids(replace(query, flips=wanted)) if wanted else array("q")
                known = (ids, np.flatnonzero(np.isin(np.frombuffer(ids, np.int64), flips)))
                self._flips = known
            return next_place(known[1], after, backwards=backwards)

        self._submit(work, self.flipFound.emit, current=lambda: number == self._query)

    # ------------------------------------------------------------------ export

    def export(
        self, ids: Sequence[int], file: Path, progress: Callable[[int, int], None], cancelled: Callable[[], bool],
        then: Callable[[int | None], None], failed: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Write rows to a file; `then(count)`, or None when it was cancelled. `progress` comes from another thread."""
        paths = self.paths
        if paths is None:
            return

        def work() -> int | None:
            # A book of its own: an export must not make the page wait, nor end when another run is opened.
            book = TraceSource(paths)
            try:
                return export_traces(book, ids, file, progress=progress, cancelled=lambda: self._over or cancelled())
            except Cancelled:
                return None
            finally:
                book.close()

        self._work.submit(work, then, failed)

    # ------------------------------------------------------------------ the threads

    def _submit(
        self, work: Callable[[], Any], then: Callable[[Any], None], *, current: Callable[[], bool] | None = None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Run, and land only while the run and the question are the ones of now."""
        run = self._run

        def valid() -> bool:
            return run == self._run and (current is None or current())

        def job() -> Any:
            try:
                return (work(),) if valid() else None
            except Cancelled:
                return None
            except UserError:
                if not valid():
                    return None
                raise

        def land(found: tuple[Any] | None) -> None:
            ended()
            if found is not None and valid():
                then(found[0])

        def fail(text: str) -> None:
            ended()
            if valid():
                self.problem.emit(text)

        self._work.submit(job, land, fail)


def _list(book: TraceSource, query: RolloutQuery, cancelled: Callable[[], bool]) -> Listing:
    began = time.monotonic()
    ids = book.ids(query, cancelled)
    return Listing(query, ids, time.monotonic() - began)


def place_of(ids: array[int], row_id: int) -> int:
    """Where an id stands in a list of any order; -1 where it does not."""
    found = np.flatnonzero(np.frombuffer(ids, np.int64) == row_id) if ids else ()
    return int(found[0]) if len(found) else -1


def file_stamp(path: Path) -> tuple[int, int] | None:
    """Changes when the file does; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def next_place(places: np.ndarray, after: int, *, backwards: bool) -> int | None:
    """The next of the sorted `places` beyond `after`, or before it; None at the end."""
    if backwards:
        at = int(np.searchsorted(places, after, side="left")) - 1
        return int(places[at]) if at >= 0 else None
    at = int(np.searchsorted(places, after, side="right"))
    return int(places[at]) if at < len(places) else None
