"""One person gains and loses things: one to four steps of addition and subtraction."""

from __future__ import annotations

import random

from training.core.problems.base import make_problem, parts, pick
from training.core.problems.phrasing import PLACES, THINGS, draw_names
from training.core.types import AnswerKind, Problem, Split

OPENERS = parts(
    [
        "{a} has {n}.", "{a} starts with {n}.", "There are {n} in {a}'s bag.", "{a} keeps {n} in the {place}.",
        "{a} owns {n}.", "In the morning {a} has {n}.", "{a} brings {n} to the {place}.", "{a} counts {n} at home.",
        "{a} has collected {n} so far.", "On Monday {a} had {n}.", "{a} finds {n} in the {place}.",
        "A box that belongs to {a} holds {n}.", "The box of {a} holds {n}.", "At home {a} has {n}.", "In the {place} {a} has {n}.",
    ],
    ["At home {a} keeps {n}.", "{a} has brought {n} to the {place}.", "In the {place} {a} counts {n}.", "The bag of {a} holds {n}."],
)  # fmt: skip
GAINS = parts(
    [
        "{a} buys {k} more.", "Then {a} gets {k} more.", "A friend gives {a} another {k}.", "{a} finds {k} more.",
        "Later {a} receives {k} more from a neighbour.", "{a} wins {k} in a game.", "Then {k} more are added.",
        "{a} picks up {k} more on the way.", "An aunt sends {a} {k} more.", "After lunch {a} collects another {k}.",
        "The next day {a} buys another {k}.", "Later {a} finds {k} more.", "On the way {a} gets another {k}.",
        "A neighbour brings {a} {k} more.", "Another {k} are given to {a}.", "Another {k} are given to {a} by a neighbour.", "Another {k} are sent to {a}.", "{k} more are sent to {a} by a friend.", "Another {k} are brought to {a} by an aunt.", "{k} more are sent to {a} by a neighbour.", "A friend sends {a} another {k}.",
    ],
    ["A neighbour gives {a} {k} more.", "On the way {a} finds another {k}.", "Another {k} are sent to {a} by a friend.", "Later {a} buys {k} more."],
)  # fmt: skip
LOSSES = parts(
    [
        "{a} gives away {k}.", "Then {a} loses {k}.", "{a} sells {k} of them.", "{k} of them break.",
        "{a} uses {k} of them.", "A friend takes {k} of them.", "Then {k} are given to a neighbour.",
        "{a} leaves {k} at school.", "Later {a} drops {k} and cannot find them.", "{a} throws {k} away.",
        "The next day {a} gives {k} to an aunt.", "Later {a} loses {k} of them.", "On the way {a} loses {k}.", "On the way home {a} drops {k}.", "{a} drops {k} on the way.", "On the way {k} of them are dropped.", "On the way {a} gives away {k}.",
        "An aunt takes {k} of them.", "{a} drops {k} of them.", "{k} of them are sold.", "{a} gives {k} to a neighbour.", "On the way {k} are lost.",
    ],
    ["A neighbour takes {k} of them.", "Later {a} gives {k} to a friend.", "{k} of them are lost.", "On the way {a} drops {k}."],
)  # fmt: skip
QUESTIONS = parts(
    [
        "How many {things} does {a} have now?", "How many {things} are left?", "How many {things} does {a} have in the end?",
        "What is the number of {things} that {a} has now?", "How many {things} does that make?",
        "Can you say how many {things} {a} has now?", "With how many {things} does {a} end up?",
        "How many {things} does {a} have after that?", "Now, how many {things} belong to {a}?", "In the end, how many {things} are left?", "After that, how many {things} does {a} have?",
        "What number of {things} is left?", "How many {things} does {a} end with?",
    ],
    ["In the end, how many {things} does {a} have?", "What number of {things} does {a} have after that?", "How many {things} does {a} end up with?"],
)  # fmt: skip


class Change:
    """Gains and losses of one person."""

    name = "change"
    title = "Gains and losses"
    kind = AnswerKind.NUMBER
    max_difficulty = 4

    def generate(self, rng: random.Random, split: Split, difficulty: int) -> Problem:
        """A story with `difficulty` events."""
        (a,), thing, place = draw_names(rng, 1), rng.choice(THINGS), rng.choice(PLACES)
        total = rng.randint(4, 60)
        opener, i = pick(rng, OPENERS, split)
        sentences, steps, numbers, used = [opener.format(a=a, n=thing.count(total), place=place)], [], [total], [i]
        for _ in range(max(1, min(4, difficulty))):
            up = total < 12 or (total < 75 and rng.random() < 0.5)
            k = rng.randint(2, min(30, 99 - total) if up else min(30, total - 2))
            event, j = pick(rng, GAINS if up else LOSSES, split)
            sentences.append(event.format(a=a, k=k))
            new = total + k if up else total - k
            steps.append(f"{total} {'+' if up else '-'} {k} = {new}.")
            total = new
            numbers.append(k)
            used.append(j)
        question, j = pick(rng, QUESTIONS, split)
        sentences.append(question.format(a=a, things=thing.many))
        return make_problem(
            self, split, difficulty, sentences, " ".join(steps), str(total), entities=[a], nouns=[thing.many],
            quantities=numbers, template="-".join(map(str, [*used, j])),
        )  # fmt: skip

    def template_count(self, split: Split) -> int:
        """Opener × one event × question."""
        return len(OPENERS[split]) * (len(GAINS[split]) + len(LOSSES[split])) * len(QUESTIONS[split])
