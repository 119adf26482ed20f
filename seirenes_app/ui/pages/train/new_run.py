"""The view of the Train page that makes a run: presets, form, what the run will take, start, queue."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QFont, QFontMetrics, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QBoxLayout,
    QButtonGroup,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QStackedLayout,
    QWidget,
)

from seirenes_app.services.dry_run import keep_measurement, measure_run
from seirenes_app.services.engine_server import describe_engine_server
from seirenes_app.services.estimate import EstimatePart
from seirenes_app.services.evaluations import STARTER
from seirenes_app.services.exact_prompt import ExactPrompt, prompts_to_show, render_prompts
from seirenes_app.services.formatting import duration, megabytes
from seirenes_app.services.models.facts import ModelFormat
from seirenes_app.services.preflight import Preflight, check_run
from seirenes_app.services.run_queue import QueueEntry
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.store.resources import presets_folder, starter_folder
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.controllers.run_queue import QueueControl
from seirenes_app.ui.icons import draw_svg
from seirenes_app.ui.pages.train.actions import PRESET_TITLES
from seirenes_app.ui.pages.train.queue_card import QueueCard
from seirenes_app.ui.tasks import Task, TaskRunner
from seirenes_app.ui.theme import SMALL_PX, SPACE_1, SPACE_2, SPACE_3, SPACE_4, current_theme, sized_font
from seirenes_app.ui.widgets.banner import Banner
from seirenes_app.ui.widgets.boxes import column, fill, make_grid, put_in_area, row
from seirenes_app.ui.widgets.buttons import action_button, make_button
from seirenes_app.ui.widgets.cards import Card, Column, make_rule
from seirenes_app.ui.widgets.config_form import ConfigForm, parse_texts, value_texts
from seirenes_app.ui.widgets.judge_dialog import JudgeDialog
from seirenes_app.ui.widgets.labels import IconLabel, make_label, wrap_anywhere
from seirenes_app.ui.widgets.model_picker import ModelPicker, argument_of
from seirenes_app.ui.widgets.progress import Progress
from seirenes_app.ui.widgets.prompt_editor import PromptRow
from training.core.prompts import PromptProfile, TokenLimits
from training.core.validity import JudgeOptions
from training.errors import UserError
from training.runs.config import EngineKind, EvalConfig, Preset, RolloutConfig, RunConfig, load_config
from training.runs.processes import RunSummary

TILE_WIDTH = 210
TILE_HEIGHT = 84


class Tile(QAbstractButton):
    """A preset: its name and up to three lines about it; chosen, it has a check mark and a strong border."""

    def __init__(self, preset: Preset, parent: QWidget | None = None) -> None:
        super().__init__(parent, text=PRESET_TITLES.get(preset.name, preset.name), checkable=True)
        self._about = preset.description
        self.setAccessibleName(f"Preset {self.text()}")
        self.setAccessibleDescription(preset.description)
        self.setToolTip(preset.description)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFixedHeight(TILE_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(TILE_WIDTH, TILE_HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, chosen = current_theme(), self.isChecked()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        strong = chosen or self.hasFocus()
        inset = 1.0 if strong else 0.5
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
        painter.setFont(sized_font(self.font(), SMALL_PX))
        painter.setPen(theme.colour("muted"))
        flags = Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
        painter.drawText(QRectF(14, 31, self.width() - 26, TILE_HEIGHT - 36), flags, self._about)


class PresetTiles(QWidget):
    """The presets that ship, then any other: as many tiles in a row as there is room for. One at most is chosen."""

    chosen = Signal(str)

    def __init__(self, presets: Mapping[str, Preset], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        names = sorted(presets, key=lambda name: [*PRESET_TITLES, name].index(name))
        self.tiles = {name: Tile(presets[name]) for name in names}
        self._columns = 0
        self._group = QButtonGroup(self)
        self._grid = make_grid(self, gaps=(SPACE_2, SPACE_2))
        self.setAccessibleName("Presets")
        for name, tile in self.tiles.items():
            self._group.addButton(tile)
            tile.clicked.connect(lambda _on=False, n=name: self.chosen.emit(n))
        self._arrange(4)

    def render_chosen(self, name: str) -> None:
        self._group.setExclusive(False)
        for key, tile in self.tiles.items():
            tile.setChecked(key == name)
        self._group.setExclusive(name in self.tiles)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._arrange(max(2, min(len(self.tiles), (self.width() + SPACE_2) // (TILE_WIDTH + SPACE_2))))

    def _arrange(self, columns: int) -> None:
        if columns == self._columns:
            return
        for i, tile in enumerate(self.tiles.values()):
            self._grid.addWidget(tile, i // columns, i % columns)
        for i in range(max(columns, self._columns)):
            self._grid.setColumnStretch(i, int(i < columns))
        self._columns = columns


class Breakdown(QWidget):
    """A figure, and its parts below it: name, value, and what the value rests on."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self.figure = make_label("…", "figure", wrap=True)
        self._grid = make_grid(gaps=(SPACE_3, 2), stretched=0)
        self._cells: list[tuple[QLabel, QLabel, QLabel]] = []
        column(make_label(name, "small"), self.figure, self._grid, spacing=SPACE_1, parent=self)

    def render_parts(self, figure: str, parts: Sequence[tuple[str, str, str]]) -> None:
        self.figure.setText(figure[0].upper() + figure[1:])
        while len(self._cells) < len(parts):
            cells = make_label("", "small", wrap=True), make_label("", "small"), make_label("", "small")
            for place, cell in enumerate(cells):
                # Names fill their column: an aligned label that wraps is laid out narrower than its text.
                side = Qt.AlignmentFlag.AlignRight if place == 1 else Qt.AlignmentFlag(0)
                self._grid.addWidget(cell, len(self._cells), place, side | Qt.AlignmentFlag.AlignTop)
            cells[2].setEnabled(False)
            self._cells.append(cells)
        for i, cells in enumerate(self._cells):
            for cell, text in zip(cells, parts[i] if i < len(parts) else ("", "", ""), strict=True):
                cell.setText(text)
                cell.setVisible(i < len(parts))
        said = ", ".join(f"{name} {value} ({basis})" for name, value, basis in parts)
        self.setAccessibleName(f"{self._name}: {figure}. {said}")


class ServerCheck(QWidget):
    """What the server of the engine answers, and a way to ask again. Hidden for the engine of this machine."""

    againRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon, self.text = IconLabel("clock", 16), wrap_anywhere(make_label("", wrap=True))
        self.again = make_button("Check again", "refresh", kind="quiet", clicked=self.againRequested.emit)
        line = row(self._icon, (self.text, 1))
        line.setAlignment(self._icon, Qt.AlignmentFlag.AlignTop)
        column(line, row(self.again, None), spacing=SPACE_1, parent=self)
        self.hide()

    def render_answer(self, icon: str, tone: str, text: str) -> None:
        """The sentence; "" where there is no server to ask."""
        self._icon.render_icon(icon or "clock", tone)
        self.text.setText(text)
        self.setVisible(bool(text))


class LaunchPanel(QScrollArea):
    """Beside the form: the buttons, then what may change its height: warnings, what the run will take, the queue."""

    revealRequested = Signal()

    def __init__(self, actions: Mapping[str, QAction], queue: QueueControl, parent: QWidget | None = None) -> None:
        super().__init__(parent, widgetResizable=True)
        self._actions = actions
        self._warnings: tuple[str, ...] = ()
        self._refusal = ""
        """What the server of the engine answered, where the run cannot go on with it."""
        self.setFixedWidth(344)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.queue = QueueCard(queue, actions)
        inside = QWidget()
        column(self._build_launch(), self.queue, None, spacing=SPACE_3, margins=(0, 32, 24, 32), parent=inside)
        put_in_area(self, inside)

    def _build_launch(self) -> Card:
        card = Card()
        card.body.setSpacing(SPACE_3)
        self.start = action_button(self._actions["start"], kind="primary", large=True)
        self.time, self.memory = Breakdown("Time"), Breakdown("Memory")
        self.basis = make_label("", "small", wrap=True)
        self.basis.setMinimumHeight(2 * QFontMetrics(sized_font(self.basis.font(), SMALL_PX)).lineSpacing())
        self.basis.setAlignment(Qt.AlignmentFlag.AlignTop)
        # One place for the button and for its progress, so that nothing below moves.
        self.measure = action_button(self._actions["measure"])
        self.measuring = Progress("End the two steps; nothing of them is kept")
        self.measuring.label.setMinimumWidth(0)
        place = QWidget()
        stack = QStackedLayout(place)
        for widget in (self.measure, self.measuring):
            stack.addWidget(widget)
        place.setFixedHeight(max(self.measure.sizeHint().height(), self.measuring.sizeHint().height()))
        self._measure_stack = stack
        self.warnings, self.server = column(), ServerCheck()
        self.wrong = wrap_anywhere(make_label("", wrap=True, tone="bad"))
        self.reveal = make_button("Show the option", "search", kind="quiet", clicked=self.revealRequested.emit)
        self.wrong.hide()
        self.reveal.hide()
        # The buttons stand above everything that comes and goes: a late warning must not move them.
        queue, submit = (action_button(self._actions[name]) for name in ("queue", "submit"))
        copy = action_button(self._actions["copy-command"], kind="quiet")
        fill(
            card.body, self.start, queue, submit, copy, make_rule(), self.wrong, self.reveal, self.warnings, self.server
        )
        fill(card.body, self.time, self.basis, place, make_rule(), self.memory)
        return card

    def render_measuring(self, text: str | None, share: float = 0.0) -> None:
        """How far a measurement is; None where none is under way."""
        busy = self.measuring if text is not None else self.measure
        if self._measure_stack.currentWidget() is not busy:
            self._measure_stack.setCurrentWidget(busy)
            (self.measuring.cancel if text is not None else self.measure).setFocus(Qt.FocusReason.OtherFocusReason)
        if text is not None:
            # The panel is narrow: what the step does is in the tooltip.
            self.measuring.render_progress(text.partition(":")[0], share, 1.0)
            self.measuring.setToolTip(text)

    def render_wrong(self, reason: str) -> None:
        """A value is not accepted: name it. "" when all are."""
        self.wrong.setText(reason)
        self.wrong.setVisible(bool(reason))
        self.reveal.setVisible(bool(reason))
        for name in ("start", "queue", "submit", "measure"):
            self._actions[name].setEnabled(not reason)

    def render_preflight(self, found: Preflight) -> None:
        """What it will take, and warnings; with a warning the button says that it starts all the same."""
        self.time.render_parts(found.time.text, [_cells(p, duration) for p in found.time.parts])
        self.basis.setText(found.time.basis_text)
        parts = [_cells(p, megabytes) for p in found.memory.parts]
        self.memory.render_parts(f"About {megabytes(found.memory.megabytes)}", parts)
        _clear(self.warnings)
        for text in found.warnings:
            entry, icon = QWidget(), IconLabel("warning", 16, "warn")
            line = row(icon, (wrap_anywhere(make_label(text, wrap=True)), 1), parent=entry)
            line.setAlignment(icon, Qt.AlignmentFlag.AlignTop)
            self.warnings.addWidget(entry)
        self._warnings = found.warnings
        self._render_start()

    def render_server(self, icon: str = "", tone: str = "", text: str = "", *, refusal: bool = False) -> None:
        """What the server of the engine answers; "" where the model runs on this machine. Start waits for nothing."""
        self._refusal = text if refusal else ""
        # Another warning may have said it, such as of a model that is not here.
        self.server.render_answer(icon, tone, "" if text in self._warnings else text)
        self._render_start()

    def _render_start(self) -> None:
        warnings = [*self._warnings, *filter(None, [self._refusal])]
        self._actions["start"].setText("Start anyway" if warnings else "Start")
        self.start.setAccessibleDescription(" ".join(warnings))


def _cells(part: EstimatePart, show: Callable[[float], str]) -> tuple[str, str, str]:
    return part.name, show(part.value), part.basis


def _clear(layout: QBoxLayout) -> None:
    while (item := layout.takeAt(0)) is not None:
        if (old := item.widget()) is not None:
            old.setParent(None)
            old.deleteLater()


ESTIMATE_MS = 350
SERVER = "engine server"
DEMO = "demo"
SETTLE_MS, FIELD_MARGIN = 40, 80  # Until an unfolded section has its height; pixels around a field in view
MODEL_KEY, JUDGE_KEY = "model.path", "judge.model"
HINT_LIMIT = "rollout.max_hint_tokens"
LIMITS = (HINT_LIMIT, "rollout.max_solution_tokens", "evaluation.max_new_tokens")
SUGGESTED_FOR_STARTER = TokenLimits(EvalConfig().max_new_tokens, RolloutConfig().max_hint_tokens)
TRAINABLE = frozenset({ModelFormat.FOLDER, ModelFormat.ADAPTER})
WRITERS = TRAINABLE | {ModelFormat.GGUF}
WRITER_NOTE = "A GGUF file writes hints as it is, untrained. To train it, convert it to a folder on the Models page."
GGUF_NOTE = "Hugging Face folders can be trained. A GGUF file is converted to one on the Models page."


@dataclass(frozen=True)
class Origin:
    """What the form was filled from: the command that starts just that, and its values."""

    name: str
    command: str
    config: RunConfig


class NewRun(QWidget):
    """Presets and the form, with the launch panel beside them."""

    downloadRequested = Signal(str)  # Hub id of a model, "" for none
    problem = Signal(str, str)  # A title and what happened
    measured = Signal()  # A measurement is over, however it ended

    def __init__(
        self, library: RunRepository, models: ModelInventory, tasks: TaskRunner, actions: Mapping[str, QAction],
        queue: QueueControl, server_tasks: TaskRunner, parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        """`server_tasks`: for what may take a server seconds."""
        super().__init__(parent)
        self._library, self._models, self._tasks, self._actions = library, models, tasks, actions
        self._server_tasks = server_tasks
        self._asked: object = None
        """What the server of the engine was asked, or is being asked."""
        self._presets = library.presets()
        self._past: Sequence[RunSummary] = ()
        self._model, self._limits = STARTER, SUGGESTED_FOR_STARTER
        demo = self._presets[DEMO].config if DEMO in self._presets else RunConfig()
        self._origin = Origin(DEMO, "seirenes demo", demo)
        self._timer = QTimer(self, singleShot=True, interval=ESTIMATE_MS)
        self._timer.timeout.connect(self._estimate)
        self.column = Column(1320)
        self.column.body.setSpacing(SPACE_4)
        self.column.body.setContentsMargins(40, 32, 24, 40)
        self.panel = LaunchPanel(actions, queue)
        self._measurement: Task | None = None
        self.editing: QueueEntry | None = None
        self.start = self.panel.start
        row((self.column, 1), self.panel, spacing=0, parent=self)
        files = [action_button(actions[name], kind="quiet") for name in ("clusters", "open-file", "save-file")]
        self.tiles = PresetTiles(self._presets)
        self.differs = make_label("", "muted")
        self.form = ConfigForm(PromptRow(tasks, self._exact_prompts, narrow=True))
        head = row(make_label("New run", "title"), None, *files)
        self.banner = Banner()
        fill(self.column.body, head, self.banner, self.tiles, self.differs, self.form, None)
        self.tiles.chosen.connect(self.take_preset)
        self.form.changed.connect(self._on_changed)
        self.form.modelRequested.connect(self.choose_model)
        self.panel.revealRequested.connect(self._reveal)
        self.panel.server.againRequested.connect(self._ask_server)
        self.panel.measuring.cancelRequested.connect(self.cancel_measurement)
        self.take_preset(DEMO)

    def render_config(self, config: RunConfig) -> None:
        """Show a configuration; what differs from where the form was filled from is marked."""
        self.form.render_config(config, self._origin.config)

    def take_preset(self, name: str) -> None:
        if (preset := self._presets.get(name)) is not None:
            file = shlex.quote(str(presets_folder() / f"{name}.toml"))
            self._fill(Origin(name, "seirenes demo" if name == DEMO else f"seirenes train {file}", preset.config))

    def edit_queued(self, entry: QueueEntry) -> None:
        """Show the settings of a run that waits; adding to the queue changes it in its place."""
        assert entry.config is not None
        self.render_config(entry.config)
        self.editing = entry
        self._on_changed()

    def take_file(self, path: Path) -> None:
        """Fill the form from a file; a `UserError` says what is wrong with it."""
        self._fill(Origin(path.name, f"seirenes train {shlex.quote(str(path))}", load_config(path)))

    def _fill(self, origin: Origin) -> None:
        self.editing = None
        self._origin = origin
        self.tiles.render_chosen(origin.name)
        self.form.render_config(origin.config)

    def _exact_prompts(self, profile: PromptProfile) -> list[ExactPrompt]:
        return render_prompts(self._model, prompts_to_show(profile), profile)

    def choose_judge(self) -> JudgeDialog:
        """Let the judge be chosen, and measured."""
        texts = {key: field.text().strip() for key, field in self.form.fields.items() if key.startswith("judge.")}
        try:
            options = parse_texts([f"{key}={text}" for key, text in texts.items()], "form").judge
        except UserError:
            # The form says which value is not accepted; the judge can be chosen meanwhile.
            options = JudgeOptions(texts[JUDGE_KEY])
        dialog = JudgeDialog(
            self._tasks, self._models, options, self.form.fields[MODEL_KEY].text().strip() or STARTER, parent=self
        )
        dialog.chosen.connect(lambda name: self.take_model(name, JUDGE_KEY))
        dialog.measured.connect(self._on_changed)
        dialog.finished.connect(lambda _code: dialog.deleteLater())
        dialog.open()
        return dialog

    def choose_model(self, key: str = MODEL_KEY) -> ModelPicker | JudgeDialog:
        """Let the model of an option be chosen of those on this machine."""
        if key == JUDGE_KEY:
            return self.choose_judge()
        now = self.form.fields[key].text().strip()
        past = [s.config.model.path for s in self._past if s.config is not None]
        title, use, formats, about, trained = (
            ("The model to train", "Train this model", TRAINABLE, GGUF_NOTE, True)
            if key == MODEL_KEY
            else ("The Adversary's own model", "Use this model", WRITERS, WRITER_NOTE, False)
        )
        picker = ModelPicker(
            title, use, self._models, formats=formats, current=starter_folder() if now == STARTER else Path(now),
            about=about, recent=[Path(name) for name in dict.fromkeys(past) if name != STARTER], training=trained,
            parent=self,
        )  # fmt: skip
        picker.chosen.connect(lambda entry: self.take_model(argument_of(entry), key))
        picker.downloadRequested.connect(self.downloadRequested)
        picker.finished.connect(lambda _code: picker.deleteLater())
        picker.open()
        return picker

    def take_model(self, name: str, key: str = MODEL_KEY) -> None:
        """Put a model into the form and the keyboard there."""
        field = self.form.fields[key]
        field.take(name)
        self.form.reveal(key)
        QTimer.singleShot(SETTLE_MS, field, lambda: self.column.ensureWidgetVisible(field, 0, FIELD_MARGIN))

    def refresh_words(self) -> None:
        """Say again what the form shows: a run of the queue is edited, or no longer."""
        self._on_changed()

    def _on_changed(self) -> None:
        count = len(self.form.changed_keys())
        options = "1 option differs" if count == 1 else f"{count} options differ"
        same = f"The settings of {self._origin.name}."
        text = f"{options} from {self._origin.name}, marked with a dot." if count else same
        if self.editing is not None:
            text = f"Editing {self.editing.name} of the queue. {text}"
        self.differs.setText(text)
        self._actions["queue"].setText("Add to queue" if self.editing is None else "Keep in the queue")
        self._render_wrong()
        self._timer.start()

    def _render_wrong(self) -> bool:
        field = self.form.first_wrong()
        self.panel.render_wrong(f"{field.title}: {field.wrong}" if field is not None else "")
        return field is not None

    def _reveal(self) -> None:
        if (field := self.form.first_wrong()) is not None:
            self.form.reveal(field.option.key)
            self.column.ensureWidgetVisible(field)

    def start_search(self) -> None:
        self.form.search.setFocus()
        self.form.search.selectAll()

    def as_command(self) -> str:
        """What to type to start this run: the command of its origin, with what differs from it. A UserError for prompts
        that were edited and have no name."""
        if not self.form.prompts.is_named:
            raise UserError("The prompts were edited. Save them under a name first, so that a command can name them.")
        now, base = value_texts(self.form.config()), value_texts(self._origin.config)
        changed = (f"--set {shlex.quote(f'{key}={text}')}" for key, text in now.items() if text != base[key])
        return " ".join([self._origin.command, *changed])

    def refresh(self) -> None:
        """The page came into view: past runs and the machine may have changed."""
        self._tasks.run(self._library.list_runs, self._on_runs_listed, key="past runs")

    def _on_runs_listed(self, past: Sequence[RunSummary]) -> None:
        self._past = past
        self._estimate()

    def _estimate(self) -> None:
        if not self._render_wrong():
            config, past = self.form.config(), self._past
            root, file = self._library.runs_root, self._library.shared_file
            self._tasks.run(lambda: check_run(config, past, root, file), self._on_checked, key="preflight")

    def _on_checked(self, found: Preflight) -> None:
        if self.form.first_wrong() is None and found.config == self.form.config():
            self._model = found.config.model.path
            self.form.prompts.render_fitting(found.fitting)
            self._take_limits(found.limits)
            self.panel.render_preflight(found)
            config = found.config
            asked = (config.engine, config.model.path) if config.engine.backend is EngineKind.TINKER else None
            if asked != self._asked:
                self._asked = asked
                self._ask_server()

    def _ask_server(self) -> None:
        """Ask the server of the engine whether it can be used, where there is one; nothing waits for its answer."""
        self._server_tasks.cancel(SERVER)
        if self._asked is None:
            self.panel.render_server()
            return
        config = self.form.config()
        self.panel.render_server("clock", "muted", f"Asking {config.engine.url}. The run can be started meanwhile.")
        self._server_tasks.run(
            lambda: describe_engine_server(config), lambda text: self.panel.render_server("check-circle", "good", text),
            lambda text: self.panel.render_server("warning", "warn", text, refusal=True), key=SERVER,
        )  # fmt: skip

    @property
    def measuring(self) -> bool:
        return self._measurement is not None

    def measure(self) -> None:
        """Play two steps of what is in the form, in another process, and estimate from what they take."""
        if self._measurement is not None:
            return
        config, library = self.form.config(), self._library

        def work(task: Task) -> None:
            found = measure_run(config, library.runs_root, task.report, lambda: task.cancelled)
            if found is not None:
                keep_measurement(library.shared_file, config, found)

        self._measurement = self._tasks.run_task(
            work, lambda _found: self._on_measured(), self._on_measure_failed, progress=self.panel.render_measuring,
            key="measure",
        )  # fmt: skip
        self.panel.render_measuring("Starting the trainer")

    def cancel_measurement(self) -> None:
        if self._measurement is not None:
            self._measurement.cancel()
            self._on_measured()

    def _on_measured(self) -> None:
        self._measurement = None
        self.panel.render_measuring(None)
        self._estimate()
        self.measured.emit()

    def _on_measure_failed(self, text: str) -> None:
        self._on_measured()
        self.problem.emit("Two steps could not be measured", text)

    def _take_limits(self, limits: TokenLimits) -> None:
        """Token limits that are the suggested ones go with the model and its prompts."""
        before, self._limits = self._limits, limits
        for key in LIMITS:
            field = self.form.fields[key]
            old, new = (found.hint if key == HINT_LIMIT else found.solution for found in (before, limits))
            if old != new and field.text() == str(old):
                field.take(str(new))
