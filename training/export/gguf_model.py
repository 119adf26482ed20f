"""A whole model as one GGUF file: qwen3, qwen2 and llama, with their tokenizer and chat template.

The same folder gives the same bytes. Tensors go through memory one at a time. Refuses architectures and tokenizers
that llama.cpp would compute differently, and tensors that are missing, left over or of another shape.
"""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import quant_shape_to_byte_shape, quantize

from training.errors import UserError
from training.export.architectures import ROPE_FACTORS, Layout, read_layout, rope_factors, write_metadata
from training.export.files import Progress, new_file
from training.export.gguf_tokenizer import read_tokenizer, write_tokenizer
from training.export.weights import Weights

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


_FILE_TYPES = {
    GgufType.F32: LlamaFileType.ALL_F32,
    GgufType.F16: LlamaFileType.MOSTLY_F16,
    GgufType.BF16: LlamaFileType.MOSTLY_BF16,
    GgufType.Q8_0: LlamaFileType.MOSTLY_Q8_0,
}


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
