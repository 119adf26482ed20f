"""Estimates against runs: time of the whole run, and memory at its peak; by two dry steps, and by the guess.

    python tests/bench/bench_estimate.py [--all] [--steps 4]

For each model: estimate from the configuration, play two dry steps and estimate again, run the real thing, and play two
dry steps once more where they are short, all one after the other on the same cores. A ratio is estimate over run; within
20% passes, for time with the mean of the two estimates by steps. The guess is shown beside it. By default the bundled
model and a random one of 25 million parameters; --all adds SmolLM2-135M-Instruct with LoRA.
"""

import argparse
import gc
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from seirenes_app.services.dry_run import measure_run
from seirenes_app.services.estimate import estimate_memory, estimate_time
from seirenes_app.store.resources import starter_folder
from training.runs.config import EvalConfig, ModelConfig, RolloutConfig, RunConfig, Tuning
from training.runs.events import EventTail
from training.runs.paths import new_run
from training.runs.processes import start_trainer

WITHIN = 0.2
LONG_S = 60.0  # two steps that take longer are not played once more


def make_25m(folder):
    """A random qwen3 model of 25 million parameters with the bundled model's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shutil.copytree(starter_folder(), folder, ignore=shutil.ignore_patterns("*.safetensors", "manifest.json"))
    config = AutoConfig.from_pretrained(folder)
    for name, value in dict(hidden_size=512, intermediate_size=1536, num_hidden_layers=8, num_attention_heads=8,
                            num_key_value_heads=4, head_dim=64).items():  # fmt: skip
        setattr(config, name, value)
    config.layer_types = ["full_attention"] * config.num_hidden_layers
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    gc.collect()


def cases(folder, steps, everything):
    yield (
        "bundled, 2M",
        RunConfig(
            "bundled",
            steps=steps,
            rollout=RolloutConfig(questions=12),
            evaluation=EvalConfig(every=steps // 2, problems=48),
        ),
    )
    make_25m(folder / "qwen3-25m")
    yield "random, 25M", RunConfig(
        "random", steps=steps, model=ModelConfig(path=str(folder / "qwen3-25m"), prompts="compact"),
        rollout=RolloutConfig(questions=4, clean=4, hints=2, hinted=2, max_solution_tokens=48, max_hint_tokens=24),
        evaluation=EvalConfig(every=0, problems=6, max_new_tokens=48),
    )  # fmt: skip
    if everything:
        from helpers.smollm2 import cached, find_gguf

        model = cached(find_gguf()) / "hf"
        yield "SmolLM2, 135M, LoRA", RunConfig(
            "smollm2", steps=max(3, steps // 2), model=ModelConfig(path=str(model), tuning=Tuning.LORA),
            rollout=RolloutConfig(questions=2, clean=2, hints=2, hinted=1, max_solution_tokens=24, max_hint_tokens=12),
            evaluation=EvalConfig(every=0, problems=4, max_new_tokens=16),
        )  # fmt: skip


def play(config, runs):
    """Seconds and peak MiB of the run, by the trainer's own process."""
    paths, began = new_run(runs, config), time.monotonic()
    pid = start_trainer(paths, detached=False)
    _, status = os.waitpid(pid, 0)
    seconds = time.monotonic() - began
    assert status == 0, paths.log.read_text()[-2000:]
    events = EventTail(paths.events).poll()
    return seconds, max(e.data.get("peak_mb") or e.data.get("metrics", {}).get("peak_mb") or 0 for e in events), events


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--only", default="", help="cases whose name begins with this")
    options = parser.parse_args()
    print(f"{'':22}{'run':>18}{'by two steps':>20}{'ratios':>14}      {'guess':>18}{'ratios':>14}")
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, config in cases(Path(folder), options.steps, options.all):
            if not name.startswith(options.only):
                continue
            print(f"{name}: two dry steps, the run, two dry steps", flush=True)
            guess = estimate_time(config).seconds, estimate_memory(config).megabytes
            began = time.monotonic()
            before, measured = by_steps(config, Path(folder) / "runs")
            took = time.monotonic() - began
            *real, events = play(config, Path(folder) / "runs")
            # A machine that others use as well is not equally fast all the time.
            after, _ = by_steps(config, Path(folder) / "runs") if took < LONG_S else (before, None)
            found = (before[0] + after[0]) / 2, before[1]
            ratios = [a / b for a, b in zip(found, real, strict=True)]
            passed = all(abs(ratio - 1) <= WITHIN for ratio in ratios)
            missed += not passed
            guesses = [a / b for a, b in zip(guess, real, strict=True)]
            print(
                f"{name:22}{_pair(real):>18}{_pair(found):>20}{_ratios(ratios):>14} {'pass' if passed else 'MISS'} "
                f"{_pair(guess):>18}{_ratios(guesses):>14}   (two steps take {took:.0f} s; before and after "
                f"they say {before[0]:.0f} and {after[0]:.0f} s)", flush=True,
            )  # fmt: skip
            if os.environ.get("VERBOSE"):
                print(measured)
                for e in events:
                    if e.kind in ("step", "eval", "launch", "checkpoint"):
                        m = e.data.get("metrics", {})
                        print(
                            e.kind,
                            e.data["active_s"],
                            {
                                k: m.get(k)
                                for k in m
                                if k.startswith("second")
                                or k in ("rows_trained", "rollouts_total", "peak_mb", "rss_mb")
                            },
                            e.data.get("peak_mb"),
                            e.data.get("rss_mb"),
                        )
    return missed


def by_steps(config, runs):
    """The estimate by two dry steps, seconds and MiB, and the measurement."""
    measured = measure_run(config, runs)
    time_, memory = estimate_time(config, measured=measured), estimate_memory(config, measured=measured)
    return (time_.seconds, memory.megabytes), measured


def _pair(figures):
    return f"{figures[0]:.1f} s {figures[1]:,.0f} MB"


def _ratios(ratios):
    return " ".join(f"{ratio:.2f}" for ratio in ratios)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
