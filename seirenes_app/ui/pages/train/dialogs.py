"""Export of a run's model: which checkpoint, in which format, to which place; and more steps for a finished run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QFormLayout, QWidget

from seirenes_app.inference.model_export import QUANTIZATIONS, run_export, say_roles
from seirenes_app.services.formatting import byte_size, count_of, duration
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_2
from seirenes_app.ui.widgets.boxes import fill, number_field, row
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.export_dialog import FileExportDialog
from seirenes_app.ui.widgets.labels import make_label
from training.core.types import Role
from training.runs.config import MOST_STEPS, RunConfig, Tuning
from training.runs.paths import RunPaths, adversary_of
from training.runs.status import RunState

FORMAT_TITLES = {
    "hf": "Hugging Face folder",
    "gguf": "GGUF file, for llama.cpp",
    "lora": "LoRA adapter folder",
    "gguf-lora": "LoRA adapter as a GGUF file",
}
LORA_ONLY = ("lora", "gguf-lora")
SUFFIXES = {"gguf": ".gguf", "gguf-lora": ".gguf"}


class ExportModelDialog(FileExportDialog):
    """Runs `training export` as a child process, which can be cancelled."""

    def __init__(self, paths: RunPaths, tuning: str, tasks: TaskRunner, parent: QWidget | None = None) -> None:
        note = f"A checkpoint of {paths.run_id}, without what only training needs."
        super().__init__("Export the model", note, tasks, "Choose a place…", self._choose, parent)
        self._paths = paths
        self.checkpoint, self.format, self.quantization = QComboBox(), QComboBox(), QComboBox()
        self.role = QComboBox()
        two = False
        for folder in sorted(paths.checkpoints.glob("step_*"), reverse=True):
            if folder.name[5:].isdigit():
                two = two or adversary_of(folder) != folder
                self.checkpoint.addItem(f"Step {int(folder.name[5:])}", int(folder.name[5:]))
        for name, title in FORMAT_TITLES.items():
            if tuning == Tuning.LORA or name not in LORA_ONLY:
                self.format.addItem(title, name)
        self.quantization.addItems(QUANTIZATIONS)
        self.quantization.setCurrentText("f16")
        for role in Role:
            self.role.addItem(role.capitalize(), role)
        form = QFormLayout()
        boxes = [("Checkpoint", self.checkpoint), ("Format", self.format), ("Weights", self.quantization)]
        # One model plays both roles unless the Adversary has one of its own that is trained.
        if two:
            boxes.insert(1, ("Role", self.role))
        for title, box in boxes:
            box.setAccessibleName(title)
            form.addRow(title, box)
        self.choices.addLayout(form)
        self.format.currentIndexChanged.connect(self._render_format)
        self._render_format()
        if not self.checkpoint.count():
            self.options.hide()
            self.go.setEnabled(False)
            self.words.setText("This run has no checkpoint on this machine.")
            self.words.show()

    def _render_format(self) -> None:
        self.quantization.setEnabled(self.format.currentData() == "gguf")

    @property
    def _adversary(self) -> bool:
        return bool(self.role.currentData() == Role.ADVERSARY)

    def _choose(self) -> None:
        to, step = self.format.currentData(), self.checkpoint.currentData()
        suffix = SUFFIXES.get(to, "")
        which = "-adversary" if self._adversary else ""
        name = f"{self._paths.run_id}-step{step}{which}-{to if not suffix else self.quantization.currentText()}{suffix}"
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Export the model", name, "GGUF (*.gguf)" if suffix else "Folder (*)"
        )
        if chosen:
            self.start(Path(chosen))

    def start(self, target: Path) -> None:
        """Write to `target`; a file that is there is replaced, as the file dialog has asked."""
        to = self.format.currentData()
        source = ["--run", str(self._paths.root), "--step", str(self.checkpoint.currentData())]
        source += ["--adversary"] if self._adversary else []
        quantize = self.quantization.currentText() if to == "gguf" else None

        def write(progress: Callable[[int, int], None], cancelled: Callable[[], bool]) -> str | None:
            force = target.is_file()
            result = run_export(
                source, to, quantize=quantize, out=target, force=force, progress=progress, cancelled=cancelled
            )
            if result is None:
                return None
            return f"{result['out']} written ({byte_size(result['bytes'])}). {say_roles(result)}".rstrip()

        self.run(write, target)

    def describe_progress(self, done: int, total: int) -> str:
        return f"{byte_size(done)} of {byte_size(total)} written"


class TrainLongerDialog(PageDialog):
    """How many steps a run that has finished is to have in all, and how long that takes. It changes nothing itself."""

    changed = Signal(object)
    """The settings to resume the run with, as KEY=VALUE texts."""

    def __init__(self, paths: RunPaths, state: RunState, config: RunConfig, parent: QWidget | None = None) -> None:
        super().__init__("Train longer", parent)
        self._done, self._limited = state.done_steps, config.max_rollouts > 0
        taken = state.history.series("seconds")[1]
        self._pace_s = sum(taken) / len(taken) if taken else 0.0
        self.steps = number_field(self._done + 1, MOST_STEPS, step=10)
        self.steps.setValue(2 * self._done)
        label = make_label("Steps in all")
        label.setBuddy(self.steps)
        self.steps.setAccessibleName(label.text())
        self.said = make_label("", "small")
        note = f"{paths.run_id} has {count_of(self._done, 'step')}. It goes on from its last checkpoint with the same "
        note += "settings, as if it had not ended."
        if self._limited:
            note += f" Its limit of {config.max_rollouts:,} rollouts is lifted."
        fill(self.body, make_label(note, "muted", wrap=True), SPACE_2, row(label, self.steps, None), self.said)
        self.go = make_button("Train longer", "resume", kind="primary", clicked=self._finish)
        self.go.setDefault(True)
        fill(self.buttons, None, make_button("Cancel", clicked=self.reject), self.go)
        self.steps.valueChanged.connect(self._render)
        self._render()

    def _render(self) -> None:
        more = self.steps.value() - self._done
        time = f", about {duration(more * self._pace_s)} at the pace so far" if self._pace_s else ""
        self.said.setText(f"{count_of(more, 'step')} more{time}.")

    def _finish(self) -> None:
        self.changed.emit([f"steps={self.steps.value()}", *(["max_rollouts=0"] if self._limited else [])])
        self.accept()
