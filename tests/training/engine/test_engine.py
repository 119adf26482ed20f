"""Facts about the engine, on a tiny model made here."""

import json
import math
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from tests.training.test_selfplay import make_loop
from training.core.advantages import RoleBaseline, assign_advantages
from training.core.types import Aggregation
from training.engine import torch_local
from training.engine.base import Cancelled, LossParams, SamplingParams, TrainRow
from training.engine.checkpoint import atomic_folder, latest_valid
from training.engine.models import resolve_model
from training.engine.torch_local import LocalTorchBackend
from training.engine.update import chosen_logprobs, chunked_logprobs, k3
from training.errors import UserError

TEMPLATE = "{% for m in messages %}<u>{{ m['content'] }}{% endfor %}<a>"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {t: i for i, t in enumerate(["<end>", "<pad>", "<u>", "<a>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>",
                                   additional_special_tokens=["<u>", "<a>"])  # fmt: skip
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    config = Qwen3Config(vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                         num_key_value_heads=1, head_dim=16, intermediate_size=64, tie_word_embeddings=True,
                         max_position_embeddings=128, eos_token_id=0, pad_token_id=1, bos_token_id=None)  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


def backend(model_dir, **options):
    return LocalTorchBackend(model_dir, device="cpu", threads=1, **{"learning_rate": 1e-2, **options})


PROMPTS = [(2, 40, 41, 42, 3), (2, 50, 3), (2, 60, 61, 62, 63, 64, 65, 3)]


def rows_of(engine, params=None, advantages=(1.0, -0.5)):
    params = params or SamplingParams(12, 1.0, 7)
    sampled = engine.sample(PROMPTS, 2, params)
    return [
        TrainRow(p, c.tokens, c.logprobs, a)
        for p, cs in zip(PROMPTS, sampled, strict=True)
        for c, a in zip(cs, advantages, strict=True)
    ]


def gradients(engine):
    return torch.cat([p.grad.flatten() for p in engine.model.parameters() if p.grad is not None])


def test_sampler_and_trainer_agree_on_logprobs(model_dir):
    engine = backend(model_dir)
    for temperature in (1.0, 0.7):
        rows = rows_of(engine, SamplingParams(20, temperature, 3))
        stats = engine.forward_backward(rows, LossParams(temperature=temperature))
        assert stats.logprob_gap_max < 1e-5


def test_greedy_equals_transformers_generate(model_dir):
    engine = backend(model_dir)
    ours = engine.sample(PROMPTS, 1, SamplingParams(16, 0.0))
    for prompt, (completion,) in zip(PROMPTS, ours, strict=True):
        theirs = engine.model.generate(torch.tensor([prompt]), max_new_tokens=16, do_sample=False, pad_token_id=1)
        assert list(completion.tokens) == theirs[0, len(prompt) :].tolist()[: len(completion.tokens)]


def test_what_is_sampled_does_not_depend_on_the_order_of_the_batch(model_dir):
    engine = backend(model_dir)
    params = SamplingParams(10, 1.0, 11)
    forth, back = engine.sample(PROMPTS, 3, params), engine.sample(PROMPTS[::-1], 3, params)
    assert [[c.tokens for c in cs] for cs in forth] == [[c.tokens for c in cs] for cs in back[::-1]]


def test_the_gradient_does_not_depend_on_the_order_of_the_rows(model_dir):
    engine = backend(model_dir)
    rows = rows_of(engine)
    engine.forward_backward(rows, LossParams())
    forth = gradients(engine).clone()
    engine.model.zero_grad()
    engine.forward_backward(rows[::-1], LossParams())
    assert torch.allclose(forth, gradients(engine), atol=1e-6)


@pytest.mark.parametrize("aggregation", list(Aggregation))
@pytest.mark.parametrize("kl", [0.0, 0.3])
def test_one_update_equals_a_naive_float64_reference(model_dir, aggregation, kl):
    engine = backend(model_dir)
    rows = rows_of(engine, advantages=(1.5, -0.75))
    engine.forward_backward(rows, LossParams(aggregation, kl=kl, max_tokens=12, on_policy=False))
    ours = gradients(engine).double()
    model = Qwen3ForCausalLM.from_pretrained(model_dir, dtype=torch.float64).eval()
    total = torch.zeros((), dtype=torch.float64)
    tokens = sum(len(r.completion) for r in rows)
    for r in rows:
        ids = torch.tensor([[*r.prompt, *r.completion]])
        logprobs = model(ids).logits[0].log_softmax(-1)
        part = torch.zeros((), dtype=torch.float64)
        for t, token in enumerate(r.completion):
            new = logprobs[len(r.prompt) + t - 1, token]
            ratio = (new - r.logprobs[t]).exp()
            value = -torch.minimum(ratio * r.advantage, ratio.clamp(0.8, 1.28) * r.advantage)
            if kl:
                delta = new.detach() - new  # the reference is the model itself, not yet updated
                value = value + kl * (delta.exp() - delta - 1)
            part = part + value
        divisor = {"token": tokens, "sequence": len(rows) * len(r.completion), "constant": len(rows) * 12}[aggregation]
        total = total + part / divisor
    total.backward()
    naive = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert torch.allclose(ours, naive, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_made_in_chunks_equal_those_made_at_once(temperature):
    torch.manual_seed(0)
    weight = torch.randn(151, 16, requires_grad=True)
    hidden = torch.randn(23, 16, requires_grad=True)
    tokens, upstream, seen = torch.randint(151, (23,)), torch.randn(23), []

    def head(part):
        seen.append(part.shape[0])
        return part @ weight.T

    def results(logprobs):
        return logprobs.detach(), *torch.autograd.grad((logprobs * upstream).sum(), (hidden, weight))

    whole = results(chosen_logprobs(hidden @ weight.T, tokens, temperature))
    chunked = results(chunked_logprobs(head, hidden, tokens, temperature, 151, max_logits=151 * 4 + 3))
    assert max(seen) == 4
    for mine, theirs in zip(chunked, whole, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)


def test_an_update_in_chunks_of_the_vocabulary_has_the_same_gradient(model_dir, monkeypatch):
    one, other = backend(model_dir), backend(model_dir)
    rows = rows_of(one)
    whole = one.forward_backward(rows, LossParams(kl=0.1))
    monkeypatch.setattr(torch_local, "MAX_LOGITS", 1000)
    chunked = other.forward_backward(rows, LossParams(kl=0.1))
    assert chunked.loss == pytest.approx(whole.loss, abs=1e-6)
    torch.testing.assert_close(gradients(other), gradients(one), atol=1e-6, rtol=1e-5)


def test_an_adapter_in_bfloat16_is_bfloat16_with_float32_masters(model_dir, tmp_path):
    engine = backend(model_dir, tuning="lora", dtype="bfloat16")
    trained = [p for p in engine.model.parameters() if p.requires_grad]
    assert {p.dtype for p in trained} == {torch.bfloat16}
    engine.forward_backward(rows_of(engine), LossParams())
    engine.optim_step()
    engine.save(tmp_path / "saved")
    again = backend(tmp_path / "saved", dtype="bfloat16")
    again.load(tmp_path / "saved")
    assert {m.dtype for m in again._optim()._masters} == {torch.float32}
    for mine, theirs in zip(again._optim()._masters, engine._optim()._masters, strict=True):
        assert torch.equal(mine, theirs)


def test_zero_advantage_rows_change_nothing(model_dir):
    engine = backend(model_dir)
    stats = engine.forward_backward(rows_of(engine, advantages=(0.0, 0.0)), LossParams())
    assert stats.rows == 0


def logprobs_by_transformers(model, prompt, completion):
    """One row alone: the log-probability of each completion token, read where the token before it stands."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *completion]])).logits[0]
    return [logits[len(prompt) - 1 + t].log_softmax(-1)[token].item() for t, token in enumerate(completion)]


@pytest.mark.parametrize("path", ["flat", "padded"])
def test_a_token_is_scored_where_the_token_before_it_stands_whatever_rows_are_beside_it(model_dir, monkeypatch, path):
    if path == "padded":
        monkeypatch.setattr(torch_local, "describe", lambda model: None)
    engine = backend(model_dir)
    completions = [(7, 9, 30, 0), (40,), tuple(range(20, 60)), (5, 5, 5, 5, 5, 0)]
    prompts = [PROMPTS[0], PROMPTS[0], PROMPTS[1], PROMPTS[2]]
    rows = [
        TrainRow(p, c, tuple(logprobs_by_transformers(engine.model, p, c)), 1.0)
        for p, c in zip(prompts, completions, strict=True)
    ]
    stats = engine.forward_backward(rows, LossParams())
    assert stats.tokens == sum(map(len, completions))
    assert stats.logprob_gap_max < 1e-5


def test_the_end_token_is_an_action_that_is_learnt(model_dir):
    prompt, end = PROMPTS[0], 0
    engine = backend(model_dir)

    def end_probability():
        return math.exp(logprobs_by_transformers(engine.model, prompt, (7, end))[1])

    before = end_probability()
    for _ in range(3):
        engine.forward_backward([TrainRow(prompt, (7, end), (-5.0, -5.0), 1.0)], LossParams())
        engine.optim_step()
    assert end_probability() > 3 * before


def test_a_group_of_one_row_teaches_nothing(model_dir):
    engine = backend(model_dir)
    rewards = [[1.0], [0.0]]
    advantages, flat, _ = assign_advantages(
        rewards, baseline="group", scale="group", fallback=False, ema=RoleBaseline()
    )
    assert (advantages, flat) == ([[0.0], [0.0]], 2)
    rows = rows_of(engine)[:2]
    alone = [replace(row, advantage=a) for row, (a,) in zip(rows, advantages, strict=True)]
    assert engine.forward_backward(alone, LossParams()).rows == 0
    assert engine.optim_step().grad_norm == 0.0


def test_what_is_trained_is_the_tokens_that_were_sampled_and_not_their_text_encoded_again():
    loop = make_loop("rollout.temperature=2.5", "reasoner.clean_anchor=0", "curriculum.replay_share=0", questions=8)
    trained = []
    train = loop.backend.forward_backward

    def record(rows, loss):
        trained.extend(rows)
        return train(rows, loss)

    loop.backend.forward_backward = record
    result = loop.step()
    hints = [t for r in result.rounds for t in r.hints]
    rollouts = [*(x for r in result.rounds for x in r.clean), *(t.written for t in hints)]
    rollouts += [x for t in hints for x in t.solutions]
    sampled = {(x.prompt, x.completion.tokens, x.completion.logprobs) for x in rollouts}
    assert trained
    assert {(row.prompt, row.completion, row.logprobs) for row in trained} <= sampled
    codec = loop.backend.codec
    encoded = [tuple(codec.tokenizer(codec.decode(row.completion))["input_ids"]) for row in trained]
    assert any(ids != row.completion[: len(ids)] for ids, row in zip(encoded, trained, strict=True))


def test_the_kl_term_of_fresh_samples_has_the_gradient_of_the_divergence_from_the_reference():
    scores = torch.randn(7, dtype=torch.float64, requires_grad=True)
    reference = torch.randn(7, dtype=torch.float64).log_softmax(0)
    logprobs = scores.log_softmax(0)
    probabilities = logprobs.detach().exp()
    (estimated,) = torch.autograd.grad((probabilities * k3(logprobs, reference)).sum(), scores, retain_graph=True)
    (exact,) = torch.autograd.grad((reference.exp() * (reference - logprobs)).sum(), scores)
    assert torch.allclose(estimated, exact)


def test_a_two_armed_bandit_converges(model_dir):
    engine = backend(model_dir, learning_rate=3e-3)
    prompt, good = (2, 77, 3), 90
    for i in range(60):
        (completions,) = engine.sample([prompt], 32, SamplingParams(1, 1.0, i))
        rewards = [float(c.tokens[0] >= good) for c in completions]
        mean = sum(rewards) / len(rewards)
        rows = [TrainRow(prompt, c.tokens, c.logprobs, r - mean) for c, r in zip(completions, rewards, strict=True)]
        engine.forward_backward(rows, LossParams())
        engine.optim_step()
        if mean > 0.97:
            break
    assert mean > 0.9


def test_lora_leaves_the_base_alone_and_learns(model_dir, tmp_path):
    engine = backend(model_dir, tuning="lora", lora_rank=4, lora_alpha=8)
    base = {n: p.detach().clone() for n, p in engine.model.named_parameters() if "lora" not in n}
    before = engine.sample(PROMPTS, 1, SamplingParams(8, 0.0))
    for _ in range(3):
        engine.forward_backward(rows_of(engine), LossParams(kl=0.1))
        engine.optim_step()
    assert all(torch.equal(base[n], p) for n, p in engine.model.named_parameters() if n in base)
    engine.save(tmp_path / "step_000001")
    again = backend(model_dir, tuning="lora", lora_rank=4, lora_alpha=8)
    again.load(tmp_path / "step_000001")
    after = engine.sample(PROMPTS, 1, SamplingParams(8, 0.0))
    assert again.sample(PROMPTS, 1, SamplingParams(8, 0.0)) == after
    assert [c[0].logprobs for c in before] != [c[0].logprobs for c in after]


def test_a_checkpoint_cut_short_is_refused_and_the_one_before_is_found(model_dir, tmp_path):
    engine = backend(model_dir)
    for step in (1, 2):
        engine.save(tmp_path / f"step_{step:06d}")
    weights = tmp_path / "step_000002" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model\.safetensors is cut short"):
        engine.load(tmp_path / "step_000002")
    found, damaged = latest_valid(tmp_path)
    assert found.name == "step_000001"
    assert [d.name for d, _ in damaged] == ["step_000002"]
    engine.load(found)


def test_a_save_that_fails_leaves_the_old_checkpoint(tmp_path):
    target = tmp_path / "step_000001"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(UserError, match="disk is full"), atomic_folder(target) as folder:
        (folder / "a").write_text("new")
        raise OSError(28, "No space left on device")
    assert (target / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["step_000001"]


@pytest.mark.parametrize("name", ["nowhere/at-all", "Qwen/Qwen3-4B", "/nonexistent"])
def test_a_missing_model_is_told_at_once(name):
    started = time.monotonic()
    with pytest.raises(UserError, match=r"was not found|not on this machine"):
        resolve_model(name)
    assert time.monotonic() - started < 10


def test_generation_can_be_cancelled_and_the_backend_goes_on(model_dir):
    engine = backend(model_dir)
    with pytest.raises(Cancelled):
        engine.sample(PROMPTS, 4, SamplingParams(60, 1.0, 1), cancelled=lambda: True)
    assert len(engine.sample(PROMPTS, 1, SamplingParams(4, 1.0, 1))) == 3


def test_entropy_and_logprobs_are_finite(model_dir):
    for c, *_ in backend(model_dir).sample(PROMPTS, 2, SamplingParams(8, 1.0, 5)):
        assert len(c.tokens) == len(c.logprobs)
        assert all(math.isfinite(x) and x <= 0 for x in c.logprobs)
        assert c.entropy > 0


def test_an_empty_folder_is_no_model(tmp_path: Path):
    with pytest.raises(UserError, match=r"config\.json"):
        resolve_model(tmp_path)


def test_a_tokenizer_of_another_model_is_refused_before_it_indexes_out_of_range(model_dir, tmp_path):
    shutil.copytree(model_dir, tmp_path / "m")
    spec = json.loads((tmp_path / "m" / "tokenizer.json").read_text())
    spec["added_tokens"].append({**spec["added_tokens"][0], "id": len(spec["model"]["vocab"]), "content": "<other>"})
    (tmp_path / "m" / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(UserError, match="tokenizer of another model"):
        backend(tmp_path / "m")
