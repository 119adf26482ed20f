"""What each role is paid. `drop` is the paper's; `indicator` is reported of it; `margin` and the gates are ours."""

from __future__ import annotations

from training.core.types import Outcome


def reasoner_reward(outcome: Outcome, truncated: bool) -> float:
    """1 for a right and complete answer, else 0."""
    return 1.0 if outcome is Outcome.RIGHT and not truncated else 0.0


def adversary_reward(kind: str, p_clean: float, p_hint: float, margin: float = 0.0) -> float:
    """Pay for a hint that passed the gates, from the mean correctness without and with it.

    `drop`: p_clean − p_hint, in [−1, 1]. `indicator`: 1 where it is positive; it pays a no-op hint by luck.
    `margin`: 1 where it exceeds `margin`.
    """
    drop = p_clean - p_hint
    if kind == "drop":
        return drop
    if kind == "indicator":
        return float(drop > 0)
    if kind == "margin":
        return float(drop > margin)
    raise ValueError(f"unknown adversary reward {kind!r}")


def should_run_hinted(p_clean: float) -> bool:
    """A question that is never solved clean gives no drop: its R3 is not run."""
    return p_clean > 0
