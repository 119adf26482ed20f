"""The evaluations there are: list, start, resume, pause, stop, move to the trash; and the state of one, tailed.

An evaluation runs in processes of its own that outlive this one. GGUF targets go first, in the process that drives the
llama.cpp worker, which then becomes the torch process if torch targets are left.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seirenes_app.lab.library import move_to_trash
from seirenes_app.store.workspace import data_folder
from training.errors import UserError
from training.evaluation.folder import PLAN, EvalPaths, new_evaluation, read_plan
from training.evaluation.plan import EvalPlan, TargetKind, chunks
from training.evaluation.state import EvalState, judge, reduce
from training.evaluation.store_reader import StoreReader
from training.rundir.commands import CommandKind, send_command
from training.rundir.disk import explained
from training.rundir.events import EventTail
from training.rundir.launch import child_environment, kill_tree, request_stop, terminate
from training.rundir.lock import holder

STOP_PATIENCE_S = 30.0
TERMINATE_PATIENCE_S = 10.0


def evaluations_folder() -> Path:
    """Where evaluations are kept."""
    return data_folder() / "evaluations"


class EvaluationWatch:
    """One evaluation's state, read forward by what was appended since the last look."""

    def __init__(self, paths: EvalPaths) -> None:
        self.paths = paths
        self._tail = EventTail(paths.events)
        self._state = EvalState()

    def poll(self) -> EvalState:
        """The state now."""
        for event in self._tail.poll():
            self._state = reduce(self._state, event)
        return judge(self._state, holder(self.paths.lock), time.time())


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """One evaluation; `problem` says why plan or state is missing."""

    paths: EvalPaths
    plan: EvalPlan | None
    state: EvalState | None
    problem: str | None = None


class EvaluationLibrary:
    """All evaluations under one root. Listing reads small files of each: call it off the window's thread."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or evaluations_folder()

    def list_evaluations(self) -> list[EvaluationSummary]:
        """Newest first; broken folders are listed with their `problem`."""
        if not self.root.is_dir():
            return []
        folders = [f for f in self.root.iterdir() if (f / PLAN).is_file() and not f.name.startswith(".")]
        found = [read_evaluation(EvalPaths(f)) for f in folders]
        return sorted(found, key=lambda s: (s.plan.created if s.plan else "", s.paths.run_id), reverse=True)

    def find(self, name: str) -> EvalPaths:
        """The evaluation of that id under the root, or in that folder; a UserError where there is none."""
        for folder in (self.root / name, Path(name).expanduser()):
            if name and (folder / PLAN).is_file():
                return EvalPaths(folder.resolve())
        raise UserError(f"No evaluation {name!r} in {self.root}. List them with: seirenes eval --list")

    def create(self, plan: EvalPlan) -> EvalPaths:
        """A new evaluation's folder with its plan; nothing runs yet."""
        return new_evaluation(self.root, plan)

    def start(self, plan: EvalPlan) -> EvalPaths:
        """A new evaluation, its process started and detached."""
        paths = self.create(plan)
        launch(paths)
        return paths


def read_evaluation(paths: EvalPaths) -> EvaluationSummary:
    """One evaluation as it is now."""
    plan = None
    try:
        plan = read_plan(paths)
        return EvaluationSummary(paths, plan, EvaluationWatch(paths).poll())
    except (UserError, OSError) as error:
        return EvaluationSummary(paths, plan, None, str(error))


def open_rows(paths: EvalPaths) -> StoreReader:
    """The evaluation's rows and cells; a UserError while there are none."""
    return StoreReader(paths.rows)


def launch(paths: EvalPaths) -> int:
    """Start, or go on with, an evaluation in a detached process; returns its PID. One that runs is a UserError."""
    held = holder(paths.lock)
    if held is not None:
        raise UserError(f"{paths.run_id} is running already (process {held.pid}).")
    plan = read_plan(paths)
    module = ["seirenes_app.inference.evaluate"] if _gguf_left(paths, plan) else ["training", "evaluate"]
    with explained("Opening", paths.log), paths.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *module, str(paths.root), "--since", str(time.time())],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=child_environment(), start_new_session=True,
        )  # fmt: skip
    return process.pid


def _gguf_left(paths: EvalPaths, plan: EvalPlan) -> bool:
    names = {t.name for t in plan.targets if t.kind is TargetKind.GGUF}
    if not names or not paths.rows.is_file():
        return bool(names)
    try:
        with StoreReader(paths.rows) as reader:
            done = reader.done_chunks()
    except UserError:
        # Whichever process starts says what is wrong with it.
        done = frozenset()
    return any(c.target in names and c.key not in done for c in chunks(plan))


def pause(paths: EvalPaths) -> None:
    """Ask the process to wait after the chunk under way."""
    send_command(paths, CommandKind.PAUSE)


def unpause(paths: EvalPaths) -> None:
    """Let a waiting process go on. One that is gone is taken up again by `launch`."""
    send_command(paths, CommandKind.RESUME)


def stop(
    paths: EvalPaths,
    *,
    force: bool = False,
    patience_s: float = STOP_PATIENCE_S,
    say: Callable[[str], None] = lambda words: None,
) -> bool:
    """Ask, wait; with `force` terminate, then kill the tree. True once nobody is at work. Blocks: not for the window.

    What was committed stays; the chunk under way is dropped, and computed anew on resume.
    """
    if holder(paths.lock) is None:
        return True
    request_stop(paths)
    if _wait_gone(paths, patience_s):
        return True
    held = holder(paths.lock)
    if not force or held is None:
        return held is None
    say("It did not answer: terminating …")
    terminate(held.pid)
    if not _wait_gone(paths, TERMINATE_PATIENCE_S):
        say("Still there: killing the process and its children …")
        kill_tree(held.pid)
    return _wait_gone(paths, TERMINATE_PATIENCE_S)


def _wait_gone(paths: EvalPaths, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holder(paths.lock) is None:
            return True
        time.sleep(0.1)
    return False


def trash(paths: EvalPaths) -> Path:
    """Move an evaluation to `.trash` beside it; returns its new place. One that runs is refused."""
    return move_to_trash(paths)
