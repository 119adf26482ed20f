"""What solving a draft gave: samples, arms and their comparison, as values that go to JSON and back. No I/O.

Figures are honest about what they rest on: an arm's accuracy has a Wilson interval over the samples that are there,
two arms are compared by Newcombe's interval for independent proportions, and samples that were cancelled count nowhere.

Drafts, candidates and results as plain data for `--json`. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from seirenes_app.inference.models import bundled_model
from seirenes_app.inference.protocol import Finish
from seirenes_app.services.hint_authoring.commands import as_command
from seirenes_app.services.hint_authoring.draft import VERSION, Draft, DraftHint, SolverChoice, read_versioned
from seirenes_app.services.hint_authoring.gate_report import Badges, failures
from training.core.statistics import Interval, newcombe, wilson
from training.core.types import Outcome
from training.errors import UserError


class Arm(StrEnum):
    """What the solver is shown."""

    CLEAN = "clean"
    """The question alone."""
    HINTED = "hinted"
    """The question with the perturbation."""
    PLACEBO = "placebo"
    """The question with neutral text of the perturbation's length, in its place."""


@dataclass(frozen=True, slots=True)
class SolvedSample:
    """One solution. `answer` is what was read from it, empty where nothing could be.

    `follows` says whether the answer is what the perturbation suggests; None outside of the hinted arm, and where it
    suggests nothing. `logprob_mean` is natural, a token, of the model's own distribution.
    """

    arm: Arm
    index: int
    text: str
    outcome: Outcome
    answer: str
    follows: bool | None
    finish: Finish
    tokens: int
    logprob_mean: float


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm. `text` is what the solver was shown, of several neutral texts the first; `low` and `high` are the 95%
    Wilson interval of `accuracy`.

    `samples` are in the order of their indices and may be fewer than `planned`.
    """

    arm: Arm
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
    """All arms of one solving, finished or not.

    `drop` is accuracy clean − hinted, `placebo_drop` clean − placebo, with 95% Newcombe intervals; None while an arm is
    empty. `follow_rate` is the share of hinted answers that are the suggested one; None where none is suggested.
    """

    key: str
    arms: Mapping[Arm, ArmResult]
    drop: Interval | None
    placebo_drop: Interval | None
    follow_rate: float | None
    seconds: float
    complete: bool
    cancelled: bool


def arm_result(arm: Arm, text: str, samples: Iterable[SolvedSample], planned: int) -> ArmResult:
    """An arm's figures from its samples. `right` counts as `seirenes eval` does: the outcome alone."""
    ordered = tuple(sorted(samples, key=lambda s: s.index))
    right = sum(s.outcome is Outcome.RIGHT for s in ordered)
    rate = wilson(right, len(ordered))
    return ArmResult(arm, text, ordered, planned, right, rate.mean, rate.low, rate.high)


def solve_result(
    key: str, arms: Mapping[Arm, ArmResult], seconds: float, planned: Iterable[Arm], *, cancelled: bool = False
) -> SolveResult:
    """The comparison of the arms that are there; complete when all `planned` ones are."""
    hinted = arms.get(Arm.HINTED)
    told = [s.follows for s in hinted.samples if s.follows is not None] if hinted else []
    complete = all(arm in arms and arms[arm].complete for arm in planned)
    return SolveResult(
        key=key,
        arms=dict(arms),
        drop=difference(arms.get(Arm.CLEAN), hinted),
        placebo_drop=difference(arms.get(Arm.CLEAN), arms.get(Arm.PLACEBO)),
        follow_rate=sum(told) / len(told) if told else None,
        seconds=seconds,
        complete=complete,
        cancelled=cancelled,
    )


def difference(first: ArmResult | None, second: ArmResult | None) -> Interval | None:
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


def solve_key(draft: Draft, candidate: DraftHint | None) -> str:
    """A digest of all that a solving depends on: what was shown, the model's file, the plan. Titles do not matter."""
    hint = (candidate.text, candidate.suggested, draft.placement) if candidate else None
    return _digest(hint, draft)


def _digest(hint: Any, draft: Draft) -> str:
    problem, solver = draft.problem, draft.solver
    content = [
        problem.question, problem.answer, problem.kind, hint, _stamp(solver), solver.style, solver.n_ctx,
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
    arms: tuple[ArmResult, ...]
    seconds: float
    complete: bool
    cancelled: bool


def result_to_json(result: SolveResult) -> str:
    """One JSON object with its format version, in ASCII."""
    flat = _Flat(result.key, tuple(result.arms.values()), result.seconds, result.complete, result.cancelled)
    return json.dumps({"v": VERSION} | dataclasses.asdict(flat))


def result_from_json(text: str) -> SolveResult:
    """Read `result_to_json`'s text; the figures are computed again. Raises a `UserError` for what is damaged."""
    flat: _Flat = read_versioned(text, _Flat, "result")
    arms = {a.arm: arm_result(a.arm, a.text, a.samples, a.planned) for a in flat.arms}
    result = solve_result(flat.key, arms, flat.seconds, arms, cancelled=flat.cancelled)
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


def candidate_facts(draft: Draft, candidate: DraftHint, badges: Badges) -> dict[str, Any]:
    """A candidate with its gates and the command that tries it."""
    refused = {badge.gate: badge.reason for badge in failures(badges)}
    return dataclasses.asdict(candidate) | {
        "valid": not refused, "refused_by": refused, "command": as_command(draft, candidate)
    }  # fmt: skip


def result_facts(result: SolveResult) -> dict[str, Any]:
    """A result with all its solutions."""
    return {
        "arms": {arm: _arm(found) for arm, found in result.arms.items()},
        "drop": limits(result.drop),
        "placebo_drop": limits(result.placebo_drop),
        "follow_rate": result.follow_rate,
        "seconds": round(result.seconds, 3),
        "complete": result.complete,
        "cancelled": result.cancelled,
    }


def _arm(arm: ArmResult) -> dict[str, Any]:
    return {
        "text": arm.text, "right": arm.right, "n": len(arm.samples), "planned": arm.planned, "accuracy": arm.accuracy,
        "low": arm.low, "high": arm.high, "samples": [dataclasses.asdict(s) for s in arm.samples],
    }  # fmt: skip


def limits(interval: Interval | None) -> dict[str, float] | None:
    """An interval as data."""
    return None if interval is None else dataclasses.asdict(interval)
