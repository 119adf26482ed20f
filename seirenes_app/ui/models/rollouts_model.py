"""A run's rollouts as a table over a list of ids, and how a rollout's values are shown: labels, badges, numbers.

Rows are fetched in pages when a view asks for them; until they arrive, a cell shows a placeholder. Reads no file and
decides no order."""

from __future__ import annotations

import html
from array import array
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, QTimer, Signal

from seirenes_app.services.formatting import decimal, percent
from seirenes_app.ui.widgets.badges import BadgeStyle
from training.core.types import Outcome, Stage
from training.rollouts.search import Sort

Index = QModelIndex | QPersistentModelIndex
Row = Mapping[str, Any]

STAGE_TAGS = {Stage.CLEAN: "R1", Stage.HINT: "R2", Stage.HINTED: "R3"}
STAGE_TONES = {Stage.CLEAN: "clean", Stage.HINT: "adversary", Stage.HINTED: "hinted"}
STAGE_WORDS = {
    Stage.CLEAN: "Reasoner, clean",
    Stage.HINT: "Adversary, hint",
    Stage.HINTED: "Reasoner, hinted",
}
STAGE_HELP = {
    Stage.CLEAN: "R1: the Reasoner solves the question as it is",
    Stage.HINT: "R2: the Adversary writes a hint that should mislead",
    Stage.HINTED: "R3: the Reasoner solves the question with a hint",
}
OUTCOME_LOOKS = {
    Outcome.RIGHT: BadgeStyle("check-circle", "Right", "good"),
    Outcome.WRONG: BadgeStyle("error", "Wrong", "bad"),
    Outcome.UNPARSABLE: BadgeStyle("silent", "Unreadable", "warn"),
    Outcome.TIMED_OUT: BadgeStyle("clock", "Timed out", "warn"),
}
FLIP_LOOKS = {
    "harmful": BadgeStyle("flip-down", "Right → wrong", "bad"),
    "helpful": BadgeStyle("flip-up", "Wrong → right", "good"),
    "stable": BadgeStyle("stable", "Stable", "muted"),
}
PASSED = "passed"
PASSED_LOOK = BadgeStyle("check", "Passed", "good")
NO_LOOK = BadgeStyle("", "—", "muted")


def say(name: object) -> str:
    """A name from the data as words: "near_duplicate" → "near duplicate"."""
    return str(name).replace("_", " ")


def stage_of(row: Row) -> Stage | None:
    """The stage of a row; None for one that a newer version wrote."""
    try:
        return Stage(row["stage"])
    except ValueError:
        return None


def is_flip(row: Row) -> bool:
    """Whether the hint changed the outcome."""
    return row.get("flip") in ("harmful", "helpful")


def say_kind(row: Row) -> str:
    """What a rollout is, beside its stage's tag: "clean", or the type of its hint."""
    if row["stage"] == Stage.CLEAN:
        return "clean"
    return say(row["hint_type"]) if row["hint_type"] else "no type"


def outcome_look(row: Row) -> BadgeStyle:
    """The flip where there is one, else the outcome."""
    return FLIP_LOOKS[row["flip"]] if is_flip(row) else answer_look(row)


def answer_look(row: Row) -> BadgeStyle:
    """The outcome of the answer, whatever the clean group did; a dash where nothing was graded."""
    outcome = row["outcome"]
    if outcome is None:
        return NO_LOOK
    return OUTCOME_LOOKS.get(outcome) or BadgeStyle("info", say(outcome).capitalize(), "muted")


def gate_look(row: Row) -> BadgeStyle:
    """The gate that a hint failed, or that it passed; a dash for solutions."""
    if row["gate"]:
        return BadgeStyle("stop-hand", say(row["gate"]).capitalize(), "warn")
    return PASSED_LOOK if row["stage"] == Stage.HINT else NO_LOOK


TIP_CHARACTERS = 600


def as_tip(text: str) -> str:
    """A tooltip that wraps and shows model text as it is: Qt would read markup out of a plain one."""
    return f"<qt>{html.escape(text)}</qt>".replace("\n", "<br>")


def flatten(text: str | None) -> str:
    """One line: a model's line breaks would show as boxes."""
    return " ".join((text or "")[:TIP_CHARACTERS].split())


def _stage_and_kind(row: Row) -> str:
    stage = stage_of(row)
    if stage is None:
        return say(row["stage"])
    words = f"{STAGE_TAGS[stage]} {STAGE_WORDS[stage]}"
    return words if stage is Stage.CLEAN else f"{words}: {say_kind(row)}"


class RolloutColumn(IntEnum):
    """Columns of the table, in order."""

    STEP = 0
    KIND = 1
    FAMILY = 2
    PROBLEM = 3
    OUTCOME = 4
    REWARD = 5
    ADVANTAGE = 6
    TOKENS = 7
    GATE = 8


@dataclass(frozen=True)
class ColumnSpec:
    """One column: its title and text, what it sorts by, and how it is laid out."""

    title: str
    text: Callable[[Row], str]
    width: int
    tip: str = ""
    sort: Sort | None = None
    right: bool = False
    """Numbers are aligned at the right."""
    hidden_below: int = 0
    """Table width below which the column is hidden: the inspector has its value."""


COLUMNS = {
    RolloutColumn.STEP: ColumnSpec("Step", lambda row: str(row["step"]), 66, sort=Sort.TIME, right=True),
    RolloutColumn.KIND: ColumnSpec(
        "Role and type", _stage_and_kind, 194,
        "R1 solves the question, R2 writes a hint, R3 solves the question with the hint",
    ),
    RolloutColumn.FAMILY: ColumnSpec("Family", lambda row: say(row["family"]), 88, hidden_below=840),
    RolloutColumn.PROBLEM: ColumnSpec(
        "Problem", lambda row: " | ".join(filter(None, (flatten(row["hint"]), flatten(row["question"])))), 0,
        "The question; where there is a hint, the hint comes first",
    ),
    RolloutColumn.OUTCOME: ColumnSpec(
        "Outcome", lambda row: outcome_look(row).text, 156,
        "Right → wrong: not right, although at least half of the clean solutions are",
    ),
    RolloutColumn.REWARD: ColumnSpec(
        "Reward", lambda row: decimal(row["reward"]), 80, sort=Sort.REWARD, right=True,
    ),
    RolloutColumn.ADVANTAGE: ColumnSpec(
        "Advantage", lambda row: decimal(row["advantage"], signed=True), 98, "Reward relative to its group",
        Sort.ADVANTAGE, right=True, hidden_below=980,
    ),
    RolloutColumn.TOKENS: ColumnSpec(
        "Tokens", lambda row: str(row["tokens"]), 78, sort=Sort.TOKENS, right=True, hidden_below=1060,
    ),
    RolloutColumn.GATE: ColumnSpec(
        "Gate", lambda row: gate_look(row).text, 144, "Result of the gates for a hint", hidden_below=900
    ),
}  # fmt: skip

PAGE = 100
"""Rows per fetch."""
KEPT_PAGES = 200
"""Pages held in memory; the least recently used are dropped."""
PLACEHOLDER = "…"


class RolloutsModel(QAbstractTableModel):
    """`rowsWanted` asks for rows; `take_rows` brings them."""

    rowsWanted = Signal(object)
    """array('q') of ids, a page of them."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.ids = array("q")
        """All rows, as ids in the order shown."""
        self._pages: OrderedDict[int, list[Row | None]] = OrderedDict()
        self._asked: set[int] = set()
        self._wanted: set[int] = set()
        self._sort: Sort | None = None
        self._descending = False
        # A paint asks for many cells of one page: collected, they are fetched once.
        self._gather = QTimer(self)
        self._gather.setSingleShot(True)
        self._gather.setInterval(0)
        self._gather.timeout.connect(self._fetch)

    def render_ids(self, ids: array[int], rows: Sequence[Row] = ()) -> None:
        """Show these; `rows` are the first of them, where they were read already."""
        self.beginResetModel()
        self.ids = ids
        self._pages.clear()
        self._asked.clear()
        self._wanted.clear()
        for start in range(0, min(len(rows), len(ids)), PAGE):
            self._put(start // PAGE, rows[start : start + PAGE])
        self.endResetModel()

    def extend_ids(self, ids: array[int]) -> None:
        """The whole list, which begins with the present one: rows that were read stay."""
        known = len(self.ids)
        if len(ids) <= known:
            return
        self.beginInsertRows(QModelIndex(), known, len(ids) - 1)
        self.ids = ids
        self.endInsertRows()

    def render_sort(self, sort: Sort, *, descending: bool) -> None:
        """Mark the header of the column that is sorted by, where it is a column."""
        self._sort, self._descending = sort, descending
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(RolloutColumn) - 1)

    def take_rows(self, rows: Sequence[Row], ids: Sequence[int]) -> None:
        """What `rowsWanted(ids)` asked for. Rows of an older list are left out."""
        found = {row["id"]: row for row in rows}
        page = next((p for p in self._asked if self.ids[p * PAGE : p * PAGE + len(ids)] == ids), None)
        if page is None:
            return
        self._asked.discard(page)
        self._put(page, [found.get(i) for i in ids])
        first, last = page * PAGE, min((page + 1) * PAGE, len(self.ids)) - 1
        self.dataChanged.emit(self.index(first, 0), self.index(last, len(RolloutColumn) - 1))

    def drop_asked(self) -> None:
        """Rows that were asked for will not come: a view that still shows them asks again."""
        self._asked.clear()

    def _put(self, page: int, rows: Sequence[Row | None]) -> None:
        self._pages[page] = list(rows)
        self._pages.move_to_end(page)
        while len(self._pages) > KEPT_PAGES:
            self._pages.popitem(last=False)

    def row_at(self, number: int) -> Row | None:
        """The row at that place; None while it is fetched, or where it is gone."""
        page, place = divmod(number, PAGE)
        rows = self._pages.get(page)
        if rows is None or (place >= len(rows) and number < len(self.ids)):
            if page not in self._asked:
                self._wanted.add(page)
                if not self._gather.isActive():
                    self._gather.start()
            return None
        self._pages.move_to_end(page)
        return rows[place] if place < len(rows) else None

    def _fetch(self) -> None:
        wanted, self._wanted = self._wanted - self._asked, set()
        for page in sorted(wanted):
            if ids := self.ids[page * PAGE : (page + 1) * PAGE]:
                self._asked.add(page)
                self.rowsWanted.emit(ids)

    # ------------------------------------------------------------------ Qt

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Number of rollouts."""
        return 0 if parent.isValid() else len(self.ids)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Number of columns."""
        return 0 if parent.isValid() else len(RolloutColumn)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Titles, tooltips and alignment."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        spec = COLUMNS[RolloutColumn(section)]
        if role == Qt.ItemDataRole.DisplayRole:
            # In the text: Qt's own arrow is drawn over a title at the right side.
            sorted_ = spec.sort is not None and spec.sort is self._sort
            return f"{spec.title} {'↓' if self._descending else '↑'}" if sorted_ else spec.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return ". ".join(filter(None, (spec.tip, "Click to sort." if spec.sort is not None else "")))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if spec.right else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a view or a screen reader asks of a cell. The delegate takes the whole row from `row_at`."""
        if not index.isValid():
            return None
        column = RolloutColumn(index.column())
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            row = self.row_at(index.row())
            return COLUMNS[column].text(row) if row is not None else PLACEHOLDER
        if role == Qt.ItemDataRole.ToolTipRole:
            row = self.row_at(index.row())
            return as_tip(_tip(row, column)) if row is not None else None
        if role == Qt.ItemDataRole.TextAlignmentRole and COLUMNS[column].right:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None


def _tip(row: Row, column: RolloutColumn) -> str:
    if column is RolloutColumn.GATE and row["gate_reason"]:
        return str(row["gate_reason"])[:TIP_CHARACTERS]
    if column is RolloutColumn.OUTCOME:
        clean = row.get("clean_accuracy")
        beside = f"\nClean solutions of this question: {percent(clean)} right" if clean is not None else ""
        return f"{answer_look(row).text}{beside}"
    if column is RolloutColumn.PROBLEM:
        return "\n".join(filter(None, (flatten(row["question"]), flatten(row["hint"]))))
    return COLUMNS[column].text(row)
