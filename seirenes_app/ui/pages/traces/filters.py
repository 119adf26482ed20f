"""Filters of the Traces page: drop-downs with counts, the sort order, the search field, and chips for what is set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from PySide6.QtCore import QPoint, QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QActionGroup, QIntValidator, QKeyEvent
from PySide6.QtWidgets import QBoxLayout, QCheckBox, QFrame, QLineEdit, QMenu, QPushButton, QToolButton, QWidget

from seirenes_app.services.formatting import count_of, format_count
from seirenes_app.ui.icons import set_icon, size_icon
from seirenes_app.ui.models import rollouts_model as rollouts
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.boxes import FlowLayout, column, fill, row, scroll_area
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import make_label
from training.core.types import Stage
from training.rollouts.reader import Facets, RolloutQuery, Sort


@dataclass(frozen=True)
class Choice:
    """One check box: a value of a field of the query, its label, and how many rollouts have it."""

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
    fields: tuple[str, ...]


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
START = RolloutQuery(sort=Sort.TIME, descending=True)  # What a run opens with: everything, newest first


def list_choices(filter_: Filter, facets: Facets) -> tuple[Group, ...]:

    def group(field: str, texts: Mapping[Any, str], counts: Mapping[Any, int], heading: str = "") -> Group:
        tips = rollouts.STAGE_HELP if field == "stages" else {}
        return Group(heading, tuple(
            Choice(field, value, text, counts[value], tips.get(value, ""))
            for value, text in texts.items() if counts.get(value)
        ))  # fmt: skip

    if filter_ is ROLE:
        return (
            group("stages", {s: f"{rollouts.STAGE_TAGS[s]}  {rollouts.STAGE_WORDS[s]}" for s in Stage}, facets.stages),
        )
    if filter_ is OUTCOME:
        return (
            group("flips", {f: look.text for f, look in rollouts.FLIP_STYLES.items()}, facets.flips, "Clean → hinted"),
            group("outcomes", {o: look.text for o, look in rollouts.OUTCOME_STYLES.items()}, facets.outcomes, "Answer"),
        )
    if filter_ is FOLLOWS:
        return (group("follows", {True: "Answers what the hint suggests", False: "Does not"}, facets.follows),)
    counts: Mapping[str, int] = {TYPE: facets.types, FAMILY: facets.families, GATE: facets.gates}[filter_]
    names = sorted(counts, key=lambda name: (name != rollouts.PASSED, name))
    return (group(filter_.fields[0], {name: rollouts.say(name).capitalize() for name in names}, counts),)


def is_set(query: RolloutQuery, filter_: Filter) -> bool:
    return any(getattr(query, field) not in ((), None, "") for field in filter_.fields)


def clear(query: RolloutQuery, filter_: Filter) -> RolloutQuery:
    changes: dict[str, Any] = {field: getattr(START, field) for field in filter_.fields}
    return replace(query, **changes)


def clear_all(query: RolloutQuery) -> RolloutQuery:
    return RolloutQuery(sort=query.sort, descending=query.descending)


def is_filtered(query: RolloutQuery) -> bool:
    return query != clear_all(query)


def toggle(query: RolloutQuery, choice: Choice, on: bool) -> RolloutQuery:
    if choice.field == "follows":
        return replace(query, follows=choice.value if on else None)
    values = tuple(v for v in getattr(query, choice.field) if v != choice.value)
    changes: dict[str, Any] = {choice.field: (*values, choice.value) if on else values}
    return replace(query, **changes)


def is_chosen(query: RolloutQuery, choice: Choice) -> bool:
    held = getattr(query, choice.field)
    return held is choice.value if choice.field == "follows" else choice.value in held


def describe_filter(query: RolloutQuery, filter_: Filter) -> str:
    if filter_ is STEP and query.steps is not None:
        first, last = query.steps
        return f"Step {first}" if first == last else f"Steps {first} to {last}"
    if filter_ is TEXT:
        return f"“{query.text.strip()}”"
    if filter_ is FOLLOWS:
        return "Follows the hint" if query.follows else "Does not follow the hint"
    values = [_describe_value(field, value) for field in filter_.fields for value in getattr(query, field)]
    return f"{filter_.name}: {', '.join(values)}"


def _describe_value(field: str, value: Any) -> str:
    """A value's label; its own name for one that a newer version wrote."""
    if field == "stages":
        return rollouts.STAGE_WORDS.get(value, rollouts.say(value))
    look = {"flips": rollouts.FLIP_STYLES, "outcomes": rollouts.OUTCOME_STYLES}.get(field, {}).get(value)  # type: ignore[attr-defined]
    return look.text.lower() if look is not None else rollouts.say(value)


def describe_sort(query: RolloutQuery) -> str:
    return next((text for text, sort, down in SORTS if sort is query.sort and down == query.descending), "")


MAX_HEIGHT = 420


class FilterPopup(QFrame):
    """The choices of one filter. Up and Down move between boxes, Space checks, Escape or a click elsewhere closes."""

    changed = Signal(object)  # RolloutQuery

    def __init__(self, filter_: Filter, query: RolloutQuery, facets: Facets, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        # The corners are round.
        self.setAttribute(Qt.WidgetAttribute.WA_TranslucentBackground)
        self.setAccessibleName(f"Filter by {filter_.name.lower()}")
        self.filter, self._query, self._facets = filter_, query, facets
        steps = list(facets.steps) or [0]
        self._first_step, self._last_step = steps[0], steps[-1]
        self.boxes: dict[Choice, QCheckBox] = {}
        card = Card()
        column(card, parent=self)
        self._column = card.body
        self._column.setContentsMargins(SPACE_3, SPACE_3, SPACE_3, SPACE_2)
        self._column.setSpacing(SPACE_1)
        if filter_ is STEP:
            self._build_steps()
        else:
            self._build_boxes()
        self.clear_button = make_button("Clear", kind="quiet", clicked=lambda: self._set(clear(self._query, filter_)))
        self.clear_button.setAccessibleName(f"Clear the filter by {filter_.name.lower()}")
        self._column.addWidget(self.clear_button, 0, Qt.AlignmentFlag.AlignRight)
        self.render(query)

    def _build_boxes(self) -> None:
        inside = QWidget()
        rows = column(spacing=1, margins=(0, 0, SPACE_2, 0), parent=inside)
        for number, group in enumerate(g for g in list_choices(self.filter, self._facets) if g.choices):
            if group.heading:
                rows.addSpacing(SPACE_2 if number else 0)
                rows.addWidget(make_label(group.heading, "eyebrow"))
            for choice in group.choices:
                rows.addLayout(self._make_box(choice))
        if not self.boxes:
            rows.addWidget(make_label("Nothing to choose from in this run.", "muted"))
        area = scroll_area(inside)
        hint = inside.sizeHint()
        area.setFixedHeight(min(hint.height() + 2, MAX_HEIGHT))
        area.setMinimumWidth(max(220, hint.width() + 14))
        self._column.addWidget(area)

    def _make_box(self, choice: Choice) -> QBoxLayout:
        box = QCheckBox(choice.text)
        box.setToolTip(choice.tip)
        box.setAccessibleName(f"{choice.text}, {choice.count}")
        box.toggled.connect(lambda on: self._set(toggle(self._query, choice, on)))
        self.boxes[choice] = box
        return row(box, None, make_label(format_count(choice.count), "small"), spacing=SPACE_4)

    def _build_steps(self) -> None:
        first, last = self._first_step, self._last_step
        self._column.addWidget(make_label(f"The run has steps {first} to {last}", "small"))
        self.first, self.last = QLineEdit(), QLineEdit()
        range_, quick = row(), row()
        for line, name, word in ((self.first, "First step", "From"), (self.last, "Last step", "to")):
            line.setValidator(QIntValidator(0, 10**9, line))
            line.setAccessibleName(name)
            line.setFixedWidth(86)
            # Applied when the number is complete, not at each digit.
            line.editingFinished.connect(self._on_steps_edited)
            fill(range_, make_label(word, "muted"), line)
        range_.addStretch(1)
        for text, name, steps in (
            ("First", "First step", (first, first)), ("Newest", "Newest step", (last, last)),
            ("Last ten", "Last ten steps", (max(first, last - 9), last)),
        ):  # fmt: skip
            button = make_button(text, clicked=lambda s=steps: self._set_steps(*s))
            button.setAccessibleName(name)
            quick.addWidget(button)
        fill(self._column, SPACE_1, range_, SPACE_1, quick)

    def _on_steps_edited(self) -> None:
        first = int(self.first.text() or self._first_step)
        last = int(self.last.text() or self._last_step)
        self._set_steps(min(first, last), max(first, last))

    def _set_steps(self, first: int, last: int) -> None:
        first, last = (max(self._first_step, min(self._last_step, step)) for step in (first, last))
        steps = None if (first, last) == (self._first_step, self._last_step) else (first, last)
        self._set(replace(self._query, steps=steps))
        self.render(self._query)

    def _set(self, query: RolloutQuery) -> None:
        if query != self._query:
            self.render(query)
            self.changed.emit(query)

    def render(self, query: RolloutQuery) -> None:  # type: ignore[override]  # QWidget.render paints into a device
        self._query = query
        self.clear_button.setEnabled(is_set(query, self.filter))
        for choice, box in self.boxes.items():
            with QSignalBlocker(box):
                box.setChecked(is_chosen(query, choice))
        if self.filter is STEP:
            first, last = query.steps or (self._first_step, self._last_step)
            self.first.setText(str(first))
            self.last.setText(str(last))

    def show_below(self, button: QWidget) -> None:
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
        key = event.key()
        if key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            self.focusNextPrevChild(key == Qt.Key.Key_Down)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape):
            self.close()
        else:
            super().keyPressEvent(event)


TYPING_MS = 220  # Pause in the typing after which the search starts
CHIP_CHARACTERS = 60
CHIP_HEIGHT = 26
SEARCHING = "Searching…"


class SearchField(QLineEdit):
    """Searches when the typing pauses or at Enter. Escape clears it, and a second Escape leaves it."""

    searched = Signal(str)
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, placeholderText="Search the rollouts…", clearButtonEnabled=True)
        self.setAccessibleName("Search the rollouts")
        self.setToolTip(
            'In questions, hints and solutions: words that all occur, "a phrase in quotes", the beginning of a word: '
            "appl*  (/)"
        )
        glass = QAction(self)
        set_icon(glass, "search", "muted")
        self.addAction(glass, QLineEdit.ActionPosition.LeadingPosition)
        # Qt makes a button without a name of each: the glass, and the cross that clears.
        for button, name in zip(self.findChildren(QToolButton), ("Clear the search", "Search"), strict=False):
            button.setAccessibleName(name)
        self._typing = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._typing.timeout.connect(self._search)
        self.textEdited.connect(lambda _text: self._typing.start())
        self.textChanged.connect(lambda text: self._typing.start(0) if not text else None)
        self.returnPressed.connect(self._finish)

    def _search(self) -> None:
        self._typing.stop()
        self.searched.emit(self.text())

    def _finish(self) -> None:
        self._search()
        self.left.emit()

    def render_text(self, text: str) -> None:
        """Show what is searched for, unless it is being typed."""
        if text != self.text() and not self._typing.isActive():
            with QSignalBlocker(self):
                self.setText(text)

    def enter(self) -> None:
        """Take the keyboard; typing replaces the text."""
        self.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.selectAll()

    def reset(self) -> None:
        """Clear the text without a search, also while it is being typed."""
        self._typing.stop()
        self.render_text("")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        elif event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_Down):
            self._finish()
        else:
            super().keyPressEvent(event)


class FilterBar(QWidget):
    """Shows a query and emits the one that the person makes of it."""

    changed = Signal(object)  # RolloutQuery
    newRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._query = START
        self._facets: Facets | None = None
        self.chips: list[QPushButton] = []
        self.popup: FilterPopup | None = None
        self.buttons: dict[Filter, QPushButton] = {}
        holder, self._chip_holder = QWidget(), QWidget()
        flow, self._chips = FlowLayout(holder, gap=SPACE_2), FlowLayout(self._chip_holder)
        for filter_ in FILTERS:
            button = _make_drop_down(filter_.name)
            button.clicked.connect(lambda _on=False, f=filter_: self.open(f))
            self.buttons[filter_] = button
            flow.addWidget(button)
        self.order = _make_drop_down(describe_sort(START), kind="quiet")
        self.order.setMenu(self._make_order_menu())
        self.count = make_label("", "muted")
        self.count.setFixedHeight(CHIP_HEIGHT)
        self.new = make_button("", "refresh", kind="primary", clicked=self.newRequested.emit)
        self.new.setProperty("chip", "new")
        self.new.hide()
        self.clear_all = make_button("Clear filters", clicked=lambda: self._set(clear_all(self._query)))
        self.clear_all.setProperty("chip", "clear")
        buttons = row((holder, 1), self.order)
        below = row(self.count, (self._chip_holder, 1), self.new, spacing=SPACE_3)
        for box, part in ((buttons, self.order), (below, self.count), (below, self.new)):
            box.setAlignment(part, Qt.AlignmentFlag.AlignTop)
        column(buttons, below, parent=self)

    def _make_order_menu(self) -> QMenu:
        menu = QMenu(self)
        group = QActionGroup(self)
        for text, sort, down in SORTS:
            action = menu.addAction(text)
            action.setCheckable(True)
            action.triggered.connect(
                lambda _on=False, s=sort, d=down: self._set(replace(self._query, sort=s, descending=d))
            )
            group.addAction(action)
        return menu

    def open(self, filter_: Filter) -> None:
        if self._facets is not None:
            self.popup = FilterPopup(filter_, self._query, self._facets, self)
            self.popup.changed.connect(self._set)
            self.popup.show_below(self.buttons[filter_])

    def _set(self, query: RolloutQuery) -> None:
        if query != self._query:
            self.render(query)
            self.changed.emit(query)

    def render(self, query: RolloutQuery) -> None:  # type: ignore[override]  # QWidget.render paints into a device
        self._query = query
        for filter_, button in self.buttons.items():
            on = is_set(query, filter_)
            if button.property("on") != on:
                button.setProperty("on", on)
                button.style().unpolish(button)
                button.style().polish(button)
            value = describe_filter(query, filter_) if on else "any"
            button.setAccessibleName(f"{filter_.name}: {value}")
        self.order.setText(describe_sort(query))
        self.order.setAccessibleName(f"Order: {describe_sort(query)}")
        for action, (_text, sort, down) in zip(self.order.menu().actions(), SORTS, strict=True):
            action.setChecked(sort is query.sort and down == query.descending)
        self._render_chips()

    def render_facets(self, facets: Facets | None) -> None:
        """What can be chosen; None while there is no run."""
        self._facets = facets
        for button in (*self.buttons.values(), self.order):
            button.setEnabled(facets is not None and facets.rows > 0)

    def render_count(self, hits: int | None, rows: int) -> None:
        """Number of hits; None while they are counted."""
        total = count_of(rows, "rollout")
        found = f"{format_count(hits or 0)} of {total}" if is_filtered(self._query) else total
        self.count.setText(SEARCHING if hits is None else found)

    def render_failed(self) -> None:
        if self.count.text() == SEARCHING:
            self.count.setText("Not read")

    def render_growth(self, more: int) -> None:
        """Rows added since the list was made; negative when the run was resumed from an earlier step."""
        text = f"{format_count(more)} new · show" if more > 0 else "The run went back to an earlier step · show"
        self.new.setVisible(more != 0)
        self.new.setText(text if more else "")
        self.new.setAccessibleName(self.new.text())

    def _render_chips(self) -> None:
        focused = next((i for i, c in enumerate(self.chips) if c.hasFocus()), None)
        while (item := self._chips.takeAt(0)) is not None:
            if item.widget() in self.chips:
                item.widget().hide()
                item.widget().deleteLater()
        self.chips = [self._make_chip(f) for f in (*FILTERS, TEXT) if is_set(self._query, f)]
        for chip in (*self.chips, self.clear_all):
            self._chips.addWidget(chip)
        self.clear_all.setVisible(bool(self.chips))
        if focused is not None:
            rest = self.chips[min(focused, len(self.chips) - 1)] if self.chips else self.buttons[FILTERS[0]]
            rest.setFocus()

    def _make_chip(self, filter_: Filter) -> QPushButton:
        text = describe_filter(self._query, filter_)
        brief = text if len(text) <= CHIP_CHARACTERS else text[: CHIP_CHARACTERS - 1] + "…"
        chip = make_button(brief.replace("&", "&&"), "close", clicked=lambda: self._set(clear(self._query, filter_)))
        chip.setProperty("chip", "true")
        chip.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
        size_icon(chip, 12, 12)
        chip.setAccessibleName(f"Remove the filter {text}")
        chip.setToolTip(rollouts.as_tip(f"{text}\nClick to remove"))
        return chip


def _make_drop_down(text: str, kind: str = "") -> QPushButton:
    button = make_button(text, "chevron-down", kind=kind)
    # The arrow follows the text.
    button.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
    size_icon(button, 14, 14)
    button.setProperty("dropdown", True)
    return button
