"""Facts about the kernels in C: where they come from, when there are none, and that they draw what torch draws."""

import shutil

import pytest
import torch
from helpers.tiny_models import make_config
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from training.engine import kernels
from training.engine.base import SamplingParams
from training.engine.decoder import Decoding, Network, describe
from training.engine.kernels import load_kernels
from training.engine.sampler import Sampler, draw_tokens

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, kernels.COMPILERS)), reason="no C compiler")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of libraries; what was loaded before is forgotten, and so is what the test loads."""
    monkeypatch.setenv("SEIRENES_CACHE", str(tmp_path))
    load_kernels.cache_clear()
    yield tmp_path / "kernels"
    load_kernels.cache_clear()


def make_model(seed=3):
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(make_config("qwen3")).eval()


def sample(model, limits=None, new=20):
    sampler = Sampler(model, frozenset({1}), 0)
    if limits is not None:
        sampler.set_limits(limits)
    found = sampler.sample([(5, 6, 7), (9, 8)], 4, SamplingParams(new, 1.0, 0))
    return found, sampler.limits()


@needs_compiler
def test_a_library_is_compiled_once(cache, monkeypatch):
    assert load_kernels(32) is not None
    (made,) = cache.iterdir()
    load_kernels.cache_clear()
    monkeypatch.setattr(kernels.subprocess, "run", lambda *_, **__: pytest.fail("compiled again"))
    assert load_kernels(32) is not None
    assert list(cache.iterdir()) == [made]


def test_without_a_compiler_there_are_no_kernels_and_sampling_goes_on(cache, monkeypatch):
    monkeypatch.setenv("PATH", str(cache))
    assert load_kernels(32) is None
    found, limits = sample(make_model())
    assert len(found) == 2
    assert limits["compiled"] is False


@needs_compiler
def test_a_library_that_computes_something_else_is_not_used(cache, tmp_path, monkeypatch):
    source = tmp_path / "kernels.c"
    source.write_text(kernels.SOURCE.read_text().replace("p = p * r + 0.5f;", "p = p * r + 0.6f;"))
    monkeypatch.setattr(kernels, "SOURCE", source)
    assert load_kernels(32) is None
    source.write_text("no C")
    assert load_kernels.__wrapped__(32) is None


@needs_compiler
def test_a_library_that_is_damaged_is_not_used(cache):
    assert load_kernels(32) is not None
    (made,) = cache.iterdir()
    made.unlink()
    made.write_bytes(b"cut")
    load_kernels.cache_clear()
    assert load_kernels(32) is not None, "without OpenMP, under another name"


@needs_compiler
@given(
    st.integers(1, 70),
    st.sampled_from([0.0, 0.7, 1.0]),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.3, 0.999, 1.0]),
)
def test_kernels_draw_what_torch_draws(vocabulary, temperature, seed, uniform):
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn((6, vocabulary), generator=random) * 4
    logits[0, 1:] = -torch.inf
    logits[1, : vocabulary // 2] = -300.0
    uniforms = torch.rand(6, generator=random)
    uniforms[:2] = uniform
    tokens, logprobs, entropies = load_kernels(16).draw(logits, temperature, uniforms)
    expected = draw_tokens(logits[1:], temperature, uniforms[1:])
    assert tokens[0] == 0
    assert entropies[0] == pytest.approx(0.0, abs=1e-5)
    assert (logits.gather(1, tokens[:, None]) > -300).all()
    # On the border between two tokens the last bits of a sum decide.
    same = tokens[1:] == expected.tokens
    assert int(same.sum()) >= 4
    torch.testing.assert_close(logprobs[1:][same], expected.logprobs[same], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(entropies[1:], expected.entropies, atol=1e-4, rtol=1e-4)


@needs_compiler
@pytest.mark.parametrize("sampled", [(3, 1), (40,)])
def test_the_number_of_threads_changes_no_bit_of_attention(sampled):
    decoder, prompts = describe(make_model()), [tuple(range(5, 14 + 9 * i)) for i in range(len(sampled))]
    kernels_, found = load_kernels(decoder.head_dim), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(1)
            with torch.inference_mode():
                decoding = Decoding(Network(decoder, 60), prompts, list(sampled), 20)
                decoding.prefill()
                for token in range(18):
                    decoding.step(torch.full((sum(sampled),), 5 + token))
                call = decoding._calls[0]
                width = (call.heads + 2 * call.kv_heads) * decoder.head_dim
                rows = torch.randn((call.places * call.slots, width), generator=torch.Generator().manual_seed(0))
                torch.set_num_threads(threads)
                found.append(kernels_.attend(call, rows, 17))
    finally:
        torch.set_num_threads(1)
    assert torch.equal(*found)


@needs_compiler
def test_a_sampler_goes_on_as_the_one_that_was_saved():
    model = make_model()
    compiled, limits = sample(model)
    assert limits["compiled"] is True
    assert sample(model, limits)[0] == compiled
    older = {key: value for key, value in limits.items() if key != "compiled"}
    _, after = sample(model, older)
    assert after["compiled"] is False
    assert sample(model, {**limits, "compiled": None})[1]["compiled"] is True
