"""What this machine is and which library versions run: facts for the launch event. Standard library and psutil."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

import psutil

_PACKAGES = ("torch", "transformers", "peft", "tokenizers", "numpy", "sqlite-utils")


def versions() -> dict[str, str]:
    """Version of Python, of this package and of the libraries that decide a result."""
    found = {"python": platform.python_version()}
    for name in ("seirenes", *_PACKAGES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory in MiB, and the GPU's name where torch sees one."""
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        "memory_mb": psutil.virtual_memory().total // 2**20,
        "gpu": _gpu(),
        "system": platform.platform(),
    }


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
