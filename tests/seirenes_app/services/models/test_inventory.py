"""Models are found where they are, whatever else lies there, and nothing makes the search wait."""

import json
import os
import shutil
import socket
import threading
import time

import numpy as np
import pytest
from helpers.gguf_files import gguf_bytes, model_values
from helpers.model_folders import hub_snapshot, model_folder

from seirenes_app.services.models import inventory
from seirenes_app.services.models.facts import ModelFormat
from seirenes_app.services.models.inventory import ModelSource, add_model_folder, find_entry, find_models
from training.errors import UserError

WEIGHTS = {"token_embd.weight": np.zeros((3, 8)), "output_norm.weight": np.zeros(8)}
WHOLE = gguf_bytes(model_values(), WEIGHTS)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home folder, with nothing of this machine's in it."""
    for variable in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS"):
        monkeypatch.delenv(variable, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.setenv("SEIRENES_DATA", str(home / "data"))
    monkeypatch.setenv("SEIRENES_RUNS", str(home / "runs"))
    return home


def found_in(folder, **options):
    add_model_folder(folder)
    return {e.name: e for e in find_models(sources=[ModelSource.FOLDER], **options)}


def test_the_bundled_model_comes_first_in_both_forms():
    folder, file, *_ = find_models(sources=[ModelSource.BUNDLED])
    assert (folder.id, folder.format, folder.usable) == ("starter", ModelFormat.FOLDER, True)
    assert (file.format, file.files.n_ctx, file.usable) == (ModelFormat.GGUF, 512, True)


def test_checkpoints_of_the_recorded_run_are_named_as_the_verbs_take_them():
    ids = [e.id for e in find_models(sources=[ModelSource.CHECKPOINT])]
    assert ids == ["recorded@80", "recorded@40", "recorded@0"]


def test_models_are_found_at_any_depth_and_other_folders_are_not(tmp_path):
    root = tmp_path / "models"
    model_folder(root / "a" / "b" / "qwen")
    (root / "a" / "small.gguf").write_bytes(WHOLE)
    (root / "project").mkdir()
    (root / "project" / "config.json").write_text('{"name": "no model"}')
    found = found_in(root)
    assert set(found) == {"a/b/qwen", "a/small.gguf"}
    assert all(e.usable for e in found.values())
    assert found["a/b/qwen"].files.quantisation == "BF16"


def test_a_single_file_can_be_added_and_a_text_file_cannot(tmp_path):
    (tmp_path / "one.gguf").write_bytes(WHOLE)
    assert found_in(tmp_path / "one.gguf")["one.gguf"].usable
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UserError, match="not a GGUF file"):
        add_model_folder(tmp_path / "notes.txt")
    with pytest.raises(UserError, match="no such file or folder"):
        add_model_folder(tmp_path / "gone")


def split_model(folder, parts=3, missing=()):
    folder.mkdir(exist_ok=True)
    for n in range(parts):
        values = {"split.count": parts, "split.no": n}
        values = model_values(**values) if n == 0 else {"general.architecture": "qwen3", **values}
        data = gguf_bytes(values, {f"blk.{n}.weight": np.zeros((3, 8))})
        if n not in missing:
            (folder / f"big-{n + 1:05d}-of-{parts:05d}.gguf").write_bytes(data)


def test_a_split_model_is_one_entry_with_the_size_of_all_parts(tmp_path):
    split_model(tmp_path / "m")
    (entry,) = found_in(tmp_path / "m").values()
    assert entry.usable
    assert entry.size_bytes == sum(f.stat().st_size for f in (tmp_path / "m").iterdir())
    assert entry.files.n_params == 72


@pytest.mark.parametrize(
    ("missing", "words"), [((1,), "big-00002-of-00003"), ((0,), "later part"), ((1, 2), "2 of its 3 parts are")]
)
def test_a_split_model_without_a_part_is_listed_and_not_offered(tmp_path, missing, words):
    split_model(tmp_path / "m", missing=missing)
    (entry,) = found_in(tmp_path / "m").values()
    assert not entry.usable
    assert words in entry.problem


def test_what_hangs_a_reader_is_passed_by(tmp_path):
    root = tmp_path / "models"
    root.mkdir()
    os.mkfifo(root / "pipe.gguf")
    os.mkfifo(root / "config.json")
    os.symlink("loop.gguf", root / "loop.gguf")
    (root / "down").mkdir()
    os.symlink(root, root / "down" / "up")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket.gguf"))
        (root / "real.gguf").write_bytes(WHOLE)
        started = time.monotonic()
        assert set(found_in(root)) == {"real.gguf"}
    assert time.monotonic() - started < 30


def test_many_files_cost_little_and_too_many_end_the_search_with_words(tmp_path, monkeypatch):
    root = tmp_path / "models"
    for n in range(20):
        (root / f"{n:02d}").mkdir(parents=True)
        for m in range(100):
            (root / f"{n:02d}" / f"{m}.txt").touch()
    (root / "99").mkdir()
    (root / "99" / "m.gguf").write_bytes(WHOLE)
    assert set(found_in(root)) == {"99/m.gguf"}
    monkeypatch.setattr(inventory, "MAX_SEEN", 500)
    said = []
    assert found_in(root, progress=said.append) == {}
    assert "more than 500 files" in said[-1].problem


def test_a_place_that_does_not_answer_delays_the_others_by_its_limit_only(tmp_path, monkeypatch):
    (tmp_path / "slow").mkdir()
    (tmp_path / "m.gguf").write_bytes(WHOLE)
    release = threading.Event()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("slow"):
            release.wait(60)
        return real(path)

    monkeypatch.setattr(inventory.os, "scandir", scandir)
    monkeypatch.setattr(inventory, "PLACE_LIMIT_S", 2.0)
    add_model_folder(tmp_path / "slow")
    add_model_folder(tmp_path / "m.gguf")
    said, started = [], time.monotonic()
    names = [e.name for e in find_models(sources=[ModelSource.FOLDER], progress=said.append)]
    release.set()
    assert names == ["m.gguf"]
    assert time.monotonic() - started < 30
    assert any("not searched to its end" in s.problem for s in said)


def test_a_cancelled_search_ends(tmp_path):
    (tmp_path / "m.gguf").write_bytes(WHOLE)
    assert found_in(tmp_path / "m.gguf", cancelled=lambda: True) == {}


def test_an_unreadable_folder_is_passed_by(tmp_path):
    root = tmp_path / "models"
    root.mkdir()
    (root / "closed").mkdir()
    (root / "closed").chmod(0)
    (root / "m.gguf").write_bytes(WHOLE)
    try:
        assert set(found_in(root)) == {"m.gguf"}
    finally:
        (root / "closed").chmod(0o700)


# ---------------------------------------------------------------------- what cannot be used


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"general.architecture": "bert"}, "writes no text"),
        ({"general.architecture": "clip", "general.type": "mmproj"}, "writes no text"),
        ({"qwen3.pooling_type": 3}, "makes vectors of texts"),
        ({"general.name": "Qwen3 Embedding 0.6B"}, "makes vectors of texts"),
        ({"general.type": "adapter"}, "an adapter"),
        ({"tokenizer.ggml.tokens": ["a", "b"], "tokenizer.ggml.token_type": [1, 1]}, "tokenizer of another model"),
    ],
)
def test_a_gguf_that_writes_no_text_is_not_offered(tmp_path, values, words):
    (tmp_path / "m.gguf").write_bytes(gguf_bytes(model_values(**values), WEIGHTS))
    (entry,) = found_in(tmp_path / "m.gguf").values()
    assert not entry.usable
    assert words in entry.problem


def pickled(folder):
    model_folder(folder, without=("model.safetensors",))
    (folder / "pytorch_model.bin").write_bytes(b"x")


def adapter(folder):
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "org/big"}))
    (folder / "adapter_model.safetensors").write_bytes(
        (model_folder(folder.parent / ".base") / "model.safetensors").read_bytes()
    )


def shards(folder):
    model_folder(folder, without=("model.safetensors",))
    names = [f"model-{n:05d}-of-00002.safetensors" for n in (1, 2)]
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict(zip("ab", names, strict=True))})
    )
    shutil.copy(model_folder(folder.parent / ".base") / "model.safetensors", folder / names[0])


def cut_short(folder):
    file = model_folder(folder) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (pickled, "pickled weights only"),
        (adapter, "base model, org/big, is not on this machine"),
        (shards, "1 of its 2 weight files is missing: model-00002"),
        (cut_short, "cut short"),
        (lambda f: model_folder(f, without=("model.safetensors",)), "no weights"),
        (lambda f: model_folder(f, without=("tokenizer.json", "tokenizer_config.json")), "no tokenizer"),
        (lambda f: model_folder(f, architectures=["BertModel"]), "writes no text"),
        (lambda f: model_folder(f, is_encoder_decoder=True), "encoder-decoder"),
        (lambda f: model_folder(f, layer_types=["linear_attention"]), "linear_attention"),
        (lambda f: model_folder(f, quantization_config={"quant_method": "awq"}), "quantised with awq"),
        (lambda f: model_folder(f, vocab_size=9), "config.json says 9"),
        (lambda f: (model_folder(f) / "modules.json").write_text("[]"), "makes vectors of texts"),
    ],
)
def test_a_folder_that_cannot_be_used_is_listed_with_the_reason(tmp_path, make, words):
    make(tmp_path / "m")
    (entry,) = found_in(tmp_path / "m").values()
    assert not entry.usable
    assert words in entry.problem
    assert str(tmp_path) not in entry.problem


# ---------------------------------------------------------------------- other programs


def test_the_hub_cache_is_listed_under_hub_ids(home):
    cache = home / ".cache" / "huggingface" / "hub"
    model_folder(hub_snapshot(cache, "org/whole"))
    (hub_snapshot(cache, "org/quants") / "q-Q4_K_M.gguf").write_bytes(WHOLE)
    (cache / "datasets--org--data").mkdir()
    entries = {e.id: e for e in find_models(sources=[ModelSource.HUB_CACHE])}
    assert set(entries) == {"org/whole", "org/quants:Q4_K_M"}
    assert all(e.usable for e in entries.values())


def test_an_incomplete_snapshot_is_said(home):
    cache = home / ".cache" / "huggingface" / "hub"
    snapshot = model_folder(hub_snapshot(cache, "org/half"), without=("model.safetensors",))
    os.symlink("../../blobs/abc", snapshot / "model.safetensors")
    (snapshot.parents[1] / "blobs" / "abc.incomplete").write_bytes(b"x")
    hub_snapshot(cache, "org/config-only").joinpath("README.md").write_text("x")
    entries = {e.id: e for e in find_models(sources=[ModelSource.HUB_CACHE])}
    assert "download is incomplete" in entries["org/half"].problem
    assert "no weights" in entries["org/config-only"].problem


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE"])
def test_the_hub_cache_may_be_elsewhere(tmp_path, monkeypatch, variable):
    place = tmp_path / "elsewhere"
    model_folder(hub_snapshot(place / "hub" if variable == "HF_HOME" else place, "org/m"))
    monkeypatch.setenv(variable, str(place))
    assert [e.id for e in find_models(sources=[ModelSource.HUB_CACHE])] == ["org/m"]


def test_lm_studio_llama_cpp_and_ollama_are_searched_in_place(home):
    for place in (home / ".lmstudio" / "models" / "org" / "repo", home / ".cache" / "llama.cpp"):
        place.mkdir(parents=True)
        (place / "m.gguf").write_bytes(WHOLE)
    ollama = home / ".ollama" / "models"
    manifest = ollama / "manifests" / "registry.ollama.ai" / "library" / "qwen" / "1b"
    manifest.parent.mkdir(parents=True)
    (ollama / "blobs").mkdir()
    (ollama / "blobs" / "sha256-ab").write_bytes(WHOLE)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:ab"}
    manifest.write_text(json.dumps({"layers": [{"mediaType": "other", "digest": "sha256:cd"}, layer]}))
    entries = {e.source: e for e in find_models() if e.source not in (ModelSource.BUNDLED, ModelSource.CHECKPOINT)}
    assert entries[ModelSource.LM_STUDIO].name == "org/repo/m.gguf"
    assert entries[ModelSource.LLAMA_CPP].name == "m.gguf"
    assert entries[ModelSource.OLLAMA].name == "qwen:1b"
    assert all(e.usable for e in entries.values())


def test_a_model_in_two_places_is_listed_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "m.gguf").write_bytes(WHOLE)
    os.symlink(tmp_path / "a" / "m.gguf", tmp_path / "a" / "n.gguf")
    assert len(found_in(tmp_path / "a")) == 1


def test_a_name_that_is_not_there_gets_the_nearest(tmp_path):
    (tmp_path / "smol-135m.gguf").write_bytes(WHOLE)
    found = list(found_in(tmp_path / "smol-135m.gguf").values())
    assert find_entry("smol-135m.gguf", found) is found[0]
    with pytest.raises(UserError, match=r"Did you mean .*smol-135m\.gguf"):
        find_entry("smol-135", found)
    with pytest.raises(UserError, match="models list"):
        find_entry("zzz", found)
