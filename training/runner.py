"""Turn a run directory into a running loop: lock, events, commands, evaluation, checkpoints, resume.

`selfplay` knows the method, `engine` the weights, `runs` the files; this is where they meet, in the trainer process.
"""

import hashlib
import json
import math
import os
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from training import memory, metrics
from training.archive_file import read_archive, seed_archive
from training.core.answers import AnswerGrader
from training.core.archive import HintArchive
from training.core.curriculum import CleanGuard, MasteryPool
from training.core.prompts import Message
from training.core.types import HintType, Role
from training.core.validity import OFF, Judge
from training.engine.base import Cancelled, SamplingParams
from training.engine.checkpoint import atomic_folder, damage, latest_valid, remove_partial
from training.engine.models import (
    STARTER,
    NumberType,
    available_cores,
    choose_device,
    choose_dtype,
    choose_number_type,
    resolve_model,
)
from training.engine.snapshots import Snapshots
from training.engine.tinker import TinkerBackend
from training.engine.torch_local import LocalTorchBackend
from training.engine_probe import ServerAwayError
from training.environment import describe_machine, versions
from training.errors import UserError
from training.evaluation.evaluator import Sampled
from training.evaluation.run_store import RunEvaluations, run_eval_dir, run_suite
from training.evaluation.torch_evaluator import sample_texts
from training.evaluation.v01_rows import import_rows
from training.export.from_gguf import convert_gguf
from training.judge_requests import load_judge
from training.judges import JudgeRef, RulingFile, find_judge, find_measurement
from training.model_names import locate_model
from training.problem_files import anchor_problems, run_problems
from training.rollouts.database import RolloutWriter
from training.runs.config import (
    EngineKind,
    OnDrop,
    RunConfig,
    check_engine,
    check_roles,
    has_own_adversary,
    load_config,
    to_dict,
    trained_roles,
)
from training.runs.control import ProcessControl, StopRequested, StopSignal, heartbeat
from training.runs.events import EventKind, EventLog, EventTail
from training.runs.files import FileError, check_database_path, explained, user_path
from training.runs.health import (
    CLEAN_GUARD,
    DEAFNESS,
    STALLED_STAGE,
    Change,
    HealthChange,
    HealthMonitor,
    Reading,
    read_deafness,
)
from training.runs.lock import RunLock
from training.runs.paths import ADVERSARY_FOLDER, RunPaths
from training.runs.status import FailureKind, RunState, reduce
from training.runs.timing import StageTimer, TimePart
from training.runs.watchdog import Watchdog, describe_children
from training.selfplay import SelfPlay, StepResult

STAGE_EVENT_S = 0.5
LOOP_FILE = "loop.json"


@dataclass
class RunCallbacks:
    """The loop's callbacks in a trainer process: report stages, obey commands. See `selfplay.StepCallbacks`."""

    log: EventLog
    control: ProcessControl
    step: int = 0
    name: str = "setup"
    done: int = 0
    total: int = 0
    reports: int = 0
    """How often a stage was reported: a sign of progress."""
    _last: float = 0.0

    def stage(self, name: str, done: int, total: int) -> None:
        """Report progress (a few times a second at most) and obey what was commanded meanwhile."""
        self.done, self.total, self.reports = done, total, self.reports + 1
        now = time.monotonic()
        if name != self.name or now - self._last >= STAGE_EVENT_S:
            self._write(name, done, total)
            self._last = now
        if done == 0 and self.control.obey(lambda: self._write("paused", 0, 0)):
            self._write(name, done, total)

    def cancelled(self) -> bool:
        return self.control.cancelled()

    def _write(self, name: str, done: int, total: int) -> None:
        self.name = name
        self.log.write(
            EventKind.STAGE, step=self.step, stage=name, done=done, total=total, peak_mb=round(memory.peak_mb(), 1)
        )


@dataclass
class Runner:
    """One trainer process for one run directory. `run` returns when the run is finished or stopped."""

    paths: RunPaths
    config: RunConfig
    log: EventLog
    callbacks: RunCallbacks
    timer: StageTimer = field(init=False)
    backend: LocalTorchBackend | TinkerBackend = field(init=False)
    """The Reasoner's, and the Adversary's where that has none of its own."""
    number_type: NumberType = field(init=False)
    adversary: LocalTorchBackend | TinkerBackend | None = None
    """The Adversary's own model."""
    adversary_type: NumberType = field(init=False)
    snapshots: Snapshots | None = None
    loop: SelfPlay = field(init=False)
    evaluations: RunEvaluations = field(init=False)
    guard: CleanGuard = field(init=False)
    health: HealthMonitor = field(init=False)
    writer: RolloutWriter | None = None
    good: Path | None = None
    """The newest checkpoint with an evaluation of its weights that raised no alarm."""
    rollouts: int = 0
    cpu_s: float = 0.0
    """Seconds of processor time, over all threads, that the newest step took."""
    waited: bool = False
    """Whether the step under way waited for another program to release the database."""
    resumed_from: int | None = None
    recorded: int = 0
    """The newest step whose rollouts and figures were written."""
    evaluated: int | None = None
    """The step whose evaluation was made with the present weights."""
    saved: bool = False
    """Whether the newest checkpoint holds the present state."""
    judge_ref: JudgeRef | None = None
    judge_failed: bool = False
    """Whether the judge could not be asked in the newest step."""
    unreachable_at: float = -math.inf
    """When the server of the engine was reported as not reachable."""
    launched: bool = False
    """Whether there are checkpoints, so that the settings have worked before, or it has announced itself."""

    def __post_init__(self) -> None:
        self.timer = StageTimer(self.log.clock.now)
        self.health = HealthMonitor(to_dict(self.config))

    # ------------------------------------------------------------------ set-up

    def _report_problems(self, made: int, wanted: int) -> None:
        """Problems of some families take long to make."""
        self.callbacks.stage("problems", made, wanted)
        if self.callbacks.cancelled():
            raise StopRequested

    def set_up(self) -> None:
        """Load the newest sound checkpoint, or the starting model; announce the launch."""
        c = self.config
        remove_partial(self.paths.checkpoints)
        start, damaged = latest_valid(self.paths.checkpoints)
        self.launched = start is not None
        saved = json.loads((start / LOOP_FILE).read_text(encoding="utf-8")) if start is not None else {}
        check_roles(c)
        check_engine(c)
        # Measured once a run: other counts add up in another order.
        threads = c.model.threads or saved.get("threads", {}).get(str(available_cores()), 0)
        # A run keeps its number type. Checkpoints that do not name it are of versions with one type a device.
        kept = saved.get("dtype")
        if saved and not kept:
            kept = str(choose_dtype("auto", choose_device(c.model.device))).removeprefix("torch.")
        self.backend, self.number_type = self._open_model(Role.REASONER, threads, kept)
        if has_own_adversary(c):
            kept = saved.get("adversary_dtype")
            self.adversary, self.adversary_type = self._open_model(Role.ADVERSARY, self.backend.threads, kept)
        problems = run_problems(c.data, self.paths.problems, self._report_problems)
        pool = MasteryPool([p.id for p in problems], c.curriculum.mastered_weight)
        types = tuple(HintType) if c.adversary.types == "all" else parse_types(c.adversary.types)
        self.loop = SelfPlay(
            c, self.backend, pool, {p.id: p for p in problems}, HintArchive(), AnswerGrader(), self.callbacks, types,
            self.timer, self._load_judge(), adversary=self.adversary, anchor_problems=anchor_problems(c),
        )  # fmt: skip
        played = self.adversary or self.backend
        if c.adversary.opponents and Role.ADVERSARY in trained_roles(c) and isinstance(played, LocalTorchBackend):
            self.snapshots = Snapshots(self.paths.opponents, played)
            self.loop.opponents = self.snapshots
        self.guard = CleanGuard(c.curriculum.guard_margin)
        import_rows(self.paths, run_eval_dir(self.paths))
        suite = run_suite(self.paths, c.evaluation.problems, c.evaluation.seed)
        self.evaluations = RunEvaluations(
            self.paths,
            suite,
            c.evaluation.seed,
            max_tokens=c.evaluation.max_new_tokens,
            prompts=self.loop.profile,
            now=self.log.clock.now,
        )
        if start is not None:
            self._restore(start, saved)
        self.archive_file = self._fill_archive(saved.get("archive_file", ""))
        self.log.write(EventKind.LAUNCH, **self._launch_facts())
        self.launched = True
        if self.backend.codec.template.plain:
            self.warn("chat_template", f"{self.backend.codec.note.text} Such a model seldom ends its answers.",
                      "Train an instruction-tuned model, or add chat_template.jinja to its folder.")  # fmt: skip
        if faster := self.number_type.faster:
            name, rates = self.number_type.name, self.number_type.gflops
            self.warn("slow_number_type",
                      f"model.dtype is {name}, which is slow on this machine: {rates[name]:.0f} GFLOP/s, and "
                      f"{rates[faster]:.0f} in {faster}.",
                      "Set model.dtype = 'auto' for a new run; this one goes on as it began.")  # fmt: skip
        for bad, reason in damaged:
            self.warn("damaged_checkpoint", f"{bad.name} is damaged ({reason}) and was passed over.",
                      "Nothing to do: the run continues from the newest sound checkpoint.")  # fmt: skip

    def _open_model(
        self, role: Role, threads: int, kept: str | None
    ) -> tuple[LocalTorchBackend | TinkerBackend, NumberType]:
        """A role's model, and what it computes in. One that is not trained is taken as it is, whatever its tuning."""
        c, m, reasoner = self.config, self.config.model, role is Role.REASONER
        # One model of both roles is trained where either is.
        trained = role in trained_roles(c) or (reasoner and not has_own_adversary(c))
        folder = self._folder_of(role, trained)
        if c.engine.backend is EngineKind.TINKER and trained:
            return self._open_engine(folder), NumberType("server")
        number_type = choose_number_type(m.dtype, choose_device(m.device), folder, kept)
        rate = c.update.learning_rate if reasoner else c.adversary.learning_rate or c.update.learning_rate
        backend = LocalTorchBackend(
            folder, tuning=m.tuning if trained else None, lora_rank=m.lora_rank, lora_alpha=m.lora_alpha,
            device=m.device, dtype=number_type.name, threads=threads, learning_rate=rate,
            warmup_steps=c.update.warmup_steps, weight_decay=c.update.weight_decay,
            max_grad_norm=c.update.max_grad_norm, seed=c.data.seed, timer=self.timer, trained=trained,
        )  # fmt: skip
        backend.on_shortage = self._warn_shortage
        return backend, number_type

    def _open_engine(self, folder: Path) -> TinkerBackend:
        """The model on the server that `engine` names."""
        c, u = self.config, self.config.update
        weights = {"update.kl": u.kl, "adversary.kl": c.adversary.kl, "reasoner.clean_anchor": c.reasoner.clean_anchor}
        backend = TinkerBackend(
            folder, c.engine, lora_rank=c.model.lora_rank, learning_rate=u.learning_rate, warmup_steps=u.warmup_steps,
            weight_decay=u.weight_decay, max_grad_norm=u.max_grad_norm, seed=c.data.seed,
            kl=[key for key, weight in weights.items() if weight > 0],
        )  # fmt: skip
        backend.wait_message = self._warn_unreachable
        return backend

    def _warn_unreachable(self, problem: str) -> None:
        # From the connection's thread, again and again: once an outage is enough.
        if time.monotonic() - self.unreachable_at > self.config.engine.patience_s:
            self.unreachable_at = time.monotonic()
            self._write_quietly(
                EventKind.WARNING, code="engine_unreachable", message=f"{problem}. The run waits for it.",
                remedy=f"Start the server again; after {self.config.engine.patience_s:g} s the run ends, and can be "
                "resumed.",
            )  # fmt: skip

    def _folder_of(self, role: Role, trained: bool) -> Path:
        """The folder of a role's model. A GGUF file is converted to one in the run's folder, once."""
        key = "model.path" if role is Role.REASONER else "adversary.model"
        name = self.config.model.path if role is Role.REASONER else self.config.adversary.model
        if name == STARTER:
            return resolve_model(name)
        place = locate_model(name)
        if place.suffix.lower() != ".gguf" or not place.is_file():
            return resolve_model(name)
        if trained:
            raise UserError(
                f"{key}: {name} is a GGUF file, which cannot be trained. Convert it first: seirenes models convert "
                f"{shlex.quote(name)}"
            )
        folder = self.paths.converted / role
        if not (folder / "config.json").is_file():
            with explained("Making the folder", folder.parent):
                folder.parent.mkdir(exist_ok=True)
            convert_gguf(place, folder, force=True)
        return folder

    @property
    def models(self) -> tuple[LocalTorchBackend | TinkerBackend, ...]:
        """The models of the run: one, or the Reasoner's and the Adversary's."""
        return (self.backend,) if self.adversary is None else (self.backend, self.adversary)

    def _load(self, folder: Path) -> None:
        """The weights of a checkpoint, those of both models."""
        self.backend.load(folder)
        if self.adversary is not None and self.adversary.trained:
            self.adversary.load_from(folder / ADVERSARY_FOLDER)

    def _launch_facts(self) -> dict[str, Any]:
        c = self.config
        return {
            "run_id": self.paths.run_id, "pid": os.getpid(), "mode": c.mode, "model": c.model.path, "steps": c.steps,
            "adversary_model": c.adversary.model if self.adversary is not None else "",
            "resumed_from": self.resumed_from, "versions": versions(), "machine": describe_machine(),
            "threads": self.backend.threads, "dtype": self.number_type.name, "dtype_gflops": self.number_type.gflops,
            "rollouts_per_step": metrics.rollouts_per_step(c), "config": to_dict(c),
            "alarms": self.health.raised, **self._judge_facts(), **memory.memory_figures(),
        }  # fmt: skip

    def _load_judge(self) -> Judge | None:
        """The model that decides on hints, where the run names one."""
        options = self.config.judge
        if options.model == OFF:
            return None
        self.judge_ref = find_judge(options.model, self.config.model.path)
        model = load_judge(self.judge_ref, options, self.backend.threads, self.config.model.device)
        return Judge(model, options, RulingFile(self.paths.rulings))

    def _judge_facts(self) -> dict[str, Any]:
        if self.judge_ref is None:
            return {}
        found = find_measurement(self.judge_ref, self.config.judge)
        return {"judge": {"name": self.judge_ref.name, "measured": found and msgspec.to_builtins(found)}}

    def _report_judge(self) -> None:
        """Say once that the judge cannot be asked; what it was not asked about is refused meanwhile."""
        failure = self.loop.judge.failure if self.loop.judge is not None else ""
        if failure and not self.judge_failed:
            self.warn("judge_unavailable", f"The judge could not be asked about every hint. {failure} Hints that are "
                      "not decided are refused.", "See to the judge; the run goes on meanwhile.")  # fmt: skip
        self.judge_failed = bool(failure)

    def _fill_archive(self, known: str) -> str:
        """Put the hints of `curriculum.archive` into the archive, unless a checkpoint has those of this file (`known`,
        its hash); returns the hash. Their problems are needed in any case."""
        if not self.config.curriculum.archive:
            return known
        path = user_path(self.config.curriculum.archive)
        hints, digest = read_archive(path), hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        self.loop.problems |= {hint.problem.id: hint.problem for hint in hints}
        if digest != known:
            added, refused = seed_archive(self.loop.archive, hints, self.config.gates, self.loop.step_number)
            self.log.write(EventKind.STAGE, stage="archive", done=added, total=added + refused)
        return digest

    def _restore(self, folder: Path, saved: dict[str, Any]) -> None:
        self._load(folder)
        self.loop.restore(saved)
        step = self.loop.step_number
        self.resumed_from = self.recorded = self.callbacks.step = step
        self.guard = CleanGuard(**saved["guard"])
        self.rollouts = saved["rollouts"]
        self._catch_up_health(step)
        # Checkpoints of earlier versions do not say these two: all had been evaluated where one was due, and the best
        # evaluation is a good one.
        self.evaluated = saved.get("evaluated", step)
        good = saved.get("good", _folder_name(self.guard.best_step))
        self.good = self.paths.checkpoints / good if good else None
        self.saved = True

    def _catch_up_health(self, step: int) -> None:
        """Which alarms stand, from what the event log has of the steps up to this one."""
        past = RunState()
        for event in EventTail(self.paths.events).poll():
            past = reduce(past, event)
        self.health.catch_up(past.history.until(step).entries())
        clean = [p.metrics["clean"]["accuracy"] for p in past.evals if p.step <= step]
        if clean and clean[-1] < self.guard.best - self.guard.margin:
            self.health.report(step, CLEAN_GUARD, "", "")
        newest = [p.metrics for p in past.evals if p.step <= step][-1:]
        if newest and (reading := self._read_deafness(newest[0])) and reading.exceeded:
            self.health.report(step, DEAFNESS, "", "")

    # ------------------------------------------------------------------ the run

    def run(self) -> str:
        """Evaluate, play the steps, evaluate; returns the outcome, "finished" or "stopped"."""
        loop = self.loop
        # What was counted until here is no part of a step.
        self.timer.take()
        try:
            with self.timer.lap(TimePart.RECORDING):
                self.writer = RolloutWriter(
                    self.paths.rollouts, resume_from=loop.step_number, waiting=self._wait_for_lock
                )
            if self.evaluated != loop.step_number and self._evaluation_due():
                self.evaluate()
                self.save_checkpoint()
            while not self._over():
                self.callbacks.step = loop.step_number + 1
                started, cpu = self.log.clock.now(), time.process_time()
                result = loop.step()
                self.cpu_s = time.process_time() - cpu
                with self.timer.lap(TimePart.RECORDING):
                    self._record(result, self.writer, self.log.clock.now() - started)
                self._after_step()
            return "finished"
        except (StopRequested, Cancelled):
            self._save_last()
            return "stopped"
        except Exception:
            # The first error is reported, not one that follows from it.
            if self.writer is not None:
                with suppress(Exception):
                    self._save_last()
            raise
        finally:
            if self.writer is not None:
                self.writer.close()

    def _save_last(self) -> None:
        """Keep the state of the newest step. One that was begun and not recorded belongs to none: the checkpoint before
        it stays the newest."""
        if not self.saved and not self.loop.updating and self.recorded == self.loop.step_number:
            self.save_checkpoint()

    def _wait_for_lock(self) -> None:
        if not self.waited:
            self.warn("rollouts_locked", f"Another program has locked {self.paths.rollouts}: the run waits for it.",
                      "Close the program that has the file open: a database browser, a backup.")  # fmt: skip
        self.waited = True
        if self.callbacks.cancelled():
            raise StopRequested

    def _over(self) -> bool:
        return self.loop.step_number >= self.config.steps or self._spent()

    def _spent(self) -> bool:
        return 0 < self.config.max_rollouts <= self.rollouts

    def _record(self, result: StepResult, writer: RolloutWriter, seconds: float) -> None:
        self.saved = self.waited = False
        writer.add_step(metrics.rollout_rows(result, self.config))
        self.rollouts += metrics.count_rollouts(result)
        rate = next(model.learning_rate for model in self.models if model.trained)
        figures = metrics.step_metrics(result, self.loop, rate)
        figures |= {
            "rollouts_total": self.rollouts,
            "seconds": seconds,
            "cpu_seconds": self.cpu_s,
            **memory.memory_figures(),
        }
        figures |= {f"time/{part}": spent for part, spent in self.timer.take().items()}
        if result.step == (self.resumed_from or 0) + 1:
            figures["warming_up"] = 1.0
        self.log.write(EventKind.STEP, step=result.step, metrics=figures)
        self._report_judge()
        for change in self.health.observe(result.step, figures):
            self._tell(change)
        self.recorded = result.step

    def _after_step(self) -> None:
        rolled_back = self._evaluation_due() and self.evaluate()
        asked = self.callbacks.control.take_checkpoint_request()
        if asked or rolled_back or self._checkpoint_due():
            self.save_checkpoint()

    def _checkpoint_due(self) -> bool:
        return self._due(self.config.checkpoint.every)

    def _evaluation_due(self) -> bool:
        return self._due(self.config.evaluation.every)

    def _due(self, every: int) -> bool:
        """Whether something that is done before, after and every so many steps is due; `every` 0: before and after."""
        step = self.loop.step_number
        return step == 0 or self._over() or bool(every and step % every == 0)

    # ------------------------------------------------------------------ evaluation

    def evaluate(self) -> bool:
        """The frozen suite on the present weights: rows to the store, figures to the event log, the guard informed.

        True if it raised the alarm, the weights of the last good checkpoint were restored, and the evaluation was made
        again with them.
        """
        if not self._evaluate() or not self._roll_back():
            return False
        self._evaluate()
        return True

    def _evaluate(self) -> bool:
        self.callbacks.control.check_place()
        step = self.loop.step_number
        with self.timer.whole(TimePart.EVALUATION):
            data = self.evaluations.evaluate(step, self._solve, self.loop.grader)
        self.log.write(EventKind.EVAL, **data, peak_mb=round(memory.peak_mb(), 1))
        self.evaluated, self.saved = step, False
        self._watch_needed(self._read_deafness(data["metrics"]))
        accuracy = data["metrics"]["clean"]["accuracy"]
        alarmed = self.guard.observe(step, accuracy)
        if not alarmed:
            text = f"Clean accuracy on held-out problems is {accuracy:.3f}; its best was {self.guard.best:.3f}."
            self._tell(self.health.clear(CLEAN_GUARD, text))
        return alarmed

    def _read_deafness(self, metrics: Mapping[str, Any]) -> Reading | None:
        return read_deafness(metrics.get("since_start", {}), to_dict(self.config))

    def _watch_needed(self, reading: Reading | None) -> None:
        if reading is not None and reading.exceeded:
            self._alarm(DEAFNESS, reading.message, reading.remedy)
        elif reading is not None:
            self._tell(self.health.clear(DEAFNESS, f"Needed text: {reading.figure}."))

    def _solve(self, chats: Sequence[list[Message]]) -> list[list[Sampled]]:
        self.callbacks.stage("eval", 0, len(chats))
        return sample_texts(
            self.backend, chats, 1, SamplingParams(self.config.evaluation.max_new_tokens, temperature=0.0),
            progress=lambda done, total: self.callbacks.stage("eval", done, total), cancelled=self.callbacks.cancelled,
        )  # fmt: skip

    def _roll_back(self) -> bool:
        """Warn that clean accuracy fell, and restore the last good checkpoint where that is wanted and possible."""
        text = (
            f"Clean accuracy on held-out problems fell by more than {self.guard.margin:g} from {self.guard.best:.3f}, "
            f"its best, at step {self.guard.best_step}."
        )
        if self.config.curriculum.guard_action is not OnDrop.ROLL_BACK:
            remedy = "Lower update.learning_rate, or set curriculum.guard_action = 'roll_back'."
            self._alarm(CLEAN_GUARD, text, remedy)
            return False
        if self.good is None or damage(self.good) is not None:
            text += " There is no good checkpoint to go back to."
            self._alarm(CLEAN_GUARD, text, "Lower update.learning_rate.")
            return False
        self._load(self.good)
        self.evaluated, self.saved = None, False
        text += f" The weights of {self.good.name} were restored."
        self._alarm(CLEAN_GUARD, text, "Nothing to do.", always=True)
        return True

    # ------------------------------------------------------------------ stalls

    def watchdog(self) -> Watchdog:
        """Watches for a stage that makes no progress, while the run goes on."""
        return Watchdog(
            self.log.clock.now, lambda: (self.timer.ticks, self.callbacks.reports), lambda: self.timer.part,
            self._report_stall, self._report_progress, self.paths.log,
        )  # fmt: skip

    def _report_stall(self, part: str, seconds: float) -> None:
        doing, remedy = self._describe_wait(part)
        children = describe_children()
        message = f"No progress for {seconds:.0f} s while {doing}."
        message += f" It may wait for {children}." if children else ""
        self._write_quietly(
            EventKind.WARNING, code=STALLED_STAGE, message=message, alarm=Change.RAISED,
            remedy=f"{remedy} {self.paths.log.name} says where it stands.",
        )  # fmt: skip

    def _report_progress(self, part: str, seconds: float) -> None:
        message = f"It went on after {seconds:.0f} s of {part}."
        self._write_quietly(EventKind.CLEARED, code=STALLED_STAGE, message=message)

    def _write_quietly(self, kind: EventKind, **data: Any) -> None:
        # From a thread: what is wrong with the log, the run itself reports.
        with suppress(UserError, ValueError):
            self.log.write(kind, step=self.callbacks.step, **data)

    def _describe_wait(self, part: str) -> tuple[str, str]:
        """What is under way, and what to do if it does not go on."""
        c = self.callbacks
        stage = {"r1_clean": "R1 (clean)", "r2_hint": "R2 (hints)", "r3_hinted": "R3 (hinted)"}.get(c.name, c.name)
        compute = "See what else uses the machine; stop and resume the run if it does not go on."
        if part in (TimePart.PREFILL, TimePart.DECODE, TimePart.DRAWING, TimePart.SAMPLING):
            return f"sampling {stage}, at {c.done} of {c.total} completions", compute
        if part == TimePart.EVALUATION:
            return f"evaluating, at {c.done} of {c.total} solutions", compute
        if part == TimePart.GRADING:
            return f"grading the answers of {stage}", compute
        if part == TimePart.GATES and c.name == "judge":
            return f"asking the judge, at {c.done} of {c.total} hints", "See whether the judge's server answers."
        if part == TimePart.GATES:
            return "checking hints at the gates", compute
        if part == TimePart.RECORDING and self.waited:
            remedy = "Close the program that has the file open: a database browser, a backup."
            return f"{self.paths.rollouts} is locked by another program", remedy
        if part == TimePart.RECORDING:
            return f"writing to {self.paths.rollouts}", "See whether the disk answers."
        if part == TimePart.CHECKPOINT:
            return f"writing a checkpoint to {self.paths.checkpoints}", "See whether the disk answers and has room."
        if part in (TimePart.GRADIENT, TimePart.OPTIMISER):
            return f"updating the weights ({part})", compute
        return f"the stage {stage} is under way", compute

    # ------------------------------------------------------------------ checkpoints

    def save_checkpoint(self) -> None:
        """Weights, optimiser and all that the next steps depend on, all or nothing; old ones pruned as configured."""
        with self.timer.lap(TimePart.CHECKPOINT):
            self._save_checkpoint(self.loop.step_number)

    def _save_checkpoint(self, step: int) -> None:
        folder = self.paths.checkpoints / _folder_name(step)
        self.callbacks.control.check_place()
        self.log.write(EventKind.STAGE, step=step, stage="checkpoint", done=0, total=1)
        # One that a stop or a request made is none to go back to: a run left alone would not have it.
        sound = self._checkpoint_due() and self.evaluated == step and not self.guard.alarmed
        good = folder if sound else self.good
        state = self.loop.state_dict() | {
            "guard": self.guard.state_dict(),
            "rollouts": self.rollouts,
            "evaluated": self.evaluated,
            "good": good.name if good is not None else None,
            "threads": {available_cores(): self.backend.threads},
            "dtype": self.number_type.name,
            "archive_file": self.archive_file,
        }
        if self.adversary is not None:
            state["adversary_dtype"] = self.adversary_type.name
        # A checkpoint that outlives a loss of power must not be newer than the records of its steps.
        self.log.sync()
        if self.writer is not None:
            self.writer.sync()
        with atomic_folder(folder) as temporary:
            self.backend.save_into(temporary)
            if self.adversary is not None and self.adversary.trained:
                (temporary / ADVERSARY_FOLDER).mkdir()
                self.adversary.save_into(temporary / ADVERSARY_FOLDER)
            (temporary / LOOP_FILE).write_text(json.dumps(state), encoding="utf-8")
        self.saved, self.good = True, good
        if self.snapshots is not None:
            # Only now: an earlier checkpoint may still name those that have left.
            self.snapshots.drop_others(self.loop.past.steps)
        self.log.write(EventKind.CHECKPOINT, step=step, path=str(folder.relative_to(self.paths.root)))
        self._prune()

    def _prune(self) -> None:
        keep = self.config.checkpoint.keep
        folders = sorted(self.paths.checkpoints.glob("step_*"))
        # Step 0 stays: before and after are compared with it.
        for folder in folders[1:-keep] if keep else []:
            if folder != self.good:
                shutil.rmtree(folder)

    def _alarm(self, code: str, message: str, remedy: str, *, always: bool = False) -> None:
        self._tell(self.health.report(self.callbacks.step, code, message, remedy, always=always))

    def _tell(self, change: HealthChange | None) -> None:
        """Write what became of an alarm."""
        if change is None:
            return
        step, code, message = self.callbacks.step, change.code, change.message
        if change.change is Change.CLEARED:
            self.log.write(EventKind.CLEARED, step=step, code=code, message=message)
        else:
            self.log.write(
                EventKind.WARNING, step=step, code=code, message=message, remedy=change.remedy, alarm=change.change
            )

    def _warn_shortage(self, done: str) -> None:
        self.warn("memory_short", f"An allocation failed and was tried again with less. {done} The run becomes slower.",
                  "Close other programs, or set rollout.max_solution_tokens or rollout.questions lower.")  # fmt: skip

    def warn(self, code: str, message: str, remedy: str) -> None:
        self.log.write(EventKind.WARNING, step=self.callbacks.step, code=code, message=message, remedy=remedy)


def _folder_name(step: int) -> str:
    return f"step_{step:06d}"


def parse_types(text: str) -> tuple[HintType, ...]:
    """Comma-separated hint types; an unknown one is a UserError that lists the known."""
    try:
        return tuple(HintType(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        known = ", ".join(HintType)
        raise UserError(f"adversary.types: {error}. Known types: {known}; or 'all'.") from error


def run_directory(root: Path, commands_from: int | None = None, stop_signal: StopSignal | None = None) -> str:
    """Run, or resume, the run in `root` until it finishes, is stopped or fails; returns the outcome.

    Commands before the byte `commands_from` are not for this process. A UserError becomes the run's `done` event (and
    is raised again for the log); so does any other failure.
    """
    paths = RunPaths(root)
    lock = RunLock(paths.lock)
    lock.acquire()
    log = EventLog(paths.events)
    try:
        return _run(paths, log, ProcessControl(paths.commands, log, commands_from, stop_signal, lock))
    finally:
        with suppress(OSError, UserError):
            log.close()
        lock.release()


def _run(paths: RunPaths, log: EventLog, control: ProcessControl) -> str:
    runner = None
    try:
        check_database_path(paths.evaluations / "rows.db")
        config = load_config(paths.config)
        callbacks = RunCallbacks(log, control)
        runner = Runner(paths, config, log, callbacks)
        runner.set_up()
        with heartbeat(log, lambda: {"step": callbacks.step, "stage": callbacks.name}), runner.watchdog().watch():
            outcome = runner.run()
        control.closing()
        message = f"{outcome.capitalize()} at step {runner.loop.step_number} of {config.steps}."
        if outcome == "finished" and runner.loop.step_number < config.steps:
            limit = f"the limit of {config.max_rollouts:,} rollouts"
            message = f"Finished at step {runner.loop.step_number}, which reached {limit}."
        if not runner.saved:
            message += " This step was not recorded: the run continues from its newest checkpoint."
        log.write(EventKind.DONE, outcome=outcome, message=message, error=None, time=runner.timer.take())
        return outcome
    except KeyboardInterrupt:
        # The second signal: nothing is saved.
        control.closing()
        message = "Interrupted before the last step was saved: the run continues from its newest checkpoint."
        log.write(EventKind.DONE, outcome="stopped", message=message, error=None)
        return "stopped"
    except StopRequested:
        # The loop handles its own: this was before it.
        control.closing()
        log.write(EventKind.DONE, outcome="stopped", message="Stopped while its problems were made.", error=None)
        return "stopped"
    except BaseException as error:
        control.closing()
        # The disk may be what failed: the log still gets the traceback through the raise below.
        with suppress(OSError, UserError):
            failure = _failure(error, launched=runner is not None and runner.launched)
            cause = _cause(error, control)
            text = str(cause) if isinstance(cause, UserError) else f"{type(cause).__name__}: {cause}"
            proposed: dict[str, str] = {}
            if runner is not None and memory.ran_out(cause):
                text, found = _explain_shortage(runner)
                proposed = {"key": found.key, "value": found.value} if found is not None else {}
            log.write(EventKind.DONE, outcome="failed", message=text, error=type(cause).__name__, failure=failure,
                      proposed=proposed)  # fmt: skip
        raise
    finally:
        backend = getattr(runner, "backend", None)
        if isinstance(backend, TinkerBackend):
            backend.close()


_DOING = {
    "setup": "the model was loaded", "problems": "the problems were made",
    "eval": "the frozen suite was measured", "r1_clean": "clean questions were solved",
    "r2_hint": "hints were written", "judge": "the judge decided on hints", "r3_hinted": "hinted questions were solved",
    "update": "the weights were updated",
}  # fmt: skip


def _explain_shortage(runner: Runner) -> tuple[str, memory.Remedy | None]:
    """What to say of a run whose memory ran out, and the setting to lower."""
    path = runner.config.model.path
    folder = resolve_model(path) if path and not path.lower().endswith(".gguf") else None
    parameters = sum(f.stat().st_size for f in folder.glob("*.safetensors")) // 4 if folder is not None else 0
    parameters = _parameters(getattr(runner, "backend", None)) or parameters
    adversary = _parameters(runner.adversary)
    doing = _DOING.get(runner.callbacks.name, "it was at work")
    return memory.explain_shortage(runner.config, parameters, memory.read_shape(folder), doing, adversary)


def _parameters(backend: LocalTorchBackend | TinkerBackend | None) -> int:
    """Of a model on this machine; 0 of another."""
    return sum(p.numel() for p in backend.model.parameters()) if isinstance(backend, LocalTorchBackend) else 0


def _cause(error: BaseException, control: ProcessControl) -> BaseException:
    """Why it failed: a file that is missing is no cause where the folder itself is gone."""
    try:
        control.check_place()
    except UserError as moved:
        return moved
    return error


def _failure(error: BaseException, *, launched: bool) -> FailureKind:
    if memory.ran_out(error):
        return FailureKind.RESOURCES
    if isinstance(error, ServerAwayError):
        return FailureKind.SERVER
    if isinstance(error, UserError) and not isinstance(error, FileError):
        return FailureKind.RESOURCES if launched else FailureKind.SETTINGS
    return FailureKind.RESOURCES if isinstance(error, FileError) else FailureKind.INTERNAL
