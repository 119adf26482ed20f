"""Problem families and seeded streams over them. Every problem carries its exact answer and a worked solution."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from training.core.problems.base import Family
from training.core.problems.calendar import Calendar
from training.core.problems.change import Change
from training.core.problems.clock import Clock
from training.core.problems.compare import Compare
from training.core.problems.ordering import Ordering
from training.core.problems.rate import Rate
from training.core.problems.transfer import Transfer
from training.core.types import Problem, Split

FAMILIES: dict[str, Family] = {
    f.name: f for f in (Change(), Compare(), Rate(), Transfer(), Ordering(), Clock(), Calendar())
}

DIFFICULTY_WEIGHTS = (30, 40, 22, 8)


def sample_problem(
    rng: random.Random, split: Split, families: Sequence[str] | None = None, difficulty: int | None = None
) -> Problem:
    """One problem of an evenly drawn family; difficulty 1 to 4 in shares 30/40/22/8 unless given."""
    family = FAMILIES[rng.choice(tuple(families or FAMILIES))]
    if difficulty is None:
        difficulty = rng.choices((1, 2, 3, 4), DIFFICULTY_WEIGHTS)[0]
    return family.generate(rng, split, min(difficulty, family.max_difficulty))


def problem_stream(seed: int, split: Split, families: Sequence[str] | None = None) -> Iterator[Problem]:
    """Endless distinct problems; the same seed gives the same stream in every process."""
    rng = random.Random(f"{seed}:{split}")
    seen: set[str] = set()
    while True:
        problem = sample_problem(rng, split, families)
        if problem.id not in seen:
            seen.add(problem.id)
            yield problem


__all__ = ["FAMILIES", "Family", "problem_stream", "sample_problem"]
