"""A whole step beside TRL's GRPOTrainer: the bundled model, the same prompts, rewards and thread count, one run.

    python tests/bench/bench_step.py [--trl-python PYTHON] [--trl-batch 64] [--trl-repeats 1] [--repeats 5]

A step is `clean_rl` with 768 rollouts: 192 questions, 4 solutions each, temperature 1, at most 128 new tokens; it ends
with one optimiser step. "as run" trains the groups whose rewards differ, which is all that can teach anything; TRL
trains all rows in either case. "every row" rewards every second solution, so that we train all rows too. Each side is a
process of its own; its memory is the peak of its resident set, as a whole and above what it held after its imports.
Where PYTHON has `trl`, both run there: what else is installed is imported too, scipy for one by transformers.
Ours is the median of `--repeats` steps. TRL's step is timed from `on_step_begin` to `on_step_end`, which leaves its
set-up out. Seconds are given by the clock and of the processor (all threads of the process): on a machine that others
use as well, compare the latter. Without `trl` in PYTHON only ours is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

QUESTIONS, SAMPLES, NEW, RATE = 192, 4, 128, 1e-6
"""The learning rate is small, so that completions keep their length over the repeats."""
SETTINGS = [
    "mode=clean_rl", "rollout.questions=32", f"rollout.clean={SAMPLES}", "rollout.temperature=1",
    f"rollout.max_solution_tokens={NEW}", f"update.learning_rate={RATE}", "update.warmup_steps=0",
]  # fmt: skip


def resident_mb() -> float:
    """Resident set now."""
    import psutil

    return psutil.Process().memory_info().rss / 2**20


def peak_mb() -> float:
    """Largest resident set so far."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (2**20 if sys.platform == "darwin" else 2**10)


def run_ours(every_row: bool, repeats: int, threads: int) -> dict[str, Any]:
    """Steps of `SelfPlay` on the local backend, the first one left out."""
    from training.core.answers import AnswerGrader
    from training.core.archive import HintArchive
    from training.core.curriculum import MasteryPool
    from training.engine.models import resolve_model
    from training.engine.torch_local import LocalTorchBackend
    from training.problem_files import make_problems
    from training.runs.config import from_dict, parse_overrides
    from training.selfplay import SelfPlay, StepResult

    class Quiet:
        def stage(self, name: str, done: int, total: int) -> None:
            pass

        def cancelled(self) -> bool:
            return False

    class EveryRow(SelfPlay):
        def _pay(self, result: StepResult) -> None:
            for round_ in result.rounds:
                for k, rollout in enumerate(round_.clean):
                    rollout.reward = float(k % 2)

    imported = resident_mb()
    config = from_dict(parse_overrides(SETTINGS), "bench")
    problems = make_problems(config.data)
    backend = LocalTorchBackend(
        resolve_model("starter"), device="cpu", threads=threads, learning_rate=RATE, warmup_steps=0
    )
    pool = MasteryPool([p.id for p in problems])
    loop = (EveryRow if every_row else SelfPlay)(
        config, backend, pool, {p.id: p for p in problems}, HintArchive(), AnswerGrader(), Quiet()
    )
    seconds, used, stages, rows, tokens = [], [], [], 0, 0
    for repeat in range(repeats + 1):
        started, cpu = time.perf_counter(), time.process_time()
        result = loop.step()
        lasted, cpu = time.perf_counter() - started, time.process_time() - cpu
        rollouts = [x for r in result.rounds for x in r.clean]
        assert len(rollouts) == QUESTIONS * SAMPLES
        if repeat:
            seconds.append(lasted)
            used.append(cpu)
            stages.append(result.seconds)
        rows = sum(x.trained for x in rollouts)
        tokens = sum(len(x.completion.tokens) for x in rollouts)
    return {
        "seconds": statistics.median(seconds), "spread": [min(seconds), max(seconds)], "cpu": statistics.median(used),
        "sampling": statistics.median(s["r1"] for s in stages), "update": statistics.median(s["update"] for s in stages),
        "rows": rows, "tokens": tokens, "peak_mb": peak_mb(), "imported_mb": imported,
    }  # fmt: skip


def run_trl(batch: int, repeats: int, threads: int) -> dict[str, Any]:
    """Optimiser steps of a GRPOTrainer over the same questions; rewards by the same grader."""
    import torch
    import trl
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

    from training.core.answers import AnswerGrader
    from training.core.prompts import reasoner_messages
    from training.engine.chat_tokenizer import ChatTokenizer
    from training.engine.models import resolve_model
    from training.problem_files import make_problems
    from training.runs.config import from_dict, parse_overrides, profile_of

    torch.set_num_threads(threads)
    imported = resident_mb()
    config = from_dict(parse_overrides(SETTINGS), "bench")
    problems = make_problems(config.data)[:QUESTIONS]
    folder, profile, grader = resolve_model("starter"), profile_of(config), AnswerGrader()
    codec = ChatTokenizer(folder)
    prompts = [codec.encode_chat(reasoner_messages(p.question, profile), profile.template) for p in problems]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [tokenizer.decode(ids) for ids in prompts]
    assert [tuple(tokenizer(text)["input_ids"]) for text in texts] == [tuple(ids) for ids in prompts]
    tokens = 0

    def reward(completions: list[str], number: list[int], completion_ids: list[list[int]], **_: Any) -> list[float]:
        nonlocal tokens
        tokens = sum(len(ids) for ids in completion_ids)
        graded = [grader.grade(t, problems[n], truncated=False) for t, n in zip(completions, number, strict=True)]
        return [float(g.outcome == "right") for g in graded]

    seconds: list[float] = []
    used: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            seconds.append(-time.perf_counter())
            used.append(-time.process_time())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            seconds[-1] += time.perf_counter()
            used[-1] += time.process_time()

    accumulation = QUESTIONS * SAMPLES // batch
    with tempfile.TemporaryDirectory() as out:
        settings = trl.GRPOConfig(
            output_dir=out, num_generations=SAMPLES, max_completion_length=NEW, temperature=1.0, top_k=0, beta=0.0,
            per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation,
            steps_per_generation=accumulation, max_steps=repeats, learning_rate=RATE, use_cpu=True, bf16=False,
            gradient_checkpointing=False, report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer = trl.GRPOTrainer(
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), reward, settings,
            Dataset.from_dict({"prompt": texts, "number": list(range(QUESTIONS))}),
            processing_class=tokenizer, callbacks=[Clock()],
        )  # fmt: skip
        trainer.train()
    assert len(seconds) == repeats == trainer.state.global_step
    return {
        "seconds": statistics.median(seconds), "cpu": statistics.median(used), "rows": QUESTIONS * SAMPLES,
        "tokens": tokens, "peak_mb": peak_mb(), "imported_mb": imported, "version": trl.__version__,
    }  # fmt: skip


def start(python: str, side: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """The figures of one side, from a process of its own; None if that process failed."""
    arguments = ["--side", side, "--threads", str(options.threads), "--repeats", str(options.repeats),
                 "--trl-repeats", str(options.trl_repeats), "--trl-batch", str(options.trl_batch)]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, __file__, *arguments], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    if done.returncode:
        print(f"{side} failed: {(done.stderr.strip().splitlines() or ['no output'])[-1]}", flush=True)
        return None
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def has_trl(python: str) -> bool:
    """Whether `trl` can be imported there."""
    return subprocess.run([python, "-c", "import trl"], capture_output=True, check=False).returncode == 0


def describe(name: str, found: dict[str, Any]) -> str:
    """One line of the table."""
    parts = f"  sampling {found['sampling']:.2f}, update {found['update']:.2f}" if "sampling" in found else ""
    return (
        f"{name:<22} {found['seconds']:>7.2f} s, processor {found['cpu']:>6.2f} s  {found['rows']:>3} rows trained, {found['tokens']:,} tokens sampled  "
        f"peak {found['peak_mb']:,.0f} MB, {found['peak_mb'] - found['imported_mb']:,.0f} above the imports{parts}"
    )


def main() -> None:
    """Both sides, the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--trl-python", default=sys.executable, help="an interpreter that has trl and what training needs"
    )
    parser.add_argument("--trl-batch", type=int, default=64, help="rows of one of TRL's micro-batches")
    parser.add_argument("--trl-repeats", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-trl", action="store_true", help="ours only")
    parser.add_argument("--side", choices=("as-run", "every-row", "trl"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side == "trl":
        print(json.dumps(run_trl(options.trl_batch, options.trl_repeats, options.threads)))
        return
    if options.side:
        print(json.dumps(run_ours(options.side == "every-row", options.repeats, options.threads)))
        return
    ours = {}
    print(f"one warm-up and {options.repeats} steps of each kind, then TRL's where it is there", flush=True)
    trl_there = not options.no_trl and has_trl(options.trl_python)
    for side in ("as-run", "every-row"):
        ours[side] = found = start(options.trl_python if trl_there else sys.executable, side, options)
        if found:
            print(describe(f"ours, {side.replace('-', ' ')}", found), flush=True)
    theirs = None
    if not trl_there:
        print("TRL was not measured: give an interpreter that has it with --trl-python.")
    else:
        theirs = start(options.trl_python, "trl", options)
    if theirs:
        print(describe(f"TRL {theirs['version']}, batch {options.trl_batch}", theirs), flush=True)
        for side, found in ours.items():
            if found:
                above = [x["peak_mb"] - x["imported_mb"] for x in (theirs, found)]
                print(
                    f"{side.replace('-', ' ')}: {theirs['seconds'] / found['seconds']:.1f} times as fast as TRL by the "
                    f"clock, {theirs['cpu'] / found['cpu']:.1f} by the processor, "
                    f"{found['peak_mb'] / theirs['peak_mb']:.2f} of its memory, {above[1] / above[0]:.2f} above the imports"
                )
    sys.exit(0 if all(ours.values()) else 1)


if __name__ == "__main__":
    main()
