"""AdamW with linear warm-up that keeps float32 copies of half-precision weights. Knows no loss.

A learning rate of 1e-6 is below what bfloat16 can add to a weight, so weights of lower precision have a float32
master here: gradients are accumulated into it, it is stepped, and the weight is rounded from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from training.engine.base import OptimStats

BETAS = (0.9, 0.95)


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
        """Learning rate of the next step: linear warm-up, then constant."""
        return self.learning_rate * min(1.0, (self.steps + 1) / max(1, self.warmup_steps))

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
        self.zero()
        return OptimStats(grad_norm=norm, skipped=not math.isfinite(norm))

    def zero(self) -> None:
        """Forget the gradient."""
        self._adam.zero_grad(set_to_none=True)

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
        return {"adam": self._adam.state_dict(), "masters": masters, "steps": self.steps}

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
        self.zero()


def _move_gradient_to(master: Tensor) -> Any:
    def move(parameter: Tensor) -> None:
        assert parameter.grad is not None
        gradient = parameter.grad.float()
        master.grad = gradient if master.grad is None else master.grad.add_(gradient)
        parameter.grad = None

    return move
