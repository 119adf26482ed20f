"""One candidate of the list: its text, edited in place, its gates, where it comes from, and what it did."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QRectF, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from seirenes_app.lab.crafting.documents import Candidate
from seirenes_app.lab.crafting.judging import GateBadge
from seirenes_app.lab.crafting.results import SolveResult
from seirenes_app.ui.pages.craft_parts.words import rates_of, say_origin
from seirenes_app.ui.theme import SPACE_1, SPACE_2, current_theme
from seirenes_app.ui.widgets.badges import Badge, Look
from seirenes_app.ui.widgets.buttons import make_icon_button
from seirenes_app.ui.widgets.gate_badges import GateBadges
from seirenes_app.ui.widgets.growing_text import GrowingText
from seirenes_app.ui.widgets.interval_bars import MiniBars
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label

WRITING = Look("pencil", "Writing…", "adversary")
UNWRITTEN = "Nothing written yet"


class CandidateCard(QWidget):
    """Enter or F2 edits it, Delete removes it, the arrow keys go to its neighbours. Emits its id with each wish."""

    chosen = Signal(str)
    edited = Signal(str, str)
    removeAsked = Signal(str)
    moved = Signal(int)

    def __init__(self, candidate_id: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.candidate_id = candidate_id
        self._chosen = False
        self._candidate: Candidate | None = None
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
        self, candidate: Candidate, verdicts: Sequence[GateBadge] | None, result: SolveResult | None, *, chosen: bool
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
