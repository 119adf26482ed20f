"""How near training comes to the rate of its own matrix products: `python tests/bench/bench_update.py [--sizes ...]`.

Rows are 4 completions of 12 to 75 tokens after each prompt of 20 to 45, as the bundled model samples them; all carry an
advantage, the loss has no KL, one thread unless told otherwise. Floating-point operations that a `forward_backward`
needs, with N tokens laid out (a shared prompt once, a completion without its last token) and M predicted:

    3 · 2 · (N · Σ weights of the linear layers of all blocks + M · hidden · vocabulary
             + Σ layers · heads · head_dim · 2 · scores)
    scores: for each token laid out, the tokens it sees (itself, those before it in its completion, its prompt)

3 stands for forward, gradient of the input and gradient of the weight (of both factors, in attention). The rate of the
matrix products is that of `F.linear` forward and its two gradients, in float32, at the same shapes with as many tokens
as a micro-batch has, a product of each shape as often as the pass has it, in the same process. Rounds of both take
turns; the medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from training.engine import torch_local
from training.engine.base import LossParams, TrainRow
from training.engine.models import resolve_model
from training.engine.torch_local import LocalTorchBackend

SIZES = {"bundled": (192, 4, 6, 3, 32, 576), "5.8M": (256, 4, 8, 8, 32, 1024), "25M": (512, 8, 8, 4, 64, 1408)}
"""Hidden size, layers, heads, key-value heads, head dimension, feed-forward size; the bundled vocabulary."""
PROMPTS = {"bundled": 96, "5.8M": 48, "25M": 12}
"""Prompts of an update, 4 rows each: a second or two of work."""


def make_folder(size: str, folder: Path) -> Path:
    """The bundled model, or a random one with its tokenizer."""
    starter = resolve_model("starter")
    if size == "bundled":
        return starter
    hidden, layers, heads, kv_heads, head_dim, feed_forward = SIZES[size]
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=1536, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, head_dim=head_dim, intermediate_size=feed_forward, tie_word_embeddings=True,
        max_position_embeddings=512, eos_token_id=0, pad_token_id=1, bos_token_id=None,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(starter).save_pretrained(folder)
    return folder


def make_rows(prompts: int) -> list[TrainRow]:
    """The same rows each time."""
    generator = torch.Generator().manual_seed(1)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=generator))

    rows = []
    for _ in range(prompts):
        prompt = tuple(torch.randint(2, 1536, (number(20, 46),), generator=generator).tolist())
        usual = number(18, 40)
        for k in range(4):
            length = min(75, max(12, usual + number(-8, 12) + 25 * (number(0, 16) == 0)))
            tokens = tuple(torch.randint(2, 1536, (length,), generator=generator).tolist())
            rows.append(TrainRow(prompt, tokens, (-7.0,) * length, 1.0 if k % 2 else -1.0))
    return rows


def needed_flops(rows: list[TrainRow], size: str) -> tuple[float, int, int]:
    """The formula of the module's docstring, and its N and M."""
    hidden, layers, heads, kv_heads, head_dim, feed_forward = SIZES[size]
    weights = layers * hidden * (2 * (heads + kv_heads) * head_dim + 3 * feed_forward)
    prompts = {row.prompt for row in rows}
    own = [len(row.completion) - 1 for row in rows]
    laid_out = sum(map(len, prompts)) + sum(own)
    predicted = sum(len(row.completion) for row in rows)
    scores = sum(len(p) * (len(p) + 1) // 2 for p in prompts)
    scores += sum(n * len(row.prompt) + n * (n + 1) // 2 for n, row in zip(own, rows, strict=True))
    products = laid_out * weights + predicted * hidden * 1536 + layers * heads * head_dim * 2 * scores
    return 6.0 * products, laid_out, predicted


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call: of the processor where one thread works, so that other work on the machine counts less."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    started = clock()
    work()
    return clock() - started


def products(size: str, tokens: int, predicted: int) -> tuple[Callable[[], None], float]:
    """All `F.linear` of a micro-batch with their gradients, and their floating-point operations."""
    hidden, layers, heads, kv_heads, head_dim, feed_forward = SIZES[size]
    wide, narrow = heads * head_dim, kv_heads * head_dim
    shapes = [(hidden, wide), (hidden, narrow), (hidden, narrow), (wide, hidden), (hidden, feed_forward),
              (hidden, feed_forward), (feed_forward, hidden)] * layers  # fmt: skip
    cases = [
        (torch.randn(n, i), torch.randn(o, i), torch.randn(n, o))
        for n, i, o in [*((tokens, *shape) for shape in shapes), (predicted, hidden, 1536)]
    ]

    def work() -> None:
        for x, weight, slope in cases:
            functional.linear(x, weight)
            torch.mm(slope, weight)
            torch.mm(slope.t(), x)

    return work, sum(6.0 * x.numel() * len(weight) for x, weight, _ in cases)


def compare(size: str, repeats: int, packed: bool, tokens_at_once: int) -> None:
    """One line: both rates and their ratio."""
    if packed:
        torch_local.describe = lambda _: None
    if tokens_at_once:
        torch_local.MAX_BATCH_TOKENS["cpu"] = tokens_at_once
    rows = make_rows(PROMPTS[size])
    flops, laid_out, predicted = needed_flops(rows, size)
    with tempfile.TemporaryDirectory() as folder:
        backend = LocalTorchBackend(make_folder(size, Path(folder)), device="cpu", threads=torch.get_num_threads())
    batch = backend._token_budget()
    gemm, gemm_flops = products(size, min(batch, laid_out), min(batch, laid_out) * predicted // laid_out)

    def update() -> None:
        backend.forward_backward(rows, LossParams())
        for parameter in backend.model.parameters():
            parameter.grad = None

    pairs = [(timed(gemm), timed(update)) for _ in range(repeats + 1)][1:]
    gemm_s, update_s = (statistics.median(side) for side in zip(*pairs, strict=True))
    rate, best = flops / update_s / 1e9, gemm_flops / gemm_s / 1e9
    print(
        f"{size:<8} {len(rows):>3} rows, {laid_out:,} tokens, {batch:,} at once  update {rate:>5.1f}  "
        f"matrix products {best:>5.1f} GFLOP/s  {rate / best:.0%}  {laid_out / update_s:,.0f} tokens/s",
        flush=True,
    )


def main() -> None:
    """Every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--packed", action="store_true", help="the path of models that are not known")
    parser.add_argument("--tokens", type=int, default=0, help="tokens of a micro-batch; 0: what the backend chooses")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for size in options.sizes:
        compare(size, options.repeats, options.packed, options.tokens)


if __name__ == "__main__":
    main()
