"""A heat map in plain text: marks that need no colour under the tokens, and the worst tokens in numbers.

Model text is shown as it is but for control characters, which could steer a terminal.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from seirenes_app.inference.protocol import Alternative
from seirenes_app.lab.why.heat import HeatMap, HeatToken

LEGEND = (
    "Under a token: - at most half as likely as under the clean prompt, -- a fifth, --- a twentieth, "
    "+ at least twice as likely."
)
_SHOWN_ALTERNATIVES = 3
_PIECE = 20
"""Longer tokens are cut, so that any line can be folded."""


def heat_lines(heat: HeatMap, width: int = 100) -> list[str]:
    """The solution in lines of at most `width` columns, each with its marks in the line below."""
    lines: list[str] = []
    text = marks = ""
    for token in heat.tokens:
        for piece, mark in _pieces(token):
            gap = _gap(text, marks, piece, mark)
            if text and columns(text) + gap + max(columns(piece), _lead(piece) + len(mark)) > width:
                lines += _row(text, marks)
                text, marks, gap = "", "", 0
                piece = piece.lstrip(" ")
            text += " " * gap
            if mark:
                marks = marks.ljust(columns(text) + _lead(piece)) + mark
            text += piece
        if "\n" in token.text:
            lines += _row(text, marks)
            text = marks = ""
    return lines + (_row(text, marks) if text else [])


def _pieces(token: HeatToken) -> list[tuple[str, str]]:
    """The token as it is shown, with its mark; a long one in parts, so that it can be folded."""
    text = visible(token.text)
    parts = [text[i : i + _PIECE] for i in range(0, len(text), _PIECE)] or [""]
    return [(part, token.mark if i == 0 else "") for i, part in enumerate(parts)]


def _lead(piece: str) -> int:
    """The spaces before the first sign, under which the mark stands."""
    return len(piece) - len(piece.lstrip(" ")) if piece.strip() else 0


def _gap(text: str, marks: str, piece: str, mark: str) -> int:
    """Spaces to put in, so that nothing stands over the mark of the token before, and two marks do not touch."""
    if not marks or not (piece.strip() or mark):
        return 0
    return max(0, len(marks) + (1 if mark else 0) - columns(text) - _lead(piece))


def _row(text: str, marks: str) -> list[str]:
    return [text.rstrip(), marks.rstrip()] if marks.strip() else [text.rstrip()]


def worst_lines(heat: HeatMap, n: int = 5) -> list[str]:
    """The `n` tokens that lose most, with what the model would rather write there."""
    lines = []
    for place, index in enumerate(heat.worst_tokens(n), 1):
        t = heat.tokens[index]
        lines.append(
            f"{place}. {quoted(t.text)} after {quoted(_before(heat.text, t.start))}: Δ {t.delta:+.2f} {t.mark}".rstrip()
            + f"  ({share(t.clean)} → {share(t.hinted)})"
        )
        lines.append(f"   clean: {alternatives(t.top_clean)}   hinted: {alternatives(t.top_hinted)}")
    return lines or ["No token is clearly less likely under the hint."]


def alternatives(top: Sequence[Alternative], n: int = _SHOWN_ALTERNATIVES) -> str:
    """The likeliest tokens with their shares, as one line."""
    return ", ".join(f"{quoted(a.text)} {share(a.logprob)}" for a in top[:n]) or "none"


def share(logprob: float) -> str:
    """A log-probability as a percentage."""
    percent = 100 * math.exp(min(0.0, logprob))
    if percent >= 99.95:
        return "100%"
    return f"{percent:.1f}%" if percent >= 0.1 else "<0.1%"


def quoted(text: str) -> str:
    """A token in quotation marks, its spaces to be seen."""
    return f"“{visible(text)}”"


def visible(text: str, newline: str = "⏎") -> str:
    """Text that cannot steer a terminal: new lines as `newline`, other control and hidden characters as their code."""
    hidden = ("Cc", "Cf", "Co", "Cs", "Cn")
    return "".join(
        newline if c == "\n" else f"<{ord(c):04X}>" if unicodedata.category(c) in hidden else c for c in text
    )


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _before(text: str, start: int, n: int = 16) -> str:
    """What stands before a character, from the begin of a word if there is one near."""
    piece = text[max(0, start - n) : start]
    if start > n and " " in piece.strip():
        piece = piece[piece.index(" ") + 1 :]
    return piece
