"""What this machine has, in one calm row."""

from __future__ import annotations

from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from seirenes_app.lab.machine import Machine, format_mb
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_6
from seirenes_app.ui.widgets.empty import Picture
from seirenes_app.ui.widgets.labels import make_label

NAMES = ("Processor", "Memory", "GPU", "Disk", "Software")
ICONS = ("cpu", "memory", "gpu", "disk", "versions")


class MachineStrip(QWidget):
    """Five facts, each a figure with one quiet line below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._figures: list[QLabel] = []
        self._details: list[QLabel] = []
        grid = QGridLayout(self)
        grid.setContentsMargins(0, SPACE_2, 0, 0)
        grid.setHorizontalSpacing(SPACE_6)
        for column, (name, icon) in enumerate(zip(NAMES, ICONS, strict=True)):
            grid.addLayout(self._make_fact(name, icon), 0, column)
            grid.setColumnStretch(column, 1)

    def _make_fact(self, name: str, icon: str) -> QVBoxLayout:
        cell = QVBoxLayout()
        cell.setSpacing(SPACE_1)
        head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        head.addWidget(Picture(icon, 18))
        head.addWidget(make_label(name, "small"))
        head.addStretch(1)
        figure, detail = make_label("…", "figure"), make_label("", "small", wrap=True)
        figure.setAccessibleName(name)
        cell.addLayout(head)
        cell.addWidget(figure)
        cell.addWidget(detail)
        cell.addStretch(1)
        self._figures.append(figure)
        self._details.append(detail)
        return cell

    def render_machine(self, machine: Machine) -> None:
        """Show the facts."""
        torch = machine.versions.get("torch", "").partition("+")[0]
        texts = (
            (f"{machine.cores} {'core' if machine.cores == 1 else 'cores'}", machine.processor),
            (format_mb(machine.memory_mb), f"{format_mb(machine.memory_free_mb)} free now"),
            (_gpu_figure(machine), _gpu_detail(machine)),
            (f"{format_mb(machine.disk_free_mb)} free", "where runs are kept"),
            (f"Python {machine.python}", f"torch {torch}" if torch else "torch is not installed"),
        )
        for figure, detail, (value, line) in zip(self._figures, self._details, texts, strict=True):
            figure.setText(value)
            detail.setText(line)
            figure.setAccessibleDescription(f"{value}, {line}")


def _gpu_figure(machine: Machine) -> str:
    if not machine.gpus:
        return "None"
    name = machine.gpus[0].partition(",")[0].removeprefix("NVIDIA ")
    return name if len(machine.gpus) == 1 else f"{len(machine.gpus)} × {name}"


def _gpu_detail(machine: Machine) -> str:
    if not machine.gpus:
        return "runs use the processor"
    return machine.gpus[0].partition(",")[2].strip() or "NVIDIA"
