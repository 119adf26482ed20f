"""A study's process, and its state for everybody else: `python -m seirenes_app.services.study.execution DIR`.

It does one part after the other through the processes that runs and evaluations have anyway, which are detached: a kill
of the study leaves them going, and the next launch finds them again by their folders, whose names are decided by the
part. What became of each part is written to the event log before and after, so that any launch goes on from there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from seirenes_app.services import estimate
from seirenes_app.services.evaluations import (
    EvaluationWatch,
    checkpoint_steps,
    checkpoint_targets,
    evaluations_folder,
    frozen_suite_ref,
    launch,
    model_target,
    plan_evaluation,
    writer_targets,
    written_suite,
)
from seirenes_app.services.formatting import count_of
from seirenes_app.services.machine import usable_cores
from seirenes_app.services.preflight import find_needs
from seirenes_app.services.run_repository import LoggedWatch, RunRepository, log_tail, startable
from seirenes_app.services.study.definition import (
    START,
    Part,
    PartKind,
    StudyDefinition,
    StudyDir,
    at_shorter,
    base_config,
    extended,
    list_studies,
    parts_of,
    read_study,
    response_config,
    run_config,
    run_part,
    save_study,
    studies_root,
)
from seirenes_app.store.workspace import RunMark, Workspace
from training.core.types import Condition
from training.errors import UserError, exit_code
from training.evaluation.eval_dir import EvalDir, new_evaluation
from training.evaluation.plan import EvalPlan, Target, Writing
from training.runs.config import EngineConfig, RunConfig, has_own_adversary, load_config, profile_of
from training.runs.control import ProcessControl, StopRequested, StopSignal, heartbeat, recorded_process
from training.runs.events import Event, EventKind, EventLog
from training.runs.lock import RunLock
from training.runs.paths import RunPaths, change_settings, new_run
from training.runs.processes import (
    ProcessWatch,
    StopEscalation,
    StopTimes,
    process_at_work,
    read_run,
    require_idle,
    running_process,
    start_process,
    start_trainer,
    watch_run,
)
from training.runs.status import ProcessState, RunState, RunStatus, State, reduce_process, resolve_status

POLL_S = 0.5
REPORT_S = 3.0
ASK_CHILD = StopTimes(None, None, None, give_up_s=20.0)
"""Shorter than the time after which whoever stops a study ends it with its children."""
CRASHES = 2
"""How often a part's process is started again after a crash, in one launch of the study."""
MODULE = "seirenes_app.services.study.execution"
HINT_TYPES = 4


class PartStatus(StrEnum):
    """Where a part stands."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    SKIPPED = "skipped"
    """What it needs has failed."""


@dataclass(frozen=True, slots=True)
class PartState:
    """What is recorded of a part. `folder` is that of its run or evaluation, "" before there is one."""

    status: PartStatus = PartStatus.WAITING
    folder: str = ""
    message: str = ""
    seconds: float = 0.0
    """Time that its process has worked."""


@dataclass(frozen=True, kw_only=True)
class StudyState(ProcessState):
    """Progress of a study. `share` is of its expected time, from 0 to 1; `eta_s` seconds that are left, None before
    anything was estimated. `part` is the id of the part under way, `part_share` how far that is."""

    parts: Mapping[str, PartState] = field(default_factory=dict)
    part: str = ""
    part_share: float = 0.0
    share: float = 0.0
    eta_s: float | None = None

    def of(self, id_: str) -> PartState:
        return self.parts.get(id_, PartState())

    def done(self, parts: Iterable[Part]) -> int:
        """How many of these have finished. There may be others, of before the study was extended."""
        return sum(self.of(part.id).status is PartStatus.FINISHED for part in parts)


def reduce(state: StudyState, event: Event) -> StudyState:
    state = reduce_process(state, event)
    d = event.data
    if event.kind == EventKind.PART:
        try:
            found = PartState(
                PartStatus(d["status"]), str(d.get("folder", "")), str(d.get("message", "")), float(d.get("seconds", 0))
            )
        except (KeyError, ValueError, TypeError):
            return state
        return replace(state, parts={**state.parts, str(d.get("part", "")): found})
    if event.kind == EventKind.STAGE:
        eta = d.get("eta_s")
        return replace(
            state, part=str(d.get("part", "")), part_share=float(d.get("part_share") or 0.0),
            share=float(d.get("share") or 0.0), eta_s=None if eta is None else float(eta),
        )  # fmt: skip
    if event.kind == EventKind.DONE:
        return replace(state, eta_s=None, part="", share=1.0 if state.status is RunStatus.FINISHED else state.share)
    return state


class StudyWatch(LoggedWatch[StudyState]):
    """One study's state, read forward; a crash comes with the end of its log."""

    def __init__(self, paths: StudyDir) -> None:
        super().__init__(paths, StudyState(), reduce, _resolve)


def _resolve(state: StudyState, holder: Any, now: float, *, launched: bool = False) -> StudyState:
    return resolve_status(state, holder, now, launched=launched, process="The study's process")


@dataclass(frozen=True, slots=True)
class StudySummary:
    """One study; `problem` says why definition or state is missing. `launched`: a process was started for it."""

    paths: StudyDir
    study: StudyDefinition | None
    state: StudyState | None
    launched: bool = False
    problem: str | None = None

    @property
    def started(self) -> bool:
        return self.launched or (self.state is not None and self.state.last_t > 0)

    @property
    def live(self) -> bool:
        """Whether its process is at work, or is about to be."""
        return self.started and self.state is not None and not self.state.over

    @property
    def parts(self) -> tuple[Part, ...]:
        return parts_of(self.study) if self.study is not None else ()

    @property
    def done(self) -> int:
        """How many of its parts have finished."""
        return self.state.done(self.parts) if self.state is not None else 0


def read_summary(paths: StudyDir, watch: StudyWatch | None = None) -> StudySummary:
    study = None
    try:
        study = read_study(paths)
        return StudySummary(paths, study, (watch or StudyWatch(paths)).poll(), paths.launch.is_file())
    except (UserError, OSError) as error:
        return StudySummary(paths, study, None, problem=str(error))


class StudyRepository:
    """All studies under one root, their states read forward. Call it off the window's thread, from one at a time."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or studies_root()
        self._watches: dict[Path, StudyWatch] = {}

    def summaries(self) -> list[StudySummary]:
        """Newest first; broken folders are listed with their `problem`."""
        return [self._read(paths) for paths in list_studies(self.root)]

    def _read(self, paths: StudyDir) -> StudySummary:
        watch = self._watches.setdefault(paths.root, StudyWatch(paths))
        return read_summary(paths, watch)


def start_study(paths: StudyDir) -> int:
    """Start, or resume, a study in a detached process; returns its PID. One that runs is a UserError."""
    require_idle(paths, f"The study {paths.run_id}")
    return start_process(paths, [MODULE])


def extend_study(
    paths: StudyDir, seeds: Sequence[int] = (), responses: int | None = None, rollouts: int | None = None
) -> StudyDefinition:
    """Add seeds, best responses to each Reasoner, or rollouts to each run, to a study that does not run; returns what
    it is now. What is done is kept: further seeds make the measures of all Reasoners again, and runs that go on to more
    rollouts are measured once more. A UserError for a study that runs, and for what cannot be added."""
    # Whoever saw the study end may extend it at once.
    process_at_work(paths)
    held = RunLock(paths.lock)
    held.acquire()
    try:
        begun = StudyWatch(paths).poll().last_t > 0
        larger = extended(read_study(paths), seeds, responses, rollouts, begun=begun)
        save_study(paths, larger)
        if begun:
            # However it had ended, something is left to do now.
            what = (
                f"{count_of(len(seeds), 'seed')} added: {', '.join(map(str, seeds))}" if seeds else "",
                f"{count_of(larger.response.repeats, 'best response')} to each Reasoner" if responses else "",
                f"{larger.rollouts:,} rollouts a run" if rollouts else "",
            )
            message = f"{'; '.join(filter(None, what))}. Resume it any time."
            with closing(EventLog(paths.events)) as log:
                log.write(EventKind.DONE, outcome="stopped", message=message, error=None)
    finally:
        held.release()
    return larger


# ---------------------------------------------------------------------- what it will take


class Expected(NamedTuple):
    """How long a part takes."""

    seconds: float | None
    """None where it is trained on a server that has not been used yet: nothing is known of it."""
    weight: float
    """The same, or what it would take on this machine: how long it is beside the other parts."""


def parts_left(study: StudyDefinition, state: StudyState) -> tuple[Part, ...]:
    """What is to be done; all Reasoners are measured again where one is yet to be trained."""
    parts = parts_of(study)
    left = [p for p in parts if state.of(p.id).status is not PartStatus.FINISHED]
    untrained = any(p.kind is PartKind.RUN for p in left)
    return tuple(p for p in parts if p in left or (untrained and p.kind is PartKind.MEASURES))


class _Before(NamedTuple):
    """What a run had when the study was extended to more rollouts: nothing, where it had not finished or is no run."""

    rollouts: int = 0
    seconds: float = 0.0


def _before(study: StudyDefinition, states: Mapping[str, PartState], part: Part) -> _Before:
    if part.kind is not PartKind.RUN:
        return _Before()
    each = [(s.rollouts, states.get(run_part(s, part.variant, part.seed), PartState())) for s in at_shorter(study)]
    done = [(rollouts, state.seconds) for rollouts, state in each if state.status is PartStatus.FINISHED]
    return _Before(done[-1][0], sum(seconds for _, seconds in done)) if done else _Before()


def expected_times(study: StudyDefinition, library: RunRepository, state: StudyState) -> dict[str, Expected]:
    """Of every part, estimated as a single run or evaluation is; of a run that goes on, what is new. Reads the models'
    small files."""
    past, workspace = library.list_runs(), library.shared_file
    base = base_config(study)
    of_config: dict[str, Expected] = {}

    def training(key: str, config: RunConfig) -> Expected:
        if key not in of_config:
            known = find_needs(config, past, workspace).time.seconds
            here = known or find_needs(replace(config, engine=EngineConfig()), past).time.seconds or 0.0
            of_config[key] = Expected(known, here)
        return of_config[key]

    found: dict[str, Expected] = {}
    for part in parts_of(study):
        if part.kind is PartKind.RUN:
            whole = training(part.variant, run_config(study, part.variant, part.seed))
            new = 1 - _before(study, state.parts, part).rollouts / study.rollouts
            found[part.id] = Expected(None if whole.seconds is None else whole.seconds * new, whole.weight * new)
        elif part.kind is PartKind.RESPONSE:
            found[part.id] = training(part.kind, response_config(study, base.model.path, base, part.seed))
        else:
            rows = study.problems * HINT_TYPES if part.kind is PartKind.EXPLOIT else _measures_rows(study)
            seconds = estimate.START_S + rows * _row_seconds(base)
            found[part.id] = Expected(seconds, seconds)
    return found


def sum_seconds(parts: Iterable[Expected]) -> float | None:
    """Of all parts together; None where one is not known."""
    found = [part.seconds for part in parts]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) if len(known) == len(found) else None


def _measures_rows(study: StudyDefinition) -> int:
    runs = len(study.variants) * len(study.seeds)
    targets = 1 + runs * (2 if study.equal_time else 1)
    frozen = 2 + 2 * HINT_TYPES
    writers = runs if study.pool else 0
    # Each writer tries several hints of each type.
    writing = writers * Writing().attempts * HINT_TYPES
    return study.problems * (targets * (frozen + writers * HINT_TYPES) + writing)


def _row_seconds(config: RunConfig) -> float:
    one = replace(config, evaluation=replace(config.evaluation, problems=1))
    whole = estimate.eval_seconds(one, estimate.model_parameters(config), usable_cores())
    return whole / estimate.EVAL_CONDITIONS


# ---------------------------------------------------------------------- targets and plans


def run_folder(paths: StudyDir, library: RunRepository, part: Part) -> RunPaths:
    """The folder of a part's run, decided by study and part, whether or not it is there."""
    of_run = part.kind is PartKind.RUN
    names = [paths.run_id, *([] if of_run else [str(part.kind)]), part.variant, str(part.seed)]
    names += [str(part.number)] if part.number > 1 else []
    # A run goes on where it is; a best response is one to the Reasoner that it had at an end.
    names += [f"after-{part.length}"] if part.length and not of_run else []
    return RunPaths(library.runs_root / "-".join(names).replace(" ", "-"))


def last_step(run: RunPaths) -> int:
    """The step of its last checkpoint; a UserError where it has none."""
    there = checkpoint_steps(run)
    if not there:
        raise UserError(f"{run.run_id} has no checkpoint.")
    return there[-1]


def reasoner_name(variant: str, seed: int) -> str:
    """What plans and tables call a run's last Reasoner."""
    return START if variant == START else f"{variant}, seed {seed}"


EARLY = " (equal time)"
"""Behind the name of a Reasoner as it was within the time of the quickest run."""


def start_target(study: StudyDefinition) -> Target:
    base = base_config(study)
    return replace(model_target(base.model.path, profile_of(base)), name=START)


def reasoner_target(run: RunPaths, variant: str, seed: int, step: int, suffix: str = "") -> Target:
    (target,) = checkpoint_targets(run, [step])
    return replace(target, name=reasoner_name(variant, seed) + suffix)


def played_seconds(state: RunState) -> float:
    """What a run's steps took, evaluations and checkpoints left out: seconds of the processor over all threads, as
    other programs do not slow those; of the clock in runs of versions that did not measure them."""
    return sum(_step_seconds(state).values())


def step_within(state: RunState, steps: Sequence[int], seconds: float) -> int:
    """The newest of `steps` that a run had reached after so many seconds of playing; its first where none had."""
    spent, at = 0.0, {0: 0.0}
    for step, taken in _step_seconds(state).items():
        spent += taken
        at[step] = spent
    reached = [step for step in steps if at.get(step, float("inf")) <= seconds * 1.02]
    return max(reached, default=min(steps))


def _step_seconds(state: RunState) -> dict[int, float]:
    processor, clock = (
        dict(zip(*state.history.series(name), strict=True)) for name in ("cpu_seconds", "seconds")
    )  # fmt: skip
    return processor if len(processor) == len(clock) else clock


def _writing(study: StudyDefinition) -> Writing:
    return Writing(problem_seed=study.problem_seed, max_tokens=base_config(study).rollout.max_hint_tokens)


def measures_plan(study: StudyDefinition, runs: Mapping[tuple[str, int], RunPaths], title: str) -> EvalPlan:
    """All Reasoners of these finished runs, and the start, on the frozen suite and, with the pool, under the hints of
    every run's last Adversary. The problems are the same throughout."""
    states = {key: read_run(run).state or RunState() for key, run in runs.items()}
    targets = [start_target(study)]
    targets += [reasoner_target(run, *key, last_step(run)) for key, run in runs.items()]
    if study.equal_time and len(runs) > 1:
        quickest = min(played_seconds(state) for state in states.values())
        for key, run in runs.items():
            step = step_within(states[key], checkpoint_steps(run), quickest)
            if step != last_step(run):
                targets.append(reasoner_target(run, *key, step, EARLY))
    frozen = frozen_suite_ref(study.problems, study.problem_seed)
    # A run whose Adversary has a model of its own writes with that one.
    own = {key: adversary_target(run, f"Adversary of {reasoner_name(*key)}") for key, run in runs.items()
           if study.pool and has_own_adversary(load_config(run.config))}  # fmt: skip
    names = [own[key].name if key in own else reasoner_name(*key) for key in runs] if study.pool else []
    pool = [
        replace(written_suite(name, study.problems, number), conditions=(Condition.HINTED,))
        for number, name in enumerate(names)
    ]
    return plan_evaluation(
        targets, [frozen, *pool], temperature=0.0, seed=study.problem_seed, title=title,
        max_tokens=base_config(study).evaluation.max_new_tokens, writing=_writing(study),
        writers=list(own.values()),
    )  # fmt: skip


def exploit_plan(study: StudyDefinition, reasoner: Target, adversary: Target, title: str) -> EvalPlan:
    """One frozen Reasoner under the hints of its best response, on the held-out problems."""
    suite = replace(written_suite(adversary.name, study.problems), conditions=(Condition.HINTED,))
    return plan_evaluation(
        [reasoner], [suite], conditions=(Condition.HINTED,), temperature=0.0, seed=study.problem_seed, title=title,
        max_tokens=base_config(study).evaluation.max_new_tokens, writing=_writing(study),
        writers=[adversary],
    )  # fmt: skip


def adversary_target(run: RunPaths, name: str) -> Target:
    """The model that plays the Adversary at the end of a run: its own, or the one that plays both roles."""
    (target,) = writer_targets(run, [last_step(run)])
    return replace(target, name=name)


# ---------------------------------------------------------------------- the process


class _PartFailed(Exception):
    """This part cannot be done now; the text is for the user."""


class StudyProcess:
    """Does the parts that are left. The only writer of the study's event log."""

    def __init__(self, paths: StudyDir, log: EventLog, control: ProcessControl, library: RunRepository) -> None:
        self.paths, self.log, self.control, self.library = paths, log, control, library
        self.study = read_study(paths)
        self.parts = parts_of(self.study)
        state = StudyWatch(paths).poll()
        self.states: dict[str, PartState] = dict(state.parts)
        self.expected = expected_times(self.study, library, state)
        self._reported = 0.0

    def run(self) -> str:
        """To the end: "finished", or "failed" where a part has failed. Raises StopRequested."""
        self.log.write(EventKind.LAUNCH, pid=os.getpid(), parts=[p.id for p in self.parts], study=self.study.name)
        for part in self.parts:
            self._obey()
            self._do(part)
        bad = [p for p in self.parts if self._status(p.id) is not PartStatus.FINISHED]
        return "failed" if bad else "finished"

    def describe_end(self, outcome: str) -> str:
        done = sum(self._status(p.id) is PartStatus.FINISHED for p in self.parts)
        if outcome == "finished":
            return f"All {len(self.parts)} parts are done."
        text = f"{done} of {len(self.parts)} parts are done."
        failed = [p for p in self.parts if self._status(p.id) is PartStatus.FAILED]
        if outcome == "failed" and failed:
            text += f" {failed[0].title}: {self.states[failed[0].id].message}"
        return f"{text} Resume it any time."

    def _status(self, id_: str) -> PartStatus:
        return self.states.get(id_, PartState()).status

    def _record(self, part: Part, state: PartState) -> None:
        self.states[part.id] = state
        self.log.write(
            EventKind.PART, part=part.id, status=state.status, folder=state.folder, message=state.message,
            seconds=round(state.seconds, 1),
        )  # fmt: skip

    def _obey(self) -> None:
        self.control.obey(lambda: self.log.write(EventKind.STAGE, stage="paused"))

    def _do(self, part: Part) -> None:
        if self._status(part.id) is PartStatus.FINISHED and part.kind is not PartKind.MEASURES:
            return
        missing = next((n for n in part.needs if self._status(n) is not PartStatus.FINISHED), None)
        if missing is not None:
            title = next(p.title for p in self.parts if p.id == missing)
            self._record(part, PartState(PartStatus.SKIPPED, message=f"It needs another part: {title}."))
            return
        try:
            if part.kind is PartKind.RUN:
                self._train(part, run_config(self.study, part.variant, part.seed))
            elif part.kind is PartKind.RESPONSE:
                self._train(part, response_config(self.study, *self._reasoner(part), part.seed, part.number))
            elif part.kind is PartKind.EXPLOIT:
                self._evaluate(part, self._exploit_plan(part))
            else:
                self._evaluate(part, self._measures_plan())
        except (_PartFailed, UserError) as error:
            folder = self.states.get(part.id, PartState()).folder
            self._record(part, PartState(PartStatus.FAILED, folder, str(error)))

    # ------------------------------------------------------------------ runs

    def _run_of(self, variant: str, seed: int) -> RunPaths:
        return RunPaths(Path(self.states[run_part(self.study, variant, seed)].folder))

    def _reasoner(self, part: Part) -> tuple[Path | str, RunConfig]:
        """The frozen Reasoner that a part is about, and the configuration that it was trained with."""
        if part.variant == START:
            base = base_config(self.study)
            return base.model.path, base
        run = self._run_of(part.variant, part.seed)
        return run.checkpoints / f"step_{last_step(run):06d}", load_config(run.config)

    def _train(self, part: Part, config: RunConfig) -> None:
        run = run_folder(self.paths, self.library, part)
        if not run.config.is_file():
            # What a kill in the middle of writing it has left.
            run.config.with_name(run.config.name + ".tmp").unlink(missing_ok=True)
            new_run(run.root.parent, startable(config), run.run_id)
            self._tag(run)
        elif load_config(run.config).max_rollouts < config.max_rollouts:
            change_settings(run, (f"steps={config.steps}", f"max_rollouts={config.max_rollouts}"))
        self._record(part, PartState(PartStatus.RUNNING, str(run.root)))

        begun = _before(self.study, self.states, part).rollouts

        def share(state: RunState) -> float:
            done = float(state.latest.get("rollouts_total") or 0.0) - begun
            return min(1.0, max(0.0, done) / (config.max_rollouts - begun))

        def whole(state: RunState) -> bool:
            # One that had ended goes on where the study was extended to more rollouts.
            return state.has_reached(config.steps, config.max_rollouts)

        state = self._await(part, run, watch_run(run), lambda: start_trainer(run), share, whole)
        self._finish(part, run, state)

    def _tag(self, run: RunPaths) -> None:
        # A mark that is not kept is no reason to stop.
        with suppress(UserError), closing(Workspace(self.library.shared_file)) as workspace:
            known = workspace.marks().get(run.run_id, RunMark())
            workspace.mark(run.run_id, tags=(*known.tags, self.paths.run_id), group=self.paths.run_id)

    # ------------------------------------------------------------------ evaluations

    def _exploit_plan(self, part: Part) -> EvalPlan:
        if part.variant == START:
            reasoner = start_target(self.study)
        else:
            run = self._run_of(part.variant, part.seed)
            reasoner = reasoner_target(run, part.variant, part.seed, last_step(run))
        (response,) = (p for p in self.parts if p.id in part.needs)
        adversary = adversary_target(RunPaths(Path(self.states[response.id].folder)), response.title)
        return exploit_plan(self.study, reasoner, adversary, f"{self.paths.run_id}: {part.title}")

    def _measures_plan(self) -> EvalPlan:
        finished = [
            p for p in self.parts if p.kind is PartKind.RUN and self._status(p.id) is PartStatus.FINISHED
        ]  # fmt: skip
        if not finished:
            raise _PartFailed("No run has finished, so there is nothing to measure.")
        runs = {(p.variant, p.seed): self._run_of(p.variant, p.seed) for p in finished}
        return measures_plan(self.study, runs, f"{self.paths.run_id}: measures of all Reasoners")

    def _evaluate(self, part: Part, plan: EvalPlan) -> None:
        """Make the evaluation, or go on with it. Its folder's name says which plan it is of."""
        known = self.states.get(part.id, PartState())
        essence = json.dumps([[t.name, t.path, t.fingerprint] for t in (*plan.targets, *plan.writers)])
        # As every evaluation's, it begins with a time, by which they are ordered: that of the study.
        digits = "".join(c for c in self.study.created if c.isdigit())
        name = f"{digits[:8]}-{digits[8:14]}-{self.paths.run_id}-{part.id}".replace("/", "-").replace(" ", "-")
        root = evaluations_folder() / f"{name}-{hashlib.sha256(essence.encode()).hexdigest()[:6]}"
        paths = EvalDir(root)
        if known.status is PartStatus.FINISHED and known.folder == str(root):
            return
        if not paths.plan.is_file():
            paths = new_evaluation(root.parent, plan, folder=root.name)
        self._record(part, PartState(PartStatus.RUNNING, str(root)))
        state = self._await(part, paths, EvaluationWatch(paths), lambda: launch(paths), lambda s: s.share)
        self._finish(part, paths, state)

    # ------------------------------------------------------------------ waiting for a process

    def _await(
        self, part: Part, paths: RunPaths, watch: ProcessWatch[State], start: Callable[[], int],
        share: Callable[[State], float], whole: Callable[[State], bool] = lambda _: True,
    ) -> State:  # fmt: skip
        """Start the part's process where it does not run, and wait for its end; a crash starts it again. One that has
        finished before is done where it is `whole`."""
        for _ in range(1 + CRASHES):
            while (state := watch.poll()).over and running_process(paths) is not None:
                # It has written how it ended and closes down.
                time.sleep(POLL_S)
                self._stop_if_asked(part, paths)
            if state.status is RunStatus.FINISHED and whole(state):
                return state
            found = heard = running_process(paths) is not None
            if not found:
                start()
            while True:
                time.sleep(POLL_S)
                self._stop_if_asked(part, paths)
                gone = running_process(paths) is None
                state = watch.poll()
                heard = heard or bool(watch.events)
                if heard and (state.over or state.last_t):
                    self._report(part, share(state), state)
                if (heard and state.over) or gone:
                    break
            # One that was found running may have been asked to stop by the launch before.
            ended = (RunStatus.FINISHED, RunStatus.FAILED, *(() if found else (RunStatus.STOPPED,)))
            if state.status in ended:
                return state
        return state

    def _stop_if_asked(self, part: Part, paths: RunPaths) -> None:
        if self.control.cancelled():
            # Its process saves and ends by itself, however long that takes: the next launch waits for it.
            StopEscalation(paths, ASK_CHILD).run()
            self._record(part, PartState(PartStatus.STOPPED, str(paths.root), "It was stopped with the study."))
            raise StopRequested

    def _finish(self, part: Part, paths: RunPaths, state: ProcessState) -> None:
        seconds = self._seconds_of(part, state)
        if state.status is RunStatus.STOPPED:
            self._record(part, PartState(PartStatus.STOPPED, str(paths.root), "It was stopped.", seconds))
            raise StopRequested
        if state.status is not RunStatus.FINISHED:
            tail = " ".join(log_tail(paths, 2))
            raise _PartFailed(state.message or f"{paths.run_id} {state.status}. Its log ends with: {tail}")
        self._record(part, PartState(PartStatus.FINISHED, str(paths.root), "", seconds))

    def _seconds_of(self, part: Part, state: ProcessState) -> float:
        """What its process has worked for this part."""
        return max(0.0, state.active_s - _before(self.study, self.states, part).seconds)

    def _report(self, part: Part, share: float, state: ProcessState) -> None:
        if time.monotonic() - self._reported < REPORT_S:
            return
        self._reported = time.monotonic()
        active_s = self._seconds_of(part, state)
        left, known = self._seconds_left(part, share, active_s)
        whole = sum(s.seconds for s in self.states.values()) + active_s + left
        self.log.write(
            EventKind.STAGE, stage=part.kind, part=part.id, part_share=round(share, 4),
            share=round(1 - left / whole, 4) if whole else 0.0, eta_s=round(left, 1) if known else None,
        )  # fmt: skip

    def _seconds_left(self, current: Part, share: float, active_s: float) -> tuple[float, bool]:
        """What is left, by what finished parts took beside what was expected of them; and whether that is an estimate
        of seconds, rather than of how long the parts are beside each other."""
        ratios: dict[PartKind, list[float]] = {}
        for part in self.parts:
            state = self.states.get(part.id, PartState())
            if state.status is PartStatus.FINISHED and state.seconds and self.expected[part.id].weight:
                ratios.setdefault(part.kind, []).append(state.seconds / self.expected[part.id].weight)
        if share > 0.05:
            ratios.setdefault(current.kind, []).append(active_s / share / self.expected[current.id].weight)
        every = [r for found in ratios.values() for r in found]
        usual = sum(every) / len(every) if every else 1.0
        following = self.parts[self.parts.index(current) :]
        measured = PartKind.RUN in ratios or PartKind.RESPONSE in ratios
        known = measured or sum_seconds(self.expected[part.id] for part in following) is not None
        left = 0.0
        for part in following:
            of_kind = ratios.get(part.kind)
            seconds = self.expected[part.id].weight * (sum(of_kind) / len(of_kind) if of_kind else usual)
            if part == current:
                left += seconds * (1 - share)
            elif self._status(part.id) is not PartStatus.FINISHED:
                left += seconds
        return left, known


def run_study(root: Path, commands_from: int | None, stop_signal: StopSignal | None = None) -> str:
    """Do what is left of the study at `root`: "finished", "stopped" or "failed". A UserError, or a bug, becomes the
    `done` event, and is raised again for the log."""
    paths = StudyDir(root)
    read_study(paths)
    with recorded_process(paths.events, paths.lock) as log:
        control = ProcessControl(paths.commands, log, commands_from, stop_signal)
        process = StudyProcess(paths, log, control, RunRepository())
        with heartbeat(log):
            try:
                outcome = process.run()
            except (StopRequested, KeyboardInterrupt):
                outcome = "stopped"
        log.write(EventKind.DONE, outcome=outcome, message=process.describe_end(outcome),
                  error="UserError" if outcome == "failed" else None)  # fmt: skip
        return outcome


def main(arguments: list[str] | None = None) -> int:
    """0 finished, 3 stopped on request, 2 a mistake of the user or a part that failed, 1 a bug."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, metavar="DIR")
    parser.add_argument("--commands-from", type=int, metavar="BYTES", help="commands before this byte are not for it")
    options = parser.parse_args(arguments)
    stop_signal = StopSignal().install()
    codes = {"finished": 0, "stopped": 3}
    return exit_code(lambda: codes.get(run_study(options.root, options.commands_from, stop_signal), 2))


if __name__ == "__main__":
    sys.exit(main())
