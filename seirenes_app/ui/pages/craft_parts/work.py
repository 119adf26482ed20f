"""The deeds that take time: writing, solving, trying sentences, scoring, loading. It asks the runner and keeps what
comes back where the desk finds it. No widgets.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from seirenes_app.inference.models import describe_gguf
from seirenes_app.lab.crafting.documents import Candidate, SolverChoice
from seirenes_app.lab.crafting.problems import as_problem
from seirenes_app.lab.crafting.results import Arm, SolveResult, rank, solve_key
from seirenes_app.lab.crafting.templates import template_candidates
from seirenes_app.lab.why.ablation import AblationResult
from seirenes_app.lab.why.heat import HeatMap
from seirenes_app.lab.why.telling import right_solution
from seirenes_app.ui.pages.craft_parts.desk import Desk
from seirenes_app.ui.pages.craft_parts.model_chip import model_name
from seirenes_app.ui.pages.craft_parts.runner import Runner, Work
from seirenes_app.ui.pages.craft_parts.telling import FAILED, count_solved, count_tried, say_work
from seirenes_app.ui.processes.background import Background
from seirenes_app.ui.processes.solver import Solver

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

    def __init__(self, desk: Desk, solver: Solver, background: Background, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk, self._solver, self._background = desk, solver, background
        self.runner = Runner(solver, self)
        self._texts: dict[int, str] = {}
        self._n = 0
        self._who = ""
        self._plan = desk.draft.plan
        self._results: dict[str, SolveResult] = {}
        self._ablations: dict[str, AblationResult] = {}
        self._maps: dict[tuple[str, str], HeatMap] = {}
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
        there = {c.text for c in draft.candidates}

        def make() -> list[Candidate]:
            made = template_candidates(as_problem(draft.problem), draft.type, n + len(there), random.randrange(SEEDS))
            return [c for c in made if c.text not in there][:n]

        self._background.submit(make, self._take_templates, lambda text: self.problem.emit(FAILED[Work.GENERATE], text))

    def _take_templates(self, made: list[Candidate]) -> None:
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

    def _take_written(self, made: list[Candidate]) -> None:
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

    def _solve(self, candidates: list[Candidate]) -> None:
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
        solved = {i: r for i, r in self._desk.results().items() if Arm.HINTED in r.arms}
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

    def _take_map(self, heat: HeatMap) -> None:
        _remember(self._maps, self._key, heat)
        self.explained.emit()

    def solution(self) -> str:
        """The right solution that is worth scoring, "" where there is none."""
        draft = self._desk.draft
        result = self._desk.result_of(self._desk.candidate)
        clean = result.arms[Arm.CLEAN].samples if result is not None and Arm.CLEAN in result.arms else ()
        return right_solution(clean, draft.problem.solution)

    def ablation(self) -> AblationResult | None:
        """What is known of the sentences of the candidate in hand."""
        candidate = self._desk.candidate
        return self._ablations.get(solve_key(self._desk.draft, candidate)) if candidate is not None else None

    def heat_map(self) -> HeatMap | None:
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
        if not self._solver.mourns(text):
            self.problem.emit(FAILED[work], text)


def _remember(shelf: dict, key: object, value: object) -> None:  # type: ignore[type-arg]
    shelf.pop(key, None)
    shelf[key] = value
    while len(shelf) > KEPT:
        shelf.pop(next(iter(shelf)))
