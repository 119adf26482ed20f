"""The filters of the Traces page: drop-downs, the order, and what is set as chips to take away."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction, QActionGroup, QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QMenu, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from seirenes_app.ui.icons import set_icon, size_icon
from seirenes_app.ui.models.rollout_words import count_of, say_count
from seirenes_app.ui.models.rollouts_model import as_tip
from seirenes_app.ui.pages.traces_parts.filter_popup import FilterPopup
from seirenes_app.ui.pages.traces_parts.filters import (
    FILTERS,
    SORTS,
    START,
    TEXT,
    Filter,
    clear,
    clear_all,
    is_filtered,
    is_set,
    say_filter,
    say_sort,
)
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.flow import FlowLayout
from seirenes_app.ui.widgets.labels import make_label
from training.rundir.rollout_query import Facets, RolloutQuery

TYPING_MS = 220
"""How long the typing must rest before it is searched for."""
CHIP_CHARACTERS = 60
CHIP_HEIGHT = 26
SEARCHING = "Searching…"


class SearchField(QLineEdit):
    """Searches when the typing rests or at Enter; Escape empties it, and a second time leaves it."""

    searched = Signal(str)
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setPlaceholderText("Search questions, hints and solutions…")
        self.setAccessibleName("Search the rollouts")
        self.setToolTip('Words that all occur, "a phrase in quotes", the beginning of a word: appl*  (/)')
        self.setClearButtonEnabled(True)
        glass = QAction(self)
        set_icon(glass, "search", "muted")
        self.addAction(glass, QLineEdit.ActionPosition.LeadingPosition)
        # Qt makes a nameless button of each: the glass, and the cross that clears.
        for button, name in zip(self.findChildren(QToolButton), ("Clear the search", "Search"), strict=False):
            button.setAccessibleName(name)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(TYPING_MS)
        self._rest.timeout.connect(self._search)
        self.textEdited.connect(lambda _text: self._rest.start())
        self.textChanged.connect(lambda text: self._rest.start(0) if not text else None)
        self.returnPressed.connect(self._finish)

    def _search(self) -> None:
        self._rest.stop()
        self.searched.emit(self.text())

    def _finish(self) -> None:
        self._search()
        self.left.emit()

    def render_text(self, text: str) -> None:
        """Show what is searched for, unless it is being typed."""
        if text != self.text() and not self._rest.isActive():
            self.blockSignals(True)
            self.setText(text)
            self.blockSignals(False)

    def enter(self) -> None:
        """Take the keyboard; what is typed replaces what is there."""
        self.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.selectAll()

    def empty(self) -> None:
        """Nothing is searched for any more, whatever was being typed."""
        self._rest.stop()
        self.render_text("")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape and Down."""
        if event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        elif event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_Down):
            self._finish()
        else:
            super().keyPressEvent(event)


class FilterBar(QWidget):
    """Shows a query and emits the one that the person makes of it."""

    changed = Signal(object)
    """RolloutQuery"""
    newAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._query = START
        self._facets: Facets | None = None
        self.chips: list[QPushButton] = []
        self.popup: FilterPopup | None = None
        self._build()

    def _build(self) -> None:
        self.buttons: dict[Filter, QPushButton] = {}
        holder, flow = _make_flow(gap=SPACE_2)
        for filter_ in FILTERS:
            button = _make_drop_down(filter_.name)
            button.clicked.connect(lambda _on=False, f=filter_: self.open(f))
            self.buttons[filter_] = button
            flow.addWidget(button)
        self.order = _make_drop_down(say_sort(START), kind="quiet")
        self.order.setMenu(self._make_order_menu())
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACE_2)
        buttons.addWidget(holder, 1)
        buttons.addWidget(self.order, 0, Qt.AlignmentFlag.AlignTop)
        self.count = make_label("", "muted")
        self.new = make_button("", "refresh", kind="primary", clicked=self.newAsked.emit)
        self.new.setProperty("chip", "new")
        self.new.hide()
        self._chips, self._flow = _make_flow(gap=6)
        self.clear_all = make_button("Clear filters", clicked=lambda: self._set(clear_all(self._query)))
        self.clear_all.setProperty("chip", "clear")
        below = QHBoxLayout()
        below.setSpacing(SPACE_3)
        self.count.setFixedHeight(CHIP_HEIGHT)
        below.addWidget(self.count, 0, Qt.AlignmentFlag.AlignTop)
        below.addWidget(self._chips, 1)
        below.addWidget(self.new, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_2)
        column.addLayout(buttons)
        column.addLayout(below)

    def _make_order_menu(self) -> QMenu:
        menu = QMenu(self)
        group = QActionGroup(self)
        self._orders: list[QAction] = []
        for text, sort, down in SORTS:
            action = menu.addAction(text)
            action.setCheckable(True)
            action.triggered.connect(
                lambda _on=False, s=sort, d=down: self._set(replace(self._query, sort=s, descending=d))
            )
            group.addAction(action)
            self._orders.append(action)
        return menu

    # ------------------------------------------------------------------ deeds

    def open(self, filter_: Filter) -> None:
        """Drop a filter's choices down."""
        if self._facets is None:
            return
        self.popup = FilterPopup(filter_, self._query, self._facets, self)
        self.popup.changed.connect(self._set)
        self.popup.show_below(self.buttons[filter_])

    def _set(self, query: RolloutQuery) -> None:
        if query != self._query:
            self.render(query)
            self.changed.emit(query)

    # ------------------------------------------------------------------ render

    def render(self, query: RolloutQuery) -> None:  # type: ignore[override]  # QWidget.render paints into a device
        """Show a query."""
        self._query = query
        for filter_, button in self.buttons.items():
            on = is_set(query, filter_)
            if button.property("on") != on:
                button.setProperty("on", on)
                button.style().unpolish(button)
                button.style().polish(button)
            button.setAccessibleName(f"{filter_.name}: {say_filter(query, filter_)}" if on else f"{filter_.name}: any")
        self.order.setText(say_sort(query))
        self.order.setAccessibleName(f"Order: {say_sort(query)}")
        for action, (_text, sort, down) in zip(self._orders, SORTS, strict=True):
            action.setChecked(sort is query.sort and down == query.descending)
        self._render_chips()

    def render_facets(self, facets: Facets | None) -> None:
        """What can be chosen; None while there is no run."""
        self._facets = facets
        for button in (*self.buttons.values(), self.order):
            button.setEnabled(facets is not None and facets.rows > 0)

    def render_count(self, hits: int | None, rows: int) -> None:
        """How many there are; None while they are counted."""
        if hits is None:
            self.count.setText(SEARCHING)
        elif is_filtered(self._query):
            self.count.setText(f"{say_count(hits)} of {count_of(rows)}")
        else:
            self.count.setText(count_of(rows))

    def render_failed(self) -> None:
        """The count did not come."""
        if self.count.text() == SEARCHING:
            self.count.setText("Not read")

    def render_growth(self, more: int) -> None:
        """How many have come since the list was made; fewer than none: the run was resumed from an earlier step."""
        text = f"{say_count(more)} new · show" if more > 0 else "The run went back to an earlier step · show"
        text = text if more else ""
        self.new.setVisible(bool(text))
        self.new.setText(text)
        self.new.setAccessibleName(text)

    def _render_chips(self) -> None:
        had = next((i for i, c in enumerate(self.chips) if c.hasFocus()), None)
        while self._flow.count():
            item = self._flow.takeAt(0)
            if item is not None and item.widget() in self.chips:
                item.widget().hide()
                item.widget().deleteLater()
        self.chips = [self._make_chip(f) for f in (*FILTERS, TEXT) if is_set(self._query, f)]
        for chip in self.chips:
            self._flow.addWidget(chip)
        self._flow.addWidget(self.clear_all)
        self.clear_all.setVisible(bool(self.chips))
        if had is not None:
            rest = self.chips[min(had, len(self.chips) - 1)] if self.chips else next(iter(self.buttons.values()))
            rest.setFocus()

    def _make_chip(self, filter_: Filter) -> QPushButton:
        words = say_filter(self._query, filter_)
        brief = words if len(words) <= CHIP_CHARACTERS else words[: CHIP_CHARACTERS - 1] + "…"
        chip = make_button(brief.replace("&", "&&"), "close", clicked=lambda: self._set(clear(self._query, filter_)))
        chip.setProperty("chip", "true")
        chip.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
        size_icon(chip, 12, 12)
        chip.setAccessibleName(f"Remove the filter {words}")
        chip.setToolTip(as_tip(f"{words}\nClick to remove"))
        return chip


def _make_flow(gap: int) -> tuple[QWidget, FlowLayout]:
    holder = QWidget()
    policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
    policy.setHeightForWidth(True)
    holder.setSizePolicy(policy)
    return holder, FlowLayout(holder, gap=gap)


def _make_drop_down(text: str, kind: str = "") -> QPushButton:
    button = make_button(text, "chevron-down", kind=kind)
    # The arrow follows the words.
    button.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    size_icon(button, 14, 14)
    button.setProperty("dropdown", True)
    return button
