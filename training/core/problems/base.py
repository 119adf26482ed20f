"""The one interface of a problem family, and the small tools that families share. No I/O."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from training.core.types import AnswerKind, Problem, Split

Parts = Mapping[Split, Sequence[str]]
"""Sentence templates of one part of a story (opener, event, question), apart by split."""


class Family(Protocol):
    """A kind of problem. A new domain is one file with one such object, listed in `FAMILIES`."""

    name: str
    title: str
    kind: AnswerKind
    max_difficulty: int

    def generate(self, rng: random.Random, split: Split, difficulty: int) -> Problem:
        """One problem with its exact answer and worked solution; difficulty is clipped to 1..max_difficulty."""
        ...

    def template_count(self, split: Split) -> int:
        """How many distinct phrasings the family can make of one problem in this split."""
        ...


def parts(train: Sequence[str], held_out: Sequence[str]) -> Parts:
    """Templates of both splits, checked to share none."""
    assert not set(train) & set(held_out)
    return {Split.TRAIN: tuple(train), Split.HELD_OUT: tuple(held_out)}


def pick(rng: random.Random, templates: Parts, split: Split) -> tuple[str, int]:
    """One template of a part and its index."""
    index = rng.randrange(len(templates[split]))
    return templates[split][index], index


def problem_id(family: str, split: Split, question: str) -> str:
    """The same question has the same id in every process."""
    return f"{family}-{split}-{hashlib.sha256(question.encode()).hexdigest()[:12]}"


def make_problem(
    family: Family,
    split: Split,
    difficulty: int,
    sentences: Sequence[str],
    steps: str,
    answer: str,
    *,
    entities: Sequence[str] = (),
    nouns: Sequence[str] = (),
    quantities: Sequence[int] = (),
    template: str = "",
) -> Problem:
    """Join the sentences of a story and close the solution with its answer line."""
    question = " ".join(sentences)
    return Problem(
        id=problem_id(family.name, split, question),
        family=family.name,
        question=question,
        answer=answer,
        kind=family.kind,
        solution=f"{steps}\n#### {answer}",
        entities=tuple(name for name in entities if name in question),
        nouns=tuple(nouns),
        quantities=tuple(quantities),
        template=f"{family.name}/{split}/{template}",
        split=split,
        difficulty=difficulty,
    )
