"""Status, progress and failure of a run as text. Pure: state in, text out."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from seirenes_app.services import estimate
from seirenes_app.services.answer_reading import MANY, describe_unread
from seirenes_app.services.cluster_runs import describe_silence
from seirenes_app.services.formatting import clock, duration, megabytes, percent
from seirenes_app.services.run_health import alarm_title
from seirenes_app.services.run_repository import log_tail
from training.core.statistics import Interval, difference_limits
from training.errors import UserError
from training.evaluation.metric_types import UnreadShares
from training.memory import find_remedies, memory_parts
from training.runs.config import load_config
from training.runs.health import STALLED_STAGE
from training.runs.paths import RunPaths
from training.runs.processes import RunSummary, StopPhase, cluster_of, local_process, running_process
from training.runs.status import LIVE, ProcessWarning, RunState, RunStatus

STATUS_LABELS = {status: status.capitalize() for status in RunStatus} | {RunStatus.STALLED: "Not responding"}
MODE_LABELS = {"seirenes": "self-play", "clean_rl": "clean RL", "static": "static adversary", "random": "random hints"}
STAGE_LABELS = {
    "setup": "loading the model",
    "problems": "making the problems",
    "eval": "measuring the frozen suite",
    "r1_clean": "solving clean questions",
    "r2_hint": "writing hints",
    "judge": "asking the judge about hints",
    "r3_hinted": "solving hinted questions",
    "update": "updating the weights",
    "checkpoint": "saving a checkpoint",
    "paused": "paused",
}
STOP_TEXT = {
    StopPhase.ASKED: "Asked the process to save and stop.",
    StopPhase.NOT_WRITTEN: "The stop request could not be written; the process will be terminated.",
    StopPhase.WAITING: "Waiting for the process to reach a safe place and save.",
    StopPhase.TERMINATED: "No answer: terminating the process. Work since the last save is lost.",
    StopPhase.KILLED: "Still running: killing the process and its children.",
    StopPhase.OUT_OF_REACH: "The process is not one of this machine. Stop it where it runs; nothing was ended here.",
    StopPhase.ENDED: "The process has ended.",
    StopPhase.GAVE_UP: "The process is still running.",
}


@dataclass(frozen=True)
class Change:
    """Accuracy on the frozen suite before training and at its newest evaluation, in [0, 1]; None: not measured."""

    before: float | None = None
    after: float | None = None
    difference: Interval | None = field(default=None, compare=False)
    """With limits from the two totals: wider than the paired ones, which need the rows."""
    unread: tuple[UnreadShares | None, ...] = field(default=(), compare=False)
    """The shares of answers that were not graded, of each of the two evaluations; None where they are not known."""

    @property
    def unread_text(self) -> str:
        """Those of the newest evaluation: '3% unreadable'; empty for none."""
        return describe_unread(self.unread[-1]) if self.unread else ""

    @property
    def many_unread(self) -> bool:
        return any(shares is not None and shares.total > MANY for shares in self.unread)

    @property
    def points(self) -> float | None:
        """None where one is not measured, or most of its answers were not graded."""
        if self.before is None or self.after is None or any(s is not None and s.mostly for s in self.unread):
            return None
        return 100 * (self.after - self.before)

    def __str__(self) -> str:
        if self.before is None:
            return "not measured"
        unread = f" ({self.unread_text})" if self.unread_text else ""
        if self.after is None:
            return f"{percent(self.before)} so far{unread}"
        return f"{percent(self.before)} → {percent(self.after)}{unread}"


def measure_change(state: RunState, condition: str) -> Change:
    """First and last evaluation of `condition` ("clean", "hinted", "placebo"); one evaluation alone is a before."""
    measured = [(value, p.metrics) for p in state.evals if (value := _accuracy(p.metrics, condition)) is not None]
    if not measured:
        return Change()
    ends = measured[:1] if len(measured) == 1 else [measured[0], measured[-1]]
    unread = tuple(UnreadShares.of_rate(metrics.get(condition)) for _, metrics in ends)
    before, after = ends[0][0], ends[-1][0]
    if len(ends) == 1:
        return Change(before.mean, unread=unread)
    return Change(before.mean, after.mean, difference_limits(after, before), unread)


def _accuracy(metrics: Any, condition: str) -> Interval | None:
    figures = metrics.get(condition) if hasattr(metrics, "get") else None
    if not isinstance(figures, Mapping):
        return None
    mean, low, high = (figures.get(key) for key in ("accuracy", "low", "high"))
    if not isinstance(mean, int | float):
        return None
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        low, high = 0.0, 1.0
    return Interval(float(mean), float(low), float(high))


def describe_models(state: RunState) -> str:
    """The model of a run, or both where the Adversary has its own, and which of them is not trained."""
    adversary, reasoner = (state.settings.get(name) or {} for name in ("adversary", "reasoner"))
    own = str(adversary.get("model") or "") if state.mode in ("seirenes", "static") else ""
    if not own:
        return state.model
    frozen = " (not trained)"
    by = "" if adversary.get("train", True) and state.mode == "seirenes" else frozen
    return (
        f"Reasoner {_short_model(state.model)}{'' if reasoner.get('train', True) else frozen}, "
        f"Adversary {_short_model(own)}{by}"
    )


def _short_model(name: str) -> str:
    """The last part of a path; of a checkpoint the run too."""
    path = Path(name)
    if not path.is_absolute():
        return name
    checkpoint = next((p for p in (path, path.parent) if p.parent.name == "checkpoints"), None)
    if checkpoint is None or not (step := checkpoint.name.removeprefix("step_")).isdigit():
        return path.name
    return f"{checkpoint.parent.parent.name}@{int(step)}"


def describe_status(state: RunState) -> str:
    """The status in some words, and since when a run on a cluster is not followed: 'not followed since 14:03'."""
    return f"{STATUS_LABELS[state.status].lower()}{_since_followed(state)}"


def _since_followed(state: RunState) -> str:
    """' since 14:03' for a run that is not followed; else empty."""
    return f" since {clock(state.followed_t, time.time())}" if state.followed_t else ""


def status_sentence(state: RunState) -> str:
    """Status, accuracy and alarms in one line, for screen readers and tooltips."""
    alarms = f" Alarms: {', '.join(map(alarm_title, state.raised))}." if state.raised else ""
    heard = "; last heard of" if state.status is RunStatus.NOT_FOLLOWED else ""
    return (
        f"{STATUS_LABELS[state.status]}{_since_followed(state)}{heard} at step {state.step} of {state.steps}. "
        f"Clean {measure_change(state, 'clean')}; hinted {measure_change(state, 'hinted')}.{alarms}"
    )


def describe_stage(state: RunState) -> str:
    """What a run is at, with how far it is: 'solving clean questions, at 3 of 12'."""
    doing = STAGE_LABELS.get(str(state.stage or ""), str(state.stage or "starting"))
    return f"{doing}, at {state.stage_done} of {state.stage_total}" if state.stage_total else doing


def stall_of(state: RunState) -> ProcessWarning | None:
    """What a run says of the stage that makes no progress; None while it makes some."""
    if STALLED_STAGE not in state.raised or state.status not in LIVE:
        return None
    return next((w for w in reversed(state.warnings) if w.code == STALLED_STAGE), None)


def describe_activity(state: RunState) -> str:
    """What a live run does now, in a few words: a stage, that it makes no progress, or that nothing is heard of it."""
    if state.status is RunStatus.STALLED:
        return f"no sign of life for {duration(state.silent_s)} while {describe_stage(state)}"
    if state.status is not RunStatus.RUNNING or not state.stage:
        return describe_status(state)
    if stall_of(state) is not None:
        return f"no progress while {describe_stage(state)}"
    return STAGE_LABELS.get(state.stage, state.stage)


@dataclass(frozen=True)
class RunProblem:
    title: str
    text: str
    log: tuple[str, ...]
    can_resume: bool
    can_edit_settings: bool = False
    proposed: Mapping[str, str] = field(default_factory=dict)
    """`key` and `value` of a setting to resume with, where memory ran out."""
    can_follow: bool = False

    @property
    def is_wrong(self) -> bool:
        """Whether something is known to be wrong: nothing is of a run that is only not heard of."""
        return self.can_resume or self.can_edit_settings


_PROBLEMS = (RunStatus.CRASHED, RunStatus.FAILED, RunStatus.STALLED, RunStatus.NOT_FOLLOWED)


def describe_problem(summary: RunSummary) -> RunProblem | None:
    """The problem of a run that crashed, failed, does not respond or is not followed; None for any other."""
    state = summary.state
    if state is None or state.status not in _PROBLEMS:
        return None
    name = summary.paths.run_id
    log = log_tail(summary.paths)
    if state.status is RunStatus.NOT_FOLLOWED:
        text = (
            f"Its events have not been read here{_since_followed(state)}. It may still run on "
            f"{cluster_of(summary.paths)}: follow it again to see what it has done since."
        )
        return RunProblem(f"{name} is not followed", text, log, False, can_follow=True)
    if state.status is RunStatus.STALLED:
        if why := describe_silence(summary.paths):
            return RunProblem(f"Nothing is heard of {name}", why, log, False)
        silence = f"No sign of life for {duration(state.silent_s)} while {describe_stage(state)}."
        silence += f" Before that: {stall.message}" if (stall := stall_of(state)) is not None else ""
        return RunProblem(f"{name} is not responding", f"{silence} {_why_silent(summary.paths)}", log, False)
    if state.status is RunStatus.FAILED:
        remedy = describe_saved(state)
        if state.can_edit_settings:
            remedy = "Correct the settings and start it again."
            if state.can_resume:
                remedy = "Resume it once the server answers, or correct the settings."
        return RunProblem(
            f"{name} failed", f"{state.message or 'It gave no reason.'} {remedy}", log, state.can_resume,
            state.can_edit_settings, state.proposed,
        )  # fmt: skip
    proposed = memory_remedy(summary)
    change = f"Set {proposed['key']} = {proposed['value']} to take less. " if proposed else ""
    cause = _cause(summary.paths, state, log)
    return RunProblem(f"{name} crashed", f"{cause} {change}{describe_saved(state)}", log, True, proposed=proposed)


def describe_saved(state: RunState) -> str:
    """What is kept of a run that did not finish, and what resuming does."""
    if not state.checkpoints:
        return "Nothing was saved yet: resuming starts it over."
    saved = state.checkpoints[-1][0]
    lost = state.done_steps - saved
    kept = f"Saved up to step {saved}; resuming continues from there."
    return kept if lost <= 0 else f"{kept} {lost} later {'step is' if lost == 1 else 'steps are'} lost."


LITTLE_MEMORY = 0.03
"""Share of the machine's memory below which it is short."""


def _why_silent(paths: RunPaths) -> str:
    """What can be seen from here of a process that writes nothing."""
    held = running_process(paths)
    process = local_process(held, paths.root) if held is not None else None
    status = ""
    with suppress(psutil.Error):
        status = process.status() if process is not None else ""
    memory = psutil.virtual_memory()
    if status == psutil.STATUS_STOPPED and process is not None:
        return f"Its process is stopped. Continue it with: kill -CONT {process.pid}"
    if status == psutil.STATUS_DISK_SLEEP:
        return "It waits for a disk that does not answer."
    if memory.available < LITTLE_MEMORY * memory.total:
        free = megabytes(memory.available / 2**20)
        return f"The machine is almost out of memory ({free} free): close other programs, or stop the run."
    return (
        "The machine may be suspended, overloaded or out of memory. It goes on by itself when the machine does; "
        "otherwise stop it, and resume it."
    )


FULL_BYTES = 64 * 1024
"""A disk with less free space is full: a trainer may not even be able to write how it ended."""


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < FULL_BYTES
    except OSError:
        return False


def _cause(paths: RunPaths, state: RunState, log: tuple[str, ...]) -> str:
    text = "\n".join(log).lower()
    if not state.launched_t:
        said = "its log is below" if text else "it wrote nothing"
        return f"The trainer exited before its first step; {said}."
    when = f" at {datetime.fromtimestamp(state.last_t):%H:%M on %d %B}" if state.last_t else ""
    if any(part in text for part in ("out of memory", "memoryerror", "cannot allocate memory", "memory allocation of")):
        return f"The trainer ran out of memory{when}. Fewer questions a step, or a shorter solution limit, need less."
    if _is_full(paths.root):
        return f"The disk with {paths.root} is full, and the trainer could not go on{when}. Free some space."
    if "traceback" in text or "error:" in text:
        return f"The trainer stopped on an error{when}; its log is below."
    if state.last_t and state.last_t < psutil.boot_time():
        return f"The machine was switched off or restarted while it ran; its last event was{when}."
    return f"The trainer process ended{when} without saying why: {_killer(state)}"


SHORT_SHARE, SHORT_MB = 0.08, 300.0
"""Memory is short where less than this is free, as a share of the machine's or in MiB."""


def memory_was_short(state: RunState) -> bool:
    """Whether little memory was free when it was read last, some seconds at most before the process ended."""
    total = state.machine.get("memory_mb") or 0
    return state.free_mb is not None and state.free_mb < max(SHORT_MB, SHORT_SHARE * float(total))


def _killer(state: RunState) -> str:
    if state.free_mb is None:
        return "it was killed from outside, most often by the system when memory ran out."
    figures = f"it held {megabytes(state.rss_mb)}, and {megabytes(state.free_mb)} were free"
    if memory_was_short(state):
        return f"it may have been ended by the system for lack of memory. Shortly before, {figures}."
    return f"it was killed from outside. Memory was not short: shortly before, {figures}."


def memory_remedy(summary: RunSummary) -> Mapping[str, str]:
    """`key` and `value` of the setting that lets a run that ended for lack of memory go on; empty for any other."""
    state = summary.state
    if state is None or state.proposed or state.status is not RunStatus.CRASHED or not memory_was_short(state):
        return state.proposed if state is not None else {}
    try:
        config = summary.config or load_config(summary.paths.config)
    except UserError:
        return {}
    shape = estimate.read_shape(estimate.model_folder(config))
    remedies = find_remedies(config, memory_parts(config, estimate.model_parameters(config), shape))
    return {"key": remedies[0].key, "value": remedies[0].value} if remedies else {}
