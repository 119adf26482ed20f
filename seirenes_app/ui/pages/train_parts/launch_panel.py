"""Beside the form: what the run will take, what speaks against it, the button that starts it, and the queue."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from seirenes_app.lab.estimate import MemoryEstimate, TimeEstimate
from seirenes_app.lab.machine import format_mb
from seirenes_app.lab.verdicts import MODE_WORDS, format_duration
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card, make_rule
from seirenes_app.ui.widgets.charts import make_card_heading
from seirenes_app.ui.widgets.icon_label import IconLabel
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from training.rundir.config import RunConfig

WIDTH = 344


class Breakdown(QWidget):
    """A figure, and its parts below it in two columns."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self.figure = make_label("…", "figure", wrap=True)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(SPACE_3)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(0, 1)
        self._cells: list[tuple[QLabel, QLabel]] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_1)
        column.addWidget(make_label(name, "small"))
        column.addWidget(self.figure)
        column.addLayout(self._grid)

    def render_parts(self, figure: str, parts: Sequence[tuple[str, str]]) -> None:
        """Show them."""
        self.figure.setText(figure)
        while len(self._cells) < len(parts):
            cells = make_label("", "small", wrap=True), make_label("", "small")
            for column, cell in enumerate(cells):
                # Names fill their column: an aligned label that wraps is laid out narrower than its text.
                side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag(0)
                self._grid.addWidget(cell, len(self._cells), column, side | Qt.AlignmentFlag.AlignTop)
            self._cells.append(cells)
        for i, cells in enumerate(self._cells):
            for cell, text in zip(cells, parts[i] if i < len(parts) else ("", ""), strict=True):
                cell.setText(text)
                cell.setVisible(i < len(parts))
        said = ", ".join(f"{name} {value}" for name, value in parts)
        self.setAccessibleName(f"{self._name}: {figure}. {said}")


class LaunchPanel(QScrollArea):
    """Asks by signals."""

    startAsked = Signal()
    queueAsked = Signal()
    copyAsked = Signal()
    revealAsked = Signal()
    unqueueAsked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFixedWidth(WIDTH)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inside = QWidget()
        self._column = QVBoxLayout(inside)
        self._column.setContentsMargins(0, 32, 24, 32)
        self._column.setSpacing(SPACE_3)
        self._column.addWidget(self._build_launch())
        self._column.addWidget(self._build_queue())
        self._column.addStretch(1)
        self.setWidget(inside)

    def _build_launch(self) -> Card:
        card = Card()
        card.body.setSpacing(SPACE_3)
        card.body.addWidget(make_card_heading("Before it starts"))
        self.time, self.memory = Breakdown("Time"), Breakdown("Memory")
        self.basis = make_label("", "small", wrap=True)
        card.body.addWidget(self.time)
        card.body.addWidget(self.basis)
        card.body.addWidget(make_rule())
        card.body.addWidget(self.memory)
        self.cautions = QVBoxLayout()
        self.cautions.setSpacing(SPACE_2)
        card.body.addLayout(self.cautions)
        self.wrong = make_label("", wrap=True, tone="bad")
        self.reveal = make_button("Show the option", "search", kind="quiet", clicked=self.revealAsked.emit)
        self.start = make_button("Start", "play", kind="primary", large=True, tip="Start this run (Ctrl+Enter)",
                                 clicked=self.startAsked.emit)  # fmt: skip
        self.queue = make_button("Add to queue", "plus", clicked=self.queueAsked.emit,
                                 tip="Starts when no other run is going, while this window is open")  # fmt: skip
        self.copy = make_button("Copy as command", "copy", kind="quiet", clicked=self.copyAsked.emit,
                                tip="The line that starts this run in a terminal")  # fmt: skip
        for widget in (self.wrong, self.reveal, self.start, self.queue, self.copy):
            card.body.addWidget(widget)
        self.wrong.hide()
        self.reveal.hide()
        return card

    def _build_queue(self) -> Card:
        self.waiting = Card()
        self.waiting.body.addWidget(make_card_heading("Waiting to start"))
        self.rows = QVBoxLayout()
        self.rows.setSpacing(SPACE_1)
        self.waiting.body.addLayout(self.rows)
        self.waiting.body.addWidget(
            make_label("The next one starts when no run is going, as long as this window is open.", "small", wrap=True)
        )
        self.waiting.hide()
        return self.waiting

    # ------------------------------------------------------------------ render

    def render_wrong(self, reason: str) -> None:
        """A value is not accepted: say which, and offer to go there. "" when all are."""
        self.wrong.setText(reason)
        self.wrong.setVisible(bool(reason))
        self.reveal.setVisible(bool(reason))
        self.start.setEnabled(not reason)
        self.queue.setEnabled(not reason)

    def render_estimate(self, time: TimeEstimate, memory: MemoryEstimate) -> None:
        """What it will take."""
        self.time.render_parts(_capital(time.words), [(name, format_duration(s)) for name, s in time.parts])
        self.basis.setText(f"A guess {time.basis}.")
        self.memory.render_parts(f"About {format_mb(memory.megabytes)}", [(n, format_mb(mb)) for n, mb in memory.parts])

    def render_cautions(self, cautions: Sequence[str]) -> None:
        """What speaks against it; the button then says that it starts all the same."""
        _clear(self.cautions)
        for caution in cautions:
            self.cautions.addWidget(_make_caution(caution))
        self.start.setText("Start anyway" if cautions else "Start")
        self.start.setAccessibleName(self.start.text())
        self.start.setAccessibleDescription(" ".join(cautions))

    def render_queue(self, waiting: Sequence[RunConfig]) -> None:
        """Runs that wait, the next one first."""
        self.waiting.setVisible(bool(waiting))
        _clear(self.rows)
        for row, config in enumerate(waiting):
            self.rows.addWidget(self._make_row(row, config))

    def _make_row(self, row: int, config: RunConfig) -> QWidget:
        entry = QWidget()
        line = QHBoxLayout(entry)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(SPACE_2)
        text = f"{config.name}  ·  {MODE_WORDS.get(config.mode, config.mode)}, {config.steps} steps"
        label = ElidedLabel()
        label.setText(f"{row + 1}.  {text}")
        line.addWidget(label, 1)
        remove = make_icon_button("close", f"Take {config.name} out of the queue",
                                  clicked=lambda: self.unqueueAsked.emit(row))  # fmt: skip
        line.addWidget(remove)
        return entry


def _make_caution(text: str) -> QWidget:
    entry = QWidget()
    row = QHBoxLayout(entry)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(SPACE_2)
    row.addWidget(IconLabel("warning", 16, "warn"), 0, Qt.AlignmentFlag.AlignTop)
    row.addWidget(make_label(text, wrap=True), 1)
    return entry


def _clear(layout: QVBoxLayout) -> None:
    while (item := layout.takeAt(0)) is not None:
        if (old := item.widget()) is not None:
            old.setParent(None)
            old.deleteLater()


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
