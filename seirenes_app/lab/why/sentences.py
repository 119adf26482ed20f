"""Cut text into sentences by rules: no model, no language data, the same cut everywhere.

It never splits a decimal, a title or an initial; a new line always ends a sentence. Text that keeps to no rules comes
out in longer or shorter pieces, but nothing of it is lost: the spans cover every character that is no space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text: characters `start` to `end`, `end` not included."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """The piece itself."""
        return text[self.start : self.end]


_END = re.compile(r"(?P<mark>[.!?…]+)[\"'”’»)\]}*_]*(?P<gap>\s+|$)|[。！？]+[」』”’）]*(?P<none>)")
_LAST_WORD = re.compile(r"[\w.]*\w\Z")
# Never the end of a sentence: something always follows them.
_TITLES = frozenset("mr mrs ms dr prof st mt jr sr gen rev hon capt e.g i.e cf vs viz".split())
# The end of a sentence only before a capital: "at 5 p.m. He left", "about 3 approx. per day".
_MAYBE = frozenset(
    "etc a.m p.m u.s u.k ph.d approx ca est min max avg hr hrs sec ft lb lbs oz kg km cm mm inc ltd".split()
)
# "No. 5" and "Fig. 2" go on, "No. It is 6." does not.
_BEFORE_NUMBER = frozenset("no nos nr fig eq vol ch pp p sec art step".split())
_LIST_MARK = re.compile(r"\s*\(?(?:\d{1,2}|[A-Za-z])\Z")


def split_sentences(text: str) -> tuple[Span, ...]:
    """The sentences in order. Each begins and ends with a character that is no space."""
    spans: list[Span] = []
    at = 0
    for line in text.splitlines(keepends=True):
        spans += _trimmed(text, at, at + len(line), _ends(line))
        at += len(line)
    return tuple(spans)


def _trimmed(text: str, start: int, end: int, ends: list[int]) -> list[Span]:
    spans = []
    for stop in [*(start + e for e in ends), end]:
        piece = text[start:stop]
        if piece.strip():
            first = start + len(piece) - len(piece.lstrip())
            spans.append(Span(first, start + len(piece.rstrip())))
        start = stop
    return spans


def _ends(line: str) -> list[int]:
    """Where sentences of one line end, without the end of the line."""
    ends: list[int] = []
    begin = 0
    for match in _END.finditer(line):
        if match.group("none") is not None or _is_end(line, begin, match):
            ends.append(match.end())
            begin = match.end()
    return ends


def _is_end(line: str, begin: int, match: re.Match[str]) -> bool:
    rest = line[match.end() :]
    if not rest:
        return False
    following = rest.lstrip("\"'“‘«([{*_$£€")[:1]
    if match.group("mark") != ".":
        # "How many?" asked Tom. And "wait... what".
        quoted = match.end("mark") < match.start("gap")
        trailing = match.group("mark") not in ("!", "?") and set(match.group("mark")) <= set(".…")
        return not (following.islower() and (quoted or trailing))
    before = line[begin : match.start()]
    if _LIST_MARK.match(before):
        return False
    return not _is_abbreviation(before, following)


def _is_abbreviation(before: str, following: str) -> bool:
    """Whether a full stop after `before` belongs to its last word."""
    found = _LAST_WORD.search(before)
    if found is None:
        return False
    word = found.group().lstrip(".")
    if len(word) == 1 and word.isupper() and word != "I":
        # An initial has a name about it: "John F. Kennedy", "J. Smith", and not "in class A. Then".
        name = before[: found.start()].split()[-1:]
        return following.isupper() and (not name or name[0][:1].isupper())
    low = word.lower()
    if low in _TITLES:
        return True
    if low in _MAYBE:
        return not following.isupper()
    return low in _BEFORE_NUMBER and following.isdigit()
