"""The face of the Train page that makes a run: presets, form, estimate, start, queue."""

from __future__ import annotations

import shlex
from pathlib import Path

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QListWidget, QVBoxLayout, QWidget

from seirenes_app.lab.estimate import MemoryEstimate, TimeEstimate, estimate_memory, estimate_time
from seirenes_app.lab.library import RunLibrary
from seirenes_app.lab.machine import format_mb
from seirenes_app.lab.verdicts import format_duration
from seirenes_app.ui.processes.background import Background
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_6
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card, Column
from seirenes_app.ui.widgets.config_form import ConfigForm
from seirenes_app.ui.widgets.labels import make_label, set_tone
from training.errors import UserError
from training.rundir.config import RunConfig
from training.rundir.config_io import describe_options, load_config, to_dict, to_toml

ESTIMATE_MS = 400


class NewRun(QWidget):
    """Asks by signals to start or to queue a configuration."""

    startAsked = Signal(object)
    queueAsked = Signal(object)
    unqueueAsked = Signal(int)
    problem = Signal(str, str)

    def __init__(self, library: RunLibrary, background: Background, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._background = background
        self._presets = library.presets()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(ESTIMATE_MS)
        self._build()
        self._connect()
        self._take_preset("demo")

    def _build(self) -> None:
        column = Column(1100)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(column)
        column.body.addWidget(make_label("New run", "title"))
        row = QHBoxLayout()
        row.setSpacing(SPACE_6 * 2)
        row.addLayout(self._build_form(), 3)
        row.addLayout(self._build_side(), 2)
        column.body.addLayout(row)
        column.body.addStretch(1)

    def _build_form(self) -> QVBoxLayout:
        left = QVBoxLayout()
        left.setSpacing(SPACE_3)
        presets = QHBoxLayout()
        presets.setSpacing(SPACE_2)
        self.preset = QComboBox()
        self.preset.addItems(list(self._presets))
        self.preset.setAccessibleName("Preset")
        self.preset.setMinimumWidth(180)
        presets.addWidget(make_label("Preset"))
        presets.addWidget(self.preset)
        presets.addWidget(make_button("Open…", "file", kind="quiet", tip="Open a TOML file", clicked=self._open))
        presets.addWidget(make_button("Save…", "save", kind="quiet", tip="Save as a TOML file", clicked=self._save))
        presets.addStretch(1)
        self.about = make_label("", "muted", wrap=True)
        self.form = ConfigForm()
        left.addLayout(presets)
        left.addWidget(self.about)
        left.addWidget(self.form)
        return left

    def _build_side(self) -> QVBoxLayout:
        side = QVBoxLayout()
        side.setSpacing(SPACE_3)
        card = Card()
        card.body.addWidget(make_label("Before it starts", "heading"))
        self.time = make_label("", wrap=True)
        self.time_parts = make_label("", "small", wrap=True)
        self.memory = make_label("", wrap=True)
        self.memory_parts = make_label("", "small", wrap=True)
        self.wrong = make_label("", wrap=True)
        for label in (self.time, self.time_parts, self.memory, self.memory_parts, self.wrong):
            card.body.addWidget(label)
        self.start = make_button(
            "Start", "play", kind="primary", large=True, clicked=lambda: self._ask(self.startAsked)
        )
        self.queue = make_button("Add to queue", "plus", tip="Starts when the run that is going ends",
                                 clicked=lambda: self._ask(self.queueAsked))  # fmt: skip
        self.copy = make_button("Copy as command", "copy", kind="quiet", clicked=self._copy)
        for button in (self.start, self.queue, self.copy):
            card.body.addWidget(button)
        side.addWidget(card)
        self.waiting = Card("flat")
        self.waiting.body.addWidget(make_label("Waiting", "heading"))
        self.list = QListWidget()
        self.list.setAccessibleName("Runs that wait to start")
        self.list.setMaximumHeight(140)
        self.remove = make_button("Remove", kind="quiet", tip="Take the selected run out of the queue",
                                  clicked=lambda: self.unqueueAsked.emit(self.list.currentRow()))  # fmt: skip
        self.waiting.body.addWidget(self.list)
        self.waiting.body.addWidget(self.remove)
        side.addWidget(self.waiting)
        side.addStretch(1)
        self.render_queue([])
        return side

    def _connect(self) -> None:
        self.preset.currentTextChanged.connect(self._take_preset)
        self.form.changed.connect(self._timer.start)
        self._timer.timeout.connect(self._estimate)

    # ------------------------------------------------------------------ render

    def render_config(self, config: RunConfig) -> None:
        """Show a configuration in the form."""
        self.form.render_config(config)

    def render_queue(self, waiting: list[RunConfig]) -> None:
        """The runs that wait."""
        self.waiting.setVisible(bool(waiting))
        self.list.clear()
        self.list.addItems([f"{c.name}: {c.mode}, {c.steps} steps" for c in waiting])

    def _take_preset(self, name: str) -> None:
        preset = self._presets.get(name)
        if preset is not None:
            self.preset.setCurrentText(name)
            self.about.setText(preset.description)
            self.form.render_config(preset.config)

    def _estimate(self) -> None:
        try:
            config = self.form.config()
        except UserError as error:
            self.wrong.setText(str(error))
            set_tone(self.wrong, "bad")
            self.start.setEnabled(False)
            self.queue.setEnabled(False)
            return
        self.wrong.setText("")
        self.start.setEnabled(True)
        self.queue.setEnabled(True)
        self._background.submit(
            lambda: (estimate_time(config), estimate_memory(config)), self._render_estimate, self.wrong.setText
        )

    def _render_estimate(self, found: tuple[TimeEstimate, MemoryEstimate]) -> None:
        time, memory = found
        self.time.setText(time.words[0].upper() + time.words[1:])
        self.time_parts.setText(
            "\n".join(f"{name}: {format_duration(s)}" for name, s in time.parts) + f"\n{time.basis}"
        )
        self.memory.setText(f"About {format_mb(memory.megabytes)} of memory")
        self.memory_parts.setText("\n".join(f"{name}: {format_mb(mb)}" for name, mb in memory.parts))

    # ------------------------------------------------------------------ deeds

    def _ask(self, signal: object) -> None:
        try:
            config = self.form.config()
        except UserError as error:
            self.problem.emit("The configuration cannot be used", str(error))
            return
        signal.emit(config)  # type: ignore[attr-defined]

    def _open(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a config file", "", "Configurations (*.toml *.json)")
        if name:
            try:
                self.render_config(load_config(Path(name)))
            except UserError as error:
                self.problem.emit("The configuration cannot be used", str(error))

    def _save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the configuration", "run.toml", "TOML (*.toml)")
        if name:
            try:
                Path(name).write_text(to_toml(self.form.config()), encoding="utf-8")
            except (UserError, OSError) as error:
                self.problem.emit("The configuration was not saved", str(error))

    def _copy(self) -> None:
        try:
            QGuiApplication.clipboard().setText(self.as_command())
        except UserError as error:
            self.problem.emit("The configuration cannot be used", str(error))

    def as_command(self) -> str:
        """What to type to start this run: the demo preset with what differs from it."""
        now, base = to_dict(self.form.config()), to_dict(self._presets["demo"].config)
        changed = []
        for option in describe_options():
            section, _, leaf = option.key.rpartition(".")
            value, was = ((d[section] if section else d)[leaf] for d in (now, base))
            if value != was:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                changed.append(f"--set {shlex.quote(f'{option.key}={text}')}")
        return " ".join(["seirenes demo", *changed])
