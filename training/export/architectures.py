"""The architectures that can be written as GGUF: their metadata, tensor names and the one reordering they need.

Refuses every other architecture, and options of the known ones that llama.cpp computes differently or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import MODEL_ARCH, GGUFWriter, RopeScalingType, TensorNameMap, get_tensor_name_map
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from training.errors import UserError

_ARCHITECTURES = {"llama": MODEL_ARCH.LLAMA, "qwen2": MODEL_ARCH.QWEN2, "qwen3": MODEL_ARCH.QWEN3}
SUPPORTED = tuple(_ARCHITECTURES)
"""Values of `model_type` that can be exported."""

ROPE_FACTORS = "rope_freqs.weight"
_YARN_OPTIONS = {"rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings"}


@dataclass(frozen=True)
class Layout:
    """What one model's configuration says, in GGUF's terms. `tensors` maps each Hugging Face name to its shape."""

    folder: Path
    kind: str
    config: Any = field(repr=False)
    tensors: dict[str, tuple[int, ...]] = field(repr=False)

    @property
    def heads(self) -> int:
        """Query heads."""
        return int(self.config.num_attention_heads)

    @property
    def key_value_heads(self) -> int:
        """Key and value heads, fewer than query heads in grouped attention."""
        return int(self.config.num_key_value_heads or self.heads)

    @property
    def head_size(self) -> int:
        """Numbers a head."""
        return int(getattr(self.config, "head_dim", None) or self.config.hidden_size // self.heads)

    @property
    def rope(self) -> dict[str, Any]:
        """The rotary embedding's parameters, under the name that transformers 5 gives them."""
        return dict(self.config.rope_parameters or {})

    @property
    def context(self) -> int:
        """Tokens for which full attention is what the model computes: within its window, sliding layers see all."""
        sliding = "sliding_attention" in (getattr(self.config, "layer_types", None) or ())
        window = int(self.config.sliding_window or 2**31) if sliding else 2**31
        return min(int(self.config.max_position_embeddings), window)

    @cached_property
    def names(self) -> TensorNameMap:
        """The gguf package's map from Hugging Face names to GGUF's."""
        return get_tensor_name_map(_ARCHITECTURES[self.kind], int(self.config.num_hidden_layers))

    def gguf_name(self, name: str) -> str:
        """The GGUF name of a Hugging Face tensor. KeyError if it has none."""
        found = self.names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise KeyError(name)
        return found

    def rearrange(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor as llama.cpp expects it.

        llama.cpp turns neighbouring pairs of a llama head, transformers turns its first half with its second: so the
        rows of q and k (and of what is added to them: biases, LoRA's B) are interleaved. Qwen needs nothing.
        """
        if self.kind != "llama" or ".self_attn." not in name:
            return tensor
        heads = {"q_proj": self.heads, "k_proj": self.key_value_heads}.get(name.split(".")[-2])
        if heads is None:
            return tensor
        halves = tensor.reshape(heads, 2, len(tensor) // heads // 2, *tensor.shape[1:])
        return halves.transpose(1, 2).reshape(tensor.shape).contiguous()


def read_layout(folder: Path) -> Layout:
    """The layout of the model in `folder`. Raises UserError for an architecture or an option that is not supported."""
    try:
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{folder / 'config.json'} could not be read: {reason} Supported architectures: {', '.join(SUPPORTED)}."
        ) from error
    if config.model_type not in _ARCHITECTURES:
        raise UserError(
            f"{folder / 'config.json'} describes {config.model_type!r}, which cannot be written as GGUF here. "
            f"Supported architectures: {', '.join(SUPPORTED)}. The Hugging Face folder can be exported with --to hf."
        )
    for option, problem in _problems(config):
        raise UserError(f"{folder / 'config.json'} sets {option}, {problem}. Export it with --to hf.")
    return Layout(folder, config.model_type, config, _expected_tensors(config))


def _problems(config: Any) -> list[tuple[str, str]]:
    rope = dict(config.rope_parameters or {})
    kind = rope.get("rope_type", "default")
    scalings = {"default", "linear", "yarn"} | ({"llama3"} if config.model_type == "llama" else set())
    found = [
        (config.hidden_act != "silu", "hidden_act", "but llama.cpp computes silu for this architecture"),
        (kind not in scalings, f"rope_type {kind!r}", f"but only {', '.join(sorted(scalings))} can be written"),
        (
            kind == "yarn" and bool(set(rope) - _YARN_OPTIONS),
            f"{', '.join(sorted(set(rope) - _YARN_OPTIONS))} for yarn",
            "which llama.cpp would ignore",
        ),
        (rope.get("partial_rotary_factor", 1.0) != 1.0, "partial_rotary_factor", "which llama.cpp would ignore"),
        (
            config.model_type == "qwen3" and bool(config.attention_bias),
            "attention_bias",
            "but llama.cpp's qwen3 has no biases",
        ),
    ]
    return [(option, problem) for wrong, option, problem in found if wrong]


def _expected_tensors(config: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors the model is made of, from a model without memory; a tied head is left out."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        shapes.pop("lm_head.weight", None)
    return shapes


def write_metadata(writer: GGUFWriter, layout: Layout) -> None:
    """The sizes, the norm and the rotary embedding of the model."""
    config, rope = layout.config, layout.rope
    writer.add_context_length(layout.context)
    writer.add_embedding_length(int(config.hidden_size))
    writer.add_block_count(int(config.num_hidden_layers))
    writer.add_feed_forward_length(int(config.intermediate_size))
    writer.add_head_count(layout.heads)
    writer.add_head_count_kv(layout.key_value_heads)
    writer.add_key_length(layout.head_size)
    writer.add_value_length(layout.head_size)
    writer.add_layer_norm_rms_eps(float(config.rms_norm_eps))
    writer.add_vocab_size(int(config.vocab_size))
    writer.add_rope_dimension_count(layout.head_size)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10_000.0)))
    kind = rope.get("rope_type", "default")
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(RopeScalingType(kind))
        writer.add_rope_scaling_factor(float(rope["factor"]))
    if kind == "yarn":
        original = rope.get("original_max_position_embeddings") or config.max_position_embeddings
        writer.add_rope_scaling_orig_ctx_len(int(original))


def rope_factors(layout: Layout) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """What llama 3's scaling divides each rotary frequency by, `[head_size / 2]`; None where there is none.

    Taken from the function that transformers itself uses, so that the two cannot differ.
    """
    if layout.rope.get("rope_type") != "llama3":
        return None
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](layout.config, torch.device("cpu"))
    exponents = torch.arange(0, layout.head_size, 2, dtype=torch.float32) / layout.head_size
    plain = 1.0 / float(layout.rope["rope_theta"]) ** exponents
    factors: np.ndarray[Any, np.dtype[np.float32]] = (plain / scaled).numpy().astype(np.float32)
    return factors
