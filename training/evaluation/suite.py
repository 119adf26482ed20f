"""The frozen suite: held-out problems, each with one hint of every type and its placebo. Values and their making.

The same seed and size always make the same suite; its hash says so. Nothing in it shares a phrasing or a hint
template with training.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.core.gates import judge_hint
from training.core.perturbations import write_hint
from training.core.placebo import write_placebo
from training.core.problems import problem_stream
from training.core.types import Hint, PerturbationType, Problem, Split

HintSource = Callable[[Problem, PerturbationType], Hint | None]
"""Writes one hint, or None where it has none that passes the gates."""


@dataclass(frozen=True, slots=True)
class SuiteItem:
    """One problem with its hints and, in the same order, neutral texts of their length."""

    problem: Problem
    hints: tuple[Hint, ...]
    placebos: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suite:
    """A frozen set of items under a name."""

    name: str
    items: tuple[SuiteItem, ...]

    def digest(self) -> str:
        """SHA-256 over the content, first 16 hex digits."""
        content = json.dumps([dataclasses.asdict(item) for item in self.items], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def frozen_suite(problems: int, seed: int) -> Suite:
    """Held-out problems in held-out phrasings, hints from held-out templates, every hint through the gates."""

    def write(problem: Problem, type_: PerturbationType) -> Hint:
        rng = random.Random(f"{seed}:{problem.id}:{type_}")
        while True:
            hint = write_hint(problem, type_, rng, Split.HELD_OUT)
            if judge_hint(hint.text, problem).passed:
                return hint

    return build_suite(f"frozen-{seed}-{problems}", held_out_problems(problems, seed), write, seed)


def held_out_problems(problems: int, seed: int) -> list[Problem]:
    """The first `problems` of the held-out stream of `seed`."""
    stream = problem_stream(seed, Split.HELD_OUT)
    return [next(stream) for _ in range(problems)]


def build_suite(
    name: str,
    problems: Sequence[Problem],
    source: HintSource,
    seed: int,
    types: Sequence[PerturbationType] = tuple(PerturbationType),
) -> Suite:
    """A suite over `problems` with hints of these types from `source`; a type it has no hint for is left out."""
    items = []
    for problem in problems:
        written = [source(problem, type_) for type_ in types]
        items.append(make_item(problem, [hint for hint in written if hint is not None], seed))
    return Suite(name, tuple(items))


def make_item(problem: Problem, hints: Sequence[Hint], seed: int) -> SuiteItem:
    """The item of a problem, each hint with a neutral text of its length."""
    rng = random.Random(f"{seed}:{problem.id}:placebo")
    return SuiteItem(problem, tuple(hints), tuple(write_placebo(len(hint.text.split()), rng) for hint in hints))
