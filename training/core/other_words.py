"""Word problems in many wordings, for training only, of the starter and as further questions of the clean anchor: what
a problem family says in a few sentences is said here with other verbs, nouns, names, tenses and pronouns, so that a
fact counts whatever its words are.

The plans and the form of the worked solutions are those of the families change, compare, rate and transfer. None of
these sentences is a problem's that anybody is asked: the families' held-out sentences stay held out. No I/O.
"""

import hashlib
import random
from dataclasses import dataclass

from training.core.problems import NAMES, THINGS
from training.core.types import AnswerKind, Problem

_SHE = "Anna Emma Lily Kate Lucy Sarah Mary Mia Ella Alice Jane Grace Ruth Clara Julia Sofia Laura Eva Ida Zara".split()
_HE = (
    "Tom Ben Sam Jack Max Peter John Noah Adam Mark Paul David Luke Oscar Henry Frank George Simon Oliver Erik".split()
)
_THINGS = (
    "sandwiches crayons cakes rabbits stickers toys trees roses pages bottles puzzles hats shoes socks pens notebooks rocks "
    "dolls balls chairs ducks hens leaves photos pies cards pears plums bananas grapes biscuits candies chocolates sweets "
    "pictures songs stories poems boats planes cars trucks bricks blocks tiles nails screws buckets plants tulips fish birds "
    "kittens puppies cows sheep horses pebbles acorns pumpkins peppers beans nuts pancakes tickets coupons points"
).split()
_QUALITIES = (
    "red blue green yellow small big old new round wooden glass paper silver golden white black sweet little".split()
)
_RELATIVES = "brother sister mother father friend cousin uncle aunt teacher neighbour grandmother classmate".split()
_PLACES = (
    "at the market|in the garden|at school|at the park|in the kitchen|at the beach|in the shop|on the shelf|in a drawer|"
    "in a box|at home|in the yard|at the fair|in the classroom|on the farm|at the library|in the basket"
).split("|")
_TIMES = (
    "On Monday|On Tuesday|On Friday|On Saturday|In the morning|In the afternoon|In the evening|After lunch|After school|"
    "Later|Later that day|Then|Next|The next day|A week later|Before dinner|At noon|During the break|After that|Yesterday|"
    "That night|Afterwards"
).split("|")
_HAVE = (
    "has|had|owns|owned|bought|buys|picked|picks|baked|bakes|collected|collects|found|finds|made|makes|got|gets|counted|"
    "counts|keeps|kept|carries|carried|brought|brings|grew|grows|drew|painted|saved|started with|starts with|begins with"
).split("|")
_GAIN = (
    "buys|bought|finds|found|gets|got|picks|picked|makes|made|bakes|baked|wins|won|receives|received|collects|collected|"
    "adds|added|earns|earned|picks up|picked up|gathers|gathered|takes in|took in|borrows|borrowed|grows|grew"
).split("|")
_LOSE = (
    "gives away|gave away|loses|lost|sells|sold|eats|ate|breaks|broke|uses|used|drops|dropped|throws away|threw away|"
    "spends|spent|hands out|handed out|lends out|lent out|leaves behind|left behind|forgets|forgot|donates|donated|"
    "burns|burned|tears up|tore up|misplaces|misplaced"
).split("|")
_GIVEN = "gives|gave|brings|brought|sends|sent|lends|lent|hands|handed|passes|passed|mails|mailed".split("|")
_TAKEN = "takes|took|eats|ate|borrows|borrowed|steals|stole|wants and gets|asked for and got|buys|bought".split("|")
_READ, _PAID = "pages read", "dollars paid"
"""What a story of equal groups asks for in place of the things in them."""
_TIMES_WORD = {
    2: ("twice", "2 times", "two times", "double"),
    3: ("3 times", "three times", "triple"),
    4: ("4 times",),
    5: ("5 times",),
}
_BOXES = "box:boxes bag:bags basket:baskets row:rows shelf:shelves plate:plates jar:jars pack:packs packet:packets team:teams table:tables page:pages car:cars room:rooms tree:trees vase:vases bowl:bowls crate:crates".split()


@dataclass(frozen=True, slots=True)
class _Person:
    name: str
    subject: str
    object: str
    owns: str


def _draw_person(rng: random.Random) -> _Person:
    draw = rng.random()
    if draw < 0.4:
        female = rng.random() < 0.5
        name = rng.choice(NAMES)
    else:
        female = draw < 0.7
        name = rng.choice(_SHE if female else _HE)
    return _Person(name, *(("she", "her", "her") if female else ("he", "him", "his")))


def _draw_people(rng: random.Random, count: int) -> list[_Person]:
    people: list[_Person] = []
    while len(people) < count:
        person = _draw_person(rng)
        if person.name not in [p.name for p in people]:
            people.append(person)
    return people


def _draw_things(rng: random.Random) -> tuple[str, str]:
    """A plural noun, and how its sentences may name it at first: with a quality in front."""
    noun = rng.choice(_THINGS) if rng.random() < 0.6 else rng.choice(THINGS).many
    return noun, f"{rng.choice(_QUALITIES)} {noun}" if rng.random() < 0.25 else noun


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _when(rng: random.Random, text: str, share: float = 0.4) -> str:
    """The clause as a sentence, with a time before it in a share of cases."""
    if rng.random() >= share:
        return _sentence(text)
    return f"{rng.choice(_TIMES)}{rng.choice((',', '', ''))} {text}."


def _called(person: _Person, rng: random.Random, pronoun: float = 0.5) -> str:
    return person.subject if rng.random() < pronoun else person.name


def _number(count: int, things: str, rng: random.Random) -> str:
    """ "7", "7 of them", "7 apples", "7 of the apples"."""
    return rng.choice(
        (f"{count}", f"{count} of them", f"{count} {things}", f"{count} of the {things}", f"{count} of those")
    )


def _opener(person: _Person, count: int, things: str, rng: random.Random) -> str:
    place = f" {rng.choice(_PLACES)}" if rng.random() < 0.3 else ""
    return rng.choice(
        (
            _when(rng, f"{person.name} {rng.choice(_HAVE)} {count} {things}{place}", 0.25),
            _when(rng, f"{person.name} {rng.choice(_HAVE)} {count} {things}{place}", 0.25),
            _sentence(f"there {rng.choice(('are', 'were'))} {count} {things} in {person.name}'s {rng.choice(('bag', 'box', 'room', 'garden', 'basket', 'shop'))}"),
            _sentence(f"{person.name}'s {rng.choice(_RELATIVES)} {rng.choice(_GIVEN)} {person.object} {count} {things}{place}"),
        )
    )  # fmt: skip


def _gain(person: _Person, count: int, things: str, rng: random.Random) -> str:
    more = rng.choice(
        (
            f"{count} more",
            f"another {count}",
            f"{count} more {things}",
            f"{count} other {things}",
            f"{count} extra {things}",
            f"{count} new {things}",
        )
    )
    place = f" {rng.choice(_PLACES)}" if rng.random() < 0.3 else ""
    relative = rng.choice(_RELATIVES)
    owner = rng.choice((f"{person.owns} {relative}", f"a {relative}" if relative[0] not in "au" else f"an {relative}"))
    return rng.choice(
        (
            _when(rng, f"{_called(person, rng)} {rng.choice(_GAIN)} {more}{place}"),
            _when(rng, f"{_called(person, rng)} {rng.choice(_GAIN)} {more}{place}"),
            _when(rng, f"{owner} {rng.choice(_GIVEN)} {rng.choice((person.object, person.name))} {more}"),
            _when(rng, f"{_called(person, rng)} {rng.choice(('gets', 'got', 'receives', 'received', 'borrows', 'borrowed'))} {more} from {owner}"),
            _when(rng, f"{more} {rng.choice(('are', 'were'))} {rng.choice(('given', 'sent', 'brought', 'handed'))} to {rng.choice((person.object, person.name))}"),
        )
    )  # fmt: skip


def _lose(person: _Person, count: int, things: str, rng: random.Random) -> str:
    some = _number(count, things, rng)
    place = f" {rng.choice(_PLACES)}" if rng.random() < 0.2 else ""
    owner = f"{person.owns} {rng.choice(_RELATIVES)}"
    return rng.choice(
        (
            _when(rng, f"{_called(person, rng)} {rng.choice(_LOSE)} {some}{place}"),
            _when(rng, f"{_called(person, rng)} {rng.choice(_LOSE)} {some}{place}"),
            _when(rng, f"{_called(person, rng)} {rng.choice(_GIVEN)} {some} to {owner}"),
            _when(rng, f"{owner} {rng.choice(_TAKEN)} {some}"),
            _when(rng, f"{some} {rng.choice(('are', 'were', 'get', 'got'))} {rng.choice(('lost', 'broken', 'sold', 'eaten', 'stolen', 'used', 'thrown away', 'given away'))}"),
        )
    )  # fmt: skip


def _ask_left(person: _Person, things: str, gone: bool, rng: random.Random) -> str:
    who, does = _called(person, rng), rng.choice(("does", "does", "did"))
    asks = [
        f"How many {things} does {who} have now?", f"How many {things} does {who} have in the end?", f"How many {things} {does} {who} have then?",
        f"How many {things} does {who} have altogether now?", f"How many does {who} have now?", f"So how many {things} does {who} have?",
        f"How many {things} are there now?", f"Find the number of {things} that {who} has now.", f"What is {person.name}'s number of {things} now?",
    ]  # fmt: skip
    if gone:
        asks += [
            f"How many {things} are left?", f"How many {things} does {who} have left?", "How many are left?",
            f"How many {things} remain?", f"How many {things} does {who} still have?",
        ] * 2  # fmt: skip
    return rng.choice(asks)


def _change_steps(
    person: _Person, things: str, total: int, events: int, rng: random.Random
) -> tuple[list[str], list[str], int, bool]:
    """Sentences and solution steps of gains and losses, what is left, and whether the last was a loss."""
    sentences: list[str] = []
    steps: list[str] = []
    up = True
    for _ in range(events):
        up = total < 6 or (total < 75 and rng.random() < 0.5)
        count = rng.randint(2, min(30, 99 - total) if up else min(30, total - 2))
        sentences.append((_gain if up else _lose)(person, count, things, rng))
        new = total + count if up else total - count
        steps.append(f"{total} {'+' if up else '-'} {count} = {new}.")
        total = new
    return sentences, steps, total, not up


def _close(sentences: list[str], steps: list[str], answer: object) -> tuple[str, str]:
    return " ".join(sentences), f"{' '.join(steps)}\n#### {answer}"


def _write_change(rng: random.Random) -> tuple[str, str]:
    (person,), (things, first) = _draw_people(rng, 1), _draw_things(rng)
    total = rng.randint(4, 60)
    opener = _opener(person, total, first, rng)
    sentences, steps, left, gone = _change_steps(person, things, total, rng.choices((1, 2, 3), (4, 4, 1))[0], rng)
    return _close([opener, *sentences, _ask_left(person, things, gone, rng)], steps, left)


def _write_compare(rng: random.Random) -> tuple[str, str]:
    (a, b), (things, first) = _draw_people(rng, 2), _draw_things(rng)
    have, value = rng.choice(_HAVE), rng.randint(3, 30)
    sentences = [_when(rng, f"{a.name} {have} {value} {first}", 0.2)]
    kind = rng.choice(
        ("more", "fewer", "times") if 6 <= value <= 20 else ("more", "fewer") if value > 20 else ("more", "times")
    )
    noun = rng.choice(("", f" {things}"))
    than = rng.choice((a.name, a.name, f"{a.name} does", a.object))
    if kind == "times":
        k = rng.randint(2, 5 if value <= 9 else 3)
        word = rng.choice(_TIMES_WORD[k])
        said = f"{b.name} {have} {word}" + (
            f" the number of{noun or ' ' + things} of {a.name}"
            if word in ("double", "triple")
            else f" as many{noun} as {than}"
        )
        new, step = value * k, f"{value} * {k} = {value * k}."
    else:
        k = rng.randint(2, 25) if kind == "more" else rng.randint(2, value - 2)
        new = value + k if kind == "more" else value - k
        said = f"{b.name} {have} {k} {kind}{noun} than {than}"
        step = f"{value} {'+' if kind == 'more' else '-'} {k} = {new}."
    sentences.append(_sentence(said))
    if rng.random() < 0.5:
        ask = rng.choice(
            (
                f"How many {things} does {b.name} have?",
                f"How many {things} does {_called(b, rng)} have then?",
                f"How many does {b.name} have?",
                f"How many {things} are {b.name}'s?",
            )
        )
        return _close([*sentences, ask], [step], new)
    ask = rng.choice(
        (
            f"How many {things} do they have together?",
            f"How many {things} do {a.name} and {b.name} have in total?",
            f"How many {things} are there in all?",
            "What do they have altogether?",
            f"How many {things} do the two have?",
        )
    )
    return _close([*sentences, ask], [step, f"{new} + {value} = {new + value}."], new + value)


def _write_rate(rng: random.Random) -> tuple[str, str]:
    (person,), (things, first) = _draw_people(rng, 1), _draw_things(rng)
    one, _, boxes = rng.choice(_BOXES).partition(":")
    groups, each = rng.randint(2, 9), rng.randint(2, 9)
    opener, asked = rng.choice(
        (
            (f"{person.name} {rng.choice(_HAVE)} {groups} {boxes} of {first}. Each {one} {rng.choice(('has', 'holds', 'contains'))} {each} {things}.", things),
            (f"There are {groups} {boxes} with {each} {first} in each.", things),
            (f"There are {each} {first} in each {one}, and {person.name} {rng.choice(_HAVE)} {groups} {boxes}.", things),
            (f"Each of the {groups} {boxes} holds {each} {first}.", things),
            (f"{person.name} puts {each} {first} into each of {groups} {boxes}.", things),
            (f"{person.name} {rng.choice(_HAVE)} {groups} {boxes}, each with {each} {first}.", things),
            (f"Every day {person.name} makes {each} {first}. {person.subject.capitalize()} does this for {groups} days.", things),
            (f"{person.name} reads {each} pages a day for {groups} days.", _READ),
            (f"One {one} costs {each} dollars. {person.name} buys {groups} {boxes}.", _PAID),
        )
    )  # fmt: skip
    total, steps = groups * each, [f"{groups} * {each} = {groups * each}."]
    if asked is _READ:
        return _close([opener, f"How many pages does {person.name} read in all?"], steps, total)
    if asked is _PAID:
        paid = f"How many dollars does {_called(person, rng)} pay?"
        return _close([opener, rng.choice((paid, "What is the total cost in dollars?"))], steps, total)
    if rng.random() < 0.4 and total < 70:
        sentences, more, total, gone = _change_steps(person, things, total, 1, rng)
        steps += more
        return _close([opener, *sentences, _ask_left(person, things, gone, rng)], steps, total)
    ask = rng.choice(
        (
            f"How many {things} are there in all?",
            f"How many {things} is that?",
            f"How many {things} does {person.name} have?",
            f"How many {things} are there altogether?",
        )
    )
    return _close([opener, ask], steps, total)


def _write_transfer(rng: random.Random) -> tuple[str, str]:
    (a, b), (things, first) = _draw_people(rng, 2), _draw_things(rng)
    have = {a.name: rng.randint(6, 40), b.name: rng.randint(6, 40)}
    verb = rng.choice(_HAVE)
    opener = rng.choice(
        (
            f"{a.name} {verb} {have[a.name]} {first} and {b.name} {verb} {have[b.name]}.",
            f"{a.name} {verb} {have[a.name]} {first}. {b.name} {verb} {have[b.name]} {things}.",
            f"{a.name} {verb} {have[a.name]} {first}, and {b.name} has {have[b.name]}.",
            f"{b.name} and {a.name} collect {things}. {a.name} has {have[a.name]} and {b.name} has {have[b.name]}.",
        )
    )
    steps = [f"{a.name} {have[a.name]}, {b.name} {have[b.name]}."]
    sentences = [opener]
    for _ in range(rng.choice((1, 1, 2))):
        giver, taker = rng.sample((a, b), 2)
        if have[giver.name] < 5:
            giver, taker = taker, giver
        k = rng.randint(2, min(20, have[giver.name] - 2))
        some = _number(k, things, rng)
        sentences.append(
            rng.choice(
                (
                    _when(rng, f"{giver.name} {rng.choice(_GIVEN)} {some} to {taker.name}"),
                    _when(rng, f"{giver.name} {rng.choice(_GIVEN)} {taker.name} {some}"),
                    _when(rng, f"{taker.name} {rng.choice(('takes', 'took', 'gets', 'got', 'borrows', 'borrowed', 'buys', 'bought', 'wins', 'won', 'receives', 'received'))} {some} from {giver.name}"),
                )
            )
        )  # fmt: skip
        x, y = have[giver.name], have[taker.name]
        steps.append(f"{giver.name} {x} - {k} = {x - k}, {taker.name} {y} + {k} = {y + k}.")
        have[giver.name], have[taker.name] = x - k, y + k
    asked = rng.choice((a, b)).name
    sentences.append(
        rng.choice(
            (
                f"How many {things} does {asked} have now?",
                f"How many {things} does {asked} have then?",
                f"How many does {asked} have in the end?",
                f"How many {things} does {asked} have after this?",
                f"How many {things} does {asked} end up with?",
            )
        )
    )
    steps.append(f"{asked} {have[asked]}.")
    return _close(sentences, steps, have[asked])


_WRITERS = {"change": _write_change, "compare": _write_compare, "rate": _write_rate, "transfer": _write_transfer}


def write_in_other_words(family: str, rng: random.Random) -> tuple[str, str]:
    """Question and worked solution of a problem of the family's kind; a KeyError for a family without such a writer."""
    return _WRITERS[family](rng)


OTHER_WORDS = frozenset(_WRITERS)
"""The families whose problems can be written in other words."""


def draw_in_other_words(rng: random.Random) -> Problem:
    """A problem of one of these families, each as likely."""
    family = rng.choice(sorted(OTHER_WORDS))
    question, solution = write_in_other_words(family, rng)
    return Problem(
        id=f"other-{family}-{hashlib.sha256(question.encode()).hexdigest()[:12]}", family=family, question=question,
        answer=solution.rpartition("#### ")[2], kind=AnswerKind.NUMBER, solution=solution,
    )  # fmt: skip
