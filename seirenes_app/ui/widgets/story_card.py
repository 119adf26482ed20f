"""A run that ended badly: what happened, the last lines of its log, and what to do about it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from seirenes_app.lab.verdicts import Story
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.badges import STATUS_LOOKS
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.empty import Picture
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from training.rundir.index import RunSummary
from training.rundir.state import RunStatus

LINES = 3
LINE_CHARACTERS = 400


class StoryCard(Card):
    """Emits what the person chose, with the run's paths."""

    resumeAsked = Signal(object)
    openAsked = Signal(object)
    dismissed = Signal(object)

    def __init__(self, summary: RunSummary, story: Story, parent: QWidget | None = None) -> None:
        status = summary.state.status if summary.state is not None else RunStatus.DIED
        super().__init__("warn" if status is RunStatus.STALLED else "bad", parent)
        self.paths = summary.paths
        self.story = story
        self.setAccessibleName(f"{story.title}. {story.text}")
        self._build(story, status)

    def _build(self, story: Story, status: RunStatus) -> None:
        head = QHBoxLayout()
        head.setSpacing(SPACE_3)
        look = STATUS_LOOKS[status]
        head.addWidget(Picture(look.icon, 22, look.tone))
        title = ElidedLabel("heading")
        title.setText(story.title)
        head.addWidget(title)
        head.addStretch(1)
        close = make_icon_button("close", "Hide this message", clicked=lambda: self.dismissed.emit(self.paths))
        head.addWidget(close)
        self.body.addLayout(head)
        self.body.addWidget(make_label(story.text, wrap=True, select=True))
        if story.log:
            self.body.addWidget(_make_log(story.log))
        row = QHBoxLayout()
        row.setSpacing(SPACE_2)
        if story.can_resume:
            self.resume = make_button(
                "Resume", "resume", kind="primary", tip="Start a trainer that goes on from the newest sound checkpoint",
                clicked=lambda: self.resumeAsked.emit(self.paths),
            )  # fmt: skip
            row.addWidget(self.resume)
        row.addWidget(make_button("Open the run", "arrow-right", clicked=lambda: self.openAsked.emit(self.paths)))
        row.addStretch(1)
        self.body.addLayout(row)


def _make_log(lines: tuple[str, ...]) -> Card:
    text = "\n".join(line if len(line) <= LINE_CHARACTERS else line[:LINE_CHARACTERS] + "…" for line in lines[-LINES:])
    log = make_label(text, "mono", wrap=True)
    log.setAccessibleName("Last lines of trainer.log")
    log.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    # A path without spaces cannot be wrapped and must not widen the page.
    policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    policy.setHeightForWidth(True)
    log.setSizePolicy(policy)
    frame = Card("flat", padding=SPACE_2)
    frame.body.addWidget(log)
    return frame
