"""Jobs on the worker, one at a time, with what they tell brought into the window's thread and thinned out.

A job's callbacks come on threads of its own, one a token: here they become signals, thirty times a second at most.
It decides nothing and shows nothing.

The deeds that take time: writing, solving, trying sentences, scoring, loading. It asks the runner and keeps what
comes back where the desk finds it. No widgets."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.models import describe_gguf
from seirenes_app.services.attribution.logprob_delta import LogprobDelta, LogprobDeltaJob
from seirenes_app.services.attribution.pair_selection import right_solution
from seirenes_app.services.attribution.sentence_ablation import AblationJob, AblationResult
from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, SolverChoice
from seirenes_app.services.hint_authoring.jobs import GenerateJob, Job, SolveEachJob, SolveJob, template_hints
from seirenes_app.services.hint_authoring.problems import as_problem
from seirenes_app.services.hint_authoring.results import ConditionResult, SolveResult, rank, solve_key
from seirenes_app.ui.controllers.background import Background
from seirenes_app.ui.controllers.inference_service import InferenceService
from seirenes_app.ui.pages.craft.captions import FAILED, Work, count_solved, count_tried, model_name, say_work
from seirenes_app.ui.pages.craft.controller import CraftController
from training.core.types import Condition

TICK_MS = 33


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


class Throttler(QObject):
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

    def __init__(self, solver: InferenceService, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._solver = solver
        self._job: Job | None = None
        self._closed = False
        self.work: Work | None = None
        self.cancelling = False
        self._texts, self._results, self._variants = Throttler(self), Throttler(self), Throttler(self)
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

    def solve(self, draft: Draft, candidates: Sequence[DraftHint], known_clean: ConditionResult | None) -> None:
        """Solve under each candidate in turn; without any, the question alone, told under the id ""."""

        def make(done: Callable[[Any], None], failed: Callable[[str], None]) -> Job:
            if not candidates:
                return SolveJob(self._solver.client(), draft, None, lambda r: self._results.put("", r),
                                lambda r: done({"": r}), failed)  # fmt: skip
            return SolveEachJob(self._solver.client(), draft, candidates, self._results.put, done, failed,
                                known_clean=known_clean)  # fmt: skip

        self._begin(Work.SOLVE, make)

    def ablate(self, draft: Draft, candidate: DraftHint) -> None:
        """Try the candidate's sentences one by one."""

        def make(done: Callable[[Any], None], failed: Callable[[str], None]) -> Job:
            return AblationJob(
                self._solver.client(), draft, candidate, lambda r: self._variants.put(0, r), done, failed
            )

        self._begin(Work.ABLATE, make)

    def heat(self, draft: Draft, candidate: DraftHint, solution: str) -> None:
        """Score a solution's tokens under the clean and the perturbed prompt."""

        def make(done: Callable[[Any], None], failed: Callable[[str], None]) -> Job:
            return LogprobDeltaJob(self._solver.client(), draft, candidate, solution, done, failed)

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


SEEDS = 2**31


KEPT = 64


"""Ablations and heat maps that are remembered while the window is open."""


class CraftWork(QObject):
    """One piece of work at a time; what is asked meanwhile is not done."""

    busyChanged = Signal()
    streamed = Signal(object)
    """Texts that are being written, by index; None when none is any more."""
    explained = Signal()
    """There is another ablation or heat map."""
    modelLoaded = Signal(object, str, bool)
    """A `SolverChoice` that works, its role, and whether it is for both."""
    toast = Signal(str)
    problem = Signal(str, str)

    def __init__(
        self, desk: CraftController, solver: InferenceService, background: Background, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._desk, self._solver, self._background = desk, solver, background
        self.runner = Runner(solver, self)
        self._texts: dict[int, str] = {}
        self._n = 0
        self._who = ""
        self._plan = desk.draft.plan
        self._results: dict[str, SolveResult] = {}
        self._ablations: dict[str, AblationResult] = {}
        self._maps: dict[tuple[str, str], LogprobDelta] = {}
        self._key: tuple[str, str] = ("", "")
        self._role: tuple[str, bool] = ("Solver", False)
        self._connect()

    def _connect(self) -> None:
        runner = self.runner
        runner.changed.connect(self.busyChanged)
        runner.streamed.connect(self._take_texts)
        runner.written.connect(self._take_written)
        runner.solving.connect(self._take_solving)
        runner.solved.connect(self._take_solved)
        runner.ablating.connect(self._take_ablation)
        runner.ablated.connect(self._take_ablation)
        runner.heated.connect(self._take_map)
        runner.loaded.connect(lambda choice: self.modelLoaded.emit(choice, *self._role))
        runner.failed.connect(self._take_failure)

    # ------------------------------------------------------------------ making candidates

    def fill_templates(self, n: int) -> None:
        """Add up to `n` candidates from templates, other than those that are there."""
        draft = self._desk.draft
        there = {c.text for c in draft.hints}

        def make() -> list[DraftHint]:
            made = template_hints(as_problem(draft.problem), draft.type, n + len(there), random.randrange(SEEDS))
            return [c for c in made if c.text not in there][:n]

        self._background.submit(make, self._take_templates, lambda text: self.problem.emit(FAILED[Work.GENERATE], text))

    def _take_templates(self, made: list[DraftHint]) -> None:
        if not made:
            self.toast.emit("No other template of this type fits this problem.")
        self._desk.add(made, f"fill in {len(made)} {'template' if len(made) == 1 else 'templates'}")

    def generate(self, n: int) -> None:
        """Let the adversary's model write `n`."""
        draft = self._desk.draft
        self._begin(draft.adversary, n)
        self._texts = {}
        self.runner.generate(draft, n, random.randrange(SEEDS))

    def _take_texts(self, texts: Mapping[int, str]) -> None:
        self._texts.update(texts)
        self.streamed.emit(self._texts)

    def _take_written(self, made: list[DraftHint]) -> None:
        self.streamed.emit(None)
        self._desk.add(made, f"let a model write {len(made)}")

    # ------------------------------------------------------------------ solving

    def can_solve(self) -> bool:
        """Whether there is something to solve: a candidate with a text, or no candidate and the problem alone."""
        candidate = self._desk.candidate
        return self._desk.usable and (candidate is None or bool(candidate.text.strip()))

    def solve(self) -> None:
        """Solve the candidate in hand, or the problem alone."""
        candidate = self._desk.candidate
        self._solve([candidate] if candidate is not None else [])

    def solve_all(self) -> None:
        """Solve every candidate that passes the gates and is not solved yet."""
        passing = self._desk.passing()
        todo = [c for c in passing if (r := self._desk.result_of(c)) is None or not r.complete]
        if todo:
            self._solve(todo)
        elif passing:
            self.toast.emit("Every candidate that passes the gates is solved already.")
        else:
            self.toast.emit("No candidate passes the gates.")

    def _solve(self, candidates: list[DraftHint]) -> None:
        draft = self._desk.draft
        self._begin(draft.solver, len(candidates))
        self._plan, self._results = draft.plan, {}
        self.runner.solve(draft, candidates, self._desk.known_clean())

    def _take_solving(self, results: Mapping[str, SolveResult]) -> None:
        self._results.update(results)
        self._desk.take_live(results)
        self.busyChanged.emit()

    def _take_solved(self, results: Mapping[str, SolveResult]) -> None:
        self._desk.take_final(results)

    def worst(self) -> str:
        """The id of the candidate that does the most harm; "" before any is solved."""
        solved = {i: r for i, r in self._desk.results().items() if Condition.HINTED in r.conditions}
        ranked = rank(solved)
        return ranked[0] if ranked else ""

    # ------------------------------------------------------------------ seeing why

    def ablate(self) -> None:
        """Try the sentences of the candidate in hand."""
        draft, candidate = self._desk.draft, self._desk.candidate
        if candidate is None or not candidate.text.strip():
            return
        self._begin(draft.solver, 1)
        self._key = solve_key(draft, candidate), ""
        self.runner.ablate(draft, candidate)

    def _take_ablation(self, result: AblationResult) -> None:
        _remember(self._ablations, self._key[0], result)
        self.explained.emit()
        self.busyChanged.emit()

    def heat(self) -> None:
        """Score the right solution for the candidate in hand."""
        draft, candidate = self._desk.draft, self._desk.candidate
        solution = self.solution()
        if candidate is None or not candidate.text.strip() or not solution:
            return
        self._begin(draft.solver, 1)
        self._key = solve_key(draft, candidate), solution
        self.runner.heat(draft, candidate, solution)

    def _take_map(self, heat: LogprobDelta) -> None:
        _remember(self._maps, self._key, heat)
        self.explained.emit()

    def solution(self) -> str:
        """The right solution that is worth scoring, "" where there is none."""
        draft = self._desk.draft
        result = self._desk.result_of(self._desk.candidate)
        clean = (
            result.conditions[Condition.CLEAN].samples
            if result is not None and Condition.CLEAN in result.conditions
            else ()
        )
        return right_solution(clean, draft.problem.solution)

    def ablation(self) -> AblationResult | None:
        """What is known of the sentences of the candidate in hand."""
        candidate = self._desk.candidate
        return self._ablations.get(solve_key(self._desk.draft, candidate)) if candidate is not None else None

    def heat_map(self) -> LogprobDelta | None:
        """The map of the candidate in hand; the newest, whichever solution it is of."""
        candidate = self._desk.candidate
        if candidate is None:
            return None
        key = solve_key(self._desk.draft, candidate)
        found = [heat for (mine, _solution), heat in self._maps.items() if mine == key]
        return found[-1] if found else None

    # ------------------------------------------------------------------ models

    def try_model(self, choice: SolverChoice, role: str, both: bool) -> None:
        """Load a model; only what was loaded becomes the choice."""
        if self.runner.busy:
            self.toast.emit("Something is still going on. End it (Esc), then choose the model again.")
            return
        self._role = role, both
        self._begin(choice, 0)
        self.runner.load(choice)

    def drop_model(self, path: Path) -> None:
        """A file was dropped on the page: look at it, then try it as the Solver."""
        self._background.submit(
            lambda: describe_gguf(path),
            lambda facts: self.try_model(SolverChoice(str(facts.path)), "Solver", False),
            lambda text: self.problem.emit(FAILED[Work.LOAD], text),
        )  # fmt: skip

    # ------------------------------------------------------------------ what is going on

    def cancel(self) -> None:
        """End it."""
        self.runner.cancel()

    def line(self) -> tuple[str, int, int]:
        """What is going on, in words, and how far it is; ("", 0, 0) for nothing."""
        work, state = self.runner.work, self._solver.state
        done, planned = 0, 0
        if work is Work.SOLVE:
            done, planned = count_solved(self._results, self._plan, self._n)
        elif work is Work.ABLATE:
            done, planned = count_tried(self._ablations.get(self._key[0]))
        words = say_work(work, state, self._n, self._who, done, planned)
        if words.startswith("Loading"):
            done, planned = round(100 * state.progress), 100
        return words, done, planned

    def _begin(self, choice: SolverChoice, n: int) -> None:
        self._desk.end_typing()
        if not self.runner.busy:
            self._n, self._who = n, f"The {model_name(choice)[:1].lower()}{model_name(choice)[1:]}"
            if choice.model:
                self._who = model_name(choice)

    def _take_failure(self, work: Work, text: str) -> None:
        if work is Work.GENERATE:
            self.streamed.emit(None)
        if work is Work.SOLVE:
            self._desk.drop_live()
        # A worker that died is told by its banner, once.
        if not self._solver.is_last_crash(text):
            self.problem.emit(FAILED[work], text)


def _remember(shelf: dict, key: object, value: object) -> None:  # type: ignore[type-arg]
    shelf.pop(key, None)
    shelf[key] = value
    while len(shelf) > KEPT:
        shelf.pop(next(iter(shelf)))
