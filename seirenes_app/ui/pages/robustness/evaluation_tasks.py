"""The evaluations there are: listed, started, followed, stopped and resumed, all in other threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from seirenes_app.services.evaluations import EvaluationRepository, EvaluationSummary, launch, read_evaluation
from seirenes_app.services.run_repository import log_tail
from seirenes_app.ui.controllers.background import Background
from seirenes_app.ui.pages.robustness.evaluation_request import EvalRequest, make_plan
from training.evaluation.eval_dir import EvalDir
from training.runs.commands import CommandKind, send_command
from training.runs.status import RunStatus
from training.runs.stop import FORCE, StopEscalation

WATCH_MS = 700
START_PATIENCE_S = 90.0
THREADS = 2
"""One waits for a process to end while the other goes on looking."""


@dataclass(frozen=True)
class _Start:
    """One that was launched: when it was last heard before that, and how long its first word is waited for."""

    heard_t: float
    until: float


class Evaluating(QObject):
    """Every answer comes as a signal in this object's thread."""

    listed = Signal()
    """`summaries` is new."""
    progressed = Signal(object)
    """EvaluationSummary of one that is not over."""
    ended = Signal(object)
    """EvaluationSummary of one that has just ended."""
    started = Signal(object)
    """EvalDir"""
    failed = Signal(str, str)
    """(title, text)"""

    def __init__(self, library: EvaluationRepository | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._library = library or EvaluationRepository()
        self._work = Background(self, threads=THREADS)
        self.summaries: tuple[EvaluationSummary, ...] = ()
        self.was_listed = False
        self._busy = self._again = False
        self._over: dict[Path, bool] = {}
        self.stopping: set[Path] = set()
        self._starting: dict[Path, _Start] = {}
        self._timer = QTimer(self)
        self._timer.setInterval(WATCH_MS)
        self._timer.timeout.connect(self._look)

    # ------------------------------------------------------------------ list

    def refresh(self) -> None:
        """`listed` follows; asked again meanwhile, it is done once more afterwards."""
        if self._busy:
            self._again = True
            return
        self._busy = True
        self._work.submit(self._library.list_evaluations, self._take_list, self._miss_list)

    def _take_list(self, found: list[EvaluationSummary]) -> None:
        self._busy = False
        self.summaries, self.was_listed = tuple(map(self._as_it_is, found)), True
        for summary in self.summaries:
            self._note(summary)
        self.listed.emit()
        self._turn()
        if self._again:
            self._again = False
            self.refresh()

    def _miss_list(self, text: str) -> None:
        self._busy = False
        self.failed.emit("The evaluations were not listed", text)

    def find(self, root: Path | None) -> EvaluationSummary | None:
        """The evaluation of that folder."""
        return next((s for s in self.summaries if s.paths.root == root), None)

    @property
    def live(self) -> tuple[EvaluationSummary, ...]:
        """Those that are going. One that was planned and never launched says nothing, and is none of them."""
        return tuple(s for s in self.summaries if self._goes(s))

    def _goes(self, summary: EvaluationSummary) -> bool:
        state = summary.state
        if state is None or state.over:
            return False
        return state.last_t > 0 or summary.paths.root in self._starting

    def _as_it_is(self, summary: EvaluationSummary) -> EvaluationSummary:
        """One that was launched and has not said its first word is starting, whatever its last words were before."""
        root, state = summary.paths.root, summary.state
        start = self._starting.get(root)
        if start is None or state is None:
            return summary
        if state.last_t > start.heard_t or (not state.over and state.last_t):
            del self._starting[root]
            return summary
        if time.monotonic() > start.until:
            del self._starting[root]
            said = "\n".join(log_tail(summary.paths, lines=6)) or "It wrote nothing to its log."
            self.failed.emit("The evaluation did not start", f"{summary.paths.run_id}\n{said}")
            return summary
        return replace(summary, state=replace(state, status=RunStatus.STARTING, message="", error=""))

    # ------------------------------------------------------------------ follow

    def _turn(self) -> None:
        """Look at those that are going, as long as there are any."""
        if self.live and not self._timer.isActive():
            self._timer.start()
        elif not self.live:
            self._timer.stop()

    def _look(self) -> None:
        if self._busy:
            return
        self._busy = True
        folders = [s.paths for s in self.live]
        self._work.submit(lambda: [read_evaluation(p) for p in folders], self._take_look, self._miss_list)

    def _take_look(self, found: list[EvaluationSummary]) -> None:
        self._busy = False
        new = {s.paths.root: self._as_it_is(s) for s in found}
        self.summaries = tuple(new.get(s.paths.root, s) for s in self.summaries)
        for summary in new.values():
            self._note(summary)
        self._turn()
        if self._again:
            self._again = False
            self.refresh()

    def _note(self, summary: EvaluationSummary) -> None:
        root, over = summary.paths.root, not self._goes(summary)
        was_over = self._over.get(root, True)
        self._over[root] = over
        if not over:
            self.progressed.emit(summary)
        elif not was_over:
            self.stopping.discard(root)
            self.ended.emit(summary)

    # ------------------------------------------------------------------ deeds

    def start(self, request: EvalRequest) -> None:
        """Plan and start; `started` or `failed` follows."""
        self._work.submit(
            lambda: self._library.start(make_plan(request)), self._take_start,
            lambda text: self.failed.emit("The evaluation did not start", text),
        )  # fmt: skip

    def _take_start(self, paths: EvalDir) -> None:
        self._over[paths.root] = False
        known = self.find(paths.root)
        heard = known.state.last_t if known is not None and known.state is not None else 0.0
        self._starting[paths.root] = _Start(heard, time.monotonic() + START_PATIENCE_S)
        self.started.emit(paths)
        self.refresh()

    def resume(self, paths: EvalDir) -> None:
        """Go on with one that was stopped or died."""

        def land(_pid: int) -> None:
            self._take_start(paths)

        self._do(lambda: launch(paths), land, "The evaluation was not resumed")

    def pause(self, paths: EvalDir) -> None:
        """Wait after the chunk under way."""
        self._do(lambda: send_command(paths, CommandKind.PAUSE), lambda _none: None, "It was not paused")

    def unpause(self, paths: EvalDir) -> None:
        """Go on."""
        self._do(lambda: send_command(paths, CommandKind.RESUME), lambda _none: None, "It does not go on")

    def stop(self, paths: EvalDir) -> None:
        """Ask it to end, then end it; what was committed is kept."""
        self.stopping.add(paths.root)
        self._do(lambda: StopEscalation(paths, FORCE).run(), lambda _gone: self.refresh(), "It was not stopped")

    def _do(self, work: Callable[[], object], then: Callable[..., None], title: str) -> None:
        self._work.submit(work, then, lambda text: self.failed.emit(title, text))

    def close(self) -> None:
        """End the looking; evaluations go on."""
        self._timer.stop()
        self._work.close()
