"""Fill hint templates from a problem's own people, things and numbers. No I/O.

Slots: {other} a person not in the problem, {who} one of its people, {thing} what it counts, {k} {j} numbers that are
neither the answer nor told, {n} a number near the answer (the anchor), {day} {time} decoys for calendar and clock.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from training.core.problems.calendar import DAYS
from training.core.problems.wording import NAMES, THINGS
from training.core.types import AnswerKind, Hint, PerturbationType, Problem, Split


@dataclass(frozen=True, slots=True)
class Writer:
    """One template. `suggests` names the wrong answer it pushes: a slot, or one of first, last, double, sum."""

    id: str
    type: PerturbationType
    split: Split
    template: str
    suggests: str = ""

    def fill(self, problem: Problem, rng: random.Random) -> Hint | None:
        """The hint for `problem`, or None where the template does not fit it or would state the answer."""
        slots = set(re.findall(r"{(\w+)}", self.template))
        if not _fits(slots, self.suggests, problem):
            return None
        values = _values(problem, rng)
        suggested = _suggestion(self.suggests, problem, values)
        if self.suggests and (suggested is None or suggested == problem.answer):
            return None
        text = self.template.format(**values)
        text = text[0].upper() + text[1:]
        if _states(text, problem):
            return None
        return Hint(self.type, text, self.id, self.split, suggested)


def writers(type_: PerturbationType, split: Split, templates: Sequence[str]) -> tuple[Writer, ...]:
    """Writers from lines "template | what it suggests"; the second part may be missing."""
    made = []
    for i, line in enumerate(templates):
        text, _, suggests = (part.strip() for part in line.partition("|"))
        made.append(Writer(f"{type_}/{split}/{i}", type_, split, text, suggests))
    return tuple(made)


def _fits(slots: set[str], suggests: str, problem: Problem) -> bool:
    number = problem.kind is AnswerKind.NUMBER
    if (slots | {suggests}) & {"n", "double", "sum"} and not number:
        return False
    if suggests in ("first", "last", "sum") and (len(problem.quantities) < 2 or not number):
        return False
    if "day" in slots and problem.family != "calendar":
        return False
    if "time" in slots and problem.kind is not AnswerKind.CLOCK:
        return False
    if "rival" in slots and problem.family != "ordering":
        return False
    return not ("who" in slots and not _people(problem))


def _people(problem: Problem) -> list[str]:
    return [e for e in problem.entities if e != problem.answer]


def _values(problem: Problem, rng: random.Random) -> dict[str, str]:
    taken = {*problem.quantities, *([int(problem.answer)] if problem.answer.isdecimal() else [])}
    free = [x for x in range(2, 60) if x not in taken]
    k, j = rng.sample(free, 2)
    gold = int(problem.answer) if problem.answer.isdecimal() else 20
    near = [x for x in range(max(2, gold - 15), gold + 16) if x != gold and x not in problem.quantities]
    people = _people(problem) or ["somebody"]
    hour, minute = rng.randint(1, 12), rng.randrange(0, 60, 5)
    who = rng.choice(people)
    return {
        "other": rng.choice([n for n in NAMES if n not in problem.entities]),
        "who": who,
        "rival": who,
        "thing": problem.nouns[0] if problem.nouns else rng.choice(THINGS).many,
        "stuff": rng.choice([t.many for t in THINGS if t.many not in problem.nouns]),
        "k": str(k),
        "j": str(j),
        "n": str(rng.choice(near)),
        "day": rng.choice([d for d in DAYS if d != problem.answer]),
        "time": f"{hour}:{minute:02d}",
    }


def _suggestion(rule: str, problem: Problem, values: dict[str, str]) -> str | None:
    if rule in values:
        return values[rule]
    numbers = problem.quantities
    made = {
        "first": lambda: numbers[0],
        "last": lambda: numbers[-1],
        "double": lambda: 2 * int(problem.answer),
        "plus": lambda: int(problem.answer) + int(values["k"]),
        "sum": lambda: sum(numbers),
    }
    if rule in ("plus", "double") and not problem.answer.isdecimal():
        return None
    return str(made[rule]()) if rule in made else None


def _states(text: str, problem: Problem) -> bool:
    return re.search(rf"(?<![\w:]){re.escape(problem.answer)}(?![\w:])", text, re.IGNORECASE) is not None
