"""Where a hint makes a right solution unlikely: its tokens scored under the clean and under the hinted prompt; and the
deltas as plain text with marks. Tokens that share a character make one cell."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from seirenes_app.inference.protocol import Alternative, ScoreRequest, ScoreResult, TokenScore
from seirenes_app.services.formatting import visible
from seirenes_app.services.hint_authoring.draft import Draft, DraftHint
from seirenes_app.services.hint_authoring.jobs import Job
from seirenes_app.services.hint_authoring.models import load_request, profile_for, solve_messages
from training.core.prompts import join_hint
from training.errors import UserError

ALTERNATIVES = 5

MARKS = ((-3.0, "---"), (-1.6, "--"), (-0.7, "-"))
"""Δ log-prob at or below which a mark is given: a twentieth, a fifth, a half as likely as under the clean prompt."""
RISE = 0.7  # Δ log-prob from which a token is marked "+": twice as likely
NOTICEABLE = -0.05  # falls smaller than this are not counted among the worst


@dataclass(frozen=True, slots=True)
class TokenDelta:
    """One cell: characters `start` to `end` with natural log-probabilities under both prompts; `delta` is hinted −
    clean. `top_clean`, `top_hinted`: the likeliest tokens there, at the cell's first token."""

    text: str
    start: int
    end: int
    clean: float
    hinted: float
    delta: float
    top_clean: tuple[Alternative, ...]
    top_hinted: tuple[Alternative, ...]

    @property
    def mark(self) -> str:
        return mark_of(self.delta)


@dataclass(frozen=True, slots=True)
class LogprobDelta:
    """A solution's cells, which cover `text` without gap or overlap; `worst` is the index of the lowest delta."""

    text: str
    tokens: tuple[TokenDelta, ...]
    total_delta: float
    worst: int

    def worst_tokens(self, n: int = 5) -> tuple[int, ...]:
        """The indices of up to `n` cells that the hint makes clearly less likely, the worst first."""
        falling = [i for i, t in enumerate(self.tokens) if t.delta <= NOTICEABLE]
        return tuple(sorted(falling, key=lambda i: self.tokens[i].delta)[:n])


def mark_of(delta: float) -> str:
    falling = next((mark for limit, mark in MARKS if delta <= limit), "")
    return falling or ("+" if delta >= RISE else "")


def compare_scores(clean: ScoreResult, hinted: ScoreResult) -> LogprobDelta:
    """The deltas of a solution that was scored under both prompts. Raises a `UserError` if the texts differ."""
    cuts = [[(t.byte_start, t.byte_end) for t in result.tokens] for result in (clean, hinted)]
    if clean.text != hinted.text or cuts[0] != cuts[1]:
        raise UserError("The two scores are of different tokens, so they cannot be compared. Score both again.")
    cells = [_cell(clean, clean.tokens[a:b], hinted.tokens[a:b]) for a, b in _groups(clean.tokens)]
    worst = min(range(len(cells)), key=lambda i: cells[i].delta, default=0)
    return LogprobDelta(clean.text, tuple(cells), sum(c.delta for c in cells), worst)


def _groups(tokens: Sequence[TokenScore]) -> list[tuple[int, int]]:
    """Ranges of tokens that share a character; a token without any goes to the one before it."""
    groups: list[tuple[int, int]] = []
    reached = 0
    for i, token in enumerate(tokens):
        apart = token.char_start >= reached and token.char_end > token.char_start
        if groups and not (apart and reached > tokens[groups[-1][0]].char_start):
            groups[-1] = (groups[-1][0], i + 1)
        else:
            groups.append((i, i + 1))
        reached = max(reached, token.char_end)
    return groups


def _cell(whole: ScoreResult, clean: Sequence[TokenScore], hinted: Sequence[TokenScore]) -> TokenDelta:
    start, end = clean[0].char_start, max(t.char_end for t in clean)
    before, after = sum(t.logprob for t in clean), sum(t.logprob for t in hinted)
    return TokenDelta(whole.text[start:end], start, end, before, after, after - before, clean[0].top, hinted[0].top)


def score_solution(job: Job, draft: Draft, hint: DraftHint, solution: str) -> LogprobDelta:
    """Score a solution under a draft's clean and hinted prompt. A cancelled job fails."""
    question, text = draft.problem.question.strip(), hint.text.strip()
    if not question or not text:
        raise UserError("Scoring needs a question and a hint. Write both.")
    if not solution.strip():
        raise UserError("There is no solution to score: no clean sample is right, and the problem has none worked.")
    model, scores = load_request(draft.solver), list[ScoreResult]()
    for shown in (question, join_hint(question, text, draft.placement)):
        messages = solve_messages(draft.solver, shown)
        request = ScoreRequest(
            messages=messages, completion=solution, top_k=ALTERNATIVES,
            template_variables=profile_for(draft.solver).template,
        )  # fmt: skip
        pending = job.send(request, model)
        found = [event for event in job.listen(pending) if isinstance(event, ScoreResult)]
        if not found:
            raise UserError("Scoring was cancelled.")
        scores += found
    return compare_scores(*scores)


LEGEND = (
    "Under a token: - at most half as likely as under the clean prompt, -- a fifth, --- a twentieth, "
    "+ at least twice as likely."
)
_SHOWN_ALTERNATIVES = 3
_PIECE = 20  # longer tokens are cut, so that any line can be folded


def delta_lines(delta: LogprobDelta, width: int = 100) -> list[str]:
    """The solution in lines of at most `width` columns, each with its marks in the line below."""
    lines: list[str] = []
    text = marks = ""
    for token in delta.tokens:
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


def _pieces(token: TokenDelta) -> list[tuple[str, str]]:
    """The token as it is shown, with its mark; a long one in parts, so that it can be folded."""
    text = visible(token.text)
    parts = [text[i : i + _PIECE] for i in range(0, len(text), _PIECE)] or [""]
    return [(part, token.mark if i == 0 else "") for i, part in enumerate(parts)]


def _lead(piece: str) -> int:
    return len(piece) - len(piece.lstrip(" ")) if piece.strip() else 0


def _gap(text: str, marks: str, piece: str, mark: str) -> int:
    """Spaces to put in, so that nothing stands over the mark of the token before, and two marks do not touch."""
    if not marks or not (piece.strip() or mark):
        return 0
    return max(0, len(marks) + (1 if mark else 0) - columns(text) - _lead(piece))


def _row(text: str, marks: str) -> list[str]:
    return [text.rstrip(), marks.rstrip()] if marks.strip() else [text.rstrip()]


def worst_lines(delta: LogprobDelta, n: int = 5) -> list[str]:
    """The `n` tokens that lose most, with what the model would rather write there."""
    lines = []
    for place, index in enumerate(delta.worst_tokens(n), 1):
        t = delta.tokens[index]
        where = f"{place}. {quoted(t.text)} after {quoted(_before(delta.text, t.start))}"
        lines.append(f"{where}: Δ {t.delta:+.2f} {t.mark}".rstrip() + f"  ({share(t.clean)} → {share(t.hinted)})")
        lines.append(f"   clean: {alternatives(t.top_clean)}   hinted: {alternatives(t.top_hinted)}")
    return lines or ["No token is clearly less likely under the hint."]


def alternatives(top: Sequence[Alternative], n: int = _SHOWN_ALTERNATIVES) -> str:
    return ", ".join(f"{quoted(a.text)} {share(a.logprob)}" for a in top[:n]) or "none"


def share(logprob: float) -> str:
    percent = 100 * math.exp(min(0.0, logprob))
    if percent >= 99.95:
        return "100%"
    return f"{percent:.1f}%" if percent >= 0.1 else "<0.1%"


def quoted(text: str) -> str:
    return f"“{visible(text)}”"


def columns(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _before(text: str, start: int, n: int = 16) -> str:
    piece = text[max(0, start - n) : start]
    if start > n and " " in piece.strip():
        piece = piece[piece.index(" ") + 1 :]
    return piece
