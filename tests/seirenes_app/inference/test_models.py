"""Facts about model files: what a header tells, and that no damaged file gets past it."""

import contextlib
import struct

import numpy as np
import pytest
from helpers.gguf_files import gguf_bytes, model_values, write_adapter
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.inference.gguf_header import read_header
from seirenes_app.inference.models import check_adapter, describe_gguf
from training.errors import UserError

WEIGHTS = {"token_embd.weight": np.zeros((3, 8)), "output_norm.weight": np.zeros(8)}
WHOLE = gguf_bytes(model_values(), WEIGHTS)


def written(folder, data):
    path = folder / "m.gguf"
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gguf")


def test_the_bundled_model_is_described(model):
    facts = describe_gguf(model)
    assert (facts.architecture, facts.quantisation, facts.n_ctx_train, facts.n_vocab) == ("qwen3", "F16", 512, 1536)
    assert facts.n_params == 2_066_368
    assert facts.size_bytes == model.stat().st_size
    assert facts.has_chat_template


def test_a_header_is_read_as_it_was_written(folder):
    header = read_header(written(folder, WHOLE))
    assert header.architecture == "qwen3"
    assert header.number(".context_length") == 64
    assert header.lengths == {"tokenizer.ggml.tokens": 3, "tokenizer.ggml.token_type": 3, "tokenizer.ggml.merges": 1}
    assert [(t.name, t.shape) for t in header.tensors] == [("token_embd.weight", (8, 3)), ("output_norm.weight", (8,))]
    assert (header.n_params, header.main_type) == (32, "F32")


@given(st.integers(0, len(WHOLE) - 1))
def test_every_truncation_is_refused_with_the_files_name(folder, length):
    path = written(folder, WHOLE[:length])
    with pytest.raises(UserError, match=r"m\.gguf"):
        describe_gguf(path)


@given(st.binary(max_size=300), st.sampled_from([b"", b"GGUF", b"GGUF\x03\x00\x00\x00"]))
def test_random_bytes_are_refused_with_words(folder, data, opening):
    path = written(folder, opening + data)
    with pytest.raises(UserError, match=r"m\.gguf"):
        describe_gguf(path)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes_are_read_or_refused_with_words(folder, changes):
    data = bytearray(WHOLE)
    for at, byte in changes:
        data[at] = byte
    # Any other exception is a bug, and fails here.
    with contextlib.suppress(UserError):
        describe_gguf(written(folder, bytes(data)))


@given(st.dictionaries(st.text(max_size=20).map("x.{}".format),
       st.booleans() | st.integers(0, 2**32 - 1) | st.text(max_size=20) | st.floats(width=32, allow_nan=False)))  # fmt: skip
def test_any_values_survive(folder, values):
    found = read_header(written(folder, gguf_bytes(values, {}))).values
    assert found == values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"general.architecture": ""}, "does not name its architecture"),
        ({"general.architecture": "bert"}, "writes no text"),
        ({"general.type": "adapter"}, "this is an adapter"),
        ({"split.no": 2}, "later part"),
        ({"qwen3.block_count": 0}, "lacks qwen3.block_count"),
        ({"tokenizer.ggml.model": "none"}, "no tokenizer"),
        ({"tokenizer.ggml.tokens": "a"}, "no tokenizer"),
        ({"tokenizer.ggml.merges": "a"}, "no merges"),
        ({"tokenizer.ggml.token_type": [1]}, "3 tokens and 1 token_type"),
        ({"general.alignment": 5}, "alignment is 5"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused_with_the_reason(folder, values, words):
    with pytest.raises(UserError, match=words):
        describe_gguf(written(folder, gguf_bytes(model_values(**values), WEIGHTS)))


def test_other_versions_and_types_are_named(folder):
    for version, words in ((1, "version 1"), (3 << 24, "big-endian")):
        with pytest.raises(UserError, match=words):
            read_header(written(folder, b"GGUF" + struct.pack("<IQQ", version, 0, 0)))
    retired = WHOLE.replace(struct.pack("<QQIQ", 8, 3, 0, 0), struct.pack("<QQIQ", 8, 3, 4, 0))
    with pytest.raises(UserError, match="of the type 4"):
        read_header(written(folder, retired))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            describe_gguf(path)


def test_an_adapter_belongs_to_its_architecture(folder):
    path = write_adapter(folder / "a.gguf", 8, 8)
    check_adapter(path, "qwen3")
    with pytest.raises(UserError, match="made for a qwen3 model, and the loaded model is llama"):
        check_adapter(path, "llama")
    with pytest.raises(UserError, match="no LoRA adapter"):
        check_adapter(written(folder, WHOLE), "qwen3")
