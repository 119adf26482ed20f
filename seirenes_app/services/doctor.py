"""Check what the app and the trainer need of this machine, each with its remedy. No Qt, no torch imported."""

from __future__ import annotations

import ctypes.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from seirenes_app.store.resources import starter_folder
from training.runs.paths import default_runs_root


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found, and what to do where it is not as it should be."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def check_all() -> list[Check]:
    checks: list[Callable[[], Check]] = [
        _python, _packages, _none_counting, _torch, _starter, _runs_folder, _disk, _memory, _cores, _fonts, _xcb_cursor
    ]  # fmt: skip
    return [check() for check in checks]


def _python() -> Check:
    return Check("Python", sys.version_info >= (3, 11), platform.python_version(), "Install Python 3.11 or newer.")


def _packages() -> Check:
    wanted = ("torch", "transformers", "peft", "PySide6-Essentials", "matplotlib", "sqlite-utils", "llama-cpp-python")
    missing = []
    for name in wanted:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    found = f"missing: {', '.join(missing)}" if missing else f"{len(wanted)} of {len(wanted)} installed"
    return Check("Packages", not missing, found, "Run `make setup`, or `pip install .` again.")


def _none_counting() -> Check:
    version = metadata.version("PySide6-Essentials")
    bad = sys.version_info < (3, 12) and tuple(int(x) for x in version.split(".")[:2]) >= (6, 12)
    return Check("Qt", not bad, version, "PySide6 6.12 crashes on Python 3.11: pip install 'PySide6-Essentials<6.12'.")


def _torch() -> Check:
    # In a process of its own: the app never imports torch.
    code = "import torch; print(torch.__version__, 'CUDA' if torch.cuda.is_available() else 'CPU')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    found = done.stdout.strip() or (done.stderr.strip().splitlines() or ["no answer"])[-1]
    return Check("torch", done.returncode == 0, found, "Install it again: TORCH=cpu make setup.")


def _starter() -> Check:
    folder = starter_folder()
    there = (folder / "model.safetensors").is_file()
    return Check("Bundled reasoner", there, "there" if there else "missing", "Make it: python -m training.starter")


def _runs_folder() -> Check:
    root = default_runs_root()
    existing = next(p for p in (root, *root.parents) if p.exists())
    ok = os.access(existing, os.W_OK)
    return Check("Runs folder", ok, str(root), f"{existing} cannot be written to: set SEIRENES_RUNS to another folder.")


def _disk() -> Check:
    root = default_runs_root()
    existing = next(p for p in (root, *root.parents) if p.exists())
    free = shutil.disk_usage(existing).free / 2**30
    return Check("Disk", free >= 1, f"{free:.1f} GB free", "A demo run takes about 0.3 GB: free some space.")


def _memory() -> Check:
    memory = psutil.virtual_memory()
    text = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GB available"
    return Check("Memory", memory.available >= 2 * 2**30, text, "The demo needs 2 GB: close other programs.")


def _cores() -> Check:
    cores = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process(), "cpu_affinity") else psutil.cpu_count()
    return Check("Processor", True, f"{cores} cores, {platform.machine()}")


def _fonts() -> Check:
    if not sys.platform.startswith("linux"):
        return Check("Fonts", True, "the system's")
    there = any(Path("/usr/share/fonts").glob("**/*.[to]tf")) or shutil.which("fc-list") is not None
    return Check("Fonts", there, "found" if there else "none", "apt-get install fonts-dejavu-core")


def _xcb_cursor() -> Check:
    if not sys.platform.startswith("linux"):
        return Check("X window libraries", True, "not needed here")
    there = ctypes.util.find_library("xcb-cursor") is not None
    found = "libxcb-cursor0 found" if there else "libxcb-cursor0 is missing: no window can open on X11"
    return Check("X window libraries", there, found, "sudo apt-get install libxcb-cursor0")
