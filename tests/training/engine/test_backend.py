"""Facts about the local backend that its users rely on beyond one update: mixed rows, adapters, precision, damage."""

import json
import math
import subprocess
import sys
import time

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from training.core.types import Aggregation
from training.engine import models as number_types
from training.engine import sampler
from training.engine.base import LossParams, SamplingParams, TrainRow
from training.engine.checkpoint import atomic_folder, latest_valid
from training.engine.torch_local import LocalTorchBackend
from training.errors import UserError

PROMPTS = [(2, 40, 41, 42, 3), (2, 50, 3), (2, 60, 61, 62, 63, 64, 65, 3)]


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
    fast.chat_template = "{% for m in messages %}<u>{{ m['content'] }}{% endfor %}<a>"
    fast.save_pretrained(folder)
    config = Qwen3Config(vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                         num_key_value_heads=1, head_dim=16, intermediate_size=64, tie_word_embeddings=True,
                         max_position_embeddings=128, eos_token_id=0, pad_token_id=1, bos_token_id=None)  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


def backend(model_dir, **options):
    return LocalTorchBackend(model_dir, device="cpu", threads=1, **{"learning_rate": 1e-2, **options})


def rows_of(engine, advantages=(1.0, -0.5), seed=7):
    sampled = engine.sample(PROMPTS, len(advantages), SamplingParams(12, 1.0, seed))
    return [
        TrainRow(p, c.tokens, c.logprobs, a)
        for p, cs in zip(PROMPTS, sampled, strict=True)
        for c, a in zip(cs, advantages, strict=True)
    ]


def weights(engine):
    return torch.cat([p.detach().float().flatten() for p in engine.model.parameters()])


def train(engine, steps=2, advantages=(1.0, -0.5), **loss):
    for i in range(steps):
        engine.forward_backward(rows_of(engine, advantages, seed=i), LossParams(**loss))
        engine.optim_step()


@pytest.mark.parametrize("aggregation", list(Aggregation))
def test_rows_without_advantage_do_not_dilute_the_others(model_dir, aggregation):
    one, two = backend(model_dir), backend(model_dir)
    rows = rows_of(one)
    idle = rows_of(one, advantages=(0.0, 0.0), seed=8)
    loss = LossParams(aggregation, max_tokens=12)
    assert one.forward_backward(rows, loss).loss == pytest.approx(
        two.forward_backward(rows + idle, loss).loss, rel=1e-5
    )
    assert one.optim_step().grad_norm == pytest.approx(two.optim_step().grad_norm, rel=1e-5)


def test_an_adapter_opens_with_its_own_rank_and_alpha(model_dir, tmp_path):
    engine = backend(model_dir, tuning="lora", lora_rank=4, lora_alpha=64)
    train(engine)
    engine.save(tmp_path / "step_000001")
    opened = LocalTorchBackend(tmp_path / "step_000001", device="cpu", threads=1)
    params = SamplingParams(8, 0.0)
    ours = [c.logprobs for (c,) in engine.sample(PROMPTS, 1, params)]
    theirs = [c.logprobs for (c,) in opened.sample(PROMPTS, 1, params)]
    assert [x for row in ours for x in row] == pytest.approx([x for row in theirs for x in row], abs=1e-5)


def test_the_reference_of_an_adapter_is_the_model_without_it(model_dir):
    engine = backend(model_dir, tuning="lora", lora_rank=4, lora_alpha=8)
    rows = rows_of(engine)
    assert engine.forward_backward(rows, LossParams(kl=0.1)).kl == pytest.approx(0.0, abs=1e-9)
    engine.optim_step()
    train(engine, 3)
    kl = engine.forward_backward(rows, LossParams(kl=0.1)).kl
    plain = Qwen3ForCausalLM.from_pretrained(model_dir)
    total = count = 0.0
    for row in rows:
        ids = torch.tensor([[*row.prompt, *row.completion]])
        here = slice(len(row.prompt) - 1, -1)
        targets = torch.tensor(row.completion)[:, None]
        with torch.no_grad():
            new = engine.model(ids).logits[0, here].log_softmax(-1).gather(1, targets)
            old = plain(ids).logits[0, here].log_softmax(-1).gather(1, targets)
        total += float(((old - new).exp() - (old - new) - 1).sum())
        count += len(row.completion)
    assert kl == pytest.approx(total / count, rel=1e-3)


def test_the_reference_of_whole_tuning_is_the_starting_model_even_when_first_used_late(model_dir):
    engine = backend(model_dir)
    train(engine)
    assert engine.forward_backward(rows_of(engine), LossParams(kl=0.1)).kl > 1e-5


def test_small_steps_are_not_lost_in_bfloat16(model_dir):
    engine = backend(model_dir, dtype="bfloat16", learning_rate=1e-5)
    before = weights(engine)
    rows = rows_of(engine)
    for _ in range(60):
        engine.forward_backward(rows, LossParams())
        engine.optim_step()
    # Adam moves each weight by about the rate a step: 60 steps are 6e-4, far more than a bfloat16 step at 0.02.
    assert (weights(engine) != before).float().mean() > 0.5


def test_no_clipping_with_a_limit_of_zero(model_dir):
    engine = backend(model_dir, max_grad_norm=0.0)
    before = weights(engine)
    train(engine, 1)
    assert not torch.equal(before, weights(engine))


def test_a_gradient_that_is_not_finite_is_dropped(model_dir):
    engine = backend(model_dir)
    before = weights(engine)
    row = TrainRow(PROMPTS[0], (5, 6), (0.0, 0.0), math.inf)
    engine.forward_backward([row], LossParams())
    assert engine.optim_step().skipped
    assert torch.equal(before, weights(engine))
    train(engine, 1)
    assert not torch.equal(before, weights(engine))


def test_a_step_without_gradient_does_not_warm_up(model_dir):
    engine = backend(model_dir, warmup_steps=4)
    first = engine.learning_rate
    stats = engine.optim_step()
    assert (stats.grad_norm, stats.skipped) == (0.0, False)
    assert engine.learning_rate == first == pytest.approx(1e-2 / 4)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_training_goes_on_after_a_load_as_if_nothing_had_happened(model_dir, tmp_path, tuning):
    straight = backend(model_dir, tuning=tuning, warmup_steps=3)
    train(straight)
    straight.save(tmp_path / "step_000002")
    resumed = backend(model_dir, tuning=tuning, warmup_steps=3)
    resumed.load(tmp_path / "step_000002")
    for engine in (straight, resumed):
        train(engine, 2, kl=0.1)
    assert torch.allclose(weights(straight), weights(resumed), atol=1e-6)
    assert straight.learning_rate == resumed.learning_rate


def test_sequences_run_in_the_same_batches_after_a_load_whatever_memory_is_free_then(model_dir, tmp_path, monkeypatch):
    sizes = []
    run = sampler.Sampler._run_fitting
    monkeypatch.setattr(sampler.Sampler, "_run_fitting", lambda self, chunk, *rest: sizes.append(len(chunk)) or
                        run(self, chunk, *rest))  # fmt: skip

    def sample(engine, free):
        monkeypatch.setattr(sampler, "free_memory", lambda _device: free)
        sizes.clear()
        engine.sample([[5, 6, 7]], 24, SamplingParams(4, 1.0, 0))
        return list(sizes)

    straight, resumed = backend(model_dir), backend(model_dir)
    first = sample(straight, 400_000)
    straight.save(tmp_path / "step_000001")
    resumed.load(tmp_path / "step_000001")
    assert len(first) > 1
    assert sample(straight, 10**9) == sample(resumed, 10**9) == first
    assert len(sample(resumed, 100_000)) > len(first)


@pytest.mark.parametrize(("saved", "asked"), [("full", "lora"), ("lora", "full")])
def test_a_checkpoint_of_the_other_tuning_is_refused_and_changes_nothing(model_dir, tmp_path, saved, asked):
    engine = backend(model_dir, tuning=saved)
    train(engine, 1)
    engine.save(tmp_path / "step_000001")
    other = backend(model_dir, tuning=asked)
    before = weights(other)
    with pytest.raises(UserError):
        other.load(tmp_path / "step_000001")
    assert torch.equal(before, weights(other))


def test_a_checkpoint_of_another_size_is_refused_and_changes_nothing(model_dir, tmp_path):
    engine = backend(model_dir, tuning="lora", lora_rank=4)
    train(engine, 1)
    engine.save(tmp_path / "step_000001")
    other = backend(model_dir, tuning="lora", lora_rank=8)
    before = weights(other)
    with pytest.raises(UserError):
        other.load(tmp_path / "step_000001")
    assert torch.equal(before, weights(other))


@pytest.mark.parametrize("file", ["tokenizer.json", "optimizer.pt", "backend.json"])
def test_a_full_disk_is_told_whichever_file_meets_it(model_dir, tmp_path, file):
    engine = backend(model_dir)
    train(engine, 1)
    engine.save(tmp_path / "step_000001")
    with pytest.raises(UserError, match="disk is full"), atomic_folder(tmp_path / "step_000002") as folder:
        # /dev/full answers every write as a full disk does.
        (folder / file).symlink_to("/dev/full")
        engine.save_into(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["step_000001"]
    assert latest_valid(tmp_path) == (tmp_path / "step_000001", [])


LIMITED = """
import resource, signal, sys
from pathlib import Path
from training.engine.torch_local import LocalTorchBackend
from training.errors import UserError
engine = LocalTorchBackend(Path(sys.argv[1]), device="cpu", threads=1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    engine.save(Path(sys.argv[2]))
except UserError as error:
    print(error)
"""


def test_weights_that_the_disk_refuses_are_told_in_words(model_dir, tmp_path):
    # The limit makes the system refuse the write inside safetensors, which turns it into an error of its own.
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, model_dir, tmp_path / "step_000001"], capture_output=True, text=True, timeout=60
    )
    assert "was reached" in done.stdout, done.stderr[-500:]
    assert list(tmp_path.iterdir()) == []


def test_a_saved_model_opens_in_transformers(model_dir, tmp_path):
    engine = backend(model_dir)
    train(engine, 1)
    engine.save(tmp_path / "step_000001")
    model = Qwen3ForCausalLM.from_pretrained(tmp_path / "step_000001", dtype=torch.float32)
    assert torch.equal(torch.cat([p.flatten() for p in model.parameters()]), weights(engine))


def test_a_manifest_that_is_no_table_means_damaged(model_dir, tmp_path):
    engine = backend(model_dir)
    engine.save(tmp_path / "step_000001")
    (tmp_path / "step_000001" / "manifest.json").write_text(json.dumps([1, 2]))
    found, damaged = latest_valid(tmp_path)
    assert found is None
    assert len(damaged) == 1


def test_a_kl_alone_pulls_rows_without_advantage_back_to_the_starting_model(model_dir):
    engine = backend(model_dir, learning_rate=2e-3)
    train(engine, steps=20)
    idle, held = (0.0, 0.0), LossParams(kl=8.0)
    before = engine.forward_backward(rows_of(engine, idle, seed=50), held).kl
    engine.optim_step()
    train(engine, steps=30, advantages=idle, kl=8.0)
    assert engine.forward_backward(rows_of(engine, idle, seed=50), held).kl < before / 2


def test_a_fresh_adapter_starts_from_the_seed_and_leaves_other_random_numbers_alone(model_dir):
    def start(seed):
        torch.manual_seed(123)
        engine = backend(model_dir, tuning="lora", lora_rank=4, seed=seed)
        following = torch.rand(1)
        weights = {n: p.clone() for n, p in engine.model.named_parameters() if "lora_A" in n}
        return weights, following

    (first, after), (again, after_again), (other, _) = start(5), start(5), start(6)
    assert first
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not any(torch.equal(first[n], other[n]) for n in first)
    torch.manual_seed(123)
    assert after == after_again == torch.rand(1)


# ---------------------------------------------------------------------- number type

CPU = torch.device("cpu")


def test_a_small_model_is_trained_in_float32_on_every_cpu(model_dir, monkeypatch):
    monkeypatch.setattr(number_types, "_time_types", lambda folder: pytest.fail("measured"))
    assert number_types.choose_number_type("auto", CPU, model_dir) == number_types.NumberType("float32")


@pytest.mark.parametrize(
    ("asked", "bfloat16", "name", "faster"),
    [
        ("auto", 190.0, "bfloat16", None),
        ("auto", 100.0, "float32", None),
        ("auto", 12.0, "float32", None),
        ("float32", 190.0, "float32", "bfloat16"),
        ("bfloat16", 12.0, "bfloat16", "float32"),
        ("bfloat16", 70.0, "bfloat16", None),
    ],
)
def test_a_large_model_takes_bfloat16_where_it_is_clearly_faster(model_dir, monkeypatch, asked, bfloat16, name, faster):
    monkeypatch.setattr(number_types, "LARGE_PARAMETERS", 1)
    monkeypatch.setattr(number_types, "_time_types", lambda folder: {"float32": 72.0, "bfloat16": bfloat16})
    chosen = number_types.choose_number_type(asked, CPU, model_dir)
    assert (chosen.name, chosen.faster) == (name, faster)


def test_both_types_are_measured_in_a_fraction_of_a_second(model_dir, monkeypatch):
    monkeypatch.setattr(number_types, "LARGE_PARAMETERS", number_types.count_parameters(model_dir))
    started = time.process_time()
    chosen = number_types.choose_number_type("auto", CPU, model_dir)
    assert time.process_time() - started < 10
    assert min(chosen.gflops.values()) > 0
    assert set(chosen.gflops) == {"float32", "bfloat16"}


def test_a_run_keeps_the_type_that_it_has_begun_with(model_dir, monkeypatch):
    monkeypatch.setattr(number_types, "LARGE_PARAMETERS", 1)
    monkeypatch.setattr(number_types, "_time_types", lambda folder: pytest.fail("measured"))
    assert number_types.choose_number_type("auto", CPU, model_dir, "bfloat16").name == "bfloat16"


def test_parameters_are_counted_without_reading_the_weights(model_dir):
    engine = backend(model_dir)
    assert number_types.count_parameters(model_dir) == sum(p.numel() for p in engine.model.parameters())
