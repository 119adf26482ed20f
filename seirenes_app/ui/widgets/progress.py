"""Progress of a task: what is done, a bar, figures (rate, time left), and a button that cancels."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QProgressBar, QPushButton, QWidget

from seirenes_app.services.formatting import brief, duration
from seirenes_app.services.run_summary import describe_activity, stall_of
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.theme import SPACE_3
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from training.runs.paths import RunPaths
from training.runs.status import RunState, RunStatus


class Progress(QWidget):
    """Hidden until `render_progress`. Without a total the bar only shows that something is going on."""

    cancelRequested = Signal()

    def __init__(self, cancel_tip: str = "", *, cancellable: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # It fills: a label as wide as its text is cut off for a moment each time the text grows by a digit.
        self.label = ElidedLabel(fill=True)
        self.figures = make_label("", "small")
        self.bar = make_bar("Progress")
        self.cancel = make_button("Cancel", "stop", tip=cancel_tip, clicked=self.cancelRequested.emit)
        if not cancellable:
            self.cancel.hide()
        left = column(row((self.label, 1), self.figures, spacing=SPACE_3), self.bar)
        row((left, 1), self.cancel, spacing=SPACE_3, parent=self)
        self.hide()

    def render_progress(
        self, text: str, done: float = 0, total: float = 0, figures: str = "", *, cancelling: bool = False
    ) -> None:
        """Show how far it is. While it is `cancelling` the button is off and the text says so."""
        self.label.setText("Cancelling…" if cancelling else text)
        self.figures.setText("" if cancelling else figures)
        self.setAccessibleName(f"{self.label.text()} {self.figures.text()}".strip())
        self.cancel.setEnabled(not cancelling)
        render_bar(self.bar, done, total)
        self.show()

    def clear(self) -> None:
        self.hide()


BAR_STEPS = 10_000


def make_bar(name: str) -> QProgressBar:
    bar = QProgressBar(textVisible=False)
    bar.setAccessibleName(name)
    bar.setFixedHeight(6)
    return bar


def render_bar(bar: QProgressBar, done: float, total: float) -> None:
    """`done` of `total`; a bar without a total moves to and fro."""
    bar.setRange(0, BAR_STEPS if total else 0)
    if total:
        bar.setValue(round(BAR_STEPS * min(1.0, done / total)))


ICONS = {RunStatus.PAUSED: "paused", RunStatus.STALLED: "silent", RunStatus.STARTING: "clock"}
NAME_CHARACTERS = 48


def say_progress(run_id: str, state: RunState, others: int = 0) -> str:
    """One line about a live run: name, step, what it does now, time left."""
    parts = [brief(run_id, NAME_CHARACTERS)]
    if state.steps:
        parts.append(f"step {state.step} of {state.steps}")
    parts.append(describe_activity(state))
    if state.eta_s is not None and state.status is RunStatus.RUNNING and stall_of(state) is None:
        parts.append(f"{duration(state.eta_s)} left")
    if others:
        parts.append(f"and {others} more")
    return "  ·  ".join(parts)


class StatusLine(QWidget):
    """The running run, at the foot of the window; hidden while nothing runs. A click opens it."""

    clicked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._paths: RunPaths | None = None
        self.button = QPushButton()
        self.button.setProperty("kind", "quiet")
        self.button.setCursor(Qt.CursorShape.PointingHandCursor)
        self.button.setIconSize(QSize(16, 16))
        self.button.setToolTip("Open this run")
        self.button.clicked.connect(lambda: self._paths is not None and self.clicked.emit(self._paths))
        self.bar = make_bar("Progress of the run")
        self.bar.setFixedWidth(180)
        row(self.button, self.bar, spacing=SPACE_3, margins=(8, 2, 12, 2), parent=self)
        self.render_run(None, None)

    def render_run(self, paths: RunPaths | None, state: RunState | None, others: int = 0) -> None:
        """Show a run, or nothing."""
        self._paths = paths
        self.setVisible(paths is not None)
        if paths is None or state is None:
            return
        text = say_progress(paths.run_id, state, others)
        self.button.setText(text)
        stall = stall_of(state)
        self.button.setToolTip("Open this run" if stall is None else f"{stall.message} {stall.remedy}".strip())
        self.button.setAccessibleName(f"Open {text}")
        set_icon(self.button, ICONS.get(state.status, "running"), "accent")
        inside = state.stage_done / state.stage_total if state.stage_total else 0.0
        render_bar(self.bar, state.step + 0.3 * min(1.0, inside), max(1, state.steps))
