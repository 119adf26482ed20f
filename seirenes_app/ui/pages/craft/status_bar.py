"""The running task at the foot of the page, and the state of a crashed worker at its top."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QProgressBar

from seirenes_app.ui.theme import SPACE_3
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import ElidedLabel, IconLabel, make_label


class TaskBar(QFrame):
    """Hidden while no task is running."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("strip", "true")
        self.text, self.figures = ElidedLabel(), make_label("", "small")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.bar.setFixedHeight(6)
        self.cancel = make_button("Cancel", "stop")
        row(IconLabel("running", 20, "accent"), (column(row(self.text, None, self.figures), self.bar), 1), self.cancel,
            spacing=SPACE_3, margins=(28, 8, 28, 10), parent=self)  # fmt: skip
        self.hide()

    def render_task(self, text: str, done: int, planned: int, figures: str, *, cancelling: bool = False) -> None:
        """Show a task, "" for none. Without a plan the bar only shows activity."""
        self.setVisible(bool(text))
        self.text.setText(text)
        self.figures.setText(figures)
        self.setAccessibleName(f"{text} {figures}")
        self.cancel.setText("Cancelling…" if cancelling else "Cancel")
        if planned != self.bar.maximum():
            self.bar.setRange(0, planned)
        self.bar.setValue(min(done, planned))


class WorkerBanner(Card):
    """A worker that crashed; afterwards, that it was restarted. The user closes it."""

    restartRequested = Signal()

    def __init__(self) -> None:
        super().__init__("bad")
        self._crash = ""
        self.heading = make_label("", "heading")
        self.text = make_label("", wrap=True, select=True)
        self.restart = make_button("Restart the worker", "refresh", clicked=self.restartRequested.emit,
                                   tip="Start a new process and load the model again")  # fmt: skip
        self._bad, self._good = IconLabel("died", 20, "bad"), IconLabel("check-circle", 20, "good")
        close = make_icon_button("close", "Hide this message", clicked=self.hide)
        self.body.addLayout(
            row(self._bad, self._good, self.heading, None, self.restart, close, spacing=SPACE_3,
                align=Qt.AlignmentFlag.AlignTop)
        )  # fmt: skip
        self.body.addWidget(self.text)
        self.hide()

    def render_crash(self, text: str, *, down: bool) -> None:
        """Show a crash; `down` means that it is not restarted by itself."""
        self._crash = text
        self._show("The model's process crashed again and again" if down else "The model's process crashed", text, down)

    def render_back(self) -> None:
        """Show that the worker was restarted, and why."""
        if not self.isHidden():
            text = f"{self._crash}\nThe worker was restarted. Retry your request."
            self._show("The model's process is running again", text, False, good=True)

    def _show(self, heading: str, text: str, down: bool, *, good: bool = False) -> None:
        self.setProperty("card", "true" if good else "bad")
        self.style().polish(self)
        self._bad.setVisible(not good)
        self._good.setVisible(good)
        self.heading.setText(heading)
        self.text.setText(text)
        self.restart.setVisible(down)
        self.setAccessibleName(f"{heading}. {text}")
        self.show()
