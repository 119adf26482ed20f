"""Facts about the training pass without padding: it computes what transformers does, and is used where it may be."""

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from tests.helpers.tiny_models import save_model
from tests.training.engine.test_decoder import make_model
from training.core.types import Aggregation
from training.engine import flat_forward, torch_local, update
from training.engine.base import LossParams, TrainRow
from training.engine.decoder import describe
from training.engine.torch_local import LocalTorchBackend

MODELS = ["llama", "llama tied, biased", "llama yarn", "qwen2", "qwen3", "qwen3 tied, biased, one head of keys",
          "mistral"]  # fmt: skip
LOW, HIGH = 3, 600
PAD = 2


def make_rows(sizes=((5, (1, 4, 9, 2)), (11, (12,)), (3, (7, 7, 30)), (1, (2, 5))), seed=1):
    """Rows of prompts and completions of these lengths, advantages of both signs."""
    generator = torch.Generator().manual_seed(seed)

    def tokens(count):
        return tuple(torch.randint(LOW, HIGH, (count,), generator=generator).tolist())

    return [
        TrainRow(prompt, tokens(n), (-6.0,) * n, (-1.0) ** k * (k + 1), weight=1.0 + k)
        for prompt, lengths in [(tokens(p), lengths) for p, lengths in sizes]
        for k, n in enumerate(lengths)
    ]


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def loss_of_rows(rows, order, reference, kl):
    """What the backend gives to the pass, with the plain mean over tokens."""
    count = sum(len(rows[i].completion) for i in order)
    columns = [(rows[i].advantage, rows[i].weight) for i in order for _ in rows[i].completion]
    advantages, weights = torch.tensor(columns).T

    def loss_of(logprobs, part):
        tokens = update.TokenBatch(
            logprobs, torch.full_like(logprobs, -6.0), advantages[part], weights[part], torch.full_like(logprobs, 0.2),
            torch.full_like(logprobs, 0.28), torch.full_like(logprobs, 1 / count), reference and reference[part],
        )  # fmt: skip
        return update.policy_loss(tokens, kl=kl)

    return loss_of


def run_flat(model, rows, temperature=1.0):
    """Log-probabilities row by row, the loss and the gradients of the pass."""
    decoder = describe(model)
    trees = update.plan_trees(rows, range(len(rows)))
    batch = flat_forward.lay_out(trees, rows, PAD, decoder)
    model.zero_grad()
    logprobs, result = flat_forward.policy_gradient(
        decoder, batch, temperature, loss_of_rows(rows, batch.row_order, None, 0.0)
    )
    lengths = [len(rows[i].completion) for i in batch.row_order]
    by_row = dict(zip(batch.row_order, logprobs.split(lengths), strict=True))
    return [by_row[i] for i in range(len(rows))], float(result.loss), gradients(model)


def run_transformers(model, rows, temperature=1.0):
    """The same, each row by itself through transformers and autograd."""
    model.zero_grad()
    found = []
    for row in rows:
        logits = model(torch.tensor([[*row.prompt, *row.completion]])).logits[0, len(row.prompt) - 1 : -1]
        logprobs = (logits / temperature).log_softmax(-1).gather(1, torch.tensor(row.completion)[:, None])
        found.append(logprobs.squeeze(1))
    loss = loss_of_rows(rows, range(len(rows)), None, 0.0)(torch.cat(found), slice(None)).loss
    loss.backward()
    return [x.detach() for x in found], loss.item(), gradients(model)


def largest_relative(ours, theirs):
    """Largest |ours − theirs| / |theirs| of all tensors, Euclidean norms."""
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).norm() / theirs[name].norm()) for name in theirs)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_equal_transformers(name, lora):
    model, rows = make_model(name, lora=lora), make_rows()
    ours, our_loss, our_gradients = run_flat(model, rows, temperature=0.8)
    theirs, their_loss, their_gradients = run_transformers(model, rows, temperature=0.8)
    assert max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)) < 1e-4
    assert our_loss == pytest.approx(their_loss, rel=1e-5)
    assert largest_relative(our_gradients, their_gradients) < 1e-5


def test_supervised_gradients_are_those_of_cross_entropy_through_transformers(monkeypatch):
    monkeypatch.setattr(flat_forward, "CPU_BATCH_TOKENS", 60)
    model, rows = make_model("qwen3"), make_rows()
    model.zero_grad()
    pairs = [(row.prompt, row.completion) for row in rows]
    total, count = flat_forward.supervised_gradient(describe(model), pairs, PAD, 0.25)
    ours = gradients(model)
    model.zero_grad()
    expected = torch.zeros(())
    for prompt, completion in pairs:
        logits = model(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
        expected = expected + functional.cross_entropy(logits, torch.tensor(completion), reduction="sum")
    (0.25 * expected).backward()
    assert (total, count) == (pytest.approx(expected.item(), rel=1e-5), sum(len(row.completion) for row in rows))
    assert largest_relative(ours, gradients(model)) < 1e-5


def test_attention_weights_made_twice_give_the_same_gradients(monkeypatch):
    model, rows = make_model("qwen3"), make_rows()
    kept = run_flat(model, rows)
    make = flat_forward.FlatBatch

    def forget(**fields):
        return make(**{**fields, "keep_scores": not fields["keep_scores"]})

    monkeypatch.setattr(flat_forward, "FlatBatch", forget)
    made_twice = run_flat(model, rows)
    assert kept[1] == made_twice[1]
    assert largest_relative(kept[2], made_twice[2]) == 0.0


def test_logits_in_slices_give_the_same_gradients(monkeypatch):
    model, rows = make_model("qwen2"), make_rows()
    at_once = run_flat(model, rows)
    monkeypatch.setattr(flat_forward, "HEAD_LOGITS", 1)
    monkeypatch.setattr(flat_forward, "MIN_SLICE", 7)
    in_slices = run_flat(model, rows)
    assert in_slices[1] == pytest.approx(at_once[1], rel=1e-5)
    assert largest_relative(in_slices[2], at_once[2]) < 1e-5


def test_padding_of_a_bucket_is_bounded_and_every_token_is_a_query_once():
    decoder = describe(make_model("llama"))
    rows = make_rows([(p, (n, n + 3, 2 * n)) for p in (2, 9, 31) for n in (1, 6, 17)])
    trees = update.plan_trees(rows, range(len(rows)))
    batch = flat_forward.lay_out(trees, rows, PAD, decoder)
    padding = len(batch.ids) - 1
    tokens = batch.query_rows // decoder.heads
    real = tokens[tokens < padding]
    assert sorted(real.tolist()) == sorted(t for t in range(padding) for _ in range(decoder.heads))
    padded = sum(b.sequences * b.queries * b.keys for b in batch.buckets)
    needed = sum(int((b.mask == 0).sum()) for b in batch.buckets)
    assert needed < padded < 3 * needed
    assert torch.equal(tokens[batch.token_rows][: padding * decoder.heads].view(-1, decoder.heads)[:, 0],
                       torch.arange(padding))  # fmt: skip


# ---------------------------------------------------------------------- in the backend


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    torch.set_num_threads(1)
    return save_model(tmp_path_factory.mktemp("flat") / "model", "qwen3", "qwen2")


def open_backend(folder, **options):
    return LocalTorchBackend(folder, device="cpu", threads=1, **{"learning_rate": 1e-2, **options})


def move_weights(engine):
    """Make the policy another model than its reference."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in sorted(engine.model.named_parameters()):
            if parameter.requires_grad and "lora_A" not in name:
                noise = torch.randn(parameter.shape, generator=generator) * 0.02
                parameter.add_(noise.to(parameter.dtype))


def update_of(folder, rows, monkeypatch, *, flat, loss, **options):
    engine = open_backend(folder, **options)
    move_weights(engine)
    with monkeypatch.context() as patch:
        if not flat:
            patch.setattr(torch_local, "describe", lambda model: None)
        stats = engine.forward_backward(rows, loss)
    masters = engine._optim()._masters
    return stats, torch.cat([m.grad.flatten() for m in masters])


@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("aggregation", list(Aggregation))
def test_an_update_equals_the_one_with_padding(model_dir, monkeypatch, tuning, aggregation):
    loss = LossParams(aggregation, kl=0.2, temperature=0.9, max_tokens=30, on_policy=False)
    (flat, ours), (packed, theirs) = (
        update_of(model_dir, make_rows(), monkeypatch, flat=flat, loss=loss, tuning=tuning) for flat in (True, False)
    )
    assert (flat.rows, flat.tokens, flat.clip_fraction) == (packed.rows, packed.tokens, packed.clip_fraction)
    for name in ("loss", "kl", "logprob_gap_mean", "logprob_gap_max"):
        assert getattr(flat, name) == pytest.approx(getattr(packed, name), rel=1e-4), name
    assert float((ours - theirs).norm() / theirs.norm()) < 2e-5


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_in_bfloat16_it_is_as_near_to_float32_as_the_one_with_padding(model_dir, monkeypatch, tuning):
    loss = LossParams(on_policy=True)
    exact = update_of(model_dir, make_rows(), monkeypatch, flat=False, loss=loss, tuning=tuning)[1]
    gaps = [
        float((update_of(model_dir, make_rows(), monkeypatch, flat=flat, loss=loss, tuning=tuning,
                         dtype="bfloat16")[1] - exact).norm() / exact.norm())
        for flat in (True, False)
    ]  # fmt: skip
    assert gaps[0] < max(1.2 * gaps[1], 0.03)


@pytest.mark.parametrize("flat", [True, False], ids=["flat", "padded"])
def test_the_update_does_not_depend_on_the_micro_batches(model_dir, monkeypatch, flat):
    loss = LossParams(kl=0.2, on_policy=False)
    found = []
    for tokens in (1, 60, 4096):
        monkeypatch.setitem(torch_local.MAX_BATCH_TOKENS, "cpu", tokens)
        found.append(update_of(model_dir, make_rows(), monkeypatch, flat=flat, loss=loss))
    for stats, gradient in found[1:]:
        assert stats.loss == pytest.approx(found[0][0].loss, rel=1e-5)
        assert stats.kl == pytest.approx(found[0][0].kl, rel=1e-5)
        assert float((gradient - found[0][1]).norm() / found[0][1].norm()) < 1e-5


def test_an_adapter_needs_no_second_model_for_its_reference(model_dir, monkeypatch):
    engine = open_backend(model_dir, tuning="lora", lora_rank=4)
    move_weights(engine)
    monkeypatch.setattr(
        torch_local.models, "load_causal_lm", lambda *_: pytest.fail("the reference was loaded as a second model")
    )
    assert engine.forward_backward(make_rows(), LossParams(kl=0.2)).kl > 1e-4
    plain = AutoModelForCausalLM.from_pretrained(model_dir)
    assert engine._reference is None
    assert sum(p.numel() for p in engine.model.parameters() if not p.requires_grad) == plain.num_parameters()


@pytest.mark.parametrize("reason", ["a sequence beyond the scores that are held", "a model that is not known"])
def test_what_is_not_for_it_goes_through_transformers(model_dir, monkeypatch, reason):
    if reason.startswith("a model"):
        monkeypatch.setattr(torch_local, "describe", lambda model: None)
    else:
        monkeypatch.setattr(flat_forward, "MAX_SCORES", 200)
    packed = []
    pack = update.pack
    monkeypatch.setattr(update, "pack", lambda *given: packed.append(given) or pack(*given))
    engine = open_backend(model_dir)
    assert engine.forward_backward(make_rows(), LossParams()).rows == len(make_rows())
    assert packed
    assert engine.optim_step().grad_norm > 0
