"""`seirenes models`: what is printed, as text and as JSON, and the exit codes."""

import json

import numpy as np
import pytest
from helpers.gguf_files import gguf_bytes, model_values

from seirenes_app.cli.main import main


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for variable in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "runs"))
    return tmp_path


def test_models_are_listed_and_unusable_ones_only_on_request(home, capsys):
    (home / "models").mkdir()
    (home / "models" / "vectors.gguf").write_bytes(
        gguf_bytes(model_values(**{"qwen3.pooling_type": 1}), {"token_embd.weight": np.zeros((3, 8))})
    )
    assert main(["models", "list", "--add", str(home / "models")]) == 0
    text = capsys.readouterr().out
    assert "starter" in text
    assert "vectors.gguf" not in text
    assert "1 more model cannot be used" in text
    assert main(["models", "list", "--all", "--json"]) == 0
    listed = {m["name"]: m for m in json.loads(capsys.readouterr().out)}
    assert listed["Bundled reasoner"]["usable"]
    assert "makes vectors" in listed["vectors.gguf"]["problem"]


def test_all_facts_of_a_model_are_shown(capsys):
    assert main(["models", "show", "starter", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["architecture"], found["parameters"], found["licence"]) == ("qwen3", 2066368, "apache-2.0")
    assert found["fits"]["inference"]["level"] == "yes"
    assert main(["models", "show", "starter"]) == 0
    assert "To train" in capsys.readouterr().out


def test_a_wrong_name_gets_the_nearest_and_a_broken_model_its_reason(home, capsys):
    assert main(["models", "show", "startr"]) == 2
    assert "Did you mean starter" in capsys.readouterr().err
    (home / "m.gguf").write_bytes(b"GGUF")
    assert main(["models", "show", str(home / "m.gguf")]) == 2
    assert "no: The file is damaged" in capsys.readouterr().out


def test_a_model_is_tried_out(capsys):
    path = json.loads(_json(capsys, "models", "list", "--json"))[1]["path"]
    found = json.loads(_json(capsys, "models", "test", path, "--json"))
    assert len(found["rows"]) == 10
    assert found["rows"][0]["tier"] == "marker"
    assert main(["models", "test", "starter", "--max-tokens", "-1"]) == 2


def _json(capsys, *arguments):
    assert main(list(arguments)) == 0
    return capsys.readouterr().out
