"""The library's runs as a table: pinned first, then newest. Listing happens in another thread."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from seirenes_app.services.formatting import time_ago
from seirenes_app.services.run_repository import RunRepository, order_runs, started_at
from seirenes_app.services.run_summary import MODE_LABELS, measure_change, status_sentence
from seirenes_app.store.workspace import RunMark, Workspace
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.widgets.badges import BROKEN, STATUS_LOOKS
from training.runs.listing import RunSummary
from training.runs.paths import RunPaths

Index = QModelIndex | QPersistentModelIndex


class RunColumn(IntEnum):
    """Columns of the table, in order."""

    RUN = 0
    STATUS = 1
    CLEAN = 2
    HINTED = 3
    STEPS = 4
    WHEN = 5


HEADERS = {
    RunColumn.RUN: "Run",
    RunColumn.STATUS: "Status",
    RunColumn.CLEAN: "Clean accuracy",
    RunColumn.HINTED: "Hinted accuracy",
    RunColumn.STEPS: "Steps",
    RunColumn.WHEN: "Started",
}
TIPS = {
    RunColumn.CLEAN: "Frozen suite, questions as they are: before training → newest evaluation",
    RunColumn.HINTED: "Frozen suite, with hints appended: before training → newest evaluation",
}
SUMMARY_ROLE = Qt.ItemDataRole.UserRole + 1
CHANGE_ROLE = Qt.ItemDataRole.UserRole + 2
LOOK_ROLE = Qt.ItemDataRole.UserRole + 3
MARK_ROLE = Qt.ItemDataRole.UserRole + 4
DETAIL_ROLE = Qt.ItemDataRole.UserRole + 5


class RunsModel(QAbstractTableModel):
    """Rows are `RunSummary`; `refresh` reads the disk elsewhere and lands here."""

    loaded = Signal()
    problem = Signal(str)

    def __init__(
        self, library: RunRepository, workspace: Workspace | None, tasks: TaskRunner, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._library = library
        self._workspace = workspace
        self._tasks = tasks
        self._rows: list[RunSummary] = []
        self._marks: dict[str, RunMark] = {}
        self.was_loaded = False

    # ------------------------------------------------------------------ content

    @property
    def summaries(self) -> tuple[RunSummary, ...]:
        """All rows, as shown."""
        return tuple(self._rows)

    def refresh(self) -> None:
        """List the runs in another thread; asked again meanwhile, it is done once more afterwards."""
        self._tasks.run(self._library.list_runs, self.render, self.problem.emit, key=self, queue=True)

    def render(self, summaries: Sequence[RunSummary]) -> None:
        """Show these runs. Rows that stay where they are keep their selection."""
        self._marks = self._workspace.marks() if self._workspace is not None else {}
        rows = order_runs(summaries, self._marks)
        if [s.paths for s in rows] == [s.paths for s in self._rows]:
            self._rows = rows
            if rows:
                self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(RunColumn) - 1))
        else:
            self.beginResetModel()
            self._rows = rows
            self.endResetModel()
        self.was_loaded = True
        self.loaded.emit()

    def mark(self, run_id: str) -> RunMark:
        """Pin and note of a run."""
        return self._marks.get(run_id, RunMark())

    def pin(self, run_id: str, pinned: bool) -> None:
        """Pin or unpin a run, and move it."""
        if self._workspace is not None:
            self._workspace.pin(run_id, pinned)
            self.render(self._rows)

    def note(self, run_id: str, text: str) -> None:
        """Keep a note on a run."""
        if self._workspace is not None:
            self._workspace.note(run_id, text)
            self.render(self._rows)

    def row_of(self, paths: RunPaths) -> int:
        """Row of a run, or -1."""
        return next((i for i, s in enumerate(self._rows) if s.paths == paths), -1)

    # ------------------------------------------------------------------ Qt

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Number of runs."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Number of columns."""
        return 0 if parent.isValid() else len(RunColumn)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Column titles and their explanations."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = RunColumn(section)
        if role == Qt.ItemDataRole.DisplayRole:
            return HEADERS[column]
        if role == Qt.ItemDataRole.ToolTipRole:
            return TIPS.get(column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a view, a delegate or a screen reader asks of a cell."""
        if not index.isValid():
            return None
        summary, column = self._rows[index.row()], RunColumn(index.column())
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self._text(summary, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(summary)
        if role == SUMMARY_ROLE:
            return summary
        if role == MARK_ROLE:
            return self.mark(summary.paths.run_id)
        if role == DETAIL_ROLE:
            return self._detail(summary)
        if role == LOOK_ROLE:
            return BROKEN if summary.state is None or summary.problem else STATUS_LOOKS[summary.state.status]
        if role == CHANGE_ROLE and summary.state is not None:
            return measure_change(summary.state, "clean" if column is RunColumn.CLEAN else "hinted")
        return None

    def _text(self, summary: RunSummary, column: RunColumn) -> str:
        state = summary.state
        if column is RunColumn.RUN:
            return summary.paths.run_id
        if state is None or summary.problem:
            return BROKEN.text if column is RunColumn.STATUS else "—"
        if column is RunColumn.STATUS:
            return STATUS_LOOKS[state.status].text
        if column is RunColumn.STEPS:
            return f"{state.step} / {state.steps}" if state.steps else f"{state.step}"
        if column is RunColumn.WHEN:
            return time_ago(started_at(summary), time.time())
        return str(measure_change(state, "clean" if column is RunColumn.CLEAN else "hinted"))

    def _detail(self, summary: RunSummary) -> str:
        note = self.mark(summary.paths.run_id).note
        if note:
            return note
        if summary.config is None:
            return (summary.problem or "").replace(f"{summary.paths.root}{os.sep}", "")
        mode = str(summary.config.mode)
        return f"{MODE_LABELS.get(mode, mode)} · {_short(summary.config.model.path)}"

    def _tip(self, summary: RunSummary) -> str:
        if summary.problem or summary.state is None:
            return summary.problem or ""
        note = self.mark(summary.paths.run_id).note
        return status_sentence(summary.state) + (f"\nNote: {note}" if note else "")


def _short(model: str) -> str:
    return "bundled reasoner" if model == "starter" else model.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
