"""Who and what a typed question speaks of, read from its text by plain rules. No model, no I/O.

It need not find everything: templates fill their slots with what it finds, and the gate against rewriting a problem
looks for it. It refuses to guess numbers: with a fraction or a decimal among them it gives none.
"""

import re

from training.core.gates import number_word
from training.core.problems import DAYS, NAMES, THINGS

_MONTHS = "January February March April May June July August September October November December".split()
# Capitalised words that are nobody.
_NOBODY = {*DAYS, *_MONTHS, "I", "Mr", "Mrs", "Ms", "Dr", "Christmas", "English", "French", "Spanish", "German"}
_STARTERS = frozenset(
    "A After Afterwards All Altogether An And Another Anybody As At Because Before Both But By Can Does Each "
    "Every Everybody Everyone Find For From Given He Her His How However If In Initially It Its Later Let Nobody "
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


def _starts_sentence(text: str, at: int) -> bool:
    return _SENTENCE_START.search(text, max(0, at - 8), at) is not None or at == 0


def _acts(text: str, match: re.Match[str]) -> bool:
    """Whether a sentence's first word is followed by what a person does: "Zed buys", and not "Apples cost"."""
    return not match.group().endswith("s") and _VERB.match(text, match.end()) is not None


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
