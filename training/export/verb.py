"""What `python -m training export` does: find the model, choose the place, write, and say what came out."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Any

from training.core.types import Role
from training.engine.checkpoint import latest_valid, verify
from training.engine.models import resolve_model
from training.errors import UserError
from training.export.files import Progress, refuse_existing, temporary_for
from training.export.gguf_model import GgufType, export_gguf, export_gguf_lora
from training.export.hf import export_hf, export_lora
from training.export.quantize import count_types, quantize_gguf
from training.export.weights import Weights
from training.model_names import describe_path
from training.runs.config import RunConfig, has_own_adversary, load_config
from training.runs.paths import RunPaths, adversary_of, not_fetched


class ExportKind(StrEnum):
    """What is written."""

    HF = "hf"
    """A Hugging Face folder; an adapter is merged into its base."""
    LORA = "lora"
    """A PEFT adapter folder."""
    GGUF = "gguf"
    """A whole model as one file for llama.cpp; an adapter is merged into its base."""
    GGUF_LORA = "gguf-lora"
    """The adapter alone as one file for llama.cpp."""


def export(
    to: ExportKind,
    *,
    run: Path | None = None,
    step: int | None = None,
    model: str | None = None,
    adversary: bool = False,
    quantize: str | None = None,
    out: Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Export the checkpoint `step` of the run `run` (None: its newest sound one), or the folder `model`.

    Of a run in which each role has a model of its own, that is the Reasoner's, or the Adversary's with `adversary`.
    `quantize` is `f32`, `bf16`, `f16`, `q8_0` or `q4_k_m`, for GGUF only (None: f16). `out` None names the output
    after the model, in the current folder. Returns to, source, out, bytes, for GGUF the tensors counted by type,
    and for a run the roles that the model plays.
    """
    if quantize is not None and to is not ExportKind.GGUF:
        raise UserError(f"--quantize goes with --to gguf only, not with --to {to}. Leave it out.")
    source, name, roles = _source(run, step, model, adversary=adversary)
    quantize = quantize or GgufType.F16
    ends = {ExportKind.HF: "-hf", ExportKind.LORA: "-lora", ExportKind.GGUF_LORA: "-lora.gguf"}
    out = out if out is not None else Path(name + ends.get(to, f"-{quantize}.gguf"))
    out = out.expanduser().absolute()
    refuse_existing(out, force=force)
    result: dict[str, Any] = {"to": str(to), "source": str(source), "out": str(out)}
    if roles:
        result["roles"] = [str(role) for role in roles]
    if to is ExportKind.HF:
        export_hf(source, out, force=force, progress=progress)
    elif to is ExportKind.LORA:
        export_lora(source, out, force=force, progress=progress)
    elif to is ExportKind.GGUF_LORA:
        export_gguf_lora(source, out, name=name, force=force, progress=progress)
    else:
        _export_gguf(source, out, quantize, name, force, progress)
        result["quantize"] = str(quantize)
    if out.is_file():
        result["tensors"] = count_types(out)
    files = [out] if out.is_file() else [file for file in out.rglob("*") if file.is_file()]
    return {**result, "bytes": sum(file.stat().st_size for file in files)}


def _export_gguf(source: Path, out: Path, quantize: str, name: str, force: bool, progress: Progress | None) -> None:
    """f32, bf16 and f16 are written as they are; the rest is llama.cpp's work on an exact file beside `out`."""
    if quantize in (GgufType.F32, GgufType.BF16, GgufType.F16):
        export_gguf(source, out, dtype=quantize, name=name, force=force, progress=progress)
        return
    exact = temporary_for(out.with_name(f"{out.stem}-exact.gguf"), os.getpid())
    try:
        export_gguf(source, exact, dtype=Weights(source).storage_type(), name=name, force=True, progress=progress)
        quantize_gguf(exact, out, quantize, force=force)
    finally:
        exact.unlink(missing_ok=True)


def _source(
    run: Path | None, step: int | None, model: str | None, *, adversary: bool
) -> tuple[Path, str, tuple[Role, ...]]:
    """The folder that is exported, a name for it that a person recognises, and the roles that it plays in its run."""
    if model is not None:
        if run is not None or step is not None or adversary:
            raise UserError(
                "--model stands alone: --run, --step and --adversary name a model of a run. Give one or the other."
            )
        folder = resolve_model(model)
        return folder, describe_path(folder).rpartition("/")[2], ()
    if run is None:
        raise UserError("Nothing to export was named. Give --run ROOT with --step N, or --model FOLDER.")
    paths = RunPaths(run.expanduser().resolve())
    folder = _checkpoint(paths, step)
    name, own = f"{folder.parents[1].name}-{folder.name}", adversary_of(folder)
    config = load_config(paths.config) if paths.config.is_file() else RunConfig()
    if own == folder and not has_own_adversary(config):
        return folder, name, (Role.REASONER, Role.ADVERSARY)
    if not adversary:
        return folder, name, (Role.REASONER,)
    if own == folder:
        raise UserError(
            f"The Adversary of {paths.run_id} is not trained, so its checkpoints do not hold it. It is "
            f"{config.adversary.model}: export that."
        )
    return own, f"{name}-adversary", (Role.ADVERSARY,)


def _checkpoint(paths: RunPaths, step: int | None) -> Path:
    there = [folder.name for folder in sorted(paths.checkpoints.glob("step_*"))]
    wanted = there[-1:] if step is None else [f"step_{step:06d}"]
    if (not wanted or wanted[0] not in there) and paths.cluster.is_file():
        raise UserError(not_fetched(paths, "checkpoints"))
    if not there:
        raise UserError(f"{paths.root} holds no checkpoint. Name a run's folder, or let the run save one first.")
    if step is None:
        newest, _ = latest_valid(paths.checkpoints)
        if newest is None:
            raise UserError(f"Every checkpoint in {paths.checkpoints} is damaged. Train again, or restore a copy.")
        return newest
    folder = paths.checkpoints / f"step_{step:06d}"
    if not folder.is_dir():
        steps = ", ".join(str(int(name.removeprefix("step_"))) for name in there)
        raise UserError(f"{paths.root} has no checkpoint of step {step}. There are: {steps}.")
    verify(folder)
    return folder
