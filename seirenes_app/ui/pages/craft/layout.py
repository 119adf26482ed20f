"""Header, panes and task bar of the Craft page. They place the widgets that they are given."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QSizePolicy, QSplitter, QWidget

from seirenes_app.services.hint_authoring.draft import Draft, title_of
from seirenes_app.ui.icons import set_icon
from seirenes_app.ui.theme import SPACE_1, SPACE_2, SPACE_3, SPACE_4
from seirenes_app.ui.widgets.boxes import column, row
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.growing_text import PageLine
from seirenes_app.ui.widgets.labels import ElidedLabel, IconLabel, set_tone
from seirenes_app.ui.widgets.progress import Progress


class CraftHeader(QWidget):
    """The draft's title, whether it is saved, and the buttons of the draft as a whole."""

    titleEdited = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.title = PageLine("Title of the draft", "Untitled")
        self.title.setProperty("title", "true")
        self.title.setToolTip("The draft's title; without one, the beginning of its question")
        self.title.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.title.edited.connect(self.titleEdited)
        self.saved = ElidedLabel("small")
        # So that the title keeps its width while the text changes.
        self.saved.setMinimumWidth(64)
        self.undo, self.redo, self.copy = (make_icon_button(name, name.title()) for name in ("undo", "redo", "copy"))
        for tool, name in ((self.undo, "undo"), (self.redo, "redo")):
            # Stronger than other icons, so that it shows when there is nothing to undo.
            set_icon(tool, name, "text")
        self.new = make_button("New", "plus", kind="quiet")
        self.drafts = make_button("Drafts", "clock", kind="quiet")
        self.suite = make_button("Save to a suite…", "save")
        # Its last button ends where the cards below end.
        row((self.title, 1), self.saved, SPACE_2, self.undo, self.redo, SPACE_2, self.copy, self.new, self.drafts,
            self.suite, spacing=SPACE_1, margins=(0, 0, 12, 0), parent=self)  # fmt: skip

    def render_draft(self, draft: Draft) -> None:
        self.title.render_text(draft.title)
        self.title.setPlaceholderText(title_of(draft))

    def render_saved(self, saved: bool, error: str = "") -> None:
        self.saved.setText("Saved" if saved else "Not saved" if error else "Saving…")
        self.saved.setAccessibleDescription(error)
        set_tone(self.saved, "bad" if error and not saved else "")


WIDE, NARROW = 1480, 990
SETTLE_MS = 40
SIZES = {1: [800, 0, 0], 2: [470, 0, 580], 3: [480, 500, 780]}


class Pane(QScrollArea):
    """A column that scrolls by itself."""

    def __init__(self, name: str, min_width: int) -> None:
        super().__init__(widgetResizable=True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMinimumWidth(min_width)
        self.setAccessibleName(name)
        inside = QWidget()
        self.body = column(spacing=SPACE_4, margins=(2, 2, 12, 24), parent=inside)
        # The content grows in the same pass as its parts, or they overlap until the scroll area is updated.
        self.body.setSizeConstraint(self.body.SizeConstraint.SetMinimumSize)
        self.body.addStretch(1)
        self.setWidget(inside)

    def add(self, widget: QWidget) -> None:
        self.body.removeWidget(widget)
        self.body.insertWidget(self.body.count() - 1, widget)


class CraftPanes(QSplitter):
    """Problem and hint type at the left, results at the right; the hints have a pane of their own where it fits.

    A window too narrow for two panes has all in one.
    """

    def __init__(self, inputs: Sequence[QWidget], hints: QWidget, results: Sequence[QWidget]) -> None:
        super().__init__(Qt.Orientation.Horizontal, childrenCollapsible=False, handleWidth=12)
        self._hints, self._results = hints, tuple(results)
        self._columns = 0
        self.left = Pane("Problem and hint type", 450)
        self.middle = Pane("Hints", 440)
        self.right = Pane("Results", 520)
        for widget in inputs:
            self.left.add(widget)
        for pane in (self.left, self.middle, self.right):
            self.addWidget(pane)
        self._set_columns(2)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        width = event.size().width()
        self._set_columns(3 if width >= WIDE else 2 if width >= NARROW else 1)

    def minimumSizeHint(self) -> QSize:
        return QSize(self.right.minimumWidth(), 200)

    def _set_columns(self, columns: int) -> None:
        if columns == self._columns:
            return
        self._columns = columns
        (self.middle if columns == 3 else self.left).add(self._hints)
        for widget in self._results:
            (self.left if columns == 1 else self.right).add(widget)
        self.middle.setVisible(columns == 3)
        self.right.setVisible(columns > 1)
        self.setSizes(SIZES[columns])
        for i, stretch in enumerate((2, 2, 4) if columns == 3 else (4, 0, 5)):
            self.setStretchFactor(i, stretch)

    def scroll_to_top(self) -> None:
        self.left.verticalScrollBar().setValue(0)
        self.right.verticalScrollBar().setValue(0)

    def scroll_to_hints(self) -> None:
        """Scroll to the heading of the hints, after the layout has settled."""
        bar = (self.middle if self._columns == 3 else self.left).verticalScrollBar()
        QTimer.singleShot(SETTLE_MS, self, lambda: bar.setValue(max(0, self._hints.y() - 8)))

    def reveal(self, widget: QWidget) -> None:
        """Scroll a widget into view, after the layout has settled."""

        def scroll() -> None:
            for pane in (self.left, self.middle, self.right):
                if pane.isAncestorOf(widget):
                    pane.ensureWidgetVisible(widget, 0, 40)

        QTimer.singleShot(SETTLE_MS, widget, scroll)


class TaskBar(QFrame):
    """The running task at the foot of the page. Hidden while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("strip", "true")
        self.progress = Progress("Cancel it and keep what is complete (Esc)")
        icon = IconLabel("running", 20, "accent")
        row(icon, (self.progress, 1), spacing=SPACE_3, margins=(28, 8, 28, 10), parent=self)
        self.hide()

    def render_task(self, text: str, done: int, total: int, figures: str, *, cancelling: bool) -> None:
        """Show a task, "" for none."""
        self.setVisible(bool(text))
        self.progress.render_progress(text, done, total, figures, cancelling=cancelling)
