"""GGUF targets of an evaluation through the real worker, and the hand-over to the torch process."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from helpers.evals import check_long_rows, contents, suite_with_a_long_problem, verify

from seirenes_app.inference.evaluate import ClientEngine, main
from training.core.types import Condition
from training.errors import UserError
from training.evaluation.eval_dir import describe_suite, new_evaluation
from training.evaluation.evaluator import SampleSpec, run_part
from training.evaluation.plan import EvalPlan, SuiteRef, Target, TargetKind, Writing, chunks
from training.evaluation.status import EvalState, reduce
from training.evaluation.store_reader import StoreReader
from training.evaluation.suites.io import ITEMS
from training.evaluation.torch_evaluator import evaluate_folder
from training.prompt_files import COMPACT, built_in
from training.runs.control import StopRequested
from training.runs.events import EventTail
from training.runs.processes import child_environment

MODULE = "seirenes_app.inference.evaluate"


def last_state(paths):
    state = EvalState()
    for event in EventTail(paths.events).poll():
        state = reduce(state, event)
    return state


def plan_of(*targets, problems=6, **options):
    return EvalPlan(
        targets=targets, suites=(describe_suite("frozen:7", problems),),
        **{"chunk_items": 2, "max_tokens": 96, "threads": 1, **options},
    )  # fmt: skip


@pytest.fixture
def gguf(model):
    return Target("gguf", str(model), TargetKind.GGUF, built_in(COMPACT))


def run(paths):
    return subprocess.run(
        [sys.executable, "-m", MODULE, str(paths.root)],
        capture_output=True, text=True, check=False, env={**child_environment(), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_gguf_and_torch_of_the_bundled_model_agree_on_most_greedy_answers(tmp_path, gguf, record_property):
    paths = new_evaluation(tmp_path, plan_of(gguf, Target("torch", "starter"), problems=8, chunk_items=8))
    done = run(paths)
    assert done.returncode == 0, done.stderr
    assert verify(paths.rows) == ()
    with StoreReader(paths.rows) as reader:
        pairs = zip(reader.traces(target="gguf", limit=999), reader.traces(target="torch", limit=999), strict=True)
        same = [(a.row.answer == b.row.answer, a.row.outcome == b.row.outcome) for a, b in pairs]
    share = sum(answers for answers, _ in same) / len(same)
    record_property("agreement", share)
    assert len(same) == 8 * 10
    assert share >= 0.95
    engines = [e.data["engine"] for e in EventTail(paths.events).poll() if e.kind == "launch"]
    assert engines == ["gguf", "torch"]


def test_hints_are_written_by_gguf_and_torch_models_before_the_others_solve_them(tmp_path, gguf):
    writers = (gguf, Target("torch", "starter"))
    suites = tuple(
        SuiteRef(f"hints by {w.name}", f"suites/{i:03d}", "", 2, writer=w.name, conditions=(Condition.HINTED,))
        for i, w in enumerate(writers)
    )
    plan = replace(plan_of(*writers), suites=suites, writing=Writing(attempts=2), max_tokens=64)
    paths = new_evaluation(tmp_path, plan)
    done = run(paths)
    assert done.returncode == 0, done.stderr
    assert verify(paths.rows) == ()
    assert [e.data["engine"] for e in EventTail(paths.events).poll() if e.kind == "launch"] == ["gguf", "torch", "gguf"]
    with StoreReader(paths.rows) as reader:
        solved = {(t.row.key.target, t.row.key.suite) for t in reader.all_traces()}
    assert solved == {(w.name, s.name) for w in writers for s in suites}


def test_killed_between_and_within_chunks_it_ends_with_the_same_rows(tmp_path, gguf):
    plan = plan_of(gguf, samples=2, temperature=1.0, chunk_items=1)
    whole, killed = (new_evaluation(tmp_path, plan, name) for name in ("whole", "killed"))
    assert run_part(whole.root, (TargetKind.GGUF,), ClientEngine()) == "finished"
    for wanted in (1, 4):
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(killed.root)], stderr=subprocess.DEVNULL, env=child_environment()
        )
        patience = time.monotonic() + 120
        while last_state(killed).done_chunks < wanted and time.monotonic() < patience:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert 4 <= last_state(killed).done_chunks < len(chunks(plan))
    assert run_part(killed.root, (TargetKind.GGUF,), ClientEngine()) == "finished"
    assert contents(killed.rows) == contents(whole.rows)


def test_a_chunk_does_not_depend_on_what_was_solved_before_it(gguf):
    ask = SampleSpec(2, 1.0, 48, 11, lambda done, total, tokens=0: None, lambda: False)
    chats = [[{"role": "user", "content": f"Mia has {n} apples. She eats 2. How many are left?"}] for n in range(5, 9)]
    solver = ClientEngine()
    try:
        solver.open(gguf, plan_of(gguf), {})
        fresh = solver.solve(chats, ask)
        solver.solve(chats[2:], ask)
        assert solver.solve(chats, ask) == fresh
        with pytest.raises(StopRequested):
            solver.solve(chats, SampleSpec(2, 1.0, 48, 11, ask.progress, lambda: True))
        assert solver.solve(chats, ask) == fresh
    finally:
        solver.close()


def test_an_exact_evaluation_has_the_same_rows_in_chunks_of_any_size(tmp_path, gguf):
    found = []
    few = {"problems": 2, "conditions": (Condition.HINTED,), "max_tokens": 48}
    for size in (1, 2):
        paths = new_evaluation(tmp_path, plan_of(gguf, chunk_items=size, exact=True, **few))
        assert run(paths).returncode == 0
        with StoreReader(paths.rows) as reader:
            found.append([(row.row.key, row.row.completion) for row in reader.all_traces()])
    assert len(found[0]) > 2
    assert found[0] == found[1]


def test_a_problem_that_does_not_fit_is_a_row_of_its_own_and_the_others_are_solved(tmp_path, gguf):
    plan = replace(plan_of(gguf), suites=(suite_with_a_long_problem(tmp_path / "suite"),))
    paths = new_evaluation(tmp_path, plan)
    assert run_part(paths.root, (TargetKind.GGUF,), ClientEngine()) == "finished"
    check_long_rows(paths, plan)


def test_two_threads_of_a_small_model_are_two_workers_with_the_same_greedy_rows(tmp_path, gguf):
    plans = [plan_of(gguf, problems=4, chunk_items=4, threads=threads) for threads in (1, 2)]
    found = []
    for plan in plans:
        paths = new_evaluation(tmp_path, plan)
        engine = ClientEngine()
        assert run_part(paths.root, (TargetKind.GGUF,), engine) == "finished"
        assert verify(paths.rows) == ()
        with StoreReader(paths.rows) as reader:
            found.append([t.row.completion for t in reader.all_traces()])
    assert sum(a != b for a, b in zip(*found, strict=True)) <= 1


def test_a_chunk_tells_its_time_left_while_nothing_of_it_is_finished(gguf):
    told = []
    spec = SampleSpec(1, 100.0, 300, 3, lambda done, total, tokens=0: told.append((done, tokens)), lambda: False)
    chats = [[{"role": "user", "content": f"Mia has {n} apples."}] for n in range(12)]
    engine = ClientEngine()
    try:
        engine.open(gguf, plan_of(gguf), {})
        engine.solve(chats, spec)
    finally:
        engine.close()
    tokens = [t for _, t in told]
    assert tokens == sorted(tokens)
    assert len({t for d, t in told if d < 12}) > 1


def test_a_missing_gguf_fails_its_target_with_words(tmp_path, capsys):
    paths = new_evaluation(tmp_path, plan_of(Target("gone", str(tmp_path / "gone.gguf"), TargetKind.GGUF), problems=1))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main([str(paths.root)]) == 2
        assert "gone.gguf" in last_state(paths).message
        assert main([str(tmp_path)]) == 2
        assert "plan.json is missing" in capsys.readouterr().err
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("kind", [TargetKind.TORCH, TargetKind.GGUF])
def test_a_model_that_became_a_pipe_or_a_loop_fails_its_target_and_does_not_hang(tmp_path, kind):
    pipe, loop = tmp_path / "pipe.gguf", tmp_path / "loop.gguf"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    targets = [Target(path.stem, str(path), kind) for path in (pipe, loop)]
    paths = new_evaluation(tmp_path, plan_of(*targets, problems=1))
    ended = evaluate_folder(paths.root) if kind is TargetKind.TORCH else run_part(paths.root, (kind,), ClientEngine())
    assert ended == "failed"
    message = last_state(paths).message
    assert "pipe.gguf" in message
    assert "loop.gguf" in message


def test_a_suite_whose_file_became_a_pipe_is_told(tmp_path, gguf):
    plan = replace(plan_of(gguf), suites=(suite_with_a_long_problem(tmp_path / "suite"),))
    paths = new_evaluation(tmp_path, plan)
    (tmp_path / "suite" / ITEMS).unlink()
    os.mkfifo(tmp_path / "suite" / ITEMS)
    with pytest.raises(UserError, match=ITEMS):
        run_part(paths.root, (TargetKind.GGUF,), ClientEngine())


def test_a_damaged_gguf_fails_its_target_with_words(tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    paths = new_evaluation(tmp_path, plan_of(Target("bad", str(tmp_path / "bad.gguf"), TargetKind.GGUF), problems=1))
    assert run_part(paths.root, (TargetKind.GGUF,), ClientEngine()) == "failed"
    assert "bad.gguf" in last_state(paths).message
