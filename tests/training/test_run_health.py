"""Facts about the alarms and the seconds of real runs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seirenes_app.services.run_summary import describe_problem
from training.runner import run_directory
from training.runs import status
from training.runs.config import from_dict, parse_overrides
from training.runs.control import CommandKind, send_command
from training.runs.events import EventKind, EventTail
from training.runs.health import FLAT_STEPS
from training.runs.paths import new_run
from training.runs.processes import RunSummary, watch_run
from training.runs.status import RunStatus
from training.runs.timing import TimePart

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("rollout.questions=2", "rollout.clean=2", "rollout.hints=2", "rollout.hinted=2", "evaluation.problems=4",
         "evaluation.every=0", "checkpoint.every=0", "model.threads=1", "data.pool=20")  # fmt: skip


def play(folder, *settings):
    """A finished run; its alarms as (step, code, what), and its paths."""
    paths = new_run(folder, from_dict(parse_overrides([*SMALL, *settings]), "test"), "r")
    assert run_directory(paths.root) == "finished"
    return alarms(paths), paths


def alarms(paths):
    events = [e for e in EventTail(paths.events).poll() if e.kind in (EventKind.WARNING, EventKind.CLEARED)]
    return [(e.data["step"], e.data["code"], e.data.get("alarm", "cleared")) for e in events]


def test_a_run_of_which_nothing_is_read_says_so_once(tmp_path):
    # Without a penalty a hint that is refused earns what the others earn.
    found, paths = play(tmp_path, "steps=5", "rollout.max_solution_tokens=8", "adversary.gate_penalty=0")
    assert [entry for entry in found if entry[1] in ("truncated", "equal_rewards")] == [
        (1, "truncated", "raised"), (FLAT_STEPS, "equal_rewards", "raised"),
    ]  # fmt: skip
    assert set(watch_run(paths).poll().raised) >= {"truncated", "equal_rewards"}


def test_a_model_that_is_always_wrong_learns_nothing_and_the_run_says_why(tmp_path):
    problems = tmp_path / "problems.jsonl"
    lines = [{"question": f"Anna has {n} pens and buys 2 more. How many pens does Anna have now?", "answer": "987654"}
             for n in range(3, 9)]  # fmt: skip
    problems.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    for mode in ("seirenes", "clean_rl"):
        # Without a penalty a hint that is refused earns what the others earn.
        found, paths = play(
            tmp_path / mode, "steps=3", f"mode={mode}", f"data.problems={problems}", "adversary.gate_penalty=0"
        )
        assert (FLAT_STEPS, "equal_rewards", "raised") in found, mode
        (warning,) = [w for w in watch_run(paths).poll().warnings if w.code == "equal_rewards"]
        assert "too hard" in warning.remedy


def test_a_learning_rate_that_breaks_the_model_raises_alarms(tmp_path):
    found, _ = play(tmp_path, "steps=5", "update.learning_rate=0.3", "update.warmup_steps=4")
    assert {code for _, code, what in found if what == "raised"} & {"gradient", "kl", "gates", "narrow", "entropy"}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A run of six steps with nothing wrong, evaluated and saved on the way."""
    return play(
        tmp_path_factory.mktemp("sound"), "steps=6", "rollout.questions=3", "rollout.clean=4", "rollout.hints=4",
        "rollout.hinted=4", "data.pool=60", "evaluation.every=4", "checkpoint.every=4",
    )  # fmt: skip


def test_a_run_with_nothing_wrong_raises_no_alarm(sound):
    assert sound[0] == []


def test_the_parts_of_a_step_sum_to_the_time_between_two_steps_events(sound):
    _, paths = sound
    steps = [e for e in EventTail(paths.events).poll() if e.kind == EventKind.STEP]
    missed, others = [], []
    for before, event in zip(steps, steps[1:], strict=False):
        parts = {k: v for k, v in event.data["metrics"].items() if k.startswith("time/")}
        missed.append(abs(sum(parts.values()) - (event.data["active_s"] - before.data["active_s"])))
        others.append(parts["time/other"] / sum(parts.values()))
        assert {f"time/{p}" for p in TimePart} >= set(parts)
        assert min(parts.values()) >= 0.0
    # Of five steps some may be held up between two readings of the clock, by what else the machine does.
    assert sorted(missed)[1] < 0.05
    assert sorted(others)[1] < 0.1
    assert steps[4].data["metrics"]["time/evaluation"] > 0
    assert "time/evaluation" not in steps[5].data["metrics"]


def test_the_last_evaluation_is_in_the_time_after_the_steps(sound):
    state = watch_run(sound[1]).poll()
    assert state.time_outside["evaluation"] > 0
    steps = sum(sum(state.history.series(name)[1]) for name in state.history.names() if name.startswith("time/"))
    assert steps + sum(state.time_outside.values()) == pytest.approx(state.active_s, rel=0.3)


def test_an_evaluation_says_what_changed_since_the_first_one(sound):
    evals = [e.data["metrics"] for e in EventTail(sound[1].events).poll() if e.kind == EventKind.EVAL]
    assert "since_start" not in evals[0]
    for metrics in evals[1:]:
        since = metrics["since_start"]
        assert (since["step"], set(since)) == (0, {"step", "clean", "hinted", "placebo", "needed"})
        for condition in ("clean", "placebo", "needed"):
            gained = metrics[condition]["accuracy"] - evals[0][condition]["accuracy"]
            assert since[condition]["mean"] == pytest.approx(gained)
            assert since[condition]["low"] <= gained <= since[condition]["high"]


SHORT_LIMITS = """
import sys
from pathlib import Path
from training.runs import events, watchdog
events.SUSPENDED_S, watchdog.STALLED_S, watchdog.POLL_S = 4.0, 4.0, 0.2
from training.runner import run_directory
run_directory(Path(sys.argv[1]))
"""


def test_a_process_that_was_stopped_is_said_to_be_and_none_of_its_figures_suffers(tmp_path, monkeypatch):
    monkeypatch.setattr(status, "STALLED_AFTER_S", 3.0)
    paths = new_run(tmp_path, from_dict(parse_overrides([*SMALL, "steps=400"]), "test"), "r")
    watch, stopped_s = watch_run(paths), 9.0
    trainer = subprocess.Popen([sys.executable, "-c", SHORT_LIMITS, str(paths.root)], cwd=ROOT)
    try:
        _wait(lambda: watch.poll().done_steps >= 2)
        os.kill(trainer.pid, signal.SIGSTOP)
        began = time.monotonic()
        _wait(lambda: watch.poll().status is RunStatus.STALLED)
        problem = describe_problem(RunSummary(paths, None, watch.poll()))
        assert "No sign of life for" in problem.text
        assert f"Its process is stopped. Continue it with: kill -CONT {trainer.pid}" in problem.text
        time.sleep(max(0.0, stopped_s - (time.monotonic() - began)))
        before = watch.poll()
        os.kill(trainer.pid, signal.SIGCONT)
        _wait(lambda: watch.poll().done_steps >= before.done_steps + 3)
        state = watch.poll()
        assert state.status is RunStatus.RUNNING
        assert state.active_s - before.active_s < time.monotonic() - began - stopped_s + 6.0
        seconds = state.history.series("seconds")[1]
        assert max(seconds) < stopped_s
        assert not {w.code for w in state.warnings} & {"stalled_stage", "slow_step"}
    finally:
        trainer.kill()
        trainer.wait()


def _wait(condition, patience_s=120.0):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_resumed_run_knows_which_alarms_stand_and_does_not_raise_them_again(tmp_path, when):
    settings = [*SMALL, "steps=4", "rollout.max_solution_tokens=8", "checkpoint.every=1"]
    paths = new_run(tmp_path, from_dict(parse_overrides(settings), "test"), "r")

    when(
        lambda: any(e.kind == EventKind.STEP for e in EventTail(paths.events).poll()),
        lambda: send_command(paths, CommandKind.STOP),
    )
    assert run_directory(paths.root) == "stopped"
    before = alarms(paths)
    assert (1, "truncated", "raised") in before
    assert run_directory(paths.root) == "finished"
    launches = [e.data for e in EventTail(paths.events).poll() if e.kind == EventKind.LAUNCH]
    assert [("truncated" in launch["alarms"]) for launch in launches] == [False, True]
    assert [code for _, code, _ in alarms(paths)].count("truncated") == 1
    assert "truncated" in watch_run(paths).poll().raised
