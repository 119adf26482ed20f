"""Progress of a task: what is done, a bar, figures (rate, time left), and a button that cancels."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QProgressBar, QWidget

from seirenes_app.ui.theme import SPACE_3
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label


class Progress(QWidget):
    """Hidden until `render_progress`. Without a total the bar only shows that something is going on."""

    cancelRequested = Signal()

    def __init__(self, cancel_tip: str = "", *, cancellable: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.label = ElidedLabel()
        self.figures = make_label("", "small")
        self.bar = make_bar("Progress")
        self.cancel = make_button("Cancel", "stop", tip=cancel_tip, clicked=self.cancelRequested.emit)
        self.cancel.setVisible(cancellable)
        words = column(row((self.label, 1), self.figures, spacing=SPACE_3), self.bar)
        row((words, 1), self.cancel, spacing=SPACE_3, parent=self)
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
