"""Two steps of a run, played for real and thrown away: what they take tells what the run will take.

The trainer itself plays them, in a hidden folder beside the runs, with the run's own settings and a part of its frozen
suite. What is measured is kept by settings and machine (`measurement_key`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil

from seirenes_app.services.estimate import (
    EVAL_CONDITIONS,
    RunMeasurement,
    checkpoint_mb,
    model_parameters,
    replays_a_step,
    rollouts_a_step,
)
from seirenes_app.services.formatting import megabytes
from seirenes_app.services.machine import processor_name, usable_cores
from seirenes_app.services.run_repository import log_tail, startable
from seirenes_app.services.run_summary import STAGE_LABELS
from seirenes_app.store.workspace import Workspace, read_measurement
from training.environment import versions
from training.errors import UserError
from training.model_names import without_commit
from training.runs.config import CheckpointConfig, Mode, RunConfig, further_questions, is_anchored, profile_of, to_dict
from training.runs.events import Event, EventKind, EventTail
from training.runs.files import decode
from training.runs.lock import holder
from training.runs.paths import RunPaths, new_run
from training.runs.processes import end_tree, start_trainer, watch_run
from training.runs.status import RunState, RunStatus

STEPS = 2
EVAL_ROWS = 512
"""Solutions of the part of the suite that is measured at most: what the sampler decodes together."""
FOLDER = ".dry-runs"
POLL_S = 0.2

Report = Callable[[str, float], object]
"""Called with what is being done and the share that is done, 0 to 1."""


def measurement_key(config: RunConfig) -> str:
    """Equal for two configurations on one machine whose steps take the same."""
    data: dict[str, Any] = to_dict(replace(config, profile=None))
    for name in ("name", "steps", "max_rollouts", "checkpoint"):
        del data[name]
    data["data"].pop("seed")
    data["evaluation"] = {"max_new_tokens": config.evaluation.max_new_tokens}
    data["model"]["path"] = without_commit(config.model.path)
    data["model"]["prompts"] = profile_of(config).digest
    machine = [processor_name(), usable_cores(), psutil.virtual_memory().total, versions()]
    return hashlib.sha256(json.dumps([data, machine], sort_keys=True, default=str).encode()).hexdigest()


def known_measurement(workspace: Path | None, config: RunConfig) -> RunMeasurement | None:
    """What was measured here for these settings; None where nothing was, or by a version that measured other things."""
    if workspace is None:
        return None
    try:
        text = read_measurement(workspace, measurement_key(config))
        return decode(text, RunMeasurement, "the measurement") if text is not None else None
    except UserError:
        return None


def keep_measurement(workspace: Path | None, config: RunConfig, found: RunMeasurement) -> None:
    if workspace is not None:
        with closing(Workspace(workspace)) as opened:
            opened.keep_measurement(measurement_key(config), json.dumps(asdict(found)), found.measured_at)


def measure_run(
    config: RunConfig, runs_root: Path, report: Report = lambda _text, _share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> RunMeasurement | None:  # fmt: skip
    """Play the steps and measure; None when cancelled. Nothing of it is left behind.

    A run that cannot be started, or fails, is a UserError with its reason. Takes as long as two steps, and more.
    """
    config = dry_config(startable(config))
    place = runs_root / FOLDER
    _check_disk(config, runs_root)
    place.mkdir(parents=True, exist_ok=True)
    _remove_left(place)
    folder = Path(tempfile.mkdtemp(dir=place))
    try:
        paths = new_run(folder, config, "dry-run")
        state = _play(paths, report, cancelled)
        return None if state is None else read_events(paths, config)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            place.rmdir()


def _check_disk(config: RunConfig, runs_root: Path) -> None:
    """The two steps have a checkpoint before and one after them, as every run."""
    needed = 2 * checkpoint_mb(config, model_parameters(config))
    existing = next((p for p in (runs_root, *runs_root.parents) if p.exists()), Path.cwd())
    free = shutil.disk_usage(existing).free / 2**20
    if needed > free:
        raise UserError(
            f"Two steps write two checkpoints, about {megabytes(needed)}, and {megabytes(free)} of the disk with "
            f"{runs_root} are free. Free some space, or start the run without measuring."
        )


def dry_config(config: RunConfig) -> RunConfig:
    """The run cut to its dry steps; everything that a step depends on stays."""
    problems = min(config.evaluation.problems, max(4, min(EVAL_ROWS, sum(rollouts_a_step(config))) // EVAL_CONDITIONS))
    return replace(
        config, steps=STEPS, max_rollouts=0, checkpoint=CheckpointConfig(every=0),
        evaluation=replace(config.evaluation, every=0, problems=problems),
    )  # fmt: skip


def _play(paths: RunPaths, report: Report, cancelled: Callable[[], bool]) -> RunState | None:
    pid = start_trainer(paths, detached=False)
    watch = watch_run(paths)
    try:
        while True:
            state = watch.poll()
            if state.status is RunStatus.FINISHED:
                return state
            if state.over:
                reason = state.message or "\n".join(log_tail(paths)) or "It gave no reason."
                raise UserError(f"The two steps could not be played. {reason}")
            if cancelled():
                return None
            report(*describe_progress(state))
            time.sleep(POLL_S)
    finally:
        with suppress(psutil.Error):
            if not watch.poll().over:
                end_tree(psutil.Process(pid), kill=True)
                psutil.wait_procs([psutil.Process(pid)], timeout=5)


def describe_progress(state: RunState) -> tuple[str, float]:
    """What the dry run does, and the share that is done; its steps are most of it."""
    stages = ("r1_clean", "r2_hint", "r3_hinted", "update")
    # From the end of a step to the first stage of the next the state still names the last stage.
    playing = state.stage in stages and state.step > state.done_steps
    inside = stages.index(state.stage) / len(stages) if playing else 0.0
    if playing and state.stage_total and state.stage in stages[:3]:
        inside += state.stage_done / state.stage_total / len(stages)
    share = 0.1 * bool(state.launched_t) + 0.1 * bool(state.evals) + 0.35 * min(STEPS, state.done_steps + inside)
    doing = STAGE_LABELS.get(state.stage, "starting the trainer")
    step = min(STEPS, state.done_steps + 1)
    return (f"Step {step} of {STEPS}: {doing}" if playing else doing.capitalize()), min(1.0, share)


def _remove_left(place: Path) -> None:
    """Folders of dry runs that were killed; those of others that are under way stay."""
    for folder in place.iterdir():
        locks = list(folder.glob("*/trainer.lock"))
        if all(holder(lock) is None for lock in locks) and time.time() - folder.stat().st_mtime > 60:
            shutil.rmtree(folder, ignore_errors=True)


# ---------------------------------------------------------------------- from events to figures


def read_events(paths: RunPaths, config: RunConfig) -> RunMeasurement:
    """What the events of a finished dry run say."""
    events = EventTail(paths.events).poll()
    launch = next(e for e in events if e.kind == EventKind.LAUNCH)
    evals = [_took(events, e) for e in events if e.kind == EventKind.EVAL]
    saves = [_took(events, e) for e in events if e.kind == EventKind.CHECKPOINT]
    steps = [e for e in events if e.kind == EventKind.STEP]
    first, last = (e.data["metrics"] for e in (steps[0], steps[-1]))
    started = float(json.loads(paths.launch.read_text(encoding="utf-8"))["t"])
    hinted = [_hinted(config, metrics, before) for metrics, before in ((first, None), (last, first))]
    replayed = min(replays_a_step(config), first.get("archive/size") or 0) * config.rollout.hinted
    update, update_more = _update_seconds(config, first, last)
    solved = sum(hinted)
    between = max(0.0, _active(steps[-1]) - _active(steps[0]) - last["seconds"])
    peaks = [(e, e.data["peak_mb"]) for e in events if "peak_mb" in e.data]
    final = max(launch.data.get("peak_mb", 0.0), *(_number(e, "peak_mb") for e in steps))
    sizes = [sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) for folder in _checkpoints(paths)]
    return RunMeasurement(
        start_s=max(0.0, launch.t - started),
        first_s=update_more + max(0.0, evals[0] - evals[-1]),
        eval_s=evals[-1], eval_problems=config.evaluation.problems, checkpoint_s=max(saves),
        stages={
            "r1": (first["seconds/r1"] + last["seconds/r1"]) / 2, "r2": (first["seconds/r2"] + last["seconds/r2"]) / 2,
            "update": update, "between": between,
        },
        hinted_s=(first["seconds/r3"] + last["seconds/r3"]) / solved if solved else 0.0,
        hinted=(hinted[0] + max(0.0, hinted[1] - replayed)) / 2,
        archived=first.get("archive/size") or 0.0,
        loaded_mb=launch.data.get("rss_mb", 0.0),
        evaluated_mb=max((mb for e, mb in peaks if e.t <= steps[0].t and e.kind == EventKind.EVAL), default=0.0),
        trained_mb=_number(steps[-1], "rss_mb"),
        peak_mb=max(final, *(mb for _, mb in peaks)), checkpoint_mb=max(sizes, default=0) / 2**20,
        gpu_mb=max(_number(e, "gpu_peak_mb") for e in steps), threads=int(launch.data.get("threads") or 0),
        measured_at=time.time(),
    )  # fmt: skip


def _checkpoints(paths: RunPaths) -> list[Path]:
    return sorted(paths.checkpoints.glob("step_*"))


def _active(event: Event) -> float:
    return float(event.data["active_s"])


def _number(step: Event, name: str) -> float:
    return float(step.data["metrics"].get(name) or 0.0)


def _took(events: Sequence[Event], event: Event) -> float:
    """Seconds since the event that something was done last: stages and signs of life are of this one."""
    before = [e for e in events[: events.index(event)] if e.kind not in (EventKind.STAGE, EventKind.HEARTBEAT)]
    return _active(event) - _active(before[-1])


def _hinted(config: RunConfig, metrics: dict[str, Any], before: dict[str, Any] | None) -> float:
    """Solutions of a step under hints: the rollouts that are neither clean solutions nor hints."""
    if config.mode is Mode.CLEAN_RL:
        return 0.0
    r = config.rollout
    played = float(metrics["rollouts_total"] - (before["rollouts_total"] if before else 0))
    written = 0 if config.mode is Mode.RANDOM else r.questions * r.hints
    return max(0.0, played - r.questions * r.clean - further_questions(config) - written)


def _update_seconds(config: RunConfig, first: dict[str, Any], last: dict[str, Any]) -> tuple[float, float]:
    """Of a usual update, and what the first one takes beyond it. An update costs by its rows: those with an advantage,
    and the clean solutions where they are held to the starting model."""
    share = config.reasoner.anchor_share * (1 + config.reasoner.needed_share)
    asked = config.rollout.questions * config.rollout.clean * share + further_questions(config)
    held = asked if is_anchored(config) else 0
    rows_first, rows_last = (held + (metrics.get("rows_trained") or 0) for metrics in (first, last))
    if not rows_last:
        # Nothing to learn in the second one: the first is all that is known.
        return (first["seconds/update"] + last["seconds/update"]) / 2, 0.0
    row_s = last["seconds/update"] / rows_last
    return row_s * (rows_first + rows_last) / 2, max(0.0, first["seconds/update"] - row_s * rows_first)
