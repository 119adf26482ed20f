"""Llama- and Qwen-type decoders read as plain tensors, for forward passes of our own.

`describe` reads the architecture exactly or not at all: what it does not know, in a model or in an adapter on it, makes
it answer None, and the caller goes through transformers.
"""

from dataclasses import dataclass
from typing import Any

from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from transformers import LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM
from transformers.activations import SiLUActivation
from transformers.models.llama import modeling_llama
from transformers.models.mistral import modeling_mistral
from transformers.models.qwen2 import modeling_qwen2
from transformers.models.qwen3 import modeling_qwen3

ROPE_TYPES = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose frequencies do not depend on the length of the sequence."""


@dataclass(frozen=True)
class LowRank:
    """One active LoRA adapter of a linear layer: `down` `[r, in]`, `up` `[out, r]`; it adds scale · up(down(x))."""

    down: Tensor
    up: Tensor
    scale: float


@dataclass(frozen=True)
class LinearWeights:
    """`weight` `[out, in]`, `bias` `[out]`, and the adapters that are active on the layer."""

    weight: Tensor
    bias: Tensor | None
    adapters: tuple[LowRank, ...] = ()


@dataclass(frozen=True)
class LayerWeights:
    """One block: RMS norm, attention with rotary embeddings, RMS norm, SiLU-gated feed-forward."""

    attention_norm: Tensor
    q: LinearWeights
    k: LinearWeights
    v: LinearWeights
    o: LinearWeights
    q_norm: Tensor | None
    """`[head_dim]`: queries are normalised per head before they are rotated, as in Qwen3."""
    k_norm: Tensor | None
    mlp_norm: Tensor
    gate: LinearWeights
    up: LinearWeights
    down: LinearWeights


@dataclass(frozen=True)
class Decoder:
    """All that a forward pass needs, the tensors being the model's own (no copies).

    Hidden states are rotated in halves: x·cos + (−x₂, x₁)·sin, where cos and sin of position p are those of
    p · `frequencies` `[head_dim / 2]`, repeated and multiplied by `rope_scale`. Scores are multiplied by
    `score_scale`. Norms are computed in float32 and rounded to the type of the model before their weight.
    """

    embedding: Tensor
    layers: tuple[LayerWeights, ...]
    norm: Tensor
    head: LinearWeights
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    score_scale: float
    frequencies: Tensor
    rope_scale: float
    window: int | None
    """Longest sequence for which attention to everything before is what the model does; None is any length."""


class _Unknown(Exception):
    """Something that `describe` does not know."""


@dataclass(frozen=True)
class _Family:
    """The classes of one architecture, compared by identity: a subclass may compute something else."""

    model: type
    layer: type
    attention: type
    mlp: type
    norm: type
    rope: type


_PARTS = ("Model", "DecoderLayer", "Attention", "MLP", "RMSNorm", "RotaryEmbedding")
_FAMILIES = {
    getattr(code, f"{name}ForCausalLM"): _Family(*(getattr(code, name + part) for part in _PARTS))
    for code, name in (
        (modeling_llama, "Llama"), (modeling_mistral, "Mistral"), (modeling_qwen2, "Qwen2"), (modeling_qwen3, "Qwen3"),
    )
}  # fmt: skip
_HEAD_CHANGES = ("logit_scale", "logits_scaling", "final_logit_softcapping", "attn_logit_softcapping")


def describe(model: nn.Module) -> Decoder | None:
    """The decoder `model` as tensors, or None where it is not exactly an architecture that is known here.

    Optimiser steps change its tensors in place; a change of adapters needs another description.
    """
    try:
        return _read(model)
    except _Unknown:
        return None


def _read(model: nn.Module) -> Decoder:
    family = _FAMILIES.get(type(model))
    _demand(family is not None)
    assert family is not None
    assert isinstance(model, LlamaForCausalLM | MistralForCausalLM | Qwen2ForCausalLM | Qwen3ForCausalLM)
    config: Any = model.config
    core: Any = _plain(model.model, family.model)
    rope = _plain(core.rotary_emb, family.rope)
    _demand(rope.rope_type in ROPE_TYPES and config.hidden_act == "silu")
    _demand(not any(getattr(config, name, None) for name in _HEAD_CHANGES))
    _demand(not (model.training and getattr(config, "attention_dropout", 0.0)))
    _plain(model, type(model))
    _demand(len({(p.dtype, p.device) for p in model.parameters()}) == 1)
    layers = tuple(_read_layer(layer, family) for layer in core.layers[: config.num_hidden_layers])
    _demand(len(layers) > 0)
    first = core.layers[0].self_attn
    head_dim = int(first.head_dim)
    norms = [core.norm, *(n for layer in core.layers for n in (layer.input_layernorm, layer.post_attention_layernorm))]
    eps = {float(_plain(norm, family.norm).variance_epsilon) for norm in norms}
    _demand(len(eps) == 1 and rope.inv_freq.shape == (head_dim // 2,) and head_dim % 2 == 0)
    if family.model is modeling_mistral.MistralModel:
        windows = [config.sliding_window]
    else:
        windows = [getattr(layer.self_attn, "sliding_window", None) for layer in core.layers]
    embedding = _plain(model.get_input_embeddings(), nn.Embedding)
    _demand(embedding.max_norm is None)
    decoder = Decoder(
        embedding=_weight(embedding.weight),
        layers=layers,
        norm=_weight(core.norm.weight),
        head=_read_linear(model.get_output_embeddings()),
        heads=int(config.num_attention_heads),
        kv_heads=int(config.num_key_value_heads),
        head_dim=head_dim,
        eps=eps.pop(),
        score_scale=float(first.scaling),
        frequencies=rope.inv_freq,
        rope_scale=float(rope.attention_scaling),
        window=min((int(w) for w in windows if w), default=None),
    )
    return decoder


def _read_layer(layer: Any, family: _Family) -> LayerWeights:
    _plain(layer, family.layer)
    attention, mlp = _plain(layer.self_attn, family.attention), _plain(layer.mlp, family.mlp)
    _plain(mlp.act_fn, SiLUActivation)
    q_norm, k_norm = (getattr(attention, name, None) for name in ("q_norm", "k_norm"))
    for norm in (q_norm, k_norm):
        _demand(norm is None or _plain(norm, family.norm).variance_epsilon == layer.input_layernorm.variance_epsilon)
    return LayerWeights(
        attention_norm=_weight(layer.input_layernorm.weight),
        q=_read_linear(attention.q_proj),
        k=_read_linear(attention.k_proj),
        v=_read_linear(attention.v_proj),
        o=_read_linear(attention.o_proj),
        q_norm=None if q_norm is None else _weight(q_norm.weight),
        k_norm=None if k_norm is None else _weight(k_norm.weight),
        mlp_norm=_weight(layer.post_attention_layernorm.weight),
        gate=_read_linear(mlp.gate_proj),
        up=_read_linear(mlp.up_proj),
        down=_read_linear(mlp.down_proj),
    )


def _read_linear(module: Any) -> LinearWeights:
    if type(module) is not LoraLinear:
        _plain(module, nn.Linear)
        return LinearWeights(_weight(module.weight), None if module.bias is None else _weight(module.bias))
    _plain(module, LoraLinear)
    base = _read_linear(module.base_layer)
    _demand(not base.adapters and not module.merged and not module.fan_in_fan_out)
    if module.disable_adapters:
        return base
    adapters = []
    for name in module.active_adapters:
        if name not in module.lora_A:
            continue
        _demand(name not in module.lora_variant)
        dropout = module.lora_dropout[name]
        _demand(type(dropout) is nn.Identity or not dropout.training or dropout.p == 0.0)
        down, up = _read_linear(module.lora_A[name]), _read_linear(module.lora_B[name])
        _demand(down.bias is None and up.bias is None)
        adapters.append(LowRank(down.weight, up.weight, float(module.scaling[name])))
    return LinearWeights(base.weight, base.bias, tuple(adapters))


def _plain(module: Any, kind: type) -> Any:
    """`module`, if it is a `kind` that nobody has hooked into or wrapped."""
    hooks = module._forward_hooks or module._forward_pre_hooks
    _demand(type(module) is kind and not hooks and "forward" not in vars(module))
    return module


def _weight(tensor: Tensor) -> Tensor:
    """`tensor`, if it is one of plain floating-point numbers (quantised ones are subclasses)."""
    _demand(type(tensor) in (nn.Parameter, Tensor) and tensor.is_floating_point() and tensor.device.type != "meta")
    return tensor


def _demand(holds: bool) -> None:
    if not holds:
        raise _Unknown
