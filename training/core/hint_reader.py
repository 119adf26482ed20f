"""Read the hint out of an Adversary's reply. Pure; the one way in self-play, evaluation, suites and Craft.

Reasoning blocks are removed, and an unfinished one leaves no hint. Then labels ("Hint:", "Here is …:") and quotation
marks around the whole go, and a text that was cut off or is too long ends at the last sentence end that fits. The gates
decide on what remains.
"""

from __future__ import annotations

import re

from training.core.answer_reader import split_reasoning
from training.core.prompts import ends_abbreviation

_OPENER = re.compile(
    r"(?:(?:sure|certainly|of course|absolutely|okay|ok|alright|great)\b[,.!:]*\s+)?"
    r"here(?:'s|’s| is| are)\b[^:\n.]{0,90}:\s*",
    re.IGNORECASE,
)
_EAGER = re.compile(r"(?:sure|certainly|of course|absolutely|okay|ok|alright)\b[!.:]\s+(?=\S)", re.IGNORECASE)
_LABEL = re.compile(
    r"[\s*_#>`\-•]*(?:\d{1,2}[.)]\s*)?[*_]{0,3}"
    r"(?:my\s+|the\s+|one\s+|a\s+)?(?:misleading\s+|new\s+|short\s+|possible\s+)?"
    r"(?:hint|remark|sentence|distract(?:ion|or)|response|reply|output)s?"
    r"(?:\s*\d{1,2})?(?:\s*\([^)\n]{0,60}\))?\s*[*_]{0,3}\s*[:–—]\s*[*_]{0,3}\s*",
    re.IGNORECASE,
)
_QUOTES = {'"': '"', "“": "”", "'": "'", "„": "“", "«": "»", "`": "`"}
_END = re.compile(r"[.!?…。！？]+[\"'”’)\]*_]*(?=\s|$)")
_COMMENT = re.compile(
    r"\n[ \t(\[*_]*(?:note|explanation|this hint|this remark|this sentence|in this hint|the hint|rationale|reason)\b",
    re.IGNORECASE,
)
_MAX_READ = 20_000


def clean_hint(reply: str, *, truncated: bool = False, max_characters: int = 0) -> str:
    """The hint in a reply, "" where there is none. `truncated`: the token limit cut the reply off. `max_characters` 0:
    no limit; a longer text without a sentence end that fits is left as it is, for the gate to refuse."""
    text, unfinished = split_reasoning(reply[:_MAX_READ])
    if unfinished:
        return ""
    text = _bare(text.strip())
    if truncated or 0 < max_characters < len(text):
        text = _cut(text, max_characters or len(text), truncated)
    return text


def _bare(text: str) -> str:
    """Without labels before it, quotation marks around it, and comments below it."""
    for _ in range(4):
        before = text
        for pattern in (_OPENER, _LABEL, _EAGER):
            found = pattern.match(text)
            if found and text[found.end() :].strip():
                text = text[found.end() :].strip()
        text = _unquoted(text)
        if text == before:
            break
    comment = _COMMENT.search(text)
    return _unquoted(text[: comment.start()].strip()) if comment and text[: comment.start()].strip() else text


def _unquoted(text: str) -> str:
    """The inside of quotation marks around the whole, or around the first line with something below it."""
    closing = _QUOTES.get(text[:1])
    if closing is None or len(text) < 3:
        return text
    end = text.find(closing, 1)
    # An apostrophe within a word ends nothing.
    while closing == "'" and 0 < end < len(text) - 1 and text[end + 1].isalnum():
        end = text.find(closing, end + 1)
    whole = end == len(text) - 1 or text[end + 1 :].lstrip(" .").startswith("\n")
    return text[1:end].strip() if end > 1 and whole else text


def _cut(text: str, limit: int, truncated: bool) -> str:
    """Up to the last sentence end within `limit` characters. Without one: "" for a text that was cut off."""
    ends = [found.end() for found in _END.finditer(text) if not ends_abbreviation(text, found.start() + 1)]
    if truncated and ends and ends[-1] == len(text) and re.search(r"\d\.$", text):
        # Perhaps the point of a number, whose decimals are missing.
        ends.pop()
    fitting = [end for end in ends if end <= limit]
    if fitting:
        return text[: fitting[-1]]
    return "" if truncated else text
