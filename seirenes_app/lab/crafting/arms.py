"""What the solver is shown in each arm. Pure; the question's characters are the same in all of them."""

from __future__ import annotations

import random

from seirenes_app.lab.crafting.documents import Candidate, Draft, SolvePlan
from seirenes_app.lab.crafting.results import Arm
from training.core.placebo import write_placebo
from training.core.prompts import hint_span, join_hint
from training.core.types import Problem
from training.errors import UserError


def arm_texts(draft: Draft, problem: Problem, candidate: Candidate | None) -> dict[Arm, str]:
    """The text of each arm of the draft's plan. Raises a `UserError` for a candidate without text."""
    texts = {Arm.CLEAN: problem.question}
    if candidate is None:
        return texts
    hint = candidate.text.strip()
    if not hint:
        raise UserError("The perturbation is empty. Write one, or solve the question alone.")
    texts[Arm.HINTED] = join_hint(problem.question, hint, draft.placement)
    if draft.plan.placebo:
        texts[Arm.PLACEBO] = join_hint(problem.question, placebo_of(hint, draft.plan.seed), draft.placement)
    return texts


def placebo_of(hint: str, seed: int) -> str:
    """Neutral text of the hint's length in words; the same for the same seed and length."""
    return write_placebo(len(hint.split()), random.Random(f"{seed}:placebo"))


def shown_span(draft: Draft, problem: Problem, candidate: Candidate) -> tuple[int, int]:
    """Where the perturbation lies in the hinted arm's text, in characters."""
    return hint_span(problem.question, candidate.text.strip(), draft.placement)


def planned_samples(plan: SolvePlan) -> int:
    """How many solutions an arm has: greedy ones are all the same, so one, lest the intervals lie."""
    return 1 if plan.temperature == 0 else plan.samples
