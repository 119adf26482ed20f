"""Facts about sampling: the distribution, temperature, padding, compaction, chunks, limits, progress."""

import math

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from training.engine import sampler as sampler_module
from training.engine.base import SamplingParams
from training.engine.sampler import Sampler, draw_tokens
from training.errors import UserError

VOCABULARY, END = 24, 0
PROMPTS = [(3, 4, 5, 6, 7), (8, 9), (10, 11, 12, 13, 14, 15, 16)]


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    config = Qwen3Config(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, head_dim=8, intermediate_size=48, tie_word_embeddings=False,
                         max_position_embeddings=256, initializer_range=0.3)  # fmt: skip
    return Qwen3ForCausalLM(config).eval()


def sampler(model, end_ids=(END,)):
    return Sampler(model, frozenset(end_ids), 1)


def naive_logprobs(model, prompt, tokens, temperature=1.0):
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *tokens]])).logits[0, len(prompt) - 1 : -1].double()
    return (logits / temperature).log_softmax(-1)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_logprobs_and_entropy_are_those_of_a_plain_forward(model, temperature):
    found = sampler(model).sample(PROMPTS, 3, SamplingParams(90, temperature, 5))
    for prompt, completions in zip(PROMPTS, found, strict=True):
        for c in completions:
            expected = naive_logprobs(model, prompt, c.tokens, temperature)
            chosen = expected.gather(1, torch.tensor(c.tokens)[:, None]).squeeze(1).tolist()
            assert c.logprobs == pytest.approx(chosen, abs=1e-5)
            entropy = float(-(expected.exp() * expected).sum(-1).mean())
            assert c.entropy == pytest.approx(entropy, abs=1e-4)


def test_the_first_token_is_distributed_as_the_model_says(model):
    n = 4000
    (found,) = sampler(model).sample([PROMPTS[0]], n, SamplingParams(1, 1.0, 2))
    counts = torch.bincount(torch.tensor([c.tokens[0] for c in found]), minlength=VOCABULARY).double()
    expected = naive_logprobs(model, PROMPTS[0], (0,))[0].exp() * n
    likely = expected > 5
    chi = float(((counts - expected)[likely] ** 2 / expected[likely]).sum())
    # Mean k and standard deviation √(2k): five of them would be one chance in millions.
    k = int(likely.sum())
    assert chi < k + 5 * math.sqrt(2 * k)


def test_a_low_temperature_sharpens_and_zero_is_greedy(model):
    def entropy(t):
        return sum(c.entropy for (c,) in sampler(model).sample(PROMPTS, 1, SamplingParams(1, t, 1)))

    assert entropy(0.3) < entropy(1.0) < entropy(3.0)
    (greedy,) = sampler(model).sample([PROMPTS[0]], 4, SamplingParams(8, 0.0, 1))
    assert len({c.tokens for c in greedy}) == 1
    plain = naive_logprobs(model, PROMPTS[0], greedy[0].tokens)
    assert plain.argmax(-1).tolist() == list(greedy[0].tokens)
    assert greedy[0].logprobs == pytest.approx(plain.max(-1).values.tolist(), abs=1e-5)


@pytest.mark.parametrize("cap", [1, 5, 512])
def test_neither_chunks_nor_companions_nor_order_change_what_is_drawn(model, cap, monkeypatch):
    params = SamplingParams(40, 1.0, 9)
    alone = [sampler(model).sample([p], 6, params)[0] for p in PROMPTS]
    monkeypatch.setattr(sampler_module, "MAX_SEQUENCES", cap)
    together = sampler(model).sample(PROMPTS[::-1], 6, params)[::-1]
    assert [[c.tokens for c in cs] for cs in together] == [[c.tokens for c in cs] for cs in alone]


def test_another_seed_and_another_sample_draw_something_else(model):
    (found,) = sampler(model, ()).sample([PROMPTS[0]], 8, SamplingParams(20, 1.0, 1))
    (other,) = sampler(model, ()).sample([PROMPTS[0]], 8, SamplingParams(20, 1.0, 2))
    assert len({c.tokens for c in found} | {c.tokens for c in other}) == 16


def test_equal_prompts_of_one_call_get_samples_of_their_own(model):
    first, second = sampler(model).sample([PROMPTS[0], PROMPTS[0]], 3, SamplingParams(20, 1.0, 4))
    (joined,) = sampler(model).sample([PROMPTS[0]], 6, SamplingParams(20, 1.0, 4))
    assert [c.tokens for c in (*first, *second)] == [c.tokens for c in joined]


def test_a_completion_ends_at_its_first_end_token_or_is_truncated(model):
    ends = (END, 5, 9)
    completions = [c for cs in sampler(model, ends).sample(PROMPTS, 40, SamplingParams(12, 1.0, 3)) for c in cs]
    assert {c.truncated for c in completions} == {True, False}
    for c in completions:
        assert not set(c.tokens[:-1]) & set(ends)
        assert c.truncated == (c.tokens[-1] not in ends)
        assert len(c.tokens) == len(c.logprobs) <= 12
        assert not c.truncated or len(c.tokens) == 12


def test_the_context_limits_a_completion_and_refuses_a_prompt_that_fills_it(model):
    long = tuple(3 + i % 20 for i in range(250))
    ((c,), (short,)) = sampler(model, ()).sample([long, PROMPTS[0]], 1, SamplingParams(30, 1.0, 1))
    assert (len(c.tokens), c.truncated) == (6, True)
    assert len(short.tokens) == 30
    with pytest.raises(UserError, match="context is 256"):
        sampler(model).sample([long + long[:6]], 1, SamplingParams(4))


def test_progress_only_grows_and_ends_at_the_total(model):
    seen = []
    sampler(model).sample(
        PROMPTS, 10, SamplingParams(60, 1.0, 6), progress=lambda done, total: seen.append((done, total))
    )
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (30, 30)
    assert len(seen) > 1


def test_no_prompts_give_no_completions(model):
    assert sampler(model).sample([], 4, SamplingParams(8)) == []


@pytest.mark.parametrize("uniform", [0.0, 1.0 - 2**-24, 1.0])
def test_a_token_of_no_probability_is_never_drawn(uniform):
    logits = torch.full((1, 8), -200.0)
    logits[0, 2:5] = torch.tensor([0.3, 1.0, -0.5])
    assert int(draw_tokens(logits, 1.0, torch.tensor([uniform])).tokens) in (2, 3, 4)


def test_weights_changed_between_calls_are_the_weights_sampled(model):
    ours = sampler(model)
    before = ours.sample([PROMPTS[0]], 1, SamplingParams(4, 0.0))
    with torch.no_grad():
        model.lm_head.weight.neg_()
        after = ours.sample([PROMPTS[0]], 1, SamplingParams(4, 0.0))
        model.lm_head.weight.neg_()
    assert before != after
