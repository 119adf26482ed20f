"""A GGUF becomes the folder that it was made from: weights, tokens, positions, ends and template."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from helpers.gguf_files import gguf_bytes, model_values
from helpers.tiny_models import TEXT, save_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.engine.chat_tokenizer import ChatTokenizer
from training.engine.models import bundled_starter
from training.errors import UserError
from training.export import from_gguf
from training.export.from_gguf import convert_gguf
from training.export.gguf_model import export_gguf

YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 32}  # fmt: skip
MODELS = {
    "qwen3, tied": ("qwen3", "qwen2", {"tie_word_embeddings": True}),
    "qwen2, yarn": ("qwen2", "qwen2", {"rope_parameters": YARN}),
    "llama, llama 3": ("llama", "llama-3", {"rope_parameters": LLAMA3}),
    "llama, SmolLM": ("llama", "smollm", {"tie_word_embeddings": True}),
}


def pieces(count, seed=3):
    rng = random.Random(seed)
    words = [*TEXT.split(), " ", "  ", "\n", "\t", "<|end|>", "<tool>", "1234", "½", "한국", "👩‍🚀", "'S", "x"]
    return ["".join(rng.choice(words) for _ in range(rng.randrange(1, 12))) for _ in range(count)]


@pytest.mark.parametrize("name", MODELS)
def test_a_folder_survives_the_way_to_gguf_and_back(tmp_path, name):
    kind, tokenizer, options = MODELS[name]
    folder = save_model(tmp_path / "first", kind, tokenizer, **options)
    said = []
    result = convert_gguf(
        export_gguf(folder, tmp_path / "m.gguf", dtype="f32"), tmp_path / "back", report=lambda *s: said.append(s[0])
    )
    assert (result["dtype"], result["architecture"]) == ("float32", kind)
    assert said == list(from_gguf.STAGES)
    first, back = (AutoModelForCausalLM.from_pretrained(f, dtype=torch.float32) for f in (folder, tmp_path / "back"))
    assert first.state_dict().keys() == back.state_dict().keys()
    for key, tensor in first.state_dict().items():
        assert torch.equal(tensor, back.state_dict()[key]), key
    ours, theirs = (AutoTokenizer.from_pretrained(f) for f in (folder, tmp_path / "back"))
    texts = pieces(300)
    if kind.startswith("qwen"):
        # GGUF has no place for Qwen's normaliser.
        texts = [t for t in texts if t.isascii()]
    assert [ours.encode(t) for t in texts] == [theirs.encode(t) for t in texts]
    ids = torch.tensor([ours.encode(TEXT * 2)[:180]])
    with torch.no_grad():
        assert torch.allclose(first(ids).logits, back(ids).logits, atol=1e-4)
    assert theirs.chat_template == ours.chat_template
    assert ChatTokenizer(tmp_path / "back").end_ids >= ChatTokenizer(folder).end_ids


@pytest.mark.parametrize("beside", [None, '{"model_type": "llama", "vocab_size": 7}'])
def test_the_bundled_gguf_gives_the_bundled_folder_whatever_lies_beside_it(tmp_path, beside):
    starter = bundled_starter()
    shutil.copy(starter / "starter-f16.gguf", tmp_path / "m.gguf")
    if beside:
        for name in ("config.json", "tokenizer_config.json"):
            (tmp_path / name).write_text(beside)
    result = convert_gguf(tmp_path / "m.gguf", tmp_path / "out")
    assert result["dtype"] == "float16"
    first, back = (AutoModelForCausalLM.from_pretrained(f, dtype=torch.float16) for f in (starter, tmp_path / "out"))
    assert all(torch.equal(t, back.state_dict()[k]) for k, t in first.state_dict().items())
    ours, theirs = (AutoTokenizer.from_pretrained(f) for f in (starter, tmp_path / "out"))
    assert len(ours) <= len(theirs) <= first.config.vocab_size
    assert [ours.encode(t) for t in pieces(50)] == [theirs.encode(t) for t in pieces(50)]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["rms_norm_eps"] == json.loads((starter / "config.json").read_text())["rms_norm_eps"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"general.architecture": "mamba"}, "Convertible architectures: falcon, gemma2"),
        ({"split.count": 2}, "Join them first"),
        ({"qwen3.rope.scaling.type": "longrope"}, "'longrope'"),
        ({"tokenizer.ggml.pre": "tekken"}, "cuts text by 'tekken'"),
    ],
)
def test_what_would_be_computed_differently_is_refused(tmp_path, values, words):
    import numpy as np

    file = tmp_path / "m.gguf"
    file.write_bytes(gguf_bytes(model_values(**values), {"token_embd.weight": np.zeros((3, 8))}))
    with pytest.raises(UserError, match=words):
        convert_gguf(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_gguf_are_refused(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    os.mkfifo(tmp_path / "pipe.gguf")
    for name in ("m.gguf", "pipe.gguf", "none.gguf"):
        with pytest.raises(UserError, match=name):
            convert_gguf(tmp_path / name, tmp_path / "out")


def test_a_full_disk_is_found_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(from_gguf.shutil, "disk_usage", lambda _place: type("U", (), {"free": 1 << 20})())
    with pytest.raises(UserError, match="free"):
        convert_gguf(bundled_starter() / "starter-f16.gguf", tmp_path / "out")


def test_an_interrupted_conversion_leaves_nothing(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-m", "training", "from-gguf", bundled_starter() / "starter-f16.gguf", "--out", tmp_path / "out"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in child.stderr:
        if from_gguf.STAGES[2] in line:
            child.send_signal(signal.SIGTERM)
            break
    child.communicate(timeout=300)
    assert child.returncode == 130
    assert list(tmp_path.iterdir()) == []
