"""The candidates: ways to make them, the list, and what can be done with all of them at once."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from seirenes_app.lab.crafting.documents import Draft
from seirenes_app.lab.crafting.judging import Badges
from seirenes_app.lab.crafting.results import SolveResult
from seirenes_app.ui.pages.craft_parts.candidate_card import CandidateCard
from seirenes_app.ui.pages.craft_parts.model_chip import ModelChip
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_6
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Section
from seirenes_app.ui.widgets.empty import Picture
from seirenes_app.ui.widgets.labels import make_label
from seirenes_app.ui.widgets.quiet import hush

DEFAULT_N, MAX_N = 8, 64
AT_ONCE = 8
STREAM = "stream-"
"""Cards of texts that are still being written have ids that begin so."""


class CandidatesPanel(QWidget):
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
        self.cards: dict[str, CandidateCard] = {}
        self._streams: list[CandidateCard] = []
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
        self._order = [c.id for c in draft.candidates]
        self._drop_gone(draft.chosen)
        missing = [c.id for c in draft.candidates if c.id not in self.cards]
        # The one in hand first: the page may want to put the keyboard there.
        made = set(sorted(missing, key=lambda id_: id_ != draft.chosen)[:AT_ONCE])
        place = 0
        for candidate in draft.candidates:
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
            card = CandidateCard(f"{STREAM}{len(self._streams)}")
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

    def _make(self, candidate_id: str) -> CandidateCard:
        card = CandidateCard(candidate_id)
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
