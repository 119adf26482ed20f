"""Tokens a second of our sampler and of `generate`, side by side in one run: `python tests/bench/bench_sampler.py`.

First both on the bundled model and on a larger one: prompts of 128 tokens, 64 new tokens, 16 samples a prompt. Then
ours against the number of rows, the length of prompts and the size of the model, with fewer tokens; `--full` runs
`generate` there, too. Nothing ends early. `generate` runs with its static cache, which is the faster one here. Models
are random but for the bundled one; `--sizes` and `--rows` choose. Trust the ratio, not the absolutes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from training.engine.base import SamplingParams
from training.engine.models import bundled_starter, load_causal_lm
from training.engine.sampler import Sampler

PROMPT, NEW, SAMPLES = 128, 64, 16
SIZES = {
    "0.87M": (128, 4, 4, 4, 32, 512, 148),
    "bundled": (),
    "5.8M": (256, 4, 8, 8, 32, 1024, 4096),
    "25M": (512, 8, 8, 4, 64, 1408, 4096),
    "135M": (576, 30, 9, 3, 64, 1536, 49_152),
}
"""Hidden size, layers, heads, heads of keys, their width, feed-forward size, vocabulary."""
GROWTH_NEW = {"25M": 8, "135M": 4}
"""New tokens of one measurement of growth, 16 if not here."""


def make_model(size: str) -> Any:
    """The bundled model, or a random Qwen3 decoder, that ends nowhere."""
    if size == "bundled":
        model: Any = load_causal_lm(bundled_starter(), torch.float32, torch.device("cpu"))
        model.generation_config.eos_token_id = None
        return model
    hidden, layers, heads, key_value_heads, head_dim, feed_forward, vocabulary = SIZES[size]
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        head_dim=head_dim,
        intermediate_size=feed_forward,
        tie_word_embeddings=True,
        max_position_embeddings=1024,
        eos_token_id=None,
    )
    return Qwen3ForCausalLM(config).eval()


def time_once(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(model: Any, rows: int, prompt: int, new: int, repeats: int, with_generate: bool) -> str:
    """One line: our rate, and that of `generate` with the ratio; the two take turns and meet the same machine."""
    vocabulary = model.config.vocab_size
    samples = min(SAMPLES, rows)
    prompts = torch.randint(2, vocabulary, (rows // samples, prompt), generator=torch.Generator().manual_seed(1))
    repeated = prompts.repeat_interleave(samples, 0)
    sampler = Sampler(model, frozenset({vocabulary}), 0)
    lists = [tuple(p) for p in prompts.tolist()]

    def run_ours(new: int = new) -> None:
        sampler.sample(lists, samples, SamplingParams(new, 1.0, 0))

    def run_generate(new: int = new) -> None:
        model.generate(
            repeated, max_new_tokens=new, min_new_tokens=new, do_sample=True, top_k=0, pad_token_id=0,
            cache_implementation="static",
        )  # fmt: skip

    sides = [run_ours, run_generate] if with_generate else [run_ours]
    for side in sides:
        side(2)
    times = zip(*([time_once(side) for side in sides] for _ in range(repeats)), strict=True)
    rates = [rows * new / statistics.median(each) for each in times]
    line = f"ours {rates[0]:>7,.0f} tokens/s"
    return line + (f"  generate {rates[1]:>7,.0f}  ratio {rates[0] / rates[1]:.2f}" if with_generate else "")


def compare(sizes: Sequence[str], rows: Sequence[int], repeats: int) -> None:
    """Both, on full lengths."""
    print(f"prompts of {PROMPT} tokens, {NEW} new tokens, {SAMPLES} samples a prompt")
    for size in sizes:
        model = make_model(size)
        for count in rows:
            # Of a larger model each call of `generate` takes up to half a minute.
            often = repeats if size in ("0.87M", "bundled") else min(repeats, 3 if count < 256 else 1)
            line = measure(model, count, PROMPT, NEW, often, with_generate=True)
            print(f"{size:>8}  {count:>3} rows  {line}  (median of {often})", flush=True)


def show_growth(full: bool) -> None:
    """Ours against rows, prompt length and model size."""
    print("growth (bundled model, 64 rows and prompts of 128 tokens where nothing else is said)")
    bundled = make_model("bundled")
    for rows in (16, 64, 128, 256, 512):
        print(f"  {rows:>4} rows    {measure(bundled, rows, PROMPT, 16, 1, full)}", flush=True)
    for prompt in (32, 128, 256, 480):
        print(f"  {prompt:>4} prompt  {measure(bundled, 64, prompt, 16, 1, full)}", flush=True)
    for size in SIZES:
        rows = 16 if size == "135M" else 64
        line = measure(make_model(size), rows, PROMPT, GROWTH_NEW.get(size, 16), 1, full)
        print(f"  {size:>8}  {rows} rows  {line}", flush=True)


def main() -> None:
    """The comparison, then growth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", nargs="*", default=["bundled", "5.8M"], choices=SIZES)
    parser.add_argument("--rows", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--full", action="store_true", help="run generate in the tables of growth, too")
    parser.add_argument("--no-growth", action="store_true", help="leave the tables of growth out")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    compare(options.sizes, options.rows, options.repeats)
    if not options.no_growth:
        show_growth(options.full)


if __name__ == "__main__":
    main()
