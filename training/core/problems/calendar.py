"""Days of the week: so many days after or before."""

from __future__ import annotations

import random

from training.core.problems.base import make_problem, parts, pick
from training.core.problems.phrasing import draw_names
from training.core.types import AnswerKind, Problem, Split

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
EVENTS = ("a party", "an exam", "a race", "a concert", "a meeting", "a trip", "a match", "a show")
OPENERS = parts(
    ["Today is {day}.", "It is {day} today.", "{a} says that today is {day}.", "The calendar of {a} says {day}.", "{a} writes a letter on a {day}."],
    ["The day is {day}.", "On the calendar of {a} it is {day} today."],
)  # fmt: skip
AFTER = parts(
    ["{a} has {event} in {k}.", "In {k} there is {event}.", "{a} will go to {event} after {k}.", "{k} later {a} has {event}.", "{event} is {k} away."],
    ["There is {event} in {k}.", "After {k} {a} has {event}."],
)  # fmt: skip
BEFORE = parts(
    ["{a} had {event} {k} ago.", "{k} ago there was {event}.", "{a} went to {event} {k} ago.", "{k} before that {a} had {event}."],
    ["There was {event} {k} ago.", "{k} ago {a} went to {event}."],
)  # fmt: skip
QUESTIONS = parts(
    ["On which day is that?", "What day of the week is that?", "Which day of the week is that?", "Can you say on which day that is?"],
    ["Which day is that?", "On what day of the week is that?"],
)  # fmt: skip


class Calendar:
    """Count days forward or back."""

    name = "calendar"
    title = "Days of the week"
    kind = AnswerKind.CHOICE
    max_difficulty = 2

    def generate(self, rng: random.Random, split: Split, difficulty: int) -> Problem:
        """1: up to four days; 2: up to nine. The solution walks through the days."""
        difficulty = max(1, min(2, difficulty))
        (a,), start = draw_names(rng, 1), rng.randrange(7)
        k = rng.randint(2, 4) if difficulty == 1 else rng.randint(5, 9)
        forward = rng.random() < 0.6
        opener, i = pick(rng, OPENERS, split)
        middle, j = pick(rng, AFTER if forward else BEFORE, split)
        question, q = pick(rng, QUESTIONS, split)
        text = middle.format(a=a, event=rng.choice(EVENTS), k=f"{k} days")
        walk = [DAYS[(start + (d if forward else -d)) % 7] for d in range(1, k + 1)]
        steps = " ".join(f"{d} {day}." for d, day in enumerate(walk, 1))
        return make_problem(
            self, split, difficulty, [opener.format(a=a, day=DAYS[start]), text[0].upper() + text[1:], question], steps,
            walk[-1], entities=[a], quantities=[k], template=f"{i}-{forward:d}{j}-{q}",
        )  # fmt: skip

    def template_count(self, split: Split) -> int:
        """Opener × middle × question."""
        return len(OPENERS[split]) * (len(AFTER[split]) + len(BEFORE[split])) * len(QUESTIONS[split])
