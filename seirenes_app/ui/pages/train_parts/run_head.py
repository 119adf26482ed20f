"""The head of a run: its name, what it is, how it stands, and what can be done with it now."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from seirenes_app.lab.verdicts import MODE_WORDS, STAGE_WORDS
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.badges import STATUS_LOOKS, Badge
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.labels import ElidedLabel
from training.rundir.state import LIVE, RunState, RunStatus

RESUMABLE = frozenset({RunStatus.STOPPED, RunStatus.DIED, RunStatus.FAILED})


class RunHead(QWidget):
    """Asks by signals."""

    pauseAsked = Signal()
    unpauseAsked = Signal()
    checkpointAsked = Signal()
    stopAsked = Signal()
    discardAsked = Signal()
    resumeAsked = Signal()
    newAsked = Signal()
    tracesAsked = Signal()
    robustnessAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._build()

    def _build(self) -> None:
        self.name, self.detail = ElidedLabel("title"), ElidedLabel("muted")
        self.badge = Badge(STATUS_LOOKS[RunStatus.STARTING])
        self.new = make_button("New run", "plus", tip="Set up another run (Ctrl+N)", clicked=self.newAsked.emit)
        names = QHBoxLayout()
        names.setSpacing(SPACE_3)
        names.addWidget(self.name)
        names.addWidget(self.badge)
        names.addStretch(1)
        # First in the order of keys too: what is safe comes before what discards.
        self.traces = make_button("Traces", "traces", kind="quiet", tip="Read this run's rollouts",
                                  clicked=self.tracesAsked.emit)  # fmt: skip
        self.robustness = make_button("Robustness", "chart", kind="quiet", tip="This run over its checkpoints",
                                      clicked=self.robustnessAsked.emit)  # fmt: skip
        names.addWidget(self.traces)
        names.addWidget(self.robustness)
        self.pause = make_button(
            "Pause", "pause", tip="Halt after the generation under way", clicked=self.pauseAsked.emit
        )
        self.unpause = make_button("Continue", "play", kind="primary", tip="Go on where it paused",
                                   clicked=self.unpauseAsked.emit)  # fmt: skip
        self.checkpoint = make_button("Checkpoint now", "save", tip="Save the weights after this step",
                                      clicked=self.checkpointAsked.emit)  # fmt: skip
        self.stop = make_button("Stop and save", "stop", tip="Save, then end the trainer", clicked=self.stopAsked.emit)
        self.resume = make_button("Resume", "resume", kind="primary", clicked=self.resumeAsked.emit,
                                  tip="Start a trainer that goes on from the newest sound checkpoint")  # fmt: skip
        self.discard = make_button("Discard…", "discard", kind="quiet", tip="Stop it and move it to the trash",
                                   clicked=self.discardAsked.emit)  # fmt: skip
        deeds = QHBoxLayout()
        deeds.setSpacing(SPACE_2)
        # All the room that the buttons leave: shared with a spacer, half of it would be wasted on a cut text.
        self.detail.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        deeds.addWidget(self.detail, 1)
        for button in (self.resume, self.unpause, self.pause, self.checkpoint, self.stop, self.discard, self.new):
            deeds.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_2)
        column.addLayout(names)
        column.addLayout(deeds)

    def render_state(self, state: RunState, *, stopping: bool) -> None:
        """Show what it is, and switch on what can be done."""
        live, paused = state.status in LIVE, state.status is RunStatus.PAUSED
        self.badge.render_look(STATUS_LOOKS[RunStatus.STOPPING if stopping and live else state.status])
        self.detail.setText("  ·  ".join(describe(state)))
        going = live and not stopping
        self.pause.setVisible(going and not paused and state.status is not RunStatus.STARTING)
        self.unpause.setVisible(going and paused)
        self.checkpoint.setVisible(going and not paused and state.status is not RunStatus.STARTING)
        self.stop.setVisible(going)
        self.resume.setVisible(state.status in RESUMABLE)


def describe(state: RunState) -> list[str]:
    """Mode, model, threads, and what it does now where that is not a stage of the strip."""
    parts = [MODE_WORDS.get(str(state.mode), str(state.mode)), str(state.model)]
    if state.threads:
        parts.append(f"{state.threads} {'thread' if state.threads == 1 else 'threads'}")
    gpu = state.machine.get("gpu")
    if gpu:
        parts.append(str(gpu))
    if state.status is RunStatus.RUNNING and state.stage in ("setup", "checkpoint"):
        parts.append(STAGE_WORDS[state.stage])
    return [part for part in parts if part]
