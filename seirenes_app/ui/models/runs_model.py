"""The runs as a table: pinned first, then newest, those that match a filter. Listing happens in another thread."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal

from seirenes_app.services.formatting import time_ago
from seirenes_app.services.run_repository import RunRepository, order_runs, started_at
from seirenes_app.services.run_summary import MODE_LABELS, Change, measure_change, status_sentence
from seirenes_app.store.workspace import RunMark, Workspace
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.widgets.badges import BROKEN, STATUS_STYLES, BadgeStyle
from seirenes_app.ui.widgets.table_model import Column, Index, TableModel
from training.model_names import without_commit
from training.runs.paths import RunPaths
from training.runs.processes import RunSummary

CHANGE_ROLE = int(Qt.ItemDataRole.UserRole) + 2
STYLE_ROLE = int(Qt.ItemDataRole.UserRole) + 3
MARK_ROLE = int(Qt.ItemDataRole.UserRole) + 4
DETAIL_ROLE = int(Qt.ItemDataRole.UserRole) + 5


class RunColumn(IntEnum):
    """Columns of the table, in order."""

    RUN = 0
    STATUS = 1
    CLEAN = 2
    HINTED = 3
    STEPS = 4
    WHEN = 5


class RunsModel(TableModel):
    """Rows are `RunSummary`. Names are edited in place; names, pins, notes, tags and groups are in the workspace."""

    loaded = Signal()
    problem = Signal(str)

    def __init__(
        self, library: RunRepository, workspace: Workspace | None, tasks: TaskRunner, parent: QObject | None = None
    ) -> None:
        super().__init__(self._make_columns(), parent)
        self._library, self._workspace, self._tasks = library, workspace, tasks
        self._marks: dict[str, RunMark] = {}
        self._filter = ""
        self.summaries: tuple[RunSummary, ...] = ()  # All runs, in order, whatever the filter shows
        self.was_loaded = False

    def _make_columns(self) -> tuple[Column, ...]:
        def accuracy(title: str, condition: str, what: str) -> Column:
            tip = f"Frozen suite, {what}: before training → newest evaluation"
            roles = {CHANGE_ROLE: lambda run: _change(run, condition)}
            return Column(title, lambda run: str(_change(run, condition) or "—"), 0, tip, self._tip, roles=roles)

        return (
            Column("Run", self.name_of, row_tip=self._tip, roles={
                Qt.ItemDataRole.EditRole: self.name_of, MARK_ROLE: lambda run: self.mark(run.paths.run_id),
                DETAIL_ROLE: self._detail,
            }),
            Column("Status", lambda run: _style(run).text, row_tip=self._tip, roles={STYLE_ROLE: _style}),
            accuracy("Clean accuracy", "clean", "questions as they are"),
            accuracy("Hinted accuracy", "hinted", "with hints appended"),
            Column("Steps", _steps, row_tip=self._tip),
            Column("Started", lambda run: time_ago(started_at(run), time.time()), row_tip=self._tip),
        )  # fmt: skip

    def refresh(self) -> None:
        """List the runs in another thread; asked again meanwhile, it is done once more afterwards."""
        self._tasks.run(self._library.list_runs, self.render, self.problem.emit, key=self, queue=True)

    def render(self, summaries: Sequence[RunSummary]) -> None:
        """Show these runs. Rows that stay where they are keep their selection."""
        self._marks = self._workspace.marks() if self._workspace is not None else {}
        self.summaries = tuple(order_runs(summaries, self._marks))
        words = self._filter.casefold().split()
        shown = [run for run in self.summaries if all(word in self._haystack(run) for word in words)]
        self.render_rows(shown, key=lambda run: run.paths)
        self.was_loaded = True
        self.loaded.emit()

    def render_filter(self, text: str) -> None:
        """Show the runs whose name, tags, group or note have all words of `text`."""
        if text != self._filter:
            self._filter = text
            self.render(self.summaries)

    def _haystack(self, run: RunSummary) -> str:
        mark = self.mark(run.paths.run_id)
        return " ".join((run.paths.run_id, mark.name, mark.group, mark.note, run.cluster, *mark.tags)).casefold()

    def row_of(self, paths: RunPaths) -> int:
        return next((i for i, run in enumerate(self.rows) if run.paths == paths), -1)

    def mark(self, run_id: str) -> RunMark:
        return self._marks.get(run_id, RunMark())

    def set_mark(self, run_id: str, **values: Any) -> None:
        """`Workspace.mark`, and show it."""
        if self._workspace is not None:
            self._workspace.mark(run_id, **values)
            self.render(self.summaries)

    def known_marks(self) -> tuple[list[str], list[str]]:
        marks = self._marks.values()
        return sorted({tag for m in marks for tag in m.tags}), sorted({m.group for m in marks if m.group})

    def name_of(self, run: RunSummary | RunPaths) -> str:
        run_id = run.run_id if isinstance(run, RunPaths) else run.paths.run_id
        return self.mark(run_id).name or run_id

    def flags(self, index: Index) -> Qt.ItemFlag:
        editable = index.isValid() and index.column() == RunColumn.RUN and self._workspace is not None
        return super().flags(index) | (Qt.ItemFlag.ItemIsEditable if editable else Qt.ItemFlag.NoItemFlags)

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        run_id = self.rows[index.row()].paths.run_id
        self.set_mark(run_id, name="" if str(value).strip() == run_id else str(value))
        return True

    def _detail(self, run: RunSummary) -> str:
        mark = self.mark(run.paths.run_id)
        if run.config is None:
            about = (run.problem or "").replace(f"{run.paths.root}{os.sep}", "")
        else:
            mode = str(run.config.mode)
            about = f"{MODE_LABELS.get(mode, mode)} · {_short(run.config.model.path)}"
        renamed = run.paths.run_id if mark.name else ""
        where = f"on {run.cluster}" if run.cluster else ""
        return " · ".join(filter(None, (where, mark.group, mark.note or about, renamed)))

    def _tip(self, run: RunSummary) -> str:
        if run.problem or run.state is None:
            return run.problem or ""
        mark = self.mark(run.paths.run_id)
        lines = [f"{run.paths.run_id}: {status_sentence(run.state)}" if mark.name else status_sentence(run.state)]
        for title, text in (("Note", mark.note), ("Tags", ", ".join(mark.tags)), ("Group", mark.group)):
            lines += [f"{title}: {text}"] if text else []
        return "\n".join(lines)


def _change(run: RunSummary, condition: str) -> Change | None:
    return measure_change(run.state, condition) if run.state is not None and not run.problem else None


def _style(run: RunSummary) -> BadgeStyle:
    return BROKEN if run.state is None or run.problem else STATUS_STYLES[run.state.status]


def _steps(run: RunSummary) -> str:
    if run.state is None or run.problem:
        return "—"
    return f"{run.state.step} / {run.state.steps}" if run.state.steps else f"{run.state.step}"


def _short(model: str) -> str:
    name = without_commit(model)
    return "bundled reasoner" if name == "starter" else name.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
