"""An evaluation that is going, or could be taken up again: what it does, how far it is, and what can be done."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QSizePolicy, QWidget

from seirenes_app.lab.evaluations import EvaluationSummary
from seirenes_app.ui.models.rollout_words import count_of
from seirenes_app.ui.pages.robustness_parts.eval_request import say_duration
from seirenes_app.ui.pages.robustness_parts.source_chooser import evaluation_name
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.badges import STATUS_LOOKS, Badge
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import ElidedLabel
from training.rundir.state import RunStatus

STAGES = {
    "setup": "getting ready", "loading": "loading", "solving": "solving", "solved": "solving",
    "writing": "writing hints", "paused": "paused", "handover": "handing over", "verifying": "checking",
}  # fmt: skip
MANY = 1000
NAME_WIDTH = 300


class EvaluationStrip(Card):
    """Hidden while there is nothing to tell."""

    stopAsked = Signal(object)
    """EvalPaths"""
    resumeAsked = Signal(object)
    pauseAsked = Signal(object)
    unpauseAsked = Signal(object)
    openAsked = Signal(object)
    """Path of its folder"""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("true", parent, padding=10)
        self.summary: EvaluationSummary | None = None
        self._build()
        self.hide()

    def _build(self) -> None:
        self.setAccessibleName("Evaluation")
        self.badge = Badge(STATUS_LOOKS[RunStatus.STARTING])
        self.name, self.words = ElidedLabel(), ElidedLabel("muted")
        self.name.setMaximumWidth(NAME_WIDTH)
        self.words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.open = make_button("Show", "arrow-right", kind="quiet", tip="Show what it has so far",
                                clicked=lambda: self._ask(self.openAsked, root=True))  # fmt: skip
        self.pause = make_button("Pause", "pause", kind="quiet", tip="Wait after the chunk under way",
                                 clicked=lambda: self._ask(self.pauseAsked))  # fmt: skip
        self.unpause = make_button("Continue", "play", kind="quiet", clicked=lambda: self._ask(self.unpauseAsked))
        self.stop = make_button("Cancel", "stop", kind="quiet", tip="What is done is kept, and can be taken up again",
                                clicked=lambda: self._ask(self.stopAsked))  # fmt: skip
        self.resume = make_button("Resume", "resume", tip="Go on: no row is lost or repeated",
                                  clicked=lambda: self._ask(self.resumeAsked))  # fmt: skip
        self.close_button = make_icon_button("close", "Put this away", clicked=lambda: self.render_summary(None))
        head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        head.addWidget(self.badge)
        head.addWidget(self.name)
        head.addSpacing(SPACE_3)
        head.addWidget(self.words, 1)
        for part in (self.open, self.pause, self.unpause, self.stop, self.resume, self.close_button):
            head.addWidget(part)
        self.bar = QProgressBar()
        self.bar.setRange(0, MANY)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("How far the evaluation is")
        self.body.addLayout(head)
        self.body.addWidget(self.bar)

    def _ask(self, signal: object, *, root: bool = False) -> None:
        if self.summary is not None:
            signal.emit(self.summary.paths.root if root else self.summary.paths)  # type: ignore[attr-defined]

    def render_summary(
        self, summary: EvaluationSummary | None, *, stopping: bool = False, more: int = 0, shown: bool = False
    ) -> None:
        """Show one; `more` are going beside it. `shown`: it is what the page shows."""
        self.summary = summary
        self.setVisible(summary is not None and summary.state is not None)
        if summary is None or summary.state is None:
            return
        state = summary.state
        status = RunStatus.STOPPING if stopping and not state.over else state.status
        self.badge.render_look(STATUS_LOOKS[status])
        self.name.setText(evaluation_name(summary))
        words = say_progress(summary, stopping=stopping)
        self.words.setText(f"{words}  ·  {more} more going" if more else words)
        self.bar.setVisible(not state.over)
        self.bar.setValue(round(MANY * state.share))
        resumable = state.status in (RunStatus.STOPPED, RunStatus.FAILED, RunStatus.DIED)
        paused = state.status is RunStatus.PAUSED
        self.pause.setVisible(not state.over and not paused and not stopping)
        self.unpause.setVisible(paused and not stopping)
        self.stop.setVisible(not state.over)
        self.stop.setEnabled(not stopping)
        self.resume.setVisible(resumable)
        self.open.setVisible(state.rows > 0 and not shown)
        self.close_button.setVisible(state.over)
        self.setAccessibleDescription(f"{STATUS_LOOKS[status].text}. {words}")


def say_progress(summary: EvaluationSummary, *, stopping: bool = False) -> str:
    """What it does and how far it is, or how it ended."""
    state = summary.state
    assert state is not None
    rows = count_of(state.rows, "row")
    if state.over:
        kept = f"{rows} kept" if state.status is not RunStatus.FINISHED else rows
        return f"{100 * state.share:.0f}%  ·  {kept}{f'  ·  {state.message}' if state.message else ''}"
    if stopping:
        return f"stopping after the chunk under way  ·  {rows} kept"
    doing = STAGES.get(state.stage, state.stage)
    what = " ".join(part for part in (doing, state.target, state.condition) if part)
    left = f"about {say_duration(state.eta_s)} left" if state.eta_s is not None else ""
    pace = f"{state.rows_per_s:.0f} rows/s" if state.rows_per_s >= 1 else ""
    parts = (f"{100 * state.share:.0f}%", left, what, f"{state.done_chunks} of {state.chunks} chunks", pace)
    return "  ·  ".join(part for part in parts if part)
