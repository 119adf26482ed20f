"""The head of the page: the draft's title, whether it is kept, its history, and what can be done with it as a whole.

The page's panes: what is made at the left, what it does at the right, and room for the candidates between.

It only places what it is given."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFont, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSizePolicy, QSplitter, QVBoxLayout, QWidget

from seirenes_app.services.hint_authoring.draft import Draft, title_of
from seirenes_app.ui.icons import draw_svg, set_icon
from seirenes_app.ui.theme import HEADING_PX, SPACE_1, SPACE_2, SPACE_4, current_theme
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.growing_text import PageLine
from seirenes_app.ui.widgets.labels import ElidedLabel

KEPT, KEEPING, NOT_KEPT = "Saved", "Saving…", "Not saved"


class CraftHeader(QWidget):
    """Asks by signals."""

    titleEdited = Signal(str)
    undoAsked = Signal()
    redoAsked = Signal()
    newAsked = Signal()
    draftsAsked = Signal()
    copyAsked = Signal()
    suiteAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._build()

    def _build(self) -> None:
        self.title = PageLine("Title of the draft", "Untitled")
        self.title.setProperty("title", "true")
        self.title.setToolTip("The draft's title; without one, the beginning of its question")
        self.title.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.title.edited.connect(self.titleEdited)
        self.kept = ElidedLabel("small")
        # So that the title keeps its width while the words change.
        self.kept.setMinimumWidth(64)
        self.undo = make_icon_button("undo", "Undo (Ctrl+Z)", clicked=self.undoAsked.emit)
        self.redo = make_icon_button("redo", "Redo (Ctrl+Shift+Z)", clicked=self.redoAsked.emit)
        for tool, name in ((self.undo, "undo"), (self.redo, "redo")):
            # Stronger than other icons, so that it shows when there is nothing to undo.
            set_icon(tool, name, "text")
        self.new = make_button("New", "plus", kind="quiet", tip="Start another draft (Ctrl+Alt+N)",
                               clicked=self.newAsked.emit)  # fmt: skip
        self.drafts = make_button("Drafts", "clock", kind="quiet", tip="Open, rename or delete recent drafts",
                                  clicked=self.draftsAsked.emit)  # fmt: skip
        self.copy = make_icon_button(
            "copy", "Copy as command: the line that solves the candidate in hand in a terminal",
            clicked=self.copyAsked.emit,
        )  # fmt: skip
        self.suite = make_button("Save to a suite…", "save", tip="Keep candidates for later evaluations (Ctrl+S)",
                                 clicked=self.suiteAsked.emit)  # fmt: skip
        row = QHBoxLayout(self)
        # Its last button ends where the cards below end.
        row.setContentsMargins(0, 0, 12, 0)
        row.setSpacing(SPACE_1)
        row.addWidget(self.title, 1)
        row.addWidget(self.kept)
        row.addSpacing(SPACE_2)
        for tool in (self.undo, self.redo):
            row.addWidget(tool)
        row.addSpacing(SPACE_2)
        for widget in (self.copy, self.new, self.drafts, self.suite):
            row.addWidget(widget)

    def render_draft(self, draft: Draft) -> None:
        """Its title, or what stands for it."""
        self.title.render_text(draft.title)
        self.title.setPlaceholderText(title_of(draft))
        self.suite.setEnabled(bool(draft.hints))
        self.copy.setEnabled(bool(draft.problem.question.strip()))

    def render_history(self, undo: str, redo: str) -> None:
        """What undo and redo would do, "" for nothing."""
        for button, word, label, key in (
            (self.undo, "Undo", undo, "Ctrl+Z"),
            (self.redo, "Redo", redo, "Ctrl+Shift+Z"),
        ):
            button.setEnabled(bool(label))
            name = f"{word}: {label} ({key})" if label else f"Nothing to {word.lower()} ({key})"
            button.setToolTip(name)
            button.setAccessibleName(name)

    def render_kept(self, kept: bool, trouble: str = "") -> None:
        """Whether all is on the disk."""
        self.kept.setText(KEPT if kept else NOT_KEPT if trouble else KEEPING)
        self.kept.setAccessibleDescription(trouble)
        self.kept.setProperty("tone", "bad" if trouble and not kept else "")
        self.kept.style().polish(self.kept)


WIDE, NARROW = 1480, 990
SETTLE_MS = 40
SIZES = {1: [800, 0, 0], 2: [470, 0, 580], 3: [480, 500, 780]}
LEAST_LEFT, LEAST_MIDDLE, LEAST_RIGHT = 450, 440, 520


class Pane(QScrollArea):
    """A column that scrolls by itself."""

    def __init__(self, name: str, least: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMinimumWidth(least)
        self.setAccessibleName(name)
        inside = QWidget()
        self.body = QVBoxLayout(inside)
        self.body.setContentsMargins(2, 2, 12, 24)
        self.body.setSpacing(SPACE_4)
        self.setWidget(inside)


class CraftLayout(QSplitter):
    """`making` and `showing` are stacked in their panes; `candidates` moves to a pane of its own when there is room.

    A window too narrow for two panes has all in one.
    """

    def __init__(
        self, making: Sequence[QWidget], candidates: QWidget, showing: Sequence[QWidget], parent: QWidget | None = None
    ) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._candidates, self._showing = candidates, tuple(showing)
        self._columns = 0
        self.setChildrenCollapsible(False)
        self.setHandleWidth(12)
        self.left = Pane("Problem and hint", LEAST_LEFT)
        self.middle = Pane("Candidates", LEAST_MIDDLE)
        self.right = Pane("What it does to the solver", LEAST_RIGHT)
        for widget in making:
            self.left.body.addWidget(widget)
        for pane in (self.left, self.middle, self.right):
            pane.body.addStretch(1)
            self.addWidget(pane)
        self._flow(2)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """One pane, two, or three."""
        super().resizeEvent(event)
        width = event.size().width()
        self._flow(3 if width >= WIDE else 2 if width >= NARROW else 1)

    def minimumSizeHint(self) -> QSize:
        """One pane is enough."""
        return QSize(LEAST_RIGHT, 200)

    def _flow(self, columns: int) -> None:
        if columns == self._columns:
            return
        self._columns = columns
        _put(self._candidates, self.middle if columns == 3 else self.left)
        for widget in self._showing:
            _put(widget, self.left if columns == 1 else self.right)
        self.middle.setVisible(columns == 3)
        self.right.setVisible(columns > 1)
        self.setSizes(SIZES[columns])
        for i, stretch in enumerate((2, 2, 4) if columns == 3 else (4, 0, 5)):
            self.setStretchFactor(i, stretch)

    def show_candidates(self) -> None:
        """Scroll to the head of the candidates."""
        QTimer.singleShot(SETTLE_MS, self, self._show_candidates)

    def _show_candidates(self) -> None:
        pane = self.middle if self._columns == 3 else self.left
        pane.verticalScrollBar().setValue(max(0, self._candidates.y() - 8))

    def reveal(self, widget: QWidget) -> None:
        """Scroll its pane until it can be seen, once a widget that is new has its place."""
        QTimer.singleShot(SETTLE_MS, widget, lambda: self._reveal(widget))

    def _reveal(self, widget: QWidget) -> None:
        for pane in (self.left, self.middle, self.right):
            if pane.isAncestorOf(widget):
                pane.ensureWidgetVisible(widget, 0, 40)


def _put(widget: QWidget, pane: Pane) -> None:
    """Into a pane, before the stretch at its end."""
    pane.body.removeWidget(widget)
    pane.body.insertWidget(pane.body.count() - 1, widget)


class DropVeil(QWidget):
    """Lies over the page while a file is held over it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.words = ""
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def show_words(self, words: str) -> None:
        """Cover the page and say what dropping would do."""
        self.words = words
        self.setAccessibleName(words)
        self.setGeometry(self.parentWidget().rect())
        self.show()
        self.raise_()

    def paintEvent(self, event: QPaintEvent) -> None:
        """A ground that lets the page shine through, a dashed frame, a picture and words."""
        theme, painter = current_theme(), QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground = theme.colour("background")
        ground.setAlphaF(0.9)
        painter.fillRect(self.rect(), ground)
        painter.setPen(QPen(theme.colour("accent"), 2, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(16, 16, -16, -16), 12, 12)
        middle = QRectF(self.rect()).center()
        draw_svg(painter, "drop", QRectF(middle.x() - 24, middle.y() - 56, 48, 48), theme.accent)
        font = QFont(self.font())
        font.setPixelSize(HEADING_PX)
        painter.setFont(font)
        painter.setPen(theme.colour("text"))
        painter.drawText(QRectF(0, middle.y() + 8, self.width(), 30), Qt.AlignmentFlag.AlignCenter, self.words)
