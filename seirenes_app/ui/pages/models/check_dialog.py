"""Trying a model out on ten problems, and showing what comes of it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QTableView, QWidget

from seirenes_app.services.models.check import PROBLEMS, CheckProgress, CheckResult, CheckRow, check_model
from seirenes_app.services.models.inventory import ModelEntry
from seirenes_app.ui.icons import icon
from seirenes_app.ui.models.rollouts_model import OUTCOME_STYLES
from seirenes_app.ui.tasks import Task, TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.boxes import column, fill, make_grid, scroll_area
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import IconLine, make_label, wrap_anywhere
from seirenes_app.ui.widgets.progress import Progress
from seirenes_app.ui.widgets.table_model import ROW_ROLE, Column, TableModel, lay_out_rows, size_columns
from training.core.types import Problem

TEXTS = ("Question", "Right answer", "Output", "Reading")
TABLE_SIZE = QSize(880, 340)
WAITING = "…"


class CheckDialog(PageDialog):
    """Ten problems, as they are solved: what the model writes, how that is read, what came of it, how fast it is."""

    def __init__(self, entry: ModelEntry, tasks: TaskRunner, parent: QWidget | None = None) -> None:
        super().__init__(f"Test of {entry.name}", parent)
        self._entry, self._tasks = entry, tasks
        self._rows: list[CheckRow] = []
        self._live = CheckProgress("", 0.0)
        self.found: CheckResult | None = None
        self._follow = True  # Whether the cursor goes to the newest row
        self.model = TableModel(COLUMNS, self)
        self.table = QTableView(showGrid=False, wordWrap=False, cornerButtonEnabled=False)
        self.table.setModel(self.model)
        self.table.setAccessibleName("Problems")
        self.table.setProperty("roomy", "true")
        self.table.setFixedSize(TABLE_SIZE)
        lay_out_rows(self.table, 30)
        size_columns(self.table, COLUMNS, stretched=0)
        self.texts = {name: wrap_anywhere(make_label("", wrap=True, select=True)) for name in TEXTS}
        grid = make_grid(gaps=(SPACE_4, SPACE_2), stretched=1)
        for at, (name, text) in enumerate(self.texts.items()):
            text.setAccessibleName(name)
            grid.addWidget(make_label(name, "muted"), at, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(text, at, 1)
        inside = QWidget()
        column(grid, None, margins=(0, 0, SPACE_3, 0), parent=inside)
        area = scroll_area(inside)
        area.setFixedHeight(190)
        area.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        area.setAccessibleName("The selected problem")
        self.progress = Progress("Keep what is done")
        self.summary, self.remedies = IconLine(), IconLine()
        fill(self.body, self.table, area, self.progress, self.summary, self.remedies)
        self.again = make_button("Test again", "refresh", clicked=self.start)
        self.close_button = make_button("Close", kind="primary", clicked=self.reject)
        fill(self.buttons, self.again, None, self.close_button)
        self.progress.cancelRequested.connect(self._cancel)
        self.table.selectionModel().currentRowChanged.connect(lambda *_: self._render_row())
        self.table.clicked.connect(lambda _index: self._stop_following())
        self.start()

    def start(self) -> None:
        """Ask the ten problems, from the first."""
        self._rows, self.found, self._follow, self._stop = [], None, True, False
        self.again.setEnabled(False)
        self.summary.render_line("", "", "")
        self.remedies.render_line("", "", "")
        self._take((), CheckProgress("Loading the model", 0.0))
        path = self._entry.path

        def work(task: Task) -> CheckResult:
            rows: list[CheckRow] = []

            def on_row(row: CheckRow) -> None:
                rows.append(row)
                task.report(tuple(rows), CheckProgress("Solving", len(rows) / len(PROBLEMS), len(rows) + 1))

            return check_model(
                path, on_row, lambda: task.cancelled or self._stop, lambda now: task.report(tuple(rows), now)
            )

        self._tasks.run_task(work, self._on_done, self._on_failed, progress=self._take, key="test")

    def _take(self, rows: tuple[CheckRow, ...], now: CheckProgress) -> None:
        self._live = now
        self.model.render_rows([*rows, *PROBLEMS[len(rows) :]], key=lambda row: problem_of(row).id)
        if self._follow:
            self.table.setCurrentIndex(self.model.index(min(len(rows), len(PROBLEMS) - 1), 0))
        solving = f"Solving problem {now.number} of {len(PROBLEMS)}" if now.number else f"{now.doing}…"
        known = now.number > 0 or now.share > 0
        self.progress.render_progress(solving, now.share, float(known), cancelling=self._stop)
        self._render_row()

    def _render_row(self) -> None:
        row: CheckRow | Problem | None = self.table.currentIndex().data(ROW_ROLE)
        if row is None:
            return
        problem, done = problem_of(row), isinstance(row, CheckRow)
        now = self._live
        live = now.text if not done and now.number and problem == PROBLEMS[now.number - 1] else ""
        values = (problem.question, problem.answer, row.output if isinstance(row, CheckRow) else live or WAITING,
                  say_reading(row) if isinstance(row, CheckRow) else WAITING)  # fmt: skip
        for text, value in zip(self.texts.values(), values, strict=True):
            text.setText(value)

    def _on_done(self, result: CheckResult) -> None:
        self.found = result
        self._follow = False
        self._take(result.rows, CheckProgress("", 1.0))
        self.progress.clear()
        self.again.setEnabled(True)
        good = result.complete and not result.remedies
        self.summary.render_line("check-circle" if good else "info", "good" if good else "accent", result.sentence)
        self.remedies.render_line("warning", "warn", "\n".join(result.remedies))
        self.close_button.setFocus()

    def _on_failed(self, text: str) -> None:
        self.progress.clear()
        self.again.setEnabled(True)
        self.summary.render_line("error", "bad", text)

    def _cancel(self) -> None:
        self._stop = True
        self.progress.render_progress("", cancelling=True)

    def _stop_following(self) -> None:
        self._follow = False

    def done(self, code: int) -> None:
        self._tasks.cancel("test")
        super().done(code)


def problem_of(row: CheckRow | Problem) -> Problem:
    return row.problem if isinstance(row, CheckRow) else row


def say_reading(row: CheckRow) -> str:
    found = f"{row.answer}, from: {row.tier}." if row.answer else "Nothing was read."
    cut = " The output was cut off at the token limit." if row.truncated else ""
    return f"{found} {row.reason}{cut}".strip()


def _of_row(read: Callable[[CheckRow], str]) -> Callable[[CheckRow | Problem], str]:
    return lambda row: read(row) if isinstance(row, CheckRow) else ""


def _outcome_icon(row: CheckRow | Problem) -> QIcon | None:
    style = OUTCOME_STYLES[row.outcome] if isinstance(row, CheckRow) else None
    return icon(style.icon, style.tone) if style is not None else None


COLUMNS = (
    Column("Problem", lambda row: problem_of(row).question),
    Column("Right answer", lambda row: problem_of(row).answer, 110),
    Column("Read", _of_row(lambda row: row.answer or "—"), 110),
    Column("Outcome", _of_row(lambda row: OUTCOME_STYLES[row.outcome].text), 130,
           roles={int(Qt.ItemDataRole.DecorationRole): _outcome_icon}),
    Column("Tokens/s", _of_row(lambda row: f"{row.tokens_per_s:,.0f}"), 84, right=True),
)  # fmt: skip
