"""A whole model, or a LoRA adapter that llama.cpp lays over a base model while it runs, as one GGUF file.

Models are qwen3, qwen2 and llama, with their tokenizer and chat template. The same folder gives the same bytes. Tensors
go through memory one at a time. Refuses other architectures, options and tokenizers that llama.cpp would compute
differently, and tensors that are missing, left over or of another shape.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import (
    MODEL_ARCH,
    GGMLQuantizationType,
    GGUFType,
    GGUFWriter,
    LlamaFileType,
    RopeScalingType,
    TensorNameMap,
    get_tensor_name_map,
)
from gguf.constants import GGML_QUANT_SIZES, Keys
from gguf.quants import quant_shape_to_byte_shape, quantize
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from training.engine import checkpoint
from training.engine.models import base_of_adapter, is_adapter
from training.errors import UserError
from training.export.files import Progress, new_file
from training.export.gguf_tokenizer import read_tokenizer, write_tokenizer
from training.export.weights import Weights, read_adapter

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
        return int(self.config.num_attention_heads)

    @property
    def key_value_heads(self) -> int:
        return int(self.config.num_key_value_heads or self.heads)

    @property
    def head_size(self) -> int:
        return int(getattr(self.config, "head_dim", None) or self.config.hidden_size // self.heads)

    @property
    def rope(self) -> dict[str, Any]:
        return dict(self.config.rope_parameters or {})

    @property
    def context(self) -> int:
        """Tokens for which full attention is what the model computes: within its window, sliding layers see all."""
        sliding = "sliding_attention" in (getattr(self.config, "layer_types", None) or ())
        window = int(self.config.sliding_window or 2**31) if sliding else 2**31
        return min(int(self.config.max_position_embeddings), window)

    @cached_property
    def names(self) -> TensorNameMap:
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
    ignored = "which llama.cpp would ignore"
    extra = sorted(set(rope) - _YARN_OPTIONS) if kind == "yarn" else []
    biased = config.model_type == "qwen3" and bool(config.attention_bias)
    found = [
        (config.hidden_act != "silu", "hidden_act", "but llama.cpp computes silu for this architecture"),
        (kind not in scalings, f"rope_type {kind!r}", f"but only {', '.join(sorted(scalings))} can be written"),
        (bool(extra), f"{', '.join(extra)} for yarn", ignored),
        (rope.get("partial_rotary_factor", 1.0) != 1.0, "partial_rotary_factor", ignored),
        (biased, "attention_bias", "but llama.cpp's qwen3 has no biases"),
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


Array = np.ndarray[Any, Any]


class GgufType(StrEnum):
    """What the matrices are stored as; norms, biases and other vectors are always F32."""

    F32 = "f32"
    """As trained, exactly."""
    F16 = "f16"
    """Half the size; exact for models stored in float16."""
    BF16 = "bf16"
    """Half the size; exact for models stored in bfloat16."""
    Q8_0 = "q8_0"
    """About a quarter: 8-bit blocks of 32. A row that 32 does not divide stays F16."""


_FILE_TYPES = {t: LlamaFileType["ALL_F32" if t is GgufType.F32 else f"MOSTLY_{t.name}"] for t in GgufType}


def export_gguf(
    model_dir: Path | str,
    out: Path | str,
    *,
    dtype: str = GgufType.F16,
    name: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write the model in `model_dir` to the file `out`, which is whole or absent, and return its path.

    `model_dir` is a Hugging Face folder, a checkpoint, or a LoRA adapter folder (merged into its base on the way).
    `dtype` is one of `GgufType`; `name` is the model's name in the file, the folder's by default. Raises UserError
    for what is missing, damaged or not supported, and for an `out` that exists unless `force`.
    """
    folder, target, wanted = Path(model_dir), Path(out), GgufType(dtype)
    weights = Weights(folder)
    layout = read_layout(weights.base)
    _check_tensors(weights, layout)
    has_tokenizer = any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json"))
    tokenizer = read_tokenizer(folder if has_tokenizer else weights.base, int(layout.config.vocab_size))
    with new_file(target, force=force) as temporary:
        writer = GGUFWriter(temporary, layout.kind)
        writer.add_type("model")
        writer.add_name(name or folder.resolve().name)
        writer.add_file_type(_FILE_TYPES[wanted])
        writer.add_quantization_version(2)
        write_metadata(writer, layout)
        write_tokenizer(writer, tokenizer)
        try:
            _write_tensors(writer, weights, layout, wanted, progress)
        finally:
            writer.close()
    return target


def _check_tensors(weights: Weights, layout: Layout) -> None:
    """UserError unless the weights are exactly those of the architecture."""
    shapes = weights.shapes
    for name, shape in layout.tensors.items():
        if name not in shapes:
            raise UserError(f"{weights.base} has no tensor {name}: a weight file is incomplete. Copy the model again.")
        if shapes[name] != shape:
            raise UserError(
                f"{name} in {weights.base} has the shape {list(shapes[name])}, and config.json says {list(shape)}. "
                "Copy config.json and weights from one and the same model."
            )
    known = {*layout.tensors, "lm_head.weight"}
    if left := sorted(n for n in shapes if n not in known and not n.endswith("rotary_emb.inv_freq")):
        raise UserError(
            f"{weights.base} has the tensor {left[0]}, which a plain {layout.kind} model has not. "
            "It cannot be written as GGUF; export it with --to hf."
        )


def _write_tensors(
    writer: GGUFWriter, weights: Weights, layout: Layout, wanted: GgufType, progress: Progress | None
) -> None:
    """First what every tensor will be, then the tensors, one in memory at a time."""
    factors = rope_factors(layout)
    if factors is not None:
        _announce(writer, ROPE_FACTORS, factors.shape, GGMLQuantizationType.F32)
    kinds = {name: _stored_as(shape, wanted) for name, shape in layout.tensors.items()}
    for name, kind in kinds.items():
        _announce(writer, layout.gguf_name(name), layout.tensors[name], kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if factors is not None:
        writer.write_tensor_data(factors)
    for done, (name, kind) in enumerate(kinds.items(), 1):
        values = layout.rearrange(name, weights.read_float32(name)).numpy()
        writer.write_tensor_data(_converted(name, values, kind))
        if progress is not None:
            progress(done, len(kinds))


def _stored_as(shape: tuple[int, ...], wanted: GgufType) -> GGMLQuantizationType:
    if len(shape) == 1:
        return GGMLQuantizationType.F32
    kind = GGMLQuantizationType[wanted.name]
    return kind if shape[-1] % GGML_QUANT_SIZES[kind][0] == 0 else GGMLQuantizationType.F16


def _announce(writer: GGUFWriter, name: str, shape: tuple[int, ...], kind: GGMLQuantizationType) -> None:
    size = math.prod(quant_shape_to_byte_shape(shape, kind))
    writer.add_tensor_info(name, shape, np.dtype(np.float32), size, raw_dtype=kind)


def _converted(name: str, values: Array, kind: GGMLQuantizationType) -> Array:
    with np.errstate(over="ignore"):
        converted: Array = quantize(values, kind)
    if converted.dtype == np.float16 and not np.isfinite(converted).all() and np.isfinite(values).all():
        raise UserError(f"{name} holds numbers too large for F16. Export with --quantize f32 or bf16.")
    return converted


def export_gguf_lora(
    adapter_dir: Path | str,
    out: Path | str,
    *,
    name: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write the adapter in `adapter_dir` to the file `out`, in F32, and return its path.

    Only the base's config.json is read, not its weights. Each weight `[out, in]` gives `<name>.lora_a` `[rank, in]`
    and `<name>.lora_b` `[out, rank]`; llama.cpp adds `alpha / rank · B A`. Raises UserError for what is missing,
    damaged or not supported, and for an `out` that exists unless `force`.
    """
    folder, target = Path(adapter_dir), Path(out)
    if not is_adapter(folder):
        raise UserError(f"{folder} holds no LoRA adapter (adapter_config.json). Export a whole model with --to gguf.")
    if (folder / checkpoint.MANIFEST).is_file():
        checkpoint.verify(folder)
    adapter, layout = read_adapter(folder), read_layout(base_of_adapter(folder))
    adapter.check_fits(layout.tensors, layout.folder)
    with new_file(target, force=force) as temporary:
        writer = GGUFWriter(temporary, layout.kind)
        try:
            writer.add_type(GGUFType.ADAPTER)
            writer.add_string(Keys.Adapter.TYPE, "lora")
            writer.add_float32(Keys.Adapter.LORA_ALPHA, adapter.alpha)
            writer.add_name(name or folder.resolve().name)
            writer.add_file_type(LlamaFileType.ALL_F32)
            for done, (weight, (a, b)) in enumerate(adapter.pairs.items(), 1):
                known_as = layout.gguf_name(weight)
                writer.add_tensor(f"{known_as}.lora_a", a.contiguous().numpy())
                writer.add_tensor(f"{known_as}.lora_b", layout.rearrange(weight, b.contiguous()).numpy())
                if progress is not None:
                    progress(done, len(adapter.pairs))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()
    return target
