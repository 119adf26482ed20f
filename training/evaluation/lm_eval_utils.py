"""The `utils.py` of an exported task folder, as text. It stands alone: it is copied, never imported from here.

It reads answers as `training.core.answers` does, line for line; a test compares the two on any text.
"""

UTILS = r'''"""Reads this folder's data, and answers as Seirenes reads them. Standard library, and `datasets` for rows.

`read_answers` is the filter: what follows the last #### on its line, or stands in the last \boxed{...}. An answer that
equals the true one comes out spelled like it, so that exact match is equality of value; any other comes out marked.
"""

import json
import re
from fractions import Fraction
from pathlib import Path

MARKER, MAX_TAIL, MAX_ANSWER = "####", 4000, 200
MIXED = re.compile(r"(-?\d+)\s+(\d+)\s*/\s*(\d+)")
FRACTION = re.compile(r"(-?\d+)\s*/\s*(\d+)")
DECIMAL = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+")
TRAILING_UNIT = re.compile(r"\s*(?:%|[^\W\d_][\w .'-]*)?\.?\s*")
CLOCK = re.compile(r"\s*(\d{1,2}):(\d{2})\s*(?:[ap]\.?m\.?)?\.?\s*", re.IGNORECASE)


def read(file, **_):
    """The rows of one file of this folder."""
    from datasets import Dataset

    text = (Path(__file__).parent / file).read_text(encoding="utf-8")
    return {"test": Dataset.from_list([json.loads(line) for line in text.splitlines()])}


def read_answers(resps, docs):
    """The filter: responses of each document to answers that exact match can compare."""
    return [[read_answer(text, doc["answer"], doc["kind"]) for text in given] for given, doc in zip(resps, docs)]


def read_answer(text, gold, kind):
    given = extract_answer(text)
    if given is None:
        return "[no answer]"
    same = equal(given, gold, kind)
    return "[unreadable]" if same is None else gold if same else f"[other] {given}"


def extract_answer(completion):
    tail = completion[-MAX_TAIL:]
    marker, box = tail.rfind(MARKER), tail.rfind("\\boxed{")
    if marker > box:
        return tail[marker + len(MARKER) :].strip(" ").split("\n", 1)[0].strip() or None
    return boxed(tail, box + len("\\boxed{")) if box >= 0 else None


def boxed(text, start):
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i].strip() or None
    return None


def equal(given, gold, kind):
    """Whether two answers mean the same; None where `given` cannot be read."""
    if kind == "choice":
        word = given.strip().rstrip(".").casefold()
        return word == gold.strip().casefold() if word else None
    parse = parse_clock if kind == "clock" else parse_number
    found = parse(given)
    return None if found is None else found == parse(gold)


def parse_number(text):
    text = text.strip().replace("\u2212", "-").lstrip("$\u20ac\u00a3 ")
    if not text or len(text) > MAX_ANSWER:
        return None
    for pattern in (MIXED, FRACTION, DECIMAL):
        match = pattern.match(text)
        if match and TRAILING_UNIT.fullmatch(text, match.end()):
            return value(pattern, match)
    return None


def value(pattern, match):
    try:
        if pattern is MIXED:
            whole, top, bottom = (int(g) for g in match.groups())
            part = Fraction(top, bottom)
            return whole - part if match.group(1).startswith("-") else whole + part
        if pattern is FRACTION:
            return Fraction(int(match.group(1)), int(match.group(2)))
        return Fraction(match.group().replace(",", ""))
    except ZeroDivisionError:
        return None


def parse_clock(text):
    match = CLOCK.fullmatch(text[:MAX_ANSWER])
    if match is None:
        return None
    hour, minute = int(match.group(1)), int(match.group(2))
    return hour % 12 * 60 + minute if hour <= 24 and minute < 60 else None
'''
