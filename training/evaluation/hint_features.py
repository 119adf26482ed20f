"""What one hint consists of: its sentences without names, things and numbers, and its features. No I/O.

A hint of the hint language is described by its parse. Any other text, of old runs, of foreign models or by hand, is
described by plain rules under the same names: the problem's people and things, numbers relative to the answer, cues.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from training.core.hint_language import FORMS, ParsedClause, parse_hint
from training.core.problems import DAYS, NAMES, THINGS
from training.core.prompts import TYPE_LABELS
from training.core.question_parser import find_entities, find_nouns, find_quantities
from training.core.types import AnswerKind, Problem

NEAR_ANSWER = 15
"""A number is near the answer where it differs by no more than this."""
SHORT, LONG = 8, 14
"""Words: up to SHORT is short, over LONG is long."""
MAX_CHARACTERS = 600
"""What stands behind these is not described: hints of runs are shorter, and any text can be in a database."""
MAX_SENTENCES = 4

_WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")
_SENTENCE = re.compile(r"[^.?!]+[.?!]*")
_NUMBER = re.compile(r"(?<![\d.:/])\d{1,9}(?![\d:/]|\.\d)")
_NAMES = frozenset(n.casefold() for n in NAMES)
_THINGS = frozenset(w for t in THINGS for w in (t.one, t.many) if " " not in w)
_DAYS = frozenset(d.casefold() for d in DAYS)
_BEFORE_MARK = re.compile(r" ([.,?!;:)%])")

_FRAMES = {
    "story": r"\b(?:another|different|other) (?:story|book|puzzle|problem|example|film|game)\b|\bdreams?\b|\bimagin\w+",
    "place": r"\b(?:another|different|other) (?:town|street|school|class|place|city|country)\b|\bfar away\b",
    "past": r"\byesterday\b|\bago\b|\blast (?:week|month|year|summer|night)\b|\bbefore (?:this|that)\b",
    "denied": r"\bnobody\b|\bnever\b|\bnot\b|\bno one\b|n't\b",
    "supposed": r"\bif\b|\bwould\b|\bsuppose\b|\bthink\b|\bbelieve\b",
}
_OPERATIONS = {
    "add": r"\badd\w*|\bsum\b|\btotal\b|\bplus\b|\btogether\b",
    "subtract": r"\bsubtract\w*|\bminus\b|\bdifference\b|\btak\w+ away\b",
    "multiply": r"\bmultipl\w+|\bdoubl\w+|\btripl\w+|\btwice\b",
    "divide": r"\bdivi\w+|\bhal(?:f|ve\w*)\b|\bshar(?:e|ed|ing)\b",
    "write": r"\b(?:write|reply|answer|say|print) (?:with|only|the|in|just)\b",
}
_TARGET = re.compile(r"\b(first|second|last|largest|smallest|biggest|final|middle) (?:number|one|quantity|figure|step)")
_CUES = (
    "actually always assume between careful check could easy guess instead maybe may might most mostly need note often "
    "only probably remember right should similar surely think trick typical usual usually wrong"
).split()
_CUE = re.compile(r"\b(" + "|".join(_CUES) + r")\b")
_IMPERATIVES = frozenset(
    "add answer assume begin check consider count divide do double find forget give halve ignore imagine keep leave "
    "let look make multiply note notice please print read remember repeat reply round say skip solve start "
    "state subtract suppose take think treat try use work write".split()
)
_PATTERNS = {
    name: {value: re.compile(pattern) for value, pattern in patterns.items()}
    for name, patterns in (("frame", _FRAMES), ("operation", _OPERATIONS))
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence. `form` is the id of its form in the hint language, "" outside it; `shape` is its words with NAME,
    THING, DAY and # in the place of what varies, of a form of the language with the names of its other slots."""

    form: str
    shape: str


@dataclass(frozen=True, slots=True)
class HintFeatures:
    """`values` has each feature's values, the one nearest to the problem first: ``{"number": ("own", "other")}``."""

    parsed: bool
    sentences: tuple[Sentence, ...]
    values: Mapping[str, tuple[str, ...]]


LABELS: Mapping[str, str] = {
    "type": "type", "subject": "person", "thing": "thing", "number": "number", "relation": "verb", "frame": "frame",
    "cue": "cue", "target": "target", "operation": "operation", "length": "length", "style": "style",
    "sentences": "sentences", "placement": "placement", "suggests": "suggests",
}  # fmt: skip
"""The features, and what each is called."""
_NEAREST = ("own", "near_answer", "other")
VALUE_LABELS = {
    "own": "the problem's own", "near_answer": "near the answer", "other": "another", "none": "none",
    "story": "another story", "place": "another place", "past": "another time", "before": "before the story",
    "1": "one", "2": "two", "3": "three or more", "general": "other problems", "written": "what is written",
    **{str(t): label for t, label in TYPE_LABELS.items()},
}  # fmt: skip


def label_of(feature: str, value: str) -> str:
    """A feature's value in words: ``number: near the answer``."""
    return f"{LABELS.get(feature, feature)}: {VALUE_LABELS.get(value, value)}"


@lru_cache(maxsize=8192)
def stored_problem(problem_id: str, family: str, question: str, gold: str) -> Problem:
    """The problem of a stored rollout, with the people, things and numbers that its text shows."""
    kind = (
        AnswerKind.CLOCK
        if ":" in gold
        else AnswerKind.NUMBER
        if re.fullmatch(r"-?[\d./,]+", gold)
        else AnswerKind.CHOICE
    )
    return Problem(
        problem_id, family, question, gold, kind, "", find_entities(question), find_nouns(question),
        find_quantities(question),
    )  # fmt: skip


def describe_hint(text: str, type_: str, problem: Problem) -> HintFeatures:
    """A hint's features in its problem. Any text is allowed; an empty one has none."""
    plain = " ".join(text[:MAX_CHARACTERS].split())
    scene = _scene(problem)
    values = dict(_plain_values(plain, type_, scene))
    sentences = [s for s in _SENTENCE.findall(plain) if s.strip()][:MAX_SENTENCES]
    parsed = parse_hint(plain, problem)
    # A hint of the language has a clause for each sentence.
    clauses = parsed.clauses if parsed is not None and len(parsed.clauses) == len(sentences) else ()
    if clauses:
        values |= dict(_parsed_values(clauses))
    forms = [c.form for c in clauses] or [""] * len(sentences)
    shapes = tuple(
        Sentence(f, _form_shape(f) if f else _shape(s, scene)) for f, s in zip(forms, sentences, strict=True)
    )
    return HintFeatures(bool(clauses), shapes, values)


def _parsed_values(clauses: Sequence[ParsedClause]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What the parse says better than plain rules do."""

    def nearest(found: Iterable[str]) -> tuple[str, ...]:
        there = set(found)
        return tuple(r for r in _NEAREST if r in there) or ("none",)

    yield "subject", nearest(c.subject for c in clauses)
    yield "thing", nearest(c.thing for c in clauses)
    yield "number", nearest(n.relation for c in clauses for n in c.numbers)
    yield "relation", nearest("own" if c.relation_own else "other" for c in clauses if c.relation)
    yield "frame", tuple(dict.fromkeys(c.frame for c in clauses if c.frame)) or ("none",)
    yield "suggests", ("an answer",) if any(c.suggests for c in clauses) else ("none",)


# ---------------------------------------------------------------------- plain rules


@dataclass(frozen=True, slots=True)
class _Scene:
    words: frozenset[str]
    people: frozenset[str]
    things: frozenset[str]
    numbers: frozenset[int]
    gold: int | None


@lru_cache(maxsize=8192)
def _scene(problem: Problem) -> _Scene:
    words = frozenset(w.casefold() for w in _WORD.findall(problem.question))
    things = {n.casefold() for n in problem.nouns} | (words & _THINGS)
    things |= {w for t in THINGS if {t.one, t.many} & things for w in (t.one, t.many)}
    numbers = {*problem.quantities, *(int(n) for n in _NUMBER.findall(problem.question))}
    gold = int(problem.answer) if problem.answer.isdecimal() and len(problem.answer) <= 9 else None
    people = frozenset(e.casefold() for e in problem.entities)
    return _Scene(words, people, frozenset(things), frozenset(numbers), gold)


def _plain_values(text: str, type_: str, scene: _Scene) -> Iterator[tuple[str, tuple[str, ...]]]:
    low = text.casefold()
    words = _WORD.findall(low)
    lexical = [w for w in words if w[0].isalpha()]
    yield "type", (type_,) if type_ else ()
    yield "subject", _nearness((w in scene.people for w in lexical), (w in _NAMES for w in lexical))
    yield "thing", _nearness((w in scene.things for w in lexical), (w in _THINGS for w in lexical))
    found = {_relation(int(n), scene) for n in _NUMBER.findall(low)}
    yield "number", tuple(r for r in _NEAREST if r in found) or ("none",)
    for feature, patterns in _PATTERNS.items():
        yield feature, tuple(value for value, pattern in patterns.items() if pattern.search(low)) or ("none",)
    yield "target", tuple(dict.fromkeys(_TARGET.findall(low))) or ("none",)
    yield "cue", tuple(dict.fromkeys(_CUE.findall(low))) or ("none",)
    n = len(text.split())
    yield "length", ("short" if n <= SHORT else "long" if n > LONG else "medium",)
    sentences = _SENTENCE.findall(text)[:MAX_SENTENCES]
    orders = any(s.split()[0].strip(",").casefold() in _IMPERATIVES for s in sentences if s.split())
    yield "style", tuple(s for s, there in (("question", "?" in text), ("order", orders)) if there) or ("statement",)
    yield "sentences", (str(min(len(sentences), 3)),)


def _nearness(own: Iterator[bool], other: Iterator[bool]) -> tuple[str, ...]:
    return ("own",) if any(own) else ("other",) if any(other) else ("none",)


def _relation(value: int, scene: _Scene) -> str:
    if value in scene.numbers:
        return "own"
    return "near_answer" if scene.gold is not None and abs(value - scene.gold) <= NEAR_ANSWER else "other"


_SLOT = re.compile(r"{(\w+)}")
_SLOT_NAMES = {
    **dict.fromkeys(("who", "who2", "cue_who"), "NAME"), **dict.fromkeys(("things", "things2", "cue_things"), "THING"),
    "n": "#", "m": "#", "clock": "#:#", "day": "DAY",
    **dict.fromkeys(("tail", "ending", "check", "only", "about", "polite"), ""),
    "it_too": "[it]", "astory": "[a story]", "donot": "[do not]", "notso": "[not so]", "butnot": "[but not]",
    "endwith": "[end with]",
}  # fmt: skip


@lru_cache(maxsize=1024)
def _form_shape(form: str) -> str:
    """A form of the hint language to read: ``[story], NAME [does] # THING.``; endings that may be missing are left
    out."""
    template = next((f.template for f in FORMS if f.id == form), form)
    text = _SLOT.sub(lambda slot: _SLOT_NAMES.get(slot[1], f"[{slot[1]}]"), template)
    return text[:1].upper() + text[1:]


def _shape(sentence: str, scene: _Scene) -> str:
    """The sentence with what varies replaced: ``NAME lost # THING.``"""
    parts: list[str] = []
    for raw in _WORD.findall(sentence):
        word = raw.casefold()
        if word.isdecimal():
            kind = "#"
        elif word in scene.people or word in _NAMES:
            kind = "NAME"
        elif word in scene.things or word in _THINGS:
            kind = "THING"
        elif word in _DAYS:
            kind = "DAY"
        else:
            kind = word
        parts.append(kind)
    text = _BEFORE_MARK.sub(r"\1", " ".join(parts)).replace("#: #", "#:#")
    return text[:1].upper() + text[1:]
