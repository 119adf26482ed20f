"""Who is first, last or in between: a chain of comparisons without numbers."""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.core.problems.base import Parts, make_problem, parts, pick
from training.core.problems.phrasing import draw_names
from training.core.types import AnswerKind, Problem, Split


@dataclass(frozen=True, slots=True)
class Scale:
    """One dimension: `up` says a is ahead of b, `down` says a is behind b."""

    name: str
    up: Parts
    down: Parts
    first: Parts
    last: Parts


def _adjective(name: str, more: str, less: str, most: str, least: str) -> Scale:
    return Scale(
        name,
        up=parts([f"{{a}} is {more} than {{b}}.", f"We know that {{a}} is {more} than {{b}}.", f"Of the two, {{a}} and {{b}}, {{a}} is {more}.", f"Compared with {{b}}, {{a}} is {more}.", f"Beside {{b}}, {{a}} is {more}.", f"Everybody says that {{a}} is {more} than {{b}}.", f"It is known that {{a}} is {more} than {{b}}.", f"It is said that, compared with {{b}}, {{a}} is {more}.", f"Everybody says that, compared with {{b}}, {{a}} is {more}."],
                 [f"Everybody knows that {{a}} is {more} than {{b}}.", f"It is known that, compared with {{b}}, {{a}} is {more}."]),
        down=parts([f"{{a}} is {less} than {{b}}.", f"We know that {{a}} is {less} than {{b}}.", f"Of the two, {{a}} and {{b}}, {{a}} is {less}.", f"Compared with {{b}}, {{a}} is {less}.", f"Beside {{b}}, {{a}} is {less}.", f"Everybody says that {{a}} is {less} than {{b}}.", f"It is known that {{a}} is {less} than {{b}}.", f"It is said that, compared with {{b}}, {{a}} is {less}.", f"Everybody says that, compared with {{b}}, {{a}} is {less}."],
                   [f"Everybody knows that {{a}} is {less} than {{b}}.", f"It is known that, compared with {{b}}, {{a}} is {less}."]),
        first=parts([f"Who is the {most}?", f"Which of them is the {most}?", f"Can you say who is the {most}?", f"Of these people, who is the {most}?", f"Who of these people is the {most}?", f"Of the group, who is the {most}?", f"Of all these people, who is the {most}?"], [f"Of all of them, who is the {most}?", f"Who of them is the {most}?"]),
        last=parts([f"Who is the {least}?", f"Which of them is the {least}?", f"Can you say who is the {least}?", f"Of these people, who is the {least}?", f"Who of these people is the {least}?", f"Of the group, who is the {least}?", f"Of all these people, who is the {least}?"], [f"Of all of them, who is the {least}?", f"Who of them is the {least}?"]),
    )  # fmt: skip


SCALES = (
    _adjective("height", "taller", "shorter", "tallest", "shortest"),
    _adjective("age", "older", "younger", "oldest", "youngest"),
    _adjective("speed", "faster", "slower", "fastest", "slowest"),
    _adjective("weight", "heavier", "lighter", "heaviest", "lightest"),
    Scale(
        "arrival",
        up=parts(["{a} arrives before {b}.", "{a} gets there before {b}.", "We know that {a} arrives before {b}.", "Before {b}, {a} arrives."],
                 ["Everybody knows that {a} gets there before {b}.", "{a} is there before {b}."]),
        down=parts(["{a} arrives after {b}.", "{a} gets there after {b}.", "We know that {a} arrives after {b}.", "After {b}, {a} arrives."],
                   ["Everybody knows that {a} gets there after {b}.", "{a} is there after {b}."]),
        first=parts(["Who arrives first?", "Which of them arrives first?", "Who gets there first?", "Of these people, who arrives first?", "Who of these people is there first?", "Of the group, who gets there first?"], ["Of all of them, who arrives first?", "Who of them is there first?"]),
        last=parts(["Who arrives last?", "Which of them arrives last?", "Who gets there last?", "Of these people, who arrives last?", "Who of these people is there last?", "Of the group, who gets there last?"], ["Of all of them, who arrives last?", "Who of them is there last?"]),
    ),
)  # fmt: skip


class Ordering:
    """Three to five people in a hidden order, each link of the chain stated once, in any order."""

    name = "ordering"
    title = "Order puzzles"
    kind = AnswerKind.CHOICE
    max_difficulty = 3

    def generate(self, rng: random.Random, split: Split, difficulty: int) -> Problem:
        """`difficulty` + 2 people; the solution writes the chain from first to last."""
        difficulty = max(1, min(3, difficulty))
        order = draw_names(rng, difficulty + 2)
        scale = rng.choice(SCALES)
        links = list(zip(order, order[1:], strict=False))
        rng.shuffle(links)
        sentences, facts, used = [], [], [SCALES.index(scale)]
        for ahead, behind in links:
            up = rng.random() < 0.5
            template, i = pick(rng, scale.up if up else scale.down, split)
            sentences.append(template.format(a=ahead if up else behind, b=behind if up else ahead))
            # Each link in one direction first: the chain is then put together from its own words.
            facts.append(f"{ahead} > {behind}.")
            used.append(i)
        first = rng.random() < 0.5
        question, i = pick(rng, scale.first if first else scale.last, split)
        sentences.append(question)
        answer = order[0] if first else order[-1]
        return make_problem(
            self, split, difficulty, sentences, " ".join([*facts, " > ".join(order) + "."]), answer, entities=order,
            template="-".join(map(str, [*used, i])),
        )  # fmt: skip

    def template_count(self, split: Split) -> int:
        """Link × question, over the scales."""
        return sum((len(s.up[split]) + len(s.down[split])) * (len(s.first[split]) + len(s.last[split])) for s in SCALES)
