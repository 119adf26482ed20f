"""How long a run will take here, how much memory, and how much disk, before it starts. Never a refusal.

Three bases, the best that there is: a dry run of the same settings (`dry_run`), finished runs of the same model here,
or a guess from the model's size. The constants of the guess were measured on one core; learning takes 6 N
floating-point operations a token (Kaplan et al. 2020, arXiv 2001.08361, section 2.1).
`tests/bench/bench_estimate.py` compares estimates with runs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from seirenes_app.inference.models import describe_gguf
from seirenes_app.inference.safetensors_header import read_safetensors
from seirenes_app.services.formatting import duration
from seirenes_app.services.machine import usable_cores
from seirenes_app.store.resources import starter_folder
from training.core.types import Role
from training.errors import UserError
from training.judges import JudgeKind, find_judge
from training.memory import CPU_SEQUENCES, EVAL_CONDITIONS, LIBRARIES_MB, STAGES, Part, Shape, memory_parts, read_shape
from training.model_names import locate_folder, without_commit
from training.runs.config import (
    EngineKind,
    Mode,
    RunConfig,
    Tuning,
    further_questions,
    has_own_adversary,
    trained_roles,
)
from training.runs.processes import RunSummary
from training.runs.status import RunStatus

__all__ = ["EVAL_CONDITIONS", "LIBRARIES_MB", "Shape", "read_shape"]

STARTER_PARAMETERS = 2_070_000  # used while the starter's own file cannot be read
START_S = 8.0
SAMPLE_BASE_US = 15.0
SAMPLE_PER_MILLION_US = 30.0
LEARN_GFLOP_PER_S = 60.0
SAMPLE_OVERHEAD = 1.3  # padding, checking and writing: measured over the sum of the parts
LEARN_OVERHEAD = 1.2
LENGTH_SHARE = 0.3  # mean completion over the limit
PROMPT_TOKENS, LONG_PROMPT_TOKENS = 64, 140  # of the bundled model's prompts, and of those for other models
LEARNING_SHARE = 0.2  # rollouts with an advantage, and clean ones held to the starting model; shared prompts count once
PARALLEL = 0.85  # what each further core adds
DISK_MB_PER_S = 150.0  # of a checkpoint: written, flushed and hashed
OPPONENTS = 8  # past Adversaries that a run keeps at most
BYTES_PER_PARAMETER = 12  # Of a checkpoint: the weights and AdamW's two moments in float32


@dataclass(frozen=True)
class RunMeasurement:
    """What a dry run took: seconds (`_s`), MiB of the process at its peak up to then (`_mb`), and counts."""

    start_s: float
    """From the launch to the first evaluation."""
    first_s: float
    """What the first step and evaluation take beyond the others: the starting model is loaded, memory allocated."""
    eval_s: float
    eval_problems: int
    checkpoint_s: float
    stages: dict[str, float]
    """Seconds of r1, r2, update and what is between the steps, of a usual step."""
    hinted_s: float
    """Of one solution under a hint."""
    hinted: float
    """Solutions a step under fresh hints."""
    archived: float
    """Hints a step that the archive keeps."""
    loaded_mb: float
    trained_mb: float
    """What the process holds between two steps."""
    evaluated_mb: float
    """The peak up to the end of the first evaluation."""
    peak_mb: float
    checkpoint_mb: float
    gpu_mb: float = 0.0
    threads: int = 0
    measured_at: float = 0.0


class Basis(StrEnum):
    """What a figure rests on."""

    GUESS = "guess"
    EARLIER = "earlier runs"
    MEASURED = "measured"


class EstimatePart(NamedTuple):
    """Seconds or MiB of one part."""

    name: str
    value: float
    basis: Basis


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds for the whole run, its parts, and what the estimate rests on. On a server that has not been used yet
    nothing is known of it: `seconds` is None."""

    seconds: float | None
    parts: tuple[EstimatePart, ...]
    basis: str

    @property
    def figure(self) -> str:
        """For a table or a line of figures."""
        return "not estimated" if self.seconds is None else duration(self.seconds)

    @property
    def text(self) -> str:
        return self.figure if self.seconds is None else f"about {self.figure}"

    @property
    def basis_text(self) -> str:
        """A sentence: what the figure rests on, or why there is none."""
        return f"The time {self.basis}." if self.seconds is None else f"Estimated {self.basis}."


@dataclass(frozen=True)
class MemoryEstimate:
    """MiB of main memory at the peak, and the parts that it is made of."""

    megabytes: float
    parts: tuple[EstimatePart, ...]


def estimate_time(
    config: RunConfig, *, cores: int | None = None, parameters: int | None = None, past: Sequence[RunSummary] = (),
    measured: RunMeasurement | None = None,
) -> TimeEstimate:  # fmt: skip
    """Estimate a run on `cores` CPU cores (default: this machine's), corrected by `past` runs on this machine; or by
    what a dry run `measured`, which then decides alone. On a server it is estimated from these two only."""
    if measured is not None:
        return _measured_time(config, measured)
    cores = config.model.threads or cores or usable_cores()
    parameters = parameters or model_parameters(config)
    step, evaluation = step_seconds(config, parameters, cores), eval_seconds(config, parameters, cores)
    scale, seen = learn_scale(config, cores, past)
    remote = config.engine.backend is EngineKind.TINKER
    if remote and not seen:
        return TimeEstimate(None, (), "depends on the server; two steps can be measured")
    steps, evaluations, checkpoints = count_steps(config), count_evaluations(config), count_checkpoints(config)
    basis = Basis.EARLIER if seen else Basis.GUESS
    checkpoint = checkpoint_mb(config, parameters) / DISK_MB_PER_S
    parts = (
        EstimatePart("starting", START_S, Basis.GUESS),
        EstimatePart(_count(steps, "step"), scale * step * steps, basis),
        EstimatePart(_count(evaluations, "evaluation"), scale * evaluation * evaluations, basis),
        EstimatePart(_count(checkpoints, "checkpoint"), checkpoint * checkpoints, Basis.GUESS),
    )
    words = (
        f"from {seen} earlier {'run' if seen == 1 else 'runs'} {'on this server' if remote else 'here'}"
        if seen
        else f"from the model's size and {cores} CPU {'core' if cores == 1 else 'cores'}"
    )
    return TimeEstimate(sum(p.value for p in parts), parts, words)


def _measured_time(config: RunConfig, found: RunMeasurement) -> TimeEstimate:
    steps, evaluations, checkpoints = count_steps(config), count_evaluations(config), count_checkpoints(config)
    # The archive fills: replays begin with what the first steps have put there.
    replays = sum(min(replays_a_step(config), step * found.archived) for step in range(steps))
    stepping = steps * (sum(found.stages.values()) + found.hinted_s * found.hinted)
    stepping += found.hinted_s * replays * config.rollout.hinted
    evaluating = found.eval_s * config.evaluation.problems / found.eval_problems
    parts = tuple(
        EstimatePart(name, seconds, Basis.MEASURED)
        for name, seconds in (
            ("starting", found.start_s + found.first_s),
            (_count(steps, "step"), stepping),
            (_count(evaluations, "evaluation"), evaluations * evaluating),
            (_count(checkpoints, "checkpoint"), checkpoints * found.checkpoint_s),
        )
    )
    return TimeEstimate(sum(p.value for p in parts), parts, "from two steps that were played here")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def count_steps(config: RunConfig) -> int:
    """Steps that it plays: `max_rollouts` may end it before the last one."""
    if not config.max_rollouts:
        return config.steps
    return min(config.steps, math.ceil(config.max_rollouts / max(1, sum(rollouts_a_step(config)))))


def count_evaluations(config: RunConfig) -> int:
    every = config.evaluation.every
    return 2 + ((count_steps(config) - 1) // every if every else 0)


def count_checkpoints(config: RunConfig) -> int:
    """How many it writes; `checkpoint.keep` says how many of them stay."""
    every = config.checkpoint.every
    return 2 + ((count_steps(config) - 1) // every if every else 0)


def step_seconds(config: RunConfig, parameters: int, cores: int) -> float:
    """One step: sampling of all rollouts, learning on those with spread, and on clean solutions that are held to the
    starting model."""
    reasoner, adversary = rollouts_a_step(config)
    solution, hint = config.rollout.max_solution_tokens, config.rollout.max_hint_tokens
    sampled = LENGTH_SHARE * (reasoner * solution + adversary * hint)
    prompt, r = _prompt_tokens(config), config.rollout
    learned = LEARNING_SHARE * config.update.epochs * (sampled + prompt * (reasoner + adversary))
    prompts = reasoner // r.clean if config.mode is Mode.CLEAN_RL else r.questions * (2 + r.hints)
    sampling = SAMPLE_OVERHEAD * sampled * _sample_s(parameters) + prompts * prompt * _read_s(parameters)
    learning = LEARN_OVERHEAD * learned * 6e-9 * parameters / LEARN_GFLOP_PER_S
    return (sampling + learning) / _speed_up(cores)


def eval_seconds(config: RunConfig, parameters: int, cores: int) -> float:
    rows = config.evaluation.problems * EVAL_CONDITIONS
    sampling = SAMPLE_OVERHEAD * LENGTH_SHARE * config.evaluation.max_new_tokens * _sample_s(parameters)
    return rows * (sampling + _prompt_tokens(config) * _read_s(parameters)) / _speed_up(cores)


def rollouts_a_step(config: RunConfig) -> tuple[int, int]:
    """Rollouts of the Reasoner and of the Adversary in one step. `clean_rl` spends on clean questions what the other
    modes spend on hints, so that runs compare at equal rollouts."""
    r = config.rollout
    hints = r.questions * r.hints
    moved = round(r.questions * config.reasoner.needed_share)
    reasoner = (r.questions + moved) * r.clean + further_questions(config) + hints * r.hinted
    if config.mode is Mode.CLEAN_RL:
        return reasoner + hints, 0
    return reasoner, 0 if config.mode is Mode.RANDOM else hints


def replays_a_step(config: RunConfig) -> int:
    """Archived hints a step once the archive has enough of them."""
    if config.mode is Mode.CLEAN_RL:
        return 0
    share, fresh = config.curriculum.replay_share, config.rollout.questions * config.rollout.hints
    return round(fresh * share / (1 - share)) if share < 1 else fresh


def learn_scale(config: RunConfig, cores: int, past: Sequence[RunSummary]) -> tuple[float, int]:
    """Measured over guessed step times of finished runs of the same model on the same engine, median; and how many
    there were."""
    ratios = []
    for summary in past:
        state, other = summary.state, summary.config
        if state is None or other is None or state.status is not RunStatus.FINISHED:
            continue
        same_model = without_commit(other.model.path) == without_commit(config.model.path)
        if not same_model or other.model.tuning != config.model.tuning or _engine(other) != _engine(config):
            continue
        seconds = [s for s in state.history.series("seconds")[1] if s]
        guessed = step_seconds(other, model_parameters(other), other.model.threads or cores)
        if seconds and guessed > 0:
            ratios.append(statistics.median(seconds) / guessed)
    return (statistics.median(ratios), len(ratios)) if ratios else (1.0, 0)


def _engine(config: RunConfig) -> str:
    """The address of the server; "" for this machine."""
    return config.engine.url if config.engine.backend is EngineKind.TINKER else ""


def estimate_memory(
    config: RunConfig, parameters: int | None = None, shape: Shape | None = None,
    measured: RunMeasurement | None = None,
) -> MemoryEstimate:  # fmt: skip
    """Main memory at its peak: what a dry run `measured`, or a guess from the model's size and the settings."""
    if measured is not None:
        return _measured_memory(config, measured)
    if config.engine.backend is EngineKind.TINKER:
        here = EstimatePart("libraries; model and optimiser are on the server", LIBRARIES_MB, Basis.GUESS)
        return MemoryEstimate(here.value, (here,))
    found = memory_parts(
        config, parameters or model_parameters(config), shape or read_shape(model_folder(config)),
        adversary_parameters(config), local_judge(config),
    )  # fmt: skip
    more = max(STAGES, key=lambda part: found[part])
    for part in STAGES:
        if part is not more:
            del found[part]
    parts = tuple(EstimatePart(str(part), mb, Basis.GUESS) for part, mb in found.items() if mb or part is more)
    return MemoryEstimate(sum(p.value for p in parts), parts)


def _measured_memory(config: RunConfig, found: RunMeasurement) -> MemoryEstimate:
    """The peak, and what more solutions take that are sampled together in the whole suite than in its part."""
    rows = min(CPU_SEQUENCES, config.evaluation.problems * EVAL_CONDITIONS)
    together = rows / max(1, min(CPU_SEQUENCES, found.eval_problems * EVAL_CONDITIONS))
    stays = max(found.loaded_mb, found.trained_mb)
    # Memory that was given up stays with the process for a while, so that stages do not add up.
    peak = found.peak_mb + max(0.0, found.evaluated_mb - found.loaded_mb) * max(0.0, together - 1.0)
    figures = (
        ("libraries, weights", found.loaded_mb), ("what training keeps", stays - found.loaded_mb),
        ("at the widest moment, beyond", peak - stays),
    )  # fmt: skip
    return MemoryEstimate(peak, tuple(EstimatePart(name, mb, Basis.MEASURED) for name, mb in figures))


def checkpoint_mb(config: RunConfig, parameters: int, shape: Shape | None = None) -> float:
    """Of one checkpoint: weights and moments, or those of the adapter."""
    if config.model.tuning is Tuning.FULL:
        own = adversary_parameters(config) if Role.ADVERSARY in trained_roles(config) else 0
        return BYTES_PER_PARAMETER * (parameters + own) / 2**20
    shape = shape or read_shape(model_folder(config))
    # Of the adapter's 12 bytes a parameter in memory, gradients stay there.
    return memory_parts(config, parameters, shape)[Part.OPTIMISER]


def disk_mb(config: RunConfig, parameters: int, measured: RunMeasurement | None = None) -> float:
    """What its checkpoints take on the disk in the end."""
    one = measured.checkpoint_mb if measured is not None else checkpoint_mb(config, parameters)
    count, keep = count_checkpoints(config), config.checkpoint.keep
    kept = one * (min(count, keep + 1) if keep else count)
    if not config.adversary.opponents or Role.ADVERSARY not in trained_roles(config):
        return kept
    # Past Adversaries are weights alone, without the moments.
    weights = checkpoint_mb(config, adversary_parameters(config) or parameters) / 3
    return kept + weights * min(count, OPPONENTS)


def model_parameters(config: RunConfig) -> int:
    """Parameters of the configured model, read from its files; the starter's size where they cannot be read."""
    folder = model_folder(config)
    return (count_parameters(folder) if folder is not None else None) or STARTER_PARAMETERS


def adversary_parameters(config: RunConfig) -> int:
    """Of an Adversary's own model, read as the Reasoner's are; 0 where one model plays both roles."""
    if not has_own_adversary(config):
        return 0
    return model_parameters(replace(config, model=replace(config.model, path=config.adversary.model)))


def local_judge(config: RunConfig) -> tuple[int, Shape] | None:
    """Parameters and shape of the judge that the trainer's process holds; None without one, and for a server."""
    if not config.judge.model:
        return None
    try:
        found = find_judge(config.judge.model, config.model.path)
        if found.kind is JudgeKind.GGUF:
            facts = describe_gguf(Path(found.place))
            # A cell is 16 bits of keys and of values in each layer.
            cache_width = facts.cell_bytes // (4 * max(1, facts.n_layers))
            return facts.n_params, Shape(facts.n_layers, facts.width, cache_width, facts.n_vocab)
    except UserError:
        return None
    folder = Path(found.place)
    parameters = count_parameters(folder) if found.kind is JudgeKind.FOLDER else None
    return (parameters, read_shape(folder)) if parameters else None


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


def _prompt_tokens(config: RunConfig) -> int:
    return PROMPT_TOKENS if config.model.path == "starter" else LONG_PROMPT_TOKENS


def _read_s(parameters: int) -> float:
    """Seconds to read one token of a prompt: 2 N floating-point operations."""
    return 2e-9 * parameters / LEARN_GFLOP_PER_S


def _speed_up(cores: int) -> float:
    # Sampling of small models stops gaining beyond a few cores.
    return 1 + PARALLEL * (min(cores, 8) - 1)
