"""Find a model folder, choose device, type and threads, and load it.

Only what is on this machine: a missing one fails at once, the network is never asked. Refuses pickled weights, remote
code, damaged files, and architectures whose memory is not a plain key-value cache.
"""

import json
import math
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")

import psutil
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from training.errors import UserError
from training.memory import available
from training.model_names import locate_folder
from training.resources import resources_folder

STARTER = "starter"
"""The name of the bundled reasoner."""

TRIAL_S = 0.12
"""Seconds of measuring for one thread count; with the few counts tried it stays near half a second."""
MIN_GAIN = 1.1
"""A larger count must be this much faster: a core more is a core less for the window and the person."""
LARGE_PARAMETERS = 500_000_000
"""From here on memory and the time to read weights weigh more than rounding, and bfloat16 is tried on a CPU."""
BFLOAT16_GAIN = 1.5
"""bfloat16 products must be this much faster than float32 ones."""
SLOWER_BY = 2.0
"""An explicit number type is warned of where the other one is faster by this."""
_ATTENTION_LAYERS = {"full_attention", "sliding_attention"}
_REMEDY = "Give model.path = 'starter', or a folder that holds config.json, model.safetensors and the tokenizer files."

transformers_logging.disable_progress_bar()


def bundled_starter() -> Path:
    """Folder of the bundled reasoner; it need not exist."""
    return resources_folder() / "starter"


def resolve_model(name: str | Path) -> Path:
    """Folder of the model `name`: 'starter', a folder, or a hub id in the Hugging Face cache.

    The network is never asked: a UserError is raised at once for anything else.
    """
    if str(name) != STARTER:
        return locate_folder(name)
    folder = bundled_starter()
    if not folder.is_dir():
        raise UserError(f"The bundled starter model was not found: there is no folder {folder}. {_REMEDY}")
    return locate_folder(folder)


def choose_device(device: str) -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU. A device this machine lacks is a UserError."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = device.partition(":")[0]
    if not there.get(kind, False):
        raise UserError(f"model.device is {device!r}, which this machine does not offer. Use 'auto' or 'cpu'.")
    return torch.device(device)


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on CUDA and float32 elsewhere."""
    names = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if dtype not in names:
        raise UserError(f"model.dtype is {dtype!r}. Allowed: auto, float32, bfloat16.")
    return names[dtype]


@dataclass(frozen=True)
class NumberType:
    """What a run computes in, and the speed in GFLOP/s by type where that was measured."""

    name: str
    gflops: dict[str, float] = field(default_factory=dict)

    @property
    def faster(self) -> str | None:
        """The other type, where it was measured to be faster by `SLOWER_BY` or more."""
        rates = self.gflops
        return next((other for other in rates if rates[other] >= SLOWER_BY * rates.get(self.name, math.inf)), None)


def choose_number_type(asked: str, device: torch.device, folder: Path, kept: str | None = None) -> NumberType:
    """The number type of a training run on the model in `folder`; `kept` is the one that it has begun with.

    `auto` on a CPU is float32, unless the model is large and bfloat16 products are clearly faster on this machine. For
    small models it is float32 without measuring: there, bfloat16 makes a step no faster even where its products are
    (the bundled model: training 1.5 times as fast, sampling 1.3 times as slow), and sampler and trainer differ by up to
    0.2 nats a token in place of 1e-5. So the same small run has the same numbers on every machine. An explicit type is
    obeyed, and measured where it can be a mistake.
    """
    if asked == "auto" and kept is not None:
        return NumberType(kept)
    name = str(choose_dtype(asked, device)).removeprefix("torch.")
    if device.type != "cpu" or (name == "float32" and count_parameters(folder) < LARGE_PARAMETERS):
        return NumberType(name)
    gflops = _time_types(folder)
    if asked == "auto" and gflops["bfloat16"] >= BFLOAT16_GAIN * gflops["float32"]:
        name = "bfloat16"
    return NumberType(name, gflops)


def count_parameters(folder: Path) -> int:
    """Numbers in the weight files of a model folder; of the base model for an adapter."""
    if is_adapter(folder):
        folder = base_of_adapter(folder)
    total = 0
    for file in folder.glob("*.safetensors"):
        check_safetensors(file)
        with safe_open(file, "pt") as weights:
            total += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return total


def _time_types(folder: Path) -> dict[str, float]:
    """GFLOP/s of a linear layer with its two gradients, of the model's sizes or smaller; a fraction of a second."""
    base = base_of_adapter(folder) if is_adapter(folder) else folder
    try:
        config: Any = AutoConfig.from_pretrained(base, local_files_only=True).get_text_config()
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"The model in {base} could not be loaded: {error} {_REMEDY}") from error
    hidden = min(int(config.hidden_size), 1024)
    wide = min(int(getattr(config, "intermediate_size", None) or 4 * hidden), 2048)
    found = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        x, weight, slope = (torch.randn(s).to(dtype) for s in ((128, hidden), (wide, hidden), (128, wide)))
        times: list[float] = []
        started = time.perf_counter()
        while len(times) < 3 or time.perf_counter() - started < TRIAL_S:
            begin = time.perf_counter()
            functional.linear(x, weight)
            torch.mm(slope, weight)
            torch.mm(slope.t(), x)
            times.append(time.perf_counter() - begin)
        found[name] = 6.0 * 128 * hidden * wide / min(times[1:]) / 1e9
    return found


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated: on CUDA with what torch keeps of tensors that are gone."""
    if device.type != "cuda":
        return available()
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0] + kept)


def release_memory(device: torch.device) -> None:
    """Give back what torch keeps of tensors that are gone, after an allocation failed: what is asked for next may be
    larger than any piece of it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def available_cores() -> int:
    """Physical cores this process may use: affinity, container quota and OMP_NUM_THREADS respected; at least 1."""
    limits = [psutil.cpu_count(logical=False) or psutil.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        limits.append(len(os.sched_getaffinity(0)))
    if quota := _container_quota(Path("/sys/fs/cgroup/cpu.max")):
        limits.append(quota)
    if (omp := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        limits.append(int(omp))
    return max(1, min(limits))


def _container_quota(file: Path) -> int | None:
    try:
        quota, period = file.read_text().split()[:2]
        return None if quota == "max" else max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return None


def choose_threads(requested: int = 0) -> int:
    """Set torch's thread count and return it: `requested`, capped at the cores there are, or the fastest for 0."""
    cores = available_cores()
    count = min(requested, cores) if requested > 0 else calibrate(cores)
    torch.set_num_threads(count)
    return count


def calibrate(cores: int) -> int:
    """Of 1, 2, 4 … and `cores` threads the count whose decode step is fastest; a larger one only for `MIN_GAIN`."""
    if cores == 1:
        return 1
    counts = sorted({2**k for k in range(cores.bit_length()) if 2**k <= cores} | {cores})
    best, best_s = 1, math.inf
    for count in counts:
        torch.set_num_threads(count)
        seconds = _time_step()
        if seconds * (MIN_GAIN if best_s < math.inf else 1.0) < best_s:
            best, best_s = count, seconds
        elif seconds > 2 * best_s:
            # Past the cliff of more threads than free cores, larger counts only get worse and slower to measure.
            break
    return best


def _time_step() -> float:
    """Median seconds of a step shaped like one decoding layer of a small model at batch 256."""
    hidden, weight = torch.randn(256, 256), torch.randn(1024, 256)
    query, keys = torch.randn(256, 8, 1, 32), torch.randn(256, 8, 128, 32)
    times: list[float] = []
    with torch.inference_mode():
        started = time.perf_counter()
        while time.perf_counter() - started < TRIAL_S or len(times) < 3:
            begin = time.perf_counter()
            functional.linear(functional.silu(functional.linear(hidden, weight)), weight.T)
            functional.scaled_dot_product_attention(query, keys, keys)
            times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def is_adapter(folder: Path) -> bool:
    """True for a PEFT adapter folder, which holds no base weights."""
    return (folder / "adapter_config.json").is_file()


def base_of_adapter(folder: Path) -> Path:
    """Folder of the model that the adapter in `folder` was trained on."""
    try:
        name = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
        return resolve_model(name)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / 'adapter_config.json'} names no base model. Export the adapter again.") from error
    except UserError as error:
        raise UserError(
            f"The adapter in {folder} needs its base model. {error} "
            "Or correct base_model_name_or_path in its adapter_config.json."
        ) from error


def load_causal_lm(folder: Path, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """The causal language model in `folder`, in eval mode. Damage of any kind is a UserError that names the folder."""
    for file in sorted(folder.glob("*.safetensors")):
        check_safetensors(file)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        _check_architecture(folder, config)
        model = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype, attn_implementation="sdpa", local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"The model in {folder} could not be loaded: {reason} {_REMEDY}") from error
    loaded: nn.Module = model.to(device).eval()
    return loaded


def check_safetensors(file: Path) -> None:
    """Read the header of `file`, which says how long it must be. UserError if it is cut short or damaged."""
    if not file.is_file():
        raise UserError(f"{file} is not a file, so it holds no weights. Copy or download the model again.")
    try:
        with safe_open(file, "pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{file} is damaged or cut short ({error}). Copy or download the model again, or use another checkpoint."
        ) from error


def check_vocabulary(folder: Path, model: nn.Module, tokenizer: Any) -> None:
    """UserError where the tokenizer has tokens that the model does not know: it is the tokenizer of another model."""
    rows = model.get_input_embeddings().num_embeddings  # type: ignore[operator]
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= rows:
        raise UserError(
            f"The tokenizer in {folder} has tokens up to id {largest:,}, and the model knows {rows:,}: it is the "
            "tokenizer of another model. Copy the tokenizer's files of this model there."
        )


def _check_architecture(folder: Path, config: Any) -> None:
    text = config.get_text_config()
    strange = set(getattr(text, "layer_types", None) or ()) - _ATTENTION_LAYERS
    if strange or getattr(config, "is_encoder_decoder", False):
        what = ", ".join(sorted(strange)) or "an encoder"
        raise UserError(f"The model in {folder} uses {what}, which this engine cannot sample from. {_REMEDY}")


def context_length(model: nn.Module) -> int:
    """Longest sequence, in tokens, that the sampler may build: the context, or the sliding window if shorter.

    Within the window a sliding layer sees what a full one sees, which is all that the shared cache provides.
    """
    config: Any = model.config.get_text_config()  # type: ignore[operator, union-attr]
    longest = int(getattr(config, "max_position_embeddings", None) or 2**31)
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if window and (kinds is None or "sliding_attention" in kinds):
        longest = min(longest, int(window))
    return longest


def hidden_states(model: nn.Module, **inputs: Any) -> Tensor:
    """Last hidden states `[B, T, hidden]` of the decoder below the language-model head."""
    hidden: Tensor = model.get_decoder()(**inputs).last_hidden_state  # type: ignore[operator]
    return hidden


def vocabulary_size(model: nn.Module) -> int:
    """Tokens that the language-model head scores."""
    return int(model.get_output_embeddings().weight.shape[0])  # type: ignore[operator]


def head_logits(model: nn.Module, hidden: Tensor) -> Tensor:
    """Logits `[..., vocabulary]` in float32, with the scale and soft cap of the architectures that have them."""
    logits: Tensor = model.get_output_embeddings()(hidden).float()  # type: ignore[operator]
    config: Any = model.config.get_text_config()  # type: ignore[operator, union-attr]
    if scale := getattr(config, "logit_scale", None):
        logits = logits * scale
    if scaling := getattr(config, "logits_scaling", None):
        logits = logits / scaling
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = torch.tanh(logits / cap) * cap
    return logits
