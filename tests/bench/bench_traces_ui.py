"""The Traces page on a run of many rollouts: time to the first rows, and how long the window's thread was held up.

    python tests/bench/bench_traces_ui.py [--database FILE] [--size 1920x1080]
    python tests/bench/bench_traces_ui.py --rows 1000000         what the goal is for: minutes, for the database

Opens the run, goes down and through it, filters, searches, sorts, flips, switches the theme, exports. After each the
longest stall is printed, and the longest work of the thread itself: on a machine that is busy the former is larger.
The goal is 50 ms. The database is the one of `bench_traces.py`, made where it is missing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bench_traces import RARE, ROWS, default_database, make
from helpers.latency_monitor import GOAL_MS, LatencyMonitor
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from seirenes_app.services.run_repository import RunRepository
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.traces.dialogs import ExportDialog
from seirenes_app.ui.pages.traces.filters import START
from seirenes_app.ui.pages.traces.page import TracesPage
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import apply_theme
from training.rollouts.reader import Sort
from training.runs.paths import RunPaths

PATIENCE_S = 180.0
"""Long: on a machine that others use, the window's thread gets a small share of a core."""
REST_S = 0.25


class Bench:
    """One page, one watch."""

    def __init__(self, app: QApplication, paths: RunPaths, size: tuple[int, int]) -> None:
        self.app, self.paths = app, paths
        self.background = TaskRunner(app)
        self.page = TracesPage(RunsModel(RunRepository(paths.root.parent / "none"), None, self.background))
        self.page.problem.connect(lambda title, text: print(f"PROBLEM {title}: {text}"))
        self.page.resize(*size)
        self.page.show()
        self.watch = LatencyMonitor()
        self.worst = self.worst_own = 0.0
        self._wait(lambda: True)

    def measure(self, name: str, do: Callable[[], object], ready: Callable[[], bool]) -> None:
        """Do it, wait until it is there and a little longer, and print the time and the longest stall."""
        self.watch.start()
        began = time.perf_counter()
        do()
        took = self._wait(ready, began)
        self._rest()
        stall = self.watch.stop()
        self.worst, self.worst_own = max(self.worst, stall), max(self.worst_own, self.watch.own_ms)
        late = "" if stall <= GOAL_MS else f"   {len(self.watch.late)} beyond the goal"
        print(f"{name:<46}{1000 * took:>9.0f} ms {stall:>12.1f} ms {self.watch.own_ms:>9.1f} ms{late}", flush=True)

    def _wait(self, ready: Callable[[], bool], began: float | None = None) -> float:
        began = time.perf_counter() if began is None else began
        while not ready():
            if time.perf_counter() - began > PATIENCE_S:
                raise SystemExit("nothing came within a minute")
            self.app.processEvents()
            time.sleep(0.001)
        return time.perf_counter() - began

    def _rest(self, seconds: float = REST_S) -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            self.app.processEvents()
            time.sleep(0.001)

    # ------------------------------------------------------------------ what is waited for

    def has_rows(self) -> bool:
        """The rows in view are there."""
        page = self.page
        top = page.table.rowAt(0)
        return bool(page.model.ids) and top >= 0 and page.model.row_at(top) is not None

    def is_whole(self) -> bool:
        """The whole list is there and counted."""
        return self.has_rows() and "Searching" not in self.page.filters.count.text()

    def is_read(self) -> bool:
        """The row under the cursor is in the inspector."""
        reading, row = self.page.inspector.reading, self.page.table.current_row
        return reading is not None and row >= 0 and reading.pair.asked == self.page.model.ids[row]

    # ------------------------------------------------------------------ the tour

    def tour(self) -> None:
        """Everything a person does on the page."""
        page, table = self.page, self.page.table
        self.measure("open: first rows", lambda: page.open_run(self.paths), self.has_rows)
        self.measure("open: the whole list", lambda: None, self.is_whole)
        self.measure("the row under the cursor is read", lambda: None, self.is_read)
        bar = table.verticalScrollBar()
        self.measure("scroll to the end", lambda: bar.setValue(bar.maximum()), self.has_rows)
        self.measure("scroll to the middle", lambda: bar.setValue(bar.maximum() // 2), self.has_rows)
        self.measure("drag the scroll bar through it", self._drag, self.has_rows)
        table.setFocus()
        self.measure("100 rows down by key", lambda: self._press(Qt.Key.Key_J, 100), self.is_read)
        self.measure("next flip, the first time", lambda: page.go_to_flip(backwards=False), self._moved())
        self.measure("next flip again", lambda: page.go_to_flip(backwards=False), self._moved())
        for name, query in (
            ("filter: harmful flips", replace(START, flips=("harmful",))),
            ("filter: hints that a gate refused", replace(START, gates=("states_answer",))),
            ("filter: none again", START),
            ("search: a rare word", replace(START, text=RARE)),
            ("search: a common word", replace(START, text="how")),
            ("search: nothing", replace(START, text="quetzalcoatl")),
            ("sort by advantage", replace(START, sort=Sort.ADVANTAGE)),
            ("sort by tokens, wrong ones", replace(START, sort=Sort.TOKENS, outcomes=("wrong",))),
        ):
            self.measure(name, lambda q=query: page.show_query(q), self._asked)
        self.measure(
            "type a word, letter by letter", self._type, lambda: page.query.text == "marbles" and self._asked()
        )
        self.measure("everything again", page.clear_filters, self.is_whole)
        for mode in ("dark", "light"):
            self.measure(f"theme: {mode}", lambda m=mode: self._theme(m), lambda: True)
        self.measure("side by side, and back", self._turn, self.has_rows)
        self.measure("export 20 000 rows, reading on", self._export, lambda: self.exported)
        page.close_down()
        self.background.close()

    def _asked(self) -> bool:
        return "Searching" not in self.page.filters.count.text() and self.page.filters.count.text() != ""

    def _moved(self) -> Callable[[], bool]:
        before = self.page.table.current_row
        return lambda: self.page.table.current_row != before and self.is_read()

    def _press(self, key: Qt.Key, times: int) -> None:
        for _ in range(times):
            QTest.keyClick(self.page.table, key)
            self.app.processEvents()

    def _type(self) -> None:
        for letter in "marbles":
            QTest.keyClicks(self.page.search, letter)
            self._rest(0.06)

    def _drag(self) -> None:
        bar = self.page.table.verticalScrollBar()
        for place in range(60):
            bar.setValue(bar.maximum() * place // 60)
            self.app.processEvents()
            time.sleep(0.008)

    def _theme(self, mode: str) -> None:
        self.page.themed(apply_theme(self.app, mode))

    def _turn(self) -> None:
        size = self.page.size()
        self.page.resize(1100, 760)
        self.app.processEvents()
        self.page.resize(size)

    def _export(self) -> None:
        self.exported = False
        folder = Path(tempfile.mkdtemp())

        def done(_text: str) -> None:
            self.exported = True
            shutil.rmtree(folder)

        page = self.page
        dialog = ExportDialog(page.model.ids[:20_000], [], self.paths, page.controller.lasting, page)
        dialog.messageRequested.connect(done)
        dialog.start(folder / "rows.jsonl")
        self._drag()


def main() -> None:
    """Make the run where it is missing, take the tour, print the worst."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--database", type=Path, help="default: work/bench/traces-ROWS.db")
    parser.add_argument("--size", default="1920x1080")
    options = parser.parse_args()
    database = options.database or default_database(options.rows)
    if not database.exists():
        make(database, options.rows)
    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    apply_theme(app, "light")
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        run.mkdir()
        (run / "rollouts.db").symlink_to(database.resolve())
        print(f"{'':<46}{'there after':>12} {'longest stall':>15} {'own work':>12}")
        bench = Bench(app, RunPaths(run), (width, height))
        bench.tour()
    print(
        f"\nlongest stall of all: {bench.worst:.1f} ms, of the thread's own work {bench.worst_own:.1f} ms, goal {GOAL_MS:.0f} ms"
    )


if __name__ == "__main__":
    main()
