"""Transfer between domains: what training on some families of problems changed on each family, as a matrix. Pure.

A row is a run, a column a family of the suite's held-out problems, a cell the change from the run's first to its last
checkpoint, paired problem by problem, in each condition. Two more columns take the families together that the run was
trained on, and those that it was not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from seirenes_app.services.answer_reading import describe_unread
from seirenes_app.services.formatting import change_tone, is_clear, percent, points_interval, sentence
from seirenes_app.services.robustness.checkpoint_figures import robustness_claim, trend_between
from seirenes_app.services.robustness.figures import Figure
from seirenes_app.services.robustness.generalisation import config_of
from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Basis, DataTable, Track, Value
from training.core.problems import FAMILIES
from training.core.statistics import holm
from training.core.types import Condition
from training.evaluation.metric_types import Change, UnreadShares
from training.evaluation.outcome_arrays import OutcomeArrays
from training.runs.config import RunConfig

CONDITIONS = (Condition.HINTED, Condition.CLEAN, Condition.PLACEBO, Condition.NEEDED)
"""In the order in which they are shown."""
TRAINED, OTHER = "trained families", "other families"
MARK = "◆"
"""Beside the cells of families that the run was trained on."""
NOTE = (
    f"{MARK} marks families that the run was trained on. A cell is the change from the run's first to its last "
    "checkpoint in points, on the same held-out problems and texts, with a bootstrap over problems; it is called a "
    "change where its interval excludes zero and p, adjusted for all cells of the condition by Holm's method, is below "
    "0.05. One run is one draw of training."
)


@dataclass(frozen=True, slots=True)
class TransferCell:
    """A run on the problems of some families. `trained`: it was trained on them; None where that is not known.
    `adjusted` are p-values by condition, adjusted for the cells of the matrix. `unread` are the shares at both ends."""

    name: str
    trained: bool | None
    problems: int
    changes: Mapping[Condition, Change]
    beyond: Figure | None
    """Change of hinted − change of placebo."""
    claim: str
    unread: tuple[UnreadShares, UnreadShares]
    adjusted: Mapping[Condition, float]

    def is_clear(self, condition: Condition) -> bool:
        """Whether the cell may be called a change."""
        change = self.changes.get(condition)
        return change is not None and is_clear(change.difference, self.adjusted.get(condition, change.p_value))

    def tone(self, condition: Condition) -> str:
        """'good', 'bad' or 'muted'."""
        change = self.changes.get(condition)
        if change is None:
            return "muted"
        return change_tone(change.difference, self.adjusted.get(condition, change.p_value))

    def text(self, condition: Condition) -> str:
        """What a table prints: '◆ +12 [+3, +20]', or why there is nothing."""
        mark = f"{MARK} " if self.trained else ""
        change = self.changes.get(condition)
        if change is not None:
            return mark + points_interval(change.difference, "")
        if not self.problems:
            return "–"
        return f"{mark}{'unread' if any(side.mostly for side in self.unread) else 'not asked'}"

    def describe(self, condition: Condition) -> str:
        """One sentence on the cell, with its n."""
        change = self.changes.get(condition)
        if change is None:
            return f"{self.name}: no paired change in {condition} answers of {self.problems:,} problems."
        unread = " and ".join(
            f"{text} {when}" for side, when in zip(self.unread, ("before", "after"), strict=True)
            if (text := describe_unread(side))
        )  # fmt: skip
        p = self.adjusted.get(condition, change.p_value)
        return (
            f"{self.name}, {condition}: {percent(change.accuracy_before)} to {percent(change.accuracy_after)}, "
            f"{points_interval(change.difference)} on {change.problems:,} problems, adjusted p = {p:.2g}"
            f"{f'; {unread}' if unread else ''}."
        )


@dataclass(frozen=True, slots=True)
class TransferRow:
    """One run. `families` are those it was trained on; None where they are not known."""

    run: str
    trained_on: str
    families: tuple[str, ...] | None
    ends: tuple[str, str]
    cells: tuple[TransferCell, ...]
    """A cell a family of the matrix, then TRAINED and OTHER."""


@dataclass(frozen=True, slots=True)
class DomainTransfer:
    """`columns` are the families, TRAINED and OTHER."""

    columns: tuple[str, ...]
    rows: tuple[TransferRow, ...]
    sentences: tuple[str, ...]
    note: str
    table: DataTable

    def shown(self, condition: Condition) -> DataTable:
        """The matrix in one condition, as text."""
        lines = tuple((f"{r.run}: {r.trained_on}", *(c.text(condition) for c in r.cells)) for r in self.rows)
        return DataTable(("run: trained on", *self.columns), lines)


def domain_transfer(
    sides: Sequence[tuple[str, ResultSource, Track]], *, crossed: bool = False
) -> DomainTransfer | None:
    """The matrix of these runs, named, on tracks of one suite; None where none has rows of two checkpoints, and with
    `crossed` where each was trained on all families of the suite."""
    found = [made for side in sides if (made := _Run.of(*side)) is not None]
    families = tuple(dict.fromkeys(family for run in found for family in run.present))
    if not found or (crossed and all(run.families is None or set(families) <= set(run.families) for run in found)):
        return None
    families = tuple(sorted(families, key=lambda f: (f not in FAMILIES, f)))
    rows = _adjusted([run.row(families) for run in found])
    sentences = tuple(text for row in rows for text in _sentences(row))
    return DomainTransfer((*families, TRAINED, OTHER), tuple(rows), sentences, NOTE, _table(rows))


def trained_families(config: RunConfig | None) -> tuple[tuple[str, ...] | None, str]:
    """The families that a run's problems are of, None where they are not known, and what to call them."""
    if config is None:
        return None, "unknown problems"
    if config.data.problems:
        return None, "problems of a file"
    names = tuple(name.strip() for name in config.data.families.split(",") if name.strip())
    if names == ("all",):
        return tuple(FAMILIES), "all bundled families"
    return names, ", ".join(names)


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """The cells of a run's first and last checkpoint on one suite."""

    name: str
    families: tuple[str, ...] | None
    trained_on: str
    ends: tuple[str, str]
    cells: tuple[OutcomeArrays, OutcomeArrays]

    @classmethod
    def of(cls, name: str, results: ResultSource, track: Track) -> _Run | None:
        rows = [m for m in results.measured(track) if m.basis is Basis.ROWS]
        if len(rows) < 2 or not track.by_step:
            return None
        families, trained_on = trained_families(results.source.config or config_of(track.run))
        first, last = rows[0], rows[-1]
        cells = results.cells(track, first.target), results.cells(track, last.target)
        return cls(name, families, trained_on, (first.label, last.label), cells)

    @property
    def present(self) -> tuple[str, ...]:
        first = self.cells[0]
        return tuple(dict.fromkeys(first.families[p] for p in sorted(set(first.problem.tolist()))))

    def row(self, families: Sequence[str]) -> TransferRow:
        """The run's row, p-values not adjusted yet."""
        known = self.families
        groups: list[tuple[str, tuple[str, ...], bool | None]] = [
            (family, (family,), None if known is None else family in known) for family in families
        ]
        mine = tuple(f for f in families if known is not None and f in known)
        others = tuple(f for f in families if known is not None and f not in known)
        groups += [(TRAINED, mine, True), (OTHER, others, False)]
        return TransferRow(self.name, self.trained_on, known, self.ends, tuple(self._cell(*g) for g in groups))

    def _cell(self, name: str, families: Sequence[str], trained: bool | None) -> TransferCell:
        before, after = (side.where(families=families) for side in self.cells)
        unread = before.unread_shares, after.unread_shares
        if not len(before) or not len(after):
            return TransferCell(name, trained, 0, {}, None, "", unread, {})
        slices = [(condition, None) for condition in CONDITIONS]
        trend = trend_between(before, after, (self.ends[0], {}), (self.ends[1], {}), slices)
        changes = {c: found for c in CONDITIONS if (found := trend.changes.get(str(c))) is not None}
        problems = len(set(before.problem.tolist()))
        return TransferCell(name, trained, problems, changes, trend.beyond, robustness_claim(trend), unread, {})


def _adjusted(rows: Sequence[TransferRow]) -> list[TransferRow]:
    """With p-values adjusted for the number of cells of a condition. The two columns that take families together are
    two questions of their own, and adjusted apart."""
    adjusted: dict[tuple[int, int, Condition], float] = {}
    for condition in CONDITIONS:
        for together in (False, True):
            places = [
                (i, j) for i, row in enumerate(rows) for j, cell in enumerate(row.cells)
                if condition in cell.changes and (cell.name in (TRAINED, OTHER)) is together
            ]  # fmt: skip
            values = holm([rows[i].cells[j].changes[condition].p_value for i, j in places])
            adjusted |= {(i, j, condition): p for (i, j), p in zip(places, values, strict=True)}
    return [
        replace(row, cells=tuple(
            replace(cell, adjusted={c: adjusted[i, j, c] for c in cell.changes}) for j, cell in enumerate(row.cells)
        ))
        for i, row in enumerate(rows)
    ]  # fmt: skip


def _sentences(row: TransferRow) -> list[str]:
    mine, others = row.cells[-2:]
    if row.families is None:
        return [sentence(f"{row.run}: trained on {row.trained_on}, so no family can be called its own")]
    return [
        sentence(f"{row.run}, trained on {row.trained_on}, on {_group_clause(cell)}")
        for cell in (mine, others) if cell.problems
    ]  # fmt: skip


def _group_clause(cell: TransferCell) -> str:
    """'other families (80 problems): hinted +9 points […]; +1 point […] beyond placebo; …'"""
    hinted = cell.changes.get(Condition.HINTED)
    name = f"{cell.name} ({cell.problems:,} problems)"
    if hinted is None:
        return f"{name}: no paired change under hints"
    claim = "" if cell.is_clear(Condition.HINTED) else ", no change that the evidence could show"
    text = f"{name}: {points_interval(hinted.difference)} under hints{claim}"
    if cell.beyond is not None:
        text += f", {points_interval(cell.beyond.value)} beyond the placebo"
    else:
        text += ", placebo not asked"
    return f"{text}; {cell.claim}" if cell.claim and cell.is_clear(Condition.HINTED) else text


_COLUMNS = (
    "run", "trained on", "family", "trained", "condition", "problems", "before", "after", "change", "low", "high", "p",
    "adjusted p", "unread before", "unread after",
)  # fmt: skip


def _table(rows: Sequence[TransferRow]) -> DataTable:
    lines: list[tuple[Value, ...]] = []
    for row in rows:
        for cell in row.cells:
            for condition, change in cell.changes.items():
                d = change.difference
                lines.append((
                    row.run, row.trained_on, cell.name, cell.trained, str(condition), change.problems,
                    change.accuracy_before, change.accuracy_after, d.mean, d.low, d.high, change.p_value,
                    cell.adjusted[condition], *(side.total for side in cell.unread),
                ))  # fmt: skip
    return DataTable(_COLUMNS, tuple(lines))
