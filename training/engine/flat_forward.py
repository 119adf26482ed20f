"""Training pass of a known decoder: trees of rows as one matrix of tokens without padding, gradients by hand.

For models that `training.engine.decoder` describes, on the CPU. Linear layers see `[N, width]` of all tokens, so a
shared prompt is computed once and nothing is padded. Attention is computed in sequences: the tokens of a prompt see
that prompt, those of a completion see its prompt and themselves; sequences of like size share a bucket, where padding
is bounded. Each block is one autograd function whose backward pass is written out: few operations, few saved tensors,
and what is cheap is computed again. The head makes logits, loss and gradient a slice of tokens at a time, so that the
logits of a batch never exist at once. Equal to transformers up to rounding; attention is in float32 at least.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from training.engine.base import Tokens, TrainRow
from training.engine.decoder import Decoder, LayerWeights, LinearWeights, rotate, write_linear
from training.engine.update import TokenLoss, Tree, cut_batches, plan_trees
from training.memory import CPU_BATCH_TOKENS, HEAD_LOGITS

MAX_PADDING = 1.2
"""Padded over needed scores of a bucket."""
BUCKET_SCORES = 2**21
"""Scores of all heads that a bucket holds at once, 8 MiB, unless one sequence alone has more."""
MAX_SCORES = 2**26
"""Scores of one sequence, 256 MiB: a longer one is for an attention that never holds them."""
MIN_SLICE = 64
"""Tokens of a slice of logits at least, where `HEAD_LOGITS` would be fewer."""


@dataclass(frozen=True)
class Bucket:
    """R sequences of C queries (padded right) that see L keys (padded left, and right like the queries).

    `start`, `stop` are its rows among the heads of all queries, `key_start`, `key_stop` among those of all keys;
    `mask` `[R, 1, C, L]` is added to the scores.
    """

    sequences: int
    queries: int
    keys: int
    start: int
    stop: int
    key_start: int
    key_stop: int
    mask: Tensor


@dataclass(frozen=True)
class FlatBatch:
    """N tokens of trees and, as the last one, a token that stands for padding: it belongs to no sequence.

    `ids`, `positions` `[N + 1]`; `query_rows`, `key_rows` gather the heads of tokens into the order of the buckets,
    `token_rows` `[(N + 1) · heads]` gathers queries back; `sources`, `targets`, `row_order` as in `PackedBatch`, and
    `owners` too.
    """

    ids: Tensor
    positions: Tensor
    buckets: tuple[Bucket, ...]
    query_rows: Tensor
    key_rows: Tensor
    token_rows: Tensor
    sources: Tensor
    targets: Tensor
    owners: Tensor
    row_order: tuple[int, ...]
    keep_scores: bool
    """Whether the attention weights are kept for the backward pass, as they are small beside the rest."""


def fits(trees: Sequence[Tree], rows: Sequence[TrainRow], decoder: Decoder) -> bool:
    """Whether these trees are for this pass: no sequence is too long for the model's window or for `MAX_SCORES`."""
    for tree in trees:
        prompt, completion = len(tree.prompt), max(len(rows[i].completion) for i in tree.rows)
        scores = max(prompt * prompt, completion * (prompt + completion)) * decoder.heads
        if scores > MAX_SCORES or prompt + completion > (decoder.window or prompt + completion):
            return False
    return True


def lay_out(trees: Sequence[Tree], rows: Sequence[TrainRow], pad_id: int, decoder: Decoder) -> FlatBatch:
    """The tokens of `trees`, tree by tree: the prompt, then its completions without their last tokens."""
    ids: list[int] = []
    positions: list[int] = []
    sources: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    sequences: list[tuple[range, range]] = []
    for tree in trees:
        prompt = range(len(ids), len(ids) + len(tree.prompt))
        ids += tree.prompt
        positions += range(len(prompt))
        sequences.append((range(0), prompt))
        for index in tree.rows:
            completion = rows[index].completion
            own = range(len(ids), len(ids) + len(completion) - 1)
            ids += completion[:-1]
            positions += range(len(prompt), len(prompt) + len(own))
            if own:
                sequences.append((prompt, own))
            sources += [prompt[-1], *own]
            targets += completion
            owners += [index] * len(completion)
    padding = len(ids)
    buckets, queries, keys = _fill_buckets(sequences, padding, decoder)
    query_rows = _head_rows(queries, buckets, decoder, of_keys=False)
    token_rows = torch.zeros((padding + 1) * decoder.heads, dtype=torch.long)
    token_rows[query_rows] = torch.arange(len(query_rows))
    width = decoder.layers[0].gate.weight.shape[0] + 3 * len(decoder.norm)
    return FlatBatch(
        ids=torch.tensor([*ids, pad_id]),
        positions=torch.tensor([*positions, 0]),
        buckets=tuple(buckets),
        query_rows=query_rows,
        key_rows=_head_rows(keys, buckets, decoder, of_keys=True),
        token_rows=token_rows,
        sources=torch.tensor(sources),
        targets=torch.tensor(targets),
        owners=torch.tensor(owners),
        row_order=tuple(index for tree in trees for index in tree.rows),
        keep_scores=sum(b.stop - b.start for b in buckets) * max((b.keys for b in buckets), default=0)
        <= padding * width * 2,
    )


def _fill_buckets(
    sequences: list[tuple[range, range]], padding: int, decoder: Decoder
) -> tuple[list[Bucket], list[Tensor], list[Tensor]]:
    """Buckets of sequences of like size, and of each the tokens of its queries `[R, C]` and keys `[R, L]`."""
    ordered = sorted(sequences, key=lambda s: (len(s[1]), len(s[0])))
    cuts, needed, longest = [0], 0, 0
    for i, (prefix, own) in enumerate(ordered):
        size = len(own) * (len(prefix) + len(own))
        padded = (i + 1 - cuts[-1]) * len(own) * (max(longest, len(prefix)) + len(own))
        if i > cuts[-1] and (padded > MAX_PADDING * (needed + size) or padded * decoder.heads > BUCKET_SCORES):
            cuts.append(i)
            needed = longest = 0
        needed, longest = needed + size, max(longest, len(prefix))
    buckets: list[Bucket] = []
    all_queries: list[Tensor] = []
    all_keys: list[Tensor] = []
    start = key_start = 0
    for first, last in pairwise([*cuts, len(ordered)]):
        members = ordered[first:last]
        count, width, prefix_width = len(members), len(members[-1][1]), max(len(prefix) for prefix, _ in members)
        length = prefix_width + width
        keys = torch.full((count, length), padding)
        for r, (prefix, own) in enumerate(members):
            keys[r, prefix_width - len(prefix) : prefix_width] = torch.arange(prefix.start, prefix.stop)
            keys[r, prefix_width : prefix_width + len(own)] = torch.arange(own.start, own.stop)
        begins = torch.tensor([prefix_width - len(prefix) for prefix, _ in members])
        place = torch.arange(length)
        seen = (place[None, None, :] >= begins[:, None, None]) & (
            place[None, None, :] <= prefix_width + torch.arange(width)[None, :, None]
        )
        mask = torch.zeros(count, width, length).masked_fill_(~seen, -torch.inf)[:, None]
        stop, key_stop = start + count * width * decoder.heads, key_start + count * length * decoder.kv_heads
        buckets.append(Bucket(count, width, length, start, stop, key_start, key_stop, mask))
        all_queries.append(keys[:, prefix_width:])
        all_keys.append(keys)
        start, key_start = stop, key_stop
    return buckets, all_queries, all_keys


def _head_rows(tokens: list[Tensor], buckets: list[Bucket], decoder: Decoder, *, of_keys: bool) -> Tensor:
    """Rows of `[tokens · heads, head_dim]` in the order [sequence, key-value head, its query heads, token]."""
    heads = decoder.kv_heads if of_keys else decoder.heads
    offsets = torch.arange(heads)[None, :, None]
    return torch.cat([(tokens_RS[:, None, :] * heads + offsets).flatten() for tokens_RS in tokens])


# ---------------------------------------------------------------------- pieces of a block


class _Gradients:
    """Gradients of those tensors that are trained, by the tensor's identity."""

    def __init__(self, wanted: Sequence[Tensor]) -> None:
        self._wanted = {id(tensor) for tensor in wanted}
        self._found: dict[int, Tensor] = {}

    def wants(self, tensor: Tensor | None) -> bool:
        return id(tensor) in self._wanted

    def add(self, tensor: Tensor, gradient: Tensor) -> None:
        gradient = gradient.to(tensor.dtype)
        key = id(tensor)
        self._found[key] = self._found[key] + gradient if key in self._found else gradient

    def of(self, tensors: Sequence[Tensor]) -> list[Tensor | None]:
        return [self._found.get(id(tensor)) for tensor in tensors]


def _linear_backward(
    layer: LinearWeights, x: Tensor, lows: Sequence[Tensor], dy: Tensor, gradients: _Gradients, dx: Tensor | None = None
) -> Tensor:
    """The gradient of `x`, added to `dx` where that is given; those of the weights go to `gradients`."""
    if gradients.wants(layer.weight):
        gradients.add(layer.weight, dy.t() @ x)
    if layer.bias is not None and gradients.wants(layer.bias):
        gradients.add(layer.bias, dy.sum(0))
    dx = dy @ layer.weight if dx is None else dx.addmm_(dy, layer.weight)
    for adapter, low in zip(layer.adapters, lows, strict=True):
        dlow = (dy @ adapter.up).mul_(adapter.scale)
        if gradients.wants(adapter.down):
            gradients.add(adapter.down, dlow.t() @ x)
        if gradients.wants(adapter.up):
            gradients.add(adapter.up, (dy.t() @ low).mul_(adapter.scale))
        dx.addmm_(dlow, adapter.down)
    return dx


def _wide_type(x: Tensor) -> torch.dtype:
    """At least float32."""
    return torch.promote_types(x.dtype, torch.float32)


def _wide(x: Tensor) -> Tensor:
    return x.to(_wide_type(x))


def _rms(x: Tensor, eps: float) -> Tensor:
    """1 / root mean square of the last dimension, `[..., 1]`, at least float32."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=_wide_type(x))
    return norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()


def _normed(x: Tensor, scale: Tensor, weight: Tensor) -> Tensor:
    """The RMS norm, rounded to the type of `x` before the weight, as the models do."""
    return (x * scale).to(x.dtype).mul_(weight)


def _norm_backward(dy: Tensor, x: Tensor, scale: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of `x`, and dy · x/rms, whose sum over all but the weight's dimensions is the weight's; float32."""
    dy, plain = _wide(dy), x * scale
    dweight = dy * plain
    down = dy * weight
    mean = (down * plain).mean(-1, keepdim=True)
    return down.addcmul_(plain, mean, value=-1).mul_(scale), dweight


@dataclass(frozen=True)
class _Pass:
    """What all blocks of one pass share. `cos` `[N + 1, 1, head_dim]`, `sin` half as wide, float32."""

    decoder: Decoder
    batch: FlatBatch
    cos: Tensor
    sin: Tensor


def _weights(q: Tensor, k: Tensor, bucket: Bucket) -> Tensor:
    """Attention weights `[R · kv_heads, query heads of each · C, L]`; `q` is scaled."""
    scores = torch.bmm(q, k.transpose(1, 2))
    split = scores.view(bucket.sequences, -1, bucket.queries, bucket.keys)
    split.add_(bucket.mask)
    return torch.softmax(scores, -1)


def _bucket_views(bucket: Bucket, decoder: Decoder, q: Tensor, *keyed: Tensor) -> list[Tensor]:
    """`q` as `[R · kv_heads, G · C, head_dim]` and the others as `[R · kv_heads, L, head_dim]`."""
    outer = bucket.sequences * decoder.kv_heads
    of_keys = [x[bucket.key_start : bucket.key_stop].view(outer, bucket.keys, -1) for x in keyed]
    return [q[bucket.start : bucket.stop].view(outer, -1, decoder.head_dim), *of_keys]


class _Block(torch.autograd.Function):
    """One decoder block. `trained` are the tensors of the layer that get a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: LayerWeights, run: _Pass, *trained: Tensor) -> Tensor:
        d, batch = run.decoder, run.batch
        n, wide, narrow = len(x), d.heads * d.head_dim, d.kv_heads * d.head_dim
        lows: list[list[Tensor]] = []

        scale1 = _rms(x, d.eps)
        normed = _normed(x, scale1, layer.attention_norm)
        qk, v = x.new_empty(n, wide + narrow), x.new_empty(n, narrow)
        lows.append(write_linear(layer.q, normed, qk[:, :wide]))
        lows.append(write_linear(layer.k, normed, qk[:, wide:]))
        lows.append(write_linear(layer.v, normed, v))
        del normed
        qk = _wide(qk.view(n, d.heads + d.kv_heads, d.head_dim))
        plain_qk = scale_qk = None
        turned = qk
        if layer.q_norm is not None:
            plain_qk, scale_qk = qk, _rms(qk, d.eps)
            turned = (qk * scale_qk).mul_(_head_weights(layer, d))
        turned = rotate(turned, run.cos, run.sin)
        q_rows = turned[:, : d.heads].reshape(-1, d.head_dim).index_select(0, batch.query_rows).mul_(d.score_scale)
        k_rows = turned[:, d.heads :].reshape(-1, d.head_dim).index_select(0, batch.key_rows)
        v_rows = _wide(v.view(-1, d.head_dim).index_select(0, batch.key_rows))
        del turned, qk, v

        o_rows = torch.empty_like(q_rows)
        kept: list[Tensor] = []
        for bucket in batch.buckets:
            q, k, values = _bucket_views(bucket, d, q_rows, k_rows, v_rows)
            weights = _weights(q, k, bucket)
            torch.bmm(weights, values, out=o_rows[bucket.start : bucket.stop].view_as(q))
            if batch.keep_scores and ctx is not None:
                kept.append(weights)
        o = o_rows.index_select(0, batch.token_rows).view(n, wide).to(x.dtype)
        del o_rows

        middle = torch.empty_like(x)
        lows.append(write_linear(layer.o, o, middle))
        middle += x
        scale2 = _rms(middle, d.eps)
        normed = _normed(middle, scale2, layer.mlp_norm)
        gate, up = (x.new_empty(n, layer.gate.weight.shape[0]) for _ in range(2))
        lows.append(write_linear(layer.gate, normed, gate))
        lows.append(write_linear(layer.up, normed, up))
        inner = functional.silu(gate).mul_(up)
        out = torch.empty_like(x)
        lows.append(write_linear(layer.down, inner, out))
        out += middle
        if ctx is not None:
            ctx.layer, ctx.run, ctx.trained = layer, run, trained
            ctx.low_counts = [len(some) for some in lows]
            ctx.save_for_backward(
                x, scale1, plain_qk, scale_qk, q_rows, k_rows, v_rows, o, middle, scale2, gate, up,
                *[low for some in lows for low in some], *kept,
            )  # fmt: skip
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        layer, run, trained = ctx.layer, ctx.run, ctx.trained
        d, batch = run.decoder, run.batch
        x, scale1, plain_qk, scale_qk, q_rows, k_rows, v_rows, o, middle, scale2, gate, up, *rest = ctx.saved_tensors
        lows = [[rest.pop(0) for _ in range(count)] for count in ctx.low_counts]
        low_q, low_k, low_v, low_o, low_gate, low_up, low_down = lows
        kept = rest
        (dout,) = grad_outputs
        n, wide = len(x), d.heads * d.head_dim
        gradients = _Gradients(trained)

        activated = functional.silu(gate)
        dinner = _linear_backward(layer.down, activated * up, low_down, dout, gradients)
        dup = activated.mul_(dinner)
        dgate = torch.ops.aten.silu_backward(dinner.mul_(up), gate)
        normed = _normed(middle, scale2, layer.mlp_norm)
        dnormed = _linear_backward(layer.gate, normed, low_gate, dgate, gradients)
        dnormed = _linear_backward(layer.up, normed, low_up, dup, gradients, dnormed)
        del activated, dinner, dup, dgate
        dmiddle, dweight = _norm_backward(dnormed, middle, scale2, layer.mlp_norm)
        if gradients.wants(layer.mlp_norm):
            gradients.add(layer.mlp_norm, dweight.sum(0))
        dmiddle = dmiddle.add_(dout).to(x.dtype)

        do = _linear_backward(layer.o, o, low_o, dmiddle, gradients)
        do_rows = _wide(do.view(-1, d.head_dim).index_select(0, batch.query_rows))
        dq_rows, dk_rows, dv_rows = torch.empty_like(q_rows), torch.empty_like(k_rows), torch.empty_like(v_rows)
        for i, bucket in enumerate(batch.buckets):
            q, k, values, dk, dv = _bucket_views(bucket, d, q_rows, k_rows, v_rows, dk_rows, dv_rows)
            weights = kept[i] if kept else _weights(q, k, bucket)
            do_bucket, dq = do_rows[bucket.start : bucket.stop].view_as(q), dq_rows[bucket.start : bucket.stop]
            torch.bmm(weights.transpose(1, 2), do_bucket, out=dv)
            dweights = torch.bmm(do_bucket, values.transpose(1, 2))
            dscores = torch._softmax_backward_data(dweights, weights, -1, weights.dtype)
            torch.bmm(dscores, k, out=dq.view_as(q))
            torch.bmm(dscores.transpose(1, 2), q, out=dk)
        dqk = q_rows.new_zeros(n, d.heads + d.kv_heads, d.head_dim)
        torch.mul(dq_rows.index_select(0, batch.token_rows).view(n, d.heads, -1), d.score_scale, out=dqk[:, : d.heads])
        dk_tokens, dv = (
            rows.new_zeros(n * d.kv_heads, d.head_dim).index_add_(0, batch.key_rows, rows)
            for rows in (dk_rows, dv_rows)
        )
        dqk[:, d.heads :] = dk_tokens.view(n, d.kv_heads, -1)
        # The token that stands for padding was gathered with somebody else's gradient.
        dqk[-1] = 0.0
        dqk = rotate(dqk, run.cos, -run.sin)
        if layer.q_norm is not None:
            dqk, dweight = _norm_backward(dqk, plain_qk, scale_qk, _head_weights(layer, d))
            if gradients.wants(layer.q_norm):
                gradients.add(layer.q_norm, dweight[:, : d.heads].sum((0, 1)))
            if gradients.wants(layer.k_norm):
                gradients.add(layer.k_norm, dweight[:, d.heads :].sum((0, 1)))
        dqk = dqk.view(n, -1).to(x.dtype)
        normed = _normed(x, scale1, layer.attention_norm)
        dnormed = _linear_backward(layer.q, normed, low_q, dqk[:, :wide], gradients)
        dnormed = _linear_backward(layer.k, normed, low_k, dqk[:, wide:], gradients, dnormed)
        dnormed = _linear_backward(layer.v, normed, low_v, dv.view(n, -1).to(x.dtype), gradients, dnormed)
        dx, dweight = _norm_backward(dnormed, x, scale1, layer.attention_norm)
        if gradients.wants(layer.attention_norm):
            gradients.add(layer.attention_norm, dweight.sum(0))
        return dx.add_(dmiddle).to(x.dtype), None, None, *gradients.of(trained)


def _head_weights(layer: LayerWeights, d: Decoder) -> Tensor:
    """Weights of the norms of queries and keys, `[heads + kv_heads, head_dim]`, float32."""
    assert layer.q_norm is not None
    assert layer.k_norm is not None
    return _wide(torch.cat([layer.q_norm.expand(d.heads, -1), layer.k_norm.expand(d.kv_heads, -1)]))


def _tensors(layer: LayerWeights) -> list[Tensor]:
    """All tensors of a block, each once."""
    found = [layer.attention_norm, layer.mlp_norm, layer.q_norm, layer.k_norm]
    for linear in (layer.q, layer.k, layer.v, layer.o, layer.gate, layer.up, layer.down):
        found += [linear.weight, linear.bias]
        found += [tensor for adapter in linear.adapters for tensor in (adapter.down, adapter.up)]
    return list({id(tensor): tensor for tensor in found if tensor is not None}.values())


# ---------------------------------------------------------------------- the whole pass


def hidden_states(decoder: Decoder, batch: FlatBatch) -> Tensor:
    """Output `[N + 1, hidden]` of the last block, before the final norm, with gradient where that is enabled."""
    angles = batch.positions[:, None, None].float() * decoder.frequencies.float()
    cos, sin = angles.cos() * decoder.rope_scale, angles.sin() * decoder.rope_scale
    run = _Pass(decoder, batch, torch.cat([cos, cos], -1), sin)
    x = functional.embedding(batch.ids, decoder.embedding, decoder.padding_id)
    for layer in decoder.layers:
        if torch.is_grad_enabled():
            trained = [tensor for tensor in _tensors(layer) if tensor.requires_grad]
            x = _Block.apply(x, layer, run, *trained)  # type: ignore[no-untyped-call]
        else:
            x = _Block.forward(None, x, layer, run)
    return x


LossOf = Callable[[Tensor, slice], TokenLoss]
"""The loss of a slice of the batch's completion tokens, from their log-probabilities."""


def _slices(batch: FlatBatch, decoder: Decoder) -> list[slice]:
    size = max(MIN_SLICE, HEAD_LOGITS // len(decoder.head.weight))
    return [slice(start, start + size) for start in range(0, len(batch.targets), size)]


def _all_logprobs(decoder: Decoder, normed: Tensor, temperature: float) -> Tensor:
    """Log-probabilities `[n, V]` of all tokens, float32."""
    logits = _wide(functional.linear(normed, decoder.head.weight, decoder.head.bias))
    if temperature not in (0.0, 1.0):
        logits /= temperature
    return torch.log_softmax(logits, -1)


@torch.no_grad()
def logprobs(decoder: Decoder, batch: FlatBatch, temperature: float) -> Tensor:
    """Log-probabilities `[N]` of the completion tokens, without gradient."""
    hidden = hidden_states(decoder, batch).index_select(0, batch.sources)
    normed = _normed(hidden, _rms(hidden, decoder.eps), decoder.norm)
    return torch.cat([
        _all_logprobs(decoder, normed[part], temperature).gather(1, batch.targets[part, None]).squeeze(1)
        for part in _slices(batch, decoder)
    ])  # fmt: skip


class _Head(torch.autograd.Function):
    """The final norm, the head and the loss: gradients are made in the forward pass, slice by slice."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, decoder: Decoder, batch: FlatBatch, temperature: float, loss_of: LossOf,
        into: list[tuple[Tensor, TokenLoss]], *trained: Tensor,
    ) -> Tensor:  # fmt: skip
        gradients, head = _Gradients(trained), decoder.head
        chosen = hidden.index_select(0, batch.sources)
        scale = _rms(chosen, decoder.eps)
        normed = _normed(chosen, scale, decoder.norm)
        dnormed = torch.empty_like(normed)
        dhead = torch.zeros_like(head.weight, dtype=_wide_type(head.weight)) if gradients.wants(head.weight) else None
        total = hidden.new_zeros((), dtype=_wide_type(hidden))
        for part in _slices(batch, decoder):
            scores = _all_logprobs(decoder, normed[part], temperature)
            targets = batch.targets[part, None]
            with torch.enable_grad():
                found = scores.gather(1, targets).squeeze(1).requires_grad_()
                result = loss_of(found, part)
                (slope,) = torch.autograd.grad(result.loss, found)
            into.append((found.detach(), result))
            total += result.loss.detach()
            # d loss / d logits = slope · (1 at the target − probabilities)
            dlogits = scores.exp_().mul_(-slope[:, None]).scatter_add_(1, targets, slope[:, None])
            if temperature not in (0.0, 1.0):
                dlogits /= temperature
            dlogits = dlogits.to(normed.dtype)
            torch.mm(dlogits, head.weight, out=dnormed[part])
            if dhead is not None:
                if dhead.dtype == dlogits.dtype:
                    dhead.addmm_(dlogits.t(), normed[part])
                else:
                    dhead += dlogits.t() @ normed[part]
            if head.bias is not None and gradients.wants(head.bias):
                gradients.add(head.bias, dlogits.sum(0))
        if dhead is not None:
            gradients.add(head.weight, dhead)
        dchosen, dweight = _norm_backward(dnormed, chosen, scale, decoder.norm)
        if gradients.wants(decoder.norm):
            gradients.add(decoder.norm, dweight.sum(0))
        dhidden = torch.zeros_like(hidden).index_add_(0, batch.sources, dchosen.to(hidden.dtype))
        ctx.save_for_backward(dhidden, *gradients.of(trained))
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (factor,) = grad_outputs
        if float(factor) != 1.0:
            raise ValueError("the loss is differentiated alone: its gradients are made ahead")
        dhidden, *rest = ctx.saved_tensors
        return dhidden, None, None, None, None, None, *rest


def policy_gradient(
    decoder: Decoder, batch: FlatBatch, temperature: float, loss_of: LossOf
) -> tuple[Tensor, TokenLoss]:
    """Add the gradient of the loss over the batch to the trained tensors; log-probabilities `[N]` and the loss."""
    hidden = hidden_states(decoder, batch)
    parts: list[tuple[Tensor, TokenLoss]] = []
    last = (decoder.norm, decoder.head.weight, decoder.head.bias)
    trained = [tensor for tensor in last if tensor is not None and tensor.requires_grad]
    loss = _Head.apply(hidden, decoder, batch, temperature, loss_of, parts, *trained)  # type: ignore[no-untyped-call]
    loss.backward()
    found = [result for _, result in parts]
    clipped, kl = (torch.stack(x).sum() for x in ([r.clipped_sum for r in found], [r.kl_sum for r in found]))
    return torch.cat([logprobs_n for logprobs_n, _ in parts]), TokenLoss(loss.detach(), clipped, kl)


def supervised_gradient(
    decoder: Decoder, pairs: Sequence[tuple[Tokens, Tokens]], pad_id: int, scale: float
) -> tuple[float, int]:
    """Add the gradient of scale · Σ −log p over the completion tokens of `pairs` (prompt, completion).

    Returns the sum of −log p in nats, without `scale`, and the tokens; micro-batches are cut here. ValueError for a
    sequence that `fits` refuses.
    """
    rows = [TrainRow(tuple(prompt), tuple(completion), (), 1.0) for prompt, completion in pairs if completion]
    none = torch.zeros(())

    def loss_of(logprobs_N: Tensor, part: slice) -> TokenLoss:
        return TokenLoss(-scale * logprobs_N.sum(), none, none)

    total, count = 0.0, 0
    for trees in cut_batches(plan_trees(rows, range(len(rows))), CPU_BATCH_TOKENS):
        if not fits(trees, rows, decoder):
            raise ValueError("a sequence is too long for the training pass without padding")
        logprobs_N, _ = policy_gradient(decoder, lay_out(trees, rows, pad_id, decoder), 1.0, loss_of)
        total, count = total - float(logprobs_N.sum()), count + len(logprobs_N)
    return total, count
