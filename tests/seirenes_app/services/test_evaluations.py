"""The library of evaluations with real processes, and the plans that runs, folders and files make."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from helpers.evals import fill, small_plan, verify
from helpers.model_folders import model_folder, safetensors_bytes

from seirenes_app.inference.models import bundled_model
from seirenes_app.services import evaluations
from seirenes_app.services.evaluations import (
    EvaluationRepository,
    EvaluationWatch,
    checkpoint_targets,
    folder_target,
    frozen_suite_ref,
    gguf_target,
    plan_crossplay,
    plan_evaluation,
    starter_target,
    writer_targets,
)
from seirenes_app.services.run_repository import move_to_trash
from training.core.types import Condition
from training.errors import UserError
from training.evaluation.crossplay import same_checkpoint
from training.evaluation.eval_dir import EvalDir
from training.evaluation.plan import TargetKind
from training.prompt_files import COMPACT, NEUTRAL, built_in
from training.runs.config import AdversaryConfig, Mode, RunConfig
from training.runs.lock import RunLock
from training.runs.paths import ADVERSARY_FOLDER, new_run
from training.runs.processes import StopEscalation, StopPhase, StopTimes
from training.runs.status import RunStatus

PATIENCE_S = 120


@pytest.fixture
def library(tmp_path):
    return EvaluationRepository(tmp_path / "evaluations")


def wait(watch, until):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        state = watch.poll()
        if until(state):
            return state
        time.sleep(0.05)
    raise AssertionError(f"it is {watch.poll()}")


def test_started_stopped_and_resumed_in_the_background(library, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    plan = plan_evaluation([gguf_target(bundled_model())], [frozen_suite_ref(200)], samples=2)
    paths = library.start(plan)
    watch = EvaluationWatch(paths)
    wait(watch, lambda s: s.done_chunks >= 1)
    with pytest.raises(UserError, match="running already"):
        evaluations.launch(paths)
    with pytest.raises(UserError, match="is running"):
        move_to_trash(paths)
    assert StopEscalation(paths).run()
    state = wait(watch, lambda s: s.over)
    assert state.status is RunStatus.STOPPED
    assert 0 < state.share < 1
    assert state.eta_s is None
    assert verify(paths.rows) == ()
    (listed,) = library.list_evaluations()
    assert (listed.paths.root, listed.state.status, listed.problem) == (paths.root, RunStatus.STOPPED, None)
    evaluations.launch(library.find(paths.run_id))
    wait(watch, lambda s: s.done_chunks > state.done_chunks)
    assert StopEscalation(paths, StopTimes(None, 0.0, 10.0)).run()
    moved = move_to_trash(paths)
    assert moved.is_dir()
    assert library.list_evaluations() == []


def test_a_process_that_does_not_listen_is_ended(library, monkeypatch, tmp_path):
    """The last phases of a stop, on a process that holds the lock and reads nothing."""
    paths = library.create(small_plan())
    script = (
        "import signal, sys, time, pathlib\n"
        "from training.runs.lock import RunLock\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "lock = RunLock(pathlib.Path(sys.argv[1]))\n"
        "lock.acquire()\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(paths.lock)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    said = []
    assert not StopEscalation(paths, StopTimes(None, None, None, give_up_s=0.1)).run()
    stop = StopEscalation(paths, StopTimes(None, 0.0, None))
    assert [stop.advance() for _ in range(3)] == [StopPhase.ASKED, StopPhase.TERMINATED, None]
    stop.times = StopTimes(None, 0.0, 0.0)
    assert stop.run(said.append)
    assert said == [StopPhase.KILLED, StopPhase.ENDED]
    process.wait()


def test_a_process_that_ends_before_it_begins_is_seen_at_once(library, monkeypatch):
    paths = library.create(small_plan())
    monkeypatch.setattr(sys, "executable", "/bin/false")
    evaluations.launch(paths)
    assert wait(EvaluationWatch(paths), lambda s: s.over).status is RunStatus.CRASHED
    assert StopEscalation(paths).run()


def test_which_process_goes_first(library, monkeypatch):
    started = []

    class Started:
        pid = 7

        def __init__(self, command, **_):
            started.append(command[2:-3])

    monkeypatch.setattr(subprocess, "Popen", Started)
    library.start(plan_evaluation([starter_target()], [frozen_suite_ref(2)]))
    library.start(plan_evaluation([starter_target(), gguf_target(bundled_model())], [frozen_suite_ref(2)]))
    done = fill(library.root, small_plan(), lambda key, problem: problem.answer)
    evaluations.launch(done)
    gguf = ["seirenes_app.inference.evaluate"]
    assert started == [["training", "evaluate"], gguf, ["training", "evaluate"]]


def test_broken_folders_are_listed_with_what_is_wrong(library):
    paths = library.create(small_plan())
    paths.plan.write_text("{")
    good = library.create(small_plan())
    (library.root / "no-evaluation").mkdir()
    found = {s.paths.root: s for s in library.list_evaluations()}
    assert found.keys() == {paths.root, good.root}
    assert "plan.json" in found[paths.root].problem
    assert found[good.root].state.status is RunStatus.STARTING
    with pytest.raises(UserError, match="No evaluation 'nowhere'"):
        library.find("nowhere")
    assert library.find(str(good.root)) == EvalDir(good.root.resolve())
    assert EvaluationRepository(library.root / "none").list_evaluations() == []


# ---------------------------------------------------------------------- plans


@pytest.fixture
def run(tmp_path):
    paths = new_run(tmp_path / "runs", RunConfig(), "r")
    for step in (0, 20, 40):
        folder = paths.checkpoints / f"step_{step:06d}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(os.urandom(100))
        (folder / "config.json").write_text(json.dumps({"vocab_size": 1024}))
    return paths


def test_checkpoints_are_targets_with_run_and_step(run):
    found = checkpoint_targets(run)
    assert [(t.name, t.run, t.step, t.prompts) for t in found] == [
        (f"r@{s}", "r", s, built_in(COMPACT)) for s in (0, 20, 40)
    ]
    assert len({t.fingerprint for t in found}) == 3
    with pytest.raises(UserError, match=r"no checkpoint of step 30\. It has those of: 0, 20, 40"):
        checkpoint_targets(run, [20, 30])
    shutil.rmtree(run.checkpoints)
    with pytest.raises(UserError, match="no checkpoint yet"):
        checkpoint_targets(run)


def test_crossplay_has_a_suite_a_writer_and_asks_clean_once(run):
    plan = plan_crossplay(run, [40, 0], problems=9)
    assert [t.name for t in plan.targets] == ["r@0", "r@40"]
    assert [(s.writer, plan.conditions_of(s)) for s in plan.suites] == [
        ("r@0", (Condition.CLEAN, Condition.HINTED, Condition.NEEDED)), ("r@40", (Condition.HINTED,))
    ]  # fmt: skip
    assert plan.writers == ()
    other = plan_crossplay(run, [0, 40], writer_steps=[20, 40], problems=9)
    assert [w.name for w in other.writers] == ["r@20"]
    assert [s.writer for s in other.suites] == ["r@20", "r@40"]
    with pytest.raises(UserError, match="at least two"):
        plan_crossplay(run, [40])


def test_an_adversary_with_a_model_of_its_own_writes_the_hints_of_its_checkpoints(tmp_path):
    run = new_run(tmp_path, RunConfig(adversary=AdversaryConfig(model="starter")), "r")
    for step in (0, 40):
        model_folder(run.checkpoints / f"step_{step:06d}")
        model_folder(run.checkpoints / f"step_{step:06d}" / ADVERSARY_FOLDER)
    plan = plan_crossplay(run, [0, 40], problems=9)
    assert [t.name for t in plan.targets] == ["r@0", "r@40"]
    assert [(w.name, w.path) for w in plan.writers] == [
        (f"r@{step} (adversary)", str((run.checkpoints / f"step_{step:06d}" / "adversary").resolve()))
        for step in (0, 40)
    ]
    assert [s.writer for s in plan.suites] == [w.name for w in plan.writers]
    assert same_checkpoint("r@40", "r@40 (adversary)")
    assert not same_checkpoint("r@4", "r@40 (adversary)")


def test_an_adversary_that_is_not_trained_writes_the_hints_of_every_checkpoint(tmp_path):
    config = RunConfig(mode=Mode.STATIC, adversary=AdversaryConfig(model="starter"))
    run = new_run(tmp_path, config, "r")
    for step in (0, 40):
        model_folder(run.checkpoints / f"step_{step:06d}")
    (writer,) = writer_targets(run, [0, 40])
    assert (writer.name, writer.path) == ("r (adversary)", "starter")
    model_folder(run.converted / "adversary")
    (writer,) = writer_targets(run, [0, 40])
    assert writer.path == str((run.converted / "adversary").resolve())


def test_the_prompt_profile_goes_with_the_model(tmp_path):
    large = model_folder(tmp_path / "large", vocab_size=150_000)
    (large / "model.safetensors").write_bytes(safetensors_bytes({"model.embed_tokens.weight": [150_000, 8]}))
    assert folder_target(model_folder(tmp_path / "small")).prompts == built_in(COMPACT)
    assert folder_target(large).prompts == built_in(NEUTRAL)
    assert folder_target(large, built_in(COMPACT)).prompts == built_in(COMPACT)
    found = gguf_target(bundled_model())
    assert (found.prompts, found.kind) == (built_in(COMPACT), TargetKind.GGUF)
    with pytest.raises(UserError, match="holds no model"):
        folder_target(tmp_path)
    (large / "model.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="damaged or cut short"):
        folder_target(large)


def test_equal_names_get_numbers_and_the_temperature_goes_with_the_samples(run):
    suite = frozen_suite_ref(3)
    plan = plan_evaluation([starter_target(), starter_target()], [suite, suite], samples=4)
    assert [t.name for t in plan.targets] == ["starter", "starter (2)"]
    assert len({s.name for s in plan.suites}) == 2
    assert (plan.temperature, plan.chunk_items) == (1.0, 8)
    assert plan_evaluation([starter_target()], [suite]).temperature == 0.0


def test_a_lock_alone_keeps_an_evaluation_from_the_trash(library):
    paths = library.create(small_plan())
    lock = RunLock(paths.lock)
    lock.acquire()
    with pytest.raises(UserError, match="is running"):
        move_to_trash(paths)
    lock.release()
    assert move_to_trash(paths).name == paths.run_id
