"""Who and what a typed question speaks of, read from its text by plain rules. No model, no I/O.

It need not find everything: templates fill their slots with what it finds, and the gate against rewriting a problem
looks for it. It refuses to guess numbers: with a fraction or a decimal among them it gives none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from training.core.number_words import number_tokens, number_word
from training.core.problems import DAYS, NAMES, THINGS
from training.core.prompts import Placement, last_sentence_start

_MONTHS = "January February March April May June July August September October November December".split()
# Capitalised words that are nobody.
_NOBODY = {*DAYS, *_MONTHS, "I", "Mr", "Mrs", "Ms", "Dr", "Christmas", "English", "French", "Spanish", "German"}
_STARTERS = frozenset(
    "A After Afterwards All Altogether An And Another Anybody As At Because Before Both But By Can Does Each "
    "Every Everybody Everyone Find For From Given He Her Here His How However If In Initially It Its Later Let Nobody "
    "Now Of On Once One Only Since She Show So Some Somebody Someone Suppose Than That The Their Then There "
    "These They This Three To Today Together Two Until What When Where Which While Who Whose Why With Yesterday "
    "You Your".split()
)
_CAPITALISED = re.compile(r"\b[A-Z][a-zà-öø-ÿ]+\b")
_VERB = re.compile(r"\s+(?:has|had|is|was|and|have|[a-z]{2,}(?:s|ed))\b")
_SENTENCE_START = re.compile(r"(?:^|[.!?:\n][\"'”’)]*)\s*$")
_NUMBER = re.compile(r"\d(?:[\d,]*\d)?(?:[.:/]\d+)*")
_COUNTED = re.compile(r"(?:\d|\b(?:how many|many|more|of the|number of))\s+([a-z]+)(?:\s+([a-z]+))?", re.IGNORECASE)
_PLURALS = frozenset(t.many for t in THINGS) | {"people", "children", "men", "women", "mice", "sheep", "fish", "feet"}
_NO_PLURALS = frozenset("has is was does times less plus this as its his hers yours minus pass across always".split())
_COMPARISON = re.compile(r"\b(?:than|before|after|compared (?:to|with))\b", re.IGNORECASE)
_POINTS_BACK = re.compile(
    r"(?:so|then|thus|hence|therefore|now|and|but|(?:after|of|from|with|given|based on|in) (?:this|that|these|those)"
    r"|if (?:so|this|that))\b",
    re.IGNORECASE,
)
# A pronoun, or a number without its noun: "gives away 5", "5 more".
_REFERS_BACK = re.compile(
    r"\b(?:they|them|their|theirs|he|him|his|she|her|hers|its|this|these|those|then|another|each)\b"
    r"|\bit\b(?! is (?:known|said)\b)|\b(?:is|was|does|after|before) that\b"
    r"|(?<![\d:.,])\d+(?![\d:,]|\.\d)(?! (?!is\b|was\b|has\b|does\b|times\b)[a-z]+s\b)",
    re.IGNORECASE,
)
_WORDS = {word: n for n in range(2, 100) if (word := number_word(n))}
_WORD = re.compile(r"\b(?:" + "|".join(sorted(_WORDS, key=len, reverse=True)) + r")\b", re.IGNORECASE)


def find_entities(question: str) -> tuple[str, ...]:
    """Names of people (and the like), in the order in which they appear, each once."""
    found: dict[str, None] = {}
    inner = {m.group() for m in _CAPITALISED.finditer(question) if not _starts_sentence(question, m.start())}
    for match in _CAPITALISED.finditer(question):
        word = match.group()
        if word in _NOBODY or (word in _STARTERS and word not in NAMES):
            continue
        if word in NAMES or word in inner or _acts(question, match):
            found[word] = None
    return tuple(found)


def move_question(text: str) -> str | None:
    """The needed-text control: the sentence that asks stands before the last sentence of the story.

    Every sentence is kept as it is, and so is the answer. None where that cannot be done: fewer than two sentences
    before the question, no question mark at its end, a last sentence without a number or a comparison, which may
    not be needed, or a question that points back at it ("After that, how many …").
    """
    body = text.strip()
    asks = last_sentence_start(body)
    story, question = body[:asks].rstrip(), body[asks:]
    last = last_sentence_start(story)
    fact = story[last:]
    whole = question.endswith("?") and "\n" not in body and last > 0 and not fact.endswith("?")
    holds_fact = any(pattern.search(fact) for pattern in (_NUMBER, _WORD, _COMPARISON))
    if not whole or not holds_fact or _POINTS_BACK.match(question):
        return None
    return f"{story[:last]}{question} {fact}"


def safe_placements(text: str) -> tuple[Placement, ...]:
    """Where a hint can stand in a problem without changing what its sentences mean.

    Behind everything and before everything always. Before the question, or before the last fact, only where the
    sentence that follows names a person and refers to nothing before it: behind "Mei sells 4 lemons." the sentence
    "5 of them break." would speak of lemons, and "When is it over?" of another time.
    """
    body = text.strip()
    asks = last_sentence_start(body)
    fact = last_sentence_start(body[:asks])
    found = [Placement.APPEND, Placement.PREPEND]
    if asks and _stands_alone(body[asks:], text):
        found.append(Placement.BEFORE_QUESTION)
    if fact and _stands_alone(body[fact:asks], text):
        found.append(Placement.BETWEEN_FACTS)
    return tuple(found)


def _stands_alone(sentence: str, text: str) -> bool:
    named = any(re.search(rf"\b{re.escape(name)}\b", sentence) for name in find_entities(text))
    return named and not _REFERS_BACK.search(sentence) and not _POINTS_BACK.match(sentence)


def _starts_sentence(text: str, at: int) -> bool:
    return _SENTENCE_START.search(text, max(0, at - 8), at) is not None or at == 0


def _acts(text: str, match: re.Match[str]) -> bool:
    """Whether a sentence's first word is followed by what a person does or has: "Zed buys", and not "Apples cost"."""
    owns = text[match.end() : match.end() + 3] in ("'s ", "’s ")
    return owns or (not match.group().endswith("s") and _VERB.match(text, match.end()) is not None)


def find_nouns(question: str) -> tuple[str, ...]:
    """Plural nouns of what is counted, each once."""
    found: dict[str, None] = {}
    for match in _COUNTED.finditer(question):
        plural = next((w for w in match.groups() if w and _is_plural(w.lower())), None)
        if plural:
            found[plural.lower()] = None
    return tuple(found)


def _is_plural(word: str) -> bool:
    if word in _PLURALS:
        return True
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in _NO_PLURALS


def find_quantities(question: str) -> tuple[int, ...]:
    """Whole numbers in order, digits and words; none at all when some number is not whole, for order needs them all."""
    digits = [(m.start(), m.group()) for m in _NUMBER.finditer(question)]
    if any(mark in text for _, text in digits for mark in ".:/") or any(len(text) > 12 for _, text in digits):
        return ()
    found = [(at, int(text.replace(",", ""))) for at, text in digits]
    found += [(m.start(), _WORDS[m.group().lower()]) for m in _WORD.finditer(question)]
    return tuple(value for _, value in sorted(found))


# ---------------------------------------------------------------------- scene

_IRREGULAR = {
    "children": "child", "people": "person", "men": "man", "women": "woman", "mice": "mouse", "feet": "foot",
    "teeth": "tooth", "geese": "goose", "leaves": "leaf", "shelves": "shelf", "loaves": "loaf", "knives": "knife",
    "wolves": "wolf", "calves": "calf", "halves": "half", "buses": "bus", "series": "series", "fish": "fish",
    "sheep": "sheep", "persons": "person", "movies": "movie", "cookies": "cookie",
}  # fmt: skip
_SHORT_UNITS = {
    "km": "kilometre", "cm": "centimetre", "mm": "millimetre", "m": "metre", "kg": "kilogram", "g": "gram",
    "l": "litre", "ml": "millilitre", "min": "minute", "h": "hour", "kilometer": "kilometre", "meter": "metre",
    "liter": "litre",
    "centimeter": "centimetre", "millimeter": "millimetre", "buck": "dollar", "kilo": "kilogram",
}  # fmt: skip
TIME_UNITS = frozenset("second minute hour day week month year".split())
MONEY_UNITS = frozenset("dollar euro cent pound penny".split())
_MEASURES = frozenset(
    "kilometre metre centimetre millimetre kilogram gram litre millilitre mile inch degree percent".split()
)
UNITS = TIME_UNITS | MONEY_UNITS | _MEASURES
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*['’]?|\d+(?:[.,:/]\d+)*|[^\w\s]")
_NOT_COUNTED = frozenset(
    "a an the of in on at for from to by with and or but than as is are was were be has have had each every per "
    "another "
    "more less fewer other new old big small red green blue white black brown full equal left times time many much how "
    "his her their its he she they it them him this that these those there then now so if who which what when where "
    "does do did can will would also too together altogether total same half all both some any no not get gets".split()
)
_SYNONYMS = (
    frozenset("child kid pupil student boy girl".split()), frozenset("photo picture".split()),
    frozenset("present gift".split()), frozenset("candy sweet".split()),
    frozenset("person people guest visitor".split()),
)  # fmt: skip
_RELATIONS = frozenset(
    "friend classmate neighbour neighbor brother sister cousin aunt uncle parent grandparent colleague teacher guest "
    "son daughter twin student pupil child kid".split()
)
_POSSESSOR = re.compile(r"his|her|their|its|[^\W\d_]+['’]s?")
_COUNT_BEFORE = frozenset("many each every per number".split())


def stem(word: str) -> str:
    """One form for a noun's singular and plural and a unit's spellings, without its possessive ending."""
    word = re.sub(r"['’]s?$", "", word.casefold())
    word = _IRREGULAR.get(word, word)
    if len(word) > 4 and word.endswith("rves"):
        word = word[:-3] + "f"
    elif len(word) > 3 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 4 and word.endswith(("ches", "shes", "xes", "sses", "oes", "zes")):
        word = word[:-2]
    elif len(word) > 2 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return _SHORT_UNITS.get(word, word)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a question speaks of. Words are stems in lower case (see `stem`)."""

    people: frozenset[str]
    """Names, in lower case."""
    actors: frozenset[str]
    """Nouns that act where a name could ("a farmer has"), and the places that hold things ("a school has")."""
    things: frozenset[str]
    """What is counted or measured, units and containers included."""
    asked: frozenset[str]
    """Of the things, those that the question asks for."""
    words: frozenset[str]
    """Stems of all its words."""
    numbers: frozenset[Fraction]
    days: frozenset[str]
    """Days of the week in it."""
    text: str
    """The question in lower case."""


@lru_cache(maxsize=512)
def read_scene(question: str, people: tuple[str, ...] = (), nouns: tuple[str, ...] = ()) -> Scene:
    """The scene of a question. `people` and `nouns` add to what is found in the text."""
    names = {*people, *find_entities(question)}
    tokens = [m.group().casefold() for m in _TOKEN.finditer(question)]
    things = {stem(n) for n in (*nouns, *find_nouns(question))}
    asked: set[str] = set()
    for i, word in enumerate(tokens):
        counts = word[0].isdigit() or word in _WORDS or word in ("one", "$", "€", "£")
        if counts or word in _COUNT_BEFORE:
            found = _counted_noun(tokens, i + 1)
            things |= found
            if word == "many" or (word == "number" and found):
                asked |= found
        elif (
            i
            and word.isalpha()
            and _is_plural(word)
            and stem(word) not in _RELATIONS
            and _POSSESSOR.fullmatch(tokens[i - 1])
        ):
            things.add(stem(word))
    if {"$", "€", "£", "money", "pay", "cost", "price", "earn", "spend"} & set(tokens):
        things |= MONEY_UNITS
        if re.search(r"how much|what is the price|how many (?:dollars|euros)", question, re.IGNORECASE):
            asked |= MONEY_UNITS
    for group in _SYNONYMS:
        if things & group:
            things |= group
    numbers = frozenset(t.value for t in number_tokens(question) if t.value is not None)
    days = frozenset(d.casefold() for d in DAYS if re.search(rf"\b{d}", question, re.IGNORECASE))
    folded = frozenset(part.casefold() for name in names for part in name.split())
    things -= folded | {stem(name) for name in folded}
    return Scene(
        folded, _actors(tokens) - things, frozenset(things), frozenset(asked), frozenset(map(stem, tokens)), numbers,
        days, question.casefold(),
    )  # fmt: skip


def _counted_noun(tokens: Sequence[str], at: int) -> frozenset[str]:
    """The noun that is counted at `at`: the last word of a short run of words that are no function words."""
    last = ""
    for word in tokens[at : at + 3]:
        if word in _NOT_COUNTED or not word[0].isalpha():
            if last or word not in (
                "more",
                "other",
                "new",
                "red",
                "green",
                "blue",
                "of",
                "equal",
                "full",
                "the",
                "old",
            ):
                break
            continue
        last = word
        if word.endswith("s") or word in _IRREGULAR or stem(word) in UNITS:
            break
    return frozenset({stem(last)}) if last else frozenset()


def _actors(tokens: Sequence[str]) -> frozenset[str]:
    """Nouns that start the story ("A farmer has"), start a sentence with "the", or name a place ("in a class")."""
    found: set[str] = set()
    for i, word in enumerate(tokens[:-1]):
        starts = i == 0 or (word == "the" and tokens[i - 1] in (".", "?", "!"))
        if word in ("a", "an", "the") and (starts or tokens[i - 1] in ("in", "on", "at", "of")):
            for w in tokens[i + 1 : i + (3 if starts else 2)]:
                if w in _NOT_COUNTED or not w[0].isalpha():
                    break
                found.add(stem(w))
    return frozenset(found)
