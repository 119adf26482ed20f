"""Whatever a model's files hold, they are described or refused with words: no other exception comes out."""

import contextlib
import json

import pytest
from helpers.model_folders import CONFIG, TOKENIZER, model_folder, safetensors_bytes
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.inference.safetensors_header import read_safetensors
from seirenes_app.services.models.facts import describe_model, is_model_folder, read_files
from seirenes_app.services.models.inventory import find_entry, find_models
from training.errors import UserError

WHOLE = safetensors_bytes({"model.embed_tokens.weight": [3, 8], "model.norm.weight": [8]})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.sampled_from(["\0", "x" * 5000, "../..", "/"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
KEYS = [*CONFIG, "text_config", "quantization_config", "layer_types", "is_encoder_decoder", "head_dim", "torch_dtype"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("odd") / "m")


@contextlib.contextmanager
def with_file(folder, name, text):
    """The file with another content, as it was afterwards."""
    before = (folder / name).read_bytes() if (folder / name).exists() else None
    (folder / name).write_text(text, encoding="utf-8", errors="replace")
    try:
        yield
    finally:
        (folder / name).unlink() if before is None else (folder / name).write_bytes(before)


def described(folder):
    is_model_folder(folder)
    with contextlib.suppress(UserError):
        describe_model(folder)


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4))
def test_any_config_is_described_or_refused(folder, values):
    with with_file(folder, "config.json", json.dumps({**CONFIG, **values})):
        described(folder)


@given(st.sampled_from(["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
                        "model.safetensors.index.json", "README.md", "adapter_config.json"]),
       JSON.map(json.dumps) | st.text(max_size=40) | st.just("[" * 5000))  # fmt: skip
def test_any_content_of_any_file_is_described_or_refused(folder, name, text):
    with with_file(folder, name, text):
        described(folder)


@given(st.fixed_dictionaries({"weight_map": st.dictionaries(st.text(max_size=5), JSON, max_size=3)}))
def test_any_index_is_described_or_refused(folder, values):
    with with_file(folder, "model.safetensors.index.json", json.dumps(values)):
        described(folder)


@given(st.fixed_dictionaries({"peft_type": JSON | st.just("LORA"), "base_model_name_or_path": JSON}))
def test_any_adapter_is_described_or_refused(folder, values):
    with with_file(folder, "adapter_config.json", json.dumps(values)):
        described(folder)


@given(st.fixed_dictionaries({"model": JSON, "added_tokens": JSON}) | st.just(TOKENIZER))
def test_any_tokenizer_is_described_or_refused(folder, values):
    with with_file(folder, "tokenizer.json", json.dumps(values)):
        described(folder)


@given(st.integers(0, len(WHOLE) - 1))
def test_every_truncation_of_weights_is_refused_with_the_files_name(folder, length):
    (folder / "cut.bin").write_bytes(WHOLE[:length])
    with pytest.raises(UserError, match=r"cut\.bin"):
        read_safetensors(folder / "cut.bin")


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=5))
def test_changed_bytes_of_weights_are_read_or_refused(folder, changes):
    data = bytearray(WHOLE)
    for at, byte in changes:
        data[at] = byte
    (folder / "changed.bin").write_bytes(data)
    with contextlib.suppress(UserError):
        assert read_safetensors(folder / "changed.bin").n_params >= 0


@given(st.text(max_size=30))
def test_any_name_is_found_or_refused(name):
    with contextlib.suppress(UserError):
        find_entry(name, [])
    with contextlib.suppress(UserError):
        read_files(__import__("pathlib").Path(name.replace("\0", "")) / "no-such-model")


def test_a_broken_model_does_not_end_a_search(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    from seirenes_app.services.models.inventory import ModelSource, add_model_folder

    model_folder(tmp_path / "models" / "good")
    (model_folder(tmp_path / "models" / "bad") / "config.json").write_text('{"model_type": "x", "architectures": 5}')
    add_model_folder(tmp_path / "models")
    found = {e.name: e.usable for e in find_models(sources=[ModelSource.FOLDER])}
    assert found["good"]
    assert "bad" in found
