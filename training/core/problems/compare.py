"""Two or three people compared: more than, fewer than, times as many, and totals."""

from __future__ import annotations

import random

from training.core.problems.base import make_problem, parts, pick
from training.core.problems.phrasing import THINGS, draw_names
from training.core.types import AnswerKind, Problem, Split

OPENERS = parts(
    [
        "{a} has {n}.", "{a} owns {n}.", "There are {n} in {a}'s room.", "{a} has collected {n}.", "In {a}'s bag there are {n}.",
        "{a} counts {n}.", "{a} keeps {n} at home.", "{a} has bought {n}.", "At home {a} counts {n}.", "In the bag of {a} there are {n}.", "On the table of {a} there are {n}.", "{a} brought {n}.",
    ],
    ["{a} has brought {n}.", "At home {a} has {n}.", "In the room of {a} there are {n}."],
)  # fmt: skip
MORE = parts(
    [
        "{b} has {k} more than {a}.", "{b} has {k} more {things} than {a} does.", "{b} owns {k} more than {a}.",
        "Compared with {a}, {b} has {k} more.", "{b} beats {a} by {k} {things}.", "{b} has as many as {a} and {k} more.",
        "{b} counts {k} more than {a}.", "Compared with {a}, {b} counts {k} more {things}.", "{b} owns {k} more {things} than {a}.",
        "{b} owns as many {things} as {a} and {k} more.",
    ],
    ["Compared with {a}, {b} owns {k} more {things}.", "{b} counts {k} more {things} than {a}.", "{b} has as many {things} as {a} and {k} more."],
)  # fmt: skip
FEWER = parts(
    [
        "{b} has {k} fewer than {a}.", "{b} has {k} fewer {things} than {a} does.", "{b} owns {k} fewer than {a}.",
        "Compared with {a}, {b} has {k} fewer.", "{b} is {k} {things} behind {a}.", "{b} counts {k} fewer than {a}.", "Compared with {a}, {b} counts {k} fewer {things}.", "{b} owns {k} fewer {things} than {a}.",
    ],
    ["Compared with {a}, {b} owns {k} fewer {things}.", "{b} counts {k} fewer {things} than {a}."],
)  # fmt: skip
TIMES = parts(
    [
        "{b} has {k} times as many as {a}.", "{b} owns {k} times as many {things} as {a}.", "{b} has {k} times the number of {a}.",
        "Compared with {a}, {b} has {k} times as many.", "{b} counts {k} times as many as {a}.", "{b} counts {k} times as many {things} as {a}.", "Compared with {a}, {b} counts {k} times as many {things}.",
    ],
    ["{b} has {k} times as many {things} as {a}.", "Compared with {a}, {b} owns {k} times as many {things}."],
)  # fmt: skip
ASK_ONE = parts(
    [
        "How many {things} does {b} have?", "What is the number of {things} that {b} has?", "How many {things} belong to {b}?",
        "Can you say how many {things} {b} has?", "What number of {things} does {b} own?", "How many {things} does {b} count?",
    ],
    ["How many {things} does {b} own?", "What number of {things} does {b} have?"],
)  # fmt: skip
ASK_ALL = parts(
    [
        "How many {things} do they have together?", "How many {things} do they have altogether?", "How many {things} are there in all?",
        "What is the total number of {things}?", "How many {things} does that make in total?", "In all, how many {things} are there?", "Altogether, how many {things} do they have?",
        "How many {things} are there in total?", "How many {things} do all of them have altogether?", "How many {things} is that altogether?", "How many {things} are there between them?", "Altogether, how many {things} are there?",
        "Together, how many {things} do they have?", "In total, how many {things} are there?", "How many {things} are there when all are counted?",
        "What number of {things} do they have in total?",
    ],
    ["How many {things} are there altogether?", "In total, how many {things} do they have?"],
)  # fmt: skip


class Compare:
    """Comparisons, chained at higher difficulty, with a total at difficulty 2 and 4."""

    name = "compare"
    title = "Comparisons"
    kind = AnswerKind.NUMBER
    max_difficulty = 4

    def generate(self, rng: random.Random, split: Split, difficulty: int) -> Problem:
        """1: one comparison; 2: and the total; 3: two comparisons; 4: and the total."""
        difficulty = max(1, min(4, difficulty))
        links = 1 if difficulty <= 2 else 2
        names, thing = draw_names(rng, links + 1), rng.choice(THINGS)
        value = rng.randint(3, 30)
        opener, i = pick(rng, OPENERS, split)
        sentences, steps, values, numbers = [opener.format(a=names[0], n=thing.count(value))], [], [value], [value]
        used = [i]
        for a, b in zip(names, names[1:], strict=False):
            value, sentence, step, k, j = self._link(rng, split, a, b, value, thing.many)
            sentences.append(sentence)
            steps.append(step)
            values.append(value)
            numbers.append(k)
            used.append(j)
        ask, j = pick(rng, ASK_ALL if difficulty % 2 == 0 else ASK_ONE, split)
        sentences.append(ask.format(b=names[-1], things=thing.many))
        if difficulty % 2 == 0:
            for n in values[-2::-1]:
                steps.append(f"{value} + {n} = {value + n}.")
                value += n
        return make_problem(
            self, split, difficulty, sentences, " ".join(steps), str(value), entities=names, nouns=[thing.many],
            quantities=numbers, template="-".join(map(str, [*used, j])),
        )  # fmt: skip

    def _link(
        self, rng: random.Random, split: Split, a: str, b: str, value: int, things: str
    ) -> tuple[int, str, str, int, int]:
        kinds = ["more"] + ["fewer"] * (value >= 6) + ["times"] * (value <= 20)
        kind = rng.choice(kinds)
        if kind == "more":
            k = rng.randint(2, min(30, 60 - value) if value < 56 else 4)
            template, new, sign, word = pick(rng, MORE, split), value + k, "+", str(k)
        elif kind == "fewer":
            k = rng.randint(2, min(30, value - 2))
            template, new, sign, word = pick(rng, FEWER, split), value - k, "-", str(k)
        else:
            k = rng.randint(2, 5 if value <= 9 else 3)
            template, new, sign, word = pick(rng, TIMES, split), value * k, "*", str(k)
        return new, template[0].format(a=a, b=b, k=word, things=things), f"{value} {sign} {k} = {new}.", k, template[1]

    def template_count(self, split: Split) -> int:
        """Opener × link × question."""
        links = len(MORE[split]) + len(FEWER[split]) + len(TIMES[split])
        return len(OPENERS[split]) * links * (len(ASK_ONE[split]) + len(ASK_ALL[split]))
