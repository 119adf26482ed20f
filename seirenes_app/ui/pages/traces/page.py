"""Traces: every rollout of a run, found and read. It puts the parts together.

`TracesController` reads the files."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QStackedLayout, QVBoxLayout, QWidget

from seirenes_app.ui.models.rollouts_model import RolloutsModel
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.traces.actions import add_keys
from seirenes_app.ui.pages.traces.controller import Listing, TracesController, file_stamp, place_of
from seirenes_app.ui.pages.traces.dialogs import ExportDialog
from seirenes_app.ui.pages.traces.filters import START, FilterBar, SearchField, clear_all
from seirenes_app.ui.pages.traces.inspector import Inspector, Reading
from seirenes_app.ui.pages.traces.rollout_table import RolloutTable
from seirenes_app.ui.pages.traces.view_stack import Faces, RunChooser, centred
from seirenes_app.ui.theme import SPACE_2, SPACE_3, Theme
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.empty_state import EmptyState
from seirenes_app.ui.widgets.labels import make_label
from training.rollouts.search import Facets, RolloutQuery, Sort
from training.runs.paths import RunPaths

LOOK_MS = 1500
PATIENCE = 10
"""A look that takes long is repeated that many times its own length later, so that it takes a tenth of a thread."""
READ_MS = 40
RUNS_MS = 5_000
"""Runs that were started elsewhere come into the menu."""
"""How long the cursor must rest on a row before it is read."""


class TracesPage(Page):
    """Keys: j k go down and up, n p to the next and previous flip, / searches, Enter reads, c opens in Craft."""

    key = "traces"
    title = "Traces"
    icon = "traces"

    craftAsked = Signal(object)
    """Draft"""
    demoAsked = Signal()
    toast = Signal(str)
    """What was done, in a line."""
    problem = Signal(str, str)
    """(title, text)"""

    def __init__(self, runs: RunsModel, recorded: RunPaths | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs, self._recorded = runs, recorded
        self.desk = TracesController(self)
        self.model = RolloutsModel(self)
        self._query = START
        self._facets: Facets | None = None
        self._pending: tuple[Listing, Facets] | None = None
        self._stamp: tuple[int, int] | None = None
        self._told = ""
        self._keep = -1
        """Id of the row that was read last."""
        self._stay = False
        """Whether the next list leaves the view at the top, where the new ones are."""
        self._look_timer = QTimer(self)
        self._look_timer.setInterval(LOOK_MS)
        self._runs_timer = QTimer(self)
        self._runs_timer.setInterval(RUNS_MS)
        self._read_timer = QTimer(self)
        self._read_timer.setSingleShot(True)
        self._read_timer.setInterval(READ_MS)
        self._build()
        self._connect()
        self.show_nothing()

    # ------------------------------------------------------------------ build

    def _build(self) -> None:
        self.chooser = RunChooser(self._recorded)
        self.search = SearchField()
        self.search.setMaximumWidth(520)
        self.export = make_button("Export…", "export", tip="Write the hits or the selection to a file (Ctrl+E)",
                                  clicked=self.open_export)  # fmt: skip
        head = QHBoxLayout()
        head.setSpacing(SPACE_3)
        head.addWidget(make_label("Traces", "title"))
        head.addSpacing(SPACE_2)
        head.addWidget(self.chooser)
        head.addStretch(1)
        head.addWidget(self.search, 3)
        head.addWidget(self.export)
        self.filters = FilterBar()
        self.table = RolloutTable(self.model)
        self.inspector = Inspector()
        self.faces = Faces(self._build_table(), self.inspector)
        column = QVBoxLayout(self)
        column.setContentsMargins(28, 20, 28, 16)
        column.setSpacing(SPACE_3)
        column.addLayout(head)
        column.addWidget(self.filters)
        column.addWidget(self.faces, 1)
        add_keys(self, self.table, {
            "Next row": lambda: self.table.step(1),
            "Previous row": lambda: self.table.step(-1),
            "Next flip": lambda: self.go_to_flip(backwards=False),
            "Previous flip": lambda: self.go_to_flip(backwards=True),
            "Search": self.search.enter,
            "Open in Craft": self.open_in_craft,
            "Export…": self.open_export,
            "Choose a run": self.chooser.button.showMenu,
        })  # fmt: skip

    def _build_table(self) -> QWidget:
        holder = QWidget()
        self._table_stack = QStackedLayout(holder)
        clear = make_button("Clear filters", "close", clicked=self.clear_filters)
        self.no_hits = EmptyState("search", "No rollout fits", "Nothing in this run fits all of the filters.", (clear,))
        self._table_stack.addWidget(self.table)
        self._table_stack.addWidget(centred(self.no_hits))
        return holder

    def _connect(self) -> None:
        self._look_timer.timeout.connect(self._look)
        self._runs_timer.timeout.connect(self._runs.refresh)
        self._read_timer.timeout.connect(self._read)
        self._runs.loaded.connect(self._take_runs)
        self.chooser.chosen.connect(self.open_run)
        self.search.searched.connect(self._search)
        self.search.left.connect(self._focus_table)
        self.filters.changed.connect(self.ask)
        self.filters.newAsked.connect(self.show_new)
        self.model.rowsWanted.connect(self.desk.fetch)
        self.table.rowChosen.connect(lambda _row: self._read_timer.start())
        self.table.entered.connect(self._enter)
        self.table.sortAsked.connect(self._sort)
        self.inspector.left.connect(self._focus_table)
        self.inspector.craftAsked.connect(self.open_in_craft)
        self.inspector.flipAsked.connect(lambda backwards: self.go_to_flip(backwards=backwards))
        self.inspector.chosen.connect(self._choose_solutions)
        self.desk.opened.connect(self._take_opened)
        self.desk.refused.connect(self._take_refused)
        self.desk.previewed.connect(self._take_first)
        self.desk.listed.connect(self._take_list)
        self.desk.rowsFound.connect(self.model.take_rows)
        self.desk.readingFound.connect(self._take_reading)
        self.desk.drafted.connect(self.craftAsked)
        self.desk.flipFound.connect(self._take_flip)
        self.desk.grew.connect(self._take_growth)
        self.desk.problem.connect(self._take_problem)

    # ------------------------------------------------------------------ verbs of a page

    def activate(self) -> None:
        """Look for new rollouts while in view; choose a run where nobody did."""
        self._look_timer.start()
        self._runs_timer.start()
        self._runs.refresh()
        self._take_runs()
        self._look()
        if self.faces.reading:
            self._focus_table()

    def deactivate(self) -> None:
        """Stop looking."""
        self._look_timer.stop()
        self._runs_timer.stop()

    def themed(self, theme: Theme) -> None:
        """Painted parts anew."""
        self.table.viewport().update()
        self.inspector.themed()

    def close_down(self) -> None:
        """End the work in other threads."""
        self.deactivate()
        self.desk.close()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The inspector beside the table where there is room, else below it."""
        self.faces.turn(event.size().width())
        super().resizeEvent(event)

    # ------------------------------------------------------------------ a run

    @property
    def paths(self) -> RunPaths | None:
        """The run that is open."""
        return self.desk.paths

    def open_run(self, paths: RunPaths, query: RolloutQuery = START) -> None:
        """Read a run: live, over or recorded is the same."""
        self._query, self._facets, self._pending, self._keep = query, None, None, -1
        self.search.render_text(query.text)
        self.filters.render(query)
        self.filters.render_facets(None)
        self.filters.render_growth(0)
        self.filters.render_count(None, 0)
        self.model.render_ids(array("q"))
        self.inspector.render(None)
        self._stamp, self._told = file_stamp(paths.rollouts), ""
        self.faces.show_content()
        self._table_stack.setCurrentWidget(self.table)
        self._render_tools()
        self.desk.open(paths)
        self.chooser.render(paths, self._runs.summaries)

    def forget(self, paths: RunPaths) -> None:
        """The run is gone: read no more of it."""
        if self.paths == paths:
            self.desk.leave()
            self.show_nothing()

    def _take_runs(self) -> None:
        self.chooser.render(self.paths, self._runs.summaries)
        if self.paths is None and self.isVisible() and (first := self.chooser.first()) is not None:
            self.open_run(first)

    def _take_opened(self, facets: Facets) -> None:
        self._facets = facets
        self.filters.render_facets(facets)
        if facets.rows:
            self.ask(self._query)
        else:
            self.faces.show_waiting()
            self._render_tools()

    def _take_refused(self, text: str) -> None:
        self.filters.render_facets(None)
        self.filters.count.setText("")
        paths = self.paths
        if paths is None or not paths.rollouts.is_file() or "no rollouts yet" in text:
            self.faces.show_waiting()
        else:
            self.faces.show_damaged(text)
        self._render_tools()

    def _take_problem(self, text: str) -> None:
        self.model.drop_asked()
        self.filters.render_failed()
        if text != self._told:
            # A file that is gone fails at every look; it is told once.
            self._told = text
            self.problem.emit("The rollouts were not read", text)

    # ------------------------------------------------------------------ faces

    def show_nothing(self) -> None:
        """No run is open."""
        self.chooser.render(None, self._runs.summaries)
        self.filters.render_facets(None)
        self.filters.count.setText("")
        self.model.render_ids(array("q"))
        self.inspector.render(None)
        start = make_button("Start the demo run", "play", kind="primary", clicked=self.demoAsked.emit)
        self.faces.show_nothing(start)
        self._render_tools()

    def _render_tools(self) -> None:
        reading = self.faces.reading
        self.filters.setVisible(reading)
        self.search.setEnabled(reading)
        self.export.setEnabled(reading and bool(self.model.ids))

    # ------------------------------------------------------------------ questions

    @property
    def query(self) -> RolloutQuery:
        """What is shown."""
        return self._query

    def ask(self, query: RolloutQuery) -> None:
        """Show the rollouts of a query; the row that is read stays chosen where it is among them."""
        self._query, self._pending = query, None
        row = self.table.current_row
        self._keep = self.model.ids[row] if 0 <= row < len(self.model.ids) else self._keep
        self.filters.render(query)
        self.filters.render_growth(0)
        self.filters.render_count(None, 0)
        self.search.render_text(query.text)
        self.table.render_sort(query.sort, descending=query.descending)
        self.desk.ask(query)

    def clear_filters(self) -> None:
        """Everything again."""
        self.search.empty()
        self.ask(clear_all(self._query))
        self._focus_table()

    def _search(self, text: str) -> None:
        if text.strip() != self._query.text.strip():
            self.ask(replace(self._query, text=text))

    def _sort(self, sort: Sort, descending: bool) -> None:
        self.ask(replace(self._query, sort=sort, descending=descending))

    def _take_first(self, _query: RolloutQuery, rows: list[dict[str, Any]]) -> None:
        self.faces.show_content()
        self._table_stack.setCurrentIndex(0 if rows else 1)
        self.inspector.setVisible(bool(rows))
        self.model.render_ids(array("q", [row["id"] for row in rows]), rows)
        self._render_tools()
        if rows:
            self.table.scrollToTop()
        else:
            self.inspector.render(None)

    def _take_list(self, listing: Listing) -> None:
        self.model.extend_ids(listing.ids)
        self._render_list(listing)

    def _render_list(self, listing: Listing) -> None:
        rows = self._facets.rows if self._facets is not None else 0
        self.filters.render_count(len(listing.ids), max(rows, len(listing.ids)))
        self._look_timer.setInterval(max(LOOK_MS, round(1000 * PATIENCE * listing.seconds)))
        if self.table.current_row < 0 and listing.ids:
            place = place_of(listing.ids, self._keep)
            self.table.go_to(max(place, 0), scroll=not self._stay)
        self._stay = False
        self._render_tools()

    # ------------------------------------------------------------------ growth

    def _look(self) -> None:
        if self.paths is None:
            return
        if self.desk.book is not None:
            if self._pending is None or self.isVisible():
                self.desk.look(self._query)
            return
        stamp = file_stamp(self.paths.rollouts)
        if stamp != self._stamp:
            # Refused before; something has been written since.
            self.open_run(self.paths, self._query)

    def _take_growth(self, listing: Listing, facets: Facets) -> None:
        if self._facets is None or not self._facets.rows:
            self._facets = facets
            self.filters.render_facets(facets)
            self.ask(self._query)
            return
        self._pending = (listing, facets)
        self.filters.render_growth(len(listing.ids) - len(self.model.ids))
        if len(listing.ids) == len(self.model.ids) and facets.rows != self._facets.rows:
            # None of the new ones fits: only the total is another one.
            self._facets, self._pending = facets, None
            self.filters.render_facets(facets)
            self.filters.render_count(len(listing.ids), facets.rows)

    def show_new(self) -> None:
        """Bring what has come since into the table. The row that is read stays read."""
        if self._pending is None:
            return
        _listing, self._facets = self._pending
        self.filters.render_facets(self._facets)
        self._stay = True
        self.ask(self._query)

    # ------------------------------------------------------------------ reading

    def _read(self) -> None:
        row = self.table.current_row
        if 0 <= row < len(self.model.ids):
            self.desk.read(self.model.ids[row])

    def _take_reading(self, reading: Reading) -> None:
        self.inspector.render(reading)

    def _choose_solutions(self, clean_at: int, hinted_at: int) -> None:
        if self.inspector.reading is not None:
            self.desk.read_again(self.inspector.reading, clean_at, hinted_at)

    def go_to_flip(self, *, backwards: bool) -> None:
        """The next flip down the table, or the one above."""
        self.desk.find_flip(self._query, self.model.ids, self.table.current_row, backwards=backwards)

    def _take_flip(self, row: int | None) -> None:
        if row is None:
            self.toast.emit("There is no further flip in this direction.")
        else:
            self.table.go_to(row)

    def open_in_craft(self) -> None:
        """Take the row that is read to Craft."""
        if self.inspector.reading is not None:
            self.desk.draft(self.inspector.reading.asked)

    def open_export(self) -> None:
        """Ask what to write and where to."""
        if not self.export.isEnabled() or self.paths is None:
            return
        sheet = ExportDialog(self.model.ids, self.table.selected_ids(), self.paths.run_id, self.desk.export, self)
        sheet.said.connect(self.toast)
        sheet.open()

    # ------------------------------------------------------------------ keyboard

    def _enter(self) -> None:
        if self.inspector.reading is not None:
            self.inspector.enter()

    def _focus_table(self) -> None:
        self.table.setFocus(Qt.FocusReason.ShortcutFocusReason)
