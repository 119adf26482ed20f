"""Memory of training: what a configuration takes, by part; what a process takes and may take; what to change when it
runs out. It imports no engine: a GPU is asked only where one is loaded already."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from training.core.types import Role
from training.runs.config import Mode, RunConfig, Tuning, trained_roles

MIB = 2**20


# ---------------------------------------------------------------------- what a process takes and may take


def peak_mb() -> float:
    """The most main memory this process has held so far, in MiB."""
    with suppress(OSError, ValueError, IndexError):
        # Not getrusage: a child begins there with the peak of the process that started it.
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    info = psutil.Process().memory_info()
    return float(getattr(info, "peak_wset", info.rss)) / MIB


def memory_figures() -> dict[str, float]:
    """This process's memory now and at most, and what is free, in MiB; of a GPU its peak where there is one."""
    figures = {
        "rss_mb": psutil.Process().memory_info().rss / MIB, "peak_mb": peak_mb(), "free_mb": available() / MIB,
    }  # fmt: skip
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        figures["gpu_peak_mb"] = torch.cuda.max_memory_reserved() / MIB
    return {name: round(value, 1) for name, value in figures.items()}


def available() -> int:
    """Bytes of main memory that this process can still have: the limits of a container and of the process count."""
    free = int(psutil.virtual_memory().available)
    for limit in (container_memory(), _address_space()):
        if limit is not None:
            free = min(free, limit[1])
    return max(0, free)


def container_memory() -> tuple[int, int] | None:
    """Bytes that the container may take, and may still take; None without a container or a limit."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        used = int((group / "memory.current").read_text(encoding="ascii")) - int(stat["inactive_file"])
    except (OSError, ValueError, KeyError):
        return None
    return limit, max(0, limit - used)


def _address_space() -> tuple[int, int] | None:
    """The same for a limit on the process's address space (`ulimit -v`)."""
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    return limit, max(0, limit - psutil.Process().memory_info().vms)


def ran_out(error: BaseException | None) -> bool:
    """Whether an exception, or what it came from, says that main memory or a GPU's ran out."""
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "OutOfMemory"):
            return True
        text = str(error).lower()
        if isinstance(error, (RuntimeError, OSError)) and any(part in text for part in _OUT_OF_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


_OUT_OF_MEMORY = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "bad allocation", "bad_alloc",
    # oneDNN's words for a buffer or for code that it has no room for: the shapes themselves are plain.
    "could not create a primitive", "could not execute a primitive",
)  # fmt: skip


# ---------------------------------------------------------------------- what a configuration takes


@dataclass(frozen=True)
class Shape:
    """What of a model's architecture decides its memory; the defaults are the bundled reasoner's."""

    layers: int = 4
    width: int = 192
    cache_width: int = 96
    """Key-value heads times their width."""
    vocabulary: int = 1536
    inner: int = 0
    """Width of the feed-forward layers; 0: three times the width."""
    written_out: bool = True
    """Whether the architecture has a training pass of our own, which keeps less for its gradients than autograd."""

    @property
    def inner_width(self) -> int:
        return self.inner or 3 * self.width


def read_shape(folder: Path | None) -> Shape:
    """The shape in a Hugging Face ``config.json``; the defaults where there is none or it lacks a field."""
    try:
        config = folder / "config.json" if folder is not None else None
        found = json.loads(config.read_text(encoding="utf-8")) if config is not None and config.is_file() else {}
        width, heads = int(found["hidden_size"]), int(found["num_attention_heads"])
        head = int(found.get("head_dim") or width // heads)
        cache = head * int(found.get("num_key_value_heads") or heads)
        inner = int(found.get("intermediate_size") or 0)
        known = found.get("model_type") in WRITTEN_OUT
        return Shape(int(found["num_hidden_layers"]), width, cache, int(found["vocab_size"]), inner, known)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, AttributeError):
        return Shape()


class Part(StrEnum):
    """What takes memory in a run."""

    LIBRARIES = "libraries"
    WEIGHTS = "weights"
    REFERENCE = "starting model, for the KL"
    JUDGE = "judge"
    OPTIMISER = "gradients, optimiser"
    ROLLOUTS = "rollouts of a step"
    SAMPLING = "sampling"
    LEARNING = "learning batch"
    EVALUATION = "evaluation"


STAGES = (Part.SAMPLING, Part.LEARNING, Part.EVALUATION)
WRITTEN_OUT = ("llama", "mistral", "qwen2", "qwen3")
LIBRARIES_MB = 460.0
"""Of a trainer that has loaded torch, transformers and a model of no size."""
SAMPLER_MB = 130.0
"""Of the code that the first sampling loads, and of what the allocator and its libraries keep for the next."""
PROMPT_TOKENS = 64
LONGEST_PROMPT = 150
"""Tokens of the longest prompt of a frozen suite: its hints stand beside the question. The keys of all prompts that are
sampled together are as long as the longest of them."""
EVAL_CONDITIONS = 10
"""Solutions an evaluation takes for each problem: clean, needed, one a type, and a placebo for each of those."""
# Limits of the engine, which takes them from here: an estimate needs them where torch is not loaded.
MAX_SEQUENCES = 512
"""Sequences decoded together at most."""
CPU_SEQUENCES = 256
"""The same on a CPU, where more are no faster and their keys and values take memory."""
CPU_BATCH_TOKENS = 1536
"""Tokens of a micro-batch on a CPU. More of them only leave its caches."""
HEAD_LOGITS = 2**21
"""Logits held at once by the training pass of our own, 8 MiB: they stay in the cache of the processor."""
MAX_LOGITS = 2**26
"""Logits held at once, 256 MiB in float32. A vocabulary of 152k tokens fills 40 GB with the logits of one batch."""
COPIED_BYTES = 2**27
"""Most bytes of weights that sampling copies, to join projections and to add adapters to them."""
PREFILL_TOKENS = 2048
"""Prompt tokens that run through the layers together, so that what they make stays near the processor's cache."""
JUDGE_BATCH = 16
"""Questions to a local judge that are computed together."""
JUDGE_PREFIXES = 4
"""Beginnings of such questions whose keys and values are kept."""
JUDGE_TOKENS = 512
"""Of a question to a judge; most of them are examples."""
TOKEN_BYTES = 90
"""Of a sampled token with its log-probability and entropy, until its step is over."""
LENGTH_SHARE = 0.5
"""Of the longest completion: how far a batch is filled when it takes most."""


def memory_parts(
    config: RunConfig, parameters: int, shape: Shape, adversary: int = 0, judge: tuple[int, Shape] | None = None
) -> dict[Part, float]:
    """MiB of each part on a CPU. Those of STAGES take turns: a run's peak has the largest of them.

    `adversary`: parameters of an Adversary's own model, 0 without one. `judge`: parameters and shape of one that runs
    in this process, in float32 and never trained.
    """
    full, r = config.model.tuning is Tuning.FULL, config.rollout
    size = 2 if config.model.dtype == "bfloat16" else 4
    roles = trained_roles(config)
    learning = parameters * (Role.REASONER in roles or not adversary) + adversary * (Role.ADVERSARY in roles)
    trained = learning if full else round(_adapter_parameters(config, shape) * learning / max(1, parameters))
    masters = 4 if size == 2 else 0
    solution = PROMPT_TOKENS + LENGTH_SHARE * r.max_solution_tokens
    copied = size * parameters if size * parameters <= COPIED_BYTES else 0

    def sampling(asked: int, tokens: float) -> float:
        """Bytes of the keys and values of what is sampled together, of drawing from it, and of reading its prompts."""
        rows = min(CPU_SEQUENCES, asked)
        cell = 2 * shape.layers * shape.cache_width * size
        reading = PREFILL_TOKENS * 16 * shape.width * size
        return rows * (tokens * cell + 16 * shape.vocabulary) + reading + copied + SAMPLER_MB * MIB

    evaluated = LONGEST_PROMPT + LENGTH_SHARE * config.evaluation.max_new_tokens
    tokens = min(CPU_BATCH_TOKENS, r.questions * r.clean * solution)
    logits = tokens * LENGTH_SHARE * shape.vocabulary
    if shape.written_out:
        # Kept a token and layer: five of the width, the gate and its other half, keys and values (those of a prompt
        # again for each completion), and scores, of heads that are 64 wide; beside them the gradients of one layer.
        kept = 5 * shape.width + 6 * shape.cache_width + 2 * shape.inner_width + solution * shape.width / 64
        learned = tokens * (shape.layers * kept + 10 * shape.width + 4 * shape.inner_width) * size
        learned += 16 * min(HEAD_LOGITS, logits)
    else:
        learned = tokens * shape.layers * (20 * shape.width + 4 * shape.inner_width) * size
        learned += 12 * min(MAX_LOGITS, logits)
    sampled = r.questions * (r.clean + r.hints * r.hinted) * LENGTH_SHARE * r.max_solution_tokens
    judging = 0
    if judge is not None:
        kept = JUDGE_TOKENS * (JUDGE_BATCH + JUDGE_PREFIXES)
        judging = 4 * judge[0] + kept * 2 * judge[1].layers * judge[1].cache_width * 4
    found = {
        Part.LIBRARIES: LIBRARIES_MB * MIB,
        Part.WEIGHTS: size * (parameters + adversary),
        Part.REFERENCE: size * learning if full and has_reference(config) else 0.0,
        Part.JUDGE: judging,
        Part.OPTIMISER: (12 + masters) * trained,
        Part.ROLLOUTS: TOKEN_BYTES * sampled,
        Part.SAMPLING: sampling(r.questions * max(r.clean, r.hints * r.hinted), solution),
        Part.LEARNING: learned,
        Part.EVALUATION: sampling(EVAL_CONDITIONS * config.evaluation.problems, evaluated),
    }
    return {part: value / MIB for part, value in found.items()}


def has_reference(config: RunConfig) -> bool:
    """Whether a term of the loss compares with the starting model."""
    return bool(_reference_weights(config))


def _reference_weights(config: RunConfig) -> dict[str, float]:
    """The settings above 0 that need the starting model in the run's mode."""
    roles = trained_roles(config)
    anchored = Role.REASONER in roles and config.mode is not Mode.CLEAN_RL
    weights = {
        "update.kl": config.update.kl if Role.REASONER in roles else 0.0,
        "adversary.kl": config.adversary.kl if Role.ADVERSARY in roles else 0.0,
        "reasoner.clean_anchor": config.reasoner.clean_anchor if anchored else 0.0,
    }
    return {key: weight for key, weight in weights.items() if weight > 0}


def _adapter_parameters(config: RunConfig, shape: Shape) -> int:
    """Of a LoRA adapter on the seven linear layers of a block."""
    ends = 8 * shape.width + 3 * (shape.width + shape.inner_width)
    return config.model.lora_rank * shape.layers * ends


# ---------------------------------------------------------------------- what to change when it runs out


@dataclass(frozen=True)
class Remedy:
    """A setting that takes less memory, and what it lowers. `value` as it is written after --set."""

    key: str
    old: str
    value: str
    part: Part

    @property
    def text(self) -> str:
        return f"Set {self.key} = {self.value} (it is {self.old})"


def find_remedies(config: RunConfig, parts: dict[Part, float]) -> tuple[Remedy, ...]:
    """Settings that can be changed for a resume, the one that helps most first; none where no setting helps."""
    taken = sorted(parts, key=lambda part: -parts[part])
    return tuple(remedy for part in taken if (find := _FINDERS.get(part)) and (remedy := find(config)))


def _halve(key: str, part: Part, low: int) -> Callable[[RunConfig], Remedy | None]:
    section, _, name = key.partition(".")

    def find(config: RunConfig) -> Remedy | None:
        old = int(getattr(getattr(config, section), name))
        value = max(low, old // 2)
        return Remedy(key, str(old), str(value), part) if value < old else None

    return find


def _drop_reference(config: RunConfig) -> Remedy | None:
    """Of the three weights that need the starting model the one that is left when the others are 0."""
    used = _reference_weights(config)
    if len(used) != 1 or config.model.tuning is not Tuning.FULL:
        return None
    ((key, weight),) = used.items()
    return Remedy(key, f"{weight:g}", "0", Part.REFERENCE)


def _halve_weights(config: RunConfig) -> Remedy | None:
    if config.model.tuning is Tuning.FULL or config.model.dtype == "bfloat16":
        # Tuned whole, bfloat16 weights have float32 masters beside them.
        return None
    return Remedy("model.dtype", config.model.dtype, "bfloat16", Part.WEIGHTS)


_FINDERS: dict[Part, Callable[[RunConfig], Remedy | None]] = {
    Part.WEIGHTS: _halve_weights,
    Part.REFERENCE: _drop_reference,
    Part.ROLLOUTS: _halve("rollout.questions", Part.ROLLOUTS, 1),
    Part.SAMPLING: _halve("rollout.max_solution_tokens", Part.SAMPLING, 8),
    Part.LEARNING: _halve("rollout.max_solution_tokens", Part.LEARNING, 8),
}


def explain_shortage(
    config: RunConfig, parameters: int, shape: Shape, doing: str, adversary: int = 0
) -> tuple[str, Remedy | None]:  # fmt: skip
    """What to say of a run whose memory ran out while it was `doing` something, and the setting to lower."""
    parts = memory_parts(config, parameters, shape, adversary)
    # A run keeps the settings of its evaluation, which goes on with smaller batches where one does not fit.
    del parts[Part.EVALUATION]
    remedies = find_remedies(config, parts)
    figures = memory_figures()
    held = f"it held {_size(figures['rss_mb'])}, {_size(figures['free_mb'])} were free"
    largest = max((p for p in parts if p is not Part.LIBRARIES), key=lambda part: parts[part])
    said = f"Memory ran out while {doing}: {held}. The largest part is {largest} (about {_size(parts[largest])})."
    if remedies:
        return f"{said} {remedies[0].text}, and resume.", remedies[0]
    if config.model.tuning is Tuning.FULL:
        return f"{said} Start a run with model.tuning = lora or with a smaller model, or close other programs.", None
    return f"{said} Start a run with a smaller model, or close other programs.", None


def _size(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"
