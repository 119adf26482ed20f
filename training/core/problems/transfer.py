"""Things that pass from one person to another."""

from __future__ import annotations

import random

from training.core.problems.base import make_problem, parts, pick
from training.core.problems.phrasing import THINGS, draw_names
from training.core.types import AnswerKind, Problem, Split

OPENERS = parts(
    [
        "{a} has {n} and {b} has {m}.", "{a} has {n}, while {b} has {m}.", "{a} starts with {n}, {b} with {m}.",
        "There are {n} in {a}'s bag and {m} in the bag of {b}.", "{a} owns {n}; {b} owns {m}.", "{a} counts {n} and {b} counts {m}.",
        "In the morning {a} has {n} and {b} has {m}.", "{a} brings {n} and {b} brings {m}.",
        "{a} has {n}, {b} has {m}.", "At home {a} keeps {n} and {b} keeps {m}.", "{a} counts {n}, while {b} counts {m}.",
    ],
    ["{a} owns {n}, while {b} owns {m}.", "At home {a} has {n} and {b} has {m}.", "{a} brings {n}, {b} brings {m}."],
)  # fmt: skip
GIVES = parts(
    [
        "{a} gives {k} to {b}.", "Then {a} gives {b} {k}.", "{a} hands {k} of them to {b}.", "{b} gets {k} from {a}.",
        "{b} takes {k} from {a}.", "Then {a} passes {k} on to {b}.", "Later {b} receives {k} from {a}.", "{a} sells {k} to {b}.",
        "{k} go from {a} to {b}.", "Then {b} gets {k} from {a}.", "{b} gets {k} of them from {a}.", "Later {a} gives {b} {k}.",
        "{a} passes {k} to {b}.", "Then {a} hands {k} to {b}.", "Later {k} of them go from {a} to {b}.",
    ],
    ["Then {b} gets {k} of them from {a}.", "Later {a} hands {b} {k}.", "{a} passes {k} of them to {b}."],
)  # fmt: skip
QUESTIONS = parts(
    [
        "How many {things} does {c} have now?", "How many {things} does {c} have in the end?", "How many {things} are with {c} now?",
        "What is the number of {things} that {c} has now?", "Can you say how many {things} {c} has now?",
        "With how many {things} does {c} end up?", "Now, how many {things} belong to {c}?",
        "In the end, what is the number of {things} that {c} has?", "What number of {things} belongs to {c} in the end?",
    ],
    ["In the end, how many {things} does {c} have?", "How many {things} does {c} end up with?", "What number of {things} does {c} have now?"],
)  # fmt: skip


class Transfer:
    """Two or three people, one to three transfers; asks for one of them."""

    name = "transfer"
    title = "Transfers between people"
    kind = AnswerKind.NUMBER
    max_difficulty = 3

    def generate(self, rng: random.Random, split: Split, difficulty: int) -> Problem:
        """`difficulty` transfers between two people, forth and back; the one asked for takes part in all of them."""
        difficulty = max(1, min(3, difficulty))
        (a, b), thing = draw_names(rng, 2), rng.choice(THINGS)
        have = {a: rng.randint(6, 40), b: rng.randint(6, 40)}
        asked = rng.choice([a, b])
        opener, i = pick(rng, OPENERS, split)
        sentences = [opener.format(a=a, b=b, n=thing.count(have[a]), m=thing.count(have[b]))]
        # Restating who has what makes the later look-up by name a short copy.
        facts = f"{a} {have[a]}, {b} {have[b]}."
        numbers, steps, used = [have[a], have[b]], [], [i]
        for _ in range(difficulty):
            giver, taker = rng.sample([a, b], 2)
            if have[giver] < 5:
                giver, taker = taker, giver
            k = rng.randint(2, min(20, have[giver] - 2))
            template, j = pick(rng, GIVES, split)
            sentences.append(template.format(a=giver, b=taker, k=k))
            # The giver first, always: who gives to whom is settled before anything is computed.
            steps.append(
                f"{giver} {have[giver]} - {k} = {have[giver] - k}, {taker} {have[taker]} + {k} = {have[taker] + k}."
            )
            have[giver] -= k
            have[taker] += k
            numbers.append(k)
            used.append(j)
        question, j = pick(rng, QUESTIONS, split)
        sentences.append(question.format(c=asked, things=thing.many))
        return make_problem(
            self, split, difficulty, sentences, f"{facts} {' '.join(steps)} {asked} {have[asked]}.", str(have[asked]), entities=[a, b],
            nouns=[thing.many], quantities=numbers, template="-".join(map(str, [*used, j])),
        )  # fmt: skip

    def template_count(self, split: Split) -> int:
        """Opener × one transfer × question."""
        return len(OPENERS[split]) * len(GIVES[split]) * len(QUESTIONS[split])
