"""The time machine: one problem, with one hint and one seed, on every checkpoint of a run, in a child process.

The job begins when it is made. `on_step` gets the result so far after every checkpoint, then exactly one of `on_done`
and `on_failed` comes. **Callbacks come on the job's own thread.** A checkpoint that is missing is told in its place.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seirenes_app.services.robustness.types import CheckpointReplayResult, DataTable, ReplayStep, Value
from training.core.prompts import Placement, PromptStyle
from training.core.types import Hint, Outcome, Problem
from training.errors import UserError
from training.runs.config import load_config
from training.runs.launch import child_environment
from training.runs.paths import RunPaths
from training.runs.stop import kill_tree

_log = logging.getLogger(__name__)

TERMINATE_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What is replayed. `temperature` 0 is greedy."""

    problem: Problem
    hint: Hint | None = None
    placement: Placement = Placement.APPEND
    temperature: float = 0.0
    seed: int = 0
    max_tokens: int = 128


def checkpoints_of(paths: RunPaths) -> tuple[tuple[int, Path], ...]:
    """Step and folder of each checkpoint on disk; a UserError where there is none."""
    found = sorted(
        (int(f.name.removeprefix("step_")), f)
        for f in paths.checkpoints.glob("step_*")
        if f.is_dir() and f.name.removeprefix("step_").isdigit()
    )
    if not found:
        raise UserError(
            f"{paths.run_id} has no checkpoint on this machine ({paths.checkpoints}). The time machine needs them: "
            "train a run here, or copy its checkpoints back."
        )
    return tuple(found)


def checkpoints_told(paths: RunPaths, told: Sequence[int]) -> tuple[tuple[int, Path], ...]:
    """Those on disk and those that the run's events tell of (`told`), which may be gone."""
    there = dict(checkpoints_of(paths))
    steps = sorted({*there, *told})
    return tuple((s, there.get(s, paths.checkpoints / f"step_{s:06d}")) for s in steps)


class CheckpointReplay:
    """One replay and its child process."""

    def __init__(
        self,
        paths: RunPaths,
        plan: ReplayPlan,
        on_step: Callable[[CheckpointReplayResult], None],
        on_done: Callable[[CheckpointReplayResult], None],
        on_failed: Callable[[str], None],
        *,
        told: Sequence[int] = (),
        style: PromptStyle | None = None,
    ) -> None:
        self._plan, self._on_step, self._on_done, self._on_failed = plan, on_step, on_done, on_failed
        self._steps = checkpoints_told(paths, told)
        config = load_config(paths.config)
        self._request = {
            "problem": asdict(plan.problem),
            "steps": [(step, str(folder)) for step, folder in self._steps],
            "hint": plan.hint.text if plan.hint else "",
            "suggested": plan.hint.suggested if plan.hint else None,
            "placement": plan.placement,
            "style": style or config.model.prompt_style,
            "temperature": plan.temperature,
            "seed": plan.seed,
            "max_tokens": plan.max_tokens,
            "device": config.model.device,
        }
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._cancelled = False
        self._thread = threading.Thread(target=self._run, name="CheckpointReplay", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Ask for an end, from any thread; returns at once. It is then done, with what there is."""
        with self._lock:
            self._cancelled = True
            child = self._child
        if child is not None and child.poll() is None:
            child.terminate()
            threading.Timer(TERMINATE_PATIENCE_S, _kill, [child]).start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether it ended within that time, its last callback included. Never call it in a callback."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # ------------------------------------------------------------------ on the job's thread

    def _run(self) -> None:
        try:
            result = self._work()
        except UserError as error:
            _call(self._on_failed, str(error))
        except Exception as error:  # noqa: BLE001 - a thread's edge: a bug is logged, and whoever waits is told
            _log.exception("the time machine failed")
            _call(self._on_failed, f"A mistake in the laboratory itself ended this ({error}). The log has the details.")
        else:
            _call(self._on_done, result)

    def _work(self) -> CheckpointReplayResult:
        found: list[ReplayStep] = []
        errors: list[str] = []
        child = self._start()
        if child is None:
            return self._result(found)
        reader = threading.Thread(target=lambda: errors.extend(child.stderr or ()), daemon=True)
        reader.start()
        try:
            self._ask(child)
            for line in child.stdout or ():
                found.append(read_step(line))
                _call(self._on_step, self._result(found))
            code = child.wait()
        finally:
            _kill(child)
            reader.join(TERMINATE_PATIENCE_S)
            for stream in (child.stdout, child.stderr):
                if stream is not None:
                    stream.close()
        if code != 0 and not self._cancelled:
            raise UserError(_why("".join(errors), code))
        return self._result(found)

    def _start(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._cancelled:
                return None
            self._child = subprocess.Popen(
                [sys.executable, "-m", "training", "solve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace", env=child_environment(),
            )  # fmt: skip
            return self._child

    def _ask(self, child: subprocess.Popen[str]) -> None:
        assert child.stdin is not None
        try:
            with child.stdin as pipe:
                pipe.write(json.dumps(self._request))
        except BrokenPipeError:
            # It ended already: its exit code and last words say why.
            _log.info("the child was gone before it was asked")

    def _result(self, found: Sequence[ReplayStep]) -> CheckpointReplayResult:
        whole = len(found) == len(self._steps)
        return replay_result(found, len(self._steps), complete=whole, cancelled=self._cancelled and not whole)


def _kill(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        kill_tree(child.pid)
        child.wait()


def _call(callback: Callable[[Any], None], value: Any) -> None:
    try:
        callback(value)
    except Exception:  # noqa: BLE001 - a callback's mistake must not end the job
        _log.exception("a callback of the time machine failed")


def _why(said: str, code: int) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    told = next((line.removeprefix("error: ") for line in reversed(lines) if line.startswith("error: ")), "")
    return told or f"The solving process ended with code {code}. {lines[-1] if lines else 'It said nothing.'}"


def read_step(line: str) -> ReplayStep:
    """One line of the child. A UserError for what is none."""
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
        raise UserError(f"The solving process said what cannot be read ({line.strip()[:200]!r}).") from error


# ---------------------------------------------------------------------- what it shows


def replay_result(
    steps: Sequence[ReplayStep], planned: int, *, complete: bool = True, cancelled: bool = False
) -> CheckpointReplayResult:
    """The steps with since when they are robust, in words and as a table."""
    since = robust_since(steps)
    table = DataTable(
        ("step", "outcome", "answer", "log-prob", "tokens", "truncated", "follows hint", "text", "missing"),
        tuple(_row(s) for s in steps),
    )
    return CheckpointReplayResult(
        tuple(steps), planned, since, replay_words(steps, planned, since, complete), table, complete, cancelled
    )


def _row(s: ReplayStep) -> tuple[Value, ...]:
    outcome = None if s.outcome is None else str(s.outcome)
    return s.step, outcome, s.answer, s.logprob, s.tokens, s.truncated, s.follows, s.text, s.missing


def robust_since(steps: Sequence[ReplayStep]) -> int | None:
    """The first step from which every answer there is is right, up to the last; None where the last one is not.
    Checkpoints that are missing are passed over."""
    since = None
    for step in sorted((s for s in steps if s.outcome is not None), key=lambda s: s.step):
        if step.outcome is not Outcome.RIGHT:
            since = None
        elif since is None:
            since = step.step
    return since


def open_before(steps: Sequence[ReplayStep], since: int) -> tuple[int, ...]:
    """Steps that could not be asked between the last wrong one and `since`: they may have been right already."""
    wrong = [s.step for s in steps if s.outcome is not None and s.step < since]
    return tuple(sorted(s.step for s in steps if max(wrong) < s.step < since)) if wrong else ()


def _or_earlier(steps: Sequence[ReplayStep], since: int) -> str:
    open_ = open_before(steps, since)
    if not open_:
        return ""
    named = f"step {open_[0]}" if len(open_) == 1 else f"one of steps {open_[0]} to {open_[-1]}"
    return f", or from {named}, which could not be asked"


def replay_words(steps: Sequence[ReplayStep], planned: int, since: int | None, complete: bool) -> str:
    """What the replay shows: one answer a checkpoint, so no more than that."""
    known = [s for s in steps if s.outcome is not None]
    if not known:
        return "No checkpoint has answered yet." if not complete else "No checkpoint could answer."
    right = sum(s.outcome is Outcome.RIGHT for s in known)
    so_far = "" if complete else f" so far ({len(steps)} of {planned})"
    told = f"Right at {right} of {len(known)} checkpoints{so_far}"
    first = min(s.step for s in known)
    if since is None:
        told += "; wrong at the last one" if complete else "; wrong at the last one so far"
    elif since == first:
        told += "; right from the first one on"
    else:
        told += f"; right from step {since} on{_or_earlier(steps, since)}"
    gone = len(steps) - len(known)
    missing = f" {gone} checkpoint{'' if gone == 1 else 's'} could not be asked." if gone else ""
    return f"{told}. One problem and one answer a checkpoint: an example, not a measure.{missing}"
