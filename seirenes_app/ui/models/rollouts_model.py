"""What the columns of a rollout are called and how they look: always an icon and a word. Pure lookups.

A run's rollouts as a table over a list of ids. Rows are fetched in pages when a view asks for them, by somebody else
and off the window's thread; until they land, a cell shows a placeholder. It reads no file and decides no order."""

from __future__ import annotations

import html
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, QTimer, Signal

from seirenes_app.services.formatting import decimal, percent
from seirenes_app.ui.widgets.badges import BadgeStyle
from training.core.types import Outcome, Stage
from training.rollouts.search import Sort

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
    Outcome.UNPARSABLE: BadgeStyle("silent", "No answer", "warn"),
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
    """A name out of the data as words: "near_duplicate" → "near duplicate"."""
    return str(name).replace("_", " ")


def stage_of(row: Mapping[str, Any]) -> Stage | None:
    """The stage of a row; None for one that a newer version wrote."""
    try:
        return Stage(row["stage"])
    except ValueError:
        return None


def say_kind(row: Mapping[str, Any]) -> str:
    """What a rollout is, beside its stage's tag: "clean", or the type of its hint."""
    if row["stage"] == Stage.CLEAN:
        return "clean"
    return say(row["hint_type"]) if row["hint_type"] else "no type"


def outcome_look(row: Mapping[str, Any]) -> BadgeStyle:
    """The flip where there is one, else the outcome; a dash where nothing was judged."""
    flip = row.get("flip")
    if flip in ("harmful", "helpful"):
        return FLIP_LOOKS[flip]
    return answer_look(row)


def answer_look(row: Mapping[str, Any]) -> BadgeStyle:
    """How the answer was judged, whatever the clean group did."""
    outcome = row["outcome"]
    if outcome is None:
        return NO_LOOK
    try:
        return OUTCOME_LOOKS[Outcome(outcome)]
    except ValueError:
        return BadgeStyle("info", say(outcome).capitalize(), "muted")


def gate_look(row: Mapping[str, Any]) -> BadgeStyle:
    """The gate that caught a hint, or that it passed; a dash for solutions."""
    if row["gate"]:
        return BadgeStyle("stop-hand", say(row["gate"]).capitalize(), "warn")
    return PASSED_LOOK if row["stage"] == Stage.HINT else NO_LOOK


Index = QModelIndex | QPersistentModelIndex
Row = Mapping[str, Any]

PAGE = 100
"""Rows a fetch."""
KEPT_PAGES = 200
"""Pages held in memory; the ones looked at longest ago make room."""
TIP_CHARACTERS = 600


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


HEADERS = {
    RolloutColumn.STEP: "Step",
    RolloutColumn.KIND: "Role and type",
    RolloutColumn.FAMILY: "Family",
    RolloutColumn.PROBLEM: "Problem",
    RolloutColumn.OUTCOME: "Outcome",
    RolloutColumn.REWARD: "Reward",
    RolloutColumn.ADVANTAGE: "Advantage",
    RolloutColumn.TOKENS: "Tokens",
    RolloutColumn.GATE: "Gate",
}
TIPS = {
    RolloutColumn.KIND: "R1 solves the question, R2 writes a hint, R3 solves the question with the hint",
    RolloutColumn.PROBLEM: "The question; where there is a hint, the hint comes first",
    RolloutColumn.OUTCOME: "Right → wrong: not right, though at least half of the clean solutions are",
    RolloutColumn.ADVANTAGE: "Reward beside the others of its group",
    RolloutColumn.GATE: "What the gates said of a hint",
}
SORTS = {
    RolloutColumn.STEP: Sort.TIME,
    RolloutColumn.REWARD: Sort.REWARD,
    RolloutColumn.ADVANTAGE: Sort.ADVANTAGE,
    RolloutColumn.TOKENS: Sort.TOKENS,
}
"""Columns that can be sorted by."""
RIGHT_SIDE = frozenset((RolloutColumn.STEP, RolloutColumn.REWARD, RolloutColumn.ADVANTAGE, RolloutColumn.TOKENS))
PLACEHOLDER = "…"


class RolloutsModel(QAbstractTableModel):
    """`rowsWanted` asks for rows; `take_rows` brings them."""

    rowsWanted = Signal(object)
    """array('q') of ids, a page of them."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._ids = array("q")
        self._pages: OrderedDict[int, list[Row | None]] = OrderedDict()
        self._asked: set[int] = set()
        self._wanted: set[int] = set()
        self._sorted: RolloutColumn | None = None
        self._descending = False
        # A paint asks for many cells of one page: collected, they are asked for once.
        self._gather = QTimer(self)
        self._gather.setSingleShot(True)
        self._gather.setInterval(0)
        self._gather.timeout.connect(self._ask)

    # ------------------------------------------------------------------ content

    @property
    def ids(self) -> array[int]:
        """All rows, as ids in the order shown."""
        return self._ids

    def render_ids(self, ids: array[int], rows: Sequence[Row] = ()) -> None:
        """Show these; `rows` are the first of them, where they were read already."""
        self.beginResetModel()
        self._ids = ids
        self._pages.clear()
        self._asked.clear()
        self._wanted.clear()
        for start in range(0, min(len(rows), len(ids)), PAGE):
            self._put(start // PAGE, rows[start : start + PAGE])
        self.endResetModel()

    def extend_ids(self, ids: array[int]) -> None:
        """The whole list, of which the present one is the beginning: what is read stays where it is."""
        known = len(self._ids)
        if len(ids) <= known:
            return
        self.beginInsertRows(QModelIndex(), known, len(ids) - 1)
        self._ids = ids
        self.endInsertRows()

    def render_sort(self, column: RolloutColumn | None, *, descending: bool) -> None:
        """Mark the heading of the column that is sorted by; None where it is no column."""
        self._sorted, self._descending = column, descending
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(RolloutColumn) - 1)

    def take_rows(self, rows: Sequence[Row], ids: Sequence[int]) -> None:
        """What `rowsWanted(ids)` asked for. Rows of an older list are left out."""
        found = {row["id"]: row for row in rows}
        page = next((p for p in self._asked if self._ids[p * PAGE : p * PAGE + len(ids)] == ids), None)
        if page is None:
            return
        self._asked.discard(page)
        self._put(page, [found.get(i) for i in ids])
        first, last = page * PAGE, min((page + 1) * PAGE, len(self._ids)) - 1
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
        """The row in that place; None while it is fetched, or where it is gone."""
        page, place = divmod(number, PAGE)
        rows = self._pages.get(page)
        if rows is None or (place >= len(rows) and number < len(self._ids)):
            self._want(page)
            return None
        self._pages.move_to_end(page)
        return rows[place] if place < len(rows) else None

    def is_waiting(self, number: int) -> bool:
        """Whether the row in that place is still to come."""
        rows = self._pages.get(number // PAGE)
        return rows is None or number % PAGE >= len(rows)

    def _want(self, page: int) -> None:
        if page not in self._asked:
            self._wanted.add(page)
            if not self._gather.isActive():
                self._gather.start()

    def _ask(self) -> None:
        wanted, self._wanted = self._wanted - self._asked, set()
        for page in sorted(wanted):
            ids = self._ids[page * PAGE : (page + 1) * PAGE]
            if ids:
                self._asked.add(page)
                self.rowsWanted.emit(ids)

    # ------------------------------------------------------------------ Qt

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Number of rollouts."""
        return 0 if parent.isValid() else len(self._ids)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Number of columns."""
        return 0 if parent.isValid() else len(RolloutColumn)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Titles, what they mean, and their side."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = RolloutColumn(section)
        if role == Qt.ItemDataRole.DisplayRole:
            # In the words, not beside them: Qt's own arrow is drawn over a heading at the right side.
            arrow = {None: "", True: " ↓", False: " ↑"}[self._descending if column is self._sorted else None]
            return f"{HEADERS[column]}{arrow}"
        if role == Qt.ItemDataRole.ToolTipRole:
            tip = TIPS.get(column, "")
            return f"{tip}. Click to sort." if column in SORTS and tip else "Click to sort." if column in SORTS else tip
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column in RIGHT_SIDE else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a view or a screen reader asks of a cell. The delegate takes the whole row from `row_at`."""
        if not index.isValid():
            return None
        column = RolloutColumn(index.column())
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            row = self.row_at(index.row())
            return say_cell(row, column) if row is not None else PLACEHOLDER
        if role == Qt.ItemDataRole.ToolTipRole:
            row = self.row_at(index.row())
            return as_tip(_tip(row, column)) if row is not None else None
        if role == Qt.ItemDataRole.TextAlignmentRole and column in RIGHT_SIDE:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None


def say_cell(row: Row, column: RolloutColumn) -> str:
    """A cell in words."""
    if column is RolloutColumn.KIND:
        return _say_kind(row)
    if column is RolloutColumn.FAMILY:
        return say(row["family"])
    if column is RolloutColumn.PROBLEM:
        return f"{flatten(row['hint'])} | {flatten(row['question'])}" if row["hint"] else flatten(row["question"])
    if column is RolloutColumn.OUTCOME:
        return outcome_look(row).text
    if column is RolloutColumn.REWARD:
        return decimal(row["reward"])
    if column is RolloutColumn.ADVANTAGE:
        return decimal(row["advantage"], signed=True)
    if column is RolloutColumn.GATE:
        return gate_look(row).text
    return str(row["tokens"] if column is RolloutColumn.TOKENS else row["step"])


def _say_kind(row: Row) -> str:
    stage = stage_of(row)
    if stage is None:
        return say(row["stage"])
    words = f"{STAGE_TAGS[stage]} {STAGE_WORDS[stage]}"
    return words if stage is Stage.CLEAN else f"{words}: {say_kind(row)}"


def as_tip(text: str) -> str:
    """A tooltip that wraps and shows what a model wrote as it is: Qt would read markup out of a plain one."""
    return f"<qt>{html.escape(text)}</qt>".replace("\n", "<br>")


def flatten(text: str | None) -> str:
    """One line: a model's line breaks would show as boxes."""
    return " ".join((text or "")[:TIP_CHARACTERS].split())


def _tip(row: Row, column: RolloutColumn) -> str:
    if column is RolloutColumn.GATE and row["gate_reason"]:
        return str(row["gate_reason"])[:TIP_CHARACTERS]
    if column is RolloutColumn.OUTCOME:
        clean = row.get("clean_accuracy")
        beside = f"\nClean solutions of this question: {percent(clean)} right" if clean is not None else ""
        return f"{answer_look(row).text}{beside}"
    if column is RolloutColumn.PROBLEM:
        return "\n".join(filter(None, (flatten(row["question"]), flatten(row["hint"]))))
    return say_cell(row, column)
