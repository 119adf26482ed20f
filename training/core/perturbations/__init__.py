"""Template writers of the four perturbation types, apart by split. None of them changes the true answer."""

from __future__ import annotations

import random

from training.core.perturbations import (
    correlation_trap,
    information_overload,
    instruction_contamination,
    semantic_misleading,
)
from training.core.perturbations.base import Writer
from training.core.types import Hint, PerturbationType, Problem, Split

WRITERS: dict[PerturbationType, tuple[Writer, ...]] = {
    PerturbationType.INFORMATION_OVERLOAD: information_overload.TRAIN + information_overload.HELD_OUT,
    PerturbationType.CORRELATION_TRAP: correlation_trap.TRAIN + correlation_trap.HELD_OUT,
    PerturbationType.SEMANTIC_MISLEADING: semantic_misleading.TRAIN + semantic_misleading.HELD_OUT,
    PerturbationType.INSTRUCTION_CONTAMINATION: instruction_contamination.TRAIN + instruction_contamination.HELD_OUT,
}

_BY_SPLIT = {(t, s): tuple(w for w in ws if w.split is s) for t, ws in WRITERS.items() for s in Split}


def write_hint(problem: Problem, type_: PerturbationType, rng: random.Random, split: Split) -> Hint:
    """A hint of that type from a template of that split. Every type has templates that fit any problem."""
    while True:
        hint = rng.choice(_BY_SPLIT[type_, split]).fill(problem, rng)
        if hint is not None:
            return hint


__all__ = ["WRITERS", "Writer", "write_hint"]
