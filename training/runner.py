"""Turn a run directory into a running loop: lock, events, commands, evaluation, checkpoints, resume.

`selfplay` knows the method, `engine` the weights, `runs` the files; this is where they meet, in the trainer process.
"""

import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from training import metrics
from training.core.advantages import RoleBaseline
from training.core.answers import AnswerGrader
from training.core.archive import HintArchive
from training.core.curriculum import CleanGuard, MasteryPool
from training.core.prompts import Message
from training.core.types import HintType, Role
from training.engine.base import Cancelled, SamplingParams
from training.engine.checkpoint import atomic_folder, latest_valid
from training.engine.models import resolve_model
from training.engine.torch_local import LocalTorchBackend
from training.environment import describe_machine, versions
from training.errors import UserError
from training.evaluation.evaluator import Sampled
from training.evaluation.run_store import RunEvaluations, run_eval_dir
from training.evaluation.suites.builder import frozen_suite
from training.evaluation.torch_evaluator import sample_texts
from training.evaluation.v01_rows import import_rows
from training.problem_files import load_problems, make_problems
from training.rollouts.database import RolloutWriter
from training.runs.config import OnDrop, RunConfig, load_config, to_dict
from training.runs.control import ProcessControl, StopRequested, StopSignal, heartbeat
from training.runs.events import EventKind, EventLog
from training.runs.files import FileError
from training.runs.lock import RunLock
from training.runs.paths import RunPaths
from training.runs.status import FailureKind
from training.selfplay import SelfPlay, StepResult

STAGE_EVENT_S = 0.5


@dataclass
class RunCallbacks:
    """The loop's callbacks in a trainer process: report stages, obey commands. See `selfplay.StepCallbacks`."""

    log: EventLog
    control: ProcessControl
    step: int = 0
    name: str = "setup"
    _last: float = 0.0

    def stage(self, name: str, done: int, total: int) -> None:
        """Report progress (a few times a second at most) and obey what was commanded meanwhile."""
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
        self.log.write(EventKind.STAGE, step=self.step, stage=name, done=done, total=total)


@dataclass
class Runner:
    """One trainer process for one run directory. `run` returns when the run is finished or stopped."""

    paths: RunPaths
    config: RunConfig
    log: EventLog
    callbacks: RunCallbacks
    backend: LocalTorchBackend = field(init=False)
    loop: SelfPlay = field(init=False)
    evaluations: RunEvaluations = field(init=False)
    guard: CleanGuard = field(init=False)
    good: Path | None = None
    rollouts: int = 0
    flat_steps: int = 0
    """How many steps in a row all rewards were equal within every group."""
    resumed_from: int | None = None
    sound: bool = True
    """Whether the weights, the loop's memory and what was recorded are of one step."""
    launched: bool = False
    """Whether there are checkpoints, so that the settings have worked before, or it has announced itself."""

    # ------------------------------------------------------------------ set-up

    def set_up(self) -> None:
        """Load the newest sound checkpoint, or the starting model; announce the launch."""
        c = self.config
        start, damaged = latest_valid(self.paths.checkpoints)
        self.launched = start is not None
        m = c.model
        self.backend = LocalTorchBackend(
            resolve_model(m.path), tuning=m.tuning, lora_rank=m.lora_rank, lora_alpha=m.lora_alpha, device=m.device,
            dtype=m.dtype, threads=m.threads, learning_rate=c.update.learning_rate,
            warmup_steps=c.update.warmup_steps, weight_decay=c.update.weight_decay,
            max_grad_norm=c.update.max_grad_norm, seed=c.data.seed,
        )  # fmt: skip
        problems = load_problems(Path(c.data.problems)) if c.data.problems else make_problems(c.data)
        pool = MasteryPool([p.id for p in problems], c.curriculum.mastered_weight)
        types = tuple(HintType) if c.adversary.types == "all" else parse_types(c.adversary.types)
        self.loop = SelfPlay(
            c, self.backend, pool, {p.id: p for p in problems}, HintArchive(), AnswerGrader(), self.callbacks, types,
            now=self.log.clock.now,
        )  # fmt: skip
        self.guard = CleanGuard(c.curriculum.guard_margin)
        import_rows(self.paths, run_eval_dir(self.paths))
        suite = frozen_suite(c.evaluation.problems, c.evaluation.seed)
        self.evaluations = RunEvaluations(
            self.paths, suite, c.evaluation.seed, max_tokens=c.evaluation.max_new_tokens, prompts=self.loop.profile
        )
        if start is not None:
            self._restore(start)
        self.log.write(EventKind.LAUNCH, **self._launch_facts())
        self.launched = True
        if self.backend.codec.template.plain:
            self.warn("chat_template", f"{self.backend.codec.note.text} Such a model seldom ends its answers.",
                      "Train an instruction-tuned model, or add chat_template.jinja to its folder.")  # fmt: skip
        for folder, reason in damaged:
            self.warn("damaged_checkpoint", f"{folder.name} is damaged ({reason}) and was passed over.",
                      "Nothing to do: the run continues from the newest sound checkpoint.")  # fmt: skip

    def _launch_facts(self) -> dict[str, Any]:
        c = self.config
        return {
            "run_id": self.paths.run_id, "pid": os.getpid(), "mode": c.mode, "model": c.model.path, "steps": c.steps,
            "resumed_from": self.resumed_from, "versions": versions(), "machine": describe_machine(),
            "threads": self.backend.threads, "rollouts_per_step": metrics.rollouts_per_step(c), "config": to_dict(c),
        }  # fmt: skip

    def _restore(self, folder: Path) -> None:
        self.backend.load(folder)
        saved = json.loads((folder / "loop.json").read_text(encoding="utf-8"))
        loop = self.loop
        loop.step_number = self.resumed_from = saved["step"]
        loop.pool = MasteryPool.from_state(saved["pool"])
        loop.archive = HintArchive.from_state(saved["archive"])
        decay = self.config.advantage.ema_decay
        loop.baselines = {Role(k): RoleBaseline(decay, v) for k, v in saved["baselines"].items()}
        self.guard = CleanGuard(**saved["guard"])
        self.rollouts = saved["rollouts"]
        self.good = folder
        self.callbacks.step = loop.step_number

    # ------------------------------------------------------------------ the run

    def run(self) -> str:
        """Evaluate, play the steps, evaluate; returns the outcome, "finished" or "stopped"."""
        c, loop = self.config, self.loop
        writer = RolloutWriter(self.paths.rollouts, resume_from=loop.step_number)
        try:
            if self.resumed_from is None:
                self.evaluate()
                self.save_checkpoint()
            while loop.step_number < c.steps and not self._spent():
                self.callbacks.step = loop.step_number + 1
                started, self.sound = self.log.clock.now(), False
                result = loop.step()
                self._record(result, writer, self.log.clock.now() - started)
                self.sound = True
                self._after_step()
            return "finished"
        except (StopRequested, Cancelled):
            # Raised before an update only: weights and loop are still those of the last step.
            self.sound = True
            return "stopped"
        finally:
            if self.sound:
                self._save_if_new()
            writer.close()

    def _spent(self) -> bool:
        return 0 < self.config.max_rollouts <= self.rollouts

    def _record(self, result: StepResult, writer: RolloutWriter, seconds: float) -> None:
        writer.add_step(metrics.rollout_rows(result, self.config))
        self.rollouts += metrics.count_rollouts(result)
        figures = metrics.step_metrics(result, self.loop, self.backend.learning_rate)
        rss_mb = psutil.Process().memory_info().rss / 2**20
        figures |= {"rollouts_total": self.rollouts, "rss_mb": rss_mb, "seconds": seconds}
        self.log.write(EventKind.STEP, step=result.step, metrics=figures)
        for warning in metrics.health_warnings(figures):
            self.warn(*warning)
        self.flat_steps = self.flat_steps + 1 if metrics.is_flat(figures) else 0
        if self.flat_steps and self.flat_steps % metrics.FLAT_STEPS == 0:
            self.warn(*metrics.flat_warning(figures, self.flat_steps))

    def _after_step(self) -> None:
        c, step = self.config, self.loop.step_number
        last = step >= c.steps or self._spent()
        if last or (c.evaluation.every and step % c.evaluation.every == 0):
            self.evaluate()
        asked = self.callbacks.control.take_checkpoint_request()
        if last or asked or (c.checkpoint.every and step % c.checkpoint.every == 0):
            self.save_checkpoint()

    # ------------------------------------------------------------------ evaluation

    def evaluate(self) -> None:
        """The frozen suite on the current weights: rows to the store, figures to the event log, the guard informed."""
        data = self.evaluations.evaluate(self.loop.step_number, self._solve, self.loop.grader)
        self.log.write(EventKind.EVAL, **data)
        self._guard(data["step"], data["metrics"]["clean"]["accuracy"])

    def _solve(self, chats: Sequence[list[Message]]) -> list[list[Sampled]]:
        self.callbacks.stage("eval", 0, len(chats))
        return sample_texts(
            self.backend, chats, 1, SamplingParams(self.config.evaluation.max_new_tokens, temperature=0.0),
            progress=lambda done, total: self.callbacks.stage("eval", done, total), cancelled=self.callbacks.cancelled,
        )  # fmt: skip

    def _guard(self, step: int, accuracy: float) -> None:
        if not self.guard.observe(step, accuracy):
            return
        action = self.config.curriculum.guard_action
        text = (
            f"Clean accuracy on held-out problems fell to {accuracy:.3f} at step {step}, from {self.guard.best:.3f} at "
            f"step {self.guard.best_step}."
        )
        if action is OnDrop.ROLL_BACK and self.good is not None:
            self.backend.load(self.good)
            self.warn("clean_guard", text + f" The weights of {self.good.name} were restored.", "Nothing to do.")
        else:
            self.warn("clean_guard", text, "Lower update.learning_rate, or set curriculum.guard_action = 'roll_back'.")

    # ------------------------------------------------------------------ checkpoints

    def save_checkpoint(self) -> None:
        """Weights, optimiser and the loop's memory, all or nothing; old ones pruned as configured."""
        loop = self.loop
        folder = self.paths.checkpoints / f"step_{loop.step_number:06d}"
        self.log.write(EventKind.STAGE, step=loop.step_number, stage="checkpoint", done=0, total=1)
        state = {
            "step": loop.step_number,
            "pool": loop.pool.state_dict(),
            "archive": loop.archive.state_dict(),
            "baselines": {role: b.value for role, b in loop.baselines.items()},
            "guard": self.guard.state_dict(),
            "rollouts": self.rollouts,
        }
        with atomic_folder(folder) as temporary:
            self.backend.save_into(temporary)
            (temporary / "loop.json").write_text(json.dumps(state), encoding="utf-8")
        self.log.write(EventKind.CHECKPOINT, step=loop.step_number, path=str(folder.relative_to(self.paths.root)))
        if not self.guard.alarmed:
            self.good = folder
        self._prune()

    def _save_if_new(self) -> None:
        if not (self.paths.checkpoints / f"step_{self.loop.step_number:06d}").exists():
            self.save_checkpoint()

    def _prune(self) -> None:
        keep = self.config.checkpoint.keep
        folders = sorted(self.paths.checkpoints.glob("step_*"))
        # Step 0 stays: before and after are compared with it.
        for folder in folders[1:-keep] if keep else []:
            if folder != self.good:
                shutil.rmtree(folder)

    def warn(self, code: str, message: str, remedy: str) -> None:
        self.log.write(EventKind.WARNING, step=self.callbacks.step, code=code, message=message, remedy=remedy)


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
        return _run(paths, log, ProcessControl(paths.commands, log, commands_from, stop_signal))
    finally:
        with suppress(OSError, UserError):
            log.close()
        lock.release()


def _run(paths: RunPaths, log: EventLog, control: ProcessControl) -> str:
    runner = None
    try:
        config = load_config(paths.config)
        callbacks = RunCallbacks(log, control)
        runner = Runner(paths, config, log, callbacks)
        runner.set_up()
        with heartbeat(log, lambda: {"step": callbacks.step, "stage": callbacks.name}):
            outcome = runner.run()
        message = f"{outcome.capitalize()} at step {runner.loop.step_number} of {config.steps}."
        log.write(EventKind.DONE, outcome=outcome, message=message, error=None)
        return outcome
    except KeyboardInterrupt:
        # The second signal: nothing is saved.
        log.write(EventKind.DONE, outcome="stopped", message="Interrupted before the last step was saved.", error=None)
        return "stopped"
    except BaseException as error:
        text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        # The disk may be what failed: the log still gets the traceback through the raise below.
        with suppress(OSError, UserError):
            failure = _failure(error, launched=runner is not None and runner.launched)
            log.write(EventKind.DONE, outcome="failed", message=text, error=type(error).__name__, failure=failure)
        raise


def _failure(error: BaseException, *, launched: bool) -> FailureKind:
    if isinstance(error, UserError) and not isinstance(error, FileError):
        return FailureKind.RESOURCES if launched else FailureKind.SETTINGS
    return FailureKind.RESOURCES if isinstance(error, (FileError, MemoryError)) else FailureKind.INTERNAL
