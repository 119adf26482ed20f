"""The hints of a draft: ways to add some, and a card for each with its text, gates, origin and accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from PySide6.QtCore import QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSpinBox, QVBoxLayout, QWidget

from seirenes_app.services.hint_authoring.draft import Draft, DraftHint
from seirenes_app.services.hint_authoring.gate_report import Badges
from seirenes_app.services.hint_authoring.results import SolveResult
from seirenes_app.ui.pages.craft.captions import OF_HINT, rates_of, say_origin
from seirenes_app.ui.pages.craft.cards import ModelButton
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, SPACE_6, current_theme
from seirenes_app.ui.widgets.badges import Badge, BadgeStyle, GateBadges
from seirenes_app.ui.widgets.boxes import column, ignore_wheel, row
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Section
from seirenes_app.ui.widgets.growing_text import GrowingText
from seirenes_app.ui.widgets.interval_bars import MiniBars
from seirenes_app.ui.widgets.labels import ElidedLabel, IconLabel, make_label

NO_TEXT = "No text yet"


class HintCard(QWidget):
    """One hint. Enter or F2 edits it, Delete removes it, the arrow keys go to its neighbours."""

    selected = Signal(str)
    edited = Signal(str, str)
    removeRequested = Signal(str)
    stepRequested = Signal(str, int)

    def __init__(self, hint_id: str) -> None:
        super().__init__()
        self.hint_id = hint_id
        self._selected = False
        self._hint: DraftHint | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.text = make_label("", wrap=True)
        self.editor = GrowingText("Text of the hint", "Write a hint…", least=2, most=8)
        self.editor.hide()
        self.editor.edited.connect(partial(self.edited.emit, hint_id))
        self.editor.committed.connect(self.stop_editing)
        self.gates = GateBadges(brief=True)
        self.generating = Badge(BadgeStyle("pencil", "Generating…", "adversary"))
        self.generating.hide()
        self.origin = ElidedLabel("small")
        self.bars = MiniBars()
        self.edit = make_icon_button("pencil", "Edit this hint (Enter)", clicked=self.start_editing)
        self.remove = make_icon_button("discard", "Remove this hint (Delete)",
                                       clicked=lambda: self.removeRequested.emit(hint_id))  # fmt: skip
        foot = row(spacing=SPACE_1)
        foot.addLayout(column(self.gates, self.generating, self.origin, spacing=SPACE_1 + 2), 1)
        foot.addWidget(self.bars, 0, Qt.AlignmentFlag.AlignVCenter)
        foot.addSpacing(SPACE_1)
        for button in (self.edit, self.remove):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            foot.addWidget(button, 0, Qt.AlignmentFlag.AlignBottom)
        column(self.text, self.editor, foot, margins=(16, 12, 8, 8), parent=self)

    def render_hint(
        self, hint: DraftHint, badges: Badges | None, result: SolveResult | None, *, selected: bool
    ) -> None:
        """Show a hint with its gates (None while they are being checked) and its result."""
        if selected != self._selected:
            self._selected = selected
            self.update()
        if hint != self._hint:
            self._hint = hint
            self.text.setText(hint.text or NO_TEXT)
            self.text.setProperty("role", "" if hint.text else "muted")
            self.text.style().polish(self.text)
            self.editor.render_text(hint.text)
            self.origin.setText(say_origin(hint))
        # An empty hint is about to be written: no gate refuses it yet.
        self.gates.render_results(badges if hint.text.strip() else None)
        self.render_result(result)

    def render_generating(self, text: str) -> None:
        self.generating.show()
        for widget in (self.gates, self.edit, self.remove):
            widget.hide()
        self.text.setText(text or "…")
        self.setAccessibleName(f"Being generated: {text}")

    def render_result(self, result: SolveResult | None) -> None:
        self.bars.render_rates(rates_of(result, OF_HINT))
        if self._hint is not None:
            parts = [
                *(["Selected"] if self._selected else []), self._hint.text or NO_TEXT,
                *(b.accessibleName() for b in self.gates.badges if not b.isHidden()), self.origin.text(),
                *(rate.description for rate in self.bars.rates),
            ]  # fmt: skip
            name = ". ".join(part.rstrip(".") for part in parts)
            if name != self.accessibleName():
                self.setAccessibleName(name)

    def start_editing(self) -> None:
        self.selected.emit(self.hint_id)
        self.text.hide()
        self.editor.show()
        self.editor.setFocus(Qt.FocusReason.OtherFocusReason)
        cursor = self.editor.textCursor()
        cursor.movePosition(cursor.MoveOperation.End)
        self.editor.setTextCursor(cursor)

    def stop_editing(self) -> None:
        """Show the text again; every edit is kept already."""
        if self.editor.hasFocus():
            # Before the editor hides, or Qt moves the focus to the next card. `committed` calls this again.
            self.setFocus(Qt.FocusReason.OtherFocusReason)
        self.editor.hide()
        self.text.show()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self.selected.emit(self.hint_id)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.start_editing()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        if event.reason() in (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason):
            self.selected.emit(self.hint_id)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            super().keyPressEvent(event)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_F2):
            self.start_editing()
        elif key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.removeRequested.emit(self.hint_id)
        elif key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            self.stepRequested.emit(self.hint_id, 1 if key == Qt.Key.Key_Down else -1)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """A frame. The selected card has a bar at its side and a strong border, the focused one a dotted ring."""
        theme, painter = current_theme(), QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        painter.setPen(QPen(theme.colour("accent" if self._selected else "border"), 1.5 if self._selected else 1))
        painter.setBrush(theme.colour("raised" if self.underMouse() and not self._selected else "surface"))
        painter.drawRoundedRect(rect, 8, 8)
        if self._selected:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.colour("accent"))
            painter.drawRoundedRect(QRectF(1, 10, 4, self.height() - 20), 2, 2)
        if self.hasFocus():
            painter.setPen(QPen(theme.colour("accent"), 1, Qt.PenStyle.DotLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(3.5, 3.5, -3.5, -3.5), 5, 5)


DEFAULT_N, MAX_N = 8, 64
CARDS_AT_ONCE = 8


class HintList(QWidget):
    """Cards are reused. Of many new hints only some get a card at once; the others follow from a timer."""

    selected = Signal(str)
    edited = Signal(str, str)
    removeRequested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.cards: dict[str, HintCard] = {}
        self._generating: list[HintCard] = []
        self._shown: tuple[Draft, Mapping[str, Badges], Mapping[str, SolveResult]] = (Draft(""), {}, {})
        self.solve_all = make_button("Solve all", "play", kind="quiet")
        self.worst = make_button("Open the worst", "worst", kind="quiet")
        self.write = make_button("Write one", "pencil")
        self.draw = make_button("Draw", "template")
        self.generate = make_button("By model", "chip", kind="primary")
        self.adversary = ModelButton("Adversary")
        self.count = QSpinBox(minimum=1, maximum=MAX_N, value=DEFAULT_N)
        self.count.setAccessibleName("Number of hints to make")
        self.count.setToolTip("How many to draw from the hint language, or to make by the model")
        self.count.setFixedWidth(52)
        ignore_wheel(self.count)
        self.section = Section("Hints")
        self.section.tools.setSpacing(0)
        for button in (self.solve_all, self.worst):
            # They keep their space while there is nothing to solve: the buttons below stay where they are.
            policy = button.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            button.setSizePolicy(policy)
        self.section.tools.addWidget(self.solve_all)
        self.section.tools.addWidget(self.worst)
        self.section.body.addLayout(row((self.write, 1), (self.draw, 1), (self.generate, 1)))
        self.section.body.addLayout(
            row(make_label("How many", "small"), self.count, None, make_label("Model", "small"), self.adversary)
        )
        self.empty = _make_empty()
        self._list = QVBoxLayout()
        self._list.setSpacing(SPACE_2)
        column(self.section, self.empty, self._list, spacing=SPACE_3, parent=self)

    def render_hints(self, draft: Draft, badges: Mapping[str, Badges], results: Mapping[str, SolveResult]) -> None:
        self._shown = draft, badges, results
        ids = [h.id for h in draft.hints]
        self._drop_cards({id_ for id_ in self.cards if id_ not in ids}, draft.chosen)
        missing = sorted((id_ for id_ in ids if id_ not in self.cards), key=lambda id_: id_ != draft.chosen)
        for id_ in missing[:CARDS_AT_ONCE]:
            self.cards[id_] = self._make_card(id_)
        for place, hint in enumerate(h for h in draft.hints if h.id in self.cards):
            card = self.cards[hint.id]
            if self._list.indexOf(card) != place:
                self._list.insertWidget(place, card)
            card.render_hint(hint, badges.get(hint.id), results.get(hint.id), selected=hint.id == draft.chosen)
        self._render_heading()
        if len(missing) > CARDS_AT_ONCE:
            QTimer.singleShot(0, self, lambda: self.render_hints(*self._shown))

    def render_generating(self, texts: Mapping[int, str] | None) -> None:
        """Show texts that a model is generating, by their index; None for none."""
        wanted = max(texts, default=-1) + 1 if texts else 0
        for _ in range(min(CARDS_AT_ONCE, wanted - len(self._generating))):
            card = HintCard("")
            card.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            card.setEnabled(False)
            self._generating.append(card)
            self._list.addWidget(card)
        for index, card in enumerate(self._generating):
            text = texts.get(index) if texts else None
            card.setVisible(text is not None)
            if text is not None:
                card.render_generating(text)
        self._render_heading()

    def render_result(self, hint_id: str, result: SolveResult | None) -> None:
        if (card := self.cards.get(hint_id)) is not None:
            card.render_result(result)

    def step(self, hint_id: str, by: int) -> None:
        ids = [h.id for h in self._shown[0].hints]
        if hint_id in ids:
            target = ids[max(0, min(len(ids) - 1, ids.index(hint_id) + by))]
            if target in self.cards:
                self.cards[target].setFocus(Qt.FocusReason.OtherFocusReason)
            self.selected.emit(target)

    def _make_card(self, hint_id: str) -> HintCard:
        card = HintCard(hint_id)
        card.selected.connect(self.selected)
        card.edited.connect(self.edited)
        card.removeRequested.connect(self.removeRequested)
        card.stepRequested.connect(self.step)
        return card

    def _drop_cards(self, ids: set[str], selected: str) -> None:
        if any(self.cards[i].hasFocus() for i in ids) and selected in self.cards:
            # Before the card hides, or Qt moves the focus to another widget.
            self.cards[selected].setFocus(Qt.FocusReason.OtherFocusReason)
        for id_ in ids:
            card = self.cards.pop(id_)
            self._list.removeWidget(card)
            card.hide()
            card.deleteLater()

    def _render_heading(self) -> None:
        n = len(self._shown[0].hints)
        self.section.heading.setText(f"Hints  {n}" if n else "Hints")
        self.empty.setVisible(not n and all(card.isHidden() for card in self._generating))
        self.worst.setVisible(n > 1)
        self.solve_all.setVisible(n > 1)


def _make_empty() -> QWidget:
    """What stands where no hint is yet. Narrower than an `EmptyState`: the pane is."""
    empty, middle = QWidget(), Qt.AlignmentFlag.AlignHCenter
    text = make_label("Write one, draw some from the hint language, or let a model generate some.", "muted", wrap=True)
    text.setAlignment(middle)
    box = column(margins=(0, SPACE_6, 0, SPACE_6), parent=empty)
    box.addWidget(IconLabel("note", 36), 0, middle)
    box.addWidget(make_label("No hint yet", "heading"), 0, middle)
    box.addWidget(text)
    return empty
