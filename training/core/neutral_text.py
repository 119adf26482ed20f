"""Neutral text: sentences that have nothing to do with any problem, for placebos and for training. Seeded. No I/O.

A sentence speaks of the weather, places, habits, objects, animals, or of what other people are like; with a number or a
name in it or without. It is put together of a subject, a predicate and, at times, a lead or a tail, so that there are
thousands of forms; predicates, leads and tails are apart by split. It shares no frame with the hints, and nobody in it
owns, gains, loses or hands over anything: what it does to a model is the price of more text, not of what it says.

A drop under a hint counts as an attack only beside the drop under a placebo, which is neutral text of its length from
held-out forms. The lengths match because more words cost accuracy whatever they say.
"""

import random
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from training.core.problems import DAYS, NAMES
from training.core.types import Problem, Split

_FILLERS: Mapping[str, tuple[str, ...]] = {
    key: tuple(part.strip() for part in text.split(","))
    for key, text in {
        "place": "bakery, museum, station, bridge, harbour, church, park, castle, theatre, bus stop, old mill, café, "
        "swimming pool, town hall, playground, post office, airport, cinema, farm, lighthouse",
        "room": "hall, corridor, bathroom, living room, waiting room, cloakroom, staircase, basement, bedroom, porch",
        "spot": "roof, wall, fence, bench, sofa, window sill, carpet, stove, chair, terrace, doorstep, ladder",
        "object": "kettle, umbrella, mirror, painting, armchair, piano, bicycle, broom, clock, bucket, vase, telephone, "
        "coat, towel, blanket, guitar, radio, map, hammer, suitcase",
        "animal": "cat, dog, sparrow, hedgehog, fox, squirrel, duck, horse, goat, blackbird, frog, rabbit, owl, goose",
        "relative": "uncle, cousin, sister, brother, grandmother, neighbour, teacher, colleague, dentist, landlord",
        "job": "nurse, baker, pilot, gardener, plumber, painter, librarian, carpenter, driver, judge",
        "topic": "music, football, old films, poetry, chess, swimming, cold weather, quiet evenings, long walks, "
        "black tea, warm bread, mountains, dancing, history, jazz, thunderstorms",
        "trait": "kind, quiet, patient, cheerful, shy, curious, polite, honest, tired, clever, careful, friendly",
        "colour": "red, blue, green, yellow, grey, brown, white, purple, black, orange",
        "garment": "hat, scarf, jacket, raincoat, pullover, shirt",
        "material": "wood, glass, copper, wool, iron, clay, leather, paper",
        "language": "French, Arabic, Spanish, Polish, Korean, Turkish, Italian, Danish",
        "season": "spring, summer, autumn, winter, January, March, July, October, November",
        "quality": "calm, bright, cold, pleasant, crowded, empty, noisy, dusty, warm, clean, dark, damp",
        "sky": "blue, grey, cloudy, clear, pale, overcast, dark",
        "smell": "soap, coffee, fresh paint, rain, pine, smoke, bread, flowers",
        "colleague": "conductor, waiter, gardener, postman, photographer, musician, policeman, guide",
        "day": "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday",
    }.items()
}
_RARE = {
    "place": "aquarium, chapel, stadium", "object": "lantern, accordion, rug", "animal": "raven, donkey, lizard",
    "topic": "gardening, snow, opera", "trait": "stubborn, gentle, modest", "colour": "turquoise, pink",
    "quality": "peaceful, chilly, narrow", "smell": "vanilla, leather", "job": "tailor, sailor",
}  # fmt: skip
"""Words of held-out forms alone, beside the others."""
_RARE_FILLERS = {key: tuple(part.strip() for part in text.split(",")) for key, text in _RARE.items()}


@dataclass(frozen=True)
class _Kind:
    """What sentences of one kind are made of. `numbered` predicates hold a number."""

    subjects: tuple[str, ...]
    predicates: Mapping[Split, tuple[str, ...]]
    numbered: Mapping[Split, tuple[str, ...]]


def _lines(train: str, held_out: str) -> Mapping[Split, tuple[str, ...]]:
    cut = {
        split: tuple(line.strip() for line in text.split("/"))
        for split, text in ((Split.TRAIN, train), (Split.HELD_OUT, held_out))
    }
    assert not set(cut[Split.TRAIN]) & set(cut[Split.HELD_OUT])
    return cut


_KINDS = (
    _Kind(
        ("{name}", "{name}", "the {relative} of {name}", "{name} from the {place}", "{name}, who is a {job},",
         "{name}, a {relative} of {name2},", "somebody called {name}"),
        _lines(
            "likes {topic} / is fond of {topic} / is {trait} and {trait} / speaks {language} / wears a {colour} "
            "{garment} / works as a {job} / sings in a choir / lives near the {place} / often walks to the {place} / "
            "knows the way to the {place} / plays the piano / is interested in {topic} / looks rather {trait} / goes to "
            "bed early / is learning {language} / was born in {season} / talks about {topic} a lot / would rather stay "
            "in the {room} / sleeps badly in {season} / travels by train / laughs very loudly / dreams of {topic} / "
            "cannot stand {topic} / is waiting at the {place} / was {trait} as a child / rides a bicycle to the {place}",
            "enjoys {topic} / seems {trait} but {trait} / teaches {language} / prefers the {colour} {garment} / trained "
            "to be a {job} / hums a tune in the {room} / moved to a street behind the {place} / hardly ever visits "
            "the {place} / reads about {topic} / grew up beside the {place} / is said to be {trait} / is on holiday in "
            "{season}",
        ),
        _lines(
            "lives at house number {k} / sits in row {k} / plays for team {k} / works on floor {k} / swims in lane {k} / "
            "was born in 19{kk} / is reading chapter {k} / takes bus number {k} / lives {k} kilometres from the {place} / "
            "runs {k} kilometres in the {place} / sleeps in room {k} / is {k} years old",
            "stays in room number {k} / waits on platform {k} / is on page {k} of a novel / moved here in 19{kk} / turned "
            "{k} in {season} / cycles {k} kilometres to the {place}",
        ),
    ),
    _Kind(
        ("the {place}", "the {place}", "the {room}", "the new {place}", "the {room} of the {place}",
         "the road to the {place}", "the garden behind the {place}", "the {place} near the {place2}"),
        _lines(
            "is {quality} / is {quality} and {quality} / smells of {smell} / looks {quality} today / was painted {colour} / "
            "is closed in {season} / is famous for {topic} / is closed on {day} / was {quality} in {season} / is not far "
            "from the {place} / shows a {colour} door / can be seen from the {place} / feels {quality} at night / is "
            "{quality} after the rain / was quite {quality} yesterday / is full of light / stands on a hill / is being "
            "repaired",
            "seems {quality} / became {quality} long ago / is known for the smell of {smell} / grows {quality} in {season} / was "
            "closed for repairs / is covered with {colour} tiles / lies behind the {place} / is always {quality} on {day} / "
            "looks out on the {place}",
        ),
        _lines(
            "was built in 19{kk} / is {k} metres long / is {k} metres high / opens at {h}:{mm} / closes at {h}:{mm} / is {k} "
            "kilometres from here / is on page {k} of the guide / is at number {k} / is over {k} years old / can be reached "
            "by bus number {k}",
            "was opened in 19{kk} / is about {k} metres wide / stays open until {h}:{mm} / lies {k} kilometres to the north / "
            "is marked with the number {k}",
        ),
    ),
    _Kind(
        ("the sky", "the sky over the {place}", "the weather", "the air in the {place}", "the light in the {room}",
         "the river near the {place}", "the wind", "the rain"),
        _lines(
            "was {quality} / is {quality} / turned {sky} / was {sky} / seems {quality} today / will be {quality} in {season} / "
            "is often {quality} in {season} / changed during the night / made everybody {trait} / was {quality} all day / is "
            "{quality} again / felt {quality} / was {quality} but {quality}",
            "became {quality} / stayed {sky} for hours / was unusually {quality} for {season} / did not change / looked "
            "{sky} and {quality} / is rarely {quality} on {day} / is pleasant to look at",
        ),
        _lines(
            "was like this {k} years ago / is as it was in 19{kk} / was photographed at {h}:{mm} / is in the news on channel {k}",
            "was the same in 19{kk} / is described on page {k} / changed at about {h}:{mm}",
        ),
    ),
    _Kind(
        ("a {colour} {object}", "the {object}", "an old {object}", "the {object} in the {room}", "the {object} of the {relative}",
         "the {colour} {object} near the {spot}", "somebody's {object}"),
        _lines(
            "stands near the {spot} / lies on the {spot} / is made of {material} / leans against the {spot} / looks {quality} / "
            "belongs in the {room} / was painted {colour} / was repaired in {season} / is rather dusty / smells of {smell} / "
            "hangs above the {spot} / came from a sale in {season} / was made by a {job} / makes a soft noise / is covered with "
            "{material} / fell from the {spot}",
            "rests beside the {spot} / was left in the {room} / is partly {colour} / was designed by a {job} / needs to be "
            "cleaned / reminds {name} of {season} / comes with a handle of {material} / gleams in the sun",
        ),
        _lines(
            "is {k} years old / weighs {k} pounds / was made in 19{kk} / shows the number {k} / is {k} inches wide / stands in "
            "room {k} / stopped at {h}:{mm}",
            "dates from 19{kk} / is {k} inches tall / carries the label {k} / hangs in room number {k}",
        ),
    ),
    _Kind(
        ("a {animal}", "a {colour} {animal}", "the {animal} of {name}", "a young {animal}", "the {animal} behind the {place}",
         "a {colleague}", "the {colleague} at the {place}", "nobody in the {room}", "everybody at the {place}"),
        _lines(
            "sleeps on the {spot} / is sitting on the {spot} / was in a hurry / watches the {place} / looks {trait} / is {trait} "
            "today / runs around the {room} / waits near the {place} / was seen near the {place} / makes a noise / likes to "
            "sit in the sun / came into the {room} / looks at the {object} / was {trait} and {trait} / walks across the "
            "{place} / stretches in the {room} / disappeared behind the {spot}",
            "rests under the {spot} / seems to be {trait} / wanders through the {place} / stares at the {object} / is afraid "
            "of {topic} / was photographed near the {place} / lies in the shade / hides behind the {object}",
        ),
        _lines(
            "was born {k} years ago / is {k} months old / was photographed at {h}:{mm} / appears on page {k} of the newspaper / "
            "was first seen in 19{kk} / runs past house number {k}",
            "is shown on channel {k} / was noticed at {h}:{mm} / sits in front of number {k} / came here in 19{kk}",
        ),
    ),
)  # fmt: skip

_LEADS = _lines(
    "Outside, / As usual, / These days, / At the moment, / Around noon, / For some reason, / As everybody knows, / In {season}, / "
    "On the whole, / At first sight, / Not far from here, / Since {season}, / On rainy days,",
    "By now, / Most of the time, / According to the newspaper, / Down by the river, / Every now and then, / Towards {season},",
)
_TAILS = _lines(
    "as usual / in the evening / for a while / when it rains / without a reason / in {season} / most of the time / these days / "
    "as far as one knows / on {day} / before breakfast / because of the weather / in spite of the noise",
    "more often than not / until late at night / whenever the sun shines / according to the {relative} / now and then",
)
LEAD_SHARE, TAIL_SHARE = 0.22, 0.28
NUMBER_SHARE = 0.35
"""Of the sentences, those with a number in them."""
_SYLLABLES = "ba be bo da de di fo ga go ka ke ku la le lo ma mi mo na ne no pa pe po ra re ri sa se so ta te to va ve zu".split()
_SLOT = re.compile(r"{(\w+)}")
_DRAWS = 24
"""Sentences a placebo chooses from for each one it takes."""


def invent_word(rng: random.Random) -> str:
    """A word that is in no dictionary, two or three syllables."""
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 3))) + rng.choice(("", "", "n", "r", "l"))


def write_sentence(
    rng: random.Random,
    split: Split,
    *,
    numbered: bool | None = None,
    avoid: Collection[str] = (),
    invented: float = 0.0,
) -> str:
    """One neutral sentence; with a number or without where `numbered` says so.

    `avoid` are words that it does not hold, in any case. `invented` is the share of its common nouns and adjectives
    that are replaced by invented words: a small model learns so that an unknown word says nothing.
    """
    if numbered is None:
        numbered = rng.random() < NUMBER_SHARE
    banned = {word.casefold() for word in avoid}
    while True:
        kind = rng.choice(_KINDS)
        text = f"{rng.choice(kind.subjects)} {rng.choice((kind.numbered if numbered else kind.predicates)[split])}"
        if rng.random() < LEAD_SHARE:
            text = f"{rng.choice(_LEADS[split])} {text}"
        if rng.random() < TAIL_SHARE:
            text = f"{text} {rng.choice(_TAILS[split])}"
        text = _SLOT.sub(lambda slot: _fill(slot.group(1), rng, split, invented), text)
        if not banned & {word.casefold() for word in re.findall(r"[\w:]+", text)}:
            return _with_articles(text[0].upper() + text[1:]) + "."


_JOINING = (
    "the the the a a of in on at is was and but to with near by for from not it that this when where because than as if "
    "who which there here some all no every after before under over very only also still soon now then so will would can"
).split()
_NAMED, _COUNTED = 0.12, 0.12


def write_strange_sentence(rng: random.Random, avoid: Collection[str] = ()) -> str:
    """Words in no order, invented ones among them, with a name or a number here and there: for training alone. A model
    that was shown it does not mind a wording that it has not met."""
    pool = [word for words in _FILLERS.values() for entry in words for word in entry.split()]
    banned = {word.casefold() for word in avoid}
    words: list[str] = []
    while len(words) < rng.randint(4, 12):
        draw = rng.random()
        if draw < _NAMED:
            word = rng.choice(NAMES)
        elif draw < _NAMED + _COUNTED:
            word = str(rng.randint(2, 99))
        elif draw < 0.6:
            word = rng.choice(_JOINING)
        else:
            word = invent_word(rng) if draw < 0.82 else rng.choice(pool)
        if word.casefold() not in banned:
            words.append(word)
    text = " ".join(words)
    return text[0].upper() + text[1:] + "."


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


_LOOSE: Mapping[str, tuple[str, ...]] = {
    "who": ("{name}", "{name} and {name2}", "the {relative} of {name}", "an old {relative}", "every {job}", "one {job}",
            "nobody", "somebody", "a {trait} {job}", "the {job} from the {place}", "my {relative}", "{name} himself",
            "the children", "most people", "she", "he"),
    "what": ("the {place}", "this {object}", "the {colour} {object}", "a {quality} {room}", "the {spot} of the {place}", "it",
             "that {animal}", "the {animal} of {name}", "the song about {topic}", "a {material} {object}", "the picture of {name}",
             "the name of the {place}", "number {k}", "house {k}", "bus {k}", "the {object} beside the {spot}", "{topic}"),
    "link": _words("is, was, will be, may be, has been, used to be, remained, looks, felt, sounds, is not, was never, is almost, "
                   "was once, is really, must be, appears"),
    "act": _words("draws, admires, painted, forgot, remembered, heard, saw, will watch, described, dislikes, greeted, met, "
                  "praised, avoids, trusts, ignores, mentioned, crossed, touched, has photographed, could not find, likes, "
                  "never saw, wants to see, asked about, dreams of, wrote about, sings about, is looking for, ran after"),
    "go": _words("walks, ran, sat, stood, slept, is waiting, jumped, danced, worked, travels, climbed, flew, hid, sang, "
                 "smiled, spoke, laughed, vanished, swims, will rest, played, lives, can be found, was born, fell asleep, hurried, "
                 "is hidden, rode a bicycle, went, is known, was seen"),
    "at": _words("in, at, near, behind, under, over, beside, across, around, inside, outside, above, along, towards, "
                 "opposite, without, from, through, into, below, far from, next to"),
    "how": _words("slowly, quietly, again, alone, often, never, twice, all day, at night, too, at last, happily, here, "
                  "together, badly, at home, in the rain, once more, a little, very loudly, on foot, by train, today"),
    "number": ("in {year}", "at {h}:{mm}", "on page {k}", "in room {k}", "at number {k}", "by bus {k}", "for {k} euros",
               "about {k} metres away", "{k} kilometres from the {place}", "on channel {k}", "in seat {k}", "at {k} degrees",
               "since {year}", "on floor {k}", "at the age of {k}", "after {k} pages", "until {h}:{mm}", "near exit {k}",
               "in chapter {k}", "with ticket {k}", "in the year {year}", "in lane {k}"),
    "join": _words("and, but, while, because, so, although, and then"),
    "first": ("yesterday", "sometimes", "in {year}", "at {h}:{mm}", "in {season}", "near the {place}", "on {day}", "later",
              "perhaps", "of course", "by chance", "with the {relative}", "under the {spot}", "once", "on page {k}", "luckily",
              "in the {room}", "before the rain", "every {season}", "in fact"),
}  # fmt: skip
"""Parts of loose sentences. None of the verbs is one of owning, gaining, losing or handing over."""


def write_loose_sentence(rng: random.Random, avoid: Collection[str] = (), *, invented: float = 0.0) -> str:
    """One or two clauses put together of single words and phrases rather than of whole predicates: for training alone.

    They need not make sense: so many orders of so many parts are seen that those of a form that was not seen are nothing
    new. No predicate of a held-out form stands in them whole.
    """
    banned = {word.casefold() for word in avoid}
    while True:
        text = _loose_clause(rng)
        if rng.random() < 0.18:
            text = f"{text}{rng.choice((',', ''))} {rng.choice(_LOOSE['join'])} {_loose_clause(rng)}"
        if rng.random() < 0.22:
            text = f"{rng.choice(_LOOSE['first'])}{rng.choice((',', ',', ''))} {text}"
        text = _SLOT.sub(lambda slot: _fill(slot.group(1), rng, Split.TRAIN, invented), text)
        if not banned & {word.casefold() for word in re.findall(r"[\w:]+", text)}:
            return _with_articles(text[0].upper() + text[1:]) + "."


def _loose_clause(rng: random.Random) -> str:
    def pick(*keys: str) -> str:
        return rng.choice(_LOOSE[rng.choice(keys)])

    draw = rng.random()
    if draw < 0.3:
        words = [pick("who", "what"), pick("link"), rng.choice(("{quality}", "{trait}", "{colour}", "{quality} and {colour}",
                 "a {job}", "a {colour} {object}", "called {name}", "full of {topic}", "as {quality} as the {place}"))]  # fmt: skip
    elif draw < 0.6:
        words = [pick("who"), pick("act"), pick("who", "what", "what")]
    else:
        words = [pick("who", "what"), pick("go"), pick("at"), pick("what")]
    draw = rng.random()
    if draw < 0.3:
        words.append(pick("number"))
    elif draw < 0.5:
        words.append(pick("how"))
    elif draw < 0.65:
        words += [pick("at"), pick("what")]
    return " ".join(words)


def _fill(slot: str, rng: random.Random, split: Split, invented: float) -> str:
    if slot in ("name", "name2"):
        return rng.choice(NAMES)
    if slot == "k":
        return str(rng.randint(2, 99))
    if slot == "kk":
        return f"{rng.randint(10, 99)}"
    if slot == "year":
        return str(rng.randint(1750, 2030))
    if slot == "h":
        return str(rng.randint(1, 12))
    if slot == "mm":
        return f"{rng.randrange(0, 60, 5):02d}"
    slot = slot.rstrip("2")
    if slot not in ("day", "season", "language") and rng.random() < invented:
        return invent_word(rng)
    words = _FILLERS[slot] + (_RARE_FILLERS.get(slot, ()) if split is Split.HELD_OUT else ())
    return rng.choice(words)


def _with_articles(text: str) -> str:
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def write_placebo(words: int, rng: random.Random, problem: Problem | None = None) -> str:
    """Neutral sentences of held-out forms, of about `words` words (at least one sentence).

    Where the problem is given, they name none of its people, no weekday where it is one of the calendar, and not its
    answer.
    """
    avoid = () if problem is None else avoided(problem)
    chosen: list[str] = []
    have = 0
    while not chosen or have < words:
        missing = words - have
        drawn = [write_sentence(rng, Split.HELD_OUT, avoid=avoid) for _ in range(_DRAWS)]
        best = min(drawn, key=lambda s: abs(len(s.split()) - missing))
        if chosen and abs(len(best.split()) - missing) >= missing:
            break
        chosen.append(best)
        have += len(best.split())
    return " ".join(chosen)


def avoided(problem: Problem) -> frozenset[str]:
    """Words that neutral text for this problem must not hold: its people, things, numbers and answer."""
    words = {*problem.entities, *problem.nouns, problem.answer, *map(str, problem.quantities)}
    return frozenset(words | (set(DAYS) if problem.answer in DAYS else set()))
