"""The evaluations there are: list, start, resume, pause, stop, move to the trash; and the state of one, tailed.

An evaluation runs in processes of its own that outlive this one. GGUF targets go first, in the process that drives the
llama.cpp worker, which then becomes the torch process if torch targets are left.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from seirenes_app.lab.library import log_tail, move_to_trash
from seirenes_app.store.workspace import data_folder
from training.errors import UserError
from training.evaluation.folder import PLAN, EvalPaths, new_evaluation, read_plan
from training.evaluation.plan import EvalPlan, TargetKind, chunks
from training.evaluation.state import EvalState, judge, reduce
from training.evaluation.store_reader import StoreReader
from training.rundir.commands import CommandKind, send_command
from training.rundir.disk import explained, write_whole
from training.rundir.events import EventKind, EventTail
from training.rundir.launch import child_environment, kill_tree, request_stop, terminate
from training.rundir.lock import LockHolder, holder
from training.rundir.state import RunStatus

LAUNCH = "launch.json"
"""Who was started last, so that a process that is still loading is not overlooked."""
STOP_PATIENCE_S = 30.0
TERMINATE_PATIENCE_S = 10.0
_LAST_BYTES = 64 * 1024


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
        # Asked before the events are read: who is gone by then has said all that it will say.
        working, started = at_work(self.paths), (self.paths.root / LAUNCH).is_file()
        for event in self._tail.poll():
            self._state = reduce(self._state, event)
        state = judge(self._state, working, time.time())
        if working is None and started and not state.over and state.status is not RunStatus.DIED:
            return replace(state, status=RunStatus.DIED, message=_ended_early(self.paths))
        return state


def _ended_early(paths: EvalPaths) -> str:
    return "\n".join([f"The process ended without a last word. Its log, {paths.log.name}:", *log_tail(paths, 4)])


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
    working = at_work(paths)
    if working is not None:
        raise UserError(f"{paths.run_id} is running already (process {working.pid}).")
    plan = read_plan(paths)
    module = ["seirenes_app.inference.evaluate"] if _gguf_left(paths, plan) else ["training", "evaluate"]
    with explained("Opening", paths.log), paths.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *module, str(paths.root), "--since", str(time.time())],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=child_environment(), start_new_session=True,
        )  # fmt: skip
    with suppress(psutil.Error):
        born = psutil.Process(process.pid).create_time()
        launched = {"pid": process.pid, "born": born, "host": socket.gethostname(), "t": time.time()}
        write_whole(paths.root / LAUNCH, json.dumps(launched))
    return process.pid


def at_work(paths: EvalPaths) -> LockHolder | None:
    """The process of an evaluation: who holds its lock, or was launched and does not hold it yet, or not any more."""
    held = holder(paths.lock)
    if held is not None:
        return held
    try:
        launched = json.loads((paths.root / LAUNCH).read_text(encoding="utf-8"))
        found = LockHolder(int(launched["pid"]), float(launched["born"]), str(launched["host"]))
        process = psutil.Process(found.pid)
        same = abs(process.create_time() - found.started) < 2 and found.host == socket.gethostname()
        alive = same and process.status() != psutil.STATUS_ZOMBIE
        return found if alive and not _said_its_last(paths, float(launched["t"])) else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None


def _said_its_last(paths: EvalPaths, since: float) -> bool:
    """Whether the process that was started then has written how it ended: what it still does is going away."""
    try:
        with paths.events.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _LAST_BYTES))
            last = json.loads(file.read().splitlines()[-1])
        return last["event"] == EventKind.DONE and float(last["t"]) >= since
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False


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
    if at_work(paths) is None:
        return True
    request_stop(paths)
    if _wait_gone(paths, patience_s):
        return True
    held = at_work(paths)
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
        if at_work(paths) is None:
            return True
        time.sleep(0.1)
    return False


def trash(paths: EvalPaths) -> Path:
    """Move an evaluation to `.trash` beside it; returns its new place. One that runs is refused."""
    working = at_work(paths)
    if working is not None:
        raise UserError(f"{paths.run_id} is running (process {working.pid}). Stop it first; nothing was moved.")
    return move_to_trash(paths)
