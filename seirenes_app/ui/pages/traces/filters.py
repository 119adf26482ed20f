"""What can be filtered by, as values: the choices a run offers, and what of a query is set, in words. No widgets.

What drops down from a filter's button: boxes to tick with counts, or a range of steps. It applies as it is set.

The filters of the Traces page: drop-downs, the order, and what is set as chips to take away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from PySide6.QtCore import QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QActionGroup, QIntValidator, QKeyEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from seirenes_app.services.formatting import count_of, format_count
from seirenes_app.ui.icons import set_icon, size_icon
from seirenes_app.ui.models.rollouts_model import (
    FLIP_LOOKS,
    OUTCOME_LOOKS,
    PASSED,
    STAGE_HELP,
    STAGE_TAGS,
    STAGE_WORDS,
    as_tip,
    say,
)
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.flow import FlowLayout
from seirenes_app.ui.widgets.labels import make_label
from training.core.types import Outcome, Stage
from training.rollouts.search import Facets, RolloutQuery, Sort

Fields = tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """One box to tick: a value of a field of the query, its words, and how many rollouts have it."""

    field: str
    value: Any
    text: str
    count: int
    tip: str = ""


@dataclass(frozen=True)
class Group:
    """Choices under one heading; `heading` may be empty."""

    heading: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Filter:
    """One button of the bar: its name and the fields of the query it sets."""

    name: str
    fields: Fields
    icon: str = ""


STEP = Filter("Step", ("steps",))
ROLE = Filter("Role", ("stages", "roles"))
TYPE = Filter("Type", ("types",))
FAMILY = Filter("Family", ("families",))
OUTCOME = Filter("Outcome", ("flips", "outcomes"))
GATE = Filter("Gate", ("gates",))
FOLLOWS = Filter("Follows the hint", ("follows",))
TEXT = Filter("Text", ("text",))
FILTERS = (STEP, ROLE, TYPE, FAMILY, OUTCOME, GATE, FOLLOWS)

SORTS = (
    ("Newest first", Sort.TIME, True),
    ("Oldest first", Sort.TIME, False),
    ("Highest reward", Sort.REWARD, True),
    ("Lowest reward", Sort.REWARD, False),
    ("Highest advantage", Sort.ADVANTAGE, True),
    ("Lowest advantage", Sort.ADVANTAGE, False),
    ("Longest", Sort.TOKENS, True),
    ("Shortest", Sort.TOKENS, False),
    ("Most probable", Sort.LOGPROB, True),
    ("Least probable", Sort.LOGPROB, False),
    ("Clean group most right", Sort.CLEAN, True),
    ("Clean group least right", Sort.CLEAN, False),
)
START = RolloutQuery(sort=Sort.TIME, descending=True)
"""What a run opens with: everything, the newest on top."""


def offer(filter_: Filter, facets: Facets) -> tuple[Group, ...]:
    """The choices of a run; what does not occur is not offered."""
    if filter_ is ROLE:
        return (Group("", tuple(
            Choice("stages", s, f"{STAGE_TAGS[s]}  {STAGE_WORDS[s]}", facets.stages[s], STAGE_HELP[s])
            for s in Stage if facets.stages.get(s)
        )),)  # fmt: skip
    if filter_ is OUTCOME:
        flips = [
            Choice("flips", f, look.text, facets.flips[f]) for f, look in FLIP_LOOKS.items() if facets.flips.get(f)
        ]
        known = [
            Choice("outcomes", o, look.text, facets.outcomes[o])
            for o, look in OUTCOME_LOOKS.items()
            if facets.outcomes.get(o)
        ]
        return Group("Clean → hinted", tuple(flips)), Group("The answer", tuple(known))
    if filter_ is FOLLOWS:
        words = {True: "Answers what the hint suggests", False: "Does not"}
        return (Group("", tuple(Choice("follows", v, words[v], facets.follows[v]) for v in words
                                if facets.follows.get(v))),)  # fmt: skip
    counts: Mapping[str, int] = {TYPE: facets.types, FAMILY: facets.families, GATE: facets.gates}[filter_]
    names = sorted(counts, key=lambda name: (name != PASSED, name))
    return (Group("", tuple(Choice(filter_.fields[0], n, say(n).capitalize(), counts[n]) for n in names)),)


def is_set(query: RolloutQuery, filter_: Filter) -> bool:
    """Whether the query is narrowed by it."""
    return any(getattr(query, field) not in ((), None, "") for field in filter_.fields)


def clear(query: RolloutQuery, filter_: Filter) -> RolloutQuery:
    """The query without it."""
    nothing = RolloutQuery()
    changes: dict[str, Any] = {field: getattr(nothing, field) for field in filter_.fields}
    return replace(query, **changes)


def clear_all(query: RolloutQuery) -> RolloutQuery:
    """Everything, in the order it is in."""
    return RolloutQuery(sort=query.sort, descending=query.descending)


def is_filtered(query: RolloutQuery) -> bool:
    """Whether anything is left out."""
    return query != clear_all(query)


def toggle(query: RolloutQuery, choice: Choice, on: bool) -> RolloutQuery:
    """The query with a box ticked or not."""
    if choice.field == "follows":
        return replace(query, follows=choice.value if on else None)
    values = tuple(v for v in getattr(query, choice.field) if v != choice.value)
    changes: dict[str, Any] = {choice.field: (*values, choice.value) if on else values}
    return replace(query, **changes)


def is_chosen(query: RolloutQuery, choice: Choice) -> bool:
    """Whether the box is ticked."""
    if choice.field == "follows":
        return query.follows is choice.value
    return choice.value in getattr(query, choice.field)


def say_filter(query: RolloutQuery, filter_: Filter) -> str:
    """What a filter is set to, for its chip."""
    if filter_ is STEP and query.steps is not None:
        first, last = query.steps
        return f"Step {first}" if first == last else f"Steps {first} to {last}"
    if filter_ is TEXT:
        return f"“{query.text.strip()}”"
    if filter_ is FOLLOWS:
        return "Follows the hint" if query.follows else "Does not follow the hint"
    words = [_say_value(field, value) for field in filter_.fields for value in getattr(query, field)]
    return f"{filter_.name}: {', '.join(words)}"


def _say_value(field: str, value: str) -> str:
    if field == "stages" and value in set(Stage):
        return STAGE_WORDS[Stage(value)]
    if field == "flips" and value in FLIP_LOOKS:
        return FLIP_LOOKS[value].text.lower()
    if field == "outcomes" and value in set(Outcome):
        return OUTCOME_LOOKS[Outcome(value)].text.lower()
    return say(value)


def say_sort(query: RolloutQuery) -> str:
    """The order in words."""
    return next((text for text, sort, down in SORTS if sort is query.sort and down == query.descending), "")


MOST_HEIGHT = 420


class FilterPopup(QFrame):
    """Up and Down go from box to box, Space ticks, Escape or a click elsewhere closes."""

    changed = Signal(object)
    """RolloutQuery"""

    def __init__(self, filter_: Filter, query: RolloutQuery, facets: Facets, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        # The corners are round.
        self.setAttribute(Qt.WidgetAttribute.WA_TranslucentBackground)
        self.setAccessibleName(f"Filter by {filter_.name.lower()}")
        self.filter, self._query, self._facets = filter_, query, facets
        self.boxes: dict[Choice, QCheckBox] = {}
        self._build()
        self.render(query)

    def _build(self) -> None:
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        card = Card()
        outer.addWidget(card)
        self._column = card.body
        self._column.setContentsMargins(SPACE_3, SPACE_3, SPACE_3, SPACE_2)
        self._column.setSpacing(SPACE_1)
        if self.filter is STEP:
            self._build_steps()
        else:
            self._build_boxes()
        foot = QHBoxLayout()
        self.clear_button = make_button(
            "Clear", kind="quiet", clicked=lambda: self._set(clear(self._query, self.filter))
        )
        self.clear_button.setAccessibleName(f"Clear the filter by {self.filter.name.lower()}")
        foot.addStretch(1)
        foot.addWidget(self.clear_button)
        self._column.addLayout(foot)

    def _build_boxes(self) -> None:
        inside = QWidget()
        rows = QVBoxLayout(inside)
        rows.setContentsMargins(0, 0, SPACE_2, 0)
        rows.setSpacing(1)
        for number, group in enumerate(g for g in offer(self.filter, self._facets) if g.choices):
            if group.heading:
                if number:
                    rows.addSpacing(SPACE_2)
                rows.addWidget(make_label(group.heading, "eyebrow"))
            for choice in group.choices:
                rows.addLayout(self._make_box(choice))
        if not self.boxes:
            rows.addWidget(make_label("This run has nothing of the kind.", "muted"))
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        hint = inside.sizeHint()
        area.setFixedHeight(min(hint.height() + 2, MOST_HEIGHT))
        area.setMinimumWidth(max(220, hint.width() + 14))
        self._column.addWidget(area)

    def _make_box(self, choice: Choice) -> QHBoxLayout:
        box = QCheckBox(choice.text)
        box.setToolTip(choice.tip)
        box.setAccessibleName(f"{choice.text}, {choice.count}")
        box.toggled.connect(lambda on: self._set(toggle(self._query, choice, on)))
        self.boxes[choice] = box
        count = make_label(format_count(choice.count), "small")
        row = QHBoxLayout()
        row.setSpacing(SPACE_4)
        row.addWidget(box)
        row.addStretch(1)
        row.addWidget(count)
        return row

    def _build_steps(self) -> None:
        known = list(self._facets.steps) or [0]
        self._column.addWidget(make_label(f"The run has steps {known[0]} to {known[-1]}", "small"))
        self._column.addSpacing(SPACE_1)
        row = QHBoxLayout()
        row.setSpacing(SPACE_2)
        self.first, self.last = QLineEdit(), QLineEdit()
        for line, name, word in ((self.first, "First step", "From"), (self.last, "Last step", "to")):
            line.setValidator(QIntValidator(0, 10**9, line))
            line.setAccessibleName(name)
            line.setFixedWidth(86)
            # Applied when the number is whole, not at each of its digits.
            line.editingFinished.connect(self._take_steps)
            row.addWidget(make_label(word, "muted"))
            row.addWidget(line)
        row.addStretch(1)
        self._column.addLayout(row)
        quick = QHBoxLayout()
        quick.setSpacing(SPACE_2)
        for text, steps in (("First", (known[0], known[0])), ("Newest", (known[-1], known[-1])),
                            ("Last ten", (max(known[0], known[-1] - 9), known[-1]))):  # fmt: skip
            button = make_button(text, clicked=lambda s=steps: self._set_steps(*s))
            button.setAccessibleName(f"{text} step" if text != "Last ten" else "Last ten steps")
            quick.addWidget(button)
        self._column.addSpacing(SPACE_1)
        self._column.addLayout(quick)

    # ------------------------------------------------------------------ set, render

    def _take_steps(self) -> None:
        known = list(self._facets.steps) or [0]
        first, last = (
            int(line.text()) if line.text() else end
            for line, end in zip((self.first, self.last), (known[0], known[-1]), strict=True)
        )
        self._set_steps(min(first, last), max(first, last))

    def _set_steps(self, first: int, last: int) -> None:
        known = list(self._facets.steps) or [0]
        first, last = (max(known[0], min(known[-1], step)) for step in (first, last))
        steps = None if (first, last) == (known[0], known[-1]) else (first, last)
        self._set(replace(self._query, steps=steps))
        self.render(self._query)

    def _set(self, query: RolloutQuery) -> None:
        if query != self._query:
            self.render(query)
            self.changed.emit(query)

    def render(self, query: RolloutQuery) -> None:  # type: ignore[override]  # QWidget.render paints into a device
        """Show what is set."""
        self._query = query
        self.clear_button.setEnabled(is_set(query, self.filter))
        for choice, box in self.boxes.items():
            box.blockSignals(True)
            box.setChecked(is_chosen(query, choice))
            box.blockSignals(False)
        if self.filter is STEP:
            known = list(self._facets.steps) or [0]
            for line, value in zip((self.first, self.last), query.steps or (known[0], known[-1]), strict=True):
                line.setText(str(value))

    def show_below(self, button: QWidget) -> None:
        """Open under its button, inside the screen."""
        self.adjustSize()
        place = button.mapToGlobal(QPoint(0, button.height() + 4))
        screen = button.screen().availableGeometry()
        place.setX(max(screen.left(), min(place.x(), screen.right() - self.width())))
        place.setY(max(screen.top(), min(place.y(), screen.bottom() - self.height())))
        self.move(place)
        self.show()
        first = self.first if self.filter is STEP else next(iter(self.boxes.values()), self.clear_button)
        first.setFocus(Qt.FocusReason.PopupFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows between boxes; Enter and Escape close."""
        key = event.key()
        if key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            self.focusNextPrevChild(key == Qt.Key.Key_Down)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape):
            self.close()
        else:
            super().keyPressEvent(event)


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
            self.count.setText(f"{format_count(hits)} of {count_of(rows, 'rollout')}")
        else:
            self.count.setText(count_of(rows, "rollout"))

    def render_failed(self) -> None:
        """The count did not come."""
        if self.count.text() == SEARCHING:
            self.count.setText("Not read")

    def render_growth(self, more: int) -> None:
        """How many have come since the list was made; fewer than none: the run was resumed from an earlier step."""
        text = f"{format_count(more)} new · show" if more > 0 else "The run went back to an earlier step · show"
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
