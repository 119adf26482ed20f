"""The Robustness page on a run of 200 checkpoints × 5 conditions: how long another run takes to be charted, and how long
the window's thread was held up meanwhile.

    python tests/bench/bench_robustness_ui.py [--checkpoints 200] [--problems 100] [--size 1920x1080]

It writes two such runs (1,000 rows a checkpoint), opens them for the first time, and changes between them: the
goals are 300 ms until the last chart in view is drawn, and no stall beyond 50 ms that is not one chart's draw.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.latency_monitor import GOAL_MS, LatencyMonitor
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from seirenes_app.services.run_repository import RunRepository
from seirenes_app.ui.app import settle_heap
from seirenes_app.ui.charts.card import WAITING
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.robustness.page import RobustnessPage, View
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import apply_theme
from training.core.types import Condition, Outcome
from training.evaluation.eval_dir import stored_item
from training.evaluation.plan import FROZEN, Chunk, EvalKey, SuiteRef
from training.evaluation.run_store import extend_plan, run_eval_dir, step_chunks
from training.evaluation.store import StoredItem, StoredRow, StoreWriter
from training.evaluation.suites.builder import frozen_suite
from training.prompt_files import COMPACT, built_in
from training.runs.config import RunConfig
from training.runs.events import EventKind, EventLog
from training.runs.paths import RunPaths, new_run

PATIENCE_S = 180.0
"""Long: on a machine that others use, the window's thread gets a small share of a core."""
REST_S = 0.3
CHANGE_GOAL_MS = 300
EVERY = 5


def make(root: Path, name: str, checkpoints: int, problems: int, seed: int) -> RunPaths:
    """A run whose Reasoner gets better, with its events and the rows of each evaluation, put straight into the store."""
    chance = random.Random(seed)
    steps = [EVERY * i for i in range(checkpoints)]
    paths = new_run(root, RunConfig(steps=steps[-1]), run_id=name)
    suite = frozen_suite(problems, seed)
    items = tuple(map(stored_item, suite.items))
    ref = SuiteRef(suite.name, f"{FROZEN}{seed}", suite.digest(), problems)
    plan, ref = extend_plan(run_eval_dir(paths), name, steps, ref, max_tokens=128, prompts=built_in(COMPACT))
    events = EventLog(paths.events)
    events.write(EventKind.LAUNCH, run_id=name, steps=steps[-1], model="starter", pid=1, machine={}, resumed_from=None)
    ease = [chance.random() for _ in items]
    with StoreWriter(run_eval_dir(paths).rows, plan) as store:
        store.add_suite(ref.name, ref.digest, ref.placement, items)
        for number, step in enumerate(steps, 1):
            skill = 0.35 + 0.4 * step / steps[-1]
            parts = [(chunk, _rows(chunk, items, ease, skill, chance), 0.1)
                     for chunk in step_chunks(step, ref, plan.conditions_of(ref))]  # fmt: skip
            store.replace(parts, {})
            counts = {str(chunk.condition): _count(rows) for chunk, rows, _ in parts}
            events.write(EventKind.EVAL, step=step, suite=ref.name, suite_hash=ref.digest, metrics=counts)
            for inner in range(step + 1, min(step + EVERY, steps[-1]) + 1):
                rate = min(1.0, skill + 0.1 * chance.random())
                events.write(EventKind.STEP, step=inner, metrics={
                    "hinted_accuracy": rate, "hinted_low": rate - 0.04, "hinted_high": rate + 0.04,
                    "clean_accuracy": 0.95, "clean_low": 0.92, "clean_high": 0.97,
                })  # fmt: skip
            if number % 20 == 0 or number == checkpoints:
                print(f"{name}: rows of {number} of {checkpoints} evaluations are stored", flush=True)
    events.write(EventKind.DONE, outcome="finished", message="Finished.", error=None)
    return paths


def _rows(
    chunk: Chunk, items: Sequence[StoredItem], ease: Sequence[float], skill: float, chance: random.Random
) -> list[StoredRow]:
    """A condition's rows of one evaluation."""
    rows = []
    for place in range(chunk.start, chunk.stop):
        level = 0.93 if chunk.condition is Condition.CLEAN else 0.5 * (skill + ease[place])
        for text in items[place].texts[chunk.condition]:
            key = EvalKey(chunk.target, chunk.suite, chunk.condition, place, text.index, 0)
            outcome = Outcome.RIGHT if chance.random() < level else Outcome.WRONG
            rows.append(StoredRow(key, outcome, "4", None, False, 3, "#### 4"))
    return rows


def _count(rows: Sequence[StoredRow]) -> dict[str, object]:
    right = sum(row.outcome is Outcome.RIGHT for row in rows)
    return {"right": right, "n": len(rows), "accuracy": right / len(rows), "low": 0, "high": 1}


class Bench:
    """One page, one watch."""

    def __init__(self, app: QApplication, root: Path, size: tuple[int, int]) -> None:
        self.app = app
        self.background = TaskRunner(app)
        self.page = RobustnessPage(RunsModel(RunRepository(root), None, self.background), ModelInventory())
        self.page.problem.connect(lambda title, text: print(f"PROBLEM {title}: {text}"))
        self.page.resize(*size)
        self.page.show()
        self.page.activate()
        settle_heap()
        self.watch = LatencyMonitor()
        self.worst = 0.0
        self.changes: list[float] = []

    def measure(self, name: str, do: Callable[[], object], ready: Callable[[], bool]) -> float:
        """Do it, wait until it is there and a little longer; print the time and the longest stall."""
        self.watch.start()
        began = time.perf_counter()
        do()
        while not ready():
            if time.perf_counter() - began > PATIENCE_S:
                raise SystemExit(f"{name}: nothing came; the page says: {self._said()}")
            self.app.processEvents()
            time.sleep(0.001)
        took = 1000 * (time.perf_counter() - began)
        until = time.perf_counter() + REST_S
        while time.perf_counter() < until:
            self.app.processEvents()
            time.sleep(0.001)
        stall = self.watch.stop()
        self.worst = max(self.worst, stall)
        late = "" if stall <= GOAL_MS else f"   {len(self.watch.late)} beyond {GOAL_MS:.0f} ms"
        print(f"{name:<44}{took:>9.0f} ms {stall:>12.1f} ms {self.watch.own_ms:>9.1f} ms{late}", flush=True)
        return took

    def _said(self) -> str:
        empty = self.page.stack.empty
        return empty.accessibleName() if empty is not None and self.page.stack.view is None else "nothing"

    def is_drawn(self, paths: RunPaths) -> bool:
        """Every chart in view is of that run, and drawn."""
        page = self.page
        if page.root != paths.root or page.track is None or page.track.root.name != paths.root.name:
            return False
        cards = [c for c in page.grid.cards.values() if not c.visibleRegion().isEmpty()]
        return bool(cards) and not any(c.empty.text() == WAITING or c.waits or c.plot.drawing for c in cards)

    def tour(self, runs: list[RunPaths]) -> None:
        """Open, change, scroll, read, switch the theme."""
        page = self.page
        for number, paths in enumerate(runs, 1):
            name = f"open run {number} for the first time"
            self.measure(name, lambda p=paths: page.open_run(p), lambda p=paths: self.is_drawn(p))
        for turn in range(6):
            paths = runs[turn % len(runs)]
            took = self.measure(f"change the run ({turn + 1})", lambda p=paths: page.open_run(p),
                                lambda p=paths: self.is_drawn(p))  # fmt: skip
            self.changes.append(took)
        bar = page.stack.areas[View.CHARTS].verticalScrollBar()
        self.measure("scroll to the end", lambda: bar.setValue(bar.maximum()), lambda: self.is_drawn(paths))
        self.measure("scroll to the top", lambda: bar.setValue(0), lambda: self.is_drawn(paths))
        plot = page.grid.cards["accuracy"].plot
        self.measure("cursor over 100 points by key", lambda: self._walk(plot), lambda: True)
        card = page.grid.cards["accuracy"]
        self.measure("chart to table", card.toggle_table, lambda: card.tabled)
        self.measure("table to chart", card.toggle_table, lambda: self.is_drawn(paths))
        for mode in ("dark", "light"):
            self.measure(f"theme: {mode}", lambda m=mode: page.themed(apply_theme(self.app, m)),
                         lambda: self.is_drawn(paths))  # fmt: skip
        self.measure("rows behind a point", lambda: QTest.keyClick(plot, Qt.Key.Key_Return),
                     lambda: page.rows.rows is not None)  # fmt: skip
        page.close_down()
        self.background.close()

    def _walk(self, plot: object) -> None:
        QTest.keyClick(plot, Qt.Key.Key_Home)  # type: ignore[arg-type]
        for _ in range(100):
            QTest.keyClick(plot, Qt.Key.Key_Right)  # type: ignore[arg-type]
            self.app.processEvents()


def main() -> None:
    """Make the runs, take the tour, print the worst."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=int, default=200)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--size", default="1920x1080")
    options = parser.parse_args()
    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    apply_theme(app, "light")
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SEIRENES_DATA"] = str(Path(folder) / "data")
        runs = [make(Path(folder) / "runs", n, options.checkpoints, options.problems, i) for i, n in enumerate("ab")]
        print(f"{'':<44}{'drawn after':>12} {'longest stall':>15} {'own work':>12}")
        bench = Bench(app, Path(folder) / "runs", (width, height))
        bench.tour(runs)
    print(f"\nslowest change of the run: {max(bench.changes):.0f} ms, goal {CHANGE_GOAL_MS} ms; "
          f"longest stall of all {bench.worst:.1f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
