"""What this machine is and which library versions run: facts for the launch event. Standard library and psutil.

It imports no engine: a GPU is described only where an engine is loaded already.
"""

import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import psutil

TORCH = ("torch", "transformers", "peft", "tokenizers", "numpy", "sqlite-utils")
LLAMA_CPP = ("llama-cpp-python", "numpy", "sqlite-utils")
"""The libraries that decide a result, by engine."""


def versions(packages: Sequence[str] = TORCH) -> dict[str, str]:
    """Version of Python, of this package and of the libraries that decide a result."""
    found = {"python": platform.python_version()}
    for name in ("seirenes", *packages):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory in MiB, and the GPU's name (None for none) where torch is loaded."""
    found = {
        "cpu": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        "memory_mb": psutil.virtual_memory().total // 2**20,
        "system": platform.platform(),
    }
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        found["gpu"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return found
