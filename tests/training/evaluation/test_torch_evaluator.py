"""The torch process of an evaluation, as a real process: killed, resumed, and refused. And cross-play, written by it."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.evals import FakeEngine, check_long_rows, contents, greedy_rows, suite_with_a_long_problem, verify

from training.__main__ import main
from training.core.types import Condition
from training.engine.models import bundled_starter
from training.evaluation.crossplay import crossplay
from training.evaluation.eval_dir import describe_suite, new_evaluation
from training.evaluation.evaluator import run_part
from training.evaluation.plan import EvalPlan, SuiteRef, Target, TargetKind, Writing, chunks
from training.evaluation.status import EvalState, reduce
from training.evaluation.store_reader import StoreReader
from training.evaluation.suites.io import read_suite
from training.evaluation.torch_evaluator import evaluate_folder
from training.runs.events import EventTail
from training.runs.processes import child_environment

HELPERS = Path(__file__).resolve().parents[2] / "helpers"
KILLS = 10

pytestmark = pytest.mark.skipif(not bundled_starter().is_dir(), reason="the bundled model is not there")


def plan_of(*targets, problems=12, **options):
    return EvalPlan(
        targets=targets or (Target("starter", "starter"),),
        suites=(describe_suite("frozen:7", problems),),
        **{"chunk_items": 2, "samples": 2, "temperature": 1.0, "max_tokens": 96, "threads": 1, **options},
    )


def last_state(paths):
    state = EvalState()
    for event in EventTail(paths.events).poll():
        state = reduce(state, event)
    return state


@pytest.fixture(scope="module")
def forks():
    environment = {**child_environment(), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(HELPERS / "eval_forks.py"), "torch"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
    )  # fmt: skip
    yield process
    process.stdin.close()
    process.wait(120)


def start(forks, paths):
    forks.stdin.write(f"{paths.root}\n")
    forks.stdin.flush()
    return int(forks.stdout.readline())


def kill_at_random(forks, paths, luck):
    """Start a process and kill it: while it loads, or up to two chunks and a moment later. False where it was done."""
    before, wanted = last_state(paths).done_chunks, luck.randrange(3)
    child = start(forks, paths)
    patience = time.monotonic() + 120
    while wanted and last_state(paths).done_chunks < before + wanted and time.monotonic() < patience:
        if last_state(paths).over and last_state(paths).pid == child:
            break
        time.sleep(0.01)
    time.sleep(luck.uniform(0, 0.2))
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    return forks.stdout.readline().strip() == str(-signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_ten_times_at_random_it_ends_with_the_rows_of_one_that_was_not(tmp_path, forks):
    plan = plan_of()
    whole, killed = (new_evaluation(tmp_path, plan, name) for name in ("whole", "killed"))
    start(forks, whole)
    assert forks.stdout.readline().strip() == "0"
    luck, kills, progress = random.Random(5), 0, set()
    for _ in range(3 * KILLS):
        kills += kill_at_random(forks, killed, luck)
        progress.add(last_state(killed).done_chunks)
        if kills == KILLS:
            break
        if last_state(killed).done_chunks == len(chunks(plan)):
            # It came to its end between the kills: what is left of them goes to another one.
            assert contents(killed.rows) == contents(whole.rows)
            killed = new_evaluation(tmp_path, plan, "killed")
    assert kills == KILLS
    assert len(progress) > 3
    start(forks, killed)
    assert forks.stdout.readline().strip() == "0"
    assert contents(killed.rows) == contents(whole.rows)
    assert verify(killed.rows) == ()


def test_a_problem_that_does_not_fit_is_a_row_of_its_own_and_the_others_are_solved(tmp_path):
    plan = replace(plan_of(samples=1, temperature=0.0), suites=(suite_with_a_long_problem(tmp_path / "suite"),))
    paths = new_evaluation(tmp_path, plan)
    assert evaluate_folder(paths.root) == "finished"
    check_long_rows(paths, plan)


def test_a_missing_checkpoint_fails_its_target_and_no_other(tmp_path):
    plan = plan_of(Target("r@20", str(tmp_path / "step_000020"), run="r", step=20), Target("starter", "starter"),
                   problems=2, samples=1, temperature=0.0)  # fmt: skip
    paths = new_evaluation(tmp_path, plan)
    assert evaluate_folder(paths.root) == "failed"
    assert "step_000020" in last_state(paths).message
    with StoreReader(paths.rows) as reader:
        assert {t.row.key.target for t in reader.all_traces()} == {"starter"}
    shutil.copytree(bundled_starter(), tmp_path / "step_000020")
    assert evaluate_folder(paths.root) == "finished"


def test_greedy_rows_are_those_of_a_runs_own_evaluation(tmp_path):
    """The run's evaluation solves the whole suite in one batch, the folder in chunks: the answers are the same."""
    from training.engine.torch_local import LocalTorchBackend
    from training.evaluation.suites.builder import frozen_suite

    paths = new_evaluation(tmp_path, plan_of(problems=8, samples=1, temperature=0.0, chunk_items=3))
    assert evaluate_folder(paths.root) == "finished"
    backend = LocalTorchBackend(bundled_starter(), threads=1)
    rows = greedy_rows(backend, frozen_suite(8, 7), 96)
    own = {(p.id, r.key.condition, r.key.index): (r.outcome, r.completion) for r, p in rows}
    with StoreReader(paths.rows) as reader:
        stored = {(t.problem.id, t.row.key.condition, t.row.key.index): (t.row.outcome, t.row.completion)
                  for t in reader.all_traces()}  # fmt: skip
    assert own.keys() == stored.keys()
    assert sum(own[k] == stored[k] for k in own) >= len(own) - 1


def test_the_verb_says_what_is_wrong_and_how_it_ended(tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["evaluate", str(tmp_path)]) == 2
        assert "plan.json is missing" in capsys.readouterr().err
        paths = new_evaluation(tmp_path, plan_of(problems=1, samples=1, temperature=0.0))
        assert main(["evaluate", str(paths.root)]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)


# ---------------------------------------------------------------------- cross-play


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The starter under two names against its own hints, and those of a third name that solves nothing."""
    suites = tuple(
        SuiteRef(f"hints by {w}", f"suites/{i:03d}", "", 3, writer=w,
                 conditions=(Condition.CLEAN, Condition.HINTED)[0 if not i else 1 :])
        for i, w in enumerate(("r@0", "r@1", "w"))
    )  # fmt: skip
    plan = replace(
        plan_of(problems=3, samples=1, temperature=0.0),
        targets=(Target("r@0", "starter", step=0), Target("r@1", "starter", step=1)),
        suites=suites, writing=Writing(problem_seed=7, attempts=3), writers=(Target("w", "starter"),),
    )  # fmt: skip
    paths = new_evaluation(tmp_path_factory.mktemp("cross"), plan)
    assert evaluate_folder(paths.root) == "finished"
    return paths, plan


def test_written_hints_are_gated_suites_with_their_author(played):
    paths, plan = played
    for ref in plan.suites:
        saved = read_suite(paths.root / ref.source)
        assert saved.manifest.authors == {"run": saved.manifest.hints}
        assert {h.template for item in saved.suite.items for h in item.hints} == {f"run:{ref.writer}"}
        assert len(saved.suite.items) == 3
        assert saved.manifest.invalid == ()
        with StoreReader(paths.rows) as reader:
            how = json.loads(reader.meta(f"writing/{ref.name}"))
        assert sum(how["by_type"].values()) == saved.manifest.hints
        assert 0 < how["gate_pass_rate"] <= 1
    assert not list((paths.root / "suites").glob(".*"))


def test_equal_models_give_equal_cells_and_no_difference(played):
    paths, plan = played
    with StoreReader(paths.rows) as reader:
        found = crossplay(plan, reader.cells())
    shares = {c.accuracy.mean for row in found.cells for c in row}
    assert len(shares) == 1
    assert all(c.problems == 3 for row in found.cells for c in row)
    assert (found.progress.difference.mean, found.attack.difference.mean) == (0.0, 0.0)
    assert found.clean[0] == found.clean[1]


def test_a_killed_writer_writes_the_same_hints_again(played, tmp_path):
    paths, plan = played
    again = new_evaluation(tmp_path, plan)
    # What a kill in the middle of writing leaves behind.
    (again.suites / ".000.partial").mkdir(parents=True)
    (again.suites / ".000.partial" / "items.jsonl").write_text("{")
    shutil.copytree(paths.suites / "001", again.suites / "001")
    assert evaluate_folder(again.root) == "finished"
    assert contents(again.rows) == contents(paths.rows)


def test_hints_that_the_other_process_is_to_write_are_left_to_it_and_what_is_written_is_solved(played, tmp_path):
    _, plan = played
    gguf = Target("g", "g.gguf", TargetKind.GGUF)
    suites = tuple(replace(suite, writer="g") if suite.writer == "w" else suite for suite in plan.suites)
    mixed = new_evaluation(tmp_path, replace(plan, targets=(plan.targets[0], gguf), suites=suites, writers=(
        replace(plan.targets[1], step=None), )))  # fmt: skip
    model = FakeEngine(bundled_starter() / "model.safetensors")
    assert run_part(mixed.root, (TargetKind.GGUF,), model, last=False) == "handover"
    assert last_state(mixed).stage == "handover"
    assert [name for name, _ in model.opened] == ["g", "g"]
    assert read_suite(mixed.suites / "002").manifest.problems == 3
    assert evaluate_folder(mixed.root, last=False) == "handover"
    assert run_part(mixed.root, (TargetKind.GGUF,), model, last=False) == "finished"
    assert verify(mixed.rows) == ()
    with StoreReader(mixed.rows) as reader:
        asked = {(t.row.key.target, t.row.key.suite) for t in reader.all_traces() if t.prompt.text}
    assert asked >= {("r@0", suites[0].name), ("r@0", suites[1].name), ("g", suites[0].name), ("g", suites[1].name)}
