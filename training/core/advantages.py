"""What each role is paid, and the advantages made of it, role by role and prompt by prompt. Pure.

Groups are never pooled. Of the rewards `drop` is the paper's; `indicator` is reported of it; `margin` and the gates
are ours.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Generic, TypeVar

from training.core.types import Outcome


def reasoner_reward(outcome: Outcome, truncated: bool) -> float:
    """1 for a right and complete answer, else 0."""
    return 1.0 if outcome is Outcome.RIGHT and not truncated else 0.0


def adversary_reward(kind: str, p_clean: float, p_hint: float, margin: float = 0.0) -> float:
    """Pay for a hint that passed the gates, from the mean correctness without and with it.

    `drop`: p_clean − p_hint, in [−1, 1]. `indicator`: 1 where it is positive; it pays a no-op hint by luck.
    `margin`: 1 where it exceeds `margin`. `learnable`: the drop where some solution is right, else 0, as a proposer is
    paid in Absolute Zero (arXiv 2505.03335): hints that are never withstood give the Reasoner no gradient.
    """
    drop = p_clean - p_hint
    if kind == "drop":
        return drop
    if kind == "indicator":
        return float(drop > 0)
    if kind == "margin":
        return float(drop > margin)
    if kind == "learnable":
        return drop if p_hint > 0 else 0.0
    raise ValueError(f"unknown adversary reward {kind!r}")


def should_run_hinted(p_clean: float) -> bool:
    """A question that is never solved clean gives no drop: its R3 is not run."""
    return p_clean > 0


def sequential_share(right: int, n: int, first: int) -> float:
    """An unbiased estimate of the share p of right solutions, of which `first` were drawn, and the others only where
    those were not all equal; `right` of the `n` drawn ones are right.

    The share of all that were drawn is biased towards 0 and 1 by the stopping. This is the share of the first ones,
    averaged over every order in which the draws could have come (Girshick, Mosteller and Savage 1946, Ann. Math.
    Statist. 17: the unbiased estimate of a sequential plan).
    """
    if n <= first:
        return right / n if n else 0.0
    # Of the first draws between 1 and first − 1 were right, or there would be no others.
    possible = range(max(1, right - n + first), min(first, right + 1))
    ways = {k: comb(first, k) * comb(n - first, right - k) for k in possible}
    return sum(k * count for k, count in ways.items()) / (first * sum(ways.values()))


EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class RoleBaseline:
    """b_role, an exponential moving average of a role's rewards (RAE, SPIRAL); None before the first reward."""

    decay: float = 0.95
    value: float | None = None

    def update(self, rewards: Sequence[float]) -> "RoleBaseline":
        """The baseline after these rewards, in their order."""
        value = self.value
        for reward in rewards:
            value = reward if value is None else self.decay * value + (1 - self.decay) * reward
        return RoleBaseline(self.decay, value)


def group_advantages(rewards: Sequence[float], scale: str = "group") -> list[float]:
    """A = r − mean(group), divided by the group's standard deviation for `scale` "group" (GRPO); "none" is Dr. GRPO.

    A group without spread gives zeros.
    """
    if not rewards or max(rewards) - min(rewards) < EPSILON:
        return [0.0] * len(rewards)
    mean = sum(rewards) / len(rewards)
    centred = [r - mean for r in rewards]
    if scale == "none":
        return centred
    std: float = (sum(c * c for c in centred) / len(centred)) ** 0.5
    return [c / (std + EPSILON) for c in centred]


def assign_advantages(
    groups: Sequence[Sequence[float]], *, baseline: str, scale: str, fallback: bool, ema: RoleBaseline
) -> tuple[list[list[float]], int, RoleBaseline]:
    """Advantages of one role's groups, how many groups carry none, and the baseline after these rewards."""
    before = ema.value
    flat = [r for rewards in groups for r in rewards]
    start = before if before is not None else (sum(flat) / len(flat) if flat else 0.0)
    result: list[list[float]] = []
    zero = 0
    for rewards in groups:
        spread = bool(rewards) and max(rewards) - min(rewards) >= EPSILON
        zero += not spread
        if baseline == "role_ema" or (fallback and not spread):
            result.append([r - start for r in rewards])
        else:
            result.append(group_advantages(rewards, scale))
    return result, zero, ema.update(flat)


Row = TypeVar("Row")


class GroupBuffer(Generic[Row]):
    """A bounded first-in first-out buffer of whole groups; what does not fit pushes out the oldest."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._groups: deque[list[Row]] = deque()

    @property
    def groups(self) -> list[list[Row]]:
        """What is in it, oldest first; a new buffer that they are pushed into in this order is equal."""
        return list(self._groups)

    def __len__(self) -> int:
        return sum(map(len, self._groups))

    def push(self, group: Sequence[Row]) -> None:
        """Add a group as the newest. The newest is kept even if it alone exceeds the bound."""
        self._groups.append(list(group))
        while len(self._groups) > 1 and self._max_rows and len(self) > self._max_rows:
            self._groups.popleft()

    def take(self, max_rows: int = 0) -> list[Row]:
        """Whole groups, oldest first, up to `max_rows` rows (0: all; at least one group)."""
        rows: list[Row] = []
        while self._groups and (not max_rows or not rows or len(rows) + len(self._groups[0]) <= max_rows):
            rows += self._groups.popleft()
        return rows
