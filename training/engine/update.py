"""One update: rows laid out as batches, the policy-gradient loss, and the optimiser. No model.

Layout: a tree is one prompt followed by the completions of it, one after the other, so that a shared prompt is computed
once. Each completion sees the prompt and itself, and its positions continue the prompt's, so the numbers are those of
separate rows. The last token of a completion is predicted but never read, so it is not laid out.
Loss: the clipped surrogate of PPO (arXiv 1707.06347) token by token, with the two clip ranges of DAPO (arXiv
2503.14476), the k3 estimate of the KL divergence (Schulman, "Approximating KL divergence"), and three ways to make one
number of it. N below is the number of completion tokens in the batch, R of its rows.
Optimiser: a learning rate of 1e-6 is below what bfloat16 can add to a weight, so weights of lower precision have a
float32 master: gradients are accumulated into it, it is stepped, and the weight is rounded from it.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.core.types import Aggregation
from training.engine.base import OptimStats, TrainRow

TREE_TOKENS = 768
"""Longest tree of more than one completion: attention is computed over its whole square."""


@dataclass(frozen=True)
class Tree:
    """Rows of one prompt, by their index in the update."""

    prompt: tuple[int, ...]
    rows: tuple[int, ...]
    length: int


@dataclass(frozen=True)
class PackedBatch:
    """B trees padded right to T columns, and N completion tokens gathered from them.

    `ids`, `positions` `[B, T]`; `mask` `[B, 1, T, T]` (True = may see), or None where plain causality does;
    `sources` `[N]` flat indices into B·T of the hidden states that predict `targets` `[N]`;
    `owners` `[N]` the row of each token, by its index in the update.
    """

    ids: Tensor
    positions: Tensor | None
    mask: Tensor | None
    sources: Tensor
    targets: Tensor
    owners: Tensor
    row_order: tuple[int, ...]
    """Rows in the order of their tokens in `targets`."""


def plan_trees(rows: Sequence[TrainRow], indices: Sequence[int], tree_tokens: int = TREE_TOKENS) -> list[Tree]:
    """Group `rows[indices]` by prompt into trees of at most `tree_tokens` (one completion always fits), shortest first.

    The result depends on the rows' contents, not on their order.
    """
    ordered = sorted(indices, key=lambda i: (rows[i].prompt, len(rows[i].completion), rows[i].completion))
    trees: list[Tree] = []
    for index in ordered:
        row, extra = rows[index], len(rows[index].completion) - 1
        last = trees[-1] if trees else None
        if last is not None and last.prompt == row.prompt and last.length + extra <= tree_tokens:
            trees[-1] = Tree(last.prompt, (*last.rows, index), last.length + extra)
        else:
            trees.append(Tree(row.prompt, (index,), len(row.prompt) + extra))
    return sorted(trees, key=lambda tree: tree.length)


def cut_batches(trees: Sequence[Tree], token_budget: int) -> Iterator[list[Tree]]:
    """Consecutive trees whose padded size stays within `token_budget`; a tree that is larger goes alone."""
    batch: list[Tree] = []
    for tree in trees:
        if batch and (len(batch) + 1) * tree.length > token_budget:
            yield batch
            batch = []
        batch.append(tree)
    if batch:
        yield batch


def pack(trees: Sequence[Tree], rows: Sequence[TrainRow], pad_id: int, device: torch.device) -> PackedBatch:
    """Lay out `trees` on `device`; the mask is made there, as it is the square of what the rest is."""
    width = max(tree.length for tree in trees)
    ids = torch.full((len(trees), width), pad_id)
    positions = torch.zeros((len(trees), width), dtype=torch.long)
    # Segment 0 is the prompt, 1, 2, … the completions, -1 the padding.
    segments = torch.full((len(trees), width), -1)
    sources: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    for b, tree in enumerate(trees):
        prompt = len(tree.prompt)
        ids[b, :prompt] = torch.tensor(tree.prompt)
        positions[b, :prompt] = torch.arange(prompt)
        segments[b, :prompt] = 0
        start = prompt
        for segment, index in enumerate(tree.rows, 1):
            completion = rows[index].completion
            stop = start + len(completion) - 1
            ids[b, start:stop] = torch.tensor(completion[:-1], dtype=torch.long)
            positions[b, start:stop] = torch.arange(prompt, prompt + stop - start)
            segments[b, start:stop] = segment
            sources += [b * width + prompt - 1, *range(b * width + start, b * width + stop)]
            targets += completion
            owners += [index] * len(completion)
            start = stop
    shared = any(len(tree.rows) > 1 for tree in trees)
    order = tuple(index for tree in trees for index in tree.rows)
    mask = tree_mask(segments.to(device)) if shared else None
    places, wanted, rows_N = (torch.tensor(numbers, device=device) for numbers in (sources, targets, owners))
    return PackedBatch(
        ids.to(device), positions.to(device) if shared else None, mask, places, wanted, rows_N, order
    )  # fmt: skip


def tree_mask(segments: Tensor) -> Tensor:
    """`[B, 1, T, T]`, True where a column of the same segment or of the prompt stands before (or at) the row's."""
    width = segments.shape[1]
    causal = torch.ones(width, width, dtype=torch.bool, device=segments.device).tril()
    same = segments[:, :, None] == segments[:, None, :]
    prompt = (segments == 0)[:, None, :]
    return ((same | prompt) & causal)[:, None]


MAX_LOG_RATIO = 20.0
"""Log-ratios are held within this, so that one absurd token cannot make the loss infinite."""


@dataclass(frozen=True)
class TokenBatch:
    """One entry a completion token, each `[N]`; only `logprobs` carries gradient.

    `scale` is the token's share in the whole update, from `token_scales`; `reference` is None without KL.
    """

    logprobs: Tensor
    old_logprobs: Tensor
    advantages: Tensor
    weights: Tensor
    clip_low: Tensor
    clip_high: Tensor
    scale: Tensor
    reference: Tensor | None = None


@dataclass(frozen=True)
class TokenLoss:
    """`loss` is a scalar with gradient; the sums are over tokens, without gradient."""

    loss: Tensor
    clipped_sum: Tensor
    kl_sum: Tensor


def token_scales(lengths: Sequence[int], aggregation: Aggregation, max_tokens: int = 0) -> list[float]:
    """What one token of each row is multiplied by, R numbers; `lengths` are completion lengths of the WHOLE update.

    TOKEN 1/Σlengths; SEQUENCE 1/(R·length); CONSTANT 1/(R·max_tokens). CONSTANT without `max_tokens` is a ValueError.
    """
    rows = len(lengths)
    if aggregation is Aggregation.TOKEN:
        return [1.0 / sum(lengths)] * rows if rows else []
    if aggregation is Aggregation.SEQUENCE:
        return [1.0 / (rows * length) for length in lengths]
    if max_tokens < 1:
        raise ValueError("constant aggregation divides by max_tokens, which is not set")
    return [1.0 / (rows * max_tokens)] * rows


def policy_loss(batch: TokenBatch, *, kl: float = 0.0, on_policy: bool = True) -> TokenLoss:
    """Σ scale · weight · (−min(ρA, clip(ρ)A) + kl·k3), to be minimised.

    On-policy ρ = exp(lp − stop_gradient(lp)), which is 1 and has the gradient of lp; otherwise
    ρ = exp(lp − sampler's lp). A row's weight multiplies its policy term and its KL term alike.
    """
    logprobs = batch.logprobs
    old = logprobs.detach() if on_policy else batch.old_logprobs
    ratio = (logprobs - old).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    bounded = torch.minimum(torch.maximum(ratio, 1.0 - batch.clip_low), 1.0 + batch.clip_high)
    plain, clipped = ratio * batch.advantages, bounded * batch.advantages
    per_token = -torch.minimum(plain, clipped)
    kl_sum = torch.zeros((), device=logprobs.device)
    if kl > 0.0 and batch.reference is not None:
        estimate = k3(logprobs, batch.reference)
        per_token = per_token + kl * estimate
        kl_sum = estimate.detach().sum()
    loss = (per_token * batch.weights * batch.scale).sum()
    return TokenLoss(loss, (clipped < plain).sum().detach(), kl_sum)


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """Token estimates of KL(policy ‖ reference), `[N]`, never negative: exp(Δ) − Δ − 1 with Δ = reference − policy.

    As a loss on samples of the policy it has the gradient of KL(reference ‖ policy): it keeps the reference's whole
    range likely, which is what the term is for. By default TRL multiplies it by the importance ratio
    (`use_bias_correction_kl`); that has the gradient of KL(policy ‖ reference), which lets a policy drop what the
    reference can do, and on samples of older weights it is unbiased, where this one is not. Such samples are few here
    (left-over groups, later epochs), and the weights of the KL terms were chosen for this one.
    """
    delta = (reference - logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return delta.exp() - delta - 1.0


def chosen_logprobs(logits: Tensor, tokens: Tensor, temperature: float) -> Tensor:
    """Log-probabilities `[N]` of `tokens` `[N]` under float32 `logits` `[N, V]`, temperature included (0 is 1)."""
    if temperature not in (0.0, 1.0):
        logits = logits / temperature
    return logits.gather(-1, tokens[:, None]).squeeze(-1) - logits.logsumexp(-1)


def chunked_logprobs(
    head: Callable[[Tensor], Tensor],
    hidden_NH: Tensor,
    tokens_N: Tensor,
    temperature: float,
    vocabulary: int,
    max_logits: int,
) -> Tensor:
    """`chosen_logprobs` `[N]` of the logits that `head` makes of `hidden_NH`, at most `max_logits` of them at a time.

    Where all fit, they are made once. Otherwise those of each chunk are made a second time in the backward pass.
    """
    size = max(1, max_logits // vocabulary)
    if len(hidden_NH) <= size:
        return chosen_logprobs(head(hidden_NH), tokens_N, temperature)

    def of_chunk(hidden: Tensor, tokens: Tensor) -> Tensor:
        return chosen_logprobs(head(hidden), tokens, temperature)

    chunks = zip(torch.split(hidden_NH, size), torch.split(tokens_N, size), strict=True)
    # Nothing in a head is random, so no generator state need be kept.
    return torch.cat([checkpoint(of_chunk, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks])


BETAS = (0.9, 0.95)


def warmed_rate(rate: float, steps: int, warmup_steps: int) -> float:
    """Learning rate of the step after `steps`: linear warm-up, then constant."""
    return rate * min(1.0, (steps + 1) / max(1, warmup_steps))


class WarmedAdamW:
    """AdamW over `parameters`. `max_grad_norm` 0 does not clip."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        learning_rate: float,
        warmup_steps: int,
        weight_decay: float,
        max_grad_norm: float,
    ) -> None:
        self.learning_rate, self.warmup_steps, self.max_grad_norm = learning_rate, warmup_steps, max_grad_norm
        self.steps = 0
        self._pairs: list[tuple[nn.Parameter, Tensor]] = []
        self._hooks: list[Any] = []
        for parameter in parameters:
            master: Tensor = parameter
            if parameter.dtype is not torch.float32:
                master = parameter.detach().float().requires_grad_(True)
                self._hooks.append(
                    parameter.register_post_accumulate_grad_hook(_move_gradient_to(master))  # type: ignore[no-untyped-call]
                )
            self._pairs.append((parameter, master))
        self._masters = [master for _, master in self._pairs]
        # Norms, biases and other vectors are not decayed.
        groups = [
            {"params": [m for m in self._masters if m.ndim >= 2], "weight_decay": weight_decay},
            {"params": [m for m in self._masters if m.ndim < 2], "weight_decay": 0.0},
        ]
        self._adam = torch.optim.AdamW([g for g in groups if g["params"]], lr=learning_rate, betas=BETAS)

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return warmed_rate(self.learning_rate, self.steps, self.warmup_steps)

    def step(self) -> OptimStats:
        """Clip, step, zero. A gradient that is not finite is dropped; without any gradient nothing moves."""
        gradients = [m.grad for m in self._masters if m.grad is not None]
        if not gradients:
            return OptimStats(grad_norm=0.0, skipped=False)
        limit = self.max_grad_norm if self.max_grad_norm > 0 else math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self._masters, limit))
        if math.isfinite(norm):
            for group in self._adam.param_groups:
                group["lr"] = self.rate
            self._adam.step()
            self.steps += 1
            self._round()
        self._adam.zero_grad(set_to_none=True)
        return OptimStats(grad_norm=norm, skipped=not math.isfinite(norm))

    def drop_gradients(self) -> None:
        for pair in self._pairs:
            for tensor in pair:
                tensor.grad = None

    @torch.no_grad()
    def _round(self) -> None:
        for parameter, master in self._pairs:
            if parameter is not master:
                parameter.copy_(master)

    @torch.no_grad()
    def refresh_masters(self) -> None:
        """Take the masters from the weights, after somebody else wrote those."""
        for parameter, master in self._pairs:
            if parameter is not master:
                master.copy_(parameter)

    def state(self) -> dict[str, Any]:
        """What `restore` needs: tensors, numbers and lists only."""
        masters = [m.detach() for p, m in self._pairs if p is not m]
        adam = self._adam.state_dict()
        for group in adam["param_groups"]:
            # Not the rate of the last step, which is set before each one.
            group["lr"] = self.learning_rate
        return {"adam": adam, "masters": masters, "steps": self.steps}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Take up the saved moments, masters and step count; the learning rate stays this object's own."""
        own = [m for p, m in self._pairs if p is not m]
        if len(own) == len(state["masters"]):
            for master, saved in zip(own, state["masters"], strict=True):
                master.copy_(saved)
        saved_adam = state["adam"]
        for group, mine in zip(saved_adam["param_groups"], self._adam.state_dict()["param_groups"], strict=True):
            group.update({k: v for k, v in mine.items() if k != "params"})
        self._adam.load_state_dict(saved_adam)
        self.steps = int(state["steps"])
        self._adam.zero_grad(set_to_none=True)


def _move_gradient_to(master: Tensor) -> Any:
    def move(parameter: Tensor) -> None:
        assert parameter.grad is not None
        gradient = parameter.grad.float()
        master.grad = gradient if master.grad is None else master.grad.add_(gradient)
        parameter.grad = None

    return move
