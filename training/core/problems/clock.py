"""Times of day: so many minutes and hours later or earlier."""

from __future__ import annotations

import random

from training.core.problems.base import make_problem, parts, pick
from training.core.problems.phrasing import draw_names
from training.core.types import AnswerKind, Problem, Split

OPENERS = parts(
    [
        "{a} starts {work} at {t}.", "At {t} {a} starts {work}.", "It is {t} when {a} starts {work}.", "{a} leaves home at {t}.",
        "The train of {a} leaves at {t}.", "At {t} {a} leaves the house.", "The class of {a} begins at {t}.", "{a} gets up at {t}.",
        "{a} puts a cake in the oven at {t}.",
    ],
    ["At {t} the class of {a} begins.", "It is {t} when {a} leaves home.", "{a} begins {work} at {t}."],
)  # fmt: skip
WORK = ("to read", "to work", "to cook", "to paint", "to clean", "to write", "to practise")
LATER = parts(
    [
        "It takes {d}.", "This goes on for {d}.", "After {d} it is over.", "It lasts {d}.", "Then {d} go by.", "{d} later it is done.",
    ],
    ["It goes on for {d}.", "This takes {d}.", "It is over after {d}."],
)  # fmt: skip
THEN = parts(
    ["After that, {d} more are needed.", "Then it goes on for another {d}.", "A break adds {d}.", "Then there is a delay of {d}."],
    ["Then another {d} are needed.", "A delay adds {d}."],
)  # fmt: skip
QUESTIONS = parts(
    ["What time is it then?", "At what time does it end?", "When is it over?", "What does the clock say at the end?", "Can you say what time it is then?"],
    ["At the end, what time is it?", "What time does the clock say then?"],
)  # fmt: skip


def _clock(minutes: int) -> str:
    hour, minute = divmod(minutes % 720, 60)
    return f"{hour or 12}:{minute:02d}"


class Clock:
    """Add hours and minutes on a twelve-hour clock."""

    name = "clock"
    title = "Clock times"
    kind = AnswerKind.CLOCK
    max_difficulty = 3

    def generate(self, rng: random.Random, split: Split, difficulty: int) -> Problem:
        """1: minutes or hours; 2: hours and minutes; 3: and a second delay."""
        difficulty = max(1, min(3, difficulty))
        (a,) = draw_names(rng, 1)
        now = rng.randrange(0, 720, 5)
        opener, i = pick(rng, OPENERS, split)
        sentences = [opener.format(a=a, t=_clock(now), work=rng.choice(WORK))]
        hours, minutes = rng.randint(1, 5), rng.randrange(5, 60, 5)
        if difficulty == 1:
            hours, minutes = (hours, 0) if rng.random() < 0.4 else (0, minutes)
        later, j = pick(rng, LATER, split)
        sentences.append(_capital(later.format(d=self._duration(hours, minutes))))
        steps: list[str] = []
        numbers, used = [x for x in (hours, minutes) if x], [i, j]
        now = self._add(steps, now, hours, minutes)
        if difficulty == 3:
            extra = rng.randrange(5, 60, 5)
            then, j = pick(rng, THEN, split)
            sentences.append(_capital(then.format(d=self._duration(0, extra))))
            now = self._add(steps, now, 0, extra)
            numbers.append(extra)
            used.append(j)
        question, j = pick(rng, QUESTIONS, split)
        sentences.append(question)
        return make_problem(
            self, split, difficulty, sentences, " ".join(steps), _clock(now), entities=[a], quantities=numbers,
            template="-".join(map(str, [*used, j])),
        )  # fmt: skip

    def _duration(self, hours: int, minutes: int) -> str:
        parts = [f"{hours} hour{'s' if hours > 1 else ''}"] if hours else []
        parts += [f"{minutes} minutes"] if minutes else []
        return " and ".join(parts)

    def _add(self, steps: list[str], now: int, hours: int, minutes: int) -> int:
        if hours:
            steps.append(f"{_clock(now)} + {hours} h = {_clock(now + 60 * hours)}.")
            now += 60 * hours
        if minutes:
            steps.append(f"{_clock(now)} + {minutes} min = {_clock(now + minutes)}.")
            now += minutes
        return now

    def template_count(self, split: Split) -> int:
        """Opener × duration × question."""
        return len(OPENERS[split]) * len(LATER[split]) * len(QUESTIONS[split])


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
