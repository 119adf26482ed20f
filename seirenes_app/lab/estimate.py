"""How long a run will take here, and how much memory, before it starts. A guess with its basis, never a refusal.

Per-token costs were measured on one core (AVX2, float32): sampling 31.5 µs + 69.6 µs for each million parameters, from
0.87 M at batch 256 and 5.8 M at batch 64; learning 6 N floating-point operations a token (Kaplan et al. 2020,
arXiv 2001.08361, section 2.1) at 45 GFLOP/s. Finished runs of the same model on this machine replace the guess's scale.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seirenes_app.lab.machine import usable_cores
from seirenes_app.lab.resources import starter_folder
from training.errors import UserError
from training.rundir.config import Mode, RunConfig, Tuning
from training.rundir.index import RunSummary
from training.rundir.state import RunStatus

STARTER_PARAMETERS = 1_900_000
"""Used while the starter's own file cannot be read."""
SAMPLE_BASE_US = 31.5
SAMPLE_PER_MILLION_US = 69.6
LEARN_GFLOP_PER_S = 45.0
OVERHEAD = 1.6
"""Prefill, padding, checking and writing: measured steps over the sum of the parts."""
LENGTH_SHARE = 0.5
"""Mean completion over the limit."""
PROMPT_TOKENS = 64
LEARNING_SHARE = 0.5
"""Rollouts in groups with any spread; the others carry no gradient and cost nothing."""
EVAL_CONDITIONS = 10
"""Solutions an evaluation takes for each problem: clean, the types, the placebo, worst of k."""
PARALLEL = 0.85
"""What each further core adds."""


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds for the whole run, its parts, and in words what the guess rests on."""

    seconds: float
    parts: tuple[tuple[str, float], ...]
    basis: str

    @property
    def words(self) -> str:
        """ "about 6 minutes", "about 3 hours"."""
        return f"about {_round_words(self.seconds)}"


@dataclass(frozen=True)
class MemoryEstimate:
    """MiB for the trainer, and its parts."""

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
    seconds = sampled * _sample_s(parameters) + learned * 6e-9 * parameters / LEARN_GFLOP_PER_S
    return OVERHEAD * seconds / _speed_up(cores)


def eval_seconds(config: RunConfig, parameters: int, cores: int) -> float:
    """One evaluation of the frozen suite."""
    tokens = config.evaluation.problems * EVAL_CONDITIONS * LENGTH_SHARE * config.evaluation.max_new_tokens
    return OVERHEAD * tokens * _sample_s(parameters) / _speed_up(cores)


def rollouts_a_step(config: RunConfig) -> tuple[int, int]:
    """Rollouts of the Reasoner and of the Adversary in one step.

    `clean_rl` spends on clean questions what the other modes spend on hints, so that runs compare at equal rollouts.
    """
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
        if other.model.path != config.model.path or other.model.tuning != config.model.tuning:
            continue
        seconds = [s for s in state.history.series("seconds")[1] if s]
        guessed = step_seconds(other, model_parameters(other), other.model.threads or cores)
        if seconds and guessed > 0:
            ratios.append(statistics.median(seconds) / guessed)
    return (statistics.median(ratios), len(ratios)) if ratios else (1.0, 0)


def estimate_memory(config: RunConfig, parameters: int | None = None) -> MemoryEstimate:
    """Weights, gradients and two AdamW moments in float32, and the largest of the two caches of a step."""
    parameters = parameters or model_parameters(config)
    millions = parameters / 1e6
    width = 2 if config.model.dtype == "bfloat16" else 4
    trained = millions if config.model.tuning is Tuning.FULL else 0.02 * millions
    r = config.rollout
    rows = r.questions * r.hints * r.hinted
    layers_times_width = 18.0 * parameters**0.5
    parts = (
        ("weights", width * millions),
        ("gradients and optimiser", 12 * trained),
        ("sampling cache", 2 * 4 * layers_times_width * rows * (PROMPT_TOKENS + r.max_solution_tokens) / 2**20 / 4),
        ("libraries", 450.0),
    )
    return MemoryEstimate(sum(m for _, m in parts), parts)


def model_parameters(config: RunConfig) -> int:
    """Parameters of the configured model, read from its files; the starter's size where they cannot be read."""
    folder = starter_folder_or_none() if config.model.path == "starter" else Path(config.model.path)
    return (count_parameters(folder) if folder is not None else None) or STARTER_PARAMETERS


def starter_folder_or_none() -> Path | None:
    """The bundled reasoner's folder, or None in a broken installation."""
    try:
        return starter_folder()
    except UserError:
        return None


def count_parameters(folder: Path) -> int | None:
    """Sum of the tensor sizes in the headers of ``*.safetensors``; None where there are none or one is damaged."""
    try:
        total = sum(_count_in(file) for file in sorted(folder.glob("*.safetensors")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return total or None


def _count_in(file: Path) -> int:
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= 100_000_000:
            raise ValueError(f"{file.name}: impossible header")
        header = json.loads(stream.read(length))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            size = 1
            for dimension in tensor["shape"]:
                size *= dimension
            total += size
    return total


def _sample_s(parameters: int) -> float:
    return (SAMPLE_BASE_US + SAMPLE_PER_MILLION_US * parameters / 1e6) * 1e-6


def _speed_up(cores: int) -> float:
    # Sampling of small models stops gaining beyond a few cores.
    return 1 + PARALLEL * (min(cores, 8) - 1)


def _round_words(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1.5:
        return "a minute"
    if minutes < 10:
        return f"{minutes:.0f} minutes"
    if minutes < 90:
        return f"{5 * round(minutes / 5)} minutes"
    hours = minutes / 60
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"
