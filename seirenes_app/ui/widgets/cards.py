"""Surfaces and rules: the few containers the pages are laid out with.

A run that ended badly: what happened, the last lines of its log, and what to do about it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from seirenes_app.services.run_summary import RunSummaryText
from seirenes_app.ui.theme import SPACE_2, SPACE_3, SPACE_4, SPACE_6
from seirenes_app.ui.widgets.badges import STATUS_LOOKS
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.empty_state import Picture
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from training.runs.listing import RunSummary
from training.runs.status import RunStatus


class Card(QFrame):
    """A raised surface with room inside. `look` is "true", "flat", "warn" or "bad"."""

    def __init__(self, look: str = "true", parent: QWidget | None = None, *, padding: int = SPACE_4) -> None:
        super().__init__(parent)
        self.setProperty("card", look)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(padding + 4, padding, padding + 4, padding)
        self.body.setSpacing(SPACE_2)


class Section(QWidget):
    """A heading with its tools at the right, and what it is the heading of below."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.heading = make_label(title, "heading")
        self.tools = QHBoxLayout()
        self.tools.setSpacing(SPACE_2)
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 0, 0)
        head.addWidget(self.heading)
        head.addStretch(1)
        head.addLayout(self.tools)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(SPACE_2)
        self.body.addLayout(head)


def make_rule() -> QFrame:
    """A hairline across the page."""
    line = QFrame()
    line.setProperty("line", "true")
    line.setFixedHeight(1)
    return line


class Column(QScrollArea):
    """A page's scrolled column: as wide as the page up to `width`, centred beyond it."""

    def __init__(self, width: int = 1240, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inside = QWidget()
        inside.setMaximumWidth(width)
        self.body = QVBoxLayout(inside)
        self.body.setContentsMargins(40, 32, 40, 40)
        self.body.setSpacing(SPACE_6)
        holder = QWidget()
        row = QHBoxLayout(holder)
        row.setContentsMargins(0, 0, 0, 0)
        row.addStretch(1)
        row.addWidget(inside, 1000)
        row.addStretch(1)
        self.setWidget(holder)


LINES = 3
LINE_CHARACTERS = 400


class FailureCard(Card):
    """Emits what the person chose, with the run's paths."""

    resumeAsked = Signal(object)
    openAsked = Signal(object)
    dismissed = Signal(object)

    def __init__(self, summary: RunSummary, story: RunSummaryText, parent: QWidget | None = None) -> None:
        status = summary.state.status if summary.state is not None else RunStatus.CRASHED
        super().__init__("warn" if status is RunStatus.STALLED else "bad", parent)
        self.paths = summary.paths
        self.story = story
        self.setAccessibleName(f"{story.title}. {story.text}")
        self._build(story, status)

    def _build(self, story: RunSummaryText, status: RunStatus) -> None:
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
