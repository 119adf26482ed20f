"""The starter's figures: what clean, moved, neutral and hinted text do to it, and what it writes as the Adversary.

Everything on held-out problems, greedy; hints are drawn uniformly from the hint language, placebos are neutral text of
held-out forms and of the hints' lengths. Worst-of-k stands beside its placebo. No training here.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.core.answers import AnswerGrader
from training.core.gates import check_hint
from training.core.hint_language import parse_hint, write_hint
from training.core.hint_reader import clean_hint
from training.core.neutral_text import write_placebo
from training.core.prompts import adversary_messages, join_hint, reasoner_messages
from training.core.question_parser import move_question
from training.core.statistics import Interval, paired_bootstrap, wilson, wilson_clustered
from training.core.types import HintType, Outcome, Problem, Split
from training.engine.base import SamplingParams
from training.engine.models import resolve_model
from training.engine.torch_local import LocalTorchBackend
from training.evaluation.suites.builder import held_out_problems
from training.evaluation.torch_evaluator import sample_texts
from training.prompt_files import COMPACT, built_in

PROMPTS = built_in(COMPACT)
SOLUTION_TOKENS, HINT_TOKENS = 128, 64


@dataclass(frozen=True)
class Goal:
    """What the starter has to be: `value` at least, or at most, `limit`. Shares, not percent."""

    name: str
    value: Interval
    limit: float
    at_least: bool = True

    @property
    def holds(self) -> bool:
        """Of the estimate; its interval may reach beyond."""
        return self.value.mean >= self.limit if self.at_least else self.value.mean <= self.limit

    def __str__(self) -> str:
        v, sign = self.value, "≥" if self.at_least else "≤"
        state = "holds" if self.holds else "MISSED"
        return f"{self.name:<34} {v.mean:7.3f}  [{v.low:6.3f}, {v.high:6.3f}]  {sign} {self.limit:<5} {state}"


@dataclass(frozen=True)
class Measured:
    """Rates of one set of rows: right, unreadable, truncated, and how many rows over how many problems."""

    accuracy: Interval
    unreadable: float
    truncated: float
    rows: int
    problems: int

    def as_dict(self) -> dict[str, Any]:
        a = self.accuracy
        return {
            "accuracy": a.mean, "low": a.low, "high": a.high, "unreadable": self.unreadable,
            "truncated": self.truncated, "rows": self.rows, "problems": self.problems,
        }  # fmt: skip


class _Solver:
    """Greedy solutions, graded."""

    def __init__(self, backend: LocalTorchBackend) -> None:
        self.backend = backend
        self.grader = AnswerGrader()

    def outcomes(self, asked: Sequence[tuple[Problem, str]]) -> list[Outcome]:
        chats = [reasoner_messages(text, PROMPTS) for _, text in asked]
        solved = sample_texts(self.backend, chats, 1, SamplingParams(SOLUTION_TOKENS, 0.0))
        return [
            self.grader.grade(s.text, problem, truncated=s.truncated).outcome
            for (problem, _), (s,) in zip(asked, solved, strict=True)
        ]


def _rates(outcomes: Sequence[Outcome], owners: Sequence[str]) -> Measured:
    right = [float(o is Outcome.RIGHT) for o in outcomes]
    n = max(1, len(outcomes))
    unreadable = sum(o in (Outcome.UNPARSABLE, Outcome.AMBIGUOUS) for o in outcomes) / n
    truncated = sum(o is Outcome.TRUNCATED for o in outcomes) / n
    return Measured(wilson_clustered(right, list(owners)), unreadable, truncated, len(outcomes), len(set(owners)))


def draw_hints(problem: Problem, draws: int, seed: int) -> list[tuple[HintType, str]]:
    """`draws` hints that pass the gates, the types in turn, the splits of the language in turn."""
    rng = random.Random(f"{seed}:{problem.id}:measure")
    types = tuple(HintType)
    found: list[tuple[HintType, str]] = []
    while len(found) < draws:
        type_, split = types[len(found) % len(types)], tuple(Split)[len(found) // len(types) % 2]
        text = write_hint(problem, type_, rng, split).text
        if check_hint(text, problem).passed:
            found.append((type_, text))
    return found


def measure(folder: Path, problems: int = 300, draws: int = 32, seed: int = 2605, threads: int = 0) -> dict[str, Any]:
    """All figures of the model in `folder`, ready for JSON; `goals` say in words which hold."""
    backend = LocalTorchBackend(resolve_model(str(folder)), device="cpu", threads=threads)
    solver, asked = _Solver(backend), held_out_problems(problems, seed)
    rng = random.Random(seed)
    hints = {p.id: draw_hints(p, draws, seed) for p in asked}
    placebos = {p.id: [write_placebo(len(text.split()), rng, p) for _, text in hints[p.id]] for p in asked}

    clean = solver.outcomes([(p, p.question) for p in asked])
    right = {p.id: float(o is Outcome.RIGHT) for p, o in zip(asked, clean, strict=True)}
    moved = [(p, text) for p in asked if (text := move_question(p.question))]
    needed = solver.outcomes(moved)

    def under(texts: dict[str, list[str]]) -> tuple[list[Outcome], list[str]]:
        rows = [(p, join_hint(p.question, text)) for p in asked for text in texts[p.id]]
        return solver.outcomes(rows), [p.id for p, _ in rows]

    hinted, owners = under({id_: [text for _, text in found] for id_, found in hints.items()})
    neutral, _ = under(placebos)
    types = [type_ for p in asked for type_, _ in hints[p.id]]
    numbered = [any(c.isdigit() for c in text) for p in asked for text in placebos[p.id]]
    under_hints, beside = _Condition(hinted, owners, right), _Condition(neutral, owners, right)
    everything = [True] * len(owners)
    by_type = {t: compare(under_hints, beside, [x is t for x in types]) for t in HintType}
    whole = compare(under_hints, beside, everything)
    contributing = [t for t, f in by_type.items() if f["effect"].low > 0 and f["worst_effect"].low > 0]
    clean_rates, needed_rates = _rates(clean, [p.id for p in asked]), _rates(needed, [p.id for p, _ in moved])
    written = measure_adversary(backend, asked[: min(100, problems)], seed)
    goals = [
        Goal("clean accuracy", clean_rates.accuracy, 0.92),
        Goal("needed accuracy", needed_rates.accuracy, 0.85),
        Goal("cost of a placebo without numbers", beside.cost([not n for n in numbered]), 0.03, at_least=False),
        Goal("cost of a placebo with numbers", beside.cost(numbered), 0.03, at_least=False),
        Goal("cost of a uniformly drawn hint", whole["cost"], 0.15, at_least=False),
        Goal(f"cost of the worst of {draws} hints", whole["worst"], 0.45),
        Goal("types that contribute", Interval(*[float(len(contributing))] * 3), 3),
        *(Goal(f"parsed, {t.replace('_', ' ')}", f["parsed"], 0.95) for t, f in written.items()),
    ]
    return {
        "model": folder.name, "problems": problems, "draws": draws, "seed": seed,
        "clean": clean_rates.as_dict(), "needed": needed_rates.as_dict(),
        "placebo": _rates(neutral, owners).as_dict(), "hinted": _rates(hinted, owners).as_dict(),
        "hints": {k: vars_of(v) for k, v in whole.items()},
        "by_type": {t: {k: vars_of(v) for k, v in f.items()} for t, f in by_type.items()},
        "contributing": contributing,
        "adversary": {t: {k: vars_of(v) for k, v in f.items()} for t, f in written.items()},
        "goals": [
            {"name": g.name, **vars_of(g.value), "limit": g.limit, "at_least": g.at_least, "holds": g.holds}
            for g in goals
        ],
        "lines": [str(g) for g in goals],
    }  # fmt: skip


@dataclass(frozen=True)
class _Condition:
    """The outcomes of all rows of a condition, whose problem each is of, and whether that one is right clean."""

    outcomes: Sequence[Outcome]
    owners: Sequence[str]
    clean: Mapping[str, float]

    def right(self, chosen: Sequence[bool]) -> tuple[list[float], list[str]]:
        kept = [(o, owner) for o, owner, c in zip(self.outcomes, self.owners, chosen, strict=True) if c]
        return [float(o is Outcome.RIGHT) for o, _ in kept], [owner for _, owner in kept]

    def cost(self, chosen: Sequence[bool]) -> Interval:
        """Clean accuracy less the accuracy under one of the texts."""
        right, owners = self.right(chosen)
        return paired_bootstrap([self.clean[owner] - r for r, owner in zip(right, owners, strict=True)], owners)

    def all_right(self, chosen: Sequence[bool]) -> dict[str, float]:
        """By problem, whether it is right under every one of its texts."""
        found = dict.fromkeys(self.clean, 1.0)
        for r, owner in zip(*self.right(chosen), strict=True):
            found[owner] = min(found[owner], r)
        return found

    def worst(self, chosen: Sequence[bool]) -> Interval:
        """Clean accuracy less the share of problems that are right under every one of their texts."""
        found = self.all_right(chosen)
        return paired_bootstrap([self.clean[id_] - found[id_] for id_ in self.clean])


def compare(hints: _Condition, placebos: _Condition, chosen: Sequence[bool]) -> dict[str, Interval]:
    """What the chosen hints cost and the worst of them, the same of their placebos, and both beyond the placebo's."""
    (under, owners), (beside, _) = hints.right(chosen), placebos.right(chosen)
    all_under, all_beside = hints.all_right(chosen), placebos.all_right(chosen)
    return {
        "cost": hints.cost(chosen), "worst": hints.worst(chosen),
        "placebo_cost": placebos.cost(chosen), "placebo_worst": placebos.worst(chosen),
        "effect": paired_bootstrap([b - u for b, u in zip(beside, under, strict=True)], owners),
        "worst_effect": paired_bootstrap([all_beside[id_] - all_under[id_] for id_ in all_under]),
    }  # fmt: skip


def vars_of(interval: Interval) -> dict[str, float]:
    """An interval for JSON."""
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def measure_adversary(
    backend: LocalTorchBackend, problems: Sequence[Problem], seed: int, samples: int = 4
) -> dict[HintType, dict[str, Interval]]:
    """Of the hints it writes at temperature 1, by type: how many are of the hint language, of the type that was asked
    for, and pass the gates."""
    asked = [(p, t) for p in problems for t in HintType]
    chats = [adversary_messages(p.question, t, PROMPTS) for p, t in asked]
    replies = sample_texts(backend, chats, samples, SamplingParams(HINT_TOKENS, 1.0, seed))
    counts = {t: [0, 0, 0, 0] for t in HintType}
    special = backend.codec.special_texts()
    for (problem, type_), found in zip(asked, replies, strict=True):
        for reply in found:
            text = clean_hint(reply.text, truncated=reply.truncated, max_characters=PROMPTS.max_hint_characters)
            parsed, count = parse_hint(text, problem), counts[type_]
            count[0] += 1
            count[1] += parsed is not None
            count[2] += parsed is not None and parsed.type is type_
            count[3] += check_hint(text, problem, special_texts=special).passed
    return {
        t: {"parsed": wilson(c[1], c[0]), "of_type": wilson(c[2], c[0]), "passed": wilson(c[3], c[0])}
        for t, c in counts.items()
    }
