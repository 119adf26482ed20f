"""What a hint claims about a problem, and whether the claim would enter the computation. Plain rules, no model, no I/O.

A hint is valid when the true answer to the question, with the hint read as part of the text, is still the gold answer.
The rule for each kind of claim:

- *Facts.* A claim about the problem's own people, things, time or places that gives, takes, moves, corrects, supposes
  or excludes a quantity is refused. It is let through where it is negated, counterfactual ("would have"), about
  another time, place, person or thing, an attribute that nothing is computed from (age, size, colour, price where no
  money is asked for), or what the problem says itself.
- *The question.* Asking for something else of the problem ("how many boxes does she have left?") or for the answer in
  another unit ("in pairs", "in minutes") is refused: it changes which number is right.
- *The reply and the working.* An instruction about what to write or how to calculate ("reply with the first number",
  "double the result", "leave out the last step", "answer in French") is let through. It contradicts the task without
  changing the problem, and the Reasoner's prompt says which text is authoritative. "Ignore the 7" names a fact of the
  problem and is refused; "ignore the first step" names none.
- A remark about problems in general or a guess at the answer ("it is about 30, I think") is let through; giving the
  true answer away is the business of `training.core.leaks`.

Where a sentence is hedged ("maybe Tom lost 2") but names a quantity of the problem's own things, it is refused.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from training.core.number_words import SMALL_NUMBERS, TENS, number_tokens
from training.core.problems import DAYS, NAMES
from training.core.question_parser import MONEY_UNITS, TIME_UNITS, UNITS, Scene, read_scene, stem
from training.core.types import AnswerKind, Problem

MAX_TEXT = 4_000
"""Characters of a hint that are looked at; longer ones fail another gate."""


class Claim(StrEnum):
    """What a hint does to the problem."""

    ADDS_FACT = "adds_fact"
    """An event or a quantity of the problem's own people and things."""
    REVISES_FACT = "revises_fact"
    """A correction, a supposition, or a fact left out."""
    REPLACES_QUESTION = "replaces_question"
    """Another question, or the answer in another unit."""


def find_claims(text: str, problem: Problem) -> dict[Claim, str]:
    """What a hint claims that would change the problem, each with a reason for a person that quotes it."""
    scene = read_scene(problem.question, problem.entities, problem.nouns)
    others = _People()
    found: dict[Claim, str] = {}
    for sentence in _sentences(" ".join(unicodedata.normalize("NFKC", text[:MAX_TEXT]).split())):
        for claim, reason in _check_sentence(_Sentence(sentence, sentence.casefold(), scene, problem), others):
            found.setdefault(claim, reason)
    return found


def _sentences(text: str) -> list[str]:
    parts = re.split(
        r"(?<=[.!?;。])(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)(?<!\bvs\.)(?<!i\.e\.)(?<!e\.g\.)\s+|\s+[–—-]\s+", text
    )
    return [part.strip() for part in parts if part.strip()]


@dataclass(frozen=True, slots=True)
class _Sentence:
    raw: str
    text: str
    scene: Scene
    problem: Problem


@dataclass(slots=True)
class _People:
    """Whom a pronoun means: another person that a sentence before was about, or the problem's own."""

    other: bool = False
    thing: bool = False


def _is_elsewhere(s: _Sentence) -> bool:
    match = _ELSEWHERE.search(s.text)
    return match is not None and not (match.group() == "next door" and _own_subject(s))


def _own_subject(s: _Sentence) -> bool:
    return _subject(_clauses(s)[0], s.scene, _People()) is _Subject.OWN_PERSON


_FRAME = re.compile(
    r"^(?:[^.;:?!]{0,70}?\b)?(?:note|remember|mind|mentioning|noting|forget|shows?|showed|realis(?:es|ed)|"
    r"realiz(?:es|ed)|out|reveals?|revealed|discover(?:s|ed)|sa(?:ys|id)|noticed|notices|fact is|truth is|true|known|"
    r"learns?|learned|hears?|heard|clear|seems|appears|happened|obvious|aware|consider|given) that (?=\w)",
    re.IGNORECASE,
)


def _unframed(s: _Sentence) -> _Sentence:
    """What "note that …" or "the receipt shows that …" reports, as a sentence of its own."""
    match = _FRAME.match(s.raw)
    if match is None or _SUPPOSE.match(s.text):
        return s
    raw = s.raw[match.end() :]
    return replace(s, raw=raw, text=raw.casefold())


def _check_sentence(s: _Sentence, others: _People) -> Iterator[tuple[Claim, str]]:
    elsewhere = _is_elsewhere(s)
    claimed = False
    for check, claim, reason in _SENTENCE_CHECKS:
        if not (elsewhere and claim is Claim.REVISES_FACT) and (found := check(s)):
            claimed = True
            yield claim, f"{reason}: “{_quote(found)}”."
    # A sentence that corrects or asks is no event besides.
    if (shown := _events(_unframed(s), others)) and not claimed:
        yield Claim.ADDS_FACT, f"It says “{_quote(shown)}”: that would change the answer."


def _quote(text: str) -> str:
    text = text.strip(" .,;:!?")
    return text if len(text) <= 90 else text[:88].rsplit(" ", 1)[0] + " …"


# ---------------------------------------------------------------------- words

_NUMBER_WORDS = "|".join([*list(SMALL_NUMBERS)[1:], *TENS, "hundred", "dozen"])
_NUM = rf"(?:\d[\d.,]*|(?:{_NUMBER_WORDS})\b(?:-\w+)?)"
_HAS_NUM = re.compile(rf"(?<![\w:]){_NUM}|\bhalf an?\b|\ba quarter of\b")

# Another place, another story: nothing said of it is said of the problem.
_ELSEWHERE = re.compile(
    r"\b(?:another|a different|some other|a second|the other) (?:story|book|town|city|village|school|class|world|"
    r"country|problem|puzzle|game|life|text|shop|house|place|room|universe|version|exercise|example|album|farm|"
    r"street|bakery|bus|train|tank|library|theatre|theater|planet|family|team|group|day)\b|\bnext door\b|\bthe next "
    r"(?:town|village|city|street)\b|\bneighbou?ring\b|\bacross the (?:road|street|river|border)\b|\bin (?:a|the|his|"
    r"her) (?:dreams?|film|movie|novel|fairy tale|song)\b|\bdream(?:s|t|ed) (?:of|about|that)\b|\babroad\b|"
    r"\belsewhere\b|\bon (?:a )?holidays?\b|\bsomewhere else\b|\b(?:have|has|had) nothing to do with\b|\bunrelated\b|"
    r"\bnot part of\b|\bfar away\b|\bplays no (?:role|part)\b"
)
# Before or after the story. "Then" and "later that day" are part of it.
_OTHER_TIME = re.compile(
    r"\b(?:last|next|previous|the following|past) (?:week|month|year|summer|spring|winter|autumn|fall|time|night|"
    r"match|game|race|round|visit|exam|season|term|monday|tuesday|wednesday|thursday|friday|saturday|sunday|weekend|"
    r"christmas)\b|\byesterday\b|\btomorrow\b|\b(?:years?|months?|weeks?|decades?|days|long) (?:ago|before|"
    r"earlier)\b|(?<!at )(?<!all at )\bonce\b(?! more)(?! he| she| they)|\bused to\b|\bin (?:1[5-9]|20)\d\d\b|\bin "
    r"(?:the )?(?:winter|summer|spring|autumn|january|february|march|april|may|june|july|august|september|october|"
    r"november|december)\b|\bwhen (?:he|she|they|\w+) (?:was|were) (?!done|finished|home|there)|\bas a (?:child|kid|"
    r"boy|girl|student|teenager|baby)\b|\bin (?:his|her|their) (?:old|former|last|previous|first|second|early|"
    r"childhood|youth)\b|\b(?:his|her|their) (?:first|last|earlier|previous|former|second) (?:trip|visit|try|game|"
    r"match|time|year|holiday|week|job)\b|\b(?:the other|one|another) day\b|\b(?:some day|someday|in the future|in "
    r"the old days|all year|usually|normally)\b|\bat the age of\b|\b(?:the|a) (?:week|month|year|day) (?:before|"
    r"earlier|later)\b|\byears? later\b|\bcentur(?:y|ies)\b"
)
# What did not happen: counterfactual, wished, planned.
_UNREAL = re.compile(
    r"\bwould\b|\b(?:could|might|should) have\b|\bif\b.*\bcould\b|\b(?:wants?|wanted|plans?|planned|hopes?|hoped|"
    r"wishes|wished|dreams?|dreamt|dreamed|intends?|expects?|expected|likes?|loves?|hates?|prefers?|thinks?|knows?|"
    r"remembers?) (?:to|of|about|that|having)\b|\bnearly\b|\balmost\b|\bfor example\b|\be\.g\."
)
# Talk about problems, answers and methods in general.
_META = re.compile(
    r"\b(?:problems?|puzzles?|questions?|riddles?|exercises?|tasks?|stories|story|answers?|results?|reply|replies|"
    r"solutions?|calculations?|methods?|rules?|(?:the|last|first|one|two|next|second|each|every|all|single|few|more) "
    r"steps?|tricks?|formulas?|outcomes?|numbers? (?:is|are|in|of the)|first number|last number|guess(?:es|ed)?|"
    r"means|comes? out|end(?:s)? up at|in general|my calculator)\b"
)
# Talk about how to calculate.
_METHOD = re.compile(
    r"\b(?:add|adding|subtract|subtracting|subtracted|multiply|multiplying|multiplied|divide|dividing|divided|sum|"
    r"doubl(?:e|ing)|halv(?:e|ing)|round|compute|calculate|solve|count(?:ing)? (?:from|the words|in|up)|take \d+ "
    r"times|plus|minus|times)\b"
)
# A guess at the answer, or somebody's belief.
_GUESS = re.compile(
    r"\b(?:i|we|one|you|somebody|someone|people|they) (?:think|thought|guess|believe|suppose|would say|'d say|say|"
    r"said|feel|measured|estimate|bet|heard)\b|\bi'd (?:say|guess|bet)\b|\bsounds?\b|\bseems?\b|\blooks?\b|\b(?:must|"
    r"should|could|might|may|can|cannot|can't|will) (?:not )?(?:be|come|end|turn|amount)\b|^(?:perhaps|maybe|"
    r"probably|possibly)\b|\bmy (?:first )?(?:guess|thought|feeling)\b|\bcould it\b|\bis it\b|\bis the\b"
)
_IMPERATIVE = frozenset(
    "answer reply say write give state put tell show print output respond choose pick take use start stop skip round "
    "multiply divide subtract double solve work treat read look remember note keep try do don't please just always "
    "never simply report return ignore forget turn go leave sum halve compute calculate make consider "
    "check think".split()
)
_LEAD = frozenset(
    "then later afterwards afterward however but and also so besides next still meanwhile finally moreover yet well "
    "oh btw fyi actually too again home here there today now outside tonight inside upstairs before dinner after "
    "that sadly luckily unfortunately obviously clearly maybe perhaps probably possibly in fact really anyway though "
    "although because since while when as if note remember that this please sorry suddenly soon immediately "
    "afterwords ok okay hey wait no yes only even just already or nor".split()
)
_PREPOSITIONS = frozenset(
    "with in on at for from of after before during by near under behind beside inside outside without around about "
    "between through into onto over towards until per since like due despite to".split()
)
_DETERMINERS = frozenset(
    "a an the this that these those some any every each all both no his her their its my your our one other".split()
)
_ADJECTIVES = frozenset(
    "last first next second third fourth fifth sixth same whole old new little big small other following own young "
    "older younger best good long short dear entire poor very".split()
)
_PRONOUNS = frozenset("he she they him them hers theirs himself herself themselves".split())
_POSSESSIVES = frozenset("his her their its".split())
_FIRST_PERSON = frozenset("i you we me us my your our it's that's i'm i'd i've you're we're".split())
_PERSON_NOUNS = frozenset(
    "brother sister cousin aunt uncle mother father mom mum mommy dad daddy grandma grandpa grandmother grandfather "
    "grandparent parent son daughter wife husband friend neighbour neighbor teacher boss colleague classmate baker "
    "farmer carpenter customer woman man boy girl lady child kid baby dog cat bird puppy mouse goat horse thief "
    "stranger visitor guest passenger cashier clerk waiter driver doctor nurse librarian player student pupil family "
    "team guy people somebody someone person nobody everybody everyone anybody uncle niece nephew twin roommate "
    "coach partner gardener shopkeeper seller owner manager assistant helper fox squirrel rat crow monkey raccoon "
    "police officer landlord tenant king queen pirate tourist hiker runner singer artist painter worker engineer "
    "pilot captain mate pal buddy granny".split()
)
_ANIMALS = frozenset("dog cat bird puppy mouse goat horse fox squirrel rat crow monkey raccoon thief".split())
_PEOPLE_WORDS = frozenset(
    "friend guest visitor passenger person kid child man woman student pupil customer boy girl adult stranger "
    "tourist".split()
)
_HOLDERS = frozenset("student person passenger guest seat pupil child visitor customer player member chair".split())


def _forms(text: str) -> frozenset[str]:
    """Present, past and -ing forms of regular verbs."""
    found: set[str] = set()
    for verb in text.split():
        base = verb[:-1] if verb.endswith("e") else verb
        found |= {verb, verb + "s", base + "ed", base + "ing", verb + verb[-1] + "ed", verb + verb[-1] + "ing"}
        if verb.endswith(("ch", "sh", "s", "x", "z", "o")):
            found.add(verb + "es")
        if verb.endswith("y"):
            found |= {verb[:-1] + "ies", verb[:-1] + "ied"}
    return frozenset(found)


_GIVE = _forms(
    "give hand send pass lend sell offer donate mail award toss deliver slip leave pay owe bring feed throw grant "
    "present buy return share swap"
) | frozenset("gave given sent lent sold paid brought left fed threw bought".split())
_TAKE = _forms(
    "steal borrow grab snatch chew swallow chase scare confiscate rob take eat break lose drop destroy damage use "
    "sell throw return bring smash knock pop burn tear remove spill keep deduct withhold charge collect buy hide "
    "ruin crack swap fetch bend drink step trip sit drive frighten"
) | frozenset(
    "stole stolen took taken ate eaten broke broken lost threw brought tore kept spilt bought hid sold".split()
)
_TAKE_ALWAYS = _forms(
    "steal borrow grab snatch chew chase scare confiscate rob return frighten deduct withhold charge"
) | frozenset("stole stolen".split())
_MOVE = _forms(
    "join leave arrive come enter exit land end return board depart escape hatch appear disappear vanish die fall "
    "roll flow melt break burst pop rot crack wilt expire shatter land go fly fade spoil sink spill evaporate leak "
    "drown starve burn tear move stay get turn run"
) | frozenset("left came went flew flown died fell fallen broke broken burst gone ran born got".split())
_LOST = frozenset(
    "rotten broken lost gone missing damaged spoiled stolen empty spilled spilt burned burnt eaten sold given taken "
    "thrown dropped bad used cracked smashed ruined torn bent destroyed removed cut born hatched dead bruised mouldy "
    "moldy stale unusable crushed wasted repaired replaced fixed back added returned donated half-full half full "
    "away bought found sent brought left hidden free".split()
)
_CHANGE = (
    _GIVE | _TAKE | _MOVE
    | _forms(
        "find receive win collect pick gather add bake make build earn gain catch order produce grow plant discover "
        "inherit obtain acquire adopt hire invite print knit paint craft sew cook save deposit spend waste discard "
        "bin trash scrap consume misplace forget cut chop crush trade exchange split skip miss rest pause pack fill "
        "empty sharpen glue toss need work sleep stop"
    )
    | frozenset("found won caught grew grown built made spent forgot got gets get".split())
)  # fmt: skip
_STATE = frozenset(
    "has have had owns own owned keeps kept holds hold held contains contained is are was were counts counted "
    "possesses starts started begins began fits fit".split()
)
# Age, size and labels: nothing is computed from them.
_ATTRIBUTE = re.compile(
    r"\b(?:years?|months?|days?) (?:old|older|younger)\b|\bturn(?:s|ed) \d|\b(?:tall|wide|long|thick|deep|high|heavy|"
    r"old|large)\b|\bweighs?\b|\bit (?:rain|snow|thunder)|\bit (?:is|was) (?:raining|snowing|hot|cold|warm)|\bage\b|"
    r"\bbirthday\b|\bit (?:rain|snow)(?:s|ed)\b|\bit (?:is|was) (?:raining|snowing|hot|cold|warm)\b|\bhas a number\b|"
    r"\bnumber \d|\b(?:page|room|house|bus|line|gate|seat|chapter|grade|class) \d"
)
_NEGATION = re.compile(r"\b(?:not|n't|never|nobody|none|neither|nothing|no|without|nor|hardly)\b|n['’]t\b")
_NO_NEGATION = re.compile(
    r"\bno (?:longer|more than|less than|fewer than)\b|\bnot only\b|\b(?:don't|do not|never) forget\b|\bno,"
)
_VAGUE = frozenset("a an one another some several half all both few many couple most".split())
_ORDINALS = frozenset("second third fourth fifth sixth seventh eighth ninth tenth".split())
_MORE = frozenset("more another extra additional".split())


# ---------------------------------------------------------------------- the question and the answer's unit

_UNIT_WORDS = (
    r"pairs?|dozens?|couples|groups?|weeks?|days?|months?|years?|hours?|minutes?|seconds?|cents?|euros?|dollars?|"
    r"pounds?|pence|pennies|yen|cm|mm|km|centi-?met(?:er|re)s?|milli-?met(?:er|re)s?|kilo-?met(?:er|re)s?|met(?:er|"
    r"re)s?|feet|inches|yards|miles|grams?|kilograms?|kilos?|kg|lit(?:er|re)s?|milliliters?|percent|per ?cent|"
    r"percentages?|thousands|hundreds|tens|scores|halves|quarters|pallets|cartons|cases|piles|boxes|packs|packets|"
    r"bags|baskets|chapters|trays|crates|rows|teams|sets|bundles|stacks"
)
_REPLY = (
    r"(?:answer|reply|respond|give|express|state|convert|report|write|tell|say|put|count|measure|present|show|"
    r"specify|have|want|like|turn|provide|return|calculate|compute|we (?:want|need)|i (?:want|need))"
)
_IN_UNIT = re.compile(
    rf"\b{_REPLY}(?:ed|ing|s)?\b[^.;]{{0,50}}?\b(?:in|into|as|to)(?: a| an| the| whole| full)? "
    rf"(?P<unit>{_UNIT_WORDS})\b"
)
_UNIT_ONLY = re.compile(
    rf"^(?:please |but |and |now |only )*(?:in|as)(?: a| an| whole)? (?P<unit>{_UNIT_WORDS})(?: of \d+)?(?:,? please|"
    rf",? thanks|$|[.!]|,? not\b)|^(?:please |but |and |now )*as an? (?P<unit4>fraction|share|part|percentage) of|"
    rf"^(?P<unit2>{_UNIT_WORDS})(?:,? (?:please|only|not)\b|[.!]*$)|\b(?:give|want|use|say)(?: me| us)?(?: only| "
    rf"just)? "
    rf"(?P<unit3>{_UNIT_WORDS})(?:[.!]|$|,? please)"
)


def _changes_unit(s: _Sentence) -> str | None:
    asked = s.scene.asked
    for pattern in (_IN_UNIT, _UNIT_ONLY):
        match = pattern.search(s.text)
        if match is None:
            continue
        unit = stem(next(u for u in match.groupdict().values() if u))
        known = unit in asked and (
            unit not in MONEY_UNITS or unit in s.scene.words or (unit == "dollar" and "$" in s.scene.text)
        )
        if not known:
            return s.raw
    return None


_WH = (
    r"(?:how (?:many|much|long|far|old|often|tall|big)|what(?: is| was|'s| were| are) (?:the|his|her|their|its)|what "
    r"time|what day|(?:on )?which day|what (?:percentage|share|fraction|part|proportion|percent)|which of|who (?:is|"
    r"was|has|had|comes?|came|arrives|wins?|gets)|what (?:matters|is asked|counts|we want)|how (?:\w+ )?(?:is|are) )"
)
_ASKS = re.compile(
    rf"^(?:(?:and|but|so|now|ok|better|instead|rather|also|then|just|only|please|or)[, ]+)*{_WH}\b", re.IGNORECASE
)
_TELL = re.compile(
    rf"\b(?:tell|say|state|find|work out|calculate|compute|answer|reply|give|determine|report|want(?: to know)?|know|"
    rf"asked? (?:is|for)|matters is|question (?:is|should be|was|asks)|wonder)\b(?: me| us| to| with| out| instead| "
    rf"rather| only| just|,)*\s+(?:is )?{_WH}\b"
)
_ABOUT = re.compile(
    r"\bquestion (?:should be|is really|is actually|is) (?:about|how|who|what|which)\b|\bwhat (?:matters|is asked|we "
    r"want|counts) is\b|\b(?:tell|give|reply|answer|want|say|need|state|report|find)\b[^.;]{0,30}\bnumber of (?:the |"
    r"all |all the |her |his |their )?(?P<noun>\w+)"
)
_SUPERLATIVE = re.compile(
    r"\b(?:say|tell|name|give|find|answer|reply)\b[^.;]{0,30}\bwho (?:is|arrives|gets|comes|wins|finishes)\b|\bwho "
    r"(?:is|was|arrives|gets)\b[^.;]{0,30}\?"
)
_OTHER_RESULT = re.compile(
    r"\b(?:work out|find|calculate|compute|determine|tell me|give me|give us)(?: only| just)? (?:the|their|his|her) "
    r"(?P<noun>total|sum|difference|average|mean|product|remainder|share|percentage|ratio)\b"
)
_INSTEAD = re.compile(
    r"\b(?:actually|rather|instead|better)\b[^.;]{0,20}\b(?:give|tell|name|say|find|compute|"
    r"calculate)\b[^.;]{0,20}\b(?:price|cost|total|sum|age|time|amount|weight|length|number|name)\b|\b(?:sum up|add "
    r"up|total|compute|count|find|work out|name|give|list|determine|look for)\b[^.;]{0,60}\binstead\b"
)
_RHETORICAL = re.compile(
    r"\bwho (?:knows|cares|likes)\b|\bno matter (?:how|what|who)\b|\bwhatever\b|\bhow (?:nice|lovely|funny)\b"
)


def _replaces_question(s: _Sentence) -> str | None:
    if _RHETORICAL.search(s.text) or _SUPPOSE.search(s.text):
        return None
    asks = _ASKS.search(s.text) if "?" in s.raw or not _HAS_NUM.search(s.text) else None
    if (asks or _TELL.search(s.text)) and _about_scene(s):
        return s.raw
    if s.problem.kind is AnswerKind.CHOICE and _INSTEAD.search(s.text) and re.search(r"\b\w+est\b|\bwho\b", s.text):
        return s.raw
    if s.problem.kind is AnswerKind.CHOICE and _SUPERLATIVE.search(s.text):
        return s.raw
    if _INSTEAD.search(s.text) and _about_scene(s) and not _OF_WORKING.search(s.text):
        return s.raw
    if (match := _OTHER_RESULT.search(s.text)) and match["noun"] not in s.scene.words:
        return s.raw
    if match := _ABOUT.search(s.text):
        noun = match["noun"]
        if noun is None or re.sub(r"['’]s?$", "", stem(noun)) not in (
            "word",
            "letter",
            "step",
            "character",
            "sentence",
            "digit",
            "line",
            "number",
            "story",
            "text",
            "problem",
            "question",
        ):
            return s.raw
    return None


_COMMON = frozenset(
    "how many much the a is are do does did of in to it that what which who was were there be have has and or at for "
    "on with long time day will can you say".split()
)


def _about_scene(s: _Sentence) -> bool:
    words = {stem(w) for w in re.findall(r"[^\W\d_]+(?:['’]s)?", s.text)}
    own = (words & s.scene.words) - _COMMON
    if re.match(
        r"(?:and |but |so )?how (?:many|much) (?:is|are|was|were|did|do|does|has|have|had|remain|would)\b", s.text
    ):
        return True
    if s.problem.kind is not AnswerKind.NUMBER and _ASKS.search(s.text):
        return True
    return bool(own or words & (_PRONOUNS | _POSSESSIVES | {"it", "that", "this"}))


# ---------------------------------------------------------------------- suppositions, exclusions, corrections

_SUPPOSE = re.compile(
    r"(?:^|[,;:] |\b(?:now|please|just|but|so|and|let's|let us|we can|you can|you may|first) )(?:suppose|supposing|"
    r"assume|assuming|imagine|imagining|pretend|say that|let's say|let us say|let's pretend|consider(?: that| the "
    r"case| what|ing that| an? \w+ (?:where|in which|that))|in (?:a|the) (?:case|scenario|situation) (?:where|that|"
    r"in which)|picture|what if|what would|what happens if|what about if|how would|act as (?:if|though)|as though|"
    r"think (?:that )?(?=he |she |they )|"
    r"take it that|granted that|provided that|let (?:the|\w+) be|as if|given that)\b"
)


_USE = re.compile(rf"\b(?:use|take|go with|work with|calculate with|reckon with) (?P<n>{_NUM}) (?P<noun>[a-z]+)")


_IF_ASKED = re.compile(
    r"(?P<if>\bif\b).*,? \b(?:what|how many|how much|who|when)\b|\b(?:what|how many|how much|who|"
    r"when)\b.*(?P<if2>\bif\b)"
)


def _supposes(s: _Sentence) -> str | None:
    used = _USE.search(s.text)
    if (
        used
        and stem(used["noun"]) in s.scene.things
        and not {t.value for t in number_tokens(used["n"])} <= s.scene.numbers
    ):
        return s.raw
    match = _IF_ASKED.search(s.text) or _SUPPOSE.search(s.text)
    if match is None:
        return None
    rest = s.text[max(match.end("if"), match.end("if2")) :] if match.re is _IF_ASKED else s.text[match.end() :]
    if re.match(r" it (?:is|was)\b|,? that it is\b", rest) and not _HAS_NUM.search(rest):
        return None
    own = _names_own(rest, s.scene) or re.search(r"\b(?:he|she|they|we|it|you|there)\b", rest)
    quantity = _HAS_NUM.search(rest) or re.search(
        r"\b(?:every|each|had|was|were|never happened|did not|didn't|nothing|nobody|none|all|half|twice|double|no|"
        r"more|fewer|less|everyone|both|than)\b",
        rest,
    )
    return s.raw if own and quantity else None


def _names_own(text: str, scene: Scene) -> bool:
    words = {stem(w) for w in re.findall(r"[^\W\d_]+(?:['’]s)?", text)}
    return bool(words & (scene.people | scene.things | (scene.actors - UNITS)))


_EXCLUDE = re.compile(
    r"\b(?:ignore|ignoring|forget(?: about)?|disregard|skip|leave out|leaving out|drop|omit|exclude|excluding|(?:do "
    r"not|don't|never|not) (?:count|include|consider|use|look at|add)|without (?:counting|the)|no need to count|"
    r"discount)\b(?P<what>[^.;:!?]{0,80})"
)
_LEAVE_OUT = re.compile(
    r"\b(?:not|n't|needn't|no need to|never) (?:have to |need to )?take (?P<what3>[^.;:!?]{1,60}?) into account\b|"
    r"\bleave (?P<what>[^.;:!?]{1,60}?) (?:out|aside|away)\b|(?P<what2>[^.;:!?,]{1,60}?) (?:(?:can|may|should|must) "
    r"be|is|are|was|were) (?:left out|not counted|excluded|ignored|skipped|disregarded)\b"
)
_ONLY_COUNT = re.compile(
    r"\b(?:only|just)(?: want| need| look at| consider| use| take| care about)? (?:count|counts|counting|counted|the|"
    r"about)?\b(?P<what>[^.;:!?]{1,60})"
)
_NO_COUNT = re.compile(
    r"^(?P<what>[^.;:!?]{1,70}?) (?:do(?:es)? not|don't|doesn't|should not|shouldn't|must not) (?:count|matter|"
    r"belong|really count)\b"
)
_OF_WORKING = re.compile(
    r"\b(?:steps?|parts?|working|workings|story|question|words?|text|sentences?|lines?|hint|result|answer|rest|"
    r"everything|remark|instructions?|problem|first number|last number|numbers|calculation|rules?|format|above|task|"
    r"details?)\b|^\s*(?:this|that|it|,|$)"
)
_SUBSET = re.compile(
    r"\bones?\b|\b(?:red|green|blue|black|white|brown|big|small|old|new|broken|ripe|children|adults)\b"
)


def _excludes(s: _Sentence) -> str | None:
    for pattern in (_EXCLUDE, _LEAVE_OUT, _NO_COUNT):
        match = pattern.search(s.text)
        if match is not None:
            what = next((w for w in match.groupdict().values() if w), "")
            if _excludable(what, s):
                return s.raw
    if re.search(r"\bleave (?:them|those|these) (?:out|aside)\b", s.text) and _names_own(s.text, s.scene):
        return s.raw
    match = _ONLY_COUNT.search(s.text)
    if match is None or not re.search(
        r"\bcounts?\b|\b(?:just|only) (?:want|need|count|look at|consider|use|take|care)", s.text
    ):
        return None
    return s.raw if _excludable(match["what"], s) or _SUBSET.search(match["what"]) else None


def _excludable(what: str, s: _Sentence) -> bool:
    """Whether those words name a fact of the problem, and not the working or the text."""
    what = re.split(r"\band (?:say|write|reply|answer|give|put|tell)\b", what)[0]
    if _OF_WORKING.search(what):
        return False
    words = {stem(w) for w in re.findall(r"[^\W\d_]+", what)}
    times = (
        words & {*(d.casefold() for d in DAYS), "morning", "afternoon", "evening", "weekend", "today"} & s.scene.words
    )
    numbers = {t.value for t in number_tokens(what) if t.value is not None}
    return bool(
        numbers & s.scene.numbers
        or times
        or words & (s.scene.things | s.scene.people | (s.scene.words & _EXCLUDED_NOUNS))
    )


_EXCLUDED_NOUNS = _PERSON_NOUNS | frozenset(
    "trip sale gift present delay break neighbour friend loan price visit".split()
)

_CORRECTION = re.compile(
    r"\bcorrection\b|\bcorrected\b|\btypo\b|\bmisprint\b|\bmistakes?\b|\berrors?\b|\boops\b|\bmy bad\b|\bsorry\b|\bi "
    r"mean\b|\bi meant\b|\bwait,|\bmake (?:that|it)\b|\bshould have (?:been|said)\b|(?<!clock )\bshould (?:say|"
    r"read)\b(?! about| around)|\bthere should be\b|\bwrong\b|\bchanged? to\b|\bin truth\b|\bin reality\b|\b(?:is|"
    r"are|was|were) (?:off|outdated|incorrect|false|inaccurate|too (?:low|high))\b|\bon second thoughts?\b|\bin "
    r"fact\b|\bactually\b|\bto be (?:exact|precise|honest|fair)\b|\bturns? out\b|\btruth is\b|\bmiscounted\b|"
    r"\bmisread\b|\bthe real (?:number|amount|count)\b|\berratum\b|\bupdate:|\bedit:|\breally\b|\binstead\b|\bat "
    r"first\b|\bat the start\b|\bin the beginning\b|\binitially\b|\boriginally\b|\bnote:|^(?:no|nope)[,:.!]|\bnot "
    r"(?:quite )?right\b|\bin place of\b|\brather\b|\bnow\b|\bto tell the truth\b|\bmeant to\b"
)
_NOT_BUT = re.compile(
    rf"\bnot (?:just |at |on )?{_NUM}[^.;]{{0,30}}?\bbut\b|,? (?:and )?not {_NUM}|, not (?:more|fewer|less)\b|"
    rf"\b(?:instead of|rather than) (?:the )?{_NUM}"
)
_WEAK = frozenset(
    ("really", "now", "rather", "instead", "in fact", "actually", "to be honest", "to be fair", "at first")
)


def _corrects(s: _Sentence) -> str | None:
    cue, contrast = _CORRECTION.search(s.text), _NOT_BUT.search(s.text)
    moved = s.problem.kind is AnswerKind.CLOCK and re.search(r"\b(?:changed|moved|shifted) to\b.*\d:\d\d", s.text)
    if moved or _states_other_number(s) or _true_value(s):
        return s.raw
    if not (cue or contrast) or (
        _META.search(s.text)
        and not re.search(
            r"\b(?:in the story|at the start|in the beginning|initially|originally|at first|mistake|typo|wrong|is "
            r"off|are off|incorrect|outdated)\b",
            s.text,
        )
    ):
        return None
    if s.problem.kind is AnswerKind.CHOICE and (_compares(s) or _names_day(s)):
        return s.raw
    strong_cue = bool(cue) and cue is not None and cue.group() not in _WEAK
    if (
        strong_cue
        and not _subject_person(s)
        and any(q.own for c in _clauses(s) for q in _quantities(c, s.scene) if q.value is not None)
    ):
        return s.raw
    if contrast and {t.value for t in number_tokens(contrast.group())} & s.scene.numbers:
        return s.raw
    if cue and cue.group() in ("should read", "should have been") and _HAS_NUM.search(s.text):
        return s.raw
    if not _HAS_NUM.search(s.text) or _subject_other(s) or (_GUESS.search(s.text) and not _names_own(s.text, s.scene)):
        return None
    strong = contrast or (cue and cue.group() not in _WEAK)
    own = _names_own(s.text, s.scene) or re.search(r"\b(?:he|she|they|it|there|his|her|their|that)\b", s.text)
    if strong:
        return s.raw if own or contrast else s.raw if len(s.text.split()) < 9 else None
    return s.raw if own and _own_quantity(s) else None


_TRUE_VALUE = re.compile(
    r"\b(?:correct|true|actual|real|right|exact) (?:number|amount|count|price|distance|weight|length|figure|quantity|"
    r"time|value|speed|age)\b"
)


_SHOULD_BE = re.compile(rf"\bthe (?P<noun>\w+) (?:should|must|ought to) be {_NUM}")


def _true_value(s: _Sentence) -> bool:
    """ "The correct number of boxes is 57"."""
    stated = _SHOULD_BE.search(s.text)
    if (
        stated
        and stem(stated["noun"]) in s.scene.words - _COMMON
        and stated["noun"] not in ("answer", "result", "clock")
    ):
        return True
    words = {stem(w) for w in re.findall(r"[^\W\d_]+", s.text)}
    return bool(
        _TRUE_VALUE.search(s.text)
        and _HAS_NUM.search(s.text)
        and words & (s.scene.words - _COMMON)
        and "?" not in s.raw
    )


# Another number for a quantity of the problem: "on Wednesday it was eight".
_IT_IS = re.compile(rf"^(?P<where>[^;]*?)\b(?:it's|it is|it was|there were|they were) (?P<n>{_NUM})(?P<rest>[^.;!?]*)")


def _states_other_number(s: _Sentence) -> bool:
    """ "It's 9 rows", "on Wednesday it was eight": another number where the problem has one."""
    match = _IT_IS.search(s.text)
    if match is None or _GUESS.search(s.text) or _exempt(s) or "?" in s.raw:
        return False
    if {t.value for t in number_tokens(match["n"])} & s.scene.numbers:
        return False
    where = {stem(w) for w in re.findall(r"[^\W\d_]+", match["where"])} & s.scene.words - _COMMON
    what = {stem(w) for w in re.findall(r"[^\W\d_]+", match["rest"])[:2]} & s.scene.things
    who = {w for w in re.findall(r"[^\W\d_]+", match["rest"]) if w in s.scene.people}
    about = {
        stem(w) for w in re.findall(r"[^\W\d_]+", match["rest"])
    } & s.scene.words - _COMMON - s.scene.things - _PRONOUNS
    return bool(where or who or about or what - s.scene.asked)


def _subject_person(s: _Sentence) -> bool:
    return _subject(_clauses(s)[0], s.scene, _People()) is _Subject.OTHER_PERSON


def _subject_other(s: _Sentence) -> bool:
    clauses = _clauses(s)
    clause = next((c for c in clauses if any(v is not None for v in c.values)), clauses[0])
    return _subject(clause, s.scene, _People()) in (_Subject.OTHER_PERSON, _Subject.OTHER_THING)


def _own_quantity(s: _Sentence) -> bool:
    quantities = [q for c in _clauses(s) for q in _quantities(c, s.scene) if q.value is not None]
    return any((q.own or q.bare) and q.value not in s.scene.numbers for q in quantities)


_WEEKDAYS = "|".join(d.casefold() for d in DAYS)
_TODAY = re.compile(
    rf"\btoday (?:is|was)(?: in fact| actually| really)?(?: a)? (?P<day>{_WEEKDAYS})\b|\bit is (?P<day2>{_WEEKDAYS}) "
    rf"today\b"
)
_ON_DAY = re.compile(
    rf"\b(?:is|was|leaves?|starts?|takes place|falls|has|had|comes?|begins?) (?:\w+ ){{0,3}}?on (?:a "
    rf")?(?P<day>{'|'.join(d.casefold() for d in DAYS)})\b"
)
_SHIFT = re.compile(
    rf"\b(?:moved|postponed|shifted|brought forward|put back|put off|delayed)\b|\b{_NUM} days? (?:ago|later|away|"
    rf"before|after|earlier)\b"
)


def _names_day(s: _Sentence) -> bool:
    match = _TODAY.search(s.text)
    return match is not None and (match["day"] or match["day2"]) not in s.scene.days


def _moves_day(s: _Sentence) -> str | None:
    """For questions about days of the week: another day, or another distance."""
    if s.problem.kind is not AnswerKind.CHOICE or not s.scene.days:
        return None
    if _names_day(s):
        return s.raw
    day = _ON_DAY.search(s.text)
    if day and day["day"] not in s.scene.days and _asserts_own(s):
        return s.raw
    match = _SHIFT.search(s.text)
    if match is None or (_subject_other(s) and not re.search(r"\bmoved|postponed|shifted|delayed\b", s.text)):
        return None
    values = {t.value for t in number_tokens(match.group()) if t.value is not None}
    return None if values and values <= s.scene.numbers else s.raw


def _asserts_own(s: _Sentence) -> bool:
    """Whether the sentence states something of the problem's own, here and now."""
    if _GUESS.search(s.text) or _META.search(s.text) or _exempt(s) or _subject_other(s):
        return False
    return _subject(_clauses(s)[0], s.scene, _People()) is not _Subject.READER


_SCALES = (
    frozenset("taller shorter tallest shortest smaller smallest bigger biggest".split()),
    frozenset("older younger oldest youngest".split()),
    frozenset("faster slower fastest slowest quicker quickest".split()),
    frozenset("heavier lighter heaviest lightest".split()),
    frozenset("before after first last earlier later earliest latest arrives gets".split()),
    frozenset("richer poorer richest poorest".split()),
)
_RIVALS = frozenset("beats beat outruns defeats behind ahead".split())


def _compares(s: _Sentence) -> bool:
    """For order puzzles: a comparison on the puzzle's own scale that its people take part in."""
    words = {w for w in re.findall(r"[^\W\d_]+", s.text)}
    everybody = re.search(r"\b(?:all|everyone|everybody|anyone|others|them)\b", s.text) is not None
    who = words & s.scene.people or everybody
    return bool(who) and any(scale & s.scene.words and (scale | _RIVALS) & words for scale in _SCALES)


def _reorders(s: _Sentence) -> str | None:
    if s.problem.kind is not AnswerKind.CHOICE or not re.search(
        r"\bthan\b|\b(?:before|after|first|last|beats?|behind|ahead)\b|\b\w+est\b", s.text
    ):
        return None
    if _META.search(s.text) or _GUESS.search(s.text) or _UNREAL.search(s.text) or _first_word(s.text) in _IMPERATIVE:
        return None
    return s.raw if _compares(s) and not _same_comparison(s) else None


def _same_comparison(s: _Sentence) -> bool:
    return s.text.strip(" .!?") in s.scene.text


def _first_word(text: str) -> str:
    return next(iter(re.findall(r"[^\W\d_]+(?:'\w+)?", text)), "")


_INCLUDE = re.compile(
    r"\b(?:these|those|they|which|it|this|and|also|too) (?:also |too )?counts?\b(?! (?:from|on|in|"
    r"as))(?:[^.;]{0,20})?|\b(?:must|should|has to|have to|need to) (?:also )?be (?:counted|included)\b|\b(?:has|"
    r"have) to be counted\b|\bcount(?:ed|s)? (?:him|hers?|his|theirs|them|it|these|those|three|four|"
    r"\w+'s)\b[^.;]{0,12}(?:too|as well|also|in)?|"
    rf"\b(?:don't|do not|never) (?:overlook|forget|miss|neglect) (?:about )?(?:the|his|her|their|another)? ?{_NUM}|"
    r"\bso (?:they|these|those|it) (?:do |does |still )?counts?\b|\balso includes?\b|\b(?:don't|do not) "
    r"forget\b[^.;]{0,60}\b(?:total|sum|count|too|as well)\b|\bare (?:hers|his|theirs) (?:too|as well|also)\b|"
    r"\b(?:they|these|those) (?:are|were) (?:also )?\w+,? (?:too|as well)\b|\b(?:puts?|adds?|mixes|mixed) (?:them|it|"
    r"these|those) (?:with|to|together with|into)\b|\bbelongs? to the total\b"
)


def _includes(s: _Sentence) -> str | None:
    if not _INCLUDE.search(s.text):
        return None
    if not _HAS_NUM.search(s.text) and not _names_own(s.text, s.scene) and not re.search(r"\bones\b", s.text):
        return None
    negated = re.search(r"\b(?:not|never|n't|nobody)\b", s.text) and not re.search(
        r"\b(?:don't|do not|never) (?:forget|overlook|miss|neglect)\b", s.text
    )
    return None if negated or _META.search(s.text) else s.raw


_DELAY = re.compile(
    r"\b(?:break|stands? still|stood still|held up|delay|delayed|pause|paused|pauses|stops?|stopped|waits?|waited|"
    r"waiting|rests?|rested|late|slow|fast|longer|earlier|later|asleep|sleeps?|slept|in between|interruption|gap|"
    r"shorter|broken|stuck|interrupted|naps?)\b"
)
_DURATION = re.compile(
    rf"(?:{_NUM}|\ban?|\bhalf an?|\ba quarter of an|\banother)(?: more| extra| whole| full)? (?:minutes?|hours?|"
    rf"seconds?|days?)\b"
)


def _delays(s: _Sentence) -> str | None:
    """More or less time, where the problem is one of time."""
    if not (
        s.scene.things & TIME_UNITS or s.problem.kind is AnswerKind.CLOCK or {"hour", "day", "minute"} & s.scene.words
    ):
        return None
    if not _DELAY.search(s.text) or not _DURATION.search(s.text) or _exempt(s) or _NEGATION.search(s.text):
        return None
    subject = _subject(_clauses(s)[0], s.scene, _People())
    if subject is _Subject.OTHER_THING and s.problem.kind is AnswerKind.CLOCK and _DELAYED.search(s.text):
        return s.raw
    other = subject in (_Subject.OTHER_PERSON, _Subject.OTHER_THING)
    return None if other and not re.search(r"\bhad to wait\b", s.text) else s.raw


# What is late or stops where the problem's own time is meant.
_DELAYED = re.compile(
    r"^(?:then |later |also )?(?:an?|the|this|another|all)? ?(?:\w+ )?(?:break|delay|pause|interruption|clock|watch|"
    r"start|beginning|everything|whole thing)\b"
)


_START = re.compile(
    r"\b(?:start(?:s|ed)?|beg[iau]ns?|leaves?|left|gets? up|got up|was(?: already)?|went|goes) (?:\w+,? ){0,5}?(?:at "
    r"|already )?(?P<t>\d{1,2}:\d{2})\b"
)


def _restarts(s: _Sentence) -> str | None:
    """Another time of day for what the problem times."""
    if s.problem.kind is not AnswerKind.CLOCK or _exempt(s) or _GUESS.search(s.text):
        return None
    match = _START.search(s.text)
    if match is None or match["t"] in s.scene.text:
        return None
    subject = _subject(_clauses(s)[0], s.scene, _People())
    return s.raw if subject in (_Subject.OWN_PERSON, _Subject.OWN_THING, _Subject.NONE) else None


_MONEY = re.compile(
    r"\b(?:(?:percent|%|dollars?|euros?) off|coupon|discount|voucher|fees?|tax|taxes|tips?|refund|surcharge|deposit|"
    r"fine|bonus|rebate|rebates|shipping|cheaper)\b"
)
_FREE = re.compile(
    r"\b(?:get|gets|got|go|goes|are|is|were|was|comes?) (?:in |it |them )?(?:for )?free\b|\bfree of charge\b|\bhalf[ "
    r"-]price\b"
)
_MONEY_NUM = re.compile(rf"[$€£]\s?\d|{_NUM} (?:dollars?|euros?|cents?|pounds?|percent|%)|\d%")


def _charges(s: _Sentence) -> str | None:
    """Fees, tips and discounts, where the question is about money."""
    if not s.scene.asked & MONEY_UNITS and "money" not in s.scene.words:
        return None
    if _FREE.search(s.text) and _names_own(s.text, s.scene) and not _exempt(s) and not _NEGATION.search(s.text):
        return s.raw
    if not _MONEY.search(s.text) or not _MONEY_NUM.search(s.text) or _exempt(s) or _NEGATION.search(s.text):
        return None
    whole = re.search(r"\b(?:percent|%) off\b|\bdiscount\b", s.text)
    return (
        None
        if _subject_other(s) and not whole and not re.search(r"\b(?:him|her|them|his|he|she|they)\b", s.text)
        else s.raw
    )


def _exempt(s: _Sentence) -> bool:
    if _is_elsewhere(s) or _UNREAL.search(s.text):
        return True
    match = _OTHER_TIME.search(s.text)
    return match is not None and match.group() not in s.scene.text


_SENTENCE_CHECKS = (
    (_supposes, Claim.REVISES_FACT, "It supposes other facts"),
    (_excludes, Claim.REVISES_FACT, "It leaves out a part of the problem"),
    (_changes_unit, Claim.REPLACES_QUESTION, "It asks for the answer in another unit"),
    (_replaces_question, Claim.REPLACES_QUESTION, "It asks another question"),
    (_corrects, Claim.REVISES_FACT, "It corrects a fact of the problem"),
    (_moves_day, Claim.REVISES_FACT, "It changes a day of the problem"),
    (_reorders, Claim.ADDS_FACT, "It adds a comparison to the problem"),
    (_includes, Claim.ADDS_FACT, "It counts something else in"),
    (_delays, Claim.ADDS_FACT, "It changes the time that the problem speaks of"),
    (_restarts, Claim.REVISES_FACT, "It changes a time of the problem"),
    (_charges, Claim.ADDS_FACT, "It changes the amount of money"),
)


# ---------------------------------------------------------------------- events and quantities


class _Subject(StrEnum):
    OWN_PERSON = "own person"
    OWN_THING = "own thing"
    OTHER_PERSON = "other person"
    OTHER_THING = "other thing"
    EXISTS = "there is"
    NONE = "none"
    READER = "reader"


@dataclass(frozen=True, slots=True)
class _Clause:
    raw: str
    text: str
    words: tuple[str, ...]
    """Words in lower case, numbers as digits."""
    shown: tuple[str, ...]
    """The same words as they are written."""
    values: tuple[Fraction | None, ...]


@dataclass(frozen=True, slots=True)
class _Quantity:
    at: int
    value: Fraction | None
    """None for a vague one: a, some, half, all."""
    own: bool
    bare: bool
    """No noun of its own: "ate 3", "2 of them"."""
    more: bool


_SPLIT = re.compile(
    r",? (?:and|but|so|while|whereas) (?=(?:he|she|they|it|then|now|also|\w+)\b)|, (?=(?:he|she|they|it|which|who|"
    r"then|these|those|only|the|her|his|a|\d+|somebody|one)\b)|, (?=[A-Z])|\s*[;:()]\s+"
)


def _clauses(s: _Sentence) -> list[_Clause]:
    parts = [p for p in _SPLIT.split(s.raw) if p and p.strip()] or [s.raw]
    return [_clause(part) for part in parts]


def _clause(raw: str) -> _Clause:
    words, shown, values = [], [], []
    for token in number_tokens(raw, one_of=True):
        written = raw[token.start : token.end]
        if token.value is None and not written[:1].isalnum():
            continue
        words.append(token.word if token.value is None else "#")
        shown.append(written)
        values.append(token.value)
    return _Clause(raw, raw.casefold(), tuple(words), tuple(shown), tuple(values))


def _subject(c: _Clause, scene: Scene, others: _People) -> _Subject:
    """Who or what the clause is about: its first noun or pronoun that no preposition governs."""
    i, n = 0, len(c.words)
    if n and c.words[0] in _IMPERATIVE and c.shown[0][0].isalpha() and not (n > 1 and c.words[1] in _STATE):
        return _Subject.READER
    while i < n:
        word = c.words[i]
        if word in ("there", "there's") and i + 1 < n and (c.words[i + 1] in _BE or word == "there's"):
            return _Subject.EXISTS
        if word in _PREPOSITIONS and not _is_name(c, i, scene):
            i = _skip_phrase(c, i + 1, scene)
            continue
        kind = _mention(c, i, scene, others)
        if kind is _Subject.OTHER_THING and _is_plain(c, i) and (later := _person_after(c, i + 1, scene, others)):
            return later
        if kind is not None:
            return kind
        if (word in _CHANGE or word in _STATE) and word not in _LEAD:
            return _Subject.NONE
        i += 1
    return _Subject.NONE


def _is_plain(c: _Clause, i: int) -> bool:
    return c.words[i] not in _DETERMINERS | _POSSESSIVES and c.words[i].isalpha()


def _person_after(c: _Clause, i: int, scene: Scene, others: _People) -> _Subject | None:
    """The problem's person that follows before any number: "strictly speaking Tom owned 40"."""
    for k in range(i, min(i + 4, len(c.words))):
        if c.values[k] is not None or c.words[k] in _PREPOSITIONS:
            return None
        if c.words[k] in scene.people or (c.words[k] in ("he", "she", "they") and not others.other):
            return _Subject.OWN_PERSON
    return None


def _skip_phrase(c: _Clause, i: int, scene: Scene) -> int:
    """Past the noun phrase behind a preposition."""
    start = i
    if c.words[i : i + 1] in (("that",), ("this",)) and (
        c.words[i + 1 : i + 2] and (c.words[i + 1] in _DETERMINERS or c.words[i + 1] in scene.people | _PERSONAL)
    ):
        return i + 1
    while i < len(c.words) and (
        c.words[i] in _DETERMINERS or c.words[i] in _ADJECTIVES or c.values[i] is not None or c.words[i] in _POSSESSIVES
    ):
        i += 1
    if i > start and c.words[i - 1] in ("that", "this") and i - start == 1:
        return i
    i += 1
    if i <= len(c.words) and c.words[i - 1].endswith(("'s", "’s", "s'", "s’")):
        i += 1
    return i


def _is_name(c: _Clause, i: int, scene: Scene) -> bool:
    return c.words[i] in scene.people


def _mention(c: _Clause, i: int, scene: Scene, others: _People) -> _Subject | None:
    word = c.words[i]
    base = re.sub(r"['’]s?$", "", word)
    if base in scene.people:
        return _owned(c, i + 1, scene) if word != base else _Subject.OWN_PERSON
    if word == "it":
        return _Subject.OTHER_THING if others.thing else _Subject.OWN_THING
    if word in _PERSONAL:
        return _Subject.OTHER_PERSON if others.other else _Subject.OWN_PERSON
    if word in _POSSESSIVES:
        inner = _owned(c, i + 1, scene)
        return _Subject.OTHER_PERSON if others.other and inner is _Subject.OWN_PERSON else inner
    if word in _FIRST_PERSON:
        return _Subject.READER
    if c.values[i] is not None or word in _DETERMINERS or word in _VAGUE:
        return _noun_phrase(c, i, scene)
    return _Subject.OTHER_PERSON if _looks_like_name(c, i) else _plain_noun(word, scene)


def _plain_noun(word: str, scene: Scene) -> _Subject | None:
    noun = stem(word)
    if (known := _known_noun(noun, scene)) is not None:
        return known
    skipped = word in _LEAD or word in _AUXILIARIES or word.endswith("ly") or word in _STATE or word in _CHANGE
    return None if skipped else _Subject.OTHER_THING


def _known_noun(noun: str, scene: Scene) -> _Subject | None:
    if noun in scene.things:
        return _Subject.OWN_THING
    if noun in scene.actors:
        return _Subject.OWN_PERSON
    return _Subject.OTHER_PERSON if noun in _PERSON_NOUNS else None


_PERSONAL = frozenset("he she they him them hers theirs who which he's she's they're".split())
_AUXILIARIES = frozenset(
    "not never no none neither nobody nothing should must might may can could will would shall do does did".split()
)
_BE = frozenset("is are was were will had should must be come came remain".split())
_KNOWN_NAMES = frozenset(n.casefold() for n in NAMES)


_DATES = frozenset(
    [
        *map(str.casefold, DAYS),
        *"january february march april may june july august september october november december".split(),
    ]
)


def _looks_like_name(c: _Clause, i: int) -> bool:
    written = c.shown[i]
    if not written[:1].isupper() or not written[1:2].islower() or re.sub(r"['’]s?$", "", c.words[i]) in _DATES:
        return False
    if c.words[i] in _KNOWN_NAMES:
        return True
    word, after = c.words[i], c.words[i + 1] if i + 1 < len(c.words) else ""
    if i > 0:
        return True
    known = word in _LEAD or word in _PREPOSITIONS or stem(word) in _PERSON_NOUNS or word.endswith("s")
    return not known and (not after or after in _STATE or after in _CHANGE)


def _owned(c: _Clause, i: int, scene: Scene) -> _Subject:
    """What a possessive belongs to: "her brother" is another person, "her pens" are own things."""
    for k in range(i, min(i + 4, len(c.words))):
        noun = stem(c.words[k])
        if noun in _PERSON_NOUNS and noun not in scene.actors and noun not in scene.things:
            return _Subject.OTHER_PERSON
        if noun in scene.things or noun in _OWN_GOODS:
            return _Subject.OWN_THING
        if c.words[k] in _STATE or (c.words[k] in _CHANGE and k > i):
            break
    return _Subject.OTHER_THING


_OWN_GOODS = frozenset("pay wage salary income clock watch savings".split())


def _noun_phrase(c: _Clause, i: int, scene: Scene) -> _Subject:
    """The subject that a determiner or a number starts: by the first noun in it that is known."""
    if c.words[i] in ("another", "other") and i + 1 < len(c.words) and c.values[i + 1] is None:
        return _Subject.OTHER_PERSON
    k = i
    for k in range(i, min(i + 6, len(c.words))):
        word = c.words[k]
        if k > i and word in _OF_OWN:
            return _Subject.OWN_THING
        if k > i and word in ("of", "for") and k + 1 < len(c.words) and _looks_like_name(c, k + 1):
            if re.sub(r"['’]s?$", "", c.words[k + 1]) not in scene.people:
                return _Subject.OTHER_PERSON
            if c.words[k + 1] in scene.people:
                return _Subject.OWN_PERSON
        if (known := _known_noun(stem(word), scene)) is not None:
            owner = c.words[k + 2] if c.words[k + 1 : k + 2] == ("of",) and k + 2 < len(c.words) else ""
            others = bool(owner) and _looks_like_name(c, k + 2) and owner not in scene.people
            return _Subject.OTHER_PERSON if others else known
        if k > i and (word in _STATE or word in _CHANGE or word in _PREPOSITIONS - {"of"}):
            break
    nouns = [stem(w) for w in c.words[i + 1 : i + 3]]
    if c.words[i] in ("the", "this", "that") and nouns and nouns[0] in scene.words - _COMMON:
        return _Subject.OWN_THING
    of_known = c.values[i] is not None and (k <= i + 1 or c.words[i + 1 : i + 3] == ("of", "the"))
    return _Subject.OWN_THING if of_known else _Subject.OTHER_THING


_OF_OWN = frozenset("them it these those hers his theirs".split())


def _quantities(c: _Clause, scene: Scene) -> list[_Quantity]:
    found: list[_Quantity] = []
    for i, (word, value) in enumerate(zip(c.words, c.values, strict=True)):
        vague = word in _VAGUE or (word in _ORDINALS and c.words[i - 1 : i] == ("a",))
        if value is None and (not vague or (i and c.words[i - 1] in _VAGUE and word not in _ORDINALS)):
            continue
        if value is not None and _labels(c, i):
            continue
        own, bare, more = _counted(c, i, scene)
        if bare and found and found[-1].value is not None and not found[-1].own and not found[-1].bare:
            own = bare = False
        found.append(_Quantity(i, value, own, bare, more))
    return found


def _labels(c: _Clause, i: int) -> bool:
    """ "in row 3", "on platform 4", "number 12", "from 1905": a number that counts nothing."""
    before, value = c.words[i - 1] if i else "", c.values[i]
    if before in ("number", "no") or (
        value is not None and 1500 <= value <= 2100 and before in ("in", "from", "since")
    ):
        return True
    plain = before.isalpha() and before not in _DETERMINERS | _PREPOSITIONS | _ADJECTIVES | _POSSESSIVES
    return plain and i > 1 and c.words[i - 2] in ("in", "on", "at", "from")


def _counted(c: _Clause, i: int, scene: Scene) -> tuple[bool, bool, bool]:
    """Of the quantity at `i`: whether it counts an own thing, whether it has no noun, whether it is one "more"."""
    more = c.words[i] in _MORE or c.words[i - 1 : i] in (("another",), ("extra",))
    for k in range(i + 1, min(i + 7, len(c.words))):
        word = c.words[k]
        more = more or (word in _MORE and k <= i + 2)
        if word == "than" and k == i + 2:
            return any(w in scene.people for w in c.words[k + 1 : k + 2]), False, False
        if stem(word) in scene.things:
            return not _of_other(c, k, scene), False, more
        if word in _OF_OWN and k > i + 1 and c.words[k - 1] in ("of", "in"):
            # "2 of his", but not "2 of his friends".
            if word != "his" or k + 1 >= len(c.words) or any(stem(w) in scene.things for w in c.words[k + 1 : k + 4]):
                return True, False, more
            return False, False, more
        if word in _WITHIN or word in _POSSESSIVES or "'" in word or (word in ("a", "an") and k == i + 1):
            continue
        if word in _AFTER_BARE or word in _PREPOSITIONS or word in _CHANGE or word in _STATE:
            return False, True, more
        plural = word.endswith("s") and not word.endswith(("ss", "us", "is"))
        if plural or stem(word) in _PERSON_NOUNS | UNITS:
            return False, False, more
    return False, c.values[i] is not None and i + 3 >= len(c.words), more


def _of_other(c: _Clause, k: int, scene: Scene) -> bool:
    """ "9 metres of wool", where the problem has no wool: the measure is the problem's, the thing is not."""
    if c.words[k + 1 : k + 2] == ("h",) and "/h" not in scene.text:
        return True
    if c.words[k + 1 : k + 2] != ("of",) or k + 2 >= len(c.words):
        return False
    word = c.words[k + 2]
    return word.isalpha() and stem(word) not in scene.words and word not in _OF_OWN | _DETERMINERS | _POSSESSIVES


_WITHIN = frozenset("of more the other ones one those these extra additional".split())
_AFTER_BARE = frozenset(
    "back away again too now today yesterday later and but or if when while that who which in at first left only "
    "each every a an more already yet altogether together sorry instead".split()
)


def _events(s: _Sentence, others: _People) -> str | None:
    """The clause that adds an event or a quantity to the problem's own people and things."""
    if _is_elsewhere(s) or _UNREAL.search(s.text) or ("?" in s.raw and not _own_subject(s)):
        others.other = False
        return None
    meta = _META.search(s.text) is not None
    previous: tuple[_Subject, list[_Quantity]] = (_Subject.NONE, [])
    away = False
    for c in _clauses(s):
        subject = _subject(c, s.scene, others)
        quantities = _quantities(c, s.scene)
        if _continues(c, subject, previous[0]):
            subject = previous[0]
            quantities = quantities or (previous[1] if subject is _Subject.OWN_THING else [])
        if subject is _Subject.OTHER_PERSON:
            others.other = True
        elif subject is _Subject.OWN_PERSON and any(w in s.scene.people for w in c.words):
            others.other = False
        if subject is _Subject.OTHER_THING:
            others.thing = True
        counted = [q for q in previous[1] if q.value is not None]
        if counted and all(q.bare for q in quantities) and not any(q.own or q.bare for q in counted):
            # "has 8 lamps and 3 more": the second counts what the first does.
            quantities = [replace(q, bare=False) for q in quantities]
        away = _other_time(c, s, away)
        if meta and not (subject is _Subject.OWN_PERSON and any(q.own for q in quantities)):
            continue
        if not away and (shown := _event(c, subject, quantities, s)):
            return shown
        previous = (subject, quantities)
        away = away and not any(v is not None for v in c.values)
    return None


def _continues(c: _Clause, subject: _Subject, before: _Subject) -> bool:
    """Whether the clause has the subject of the one before it: "… and go home"."""
    verb = bool(c.words) and (c.words[0] in _CHANGE or c.words[0] in _STATE or c.words[0] in _LEAD)
    return verb and (
        subject is _Subject.NONE or (subject is _Subject.READER and before not in (_Subject.READER, _Subject.NONE))
    )


def _other_time(c: _Clause, s: _Sentence, away: bool) -> bool:
    match = _OTHER_TIME.search(c.text)
    if match is not None and match.group() not in s.scene.text:
        return True
    day = next((d for d in map(str.casefold, DAYS) if d in c.words or d + "s" in c.words), None)
    if _ADDITIVE.search(s.text):
        return away
    if day is not None and s.scene.days and day not in s.scene.days:
        return True
    return away


def _event(c: _Clause, subject: _Subject, quantities: list[_Quantity], s: _Sentence) -> str | None:
    if (
        subject is _Subject.READER
        or (_negated(c) and not _NEVER_DONE.search(c.text))
        or (_ATTRIBUTE.search(c.text) and not _changed_by(c) and not s.scene.words & {"old", "age", "younger", "older"})
    ):
        return None
    bare = subject is _Subject.OWN_THING and not any(q.own for q in quantities)
    if _METHOD.search(s.text if bare else c.text) and subject is not _Subject.OWN_PERSON:
        return None
    rules = {
        _Subject.OWN_PERSON: _own_person, _Subject.OWN_THING: _own_thing, _Subject.OTHER_PERSON: _other_person,
        _Subject.OTHER_THING: _other_thing, _Subject.EXISTS: _exists, _Subject.NONE: _nobody,
    }  # fmt: skip
    if _GUESS.search(c.text) and subject not in (_Subject.OWN_PERSON, _Subject.OTHER_PERSON):
        return None
    return c.raw if rules[subject](c, quantities, s) else None


def _changed_by(c: _Clause) -> bool:
    return any(w in _TAKE or w in _GIVE for w in c.words)


_SUBORDINATE = re.compile(r"\b(?:when|until|till|because|although|though|while|after|before)\b")


def _negated(c: _Clause) -> bool:
    """Whether its main verb is negated: "when nobody is looking" negates nothing."""
    if (match := _SUBORDINATE.match(c.text)) and "," not in c.text:
        return _NEGATION.search(c.text[match.end() :]) is not None
    main = _SUBORDINATE.split(_NO_NEGATION.sub(" ", c.text))
    return _NEGATION.search(next((part for part in main if part.strip()), "")) is not None


def _verb(c: _Clause, lexicon: frozenset[str]) -> bool:
    return any(w in lexicon for w in c.words)


def _known(q: _Quantity, scene: Scene) -> bool:
    return q.value is not None and q.value in scene.numbers and not q.more


_ADDITIVE = re.compile(
    r"\b(?:then|also|again|however|another|more|later|afterwards|after that|too|as well|besides|extra|back)\b"
)
# Prices, where no money is asked for.
_PRICE = re.compile(
    rf"\b(?:sells?|buys?|costs?|sold|bought|cost|pays?|paid)\b[^.;]*\bfor {_NUM}|\b(?:for|costs?) {_NUM} (?:dollars|"
    rf"euros|cents|coins)"
)


def _own_person(c: _Clause, quantities: list[_Quantity], s: _Sentence) -> bool:
    """ "Anna loses 2 of her pens", "she has another 7", "he skipped one of the days"."""
    scene = s.scene
    changes = _verb(c, _CHANGE)
    for q in quantities:
        if q.value is None:
            if q.own and changes and not _PRICE.search(c.text) and not _per_time(c, q):
                return True
            continue
        if not q.own and not (q.bare and (changes or not _aged(c, q))):
            continue
        if _PRICE.search(c.text) and not scene.asked & MONEY_UNITS:
            continue
        if not _restated(q, c, s):
            return True
    return _relates(c, scene) or _rests(c, s)


def _per_time(c: _Clause, q: _Quantity) -> bool:
    """The "an hour" of "2 cups an hour", unless it is an hour more."""
    after = c.words[q.at + 1 : q.at + 3]
    return (
        c.words[q.at] in ("a", "an")
        and after[:1] != ()
        and stem(after[0]) in TIME_UNITS
        and after[1:] not in (("longer",), ("more",), ("off",), ("less",), ("later",), ("earlier",))
    )


def _aged(c: _Clause, q: _Quantity) -> bool:
    """ "since he was 8", "at 12": no count of things."""
    return not q.at or c.words[q.at - 1] in (
        "is",
        "was",
        "at",
        "about",
        "since",
        "until",
        "till",
        "turned",
        "are",
        "were",
        "be",
        "in",
    )


def _restated(q: _Quantity, c: _Clause, s: _Sentence) -> bool:
    """Whether the clause says what the problem says: its number, its verbs, most of its words, and nothing on top."""
    if not _known(q, s.scene) or _ADDITIVE.search(s.text):
        return False
    verbs = [w for w in c.words if w in _CHANGE or w in _STATE]
    words = {stem(w) for w in c.words if w.isalpha()} - _COMMON
    said = all(w in s.scene.words or stem(w) in s.scene.words for w in verbs)
    return said and len(words & s.scene.words) >= 0.7 * len(words)


# A quantity that is given by another one.
_AS_MANY = re.compile(r"\b(?:as (?:much|many)\b.*\bas\b|half as|twice as|the same (?:number|amount)|equally many)\b")


_SCALES_UP = re.compile(
    r"\b(?:doubled|tripled|halved|doubles|triples|multiplied|shrank|grew) (?!the result|the answer|your)"
)


def _relates(c: _Clause, scene: Scene) -> bool:
    """ "it takes as much white as blue": a quantity by another one."""
    if _SCALES_UP.search(c.text + " ") and _names_own(c.text, scene):
        return True
    related = _AS_MANY.search(c.text) and c.text.strip(" .") not in scene.text
    return bool(related) and (_names_own(c.text, scene) or len(set(map(stem, c.words)) & scene.words - _COMMON) > 1)


def _rests(c: _Clause, s: _Sentence) -> bool:
    """A day or an hour left out of a rate: "he rests on the fourth day"."""
    per_time = s.scene.words & {"day", "hour", "week", "daily"}
    rests = re.search(
        r"\b(?:rest(?:s|ed)?|skip(?:s|ped)?|miss(?:es|ed)?|(?:is|was|gets|got) (?:ill|sick)|takes? (?:a|the|one) \w+ "
        r"off|took (?:a|the|one) \w+ off)\b",
        c.text,
    )
    return bool(per_time and rests and re.search(r"\b(?:days?|hours?|weeks?|off)\b", c.text))


def _own_thing(c: _Clause, quantities: list[_Quantity], s: _Sentence) -> bool:
    """ "3 of them melt", "each box holds 8", "the tickets were reduced to 6 dollars"."""
    changed = _lost(c) or any(w in _MOVE for w in c.words)
    each = c.words[:1] in (("each",), ("every",))
    counted = [q for q in quantities if (q.own or q.bare) and (each or not _generic(c, q))]
    if counted and changed and any(q.own or q.more or q.bare for q in counted if q.at < 6):
        return not all(q.value is not None and _restated(q, c, s) for q in counted)
    holds = _verb(c, _HOLDS)
    predicate = [q for q in counted if q.value is not None and q.at > 0 and not _known(q, s.scene)]
    if any((q.own and q.at > 1) or (q.bare and holds) for q in predicate):
        return True
    if _relates(c, s.scene):
        return True
    if any(w.endswith("ed") and w in s.scene.words for w in c.words) and any(
        q.value is not None and not _known(q, s.scene) for q in counted
    ):
        return True
    if each and holds and any(q.own and q.at > 1 for q in counted):
        return True
    # "5 chairs collapse", "3 of the letters were never finished": something happens to a number of them.
    if c.words[:1] == ("another",) and counted and counted[0].own and counted[0].more:
        return True
    happens = any(w in _CHANGE or w in _STATE or w.endswith(("ed", "s", "e")) for w in c.words[1:])
    counts = bool(c.words and counted) and c.values[0] is not None and counted[0].at == 0
    counts = counts and (counted[0].own or happens)
    return counts and not _restated(counted[0], c, s) and not _describes(c)


_HOLDS = frozenset(
    "holds hold held has have had contains contain takes take fits do does did needs need costs cost".split()
)
_NEVER_DONE = re.compile(
    r"\b(?:was|were|is|are|been|got|get) (?:never|not) (?:been )?(?:finished|delivered|counted|sent|used|sold|there|"
    r"paid|valid|usable)\b"
)
_DESCRIBES = re.compile(
    r"\b(?:is|are|was|were|has|have|had|can|may|might|could|looks?|seems?|weighs?|costs?|comes? from|came from|"
    r"likes?|sounds?|smells?|tastes?|lasts?|shows?|sits?|in|on|like)\b"
)


def _describes(c: _Clause) -> bool:
    """Whether the clause tells what its things are like, and not what becomes of them."""
    if any(w.endswith("ed") and c.words[i - 1] not in _BE for i, w in enumerate(c.words) if i and len(w) > 4):
        return False
    return len(c.words) < 3 or (_DESCRIBES.search(c.text) is not None and not _NEVER_DONE.search(c.text))


def _generic(c: _Clause, q: _Quantity) -> bool:
    """ "A candle burns for 5 hours" tells of no event, "a candle burned down" does."""
    past = any(w.endswith("ed") or w in _IRREGULAR_PAST or w in ("was", "were") for w in c.words)
    return c.words[q.at : q.at + 1] in (("a",), ("an",), ("most",)) and not past


_IRREGULAR_PAST = frozenset("left came went flew fell broke burst ran got lost stole took ate gone gets".split())


def _plain_is(c: _Clause) -> bool:
    return _verb(c, frozenset("is are was were".split()))


def _lost(c: _Clause) -> bool:
    return any(w in _LOST for w in c.words) and _verb(
        c, frozenset("is are was were get gets got turned turn turns out half been be only".split())
    )


def _other_person(c: _Clause, quantities: list[_Quantity], s: _Sentence) -> bool:
    """ "Ben gives him 4 apples", "a dog steals three rolls", "her boss keeps back 10 dollars"."""
    counted = [q for q in quantities if q.own or q.bare]
    gives, takes = _verb(c, _GIVE), _verb(c, _TAKE)
    if gives and counted and _to_own(c, s.scene):
        return True
    if (
        re.search(r"\bjoin(?:s|ed)?\b(?! in)", c.text)
        and re.search(r"\bjoin(?:s|ed)? (?:them|him|her|the)\b", c.text)
        and quantities
    ):
        return True
    if _verb(c, _TAKE_ALWAYS) and counted:
        return True
    if counted and re.search(
        r"\b(?:keeps?|kept|takes?|took|gives?|gave|brings?|brought|hold|holds|held) (?:\w+ ){0,4}?back\b", c.text
    ):
        return True
    if (
        counted
        and re.search(r"\b(?:adds?|added|puts?|throws in|threw in|contributes?|contributed)\b", c.text)
        and not _named(c)
    ):
        return True
    if counted and _related(c, s.scene) and _verb(c, _GRABS):
        return True
    firm = takes or gives or any(q.value is not None for q in counted)
    if counted and ((_definite(c, s.scene) and firm and not _verb(c, _WATCHES)) or (takes and _unnamed(c))):
        return True
    if _arrive(c, quantities, s):
        return True
    return any(q.more and (q.bare or q.own) for q in counted) and "than" not in c.words and not _named(c)


_WATCHES = _STATE | frozenset(
    "sees see saw likes like liked knows know knew counts counted thinks wants wanted admires is are was".split()
)


_GRABS = _forms("take borrow hide grab use break tear swap") | frozenset(
    "took taken hid hidden broke broken tore".split()
)


def _related(c: _Clause, scene: Scene) -> bool:
    """Whether the clause starts with somebody of the problem's people: "her brother", "Tom's dog"."""
    first = c.words[0] if c.words else ""
    return first in _POSSESSIVES or (first[-2:] in ("'s", "’s") and first[:-2] in scene.people)


def _to_own(c: _Clause, scene: Scene) -> bool:
    for i, word in enumerate(c.words):
        before = c.words[i - 1] if i else ""
        after = c.words[i + 1] if i + 1 < len(c.words) else ""
        if word in scene.people and i:
            return True
        if word in ("him", "them") and i:
            return True
        if (
            word == "her"
            and i
            and (
                not after
                or after in ("#", "a", "an", "another", "some", "one", "all", "the", "back")
                or (before == "to" and stem(after) not in _PERSON_NOUNS)
            )
        ):
            return True
        if word in ("back",) and scene.people:
            return True
    return False


def _definite(c: _Clause, scene: Scene) -> bool:
    """Whether the clause speaks of the problem's things as known: "3 of the pens", "from her album", "the lamps"."""
    for i, word in enumerate(c.words):
        if (
            stem(word) in scene.things
            and i
            and (
                c.words[i - 1] in ("the", "his", "her", "their", "these", "those")
                or (i > 1 and c.words[i - 2] in ("the", "his", "her", "their"))
            )
        ):
            return True
        if word in ("them", "it") and i > 1 and c.words[i - 1] == "of":
            return True
        if (
            word == "from"
            and i + 1 < len(c.words)
            and (c.words[i + 1] in _POSSESSIVES or c.words[i + 1] in scene.people)
        ):
            return True
    return False


def _unnamed(c: _Clause) -> bool:
    """A thief, a pet, a visitor: nobody who has things of their own here."""
    nouns = [stem(w) for w in c.words[:5]]
    if any(n in _ANIMALS for n in nouns):
        return True
    return bool(
        c.words
        and c.words[0] in ("a", "an", "somebody", "someone")
        and len(c.words) > 2
        and (nouns[0] in _PERSON_NOUNS or nouns[1] in _PERSON_NOUNS)
        and not _looks_like_name(c, 2)
        and c.words[2] != "called"
    )


def _named(c: _Clause) -> bool:
    return any(_looks_like_name(c, i) for i in range(min(4, len(c.words))))


def _arrive(c: _Clause, quantities: list[_Quantity], s: _Sentence) -> bool:
    """ "5 friends come in and sit down", where people or their seats are counted."""
    if not s.scene.things & _HOLDERS or not quantities:
        return False
    arrives = re.search(
        r"\b(?:come|comes|came|go|goes|went|take|takes|took|sit|sits|sat|leave|leaves|left|arrive|arrives|arrived|"
        r"enter|enters|get|gets)\b",
        c.text,
    )
    return bool(
        arrives and any(stem(w) in _PEOPLE_WORDS for w in c.words) and any(q.value is not None for q in quantities)
    )


def _other_thing(c: _Clause, quantities: list[_Quantity], s: _Sentence) -> bool:
    """ "a box of hers holds 3 pens more": only what comes to or goes from the problem's own."""
    counted = [q for q in quantities if q.own or (q.bare and q.more)]
    if (
        counted
        and _verb(c, _TAKE_ALWAYS | _forms("destroy damage ruin melt soak crush wash blow smash"))
        and _verb(c, _TAKE | _MOVE | _CHANGE | _forms("blow wash soak"))
    ):
        return True
    if re.search(r"\b(?:born|hatch(?:es|ed)?|join(?:s|ed)? (?:them|him|her|the))\b", c.text) and any(
        q.value is not None for q in quantities
    ):
        return True
    if _arrive(c, quantities, s):
        return True
    if (
        counted
        and _definite(c, s.scene)
        and _verb(c, _CHANGE | _forms("carry lead reduce raise cut"))
        and not _plain_is(c)
    ):
        return True
    if any(q.more and q.own for q in counted) and "than" not in c.words and not _verb(c, _STATE):
        return True
    return bool(_to_own(c, s.scene) and _verb(c, _GIVE) and counted)


def _exists(c: _Clause, quantities: list[_Quantity], s: _Sentence) -> bool:
    """ "there are 11 more in her coat"."""
    counted = [q for q in quantities if q.value is not None and (q.own or q.bare) and not _known(q, s.scene)]
    if not counted:
        return False
    own_owner = any(
        w in s.scene.people or w in _POSSESSIVES or re.sub(r"['’]s$", "", w) in s.scene.people for w in c.words
    )
    if own_owner and not any(
        re.search(r"(?:'s|s')$", w) and re.sub(r"['’]s?$", "", w) not in s.scene.people for w in c.words
    ):
        return True
    placed = re.search(r"\b(?:in|on|at|under|behind|near|beside) (?:the|a|an|my|our)? ?(?P<place>\w+)", c.text)
    known = (
        placed is None
        or stem(placed["place"]) in s.scene.words
        or placed["place"] in ("start", "beginning", "end", "reality", "truth")
    )
    return known or any(q.more for q in counted)


def _nobody(c: _Clause, quantities: list[_Quantity], s: _Sentence) -> bool:
    """ "then came another 5"."""
    return (
        any(q.value is not None and q.more and (q.own or q.bare) for q in quantities)
        and _verb(c, _CHANGE | _STATE)
        and "than" not in c.words
    )
