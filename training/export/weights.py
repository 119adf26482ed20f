"""The tensors of a model folder, read one at a time from safetensors, with a LoRA adapter added on the way.

An adapter is merged in float32, tensor by tensor, so a model larger than the memory can be exported. Refuses pickled
weights, missing shards and damaged files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from training.engine import checkpoint
from training.engine.models import base_of_adapter, check_safetensors, is_adapter
from training.errors import UserError
from training.export.adapter import Adapter, read_adapter

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_AGAIN = "Copy or download the model again, or use another checkpoint."


class Weights:
    """Tensors of the model in `folder`; for an adapter folder, those of its base with the adapter added.

    `base` is the folder that holds the weights and config.json. Raises UserError for what cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        if (folder / checkpoint.MANIFEST).is_file():
            checkpoint.verify(folder)
        self.folder = folder
        self.adapter: Adapter | None = read_adapter(folder) if is_adapter(folder) else None
        self.base = base_of_adapter(folder) if self.adapter else folder
        self.files = tuple(_weight_files(self.base))
        self._opened = {file: _open(file) for file in self.files}
        self._places: dict[str, Any] = {n: o for o in self._opened.values() for n in o.keys()}  # noqa: SIM118 - no dict
        if self.adapter is not None:
            self.adapter.check_fits(self.shapes, self.base)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor, by its name."""
        return {name: tuple(opened.get_slice(name).get_shape()) for name, opened in self._places.items()}

    def read(self, name: str) -> Tensor:
        """The tensor in the type it is stored in. KeyError for a name that `shapes` lacks."""
        if self.adapter is None or name not in self.adapter.pairs:
            return self._stored(name)
        return self.read_float32(name).to(self._stored(name).dtype)

    def read_float32(self, name: str) -> Tensor:
        """The tensor in float32; where the adapter was added, nothing was rounded to the base's type."""
        tensor = self._stored(name).to(torch.float32)
        return tensor + self.adapter.delta(name) if self.adapter and name in self.adapter.pairs else tensor

    def _stored(self, name: str) -> Tensor:
        try:
            tensor: Tensor = self._places[name].get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{name} in {self.base} could not be read ({error}). {_AGAIN}") from error
        return tensor

    def by_file(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Each weight file's name with its tensors, one file in memory at a time."""
        for file, opened in self._opened.items():
            yield file.name, {name: self.read(name) for name in opened.keys()}  # noqa: SIM118 - no dict

    def storage_type(self) -> str:
        """`f16` or `bf16` if that holds every tensor exactly, `f32` otherwise."""
        names = {"F16": "f16", "BF16": "bf16"}
        found = {str(opened.get_slice(name).get_dtype()) for name, opened in self._places.items()}
        return names.get(found.pop(), "f32") if self.adapter is None and len(found) == 1 else "f32"


def _weight_files(folder: Path) -> list[Path]:
    index = folder / INDEX_FILE
    if (folder / SINGLE_FILE).is_file() and not index.is_file():
        return [folder / SINGLE_FILE]
    if not index.is_file():
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        more = " Pickled weights are never opened: save the model as safetensors." if pickled else f" {_AGAIN}"
        raise UserError(f"{folder / SINGLE_FILE} is missing.{more}")
    try:
        listed = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} could not be read ({error}). {_AGAIN}") from error
    files = [folder / str(name) for name in listed]
    for file in files:
        if not file.is_file() or file.parent != folder:
            raise UserError(f"{file} is missing, though {INDEX_FILE} lists it. {_AGAIN}")
    return files


def _open(file: Path) -> Any:
    check_safetensors(file)
    return safe_open(file, "pt")
