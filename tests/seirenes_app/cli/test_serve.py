"""`seirenes serve` as a process: what it prints, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from training.runs.processes import child_environment

PATIENCE_S = 120


@pytest.fixture
def command(tmp_path):
    started = []

    def start(*arguments):
        env = {**child_environment(), "SEIRENES_DATA": str(tmp_path)}
        process = subprocess.Popen(
            [sys.executable, "-m", "seirenes_app.cli", *arguments], env=env, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_it_serves_until_ctrl_c(command, tmp_path):
    process = command("serve", "--port", "0", "--threads", "1", "--alias", "mine", "--json")
    ready = json.loads(process.stdout.readline())
    assert ready["model"] == "mine"
    assert ready["endpoint"] == f"seirenes endpoint add mine {ready['base_url']} --model mine --concurrency 1"
    with urllib.request.urlopen(ready["base_url"] + "/models", timeout=PATIENCE_S) as reply:
        assert [each["id"] for each in json.load(reply)["data"]] == ["mine"]
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(PATIENCE_S) == 130
    assert "Traceback" not in process.stderr.read()
    assert not list((tmp_path / "servers").glob("*.json"))


def test_a_missing_model_is_a_clear_message(command):
    process = command("serve", "no-such-model.gguf", "--port", "0")
    _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "no-such-model.gguf" in error
    assert "Traceback" not in error
