"""What the model is shown in each condition. Pure; the question's characters are the same in all of them."""

from __future__ import annotations

import random

from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, SolvePlan
from training.core.hint_templates import write_placebo
from training.core.prompts import join_hint
from training.core.types import Condition, Problem
from training.errors import UserError

PLACEBOS = 4
"""Placebo texts that the solutions are spread over: a single one may happen to mislead."""


def condition_texts(draft: Draft, problem: Problem, hint: DraftHint | None) -> dict[Condition, tuple[str, ...]]:
    """The texts of each condition of the draft's plan: one, or several neutral ones in the placebo's.

    Raises a `UserError` for a hint without text.
    """
    texts: dict[Condition, tuple[str, ...]] = {Condition.CLEAN: (problem.question,)}
    if hint is None:
        return texts
    text = hint.text.strip()
    if not text:
        raise UserError("The hint is empty. Write one, or solve the question alone.")
    texts[Condition.HINTED] = (join_hint(problem.question, text, draft.placement),)
    if draft.plan.placebo:
        neutral = placebos_of(text, draft.plan.seed, min(PLACEBOS, planned_samples(draft.plan)))
        texts[Condition.PLACEBO] = tuple(join_hint(problem.question, t, draft.placement) for t in neutral)
    return texts


def placebo_of(hint: str, seed: int) -> str:
    """Neutral text of the hint's length in words; the same for the same seed and length."""
    return placebos_of(hint, seed, 1)[0]


def placebos_of(hint: str, seed: int, n: int) -> tuple[str, ...]:
    """Up to `n` different neutral texts of about the hint's length; there may be fewer for a very short hint."""
    words, found = len(hint.split()), dict[str, None]()
    for attempt in range(4 * n):
        found[write_placebo(words, random.Random(f"{seed}:placebo" + f":{attempt}" * (attempt > 0)))] = None
        if len(found) == n:
            break
    return tuple(found)


def shares(planned: int, texts: int) -> list[int]:
    """`planned` solutions dealt out over `texts` as evenly as can be, the first ones first."""
    return [planned // texts + (i < planned % texts) for i in range(texts)]


def planned_samples(plan: SolvePlan) -> int:
    """How many solutions a condition has. Greedy ones are all the same, so there is one."""
    return 1 if plan.temperature == 0 else plan.samples
