"""Drafts, candidates and results as plain data for `--json`. Pure."""

from __future__ import annotations

import dataclasses
from typing import Any

from seirenes_app.lab.crafting.commands import as_command
from seirenes_app.lab.crafting.documents import Candidate, Draft
from seirenes_app.lab.crafting.judging import Badges, failures
from seirenes_app.lab.crafting.results import ArmResult, SolveResult
from training.core.statistics import Interval


def draft_facts(draft: Draft) -> dict[str, Any]:
    """The problem, and how it is tried."""
    return {
        "problem": dataclasses.asdict(draft.problem),
        "type": draft.type,
        "placement": draft.placement,
        "solver": draft.solver.model or "starter",
        "plan": dataclasses.asdict(draft.plan),
    }


def candidate_facts(draft: Draft, candidate: Candidate, badges: Badges) -> dict[str, Any]:
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
