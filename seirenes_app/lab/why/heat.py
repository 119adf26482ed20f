"""Where a hint makes a right solution unlikely: its tokens scored under the clean and under the perturbed prompt.

The solution is tokenised by itself, so both prompts score the very same tokens. Tokens that share a character (its
bytes are split over them) make one cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.protocol import Alternative, ScoreRequest, ScoreResult, TokenScore
from seirenes_app.lab.crafting.documents import Candidate, Draft
from seirenes_app.lab.crafting.jobs import Job
from seirenes_app.lab.crafting.models import sample_messages, style_for
from training.core.prompts import join_hint
from training.errors import UserError

ALTERNATIVES = 5

MARKS = ((-3.0, "---"), (-1.6, "--"), (-0.7, "-"))
"""Δ log-prob at or below which a mark is given: a twentieth, a fifth, a half as likely as under the clean prompt."""
RISE = 0.7
"""Δ log-prob from which a token is marked "+": twice as likely."""
NOTICEABLE = -0.05
"""Falls smaller than this are not counted among the worst."""


@dataclass(frozen=True, slots=True)
class HeatToken:
    """One cell: characters `start` to `end` of the solution, with its natural log-probability under both prompts.

    `delta` is hinted less clean: below zero, the hint makes it less likely. `top_clean` and `top_hinted` are what the
    model would rather have written there, likeliest first; in a cell of several tokens, at the first of them.
    """

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
        """Its delta in signs, readable without colour: ---, --, -, nothing, or +."""
        return mark_of(self.delta)


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A solution's cells, which cover `text` without gap or overlap; `worst` is the index of the lowest delta."""

    text: str
    tokens: tuple[HeatToken, ...]
    total_delta: float
    worst: int

    def worst_tokens(self, n: int = 5) -> tuple[int, ...]:
        """The indices of up to `n` cells that the hint makes clearly less likely, the worst first."""
        falling = [i for i, t in enumerate(self.tokens) if t.delta <= NOTICEABLE]
        return tuple(sorted(falling, key=lambda i: self.tokens[i].delta)[:n])


def mark_of(delta: float) -> str:
    """A delta in signs: ---, --, -, nothing, or +."""
    falling = next((mark for limit, mark in MARKS if delta <= limit), "")
    return falling or ("+" if delta >= RISE else "")


def heat_map(clean: ScoreResult, hinted: ScoreResult) -> HeatMap:
    """The map of a solution that was scored under both prompts. Raises a `UserError` if the two are not of one text."""
    cuts = [[(t.byte_start, t.byte_end) for t in result.tokens] for result in (clean, hinted)]
    if clean.text != hinted.text or cuts[0] != cuts[1]:
        raise UserError("The two scores are of different tokens, so they cannot be compared. Score both again.")
    cells = [_cell(clean, clean.tokens[a:b], hinted.tokens[a:b]) for a, b in _groups(clean.tokens)]
    worst = min(range(len(cells)), key=lambda i: cells[i].delta, default=0)
    return HeatMap(clean.text, tuple(cells), sum(c.delta for c in cells), worst)


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


def _cell(whole: ScoreResult, clean: Sequence[TokenScore], hinted: Sequence[TokenScore]) -> HeatToken:
    start, end = clean[0].char_start, max(t.char_end for t in clean)
    before, after = sum(t.logprob for t in clean), sum(t.logprob for t in hinted)
    return HeatToken(whole.text[start:end], start, end, before, after, after - before, clean[0].top, hinted[0].top)


class HeatJob(Job):
    """Score a solution under a draft's clean and hinted prompt. The contract is that of `lab.crafting.jobs`, but that a
    cancelled one fails, with `cancelled` set: half a score is no map.
    """

    def __init__(
        self,
        client: WorkerClient,
        draft: Draft,
        candidate: Candidate,
        solution_text: str,
        on_done: Callable[[HeatMap], None],
        on_failed: Callable[[str], None],
    ) -> None:
        super().__init__(client, on_done, on_failed)
        self._draft, self._hint, self._solution = draft, candidate.text.strip(), solution_text
        self._begin()

    def _work(self) -> HeatMap:
        question = self._draft.problem.question.strip()
        if not question or not self._hint:
            raise UserError("A heat map needs a question and a hint. Write both.")
        if not self._solution.strip():
            raise UserError("There is no solution to score: no clean sample is right, and the problem has none worked.")
        clean = self._score(question)
        return heat_map(clean, self._score(join_hint(question, self._hint, self._draft.placement)))

    def _score(self, text: str) -> ScoreResult:
        solver = self._draft.solver
        request = ScoreRequest(
            messages=sample_messages(self._draft, text, style_for(solver)), completion=self._solution,
            top_k=ALTERNATIVES,
        )  # fmt: skip
        self._load(solver)
        for event in self._events(lambda hear: self._client.score(request, hear)):
            if isinstance(event, ScoreResult):
                return event
        raise UserError("Scoring was cancelled.")
