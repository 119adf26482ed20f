"""What the inspector shows of one rollout: which counterparts stand side by side, and how they align. No widgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seirenes_app.lab.why.alignment import Alignment, align
from training.core.types import Outcome, Stage
from training.rundir.rollout_query import TracePair

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """A pair with one clean and one hinted solution chosen out of it; -1 where there is none of the kind."""

    pair: TracePair
    clean_at: int
    hinted_at: int
    alignment: Alignment | None

    @property
    def clean(self) -> Row | None:
        """The clean solution at the left."""
        return self.pair.clean[self.clean_at] if self.clean_at >= 0 else None

    @property
    def hinted(self) -> Row | None:
        """The hinted solution at the right."""
        return self.pair.siblings[self.hinted_at] if self.hinted_at >= 0 else None

    @property
    def asked(self) -> Row:
        """The row under the table's cursor."""
        rows = (*self.pair.clean, *self.pair.siblings, *filter(None, (self.pair.hint,)))
        return next(row for row in rows if row["id"] == self.pair.asked)

    @property
    def hint_row(self) -> Row | None:
        """A row that holds the hint."""
        return self.pair.hint or self.hinted


def make_reading(pair: TracePair, clean_at: int | None = None, hinted_at: int | None = None) -> Reading:
    """Choose, where nobody chose: the row that was asked for, beside a clean solution that is right if there is one."""
    if clean_at is None:
        asked = _place(pair.clean, lambda row: row["id"] == pair.asked)
        clean_at = asked if asked >= 0 else max(_place(pair.clean, _is_right), 0 if pair.clean else -1)
    if hinted_at is None:
        chosen = pair.hinted["id"] if pair.hinted else None
        hinted_at = _place(pair.siblings, lambda row: row["id"] == chosen)
    reading = Reading(pair, clean_at, hinted_at, None)
    if reading.clean is None or reading.hinted is None:
        return reading
    aligned = align(reading.clean["completion"], reading.hinted["completion"])
    return Reading(pair, clean_at, hinted_at, aligned)


def _is_right(row: Row) -> bool:
    return bool(row["outcome"] == Outcome.RIGHT)


def _place(rows: Sequence[Row], fits: Any) -> int:
    return next((i for i, row in enumerate(rows) if fits(row)), -1)


def locate_hint(row: Row) -> tuple[str, tuple[int, int] | None]:
    """The question with the hint in it, and where the hint lies; the question alone where there is no hint.

    Found by looking for it: a run may have placed it anywhere, and the Adversary's own row has only the question.
    """
    question, hint = str(row["question"]), str(row["hint"] or "")
    if not hint:
        return question, None
    text = str(row["prompt"]) if row["stage"] == Stage.HINTED else f"{question} {hint}"
    at = text.rfind(hint)
    if at < 0:
        text = f"{question} {hint}"
        at = len(question) + 1
    return text, (at, at + len(hint))


def say_group(rows: Sequence[Row]) -> str:
    """How many of a group are right: "3 of 4 right"."""
    return f"{sum(map(_is_right, rows))} of {len(rows)} right"
