"""Tokens a second of our sampler and of `generate`, side by side in one run: `python tests/bench/bench_sampler.py`.

Random models, prompts of 128 tokens, 64 new tokens, 16 samples a prompt, nothing ends early. Trust the ratio, not
the absolutes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from training.engine.base import SamplingParams
from training.engine.sampler import Sampler

PROMPT, NEW, SAMPLES = 128, 64, 16
SIZES = {"0.87M": (128, 4, 4, 512, 148), "2.1M": (192, 6, 3, 576, 1536), "5.8M": (256, 8, 8, 1024, 4096)}


def make_model(hidden: int, heads: int, key_value_heads: int, feed_forward: int, vocabulary: int) -> Qwen3ForCausalLM:
    """A random Qwen3 decoder of four layers."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=4,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        head_dim=32,
        intermediate_size=feed_forward,
        tie_word_embeddings=True,
        max_position_embeddings=512,
        eos_token_id=None,
    )
    return Qwen3ForCausalLM(config).eval()


def time_once(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(name: str, batch: int, repeats: int) -> None:
    """One line: both rates and their ratio, the two taking turns so that both meet the same machine."""
    model = make_model(*SIZES[name])
    vocabulary = model.config.vocab_size
    prompts = torch.randint(2, vocabulary, (batch // SAMPLES, PROMPT))
    rows = prompts.repeat_interleave(SAMPLES, 0)
    ours = Sampler(model, frozenset({vocabulary}), 0)
    lists = [tuple(p) for p in prompts.tolist()]

    def run_generate() -> None:
        model.generate(rows, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=True, top_k=0, pad_token_id=0)

    def run_ours() -> None:
        ours.sample(lists, SAMPLES, SamplingParams(NEW, 1.0, 0))

    pairs = [(time_once(run_generate), time_once(run_ours)) for _ in range(repeats + 1)][1:]
    theirs_s, ours_s = (statistics.median(side) for side in zip(*pairs, strict=True))
    tokens = batch * NEW
    print(
        f"{name:>6}  batch {batch:>3}  generate {tokens / theirs_s:>7,.0f}  ours {tokens / ours_s:>7,.0f} tokens/s  "
        f"ratio {theirs_s / ours_s:.2f}",
        flush=True,
    )


def main() -> None:
    """Every size at every batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in SIZES:
        for batch in (64, 256):
            compare(name, batch, options.repeats)


if __name__ == "__main__":
    main()
