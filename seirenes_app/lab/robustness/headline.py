"""The table of before and after: each slice at the first checkpoint and at the last, and the paired change. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from seirenes_app.lab.robustness.book import RobustnessBook
from seirenes_app.lab.robustness.figures import slice_key
from seirenes_app.lab.robustness.measured import TYPE_WORDS
from seirenes_app.lab.robustness.trends import SLICES
from seirenes_app.lab.robustness.values import DataTable, Track
from seirenes_app.lab.robustness.words import p_words, percents, points
from training.core.statistics import Interval
from training.core.types import PerturbationType
from training.evaluation.rows import Condition

LABELS = {Condition.CLEAN: "clean", Condition.HINTED: "hinted, all types", Condition.PLACEBO: "placebo"}
COLUMNS = ("", "before", "after", "change", "p")


@dataclass(frozen=True, slots=True)
class HeadlineLine:
    """One slice at both ends. `difference` is paired (with its p) where `p_value` is there, else of totals alone."""

    key: str
    label: str
    before: Interval
    after: Interval
    rows_before: int
    rows_after: int
    problems: int
    difference: Interval
    p_value: float | None

    def cells(self) -> tuple[str, str, str, str, str]:
        """As every table prints it: label, before, after, change in points, p."""
        p = "unpaired" if self.p_value is None else p_words(self.p_value).removeprefix("p = ").removeprefix("p ")
        return self.label, percents(self.before), percents(self.after), points(self.difference, ""), p


@dataclass(frozen=True, slots=True)
class Headline:
    """The table, and between which checkpoints."""

    before: str
    after: str
    lines: tuple[HeadlineLine, ...]

    @property
    def table(self) -> DataTable:
        """The same as numbers."""
        return DataTable(
            ("what", "before", "low", "high", "after", "low", "high", "change", "low", "high", "p", "problems"),
            tuple(
                (
                    x.label, x.before.mean, x.before.low, x.before.high, x.after.mean, x.after.low, x.after.high,
                    x.difference.mean, x.difference.low, x.difference.high, x.p_value, x.problems,
                )
                for x in self.lines
            ),
        )  # fmt: skip


def headline(book: RobustnessBook, track: Track) -> Headline | None:
    """First against last; None with fewer than two checkpoints, and for models that have no order."""
    trend = book.trend(track)
    if trend is None:
        return None
    measured = book.measured(track)
    first, last = measured[0].figures, measured[-1].figures
    lines = []
    for condition, hint_type in SLICES:
        key = slice_key(condition, hint_type)
        if key not in first or key not in last:
            continue
        change, total = trend.changes.get(key), trend.totals.get(key)
        difference = change.difference if change else total[2] if total else None
        if difference is None:
            continue
        lines.append(
            HeadlineLine(
                key, _label(condition, hint_type), first[key].value, last[key].value, first[key].rows, last[key].rows,
                change.problems if change else last[key].problems, difference, change.p_value if change else None,
            )
        )  # fmt: skip
    return Headline(trend.before, trend.after, tuple(lines))


def _label(condition: Condition, hint_type: PerturbationType | None) -> str:
    return LABELS[condition] if hint_type is None else f"· {TYPE_WORDS[hint_type]}"
