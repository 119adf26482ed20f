"""What a trainer takes of the machine, measured off the window's thread; and what the machine has."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from seirenes_app.services.formatting import megabytes
from seirenes_app.services.machine import Machine, ResourceUse, UseSampler
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_6
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.labels import ElidedLabel, IconLabel, make_label, set_tone
from seirenes_app.ui.widgets.progress import make_bar, render_bar

NEARLY_FULL = 0.9


class Meter(QWidget):
    """A picture, a name, a figure and a bar."""

    def __init__(self, icon: str, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self.figure = ElidedLabel("small")
        self.bar = make_bar(name)
        head = row(IconLabel(icon, 16), make_label(name, "small"), None, self.figure)
        column(head, self.bar, spacing=SPACE_1, parent=self)

    def render_figure(self, text: str, share: float) -> None:
        """A reading; the bar is amber beyond `NEARLY_FULL`."""
        self.figure.setText(text)
        render_bar(self.bar, share, 1)
        set_tone(self.bar, "warn" if share > NEARLY_FULL else "")
        self.setAccessibleName(f"{self._name}: {text}")


class ResourceMonitor(QWidget):
    """Hidden while there is no process to measure."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sampler = UseSampler()
        self.cpu, self.memory = Meter("cpu", "Processor"), Meter("memory", "Memory")
        self.disk, self.gpu = Meter("disk", "Disk"), Meter("gpu", "GPU")
        row(*((meter, 1) for meter in (self.cpu, self.memory, self.disk, self.gpu)), spacing=SPACE_6, parent=self)
        self.gpu.hide()
        self.setAccessibleName("What the trainer uses of this machine")
        self.hide()

    def measure(self, pid: int, root: Path, tasks: TaskRunner) -> None:
        """Ask for a new reading unless one is under way; without a process, show none."""
        if not pid:
            self.render_use(None)
        elif not tasks.is_running("resource monitor"):
            tasks.run(lambda: self._sampler.sample(pid, root), self.render_use, key="resource monitor")

    def render_use(self, use: ResourceUse | None) -> None:
        self.setVisible(use is not None)
        if use is None:
            return
        cores = "core" if use.cores == 1 else "cores"
        self.cpu.render_figure(f"{use.cpu_percent / 100:.1f} of {use.cores} {cores}", use.cpu_percent / 100 / use.cores)
        self.memory.render_figure(
            f"{megabytes(use.memory_mb)} of {megabytes(use.memory_total_mb)}", use.memory_mb / use.memory_total_mb
        )
        self.disk.render_figure(f"{megabytes(use.disk_free_mb)} free", 1 - use.disk_free_mb / use.disk_total_mb)
        self.gpu.setVisible(use.gpu is not None)
        if use.gpu is not None:
            text = f"{use.gpu.percent:.0f}%  ·  {megabytes(use.gpu.used_mb)} of {megabytes(use.gpu.total_mb)}"
            self.gpu.render_figure(text, use.gpu.percent / 100)


FACTS = (("Processor", "cpu"), ("Memory", "memory"), ("GPU", "gpu"), ("Disk", "disk"), ("Software", "versions"))


class MachineSummary(QWidget):
    """Five facts, each a figure with a quiet line below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facts: list[tuple[QLabel, QLabel]] = []
        grid = QGridLayout(self)
        grid.setContentsMargins(0, SPACE_2, 0, 0)
        grid.setHorizontalSpacing(SPACE_6)
        for place, (name, icon) in enumerate(FACTS):
            figure, detail = make_label("…", "figure"), make_label("", "small", wrap=True)
            figure.setAccessibleName(name)
            self._facts.append((figure, detail))
            head = row(IconLabel(icon, 18), make_label(name, "small"), None)
            grid.addLayout(column(head, figure, detail, None, spacing=SPACE_1), 0, place)
            grid.setColumnStretch(place, 1)

    def render_machine(self, machine: Machine) -> None:
        torch = machine.versions.get("torch", "").partition("+")[0]
        texts = (
            (f"{machine.cores} {'core' if machine.cores == 1 else 'cores'}", machine.processor),
            (megabytes(machine.memory_mb), f"{megabytes(machine.memory_free_mb)} free now"),
            _gpu(machine),
            (f"{megabytes(machine.disk_free_mb)} free", "where runs are kept"),
            (f"Python {machine.python}", f"torch {torch}" if torch else "torch is not installed"),
        )
        for (figure, detail), (value, line) in zip(self._facts, texts, strict=True):
            figure.setText(value)
            detail.setText(line)
            figure.setAccessibleDescription(f"{value}, {line}")


def _gpu(machine: Machine) -> tuple[str, str]:
    if not machine.gpus:
        return "None", "runs use the processor"
    name, _, detail = machine.gpus[0].partition(",")
    name = name.removeprefix("NVIDIA ")
    return name if len(machine.gpus) == 1 else f"{len(machine.gpus)} × {name}", detail.strip() or "NVIDIA"
