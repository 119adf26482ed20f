"""Jobs on the worker, one at a time, with what they tell brought into the window's thread and thinned out.

A job's callbacks come on threads of its own, one a token: here they become signals, thirty times a second at most.
It decides nothing and shows nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from seirenes_app.inference.client import WorkerClient
from seirenes_app.lab.crafting.documents import Candidate, Draft, SolverChoice
from seirenes_app.lab.crafting.jobs import GenerateJob, Job, SolveEachJob, SolveJob
from seirenes_app.lab.crafting.results import ArmResult
from seirenes_app.lab.why.ablation import AblationJob
from seirenes_app.lab.why.heat import HeatJob
from seirenes_app.ui.processes.solver import Solver

TICK_MS = 33


class Work(StrEnum):
    """What can be going on."""

    GENERATE = "generate"
    """A model writes candidates."""
    SOLVE = "solve"
    """One candidate is solved, or several in turn."""
    ABLATE = "ablate"
    """The sentences of a candidate are tried one by one."""
    HEAT = "heat"
    """A solution is scored token by token."""
    LOAD = "load"
    """A model is tried before it is chosen."""


class LoadJob(Job):
    """Load a choice's model. Ends with the choice, or None when it was cancelled."""

    def __init__(
        self, client: WorkerClient, choice: SolverChoice, on_done: Callable[[SolverChoice | None], None],
        on_failed: Callable[[str], None],
    ) -> None:  # fmt: skip
        super().__init__(client, on_done, on_failed)
        self._choice = choice
        self._begin()

    def _work(self) -> SolverChoice | None:
        self._load(self._choice)
        return None if self.cancelled else self._choice


class Thinner(QObject):
    """Takes values by key from any thread and hands on the newest of each, now and then, in its own thread."""

    flushed = Signal(object)
    _poked = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lock = threading.Lock()
        self._held: dict[Any, Any] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.flush)
        self._poked.connect(self._wait, Qt.ConnectionType.QueuedConnection)

    def put(self, key: Any, value: Any) -> None:
        """From any thread."""
        with self._lock:
            first = not self._held
            self._held[key] = value
        if first:
            self._poked.emit()

    @Slot()
    def _wait(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    @Slot()
    def flush(self) -> None:
        """Hand on what is held, now."""
        with self._lock:
            held, self._held = self._held, {}
        if held:
            self.flushed.emit(held)


class Runner(QObject):
    """At most one job; `cancel` ends it, and its end is told all the same."""

    changed = Signal()
    """Something began or ended: see `work`."""
    streamed = Signal(object)
    """Texts of candidates so far, by index."""
    written = Signal(object)
    """The candidates that a model wrote."""
    solving = Signal(object)
    """Newest results by candidate id."""
    solved = Signal(object)
    """Final results by candidate id."""
    ablating = Signal(object)
    ablated = Signal(object)
    heated = Signal(object)
    loaded = Signal(object)
    """The `SolverChoice` whose model is loaded now."""
    failed = Signal(object, str)
    """The `Work` that failed, and why in words."""

    _ended = Signal(object, object, str)

    def __init__(self, solver: Solver, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._solver = solver
        self._job: Job | None = None
        self._closed = False
        self.work: Work | None = None
        self.cancelling = False
        self._texts, self._results, self._variants = Thinner(self), Thinner(self), Thinner(self)
        self._connect()

    def _connect(self) -> None:
        self._texts.flushed.connect(self.streamed)
        self._results.flushed.connect(self.solving)
        self._variants.flushed.connect(lambda held: self.ablating.emit(held[0]))
        self._ended.connect(self._take_end, Qt.ConnectionType.QueuedConnection)

    @property
    def busy(self) -> bool:
        """Whether something is going on."""
        return self.work is not None

    # ------------------------------------------------------------------ deeds

    def generate(self, draft: Draft, n: int, seed: int) -> None:
        """Let the draft's adversary write `n` candidates."""

        def make(done: Callable[[Any], None], failed: Callable[[str], None]) -> Job:
            return GenerateJob(self._solver.client(), draft, n, seed, self._texts.put, lambda _c: None, done, failed)

        self._begin(Work.GENERATE, make)

    def solve(self, draft: Draft, candidates: Sequence[Candidate], known_clean: ArmResult | None) -> None:
        """Solve under each candidate in turn; without any, the question alone, told under the id ""."""

        def make(done: Callable[[Any], None], failed: Callable[[str], None]) -> Job:
            if not candidates:
                return SolveJob(self._solver.client(), draft, None, lambda r: self._results.put("", r),
                                lambda r: done({"": r}), failed)  # fmt: skip
            return SolveEachJob(self._solver.client(), draft, candidates, self._results.put, done, failed,
                                known_clean=known_clean)  # fmt: skip

        self._begin(Work.SOLVE, make)

    def ablate(self, draft: Draft, candidate: Candidate) -> None:
        """Try the candidate's sentences one by one."""

        def make(done: Callable[[Any], None], failed: Callable[[str], None]) -> Job:
            return AblationJob(
                self._solver.client(), draft, candidate, lambda r: self._variants.put(0, r), done, failed
            )

        self._begin(Work.ABLATE, make)

    def heat(self, draft: Draft, candidate: Candidate, solution: str) -> None:
        """Score a solution's tokens under the clean and the perturbed prompt."""

        def make(done: Callable[[Any], None], failed: Callable[[str], None]) -> Job:
            return HeatJob(self._solver.client(), draft, candidate, solution, done, failed)

        self._begin(Work.HEAT, make)

    def load(self, choice: SolverChoice) -> None:
        """Load a model, to see that it can be used."""

        def make(done: Callable[[Any], None], failed: Callable[[str], None]) -> Job:
            return LoadJob(self._solver.client(), choice, done, failed)

        self._begin(Work.LOAD, make)

    def cancel(self) -> None:
        """Ask what is going to end; at once, without waiting for it."""
        if self._job is not None and not self.cancelling:
            self.cancelling = True
            self._job.cancel()
            self.changed.emit()

    def close(self) -> None:
        """Cancel, and tell nothing any more."""
        self._closed = True
        if self._job is not None:
            self._job.cancel()

    # ------------------------------------------------------------------ from begin to end

    def _begin(self, work: Work, make: Callable[..., Job]) -> None:
        if self.busy or self._closed:
            return
        self.work, self.cancelling = work, False
        self._job = make(lambda result: self._end(work, result), lambda text: self._end(work, None, text))
        self.changed.emit()

    def _end(self, work: Work, result: Any, text: str = "") -> None:
        """On the job's thread."""
        if not self._closed:
            self._ended.emit(work, result, text)

    @Slot(object, object, str)
    def _take_end(self, work: Work, result: Any, text: str) -> None:
        if self._closed:
            return
        for thinner in (self._texts, self._results, self._variants):
            thinner.flush()
        cancelled = self.cancelling
        self._job, self.work, self.cancelling = None, None, False
        if text:
            # Half a heat map is none, so a cancelled one fails; the person knows why.
            if not cancelled:
                self.failed.emit(work, text)
        else:
            self._tell(work, result)
        self.changed.emit()

    def _tell(self, work: Work, result: Any) -> None:
        match work:
            case Work.GENERATE:
                self.written.emit(result)
            case Work.SOLVE:
                self.solved.emit(dict(result))
            case Work.ABLATE:
                self.ablated.emit(result)
            case Work.HEAT:
                self.heated.emit(result)
            case Work.LOAD if result is not None:
                self.loaded.emit(result)
