"""A whole study in real processes with the bundled model: killed in the middle, run again, read."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from seirenes_app.services.study.definition import StudyDir
from seirenes_app.services.study.execution import PartStatus, StudyWatch
from training.runs.lock import holder
from training.runs.paths import RunPaths
from training.runs.processes import FORCE, StopEscalation

ROOT = Path(__file__).resolve().parents[2]
DEFINITION = """
config = "quick"
modes = ["seirenes", "random"]
seeds = [0, 1]
rollouts = 50
problems = 8
equal_time = false
set = ["rollout.questions=4", "rollout.clean=2", "rollout.hints=2", "rollout.hinted=2", "evaluation.problems=4",
  "evaluation.every=0", "checkpoint.every=0", "model.threads=1", "data.pool=16"]
"""


STOP_ITSELF = """
import os, signal, sys

def stop_once(event, arguments):
    if event == "sqlite3.connect" and "rollouts.db" in str(arguments[0]):
        try:
            os.unlink({gate!r})
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGSTOP)

sys.addaudithook(stop_once)
"""
"""The first process that opens a rollout database stops itself, before it has played: it cannot end too early."""


def command(*arguments):
    return [sys.executable, "-m", "seirenes_app.cli.main", "study", *arguments]


@pytest.fixture
def env(tmp_path):
    folders = {"SEIRENES_RUNS": str(tmp_path / "runs"), "SEIRENES_DATA": str(tmp_path / "data")}
    return {**os.environ, **folders, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def test_a_study_that_is_killed_goes_on_and_its_table_says_what_was_shown(env, tmp_path):
    def call(*arguments):
        done = subprocess.run(command(*arguments), env=env, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        return done

    file = tmp_path / "small.toml"
    file.write_text(DEFINITION)
    made = json.loads(call("new", str(file), "--json").stdout)
    assert made["parts"] == 5
    plan = json.loads(call("run", "small", "--dry-run", "--json").stdout)
    assert plan["seconds_left"] == pytest.approx(sum(p["seconds"] for p in plan["parts"]), abs=1)

    paths, first = StudyDir(Path(made["root"])), RunPaths(tmp_path / "runs" / "small-seirenes-0")
    gate = tmp_path / "gate"
    gate.touch()
    (tmp_path / "sitecustomize.py").write_text(STOP_ITSELF.format(gate=str(gate)))
    env["PYTHONPATH"] = os.pathsep.join((env["PYTHONPATH"], str(tmp_path)))
    pid = json.loads(call("run", "small", "--detach", "--json").stdout)["pid"]
    wait_for(lambda: holder(first.lock) is not None)
    trainer = psutil.Process(holder(first.lock).pid)
    try:
        wait_for(lambda: trainer.status() == psutil.STATUS_STOPPED)
        os.kill(pid, signal.SIGKILL)
        # The run outlives the study, and the next launch finds it again.
        wait_for(lambda: holder(paths.lock) is None)
        assert trainer.is_running()
        assert StudyWatch(paths).poll().of("run/seirenes/0").status is PartStatus.RUNNING
    finally:
        trainer.resume()

    done = call("run", "small", "--json")
    assert "parts · training" in done.stderr
    found = json.loads(done.stdout)
    assert found["status"] == "finished"
    assert {r["status"] for r in found["runs"]} == {"finished"}
    assert all(r["rollouts"] >= 50 for r in found["runs"])
    measured = {(f["variant"], f["measure"]): f for f in found["figures"] if f["basis"] == "rollouts"}
    assert measured["seirenes", "pool"]["seeds"] == 2
    assert measured["random", "clean"]["problems"] == 8
    assert found["conclusions"]
    # They are in the order of all evaluations, which is that of the time in their names.
    assert all(f.name.startswith("20") for f in (tmp_path / "data" / "evaluations").iterdir())
    shown = call("show", "small", "--parts", "--by-seed", "--all", "--csv", str(tmp_path / "f.csv")).stdout
    assert "Under the pool" in shown
    assert (tmp_path / "f.csv").read_text().startswith("rollouts,basis,variant,measure,seed,mean")
    runs = subprocess.run(
        [sys.executable, "-m", "seirenes_app.cli.main", "runs", "--json"], env=env, capture_output=True, text=True
    )  # fmt: skip
    assert {tuple(r["tags"]) for r in json.loads(runs.stdout)} == {("small",)}


def test_a_new_adversary_is_trained_against_a_frozen_reasoner_and_measures_it(env, tmp_path):
    file = tmp_path / "small.toml"
    text = DEFINITION.replace('"seirenes", "random"', '"seirenes"').replace("[0, 1]", "[0]")
    file.write_text(text + "[best_response]\nrollouts = 30\n")
    subprocess.run(command("new", str(file)), env=env, check=True, capture_output=True, timeout=300)

    def go_on():
        done = subprocess.run(command("run", "small", "--json"), env=env, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    found = go_on()
    measured = {f["variant"]: f for f in found["figures"] if f["measure"] == "exploitability"}
    assert set(measured) == {"start", "seirenes"}
    assert "best response to seirenes, seed 0" in found["gate_pass_rates"]
    reasoner = tmp_path / "runs" / "small-seirenes-0" / "checkpoints"
    config = json.loads((tmp_path / "runs" / "small-response-seirenes-0" / "config.json").read_text())
    assert Path(config["model"]["path"]).parent == reasoner
    assert (config["reasoner"]["train"], config["adversary"]["model"]) == (False, "starter")

    # The run goes on where it ended, and a further Adversary is trained against what it becomes.
    ended = max(reasoner.iterdir())
    weights = (ended / "model.safetensors").read_bytes()
    subprocess.run(
        command("extend", "small", "--rollouts", "400"), env=env, check=True, capture_output=True, timeout=300
    )
    longer = go_on()
    (run,) = longer["runs"]
    assert run["rollouts"] >= 400
    assert (ended / "model.safetensors").read_bytes() == weights
    assert max(reasoner.iterdir()) > ended
    (earlier,) = longer["earlier"]
    assert (earlier["rollouts"], earlier["figures"]) == (50, found["figures"])
    after = json.loads((tmp_path / "runs" / "small-response-seirenes-0-after-400" / "config.json").read_text())
    assert Path(after["model"]["path"]) == max(reasoner.iterdir())
    assert {f["variant"] for f in longer["figures"] if f["measure"] == "exploitability"} == {"start", "seirenes"}


def test_a_stopped_study_stops_what_it_is_running(env, tmp_path):
    file = tmp_path / "small.toml"
    file.write_text(DEFINITION.replace("rollouts = 50", "rollouts = 5000000"))
    subprocess.run(command("new", str(file)), env=env, check=True, capture_output=True, timeout=300)
    subprocess.run(command("run", "small", "--detach"), env=env, check=True, capture_output=True, timeout=300)
    paths, run = StudyDir(tmp_path / "data" / "studies" / "small"), RunPaths(tmp_path / "runs" / "small-seirenes-0")
    wait_for(lambda: holder(run.lock) is not None)
    assert StopEscalation(paths, replace(FORCE, terminate_s=200.0, kill_s=250.0, give_up_s=290.0)).run()
    wait_for(lambda: holder(run.lock) is None)
    state = StudyWatch(paths).poll()
    assert state.status == "stopped"
    assert state.of("run/seirenes/0").status is PartStatus.STOPPED
