"""Facts about the training server of this machine: what it is started with, and the errors before that. The server
itself is tried by `tests/bench/bench_tinker.py`."""

import io
import json
import os
import socket
import subprocess
import sys
import time

import msgspec
import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from seirenes_app.cli.main import main
from seirenes_app.services import engine_server
from seirenes_app.services.engine_server import (
    Backend,
    EngineRecord,
    EngineRequest,
    backend_settings,
    choose_memory_share,
    find_engine,
    running_engines,
    start_engine,
    stop_engine,
)
from tests.helpers import keyring_file
from training.endpoints import server_key
from training.engine_probe import refused_key
from training.errors import UserError
from training.resources import resources_folder
from training.runs.config import EngineKind, check_engine, from_dict


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(engine_server, "gpu_memory", lambda: ())
    (tmp_path / "data/engines").mkdir(parents=True)
    return tmp_path / "data/engines"


@pytest.fixture
def record(data):
    """A server that runs: its place is taken by a process that sleeps."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    made = EngineRecord(child.pid, psutil.Process(child.pid).create_time(), 8123, "/m/starter", "/m/starter-float32",
                        Backend.JAX, time.time())  # fmt: skip
    (data / "engine-8123.json").write_bytes(msgspec.json.encode(made))
    yield made
    child.kill()
    child.wait()


def test_a_server_that_is_away_is_named_before_a_run_is_made(tmp_path, capsys):
    config = tmp_path / "away.toml"
    config.write_text('[model]\ntuning = "lora"\n[engine]\nbackend = "tinker"\nurl = "http://127.0.0.1:1"\n'
                      'accept = "update.max_grad_norm"\n')  # fmt: skip
    assert main(["train", str(config), "--run-dir", str(tmp_path / "run")]) != 0
    assert "http://127.0.0.1:1 cannot be reached. Check engine.url" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_key_of_a_server_is_kept_under_the_address_that_a_run_names(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "keyring.json"))
    with keyring_file.file_keyring():
        monkeypatch.setattr(sys, "stdin", io.StringIO("tml-secret\n"))
        assert main(["engine", "key", "http://host:8123/"]) == 0
        assert server_key("http://host:8123") == "tml-secret"
        # A message about the key names this command.
        assert "Save its key: seirenes engine key http://host:8123" in str(refused_key("http://host:8123", 401))
        assert main(["engine", "key", "http://host:8123", "--remove"]) == 0
        assert server_key("http://host:8123") is None
    assert "tml-secret" not in capsys.readouterr().out
    assert main(["engine", "key", "nowhere"]) == 2
    assert "engine.url" in capsys.readouterr().err


def test_the_printed_table_is_one_that_a_run_takes(record):
    import tomllib

    table = tomllib.loads(record.table)
    config = from_dict(table | {"model": {"tuning": "lora"}}, "test")
    check_engine(config)
    assert (config.engine.backend, config.engine.url) == (EngineKind.TINKER, "http://127.0.0.1:8123")
    assert config.engine.base_model == "/m/starter-float32"


def test_a_running_server_is_found_and_stopped(record, capsys):
    assert running_engines() == [record]
    assert find_engine(None) == find_engine(8123) == record
    with pytest.raises(UserError, match="8123"):
        find_engine(9)
    assert main(["engine", "status"]) == 0
    assert "8123" in capsys.readouterr().out
    stop_engine(record)
    assert running_engines() == []
    with pytest.raises(UserError, match="seirenes engine start"):
        find_engine(None)


@pytest.mark.skipif(not hasattr(os, "getsid"), reason="there are no sessions of processes here")
def test_a_server_whose_first_process_was_killed_is_stopped(data):
    script = "import subprocess as s, sys; c = s.Popen(['sleep', '60']); print(c.pid, flush=True); c.wait()"
    first = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    second = psutil.Process(int(first.stdout.readline()))
    born = psutil.Process(first.pid).create_time()
    made = EngineRecord(first.pid, born, 8124, "m", "m", Backend.JAX, time.time())
    (data / "engine-8124.json").write_bytes(msgspec.json.encode(made))
    first.kill()
    first.wait()
    assert running_engines() == [made]
    stop_engine(made)
    assert not second.is_running() or second.status() == psutil.STATUS_ZOMBIE
    assert running_engines() == []


def test_the_record_of_a_server_that_is_gone_is_removed(data):
    gone = EngineRecord(os.getpid(), 1.0, 9000, "m", "m", Backend.JAX, 1.0)
    (data / "engine-9000.json").write_bytes(msgspec.json.encode(gone))
    (data / "engine-9001.json").write_text("{")
    assert running_engines() == []
    assert not (data / "engine-9000.json").exists()


def test_a_second_server_on_a_port_is_refused(record):
    with pytest.raises(UserError, match="engine stop 8123"):
        start_engine(EngineRequest())


def test_a_port_of_another_program_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="taken by another program"):
            start_engine(EngineRequest(port=taken.getsockname()[1]))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--backend", "fsdp"], "GPU"),
        (["no/such-model"], "such-model"),
        (["--port", "0"], "port"),
        (["--set", "nothing"], "KEY=VALUE"),
        (["--memory-share", "2"], "0.05 to 0.95"),
    ],
)
def test_what_cannot_be_started_is_said_before_anything_is_downloaded(arguments, word, data, capsys):
    assert main(["engine", "start", *arguments]) == 2
    assert word in capsys.readouterr().err
    assert not list(data.glob("skyrl-*"))


def test_a_set_up_that_fails_leaves_nothing_that_counts_as_complete(monkeypatch, data):
    def fail(command, place):
        place.mkdir(parents=True, exist_ok=True)
        raise UserError(f"{command[0]} failed")

    monkeypatch.setattr(engine_server, "_run", fail)
    for _ in range(2):
        with pytest.raises(UserError, match="failed"):
            engine_server.set_up(Backend.JAX, lambda _text: None)


def test_settings_of_the_backend_can_be_overridden():
    jax = backend_settings(EngineRequest(rank=8, settings={"sample_max_num_sequences": 128}), Backend.JAX, 0.0)
    assert jax["max_lora_rank"] == 8
    assert jax["sample_max_num_sequences"] == 128
    fsdp = backend_settings(EngineRequest(gpus=2), Backend.FSDP, 0.6)
    assert fsdp["generator.inference_engine.gpu_memory_utilization"] == 0.6
    assert fsdp["trainer.placement.policy_num_gpus_per_node"] == 2


def test_the_memory_share_leaves_room_for_training():
    card = 24 << 30
    small, large = (choose_memory_share(n, n // 100, card) for n in (600_000_000, 4_000_000_000))
    assert 0.2 <= large < small <= 0.9
    with pytest.raises(UserError, match="--gpus"):
        choose_memory_share(8_000_000_000, 80_000_000, card)


def test_a_float16_model_is_served_in_float32_on_a_cpu(data):
    starter = resources_folder() / "starter"
    copy = engine_server._servable(starter, Backend.JAX, lambda _text: None)
    assert json.loads((copy / "config.json").read_text())["dtype"] == "float32"
    old, new = (load_file(next(f.glob("*.safetensors"))) for f in (starter, copy))
    assert all(w.dtype == np.float32 and np.array_equal(w, old[name].astype(np.float32)) for name, w in new.items())
    before = copy.stat().st_mtime_ns
    assert engine_server._servable(starter, Backend.JAX, lambda _text: None) == copy
    assert copy.stat().st_mtime_ns == before
    assert engine_server._servable(starter, Backend.FSDP, lambda _text: None) == starter
