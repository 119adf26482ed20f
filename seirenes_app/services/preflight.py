"""What a run will take, whether it fits now, and what a person should know before they start it. Nothing here refuses
a run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seirenes_app.services import estimate
from seirenes_app.services.dry_run import known_measurement
from seirenes_app.services.formatting import megabytes
from seirenes_app.services.judging import judge_warnings
from seirenes_app.services.machine import read_memory
from seirenes_app.services.models.facts import kind_of, read_files, template_of
from seirenes_app.services.run_repository import find_checkpoint
from training.core.prompts import ModelKind, PromptProfile, TokenLimits
from training.core.types import Role
from training.errors import UserError
from training.memory import LIBRARIES_MB
from training.model_names import locate_folder, locate_model
from training.prompt_files import AUTO, COMPACT, STARTER, built_in, choose_profile
from training.runs.config import (
    EngineKind,
    RunConfig,
    check_engine,
    check_roles,
    has_own_adversary,
    named_files,
    profile_of,
    trained_roles,
)
from training.runs.files import expanded
from training.runs.lock import holder
from training.runs.paths import RunPaths
from training.runs.processes import RunSummary

NAME_CHARACTERS = 32


@dataclass(frozen=True)
class MachineState:
    """What the machine has to give now."""

    memory_free_mb: float
    disk_free_mb: float
    live: tuple[str, ...]
    """Runs that have a trainer."""
    gpu_free_mb: float = 0.0
    """0 where there is no GPU."""


@dataclass(frozen=True)
class Needs:
    """What a configuration takes: as measured by a dry run, or guessed."""

    time: estimate.TimeEstimate
    memory: estimate.MemoryEstimate
    disk_mb: float
    gpu_mb: float = 0.0
    """Of a GPU's memory, where one is used and it was measured; otherwise `memory` stands for it."""


@dataclass(frozen=True)
class Preflight:
    """What a configuration will take, and warnings: a sentence or two each."""

    config: RunConfig
    needs: Needs
    warnings: tuple[str, ...]
    fitting: PromptProfile
    """The profile that goes with the model."""
    limits: TokenLimits
    """Suggested for the model and the chosen prompts."""

    @property
    def time(self) -> estimate.TimeEstimate:
        return self.needs.time

    @property
    def memory(self) -> estimate.MemoryEstimate:
        return self.needs.memory


def find_needs(config: RunConfig, past: Sequence[RunSummary] = (), workspace: Path | None = None) -> Needs:
    """Read the model's small files and what was measured before: call it off the window's thread."""
    measured = known_measurement(workspace, config)
    parameters = estimate.model_parameters(config)
    return Needs(
        estimate.estimate_time(config, parameters=parameters, past=past, measured=measured),
        estimate.estimate_memory(config, parameters, measured=measured),
        estimate.disk_mb(config, parameters, measured), measured.gpu_mb if measured is not None else 0.0,
    )  # fmt: skip


def check_run(
    config: RunConfig, past: Sequence[RunSummary], runs_root: Path, workspace: Path | None = None
) -> Preflight:
    """Estimate and warn. Reads the machine and the locks of all runs: call it off the window's thread."""
    needs = find_needs(config, past, workspace)
    fitting, limits, cautions = check_prompts(config)
    return Preflight(config, needs, find_warnings(config, needs, read_machine_state(runs_root)) + cautions, fitting,
                     limits)  # fmt: skip


def check_prompts(config: RunConfig) -> tuple[PromptProfile, TokenLimits, tuple[str, ...]]:
    """The profile that fits the model, the token limits that suit it, and warnings. Reads the model's small files."""
    fitting, kind = choose_profile(AUTO, config.model.path), ModelKind.COMPACT
    found: list[str] = []
    if config.model.path != STARTER:
        try:
            files = read_files(locate_model(config.model.path))
            template = template_of(files)
            kind = kind_of(files, template)
            if template.note:
                found.append(template.note.text)
            if template.plain:
                found.append("A model without a chat template seldom ends its answers. Choose an instruct model.")
        except UserError:
            # Another warning says what is wrong with the model.
            kind = ModelKind.INSTRUCT
    try:
        used = profile_of(config)
    except UserError as error:
        return fitting, fitting.limits_for(kind), (*found, str(error))
    limits = used.limits_for(kind)
    compact = used.digest == built_in(COMPACT).digest
    if compact and kind is not ModelKind.COMPACT:
        found.append(
            "The prompts “compact” tell a model nothing of the form of its answer: only the bundled reasoner knows it. "
            "Set model.prompts to auto."
        )
    short = [
        c for c in (config.rollout.max_solution_tokens, config.evaluation.max_new_tokens) if 2 * c < limits.solution
    ]
    if short:
        found.append(
            f"Solutions end at {short[0]:,} tokens; for a model of this kind {limits.solution:,} are suggested "
            "(rollout.max_solution_tokens, evaluation.max_new_tokens). A solution that is cut off earns nothing."
        )
    return fitting, limits, tuple(found)


def read_machine_state(runs_root: Path) -> MachineState:
    existing = next((p for p in (runs_root, *runs_root.parents) if p.exists()), Path.cwd())
    memory, free_mb = read_memory(), shutil.disk_usage(existing).free / 2**20
    return MachineState(memory.free / 2**20, free_mb, live_runs(runs_root), memory.gpu_free / 2**20)


def live_runs(runs_root: Path) -> tuple[str, ...]:
    """Names of the runs whose trainer holds its lock. One that is trained on a cluster takes nothing here."""
    locks = sorted(runs_root.glob("*/trainer.lock")) if runs_root.is_dir() else []
    here = (lock.parent for lock in locks if not RunPaths(lock.parent).cluster.is_file() and holder(lock) is not None)
    return tuple(folder.name for folder in here)


def find_shortages(config: RunConfig, needs: Needs, machine: MachineState) -> tuple[str, ...]:
    """Why the run does not fit now: memory, disk. Empty where it does."""
    found = []
    on_gpu = machine.gpu_free_mb > 0 and config.model.device in ("auto", "cuda")
    # On a GPU the libraries stay in main memory, and nearly all else does not.
    needed = (needs.gpu_mb or max(0.0, needs.memory.megabytes - LIBRARIES_MB)) if on_gpu else needs.memory.megabytes
    free, where = (machine.gpu_free_mb, "the GPU's memory") if on_gpu else (machine.memory_free_mb, "memory")
    if needed > free:
        found.append(
            f"It needs about {megabytes(needed)} of {where} and {megabytes(free)} are free. The system may end it; "
            "fewer questions or shorter solutions need less."
        )
    if needs.disk_mb > machine.disk_free_mb:
        found.append(
            f"Its checkpoints take about {megabytes(needs.disk_mb)} and {megabytes(machine.disk_free_mb)} of disk are "
            "free. Set checkpoint.keep to keep fewer."
        )
    return tuple(found)


def wrong_model(name: str, role: Role, config: RunConfig) -> str:
    """Why a model cannot play a role, "" where it can. One that is not trained may be a GGUF file."""
    try:
        if name in ("", STARTER) or find_checkpoint(name, role) is not None:
            return ""
        if role in trained_roles(config) or locate_model(name).suffix.lower() != ".gguf":
            locate_folder(name)
    except UserError as error:
        return str(error)
    return ""


def find_warnings(config: RunConfig, needs: Needs, machine: MachineState) -> tuple[str, ...]:
    names = {Role.REASONER: config.model.path, Role.ADVERSARY: config.adversary.model}
    found = [wrong for role, name in names.items() if (wrong := wrong_model(name, role, config))]
    if config.adversary.model and not has_own_adversary(config):
        found.append(f"adversary.model is not used: in the mode {config.mode} no model writes hints.")
    for check in (check_roles, check_engine):
        try:
            check(config)
        except UserError as error:
            found.append(str(error))
    if config.engine.backend is EngineKind.TINKER:
        unknown = "memory there is" if needs.time.seconds is not None else "time and memory there are"
        found.append(f"The model runs on {config.engine.url}: {unknown} not estimated.")
    files = named_files(config).items()
    found += [f"{key}: there is no file “{name}”." for key, name in files if not expanded(name).is_file()]
    found += find_shortages(config, needs, machine)
    found += judge_warnings(config)
    if machine.live:
        name = machine.live[0] if len(machine.live[0]) <= NAME_CHARACTERS else f"{machine.live[0][:NAME_CHARACTERS]}…"
        running = f"{name} is" if len(machine.live) == 1 else f"{len(machine.live)} runs are"
        found.append(f"{running} running: side by side they become slower. The queue starts this one afterwards.")
    return tuple(found)
