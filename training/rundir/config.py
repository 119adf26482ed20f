"""Every option of a run, declared once: default, help, unit, range. Values only; reading and writing is `config_io`.

The window builds its form from this schema, the command its `--set`, the README its table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from training.core.prompts import PromptStyle


class Mode(StrEnum):
    """What is trained, and against what. All but the first are baselines."""

    SEIRENES = "seirenes"
    """Self-play: the Adversary learns, the Reasoner trains on clean and hinted questions."""
    CLEAN_RL = "clean_rl"
    """GRPO on clean questions only, at the same number of rollouts."""
    STATIC = "static"
    """The Adversary writes hints with its starting weights' skill: it is sampled but never trained."""
    RANDOM = "random"
    """Template hints in place of the Adversary."""


class AdversaryReward(StrEnum):
    """How the Adversary is paid. `drop` is the paper's; `indicator` is reported of it; `margin` is ours."""

    DROP = "drop"
    INDICATOR = "indicator"
    MARGIN = "margin"


class Baseline(StrEnum):
    """What is subtracted from a reward."""

    GROUP = "group"
    """The mean of the group (GRPO)."""
    ROLE_EMA = "role_ema"
    """An exponential moving average for the role (RAE, SPIRAL)."""


class Scale(StrEnum):
    """What an advantage is divided by."""

    GROUP = "group"
    """The group's standard deviation (GRPO)."""
    NONE = "none"
    """Nothing (Dr. GRPO)."""


class Truncated(StrEnum):
    """What becomes of a completion that hit the length limit. Its reward is 0 either way."""

    KEEP = "keep"
    MASK = "mask"


class Tuning(StrEnum):
    """Which weights learn."""

    FULL = "full"
    LORA = "lora"


class LossAggregation(StrEnum):
    """See `training.engine.base.Aggregation`, which has the same members."""

    TOKEN = "token"
    SEQUENCE = "sequence"
    CONSTANT = "constant"


class OnDrop(StrEnum):
    """What the clean guard does."""

    ALARM = "alarm"
    ROLL_BACK = "roll_back"


def option(default: Any, help: str, *, unit: str = "", low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field with its help, unit and inclusive range."""
    return field(default=default, metadata={"help": help, "unit": unit, "low": low, "high": high})


@dataclass(frozen=True)
class ModelConfig:
    """Which model plays."""

    path: str = option("starter", "A Hugging Face folder, or 'starter' for the bundled reasoner.")
    tuning: Tuning = option(Tuning.FULL, "Train all weights, or a LoRA adapter.")
    lora_rank: int = option(16, "Rank of the adapter.", low=1, high=512)
    lora_alpha: int = option(32, "Scale of the adapter (alpha).", low=1, high=1024)
    device: str = option("auto", "auto, cpu, cuda or mps.")
    dtype: str = option("auto", "auto, float32 or bfloat16.")
    threads: int = option(0, "CPU threads; 0 measures and chooses.", low=0, high=256)
    prompt_style: PromptStyle = option(
        PromptStyle.COMPACT, "compact for the bundled starter, instruct for any other model."
    )


@dataclass(frozen=True)
class DataConfig:
    """Which questions are asked."""

    families: str = option("all", "Problem families, comma separated, or 'all'.")
    problems: str = option("", "A JSONL file of problems in place of the generated families.")
    pool: int = option(4000, "Questions in the training pool.", low=4, high=1_000_000)
    seed: int = option(0, "Seed of the run: questions, sampling, order.", low=0)


@dataclass(frozen=True)
class RolloutConfig:
    """How much is sampled a step."""

    questions: int = option(32, "Questions a step.", low=1, high=4096)
    clean: int = option(4, "G1: clean solutions a question.", low=2, high=256)
    hints: int = option(4, "G2: hints a question.", low=2, high=256)
    hinted: int = option(4, "G3: solutions a hint.", low=1, high=256)
    temperature: float = option(1.0, "Sampling temperature.", low=0.05, high=3.0)
    max_solution_tokens: int = option(128, "Longest solution.", unit="tokens", low=8, high=65_536)
    max_hint_tokens: int = option(64, "Longest hint.", unit="tokens", low=4, high=4096)


@dataclass(frozen=True)
class AdversaryConfig:
    """How the Adversary is asked and paid."""

    reward: AdversaryReward = option(AdversaryReward.DROP, "drop (the paper's), indicator or margin.")
    margin: float = option(0.25, "δ of the margin reward.", low=0.0, high=1.0)
    gate_penalty: float = option(-0.2, "Reward of a hint that fails a gate.", low=-1.0, high=0.0)
    types: str = option("all", "Perturbation types, comma separated, or 'all'; drawn by quota.")
    loss_weight: float = option(1.0, "Weight of the Adversary's loss.", low=0.0, high=10.0)
    kl: float = option(
        0.05, "Weight of the Adversary's KL to the starting model: keeps hints readable.", low=0.0, high=10.0
    )


@dataclass(frozen=True)
class ReasonerConfig:
    """How the Reasoner learns."""

    loss_weight: float = option(1.0, "Weight of the Reasoner's loss.", low=0.0, high=10.0)
    truncated: Truncated = option(Truncated.KEEP, "Keep truncated solutions with reward 0, or mask them out.")
    clean_anchor: float = option(
        8.0, "Weight of a KL to the starting model on clean solutions alone: keeps undistracted skill.", low=0, high=100
    )


@dataclass(frozen=True)
class GateConfig:
    """Limits of the hint gates."""

    max_characters: int = option(240, "Longest hint.", unit="characters", low=10, high=10_000)
    max_ngram_share: float = option(0.25, "Largest share of repeated 3-grams.", low=0.0, high=1.0)
    max_number: int = option(10_000, "Largest number a hint may carry.", low=10)
    max_numbers: int = option(6, "Most numbers a hint may carry.", low=0, high=100)
    near_duplicate: float = option(0.9, "Similarity at which two hints count as one.", low=0.1, high=1.0)


@dataclass(frozen=True)
class AdvantageConfig:
    """Baseline and scale of advantages."""

    baseline: Baseline = option(Baseline.GROUP, "group (GRPO) or role_ema (RAE).")
    fallback: bool = option(False, "With group baselines: use the role EMA where a group has no spread.")
    scale: Scale = option(Scale.GROUP, "group: divide by the group's standard deviation; none: Dr. GRPO.")
    ema_decay: float = option(0.95, "Decay of the role EMA.", low=0.0, high=0.9999)


@dataclass(frozen=True)
class UpdateConfig:
    """The policy-gradient update."""

    learning_rate: float = option(2e-4, "Learning rate (1e-6 full / 1e-5 LoRA for large models).", low=0.0, high=1.0)
    warmup_steps: int = option(3, "Steps of linear warm-up.", unit="steps", low=0, high=10_000)
    clip_low: float = option(0.2, "Lower clip range of the importance ratio.", low=0.0, high=1.0)
    clip_high: float = option(0.28, "Upper clip range of the importance ratio.", low=0.0, high=10.0)
    kl: float = option(0.0, "Weight of the Reasoner's KL to the starting model (k3).", low=0.0, high=10.0)
    aggregation: LossAggregation = option(LossAggregation.TOKEN, "token (DAPO), sequence or constant (Dr. GRPO).")
    epochs: int = option(1, "Passes over a step's rows.", low=1, high=16)
    max_grad_norm: float = option(1.0, "Gradient clipping.", low=0.0)
    weight_decay: float = option(0.0, "AdamW weight decay.", low=0.0, high=1.0)
    buffer_rows: int = option(2048, "Bounded FIFO buffer of unused groups, a role.", unit="rows", low=0)
    max_rows: int = option(0, "Most rows an update of a role; 0 takes all.", unit="rows", low=0)


@dataclass(frozen=True)
class CurriculumConfig:
    """What keeps the game wide and honest."""

    replay_share: float = option(0.2, "Share of R3 that replays archived hints.", low=0.0, high=1.0)
    mastered_weight: float = option(0.25, "How often a mastered question is drawn, beside 1.", low=0.0, high=1.0)
    guard_margin: float = option(0.05, "Fall of clean held-out accuracy that raises the alarm.", low=0.0, high=1.0)
    guard_action: OnDrop = option(OnDrop.ALARM, "alarm, or roll_back to the last good checkpoint.")


@dataclass(frozen=True)
class EvalConfig:
    """The frozen suite."""

    every: int = option(20, "Steps between evaluations; 0: only before and after.", unit="steps", low=0)
    problems: int = option(200, "Held-out problems of the suite.", low=4, high=100_000)
    seed: int = option(2605, "Seed of the suite; the same seed is the same suite.", low=0)
    max_new_tokens: int = option(128, "Longest solution.", unit="tokens", low=8, high=65_536)


@dataclass(frozen=True)
class CheckpointConfig:
    """When weights are kept."""

    every: int = option(20, "Steps between checkpoints; 0: only at the end.", unit="steps", low=0)
    keep: int = option(0, "Newest checkpoints to keep; 0 keeps all.", low=0)


@dataclass(frozen=True)
class RunConfig:
    """One run, whole."""

    name: str = option("demo", "Name of the run.")
    mode: Mode = option(Mode.SEIRENES, "seirenes, or a baseline: clean_rl, static, random.")
    steps: int = option(80, "Self-play steps.", unit="steps", low=1, high=1_000_000)
    max_rollouts: int = option(0, "Stop after the step that reaches this many rollouts; 0: no limit.", low=0)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
    reasoner: ReasonerConfig = field(default_factory=ReasonerConfig)
    gates: GateConfig = field(default_factory=GateConfig)
    advantage: AdvantageConfig = field(default_factory=AdvantageConfig)
    update: UpdateConfig = field(default_factory=UpdateConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
