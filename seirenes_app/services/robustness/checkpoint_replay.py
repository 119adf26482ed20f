"""Checkpoint replay: one problem, with one hint and one seed, on every checkpoint of a run, in a child process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seirenes_app.services.robustness.types import CheckpointReplayResult, DataTable, ReplayStep, Value
from training.core.prompts import Placement, PromptProfile
from training.core.types import Hint, Outcome, Problem
from training.errors import UserError
from training.runs.config import load_config, profile_of
from training.runs.paths import RunPaths, not_fetched
from training.runs.processes import child_environment, kill_tree

TERMINATE_PATIENCE_S = 5.0
COLUMNS = ("step", "outcome", "answer", "log-prob", "tokens", "truncated", "follows hint", "text", "missing")


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What is replayed. `temperature` 0 is greedy."""

    problem: Problem
    hint: Hint | None = None
    placement: Placement = Placement.APPEND
    temperature: float = 0.0
    seed: int = 0
    max_tokens: int = 128


def checkpoints_of(paths: RunPaths, recorded_steps: Sequence[int] = ()) -> tuple[tuple[int, Path], ...]:
    """Step and folder of each checkpoint on disk and of `recorded_steps`. A UserError where none is on disk."""
    found = {
        int(f.name.removeprefix("step_")): f
        for f in paths.checkpoints.glob("step_*")
        if f.is_dir() and f.name.removeprefix("step_").isdigit()
    }
    if not found:
        if paths.cluster.is_file():
            raise UserError(not_fetched(paths, "checkpoints"))
        raise UserError(
            f"{paths.run_id} has no checkpoint on this machine ({paths.checkpoints}). Checkpoint replay needs them: "
            "train a run here, or copy its checkpoints back."
        )
    steps = sorted({*found, *recorded_steps})
    return tuple((s, found.get(s, paths.checkpoints / f"step_{s:06d}")) for s in steps)


class CheckpointReplay:
    """One replay and its child process. `run` blocks; `cancel` may be called from any thread."""

    def __init__(
        self,
        paths: RunPaths,
        plan: ReplayPlan,
        *,
        recorded_steps: Sequence[int] = (),
        prompts: PromptProfile | None = None,
    ) -> None:
        self._steps = checkpoints_of(paths, recorded_steps)
        config = load_config(paths.config)
        self._request = asdict(plan) | {
            "steps": [(step, str(folder)) for step, folder in self._steps],
            "hint": plan.hint.text if plan.hint else "",
            "suggested": plan.hint.suggested if plan.hint else None,
            "prompts": asdict(prompts or profile_of(config)),
            "device": config.model.device,
        }
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Ask the child to end; returns at once. `run` then returns with the steps that are done."""
        with self._lock:
            self._cancelled = True
            child = self._child
        if child is not None and child.poll() is None:
            child.terminate()
            threading.Timer(TERMINATE_PATIENCE_S, _kill, [child]).start()

    def run(self, on_step: Callable[[CheckpointReplayResult], None] = lambda _result: None) -> CheckpointReplayResult:
        """Replay; `on_step` gets the result so far after every checkpoint. A UserError where the child fails."""
        found: list[ReplayStep] = []
        with tempfile.TemporaryFile("w+", encoding="utf-8") as request, tempfile.TemporaryFile() as errors:
            json.dump(self._request, request)
            request.seek(0)
            with self._lock:
                if self._cancelled:
                    return self._result(found)
                child = self._child = subprocess.Popen(
                    [sys.executable, "-m", "training", "solve"], stdin=request, stdout=subprocess.PIPE, stderr=errors,
                    text=True, encoding="utf-8", errors="replace", env=child_environment(),
                )  # fmt: skip
            try:
                assert child.stdout is not None
                with child.stdout:
                    for line in child.stdout:
                        found.append(read_step(line))
                        on_step(self._result(found))
                code = child.wait()
            finally:
                _kill(child)
            if code != 0 and not self._cancelled:
                errors.seek(0)
                raise UserError(_describe_failure(errors.read().decode("utf-8", errors="replace"), code))
        return self._result(found)

    def _result(self, found: Sequence[ReplayStep]) -> CheckpointReplayResult:
        complete = len(found) == len(self._steps)
        return replay_result(found, len(self._steps), complete=complete, cancelled=self._cancelled and not complete)


def _kill(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        kill_tree(child.pid)
        child.wait()


def _describe_failure(stderr: str, code: int) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    error = next((line.removeprefix("error: ") for line in reversed(lines) if line.startswith("error: ")), "")
    return error or f"The replay process exited with code {code}. {lines[-1] if lines else 'It wrote no error.'}"


def read_step(line: str) -> ReplayStep:
    """One output line of the child. A UserError for a malformed one."""
    try:
        data: Mapping[str, Any] = json.loads(line)
        if "missing" in data:
            return ReplayStep(int(data["step"]), None, missing=str(data["missing"]))
        follows, logprob = data["follows"], data["logprob"]
        return ReplayStep(
            int(data["step"]), Outcome(data["outcome"]), str(data["text"]), str(data["answer"]),
            None if logprob is None else float(logprob), int(data["tokens"]), bool(data["truncated"]),
            None if follows is None else bool(follows),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"A line of the replay process cannot be read ({line.strip()[:200]!r}).") from error


# ---------------------------------------------------------------------- results


def replay_result(
    steps: Sequence[ReplayStep], planned: int, *, complete: bool = True, cancelled: bool = False
) -> CheckpointReplayResult:
    """The steps with the first robust one, a sentence and a table."""
    since = robust_since(steps)
    table = DataTable(COLUMNS, tuple(_table_row(s) for s in steps))
    sentence = describe_replay(steps, planned, since, complete)
    return CheckpointReplayResult(tuple(steps), planned, since, sentence, table, complete, cancelled)


def _table_row(s: ReplayStep) -> tuple[Value, ...]:
    outcome = None if s.outcome is None else str(s.outcome)
    return s.step, outcome, s.answer, s.logprob, s.tokens, s.truncated, s.follows, s.text, s.missing


def robust_since(steps: Sequence[ReplayStep]) -> int | None:
    """The first step from which every known answer is right; None where the last is not."""
    since = None
    for step in sorted((s for s in steps if s.outcome is not None), key=lambda s: s.step):
        if step.outcome is not Outcome.RIGHT:
            since = None
        elif since is None:
            since = step.step
    return since


def open_before(steps: Sequence[ReplayStep], since: int) -> tuple[int, ...]:
    """Missing steps between the last wrong one and `since`: they may have been right already."""
    wrong = [s.step for s in steps if s.outcome is not None and s.step < since]
    return tuple(sorted(s.step for s in steps if max(wrong) < s.step < since)) if wrong else ()


def describe_replay(steps: Sequence[ReplayStep], planned: int, since: int | None, complete: bool) -> str:
    """The result in one or two sentences. One answer a checkpoint: it claims no more than that."""
    known = [s for s in steps if s.outcome is not None]
    if not known:
        return "No checkpoint could be replayed." if complete else "No checkpoint has answered yet."
    right = sum(s.outcome is Outcome.RIGHT for s in known)
    so_far = "" if complete else f" so far ({len(steps)} of {planned})"
    text = f"Right at {right} of {len(known)} checkpoints{so_far}"
    if since is None:
        text += "; wrong at the last one" if complete else "; wrong at the last one so far"
    elif since == min(s.step for s in known):
        text += "; right from the first one on"
    else:
        text += f"; right from step {since} on"
        if missing := open_before(steps, since):
            span = f"step {missing[0]}" if len(missing) == 1 else f"one of steps {missing[0]} to {missing[-1]}"
            text += f", or from {span}, which could not be replayed"
    gone = len(steps) - len(known)
    missing_note = f" {gone} checkpoint{'' if gone == 1 else 's'} could not be replayed." if gone else ""
    return f"{text}. One problem and one answer a checkpoint: an example, not a measure.{missing_note}"
