"""Whatever a model's name leads to, every verb answers at once with a sentence: no traceback, and nothing waits."""

import os
import shutil
import signal
import socket
from contextlib import contextmanager

import numpy as np
import pytest
from helpers.gguf_files import gguf_bytes, model_values
from helpers.model_folders import model_folder

from seirenes_app.cli.main import main
from seirenes_app.store.resources import starter_folder

QUESTION = ["Tom has 5 apples and buys 7 more. How many apples does Tom have?", "--answer", "12"]
VERBS = {
    "eval": lambda model: ["eval", model, "--problems", "1"],
    "solve": lambda model: ["solve", *QUESTION, "--model", model],
    "craft": lambda model: ["craft", *QUESTION, "--by", "model", "--model", model],
    "explain": lambda model: ["explain", *QUESTION, "--hint", "It is late.", "--model", model],
    "train": lambda model: ["train", "quick", "--set", f"model.path={model}"],
    "show": lambda model: ["models", "show", model],
    "test": lambda model: ["models", "test", model],
    "convert": lambda model: ["models", "convert", model],
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for variable in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def within(seconds):
    """Fail what takes longer, also where it waits in a system call."""

    def fail(*_):
        raise TimeoutError(f"nothing came within {seconds} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def pipe(home):
    os.mkfifo(home / "pipe.gguf")
    return "pipe.gguf"


def bare_pipe(home):
    os.mkfifo(home / "pipe")
    return "pipe"


def loop(home):
    os.symlink("loop.gguf", home / "loop.gguf")
    return "loop.gguf"


def loop_of_folders(home):
    os.symlink("around", home / "around")
    return "around/model.gguf"


def bare_loop(home):
    os.symlink("around", home / "around")
    return "around"


def unix_socket(home):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.gguf")
    return "socket.gguf"


def first_part_alone(home):
    data = gguf_bytes(model_values(**{"split.count": 2, "split.no": 0}), {"token_embd.weight": np.zeros((3, 8))})
    (home / "m-00001-of-00002.gguf").write_bytes(data)
    return "m-00001-of-00002.gguf"


def embedding(home):
    values = model_values(**{"qwen3.pooling_type": 3})
    (home / "m.gguf").write_bytes(gguf_bytes(values, {"token_embd.weight": np.zeros((3, 8))}))
    return "m.gguf"


def other_tokenizer(home):
    values = model_values(**{"tokenizer.ggml.tokens": ["a", "b"], "tokenizer.ggml.token_type": [1, 1]})
    (home / "m.gguf").write_bytes(gguf_bytes(values, {"token_embd.weight": np.zeros((3, 8))}))
    return "m.gguf"


def folder_with_a_pipe(home):
    shutil.copytree(starter_folder(), home / "odd")
    (home / "odd" / "config.json").unlink()
    os.mkfifo(home / "odd" / "config.json")
    return "odd"


def unknown_home(_home):
    return "~nobody-of-that-name/m.gguf"


FILES = [pipe, bare_pipe, loop, loop_of_folders, bare_loop, unix_socket, first_part_alone, embedding,
         other_tokenizer, folder_with_a_pipe, unknown_home]  # fmt: skip


@pytest.mark.parametrize("make", FILES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_it_with_a_sentence(home, capfd, verb, make):
    name = make(home)
    with within(120):
        code = main(VERBS[verb](name))
    out, err = capfd.readouterr()
    assert code == 2, out + err
    assert "Traceback" not in err
    assert name.split("/")[0] in out + err
    assert not (home / "runs").exists()
    assert not list((home / "data").glob("evaluations/*"))


def test_a_pipe_in_place_of_the_weights_is_refused(home, capfd):
    folder = model_folder(home / "m", without=("model.safetensors",))
    os.mkfifo(folder / "model.safetensors")
    with within(120):
        assert main(["models", "show", "m"]) == 2
        assert main(["eval", "m", "--problems", "1"]) == 2
    assert "Traceback" not in capfd.readouterr().err
