import shutil
from pathlib import Path

import pytest
from helpers.robust_runs import write_run
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.services.robustness.checkpoint_replay import (
    CheckpointReplay,
    ReplayPlan,
    read_step,
    replay_result,
    robust_since,
)
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Chart, ReplayStep
from training.core.types import Outcome
from training.errors import UserError

STARTER = Path(__file__).parents[4] / "resources" / "starter"
UNREAD = range(30, 1530)
"""Steps without a checkpoint. Their lines are more than a pipe holds, so that the child waits for its reader."""
outcomes = st.lists(st.sampled_from([None, *Outcome]), max_size=12)


@given(outcomes)
def test_robust_since_is_the_first_of_the_right_ones_that_last(found):
    steps = [ReplayStep(10 * i, o, missing="" if o else "gone") for i, o in enumerate(found)]
    since = robust_since(steps)
    known = [s for s in steps if s.outcome is not None]
    if since is None:
        assert not known or known[-1].outcome is not Outcome.RIGHT
        return
    assert all(s.outcome is Outcome.RIGHT for s in known if s.step >= since)
    before = [s for s in known if s.step < since]
    assert not before or before[-1].outcome is not Outcome.RIGHT


@given(outcomes)
def test_the_sentence_says_what_is_known(found):
    steps = [ReplayStep(10 * i, o, missing="" if o else "gone") for i, o in enumerate(found)]
    result = replay_result(steps, len(steps))
    assert len(result.table.rows) == len(steps)
    right = sum(o is Outcome.RIGHT for o in found)
    if any(found):
        assert result.sentence.startswith(f"Right at {right} of {sum(o is not None for o in found)} checkpoints")
        assert ("could not be replayed" in result.sentence) == (None in found)


def test_a_missing_checkpoint_just_before_leaves_open_when_it_became_robust():
    def words(*found):
        steps = [ReplayStep(20 * i, o, missing="" if o else "gone") for i, o in enumerate(found)]
        return replay_result(steps, len(steps)).sentence

    wrong, right = Outcome.WRONG, Outcome.RIGHT
    assert "right from step 40 on, or from step 20, which could not be replayed" in words(
        wrong, None, right, None, right
    )
    assert "right from step 60 on, or from one of steps 20 to 40, which could not" in words(wrong, None, None, right)
    assert "right from step 40 on. " in words(None, wrong, right, None)
    assert "right from the first one on. " in words(None, right, right)


@given(st.text(max_size=60) | st.just('{"step": 1}') | st.just('{"step": "x", "missing": ""}'))
def test_a_line_that_cannot_be_read_is_said(line):
    with pytest.raises(UserError, match="cannot be read"):
        read_step(line)


@pytest.fixture
def run(tmp_path):
    """A run whose checkpoints are the starter; one of them is gone, and one is no model."""
    paths = write_run(tmp_path / "r", problems=6)
    for step in (0, 20):
        shutil.copytree(STARTER, paths.checkpoints / f"step_{step:06d}", ignore=shutil.ignore_patterns("*.gguf"))
    (paths.checkpoints / "step_000010").mkdir()
    return paths


def test_one_problem_on_every_checkpoint(run):
    source = ResultSource(run.root)
    point = source.panel(source.tracks[0], Chart.ACCURACY).curves[1].points[0]
    trace = next(t for t in source.traces(point.traces) if t.hint)
    plan = ReplayPlan(*source.question(source.tracks[0], trace))
    results = []
    result = CheckpointReplay(run, plan, recorded_steps=(0, 30)).run(results.append)
    assert [s.step for s in result.steps] == [0, 10, 20, 30]
    assert [len(r.steps) for r in results] == [1, 2, 3, 4]
    first, broken, last, gone = result.steps
    assert (first.text, first.logprob, first.outcome) == (last.text, last.logprob, last.outcome)
    assert first.logprob < 0 < first.tokens
    assert "holds no model" in broken.missing
    assert gone.missing.startswith("The checkpoint of step 30 is not there")
    assert (result.complete, result.cancelled, result.planned) == (True, False, 4)
    assert "2 checkpoints could not be replayed" in result.sentence


def test_cancelling_returns_the_steps_that_are_done(run):
    replay = CheckpointReplay(run, _plan(run), recorded_steps=UNREAD)

    def cancel_at_first(_result):
        replay.cancel()

    result = replay.run(cancel_at_first)
    assert (result.cancelled, result.complete) == (True, False)
    assert "so far" in result.sentence
    result = replay.run()
    assert (result.cancelled, result.steps) == (True, ())
    assert "No checkpoint has answered yet" in result.sentence


def test_a_killed_child_is_an_error(run):
    replay = CheckpointReplay(run, _plan(run), recorded_steps=UNREAD)
    with pytest.raises(UserError, match="exited with code -9"):
        replay.run(lambda _result: replay._child.kill())


def test_a_run_without_checkpoints_says_so(tmp_path):
    paths = write_run(tmp_path / "r", problems=6)
    with pytest.raises(UserError, match="has no checkpoint on this machine"):
        CheckpointReplay(paths, _plan(paths))


def _plan(paths):
    source = ResultSource(paths.root)
    point = source.panel(source.tracks[0], Chart.ACCURACY).curves[1].points[0]
    return ReplayPlan(*source.question(source.tracks[0], source.traces(point.traces)[0]))
