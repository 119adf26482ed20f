"""`python -m training.starter`: make the bundled reasoner, from corpus to measured model card and GGUF.

Seeded and restartable: run the same command again after a stop and it goes on from the last saved step.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from training.errors import UserError
from training.export.gguf_model import export_gguf
from training.starter.card import measure, write_card
from training.starter.pretrain import Pretraining, save_tokenizer, train_tokenizer
from training.starter.recipe import Recipe


def main() -> int:
    """Train, measure, export; 2 for a mistake the person can mend."""
    parser = argparse.ArgumentParser(prog="python -m training.starter", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("work/starter"), help="folder for what a restart needs")
    parser.add_argument("--out", type=Path, default=Path("resources/starter"), help="where the model goes")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 takes all cores")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--measure-only", action="store_true", help="measure the model in --out and write its card")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        recipe = replace(Recipe(), steps=options.steps)
        if not options.measure_only:
            train(recipe, options.work, options.out, options.device)
        write_card(options.out, recipe, measure(options.out))
        print(f"wrote {write_gguf(options.out)}", flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def write_gguf(folder: Path) -> Path:
    """The reasoner for llama.cpp, in the type that holds the stored weights exactly; the same weights, the same bytes.

    `python -m training export --model FOLDER --to gguf --quantize f16 --out FILE --force` writes the same file.
    """
    return export_gguf(folder, folder / "starter-f16.gguf", dtype="f16", name="starter", force=True)


def train(recipe: Recipe, work: Path, out: Path, device: str) -> None:
    """Tokenizer, pre-training, Hugging Face files to `out`."""
    work.mkdir(parents=True, exist_ok=True)
    tokenizer_file = work / "tokenizer.json"
    if not tokenizer_file.exists():
        print("training the tokenizer …", flush=True)
        train_tokenizer(recipe).save(str(tokenizer_file))
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    run = Pretraining(recipe, tokenizer, work, device)
    parameters = sum(p.numel() for p in run.model.parameters())
    restored = f"continuing from step {run.step}" if run.restore() else "from scratch"
    print(f"{parameters / 1e6:.2f}M parameters, {tokenizer.get_vocab_size()} tokens, {restored}", flush=True)
    run.train(_report(recipe.steps))
    out.mkdir(parents=True, exist_ok=True)
    # Half the bytes of float32 and three more mantissa bits than bfloat16: small weights lose nothing that shows.
    run.model.to(torch.float16).save_pretrained(out)
    save_tokenizer(tokenizer, out)


def _report(steps: int):  # type: ignore[no-untyped-def]
    started = time.monotonic()

    def report(step: int, loss: float, tokens_per_s: float, left_s: float) -> None:
        minutes = (time.monotonic() - started) / 60
        print(
            f"step {step}/{steps}  loss {loss:.4f}  {tokens_per_s:,.0f} tokens/s  "
            f"{minutes:.1f} min gone, {left_s / 60:.1f} left",
            flush=True,
        )

    return report


if __name__ == "__main__":
    sys.exit(main())
