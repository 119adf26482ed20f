"""`seirenes models pull`, `downloads`, `remove`, `login`: as a person calls them, against a hub on loopback."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.hub_server import HubServer
from helpers.keyring_file import BACKEND, file_keyring
from helpers.model_folders import model_folder

from seirenes_app.cli.main import main
from seirenes_app.inference.models import bundled_model
from seirenes_app.services.models import downloads, hub
from seirenes_app.services.run_repository import startable
from seirenes_app.store.resources import starter_folder
from training.errors import UserError
from training.model_names import locate_folder, locate_model
from training.runs.config import ModelConfig, RunConfig

MB = 2**20
WEIGHTS = os.urandom(2 * MB)
FOLDER = {"config.json": "{}", "tokenizer.json": "{}", "model.safetensors": WEIGHTS}
TOKEN = "hf_" + "Secret0123456789" * 2


@pytest.fixture
def server():
    with HubServer() as found:
        yield found


@pytest.fixture(autouse=True)
def machine(server, tmp_path, monkeypatch):
    server.use(monkeypatch, tmp_path, SEIRENES_RUNS=str(tmp_path / "runs"))
    return tmp_path


def start(*arguments):
    command = [sys.executable, "-m", "seirenes_app.cli", "models", *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def call(capsys, monkeypatch):
    """The verb in this process: its exit code, output and errors. A download is a process of its own all the same."""

    def run(*arguments, stdin="", terminal=None):
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin) if terminal is None else _Terminal(terminal))
        capsys.readouterr()
        code = main(["models", *arguments])
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, out, err)

    return run


def put_in_cache(server, name, files):
    """Download it, so that the cache holds it."""
    server.add(name, files)
    hub_id = hub.require_hub_id(name)
    download = downloads.download_id(downloads.plan_download(hub_id).id)
    paths = downloads.DownloadDir(downloads.downloads_folder() / download)
    paths.root.mkdir(parents=True)
    downloads._write_plan(paths, downloads.plan_download(hub_id))
    downloads.run_download(paths.root)
    downloads.cancel_download(download)


# ---------------------------------------------------------------------- pull


def test_ctrl_c_pauses_a_pull_and_says_how_to_resume_it(server, call):
    server.add("org/model", FOLDER)
    server.hang_after = 3 * MB // 2
    pull = start("pull", "org/model")
    deadline = time.monotonic() + 120
    while not any(s.state and s.state.done_bytes > MB / 2 for s in downloads.list_downloads()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pull.send_signal(signal.SIGINT)
    out, err = pull.communicate(timeout=300)
    assert pull.returncode == 3
    assert "Resume it: seirenes models pull org/model --resume" in out
    assert " of 2.0 MB · " in err  # a line of progress, without a terminal
    assert "org/model: 3 files, 2.0 MB" in err
    assert "paused, " in call("downloads").stdout
    server.hang_after = -1
    done = call("pull", "org/model", "--resume", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["path"]) == ("finished", str(locate_folder("org/model")))
    assert server.asked("cdn/org/model")[-1]["range"].startswith("bytes=")
    assert json.loads(call("downloads", "--json").stdout) == []


def test_a_dry_run_and_a_model_that_is_there_load_nothing(server, capsys):
    server.add("org/model", FOLDER)
    assert main(["models", "pull", "org/model", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "2.0 MB  model.safetensors" in out
    assert "licence: apache-2.0" in out
    assert main(["models", "pull", "org/model", "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["files"]["model.safetensors"] == plan["bytes"] - 2 == plan["missing_bytes"] - 2
    assert not server.asked("resolve")
    put_in_cache(server, "org/model", FOLDER)
    before = len(server.asked("resolve"))
    assert main(["models", "pull", "org/model"]) == 0
    assert "is on this machine already" in capsys.readouterr().out
    assert len(server.asked("resolve")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["org/none"], "no model org/none"),
        (["org/model", "--revision", "v9"], "no revision 'v9'"),
        (["org/pickled"], "only pickled weights"),
        (["org/gated"], "Accept it at"),
        (["name"], "is not a hub id"),
        (["https://huggingface.co/datasets/a/b"], "a data set, not a model"),
        (["org/model", "--resume"], "There is no download 'org/model'"),
        (["org/model", "--cancel"], "seirenes models pull org/name"),
    ],
)
def test_a_pull_that_cannot_be_is_a_sentence(server, capsys, arguments, words):
    server.add("org/model", FOLDER)
    server.add("org/pickled", {"config.json": "{}", "pytorch_model.bin": b"x"})
    server.add("org/gated", FOLDER, gated=True)
    assert main(["models", "pull", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_failed_pull_says_why_and_how_to_go_on(server, call):
    server.add("org/model", FOLDER)
    server.corrupt.add("model.safetensors")
    done = call("pull", "org/model")
    assert done.returncode == 2
    assert "model.safetensors arrived damaged" in done.stderr
    assert done.stderr.rstrip().endswith("seirenes models pull org/model --resume")
    assert "Traceback" not in done.stderr
    assert "arrived damaged" in call("downloads").stdout
    assert "is cancelled" in call("pull", "org/model", "--cancel").stdout
    assert not downloads.list_downloads()


# ---------------------------------------------------------------------- remove


def test_remove_asks_says_the_size_and_leaves_a_users_own_folder(server, tmp_path, call):
    put_in_cache(server, "org/model", FOLDER)
    own = model_folder(tmp_path / "own")
    done = call("remove", str(own), "--yes")
    assert done.returncode == 2
    assert "nothing was removed" in done.stderr
    assert own.is_dir()
    assert call("remove", "org/model").returncode == 2  # nobody to ask
    assert call("remove", "org/model", terminal="n\n").returncode == 3
    assert locate_folder("org/model")
    assert "Removed org/model, 2.0 MB" in call("remove", str(locate_folder("org/model")), "--yes").stdout
    done = call("remove", "org/model", "--yes")
    assert done.returncode == 2
    assert "not in the Hugging Face cache" in done.stderr


# ---------------------------------------------------------------------- login


@pytest.fixture
def own_keyring(machine, monkeypatch):
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", BACKEND)
    monkeypatch.setenv("TEST_KEYRING", str(machine / "keyring.json"))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    )
    with file_keyring():
        yield machine / "keyring.json"


def test_a_token_goes_through_stdin_into_the_keyring_and_opens_a_gated_model(server, machine, own_keyring, call):
    server.add("org/gated", FOLDER, gated=True)
    server.tokens[TOKEN] = "ann"
    server.accepted.add(("ann", "org/gated"))
    done = call("login", stdin=f"{TOKEN}\n")
    assert done.returncode == 0, done.stderr
    assert TOKEN in own_keyring.read_text()
    assert "ann (token from the system keyring)" in call("whoami").stdout
    done = call("pull", "org/gated")
    assert done.returncode == 0, done.stderr
    written = [p for p in machine.rglob("*") if p.is_file() and p != own_keyring]
    assert not [p for p in written if TOKEN.encode() in p.read_bytes()]
    assert TOKEN not in done.stdout + done.stderr
    assert "was removed" in call("logout").stdout
    assert TOKEN not in own_keyring.read_text()
    assert json.loads(call("whoami", "--json").stdout) == {"user": None, "token_from": "none", "problem": None}


def test_without_a_keyring_login_names_the_hubs_own_and_that_one_is_used(server, machine, call):
    done = call("login", stdin=f"{TOKEN}\n")
    assert done.returncode == 2
    assert "no keyring" in done.stderr
    assert "hf auth login" in done.stderr
    assert TOKEN not in done.stderr
    server.tokens[TOKEN] = "ann"
    (machine / "hf").mkdir()
    (machine / "hf" / "token").write_text(TOKEN)
    assert "ann (token from the hub's own login)" in call("whoami").stdout


def test_a_locked_keyring_is_said_and_the_hubs_own_login_is_used(server, own_keyring, monkeypatch):
    monkeypatch.setenv("TEST_KEYRING_LOCKED", "1")
    server.tokens[TOKEN] = "ann"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert hub.find_token() == (TOKEN, hub.TokenSource.HUB_LOGIN)
    with pytest.raises(UserError, match="did not take the token") as caught:
        hub.save_token(TOKEN)
    assert TOKEN not in str(caught.value)
    for text in ("", "two words", "a\x07b"):
        with pytest.raises(UserError, match="not a token"):
            hub.save_token(text)


def test_a_token_that_the_hub_refuses_is_a_problem_of_the_status(server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    status = hub.login_status()
    assert status.source is hub.TokenSource.HUB_LOGIN
    assert "did not accept the token" in status.problem


# ---------------------------------------------------------------------- hub ids where a model is named

QUESTION = ["Tom has 3 apples and buys 4 more. How many apples does he have?", "--answer", "7"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "org/none"],
        ["solve", *QUESTION, "--model", "org/none"],
        ["craft", *QUESTION, "--by", "model", "--model", "org/none"],
        ["explain", *QUESTION, "--hint", "Tom also has 5 pears.", "--model", "org/none"],
        ["suite", "make", "s", "--from", "families", "--hints", "model", "org/none"],
        ["export", "org/none", "--to", "gguf"],
        ["train", "demo", "--set", "model.path=org/none"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_hub_id_that_is_not_here_names_its_download_and_starts_nothing(machine, server, capsys, arguments):
    assert main(arguments) == 2
    assert "Download it: seirenes models pull org/none" in " ".join(capsys.readouterr().err.split())
    assert not (machine / "runs").exists()
    assert not server.requests


def test_a_cached_hub_id_is_used_where_a_file_or_folder_is(server, capsys):
    gguf, folder = bundled_model(), starter_folder()
    put_in_cache(server, "org/tiny-GGUF", {"tiny-F16.gguf": gguf.read_bytes()})
    put_in_cache(server, "org/tiny", {p.name: p.read_bytes() for p in folder.glob("*[!f]") if p.is_file()})
    server.close()
    assert main(["solve", *QUESTION, "--model", "org/tiny-GGUF:F16", "-n", "2", "--json"]) == 0
    for name in ("org/tiny", "org/tiny-GGUF:F16", str(locate_model("org/tiny-GGUF"))):
        capsys.readouterr()
        assert main(["models", "show", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["parameters"] > 2_000_000
    assert main(["models", "show", "org/absent"]) == 2
    assert "Download it: seirenes models pull org/absent" in capsys.readouterr().err
    assert main(["eval", "org/tiny-GGUF", "--problems", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target"] == "org/tiny-GGUF:tiny-F16.gguf"
    config = startable(RunConfig(model=ModelConfig(path="org/tiny")))
    assert config.model.path == f"org/tiny@{server.repos['org/tiny'].commit}"
    assert startable(config) == config
    with pytest.raises(UserError, match="GGUF file, and a Hugging Face folder is needed"):
        startable(RunConfig(model=ModelConfig(path="org/tiny-GGUF")))
