"""The question with the hint marked in it, and what is known of the hint: who wrote it, what it earned, what the gates
said."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QWidget

from seirenes_app.ui.models.rollout_words import PASSED_LOOK, gate_look, say, say_number
from seirenes_app.ui.pages.traces_parts.facts import Facts
from seirenes_app.ui.pages.traces_parts.marked_text import MarkedText
from seirenes_app.ui.pages.traces_parts.reading import Reading, Row, locate_hint
from seirenes_app.ui.theme import SPACE_2
from seirenes_app.ui.widgets.badges import Badge
from seirenes_app.ui.widgets.cards import Card, make_rule
from seirenes_app.ui.widgets.labels import make_label


class QuestionCard(Card):
    """Nothing to press; texts can be selected."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._build()

    def _build(self) -> None:
        self.heading = make_label("Question", "eyebrow")
        self.text = MarkedText("Question")
        self.rule = make_rule()
        self.adversary = make_label("", "eyebrow")
        self.gate = Badge(PASSED_LOOK)
        head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        head.addWidget(self.adversary)
        head.addStretch(1)
        head.addWidget(self.gate)
        self.hint_head = QWidget()
        head.setContentsMargins(0, 0, 0, 0)
        self.hint_head.setLayout(head)
        self.reason = make_label("", wrap=True, tone="warn", select=True)
        self.facts = Facts("About the hint")
        self.body.addWidget(self.heading)
        self.body.addWidget(self.text)
        self.body.addWidget(self.rule)
        self.body.addWidget(self.hint_head)
        self.body.addWidget(self.reason)
        self.body.addWidget(self.facts)
        self.body.addStretch(1)

    def render_reading(self, reading: Reading) -> None:
        """Show the question of a row and its hint."""
        row = reading.asked
        text, span = locate_hint(row)
        self.heading.setText("Question, the hint underlined" if span else "Question")
        self.text.render_text(text, span)
        hint = reading.hint_row if span else None
        for part in (self.rule, self.hint_head, self.facts):
            part.setVisible(hint is not None)
        self.reason.setVisible(bool(hint and hint["gate_reason"]))
        if hint is not None:
            self._render_hint(reading, hint)

    def _render_hint(self, reading: Reading, hint: Row) -> None:
        written = reading.pair.hint
        self.adversary.setText(f"Hint · {say(hint['hint_type'] or 'no type')}")
        self.gate.setVisible(written is not None)
        if written is not None:
            self.gate.render_look(gate_look(written))
        self.reason.setText(hint["gate_reason"] or "")
        facts = [("Written by", _say_author(reading, hint))]
        if written is not None:
            facts.append(("Reward", say_number(written["reward"], signed=True)))
            facts.append(("Advantage", say_number(written["advantage"], signed=True)))
        self.facts.render_facts(facts)

    def themed(self) -> None:
        """The mark anew."""
        self.text.themed()


def _say_author(reading: Reading, hint: Row) -> str:
    if reading.pair.hint is not None:
        return "the Adversary, in this step"
    return "replayed from the archive" if hint["archived"] else "a template"
