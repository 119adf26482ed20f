"""One candidate of the list: its text, edited in place, its gates, where it comes from, and what it did.

The candidates: ways to make them, the list, and what can be done with all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QEvent, QRectF, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from seirenes_app.services.hint_authoring.draft import Draft, DraftHint
from seirenes_app.services.hint_authoring.gate_report import Badges, GateBadge
from seirenes_app.services.hint_authoring.results import SolveResult
from seirenes_app.ui.pages.craft.captions import rates_of, say_origin
from seirenes_app.ui.pages.craft.cards import ModelChip
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, SPACE_6, current_theme
from seirenes_app.ui.widgets.badges import Badge, BadgeStyle, GateBadges
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Section
from seirenes_app.ui.widgets.empty_state import Picture
from seirenes_app.ui.widgets.growing_text import GrowingText
from seirenes_app.ui.widgets.interval_bars import MiniBars
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from seirenes_app.ui.widgets.no_wheel import hush

WRITING = BadgeStyle("pencil", "Writing…", "adversary")
UNWRITTEN = "Nothing written yet"


class HintCard(QWidget):
    """Enter or F2 edits it, Delete removes it, the arrow keys go to its neighbours. Emits its id with each wish."""

    chosen = Signal(str)
    edited = Signal(str, str)
    removeAsked = Signal(str)
    moved = Signal(int)

    def __init__(self, candidate_id: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.candidate_id = candidate_id
        self._chosen = False
        self._candidate: DraftHint | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self._build()
        self._connect()

    def _build(self) -> None:
        self.text = make_label("", wrap=True)
        self.editor = GrowingText("Text of the hint", "Write a hint…", least=2, most=8)
        self.editor.hide()
        self.gates = GateBadges(brief=True)
        self.writing = Badge(WRITING)
        self.writing.hide()
        self.origin = ElidedLabel("small")
        self.minis = MiniBars()
        self.edit = make_icon_button("pencil", "Edit this candidate (Enter)", clicked=self.start_editing)
        self.remove = make_icon_button("discard", "Remove this candidate (Delete)",
                                       clicked=lambda: self.removeAsked.emit(self.candidate_id))  # fmt: skip
        for button in (self.edit, self.remove):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        left = QVBoxLayout()
        left.setSpacing(SPACE_1 + 2)
        left.addWidget(self.gates)
        left.addWidget(self.writing)
        left.addWidget(self.origin)
        foot = QHBoxLayout()
        foot.setSpacing(SPACE_1)
        foot.addLayout(left, 1)
        foot.addWidget(self.minis, 0, Qt.AlignmentFlag.AlignVCenter)
        foot.addSpacing(SPACE_1)
        foot.addWidget(self.edit, 0, Qt.AlignmentFlag.AlignBottom)
        foot.addWidget(self.remove, 0, Qt.AlignmentFlag.AlignBottom)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 8, 8)
        column.setSpacing(SPACE_2)
        column.addWidget(self.text)
        column.addWidget(self.editor)
        column.addLayout(foot)

    def _connect(self) -> None:
        self.editor.edited.connect(lambda text: self.edited.emit(self.candidate_id, text))
        self.editor.committed.connect(self.stop_editing)

    # ------------------------------------------------------------------ render

    def render_candidate(
        self, candidate: DraftHint, verdicts: Sequence[GateBadge] | None, result: SolveResult | None, *, chosen: bool
    ) -> None:
        """Show its text, whether it is in hand, what the gates say, and what solving gave."""
        if chosen != self._chosen:
            self._chosen = chosen
            self.update()
        if candidate != self._candidate:
            self._candidate = candidate
            self.text.setText(candidate.text or UNWRITTEN)
            self.text.setProperty("role", "" if candidate.text else "muted")
            self.text.style().polish(self.text)
            self.editor.render_text(candidate.text)
            self.origin.setText(say_origin(candidate))
        # A card that is about to be written is no mistake.
        self.gates.render_verdicts(verdicts if candidate.text.strip() else None)
        self.render_result(result)

    def render_writing(self, text: str | None) -> None:
        """A text that is being written by a model; None when it is complete."""
        going = text is not None
        self.writing.setVisible(going)
        self.gates.setVisible(not going)
        self.edit.setVisible(not going)
        self.remove.setVisible(not going)
        if text is not None:
            self.text.setText(text or "…")
            self.setAccessibleName(f"Being written: {text}")

    def render_result(self, result: SolveResult | None) -> None:
        """What solving gave so far."""
        self.minis.render_rates(rates_of(result))
        self._name()

    def _name(self) -> None:
        if self._candidate is None:
            return
        gates = [b.accessibleName() for b in self.gates.badges if not b.isHidden()]
        figures = [rate.words for rate in self.minis.rates]
        parts = [self._candidate.text or UNWRITTEN, *gates, self.origin.text(), *figures]
        if self._chosen:
            parts.insert(0, "In hand")
        name = ". ".join(part.rstrip(".") for part in parts)
        if name != self.accessibleName():
            self.setAccessibleName(name)

    # ------------------------------------------------------------------ editing

    @property
    def editing(self) -> bool:
        """Whether its text is being edited."""
        return not self.editor.isHidden()

    def start_editing(self) -> None:
        """Put the caret into its text."""
        self.chosen.emit(self.candidate_id)
        self.text.hide()
        self.editor.show()
        self.editor.setFocus(Qt.FocusReason.OtherFocusReason)
        cursor = self.editor.textCursor()
        cursor.movePosition(cursor.MoveOperation.End)
        self.editor.setTextCursor(cursor)

    def stop_editing(self) -> None:
        """Show the text again; every letter is kept already."""
        if self.editor.hasFocus():
            # Before it hides, or Qt hands the keyboard to the next card. Its leaving comes back here.
            self.setFocus(Qt.FocusReason.OtherFocusReason)
        if self.editing:
            self.editor.hide()
            self.text.show()

    # ------------------------------------------------------------------ mouse and keys

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A click takes it in hand."""
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self.chosen.emit(self.candidate_id)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """A double click edits."""
        if not self.writing.isVisible():
            self.start_editing()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Reached by key, it is in hand."""
        super().focusInEvent(event)
        if event.reason() in (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason):
            self.chosen.emit(self.candidate_id)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """The ring goes."""
        super().focusOutEvent(event)
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """See the class."""
        key = event.key()
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            super().keyPressEvent(event)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_F2):
            self.start_editing()
        elif key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.removeAsked.emit(self.candidate_id)
        elif key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            self.moved.emit(1 if key == Qt.Key.Key_Down else -1)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Hovering changes the ground."""
        if event.type() in (QEvent.Type.HoverEnter, QEvent.Type.HoverLeave):
            self.update()
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """A card; in hand it has a bar at its side and a strong border, under the keyboard a ring."""
        theme, painter = current_theme(), QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        painter.setPen(QPen(theme.colour("accent" if self._chosen else "border"), 1.5 if self._chosen else 1))
        painter.setBrush(theme.colour("raised" if self.underMouse() and not self._chosen else "surface"))
        painter.drawRoundedRect(rect, 8, 8)
        if self._chosen:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.colour("accent"))
            painter.drawRoundedRect(QRectF(1, 10, 4, self.height() - 20), 2, 2)
        if self.hasFocus():
            painter.setPen(QPen(theme.colour("accent"), 1, Qt.PenStyle.DotLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(3.5, 3.5, -3.5, -3.5), 5, 5)


DEFAULT_N, MAX_N = 8, 64
AT_ONCE = 8
STREAM = "stream-"
"""Cards of texts that are still being written have ids that begin so."""


class HintList(QWidget):
    """Asks by signals; the cards of the list are kept and filled anew."""

    writeAsked = Signal()
    templatesAsked = Signal(int)
    modelAsked = Signal(int)
    solveAllAsked = Signal()
    worstAsked = Signal()
    chosen = Signal(str)
    edited = Signal(str, str)
    removeAsked = Signal(str)
    adversaryAsked = Signal()
    moreAsked = Signal()
    """Some candidates have no card yet: render again when there is time."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cards: dict[str, HintCard] = {}
        self._streams: list[HintCard] = []
        self._order: list[str] = []
        self._build()

    def _build(self) -> None:
        self.section = Section("Candidates")
        self.solve_all = make_button("Solve all", "play", kind="quiet", clicked=self.solveAllAsked.emit,
                                     tip="Solve every candidate that passes the gates (Ctrl+Shift+Enter)")  # fmt: skip
        self.worst = make_button("Open the worst", "worst", kind="quiet", clicked=self.worstAsked.emit,
                                 tip="Go to the candidate with the largest drop (Ctrl+W)")  # fmt: skip
        self.section.tools.setSpacing(0)
        self.section.tools.addWidget(self.solve_all)
        self.section.tools.addWidget(self.worst)
        self.section.body.addLayout(self._build_makers())
        self.section.body.addLayout(self._build_model())
        self.empty = _make_empty()
        self._list = QVBoxLayout()
        self._list.setSpacing(SPACE_2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_3)
        column.addWidget(self.section)
        column.addWidget(self.empty)
        column.addLayout(self._list)

    def _build_makers(self) -> QHBoxLayout:
        self.write = make_button("Write one", "pencil", clicked=self.writeAsked.emit,
                                 tip="Add a candidate and write it (Ctrl+Shift+N)")  # fmt: skip
        self.templates = make_button("Templates", "template", tip="Fill in as many of the laboratory's own templates",
                                     clicked=lambda: self.templatesAsked.emit(self.count.value()))  # fmt: skip
        self.model = make_button("By model", "chip", kind="primary", clicked=self.ask_model,
                                 tip="Let a local model write as many, all at once (Ctrl+G)")  # fmt: skip
        self.count = QSpinBox()
        self.count.setRange(1, MAX_N)
        self.count.setValue(DEFAULT_N)
        self.count.setAccessibleName("How many candidates to make")
        self.count.setToolTip("How many to make from templates or by the model")
        self.count.setFixedWidth(52)
        hush(self.count)
        row = QHBoxLayout()
        row.setSpacing(SPACE_2)
        for button in (self.write, self.templates, self.model):
            row.addWidget(button, 1)
        return row

    def _build_model(self) -> QHBoxLayout:
        self.adversary = ModelChip("Adversary")
        self.adversary.clicked.connect(lambda *_: self.adversaryAsked.emit())
        row = QHBoxLayout()
        row.setSpacing(SPACE_2)
        row.addWidget(make_label("How many", "small"))
        row.addWidget(self.count)
        row.addStretch(1)
        row.addWidget(make_label("Model", "small"))
        row.addWidget(self.adversary)
        return row

    def ask_model(self) -> None:
        """As a click on "By model"."""
        if self.model.isEnabled():
            self.modelAsked.emit(self.count.value())

    # ------------------------------------------------------------------ render

    def render_draft(self, draft: Draft, badges: Mapping[str, Badges], results: Mapping[str, SolveResult]) -> None:
        """Show all candidates in their order. Of many new ones, cards are made a few at a time: each takes a moment."""
        self._order = [c.id for c in draft.hints]
        self._drop_gone(draft.chosen)
        missing = [c.id for c in draft.hints if c.id not in self.cards]
        # The one in hand first: the page may want to put the keyboard there.
        made = set(sorted(missing, key=lambda id_: id_ != draft.chosen)[:AT_ONCE])
        place = 0
        for candidate in draft.hints:
            if candidate.id not in self.cards and candidate.id not in made:
                continue
            card = self.cards.get(candidate.id) or self._make(candidate.id)
            if self._list.indexOf(card) != place:
                self._list.insertWidget(place, card)
            card.render_candidate(candidate, badges.get(candidate.id), results.get(candidate.id),
                                  chosen=candidate.id == draft.chosen)  # fmt: skip
            place += 1
        self.worst.setEnabled(bool(results))
        self._render_heading()
        if len(missing) > len(made):
            self.moreAsked.emit()

    def _drop_gone(self, chosen: str) -> None:
        gone = [i for i in self.cards if i not in self._order]
        if any(self.cards[i].hasFocus() for i in gone) and chosen in self.cards:
            # Before it hides, or Qt hands the keyboard to whichever comes next.
            self.cards[chosen].setFocus(Qt.FocusReason.OtherFocusReason)
        for id_ in gone:
            card = self.cards.pop(id_)
            self._list.removeWidget(card)
            card.hide()
            card.deleteLater()

    def render_stream(self, texts: Mapping[int, str] | None) -> None:
        """Texts that are being written, by their index; None when none is."""
        wanted = max(texts, default=-1) + 1 if texts else 0
        for _ in range(min(AT_ONCE, wanted - len(self._streams))):
            card = HintCard(f"{STREAM}{len(self._streams)}")
            card.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            card.setEnabled(False)
            self._streams.append(card)
            self._list.addWidget(card)
        for index, card in enumerate(self._streams):
            shown = texts is not None and index in texts
            card.setVisible(shown)
            if texts is not None and shown:
                card.render_writing(texts[index])
        self._render_heading()

    def render_result(self, candidate_id: str, result: SolveResult | None) -> None:
        """One candidate's figures, while they come in."""
        if (card := self.cards.get(candidate_id)) is not None:
            card.render_result(result)
            self.worst.setEnabled(True)

    def render_busy(self, *, usable: bool, busy: bool) -> None:
        """Switch on what can be done: nothing without a sound problem, one thing at a time."""
        self.templates.setEnabled(usable)
        self.model.setEnabled(usable and not busy)
        self.solve_all.setEnabled(usable and not busy and bool(self._order))

    def _render_heading(self) -> None:
        n = len(self._order)
        self.section.heading.setText(f"Candidates  {n}" if n else "Candidates")
        streaming = any(not card.isHidden() for card in self._streams)
        self.empty.setVisible(not n and not streaming)
        self.worst.setVisible(n > 1)
        self.solve_all.setVisible(n > 1)

    def _make(self, candidate_id: str) -> HintCard:
        card = HintCard(candidate_id)
        card.chosen.connect(self.chosen)
        card.edited.connect(self.edited)
        card.removeAsked.connect(self.removeAsked)
        card.moved.connect(lambda way, c=candidate_id: self.step(c, way))
        self.cards[candidate_id] = card
        return card

    def step(self, candidate_id: str, way: int) -> None:
        """Go to the neighbour of a candidate."""
        if candidate_id not in self._order:
            return
        place = max(0, min(len(self._order) - 1, self._order.index(candidate_id) + way))
        target = self._order[place]
        self.cards[target].setFocus(Qt.FocusReason.OtherFocusReason)
        self.chosen.emit(target)


def _make_empty() -> QWidget:
    """What stands where no candidate is yet. Narrower than an `EmptyState`: the pane is."""
    empty = QWidget()
    column = QVBoxLayout(empty)
    column.setContentsMargins(0, SPACE_6, 0, SPACE_6)
    column.setSpacing(SPACE_2)
    middle = Qt.AlignmentFlag.AlignHCenter
    column.addWidget(Picture("note", 36), 0, middle)
    column.addWidget(make_label("No hint yet", "heading"), 0, middle)
    words = make_label("Write one, fill in templates, or let a model write some.", "muted", wrap=True)
    words.setAlignment(middle)
    column.addWidget(words)
    return empty
