"""What a process tree takes of the machine: processor, memory, disk, GPU. No Qt."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from seirenes_app.services.machine import query_gpus


@dataclass(frozen=True)
class Gpu:
    """The first NVIDIA GPU: percent busy, MiB used and in all. Of the whole machine, not of one process."""

    percent: float
    used_mb: float
    total_mb: float


@dataclass(frozen=True)
class ResourceUse:
    """Percent of one core, MiB of the process tree, and what the machine has of each."""

    cpu_percent: float
    cores: int
    memory_mb: float
    memory_total_mb: float
    disk_free_mb: float
    disk_total_mb: float
    gpu: Gpu | None = None


class UseSampler:
    """Processor time is counted from one sample to the next, so the first says 0%."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}

    def sample(self, pid: int, root: Path) -> ResourceUse | None:
        """None when the process is gone. Call it from one thread at a time."""
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
        gpu = parse_gpu(query_gpus("utilization.gpu,memory.used,memory.total"))
        return ResourceUse(cpu, cores, memory, total_mb, disk.free / 2**20, disk.total / 2**20, gpu)


def parse_gpu(text: str) -> Gpu | None:
    """The first line of nvidia-smi's answer; None where it is not three numbers."""
    try:
        percent, used, total = (float(part) for part in text.splitlines()[0].split(","))
    except (ValueError, IndexError):
        return None
    return Gpu(percent, used, total) if total > 0 else None
