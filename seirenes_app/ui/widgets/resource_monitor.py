"""What a trainer takes of the machine: processor, memory, disk, GPU. Sampled off the window's thread.

What this machine has, in one calm row."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from seirenes_app.services.formatting import megabytes
from seirenes_app.services.machine import Machine
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_6, current_theme
from seirenes_app.ui.widgets.empty_state import Picture
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label

GPU_QUERY = "utilization.gpu,memory.used,memory.total"
GPU_TIMEOUT_S = 3


@dataclass(frozen=True)
class Gpu:
    """The first NVIDIA GPU: percent busy, MiB used and in all. Of the whole machine, not of the trainer alone."""

    percent: float
    used_mb: float
    total_mb: float


@dataclass(frozen=True)
class Use:
    """Percent of one core, MiB of the process tree, and what the machine has of each."""

    cpu_percent: float
    cores: int
    memory_mb: float
    memory_total_mb: float
    disk_free_mb: float
    disk_total_mb: float
    gpu: Gpu | None = None


class UseSampler:
    """Looks at a process tree. Processor time is counted from one look to the next, so the first look says 0%."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._smi = shutil.which("nvidia-smi")

    def sample(self, pid: int, root: Path) -> Use | None:
        """One look; None when the process is gone. Call it from one thread at a time."""
        try:
            process = self._known.get(pid) or psutil.Process(pid)
            if not process.is_running():
                return None
            tree = {p.pid: self._known.get(p.pid, p) for p in (process, *process.children(recursive=True))}
            disk = shutil.disk_usage(root)
        except (psutil.Error, OSError):
            return None
        self._known = tree
        cpu = memory = 0.0
        for p in tree.values():
            try:
                cpu += p.cpu_percent()
                memory += p.memory_info().rss / 2**20
            except psutil.Error:
                continue
        total_mb, cores = psutil.virtual_memory().total / 2**20, psutil.cpu_count() or 1
        return Use(cpu, cores, memory, total_mb, disk.free / 2**20, disk.total / 2**20, self._look_at_gpu())

    def _look_at_gpu(self) -> Gpu | None:
        if self._smi is None:
            return None
        command = [self._smi, f"--query-gpu={GPU_QUERY}", "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=GPU_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return parse_gpu(done.stdout) if done.returncode == 0 else None


def parse_gpu(text: str) -> Gpu | None:
    """The first line of nvidia-smi's answer to `GPU_QUERY`; None where it is not three numbers."""
    try:
        percent, used, total = (float(part) for part in text.splitlines()[0].split(","))
    except (ValueError, IndexError):
        return None
    return Gpu(percent, used, total) if total > 0 else None


class Bar(QWidget):
    """A thin bar from 0 to 1."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._share = 0.0
        self.setFixedHeight(4)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def render_share(self, share: float) -> None:
        """How full it is."""
        self._share = min(1.0, max(0.0, share))
        self.update()

    def sizeHint(self) -> QSize:
        """Short."""
        return QSize(80, 4)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Track and fill; amber beyond nine tenths, which the figure says too."""
        theme = current_theme()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour("raised"))
        painter.drawRoundedRect(QRectF(self.rect()), 2, 2)
        if self._share > 0:
            painter.setBrush(theme.colour("warn" if self._share > 0.9 else "accent"))
            painter.drawRoundedRect(QRectF(0, 0, max(4.0, self._share * self.width()), self.height()), 2, 2)


class Meter(QWidget):
    """A picture, a name, a figure and a bar."""

    def __init__(self, icon: str, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        head.addWidget(Picture(icon, 16))
        head.addWidget(make_label(name, "small"))
        head.addStretch(1)
        self.figure = ElidedLabel("small")
        head.addWidget(self.figure)
        self.bar = Bar()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_1)
        column.addLayout(head)
        column.addWidget(self.bar)

    def render_figure(self, text: str, share: float) -> None:
        """A reading."""
        self.figure.setText(text)
        self.bar.render_share(share)
        self.setAccessibleName(f"{self._name}: {text}")


class ResourceMonitor(QWidget):
    """Hidden while there is no process to look at."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sampler = UseSampler()
        self.cpu, self.memory = Meter("cpu", "Processor"), Meter("memory", "Memory")
        self.disk, self.gpu = Meter("disk", "Disk"), Meter("gpu", "GPU")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_6)
        for meter in (self.cpu, self.memory, self.disk, self.gpu):
            row.addWidget(meter, 1)
        self.gpu.hide()
        self.setAccessibleName("What the trainer takes of this machine")
        self.hide()

    def measure(self, pid: int, root: Path, tasks: TaskRunner) -> None:
        """Ask for a new reading unless one is under way; without a process, show none."""
        if not pid:
            self.render_use(None)
        elif not tasks.is_running("resource monitor"):
            tasks.run(lambda: self._sampler.sample(pid, root), self.render_use, key="resource monitor")

    def render_use(self, use: Use | None) -> None:
        """Show a reading."""
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


NAMES = ("Processor", "Memory", "GPU", "Disk", "Software")
ICONS = ("cpu", "memory", "gpu", "disk", "versions")


class MachineSummary(QWidget):
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
            (megabytes(machine.memory_mb), f"{megabytes(machine.memory_free_mb)} free now"),
            (_gpu_figure(machine), _gpu_detail(machine)),
            (f"{megabytes(machine.disk_free_mb)} free", "where runs are kept"),
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
