"""Choosing a model: of those on this machine and the endpoints, or by name. The one picker of Craft, Train and
Robustness.

A hub id or a path may be typed; it is looked up on this machine, and a hub id that is not here can be downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QMenu, QWidget

from seirenes_app.services.evaluations import STARTER
from seirenes_app.services.formatting import byte_size, format_count, short_count
from seirenes_app.services.models.endpoints import EndpointDescription, price_text, probed_text
from seirenes_app.services.models.facts import ModelDescription, ModelFormat
from seirenes_app.services.models.inventory import ModelEntry, ModelSource, add_model_folder, read_entry
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.icons import icon
from seirenes_app.ui.models.models_model import FORMATS, SOURCE_ICONS, fit_style, search_text, source_name
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.widgets.boxes import ignore_wheel
from seirenes_app.ui.widgets.buttons import make_button, open_menu
from seirenes_app.ui.widgets.labels import set_tone
from seirenes_app.ui.widgets.picker_dialog import PickerDialog
from training.endpoints import names_endpoint
from training.model_names import NotDownloaded, locate_model

READING = "Reading its files…"
NO_ENDPOINTS = "Endpoints are not listed: this needs the model's own weights."
LOOK_UP_MS = 350  # How long a typed name must rest before it is looked up
PREVIEW_HEIGHT = 132
RECENT = "recent"
EVERY_FORMAT = frozenset(ModelFormat)
FILE_FILTER = "Models (*.gguf);;All files (*)"


class ModelPicker(PickerDialog):
    """Offers usable models of the `formats` that the caller takes; `about` says where others go. Emits a `ModelEntry`.

    `current` is the path that the cursor begins on, `recent` are paths that were used before. For `training` it says
    what that takes, else what running the model takes.
    """

    downloadRequested = Signal(str)  # What was typed, "" for nothing

    def __init__(
        self, title: str, choose: str, inventory: ModelInventory, *, formats: frozenset[ModelFormat] = EVERY_FORMAT,
        current: Path | None = None, recent: Sequence[Path] = (), about: str = "", training: bool = False,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            title, choose, describe_row, preview=lambda _entry: READING, search=search_text,
            roles={
                int(Qt.ItemDataRole.DecorationRole): lambda e: icon(SOURCE_ICONS[e.source], "muted"),
                int(Qt.ItemDataRole.ToolTipRole): lambda e: e.endpoint.base_url if e.endpoint else str(e.path),
            },
            placeholder="Search, or type a hub id, a path or an address…", parent=parent,
        )  # fmt: skip
        self._inventory, self._formats, self._training = inventory, formats, training
        self._tasks = TaskRunner(self, threads=1)
        self._wanted, self._recent = current, tuple(recent)
        self._named: dict[Path, ModelEntry] = {}  # Chosen by name, and not among those that were found
        self._missing = ""  # A hub id that is not on this machine
        self._about = " ".join(filter(None, (about, "" if ModelFormat.ENDPOINT in formats else NO_ENDPOINTS)))
        self.say(self._about)
        self.source = QComboBox()
        self.source.setAccessibleName("Source of models")
        self.source.addItem("All sources", None)
        if recent:
            self.source.addItem("Recently used", RECENT)
        for source in ModelSource:
            if source is not ModelSource.ENDPOINT or ModelFormat.ENDPOINT in formats:
                self.source.addItem(source_name(source), source)
        ignore_wheel(self.source)
        self.filters.addWidget(self.source)
        self.preview.setMinimumHeight(PREVIEW_HEIGHT)
        self.add_menu = QMenu(self)
        self.add_menu.addAction("A file…").triggered.connect(lambda *_: self._browse_file())
        self.add_menu.addAction("A folder…").triggered.connect(lambda *_: self._browse_folder())
        self.add = make_button("Add…", "folder", tip="A GGUF file or a model folder; it stays where it is",
                               clicked=lambda: open_menu(self.add_menu, self.add))  # fmt: skip
        self.download = make_button("Download…", "drop", clicked=self._on_download)
        self.buttons.insertWidget(0, self.add)
        self.buttons.insertWidget(1, self.download)
        self._look_up_timer = QTimer(self, singleShot=True, interval=LOOK_UP_MS)
        self._look_up_timer.timeout.connect(self._look_up)
        self.source.currentIndexChanged.connect(lambda _i: self._render_entries())
        self.search.textChanged.connect(lambda _text: self._on_typed())
        inventory.changed.connect(self._render_entries)
        inventory.described.connect(self._on_described)
        inventory.ensure_fresh()
        self._render_entries()

    # ------------------------------------------------------------------ what is offered

    def _render_entries(self) -> None:
        found = {e.path: e for e in (*self._named.values(), *self._inventory.entries)}
        wanted: ModelSource | str | None = self.source.currentData()
        offered = [
            e for e in found.values()
            if e.format in self._formats and (e.usable or e.path in self._named)
            and (wanted is None or e.source == wanted or (wanted == RECENT and e.path in self._recent))
        ]  # fmt: skip
        offered.sort(key=self._rank)
        self._empty = "Looking for models…" if self._inventory.scanning else "There is no model of this kind here yet."
        self.render_items(offered, found.get(self._wanted) if self._wanted is not None else None)

    def _rank(self, entry: ModelEntry) -> tuple[object, ...]:
        """Named ones first, then recent ones, then what ships, then by name."""
        recent = self._recent.index(entry.path) if entry.path in self._recent else len(self._recent)
        return entry.path not in self._named, recent, entry.source is not ModelSource.BUNDLED, entry.name.casefold()

    def _render_current(self) -> None:
        super()._render_current()
        entry: ModelEntry | None = self.current
        set_tone(self.preview, "")
        if entry is None:
            if self._missing and self._items:
                self.preview.setText(f"{self._missing} is not on this machine. Download it, or look for another.")
            return
        self._wanted = entry.path
        if not entry.usable:
            self.preview.setText(f"{entry.path}\n{entry.problem}")
            set_tone(self.preview, "bad")
            self.choose.setEnabled(False)
        elif (known := self._inventory.description(entry)) is None:
            self._inventory.describe(entry, key="picker")
        elif isinstance(known, str):
            self.preview.setText(known)
            set_tone(self.preview, "bad")
            self.choose.setEnabled(False)
        elif isinstance(known, EndpointDescription):
            self.preview.setText(describe_endpoint_choice(known))
            set_tone(self.preview, "warn" if known.warning else "")
        else:
            self.preview.setText(describe_choice(entry, known, training=self._training))

    def _on_described(self, entry: ModelEntry) -> None:
        if entry == self.current:
            self._render_current()

    # ------------------------------------------------------------------ by name, by file

    def choose_path(self, path: Path) -> None:
        """Offer the model at a path, and put the cursor on it."""
        self._tasks.run(lambda: read_entry(str(path)), self._take, self.say, key="entry")

    def _take(self, entry: ModelEntry | None) -> None:
        if entry is None:
            self.say("There is no such file or folder.")
            return
        if entry.format not in self._formats:
            kind = FORMATS[entry.format]
            self.say(f"{entry.name} is a {kind if kind.isupper() else kind.lower()}, which cannot be used here.")
            return
        known = self._inventory.find(entry.path)
        if known is None:
            self._named[entry.path] = entry
        self.source.setCurrentIndex(0)
        self.search.clear()
        # Last: a list that changes moves the cursor.
        self._wanted = entry.path
        self._render_entries()

    def _on_typed(self) -> None:
        self._missing = ""
        self._look_up_timer.start()

    def _look_up(self) -> None:
        """What is typed may be a path, a hub id or an endpoint's address, where no listed name has it."""
        text = self.search.text().strip()
        if not self.model.rowCount() and names_endpoint(text) and ModelFormat.ENDPOINT in self._formats:
            self._tasks.run(lambda: read_entry(text), self._take, lambda _text: None, key="look up")
            return
        if self.model.rowCount() or not ("/" in text or "\\" in text or text.startswith(("hf:", "~"))):
            return

        def look() -> Path | str:
            try:
                return locate_model(text)
            except NotDownloaded as error:
                return str(error.hub_id)

        self._tasks.run(look, self._on_looked_up, lambda _text: None, key="look up")

    def _on_looked_up(self, found: Path | str) -> None:
        if isinstance(found, Path):
            self.choose_path(found)
        else:
            self._missing = found
            self._render_current()
            self.download.setFocus()

    def _on_download(self) -> None:
        text = self._missing
        self.reject()
        self.downloadRequested.emit(text)

    def _browse_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose a model", "", FILE_FILTER)
        if name:
            self.add_path(Path(name))

    def _browse_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Choose a model folder")
        if name:
            self.add_path(Path(name))

    def add_path(self, path: Path) -> None:
        """Remember a file or a folder, so that it is found from now on, and put the cursor on it."""

        def added(place: Path) -> None:
            self._inventory.refresh()
            self.choose_path(place)

        self._tasks.run(lambda: add_model_folder(path), added, self.say, key="add")

    def done(self, code: int) -> None:
        self._tasks.close()
        super().done(code)


def describe_row(entry: ModelEntry) -> str:
    """One line of the list."""
    files = entry.files
    if entry.endpoint is not None:
        return "  ·  ".join(filter(None, (entry.name, entry.endpoint.model, entry.endpoint.place, "Endpoint")))
    parts = (entry.name, files.quantisation, byte_size(entry.size_bytes), source_name(entry.source))
    return "  ·  ".join(filter(None, parts))


def describe_choice(entry: ModelEntry, known: ModelDescription, *, training: bool = False) -> str:
    """What a person should know before they choose a model, for `training` or to run it."""
    files = known.files
    size = f"{short_count(files.n_params)} parameters" if files.n_params else ""
    head = "  ·  ".join(filter(None, (files.architecture, size, files.quantisation, byte_size(entry.size_bytes))))
    context = f"Trained on {format_count(files.n_ctx)} tokens of context" if files.n_ctx else ""
    template = known.template_note.text or "Chat template: in its files"
    fits = (known.training_full, known.training_lora) if training else (known.inference,)
    here = "\n".join(f"{fit_style(fit).text}. {fit.sentence}" for fit in fits if fit is not None)
    licence = f"Licence: {known.licence}" if known.licence else ""
    lines = (head, "  ·  ".join(filter(None, (context, licence))), template, here, *known.notes, str(entry.path))
    return "\n".join(filter(None, lines))


def describe_endpoint_choice(known: EndpointDescription) -> str:
    """The same of an endpoint."""
    endpoint = known.endpoint
    context = endpoint.capabilities.context if endpoint.capabilities is not None else None
    lines = (
        f"{endpoint.model or 'Its only model'} at {endpoint.base_url}", known.warning,
        f"Price: {price_text(endpoint.price)}", f"Probed: {probed_text(endpoint)}",
        f"Context: {format_count(context)} tokens" if context else "",
    )  # fmt: skip
    return "\n".join(filter(None, lines))


def argument_of(entry: ModelEntry) -> str:
    """What names a model in a configuration: its hub id, its path, or the name of an endpoint."""
    named = entry.id == STARTER or entry.source in (ModelSource.HUB_CACHE, ModelSource.ENDPOINT)
    return entry.id if named else str(entry.path)
