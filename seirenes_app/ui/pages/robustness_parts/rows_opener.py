"""From a point or a cell to the rows behind it: in the sheet at the right, or, for a training step, on Traces."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QWidget

from seirenes_app.lab.robustness.values import Basis, MatrixCell, Point, TraceRef
from seirenes_app.ui.pages.robustness_parts.deeds import rollouts_behind, say_slice
from seirenes_app.ui.pages.robustness_parts.desk import RobustnessDesk, Rows
from seirenes_app.ui.pages.robustness_parts.rows_sheet import RowsSheet
from training.rundir.paths import RunPaths

TOTALS_ONLY = "Only the totals of this point are left; its rows are gone."
SEVERAL = "This point is put together from several slices; open one of them in another chart."


class RowsOpener(QObject):
    """Keeps where the keyboard was, and gives it back when the sheet closes."""

    tracesAsked = Signal(object, object)
    """(RunPaths, RolloutQuery)"""
    said = Signal(str)

    def __init__(self, page: QWidget, desk: RobustnessDesk, sheet: RowsSheet) -> None:
        super().__init__(page)
        self._page, self._desk, self._sheet = page, desk, sheet
        self._came_from: QWidget | None = None
        self._suite = ""
        desk.rowsFound.connect(self._take)
        desk.rowsFailed.connect(sheet.render_failed)
        sheet.moreAsked.connect(desk.ask_rows)
        sheet.closed.connect(self._return)

    def open_point(self, key: str, point: Point) -> None:
        """`key` is that of the point's curve."""
        if point.traces is not None:
            self._open(point.traces)
        elif point.basis is Basis.STEP and self._desk.root is not None:
            self.tracesAsked.emit(RunPaths(self._desk.root), rollouts_behind(key, point))
        else:
            self.said.emit(TOTALS_ONLY if point.basis is Basis.COUNTS else SEVERAL)

    def open_cell(self, cell: MatrixCell) -> None:
        """A Reasoner under the hints of a writer."""
        if cell.traces is not None:
            self._open(cell.traces)

    def _open(self, ref: TraceRef) -> None:
        self._came_from = self._page.focusWidget()
        self._suite = f"{ref.suite}."
        self._sheet.place(self._page.size())
        self._sheet.render_waiting(say_slice(ref), self._suite)
        self._desk.ask_rows(ref)

    def _take(self, rows: Rows) -> None:
        if self._sheet.isVisible():
            self._sheet.render_rows(rows, self._suite)

    def _return(self) -> None:
        if self._came_from is not None and self._came_from.isVisible():
            self._came_from.setFocus(Qt.FocusReason.OtherFocusReason)
