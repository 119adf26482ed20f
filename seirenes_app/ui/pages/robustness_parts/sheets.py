"""The dialogs of the Robustness page and what comes of them: evaluations, and problems for the time machine."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from seirenes_app.lab.eval_plans import checkpoint_steps
from seirenes_app.lab.robustness.book import RobustnessBook
from seirenes_app.lab.robustness.time_machine import ReplayPlan
from seirenes_app.lab.robustness.values import Trace, TraceRef, Track
from seirenes_app.ui.pages.robustness_parts.desk import RobustnessDesk
from seirenes_app.ui.pages.robustness_parts.eval_request import SuiteChoice, find_pace, find_suites
from seirenes_app.ui.pages.robustness_parts.evaluate_sheet import CROSS, EvaluateSheet
from seirenes_app.ui.pages.robustness_parts.evaluating import Evaluating
from seirenes_app.ui.pages.robustness_parts.problem_sheet import ProblemSheet
from seirenes_app.ui.pages.robustness_parts.replay import Replay
from seirenes_app.ui.pages.robustness_parts.time_machine_view import TimeMachineView
from seirenes_app.ui.processes.background import Background
from seirenes_app.ui.widgets.dialogs import SheetKeeper
from training.evaluation.rows import Condition
from training.rundir.config import RunConfig
from training.rundir.paths import RunPaths

MOST_PROBLEMS = 2000
MAX_TOKENS = 128


class Sheets(SheetKeeper):
    """Opens dialogs on the page and hands on their answers."""

    said = Signal(str)
    problem = Signal(str, str)

    def __init__(
        self,
        page: QWidget,
        desk: RobustnessDesk,
        evaluating: Evaluating,
        time: TimeMachineView,
        run_of: Callable[[Track], RunPaths | None],
        config_of: Callable[[RunPaths | None], RunConfig | None],
    ) -> None:
        super().__init__(page)
        self._page, self._desk, self._evaluating, self._time = page, desk, evaluating, time
        self._run_of, self._config_of = run_of, config_of
        self.background = Background(self, threads=1)
        self.replay = Replay(self)
        self._connect()

    def _connect(self) -> None:
        self._time.problemAsked.connect(self.show_problems)
        self._time.replayAsked.connect(self.start_replay)
        self._time.cancelAsked.connect(self._cancel_replay)
        self.replay.changed.connect(lambda result: self._time.render_result(result, over=False))
        self.replay.done.connect(lambda result: self._time.render_result(result, over=True))
        self.replay.failed.connect(self._time.render_failed)

    # ------------------------------------------------------------------ evaluate

    def show_evaluate(self, run: RunPaths | None, *, cross: bool = False) -> None:
        """What to evaluate; suites and checkpoints are looked up first."""

        def look() -> tuple[tuple[int, ...], tuple[SuiteChoice, ...]]:
            return (checkpoint_steps(run) if run is not None else ()), find_suites()

        self.background.submit(look, lambda found: self._ask_evaluate(run, cross, *found))

    def _ask_evaluate(
        self, run: RunPaths | None, cross: bool, steps: tuple[int, ...], suites: tuple[SuiteChoice, ...]
    ) -> None:
        pace = find_pace(self._config_of(run), self._evaluating.summaries, MAX_TOKENS)
        sheet = EvaluateSheet(run, steps, suites, pace, self._page)
        if cross and len(steps) > 1:
            sheet.kind.buttons[CROSS].click()
        sheet.startAsked.connect(self._evaluating.start)
        self.show_sheet(sheet)

    # ------------------------------------------------------------------ the time machine

    def show_problems(self) -> None:
        """The problems of the suite that is shown."""
        track = self._desk.track
        if track is None:
            self.problem.emit("There is nothing to choose from", "Open a run, or an evaluation of a suite, first.")
            return
        sheet = ProblemSheet(self._page)
        sheet.chosen.connect(self.take_problem)
        sheet.wanted.connect(lambda condition: self._read_problems(sheet, track, Condition(condition)))
        self.show_sheet(sheet)
        self._read_problems(sheet, track, Condition.HINTED)

    def _read_problems(self, sheet: ProblemSheet, track: Track, condition: Condition) -> None:
        target = track.targets[-1]
        ref = TraceRef(track.root, target, track.suite, condition)

        def land(traces: list[Trace]) -> None:
            if self.open_sheet is sheet:
                sheet.render_traces(traces, target)

        def fail(text: str) -> None:
            if self.open_sheet is sheet:
                sheet.render_failed(text)

        self._desk.ask(lambda book: book.traces(ref, MOST_PROBLEMS), land, fail)

    def take_problem(self, trace: Trace) -> None:
        """A problem for the time machine."""
        self.replay.leave()
        self._time.render_problem(trace)
        self._time.replay.setFocus()

    def start_replay(self, trace: Trace, hinted: bool) -> None:
        """Ask every checkpoint of the run."""
        track = self._desk.track
        run = self._run_of(track) if track is not None else None
        if track is None or run is None:
            self._time.render_failed(
                "The run of these models is not among your runs, so its checkpoints cannot be asked."
            )
            return

        def look(book: RobustnessBook) -> tuple[ReplayPlan, list[int]] | None:
            found = book.question(track, trace)
            state = book.source.state
            told = [step for step, _folder in state.checkpoints] if state is not None else []
            if found is None:
                return None
            return ReplayPlan(found[0], found[1] if hinted else None, found[2], max_tokens=MAX_TOKENS), told

        def land(found: tuple[ReplayPlan, list[int]] | None) -> None:
            if found is None:
                self._time.render_failed("This problem is not known any more: its suite has changed.")
            else:
                self.replay.begin(run, *found)

        self._time.render_busy(True)
        self._desk.ask(look, land, self._time.render_failed)

    def _cancel_replay(self) -> None:
        self._time.cancel.setEnabled(False)
        self.replay.cancel()

    def leave(self) -> None:
        """Another run is shown: what is asked of this one is void."""
        self.replay.leave()

    def close(self) -> None:
        """End everything."""
        self.replay.close()
        self.background.close()
