"""The dialogs of the Models page, and what they do off the window's thread. `ModelsDialogs` opens them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QFormLayout, QWidget

from seirenes_app.services.evaluations import STARTER
from seirenes_app.services.formatting import byte_size
from seirenes_app.services.model_export import QUANTIZATIONS, run_export
from seirenes_app.services.models.downloads import Removal, plan_removal, remove_model
from seirenes_app.services.models.inventory import ModelEntry, ModelSource, model_folders, remove_model_folder
from seirenes_app.ui.pages.models.check_dialog import CheckDialog
from seirenes_app.ui.pages.models.download_dialog import DownloadDialog, LoginDialog
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.widgets.dialogs import ConfirmDialog, DialogHolder
from seirenes_app.ui.widgets.export_dialog import FileExportDialog
from seirenes_app.ui.widgets.model_picker import HUB
from training.errors import UserError
from training.model_names import HubId, parse_hub_id


def can_remove(entry: ModelEntry) -> bool:
    """Whether a model may be deleted here, or taken off the list: never what the user or another program put there."""
    return entry.source is ModelSource.FOLDER or hub_id_of(entry) is not None


def hub_id_of(entry: ModelEntry) -> HubId | None:
    """The id of a model of the Hugging Face cache."""
    try:
        return parse_hub_id(entry.id) if entry.source in HUB else None
    except UserError:
        return None


class ExportDialog(FileExportDialog):
    """Writes a model folder as a GGUF file, by a process that can be cancelled."""

    def __init__(self, entry: ModelEntry, tasks: TaskRunner, parent: QWidget | None = None) -> None:
        note = f"{entry.name} as one GGUF file, which Craft and other programs can use."
        super().__init__("Export as GGUF", note, tasks, "Choose a place…", self._choose, parent)
        self._entry = entry
        self.quantization = QComboBox()
        self.quantization.setAccessibleName("Weights")
        self.quantization.addItems(QUANTIZATIONS)
        self.quantization.setCurrentText("q8_0")
        form = QFormLayout()
        form.addRow("Weights", self.quantization)
        self.choices.addLayout(form)

    def _choose(self) -> None:
        stem = self._entry.name.replace("/", "-").replace(" ", "-")
        name = f"{stem}-{self.quantization.currentText().upper()}.gguf"
        chosen, _ = QFileDialog.getSaveFileName(self, "Export as GGUF", name, "GGUF (*.gguf)")
        if chosen:
            self.start(Path(chosen))

    def start(self, target: Path) -> None:
        """Write to `target`; a file that is there is replaced, as the file dialog has asked."""
        source = ["--model", STARTER if self._entry.id == STARTER else str(self._entry.path)]
        quantize = self.quantization.currentText()

        def write(progress: Callable[[int, int], None], cancelled: Callable[[], bool]) -> str | None:
            result = run_export(
                source, "gguf", quantize=quantize, out=target, force=target.is_file(), progress=progress,
                cancelled=cancelled,
            )  # fmt: skip
            return f"{result['out']} written ({byte_size(result['bytes'])})." if result is not None else None

        self.run(write, target)

    def describe_progress(self, done: int, total: int) -> str:
        return f"{byte_size(done)} of {byte_size(total)} written"


class ModelsDialogs(DialogHolder):
    """Opens the page's dialogs, does their work in tasks, and hands their results to the page."""

    startRequested = Signal(object)  # DownloadPlan
    changed = Signal()  # Models were added or removed
    toast = Signal(str)
    problem = Signal(str, str)  # (title, text)

    def __init__(self, tasks: TaskRunner, page: QWidget) -> None:
        super().__init__(page)
        self._tasks, self._page = tasks, page

    def show_download(self, name: str = "") -> DownloadDialog:
        """Find a model on the hub; `name` is a hub id or words to begin with."""
        dialog = DownloadDialog(self._tasks, name, self._page)
        dialog.startRequested.connect(self.startRequested)
        dialog.loginRequested.connect(lambda: self._log_in(dialog))
        self.show_dialog(dialog)
        return dialog

    def _log_in(self, dialog: DownloadDialog) -> None:
        """Log in above the download dialog, and ask the hub again afterwards."""
        login = LoginDialog(self._tasks, dialog)
        login.loggedIn.connect(self.toast)
        login.loggedIn.connect(lambda _text: dialog.submit())
        login.open()

    def show_login(self) -> LoginDialog:
        dialog = LoginDialog(self._tasks, self._page)
        dialog.loggedIn.connect(self.toast)
        self.show_dialog(dialog)
        return dialog

    def show_test(self, entry: ModelEntry) -> CheckDialog:
        dialog = CheckDialog(entry, self._tasks, self._page)
        self.show_dialog(dialog)
        return dialog

    def show_export(self, entry: ModelEntry) -> ExportDialog:
        dialog = ExportDialog(entry, self._tasks, self._page)
        dialog.messageRequested.connect(self.toast)
        self.show_dialog(dialog)
        return dialog

    # ------------------------------------------------------------------ remove

    def ask_remove(self, entry: ModelEntry) -> None:
        """Delete a model of the cache, after its size was shown; take an added one off the list."""
        hub_id = hub_id_of(entry)
        if hub_id is not None:
            self._tasks.run(lambda: plan_removal(hub_id), self._confirm_removal, self._fails("Nothing was removed"))
        elif entry.source is ModelSource.FOLDER:
            self._tasks.run(lambda: added_place(entry.path), lambda place: self._confirm_forget(place, entry))

    def _confirm_removal(self, removal: Removal) -> None:
        text = (
            f"{removal.hub_id} is deleted from the Hugging Face cache: {byte_size(removal.bytes)} in {removal.folder}. "
            "Other programs that use the cache lose it, too. It can be downloaded again."
        )
        dialog = ConfirmDialog("Remove the model?", text, "Remove", self._page)
        words = f"{removal.hub_id} was removed: {byte_size(removal.bytes)} are free."
        dialog.accepted.connect(lambda: self._do(lambda: remove_model(removal), words))
        self.show_dialog(dialog)

    def _confirm_forget(self, place: Path, entry: ModelEntry) -> None:
        others = "" if place == entry.path else " All models below it leave the list."
        text = f"Seirênes looks for models in {place} no more.{others} Nothing is deleted."
        dialog = ConfirmDialog("Take it off the list?", text, "Take it off", self._page)
        dialog.accepted.connect(lambda: self._do(lambda: remove_model_folder(place), f"{place.name} is off the list."))
        self.show_dialog(dialog)

    def _do(self, work: Callable[[], object], words: str) -> None:
        def done(_result: object) -> None:
            self.changed.emit()
            self.toast.emit(words)

        self._tasks.run(work, done, self._fails("Nothing was removed"))

    def _fails(self, title: str) -> Callable[[str], None]:
        return lambda text: self.problem.emit(title, text)


def added_place(path: Path) -> Path:
    """The file or folder that the user added and that a model was found at or in."""
    return next((place for place in model_folders() if place == path or place in path.parents), path)
