"""A run that ended badly or went silent, in words: what happened, its last words, what to do."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from seirenes_app.lab.verdicts import Story
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.icon_label import IconLabel
from seirenes_app.ui.widgets.labels import make_label

LINES = 6


class EndBanner(Card):
    """Hidden while there is nothing to tell."""

    resumeAsked = Signal()
    logAsked = Signal()
    diagnosticsAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("bad", parent)
        self._story: Story | None = None
        self._build()
        self.hide()

    def _build(self) -> None:
        self.heading = make_label("", "heading")
        self.text = make_label("", wrap=True, select=True)
        head = QHBoxLayout()
        head.setSpacing(SPACE_3)
        head.addWidget(IconLabel("died", 20, "bad"))
        head.addWidget(self.heading)
        head.addStretch(1)
        self.body.addLayout(head)
        self.body.addWidget(self.text)
        self.words = Card("flat", padding=SPACE_2)
        self.log = make_label("", "mono", wrap=True)
        self.log.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.log.setAccessibleName("Last lines of trainer.log")
        self.words.body.addWidget(self.log)
        self.body.addWidget(self.words)
        self.resume = make_button("Resume", "resume", kind="primary", clicked=self.resumeAsked.emit,
                                  tip="Start a trainer that goes on from the newest sound checkpoint")  # fmt: skip
        self.open_log = make_button("Open log", "log", tip="Go to the trainer's log", clicked=self.logAsked.emit)
        self.diagnose = make_button("Copy diagnostics", "copy", tip="This machine, this run, the end of its log",
                                    clicked=self.diagnosticsAsked.emit)  # fmt: skip
        row = QHBoxLayout()
        row.setSpacing(SPACE_2)
        for button in (self.resume, self.open_log, self.diagnose):
            row.addWidget(button)
        row.addStretch(1)
        self.body.addLayout(row)

    def render_story(self, story: Story | None) -> None:
        """Tell it, or nothing."""
        if story == self._story:
            return
        self._story = story
        self.diagnose.setText("Copy diagnostics")
        self.setVisible(story is not None)
        if story is None:
            return
        self.heading.setText(story.title)
        self.text.setText(story.text)
        self.setAccessibleName(f"{story.title}. {story.text}")
        self._show_log(story.log[-LINES:])
        self.resume.setVisible(story.can_resume)

    def say_copied(self) -> None:
        """The diagnostics are on the clipboard."""
        self.diagnose.setText("Copied")

    def _show_log(self, lines: Sequence[str]) -> None:
        self.log.setText("\n".join(lines))
        self.words.setVisible(bool(lines))
