"""Which models and which plan an evaluation has: from runs, model folders, GGUF files and suites. Starts nothing.

It refuses what is not there with a `UserError` that says what is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from seirenes_app.inference.models import bundled_model, describe_gguf
from seirenes_app.lab.crafting.documents import SolverChoice
from seirenes_app.lab.crafting.models import style_for
from training.core.prompts import PromptStyle
from training.errors import UserError
from training.evaluation.folder import describe_suite, fingerprint
from training.evaluation.plan import FROZEN, EvalPlan, SuiteRef, Target, TargetKind, Writing, chunk_items_for
from training.evaluation.rows import Condition
from training.rundir.config_io import load_config
from training.rundir.paths import RunPaths

STARTER = "starter"
SEED = 2605
_COMPACT_VOCAB = 2048
_MARKS = ("model.safetensors", "model.safetensors.index.json", "adapter_config.json", "tokenizer.json")


def starter_target() -> Target:
    """The bundled model."""
    return Target(STARTER, STARTER, TargetKind.TORCH, PromptStyle.COMPACT)


def starter_gguf_target() -> Target:
    """The bundled model as GGUF."""
    path = bundled_model()
    return Target(path.name, str(path), TargetKind.GGUF, PromptStyle.COMPACT, fingerprint=fingerprint(path))


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds a model; a run's folder has a config.json too."""
    return any((path / mark).is_file() for mark in _MARKS)


def folder_target(path: Path, style: PromptStyle | None = None) -> Target:
    """A Hugging Face folder, an adapter or a checkpoint. The prompt style is compact for the starter's offspring."""
    folder = path.expanduser().resolve()
    if not is_model_folder(folder):
        raise UserError(f"{folder} holds no model. Name a model folder, a GGUF file, a run, or 'starter'.")
    return Target(
        folder.name, str(folder), TargetKind.TORCH, style or _style_of_folder(folder), fingerprint=fingerprint(folder)
    )


def _style_of_folder(folder: Path) -> PromptStyle:
    try:
        vocabulary = json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]
        return PromptStyle.COMPACT if int(vocabulary) <= _COMPACT_VOCAB else PromptStyle.INSTRUCT
    except (OSError, ValueError, KeyError, TypeError):
        return PromptStyle.INSTRUCT


def gguf_target(path: Path, style: PromptStyle | None = None) -> Target:
    """A GGUF file."""
    file = path.expanduser().resolve()
    describe_gguf(file)
    chosen = style or style_for(SolverChoice(model=str(file)))
    return Target(file.name, str(file), TargetKind.GGUF, chosen, fingerprint=fingerprint(file))


def checkpoint_steps(run: RunPaths) -> tuple[int, ...]:
    """The steps of a run's checkpoints."""
    names = (f.name.removeprefix("step_") for f in run.checkpoints.glob("step_*") if f.is_dir())
    return tuple(sorted(int(n) for n in names if n.isdigit()))


def checkpoint_targets(
    run: RunPaths, steps: Sequence[int] | None = None, style: PromptStyle | None = None
) -> tuple[Target, ...]:
    """The checkpoints of these steps, or all; a step that is not there is a UserError that lists those that are."""
    there = checkpoint_steps(run)
    if not there:
        raise UserError(f"{run.run_id} has no checkpoint yet.")
    missing = [s for s in steps or () if s not in there]
    if missing:
        listed = ", ".join(map(str, there))
        raise UserError(f"{run.run_id} has no checkpoint of step {missing[0]}. It has those of: {listed}.")
    chosen = style or load_config(run.config).model.prompt_style
    return tuple(_checkpoint(run, step, chosen) for step in (there if steps is None else sorted(set(steps))))


def _checkpoint(run: RunPaths, step: int, style: PromptStyle) -> Target:
    folder = (run.checkpoints / f"step_{step:06d}").resolve()
    return Target(
        f"{run.run_id}@{step}", str(folder), TargetKind.TORCH, style, run.run_id, step, fingerprint(folder)
    )  # fmt: skip


def frozen_suite_ref(problems: int, seed: int = SEED) -> SuiteRef:
    """The built-in suite: held-out problems, phrasings and templates."""
    return describe_suite(f"{FROZEN}{seed}", problems)


def plan_evaluation(
    targets: Sequence[Target],
    suites: Sequence[SuiteRef],
    *,
    conditions: Sequence[Condition] = tuple(Condition),
    samples: int = 1,
    temperature: float | None = None,
    seed: int = SEED,
    max_tokens: int = 128,
    title: str = "",
    writing: Writing | None = None,
    writers: Sequence[Target] = (),
) -> EvalPlan:
    """A plan. `temperature` None is greedy for one sample, and 1 for several. Equal names get a number."""
    chosen = (0.0 if samples == 1 else 1.0) if temperature is None else temperature
    named = _numbered([t.name for t in targets])
    return EvalPlan(
        targets=tuple(replace(t, name=name) for t, name in zip(targets, named, strict=True)),
        suites=tuple(
            replace(s, name=name) for s, name in zip(suites, _numbered([s.name for s in suites]), strict=True)
        ),
        conditions=tuple(c for c in Condition if c in conditions),
        samples=samples,
        temperature=chosen,
        seed=seed,
        max_tokens=max_tokens,
        chunk_items=chunk_items_for(samples),
        title=title or _title(named, [s.name for s in suites]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        writing=writing,
        writers=tuple(writers),
    )


def plan_crossplay(
    run: RunPaths,
    steps: Sequence[int],
    *,
    writer_steps: Sequence[int] | None = None,
    problems: int = 60,
    samples: int = 1,
    temperature: float | None = None,
    seed: int = SEED,
    max_tokens: int = 128,
    placebo: bool = False,
) -> EvalPlan:
    """Reasoners of `steps` against hints written by the Adversaries of `writer_steps` (None: the same)."""
    if len(set(steps)) < 2:
        raise UserError("Cross-play needs at least two checkpoints, as in --steps 0,40,80.")
    reasoners = checkpoint_targets(run, steps)
    others = checkpoint_targets(run, writer_steps) if writer_steps is not None else reasoners
    suites = [written_suite(w.name, problems, number) for number, w in enumerate(others)]
    # Clean answers do not depend on who wrote hints: they are asked once.
    first = (Condition.CLEAN, Condition.HINTED, *([Condition.PLACEBO] if placebo else []))
    return plan_evaluation(
        reasoners,
        [replace(suites[0], conditions=first), *(replace(s, conditions=(Condition.HINTED,)) for s in suites[1:])],
        conditions=first,
        samples=samples,
        temperature=temperature,
        seed=seed,
        max_tokens=max_tokens,
        title=f"cross-play {run.run_id}",
        writing=Writing(problem_seed=seed),
        writers=[w for w in others if w not in reasoners],
    )


def written_suite(writer: str, problems: int, number: int = 0) -> SuiteRef:
    """A suite that the evaluation has its model `writer` write, on held-out problems, into its own folder."""
    return SuiteRef(f"hints by {writer}", f"suites/{number:03d}", "", problems, writer=writer)


def _numbered(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        number, chosen = 2, name
        while chosen in found:
            chosen, number = f"{name} ({number})", number + 1
        found.append(chosen)
    return found


def _title(targets: Sequence[str], suites: Sequence[str]) -> str:
    more = f" and {len(targets) - 1} more" if len(targets) > 1 else ""
    return f"{targets[0] if targets else ''}{more} on {', '.join(suites)}"
