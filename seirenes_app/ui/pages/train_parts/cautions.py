"""What speaks against starting a run as it is set up. Each is said, none refuses."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from seirenes_app.lab.machine import format_mb
from training.rundir.config import RunConfig
from training.rundir.lock import holder

BYTES_A_PARAMETER = 12
"""Of a checkpoint: the weights and AdamW's two moments in float32."""


@dataclass(frozen=True)
class Surroundings:
    """What the machine has to give now."""

    memory_free_mb: float
    disk_free_mb: float
    live: tuple[str, ...]
    """Runs that are going."""


def look_around(runs_root: Path) -> Surroundings:
    """Read the machine and the locks of all runs. Takes a moment: call it off the window's thread."""
    existing = next((p for p in (runs_root, *runs_root.parents) if p.exists()), Path.cwd())
    free_mb = shutil.disk_usage(existing).free / 2**20
    return Surroundings(psutil.virtual_memory().available / 2**20, free_mb, live_runs(runs_root))


def live_runs(runs_root: Path) -> tuple[str, ...]:
    """Names of the runs whose trainer holds its lock."""
    locks = sorted(runs_root.glob("*/trainer.lock")) if runs_root.is_dir() else []
    return tuple(lock.parent.name for lock in locks if holder(lock) is not None)


def checkpoints_mb(config: RunConfig, parameters: int) -> float:
    """Disk that the checkpoints of a run will take."""
    every, keep = config.checkpoint.every, config.checkpoint.keep
    count = 2 + (config.steps // every if every else 0)
    return (min(count, keep + 1) if keep else count) * BYTES_A_PARAMETER * parameters / 2**20


def find_cautions(config: RunConfig, memory_mb: float, parameters: int, around: Surroundings) -> tuple[str, ...]:
    """One sentence or two for each thing a person should know before they start."""
    found = []
    if config.model.path != "starter" and not (Path(config.model.path) / "config.json").is_file():
        found.append(
            f"“{config.model.path}” is no folder with a Hugging Face model here. The trainer will end at once."
        )
    if config.data.problems and not Path(config.data.problems).is_file():
        found.append(f"The file of problems “{config.data.problems}” is not there.")
    if memory_mb > around.memory_free_mb:
        found.append(
            f"It needs about {format_mb(memory_mb)} of memory and {format_mb(around.memory_free_mb)} are free. The "
            "system may end it; fewer questions or shorter solutions need less."
        )
    disk_mb = checkpoints_mb(config, parameters)
    if disk_mb > around.disk_free_mb:
        found.append(
            f"Its checkpoints take about {format_mb(disk_mb)} and {format_mb(around.disk_free_mb)} of disk are free. "
            "Set checkpoint.keep to keep fewer."
        )
    if around.live:
        going = f"{around.live[0]} is" if len(around.live) == 1 else f"{len(around.live)} runs are"
        found.append(f"{going} going: side by side they become slower. The queue starts this one afterwards.")
    return tuple(found)
