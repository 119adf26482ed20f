"""What speaks against starting a run as it is set up. Each is said, none refuses.

The presets to start from, a tile each: name and one line. One at most is chosen.

Beside the form: what the run will take, what speaks against it, the button that starts it, and the queue.

The face of the Train page that makes a run: presets, form, estimate, start, queue."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFont, QGuiApplication, QKeySequence, QPainter, QPaintEvent, QPen, QResizeEvent, QShortcut
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from seirenes_app.services.estimate import (
    MemoryEstimate,
    TimeEstimate,
    estimate_memory,
    estimate_time,
    model_parameters,
)
from seirenes_app.services.formatting import duration, megabytes
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.services.run_summary import MODE_WORDS
from seirenes_app.store.resources import presets_folder
from seirenes_app.ui.controllers.background import Background
from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.theme import SMALL_PX, SPACE_1, SPACE_2, SPACE_3, SPACE_4, current_theme
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card, Column, make_rule
from seirenes_app.ui.widgets.config_form import ConfigForm, say_name
from seirenes_app.ui.widgets.labels import ElidedLabel, IconLabel, make_card_heading, make_label
from training.errors import UserError
from training.runs.config import Preset, RunConfig, describe_options, load_config, to_dict, to_toml
from training.runs.listing import RunSummary
from training.runs.lock import holder

BYTES_A_PARAMETER = 12
"""Of a checkpoint: the weights and AdamW's two moments in float32."""


@dataclass(frozen=True)
class Surroundings:
    """What the machine has to give now."""

    memory_free_mb: float
    disk_free_mb: float
    live: tuple[str, ...]
    """Runs that are going."""


def look_around(runs_root: Path) -> Surroundings:
    """Read the machine and the locks of all runs. Takes a moment: call it off the window's thread."""
    existing = next((p for p in (runs_root, *runs_root.parents) if p.exists()), Path.cwd())
    free_mb = shutil.disk_usage(existing).free / 2**20
    return Surroundings(psutil.virtual_memory().available / 2**20, free_mb, live_runs(runs_root))


def live_runs(runs_root: Path) -> tuple[str, ...]:
    """Names of the runs whose trainer holds its lock."""
    locks = sorted(runs_root.glob("*/trainer.lock")) if runs_root.is_dir() else []
    return tuple(lock.parent.name for lock in locks if holder(lock) is not None)


def checkpoints_mb(config: RunConfig, parameters: int) -> float:
    """Disk that the checkpoints of a run will take."""
    every, keep = config.checkpoint.every, config.checkpoint.keep
    count = 2 + (config.steps // every if every else 0)
    return (min(count, keep + 1) if keep else count) * BYTES_A_PARAMETER * parameters / 2**20


def find_cautions(config: RunConfig, memory_mb: float, parameters: int, around: Surroundings) -> tuple[str, ...]:
    """One sentence or two for each thing a person should know before they start."""
    found = []
    if config.model.path != "starter" and not (Path(config.model.path) / "config.json").is_file():
        found.append(
            f"“{config.model.path}” is no folder with a Hugging Face model here. The trainer will end at once."
        )
    if config.data.problems and not Path(config.data.problems).is_file():
        found.append(f"The file of problems “{config.data.problems}” is not there.")
    if memory_mb > around.memory_free_mb:
        found.append(
            f"It needs about {megabytes(memory_mb)} of memory and {megabytes(around.memory_free_mb)} are free. The "
            "system may end it; fewer questions or shorter solutions need less."
        )
    disk_mb = checkpoints_mb(config, parameters)
    if disk_mb > around.disk_free_mb:
        found.append(
            f"Its checkpoints take about {megabytes(disk_mb)} and {megabytes(around.disk_free_mb)} of disk are free. "
            "Set checkpoint.keep to keep fewer."
        )
    if around.live:
        going = f"{around.live[0]} is" if len(around.live) == 1 else f"{len(around.live)} runs are"
        found.append(f"{going} going: side by side they become slower. The queue starts this one afterwards.")
    return tuple(found)


ORDER = ("demo", "quick", "long", "clean_rl", "static", "random", "small-gpu")
TITLES = {
    "demo": "Demo", "quick": "Quick", "long": "Long", "clean_rl": "Clean RL", "static": "Static adversary",
    "random": "Random hints", "small-gpu": "Small GPU",
}  # fmt: skip
NARROWEST = 168
HEIGHT = 84


def in_order(names: Mapping[str, Preset]) -> list[str]:
    """The presets that ship in their order, then any other."""
    return [name for name in ORDER if name in names] + [name for name in names if name not in ORDER]


class Tile(QAbstractButton):
    """A name and up to three lines about it; chosen, it has a check mark and a strong border."""

    def __init__(self, preset: Preset, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._about = preset.description
        self.setText(TITLES.get(preset.name, preset.name))
        self.setCheckable(True)
        self.setAccessibleName(f"Preset {self.text()}")
        self.setAccessibleDescription(preset.description)
        self.setToolTip(preset.description)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """As narrow as a tile may be."""
        return QSize(NARROWEST, HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Ground, border, name, lines."""
        theme, chosen = current_theme(), self.isChecked()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        inset = 1.0 if chosen or self.hasFocus() else 0.5
        strong = chosen or self.hasFocus()
        painter.setPen(QPen(theme.colour("accent" if strong else "border"), 2 * inset))
        painter.setBrush(theme.colour("raised" if self.underMouse() and not chosen else "surface"))
        rect = QRectF(self.rect()).adjusted(inset, inset, -inset, -inset)
        painter.drawRoundedRect(rect, 8, 8)
        if self.hasFocus():
            painter.setPen(QPen(theme.colour("accent"), 1, Qt.PenStyle.DotLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(3, 3, -3, -3), 6, 6)
        font = QFont(self.font())
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        painter.setPen(theme.colour("text"))
        painter.drawText(QRectF(14, 9, self.width() - 44, 20), Qt.AlignmentFlag.AlignVCenter, self.text())
        if chosen:
            draw_svg(painter, "check-circle", QRectF(self.width() - 30, 10, 18, 18), theme.accent)
        font = QFont(self.font())
        font.setPixelSize(SMALL_PX)
        painter.setFont(font)
        painter.setPen(theme.colour("muted"))
        flags = Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
        painter.drawText(QRectF(14, 31, self.width() - 26, HEIGHT - 36), flags, self._about)


class PresetTiles(QWidget):
    """As many tiles in a row as there is room for."""

    chosen = Signal(str)

    def __init__(self, presets: Mapping[str, Preset], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tiles = {name: Tile(presets[name]) for name in in_order(presets)}
        self._columns = 0
        self._group = QButtonGroup(self)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(SPACE_2)
        self.setAccessibleName("Presets")
        for name, tile in self.tiles.items():
            self._group.addButton(tile)
            tile.clicked.connect(lambda _on=False, n=name: self.chosen.emit(n))
        self._flow(4)

    def render_chosen(self, name: str) -> None:
        """Mark a preset, or none for any other name."""
        self._group.setExclusive(False)
        for key, tile in self.tiles.items():
            tile.setChecked(key == name)
        self._group.setExclusive(name in self.tiles)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Reflow."""
        self._flow(max(2, min(len(self.tiles), (self.width() + SPACE_2) // (NARROWEST + SPACE_2))))

    def _flow(self, columns: int) -> None:
        if columns == self._columns:
            return
        for i, tile in enumerate(self.tiles.values()):
            self._grid.removeWidget(tile)
            self._grid.addWidget(tile, i // columns, i % columns)
        for column in range(max(columns, self._columns)):
            self._grid.setColumnStretch(column, int(column < columns))
        self._columns = columns


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
        self.time.render_parts(_capital(time.words), [(name, duration(s)) for name, s in time.parts])
        self.basis.setText(f"A guess {time.basis}.")
        self.memory.render_parts(f"About {megabytes(memory.megabytes)}", [(n, megabytes(mb)) for n, mb in memory.parts])

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

    def __init__(self, library: RunRepository, background: Background, parent: QWidget | None = None) -> None:
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
