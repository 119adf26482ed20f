"""Reads a run's rollouts for the Traces page, in other threads.

Handlers are called in the window's thread. A new request replaces older ones of its kind, and nothing of a run that was
left is delivered."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, Signal

from seirenes_app.services.traces import NOTEWORTHY, Reading, Row, TraceSource, make_reading
from seirenes_app.ui.tasks import Task, TaskRunner
from training.rollouts.reader import Cancelled, Facets, NoRollouts, RolloutQuery
from training.runs.paths import RunPaths

FIRST_ROWS = 100
THREADS = 3  # One for lists and searches, two for what has to answer at once


@dataclass(frozen=True)
class Listing:
    """All ids of a query, in its order, and how long they took."""

    query: RolloutQuery
    ids: array[int]
    seconds: float


class TracesController(QObject):
    """One run at a time."""

    opened = Signal(object)  # Facets
    empty = Signal()  # The run has written no rollouts yet
    refused = Signal(str)  # Why the run's rollouts cannot be read
    problem = Signal(str)  # A request that failed; the run stays open

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.tasks = TaskRunner(self, threads=THREADS)
        self.lasting = TaskRunner(self, threads=2)
        """For what outlives the run in view: opening and closing files, exports."""
        self.paths: RunPaths | None = None
        self.source: TraceSource | None = None
        self._flips: tuple[array[int], np.ndarray] | None = None

    def open(self, paths: RunPaths) -> None:
        """Another run; `opened`, `empty` or `refused` follows."""
        self.leave()
        self.paths = paths

        def work() -> TraceSource | None:
            try:
                return TraceSource(paths)
            except NoRollouts:
                return None

        self.lasting.run(
            work, lambda source: self._on_opened(paths, source),
            lambda text: self.refused.emit(text) if paths is self.paths else None,
        )  # fmt: skip

    def _on_opened(self, paths: RunPaths, source: TraceSource | None) -> None:
        if paths is not self.paths or self.source is not None:
            if source is not None:
                self.lasting.run(source.close)
        elif source is None:
            self.empty.emit()
        else:
            self.source = source
            self.opened.emit(source.first_facets)

    def leave(self) -> None:
        self.tasks.cancel()
        self._flips = None
        source, self.source, self.paths = self.source, None, None
        if source is not None:
            self.lasting.run(source.close)

    def close(self) -> None:
        if self.source is not None:
            self.source.interrupt()
        self.tasks.close()
        self.lasting.close()
        if self.source is not None:
            self.source.close()
            self.source = None

    def list_rows(
        self, query: RolloutQuery, previewed: Callable[[list[dict[str, Any]]], object],
        listed: Callable[[Listing], object],
    ) -> None:  # fmt: skip
        """`previewed` with the first rows of a query, then `listed` with all ids."""
        if (source := self.source) is None:
            return
        self._flips = None
        self.tasks.cancel("poll")
        source.interrupt()

        def list_all(rows: list[dict[str, Any]]) -> None:
            previewed(rows)
            self._run("list", lambda task: read_listing(source, query, task), listed)

        self._run("list", lambda _task: source.first_page(query, FIRST_ROWS), list_all)

    def poll(self, query: RolloutQuery, grown: Callable[[Listing, Facets], object]) -> None:
        """`grown` with the list as it is now, if rows came or went since the last poll. For a timer."""
        if (source := self.source) is None or self.tasks.is_running("poll"):
            return

        def work(task: Task) -> tuple[Listing, Facets] | None:
            return (read_listing(source, query, task), source.facets()) if source.has_grown() else None

        def done(found: tuple[Listing, Facets] | None) -> None:
            if found is not None:
                self._flips = None
                grown(*found)

        self._run("poll", work, done)

    def find_flip(
        self, query: RolloutQuery, ids: array[int], after: int, done: Callable[[int | None], object], *, backwards: bool
    ) -> None:
        """The place of the next flip after place `after` in the list `ids`; None where there is no further one."""
        if (source := self.source) is None or not ids:
            return

        def work(_task: Task) -> int | None:
            flips = self._flips
            if flips is None or flips[0] is not ids:
                wanted = tuple(f for f in NOTEWORTHY if f in query.flips) if query.flips else NOTEWORTHY
                found = source.ids(replace(query, flips=wanted)) if wanted else array("q")
                flips = self._flips = (ids, np.flatnonzero(np.isin(np.frombuffer(ids, np.int64), found)))
            return next_place(flips[1], after, backwards=backwards)

        self._run("flip", work, done)

    def fetch(self, ids: array[int], done: Callable[[list[dict[str, Any]], array[int]], object]) -> None:
        if (source := self.source) is not None:
            self._run(None, lambda _task: source.rows(ids), lambda rows: done(rows, ids))

    def read(self, row_id: int, done: Callable[[Reading], object]) -> None:
        if (source := self.source) is not None:
            self._run("read", lambda _task: make_reading(source.pair(row_id)), done)

    def read_again(self, reading: Reading, clean_at: int, hinted_at: int, done: Callable[[Reading], object]) -> None:
        self._run("read", lambda _task: make_reading(reading.pair, clean_at, hinted_at), done)

    def draft(self, row: Row, done: Callable[[Any], object]) -> None:
        if (source := self.source) is not None:
            self._run("draft", lambda _task: source.to_draft(dict(row)), done)

    def _run(self, key: str | None, work: Callable[[Task], Any], done: Callable[[Any], object]) -> None:
        def job(task: Task) -> tuple[Any] | None:
            try:
                return (work(task),)
            except Cancelled:
                return None

        self.tasks.run_task(job, lambda found: done(*found) if found else None, self.problem.emit, key=key)


def read_listing(source: TraceSource, query: RolloutQuery, task: Task) -> Listing:
    began = time.monotonic()
    ids = source.ids(query, lambda: task.cancelled)
    return Listing(query, ids, time.monotonic() - began)


def place_of(ids: array[int], row_id: int) -> int:
    """The place of an id in a list of any order; -1 where it is not in it."""
    found = np.flatnonzero(np.frombuffer(ids, np.int64) == row_id) if ids else ()
    return int(found[0]) if len(found) else -1


def next_place(places: np.ndarray, after: int, *, backwards: bool) -> int | None:
    """The first of the sorted `places` after `after`, or the last before it; None at the end."""
    at = int(np.searchsorted(places, after, "left" if backwards else "right")) - backwards
    return int(places[at]) if 0 <= at < len(places) else None


def file_stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
