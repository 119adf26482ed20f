import json
import os
import threading
from dataclasses import replace

import pytest
from helpers.evals import KINDS, FakeEngine, contents, small_plan, verify

from training.core.types import Condition, Hint, HintType
from training.errors import UserError
from training.evaluation.eval_dir import (
    describe_suite,
    fingerprint,
    is_same_model,
    new_evaluation,
    open_suite,
    read_plan,
)
from training.evaluation.evaluator import run_part
from training.evaluation.plan import Target, TargetKind, chunk_seed, chunks
from training.evaluation.status import EvalState, reduce, resolve_eval_status
from training.evaluation.store_reader import StoreReader
from training.evaluation.suites.builder import SuiteItem, frozen_suite
from training.evaluation.suites.io import ITEMS, append_item, write_suite
from training.runs.control import CommandKind, send_command
from training.runs.events import Event, EventKind, EventTail
from training.runs.lock import LockHolder, RunLock, holder
from training.runs.status import RunStatus


@pytest.fixture
def model(tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(os.urandom(500))
    return file


def state_of(paths):
    state = EvalState()
    for event in EventTail(paths.events).poll():
        state = reduce(state, event)
    return resolve_eval_status(state, holder(paths.lock), state.last_t)


def test_an_evaluation_runs_to_its_end_and_says_so(tmp_path, model):
    plan = small_plan(problems=6, targets=("a", "b"))
    paths = new_evaluation(tmp_path, plan)
    solver = FakeEngine(model)
    assert run_part(paths.root, KINDS, solver) == "finished"
    assert [name for name, _ in solver.opened] == ["a", "b"]
    assert solver.closed
    assert [seed for _, seed in solver.asked] == [chunk_seed(plan, c) for c in chunks(plan)]
    state = state_of(paths)
    assert (state.status, state.share, state.done_chunks, state.chunks) == (RunStatus.FINISHED, 1.0, 16, 16)
    assert state.rows == 2 * 6 * 10
    assert state.over
    assert verify(paths.rows) == ()
    again = FakeEngine(model)
    assert run_part(paths.root, KINDS, again) == "finished"
    assert (again.opened, again.asked) == ([], [])


def test_machine_and_versions_are_told_and_those_of_both_processes_are_kept(tmp_path, model):
    plan = replace(small_plan(), targets=(Target("g", "/models/g", TargetKind.GGUF), Target("a", "/models/a")))
    paths = new_evaluation(tmp_path, plan)
    assert run_part(paths.root, (TargetKind.GGUF,), FakeEngine(model), last=False) == "handover"
    first = state_of(paths)
    assert {"cpu", "cores", "memory_mb", "system"} <= first.machine.keys()
    assert {"python", "seirenes", "llama-cpp-python"} <= first.versions.keys()
    assert "torch" not in first.versions
    assert run_part(paths.root, (TargetKind.TORCH,), FakeEngine(model)) == "finished"
    versions = state_of(paths).versions
    assert versions.items() >= first.versions.items()
    assert "torch" in versions


def test_stop_is_obeyed_between_chunks_and_resume_ends_with_the_same_rows(tmp_path, model):
    plan = small_plan(problems=6, samples=2, temperature=1.0)
    whole, cut = (new_evaluation(tmp_path, plan, name) for name in ("whole", "cut"))
    run_part(whole.root, KINDS, FakeEngine(model))

    def stop_in_the_second(chunk):
        if chunk == 2:
            send_command(cut, CommandKind.STOP)

    solver = FakeEngine(model, on_solve=stop_in_the_second, wait_s=0.05)
    assert run_part(cut.root, KINDS, solver) == "stopped"
    state = state_of(cut)
    assert state.status is RunStatus.STOPPED
    assert 1 <= state.done_chunks <= 2
    assert "Resume" in state.message
    resumed = FakeEngine(model)
    assert run_part(cut.root, KINDS, resumed) == "finished"
    assert resumed.opened == [("a", {"threads": 3})]
    assert contents(cut.rows) == contents(whole.rows)


def test_pause_waits_and_resume_goes_on(tmp_path, model):
    paths = new_evaluation(tmp_path, small_plan(problems=4))

    def pause_then_go(chunk):
        if chunk == 1:
            send_command(paths, CommandKind.PAUSE)
            send_command(paths, CommandKind.RESUME)

    assert run_part(paths.root, KINDS, FakeEngine(model, on_solve=pause_then_go)) == "finished"


def test_the_time_left_is_told_within_a_chunk_and_a_pause_is_no_part_of_it(tmp_path, model, monkeypatch):
    monkeypatch.setattr("training.evaluation.evaluator.STAGE_EVENT_S", 0.0)
    paths = new_evaluation(tmp_path, small_plan(problems=4, targets=("a", "b")))

    def pause_then_go(chunk):
        if chunk == 1:
            send_command(paths, CommandKind.PAUSE)
            threading.Timer(3.0, send_command, (paths, CommandKind.RESUME)).start()

    assert run_part(paths.root, KINDS, FakeEngine(model, on_solve=pause_then_go, wait_s=0.001)) == "finished"
    told = [e.data for e in EventTail(paths.events).poll() if e.data.get("stage") in ("solving", "solved")]
    within = [d for d in told if d["stage"] == "solving" and 0 < d["done"] < d["total"]]
    assert len(within) > 10
    assert all(d["eta_s"] is not None for d in within)
    # The other model is not taken to be as fast as this one.
    assert {d["unmeasured"] for d in within if d["target"] == "a"} == {1}
    assert {d["unmeasured"] for d in within if d["target"] == "b"} == {0}
    assert told[-1]["eta_s"] == 0
    assert max(d["eta_s"] for d in within) < 3.0
    paces = state_of(paths).paces
    assert {name: pace.rows for name, pace in paces.items()} == {"a": 40, "b": 40}
    assert sum(pace.seconds for pace in paces.values()) < 3.0


def test_a_clock_that_is_set_back_does_not_change_the_time_left():
    data = {"stage": "solving", "target": "a", "done": 3, "total": 9, "eta_s": 30.0, "unmeasured": 0}
    state = EvalState()
    for t in (1000.0, 1010.0, 400.0):
        state = reduce(state, Event(1, t, EventKind.STAGE, data))
        assert state.eta_s == 30.0
        assert state.active_s >= 0


def test_a_stop_counts_from_the_launch_of_the_process_and_no_earlier(tmp_path, model):
    paths = new_evaluation(tmp_path, small_plan(problems=2))
    line = {"id": "x", "t": 1000.0, "command": "stop"}
    paths.commands.write_text(json.dumps(line) + "\n")
    assert run_part(paths.root, KINDS, FakeEngine(model), commands_from=0) == "stopped"
    assert run_part(paths.root, KINDS, FakeEngine(model), commands_from=paths.commands.stat().st_size) == "finished"


def test_a_target_that_fails_is_told_and_the_others_go_on(tmp_path, model):
    paths = new_evaluation(tmp_path, small_plan(problems=2, targets=("a", "b", "c")))
    broken = {"b": UserError("The checkpoint /x/step_20 is damaged.")}
    assert run_part(paths.root, KINDS, FakeEngine(model, broken=broken)) == "failed"
    state = state_of(paths)
    assert state.status is RunStatus.FAILED
    assert "b: The checkpoint /x/step_20 is damaged." in state.message
    assert [w.code for w in state.warnings] == ["target_failed"]
    assert state.done_chunks == 8
    with StoreReader(paths.rows) as reader:
        assert {t.row.key.target for t in reader.all_traces()} == {"a", "c"}
    assert run_part(paths.root, KINDS, FakeEngine(model)) == "finished"


def test_targets_of_the_other_kind_are_left_for_the_other_process(tmp_path, model):
    plan = small_plan(problems=2)
    plan = replace(plan, targets=(*plan.targets, Target("g", "g.gguf", TargetKind.GGUF)))
    paths = new_evaluation(tmp_path, plan)
    assert run_part(paths.root, (TargetKind.GGUF,), FakeEngine(model), last=False) == "handover"
    assert state_of(paths).stage == "handover"
    assert not resolve_eval_status(state_of(paths), None, state_of(paths).last_t + 1).over
    assert run_part(paths.root, (TargetKind.TORCH,), FakeEngine(model)) == "finished"
    assert verify(paths.rows) == ()


def test_a_model_that_was_trained_since_is_refused(tmp_path, model):
    paths = new_evaluation(tmp_path, small_plan(problems=2))
    stopped = FakeEngine(model, on_solve=lambda n: send_command(paths, CommandKind.STOP), wait_s=0.3)
    assert run_part(paths.root, KINDS, stopped) == "stopped"
    model.write_bytes(os.urandom(500))
    assert run_part(paths.root, KINDS, FakeEngine(model)) == "failed"
    assert "not the one that this evaluation began with" in state_of(paths).message


def test_a_fingerprint_knows_a_folder_by_its_content_and_not_its_place(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(bytes(range(256)) * 50_000)
        (folder / "optimizer.pt").write_bytes(os.urandom(9))
    assert fingerprint(one) == fingerprint(other)
    (other / "config.json").write_text("{}")
    assert fingerprint(one) != fingerprint(other)
    with pytest.raises(UserError, match="not there"):
        fingerprint(tmp_path / "gone")


def test_an_adapter_is_another_model_on_another_base(tmp_path):
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder in (base, adapter):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(bytes(100))
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    before = fingerprint(adapter)
    assert is_same_model(before, fingerprint(adapter))
    (base / "model.safetensors").write_bytes(bytes(101))
    assert not is_same_model(before, fingerprint(adapter))
    # Stored rows of version 0.1 know the adapter alone.
    assert is_same_model(before.partition("+")[0], fingerprint(adapter))
    (adapter / "model.safetensors").write_bytes(bytes(101))
    assert not is_same_model(before.partition("+")[0], fingerprint(adapter))


def test_an_adapter_whose_base_is_not_here_has_a_fingerprint(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "gone")}))
    assert "+" not in fingerprint(tmp_path)


# ---------------------------------------------------------------------- suites


@pytest.fixture
def saved(tmp_path):
    return write_suite(tmp_path / "suites" / "mine", frozen_suite(5, 3)).folder


def folder_plan(folder, **options):
    return replace(small_plan(), suites=(describe_suite(folder, **options),))


def test_a_suite_that_grew_under_a_plan_is_refused_with_both_hashes(tmp_path, model, saved):
    plan = folder_plan(saved)
    paths = new_evaluation(tmp_path, plan)
    problem = frozen_suite(6, 3).items[5].problem
    append_item(saved, SuiteItem(problem, (), ()))
    with pytest.raises(UserError, match=f"was changed since this evaluation was planned.*{plan.suites[0].digest}"):
        run_part(paths.root, KINDS, FakeEngine(model))
    assert state_of(paths).status is RunStatus.FAILED
    assert "solved" not in paths.events.read_text()


def test_a_suite_that_was_edited_is_told_with_its_line(tmp_path, model, saved):
    paths = new_evaluation(tmp_path, folder_plan(saved))
    items = saved / ITEMS
    items.write_text(items.read_text().replace("apples", "pears").replace("?", "!"))
    with pytest.raises(UserError, match=r"items\.jsonl"):
        run_part(paths.root, KINDS, FakeEngine(model))


def test_the_first_problems_of_a_suite_can_be_asked_for(tmp_path, model, saved):
    plan = folder_plan(saved, problems=2)
    assert plan.suites[0].problems == 2
    paths = new_evaluation(tmp_path, plan)
    assert run_part(paths.root, KINDS, FakeEngine(model)) == "finished"
    assert state_of(paths).rows == 2 * 10


def test_invalid_hints_and_their_placebos_are_not_asked(tmp_path):
    item = frozen_suite(1, 3).items[0]
    bad = Hint(HintType.SEMANTIC_MISLEADING, f"The answer is {item.problem.answer}.")
    suite = replace(frozen_suite(1, 3), items=(SuiteItem(item.problem, (bad, item.hints[0]), item.placebos[:2]),))
    folder = write_suite(tmp_path / "s", suite, allow_invalid=True).folder
    paths = new_evaluation(tmp_path, folder_plan(folder))
    texts = open_suite(paths, read_plan(paths).suites[0]).items[0].texts
    assert [t.index for t in texts[Condition.HINTED]] == [1]
    assert [t.index for t in texts[Condition.PLACEBO]] == [1]


@pytest.mark.parametrize("source", ["frozen:x", "frozen:"])
def test_a_seed_that_is_none_is_refused(source):
    with pytest.raises(UserError, match="names no suite"):
        describe_suite(source, 5)


# ---------------------------------------------------------------------- one process, and its end


def test_a_second_process_is_refused_in_words(tmp_path, model):
    paths = new_evaluation(tmp_path, small_plan())
    lock = RunLock(paths.lock)
    lock.acquire()
    with pytest.raises(UserError, match=f"in use by process {os.getpid()}"):
        run_part(paths.root, KINDS, FakeEngine(model))
    lock.release()


def test_a_folder_without_a_plan_is_no_evaluation(tmp_path, model):
    with pytest.raises(UserError, match=r"plan\.json is missing"):
        run_part(tmp_path, KINDS, FakeEngine(model))


def test_names_that_are_taken_get_a_number(tmp_path):
    paths = [new_evaluation(tmp_path, small_plan(), "same") for _ in range(3)]
    assert len({p.root for p in paths}) == 3
    assert all(read_plan(p) == small_plan() for p in paths)


def test_an_evaluation_without_a_last_word_died_but_not_at_once(tmp_path, model):
    paths = new_evaluation(tmp_path, small_plan(problems=2))
    run_part(paths.root, KINDS, FakeEngine(model))
    state = EvalState()
    assert resolve_eval_status(state, None, 10.0).status is RunStatus.STARTING
    events = [e for e in EventTail(paths.events).poll() if e.kind != "done"]
    for event in events:
        state = reduce(state, event)
    assert resolve_eval_status(state, None, state.last_t).status is RunStatus.CRASHED
    held = LockHolder(1, 0.0, "here")
    assert resolve_eval_status(state, held, state.last_t).status is RunStatus.RUNNING
    assert resolve_eval_status(state, held, state.last_t + 600).status is RunStatus.STALLED
    shares = []
    state = EvalState()
    for event in events:
        state = reduce(state, event)
        shares.append(state.share)
    assert shares == sorted(shares)


def test_damaged_rows_end_the_process_with_the_files_name_and_a_remedy(tmp_path, model):
    paths = new_evaluation(tmp_path, small_plan(problems=2))
    paths.rows.write_bytes(b"no database at all" * 300)
    with pytest.raises(UserError, match=r"rows\.db is damaged.*starts from the beginning"):
        run_part(paths.root, KINDS, FakeEngine(model))
    assert state_of(paths).status is RunStatus.FAILED
    assert "rows.db" in state_of(paths).message
    paths.rows.unlink()
    assert run_part(paths.root, KINDS, FakeEngine(model)) == "finished"
