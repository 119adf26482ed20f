"""What this machine has (cores, memory, GPU, disk, versions), and what a process tree takes of it."""

from __future__ import annotations

import platform
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

from training.environment import versions
from training.memory import container_memory

PACKAGES = ("torch", "transformers", "peft", "PySide6-Essentials", "llama-cpp-python", "sqlite-utils")


@dataclass(frozen=True)
class Machine:
    """Facts, with units in the names. `gpus` is empty where no NVIDIA driver answered."""

    processor: str
    cores: int
    threads: int
    memory_mb: int
    memory_free_mb: int
    gpus: tuple[str, ...]
    disk_free_mb: int
    disk_place: str
    system: str
    python: str
    versions: dict[str, str]


def read_machine(place: Path) -> Machine:
    """Read the machine; `place` is the folder whose disk is measured. May take a second: call it off the window."""
    memory = psutil.virtual_memory()
    existing = next((p for p in (place, *place.parents) if p.exists()), Path.cwd())
    return Machine(
        processor=processor_name(),
        cores=psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        threads=psutil.cpu_count() or 1,
        memory_mb=memory.total // 2**20,
        memory_free_mb=memory.available // 2**20,
        gpus=read_gpus(),
        disk_free_mb=shutil.disk_usage(existing).free // 2**20,
        disk_place=str(place),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions=versions(PACKAGES),
    )


@dataclass(frozen=True)
class Memory:
    """Main memory, and the first NVIDIA GPU's (zero where there is none), in bytes."""

    total: int
    free: int
    gpu_total: int = 0
    gpu_free: int = 0


def read_memory() -> Memory:
    """What a model can have here; a container's limit counts. The GPU is asked at most every few seconds."""
    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    if (limit := container_memory()) is not None:
        total, free = min(total, limit[0]), min(free, limit[1])
    gpu = _gpu_now(int(time.monotonic() / _GPU_KEPT_S))
    if gpu is None:
        return Memory(total, free)
    return Memory(total, free, int(gpu.total_mb * 2**20), int((gpu.total_mb - gpu.used_mb) * 2**20))


_GPU_KEPT_S = 10.0


@lru_cache(maxsize=1)
def _gpu_now(_moment: int) -> Gpu | None:
    return parse_gpu(query_gpus("utilization.gpu,memory.used,memory.total"))


def usable_cores() -> int:
    """Cores this process may use: a container or an affinity mask can leave fewer than the machine has."""
    physical = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    try:
        allowed = len(psutil.Process().cpu_affinity() or [])
    except (AttributeError, psutil.Error):
        return physical
    return max(1, min(physical, allowed)) if allowed else physical


def processor_name() -> str:
    """The processor's marketing name where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def read_gpus() -> tuple[str, ...]:
    return parse_gpus(query_gpus("name,memory.total"))


def query_gpus(fields: str) -> str:
    """What `nvidia-smi` prints for these fields, a line for each GPU; "" when it is missing, slow or fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    command = [tool, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def parse_gpus(text: str) -> tuple[str, ...]:
    """Lines "name, MiB" to "name, 24 GB"; a line of any other form is kept as it stands."""
    found = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, _, memory = line.rpartition(",")
        usable = name and memory.strip().isdecimal()
        found.append(f"{name.strip()}, {round(int(memory) / 1024)} GB" if usable else line)
    return tuple(found)


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
