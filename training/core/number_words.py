"""Numbers in words: written in English, other languages and Roman numerals, and read from English text. No I/O."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

_UNIT_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TEN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
LARGEST = 10**12
"""Larger numbers are not read."""
MAX_SPELLED = 9_999
"""Largest number that is looked for in words of other languages."""


def number_word(n: int) -> str | None:
    """The English word of 0..99."""
    if 0 <= n < 20:
        return _UNIT_WORDS[n]
    if n < 100:
        tens, unit = divmod(n, 10)
        return _TEN_WORDS[tens - 2] + (f"-{_UNIT_WORDS[unit]}" if unit else "")
    return None


def roman_numeral(n: int) -> str | None:
    """The Roman numeral of 1..3999."""
    if not 0 < n < 4000:
        return None
    written = ""
    pairs = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
             (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))  # fmt: skip
    for value, letters in pairs:
        count, n = divmod(n, value)
        written += letters * count
    return written


@lru_cache(maxsize=4096)
def foreign_words(n: int) -> tuple[str, ...]:
    """How other languages write `n` (0..9999), in lower case, words joined by one space; each spelling once."""
    if not 0 <= n <= MAX_SPELLED:
        return ()
    found: dict[str, None] = {}
    for write in _LANGUAGES:
        for spelling in write(n):
            found[" ".join(spelling.replace("-", " ").split())] = None
    return tuple(found)


@dataclass(frozen=True, slots=True)
class NumberToken:
    """A number, an operator or a word, with its place in the text."""

    start: int
    end: int
    word: str
    value: Fraction | None = None
    plural: bool = False
    """A number as a thing: the sevens in "six sevens"."""


SMALL_NUMBERS = {word: n for n in range(20) if (word := number_word(n))}
TENS = {word: n for n in range(20, 100, 10) if (word := number_word(n))} | {"fourty": 40, "ninty": 90, "fivty": 50}
_MISSPELLED = {"twelv": 12, "twelf": 12, "eigth": 8, "ninteen": 19, "eightteen": 18, "fiveteen": 15, "forteen": 14,
               "thirten": 13, "fourtheen": 14, "seventen": 17, "sixten": 16, "threteen": 13}  # fmt: skip
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6}
COUNT_WORDS = {"dozen": 12, "dozens": 12, "score": 20, "gross": 144}
_PLURALS = {
    "ones": 1, "twos": 2, "threes": 3, "fours": 4, "fives": 5, "sixes": 6, "sevens": 7, "eights": 8, "nines": 9,
    "tens": 10, "elevens": 11, "twelves": 12, "fifteens": 15, "twenties": 20, "hundreds": 100,
}  # fmt: skip

_STARTS_NUMBER = frozenset({*SMALL_NUMBERS, *TENS, *_MISSPELLED, *_SCALES, *COUNT_WORDS, *_PLURALS})

# "one" that stands for a person or thing is no number: "one of them", "no one", "one could".
_PRONOUN_ONE = re.compile(
    r"\b(?:no|any|every|some|this|that|which|each|the|another)[ -]?one\b|\bone (?:day|another)\b|"
    r"\bone (?:of|could|should|may|can|must|has|usually|multiplies|would|needs|might|adds|does|is|who|has to)\b"
)
_TOKEN = re.compile(
    r"(?P<skip>(?<![\w.:])\d{1,2}:\d{2}(?::\d{2})?(?![\w:])|\b\d{1,2}(?:[:.]\d{2})?\s?(?:[ap]\.?m\b\.?|o'clock\b|uhr\b)"
    r"|\b\d+(?:st|nd|rd|th)\b|\b\d{4}-\d\d-\d\d\b)"
    r"|(?P<number>0x[0-9a-f]+\b|0b[01]+\b|\d{1,3}(?:,\d{3})+(?![\d,]*\d)(?:\.\d+)?|\d+(?:\.\d+)?(?:e[+-]?\d{1,2})?)"
    r"(?P<percent>\s?%)?"
    r"|(?P<word>[^\W\d_]+(?:['’][^\W\d_]+)?)|(?P<sign>[-+*/×÷·^=−–])|(?P<other>\S)"
)
_NAMED_NUMBER = re.compile(r"\b[A-Z][^\W\d_]*-\d+\b")


def number_tokens(raw: str, *, one_of: bool = False) -> list[NumberToken]:
    """Tokens of a text, number words joined to the number they make; with `one_of` the "one" of "one of them", too."""
    text = unicodedata.normalize("NFKC", raw)
    text = (
        _NAMED_NUMBER.sub(lambda m: "_" * len(m.group()), text).replace("\ufe0f", "").replace("\u20e3", "").casefold()
    )
    text = _PRONOUN_ONE.sub(lambda m: m.group() if one_of and m.group() == "one of" else "_" * len(m.group()), text)
    tokens: list[NumberToken] = []
    for match in _TOKEN.finditer(text):
        word = match.group()
        if match["skip"]:
            tokens.append(NumberToken(*match.span(), "(time)"))
        elif number := match["number"]:
            before = text[match.start() - 1] if match.start() else " "
            glued = before.isalnum() or before in "_." or (match.end() < len(text) and text[match.end()].isalpha())
            value = None if glued and not re.match(r"\s?x\b", text[match.end() :]) else _read_digits(number)
            tokens.append(NumberToken(*match.span(), "%" if match["percent"] else "", value))
        else:
            tokens.append(NumberToken(*match.span(), word))
    return _join_words(tokens)


def _read_digits(text: str) -> Fraction | None:
    if len(text) > 40:
        return None
    if text.startswith(("0x", "0b")):
        return Fraction(int(text, 0))
    digits = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text.replace(",", ""))
    try:
        return Fraction(digits)
    except ValueError:
        return None


def _join_words(tokens: list[NumberToken]) -> list[NumberToken]:
    joined: list[NumberToken] = []
    i = 0
    while i < len(tokens):
        token = tokens[i]
        starts = token.value is not None or token.word in _STARTS_NUMBER
        made = _read_words(tokens, i) if starts else None
        if made is None:
            joined.append(tokens[i])
            i += 1
        else:
            value, used, plural = made
            last = tokens[i + used - 1]
            word = "%" if last.word == "%" else ""
            joined.append(NumberToken(tokens[i].start, last.end, word, value, plural))
            i += used
    return joined


def _read_words(tokens: Sequence[NumberToken], i: int) -> tuple[Fraction, int, bool] | None:
    """The number that starts at token `i`: its value, how many tokens it takes, whether it is a plural."""
    first = tokens[i]
    if first.value is None and first.word in _PLURALS:
        return Fraction(_PLURALS[first.word]), 1, True
    if first.word == "%":
        assert first.value is not None
        return first.value, 1, False
    state = _Sum(current=first.value, last=1) if first.value is not None else _Sum()
    used = 0 if first.value is None else 1
    while i + used < len(tokens) and (state.add(tokens, i + used, first=not used) or _joins(tokens, i + used, state)):
        used += 1
    value = state.total + (state.current or 0)
    return (value, used, False) if used and value <= LARGEST else None


@dataclass(slots=True)
class _Sum:
    """A number that is being read: what is settled, the group that may still be multiplied, the last word's size."""

    total: Fraction = Fraction(0)
    current: Fraction | None = None
    last: int = 1000

    def add(self, tokens: Sequence[NumberToken], i: int, *, first: bool) -> bool:
        """Take token `i` in; False where it does not continue the number."""
        word, current = tokens[i].word, self.current or Fraction(0)
        small = SMALL_NUMBERS.get(word, _MISSPELLED.get(word))
        if small is not None and (first or self.last >= 100 or (self.last == 10 and 0 < small < 10)):
            self.current, self.last = current + small, 1
        elif word in TENS and (first or self.last >= 100):
            self.current, self.last = current + TENS[word], 10
        elif word in _SCALES and (not first or _article(tokens, i)):
            self._scale(_SCALES[word])
        elif word in COUNT_WORDS and (not first or _article(tokens, i) or word in ("dozen", "gross")):
            self.total, self.current, self.last = self.total + (current or 1) * COUNT_WORDS[word], None, 0
        else:
            return False
        return True

    def _scale(self, scale: int) -> None:
        current = self.current or Fraction(1)
        if scale == 100:
            self.current = current * 100
        else:
            self.total, self.current = self.total + current * scale, None
        self.last = scale


def _joins(tokens: Sequence[NumberToken], i: int, number: _Sum) -> bool:
    """The hyphen of "twenty-one" and the "and" of "a hundred and five"."""
    following = tokens[i + 1].word if i + 1 < len(tokens) else ""
    if tokens[i].word == "-":
        return number.last == 10 and SMALL_NUMBERS.get(following, 0) in range(1, 10)
    return tokens[i].word == "and" and number.last >= 100 and (following in SMALL_NUMBERS or following in TENS)


def _article(tokens: Sequence[NumberToken], i: int) -> bool:
    return i > 0 and tokens[i - 1].word in ("a", "one", "the", "half", "an", "exactly")


def _german(n: int) -> Iterator[str]:
    small = (
        "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn "
        "siebzehn achtzehn neunzehn"
    ).split()
    tens = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()

    def below_hundred(k: int) -> str:
        if k < 20:
            return small[k]
        unit = "ein" if k % 10 == 1 else small[k % 10]
        return (f"{unit}und" if k % 10 else "") + tens[k // 10 - 2]

    def write(k: int) -> str:
        if k >= 1000:
            head = "ein" if k // 1000 == 1 else below_hundred(k // 1000)
            return f"{head}tausend" + (write(k % 1000) if k % 1000 else "")
        if k >= 100:
            head = "ein" if k // 100 == 1 else small[k // 100]
            return f"{head}hundert" + (below_hundred(k % 100) if k % 100 else "")
        return below_hundred(k)

    text = write(n)
    for variant in (text, text.replace("einhundert", "hundert").replace("eintausend", "tausend")):
        yield variant
        yield variant.replace("ß", "ss")
        yield variant.replace("ü", "ue").replace("ö", "oe").replace("ß", "ss")


def _dutch(n: int) -> Iterator[str]:
    small = (
        "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien zeventien "
        "achttien negentien"
    ).split()
    tens = "twintig dertig veertig vijftig zestig zeventig tachtig negentig".split()
    if n >= 100:
        if n % 100 == 0 and n < 1000:
            yield ("" if n == 100 else small[n // 100]) + "honderd"
        elif n < 1000:
            head = ("" if n < 200 else small[n // 100]) + "honderd"
            yield from (head + tail for tail in _dutch(n % 100))
        return
    if n < 20:
        yield small[n]
        return
    unit = small[n % 10]
    yield (f"{unit}{'ën' if unit.endswith('e') else 'en'}" if n % 10 else "") + tens[n // 10 - 2]
    yield (f"{unit}en" if n % 10 else "") + tens[n // 10 - 2]


def _spaced(small: str, tens: str, hundreds: str, joint: str = "", hundred_joint: str = "") -> "_Spaced":
    return _Spaced(small.split(), tens.split(), hundreds.split(), joint, hundred_joint)


class _Spaced:
    """Languages that write tens and units as words apart."""

    def __init__(self, small: list[str], tens: list[str], hundreds: list[str], joint: str, hundred_joint: str) -> None:
        self._small, self._tens, self._hundreds = small, tens, hundreds
        self._joint, self._hundred_joint = joint, hundred_joint

    def __call__(self, n: int) -> Iterator[str]:
        if n >= 1000:
            return
        if n >= 100:
            head = self._hundreds[n // 100 - 1].replace("_", " ")
            if n % 100 == 0:
                yield head
            for tail in self(n % 100) if n % 100 else ():
                yield f"{head} {self._hundred_joint} {tail}"
                if self._hundred_joint:
                    yield f"{head} {tail}"
        elif n < len(self._small):
            yield self._small[n]
        else:
            ten = self._tens[n // 10 - 1]
            if n % 10 == 0:
                yield ten
            else:
                yield f"{ten} {self._joint} {self._small[n % 10]}"
                yield f"{ten}{self._small[n % 10]}"


_spanish_apart = _spaced(
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete "
    "dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete "
    "veintiocho veintinueve",
    "diez veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "cien doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos", "y",
)  # fmt: skip


def _spanish(n: int) -> Iterator[str]:
    for text in _spanish_apart(n):
        text = text.replace("cien ", "ciento ")
        yield text
        yield text.translate(str.maketrans("éó", "eo"))


_portuguese_apart = _spaced(
    "zero um dois três quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezesseis dezessete dezoito "
    "dezenove",
    "dez vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
    "cem duzentos trezentos quatrocentos quinhentos seiscentos setecentos oitocentos novecentos", "e", "e",
)  # fmt: skip


def _portuguese(n: int) -> Iterator[str]:
    yield from (text.replace("cem ", "cento ") for text in _portuguese_apart(n))


def _italian(n: int) -> Iterator[str]:
    small = (
        "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici "
        "diciassette diciotto diciannove"
    ).split()
    tens = "venti trenta quaranta cinquanta sessanta settanta ottanta novanta".split()
    if n >= 1000:
        return
    if n >= 100:
        head = ("" if n < 200 else small[n // 100]) + "cento"
        yield from (head + tail for tail in (_italian(n % 100) if n % 100 else ("",)))
    elif n < 20:
        yield small[n]
    else:
        ten, unit = tens[n // 10 - 2], small[n % 10] if n % 10 else ""
        text = (ten[:-1] if unit in ("uno", "otto") else ten) + unit
        yield text
        if unit == "tre":
            yield text[:-1] + "é"


def _french(n: int) -> Iterator[str]:
    small = (
        "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept "
        "dix-huit dix-neuf"
    ).split()
    tens = "vingt trente quarante cinquante soixante".split()

    def below_hundred(k: int) -> str:
        if k < 20:
            return small[k]
        if k < 70:
            ten, unit = tens[k // 10 - 2], k % 10
            return ten + ("" if not unit else " et un" if unit == 1 else f" {small[unit]}")
        if k < 80:
            return "soixante et onze" if k == 71 else f"soixante {small[k - 60]}"
        return "quatre vingts" if k == 80 else f"quatre vingt {small[k - 80]}"

    if n >= 1000:
        return
    if n < 100:
        text = below_hundred(n)
    else:
        head = "cent" if n < 200 else f"{small[n // 100]} cent{'' if n % 100 else 's'}"
        text = head + (f" {below_hundred(n % 100)}" if n % 100 else "")
    yield text
    yield text.replace("é", "e")


_swedish = _spaced(
    "noll ett två tre fyra fem sex sju åtta nio tio elva tolv tretton fjorton femton sexton sjutton arton nitton",
    "tio tjugo trettio fyrtio femtio sextio sjuttio åttio nittio",
    "hundra tvåhundra trehundra fyrahundra femhundra sexhundra sjuhundra åttahundra niohundra",
)
_polish = _spaced(
    "zero jeden dwa trzy cztery pięć sześć siedem osiem dziewięć dziesięć jedenaście dwanaście trzynaście czternaście "
    "piętnaście szesnaście siedemnaście osiemnaście dziewiętnaście",
    "dziesięć dwadzieścia trzydzieści czterdzieści pięćdziesiąt sześćdziesiąt siedemdziesiąt osiemdziesiąt "
    "dziewięćdziesiąt",
    "sto dwieście trzysta czterysta pięćset sześćset siedemset osiemset dziewięćset",
)
_russian = _spaced(
    "ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать тринадцать четырнадцать "
    "пятнадцать шестнадцать семнадцать восемнадцать девятнадцать",
    "десять двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто",
    "сто двести триста четыреста пятьсот шестьсот семьсот восемьсот девятьсот",
)
_ukrainian = _spaced(
    "нуль один два три чотири п'ять шість сім вісім дев'ять десять одинадцять дванадцять тринадцять чотирнадцять "
    "п'ятнадцять шістнадцять сімнадцять вісімнадцять дев'ятнадцять",
    "десять двадцять тридцять сорок п'ятдесят шістдесят сімдесят вісімдесят дев'яносто",
    "сто двісті триста чотириста п'ятсот шістсот сімсот вісімсот дев'ятсот",
)
_turkish = _spaced(
    "sıfır bir iki üç dört beş altı yedi sekiz dokuz",
    "on yirmi otuz kırk elli altmış yetmiş seksen doksan",
    "yüz iki_yüz üç_yüz dört_yüz beş_yüz altı_yüz yedi_yüz sekiz_yüz dokuz_yüz",
)
_arabic = _spaced(
    "صفر واحد اثنان ثلاثة أربعة خمسة ستة سبعة ثمانية تسعة عشرة", "عشرة عشرون ثلاثون أربعون خمسون ستون سبعون ثمانون "
                                                                 "تسعون",
    "مئة مئتان ثلاثمئة أربعمئة خمسمئة ستمئة سبعمئة ثمانمئة تسعمئة",
)  # fmt: skip


def _arabic_all(n: int) -> Iterator[str]:
    units = "واحد اثنان ثلاثة أربعة خمسة ستة سبعة ثمانية تسعة".split()
    if 10 < n < 20:
        yield {11: "أحد عشر", 12: "اثنا عشر"}.get(n, f"{units[n - 11]} عشر")
    elif 20 < n < 100 and n % 10:
        yield f"{units[n % 10 - 1]} و{next(_arabic(n // 10 * 10))}"
    else:
        yield from _arabic(n)


def _indonesian(n: int) -> Iterator[str]:
    units = "nol satu dua tiga empat lima enam tujuh delapan sembilan".split()
    if n < 10:
        yield units[n]
    elif n < 12:
        yield ("sepuluh", "sebelas")[n - 10]
    elif n < 20:
        yield f"{units[n - 10]} belas"
    elif n < 100:
        yield f"{units[n // 10]} puluh" + (f" {units[n % 10]}" if n % 10 else "")


# Hindi has a word of its own for each number below a hundred.
_HINDI = (
    "शून्य एक दो तीन चार पाँच छह सात आठ नौ दस ग्यारह बारह तेरह चौदह पंद्रह सोलह सत्रह अठारह उन्नीस बीस इक्कीस बाईस "
    "तेईस चौबीस "
    "पच्चीस छब्बीस सत्ताईस अट्ठाईस उनतीस तीस इकतीस बत्तीस तैंतीस चौंतीस पैंतीस छत्तीस सैंतीस अड़तीस उनतालीस चालीस "
    "इकतालीस बयालीस "
    "तैंतालीस चौवालीस पैंतालीस छियालीस सैंतालीस अड़तालीस उनचास पचास इक्यावन बावन तिरपन चौवन पचपन छप्पन सत्तावन "
    "अट्ठावन उनसठ साठ "
    "इकसठ बासठ तिरसठ चौंसठ पैंसठ छियासठ सड़सठ अड़सठ उनहत्तर सत्तर इकहत्तर बहत्तर तिहत्तर चौहत्तर पचहत्तर छिहत्तर "
    "सतहत्तर अठहत्तर उन्यासी "
    "अस्सी इक्यासी बयासी तिरासी चौरासी पचासी छियासी सत्तासी अट्ठासी नवासी नब्बे इक्यानवे बानवे तिरानवे चौरानवे "
    "पचानवे छियानवे सत्तानवे "
    "अट्ठानवे निन्यानवे"
).split()
_HINDI_ALSO = {5: "पांच", 6: "छः", 15: "पन्द्रह", 18: "अट्ठारह", 44: "चवालीस"}


def _hindi(n: int) -> Iterator[str]:
    if n < 100:
        yield _HINDI[n]
        if n in _HINDI_ALSO:
            yield _HINDI_ALSO[n]


def _positional(digits: str, scales: tuple[str, str, str], implicit_one: bool) -> "_Positional":
    return _Positional(digits.split(), scales, implicit_one)


class _Positional:
    """Languages that write digits and powers of ten one after the other."""

    def __init__(self, digits: list[str], scales: tuple[str, str, str], implicit_one: bool) -> None:
        self._digits, self._scales, self._implicit_one = digits, scales, implicit_one

    def __call__(self, n: int) -> Iterator[str]:
        if n < 10:
            yield self._digits[n]
            return
        text, skipped = "", False
        for power, scale in zip((1000, 100, 10), self._scales, strict=True):
            digit, n = divmod(n, power)
            if not digit:
                skipped = bool(text)
                continue
            if skipped and not self._implicit_one:
                text, skipped = text + self._digits[0], False
            bare = digit == 1 and (self._implicit_one or (power == 10 and not text))
            text += ("" if bare else self._digits[digit]) + scale
        if n:
            text += (self._digits[0] if skipped and not self._implicit_one else "") + self._digits[n]
        yield text


_chinese = _positional("零 一 二 三 四 五 六 七 八 九", ("千", "百", "十"), False)
_japanese = _positional("零 一 二 三 四 五 六 七 八 九", ("千", "百", "十"), True)
_hiragana = _positional("ぜろ いち に さん よん ご ろく なな はち きゅう", ("せん", "ひゃく", "じゅう"), True)
_korean = _positional("영 일 이 삼 사 오 육 칠 팔 구", ("천", "백", "십"), True)


def _native_korean(n: int) -> Iterator[str]:
    units = ("", "하나", "둘", "셋", "넷", "다섯", "여섯", "일곱", "여덟", "아홉")
    before = ("", "한", "두", "세", "네", *units[5:])
    tens = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
    if 0 < n < 100:
        yield tens[n // 10] + units[n % 10]
        if n > 10:
            yield tens[n // 10] + before[n % 10]


# Feminine forms, and second spellings.
_ALSO = {
    1: "una une eine uma одна",
    2: "duas две zwo",
    14: "quatorze",
    16: "dezasseis",
    17: "dezassete",
    19: "dezanove",
}


def _others(n: int) -> Iterator[str]:
    yield from _ALSO.get(n, "").split()


_LANGUAGES = (
    _others, _german, _dutch, _spanish, _portuguese, _italian, _french, _swedish, _polish, _russian, _ukrainian,
    _turkish, _arabic_all, _indonesian, _hindi, _chinese, _japanese, _hiragana, _korean, _native_korean,
)  # fmt: skip

DAYS_ABROAD = {
    "monday": "montag lundi lunes lunedì lunedi segunda-feira maandag måndag poniedziałek понедельник pazartesi सोमवार "
              "星期一 周一 月曜日 월요일",
    "tuesday": "dienstag mardi martes martedì martedi terça-feira dinsdag tisdag wtorek вторник salı मंगलवार 星期二 "
               "周二 火曜日 화요일",
    "wednesday": "mittwoch mercredi miércoles miercoles mercoledì mercoledi quarta-feira woensdag onsdag środa среда "
                 "çarşamba बुधवार 星期三 周三 水曜日 수요일",
    "thursday": "donnerstag jeudi jueves giovedì giovedi quinta-feira donderdag torsdag czwartek четверг perşembe "
                "गुरुवार 星期四 周四 木曜日 목요일",
    "friday": "freitag vendredi viernes venerdì venerdi sexta-feira vrijdag fredag piątek пятница cuma शुक्रवार 星期五 "
              "周五 金曜日 금요일",
    "saturday": "samstag sonnabend samedi sábado sabato zaterdag lördag sobota суббота cumartesi शनिवार 星期六 周六 "
                "土曜日 토요일",
    "sunday": "sonntag dimanche domingo domenica zondag söndag niedziela воскресенье pazar रविवार 星期日 周日 日曜日 "
              "일요일",
}  # fmt: skip
"""Days of the week in other languages, by their English name."""
