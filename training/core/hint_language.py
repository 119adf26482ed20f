"""The hint language: sentences that a hint is made of, written and read back by one grammar. No I/O.

A hint has one to three clauses, each a sentence of one *form* (`FORMS`): a skeleton with slots for persons, things,
numbers, verbs, frames, places, cues, targets and operations. What is written is a hint of the language; what a model
writes is one where `parse_hint` reads it, whatever its case and spacing.

Every hint that `write_hint` makes leaves the gold answer as it is. A claim about the problem's own people and things
stands in a frame that takes it out of the problem:

- `story`: "In another story, …", "In a dream, …". Neutral for any claim.
- `before`: "Long before this story, …". Neutral for events of things; the problem's counts are of a later day.
- `place` and `past`: "In another town, …", "Last week, …". Neutral only for persons that the problem does not name.
- `denied`: "Nobody …", "… never …", "… wanted to …, but did not", "One could think that …, but the story does not
  say so". Neutral where it denies no fact of the problem, so with no number of the problem.
- `general`: "In most other stories with …, …". A remark about other problems.
- `written`: "Do not write that …", "Write another story in which …". About what is written, not about the problem.

A claim without a frame is neutral only about things that the problem does not name. The parser reads more than is
written: "Tom lost 5 apples." parses, and `invalid_claim` refuses it.

How near a hint is to its problem is a choice in every slot: a stranger or a person of the problem, another thing or its
own, any number, one near the answer or one of the problem. A uniform draw is mostly far (`OWN_SHARE`).
`count_forms` says how many forms there are without names, things and numbers: over 10,000 clauses of each type, so over
100 million hints of two clauses.

A word list is split in two: one for training, one that is held out. A form of one split uses no word of the other.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from training.core.leaks import find_leak
from training.core.problems import CALENDAR_EVENTS, CONTAINERS, DAYS, FAMILIES, NAMES, PLACES, THINGS
from training.core.structure import Claim
from training.core.types import AnswerKind, Hint, HintType, Problem, Split
from training.errors import UserError

VERSION = 1
"""Of what is written: the same seed writes the same hints within a version."""
MAX_CHARACTERS = 240
"""Longest hint that is written."""
OWN_SHARE = 0.4
"""Share of draws in which a slot for a person or a thing takes one of the problem's own."""
OWN_VERB_SHARE = 0.35
"""The same for a verb."""
NEAR = 15
"""A number is near the answer where it differs by no more than this."""
_CLAUSES, _CLAUSE_WEIGHTS = (1, 2, 3), (60, 28, 12)
_NO_TAIL = 0.55


# ---------------------------------------------------------------------- words


@dataclass(frozen=True, slots=True)
class Words:
    """The phrases of one slot, apart by split. Without `held_out` both splits share them."""

    train: tuple[str, ...]
    held_out: tuple[str, ...] = ()

    def of(self, split: Split) -> tuple[str, ...]:
        return self.held_out if split is Split.HELD_OUT and self.held_out else self.train

    def is_held_out(self, phrase: str) -> bool:
        """Of a phrase in lower case."""
        return any(phrase == w.casefold() for w in self.held_out)


def _words(train: str, held_out: str = "") -> Words:
    def split(text: str) -> tuple[str, ...]:
        return tuple(text.split("|")) if text else ()

    return Words(split(train), split(held_out))


def _after_space(words: Words) -> Words:
    """The same as an ending of a sentence, which may also be missing."""
    return Words(
        ("", *(" " + w for w in words.train)), ("", *(" " + w for w in words.held_out)) if words.held_out else ()
    )


@dataclass(frozen=True, slots=True)
class Verb:
    """One relation in its four forms; `done` is empty where it has no passive. `kind`: gain, loss, state or other."""

    does: str
    did: str
    do: str
    done: str
    kind: str
    held_out: bool = False


def _verbs(kind: str, text: str, held_out: bool) -> list[Verb]:
    rows = ([form.strip() for form in row.split("/")] for row in text.split("|"))
    return [Verb(does, did, do, done, kind, held_out) for does, did, do, done in rows]


VERBS: tuple[Verb, ...] = (
    *_verbs("loss", "loses/lost/lose/lost|sells/sold/sell/sold|gives away/gave away/give away/given away|"
            "throws away/threw away/throw away/thrown away|breaks/broke/break/broken|leaves/left/leave/left|"
            "takes out/took out/take out/taken out", False),
    *_verbs("loss", "drops/dropped/drop/dropped|uses/used/use/used", True),
    *_verbs("gain", "buys/bought/buy/bought|finds/found/find/found|gets/got/get/|wins/won/win/won|"
            "picks up/picked up/pick up/picked up|makes/made/make/made", False),
    *_verbs("gain", "receives/received/receive/received|collects/collected/collect/collected", True),
    *_verbs("state", "has/had/have/|owns/owned/own/|keeps/kept/keep/kept|counts/counted/count/counted", False),
    *_verbs("state", "holds/held/hold/held", True),
    *_verbs("other", "paints/painted/paint/painted|washes/washed/wash/washed|draws/drew/draw/drawn|sees/saw/see/seen|"
            "carries/carried/carry/carried|cleans/cleaned/clean/cleaned|likes/liked/like/liked", False),
    *_verbs("other", "sorts/sorted/sort/sorted|moves/moved/move/moved", True),
)  # fmt: skip


def _verb_words(form: str, kinds: Sequence[str] = ("loss", "gain", "state", "other")) -> Words:
    found = [(getattr(v, form), v.held_out) for v in VERBS if v.kind in kinds and getattr(v, form)]
    return Words(tuple(w for w, held in found if not held), tuple(w for w, held in found if held))


_EVENTS = ("loss", "gain", "other")
_PERSONS = ("somebody", "a farmer", "a teacher", "a cook", "a painter", "a baker")

WORDS: dict[str, Words] = {
    # Frames.
    "story": _words(
        "in another story|in another book|in another puzzle|in a dream|in a film|in a fairy tale|in an old song|"
        "in a school play|in a poem|in another example",
        "in a different story|in the dream of a friend|in an old book",
    ),
    "place": _words(
        "in another town|in another street|in another school|in another class|far away|next door",
        "in a different town|in a street far away",
    ),
    "past": _words(
        "last week|last month|last year|last summer|yesterday|a year ago|some weeks ago", "a month ago|some years ago"
    ),
    "before": _words(
        "long before this story|years before this story|in the year before this story|a long time before all this",
        "many years before this story|some months before this story",
    ),
    "think": _words(
        "one could think|a reader may think|it is easy to believe|some people believe|it would be wrong to say",
        "one may believe|some people may think",
    ),
    "notso": _words(
        "but the story does not say so|but that is not in the story|but this is not said here",
        "but nothing like that is said|but the story says nothing like it",
    ),
    "unsaid": _words(
        "nobody says|the story does not say|nothing here says|it is not said", "no sentence says|nobody here says"
    ),
    "wanted": _words("wanted|planned|hoped", "wished"),
    "butnot": _words("but did not|but did not do it|but never did", "but in the end did not|but then did not"),
    # Where and when, at the end of a clause.
    "tail": _after_space(Words(
        (*(f"in the {p}" for p in PLACES), "at home", "in the morning", "after lunch", "with a friend"),
        ("on the way", "at night", "before lunch", "with an aunt"),
    )),
    # Verbs.
    "does": _verb_words("does"),
    "did": _verb_words("did"),
    "done": _verb_words("done"),
    "acts": _verb_words("does", _EVENTS),
    "do": _verb_words("do", _EVENTS),
    "gives": _words("gives|hands|sells|passes|sends", "brings|lends"),
    "gave": _words("gave|handed|sold|passed|sent", "brought|lent"),
    "has": _words("has|owns|counts", "keeps|holds"),
    "more": _words("more|fewer"),
    "boxes": Words(tuple(c.many for c in CONTAINERS)),
    "taller": _words("taller|shorter|older|younger|faster|slower|heavier|lighter"),
    "arrives": _words("arrives|gets there|is there"),
    "order": _words("before|after"),
    "takes": _words("it takes|this takes|it lasts|it goes on for", "the break takes|the break lasts"),
    "unit": _words("minutes|hours"),
    "starts": _words("starts to work|leaves home|gets up|starts to read|leaves the house",
                     "starts to write|comes home"),
    "event": Words(CALENDAR_EVENTS),
    "street": _words("street|town|house", "building"),
    "parts": _words("doors|windows|trees|rooms", "walls|lamps and doors"),
    "room": _words("room|garden|street|school|kitchen|house", "attic|office"),
    # Traps.
    "many": _words("most|many|nearly all|some", "almost all|lots of"),
    "kind": _words("stories|puzzles|problems|tasks", "riddles|examples"),
    "with": _words("with|about|that name|that start with", "that speak of|that end with"),
    "like": _words("like this one|of this kind|with short sentences|that start with a name|that ask for a number|"
                   "with few words|of this length", "that end in a question|with easy words"),
    "end": _words("end at|come out at|have the result|lead to|stop at", "finish at|give the result"),
    "endwith": _words("end with|lead to|come out at|stop with", "finish with|close with"),
    "usually": _words("usually|mostly|often|nearly always|in most cases", "almost always|very often"),
    "solved": _words(
        "solved by addition|solved by subtraction|solved by multiplication|solved by division|"
        "solved with the first number alone|solved with the last number alone|solved by adding everything|"
        "solved by counting|solved in a single step|solved from the end",
        "solved with the largest number|solved with the smallest number|solved by addition alone|"
        "solved by subtraction alone",
    ),
    "right": _words("the result|the right one|the number to give", "the one to give|the number to write"),
    # Guesses and readings.
    "could": _words("could|may|might|can", "should|will"),
    "it": _words("it|the result|the number|the right number|the end", "the last line|the number here"),
    "it_too": _words("it|the result|the end", "the last line|the right one"),
    "about": _words("|about |around |nearly |close to ", "almost |very close to "),
    "maybe": _words("perhaps|maybe|I think|it seems that|I believe|my guess is that", "possibly|I would say"),
    "check": _words("|, but please check|, more or less|, I am not sure", ", so it seems|, but do look again"),
    "thinks": _words("thinks|says|believes|guesses", "would say|is sure"),
    "helps": _words("it may help to|one could|you may want to|a good way is to|some people",
                    "a short way is to|it is good to"),
    "look": _words("look only at|start with|think first of|care only about|begin by reading|work with",
                   "look again at|think only of"),
    "target": _words("the first number|the second number|the last number|the largest number|the smallest number|"
                     "the last sentence|the first sentence|the question",
                     "the number in the middle|the last two numbers|the first two numbers"),
    "method": _words("add all the numbers|multiply all the numbers|subtract all the numbers|count from the end|"
                     "guess first|round every number|work from the end|do it in a single step|"
                     "add the first two numbers",
                     "add the last two numbers|take the numbers by size|work in tens"),
    "alone": _words("one could read this as a question about|this may look like a question about|"
                    "it is easy to think only of", "the story seems to be only about|a reader may look only at"),
    # Instructions.
    "polite": _words("|please |now |just ", "do |simply "),
    "time": _words("before you reply|at the end|first of all|in the end|when you are done|on the last line",
                   "after the last step|as a last step"),
    "ending": _after_space(_words("before you reply|at the end|first of all|when you are done|on the last line",
                                  "after the last step|as a last step")),
    "operation": _words("double|halve|triple|round up|round down|write down|repeat|underline", "read out|turn around"),
    "object": _words("the result|the first number|the second number|the last number|the largest number|"
                     "the smallest number|every number|your reply",
                     "the final number|the sum|each number of the story"),
    "plus": _words("add", "join"),
    "times": _words("multiply|divide", "raise"),
    "reply": _words("reply with|write|say|give|stop at", "put down|finish with"),
    "only": _words("| and nothing else| in any case|, whatever the story says| and stop", " at once| and leave it"),
    "donot": _words("do not|never|please do not", "you should not|try not to"),
    "write": _words("write|say|repeat|add", "note|read out"),
    "invent": _words("write|make up|think of", "imagine|draw"),
    "astory": _words("another story|a new story|a poem|a song|a short film", "a fairy tale|a different story"),
    "skip": _words("skip|leave out|forget about", "cut|leave away"),
    "step": _words("the first step|the last step|the working|all steps but the first",
                   "the second step|the middle step"),
}  # fmt: skip

_OPEN = {
    "who": r"(?:an? )?[^\W\d_]+", "who2": r"(?:an? )?[^\W\d_]+",
    "cue_who": r"(?:an? )?[^\W\d_]+", "rival": r"[^\W\d_]+", "things": r"[^\W\d_]+",
    "cue_things": r"[^\W\d_]+",
    "n": "[0-9]{1,6}", "m": "[0-9]{1,6}", "clock": "[0-9]{1,2}:[0-9]{2}",
    "day": "|".join(d.casefold() for d in DAYS),
}  # fmt: skip


# ---------------------------------------------------------------------- forms


@dataclass(frozen=True, slots=True)
class Form:
    """One skeleton of a clause.

    `frame` is how a claim in it is taken out of the problem ("" where nothing does, see the module). `claims` says
    what the clause claims: `event` (somebody and a number of things), `core` (an order, a duration, a day, a time, a
    comparison, a share: what a family computes with), `age`, `place`, or "" for nothing about any problem. `suggests`
    is the wrong answer it pushes: a slot, or a rule of `computed_answer`. `weight` 0: read, never written.
    """

    id: str
    type: HintType
    template: str
    frame: str = ""
    claims: str = ""
    suggests: str = ""
    weight: float = 1.0
    families: tuple[str, ...] = ()
    """Families that the form is about; it is drawn more often there."""
    kinds: tuple[AnswerKind, ...] = ()
    """Kinds of answers that the form fits, () for all."""
    near_share: float = 0.2
    """Share of draws in which the number is near the answer; the same for one of the problem's own."""
    pattern: re.Pattern[str] = field(init=False, compare=False)
    slots: tuple[str, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        parts = re.split(r"{(\w+)}", self.template.casefold())
        texts, slots = parts[::2], tuple(parts[1::2])
        made = re.escape(texts[0])
        for slot, text in zip(slots, texts[1:], strict=True):
            made += f"(?P<{slot}>{_slot_pattern(slot)})" + re.escape(text)
        object.__setattr__(self, "pattern", re.compile(made))
        object.__setattr__(self, "slots", slots)

    def has_held_out_words(self) -> bool:
        return any(s in WORDS and WORDS[s].held_out for s in self.slots)


def _slot_pattern(slot: str) -> str:
    if slot in _OPEN:
        return _OPEN[slot]
    words = {*WORDS[slot].train, *WORDS[slot].held_out}
    return "|".join(re.escape(w.casefold()) for w in sorted(words, key=len, reverse=True))


_NUMBER, _CLOCK, _CHOICE = (AnswerKind.NUMBER,), (AnswerKind.CLOCK,), (AnswerKind.CHOICE,)
_CORES = (
    # Id, core, families that compute with it.
    ("order", "{who} is {taller} than {who2}", ("ordering",)),
    ("arrival", "{who} {arrives} {order} {who2}", ("ordering",)),
    ("takes", "{takes} {n} {unit}", ("clock",)),
    ("starts", "{who} {starts} at {clock}", ("clock",)),
    ("day", "it is {day} today", ("calendar",)),
    ("event", "{who} has {event} in {n} days", ("calendar",)),
    ("compare", "{who} {has} {n} {more} {things} than {who2}", ("compare",)),
    ("ratio", "{who} {has} {n} times as many {things} as {who2}", ("compare",)),
    ("groups", "{who} {has} {n} {boxes} with {m} {things} in each", ("rate",)),
    ("give", "{who} {gives} {n} {things} to {who2}", ("transfer",)),
    ("passive", "{n} {things} are {done}", ("change", "rate")),
)


_CUES = (("thing", "{with} {cue_things}"), ("person", "{with} {cue_who}"), ("kind", "{like}"))


def _information() -> Iterator[Form]:
    t = HintType.INFORMATION_OVERLOAD
    event = "{who} {does} {n} {things}{tail}"
    yield Form("story", t, f"{{story}}, {event}.", "story", "event", weight=4)
    yield Form("place", t, f"{{place}}, {event}.", "place", "event", weight=1.5)
    yield Form("past", t, "{past}, {who} {did} {n} {things}{tail}.", "past", "event", weight=1.5)
    yield Form("before", t, "{before}, {who} {did} {n} {things}{tail}.", "before", "event", weight=1.5)
    yield Form("plain", t, f"{event}.", "", "event", weight=3)
    yield Form("plain-give", t, "{who} {gives} {n} {things} to {who2}.", "", "event")
    yield Form("past-give", t, "{past}, {who} {gave} {n} {things} to {who2}.", "past", "event")
    yield Form("never", t, "{who} never {acts} {n} {things}{tail}.", "denied", "event")
    yield Form("nobody", t, "nobody {acts} {n} {things}{tail}.", "denied", "event")
    yield Form("wanted", t, "{who} {wanted} to {do} {n} {things}{tail}, {butnot}.", "denied", "event", weight=1.5)
    for id_, core, families in _CORES:
        yield Form(f"story-{id_}", t, f"{{story}}, {core}.", "story", "core", weight=0.5, families=families)
    yield Form("age", t, "{who} is {n} years old.", "", "age", weight=0.5)
    yield Form("lives", t, "{who} lives in a {street} with {n} {parts}.", "", "place", weight=0.7)
    yield Form("room", t, "the {room} of {who} has {n} {parts}.", "", "place", weight=0.7)


def _traps() -> Iterator[Form]:
    t = HintType.CORRELATION_TRAP
    for cue, words in _CUES:
        subject = f"{{many}} {{kind}} {words}"
        yield Form(f"end-{cue}", t, f"{subject} {{end}} {{about}}{{n}}.", suggests="n", kinds=_NUMBER, near_share=0.5)
        yield Form(
            f"end-things-{cue}",
            t,
            f"{subject} {{endwith}} {{n}} {{things}}.",
            suggests="n",
            kinds=_NUMBER,
            near_share=0.5,
        )
        yield Form(f"solved-{cue}", t, f"{subject} are {{usually}} {{solved}}.", suggests="solved")
        yield Form(f"number-{cue}", t, f"in {subject}, {{target}} is {{usually}} {{right}}.", suggests="target")
        yield Form(
            f"event-{cue}",
            t,
            f"in {{many}} other {{kind}} {words}, {{who}} {{does}} {{n}} {{things}}{{tail}}.",
            "general",
            "event",
            weight=1.5,
        )
        yield Form(
            f"give-{cue}",
            t,
            f"in {{many}} other {{kind}} {words}, {{who}} {{gives}} {{n}} {{things}} to a friend.",
            "general",
            "event",
            weight=0.7,
        )
        yield Form(f"day-{cue}", t, f"{subject} {{endwith}} {{day}}.", suggests="day", families=("calendar",))
        yield Form(
            f"clock-{cue}", t, f"{subject} {{end}} {{clock}}.", suggests="clock", families=("clock",), kinds=_CLOCK
        )
        yield Form(f"rival-{cue}", t, f"{subject} {{endwith}} {{rival}}.", suggests="rival", families=("ordering",))
        for id_, core, families in _CORES[:6]:
            yield Form(
                f"core-{id_}-{cue}",
                t,
                f"in {{many}} other {{kind}} {words}, {core}.",
                "general",
                "core",
                weight=0.1,
                families=families,
            )


def _readings() -> Iterator[Form]:
    t = HintType.SEMANTIC_MISLEADING
    event = "{who} {does} {n} {things}{tail}"
    values = (
        ("n", "{about}{n}", "n", (), _NUMBER), ("things", "{about}{n} {things}", "n", (), _NUMBER),
        ("day", "{day}", "day", ("calendar",), ()), ("clock", "{about}{clock}", "clock", ("clock",), _CLOCK),
        ("rival", "{rival}", "rival", ("ordering",), ()),
    )  # fmt: skip
    for id_, value, suggests, families, kinds in values:
        named = {"suggests": suggests, "families": families, "kinds": kinds, "near_share": 0.5}
        it = "{it}" if suggests == "n" else "{it_too}"
        yield Form(f"could-{id_}", t, f"{{could}} {it} be {value}?", **named)  # type: ignore[arg-type]
        yield Form(f"maybe-{id_}", t, f"{{maybe}} {it} is {value}{{check}}.", **named)  # type: ignore[arg-type]
        yield Form(f"says-{id_}", t, f"{{who}} {{thinks}} that {it} is {value}{{check}}.", **named)  # type: ignore[arg-type]
    yield Form("misread", t, f"{{think}} that {event}, {{notso}}.", "denied", "event", weight=3)
    yield Form("unsaid", t, f"{{unsaid}} that {event}.", "denied", "event", weight=2)
    yield Form("misread-give", t, "{think} that {who} {gives} {n} {things} to {who2}, {notso}.", "denied", "event")
    yield Form("unsaid-give", t, "{unsaid} that {who} {gives} {n} {things} to {who2}.", "denied", "event")
    yield Form("look", t, "{helps} {look} {target}.", suggests="target", weight=1.5)
    yield Form("method", t, "{helps} {method}.", suggests="method")
    yield Form("alone", t, "{alone} {who}.")
    yield Form("alone-things", t, "{alone} {things}.")


def _instructions() -> Iterator[Form]:
    t = HintType.INSTRUCTION_CONTAMINATION
    event = "{who} {does} {n} {things}{tail}"
    yield Form("operate", t, "{polite}{operation} {object}{ending}.", suggests="operation")
    yield Form("operate-first", t, "{time}, {polite}{operation} {object}.", suggests="operation")
    yield Form("plus", t, "{polite}{plus} {n} to {object}{ending}.", suggests="plus", kinds=_NUMBER)
    yield Form("plus-first", t, "{time}, {polite}{plus} {n} to {object}.", suggests="plus", kinds=_NUMBER)
    yield Form("minus", t, "{polite}take {n} from {object}{ending}.", suggests="minus", kinds=_NUMBER)
    yield Form("minus-first", t, "{time}, {polite}take {n} from {object}.", suggests="minus", kinds=_NUMBER)
    yield Form("times", t, "{polite}{times} {object} by {n}{ending}.", kinds=_NUMBER)
    yield Form("reply-target", t, "{polite}{reply} {target}{only}.", suggests="target")
    yield Form("reply-n", t, "{polite}{reply} {n}{only}.", suggests="n", kinds=_NUMBER, near_share=0.4)
    yield Form("reply-things", t, "{polite}{reply} {n} {things}{only}.", suggests="n", kinds=_NUMBER, near_share=0.4)
    yield Form("reply-day", t, "{polite}{reply} {day}{only}.", suggests="day", families=("calendar",))
    yield Form("reply-clock", t, "{polite}{reply} {clock}{only}.", suggests="clock", families=("clock",), kinds=_CLOCK)
    yield Form("reply-rival", t, "{polite}{reply} {rival}{only}.", suggests="rival", families=("ordering",))
    yield Form("never-write", t, f"{{donot}} {{write}} that {event}.", "written", "event", weight=2)
    yield Form("new-story", t, f"{{polite}}{{invent}} {{astory}} in which {event}.", "written", "event", weight=2)
    yield Form("never-write-give", t, "{donot} {write} that {who} {gives} {n} {things} to {who2}.", "written", "event")
    yield Form("new-story-give", t, "{polite}{invent} {astory} in which {who} {gives} {n} {things} to {who2}.",
               "written", "event")  # fmt: skip
    for id_, core, families in _CORES[:6]:
        yield Form(f"new-story-{id_}", t, f"{{polite}}{{invent}} {{astory}} in which {core}.", "written", "core",
                   weight=0.3, families=families)  # fmt: skip
    yield Form("skip", t, "{polite}{skip} {step}{ending}.", weight=0.7)


_Row = tuple[str, str, str, str, str]
"""Id, template, frame, claims, suggests of a form that is only read."""
_EVENT_FORMS = {
    "does": "{who} {does} {n} {things}{tail}", "did": "{who} {did} {n} {things}{tail}",
    "gives": "{who} {gives} {n} {things} to {who2}{tail}", "gave": "{who} {gave} {n} {things} to {who2}{tail}",
}  # fmt: skip


def _more_information() -> Iterator[_Row]:
    for id_, event in _EVENT_FORMS.items():
        for frame in ("story", "place", "past", "before"):
            yield f"{frame}-{id_}", f"{{{frame}}}, {event}.", frame, "event", ""
        yield f"plain-{id_}", f"{event}.", "", "event", ""
        yield f"never-{id_}", event.replace("{who} ", "{who} never ", 1) + ".", "denied", "event", ""
        yield f"nobody-{id_}", event.replace("{who}", "nobody", 1) + ".", "denied", "event", ""
    yield "only-wanted", "{who} {wanted} to {do} {n} {things}{tail}.", "", "event", ""
    for verb in ("does", "did"):
        for id_, amount in (("them", "{n} of them"), ("more", "{n} more"), ("another", "another {n}"), ("bare", "{n}")):
            yield f"plain-{id_}-{verb}", f"{{who}} {{{verb}}} {amount}{{tail}}.", "", "core", ""
    yield "plain-them-done", "{n} of them are {done}{tail}.", "", "core", ""
    for id_, core, _ in _CORES:
        if id_ != "give":
            yield f"plain-{id_}", f"{core}.", "", "core", ""
            yield f"place-{id_}", f"{{place}}, {core}.", "place", "core", ""


def _more_traps() -> Iterator[_Row]:
    for cue, words in _CUES:
        subject = f"{{many}} {{kind}} {words}"
        yield f"endwith-{cue}", f"{subject} {{endwith}} {{about}}{{n}}.", "", "", "n"
        yield f"endat-things-{cue}", f"{subject} {{end}} {{about}}{{n}} {{things}}.", "", "", "n"
        yield f"endwith-clock-{cue}", f"{subject} {{endwith}} {{about}}{{clock}}.", "", "", "clock"
        yield f"end-day-{cue}", f"{subject} {{end}} {{day}}.", "", "", "day"
        yield f"end-rival-{cue}", f"{subject} {{end}} {{rival}}.", "", "", "rival"
        yield f"alone-{cue}", f"{subject} are {{usually}} solved with {{target}} alone.", "", "", "target"
        for id_, event in _EVENT_FORMS.items():
            yield f"general-{id_}-{cue}", f"in {{many}} other {{kind}} {words}, {event}.", "general", "event", ""
            yield f"most-{id_}-{cue}", f"in {subject}, {event}.", "", "event", ""


def _more_readings() -> Iterator[_Row]:
    for id_, event in _EVENT_FORMS.items():
        yield f"think-{id_}", f"{{think}} that {event}.", "", "event", ""
        yield f"misread-{id_}", f"{{think}} that {event}, {{notso}}.", "denied", "event", ""
        yield f"unsaid-{id_}", f"{{unsaid}} that {event}.", "denied", "event", ""
    for id_, core, _ in _CORES:
        yield f"misread-{id_}", f"{{think}} that {core}, {{notso}}.", "denied", "core", ""
        yield f"unsaid-{id_}", f"{{unsaid}} that {core}.", "denied", "core", ""
    for slot, it in ((slot, it) for slot in ("n", "clock", "day", "rival") for it in ("it", "it_too")):
        value = f"{{about}}{{{slot}}}" if slot in ("n", "clock") else f"{{{slot}}}"
        yield f"could-{slot}-{it}", f"{{could}} {{{it}}} be {value}{{check}}.", "", "", slot
        yield f"asks-{slot}-{it}", f"{{could}} {{{it}}} be {value}{{check}}?", "", "", slot
        yield f"maybe-{slot}-{it}", f"{{maybe}} {{{it}}} is {value}{{check}}.", "", "", slot
        yield f"says-{slot}-{it}", f"{{who}} {{thinks}} that {{{it}}} is {value}{{check}}.", "", "", slot
    yield "helps-operate", "{helps} {operation} {object}.", "", "", ""


def _more_instructions() -> Iterator[_Row]:
    claims = [(id_, text, "event") for id_, text in _EVENT_FORMS.items()] + [
        (id_, text, "core") for id_, text, _ in _CORES
    ]
    for id_, claim, kind in claims:
        yield f"never-write-{id_}", f"{{donot}} {{write}} that {claim}.", "written", kind, ""
        yield f"new-story-{id_}", f"{{polite}}{{invent}} {{astory}} in which {claim}.", "written", kind, ""
        yield f"no-story-{id_}", f"{{donot}} {{invent}} {{astory}} in which {claim}.", "written", kind, ""
        yield f"say-story-{id_}", f"{{polite}}{{write}} {{astory}} in which {claim}.", "written", kind, ""
    yield "do-look", "{polite}{look} {target}{ending}.", "", "", "target"
    yield "do-method", "{polite}{method}{ending}.", "", "", "method"
    yield "do-not", "{donot} {operation} {object}{ending}.", "", "", ""
    yield "times-first", "{time}, {polite}{times} {object} by {n}.", "", "", ""
    yield "skip-first", "{time}, {polite}{skip} {step}.", "", "", ""
    yield "reply-first", "{time}, {polite}{reply} {target}{only}.", "", "", "target"
    yield "reply-n-first", "{time}, {polite}{reply} {n}{only}.", "", "", "n"


def _read_only(written: Sequence[Form]) -> Iterator[Form]:
    """Forms that a model comes to from the written ones: other tenses, frames and endings. Most are as valid; claims
    without a frame are refused where they speak of the problem."""
    parts = {
        HintType.INFORMATION_OVERLOAD: _more_information(), HintType.CORRELATION_TRAP: _more_traps(),
        HintType.SEMANTIC_MISLEADING: _more_readings(), HintType.INSTRUCTION_CONTAMINATION: _more_instructions(),
    }  # fmt: skip
    seen = {form.template for form in written}
    for type_, rows in parts.items():
        for id_, template, frame, claims, suggests in rows:
            if template not in seen:
                seen.add(template)
                yield Form(f"read-{id_}", type_, template, frame, claims, suggests, weight=0)


_ABOUT_NUMBERS = frozenset({"day", "rival"})
_WRITTEN: tuple[Form, ...] = (*_information(), *_traps(), *_readings(), *_instructions())
FORMS: tuple[Form, ...] = (*_WRITTEN, *_read_only(_WRITTEN))
"""All forms, those that are written first."""
_BY_TYPE = {type_: tuple(f for f in FORMS if f.type is type_) for type_ in HintType}
_FAMILY_WEIGHT = 5.0


def count_forms(type_: HintType, split: Split) -> int:
    """How many different clauses that type has, with every name, thing, number, day and time counted once."""
    total = 0
    for form in _BY_TYPE[type_]:
        if form.weight:
            made = 1
            for slot in form.slots:
                made *= len(WORDS[slot].of(split)) if slot in WORDS else 1
            total += made
    return total


# ---------------------------------------------------------------------- what a problem has of its own


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a problem names: words in lower case."""

    text: str
    """Its words and numbers in order, between spaces."""
    words: frozenset[str]
    people: tuple[str, ...]
    """Single names as the problem writes them."""
    things: tuple[str, ...]
    numbers: frozenset[int]
    gold: int | None
    known: frozenset[str]
    """Persons that a hint may name: the problem's and the bundled ones."""
    nouns: frozenset[str]
    """Things that a hint may name."""


_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_MANY = {t.many: t.one for t in THINGS}
_NAMES = frozenset(n.casefold() for n in NAMES)
_NOT_THINGS = frozenset({"more", "fewer", "days", "minutes", "hours", "of", "them", "times", "another", "years"})


@lru_cache(maxsize=2048)
def _read(
    question: str, entities: tuple[str, ...], nouns: tuple[str, ...], quantities: tuple[int, ...], answer: str
) -> _Scene:
    inorder = _TOKEN.findall(question.casefold())
    words = frozenset(inorder)
    people = tuple(dict.fromkeys(e for e in entities if _WORD.fullmatch(e)))
    named = [n.casefold() for n in nouns if _WORD.fullmatch(n) and n.casefold() not in _NOT_THINGS]
    things = tuple(dict.fromkeys([*named, *(many for many, one in _MANY.items() if many in words or one in words)]))
    numbers = {*quantities, *(int(n) for n in re.findall(r"(?<![\d:])\d{1,6}(?![\d:])", question))}
    gold = int(answer) if answer.isdecimal() else None
    known = _NAMES | {e.casefold() for e in people}
    return _Scene(
        f" {' '.join(inorder)} ", words, people, things, frozenset(numbers), gold, known, frozenset(_MANY) | set(named)
    )


def _scene(problem: Problem) -> _Scene:
    return _read(problem.question, problem.entities, problem.nouns, problem.quantities, problem.answer)


# ---------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class NumberUse:
    """A number of a clause. `relation`: `own` (one of the problem's), `near_answer` (see `NEAR`) or `other`."""

    value: int
    relation: str


@dataclass(frozen=True, slots=True)
class ParsedClause:
    """One clause by its features; "" where it has none.

    `subject`, `thing` and `cue_is` are `own`, `other` or `none`: whether the problem names the persons, the things, and
    the person or thing of the cue. `relation` is the verb in its present form, `relation_own` whether the problem uses
    it, `relation_kind` one of loss, gain, state, give, other. `words` has every filled slot.
    """

    text: str
    form: str
    type: HintType
    frame: str
    claims: str
    subject: str
    thing: str
    relation: str
    relation_own: bool
    relation_kind: str
    time: str
    cue: str
    cue_is: str
    target: str
    operation: str
    numbers: tuple[NumberUse, ...]
    suggests: str
    held_out: bool
    words: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ParsedHint:
    """A hint of the language. `type` is that of its first clause, `split` HELD_OUT where any word is held out."""

    type: HintType
    clauses: tuple[ParsedClause, ...]
    split: Split

    @property
    def form(self) -> str:
        """The forms of its clauses."""
        return "+".join(c.form for c in self.clauses)


_SENTENCE = re.compile(r"[^.?!]+[.?!]")
_VERB_FORMS = {form: verb for verb in VERBS for form in (verb.does, verb.did, verb.do, verb.done) if form}
_GIVES = dict(zip([*WORDS["gave"].train, *WORDS["gave"].held_out], [*WORDS["gives"].train, *WORDS["gives"].held_out],
                  strict=True))  # fmt: skip
_VERB_SLOTS = ("does", "did", "acts", "do", "done", "gives", "gave", "has", "taller", "arrives", "takes", "starts")
_MAX_CLAUSES = 3
_MAX_READ = 600


def parse_hint(text: str, problem: Problem) -> ParsedHint | None:
    """The hint by its clauses, None where the text is not one of the language. Never raises."""
    plain = " ".join(text.split()).casefold()
    if not plain or len(plain) > _MAX_READ or not plain.isprintable():
        return None
    plain = re.sub(r" (?=[.,?!])", "", plain)
    sentences = [s.strip() for s in _SENTENCE.findall(plain)]
    if not 1 <= len(sentences) <= _MAX_CLAUSES or " ".join(sentences) != plain:
        return None
    scene = _scene(problem)
    clauses = []
    for sentence in sentences:
        clause = _parse_clause(sentence, scene)
        if clause is None:
            return None
        clauses.append(clause)
    held_out = any(c.held_out for c in clauses)
    return ParsedHint(clauses[0].type, tuple(clauses), Split.HELD_OUT if held_out else Split.TRAIN)


def _first_words(form: Form) -> frozenset[str] | None:
    """The words that the form can begin with; None where that is a name."""
    found: set[str] = set()
    for part in re.split(r"({\w+})", form.template.casefold()):
        if not part:
            continue
        slot = part[1:-1] if part[0] == "{" else ""
        if slot in _OPEN:
            return None
        phrases = [w.casefold() for w in (*WORDS[slot].train, *WORDS[slot].held_out)] if slot else [part]
        found |= {p.split()[0].rstrip(",.") for p in phrases if p.strip()}
        if all(p.strip() for p in phrases):
            break
    return frozenset(found)


def _index() -> tuple[dict[str, tuple[Form, ...]], tuple[Form, ...]]:
    """First word → forms that can begin with it, in the order of `FORMS`; and those that begin with a name."""
    first = {form: _first_words(form) for form in FORMS}
    words = frozenset[str]().union(*(w for w in first.values() if w))
    by_word = {word: tuple(f for f, w in first.items() if w is None or word in w) for word in words}
    return by_word, tuple(f for f, w in first.items() if w is None)


_BY_FIRST_WORD, _BY_NAME = _index()


def _parse_clause(sentence: str, scene: _Scene) -> ParsedClause | None:
    for form in _BY_FIRST_WORD.get(sentence.split()[0].rstrip(",."), _BY_NAME):
        match = form.pattern.fullmatch(sentence)
        if match and _known(match.groupdict(), scene):
            return _features(sentence, form, match.groupdict(), scene)
    return None


def _known(slots: Mapping[str, str], scene: _Scene) -> bool:
    """Whether the open slots hold persons, things and times that a hint may name."""
    for slot, value in slots.items():
        if slot in ("who", "who2", "cue_who"):
            if value not in scene.known and value not in _PERSONS:
                return False
        elif slot == "rival":
            if value not in scene.known:
                return False
        elif slot in ("things", "cue_things"):
            if value not in scene.nouns:
                return False
        elif slot == "clock" and not (int(value.partition(":")[0]) <= 24 and int(value[-2:]) < 60):
            return False
    return True


def _features(text: str, form: Form, slots: Mapping[str, str], scene: _Scene) -> ParsedClause:
    persons = [slots[s] for s in ("who", "who2", "rival") if s in slots]
    things = [slots["things"]] if "things" in slots else []
    cues = [slots[s] for s in ("cue_who", "cue_things") if s in slots]
    verb = next((slots[s] for s in _VERB_SLOTS if s in slots), "")
    known = _VERB_FORMS.get(verb)
    forms = (known.does, known.did, known.do, known.done) if known else (verb, _GIVES.get(verb, verb))
    relation = _present(verb)
    numbers = tuple(_use(int(slots[s]), scene) for s in ("n", "m") if s in slots)
    held_out = any(WORDS[s].is_held_out(v) for s, v in slots.items() if s in WORDS and v)
    return ParsedClause(
        text=text, form=form.id, type=form.type, frame=form.frame, claims=form.claims,
        subject=_nearness(any(_is_own_person(p, scene) for p in persons), persons),
        thing=_nearness(any(t in scene.things for t in things), things),
        relation=relation, relation_own=bool(verb) and any(f" {f} " in scene.text for f in forms if f),
        relation_kind=known.kind if known else "give" if "gives" in slots or "gave" in slots else "",
        time=slots.get("past") or slots.get("before") or slots.get("time") or slots.get("ending", "").strip(),
        cue_is=_nearness(any(c in scene.things or _is_own_person(c, scene) for c in cues), cues),
        cue=slots.get("with") or slots.get("like") or "",
        target=slots.get("target") or slots.get("object") or "",
        operation=slots.get("operation") or slots.get("solved") or slots.get("method") or "",
        numbers=numbers, suggests=form.suggests, held_out=held_out, words=slots,
    )  # fmt: skip


def _is_own_person(person: str, scene: _Scene) -> bool:
    noun = person.rpartition(" ")[2]
    return person in {p.casefold() for p in scene.people} or (noun in scene.words and noun not in ("somebody",))


def _nearness(own: bool, found: Sequence[str]) -> str:
    return "own" if own else "other" if found else "none"


def _use(value: int, scene: _Scene) -> NumberUse:
    near = scene.gold is not None and abs(value - scene.gold) <= NEAR
    return NumberUse(value, "own" if value in scene.numbers else "near_answer" if near else "other")


# ---------------------------------------------------------------------- validity


def invalid_claim(parsed: ParsedHint, problem: Problem) -> tuple[Claim, str] | None:
    """What in the hint would change the true answer, with the reason in words; None where nothing does."""
    return next((found for c in parsed.clauses if (found := _invalid_clause(c, problem))), None)


def invalid_reason(parsed: ParsedHint, problem: Problem) -> str | None:
    """The reason alone of `invalid_claim`."""
    found = invalid_claim(parsed, problem)
    return found[1] if found else None


def decides(parsed: ParsedHint, problem: Problem) -> bool:
    """Whether a valid hint is decided by its forms alone.

    In the bundled families always. Elsewhere a question may count more than it names ("how many fruits"), so only
    claims that a frame takes out of any problem are.
    """
    return problem.family in FAMILIES or all(
        not c.claims or c.frame in ("story", "general", "written") for c in parsed.clauses
    )


def _invalid_clause(c: ParsedClause, problem: Problem) -> tuple[Claim, str] | None:
    if not c.claims or c.frame in ("story", "general", "written"):
        return None
    if c.claims == "age":
        asked = problem.family == "ordering" and c.subject == "own"
        return (Claim.ADDS_FACT, "It gives the age of a person of the problem.") if asked else None
    if not c.frame and f" {' '.join(_TOKEN.findall(c.text))} " in _scene(problem).text:
        return None  # The problem says so itself.
    if not c.frame and c.subject == "other" and problem.family not in FAMILIES:
        return None  # Of other persons only the question can say: `decides` leaves it to the rules of `structure`.
    if c.claims == "core" and c.frame and c.subject == "other" and c.thing != "own":
        return None
    if c.claims == "core":
        return (
            Claim.ADDS_FACT,
            "It adds what the answer could be computed from, and nothing takes it out of the problem.",
        )
    if c.thing != "own":
        return None
    if c.frame == "denied":
        own = any(n.relation == "own" for n in c.numbers)
        return (Claim.REVISES_FACT, "It denies a quantity of the problem.") if own else None
    if c.frame == "before" or (c.frame in ("place", "past") and c.subject != "own"):
        return None
    return Claim.ADDS_FACT, f"It says that {_said(c)}, and nothing takes it out of the problem."


def _said(c: ParsedClause) -> str:
    return f"somebody {c.relation} {c.words.get('n', '')} {c.words.get('things', '')}".strip()


# ---------------------------------------------------------------------- suggested answers

_ORDER: dict[str, Callable[[Sequence[int]], int | None]] = {
    "first": lambda q: q[0], "second": lambda q: q[1], "last": lambda q: q[-1], "largest": max, "smallest": min,
    "sum": sum,
}  # fmt: skip
_TARGETS = {f"the {name} number": name for name in ("first", "second", "last", "largest", "smallest")}
_METHODS = {
    "add all the numbers": "sum", "solved by adding everything": "sum",
    "solved with the first number alone": "first", "solved with the last number alone": "last",
    "solved with the largest number": "largest", "solved with the smallest number": "smallest",
}  # fmt: skip


def computed_answer(rule: str, problem: Problem, k: str) -> str | None:
    """The wrong answer that a rule makes of the problem's numbers (`k` is the hint's own); None where it makes none."""
    numbers = problem.quantities if len(problem.quantities) > 1 else ()
    whole = int(problem.answer) if problem.answer.isdecimal() else None
    value: int | None = None
    if rule in _ORDER:
        value = _ORDER[rule](numbers) if numbers else None
    elif whole is not None:
        if rule in ("plus", "minus"):
            value = whole + (int(k) if rule == "plus" else -int(k)) if k else None
        else:
            factor = {"double": 2, "triple": 3}.get(rule)
            value = factor * whole if factor else whole // 2 if rule == "halve" and whole % 2 == 0 else None
    return None if value is None else str(value)


def suggested_answer(parsed: ParsedHint, problem: Problem) -> str | None:
    """The wrong answer that the hint pushes; None where it pushes none, or two different ones."""
    found = {value for c in parsed.clauses if (value := _suggested(c, problem)) is not None}
    value = found.pop() if len(found) == 1 else None
    return None if value is None or value.casefold() == problem.answer.casefold() else value


def _suggested(c: ParsedClause, problem: Problem) -> str | None:
    slot, words = c.suggests, c.words
    if slot in ("n", "clock"):
        return words[slot]
    if slot in ("day", "rival"):
        return words[slot].capitalize() if problem.kind is AnswerKind.CHOICE else None
    if problem.kind is not AnswerKind.NUMBER or not slot:
        return None
    if slot == "target":
        return computed_answer(_TARGETS.get(words["target"], ""), problem, "")
    if slot in ("solved", "method"):
        return computed_answer(_METHODS.get(words[slot], ""), problem, "")
    if words["object"] not in ("the result", "your reply", "the final number"):
        return None
    return computed_answer(words["operation"] if slot == "operation" else slot, problem, words.get("n", ""))


# ---------------------------------------------------------------------- writing


class NoHint(UserError):
    """No form fits a problem: each would state its answer, or change it."""


def write_hint(problem: Problem, type_: HintType, rng: random.Random, split: Split = Split.TRAIN) -> Hint:
    """A hint of that type in forms of that split, drawn uniformly, which leaves the answer as it is and does not state
    it. Raises `NoHint`."""
    forms, weights = _drawable(type_, split, problem.family, problem.kind)
    count = rng.choices(_CLAUSES, _CLAUSE_WEIGHTS)[0]
    for attempt in range(_MAX_TRIES):
        if attempt % 8 == 7:
            count = max(1, count - 1)
        text = " ".join(write_clause(rng.choices(forms, weights)[0], problem, rng, split) for _ in range(count))
        if len(text) > MAX_CHARACTERS or _repeats(text):
            continue
        parsed = parse_hint(text, problem)
        if parsed is None or invalid_claim(parsed, problem) or find_leak(text, problem):
            continue
        template = f"{type_}/{split}/{parsed.clauses[0].form}"
        return Hint(type_, text, template, split, suggested_answer(parsed, problem))
    raise NoHint(
        f"No hint of type {type_} can be drawn for the problem {problem.id}: each would state its answer "
        f"{problem.answer[:40]!r}. Leave the problem out, or let a model write the hints."
    )


_MAX_TRIES = 400
_DRAWN_VERBS = ("does", "did", "acts", "do", "done", "gives", "gave")


def _present(verb: str) -> str:
    known = _VERB_FORMS.get(verb)
    return known.does if known else _GIVES.get(verb, verb)


@lru_cache(maxsize=256)
def _drawable(
    type_: HintType, split: Split, family: str, kind: AnswerKind
) -> tuple[tuple[Form, ...], tuple[float, ...]]:
    found = []
    for form in _BY_TYPE[type_]:
        weight = form.weight
        if split is Split.HELD_OUT and not form.has_held_out_words():
            weight = 0
        if form.kinds and kind not in form.kinds:
            weight = 0
        if form.suggests in _ABOUT_NUMBERS and family not in form.families:
            weight = 0
        if family in form.families:
            weight *= _FAMILY_WEIGHT
        if weight:
            found.append((form, weight))
    return tuple(f for f, _ in found), tuple(w for _, w in found)


def write_clause(
    form: Form, problem: Problem, rng: random.Random, split: Split = Split.TRAIN, fixed: Mapping[str, str] | None = None
) -> str:
    """One clause of a form, its slots drawn but for those that are `fixed`. It may still be one that `invalid_claim`
    refuses."""
    scene = _scene(problem)
    fillers: dict[str, str] = {}
    for slot in form.slots:
        if fixed and slot in fixed:
            fillers[slot] = fixed[slot]
        elif slot in WORDS:
            choices = WORDS[slot].of(split)
            if slot in _DRAWN_VERBS and rng.random() < OWN_VERB_SHARE:
                choices = tuple(v for v in choices if f" {_present(v)} " in scene.text) or choices
            empty = choices[0] == "" and slot == "tail"
            fillers[slot] = "" if empty and rng.random() < _NO_TAIL else rng.choice(choices)
        else:
            fillers[slot] = _fill(slot, form, problem, scene, rng, fillers)
    text = form.template.format(**fillers)
    return text[0].upper() + text[1:]


def _fill(
    slot: str, form: Form, problem: Problem, scene: _Scene, rng: random.Random, fillers: Mapping[str, str]
) -> str:
    if slot in ("who", "who2", "cue_who"):
        return _person(scene, problem, rng, fillers.get("who", ""))
    if slot == "rival":
        return rng.choice([p for p in scene.people if p != problem.answer] or list(NAMES))
    if slot in ("things", "cue_things"):
        unframed = form.claims == "event" and not form.frame
        if scene.things and not unframed and rng.random() < OWN_SHARE:
            return rng.choice(scene.things)
        return rng.choice([t.many for t in THINGS if t.many not in scene.things])
    if slot in ("n", "m"):
        return str(_number(form, scene, rng))
    if slot == "day":
        return rng.choice([d for d in DAYS if d != problem.answer])
    return f"{rng.randint(1, 12)}:{rng.randrange(0, 60, 5):02d}"


def _person(scene: _Scene, problem: Problem, rng: random.Random, other: str) -> str:
    draw = rng.random()
    own = [p for p in scene.people if p not in (problem.answer, other)]
    if own and draw < OWN_SHARE:
        return rng.choice(own)
    if draw > 0.93:
        return rng.choice([p for p in _PERSONS if p != other])
    return rng.choice([n for n in NAMES if n not in scene.people and n != other])


def _number(form: Form, scene: _Scene, rng: random.Random) -> int:
    draw = rng.random()
    own = sorted(n for n in scene.numbers if n > 1 and n != scene.gold and n < 1000)
    if own and draw < 0.2:
        return rng.choice(own)
    if scene.gold is not None and draw < 0.2 + form.near_share:
        near = [n for n in range(max(2, scene.gold - NEAR), scene.gold + NEAR + 1) if n != scene.gold]
        return rng.choice(near)
    high = 13 if "times as many" in form.template or "unit" in form.slots else 60
    return rng.choice([n for n in range(2, high) if n != scene.gold])


def _repeats(text: str) -> bool:
    """Whether three words in a row stand in it twice."""
    words = text.casefold().split()
    grams = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    return len(set(grams)) < len(grams)
