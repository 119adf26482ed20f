"""Facts about the decoders of our own: what they read, what they refuse, and that they compute what transformers does."""

import subprocess
import sys
from pathlib import Path

import peft
import pytest
import torch
from helpers.tiny_models import ROOT, make_config
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from transformers import AutoModelForCausalLM, GemmaConfig, MistralConfig, Phi3Config

from training.engine.decoder import Decoding, Network, arrange, describe, packing_works, plan_prefill
from training.engine.models import load_causal_lm
from training.engine.sampler import TransformersDecoding

ROPES = {
    "default": {"rope_type": "default", "rope_theta": 5000.0},
    "linear": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 2.0},
    "llama3": {"rope_type": "llama3", "rope_theta": 5000.0, "factor": 4.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 32},
    "yarn": {"rope_type": "yarn", "rope_theta": 5000.0, "factor": 4.0, "original_max_position_embeddings": 32},
}  # fmt: skip
SHAPES = {
    "qwen3": {},
    "qwen3 tied, biased, one head of keys": {
        "tie_word_embeddings": True,
        "attention_bias": True,
        "num_key_value_heads": 1,
    },
    "qwen2": {},
    "qwen2 linear": {"rope_parameters": ROPES["linear"], "num_key_value_heads": 4},
    "llama": {},
    "llama tied, biased": {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True},
    "llama llama3": {"rope_parameters": ROPES["llama3"], "rms_norm_eps": 1e-3},
    "llama yarn": {"rope_parameters": ROPES["yarn"], "head_dim": 24},
    "mistral": {"sliding_window": None},
}


def make_model(name, lora=False, **options):
    """A random model of one of SHAPES; biases, norms and adapters are not left at the values that hide mistakes."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    kind, options = name.split()[0], {**SHAPES.get(name, {}), **options}
    if kind == "mistral":
        small = make_config("llama").to_dict()
        keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                "num_key_value_heads", "max_position_embeddings", "initializer_range")  # fmt: skip
        config = MistralConfig(**{key: small[key] for key in keys}, head_dim=16, **options)
    else:
        config = make_config(kind, **options)
    model = AutoModelForCausalLM.from_config(config).eval()
    if lora:
        made = peft.LoraConfig(r=4, lora_alpha=12, target_modules="all-linear", task_type="CAUSAL_LM")
        model = peft.get_peft_model(model, made, autocast_adapter_dtype=False).get_base_model().eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim == 1 or "lora_B" in parameter_name:
                parameter.add_(torch.randn(parameter.shape) * (0.2 if parameter.ndim == 1 else 0.05))
    return model


def linear(x, weights):
    y = functional.linear(x, weights.weight, weights.bias)
    for adapter in weights.adapters:
        y = y + x @ adapter.down.T @ adapter.up.T * adapter.scale
    return y


def logits_of(decoder, ids):
    """A forward pass `[T, V]` by the definitions in the docstring of `Decoder`."""
    count = len(ids)
    angles = torch.arange(count)[:, None].float() * decoder.frequencies
    cos, sin = (f(torch.cat([angles, angles], -1)) * decoder.rope_scale for f in (torch.cos, torch.sin))

    def norm(x, weight):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + decoder.eps) * weight

    def heads(x, weights, weight_norm, rotated=True):
        x = linear(x, weights).view(count, -1, decoder.head_dim).transpose(0, 1)
        if weight_norm is not None:
            x = norm(x, weight_norm)
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat([-b, a], -1) * sin if rotated else x

    x = decoder.embedding[torch.tensor(ids)]
    for layer in decoder.layers:
        h = norm(x, layer.attention_norm)
        q, k = heads(h, layer.q, layer.q_norm), heads(h, layer.k, layer.k_norm)
        v = heads(h, layer.v, None, rotated=False)
        k, v = (t.repeat_interleave(decoder.heads // decoder.kv_heads, 0) for t in (k, v))
        scores = (q @ k.transpose(1, 2) * decoder.score_scale).masked_fill(
            ~torch.ones(count, count).tril().bool(), -torch.inf
        )
        x = x + linear((scores.softmax(-1) @ v).transpose(0, 1).flatten(1), layer.o)
        h = norm(x, layer.mlp_norm)
        x = x + linear(functional.silu(linear(h, layer.gate)) * linear(h, layer.up), layer.down)
    return linear(norm(x, decoder.norm), decoder.head)


@pytest.mark.parametrize("lora", [False, True], ids=["whole", "lora"])
@pytest.mark.parametrize("name", SHAPES)
def test_a_description_holds_all_that_a_forward_pass_needs(name, lora):
    model = make_model(name, lora)
    decoder = describe(model)
    assert decoder is not None
    ids = torch.randint(3, 600, (1, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(ids).logits[0]
        torch.testing.assert_close(logits_of(decoder, ids[0].tolist()), expected, atol=1e-5, rtol=1e-5)


def test_a_description_shares_the_weights_of_its_model():
    model = make_model("qwen3")
    decoder = describe(model)
    assert decoder.layers[1].up.weight.data_ptr() == model.model.layers[1].mlp.up_proj.weight.data_ptr()
    assert decoder.embedding.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def test_an_adapter_that_is_switched_off_is_not_described():
    model = make_model("llama", lora=True)
    assert describe(model).layers[0].q.adapters
    for module in model.modules():
        if isinstance(module, peft.tuners.lora.Linear):
            module.enable_adapters(False)
    assert describe(model).layers[0].q.adapters == ()


@pytest.mark.parametrize(("options", "window"), [({"sliding_window": 24}, 24), ({"sliding_window": None}, None)])
def test_a_description_says_for_how_long_attention_reaches_back_to_the_start(options, window):
    assert describe(make_model("mistral", **options)).window == window
    qwen = {"use_sliding_window": True, "max_window_layers": 1, **options}
    assert describe(make_model("qwen2", **qwen)).window == window


def hooked(model):
    model.model.layers[1].mlp.up_proj.register_forward_hook(lambda *_: None)


def replaced(model):
    model.model.layers[1].mlp.up_proj.forward = lambda x: x


def subclassed(model):
    kind = type(model.model.layers[0].mlp)
    model.model.layers[0].mlp.__class__ = type("Other", (kind,), {})


def parametrised(model):
    torch.nn.utils.parametrizations.weight_norm(model.model.layers[1].mlp.up_proj)


def quantised(model):
    projection = model.model.layers[1].mlp.down_proj
    packed = projection.weight.detach().as_subclass(type("Packed", (torch.Tensor,), {}))
    projection.weight = torch.nn.Parameter(packed)


def half_of_one_layer(model):
    model.model.layers[1].mlp.up_proj.half()


@pytest.mark.parametrize("change", [hooked, replaced, subclassed, parametrised, quantised, half_of_one_layer])
def test_a_model_that_somebody_changed_is_not_described(change):
    model = make_model("llama")
    assert describe(model) is not None
    change(model)
    assert describe(model) is None


@pytest.mark.parametrize(
    "settings",
    [{"use_dora": True}, {"lora_bias": True, "target_modules": ["q_proj"]}, {"lora_dropout": 0.1},
     {"modules_to_save": ["lm_head"]}],
    ids=str,
)  # fmt: skip
def test_an_adapter_of_another_kind_is_not_described(settings):
    model = make_model("llama tied, biased", tie_word_embeddings=False)
    made = peft.LoraConfig(**{"r": 4, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **settings})
    assert describe(peft.get_peft_model(model, made).train().get_base_model()) is None


@pytest.mark.parametrize(
    "settings",
    [{"hidden_act": "gelu"}, {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 5000.0, "factor": 2.0}}],
    ids=str,
)
def test_a_variant_that_is_not_known_is_not_described(settings):
    assert describe(make_model("llama", **settings)) is None


def test_another_architecture_is_not_described():
    sizes = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
             "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0}  # fmt: skip
    for config in (GemmaConfig(**sizes, head_dim=8), Phi3Config(**sizes)):
        assert describe(AutoModelForCausalLM.from_config(config)) is None
    assert describe(torch.nn.Linear(2, 2)) is None


# ---------------------------------------------------------------------- decoding


def open_decoding(kind, model, prompts, counts, new_tokens):
    if kind == "transformers":
        return TransformersDecoding(model, 1, prompts, counts, new_tokens)
    decoder = describe(model)
    assert decoder is not None
    return Decoding(Network(decoder, max(map(len, prompts)) + new_tokens), prompts, counts, new_tokens)


ROUNDING = 2e-5
"""Two forward passes in float32 may differ by so much, as each is up to 1.5e-5 away from one in float64, depending on
the instructions of the processor. With AVX-512 all but those of the bundled model are within 1e-5."""


def largest_error(kind, model, lengths, counts, new_tokens=10, drop_at=(3, 6, 8), prompts=None):
    """Difference of the logits of random tokens from those of plain forward passes, rows being dropped on the way.

    The third of the rows that goes is chosen at random, so that groups get unequal and prompts lose all their rows.
    """
    generator = torch.Generator().manual_seed(1)
    vocabulary = model.config.vocab_size
    prompts = prompts or [tuple(torch.randint(3, vocabulary, (n,), generator=generator).tolist()) for n in lengths]
    rows = [list(prompt) for prompt, count in zip(prompts, counts, strict=True) for _ in range(count)]
    worst = 0.0
    with torch.inference_mode():
        decoding = open_decoding(kind, model, prompts, counts, new_tokens)
        logits = decoding.prefill()
        for step in range(new_tokens):
            expected = torch.stack([model(torch.tensor([row])).logits[0, -1].float() for row in rows])
            worst = max(worst, float(((logits - expected).abs() / expected.abs().clamp(min=1)).max()))
            if step in drop_at and len(rows) > 1:
                kept = sorted(torch.randperm(len(rows), generator=generator)[: len(rows) * 2 // 3].tolist())
                decoding.keep(kept)
                rows = [rows[i] for i in kept]
            if step + 1 < new_tokens:
                tokens = torch.randint(3, vocabulary, (len(rows),), generator=generator)
                for row, token in zip(rows, tokens.tolist(), strict=True):
                    row.append(token)
                logits = decoding.step(tokens)
    return worst


@pytest.mark.parametrize("lora", [False, True], ids=["whole", "lora"])
@pytest.mark.parametrize("name", SHAPES)
def test_logits_of_decoding_are_those_of_a_plain_forward(name, lora):
    assert largest_error("ours", make_model(name, lora), (5, 9, 9, 17), (3, 1, 4, 2)) < ROUNDING


@pytest.mark.parametrize("name", ["qwen3", "llama yarn"])
def test_decoding_through_transformers_gives_the_logits_of_a_plain_forward(name):
    assert largest_error("transformers", make_model(name), (5, 9, 9, 17), (3, 1, 4, 2)) < ROUNDING


@pytest.mark.parametrize(
    ("lengths", "counts"),
    [((12,), (1,)), ((12,), (7,)), ((4, 4, 4), (5, 5, 5)), ((3, 30), (1, 12)), ((2, 3, 4, 5, 6), (1,) * 5), ((1, 1), (2, 3))],
)  # fmt: skip
def test_decoding_is_exact_whatever_the_prompts_and_their_numbers_of_rows(lengths, counts):
    assert largest_error("ours", make_model("qwen3"), lengths, counts) < ROUNDING


def test_decoding_is_exact_where_the_longest_prompts_go():
    model = make_model("qwen3")
    for lengths in ((40, 90), (16, 33), (33, 70), (48, 49)):
        prompts = [tuple(3 + i % 20 for i in range(n)) for n in lengths]
        with torch.inference_mode():
            decoding = open_decoding("ours", model, prompts, (2, 3), 8)
            tokens = decoding.prefill().argmax(-1)
            decoding.step(tokens)
            decoding.keep([0, 1])
            found = decoding.step(tokens[:2])
            expected = model(torch.tensor([[*prompts[0], int(tokens[0]), int(tokens[0])]])).logits[0, -1]
        assert float(((found - expected).abs() / expected.abs().clamp(min=1)).max()) < ROUNDING


def test_decoding_is_exact_where_weights_are_too_large_to_be_copied(monkeypatch):
    monkeypatch.setattr("training.engine.decoder.COPIED_BYTES", 0)
    for name in ("qwen3", "qwen2", "llama tied, biased"):
        assert largest_error("ours", make_model(name, lora=True), (5, 9), (3, 2)) < ROUNDING


@pytest.mark.parametrize("name", ["qwen3", "qwen2", "llama tied, biased"])
def test_decoding_is_exact_without_the_layers_of_onednn(name, monkeypatch):
    monkeypatch.setattr("training.engine.decoder.packing_works", lambda: False)
    assert largest_error("ours", make_model(name, lora=True), (5, 9), (3, 2)) < ROUNDING


def test_decoding_is_exact_over_many_blocks_of_tokens(monkeypatch):
    monkeypatch.setattr("training.engine.decoder.BLOCK_TOKENS", (16, 16))
    assert largest_error("ours", make_model("qwen3"), (5, 9), (3, 2), new_tokens=37, drop_at=(4, 9, 30)) < ROUNDING


def test_the_layers_of_onednn_work_with_this_build_of_torch():
    assert packing_works() == torch.backends.mkldnn.is_available()


def test_weights_changed_after_a_decoding_began_are_seen_by_the_next():
    model = make_model("llama")
    assert largest_error("ours", model, (5,), (2,), new_tokens=3, drop_at=()) < ROUNDING
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    assert largest_error("ours", model, (5,), (2,), new_tokens=3, drop_at=()) < ROUNDING


def test_prompts_that_are_prefilled_in_parts_decode_as_all_at_once(monkeypatch):
    monkeypatch.setattr("training.engine.decoder.PREFILL_TOKENS", 20)
    assert largest_error("ours", make_model("llama"), (5, 9, 9, 17), (3, 1, 4, 2)) < ROUNDING


A, B, C = tuple(range(10, 22)), tuple(range(40, 49)), tuple(range(60, 65))
SHARING = {
    "a question and its hints": [A, A + B, A + C, A + C + B],
    "an instruction, questions, hints": [A + B, A + B + C, A + B + B, A + C, A + C + C, B],
    "nothing": [A, B, C],
    "less than is worth it": [C + A, C + B, C + C],
}


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("prompts", SHARING.values(), ids=SHARING)
def test_prompts_that_begin_alike_decode_as_each_by_itself(prompts, parts, monkeypatch):
    tokens = max(sum(map(len, prompts)) // parts, len(max(prompts, key=len)))
    monkeypatch.setattr("training.engine.decoder.PREFILL_TOKENS", tokens)
    for name in ("qwen3", "llama"):
        assert largest_error("ours", make_model(name), (), [2] * len(prompts), prompts=prompts) < ROUNDING


def test_what_prompts_begin_with_is_run_once():
    (part,) = plan_prefill([A + B, A + C, A, B])
    assert len(part.ids) == len(A) + len(B) + len(C) + len(B)
    assert part.roots == 2


@given(
    st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=12).map(tuple), min_size=1, max_size=12, unique=True),
    st.integers(1, 40),
    st.integers(1, 8),
)
def test_a_plan_of_prefill_has_every_token_of_every_prompt_in_its_place(prompts, tokens, shared):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.engine.decoder.PREFILL_TOKENS", tokens)
        patch.setattr("training.engine.decoder.MIN_SHARED", shared)
        parts = list(plan_prefill(prompts))
    assert sorted(number for part in parts for number in part.prompts) == list(range(len(prompts)))
    for part in parts:
        width, branches = max(part.lengths), len(part.prompts) - part.roots
        rows = [part.keys[i * width :][:length] for i, length in enumerate(part.lengths)]
        queries = part.keys[: part.roots * width] + part.branch_tokens
        own = len(part.branch_tokens) // branches if branches else 0
        for number, row in zip(part.prompts, rows, strict=True):
            assert tuple(part.ids[token] for token in row) == prompts[number]
            assert [part.positions[token] for token in row] == list(range(len(row)))
        for token, place in enumerate(part.places):
            assert queries[place] == token
            past = place - part.roots * width
            asks = rows[place // width] if past < 0 else rows[part.roots + past // own]
            assert token in asks
        assert {part.positions[token] for token in part.branch_tokens} == set(part.branch_positions)
        assert len(part.ids) <= tokens or len(part.prompts) == 1


def without_kernels(monkeypatch):
    monkeypatch.setattr("training.engine.decoder.load_kernels", lambda _: None)


@pytest.mark.parametrize("lora", [False, True], ids=["whole", "lora"])
@pytest.mark.parametrize("name", SHAPES)
def test_decoding_is_exact_without_the_compiled_kernels(name, lora, monkeypatch):
    without_kernels(monkeypatch)
    assert largest_error("ours", make_model(name, lora), (5, 9, 9, 17), (3, 1, 4, 2)) < ROUNDING


def test_decoding_is_exact_over_many_blocks_of_tokens_without_the_compiled_kernels(monkeypatch):
    without_kernels(monkeypatch)
    monkeypatch.setattr("training.engine.decoder.BLOCK_TOKENS", (2, 4))
    assert largest_error("ours", make_model("qwen3"), (5, 9), (3, 2), new_tokens=17, drop_at=(4, 9)) < ROUNDING


@pytest.mark.parametrize("compiled", [True, False], ids=["kernels", "torch"])
def test_the_bundled_model_decodes_as_transformers_does(compiled, monkeypatch):
    if not compiled:
        without_kernels(monkeypatch)
    model = load_causal_lm(Path(ROOT) / "resources" / "starter", torch.float32, torch.device("cpu"))
    assert largest_error("ours", model, (20, 40, 40, 60), (3, 2, 1, 3)) < ROUNDING


def test_a_real_instruct_model_decodes_as_transformers_does(smollm2_folder):
    model = load_causal_lm(smollm2_folder, torch.float32, torch.device("cpu"))
    # Its hidden states reach the thousands, so the last digits of float32 are coarser.
    assert largest_error("ours", model, (9, 12), (2, 1), new_tokens=3, drop_at=(1,)) < 1e-4


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_places_hold_every_row_of_every_group_in_order(counts):
    slots, places = arrange(counts)
    held = [0] * len(counts)
    for group, rows in places:
        assert 1 <= rows <= slots
        held[group] += rows
    assert held == counts
    assert [group for group, _ in places] == sorted(group for group, _ in places)
    if len(set(counts)) == 1:
        assert (slots, len(places)) == (counts[0], len(counts))


GROWTH = """
import ctypes, random
import psutil
from training.engine.base import SamplingParams
from training.engine.models import bundled_starter
from training.engine.torch_local import LocalTorchBackend

# What malloc keeps of memory that is free again differs by tens of MB from call to call.
give_back = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)
backend, chance, held = LocalTorchBackend(bundled_starter(), threads=1), random.Random(0), []
for call in range(20):
    lengths = [chance.randrange(20, 60) for _ in range(chance.randrange(2, 12))]
    prompts = [tuple(chance.randrange(2, 1500) for _ in range(length)) for length in lengths]
    backend.sample(prompts, 2, SamplingParams(8, 1.0, call))
    give_back(0)
    held.append(psutil.Process().memory_info().rss / 2**20)
print(min(held[-4:]) - min(held[4:8]))
"""


def test_batches_of_ever_new_shapes_leave_no_memory_behind():
    found = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    # With oneDNN's caches at their default sizes it is 2 to 5 MB a call, 60 MB in all.
    assert float(found.stdout) < 15, "MB, between the calls 4 to 8 and the last four"
