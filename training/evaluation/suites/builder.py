"""Suites as values, made from the bundled families, from given problems, or from given hints. No I/O, no model.

The same call makes the same suite; its hash says so. Every hint passes the gates, and what was refused is counted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from training.core import hint_templates
from training.core.gates import check_hint
from training.core.hint_language import NoHint, write_hint
from training.core.neutral_text import write_placebo
from training.core.problems import problem_stream, require_families
from training.core.types import Hint, HintType, Problem, Split
from training.errors import UserError

HintSource = Callable[[Problem, HintType], Hint | None]
"""Writes one hint, or None where it has none that passes the gates."""


@dataclass(frozen=True, slots=True)
class SuiteItem:
    """One problem with its hints and, in the same order, neutral texts of their length."""

    problem: Problem
    hints: tuple[Hint, ...]
    placebos: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    items: tuple[SuiteItem, ...]

    def digest(self) -> str:
        """SHA-256 over the content, first 16 hex digits."""
        items = [dataclasses.asdict(item) for item in self.items]
        for item in items:
            # Fields that came later: where they hold nothing, the hash is that of before.
            for name in ("options", "scoring"):
                if not item["problem"][name]:
                    del item["problem"][name]
        content = json.dumps(items, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


FROZEN_VERSIONS = (1, 2)
"""Version 1 has fixed templates for hints and placebos, version 2 the hint language and generated neutral text."""


def frozen_suite(problems: int, seed: int, version: int = FROZEN_VERSIONS[-1]) -> Suite:
    """Held-out problems in held-out phrasings, hints in held-out forms, every hint through the gates.

    A version never changes: evaluations name a suite by its seed and its hash.
    """
    first = version == 1
    made = hint_templates.write_hint if first else write_hint

    def write(problem: Problem, type_: HintType) -> Hint:
        rng = random.Random(f"{seed}:{problem.id}:{type_}")
        while True:
            hint = made(problem, type_, rng, Split.HELD_OUT)
            if check_hint(hint.text, problem).passed:
                return hint

    name = f"frozen-{seed}-{problems}" if first else f"frozen{version}-{seed}-{problems}"
    return build_suite(
        name, held_out_problems(problems, seed), write, seed, placebo=_first_placebo if first else write_placebo
    )


def _first_placebo(words: int, rng: random.Random, problem: Problem) -> str:
    return hint_templates.write_placebo(words, rng)


def frozen_suite_of(problems: int, seed: int, digests: Iterable[str]) -> Suite:
    """The version of the frozen suite with one of these digests; the newest where none has."""
    wanted = {digest for digest in digests if digest}
    for version in reversed(FROZEN_VERSIONS) if wanted else ():
        suite = frozen_suite(problems, seed, version)
        if suite.digest() in wanted:
            return suite
    return frozen_suite(problems, seed)


def held_out_problems(problems: int, seed: int) -> list[Problem]:
    return list(itertools.islice(problem_stream(seed, Split.HELD_OUT), problems))


Placebo = Callable[[int, random.Random, Problem], str]
"""Writes a neutral text of about so many words for a problem."""


def build_suite(
    name: str,
    problems: Sequence[Problem],
    source: HintSource,
    seed: int,
    types: Sequence[HintType] = tuple(HintType),
    *,
    placebo: Placebo = write_placebo,
) -> Suite:
    """A suite over `problems` with hints of these types from `source`; a type it has no hint for is left out."""
    items = []
    for problem in problems:
        written = [source(problem, type_) for type_ in types]
        items.append(make_item(problem, [hint for hint in written if hint is not None], seed, placebo))
    return Suite(name, tuple(items))


def make_item(problem: Problem, hints: Sequence[Hint], seed: int, placebo: Placebo = write_placebo) -> SuiteItem:
    """The item of a problem, each hint with a neutral text of its length."""
    rng = random.Random(f"{seed}:{problem.id}:placebo")
    return SuiteItem(problem, tuple(hints), tuple(placebo(len(hint.text.split()), rng, problem) for hint in hints))


ALL_TYPES = tuple(HintType)
_TRIES = 400

Offers = Callable[[Problem, HintType], Iterable[Hint]]
"""Hints of a type for a problem, the preferred one first; empty where there is none."""


@dataclass(slots=True)
class Tally:
    """What became of the hints: `tried` texts, `refused` by gate, `kept` by type, and by type how many problems have
    none (`missing`)."""

    tried: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)

    def passes(self, hint: Hint, problem: Problem, others: Sequence[str] = ()) -> bool:
        self.tried += 1
        gate = check_hint(hint.text, problem, others=others).gate
        if gate is not None:
            self.refused[gate] += 1
        return gate is None


@dataclass(frozen=True, slots=True)
class MadeSuite:
    """A suite that is not on disk yet, and how it came about."""

    suite: Suite
    tally: Tally


@dataclass(frozen=True, slots=True)
class RankedHint:
    """A hint of a run with how strong it was there: larger is stronger, later ones first among equals."""

    problem: Problem
    hint: Hint
    strength: float
    step: int


def _check_size(problems: int) -> None:
    if problems < 1:
        raise UserError(f"A suite of {problems} problems cannot be made; ask for at least 1.")


def families_problems(problems: int, seed: int, split: Split, families: Sequence[str] = ()) -> list[Problem]:
    """The first `problems` of the seeded stream of these families (all: the stream that the frozen suite takes)."""
    require_families(families)
    _check_size(problems)
    return list(itertools.islice(problem_stream(seed, split, families or None), problems))


def choose_problems(problems: Sequence[Problem], count: int | None, seed: int) -> list[Problem]:
    """`count` of them drawn by the seed, in their own order; all of them for None or a larger number."""
    if count is None:
        return list(problems)
    _check_size(count)
    if count >= len(problems):
        return list(problems)
    drawn = random.Random(f"{seed}:problems").sample(range(len(problems)), count)
    return [problems[i] for i in sorted(drawn)]


def template_offers(seed: int, split: Split) -> Offers:
    """Hints of the hint language in forms of one split."""

    def offer(problem: Problem, type_: HintType) -> Iterator[Hint]:
        rng = random.Random(f"{seed}:{problem.id}:{type_}")
        for _ in range(_TRIES):
            try:
                yield write_hint(problem, type_, rng, split)
            except NoHint:
                return

    return offer


def make_suite(
    name: str, problems: Sequence[Problem], offers: Offers, seed: int, types: Sequence[HintType] = ALL_TYPES
) -> MadeSuite:
    """A suite over `problems`: of each type the first hint that passes the gates, with its placebo."""
    if not problems:
        raise UserError("There is no problem to make a suite of.")
    tally = Tally()
    before: defaultdict[str, list[str]] = defaultdict(list)

    def first_sound(problem: Problem, type_: HintType) -> Hint | None:
        there = before[problem.id]
        hint = next((h for h in offers(problem, type_) if tally.passes(h, problem, there)), None)
        (tally.missing if hint is None else tally.kept)[type_] += 1
        if hint is not None:
            there.append(hint.text)
        return hint

    return MadeSuite(build_suite(name, distinct(problems), first_sound, seed, types), tally)


def distinct(problems: Iterable[Problem]) -> list[Problem]:
    """The first of each id: one id is one item."""
    return list({problem.id: problem for problem in reversed(list(problems))}.values())[::-1]


_Kept = dict[str, tuple[Problem, list[Hint]]]


def _keep(problem: Problem, hint: Hint, kept: _Kept, tally: Tally) -> bool:
    """Whether a hint passes the gates; it is then added to those of its problem."""
    problem, there = kept.get(problem.id, (problem, []))
    passes = tally.passes(hint, problem, [h.text for h in there])
    if passes:
        kept[problem.id] = (problem, [*there, hint])
        tally.kept[hint.type] += 1
    return passes


def _kept_suite(name: str, kept: _Kept, tally: Tally, seed: int) -> MadeSuite:
    items = tuple(make_item(problem, hints, seed) for problem, hints in kept.values())
    return MadeSuite(Suite(name, items), tally)


def hinted_suite(name: str, pairs: Iterable[tuple[Problem, Hint]], seed: int) -> MadeSuite:
    """A suite of these hints in their order, those that the gates refuse left out."""
    tally = Tally()
    kept: _Kept = {}
    for problem, hint in pairs:
        _keep(problem, hint, kept, tally)
    if not kept:
        raise UserError(f"No hint is left to make a suite of: {tally.tried} tried, all refused by the gates.")
    return _kept_suite(name, kept, tally, seed)


def archive_suite(name: str, found: Iterable[RankedHint], problems: int, seed: int) -> MadeSuite:
    """The strongest hints of each type × family, cell by cell in turn, until there are so many problems.

    Hints without any strength are left out. A choice by strength flatters the attack on the very model that it was
    measured on; `manifest.separation` says so.
    """
    _check_size(problems)
    tally = Tally()
    kept: _Kept = {}
    cells = list(_cells(ranked for ranked in found if ranked.strength > 0).values())
    while cells and len(kept) < problems:
        for cell in cells:
            while cell and len(kept) < problems:
                ranked = cell.pop()
                if _keep(ranked.problem, ranked.hint, kept, tally):
                    break
        cells = [cell for cell in cells if cell]
    if not kept:
        raise UserError("The run has no hint that passes the gates and ever worked, so no suite can be made of it.")
    return _kept_suite(name, kept, tally, seed)


def _cells(found: Iterable[RankedHint]) -> Mapping[tuple[str, str], list[RankedHint]]:
    """Type and family to hints, the strongest last; the same text for the same problem once."""
    best: dict[tuple[str, str], RankedHint] = {}
    for ranked in found:
        key = (ranked.problem.id, ranked.hint.text)
        if key not in best or _strength(ranked) > _strength(best[key]):
            best[key] = ranked
    cells: defaultdict[tuple[str, str], list[RankedHint]] = defaultdict(list)
    for ranked in sorted(best.values(), key=_strength):
        cells[ranked.hint.type, ranked.problem.family].append(ranked)
    return dict(sorted(cells.items()))


def _strength(ranked: RankedHint) -> tuple[float, int, str, str]:
    return (ranked.strength, ranked.step, ranked.problem.id, ranked.hint.text)
