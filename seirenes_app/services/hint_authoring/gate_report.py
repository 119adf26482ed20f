"""Every gate of every hint of a draft, with its reason. No I/O; the rules are `training.core.gates`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from seirenes_app.services.hint_authoring.draft import Draft
from seirenes_app.services.hint_authoring.problems import as_problem
from training.core.gates import Gate, check_gates

GATE_NAMES = {
    Gate.EMPTY: "Has words",
    Gate.TOO_LONG: "Short enough",
    Gate.MARKERS: "No markers",
    Gate.REPETITION: "No repetition",
    Gate.NUMBERS: "Plausible numbers",
    Gate.STATES_ANSWER: "Keeps the answer",
    Gate.REWRITES_PROBLEM: "Keeps the problem",
    Gate.ADDS_FACT: "Adds no fact",
    Gate.REPLACES_QUESTION: "Keeps the question",
    Gate.OUTSIDE_LANGUAGE: "Within the hint language, where asked for",
    Gate.NEAR_DUPLICATE: "Not a duplicate",
    Gate.JUDGE: "Passes the judge",
}
"""What a hint is that passes, in two or three words."""


@dataclass(frozen=True, slots=True)
class GateBadge:
    """One gate of one hint. `reason` says why it failed, empty where it passed."""

    gate: Gate
    name: str
    passed: bool
    reason: str


Badges = tuple[GateBadge, ...]


def check_draft(draft: Draft) -> dict[str, Badges]:
    """Every hint's badges by its id; duplicates are of hints before it. Raises the `UserError` of `as_problem`."""
    problem = as_problem(draft.problem)
    return {
        hint.id: tuple(
            GateBadge(gate, GATE_NAMES[gate], reason is None, reason or "")
            for gate, reason in check_gates(hint.text, problem, others=[h.text for h in draft.hints[:i]])
        )
        for i, hint in enumerate(draft.hints)
    }


def passed(badges: Iterable[GateBadge]) -> bool:
    return all(badge.passed for badge in badges)


def failures(badges: Iterable[GateBadge]) -> tuple[GateBadge, ...]:
    return tuple(badge for badge in badges if not badge.passed)
