"""The frozen suite before and now, by condition and type, with intervals, and a picture of both on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, Qt
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from seirenes_app.lab.run_report import ReportLine
from seirenes_app.ui.theme import current_theme
from training.rundir.state import EvalPoint

HEADINGS = ("Condition", "Before", "Now", "Change, percentage points", "0 to 100%")
ROW = 36
PICTURE_ROLE = Qt.ItemDataRole.UserRole + 1
WORDS = {"clean": "clean", "hinted": "hinted, all types", "placebo": "placebo"}


@dataclass(frozen=True)
class Row:
    """One line: condition, its rates before and now (None: not measured), the theme's colour, the report's label."""

    label: str
    before: Mapping[str, Any] | None
    now: Mapping[str, Any] | None
    colour: str
    paired: str = ""


def make_rows(evals: Sequence[EvalPoint]) -> list[Row]:
    """Lines of the first and the newest evaluation; one evaluation alone has no `now`."""
    if not evals:
        return []
    first, last = evals[0].metrics, evals[-1].metrics if len(evals) > 1 else {}
    rows = [Row(WORDS[key], first.get(key), last.get(key), key, WORDS[key]) for key in ("clean", "hinted")]
    for type_, rate in (first.get("by_type") or {}).items():
        word = type_.replace("_", " ")
        rows.append(Row(f"    {word}", rate, (last.get("by_type") or {}).get(type_), "hinted", f"· {word}"))
    rows.append(Row(WORDS["placebo"], first.get("placebo"), last.get("placebo"), "placebo", WORDS["placebo"]))
    rows.append(Row("worst of k hints", first.get("worst_of_k"), last.get("worst_of_k"), "hinted"))
    rows.append(Row("worst of k placebos", first.get("placebo_worst_of_k"), last.get("placebo_worst_of_k"), "placebo"))
    return [row for row in rows if row.before is not None]


class IntervalDelegate(QStyledItemDelegate):
    """Before as a ring, now as a dot, each on its interval."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """A track, two intervals, two marks."""
        row = index.data(PICTURE_ROLE)
        if not isinstance(row, Row):
            return
        theme, rect = current_theme(), option.rect.adjusted(14, 0, -14, 0)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        y = rect.center().y() + 0.5
        painter.setPen(QPen(theme.colour("border"), 1))
        painter.drawLine(QPointF(rect.left(), y), QPointF(rect.right(), y))
        for share in (0.0, 0.5, 1.0):
            x = rect.left() + share * rect.width()
            painter.drawLine(QPointF(x, y - 3), QPointF(x, y + 3))
        for rate, dy, filled in ((row.before, -5, False), (row.now, 5, True)):
            if rate is None:
                continue
            low, mid, high = (rect.left() + rect.width() * float(rate[k]) for k in ("low", "accuracy", "high"))
            painter.setPen(QPen(theme.colour(row.colour), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
            painter.drawLine(QPointF(low, y + dy), QPointF(high, y + dy))
            painter.setPen(QPen(theme.colour(row.colour), 1.8))
            painter.setBrush(theme.colour(row.colour) if filled else theme.colour("surface"))
            painter.drawEllipse(QPointF(mid, y + dy), 4.0, 4.0)
        painter.restore()


class EvaluationTable(QTableWidget):
    """Read-only; as high as its rows."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADINGS), parent)
        self._evals: Sequence[EvalPoint] | None = None
        self._paired: Mapping[str, ReportLine] = {}
        self._build()
        self.render_evals(())

    def _build(self) -> None:
        self.setHorizontalHeaderLabels(HEADINGS)
        self.setProperty("plain", "true")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for column in range(len(HEADINGS)):
            side = Qt.AlignmentFlag.AlignRight if 0 < column < 4 else Qt.AlignmentFlag.AlignLeft
            self.horizontalHeaderItem(column).setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
        self.setItemDelegateForColumn(4, IntervalDelegate(self))
        self.setShowGrid(False)
        self.setAccessibleName("Accuracy on the frozen suite, before and now")

    def render_evals(self, evals: Sequence[EvalPoint]) -> None:
        """First and newest evaluation; the same ones again cost nothing."""
        if evals is not self._evals:
            self._evals = evals
            self._fill()

    def render_paired(self, lines: Sequence[ReportLine]) -> None:
        """Paired changes with their intervals, read from the raw rows."""
        self._paired = {line.label: line for line in lines}
        self._fill()

    def _fill(self) -> None:
        rows = make_rows(self._evals or ())
        self.setRowCount(len(rows))
        for r, row in enumerate(rows):
            for c, text in enumerate((row.label, say_rate(row.before), say_rate(row.now), self._change(row), "")):
                item = QTableWidgetItem(text)
                if 0 < c < 4:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                if c == 4:
                    item.setData(PICTURE_ROLE, row)
                    item.setData(Qt.ItemDataRole.AccessibleTextRole, "")
                self.setItem(r, c, item)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + len(rows) * ROW + 8)

    def _change(self, row: Row) -> str:
        if row.before is None or row.now is None:
            return ""
        text = _points(float(row.now["accuracy"]) - float(row.before["accuracy"]))
        line = self._paired.get(row.paired)
        if line is None or abs(line.after.accuracy - float(row.now["accuracy"])) > 1e-9:
            return text
        return f"{text}  [{_points(line.difference.low)}, {_points(line.difference.high)}]"


def say_rate(rate: Mapping[str, Any] | None) -> str:
    """A proportion with its Wilson interval."""
    return f"{rate['accuracy']:.3f}  [{rate['low']:.3f}, {rate['high']:.3f}]" if rate else "—"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")
