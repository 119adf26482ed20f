"""So many in each: multiplication, with extras and losses after it."""

from __future__ import annotations

import random

from training.core.problems.base import make_problem, parts, pick
from training.core.problems.phrasing import CONTAINERS, THINGS, Thing, draw_names
from training.core.types import AnswerKind, Problem, Split

GROUPS = parts(
    [
        "{a} has {groups} with {n} in each.", "{a} fills {groups} with {n} each.", "There are {groups} in {a}'s room, and each holds {n}.",
        "{a} packs {groups}, each with {n}.", "{a} buys {groups}. Each one has {n} in it.", "In {a}'s shop there are {groups} with {n} in each.",
        "{a} carries {groups}, and in each there are {n}.", "{a} makes {n} an hour and works for {hours}.",
        "Each hour {a} packs {n}, for {hours}.", "{a} sells {n} a day for {days}.", "Every day {a} makes {n}, and does so for {days}.",
    ],
    ["{a} carries {groups} with {n} in each.", "{a} has {groups}. Each one holds {n}.", "Every hour {a} makes {n}, and does so for {hours}.",
     "Each day {a} sells {n}, for {days}."],
)  # fmt: skip
EXTRA = parts(
    [
        "{a} also has {k} more.", "Then {a} gets {k} more.", "A friend adds another {k}.", "{k} more are brought in.",
        "Another {k} are on the table.", "Later {k} more are added.",
    ],
    ["Later {a} gets another {k}.", "A friend brings {k} more.", "Another {k} are added."],
)  # fmt: skip
LESS = parts(
    [
        "{k} of them break.", "{a} gives away {k} of them.", "Then {k} are lost.", "{a} takes out {k} of them.",
        "A friend takes {k} of them.", "Later {a} throws {k} away.",
    ],
    ["Later {k} of them are lost.", "A friend is given {k} of them.", "{a} drops {k} of them."],
)  # fmt: skip
QUESTIONS = parts(
    [
        "How many {things} is that in all?", "How many {things} are there now?", "How many {things} does that make?",
        "What is the total number of {things}?", "How many {things} are there altogether?", "Can you say how many {things} there are?",
        "In the end, how many {things} are there?",
    ],
    ["How many {things} are there in the end?", "In all, how many {things} does that make?", "What number of {things} is that in total?"],
)  # fmt: skip


class Rate:
    """Equal groups."""

    name = "rate"
    title = "Equal groups and rates"
    kind = AnswerKind.NUMBER
    max_difficulty = 3

    def generate(self, rng: random.Random, split: Split, difficulty: int) -> Problem:
        """A product, then `difficulty` − 1 gains or losses."""
        difficulty = max(1, min(3, difficulty))
        (a,), thing, box = draw_names(rng, 1), rng.choice(THINGS), rng.choice(CONTAINERS)
        groups, each = rng.randint(2, 9), rng.randint(2, 9)
        template, i = pick(rng, GROUPS, split)
        first = template.format(
            a=a, n=thing.count(each), groups=box.count(groups), hours=Thing("hour", "hours").count(groups),
            days=Thing("day", "days").count(groups),
        )  # fmt: skip
        total = groups * each
        order = (each, groups) if first.index(str(each)) < first.index(str(groups)) else (groups, each)
        sentences, steps, numbers, used = [first], [f"{groups} * {each} = {total}."], list(order), [i]
        for _ in range(difficulty - 1):
            up = total < 8 or rng.random() < 0.5
            k = rng.randint(2, 20) if up else rng.randint(2, min(20, total - 2))
            event, j = pick(rng, EXTRA if up else LESS, split)
            sentences.append(event.format(a=a, k=k))
            new = total + k if up else total - k
            steps.append(f"{total} {'+' if up else '-'} {k} = {new}.")
            total = new
            numbers.append(k)
            used.append(j)
        question, j = pick(rng, QUESTIONS, split)
        sentences.append(question.format(things=thing.many))
        return make_problem(
            self, split, difficulty, sentences, " ".join(steps), str(total), entities=[a], nouns=[thing.many],
            quantities=numbers, template="-".join(map(str, [*used, j])),
        )  # fmt: skip

    def template_count(self, split: Split) -> int:
        """Groups × one event × question."""
        return len(GROUPS[split]) * (len(EXTRA[split]) + len(LESS[split])) * len(QUESTIONS[split])
