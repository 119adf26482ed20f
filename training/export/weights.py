"""The tensors of a model folder, read one at a time from safetensors, with a LoRA adapter added on the way.

An adapter is one pair of matrices for each linear layer, and one scale; it is merged in float32, tensor by tensor, so a
model larger than the memory can be exported. Refuses pickled weights, missing shards, damaged files, and adapters that
are more than that (DoRA, biases, embeddings, whole modules, a rank or alpha of its own for some layers), because
neither a LoRA GGUF nor a plain sum of matrices can say it.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, float32

from training.engine import checkpoint
from training.engine.models import base_of_adapter, check_safetensors, is_adapter
from training.errors import UserError

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_PLAIN = {
    "use_dora": False, "lora_bias": False, "bias": "none", "fan_in_fan_out": False, "modules_to_save": None,
    "rank_pattern": {}, "alpha_pattern": {}, "layer_replication": None, "trainable_token_indices": None,
}  # fmt: skip
"""Options of `LoraConfig` that must stand as they are by default."""


@dataclass(frozen=True)
class Adapter:
    """What the adapter adds to its base: `alpha / rank · B A` to each weight `[out, in]` named in `pairs`.

    `alpha` is the effective one: rank-stabilised LoRA scales by α/√r, which is (α·√r)/r, so its alpha is α·√r.
    `pairs` maps the base's weight name to A `[rank, in]` and B `[out, rank]`, float32.
    """

    folder: Path
    rank: int
    alpha: float
    pairs: dict[str, tuple[Tensor, Tensor]] = field(repr=False)

    def delta(self, name: str) -> Tensor:
        a, b = self.pairs[name]
        return (b @ a) * (self.alpha / self.rank)

    def check_fits(self, shapes: Mapping[str, tuple[int, ...]], base: Path) -> None:
        """UserError unless every pair fits a matrix of the model in `base`, whose tensors have these shapes."""
        for name, (a, b) in self.pairs.items():
            shape = (b.shape[0], a.shape[1])
            if shapes.get(name) != shape:
                raise UserError(
                    f"The adapter in {self.folder} changes {name} {list(shape)}, which its base model {base} does not "
                    "have in that shape. Correct base_model_name_or_path in its adapter_config.json."
                )


def read_adapter(folder: Path) -> Adapter:
    """The adapter in `folder`. Raises UserError if a file is missing or damaged, or if it is no plain LoRA."""
    config = _read_config(folder)
    tensors = _read_tensors(folder / WEIGHTS_FILE)
    halves: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, half = key.removeprefix(_PREFIX).rpartition(".lora_")
        if not name or half not in ("A.weight", "B.weight"):
            raise UserError(
                f"{folder / WEIGHTS_FILE} holds {key!r}, which is no pair of LoRA matrices. "
                "Only LoRA on linear layers is supported: merge this adapter with the program that made it."
            )
        halves.setdefault(f"{name}.weight", {})[half[0]] = tensor
    rank = int(config["r"])
    alpha = float(config["lora_alpha"]) * (math.sqrt(rank) if config.get("use_rslora") else 1.0)
    pairs = {name: (found.get("A"), found.get("B")) for name, found in sorted(halves.items())}
    whole = {n: (a, b) for n, (a, b) in pairs.items() if a is not None and b is not None and len(a) == rank}
    if not whole or len(whole) < len(pairs):
        raise UserError(
            f"{folder / WEIGHTS_FILE} does not fit its {CONFIG_FILE}: {len(whole)} whole pairs of rank {rank} among "
            f"{len(pairs)} layers. Save the adapter again."
        )
    return Adapter(folder, rank, alpha, whole)


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG_FILE
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        int(config["r"]), float(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is missing or no LoRA configuration ({error}). Save the adapter again.") from error
    if config.get("peft_type") != "LORA":
        raise UserError(f"{file} describes {config.get('peft_type')!r}; only LORA adapters are supported.")
    for option, plain in _PLAIN.items():
        if (config.get(option) or plain) != plain:
            raise UserError(
                f"{file} sets {option} = {config[option]!r}, which is not supported. "
                "Merge this adapter with the program that made it, and export the merged model."
            )
    return config


def _read_tensors(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise UserError(f"{file} is missing: the folder holds no adapter weights. Save the adapter again.")
    check_safetensors(file)
    try:
        with safe_open(file, "pt") as opened:
            return {name: opened.get_tensor(name).to(float32) for name in opened.keys()}  # noqa: SIM118 - no dict
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} could not be read ({error}). Save or copy the adapter again.") from error


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
        for file in self.files:
            check_safetensors(file)
        self._opened: dict[Path, Any] = {file: safe_open(file, "pt") for file in self.files}
        self._places: dict[str, Any] = {n: o for o in self._opened.values() for n in o.keys()}  # noqa: SIM118 - no dict
        if self.adapter is not None:
            self.adapter.check_fits(self.shapes, self.base)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
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
