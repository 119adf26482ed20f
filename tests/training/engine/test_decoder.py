"""Facts about the decoders of our own: what they read, what they refuse, and that they compute what transformers does."""

import peft
import pytest
import torch
from helpers.tiny_models import make_config
from torch.nn import functional
from transformers import AutoModelForCausalLM, GemmaConfig, MistralConfig, Phi3Config

from training.engine.decoder import describe

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
                parameter.add_(torch.randn(parameter.shape) * 0.2)
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
