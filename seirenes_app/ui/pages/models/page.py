"""The Models page: models on this machine with their facts, and downloads of further ones.

`ModelInventory` finds and describes models, `DownloadMonitor` follows downloads; both belong to the window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, QUrl, Signal
from PySide6.QtGui import (
    QAction,
    QDesktopServices,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QGuiApplication,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLineEdit,
    QMenu,
    QSplitter,
    QStackedLayout,
    QWidget,
)

from seirenes_app.services.evaluations import STARTER
from seirenes_app.services.formatting import count_of
from seirenes_app.services.models.facts import ModelFormat
from seirenes_app.services.models.inventory import ModelEntry, ModelSource, add_model_folder, read_entry
from seirenes_app.ui.actions import bind_actions
from seirenes_app.ui.controllers.downloads import DownloadMonitor
from seirenes_app.ui.controllers.model_inventory import ModelInventory
from seirenes_app.ui.models.models_model import ModelsModel, source_name
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.models.actions import ACTIONS, MODEL_ACTIONS
from seirenes_app.ui.pages.models.dialogs import ModelsDialogs, can_remove
from seirenes_app.ui.pages.models.serve_dialog import ServeDialog, ServerMonitor
from seirenes_app.ui.pages.models.views import DownloadList, FactsPanel, ModelTable
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_3, Theme
from seirenes_app.ui.widgets.boxes import column, ignore_wheel, row
from seirenes_app.ui.widgets.buttons import action_button, make_button, make_icon_button, open_menu
from seirenes_app.ui.widgets.cards import Card, EmptyState, centred
from seirenes_app.ui.widgets.drop_overlay import DropOverlay
from seirenes_app.ui.widgets.labels import ElidedLabel, IconLabel, make_label, wrap_anywhere
from training.endpoints import Endpoint
from training.model_names import HubId, find_cached

FILE_FILTER = "Models (*.gguf);;All files (*)"
DESCRIBE_MS = 60  # How long the cursor must rest on a model before its files are read
SHIPPED = (ModelSource.BUNDLED, ModelSource.CHECKPOINT)


class ModelsPage(Page):
    """A table of models at the left, the selected one at the right, downloads below."""

    key = "models"

    craftRequested = Signal(object)  # ModelEntry
    evaluateRequested = Signal(object)  # ModelEntry
    trainRequested = Signal(object)  # ModelEntry
    toast = Signal(str)  # What was done, in a line
    problem = Signal(str, str)  # (title, text)

    def __init__(self, inventory: ModelInventory, downloads: DownloadMonitor, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.inventory, self.downloads = inventory, downloads
        # Its own threads: a test takes minutes, and the hub may not answer.
        self._tasks = TaskRunner(self, threads=3)
        self._wanted: Path | None = None  # What the cursor goes to once it is known
        self._describe_timer = QTimer(self, singleShot=True, interval=DESCRIBE_MS)
        self._describe_timer.timeout.connect(self._describe)
        self.model = ModelsModel(inventory, self)
        self.dialogs = ModelsDialogs(self._tasks, self)
        self.servers = ServerMonitor(self)
        self.setAcceptDrops(True)
        self.actions_ = self._bind_actions()
        self._build()
        self._connect()
        self._render()

    def _bind_actions(self) -> dict[str, QAction]:
        dialogs, ask = self.dialogs, self._with_model
        return bind_actions(self, ACTIONS, {
            "craft": lambda: ask(self.craftRequested.emit),
            "evaluate": lambda: ask(self.evaluateRequested.emit),
            "train": lambda: ask(self.trainRequested.emit),
            "test": lambda: ask(dialogs.show_test),
            "probe": lambda: ask(dialogs.show_probe),
            "edit": lambda: ask(dialogs.show_endpoint),
            "key": lambda: ask(dialogs.show_key),
            "add-endpoint": lambda: dialogs.show_endpoint(),
            "convert": lambda: ask(dialogs.show_convert),
            "serve": lambda: ask(self._show_serve),
            "export": lambda: ask(dialogs.show_export),
            "folder": lambda: ask(self._show_folder),
            "copy": lambda: ask(self._copy),
            "remove": lambda: ask(dialogs.ask_remove),
            "download": lambda: dialogs.show_download(),
            "add": self._add_file, "add-folder": self._add_folder,
            "login": dialogs.show_login,
            "search": self._start_search,
            "rescan": self.inventory.refresh,
            "unusable": lambda: None,
        })  # fmt: skip

    def _build(self) -> None:
        self.table = ModelTable(self.model)
        self.source = QComboBox()
        self.source.setAccessibleName("Source of models")
        self.source.addItem("All sources", None)
        for source in ModelSource:
            self.source.addItem(source_name(source), source)
        ignore_wheel(self.source)
        self.search = QLineEdit(placeholderText="Search names, sources and paths…", clearButtonEnabled=True)
        self.search.setAccessibleName("Search models")
        self.search.setMaximumWidth(420)
        self.add_menu = QMenu(self)
        for name in ("add", "add-folder", "add-endpoint"):
            self.add_menu.addAction(self.actions_[name])
        self.add = make_button("Add…", "plus", tip="A file, a folder or an endpoint",
                               clicked=lambda: open_menu(self.add_menu, self.add))  # fmt: skip
        self.download = action_button(self.actions_["download"], kind="primary")
        self.count, self.unusable = ElidedLabel("small"), QCheckBox()
        self.stop_search = make_icon_button("stop", "Stop looking for models", clicked=self.inventory.stop)
        self.stop_search.setProperty("tight", "true")
        self.facts = FactsPanel(self.actions_)
        none = make_button("Clear the filter", "close", clicked=self._clear_filter)
        self.no_hits = EmptyState("search", "No model matches", "No model on this machine matches the filter.", (none,))
        self.no_endpoints = EmptyState(
            "server", "No endpoint yet",
            "A model behind a server that speaks the OpenAI chat API, on this machine or elsewhere, can solve, write "
            "hints and judge. Its key stays in the system keyring.",
            (action_button(self.actions_["add-endpoint"], kind="primary"),),
        )  # fmt: skip
        holder = QWidget()
        self._table_stack = QStackedLayout(holder)
        for widget in (self.table, centred(self.no_hits), centred(self.no_endpoints)):
            self._table_stack.addWidget(widget)
        left = QWidget()
        foot = row((self.count, 1), self.stop_search, None, self.unusable)
        self.first_steps = self._build_first_steps()
        column((holder, 1), self.first_steps, foot, spacing=SPACE_2, parent=left)
        self.split = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False, handleWidth=14)
        self.split.addWidget(left)
        self.split.addWidget(self.facts)
        left.setMinimumWidth(460)
        self.facts.setMinimumWidth(372)
        for place, share in enumerate((66, 34)):
            self.split.setStretchFactor(place, share)
        self.split.setSizes([666, 372])
        # Below everything: a download that starts moves nothing under the pointer.
        self.download_list = DownloadList()
        head = row(make_label("Models", "title"), SPACE_2, self.source, (self.search, 4), None, self.add, self.download,
                   spacing=SPACE_3)  # fmt: skip
        column(head, (self.split, 1), self.download_list, spacing=SPACE_3, margins=(28, 20, 28, 16), parent=self)
        self.drop_overlay = DropOverlay(self)
        self.table.addActions([self.actions_[spec.name] for spec in MODEL_ACTIONS])
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    def _build_first_steps(self) -> Card:
        """Shown while there is nothing but what ships: how a model gets here."""
        card = Card("flat", padding=SPACE_3)
        text = (
            "Only what ships with Seirênes and what your runs made is here. Download a model from the hub, or drop a "
            "GGUF file or a model folder on this page. Models of LM Studio, llama.cpp, Ollama and the Hugging Face "
            "cache are found where they are. A model behind a server is added as an endpoint."
        )
        words = wrap_anywhere(make_label(text, "muted", wrap=True))
        card.body.addLayout(row(IconLabel("info", 20, "accent"), (words, 1), spacing=SPACE_3))
        card.hide()
        return card

    def _connect(self) -> None:
        dialogs = self.dialogs
        dialogs.startRequested.connect(self.downloads.start)
        dialogs.changed.connect(self.inventory.refresh)
        dialogs.endpointSaved.connect(self._on_endpoint_saved)
        dialogs.endpointReached.connect(lambda entry, reached: self.inventory.note_endpoint(entry, reached=reached))
        dialogs.endpointChanged.connect(lambda entry: self.inventory.note_endpoint(entry))
        dialogs.converted.connect(self.add_path)
        dialogs.trainRequested.connect(self._train_folder)
        dialogs.toast.connect(self.toast)
        dialogs.problem.connect(self.problem)
        self.source.currentIndexChanged.connect(lambda _i: self._filter())
        self.search.textChanged.connect(lambda _text: self._filter())
        self.unusable.toggled.connect(self.actions_["unusable"].setChecked)
        self.actions_["unusable"].toggled.connect(self._on_unusable)
        self.inventory.changed.connect(self._on_inventory)
        self.inventory.described.connect(self._on_described)
        self.table.modelChosen.connect(self._on_chosen)
        self.downloads.changed.connect(self._on_downloads)
        rows = self.download_list
        rows.pauseRequested.connect(self.downloads.pause)
        rows.resumeRequested.connect(self.downloads.resume)
        rows.cancelRequested.connect(self.downloads.cancel)
        rows.openRequested.connect(self._show_download)

    def activate(self) -> None:
        self.inventory.ensure_fresh()
        self.downloads.refresh()
        if not self.isAncestorOf(QApplication.focusWidget() or self):
            self.table.setFocus()

    def themed(self, theme: Theme) -> None:
        self.table.viewport().update()

    def close_down(self) -> None:
        """Downloads continue."""
        self._tasks.close()
        self.servers.close()

    # ------------------------------------------------------------------ what is shown

    def _filter(self) -> None:
        self.model.render_filter(
            self.search.text(), self.source.currentData(), unusable=self.actions_["unusable"].isChecked()
        )
        self._render()

    def _clear_filter(self) -> None:
        self.search.clear()
        self.source.setCurrentIndex(0)

    def _on_unusable(self, on: bool) -> None:
        self.unusable.setChecked(on)
        self._filter()

    def _on_inventory(self) -> None:
        self.model.render()
        self._select_wanted()
        self._render()
        # What was known of the model under the cursor may not hold any more. A search says many times that it goes on,
        # and each would begin the reading again.
        current = self.table.current
        if current is not None and not self.inventory.scanning and self.inventory.description(current) is None:
            self._describe_timer.start()

    def _start_search(self) -> None:
        self.search.setFocus()
        self.search.selectAll()

    def _render(self) -> None:
        inventory, model = self.inventory, self.model
        shown, hidden = model.rowCount(), model.hidden
        looking = f"Looking for models… {inventory.place}".rstrip() if inventory.scanning else ""
        self.count.setText(looking or "  ·  ".join((count_of(shown, "model"), *inventory.problems)))
        self.stop_search.setVisible(inventory.scanning)
        on = self.actions_["unusable"].isChecked()
        self.unusable.setText(f"Show {count_of(hidden, 'unusable model')}" if hidden else "Show unusable models")
        self.unusable.setVisible(bool(hidden) or on)
        found = inventory.entries
        only_ours = all(e.source in SHIPPED for e in found)
        quiet = not self.downloads.summaries
        self.first_steps.setVisible(inventory.was_loaded and bool(found) and only_ours and quiet)
        empty = inventory.was_loaded and not shown and not inventory.scanning
        none_saved = self.source.currentData() == ModelSource.ENDPOINT and all(e.endpoint is None for e in found)
        self._table_stack.setCurrentIndex(2 if empty and none_saved else int(empty))
        self._render_current()

    def _on_chosen(self, entry: ModelEntry | None) -> None:
        self._render_current()
        if entry is not None:
            self._describe_timer.start()

    def _describe(self) -> None:
        if (entry := self.table.current) is not None and entry.usable:
            self.inventory.describe(entry)

    def _on_described(self, entry: ModelEntry) -> None:
        if entry == self.table.current:
            self._render_current()

    def _render_current(self) -> None:
        entry = self.table.current
        known = self.inventory.description(entry) if entry is not None else None
        self.facts.render_entry(entry, known)
        kind = entry.format if entry is not None and entry.usable else None
        served = kind is ModelFormat.ENDPOINT
        bundled = entry is not None and entry.id == STARTER
        for name, on in {
            "craft": kind is ModelFormat.GGUF or bundled or served, "evaluate": kind is not None,
            "test": kind is not None, "convert": kind is ModelFormat.GGUF,
            "train": kind in (ModelFormat.FOLDER, ModelFormat.ADAPTER),
            "export": kind in (ModelFormat.FOLDER, ModelFormat.ADAPTER),
            "serve": kind in (ModelFormat.GGUF, ModelFormat.FOLDER),
            "folder": entry is not None and not served, "copy": entry is not None,
            "remove": entry is not None and can_remove(entry), "probe": served, "edit": served, "key": served,
        }.items():  # fmt: skip
            self.actions_[name].setEnabled(on)

    def select(self, path: Path) -> None:
        """Put the cursor on the model of a path, as soon as it is known; the filter must not hide it."""
        self._wanted = path
        self._clear_filter()
        self._select_wanted()

    def _select_wanted(self) -> None:
        entry = self.inventory.find(self._wanted) if self._wanted is not None else None
        if entry is not None:
            self._wanted = None
            if not entry.usable:
                self.actions_["unusable"].setChecked(True)
            self.table.select(entry.id)

    # ------------------------------------------------------------------ actions

    def _with_model(self, do: Callable[[ModelEntry], object]) -> None:
        if (entry := self.table.current) is not None:
            do(entry)

    def _show_folder(self, entry: ModelEntry) -> None:
        folder = entry.path if entry.path.is_dir() else entry.path.parent
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))

    def _show_serve(self, entry: ModelEntry) -> None:
        dialog, servers = ServeDialog(entry, self), self.servers
        dialog.startRequested.connect(lambda request: servers.start(request, dialog))
        dialog.stopRequested.connect(servers.stop)

        def render() -> None:
            dialog.render_servers(servers.records)

        servers.changed.connect(render)
        dialog.finished.connect(lambda _code: servers.changed.disconnect(render))
        servers.refresh()
        self.dialogs.show_dialog(dialog)

    def _copy(self, entry: ModelEntry) -> None:
        QGuiApplication.clipboard().setText(entry.id)
        self.toast.emit(f"{entry.id} is on the clipboard.")

    def _add_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Add a model", "", FILE_FILTER)
        if name:
            self.add_path(Path(name))

    def _add_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Add a model folder, or a folder with models in it")
        if name:
            self.add_path(Path(name))

    def add_path(self, path: Path) -> None:
        """Look for models there from now on, and put the cursor on it if it is one."""

        def added(place: Path) -> None:
            self._wanted = place
            self._clear_filter()
            self.inventory.refresh()
            self.toast.emit(f"{path.name} was added. It stays where it is.")

        self._tasks.run(
            lambda: add_model_folder(path).resolve(), added, lambda text: self.problem.emit("Nothing was added", text)
        )

    def _on_endpoint_saved(self, endpoint: Endpoint) -> None:
        self._wanted = Path(endpoint.argument)
        self._clear_filter()
        self.inventory.refresh()
        self.toast.emit(f"{endpoint.name} is saved.")

    def _train_folder(self, folder: Path) -> None:
        """A run with the folder that a GGUF file was converted to."""
        self._tasks.run(lambda: read_entry(str(folder)), self.trainRequested.emit)

    def _on_downloads(self) -> None:
        self.download_list.render_downloads(self.downloads.summaries, self.downloads.busy)
        self._render()

    def _show_download(self, hub_id: HubId) -> None:
        """The model of a download that has finished."""
        self._tasks.run(
            lambda: find_cached(hub_id), self._on_located, lambda text: self.problem.emit("Not found", text)
        )

    def _on_located(self, path: Path) -> None:
        self.select(path)
        self.table.setFocus()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if (path := _dropped(event.mimeData().urls())) is not None:
            self.drop_overlay.show_text(f"Drop to add {path.name}")
            event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self.drop_overlay.hide()

    def dropEvent(self, event: QDropEvent) -> None:
        self.drop_overlay.hide()
        if (path := _dropped(event.mimeData().urls())) is not None:
            event.acceptProposedAction()
            self.add_path(path)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.drop_overlay.setGeometry(self.rect())


def _dropped(urls: Sequence[QUrl]) -> Path | None:
    """The one file or folder that is dropped, None for several."""
    return Path(urls[0].toLocalFile()) if len(urls) == 1 and urls[0].isLocalFile() else None
