"""How many problems a difference needs, and many tests at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.core.statistics.distributions import normal_quantile


@dataclass(frozen=True, slots=True)
class Needed:
    """Problems that resolve a difference: `total` (None: no number does), and how many `more` than there are."""

    total: int | None
    more: int | None

    @property
    def sentence(self) -> str:
        """In words, the number rounded up to two figures: it rests on estimates."""
        if self.more is None:
            return "no number of problems resolves a difference of zero"
        if self.more == 0:
            return "has enough problems"
        unit = 10 ** max(0, len(str(self.more)) - 2)
        about = -(-self.more // unit) * unit
        return f"needs about {about:,} more problem{'' if about == 1 else 's'}"


def needed_problems(
    difference: float,
    *,
    sd: float | None = None,
    discordance: float | None = None,
    have: int = 0,
    power: float = 0.8,
    confidence: float = 0.95,
) -> Needed:
    """Problems that a paired difference of accuracies needs to be found with this power by a two-sided test.

    Give the standard deviation `sd` of the difference over problems, or, with one outcome a side, the `discordance`:
    the share of problems that change either way. With d the difference: from sd ((z_α + z_β) · sd / d)² + z_α²/2
    (Guenther 1981, for the t test); from discordance ψ (z_α √ψ + z_β √(ψ − d²))² / d² (Connor 1987, for McNemar's).
    The true difference is not the measured one: a measured difference that is small by luck asks for too many.
    ValueError: neither or both of sd and discordance, a discordance outside |d|..1, a negative sd.
    """
    if (sd is None) == (discordance is None):
        raise ValueError("give either sd or discordance")
    if difference == 0:
        return Needed(None, None)
    alpha, beta = normal_quantile(0.5 + confidence / 2), normal_quantile(power)
    if discordance is not None:
        if not abs(difference) <= discordance <= 1:
            raise ValueError(f"the discordance must lie between {abs(difference)} and 1, not {discordance}")
        root = alpha * math.sqrt(discordance) + beta * math.sqrt(discordance - difference**2)
        total = math.ceil((root / difference) ** 2)
    else:
        spread = sd or 0.0
        if spread < 0:
            raise ValueError(f"a standard deviation cannot be {spread}")
        total = math.ceil(((alpha + beta) * spread / difference) ** 2 + alpha**2 / 2)
    return Needed(total, max(0, total - have))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number by Holm's step-down method (1979), in the order given.

    Each may be read against the level as if it were the only test. ValueError for one outside [0, 1].
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError("a p-value must lie between 0 and 1")
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted
