"""Facts about GGUF files: llama.cpp reads the same tokens and computes the same model as transformers does."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from helpers.tiny_models import TEXT, generated_texts, save_adapter, save_model
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.engine.models import bundled_starter
from training.export.gguf_model import export_gguf, export_gguf_lora
from training.export.hf import export_hf

CHILD = Path(__file__).resolve().parents[2] / "helpers" / "llama_child.py"
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 32}  # fmt: skip
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
MODELS = {
    "qwen3": ("qwen3", "qwen2", {"tie_word_embeddings": True}),
    "qwen2": ("qwen2", "qwen2", {"rope_parameters": YARN}),
    "llama": ("llama", "llama-3", {"rope_parameters": LLAMA3}),
    "llama with biases": ("llama", "llama-3-merges", {"attention_bias": True, "mlp_bias": True, "head_dim": 32}),
    "llama, SmolLM": ("llama", "smollm", {"rope_parameters": LINEAR, "tie_word_embeddings": True}),
}
NAMES = ["starter", *MODELS]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    made = {name: save_model(root / name, kind, tokenizer, **options)
            for name, (kind, tokenizer, options) in MODELS.items()}  # fmt: skip
    return {"starter": bundled_starter(), **made}


@pytest.fixture(scope="module")
def answers(folders, tmp_path_factory):
    """llama.cpp's and transformers' answers to one set of questions a model; each asked once."""
    kept = {}

    def get(name):
        if name not in kept:
            kept[name] = compare(folders[name], tmp_path_factory.mktemp("gguf"))
        return kept[name]

    return get


def ask(model, folder, **questions):
    scores_file = folder / "scores.npz"
    request = {"model": str(model), "scores_file": str(scores_file), **questions}
    done = subprocess.run([sys.executable, CHILD], input=json.dumps(request), capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    if "score" in questions:
        with np.load(scores_file) as loaded:
            answer["scores"] = [loaded[f"arr_{i}"] for i in range(len(questions["score"]))]
    return answer


def prompts_of(tokenizer, count):
    rng = random.Random(5)
    ids = tokenizer.backend_tokenizer.encode(TEXT * 3).ids
    starts = [rng.randrange(len(ids) - 40) for _ in range(count)]
    return [ids[s : s + rng.randrange(4, 40)] for s in starts]


def greedy_batch(model, prompts, count):
    with torch.no_grad():
        # The mask is given: left alone, generate takes a bos that has the padding's id for padding.
        return [model.generate(torch.tensor([p]), attention_mask=torch.ones(1, len(p)), max_new_tokens=count, min_new_tokens=count, do_sample=False,
                               eos_token_id=None, pad_token_id=0)[0, len(p) :].tolist()
                for p in prompts]  # fmt: skip


def log_probabilities(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].double().log_softmax(-1).numpy()


def compare(folder, place):
    file = export_gguf(folder, place / "m.gguf", dtype="f32")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    texts, prompts = generated_texts(2000), prompts_of(tokenizer, 50)
    long = [tokenizer.backend_tokenizer.encode(TEXT * 2).ids[:180], *prompts[:3]]
    theirs = ask(file, place, tokenize=texts, greedy=[prompts, 8], score=long)
    ours = {
        "tokens": [e.ids for e in tokenizer.backend_tokenizer.encode_batch(texts)],
        "greedy": greedy_batch(model, prompts, 8),
        "scores": [log_probabilities(model, ids) for ids in long],
    }
    return texts, ours, theirs, tokenizer


@pytest.mark.parametrize("name", NAMES)
def test_the_same_text_gives_the_same_tokens(answers, name):
    texts, ours, theirs, _ = answers(name)
    different = [(t, a, b) for t, a, b in zip(texts, ours["tokens"], theirs["tokens"], strict=True) if a != b]
    assert not different, different[:3]


@pytest.mark.parametrize("name", NAMES)
def test_the_greedy_continuation_is_the_same(answers, name):
    _, ours, theirs, _ = answers(name)
    assert theirs["greedy"] == ours["greedy"]


@pytest.mark.parametrize("name", NAMES)
def test_log_probabilities_agree_to_a_thousandth(answers, name):
    _, ours, theirs, _ = answers(name)
    assert max(len(s) for s in ours["scores"]) > 100
    for a, b in zip(ours["scores"], theirs["scores"], strict=True):
        assert np.abs(a - b).max() < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_the_end_token_is_the_same(answers, name):
    _, _, theirs, tokenizer = answers(name)
    assert theirs["ends"][0] == tokenizer.eos_token_id


def test_the_bundled_file_is_what_the_exporter_makes_now(tmp_path):
    made = export_gguf(bundled_starter(), tmp_path / "again.gguf", dtype="f16", name="starter")
    assert made.read_bytes() == (bundled_starter() / "starter-f16.gguf").read_bytes()


def test_vectors_stay_f32_and_a_tied_head_is_left_out(folders, tmp_path):
    reader = GGUFReader(export_gguf(folders["qwen3"], tmp_path / "m.gguf", dtype="q8_0"))
    kinds = {t.name: t.tensor_type.name for t in reader.tensors}
    assert "output.weight" not in kinds
    assert {kind for name, kind in kinds.items() if "norm" in name} == {"F32"}
    assert kinds["blk.0.attn_q.weight"] == "Q8_0"
    assert len(reader.fields["tokenizer.ggml.tokens"].data) == 640
    assert reader.fields["tokenizer.chat_template"].contents().startswith("{% for m in messages %}")


def test_a_model_in_several_files_gives_the_same_tensors(folders, tmp_path):
    options = MODELS["llama with biases"]
    shards = save_model(tmp_path / "m", *options[:2], shard="100KB", **options[2])
    assert len(list(shards.glob("model-*.safetensors"))) > 1
    one, many = (export_gguf(f, tmp_path / n, name="m") for f, n in ((folders["llama with biases"], "1"), (shards, "2")))  # fmt: skip
    assert one.read_bytes() == many.read_bytes()


@pytest.mark.parametrize("dtype", ["bf16", "q8_0"])
def test_smaller_types_load_and_stay_close(folders, tmp_path, dtype):
    tokenizer = AutoTokenizer.from_pretrained(bundled_starter())
    ids = tokenizer.encode("<|user|>Mia has 7 apples and buys 5 more. How many apples has Mia?<|assistant|>")
    exact = log_probabilities(AutoModelForCausalLM.from_pretrained(bundled_starter(), dtype=torch.float32).eval(), ids)
    file = export_gguf(bundled_starter(), tmp_path / "m.gguf", dtype=dtype)
    got = ask(file, tmp_path, score=[ids], greedy=[[ids], 20])
    likely = exact > np.log(0.05)
    assert np.abs(got["scores"][0] - exact)[likely].max() < 0.5
    assert len(got["greedy"][0]) == 20


@pytest.mark.parametrize(("name", "options"), [
    ("llama", {}), ("llama with biases", {"use_rslora": True}), ("qwen3", {"use_rslora": True}), ("qwen2", {}),
])  # fmt: skip
def test_a_lora_gguf_adds_what_peft_adds(folders, tmp_path, name, options):
    base = folders[name]
    adapter = save_adapter(tmp_path / "adapter", base, **options)
    tokenizer = AutoTokenizer.from_pretrained(base)
    ids = prompts_of(tokenizer, 1)[0]
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    before = log_probabilities(plain, ids)
    model = PeftModel.from_pretrained(plain, str(adapter)).eval()
    wanted = log_probabilities(model, ids)
    assert np.abs(wanted - before).max() > 0.1
    file = export_gguf(base, tmp_path / "base.gguf", dtype="f32")
    lora = export_gguf_lora(adapter, tmp_path / "lora.gguf")
    got = ask(file, tmp_path, lora=str(lora), score=[ids])
    assert np.abs(got["scores"][0] - wanted).max() < 1e-3


def test_a_merged_adapter_is_what_peft_computes_in_both_formats(folders, tmp_path):
    base = folders["llama"]
    adapter = save_adapter(tmp_path / "adapter", base, use_rslora=True)
    ids = prompts_of(AutoTokenizer.from_pretrained(base), 1)[0]
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    wanted = log_probabilities(PeftModel.from_pretrained(plain, str(adapter)).eval(), ids)
    merged = AutoModelForCausalLM.from_pretrained(export_hf(adapter, tmp_path / "hf"), dtype=torch.float32).eval()
    assert np.abs(log_probabilities(merged, ids) - wanted).max() < 1e-3
    got = ask(export_gguf(adapter, tmp_path / "m.gguf", dtype="f32"), tmp_path, score=[ids])
    assert np.abs(got["scores"][0] - wanted).max() < 1e-3
