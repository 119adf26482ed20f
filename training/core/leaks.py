"""Whether a hint gives the gold answer away: in digits, words, Roman numerals, other languages, as an expression that
comes to it, or in disguise ("twe1ve", "t-w-e-l-v-e"). Nothing is evaluated but numbers read here. No I/O.

A number that is part of something else is no leak: a clock time where no time is asked for, "COVID-19", an ordinal, a
longer number. Apart from that, any mention counts, also as a fact of another thing: a reader could copy it.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

from training.core.answers import parse_clock, parse_number
from training.core.number_words import (
    COUNT_WORDS,
    DAYS_ABROAD,
    LARGEST,
    SMALL_NUMBERS,
    TENS,
    NumberToken,
    foreign_words,
    number_tokens,
    number_word,
    roman_numeral,
)
from training.core.problems import DAYS
from training.core.types import AnswerKind, Problem

MAX_TEXT = 4_000
"""Characters that are looked at for expressions and disguises; numbers and words are looked for in all of a text."""


def normalise(text: str) -> str:
    """NFKC and case folded: the form in which texts are compared."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def find_leak(text: str, problem: Problem) -> str | None:
    """The part of `text` that states the gold answer, None where nothing does."""
    if problem.kind is AnswerKind.NUMBER:
        value = _gold_number(problem.answer)
        return None if value is None else _find_number(text, value)
    if problem.kind is AnswerKind.CLOCK:
        minutes = parse_clock(problem.answer)
        return None if minutes is None else _find_time(normalise(text), minutes)
    if problem.kind in (AnswerKind.SYMBOLIC, AnswerKind.TEXT, AnswerKind.SCORED):
        plain, gold = normalise(text), normalise(problem.answer)
        found = re.search(rf"(?<!\w){re.escape(gold)}(?!\w)", plain)
        return gold if found or (len(gold) > 3 and _squeeze(gold) in _squeeze(plain)) else None
    return _find_choice(text, problem.answer)


@lru_cache(maxsize=1024)
def _gold_number(answer: str) -> Fraction | None:
    return parse_number(answer)


def _squeeze(text: str) -> str:
    return "".join(text.split())


# ---------------------------------------------------------------------- numbers


def _find_number(raw: str, gold: Fraction) -> str | None:
    text = raw[:MAX_TEXT]
    tokens = number_tokens(raw)
    for i, token in enumerate(tokens):
        percent = token.value is not None and token.word == "%" and token.value / 100 == gold
        if token.value is not None and (percent or gold in (_signed(tokens, i), token.value)):
            return _shown(raw, token.start, token.end)
    shown = tokens[: MAX_TEXT // 2]
    for start, end, value in _expressions(shown):
        if value == gold:
            return _shown(raw, start, end)
    plain = normalise(text)
    for pattern, solve in _ABOUT_ANSWER:
        for match in pattern.finditer(plain):
            if solve(match) == gold:
                return match.group()
    if gold.denominator != 1 or gold < 0:
        return _fraction_word(plain, gold)
    n = int(gold)
    return _facts(plain, n) or _roman(text, n) or _abroad(normalise(raw), n) or _disguised(text, n)


def _signed(tokens: Sequence[NumberToken], i: int) -> Fraction | None:
    value = tokens[i].value
    if value is not None and i and tokens[i - 1].word in ("-", "−", "minus", "negative"):
        return -value
    return value


def _shown(raw: str, start: int, end: int) -> str:
    """That part of the text. Folding may move places a little, so the part is only for showing."""
    return " ".join(raw[start:end].split())[:60] or "the number"


def _fraction_word(text: str, gold: Fraction) -> str | None:
    names = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 8: "eighth", 10: "tenth"}
    name = names.get(gold.denominator)
    if name is None or not 0 < gold < 10:
        return None
    whole, part = divmod(gold.numerator, gold.denominator)
    count = number_word(part) or ""
    phrase = rf"(?:a|one) {name}|\b{name}" if part == 1 else rf"{count}[ -]{name}s"
    if whole:
        phrase = rf"(?:{number_word(whole)}|{whole}) and (?:{phrase})"
    elif part == 1:
        phrase = rf"(?:is|be|say|answer|reply|about|with|exactly) (?:a |one |just )?{name}"
    found = re.search(rf"\b(?:{phrase})\b", text)
    return found.group() if found else None


# ---------------------------------------------------------------------- expressions

_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "tenth": 10}
_MULTIPLES = {"twice": 2, "double": 2, "thrice": 3, "triple": 3, "treble": 3, "quadruple": 4}
_SCALED = {"halved": Fraction(1, 2), "doubled": Fraction(2), "tripled": Fraction(3)}
_POWERS = {"squared": 2, "cubed": 3}
_ORDINALS = {
    "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10,
}  # fmt: skip

_OPERATORS = {
    "plus": "+", "+": "+", "minus": "-", "-": "-", "−": "-", "–": "-", "less": "-", "times": "*", "multiply": "*",
    "x": "*", "*": "*",
    "×": "*", "·": "*", "/": "/", "÷": "/", "over": "/", "^": "^",
}  # fmt: skip
_LONG_OPERATORS = (
    (("take", "away"), "-"), (("multiplied", "by"), "*"), (("divided", "by"), "/"), (("to", "the", "power", "of"), "^"),
    (("more", "than"), "+"), (("added", "to"), "+"),
    (("increased", "by"), "+"),
    (("decreased", "by"), "-"), (("reduced", "by"), "-"), (("lowered", "by"), "-"), (("together", "with"), "+"),
    (("above",), "+"), (("less", "than"), "r"),
    (("fewer", "than"), "r"), (("short", "of"), "r"), (("below",), "r"), (("under",), "r"),
    (("subtracted", "from"), "r"), (("taken", "from"), "r"), (("away", "from"), "r"),
    (("before",), "r"), (("and", "then"), "+"), (("*", "*"), "^"), (("by",), "*"),
)  # fmt: skip


def _operator(tokens: Sequence[NumberToken], i: int) -> tuple[str, int] | None:
    for words, long_sign in _LONG_OPERATORS:
        if all(i + k < len(tokens) and tokens[i + k].word == w for k, w in enumerate(words)):
            return long_sign, len(words)
    sign = _OPERATORS.get(tokens[i].word) if i < len(tokens) else None
    return (sign, 1) if sign else None


def _apply(a: Fraction, sign: str, b: Fraction) -> Fraction | None:
    if sign == "+":
        return a + b
    if sign == "-":
        return a - b
    if sign == "r":
        return b - a
    if sign == "*":
        return a * b
    if sign == "/":
        return a / b if b else None
    return a ** int(b) if b.denominator == 1 and 0 <= b <= 12 and abs(a) <= 1000 else None


def _expressions(tokens: Sequence[NumberToken]) -> Iterator[tuple[int, int, Fraction]]:
    """Values of what is put together from numbers in the text: operators, halves, squares, sums."""
    for i in range(len(tokens)):
        yield from _named_operation(tokens, i)
        operand = _operand(tokens, i)
        if operand is None:
            continue
        value, at = operand
        if at - i > 1:
            yield tokens[i].start, tokens[at - 1].end, value
        yield from _chain(tokens, i, value, at)


def _operand(tokens: Sequence[NumberToken], i: int) -> tuple[Fraction, int] | None:
    """A number with its prefix or suffix ("half of 84", "seven squared", "six sevens"), and the token after it."""
    if i >= len(tokens):
        return None
    value = tokens[i].value
    if value is not None:
        return _with_suffix(tokens, value, i + 1)
    word, at = tokens[i].word, i + 1
    factor = Fraction(1, _PARTS[word]) if word in _PARTS else Fraction(_MULTIPLES.get(word, 0))
    while at < len(tokens) and at < i + 4 and tokens[at].word in ("of", "a", "an", "the"):
        at += 1
    value = tokens[at].value if at < len(tokens) else None
    return (value * factor, at + 1) if factor and value is not None else None


def _with_suffix(tokens: Sequence[NumberToken], value: Fraction, at: int) -> tuple[Fraction, int]:
    if at >= len(tokens):
        return value, at
    word = tokens[at].word
    if word in _SCALED:
        return value * _SCALED[word], at + 1
    if word in _POWERS and abs(value) < 1000:
        return value ** _POWERS[word], at + 1
    if tokens[at].plural and (more := tokens[at].value) is not None:
        return value * more, at + 1
    power = _ORDINALS.get(tokens[at + 2].word) if at + 2 < len(tokens) else None
    if power and [t.word for t in tokens[at : at + 2]] == ["to", "the"] and abs(value) < 1000:
        return value**power, at + 3
    return value, at


_MAX_TERMS = 6


def _chain(tokens: Sequence[NumberToken], i: int, first: Fraction, at: int) -> Iterator[tuple[int, int, Fraction]]:
    """Values of "a op b op c …": each start of the chain, with and without precedence."""
    flat: Fraction | None = first
    total, product = Fraction(0), first
    for _ in range(_MAX_TERMS):
        # "three times ten, less one"
        comma = at < len(tokens) and tokens[at].word == ","
        found = _operator(tokens, at + comma)
        at += comma and found is not None
        if found is not None:
            sign, length = found
            operand = _operand(tokens, at + length)
        elif at < len(tokens) and tokens[at].word == "and" and _and_more(tokens, at):
            sign, operand = "+", _operand(tokens, at + 1)
        else:
            return
        if operand is None or flat is None:
            return
        value, end = operand
        flat = _apply(flat, sign, value)
        if sign in "+-":
            total, product = total + product, value if sign == "+" else -value
        else:
            made = _apply(product, sign, value)
            if made is None:
                return
            product = made
        last = tokens[end - 1].end
        if flat is not None and abs(flat) < LARGEST:
            yield tokens[i].start, last, flat
        if abs(product) > LARGEST:
            return
        yield tokens[i].start, last, total + product
        at = end


def _and_more(tokens: Sequence[NumberToken], at: int) -> bool:
    """ "10 and 2 more", "10 and 2 together"."""
    operand = _operand(tokens, at + 1)
    after = tokens[operand[1]].word if operand and operand[1] < len(tokens) else ""
    return after in ("more", "together", "combined", "extra", "added", "on")


_LINKS = ("and", "by", "with", "from", "to")
_NAMED: dict[str, Callable[[Fraction, Fraction], Fraction | None]] = {
    **dict.fromkeys(("sum", "total", "add"), lambda a, b: a + b),
    **dict.fromkeys(("difference", "subtract"), lambda a, b: abs(a - b)),
    **dict.fromkeys(("product", "multiply"), lambda a, b: a * b),
    **dict.fromkeys(("quotient", "divide"), lambda a, b: a / b if b else None),
    "between": lambda a, b: (a + b) / 2 if abs(a - b) == 2 else None,
}


def _named_operation(tokens: Sequence[NumberToken], i: int) -> Iterator[tuple[int, int, Fraction]]:
    """ "the sum of 5 and 7", "between 11 and 13", "the number after 11"."""
    word = tokens[i].word
    if word in _NAMED:
        of = word != "between" and i + 1 < len(tokens) and tokens[i + 1].word in ("of", "between")
        a = _operand(tokens, i + 1 + of)
        if a is None or a[1] >= len(tokens) or tokens[a[1]].word not in _LINKS:
            return
        b = _operand(tokens, a[1] + 1)
        # "a number between 1 and 900" names none.
        named = word != "between" or tokens[max(0, i - 1)].word != "number"
        value = _NAMED[word](a[0], b[0]) if b and named else None
        if b and value is not None:
            yield tokens[i].start, tokens[b[1] - 1].end, value
    elif word in ("after", "before", "follows", "precedes") and i:
        yield from _next_to(tokens, i)
    elif word in ("square", "cube") and i + 1 < len(tokens):
        yield from _power_or_root(tokens, i)


def _next_to(tokens: Sequence[NumberToken], i: int) -> Iterator[tuple[int, int, Fraction]]:
    word, before = tokens[i].word, {t.word for t in tokens[max(0, i - 3) : i]}
    if before & {"number", "right", "just", "comes", "directly", "one"} or word in ("follows", "precedes"):
        operand = _operand(tokens, i + 1)
        if operand is not None:
            step = 1 if word in ("after", "follows") else -1
            yield tokens[max(0, i - 1)].start, tokens[operand[1] - 1].end, operand[0] + step


def _power_or_root(tokens: Sequence[NumberToken], i: int) -> Iterator[tuple[int, int, Fraction]]:
    power, following = (2 if tokens[i].word == "square" else 3), tokens[i + 1].word
    if following == "root":
        operand = _operand(tokens, i + 2 + (i + 2 < len(tokens) and tokens[i + 2].word == "of"))
        if operand and 0 <= operand[0] < 10**9:
            root = Fraction(round(float(operand[0]) ** (1 / power)))
            if root**power == operand[0]:
                yield tokens[i].start, tokens[operand[1] - 1].end, root
    elif following == "of":
        operand = _operand(tokens, i + 2)
        if operand and abs(operand[0]) < 1000:
            yield tokens[i].start, tokens[operand[1] - 1].end, operand[0] ** power


_N = r"(?P<n>\d{1,6}|[a-z]+(?:-[a-z]+)?)"
_IS = r"(?:is|are|makes?|equals?|gives?|would be|will be|comes to|=)"


def _small(text: str) -> Fraction:
    """The number that one word or a run of digits is; -10^9, which no answer is, for any other word."""
    if text.isdecimal():
        return Fraction(int(text))
    tens, _, unit = text.partition("-")
    value = SMALL_NUMBERS.get(text, TENS.get(text, COUNT_WORDS.get(text)))
    if value is None and unit and tens in TENS and unit in SMALL_NUMBERS:
        value = TENS[tens] + SMALL_NUMBERS[unit]
    return Fraction(-(10**9)) if value is None else Fraction(value)


_KNOWN_NOW = r"(?:the |your |final |right |true |correct )*(?:answer|result|solution|total|it|that|number)"
_ABOUT_ANSWER: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Fraction]], ...] = (
    # "a dollar short of nine"
    (re.compile(rf"\ba [a-z]+ (?:short of|less than|fewer than|under|below) {_N}\b"), lambda m: _small(m["n"]) - 1),
    (re.compile(rf"\ba [a-z]+ (?:more than|over|above) {_N}\b"), lambda m: _small(m["n"]) + 1),
    # "half of what he ends up with is 6"
    (re.compile(rf"\bhalf (?:of )?(?:[^\d.;]{{1,60}}? )?{_IS} {_N}\b"), lambda m: 2 * _small(m["n"])),
    (re.compile(rf"\ba third of (?:[^\d.;]{{1,60}}? )?{_IS} {_N}\b"), lambda m: 3 * _small(m["n"])),
    (re.compile(rf"\ba quarter of (?:[^\d.;]{{1,60}}? )?{_IS} {_N}\b"), lambda m: 4 * _small(m["n"])),
    (re.compile(rf"\b(?:twice|double|two times) {_KNOWN_NOW} {_IS} {_N}\b"), lambda m: _small(m["n"]) / 2),
    (re.compile(rf"\b{_KNOWN_NOW} (?:plus|and|with) (?P<k>\w+)(?: more)? {_IS} {_N}\b"),
     lambda m: _small(m["n"]) - _small(m["k"])),
    (re.compile(rf"\b{_KNOWN_NOW} (?:minus|less|without) (?P<k>\w+) {_IS} {_N}\b"),
     lambda m: _small(m["n"]) + _small(m["k"])),
    (re.compile(rf"\badd(?:ing)? (?P<k>\w+) to {_KNOWN_NOW},?(?: and| to)?(?: you| we)? (?:get|gives|have|reach) "
                rf"{_N}\b"),
     lambda m: _small(m["n"]) - _small(m["k"])),
    (re.compile(rf"\b(?P<k>\w+) more and (?:you|he|she|they|it|we|there)(?:'d| would| will|'ll)? (?:have|be|get|"
                rf"reach) {_N}\b"),
     lambda m: _small(m["n"]) - _small(m["k"])),
)  # fmt: skip

# How many of one there are in the other.
_CONTAINED = {
    ("month", "year"): 12, ("month", "quarter"): 3, ("day", "week"): 7, ("day", "fortnight"): 14, ("day", "year"): 365,
    ("hour", "day"): 24, ("hour", "week"): 168, ("minute", "hour"): 60, ("second", "minute"): 60, ("week", "year"): 52,
    ("week", "fortnight"): 2, ("year", "decade"): 10, ("year", "century"): 100, ("letter", "alphabet"): 26,
    ("leg", "spider"): 8, ("leg", "insect"): 6, ("leg", "dog"): 4, ("leg", "octopus"): 8, ("arm", "octopus"): 8,
    ("finger", "hand"): 5, ("toe", "foot"): 5, ("card", "deck"): 52, ("inch", "foot"): 12, ("inche", "foot"): 12,
    ("foot", "yard"): 3, ("feet", "yard"): 3, ("cent", "dollar"): 100, ("cent", "euro"): 100, ("side", "triangle"): 3,
    ("side", "square"): 4, ("side", "pentagon"): 5, ("side", "hexagon"): 6, ("side", "octagon"): 8, ("side", "cube"): 6,
    ("side", "dice"): 6, ("side", "die"): 6, ("state", "usa"): 50, ("state", "us"): 50, ("wheel", "car"): 4,
    ("wheel", "tricycle"): 3, ("player", "team"): 11, ("egg", "dozen"): 12, ("planet", "system"): 8,
    ("colour", "rainbow"): 7, ("color", "rainbow"): 7, ("season", "year"): 4, ("string", "guitar"): 6,
    ("hole", "course"): 18, ("key", "piano"): 88, ("sign", "zodiac"): 12, ("square", "chessboard"): 64,
    ("field", "chessboard"): 64, ("minute", "day"): 1440,
}  # fmt: skip
_HOW_MANY = re.compile(
    r"\b(?:number of|count of|as many(?: as(?: there are)?)?|how many) (?P<a>[a-z]+?)s? (?:are )?(?:there )?(?:in|on|"
    r"of|has|to) "
    r"(?:an? |the |one |both |your )?(?:(?P<k>\w+) )?(?:single |whole |solar )?(?P<b>[a-z]+?)s?\b"
)
_CONVERTED = re.compile(
    r"\b(?P<k>\w+) (?P<b>[a-z]+?)s?,? (?:in|as|counted in|expressed in|written in) (?P<a>[a-z]+?)s?\b"
)


def _facts(text: str, n: int) -> str | None:
    """ "the number of months in a year", "two weeks in days"."""
    for match in (*_HOW_MANY.finditer(text), *_CONVERTED.finditer(text)):
        unit = _CONTAINED.get((match["a"], match["b"]))
        if unit is None:
            continue
        count = _small(match["k"]) if match["k"] and match["k"] not in ("a", "an", "the", "one") else Fraction(1)
        if (count if count > 0 else 1) * unit == n:
            return match.group()
    return None


# ---------------------------------------------------------------------- other writing

_ROMAN = re.compile(r"(?<![\w'’-])[IVXLCDM]+(?![\w'’])|(?<![\w'’-])[ivxlcdm]{2,}(?![\w'’])")
_NOT_ROMAN = frozenset(
    "i mix dim did mild mill dill ill lid livid vivid civil civic mid mi di cd dc ml cm mm cc dl xl dix".split()
)
_ROMAN_CONTEXT = re.compile(r"\broman\b|\bnumerals?\b", re.IGNORECASE)


def _roman(raw: str, n: int) -> str | None:
    numeral = roman_numeral(n)
    if numeral is None:
        return None
    for match in _ROMAN.finditer(unicodedata.normalize("NFKC", raw)):
        found = match.group()
        if found.upper() == numeral and (
            (found.casefold() not in _NOT_ROMAN and len(found) > 1) or _ROMAN_CONTEXT.search(raw)
        ):
            return found
    return None


# Number words of other languages that are English words, too; they count only beside other foreign words.
_ENGLISH_TOO = frozenset(
    "once due on six elf set ten tres sex fire otto cent mille en e do is to sei ni seven vier dos an sat dix fem to "
    "null "
    "um un sete tre zero sto tien zes acht lima tiga bir neun sept".split()
)
_FOREIGN_CONTEXT = frozenset(
    "el la las los es que respuesta le les est c'est il der das ist sind und antwort ergebnis lo gli sono è risposta "
    "são het "
    "een antwoord är det svaret odpowiedź jest bu cevap sonuç tane adalah jawabannya je crois credo creo "
    "glaube ich "
    "dans avec para pour zu nicht auch pas très muy molto".split()
)
_CJK_NUMERALS = frozenset("零一二三四五六七八九十百千万")
_KOREAN_NUMERALS = frozenset("영일이삼사오육칠팔구십백천")


def _abroad(text: str, n: int) -> str | None:
    """The number in the words of another language."""
    words = _spaced_words(text)
    padded = f" {words} "
    few = words.count(" ") < 2
    foreign: bool | None = None
    for spelling in _spellings(n):
        if _has_no_spaces(spelling):
            if (found := _find_in_run(text, spelling)) is not None:
                return found
        elif f" {spelling} " in padded:
            if spelling in _ENGLISH_TOO and not few:
                if foreign is None:
                    foreign = bool(_FOREIGN_CONTEXT & set(words.split()))
                if not foreign:
                    continue
            return spelling
    return None


@lru_cache(maxsize=4096)
def _spellings(n: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(normalise(word) for word in foreign_words(n)))


def _spaced_words(text: str) -> str:
    """The words of a text joined by one space. Marks belong to their letters, which is what `\\w` does not know."""
    if text.isascii():
        return " ".join(re.findall(r"[a-z0-9']+", text))
    kept = (c if unicodedata.category(c)[0] in "LMN" or c in "'’" else " " for c in text)
    return " ".join("".join(kept).replace("’", "'").split())


def _has_no_spaces(word: str) -> bool:
    return "\u3040" <= word[0] <= "\u30ff" or "\u4e00" <= word[0] <= "\u9fff" or "\uac00" <= word[0] <= "\ud7a3"


def _find_in_run(text: str, word: str) -> str | None:
    """A number in a script without spaces, not as part of a longer number, and no single character within words."""
    numerals = _CJK_NUMERALS if word[0] in _CJK_NUMERALS else _KOREAN_NUMERALS
    at = text.find(word)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(word) : at + len(word) + 1]
        alone = not before.isalpha() or before in "是は為为"
        whole = not (before and before in numerals) and not (after and after in numerals)
        if whole and (len(word) >= 2 + ("\u3040" <= word[0] <= "\u30ff") or (alone and not after.isalpha())):
            return word
        at = text.find(word, at + 1)
    return None


_LEET = str.maketrans(
    {"0": "o", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "@": "a", "$": "s", "!": "i", "|": "l"}
)
_ALIKE = str.maketrans("аеорсухіѕјԁһԛԝαεικνορτυχωοӏмтвнк", "aeopcyxisjdhqwaeiknoptuxwolmtbhk")
_MIXED = re.compile(r"[^\W_]*(?:[a-z][0-9@$!|]|[0-9@$!|][a-z])[\w@$!|-]*", re.IGNORECASE)
_SPELLED = re.compile(r"(?<![^\W_])[^\W_](?:[\s._*/|·-]{1,3}[^\W_](?![^\W_])){1,40}")
_BACKWARDS = re.compile(r"\b(?:backwards?|reversed?|mirrored|right to left|from the right|other way round)\b")


def _disguised(raw: str, n: int) -> str | None:
    """The number in letters that are spelled out, swapped for digits or look-alikes, glued, or turned round."""
    word = (number_word(n) or "").replace("-", "")
    text = unicodedata.normalize("NFKC", raw).casefold()
    if (found := _spelled(text, word, str(n))) is not None:
        return found
    if _BACKWARDS.search(text) and re.search(rf"(?<!\d){str(n)[::-1]}(?!\d)", text):
        return str(n)[::-1]
    if n > 1 and re.search(rf"(?<![\d.]){n:b}\b", text) and re.search(r"\bbinary\b", text):
        return f"{n:b}"
    digits = str(n)
    if len(digits) == 2 and (
        found_ := re.search(
            rf"\b(?:a )?{digits[0]} (?:followed by|then|and then|next to|before) (?:a )?{digits[1]}\b", text
        )
    ):
        return found_.group()
    return _look_alike(text, word) if len(word) > 3 else None


def _spelled(text: str, word: str, digits: str) -> str | None:
    for match in _SPELLED.finditer(text):
        letters = re.sub(r"[\W_]", "", match.group())
        if len(word) > 2 and letters == word:
            return match.group()
        if len(digits) > 1 and letters == digits and not _is_range(match.group(), text[match.end() :]):
            return match.group()
        if len(word) > 2 and len(letters) > len(word) and word in letters.translate(_LEET):
            return match.group()
    return None


def _is_range(found: str, after: str) -> bool:
    """ "3-5 days", "3.5", "3/4", "1.2": no spelled digits."""
    return bool(re.match(r"\s?[a-z]+s\b|\s?(?:km|kg|cm|mm|m|l|g|h|%|€|\$)", after)) or bool(
        re.search(r"\d[./]\d", found)
    )


def _look_alike(text: str, word: str) -> str | None:
    mixed = [match.group() for match in _MIXED.finditer(text)]
    for one in ("l", "i") if mixed else ():
        plain = re.sub(r"(?<=[a-z])[-_ ](?=[a-z])", "", text.translate(_LEET).replace("1", one))
        if word in plain and word not in text:
            return mixed[0]
    if not text.isascii():
        plain = text.translate(_ALIKE)
        stripped = "".join(c for c in unicodedata.normalize("NFD", plain) if not unicodedata.combining(c))
        glued = re.sub(r"(?<=[a-z])[-_ ](?=[a-z])", "", stripped) if stripped != text else ""
        if word in glued and word not in re.sub(r"[-_ ]", "", text):
            return word
    pattern = rf"(?<![^\W_]){word[::-1]}(?![^\W_])"
    if len(word) > 3 and re.search(pattern, text):
        return word[::-1]
    tight = re.search(rf"(?<![^\W_]){word}(?![^\W_])|(?<![^\W_]){_split_word(word)}(?![^\W_])", text)
    return tight.group() if tight and len(word) > 6 else None


def _split_word(word: str) -> str:
    """The word with any one mark between its tens and its unit: "thirty_seven", "thirty.seven"."""
    tens = next((t for t in TENS if word.startswith(t) and len(word) > len(t)), "")
    return f"{tens}[-_ .*/|,]{{1,3}}{word[len(tens) :]}" if tens else re.escape(word)


# ---------------------------------------------------------------------- times and words

_HOURS = {word: n for n in range(1, 13) if (word := number_word(n))}
_MINUTES = {word: n for n in range(60) if (word := number_word(n))}
_MINUTES |= {w.replace("-", " "): n for w, n in _MINUTES.items()}
_HOUR = "|".join(_HOURS)
_MINUTE = "|".join(sorted(_MINUTES, key=len, reverse=True))
_DIGITAL = re.compile(r"(?<![\d:.])(\d{1,2})\s?[:.h]\s?(\d{2})(?![\d:])")
_SPOKEN = re.compile(rf"\b({_HOUR})[ -](o'clock|(?:oh|o|zero)[ -](?:{_HOUR})|{_MINUTE})\b")
_RELATIVE = re.compile(
    rf"\b(?:(?P<part>half|a? ?quarter)|(?P<m>\d{{1,2}}|{_MINUTE})(?: minutes?)?) (?P<way>past|after|to|before|till) "
    rf"(?P<h>\d{{1,2}}|{_HOUR})\b"
)
_PLAIN_HOUR = re.compile(rf"\b(?P<h>\d{{1,2}}|{_HOUR})\s?(?:[ap]\.?m\b|o'clock|uhr\b)")


def _find_time(text: str, minutes: int) -> str | None:
    for match in _DIGITAL.finditer(text):
        if int(match[2]) < 60 and (int(match[1]) % 12) * 60 + int(match[2]) == minutes:
            return match.group()
    for match in _SPOKEN.finditer(text):
        tail = match[2]
        minute = 0 if tail == "o'clock" else _MINUTES.get(tail, _HOURS.get(re.split(r"[ -]", tail)[-1], 0))
        if _HOURS[match[1]] % 12 * 60 + minute == minutes:
            return match.group()
    for match in _RELATIVE.finditer(text):
        part = match["part"]
        offset = (30 if part == "half" else 15) if part else _minute(match["m"])
        sign = 1 if match["way"] in ("past", "after") else -1
        if (_hour(match["h"]) * 60 + sign * offset) % 720 == minutes:
            return match.group()
    if minutes % 60 == 0:
        for match in _PLAIN_HOUR.finditer(text):
            if _hour(match["h"]) * 60 == minutes:
                return match.group()
    return None


def _hour(text: str) -> int:
    return (int(text) if text.isdecimal() else _HOURS[text]) % 12


def _minute(text: str) -> int:
    return int(text) if text.isdecimal() else _MINUTES[text]


_DAY_STEP = re.compile(
    rf"\b(?:(?P<k>\w+) )?days? (?P<way>after|before|following|past) (?P<day>{'|'.join(d.casefold() for d in DAYS)})\b"
)
# Words that stand in most texts: only as a reply do they give an answer away.
_PLAIN_WORDS = frozenset("a i no yes true false all none both more less left right one".split())


def _find_choice(raw: str, answer: str) -> str | None:
    text, gold = normalise(raw), normalise(answer).strip()
    if not gold:
        return None
    if len(gold) == 1 or gold in _PLAIN_WORDS:
        quoted = re.escape(answer.strip())
        return _search(
            rf"\b(?:answer|reply|option|choice|letter|say|write|choose|pick|is|be)\s*:?\s*[\"'“(\[]?{quoted}[\"'”)\]]?"
            rf"(?=\s*(?:[.!?,;]|$))|\({quoted}\)|^\W*{quoted}\W*$",
            unicodedata.normalize("NFKC", raw), 0 if len(gold) == 1 else re.IGNORECASE,
        )  # fmt: skip
    if gold in _WEEK:
        return _find_day(text, gold)
    if found := _search(rf"(?<!\w){re.escape(gold)}(?!\w)", text):
        return found
    if len(gold) < 3 or not gold.isalpha():
        return None
    return _disguised_word(unicodedata.normalize("NFKC", raw[:MAX_TEXT]).casefold(), gold)


_WEEK = [d.casefold() for d in DAYS]


def _find_day(text: str, gold: str) -> str | None:
    if found := _search(rf"(?<!\w){gold}s?(?!\w)|(?<!\w){_SHORT_DAYS.get(gold, gold)}\.?(?![\w'’])", text):
        return found
    words = f" {_spaced_words(text)} "
    for word in map(normalise, DAYS_ABROAD[gold].split()):
        if (word in text) if _has_no_spaces(word) else (f" {word.replace('-', ' ')} " in words):
            return word
    for match in _DAY_STEP.finditer(text):
        steps = int(_small(match["k"])) if match["k"] and _small(match["k"]) > 0 else 1
        sign = -1 if match["way"] == "before" else 1
        if _WEEK[(_WEEK.index(match["day"]) + sign * steps) % 7] == gold:
            return match.group()
    return _disguised_word(text, gold)


# "Sat", "Sun" and "wed" are words.
_SHORT_DAYS = {"monday": "mon", "tuesday": "tues?", "thursday": "thur?s?", "friday": "fri"}


def _disguised_word(text: str, word: str) -> str | None:
    for match in _SPELLED.finditer(text[:MAX_TEXT]):
        if re.sub(r"[\W_]", "", match.group()) == word:
            return match.group()
    return _look_alike(text[:MAX_TEXT], word) if len(word) > 3 else None


def _search(pattern: str, text: str, flags: int = 0) -> str | None:
    found = re.search(pattern, text, flags)
    return found.group() if found else None
