"""What a trainer takes of the machine: processor, memory, disk. Measured off the window's thread."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil
from PySide6.QtWidgets import QHBoxLayout, QWidget

from seirenes_app.lab.machine import format_mb
from seirenes_app.ui.processes.background import Background
from seirenes_app.ui.theme import SPACE_6
from seirenes_app.ui.widgets.labels import make_label

SAMPLE_S = 0.5


@dataclass(frozen=True)
class Use:
    """Percent of one core, MiB of the process tree, MiB free on the run's disk."""

    cpu_percent: float
    memory_mb: float
    disk_free_mb: float


def measure_use(pid: int, root: Path) -> Use | None:
    """Half a second's look at a process and its children; None when it is gone."""
    try:
        process = psutil.Process(pid)
        tree = [process, *process.children(recursive=True)]
        for p in tree:
            p.cpu_percent()
        gone, _ = psutil.wait_procs([process], timeout=SAMPLE_S)
        if gone:
            return None
        memory = sum(p.memory_info().rss for p in tree) / 2**20
        return Use(sum(p.cpu_percent() for p in tree), memory, shutil.disk_usage(root).free / 2**20)
    except (psutil.Error, OSError):
        return None


class Meters(QWidget):
    """Hidden while there is no process."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._busy = False
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_6)
        self.text = make_label("", "small")
        row.addWidget(self.text)
        row.addStretch(1)
        self.setAccessibleName("Resources of the trainer")

    def measure(self, pid: int, root: Path, background: Background) -> None:
        """Ask for a new reading unless one is under way."""
        if pid and not self._busy:
            self._busy = True
            background.submit(lambda: measure_use(pid, root), self.render_use, lambda _text: self.render_use(None))

    def render_use(self, use: Use | None) -> None:
        """Show a reading."""
        self._busy = False
        if use is None:
            self.text.setText("")
            return
        self.text.setText(
            f"processor {use.cpu_percent:.0f} % of a core  ·  memory {format_mb(use.memory_mb)}  ·  "
            f"{format_mb(use.disk_free_mb)} free on the run's disk"
        )
