"""Read a safetensors file's header without torch. Refuses, with a `UserError`, what is damaged or cut short."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

from training.errors import UserError
from training.runs.files import open_regular

_MAX_HEADER_BYTES = 100_000_000
_AGAIN = "Copy or download the model again."


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """Type (as "BF16") and shape of each tensor by its name."""

    path: Path
    tensors: dict[str, tuple[str, tuple[int, ...]]]
    size_bytes: int

    @property
    def n_params(self) -> int:
        return sum(math.prod(shape) for _, shape in self.tensors.values())


def read_safetensors(path: Path) -> SafetensorsHeader:
    """Read and check a header; the file must be as long as its tensors need."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
                raise UserError(f"{path}: the file is damaged or cut short: its header cannot be read. {_AGAIN}")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        tensors = {name: (str(t["dtype"]), tuple(map(int, t["shape"]))) for name, t in header.items()}
        needed = 8 + length + max((int(t["data_offsets"][1]) for t in header.values()), default=0)
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: the file is damaged: its header cannot be read. {_AGAIN}") from error
    if needed > size:
        raise UserError(
            f"{path}: the file is cut short: it has {size:,} bytes and its tensors need {needed:,}. {_AGAIN}"
        )
    return SafetensorsHeader(path, tensors, size)
