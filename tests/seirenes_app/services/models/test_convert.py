"""A converted model is compared with its file, and what cannot be converted is refused before anything starts."""

import numpy as np
import pytest
from helpers.gguf_files import gguf_bytes, model_values
from helpers.model_folders import model_folder

from seirenes_app.inference.models import bundled_model
from seirenes_app.services.models import convert
from seirenes_app.services.models.convert import FormsComparison, check_convertible, convert_gguf, default_folder
from seirenes_app.services.models.facts import describe_model
from training.errors import UserError

STAGES = ["Reading the header", "Reading the tokenizer", "Reading the weights", "Writing the folder"]


def test_the_bundled_gguf_is_converted_and_computes_the_same(tmp_path):
    said = []
    result = convert_gguf(bundled_model(), tmp_path / "out", on_progress=lambda p: said.append(p.stage))
    found = result.comparison
    assert found.sound
    assert (found.same_ids, found.same_text) == (found.texts, found.prompts)
    assert found.compared_tokens > 20
    assert found.gap < 0.01
    assert "computes what the GGUF file does" in result.sentence
    assert list(dict.fromkeys(said)) == ["Asking the file", "Starting", *STAGES, "Asking the folder"]
    assert describe_model(tmp_path / "out").usable
    with pytest.raises(UserError, match="exists already"):
        convert_gguf(bundled_model(), tmp_path / "out")


def test_a_cancelled_conversion_leaves_nothing(tmp_path):
    assert convert_gguf(bundled_model(), tmp_path / "out", cancelled=lambda: True) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("m.gguf", {"general.architecture": "bert"}, "writes no text"),
        ("m.gguf", {"general.architecture": "rwkv7"}, "lacks|cannot be converted"),
        ("m-00001-of-00002.gguf", {"split.count": 2}, "missing"),
    ],
)
def test_what_cannot_be_converted_is_refused_at_once(tmp_path, name, values, words):
    (tmp_path / name).write_bytes(gguf_bytes(model_values(**values), {"token_embd.weight": np.zeros((3, 8))}))
    with pytest.raises(UserError, match=words):
        check_convertible(tmp_path / name)


def test_a_folder_needs_no_conversion(tmp_path):
    with pytest.raises(UserError, match="a folder already"):
        check_convertible(model_folder(tmp_path / "m"))


def comparison(**others):
    return FormsComparison(**{"texts": 3, "same_ids": 3, "prompts": 4, "same_text": 4, "compared_tokens": 90,
                              "gap": 0.001, "largest_gap": 0.01, "quantised": False, **others})  # fmt: skip


def test_other_tokens_words_or_probabilities_are_called_out():
    assert comparison().sound
    assert not comparison(same_ids=2).sound
    assert not comparison(same_text=3).sound
    assert comparison(same_text=1, gap=0.1, quantised=True).sound
    assert not comparison(gap=0.5, quantised=True).sound
    assert not comparison(compared_tokens=0, same_text=0, quantised=True).sound


def test_tokens_after_the_texts_part_are_not_compared():
    a, b = convert._Continued("one two", (-1.0, -2.0)), convert._Continued("one six", (-1.5, -9.0))
    assert convert._gaps(a, b) == [0.5]
    assert convert._gaps(a, a) == [0.0, 0.0]


def test_a_folder_goes_beside_its_file(tmp_path):
    assert default_folder(tmp_path / "m.Q4_K_M.gguf") == tmp_path / "m.Q4_K_M-hf"
