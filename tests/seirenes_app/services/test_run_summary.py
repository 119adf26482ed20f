"""Facts about words and figures for runs."""

from dataclasses import replace

import pytest

from seirenes_app.services.formatting import change_tone
from seirenes_app.services.run_summary import (
    Change,
    describe_activity,
    describe_models,
    describe_problem,
    describe_saved,
    measure_change,
    memory_remedy,
    stall_of,
    status_sentence,
)
from training.runs.config import RunConfig
from training.runs.events import EventKind, EventLog
from training.runs.paths import new_run
from training.runs.processes import RunSummary, read_run
from training.runs.status import EvalPoint, FailureKind, History, ProcessWarning, RunState, RunStatus


def with_evals(*accuracies):
    points = tuple(EvalPoint(i, 0.0, "s", "h", {"clean": {"accuracy": a}}) for i, a in enumerate(accuracies))
    return RunState(status=RunStatus.FINISHED, step=3, steps=3, evals=points)


def test_the_change_is_from_the_first_to_the_newest_evaluation():
    assert measure_change(with_evals(0.4, 0.9, 0.7), "clean") == Change(0.4, 0.7)
    assert measure_change(with_evals(0.4, 0.7), "clean").points == pytest.approx(30)


def test_one_evaluation_is_a_before_and_none_is_not_measured():
    assert str(measure_change(with_evals(0.4), "clean")) == "40% so far"
    assert str(measure_change(with_evals(), "clean")) == "not measured"
    assert str(measure_change(with_evals(None, "x"), "clean")) == "not measured"
    assert measure_change(with_evals(0.4), "hinted") == Change()


def test_the_status_is_one_sentence_for_a_screen_reader():
    assert status_sentence(with_evals(0.4, 0.7)).startswith("Finished at step 3 of 3. Clean 40% → 70%")


@pytest.mark.parametrize(
    ("after", "tone"), [((0.44, 0.38, 0.5), "muted"), ((0.7, 0.64, 0.76), "good"), ((0.2, 0.1, 0.3), "bad")]
)
def test_a_change_is_coloured_only_where_its_interval_excludes_zero(after, tone):
    rates = [{"clean": dict(zip(("accuracy", "low", "high"), r, strict=True))} for r in ((0.4, 0.34, 0.46), after)]
    state = RunState(evals=tuple(EvalPoint(i, 0.0, "s", "h", r) for i, r in enumerate(rates)))
    assert change_tone(measure_change(state, "clean").difference) == tone
    assert change_tone(measure_change(with_evals(0.2, 0.9), "clean").difference) == "muted"


def test_no_change_is_claimed_where_most_answers_were_not_graded():
    def point(step, accuracy, unreadable):
        rate = {"accuracy": accuracy, "unparsable": unreadable, "truncated": 0.0, "timed_out": 0.0, "too_long": 0.0}
        return EvalPoint(step, 0.0, "s", "h", {"clean": rate})

    state = RunState(status=RunStatus.FINISHED, evals=(point(0, 0.1, 0.9), point(9, 0.6, 0.04)))
    change = measure_change(state, "clean")
    assert change.points is None
    assert str(change) == "10% → 60% (4% unreadable)"
    assert change.many_unread


def test_a_run_that_is_silent_or_stuck_is_said_to_be_with_what_it_was_at():
    at_work = RunState(status=RunStatus.RUNNING, stage="judge", stage_done=2, stage_total=9)
    assert describe_activity(at_work) == "asking the judge about hints"
    warning = ProcessWarning(1, 0.0, "stalled_stage", "No progress for 61 s.", "See whether it answers.", True)
    stuck = replace(at_work, warnings=(warning,), raised=("stalled_stage",))
    assert stall_of(stuck) == warning
    assert describe_activity(stuck) == "no progress while asking the judge about hints, at 2 of 9"
    silent = replace(at_work, status=RunStatus.STALLED, silent_s=70.0)
    assert describe_activity(silent).endswith("while asking the judge about hints, at 2 of 9")
    ended = replace(stuck, status=RunStatus.FINISHED)
    assert stall_of(ended) is None
    assert describe_activity(ended) == "finished"


def killed(root, free_mb):
    """A run whose process wrote a sign of life and then nothing."""
    paths = new_run(root, RunConfig(), "killed")
    log = EventLog(paths.events)
    log.write(EventKind.LAUNCH, steps=9, mode="seirenes", model="starter", machine={"memory_mb": 16_000})
    log.write(EventKind.HEARTBEAT, step=2, stage="r1_clean", rss_mb=9000.0, free_mb=free_mb)
    log.close()
    return read_run(paths)


def test_a_killed_run_shows_the_memory_it_held_and_proposes_a_setting_only_where_memory_was_short(tmp_path):
    short, roomy = killed(tmp_path / "a", 120.0), killed(tmp_path / "b", 9000.0)
    assert short.state.status is RunStatus.CRASHED
    text = describe_problem(short).text
    assert "lack of memory" in text
    assert "120 MB were free" in text
    remedy = memory_remedy(short)
    assert f"Set {remedy['key']} = {remedy['value']}" in text
    assert "Memory was not short" in describe_problem(roomy).text
    assert memory_remedy(roomy) == {}
    assert memory_remedy(RunSummary(short.paths, None, None)) == {}


@pytest.mark.parametrize(
    ("saved", "played", "words"),
    [
        ((), 3, "Nothing was saved yet: resuming starts it over."),
        ((2,), 2, "Saved up to step 2; resuming continues from there."),
        ((1, 2), 3, "Saved up to step 2; resuming continues from there. 1 later step is lost."),
        ((2,), 6, "Saved up to step 2; resuming continues from there. 4 later steps are lost."),
    ],
)
def test_what_is_lost_is_said_beside_what_is_saved(saved, played, words):
    history = History()
    for step in range(1, played + 1):
        history = history.append(step, {})
    assert describe_saved(RunState(history=history, checkpoints=tuple((s, "") for s in saved))) == words


@pytest.mark.parametrize(("launched", "words"), [(0.0, "or correct the settings"), (5.0, "resuming continues")])
def test_a_run_whose_server_is_away_offers_to_resume(tmp_path, launched, words):
    state = RunState(
        status=RunStatus.FAILED, failure=FailureKind.SERVER, message="It cannot be reached.", launched_t=launched,
        checkpoints=((3, "step_000003"),) if launched else (), step=3,
    )  # fmt: skip
    problem = describe_problem(RunSummary(new_run(tmp_path, RunConfig(), "away"), None, state))
    assert problem.can_resume
    assert problem.can_edit_settings is not bool(launched)
    assert words in problem.text


def test_the_models_of_a_run_are_named_with_what_is_not_trained():
    def said(model="starter", mode="seirenes", **settings):
        return describe_models(RunState(model=model, mode=mode, settings=settings))

    checkpoint = "/data/runs/demo/checkpoints/step_000040"
    assert said() == "starter"
    assert said(adversary={"model": "org/name"}) == "Reasoner starter, Adversary org/name"
    assert said(checkpoint, adversary={"model": f"{checkpoint}/adversary"}, reasoner={"train": False}) == (
        "Reasoner demo@40 (not trained), Adversary demo@40"
    )
    assert said(mode="static", adversary={"model": "/m/hints.gguf"}) == (
        "Reasoner starter, Adversary hints.gguf (not trained)"
    )
    assert said(mode="clean_rl", adversary={"model": "starter"}) == "starter"
