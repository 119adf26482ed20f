"""`python -m training.starter`: make the bundled reasoner, from corpus to measured model card and GGUF.

Seeded and restartable: run the same command again after a stop and it goes on from the last saved step. With `--from`
it begins with a later phase, from the weights of a model that the phases before made.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tokenizers import Tokenizer

from training.engine.models import check_safetensors
from training.errors import UserError
from training.export.gguf_model import export_gguf
from training.starter.measure import measure
from training.starter.pretrain import Pretraining, save_tokenizer, train_tokenizer
from training.starter.recipe import Phase, Recipe

CARD = """\
---
license: apache-2.0
language: en
library_name: transformers
tags: [seirenes, reasoning-robustness]
---

# The Seirênes starter

A {parameters:.2f}M-parameter Qwen3 decoder with a byte-level BPE tokenizer of {vocabulary} tokens, trained by
`python -m training.starter` on problems, neutral text and hints that this repository generates. It plays both roles: it
solves word problems (arithmetic, ordering, calendar, clock), and on request writes hints of the four types.
It is made to be **accurate, indifferent to neutral text, able to use a fact that stands behind the question, and
fragile to pointed hints**, so that self-play has something to find and to mend on two CPU cores. It knows nothing else.

## What it was shown

Seed {seed}. {origin}

| phase | steps × examples | look-up drills | hints on request | problems | question moved | neutral text |
|---|---|---|---|---|---|---|
{phase_rows}

A moved question stands before the last sentence of its story. Neutral sentences stand before, in and behind a problem.
{loose}The Reasoner was shown no sentence of the hint language but a stranger's age, and no neutral sentence of the
held-out forms that placebos are made of.

## Measured

Greedy decoding, {problems} held-out problems in held-out phrasings; {draws} hints a problem, drawn uniformly from the
hint language (types and splits evenly), each with a placebo of its length; 95% intervals, clustered by problem.
The command: `python -m training.starter --measure-only`.

| condition | accuracy | interval | unreadable | truncated | rows |
|---|---|---|---|---|---|
{accuracy_rows}

| points lost | a hint | a placebo | the worst of {draws} hints | the worst of {draws} placebos |
|---|---|---|---|---|
{cost_rows}

By type the worst is that of {per_type}. As Adversary, at temperature 1:

| type | of the hint language | of the type | passes the gates |
|---|---|---|---|
{adversary_rows}

| goal | measured | interval | wanted | |
|---|---|---|---|---|
{goal_rows}

## Limits

It is a teaching instrument: {parameters:.2f}M parameters, templated English, numbers of at most three digits.
Figures on it say how the method behaves, not how large models do.
"""

FIGURES = "figures.json"


def write_card(folder: Path, recipe: Recipe, figures: dict[str, Any]) -> None:
    """README.md with the figures, and figures.json beside it."""
    with safe_open(folder / "model.safetensors", "numpy") as file:
        parameters = sum(file.get_tensor(name).size for name in file.keys())  # noqa: SIM118 - not a dict
    conditions = {
        "clean": figures["clean"], "needed": figures["needed"], "placebo": figures["placebo"],
        "hinted": figures["hinted"],
    }  # fmt: skip
    written = ("parsed", "of_type", "passed")
    costs = {"all types": figures["hints"], **{t.replace("_", " "): f for t, f in figures["by_type"].items()}}
    text = CARD.format(
        seed=recipe.seed, problems=figures["problems"], draws=figures["draws"],
        per_type=figures["draws"] // 4, vocabulary=recipe.architecture.vocabulary, parameters=parameters / 1e6,
        origin=describe_origin(figures["training"]),
        phase_rows="\n".join(_phase_row(i, phase) for i, phase in enumerate(recipe.phases, 1)),
        loose="".join(_loose_line(i, phase) for i, phase in enumerate(recipe.phases, 1) if phase.loose_share),
        accuracy_rows="\n".join(
            f"| {name} | {r['accuracy']:.3f} | {r['low']:.3f} to {r['high']:.3f} | {r['unreadable']:.1%} "
            f"| {r['truncated']:.1%} | {r['rows']:,} |"
            for name, r in conditions.items()
        ),
        cost_rows="\n".join(
            f"| {name} | {' | '.join(_points(f[k]) for k in ('cost', 'placebo_cost', 'worst', 'placebo_worst'))} |"
            for name, f in costs.items()
        ),
        adversary_rows="\n".join(
            f"| {t.replace('_', ' ')} | " + " | ".join(f"{f[k]['mean']:.1%}" for k in written) + " |"
            for t, f in figures["adversary"].items()
        ),
        goal_rows="\n".join(
            f"| {g['name']} | {g['mean']:.3f} | {g['low']:.3f} to {g['high']:.3f} "
            f"| {'at least' if g['at_least'] else 'at most'} {g['limit']} | {'reached' if g['holds'] else 'missed'} |"
            for g in figures["goals"]
        ),
    )  # fmt: skip
    (folder / "README.md").write_text(text, encoding="utf-8")
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _points(share: Mapping[str, float]) -> str:
    return f"{100 * share['mean']:.1f} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"


def _phase_row(number: int, phase: Phase) -> str:
    problems = 1 - phase.drill_share - phase.adversary_share
    shares = (phase.drill_share, phase.adversary_share, problems, phase.needed_share, phase.neutral_share)
    return f"| {number} | {phase.steps} × {phase.batch} | " + " | ".join(f"{s:.0%}" for s in shares) + " |"


def _loose_line(number: int, phase: Phase) -> str:
    return (
        f"In phase {number}, {phase.strange_share:.0%} of the neutral sentences were words in no order, "
        f"{phase.loose_share:.0%} of the others were put together of single words and phrases in place of whole\n"
        f"predicates, and {phase.short_share:.0%} of the transfer problems had no transfer.\n"
        + (
            f"In phase {number}, {phase.other_words_share:.0%} of the arithmetic problems were in other words than "
            "their families'.\n"
            if phase.other_words_share
            else ""
        )
    )


def describe_origin(training: Mapping[str, Any]) -> str:
    """Whose weights the phases began with, back to the first model; a model of this recipe that says nothing of it was
    begun with the second phase."""
    if not training.get("from"):
        return "All phases were trained by this recipe."
    begun = f"Phase {training.get('first', 2)} began with the weights of SHA-256 {training['from'][:16]}…"
    before = training.get("before")
    if before:
        return f"{begun}, a model of the phases before it. {describe_origin(before)}"
    return (
        f"{begun}, an earlier starter that stands for the first phase: the same problems and drills, fixed hint "
        "templates in place of the hint language, and in the last 5% of its steps 2% of the problems with a far fact "
        "behind them. Between the third and the fourth phase the hint language came to draw the problem's own words "
        "more often."
    )


def main() -> int:
    """Train, measure, export; 2 for a mistake the person can mend."""
    parser = argparse.ArgumentParser(prog="python -m training.starter", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("work/starter"), help="folder for what a restart needs")
    parser.add_argument("--out", type=Path, default=Path("resources/starter"), help="where the model goes")
    parser.add_argument(
        "--from", dest="start", type=Path, help="a model made by the phases before --phase, which are left out"
    )
    parser.add_argument("--phase", type=int, default=2, help="the first phase to train after --from (default: 2)")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 takes all cores")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--measure-only", action="store_true", help="measure the model in --out and write its card")
    parser.add_argument("--problems", type=int, default=200, help="held-out problems to measure on")
    parser.add_argument("--draws", type=int, default=32, help="hints of each problem to measure with")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        recipe = replace(Recipe(), seed=options.seed)
        if options.measure_only:
            training = _training_of(options.out)
        else:
            training = train(recipe, options.work, options.out, options.device, options.start, options.phase)
        print("measuring …", flush=True)
        figures = measure(options.out, options.problems, options.draws, threads=options.threads)
        print("\n".join(figures.pop("lines")), flush=True)
        write_card(options.out, recipe, {**figures, "training": training})
        # The type that holds the stored weights exactly; the same weights give the same bytes.
        file = options.out / "starter-f16.gguf"
        export_gguf(options.out, file, dtype="f16", name="starter", force=True)
        print(f"wrote {file}", flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _training_of(folder: Path) -> dict[str, Any]:
    """How the model in `folder` was trained, as its figures say."""
    try:
        found = json.loads((folder / FIGURES).read_text(encoding="utf-8")).get("training")
    except (OSError, ValueError):
        found = None
    return found if isinstance(found, dict) else {}


def train(recipe: Recipe, work: Path, out: Path, device: str, start: Path | None, phase: int = 2) -> dict[str, Any]:
    """Train to the last phase and save the model in `out`; returns what the card says of it.

    `start` is the folder of a model that stands for the phases before `phase`, which is counted from 1.
    """
    if not 1 <= phase <= len(recipe.phases):
        raise UserError(f"--phase {phase} is none of the {len(recipe.phases)} phases.")
    first = 0 if start is None else phase - 1
    work.mkdir(parents=True, exist_ok=True)
    weights, digest, before = None, "", {}
    if start is None:
        tokenizer_file = work / "tokenizer.json"
        if not tokenizer_file.exists():
            print("training the tokenizer …", flush=True)
            train_tokenizer(recipe).save(str(tokenizer_file))
    else:
        tokenizer_file, file = start / "tokenizer.json", start / "model.safetensors"
        check_safetensors(file)
        if not tokenizer_file.is_file():
            raise UserError(f"{start} has no tokenizer.json, so it is no starter. Name the folder of an earlier one.")
        weights, digest = load_file(file), hashlib.sha256(file.read_bytes()).hexdigest()
        before = {k: v for k, v in _training_of(start).items() if k != "recipe"}
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    run = Pretraining(recipe, tokenizer, work, device, first=first, start=weights)
    parameters = sum(p.numel() for p in run.model.parameters())
    if run.restore():
        print(f"continuing from phase {run.phase + 1}, step {run.step}, {run.how}", flush=True)
    else:
        for how, speed in run.choose_pass().items():
            print(f"{speed:>10,.0f} tokens/s  {how}", flush=True)
    print(f"{parameters / 1e6:.2f}M parameters, {tokenizer.get_vocab_size()} tokens, {run.how}", flush=True)
    started = time.monotonic()

    def report(step: int, loss: float, tokens_per_s: float, left_s: float) -> None:
        minutes = (time.monotonic() - started) / 60
        speed = f"{tokens_per_s:,.0f} tokens/s  {minutes:.1f} min gone, {left_s / 60:.1f} left in this phase"
        steps = recipe.phases[run.phase].steps
        print(f"phase {run.phase + 1} step {step}/{steps}  loss {loss:.4f}  {speed}", flush=True)

    run.train(report)
    out.mkdir(parents=True, exist_ok=True)
    # Half the bytes of float32 and three more mantissa bits than bfloat16: small weights lose nothing that shows.
    run.model.to(torch.float16).save_pretrained(out)
    save_tokenizer(tokenizer, out)
    return {
        "from": digest, "first": first + 1, "before": before, "numbers": str(run.how), "recipe": asdict(recipe),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
