"""Write small GGUF files for tests, whole or wrong on purpose."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

ALIGNMENT = 32


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    """A value with its type; whole numbers are u32, lists hold strings or whole numbers."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_string, value))
    return struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)


def gguf_bytes(values: dict[str, Any], tensors: dict[str, np.ndarray], version: int = 3) -> bytes:
    """A whole file; tensors are written as float32, shaped as numpy has them."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values))
    head += b"".join(_string(key) + _value(value) for key, value in values.items())
    data = b""
    for name, array in tensors.items():
        shape = array.shape[::-1]
        head += _string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        head += struct.pack("<IQ", 0, len(data))
        data += array.astype("<f4").tobytes()
        data += bytes(-len(data) % ALIGNMENT)
    return head + bytes(-len(head) % ALIGNMENT) + data


def model_values(**others: Any) -> dict[str, Any]:
    """The header of a text model that passes the checks; it has no weights that llama.cpp would load."""
    return {
        "general.architecture": "qwen3",
        "general.name": "A test",
        "qwen3.context_length": 64,
        "qwen3.embedding_length": 8,
        "qwen3.block_count": 1,
        "qwen3.attention.head_count": 2,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": ["a", "b", "c"],
        "tokenizer.ggml.token_type": [1, 1, 1],
        "tokenizer.ggml.merges": ["a b"],
        **others,
    }


def write_adapter(path: Path, width: int, queries: int, architecture: str = "qwen3", strength: float = 0.3) -> Path:
    """A LoRA of rank 2 on the first layer's queries of a model `width` wide."""
    rng = np.random.default_rng(0)
    values = {"general.type": "adapter", "general.architecture": architecture, "adapter.type": "lora",
              "adapter.lora.alpha": 2.0}  # fmt: skip
    tensors = {
        "blk.0.attn_q.weight.lora_a": strength * rng.standard_normal((2, width)),
        "blk.0.attn_q.weight.lora_b": strength * rng.standard_normal((queries, 2)),
    }
    path.write_bytes(gguf_bytes(values, tensors))
    return path
