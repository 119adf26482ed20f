"""Perturbations from the laboratory's own templates. Seeded; no model, no I/O. Every one passes the gates."""

from __future__ import annotations

import random

from seirenes_app.lab.crafting.documents import Candidate, Origin
from training.core.gates import judge_hint
from training.core.perturbations import WRITERS
from training.core.types import PerturbationType, Problem, Split

_ROUNDS = 6


def template_candidates(
    problem: Problem, type_: PerturbationType, n: int, seed: int, split: Split | None = None
) -> list[Candidate]:
    """Up to `n` different perturbations, each from a template of its own while there are enough.

    `split` None takes the templates of both splits. Fewer come back when no more of them fit and pass the gates.
    """
    rng = random.Random(f"{seed}:{type_}:{problem.id}")
    writers = [w for w in WRITERS[type_] if split is None or w.split is split]
    made: list[Candidate] = []
    texts: list[str] = []
    for _ in range(_ROUNDS):
        for writer in rng.sample(writers, len(writers)):
            if len(made) == n:
                return made
            hint = writer.fill(problem, rng)
            if hint is not None and judge_hint(hint.text, problem, others=texts).passed:
                texts.append(hint.text)
                id_ = f"t{rng.getrandbits(40):010x}"
                made.append(Candidate(id_, hint.text, type_, Origin.TEMPLATE, writer.id, hint.suggested))
    return made
