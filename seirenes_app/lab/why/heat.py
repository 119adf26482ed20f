"""Where a hint makes a right solution unlikely: its tokens scored under the clean and under the perturbed prompt.

The solution is tokenised by itself, so both prompts score the very same tokens. Tokens that share a character (its
bytes are split over them) make one cell.
"""

from __future__ import annotations

from dataclasses import dataclass

from seirenes_app.inference.protocol import Alternative

MARKS = ((-3.0, "---"), (-1.6, "--"), (-0.7, "-"))
"""Δ log-prob at or below which a mark is given: a twentieth, a fifth, a half as likely as under the clean prompt."""
RISE = 0.7
"""Δ log-prob from which a token is marked "+": twice as likely."""


@dataclass(frozen=True, slots=True)
class HeatToken:
    """One cell: characters `start` to `end` of the solution, with its natural log-probability under both prompts.

    `delta` is hinted less clean: below zero, the hint makes it less likely. `top_clean` and `top_hinted` are what the
    model would rather have written there, likeliest first; in a cell of several tokens, at the first of them.
    """

    text: str
    start: int
    end: int
    clean: float
    hinted: float
    delta: float
    top_clean: tuple[Alternative, ...]
    top_hinted: tuple[Alternative, ...]

    @property
    def mark(self) -> str:
        """Its delta in signs, readable without colour: ---, --, -, nothing, or +."""
        return mark_of(self.delta)


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A solution's cells, which cover `text` without gap or overlap; `worst` is the index of the lowest delta."""

    text: str
    tokens: tuple[HeatToken, ...]
    total_delta: float
    worst: int

    def worst_tokens(self, n: int = 5) -> tuple[int, ...]:
        """The indices of up to `n` cells that the hint makes less likely, the worst first."""
        falling = [i for i, t in enumerate(self.tokens) if t.delta < 0]
        return tuple(sorted(falling, key=lambda i: self.tokens[i].delta)[:n])


def mark_of(delta: float) -> str:
    """A delta in signs: ---, --, -, nothing, or +."""
    falling = next((mark for limit, mark in MARKS if delta <= limit), "")
    return falling or ("+" if delta >= RISE else "")
