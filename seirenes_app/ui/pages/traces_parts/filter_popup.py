"""What drops down from a filter's button: boxes to tick with counts, or a range of steps. It applies as it is set."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QIntValidator, QKeyEvent
from PySide6.QtWidgets import QCheckBox, QFrame, QHBoxLayout, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from seirenes_app.ui.models.rollout_words import say_count
from seirenes_app.ui.pages.traces_parts.filters import STEP, Choice, Filter, clear, is_chosen, is_set, offer, toggle
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import make_label
from training.rundir.rollout_query import Facets, RolloutQuery

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
        count = make_label(say_count(choice.count), "small")
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
