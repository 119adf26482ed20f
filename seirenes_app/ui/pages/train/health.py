"""The health of a run: one line in the progress card, and a dialog that lists every alarm with its figure and limit."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from seirenes_app.services.run_health import HealthLine, HealthWarning, health_lines, standing_warnings
from seirenes_app.services.run_time import describe_time
from seirenes_app.ui.icons import icon
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.boxes import column, fill, row, scroll_area
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import PageDialog
from seirenes_app.ui.widgets.labels import ElidedLabel, IconLabel, make_label
from seirenes_app.ui.widgets.table_model import Column, TableModel
from training.runs.status import RunState

FIGURE_WIDTH, LIMIT_WIDTH, STATUS_WIDTH = 130, 150, 230
ROW_HEIGHT = 25
TABLE_SIZE = (820, 300)
ABOUT_HEIGHT = 140
SIZE = (880, 720)
MOST_NOTICES = 4


class HealthRow(QWidget):
    """One line, always there, so that nothing below moves: a stop under way, the newest warning, or none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stop_text = ""
        self._state = RunState()
        self.warnings: list[HealthWarning] = []
        self.dialog: HealthDialog | None = None
        self.icon = IconLabel("check", 18, "good")
        self.text = ElidedLabel(fill=True)
        tip = "Every alarm with its present figure and its limit"
        self.open_button = make_button("Health", "log", kind="quiet", tip=tip, clicked=self.show_dialog)
        self.setFixedHeight(self.open_button.sizeHint().height())
        row(self.icon, (self.text, 1), self.open_button, parent=self)
        self._render()

    def render_stop(self, text: str) -> None:
        """The phase of a stop under way, "" for none."""
        self._stop_text = text
        self._render()

    def render_state(self, state: RunState) -> None:
        """Warnings and alarms of the run; the same ones again cost nothing."""
        before, self._state = self._state, state
        if state.warnings is not before.warnings or state.raised != before.raised:
            self.warnings = standing_warnings(state)
            self._render()
        if self.dialog is not None:
            self.dialog.render_state(state)

    def _render(self) -> None:
        shown, tone, text = "check", "good", "No health warnings"
        if self._stop_text:
            shown, tone, text = "clock", "muted", self._stop_text
        elif self.warnings:
            newest = self.warnings[0]
            others = len(self.warnings) - 1
            more = f"  ·  and {others} more" if others else ""
            shown, tone, text = "warning", "warn", f"{newest.text}  {newest.detail}{more}"
        self.icon.render_icon(shown, tone)
        self.text.setText(text)
        self.setAccessibleName(text)

    def show_dialog(self) -> None:
        self.dialog = HealthDialog(self._state, self)
        self.dialog.finished.connect(self._on_closed)
        self.dialog.open()

    def _on_closed(self, _code: int) -> None:
        if self.dialog is not None:
            self.dialog.deleteLater()
            self.dialog = None


def _status_icon(line: HealthLine) -> QIcon:
    if line.raised:
        return icon("warning", "warn")
    return icon("check", "good") if line.measured else icon("clock", "muted")


COLUMNS = (
    Column("Alarm", lambda line: line.title, row_tip=lambda line: line.rule),
    Column("Now", lambda line: line.figure, FIGURE_WIDTH, right=True),
    Column("Healthy", lambda line: line.limit, LIMIT_WIDTH, right=True),
    Column("Status", lambda line: line.status, STATUS_WIDTH, roles={int(Qt.ItemDataRole.DecorationRole): _status_icon}),
)


class HealthDialog(PageDialog):
    """Every alarm, live; what the selected one watches, and what it last said."""

    def __init__(self, state: RunState, parent: QWidget | None = None) -> None:
        super().__init__("Health of the run", parent)
        self._seen: tuple[object, ...] = ()
        self._state = state
        self.rows = TableModel(COLUMNS, self)
        self.table = self._make_table()
        self.about = make_label("", wrap=True, select=True)
        self.about.setAccessibleName("About the selected alarm")
        self.notices = make_label("", "small", wrap=True, select=True)
        self.time = make_label("", "small", wrap=True, select=True)
        inside = QWidget()
        column(self.about, self.notices, self.time, None, spacing=SPACE_2, margins=(0, 0, SPACE_3, 0), parent=inside)
        # Its height is fixed: texts of another length move nothing.
        area = scroll_area(inside)
        area.setFixedHeight(ABOUT_HEIGHT)
        area.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        area.setAccessibleName("About the selected alarm, other warnings, and where the time goes")
        fill(self.body, (self.table, 1), area)
        self.add_close()
        self.resize(*SIZE)
        self.render_state(state)
        raised = next((i for i, line in enumerate(self.rows.rows) if line.raised), 0)
        self.table.selectRow(raised)
        self.table.setFocus()

    def _make_table(self) -> QTableView:
        table = QTableView(showGrid=False)
        table.setModel(self.rows)
        table.setProperty("roomy", "true")
        table.setMinimumSize(*TABLE_SIZE)
        table.setAccessibleName("Alarms of the run")
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setTabKeyNavigation(False)
        table.setWordWrap(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for place, found in enumerate(COLUMNS):
            if found.width:
                table.setColumnWidth(place, found.width)
        table.selectionModel().currentRowChanged.connect(lambda *_: self._render_about())
        return table

    def render_state(self, state: RunState) -> None:
        """The figures now; the same again cost nothing, and selection and place are kept."""
        seen = (len(state.history), state.raised, state.warnings, state.evals, state.status)
        if seen == self._seen:
            return
        self._seen, self._state = seen, state
        self.rows.render_rows(health_lines(state), key=lambda line: line.code)
        notices = [w for w in standing_warnings(state) if not w.newest.alarm]
        texts = [f"{w.text} {w.detail}" for w in notices[:MOST_NOTICES]]
        if len(notices) > MOST_NOTICES:
            texts.append(f"And {len(notices) - MOST_NOTICES} earlier ones, in the log.")
        self.notices.setText("\n".join(["Other warnings", *texts]) if texts else "")
        self.notices.setVisible(bool(texts))
        spent = describe_time(state)
        self.time.setText(f"Time so far: {spent}." if spent else "")
        self.time.setVisible(bool(spent))
        self._render_about()

    def _render_about(self) -> None:
        place = self.table.currentIndex().row()
        if not 0 <= place < len(self.rows.rows):
            return
        line: HealthLine = self.rows.rows[place]
        said = f"\n{'Now' if line.raised else 'Then'}: {line.message} {line.remedy}" if line.message else ""
        self.about.setText(f"{line.title}. Raised when: {line.rule[:1].lower()}{line.rule[1:]}{said}")
