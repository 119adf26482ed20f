"""Which models and which plan an evaluation has: from runs, model folders, GGUF files and suites. Starts nothing.

It refuses what is not there with a `UserError` that says what is.

The evaluations there are: list, start, resume, pause, stop, move to the trash; and the state of one, tailed.

An evaluation runs in processes of its own that outlive this one. The process that drives the llama.cpp worker and asks
endpoints goes first; it becomes the torch process where torch models have work, and that one becomes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from seirenes_app.inference.model_client import endpoint_kind, fingerprint_of, prompt_profile_of
from seirenes_app.inference.models import describe_gguf
from seirenes_app.services.formatting import count_of, countdown
from seirenes_app.services.hint_authoring.draft import SolverChoice
from seirenes_app.services.hint_authoring.models import profile_for
from seirenes_app.services.models.facts import kind_of, read_files, require_usable, template_of
from seirenes_app.services.run_repository import LoggedWatch
from training.core.prompts import ModelKind, PromptProfile
from training.core.types import Condition, Role
from training.endpoints import find_endpoint, names_endpoint
from training.errors import UserError
from training.evaluation.crossplay import own_adversary_name
from training.evaluation.eval_dir import (
    PLAN,
    EvalDir,
    describe_suite,
    fingerprint,
    is_written,
    new_evaluation,
    read_plan,
)
from training.evaluation.plan import (
    FROZEN,
    NO_LIMITS,
    EvalPlan,
    SpendLimits,
    SuiteRef,
    Target,
    TargetKind,
    Writing,
    chunk_items_for,
    chunks,
    plan_to_json,
)
from training.evaluation.status import EvalState, reduce, resolve_eval_status
from training.evaluation.store_reader import StoreReader
from training.model_names import describe_path, locate_model, refuse_odd_files
from training.prompt_files import COMPACT, built_in, profile_for_folder
from training.resources import data_folder
from training.runs.config import has_own_adversary, load_config, profile_of, trained_roles
from training.runs.files import expanded, user_path, write_whole
from training.runs.paths import RunPaths, adversary_of, not_fetched
from training.runs.processes import process_at_work, require_idle, start_process

STARTER = "starter"
SEED = 2605
_MARKS = ("model.safetensors", "model.safetensors.index.json", "adapter_config.json", "tokenizer.json")


def starter_target(prompts: PromptProfile | None = None) -> Target:
    return Target(STARTER, STARTER, TargetKind.TORCH, prompts or built_in(COMPACT))


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds a model; a run's folder has a config.json too."""
    return any((path / mark).is_file() for mark in _MARKS)


def model_target(name: str, prompts: PromptProfile | None = None) -> Target:
    """The model that `name` means: 'starter', a Hugging Face folder, a GGUF file, a hub id in the cache, or an
    endpoint."""
    if name == STARTER:
        return starter_target(prompts)
    if names_endpoint(name):
        return endpoint_target(name, prompts)
    path = locate_model(name)
    return gguf_target(path, prompts) if path.is_file() or path.suffix == ".gguf" else folder_target(path, prompts)


def model_key(name: str) -> str:
    """What a plan's target has as its path for this model; the name itself where it is not on this machine."""
    try:
        if names_endpoint(name):
            return find_endpoint(name).argument
        return name if name == STARTER else str(user_path(locate_model(name)))
    except UserError:
        return name


def endpoint_target(name: str, prompts: PromptProfile | None = None) -> Target:
    """A model at an endpoint, by 'endpoint:NAME' or an address."""
    endpoint = find_endpoint(name)
    return Target(
        endpoint.title, endpoint.argument, TargetKind.ENDPOINT, prompts or prompt_profile_of(name),
        fingerprint=fingerprint_of(name),
    )  # fmt: skip


def folder_target(path: Path, prompts: PromptProfile | None = None) -> Target:
    """A Hugging Face folder, an adapter or a checkpoint; without `prompts` the profile that fits it."""
    folder = user_path(path)
    if not is_model_folder(folder):
        raise UserError(f"{folder} holds no model. Name a model folder, a GGUF file, a run, or 'starter'.")
    refuse_odd_files(folder)
    require_usable(folder)
    return Target(
        describe_path(folder), str(folder), TargetKind.TORCH, prompts or profile_for_folder(folder),
        fingerprint=fingerprint(folder),
    )  # fmt: skip


def gguf_target(path: Path, prompts: PromptProfile | None = None) -> Target:
    file = user_path(path)
    describe_gguf(file)
    chosen = prompts or profile_for(SolverChoice(model=str(file)))
    return Target(describe_path(file), str(file), TargetKind.GGUF, chosen, fingerprint=fingerprint(file))


def checkpoint_steps(run: RunPaths) -> tuple[int, ...]:
    names = (f.name.removeprefix("step_") for f in run.checkpoints.glob("step_*") if f.is_dir())
    return tuple(sorted(int(n) for n in names if n.isdigit()))


def checkpoint_targets(
    run: RunPaths, steps: Sequence[int] | None = None, prompts: PromptProfile | None = None
) -> tuple[Target, ...]:
    """The checkpoints of these steps, or all; a step that is not there is a UserError that lists those that are."""
    there = checkpoint_steps(run)
    missing = [s for s in steps or () if s not in there]
    if (missing or not there) and run.cluster.is_file():
        raise UserError(not_fetched(run, "checkpoints"))
    if not there:
        raise UserError(f"{run.run_id} has no checkpoint yet.")
    if missing:
        listed = ", ".join(map(str, there))
        raise UserError(f"{run.run_id} has no checkpoint of step {missing[0]}. It has those of: {listed}.")
    chosen = prompts or profile_of(load_config(run.config))
    return tuple(_checkpoint(run, step, chosen) for step in (there if steps is None else sorted(set(steps))))


def writer_targets(
    run: RunPaths, steps: Sequence[int] | None = None, prompts: PromptProfile | None = None
) -> tuple[Target, ...]:
    """The models that play the Adversary in these checkpoints: those of `checkpoint_targets`, where one model plays
    both roles. Of an Adversary that has its own model and is not trained there is one, whatever the steps."""
    config, targets = load_config(run.config), checkpoint_targets(run, steps, prompts)
    if not has_own_adversary(config):
        return targets
    if Role.ADVERSARY in trained_roles(config):
        return tuple(_own_adversary(target) for target in targets)
    converted = run.converted / Role.ADVERSARY
    model = str(converted) if is_model_folder(converted) else config.adversary.model
    return (replace(model_target(model, targets[0].prompts), name=own_adversary_name(run.run_id)),)


def _own_adversary(checkpoint: Target) -> Target:
    folder = adversary_of(Path(checkpoint.path))
    return replace(
        checkpoint, name=own_adversary_name(checkpoint.name), path=str(folder), fingerprint=fingerprint(folder)
    )  # fmt: skip


def _checkpoint(run: RunPaths, step: int, prompts: PromptProfile) -> Target:
    folder = (run.checkpoints / f"step_{step:06d}").resolve()
    return Target(
        f"{run.run_id}@{step}", str(folder), TargetKind.TORCH, prompts, run.run_id, step, fingerprint(folder)
    )  # fmt: skip


def frozen_suite_ref(problems: int, seed: int = SEED) -> SuiteRef:
    return describe_suite(f"{FROZEN}{seed}", problems)


def suggested_tokens(targets: Sequence[Target]) -> int:
    """The longest solution that suits all of these targets, by their kinds and their prompts. Reads model files."""
    return max((t.prompts.limits_for(_kind_of_target(t)).solution for t in targets), default=128)


def _kind_of_target(target: Target) -> ModelKind:
    if target.path == STARTER:
        return ModelKind.COMPACT
    if target.kind is TargetKind.ENDPOINT:
        return endpoint_kind(target.path)
    try:
        files = read_files(Path(target.path))
        return kind_of(files, template_of(files))
    except UserError:
        # The evaluation says what is wrong with it.
        return ModelKind.INSTRUCT


def suggested_hint_tokens(targets: Sequence[Target]) -> int:
    """The longest reply that suits all of these targets as Adversaries. Reads model files."""
    return max((t.prompts.limits_for(_kind_of_target(t)).hint for t in targets), default=64)


def common_temperature(targets: Sequence[Target]) -> float | None:
    """The temperature that the prompts of all targets set; None where they set none, or different ones."""
    found = {t.prompts.sampling.temperature for t in targets}
    return found.pop() if len(found) == 1 else None


def plan_evaluation(
    targets: Sequence[Target],
    suites: Sequence[SuiteRef],
    *,
    conditions: Sequence[Condition] = tuple(Condition),
    samples: int = 1,
    temperature: float | None = None,
    seed: int = SEED,
    max_tokens: int | None = None,
    title: str = "",
    writing: Writing | None = None,
    writers: Sequence[Target] = (),
    budget: SpendLimits = NO_LIMITS,
    exact: bool = False,
) -> EvalPlan:
    """A plan. `temperature` None is that of the prompts; where they set none, greedy for one sample, and 1 for several.
    `max_tokens` None is what suits the targets. Equal names get a number."""
    set_ = common_temperature(targets) if temperature is None else temperature
    usual = 0.0 if samples == 1 else 1.0
    chosen = usual if set_ is None or (set_ == 0 and samples > 1 and temperature is None) else set_
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
        max_tokens=suggested_tokens(targets) if max_tokens is None else max_tokens,
        chunk_items=chunk_items_for(samples),
        title=title or _title(named, [s.name for s in suites]),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        writing=writing,
        writers=tuple(writers),
        budget=budget,
        exact=exact,
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
    max_tokens: int | None = None,
    conditions: Sequence[Condition] = (Condition.NEEDED,),
    prompts: PromptProfile | None = None,
    models: Sequence[str] = (),
    budget: SpendLimits = NO_LIMITS,
) -> EvalPlan:
    """Reasoners of `steps` against hints written by the Adversaries of `writer_steps` (None: the same), and by other
    `models`: 'starter', folders, GGUF files and endpoints. They are asked
    clean and hinted, and placebo and needed where `conditions` has them."""
    if not steps:
        # It says why there are none.
        checkpoint_targets(run)
    if len(set(steps)) < 2:
        raise UserError("Cross-play needs at least two checkpoints, as in --steps 0,40,80.")
    reasoners = checkpoint_targets(run, steps, prompts)
    others = (
        *writer_targets(run, steps if writer_steps is None else writer_steps, prompts),
        *(model_target(name, prompts) for name in models),
    )
    suites = [written_suite(w.name, problems, number) for number, w in enumerate(others)]
    # Clean and needed answers do not depend on who wrote hints: they are asked once.
    first = (Condition.CLEAN, Condition.HINTED, *(c for c in (Condition.PLACEBO, Condition.NEEDED) if c in conditions))
    return plan_evaluation(
        reasoners,
        [replace(suites[0], conditions=first), *(replace(s, conditions=(Condition.HINTED,)) for s in suites[1:])],
        conditions=first,
        samples=samples,
        temperature=temperature,
        seed=seed,
        max_tokens=max_tokens,
        title=f"cross-play {run.run_id}",
        writing=Writing(problem_seed=seed, max_tokens=suggested_hint_tokens(others)),
        writers=[w for w in others if w not in reasoners],
        budget=budget,
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


def evaluations_folder() -> Path:
    return data_folder() / "evaluations"


class EvaluationWatch(LoggedWatch[EvalState]):
    """One evaluation's state, read forward; a crash comes with the end of its log."""

    def __init__(self, paths: EvalDir) -> None:
        super().__init__(paths, EvalState(), reduce, resolve_eval_status)


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """One evaluation; `problem` says why plan or state is missing."""

    paths: EvalDir
    plan: EvalPlan | None
    state: EvalState | None
    problem: str | None = None


def say_time_left(state: EvalState) -> str:
    """'about 3 min left', with the models that it does not count; empty before anything was measured."""
    if state.eta_s is None:
        return ""
    others = f", and {count_of(state.unmeasured, 'model')} not measured yet" if state.unmeasured else ""
    return f"about {countdown(state.eta_s)} left{others}"


class EvaluationRepository:
    """All evaluations under one root. Listing reads small files of each: call it off the window's thread."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or evaluations_folder()

    def list_evaluations(self, newest: int | None = None) -> list[EvaluationSummary]:
        """Newest first, so many at most; broken folders are listed with their `problem`."""
        if not self.root.is_dir():
            return []
        folders = [f for f in self.root.iterdir() if (f / PLAN).is_file() and not f.name.startswith(".")]
        if newest is not None:
            # Their names begin with the time at which they were made.
            folders = sorted(folders, key=lambda f: f.name, reverse=True)[:newest]
        found = [read_evaluation(EvalDir(f)) for f in folders]
        return sorted(found, key=lambda s: (s.plan.created if s.plan else "", s.paths.run_id), reverse=True)

    def find(self, name: str) -> EvalDir:
        """The evaluation of that id under the root, or in that folder; a UserError where there is none."""
        for folder in (self.root / name, expanded(name)):
            if name and (folder / PLAN).is_file():
                return EvalDir(folder.resolve())
        raise UserError(f"No evaluation {name!r} in {self.root}. List them with: seirenes eval --list")

    def create(self, plan: EvalPlan) -> EvalDir:
        """A new evaluation's folder with its plan; nothing runs yet."""
        return new_evaluation(self.root, plan)

    def start(self, plan: EvalPlan) -> EvalDir:
        paths = self.create(plan)
        launch(paths)
        return paths


def read_evaluation(paths: EvalDir) -> EvaluationSummary:
    plan = None
    try:
        plan = read_plan(paths)
        return EvaluationSummary(paths, plan, EvaluationWatch(paths).poll())
    except (UserError, OSError) as error:
        return EvaluationSummary(paths, plan, None, str(error))


def set_budget(paths: EvalDir, budget: SpendLimits) -> None:
    """Change what the endpoints of an evaluation that is not running may cost. It decides no row."""
    running = process_at_work(paths)
    if running is not None:
        raise UserError(f"{paths.run_id} is running (process {running.pid}). Stop it first, then resume it.")
    write_whole(paths.plan, plan_to_json(replace(read_plan(paths), budget=budget)))


def open_rows(paths: EvalDir) -> StoreReader:
    """The evaluation's rows and cells; a UserError while there are none."""
    return StoreReader(paths.rows)


def launch(paths: EvalDir) -> int:
    """Start, or resume, an evaluation in a detached process; returns its PID. One that runs is a UserError."""
    require_idle(paths, paths.run_id)
    ours = _ours_left(paths, read_plan(paths))
    return start_process(paths, ["seirenes_app.inference.evaluate"] if ours else ["training", "evaluate"])


def _ours_left(paths: EvalDir, plan: EvalPlan) -> bool:
    """Whether a model that torch does not run has hints to write or problems to solve."""
    writers = {s.writer for s in plan.suites if s.writer and not is_written(paths, s)}
    if any(plan.model(name).kind is not TargetKind.TORCH for name in writers):
        return True
    names = {t.name for t in plan.targets if t.kind is not TargetKind.TORCH}
    if not names or not paths.rows.is_file():
        return bool(names)
    try:
        with StoreReader(paths.rows) as reader:
            done = reader.done_chunks()
    except UserError:
        # Whichever process starts says what is wrong with it.
        done = frozenset()
    return any(c.target in names and c.key not in done for c in chunks(plan))
