"""The engine on one GPU: does it agree with the CPU, how fast is it, what does it need: `python tests/bench/bench_gpu.py`.

Needs torch, transformers, peft and accelerate; trl is measured beside it where it can be imported. Models are random,
of Qwen3's shapes and vocabulary, with a LoRA adapter, in bfloat16. Completions never end early, so that every side does
the same work. Each part is a process of its own: what one of them runs out of, or breaks, costs no other part.
`--device cpu --tiny` runs all of it on a small model. Exit code 1: the device does not agree with the CPU.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

VOCABULARY = 151_936
LOGPROB_TOLERANCE = 1e-4
"""Largest difference of a token's log-probability in float32: sampler and trainer, device and CPU."""
LOSS_TOLERANCE = 1e-5
"""Difference of the loss in float32, whose terms are of the order of 1 a token."""
GRADIENT_TOLERANCE = 1e-3
"""|device − CPU| / |CPU| of the whole gradient in float32, Euclidean norms."""
RANK, ALPHA = 16, 32


@dataclass(frozen=True)
class Shape:
    """A Qwen3 decoder with tied embeddings."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    head_dim: int
    feed_forward: int


SHAPES = {
    "tiny": Shape(64, 2, 4, 2, 16, 128),
    "parity": Shape(256, 4, 8, 4, 64, 768),
    "0.6B": Shape(1024, 28, 16, 8, 128, 3072),
    "1.7B": Shape(2048, 28, 16, 8, 128, 6144),
}


@dataclass(frozen=True)
class Work:
    """How much is sampled and trained: prompts × samples rows of `prompt` + `new` tokens."""

    prompt: int
    new: int
    samples: int
    rows: tuple[int, ...]
    repeats: int
    micro_batch: int
    """Rows of one of TRL's micro-batches."""


GPU_WORK = Work(prompt=128, new=128, samples=16, rows=(64, 256), repeats=2, micro_batch=32)
TINY_WORK = Work(prompt=12, new=8, samples=8, rows=(16,), repeats=1, micro_batch=8)


def make_folder(folder: Path, shape: Shape, device: str, dtype: str) -> Path:
    """A model folder with random weights and a tokenizer of bytes, unless it is there already."""
    if (folder / "tokenizer.json").exists():
        return folder
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen3Config

    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=shape.head_dim,
        intermediate_size=shape.feed_forward,
        tie_word_embeddings=True,
        max_position_embeddings=4096,
        eos_token_id=0,
        pad_token_id=1,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(["<end>", "<pad>", *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>")
    fast.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    fast.save_pretrained(folder)
    return folder


def make_prompts(count: int, length: int, mixed: bool = True) -> list[tuple[int, ...]]:
    """Different prompts, the same each time, of `length` tokens, or of three quarters of it to all of it."""
    import torch

    made = torch.randint(2, 200, (count, length), generator=torch.Generator().manual_seed(1)).tolist()
    spread = max(1, length // 4) if mixed else 1
    return [tuple(prompt[: length - 5 * i % spread]) for i, prompt in enumerate(made)]


# ---------------------------------------------------------------------- one part, in its own process


class Meter:
    """Times work on a device and its peak memory, and emits a row of figures as soon as it is there."""

    def __init__(self, part: str, device: str) -> None:
        self.part, self.cuda = part, device == "cuda"

    def emit(self, measure: str, **figures: Any) -> None:
        print(json.dumps({"part": self.part, "measure": measure, **figures}), flush=True)

    @contextmanager
    def attempt(self, measure: str) -> Iterator[None]:
        """What fails in the block becomes a row; what follows runs with the memory freed."""
        import torch

        try:
            yield
        except (torch.OutOfMemoryError, MemoryError):
            self.emit(measure, error="out of memory")
        except Exception as error:  # noqa: BLE001 - whatever failed, the other figures are still wanted
            text = (str(error).strip().splitlines() or [""])[0]
            self.emit(measure, error=f"{type(error).__name__}: {text}"[:300])
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()

    def seconds(self, work: Callable[[], Any]) -> float:
        """Seconds of one call, with everything that it queued on the device."""
        self._wait()
        started = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.cuda:
            import torch

            torch.cuda.synchronize()

    def reset_peak(self) -> None:
        if self.cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()

    def peak_gb(self) -> float:
        """Peak since `reset_peak` of the GPU's memory in use; on a CPU that of the process's whole life."""
        if self.cuda:
            import torch

            return torch.cuda.max_memory_allocated() / 2**30
        try:
            import resource
        except ImportError:
            return 0.0
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30


def open_backend(folder: Path, device: str, dtype: str, tuning: str = "lora") -> Any:
    from training.engine.torch_local import LocalTorchBackend

    return LocalTorchBackend(
        folder, tuning=tuning, lora_rank=RANK, lora_alpha=ALPHA, device=device, dtype=dtype, threads=usable_threads()
    )  # fmt: skip


def usable_threads() -> int:
    from training.engine.models import available_cores

    return available_cores()


def run_parity(meter: Meter, folder: Path, device: str, tiny: bool) -> None:
    """The same rows on the CPU and on the device: log-probabilities, loss, gradient; then what bfloat16 costs."""
    import torch

    from training.engine.base import LossParams, SamplingParams, TrainRow

    make_folder(folder, SHAPES["tiny" if tiny else "parity"], "cpu", "float32")
    adapter = folder.with_name("parity-adapter")
    fresh = open_backend(folder, "cpu", "float32")
    torch.manual_seed(2)
    with torch.no_grad():
        # A fresh adapter multiplies by zeros, which would hide half of its gradient.
        for name, parameter in fresh.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    fresh.save(adapter)
    count, length = (4, 12) if tiny else (8, 48)
    prompts = make_prompts(count, length)
    params = SamplingParams(8 if tiny else 64, 1.0, 3)

    def gradient(backend: Any) -> torch.Tensor:
        return torch.cat([p.grad.flatten().float().cpu() for p in backend.model.parameters() if p.grad is not None])

    def rows_of(sampled: Any, shift: float = 0.0) -> list[TrainRow]:
        return [
            TrainRow(prompt, c.tokens, tuple(x + (shift if i % 2 else -shift) for i, x in enumerate(c.logprobs)), sign)
            for prompt, completions in zip(prompts, sampled, strict=True)
            for c, sign in zip(completions, (1.0, -0.5, 0.7, -1.2), strict=True)
        ]

    for tuning, source in (("lora", adapter), ("full", folder)):
        with meter.attempt(f"float32, {tuning}"):
            exact, ours = (open_backend(source, where, "float32", tuning) for where in ("cpu", device))
            sampled = ours.sample(prompts, 4, params)
            drawn_alike = exact.sample(prompts, 4, params)
            same = [
                a.tokens == b.tokens
                for x, y in zip(sampled, drawn_alike, strict=True)
                for a, b in zip(x, y, strict=True)
            ]
            gap = ours.forward_backward(rows_of(sampled), LossParams()).logprob_gap_max
            cpu_gap = exact.forward_backward(rows_of(sampled), LossParams()).logprob_gap_max
            for backend in (exact, ours):
                backend.model.zero_grad(set_to_none=True)
            # Off-policy with log-probabilities moved by 0.3, some tokens are clipped; with KL all terms of the loss count.
            loss = LossParams(kl=0.05, on_policy=False)
            stats = [backend.forward_backward(rows_of(sampled, 0.3), loss) for backend in (ours, exact)]
            mine, theirs = gradient(ours), gradient(exact)
            apart = float((mine - theirs).norm() / theirs.norm())
            loss_gap = abs(stats[0].loss - stats[1].loss)
            agrees = max(gap, cpu_gap) <= LOGPROB_TOLERANCE and loss_gap <= LOSS_TOLERANCE
            meter.emit(
                f"float32, {tuning}",
                agrees=agrees and apart <= GRADIENT_TOLERANCE,
                sampler_trainer_gap=gap,
                device_cpu_logprob_gap=cpu_gap,
                loss_gap=loss_gap,
                gradient_relative=apart,
                clipped=stats[0].clip_fraction,
                completions_alike=sum(same) / len(same),
            )
    with meter.attempt("bfloat16, lora"):
        exact, ours = open_backend(adapter, "cpu", "float32"), open_backend(adapter, device, "bfloat16")
        rows = rows_of(ours.sample(prompts, 4, params))
        trainer, reference = (backend.forward_backward(rows, LossParams()) for backend in (ours, exact))
        meter.emit(
            "bfloat16, lora",
            sampler_trainer_gap=trainer.logprob_gap_max,
            sampler_trainer_gap_mean=trainer.logprob_gap_mean,
            device_cpu_logprob_gap=reference.logprob_gap_max,
            device_cpu_logprob_gap_mean=reference.logprob_gap_mean,
        )


def run_model(meter: Meter, folder: Path, device: str, size: str, work: Work) -> None:
    """Sampling beside `generate`, then whole steps."""
    import torch

    from training.engine.base import LossParams, SamplingParams, TrainRow

    dtype = "bfloat16" if device == "cuda" else "float32"
    make_folder(folder, SHAPES[size], device, dtype)
    backend = open_backend(folder, device, dtype)
    for rows, mixed in [*((rows, True) for rows in work.rows), (work.rows[-1], False)]:
        measure = f"sample, {rows} rows, {'mixed' if mixed else 'equal'} lengths"
        prompts = make_prompts(rows // work.samples, work.prompt, mixed)
        padded = [(1,) * (work.prompt - len(prompt)) + prompt for prompt in prompts]
        repeated = torch.tensor(padded, device=device).repeat_interleave(work.samples, 0)

        def ours(new: int = work.new, prompts: Any = prompts) -> None:
            backend.sample(prompts, work.samples, SamplingParams(new, 1.0, 0))

        def generate(new: int = work.new, ids: torch.Tensor = repeated) -> None:
            with torch.inference_mode():
                backend.model.generate(
                    ids, attention_mask=(ids != 1).long(), max_new_tokens=new, min_new_tokens=new, do_sample=True,
                    top_k=0, pad_token_id=1,
                )  # fmt: skip

        times: dict[str, list[float]] = {"ours": [], "generate": []}
        peaks: dict[str, float] = {}
        for name, call in (("ours", ours), ("generate", generate)):
            with meter.attempt(f"{measure}, {name}"):
                call(4)
                meter.reset_peak()
                # Not in turns: each side's peak is its own.
                times[name] = [meter.seconds(call) for _ in range(work.repeats)]
                peaks[name] = meter.peak_gb()
        rates = {name: rows * work.new / statistics.median(each) for name, each in times.items() if each}
        if rates:
            ratio = {"ratio": rates["ours"] / rates["generate"]} if len(rates) == 2 else {}
            meter.emit(measure, tokens_per_s=rates, peak_gb=peaks, **ratio)

    rows = work.rows[-1]
    prompts = make_prompts(rows // work.samples, work.prompt)

    def step(seed: int) -> dict[str, float]:
        made: list[Any] = []
        seconds = {}
        seconds["sample"] = meter.seconds(
            lambda: made.extend(backend.sample(prompts, work.samples, SamplingParams(work.new, 1.0, seed)))
        )
        trained = [
            TrainRow(prompt, c.tokens, c.logprobs, 1.0 if i % 2 else -1.0)
            for prompt, completions in zip(prompts, made, strict=True)
            for i, c in enumerate(completions)
        ]
        seconds["forward_backward"] = meter.seconds(lambda: backend.forward_backward(trained, LossParams()))
        seconds["optim_step"] = meter.seconds(backend.optim_step)
        return seconds

    with meter.attempt(f"step, {rows} rows, all trained"):
        step(0)
        meter.reset_peak()
        steps = [step(1 + i) for i in range(work.repeats)]
        parts = {name: statistics.median(s[name] for s in steps) for name in steps[0]}
        meter.emit(
            f"step, {rows} rows, all trained",
            seconds=sum(parts.values()),
            seconds_of=parts,
            trained_tokens_per_s=rows * work.new / parts["forward_backward"],
            peak_gb={"ours": meter.peak_gb()},
        )


def run_trl(meter: Meter, folder: Path, device: str, size: str, work: Work) -> None:
    """Steps of TRL's GRPOTrainer: the same model, prompts and number of rollouts, sampled by `generate`."""
    rows = work.rows[-1]
    measure = f"step, {rows} rows, TRL"
    if importlib.util.find_spec("trl") is None:
        meter.emit(measure, skipped="trl is not installed")
        return
    with meter.attempt(measure):
        import torch
        import trl
        from datasets import Dataset
        from peft import LoraConfig
        from transformers import TrainerCallback

        make_folder(folder, SHAPES[size], device, "bfloat16" if device == "cuda" else "float32")
        times: list[float] = []

        class Clock(TrainerCallback):  # type: ignore[misc]
            """Notes when each step begins; reads memory of the steps after the first."""

            def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
                meter._wait()
                times.append(time.perf_counter())
                if len(times) == 2:
                    meter.reset_peak()

            def on_train_end(self, *args: Any, **kwargs: Any) -> None:
                meter._wait()
                times.append(time.perf_counter())

        def reward(completions: list[str], **kwargs: Any) -> list[float]:
            return [float(i % 2) for i in range(len(completions))]

        letters = "abcdefghijklmnopqrstuvwxyz"
        texts = ["".join(letters[token % 26] for token in p) for p in make_prompts(rows // work.samples, work.prompt)]
        accumulation = rows // work.micro_batch
        config = trl.GRPOConfig(
            output_dir=str(folder.with_name(f"trl-{size}")), num_generations=work.samples, temperature=1.0, beta=0.0,
            max_completion_length=work.new, per_device_train_batch_size=work.micro_batch,
            gradient_accumulation_steps=accumulation, steps_per_generation=accumulation, max_steps=1 + work.repeats,
            num_train_epochs=100, bf16=device == "cuda", use_cpu=device == "cpu", gradient_checkpointing=False,
            report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, learning_rate=1e-4,
            top_k=0, model_init_kwargs={"dtype": torch.bfloat16 if device == "cuda" else torch.float32},
        )  # fmt: skip
        trainer = trl.GRPOTrainer(
            str(folder), reward, config, Dataset.from_dict({"prompt": texts}), callbacks=[Clock()],
            peft_config=LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"),
        )  # fmt: skip
        trainer.train()
        lasted = [after - before for before, after in zip(times[1:], times[2:], strict=False)]
        peaks = {"TRL": meter.peak_gb()}
        meter.emit(measure, seconds=statistics.median(lasted), peak_gb=peaks, version=trl.__version__)


# ---------------------------------------------------------------------- all parts


def run_part(options: argparse.Namespace) -> None:
    """What `--part` names, into `--folder`."""
    kind, _, size = options.part.partition(":")
    meter = Meter(options.part, options.device)
    work = TINY_WORK if options.tiny else GPU_WORK
    if kind == "parity":
        meter.emit("environment", **environment(options.device))
        run_parity(meter, options.folder / "parity", options.device, options.tiny)
    else:
        {"model": run_model, "trl": run_trl}[kind](meter, options.folder / size, options.device, size, work)


def environment(device: str) -> dict[str, Any]:
    """The machine and the versions."""
    import peft
    import torch
    import transformers

    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
    return {"device": name, "python": platform.python_version(), "cuda": torch.version.cuda, **versions}


def collect(part: str, options: argparse.Namespace, folder: Path, left_s: float) -> list[dict[str, Any]]:
    """The rows of one part, run as a process; its end, if it was not a good one, is a row too."""
    if left_s < 5:
        skipped = {"part": part, "measure": "all", "skipped": f"no time left of {options.minutes:g} minutes"}
        print(describe(skipped), flush=True)
        return [skipped]
    command = [sys.executable, __file__, "--part", part, "--folder", str(folder), "--device", options.device]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        child = subprocess.Popen(
            [*command, *(["--tiny"] if options.tiny else [])],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
        )
        overdue = threading.Event()
        timer = threading.Timer(left_s, lambda: (overdue.set(), child.kill()))
        timer.start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                try:
                    found = json.loads(line)
                except ValueError:
                    continue
                if isinstance(found, dict) and "measure" in found:
                    rows.append(found)
                    print(describe(found), flush=True)
            code = child.wait()
        finally:
            timer.cancel()
            child.kill()
        if code:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or [""])[-1]
            reason = "stopped: no time left" if overdue.is_set() else f"exit code {code}: {last}"[:300]
            rows.append({"part": part, "measure": "all", "error": reason})
            print(describe(rows[-1]), flush=True)
    return rows


def describe(row: dict[str, Any]) -> str:
    """One line of the table."""
    head = f"{row['part']:<12} {row['measure']:<34} "
    if reason := row.get("error"):
        return f"{head}FAILED: {reason}"
    if reason := row.get("skipped"):
        return f"{head}not measured: {reason}"
    if row["measure"] == "environment":
        return head + "  ".join(str(row[key]) if key == "device" else f"{key} {row[key]}" for key in row if key not in ("part", "measure"))  # fmt: skip
    cells = []
    if "agrees" in row:
        cells.append("agrees" if row["agrees"] else "DIFFERS")
    names = {
        "sampler_trainer_gap": "sampler−trainer max", "sampler_trainer_gap_mean": "mean",
        "device_cpu_logprob_gap": "device−CPU max", "device_cpu_logprob_gap_mean": "mean", "loss_gap": "loss",
        "gradient_relative": "gradient",
    }  # fmt: skip
    cells += [f"{text} {row[key]:.1e}" for key, text in names.items() if key in row]
    cells += [f"{row[key]:.0%} {text}" for key, text in (("clipped", "clipped"), ("completions_alike", "drawn alike")) if key in row]  # fmt: skip
    cells += [f"{name} {rate:,.0f} tokens/s" for name, rate in row.get("tokens_per_s", {}).items()]
    if "ratio" in row:
        cells.append(f"ratio {row['ratio']:.2f}")
    if "seconds" in row:
        cells.append(f"{row['seconds']:.2f} s")
    cells += [f"{name} {seconds:.2f} s" for name, seconds in row.get("seconds_of", {}).items()]
    if "trained_tokens_per_s" in row:
        cells.append(f"trains {row['trained_tokens_per_s']:,.0f} tokens/s")
    cells += [f"peak {name} {gb:.2f} GB" for name, gb in row.get("peak_gb", {}).items()]
    return head + "  ".join(cells)


def main() -> None:
    """Every part, the table, the JSON file, and the answer whether the device agrees with the CPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help="auto: the GPU, if any")
    parser.add_argument("--tiny", action="store_true", help="a small model, little work")
    parser.add_argument("--sizes", nargs="+", default=["0.6B", "1.7B"], choices=["0.6B", "1.7B"])
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="parts that would run longer are stopped (default 8)"
    )
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        run_part(options)
        return
    deadline = time.monotonic() + 60 * options.minutes
    if options.device != "cpu":
        import torch

        if torch.cuda.is_available():
            options.device = "cuda"
        elif options.device == "cuda":
            sys.exit("This machine offers no CUDA device. Use --device cpu --tiny.")
        else:
            print("Skipped: no GPU was found. `--device cpu --tiny` runs all of it on a small model.")
            return
    sizes = ["tiny"] if options.tiny else options.sizes
    parts = ["parity", *(f"{kind}:{size}" for size in sizes for kind in ("model", "trl"))]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            rows += collect(part, options, Path(folder), deadline - time.monotonic())
            if options.json:
                # Written after each part, so that what ends this process early loses no figure.
                settings = {"device": options.device, "tiny": options.tiny, "sizes": sizes, "vocabulary": VOCABULARY}
                options.json.write_text(json.dumps({"settings": settings, "rows": rows}, indent=1) + "\n")
    for size in sizes:
        ours, trl = (
            next((r["seconds"] for r in rows if r["part"] == f"{kind}:{size}" and "seconds" in r), None)
            for kind in ("model", "trl")
        )
        if ours and trl:
            print(f"{size}: a whole step is {trl / ours:.1f} times as fast as TRL's, every row trained")
    checks = [
        row.get("agrees", False) for row in rows if row["part"] == "parity" and row["measure"].startswith("float32")
    ]
    sys.exit(0 if len(checks) == 2 and all(checks) else 1)


if __name__ == "__main__":
    main()
