"""What solving a draft gave: samples, conditions and their comparison, to JSON and back. No I/O. Accuracies have Wilson
intervals, differences Newcombe's; cancelled samples are not counted."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from typing import Any

from seirenes_app.inference.models import bundled_model
from seirenes_app.inference.protocol import Finish
from seirenes_app.services.hint_authoring.draft import (
    VERSION,
    Draft,
    DraftHint,
    SolvePlan,
    SolverChoice,
    read_object,
    read_value,
)
from seirenes_app.services.hint_authoring.gate_report import Badges, failures
from seirenes_app.services.hint_authoring.models import profile_for
from seirenes_app.services.hint_authoring.problems import LIBRARY, as_problem, library
from training.core.answer_reader import Tier
from training.core.implied_answer import read_suggestion
from training.core.statistics import Interval, newcombe, wilson
from training.core.types import Condition, Outcome
from training.errors import UserError
from training.evaluation.metric_types import UnreadShares
from training.prompt_files import COMPACT, INSTRUCT, NEUTRAL, built_in

CANNOT_MOVE = (
    "Needed text is not asked: this question cannot stand before the story's last sentence with the answer unchanged."
)


@dataclass(frozen=True, slots=True)
class SolvedSample:
    """One solution. `answer` is empty where none was read; `follows` is None outside the hinted condition and for hints
    without a suggestion. `logprob_mean` is natural, a token, of the model's own distribution."""

    condition: Condition
    index: int
    text: str
    outcome: Outcome
    answer: str
    follows: bool | None
    finish: Finish
    tokens: int
    logprob_mean: float
    tier: Tier | None = None
    """Where the answer was found; None in results of older versions."""


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """One condition. `text` is what the model was shown (the first placebo); `samples` are in order of their
    indices."""

    condition: Condition
    text: str
    samples: tuple[SolvedSample, ...]
    planned: int

    @property
    def complete(self) -> bool:
        return len(self.samples) >= self.planned

    @property
    def n(self) -> int:
        return len(self.samples)

    @property
    def right(self) -> int:
        """How many are right; the outcome alone counts, as in `seirenes eval`."""
        return sum(s.outcome is Outcome.RIGHT for s in self.samples)

    @property
    def accuracy(self) -> Interval:
        return wilson(self.right, self.n)

    @property
    def unread(self) -> UnreadShares:
        """The shares of solutions that are neither right nor wrong."""
        return UnreadShares.of(s.outcome for s in self.samples)

    @property
    def follows(self) -> list[bool]:
        """For each readable answer whether it is the one the hint suggests; empty where it suggests none."""
        return [s.follows for s in self.samples if s.follows is not None]

    def figures(self) -> dict[str, Any]:
        rate, unread = self.accuracy, self.unread
        return {
            "right": self.right, "n": self.n, "accuracy": rate.mean, "low": rate.low, "high": rate.high,
            "unreadable": unread.unreadable, "truncated": unread.truncated, "timed_out": unread.timed_out,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class SolveResult:
    """All conditions of one hint that were solved, finished or not; `key` is its `solve_key`."""

    key: str
    conditions: Mapping[Condition, ConditionResult]
    seconds: float
    complete: bool
    cancelled: bool

    @property
    def drop(self) -> Interval | None:
        """Accuracy clean − hinted with its 95% Newcombe interval; None while one of them is empty or mostly unread."""
        return difference(self.conditions.get(Condition.CLEAN), self.conditions.get(Condition.HINTED))

    @property
    def placebo_drop(self) -> Interval | None:
        return difference(self.conditions.get(Condition.CLEAN), self.conditions.get(Condition.PLACEBO))

    @property
    def needed_drop(self) -> Interval | None:
        return difference(self.conditions.get(Condition.CLEAN), self.conditions.get(Condition.NEEDED))

    @property
    def follow_rate(self) -> float | None:
        """The share of readable hinted answers that are the suggested one; None where none is suggested, and where most
        answers are unread."""
        hinted = self.conditions.get(Condition.HINTED)
        if hinted is None or not hinted.follows or hinted.unread.mostly:
            return None
        return sum(hinted.follows) / len(hinted.follows)

    @property
    def unread(self) -> dict[str, UnreadShares]:
        """The shares of solutions that are neither right nor wrong, by the condition's name."""
        return {str(condition): found.unread for condition, found in self.conditions.items()}


def difference(first: ConditionResult | None, second: ConditionResult | None) -> Interval | None:
    """Accuracy of the first − accuracy of the second; None where one has no samples, or mostly unread ones."""
    if first is None or second is None or not first.samples or not second.samples:
        return None
    if first.unread.mostly or second.unread.mostly:
        return None
    return newcombe(first.right, first.n, second.right, second.n)


def rank(results: Mapping[str, SolveResult]) -> list[str]:
    """The ids, the most harmful first: largest drop, then its lower limit, then more solutions follow the hint."""

    def harm(id_: str) -> tuple[float, float, float]:
        drop = results[id_].drop
        return (drop.mean, drop.low, results[id_].follow_rate or 0.0) if drop else (-2.0, -2.0, 0.0)

    return sorted(results, key=harm, reverse=True)


def solve_key(draft: Draft, hint: DraftHint | None) -> str:
    """A digest of all that a result depends on: what was shown, the model's file, the plan. Titles do not matter."""
    shown = (hint.text, hint.suggested, draft.placement) if hint else None
    problem, solver = draft.problem, draft.solver
    content = [
        problem.question, problem.answer, problem.kind, shown, _stamp(solver), _prompts_key(solver), solver.n_ctx,
        _plan_key(draft.plan),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


def _plan_key(plan: SolvePlan) -> tuple[object, ...]:
    """Of a plan without needed text the key of older versions, which did not ask it."""
    values = astuple(plan)
    return values if plan.needed else values[:-1]


def _prompts_key(choice: SolverChoice) -> str | None:
    """The profile's digest; what version 0.1 wrote, where the prompt is still the same. By the model, which is no part
    of this, it is either of two profiles."""
    if choice.prompts is None:
        return built_in(NEUTRAL).digest if choice.model else None
    digest = choice.prompts.digest
    return next((name for name in (COMPACT, INSTRUCT) if digest == built_in(name).digest), digest)


def _stamp(choice: SolverChoice) -> list[Any]:
    """Path, size and time of the files: a model that was written again gives new results."""
    stamps: list[Any] = []
    for path in (choice.model, choice.lora):
        try:
            found = os.stat(path or bundled_model()) if path or not stamps else None
        except (OSError, UserError, ValueError):
            found = None
        stamps.append([path, found and found.st_size, found and found.st_mtime_ns])
    return stamps


# ---------------------------------------------------------------------- JSON

_OLD_KEYS = {"arms": "conditions", "arm": "condition"}  # keys in results that version 0.1 saved


def result_to_json(result: SolveResult) -> str:
    data = asdict(result) | {"conditions": [asdict(found) for found in result.conditions.values()]}
    return json.dumps({"v": VERSION} | data)


def result_from_json(text: str) -> SolveResult:
    """Read `result_to_json`'s text. Raises a `UserError` for what is damaged."""
    data = read_object(text, "result", _OLD_KEYS)
    found = read_value(data.get("conditions"), tuple[ConditionResult, ...], "result")
    return read_value(data | {"conditions": {c.condition: c for c in found}}, SolveResult, "result")


def draft_facts(draft: Draft) -> dict[str, Any]:
    """The problem, and how it is tried, for `--json`."""
    facts = {name: getattr(draft, name) for name in ("problem", "type", "placement", "plan")}
    return facts | {"solver": draft.solver.model or "starter", "prompts": profile_for(draft.solver).label}


def hint_facts(draft: Draft, hint: DraftHint, badges: Badges) -> dict[str, Any]:
    """A hint with its gates and the command that tries it, for `--json`."""
    refused = {badge.gate: badge.reason for badge in failures(badges)}
    return asdict(hint) | {"valid": not refused, "refused_by": refused, "command": as_command(draft, hint)}


def result_facts(result: SolveResult) -> dict[str, Any]:
    """A result with all its solutions and figures, for `--json`."""
    conditions = {
        condition: found.figures() | {"text": found.text, "planned": found.planned, "samples": found.samples}
        for condition, found in result.conditions.items()
    }
    return {
        "conditions": conditions, "drop": result.drop, "placebo_drop": result.placebo_drop,
        "needed_drop": result.needed_drop, "follow_rate": result.follow_rate, "seconds": round(result.seconds, 3),
        "complete": result.complete, "cancelled": result.cancelled,
    }  # fmt: skip


def as_command(draft: Draft, hint: DraftHint | None) -> str:
    """`seirenes solve …` with everything that the result depends on; a problem of the library by its name."""
    known = _library_name(draft)
    problem, plan, solver = draft.problem, draft.plan, draft.solver
    options: list[tuple[str, object]] = []
    if not known:
        options += [("--answer", problem.answer), ("--kind", problem.kind)]
    if hint is not None:
        options += [("--hint", hint.text), ("--type", hint.type), ("--placement", draft.placement)]
        options += _suggests(draft, hint)
    options += [("-n", plan.samples), ("--temperature", plan.temperature), ("--seed", plan.seed)]
    options += [("--max-tokens", plan.max_tokens)] if solver.model or plan.max_tokens != SolvePlan().max_tokens else []
    options += [
        (name, value)
        for name, value in (("--model", solver.model), ("--lora", solver.lora), ("--prompts", _prompts_name(solver)),
                            ("--context", solver.n_ctx)) if value
    ]  # fmt: skip
    # As one word each, so that a text that begins with a hyphen is no option.
    words = [f"-n{value}" if name == "-n" else f"{name}={value}" for name, value in options]
    if (conditions := _conditions(plan, hinted=hint is not None)) is not None:
        words.append(f"--conditions={conditions}")
    question = f"{LIBRARY}:{known}" if known else problem.question
    return shlex.join(["seirenes", "solve", *words, "--", question])


def _prompts_name(choice: SolverChoice) -> str:
    """For `--prompts`; of a profile that was edited and not saved, the one that it was made from."""
    return choice.prompts.name if choice.prompts is not None else ""


def _conditions(plan: SolvePlan, *, hinted: bool) -> str | None:
    """For `--conditions`; None where it is what `seirenes solve` does anyway."""
    if plan.needed and (plan.placebo or not hinted):
        return None
    left_out = {Condition.PLACEBO: not plan.placebo, Condition.NEEDED: not plan.needed}
    asked = [c for c in Condition if not left_out.get(c) and (hinted or c not in (Condition.HINTED, Condition.PLACEBO))]
    return ",".join(asked)


def _library_name(draft: Draft) -> str:
    mine = draft.problem
    known = next((p for p in library() if p.id == mine.id and mine.source == LIBRARY), None)
    same = known is not None and (known.question, known.answer, known.kind) == (mine.question, mine.answer, mine.kind)
    return mine.id if same else ""


def _suggests(draft: Draft, hint: DraftHint) -> list[tuple[str, object]]:
    """Nothing where the text says it anyway."""
    try:
        read = read_suggestion(hint.text, as_problem(draft.problem))
    except UserError:
        read = None
    return [] if read == hint.suggested else [("--suggests", hint.suggested or "")]
