"""Traces: every rollout of a run, filtered, searched and read. `TracesController` reads the files."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import QPushButton, QSplitter, QStackedLayout, QWidget

from seirenes_app.services.cluster_runs import cluster_place
from seirenes_app.ui.actions import bind_actions
from seirenes_app.ui.models.rollouts_model import RolloutsModel
from seirenes_app.ui.models.runs_model import RunsModel
from seirenes_app.ui.pages.base import Page
from seirenes_app.ui.pages.traces.actions import PAGE_ACTIONS
from seirenes_app.ui.pages.traces.audit_dialog import AuditDialog
from seirenes_app.ui.pages.traces.controller import Listing, TracesController, file_stamp, place_of
from seirenes_app.ui.pages.traces.dialogs import ExportDialog
from seirenes_app.ui.pages.traces.filters import START, FilterBar, SearchField, clear_all
from seirenes_app.ui.pages.traces.inspector import Inspector
from seirenes_app.ui.pages.traces.rollout_table import RolloutTable
from seirenes_app.ui.tasks import TaskRunner
from seirenes_app.ui.theme import SPACE_2, SPACE_3, Theme
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.buttons import action_button, make_button
from seirenes_app.ui.widgets.cards import EmptyState, EmptyStateHolder, centred
from seirenes_app.ui.widgets.fetch_dialog import NOT_FETCHED, open_fetch
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.source_menu import SourceMenu, is_live
from training.rollouts.reader import Facets, RolloutQuery, Sort
from training.runs.paths import RunPaths

POLL_MS = 1500
POLL_SHARE = 10
"""A poll that takes long is repeated after that many times its own duration: it takes a tenth of a thread."""
READ_MS = 40  # How long the cursor must rest on a row before it is read
RUNS_MS = 5_000  # Runs that were started elsewhere come into the menu
NAME_CHARACTERS = 44
AUDIT_TIP = "Label late valid hints of this run: how many should not have passed (Ctrl+Shift+A)"
AUDIT_RECORDED = "The recorded run is read only. Audit it in a terminal: seirenes audit recorded --file FILE"
BESIDE = 1400  # From this width on the inspector stands beside the table, not below it


class ViewStack(QWidget):
    """Table and inspector, or an empty state in their place."""

    def __init__(self, table: QWidget, inspector: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.content = QSplitter(Qt.Orientation.Vertical, childrenCollapsible=False, handleWidth=14)
        self.content.addWidget(table)
        self.content.addWidget(inspector)
        table.setMinimumSize(320, 130)
        inspector.setMinimumSize(340, 160)
        self._share_room()
        self._holder = EmptyStateHolder()
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.content)
        self._stack.addWidget(self._holder)

    @property
    def empty(self) -> EmptyState | None:
        return self._holder.state

    @property
    def has_content(self) -> bool:
        return self._stack.currentIndex() == 0

    def show_content(self) -> None:
        self._stack.setCurrentIndex(0)

    def show_empty(self, icon: str, title: str, text: str, *buttons: QPushButton) -> None:
        self._holder.render_state(icon, title, text, buttons)
        self._stack.setCurrentIndex(1)

    def arrange(self, width: int) -> None:
        side = Qt.Orientation.Horizontal if width >= BESIDE else Qt.Orientation.Vertical
        if self.content.orientation() != side:
            self.content.setOrientation(side)
            self._share_room()

    def _share_room(self) -> None:
        shares = (57, 43) if self.content.orientation() == Qt.Orientation.Horizontal else (42, 58)
        for place, share in enumerate(shares):
            self.content.setStretchFactor(place, share)
        self.content.setSizes([share * 100 for share in shares])


class TracesPage(Page):
    """One run at a time: live, ended and recorded ones are read alike."""

    key = "traces"

    craftRequested = Signal(object)  # Draft
    demoRequested = Signal()
    toast = Signal(str)  # What was done, in a line
    fetched = Signal(object)  # RunPaths of a run on a cluster whose files have come
    problem = Signal(str, str)  # (title, text)

    def __init__(self, runs: RunsModel, recorded: RunPaths | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs, self._recorded = runs, recorded
        self.controller = TracesController(self)
        # Its own thread: a cluster may take minutes to give a file.
        self._fetch_tasks = TaskRunner(self, threads=1)
        self.model = RolloutsModel(self)
        self.query = START  # What is shown
        self._facets: Facets | None = None
        self._pending: tuple[Listing, Facets] | None = None
        self._stamp: tuple[int, int] | None = None
        self._last_problem = ""
        self._keep = -1  # Id of the row that stays chosen under another query
        self._to_flip = False  # Whether the cursor goes to the first flip when the list is there
        self._stay = False  # Whether the next list leaves the view at the top, where the new rows are
        self._poll_timer, self._runs_timer = QTimer(self, interval=POLL_MS), QTimer(self, interval=RUNS_MS)
        self._read_timer = QTimer(self, singleShot=True, interval=READ_MS)
        self.chooser = SourceMenu(
            self._recorded,
            lambda s: is_live(s) or bool(s.cluster) or s.paths.rollouts.is_file(),
            "Choose a run (Ctrl+L)",
            NAME_CHARACTERS,
        )
        self.chooser.run_name = self._runs.name_of
        self.search = SearchField()
        self.search.setMaximumWidth(520)
        self.export = make_button("Export…", "export", tip="Write the hits or the selection to a file (Ctrl+E)",
                                  clicked=self.open_export)  # fmt: skip
        self.filters = FilterBar()
        self.table = RolloutTable(self.model)
        self.inspector = Inspector()
        holder = QWidget()
        self._table_stack = QStackedLayout(holder)
        clear = make_button("Clear filters", "close", clicked=self.clear_filters)
        self.no_hits = EmptyState("search", "No rollout matches", "Nothing in this run matches all filters.", (clear,))
        self._table_stack.addWidget(self.table)
        self._table_stack.addWidget(centred(self.no_hits))
        self.views = ViewStack(holder, self.inspector)
        actions = self._bind()
        self._audit = actions["audit"]
        self.audit = action_button(self._audit)
        title = make_label("Traces", "title")
        head = row(title, SPACE_2, self.chooser, None, (self.search, 3), self.audit, self.export, spacing=SPACE_3)
        column(head, self.filters, (self.views, 1), spacing=SPACE_3, margins=(28, 20, 28, 16), parent=self)
        self._connect()
        self.show_nothing()

    def _bind(self) -> dict[str, QAction]:
        return bind_actions(self, PAGE_ACTIONS, {
            "next": lambda: self.table.step(1),
            "previous": lambda: self.table.step(-1),
            "next-flip": lambda: self.go_to_flip(backwards=False),
            "previous-flip": lambda: self.go_to_flip(backwards=True),
            "search": self.search.enter,
            "craft": self.open_in_craft,
            "export": self.open_export,
            "audit": self.open_audit,
            "choose-run": self.chooser.open,
        }, context_menu=self.table)  # fmt: skip

    def _connect(self) -> None:
        self._poll_timer.timeout.connect(self._poll)
        self._runs_timer.timeout.connect(self._runs.refresh)
        self._read_timer.timeout.connect(self._read)
        self._runs.loaded.connect(self._on_runs_loaded)
        self.chooser.chosen.connect(lambda root: self.open_run(RunPaths(root)))
        self.search.searched.connect(self._on_searched)
        self.search.left.connect(self._focus_table)
        self.filters.changed.connect(self.show_query)
        self.filters.newRequested.connect(self.show_new)
        self.model.rowsWanted.connect(lambda ids: self.controller.fetch(ids, self.model.take_rows))
        self.table.rowChosen.connect(lambda _row: self._read_timer.start())
        self.table.entered.connect(self._on_entered)
        self.table.sortRequested.connect(self._on_sort)
        self.inspector.left.connect(self._focus_table)
        self.inspector.craftRequested.connect(self.open_in_craft)
        self.inspector.flipRequested.connect(lambda backwards: self.go_to_flip(backwards=backwards))
        self.inspector.solutions.chosen.connect(self._on_solutions_chosen)
        self.controller.opened.connect(self._on_opened)
        self.controller.empty.connect(self._on_empty)
        self.controller.refused.connect(self._on_refused)
        self.controller.problem.connect(self._on_problem)

    def activate(self) -> None:
        """Look for new rollouts while in view; open a run where none is."""
        self._poll_timer.start()
        self._runs_timer.start()
        self._runs.refresh()
        self._on_runs_loaded()
        self._poll()
        if self.views.has_content:
            self._focus_table()

    def deactivate(self) -> None:
        self._poll_timer.stop()
        self._runs_timer.stop()

    def themed(self, theme: Theme) -> None:
        self.table.viewport().update()
        self.inspector.question.text.render_mark()

    def close_down(self) -> None:
        self.deactivate()
        self._fetch_tasks.close()
        self.controller.close()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.views.arrange(event.size().width())
        super().resizeEvent(event)

    @property
    def paths(self) -> RunPaths | None:
        return self.controller.paths

    def open_run(self, paths: RunPaths, query: RolloutQuery = START) -> None:
        """Read a run. The recorded one opens on its first flip."""
        self.query, self._pending, self._keep = query, None, -1
        self._to_flip = paths == self._recorded and query == START
        self._stamp, self._last_problem = file_stamp(paths.rollouts), ""
        self.search.render_text(query.text)
        self.filters.render(query)
        self.filters.render_growth(0)
        self.filters.render_count(None, 0)
        self._clear_run()
        self.views.show_content()
        self._table_stack.setCurrentWidget(self.table)
        self._render_tools()
        self.controller.open(paths)
        self._render_chooser()

    def reread(self, paths: RunPaths) -> None:
        """Its files were replaced: read them, where it is the run in view."""
        if self.paths == paths:
            self.open_run(paths, self.query)

    def forget(self, paths: RunPaths) -> None:
        if self.paths == paths:
            self.controller.leave()
            self.show_nothing()

    def show_nothing(self) -> None:
        self._render_chooser()
        self._clear_run()
        start = make_button("Start the demo run", "play", kind="primary", clicked=self.demoRequested.emit)
        self._show_empty(
            "traces", "No run to read yet",
            "A run keeps every rollout: each solution, each hint, and the result of its gates. Start one, and read "
            "while it trains.", start,
        )  # fmt: skip

    def _on_empty(self) -> None:
        if (place := cluster_place(self.paths) if self.paths is not None else None) is not None:
            fetch = make_button(
                "Fetch…", "drop", kind="primary", tip="Bring the rollouts here", clicked=self.open_fetch
            )
            self._show_empty(
                "server", NOT_FETCHED,
                f"The rollouts of this run are on {place.cluster}, where it trains. They are brought here on request; "
                "a later fetch brings what is new.", fetch,
            )  # fmt: skip
            return
        text = "They come with the run's first step, and are shown here as they are written."
        self._show_empty("clock", "No rollouts yet", text)

    def _show_empty(self, icon: str, title: str, text: str, *buttons: QPushButton) -> None:
        self.filters.count.setText("")
        self.views.show_empty(icon, title, text, *buttons)
        self._render_tools()

    def _clear_run(self) -> None:
        self._facets = None
        self.filters.render_facets(None)
        self.model.render_ids(array("q"))
        self.inspector.render(None)

    def _render_tools(self) -> None:
        has_content = self.views.has_content
        self.filters.setVisible(has_content)
        self.search.setEnabled(has_content)
        self.export.setEnabled(has_content and bool(self.model.ids))
        recorded = self.paths is not None and self.paths == self._recorded
        self._audit.setEnabled(has_content and self.paths is not None and not recorded)
        self._audit.setToolTip(AUDIT_RECORDED if recorded else AUDIT_TIP)

    def _render_chooser(self) -> None:
        root = self.paths.root if self.paths is not None else None
        self.chooser.render_sources(root, self._runs.summaries)

    def _on_runs_loaded(self) -> None:
        self._render_chooser()
        if self.paths is None and self.isVisible() and (first := self.chooser.first()) is not None:
            self.open_run(RunPaths(first))

    def _on_opened(self, facets: Facets) -> None:
        self._facets = facets
        self.filters.render_facets(facets)
        if facets.rows:
            self.show_query(self.query)
        else:
            self._on_empty()

    def _on_refused(self, text: str) -> None:
        self._show_empty("warning", "These rollouts cannot be read", text)

    def _on_problem(self, text: str) -> None:
        self.model.drop_requests()
        self.filters.render_failed()
        if text != self._last_problem:
            # A file that is gone fails at every poll; it is reported once.
            self._last_problem = text
            self.problem.emit("The rollouts were not read", text)

    def show_query(self, query: RolloutQuery) -> None:
        """Show the rollouts of a query. The chosen row stays chosen under another filter; another order starts at its
        top."""
        row = self.table.current_row
        if (query.sort, query.descending) != (self.query.sort, self.query.descending):
            self._keep = -1
        elif 0 <= row < len(self.model.ids):
            self._keep = self.model.ids[row]
        self.query, self._pending = query, None
        self.filters.render(query)
        self.filters.render_growth(0)
        self.filters.render_count(None, 0)
        self.search.render_text(query.text)
        self.table.render_sort(query.sort, descending=query.descending)
        self.controller.list_rows(query, self._on_previewed, self._on_listed)

    def clear_filters(self) -> None:
        self.search.reset()
        self.show_query(clear_all(self.query))
        self._focus_table()

    def _on_searched(self, text: str) -> None:
        if text.strip() != self.query.text.strip():
            self.show_query(replace(self.query, text=text))

    def _on_sort(self, sort: Sort, descending: bool) -> None:
        self.show_query(replace(self.query, sort=sort, descending=descending))

    def _on_previewed(self, rows: list[dict[str, Any]]) -> None:
        self.views.show_content()
        self._table_stack.setCurrentIndex(0 if rows else 1)
        self.inspector.setVisible(bool(rows))
        self.model.render_ids(array("q", [row["id"] for row in rows]), rows)
        self._render_tools()
        self.table.scrollToTop()
        if not rows:
            self.inspector.render(None)

    def _on_listed(self, listing: Listing) -> None:
        self.model.extend_ids(listing.ids)
        rows = self._facets.rows if self._facets is not None else 0
        self.filters.render_count(len(listing.ids), max(rows, len(listing.ids)))
        self._poll_timer.setInterval(max(POLL_MS, round(1000 * POLL_SHARE * listing.seconds)))
        to_flip, stay = self._to_flip, self._stay
        self._to_flip = self._stay = False
        self._render_tools()
        if to_flip:
            self.controller.find_flip(
                self.query, self.model.ids, -1, lambda row: self.table.go_to(row or 0), backwards=False
            )
        elif self.table.current_row < 0 and listing.ids:
            self.table.go_to(max(place_of(listing.ids, self._keep), 0), scroll=not stay)

    def _poll(self) -> None:
        if self.paths is None:
            return
        if self.controller.source is not None:
            if self._pending is None or self.isVisible():
                self.controller.poll(self.query, self._on_grown)
        elif file_stamp(self.paths.rollouts) != self._stamp:
            # Refused before; something has been written since.
            self.open_run(self.paths, self.query)

    def _on_grown(self, listing: Listing, facets: Facets) -> None:
        if self._facets is None or not self._facets.rows:
            self._facets = facets
            self.filters.render_facets(facets)
            self.show_query(self.query)
            return
        self._pending = (listing, facets)
        self.filters.render_growth(len(listing.ids) - len(self.model.ids))
        if len(listing.ids) == len(self.model.ids) and facets.rows != self._facets.rows:
            # None of the new ones fits: only the total is another one.
            self._facets, self._pending = facets, None
            self.filters.render_facets(facets)
            self.filters.render_count(len(listing.ids), facets.rows)

    def show_new(self) -> None:
        """Bring new rollouts into the table. The chosen row stays chosen."""
        if self._pending is not None:
            self._facets = self._pending[1]
            self.filters.render_facets(self._facets)
            self._stay = True
            self.show_query(self.query)

    def _read(self) -> None:
        row = self.table.current_row
        if 0 <= row < len(self.model.ids):
            self.controller.read(self.model.ids[row], self.inspector.render)

    def _on_solutions_chosen(self, clean_at: int, hinted_at: int) -> None:
        if (reading := self.inspector.reading) is not None:
            self.controller.read_again(reading, clean_at, hinted_at, self.inspector.render)

    def go_to_flip(self, *, backwards: bool) -> None:
        row = self.table.current_row
        self.controller.find_flip(self.query, self.model.ids, row, self._on_flip_found, backwards=backwards)

    def _on_flip_found(self, row: int | None) -> None:
        if row is None:
            self.toast.emit("There is no further flip in this direction.")
        else:
            self.table.go_to(row)

    def open_in_craft(self) -> None:
        if self.inspector.reading is not None:
            self.controller.draft(self.inspector.reading.asked, self.craftRequested.emit)

    def open_export(self) -> None:
        if self.export.isEnabled() and self.paths is not None:
            selection, tasks = self.table.selected_ids(), self.controller.lasting
            dialog = ExportDialog(self.model.ids, selection, self.paths, tasks, self)
            dialog.messageRequested.connect(self.toast)
            dialog.open()

    def open_fetch(self) -> None:
        """Bring the rollouts of a run on a cluster here; the page reads them once they are."""
        open_fetch(self.paths, self._fetch_tasks, self.fetched.emit, self, ("rollouts",))

    def open_audit(self) -> None:
        if self._audit.isEnabled() and self.paths is not None:
            AuditDialog(self.paths, self.controller.lasting, self).open()

    def _on_entered(self) -> None:
        if self.inspector.reading is not None:
            self.inspector.enter()

    def _focus_table(self) -> None:
        self.table.setFocus(Qt.FocusReason.ShortcutFocusReason)
