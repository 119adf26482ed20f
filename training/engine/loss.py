"""The policy-gradient loss as pure functions of tensors. No model, no state.

The clipped surrogate of PPO (arXiv 1707.06347) token by token, with the two clip ranges of DAPO (arXiv 2503.14476),
the k3 estimate of the KL divergence (Schulman, "Approximating KL divergence"), and three ways to make one number of it.
N below is the number of completion tokens in the batch, R of its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.core.types import Aggregation

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
    """Token estimates of KL(policy ‖ reference), `[N]`, never negative: exp(Δ) − Δ − 1 with Δ = reference − policy."""
    delta = (reference - logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return delta.exp() - delta - 1.0


def chosen_logprobs(logits: Tensor, tokens: Tensor, temperature: float) -> Tensor:
    """Log-probabilities `[N]` of `tokens` `[N]` under float32 `logits` `[N, V]`, temperature included (0 is 1)."""
    if temperature not in (0.0, 1.0):
        logits = logits / temperature
    return logits.gather(-1, tokens[:, None]).squeeze(-1) - logits.logsumexp(-1)
