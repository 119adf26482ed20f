"""Tiny random models of each exported architecture, each with a tokenizer of its own kind."""

import json
import os
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

ROOT = Path(__file__).resolve().parents[2]

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PATTERN = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEMPLATE = "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>{% endfor %}"
TEXT = """Mia has 12 apples and 7 pears; she doesn't eat them, they're Tom's. How many are left in 2026, 1234567?
  He'll say: "I've got 3.5% of it" - it's 99 + 100 = 199!\n\n\tWe'd better count again, I'M sure. Größe naïve 東京 мир
def f(x):\n    return x ** 2  # 0000 111 22\r\n"""
SIZES = dict(
    vocab_size=640, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.15, eos_token_id=1, pad_token_id=2,
)  # fmt: skip
ROPE = {"rope_theta": 10000.0}


def make_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that cuts text as `kind` does: gpt-2, qwen2, llama-3, llama-3-merges, smollm."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama-3"))
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = r"\p{N}" if kind == "qwen2" else r"\p{N}{1,3}"
    cut = pre_tokenizers.Split(Regex(PATTERN % digits), "isolated")
    steps = {"gpt-2": [gpt2], "smollm": [pre_tokenizers.Digits(individual_digits=True), gpt2]}
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps.get(kind, [cut, bytes_only]))
    tokenizer.decoder = decoders.ByteLevel()
    if kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    special = ["<|bos|>", "<|end|>", "<|pad|>", "<|start|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    tokenizer.train_from_iterator(TEXT.splitlines(keepends=True) + TEXT.split() * 3, trainer)
    tokenizer.add_tokens(["<tool>"])
    names = {"eos_token": "<|end|>", "pad_token": "<|pad|>"}
    if kind.startswith("llama-3"):
        names["bos_token"] = "<|bos|>"
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|bos|> $A", pair="<|bos|> $A <|bos|> $B", special_tokens=[("<|bos|>", 0)]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, additional_special_tokens=["<|start|>"], **names
    )
    fast.chat_template = TEMPLATE
    return fast


def make_config(kind: str, **options):
    """A small configuration of qwen3, qwen2 or llama."""
    settings = {**SIZES, "rope_parameters": ROPE, **options}
    if kind == "qwen3":
        return Qwen3Config(**{"head_dim": 32, **settings})
    return {"qwen2": Qwen2Config, "llama": LlamaConfig}[kind](**settings)


def generated_texts(count, seed=26):
    """Strings that mix words, numbers, apostrophes, all kinds of space, newlines, special tokens, and any Unicode."""
    rng = random.Random(seed)
    pieces = ["'s", "'S", "'ll", "'re", "'", "’s", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u2009",
              "\u3000", "\u0085", "\u200b", "<|end|>", "<|start|>", "<|user|>", "<tool>", "<|", "½", "Ⅷ", "٣", "e\u0301",
              "한국", "👩‍🚀", "مرحبا", "дом", "Größe", "नमस्ते", "ไทย", "三个苹果", "りんご", "_", "...", "\x00", "\ufeff"]  # fmt: skip

    def piece():
        kind = rng.randrange(6)
        if kind == 0:
            return str(rng.randrange(10 ** rng.randrange(1, 9)))
        if kind == 1:
            return rng.choice(TEXT.split())
        if kind == 2:
            code = rng.choice([rng.randrange(0x3000), rng.randrange(0x110000)])
            # Characters of the newest Unicode are letters for one tokenizer's tables and nothing for another's.
            return "?" if unicodedata.category(chr(code)) in ("Cs", "Cn") else chr(code)
        return rng.choice(pieces)

    made = ("".join(piece() for _ in range(rng.randrange(1, 14))) for _ in range(count))
    # GGUF has no place for Qwen's normaliser: what is compared is text in NFC, as nearly all text is.
    return [unicodedata.normalize("NFC", text) for text in made]


def save_model(folder: Path, kind: str, tokenizer: str, *, shard: str | None = None, **options) -> Path:
    """A random model, all its biases and norms away from their trivial starts, with its tokenizer, in `folder`."""
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(make_config(kind, **options))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    make_tokenizer(tokenizer).save_pretrained(folder)
    return folder


def change_model(folder: Path, *, dtype=None, ends=None, pad=True, template=TEMPLATE, special=()) -> Path:
    """Change a saved model: its number type, the end tokens that it lists, no pad token, another template or none,
    more special tokens."""
    if dtype is not None:
        AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    config = AutoConfig.from_pretrained(folder)
    if not pad:
        tokenizer.pad_token = None
        config.pad_token_id = None
    if ends is not None:
        GenerationConfig(eos_token_id=ends).save_pretrained(folder)
    tokenizer.add_tokens([AddedToken(text, special=True) for text in special], special_tokens=True)
    tokenizer.chat_template = template
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    config.save_pretrained(folder)
    return folder


def session_answers(model: Path, **asked) -> dict:
    """What `session_child` answers about a GGUF."""
    child = Path(__file__).with_name("session_child.py")
    request = json.dumps({"model": str(model), **asked})
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, child], input=request, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def save_adapter(folder: Path, base: Path, **options) -> Path:
    """A LoRA adapter with random matrices on every linear layer of the blocks of `base`."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(8)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | options
    peft_model = get_peft_model(model, LoraConfig(**settings))
    with torch.no_grad():
        for name, parameter in peft_model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    for config in peft_model.peft_config.values():
        config.base_model_name_or_path = str(base)
    peft_model.save_pretrained(folder)
    return folder
