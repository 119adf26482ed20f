"""Llama- and Qwen-type decoders read as plain tensors, for forward passes of our own.

`describe` reads the architecture exactly or not at all: what it does not know, in a model or in an adapter on it, makes
it answer None, and the caller goes through transformers.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import groupby
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM
from transformers.activations import SiLUActivation
from transformers.models.llama import modeling_llama
from transformers.models.mistral import modeling_mistral
from transformers.models.qwen2 import modeling_qwen2
from transformers.models.qwen3 import modeling_qwen3

from training.engine.base import Tokens
from training.engine.kernels import TILE, AttendCall, Kernels, load_kernels, tiled_keys
from training.memory import COPIED_BYTES, PREFILL_TOKENS

# oneDNN and its wrapper in torch keep code and buffers for each of the last 1,024 shapes, and every batch has other
# shapes: a run grew by 20 MB with each call. The layers of one network need six. Read when the first layer runs.
for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(name, "32")

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
    padding_id: int | None
    """Token whose embedding gets no gradient."""
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
        padding_id=embedding.padding_idx,
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


# ---------------------------------------------------------------------- decoding

PREFILL_PLACES = 4 * PREFILL_TOKENS
"""Tokens of the prompts of which those are the tree, counted as often as they occur, with padding."""
MIN_SHARED = 8
"""Tokens that prompts must have in common for them to be run once: few are faster run again."""
BLOCK_TOKENS = (16, 128)
"""Tokens of a block of a row's own keys and values at first and at most; a block that is full becomes twice as long.

What is read lies close together: spread over a buffer of the final length, it was read three times slower. And it is
multiplied at once: a product of few rows costs as much as one of many.
"""
PLACE_COST = 0.25
"""Cost of one more copy of a prompt's keys and values, in rows."""


class _Projection:
    """Linear layers over the same input, their outputs side by side: `[R, in]` to `[R, Σ out]`.

    `joined` copies them into one matrix, with the adapters added where the numbers are float32. Otherwise the weights
    are the model's own, and each adapter is two more products.
    """

    def __init__(self, parts: tuple[LinearWeights, ...], joined: bool) -> None:
        if joined and parts[0].weight.dtype is torch.float32:
            parts = tuple(LinearWeights(_with_adapters(part), part.bias) for part in parts)
        self._width = sum(part.weight.shape[0] for part in parts)
        if len(parts) > 1 and joined and not any(part.adapters for part in parts):
            parts = (_join(parts),)
        self._parts = parts

    def __call__(self, x: Tensor) -> Tensor:
        if len(self._parts) == 1 and not self._parts[0].adapters:
            return functional.linear(x, self._parts[0].weight, self._parts[0].bias)
        out = x.new_empty((x.shape[0], self._width))
        start = 0
        for part in self._parts:
            stop = start + part.weight.shape[0]
            write_linear(part, x, out[:, start:stop])
            start = stop
        return out

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """`residual` with the output added in place; for a projection of one layer."""
        (part,) = self._parts
        residual.addmm_(x, part.weight.T)
        if part.bias is not None:
            residual.add_(part.bias)
        _add_adapters(residual, x, part)
        return residual


def _with_adapters(part: LinearWeights) -> Tensor:
    weight = part.weight
    for adapter in part.adapters:
        weight = torch.addmm(weight, adapter.up, adapter.down, alpha=adapter.scale)
    return weight


def _add_adapters(out: Tensor, x: Tensor, part: LinearWeights) -> list[Tensor]:
    """Add the adapters' part to the layer's output; returns what each made of `x` on the way, `[R, r]`."""
    lows = [x @ adapter.down.T for adapter in part.adapters]
    for adapter, low in zip(part.adapters, lows, strict=True):
        out.addmm_(low, adapter.up.T, alpha=adapter.scale)
    return lows


def write_linear(layer: LinearWeights, x: Tensor, out: Tensor) -> list[Tensor]:
    """Write the layer of `x` into `out`; what its adapters made of `x` on the way, which a backward pass needs."""
    if layer.bias is None:
        torch.mm(x, layer.weight.T, out=out)
    else:
        torch.addmm(layer.bias, x, layer.weight.T, out=out)
    return _add_adapters(out, x, layer)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`x` `[N, heads, head_dim]` rotated in halves by `cos` `[N, 1, head_dim]` and `sin` `[N, 1, head_dim / 2]`."""
    out, half = x * cos, x.shape[-1] // 2
    out[..., :half].addcmul_(x[..., half:], sin, value=-1)
    out[..., half:].addcmul_(x[..., :half], sin)
    return out


def _join(parts: Sequence[LinearWeights]) -> LinearWeights:
    """Layers without adapters as one."""
    biases = [p.weight.new_zeros(p.weight.shape[0]) if p.bias is None else p.bias for p in parts]
    bias = torch.cat(biases) if any(part.bias is not None for part in parts) else None
    return LinearWeights(torch.cat([part.weight for part in parts]), bias)


class _Packed:
    """A linear layer in oneDNN's own order of weights, which multiplies few rows faster and fuses what follows."""

    def __init__(self, *parts: LinearWeights) -> None:
        joined = _join([LinearWeights(_with_adapters(part), part.bias) for part in parts])
        self._weight, self._bias = torch.ops.mkldnn._reorder_linear_weight(joined.weight.detach()), joined.bias

    def __call__(self, x: Tensor, then: str = "none") -> Tensor:
        """The output `[R, out]`, or `then` of it."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, then, [], "")
        return out

    def with_other(self, x: Tensor, other: Tensor, how: str) -> Tensor:
        """The output and `other` `[R, out]`, added or multiplied."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, other, self._weight, self._bias, how)
        return out


@cache
def packing_works() -> bool:
    """Whether this build of torch has the oneDNN layers of `_Packed`, and they compute what they should."""
    try:
        generator = torch.Generator().manual_seed(0)
        x, other, weight = (torch.rand(shape, generator=generator) - 0.5 for shape in ((5, 24), (5, 8), (8, 24)))
        bias = torch.arange(8.0)
        made, expected = _Packed(LinearWeights(weight, bias)), functional.linear(x, weight, bias)
        pairs = (
            (made(x), expected),
            (made(x, "swish"), functional.silu(expected)),
            (made.with_other(x, other, "add"), expected + other),
            (made.with_other(x, other, "mul"), expected * other),
        )
        return all(torch.allclose(found, wanted, atol=1e-5) for found, wanted in pairs)
    except (RuntimeError, AttributeError, TypeError):
        return False


class _Layer:
    """One block, made ready to run."""

    def __init__(
        self, decoder: Decoder, weights: LayerWeights, joined: bool, packed: bool, norm: Callable[..., Tensor]
    ) -> None:
        self.attention_norm, self.mlp_norm, self._eps = weights.attention_norm, weights.mlp_norm, decoder.eps
        self._packed, self._norm = packed, norm
        self.qkv: _Packed | _Projection
        if packed:
            self.qkv = _Packed(weights.q, weights.k, weights.v)
            self._o_packed, self._down_packed = _Packed(weights.o), _Packed(weights.down)
            self._gate, self._up = _Packed(weights.gate), _Packed(weights.up)
        else:
            self.qkv = _Projection((weights.q, weights.k, weights.v), joined)
            self._o, self._down = (_Projection((w,), joined) for w in (weights.o, weights.down))
            self._gate_up = _Projection((weights.gate, weights.up), joined)
        self.head_norms: Tensor | None = None
        if weights.q_norm is not None and weights.k_norm is not None:
            norms = (weights.q_norm.expand(decoder.heads, -1), weights.k_norm.expand(decoder.kv_heads, -1))
            self.head_norms = torch.cat(norms)
        self._feed_forward = weights.gate.weight.shape[0]

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The residual stream `[R, hidden]` with the output of attention `[R, heads · head_dim]` and of the
        feed-forward part added. `x` may be overwritten."""
        if self._packed:
            x = self._o_packed.with_other(attended, x, "add")
            h = self._norm(x, self.mlp_norm, self._eps)
            return self._down_packed.with_other(self._up.with_other(h, self._gate(h, "swish"), "mul"), x, "add")
        x = self._o.add_to(x, attended)
        gate_up = self._gate_up(self._norm(x, self.mlp_norm, self._eps))
        gate = functional.silu(gate_up[:, : self._feed_forward])
        return self._down.add_to(x, gate.mul_(gate_up[:, self._feed_forward :]))


class Network:
    """The layers of a decoder over rows of hidden states, for up to `positions` tokens; attention is the caller's."""

    def __init__(self, decoder: Decoder, positions: int, compiled: bool = True) -> None:
        """`compiled`: with the kernels of `training.engine.kernels` where they are to be had."""
        copied = decoder.head.weight.numel() + sum(
            part.weight.numel()
            for layer in decoder.layers
            for part in (layer.q, layer.k, layer.v, layer.o, layer.gate, layer.up, layer.down)
        )
        weight = decoder.embedding
        joined = copied * weight.element_size() <= COPIED_BYTES
        packed = joined and weight.device.type == "cpu" and weight.dtype is torch.float32 and packing_works()
        self.decoder = decoder
        plain = weight.device.type == "cpu" and weight.dtype is torch.float32
        self.kernels: Kernels | None = load_kernels(decoder.head_dim) if compiled and plain else None
        self._norm = _rms_norm if self.kernels is None else self.kernels.rms_norm
        self.layers = [_Layer(decoder, layer, joined, packed, self._norm) for layer in decoder.layers]
        self._head = _Packed(decoder.head) if packed else _Projection((decoder.head,), joined=False)
        angles = torch.arange(positions, device=decoder.frequencies.device)[:, None] * decoder.frequencies.float()
        dtype = decoder.embedding.dtype
        cos, sin = ((f(angles) * decoder.rope_scale).to(dtype) for f in (torch.cos, torch.sin))
        self.cos, self.sin = torch.cat([cos, cos], -1)[:, None], sin[:, None]

    def angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos `[R, 1, head_dim]` and sin `[R, 1, head_dim / 2]` of each row's position."""
        return self.cos.index_select(0, positions), self.sin.index_select(0, positions)

    def embed(self, ids: Tensor) -> Tensor:
        return self.decoder.embedding.index_select(0, ids)

    def project(self, layer: _Layer, x: Tensor, angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries `[R, heads, head_dim]`, keys and values `[R, kv_heads, head_dim]`; the first two are rotated."""
        d = self.decoder
        heads = self.project_raw(layer, x).view(x.shape[0], d.heads + 2 * d.kv_heads, d.head_dim)
        qk, v = heads[:, : d.heads + d.kv_heads], heads[:, d.heads + d.kv_heads :]
        if layer.head_norms is not None:
            qk = functional.rms_norm(qk, (d.head_dim,), None, d.eps).mul_(layer.head_norms)
        rotated = rotate(qk, *angles)
        return rotated[:, : d.heads], rotated[:, d.heads :], v

    def project_raw(self, layer: _Layer, x: Tensor) -> Tensor:
        """Queries, keys and values `[R, (heads + 2 · kv_heads) · head_dim]`, neither normalised nor rotated."""
        return layer.qkv(self._norm(x, layer.attention_norm, self.decoder.eps))

    def logits(self, x: Tensor) -> Tensor:
        """Logits `[R, vocabulary]` in float32."""
        return self._head(self._norm(x, self.decoder.norm, self.decoder.eps)).float()


def _rms_norm(x: Tensor, gain: Tensor, eps: float) -> Tensor:
    return functional.rms_norm(x, (x.shape[1],), gain, eps)


@dataclass
class _Cached:
    """Keys and values of one layer: of the prompts, `[N · kv_heads, P, head_dim]`, aligned left, or of a block of the
    rows' own tokens, `[N · kv_heads · S, tokens, head_dim]`. The kernels have keys in tiles (see `tiled_keys`)."""

    keys: Tensor
    values: Tensor


def arrange(counts: Sequence[int]) -> tuple[int, list[tuple[int, int]]]:
    """Lay groups of `counts` rows out as places of equally many slots.

    Returns the slots of a place, and for each place its group and the rows in it. A group that has more rows than a
    place has slots gets several, each with a copy of the prompt's keys and values; what is cheapest overall is chosen.
    """

    def cost(slots: int) -> float:
        return sum(-(-count // slots) for count in counts) * (slots + PLACE_COST)

    slots = min(sorted(set(counts), reverse=True), key=cost)
    places = [
        (group, min(slots, count - start)) for group, count in enumerate(counts) for start in range(0, count, slots)
    ]
    return slots, places


@dataclass(frozen=True)
class Prefill:
    """Prompts that run together, as a tree of T tokens: what several of them begin with is in it once.

    `prompts` are their numbers: first the `roots`, which share nothing with one before them, then the branches.
    `ids`, `positions` `[T]`. Side by side and padded right to the longest, the prompts are a rectangle, and `keys`
    `[n · width]` has the tree's token of each of its places. Queries are those of the roots' places and then of the
    tokens that each branch has alone, padded right to the most, with their positions: `branch_tokens` and
    `branch_positions` `[branches · own width]`. `places` `[T]` is where the query of each token of the tree is. A place
    of padding has some token of the same prompt.
    """

    prompts: list[int]
    roots: int
    lengths: list[int]
    ids: list[int]
    positions: list[int]
    keys: list[int]
    branch_tokens: list[int]
    branch_positions: list[int]
    places: list[int]


def plan_prefill(prompts: Sequence[Tokens]) -> Iterator[Prefill]:
    """Parts of few enough tokens that together have each prompt once.

    In the order of their tokens a prompt has nothing in common with an earlier one that it has not with the one before.
    """
    order = sorted(range(len(prompts)), key=lambda i: tuple(prompts[i]))
    start = 0
    while start < len(order):
        before: Tokens = ()
        shares: list[int] = []
        total = width = 0
        for number in order[start:]:
            prompt = prompts[number]
            # One token at least is run, as a query, of a prompt that was there before.
            shared = min(_common_prefix(before, prompt), len(prompt) - 1)
            shared = shared if shared >= MIN_SHARED else 0
            total, width, before = total + len(prompt) - shared, max(width, len(prompt)), prompt
            if shares and (total > PREFILL_TOKENS or (len(shares) + 1) * width > PREFILL_PLACES):
                break
            shares.append(shared)
        stop = start + len(shares)
        yield _make_prefill(order[start:stop], [prompts[number] for number in order[start:stop]], shares)
        start = stop


def _make_prefill(numbers: list[int], prompts: list[Tokens], shares: list[int]) -> Prefill:
    ids: list[int] = []
    positions: list[int] = []
    rows: list[list[int]] = []
    for prompt, shared in zip(prompts, shares, strict=True):
        new = len(prompt) - shared
        rows.append([*(rows[-1][:shared] if rows else ()), *range(len(ids), len(ids) + new)])
        ids += prompt[shared:]
        positions += range(shared, len(prompt))
    members = sorted(range(len(rows)), key=lambda i: shares[i] > 0)
    roots = shares.count(0)
    width, own_width = max(map(len, rows)), max((len(rows[i]) - shares[i] for i in members[roots:]), default=0)
    branch_tokens: list[int] = []
    places = [0] * len(ids)
    for place, i in enumerate(members):
        own = rows[i][shares[i] :]
        start = place * width if place < roots else roots * width + (place - roots) * own_width
        for offset, token in enumerate(own):
            places[token] = start + offset
        if place >= roots:
            branch_tokens += [*own, *[own[-1]] * (own_width - len(own))]
    return Prefill(
        prompts=[numbers[i] for i in members],
        roots=roots,
        lengths=[len(rows[i]) for i in members],
        ids=ids,
        positions=positions,
        keys=[token for i in members for token in (*rows[i], *[rows[i][0]] * (width - len(rows[i])))],
        branch_tokens=branch_tokens,
        branch_positions=[positions[token] for token in branch_tokens],
        places=places,
    )


def _common_prefix(first: Tokens, second: Tokens) -> int:
    """How many tokens both begin with."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


class Decoding:
    """Rows that decode together, several of them after each prompt; a prompt's keys and values are held once.

    Layout: N places of S slots, and a slot holds one row. Rows are numbered 0 … B-1 in the order of the prompts; a slot
    without a row computes what nobody reads. Of each layer there are the keys and values of the prompts and, in blocks,
    those of the rows' own tokens, written in place. The slots of a place are one matrix against its prompt's keys.
    Scores over prompt and own tokens share one softmax.
    """

    def __init__(self, network: Network, prompts: Sequence[Tokens], counts: Sequence[int], new_tokens: int) -> None:
        """`counts[i]` rows, each of at most `new_tokens`, follow `prompts[i]`."""
        self._longest = max(map(len, prompts))
        self._network, self._decoder = network, network.decoder
        self._device = network.decoder.embedding.device
        self._prompts, self._new = list(prompts), new_tokens
        self._groups = [group for group, count in enumerate(counts) for _ in range(count)]
        # Of each block of own tokens: its length, and the tensors of each layer.
        self._step, self._capacity = 0, 0
        self._blocks: list[tuple[int, list[_Cached]]] = []
        # What the kernels are called with in each layer; empty when it has to be made.
        self._calls: list[AttendCall] = []
        self._lay_out(counts)

    def _lay_out(self, counts: Sequence[int]) -> list[tuple[int, int]]:
        """Set the tensors that say where rows and places are; returns the places (see `arrange`)."""
        self._slots, places = arrange(counts)
        self._lengths = lengths = torch.tensor([len(self._prompts[group]) for group, _ in places])
        self._prefix_length = int(lengths.max())
        slots = torch.arange(self._slots)
        used = slots < torch.tensor([rows for _, rows in places])[:, None]
        self._rows = used.flatten().nonzero().squeeze(1).to(self._device)
        # A slot without a row computes with the row before it.
        self._row_of = (used.flatten().cumsum(0) - 1).to(self._device)
        self._full = bool(used.all())
        self._positions = lengths.repeat_interleave(self._slots).to(self._device)
        self._gap: Tensor | None = None
        if int(lengths.min()) < self._prefix_length:
            gap = torch.arange(self._prefix_length) >= lengths[:, None]
            mask = torch.zeros(gap.shape).masked_fill_(gap, -torch.inf).repeat_interleave(self._decoder.kv_heads, 0)
            self._gap = mask[:, None].to(self._device, self._decoder.embedding.dtype)
        return places

    # ------------------------------------------------------------------ prompts

    def prefill(self) -> Tensor:
        """Run each prompt once; logits `[B, vocabulary]` of the first token of each row."""
        d = self._decoder
        counts = [len(list(same)) for _, same in groupby(self._groups)]
        shape = (len(counts), d.kv_heads, self._longest, d.head_dim)
        # What follows a short prompt is read (and masked): zeros, as garbage there could be NaN.
        kept = [_Cached(*(d.embedding.new_zeros(shape) for _ in range(2))) for _ in d.layers]
        last = d.embedding.new_empty((len(counts), d.embedding.shape[1]))
        for part in plan_prefill(self._prompts):
            last[torch.tensor(part.prompts, device=self._device)] = self._prefill_part(kept, part)
        logits = self._network.logits(last)
        places = self._places = self._lay_out(counts)
        sources = torch.tensor([group for group, _ in places], device=self._device)
        split = len(places) > len(counts)
        # Here, in `_add_block` and in `keep` one layer after the other, so that no more than one is held twice.
        for index, cached in enumerate(kept):
            tensors = (cached.keys, cached.values)
            keys, values = ((t.index_select(0, sources) if split else t).flatten(0, 1) for t in tensors)
            kept[index] = _Cached(keys if self._network.kernels is None else tiled_keys(keys), values)
        self._prefixes = kept
        return logits.index_select(0, torch.tensor(self._groups, device=self._device))

    def _prefill_part(self, kept: list[_Cached], part: Prefill) -> Tensor:
        """Run some prompts, what they have in common once; returns the last hidden state of each, `[n, hidden]`."""
        d, network, device = self._decoder, self._network, self._device
        n, roots, width = len(part.prompts), part.roots, max(part.lengths)
        own_width = len(part.branch_tokens) // max(1, n - roots)
        prompts, ids, positions, keys, branch_tokens, places = (
            torch.tensor(numbers, device=device)
            for numbers in (part.prompts, part.ids, part.positions, part.keys, part.branch_tokens, part.places)
        )
        place = torch.arange(width, device=device)
        ends = torch.tensor(part.lengths, device=device) - 1
        last_tokens = keys.view(n, width).gather(1, ends[:, None]).squeeze(1)
        branch_ends = torch.tensor(part.branch_positions, device=device).view(-1, own_width) if own_width else None
        x, angles = network.embed(ids), network.angles(positions)
        attend = partial(functional.scaled_dot_product_attention, scale=d.score_scale, enable_gqa=d.heads != d.kv_heads)
        for index, layer in enumerate(network.layers):
            # The linear layers see each token of the tree once, attention each prompt by itself.
            q, k, v = network.project(layer, x, angles)
            k, v = (t.index_select(0, keys).view(n, width, *t.shape[1:]).transpose(1, 2) for t in (k, v))
            kept[index].keys[prompts, :, :width] = k
            kept[index].values[prompts, :, :width] = v
            if index + 1 == len(network.layers):
                # Of the last layer only each prompt's last token is read.
                q, x = q.index_select(0, last_tokens)[:, :, None], x.index_select(0, last_tokens)
                attended = attend(q, k, v, attn_mask=(place <= ends[:, None])[:, None, None]).flatten(1)
            else:
                whole = q.index_select(0, keys[: roots * width]).view(roots, width, *q.shape[1:]).transpose(1, 2)
                found = attend(whole, k[:roots], v[:roots], is_causal=True)
                attended = found.transpose(1, 2).flatten(0, 1)
                if branch_ends is not None:
                    own = q.index_select(0, branch_tokens).view(-1, own_width, *q.shape[1:]).transpose(1, 2)
                    seen = (place <= branch_ends[..., None])[:, None]
                    found = attend(own, k[roots:], v[roots:], attn_mask=seen)
                    attended = torch.cat([attended, found.transpose(1, 2).flatten(0, 1)])
                attended = attended.index_select(0, places).flatten(1)
            x = layer.finish(x, attended)
        return x

    # ------------------------------------------------------------------ tokens

    def step(self, tokens: Tensor) -> Tensor:
        """Feed one token a row, `[B]`; logits `[B, vocabulary]` of the next one."""
        network = self._network
        if self._step == self._capacity:
            self._add_block()
        x = network.embed(tokens if self._full else tokens.index_select(0, self._row_of))
        if network.kernels is not None:
            calls = self._calls = self._calls or [self._make_call(index) for index in range(len(network.layers))]
            for layer, call in zip(network.layers, calls, strict=True):
                x = layer.finish(x, network.kernels.attend(call, network.project_raw(layer, x), self._step))
        else:
            angles = network.angles(self._positions)
            for index, (layer, prefix) in enumerate(zip(network.layers, self._prefixes, strict=True)):
                own = [cached[index] for _, cached in self._blocks]
                x = layer.finish(x, self._attend(prefix, own, *network.project(layer, x, angles)))
        self._step += 1
        self._positions += 1
        return network.logits(x if self._full else x.index_select(0, self._rows))

    def _add_block(self) -> None:
        """Make room: the last block becomes twice as long, or, at its longest, another one begins."""
        d, (least, most) = self._decoder, BLOCK_TOKENS
        before, made = self._blocks.pop() if self._blocks and self._blocks[-1][0] < most else (0, [])
        size = min(max(least, 2 * before), most, before + self._new - self._capacity)
        if self._network.kernels is not None:
            size += -size % TILE
        rows = len(self._places) * d.kv_heads * self._slots
        shape = (rows, size, d.head_dim)
        key_shape = shape if self._network.kernels is None else (rows, size // TILE, d.head_dim, TILE)
        new_empty = d.embedding.new_empty
        self._calls = []
        for index in range(len(d.layers)):
            new = _Cached(new_empty(key_shape), new_empty(shape))
            if before:
                old = made[index]
                new.keys[:, : old.keys.shape[1]], new.values[:, :before] = old.keys, old.values
            made[index : index + 1] = [new]
        self._blocks.append((size, made))
        self._capacity += size - before

    def _make_call(self, index: int) -> AttendCall:
        """What the kernels need to know of a layer until blocks or rows change."""
        d, network, prefix = self._decoder, self._network, self._prefixes[index]
        return AttendCall(
            (len(self._places), self._slots, d.heads, d.kv_heads), network.layers[index].head_norms,
            (network.cos, network.sin), self._lengths, (prefix.keys, prefix.values),
            [(made[index].keys, made[index].values) for _, made in self._blocks], d.eps, d.score_scale,
        )  # fmt: skip

    def _attend(self, prefix: _Cached, own: list[_Cached], q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention `[N·S, heads · head_dim]` of one token a slot, whose keys and values join the last block."""
        d, slots, columns = self._decoder, self._slots, self._prefix_length
        n, groups = len(q) // slots, d.heads // d.kv_heads
        sizes = [size for size, _ in self._blocks]
        sizes[-1] = self._step + 1 - sum(sizes[:-1])
        for cached, new in ((own[-1].keys, k), (own[-1].values, v)):
            place = cached[:, sizes[-1] - 1].view(n, d.kv_heads, slots, d.head_dim)
            place.copy_(new.view(n, slots, d.kv_heads, d.head_dim).transpose(1, 2))
        q = q.view(n, slots, d.kv_heads, groups, d.head_dim).transpose(1, 2).contiguous()
        by_place, by_slot = (n * d.kv_heads, slots * groups), (n * d.kv_heads * slots, groups)
        scores = [
            torch.baddbmm(
                self._nothing if self._gap is None else self._gap, q.view(*by_place, -1),
                prefix.keys[:, :columns].transpose(1, 2), beta=0 if self._gap is None else 1, alpha=d.score_scale,
            )
        ]  # fmt: skip
        q = q.view(*by_slot, -1)
        for block, used in zip(own, sizes, strict=True):
            keys = block.keys[:, :used].transpose(1, 2)
            scores.append(torch.baddbmm(self._nothing, q, keys, beta=0, alpha=d.score_scale).view(*by_place, used))
        shares = torch.cat(scores, -1).softmax(-1)
        out = torch.bmm(shares[:, :, :columns], prefix.values[:, :columns])
        shares, mixed, start = shares.view(*by_slot, -1), out.view(*by_slot, d.head_dim), columns
        for block, used in zip(own, sizes, strict=True):
            mixed.baddbmm_(shares[:, :, start : start + used], block.values[:, :used])
            start += used
        return out.view(n, d.kv_heads, slots, -1).transpose(1, 2).reshape(n * slots, -1)

    @cached_property
    def _nothing(self) -> Tensor:
        return self._decoder.embedding.new_zeros((1, 1, 1))

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but `rows`, which are in ascending order; they get new numbers in that order."""
        d, slots = self._decoder, self._slots
        kv = torch.arange(d.kv_heads)
        old_slots = self._rows.tolist()
        old_kv_slots = slots
        kept_groups = [self._groups[row] for row in rows]
        numbers = {group: i for i, group in enumerate(dict.fromkeys(kept_groups))}
        place_of_group = {group: place for place, (group, _) in reversed(list(enumerate(self._places)))}
        counts = [kept_groups.count(group) for group in numbers]
        self._prompts = [self._prompts[group] for group in numbers]
        self._groups = [numbers[group] for group in kept_groups]
        step = self._step
        names = list(numbers)
        self._places = self._lay_out(counts)
        self._positions += step
        sources = torch.tensor([place_of_group[names[group]] for group, _ in self._places])
        old_of_row = torch.tensor([old_slots[row] for row in rows])
        # A slot without a row takes the numbers of some row, so that it computes with finite ones.
        from_slot = old_of_row[self._row_of.cpu()].view(len(self._places), 1, self._slots)
        place, slot = from_slot // old_kv_slots, from_slot % old_kv_slots
        own_rows = ((place * d.kv_heads + kv[:, None]) * old_kv_slots + slot).flatten().to(self._device)
        prefix_rows = (sources[:, None] * d.kv_heads + kv).flatten().to(self._device)
        self._calls = []
        for index, prefix in enumerate(self._prefixes):
            self._prefixes[index] = _selected(prefix, prefix_rows, self._prefix_length)
        for size, made in self._blocks:
            for index, cached in enumerate(made):
                made[index] = _selected(cached, own_rows, size)


def _selected(cached: _Cached, rows: Tensor, columns: int) -> _Cached:
    """Some rows of the first columns of a cache. Of the kernels' tiles a pair is kept whole, as they read both."""
    keys = 2 * -(-columns // (2 * TILE)) if cached.keys.ndim == 4 else columns
    return _Cached(cached.keys[:, :keys].index_select(0, rows), cached.values[:, :columns].index_select(0, rows))
