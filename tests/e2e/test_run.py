"""A real run, start to finish, in real processes, with the bundled model."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training.core.types import Stage
from training.rollouts.reader import RolloutReader
from training.rollouts.search import RolloutQuery
from training.runs.commands import CommandKind, send_command
from training.runs.events import EventTail
from training.runs.lock import holder
from training.runs.paths import RunPaths

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["rollout.questions=4", "rollout.clean=2", "rollout.hints=2", "rollout.hinted=2", "evaluation.problems=8",
         "evaluation.every=0", "checkpoint.every=1", "model.threads=1", "data.pool=40"]  # fmt: skip


def command(*arguments):
    return [sys.executable, "-m", "seirenes_app.cli.main", *arguments]


def sets(*more):
    return [part for s in (*SMALL, *more) for part in ("--set", s)]


@pytest.fixture
def env(tmp_path):
    return {**os.environ, "SEIRENES_RUNS": str(tmp_path / "runs"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def events(paths):
    return EventTail(paths.events).poll()


def wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.mark.parametrize("mode", ["seirenes", "clean_rl", "static", "random"])
def test_a_run_of_every_mode_finishes_with_table_chart_and_report(env, tmp_path, mode):
    root = tmp_path / "r"
    run = ["demo", "--run-dir", str(root), "--json", *sets("steps=2", f"mode={mode}")]
    done = subprocess.run(command(*run), env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["status"] == "finished"
    assert [c["label"] for c in outcome["before_after"]][:2] == ["clean", "hinted, all types"]
    assert (root / "chart.png").stat().st_size > 5000
    assert "<h2>Before and after</h2>" in (root / "report.html").read_text()
    reader = RolloutReader(RunPaths(root).rollouts)
    assert set(reader.step_counts()) == {1, 2}
    if mode == "seirenes":
        rows = reader.rows(reader.ids(RolloutQuery()))
        assert {r["follows_hint"] for r in rows if r["stage"] == Stage.HINTED} - {None}, "no hint was read as pushing"
    assert events(RunPaths(root))[-1].kind == "done"


def test_a_killed_run_is_resumed_and_nothing_is_counted_twice(env, tmp_path):
    root = tmp_path / "runs" / "k"
    config = tmp_path / "c.toml"
    config.write_text("steps = 400\n")
    subprocess.run(command("train", str(config), "--detach", "--run-dir", str(root), *sets()), env=env, check=True, timeout=60)  # fmt: skip
    paths = RunPaths(root)
    wait_for(lambda: any(e.kind == "checkpoint" and e.data["step"] >= 2 for e in events(paths)))
    os.kill(holder(paths.lock).pid, signal.SIGKILL)
    wait_for(lambda: holder(paths.lock) is None)
    listed = json.loads(
        subprocess.run(command("runs", "--json"), env=env, capture_output=True, text=True, check=True).stdout
    )
    assert listed[0]["status"] == "crashed"
    subprocess.run(command("resume", "k", "--detach"), env=env, check=True, timeout=60)
    wait_for(lambda: sum(e.kind == "launch" for e in events(paths)) == 2)
    resumed = next(e for e in reversed(events(paths)) if e.kind == "launch").data["resumed_from"]
    assert resumed >= 2
    wait_for(lambda: any(e.kind == "step" and e.data["step"] == resumed + 2 for e in events(paths)))
    second = subprocess.run(
        [sys.executable, "-m", "training", "run", str(root)], env=env, capture_output=True, text=True
    )
    assert second.returncode == 2
    assert "already" in second.stderr
    send_command(paths, CommandKind.PAUSE)
    wait_for(lambda: events(paths)[-1].data.get("stage") == "paused")
    assert subprocess.run(command("stop", "k"), env=env, timeout=90).returncode == 0
    assert events(paths)[-1].data["outcome"] == "stopped"
    counts = RolloutReader(paths.rollouts).step_counts()
    assert sorted(counts) == list(range(1, len(counts) + 1))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--set", "rollout.hint=3"], "rollout.hints"),
        (["train", "nowhere.toml"], "Cannot read"),
        (["resume", "nothing"], "No run"),
        (["eval", "no/such-model"], "No run"),
    ],
)
def test_mistakes_end_with_words_and_code_2(env, arguments, said):
    done = subprocess.run(command(*arguments), env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_model_folder_fails_the_run_at_once_in_words(env, tmp_path):
    root = tmp_path / "m"
    run = command("demo", "--run-dir", str(root), "--json", "--set", "model.path=/no/such/folder")
    done = subprocess.run(run, env=env, capture_output=True, text=True, timeout=90)
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "failed"
    assert "/no/such/folder" in events(RunPaths(root))[-1].data["message"]


def test_a_failed_run_elsewhere_is_told_once_with_the_command_that_finds_it_again(tmp_path, env):
    config = tmp_path / "a.toml"
    config.write_text('[model]\npath = "/no/such/folder"\n')
    folder = tmp_path / "elsewhere" / "mine"
    done = subprocess.run(command("train", str(config), "--run-dir", str(folder)), env=env, cwd=ROOT,
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert done.returncode == 1
    told = " ".join(done.stderr.split())
    assert told.count("was not found") == 1
    assert f"seirenes resume {folder}" in told
    again = subprocess.run(command("stop", str(folder)), env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "No run" not in again.stderr
