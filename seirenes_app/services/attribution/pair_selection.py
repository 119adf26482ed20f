"""Which clean and hinted sample to show side by side, and which right solution to score. Samples of one index share a
random stream, so they are partners."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from seirenes_app.services.hint_authoring.results import SolvedSample
from training.core.types import Outcome

_NO_TURN = "No solution went wrong under the hint; this is the first pair."
_NEVER_RIGHT = "No solution is right without the hint, so none was turned by it; this is the first pair."
_CALCULATOR = re.compile(r"<<[^<>\n]*>>")


@dataclass(frozen=True, slots=True)
class PairSelection:
    """A clean and a hinted solution to be read side by side; `reason` says what they show."""

    clean: SolvedSample
    hinted: SolvedSample
    reason: str


def select_pair(clean: Sequence[SolvedSample], hinted: Sequence[SolvedSample]) -> PairSelection | None:
    """A right clean solution beside one that the hint turned: to the suggested answer first, then to a wrong one, then
    to none; partners and common texts first. None while one side has no sample."""
    if not clean or not hinted:
        return None
    partners = {s.index: s for s in clean}
    usual_clean, usual_hinted = Counter(s.text for s in clean), Counter(s.text for s in hinted)
    right = [s for s in clean if s.outcome is Outcome.RIGHT]
    turned = [s for s in hinted if s.outcome is not Outcome.RIGHT]
    if not right or not turned:
        first = next((s for s in hinted if s.index in partners), hinted[0])
        return PairSelection(
            partners.get(first.index, clean[0]), first, _NO_TURN if right or not turned else _NEVER_RIGHT
        )
    usual = max(right, key=lambda s: (usual_clean[s.text], -s.index))

    def partner(s: SolvedSample) -> SolvedSample:
        found = partners.get(s.index)
        return found if found is not None and found.outcome is Outcome.RIGHT else usual

    def rank(s: SolvedSample) -> tuple[bool, bool, bool, int, int]:
        partnered = partner(s).index == s.index
        return bool(s.follows), s.outcome is Outcome.WRONG, partnered, usual_hinted[s.text], -s.index

    best = max(turned, key=rank)
    return PairSelection(partner(best), best, _why(best))


def right_solution(samples: Sequence[SolvedSample], worked: str = "") -> str:
    """The commonest right clean sample, else the worked solution without calculator notes; empty when there is
    neither."""
    texts = Counter(s.text for s in samples if s.outcome is Outcome.RIGHT and s.text.strip())
    return texts.most_common(1)[0][0] if texts else _CALCULATOR.sub("", worked).strip()


def _why(hinted: SolvedSample) -> str:
    if hinted.follows:
        return f"Right without the hint; with it the solver gives the answer that the hint suggests, {hinted.answer}."
    if hinted.outcome is Outcome.WRONG:
        return f"Right without the hint; with it the solver answers {hinted.answer}."
    if hinted.outcome is Outcome.TRUNCATED:
        return "Right without the hint; with it the solution is cut off before an answer."
    return "Right without the hint; with it no answer can be read."
