"""The face of the Train page that makes a run: presets, form, estimate, start, queue."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QWidget

from seirenes_app.lab.estimate import MemoryEstimate, TimeEstimate, estimate_memory, estimate_time, model_parameters
from seirenes_app.lab.library import RunLibrary
from seirenes_app.lab.resources import presets_folder
from seirenes_app.ui.pages.train_parts.cautions import find_cautions, look_around
from seirenes_app.ui.pages.train_parts.launch_panel import LaunchPanel
from seirenes_app.ui.pages.train_parts.preset_tiles import PresetTiles
from seirenes_app.ui.processes.background import Background
from seirenes_app.ui.theme import SPACE_2, SPACE_4
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Column
from seirenes_app.ui.widgets.config_field import say_name
from seirenes_app.ui.widgets.config_form import ConfigForm
from seirenes_app.ui.widgets.labels import make_label
from training.errors import UserError
from training.rundir.config import RunConfig
from training.rundir.config_io import describe_options, load_config, to_dict, to_toml
from training.rundir.index import RunSummary

ESTIMATE_MS = 350
COPIED_MS = 1600
DEMO = "demo"


@dataclass(frozen=True)
class Origin:
    """What the form was filled from: the command that starts just that, and its values."""

    name: str
    command: str
    config: RunConfig


@dataclass(frozen=True)
class Outlook:
    """What a configuration will take, and what speaks against it."""

    config: RunConfig
    time: TimeEstimate
    memory: MemoryEstimate
    cautions: tuple[str, ...]


class NewRun(QWidget):
    """Asks by signals to start or to queue a configuration."""

    startAsked = Signal(object)
    queueAsked = Signal(object)
    unqueueAsked = Signal(int)
    problem = Signal(str, str)

    def __init__(self, library: RunLibrary, background: Background, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._library, self._background = library, background
        self._presets = library.presets()
        self._past: Sequence[RunSummary] = ()
        demo = self._presets[DEMO].config if DEMO in self._presets else RunConfig()
        self._origin = Origin(DEMO, "seirenes demo", demo)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(ESTIMATE_MS)
        self._build()
        self._connect()
        self.take_preset(DEMO)

    def _build(self) -> None:
        column = Column(1320)
        column.body.setSpacing(SPACE_4)
        column.body.setContentsMargins(40, 32, 24, 40)
        self.column = column
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(column, 1)
        self.panel = LaunchPanel()
        row.addWidget(self.panel)
        self.start, self.queue, self.copy = self.panel.start, self.panel.queue, self.panel.copy
        head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        head.addWidget(make_label("New run", "title"))
        head.addStretch(1)
        head.addWidget(make_button("Open…", "file", kind="quiet", tip="Fill the form from a TOML or JSON file",
                                   clicked=self._open))  # fmt: skip
        head.addWidget(
            make_button("Save…", "save", kind="quiet", tip="Save the form as a TOML file", clicked=self._save)
        )
        column.body.addLayout(head)
        self.tiles = PresetTiles(self._presets)
        self.differs = make_label("", "muted", wrap=True)
        self.form = ConfigForm()
        for part in (self.tiles, self.differs, self.form):
            column.body.addWidget(part)
        column.body.addStretch(1)

    def _connect(self) -> None:
        self.tiles.chosen.connect(self.take_preset)
        self.form.changed.connect(self._take_change)
        self._timer.timeout.connect(self._estimate)
        self.panel.startAsked.connect(lambda: self._ask(self.startAsked))
        self.panel.queueAsked.connect(lambda: self._ask(self.queueAsked))
        self.panel.unqueueAsked.connect(self.unqueueAsked)
        self.panel.copyAsked.connect(self._copy)
        self.panel.revealAsked.connect(self._reveal)
        for key, does in (("Ctrl+Return", self._press_start), ("Ctrl+F", self._find)):
            QShortcut(QKeySequence(key), self).activated.connect(does)

    # ------------------------------------------------------------------ render

    def render_config(self, config: RunConfig) -> None:
        """Show a configuration; what differs from where the form was filled from is marked."""
        self.form.render_config(config, self._origin.config)

    def render_queue(self, waiting: Sequence[RunConfig]) -> None:
        """Runs that wait to start."""
        self.panel.render_queue(waiting)

    def take_preset(self, name: str) -> None:
        """Fill the form with a preset."""
        preset = self._presets.get(name)
        if preset is None:
            return
        file = shlex.quote(str(presets_folder() / f"{name}.toml"))
        self._origin = Origin(name, "seirenes demo" if name == DEMO else f"seirenes train {file}", preset.config)
        self.tiles.render_chosen(name)
        self.form.render_config(preset.config)

    def take_file(self, path: Path) -> None:
        """Fill the form from a file; a `UserError` says what is wrong with it."""
        config = load_config(path)
        self._origin = Origin(path.name, f"seirenes train {shlex.quote(str(path))}", config)
        self.tiles.render_chosen("")
        self.form.render_config(config)

    def _take_change(self) -> None:
        count = len(self.form.changed_keys())
        options = "1 option differs" if count == 1 else f"{count} options differ"
        self.differs.setText(f"{options} from {self._origin.name}, marked with a dot." if count else "")
        self.differs.setVisible(count > 0)
        self._render_wrong()
        self._timer.start()

    def _render_wrong(self) -> str:
        wrong = self.form.first_wrong()
        name = say_name(self.form.fields[wrong[0]].option) if wrong else ""
        reason = f"{name}: {wrong[1]}" if wrong else ""
        self.panel.render_wrong(reason)
        return reason

    # ------------------------------------------------------------------ estimate

    def refresh(self) -> None:
        """The page came into view: what runs there were and what the machine has may have changed."""
        self._background.submit(self._library.list_runs, self._take_past, lambda _text: None)

    def _take_past(self, past: Sequence[RunSummary]) -> None:
        self._past = past
        self._estimate()

    def _estimate(self) -> None:
        if self._render_wrong():
            return
        config, past, root = self.form.config(), self._past, self._library.runs_root

        def look() -> Outlook:
            time, memory = estimate_time(config, past=past), estimate_memory(config)
            cautions = find_cautions(config, memory.megabytes, model_parameters(config), look_around(root))
            return Outlook(config, time, memory, cautions)

        self._background.submit(look, self._take_outlook)

    def _take_outlook(self, outlook: Outlook) -> None:
        if self.form.first_wrong() is None and outlook.config == self.form.config():
            self.panel.render_estimate(outlook.time, outlook.memory)
            self.panel.render_cautions(outlook.cautions)

    # ------------------------------------------------------------------ deeds

    def _ask(self, signal: object) -> None:
        try:
            config = self.form.config()
        except UserError as error:
            self.problem.emit("The configuration cannot be used", str(error))
            return
        signal.emit(config)  # type: ignore[attr-defined]

    def _press_start(self) -> None:
        if self.start.isEnabled():
            self.start.click()

    def _find(self) -> None:
        self.form.search.setFocus()
        self.form.search.selectAll()

    def _reveal(self) -> None:
        wrong = self.form.first_wrong()
        if wrong is not None:
            self.form.reveal(wrong[0])
            self.column.ensureWidgetVisible(self.form.fields[wrong[0]])

    def _open(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a config file", "", "Configurations (*.toml *.json)")
        if name:
            try:
                self.take_file(Path(name))
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
            return
        self.copy.setText("Copied")
        QTimer.singleShot(COPIED_MS, self.copy, lambda: self.copy.setText("Copy as command"))

    def as_command(self) -> str:
        """What to type to start this run: the command of its origin, with what differs from it."""
        now, base = to_dict(self.form.config()), to_dict(self._origin.config)
        changed = []
        for option in describe_options():
            section, _, leaf = option.key.rpartition(".")
            value, was = ((d[section] if section else d)[leaf] for d in (now, base))
            if value != was:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                changed.append(f"--set {shlex.quote(f'{option.key}={text}')}")
        return " ".join([self._origin.command, *changed])
