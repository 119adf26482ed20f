"""Facts about the verb, quantising, Hugging Face folders, and inputs that are refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.tiny_models import make_tokenizer, save_adapter, save_model
from safetensors.torch import load_file, save_file
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config

from training.engine.checkpoint import MANIFEST, atomic_folder
from training.engine.models import bundled_starter
from training.engine.torch_local import LocalTorchBackend
from training.errors import UserError
from training.export.gguf_model import export_gguf, export_gguf_lora
from training.export.hf import export_hf, export_lora
from training.export.quantize import quantize_gguf
from training.export.verb import ExportKind, export
from training.runs.paths import ADVERSARY_FOLDER

ROOT = Path(__file__).resolve().parents[3]
CHILD = ROOT / "tests" / "helpers" / "llama_child.py"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """Rows of 256, so that K-quants fit."""
    return save_model(tmp_path_factory.mktemp("m") / "wide", "llama", "llama-3", hidden_size=256, intermediate_size=512)


@pytest.fixture(scope="module")
def run_root(tmp_path_factory):
    """A run's folder with a checkpoint of step 2 tuned whole."""
    return make_run(tmp_path_factory.mktemp("runs") / "demo", bundled_starter(), 2)


def make_run(root, model, step, adversary=None, **options):
    backend = LocalTorchBackend(model, device="cpu", threads=1, **options)
    (root / "checkpoints").mkdir(parents=True)
    with atomic_folder(root / "checkpoints" / f"step_{step:06d}") as folder:
        backend.save_into(folder)
        if adversary is not None:
            shutil.copytree(adversary, folder / ADVERSARY_FOLDER)
    (root / "config.json").write_text('{"name": "demo"}')
    return root


def generate(file, prompts=((5, 6, 7),)):
    request = {"model": str(file), "greedy": [prompts, 6]}
    done = subprocess.run([sys.executable, CHILD], input=json.dumps(request), capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
    return json.loads(done.stdout.splitlines()[-1])["greedy"]


def command(*arguments, cwd, home=ROOT):
    environment = {**os.environ, "PYTHONPATH": str(home), "SEIRENES_RUNS": str(cwd), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-m", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)  # fmt: skip


# ---------------------------------------------------------------------- quantising


@pytest.mark.parametrize(("kind", "main"), [("f16", "F16"), ("q8_0", "Q8_0"), ("q4_k_m", "Q4_K")])
def test_quantised_files_load_and_generate(model_dir, tmp_path, kind, main):
    exact = export_gguf(model_dir, tmp_path / "exact.gguf", dtype="f32")
    made = quantize_gguf(exact, tmp_path / "q.gguf", kind, threads=1)
    assert max(made, key=lambda k: 0 if k == "F32" else made[k]) == main
    assert (tmp_path / "q.gguf").stat().st_size < exact.stat().st_size
    assert len(generate(tmp_path / "q.gguf")[0]) == 6
    assert sorted(f.name for f in tmp_path.iterdir()) == ["exact.gguf", "q.gguf"]


def test_rows_that_256_does_not_divide_are_reported(tmp_path):
    made = quantize_gguf(bundled_starter() / "starter-f16.gguf", tmp_path / "q.gguf", "q4_k_m", threads=1)
    assert not any(kind.startswith("Q4_K") for kind in made)
    assert sum(made.values()) == 46


def test_a_file_cut_short_is_an_error_in_words_and_leaves_nothing(tmp_path):
    whole = (bundled_starter() / "starter-f16.gguf").read_bytes()
    for name, data in (("cut.gguf", whole[:-200_000]), ("text.gguf", b"no model"), ("head.gguf", whole[:5000])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=name):
            quantize_gguf(tmp_path / name, tmp_path / "q.gguf", "q8_0", threads=1)
    with pytest.raises(UserError, match=r"missing\.gguf"):
        quantize_gguf(tmp_path / "missing.gguf", tmp_path / "q.gguf", "q8_0")
    assert not list(tmp_path.glob("*q.gguf*"))


def test_an_abort_of_the_child_is_told_in_words(tmp_path, monkeypatch):
    """A child that really aborts, at the place where llama.cpp would: inside the library's call."""
    folder = tmp_path / "stand"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys, types, os\n"
        "class Found:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'llama_cpp':\n"
        "            print('ggml.c:1: GGML_ASSERT(rows) failed', file=sys.stderr, flush=True)\n"
        "            os.abort()\n"
        "sys.meta_path.insert(0, Found())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    with pytest.raises(UserError, match=r"SIGABRT.*GGML_ASSERT\(rows\) failed"):
        quantize_gguf(bundled_starter() / "starter-f16.gguf", tmp_path / "q.gguf", "q8_0")
    assert not list(tmp_path.glob("*q.gguf*"))


def test_quantising_never_loads_torch():
    code = "import sys, training.export.quantize, llama_cpp; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# ---------------------------------------------------------------------- Hugging Face


def test_a_checkpoint_becomes_a_plain_folder(run_root, tmp_path):
    checkpoint = run_root / "checkpoints" / "step_000002"
    out = export_hf(checkpoint, tmp_path / "hf")
    names = {f.name for f in out.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    assert not names & {"optimizer.pt", "backend.json", "loop.json", MANIFEST}
    assert AutoTokenizer.from_pretrained(out).chat_template
    model = AutoModelForCausalLM.from_pretrained(out)
    assert torch.equal(model.lm_head.weight, model.get_input_embeddings().weight)


def test_a_lora_checkpoint_gives_an_adapter_a_merged_folder_and_ggufs(model_dir, tmp_path):
    root = make_run(tmp_path / "r", model_dir, 4, tuning="lora", lora_rank=2)
    got = {to: export(to, run=root, step=4, out=tmp_path / to, force=False) for to in ExportKind}
    assert (tmp_path / "lora" / "adapter_model.safetensors").is_file()
    assert not (tmp_path / "lora" / "optimizer.pt").exists()
    assert "model.safetensors" in {f.name for f in (tmp_path / "hf").iterdir()}
    assert got[ExportKind.GGUF]["tensors"]["F16"] == 2 + 7 * 2
    assert got[ExportKind.GGUF_LORA]["tensors"] == {"F32": 2 * 7 * 2}
    assert LocalTorchBackend(tmp_path / "lora", device="cpu", threads=1).tuning == "lora"


def test_a_merged_weight_is_rounded_to_the_base_type_once(tmp_path):
    base = save_model(tmp_path / "base", "qwen3", "qwen2")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    model.save_pretrained(base)
    adapter = save_adapter(tmp_path / "a", base)
    out = load_file(export_hf(adapter, tmp_path / "hf") / "model.safetensors")
    name, pair = "model.layers.0.mlp.up_proj.weight", load_file(adapter / "adapter_model.safetensors")
    stem = "base_model.model.model.layers.0.mlp.up_proj.lora_"
    wanted = load_file(base / "model.safetensors")[name].float() + 2 * pair[f"{stem}B.weight"] @ pair[f"{stem}A.weight"]
    assert out[name].dtype is torch.bfloat16
    assert torch.equal(out[name], wanted.to(torch.bfloat16))


# ---------------------------------------------------------------------- the verb


def test_the_command_exports_a_run_and_tells_progress_and_result(run_root, tmp_path):
    done = command("training", "export", "--run", str(run_root), "--step", "2", "--to", "gguf", "--quantize", "q8_0", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["out"] == str(tmp_path / "demo-step_000002-q8_0.gguf")
    assert result["tensors"] == {"F32": 17, "Q8_0": 29}
    assert '{"done": 46, "total": 46}' in done.stderr
    assert [f.name for f in tmp_path.iterdir()] == ["demo-step_000002-q8_0.gguf"]


def test_of_a_run_with_two_models_either_is_exported_and_the_result_says_which(run_root, model_dir, tmp_path):
    root = make_run(tmp_path / "two", bundled_starter(), 2, adversary=model_dir)
    (root / "config.json").write_text('{"adversary": {"model": "starter"}}')
    reasoner, other = (
        export(ExportKind.HF, run=root, out=tmp_path / name, adversary=name == "b") for name in ("a", "b")
    )
    assert (reasoner["roles"], other["roles"]) == (["reasoner"], ["adversary"])
    assert json.loads((tmp_path / "a" / "config.json").read_text())["hidden_size"] == 192
    assert json.loads((tmp_path / "b" / "config.json").read_text())["hidden_size"] == 256
    both = export(ExportKind.HF, run=run_root, out=tmp_path / "c", adversary=True)
    assert both["roles"] == ["reasoner", "adversary"]


def test_an_adversary_that_is_not_trained_is_in_no_checkpoint(tmp_path):
    root = make_run(tmp_path / "frozen", bundled_starter(), 2)
    (root / "config.json").write_text('{"mode": "static", "adversary": {"model": "starter"}}')
    assert export(ExportKind.HF, run=root, out=tmp_path / "a")["roles"] == ["reasoner"]
    with pytest.raises(UserError, match=r"is not trained.* It is starter"):
        export(ExportKind.HF, run=root, out=tmp_path / "b", adversary=True)


def test_the_apps_verb_asks_the_trainers_process(run_root, tmp_path):
    out = tmp_path / "x.gguf"
    first = command(
        "seirenes_app.cli.main", "export", "starter", "--to", "gguf", "--out", str(out), "--json", cwd=tmp_path
    )
    assert json.loads(first.stdout)["tensors"] == {"F16": 29, "F32": 17}, first.stderr
    before = out.read_bytes()
    again = command("seirenes_app.cli.main", "export", str(run_root), "--to", "gguf", "--out", str(out), cwd=tmp_path)
    assert (again.returncode, out.read_bytes()) == (2, before)
    assert again.stderr.strip() == f"seirenes: {out} exists already. Add --force to replace it, or name another place with --out."  # fmt: skip
    forced = command("seirenes_app.cli.main", "export", str(run_root), "--to", "gguf", "--out", str(out), "--force", cwd=tmp_path)  # fmt: skip
    assert forced.returncode == 0
    assert "29 F16, 17 F32" in forced.stdout
    assert out.read_bytes() != before


def test_the_app_loads_no_exporter_to_export():
    code = "import sys, seirenes_app.cli.export; sys.exit(any(m in sys.modules for m in ('torch', 'gguf', 'training.export')))"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(("options", "words"), [
    ({"to": ExportKind.HF, "step": 9}, r"no checkpoint of step 9\. There are: 2\."),
    ({"to": ExportKind.LORA, "step": 2}, "tuned whole"),
    ({"to": ExportKind.GGUF_LORA}, "holds no LoRA adapter"),
    ({"to": ExportKind.HF, "quantize": "q8_0"}, "--to gguf only"),
])  # fmt: skip
def test_requests_that_make_no_sense_are_refused(run_root, tmp_path, options, words):
    with pytest.raises(UserError, match=words):
        export(run=run_root, out=tmp_path / "o", **options)
    assert not list(tmp_path.iterdir())


def test_force_replaces_a_model_but_no_other_folder(run_root, tmp_path):
    out, other = tmp_path / "hf", tmp_path / "letters"
    request = {"to": ExportKind.HF, "run": run_root, "force": True}
    export(**request, out=out)
    export(**request, out=out)
    other.mkdir()
    (other / "dear.txt").write_text("dear")
    with pytest.raises(UserError, match="no exported model"):
        export(**request, out=other)
    assert (other / "dear.txt").read_text() == "dear"
    assert {f.name for f in tmp_path.iterdir()} == {"hf", "letters"}


# ---------------------------------------------------------------------- bad inputs


def change_json(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.fixture
def broken(tmp_path):
    return save_model(tmp_path / "m", "llama", "llama-3")


def refused(folder, words, tmp_path):
    with pytest.raises(UserError, match=words):
        export_gguf(folder, tmp_path / "out.gguf")
    assert not list(tmp_path.glob("*out.gguf*"))


def test_weights_cut_short_or_absent_are_named(broken, tmp_path):
    file = broken / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    refused(broken, r"model\.safetensors is damaged or cut short", tmp_path)
    file.unlink()
    refused(broken, r"model\.safetensors is missing", tmp_path)
    (broken / "pytorch_model.bin").write_bytes(b"")
    refused(broken, "Pickled weights are never opened", tmp_path)


def test_a_missing_shard_is_named(tmp_path):
    folder = save_model(tmp_path / "m", "llama", "llama-3", shard="100KB")
    (folder / sorted(f.name for f in folder.glob("model-*"))[1]).unlink()
    refused(folder, r"model-00002-of-.* is missing", tmp_path)


def test_tensors_that_are_missing_extra_or_of_another_shape_are_named(broken, tmp_path):
    file = broken / "model.safetensors"
    tensors = load_file(file)
    norm = "model.norm.weight"
    save_file({k: v for k, v in tensors.items() if k != norm}, file)
    refused(broken, norm, tmp_path)
    save_file({**tensors, norm: torch.ones(3)}, file)
    refused(broken, r"model\.norm\.weight .*\[3\].*\[64\]", tmp_path)
    save_file({**tensors, "model.extra": torch.ones(3)}, file)
    refused(broken, r"model\.extra", tmp_path)
    save_file({**tensors, "lm_head.weight": tensors["lm_head.weight"] * 1e6}, file)
    refused(broken, "too large for F16", tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    root = make_run(tmp_path / "r", bundled_starter(), 1)
    (root / "checkpoints" / "step_000001" / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"tokenizer\.json is cut short"):
        export(ExportKind.HF, run=root, step=1, out=tmp_path / "o")


def test_another_architecture_names_the_supported_ones(broken, tmp_path):
    GPT2Config(n_layer=1, n_embd=8, n_head=2).save_pretrained(broken)
    refused(broken, "'gpt2'.*llama, qwen2, qwen3", tmp_path)
    (broken / "config.json").write_text('{"model_type": "nothing-known"}')
    refused(broken, "Supported architectures: llama, qwen2, qwen3", tmp_path)


@pytest.mark.parametrize(("changes", "words"), [
    ({"hidden_act": "gelu"}, "hidden_act"),
    ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "rope_type 'dynamic'"),
    ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0, "beta_fast": 16.0}}, "beta_fast"),
    ({"vocab_size": 300}, "vocab_size = 300|shape"),
])  # fmt: skip
def test_options_that_llama_cpp_would_ignore_are_refused(broken, tmp_path, changes, words):
    change_json(broken / "config.json", **changes)
    refused(broken, words, tmp_path)


def test_a_tokenizer_that_no_name_in_llama_cpp_fits_is_refused(broken, tmp_path):
    fast = make_tokenizer("gpt-2")
    fast.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast.save_pretrained(broken)
    refused(broken, "pre-tokenizer is Whitespace.*Supported: byte-level BPE", tmp_path)
    (broken / "tokenizer.json").unlink()
    (broken / "tokenizer_config.json").unlink()
    refused(broken, "holds no tokenizer", tmp_path)


@pytest.mark.parametrize(("options", "words"), [
    ({"use_dora": True}, "use_dora"),
    ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
    ({"target_modules": ["embed_tokens", "q_proj"]}, "no pair of LoRA matrices"),
])  # fmt: skip
def test_adapters_that_are_more_than_lora_are_refused(broken, tmp_path, options, words):
    adapter = save_adapter(tmp_path / "a", broken, **options)
    for write in (export_gguf_lora, export_gguf, export_hf, export_lora):
        with pytest.raises(UserError, match=words):
            write(adapter, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_an_adapter_whose_base_is_gone_or_another_says_so(broken, tmp_path):
    adapter = save_adapter(tmp_path / "a", broken)
    change_json(adapter / "adapter_config.json", base_model_name_or_path=str(bundled_starter()))
    for write in (export_gguf_lora, export_gguf):
        with pytest.raises(UserError, match="base_model_name_or_path"):
            write(adapter, tmp_path / "out")
    change_json(adapter / "adapter_config.json", base_model_name_or_path=str(tmp_path / "gone"))
    with pytest.raises(UserError, match="gone"):
        export_gguf_lora(adapter, tmp_path / "out")
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"adapter_model\.safetensors"):
        export_lora(adapter, tmp_path / "out")
