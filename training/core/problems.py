"""Problem families and seeded streams over them. Every problem carries its exact answer and a worked solution. No I/O."""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from training.core.gym import NOT_INSTALLED, family_line, gym_family, installed
from training.core.types import AnswerKind, Problem, Split
from training.errors import UserError

NAMES = (
    "Amara Anton Bilal Bruno Carla Chen Daria Diego Elif Emil Farah Felix Gita Hana Hugo Ines Ivan Jonas Kaito Karim "
    "Lena Leo Lucia Malik Maya Mei Milo Nadia Nils Nina Noor Olga Omar Paula Pedro Priya Quinn Rosa Samir Sana Selma "
    "Tariq Tessa Theo Uma Vera Wei Yara Yusuf Zoe"
).split()


@dataclass(frozen=True, slots=True)
class Thing:
    """A countable noun."""

    one: str
    many: str

    def count(self, n: int) -> str:
        """ "1 apple", "7 apples"."""
        return f"{n} {self.one if n == 1 else self.many}"


def _things(text: str) -> tuple[Thing, ...]:
    pairs = (word.partition(":") for word in text.split())
    return tuple(Thing(one, many or one + "s") for one, _, many in pairs)


THINGS = _things(
    "apple book coin pencil stamp shell button marble sticker card bead ribbon candle cup plate spoon key balloon "
    "kite drum lamp cushion brush:brushes box:boxes peach:peaches orange lemon melon carrot onion potato:potatoes "
    "tomato:tomatoes berry:berries cherry:cherries cookie muffin bagel egg flower seed stone feather ticket postcard "
    "letter photo magnet badge token"
)
CONTAINERS = _things("bag basket tray jar crate shelf:shelves drawer packet bowl sack")
PLACES = "garden kitchen office school library market attic cellar workshop studio".split()


Parts = Mapping[Split, Sequence[str]]
"""Sentence templates of one part of a story (opener, event, question), apart by split."""


class Family(Protocol):
    """A kind of problem. A new domain is one such class, listed in `FAMILIES`."""

    name: str
    title: str
    kind: AnswerKind
    max_difficulty: int

    def generate(self, rng: random.Random, split: Split, difficulty: int) -> Problem:
        """One problem with its exact answer and worked solution; difficulty is clipped to 1..max_difficulty."""


def parts(train: Sequence[str], held_out: Sequence[str]) -> Parts:
    """Templates of both splits, checked to share none."""
    assert not set(train) & set(held_out)
    return {Split.TRAIN: tuple(train), Split.HELD_OUT: tuple(held_out)}


def pick(rng: random.Random, templates: Parts, split: Split) -> tuple[str, int]:
    """One template of a part and its index."""
    index = rng.randrange(len(templates[split]))
    return templates[split][index], index


def make_problem(
    family: Family,
    split: Split,
    difficulty: int,
    sentences: Sequence[str],
    steps: str,
    answer: str,
    *,
    entities: Sequence[str] = (),
    nouns: Sequence[str] = (),
    quantities: Sequence[int] = (),
    template: str = "",
) -> Problem:
    """Join the sentences of a story and close the solution with its answer line."""
    question = " ".join(sentences)
    return Problem(
        # The same question has the same id in every process.
        id=f"{family.name}-{split}-{hashlib.sha256(question.encode()).hexdigest()[:12]}",
        family=family.name,
        question=question,
        answer=answer,
        kind=family.kind,
        solution=f"{steps}\n#### {answer}",
        entities=tuple(name for name in entities if name in question),
        nouns=tuple(nouns),
        quantities=tuple(quantities),
        template=f"{family.name}/{split}/{template}",
        split=split,
        difficulty=difficulty,
    )


CHANGE_OPENERS = parts(
    [
        "{a} has {n}.", "{a} starts with {n}.", "There are {n} in {a}'s bag.", "{a} keeps {n} in the {place}.",
        "{a} owns {n}.", "In the morning {a} has {n}.", "{a} brings {n} to the {place}.", "{a} counts {n} at home.",
        "{a} has collected {n} so far.", "On Monday {a} had {n}.", "{a} finds {n} in the {place}.",
        "A box that belongs to {a} holds {n}.", "The box of {a} holds {n}.", "At home {a} has {n}.", "In the {place} {a} has {n}.",
    ],
    ["At home {a} keeps {n}.", "{a} has brought {n} to the {place}.", "In the {place} {a} counts {n}.", "The bag of {a} holds {n}."],
)  # fmt: skip
CHANGE_GAINS = parts(
    [
        "{a} buys {k} more.", "Then {a} gets {k} more.", "A friend gives {a} another {k}.", "{a} finds {k} more.",
        "Later {a} receives {k} more from a neighbour.", "{a} wins {k} in a game.", "Then {k} more are added.",
        "{a} picks up {k} more on the way.", "An aunt sends {a} {k} more.", "After lunch {a} collects another {k}.",
        "The next day {a} buys another {k}.", "Later {a} finds {k} more.", "On the way {a} gets another {k}.",
        "A neighbour brings {a} {k} more.", "Another {k} are given to {a}.", "Another {k} are given to {a} by a neighbour.", "Another {k} are sent to {a}.", "{k} more are sent to {a} by a friend.", "Another {k} are brought to {a} by an aunt.", "{k} more are sent to {a} by a neighbour.", "A friend sends {a} another {k}.",
    ],
    ["A neighbour gives {a} {k} more.", "On the way {a} finds another {k}.", "Another {k} are sent to {a} by a friend.", "Later {a} buys {k} more."],
)  # fmt: skip
CHANGE_LOSSES = parts(
    [
        "{a} gives away {k}.", "Then {a} loses {k}.", "{a} sells {k} of them.", "{k} of them break.",
        "{a} uses {k} of them.", "A friend takes {k} of them.", "Then {k} are given to a neighbour.",
        "{a} leaves {k} at school.", "Later {a} drops {k} and cannot find them.", "{a} throws {k} away.",
        "The next day {a} gives {k} to an aunt.", "Later {a} loses {k} of them.", "On the way {a} loses {k}.", "On the way home {a} drops {k}.", "{a} drops {k} on the way.", "On the way {k} of them are dropped.", "On the way {a} gives away {k}.",
        "An aunt takes {k} of them.", "{a} drops {k} of them.", "{k} of them are sold.", "{a} gives {k} to a neighbour.", "On the way {k} are lost.",
    ],
    ["A neighbour takes {k} of them.", "Later {a} gives {k} to a friend.", "{k} of them are lost.", "On the way {a} drops {k}."],
)  # fmt: skip
CHANGE_QUESTIONS = parts(
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
        (a,), thing, place = rng.sample(NAMES, 1), rng.choice(THINGS), rng.choice(PLACES)
        total = rng.randint(4, 60)
        opener, i = pick(rng, CHANGE_OPENERS, split)
        sentences, steps, numbers, used = [opener.format(a=a, n=thing.count(total), place=place)], [], [total], [i]
        for _ in range(max(1, min(4, difficulty))):
            up = total < 12 or (total < 75 and rng.random() < 0.5)
            k = rng.randint(2, min(30, 99 - total) if up else min(30, total - 2))
            event, j = pick(rng, CHANGE_GAINS if up else CHANGE_LOSSES, split)
            sentences.append(event.format(a=a, k=k))
            new = total + k if up else total - k
            steps.append(f"{total} {'+' if up else '-'} {k} = {new}.")
            total = new
            numbers.append(k)
            used.append(j)
        question, j = pick(rng, CHANGE_QUESTIONS, split)
        sentences.append(question.format(a=a, things=thing.many))
        return make_problem(
            self, split, difficulty, sentences, " ".join(steps), str(total), entities=[a], nouns=[thing.many],
            quantities=numbers, template="-".join(map(str, [*used, j])),
        )  # fmt: skip


COMPARE_OPENERS = parts(
    [
        "{a} has {n}.", "{a} owns {n}.", "There are {n} in {a}'s room.", "{a} has collected {n}.", "In {a}'s bag there are {n}.",
        "{a} counts {n}.", "{a} keeps {n} at home.", "{a} has bought {n}.", "At home {a} counts {n}.", "In the bag of {a} there are {n}.", "On the table of {a} there are {n}.", "{a} brought {n}.",
    ],
    ["{a} has brought {n}.", "At home {a} has {n}.", "In the room of {a} there are {n}."],
)  # fmt: skip
COMPARE_MORE = parts(
    [
        "{b} has {k} more than {a}.", "{b} has {k} more {things} than {a} does.", "{b} owns {k} more than {a}.",
        "Compared with {a}, {b} has {k} more.", "{b} beats {a} by {k} {things}.", "{b} has as many as {a} and {k} more.",
        "{b} counts {k} more than {a}.", "Compared with {a}, {b} counts {k} more {things}.", "{b} owns {k} more {things} than {a}.",
        "{b} owns as many {things} as {a} and {k} more.",
    ],
    ["Compared with {a}, {b} owns {k} more {things}.", "{b} counts {k} more {things} than {a}.", "{b} has as many {things} as {a} and {k} more."],
)  # fmt: skip
COMPARE_FEWER = parts(
    [
        "{b} has {k} fewer than {a}.", "{b} has {k} fewer {things} than {a} does.", "{b} owns {k} fewer than {a}.",
        "Compared with {a}, {b} has {k} fewer.", "{b} is {k} {things} behind {a}.", "{b} counts {k} fewer than {a}.", "Compared with {a}, {b} counts {k} fewer {things}.", "{b} owns {k} fewer {things} than {a}.",
    ],
    ["Compared with {a}, {b} owns {k} fewer {things}.", "{b} counts {k} fewer {things} than {a}."],
)  # fmt: skip
COMPARE_TIMES = parts(
    [
        "{b} has {k} times as many as {a}.", "{b} owns {k} times as many {things} as {a}.", "{b} has {k} times the number of {a}.",
        "Compared with {a}, {b} has {k} times as many.", "{b} counts {k} times as many as {a}.", "{b} counts {k} times as many {things} as {a}.", "Compared with {a}, {b} counts {k} times as many {things}.",
    ],
    ["{b} has {k} times as many {things} as {a}.", "Compared with {a}, {b} owns {k} times as many {things}."],
)  # fmt: skip
COMPARE_ASK_ONE = parts(
    [
        "How many {things} does {b} have?", "What is the number of {things} that {b} has?", "How many {things} belong to {b}?",
        "Can you say how many {things} {b} has?", "What number of {things} does {b} own?", "How many {things} does {b} count?",
    ],
    ["How many {things} does {b} own?", "What number of {things} does {b} have?"],
)  # fmt: skip
COMPARE_ASK_ALL = parts(
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
        names, thing = rng.sample(NAMES, links + 1), rng.choice(THINGS)
        value = rng.randint(3, 30)
        opener, i = pick(rng, COMPARE_OPENERS, split)
        sentences, steps, values, numbers = [opener.format(a=names[0], n=thing.count(value))], [], [value], [value]
        used = [i]
        for a, b in zip(names, names[1:], strict=False):
            value, sentence, step, k, j = self._link(rng, split, a, b, value, thing.many)
            sentences.append(sentence)
            steps.append(step)
            values.append(value)
            numbers.append(k)
            used.append(j)
        ask, j = pick(rng, COMPARE_ASK_ALL if difficulty % 2 == 0 else COMPARE_ASK_ONE, split)
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
            template, new, sign, word = pick(rng, COMPARE_MORE, split), value + k, "+", str(k)
        elif kind == "fewer":
            k = rng.randint(2, min(30, value - 2))
            template, new, sign, word = pick(rng, COMPARE_FEWER, split), value - k, "-", str(k)
        else:
            k = rng.randint(2, 5 if value <= 9 else 3)
            template, new, sign, word = pick(rng, COMPARE_TIMES, split), value * k, "*", str(k)
        return new, template[0].format(a=a, b=b, k=word, things=things), f"{value} {sign} {k} = {new}.", k, template[1]


RATE_GROUPS = parts(
    [
        "{a} has {groups} with {n} in each.", "{a} fills {groups} with {n} each.", "There are {groups} in {a}'s room, and each holds {n}.",
        "{a} packs {groups}, each with {n}.", "{a} buys {groups}. Each one has {n} in it.", "In {a}'s shop there are {groups} with {n} in each.",
        "{a} carries {groups}, and in each there are {n}.", "{a} makes {n} an hour and works for {hours}.",
        "Each hour {a} packs {n}, for {hours}.", "{a} sells {n} a day for {days}.", "Every day {a} makes {n}, and does so for {days}.",
    ],
    ["{a} carries {groups} with {n} in each.", "{a} has {groups}. Each one holds {n}.", "Every hour {a} makes {n}, and does so for {hours}.",
     "Each day {a} sells {n}, for {days}."],
)  # fmt: skip
RATE_EXTRA = parts(
    [
        "{a} also has {k} more.", "Then {a} gets {k} more.", "A friend adds another {k}.", "{k} more are brought in.",
        "Another {k} are on the table.", "Later {k} more are added.",
    ],
    ["Later {a} gets another {k}.", "A friend brings {k} more.", "Another {k} are added."],
)  # fmt: skip
RATE_LESS = parts(
    [
        "{k} of them break.", "{a} gives away {k} of them.", "Then {k} are lost.", "{a} takes out {k} of them.",
        "A friend takes {k} of them.", "Later {a} throws {k} away.",
    ],
    ["Later {k} of them are lost.", "A friend is given {k} of them.", "{a} drops {k} of them."],
)  # fmt: skip
RATE_QUESTIONS = parts(
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
        (a,), thing, box = rng.sample(NAMES, 1), rng.choice(THINGS), rng.choice(CONTAINERS)
        groups, each = rng.randint(2, 9), rng.randint(2, 9)
        template, i = pick(rng, RATE_GROUPS, split)
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
            event, j = pick(rng, RATE_EXTRA if up else RATE_LESS, split)
            sentences.append(event.format(a=a, k=k))
            new = total + k if up else total - k
            steps.append(f"{total} {'+' if up else '-'} {k} = {new}.")
            total = new
            numbers.append(k)
            used.append(j)
        question, j = pick(rng, RATE_QUESTIONS, split)
        sentences.append(question.format(things=thing.many))
        return make_problem(
            self, split, difficulty, sentences, " ".join(steps), str(total), entities=[a], nouns=[thing.many],
            quantities=numbers, template="-".join(map(str, [*used, j])),
        )  # fmt: skip


TRANSFER_OPENERS = parts(
    [
        "{a} has {n} and {b} has {m}.", "{a} has {n}, while {b} has {m}.", "{a} starts with {n}, {b} with {m}.",
        "There are {n} in {a}'s bag and {m} in the bag of {b}.", "{a} owns {n}; {b} owns {m}.", "{a} counts {n} and {b} counts {m}.",
        "In the morning {a} has {n} and {b} has {m}.", "{a} brings {n} and {b} brings {m}.",
        "{a} has {n}, {b} has {m}.", "At home {a} keeps {n} and {b} keeps {m}.", "{a} counts {n}, while {b} counts {m}.",
    ],
    ["{a} owns {n}, while {b} owns {m}.", "At home {a} has {n} and {b} has {m}.", "{a} brings {n}, {b} brings {m}."],
)  # fmt: skip
TRANSFER_GIVES = parts(
    [
        "{a} gives {k} to {b}.", "Then {a} gives {b} {k}.", "{a} hands {k} of them to {b}.", "{b} gets {k} from {a}.",
        "{b} takes {k} from {a}.", "Then {a} passes {k} on to {b}.", "Later {b} receives {k} from {a}.", "{a} sells {k} to {b}.",
        "{k} go from {a} to {b}.", "Then {b} gets {k} from {a}.", "{b} gets {k} of them from {a}.", "Later {a} gives {b} {k}.",
        "{a} passes {k} to {b}.", "Then {a} hands {k} to {b}.", "Later {k} of them go from {a} to {b}.",
    ],
    ["Then {b} gets {k} of them from {a}.", "Later {a} hands {b} {k}.", "{a} passes {k} of them to {b}."],
)  # fmt: skip
TRANSFER_QUESTIONS = parts(
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
        (a, b), thing = rng.sample(NAMES, 2), rng.choice(THINGS)
        have = {a: rng.randint(6, 40), b: rng.randint(6, 40)}
        asked = rng.choice([a, b])
        opener, i = pick(rng, TRANSFER_OPENERS, split)
        sentences = [opener.format(a=a, b=b, n=thing.count(have[a]), m=thing.count(have[b]))]
        # Restating who has what makes the later look-up by name a short copy.
        facts = f"{a} {have[a]}, {b} {have[b]}."
        numbers, steps, used = [have[a], have[b]], [], [i]
        for _ in range(difficulty):
            giver, taker = rng.sample([a, b], 2)
            if have[giver] < 5:
                giver, taker = taker, giver
            k = rng.randint(2, min(20, have[giver] - 2))
            template, j = pick(rng, TRANSFER_GIVES, split)
            sentences.append(template.format(a=giver, b=taker, k=k))
            # The giver first, always: who gives to whom is settled before anything is computed.
            steps.append(
                f"{giver} {have[giver]} - {k} = {have[giver] - k}, {taker} {have[taker]} + {k} = {have[taker] + k}."
            )
            have[giver] -= k
            have[taker] += k
            numbers.append(k)
            used.append(j)
        question, j = pick(rng, TRANSFER_QUESTIONS, split)
        sentences.append(question.format(c=asked, things=thing.many))
        return make_problem(
            self, split, difficulty, sentences, f"{facts} {' '.join(steps)} {asked} {have[asked]}.", str(have[asked]), entities=[a, b],
            nouns=[thing.many], quantities=numbers, template="-".join(map(str, [*used, j])),
        )  # fmt: skip


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
        order = rng.sample(NAMES, difficulty + 2)
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


CLOCK_OPENERS = parts(
    [
        "{a} starts {work} at {t}.", "At {t} {a} starts {work}.", "It is {t} when {a} starts {work}.", "{a} leaves home at {t}.",
        "The train of {a} leaves at {t}.", "At {t} {a} leaves the house.", "The class of {a} begins at {t}.", "{a} gets up at {t}.",
        "{a} puts a cake in the oven at {t}.",
    ],
    ["At {t} the class of {a} begins.", "It is {t} when {a} leaves home.", "{a} begins {work} at {t}."],
)  # fmt: skip
CLOCK_WORK = ("to read", "to work", "to cook", "to paint", "to clean", "to write", "to practise")
CLOCK_LATER = parts(
    [
        "It takes {d}.", "This goes on for {d}.", "After {d} it is over.", "It lasts {d}.", "Then {d} go by.", "{d} later it is done.",
    ],
    ["It goes on for {d}.", "This takes {d}.", "It is over after {d}."],
)  # fmt: skip
CLOCK_THEN = parts(
    ["After that, {d} more are needed.", "Then it goes on for another {d}.", "A break adds {d}.", "Then there is a delay of {d}."],
    ["Then another {d} are needed.", "A delay adds {d}."],
)  # fmt: skip
CLOCK_QUESTIONS = parts(
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
        (a,) = rng.sample(NAMES, 1)
        now = rng.randrange(0, 720, 5)
        opener, i = pick(rng, CLOCK_OPENERS, split)
        sentences = [opener.format(a=a, t=_clock(now), work=rng.choice(CLOCK_WORK))]
        hours, minutes = rng.randint(1, 5), rng.randrange(5, 60, 5)
        if difficulty == 1:
            hours, minutes = (hours, 0) if rng.random() < 0.4 else (0, minutes)
        later, j = pick(rng, CLOCK_LATER, split)
        sentences.append(_capital(later.format(d=self._duration(hours, minutes))))
        steps: list[str] = []
        numbers, used = [x for x in (hours, minutes) if x], [i, j]
        now = self._add(steps, now, hours, minutes)
        if difficulty == 3:
            extra = rng.randrange(5, 60, 5)
            then, j = pick(rng, CLOCK_THEN, split)
            sentences.append(_capital(then.format(d=self._duration(0, extra))))
            now = self._add(steps, now, 0, extra)
            numbers.append(extra)
            used.append(j)
        question, j = pick(rng, CLOCK_QUESTIONS, split)
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


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
CALENDAR_EVENTS = ("a party", "an exam", "a race", "a concert", "a meeting", "a trip", "a match", "a show")
CALENDAR_OPENERS = parts(
    ["Today is {day}.", "It is {day} today.", "{a} says that today is {day}.", "The calendar of {a} says {day}.", "{a} writes a letter on a {day}."],
    ["The day is {day}.", "On the calendar of {a} it is {day} today."],
)  # fmt: skip
CALENDAR_AFTER = parts(
    ["{a} has {event} in {k}.", "In {k} there is {event}.", "{a} will go to {event} after {k}.", "{k} later {a} has {event}.", "{event} is {k} away."],
    ["There is {event} in {k}.", "After {k} {a} has {event}."],
)  # fmt: skip
CALENDAR_BEFORE = parts(
    ["{a} had {event} {k} ago.", "{k} ago there was {event}.", "{a} went to {event} {k} ago.", "{k} before that {a} had {event}."],
    ["There was {event} {k} ago.", "{k} ago {a} went to {event}."],
)  # fmt: skip
CALENDAR_QUESTIONS = parts(
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
        (a,), start = rng.sample(NAMES, 1), rng.randrange(7)
        k = rng.randint(2, 4) if difficulty == 1 else rng.randint(5, 9)
        forward = rng.random() < 0.6
        opener, i = pick(rng, CALENDAR_OPENERS, split)
        middle, j = pick(rng, CALENDAR_AFTER if forward else CALENDAR_BEFORE, split)
        question, q = pick(rng, CALENDAR_QUESTIONS, split)
        text = middle.format(a=a, event=rng.choice(CALENDAR_EVENTS), k=f"{k} days")
        walk = [DAYS[(start + (d if forward else -d)) % 7] for d in range(1, k + 1)]
        steps = " ".join(f"{d} {day}." for d, day in enumerate(walk, 1))
        return make_problem(
            self, split, difficulty, [opener.format(a=a, day=DAYS[start]), _capital(text), question], steps,
            walk[-1], entities=[a], quantities=[k], template=f"{i}-{forward:d}{j}-{q}",
        )  # fmt: skip


FAMILIES: dict[str, Family] = {
    f.name: f for f in (Change(), Compare(), Rate(), Transfer(), Ordering(), Clock(), Calendar())
}


def find_family(name: str) -> Family | None:
    """The bundled family or the gym family of that name; None where there is none."""
    return FAMILIES.get(name) or gym_family(name)


def require_families(names: Sequence[str]) -> None:
    """Raise a `UserError` that names what there is, where a name is no family's or its package is not installed."""
    if unknown := [name for name in names if find_family(name) is None]:
        raise UserError(f"There is no family {', '.join(unknown)}. There are: {family_line(tuple(FAMILIES))}.")
    if any(name not in FAMILIES for name in names) and not installed():
        raise UserError(NOT_INSTALLED)


DIFFICULTY_WEIGHTS = (30, 40, 22, 8)
_MOST_REPEATS = 5_000


def sample_problem(
    rng: random.Random, split: Split, families: Sequence[str] | None = None, difficulty: int | None = None
) -> Problem:
    """One problem of an evenly drawn family; difficulty 1 to 4 in shares 30/40/22/8 unless given."""
    name = rng.choice(tuple(families or FAMILIES))
    family = find_family(name)
    assert family is not None, name
    if difficulty is None:
        difficulty = rng.choices((1, 2, 3, 4), DIFFICULTY_WEIGHTS)[0]
    return family.generate(rng, split, min(difficulty, family.max_difficulty))


def problem_stream(seed: int, split: Split, families: Sequence[str] | None = None) -> Iterator[Problem]:
    """Endless distinct problems; the same seed gives the same stream in every process.

    A `UserError` where the families have no more that are distinct.
    """
    rng = random.Random(f"{seed}:{split}")
    seen: set[str] = set()
    repeats = 0
    while True:
        problem = sample_problem(rng, split, families)
        repeats += 1
        if problem.id not in seen:
            seen.add(problem.id)
            repeats = 0
            yield problem
        elif repeats > _MOST_REPEATS:
            raise UserError(
                f"{', '.join(families or FAMILIES)}: after {len(seen):,} different problems none is new. Ask for fewer, or "
                "name more families."
            )
