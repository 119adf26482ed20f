"""A real run, start to finish, in real processes, with the bundled model."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from training.core.types import Stage
from training.rollouts.reader import RolloutQuery, RolloutReader
from training.runs.config import load_config
from training.runs.control import CommandKind, send_command
from training.runs.events import EventTail
from training.runs.lock import holder
from training.runs.paths import RunPaths, new_run
from training.runs.processes import read_run

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["rollout.questions=4", "rollout.clean=2", "rollout.hints=2", "rollout.hinted=2", "evaluation.problems=8",
         "evaluation.every=0", "checkpoint.every=1", "model.threads=1", "data.pool=40"]  # fmt: skip


def command(*arguments):
    return [sys.executable, "-m", "seirenes_app.cli.main", *arguments]


def sets(*more):
    return [part for s in (*SMALL, *more) for part in ("--set", s)]


@pytest.fixture
def env(tmp_path):
    folders = {"SEIRENES_RUNS": str(tmp_path / "runs"), "SEIRENES_DATA": str(tmp_path / "data")}
    return {**os.environ, **folders, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def events(paths):
    return EventTail(paths.events).poll()


def wait_for(condition, seconds=300):
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
    subprocess.run(command("train", str(config), "--detach", "--run-dir", str(root), *sets()), env=env, check=True, timeout=300)  # fmt: skip
    paths = RunPaths(root)
    wait_for(lambda: any(e.kind == "checkpoint" and e.data["step"] >= 2 for e in events(paths)))
    os.kill(holder(paths.lock).pid, signal.SIGKILL)
    wait_for(lambda: holder(paths.lock) is None)
    listed = json.loads(
        subprocess.run(command("runs", "--json"), env=env, capture_output=True, text=True, check=True).stdout
    )
    assert listed[0]["status"] == "crashed"
    subprocess.run(command("resume", "k", "--detach"), env=env, check=True, timeout=300)
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
    assert subprocess.run(command("stop", "k"), env=env, timeout=300).returncode == 0
    assert events(paths)[-1].data["outcome"] == "stopped"
    counts = RolloutReader(paths.rollouts).step_counts()
    assert sorted(counts) == list(range(1, len(counts) + 1))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--set", "rollout.hint=3"], "rollout.hints"),
        (["train", "nowhere.toml"], "Cannot read"),
        (["train", "dmeo"], "Presets: clean_rl, demo"),
        (["resume", "nothing"], "No run"),
        (["eval", "no-such-model"], "No run"),
        (["eval", "no/such-model"], "is not on this machine. Download it: seirenes models pull no/such-model"),
    ],
)
def test_mistakes_end_with_words_and_code_2(env, arguments, said):
    done = subprocess.run(command(*arguments), env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_model_folder_is_refused_before_anything_is_started(env, tmp_path):
    root = tmp_path / "m"
    run = command("demo", "--run-dir", str(root), "--set", "model.path=/no/such/folder")
    done = subprocess.run(run, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "/no/such/folder was not found" in done.stderr
    assert not root.exists()


def test_an_empty_configuration_starts_nothing(env, tmp_path):
    (tmp_path / "empty.toml").write_text("# nothing\n")
    done = subprocess.run(command("train", str(tmp_path / "empty.toml")), env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert "empty.toml holds no option" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_run_that_failed_on_its_settings_is_reported_once_listed_and_not_resumed(tmp_path, env):
    config = tmp_path / "a.toml"
    config.write_text('[adversary]\ntypes = "telepathy"\n')
    folder = tmp_path / "else where" / "mine"
    done = subprocess.run(command("train", str(config), "--run-dir", str(folder)), env=env, cwd=ROOT,
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("Known types") == 1
    assert "resume" not in done.stderr
    listed = subprocess.run(command("runs"), env=env, capture_output=True, text=True, check=True).stdout
    assert str(folder) in listed
    again = subprocess.run(command("resume", "min"), env=env, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert again.returncode == 2
    assert "failed on its settings" in again.stderr
    shutil.rmtree(folder)
    assert "mine" not in subprocess.run(command("runs"), env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_foreground_command_stops_its_trainer_which_saves(env, tmp_path, number):
    root = tmp_path / "else where" / "s"
    changed = sets("steps=4000", "checkpoint.every=0")
    child = subprocess.Popen(command("train", "demo", "--run-dir", str(root), *changed),
                             env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    paths = RunPaths(root)
    # A line is printed every five seconds.
    printed = next(line for line in child.stderr if "/4000" in line)
    wait_for(lambda: any(e.kind == "step" and e.data["step"] == 2 for e in events(paths)))
    trainer = holder(paths.lock).pid
    child.send_signal(number)
    _out, err = child.communicate(timeout=300)
    assert child.returncode == 3
    wait_for(lambda: not psutil.pid_exists(trainer) or psutil.Process(trainer).status() == psutil.STATUS_ZOMBIE)
    last = events(paths)[-1]
    assert (last.kind, last.data["outcome"]) == ("done", "stopped")
    assert "step " in printed
    resume = err[err.index("seirenes resume") :].split("\n")[0]
    assert shlex.split(resume) == ["seirenes", "resume", str(root)]
    assert f"Saved up to step {read_run(paths).state.done_steps}" in err


def test_a_signal_to_the_trainer_ends_the_run_as_stopped(env, tmp_path):
    paths = new_run(tmp_path / "runs", load_config(ROOT / "resources/presets/demo.toml", SMALL), "t")
    trainer = subprocess.Popen([sys.executable, "-m", "training", "run", str(paths.root)], env=env)
    wait_for(lambda: any(e.kind == "step" for e in events(paths)))
    trainer.send_signal(signal.SIGTERM)
    assert trainer.wait(300) == 3
    assert events(paths)[-1].data["outcome"] == "stopped"
    assert read_run(paths).state.can_resume


def test_a_paused_run_counts_no_time(env, tmp_path):
    paths = new_run(tmp_path / "runs", load_config(ROOT / "resources/presets/demo.toml", [*SMALL, "steps=400"]), "p")
    trainer = subprocess.Popen([sys.executable, "-m", "training", "run", str(paths.root)], env=env)
    try:
        wait_for(lambda: any(e.kind == "step" and e.data["step"] == 3 for e in events(paths)))
        send_command(paths, CommandKind.PAUSE)
        wait_for(lambda: read_run(paths).state.status == "paused")
        before = read_run(paths).state
        assert before.step == before.done_steps
        wait_for(lambda: read_run(paths).state.paused_s > 4)
        during = read_run(paths).state
        assert during.active_s - before.active_s < 2
        assert abs(during.eta_s - before.eta_s) < 2
        send_command(paths, CommandKind.RESUME)
        wait_for(lambda: read_run(paths).state.done_steps > before.done_steps)
        last, step = (
            next(e for e in events(paths) if e.kind == "step" and e.data["step"] == number)
            for number in (before.done_steps, before.done_steps + 1)
        )
        metrics = step.data["metrics"]
        assert metrics["seconds"] < step.t - last.t - 4, "the pause is in the step's time"
        assert sum(v for k, v in metrics.items() if k.startswith("seconds/")) < metrics["seconds"] + 0.1
        send_command(paths, CommandKind.STOP)
        assert trainer.wait(300) == 3
    finally:
        trainer.kill()
