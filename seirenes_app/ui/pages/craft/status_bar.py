"""What is going on, at the foot of the page with a way to end it; and what became of the worker, at its head."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import ElidedLabel, IconLabel, make_label

BACK = "It is back: what you asked for last can be asked again."


class TaskBar(QFrame):
    """Hidden while nothing is going on."""

    cancelAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("strip", "true")
        self._build()
        self.hide()

    def _build(self) -> None:
        self.words = ElidedLabel()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.bar.setFixedHeight(6)
        self.cancel = make_button("Cancel", "stop", tip="End it now and keep what is there (Esc)",
                                  clicked=self.cancelAsked.emit)  # fmt: skip
        column = QVBoxLayout()
        column.setSpacing(SPACE_2)
        column.addWidget(self.words)
        column.addWidget(self.bar)
        row = QHBoxLayout(self)
        row.setContentsMargins(28, 8, 28, 10)
        row.setSpacing(SPACE_3)
        row.addWidget(IconLabel("running", 20, "accent"))
        row.addLayout(column, 1)
        row.addWidget(self.cancel)

    def render_task(self, words: str, done: int = 0, planned: int = 0, *, cancelling: bool = False) -> None:
        """Say what is going on, "" for nothing; without a plan the bar only tells that it goes on."""
        self.setVisible(bool(words))
        self.words.setText("Ending…" if cancelling else words)
        self.setAccessibleName(self.words.text())
        self.cancel.setEnabled(not cancelling)
        if planned != self.bar.maximum():
            self.bar.setRange(0, planned)
        self.bar.setValue(min(done, planned))


class WorkerBanner(Card):
    """A worker that died, in words; afterwards, that it is back. The person puts it away."""

    restartAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("bad", parent)
        self._first = ""
        self._build()
        self.hide()

    def _build(self) -> None:
        self.heading = make_label("", "heading")
        self.text = make_label("", wrap=True, select=True)
        self.restart = make_button("Restart the worker", "refresh", clicked=self.restartAsked.emit,
                                   tip="Start a new process and load the model again")  # fmt: skip
        self.close_ = make_icon_button("close", "Hide this message", clicked=self.hide)
        head = QHBoxLayout()
        head.setSpacing(SPACE_3)
        self._died, self._back = IconLabel("died", 20, "bad"), IconLabel("check-circle", 20, "good")
        head.addWidget(self._died)
        head.addWidget(self._back)
        head.addWidget(self.heading)
        head.addStretch(1)
        head.addWidget(self.restart)
        head.addWidget(self.close_, 0, Qt.AlignmentFlag.AlignTop)
        self.body.addLayout(head)
        self.body.addWidget(self.text)

    def render_crash(self, words: str, *, down: bool) -> None:
        """It died; `down`: it stays so until it is restarted."""
        self._show("The model's process died" if not down else "The model's process keeps dying", words, down)

    def render_back(self) -> None:
        """It is back; what happened stays readable."""
        if not self.isHidden():
            self._show("The model's process is back", f"{self._first}\n{BACK}", False, back=True)

    def _show(self, heading: str, words: str, down: bool, *, back: bool = False) -> None:
        if not back:
            self._first = words
        self.setProperty("card", "true" if back else "bad")
        self.style().polish(self)
        self._died.setVisible(not back)
        self._back.setVisible(back)
        self.heading.setText(heading)
        self.text.setText(words)
        self.restart.setVisible(down)
        self.setAccessibleName(f"{heading}. {words}")
        self.show()
