"""The running run, at the foot of the window: stage, progress, time left. A click opens it."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QPushButton, QWidget

from seirenes_app.services.formatting import brief, duration
from seirenes_app.services.run_summary import STAGE_LABELS, STATUS_LABELS
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.theme import SPACE_3
from seirenes_app.ui.widgets.boxes import row
from seirenes_app.ui.widgets.progress import make_bar, render_bar
from training.runs.paths import RunPaths
from training.runs.status import RunState, RunStatus

ICONS = {RunStatus.PAUSED: "paused", RunStatus.STALLED: "silent", RunStatus.STARTING: "clock"}
NAME_CHARACTERS = 48


def say_progress(run_id: str, state: RunState, others: int = 0) -> str:
    """One line about a live run: name, step, what it does now, time left."""
    parts = [brief(run_id, NAME_CHARACTERS)]
    if state.steps:
        parts.append(f"step {state.step} of {state.steps}")
    parts.append(
        STAGE_LABELS.get(str(state.stage or ""), str(state.stage))
        if state.status is RunStatus.RUNNING and state.stage
        else STATUS_LABELS[state.status].lower()
    )
    if state.eta_s is not None and state.status is RunStatus.RUNNING:
        parts.append(f"{duration(state.eta_s)} left")
    if others:
        parts.append(f"and {others} more")
    return "  ·  ".join(parts)


class StatusLine(QWidget):
    """Hidden while nothing runs."""

    clicked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._paths: RunPaths | None = None
        self._build()
        self.render_run(None, None)

    def _build(self) -> None:
        self.button = QPushButton()
        self.button.setProperty("kind", "quiet")
        self.button.setCursor(Qt.CursorShape.PointingHandCursor)
        self.button.setIconSize(QSize(16, 16))
        self.button.setToolTip("Open this run")
        self.button.clicked.connect(lambda: self._paths is not None and self.clicked.emit(self._paths))
        self.bar = make_bar("Progress of the run")
        self.bar.setFixedWidth(180)
        row(self.button, self.bar, spacing=SPACE_3, margins=(8, 2, 12, 2), parent=self)

    def render_run(self, paths: RunPaths | None, state: RunState | None, others: int = 0) -> None:
        """Show a run, or nothing."""
        self._paths = paths
        self.setVisible(paths is not None)
        if paths is None or state is None:
            return
        text = say_progress(paths.run_id, state, others)
        self.button.setText(text)
        self.button.setAccessibleName(f"Open {text}")
        set_icon(self.button, ICONS.get(state.status, "running"), "accent")
        inside = state.stage_done / state.stage_total if state.stage_total else 0.0
        render_bar(self.bar, state.step + 0.3 * min(1.0, inside), max(1, state.steps))
