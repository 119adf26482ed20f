"""The dialogs of the Models page, and what they do off the window's thread. `ModelsDialogs` opens them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QFormLayout, QLineEdit, QWidget

from seirenes_app.inference.model_export import QUANTIZATIONS, run_export
from seirenes_app.services.evaluations import STARTER
from seirenes_app.services.formatting import byte_size
from seirenes_app.services.models.convert import (
    ConvertProgress,
    check_convertible,
    convert_gguf,
    default_folder,
    needed_bytes,
)
from seirenes_app.services.models.downloads import Removal, plan_removal, remove_model
from seirenes_app.services.models.inventory import (
    ModelEntry,
    ModelSource,
    endpoint_entry,
    model_folders,
    remove_model_folder,
)
from seirenes_app.ui.pages.models.check_dialog import CheckDialog
from seirenes_app.ui.pages.models.download_dialog import DownloadDialog, LoginDialog
from seirenes_app.ui.pages.models.endpoint_dialogs import (
    AskDialog,
    EndpointDialog,
    KeyDialog,
    ProbeDialog,
    drop_endpoint,
)
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.widgets.boxes import row
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.dialogs import ConfirmDialog, DialogHolder
from seirenes_app.ui.widgets.export_dialog import FileExportDialog
from seirenes_app.ui.widgets.labels import IconLine, make_label
from training.endpoints import Endpoint
from training.errors import UserError
from training.model_names import HubId, parse_hub_id


def can_remove(entry: ModelEntry) -> bool:
    """Whether a model may be deleted here, or taken off the list: never what the user or another program put there."""
    return entry.source in (ModelSource.FOLDER, ModelSource.ENDPOINT) or hub_id_of(entry) is not None


def hub_id_of(entry: ModelEntry) -> HubId | None:
    """The id of a model of the Hugging Face cache."""
    try:
        return parse_hub_id(entry.id) if entry.source is ModelSource.HUB_CACHE else None
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


PLACE_WIDTH = 440


class ConvertDialog(FileExportDialog):
    """Writes a Hugging Face folder from a GGUF file, compares the two, and offers to train the folder."""

    converted = Signal(object)  # Path of the folder
    trainRequested = Signal(object)  # The same

    def __init__(self, entry: ModelEntry, tasks: TaskRunner, parent: QWidget | None = None) -> None:
        note = (
            f"{entry.name} as a Hugging Face folder, which can be trained. Both forms then answer the same prompts, "
            "and are compared."
        )
        super().__init__("Convert for training", note, tasks, "Convert", self._convert, parent)
        self._entry, self._stage = entry, ""
        self.place = QLineEdit(str(default_folder(entry.path)))
        self.place.setAccessibleName("Folder to write")
        self.place.setMinimumWidth(PLACE_WIDTH)
        browse = make_icon_button("folder", "Choose another place", clicked=self._browse)
        self.space = IconLine()
        self.choices.addLayout(row(make_label("Folder", "small"), (self.place, 1), browse))
        self.choices.addWidget(self.space)
        self.train = make_button("Train from this", "train", kind="primary", clicked=self._train)
        self.train.hide()
        self.buttons.addWidget(self.train)
        self.go.setEnabled(False)
        self.place.textChanged.connect(lambda _text: self._check())
        self.place.setFocus()
        self._check()

    def _check(self) -> None:
        """Whether the file can be converted, and whether there is room for the folder."""
        path, place = self._entry.path, Path(self.place.text().strip()).expanduser()

        def check() -> tuple[int, int]:
            files = check_convertible(path)
            return needed_bytes(files), free_bytes(place)

        self._tasks.run(check, self._on_checked, self._on_refused, key="convertible")

    def _on_checked(self, found: tuple[int, int]) -> None:
        needed, free = found
        fits = needed < free
        text = f"It takes {byte_size(needed)}, and {byte_size(free)} are free there."
        self.space.render_line("disk" if fits else "warning", "muted" if fits else "warn", text)
        self.go.setEnabled(fits and bool(self.place.text().strip()))
        self.adjustSize()

    def _on_refused(self, text: str) -> None:
        self.space.render_line("error", "bad", text)
        self.go.setEnabled(False)
        self.adjustSize()

    def _browse(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self, "Folder to write", self.place.text(), "Folder (*)")
        if chosen:
            self.place.setText(chosen)

    def _convert(self) -> None:
        self.start(Path(self.place.text().strip()).expanduser())

    def start(self, target: Path) -> None:
        """Write the folder `target`, which must not be there yet."""
        self._target = target

        def write(progress: Callable[[int, int], None], cancelled: Callable[[], bool]) -> str | None:
            def report(now: ConvertProgress) -> None:
                self._stage = now.stage
                progress(round(100 * (now.share or 0.0)), 0 if now.share is None else 100)

            result = convert_gguf(self._entry.path, target, on_progress=report, cancelled=cancelled)
            return None if result is None else f"{result.sentence} {result.comparison.sentence}"

        self.run(write, target)

    def describe_progress(self, done: int, total: int) -> str:
        return f"{self._stage}…" if not total else f"{self._stage}: {done}%"

    def _on_done(self, text: str | None) -> None:
        super()._on_done(text)
        if text is not None:
            self.train.show()
            self.converted.emit(self._target)

    def _train(self) -> None:
        self.accept()
        self.trainRequested.emit(self._target)


def free_bytes(place: Path) -> int:
    """What is free where `place` is, or would be."""
    there = next(p for p in (place, *place.absolute().parents) if p.exists())
    return shutil.disk_usage(there).free


class ModelsDialogs(DialogHolder):
    """Opens the page's dialogs, does their work in tasks, and hands their results to the page."""

    startRequested = Signal(object)  # DownloadPlan
    converted = Signal(object)  # Path of a folder that was written
    trainRequested = Signal(object)  # Path of a folder
    changed = Signal()  # Models were added or removed
    endpointSaved = Signal(object)  # Endpoint
    endpointReached = Signal(object, bool)  # ModelEntry, and whether its server answered
    endpointChanged = Signal(object)  # ModelEntry whose key is another one
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

    def show_test(self, entry: ModelEntry) -> CheckDialog | AskDialog:
        """Ten problems; of an endpoint one question, as each costs money."""
        if entry.endpoint is not None:
            ask = AskDialog(entry.endpoint, self._tasks, self._page)
            ask.answered.connect(lambda reached: self.endpointReached.emit(entry, reached))
            self.show_dialog(ask)
            return ask
        dialog = CheckDialog(entry, self._tasks, self._page)
        self.show_dialog(dialog)
        return dialog

    # ------------------------------------------------------------------ endpoints

    def show_endpoint(self, entry: ModelEntry | None = None) -> EndpointDialog:
        """Edit an endpoint, or add one."""
        dialog = EndpointDialog(self._tasks, entry.endpoint if entry is not None else None, self._page)
        dialog.saved.connect(self._on_endpoint_saved)
        self.show_dialog(dialog)
        return dialog

    def _on_endpoint_saved(self, endpoint: Endpoint, probe_it: bool) -> None:
        self.endpointSaved.emit(endpoint)
        if probe_it:
            # After the dialog that is closing.
            QTimer.singleShot(0, self, lambda: self.show_probe(endpoint_entry(endpoint)))

    def show_probe(self, entry: ModelEntry) -> ProbeDialog | None:
        if entry.endpoint is None:
            return None
        dialog = ProbeDialog(entry.endpoint, self._tasks, self._page)
        dialog.probed.connect(lambda endpoint, reached: self._on_probed(endpoint, reached))
        self.show_dialog(dialog)
        return dialog

    def _on_probed(self, endpoint: Endpoint, reached: bool) -> None:
        self.endpointReached.emit(endpoint_entry(endpoint), reached)
        if reached:
            self.changed.emit()

    def show_key(self, entry: ModelEntry) -> KeyDialog | None:
        if entry.endpoint is None:
            return None
        dialog = KeyDialog(entry.endpoint, self._tasks, self._page)
        dialog.changed.connect(self.toast)
        dialog.changed.connect(lambda _text: self.endpointChanged.emit(entry))
        self.show_dialog(dialog)
        return dialog

    def show_convert(self, entry: ModelEntry) -> ConvertDialog:
        dialog = ConvertDialog(entry, self._tasks, self._page)
        dialog.messageRequested.connect(self.toast)
        dialog.converted.connect(self.converted)
        dialog.trainRequested.connect(self.trainRequested)
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
        if entry.endpoint is not None:
            self._confirm_drop(entry.endpoint)
        elif hub_id is not None:
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

    def _confirm_drop(self, endpoint: Endpoint) -> None:
        text = (
            f"{endpoint.name} leaves the list, with its price and what was probed. Evaluations made with it stay. The "
            f"key of {endpoint.place} stays in the keyring while another endpoint uses that server, else it is "
            "removed."
        )
        dialog = ConfirmDialog("Remove the endpoint?", text, "Remove", self._page)
        dialog.accepted.connect(lambda: self._do(lambda: drop_endpoint(endpoint), f"{endpoint.name} was removed."))
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
