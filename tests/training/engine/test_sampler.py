"""Facts about sampling: the distribution, temperature, padding, compaction, chunks, limits, progress."""

import math
from itertools import chain

import pytest
import torch
from transformers import GemmaConfig, GemmaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from training.engine import sampler as sampler_module
from training.engine.base import SamplingParams, until_stop
from training.engine.sampler import Sampler, draw_tokens, restrict_logits
from training.errors import UserError
from training.memory import CPU_SEQUENCES, MAX_SEQUENCES

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


def test_both_ways_to_decode_draw_the_same_tokens(model, monkeypatch):
    params = SamplingParams(40, 1.0, 8)
    ours = sampler(model).sample(PROMPTS, 7, params)
    monkeypatch.setattr(sampler_module, "describe", lambda _: None)
    theirs = sampler(model).sample(PROMPTS, 7, params)
    for mine, other in zip(chain(*ours), chain(*theirs), strict=True):
        assert (mine.tokens, mine.truncated) == (other.tokens, other.truncated)
        assert mine.logprobs == pytest.approx(other.logprobs, abs=1e-5)
        assert mine.entropy == pytest.approx(other.entropy, abs=1e-5)


def test_a_model_of_an_unknown_architecture_is_sampled_exactly():
    torch.manual_seed(1)
    config = GemmaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, head_dim=8, intermediate_size=48, max_position_embeddings=64,
                         pad_token_id=1, initializer_range=0.3)  # fmt: skip
    gemma = GemmaForCausalLM(config).eval()
    for prompt, completions in zip(PROMPTS, sampler(gemma).sample(PROMPTS, 4, SamplingParams(30)), strict=True):
        for c in completions:
            chosen = naive_logprobs(gemma, prompt, c.tokens).gather(1, torch.tensor(c.tokens)[:, None])
            assert c.logprobs == pytest.approx(chosen.squeeze(1).tolist(), abs=1e-5)


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
    monkeypatch.setattr(sampler_module, "CPU_SEQUENCES", cap)
    together = sampler(model).sample(PROMPTS[::-1], 6, params)[::-1]
    assert [[c.tokens for c in cs] for cs in together] == [[c.tokens for c in cs] for cs in alone]


def test_a_run_that_began_with_larger_batches_goes_on_with_them(model):
    ours = sampler(model)
    assert ours.limits()["together"] == CPU_SEQUENCES
    ours.set_limits({"bytes": None, "rows": 0, "compiled": None})
    assert ours.limits()["together"] == MAX_SEQUENCES
    ours.set_limits(sampler(model).limits())
    assert ours.limits()["together"] == CPU_SEQUENCES


def test_another_seed_and_another_sample_draw_something_else(model):
    (found,) = sampler(model, ()).sample([PROMPTS[0]], 8, SamplingParams(20, 1.0, 1))
    (other,) = sampler(model, ()).sample([PROMPTS[0]], 8, SamplingParams(20, 1.0, 2))
    assert len({c.tokens for c in found} | {c.tokens for c in other}) == 16


def test_a_call_made_again_gives_the_same_bits(model):
    params = SamplingParams(40, 1.0, 2)
    assert sampler(model).sample(PROMPTS, 5, params) == sampler(model).sample(PROMPTS, 5, params)


def test_equal_prompts_of_one_call_get_samples_of_their_own(model):
    first, second = sampler(model).sample([PROMPTS[0], PROMPTS[0]], 3, SamplingParams(20, 1.0, 4))
    (joined,) = sampler(model).sample([PROMPTS[0]], 6, SamplingParams(20, 1.0, 4))
    assert [c.tokens for c in (*first, *second)] == [c.tokens for c in joined]


def test_prompts_with_lengths_seeds_and_counts_of_their_own_draw_what_each_draws_alone(model):
    prompts = [*PROMPTS, PROMPTS[0]]
    params = [SamplingParams(length, 1.0, seed) for length, seed in ((40, 3), (7, 4), (40, 4), (7, 3))]
    counts = [6, 1, 2, 3]
    together = sampler(model).sample(prompts, counts, params)
    for found, *asked in zip(together, prompts, counts, params, strict=True):
        prompt, count, its = asked
        (alone,) = sampler(model).sample([prompt], count, its)
        assert [(c.tokens, c.truncated) for c in found] == [(c.tokens, c.truncated) for c in alone]
    assert max(len(c.tokens) for c in together[3]) == 7
    with pytest.raises(ValueError, match="length and seed"):
        sampler(model).sample(PROMPTS[:2], 1, [SamplingParams(4, 1.0), SamplingParams(4, 0.5)])


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


@pytest.mark.parametrize("known", [True, False])
def test_rows_that_the_context_ends_early_leave_the_others_as_they_are(model, known, monkeypatch):
    if not known:
        monkeypatch.setattr(sampler_module, "describe", lambda _: None)
    long = tuple(3 + i % 20 for i in range(250))
    ((c,), shorts) = sampler(model, ()).sample([long, PROMPTS[0]], [1, 5], SamplingParams(30, 1.0, 1))
    assert (len(c.tokens), c.truncated) == (6, True)
    (alone,) = sampler(model, ()).sample([PROMPTS[0]], 5, SamplingParams(30, 1.0, 1))
    assert [x.tokens for x in shorts] == [x.tokens for x in alone]


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


@pytest.mark.parametrize("vocabulary", [96, 100])
def test_tokens_are_drawn_in_proportion_to_their_probability(vocabulary):
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(vocabulary, generator=generator) * 2
    logits[::3] = -torch.inf
    # Evenly spread uniform numbers: each token gets its share of them to within one or two.
    count = 200_000
    uniforms = (torch.arange(count) + 0.5) / count
    drawn = draw_tokens(logits.expand(1000, -1), 1.0, uniforms[:1000]).tokens
    assert (drawn % 3 != 0).all()
    every = torch.cat([draw_tokens(logits.expand(len(u), -1), 1.0, u).tokens for u in uniforms.split(20_000)])
    shares = torch.bincount(every, minlength=vocabulary) / count
    torch.testing.assert_close(shares, logits.softmax(-1), atol=5 / count, rtol=1e-3)


@pytest.mark.parametrize("uniform", [0.0, 1.0 - 2**-24, 1.0])
def test_a_token_of_no_probability_is_never_drawn(uniform):
    for vocabulary in (8, 96):
        logits = torch.full((1, vocabulary), -200.0)
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


# ---------------------------------------------------------------------- other settings than temperature


def naive_distribution(logits, params, recent):
    """Probabilities by the definitions, one step after the other, for one row."""
    logits = [float(x) for x in logits]
    for token in set(recent):
        penalty = params.repetition_penalty
        logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
    probs = torch.tensor(logits, dtype=torch.float64).div(params.temperature).softmax(-1).tolist()

    def keep(least):
        kept = [p if p >= least * (1 - 1e-6) else 0.0 for p in probs]
        return [p / sum(kept) for p in kept]

    if params.top_k:
        probs = keep(sorted(probs)[-min(params.top_k, len(probs))])
    if params.top_p < 1:
        total = 0.0
        for p in sorted(probs, reverse=True):
            total += p
            if total >= params.top_p - 1e-9:
                break
        probs = keep(p)
    return keep(params.min_p * max(probs))


@pytest.mark.parametrize(
    "settings",
    [
        {"top_k": 3}, {"top_k": 1000}, {"top_p": 0.6}, {"min_p": 0.2}, {"repetition_penalty": 1.7},
        {"repetition_penalty": 0.5, "top_k": 8, "top_p": 0.8, "min_p": 0.15, "temperature": 1.6},
    ],
    ids=str,
)  # fmt: skip
def test_what_may_be_drawn_is_what_the_settings_define(settings):
    params = SamplingParams(1, **settings)
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(6, 30, generator=generator) * 2
    recent = torch.randint(0, 30, (6, 5), generator=generator)
    found = restrict_logits(logits, params, recent).softmax(-1)
    for row, mine, seen in zip(logits, found, recent.tolist(), strict=True):
        assert mine.tolist() == pytest.approx(naive_distribution(row, params, seen), abs=1e-5)


def test_tokens_that_tie_with_the_last_one_kept_stay():
    logits = torch.tensor([[2.0, 1.0, 1.0, 0.0]])
    for params in (SamplingParams(1, top_k=2), SamplingParams(1, top_p=0.6)):
        kept = restrict_logits(logits, params, torch.zeros(1, 0, dtype=torch.long)).isfinite()
        assert kept.tolist() == [[True, True, True, False]]


def test_completions_obey_the_settings_and_report_the_models_own_logprobs(model):
    params = SamplingParams(40, 1.3, 7, top_k=2)
    for prompt, completions in zip(PROMPTS, sampler(model, ()).sample(PROMPTS, 5, params), strict=True):
        for c in completions:
            logprobs = naive_logprobs(model, prompt, c.tokens, 1.3)
            chosen = logprobs.gather(1, torch.tensor(c.tokens)[:, None])
            assert c.logprobs == pytest.approx(chosen.squeeze(1).tolist(), abs=1e-5)
            assert ((logprobs > chosen + 1e-6).sum(-1) < 2).all()


def test_a_repetition_penalty_looks_back_at_prompt_and_completion(model):
    def greedy(penalty, n=75):
        params = SamplingParams(n, 0.0, repetition_penalty=penalty)
        return [c.tokens for (c,) in sampler(model, ()).sample(PROMPTS, 1, params)]

    assert greedy(1.0) != greedy(3.0)
    for prompt, tokens in list(zip(PROMPTS, greedy(3.0), strict=True))[:2]:
        for step, token in enumerate(tokens):
            logits = model(torch.tensor([[*prompt, *tokens[:step]]])).logits[0, -1].tolist()
            for seen in {*(*prompt, *tokens[:step])[-64:]}:
                logits[seen] = logits[seen] / 3 if logits[seen] > 0 else logits[seen] * 3
            assert logits[token] == pytest.approx(max(logits), abs=1e-4)


def spell(tokens):
    return "".join(chr(ord("a") + token) for token in tokens)


def test_a_completion_ends_with_the_token_that_completes_a_stop_string(model):
    ours = Sampler(model, frozenset({END}), 1, spell)
    free = ours.sample(PROMPTS, 8, SamplingParams(60, 1.0, 3))
    first, second = sorted((c.tokens for c in chain(*free)), key=len)[-2:]
    stops = (spell(first[4:7]), spell(second[2:4]))
    stopped = ours.sample(PROMPTS, 8, SamplingParams(60, 1.0, 3, stop=stops))
    for before, after in zip(chain(*free), chain(*stopped), strict=True):
        text = until_stop(spell(before.tokens), stops)
        assert until_stop(spell(after.tokens), stops) == text
        if text == spell(before.tokens):
            assert (after.tokens, after.truncated) == (before.tokens, before.truncated)
        else:
            assert not after.truncated
            assert len(after.tokens) == len(text) + len(next(s for s in stops if spell(after.tokens).endswith(s)))
            assert len(after.logprobs) == len(after.tokens)
    assert free != stopped
    (last,) = ours.sample([PROMPTS[0]], 1, SamplingParams(5, 0.0, stop=(spell(first),)))[0]
    assert last.truncated
    (last,) = ours.sample([PROMPTS[0]], 1, SamplingParams(5, 0.0, stop=(spell(last.tokens[3:5]),)))[0]
    assert not last.truncated, "a stop string that ends with the last token allowed"


@pytest.mark.parametrize(
    "settings",
    [{"top_p": 0.0}, {"top_p": 1.1}, {"top_k": -1}, {"min_p": 2.0}, {"repetition_penalty": 0.0}, {"stop": ("",)},
     {"temperature": -1.0}],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range_are_refused_with_their_name(settings):
    (name,) = settings
    with pytest.raises(UserError, match=name if name != "stop" else "stop string"):
        SamplingParams(4, **settings)
