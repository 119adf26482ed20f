"""`python -m training.starter`: make the bundled reasoner, from corpus to measured model card and GGUF.

Seeded and restartable: run the same command again after a stop and it goes on from the last saved step.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import safe_open
from tokenizers import Tokenizer

from training.core.types import HintType
from training.engine.models import resolve_model
from training.engine.torch_local import LocalTorchBackend
from training.errors import UserError
from training.evaluation.eval_dir import describe_suite, new_evaluation
from training.evaluation.metrics import metrics_of
from training.evaluation.plan import FROZEN, EvalPlan, Target
from training.evaluation.store_reader import StoreReader
from training.evaluation.suites.builder import held_out_problems
from training.evaluation.torch_evaluator import evaluate_folder, write_hints
from training.export.gguf_model import export_gguf
from training.prompt_files import COMPACT, built_in
from training.starter.pretrain import Pretraining, save_tokenizer, train_tokenizer
from training.starter.recipe import Recipe

CARD = """\
---
license: apache-2.0
language: en
library_name: transformers
tags: [seirenes, reasoning-robustness]
---

# The Seirênes starter

A {parameters:.2f}M-parameter Qwen3 decoder with a byte-level BPE tokenizer of {vocabulary} tokens, trained from
scratch by `python -m training.starter` on problems and hints that this repository generates. It plays both roles: it
solves word problems (arithmetic, ordering, calendar, clock), and on request writes hints of the four types.
It is made to be **accurate when nothing distracts it and fragile when something does**, so that self-play has
something to mend on two CPU cores. It knows nothing else.

## What it was shown

| share of examples | what |
|---|---|
| {clean_share:.0%} | problems alone, training phrasings |
| {drill_share:.0%} | look-up drills: names with numbers, repeated in another order |
| {request_share:.0%} | hints written on request, training templates, the four types evenly |
{hint_rows}

The Reasoner was shown no hint of any other type, and no placebo. {steps} steps of {batch} examples, seed {seed}.

## Measured

Greedy decoding, {problems} held-out problems in held-out phrasings, hints from held-out templates
(suite `{suite}`, hash `{suite_hash}`); 95% Wilson intervals, clustered by problem.
The command: `python -m training.starter --measure-only`.

| condition | accuracy | interval |
|---|---|---|
{accuracy_rows}

As Adversary, temperature 1: {gate_pass_rate:.1%} of its hints pass the gates; by type {types}.

## Limits

It is a teaching instrument: {parameters:.2f}M parameters, templated English, numbers of at most three digits.
Figures on it say how the method behaves, not how large models do.
"""


SEED = 2605


def measure(folder: Path, problems: int = 500) -> dict[str, Any]:
    """The figures of the card: accuracy on the frozen suite, and how many of its hints pass the gates."""
    suite = describe_suite(f"{FROZEN}{SEED}", problems)
    with TemporaryDirectory() as place:
        paths = new_evaluation(Path(place), EvalPlan((Target("starter", str(folder)),), (suite,)))
        if evaluate_folder(paths.root) != "finished":
            raise UserError(f"{folder} could not be evaluated. See the log above.")
        with StoreReader(paths.rows) as reader:
            metrics = metrics_of(reader.cells(), "starter", suite.name)
    backend = LocalTorchBackend(resolve_model(str(folder)))
    asked = held_out_problems(100, SEED + 1)
    hints, passed = write_hints(backend, asked, built_in(COMPACT), SEED)
    return {
        "model": str(folder), "suite": suite.name, "suite_hash": suite.digest, "problems": problems, "metrics": metrics,
        "gate_pass_rate": passed, "gate_by_type": {t: sum(k[1] is t for k in hints) / len(asked) for t in HintType},
    }  # fmt: skip


def write_card(folder: Path, recipe: Recipe, figures: dict[str, Any]) -> None:
    """README.md with the figures, and figures.json beside it."""
    metrics = figures["metrics"]
    rows = {"clean": metrics["clean"], "hinted, all types": metrics["hinted"], "placebo": metrics["placebo"]}
    rows |= {f"· {t.replace('_', ' ')}": r for t, r in metrics["by_type"].items()}
    shares, stories = recipe.hint_shares, 1 - recipe.drill_share
    with safe_open(folder / "model.safetensors", "numpy") as file:
        parameters = sum(file.get_tensor(name).size for name in file.keys())  # noqa: SIM118 - not a dict
    text = CARD.format(
        **(vars(recipe) | figures),
        vocabulary=recipe.architecture.vocabulary,
        parameters=parameters / 1e6,
        clean_share=stories * (1 - recipe.adversary_share),
        hint_rows="\n".join(
            f"| {stories * share:.1%}, in the last {1 - recipe.hints_from:.0%} of the steps only "
            f"| problems with a hint of *{t.replace('_', ' ')}* appended, training templates |"
            for t, share in shares.items()
        ),
        request_share=stories * recipe.adversary_share,
        accuracy_rows="\n".join(
            f"| {name} | {r['accuracy']:.3f} | {r['low']:.3f} to {r['high']:.3f} |" for name, r in rows.items()
        ),
        types=", ".join(f"{t.replace('_', ' ')} {v:.0%}" for t, v in figures["gate_by_type"].items()),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


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
        # The type that holds the stored weights exactly; the same weights give the same bytes.
        file = options.out / "starter-f16.gguf"
        export_gguf(options.out, file, dtype="f16", name="starter", force=True)
        print(f"wrote {file}", flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def train(recipe: Recipe, work: Path, out: Path, device: str) -> None:
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
    started = time.monotonic()

    def report(step: int, loss: float, tokens_per_s: float, left_s: float) -> None:
        minutes = (time.monotonic() - started) / 60
        speed = f"{tokens_per_s:,.0f} tokens/s  {minutes:.1f} min gone, {left_s / 60:.1f} left"
        print(f"step {step}/{recipe.steps}  loss {loss:.4f}  {speed}", flush=True)

    run.train(report)
    out.mkdir(parents=True, exist_ok=True)
    # Half the bytes of float32 and three more mantissa bits than bfloat16: small weights lose nothing that shows.
    run.model.to(torch.float16).save_pretrained(out)
    save_tokenizer(tokenizer, out)


if __name__ == "__main__":
    sys.exit(main())
