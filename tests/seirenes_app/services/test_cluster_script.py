"""Scripts for schedulers are whole: they parse, and what they start gets the configuration they were made of."""

import json
import os
import subprocess
from dataclasses import replace

import pytest
import yaml

from seirenes_app.cli.main import main
from seirenes_app.services.cluster import Cluster
from seirenes_app.services.cluster_script import Resources, ScriptKind, make_script
from training.runs.config import EngineConfig, EngineKind, RunConfig, from_dict, load_config

CONFIG = RunConfig(name="it's $HOME `x`\n# y", steps=7)


@pytest.fixture
def stub(tmp_path):
    """Commands `seirenes` and `ray` that write their arguments, one a line, into a file."""
    said = tmp_path / "said"
    for name in ("seirenes", "ray"):
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f'#!/bin/bash\nprintf "%s\\n" {name} "$@" >> {said}\n')
        command.chmod(0o755)

    def run(script):
        environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path),
                       "SLURM_SUBMIT_DIR": str(tmp_path)}  # fmt: skip
        subprocess.run(["bash", "-c", script], check=True, env=environment, timeout=300)
        return said.read_text().split("\n")

    return run


def test_a_slurm_script_parses_and_starts_the_run_with_its_configuration(stub, tmp_path):
    text = make_script(CONFIG, ScriptKind.SLURM, Resources(gpus=2, hours=4))
    subprocess.run(["bash", "-n"], input=text.encode(), check=True)
    assert "#SBATCH --gres=gpu:2" in text
    assert "#SBATCH --time=4:00:00" in text
    said = stub(text)
    assert said[:2] == ["seirenes", "train"]
    assert load_config(tmp_path / said[2]) == CONFIG


def test_submitted_again_it_resumes(stub, tmp_path):
    text = make_script(CONFIG, ScriptKind.SLURM, Resources())
    run = next((tmp_path / "runs").glob("*"), None) or (tmp_path / "runs" / "it-s-HOME-x-y")
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    assert stub(text)[:3] == ["seirenes", "resume", str(run)]


def test_a_skypilot_task_parses_and_starts_the_run_with_its_configuration(stub, tmp_path):
    task = yaml.safe_load(make_script(CONFIG, ScriptKind.SKYPILOT, Resources(gpus=8, accelerator="H100")))
    assert task["resources"] == {"accelerators": "H100:8", "cpus": "8+"}
    subprocess.run(["bash", "-n"], input=task["setup"].encode(), check=True)
    said = stub(task["run"])
    assert said[:2] == ["seirenes", "train"]
    assert load_config(tmp_path / said[2]) == CONFIG


def test_a_ray_script_submits_what_the_command_submits(stub):
    lab = Cluster("lab", "http://host:8265", "env A=1 '/opt/my env/python'", "/shared/runs")
    text = make_script(CONFIG, ScriptKind.RAY, Resources(), lab)
    subprocess.run(["bash", "-n"], input=text.encode(), check=True)
    said = stub(text)
    assert said[said.index("--address") + 1] == "http://host:8265"
    environment = json.loads(said[said.index("--runtime-env-json") + 1])["env_vars"]
    assert from_dict(json.loads(environment["SEIRENES_JOB_CONFIG"]), "") == CONFIG
    entry = said[said.index("--") + 1 :]
    assert entry[:6] == ["env", "A=1", "/opt/my env/python", "-m", "training.cluster_job", "run"]
    assert entry[7:9] == ["--root", "/shared/runs"]


def test_an_engine_on_the_same_node_is_started_before_the_run(stub):
    engine = EngineConfig(backend=EngineKind.TINKER, url="http://127.0.0.1:8123")
    text = make_script(replace(CONFIG, engine=engine), ScriptKind.SLURM, Resources(gpus=4))
    said = stub(text)
    assert said[:6] == ["seirenes", "engine", "start", "starter", "--port", "8123"]
    assert said[-4:-1] == ["engine", "stop", "8123"]
    elsewhere = replace(engine, url="http://trainer:8000")
    assert "engine start" not in make_script(replace(CONFIG, engine=elsewhere), ScriptKind.SLURM, Resources())


def test_the_command_writes_a_script_and_does_not_replace_a_file(tmp_path, capsys):
    file = tmp_path / "run.sh"
    assert main(["cluster", "script", "demo", "--for", "slurm", "-o", str(file)]) == 0
    assert "sbatch" in file.read_text()
    assert main(["cluster", "script", "demo", "--for", "ray", "-o", str(file)]) == 2
    assert main(["cluster", "script", "demo", "--for", "skypilot"]) == 0
    assert "resources:" in capsys.readouterr().out
