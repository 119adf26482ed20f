"""One rollout, read: its figures, the question with the hint in it, and the solutions with and without. It asks nobody
anything; what it shows comes by `render`."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

from seirenes_app.ui.models.rollout_words import (
    FLIP_LOOKS,
    NO_LOOK,
    STAGE_WORDS,
    answer_look,
    say,
    say_number,
    stage_of,
)
from seirenes_app.ui.pages.traces_parts.faces import centred
from seirenes_app.ui.pages.traces_parts.facts import Facts
from seirenes_app.ui.pages.traces_parts.question_card import QuestionCard
from seirenes_app.ui.pages.traces_parts.reading import Reading, Row, say_group
from seirenes_app.ui.pages.traces_parts.solutions import Solutions
from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.badges import Badge
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.empty import EmptyState
from seirenes_app.ui.widgets.labels import ElidedLabel, make_label
from training.core.types import Stage

WIDE = 880
"""From this width on the question stands beside the solutions, not above them."""
SCROLL_PX = 40


class Inspector(QWidget):
    """Up and Down scroll, Escape goes back to the table."""

    left = Signal()
    craftAsked = Signal()
    flipAsked = Signal(bool)
    """Whether backwards."""
    chosen = Signal(int, int)
    """Numbers of the clean and of the hinted solution to show."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.reading: Reading | None = None
        self._to_parting = False
        self._build()
        self.solutions.chosen.connect(self.chosen)
        self.solutions.pair.filled.connect(self._scroll_to_parting, Qt.ConnectionType.QueuedConnection)

    def _build(self) -> None:
        self.setAccessibleName("The rollout under the cursor")
        self._stack = QStackedLayout(self)
        self.empty = EmptyState("traces", "No rollout chosen", "Go through the table with j and k, or the arrow keys.")
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_2)
        column.addLayout(self._build_head())
        self.facts = Facts("Figures of this rollout")
        column.addWidget(self.facts)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setProperty("ring", "true")
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # Always there: a bar that comes and goes has everything laid out twice.
        self.area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.area.setAccessibleName("Question and solutions")
        inside = QWidget()
        self._halves = QBoxLayout(QBoxLayout.Direction.TopToBottom, inside)
        self._halves.setContentsMargins(4, 4, 6, 4)
        self._halves.setSpacing(SPACE_3)
        self.question, self.solutions = QuestionCard(), Solutions()
        self._halves.addWidget(self.question, 2)
        self._halves.addWidget(self.solutions, 3)
        self.area.setWidget(inside)
        column.addWidget(self.area, 1)
        self._stack.addWidget(centred(self.empty))
        self._stack.addWidget(content)

    def _build_head(self) -> QHBoxLayout:
        self.title = ElidedLabel("heading")
        self.outcome, self.flip = Badge(NO_LOOK), Badge(NO_LOOK)
        self.before = make_icon_button("up", "The flip above this row (p)", clicked=lambda: self.flipAsked.emit(True))
        self.after = make_icon_button(
            "chevron-down", "The next flip below this row (n)", clicked=lambda: self.flipAsked.emit(False)
        )
        flips = make_label("Flips", "small")
        self.craft = make_button("Open in Craft", "craft", tip="Take the question and its hint to Craft (c)",
                                 clicked=self.craftAsked.emit)  # fmt: skip
        head = QHBoxLayout()
        head.setSpacing(SPACE_2)
        head.addWidget(self.title)
        head.addSpacing(SPACE_2)
        head.addWidget(self.outcome)
        head.addWidget(self.flip)
        head.addStretch(1)
        for part in (flips, self.before, self.after, self.craft):
            head.addWidget(part)
        return head

    # ------------------------------------------------------------------ render

    def render(self, reading: Reading | None) -> None:  # type: ignore[override]  # QWidget.render paints into a device
        """Show a rollout; None for none."""
        moved = reading is None or self.reading is None or reading.pair.asked != self.reading.pair.asked
        self.reading = reading
        self._stack.setCurrentIndex(0 if reading is None else 1)
        if reading is None:
            return
        row = reading.asked
        stage = stage_of(row)
        words = STAGE_WORDS[stage] if stage is not None else say(row["stage"])
        self.title.setText(f"Step {row['step']} · {words}")
        self._render_look(row)
        self.facts.render_facts(_list_facts(reading, row))
        self.question.render_reading(reading)
        self.solutions.render_reading(reading)
        if moved:
            self._to_parting = False
            self.area.verticalScrollBar().setValue(0)

    def _render_look(self, row: Row) -> None:
        answer, flip = answer_look(row), FLIP_LOOKS.get(row.get("flip") or "")
        turned = row.get("flip") in ("harmful", "helpful")
        # "Right → wrong" says that it is wrong.
        self.outcome.setVisible(answer is not NO_LOOK and not turned)
        self.outcome.render_look(answer)
        self.flip.setVisible(flip is not None)
        if flip is not None:
            self.flip.render_look(flip)

    def themed(self) -> None:
        """Painted parts anew."""
        self.question.themed()

    # ------------------------------------------------------------------ keys, size

    def enter(self) -> None:
        """Take the keyboard, and bring the place where the solutions part into view."""
        self.area.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._to_parting = True
        self._scroll_to_parting()

    def _scroll_to_parting(self) -> None:
        """As soon as its row is there: the rows of long solutions come one after another."""
        parting = self.solutions.pair.divergence_row if self.solutions.pair.isVisible() else None
        inside = self.area.widget()
        if self._to_parting and parting is not None and inside is not None:
            self._to_parting = False
            bottom = parting.mapTo(inside, QPoint(0, parting.height())).y()
            self.area.ensureVisible(0, bottom, 0, SCROLL_PX)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape."""
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Side by side where there is room."""
        wide = event.size().width() >= WIDE
        self._halves.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)
        # Above the solutions the question is as high as it is; beside them it has its share of the width.
        self._halves.setStretch(0, 2 if wide else 0)
        super().resizeEvent(event)


def _list_facts(reading: Reading, row: Row) -> list[tuple[str, str]]:
    facts = [("Family", say(row["family"])), ("True answer", str(row["gold"]))]
    if reading.pair.clean:
        facts.append(("Clean", say_group(reading.pair.clean)))
    if reading.pair.siblings:
        facts.append(("With this hint", say_group(reading.pair.siblings)))
    if row["follows_hint"] is not None:
        facts.append(("Follows the hint", "yes" if row["follows_hint"] else "no"))
    facts += [
        ("Reward", say_number(row["reward"], signed=row["stage"] == Stage.HINT)),
        ("Advantage", say_number(row["advantage"], signed=True) + ("" if row["trained"] else ", not trained on")),
        ("Tokens", f"{row['tokens']}, cut off" if row["truncated"] else str(row["tokens"])),
        ("Mean log-prob", say_number(row["logprob_mean"])),
    ]
    return facts
