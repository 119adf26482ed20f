r"""Read the final answer out of a completion of any model, in tiers. Pure; nothing here evaluates model text.

First, reasoning blocks are removed: an answer is never taken from inside one, and a block that never closes makes the
completion truncated. Then the tiers, each tried only where the ones before found nothing:

1. marker: the text after ``####`` or in ``\boxed{…}`` or ``<answer>…</answer>``
2. label: "the answer is …", "Final answer: …", a heading "Answer" with the next line
3. result: the quantity that the last sentence with a result states; denials, asides, remarks and courtesy do not
   count. Where the question is known, its own numbers are no results, and what it asks for decides between several

A tier that finds two different final answers makes the completion ambiguous, which is never right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from training.core.types import AnswerKind

READER_VERSION = 3
"""Stored with every graded row. Version 1 read ``####`` and ``\\boxed`` alone; version 2 did not know the question."""
MAX_TAIL = 4000
"""Only this many last characters of a completion are read."""
MAX_ANSWER = 200
MAX_RESULT = 1000
"""Only in this many last characters is a stated result looked for."""
OPENING_TOKENS = 12
"""A reasoning tag at the end of a prompt lies within so many tokens."""
MAX_CLAIMS = 20
"""Of each sort of marker or label, only this many are looked at, from the end."""


class Tier(StrEnum):
    """Where an answer was found."""

    MARKER = "marker"
    LABEL = "label"
    RESULT = "result"
    NONE = "none"


class Reading(StrEnum):
    """What reading a completion came to."""

    FOUND = "found"
    NOTHING = "nothing"
    AMBIGUOUS = "ambiguous"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """`answer` is the text of the answer without emphasis and TeX; empty unless `reading` is FOUND."""

    reading: Reading
    tier: Tier = Tier.NONE
    answer: str = ""
    reason: str = ""
    """One sentence on why, for a person."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as written: its value, and whether a percent sign follows it."""

    value: Fraction
    percent: bool = False

    def __str__(self) -> str:
        """A decimal where the value has a finite one, else a fraction."""
        rest = self.value.denominator
        for prime in (2, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and self.value.denominator != 1 and self.value.denominator < 10**15:
            places = next(n for n in range(60) if (self.value * 10**n).denominator == 1)
            scaled = f"{abs(int(self.value * 10**places)):0{places + 1}d}"
            text = f"{'-' if self.value < 0 else ''}{scaled[:-places]}.{scaled[-places:]}"
        else:
            text = str(self.value)
        return text + ("%" if self.percent else "")


# ---------------------------------------------------------------------- reasoning blocks and special tokens

_THINK_TAGS = r"think|thinking|thought|reasoning|reflection|seed:think|scratchpad"
_OPEN = re.compile(rf"<(?:{_THINK_TAGS})>|\[THINK\]|<\|begin_of_thought\|>|◁think▷", re.IGNORECASE)
_CLOSE = re.compile(rf"</(?:{_THINK_TAGS})>|\[/THINK\]|<\|end_of_thought\|>|◁/think▷", re.IGNORECASE)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)\s*(?:<\|constrain\|>\s*\w+\s*)?<\|message\|>")
_TURN_END = re.compile(
    r"<\|(?:im_end|eot_id|end|endoftext|end_of_text|eom_id|return|user|assistant|im_start|start_header_id)\|>"
    r"|</s>|<end_of_turn>|<start_of_turn>|<eos>|<｜(?:end▁of▁sentence|User|Assistant)｜>|\[/?INST\]"
)


def split_reasoning(completion: str, opened: bool = False) -> tuple[str, bool]:
    """The text outside reasoning blocks, and whether a block was left unfinished.

    `opened` says that the chat template already wrote the opening tag. A closing tag without an opening one ends a
    block that began with the completion.
    """
    outside, _, unfinished = _walk_reasoning(completion, opened)
    return outside, unfinished


def separate_reasoning(completion: str) -> tuple[str, str]:
    """The text outside reasoning blocks and the text inside of them, which may be unfinished, both without tags."""
    outside, inside, unfinished = _walk_reasoning(completion, False)
    if outside == completion:
        return outside, ""
    # A channel that was left unfinished is what follows its marker.
    return ("", f"{inside}{outside}".strip()) if unfinished and _CHANNEL.search(completion) else (
        outside.strip(), inside.strip()
    )  # fmt: skip


def _walk_reasoning(completion: str, opened: bool) -> tuple[str, str, bool]:
    channels = list(_CHANNEL.finditer(completion))
    if channels:
        last = channels[-1]
        before = _CHANNEL.sub("", completion[: last.start()])
        return completion[last.end() :], before, last.group(1).casefold() != "final"
    outside: list[str] = []
    inside: list[str] = []
    position, depth = 0, int(opened)
    for tag in sorted([*_OPEN.finditer(completion), *_CLOSE.finditer(completion)], key=re.Match.start):
        part = completion[position : tag.start()]
        if tag.re is _OPEN:
            (inside if depth else outside).append(part)
            depth = 1
        else:
            if not depth:
                inside, outside = [*inside, *outside], []
            inside.append(part)
            depth = 0
        position = tag.end()
    (inside if depth else outside).append(completion[position:])
    return "\n".join(outside), "\n".join(inside), bool(depth)


_OPEN_AT_END = re.compile(rf"(?:{_OPEN.pattern})\s*\Z", re.IGNORECASE)


def opening_tag(prompt: str) -> str:
    """The reasoning tag that a prompt ends with, as some chat templates write it; empty where it ends otherwise.

    Put before the completion, it makes a block that does not close readable as what it is: an unfinished one.
    """
    found = _OPEN_AT_END.search(prompt, max(0, len(prompt) - 60))
    return found[0] if found else ""


def _first_turn(text: str) -> str:
    """Up to the first leaked end-of-turn token; a leading one is dropped."""
    text = text.lstrip()
    while (found := _TURN_END.match(text)) is not None:
        text = text[found.end() :].lstrip()
    found = _TURN_END.search(text)
    return text[: found.start()] if found else text


# ---------------------------------------------------------------------- plain text

_VULGAR = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
_CHARACTERS = str.maketrans(
    {chr(0xFF10 + d): str(d) for d in range(10)}
    | {chr(0x0660 + d): str(d) for d in range(10)}
    | dict.fromkeys("−–‒﹣－", "-")
    | dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000", " ")
    | {
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "，": ",",
        "．": ".",
        "：": ":",
        "＝": "=",
        "％": "%",
        "⁄": "/",
        "＄": "$",
    }
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", None)
)
_TEX_WRAP = re.compile(
    r"\\(?:text|textbf|textit|textrm|texttt|mathrm|mathbf|mathit|mathsf|mbox|boldsymbol|bm|emph|underline|operatorname)"
    r"\s*\{([^{}]*)\}"
)
_TEX_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}\s*\{([^{}]*)\}|(\d)\s*(\d))")
_TEX_SPACE = re.compile(r"\\[,;:!> ]|\\q?quad\b|~")
_UNIT_POWER = re.compile(r"\b([mcdk]?m|s|ft|in|yd|inches|feet|met(?:er|re)s?|units?)\s*\^\s*(?:[23]|\{\s*[23]\s*\})")
_EMPHASIS = re.compile(r"[*`]+|(?<!\w)__?|__?(?!\w)|</?(?:b|i|strong|em|u|code|answer|p|br|span)\s*/?>", re.IGNORECASE)


def plain(text: str) -> str:
    """Text without Markdown emphasis, TeX wrappers and typographic variants of digits, signs and spaces."""
    text = text.translate(_CHARACTERS)
    text = re.sub(r"(?<=\d)\s*([½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])", lambda m: " " + _VULGAR[m[1]], text)
    text = re.sub(r"[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]", lambda m: _VULGAR[m[0]], text)
    text = text.replace("{,}", ",").replace("\\%", "%").replace("\\$", "$").replace("\\#", "#").replace("\\&", "&")
    text = _TEX_SPACE.sub(" ", text)
    for _ in range(3):
        text, wrapped = _TEX_WRAP.subn(r" \1 ", text)
        # A digit before a fraction makes a mixed number.
        text, fractions = _TEX_FRACTION.subn(lambda m: f" {m[1] or m[3]}/{m[2] or m[4]} ", text)
        if not wrapped and not fractions:
            break
    text = re.sub(r"\\(?:left|right|displaystyle)\b", "", text)
    text = re.sub(r"\\(?:times|cdot)\b", "×", text)
    text = re.sub(r"\\(?:approx|simeq|equiv)\b", "=", text).replace("≈", "=")
    text = _UNIT_POWER.sub(r"\1", text)
    text = re.sub(r"\^\s*\{?\s*\\circ\s*\}?|\\degree\b", "°", text)
    text = re.sub(r"\\[()\[\]]|\$\$", " ", text)
    # A pair of dollar signs around mathematics; a single one is a currency.
    text = re.sub(r"\$([^$\n]{1,120}?)\$(?!\d)", r" \1 ", text)
    return _EMPHASIS.sub("", text)


# ---------------------------------------------------------------------- numbers

_UNITS = dict(
    zip(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split(),
        range(20),
        strict=True,
    )
)
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fourty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
         "ninety": 90}  # fmt: skip
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_COUNTS = {"dozen": 12, **_SCALES}
_NUMBER_WORD = "|".join([*_UNITS, *_TENS, *_SCALES])
_WORDS = re.compile(
    rf"\b(?:an?\s+(?=hundred|thousand|million))?(?:{_NUMBER_WORD})(?:(?:\s+|-|\s+and\s+)(?:{_NUMBER_WORD}))*"
    r"(?:\s+dozen)?\b|\b(?:an?|half\s+an?)\s+dozen\b",
    re.IGNORECASE,
)
_HAS_NUMBER = re.compile(rf"[\d½⅓⅔¼¾]|\b(?:{_NUMBER_WORD}|dozen|half|third|quarter)\b", re.IGNORECASE)
_DIGITS = r"(?:\d{1,3}(?:[, '’]\d{3})+(?!\d)|\d+)"
_NUMBER = re.compile(
    rf"""(?<![^\W\u3040-\u9fff\uac00-\ud7a3])(?<!\.)(?P<sign>[-+]\s?)?(?P<currency>[$€£¥₹]\s*|(?:USD|EUR|GBP|Rs\.?)\s*)?(?P<sign2>-)?
    (?:(?P<mixed>\d+\s+\d+\s*/\s*\d+)|(?P<fraction>\d+\s*/\s*\d+)
      |(?P<european>\d{{1,3}}(?:\.\d{{3}})+,\d+|\d{{1,3}}(?:\.\d{{3}}){{2,}}(?![\d.]\d)|\d{{1,3}}\.\d{{3}}(?=\s*(?:€|euros?\b)(?!\s*/))
        |\d+,\d{{1,2}}(?![\d,]\d|\d))
      |(?P<indian>\d{{1,2}}(?:,\d{{2}})+,\d{{3}}(?![\d,]))
      |(?P<decimal>{_DIGITS}(?:\.\d+)?|\.\d+)(?:[eE](?P<exponent>[+-]?\d{{1,3}}))?)
    (?P<power>[⁰¹²³⁴⁵⁶⁷⁸⁹]+|\s?\^\s?\{{?\d+\}}?)?
    (?P<percent>\s*(?:%|percent\b|per\ cent\b))?
    (?P<scale>[kK](?![\w])|\s+(?:dozen|hundred|thousand|million|billion)\b)?""",
    re.VERBOSE,
)
_CLOCK = re.compile(r"(?<![\d:])(\d{1,2}):(\d{2})(?![\d:])(?:\s*([ap])\.?\s?m\b\.?)?", re.IGNORECASE)


_FULL_HOUR = re.compile(r"(?<![\d:.,])(\d{1,2})\s*(?:o'clock\b|[ap]\.?\s?m\b\.?|Uhr\b)", re.IGNORECASE)


def parse_words(text: str) -> Fraction | None:
    """English number words up to billions, "a hundred and five"; None where the words make no number."""
    words = re.findall(r"[a-z]+", text.casefold())
    if words[-1:] == ["dozen"]:
        dozens = Fraction(1, 2) if words[0] == "half" else parse_words(" ".join(words[:-1])) or Fraction(1)
        return 12 * dozens
    total = group = 0
    last = None
    for word in words:
        if word in _UNITS:
            if last == "unit":
                return None
            group, last = group + _UNITS[word], "unit"
        elif word in _TENS:
            if last in ("unit", "tens"):
                return None
            group, last = group + _TENS[word], "tens"
        elif word == "hundred":
            group, last = (group or 1) * 100, "scale"
        elif word in _SCALES:
            total, group, last = total + (group or 1) * _SCALES[word], 0, "scale"
        elif word not in ("a", "an", "and"):
            return None
    return Fraction(total + group)


_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


def _quantity(match: re.Match[str]) -> Quantity | None:
    """The value of a `_NUMBER` match; None where it has none (1/0) or is out of bounds."""
    found = match.groupdict()
    try:
        value = _magnitude(found)
    except (ZeroDivisionError, ValueError):
        return None
    if found["power"]:
        exponent = int(re.sub(r"\D", "", found["power"].translate(_SUPERSCRIPTS)))
        if exponent > 20 or value.numerator.bit_length() > 64:
            return None
        value **= exponent
    if found["scale"]:
        scale = found["scale"].strip().casefold()
        value *= 1000 if scale == "k" else _COUNTS[scale]
    negative = "-" in (found["sign"] or "") + (found["sign2"] or "")
    return Quantity(-value if negative else value, bool(found["percent"]))


def _magnitude(found: dict[str, str]) -> Fraction:
    if part := found["mixed"] or found["fraction"]:
        *whole, top, bottom = (int(n) for n in re.findall(r"\d+", part))
        return sum(whole) + Fraction(top, bottom)
    if found["european"]:
        return Fraction(found["european"].replace(".", "").replace(",", "."))
    if found["indian"]:
        return Fraction(found["indian"].replace(",", ""))
    exponent = int(found["exponent"] or 0)
    if abs(exponent) > 60:
        raise ValueError(exponent)
    digits = re.sub(r"[, '’]", "", found["decimal"])
    value = Fraction(int(digits) if digits.isdecimal() else digits)
    return value * Fraction(10) ** exponent if exponent else value


@dataclass(frozen=True, slots=True)
class _Found:
    start: int
    end: int
    quantity: Quantity | None
    """None where it is written as a number but has no value: 1/0."""


def _quantities(text: str) -> list[_Found]:
    """Every number of a plain text in order, digits and words."""
    found = []
    for match in _NUMBER.finditer(text):
        # 5-3 is a subtraction, not 5 and −3; a number glued to letters is part of a name: A4, COVID-19.
        after = text[match.end() : match.end() + 1]
        if after.isalpha() and after < "\u3040" and not match.group("scale"):
            glued = re.match(r"(?:[A-Za-zµ°]{1,3}|st|nd|rd|th)\b", text[match.end() :])
            if glued is None or glued.group() in ("st", "nd", "rd", "th") or text[match.end() :].startswith("x"):
                continue
        if match.start() and text[match.start() - 1] == "-" and text[match.start() - 2 : match.start() - 1].isalpha():
            continue
        found.append(_Found(match.start(), match.end(), _quantity(match)))
    for match in _WORDS.finditer(text):
        if not any(f.start <= match.start() < f.end for f in found) and not _is_pronoun(match, text):
            value = parse_words(match.group())
            found.append(_Found(match.start(), match.end(), None if value is None else Quantity(value)))
    found = [_with_surroundings(f, text) for f in sorted(found, key=lambda f: f.start)]
    if not found and (part := _FRACTION_WORD.search(text)) is not None:
        found.append(_Found(part.start(), part.end(), Quantity(_PARTS[part[1].casefold()])))
    return found


_PART_NAMES = ("half", "third", "quarter", "fourth", "fifth", "sixth", "eighth", "tenth")
_PARTS = dict(zip(_PART_NAMES, (Fraction(1, n) for n in (2, 3, 4, 4, 5, 6, 8, 10)), strict=True))
_FRACTION_WORD = re.compile(
    r"(?<!first )(?<!second )(?<!other )(?<!last )\b(?:an?\s+|one[\s-])?(half|third|quarter)\b"
    r"(?=\W*$|\s+of\b|\s+the\b|\s+an?\b)",
    re.IGNORECASE,
)
_PART_AFTER = re.compile(
    rf"\s+and\s+(?:a|one)[\s-]+(half|third|quarter)\b|[\s-](halves|{'|'.join(p + 's?' for p in _PART_NAMES)})\b",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(r"(?P<operand>[\w)]\s+)?\b(?:minus|negative)\s+$", re.IGNORECASE)


def _is_pronoun(match: re.Match[str], text: str) -> bool:
    """Whether a number word stands for things: "another one", "one of them", "add the two"."""
    before, after = text[max(0, match.start() - 12) : match.start()], text[match.end() : match.end() + 12]
    if re.search(r"\b(?:the|these|those|other)\s+$", before, re.IGNORECASE) and re.match(r"\s*(?:[.,;:!]|$)", after):
        return True
    if match.group().casefold() != "one":
        return False
    return bool(
        re.search(r"\b(?:another|this|that|which|the|each|every|any|no|last|first|next)\s+$", before, re.IGNORECASE)
        or re.match(r"\s+(?:of|who|with|by|way|that|whose)\b|-", after, re.IGNORECASE)
    )


def _with_surroundings(number: _Found, text: str) -> _Found:
    """Reads the "minus" before a number and the "and a half" or "thirds" after it."""
    if number.quantity is None:
        return number
    value, start, end = number.quantity.value, number.start, number.end
    if (part := _PART_AFTER.match(text, end)) is not None and (part[1] or (value < 20 and text[start].isalpha())):
        fraction = _PARTS[(part[1] or part[2]).casefold().removesuffix("s").replace("halve", "half")]
        value, end = value + fraction if part[1] else value * fraction, part.end()
    minus = _NEGATIVE.search(text, max(0, start - 20), start)
    if minus is not None and not re.search(
        rf"(?:\d|\b(?:{_NUMBER_WORD})|[)%])\s+$", text[: minus.start()] + (minus["operand"] or "")
    ):
        value, start = -value, minus.end("operand") if minus["operand"] else minus.start()
    return number if value == number.quantity.value else _Found(start, end, Quantity(value, number.quantity.percent))


_OPERATOR_BETWEEN = re.compile(
    r"\s*(?:[-+*×·/÷^x]|plus|minus|times|divided by|multiplied by|over|mod)\s*", re.IGNORECASE
)
_ALTERNATIVE = re.compile(r"\b(?:or|and|oder|und|ou|et|o|y)\b|[;,&|]")
_COMPOUND = re.compile(
    r"\b(?:hours?|hrs?|h|minutes?|mins?|feet|foot|ft|days?|weeks?|years?|pounds?|lbs?|kg|km|m|liters?|litres?|degrees?)"
    r"[,\s]*(?:and\s+)?$",
    re.IGNORECASE,
)


_LEADS = re.compile(r"(?:about|approximately|roughly|exactly|only|just|\W)*[$€£]?[-+]?\d", re.IGNORECASE)
_CENTS = re.compile(r"\b(?:cents?|pence)\b", re.IGNORECASE)
_MONEY_AND = re.compile(r"\s*(?:dollars?|euros?|pounds?)?\s*(?:and|,)?\s*")
NO_NUMBER = "no number"
NO_VALUE = "a number without a value"
EXPRESSION = "an unevaluated expression"
COMPOUND = "a measure in two units"
TWO_NUMBERS = "two different numbers"


def read_quantity(text: str) -> Quantity | str:
    """The one quantity that a short answer text states, or in words why there is none (see the constants above)."""
    return _one_quantity(plain(text).strip())


def exact_quantity(text: str) -> Quantity | None:
    """The quantity that a text is, with a currency sign or a unit, and nothing else: what a gold answer must be."""
    cleaned = plain(text)
    if not _NUMBER_WITH_UNIT.fullmatch(_without(cleaned, _quantities(cleaned))):
        return None
    found = _one_quantity(cleaned.strip())
    return found if isinstance(found, Quantity) else None


_NUMBER_WITH_UNIT = re.compile(r"\s*0\s*(?:[^\W\d_][\w .'/²³-]*|°\s?\w*|[€£$¥₹])?\.?\s*")


def _one_quantity(text: str) -> Quantity | str:
    """`read_quantity` of a plain text."""
    text = re.sub(r"^[\s\"'(\[<{:=-]*(?<!\d)(?=[\w$€£¥₹.])|[\s\"')\]>}!?]+$", lambda m: _keep_sign(m[0]), text)
    if "=" in text:
        # The right side of an equation is its result; of "12 = 5 + 7" it is the left.
        sides = [_one_quantity(side.strip()) for side in text.split("=") if side.strip()]
        return next((side for side in (sides[-1:] + sides[:1]) if isinstance(side, Quantity)), EXPRESSION)
    bare = re.sub(r"\((?![^)]*\bor\b)[^)]*\)", " ", text)
    text = bare if _quantities(bare) else text
    numbers = _quantities(text)
    if not numbers:
        return NO_NUMBER
    values = [n.quantity for n in numbers if n.quantity is not None]
    if len(values) < len(numbers):
        return NO_VALUE
    before = text[: numbers[0].start].strip()
    if before in tuple("+*×·÷^") or re.search(r"\d\s*(?:[/*+÷×]|plus|minus|times)\s*$|[\^\\]", _without(text, numbers)):
        return EXPRESSION
    for one, other in zip(numbers, numbers[1:], strict=False):
        between, after = text[one.end : other.start], text[other.end :]
        if _OPERATOR_BETWEEN.fullmatch(between) or re.search(r"[+*×÷]", between):
            return EXPRESSION
        if len(numbers) == 2 and _MONEY_AND.fullmatch(between) and re.match(r"\s*(?:cents?|pence)\b", after):
            return Quantity(values[0].value + values[1].value / 100)
        if _COMPOUND.search(between):
            return COMPOUND
    return values[0] if len({(v.value, v.percent) for v in values}) == 1 else TWO_NUMBERS


def _without(text: str, numbers: list[_Found]) -> str:
    """The text with a 0 in place of each number: what is left of an expression shows."""
    parts, end = [], 0
    for number in numbers:
        parts += [text[end : number.start], "0"]
        end = number.end
    return "".join([*parts, text[end:]])


def _keep_sign(text: str) -> str:
    return "-" if text.endswith("-") else ""


_ONE_TIME = re.compile(r"\s*\d{1,2}:\d{2}\s*(?:[ap]\.?m\.?)?\.?\s*", re.IGNORECASE)


def exact_clock(text: str) -> int | None:
    """Minutes since twelve of a text that is a time and nothing else: what a gold answer must be."""
    found = read_clock(text) if _ONE_TIME.fullmatch(text) else None
    return found if isinstance(found, int) else None


def read_clock(text: str) -> int | str | None:
    """Minutes since twelve of a twelve-hour clock; a string where two different times are named."""
    times = set()
    text = plain(text)
    for hour, minute in [m[:2] for m in _CLOCK.findall(text)] + [(hour, "0") for hour in _FULL_HOUR.findall(text)]:
        if int(hour) <= 24 and int(minute) < 60:
            times.add(int(hour) % 12 * 60 + int(minute))
    if len(times) > 1:
        return "two different times"
    return next(iter(times), None)


# ---------------------------------------------------------------------- tiers

_HASHES = re.compile(r"(?<!#)#{4}(?!#)|(?<!#)#{2,6}(?=\s?[-−$€£¥]?\s?\d)|(?<!#)#{5,6}(?!#)")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_CORRECTION = re.compile(
    r"\b(?:wait|no|nope|actually|instead|sorry|mistake|correction|correct(?:ed|ing)|recheck|re-check|double[- ]check|"
    r"let me|hold on|hmm|rather|revis\w+|wrong|oops|error|reconsider\w*|but)\b",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"""(?P<final>\bfinal\s+)?\b(?:correct\s+|overall\s+|numerical\s+|numeric\s+)?
    (?:answer|ans|result|solution(?=\s*(?:is\b|:|=)))\b
    (?:\s+(?:to|for|of)\s+(?:the|this|your|that)\s+(?:\w+\s+){0,3}?(?:question|problem|puzzle|exercise|calculation|task))?
    (?:\s*\((?:[^()\n]{1,30})\))?
    ["']?\s*(?:(?:therefore|thus|then|hence|so|,)\s+)?
    (?P<verb>:|=|\bis\b\s*:?|\bwould\s+be\b|\bshould\s+be\b|\bmust\s+be\b|\bwill\s+be\b|\bcomes?\s+(?:out\s+)?to\b|\bequals?\b|\bwas\b|-(?=\s))
    |\b(?:la\s+respuesta(?:\s+final)?(?:\s+(?:correcta|es))*|die\s+(?:richtige\s+|korrekte\s+)?antwort(?:\s+(?:ist|lautet))?|(?:antwort|lösung|ergebnis)(?=\s*:)|la\s+r[ée]ponse(?:\s+finale)?(?:\s+est)?|
    r[ée]ponse(?=\s*:)|respuesta(?=\s*:)|a\s+resposta(?:\s+final)?(?:\s+[ée])?|resposta(?=\s*:)|la\s+risposta(?:\s+[èe])?|risposta(?=\s*:)|ответ|答案(?:是|为)?|答え(?:は)?|答|정답(?:은)?)\s*[:：]?(?P<foreign>)""",
    re.IGNORECASE | re.VERBOSE,
)
_HEADING = re.compile(
    r"^[ \t#>*_-]*(?:the\s+)?(?:final\s+|correct\s+)?(?:answer|result|solution)\s*[:.]?[ \t*_#]*$",
    re.IGNORECASE | re.MULTILINE,
)
_NOT_A_CLAIM = re.compile(
    r"(?P<condition>\bif\b)[^.\n]{0,40}$"
    r"|(?:\bwhether|\bassum\w+|\bsuppos\w+|\bhint|\bsuggest\w*|\bclaim\w*|\bcheck\w*|\bverify|\bthat)\b"
    r"(?:(?!\b(?:but|however|yet)\b)[^.\n]){0,40}$"
    r"|\b(?:wrong|incorrect|first|initial|previous|your|their|his|her)\s*$",
    re.IGNORECASE,
)
_FALSE_START = re.compile(
    r"^\s*(?:not\b|(?:somewhere|something|at\s+least|at\s+most|between)\b|n't\b|wrong|incorrect|unknown|unclear|in\s+the\s+form|to\b)",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"\b(?:not|isn't|cannot|can't|don't|doesn't|unclear|unknown|unable|impossible)\b", re.IGNORECASE)
_LIST_FOLLOWS = re.compile(r"[\s*_]*\n\s*(?:[*•+-]|\d{1,2}[.)])\s+\S")
_ANSWER_HEADING = re.compile(r"[\s*_]*(?:the\s+)?(?:final\s+)?answer\s*:?[\s*_]*", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?。])(?<!\b[A-Z]\.)(?<!\d\.(?=\d))(?:[\"')\]*]*)\s+|\n+")
_RESULT_WORDS = re.compile(
    r"\b(?:so|therefore|thus|hence|altogether|total|in all|left|remain\w*|now has|now have|equals?|is|are|has|have|had|"
    r"costs?|needs?|makes?|made|gives?|earns?|earned|spent|spends?|pays?|paid|was|were|takes?|gets?|sold|bought|finish\w*|ends?)\b|=",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"\$([^$\n]{1,200})\$|\\\(([^\n]{1,200}?)\\\)|\\\[(.{1,200}?)\\\]", re.DOTALL)
_STATES = re.compile(
    r"\b(?:has|have|had|is|are|was|were|be|left|equals?|costs?|needs?|makes?|made|gives?|gets?|obtain|earn(?:s|ed)|"
    r"spen(?:d|ds|t)|pays?|paid|takes?|took|sold|bought|total(?:\s+of)?|leaves?|leaving|remain(?:s|ing)?|"
    r"(?:up|amounts?|comes?|came|equal|rises?|rose|falls?|fell)\s+to|(?:rises?|rose|falls?|fell|drop(?:s|ped)|"
    r"(?:in|de)creased?s?)\s+by|collected|read|baked|picked|used|eat|ate|saved|received|got|holds?|produces?|carries|owns?)(?:\s+(?:about|only|still|now|exactly))?\s*:?\s*$",
    re.IGNORECASE,
)
_MAY_STATE = re.compile(r"\b(?:to|at|by|for|about|only|still|now|of)\s*:?\s*$", re.IGNORECASE)


def read_answer(
    completion: str,
    kind: AnswerKind,
    *,
    question: str = "",
    options: tuple[str, ...] = (),
    truncated: bool = False,
    opened: bool = False,
) -> ReadAnswer:
    """The final answer of `completion` to `question`, which may be unknown.

    `options` are the words that a CHOICE answer may be. `truncated` says that the token limit cut the completion off:
    an answer that touches the cut is not trusted. `opened`: see `split_reasoning`.
    """
    visible, unfinished = split_reasoning(completion, opened)
    if unfinished:
        return ReadAnswer(Reading.TRUNCATED, reason="The reasoning block is not finished.")
    text = re.sub(r"[^\S\n]{2,}", " ", _first_turn(visible)[-MAX_TAIL:].translate(_CHARACTERS))
    reader = _Reader(kind, options, Asked.of(question))
    for header in list(_NEXT_PROBLEM.finditer(text))[:MAX_CLAIMS]:
        # A model that goes on with a problem of its own has answered before it.
        before = text[: header.start()]
        if before.strip() and any(
            f and f[0].reading is Reading.FOUND for f in (reader.marked(before), reader.labelled(before))
        ):
            text = before
            break
    marked = reader.marked(text)
    labelled = reader.labelled(text)
    if marked is not None:
        found, end = marked
        # A different answer that is labelled after the marker contradicts it.
        if (
            found.reading is Reading.FOUND
            and labelled is not None
            and labelled[1] > end
            and labelled[0].reading is Reading.FOUND
            and not same_answer(found.answer, labelled[0].answer)
        ):
            found = ReadAnswer(Reading.AMBIGUOUS, Tier.MARKER, reason="The marker and a later label differ.")
    elif labelled is not None:
        found, end = labelled
        if (restart := _RESTART.search(text, end)) is not None:
            later = reader.stated(text[restart.end() :])
            found, end = (later, len(text)) if later.reading is Reading.FOUND else (found, end)
    elif truncated:
        return ReadAnswer(Reading.TRUNCATED, reason="The completion was cut off before an answer.")
    else:
        return reader.stated(text)
    return reader.at_the_cut(text, found) if truncated and not text[end:].strip() else found


@dataclass(frozen=True, slots=True)
class _Claim:
    """A place in the text that states a final answer."""

    start: int
    end: int
    read: ReadAnswer


_RESTART = re.compile(
    r"\b(?:no,?\s+wait|wait,?\s+no|no,?\s+that'?s\s+(?:wrong|not\s+right)|scratch\s+that|make\s+that|I\s+mean|oops|correction)\b[,.:!]*",
    re.IGNORECASE,
)
_CONTRAST = re.compile(r"\bnot\s+[^,.;\n]{1,40}[,;]?\s+but\s+(?:rather\s+)?", re.IGNORECASE)
_NEGATED = re.compile(
    r"(?:[,;(]\s*|\b(?:and|but)\s+)not\s[^,.;)\n]*\)?|\b(?:rather\s+than|instead\s+of|unlike)\s[^,.;\n]*",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"\b(?:although|even\s+though|though|because|since|whereas|despite|who\s+(?:is|was|has|had)|"
    r"which\s+is\s+(?:about|almost|roughly|nearly|(?:\S+\s+){1,3}(?:before|after|more|less|earlier|later)))\b"
    r"|,\s[$€£]?\d[\d.,]*\s(?:\w+\s)?(?:more|less|fewer|older|younger|taller|shorter|longer|earlier|later)\b",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"[^\w]*(?:since|because|as|although|while|given|if|even\s+though|when|after|at|in|on|with|from|for|of|by|out\s+of)\b[^,\n]{1,120},\s+",
    re.IGNORECASE,
)
_SO = re.compile(
    r"\b(?:so|therefore|thus|hence|consequently|donc|daher)\b(?!\s+(?:far|many|much|that))[,:]?\s*", re.IGNORECASE
)
_CONSEQUENCE = re.compile(
    r"[,;]\s*(?:which\s+(?:makes|is|gives|leaves|means|equals)|making|leaving|giving|for\s+a\s+total\s+of|i\.\s?e\.)"
    r"\s+(?!(?:about|almost|nearly|roughly)\b|\S+\s(?:\w+\s)?(?:before|after|more|less|fewer|earlier|later|per|an?)\b)",
    re.IGNORECASE,
)
_OPERATOR_AFTER = re.compile(r"\s*[×*·÷+]\s*[(A-Za-z]")
_LISTING = re.compile(r"\b(?:total|altogether)\b[\w\s]*?(?P<list>:\s*\d[^=]*)$", re.IGNORECASE)
_EITHER = re.compile(
    r"(?:\s+[A-Za-z]{1,12})?\s*,?\s*\b(?:or|oder|ou)\s+(?:maybe\s+|[a-z]\s*=\s*)?|\s*,\s*maybe\s+", re.IGNORECASE
)
_REFERENCE = re.compile(r"\b(?:after|before|from|than|since)\s+(?:an?\s+|the\s+)?[*_]*$", re.IGNORECASE)
_PER_ONE = re.compile(r"\b(?:in|per|every|within)\s+(?:1|one)\s+[a-z]+|\b(?:in|since)\s+(?:19|20)\d\d\b", re.IGNORECASE)
_NAME_BEFORE = re.compile(
    r"\b(?!(?:So|Then|Thus|Hence|Therefore|After|With|From|The|There|Each|Only|About|Exactly|And|All|Now|Since|Because|"
    r"If|When|Total|Sum|Answer|Result|For|Of|In|On|By|At|To|Just|Over|Is|Are|Has|Or|Minus|Plus|Times|Mr|Both)\b)"
    r"[A-Z][a-z]{2,}\s+$"
)
_GIVEN_TIME = re.compile(
    r"\b(?:after|before|from|than|since|(?:leaves?|starts?|begins?|opens?|departs?)\s+at)\s+\d{1,2}:\d{2}"
    r"|\d{1,2}:\d{2}\s+(?:plus|minus|and)\b",
    re.IGNORECASE,
)
_GIVEN_BEFORE = re.compile(
    r"\b(?:(?:each\s+)?(?:out\s+)?of(?:\s+(?:the|all|these|those))?|(?:down|up)\s+from|than|for(?:\s+the)?|to\s+(?!get|make|reach|obtain|give|pay|save|earn)[a-z]+)\s+[$€£]?$",
    re.IGNORECASE,
)
"""Before a number that is given rather than found, where another number comes before it."""
_BOUND = re.compile(
    r"\b(?:at\s+least|at\s+most|no\s+more\s+than|fewer\s+than|less\s+than|more\s+than|between)\s+[$€£]?$", re.IGNORECASE
)
_COURTESY = re.compile(
    r"\b(?:let\s+me\s+know|feel\s+free|would\s+you\s+like|if\s+you(?:'d|\s+would)?\s+(?:like|need|want|have)|anything\s+else|"
    r"hope\s+(?:this|that|it)|have\s+a\s+(?:nice|great|good)|thank(?:s|\s+you)|happy\s+to\s+help|see\s+you|good\s+luck|"
    r"great\s+(?:job|work|question))\b",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"(?:^|(?<=[.!?]\s)|(?<=\n))[ \t*_>#-]*"
    r"(?:(?:check|verification|explanation|reasoning|note|why|proof|confidence)\s*[*_]*[:?]|to\s+check\b)",
    re.IGNORECASE,
)
_PLAN = re.compile(
    r"\b(?:we|you|I)(?:\s+(?:first|then|now|still))*\s+(?:have\s+to|need\s+to|must|should|look\s+at)\b", re.IGNORECASE
)
_UNFINISHED = re.compile(r"(?:\.\.\.|…|\b(?:answer|result|solution)\s*[*_]*:[\s*_]*)\s*$", re.IGNORECASE)
_FENCE = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_NEXT_PROBLEM = re.compile(
    r"^[ \t#*_]*(?:(?:next|new|follow-?up)\s+)?(?:question|problem|exercise|user|human|instruction|Q)\s*\d*\s*[*_]*:",
    re.IGNORECASE | re.MULTILINE,
)
_ANSWER_TAG = re.compile(r"<answer>(.{1,300}?)</answer>", re.DOTALL | re.IGNORECASE)


_HOW_MANY = re.compile(
    r"\b(?:how\s+many|what\s+number\s+of|number\s+of)\s+(?:(?:more|fewer|less|total|other|extra|additional|whole)\s+)*"
    r"((?:[a-z'-]+\s+){0,3}?[a-z'-]+)(?=\s+(?:do|does|did|are|is|was|were|will|would|can|could|should|must|may|might|has|have|"
    r"had|of|in|on|at|to|for|with|from|per|each|left|there|remain\w*|be|than|that|who|which|they|he|she|it|you|we|i)\b|[?.,]|$)",
    re.IGNORECASE,
)
_IN_UNITS = re.compile(r"\b(?:in|express\w*\s+in)\s+([a-z]{3,})\s*(?:\?|$)", re.IGNORECASE)
_HOW_OLD = re.compile(r"\bhow\s+old\b", re.IGNORECASE)
_HOW_MUCH_MONEY = re.compile(r"\bhow\s+much\b|\bwhat\b[^.?]*\b(?:price|cost|bill|change|profit)\b", re.IGNORECASE)
_MONEY = frozenset("dollar dollars cent cents euro euros pound pounds usd rupees bucks".split())


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question tells of its answer: the numbers that it gives, the nouns or units that it asks for."""

    given: frozenset[Fraction] = frozenset()
    nouns: frozenset[str] = frozenset()
    words: str = ""
    denies: bool = False
    """Whether it asks for what is not: a "not" in the answer then denies nothing."""

    @classmethod
    def of(cls, question: str) -> Asked:
        """Of a question's text; of none nothing is known."""
        text = plain(question[:MAX_TAIL])
        given = frozenset(n.quantity.value for n in _quantities(text) if n.quantity is not None)
        nouns = {found.split()[-1].casefold() for found in _HOW_MANY.findall(text)}
        nouns |= {found.casefold() for found in _IN_UNITS.findall(text)}
        nouns |= {"year", "years"} if _HOW_OLD.search(text) else set()
        nouns |= _MONEY if _HOW_MUCH_MONEY.search(text) else set()
        return cls(given, frozenset(nouns), _words(text), bool(_DENIAL.search(text)))

    @property
    def known(self) -> bool:
        return bool(self.words)

    def is_new(self, number: _Found) -> bool:
        """Whether a number is not one that the question gives."""
        return number.quantity is not None and number.quantity.value not in self.given

    def restates(self, sentence: str) -> bool:
        """Whether a sentence stands in the question word for word."""
        words = _words(plain(sentence))
        return words.count(" ") >= 4 and words.strip() in self.words

    def named_after(self, text: str, number: _Found) -> bool:
        """Whether what is asked for stands right after a number: 12 boxes, 12 red boxes; $12 where it is money."""
        if self.nouns & _MONEY and re.match(r"[-+]?\s?[$€£¥₹]", text[number.start :]):
            return True
        after = _TWO_WORDS.match(text, number.end)
        words = after[0].casefold().split() if after is not None else ()
        return any(_same_noun(word, noun) for word in words for noun in self.nouns)


_TWO_WORDS = re.compile(r"\s*[A-Za-z'-]+(?:\s+[A-Za-z'-]+)?")


def _words(text: str) -> str:
    """Its words and numbers, a space around each."""
    words = " ".join(re.findall(r"[^\W_]+", text.casefold()))
    return f" {words} "


def _same_noun(one: str, other: str) -> bool:
    """Whether two words are one noun, in whatever number: box and boxes, city and cities."""
    short, long = sorted((one, other), key=len)
    return one == other or long in (f"{short}s", f"{short}es", f"{short[:-1]}ies")


class _Reader:
    """The tiers for one kind of answer."""

    def __init__(self, kind: AnswerKind, options: tuple[str, ...], asked: Asked) -> None:
        self.kind, self.asked = kind, asked
        self.options = {plain(o).strip().casefold(): o for o in options if o.strip()}

    # -- tier 1

    def marked(self, text: str) -> tuple[ReadAnswer, int] | None:
        """The answer at the last marker, and where it ends."""
        found = sorted([*self._boxes(text), *self._hashes(text)], key=lambda c: c.start)
        # A placeholder repeated from the prompt ("#### answer") does not hide an answer before it.
        readable = [c for c in found if c.read.reading is not Reading.NOTHING] or found[-1:]
        return self._last_of(readable, text, Tier.MARKER)

    @staticmethod
    def _last_of(found: list[_Claim], text: str, tier: Tier) -> tuple[ReadAnswer, int] | None:
        """The last claim, unless an earlier one differs and no words of correction stand between them."""
        if not found:
            return None
        last = found[-1]
        if last.read.reading is not Reading.FOUND:
            return replace(last.read, tier=tier), last.end
        for other in found[:-1]:
            differs = other.read.reading is Reading.FOUND and not same_answer(other.read.answer, last.read.answer)
            if differs and other.end <= last.start and not _CORRECTION.search(text[other.end : last.start]):
                return ReadAnswer(Reading.AMBIGUOUS, tier, reason="It states two different final answers."), last.end
        return replace(last.read, tier=tier, reason=f"Found at an answer {tier}."), last.end

    def _boxes(self, text: str) -> Iterator[_Claim]:
        for match in list(_BOX.finditer(text))[-MAX_CLAIMS:]:
            end = _closing(text, match.end())
            if end is not None:
                yield _Claim(match.start(), end + 1, self.value(text[match.end() : end]))
        for match in list(_ANSWER_TAG.finditer(text))[-MAX_CLAIMS:]:
            if not _BOX.search(match[1]):
                yield _Claim(match.start(), match.end(), self.value(match[1], lenient=True))

    def _hashes(self, text: str) -> Iterator[_Claim]:
        for match in list(_HASHES.finditer(text))[-MAX_CLAIMS:]:
            content, end = _line_after(text, match.end())
            if _ANSWER_HEADING.fullmatch(content):
                content, end = _line_after(text, end)
            if content and not _BOX.search(content):
                yield _Claim(match.start(), end, self.value(content))

    def at_the_cut(self, text: str, found: ReadAnswer) -> ReadAnswer:
        """An answer that the token limit touches: truncated, unless the same one stands in a line before it."""
        before = text[: max(0, text.rstrip().rfind("\n"))]
        earlier = self.marked(before) or self.labelled(before)
        if earlier is not None and earlier[0].answer and same_answer(earlier[0].answer, found.answer):
            return earlier[0]
        return ReadAnswer(Reading.TRUNCATED, found.tier, reason="The completion was cut off within the answer.")

    # -- tier 2

    def labelled(self, text: str) -> tuple[ReadAnswer, int] | None:
        """The answer after the last label, and where it ends; "final" answers count before others."""
        flat = _EMPHASIS.sub(lambda m: " " * len(m[0]), text)
        conditional: list[_Claim] = []
        found = [
            (c, final) for c, final in self._labels(text, flat, conditional) if c.read.reading is not Reading.NOTHING
        ]
        if not found and len({c.read.answer for c in conditional if c.read.reading is Reading.FOUND}) > 1:
            reason = "It states different answers under different conditions."
            return ReadAnswer(Reading.AMBIGUOUS, Tier.LABEL, reason=reason), conditional[-1].end
        found.sort(key=lambda pair: pair[0].start)
        claims = [c for c, final in found if final] or [c for c, _ in found]
        return self._last_of(claims, flat, Tier.LABEL)

    def _labels(self, text: str, flat: str, conditional: list[_Claim]) -> Iterator[tuple[_Claim, bool]]:
        """Claims with whether they are called final; those under a condition go to `conditional`.

        `flat` is `text` with blanks in place of emphasis.
        """
        for match in _HEADING.finditer(text):
            content, end = _line_after(text, match.end())
            if content:
                yield _Claim(match.start(), end, self.value(content, lenient=True)), True
        for match in list(_LABEL.finditer(flat))[-MAX_CLAIMS:]:
            denied = match.group("foreign") is None and _NOT_A_CLAIM.search(
                flat[max(0, match.start() - 60) : match.start()]
            )
            if (denied and not denied["condition"]) or _LIST_FOLLOWS.match(text, match.end()):
                continue
            content, _ = _line_after(flat, match.end())
            if content and not _FALSE_START.match(content):
                sentence = _SENTENCE.split(content)[0]
                if _BOX.search(sentence):
                    continue
                end = flat.find(sentence, match.end()) + len(sentence)
                claim = _Claim(match.start(), end, self.value(sentence, lenient=True))
                if denied:
                    conditional.append(claim)
                else:
                    yield claim, bool(match.group("final"))

    # -- tier 3

    def stated(self, text: str) -> ReadAnswer:
        """The result that one of the last sentences states."""
        if self.kind is AnswerKind.SYMBOLIC:
            formulas = [f for found in _FORMULA.findall(text) for f in found if f]
            last = formulas[-1] if formulas else text if len(text) < 60 else ""
            return self._result(last.rsplit("=", 1)[-1].strip().rstrip("."))
        if self.kind in _WHOLE_LINES:
            lines = [line for line in text.splitlines() if line.strip()]
            return self._result(_line_answer(lines[0]) if len(lines) == 1 and len(lines[0]) <= MAX_ANSWER else "")
        sentences = self._statements(text[-MAX_RESULT:])
        if self.kind is AnswerKind.NUMBER and self.asked.known:
            return self._result_to_question(sentences)
        for age, sentence in enumerate(reversed(sentences[-4:])):
            found = self._number_in(sentence) if self.kind is AnswerKind.NUMBER else self._word_in(sentence)
            if found is not None:
                return self._result("") if age and not _RESULT_WORDS.search(sentence) else found
        return self._result("")

    def _result_to_question(self, sentences: list[str]) -> ReadAnswer:
        """The result that one of the last sentences states, where the question is known.

        A sentence with no other numbers than the question's is taken only where it concludes something, or where it is
        all there is.
        """
        given: ReadAnswer | None = None
        for age, sentence in enumerate(reversed(sentences[-4:])):
            text = plain(sentence)
            numbers = _quantities(text)
            if self.asked.restates(sentence) or (numbers and not _HAS_NUMBER.search(_CONDITION.sub(" ", text))):
                # What stands under a condition is no result either.
                continue
            if _is_unevaluated(text):
                break
            found = self._number_in(sentence)
            if found is None:
                continue
            if age and not _RESULT_WORDS.search(sentence) and not _LABELLED_NUMBER.fullmatch(text):
                break
            if any(self.asked.is_new(n) for n in numbers) or _CONCLUDES.search(text):
                return found
            given = given or found
        return given if given is not None and len(sentences) == 1 else self._result("")

    def _statements(self, text: str) -> list[str]:
        """The sentences that may state the result; none where the text breaks off before one."""
        text = _FENCE.sub(lambda m: m[1] if len(m[1]) < 40 and self._is_bare(m[1]) else " ", text)
        for remark in _REMARK.finditer(text):
            if self._mentions(text[: remark.start()]):
                text = text[: remark.start()]
                break
        if _UNFINISHED.search(text):
            return []
        head, _, rest = text.strip().partition("\n")
        if (
            rest.strip()
            and len(head) < 40
            and self._is_bare(head)
            and not re.search(r"=|\b(?:so|therefore|thus|hence)\b", rest, re.I)
        ):
            return [head]
        sentences = [s for s in _SENTENCE.split(text) if re.search(r"\w", s)]
        polite = [s for s in sentences if not _COURTESY.search(s)]
        if polite and polite[-1].rstrip().endswith("?"):
            return []
        return polite if any(self._mentions(s) for s in polite) else sentences

    def _is_bare(self, text: str) -> bool:
        """Whether a line is an answer and, at most, its unit."""
        if self.kind is not AnswerKind.NUMBER:
            return self._mentions(text) and len(text.split()) == 1
        return isinstance(read_quantity(text), Quantity) and bool(re.fullmatch(r"[\W\d]*[A-Za-z]*\W*", text))

    def _mentions(self, text: str) -> bool:
        if self.kind is AnswerKind.NUMBER:
            return bool(_HAS_NUMBER.search(text))
        if self.kind is AnswerKind.CLOCK:
            return read_clock(text) is not None
        return bool(self._named(plain(text)) if self.options else text.strip())

    def _main_clause(self, text: str) -> str:
        """A sentence without what it denies, corrects, or adds in a subordinate clause."""
        for restart in reversed(list(_RESTART.finditer(text))):
            if self._mentions(text[restart.end() :]):
                text = text[restart.end() :]
                break
        for pattern in (_CONTRAST, _NEGATED):
            reduced = pattern.sub(" ", text)
            text = reduced if self._mentions(reduced) else text
        listing = _LISTING.search(text)
        if listing is not None and self._mentions(text[: listing.start("list")]):
            text = text[: listing.start("list")]
        for aside in _ASIDE.finditer(text):
            if self._mentions(text[: aside.start()]):
                text = text[: aside.start()]
                break
        leading = _LEADING.match(text)
        return text[leading.end() :] if leading and self._mentions(text[leading.end() :]) else text

    def _conclusion(self, text: str) -> str:
        """What follows "so", "therefore" or "which makes" in a sentence, where it states something."""
        if self.kind is AnswerKind.CLOCK and "=" in text:
            text = text.rsplit("=", 1)[1]
        for pattern in (_CONSEQUENCE, _SO):
            for match in reversed(list(pattern.finditer(text))):
                if self._mentions(text[match.end() :]):
                    text = text[match.end() :]
                    break
        return text

    def _word_in(self, sentence: str) -> ReadAnswer | None:
        read = self.value(sentence, lenient=True)
        if read.reading is Reading.NOTHING:
            return None
        return self._result(read.answer) if read.reading is Reading.FOUND else replace(read, tier=Tier.RESULT)

    def _number_in(self, sentence: str) -> ReadAnswer | None:
        if sentence.rstrip().endswith("?"):
            return None
        main, text = sentence, plain(sentence)
        numbers = _quantities(text)
        if len(numbers) > 1:
            for one, other in zip(numbers, numbers[1:], strict=False):
                if one.quantity != other.quantity and _EITHER.fullmatch(text[one.end : other.start]):
                    return _TWO_RESULTS
            if (chosen := self._only_new(text, numbers)) is not None:
                return chosen
            main = self._main_clause(self._conclusion(sentence))
            text = plain(main)
            numbers = _quantities(text)
        if "**" not in main and self._denies(text):
            return None
        for emphasised in reversed(re.findall(r"\*\*([^*\n]{1,40})\*\*", main)):
            if isinstance(found := read_quantity(emphasised), Quantity):
                return self._result(str(found))
        numbers = [n for n in numbers if n.quantity is not None and not _OPERATOR_AFTER.match(text, n.end)]
        return self._from_numbers(text, numbers)

    def _from_numbers(self, text: str, numbers: list[_Found]) -> ReadAnswer | None:
        """The result among the numbers of a plain main clause."""
        if "=" in text and (result := _after_equals(text)) is not None:
            return self._result(str(result))
        if not numbers or (_PLAN.search(text) and "=" not in text):
            return None
        if _BOUND.search(text[: numbers[0].start]) and len(numbers) <= 1 + ("between" in text):
            return None
        if len({n.quantity for n in numbers}) == 1 or "(" in text or _CENTS.search(text):
            found = read_quantity(text)
            if isinstance(found, Quantity):
                return self._result(str(found))
        if self.asked.known and (chosen := self._asked_for(text, numbers)) is not None:
            return chosen
        if len(numbers) == 2 and _COMPOUND.search(text[numbers[0].end : numbers[1].start]):
            return self._result("")
        return self._main_number(text, numbers)

    def _main_number(self, text: str, numbers: list[_Found]) -> ReadAnswer | None:
        """Of several numbers, the one that a verb of the main clause introduces, or the only one that is not given."""
        asides = [m.span() for m in _PER_ONE.finditer(text)]
        kept = [
            n for n in numbers if not _is_in_name(text, n) and not any(start <= n.start < end for start, end in asides)
        ]
        numbers = kept or numbers
        found = [n for n in numbers[1:] if not _GIVEN_BEFORE.search(text[max(0, n.start - 40) : n.start])]
        numbers = numbers[:1] + found if not _GIVEN_BEFORE.search(text[: numbers[0].start]) else found or numbers[:1]
        if len({n.quantity for n in numbers}) == 1:
            return self._result(str(numbers[0].quantity))
        before = [text[max(0, n.start - 40) : n.start] for n in numbers]
        stated = [n for n, words in zip(numbers, before, strict=True) if _STATES.search(words)]
        stated = stated or [n for n, words in zip(numbers, before, strict=True) if _MAY_STATE.search(words)]
        introduced = re.search(r"\b(?:in total|altogether|overall)\b", text, re.IGNORECASE)
        if introduced:
            later = [n for n in stated if n.start >= introduced.start()]
            stated = (later or stated)[:1]
        coordinated = re.search(r"\b(?:and|but)\s+$", before[1])
        if not stated and not coordinated and not text[: numbers[0].start].strip(" \"'(-"):
            stated = numbers[:1]
        return self._result(str(stated[-1].quantity)) if stated else None

    def _denies(self, text: str) -> bool:
        return not self.asked.denies and bool(_DENIAL.search(text))

    def _only_new(self, text: str, numbers: list[_Found]) -> ReadAnswer | None:
        """The one number of a sentence that the question does not give, where what is asked for stands after it; and
        the result of an equation of which the same is true."""
        results = [n for n in numbers if _EQUALS_BEFORE.search(text[: n.start]) and self.asked.named_after(text, n)]
        if results:
            return self._result(str(results[-1].quantity))
        new = [n for n in numbers if self.asked.is_new(n)]
        if "=" in text or len({n.quantity for n in new}) != 1 or self._denies(text):
            return None
        named = any(self.asked.named_after(text, n) and not _OPERATOR_AFTER.match(text, n.end) for n in new)
        return self._result(str(new[0].quantity)) if named else None

    def _asked_for(self, text: str, numbers: list[_Found]) -> ReadAnswer | None:
        """Of several numbers in a main clause the one that is not given and, of several, is what is asked for; None
        where that does not decide."""
        new = [n for n in numbers if self.asked.is_new(n)]
        named = [n for n in new if self.asked.named_after(text, n)]
        coordinated = len(numbers) > 1 and _AND_MORE.search(text[numbers[-2].end : numbers[-1].start])
        if self.asked.nouns and not named and coordinated:
            # "7 boys and 14 girls" is no number of children.
            return self._result("")
        if len({n.quantity for n in new}) > 1:
            new = named
        values = list(dict.fromkeys(n.quantity for n in new))
        return self._result(str(values[-1])) if values else None

    @staticmethod
    def _result(answer: str) -> ReadAnswer:
        if not answer:
            return ReadAnswer(Reading.NOTHING, reason="No sentence states a result.")
        return ReadAnswer(Reading.FOUND, Tier.RESULT, answer.strip()[:MAX_ANSWER], "Found as the last stated result.")

    # -- one answer text

    def value(self, content: str, lenient: bool = False) -> ReadAnswer:
        """Read one answer text; with `lenient`, a sentence after a label, of which the first quantity counts."""
        read = self._value(content, lenient)
        if read.reading is not Reading.AMBIGUOUS or self.kind is AnswerKind.SYMBOLIC:
            return read
        content = content[:MAX_RESULT]
        main = self._main_clause(self._conclusion(content) if lenient else content)
        if main != content and (again := self._value(main, lenient)).reading is Reading.FOUND:
            return again
        if lenient and self.kind is AnswerKind.CHOICE:
            return self._choice(plain(main).strip(), lenient, pointed=True)
        if lenient and self.kind is AnswerKind.CLOCK:
            again = self._value(_GIVEN_TIME.sub(" ", plain(main)), lenient)
            return again if again.reading is Reading.FOUND else read
        return read

    def _value(self, content: str, lenient: bool) -> ReadAnswer:
        if self.kind is AnswerKind.SYMBOLIC:
            return _found_or_nothing(_formula(content, lenient))
        if self.kind in _WHOLE_LINES:
            return _found_or_nothing(_line_answer(content[:MAX_ANSWER]))
        cleaned = plain(content).strip()
        if self.kind is AnswerKind.CHOICE:
            return self._choice(cleaned, lenient)
        if self.kind is AnswerKind.CLOCK:
            time = read_clock(cleaned)
            if isinstance(time, str):
                return ReadAnswer(Reading.AMBIGUOUS, reason=f"It names {time}.")
            return _found_or_nothing("" if time is None else f"{time // 60 or 12}:{time % 60:02d}")
        found = read_quantity(cleaned[:MAX_ANSWER])
        if lenient and found is TWO_NUMBERS:
            found = _leading_quantity(cleaned[:MAX_ANSWER])
            if isinstance(found, Quantity) and not _LEADS.match(cleaned):
                # "The 4 numbers sum up to 17": a whole sentence after the label.
                sentence = self._number_in(cleaned[:MAX_ANSWER])
                if sentence is not None and sentence.reading is Reading.FOUND:
                    return _found_or_nothing(sentence.answer)
        if isinstance(found, Quantity):
            return _found_or_nothing(str(found))
        reading = Reading.AMBIGUOUS if found is TWO_NUMBERS else Reading.NOTHING
        return ReadAnswer(reading, reason=f"The answer text has {found}.")

    def _named(self, text: str) -> dict[str, list[re.Match[str]]]:
        """The options that a text names, with the places."""
        folded = text.casefold()
        found = {o: list(re.finditer(rf"(?<!\w){re.escape(key)}(?!\w)", folded)) for key, o in self.options.items()}
        return {option: places for option, places in found.items() if places}

    def _choice(self, text: str, lenient: bool, pointed: bool = False) -> ReadAnswer:
        """`pointed`: of several choices, the one that is no point of reference, or that "is" introduces at the end."""
        if self.options:
            named = self._named(text)
            if pointed and len(named) > 1:
                free = [
                    o for o, places in named.items() if any(not _REFERENCE.search(text[: p.start()]) for p in places)
                ]
                last = [
                    o
                    for o, places in named.items()
                    if re.search(r"\b(?:is|was|=|:)\s+(?:an?\s+|on\s+)?$", text[: places[-1].start()])
                    and not re.search(r"\w", text[places[-1].end() :])
                ]
                named = {option: named[option] for option in last or free}
            if len(named) == 1:
                return ReadAnswer(Reading.FOUND, answer=next(iter(named)))
            if len(named) > 1:
                return ReadAnswer(Reading.AMBIGUOUS, reason="It names two choices.")
            # After a marker another word is an answer too, and a wrong one.
            return ReadAnswer(Reading.NOTHING) if lenient else self._word(text, lenient)
        return self._word(text, lenient)

    @staticmethod
    def _word(text: str, lenient: bool) -> ReadAnswer:
        word = re.match(r"[^\w]*([\w' -]+?)\s*(?:[.,;:!)]|$)", text)
        if word is None or (lenient and len(word[1].split()) > 3):
            return ReadAnswer(Reading.NOTHING)
        return ReadAnswer(Reading.FOUND, answer=word[1].strip())


_CONDITION = re.compile(r"\b(?:if|where|when|out\s+of\s+a\s+total)\b[^,;]*", re.IGNORECASE)
_EQUALS_BEFORE = re.compile(r"=\s*[$€£]?$")
_CONCLUDES = re.compile(
    r"\b(?:so|therefore|thus|hence|altogether|in\s+(?:total|all)|left|remain\w*|equals?|answer|result|final(?:ly)?)\b|=",
    re.IGNORECASE,
)
_OPERATION = re.compile(
    r"\s*(?:[A-Za-z]+\s*){0,2}?(?:[-+*×·÷]|\s/\s|\s*\b(?:x|times|plus|minus)\s)\s*(?:of\s+)?[$€£]?\s*$"
)
_AND_MORE = re.compile(r"^\s*[A-Za-z]+\s+(?:and|plus)\s+[$€£]?$", re.IGNORECASE)


_LABELLED_NUMBER = re.compile(r"[^:\n]{3,60}:\s*\W{0,3}\d[\d,. ]*[\w ]{0,20}\W*")


def _is_unevaluated(text: str) -> bool:
    """Whether a statement ends in an operation without its result: "the price is $250 - $50"."""
    text = re.sub(r"\([^)]*\)", " ", text)
    numbers = _quantities(text)
    if len(numbers) < 2:
        return False
    # An operator right before a number was read as its sign.
    sign = text[numbers[-1].start].strip("0123456789")[:1]
    between = text[numbers[-2].end : numbers[-1].start] + (sign if sign in "+-" else "")
    if not _OPERATION.fullmatch(between) or text[numbers[-1].end :].count(" ") > 3:
        return False
    side = text.rsplit("=", 1)
    return len(side) == 1 or numbers[-2].start >= len(side[0])


_TWO_RESULTS = ReadAnswer(Reading.AMBIGUOUS, Tier.RESULT, reason="The last sentence offers two results.")


def _is_in_name(text: str, number: _Found) -> bool:
    """Whether a capitalised word stands before it: "Apollo 11", but not "it takes Lia 40 minutes"."""
    name = _NAME_BEFORE.search(text, max(0, number.start - 20), number.start)
    return name is not None and not _STATES.search(text[max(0, name.start() - 40) : name.start()])


def _after_equals(text: str) -> Quantity | None:
    """The number directly after the last equals sign, unless it goes on as an expression."""
    side = text.rsplit("=", 1)[1]
    side = re.split(r"[,;](?!\d)|\.\s", side)[0]
    if isinstance(found := read_quantity(side), Quantity):
        return found
    if found is EXPRESSION or found is COMPOUND:
        return None
    numbers = _quantities(side)
    if len(numbers) < 2 or side[: numbers[0].start].strip():
        return None
    return numbers[0].quantity


def _found_or_nothing(answer: str) -> ReadAnswer:
    return ReadAnswer(Reading.FOUND, answer=answer) if answer else ReadAnswer(Reading.NOTHING)


def _leading_quantity(text: str) -> Quantity | str:
    """The first number, unless the next one is an alternative to it: "12 or 13", "12, 13"."""
    first, second, *_ = _quantities(text)
    between = text[first.end : second.start]
    if (
        re.search(r"\b(?:or|oder|ou)\s+$", between)
        or _ALTERNATIVE.match(between.strip())
        or re.fullmatch(r"\s*\w*\s*(?:or|and)\s*(?:\w+\s*)?", between)
    ):
        return TWO_NUMBERS
    return first.quantity or NO_VALUE


def _formula(content: str, lenient: bool) -> str:
    """A mathematical expression without emphasis and dollar signs; in a sentence, the first that is set as one."""
    if lenient and (formula := _FORMULA.search(content)):
        return next(f for f in formula.groups() if f).strip()
    return re.sub(r"^[*_`$\s]+|[*_`$\s.]+$", "", content)


_WHOLE_LINES = frozenset({AnswerKind.TEXT, AnswerKind.SCORED})
"""Kinds whose answer is a line as it is written."""


def _line_answer(content: str) -> str:
    """A line without emphasis, dollar signs and quotation marks around all of it."""
    return re.sub(r"^[*_`$\s]+|[*_`$\s]+$", "", content).strip('"“”')


_LIST_MARKS = re.compile(r"[\[\](){}\"'`*]")
_LIST_SIGN = re.compile(r"\s*[,;]\s*")


def plain_text(text: str) -> str:
    """The form in which TEXT answers are compared: without case, quotes, brackets, emphasis, a full stop at the end and
    spaces around commas."""
    text = _LIST_MARKS.sub("", text.translate(_CHARACTERS)).casefold()
    return _LIST_SIGN.sub(", ", " ".join(text.split())).strip(" .,")


def same_answer(one: str, other: str) -> bool:
    """Whether two answers that this reader gave are the same text but for case, spaces and emphasis."""
    return "".join(plain(one).split()).casefold() == "".join(plain(other).split()).casefold()


def _line_after(text: str, position: int) -> tuple[str, int]:
    """The rest of the line, or the next line with text in it where the rest is empty; and where it ends."""
    match = re.compile(r"[^\S\n]*[*_]*[^\S\n]*\n*[^\S\n]*\n*").match(text, position)
    start = match.end() if match else position
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    return text[start:end].strip(), end


def _closing(text: str, start: int) -> int | None:
    """Where the brace that is open at `start` closes."""
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i
    return None


_ASKS_PERCENT = re.compile(r"percent|per cent|%", re.IGNORECASE)


def same_value(answer: str, gold: str, kind: AnswerKind, question: str = "") -> bool | None:
    """Whether an answer that was read equals the gold answer in value; None where `gold` cannot be read.

    12% equals 0.12, and 12 where the question asks for percent or the gold answer is one. An answer that cannot be read
    equals none. Not for symbolic answers, which the symbolic checker compares, nor for scored ones but to see whether
    two are the same text.
    """
    if kind in _WHOLE_LINES:
        return plain_text(answer) == plain_text(gold) if plain_text(gold) else None
    if kind is AnswerKind.CHOICE:
        return same_answer(answer.rstrip("."), gold.rstrip("."))
    if kind is AnswerKind.CLOCK:
        wanted = read_clock(gold)
        return None if not isinstance(wanted, int) else read_clock(answer) == wanted
    given, right = read_quantity(answer), read_quantity(gold)
    if not isinstance(right, Quantity):
        return None
    if not isinstance(given, Quantity):
        return False
    if given.percent and not right.percent:
        percent = bool(_ASKS_PERCENT.search(question))
        return given.value / 100 == right.value or (percent and given.value == right.value)
    return given.value == right.value
