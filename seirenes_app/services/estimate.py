"""How long a run will take here, and how much memory, before it starts. A guess with its basis, never a refusal.

Per-token costs were measured on one core (AVX2, float32): sampling 31.5 µs + 69.6 µs for each million parameters, from
0.87 M at batch 256 and 5.8 M at batch 64; learning 6 N floating-point operations a token (Kaplan et al. 2020,
arXiv 2001.08361, section 2.1) at 45 GFLOP/s. The shares below are those of the bundled reasoner's demo run, where
this guess and the clock agreed to a tenth on one core. Finished runs of the same model here replace its scale.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seirenes_app.inference.safetensors_header import read_safetensors
from seirenes_app.services.formatting import duration
from seirenes_app.services.machine import usable_cores
from seirenes_app.store.resources import starter_folder
from training.errors import UserError
from training.model_names import locate_folder, without_commit
from training.runs.config import Mode, RunConfig, Tuning
from training.runs.processes import RunSummary
from training.runs.status import RunStatus

STARTER_PARAMETERS = 2_070_000  # used while the starter's own file cannot be read
SAMPLE_BASE_US = 31.5
SAMPLE_PER_MILLION_US = 69.6
LEARN_GFLOP_PER_S = 45.0
SAMPLE_OVERHEAD = 1.6  # prefill, padding, checking and writing: measured over the sum of the parts
LEARN_OVERHEAD = 1.2
LENGTH_SHARE = 0.3  # mean completion over the limit
PROMPT_TOKENS = 64
LEARNING_SHARE = 0.35  # rollouts in groups with any spread; the others carry no gradient and cost nothing
EVAL_CONDITIONS = 9
"""Solutions an evaluation takes for each problem: clean, one a type, and a placebo for each of those."""
LEARNING_ROWS = 64  # rows of one learning batch
LOGITS = 2**26  # logits held at once (training.engine.update.MAX_LOGITS)
ACTIVATIONS = 12  # values kept a token, layer and unit of width between forward and backward
LIBRARIES_MB = 650.0
PARALLEL = 0.85  # what each further core adds


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds for the whole run, its parts, and what the guess rests on."""

    seconds: float
    parts: tuple[tuple[str, float], ...]
    basis: str

    @property
    def text(self) -> str:
        return f"about {duration(self.seconds)}"


@dataclass(frozen=True)
class MemoryEstimate:
    megabytes: float
    parts: tuple[tuple[str, float], ...]


def estimate_time(
    config: RunConfig, *, cores: int | None = None, parameters: int | None = None, past: Sequence[RunSummary] = ()
) -> TimeEstimate:
    """Estimate a run on `cores` CPU cores (default: this machine's), corrected by `past` runs on this machine."""
    cores = config.model.threads or cores or usable_cores()
    parameters = parameters or model_parameters(config)
    step, evaluation = step_seconds(config, parameters, cores), eval_seconds(config, parameters, cores)
    scale, seen = learn_scale(config, cores, past)
    evaluations = 2 + ((config.steps - 1) // config.evaluation.every if config.evaluation.every else 0)
    parts = (
        ("starting", 8.0),
        (f"{config.steps} steps", scale * step * config.steps),
        (f"{evaluations} evaluations", scale * evaluation * evaluations),
    )
    basis = (
        f"from {seen} earlier {'run' if seen == 1 else 'runs'} here"
        if seen
        else f"from the model's size and {cores} CPU {'core' if cores == 1 else 'cores'}"
    )
    return TimeEstimate(sum(s for _, s in parts), parts, basis)


def step_seconds(config: RunConfig, parameters: int, cores: int) -> float:
    """One step: sampling of all rollouts, learning on those with spread."""
    reasoner, adversary = rollouts_a_step(config)
    solution, hint = config.rollout.max_solution_tokens, config.rollout.max_hint_tokens
    sampled = LENGTH_SHARE * (reasoner * solution + adversary * hint)
    learned = LEARNING_SHARE * config.update.epochs * (sampled + PROMPT_TOKENS * (reasoner + adversary))
    sampling = SAMPLE_OVERHEAD * sampled * _sample_s(parameters)
    learning = LEARN_OVERHEAD * learned * 6e-9 * parameters / LEARN_GFLOP_PER_S
    return (sampling + learning) / _speed_up(cores)


def eval_seconds(config: RunConfig, parameters: int, cores: int) -> float:
    tokens = config.evaluation.problems * EVAL_CONDITIONS * LENGTH_SHARE * config.evaluation.max_new_tokens
    return SAMPLE_OVERHEAD * tokens * _sample_s(parameters) / _speed_up(cores)


def rollouts_a_step(config: RunConfig) -> tuple[int, int]:
    """Rollouts of the Reasoner and of the Adversary in one step. `clean_rl` spends on clean questions what the other
    modes spend on hints, so that runs compare at equal rollouts."""
    r = config.rollout
    hints = r.questions * r.hints
    reasoner = r.questions * r.clean + hints * r.hinted
    if config.mode is Mode.CLEAN_RL:
        return reasoner + hints, 0
    return reasoner, 0 if config.mode is Mode.RANDOM else hints


def learn_scale(config: RunConfig, cores: int, past: Sequence[RunSummary]) -> tuple[float, int]:
    """Measured over guessed step times of finished runs of the same model, median; and how many there were."""
    ratios = []
    for summary in past:
        state, other = summary.state, summary.config
        if state is None or other is None or state.status is not RunStatus.FINISHED:
            continue
        same_model = without_commit(other.model.path) == without_commit(config.model.path)
        if not same_model or other.model.tuning != config.model.tuning:
            continue
        seconds = [s for s in state.history.series("seconds")[1] if s]
        guessed = step_seconds(other, model_parameters(other), other.model.threads or cores)
        if seconds and guessed > 0:
            ratios.append(statistics.median(seconds) / guessed)
    return (statistics.median(ratios), len(ratios)) if ratios else (1.0, 0)


def estimate_memory(config: RunConfig, parameters: int | None = None, shape: Shape | None = None) -> MemoryEstimate:
    """Weights in float32 with what AdamW keeps, the key-value cache of a step's widest batch, and a learning batch."""
    millions = (parameters or model_parameters(config)) / 1e6
    shape = shape or read_shape(model_folder(config))
    full = config.model.tuning is Tuning.FULL
    referenced = config.update.kl or config.adversary.kl or config.reasoner.clean_anchor
    copies = 2 if full and referenced else 1
    r = config.rollout
    tokens = PROMPT_TOKENS + r.max_solution_tokens
    cache = r.questions * r.hints * r.hinted * tokens * shape.layers * 2 * shape.cache_width
    logits = min(LOGITS, LEARNING_ROWS * tokens * shape.vocabulary * LENGTH_SHARE)
    learning = LEARNING_ROWS * tokens * shape.layers * shape.width * ACTIVATIONS + 3 * logits
    parts = (
        ("weights", 4 * millions * copies),
        ("gradients, optimiser", 12 * millions if full else 0.24 * millions),
        ("sampling cache", 4 * cache / 2**20),
        ("learning batch", 4 * learning / 2**20),
        ("libraries", LIBRARIES_MB),
    )
    return MemoryEstimate(sum(m for _, m in parts), parts)


@dataclass(frozen=True)
class Shape:
    """What of a model's architecture decides its memory; the defaults are the bundled reasoner's."""

    layers: int = 4
    width: int = 192
    cache_width: int = 96  # key-value heads times their width
    vocabulary: int = 1536


def read_shape(folder: Path | None) -> Shape:
    """The shape in a Hugging Face ``config.json``; the defaults where there is none or it lacks a field."""
    try:
        config = folder / "config.json" if folder is not None else None
        found = json.loads(config.read_text(encoding="utf-8")) if config is not None and config.is_file() else {}
        width, heads = int(found["hidden_size"]), int(found["num_attention_heads"])
        head = int(found.get("head_dim") or width // heads)
        cache = head * int(found.get("num_key_value_heads") or heads)
        return Shape(int(found["num_hidden_layers"]), width, cache, int(found["vocab_size"]))
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, AttributeError):
        return Shape()


def model_parameters(config: RunConfig) -> int:
    """Parameters of the configured model, read from its files; the starter's size where they cannot be read."""
    folder = model_folder(config)
    return (count_parameters(folder) if folder is not None else None) or STARTER_PARAMETERS


def model_folder(config: RunConfig) -> Path | None:
    """The configured model's folder; None where it is not on this machine."""
    try:
        return starter_folder() if config.model.path == "starter" else locate_folder(config.model.path)
    except UserError:
        return None


def count_parameters(folder: Path) -> int | None:
    """Sum of the tensor sizes in the headers of ``*.safetensors``; None where there are none or one is damaged."""
    try:
        total = sum(read_safetensors(file).n_params for file in sorted(folder.glob("*.safetensors")))
    except (UserError, OSError):
        return None
    return total or None


def _sample_s(parameters: int) -> float:
    return (SAMPLE_BASE_US + SAMPLE_PER_MILLION_US * parameters / 1e6) * 1e-6


def _speed_up(cores: int) -> float:
    # Sampling of small models stops gaining beyond a few cores.
    return 1 + PARALLEL * (min(cores, 8) - 1)
