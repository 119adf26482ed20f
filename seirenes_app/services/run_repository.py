"""The runs and presets there are. Reads run directories; the only thing it changes is moving one to the trash."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from seirenes_app.services.models.facts import require_usable
from seirenes_app.store.resources import presets_folder
from seirenes_app.store.workspace import RunMark, Workspace, read_known_runs, workspace_path
from training.core.types import Role
from training.errors import UserError
from training.model_names import locate_folder, locate_model, pinned
from training.prompt_files import STARTER
from training.runs.config import (
    Preset,
    RunConfig,
    check_roles,
    has_own_adversary,
    load_config,
    load_presets,
    named_files,
    trained_roles,
)
from training.runs.files import expanded, trash_folder
from training.runs.paths import RunPaths, adversary_of, default_runs_root, not_fetched
from training.runs.processes import ProcessWatch, RunSummary, process_at_work, read_run, running_process
from training.runs.status import DONE, RunStatus, State

LOG_BYTES = 64 * 1024

Stamp = tuple[tuple[float, int], tuple[float, int]]


class RunRepository:
    """The runs under one root, and those elsewhere that the workspace (by default none for a given root) remembers.
    Call `list_runs` off the window's thread. Runs that are over are read again only when their files changed."""

    def __init__(
        self, runs_root: Path | None = None, presets: Path | None = None, workspace: Path | None = None
    ) -> None:
        self.runs_root = runs_root or default_runs_root()
        self.workspace = workspace or (workspace_path() if runs_root is None else None)
        self._presets = presets
        self._over: dict[Path, tuple[Stamp, RunSummary]] = {}

    @property
    def shared_file(self) -> Path:
        """The workspace that holds the queue and the measurements of these runs; of a given root one beside it."""
        return self.workspace or self.runs_root.with_name("workspace.db")

    def list_runs(self) -> list[RunSummary]:
        """Newest first; broken run folders are listed with their `problem`. A missing root has no runs."""
        return order_runs(self._read(RunPaths(folder)) for folder in self.folders())

    def folders(self) -> list[Path]:
        """The folders of all runs, in no order."""
        inside = [f for f in self.runs_root.iterdir() if not f.name.startswith(".")] if self.runs_root.is_dir() else []
        elsewhere = read_known_runs(self.workspace) if self.workspace is not None else ()
        there = {f.resolve() for f in inside}
        folders = [*inside, *(f for f in elsewhere if f.resolve() not in there)]
        return [f for f in folders if (f / "config.json").exists() or (f / "events.jsonl").exists()]

    def _read(self, paths: RunPaths) -> RunSummary:
        stamp = (_stamp(paths.events), _stamp(paths.config))
        known = self._over.get(paths.root)
        if known is not None and known[0] == stamp and running_process(paths) is None:
            return known[1]
        summary = read_run(paths)
        if summary.state is not None and summary.state.status in DONE:
            self._over[paths.root] = (stamp, summary)
        return summary

    def marks(self) -> dict[str, RunMark]:
        """Names, tags, pins and notes by run id; for callers that have no open workspace."""
        if self.workspace is None or not self.workspace.is_file():
            return {}
        with closing(Workspace(self.workspace)) as workspace:
            return workspace.marks()

    def remember(self, paths: RunPaths) -> None:
        """List a run that is not under the root from now on."""
        if self.workspace is not None and paths.root.parent.resolve() != self.runs_root.resolve():
            with closing(Workspace(self.workspace)) as workspace:
                workspace.remember_run(paths.root)

    def presets(self) -> Mapping[str, Preset]:
        return load_presets(self._presets or presets_folder())

    def find(self, run_id: str) -> RunPaths | None:
        root = self.runs_root / run_id
        return RunPaths(root) if run_id and root.is_dir() else None

    def find_named(self, name: str) -> RunPaths:
        """The run of that folder, id, name, or unique beginning of one; else a UserError with the nearest."""
        for folder in (expanded(name), self.runs_root / name):
            if name and (folder / "config.json").is_file():
                return RunPaths(folder.resolve())
        runs, marks = self.list_runs(), self.marks()
        labels = {(label, run.paths) for run in runs for label in _labels(run, marks)}
        for matches in (
            {paths for label, paths in labels if label == name},
            {paths for label, paths in labels if name and label.startswith(name)},
        ):
            if len(matches) == 1:
                return matches.pop()
            if matches:
                several = ", ".join(sorted(paths.run_id for paths in matches))
                raise UserError(f"{name!r} is the beginning of several runs: {several}. Write more of the name.")
        if not runs:
            raise UserError(f"No run {name!r} in {self.runs_root}. There is no run yet: start one with: seirenes demo")
        raise UserError(f"No run {name!r} in {self.runs_root}. {_suggest(name, [label for label, _ in labels], runs)}")


def _labels(run: RunSummary, marks: Mapping[str, RunMark]) -> set[str]:
    mark = marks.get(run.paths.run_id)
    return {run.paths.run_id, *([mark.name] if mark is not None and mark.name else [])}


def _suggest(name: str, labels: Sequence[str], runs: Sequence[RunSummary]) -> str:
    inside = sorted(label for label in labels if name and name.lower() in label.lower())
    near = inside[:3] or difflib.get_close_matches(name, labels, n=3, cutoff=0.7)
    if near:
        return f"Did you mean {', '.join(near)}?"
    return f"The newest are: {', '.join(run.paths.run_id for run in runs[:3])}."


def order_runs(runs: Iterable[RunSummary], marks: Mapping[str, RunMark] | None = None) -> list[RunSummary]:
    """The order of runs everywhere: pinned ones first, then the newest."""
    found = sorted(runs, key=started_at, reverse=True)
    return sorted(found, key=lambda run: not (marks or {}).get(run.paths.run_id, RunMark()).pinned)


def started_at(summary: RunSummary) -> float:
    """When a run began, in seconds since 1970; the folder's time where no event tells."""
    if summary.state is not None and summary.state.started_t:
        return summary.state.started_t
    return _stamp(summary.paths.root)[0]


def startable(config: RunConfig) -> RunConfig:
    """The configuration to start with: a hub id gets the commit that is on this machine, so that it stays the same.

    A run or RUN@STEP becomes the folder of its checkpoint. A UserError where a file or folder that it names is not
    there, or nothing would be trained: before anything is started.
    """
    check_roles(config)
    trained = trained_roles(config)
    path = _startable_model("model.path", config.model.path, Role.REASONER, trained)
    config = replace(config, model=replace(config.model, path=path))
    if config.adversary.model:
        path = _startable_model("adversary.model", config.adversary.model, Role.ADVERSARY, trained)
        config = replace(config, adversary=replace(config.adversary, model=path))
    for key, name in named_files(config).items():
        if not expanded(name).is_file():
            raise UserError(f"{key}: there is no file {expanded(name)}. Name a JSONL file, or leave the option empty.")
    return config


def _startable_model(key: str, name: str, role: Role, trained: Set[Role]) -> str:
    if name == STARTER:
        return name
    try:
        checkpoint = find_checkpoint(name, role)
        if checkpoint is not None:
            return str(checkpoint)
        if role not in trained and locate_model(name).suffix.lower() == ".gguf":
            require_usable(locate_model(name))
        else:
            require_usable(locate_folder(name))
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
    return pinned(name)


def find_checkpoint(name: str, role: Role) -> Path | None:
    """The model that plays a role in the checkpoint that RUN (its newest) or RUN@STEP means; None for another name."""
    run, at, step = name.rpartition("@") if "@" in name else (name, "", "")
    place = expanded(run)
    if (at and not step.isdigit()) or (place.exists() and not (place / "checkpoints").is_dir()):
        return None
    if not place.exists() and "/" in run:
        return None
    try:
        paths = RunRepository().find_named(run)
    except UserError:
        return None
    there = {int(f.name.removeprefix("step_")): f for f in paths.checkpoints.glob("step_*") if f.is_dir()}
    wanted = int(step) if step else max(there, default=0)
    if wanted not in there:
        if paths.cluster.is_file():
            raise UserError(not_fetched(paths, "checkpoints"))
        listed = ", ".join(map(str, sorted(there))) or "none"
        raise UserError(f"{paths.run_id} has no checkpoint of step {wanted}. It has those of: {listed}.")
    config = load_config(paths.config)
    if role is Role.ADVERSARY and has_own_adversary(config) and role not in trained_roles(config):
        raise UserError(
            f"The Adversary of {paths.run_id} is not trained: its checkpoints do not hold it. Name its model itself: "
            f"{config.adversary.model}"
        )
    folder = there[wanted].resolve()
    return adversary_of(folder) if role is Role.ADVERSARY else folder


def _stamp(path: Path) -> tuple[float, int]:
    try:
        found = path.stat()
    except OSError:
        return (0.0, 0)
    return (found.st_mtime, found.st_size)


def move_to_trash(paths: RunPaths) -> Path:
    """Move a run's folder to ``.trash`` beside it; returns its new place. A run that is going is refused."""
    found = process_at_work(paths)
    if found is not None:
        raise UserError(f"{paths.run_id} is running (process {found.pid}). Stop it first; nothing was moved.")
    return trash_folder(paths.root)


_FAULT = "Fatal Python error:"
_TRACE = ("Current thread", "Thread ", "  File ", "  ...", "Extension modules:", "  <", "Python runtime state")
"""How the trace of a fault in compiled code begins, and the lines after its first."""


def log_tail(paths: RunPaths, lines: int = 8) -> tuple[str, ...]:
    """The last lines of a log, read from its end, or the first ones of the fault that it ends with; empty when there is
    none."""
    try:
        with paths.log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ()
    kept = [line.rstrip() for line in text.splitlines() if line.strip()]
    # After a trace come the names of all loaded modules, and nothing else where the process ended by the fault.
    last = next((i for i in range(len(kept) - 1, -1, -1) if not kept[i].startswith(_TRACE)), None)
    ended = last is not None and kept[last].startswith(_FAULT)
    return tuple(kept[last:][:lines] if ended else kept[-lines:])


def with_log(message: str, paths: RunPaths) -> str:
    """What is said of a crash, with the end of the process's log."""
    tail = log_tail(paths, 4)
    log = paths.log.name
    return "\n".join([f"{message} Its log, {log}:", *tail]) if tail else f"{message} Its log, {log}, is empty."


class LoggedWatch(ProcessWatch[State]):
    """A process's state, read forward; a crash comes with the end of its log."""

    def poll(self) -> State:
        state = super().poll()
        crashed = state.status is RunStatus.CRASHED
        return replace(state, message=with_log(state.message, self.paths)) if crashed else state
