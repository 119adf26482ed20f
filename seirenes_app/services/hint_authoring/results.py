"""What solving a draft gave: samples, conditions and their comparison, as values that go to JSON and back. No I/O.

A condition's accuracy has a Wilson interval over the samples that are there, two conditions are compared by Newcombe's
interval for independent proportions, and samples that were cancelled are not counted."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from seirenes_app.inference.models import bundled_model
from seirenes_app.inference.protocol import Finish
from seirenes_app.services.hint_authoring.commands import as_command
from seirenes_app.services.hint_authoring.draft import VERSION, Draft, DraftHint, SolverChoice, read_versioned
from seirenes_app.services.hint_authoring.gate_report import Badges, failures
from training.core.statistics import Interval, newcombe, wilson
from training.core.types import Condition, Outcome
from training.errors import UserError


@dataclass(frozen=True, slots=True)
class SolvedSample:
    """One solution. `answer` is what was read from it, empty where nothing could be.

    `follows` says whether the answer is the one the hint suggests; None outside of the hinted condition, and for a hint
    that suggests none. `logprob_mean` is natural, a token, of the model's own distribution.
    """

    condition: Condition
    index: int
    text: str
    outcome: Outcome
    answer: str
    follows: bool | None
    finish: Finish
    tokens: int
    logprob_mean: float


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """One condition. `text` is what the model was shown (of several placebos the first); `low` and `high` are the 95%
    Wilson interval of `accuracy`.

    `samples` are in the order of their indices and may be fewer than `planned`.
    """

    condition: Condition
    text: str
    samples: tuple[SolvedSample, ...]
    planned: int
    right: int
    accuracy: float
    low: float
    high: float

    @property
    def complete(self) -> bool:
        """Whether all that was planned is there."""
        return len(self.samples) >= self.planned


@dataclass(frozen=True, slots=True)
class SolveResult:
    """All conditions of one solving, finished or not.

    `drop` is accuracy clean − hinted, `placebo_drop` clean − placebo, with 95% Newcombe intervals; None while a
    condition is empty. `follow_rate` is the share of hinted answers that are the suggested one, if one is suggested.
    """

    key: str
    conditions: Mapping[Condition, ConditionResult]
    drop: Interval | None
    placebo_drop: Interval | None
    follow_rate: float | None
    seconds: float
    complete: bool
    cancelled: bool


def condition_result(condition: Condition, text: str, samples: Iterable[SolvedSample], planned: int) -> ConditionResult:
    """A condition's figures from its samples. `right` counts as `seirenes eval` does: the outcome alone."""
    ordered = tuple(sorted(samples, key=lambda s: s.index))
    right = sum(s.outcome is Outcome.RIGHT for s in ordered)
    rate = wilson(right, len(ordered))
    return ConditionResult(condition, text, ordered, planned, right, rate.mean, rate.low, rate.high)


def solve_result(
    key: str,
    conditions: Mapping[Condition, ConditionResult],
    seconds: float,
    planned: Iterable[Condition],
    *,
    cancelled: bool = False,
) -> SolveResult:
    """The comparison of the conditions that are there; complete when all `planned` ones are."""
    hinted = conditions.get(Condition.HINTED)
    told = [s.follows for s in hinted.samples if s.follows is not None] if hinted else []
    complete = all(condition in conditions and conditions[condition].complete for condition in planned)
    return SolveResult(
        key=key,
        conditions=dict(conditions),
        drop=difference(conditions.get(Condition.CLEAN), hinted),
        placebo_drop=difference(conditions.get(Condition.CLEAN), conditions.get(Condition.PLACEBO)),
        follow_rate=sum(told) / len(told) if told else None,
        seconds=seconds,
        complete=complete,
        cancelled=cancelled,
    )


def difference(first: ConditionResult | None, second: ConditionResult | None) -> Interval | None:
    """Accuracy of the first − accuracy of the second; None where one has no samples."""
    if first is None or second is None or not first.samples or not second.samples:
        return None
    return newcombe(first.right, len(first.samples), second.right, len(second.samples))


def rank(results: Mapping[str, SolveResult]) -> list[str]:
    """The ids, the worst for the solver first: largest drop, then its surer lower end, then more follow the hint."""

    def harm(id_: str) -> tuple[float, float, float]:
        result = results[id_]
        if result.drop is None:
            return (-2.0, -2.0, 0.0)
        return (result.drop.mean, result.drop.low, result.follow_rate or 0.0)

    return sorted(results, key=harm, reverse=True)


# ---------------------------------------------------------------------- keys


def solve_key(draft: Draft, hint: DraftHint | None) -> str:
    """A digest of all that a solving depends on: what was shown, the model's file, the plan. Titles do not matter."""
    shown = (hint.text, hint.suggested, draft.placement) if hint else None
    problem, solver = draft.problem, draft.solver
    content = [
        problem.question, problem.answer, problem.kind, shown, _stamp(solver), solver.style, solver.n_ctx,
        dataclasses.astuple(draft.plan),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


def _stamp(choice: SolverChoice) -> list[Any]:
    """Path, size and time of the files: a model that was written anew gives new results."""
    stamps: list[Any] = []
    for path in (choice.model, choice.lora):
        try:
            found = os.stat(path or bundled_model()) if path or not stamps else None
        except (OSError, UserError, ValueError):
            found = None
        stamps.append([path, found and found.st_size, found and found.st_mtime_ns])
    return stamps


# ---------------------------------------------------------------------- JSON


@dataclass(frozen=True, slots=True)
class _Flat:
    """A `SolveResult` as JSON holds it: what can be computed is left out."""

    key: str
    conditions: tuple[ConditionResult, ...]
    seconds: float
    complete: bool
    cancelled: bool


def result_to_json(result: SolveResult) -> str:
    """One JSON object with its format version, in ASCII."""
    flat = _Flat(result.key, tuple(result.conditions.values()), result.seconds, result.complete, result.cancelled)
    return json.dumps({"v": VERSION} | dataclasses.asdict(flat))


def result_from_json(text: str) -> SolveResult:
    """Read `result_to_json`'s text; the figures are computed again. Raises a `UserError` for what is damaged."""
    flat: _Flat = read_versioned(text, _Flat, "result", {"arms": "conditions", "arm": "condition"})
    conditions = {a.condition: condition_result(a.condition, a.text, a.samples, a.planned) for a in flat.conditions}
    result = solve_result(flat.key, conditions, flat.seconds, conditions, cancelled=flat.cancelled)
    return dataclasses.replace(result, complete=flat.complete)


def draft_facts(draft: Draft) -> dict[str, Any]:
    """The problem, and how it is tried."""
    return {
        "problem": dataclasses.asdict(draft.problem),
        "type": draft.type,
        "placement": draft.placement,
        "solver": draft.solver.model or "starter",
        "plan": dataclasses.asdict(draft.plan),
    }


def hint_facts(draft: Draft, hint: DraftHint, badges: Badges) -> dict[str, Any]:
    """A hint with its gates and the command that tries it."""
    refused = {badge.gate: badge.reason for badge in failures(badges)}
    return dataclasses.asdict(hint) | {
        "valid": not refused, "refused_by": refused, "command": as_command(draft, hint)
    }  # fmt: skip


def result_facts(result: SolveResult) -> dict[str, Any]:
    """A result with all its solutions."""
    return {
        "conditions": {condition: _condition(found) for condition, found in result.conditions.items()},
        "drop": limits(result.drop),
        "placebo_drop": limits(result.placebo_drop),
        "follow_rate": result.follow_rate,
        "seconds": round(result.seconds, 3),
        "complete": result.complete,
        "cancelled": result.cancelled,
    }


def _condition(found: ConditionResult) -> dict[str, Any]:
    return {
        "text": found.text, "right": found.right, "n": len(found.samples), "planned": found.planned,
        "accuracy": found.accuracy, "low": found.low, "high": found.high,
        "samples": [dataclasses.asdict(s) for s in found.samples],
    }  # fmt: skip


def limits(interval: Interval | None) -> dict[str, float] | None:
    """An interval as data."""
    return None if interval is None else dataclasses.asdict(interval)
