"""A run that is interrupted and resumed equals one that was left alone, to the bit.

`tests/bench/bench_resume.py` is the long form: every path, every way of ending, many moments.
"""

import os
import random
import signal
import subprocess
import sys

import pytest
from helpers.interrupted_runs import (
    PATHS,
    Trainers,
    differences,
    events_of,
    interrupt,
    make_run,
    roll_backs,
    settings_of,
    wait_for_event,
)

from training.runs.control import CommandKind, send_command

SHORT = ["steps=4", "checkpoint.every=2", "rollout.questions=3"]


@pytest.fixture(scope="module")
def trainers():
    forks = Trainers()
    yield forks
    forks.close()


def test_a_buffered_run_equals_one_left_alone_after_a_kill_a_signal_and_a_stop(trainers, tmp_path):
    settings = [*PATHS["buffer"], *SHORT]
    whole, cut = make_run(tmp_path, "whole", *settings), make_run(tmp_path, "cut", *settings)
    assert trainers.finish(whole) == 0
    most = len(events_of(whole))
    ended = [interrupt(trainers, cut, end, random.Random(end), most // 3) for end in ("SIGTERM", "SIGKILL", "stop")]
    # 0: the machine was so quick that it had finished.
    assert set(ended) <= {0, 3, -signal.SIGKILL}
    assert trainers.finish(cut) == 0
    assert differences(cut, whole) == []


def test_a_lora_run_equals_one_left_alone_after_a_stop_within_its_last_evaluation(trainers, tmp_path):
    settings = [*PATHS["lora"], *SHORT, "steps=2"]
    whole, cut = make_run(tmp_path, "whole", *settings), make_run(tmp_path, "cut", *settings)
    assert trainers.finish(whole) == 0
    with trainers.halted(cut, "stage", stage="eval", step=2) as pid:
        os.kill(pid, signal.SIGINT)
    assert trainers.wait() == 3
    trainers.finish(cut)
    assert differences(cut, whole) == []


def test_a_run_stopped_between_a_roll_back_and_its_second_evaluation_ends_as_one_left_alone(trainers, tmp_path):
    settings = [*settings_of("roll_back", tmp_path, "llama"), *SHORT, "rollout.questions=6", "steps=2"]
    whole, cut = make_run(tmp_path, "whole", *settings), make_run(tmp_path, "cut", *settings)
    assert trainers.finish(whole) == 0
    assert roll_backs(whole)
    with trainers.halted(cut, "warning", code="clean_guard") as pid:
        os.kill(pid, signal.SIGTERM)
    assert trainers.wait() == 3
    assert trainers.finish(cut) == 0
    assert differences(cut, whole) == []


@pytest.mark.parametrize("path", ["two_models", "best_response", "opponents"])
def test_two_models_and_past_opponents_end_as_in_a_run_left_alone_after_a_stop(trainers, tmp_path, path):
    settings = [*PATHS[path], *SHORT, "evaluation.every=0"]
    whole, cut = make_run(tmp_path, "whole", *settings), make_run(tmp_path, "cut", *settings)
    assert trainers.finish(whole) == 0
    with trainers.halted(cut, "step", step=3):
        send_command(cut, CommandKind.STOP)
    assert trainers.wait() == 3
    trainers.finish(cut)
    assert differences(cut, whole) == []


def test_a_second_signal_ends_a_run_as_stopped_within_an_update(trainers, tmp_path):
    paths = make_run(tmp_path, "r", *SHORT, "steps=400")
    pid = trainers.start(paths)
    wait_for_event(paths, "stage", stage="update", step=2)
    for _ in range(4):
        os.kill(pid, signal.SIGTERM)
    assert trainers.wait() == 3
    last = events_of(paths)[-1]
    assert (last.kind, last.data["outcome"], last.data["error"]) == ("done", "stopped", None)


def test_a_closed_terminal_stops_a_run_that_was_not_started_with_nohup(trainers, tmp_path):
    paths = make_run(tmp_path, "r", *SHORT, "steps=400")
    pid = trainers.start(paths)
    wait_for_event(paths, "step", step=1)
    for _ in range(3):
        os.kill(pid, signal.SIGHUP)
    assert trainers.wait() == 3
    assert events_of(paths)[-1].data["outcome"] == "stopped"
    newest = sorted(paths.checkpoints.iterdir())[-1].name
    assert newest == f"step_{max(e.data['step'] for e in events_of(paths) if e.kind == 'step'):06d}"


def test_nohup_is_kept():
    code = (
        "import signal; from training.runs.control import StopSignal; "
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); StopSignal().install(); "
        "assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
