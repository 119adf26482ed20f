"""Facts about dry runs: the real trainer plays two steps, leaves nothing behind, and says what they took."""

import shutil
from dataclasses import replace

import pytest

from seirenes_app.services.dry_run import (
    describe_progress,
    dry_config,
    keep_measurement,
    known_measurement,
    measure_run,
    measurement_key,
)
from seirenes_app.services.run_repository import RunRepository
from training.errors import UserError
from training.runs.config import EvalConfig, ModelConfig, RolloutConfig, RunConfig
from training.runs.events import Event
from training.runs.status import RunState, reduce

SMALL = RunConfig(
    "small", steps=30, rollout=RolloutConfig(questions=2, clean=2, hints=2, hinted=1, max_solution_tokens=24,
                                             max_hint_tokens=12),
    model=ModelConfig(threads=1), evaluation=EvalConfig(problems=8, max_new_tokens=16),
)  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    said = []
    found = measure_run(SMALL, root, lambda text, share: said.append((text, share)))
    return root, found, said


def test_two_real_steps_are_measured_by_stage(measured):
    _, found, _ = measured
    assert found.start_s > 0.5
    assert all(seconds >= 0 for seconds in found.stages.values())
    assert found.stages["r1"] > 0
    assert found.stages["update"] > 0
    assert found.eval_s > 0
    assert found.checkpoint_s > 0
    assert 200 < found.loaded_mb <= found.peak_mb < 4000
    assert found.checkpoint_mb > 8


def test_nothing_of_a_dry_run_is_left_and_no_run_is_listed(measured):
    root, _, _ = measured
    assert list(root.iterdir()) == []
    assert RunRepository(root).list_runs() == []


def test_its_progress_grows_to_the_end(measured):
    shares = [share for _, share in measured[2]]
    assert shares == sorted(shares)
    assert any(text.startswith("Step ") for text, _ in measured[2])


def test_its_progress_does_not_go_back_where_a_step_ends():
    state, shares = RunState(), []
    events = [("launch", {"steps": 2}), ("eval", {"step": 0})]
    for step in (1, 2):
        events += [("stage", {"step": step, "stage": name}) for name in ("r1_clean", "r2_hint", "r3_hinted", "update")]
        events += [("step", {"step": step, "metrics": {}})]
    for number, (kind, data) in enumerate(events):
        state = reduce(state, Event(number, float(number + 1), kind, data))
        shares.append(describe_progress(state)[1])
    assert shares == sorted(shares)


def test_a_cancelled_dry_run_ends_its_trainer_and_leaves_nothing(tmp_path):
    assert measure_run(SMALL, tmp_path, cancelled=lambda: True) is None
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_be_played_says_why(tmp_path):
    with pytest.raises(UserError, match=r"model\.path"):
        measure_run(replace(SMALL, model=ModelConfig(path=str(tmp_path / "none"))), tmp_path)


def test_a_disk_too_small_for_its_checkpoints_is_said_before_anything_is_played(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=2**20))
    with pytest.raises(UserError, match="two checkpoints"):
        measure_run(SMALL, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_measurement_holds_for_other_lengths_of_a_run_and_not_for_other_steps(tmp_path, measured):
    workspace = tmp_path / "workspace.db"
    keep_measurement(workspace, SMALL, measured[1])
    longer = replace(SMALL, name="other", steps=99, evaluation=replace(SMALL.evaluation, every=3, problems=40))
    assert known_measurement(workspace, longer) == measured[1]
    for other in (
        replace(SMALL, rollout=replace(SMALL.rollout, questions=3)),
        replace(SMALL, model=replace(SMALL.model, threads=2)),
        replace(SMALL, update=replace(SMALL.update, kl=0.1)),
    ):
        assert known_measurement(workspace, other) is None
        assert measurement_key(other) != measurement_key(SMALL)


def test_a_dry_run_keeps_what_a_step_depends_on():
    config = RunConfig(steps=500, max_rollouts=10_000)
    cut = dry_config(config)
    assert cut.steps == 2
    assert (cut.rollout, cut.update, cut.adversary, cut.model) == (
        config.rollout, config.update, config.adversary, config.model
    )  # fmt: skip
    assert cut.evaluation.problems < config.evaluation.problems
