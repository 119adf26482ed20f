"""The candidate in hand: the text that the solver reads with the hint marked in it, and every gate's verdict."""

from __future__ import annotations

import html

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from seirenes_app.lab.crafting.documents import Draft
from seirenes_app.lab.crafting.judging import Badges
from seirenes_app.ui.theme import current_theme
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.charts import make_card_heading
from seirenes_app.ui.widgets.gate_badges import GateBadges
from seirenes_app.ui.widgets.labels import make_label
from training.core.prompts import hint_span, join_hint

NONE = "Choose a candidate on the left, and the text that the solver reads stands here."
NO_QUESTION = "Without a problem there is nothing to read."


class PromptCard(Card):
    """`render_draft` is all it takes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._shown: tuple[object, ...] = ()
        self._build()

    def _build(self) -> None:
        self.body.addWidget(make_card_heading("What the solver reads"))
        self.text = make_label(NONE, "muted", wrap=True, select=True)
        self.gates = GateBadges()
        self.reason = make_label("", "small", wrap=True)
        self.body.addWidget(self.text)
        self.body.addSpacing(4)
        self.body.addWidget(self.gates)
        self.body.addWidget(self.reason)

    def render_draft(self, draft: Draft, badges: Badges | None) -> None:
        """Show the chosen candidate inside its problem."""
        candidate, question = draft.chosen_candidate, draft.problem.question.strip()
        shown = (question, candidate, draft.placement, badges, current_theme().name)
        if shown == self._shown:
            return
        self._shown = shown
        self.gates.setVisible(candidate is not None)
        self.reason.setVisible(False)
        if candidate is None or not question or not candidate.text.strip():
            self._say_none(NO_QUESTION if not question else question if candidate is not None else NONE)
            return
        joined = join_hint(question, candidate.text, draft.placement)
        start, end = hint_span(question, candidate.text, draft.placement)
        self._mark(joined, start, end)
        self.gates.render_verdicts(badges)
        reasons = [b.reason for b in badges or () if not b.passed]
        self.reason.setText(" ".join(reasons))
        self.reason.setVisible(bool(reasons))

    def _say_none(self, words: str) -> None:
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setProperty("role", "muted")
        self.text.style().polish(self.text)
        self.text.setText(words)
        self.gates.setVisible(False)

    def _mark(self, joined: str, start: int, end: int) -> None:
        """Underlined and in the colour of what is hinted; the text of the label stays escaped."""
        before, hint, after = (html.escape(t).replace("\n", "<br>") for t in
                               (joined[:start], joined[start:end], joined[end:]))  # fmt: skip
        colour = current_theme().hinted
        self.text.setProperty("role", "")
        self.text.style().polish(self.text)
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.text.setText(f'<span>{before}<u style="color:{colour}">{hint}</u>{after}</span>')
        self.text.setAccessibleName(joined)
        self.text.setAccessibleDescription(f"The hint is: {joined[start:end]}")
