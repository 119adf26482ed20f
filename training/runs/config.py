"""Every option of a run, declared once (default, help, unit, range), and how configurations are read and written:
TOML for people, JSON in the run directory, KEY=VALUE on the command line.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, cast, get_type_hints

import msgspec

from training.core.gates import GateLimits
from training.core.gym import DOMAINS, NOT_INSTALLED, installed
from training.core.options import option, toml_value
from training.core.problems import FAMILIES
from training.core.prompts import ProfileError, PromptProfile, Sampling, profile_from_dict, profile_to_toml
from training.core.types import Aggregation, HintType, Role
from training.core.validity import JudgeOptions
from training.errors import UserError
from training.prompt_files import AUTO, BUILT_IN, STARTER, choose_profile, names_file, successor
from training.runs.files import expanded

PROFILE = "profile"
OTHER_WORDS = "other_words"
"""The value of reasoner.anchor_problems that names no file."""
OLD_PROMPTS, PROMPTS = "model.prompt_style", "model.prompts"
"""The key of prompts in the configurations of version 0.1, and today's."""
MOST_STEPS = 1_000_000


class Mode(StrEnum):
    """What is trained, and against what. All but the first are baselines."""

    SEIRENES = "seirenes"
    """Self-play: the Adversary learns, the Reasoner trains on clean and hinted questions."""
    CLEAN_RL = "clean_rl"
    """GRPO on clean questions only, at the same number of rollouts."""
    STATIC = "static"
    """The Adversary writes hints with its starting weights' skill: it is sampled but never trained."""
    RANDOM = "random"
    """Hints drawn from the hint language, in place of the Adversary."""


class AdversaryReward(StrEnum):
    """How the Adversary is paid. `drop` is the paper's; `indicator` is reported of it; the others are ours."""

    DROP = "drop"
    INDICATOR = "indicator"
    MARGIN = "margin"
    LEARNABLE = "learnable"


class Baseline(StrEnum):
    """What is subtracted from a reward."""

    GROUP = "group"
    ROLE_EMA = "role_ema"


class Scale(StrEnum):
    """What an advantage is divided by."""

    GROUP = "group"
    NONE = "none"


class Truncated(StrEnum):
    """What becomes of a completion that hit the length limit. Its reward is 0 either way."""

    KEEP = "keep"
    MASK = "mask"


class ReplayBy(StrEnum):
    """Which archived hints are replayed most, by the Reasoner's success w on them."""

    HARD = "hard"
    """Those it fails at: (1 − w)²."""
    UNCERTAIN = "uncertain"
    """Those it solves half the time: w(1 − w). A hint that is never or always solved has no gradient."""


class HintPlacement(StrEnum):
    """Where a hint stands in R3. `append` is the paper's; `varied` is ours."""

    APPEND = "append"
    VARIED = "varied"


class Tuning(StrEnum):
    """Which weights learn."""

    FULL = "full"
    LORA = "lora"


class OnDrop(StrEnum):
    """What the clean guard does."""

    ALARM = "alarm"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True)
class ModelConfig:
    """Which model plays."""

    path: str = option(STARTER, "A Hugging Face folder, or 'starter' for the bundled reasoner.", path=True)
    tuning: Tuning = option(Tuning.FULL, "Train all weights, or a LoRA adapter.")
    lora_rank: int = option(16, "Rank of the adapter.", low=1, high=512)
    lora_alpha: int = option(32, "Scale of the adapter (alpha).", low=1, high=1024)
    device: str = option("auto", "auto, cpu, cuda or mps.", choices=("auto", "cpu", "cuda", "mps"))
    dtype: str = option("auto", "auto, float32 or bfloat16.", choices=("auto", "float32", "bfloat16"))
    threads: int = option(0, "CPU threads; 0 measures and chooses.", low=0, high=256)
    prompts: str = option(
        AUTO, "Prompt profile: a name or a TOML file. auto: compact for the bundled reasoner, neutral for others.",
        choices=(AUTO, *BUILT_IN), path=True,
    )  # fmt: skip


class EngineKind(StrEnum):
    """What samples and trains."""

    LOCAL = "local"
    TINKER = "tinker"


@dataclass(frozen=True)
class EngineConfig:
    """What samples and trains: this machine, or a server that speaks the Tinker API."""

    backend: EngineKind = option(EngineKind.LOCAL, "local: this machine. tinker: a server that speaks the Tinker API.")
    url: str = option("http://127.0.0.1:8000", "Address of the server. Save its key with: seirenes engine key URL")
    base_model: str = option("", "The server's name of the model in model.path. Empty: the path itself.")
    concurrency: int = option(64, "Requests to the server at a time.", low=1, high=4096)
    timeout_s: float = option(600.0, "Longest wait for one answer of the server.", unit="s", low=5, high=86_400)
    patience_s: float = option(
        300.0, "How long a server that cannot be reached is waited for before the run fails.", unit="s", low=0,
        high=86_400,
    )  # fmt: skip
    fetch: bool = option(True, "Download the adapter into every checkpoint, so that all pages can open it.")
    accept: str = option("", "Settings that the server may ignore, by key, comma separated: update.max_grad_norm.")


@dataclass(frozen=True)
class DataConfig:
    """Which questions are asked."""

    families: str = option(
        "all", "Problem families, comma separated, or 'all' of the bundled ones; gym:NAME with reasoning-gym.",
        choices=FAMILIES, many=True, more=DOMAINS,
    )  # fmt: skip
    problems: str = option("", "A JSONL file of problems in place of the generated families.", path=True)
    pool: int = option(4000, "Questions in the training pool.", low=4, high=1_000_000)
    seed: int = option(0, "Seed of the run: questions, sampling, order.", low=0)


@dataclass(frozen=True)
class RolloutConfig:
    """How much is sampled a step."""

    questions: int = option(32, "Questions a step.", low=1, high=4096)
    clean: int = option(4, "G1: clean solutions a question.", low=2, high=256)
    hints: int = option(4, "G2: hints a question.", low=2, high=256)
    hinted: int = option(4, "G3: solutions a hint.", low=1, high=256)
    hinted_first: int = option(
        0, "Solutions that a hint gets first; the others of G3 only where these are neither all right nor all wrong. "
        "0: all at once.", low=0, high=256,
    )  # fmt: skip
    temperature: float = option(1.0, "Sampling temperature.", low=0.05, high=3.0)
    max_solution_tokens: int = option(128, "Longest solution.", unit="tokens", low=8, high=65_536)
    max_hint_tokens: int = option(64, "Longest hint.", unit="tokens", low=4, high=4096)


@dataclass(frozen=True)
class AdversaryConfig:
    """How the Adversary is asked and paid."""

    model: str = option(
        "", "A model of the Adversary's own: 'starter', a folder, a hub id, RUN or RUN@STEP; a GGUF file too where "
        "it is not trained. Empty: one model plays both roles.", path=True,
    )  # fmt: skip
    train: bool = option(True, "Train the Adversary. Otherwise it writes as its model does.")
    reward: AdversaryReward = option(
        AdversaryReward.DROP, "drop (the paper's), indicator, margin, or learnable: the drop, but 0 where no solution "
        "is right, as such a hint teaches the Reasoner nothing.",
    )  # fmt: skip
    margin: float = option(0.25, "δ of the margin reward.", low=0.0, high=1.0)
    gate_penalty: float = option(-0.2, "Reward of a hint that fails a gate.", low=-1.0, high=0.0)
    types: str = option(
        "all", "Hint types, comma separated, or 'all'; drawn by quota.", choices=map(str, HintType), many=True
    )
    quota: bool = option(True, "Deal the hint types evenly over a step's questions; otherwise each is drawn.")
    opponents: float = option(
        0.0, "Share of a step's questions whose hints a past Adversary of the run writes, which trains the Reasoner "
        "alone. One is kept every checkpoint.every steps, eight at most.", low=0.0, high=0.9,
    )  # fmt: skip
    loss_weight: float = option(1.0, "Weight of the Adversary's loss.", low=0.0, high=10.0)
    learning_rate: float = option(
        0.0, "Learning rate of the Adversary's own model; 0: as update.learning_rate.", low=0.0, high=1.0
    )
    kl: float = option(
        0.05, "Weight of the Adversary's KL to the starting model: keeps hints readable.", low=0.0, high=10.0
    )


@dataclass(frozen=True)
class ReasonerConfig:
    """How the Reasoner learns."""

    train: bool = option(
        True, "Train the Reasoner. Otherwise it stays as it is, and an Adversary of its own model learns against it."
    )
    loss_weight: float = option(1.0, "Weight of the Reasoner's loss.", low=0.0, high=10.0)
    truncated: Truncated = option(Truncated.KEEP, "Keep truncated solutions with reward 0, or mask them out.")
    clean_anchor: float = option(
        8.0, "Weight of a KL to the starting model on clean solutions: keeps skill without hints.", low=0, high=100
    )
    anchor_share: float = option(
        1.0, "Share of a step's clean questions, drawn each step, that the clean anchor is computed on: fewer cost "
        "less, and the pull is as strong but noisier.", low=0.0, high=1.0,
    )  # fmt: skip
    anchor_problems: str = option(
        "", "Further questions for the clean anchor, never hinted: skill is then also kept beyond the wordings of the "
        "pool. other_words: stories that the bundled families would write otherwise; or a JSONL file of problems.",
        choices=("", OTHER_WORDS), path=True,
    )  # fmt: skip
    anchor_questions: int = option(64, "How many of them a step asks, once each.", unit="questions", low=1, high=4096)
    imitation: float = option(
        0.0, "Weight of imitating an own clean solution under hints that none of the solutions withstood: such a group "
        "has no gradient otherwise.", low=0.0, high=10.0,
    )  # fmt: skip
    needed_share: float = option(
        0.0, "Share of a step's questions that R1 asks once more with the question before the story's last sentence: "
        "text after it must be used.", low=0.0, high=1.0,
    )  # fmt: skip
    placement: HintPlacement = option(
        HintPlacement.APPEND, "Where hints stand in R3. append: after the question, as in the paper. varied: for each "
        "hint drawn from after the question, before the story, and, where the next sentence keeps its meaning, before "
        "the question or between two facts.",
    )  # fmt: skip


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
    aggregation: Aggregation = option(Aggregation.TOKEN, "token (DAPO), sequence or constant (Dr. GRPO).")
    epochs: int = option(1, "Passes over a step's rows.", low=1, high=16)
    max_grad_norm: float = option(1.0, "Gradient clipping.", low=0.0)
    weight_decay: float = option(0.0, "AdamW weight decay.", low=0.0, high=1.0)
    buffer_rows: int = option(2048, "Bounded FIFO buffer of unused groups, a role.", unit="rows", low=0)
    max_rows: int = option(0, "Most rows an update of a role; 0 takes all.", unit="rows", low=0)
    reuse: bool = option(True, "Train on groups that a bounded update left over in a later one; otherwise drop them.")


@dataclass(frozen=True)
class CurriculumConfig:
    """What keeps the game wide and honest."""

    replay_share: float = option(0.2, "Share of R3 that replays archived hints.", low=0.0, high=1.0)
    archive: str = option(
        "", "File of hints that the archive begins with, as `seirenes redteam export --to archive` writes it; empty: "
        "none.", path=True,
    )  # fmt: skip
    replay_by: ReplayBy = option(
        ReplayBy.HARD, "Which archived hints are replayed most. hard: those that the Reasoner fails at; uncertain: "
        "those that it solves half the time, as hints that are never or always solved teach it nothing.",
    )  # fmt: skip
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
    steps: int = option(80, "Self-play steps.", unit="steps", low=1, high=MOST_STEPS)
    max_rollouts: int = option(0, "Stop after the step that reaches this many rollouts; 0: no limit.", low=0)
    model: ModelConfig = field(default_factory=ModelConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    data: DataConfig = field(default_factory=DataConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
    reasoner: ReasonerConfig = field(default_factory=ReasonerConfig)
    gates: GateLimits = field(default_factory=GateLimits)
    judge: JudgeOptions = field(default_factory=JudgeOptions)
    advantage: AdvantageConfig = field(default_factory=AdvantageConfig)
    update: UpdateConfig = field(default_factory=UpdateConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    profile: PromptProfile | None = None
    """The whole prompt profile. Kept with a run when it is made; without it `model.prompts` says which."""


@dataclass(frozen=True)
class OptionInfo:
    """One option of the schema. `key` is dotted; `type` is bool, int, float, str or a StrEnum."""

    key: str
    type: type
    default: Any
    help: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    """The usual values of text, all values of a StrEnum; for `many`, the names for a comma-separated list or 'all'."""
    many: bool
    more: tuple[str, ...]
    """Values that are known besides `choices`, too many to show at once."""
    path: bool
    """Whether another value may name a file or a folder."""
    section: str
    section_help: str


@dataclass(frozen=True)
class Preset:
    """A configuration that ships, with one line about it."""

    name: str
    description: str
    config: RunConfig


def describe_options() -> tuple[OptionInfo, ...]:
    """Every option in the schema's order; the window's form and the command's --set are made from it."""
    return tuple(_describe(RunConfig, ""))


def _describe(schema: type, section: str) -> list[OptionInfo]:
    hints, found = get_type_hints(schema), []
    for f in fields(schema):
        kind = hints[f.name]
        if f.name == PROFILE:
            continue
        if is_dataclass(kind):
            found += _describe(cast(type, kind), f.name)
            continue
        m = f.metadata
        choices = tuple(str(c) for c in kind) if issubclass(kind, StrEnum) else m["choices"]
        key = f"{section}.{f.name}" if section else f.name
        help_ = (schema.__doc__ or "").strip().splitlines()[0]
        known = {name: m[name] for name in ("help", "unit", "low", "high", "many", "more", "path")}
        found.append(OptionInfo(key, kind, f.default, choices=choices, section=section, section_help=help_, **known))
    return found


_OPTIONS = {o.key: o for o in describe_options()}


def to_dict(config: RunConfig) -> dict[str, Any]:
    data = cast(dict[str, Any], msgspec.to_builtins(config))
    if config.profile is None:
        del data[PROFILE]
    return data


def profile_of(config: RunConfig) -> PromptProfile:
    """How a run prompts its model: the profile that is kept with it, or the one that `model.prompts` names."""
    return config.profile if config.profile is not None else _choose_profile(config)


def _choose_profile(config: RunConfig) -> PromptProfile:
    """What `model.prompts` names. An Adversary of another kind of model is asked as that kind is."""
    profile = choose_profile(config.model.prompts, config.model.path)
    if not has_own_adversary(config):
        return profile
    other = choose_profile(config.model.prompts, config.adversary.model)
    if other.digest == profile.digest:
        return profile
    return replace(
        profile, name=f"{profile.name}+{other.name}", adversary=other.adversary, types=other.types,
        max_hint_characters=other.max_hint_characters,
    )  # fmt: skip


def with_profile(config: RunConfig) -> RunConfig:
    """The configuration of a run that begins now, with its whole prompt profile. A UserError where it cannot train."""
    if config.model.prompts != AUTO and config.profile is not None:
        made = config
    else:
        made = replace(config, profile=_choose_profile(config))
    assert made.profile is not None
    _check_sampling(made.profile)
    return made


def has_own_adversary(config: RunConfig) -> bool:
    """Whether a second model writes the hints."""
    return bool(config.adversary.model) and config.mode in (Mode.SEIRENES, Mode.STATIC)


def trained_roles(config: RunConfig) -> frozenset[Role]:
    """The roles whose rollouts change weights."""
    trained = {Role.REASONER: config.reasoner.train}
    trained[Role.ADVERSARY] = config.adversary.train and config.mode is Mode.SEIRENES
    return frozenset(role for role, learns in trained.items() if learns)


def is_anchored(config: RunConfig) -> bool:
    """Whether clean solutions are held to the starting model: `clean_rl` has no need of it."""
    learns = Role.REASONER in trained_roles(config)
    return learns and config.reasoner.clean_anchor > 0 and config.mode is not Mode.CLEAN_RL


def further_questions(config: RunConfig) -> int:
    """How many questions of `reasoner.anchor_problems` a step asks."""
    r = config.reasoner
    return r.anchor_questions if r.anchor_problems and is_anchored(config) else 0


def named_paths(config: RunConfig) -> dict[str, str]:
    """What a configuration names that may be a file or a folder, by option. A model may also be one of the hub, of a
    run or behind an endpoint."""
    values = {o.key: getattr(getattr(config, o.section), o.key.rpartition(".")[2]) for o in _OPTIONS.values() if o.path}
    return {key: value for key, value in values.items() if _may_be_path(_OPTIONS[key], value)}


def named_files(config: RunConfig) -> dict[str, str]:
    """The files of problems and hints that a configuration names, by option."""
    files = ("data.problems", "reasoner.anchor_problems", "curriculum.archive")
    return {key: value for key, value in named_paths(config).items() if key in files}


def _may_be_path(option: OptionInfo, value: Any) -> bool:
    usual = ("", STARTER, *option.choices)
    return option.path and value not in usual and (option.key != PROMPTS or names_file(value))


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """The configuration with the paths that it names, relative to the working directory, made absolute, so that it
    means the same wherever the process is that reads it.

    What is not there stays as it is: it may be a hub id, a run, an endpoint, or on another machine.
    """
    named = named_paths(config)
    changed = {key: found for key, name in named.items() if (found := _absolute(name, Path())) != name}
    return _changed(config, changed, "the configuration") if changed else config


def absolute_setting(setting: str, folder: Path) -> str:
    """A text KEY=VALUE, with a path relative to `folder`, else to the working directory, made absolute."""
    key, equals, value = setting.partition("=")
    return f"{key}{equals}{_resolve(key.strip(), value.strip(), folder, Path())}"


def _resolve(key: str, value: Any, *folders: Path) -> Any:
    """The value of an option: a path that is there, relative to the first of `folders` that has it, is absolute."""
    option = _OPTIONS.get(key)
    if option is None or not isinstance(value, str) or not _may_be_path(option, value):
        return value
    for folder in folders:
        value = _absolute(value, folder)
    return value


def _absolute(name: str, folder: Path) -> str:
    path = folder / expanded(name)
    run, at, step = name.rpartition("@")
    if at and step.isdigit() and not os.path.lexists(path):
        run = _absolute(run, folder)
        return f"{run}@{step}" if (Path(run) / "checkpoints").is_dir() else name
    return str(path.absolute()) if os.path.lexists(path) else name


def check_roles(config: RunConfig) -> None:
    """A UserError where nothing would be trained, or a Reasoner that shall stay as it is shares its weights."""
    if not trained_roles(config):
        why = "adversary.train is false" if config.mode is Mode.SEIRENES else f"mode {config.mode} trains no Adversary"
        raise UserError(
            f"Nothing would be trained: reasoner.train is false, and {why}. Set one of the two to be trained."
        )
    own = has_own_adversary(config)
    if config.adversary.learning_rate and not own and Role.ADVERSARY in trained_roles(config):
        raise UserError(
            "adversary.learning_rate is set, and one model plays both roles: its weights have one learning rate. Set "
            "adversary.model, for example to 'starter', or raise adversary.loss_weight."
        )
    if not config.reasoner.train and not own:
        raise UserError(
            "reasoner.train is false, and the Adversary has no model of its own: training it would change the "
            "Reasoner. Set adversary.model, for example to 'starter'."
        )


SERVER_ALPHA = 32
"""The scale of adapters on servers of the Tinker API; a request cannot set it."""
UNHONOURED = ("update.max_grad_norm",)
"""Settings that some of these servers ignore without a word; `engine.accept` says that this is known."""


def check_engine(config: RunConfig) -> None:
    """A UserError that names the setting which a server of the Tinker API cannot honour. Asks no server."""
    if config.engine.backend is not EngineKind.TINKER:
        return
    accepted = {key.strip() for key in config.engine.accept.split(",") if key.strip()}
    r, u, a = config.rollout, config.update, config.adversary
    refused = (
        ("model.tuning", config.model.tuning is not Tuning.LORA, "is 'full': the server trains adapters alone",
         "Set model.tuning = 'lora'."),
        ("model.lora_alpha", config.model.lora_alpha != SERVER_ALPHA,
         f"is {config.model.lora_alpha}: the server's adapters have the scale {SERVER_ALPHA}",
         f"Set model.lora_alpha = {SERVER_ALPHA}."),
        ("rollout.temperature", r.temperature != 1.0,
         f"is {r.temperature:g}: the server trains with log-probabilities at temperature 1",
         "Set rollout.temperature = 1."),
        ("adversary.opponents", a.opponents > 0,
         "is above 0: sampling with an older adapter can replace the one that is trained",
         "Set adversary.opponents = 0."),
        ("adversary.model", has_own_adversary(config) and config.mode is Mode.SEIRENES and a.train,
         "names a second model that would be trained: the engine trains one",
         "Leave adversary.model empty, or set adversary.train = false."),
        ("update.max_grad_norm", u.max_grad_norm > 0,
         f"is {u.max_grad_norm:g}: SkyRL does not clip gradients, and no server says whether it does",
         "Set update.max_grad_norm = 0."),
    )  # fmt: skip
    for key, holds, why, remedy in refused:
        if holds and key not in accepted:
            if key in UNHONOURED:
                remedy += f" Or run without it being honoured: engine.accept = '{key}'."
            raise UserError(f"engine.backend = 'tinker': {key} {why}. {remedy}")


def _check_sampling(profile: PromptProfile) -> None:
    """Training samples from the model's own distribution, as it learns from the log-probabilities of that one."""
    usual, sampling = Sampling(), profile.sampling
    names = ("top_p", "top_k", "min_p", "repetition_penalty", "stop")
    changed = [name for name in names if getattr(sampling, name) != getattr(usual, name)]
    if changed:
        raise UserError(
            f"The prompt profile {profile.name!r} sets {', '.join(changed)}, which a run cannot train with: the "
            "log-probabilities of sampler and trainer would differ. Choose a profile without; rollout.temperature is "
            "the one setting of sampling in training."
        )


def from_dict(data: Mapping[str, Any], source: str) -> RunConfig:
    """A configuration from nested values; options left out have their defaults. `source` is named in errors."""
    plain, profile = _take_profile(data, source)
    return replace(_build(dict(_flatten(plain, "", source)), source), profile=profile)


def _take_profile(data: Mapping[str, Any], source: str) -> tuple[dict[str, Any], PromptProfile | None]:
    """The options alone, and the prompt profile beside them."""
    plain = dict(data)
    stored = plain.pop(PROFILE, None)
    if stored is None:
        return plain, None
    if not isinstance(stored, Mapping):
        raise UserError(f"{source}: {PROFILE} should be a table, a whole prompt profile. Remove it, or correct it.")
    try:
        return plain, profile_from_dict(stored)
    except ProfileError as error:
        raise UserError(f"{source}: {PROFILE}: {error} Correct it, or remove the table.") from error


def _flatten(data: Mapping[str, Any], section: str, source: str) -> list[tuple[str, Any]]:
    found = []
    for key, value in data.items():
        dotted = f"{section}.{key}" if section else str(key)
        if isinstance(value, Mapping):
            if not any(known.startswith(dotted + ".") for known in _OPTIONS):
                raise _unknown(dotted, source)
            found += _flatten(value, dotted, source)
        else:
            found.append((PROMPTS if dotted == OLD_PROMPTS else dotted, value))
    return found


def _build(values: Mapping[str, Any], source: str) -> RunConfig:
    checked: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        if key not in _OPTIONS:
            raise _unknown(key, source)
        section, _, leaf = key.rpartition(".")
        checked.setdefault(section, {})[leaf] = _check(_OPTIONS[key], value, source)
    default, top = RunConfig(), checked.pop("", {})
    return replace(default, **top, **{name: replace(getattr(default, name), **v) for name, v in checked.items()})


def _unknown(key: str, source: str) -> UserError:
    sections = {o.section for o in _OPTIONS.values() if o.section}
    near = difflib.get_close_matches(key, [*_OPTIONS, *sections], n=1, cutoff=0.4)
    if not near:
        leaves = {k.rpartition(".")[2]: k for k in _OPTIONS}
        near = [leaves[n] for n in difflib.get_close_matches(key.rpartition(".")[2], leaves, n=1, cutoff=0.5)]
    hint = f" Did you mean {near[0]!r}?" if near else " The options are listed in training/runs/config.py."
    return UserError(f"{source}: there is no option {key!r}.{hint}")


def _check(option: OptionInfo, value: Any, source: str) -> Any:
    where = f"{source}: {option.key} = {value!r}"
    if issubclass(option.type, StrEnum):
        if value not in option.choices:
            raise UserError(f"{where} {_not_among(str(value), option.choices)}")
        return option.type(value)
    if option.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not option.type:
        raise UserError(f"{where} should be {_TYPE_NAMES[option.type]}.")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = option.low, option.high
        inside = (low is None or value >= low) and (high is None or value <= high)  # NaN is outside of every range
        if not inside or value != value:
            raise UserError(f"{where} is out of range: {say_range(low, high)}.")
    return value


def find_unknown(option: OptionInfo, text: str) -> str:
    """What is wrong with a comma-separated list, "" if nothing is. Not part of reading: stored runs stay readable."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = (*option.choices, *option.more)
    if any(name in DOMAINS for name in names) and not installed():
        return f"{option.key}: {NOT_INSTALLED}"
    unknown = [name for name in names if name not in known] if names != ["all"] else []
    return f"{option.key}: {unknown[0]!r} {_not_among(unknown[0], option.choices, option.more)}" if unknown else ""


def _not_among(value: str, choices: Sequence[str], more: Sequence[str] = ()) -> str:
    near = difflib.get_close_matches(value, [*choices, *more], n=1)
    return f"is none of {', '.join(choices)}." + (f" Did you mean {near[0]!r}?" if near else "")


_TYPE_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def say_range(low: float | None, high: float | None) -> str:
    """An option's inclusive range in words: "1 to 1,000,000", "at least 0"; "" without one."""
    if low is None:
        return "" if high is None else f"at most {_say_number(high)}"
    return f"at least {_say_number(low)}" if high is None else f"{_say_number(low)} to {_say_number(high)}"


def _say_number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:,g}"


def parse_overrides(overrides: Sequence[str], source: str = "--set") -> dict[str, Any]:
    """KEY=VALUE texts as values of the schema's types."""
    parsed: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"{source} {text}: expected KEY=VALUE, for example update.kl=0.01.")
        name = key.strip()
        option = _OPTIONS.get(PROMPTS if name == OLD_PROMPTS else name)
        if option is None:
            raise _unknown(name, source)
        parsed[option.key] = successor(value.strip()) if name == OLD_PROMPTS else _read(option, value.strip())
    return parsed


RESUMABLE = (
    "steps", "max_rollouts", "model.device", "model.dtype", "model.threads", "rollout.questions", "rollout.clean",
    "rollout.hints", "rollout.hinted", "rollout.max_solution_tokens", "rollout.max_hint_tokens", "adversary.kl",
    "adversary.learning_rate", "reasoner.clean_anchor", "reasoner.anchor_share", "update.learning_rate", "update.kl",
    "update.max_rows", "evaluation.every", "checkpoint.every", "checkpoint.keep", "curriculum.archive",
)  # fmt: skip
"""What may be changed when a run is resumed: the others decide what its figures before and after can be compared on,
or are kept in its checkpoints."""


def change_for_resume(config: RunConfig, overrides: Sequence[str], source: str = "--set") -> RunConfig:
    """The configuration that an existing run goes on with; a UserError for an option that it must keep."""
    changed = parse_overrides(overrides, source)
    kept = next((key for key in changed if key not in RESUMABLE), None)
    if kept is not None:
        raise UserError(
            f"{source} {kept}: a run keeps this option. When it is resumed, these can be changed: "
            f"{', '.join(RESUMABLE)}."
        )
    return _changed(config, changed, source)


def with_overrides(config: RunConfig, overrides: Sequence[str], source: str = "--set") -> RunConfig:
    """The configuration with KEY=VALUE texts on top; a UserError names `source` for one that it cannot take."""
    return _changed(config, parse_overrides(overrides, source), source)


def _changed(config: RunConfig, changed: Mapping[str, Any], source: str) -> RunConfig:
    data = to_dict(config)
    for key, value in changed.items():
        section, _, leaf = key.rpartition(".")
        (data[section] if section else data)[leaf] = value
    return from_dict(data, source)


def _read(option: OptionInfo, text: str) -> Any:
    if option.type is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(text.lower(), text)
    with suppress(ValueError):
        return option.type(text) if option.type in (int, float) else text
    return text


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration in a .toml or .json file, with overrides on top; all mistakes are UserErrors.

    A path in a TOML file is relative to that file; one that is not there, and those of overrides, are relative to the
    working directory (`with_absolute_paths`).
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise UserError(f"Cannot read the configuration {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not a readable configuration: {error}. Correct that place, or restore the file."
        ) from error
    if not isinstance(data, dict):
        raise UserError(f"{path} should hold a table of options.")
    if not data:
        raise UserError(f"{path} holds no option. Write at least one, as in: steps = 80; or start from a preset.")
    plain, profile = _take_profile(data, str(path))
    values = dict(_flatten(plain, "", str(path)))
    if path.suffix != ".json" and PROMPTS in values and isinstance(values[PROMPTS], str):
        # A run directory's JSON goes on with what it began with; a file for a new run takes today's.
        values[PROMPTS] = successor(values[PROMPTS])
    changed = parse_overrides(overrides)
    if path.suffix != ".json":
        # A run directory's JSON has absolute paths, or, from an earlier version, ones of an unknown working directory.
        values = {key: _resolve(key, value, path.parent) for key, value in values.items()}
    config = _build({**values, **changed}, str(path))
    return config if PROMPTS in changed else replace(config, profile=profile)


def to_toml(config: RunConfig) -> str:
    """The whole configuration with each option's help as a comment; reads back equal."""
    lines: list[str] = []
    section, values = "", to_dict(config)
    for o in _OPTIONS.values():
        if o.section != section:
            section = o.section
            lines += ["", f"[{section}]  # {o.section_help}"]
        leaf = o.key.rpartition(".")[2]
        value = values[section][leaf] if section else values[leaf]
        unit = f" [{o.unit}]" if o.unit else ""
        lines.append(f"{leaf} = {toml_value(value)}  # {o.help}{unit}")
    if config.profile is not None:
        lines += ["", profile_to_toml(config.profile, PROFILE).rstrip("\n")]
    return "\n".join(lines).lstrip("\n") + "\n"


def load_presets(folder: Path) -> dict[str, Preset]:
    """The presets of a folder by name; the first comment line of each is its description."""
    found = {}
    for path in sorted(folder.glob("*.toml")):
        first = path.read_text(encoding="utf-8").split("\n", 1)[0]
        found[path.stem] = Preset(path.stem, first.lstrip("# ").strip(), load_config(path))
    return found
