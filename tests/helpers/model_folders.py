"""Model folders for tests, without torch: headers that are right, weights of zeros."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG = {
    "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": 8, "num_attention_heads": 2,
    "num_key_value_heads": 1, "num_hidden_layers": 1, "vocab_size": 3, "max_position_embeddings": 64,
    "eos_token_id": 2, "tie_word_embeddings": True, "dtype": "bfloat16",
}  # fmt: skip
TOKENIZER = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
             "added_tokens": [{"id": 2, "content": "<end>"}]}  # fmt: skip


def safetensors_bytes(tensors: dict[str, list[int]], dtype: str = "BF16") -> bytes:
    """A whole file of zeros, two bytes a weight."""
    header, at = {}, 0
    for name, shape in tensors.items():
        size = 2
        for n in shape:
            size *= n
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(at)


def model_folder(folder: Path, *, without: tuple[str, ...] = (), rows: int = 3, **config: Any) -> Path:
    """A folder that passes every check. `without` names files that are left out; `rows`: tokens of the embedding."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "config.json": json.dumps({**CONFIG, "vocab_size": rows, **config}).encode(),
        "tokenizer.json": json.dumps(TOKENIZER).encode(),
        "tokenizer_config.json": json.dumps({"chat_template": "{{ messages[0]['content'] }}"}).encode(),
        "model.safetensors": safetensors_bytes({"model.embed_tokens.weight": [rows, 8]}),
        "README.md": b"---\nlicense: apache-2.0\ntags:\n- a\n---\n# A model\n",
    }
    for name, data in files.items():
        if name not in without:
            (folder / name).write_bytes(data)
    return folder


def hub_snapshot(cache: Path, repo: str, revision: str = "0123456789" * 4, branch: str = "main") -> Path:
    """An empty snapshot folder of a repository in a hub cache, as huggingface_hub lays it out."""
    root = cache / f"models--{repo.replace('/', '--')}"
    snapshot = root / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (root / "blobs").mkdir(exist_ok=True)
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / branch).write_text(revision)
    return snapshot
