"""Evaluations in the window: listed, started, watched, paused and stopped; and the bar that shows one."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal, SignalInstance
from PySide6.QtWidgets import QPushButton, QWidget

from seirenes_app.services.evaluation_request import EvalRequest, evaluation_name, make_plan
from seirenes_app.services.evaluations import (
    EvaluationRepository,
    EvaluationSummary,
    launch,
    read_evaluation,
    say_time_left,
    set_budget,
)
from seirenes_app.services.formatting import count_of, format_count, percent
from seirenes_app.services.models.endpoints import meter_text
from seirenes_app.ui.controllers.process_monitor import ProcessMonitor
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.theme import SPACE_3
from seirenes_app.ui.widgets.badges import STATUS_STYLES, Badge
from seirenes_app.ui.widgets.boxes import fill, row
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label, wrap_anywhere
from seirenes_app.ui.widgets.progress import Progress
from training.evaluation.eval_dir import EvalDir
from training.evaluation.plan import SpendLimits
from training.runs.control import CommandKind, send_command
from training.runs.status import RunStatus


class EvaluationMonitor(ProcessMonitor[EvaluationSummary]):
    """All evaluations."""

    noun = "evaluation"

    def __init__(self, repository: EvaluationRepository | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._repository = repository or EvaluationRepository()

    def is_live(self, summary: EvaluationSummary) -> bool:
        state = summary.state
        return state is not None and not state.over and (state.last_t > 0 or summary.paths.launch.is_file())

    def refresh(self) -> None:
        self._list(self._repository.list_evaluations)

    def _check(self) -> None:
        if not self._tasks.is_running("list") and not self._tasks.is_running("live"):
            folders = [s.paths for s in self.summaries if self.is_live(s) or s.paths.root in self._starting]
            self._tasks.run(lambda: [read_evaluation(p) for p in folders], self._on_live_read, key="live")

    def _on_live_read(self, found: list[EvaluationSummary]) -> None:
        new = {s.paths.root: s for s in found}
        self._on_read([new.get(s.paths.root, s) for s in self.summaries])

    def start(self, request: EvalRequest) -> None:
        """Plan and start; `started` or `failed` follows."""
        self._do(lambda: self._repository.start(make_plan(request)), self._on_started, "The evaluation did not start")

    def resume(self, paths: EvalDir, limits: SpendLimits | None = None) -> None:
        """Start one again that stopped, failed or crashed; with other `limits` on what its endpoints may take."""

        def work() -> int:
            if limits is not None:
                set_budget(paths, limits)
            return launch(paths)

        self._do(work, lambda _pid: self._on_started(paths), "Could not resume the evaluation")

    def pause(self, paths: EvalDir) -> None:
        self._do(lambda: send_command(paths, CommandKind.PAUSE), None, "Could not pause the evaluation")

    def unpause(self, paths: EvalDir) -> None:
        self._do(lambda: send_command(paths, CommandKind.RESUME), None, "Could not continue the evaluation")


STAGES = {
    "setup": "preparing", "loading": "loading", "solving": "solving", "solved": "solving", "writing": "writing hints",
    "paused": "paused", "handover": "handing over", "verifying": "checking",
}  # fmt: skip
RESUMABLE = (RunStatus.STOPPED, RunStatus.FAILED, RunStatus.CRASHED)


class EvaluationBar(Card):
    """One evaluation: status, progress, and what can be done. Hidden while there is none. Signals carry its EvalDir."""

    stopRequested = Signal(object)
    resumeRequested = Signal(object)
    pauseRequested = Signal(object)
    unpauseRequested = Signal(object)
    openRequested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("true", parent, padding=10)
        self.summary: EvaluationSummary | None = None
        self.setAccessibleName("Evaluation")
        self.badge = Badge(STATUS_STYLES[RunStatus.STARTING])
        self.name = ElidedLabel()
        self.name.setMaximumWidth(300)
        self.progress = Progress(cancellable=False)
        self.open = self._make_button("Show", "arrow-right", self.openRequested, "Show its results so far")
        self.pause = make_button("Pause", "pause", kind="quiet", clicked=self._on_pause)
        self.stop = self._make_button("Cancel", "stop", self.stopRequested, "Finished chunks are kept")
        self.resume = self._make_button("Resume", "resume", self.resumeRequested, "No row is lost or repeated")
        self.close_button = make_icon_button("close", "Hide", clicked=lambda: self.render_summary(None))
        buttons = (self.open, self.pause, self.stop, self.resume, self.close_button)
        self.spent = wrap_anywhere(make_label("", "small", wrap=True))
        self.spent.setAccessibleName("Spent at endpoints")
        fill(self.body, row(self.badge, self.name, SPACE_3, (self.progress, 1), *buttons), self.spent)
        self.hide()

    def _make_button(self, text: str, icon: str, signal: SignalInstance, tip: str) -> QPushButton:
        def emit() -> None:
            if self.summary is not None:
                signal.emit(self.summary.paths)

        return make_button(text, icon, kind="quiet", tip=tip, clicked=emit, destructive=icon == "stop")

    @property
    def _paused(self) -> bool:
        state = self.summary.state if self.summary is not None else None
        return state is not None and state.status is RunStatus.PAUSED

    def _on_pause(self) -> None:
        if self.summary is not None:
            (self.unpauseRequested if self._paused else self.pauseRequested).emit(self.summary.paths)

    def render_summary(
        self, summary: EvaluationSummary | None, *, stopping: bool = False, more: int = 0, shown: bool = False
    ) -> None:
        """Show one; `more` are running beside it. `shown`: the page shows its results."""
        self.summary = summary
        self.setVisible(summary is not None and summary.state is not None)
        if summary is None or summary.state is None:
            return
        state = summary.state
        style = STATUS_STYLES[RunStatus.STOPPING if stopping and not state.over else state.status]
        self.badge.render_style(style)
        self.name.setText(evaluation_name(summary))
        text, figures = describe_progress(summary, stopping=stopping)
        self.progress.render_progress(text, state.share, 1, f"{figures}  ·  {more} more running" if more else figures)
        self.progress.bar.setVisible(not state.over)
        spent = describe_spent(summary)
        self.spent.setText(spent)
        self.spent.setVisible(bool(spent))
        # One button for both: a second press of the same key must not reach another button.
        self.pause.setText("Continue" if self._paused else "Pause")
        self.pause.setAccessibleName(self.pause.text())
        self.pause.setToolTip("" if self._paused else "Pause after the current chunk")
        set_icon(self.pause, "play" if self._paused else "pause", "text")
        for button in (self.pause, self.stop):
            button.setVisible(not state.over)
            button.setEnabled(not stopping)
        self.resume.setVisible(state.status in RESUMABLE)
        self.open.setVisible(state.rows > 0 and not shown)
        self.close_button.setVisible(state.over)
        self.setAccessibleDescription("  ·  ".join(filter(None, (f"{style.text}. {text}", figures, spent))))


def describe_spent(summary: EvaluationSummary) -> str:
    """What its endpoints took so far, with what is left of the limits; after a failure the whole reason first, which
    one line has no room for. "" without endpoints."""
    state = summary.state
    if state is None or not state.meters:
        return ""
    several = len(state.meters) > 1
    lines = [f"{name}: {meter_text(meter)}" if several else meter_text(meter) for name, meter in state.meters.items()]
    why = [" ".join(state.message.split())] if state.status is RunStatus.FAILED else []
    return "\n".join([*why, *lines])


def describe_progress(summary: EvaluationSummary, *, stopping: bool = False) -> tuple[str, str]:
    """What it does or how it ended, and how far it is."""
    state = summary.state
    assert state is not None
    rows = count_of(state.rows, "row")
    kept = rows if state.status is RunStatus.FINISHED else f"{rows} kept"
    if state.over:
        return " ".join(state.message.split()), f"{percent(state.share)}  ·  {kept}"
    if stopping:
        return "stopping after the current chunk", kept
    what = " ".join(part for part in (STAGES.get(state.stage, state.stage), state.target, state.condition) if part)
    left = say_time_left(state)
    rate = f"{format_count(state.rows_per_s)} rows/s" if state.rows_per_s >= 1 else ""
    chunks = f"{state.done_chunks} of {count_of(state.chunks, 'chunk')}"
    return what, "  ·  ".join(part for part in (percent(state.share), left, chunks, rate) if part)
